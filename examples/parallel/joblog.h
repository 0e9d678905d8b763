/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file joblog.h
 * @brief The job log: a line for each job that is over, written at once.
 *
 * Its fields, with tabs between them: the line's number, when it was started (seconds since 1970), how long it ran
 * (seconds), its exit code or minus the number of a signal, how often it was tried, and the line.
 */
#ifndef PARALLEL_JOBLOG_H
#define PARALLEL_JOBLOG_H

#include "job.h"

/** A job log. */
typedef struct apr_file_t joblog_t;

/**
 * Open a job log.
 *
 * @param log    The log.
 * @param path   Its file, which is replaced.
 * @param pool   Where it lives; closed with it.
 * @return APR_SUCCESS, or a status of the system.
 */
apr_status_t joblog_open(joblog_t **log, const char *path, apr_pool_t *pool);

/**
 * Open the log of an earlier run, to go on with it. A last line that was cut off is dropped.
 *
 * @param log    The log.
 * @param path   Its file; made if there is none.
 * @param jobs   The jobs; those that it says have succeeded are marked as skipped.
 * @param count  How many there are.
 * @param pool   Where it lives; closed with it.
 * @return APR_SUCCESS, or a status of the system.
 */
apr_status_t joblog_resume(joblog_t **log, const char *path, job_t *jobs, size_t count, apr_pool_t *pool);

/**
 * Write a line.
 *
 * @param log The log; NULL does nothing.
 * @param job A job that is over.
 * @return APR_SUCCESS, or a status of the system.
 */
apr_status_t joblog_write(joblog_t *log, const job_t *job);

#endif
