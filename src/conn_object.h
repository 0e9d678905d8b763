/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file conn_object.h
 * @brief Connection objects, and what the files that move their messages share.
 *
 * connection.c makes and closes them, conn_send.c and conn_receive.c move messages, conn_move.c moves connections to
 * other processes.
 */
#ifndef MPROC_CONN_OBJECT_H
#define MPROC_CONN_OBJECT_H

#include <stdatomic.h>

#include <mproc/connection.h>

#include "error.h"
#include "sys.h"
#include "waiter.h"

/** One end of a connection. */
typedef struct conn_t {
    mproc_conn_t *handle;
    int owner; /* the process that made the object: a copy in a forked child is not to be used */
    sys_stream_t *stream;
    size_t max_size; /* 0: no limit */
    closable_t closable;
    _Atomic int is_promised; /* it is to move to another process: nobody uses it meanwhile */
    turn_t sending;
    turn_t receiving;
    _Atomic int has_ahead; /* a message was read ahead, and nobody is receiving it: for those who wait */

    /* Receiving: what has been read of a message, if a call that read it could not finish; guarded by its turn. */
    unsigned char *partial;
    size_t have;
    size_t room;
    int is_broken;   /* there was no memory to keep it */
    int is_dropping; /* a call that drops the message could not finish */
} conn_t;

/* ---- connection.c ------------------------------------------------------------------------------------------------ */

/**
 * Make a connection that has no stream yet, so that no memory is needed once there is one: then nothing can be lost any
 * more. It is the caller's alone until conn_complete(). The status has its text.
 */
apr_status_t conn_create(conn_t **conn, size_t max_size, const char *call);

/** If a connection has got its stream, tell its handle; else drop it, and tell NULL. */
mproc_conn_t *conn_complete(conn_t *conn, apr_status_t status);

/** Take options of a program that may know fewer than there are; the status has its text. */
apr_status_t conn_take_options(mproc_conn_opts_t *complete, const mproc_conn_opts_t *opts, size_t size,
                               const char *call);

/** Have a pool close a connection; NULL is allowed. */
void conn_join_pool(const conn_t *conn, apr_pool_t *pool);

/** Get the connection behind a handle for the public function `call`; the status has its text. */
apr_status_t conn_acquire(conn_t **conn, mproc_conn_t *handle, const char *call);

/** Give back what conn_acquire() got. */
void conn_release(conn_t *conn);

/** Close a connection's handle, and wake who waits for it; MPROC_ECLOSED if that was done before. */
apr_status_t conn_close(conn_t *conn);

/** Close a handle, unless that was done before. */
void conn_close_handle(mproc_conn_t *handle);

/** Close all connections of this process, when the library is ended. */
void conn_close_all(void);

/** Put the failure of a call on a connection into words. */
apr_status_t conn_fail(apr_status_t status, const conn_t *conn, const char *call);

/** What a call does each time that it can go on: until the deadline, or `stop` is ready (APR_EINTR). */
typedef apr_status_t (*conn_step_t)(conn_t *conn, void *context, sys_time_t deadline, sys_handle_t stop);

/** What a call does in its turn for a direction. */
typedef struct conn_operation_t {
    int direction;
    int (*waits)(const conn_t *conn, const void *context); /* it is likely to, so there is no use in trying first */
    conn_step_t step;
    void (*leave)(conn_t *conn, void *context, apr_status_t status); /* before the turn is over; may be NULL */
} conn_operation_t;

/** Take the turn, and go through the step until it succeeds, fails, or the time is up. The status has no text. */
apr_status_t conn_perform(conn_t *conn, const conn_operation_t *operation, void *context, apr_interval_time_t timeout);

/* ---- conn_receive.c ---------------------------------------------------------------------------------------------- */

/** Let go of what was kept of a message. */
void conn_drop_partial(conn_t *conn);

/* ---- conn_move.c ------------------------------------------------------------------------------------------------- */

/** The most bytes of a table: what does not fit is to be received before the connection moves. */
enum { CONN_TABLE_MAX = 1 << 23 };

/** Connections on their way to another process. */
typedef struct conn_move_t {
    conn_t *conns[SYS_ATTACHED_MAX];
    size_t count;
    unsigned char *table; /* what the other process needs to know of them */
    size_t table_size;
    int has_read;                           /* something was read ahead of one of them */
    sys_handle_t handles[SYS_ATTACHED_MAX]; /* the connections', which stay their own */
    size_t handle_count;
} conn_move_t;

/**
 * Promise connections to another process: nobody uses them until conn_move_finish(). The status has its text, and after
 * a failure they are as before.
 */
apr_status_t conn_move_begin(conn_move_t *move, mproc_conn_t *const *conns, size_t count, const char *call);

/** Close those that have moved, or take the promise back. */
void conn_move_finish(conn_move_t *move, int has_moved);

/** Whether a table is sound, and if so how many bytes it takes, and how many connections and handles are in it. */
int conn_table_check(const unsigned char *table, size_t size, size_t *table_size, size_t *conn_count,
                     size_t *handle_count);

/**
 * Make the connections of a table that was checked, from its handles, which they own from then on, also after a
 * failure. The status has its text.
 */
apr_status_t conn_table_open(mproc_conn_t **conns, const unsigned char *table, const sys_handle_t *handles,
                             const char *call);

#endif
