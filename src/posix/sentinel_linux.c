/* SPDX-License-Identifier: Apache-2.0 */
/* Linux: a pidfd is the process itself, whatever becomes of its number. */
#include <errno.h>
#include <signal.h>
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

/* P_PIDFD of waitid(), and the bit of a wait status that says that a core was dumped: not in every system's headers. */
enum { WAIT_FOR_PIDFD = 3, CORE_DUMPED = 0x80 };

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
    siginfo_t info = {.si_pid = 0};
    pid_t reaped;
    int result;
    /* By the sentinel, since other code may have waited for the child, and its number be another child's by now. */
    do {
        result = waitid((idtype_t)WAIT_FOR_PIDFD, (id_t)sentinel, &info, WEXITED | WNOHANG);
    } while (result < 0 && errno == EINTR);
    if (result == 0) {
        *status = info.si_code == CLD_EXITED ? info.si_status << 8
                                             : info.si_status | (info.si_code == CLD_DUMPED ? CORE_DUMPED : 0);
        return info.si_pid;
    }
    if (errno != EBADF && errno != EINVAL)
        return -1;
    /* The program has closed the sentinel: the number is all that is left. */
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
