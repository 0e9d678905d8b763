/* SPDX-License-Identifier: Apache-2.0 */
/*
 * macOS, NetBSD, OpenBSD: no kernel there kills a process together with its parent. In each child a thread waits for
 * the parent's end and then kills the child.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/types.h>
#include <unistd.h>

#include "unix.h"

/* The thread does a few system calls; it is not to cost more memory than that takes. */
enum { STACK_SIZE = 1 << 16, LONGEST_NAP = 1000 };

static int parent;
static int sentinel = -1;
static pid_t watched_process; /* where the thread runs: a forked child has these variables too, but not the thread */

int unix_lifeline_create(unix_lifeline_t *line, int outlives_thread)
{
    (void)outlives_thread; /* here it always does */
    *line = (unix_lifeline_t){.parent = getpid(), .held = -1, .followed = -1};
    return 0;
}

int unix_lifeline_follow(const unix_lifeline_t *line)
{
    /* After vfork nothing more can be done; the thread starts in unix_lifeline_renew(). */
    return getppid() == line->parent ? 0 : -1;
}

/** Whether init has taken this process in. Another parent than before may also be a debugger. */
static int is_orphan(void)
{
    return getppid() == 1 && parent != 1;
}

static void *watch(void *unused)
{
    int nap = 1;
    (void)unused;
    /*
     * The parent's end is told a moment before this process becomes an orphan. The sentinel alone does not prove it: a
     * program that closes all descriptors, as daemons do, closes this one, and its number may become another file's.
     */
    for (sys_wait(sentinel, SYS_NEVER); !is_orphan(); sys_wait(sentinel, SYS_NEVER)) {
        poll(NULL, 0, nap);
        nap = nap < LONGEST_NAP ? nap * 2 : nap;
    }
    kill(getpid(), SIGKILL);
    return NULL;
}

/** Start the thread, with all signals blocked: the program's handlers are to run on the program's threads. */
static int start_thread(void)
{
    pthread_attr_t attributes;
    pthread_t thread;
    int error = pthread_attr_init(&attributes);
    if (error != 0)
        return error;
    pthread_attr_setstacksize(&attributes, STACK_SIZE); /* refused where it is too small: then it has the usual size */
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sys_hold_signals();
    error = pthread_create(&thread, &attributes, watch, NULL);
    sys_let_signals();
    pthread_attr_destroy(&attributes);
    return error;
}

int unix_lifeline_renew(int new_parent)
{
    parent = new_parent;
    sentinel = unix_sentinel_open(parent);
    if (sentinel < 0 && errno != ESRCH)
        return -1;
    if (sentinel < 0 || is_orphan())
        kill(getpid(), SIGKILL);
    const int error = start_thread();
    if (error != 0) {
        unix_close(sentinel);
        errno = error;
        return -1;
    }
    watched_process = getpid();
    return 0;
}

int unix_lifeline_threads(void)
{
    return watched_process == getpid() ? 1 : 0;
}

void unix_lifeline_close(unix_lifeline_t *line)
{
    (void)line;
}
