/* SPDX-License-Identifier: Apache-2.0 */
#include <mproc/listener.h>
#include <mproc/version.h>

#include <stdlib.h>
#include <string.h>

#include "conn_object.h"
#include "handle.h"
#include "initialize.h"
#include "listener_object.h"
#include "process_object.h"

/* ---- Making and unmaking ----------------------------------------------------------------------------------------- */

static void destroy(void *object)
{
    listener_t *listener = object;
    sys_listener_close(listener->listener);
    free(listener);
}

static void wake(void *object)
{
    listener_t *listener = object;
    closable_close(&listener->closable);
    sys_listener_stop(listener->listener);
}

/** Close a listener's handle, and wake who waits for it. */
static apr_status_t close_it(listener_t *listener)
{
    const apr_status_t status = handle_close(listener->handle, HANDLE_LISTENER);
    if (status == APR_SUCCESS)
        wake(listener);
    return status;
}

static apr_status_t close_with_pool(void *handle)
{
    void *object;
    if (handle_acquire(&object, handle, HANDLE_LISTENER) != APR_SUCCESS)
        return APR_SUCCESS;
    listener_t *listener = object;
    if (listener->owner == sys_getpid())
        close_it(listener);
    listener_release(listener);
    return APR_SUCCESS;
}

/** Check a name, or an address of the system's. */
static apr_status_t check_name(const char *name, const char *call)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
    if (strchr(name, '/') || strchr(name, '\\'))
        return APR_SUCCESS;
    if (*name && strlen(name) <= LISTENER_NAME_MAX && name[strspn(name, allowed)] == '\0' && *name != '.')
        return APR_SUCCESS;
    return mproc_fail(APR_EINVAL, "%s: '%.80s' is not a name: 1 to %d letters, digits, '.', '-' and '_'", call, name,
                      LISTENER_NAME_MAX);
}

/** Make the object of a listener of the system's, which it owns from then on, also after a failure. */
static apr_status_t publish(listener_t **listener, sys_listener_t *of_system)
{
    *listener = calloc(1, sizeof **listener);
    if (*listener) {
        (*listener)->owner = sys_getpid();
        (*listener)->listener = of_system;
        (*listener)->handle = handle_open(HANDLE_LISTENER, *listener, destroy);
        if ((*listener)->handle)
            return APR_SUCCESS;
    }
    sys_listener_close(of_system);
    free(*listener);
    *listener = NULL;
    return mproc_fail(APR_ENOMEM, "mproc_listener_create: no memory for another listener");
}

apr_status_t mproc_listener_create_sized(mproc_listener_t **handle, const char *name, const mproc_listener_opts_t *opts,
                                         size_t opts_size)
{
    static const char call[] = "mproc_listener_create";
    mproc_listener_opts_t options;
    sys_listener_t *of_system;
    listener_t *listener;
    if (!handle)
        return mproc_fail(APR_EINVAL, "%s: nowhere to store the listener: it is NULL", call);
    *handle = NULL;
    if (opts_size > sizeof options)
        return mproc_fail(MPROC_EBUILD, "%s: the program was built for a newer libmproc than %s", call,
                          mproc_version());
    memset(&options, 0, sizeof options);
    if (opts)
        memcpy(&options, opts, opts_size);
    apr_status_t status = library_check_initialized(call);
    if (status == APR_SUCCESS && name)
        status = check_name(name, call);
    if (status != APR_SUCCESS)
        return status;
    status = sys_listener_create(&of_system, name, options.backlog, options.any_user);
    if (status == APR_EEXIST)
        return mproc_fail(status, "%s: somebody listens at '%.200s' already", call, name ? name : "");
    if (status != APR_SUCCESS)
        return mproc_fail(status, "%s: nobody can listen at '%.200s'", call, name ? name : "a new address");
    status = publish(&listener, of_system);
    if (status != APR_SUCCESS)
        return status;
    listener->max_size = options.max_size;
    if (options.pool)
        apr_pool_cleanup_register(options.pool, listener->handle, close_with_pool, apr_pool_cleanup_null);
    *handle = listener->handle;
    return APR_SUCCESS;
}

/* ---- Using handles ----------------------------------------------------------------------------------------------- */

apr_status_t listener_acquire(listener_t **listener, mproc_listener_t *handle, const char *call)
{
    void *object;
    apr_status_t status = handle_acquire(&object, handle, HANDLE_LISTENER);
    *listener = object;
    if (status == APR_EINVAL)
        return mproc_fail(status, "%s: the listener is NULL", call);
    if (status != APR_SUCCESS)
        return mproc_fail(status, "%s: %p is not an open listener: closed before, or never one", call, (void *)handle);
    if ((*listener)->owner != sys_getpid()) {
        mproc_fail(MPROC_EFOREIGN, "%s: the listener was made by process %d, this is process %d", call,
                   (*listener)->owner, sys_getpid());
        handle_release(handle);
        *listener = NULL;
        return MPROC_EFOREIGN;
    }
    return APR_SUCCESS;
}

void listener_release(listener_t *listener)
{
    handle_release(listener->handle);
}

static int is_own(const void *object)
{
    const listener_t *listener = object;
    return listener->owner == sys_getpid();
}

void listener_close_all(void)
{
    handle_close_all(HANDLE_LISTENER, is_own, wake);
}

const char *mproc_listener_address(mproc_listener_t *handle)
{
    listener_t *listener;
    if (listener_acquire(&listener, handle, "mproc_listener_address") != APR_SUCCESS)
        return NULL;
    const char *address = sys_listener_address(listener->listener);
    listener_release(listener);
    mproc_forget_error();
    return address;
}

apr_status_t mproc_listener_close(mproc_listener_t *handle)
{
    listener_t *listener;
    if (!handle)
        return APR_SUCCESS;
    apr_status_t status = listener_acquire(&listener, handle, "mproc_listener_close");
    if (status != APR_SUCCESS)
        return status;
    status = close_it(listener);
    listener_release(listener);
    return status == APR_SUCCESS ? status
                                 : mproc_fail(status, "mproc_listener_close: another thread has just closed it");
}

/* ---- Connecting -------------------------------------------------------------------------------------------------- */

/** Wait for somebody to connect, when nobody has; the status has no text. */
static apr_status_t wait_for_one(listener_t *listener, sys_stream_t **stream, apr_interval_time_t timeout)
{
    waiter_t *waiter;
    const sys_time_t deadline = process_deadline(timeout);
    apr_status_t status = waiter_begin(&waiter, &listener->closable);
    if (status != APR_SUCCESS)
        return status;
    atomic_fetch_add(&listener->closable.waiters, 1);
    do {
        waiter_reset(waiter);
        status = atomic_load(&listener->closable.is_closed)
                     ? MPROC_ECLOSED
                     : sys_listener_accept(listener->listener, stream, deadline, waiter->event.sentinel);
    } while (status == APR_EINTR);
    atomic_fetch_sub(&listener->closable.waiters, 1);
    waiter_end(waiter);
    return status;
}

/** Get one who has connected or will; the status has no text. */
static apr_status_t accept_one(listener_t *listener, sys_stream_t **stream, apr_interval_time_t timeout)
{
    apr_status_t status = sys_listener_accept(listener->listener, stream, 0, SYS_NO_HANDLE);
    if (status == APR_TIMEUP && timeout != 0)
        status = wait_for_one(listener, stream, timeout);
    /* What a close looks like to the system is not what it is. */
    return status != APR_SUCCESS && atomic_load(&listener->closable.is_closed) ? MPROC_ECLOSED : status;
}

apr_status_t mproc_listener_accept(mproc_listener_t *handle, mproc_conn_t **conn_handle, apr_interval_time_t timeout)
{
    static const char call[] = "mproc_listener_accept";
    listener_t *listener;
    conn_t *conn;
    if (conn_handle)
        *conn_handle = NULL;
    apr_status_t status = listener_acquire(&listener, handle, call);
    if (status != APR_SUCCESS)
        return status;
    if (!conn_handle)
        status = mproc_fail(APR_EINVAL, "%s: nowhere to store the connection: it is NULL", call);
    else
        status = conn_create(&conn, listener->max_size, call);
    if (status == APR_SUCCESS) {
        status = accept_one(listener, &conn->stream, timeout);
        if (status == APR_TIMEUP)
            status = mproc_fail(status, "%s: nobody has connected in time", call);
        else if (status == MPROC_ECLOSED)
            status = mproc_fail(status, "%s: another thread has closed the listener", call);
        else if (status != APR_SUCCESS)
            status = mproc_fail(status, "%s: nobody can connect to %s", call, sys_listener_address(listener->listener));
        *conn_handle = conn_complete(conn, status);
    }
    listener_release(listener);
    return status;
}

apr_status_t mproc_connect_sized(mproc_conn_t **handle, const char *name, const mproc_conn_opts_t *opts,
                                 size_t opts_size, apr_interval_time_t timeout)
{
    static const char call[] = "mproc_connect";
    conn_t *conn;
    mproc_conn_opts_t options;
    if (handle)
        *handle = NULL;
    if (!handle || !name)
        return mproc_fail(APR_EINVAL, "%s: %s is NULL", call, handle ? "the name" : "conn");
    apr_status_t status = library_check_initialized(call);
    if (status == APR_SUCCESS)
        status = conn_take_options(&options, opts, opts_size, call);
    if (status == APR_SUCCESS)
        status = check_name(name, call);
    if (status == APR_SUCCESS)
        status = conn_create(&conn, options.max_size, call);
    if (status != APR_SUCCESS)
        return status;
    status = sys_stream_connect(&conn->stream, name, timeout == 0 ? 0 : process_deadline(timeout));
    if (status == APR_SUCCESS)
        conn_join_pool(conn, options.pool);
    else if (status == APR_ENOENT)
        status = mproc_fail(status, "%s: nobody listens at '%.200s'", call, name);
    else if (status == APR_TIMEUP)
        status = mproc_fail(status, "%s: whoever listens at '%.200s' takes no more", call, name);
    else
        status = mproc_fail(status, "%s: '%.200s' cannot be reached", call, name);
    *handle = conn_complete(conn, status);
    return status;
}
