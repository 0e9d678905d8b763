/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file report.h
 * @brief How far a batch is, on standard error: the library's bar if that is a terminal, else a line for each picture.
 */
#ifndef BLUR_REPORT_H
#define BLUR_REPORT_H

#include <mproc/mproc.h>

/** How far a batch is. */
typedef struct report_t {
    mproc_progress_t progress;
    /** Tell failures only. */
    int quiet;
    /** There is a bar on the terminal. */
    int is_drawn;
} report_t;

/**
 * Begin.
 *
 * @param report Where to count.
 * @param total  How many pictures there are.
 * @param quiet  Non-zero to tell failures only.
 */
void report_start(report_t *report, int total, int quiet);

/**
 * Count a picture that was done.
 *
 * @param report The count.
 * @param input  The file that was read.
 * @param output The file that was written.
 */
void report_done(report_t *report, const char *input, const char *output);

/**
 * Count a picture that could not be done, and say why.
 *
 * @param report The count.
 * @param input  The file that was to be read.
 * @param reason Why.
 */
void report_failed(report_t *report, const char *input, const char *reason);

/**
 * Tell something else, in a line of its own, even if only failures are to be told.
 *
 * @param report The count.
 * @param format As for printf; a new line follows.
 */
void report_note(report_t *report, const char *format, ...) MPROC_FORMAT(2, 3);

/**
 * Draw the bar anew, if there is to be one and that is due. Call it often.
 *
 * @param report The count.
 */
void report_draw(report_t *report);

/**
 * Take the bar away, for good or to write something else.
 *
 * @param report The count.
 */
void report_clear(report_t *report);

/**
 * Take the bar away and tell the result.
 *
 * @param report The count.
 */
void report_finish(report_t *report);

#endif
