/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FreeBSD, OpenBSD: their kernels know when a process started since boot, and tell it with the time of the boot added.
 */
#include <errno.h>
#include <sys/types.h>
#include <sys/sysctl.h>
#include <sys/time.h>

#include "unix.h"

/*
 * A birth's unit, in microseconds, as on Linux. OpenBSD's kernel rounds twice, so that in microseconds a start may
 * differ by one after the clock was set.
 */
enum { UNIT = 10000 };

/** When the system was started, in microseconds of the clock as it is set now; 0 if nobody knows. */
static int64_t boot_time(void)
{
    int name[] = {CTL_KERN, KERN_BOOTTIME};
    struct timeval booted = {0, 0};
    size_t size = sizeof booted;
    if (sysctl(name, 2, &booted, &size, NULL, 0) != 0)
        return 0;
    return (int64_t)booted.tv_sec * 1000000 + booted.tv_usec;
}

apr_status_t sys_birth(uint64_t *birth, int pid)
{
    int64_t started = 0;
    int64_t booted = 0;
    *birth = 0;
    /* Without the boot's time, so that it stays the same when the clock is set; once more if that happened just now. */
    for (int tries = 0; tries < 3 && (tries == 0 || booted != boot_time()); tries++) {
        booted = boot_time();
        /* Where that is forbidden nobody knows; a birth of 0 then matches all. */
        if (unix_process_started(&started, pid) != 0)
            return errno == ESRCH ? APR_ENOENT : APR_SUCCESS;
    }
    *birth = (uint64_t)(started - booted) / UNIT;
    return APR_SUCCESS;
}
