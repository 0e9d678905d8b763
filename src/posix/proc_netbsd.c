/* SPDX-License-Identifier: Apache-2.0 */
/* NetBSD: what the kernel knows of processes, by sysctl. */
#include <errno.h>
#include <stdlib.h>
#include <sys/param.h>
#include <sys/sysctl.h>
#include <unistd.h>

#include "unix.h"

/** Read the kernel's record of a process: 0, or -1 and errno, ESRCH if it has ended. */
static int read_process(struct kinfo_proc2 *process, int pid)
{
    int name[] = {CTL_KERN, KERN_PROC2, KERN_PROC_PID, pid, sizeof *process, 1};
    size_t size = sizeof *process;
    if (sysctl(name, 6, process, &size, NULL, 0) != 0)
        return -1;
    if (size >= sizeof *process && process->p_uvalid)
        return 0;
    errno = ESRCH;
    return -1;
}

apr_status_t sys_birth(uint64_t *birth, int pid)
{
    struct kinfo_proc2 process;
    *birth = 0;
    /* Where that is forbidden nobody knows; a birth of 0 then matches all. */
    if (read_process(&process, pid) != 0)
        return errno == ESRCH ? APR_ENOENT : APR_SUCCESS;
    *birth = (uint64_t)process.p_ustart_sec * 1000000 + process.p_ustart_usec;
    return APR_SUCCESS;
}

apr_status_t sys_private_bytes(uint64_t *bytes)
{
    struct kinfo_proc2 process;
    *bytes = 0;
    if (read_process(&process, getpid()) != 0)
        return errno;
    /* In pages; the kernel does not tell shared ones apart. */
    *bytes = (uint64_t)process.p_vm_rssize * (uint64_t)sysconf(_SC_PAGESIZE);
    return APR_SUCCESS;
}

int sys_thread_count(void)
{
    struct kinfo_proc2 process;
    if (read_process(&process, getpid()) != 0)
        return 2; /* the safe answer */
    return (int)process.p_nlwps - unix_lifeline_threads();
}

apr_status_t sys_command_line(char ***argv, int *argc)
{
    int name[] = {CTL_KERN, KERN_PROC_ARGS, getpid(), KERN_PROC_ARGV};
    size_t size = (size_t)sysconf(_SC_ARG_MAX);
    char *text = malloc(size);
    const int is_read = text && sysctl(name, 4, text, &size, NULL, 0) == 0;
    const apr_status_t status = unix_split_strings(argv, argc, text, is_read ? size : 0);
    free(text);
    return status;
}
