/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "unix.h"

ssize_t unix_write_to_pipe(int fd, const void *data, size_t size)
{
    sigset_t broken, pending, before;
    int was_pending = 0;
    sigemptyset(&broken);
    sigaddset(&broken, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &broken, &before);
    /* One that waits already is not from here; it can wait only where it was blocked. */
    const int was_blocked = sigismember(&before, SIGPIPE);
    if (was_blocked && sigpending(&pending) == 0)
        was_pending = sigismember(&pending, SIGPIPE);
    const ssize_t written = write(fd, data, size);
    const int error = errno;
    if (written < 0 && error == EPIPE && !was_pending && sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE)) {
        int sig;
        sigwait(&broken, &sig);
    }
    if (!was_blocked)
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return written;
}
