/* SPDX-License-Identifier: Apache-2.0 */
#include "call.h"

#include <string.h>

#include "conn_object.h"
#include "handle.h"

static int is_missing(const mproc_call_t *call, const char *function)
{
    mproc_forget_error(); /* so that a NULL or 0 that is an answer can be told from a refusal */
    if (call)
        return 0;
    mproc_fail(APR_EINVAL, "%s: the call is NULL", function);
    return 1;
}

/** Store a size where it is wanted. */
static void *with_size(void *data, size_t found, size_t *size)
{
    if (size)
        *size = data ? found : 0;
    return data;
}

void *mproc_call_data(mproc_call_t *call, size_t size)
{
    if (is_missing(call, "mproc_call_data"))
        return NULL;
    const boot_piece_t data = call->boot->data;
    if (!data.offset || data.size != size) {
        mproc_fail(MPROC_ESIZE, "mproc_call_data: %s expects %zu bytes, but its creator gave %zu", call->boot->name,
                   size, data.offset ? (size_t)data.size : 0);
        return NULL;
    }
    return boot_at(call->boot, data);
}

void *mproc_call_bytes(mproc_call_t *call, size_t *size)
{
    with_size(NULL, 0, size);
    if (is_missing(call, "mproc_call_bytes"))
        return NULL;
    return with_size(boot_at(call->boot, call->boot->data), (size_t)call->boot->data.size, size);
}

size_t mproc_call_arg_count(mproc_call_t *call)
{
    return is_missing(call, "mproc_call_arg_count") ? 0 : (size_t)call->boot->args.size / sizeof(boot_arg_t);
}

static const boot_arg_t *arg_at(const mproc_call_t *call, size_t index)
{
    const boot_arg_t *args = boot_at(call->boot, call->boot->args);
    return args ? &args[index] : NULL;
}

void *mproc_call_arg(mproc_call_t *call, size_t index, size_t *size)
{
    with_size(NULL, 0, size);
    if (is_missing(call, "mproc_call_arg"))
        return NULL;
    const size_t count = mproc_call_arg_count(call);
    if (index >= count) {
        mproc_fail(APR_EINVAL, "mproc_call_arg: %s was given %zu arguments, there is none at %zu", call->boot->name,
                   count, index);
        return NULL;
    }
    const boot_arg_t *arg = arg_at(call, index);
    return with_size(boot_at(call->boot, arg->data), (size_t)arg->data.size, size);
}

void *mproc_call_named(mproc_call_t *call, const char *name, size_t *size)
{
    with_size(NULL, 0, size);
    if (is_missing(call, "mproc_call_named"))
        return NULL;
    if (!name) {
        mproc_fail(APR_EINVAL, "mproc_call_named: the name is NULL");
        return NULL;
    }
    for (size_t i = 0; i < mproc_call_arg_count(call); i++) {
        const boot_arg_t *arg = arg_at(call, i);
        const char *found = boot_at(call->boot, arg->name);
        if (found && strcmp(found, name) == 0)
            return with_size(boot_at(call->boot, arg->data), (size_t)arg->data.size, size);
    }
    mproc_fail(APR_ENOENT, "mproc_call_named: %s was given no argument '%.80s'", call->boot->name, name);
    return NULL;
}

/** Check that bytes are a string. */
static const char *as_string(const mproc_call_t *call, const char *bytes, size_t size)
{
    if (bytes && (size == 0 || bytes[size - 1] != '\0')) {
        mproc_fail(MPROC_ESIZE, "an argument of %s that is read as a string is not terminated: %zu bytes",
                   call->boot->name, size);
        return NULL;
    }
    return bytes;
}

const char *mproc_call_string(mproc_call_t *call, size_t index)
{
    size_t size;
    const char *bytes = mproc_call_arg(call, index, &size);
    return bytes ? as_string(call, bytes, size) : NULL;
}

const char *mproc_call_named_string(mproc_call_t *call, const char *name)
{
    size_t size;
    const char *bytes = mproc_call_named(call, name, &size);
    return bytes ? as_string(call, bytes, size) : NULL;
}

size_t mproc_call_handle_count(mproc_call_t *call)
{
    if (is_missing(call, "mproc_call_handle_count"))
        return 0;
    /* The last ones are the connections'. */
    return (size_t)call->boot->handles.size / sizeof(int64_t) - call->boot->conn_handle_count;
}

mproc_os_handle_t mproc_call_handle(mproc_call_t *call, size_t index)
{
    if (is_missing(call, "mproc_call_handle"))
        return MPROC_NO_HANDLE;
    const size_t count = mproc_call_handle_count(call);
    if (index >= count) {
        mproc_fail(APR_EINVAL, "mproc_call_handle: %s was given %zu handles, there is none at %zu", call->boot->name,
                   count, index);
        return MPROC_NO_HANDLE;
    }
    const int64_t *handles = boot_at(call->boot, call->boot->handles);
    return (mproc_os_handle_t)handles[index];
}

/* ---- Connections ------------------------------------------------------------------------------------------------- */

/** Open the connections. */
static apr_status_t open_conns(mproc_call_t *call, boot_t *boot)
{
    sys_handle_t handles[SYS_ATTACHED_MAX];
    size_t table_size, handle_count;
    const unsigned char *table = boot_at(boot, boot->conns);
    if (!table)
        return APR_SUCCESS;
    conn_table_check(table, (size_t)boot->conns.size, &table_size, &call->conn_count, &handle_count);
    const size_t first = (size_t)boot->handles.size / sizeof(int64_t) - handle_count;
    for (size_t i = 0; i < handle_count; i++)
        handles[i] = (sys_handle_t)((const int64_t *)boot_at(boot, boot->handles))[first + i];
    const apr_status_t status = conn_table_open(call->conns, table, handles, boot->name);
    if (status != APR_SUCCESS)
        call->conn_count = 0;
    return status;
}

/** Open the objects that are held for this process. */
static apr_status_t open_shares(mproc_call_t *call, boot_t *boot)
{
    const shared_pass_t *passes = boot_at(boot, boot->shares);
    const size_t count = (size_t)boot->shares.size / sizeof *passes;
    if (count == 0)
        return APR_SUCCESS;
    apr_status_t status = arena_use(boot->name);
    for (size_t i = 0; i < count && status == APR_SUCCESS; i++) {
        status = shared_take(&call->shares[i], &passes[i], boot->name);
        if (status == APR_SUCCESS)
            call->share_count = i + 1;
    }
    return status;
}

apr_status_t call_open(mproc_call_t *call, boot_t *boot)
{
    *call = (mproc_call_t){.boot = boot};
    apr_status_t status = open_conns(call, boot);
    if (status == APR_SUCCESS)
        status = open_shares(call, boot);
    if (status != APR_SUCCESS)
        call_close(call);
    return status;
}

void call_close(mproc_call_t *call)
{
    if (call->at_end)
        call->at_end();
    call->at_end = NULL;
    for (size_t i = 0; i < call->conn_count; i++)
        conn_close_handle(call->conns[i]);
    for (size_t i = 0; i < call->share_count; i++)
        shared_close_any(call->shares[i]);
    call->conn_count = call->share_count = 0;
}

/* ---- Shared objects ---------------------------------------------------------------------------------------------- */

int call_share_kind(const mproc_call_t *call, size_t index)
{
    return call && index < call->share_count ? handle_kind(call->shares[index]) : 0;
}

void *call_share(mproc_call_t *call, size_t index, handle_kind_t kind, const char *function)
{
    if (is_missing(call, function))
        return NULL;
    if (index >= call->share_count) {
        mproc_fail(APR_EINVAL, "%s: %s was given %zu shared objects, there is none at %zu", function, call->boot->name,
                   call->share_count, index);
        return NULL;
    }
    if (handle_kind(call->shares[index]) == (int)kind)
        return call->shares[index];
    mproc_fail(APR_EINVAL, "%s: what %s was given at %zu is of another kind", function, call->boot->name, index);
    return NULL;
}

size_t mproc_call_conn_count(mproc_call_t *call)
{
    return is_missing(call, "mproc_call_conn_count") ? 0 : call->conn_count;
}

mproc_conn_t *mproc_call_conn(mproc_call_t *call, size_t index)
{
    if (is_missing(call, "mproc_call_conn"))
        return NULL;
    if (index < call->conn_count)
        return call->conns[index];
    mproc_fail(APR_EINVAL, "mproc_call_conn: %s was given %zu connections, there is none at %zu", call->boot->name,
               call->conn_count, index);
    return NULL;
}
