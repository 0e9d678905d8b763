/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FreeBSD, OpenBSD: their kernels know when a process started since boot, and tell it with the time of the boot added.
 */
#include <sys/types.h>
#include <sys/sysctl.h>
#include <sys/time.h>

#include "unix.h"

int64_t unix_boot_time(void)
{
    int name[] = {CTL_KERN, KERN_BOOTTIME};
    struct timeval booted = {0, 0};
    size_t size = sizeof booted;
    if (sysctl(name, 2, &booted, &size, NULL, 0) != 0)
        return 0;
    return (int64_t)booted.tv_sec * 1000000 + booted.tv_usec;
}
