/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linux: the signal is read from a descriptor. A handler would cost the server, whose pages are shared with each new
 * child, copies of those that the handler's frame lies in.
 */
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "unix.h"

static struct sigaction disposition; /* from before */

int unix_childwatch_open(void)
{
    sigset_t set;
    struct sigaction action;
    /* Where it is ignored, children are reaped by the system; by default it is not noticed, but can be read. */
    memset(&action, 0, sizeof action);
    action.sa_handler = SIG_DFL;
    sigaction(SIGCHLD, &action, &disposition);
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return -1;
    unix_making();
    return unix_made(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

void unix_childwatch_clear(int watch)
{
    struct signalfd_siginfo info;
    /* Several ends are one signal, so there is one to read. */
    if (read(watch, &info, sizeof info) < 0)
        return;
}

void unix_childwatch_forget(void)
{
    if ((disposition.sa_flags & SA_SIGINFO) || disposition.sa_handler != SIG_DFL)
        sigaction(SIGCHLD, &disposition, NULL);
}
