/* SPDX-License-Identifier: Apache-2.0 */
/* From macOS 14.4 on. */
#include <errno.h>
#include <limits.h>
#include <os/os_sync_wait_on_address.h>
#include <stdint.h>

#include "unix.h"

apr_status_t sys_park(_Atomic uint32_t *word, uint32_t value, sys_time_t deadline)
{
    void *const address = (void *)(uintptr_t)word;
    if (deadline == SYS_NEVER) {
        os_sync_wait_on_address(address, value, sizeof value, OS_SYNC_WAIT_ON_ADDRESS_SHARED);
        return APR_SUCCESS;
    }
    const sys_time_t now = sys_now();
    if (now >= deadline)
        return APR_TIMEUP;
    if (os_sync_wait_on_address_with_timeout(address, value, sizeof value, OS_SYNC_WAIT_ON_ADDRESS_SHARED,
                                             OS_CLOCK_MACH_ABSOLUTE_TIME, (uint64_t)(deadline - now) * 1000) < 0 &&
        errno == ETIMEDOUT)
        return APR_TIMEUP;
    return APR_SUCCESS;
}

void sys_unpark(_Atomic uint32_t *word, unsigned count)
{
    void *const address = (void *)(uintptr_t)word;
    if (count > 1)
        os_sync_wake_by_address_all(address, sizeof *word, OS_SYNC_WAKE_BY_ADDRESS_SHARED);
    else
        os_sync_wake_by_address_any(address, sizeof *word, OS_SYNC_WAKE_BY_ADDRESS_SHARED);
}
