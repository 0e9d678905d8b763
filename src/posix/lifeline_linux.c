/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linux: the kernel kills the child. PR_SET_PDEATHSIG does it when the *thread* that started the child ends, which is
 * right for the main thread only. Other threads hold a pipe instead: when its last writer is gone, the kernel sends the
 * signal that the child chose by F_SETSIG.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "unix.h"

int unix_lifeline_create(unix_lifeline_t *line, int outlives_thread)
{
    int ends[2];
    *line = (unix_lifeline_t){.parent = getpid(), .held = -1, .followed = -1};
    if (!outlives_thread && syscall(SYS_gettid) == line->parent)
        return 0;
    if (unix_pipe(ends) != 0)
        return -1;
    line->followed = ends[0];
    line->held = ends[1];
    return 0;
}

int unix_lifeline_follow(const unix_lifeline_t *line)
{
    if (line->followed < 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        return getppid() == line->parent ? 0 : -1;
    }
    char byte;
    fcntl(line->followed, F_SETOWN, getpid());
    fcntl(line->followed, F_SETSIG, SIGKILL);
    fcntl(line->followed, F_SETFL, O_ASYNC | O_NONBLOCK);
    /* No writer left: it ended before the signal was asked for. */
    return read(line->followed, &byte, 1) == 0 ? -1 : 0;
}

int unix_lifeline_renew(int parent)
{
    (void)parent;
    return 0; /* both kinds pass through exec */
}

int unix_lifeline_threads(void)
{
    return 0;
}

void unix_lifeline_close(unix_lifeline_t *line)
{
    unix_close(line->held);
    unix_close(line->followed);
    line->held = line->followed = -1;
}
