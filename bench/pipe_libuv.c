/* SPDX-License-Identifier: Apache-2.0 */
/* libuv has streams without messages: a length of 4 bytes goes before each, as in the raw references. */
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <uv.h>

#include "pipe_transports.h"

enum { AHEAD = 1 << 16 };

static int ends[2];
static uv_loop_t loop;
static uv_pipe_t stream;
static int has_failed;

/** What was read and not yet asked for lies from `begin` to `end`. */
static char ahead[AHEAD];
static size_t begin, end;

/** What is missing of the message that is being received goes straight to where it is wanted. */
static char *wanted;
static size_t wanted_size;

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    (void)handle;
    (void)suggested;
    if (wanted_size > 0) {
        *buffer = uv_buf_init(wanted, (unsigned)wanted_size);
        return;
    }
    if (begin > 0) {
        memmove(ahead, ahead + begin, end - begin);
        end -= begin;
        begin = 0;
    }
    /* Without room libuv leaves the rest in the socket, and comes again. */
    *buffer = uv_buf_init(ahead + end, (unsigned)(AHEAD - end));
}

static void on_read(uv_stream_t *from, ssize_t got, const uv_buf_t *buffer)
{
    (void)from;
    if (got < 0 && got != UV_ENOBUFS)
        has_failed = 1;
    if (got <= 0)
        return;
    if (buffer->base == ahead + end) {
        end += (size_t)got;
    } else {
        wanted += got;
        wanted_size -= (size_t)got;
    }
}

static int open_end(int is_child)
{
    close(ends[!is_child]);
    return uv_loop_init(&loop) != 0 || uv_pipe_init(&loop, &stream, 0) != 0 ||
                   uv_pipe_open(&stream, ends[is_child]) != 0 ||
                   uv_read_start((uv_stream_t *)&stream, on_room, on_read) != 0
               ? -1
               : 0;
}

static int start(void (*serve)(void))
{
    return socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0 ? -1 : pipe_fork(open_end, serve);
}

static void on_written(uv_write_t *request, int status)
{
    *(int *)request->data = 1;
    has_failed |= status != 0;
}

static int send_message(const void *data, size_t size)
{
    uint32_t length = (uint32_t)size;
    uv_buf_t pieces[2] = {uv_buf_init((char *)&length, sizeof length),
                          uv_buf_init((char *)(uintptr_t)data, (unsigned)size)};
    int is_done = 0;
    uv_write_t request = {.data = &is_done};
    /* What fits goes at once, without a turn of the loop. */
    const int written = uv_try_write((uv_stream_t *)&stream, pieces, 2);
    if (written < 0 && written != UV_EAGAIN)
        return -1;
    size_t done = written > 0 ? (size_t)written : 0;
    if (done == sizeof length + size)
        return 0;
    for (int i = 0; i < 2; i++) {
        const size_t part = done < pieces[i].len ? done : pieces[i].len;
        pieces[i] = uv_buf_init(pieces[i].base + part, (unsigned)(pieces[i].len - part));
        done -= part;
    }
    if (uv_write(&request, (uv_stream_t *)&stream, pieces, 2, on_written) != 0)
        return -1;
    while (!is_done)
        uv_run(&loop, UV_RUN_ONCE);
    return has_failed ? -1 : 0;
}

static int receive_message(void *buffer, size_t capacity, size_t *size)
{
    uint32_t length;
    while (end - begin < sizeof length && !has_failed)
        uv_run(&loop, UV_RUN_ONCE);
    if (has_failed)
        return -1;
    memcpy(&length, ahead + begin, sizeof length);
    begin += sizeof length;
    if (length > capacity)
        return -1;
    const size_t there = end - begin < length ? end - begin : length;
    memcpy(buffer, ahead + begin, there);
    begin += there;
    wanted = (char *)buffer + there;
    wanted_size = length - there;
    while (wanted_size > 0 && !has_failed)
        uv_run(&loop, UV_RUN_ONCE);
    *size = length;
    return has_failed ? -1 : 0;
}

const pipe_transport_t pipe_libuv = {"libuv", start, send_message, receive_message};
