/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file pipe_transports.h
 * @brief What bench/pipe measures: ways to carry messages between two processes, each behind the same three functions.
 *
 * A process uses one transport, so each keeps its state in variables of its own file. All of them wait in the system or
 * in their library when they cannot go on; none of them spins, unless its description says so.
 */
#ifndef MPROC_BENCH_PIPE_TRANSPORTS_H
#define MPROC_BENCH_PIPE_TRANSPORTS_H

#include <stddef.h>
#include <sys/types.h>

/** A way to carry messages in both directions. Its functions are 0, or -1. */
typedef struct pipe_transport_t {
    const char *name;
    /** Fork the other process, which opens its end, runs the function, and ends; then open this process's end. */
    int (*start)(void (*serve)(void));
    int (*send)(const void *data, size_t size);
    /** Receive one message; one that is longer than `capacity` is a failure. */
    int (*receive)(void *buffer, size_t capacity, size_t *size);
} pipe_transport_t;

/* ---- pipe_mproc.c ------------------------------------------------------------------------------------------------ */

/** mproc_pipe(). */
extern const pipe_transport_t pipe_mproc;

/** Two of mproc_pipe() with `.one_way`. */
extern const pipe_transport_t pipe_mproc_one_way;

/* ---- pipe_references.c: the system's own calls, with a length of 4 bytes before each message --------------------- */

/** A socketpair, blocking. */
extern const pipe_transport_t pipe_socketpair;

/** The same, but a receiver tries for 20 microseconds to receive before it sleeps, as mproc does. */
extern const pipe_transport_t pipe_socketpair_glance;

/** Two pipes, blocking. */
extern const pipe_transport_t pipe_pipes;

/* ---- Peers: a file for each, compiled where the library is installed --------------------------------------------- */

/** uv_pipe_t on a socketpair, with a length of 4 bytes before each message. */
extern const pipe_transport_t pipe_libuv;

/** A pair of ZMQ_PAIR sockets over ipc://. */
extern const pipe_transport_t pipe_zeromq;

/** A pair of pair0 sockets over ipc://. */
extern const pipe_transport_t pipe_nng;

/* ---- pipe.c ------------------------------------------------------------------------------------------------------ */

/**
 * Fork a process that opens its end by `open(1)`, runs `serve`, and ends; and open our end by `open(0)`.
 *
 * It is for what must be opened behind a fork.
 */
int pipe_fork(int (*open)(int is_child), void (*serve)(void));

#endif
