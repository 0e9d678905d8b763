/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include <mproc/status.h>

#include "stream.h"

/* Memory for what is read ahead is kept from one message to the next up to this size. */
enum { KEPT_AHEAD = 1 << 16 };

/* ---- Messages of the pipe ---------------------------------------------------------------------------------------- */

/**
 * Read of a message that is there: it never waits.
 *
 * @return APR_SUCCESS, and whether the message has more; APR_EAGAIN: its sender took it back; APR_EOF.
 */
static apr_status_t read_now(sys_stream_t *stream, void *buffer, DWORD size, DWORD *got, int *has_more)
{
    OVERLAPPED overlapped = {.hEvent = stream->receiving};
    *got = 0;
    DWORD error = ReadFile(stream->pipe, buffer, size, NULL, &overlapped) ? 0 : GetLastError();
    if (error == ERROR_IO_PENDING)
        CancelIoEx(stream->pipe, &overlapped);
    if (error == ERROR_IO_PENDING || error == ERROR_SUCCESS || error == ERROR_MORE_DATA)
        error = GetOverlappedResult(stream->pipe, &overlapped, got, TRUE) ? 0 : GetLastError();
    *has_more = error == ERROR_MORE_DATA;
    return win32_read_status(error);
}

/** Read a message of the pipe ahead that has `size` bytes, as far as is known. APR_EAGAIN: its sender took it back. */
static apr_status_t read_ahead(sys_stream_t *stream, DWORD size)
{
    int has_more;
    stream->begin = stream->end = 0;
    do {
        DWORD got;
        if (stream->ahead_size - stream->end < size) {
            unsigned char *larger = realloc(stream->ahead, stream->end + size);
            if (!larger)
                return APR_ENOMEM;
            stream->ahead = larger;
            stream->ahead_size = stream->end + size;
        }
        const apr_status_t status = read_now(stream, stream->ahead + stream->end, size, &got, &has_more);
        if (status != APR_SUCCESS) {
            stream->end = 0;
            return status;
        }
        stream->end += got;
        /* Another one, and a longer one, can have taken its place meanwhile. */
        size = has_more ? win32_pipe_look(stream->pipe) : 0;
    } while (size > 0);
    return has_more ? APR_EAGAIN : APR_SUCCESS;
}

/** Take a message of the pipe, if there is one: there, if there is room for it, otherwise ahead. APR_EAGAIN: none. */
static apr_status_t take(sys_stream_t *stream, void *there, size_t room, size_t *got)
{
    apr_status_t status = APR_EAGAIN;
    const int is_there = win32_probe_begin_taking(stream);
    const DWORD size = is_there > 0 ? win32_pipe_look(stream->pipe) : 0;
    if (is_there < 0) {
        status = APR_SUCCESS;
    } else if (size > room) {
        status = read_ahead(stream, size);
    } else if (size > 0) {
        DWORD taken;
        int has_more;
        status = read_now(stream, there, size, &taken, &has_more);
        *got = taken;
    }
    win32_probe_end_taking(stream);
    return status;
}

/** Wait for a message of the pipe, and take it. */
static apr_status_t receive(sys_stream_t *stream, void *there, size_t room, size_t *got, sys_time_t deadline,
                            sys_handle_t stop)
{
    apr_status_t status;
    *got = 0;
    if (!stream->receiving)
        stream->receiving = CreateEventW(NULL, TRUE, FALSE, NULL);
    if (!stream->receiving)
        return win32_error();
    while ((status = take(stream, there, room, got)) == APR_EAGAIN) {
        status = win32_probe_wait(stream, deadline, stop);
        if (status != APR_SUCCESS)
            return status;
    }
    return status;
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
    stream->received = head.received;
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

/** Tell the sender that its duplicates of the message's handles are not needed any more. */
static void acknowledge(const sys_stream_t *stream, HANDLE process)
{
    HANDLE received;
    if (!DuplicateHandle(process, (HANDLE)(uintptr_t)stream->received, GetCurrentProcess(), &received,
                         EVENT_MODIFY_STATE, FALSE, 0))
        return;
    SetEvent(received);
    win32_close(received);
}

/** Get the message's handles from its sender: all or none. */
static apr_status_t pull(const sys_stream_t *stream, sys_handle_t *handles, size_t count)
{
    HANDLE process;
    apr_status_t status = open_sender(&process, stream);
    if (status != APR_SUCCESS)
        return status;
    for (size_t i = 0; i < count; i++) {
        HANDLE pulled = NULL;
        HANDLE named = (HANDLE)(uintptr_t)stream->handles[i];
        if (status == APR_SUCCESS &&
            !DuplicateHandle(process, named, GetCurrentProcess(), &pulled, 0, FALSE, DUPLICATE_SAME_ACCESS))
            status = GetLastError() == ERROR_INVALID_HANDLE ? MPROC_EPROTOCOL : win32_error();
        handles[i] = pulled ? (sys_handle_t)pulled : SYS_NO_HANDLE;
    }
    if (status != APR_SUCCESS && WaitForSingleObject(process, 0) == WAIT_OBJECT_0)
        status = MPROC_EGONE;
    for (size_t i = 0; i < count && status != APR_SUCCESS; i++) {
        sys_handle_close(handles[i]);
        handles[i] = SYS_NO_HANDLE;
    }
    acknowledge(stream, process);
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
    return win32_probe_has_empty((sys_stream_t *)(uintptr_t)stream);
}

void sys_stream_read_exactly(sys_stream_t *stream)
{
    (void)stream; /* the handle of a pipe tells nobody anything */
}
