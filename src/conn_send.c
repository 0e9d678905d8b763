/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "conn_object.h"

/* Messages of up to this size go out at once or not at all, mostly: what is left of larger ones is not to be copied. */
enum { SHORT_MESSAGE = 1 << 15 };

/** A call that sends. */
typedef struct sending_t {
    sys_message_t message;
    int is_begun; /* the stream has the rest of it */
} sending_t;

static apr_status_t flush_step(conn_t *conn, void *context, sys_time_t deadline, sys_handle_t stop)
{
    (void)context;
    return sys_stream_flush(conn->stream, deadline, stop);
}

static apr_status_t send_step(conn_t *conn, void *context, sys_time_t deadline, sys_handle_t stop)
{
    sending_t *sending = context;
    apr_status_t status;
    if (!sending->is_begun) {
        status = sys_stream_send(conn->stream, &sending->message, deadline, stop);
        sending->is_begun = status == MPROC_EUNFINISHED;
        if (!sending->is_begun || deadline == 0)
            return status;
    }
    /* It was woken in the middle of the message, or its time is up: then this looks once more, and no longer. */
    status = sys_stream_flush(conn->stream, deadline, stop);
    /* Whatever else fails, the rest is still there, and goes out later. */
    const int is_over = status == APR_SUCCESS || status == APR_EPIPE || status == MPROC_EBROKEN;
    return is_over || status == APR_EINTR ? status : MPROC_EUNFINISHED;
}

static int send_waits(const conn_t *conn, const void *context)
{
    const sending_t *sending = context;
    (void)conn;
    return sending->message.sizes[0] > SHORT_MESSAGE || sending->message.sizes[1] > SHORT_MESSAGE;
}

static int flush_waits(const conn_t *conn, const void *context)
{
    (void)context;
    return sys_stream_has_rest(conn->stream);
}

/** Send a message; the status has no text. */
static apr_status_t send_message(conn_t *conn, sending_t *sending, apr_interval_time_t timeout)
{
    static const conn_operation_t operation = {.direction = SYS_STREAM_OUT, .waits = send_waits, .step = send_step};
    return conn_perform(conn, &operation, sending, timeout);
}

/** Check what every call that sends is given; the status has its text. */
static apr_status_t check_data(const void *data, size_t size, const char *call)
{
    if (!data && size)
        return mproc_fail(APR_EINVAL, "%s: the data is NULL, but its size is %zu", call, size);
    if (size > SIZE_MAX / 4)
        return mproc_fail(APR_EINVAL, "%s: %zu bytes are more than memory can hold", call, size);
    return APR_SUCCESS;
}

apr_status_t mproc_conn_send(mproc_conn_t *handle, const void *data, size_t size, apr_interval_time_t timeout)
{
    static const char call[] = "mproc_conn_send";
    conn_t *conn;
    apr_status_t status = conn_acquire(&conn, handle, call);
    if (status != APR_SUCCESS)
        return status;
    status = check_data(data, size, call);
    if (status == APR_SUCCESS) {
        sending_t sending = {.message = {.pieces = {data, NULL}, .sizes = {size, 0}}};
        status = conn_fail(send_message(conn, &sending, timeout), conn, call);
    }
    conn_release(conn);
    return status;
}

apr_status_t mproc_conn_flush(mproc_conn_t *handle, apr_interval_time_t timeout)
{
    static const char call[] = "mproc_conn_flush";
    conn_t *conn;
    apr_status_t status = conn_acquire(&conn, handle, call);
    if (status != APR_SUCCESS)
        return status;
    static const conn_operation_t operation = {.direction = SYS_STREAM_OUT, .waits = flush_waits, .step = flush_step};
    status = conn_fail(conn_perform(conn, &operation, NULL, timeout), conn, call);
    conn_release(conn);
    return status;
}

/** Check a list of attachments; the status has its text. */
static apr_status_t check_attachments(const conn_t *conn, const mproc_attachments_t *attachments, const char *call)
{
    if (!attachments)
        return mproc_fail(APR_EINVAL, "%s: the attachments are NULL", call);
    if ((attachments->conn_count && !attachments->conns) || (attachments->handle_count && !attachments->handles))
        return mproc_fail(APR_EINVAL, "%s: conns or handles is NULL, but its count is not 0", call);
    if (attachments->conn_count > MPROC_ATTACHMENTS_MAX || attachments->handle_count > MPROC_ATTACHMENTS_MAX ||
        attachments->conn_count + attachments->handle_count > MPROC_ATTACHMENTS_MAX)
        return mproc_fail(APR_EINVAL, "%s: more than %d attachments", call, MPROC_ATTACHMENTS_MAX);
    for (size_t i = 0; i < attachments->conn_count; i++)
        if (attachments->conns[i] == conn->handle)
            return mproc_fail(APR_EINVAL, "%s: a connection cannot be sent through itself", call);
    return APR_SUCCESS;
}

/** Send data with connections that are promised already, and with handles. */
static apr_status_t send_moving(conn_t *conn, conn_move_t *move, const void *data, size_t size,
                                const mproc_attachments_t *attachments, apr_interval_time_t timeout, int *has_moved)
{
    sending_t sending = {.message = {.pieces = {move->table, data},
                                     .sizes = {move->table_size, size},
                                     .is_marked = 1,
                                     .handles = move->handles}};
    if (move->handle_count + attachments->handle_count > SYS_ATTACHED_MAX)
        return APR_EINVAL;
    for (size_t i = 0; i < attachments->handle_count; i++)
        move->handles[move->handle_count++] = (sys_handle_t)attachments->handles[i];
    sending.message.handle_count = move->handle_count;
    const apr_status_t status = send_message(conn, &sending, timeout);
    /* They went with the beginning, but whoever never gets the rest never gets them. */
    *has_moved = status == APR_SUCCESS || status == MPROC_EUNFINISHED;
    return status;
}

apr_status_t mproc_conn_send_with(mproc_conn_t *handle, const void *data, size_t size,
                                  const mproc_attachments_t *attachments, apr_interval_time_t timeout)
{
    static const char call[] = "mproc_conn_send_with";
    conn_t *conn;
    conn_move_t move;
    apr_status_t status = conn_acquire(&conn, handle, call);
    if (status != APR_SUCCESS)
        return status;
    status = check_data(data, size, call);
    if (status == APR_SUCCESS)
        status = check_attachments(conn, attachments, call);
    if (status == APR_SUCCESS)
        status = conn_move_begin(&move, attachments->conns, attachments->conn_count, call);
    if (status == APR_SUCCESS) {
        int has_moved = 0;
        status = send_moving(conn, &move, data, size, attachments, timeout, &has_moved);
        conn_move_finish(&move, has_moved);
        status = conn_fail(status, conn, call);
    }
    conn_release(conn);
    return status;
}
