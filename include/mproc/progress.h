/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file progress.h
 * @brief How far a map or a program of its own is, and a bar that shows it.
 *
 * @code
 * mproc_pool_map(workers, render, pixels, sizeof *pixels, NULL, 0, count,
 *                &(mproc_map_opts_t){.progress = mproc_progress_bar});
 * @endcode
 */
#ifndef MPROC_PROGRESS_H
#define MPROC_PROGRESS_H

#include "types.h"

#ifdef __cplusplus
extern "C" {
#endif

/** How far something is. */
typedef struct mproc_progress_t {
    /** How many items are done, failed ones too. */
    uint64_t done;
    /** How many of these failed. */
    uint64_t failed;
    /** How many there are; 0 if that is not known. */
    uint64_t total;
    /** How long it has taken so far, in microseconds. */
    apr_interval_time_t elapsed;
    /** How long it may still take, in microseconds, as far as one can say; < 0 if nothing can be said. */
    apr_interval_time_t left;
    /** Items per second, lately. */
    double rate;
    /** Non-zero in the last call: all is done, or nothing more will be. Who begins a progress sets it, too. */
    int is_over;
    /** The library's own; zeros will do. */
    double reserved[6];
} mproc_progress_t;

/**
 * Called now and then to tell how far something is: ten times a second at most, and once at the end.
 *
 * @param context  What was given along with the function.
 * @param progress How far it is.
 * @return 0 to go on; any other number to stop: what is not done is cancelled.
 */
typedef int (*mproc_progress_fn_t)(void *context, const mproc_progress_t *progress);

/**
 * A ready-made bar: done and total, failures, rate, the time that it took and may still take. On a terminal it is one
 * line that is written anew, ten times a second at most; elsewhere a line now and then, every ten seconds at most, and
 * one at the end.
 *
 * @code
 * [=============>                    ] 1204/3000  40%  2 failed  151/s  0:08  0:12 left
 * @endcode
 *
 * @param context  The stream to write to, a `FILE *`; NULL for standard error.
 * @param progress How far it is. Bars are told apart by its address: it is the same in all calls for one.
 * @return 0.
 * @remark Any thread. Several bars on one terminal write over each other.
 * @remark Windows: the stream is one of the C runtime that the library was linked with.
 */
MPROC_API int mproc_progress_bar(void *context, const mproc_progress_t *progress);

/**
 * Take a bar away, to write something else in its place: the next call for it draws it again, below. Where it is no
 * terminal, nothing happens.
 *
 * @param context The stream, as for mproc_progress_bar().
 * @remark As mproc_progress_bar().
 */
MPROC_API void mproc_progress_clear(void *context);

/**
 * Start to tell how far something of the program's own is.
 *
 * @code
 * mproc_progress_t progress;
 * mproc_progress_begin(&progress, count);
 * for (size_t i = 0; i < count; i++) {
 *     work(i);
 *     progress.is_over = i + 1 == count;
 *     mproc_progress_update(&progress, i + 1, 0);
 *     mproc_progress_bar(NULL, &progress);
 * }
 * @endcode
 *
 * @param progress What to start; it is the program's.
 * @param total    How many items there are; 0 if that is not known.
 * @remark Any thread, one at a time for each @p progress.
 */
MPROC_API void mproc_progress_begin(mproc_progress_t *progress, uint64_t total);

/**
 * Say how far it is: the times and the rate are worked out. The rate is that of all at first, and later that of the
 * last seconds, or of some more where items take long; while nothing comes for longer than usual it goes down.
 *
 * @param progress What mproc_progress_begin() has started.
 * @param done     How many items are done, failed ones too.
 * @param failed   How many of these failed.
 * @remark As mproc_progress_begin().
 */
MPROC_API void mproc_progress_update(mproc_progress_t *progress, uint64_t done, uint64_t failed);

#ifdef __cplusplus
}
#endif

#endif
