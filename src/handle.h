/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file handle.h
 * @brief Handles: what the program holds instead of pointers to our objects.
 *
 * A handle looks like a pointer of an opaque type but is a number: a place in a table, and the place's generation. So
 * NULL, closed, stale and foreign values are told apart from open ones without ever being dereferenced, a close can
 * race with a use, and a pool's cleanup may close what was closed long before.
 */
#ifndef MPROC_HANDLE_H
#define MPROC_HANDLE_H

#include <apr_errno.h>

/** The kinds of objects; a handle of one kind is refused where another is expected. */
typedef enum handle_kind_t {
    HANDLE_PROCESS = 1,
    HANDLE_CONN,
    HANDLE_LISTENER,
    HANDLE_SUBPROCESS,
    HANDLE_LOCAL,
    HANDLE_SHM,
    HANDLE_LIST,
    HANDLE_POOL,
    HANDLE_FUTURE,
    HANDLE_STREAM,
    HANDLE_FIRST_SHARED,
    HANDLE_LOCK = HANDLE_FIRST_SHARED, /* from here on they can be used as hazard.h says */
    HANDLE_SEMAPHORE,
    HANDLE_EVENT,
    HANDLE_CONDITION,
    HANDLE_BARRIER,
    HANDLE_QUEUE,
    HANDLE_QUEUE_PUTTER,
    HANDLE_QUEUE_GETTER,
    HANDLE_DATA,
    HANDLE_POOL_STATE
} handle_kind_t;

/** Called when an object is closed and no call uses it any more. */
typedef void (*handle_destroy_t)(void *object);

/**
 * Give an object a handle; the caller keeps the object's first reference, which handle_close() gives up.
 *
 * @return The handle; NULL when memory or the table is exhausted.
 */
void *handle_open(handle_kind_t kind, void *object, handle_destroy_t destroy);

/**
 * Get the object behind a handle, and keep it from being destroyed until handle_release().
 *
 * @return APR_SUCCESS; APR_EINVAL for NULL; MPROC_ECLOSED for anything that is not an open handle of this kind.
 */
apr_status_t handle_acquire(void **object, const void *handle, handle_kind_t kind);

/** Give back what handle_acquire() got; the last one of a closed handle destroys the object. */
void handle_release(const void *handle);

/**
 * Close a handle: no new use succeeds. The object is destroyed when the last use is over.
 *
 * @return As handle_acquire().
 */
apr_status_t handle_close(const void *handle, handle_kind_t kind);

/**
 * Close all open handles of a kind whose objects a function approves; `closed`, which may be NULL, is called for each
 * while its object is still there.
 */
void handle_close_all(handle_kind_t kind, int (*approves)(const void *object), void (*closed)(void *object));

/** How many uses there are just now, the caller's among them, of what a handle speaks of that the caller uses. */
unsigned handle_uses(const void *handle);

/** What kind of object a handle speaks of, open or not; 0 if it is no handle. */
int handle_kind(const void *handle);

/**
 * Have every forked child find the table in one piece, and without the uses of threads that it does not have: so what
 * it closes is destroyed. APR_ENOTIMPL if nothing forks here.
 */
apr_status_t handle_watch_forks(void);

#endif
