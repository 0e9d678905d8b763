/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <time.h>

#include <sys/types.h>

#include <sys/umtx.h>

#include "unix.h"

apr_status_t sys_park(_Atomic uint32_t *word, uint32_t value, sys_time_t deadline)
{
    struct _umtx_time until = {._flags = UMTX_ABSTIME, ._clockid = CLOCK_MONOTONIC};
    void *const address = (void *)(uintptr_t)word;
    if (deadline == SYS_NEVER) {
        _umtx_op(address, UMTX_OP_WAIT_UINT, value, NULL, NULL);
        return APR_SUCCESS;
    }
    until._timeout.tv_sec = (time_t)(deadline / 1000000);
    until._timeout.tv_nsec = (long)(deadline % 1000000) * 1000;
    /* The size of the time is passed where an address would be. */
    if (_umtx_op(address, UMTX_OP_WAIT_UINT, value, (void *)sizeof until, &until) != 0 && errno == ETIMEDOUT)
        return APR_TIMEUP;
    return APR_SUCCESS;
}

void sys_unpark(_Atomic uint32_t *word, unsigned count)
{
    _umtx_op((void *)(uintptr_t)word, UMTX_OP_WAKE, count > INT_MAX ? INT_MAX : count, NULL, NULL);
}
