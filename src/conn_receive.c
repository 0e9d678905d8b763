/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include <mproc/version.h>

#include "conn_object.h"

/*
 * Memory for a message is got as the message comes: a length that is not true costs its sender more than us. This much
 * is got at once.
 */
enum { FIRST_ROOM = 1 << 22 };

/** A call that receives. */
typedef struct receipt_t {
    unsigned char *buffer; /* where the caller wants it; NULL: in memory of its size */
    size_t capacity;
    int is_into;  /* the caller has a buffer, even if that is NULL */
    int is_exact; /* of just the message's size */
    int takes_attachments;
    int is_discard;
    size_t done; /* bytes in `buffer` so far */
    sys_next_t next;
    mproc_attachments_t *attachments;
    /* What came: */
    unsigned char *data;
    size_t size;
    size_t conn_count;
    int is_lost; /* the message was, since its handles were */
    sys_handle_t handles[SYS_ATTACHED_MAX];
} receipt_t;

void conn_drop_partial(conn_t *conn)
{
    free(conn->partial);
    conn->partial = NULL;
    conn->have = conn->room = 0;
}

/** Have room for so many bytes in the memory that keeps a message; not for all that it says it has, at first. */
static apr_status_t make_room(conn_t *conn, size_t wanted)
{
    if (wanted <= conn->room)
        return APR_SUCCESS;
    unsigned char *larger = realloc(conn->partial, wanted + 1);
    if (!larger)
        return APR_ENOMEM;
    conn->partial = larger;
    conn->room = wanted;
    return APR_SUCCESS;
}

/** Read the message into memory that the library gets. */
static apr_status_t read_into_own(conn_t *conn, size_t size, sys_time_t deadline, sys_handle_t stop)
{
    /* There is memory for an empty message, too. */
    apr_status_t status = make_room(conn, size == 0 ? 1 : size < FIRST_ROOM ? size : FIRST_ROOM);
    while (status == APR_SUCCESS && conn->have < size) {
        size_t got;
        if (conn->have == conn->room)
            status = make_room(conn, size / 2 < conn->room ? size : conn->room * 2);
        if (status != APR_SUCCESS)
            break;
        const size_t part = (size < conn->room ? size : conn->room) - conn->have;
        status = sys_stream_read(conn->stream, conn->partial + conn->have, part, &got, deadline, stop);
        conn->have += got;
    }
    return status;
}

/** Read the message into the caller's memory; what earlier calls have read comes first. */
static apr_status_t read_into_callers(conn_t *conn, receipt_t *receipt, sys_time_t deadline, sys_handle_t stop)
{
    const size_t size = receipt->size;
    size_t got = 0;
    /* What an earlier call could not finish goes on where it is, and is copied once. */
    if (conn->have > 0) {
        const apr_status_t status = read_into_own(conn, size, deadline, stop);
        if (status == APR_SUCCESS)
            memcpy(receipt->buffer, conn->partial, size);
        return status;
    }
    const apr_status_t status = size == receipt->done ? APR_SUCCESS
                                                      : sys_stream_read(conn->stream, receipt->buffer + receipt->done,
                                                                        size - receipt->done, &got, deadline, stop);
    receipt->done += got;
    return status;
}

/** Whether a message may be received by this call. */
static apr_status_t check_next(const conn_t *conn, receipt_t *receipt)
{
    const sys_next_t *next = &receipt->next;
    receipt->size = next->size > SIZE_MAX ? SIZE_MAX : (size_t)next->size;
    if (next->is_marked && !receipt->takes_attachments)
        return MPROC_EATTACHED;
    if (conn->max_size && receipt->size > conn->max_size &&
        (!next->is_marked || receipt->size - conn->max_size > CONN_TABLE_MAX))
        return MPROC_ETOOBIG;
    if (receipt->size >= SIZE_MAX / 2)
        return APR_ENOMEM;
    if (receipt->is_exact && receipt->size != receipt->capacity)
        return MPROC_ESIZE;
    return receipt->is_into && receipt->size > receipt->capacity ? MPROC_ETOOBIG : APR_SUCCESS;
}

/** Read a message away; a call that cannot finish leaves the rest of it to the next one. */
static apr_status_t drop_message(conn_t *conn, receipt_t *receipt, sys_time_t deadline, sys_handle_t stop)
{
    unsigned char scrap[8192];
    conn_drop_partial(conn);
    for (uint64_t left = receipt->next.left; left > 0;) {
        size_t got;
        const apr_status_t status = sys_stream_read(
            conn->stream, scrap, left < sizeof scrap ? (size_t)left : sizeof scrap, &got, deadline, stop);
        left -= got;
        conn->is_dropping = left < receipt->next.size;
        if (status != APR_SUCCESS)
            return status;
    }
    conn->is_dropping = 0;
    const apr_status_t status = sys_stream_end_message(conn->stream, receipt->handles);
    for (size_t i = 0; i < receipt->next.handle_count && status == APR_SUCCESS; i++)
        sys_handle_close(receipt->handles[i]);
    /* It is all the same if its handles were lost. */
    return status == MPROC_EPROTOCOL ? status : APR_SUCCESS;
}

/** Find the attachments of a message that has been read, and whether the caller has room for them. */
static apr_status_t check_attachments(const conn_t *conn, receipt_t *receipt)
{
    size_t table_size = 0;
    size_t conn_handles = 0;
    receipt->conn_count = 0;
    if (receipt->next.is_marked &&
        (!conn_table_check(conn->partial, conn->have, &table_size, &receipt->conn_count, &conn_handles) ||
         conn_handles > receipt->next.handle_count))
        return MPROC_EPROTOCOL;
    const size_t handle_count = receipt->next.handle_count - conn_handles;
    mproc_attachments_t *attachments = receipt->attachments;
    const int has_room = receipt->conn_count <= attachments->conn_count && handle_count <= attachments->handle_count;
    attachments->conn_count = receipt->conn_count;
    attachments->handle_count = handle_count;
    receipt->size = conn->have - table_size;
    return has_room && (!conn->max_size || receipt->size <= conn->max_size) ? APR_SUCCESS : MPROC_ETOOBIG;
}

/** Read the message, to where the caller wants it. */
static apr_status_t read_message(conn_t *conn, receipt_t *receipt, sys_time_t deadline, sys_handle_t stop)
{
    apr_status_t status = check_next(conn, receipt);
    if (status == APR_SUCCESS && receipt->is_into)
        return read_into_callers(conn, receipt, deadline, stop);
    if (status == APR_SUCCESS)
        status = read_into_own(conn, receipt->size, deadline, stop);
    if (status == APR_SUCCESS && receipt->takes_attachments)
        status = check_attachments(conn, receipt);
    return status;
}

static int receive_waits(const conn_t *conn, const void *context)
{
    (void)context;
    return !sys_stream_is_ready(conn->stream);
}

static apr_status_t receive_step(conn_t *conn, void *context, sys_time_t deadline, sys_handle_t stop)
{
    receipt_t *receipt = context;
    apr_status_t status;
    if (conn->is_broken)
        return MPROC_EBROKEN;
    for (;;) {
        status = sys_stream_next(conn->stream, &receipt->next, deadline, stop);
        if (status != APR_SUCCESS)
            return status;
        if (!conn->is_dropping && !receipt->is_discard)
            break;
        status = drop_message(conn, receipt, deadline, stop);
        if (status != APR_SUCCESS || receipt->is_discard)
            return status;
    }
    status = read_message(conn, receipt, deadline, stop);
    if (status != APR_SUCCESS)
        return status;
    if (!receipt->is_into) {
        receipt->data = conn->partial;
        receipt->data[conn->have] = '\0';
        conn->partial = NULL;
    }
    conn_drop_partial(conn);
    status = sys_stream_end_message(conn->stream, receipt->handles);
    receipt->is_lost = status != APR_SUCCESS;
    return status;
}

/**
 * The call gives up its turn: what has come of a message in the caller's memory, which is the caller's again, is kept.
 */
static void leave(conn_t *conn, void *context, apr_status_t status)
{
    receipt_t *receipt = context;
    if (status == APR_SUCCESS || status == MPROC_ETRUNCATED || receipt->done == 0)
        return;
    conn_drop_partial(conn);
    if (make_room(conn, receipt->done) != APR_SUCCESS) {
        conn->is_broken = 1;
        return;
    }
    memcpy(conn->partial, receipt->buffer, receipt->done);
    conn->have = receipt->done;
}

/** Receive for the public function `call`; the status has its text. */
static apr_status_t receive(mproc_conn_t *handle, receipt_t *receipt, apr_interval_time_t timeout, const char *call)
{
    conn_t *conn;
    apr_status_t status = conn_acquire(&conn, handle, call);
    if (status != APR_SUCCESS)
        return status;
    static const conn_operation_t operation = {
        .direction = SYS_STREAM_IN, .waits = receive_waits, .step = receive_step, .leave = leave};
    status = conn_perform(conn, &operation, receipt, timeout);
    if (status == MPROC_ETOOBIG)
        mproc_fail(status, "%s: the message has %zu bytes, there is room for %zu", call, receipt->size,
                   receipt->is_into ? receipt->capacity : conn->max_size);
    else if (receipt->is_lost)
        status = mproc_fail(status, "%s: the message is lost, since what came with it is", call);
    else if (status == MPROC_ESIZE)
        mproc_fail(status, "%s: the message has %zu bytes, %zu are expected", call, receipt->size, receipt->capacity);
    else
        status = conn_fail(status, conn, call);
    conn_release(conn);
    return status;
}

static apr_status_t receive_own(mproc_conn_t *handle, receipt_t *receipt, void **data, size_t *size,
                                apr_interval_time_t timeout, const char *call)
{
    if (data)
        *data = NULL;
    if (!data || !size)
        return mproc_fail(APR_EINVAL, "%s: %s is NULL", call, data ? "size" : "data");
    const apr_status_t status = receive(handle, receipt, timeout, call);
    if (status == APR_SUCCESS)
        *data = receipt->data;
    else
        free(receipt->data);
    if (status == APR_SUCCESS || status == MPROC_ETOOBIG)
        *size = receipt->size;
    return status;
}

apr_status_t mproc_conn_recv(mproc_conn_t *handle, void **data, size_t *size, apr_interval_time_t timeout)
{
    receipt_t receipt = {.data = NULL};
    return receive_own(handle, &receipt, data, size, timeout, "mproc_conn_recv");
}

/** Receive into the caller's memory. */
static apr_status_t receive_into(mproc_conn_t *handle, void *buffer, size_t capacity, int is_exact, size_t *size,
                                 apr_interval_time_t timeout, const char *call)
{
    receipt_t receipt = {.buffer = buffer, .capacity = capacity, .is_into = 1, .is_exact = is_exact};
    if (!buffer && capacity)
        return mproc_fail(APR_EINVAL, "%s: the buffer is NULL, but its size is %zu", call, capacity);
    const apr_status_t status = receive(handle, &receipt, timeout, call);
    if (size && (status == APR_SUCCESS || status == MPROC_ETOOBIG))
        *size = receipt.size;
    return status;
}

apr_status_t mproc_conn_recv_into(mproc_conn_t *handle, void *buffer, size_t capacity, size_t *size,
                                  apr_interval_time_t timeout)
{
    return receive_into(handle, buffer, capacity, 0, size, timeout, "mproc_conn_recv_into");
}

apr_status_t mproc_conn_recv_exactly(mproc_conn_t *handle, void *buffer, size_t size, apr_interval_time_t timeout)
{
    return receive_into(handle, buffer, size, 1, NULL, timeout, "mproc_conn_recv_exactly");
}

apr_status_t mproc_conn_discard(mproc_conn_t *handle, apr_interval_time_t timeout)
{
    receipt_t receipt = {.is_discard = 1};
    return receive(handle, &receipt, timeout, "mproc_conn_discard");
}

void mproc_free(void *data)
{
    free(data);
}

/* ---- Attachments ------------------------------------------------------------------------------------------------- */

/** Give the caller what came with a message, and leave the caller's data in its memory. */
static apr_status_t open_attachments(receipt_t *receipt, mproc_attachments_t *attachments, const char *call)
{
    size_t table_size = 0;
    size_t conn_count = 0;
    size_t conn_handles = 0;
    apr_status_t status = APR_SUCCESS;
    if (!receipt->next.is_marked)
        return status;
    conn_table_check(receipt->data, table_size + (size_t)receipt->next.size, &table_size, &conn_count, &conn_handles);
    status = conn_table_open(attachments->conns, receipt->data, receipt->handles, call);
    for (size_t i = 0; i < attachments->handle_count; i++) {
        const sys_handle_t handle = receipt->handles[conn_handles + i];
        if (status == APR_SUCCESS)
            sys_handle_give(handle);
        else
            sys_handle_close(handle);
        attachments->handles[i] = (mproc_os_handle_t)handle;
    }
    if (status != APR_SUCCESS)
        return mproc_fail(status, "%s: the message is lost, since a connection that came with it cannot be used", call);
    memmove(receipt->data, receipt->data + table_size, receipt->size + 1);
    return status;
}

apr_status_t mproc_conn_recv_with_sized(mproc_conn_t *handle, void **data, size_t *size,
                                        mproc_attachments_t *attachments, size_t attachments_size,
                                        apr_interval_time_t timeout)
{
    static const char call[] = "mproc_conn_recv_with";
    if (data)
        *data = NULL;
    if (!attachments || (attachments->conn_count && !attachments->conns) ||
        (attachments->handle_count && !attachments->handles))
        return mproc_fail(APR_EINVAL, "%s: %s is NULL", call, attachments ? "conns or handles" : "attachments");
    if (attachments_size != sizeof *attachments)
        return mproc_fail(MPROC_EBUILD, "%s: the program was built for another libmproc than %s", call,
                          mproc_version());
    mproc_attachments_t room = *attachments;
    receipt_t receipt = {.takes_attachments = 1, .attachments = attachments};
    apr_status_t status = receive_own(handle, &receipt, data, size, timeout, call);
    if (status != APR_SUCCESS) {
        if (status != MPROC_ETOOBIG)
            *attachments = room;
        return status;
    }
    status = open_attachments(&receipt, attachments, call);
    if (status != APR_SUCCESS) {
        *attachments = room;
        free(*data);
        *data = NULL;
    }
    return status;
}

apr_status_t mproc_conn_recv_conn(mproc_conn_t *handle, mproc_conn_t **moved, apr_interval_time_t timeout)
{
    mproc_attachments_t attachments = {moved, 1, NULL, 0};
    void *data;
    size_t size;
    if (moved)
        *moved = NULL;
    const apr_status_t status = mproc_conn_recv_with(handle, &data, &size, &attachments, timeout);
    if (status != APR_SUCCESS)
        return status;
    mproc_free(data);
    return attachments.conn_count
               ? status
               : mproc_fail(MPROC_ESIZE, "mproc_conn_recv_conn: a message without a connection came");
}
