/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>

#include "pipe_transports.h"

/** How often a receiver looks whether the other process is still there, in milliseconds. */
enum { LOOK_AFTER = 5000 };

/** The file follows the protocol. */
#define PROTOCOL "ipc://"

static char address[64];
static nng_socket pair;
static pid_t parent;

static void remove_file(void)
{
    unlink(address + strlen(PROTOCOL));
}

static int open_end(int is_child)
{
    if (nng_pair0_open(&pair) != 0 || nng_socket_set_ms(pair, NNG_OPT_RECVTIMEO, LOOK_AFTER) != 0)
        return -1;
    /* It refuses messages of more than 1 MiB otherwise. */
    if (nng_socket_set_size(pair, NNG_OPT_RECVMAXSZ, 0) != 0)
        return -1;
    parent = is_child ? getppid() : 0;
    if (!is_child)
        atexit(remove_file);
    /* The listener may not be there yet: then it is tried again. */
    const int error = is_child ? nng_dial(pair, address, NULL, NNG_FLAG_NONBLOCK) : nng_listen(pair, address, NULL, 0);
    return error ? -1 : 0;
}

static int start(void (*serve)(void))
{
    snprintf(address, sizeof address, PROTOCOL "/tmp/mproc-bench-nng-%d", (int)getpid());
    return pipe_fork(open_end, serve);
}

static int send_message(const void *data, size_t size)
{
    return nng_send(pair, (void *)(uintptr_t)data, size, 0) == 0 ? 0 : -1;
}

static int receive_message(void *buffer, size_t capacity, size_t *size)
{
    int error;
    do {
        *size = capacity;
        error = nng_recv(pair, buffer, size, 0);
    } while (error == NNG_ETIMEDOUT && parent && getppid() == parent);
    return error ? -1 : 0;
}

const pipe_transport_t pipe_nng = {"nng", start, send_message, receive_message};
