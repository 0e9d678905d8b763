/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file batch.h
 * @brief The parent's work: give each picture to a process, so many at once, and see what becomes of it.
 */
#ifndef BLUR_BATCH_H
#define BLUR_BATCH_H

#include <mproc/mproc.h>

#include "plan.h"
#include "worker.h"

/** The most processes at once. */
#define BATCH_JOBS_MAX 1000

/** How a batch is run. */
typedef struct batch_options_t {
    worker_settings_t settings;
    mproc_start_method_t method;
    /** How many processes at once, 1 to BATCH_JOBS_MAX. */
    int jobs;
    /** Non-zero to tell failures only. */
    int quiet;
} batch_options_t;

/** How a batch ended. */
typedef struct batch_result_t {
    /** How many pictures were not done. */
    int failed;
    /** The signal by which this process was asked to end, or 0. */
    int interrupted_by;
} batch_result_t;

/**
 * Blur all pictures of a plan. What fails is told on standard error, and does not keep the others from being done.
 *
 * Ctrl-C and a request to end (SIGTERM) are caught: afterwards nothing runs any more, and nothing half done is left.
 *
 * @param plan    The plan.
 * @param options How.
 * @param pool    For the call.
 * @return How it ended.
 */
batch_result_t batch_run(const plan_t *plan, const batch_options_t *options, apr_pool_t *pool);

#endif
