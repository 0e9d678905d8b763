/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "measure.h"
#include "pipe_transports.h"

/** The descriptors of this process, and before the fork those of the child. */
static int in = -1, out = -1;
static int their_in = -1, their_out = -1;

/** Keep one process's descriptors. */
static int open_end(int is_child)
{
    const int closed_in = is_child ? in : their_in;
    const int closed_out = is_child ? out : their_out;
    if (is_child) {
        in = their_in;
        out = their_out;
    }
    close(closed_in);
    if (closed_out != closed_in)
        close(closed_out);
    return 0;
}

static int start_socketpair(void (*serve)(void))
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0)
        return -1;
    in = out = ends[0];
    their_in = their_out = ends[1];
    return pipe_fork(open_end, serve);
}

static int start_pipes(void (*serve)(void))
{
    int here[2], there[2];
    if (pipe(here) != 0 || pipe(there) != 0)
        return -1;
    in = here[0];
    their_out = here[1];
    their_in = there[0];
    out = there[1];
    return pipe_fork(open_end, serve);
}

static int send_message(const void *data, size_t size)
{
    uint32_t length = (uint32_t)size;
    struct iovec pieces[2] = {{&length, sizeof length}, {(void *)(uintptr_t)data, size}};
    struct iovec *first = pieces;
    while (first < pieces + 2) {
        const ssize_t written = writev(out, first, (int)(pieces + 2 - first));
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -1;
        size_t done = (size_t)written;
        while (first < pieces + 2 && done >= first->iov_len)
            done -= first++->iov_len;
        if (first < pieces + 2) {
            first->iov_base = (char *)first->iov_base + done;
            first->iov_len -= done;
        }
    }
    return 0;
}

static int read_all(void *to, size_t size)
{
    for (size_t done = 0; done < size;) {
        const ssize_t got = read(in, (char *)to + done, size - done);
        if (got == 0 || (got < 0 && errno != EINTR))
            return -1;
        done += got > 0 ? (size_t)got : 0;
    }
    return 0;
}

/** Receive a message of whose length some bytes have come already. */
static int receive_rest(uint32_t length, size_t done, void *buffer, size_t capacity, size_t *size)
{
    if (read_all((char *)&length + done, sizeof length - done) != 0 || length > capacity ||
        read_all(buffer, length) != 0)
        return -1;
    *size = length;
    return 0;
}

static int receive_message(void *buffer, size_t capacity, size_t *size)
{
    return receive_rest(0, 0, buffer, capacity, size);
}

/** How long mproc's receivers look before they sleep, in microseconds (src/posix/stream_receive.c). */
enum { GLANCE = 20 };

static int receive_after_glance(void *buffer, size_t capacity, size_t *size)
{
    uint32_t length = 0;
    ssize_t got = recv(in, &length, sizeof length, MSG_DONTWAIT);
    /* Without a look at the clock where something is there already. */
    if (got < 0) {
        const double end = measure_now() + GLANCE;
        do {
            sched_yield();
            got = recv(in, &length, sizeof length, MSG_DONTWAIT);
        } while (got < 0 && measure_now() < end);
    }
    return got == 0 ? -1 : receive_rest(length, got > 0 ? (size_t)got : 0, buffer, capacity, size);
}

const pipe_transport_t pipe_socketpair = {"socketpair", start_socketpair, send_message, receive_message};
const pipe_transport_t pipe_socketpair_glance = {"socketpair-glance", start_socketpair, send_message,
                                                 receive_after_glance};
const pipe_transport_t pipe_pipes = {"pipes", start_pipes, send_message, receive_message};
