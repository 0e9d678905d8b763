/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "unix.h"

apr_status_t sys_park(_Atomic uint32_t *word, uint32_t value, sys_time_t deadline)
{
    struct timespec until = {0, 0};
    if (deadline != SYS_NEVER) {
        until.tv_sec = (time_t)(deadline / 1000000);
        until.tv_nsec = (long)(deadline % 1000000) * 1000;
    }
    /* With a bit set the time is absolute, and the monotonic clock's, which is sys_now()'s. */
    if (syscall(SYS_futex, word, FUTEX_WAIT_BITSET, value, deadline == SYS_NEVER ? NULL : &until, NULL,
                FUTEX_BITSET_MATCH_ANY) != 0 &&
        errno == ETIMEDOUT)
        return APR_TIMEUP;
    return APR_SUCCESS;
}

void sys_unpark(_Atomic uint32_t *word, unsigned count)
{
    syscall(SYS_futex, word, FUTEX_WAKE, count > INT_MAX ? INT_MAX : (int)count, NULL, NULL, 0);
}
