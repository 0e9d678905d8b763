/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file worker.h
 * @brief What a child process does: blur one picture.
 */
#ifndef BLUR_WORKER_H
#define BLUR_WORKER_H

#include <mproc/mproc.h>

/** How pictures are blurred: the `.data` of a worker. */
typedef struct worker_settings_t {
    double radius;
    int rounds;
} worker_settings_t;

/** The longest report of a worker, in bytes. It fits into every system's pipe, so reporting never blocks. */
#define WORKER_REPORT_MAX 500

/** What a worker reports when all is well. An exit code of 0 is less: a process can be made to end with any. */
#define WORKER_DONE "done"

/**
 * Blur one picture. The target of a process that is given
 *
 * - worker_settings_t as `.data`,
 * - the strings "input", "output" and "temporary" as `.args`: file names,
 * - one handle: the writing end of a pipe, into which it writes its report: WORKER_DONE, or why it failed.
 *
 * @return 0 or 1.
 */
int worker_run(mproc_call_t *call);

#endif
