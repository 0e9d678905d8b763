/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file progress.h
 * @brief The parts of the progress bar that do not depend on the moment, and on where it is shown.
 */
#ifndef MPROC_PROGRESS_INTERNAL_H
#define MPROC_PROGRESS_INTERNAL_H

#include <mproc/progress.h>

#include "sys.h"

/** More columns than this are not used; with its end. */
enum { PROGRESS_LINE_MAX = 256 };

/** mproc_progress_begin() and mproc_progress_update() at a point in time. */
void progress_begin_at(mproc_progress_t *progress, uint64_t total, sys_time_t now);
void progress_update_at(mproc_progress_t *progress, uint64_t done, uint64_t failed, sys_time_t now);

/**
 * Write the line for a terminal of this width, filled up with spaces to its last column but one; 0: for anything else.
 */
void progress_write_line(char line[PROGRESS_LINE_MAX], const mproc_progress_t *progress, int width);

#endif
