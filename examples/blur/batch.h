/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file batch.h
 * @brief The parent's work: have each picture blurred by another process, and see what becomes of it.
 */
#ifndef BLUR_BATCH_H
#define BLUR_BATCH_H

#include <mproc/mproc.h>

#include "plan.h"
#include "report.h"
#include "work.h"

/** The most processes at once. */
#define BATCH_JOBS_MAX 1000

/** The most times that a picture is done again. */
#define BATCH_RETRIES_MAX 100

/** Which way pictures go. */
typedef enum batch_way_t {
    /** The workers of a pool read and write the files: a task for each picture. */
    BATCH_VIA_FILE,
    /** A process for each picture, which touches no file: one comes through a pipe, and the other one goes back. */
    BATCH_VIA_PIPE,
    /** The same, in blocks of shared memory that lie in queues. */
    BATCH_VIA_SHM
} batch_way_t;

/** How a batch is run. */
typedef struct batch_options_t {
    work_settings_t settings;
    batch_way_t way;
    mproc_start_method_t method;
    /** How many processes at once, 1 to BATCH_JOBS_MAX. */
    int jobs;
    /** How long a picture may take, in microseconds; 0: for ever. Of a pool. */
    apr_interval_time_t timeout;
    /** How often a picture is done again whose worker has ended. Of a pool. */
    int retries;
    /** Non-zero to kill workers that work. Of a pool. */
    int chaos;
    /** Non-zero to do all in this process first, and to compare. Of a pool. */
    int compare;
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

/* ---- What the ways to run one share ------------------------------------------------------------------------------ */

/** A batch that runs. */
typedef struct batch_t {
    const plan_t *plan;
    const batch_options_t *options;
    report_t report;
    /** The contact sheet; without pixels: there is to be none. */
    picture_t sheet;
    /** For each picture the checksum of what one process has made of it; NULL: it has not. */
    uint64_t *checksums;
    /** How many have another one now. */
    int differences;
    apr_pool_t *pool;
} batch_t;

/**
 * Tell whether this process was asked to end.
 *
 * @return Non-zero if so.
 */
int batch_is_interrupted(void);

/**
 * A picture was done.
 *
 * @param batch   The batch.
 * @param index   The picture's number in the plan.
 * @param outcome What it looks like; NULL: the file tells.
 */
void batch_done(batch_t *batch, int index, const outcome_t *outcome);

/**
 * A picture could not be done; unless the batch is being interrupted that is told.
 *
 * @param batch  The batch.
 * @param index  The picture's number in the plan.
 * @param reason Why.
 */
void batch_failed(batch_t *batch, int index, const char *reason);

#endif
