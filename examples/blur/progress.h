/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file progress.h
 * @brief How far a batch is, on standard error: a bar if that is a terminal, else a line for each picture.
 */
#ifndef BLUR_PROGRESS_H
#define BLUR_PROGRESS_H

#include <apr_time.h>

/** How far a batch is. */
typedef struct progress_t {
    int total;
    int done;
    int failed;
    /** Tell failures only. */
    int quiet;
    apr_time_t start;
    apr_time_t drawn;
    /** How much of the terminal's line the bar takes at present. */
    int drawn_width;
} progress_t;

/**
 * Begin.
 *
 * @param progress Where to count.
 * @param total    How many pictures there are.
 * @param quiet    Non-zero to tell failures only.
 */
void progress_start(progress_t *progress, int total, int quiet);

/**
 * Count a picture that was done.
 *
 * @param progress The count.
 * @param input    The file that was read.
 * @param output   The file that was written.
 */
void progress_done(progress_t *progress, const char *input, const char *output);

/**
 * Count a picture that could not be done, and say why.
 *
 * @param progress The count.
 * @param input    The file that was to be read.
 * @param reason   Why.
 */
void progress_failed(progress_t *progress, const char *input, const char *reason);

/**
 * Draw the bar anew if that is due. Call it often.
 *
 * @param progress The count.
 */
void progress_draw(progress_t *progress);

/**
 * Take the bar away, for good or to write something else.
 *
 * @param progress The count.
 */
void progress_clear(progress_t *progress);

/**
 * Take the bar away and tell the result.
 *
 * @param progress The count.
 */
void progress_finish(progress_t *progress);

#endif
