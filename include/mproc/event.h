/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file event.h
 * @brief Events that the processes of a family share: a flag to wait for.
 *
 * @code
 * mproc_event_create(&stop, NULL);
 * opts.share[0] = stop;
 *
 * while (mproc_event_wait(mproc_call_event(call, 0), MPROC_SECONDS(1)) == APR_TIMEUP)
 *     look_at_the_clock();
 * @endcode
 *
 * What share.h says of handles holds for every call.
 */
#ifndef MPROC_EVENT_H
#define MPROC_EVENT_H

#include "call.h"
#include "share.h"

#ifdef __cplusplus
extern "C" {
#endif

/** An event that this process has open. */
typedef struct mproc_event_t mproc_event_t;

/** Options of an event; all zeros are the defaults. */
typedef struct mproc_event_opts_t {
    /** Non-zero: it is set at first. */
    int set;
    /** A name for who looks at the family (mproc_dump()), copied; NULL for none. It need not be the only one. */
    const char *name;
    /** The event is closed when this pool is cleared. NULL: it stays until mproc_event_close(). */
    apr_pool_t *pool;
} mproc_event_opts_t;

/**
 * The call behind mproc_event_create(); programs in other languages make it directly.
 *
 * @param event     As there.
 * @param opts      As there.
 * @param opts_size `sizeof(mproc_event_opts_t)` as the caller knows it.
 * @return As mproc_event_create(); MPROC_EBUILD if the caller's options are larger than the library's.
 */
MPROC_API apr_status_t mproc_event_create_sized(mproc_event_t **event, const mproc_event_opts_t *opts,
                                                size_t opts_size);

/**
 * Make an event.
 *
 * @param event Where to store the handle; NULL on failure. Close it with mproc_event_close().
 * @param opts  Options, or NULL.
 * @return As mproc_lock_create().
 * @remark Any thread.
 */
static inline apr_status_t mproc_event_create(mproc_event_t **event, const mproc_event_opts_t *opts)
{
    return mproc_event_create_sized(event, opts, sizeof(mproc_event_opts_t));
}

/**
 * Open an event that another member of the family refers to.
 *
 * @param event Where to store the handle; NULL on failure. It is another one each time; close each.
 * @param ref   The reference.
 * @param pool  The handle is closed when this pool is cleared; NULL: it stays until mproc_event_close().
 * @return As mproc_lock_open().
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_event_open(mproc_event_t **event, const mproc_ref_t *ref, apr_pool_t *pool);

/**
 * Set an event: all who wait for it go on, and nobody waits for it until it is cleared.
 *
 * @param event The event.
 * @return APR_SUCCESS, also if it was set.
 * @remark Any thread, and on Unix any signal handler, too, in a process that has used this event before.
 */
MPROC_API apr_status_t mproc_event_set(mproc_event_t *event);

/**
 * Clear an event. Those who were waiting when it was set go on all the same.
 *
 * @param event The event.
 * @return APR_SUCCESS, also if it was not set.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_event_clear(mproc_event_t *event);

/**
 * Tell whether an event is set.
 *
 * @param event The event.
 * @return 1 or 0; 0 also if the handle is refused (see mproc_last_error()).
 * @remark Any thread.
 */
MPROC_API int mproc_event_is_set(mproc_event_t *event);

/**
 * Wait until an event is set.
 *
 * @param event   The event.
 * @param timeout How long to wait, in microseconds; 0 to look, MPROC_FOREVER to wait for good.
 * @return APR_SUCCESS; APR_TIMEUP.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_event_wait(mproc_event_t *event, apr_interval_time_t timeout);

/**
 * Close an event.
 *
 * @param event The event; NULL is allowed and does nothing.
 * @return APR_SUCCESS; MPROC_ECLOSED if it was closed before, which does no harm.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_event_close(mproc_event_t *event);

/**
 * Get an event that was given as `.share`.
 *
 * @param call  The target's call.
 * @param index Its place in `.share`, from 0.
 * @return As mproc_call_lock().
 * @remark The child's threads.
 */
MPROC_API mproc_event_t *mproc_call_event(mproc_call_t *call, size_t index);

#ifdef __cplusplus
}
#endif

#endif
