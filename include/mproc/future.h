/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file future.h
 * @brief Single tasks of a pool, and their results to come.
 *
 * @code
 * mproc_future_t *future;
 * const void *text;
 * size_t length;
 * mproc_pool_submit(workers, &future, fetch, url, strlen(url) + 1, NULL);
 * mproc_future_wait(future, NULL, MPROC_FOREVER);
 * if (mproc_future_result(future, &text, &length) == APR_SUCCESS)
 *     use(text, length);
 * mproc_future_close(future);
 * @endcode
 *
 * What a wait returns says how the waiting went, never how the task went: that is in an mproc_task_error_t, and what
 * mproc_future_result() returns.
 *
 * Every call that takes a future returns APR_EINVAL for NULL, MPROC_ECLOSED for one that was closed or never was one,
 * and MPROC_EFOREIGN in a forked child of the process that has it; this is not repeated below. All are for any thread,
 * callbacks included.
 */
#ifndef MPROC_FUTURE_H
#define MPROC_FUTURE_H

#include "pool.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A task that was submitted, and its result to come. */
typedef struct mproc_future_t mproc_future_t;

/**
 * Called when a task has ended, by the pool's thread: exactly once for each task that was taken, whatever becomes of it
 * or of the pool. It may submit, cancel, shut the pool down and terminate it, but not wait for tasks of the same pool.
 * As long as it does not return, no other callback of this pool is called, no worker is replaced, no task is ended
 * whose time is up, and who waits for several tasks is not told of those that have ended meanwhile. Who waits for the
 * task may go on before it is called; who joins the pool does not.
 *
 * @param context What was given along with it.
 * @param future  The task, which has ended. If mproc_pool_submit() was given no place for it, or it was let go of
 *                before, it is closed when this returns.
 */
typedef void (*mproc_callback_fn_t)(void *context, mproc_future_t *future);

/** Options of a task; all zeros are the defaults. */
typedef struct mproc_submit_opts_t {
    /**
     * How long it may run, in microseconds: its worker is killed then, and it fails with MPROC_ETASKTIMEUP. 0 or
     * MPROC_FOREVER: for ever.
     */
    apr_interval_time_t timeout;
    /** How often it is run again if its worker died, or its time was up: only for functions that may run twice. */
    unsigned retries;
    /** How long to wait for room if the pool's `.backlog` is full, in microseconds; 0: not at all; MPROC_FOREVER. */
    apr_interval_time_t room_timeout;
    /** Called when it has ended; NULL: nothing is called. */
    mproc_callback_fn_t callback;
    /** The callback's first argument; mproc_future_context() tells it as well. */
    void *context;
} mproc_submit_opts_t;

/**
 * The call behind mproc_pool_submit(); programs in other languages make it directly.
 *
 * @param pool      As there, and so are the others.
 * @param future    .
 * @param function  .
 * @param in        .
 * @param size      .
 * @param opts      .
 * @param opts_size `sizeof(mproc_submit_opts_t)` as the caller knows it.
 * @return As mproc_pool_submit(); MPROC_EBUILD if the caller's options are larger than the library's.
 */
MPROC_API apr_status_t mproc_pool_submit_sized(mproc_pool_t *pool, mproc_future_t **future, mproc_task_fn_t function,
                                               const void *in, size_t size, const mproc_submit_opts_t *opts,
                                               size_t opts_size);

/**
 * Have a function be called in a worker. It does not wait for that. Tasks are begun in the order of their submission.
 *
 * @param pool     The pool.
 * @param future   Where to store the future, to be closed by mproc_future_close(); NULL on failure. May be NULL: then
 *                 only the callback, if any, is told of the task's end.
 * @param function What is called.
 * @param in       A message for it, which is copied; may be NULL if @p size is 0.
 * @param size     How many bytes.
 * @param opts     Options, or NULL.
 * @return APR_SUCCESS: it was taken; APR_EINVAL; MPROC_EFULL: there was no room in the backlog; MPROC_ESTATE after
 *         mproc_pool_shutdown(), but for callbacks while tasks are left; MPROC_ETERMINATED; MPROC_EBROKENPOOL;
 *         APR_ENOTIMPL for a timeout under MPROC_THREAD; MPROC_ETARGET; MPROC_EDEADLOCK where it would have to wait
 *         for room in a callback of the same pool; APR_ENOMEM.
 */
static inline apr_status_t mproc_pool_submit(mproc_pool_t *pool, mproc_future_t **future, mproc_task_fn_t function,
                                             const void *in, size_t size, const mproc_submit_opts_t *opts)
{
    return mproc_pool_submit_sized(pool, future, function, in, size, opts, sizeof(mproc_submit_opts_t));
}

/** Options of mproc_pool_apply(); all zeros are the defaults. */
typedef struct mproc_apply_opts_t {
    /** As in mproc_submit_opts_t. */
    apr_interval_time_t timeout;
    /** As in mproc_submit_opts_t. */
    unsigned retries;
    /** All about why the task failed; zeros if it did not. NULL: it is not told. */
    mproc_task_error_t *error;
} mproc_apply_opts_t;

/**
 * The call behind mproc_pool_apply(); programs in other languages make it directly.
 *
 * @param pool      As there, and so are the others.
 * @param function  .
 * @param out       .
 * @param capacity  .
 * @param length    .
 * @param in        .
 * @param size      .
 * @param opts      .
 * @param opts_size `sizeof(mproc_apply_opts_t)` as the caller knows it.
 * @return As mproc_pool_apply(); MPROC_EBUILD if the caller's options are larger than the library's.
 */
MPROC_API apr_status_t mproc_pool_apply_sized(mproc_pool_t *pool, mproc_task_fn_t function, void *out, size_t capacity,
                                              size_t *length, const void *in, size_t size,
                                              const mproc_apply_opts_t *opts, size_t opts_size);

/**
 * Have a function be called in a worker, and wait for its result.
 *
 * @param pool     The pool.
 * @param function What is called.
 * @param out      Where to store the result; may be NULL if @p capacity is 0.
 * @param capacity How many bytes there is room for.
 * @param length   How many bytes the result has is stored here. NULL: it must have just @p capacity (MPROC_ESIZE).
 * @param in       A message for it; may be NULL if @p size is 0.
 * @param size     How many bytes.
 * @param opts     Options, or NULL.
 * @return APR_SUCCESS; MPROC_ETOOBIG: there is no room for the result, of which @p length tells the size; the status of
 *         the task if it failed, see mproc_task_error_t; what mproc_pool_submit() returns; MPROC_EDEADLOCK.
 * @remark Not in callbacks of the same pool.
 */
static inline apr_status_t mproc_pool_apply(mproc_pool_t *pool, mproc_task_fn_t function, void *out, size_t capacity,
                                            size_t *length, const void *in, size_t size, const mproc_apply_opts_t *opts)
{
    return mproc_pool_apply_sized(pool, function, out, capacity, length, in, size, opts, sizeof(mproc_apply_opts_t));
}

/**
 * Wait until a task has ended.
 *
 * @param future  The task.
 * @param error   How it went: zeros if it has not ended, and zeros but for `tries` if it did not fail. NULL: it is not
 *                told.
 * @param timeout How long to wait, in microseconds; 0 to look, MPROC_FOREVER to wait for good.
 * @return APR_SUCCESS: it has ended, however it went; APR_TIMEUP; MPROC_EDEADLOCK in a callback of its pool, if it has
 *         not ended.
 */
MPROC_API apr_status_t mproc_future_wait(mproc_future_t *future, mproc_task_error_t *error,
                                         apr_interval_time_t timeout);

/**
 * Get the result of a task that has ended.
 *
 * @param future The task.
 * @param result Where to store its address; it stays there until the future is closed, aligned for any type. NULL on
 *               failure.
 * @param size   How many bytes it has is stored here; may be NULL.
 * @return APR_SUCCESS; MPROC_ESTATE if the task has not ended; its status if it failed, see mproc_task_error_t.
 */
MPROC_API apr_status_t mproc_future_result(mproc_future_t *future, const void **result, size_t *size);

/**
 * Get what was given as `.context`.
 *
 * @param future The task.
 * @return It; NULL if none was given, or this is no future.
 */
MPROC_API void *mproc_future_context(mproc_future_t *future);

/**
 * Cancel a task. One that waits is not begun; the worker of one that runs is killed, and replaced. It ends with
 * MPROC_ECANCELLED.
 *
 * @param future The task.
 * @return APR_SUCCESS: it has ended so; MPROC_ESTATE: it had ended before.
 */
MPROC_API apr_status_t mproc_future_cancel(mproc_future_t *future);

/**
 * Let go of a task. If it has not ended it goes on, and its result is thrown away.
 *
 * @param future The task; NULL is allowed.
 * @return APR_SUCCESS. A callback of its own that was not called yet is called as ever, and has it until it returns;
 *         MPROC_ESTATE in that callback, if it is closed anyway when that returns.
 * @remark Calls of other threads that wait for it end with MPROC_ECLOSED.
 */
MPROC_API apr_status_t mproc_future_close(mproc_future_t *future);

/** How long mproc_futures_wait() waits. */
typedef enum mproc_futures_until_t {
    /** Until all have ended. */
    MPROC_UNTIL_ALL = 0,
    /** Until one has ended. */
    MPROC_UNTIL_FIRST,
    /** Until one has failed, or all have ended. */
    MPROC_UNTIL_FAILED
} mproc_futures_until_t;

/**
 * Wait for several tasks, of any pools.
 *
 * @param futures The tasks; NULL among them counts as one that is not there.
 * @param count   How many there are.
 * @param until   How long to wait.
 * @param timeout How long at most, in microseconds; 0 to look, MPROC_FOREVER to wait for good.
 * @return APR_SUCCESS: it is so, also if none are there; APR_TIMEUP; MPROC_EDEADLOCK as for mproc_future_wait();
 *         APR_EINVAL if @p futures is NULL or @p until is nothing; APR_ENOMEM, APR_EMFILE.
 */
MPROC_API apr_status_t mproc_futures_wait(mproc_future_t *const *futures, size_t count, mproc_futures_until_t until,
                                          apr_interval_time_t timeout);

/**
 * Get tasks as they end: one that has ended is taken out of an array, where NULL is afterwards, so it comes once.
 * (Python calls this `as_completed`.) Each call looks at all that are left: for tens of thousands use a stream.
 *
 * @param futures The tasks; NULL among them counts as one that is not there.
 * @param count   How many places the array has.
 * @param next    Where to store the task; NULL on failure.
 * @param index   Where it was in the array; may be NULL.
 * @param timeout How long to wait, in microseconds; 0 to look, MPROC_FOREVER to wait for good.
 * @return APR_SUCCESS; APR_EOF if none is left in the array; APR_TIMEUP; MPROC_EDEADLOCK as for mproc_future_wait();
 *         APR_EINVAL if an argument is NULL; APR_ENOMEM, APR_EMFILE.
 */
MPROC_API apr_status_t mproc_futures_next(mproc_future_t **futures, size_t count, mproc_future_t **next, size_t *index,
                                          apr_interval_time_t timeout);

#ifdef __cplusplus
}
#endif

#endif
