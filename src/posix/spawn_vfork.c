/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vfork and exec: the cost does not depend on how much memory this process has. Between the two the child borrows this
 * process's memory, so all that it does is system calls, and all signals are blocked.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unix.h"

/** What the child says of itself. */
typedef struct report_t {
    volatile int is_here;
    volatile int error;
    const char *volatile failed;
} report_t;

/** What the child needs. */
typedef struct order_t {
    unix_spawn_t *spawn;
    char **environment;
    report_t *report;
    int pipe; /* for the report, where memory is not shared; -1: it is */
} order_t;

static void fail(const order_t *order, int error, const char *what)
{
    order->report->error = error;
    order->report->failed = what;
    if (order->pipe >= 0 && write(order->pipe, (const void *)(uintptr_t)order->report, sizeof *order->report) < 0)
        _exit(126);
    _exit(127);
}

/** Handlers of this program are not there after exec; until then, none may run in borrowed memory. */
static void reset_handlers(void)
{
#if defined(MPROC_HAVE_SIGRTMAX)
    const int last = SIGRTMAX; /* beyond NSIG on the BSDs */
#else
    const int last = NSIG - 1;
#endif
    for (int sig = 1; sig <= last; sig++) {
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

static void stop_ignoring(int sig)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = SIG_DFL;
    sigaction(sig, &action, NULL);
}

/** What this process ignores another program is not to ignore: it would write on where it should end. */
static void stop_ignoring_all(void)
{
    static const int signals[] = UNIX_SIGNALS_TO_RESTORE;
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        stop_ignoring(signals[i]);
}

/** One more than the highest descriptor that may be open. */
static int descriptor_end(void)
{
#if defined(MPROC_HAVE_F_MAXFD)
    return fcntl(0, F_MAXFD) + 1;
#else
    struct rlimit limit;
    const rlim_t most = 65536;
    return (int)(getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < most ? limit.rlim_cur : most);
#endif
}

/** Make all descriptors from 3 on close-on-exec but those listed. */
static void close_others_on_exec(const int *keep, size_t count)
{
#if defined(MPROC_HAVE_CLOSE_RANGE_CLOEXEC)
    const int marked = close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) == 0;
#elif defined(MPROC_HAVE_SYS_CLOSE_RANGE)
    /* A library that is older than its kernel; 4 is the flag that it does not name. */
    const int marked = syscall(SYS_close_range, 3, ~0U, 4) == 0;
#else
    const int marked = 0;
#endif
    const int end = marked ? 0 : descriptor_end();
    for (int fd = 3; fd < end; fd++)
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    for (size_t i = 0; i < count; i++)
        fcntl(keep[i], F_SETFD, 0);
}

/** Execute the first of the paths that can be executed. */
static void execute(const order_t *order)
{
    const unix_spawn_t *spawn = order->spawn;
    int error = ENOENT;
    for (size_t i = 0; spawn->paths[i]; i++) {
        execve(spawn->paths[i], (char *const *)(uintptr_t)spawn->args, order->environment);
        if (errno == EACCES || !spawn->paths[1])
            error = errno;
        else if (!unix_is_elsewhere(errno))
            fail(order, errno, NULL);
    }
    fail(order, error, NULL);
}

/* Not part of start(): in the frame that both processes have, the child changes nothing. */
static void __attribute__((noinline)) become(const order_t *order, int has_handlers)
{
    const unix_spawn_t *spawn = order->spawn;
    sigset_t none;
    order->report->is_here = 1;
    if (spawn->lifeline && unix_lifeline_follow(spawn->lifeline) != 0)
        _exit(127);
    if (spawn->directory >= 0 && fchdir(spawn->directory) != 0)
        fail(order, errno, "the working folder");
    if (spawn->has_session)
        setsid();
    else if (spawn->has_group)
        setpgid(0, 0);
    if (unix_place_stdio(spawn->stdio) != 0)
        fail(order, errno, "a standard stream");
    close_others_on_exec(spawn->keep, spawn->keep_count);
    if (has_handlers)
        reset_handlers();
    if (spawn->is_foreign)
        stop_ignoring_all();
    if (unix_is_shielded())
        stop_ignoring(SIGINT);
    /* A child that starts with signals blocked could not be terminated. */
    sigemptyset(&none);
    if (spawn->is_shielded)
        sigaddset(&none, SIGINT);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execute(order);
}

static _Thread_local int spawning;

int unix_is_spawning(void)
{
    return spawning;
}

/**
 * vfork, and the kernel resets the handlers: one call instead of one for each signal. -1 where there is no such thing.
 *
 * It has to be part of its caller: the child must not return from a function to which its creator returns later.
 */
static inline pid_t __attribute__((always_inline)) vfork_without_handlers(void)
{
#if defined(MPROC_HAVE_X86_64_CLONE3)
    /* struct clone_args in its first form; here, because the system's headers may be older than its kernel (5.5). */
    enum { NUMBER = 435, VM = 0x100, VFORK = 0x4000 };
    const uint64_t clear_handlers = (uint64_t)1 << 32;
    const struct {
        uint64_t flags;
        uint64_t unused_1[3];
        uint64_t exit_signal;
        uint64_t unused_2[3];
    } arguments = {.flags = VM | VFORK | clear_handlers, .exit_signal = SIGCHLD};
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"((long)NUMBER), "D"(&arguments), "S"(sizeof arguments)
                     : "rcx", "r11", "memory");
    return result < 0 ? -1 : (pid_t)result;
#else
    return -1;
#endif
}

/* Apart, so that nothing of the caller lives in registers that the child could change. */
static pid_t __attribute__((noinline)) start(const order_t *order)
{
    pid_t pid = vfork_without_handlers();
    if (pid == 0)
        become(order, 0);
    if (pid > 0)
        return pid;
    pid = vfork();
    if (pid == 0)
        become(order, 1);
    return pid;
}

/** Whether a vfork child works in this process's memory. Under OpenBSD, emulators and some tools it has a copy. */
enum { SHARING_UNKNOWN, SHARING, NOT_SHARING };
static _Atomic int sharing;

/** Start, and learn whether that has succeeded: from memory that is shared, or else from a pipe that exec closes. */
static apr_status_t start_and_report(pid_t *pid, order_t *order)
{
    const int is_sharing = atomic_load(&sharing) == SHARING;
    report_t received;
    int ends[2] = {-1, -1};
    if (!is_sharing && unix_pipe(ends) != 0)
        return errno;
    order->pipe = ends[1];
    *pid = start(order);
    const apr_status_t status = *pid < 0 ? errno : APR_SUCCESS;
    unix_close(ends[1]);
    if (!is_sharing && *pid > 0) {
        atomic_store(&sharing, order->report->is_here ? SHARING : NOT_SHARING);
        if (!order->report->is_here && read(ends[0], &received, sizeof received) == (ssize_t)sizeof received)
            *order->report = received;
    }
    unix_close(ends[0]);
    return status;
}

apr_status_t unix_spawn(pid_t *pid, unix_spawn_t *spawn)
{
    report_t report = {0, 0, NULL};
    order_t order = {.spawn = spawn,
                     .report = &report,
                     .environment = spawn->environment ? (char **)(uintptr_t)spawn->environment : *unix_environment()};
    sigset_t all, before;
    *pid = 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    spawning = 1;
    apr_status_t status = start_and_report(pid, &order);
    spawning = 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (status == APR_SUCCESS)
        status = report.error;
    if (status == APR_SUCCESS)
        return status;
    spawn->failed = report.failed;
    if (*pid > 0)
        while (waitpid(*pid, NULL, 0) < 0 && errno == EINTR) {}
    *pid = 0;
    return status;
}
