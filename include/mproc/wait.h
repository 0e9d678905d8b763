/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file wait.h
 * @brief Wait for any of several things: messages, ends of processes and tasks, callers, the system's own handles.
 *
 * @code
 * mproc_wait_t items[] = {mproc_wait_conn(a), mproc_wait_conn(b), mproc_wait_process(child)};
 * while (mproc_wait(items, 3, MPROC_SECONDS(5)) == APR_SUCCESS && !items[2].is_ready)
 *     for (int i = 0; i < 2; i++)
 *         if (items[i].is_ready && mproc_conn_recv(items[i].object, &data, &size, 0) == APR_SUCCESS)
 *             use(data);
 * @endcode
 *
 * Receive with a timeout of 0 from what is ready: where only a part of a message has come, that gives APR_TIMEUP, and
 * the connection is ready again when more of it comes.
 */
#ifndef MPROC_WAIT_H
#define MPROC_WAIT_H

#include "connection.h"
#include "future.h"
#include "listener.h"
#include "subprocess.h"
#include "process.h"
#include "queue.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What kind of thing is waited for. */
typedef enum mproc_wait_kind_t {
    /** Nothing: an item that is not in use. */
    MPROC_WAIT_NOTHING = 0,
    /** A connection: there is something to receive, also the end. */
    MPROC_WAIT_CONN,
    /** A process: it has ended. */
    MPROC_WAIT_PROCESS,
    /** A listener: somebody wants to connect. */
    MPROC_WAIT_LISTENER,
    /** A handle of the system: a descriptor that becomes readable, a `HANDLE` that becomes signalled. */
    MPROC_WAIT_HANDLE,
    /** A socket of the system that becomes readable; on Unix the same as a handle. */
    MPROC_WAIT_SOCKET,
    /** An external program: it has ended. */
    MPROC_WAIT_SUBPROCESS,
    /** A queue, or a getter: there is something to get, also the end. */
    MPROC_WAIT_QUEUE,
    /** A task of a pool: it has ended, however it went. */
    MPROC_WAIT_FUTURE
} mproc_wait_kind_t;

/** One thing to wait for; made by the functions below. */
typedef struct mproc_wait_t {
    /** What kind it is. */
    mproc_wait_kind_t kind;
    /** Set by mproc_wait(): whether it is ready. Where the call fails none is. */
    int is_ready;
    /** Set by mproc_wait(): APR_SUCCESS, or why this one cannot be waited for (any more), for which the call fails. */
    apr_status_t status;
    /** The connection, process, listener, external program, queue or future. */
    void *object;
    /** The handle or socket. */
    mproc_os_handle_t handle;
    /** The program's own. */
    void *context;
} mproc_wait_t;

/**
 * Make an item of a connection.
 *
 * @param conn The connection.
 * @return The item.
 */
static inline mproc_wait_t mproc_wait_conn(mproc_conn_t *conn)
{
    mproc_wait_t item = {MPROC_WAIT_CONN, 0, APR_SUCCESS, NULL, MPROC_NO_HANDLE, NULL};
    item.object = conn;
    return item;
}

/**
 * Make an item of a process.
 *
 * @param process The process; also mproc_parent_process().
 * @return The item.
 */
static inline mproc_wait_t mproc_wait_process(mproc_process_t *process)
{
    mproc_wait_t item = {MPROC_WAIT_PROCESS, 0, APR_SUCCESS, NULL, MPROC_NO_HANDLE, NULL};
    item.object = process;
    return item;
}

/**
 * Make an item of a listener.
 *
 * @param listener The listener.
 * @return The item.
 */
static inline mproc_wait_t mproc_wait_listener(mproc_listener_t *listener)
{
    mproc_wait_t item = {MPROC_WAIT_LISTENER, 0, APR_SUCCESS, NULL, MPROC_NO_HANDLE, NULL};
    item.object = listener;
    return item;
}

/**
 * Make an item of a handle.
 *
 * @param handle The handle.
 * @return The item.
 */
static inline mproc_wait_t mproc_wait_handle(mproc_os_handle_t handle)
{
    mproc_wait_t item = {MPROC_WAIT_HANDLE, 0, APR_SUCCESS, NULL, MPROC_NO_HANDLE, NULL};
    item.handle = handle;
    return item;
}

/**
 * Make an item of a socket.
 *
 * @param socket The socket.
 * @return The item.
 */
static inline mproc_wait_t mproc_wait_socket(mproc_os_handle_t socket)
{
    mproc_wait_t item = {MPROC_WAIT_SOCKET, 0, APR_SUCCESS, NULL, MPROC_NO_HANDLE, NULL};
    item.handle = socket;
    return item;
}

/**
 * Make an item of a queue, or a getter of one: see mproc_queue_fileno().
 *
 * @param queue The queue.
 * @return The item.
 */
static inline mproc_wait_t mproc_wait_queue(mproc_queue_t *queue)
{
    mproc_wait_t item = {MPROC_WAIT_QUEUE, 0, APR_SUCCESS, NULL, MPROC_NO_HANDLE, NULL};
    item.object = queue;
    return item;
}

/**
 * Make an item of an external program: it is ready when the program has ended.
 *
 * @param subprocess The program.
 * @return The item.
 */
static inline mproc_wait_t mproc_wait_subprocess(mproc_subprocess_t *subprocess)
{
    mproc_wait_t item = {MPROC_WAIT_SUBPROCESS, 0, APR_SUCCESS, NULL, MPROC_NO_HANDLE, NULL};
    item.object = subprocess;
    return item;
}

/**
 * Make an item of a task of a pool: it is ready when the task has ended, however it went.
 *
 * @param future The task.
 * @return The item.
 */
static inline mproc_wait_t mproc_wait_future(mproc_future_t *future)
{
    mproc_wait_t item = {MPROC_WAIT_FUTURE, 0, APR_SUCCESS, NULL, MPROC_NO_HANDLE, NULL};
    item.object = future;
    return item;
}

/**
 * The call behind mproc_wait(); programs in other languages make it directly.
 *
 * @param items     As there.
 * @param item_size `sizeof(mproc_wait_t)` as the caller knows it.
 * @param count     As there.
 * @param timeout   As there.
 * @return As mproc_wait(); MPROC_EBUILD if the caller's items are not of the library's size.
 */
MPROC_API apr_status_t mproc_wait_sized(mproc_wait_t *items, size_t item_size, size_t count,
                                        apr_interval_time_t timeout);

/**
 * Wait until at least one of several things is ready.
 *
 * @param items   The things; `is_ready` and `status` of each are set. The same thing may occur twice. An item of zeros
 *                is never ready.
 * @param count   How many there are: any number. With 0 it just waits.
 * @param timeout How long to wait, in microseconds; 0 to look, MPROC_FOREVER to wait for good.
 * @return APR_SUCCESS if at least one is ready; APR_TIMEUP if none is; MPROC_EINIT before mproc_initialize();
 *         if items cannot be waited for, the `status` of the first of them: APR_EINVAL, MPROC_ECLOSED, MPROC_EFOREIGN,
 *         MPROC_ESTATE, MPROC_EDIRECTION for a connection that only sends or a putter of a queue, APR_EBADF for a
 *         handle that is not open; MPROC_EDEADLOCK for a task, if this is a callback of its pool; APR_ENOMEM,
 *         APR_EMFILE or APR_EAGAIN.
 * @remark Any thread. On Windows any number, too. If another thread closes a connection, a listener, a queue or a
 *         future meanwhile, or sends the connection away, the call fails at once: that item has MPROC_ECLOSED, and the
 *         others may be waited for again. What is closed besides does not matter. A process that is closed meanwhile
 *         had ended: it is ready.
 */
static inline apr_status_t mproc_wait(mproc_wait_t *items, size_t count, apr_interval_time_t timeout)
{
    return mproc_wait_sized(items, sizeof(mproc_wait_t), count, timeout);
}

#ifdef __cplusplus
}
#endif

#endif
