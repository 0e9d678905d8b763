/* SPDX-License-Identifier: Apache-2.0 */
#include <mproc/connection.h>
#include <mproc/version.h>

#include <stdlib.h>

#include "conn_object.h"
#include "handle.h"
#include "initialize.h"
#include "process_object.h"

/* ---- Making and unmaking ----------------------------------------------------------------------------------------- */

static void destroy(void *object)
{
    conn_t *conn = object;
    sys_stream_close(conn->stream);
    conn_drop_partial(conn);
    free(conn);
}

apr_status_t conn_create(conn_t **conn, size_t max_size, const char *call)
{
    void *object;
    *conn = calloc(1, sizeof **conn);
    if (*conn) {
        (*conn)->owner = sys_getpid();
        (*conn)->max_size = max_size;
        (*conn)->handle = handle_open(HANDLE_CONN, *conn, destroy);
        /* In use, it stays even if the library is ended meanwhile. */
        if ((*conn)->handle && handle_acquire(&object, (*conn)->handle, HANDLE_CONN) == APR_SUCCESS)
            return APR_SUCCESS;
    }
    free(*conn);
    *conn = NULL;
    return mproc_fail(APR_ENOMEM, "%s: no memory for another connection", call);
}

mproc_conn_t *conn_complete(conn_t *conn, apr_status_t status)
{
    mproc_conn_t *handle = conn->handle;
    if (status != APR_SUCCESS)
        handle_close(handle, HANDLE_CONN);
    else
        atomic_store(&conn->has_ahead, sys_stream_is_ready(conn->stream));
    conn_release(conn);
    return status == APR_SUCCESS ? handle : NULL;
}

void conn_close_handle(mproc_conn_t *handle)
{
    void *object;
    if (handle_acquire(&object, handle, HANDLE_CONN) != APR_SUCCESS)
        return;
    conn_t *conn = object;
    if (conn->owner == sys_getpid())
        conn_close(conn);
    conn_release(conn);
}

static apr_status_t close_with_pool(void *handle)
{
    conn_close_handle(handle);
    return APR_SUCCESS;
}

void conn_join_pool(const conn_t *conn, apr_pool_t *pool)
{
    if (pool)
        apr_pool_cleanup_register(pool, conn->handle, close_with_pool, apr_pool_cleanup_null);
}

apr_status_t conn_take_options(mproc_conn_opts_t *complete, const mproc_conn_opts_t *opts, size_t size,
                               const char *call)
{
    memset(complete, 0, sizeof *complete);
    if (size > sizeof *complete)
        return mproc_fail(MPROC_EBUILD, "%s: the program was built for a newer libmproc than %s", call,
                          mproc_version());
    if (opts)
        memcpy(complete, opts, size);
    return APR_SUCCESS;
}

apr_status_t mproc_pipe_sized(mproc_conn_t **first, mproc_conn_t **second, const mproc_conn_opts_t *opts,
                              size_t opts_size)
{
    static const char call[] = "mproc_pipe";
    mproc_conn_opts_t options = {0};
    conn_t *conns[2];
    if (first)
        *first = NULL;
    if (second)
        *second = NULL;
    apr_status_t status = library_check_initialized(call);
    if (status == APR_SUCCESS && (!first || !second))
        status =
            mproc_fail(APR_EINVAL, "%s: nowhere to store the %s end: it is NULL", call, first ? "second" : "first");
    if (status == APR_SUCCESS)
        status = conn_take_options(&options, opts, opts_size, call);
    if (status != APR_SUCCESS)
        return status;
    status = conn_create(&conns[0], options.max_size, call);
    if (status != APR_SUCCESS)
        return status;
    status = conn_create(&conns[1], options.max_size, call);
    if (status != APR_SUCCESS) {
        conn_complete(conns[0], status);
        return status;
    }
    status = sys_stream_pair(&conns[0]->stream, &conns[1]->stream, options.one_way);
    if (status != APR_SUCCESS)
        status = mproc_fail(status, "%s: no connection can be made", call);
    for (int i = 0; i < 2 && status == APR_SUCCESS; i++)
        conn_join_pool(conns[i], options.pool);
    *first = conn_complete(conns[0], status);
    *second = conn_complete(conns[1], status);
    return status;
}

apr_status_t mproc_conn_open_sized(mproc_conn_t **handle, mproc_os_handle_t os_handle, const mproc_conn_opts_t *opts,
                                   size_t opts_size)
{
    static const char call[] = "mproc_conn_open";
    mproc_conn_opts_t options;
    conn_t *conn;
    if (!handle)
        return mproc_fail(APR_EINVAL, "%s: nowhere to store the connection: it is NULL", call);
    *handle = NULL;
    apr_status_t status = library_check_initialized(call);
    if (status == APR_SUCCESS)
        status = conn_take_options(&options, opts, opts_size, call);
    if (status == APR_SUCCESS)
        status = conn_create(&conn, options.max_size, call);
    if (status != APR_SUCCESS)
        return status;
    status = sys_stream_open(&conn->stream, (sys_handle_t)os_handle, 0);
    if (status == APR_SUCCESS)
        conn_join_pool(conn, options.pool);
    else if (status == APR_EINVAL)
        status = mproc_fail(status, "%s: handle %lld is no stream socket and no pipe", call, (long long)os_handle);
    else
        status = mproc_fail(status, "%s: handle %lld cannot be a connection", call, (long long)os_handle);
    *handle = conn_complete(conn, status);
    return status;
}

/* ---- Using handles ----------------------------------------------------------------------------------------------- */

apr_status_t conn_acquire(conn_t **conn, mproc_conn_t *handle, const char *call)
{
    void *object;
    apr_status_t status = handle_acquire(&object, handle, HANDLE_CONN);
    *conn = object;
    if (status == APR_EINVAL)
        return mproc_fail(status, "%s: the connection is NULL", call);
    if (status != APR_SUCCESS)
        return mproc_fail(status, "%s: %p is not an open connection: closed or moved before, or never one", call,
                          (void *)handle);
    if ((*conn)->owner != sys_getpid()) {
        mproc_fail(MPROC_EFOREIGN, "%s: the connection was made by process %d, this is process %d", call,
                   (*conn)->owner, sys_getpid());
        handle_release(handle);
        *conn = NULL;
        return MPROC_EFOREIGN;
    }
    return APR_SUCCESS;
}

void conn_release(conn_t *conn)
{
    handle_release(conn->handle);
}

/** As conn_acquire(), for calls that take no turn: a connection that is to move is not to be touched by them either. */
static apr_status_t acquire_unpromised(conn_t **conn, mproc_conn_t *handle, const char *call)
{
    apr_status_t status = conn_acquire(conn, handle, call);
    if (status != APR_SUCCESS || !atomic_load(&(*conn)->is_promised))
        return status;
    status = conn_fail(MPROC_ESTATE, *conn, call);
    conn_release(*conn);
    return status;
}

/** End the calls that wait for a connection which has just been closed. */
static void wake(void *object)
{
    conn_t *conn = object;
    closable_close(&conn->closable);
    /* One that is to move is another process's by now, or will be. */
    if (!atomic_load(&conn->is_promised) && atomic_load(&conn->closable.waiters) > 0)
        sys_stream_interrupt(conn->stream);
}

apr_status_t conn_close(conn_t *conn)
{
    const apr_status_t status = handle_close(conn->handle, HANDLE_CONN); /* not destroyed yet: the caller uses it */
    if (status == APR_SUCCESS)
        wake(conn);
    return status;
}

static int is_own(const void *object)
{
    const conn_t *conn = object;
    return conn->owner == sys_getpid();
}

void conn_close_all(void)
{
    handle_close_all(HANDLE_CONN, is_own, wake);
}

apr_status_t mproc_conn_close(mproc_conn_t *handle)
{
    conn_t *conn;
    if (!handle)
        return APR_SUCCESS;
    apr_status_t status = acquire_unpromised(&conn, handle, "mproc_conn_close");
    if (status != APR_SUCCESS)
        return status;
    status = conn_close(conn);
    conn_release(conn);
    return status == APR_SUCCESS ? status : mproc_fail(status, "mproc_conn_close: another thread has just closed it");
}

apr_status_t conn_fail(apr_status_t status, const conn_t *conn, const char *call)
{
    static const struct {
        apr_status_t status;
        const char *text;
    } texts[] = {
        {APR_TIMEUP, "the time is up"},
        {APR_EOF, "the other end is closed"},
        {APR_EPIPE, "the other end is closed"},
        {APR_ENOTIMPL, "this connection cannot carry attachments"},
        {MPROC_ECLOSED, "another thread has closed it"},
        {MPROC_ESTATE, "it was given to a process that is not launched yet"},
        {MPROC_ETRUNCATED, "the other end was closed in the middle of a message"},
        {MPROC_EUNFINISHED, "the time was up in the middle of the message; its rest is kept"},
        {MPROC_EBROKEN, "an earlier message was left in its middle, and there was no memory for the rest"},
        {MPROC_EPROTOCOL, "what came is no message"},
        {MPROC_EATTACHED, "the message has attachments: mproc_conn_recv_with() receives them"},
    };
    if (status == APR_SUCCESS)
        return status;
    if (status == MPROC_EDIRECTION)
        return mproc_fail(status, "%s: this end only %s", call,
                          sys_stream_directions(conn->stream) == SYS_STREAM_IN ? "receives" : "sends");
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (texts[i].status == status)
            return mproc_fail(status, "%s: %s", call, texts[i].text);
    return mproc_fail(status, "%s failed", call);
}

/* ---- Waiting ----------------------------------------------------------------------------------------------------- */

/** Go through the step as long as it is only woken to look again. */
static apr_status_t wait_in_step(conn_t *conn, const conn_operation_t *operation, void *context, sys_time_t deadline,
                                 apr_status_t so_far)
{
    waiter_t *waiter;
    apr_status_t status = waiter_begin(&waiter, &conn->closable);
    if (status != APR_SUCCESS) {
        /* Where nobody can wait, what is there can be received all the same, and what was begun stays so. */
        if (so_far == APR_TIMEUP && operation->direction == SYS_STREAM_IN)
            so_far = operation->step(conn, context, 0, SYS_NO_HANDLE);
        return so_far == APR_TIMEUP ? status : so_far;
    }
    atomic_fetch_add(&conn->closable.waiters, 1);
    do {
        waiter_reset(waiter);
        status = atomic_load(&conn->closable.is_closed)
                     ? MPROC_ECLOSED
                     : operation->step(conn, context, deadline, waiter->event.sentinel);
    } while (status == APR_EINTR);
    atomic_fetch_sub(&conn->closable.waiters, 1);
    waiter_end(waiter);
    return status;
}

apr_status_t conn_perform(conn_t *conn, const conn_operation_t *operation, void *context, apr_interval_time_t timeout)
{
    turn_t *turn = operation->direction == SYS_STREAM_IN ? &conn->receiving : &conn->sending;
    sys_time_t deadline = 0;
    if (!(sys_stream_directions(conn->stream) & operation->direction))
        return MPROC_EDIRECTION;
    apr_status_t status = turn_take(turn, &conn->closable, 0);
    /* The clock is read only by those that wait. */
    if (status == APR_TIMEUP && timeout != 0) {
        deadline = process_deadline(timeout);
        status = turn_take(turn, &conn->closable, deadline);
    }
    if (status != APR_SUCCESS)
        return status;
    if (operation->direction == SYS_STREAM_IN && atomic_load_explicit(&conn->has_ahead, memory_order_relaxed))
        atomic_store(&conn->has_ahead, 0);
    if (atomic_load(&conn->is_promised))
        status = MPROC_ESTATE;
    else
        status = timeout != 0 && operation->waits(conn, context) ? APR_TIMEUP
                                                                 : operation->step(conn, context, 0, SYS_NO_HANDLE);
    /* What is tried without waiting may stop in the middle. */
    if ((status == APR_TIMEUP || status == MPROC_EUNFINISHED) && timeout != 0)
        status = wait_in_step(conn, operation, context, deadline ? deadline : process_deadline(timeout), status);
    /* What a close looks like to the system is not what it is. */
    if (status != APR_SUCCESS && atomic_load(&conn->closable.is_closed))
        status = MPROC_ECLOSED;
    if (operation->leave)
        operation->leave(conn, context, status);
    /* Those who wait without receiving do not see from outside what was read ahead here. */
    const int has_ahead = operation->direction == SYS_STREAM_IN && sys_stream_is_ready(conn->stream);
    if (has_ahead)
        atomic_store(&conn->has_ahead, 1);
    turn_give(turn);
    if (has_ahead)
        closable_wake(&conn->closable);
    return status;
}

/* ---- What the system knows --------------------------------------------------------------------------------------- */

apr_status_t mproc_conn_fileno(mproc_conn_t *handle, mproc_os_handle_t *os_handle)
{
    conn_t *conn;
    if (os_handle)
        *os_handle = MPROC_NO_HANDLE;
    apr_status_t status = acquire_unpromised(&conn, handle, "mproc_conn_fileno");
    if (status != APR_SUCCESS)
        return status;
    if (!os_handle) {
        status = mproc_fail(APR_EINVAL, "mproc_conn_fileno: nowhere to store it: it is NULL");
    } else {
        sys_stream_read_exactly(conn->stream);
        *os_handle = (mproc_os_handle_t)sys_stream_handle(conn->stream);
    }
    conn_release(conn);
    return status;
}

apr_status_t mproc_conn_peer(mproc_conn_t *handle, mproc_peer_t *peer)
{
    conn_t *conn;
    apr_status_t status = acquire_unpromised(&conn, handle, "mproc_conn_peer");
    if (status != APR_SUCCESS)
        return status;
    if (!peer) {
        status = mproc_fail(APR_EINVAL, "mproc_conn_peer: nowhere to store it: it is NULL");
    } else {
        mproc_peer_t found = {0, 0};
        status = sys_stream_peer(conn->stream, &found.pid, &found.is_same_user);
        if (status == APR_SUCCESS)
            *peer = found;
        else
            status = mproc_fail(status, "mproc_conn_peer: the system does not tell who is there");
    }
    conn_release(conn);
    return status;
}
