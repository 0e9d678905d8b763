/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include <mproc/status.h>

#include "stream.h"

/*
 * A message of up to this size is one of the pipe's, so that other programs understand it: longer ones are in pieces,
 * each of which waits until it is received.
 */
enum { PLAIN_MAX = 1 << 24, PIECE_MAX = 1 << 20 };

/* Up to this size the bytes go with the head, and arrive with it or not at all. */
enum { WITH_HEAD_MAX = 1 << 15 };

const unsigned char win32_magic[WIN32_MAGIC_SIZE] = {0xf5, 'm',  'p',  'r',  'o',  'c',  0xb1, 0x9e,
                                                     0x03, 0xd8, 0x6a, 0xc7, 0x41, 0xec, 0x1d, 0x00};

/** The bytes of a message that have not been sent. */
typedef struct outgoing_t {
    const unsigned char *pieces[2];
    size_t sizes[2];
} outgoing_t;

/* ---- One message of the pipe ------------------------------------------------------------------------------------- */

static apr_status_t write_error(DWORD error)
{
    switch (error) {
    case ERROR_BROKEN_PIPE:
    case ERROR_NO_DATA:
    case ERROR_PIPE_NOT_CONNECTED:
        return APR_EPIPE;
    default:
        return APR_FROM_OS_ERROR(error);
    }
}

/** Write a message of the pipe, or, with APR_TIMEUP and APR_EINTR, nothing. */
static apr_status_t write_message(sys_stream_t *stream, const void *data, size_t size, sys_time_t deadline,
                                  sys_handle_t stop)
{
    OVERLAPPED overlapped;
    DWORD written;
    if (!stream->sending)
        stream->sending = CreateEventW(NULL, TRUE, FALSE, NULL);
    if (!stream->sending)
        return win32_error();
    memset(&overlapped, 0, sizeof overlapped);
    overlapped.hEvent = stream->sending;
    if (WriteFile(stream->pipe, data ? data : "", (DWORD)size, NULL, &overlapped))
        return APR_SUCCESS;
    if (GetLastError() != ERROR_IO_PENDING)
        return write_error(GetLastError());
    const apr_status_t status = win32_wait_for(stream->sending, deadline, stop);
    if (status != APR_SUCCESS)
        CancelIoEx(stream->pipe, &overlapped);
    /* It may be through in spite of that. */
    if (GetOverlappedResult(stream->pipe, &overlapped, &written, TRUE))
        return APR_SUCCESS;
    return GetLastError() == ERROR_OPERATION_ABORTED && status != APR_SUCCESS ? status : write_error(GetLastError());
}

/** Write all in pieces, and take off what was sent. */
static apr_status_t write_pieces(sys_stream_t *stream, outgoing_t *out, sys_time_t deadline, sys_handle_t stop)
{
    for (int i = 0; i < 2; i++) {
        while (out->sizes[i] > 0) {
            const size_t size = out->sizes[i] < PIECE_MAX ? out->sizes[i] : PIECE_MAX;
            const apr_status_t status = write_message(stream, out->pieces[i], size, deadline, stop);
            if (status != APR_SUCCESS)
                return status;
            out->pieces[i] += size;
            out->sizes[i] -= size;
        }
    }
    return APR_SUCCESS;
}

/** Copy the bytes of a message, behind one another; where they end. */
static unsigned char *join(unsigned char *to, const outgoing_t *out)
{
    for (int i = 0; i < 2; i++) {
        if (out->sizes[i])
            memcpy(to, out->pieces[i], out->sizes[i]);
        to += out->sizes[i];
    }
    return to;
}

/* ---- What is left of a message ----------------------------------------------------------------------------------- */

/** Keep what has not been sent, so that the next call can go on. */
static apr_status_t keep_rest(sys_stream_t *stream, const outgoing_t *out)
{
    const size_t size = out->sizes[0] + out->sizes[1];
    stream->rest = malloc(size);
    if (!stream->rest) {
        stream->is_broken = 1;
        win32_parcel_drop(stream->parcel);
        stream->parcel = NULL;
        return MPROC_EBROKEN;
    }
    join(stream->rest, out);
    stream->rest_size = size;
    stream->rest_done = 0;
    return MPROC_EUNFINISHED;
}

/** The message is out: what goes with it is the receiver's business now. */
static void send_parcel(sys_stream_t *stream)
{
    if (stream->parcel)
        win32_parcel_send(stream->parcel);
    stream->parcel = NULL;
}

int sys_stream_has_rest(const sys_stream_t *stream)
{
    return stream->rest != NULL;
}

apr_status_t sys_stream_flush(sys_stream_t *stream, sys_time_t deadline, sys_handle_t stop)
{
    if (stream->is_broken)
        return MPROC_EBROKEN;
    if (!stream->rest)
        return APR_SUCCESS;
    outgoing_t out = {.pieces = {stream->rest + stream->rest_done}, .sizes = {stream->rest_size - stream->rest_done}};
    const apr_status_t status = write_pieces(stream, &out, deadline, stop);
    stream->rest_done = stream->rest_size - out.sizes[0];
    if (status == APR_SUCCESS) {
        free(stream->rest);
        stream->rest = NULL;
        send_parcel(stream);
    }
    return status;
}

/* ---- A whole message --------------------------------------------------------------------------------------------- */

/** Send a message as it is. */
static apr_status_t send_plain(sys_stream_t *stream, const outgoing_t *out, sys_time_t deadline, sys_handle_t stop)
{
    if (!out->sizes[0] || !out->sizes[1]) {
        const int i = out->sizes[0] == 0;
        return write_message(stream, out->pieces[i], out->sizes[i], deadline, stop);
    }
    unsigned char *joined = malloc(out->sizes[0] + out->sizes[1]);
    if (!joined)
        return APR_ENOMEM;
    join(joined, out);
    const apr_status_t status = write_message(stream, joined, out->sizes[0] + out->sizes[1], deadline, stop);
    free(joined);
    return status;
}

/** Whether a message begins as a head does. */
static int looks_like_head(const outgoing_t *out)
{
    unsigned char first[WIN32_MAGIC_SIZE];
    outgoing_t beginning = *out;
    if (out->sizes[0] + out->sizes[1] < sizeof first)
        return 0;
    if (beginning.sizes[0] > sizeof first)
        beginning.sizes[0] = sizeof first;
    beginning.sizes[1] = sizeof first - beginning.sizes[0];
    join(first, &beginning);
    return memcmp(first, win32_magic, sizeof first) == 0;
}

/** Send the head, with the bytes if they are few. `beginning` has room for both. */
static apr_status_t send_beginning(sys_stream_t *stream, unsigned char *beginning, const sys_message_t *message,
                                   outgoing_t *out, sys_time_t deadline, sys_handle_t stop)
{
    win32_head_t head = {.size = (uint64_t)out->sizes[0] + out->sizes[1],
                         .sender = GetCurrentProcessId(),
                         .is_marked = message->is_marked != 0,
                         .handle_count = (uint32_t)message->handle_count};
    unsigned char *end = beginning + sizeof head + message->handle_count * sizeof(uint64_t);
    memcpy(head.magic, win32_magic, sizeof head.magic);
    apr_status_t status = win32_birth(&head.sender_birth, GetCurrentProcess());
    if (status == APR_SUCCESS && message->handle_count > 0)
        status = win32_parcel_make(&stream->parcel, stream->pipe, message->handles, message->handle_count);
    if (status != APR_SUCCESS)
        return status;
    if (stream->parcel)
        win32_parcel_name(stream->parcel, &head.received, beginning + sizeof head);
    memcpy(beginning, &head, sizeof head);
    if (head.size <= WITH_HEAD_MAX) {
        end = join(end, out);
        out->sizes[0] = out->sizes[1] = 0;
    }
    return write_message(stream, beginning, (size_t)(end - beginning), deadline, stop);
}

/** Send a message in the form that is our own. */
static apr_status_t send_with_head(sys_stream_t *stream, const sys_message_t *message, outgoing_t *out,
                                   sys_time_t deadline, sys_handle_t stop)
{
    const size_t total = out->sizes[0] + out->sizes[1];
    unsigned char *beginning =
        malloc(sizeof(win32_head_t) + message->handle_count * sizeof(uint64_t) + (total <= WITH_HEAD_MAX ? total : 0));
    if (!beginning)
        return APR_ENOMEM;
    apr_status_t status = send_beginning(stream, beginning, message, out, deadline, stop);
    free(beginning);
    if (status == APR_SUCCESS) {
        status = write_pieces(stream, out, deadline, stop);
        if (status == APR_TIMEUP || status == APR_EINTR)
            return keep_rest(stream, out);
        stream->is_broken = status != APR_SUCCESS && status != APR_EPIPE;
    }
    if (status == APR_SUCCESS) {
        send_parcel(stream);
    } else {
        /* Nobody takes over the handles of a message that is not complete. */
        win32_parcel_drop(stream->parcel);
        stream->parcel = NULL;
    }
    return status;
}

apr_status_t sys_stream_send(sys_stream_t *stream, const sys_message_t *message, sys_time_t deadline, sys_handle_t stop)
{
    outgoing_t out = {.pieces = {message->pieces[0], message->pieces[1]},
                      .sizes = {message->sizes[0], message->sizes[1]}};
    if (message->handle_count > SYS_ATTACHED_MAX)
        return APR_EINVAL;
    if (stream->rest || stream->is_broken) {
        const apr_status_t status = sys_stream_flush(stream, deadline, stop);
        if (status != APR_SUCCESS)
            return status;
    }
    if (message->is_marked || out.sizes[0] > PLAIN_MAX || out.sizes[1] > PLAIN_MAX - out.sizes[0] ||
        looks_like_head(&out))
        return send_with_head(stream, message, &out, deadline, stop);
    return send_plain(stream, &out, deadline, stop);
}
