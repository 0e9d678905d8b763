/* SPDX-License-Identifier: Apache-2.0 */
/* Children to which Ctrl-C means nothing: they ignore SIGINT, but what they start in their turn does not. */
#include <signal.h>
#include <stddef.h>
#include <string.h>

#include "unix.h"

/*
 * Whether SIGINT is ignored because this process is such a child. If it was ignored before (a shell does that for what
 * runs in the background), what this process starts is to ignore it as well, and there is nothing to take back.
 */
static int is_shielded;

static void set_interrupt(void (*disposition)(int), struct sigaction *before)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = disposition;
    sigaction(SIGINT, &action, before);
}

void unix_shield_hold(sigset_t *before)
{
    sigset_t interrupt;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    pthread_sigmask(SIG_BLOCK, &interrupt, before);
}

void unix_shield_raise(void)
{
    struct sigaction before;
    /* What has come since the start, and waits, goes with it. */
    set_interrupt(SIG_IGN, &before);
    if ((before.sa_flags & SA_SIGINFO) || before.sa_handler != SIG_IGN)
        is_shielded = 1;
}

int unix_is_shielded(void)
{
    return is_shielded;
}

void unix_shield_drop(void)
{
    struct sigaction now;
    if (!is_shielded)
        return;
    is_shielded = 0;
    /* A handler of the program's own stays. */
    if (sigaction(SIGINT, NULL, &now) == 0 && !(now.sa_flags & SA_SIGINFO) && now.sa_handler == SIG_IGN)
        set_interrupt(SIG_DFL, NULL);
}
