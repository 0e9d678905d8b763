/* SPDX-License-Identifier: Apache-2.0 */
/* FreeBSD: CPUs by affinity, which is also how a jail is limited. */
#include <errno.h>
#include <sys/param.h>
#include <sys/cpuset.h>
#include <unistd.h>

#include "unix.h"

/** Get this process's affinity: 0, or -1 if the system does not tell, or has more CPUs than this set. */
static int get_affinity(cpuset_t *set)
{
    CPU_ZERO(set);
    return cpuset_getaffinity(CPU_LEVEL_WHICH, CPU_WHICH_PID, -1, sizeof *set, set);
}

int sys_cpu_count(void)
{
    cpuset_t set;
    long count = get_affinity(&set) == 0 ? (long)CPU_COUNT(&set) : 0;
    if (count < 1)
        count = sysconf(_SC_NPROCESSORS_ONLN);
    return count < 1 ? 1 : (int)count;
}

apr_status_t sys_check_cpu(int cpu)
{
    cpuset_t set;
    if (cpu < 0 || cpu >= CPU_SETSIZE || get_affinity(&set) != 0)
        return APR_EINVAL;
    /* Wider than its creator a child cannot be: that is what an affinity is for. */
    return CPU_ISSET(cpu, &set) ? APR_SUCCESS : APR_EINVAL;
}

apr_status_t sys_bind_cpus(const int *cpus, size_t count)
{
    cpuset_t set;
    CPU_ZERO(&set);
    for (size_t i = 0; i < count; i++)
        CPU_SET(cpus[i], &set);
    return cpuset_setaffinity(CPU_LEVEL_WHICH, CPU_WHICH_PID, -1, sizeof set, &set) == 0 ? APR_SUCCESS : errno;
}
