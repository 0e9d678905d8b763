/* SPDX-License-Identifier: Apache-2.0 */
#include "start_references.h"

#include <errno.h>
#include <pthread.h>
#include <spawn.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static int wait_for(pid_t pid)
{
    int status;
    pid_t ended;
    do {
        ended = waitpid(pid, &status, 0);
    } while (ended < 0 && errno == EINTR);
    return ended == pid && WIFEXITED(status) && WEXITSTATUS(status) == EXIT_EXPECTED ? 0 : -1;
}

int start_fork(void *unused)
{
    (void)unused;
    const pid_t pid = fork();
    if (pid == 0)
        _exit(EXIT_EXPECTED);
    return pid < 0 ? -1 : wait_for(pid);
}

int start_posix_spawn(void *path)
{
    static char argument[] = EXIT_ARGUMENT;
    char *const argv[] = {path, argument, NULL};
    pid_t pid;
    return posix_spawn(&pid, path, NULL, NULL, argv, environ) != 0 ? -1 : wait_for(pid);
}

static void *run_thread(void *unused)
{
    return unused;
}

int start_pthread(void *unused)
{
    pthread_t thread;
    (void)unused;
    return pthread_create(&thread, NULL, run_thread, NULL) != 0 || pthread_join(thread, NULL) != 0 ? -1 : 0;
}
