/* SPDX-License-Identifier: Apache-2.0 */
/* FreeBSD: what the kernel knows of processes, by sysctl. */
#include <errno.h>
#include <stdlib.h>
#include <sys/types.h>
#include <sys/sysctl.h>
#include <sys/user.h>
#include <unistd.h>

#include "unix.h"

/** Read the kernel's record of a process: 0, or -1 and errno, ESRCH if it has ended. */
static int read_process(struct kinfo_proc *process, int pid)
{
    int name[] = {CTL_KERN, KERN_PROC, KERN_PROC_PID, pid};
    size_t size = sizeof *process;
    if (sysctl(name, 4, process, &size, NULL, 0) != 0)
        return -1;
    if (size >= sizeof *process && process->ki_stat != SZOMB)
        return 0;
    errno = ESRCH;
    return -1;
}

int unix_process_started(int64_t *started, int pid)
{
    struct kinfo_proc process;
    if (read_process(&process, pid) != 0)
        return -1;
    *started = (int64_t)process.ki_start.tv_sec * 1000000 + process.ki_start.tv_usec;
    return 0;
}

apr_status_t sys_private_bytes(uint64_t *bytes)
{
    struct kinfo_proc process;
    *bytes = 0;
    if (read_process(&process, getpid()) != 0)
        return errno;
    /* In pages; the kernel does not tell shared ones apart. */
    *bytes = (uint64_t)process.ki_rssize * (uint64_t)sysconf(_SC_PAGESIZE);
    return APR_SUCCESS;
}

int sys_thread_count(void)
{
    struct kinfo_proc process;
    if (read_process(&process, getpid()) != 0)
        return 2; /* the safe answer */
    return process.ki_numthreads - unix_lifeline_threads();
}

apr_status_t sys_command_line(char ***argv, int *argc)
{
    int name[] = {CTL_KERN, KERN_PROC, KERN_PROC_ARGS, getpid()};
    size_t size = (size_t)sysconf(_SC_ARG_MAX);
    char *text = malloc(size);
    const int is_read = text && sysctl(name, 4, text, &size, NULL, 0) == 0;
    const apr_status_t status = unix_split_strings(argv, argc, text, is_read ? size : 0);
    free(text);
    return status;
}
