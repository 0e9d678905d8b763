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

int mproc_cpu_count(void)
{
    return sys_cpu_count();
}
