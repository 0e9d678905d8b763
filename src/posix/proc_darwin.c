/* SPDX-License-Identifier: Apache-2.0 */
/* macOS: what the kernel and the loader know of processes. */
#include <crt_externs.h>
#include <errno.h>
#include <libproc.h>
#include <mach/mach.h>
#include <stdlib.h>
#include <sys/types.h>
#include <sys/proc.h>
#include <sys/sysctl.h>
#include <unistd.h>

#include "unix.h"

apr_status_t sys_birth(uint64_t *birth, int pid)
{
    int name[] = {CTL_KERN, KERN_PROC, KERN_PROC_PID, pid};
    struct kinfo_proc process;
    size_t size = sizeof process;
    *birth = 0;
    /* Where that is forbidden nobody knows; a birth of 0 then matches all. */
    if (sysctl(name, 4, &process, &size, NULL, 0) != 0)
        return errno == ESRCH ? APR_ENOENT : APR_SUCCESS;
    if (size < sizeof process || process.kp_proc.p_stat == SZOMB)
        return APR_ENOENT;
    const struct timeval start = process.kp_proc.p_starttime;
    *birth = (uint64_t)start.tv_sec * 1000000 + (uint64_t)start.tv_usec;
    return APR_SUCCESS;
}

apr_status_t sys_private_bytes(uint64_t *bytes)
{
    task_vm_info_data_t info;
    mach_msg_type_number_t count = TASK_VM_INFO_COUNT;
    *bytes = 0;
    if (task_info(mach_task_self(), TASK_VM_INFO, (task_info_t)&info, &count) != KERN_SUCCESS)
        return APR_EGENERAL;
    /* What the system itself goes by when memory is short; shared memory counts for the process that touched it. */
    *bytes = info.phys_footprint;
    return APR_SUCCESS;
}

int sys_thread_count(void)
{
    struct proc_taskinfo task;
    if (proc_pidinfo(getpid(), PROC_PIDTASKINFO, 0, &task, sizeof task) != (int)sizeof task)
        return 2; /* the safe answer */
    return task.pti_threadnum - unix_lifeline_threads();
}

apr_status_t sys_command_line(char ***argv, int *argc)
{
    const int count = *_NSGetArgc();
    char **own = *_NSGetArgv();
    *argv = malloc(((size_t)count + 1) * sizeof **argv);
    *argc = 0;
    if (!*argv)
        return APR_ENOMEM;
    for (int i = 0; i < count; i++)
        (*argv)[i] = own[i];
    (*argv)[count] = NULL;
    *argc = count;
    return APR_SUCCESS;
}
