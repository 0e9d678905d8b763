/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pipe to a program: bytes, and calls that do not wait on our side; on the program's side what any program expects of
 * its standard streams, a handle whose calls wait.
 *
 * The system reads and writes behind our back, from and to the channel's own memory: to read is begun when somebody
 * asks, and to write lets the caller go on. It stops what was begun by a thread when that thread ends, which is noticed
 * here and begun anew. Nothing is lost by that, and nothing comes twice:
 * - A read that was stopped has taken nothing: one that has found something is over.
 * - A write that was stopped has given nothing. It is never longer than the pipe's memory, so the system takes all of
 *   it, and it is over, as soon as what was written before has been read: until then its reader has not come to it.
 *
 * A channel that writes is looked after, see linger.c: until the program has read enough, whatever becomes of the
 * thread and of the channel. What the program has not read by the end of this process is lost, but for what is in the
 * pipe's memory.
 */
#include <stdlib.h>
#include <string.h>

#include "stream.h"

enum { BUFFER = WIN32_PIPE_BUFFER };

struct sys_channel_t {
    win32_linger_t linger; /* first */
    SRWLOCK lock;          /* between the caller and who looks after it; guards all that follows */
    int is_looked_after;
    int is_closed; /* it is destroyed by who looks after it */
    HANDLE pipe;
    OVERLAPPED overlapped; /* its event is set when what was begun is over */
    int is_output;         /* we write */
    int is_pending;        /* the system reads or writes */
    DWORD thread;          /* who has begun it */
    apr_status_t verdict;  /* why nothing more comes or goes, for good */
    size_t begin;          /* from here to the end: what was read and nobody has taken, or what is not yet written */
    size_t end;
    size_t room; /* the most that is read or written at once */
    unsigned char buffer[BUFFER];
};

/* ---- Making and unmaking ----------------------------------------------------------------------------------------- */

/** Make both ends. */
static apr_status_t make_pipe(HANDLE *ours, HANDLE *theirs, int is_output)
{
    wchar_t path[WIN32_PATH_SIZE];
    /* Beside reading or writing: what C runtimes ask of their standard streams. */
    const DWORD access = is_output ? GENERIC_READ | FILE_WRITE_ATTRIBUTES : GENERIC_WRITE | FILE_READ_ATTRIBUTES;
    *ours = *theirs = NULL;
    apr_status_t status = win32_pipe_new_path(path);
    if (status == APR_SUCCESS)
        status = win32_pipe_create_bytes(ours, path, is_output);
    if (status != APR_SUCCESS)
        return status;
    HANDLE made =
        CreateFileW(path, access, 0, NULL, OPEN_EXISTING, SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION, NULL);
    if (made == INVALID_HANDLE_VALUE)
        return win32_error();
    *theirs = made;
    return win32_pipe_join(*ours);
}

static void destroy(sys_channel_t *channel)
{
    DWORD unused;
    if (channel->is_pending) {
        CancelIoEx(channel->pipe, &channel->overlapped);
        /* The memory is the system's until this is over. */
        GetOverlappedResult(channel->pipe, &channel->overlapped, &unused, TRUE);
    }
    win32_close(channel->pipe);
    win32_close(channel->overlapped.hEvent);
    free(channel);
}

apr_status_t sys_channel_create(sys_channel_t **channel, sys_handle_t *theirs, int is_input)
{
    HANDLE other;
    DWORD room = 0;
    *theirs = SYS_NO_HANDLE;
    sys_channel_t *made = *channel = calloc(1, sizeof **channel);
    if (!made)
        return APR_ENOMEM;
    InitializeSRWLock(&made->lock);
    made->is_output = is_input;
    made->room = BUFFER;
    apr_status_t status = make_pipe(&made->pipe, &other, is_input);
    if (status == APR_SUCCESS) {
        made->overlapped.hEvent = CreateEventW(NULL, TRUE, FALSE, NULL);
        if (!made->overlapped.hEvent)
            status = win32_error();
    }
    if (status != APR_SUCCESS) {
        win32_close(other);
        destroy(made);
        *channel = NULL;
        return status;
    }
    /* The system is free to give a pipe less memory than it was asked for. */
    if (GetNamedPipeInfo(made->pipe, NULL, &room, NULL, NULL) && room > 0 && room < BUFFER)
        made->room = room;
    *theirs = (sys_handle_t)other;
    return APR_SUCCESS;
}

/* ---- Reading and writing ----------------------------------------------------------------------------------------- */

/** What an error means. */
static apr_status_t status_of(const sys_channel_t *channel, DWORD error)
{
    switch (error) {
    case ERROR_OPERATION_ABORTED:
        return APR_EAGAIN;
    case ERROR_BROKEN_PIPE:
    case ERROR_NO_DATA:
    case ERROR_PIPE_NOT_CONNECTED:
        return channel->is_output ? APR_EPIPE : APR_EOF;
    default:
        return APR_FROM_OS_ERROR(error);
    }
}

/** See how what was begun has ended: APR_SUCCESS; APR_EAGAIN: it was stopped; or why nothing more comes or goes. */
static apr_status_t finish(sys_channel_t *channel)
{
    DWORD count;
    channel->is_pending = 0;
    if (!GetOverlappedResult(channel->pipe, &channel->overlapped, &count, TRUE))
        return status_of(channel, GetLastError());
    /* A program can write nothing, and that is read. */
    if (channel->is_output)
        channel->begin += count;
    else
        channel->end = count;
    return APR_SUCCESS;
}

/** Have the system read or write: as finish(), or APR_EINPROGRESS. */
static apr_status_t start(sys_channel_t *channel)
{
    OVERLAPPED *overlapped = &channel->overlapped;
    *overlapped = (OVERLAPPED){.hEvent = overlapped->hEvent};
    BOOL is_through;
    if (channel->is_output) {
        is_through = WriteFile(channel->pipe, channel->buffer + channel->begin, (DWORD)(channel->end - channel->begin),
                               NULL, overlapped);
    } else {
        channel->begin = channel->end = 0;
        is_through = ReadFile(channel->pipe, channel->buffer, (DWORD)channel->room, NULL, overlapped);
    }
    if (is_through)
        return finish(channel);
    const DWORD error = GetLastError();
    channel->is_pending = error == ERROR_IO_PENDING;
    channel->thread = GetCurrentThreadId();
    return channel->is_pending ? APR_EINPROGRESS : status_of(channel, error);
}

/**
 * Whether another thread has begun to read; then that is stopped. The system tells that thread first what it has read,
 * when that thread has its turn: until then the bytes are neither in the pipe nor here.
 */
static int is_of_another(sys_channel_t *channel)
{
    if (channel->is_output || channel->thread == GetCurrentThreadId())
        return 0;
    CancelIoEx(channel->pipe, &channel->overlapped);
    return 1;
}

/** As win32_channel_look(); with the lock held. */
static apr_status_t look(sys_channel_t *channel)
{
    while (channel->verdict == APR_SUCCESS) {
        apr_status_t status;
        if (!channel->is_pending && channel->is_output == (channel->begin == channel->end))
            return APR_SUCCESS;
        if (!channel->is_pending)
            status = start(channel);
        /* The event is the last that the system touches. */
        else if (WaitForSingleObject(channel->overlapped.hEvent, 0) != WAIT_TIMEOUT || is_of_another(channel))
            status = finish(channel);
        else
            status = APR_EINPROGRESS;
        if (status == APR_EINPROGRESS)
            return status;
        if (status != APR_EAGAIN)
            channel->verdict = status;
    }
    return channel->verdict;
}

/* ---- Being looked after ------------------------------------------------------------------------------------------ */

/** Called by a thread of the system's: what was begun is over, unless it has to be begun anew. */
static win32_look_t look_after(win32_linger_t *linger, int timed_out)
{
    sys_channel_t *channel = (sys_channel_t *)linger;
    (void)timed_out;
    AcquireSRWLockExclusive(&channel->lock);
    channel->is_looked_after = look(channel) == APR_EINPROGRESS;
    const win32_look_t found = channel->is_looked_after ? WIN32_GOES_ON : channel->is_closed ? WIN32_OVER : WIN32_LEFT;
    ReleaseSRWLockExclusive(&channel->lock);
    return found;
}

static void destroy_closed(win32_linger_t *linger)
{
    sys_channel_t *channel = (sys_channel_t *)linger;
    channel->is_looked_after = 0;
    if (channel->is_closed)
        destroy(channel);
}

/** Have a channel looked after that writes. */
static void linger(sys_channel_t *channel)
{
    channel->linger.event = channel->overlapped.hEvent;
    channel->linger.period = INFINITE;
    channel->linger.look = look_after;
    channel->linger.destroy = destroy_closed;
    win32_linger(&channel->linger);
}

/** Release the lock, and see to it that a channel is looked after if it writes. */
static void release(sys_channel_t *channel)
{
    const int is_first = channel->is_output && channel->is_pending && !channel->is_looked_after;
    if (is_first)
        channel->is_looked_after = 1;
    ReleaseSRWLockExclusive(&channel->lock);
    if (is_first)
        linger(channel);
}

apr_status_t win32_channel_look(sys_channel_t *channel)
{
    AcquireSRWLockExclusive(&channel->lock);
    const apr_status_t status = look(channel);
    release(channel);
    return status;
}

HANDLE win32_channel_event(const sys_channel_t *channel)
{
    return channel->overlapped.hEvent;
}

/* ---- The seam ---------------------------------------------------------------------------------------------------- */

apr_status_t sys_channel_read(sys_channel_t *channel, void *buffer, size_t size, size_t *got)
{
    *got = 0;
    const apr_status_t status = win32_channel_look(channel);
    if (status != APR_SUCCESS)
        return status == APR_EINPROGRESS ? APR_EAGAIN : status;
    const size_t there = channel->end - channel->begin;
    *got = size < there ? size : there;
    memcpy(buffer, channel->buffer + channel->begin, *got);
    channel->begin += *got;
    return APR_SUCCESS;
}

apr_status_t sys_channel_write(sys_channel_t *channel, const void *data, size_t size, size_t *done)
{
    AcquireSRWLockExclusive(&channel->lock);
    apr_status_t status = look(channel);
    *done = 0;
    while (status == APR_SUCCESS && *done < size) {
        const size_t rest = size - *done;
        channel->begin = 0;
        channel->end = rest < channel->room ? rest : channel->room;
        memcpy(channel->buffer, (const unsigned char *)data + *done, channel->end);
        const size_t given = channel->end;
        status = look(channel);
        /* It is on its way, or already there. */
        if (status == APR_SUCCESS || status == APR_EINPROGRESS)
            *done += given;
    }
    release(channel);
    if (*done > 0)
        return APR_SUCCESS;
    return status == APR_EINPROGRESS ? APR_EAGAIN : status;
}

void sys_channel_close(sys_channel_t *channel)
{
    if (!channel)
        return;
    if (channel->is_output)
        win32_linger_end(&channel->linger);
    if (!channel->is_output || look(channel) != APR_EINPROGRESS) {
        destroy(channel);
        return;
    }
    channel->is_looked_after = channel->is_closed = 1;
    linger(channel);
}
