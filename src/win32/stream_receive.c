/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include <mproc/status.h>

#include "stream.h"

/* Memory for what is read ahead is kept from one message to the next up to this size. */
enum { KEPT_AHEAD = 1 << 16 };

/* ---- Reads ------------------------------------------------------------------------------------------------------- */

/** How a read ended. */
static apr_status_t read_result(win32_read_t *read, DWORD error)
{
    read->has_more = error == ERROR_MORE_DATA;
    switch (error) {
    case ERROR_SUCCESS:
    case ERROR_MORE_DATA:
        return APR_SUCCESS;
    case ERROR_OPERATION_ABORTED:
        return APR_EAGAIN;
    case ERROR_BROKEN_PIPE:
    case ERROR_NO_DATA:
    case ERROR_PIPE_NOT_CONNECTED:
        return APR_EOF;
    default:
        return APR_FROM_OS_ERROR(error);
    }
}

/**
 * Stop all reads of those who wait, and count the empty messages that these have taken: those came before what is in
 * the pipe now. With the lock held.
 */
static void settle(sys_stream_t *stream)
{
    DWORD unused;
    for (win32_read_t *read = stream->reads; read; read = read->next) {
        CancelIoEx(stream->pipe, &read->overlapped);
        if (GetOverlappedResult(stream->pipe, &read->overlapped, &unused, TRUE) && !read->is_settled) {
            read->is_settled = 1;
            stream->empty_count++;
        }
    }
}

/** Give the system a read; with the lock held. */
static apr_status_t issue(sys_stream_t *stream, win32_read_t *read, void *buffer, DWORD size)
{
    static unsigned char nothing;
    HANDLE event = read->overlapped.hEvent;
    memset(&read->overlapped, 0, sizeof read->overlapped);
    read->overlapped.hEvent = event;
    read->got = 0;
    read->is_settled = 0;
    DWORD error =
        ReadFile(stream->pipe, buffer ? buffer : &nothing, size, NULL, &read->overlapped) ? 0 : GetLastError();
    if (error == ERROR_IO_PENDING) {
        read->link = &stream->reads;
        read->next = stream->reads;
        if (read->next)
            read->next->link = &read->next;
        stream->reads = read;
        return APR_EINPROGRESS;
    }
    if (error == ERROR_SUCCESS || error == ERROR_MORE_DATA)
        error = GetOverlappedResult(stream->pipe, &read->overlapped, &read->got, FALSE) ? 0 : GetLastError();
    return read_result(read, error);
}

/** Leave an empty message, if a read that just waits has taken one, to who receives next. With the lock held. */
static apr_status_t leave_empty(sys_stream_t *stream, const win32_read_t *read, apr_status_t status)
{
    if (!read->is_waiting || status != APR_SUCCESS || read->has_more)
        return status;
    stream->empty_count++;
    for (win32_read_t *other = stream->reads; other; other = other->next)
        CancelIoEx(stream->pipe, &other->overlapped);
    return APR_EAGAIN;
}

apr_status_t win32_read_begin(sys_stream_t *stream, win32_read_t *read, void *buffer, DWORD size)
{
    AcquireSRWLockExclusive(&stream->lock);
    if (size > 0)
        settle(stream);
    if (!read->is_waiting)
        stream->is_leaving = 0; /* it has stayed after all */
    apr_status_t status = APR_EAGAIN;
    if (read->is_waiting && stream->is_leaving)
        status = APR_EOF;
    else if (!stream->empty_count)
        status = leave_empty(stream, read, issue(stream, read, buffer, size));
    ReleaseSRWLockExclusive(&stream->lock);
    return status;
}

apr_status_t win32_read_finish(sys_stream_t *stream, win32_read_t *read, int is_to_stop)
{
    if (is_to_stop)
        CancelIoEx(stream->pipe, &read->overlapped);
    const DWORD error = GetOverlappedResult(stream->pipe, &read->overlapped, &read->got, TRUE) ? 0 : GetLastError();
    AcquireSRWLockExclusive(&stream->lock);
    *read->link = read->next;
    if (read->next)
        read->next->link = read->link;
    const apr_status_t status = read->is_settled ? APR_EAGAIN : leave_empty(stream, read, read_result(read, error));
    ReleaseSRWLockExclusive(&stream->lock);
    return status;
}

int win32_has_empty(sys_stream_t *stream)
{
    AcquireSRWLockShared(&stream->lock);
    const int has_empty = stream->empty_count > 0;
    ReleaseSRWLockShared(&stream->lock);
    return has_empty;
}

void win32_stop_waiting(sys_stream_t *stream)
{
    AcquireSRWLockExclusive(&stream->lock);
    stream->is_leaving = 1;
    settle(stream);
    ReleaseSRWLockExclusive(&stream->lock);
}

/** Take an empty message that was taken by waiting; with `is_last`, also one that is just being taken. */
static int take_empty(sys_stream_t *stream, int is_last)
{
    AcquireSRWLockExclusive(&stream->lock);
    if (is_last)
        settle(stream);
    const int is_there = stream->empty_count > 0;
    stream->empty_count -= (size_t)is_there;
    ReleaseSRWLockExclusive(&stream->lock);
    return is_there;
}

/** Read by the receiver's own read. APR_EAGAIN: look anew what is there. */
static apr_status_t read_pipe(sys_stream_t *stream, void *buffer, DWORD size, sys_time_t deadline, sys_handle_t stop)
{
    win32_read_t *read = &stream->read;
    if (!read->overlapped.hEvent)
        read->overlapped.hEvent = CreateEventW(NULL, TRUE, FALSE, NULL);
    if (!read->overlapped.hEvent)
        return win32_error();
    apr_status_t status = win32_read_begin(stream, read, buffer, size);
    if (status != APR_EINPROGRESS)
        return status;
    const apr_status_t waited = win32_wait_for(read->overlapped.hEvent, deadline, stop);
    status = win32_read_finish(stream, read, waited != APR_SUCCESS);
    return status == APR_EAGAIN && waited != APR_SUCCESS ? waited : status;
}

/* ---- Messages of the pipe ---------------------------------------------------------------------------------------- */

/** The size of what is left of the pipe's next message; 0 if it is empty, there is none, or that cannot be told. */
static DWORD look(const sys_stream_t *stream)
{
    DWORD left = 0;
    return PeekNamedPipe(stream->pipe, NULL, 0, NULL, NULL, &left) ? left : 0;
}

/** Read a message of the pipe ahead that has `size` bytes, as far as is known. APR_EAGAIN: its sender took it back. */
static apr_status_t read_ahead(sys_stream_t *stream, DWORD size, sys_time_t deadline, sys_handle_t stop)
{
    stream->begin = stream->end = 0;
    do {
        if (stream->ahead_size - stream->end < size) {
            unsigned char *larger = realloc(stream->ahead, stream->end + size);
            if (!larger)
                return APR_ENOMEM;
            stream->ahead = larger;
            stream->ahead_size = stream->end + size;
        }
        const apr_status_t status = read_pipe(stream, stream->ahead + stream->end, size, deadline, stop);
        if (status != APR_SUCCESS) {
            stream->end = 0;
            return status;
        }
        stream->end += stream->read.got;
        /* Another one, and a longer one, can have taken its place meanwhile. */
        size = stream->read.has_more ? look(stream) : 0;
    } while (size > 0);
    return stream->read.has_more ? APR_EAGAIN : APR_SUCCESS;
}

/** Wait for a message of the pipe, and read it: there, if there is room for it, otherwise ahead. */
static apr_status_t receive(sys_stream_t *stream, void *there, size_t room, size_t *got, sys_time_t deadline,
                            sys_handle_t stop)
{
    apr_status_t status;
    *got = 0;
    do {
        if (take_empty(stream, 0))
            return APR_SUCCESS;
        const DWORD size = look(stream);
        if (size == 0) {
            status = read_pipe(stream, NULL, 0, deadline, stop);
            if (status == APR_SUCCESS && stream->read.has_more)
                status = APR_EAGAIN;
        } else if (size <= room) {
            status = read_pipe(stream, there, size, deadline, stop);
            if (status == APR_SUCCESS)
                *got = stream->read.got;
        } else {
            status = read_ahead(stream, size, deadline, stop);
        }
    } while (status == APR_EAGAIN);
    return status == APR_EOF && take_empty(stream, 1) ? APR_SUCCESS : status;
}

/* ---- Messages ---------------------------------------------------------------------------------------------------- */

/** Find out what message begins with what was read ahead. */
static apr_status_t begin_message(sys_stream_t *stream)
{
    win32_head_t head;
    sys_next_t *next = &stream->next;
    const size_t there = stream->end;
    if (there < WIN32_MAGIC_SIZE || memcmp(stream->ahead, win32_magic, WIN32_MAGIC_SIZE) != 0) {
        *next = (sys_next_t){there, there, 0, 0};
        stream->is_in_message = 1;
        return APR_SUCCESS;
    }
    if (there < sizeof head)
        return MPROC_EPROTOCOL;
    memcpy(&head, stream->ahead, sizeof head);
    if (head.size > INT64_MAX || head.handle_count > SYS_ATTACHED_MAX || (head.handle_count && !head.is_marked))
        return MPROC_EPROTOCOL;
    stream->begin = sizeof head + head.handle_count * sizeof head.size;
    if (there < stream->begin || there - stream->begin > head.size)
        return MPROC_EPROTOCOL;
    memcpy(stream->handles, stream->ahead + sizeof head, head.handle_count * sizeof head.size);
    stream->sender = head.sender;
    stream->sender_birth = head.sender_birth;
    *next = (sys_next_t){head.size, head.size, head.is_marked != 0, head.handle_count};
    stream->is_in_message = 1;
    return APR_SUCCESS;
}

apr_status_t sys_stream_next(sys_stream_t *stream, sys_next_t *next, sys_time_t deadline, sys_handle_t stop)
{
    if (!stream->is_in_message) {
        size_t got;
        apr_status_t status = stream->verdict;
        if (status != APR_SUCCESS)
            return status;
        stream->begin = stream->end = 0;
        status = receive(stream, NULL, 0, &got, deadline, stop);
        if (status == APR_SUCCESS)
            status = begin_message(stream);
        if (status == APR_EOF || status == MPROC_EPROTOCOL)
            stream->verdict = status;
        if (status != APR_SUCCESS)
            return status;
    }
    *next = stream->next;
    return APR_SUCCESS;
}

/** Read on in a message whose bytes come in further messages of the pipe. */
static apr_status_t read_on(sys_stream_t *stream, unsigned char *to, size_t size, size_t *got, sys_time_t deadline,
                            sys_handle_t stop)
{
    *got = 0;
    if (stream->verdict != APR_SUCCESS)
        return stream->verdict;
    stream->begin = stream->end = 0;
    const apr_status_t status = receive(stream, to, size, got, deadline, stop);
    if (status == APR_EOF)
        return stream->verdict = MPROC_ETRUNCATED;
    if (status == APR_SUCCESS && ((*got == 0 && stream->end == 0) || stream->end > stream->next.left)) {
        stream->end = 0;
        return stream->verdict = MPROC_EPROTOCOL;
    }
    return status;
}

apr_status_t sys_stream_read(sys_stream_t *stream, void *buffer, size_t size, size_t *done, sys_time_t deadline,
                             sys_handle_t stop)
{
    unsigned char *to = buffer;
    *done = 0;
    while (*done < size) {
        const size_t there = stream->end - stream->begin;
        size_t got = there < size - *done ? there : size - *done;
        if (got > 0) {
            memcpy(to + *done, stream->ahead + stream->begin, got);
            stream->begin += got;
        } else {
            const apr_status_t status = read_on(stream, to + *done, size - *done, &got, deadline, stop);
            if (status != APR_SUCCESS)
                return status;
        }
        *done += got;
        stream->next.left -= got;
    }
    return APR_SUCCESS;
}

/* ---- Handles ----------------------------------------------------------------------------------------------------- */

/** Open the process that sent a message, if it still runs. */
static apr_status_t open_sender(HANDLE *process, const sys_stream_t *stream)
{
    uint64_t birth;
    *process = OpenProcess(PROCESS_DUP_HANDLE | PROCESS_QUERY_LIMITED_INFORMATION | SYNCHRONIZE, FALSE, stream->sender);
    if (!*process)
        return GetLastError() == ERROR_INVALID_PARAMETER ? MPROC_EGONE : win32_error();
    apr_status_t status = win32_birth(&birth, *process);
    if (status == APR_SUCCESS && (birth != stream->sender_birth || WaitForSingleObject(*process, 0) == WAIT_OBJECT_0))
        status = MPROC_EGONE;
    if (status == APR_SUCCESS)
        return status;
    win32_close(*process);
    *process = NULL;
    return status;
}

/** Move the message's handles here from its sender: all or none, and none stays there. */
static apr_status_t pull(const sys_stream_t *stream, sys_handle_t *handles, size_t count)
{
    HANDLE process;
    apr_status_t status = open_sender(&process, stream);
    if (status != APR_SUCCESS)
        return status;
    for (size_t i = 0; i < count; i++) {
        HANDLE moved = NULL;
        HANDLE named = (HANDLE)(uintptr_t)stream->handles[i];
        if (status != APR_SUCCESS)
            DuplicateHandle(process, named, NULL, NULL, 0, FALSE, DUPLICATE_CLOSE_SOURCE);
        else if (!DuplicateHandle(process, named, GetCurrentProcess(), &moved, 0, FALSE,
                                  DUPLICATE_SAME_ACCESS | DUPLICATE_CLOSE_SOURCE))
            status = GetLastError() == ERROR_INVALID_HANDLE ? MPROC_EPROTOCOL : win32_error();
        handles[i] = moved ? (sys_handle_t)moved : SYS_NO_HANDLE;
    }
    if (status != APR_SUCCESS && WaitForSingleObject(process, 0) == WAIT_OBJECT_0)
        status = MPROC_EGONE;
    for (size_t i = 0; i < count && status != APR_SUCCESS; i++) {
        sys_handle_close(handles[i]);
        handles[i] = SYS_NO_HANDLE;
    }
    win32_close(process);
    return status;
}

apr_status_t sys_stream_end_message(sys_stream_t *stream, sys_handle_t *handles)
{
    const size_t count = stream->next.handle_count;
    stream->is_in_message = 0;
    stream->begin = stream->end = 0;
    if (stream->ahead_size > KEPT_AHEAD) {
        free(stream->ahead);
        stream->ahead = NULL;
        stream->ahead_size = 0;
    }
    if (count == 0)
        return APR_SUCCESS;
    /* A stranger could name a process of ours, and have us take its handles. */
    return stream->is_strange ? (apr_status_t)MPROC_EPROTOCOL : pull(stream, handles, count);
}

/* ---- Readiness --------------------------------------------------------------------------------------------------- */

int sys_stream_is_ready(const sys_stream_t *stream)
{
    if (stream->verdict != APR_SUCCESS)
        return 1;
    if (stream->is_in_message)
        return stream->end - stream->begin >= stream->next.left;
    return win32_has_empty((sys_stream_t *)(uintptr_t)stream);
}

void sys_stream_read_exactly(sys_stream_t *stream)
{
    (void)stream; /* the handle of a pipe tells nobody anything */
}
