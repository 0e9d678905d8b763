/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file output.h
 * @brief What the commands have written, passed on: never mixed, and in the order of the lines if wanted.
 */
#ifndef PARALLEL_OUTPUT_H
#define PARALLEL_OUTPUT_H

#include <apr_file_io.h>

#include "job.h"
#include "joblog.h"

/** Where to write what. */
typedef struct output_t {
    apr_file_t *standard_output;
    apr_file_t *standard_error;
    joblog_t *log;
    job_t *jobs;
    size_t count;
    /** In the order of the lines: the first job that was not written yet. */
    size_t next;
    int unordered;
} output_t;

/**
 * Begin.
 *
 * @param output    The output.
 * @param log       The job log, or NULL.
 * @param jobs      All jobs, in order.
 * @param count     How many there are.
 * @param unordered Non-zero to write in the order of their ends.
 * @param pool      Where it lives.
 * @return APR_SUCCESS, or a status of the system.
 */
apr_status_t output_start(output_t *output, joblog_t *log, job_t *jobs, size_t count, int unordered, apr_pool_t *pool);

/**
 * Write what can be written now that a job is over: its output, or that of others which waited for it, or nothing yet.
 * What was written is logged and freed: in the log before, it would be lost to those who go on after a crash.
 *
 * @param output The output.
 * @param job    The job.
 * @return APR_SUCCESS, or a status of the system.
 */
apr_status_t output_take(output_t *output, job_t *job);

#endif
