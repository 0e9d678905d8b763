/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FreeBSD: the kernel kills the child when its parent process ends, whichever of the parent's threads started it. The
 * request passes through exec, and not to the child's own children.
 */
#include <signal.h>
#include <sys/types.h>
#include <sys/procctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unix.h"

int unix_lifeline_create(unix_lifeline_t *line, int outlives_thread)
{
    (void)outlives_thread; /* here it always does */
    *line = (unix_lifeline_t){.parent = getpid(), .held = -1, .followed = -1};
    return 0;
}

int unix_lifeline_follow(const unix_lifeline_t *line)
{
    int sig = SIGKILL;
    procctl(P_PID, 0, PROC_PDEATHSIG_CTL, &sig);
    /* It may have ended before the signal was asked for. */
    return getppid() == line->parent ? 0 : -1;
}

int unix_lifeline_renew(int parent)
{
    (void)parent;
    return 0;
}

int unix_lifeline_threads(void)
{
    return 0;
}

void unix_lifeline_close(unix_lifeline_t *line)
{
    (void)line;
}
