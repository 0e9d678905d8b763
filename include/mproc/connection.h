/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file connection.h
 * @brief Connections: messages between processes, through pipes and sockets.
 *
 * @code
 * static int answer(mproc_call_t *call)
 * {
 *     mproc_conn_t *creator = mproc_call_conn(call, 0);
 *     char text[64];
 *     size_t size;
 *     if (mproc_conn_recv_into(creator, text, sizeof text, &size, MPROC_FOREVER) != APR_SUCCESS)
 *         return 1;
 *     return mproc_conn_send(creator, "hello, too", 11, MPROC_FOREVER) != APR_SUCCESS;
 * }
 *
 * ...
 *     mproc_conn_t *ours, *theirs;
 *     if (mproc_pipe(&ours, &theirs, NULL) != APR_SUCCESS ||
 *         mproc_process_start(&child, answer, &(mproc_process_opts_t){.give = {theirs}}) != APR_SUCCESS ||
 *         mproc_conn_send(ours, "hello", 6, MPROC_FOREVER) != APR_SUCCESS ||
 *         mproc_conn_recv_into(ours, text, sizeof text, &size, MPROC_SECONDS(5)) != APR_SUCCESS)
 *         return complain(mproc_last_error()->text);
 *     mproc_process_finish(child, &exitcode);
 *     mproc_conn_close(ours);
 * @endcode
 *
 * A connection carries whole messages of bytes, of any size from 0, in order. Several threads may use one end at once:
 * their messages are never mixed. Sending waits while the system has no room, so a message that was sent may still be
 * on its way.
 *
 * When the process at the other end closes its end or ends, however it ends, what it had sent can still be received;
 * then receiving gives APR_EOF, and MPROC_ETRUNCATED if it ended inside a message. Sending to it gives APR_EPIPE, never
 * a signal. That a process has closed its end on purpose, and not been killed between two messages, only a last message
 * of its own can say, or its exit code.
 *
 * An end belongs to one process at a time. It moves to another one as `.give` of a process that is started, or with a
 * message (mproc_conn_send_with()); from then on its old handle is closed. What had been received here in part moves
 * along, and `.max_size` does. Nothing inherits an end by accident. One that is on its way when its receiver ends or
 * closes the connection is closed, so that its other end sees the end.
 *
 * On Unix the bytes are those of Python's multiprocessing.connection: a Python program at the other end is a peer. On
 * Windows the same holds for named pipes (AF_PIPE).
 *
 * Every call that takes a connection returns APR_EINVAL for NULL, MPROC_ECLOSED for a handle that was closed or never
 * was one, MPROC_EFOREIGN in a process that inherited the handle by fork, and MPROC_ESTATE for an end that was given to
 * a process that has not been launched yet; this is not repeated below. Closing an end ends all calls that other
 * threads are waiting in, with MPROC_ECLOSED.
 *
 * A timeout is in microseconds: 0 to try, MPROC_FOREVER to wait for good. mproc_time_left() makes one of a deadline.
 */
#ifndef MPROC_CONNECTION_H
#define MPROC_CONNECTION_H

#include "status.h"
#include "types.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Options of a connection; all zeros are the defaults. */
typedef struct mproc_conn_opts_t {
    /** Whether messages flow from the second end to the first only: the first receives, the second sends. */
    int one_way;
    /** The longest message that is received, in bytes: longer ones are MPROC_ETOOBIG. 0 for no limit. */
    size_t max_size;
    /** The connection is closed when this pool is cleared. NULL: it stays until mproc_conn_close(). */
    apr_pool_t *pool;
} mproc_conn_opts_t;

/** What comes with a message besides its bytes. */
typedef struct mproc_attachments_t {
    /** Connections: when sending, those that move to the receiver; when receiving, where to store them. */
    mproc_conn_t **conns;
    /** When sending, how many there are; when receiving, for how many there is room, and then how many came. */
    size_t conn_count;
    /** The operating system's handles: when sending, the receiver gets duplicates; when receiving, where to store. */
    mproc_os_handle_t *handles;
    /** As @p conn_count. */
    size_t handle_count;
} mproc_attachments_t;

/** The most attachments that one message can have. */
#define MPROC_ATTACHMENTS_MAX 64

/**
 * The call behind mproc_pipe(); programs in other languages make it directly.
 *
 * @param first     As there.
 * @param second    As there.
 * @param opts      As there.
 * @param opts_size `sizeof(mproc_conn_opts_t)` as the caller knows it.
 * @return As mproc_pipe(); MPROC_EBUILD if the caller's options are larger than the library's.
 */
MPROC_API apr_status_t mproc_pipe_sized(mproc_conn_t **first, mproc_conn_t **second, const mproc_conn_opts_t *opts,
                                        size_t opts_size);

/**
 * Make a connection: two ends, here in this process at first.
 *
 * @param first  Where to store the first end; NULL on failure. With `.one_way` it receives.
 * @param second Where to store the second end; NULL on failure. With `.one_way` it sends.
 * @param opts   Options of both ends, or NULL.
 * @return APR_SUCCESS; MPROC_EINIT before mproc_initialize(); APR_EINVAL if @p first or @p second is NULL; APR_EMFILE,
 *         APR_ENFILE or APR_ENOMEM if the system refuses.
 * @remark Any thread.
 */
static inline apr_status_t mproc_pipe(mproc_conn_t **first, mproc_conn_t **second, const mproc_conn_opts_t *opts)
{
    return mproc_pipe_sized(first, second, opts, sizeof(mproc_conn_opts_t));
}

/**
 * The call behind mproc_conn_open(); programs in other languages make it directly.
 *
 * @param conn      As there.
 * @param handle    As there.
 * @param opts      As there.
 * @param opts_size `sizeof(mproc_conn_opts_t)` as the caller knows it.
 * @return As mproc_conn_open(); MPROC_EBUILD if the caller's options are larger than the library's.
 */
MPROC_API apr_status_t mproc_conn_open_sized(mproc_conn_t **conn, mproc_os_handle_t handle,
                                             const mproc_conn_opts_t *opts, size_t opts_size);

/**
 * Make a connection of something that the operating system has open: a stream socket or a pipe on Unix, a pipe in
 * message mode on Windows.
 *
 * @param conn   Where to store the end; NULL on failure.
 * @param handle The handle. After success it belongs to the connection; after a failure it is still the caller's.
 * @param opts   Options, or NULL; `.one_way` is ignored: the system knows which directions there are.
 * @return APR_SUCCESS; MPROC_EINIT before mproc_initialize(); APR_EINVAL if @p conn is NULL or the handle is of another
 *         kind; APR_EBADF if it is not open; APR_ENOMEM.
 * @remark Any thread.
 */
static inline apr_status_t mproc_conn_open(mproc_conn_t **conn, mproc_os_handle_t handle, const mproc_conn_opts_t *opts)
{
    return mproc_conn_open_sized(conn, handle, opts, sizeof(mproc_conn_opts_t));
}

/**
 * Send a message.
 *
 * @param conn    The connection.
 * @param data    The bytes; may be NULL if @p size is 0.
 * @param size    How many.
 * @param timeout How long to wait for room, in microseconds; 0 to try, MPROC_FOREVER to wait for good.
 * @return APR_SUCCESS; APR_TIMEUP if nothing of it was sent;
 *         MPROC_EUNFINISHED if the time was up in the middle of it, or the system refused to go on: the library keeps
 *         the rest, which goes out first with the next call that sends, or by mproc_conn_flush(), so do not send it
 *         again;
 *         APR_EPIPE if the other end is closed;
 *         MPROC_EDIRECTION if this end only receives;
 *         MPROC_EBROKEN if an earlier failure in the middle of a message has broken this direction; APR_ENOMEM, or
 *         APR_EMFILE if there is no descriptor left to wait by.
 * @remark Any thread, several at once. On Windows a message of up to 16 MiB is sent whole or not at all.
 */
MPROC_API apr_status_t mproc_conn_send(mproc_conn_t *conn, const void *data, size_t size, apr_interval_time_t timeout);

/**
 * Send a message with attachments. The other end must be mproc's: others take it for damaged.
 *
 * @param conn        The connection.
 * @param data        The bytes; may be NULL if @p size is 0.
 * @param size        How many.
 * @param attachments What comes with them. After APR_SUCCESS and MPROC_EUNFINISHED the connections are the receiver's,
 *                    and their handles here are closed; otherwise they are as before, also where the message had begun.
 *                    The handles are duplicated, and stay the caller's own.
 * @param timeout     As for mproc_conn_send().
 * @return As mproc_conn_send(); APR_EINVAL for more than MPROC_ATTACHMENTS_MAX, or the carrying connection itself;
 *         MPROC_ESTATE if one of them is being used by another thread; APR_ENOTIMPL where the connection cannot carry
 *         any (a socket of the network, a plain pipe).
 * @remark Any thread, several at once. On Windows the attachments are lost if this process ends before the message was
 *         received; it may close the connection.
 */
MPROC_API apr_status_t mproc_conn_send_with(mproc_conn_t *conn, const void *data, size_t size,
                                            const mproc_attachments_t *attachments, apr_interval_time_t timeout);

/**
 * Send one connection, which moves to the receiver, in a message without data.
 *
 * @param conn    The connection that carries it.
 * @param moved   The connection that moves; its handle here is closed after success.
 * @param timeout As for mproc_conn_send().
 * @return As mproc_conn_send_with().
 * @remark Any thread, several at once.
 */
static inline apr_status_t mproc_conn_send_conn(mproc_conn_t *conn, mproc_conn_t *moved, apr_interval_time_t timeout)
{
    mproc_attachments_t attachments = {&moved, 1, NULL, 0};
    return mproc_conn_send_with(conn, NULL, 0, &attachments, timeout);
}

/**
 * Send what is left of a message that was begun (MPROC_EUNFINISHED).
 *
 * @param conn    The connection.
 * @param timeout How long to wait for room, in microseconds.
 * @return APR_SUCCESS when nothing is left; otherwise as mproc_conn_send().
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_conn_flush(mproc_conn_t *conn, apr_interval_time_t timeout);

/**
 * Receive a message into memory of its size.
 *
 * @param conn    The connection.
 * @param data    Where to store the message; free it with mproc_free(). It is not NULL even for an empty message, is
 *                aligned for any type, and has a zero byte behind its end, which its size does not count. NULL on
 *                failure.
 * @param size    Its size in bytes is stored here.
 * @param timeout How long to wait for it, in microseconds; 0 to try, MPROC_FOREVER to wait for good.
 * @return APR_SUCCESS; APR_TIMEUP if it is not all there: what has come is kept for the next call;
 *         APR_EOF if the other end was closed and nothing is left;
 *         MPROC_ETRUNCATED if it was closed in the middle of a message, which is lost;
 *         MPROC_ETOOBIG if the message is longer than `.max_size`, with its size stored: it stays the next message, see
 *         mproc_conn_discard();
 *         MPROC_EATTACHED if it has attachments: it stays, for mproc_conn_recv_with();
 *         MPROC_EPROTOCOL if what came is no message: nothing more can be received;
 *         MPROC_EBROKEN if there was no memory to keep what had come of a message;
 *         MPROC_EDIRECTION if this end only sends; APR_ENOMEM, or APR_EMFILE if there is no descriptor left to wait by:
 *         the message stays.
 * @remark Any thread, several at once: each message goes to one of them.
 */
MPROC_API apr_status_t mproc_conn_recv(mproc_conn_t *conn, void **data, size_t *size, apr_interval_time_t timeout);

/**
 * Receive a message into memory that is there.
 *
 * @param conn     The connection.
 * @param buffer   Where to write it; may be NULL if @p capacity is 0. Its contents are undefined after a failure.
 * @param capacity For how many bytes there is room.
 * @param size     Its size in bytes is stored here; may be NULL.
 * @param timeout  As for mproc_conn_recv().
 * @return As mproc_conn_recv(); MPROC_ETOOBIG also if it is longer than @p capacity: it stays the next message, and
 *         @p size tells its size.
 * @remark Any thread, several at once.
 */
MPROC_API apr_status_t mproc_conn_recv_into(mproc_conn_t *conn, void *buffer, size_t capacity, size_t *size,
                                            apr_interval_time_t timeout);

/**
 * Free a message that mproc_conn_recv() or mproc_conn_recv_with() stored.
 *
 * @param data The message; NULL is allowed.
 * @remark Any thread.
 */
MPROC_API void mproc_free(void *data);

/**
 * The call behind mproc_conn_recv_with(); programs in other languages make it directly.
 *
 * @param conn             As there.
 * @param data             As there.
 * @param size             As there.
 * @param attachments      As there.
 * @param attachments_size `sizeof(mproc_attachments_t)` as the caller knows it.
 * @param timeout          As there.
 * @return As mproc_conn_recv_with(); MPROC_EBUILD if that is not the library's size.
 */
MPROC_API apr_status_t mproc_conn_recv_with_sized(mproc_conn_t *conn, void **data, size_t *size,
                                                  mproc_attachments_t *attachments, size_t attachments_size,
                                                  apr_interval_time_t timeout);

/**
 * Receive a message of a size that is known: a struct.
 *
 * @param conn    The connection.
 * @param buffer  Where to write it. Its contents are undefined after a failure.
 * @param size    The size in bytes that the message must have.
 * @param timeout As for mproc_conn_recv().
 * @return As mproc_conn_recv(); MPROC_ESIZE if the message has another size: it stays the next message.
 * @remark Any thread, several at once.
 */
MPROC_API apr_status_t mproc_conn_recv_exactly(mproc_conn_t *conn, void *buffer, size_t size,
                                               apr_interval_time_t timeout);

/**
 * Receive a message, with or without attachments.
 *
 * @param conn        The connection.
 * @param data        As for mproc_conn_recv().
 * @param size        As for mproc_conn_recv().
 * @param attachments Where to store what comes with it, and for how much there is room; how much came is stored. They
 *                    belong to the caller, who closes them.
 * @param timeout     As for mproc_conn_recv().
 * @return As mproc_conn_recv(); MPROC_ETOOBIG also if there is no room for the attachments, with the counts stored: the
 *         message stays the next one; MPROC_EGONE if the sender has ended before they were received (Windows),
 *         APR_EMFILE or APR_ENOMEM if this process has no room for them: the message is lost, as mproc_last_error()
 *         says then.
 * @remark Any thread, several at once.
 */
static inline apr_status_t mproc_conn_recv_with(mproc_conn_t *conn, void **data, size_t *size,
                                                mproc_attachments_t *attachments, apr_interval_time_t timeout)
{
    return mproc_conn_recv_with_sized(conn, data, size, attachments, sizeof(mproc_attachments_t), timeout);
}

/**
 * Receive one connection that was sent by mproc_conn_send_conn().
 *
 * @param conn    The connection.
 * @param moved   Where to store the one that comes; NULL on failure. It belongs to the caller.
 * @param timeout As for mproc_conn_recv().
 * @return As mproc_conn_recv_with(); MPROC_ESIZE if the message brought no connection: it is dropped.
 * @remark Any thread, several at once.
 */
MPROC_API apr_status_t mproc_conn_recv_conn(mproc_conn_t *conn, mproc_conn_t **moved, apr_interval_time_t timeout);

/**
 * Wait until there is something to receive: a message, or the end.
 *
 * @param conn    The connection.
 * @param timeout How long to wait, in microseconds; 0 to look.
 * @return APR_SUCCESS if there is: a message, a part of one that has come since the last call, or a failure that
 *         receiving tells at once (APR_EOF and so on); APR_TIMEUP; MPROC_EDIRECTION if this end only sends.
 * @remark Any thread. See mproc_wait() for several at once.
 */
MPROC_API apr_status_t mproc_conn_poll(mproc_conn_t *conn, apr_interval_time_t timeout);

/**
 * Drop the next message, whatever its size.
 *
 * @param conn    The connection.
 * @param timeout How long to wait for it, in microseconds.
 * @return As mproc_conn_recv().
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_conn_discard(mproc_conn_t *conn, apr_interval_time_t timeout);

/**
 * Get the operating system's handle of a connection, to wait on it by other means.
 *
 * From the first call on nothing is read ahead, so that the handle is ready when there is something to receive; call it
 * before the first message is received.
 *
 * @param conn   The connection.
 * @param handle Where to store it. It stays the connection's own: do not read, write or close it.
 * @return APR_SUCCESS; APR_EINVAL if @p handle is NULL.
 * @remark Any thread. On Windows the handle of a pipe says nothing when waited on; use mproc_wait() there.
 */
MPROC_API apr_status_t mproc_conn_fileno(mproc_conn_t *conn, mproc_os_handle_t *handle);

/** Who is at the other end. */
typedef struct mproc_peer_t {
    /** The id of the process that made the connection there; 0 if the system does not tell. */
    int pid;
    /** Whether it belongs to the same user as this process. */
    int is_same_user;
} mproc_peer_t;

/**
 * Tell who is at the other end of a connection that mproc_connect() or mproc_listener_accept() made.
 *
 * @param conn The connection.
 * @param peer Where to store it.
 * @return APR_SUCCESS; APR_EINVAL if @p peer is NULL; APR_ENOTIMPL if the system does not tell.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_conn_peer(mproc_conn_t *conn, mproc_peer_t *peer);

/**
 * Close an end. What was sent can still be received at the other end; what is left of a message that was begun is lost.
 *
 * @param conn The connection; NULL is allowed and does nothing.
 * @return APR_SUCCESS; MPROC_ECLOSED if it was closed before, which is harmless.
 * @remark Any thread; other threads that wait in a call on it return with MPROC_ECLOSED.
 */
MPROC_API apr_status_t mproc_conn_close(mproc_conn_t *conn);

#ifdef __cplusplus
}
#endif

#endif
