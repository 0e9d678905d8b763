/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The creators' side of the fork server. The first process starts it when it is first needed; children of the fork
 * server use the same one. Requests are datagrams with descriptors; answers come on each child's own pipe.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <mproc/status.h>

#include "passed.h"

_Static_assert((int)UNIX_PASS_MAX <= (int)UNIX_PASSED_AT_ONCE, "a request's descriptors go with one message");

/* That a server which is gone is no SIGPIPE, the flag says, or where systems know it, the socket's own option. */
#if defined(MPROC_HAVE_SO_NOSIGPIPE)
enum { SEND_FLAGS = MSG_DONTWAIT };
#else
enum { SEND_FLAGS = MSG_DONTWAIT | MSG_NOSIGNAL };
#endif

static struct {
    int socket;   /* where requests go; -1: there is none */
    int lifeline; /* held as long as it is to live; -1 if this process did not start it */
    int sentinel;
    pid_t pid;
    int answered;          /* it has been seen to work */
    unsigned generation;   /* counts the servers */
    unix_lifeline_t guard; /* the kernel's way to end it, for one that does not see that its lifeline has ended */
} server = {-1, -1, -1, 0, 0, 0, {0, -1, -1}};

enum {
    ATTEMPTS = 8,           /* to start a server that somebody kills */
    NEARLY_ENDED = 1000000, /* microseconds from the end of a server's pipes to its own */
    PATIENCE = 5000000      /* the same for one that ends many children on a busy machine */
};

/* Guards the above. Held while a server is started or a datagram is sent, never while waiting for an answer. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void lock(void)
{
    pthread_mutex_lock(&mutex);
}

static void unlock(void)
{
    pthread_mutex_unlock(&mutex);
}

/* The descriptors are closed with all others of the library; here they are forgotten. */
static void forget_in_forked_child(void)
{
    server.socket = server.lifeline = server.sentinel = -1;
    server.guard.held = -1;
    server.pid = 0;
    server.answered = 0;
}

int unix_forkserver_watch_forks(void)
{
    return unix_at_fork(UNIX_FORK_SERVER, lock, unlock, forget_in_forked_child);
}

void unix_forkserver_join(int socket)
{
    pthread_mutex_lock(&mutex);
    server.socket = socket;
    server.answered = 1;
    pthread_mutex_unlock(&mutex);
}

/* ---- The server's life, with the lock held -------------------- */

/** Let the server go, and wait for its end, which is near: it kills its children and leaves. Its wait status. */
static int end_server(int by_force)
{
    int status = 0;
    pid_t reaped;
    if (by_force)
        kill(server.pid, SIGKILL);
    unix_close(server.socket);
    unix_close(server.lifeline);
    /* One that somebody has stopped would never see that it is to end. */
    if (!by_force && sys_wait(server.sentinel, sys_now() + PATIENCE) == APR_TIMEUP)
        kill(server.pid, SIGKILL);
    while ((reaped = waitpid(server.pid, &status, 0)) < 0 && errno == EINTR) {}
    /* The program ignores the ends of its children, or was faster: perhaps the system still knows. */
    if (reaped < 0 && server.sentinel >= 0)
        unix_sentinel_status(server.sentinel, &status);
    unix_close(server.sentinel);
    unix_lifeline_close(&server.guard); /* last: the kernel ends it by that */
    server.socket = server.lifeline = server.sentinel = -1;
    server.pid = 0;
    return status;
}

/** What a new server is passed, and what its creator keeps; -1 where there is nothing. */
typedef struct ends_t {
    int sockets[2];
    int line[2];
    unix_lifeline_t guard;
} ends_t;

static void close_ends(ends_t *ends)
{
    for (int i = 0; i < 2; i++) {
        unix_close(ends->sockets[i]);
        unix_close(ends->line[i]);
    }
    unix_lifeline_close(&ends->guard);
}

static apr_status_t open_ends(ends_t *ends)
{
    *ends = (ends_t){{-1, -1}, {-1, -1}, {0, -1, -1}};
    if (unix_socketpair(ends->sockets, SOCK_DGRAM) == 0 && unix_pipe(ends->line) == 0 &&
        unix_lifeline_create(&ends->guard, 1) == 0)
        return APR_SUCCESS;
    const apr_status_t status = errno;
    close_ends(ends);
    return status;
}

/** Have this program started as the fork server. */
static apr_status_t start_server(const char **failed)
{
    char marker[80];
    ends_t ends;
    apr_status_t status = open_ends(&ends);
    if (status != APR_SUCCESS)
        return status;
    int keep[5] = {ends.sockets[0], ends.sockets[1], ends.line[0]};
    const int arena = unix_arena_descriptor();
    unix_spawn_t spawn = {
        .directory = -1, .stdio = {-1, -1, -1}, .keep = keep, .keep_count = 3, .lifeline = &ends.guard};
    if (ends.guard.followed >= 0)
        keep[spawn.keep_count++] = ends.guard.followed;
    if (arena >= 0)
        keep[spawn.keep_count++] = arena;
    snprintf(marker, sizeof marker, "--mproc=forkserver:%d,%d,%d,%d,%d", keep[0], keep[1], keep[2], ends.guard.followed,
             arena);
    status = unix_spawn_self(&server.pid, &spawn, marker);
    *failed = spawn.failed;
    if (status != APR_SUCCESS) {
        close_ends(&ends);
        return status;
    }
    unix_close(ends.sockets[0]);
    unix_close(ends.line[0]);
    unix_close(ends.guard.followed);
    ends.guard.followed = -1;
    server.socket = ends.sockets[1];
    server.lifeline = ends.line[1];
    server.guard = ends.guard;
    server.sentinel = unix_sentinel_of_child(server.pid);
    server.answered = 0;
    server.generation++;
    if (server.sentinel < 0) {
        status = errno;
        end_server(1);
    }
    return status;
}

static int has_ended(void)
{
    return server.sentinel >= 0 && sys_wait(server.sentinel, 0) == APR_SUCCESS;
}

void unix_forkserver_shutdown(void)
{
    pthread_mutex_lock(&mutex);
    if (server.lifeline >= 0)
        end_server(0);
    pthread_mutex_unlock(&mutex);
}

/* ---- Requests -------------------- */

/** Send one datagram without waiting, with the block if the request says so: 0, or an errno value. */
static int send_now(const unix_request_t *request, const sys_block_t *block, const int *fds, size_t count)
{
    unix_control_t control;
    struct iovec parts[] = {{(void *)(uintptr_t)request, sizeof *request}, {NULL, request->block_size}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = request->block_size ? 2 : 1};
    if (request->block_size)
        parts[1].iov_base = block->data;
    unix_passed_put(&message, &control, fds, count);
    ssize_t sent;
    do {
        sent = sendmsg(server.socket, &message, SEND_FLAGS);
    } while (sent < 0 && errno == EINTR);
    return sent < 0 ? errno : 0;
}

static int means_gone(int error)
{
    return error == ECONNREFUSED || error == ECONNRESET || error == EPIPE || error == ENOTCONN;
}

/** Whether there was no room for a datagram: the server is at work. */
static int means_full(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK || error == ENOBUFS;
}

/** Send a start request, starting the server if there is none, or none any more. */
static apr_status_t send_request(unsigned *generation, const unix_request_t *request, const int *fds, size_t count,
                                 sys_start_t *start)
{
    for (;;) {
        pthread_mutex_lock(&mutex);
        if (server.lifeline >= 0 && has_ended() && server.answered)
            end_server(0);
        const apr_status_t status = server.socket < 0 ? start_server(&start->failed) : APR_SUCCESS;
        const int error = status == APR_SUCCESS ? send_now(request, start->block, fds, count) : 0;
        *generation = server.generation;
        /* Its socket is closed, so it is ending: the next one takes its place at once. */
        if (means_gone(error) && server.lifeline >= 0 && server.answered)
            end_server(1);
        pthread_mutex_unlock(&mutex);
        if (status != APR_SUCCESS || error == 0)
            return status;
        if (!means_full(error))
            return means_gone(error) ? MPROC_ESTATE : error;
        if (sys_now() >= start->deadline)
            return APR_TIMEUP;
        poll(NULL, 0, 1);
    }
}

/** Read the answer to a start request; MPROC_ESTATE if the server ended instead. */
static apr_status_t receive_answer(pid_t *pid, int status_pipe, sys_time_t deadline)
{
    unix_record_t record;
    apr_status_t status = sys_wait(status_pipe, deadline);
    /* The request is on its way: to give up for a passing lack of memory would leave a child that nobody knows of. */
    while (status != APR_SUCCESS && status != APR_TIMEUP && sys_now() < deadline) {
        poll(NULL, 0, 1);
        status = sys_wait(status_pipe, deadline);
    }
    if (status != APR_SUCCESS)
        return status;
    ssize_t length;
    do {
        length = read(status_pipe, &record, sizeof record);
    } while (length < 0 && errno == EINTR);
    if (length != sizeof record)
        return MPROC_ESTATE;
    if (record.kind != UNIX_RECORD_STARTED)
        return record.value ? record.value : APR_EGENERAL;
    *pid = record.value;
    return APR_SUCCESS;
}

/** Ask once: MPROC_ESTATE if the server is gone, and with it the request. */
static apr_status_t ask(pid_t *pid, int *status_pipe, unsigned *generation, const unix_request_t *request, int *fds,
                        size_t count, sys_start_t *start)
{
    int ends[2];
    *generation = 0;
    if (unix_pipe(ends) != 0)
        return errno;
    fds[UNIX_PASS_STATUS] = ends[1];
    apr_status_t status = send_request(generation, request, fds, count, start);
    unix_close(ends[1]);
    if (status == APR_SUCCESS)
        status = receive_answer(pid, ends[0], start->deadline);
    if (status == APR_SUCCESS)
        *status_pipe = ends[0];
    else
        unix_close(ends[0]);
    return status;
}

/**
 * Judge a server that did not answer and never has: if it ended by itself or took too long, the program is at fault. If
 * it was killed, another one is worth a try (MPROC_ESTATE).
 */
static apr_status_t judge(apr_status_t status, unsigned generation, sys_start_t *start)
{
    pthread_mutex_lock(&mutex);
    if (generation != server.generation) {
        /* Another thread has started another one since: that one is not to blame. */
    } else if (status == APR_SUCCESS) {
        server.answered = 1;
    } else if ((status == MPROC_ESTATE || status == APR_TIMEUP) && !server.answered && server.lifeline >= 0) {
        const int by_force = status == APR_TIMEUP || sys_wait(server.sentinel, sys_now() + NEARLY_ENDED) != APR_SUCCESS;
        const int end = end_server(by_force);
        if (status == APR_TIMEUP || WIFEXITED(end)) {
            start->failed = "the fork server (this program, started anew)";
            status = MPROC_EINIT;
        }
    }
    pthread_mutex_unlock(&mutex);
    return status;
}

static int is_servers_child(void)
{
    pthread_mutex_lock(&mutex);
    const int result = server.socket >= 0 && server.lifeline < 0;
    pthread_mutex_unlock(&mutex);
    return result;
}

static apr_status_t start_with(pid_t *pid, int *status_pipe, const unix_request_t *request, int *fds, size_t count,
                               sys_start_t *start)
{
    for (int attempt = 0;; attempt++) {
        unsigned generation;
        apr_status_t status = ask(pid, status_pipe, &generation, request, fds, count, start);
        status = judge(status, generation, start);
        if (status != MPROC_ESTATE)
            return status;
        start->failed = "the fork server was killed";
        /* Once more, by a new server; in a child of the old one there is nothing more to do than to end with it. */
        if (attempt == ATTEMPTS || is_servers_child())
            return MPROC_ESTARTUP;
    }
}

apr_status_t unix_forkserver_start(pid_t *pid, int *status_pipe, sys_start_t *start)
{
    int fds[UNIX_PASS_MAX];
    int directory, null;
    *status_pipe = -1;
    apr_status_t status = unix_open_directory(&directory, start->directory ? start->directory : ".", &start->failed);
    if (status != APR_SUCCESS)
        return status;
    int stdio[3];
    unix_request_t request = {.operation = UNIX_REQUEST_START, .creator = getpid()};
    if (unix_plan_stdio(stdio, &null, start->stdio, 1) != 0)
        status = errno;
    if (status == APR_SUCCESS) {
        request.is_shielded = start->is_shielded;
        request.as_stdout = stdio[2] == UNIX_STDIO_AS_STDOUT;
        request.handle_count = (uint32_t)start->handle_count;
        fds[UNIX_PASS_DIRECTORY] = directory;
        for (int i = 0; i < 3; i++)
            fds[UNIX_PASS_STDIN + i] = stdio[i] < 0 ? stdio[1] : stdio[i];
        for (size_t i = 0; i < start->handle_count; i++)
            fds[UNIX_PASS_HANDLES + i] = (int)start->handles[i];
        size_t count = UNIX_PASS_HANDLES + start->handle_count;
        fds[count] = (int)start->block->handle;
        if (start->block->is_copied) {
            request.block_size = (uint32_t)start->block->size;
            fds[count] = unix_report_find(start->block->report, &request.report_offset);
        }
        count++;
        status = start_with(pid, status_pipe, &request, fds, count, start);
    }
    unix_close(directory);
    unix_close(null);
    return status;
}

apr_status_t unix_forkserver_signal(pid_t pid, int sig)
{
    const unix_request_t request = {.operation = UNIX_REQUEST_SIGNAL, .creator = getpid(), .pid = pid, .sig = sig};
    pthread_mutex_lock(&mutex);
    const int error = server.socket < 0 ? EPIPE : send_now(&request, NULL, NULL, 0);
    pthread_mutex_unlock(&mutex);
    /* Without its server the child is about to end as well. */
    if (error == 0 || means_gone(error))
        return APR_SUCCESS;
    return means_full(error) ? APR_EAGAIN : error;
}
