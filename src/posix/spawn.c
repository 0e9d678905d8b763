/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vfork and exec: the cost does not depend on how much memory this process has. Between the two the child borrows this process's
 * memory, so all that it does is system calls, and all signals are blocked.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unix.h"

extern char **environ;

/** What the child needs, and where it leaves word of a failure. */
typedef struct order_t {
    unix_spawn_t *spawn;
    const char *path;
    char *argv[3];
    char **environment;
    volatile int error;
    const char *volatile failed;
} order_t;

static void fail(order_t *order, const char *what)
{
    order->error = errno;
    order->failed = what;
    _exit(127);
}

/** Handlers of this program are not there after exec; until then, none may run in borrowed memory. */
static void reset_handlers(void)
{
    for (int sig = 1; sig < NSIG; sig++) {
        struct sigaction action;
        if (sigaction(sig, NULL, &action) != 0)
            continue;
        const int is_handled =
            (action.sa_flags & SA_SIGINFO) || (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN);
        if (!is_handled)
            continue;
        memset(&action, 0, sizeof action);
        action.sa_handler = SIG_DFL;
        sigaction(sig, &action, NULL);
    }
}

static void become(order_t *order)
{
    const unix_spawn_t *spawn = order->spawn;
    sigset_t none;
    if (spawn->lifeline && unix_lifeline_follow(spawn->lifeline) != 0)
        _exit(127);
    if (spawn->directory >= 0 && fchdir(spawn->directory) != 0)
        fail(order, "the working folder");
    if (unix_place_stdio(spawn->stdio) != 0)
        fail(order, "a standard stream");
    unix_close_others_on_exec(spawn->keep, spawn->keep_count);
    reset_handlers();
    /* A child that starts with signals blocked could not be terminated. */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execve(order->path, order->argv, order->environment);
    fail(order, "the program's file");
}

static _Thread_local int spawning;

int unix_is_spawning(void)
{
    return spawning;
}

/* Apart, so that nothing of the caller lives in registers that the child could change. */
static pid_t __attribute__((noinline)) start(order_t *order)
{
#if defined(MPROC_HAVE_VFORK)
    const pid_t pid = vfork();
#else
    const pid_t pid = fork();
#endif
    if (pid == 0)
        become(order);
    return pid;
}

apr_status_t unix_spawn(pid_t *pid, unix_spawn_t *spawn)
{
    order_t order = {.spawn = spawn,
                     .environment = spawn->environment ? (char **)(uintptr_t)spawn->environment : environ};
    sigset_t all, before;
    *pid = 0;
    apr_status_t status = unix_program_path(&order.path, &spawn->failed);
    if (status != APR_SUCCESS)
        return status;
    order.argv[0] = (char *)(uintptr_t)unix_program_name();
    order.argv[1] = (char *)(uintptr_t)spawn->marker;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    spawning = 1;
    *pid = start(&order);
    spawning = 0;
    status = *pid < 0 ? errno : order.error;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (status == APR_SUCCESS)
        return status;
    spawn->failed = order.failed;
    if (*pid > 0)
        while (waitpid(*pid, NULL, 0) < 0 && errno == EINTR) {}
    *pid = 0;
    return status;
}

apr_status_t unix_open_directory(int *fd, const char *path, const char **failed)
{
    *fd = unix_open(path, O_RDONLY | O_DIRECTORY);
#if defined(O_PATH)
    /* A folder that may be entered but not listed will do. */
    if (*fd < 0 && errno == EACCES)
        *fd = unix_open(path, O_PATH | O_DIRECTORY);
#endif
    if (*fd >= 0 && faccessat(*fd, ".", X_OK, 0) == 0)
        return APR_SUCCESS;
    const apr_status_t status = errno;
    unix_close(*fd);
    *fd = -1;
    *failed = "the working folder";
    return status;
}
