/* SPDX-License-Identifier: Apache-2.0 */
/* The BSDs and macOS: the signal's handler writes to a pipe. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "unix.h"

static int wake[2];
static struct sigaction disposition; /* from before */

static void on_child(int sig)
{
    const int error = errno;
    (void)sig;
    /* A full pipe will wake the server as well. */
    if (write(wake[1], "", 1) < 0)
        errno = error;
    errno = error;
}

int unix_childwatch_open(void)
{
    struct sigaction action;
    if (unix_pipe(wake) != 0)
        return -1;
    for (int i = 0; i < 2; i++)
        fcntl(wake[i], F_SETFL, O_NONBLOCK);
    memset(&action, 0, sizeof action);
    action.sa_handler = on_child;
    action.sa_flags = SA_RESTART | SA_NOCLDSTOP;
    return sigaction(SIGCHLD, &action, &disposition) == 0 ? wake[0] : -1;
}

void unix_childwatch_clear(int watch)
{
    char bytes[64];
    while (read(watch, bytes, sizeof bytes) > 0) {}
}

void unix_childwatch_forget(void)
{
    sigaction(SIGCHLD, &disposition, NULL);
}
