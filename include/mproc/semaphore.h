/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file semaphore.h
 * @brief Semaphores that the processes of a family share: so many at a time.
 *
 * @code
 * static int fetch(mproc_call_t *call)
 * {
 *     mproc_semaphore_t *slots = mproc_call_semaphore(call, 0);
 *     if (mproc_semaphore_acquire(slots, MPROC_SECONDS(10)) != APR_SUCCESS)
 *         return 1;
 *     download();
 *     mproc_semaphore_release(slots);
 *     return 0;
 * }
 *
 * mproc_semaphore_opts_t four = {0};
 * four.owned = 1;
 * mproc_semaphore_create(&slots, 4, &four);
 * opts.share[0] = slots;
 * @endcode
 *
 * A semaphore is a number. To acquire it takes one away, and waits while there is none; to release it adds one. Whoever
 * has it open may do either. What a process had acquired when it ended is gone, as with Python's; with `.owned` it is
 * given back. (A thread that ends gives nothing back: its process lives on.) Nobody comes first by waiting longer.
 *
 * What share.h says of handles holds for every call.
 */
#ifndef MPROC_SEMAPHORE_H
#define MPROC_SEMAPHORE_H

#include "call.h"
#include "share.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A semaphore that this process has open. */
typedef struct mproc_semaphore_t mproc_semaphore_t;

/** The largest value of a semaphore. */
#define MPROC_SEMAPHORE_MAX 0x3fffffff

/** The largest value of one that is owned. */
#define MPROC_SEMAPHORE_OWNED_MAX 1024

/** Options of a semaphore; all zeros are the defaults. */
typedef struct mproc_semaphore_opts_t {
    /** Non-zero: the value never becomes larger than at first (MPROC_ESTATE), as that of Python's BoundedSemaphore. */
    int bounded;
    /**
     * Non-zero: what a process has acquired, and not released, when it ends is given back. It is bounded then, only the
     * process that has acquired can release, and the value is at most MPROC_SEMAPHORE_OWNED_MAX.
     */
    int owned;
    /** A name for who looks at the family (mproc_dump()), copied; NULL for none. It need not be the only one. */
    const char *name;
    /** The semaphore is closed when this pool is cleared. NULL: it stays until mproc_semaphore_close(). */
    apr_pool_t *pool;
} mproc_semaphore_opts_t;

/**
 * The call behind mproc_semaphore_create(); programs in other languages make it directly.
 *
 * @param semaphore As there.
 * @param value     As there.
 * @param opts      As there.
 * @param opts_size `sizeof(mproc_semaphore_opts_t)` as the caller knows it.
 * @return As mproc_semaphore_create(); MPROC_EBUILD if the caller's options are larger than the library's.
 */
MPROC_API apr_status_t mproc_semaphore_create_sized(mproc_semaphore_t **semaphore, unsigned value,
                                                    const mproc_semaphore_opts_t *opts, size_t opts_size);

/**
 * Make a semaphore.
 *
 * @param semaphore Where to store the handle; NULL on failure. Close it with mproc_semaphore_close().
 * @param value     Its value at first, from 0 to MPROC_SEMAPHORE_MAX.
 * @param opts      Options, or NULL.
 * @return APR_SUCCESS; APR_EINVAL for a value that is too large, or 0 for one that is owned; otherwise as
 *         mproc_lock_create().
 * @remark Any thread.
 */
static inline apr_status_t mproc_semaphore_create(mproc_semaphore_t **semaphore, unsigned value,
                                                  const mproc_semaphore_opts_t *opts)
{
    return mproc_semaphore_create_sized(semaphore, value, opts, sizeof(mproc_semaphore_opts_t));
}

/**
 * Open a semaphore that another member of the family refers to.
 *
 * @param semaphore Where to store the handle; NULL on failure. It is another one each time; close each.
 * @param ref       The reference.
 * @param pool      The handle is closed when this pool is cleared; NULL: it stays until mproc_semaphore_close().
 * @return As mproc_lock_open().
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_semaphore_open(mproc_semaphore_t **semaphore, const mproc_ref_t *ref, apr_pool_t *pool);

/**
 * Take one away, waiting while there is none.
 *
 * @param semaphore The semaphore.
 * @param timeout   How long to wait, in microseconds; 0 to try, MPROC_FOREVER to wait for good.
 * @return APR_SUCCESS; APR_TIMEUP.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_semaphore_acquire(mproc_semaphore_t *semaphore, apr_interval_time_t timeout);

/**
 * Add one, for whoever waits for it.
 *
 * @param semaphore The semaphore.
 * @return APR_SUCCESS; MPROC_ESTATE if its value is the largest it can have, or, where it is owned, if this process has
 *         acquired nothing.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_semaphore_release(mproc_semaphore_t *semaphore);

/**
 * Tell the value of a semaphore.
 *
 * @param semaphore The semaphore.
 * @return How many there are to be taken; 0 also if the handle is refused (see mproc_last_error()). It may have changed
 *         when the call returns.
 * @remark Any thread.
 */
MPROC_API unsigned mproc_semaphore_value(mproc_semaphore_t *semaphore);

/**
 * Close a semaphore.
 *
 * @param semaphore The semaphore; NULL is allowed and does nothing.
 * @return APR_SUCCESS; MPROC_ECLOSED if it was closed before, which does no harm.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_semaphore_close(mproc_semaphore_t *semaphore);

/**
 * Get a semaphore that was given as `.share`.
 *
 * @param call  The target's call.
 * @param index Its place in `.share`, from 0.
 * @return As mproc_call_lock().
 * @remark The child's threads.
 */
MPROC_API mproc_semaphore_t *mproc_call_semaphore(mproc_call_t *call, size_t index);

#ifdef __cplusplus
}
#endif

#endif
