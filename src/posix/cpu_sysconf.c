/* SPDX-License-Identifier: Apache-2.0 */
/*
 * macOS, NetBSD, OpenBSD: the CPUs that are in use; a process cannot be bound to some of them by what all of these
 * systems have.
 */
#include <unistd.h>

#include "unix.h"

int sys_cpu_count(void)
{
    const long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count < 1 ? 1 : (int)count;
}

apr_status_t sys_check_cpu(int cpu)
{
    (void)cpu;
    return APR_ENOTIMPL;
}

apr_status_t sys_bind_cpus(const int *cpus, size_t count)
{
    (void)cpus;
    (void)count;
    return APR_ENOTIMPL;
}
