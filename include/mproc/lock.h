/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file lock.h
 * @brief Locks that the processes of a family share, and that no death leaves locked.
 *
 * @code
 * static int work(mproc_call_t *call)
 * {
 *     mproc_lock_t *lock = mproc_call_lock(call, 0);
 *     apr_status_t status = mproc_lock_acquire(lock, MPROC_FOREVER);
 *     if (!mproc_has_acquired(status))
 *         return 1;
 *     if (status == MPROC_EOWNERDEAD)
 *         repair();
 *     change();
 *     mproc_lock_release(lock);
 *     return 0;
 * }
 *
 * mproc_lock_create(&lock, NULL);
 * opts.share[0] = lock;
 * mproc_process_start(&child, work, &opts);
 * @endcode
 *
 * If a process ends, or calls mproc_terminate(), while it has a lock, the next one that acquires it is told so:
 * MPROC_EOWNERDEAD, and *it has the lock*. What the lock guards may be half changed then; that is for the program to
 * see. Releasing it says that all is well again; if it cannot be repaired, mproc_lock_abandon() has the next one told
 * as well. mproc_has_acquired() tells whether a status means that the caller has what it asked for.
 *
 * A lock does not know threads: whoever has a handle may release it, as Python's `Lock`. A recursive one does, as
 * `RLock`: it belongs to a thread, which may acquire it again and must release it as often. What a thread has acquired
 * when it ends stays acquired, since its process lives on.
 *
 * What share.h says of handles holds for every call.
 */
#ifndef MPROC_LOCK_H
#define MPROC_LOCK_H

#include "call.h"
#include "share.h"
#include "status.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A lock that this process has open. */
typedef struct mproc_lock_t mproc_lock_t;

/**
 * Tell whether a call that was to acquire something has done so.
 *
 * @param status What it returned.
 * @return 1 for APR_SUCCESS and MPROC_EOWNERDEAD, 0 for anything else.
 * @remark Any thread.
 */
static inline int mproc_has_acquired(apr_status_t status)
{
    return status == APR_SUCCESS || status == MPROC_EOWNERDEAD;
}

/** Options of a lock; all zeros are the defaults. */
typedef struct mproc_lock_opts_t {
    /** Non-zero: the thread that has it may acquire it again. */
    int recursive;
    /** A name for who looks at the family (mproc_dump()), copied; NULL for none. It need not be the only one. */
    const char *name;
    /** The lock is closed when this pool is cleared. NULL: it stays until mproc_lock_close(). */
    apr_pool_t *pool;
} mproc_lock_opts_t;

/**
 * The call behind mproc_lock_create(); programs in other languages make it directly.
 *
 * @param lock      As there.
 * @param opts      As there.
 * @param opts_size `sizeof(mproc_lock_opts_t)` as the caller knows it.
 * @return As mproc_lock_create(); MPROC_EBUILD if the caller's options are larger than the library's.
 */
MPROC_API apr_status_t mproc_lock_create_sized(mproc_lock_t **lock, const mproc_lock_opts_t *opts, size_t opts_size);

/**
 * Make a lock, which nobody has.
 *
 * @param lock Where to store the handle; NULL on failure. Close it with mproc_lock_close().
 * @param opts Options, or NULL.
 * @return APR_SUCCESS; MPROC_EINIT before mproc_initialize(); APR_EINVAL; APR_ENOMEM if the family's memory is full, or
 *         the system's; MPROC_EFULL if the family has 4094 members already; MPROC_EBUILD if this process has another
 *         build of the library than the first one; MPROC_EFOREIGN if it lives in another PID namespace; MPROC_EGONE if
 *         its creator was killed while it was being started.
 * @remark Any thread.
 */
static inline apr_status_t mproc_lock_create(mproc_lock_t **lock, const mproc_lock_opts_t *opts)
{
    return mproc_lock_create_sized(lock, opts, sizeof(mproc_lock_opts_t));
}

/**
 * Open a lock that another member of the family refers to.
 *
 * @param lock Where to store the handle; NULL on failure. It is another one each time; close each.
 * @param ref  The reference.
 * @param pool The handle is closed when this pool is cleared; NULL: it stays until mproc_lock_close().
 * @return APR_SUCCESS; MPROC_EGONE if the lock is gone, or there never was one, as the reference is damaged;
 *         MPROC_EFOREIGN if it belongs to another family; APR_EINVAL if the reference is to something else than a lock,
 *         or NULL; otherwise as mproc_lock_create().
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_lock_open(mproc_lock_t **lock, const mproc_ref_t *ref, apr_pool_t *pool);

/**
 * Acquire a lock: wait until nobody has it.
 *
 * A thread that has a lock which is not recursive waits for itself.
 *
 * @param lock    The lock.
 * @param timeout How long to wait, in microseconds; 0 to try, MPROC_FOREVER to wait for good.
 * @return APR_SUCCESS; MPROC_EOWNERDEAD: acquired, but the process that had it ended without releasing it;
 *         APR_TIMEUP; MPROC_ESTATE if a recursive one was acquired 4294967295 times.
 * @remark Any thread. The death of the process that has it is noticed as share.h says.
 */
MPROC_API apr_status_t mproc_lock_acquire(mproc_lock_t *lock, apr_interval_time_t timeout);

/**
 * Release a lock.
 *
 * @param lock The lock.
 * @return APR_SUCCESS; MPROC_ESTATE if nobody has it; APR_EACCES if it is recursive and another thread has it.
 * @remark Any thread, of any process that has it open.
 */
MPROC_API apr_status_t mproc_lock_release(mproc_lock_t *lock);

/**
 * Release a lock because what it guards cannot be repaired: whoever acquires it next gets MPROC_EOWNERDEAD.
 *
 * @param lock The lock; a recursive one is released as often as it was acquired.
 * @return As mproc_lock_release().
 * @remark Any thread, of any process that has it open.
 */
MPROC_API apr_status_t mproc_lock_abandon(mproc_lock_t *lock);

/**
 * Tell which process has a lock.
 *
 * @param lock The lock.
 * @return The process id of its owner; 0 if nobody has it, or if the handle is refused (see mproc_last_error()). It may
 *         have changed when the call returns.
 * @remark Any thread.
 */
MPROC_API int mproc_lock_owner_pid(mproc_lock_t *lock);

/**
 * Close a lock. If this process has it, it stays acquired until the process ends, or somebody releases it.
 *
 * @param lock The lock; NULL is allowed and does nothing.
 * @return APR_SUCCESS; MPROC_ECLOSED if it was closed before, which does no harm.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_lock_close(mproc_lock_t *lock);

/**
 * Get a lock that was given as `.share`.
 *
 * @param call  The target's call.
 * @param index Its place in `.share`, from 0.
 * @return The lock, which stays open until the target returns, or it is closed; NULL if there is none at this place, or
 *         something else than a lock (APR_EINVAL).
 * @remark The child's threads.
 */
MPROC_API mproc_lock_t *mproc_call_lock(mproc_call_t *call, size_t index);

#ifdef __cplusplus
}
#endif

#endif
