/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listeners are names of pipes with several ends that nobody is connected to yet; each takes one caller. The one who is
 * accepted is replaced by a new one first, so that the name is never free. The system keeps a name for as long as there
 * is a connection, so an event beside it marks the names that somebody listens at. All ends share one event: it may say
 * that something has changed where nothing has, but not the reverse.
 */
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include <mproc/status.h>

#include "stream.h"

enum { USUAL_BACKLOG = 16, BACKLOG_MAX = 128, LONGEST_NAP = 50 };

/** An end for one caller. */
typedef struct waiting_t {
    OVERLAPPED overlapped;
    HANDLE pipe;
    int is_listening; /* the system has been told to wait for a caller */
    int is_connected;
} waiting_t;

struct sys_listener_t {
    HANDLE mark; /* of a name */
    HANDLE event;
    int any_user;
    size_t backlog;
    SRWLOCK lock; /* guards what follows, and the mark */
    int is_stopped;
    waiting_t *waiting[BACKLOG_MAX];
    size_t count;
    wchar_t path[WIN32_PATH_SIZE];
    char address[3 * WIN32_PATH_SIZE];
};

/* ---- Ends for callers -------------------------------------------------------------------------------------------- */

/** Have the system wait for a caller. */
static apr_status_t listen_for_one(const sys_listener_t *listener, waiting_t *one)
{
    memset(&one->overlapped, 0, sizeof one->overlapped);
    one->overlapped.hEvent = listener->event;
    one->is_listening = 0;
    if (!ConnectNamedPipe(one->pipe, &one->overlapped)) {
        switch (GetLastError()) {
        case ERROR_IO_PENDING:
            one->is_listening = 1;
            return APR_SUCCESS;
        case ERROR_PIPE_CONNECTED:
        case ERROR_NO_DATA: /* and has gone again; what it has sent can be read */
            break;
        default:
            return win32_error();
        }
    }
    one->is_connected = 1;
    return APR_SUCCESS;
}

static void close_one(waiting_t *one)
{
    /*
     * The system writes to it until it has ended: also where there is nothing to stop any more, since the thread has
     * ended that began to wait. The event is no sign of that, since others share it.
     */
    if (one->is_listening) {
        CancelIoEx(one->pipe, &one->overlapped);
        while (!HasOverlappedIoCompleted(&one->overlapped))
            Sleep(0);
    }
    win32_close(one->pipe);
    free(one);
}

/** Add an end. */
static apr_status_t add_one(sys_listener_t *listener, DWORD flags)
{
    waiting_t *one = calloc(1, sizeof *one);
    if (!one)
        return APR_ENOMEM;
    apr_status_t status = win32_pipe_create(&one->pipe, listener->path, PIPE_ACCESS_DUPLEX | flags,
                                            PIPE_UNLIMITED_INSTANCES, listener->any_user);
    if (status == APR_SUCCESS)
        status = listen_for_one(listener, one);
    if (status == APR_SUCCESS)
        listener->waiting[listener->count++] = one;
    else
        close_one(one);
    return status;
}

/** Note whether a caller has come. */
static void look_at_one(const sys_listener_t *listener, waiting_t *one)
{
    DWORD unused;
    if (one->is_listening && HasOverlappedIoCompleted(&one->overlapped)) {
        one->is_listening = 0;
        one->is_connected = GetOverlappedResult(one->pipe, &one->overlapped, &unused, TRUE) != 0;
    }
    /* What a thread has begun to wait for ends with that thread. */
    if (!one->is_listening && !one->is_connected)
        listen_for_one(listener, one);
}

/** Find the first caller who has come: an index, or the count of ends. With the lock held. */
static size_t find_connected(sys_listener_t *listener)
{
    size_t found = listener->count;
    for (size_t i = listener->count; i-- > 0;) {
        look_at_one(listener, listener->waiting[i]);
        if (listener->waiting[i]->is_connected)
            found = i;
    }
    /* To wait for one resets the event that all share: set it if it was for another one. */
    if (found == listener->count)
        ResetEvent(listener->event);
    for (size_t i = 0; i < listener->count; i++)
        if (!listener->waiting[i]->is_listening || HasOverlappedIoCompleted(&listener->waiting[i]->overlapped))
            SetEvent(listener->event);
    return found;
}

int win32_listener_is_ready(sys_listener_t *listener)
{
    AcquireSRWLockExclusive(&listener->lock);
    const int is_ready = listener->is_stopped || find_connected(listener) < listener->count;
    ReleaseSRWLockExclusive(&listener->lock);
    return is_ready;
}

HANDLE win32_listener_event(const sys_listener_t *listener)
{
    return listener->event;
}

/* ---- Listening --------------------------------------------------------------------------------------------------- */

/** Whether somebody listens at a path. */
static int is_in_use(const wchar_t *path)
{
    return WaitNamedPipeW(path, 1) || GetLastError() == ERROR_SEM_TIMEOUT;
}

/** Make the first end. */
static apr_status_t add_first(sys_listener_t *listener, int is_named)
{
    apr_status_t status = APR_SUCCESS;
    if (is_named)
        status = win32_mark_create(&listener->mark, listener->path);
    /* Where the system ignores that this is to be the first one, this is what notices. */
    else if (is_in_use(listener->path))
        status = APR_EEXIST;
    if (status != APR_SUCCESS)
        return status;
    status = add_one(listener, FILE_FLAG_FIRST_PIPE_INSTANCE);
    if (status == APR_SUCCESS || !is_in_use(listener->path))
        return status;
    /* Connections that an earlier listener has made are no reason. */
    return is_named && add_one(listener, 0) == APR_SUCCESS ? APR_SUCCESS : APR_EEXIST;
}

apr_status_t sys_listener_create(sys_listener_t **listener, const char *name, int backlog, int any_user)
{
    int is_named;
    sys_listener_t *made = *listener = calloc(1, sizeof **listener);
    if (!made)
        return APR_ENOMEM;
    InitializeSRWLock(&made->lock);
    made->any_user = any_user;
    made->backlog = backlog <= 0 ? USUAL_BACKLOG : backlog < BACKLOG_MAX ? (size_t)backlog : BACKLOG_MAX;
    made->event = CreateEventW(NULL, TRUE, FALSE, NULL);
    apr_status_t status = made->event ? win32_pipe_path(made->path, &is_named, name) : win32_error();
    if (status == APR_SUCCESS)
        status = win32_to_utf8(made->address, sizeof made->address, made->path);
    if (status == APR_SUCCESS)
        status = add_first(made, is_named);
    while (status == APR_SUCCESS && made->count < made->backlog)
        status = add_one(made, 0);
    if (status == APR_SUCCESS)
        return status;
    sys_listener_close(made);
    *listener = NULL;
    return status;
}

const char *sys_listener_address(const sys_listener_t *listener)
{
    return listener->address;
}

void sys_listener_stop(sys_listener_t *listener)
{
    AcquireSRWLockExclusive(&listener->lock);
    listener->is_stopped = 1;
    win32_close(listener->mark);
    listener->mark = NULL;
    while (listener->count > 0)
        close_one(listener->waiting[--listener->count]);
    SetEvent(listener->event);
    ReleaseSRWLockExclusive(&listener->lock);
}

void sys_listener_close(sys_listener_t *listener)
{
    if (!listener)
        return;
    sys_listener_stop(listener);
    win32_close(listener->event);
    free(listener);
}

/* ---- Connecting -------------------------------------------------------------------------------------------------- */

/** Take the first caller who has come; APR_EAGAIN if there is none, APR_EINTR if none will come. */
static apr_status_t take_one(sys_listener_t *listener, HANDLE *pipe)
{
    apr_status_t status = APR_EAGAIN;
    *pipe = NULL;
    AcquireSRWLockExclusive(&listener->lock);
    const size_t found = listener->is_stopped ? 0 : find_connected(listener);
    if (listener->is_stopped) {
        status = APR_EINTR;
    } else if (found < listener->count) {
        waiting_t *one = listener->waiting[found];
        listener->count--;
        memmove(listener->waiting + found, listener->waiting + found + 1,
                (listener->count - found) * sizeof(waiting_t *));
        status = add_one(listener, 0);
        /* As long as there is another end, the name stays ours, and the next time it may be possible. */
        if (status == APR_SUCCESS || listener->count > 0) {
            status = APR_SUCCESS;
            *pipe = one->pipe;
            free(one);
        } else {
            listener->waiting[listener->count++] = one;
        }
        while (listener->count < listener->backlog && add_one(listener, 0) == APR_SUCCESS) {}
        find_connected(listener);
    }
    ReleaseSRWLockExclusive(&listener->lock);
    return status;
}

/** Make a stream of a pipe that is connected; after a failure the pipe is closed. */
static apr_status_t make_stream(sys_stream_t **stream, HANDLE pipe, int may_be_strange)
{
    const apr_status_t status = win32_stream_make(stream, pipe, SYS_STREAM_IN | SYS_STREAM_OUT);
    if (status != APR_SUCCESS)
        win32_close(pipe);
    else if (may_be_strange)
        win32_stream_check_peer(*stream);
    return status;
}

apr_status_t sys_listener_accept(sys_listener_t *listener, sys_stream_t **stream, sys_time_t deadline,
                                 sys_handle_t stop)
{
    HANDLE pipe;
    *stream = NULL;
    for (;;) {
        apr_status_t status = take_one(listener, &pipe);
        if (status == APR_SUCCESS)
            return make_stream(stream, pipe, listener->any_user);
        if (status != APR_EAGAIN)
            return status;
        status = win32_wait_for(listener->event, deadline, stop);
        if (status != APR_SUCCESS)
            return status;
    }
}

/** Try to connect: the system's error, or 0. */
static apr_status_t try_connect(sys_stream_t **stream, const wchar_t *path, int is_named)
{
    HANDLE pipe;
    ULONG server = 0;
    const apr_status_t status = win32_pipe_connect(&pipe, path, SYS_STREAM_IN | SYS_STREAM_OUT);
    if (status != APR_SUCCESS)
        return status;
    /* Names are this user's. Others cannot make one that is in use, but one that is not. */
    if (is_named && (!GetNamedPipeServerProcessId(pipe, &server) || !win32_is_own_user(server))) {
        win32_close(pipe);
        return APR_EACCES;
    }
    return make_stream(stream, pipe, !is_named);
}

apr_status_t sys_stream_connect(sys_stream_t **stream, const char *name, sys_time_t deadline)
{
    wchar_t path[WIN32_PATH_SIZE];
    int is_named;
    *stream = NULL;
    apr_status_t status = win32_pipe_path(path, &is_named, name);
    for (DWORD nap = 1; status == APR_SUCCESS; nap = nap < LONGEST_NAP ? nap * 2 : nap) {
        const apr_status_t tried = try_connect(stream, path, is_named);
        const int is_busy = tried == APR_FROM_OS_ERROR(ERROR_PIPE_BUSY);
        const int is_absent =
            tried == APR_FROM_OS_ERROR(ERROR_FILE_NOT_FOUND) || (is_busy && is_named && !win32_mark_exists(path));
        if (!is_absent && !is_busy)
            return tried;
        if (deadline == 0 || sys_now() >= deadline)
            return is_absent ? APR_ENOENT : APR_TIMEUP;
        if (is_absent)
            Sleep(nap);
        else
            WaitNamedPipeW(path, nap);
    }
    return status;
}
