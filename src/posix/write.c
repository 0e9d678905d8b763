/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "unix.h"

ssize_t unix_write_to_pipe(int fd, const void *data, size_t size)
{
    sigset_t broken, pending, before;
    sigemptyset(&broken);
    sigaddset(&broken, SIGPIPE);
    sigpending(&pending);
    const int was_pending = sigismember(&pending, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &broken, &before);
    const ssize_t written = write(fd, data, size);
    const int error = errno;
    sigpending(&pending);
    if (written < 0 && error == EPIPE && !was_pending && sigismember(&pending, SIGPIPE)) {
        int sig;
        sigwait(&broken, &sig);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return written;
}
