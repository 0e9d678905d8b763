/* SPDX-License-Identifier: Apache-2.0 */
#include "worker.h"

#include <apr_strings.h>

#include "command.h"
#include "job.h"

/* How long to wait for a program before looking whether it is to be stopped. */
#define LOOK_AFTER MPROC_MILLISECONDS(100)

/* How long a program may take to end after it was asked to. */
#define GRACE MPROC_SECONDS(2)

/* Wait for a program and collect its output. APR_TIMEUP: it was not over in time, or is to be stopped before. */
static apr_status_t await(mproc_subprocess_t *program, job_t *job, const worker_settings_t *settings)
{
    const int64_t deadline = mproc_deadline(settings->timeout);
    apr_status_t status;
    apr_interval_time_t left;
    do {
        left = mproc_time_left(deadline);
        status =
            mproc_subprocess_communicate(program, &job->completed, left >= 0 && left < LOOK_AFTER ? left : LOOK_AFTER);
    } while (APR_STATUS_IS_TIMEUP(status) && left != 0 && !atomic_load(settings->stop));
    return status;
}

/* Stop a program and all that it has started. What it had written is kept. */
static void stop(mproc_subprocess_t *program, job_t *job, const worker_settings_t *settings)
{
    const int all_stop = atomic_load(settings->stop);
    mproc_subprocess_stop(program, GRACE);
    mproc_subprocess_communicate(program, &job->completed, GRACE);
    /* A program may end with exit code 0 when it is asked to end; it has not done its work all the same. */
    job->exitcode = all_stop ? JOB_STOPPED : JOB_TIMED_OUT;
    job->remark = all_stop ? "stopped" : "stopped, its time was up";
}

static void run_once(job_t *job, const char *const *args, const worker_settings_t *settings)
{
    const mproc_subprocess_opts_t opts = {.standard_input = mproc_stdio_null(),
                                          .standard_output = mproc_stdio_pipe(),
                                          .standard_error = mproc_stdio_pipe(),
                                          .grace = GRACE};
    mproc_subprocess_t *program;
    apr_status_t status;

    mproc_completed_clear(&job->completed);
    job->remark = NULL;
    job->attempts++;
    status = mproc_subprocess_start(&program, args, &opts);
    if (status == APR_SUCCESS)
        status = await(program, job, settings);
    if (status == APR_SUCCESS) {
        job->exitcode = job->completed.exitcode;
    } else if (APR_STATUS_IS_TIMEUP(status)) {
        stop(program, job, settings);
    } else {
        job->exitcode = JOB_NOT_STARTED;
        job->remark = apr_pstrdup(job->pool, mproc_last_error()->text);
        if (program)
            mproc_subprocess_stop(program, 0);
    }
    if (program)
        mproc_subprocess_finish(program, NULL);
}

static void run(job_t *job, const worker_settings_t *settings)
{
    const char *const *args = command_for_line(settings->pattern, job->line, job->pool);
    job->start = apr_time_now();
    do {
        run_once(job, args, settings);
    } while (job->exitcode != 0 && job->attempts <= settings->retries && !atomic_load(settings->stop));
    job->run_time = apr_time_now() - job->start;

    /* A signal's number alone says little. */
    if (job->exitcode < 0 && !job->remark) {
        char text[80];
        job->remark = apr_pstrdup(job->pool, mproc_exitcode_text(job->exitcode, text, sizeof text));
    }
}

int worker_run(mproc_call_t *call)
{
    const worker_settings_t *settings = mproc_call_data(call, sizeof *settings);
    mproc_conn_t *conn = mproc_call_conn(call, 0);
    job_t *job;
    while (mproc_conn_recv_exactly(conn, &job, sizeof job, MPROC_FOREVER) == APR_SUCCESS) {
        run(job, settings);
        if (mproc_conn_send(conn, &job, sizeof job, MPROC_FOREVER) != APR_SUCCESS)
            break;
    }
    return 0;
}
