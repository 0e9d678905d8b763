/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mproc/status.h>

#include "stream.h"

/* That the other end is closed is no SIGPIPE, the flag says, or where systems know it, the socket's own option. */
#if defined(MPROC_HAVE_SO_NOSIGPIPE)
enum { SEND_FLAGS = 0 };
#else
enum { SEND_FLAGS = MSG_NOSIGNAL };
#endif

/** The pieces of a message that have not been sent. */
typedef struct outgoing_t {
    struct iovec pieces[3];
    int first; /* of those that have bytes left */
    const sys_message_t *message;
} outgoing_t;

enum { PIECES = 3 };

/* So little is copied into one piece first: the system takes one in less time than a list of them. */
enum { SMALL = 1024 };

static void put_number(unsigned char *to, uint64_t number, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--, number >>= 8)
        to[i] = (unsigned char)(number & 0xff);
}

/** Write a frame's length; how many bytes that takes. */
static size_t put_header(unsigned char header[FRAME_MARKED], const sys_message_t *message)
{
    const uint64_t size = (uint64_t)message->sizes[0] + message->sizes[1];
    if (!message->is_marked && size <= INT32_MAX) {
        put_number(header, size, FRAME_SHORT);
        return FRAME_SHORT;
    }
    put_number(header, (uint64_t)(message->is_marked ? FRAME_MARKED_LENGTH : FRAME_LONG_LENGTH), FRAME_SHORT);
    put_number(header + FRAME_SHORT, size, FRAME_LONG - FRAME_SHORT);
    if (!message->is_marked)
        return FRAME_LONG;
    put_number(header + FRAME_LONG, message->handle_count, FRAME_MARKED - FRAME_LONG);
    return FRAME_MARKED;
}

/* ---- One system call -------------------- */

/** Copy what is left into one piece: its size, or 0 if that is not little. */
static size_t gather(unsigned char to[SMALL], const outgoing_t *out)
{
    size_t size = 0;
    for (int i = out->first; i < PIECES; i++) {
        const struct iovec *piece = &out->pieces[i];
        if (piece->iov_len > SMALL - size)
            return 0;
        if (piece->iov_len)
            memcpy(to + size, piece->iov_base, piece->iov_len);
        size += piece->iov_len;
    }
    return size;
}

static ssize_t send_to_socket(int fd, const outgoing_t *out, int flags)
{
    unsigned char small[SMALL];
    unix_control_t control;
    int fds[SYS_ATTACHED_MAX];
    struct iovec pieces[PIECES];
    struct msghdr message = {.msg_iov = pieces};
    const size_t count = out->message ? out->message->handle_count : 0;
    const size_t size = count == 0 ? gather(small, out) : 0;
    if (size > 0)
        return send(fd, small, size, SEND_FLAGS | flags);
    size_t room = UNIX_STREAM_AT_ONCE;
    for (int i = out->first; i < PIECES && room > 0; i++) {
        struct iovec *piece = &pieces[message.msg_iovlen++];
        *piece = out->pieces[i];
        if (piece->iov_len > room)
            piece->iov_len = room;
        room -= piece->iov_len;
    }
    for (size_t i = 0; i < count; i++)
        fds[i] = (int)out->message->handles[i];
    unix_passed_put(&message, &control, fds, count);
    return sendmsg(fd, &message, SEND_FLAGS | flags);
}

/** Write to a pipe: not more than it takes at once, since it may be one that waits. */
static ssize_t write_to_pipe(int fd, outgoing_t *out)
{
    struct pollfd item = {.fd = fd, .events = POLLOUT};
    const struct iovec *piece = out->pieces + out->first;
    const int ready = poll(&item, 1, 0);
    if (ready <= 0) {
        errno = ready == 0 ? EAGAIN : errno;
        return -1;
    }
    return unix_write_to_pipe(fd, piece->iov_base, piece->iov_len < PIPE_BUF ? piece->iov_len : PIPE_BUF);
}

/** Take what was sent off the pieces. */
static void advance(outgoing_t *out, size_t sent)
{
    /* The handles went with the first byte. */
    if (sent > 0)
        out->message = NULL;
    while (out->first < PIECES && sent >= out->pieces[out->first].iov_len) {
        sent -= out->pieces[out->first].iov_len;
        out->first++;
    }
    if (out->first < PIECES) {
        out->pieces[out->first].iov_base = (char *)out->pieces[out->first].iov_base + sent;
        out->pieces[out->first].iov_len -= sent;
    }
}

/** Send until all has gone, or a failure. */
static apr_status_t send_all(const sys_stream_t *stream, outgoing_t *out, sys_time_t deadline, sys_handle_t stop)
{
    /* Without a deadline the system does the waiting: sys_stream_interrupt() ends that. */
    const int flags = stream->is_ours && deadline == SYS_NEVER ? 0 : MSG_DONTWAIT;
    advance(out, 0); /* beyond empty pieces */
    while (out->first < PIECES) {
        const ssize_t sent =
            stream->is_socket ? send_to_socket(stream->fd, out, flags) : write_to_pipe(stream->fd, out);
        if (sent >= 0) {
            advance(out, (size_t)sent);
            continue;
        }
        if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN)
            return APR_EPIPE;
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != ENOBUFS)
            return errno;
        const int lacks_memory = errno == ENOBUFS;
        const apr_status_t status = unix_wait_for(stream->fd, POLLOUT, deadline, stop);
        if (status != APR_SUCCESS)
            return status;
        /* There is room, and the system has no memory for it: that is nothing to wait for. */
        if (lacks_memory && deadline != SYS_NEVER && sys_now() >= deadline)
            return APR_TIMEUP;
        if (lacks_memory)
            poll(NULL, 0, 1);
    }
    return APR_SUCCESS;
}

/* ---- What is left of a message -------------------- */

/** Keep what has not been sent, so that the next call can go on. */
static apr_status_t keep_rest(sys_stream_t *stream, const outgoing_t *out)
{
    size_t size = 0;
    for (int i = out->first; i < PIECES; i++)
        size += out->pieces[i].iov_len;
    unsigned char *rest = malloc(size);
    if (!rest) {
        stream->is_broken = 1;
        return MPROC_EBROKEN;
    }
    stream->rest = rest;
    stream->rest_size = size;
    stream->rest_done = 0;
    for (int i = out->first; i < PIECES; i++) {
        if (out->pieces[i].iov_len)
            memcpy(rest, out->pieces[i].iov_base, out->pieces[i].iov_len);
        rest += out->pieces[i].iov_len;
    }
    return MPROC_EUNFINISHED;
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
    outgoing_t out = {.first = PIECES - 1};
    out.pieces[PIECES - 1] = (struct iovec){stream->rest + stream->rest_done, stream->rest_size - stream->rest_done};
    const apr_status_t status = send_all(stream, &out, deadline, stop);
    stream->rest_done = stream->rest_size - (out.first < PIECES ? out.pieces[PIECES - 1].iov_len : 0);
    if (status == APR_SUCCESS) {
        free(stream->rest);
        stream->rest = NULL;
    }
    return status;
}

apr_status_t sys_stream_send(sys_stream_t *stream, const sys_message_t *message, sys_time_t deadline, sys_handle_t stop)
{
    unsigned char header[FRAME_MARKED];
    if (message->is_marked && !stream->can_attach)
        return APR_ENOTIMPL;
    if (stream->rest || stream->is_broken) {
        const apr_status_t status = sys_stream_flush(stream, deadline, stop);
        if (status != APR_SUCCESS)
            return status;
    }
    outgoing_t out = {.message = message};
    out.pieces[0] = (struct iovec){header, put_header(header, message)};
    for (int i = 0; i < 2; i++)
        out.pieces[i + 1] = (struct iovec){(void *)(uintptr_t)message->pieces[i], message->sizes[i]};
    const apr_status_t status = send_all(stream, &out, deadline, stop);
    /* Once a byte has gone, the message has begun. */
    if (out.message || status == APR_SUCCESS)
        return status;
    if (status == APR_TIMEUP || status == APR_EINTR)
        return keep_rest(stream, &out);
    stream->is_broken = status != APR_EPIPE;
    return status;
}
