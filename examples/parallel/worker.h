/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file worker.h
 * @brief A thread that runs one job after the other.
 */
#ifndef PARALLEL_WORKER_H
#define PARALLEL_WORKER_H

#include <stdatomic.h>

#include <mproc/mproc.h>

/** What a worker is given as `.data`; what it points to outlives the thread. */
typedef struct worker_settings_t {
    /** The command and its arguments, with a NULL after the last. */
    const char *const *pattern;
    /** How long a command may take; MPROC_FOREVER for any time. */
    apr_interval_time_t timeout;
    /** How often a command that fails is run again. */
    int retries;
    /** Non-zero when all that runs is to be stopped. */
    const atomic_int *stop;
} worker_settings_t;

/**
 * The target of a worker, which must be a thread: jobs are sent to it, and sent back by it when they are over, as
 * pointers. Who has received one owns it.
 *
 * It ends when the connection that it was given does.
 *
 * @param call Its settings, and the connection.
 * @return 0.
 */
int worker_run(mproc_call_t *call);

#endif
