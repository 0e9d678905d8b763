/* SPDX-License-Identifier: Apache-2.0 */
/* Linux: a pidfd is the process itself, whatever becomes of its number. */
#include <errno.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unix.h"

/*
 * What PIDFD_GET_INFO answers, in its first form (Linux 6.13; the exit status since 6.15). Declared here because the
 * system's headers may be older than its kernel.
 */
typedef struct pidfd_answer_t {
    uint64_t mask;
    uint64_t cgroup;
    uint32_t ids[11];
    int32_t exit_status;
} pidfd_answer_t;

#define PIDFD_ASK _IOWR(0xFF, 11, pidfd_answer_t)
#define PIDFD_ANSWER_EXIT ((uint64_t)1 << 3)

int unix_sentinel_open(int pid)
{
    unix_making();
    return unix_made((int)syscall(SYS_pidfd_open, pid, 0));
}

int unix_sentinel_signal(int sentinel, int pid, int sig)
{
    (void)pid;
    return (int)syscall(SYS_pidfd_send_signal, sentinel, sig, NULL, 0);
}

int unix_sentinel_reap(int sentinel, int pid, int *status)
{
    pid_t reaped;
    (void)sentinel;
    do {
        reaped = waitpid(pid, status, WNOHANG);
    } while (reaped < 0 && errno == EINTR);
    return reaped;
}

int unix_sentinel_status(int sentinel, int *status)
{
    pidfd_answer_t answer = {.mask = PIDFD_ANSWER_EXIT};
    if (ioctl(sentinel, PIDFD_ASK, &answer) != 0 || !(answer.mask & PIDFD_ANSWER_EXIT))
        return -1;
    *status = answer.exit_status;
    return 0;
}
