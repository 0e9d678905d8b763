/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file progress.h
 * @brief The progress bar on standard error.
 */
#ifndef PARALLEL_PROGRESS_H
#define PARALLEL_PROGRESS_H

#include <stddef.h>

#include <apr_time.h>

/** When there is a bar. */
typedef enum progress_when_t {
    PROGRESS_NEVER = 0,
    /** If standard error is a terminal. */
    PROGRESS_ON_TERMINAL,
    PROGRESS_ALWAYS
} progress_when_t;

/** How far all is. */
typedef struct progress_t {
    size_t total;
    size_t done;
    /** Of those that are done. */
    size_t failed;
    progress_when_t when;
    apr_time_t start;
    apr_time_t drawn;
    /** How much of the terminal's line the bar takes at present. */
    int drawn_width;
} progress_t;

/**
 * Begin.
 *
 * @param progress Where to count.
 * @param total    How many there are.
 * @param when     Whether there is a bar.
 */
void progress_start(progress_t *progress, size_t total, progress_when_t when);

/**
 * Draw the bar anew if that is due. Call it often.
 *
 * @param progress The count.
 */
void progress_draw(progress_t *progress);

/**
 * Take the bar away, to write something else.
 *
 * @param progress The count.
 */
void progress_clear(progress_t *progress);

/**
 * Draw the bar for the last time, and leave it there.
 *
 * @param progress The count.
 */
void progress_finish(progress_t *progress);

#endif
