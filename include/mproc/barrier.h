/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file barrier.h
 * @brief Barriers that the processes of a family share: wait until all have come.
 *
 * @code
 * for (int step = 0; step < steps; step++) {
 *     compute(part, step);
 *     if (mproc_barrier_wait(barrier, NULL, MPROC_FOREVER) != APR_SUCCESS)
 *         return 1;
 * }
 * @endcode
 *
 * A barrier that breaks stays broken until mproc_barrier_reset(): who waits and whoever comes gets
 * MPROC_EBROKENBARRIER. It breaks when somebody's time is up, by mproc_barrier_abort(), and when a process is killed,
 * crashes, or calls `_exit` that has it open, its creator too: that one may be among those who are waited for. Who was
 * let go before is told APR_SUCCESS all the same.
 *
 * What share.h says of handles holds for every call.
 */
#ifndef MPROC_BARRIER_H
#define MPROC_BARRIER_H

#include "call.h"
#include "share.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A barrier that this process has open. */
typedef struct mproc_barrier_t mproc_barrier_t;

/** Options of a barrier; all zeros are the defaults. */
typedef struct mproc_barrier_opts_t {
    /** Non-zero: it does not break when a process dies that has it open, unless that is in the action of the last. */
    int ignore_deaths;
    /** A name for who looks at the family (mproc_dump()), copied; NULL for none. It need not be the only one. */
    const char *name;
    /** The barrier is closed when this pool is cleared. NULL: it stays until mproc_barrier_close(). */
    apr_pool_t *pool;
} mproc_barrier_opts_t;

/**
 * The call behind mproc_barrier_create(); programs in other languages make it directly.
 *
 * @param barrier   As there.
 * @param parties   As there.
 * @param opts      As there.
 * @param opts_size `sizeof(mproc_barrier_opts_t)` as the caller knows it.
 * @return As mproc_barrier_create(); MPROC_EBUILD if the caller's options are larger than the library's.
 */
MPROC_API apr_status_t mproc_barrier_create_sized(mproc_barrier_t **barrier, unsigned parties,
                                                  const mproc_barrier_opts_t *opts, size_t opts_size);

/**
 * Make a barrier.
 *
 * @param barrier Where to store the handle; NULL on failure. Close it with mproc_barrier_close().
 * @param parties How many have to come, threads or processes; at least 1.
 * @param opts    Options, or NULL.
 * @return APR_SUCCESS; APR_EINVAL for no parties, or more than 65535; otherwise as mproc_lock_create().
 * @remark Any thread.
 */
static inline apr_status_t mproc_barrier_create(mproc_barrier_t **barrier, unsigned parties,
                                                const mproc_barrier_opts_t *opts)
{
    return mproc_barrier_create_sized(barrier, parties, opts, sizeof(mproc_barrier_opts_t));
}

/**
 * Open a barrier that another member of the family refers to.
 *
 * @param barrier Where to store the handle; NULL on failure. It is another one each time; close each.
 * @param ref     The reference.
 * @param pool    The handle is closed when this pool is cleared; NULL: it stays until mproc_barrier_close().
 * @return As mproc_lock_open().
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_barrier_open(mproc_barrier_t **barrier, const mproc_ref_t *ref, apr_pool_t *pool);

/**
 * Come to a barrier, and wait until all have come.
 *
 * @param barrier The barrier.
 * @param index   0 for the first one to come, up to `parties - 1` for the last; may be NULL.
 * @param timeout How long to wait, in microseconds: then the barrier breaks for all, also with 0. It does not if those
 *                of the last time have not been let go yet: then nobody was waiting for this one. MPROC_FOREVER to wait
 *                for good.
 * @return APR_SUCCESS; MPROC_EBROKENBARRIER; APR_TIMEUP for the one whose time was up.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_barrier_wait(mproc_barrier_t *barrier, unsigned *index, apr_interval_time_t timeout);

/**
 * Come to a barrier, and do something when all have come, before any of them goes on.
 *
 * @param barrier The barrier.
 * @param index   As for mproc_barrier_wait().
 * @param action  Called if this party is the last one to come, while the others wait; if it returns another number than
 *                0 the barrier breaks, for this party as well. It also breaks if the process ends in it, in order or
 *                not.
 * @param context For @p action.
 * @param timeout As for mproc_barrier_wait().
 * @return As mproc_barrier_wait().
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_barrier_wait_with(mproc_barrier_t *barrier, unsigned *index, int (*action)(void *context),
                                               void *context, apr_interval_time_t timeout);

/**
 * Break a barrier.
 *
 * @param barrier The barrier.
 * @return APR_SUCCESS.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_barrier_abort(mproc_barrier_t *barrier);

/**
 * Make a barrier as it was at first. Those who wait get MPROC_EBROKENBARRIER.
 *
 * @param barrier The barrier.
 * @return APR_SUCCESS.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_barrier_reset(mproc_barrier_t *barrier);

/**
 * Tell how many parties a barrier is for.
 *
 * @param barrier The barrier.
 * @return As it was made; 0 if the handle is refused (see mproc_last_error()).
 * @remark Any thread.
 */
MPROC_API unsigned mproc_barrier_parties(mproc_barrier_t *barrier);

/**
 * Tell how many parties wait.
 *
 * @param barrier The barrier.
 * @return How many; 0 also if the handle is refused (see mproc_last_error()).
 * @remark Any thread.
 */
MPROC_API unsigned mproc_barrier_waiting(mproc_barrier_t *barrier);

/**
 * Tell whether a barrier is broken.
 *
 * @param barrier The barrier.
 * @return 1 or 0; 0 also if the handle is refused (see mproc_last_error()).
 * @remark Any thread.
 */
MPROC_API int mproc_barrier_is_broken(mproc_barrier_t *barrier);

/**
 * Close a barrier. It is broken by that only if threads of this process are waiting with this handle: they will not
 * come.
 *
 * @param barrier The barrier; NULL is allowed and does nothing.
 * @return APR_SUCCESS; MPROC_ECLOSED if it was closed before, which does no harm.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_barrier_close(mproc_barrier_t *barrier);

/**
 * Get a barrier that was given as `.share`.
 *
 * @param call  The target's call.
 * @param index Its place in `.share`, from 0.
 * @return As mproc_call_lock().
 * @remark The child's threads.
 */
MPROC_API mproc_barrier_t *mproc_call_barrier(mproc_call_t *call, size_t index);

#ifdef __cplusplus
}
#endif

#endif
