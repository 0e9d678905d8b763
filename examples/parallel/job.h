/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file job.h
 * @brief A line of input, and what has become of it.
 */
#ifndef PARALLEL_JOB_H
#define PARALLEL_JOB_H

#include <mproc/mproc.h>

/** How far a job is. */
typedef enum job_state_t {
    JOB_WAITS = 0,
    /** It succeeded in an earlier run. */
    JOB_IS_SKIPPED,
    JOB_RUNS,
    JOB_IS_OVER
} job_state_t;

/** Exit codes for what a program did not end with itself; those of timeout(1) and of shells. */
enum { JOB_TIMED_OUT = 124, JOB_NOT_STARTED = 127, JOB_STOPPED = -15 };

/** A job. While it runs it is the worker's, who changes all but the first three; otherwise it is the main thread's. */
typedef struct job_t {
    /** The line's number, from 1. */
    size_t number;
    const char *line;
    job_state_t state;
    /** For what it needs while it runs and until its output is written. */
    apr_pool_t *pool;
    int attempts;
    apr_time_t start;
    /** Of all attempts. */
    apr_interval_time_t run_time;
    /** Of the last attempt, as the output. */
    int exitcode;
    mproc_completed_t completed;
    /** What there is to say of its end beyond the exit code, or NULL. */
    const char *remark;
} job_t;

#endif
