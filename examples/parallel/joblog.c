/* SPDX-License-Identifier: Apache-2.0 */
#include "joblog.h"

#include <stdlib.h>
#include <string.h>

#include <apr_file_io.h>
#include <apr_strings.h>

#include "lines.h"

enum { FIELD_NUMBER, FIELD_START, FIELD_RUN_TIME, FIELD_EXITCODE, FIELD_ATTEMPTS, FIELD_LINE, FIELD_COUNT };

#define OPEN_FLAGS (APR_FOPEN_READ | APR_FOPEN_WRITE | APR_FOPEN_CREATE | APR_FOPEN_BINARY)

apr_status_t joblog_open(joblog_t **log, const char *path, apr_pool_t *pool)
{
    return apr_file_open(log, path, OPEN_FLAGS | APR_FOPEN_TRUNCATE, APR_FPROT_OS_DEFAULT, pool);
}

/* Mark the job that a line of the log tells of, if it has succeeded. */
static void take_line(const char *text, job_t *jobs, size_t count)
{
    const char *fields[FIELD_COUNT] = {text};
    for (int i = 1; i < FIELD_COUNT; i++) {
        const char *tab = strchr(fields[i - 1], '\t');
        if (!tab)
            return;
        fields[i] = tab + 1;
    }
    unsigned long long number = strtoull(fields[FIELD_NUMBER], NULL, 10);
    if (number < 1 || number > count || strncmp(fields[FIELD_EXITCODE], "0\t", 2) != 0)
        return;
    /* The input may have changed since. */
    if (strcmp(fields[FIELD_LINE], jobs[number - 1].line) == 0)
        jobs[number - 1].state = JOB_IS_SKIPPED;
}

apr_status_t joblog_resume(joblog_t **log, const char *path, job_t *jobs, size_t count, apr_pool_t *pool)
{
    lines_t lines;
    apr_status_t status = apr_file_open(log, path, OPEN_FLAGS, APR_FPROT_OS_DEFAULT, pool);
    if (status == APR_SUCCESS)
        status = lines_read(&lines, *log, pool);
    if (status != APR_SUCCESS)
        return status;
    for (size_t i = 0; i < lines.whole_count; i++)
        take_line(lines.items[i], jobs, count);
    /* Whoever wrote the last line may have been killed while doing so. This also goes to the end. */
    return apr_file_trunc(*log, lines.whole_size);
}

apr_status_t joblog_write(joblog_t *log, const job_t *job)
{
    if (!log)
        return APR_SUCCESS;
    /* Written at once, so that it is there whatever happens next. */
    const char *text = apr_psprintf(job->pool, "%lu\t%.3f\t%.3f\t%d\t%d\t%s\n", (unsigned long)job->number,
                                    (double)job->start / APR_USEC_PER_SEC, (double)job->run_time / APR_USEC_PER_SEC,
                                    job->exitcode, job->attempts, job->line);
    return apr_file_write_full(log, text, strlen(text), NULL);
}
