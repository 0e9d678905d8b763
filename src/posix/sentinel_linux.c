/* SPDX-License-Identifier: Apache-2.0 */
/* Linux: a pidfd is the process itself, whatever becomes of its number. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "unix.h"

/*
 * What PIDFD_GET_INFO answers, in its first form (Linux 6.13; the exit status since 6.15). Declared here because the system's
 * headers may be older than its kernel.
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

int unix_sentinel_status(int sentinel, int *status)
{
    pidfd_answer_t answer = {.mask = PIDFD_ANSWER_EXIT};
    if (ioctl(sentinel, PIDFD_ASK, &answer) != 0 || !(answer.mask & PIDFD_ANSWER_EXIT))
        return -1;
    *status = answer.exit_status;
    return 0;
}

apr_status_t sys_birth(uint64_t *birth, int pid)
{
    char path[32];
    char text[1024];
    *birth = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    /* Without /proc nobody knows; a birth of 0 then matches all. */
    if (fd < 0)
        return errno == ENOENT && access("/proc/self", F_OK) == 0 ? APR_ENOENT : APR_SUCCESS;
    const ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    if (length <= 0)
        return APR_ENOENT;
    text[length] = '\0';
    /* The second field is the program's name in parentheses and may hold anything; the start time is the 22nd. */
    const char *at = strrchr(text, ')');
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    if (at)
        *birth = strtoull(at + 1, NULL, 10);
    return APR_SUCCESS;
}
