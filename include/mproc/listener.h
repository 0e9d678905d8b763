/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file listener.h
 * @brief Listeners: processes of the same user that are not relatives connect by a name.
 *
 * @code
 * mproc_listener_create(&listener, "clock", NULL);
 * while (mproc_listener_accept(listener, &conn, MPROC_FOREVER) == APR_SUCCESS)
 *     serve(conn);                                            ... or many at once: see wait.h
 *
 * mproc_connect(&conn, "clock", NULL, MPROC_SECONDS(5));      ... in another program
 * @endcode
 *
 * Every call that takes a listener returns APR_EINVAL for NULL, MPROC_ECLOSED for a handle that was closed or never was
 * one, and MPROC_EFOREIGN in a process that inherited the handle by fork; this is not repeated below.
 */
#ifndef MPROC_LISTENER_H
#define MPROC_LISTENER_H

#include "connection.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Something that waits for others to connect. */
typedef struct mproc_listener_t mproc_listener_t;

/** Options of a listener; all zeros are the defaults. */
typedef struct mproc_listener_opts_t {
    /** How many may wait to be accepted; 0 for the system's usual number. */
    int backlog;
    /** Whether other users may connect as well. mproc_conn_peer() tells who did. */
    int any_user;
    /** The `.max_size` of the connections that it makes. */
    size_t max_size;
    /** The listener is closed when this pool is cleared. NULL: it stays until mproc_listener_close(). */
    apr_pool_t *pool;
} mproc_listener_opts_t;

/**
 * The call behind mproc_listener_create(); programs in other languages make it directly.
 *
 * @param listener  As there.
 * @param name      As there.
 * @param opts      As there.
 * @param opts_size `sizeof(mproc_listener_opts_t)` as the caller knows it.
 * @return As mproc_listener_create(); MPROC_EBUILD if the caller's options are larger than the library's.
 */
MPROC_API apr_status_t mproc_listener_create_sized(mproc_listener_t **listener, const char *name,
                                                   const mproc_listener_opts_t *opts, size_t opts_size);

/**
 * Listen under a name.
 *
 * @param listener Where to store the listener; NULL on failure.
 * @param name     A name of this user's: letters, digits, '.', '-' and '_', at most 64; or a full address: on Unix a
 *                 path with a '/', on Windows one that begins with `\\.\pipe\`. NULL: a new name is made, see
 *                 mproc_listener_address().
 * @param opts     Options, or NULL.
 * @return APR_SUCCESS; MPROC_EINIT before mproc_initialize(); APR_EINVAL for a bad name; APR_EEXIST if somebody listens
 *         there; APR_ENAMETOOLONG; APR_EACCES, APR_ENOENT or another status of the system.
 * @remark Any thread. On Unix the address is a socket's path, which only its owner may use; one that a killed program
 *         left behind is taken over.
 */
static inline apr_status_t mproc_listener_create(mproc_listener_t **listener, const char *name,
                                                 const mproc_listener_opts_t *opts)
{
    return mproc_listener_create_sized(listener, name, opts, sizeof(mproc_listener_opts_t));
}

/**
 * Tell a listener's full address, as mproc_connect() and Python's `Client` take it.
 *
 * @param listener The listener.
 * @return The address, which lives as long as the listener; NULL if the handle is refused (see
 *         mproc_last_error()).
 * @remark Any thread.
 */
MPROC_API const char *mproc_listener_address(mproc_listener_t *listener);

/**
 * Wait until somebody connects.
 *
 * Where others may not connect, those of other users are turned away, unseen.
 *
 * @param listener The listener.
 * @param conn     Where to store the connection; NULL on failure.
 * @param timeout  How long to wait, in microseconds; 0 to try.
 * @return APR_SUCCESS; APR_TIMEUP; MPROC_ECLOSED also if another thread closes the listener; APR_EMFILE, APR_ENOMEM or
 *         another status of the system: whoever has connected waits on.
 * @remark Any thread, several at once.
 */
MPROC_API apr_status_t mproc_listener_accept(mproc_listener_t *listener, mproc_conn_t **conn,
                                             apr_interval_time_t timeout);

/**
 * Stop listening, and remove the name. Those that wait to be accepted see the end.
 *
 * @param listener The listener; NULL is allowed and does nothing.
 * @return APR_SUCCESS; MPROC_ECLOSED if it was closed before, which is harmless.
 * @remark Any thread; other threads that wait in a call on it return with MPROC_ECLOSED.
 */
MPROC_API apr_status_t mproc_listener_close(mproc_listener_t *listener);

/**
 * The call behind mproc_connect(); programs in other languages make it directly.
 *
 * @param conn      As there.
 * @param name      As there.
 * @param opts      As there.
 * @param opts_size `sizeof(mproc_conn_opts_t)` as the caller knows it.
 * @param timeout   As there.
 * @return As mproc_connect(); MPROC_EBUILD if the caller's options are larger than the library's.
 */
MPROC_API apr_status_t mproc_connect_sized(mproc_conn_t **conn, const char *name, const mproc_conn_opts_t *opts,
                                           size_t opts_size, apr_interval_time_t timeout);

/**
 * Connect to a listener.
 *
 * While nobody listens there it tries again, as long as there is time. Success does not mean that the listener has
 * accepted already.
 *
 * @param conn    Where to store the connection; NULL on failure.
 * @param name    The listener's name or address.
 * @param opts    Options of this end, or NULL.
 * @param timeout How long to wait for somebody to listen there, in microseconds; 0 to try.
 * @return APR_SUCCESS; APR_ENOENT if nobody listens there until the time is up; APR_TIMEUP if somebody does, but too
 *         many wait to be accepted; APR_EACCES if it belongs to another user; APR_EINVAL for a bad name; MPROC_EINIT
 *         before mproc_initialize(); APR_EMFILE or APR_ENOMEM.
 * @remark Any thread. macOS and the BSDs refuse a caller alike where nobody listens any more and where too many wait to
 *         be accepted: both are APR_ENOENT there.
 */
static inline apr_status_t mproc_connect(mproc_conn_t **conn, const char *name, const mproc_conn_opts_t *opts,
                                         apr_interval_time_t timeout)
{
    return mproc_connect_sized(conn, name, opts, sizeof(mproc_conn_opts_t), timeout);
}

#ifdef __cplusplus
}
#endif

#endif
