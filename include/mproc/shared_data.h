/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file shared_data.h
 * @brief Memory that the processes of a family share: a counter, a struct, an array, a picture.
 *
 * @code
 * typedef struct totals_t {
 *     uint64_t files;
 *     uint64_t bytes;
 * } totals_t;
 *
 * static int count(mproc_call_t *call)
 * {
 *     mproc_shared_t *shared = mproc_call_shared(call, 0);
 *     totals_t *totals = mproc_shared_data(shared);
 *     if (!mproc_has_acquired(mproc_shared_acquire(shared, MPROC_FOREVER)))
 *         return 1;
 *     totals->files += 1;
 *     totals->bytes += size_of_file(call);
 *     return mproc_shared_release(shared) != APR_SUCCESS;
 * }
 *
 * mproc_shared_opts_t locked = {0};
 * locked.lock = 1;
 * mproc_shared_create(&shared, sizeof(totals_t), &locked);
 * opts.share[0] = shared;
 * @endcode
 *
 * This is what Python's `Value` and `Array` are for, with a lock, and its `RawValue` and `RawArray`, without. The
 * memory is all zeros at first, and stays as long as any member of the family has it open, whoever made it.
 *
 * Each process has it at an address of its own, so pointers in it mean nothing to others: use offsets, or indexes. What
 * one process writes another one sees as threads see one another's: between them must be something that orders the two,
 * such as the lock, an event, a message, or atomic operations of C11, which work between processes if they are
 * lock-free. A write to what others read at the same time, without any of these, is a data race. A process that is
 * killed leaves what it was about to write half written; with a lock the next one that acquires it is told so.
 *
 * What share.h says of handles holds for every call.
 */
#ifndef MPROC_SHARED_DATA_H
#define MPROC_SHARED_DATA_H

#include "call.h"
#include "lock.h"
#include "share.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Shared data that this process has open. */
typedef struct mproc_shared_t mproc_shared_t;

/** The data begin at a multiple of this many bytes, in each process: a line of the cache, enough for any type. */
#define MPROC_SHARED_ALIGNMENT 64

/** Options of shared data; all zeros are the defaults. */
typedef struct mproc_shared_opts_t {
    /** Non-zero: they have a lock, for mproc_shared_acquire(). */
    int lock;
    /** A name for who looks at the family (mproc_dump()), copied; NULL for none. It need not be the only one. */
    const char *name;
    /** They are closed when this pool is cleared. NULL: they stay until mproc_shared_close(). */
    apr_pool_t *pool;
} mproc_shared_opts_t;

/**
 * The call behind mproc_shared_create(); programs in other languages make it directly.
 *
 * @param shared    As there.
 * @param size      As there.
 * @param opts      As there.
 * @param opts_size `sizeof(mproc_shared_opts_t)` as the caller knows it.
 * @return As mproc_shared_create(); MPROC_EBUILD if the caller's options are larger than the library's.
 */
MPROC_API apr_status_t mproc_shared_create_sized(mproc_shared_t **shared, size_t size, const mproc_shared_opts_t *opts,
                                                 size_t opts_size);

/**
 * Make shared data: zeros, so many bytes of them.
 *
 * All of their memory is had from the system at once, so that nobody who uses it finds out later that there is none.
 * More than some 8 KiB take whole units of 64 KiB.
 *
 * @param shared Where to store the handle; NULL on failure. Close it with mproc_shared_close().
 * @param size   How many bytes, from 1.
 * @param opts   Options, or NULL.
 * @return APR_SUCCESS; APR_EINVAL for no bytes; APR_ENOMEM if the family's memory, see mproc_set_arena_size(), has no
 *         room for so many, or the system has not; otherwise as mproc_lock_create().
 * @remark Any thread. On Linux pages that are known to be zeros are not touched; elsewhere all are written.
 */
static inline apr_status_t mproc_shared_create(mproc_shared_t **shared, size_t size, const mproc_shared_opts_t *opts)
{
    return mproc_shared_create_sized(shared, size, opts, sizeof(mproc_shared_opts_t));
}

/**
 * Open shared data that another member of the family refers to.
 *
 * @param shared Where to store the handle; NULL on failure. It is another one each time; close each.
 * @param ref    The reference.
 * @param pool   The handle is closed when this pool is cleared; NULL: it stays until mproc_shared_close().
 * @return As mproc_lock_open().
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_shared_open(mproc_shared_t **shared, const mproc_ref_t *ref, apr_pool_t *pool);

/**
 * Get the data.
 *
 * @param shared The shared data.
 * @return Their first byte, at a multiple of MPROC_SHARED_ALIGNMENT; the same each time in one process. It is valid
 *         until this handle is closed. NULL if the handle is refused (see mproc_last_error()).
 * @remark Any thread. In a child by fork what its creator has got here is valid, too; but only by a call of its own,
 *         such as this one, does the child have them open itself, and thus longer than its creator.
 */
MPROC_API void *mproc_shared_data(mproc_shared_t *shared);

/**
 * Tell how many bytes there are.
 *
 * @param shared The shared data.
 * @return The size that they were made with; 0 if the handle is refused (see mproc_last_error()).
 * @remark Any thread.
 */
MPROC_API size_t mproc_shared_size(mproc_shared_t *shared);

/**
 * Acquire the lock of shared data. It is a recursive one, as Python's default: it belongs to the thread, which may
 * acquire it again, and must release it as often. Nothing but the program itself keeps others from the data meanwhile.
 *
 * @param shared  The shared data.
 * @param timeout How long to wait, in microseconds; 0 to try, MPROC_FOREVER to wait for good.
 * @return APR_SUCCESS; MPROC_EOWNERDEAD: acquired, but the process that had it ended without releasing it, so the data
 *         may be half changed; APR_TIMEUP; MPROC_ESTATE if they were made without a lock, or it was acquired 4294967295
 *         times.
 * @remark Any thread. The death of the process that has it is noticed as share.h says.
 */
MPROC_API apr_status_t mproc_shared_acquire(mproc_shared_t *shared, apr_interval_time_t timeout);

/**
 * Release the lock of shared data.
 *
 * @param shared The shared data.
 * @return APR_SUCCESS; MPROC_ESTATE if nobody has it, or they were made without a lock; APR_EACCES if another thread
 *         has it.
 * @remark The thread that has acquired it.
 */
MPROC_API apr_status_t mproc_shared_release(mproc_shared_t *shared);

/**
 * Close shared data: what mproc_shared_data() has told is not to be used any more. If this process has the lock, it
 * stays acquired until the process ends.
 *
 * @param shared The shared data; NULL is allowed and does nothing.
 * @return APR_SUCCESS; MPROC_ECLOSED if they were closed before, which does no harm.
 * @remark Any thread. The memory is given back when nobody in the family has it open any more.
 */
MPROC_API apr_status_t mproc_shared_close(mproc_shared_t *shared);

/**
 * Get shared data that were given as `.share`.
 *
 * @param call  The target's call.
 * @param index Their place in `.share`, from 0.
 * @return As mproc_call_lock().
 * @remark The child's threads.
 */
MPROC_API mproc_shared_t *mproc_call_shared(mproc_call_t *call, size_t index);

#ifdef __cplusplus
}
#endif

#endif
