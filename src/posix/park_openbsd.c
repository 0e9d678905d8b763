/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <time.h>

#include <sys/types.h>

#include <sys/futex.h>
#include <sys/time.h>

#include "unix.h"

apr_status_t sys_park(_Atomic uint32_t *word, uint32_t value, sys_time_t deadline)
{
    struct timespec left = {0, 0};
    if (deadline != SYS_NEVER) {
        const sys_time_t now = sys_now();
        if (now >= deadline)
            return APR_TIMEUP;
        left.tv_sec = (time_t)((deadline - now) / 1000000);
        left.tv_nsec = (long)((deadline - now) % 1000000) * 1000;
    }
    if (futex((uint32_t *)(uintptr_t)word, FUTEX_WAIT, (int)value, deadline == SYS_NEVER ? NULL : &left, NULL) != 0 &&
        errno == ETIMEDOUT)
        return APR_TIMEUP;
    return APR_SUCCESS;
}

void sys_unpark(_Atomic uint32_t *word, unsigned count)
{
    futex((uint32_t *)(uintptr_t)word, FUTEX_WAKE, count > INT_MAX ? INT_MAX : (int)count, NULL, NULL);
}
