/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <zmq.h>

#include "pipe_transports.h"

/** How often a receiver looks whether the other process is still there, in milliseconds. */
enum { LOOK_AFTER = 5000 };

/** The file follows the protocol. */
#define PROTOCOL "ipc://"

static char address[64];
static void *pair;
static pid_t parent;

static void remove_file(void)
{
    unlink(address + strlen(PROTOCOL));
}

static int open_end(int is_child)
{
    const int look_after = LOOK_AFTER;
    const int linger = 0;
    void *context = zmq_ctx_new();
    pair = context ? zmq_socket(context, ZMQ_PAIR) : NULL;
    if (!pair || zmq_setsockopt(pair, ZMQ_RCVTIMEO, &look_after, sizeof look_after) != 0 ||
        zmq_setsockopt(pair, ZMQ_LINGER, &linger, sizeof linger) != 0)
        return -1;
    parent = is_child ? getppid() : 0;
    if (!is_child)
        atexit(remove_file);
    return is_child ? zmq_connect(pair, address) : zmq_bind(pair, address);
}

static int start(void (*serve)(void))
{
    snprintf(address, sizeof address, PROTOCOL "/tmp/mproc-bench-zeromq-%d", (int)getpid());
    return pipe_fork(open_end, serve);
}

static int send_message(const void *data, size_t size)
{
    return zmq_send(pair, data, size, 0) < 0 ? -1 : 0;
}

static int receive_message(void *buffer, size_t capacity, size_t *size)
{
    int got;
    do
        got = zmq_recv(pair, buffer, capacity, 0);
    while (got < 0 && (errno == EINTR || (errno == EAGAIN && parent && getppid() == parent)));
    *size = got < 0 ? 0 : (size_t)got;
    return got < 0 || *size > capacity ? -1 : 0;
}

const pipe_transport_t pipe_zeromq = {"zeromq", start, send_message, receive_message};
