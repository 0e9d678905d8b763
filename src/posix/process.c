/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unix.h"

/** Who has to be asked about a process. */
typedef enum kind_t {
    OWN,    /* our child: the kernel tells */
    SERVED, /* the fork server's child: its records tell */
    OTHER   /* only whether it lives */
} kind_t;

struct sys_process_t {
    kind_t kind;
    pid_t pid;
    int has_group;
    int sentinel; /* a sentinel of the kernel, or the reading end of the fork server's records */
    unix_lifeline_t lifeline;
};

apr_status_t sys_method_check(sys_method_t method)
{
    (void)method;
    return APR_SUCCESS;
}

static apr_status_t make(sys_process_t **process, kind_t kind)
{
    *process = calloc(1, sizeof **process);
    if (!*process)
        return APR_ENOMEM;
    (*process)->kind = kind;
    (*process)->sentinel = -1;
    (*process)->lifeline = (unix_lifeline_t){0, -1, -1};
    return APR_SUCCESS;
}

void sys_process_close(sys_process_t *process)
{
    if (!process)
        return;
    unix_close(process->sentinel);
    unix_lifeline_close(&process->lifeline);
    free(process);
}

int unix_sentinel_of_child(int pid)
{
    int ends[2];
    const int sentinel = unix_sentinel_open(pid);
    if (sentinel >= 0)
        return sentinel;
    /* It has ended, or was even reaped by others: anything that is ready will do. */
    if (errno != ESRCH || unix_pipe(ends) != 0)
        return -1;
    unix_close(ends[1]);
    return ends[0];
}

/** Watch a child that was just made. */
static apr_status_t watch(sys_process_t *process)
{
    process->sentinel = unix_sentinel_of_child(process->pid);
    return process->sentinel >= 0 ? APR_SUCCESS : errno;
}

/** A child that cannot be watched must not live on unseen. */
static void abandon(const sys_process_t *process)
{
    kill(process->pid, SIGKILL);
    while (waitpid(process->pid, NULL, 0) < 0 && errno == EINTR) {}
}

/* ---- Fork -------------------- */

/**
 * Write out what is buffered, so that it is not written twice; without waiting for a stream that another thread is
 * using.
 */
static void flush_before_fork(int single_threaded)
{
    FILE *const streams[] = {stdout, stderr};
    if (single_threaded) {
        fflush(NULL);
        return;
    }
    for (int i = 0; i < 2; i++) {
        if (ftrylockfile(streams[i]) != 0)
            continue;
        fflush(streams[i]);
        funlockfile(streams[i]);
    }
}

/** Fork; a child that is to be shielded is from the beginning. */
static pid_t fork_shielded(int is_shielded)
{
    sigset_t before;
    if (is_shielded)
        unix_shield_hold(&before);
    else
        pthread_sigmask(SIG_BLOCK, NULL, &before);
    const pid_t pid = fork();
    const int error = errno;
    if (pid == 0 && is_shielded)
        unix_shield_raise();
    else if (pid == 0)
        unix_shield_drop();
    if (pid == 0)
        unix_let_signals_of_child(&before);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return pid;
}

/** In the forked child: make it what the start says. */
static void become(const sys_start_t *start, const unix_lifeline_t *line, int directory, const int stdio[3],
                   int flush_all)
{
    if (unix_lifeline_follow(line) != 0)
        _exit(127);
    if (directory >= 0 && fchdir(directory) != 0)
        _exit(127);
    if (unix_place_stdio(stdio) != 0)
        _exit(127);
    unix_close(directory);
    for (int i = 0; i < 3; i++)
        if (stdio[i] > 2)
            unix_close(stdio[i]);
    for (size_t i = 0; i < start->handle_count; i++)
        unix_disown((int)start->handles[i]);
    unix_set_forked(flush_all);
}

static apr_status_t start_by_fork(sys_process_t *process, sys_start_t *start)
{
    int keep[UNIX_PASS_MAX];
    size_t count = 0;
    int stdio[3];
    int null = -1;
    int directory = -1;
    apr_status_t status = APR_SUCCESS;
    if (start->directory)
        status = unix_open_directory(&directory, start->directory, &start->failed);
    if (status == APR_SUCCESS && unix_plan_stdio(stdio, &null, start->stdio, 0) != 0)
        status = errno;
    if (status == APR_SUCCESS && unix_lifeline_create(&process->lifeline, 0) != 0)
        status = errno;
    if (status == APR_SUCCESS) {
        for (size_t i = 0; i < start->handle_count; i++)
            keep[count++] = (int)start->handles[i];
        for (int i = 0; i < 3; i++)
            keep[count++] = stdio[i];
        keep[count++] = directory;
        keep[count++] = process->lifeline.followed;
        /* With one thread, no other holds the lock of a stream. */
        const int single_threaded = start->thread_count == 1;
        flush_before_fork(single_threaded);
        unix_keep_in_fork(keep, count);
        const pid_t pid = fork_shielded(start->is_shielded);
        if (pid == 0) {
            unix_kept_in_fork();
            become(start, &process->lifeline, directory, stdio, single_threaded);
            return APR_INCHILD;
        }
        const int error = errno;
        unix_kept_in_fork();
        process->pid = pid;
        status = pid < 0 ? error : watch(process);
        if (status != APR_SUCCESS && process->pid > 0)
            abandon(process);
    }
    unix_close(directory);
    unix_close(null);
    return status;
}

/* ---- Spawn -------------------- */

static apr_status_t start_by_spawn(sys_process_t *process, sys_start_t *start)
{
    char marker[64];
    int keep[UNIX_PASS_MAX];
    size_t count = 0;
    int null = -1;
    unix_spawn_t spawn = {
        .environment = start->environment, .directory = -1, .keep = keep, .is_shielded = start->is_shielded};
    apr_status_t status = APR_SUCCESS;
    if (start->directory)
        status = unix_open_directory(&spawn.directory, start->directory, &spawn.failed);
    if (status == APR_SUCCESS && unix_plan_stdio(spawn.stdio, &null, start->stdio, 0) != 0)
        status = errno;
    if (status == APR_SUCCESS && unix_lifeline_create(&process->lifeline, 0) != 0)
        status = errno;
    if (status == APR_SUCCESS) {
        for (size_t i = 0; i < start->handle_count; i++)
            keep[count++] = (int)start->handles[i];
        keep[count++] = (int)start->block->handle;
        if (process->lifeline.followed >= 0)
            keep[count++] = process->lifeline.followed;
        const int arena = unix_arena_descriptor();
        if (arena >= 0)
            keep[count++] = arena;
        spawn.keep_count = count;
        spawn.lifeline = &process->lifeline;
        snprintf(marker, sizeof marker, "--mproc=spawn:%d,%d", (int)start->block->handle, process->lifeline.followed);
        status = unix_spawn_self(&process->pid, &spawn, marker);
        if (status == APR_SUCCESS) {
            status = watch(process);
            if (status != APR_SUCCESS)
                abandon(process);
        }
    }
    start->failed = spawn.failed;
    unix_close(spawn.directory);
    unix_close(null);
    return status;
}

/* ---- The seam -------------------- */

apr_status_t unix_process_of_child(sys_process_t **process, pid_t pid, int has_group)
{
    sys_process_t lost = {.pid = pid};
    apr_status_t status = make(process, OWN);
    if (status != APR_SUCCESS) {
        abandon(&lost);
        return status;
    }
    (*process)->pid = pid;
    (*process)->has_group = has_group;
    status = watch(*process);
    if (status == APR_SUCCESS)
        return status;
    abandon(*process);
    sys_process_close(*process);
    *process = NULL;
    return status;
}

apr_status_t sys_process_start(sys_process_t **process, sys_method_t method, sys_start_t *start)
{
    apr_status_t status = make(process, method == SYS_FORKSERVER ? SERVED : OWN);
    if (status != APR_SUCCESS)
        return status;
    start->slots[UNIX_SLOT_CREATOR] = getpid();
    start->slots[UNIX_SLOT_ARENA] = unix_arena_descriptor();
    switch (method) {
    case SYS_FORK:
        status = start_by_fork(*process, start);
        break;
    case SYS_SPAWN:
        status = start_by_spawn(*process, start);
        break;
    case SYS_FORKSERVER:
        status = unix_forkserver_start(&(*process)->pid, &(*process)->sentinel, start);
        break;
    }
    if (status == APR_SUCCESS) {
        /* The child has its end of the lifeline. */
        unix_close((*process)->lifeline.followed);
        (*process)->lifeline.followed = -1;
        return status;
    }
    /* What the child follows stays open as long as it lives. To free its creator's object would cost it pages. */
    if (status == APR_INCHILD)
        return status;
    sys_process_close(*process);
    *process = NULL;
    return status;
}

apr_status_t sys_process_open(sys_process_t **process, int pid, uint64_t birth)
{
    uint64_t now = 0;
    apr_status_t status = make(process, OTHER);
    if (status != APR_SUCCESS)
        return status;
    (*process)->pid = pid;
    (*process)->sentinel = unix_sentinel_open(pid);
    if ((*process)->sentinel < 0)
        status = errno == ESRCH ? APR_ENOENT : errno;
    /* Only now, since the number could have passed to another process before. */
    if (status == APR_SUCCESS)
        status = sys_birth(&now, pid);
    /* Those of other users may be hidden from this one. */
    if (status == APR_ENOENT && (*process)->sentinel >= 0 && sys_wait((*process)->sentinel, 0) == APR_TIMEUP)
        status = APR_SUCCESS;
    if (status == APR_SUCCESS && birth && now && birth != now)
        status = APR_ENOENT;
    if (status == APR_SUCCESS)
        return status;
    /* That it is gone takes no descriptor to see. */
    if (status != APR_ENOENT && kill(pid, 0) != 0 && errno == ESRCH)
        status = APR_ENOENT;
    sys_process_close(*process);
    *process = NULL;
    return status;
}

int sys_process_pid(const sys_process_t *process)
{
    return process->pid;
}

sys_handle_t sys_process_sentinel(const sys_process_t *process)
{
    return process->sentinel;
}

/** Put a wait status into the terms of exit codes. */
static void translate(sys_exit_t *end, int status)
{
    end->known = SYS_END_KNOWN;
    end->native = status;
    end->code = WIFSIGNALED(status) ? -unix_signal_number(WTERMSIG(status)) : WEXITSTATUS(status);
}

sys_exit_t sys_exit_of_code(int code)
{
    /* Every Unix has the code in the second byte of a wait status. */
    return (sys_exit_t){SYS_END_KNOWN, code, (int64_t)code << 8};
}

static apr_status_t reap_own(sys_exit_t *end, sys_process_t *process)
{
    int status;
    const pid_t pid = unix_sentinel_reap(process->sentinel, process->pid, &status);
    if (pid == 0)
        return APR_TIMEUP;
    if (pid == process->pid)
        translate(end, status);
    else if (sys_wait(process->sentinel, 0) != APR_SUCCESS)
        return APR_TIMEUP;
    else if (unix_sentinel_status(process->sentinel, &status) == 0)
        translate(end, status);
    return APR_SUCCESS;
}

static apr_status_t reap_served(sys_exit_t *end, sys_process_t *process)
{
    unix_record_t record;
    const ssize_t length = read(process->sentinel, &record, sizeof record);
    if (length == sizeof record && record.kind == UNIX_RECORD_ENDED) {
        translate(end, record.value);
        return APR_SUCCESS;
    }
    /* The fork server was killed, and with it its children were, unless they had just ended. */
    translate(end, SIGKILL);
    end->known = SYS_END_CONCLUDED;
    return APR_SUCCESS;
}

apr_status_t sys_process_reap(sys_exit_t *end, sys_process_t *process)
{
    *end = (sys_exit_t){SYS_END_UNKNOWN, 0, 0};
    /* waitpid() looks by itself whether our own child has ended. */
    if (process->kind == OWN)
        return reap_own(end, process);
    const apr_status_t status = sys_wait(process->sentinel, 0);
    /* The program has closed the sentinel: the number is all that is left. */
    if (status == APR_EBADF)
        return kill(process->pid, 0) != 0 && errno == ESRCH ? APR_SUCCESS : APR_TIMEUP;
    if (status != APR_SUCCESS)
        return APR_TIMEUP;
    switch (process->kind) {
    case SERVED:
        return reap_served(end, process);
    default:
        return APR_SUCCESS;
    }
}

apr_status_t sys_process_signal(sys_process_t *process, sys_signal_t sig)
{
    return process->kind == SERVED ? unix_forkserver_signal(process->pid, (int)sig)
                                   : sys_program_signal(process, (int)sig);
}

apr_status_t sys_program_signal(sys_process_t *process, int number)
{
    int result = unix_sentinel_signal(process->sentinel, process->pid, number);
    /* The program has closed the sentinel: as long as we have not waited for our own child its number is its own. */
    if (result != 0 && errno == EBADF && process->kind == OWN)
        result = kill(process->pid, number);
    if (result == 0 || errno == ESRCH || errno == EBADF)
        return APR_SUCCESS;
    return errno == EPERM ? APR_EACCES : errno;
}

apr_status_t sys_program_signal_all(sys_process_t *process, sys_signal_t sig)
{
    if (process->has_group) {
        /* As long as its leader was not waited for, the group's number is nobody else's. */
        const int is_sent = kill(-process->pid, (int)sig) == 0;
        /* The leader may have left it; and that somebody in it can be killed does not mean that the leader can. */
        if (is_sent && sig != SYS_KILL && getpgid(process->pid) == process->pid)
            return APR_SUCCESS;
        /* If nobody in it was reached, the leader tells why: Darwin forbids it where all of them have ended. */
    }
    return sys_program_signal(process, (int)sig);
}

void sys_process_shutdown(void)
{
    unix_forkserver_shutdown();
    unix_starter_shutdown();
}
