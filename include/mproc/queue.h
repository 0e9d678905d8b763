/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file queue.h
 * @brief Queues that the processes of a family share: items in, the oldest out, each to one of those who get.
 *
 * @code
 * static int produce(mproc_call_t *call)
 * {
 *     mproc_queue_t *queue = mproc_call_queue(call, 0);
 *     for (int i = 0; i < 1000; i++)
 *         if (mproc_queue_put(queue, &i, sizeof i, MPROC_FOREVER) != APR_SUCCESS)
 *             return 1;
 *     return 0;
 * }
 *
 * int item;
 * mproc_queue_t *queue, *putter;
 * mproc_queue_create(&queue, &(mproc_queue_opts_t){.item_size = sizeof item, .maxsize = 100});
 * mproc_queue_open_putter(&putter, queue, NULL);
 * opts.share[0] = putter;
 * ... start some producers with these opts ...
 * mproc_queue_close(putter);
 * while (mproc_queue_get(queue, &item, sizeof item, NULL, MPROC_FOREVER) == APR_SUCCESS)
 *     use(item);
 * @endcode
 *
 * **Items** are bytes, copied in and out: of one size, or of any size up to what the family's memory has room for. A
 * struct is put as it is; what it points to does not go with it. Handles do not either: put the reference
 * (mproc_ref()) of a lock, an event or another queue, and see that somebody holds it until it is opened.
 *
 * **Order.** Each process's items are got in the order in which it has put them. A put has returned when the item is
 * there: nobody has to stay alive for it, no thread carries it, and no process waits at its end for readers.
 *
 * **Deaths.** A process that is killed while it puts has put its item, or has not; never a part of it. What it had got
 * is gone with it, unless it had only peeked. Nobody else is stopped by it, wherever it was.
 *
 * **The end.** getters go on for ever, unless the queue is told that nothing more comes: by mproc_queue_finish(), or
 * by its putters. A *putter* is a handle of the queue that counts: once there was one, the queue is finished when the
 * last one is closed, by whatever end of whatever process. Then the rest is got, and then APR_EOF. Give putters to
 * those who put, and the queue to those who get.
 *
 * What share.h says of handles holds for every call.
 */
#ifndef MPROC_QUEUE_H
#define MPROC_QUEUE_H

#include "call.h"
#include "share.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A queue that this process has open. */
typedef struct mproc_queue_t mproc_queue_t;

/** Options of a queue; all zeros are the defaults. */
typedef struct mproc_queue_opts_t {
    /** The most items that it holds: who puts waits for room. 0: as many as the family's memory has room for. */
    size_t maxsize;
    /** The size of all items in bytes, which is the fastest. 0: each has its own. */
    size_t item_size;
    /** Non-zero: it is counted which items are done, see mproc_queue_task_done(). */
    int joinable;
    /** A name for who looks at the family (mproc_dump()), copied; NULL for none. It need not be the only one. */
    const char *name;
    /** The queue is closed when this pool is cleared. NULL: it stays until mproc_queue_close(). */
    apr_pool_t *pool;
} mproc_queue_opts_t;

/**
 * The call behind mproc_queue_create(); programs in other languages make it directly.
 *
 * @param queue     As there.
 * @param opts      As there.
 * @param opts_size `sizeof(mproc_queue_opts_t)` as the caller knows it.
 * @return As mproc_queue_create(); MPROC_EBUILD if the caller's options are larger than the library's.
 */
MPROC_API apr_status_t mproc_queue_create_sized(mproc_queue_t **queue, const mproc_queue_opts_t *opts,
                                                size_t opts_size);

/**
 * Make a queue.
 *
 * @param queue Where to store the handle; NULL on failure. Close it with mproc_queue_close().
 * @param opts  Options, or NULL.
 * @return APR_SUCCESS; APR_EINVAL for sizes that no memory could hold; otherwise as mproc_lock_create().
 * @remark Any thread.
 */
static inline apr_status_t mproc_queue_create(mproc_queue_t **queue, const mproc_queue_opts_t *opts)
{
    return mproc_queue_create_sized(queue, opts, sizeof(mproc_queue_opts_t));
}

/**
 * Open a queue, or a putter, that another member of the family refers to.
 *
 * @param queue Where to store the handle; NULL on failure. It is another one each time; close each.
 * @param ref   The reference.
 * @param pool  The handle is closed when this pool is cleared; NULL: it stays until mproc_queue_close().
 * @return As mproc_lock_open().
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_queue_open(mproc_queue_t **queue, const mproc_ref_t *ref, apr_pool_t *pool);

/**
 * Make a handle of a queue that counts as one of its putters, for this process or to be shared with others; any number
 * of processes may share one. When all putters of a queue are closed, also by the ends of their processes, the queue is
 * finished.
 *
 * @param putter Where to store the handle; NULL on failure. Close it with mproc_queue_close().
 * @param queue  The queue, or a putter of it.
 * @param pool   The handle is closed when this pool is cleared; NULL: it stays until mproc_queue_close().
 * @return APR_SUCCESS; APR_EPIPE if the queue is finished; APR_ENOMEM.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_queue_open_putter(mproc_queue_t **putter, mproc_queue_t *queue, apr_pool_t *pool);

/**
 * Put an item, waiting while there is no room.
 *
 * @param queue   The queue.
 * @param data    The item; it is copied.
 * @param size    Its size in bytes; 0 is possible where sizes are free, and else the queue's.
 * @param timeout How long to wait, in microseconds; 0 to try, MPROC_FOREVER to wait for good.
 * @return APR_SUCCESS; MPROC_EFULL: there is no room, and the time is up; APR_EPIPE: the queue is finished; MPROC_ESIZE:
 *         the queue's items have another size; MPROC_ETOOBIG: larger than the family's memory; APR_ENOMEM: that is full
 *         of other things than this queue's items.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_queue_put(mproc_queue_t *queue, const void *data, size_t size,
                                       apr_interval_time_t timeout);

/**
 * Get the oldest item, waiting while there is none.
 *
 * @param queue   The queue.
 * @param buffer  Where to copy it.
 * @param size    The size of the buffer in bytes.
 * @param got     Where to store the item's size, also with MPROC_ETOOBIG; NULL: it must be @p size.
 * @param timeout How long to wait, in microseconds; 0 to try, MPROC_FOREVER to wait for good.
 * @return APR_SUCCESS; MPROC_EEMPTY: there is none, and the time is up; APR_EOF: the queue is finished and empty;
 *         MPROC_ETOOBIG: the item is larger than the buffer, and stays the oldest; MPROC_ESIZE: it is smaller, and
 *         @p got is NULL; it stays as well.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_queue_get(mproc_queue_t *queue, void *buffer, size_t size, size_t *got,
                                       apr_interval_time_t timeout);

/**
 * Get the oldest item in memory of its own.
 *
 * @param queue   The queue.
 * @param data    Where to store the item: to be freed by mproc_free(); NULL on failure.
 * @param size    Where to store its size in bytes.
 * @param timeout As for mproc_queue_get().
 * @return As mproc_queue_get(); APR_ENOMEM: no memory for it, and it stays the oldest.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_queue_get_alloc(mproc_queue_t *queue, void **data, size_t *size,
                                             apr_interval_time_t timeout);

/**
 * Put several items of the queue's one size, as many as there comes to be room for.
 *
 * @param queue   The queue, which has an `.item_size`.
 * @param items   The items, one after the other.
 * @param count   How many there are.
 * @param done    Where to store how many were put, also on failure.
 * @param timeout How long to wait for room, all in all.
 * @return As mproc_queue_put(): APR_SUCCESS if all were put.
 * @remark Any thread. Other putters' items may come in between.
 */
MPROC_API apr_status_t mproc_queue_put_many(mproc_queue_t *queue, const void *items, size_t count, size_t *done,
                                            apr_interval_time_t timeout);

/**
 * Get what there is of items of the queue's one size, at least one.
 *
 * @param queue   The queue, which has an `.item_size`.
 * @param items   Where to copy them.
 * @param count   How many there is room for.
 * @param got     Where to store how many there were.
 * @param timeout How long to wait for the first.
 * @return As mproc_queue_get().
 * @remark Any thread. What a process has got is gone with it: to get many is to lose many when it is killed.
 */
MPROC_API apr_status_t mproc_queue_get_many(mproc_queue_t *queue, void *items, size_t count, size_t *got,
                                            apr_interval_time_t timeout);

/* ---- Without copies ---------------------------------------------------------------------------------------------- */

/**
 * Get memory of the family to write an item in.
 *
 * @param queue   The queue.
 * @param data    Where to store its address, in this process; NULL on failure. End it with mproc_queue_commit() or
 *                mproc_queue_cancel().
 * @param size    Its size in bytes: what the item may take.
 * @param timeout As for mproc_queue_put().
 * @return As mproc_queue_put().
 * @remark Any thread. Nothing is locked meanwhile; if the process is killed, the memory is freed.
 */
MPROC_API apr_status_t mproc_queue_reserve(mproc_queue_t *queue, void **data, size_t size,
                                           apr_interval_time_t timeout);

/**
 * Put what was written in reserved memory. Its place in the order is that of this call.
 *
 * @param queue The queue.
 * @param data  The address that mproc_queue_reserve() has told; not to be used any more.
 * @param size  How much of it is the item, in bytes.
 * @return APR_SUCCESS; APR_EPIPE: the queue is finished, and the memory was freed; MPROC_ESTATE: not reserved by this
 *         process, or more than was.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_queue_commit(mproc_queue_t *queue, void *data, size_t size);

/**
 * Give reserved memory back.
 *
 * @param queue The queue.
 * @param data  The address that mproc_queue_reserve() has told; not to be used any more.
 * @return APR_SUCCESS; MPROC_ESTATE: not reserved by this process.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_queue_cancel(mproc_queue_t *queue, void *data);

/**
 * Take the oldest item, and read it where it is.
 *
 * @param queue   The queue.
 * @param data    Where to store its address, in this process; NULL on failure. End it with mproc_queue_consume().
 * @param size    Where to store its size in bytes.
 * @param timeout As for mproc_queue_get().
 * @return As mproc_queue_get().
 * @remark Any thread. The item is this process's alone, and gone with it if it is killed.
 */
MPROC_API apr_status_t mproc_queue_peek(mproc_queue_t *queue, const void **data, size_t *size,
                                        apr_interval_time_t timeout);

/**
 * Be done with an item that was read where it is.
 *
 * @param queue The queue.
 * @param data  The address that mproc_queue_peek() has told; not to be used any more.
 * @return APR_SUCCESS; MPROC_ESTATE: not peeked at by this process.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_queue_consume(mproc_queue_t *queue, const void *data);

/* ---- The end, and what is done ----------------------------------------------------------------------------------- */

/**
 * Say that nothing more comes: who puts is refused (APR_EPIPE), who gets has the rest, and then APR_EOF.
 *
 * @param queue The queue, or a putter of it.
 * @return APR_SUCCESS, also if it was finished before.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_queue_finish(mproc_queue_t *queue);

/**
 * Say that an item that was got is done with, in a joinable queue.
 *
 * @param queue The queue.
 * @return APR_SUCCESS; MPROC_ESTATE: the queue is not joinable, or this process has nothing of it left to do.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_queue_task_done(mproc_queue_t *queue);

/**
 * Wait until all that was put is done with.
 *
 * @param queue   The queue, a joinable one.
 * @param timeout How long to wait, in microseconds; 0 to look, MPROC_FOREVER to wait for good.
 * @return APR_SUCCESS; MPROC_EOWNERDEAD: nothing is left to do, but since the last such answer a process has ended with
 *         items that it had not done; APR_TIMEUP; MPROC_ESTATE: the queue is not joinable.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_queue_join(mproc_queue_t *queue, apr_interval_time_t timeout);

/* ---- Looking ----------------------------------------------------------------------------------------------------- */

/**
 * Tell how many items there are.
 *
 * @param queue The queue.
 * @return How many were there at one moment of this call; 0 also if the handle is refused (see mproc_last_error()).
 * @remark Any thread.
 */
MPROC_API size_t mproc_queue_size(mproc_queue_t *queue);

/**
 * Tell whether there is no item.
 *
 * @param queue The queue.
 * @return Non-zero if there was none at one moment of this call, or the handle is refused.
 * @remark Any thread.
 */
MPROC_API int mproc_queue_is_empty(mproc_queue_t *queue);

/**
 * Tell whether there is no room: whether a put of 0 microseconds would be refused.
 *
 * @param queue The queue.
 * @return Non-zero if there was none at one moment of this call.
 * @remark Any thread.
 */
MPROC_API int mproc_queue_is_full(mproc_queue_t *queue);

/**
 * Get something to wait at, for mproc_wait(), `epoll`, libuv and the like: it is ready (readable, or signalled) when
 * there may be an item, or the queue is finished.
 *
 * @param queue  The queue.
 * @param handle Where to store the descriptor or handle, which is the queue's: it is closed with this handle of it.
 * @return APR_SUCCESS; APR_EMFILE, APR_ENOMEM.
 * @remark Any thread. It is made when it is asked for, by each process for itself; whoever puts has one call of the system
 *         more from then on, where the queue was empty. Get with a timeout of 0 until there is nothing.
 */
MPROC_API apr_status_t mproc_queue_fileno(mproc_queue_t *queue, mproc_os_handle_t *handle);

/**
 * Close a queue, or a putter. The queue goes on as long as somebody has it open; when nobody has, its items are gone.
 *
 * @param queue The queue; NULL is allowed and does nothing.
 * @return APR_SUCCESS; MPROC_ECLOSED if it was closed before, which does no harm.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_queue_close(mproc_queue_t *queue);

/**
 * Get a queue, or a putter, that was given as `.share`.
 *
 * @param call  The target's call.
 * @param index Its place in `.share`, from 0.
 * @return As mproc_call_lock().
 * @remark The child's threads.
 */
MPROC_API mproc_queue_t *mproc_call_queue(mproc_call_t *call, size_t index);

#ifdef __cplusplus
}
#endif

#endif
