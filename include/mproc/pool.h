/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file pool.h
 * @brief Pools of workers: processes that run functions over arrays, single tasks, and streams of tasks.
 *
 * @code
 * typedef struct { double gain, offset; } param_t;
 *
 * static int scale(mproc_task_t *task, const void *in, void *out, size_t n)
 * {
 *     const param_t *p = mproc_task_shared(task, sizeof *p);
 *     const double *x = in;
 *     double *y = out;
 *     for (size_t i = 0; i < n; i++)
 *         y[i] = p->gain * x[i] + p->offset;
 *     return 0;
 * }
 *
 * int main(int argc, char **argv)
 * {
 *     mproc_pool_t *workers;
 *     mproc_initialize(argc, argv);
 *     mproc_pool_create(&workers, NULL);
 *     mproc_pool_map(workers, scale, y, sizeof *y, x, sizeof *x, count,
 *                    &(mproc_map_opts_t){.shared = &p, .shared_size = sizeof p});
 *     return mproc_pool_finish(workers) == APR_SUCCESS ? 0 : 1;
 * }
 * @endcode
 *
 * **A worker that dies** takes one task with it, which fails with MPROC_EWORKERDIED, or is run again if it has
 * `.retries`; another worker takes its place. All other tasks are done once. If workers cannot be started any more, or
 * end again and again before they are ready (their initializer fails, say), and none is left, the pool is *broken*: its
 * tasks fail with MPROC_EBROKENPOOL, whose text tells the cause.
 *
 * **Workers** are processes that end when the process ends that made the pool. Their standard input is the null device.
 * They ignore Ctrl-C: the process that has the pool decides what to do. They may have children, and pools, of their
 * own: such a pool has, if nothing else is said, as many workers as there are CPUs divided by the workers of the pool
 * around it, and at least one. A worker that dies without having had a task is replaced after a pause.
 *
 * **Threads.** The process has one thread for each pool, which starts and watches workers, ends tasks whose time is up
 * and calls callbacks, never waits for a worker, and has all signals blocked. All calls are for any thread of the
 * process that made the pool, callbacks included: there, what would wait for the same pool is refused with
 * MPROC_EDEADLOCK, as it is in its own tasks under MPROC_THREAD. A child that was forked cannot use a pool of its
 * creator (MPROC_EFOREIGN).
 *
 * **Under MPROC_THREAD** workers are threads of this process, with the signals blocked that the thread has blocked that
 * makes the pool, and nothing is done about Ctrl-C: arrays are not copied, a task that crashes takes the program along,
 * tasks cannot be ended from outside, so that cancelling and terminating just ask for it, and a `.timeout` and
 * `.max_memory` are refused (APR_ENOTIMPL). A map returns when its tasks have, also if it was to end before; and so
 * does mproc_pool_finish(). A task that ends its thread, by `pthread_exit` or `ExitThread`, takes its worker with it,
 * as one that calls `exit` does elsewhere.
 *
 * **Traces.** If the environment variable MPROC_TRACE names a file (in UTF-8, best with its whole path), it tells which
 * worker ran what and when, in the format of trace events that Perfetto and Chrome show. All processes of a family
 * write to the same file, which the first one that has a pool begins anew. A worker that is killed takes its last
 * events with it. If the file cannot be written there is no trace, and a warning in the log.
 *
 * Every call that takes a pool returns APR_EINVAL for NULL, and MPROC_ECLOSED for one that was closed or never was one;
 * this is not repeated below.
 */
#ifndef MPROC_POOL_H
#define MPROC_POOL_H

#include "progress.h"
#include "share.h"
#include "start_method.h"
#include "task.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A pool of workers. */
typedef struct mproc_pool_t mproc_pool_t;

/** The most workers of one pool. */
#define MPROC_POOL_WORKERS_MAX 4000

/** The most objects that a pool's workers can be given as `.share`. */
#define MPROC_POOL_SHARE_MAX (MPROC_SHARE_MAX - 1)

/** Options of a pool; all zeros are the defaults. What they point to is copied. */
typedef struct mproc_pool_opts_t {
    /** How many workers; 0: one for each CPU that this process may use. At most MPROC_POOL_WORKERS_MAX. */
    unsigned workers;
    /** How to start them; MPROC_DEFAULT for the default. */
    mproc_start_method_t start_method;
    /**
     * Called in each worker before its first task. If it returns another number than 0 the worker ends, and another one
     * is tried. NULL: nothing is called.
     */
    mproc_initializer_fn_t initializer;
    /**
     * Called in each worker that ends in order, if its initializer was good: as the pool ends, also if it is terminated
     * with a grace, or after `.max_tasks`. NULL: nothing is called.
     */
    mproc_finalizer_fn_t finalizer;
    /** A struct for the initializer and all tasks: `mproc_call_data(mproc_task_call(task), size)`. */
    const void *data;
    /** The size of @p data in bytes; not 0 if there is data. */
    size_t size;
    /**
     * Objects that the workers share, up to the first NULL: locks and so on, see share.h. Tasks get them by
     * `mproc_call_lock(mproc_task_call(task), index)` and so on. The pool has them open as long as it is.
     */
    void *share[MPROC_POOL_SHARE_MAX];
    /** A worker ends after so many tasks (slices), and another one takes its place; 0: never. */
    size_t max_tasks;
    /** A worker ends after a task that leaves it with more private memory than this, in bytes; 0: never. */
    size_t max_memory;
    /**
     * How many single tasks may wait to be begun: then mproc_pool_submit() is refused, or waits for room, as its
     * `.room_timeout` says, and mproc_pool_apply() waits. Until a worker is ready all wait; one that was cancelled does
     * until a worker has come to its turn, and a map until all of it is begun. 0: as many as there is memory for.
     */
    size_t backlog;
    /**
     * How many starts of workers in a row may fail: then the pool is broken, if no worker is ready, and each that is
     * just being started has failed before. 0: three.
     */
    unsigned max_start_failures;
    /**
     * How long a worker may take until its initializer has returned, in microseconds; 0: a minute; MPROC_FOREVER: as
     * long as it likes. It is killed then.
     */
    apr_interval_time_t start_timeout;
    /**
     * A name for logs, traces and mproc_dump(), 1 to 64 bytes; its workers are called NAME-0, NAME-1 and so on, by
     * their numbers. NULL: "Pool-1" and so on.
     */
    const char *name;
    /** When this one of APR's is cleared the pool is terminated, and closed. NULL: never. */
    apr_pool_t *pool;
} mproc_pool_opts_t;

/**
 * The call behind mproc_pool_create(); programs in other languages make it directly.
 *
 * @param pool      As there.
 * @param opts      As there.
 * @param opts_size `sizeof(mproc_pool_opts_t)` as the caller knows it.
 * @return As mproc_pool_create(); MPROC_EBUILD if the caller's options are larger than the library's.
 */
MPROC_API apr_status_t mproc_pool_create_sized(mproc_pool_t **pool, const mproc_pool_opts_t *opts, size_t opts_size);

/**
 * Make a pool and start its workers. It does not wait until they are ready.
 *
 * @param pool Where to store it; NULL on failure. End it with mproc_pool_finish(), or as told at mproc_pool_close().
 * @param opts Options, or NULL.
 * @return APR_SUCCESS; MPROC_EINIT before mproc_initialize(); APR_EINVAL for options that make no sense, too many
 *         workers among them; APR_ENOTIMPL for a start method that this platform lacks, or an option that it lacks;
 *         MPROC_ETARGET for an initializer or a finalizer that is no function of a module; for `.share` what
 *         mproc_process_create() returns; APR_ENOMEM; what mproc_process_start() returns if not even one worker can be
 *         started.
 * @remark Any thread.
 */
static inline apr_status_t mproc_pool_create(mproc_pool_t **pool, const mproc_pool_opts_t *opts)
{
    return mproc_pool_create_sized(pool, opts, sizeof(mproc_pool_opts_t));
}

/* ---- Over an array ----------------------------------------------------------------------------------------------- */

/** Options of a map; all zeros are the defaults. */
typedef struct mproc_map_opts_t {
    /** A struct that all tasks get by mproc_task_shared(); copied. */
    const void *shared;
    /** The size of @p shared in bytes; not 0 if there is one. */
    size_t shared_size;
    /**
     * How many items a task has, fewer at the end; 0: as many as are worth a call and leave all workers something to
     * do, which is found by measuring.
     */
    size_t chunk;
    /**
     * How long a task may take, in microseconds: its worker is killed then, and it fails with MPROC_ETASKTIMEUP. 0 or
     * MPROC_FOREVER: for ever. It needs a @p chunk, as it is for one task, not for one item.
     */
    apr_interval_time_t timeout;
    /**
     * How often a task is run again whose worker died, or whose time was up: only for functions that may run twice. If
     * there is no @p chunk its items are run one by one then, so that in the end just those fail that are to blame. A
     * function that always dies so takes a worker along for each item: limit the whole by @p total_timeout.
     */
    unsigned retries;
    /**
     * How long the whole map may take, in microseconds; what is left fails with APR_TIMEUP, and its workers are killed.
     * 0 or MPROC_FOREVER: for ever.
     */
    apr_interval_time_t total_timeout;
    /** How each item went, as an mproc_task_error_t's `status` says: an array of as many. NULL: it is not told. */
    apr_status_t *statuses;
    /**
     * All about the failure with the least index; zeros if there was none. That of a task whose worker died has its
     * first item's. If the map could not be begun its text says why, and `tries` is 0. NULL: it is not told.
     */
    mproc_task_error_t *error;
    /**
     * Called by the thread that waits, ten times a second and at the end; it may stop the map (MPROC_ECANCELLED): a
     * task that maps may let `mproc_task_is_cancelled()` decide. It may use the pool, but for waiting for its end.
     * NULL: nothing is called.
     */
    mproc_progress_fn_t progress;
    /** The first argument of @p progress. */
    void *progress_context;
} mproc_map_opts_t;

/**
 * The call behind mproc_pool_map(); programs in other languages make it directly.
 *
 * @param pool          As there, and so are the others.
 * @param function      .
 * @param out           .
 * @param out_item_size .
 * @param in            .
 * @param in_item_size  .
 * @param count         .
 * @param opts          .
 * @param opts_size     `sizeof(mproc_map_opts_t)` as the caller knows it.
 * @return As mproc_pool_map(); MPROC_EBUILD if the caller's options are larger than the library's.
 */
MPROC_API apr_status_t mproc_pool_map_sized(mproc_pool_t *pool, mproc_slice_fn_t function, void *out,
                                            size_t out_item_size, const void *in, size_t in_item_size, size_t count,
                                            const mproc_map_opts_t *opts, size_t opts_size);

/**
 * Call a function over all slices of an array, and wait until that is done. If some items fail, all others are done.
 *
 * The arrays are copied for the workers, and results back, unless they lie in the family's memory
 * (mproc_shared_data()): then tasks read and write them in place, and nothing is copied or zeroed.
 *
 * @param pool          The pool.
 * @param function      What is called.
 * @param out           The array for the results; that of items that fail is anything. NULL: there are none. It may be
 *                      @p in if the sizes are the same.
 * @param out_item_size The size of an item of it, in bytes; not 0 if there is one.
 * @param in            The array of inputs. NULL: there are none, as the index may do.
 * @param in_item_size  The size of an item of it, in bytes; not 0 if there is one.
 * @param count         How many items both have. With 0 nothing is called.
 * @param opts          Options, or NULL.
 * @return APR_SUCCESS if all was done; otherwise the status of the first item that failed, see mproc_task_error_t, or
 *         APR_TIMEUP if the whole took too long. If the map could not be begun: APR_EINVAL; APR_ENOTIMPL;
 *         MPROC_ESTATE after mproc_pool_shutdown(); MPROC_ETERMINATED; MPROC_EBROKENPOOL; MPROC_EDEADLOCK;
 *         MPROC_ETARGET; MPROC_ESIZE if the arrays, or `.shared`, are more than memory can address; APR_ENOMEM. Then
 *         `.statuses` have that, too.
 * @remark Any thread, several at once: the tasks of the first map come first. Not in callbacks of the same pool. When
 *         it returns no worker touches the arrays any more, however it has ended: so a map that is stopped waits until
 *         workers are gone that had its tasks.
 */
static inline apr_status_t mproc_pool_map(mproc_pool_t *pool, mproc_slice_fn_t function, void *out,
                                          size_t out_item_size, const void *in, size_t in_item_size, size_t count,
                                          const mproc_map_opts_t *opts)
{
    return mproc_pool_map_sized(pool, function, out, out_item_size, in, in_item_size, count, opts,
                                sizeof(mproc_map_opts_t));
}

/* ---- What there is ----------------------------------------------------------------------------------------------- */

/** What a pool is doing; it can grow at its end. */
typedef struct mproc_pool_info_t {
    /** How many workers it is to have. */
    unsigned workers;
    /** How many of these are ready: their initializers have returned. */
    unsigned ready;
    /** How many of these run a task. */
    unsigned busy;
    /** How many workers were started to take the place of others. */
    uint64_t restarts;
    /** How many workers have died in a task, killed ones too. */
    uint64_t deaths;
    /** How many single tasks and maps wait to be begun, as `.backlog` counts them. */
    uint64_t queued;
    /** How many tasks have ended; slices of maps count as one each. */
    uint64_t done;
    /** How many of these failed. */
    uint64_t failed;
} mproc_pool_info_t;

/**
 * The call behind mproc_pool_info(); programs in other languages make it directly.
 *
 * @param pool      As there.
 * @param info      As there.
 * @param info_size `sizeof(mproc_pool_info_t)` as the caller knows it.
 * @return As mproc_pool_info(); MPROC_EBUILD if the caller's struct is larger than the library's.
 */
MPROC_API apr_status_t mproc_pool_info_sized(mproc_pool_t *pool, mproc_pool_info_t *info, size_t info_size);

/**
 * Tell what a pool is doing.
 *
 * @param pool The pool.
 * @param info Where to store it.
 * @return APR_SUCCESS; APR_EINVAL if @p info is NULL.
 * @remark Any thread. Workers go on meanwhile, so the numbers may not fit together.
 */
static inline apr_status_t mproc_pool_info(mproc_pool_t *pool, mproc_pool_info_t *info)
{
    return mproc_pool_info_sized(pool, info, sizeof(mproc_pool_info_t));
}

/**
 * Tell the process id of a worker.
 *
 * @param pool   The pool.
 * @param number The worker's number, from 0.
 * @return Its process id; 0, which is no id to send signals to, if it is not running just now, is a thread, or there is
 *         none of this number.
 * @remark Any thread.
 */
MPROC_API int mproc_pool_worker_pid(mproc_pool_t *pool, unsigned number);

/* ---- The end ----------------------------------------------------------------------------------------------------- */

/**
 * Say that no more tasks come. Those that were taken are done; then the workers end. It does not wait for that:
 * mproc_pool_join() does. (Python calls this `close`.)
 *
 * @param pool The pool.
 * @return APR_SUCCESS, also if it was said before, or the pool is terminated.
 * @remark Any thread. Callbacks can submit tasks until the last one has ended.
 */
MPROC_API apr_status_t mproc_pool_shutdown(mproc_pool_t *pool);

/**
 * Wait until all tasks have ended, all callbacks have returned, and all workers have ended.
 *
 * @param pool    The pool, after mproc_pool_shutdown() or mproc_pool_terminate().
 * @param timeout How long to wait, in microseconds; 0 to look, MPROC_FOREVER to wait for good.
 * @return APR_SUCCESS; APR_TIMEUP; MPROC_ESTATE if neither was called; MPROC_EDEADLOCK in a callback of this pool, in a
 *         function that is told the progress of one of its maps, and in its own tasks under MPROC_THREAD.
 * @remark Any thread, several at once.
 */
MPROC_API apr_status_t mproc_pool_join(mproc_pool_t *pool, apr_interval_time_t timeout);

/**
 * End a pool now. What has not ended fails with MPROC_ETERMINATED: whoever waits for single tasks is told at once, and
 * maps return when no worker can touch their arrays any more. Workers that run a task have the grace to end it, of
 * which nobody is told any more; then they are killed. When the call returns, no worker is alive.
 *
 * @param pool  The pool.
 * @param grace How long workers have, in microseconds; 0: they are killed at once, MPROC_FOREVER: until they end.
 * @return APR_SUCCESS, also if it was called before; APR_TIMEUP if workers are threads that do not return, or if
 *         the system cannot end them within some seconds more.
 * @remark Any thread, any callback; under MPROC_THREAD any task, whose own worker is not waited for. Callbacks of tasks
 *         that were ended are still called, by the pool's thread.
 */
MPROC_API apr_status_t mproc_pool_terminate(mproc_pool_t *pool, apr_interval_time_t grace);

/**
 * Shut a pool down, join and close it: what programs end with.
 *
 * @param pool The pool; NULL is allowed.
 * @return APR_SUCCESS; MPROC_EBROKENPOOL if it was broken; MPROC_ETERMINATED if it was terminated: it is closed then,
 *         too. MPROC_EDEADLOCK where mproc_pool_join() returns that: then it stays as it is.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_pool_finish(mproc_pool_t *pool);

/**
 * Let go of a pool that was joined. Futures of its tasks, and their results, stay until they are closed.
 *
 * @param pool The pool; NULL is allowed.
 * @return APR_SUCCESS; MPROC_ESTATE if it has not ended: join it first. It has also ended if it was terminated, no
 *         worker is left, and all callbacks and maps have returned.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_pool_close(mproc_pool_t *pool);

#ifdef __cplusplus
}
#endif

#endif
