/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections that move to another process. What that needs to know of them is a table: a header, then for each
 * connection a record and the bytes that were read ahead here. Their handles go by the side, in the same order.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "conn_object.h"
#include "handle.h"

typedef struct table_t {
    uint64_t size; /* of the whole table */
    uint32_t conn_count;
    uint32_t handle_count;
} table_t;

typedef struct record_t {
    uint64_t max_size;
    uint64_t partial_size; /* of the message that was being received */
    uint64_t ahead_size;   /* of what the stream has read ahead */
    uint32_t directions;
    uint32_t handle_count; /* the stream's own, and those that have come through it */
} record_t;

/* ---- Packing ----------------------------------------------------------------------------------------------------- */

/** One connection, packed. */
typedef struct packed_conn_t {
    record_t record;
    unsigned char *ahead; /* of `record.ahead_size` bytes; NULL for none */
} packed_conn_t;

/** Take what the stream has read ahead, all at one time, and add the handles to the list. */
static apr_status_t pack_stream(conn_move_t *move, packed_conn_t *packed, const conn_t *conn)
{
    sys_handle_t passed[SYS_PACKED_HANDLES_MAX];
    size_t count = 0;
    size_t capacity = 0;
    size_t size;
    /* mproc_conn_fileno() may come between the two looks, and add to it. */
    while ((size = sys_stream_pack(conn->stream, packed->ahead, capacity, passed, &count)) > capacity) {
        unsigned char *larger = realloc(packed->ahead, size);
        if (!larger)
            return APR_ENOMEM;
        packed->ahead = larger;
        capacity = size;
    }
    packed->record = (record_t){.max_size = conn->max_size,
                                .partial_size = conn->have,
                                .ahead_size = size,
                                .directions = (uint32_t)sys_stream_directions(conn->stream),
                                .handle_count = (uint32_t)count + 1};
    move->has_read |= size > 0 || conn->have > 0;
    if (move->handle_count + packed->record.handle_count > SYS_ATTACHED_MAX)
        return APR_EINVAL;
    move->handles[move->handle_count++] = sys_stream_handle(conn->stream);
    for (size_t i = 0; i < count; i++)
        move->handles[move->handle_count++] = passed[i];
    return APR_SUCCESS;
}

/** Append bytes to a table. */
static unsigned char *append(unsigned char *at, const void *bytes, size_t size)
{
    if (size)
        memcpy(at, bytes, size);
    return at + size;
}

/** Write the table of all connections. */
static apr_status_t write_table(conn_move_t *move, const packed_conn_t *packed)
{
    table_t table = {sizeof table, (uint32_t)move->count, (uint32_t)move->handle_count};
    for (size_t i = 0; i < move->count; i++)
        table.size += sizeof(record_t) + packed[i].record.partial_size + packed[i].record.ahead_size;
    if (table.size > CONN_TABLE_MAX)
        return MPROC_ESTATE;
    unsigned char *at = move->table = malloc((size_t)table.size);
    if (!at)
        return APR_ENOMEM;
    move->table_size = (size_t)table.size;
    at = append(at, &table, sizeof table);
    for (size_t i = 0; i < move->count; i++) {
        at = append(at, &packed[i].record, sizeof packed[i].record);
        at = append(at, move->conns[i]->partial, move->conns[i]->have);
        at = append(at, packed[i].ahead, (size_t)packed[i].record.ahead_size);
    }
    return APR_SUCCESS;
}

static apr_status_t pack(conn_move_t *move)
{
    packed_conn_t packed[SYS_ATTACHED_MAX];
    apr_status_t status = APR_SUCCESS;
    memset(packed, 0, sizeof packed);
    for (size_t i = 0; i < move->count && status == APR_SUCCESS; i++)
        status = pack_stream(move, &packed[i], move->conns[i]);
    if (status == APR_SUCCESS)
        status = write_table(move, packed);
    for (size_t i = 0; i < move->count; i++)
        free(packed[i].ahead);
    return status;
}

/* ---- Promises ---------------------------------------------------------------------------------------------------- */

/** Promise a connection, unless another thread uses it now. */
static apr_status_t promise(conn_t *conn, const char *call)
{
    int is_promised = 0;
    if (turn_take(&conn->sending, &conn->closable, 0) != APR_SUCCESS)
        return mproc_fail(MPROC_ESTATE, "%s: another thread is sending through a connection that is to move", call);
    apr_status_t status = APR_SUCCESS;
    if (turn_take(&conn->receiving, &conn->closable, 0) != APR_SUCCESS) {
        status = mproc_fail(MPROC_ESTATE, "%s: another thread is receiving from a connection that is to move", call);
    } else {
        if (sys_stream_has_rest(conn->stream) || conn->is_broken || conn->is_dropping)
            status = mproc_fail(MPROC_ESTATE, "%s: a connection that is to move has a message unfinished", call);
        else if (!atomic_compare_exchange_strong(&conn->is_promised, &is_promised, 1))
            status = mproc_fail(MPROC_ESTATE, "%s: a connection is to move to another process already", call);
        turn_give(&conn->receiving);
    }
    turn_give(&conn->sending);
    return status;
}

apr_status_t conn_move_begin(conn_move_t *move, mproc_conn_t *const *conns, size_t count, const char *call)
{
    apr_status_t status = APR_SUCCESS;
    memset(move, 0, offsetof(conn_move_t, handles));
    move->handle_count = 0;
    for (size_t i = 0; i < count && status == APR_SUCCESS; i++) {
        conn_t *conn;
        status = conn_acquire(&conn, conns[i], call);
        if (status != APR_SUCCESS)
            break;
        status = promise(conn, call);
        if (status == APR_SUCCESS)
            move->conns[move->count++] = conn;
        else
            conn_release(conn);
    }
    if (status == APR_SUCCESS) {
        status = pack(move);
        if (status == MPROC_ESTATE)
            mproc_fail(status, "%s: too much of a message has been received in part: receive the rest first", call);
        else if (status != APR_SUCCESS)
            status = mproc_fail(status, "%s: the connections cannot be packed up", call);
    }
    if (status != APR_SUCCESS)
        conn_move_finish(move, 0);
    return status;
}

void conn_move_finish(conn_move_t *move, int has_moved)
{
    for (size_t i = 0; i < move->count; i++) {
        if (has_moved) {
            conn_close(move->conns[i]);
        } else {
            atomic_store(&move->conns[i]->is_promised, 0);
            sys_stream_keep(move->conns[i]->stream);
        }
        conn_release(move->conns[i]);
    }
    free(move->table);
    move->table = NULL;
    move->count = move->table_size = move->handle_count = 0;
}

/* ---- Unpacking --------------------------------------------------------------------------------------------------- */

/** Whether a record is sound, and all of it is there. */
static int is_sound(const record_t *record, size_t left)
{
    const uint32_t both = SYS_STREAM_IN | SYS_STREAM_OUT;
    return record->directions > 0 && record->directions <= both && record->handle_count > 0 &&
           record->handle_count <= SYS_ATTACHED_MAX && record->partial_size <= left &&
           record->ahead_size <= left - record->partial_size;
}

int conn_table_check(const unsigned char *table, size_t size, size_t *table_size, size_t *conn_count,
                     size_t *handle_count)
{
    table_t header;
    record_t record;
    size_t handles = 0;
    if (size < sizeof header)
        return 0;
    memcpy(&header, table, sizeof header);
    if (header.size > size || header.size < sizeof header || header.conn_count > SYS_ATTACHED_MAX)
        return 0;
    size_t at = sizeof header;
    for (uint32_t i = 0; i < header.conn_count; i++) {
        if (header.size - at < sizeof record)
            return 0;
        memcpy(&record, table + at, sizeof record);
        at += sizeof record;
        if (!is_sound(&record, (size_t)header.size - at))
            return 0;
        at += (size_t)(record.partial_size + record.ahead_size);
        handles += record.handle_count;
    }
    *table_size = (size_t)header.size;
    *conn_count = header.conn_count;
    *handle_count = handles;
    return at == header.size && handles == header.handle_count && handles <= SYS_ATTACHED_MAX;
}

/** Keep what had been received of a message. */
static apr_status_t keep_partial(conn_t *conn, const unsigned char *bytes, size_t size)
{
    if (size == 0)
        return APR_SUCCESS;
    conn->partial = malloc(size + 1);
    if (!conn->partial)
        return APR_ENOMEM;
    memcpy(conn->partial, bytes, size);
    conn->have = conn->room = size;
    return APR_SUCCESS;
}

/** Make one connection; its handles belong to it, also after a failure, when there is none. */
static apr_status_t open_one(mproc_conn_t **handle, const record_t *record, const unsigned char *bytes,
                             const sys_handle_t *handles, const char *call)
{
    conn_t *conn;
    uint32_t taken = 0; /* handles that are the stream's */
    *handle = NULL;
    apr_status_t status = conn_create(&conn, (size_t)record->max_size, call);
    if (status == APR_SUCCESS) {
        status = keep_partial(conn, bytes, (size_t)record->partial_size);
        if (status == APR_SUCCESS)
            status = sys_stream_open(&conn->stream, handles[0], (int)record->directions);
        if (status == APR_SUCCESS) {
            taken = 1;
            status = sys_stream_unpack(conn->stream, bytes + record->partial_size, (size_t)record->ahead_size,
                                       record->partial_size, handles + 1, record->handle_count - 1);
        }
        if (status == APR_SUCCESS)
            taken = record->handle_count;
        else
            status = mproc_fail(status, "%s: a connection that came cannot be used", call);
        *handle = conn_complete(conn, status);
    }
    for (uint32_t i = taken; i < record->handle_count; i++)
        sys_handle_close(handles[i]);
    return status;
}

apr_status_t conn_table_open(mproc_conn_t **conns, const unsigned char *table, const sys_handle_t *handles,
                             const char *call)
{
    table_t header;
    apr_status_t result = APR_SUCCESS;
    memcpy(&header, table, sizeof header);
    const unsigned char *at = table + sizeof header;
    for (uint32_t i = 0; i < header.conn_count; i++) {
        record_t record;
        memcpy(&record, at, sizeof record);
        at += sizeof record;
        const apr_status_t status = open_one(&conns[i], &record, at, handles, call);
        if (result == APR_SUCCESS)
            result = status;
        at += record.partial_size + record.ahead_size;
        handles += record.handle_count;
    }
    /* All or none. */
    for (uint32_t i = 0; i < header.conn_count && result != APR_SUCCESS; i++) {
        if (conns[i])
            handle_close(conns[i], HANDLE_CONN);
        conns[i] = NULL;
    }
    return result;
}
