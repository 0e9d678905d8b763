/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mproc/status.h>

#include "stream.h"

/*
 * How much is read ahead: enough for a burst of small messages at one system call, and little enough to be copied once
 * more without being felt.
 */
enum { AHEAD = 1 << 14 };

/* From so many bytes on, the rest of a message is received without anything beyond it. */
enum { BULK = 1 << 15 };

/*
 * How long a receiver looks for what may come at once, in microseconds, before it sleeps: to fall asleep and be woken
 * takes as long. After bad luck it does so only now and then.
 */
enum { GLANCE = 20, MOST_LUCK = 8, TRY_AGAIN = 64 };

static uint64_t get_number(const unsigned char *from, int bytes)
{
    uint64_t number = 0;
    for (int i = 0; i < bytes; i++)
        number = number << 8 | from[i];
    return number;
}

/* ---- One system call -------------------- */

static ssize_t receive_from_socket(sys_stream_t *stream, struct iovec *pieces, size_t count)
{
    unix_control_t control;
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = count};
    if (!stream->can_attach)
        return recvmsg(stream->fd, &message, MSG_DONTWAIT);
    message.msg_control = &control;
    message.msg_controllen = sizeof control;
    /* No fork falls between the coming of a descriptor and its listing. */
    unix_fork_gate_enter();
#if defined(MPROC_HAVE_MSG_CMSG_CLOEXEC)
    const ssize_t length = recvmsg(stream->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
#else
    const ssize_t length = recvmsg(stream->fd, &message, MSG_DONTWAIT);
#endif
    const int error = errno;
    if (length >= 0 && (message.msg_controllen > 0 || (message.msg_flags & MSG_CTRUNC)) &&
        unix_passed_take(&stream->passed, &message) != 0)
        stream->verdict = MPROC_EPROTOCOL;
    unix_fork_gate_leave();
    errno = error;
    return length;
}

/** Read from a pipe, which may be one that waits. */
static ssize_t read_from_pipe(const sys_stream_t *stream, const struct iovec *pieces, size_t count)
{
    struct pollfd item = {.fd = stream->fd, .events = POLLIN};
    if (poll(&item, 1, 0) > 0)
        return readv(stream->fd, pieces, (int)count);
    errno = EAGAIN;
    return -1;
}

static size_t size_of(const struct iovec *pieces, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += pieces[i].iov_len;
    return size;
}

/** Receive what is there: APR_EAGAIN if that is nothing. */
static apr_status_t try_to_receive(sys_stream_t *stream, struct iovec *pieces, size_t count, size_t *length)
{
    ssize_t got;
    do {
        got = stream->is_socket ? receive_from_socket(stream, pieces, count) : read_from_pipe(stream, pieces, count);
        if (stream->verdict != APR_SUCCESS)
            return stream->verdict;
    } while (got < 0 && errno == EINTR);
    *length = got > 0 ? (size_t)got : 0;
    stream->is_drained = got > 0 && *length < size_of(pieces, count);
    if (got >= 0 || errno == ECONNRESET)
        return APR_SUCCESS;
    if (errno != EAGAIN && errno != EWOULDBLOCK)
        return errno;
    stream->is_drained = 1;
    return APR_EAGAIN;
}

/* ---- Waiting -------------------- */

/**
 * Try for a moment to receive what may come at once; worth it while that has been so lately. To ask first whether
 * something is there would be one more call of the system for each message.
 */
static apr_status_t glance(sys_stream_t *stream, struct iovec *pieces, size_t count, size_t *length)
{
    if (stream->luck == 0 && ++stream->waits % TRY_AGAIN != 0)
        return APR_EAGAIN;
    const sys_time_t end = sys_now() + GLANCE;
    do {
        /* Whoever is to send may be waiting for this CPU. */
        sched_yield();
        const apr_status_t status = try_to_receive(stream, pieces, count, length);
        if (status != APR_EAGAIN) {
            stream->luck += stream->luck < MOST_LUCK;
            return status;
        }
    } while (sys_now() < end);
    stream->luck -= stream->luck > 0;
    return APR_EAGAIN;
}

/** Receive some bytes; an end, or a reset, which means that the other end left something unread, is a length of 0. */
static apr_status_t receive(sys_stream_t *stream, struct iovec *pieces, size_t count, size_t *length,
                            sys_time_t deadline, sys_handle_t stop)
{
    apr_status_t status = APR_EAGAIN;
    if (!stream->is_drained || deadline == 0)
        status = try_to_receive(stream, pieces, count, length);
    if (status == APR_EAGAIN && deadline != 0)
        status = glance(stream, pieces, count, length);
    while (status == APR_EAGAIN) {
        status = unix_wait_for(stream->fd, POLLIN, deadline, stop);
        if (status == APR_SUCCESS)
            status = try_to_receive(stream, pieces, count, length);
    }
    return status;
}

/**
 * Receive much of one message. No descriptors come in its middle, so no fork needs to be kept away, and without a
 * deadline the system does the waiting: sys_stream_interrupt() ends that.
 */
static apr_status_t receive_bulk(sys_stream_t *stream, void *to, size_t size, size_t *length, sys_time_t deadline,
                                 sys_handle_t stop)
{
    const int flags = stream->is_ours && deadline == SYS_NEVER ? MSG_WAITALL : MSG_DONTWAIT;
    stream->is_drained = 0;
    for (;;) {
        const ssize_t got = recv(stream->fd, to, size, flags);
        *length = got > 0 ? (size_t)got : 0;
        if (got >= 0 || errno == ECONNRESET)
            return APR_SUCCESS;
        if (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK)
            return errno;
        const apr_status_t status = errno == EINTR ? APR_SUCCESS : unix_wait_for(stream->fd, POLLIN, deadline, stop);
        if (status != APR_SUCCESS)
            return status;
    }
}

/* ---- Frames -------------------- */

/** How many bytes a frame's length takes, as far as its first ones tell; 0: they are no frame's. */
static size_t header_size(const unsigned char *bytes, size_t count)
{
    if (count < FRAME_SHORT)
        return FRAME_SHORT;
    const int32_t length = (int32_t)(uint32_t)get_number(bytes, FRAME_SHORT);
    if (length >= 0)
        return FRAME_SHORT;
    return length == FRAME_LONG_LENGTH ? FRAME_LONG : length == FRAME_MARKED_LENGTH ? FRAME_MARKED : 0;
}

/** Begin a message whose frame's length has been read. */
static apr_status_t begin_message(sys_stream_t *stream, const unsigned char *header, size_t size)
{
    sys_next_t *next = &stream->next;
    next->is_marked = size == FRAME_MARKED;
    next->size = size == FRAME_SHORT ? get_number(header, FRAME_SHORT) : get_number(header + FRAME_SHORT, 8);
    next->handle_count = next->is_marked ? (uint32_t)get_number(header + FRAME_LONG, 4) : 0;
    if (next->size > INT64_MAX || next->handle_count > SYS_ATTACHED_MAX)
        return stream->verdict = MPROC_EPROTOCOL;
    next->left = next->size;
    stream->is_in_message = 1;
    stream->begin += size;
    return APR_SUCCESS;
}

/** Read more into the memory for what is read ahead: at least one byte. */
static apr_status_t read_ahead(sys_stream_t *stream, size_t needed, sys_time_t deadline, sys_handle_t stop)
{
    size_t got;
    if (stream->ahead_size < AHEAD) {
        unsigned char *larger = realloc(stream->ahead, AHEAD);
        if (!larger)
            return APR_ENOMEM;
        stream->ahead = larger;
        stream->ahead_size = AHEAD;
    }
    if (stream->begin > 0) {
        memmove(stream->ahead, stream->ahead + stream->begin, stream->end - stream->begin);
        stream->end -= stream->begin;
        stream->begin = 0;
    }
    struct iovec piece = {stream->ahead + stream->end,
                          stream->is_exact ? needed - stream->end : stream->ahead_size - stream->end};
    const apr_status_t status = receive(stream, &piece, 1, &got, deadline, stop);
    if (status != APR_SUCCESS)
        return status;
    if (got == 0)
        stream->verdict = stream->end > 0 ? MPROC_ETRUNCATED : APR_EOF;
    stream->end += got;
    return stream->verdict;
}

apr_status_t sys_stream_next(sys_stream_t *stream, sys_next_t *next, sys_time_t deadline, sys_handle_t stop)
{
    while (!stream->is_in_message) {
        const unsigned char *header = stream->ahead ? stream->ahead + stream->begin : NULL;
        const size_t there = stream->end - stream->begin;
        const size_t size = header_size(header, there);
        apr_status_t status = stream->verdict;
        if (size == 0)
            status = stream->verdict = MPROC_EPROTOCOL;
        else if (there >= size)
            status = begin_message(stream, header, size);
        else if (status == APR_SUCCESS)
            status = read_ahead(stream, size, deadline, stop);
        if (status != APR_SUCCESS)
            return status;
    }
    *next = stream->next;
    return APR_SUCCESS;
}

apr_status_t sys_stream_read(sys_stream_t *stream, void *buffer, size_t size, size_t *done, sys_time_t deadline,
                             sys_handle_t stop)
{
    unsigned char *to = buffer;
    size_t there = stream->end - stream->begin;
    *done = there < size ? there : size;
    if (*done)
        memcpy(to, stream->ahead + stream->begin, *done);
    stream->begin += *done;
    while (*done < size) {
        /* Straight to where it belongs, and what follows into the memory for what is read ahead. */
        size_t got;
        const size_t left = size - *done;
        const size_t part = left < UNIX_STREAM_AT_ONCE ? left : UNIX_STREAM_AT_ONCE;
        struct iovec pieces[2] = {{to + *done, part}, {stream->ahead, stream->ahead_size}};
        apr_status_t status = stream->verdict;
        if (status == APR_SUCCESS && stream->is_socket && part >= BULK)
            status = receive_bulk(stream, to + *done, part, &got, deadline, stop);
        else if (status == APR_SUCCESS)
            status = receive(stream, pieces, stream->is_exact || part < left ? 1 : 2, &got, deadline, stop);
        if (status == APR_SUCCESS && got == 0)
            status = stream->verdict = MPROC_ETRUNCATED;
        if (status != APR_SUCCESS) {
            stream->next.left -= *done;
            return status;
        }
        stream->begin = 0;
        stream->end = got > part ? got - part : 0;
        *done += got - stream->end;
    }
    stream->next.left -= *done;
    return APR_SUCCESS;
}

apr_status_t sys_stream_end_message(sys_stream_t *stream, sys_handle_t *handles)
{
    const size_t count = stream->next.handle_count;
    stream->is_in_message = 0;
    if (count == 0)
        return APR_SUCCESS;
    const apr_status_t status = unix_passed_next(&stream->passed, count, handles);
    if (status == MPROC_EPROTOCOL)
        stream->verdict = status;
    return status;
}

int sys_stream_is_ready(const sys_stream_t *stream)
{
    const size_t there = stream->end - stream->begin;
    if (stream->verdict != APR_SUCCESS)
        return 1;
    if (stream->is_in_message)
        return there >= stream->next.left;
    if (there == 0)
        return 0;
    /* A message of which a part has come is ready when more of it comes: that the system tells. */
    const unsigned char *header = stream->ahead + stream->begin;
    const size_t size = header_size(header, there);
    if (size == 0 || there < size)
        return size == 0;
    return there - size >= (size == FRAME_SHORT ? get_number(header, 4) : get_number(header + FRAME_SHORT, 8));
}

void sys_stream_read_exactly(sys_stream_t *stream)
{
    stream->is_exact = 1;
}
