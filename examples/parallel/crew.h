/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file crew.h
 * @brief The main thread's work: hand out the jobs to workers, and see what becomes of them.
 */
#ifndef PARALLEL_CREW_H
#define PARALLEL_CREW_H

#include "job.h"
#include "joblog.h"
#include "progress.h"

/** The most workers. */
#define CREW_SIZE_MAX 1000

/** What to do once a job has failed. */
typedef enum halt_t {
    HALT_NEVER = 0,
    /** Start no more. */
    HALT_SOON,
    /** Stop those that run as well. */
    HALT_NOW
} halt_t;

/** How the jobs are run. */
typedef struct crew_options_t {
    /** The command and its arguments, with a NULL after the last. */
    const char *const *pattern;
    /** How many jobs at once, 1 to CREW_SIZE_MAX. */
    int size;
    apr_interval_time_t timeout;
    int retries;
    halt_t halt;
    int unordered;
    progress_when_t bar;
    /** Or NULL. */
    joblog_t *log;
} crew_options_t;

/** How it ended. */
typedef struct crew_result_t {
    /** How many jobs have failed, or were stopped. */
    size_t failed;
    /** The signal by which this process was asked to end, or 0. */
    int interrupted_by;
    /** Why this program itself has failed, or NULL. */
    const char *reason;
} crew_result_t;

/**
 * Run all jobs that are not to be skipped.
 *
 * Ctrl-C and a request to end (SIGTERM) are caught: afterwards nothing runs any more, and the job log is complete.
 *
 * @param jobs    The jobs, numbered from 1.
 * @param count   How many there are.
 * @param options How.
 * @param pool    For the call, and the result.
 * @return How it ended.
 */
crew_result_t crew_run(job_t *jobs, size_t count, const crew_options_t *options, apr_pool_t *pool);

#endif
