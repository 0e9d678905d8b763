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
 * **Items** are bytes, copied in and out: of one size, or of any size that the family's memory has room for. A struct
 * is put as it is; what it points to does not go with it. Handles do not either: put the reference (mproc_ref()) of a
 * lock, an event or another queue, and hold that until the receiver has opened it.
 *
 * **Order.** The items of each thread are got in the order in which it has put them. When a put has returned the item
 * is there: nobody has to stay alive for it, no thread carries it, and no process waits at its end for readers.
 *
 * **Deaths.** A process that is killed while it puts has put its item, or has not; never a part of it. An item that a
 * process has got is gone with it. That stops nobody who puts or gets, and is noticed as at semaphores (share.h); so is
 * all that follows from ends of processes below.
 *
 * **The end** comes when the queue is told that nothing more comes, by mproc_queue_finish(), or by its ends. A *putter*
 * is a handle of the queue that can only put, a *getter* one that can only get, and both are counted. Once there was a
 * putter, the queue is finished when no process has one open any more, however those have closed it or ended: what is
 * left is got, and then APR_EOF. Once there was a getter, who puts is refused (APR_EPIPE) when no process has one open
 * any more. So give putters to those who put, and getters to those who get. **Whoever is to see the end must have
 * closed what keeps it away:** who gets, and the parent, their putters; who puts, and the parent, their getters. The
 * handle of mproc_queue_create() can do both, and is not counted: with it alone, who waits for good waits for good,
 * though nobody is left at the other side.
 *
 * An end is open in a process from when it was opened, or when a start of that process with it as `.share` has
 * succeeded; and until it is closed, or the target has returned, or the process has ended. (A child by fork that only
 * inherits a handle has it from its first use on.) To open an end for each of several children that are started one by
 * one would let the queue end in between, if the first one is quick: keep one open until all are started. That a queue
 * has ended does not tell whether somebody was killed: its exit code does.
 *
 * What share.h says of handles holds for every call. Here too, a handle of the other direction is refused with
 * MPROC_EDIRECTION; and a thread that puts, gets or clears for the first time takes a little of the family's memory,
 * for which that call returns APR_ENOMEM if there is none.
 */
#ifndef MPROC_QUEUE_H
#define MPROC_QUEUE_H

#include "call.h"
#include "connection.h"
#include "share.h"
#include "status.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A queue that this process has open, or one end of it. */
typedef struct mproc_queue_t mproc_queue_t;

/** Options of a queue; all zeros are the defaults. */
typedef struct mproc_queue_opts_t {
    /**
     * The most items that it holds: who puts waits for room. Blocks that were reserved or got do not count. Room for
     * the items themselves, if they are small, is taken when the queue is made. 0: as many as the family's memory
     * has room for, which may be more than the machine has.
     */
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
 * Open a queue, or an end of one, that another member of the family refers to.
 *
 * @param queue Where to store the handle; NULL on failure. It is another one each time; close each.
 * @param ref   The reference.
 * @param pool  The handle is closed when this pool is cleared; NULL: it stays until mproc_queue_close().
 * @return As mproc_lock_open().
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_queue_open(mproc_queue_t **queue, const mproc_ref_t *ref, apr_pool_t *pool);

/**
 * Open an end of a queue to put by, for this process or to be shared with others. Many processes can share one; each of
 * them counts.
 *
 * @param putter Where to store the handle; NULL on failure. Close it with mproc_queue_close().
 * @param queue  The queue, or any end of it.
 * @param pool   The handle is closed when this pool is cleared; NULL: it stays until mproc_queue_close().
 * @return APR_SUCCESS; APR_EPIPE if the queue is finished; APR_ENOMEM.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_queue_open_putter(mproc_queue_t **putter, mproc_queue_t *queue, apr_pool_t *pool);

/**
 * Open an end of a queue to get by, for this process or to be shared with others.
 *
 * @param getter Where to store the handle; NULL on failure. Close it with mproc_queue_close().
 * @param queue  The queue, or any end of it.
 * @param pool   As for mproc_queue_open_putter().
 * @return APR_SUCCESS, also if the queue is finished; APR_ENOMEM.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_queue_open_getter(mproc_queue_t **getter, mproc_queue_t *queue, apr_pool_t *pool);

/**
 * Put an item, waiting while there is no room.
 *
 * @param queue   The queue, or a putter.
 * @param data    The item; it is copied. May be NULL if @p size is 0.
 * @param size    Its size in bytes; 0 is possible where sizes are free, and else the queue's.
 * @param timeout How long to wait, in microseconds; 0 to try, MPROC_FOREVER to wait for good.
 * @return APR_SUCCESS; APR_TIMEUP: it is full; APR_EPIPE: it is finished, or nobody can get any more, also if that
 *         comes while this call waits; MPROC_ESIZE: the queue's items have another size; MPROC_ETOOBIG: larger than the
 *         family's memory; APR_ENOMEM: the family's memory is full, and this queue has none to spare that would do;
 *         nothing is waited for then.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_queue_put(mproc_queue_t *queue, const void *data, size_t size,
                                       apr_interval_time_t timeout);

/**
 * Get the oldest item, waiting while there is none.
 *
 * @param queue    The queue, or a getter.
 * @param buffer   Where to copy it; may be NULL if @p capacity is 0. Its contents are undefined after a failure.
 * @param capacity For how many bytes there is room.
 * @param size     The item's size in bytes is stored here; may be NULL.
 * @param timeout  How long to wait, in microseconds; 0 to try, MPROC_FOREVER to wait for good.
 * @return APR_SUCCESS; APR_TIMEUP: it is empty; APR_EOF: it is finished, and empty; MPROC_ETOOBIG: the item is larger
 *         than the buffer, and stays the oldest, with its size stored: mproc_queue_get_alloc() gets it.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_queue_get(mproc_queue_t *queue, void *buffer, size_t capacity, size_t *size,
                                       apr_interval_time_t timeout);

/**
 * Get the oldest item in memory of its size.
 *
 * @param queue   The queue, or a getter.
 * @param data    Where to store the item; free it with mproc_free(). It is as that of mproc_conn_recv(): never NULL but
 *                on failure, aligned for any type, and with a zero byte behind its end.
 * @param size    Its size in bytes is stored here; may be NULL.
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
 * @param done    Where to store how many were put, also on failure; may be NULL.
 * @param timeout How long to wait for room, all in all.
 * @return APR_SUCCESS if all were put; APR_EINVAL if the queue has no `.item_size`; otherwise as mproc_queue_put().
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
 * @param got     Where to store how many there were; 0 on failure.
 * @param timeout How long to wait for the first.
 * @return APR_EINVAL if the queue has no `.item_size`; otherwise as mproc_queue_get().
 * @remark Any thread. What a process has got is gone with it: to get many is to lose many when it is killed. In a
 *         joinable queue each is to be done.
 */
MPROC_API apr_status_t mproc_queue_get_many(mproc_queue_t *queue, void *items, size_t count, size_t *got,
                                            apr_interval_time_t timeout);

/* ---- Without copies ---------------------------------------------------------------------------------------------- */

/**
 * Get a block of the family's memory to write an item in. It is this process's alone until it is put or freed, and
 * freed if the process ends. Nothing is locked meanwhile, and it takes no room of the queue's.
 *
 * @param queue The queue, or a putter.
 * @param block Where to store its address, in this process: aligned for any type, with anything in it. NULL on failure.
 * @param size  Its size in bytes: as much as the item may take; 0: the size that all items of the queue have.
 * @return APR_SUCCESS; MPROC_ESIZE and MPROC_ETOOBIG as mproc_queue_put(); APR_ENOMEM: the family's memory is full;
 *         nothing is waited for then.
 * @remark Any thread. Small items are not quicker by this: they are copied into the queue.
 */
MPROC_API apr_status_t mproc_queue_reserve(mproc_queue_t *queue, void **block, size_t size);

/**
 * Put a block that was reserved in this queue, or got from it. In a joinable queue that is another item: what was got
 * is to be done, too.
 *
 * @param queue   The queue, or a putter.
 * @param block   The block; not to be used any more unless the call fails.
 * @param size    How much of it is the item, in bytes.
 * @param timeout How long to wait for room, as for mproc_queue_put().
 * @return As mproc_queue_put(); MPROC_ESTATE: not a block of this queue that this process has, or smaller than @p size.
 * @remark Any thread of the process that has it.
 */
MPROC_API apr_status_t mproc_queue_put_block(mproc_queue_t *queue, void *block, size_t size,
                                             apr_interval_time_t timeout);

/**
 * Get the oldest item where it is, as a block. It is this process's alone until it is put into this queue again or
 * freed, and gone if the process ends. Into another queue it is copied, as anything else.
 *
 * @param queue   The queue, or a getter.
 * @param block   Where to store its address, in this process: aligned for any type. NULL on failure.
 * @param size    Its size in bytes is stored here; may be NULL.
 * @param timeout As for mproc_queue_get().
 * @return As mproc_queue_get(); APR_ENOMEM: the family's memory is full, and this queue has none to spare for an item
 *         that does not lie in a block; nothing is waited for then.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_queue_get_block(mproc_queue_t *queue, void **block, size_t *size,
                                             apr_interval_time_t timeout);

/**
 * Free a block that was reserved or got. In a joinable queue what was got is not done by that.
 *
 * @param queue The queue that it is of, or an end of it.
 * @param block The block; NULL is allowed and does nothing.
 * @return APR_SUCCESS; MPROC_ESTATE: not a block that this process has.
 * @remark Any thread of the process that has it.
 */
MPROC_API apr_status_t mproc_queue_free_block(mproc_queue_t *queue, void *block);

/* ---- The end, and what is done ----------------------------------------------------------------------------------- */

/**
 * Say that nothing more comes, to everybody: who puts is refused (APR_EPIPE), also who waits for room; who gets has the
 * rest, and then APR_EOF.
 *
 * @param queue The queue, or any end of it.
 * @return APR_SUCCESS, also if it was finished before.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_queue_finish(mproc_queue_t *queue);

/**
 * Throw away what is in the queue now. After mproc_queue_finish() this ends it at once. In a joinable queue that is
 * done.
 *
 * @param queue The queue, or any end of it.
 * @param count Where to store how many items that were; may be NULL.
 * @return APR_SUCCESS.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_queue_clear(mproc_queue_t *queue, size_t *count);

/**
 * Say that an item that was got is done with, in a joinable queue: once for each, whatever it was got by.
 *
 * @param queue The queue, or a getter.
 * @return APR_SUCCESS; MPROC_ESTATE: the queue is not joinable, or this process has nothing of it left to do.
 * @remark Any thread of the process that has got it.
 */
MPROC_API apr_status_t mproc_queue_task_done(mproc_queue_t *queue);

/**
 * Wait until all that was put is done with, or lost with those who had got it. If nobody gets any more, that may never
 * be.
 *
 * @param queue   The queue, a joinable one, or any end of it.
 * @param lost    Where to store how many items were lost since the queue was made: processes have ended without having
 *                said that they were done. They may have been, but for that. May be NULL.
 * @param timeout How long to wait, in microseconds; 0 to look, MPROC_FOREVER to wait for good.
 * @return APR_SUCCESS, also if items were lost; APR_TIMEUP; MPROC_ESTATE: the queue is not joinable.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_queue_join(mproc_queue_t *queue, size_t *lost, apr_interval_time_t timeout);

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
 * @return Non-zero if there was none at one moment of this call; 0 also if the handle is refused.
 * @remark Any thread.
 */
MPROC_API int mproc_queue_is_full(mproc_queue_t *queue);

/**
 * Get something of the system's to wait at, for `epoll`, libuv and the like; mproc_wait() takes mproc_wait_queue(). It
 * is ready (readable, or signalled) as long as there is an item, or the queue is finished, and sometimes for no reason;
 * so get with a timeout of 0. Do not read from it, and do not close it.
 *
 * @param queue  The queue, or a getter.
 * @param handle Where to store the descriptor or handle. It stays until this handle of the queue is closed.
 * @return APR_SUCCESS; APR_EMFILE, APR_ENFILE, APR_ENOMEM or APR_EAGAIN if the system refuses what that takes.
 * @remark Any thread. It is made when it is asked for, by each process for itself: a thread waits at the queue then,
 *         and who puts into the empty queue makes a call of the system more.
 */
MPROC_API apr_status_t mproc_queue_fileno(mproc_queue_t *queue, mproc_os_handle_t *handle);

/**
 * Close a queue, or an end of one. The queue goes on as long as somebody has it open; when nobody has, its items are
 * gone.
 *
 * @param queue The queue; NULL is allowed and does nothing.
 * @return APR_SUCCESS; MPROC_ECLOSED if it was closed before, which does no harm.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_queue_close(mproc_queue_t *queue);

/**
 * Get a queue, or an end of one, that was given as `.share`.
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
