/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The BSDs and macOS: a kqueue for each process, with one event in it, the process's end. Nobody ever takes the event
 * out: once the process has ended, poll() finds the kqueue ready for good.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/types.h>
#include <sys/event.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unix.h"

int unix_sentinel_open(int pid)
{
    struct kevent change;
    int result;
    unix_making();
    const int queue = unix_made_kqueue(kqueue());
    if (queue < 0)
        return -1;
    EV_SET(&change, pid, EVFILT_PROC, EV_ADD, NOTE_EXIT, 0, 0);
    do {
        result = kevent(queue, &change, 1, NULL, 0, NULL);
    } while (result < 0 && errno == EINTR);
    if (result == 0)
        return queue;
    /* Of a process that has ended but was not waited for, FreeBSD tells at once; the others say ESRCH. */
    unix_close(queue);
    return -1;
}

int unix_sentinel_signal(int sentinel, int pid, int sig)
{
    /* The number is the process's own until it is waited for; where other code did that, the sentinel knows first. */
    if (sys_wait(sentinel, 0) == APR_SUCCESS) {
        errno = ESRCH;
        return -1;
    }
    return kill(pid, sig);
}

int unix_sentinel_reap(int sentinel, int pid, int *status)
{
    /*
     * The event comes while the process is still being taken apart: a moment later it can be waited for. A second is
     * enough for that; only a debugger may take longer, and then the caller asks again.
     */
    for (int naps = 0; naps < 1000; naps++) {
        const pid_t reaped = waitpid(pid, status, WNOHANG);
        if (reaped > 0 || (reaped < 0 && errno != EINTR))
            return reaped;
        if (reaped == 0 && sys_wait(sentinel, 0) != APR_SUCCESS)
            return 0;
        poll(NULL, 0, 1);
    }
    return 0;
}

int unix_sentinel_status(int sentinel, int *status)
{
    (void)sentinel;
    (void)status;
    return -1; /* who has waited for it knows, nobody else */
}
