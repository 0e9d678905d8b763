/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file messages.h
 * @brief Connections, messages that tell whether they are whole, and threads that do something meanwhile.
 */
#ifndef MPROC_TEST_MESSAGES_H
#define MPROC_TEST_MESSAGES_H

#include <apr_thread_proc.h>

#include <mproc/mproc.h>

/** What stands at the beginning of a message that tells whether it is whole. */
typedef struct stamp_t {
    uint64_t size; /* of all of it */
    uint64_t sum;  /* of sender, number and all bytes that follow */
    uint32_t sender;
    uint32_t number;
} stamp_t;

/** More bytes than any system buffers for a connection, and than are received at once. */
enum { HUGE_SIZE = 4000000 };

/** Make a connection with the default options; close both ends. */
void make_conns(mproc_conn_t **first, mproc_conn_t **second);
void close_both(mproc_conn_t *first, mproc_conn_t *second);

/** Count what is open; what the library makes, and keeps, for the first wait and the first move is there already. */
int count_after_waiting(void);

/** Write bytes that are the same for the same seed. */
void fill_bytes(void *data, size_t size, uint64_t seed);

/** Whether all bytes are those of a seed. */
int are_bytes(const void *data, size_t size, uint64_t seed);

/** Make a whole message of at least `sizeof(stamp_t)` bytes. */
void make_message(void *message, size_t size, uint32_t sender, uint32_t number);

/** Whether a message is whole; its stamp is stored. */
int is_whole(stamp_t *stamp, const void *message, size_t size);

/** Send bytes of a seed, or receive and compare them: APR_SUCCESS, or a failure of the call; MPROC_ESIZE if others. */
apr_status_t send_bytes(mproc_conn_t *conn, size_t size, uint64_t seed, apr_interval_time_t timeout);
apr_status_t expect_bytes(mproc_conn_t *conn, size_t size, uint64_t seed, apr_interval_time_t timeout);

/** See that the other end is closed and nothing is left to receive, and close this one. */
void expect_end(mproc_conn_t *conn);

/** Whether a large message goes out in parts; elsewhere it goes whole or not at all. */
int goes_in_parts(void);

/** Skip a test where there are no parts. */
void need_parts(void);

/** The time that a step may take at most, wherever the tests run. */
apr_interval_time_t patience(void);

/** A number from the environment, or a default. */
long long setting(const char *name, long long usual);

/** Do something on another thread, after so many milliseconds. */
typedef struct later_t {
    apr_thread_t *thread;
    apr_pool_t *pool;
    int milliseconds;
    void (*act)(void *context);
    void *context;
} later_t;

void begin_later(later_t *later, int milliseconds, void (*act)(void *), void *context);

/** Wait until it is done. */
void end_later(later_t *later);

/** What another thread often does: close a connection, or a listener. */
void close_conn(void *conn);
void close_listener(void *listener);

#endif
