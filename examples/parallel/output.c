/* SPDX-License-Identifier: Apache-2.0 */
#include "output.h"

#include <string.h>

#include <apr_strings.h>

apr_status_t output_start(output_t *output, joblog_t *log, job_t *jobs, size_t count, int unordered, apr_pool_t *pool)
{
    /* Not stdio, which would add carriage returns to the commands' own on Windows. */
    apr_status_t status = apr_file_open_stdout(&output->standard_output, pool);
    if (status == APR_SUCCESS)
        status = apr_file_open_stderr(&output->standard_error, pool);
    output->log = log;
    output->jobs = jobs;
    output->count = count;
    output->next = 0;
    output->unordered = unordered;
    return status;
}

/* All of it is tried, but the first failure is told. */
static void write_to(apr_status_t *result, apr_file_t *file, const char *data, size_t size)
{
    apr_status_t status = size > 0 ? apr_file_write_full(file, data, size, NULL) : APR_SUCCESS;
    if (*result == APR_SUCCESS)
        *result = status;
}

static apr_status_t write_job(output_t *output, job_t *job)
{
    const mproc_completed_t *completed = &job->completed;
    apr_status_t result = APR_SUCCESS;
    write_to(&result, output->standard_output, completed->output, completed->output_size);
    write_to(&result, output->standard_error, completed->error_output, completed->error_output_size);
    if (job->remark) {
        const char *text = apr_psprintf(job->pool, "mproc-parallel: line %lu (%s): %s\n", (unsigned long)job->number,
                                        job->line, job->remark);
        write_to(&result, output->standard_error, text, strlen(text));
    }
    if (result == APR_SUCCESS)
        result = joblog_write(output->log, job);
    mproc_completed_clear(&job->completed);
    apr_pool_destroy(job->pool);
    return result;
}

apr_status_t output_take(output_t *output, job_t *job)
{
    apr_status_t result = APR_SUCCESS;
    if (output->unordered)
        return write_job(output, job);
    while (output->next < output->count) {
        job_t *next = &output->jobs[output->next];
        if (next->state == JOB_IS_OVER) {
            apr_status_t status = write_job(output, next);
            if (result == APR_SUCCESS)
                result = status;
        } else if (next->state != JOB_IS_SKIPPED) {
            break;
        }
        output->next++;
    }
    return result;
}
