/* SPDX-License-Identifier: Apache-2.0 */
/* OpenBSD: what the kernel knows of processes, by sysctl. */
#include <errno.h>
#include <stdlib.h>
#include <sys/types.h>
#include <sys/sysctl.h>
#include <unistd.h>

#include "unix.h"

/* That many threads are counted. */
enum { THREADS_MAX = 8 };

/** Read the kernel's record of a process: 0, or -1 and errno, ESRCH if it has ended. */
static int read_process(struct kinfo_proc *process, int pid)
{
    int name[] = {CTL_KERN, KERN_PROC, KERN_PROC_PID, pid, sizeof *process, 1};
    size_t size = sizeof *process;
    if (sysctl(name, 6, process, &size, NULL, 0) != 0)
        return -1;
    if (size >= sizeof *process && process->p_uvalid)
        return 0;
    errno = ESRCH;
    return -1;
}

int unix_process_started(int64_t *started, int pid)
{
    struct kinfo_proc process;
    if (read_process(&process, pid) != 0)
        return -1;
    *started = (int64_t)process.p_ustart_sec * 1000000 + process.p_ustart_usec;
    return 0;
}

apr_status_t sys_private_bytes(uint64_t *bytes)
{
    struct kinfo_proc process;
    *bytes = 0;
    if (read_process(&process, getpid()) != 0)
        return errno;
    /* In pages; the kernel does not tell shared ones apart. */
    *bytes = (uint64_t)process.p_vm_rssize * (uint64_t)sysconf(_SC_PAGESIZE);
    return APR_SUCCESS;
}

int sys_thread_count(void)
{
    struct kinfo_proc list[THREADS_MAX];
    int name[] = {CTL_KERN, KERN_PROC, KERN_PROC_PID | KERN_PROC_SHOW_THREADS, getpid(), sizeof list[0], THREADS_MAX};
    size_t size = sizeof list;
    int count = 0;
    if (sysctl(name, 6, list, &size, NULL, 0) != 0)
        return errno == ENOMEM ? THREADS_MAX : 2; /* 2 is the safe answer */
    for (size_t i = 0; i < size / sizeof list[0]; i++)
        count += list[i].p_tid >= 0; /* one entry is the process itself */
    return count > 1 ? count - unix_lifeline_threads() : 1;
}

apr_status_t sys_command_line(char ***argv, int *argc)
{
    /* A list of pointers comes, and behind it the strings. */
    int name[] = {CTL_KERN, KERN_PROC_ARGS, getpid(), KERN_PROC_ARGV};
    size_t size = (size_t)sysconf(_SC_ARG_MAX);
    *argv = malloc(size);
    *argc = 0;
    if (!*argv)
        return APR_ENOMEM;
    if (sysctl(name, 4, *argv, &size, NULL, 0) != 0) {
        free(*argv);
        *argv = NULL;
        return APR_ENOTIMPL;
    }
    while ((*argv)[*argc])
        ++*argc;
    return APR_SUCCESS;
}
