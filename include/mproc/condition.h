/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file condition.h
 * @brief Conditions that the processes of a family share: wait, with a lock, until somebody says that something has
 * changed.
 *
 * @code
 * static int has_work(void *context)
 * {
 *     return ((board_t *)context)->count > 0;
 * }
 *
 * mproc_condition_acquire(changed, MPROC_FOREVER);
 * mproc_condition_wait_for(changed, has_work, board, MPROC_FOREVER);
 * take(board);
 * mproc_condition_release(changed);
 * @endcode
 *
 * A condition has a lock, its own or one that is shared with others (see `.lock`). To wait releases it and acquires it
 * again, whatever the outcome: after APR_TIMEUP and MPROC_EOWNERDEAD the caller has it, too. Only after MPROC_ECLOSED,
 * when another thread has closed the condition, it has not. If a waiter dies that was notified, another one is notified
 * in its place.
 *
 * What share.h says of handles holds for every call.
 */
#ifndef MPROC_CONDITION_H
#define MPROC_CONDITION_H

#include "lock.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A condition that this process has open. */
typedef struct mproc_condition_t mproc_condition_t;

/** Options of a condition; all zeros are the defaults. */
typedef struct mproc_condition_opts_t {
    /**
     * Its lock, of which several conditions may have the same, and which may be acquired by its own handle as well; it
     * may be closed afterwards. NULL for one that the condition makes, which is recursive.
     */
    mproc_lock_t *lock;
    /** A name for who looks at the family (mproc_dump()), copied; NULL for none. It need not be the only one. */
    const char *name;
    /** The condition is closed when this pool is cleared. NULL: it stays until mproc_condition_close(). */
    apr_pool_t *pool;
} mproc_condition_opts_t;

/**
 * The call behind mproc_condition_create(); programs in other languages make it directly.
 *
 * @param condition As there.
 * @param opts      As there.
 * @param opts_size `sizeof(mproc_condition_opts_t)` as the caller knows it.
 * @return As mproc_condition_create(); MPROC_EBUILD if the caller's options are larger than the library's.
 */
MPROC_API apr_status_t mproc_condition_create_sized(mproc_condition_t **condition, const mproc_condition_opts_t *opts,
                                                    size_t opts_size);

/**
 * Make a condition.
 *
 * @param condition Where to store the handle; NULL on failure. Close it with mproc_condition_close().
 * @param opts      Options, or NULL.
 * @return As mproc_lock_create(); MPROC_ECLOSED if `.lock` is not an open lock.
 * @remark Any thread.
 */
static inline apr_status_t mproc_condition_create(mproc_condition_t **condition, const mproc_condition_opts_t *opts)
{
    return mproc_condition_create_sized(condition, opts, sizeof(mproc_condition_opts_t));
}

/**
 * Open a condition that another member of the family refers to; its lock is opened with it.
 *
 * @param condition Where to store the handle; NULL on failure. It is another one each time; close each.
 * @param ref       The reference.
 * @param pool      The handle is closed when this pool is cleared; NULL: it stays until mproc_condition_close().
 * @return As mproc_lock_open().
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_condition_open(mproc_condition_t **condition, const mproc_ref_t *ref, apr_pool_t *pool);

/**
 * Acquire a condition's lock.
 *
 * @param condition The condition.
 * @param timeout   How long to wait, in microseconds; 0 to try, MPROC_FOREVER to wait for good.
 * @return As mproc_lock_acquire().
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_condition_acquire(mproc_condition_t *condition, apr_interval_time_t timeout);

/**
 * Release a condition's lock.
 *
 * @param condition The condition.
 * @return As mproc_lock_release().
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_condition_release(mproc_condition_t *condition);

/**
 * Wait until notified: release the lock, however often this thread has it, wait, and acquire it as before.
 *
 * It returns only when notified, not for no reason; but what was true then may not be any more: look, or use
 * mproc_condition_wait_for().
 *
 * @param condition The condition; the caller has its lock.
 * @param timeout   How long to wait for being notified, in microseconds; MPROC_FOREVER to wait for good. The lock is
 *                  waited for as long as it takes.
 * @return APR_SUCCESS; APR_TIMEUP; MPROC_EOWNERDEAD: whether notified or not, somebody died with the lock, which the
 *         caller has now. At once MPROC_ESTATE, if this process (of a recursive lock: this thread) does not have the
 *         lock, and APR_ENOMEM, if 65536 threads of the family wait already: the caller still has it then.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_condition_wait(mproc_condition_t *condition, apr_interval_time_t timeout);

/**
 * Wait until something is true.
 *
 * @param condition The condition; the caller has its lock.
 * @param predicate Called with the lock held, at first and after each notification: whether it is true.
 * @param context   For @p predicate.
 * @param timeout   As for mproc_condition_wait(), for all together.
 * @return APR_SUCCESS: the predicate was true; APR_EINVAL if it is NULL; otherwise as mproc_condition_wait(), and it
 *         was false last; after MPROC_EOWNERDEAD it was not called again: repair, and call again.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_condition_wait_for(mproc_condition_t *condition, int (*predicate)(void *context),
                                                void *context, apr_interval_time_t timeout);

/**
 * Notify some of those who wait.
 *
 * @param condition The condition; the caller has its lock.
 * @param count     How many; those who have waited longest come first.
 * @return APR_SUCCESS, also if fewer wait; MPROC_ESTATE as mproc_condition_wait().
 * @remark Any thread. It does not wait.
 */
MPROC_API apr_status_t mproc_condition_notify(mproc_condition_t *condition, unsigned count);

/**
 * Notify all who wait.
 *
 * @param condition The condition; the caller has its lock.
 * @return As mproc_condition_notify().
 * @remark Any thread. It does not wait.
 */
MPROC_API apr_status_t mproc_condition_notify_all(mproc_condition_t *condition);

/**
 * Close a condition.
 *
 * @param condition The condition; NULL is allowed and does nothing.
 * @return APR_SUCCESS; MPROC_ECLOSED if it was closed before, which does no harm.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_condition_close(mproc_condition_t *condition);

/**
 * Get a condition that was given as `.share`.
 *
 * @param call  The target's call.
 * @param index Its place in `.share`, from 0.
 * @return As mproc_call_lock().
 * @remark The child's threads.
 */
MPROC_API mproc_condition_t *mproc_call_condition(mproc_call_t *call, size_t index);

#ifdef __cplusplus
}
#endif

#endif
