/* SPDX-License-Identifier: Apache-2.0 */
#include <mproc/system.h>

#include "process_object.h"
#include "sys.h"

int mproc_getpid(void)
{
    return sys_getpid();
}

int mproc_getppid(void)
{
    return process_creator_pid();
}

int64_t mproc_deadline(apr_interval_time_t timeout)
{
    return process_deadline(timeout);
}

apr_interval_time_t mproc_time_left(int64_t deadline)
{
    if (deadline == SYS_NEVER)
        return MPROC_FOREVER;
    const sys_time_t now = sys_now();
    return deadline > now ? deadline - now : 0;
}

int mproc_cpu_count(void)
{
    return sys_cpu_count();
}
