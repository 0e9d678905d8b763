/* SPDX-License-Identifier: Apache-2.0 */
#include "batch.h"

#include <signal.h>
#include <string.h>

#include <apr_file_io.h>
#include <apr_portable.h>
#include <apr_strings.h>

#include "progress.h"

/* How long to wait for one process before looking at the others: too short to be seen in a picture's time. */
#define LOOK_AFTER MPROC_MILLISECONDS(10)

/* A process at work. */
typedef struct job_t {
    const plan_item_t *item;
    mproc_process_t *process;
    /* Our end of the pipe in which the process reports. */
    apr_file_t *report;
    apr_pool_t *pool;
} job_t;

/* All of them. */
typedef struct batch_t {
    const batch_options_t *options;
    job_t *jobs;
    int running;
    /* How many may run at once. */
    int limit;
    progress_t progress;
    apr_pool_t *pool;
} batch_t;

/* The signal that asked this process to end. */
static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
    interrupted = number;
    /* Who asks again wants it at once. */
    signal(number, SIG_DFL);
}

static void watch_for(int number)
{
    /* A shell starts programs in the background with SIGINT ignored: then it shall stay so. */
    if (signal(number, SIG_IGN) != SIG_IGN)
        signal(number, on_interrupt);
}

static apr_status_t start_process(job_t *job, const char **reason, const batch_options_t *options)
{
    const mproc_arg_t args[] = {
        mproc_arg_string("input", job->item->input),
        mproc_arg_string("output", job->item->output),
        mproc_arg_string("temporary", job->item->temporary),
    };
    apr_file_t *theirs;
    apr_os_file_t native;
    mproc_os_handle_t handle;
    char text[256];
    apr_status_t status = apr_file_pipe_create(&job->report, &theirs, job->pool);
    if (status != APR_SUCCESS) {
        *reason = apr_pstrcat(job->pool, "no pipe to its process: ", apr_strerror(status, text, sizeof text), NULL);
        return status;
    }
    apr_os_file_get(&native, theirs);
    handle = (mproc_os_handle_t)native;
    status = mproc_process_start(&job->process, worker_run,
                                 &(mproc_process_opts_t){.start_method = options->method,
                                                         .data = &options->settings,
                                                         .size = sizeof options->settings,
                                                         .args = args,
                                                         .arg_count = sizeof args / sizeof *args,
                                                         .handles = &handle,
                                                         .handle_count = 1});
    if (status != APR_SUCCESS)
        *reason = mproc_last_error()->text;
    /* The process has its own now. As long as ours is open, its report does not end. */
    apr_file_close(theirs);
    return status;
}

/* Start a process for a picture. Returns 0 if there is no room for it as long as the others run. */
static int start_job(batch_t *batch, const plan_item_t *item)
{
    job_t *job = &batch->jobs[batch->running];
    const char *reason = "not enough memory";
    apr_status_t status;

    job->item = item;
    job->pool = NULL;
    status = apr_pool_create(&job->pool, batch->pool);
    if (status == APR_SUCCESS)
        status = start_process(job, &reason, batch->options);
    if (status == APR_SUCCESS) {
        batch->running++;
        return 1;
    }
    /* There may be too little memory, or too few descriptors. What works with these many will go on working. */
    if (batch->running > 0)
        batch->limit = batch->running;
    else
        progress_failed(&batch->progress, item->input, reason);
    if (job->pool)
        apr_pool_destroy(job->pool);
    return batch->running == 0;
}

/* mproc gives signals Linux's numbers on every system. */
static const char *signal_name(int number)
{
    switch (number) {
    case 2:
        return "interrupted";
    case 4:
        return "illegal instruction";
    case 6:
        return "aborted";
    case 7:
        return "bus error";
    case 8:
        return "arithmetic error";
    case 9:
        return "killed";
    case 11:
        return "bad memory access";
    case 15:
        return "terminated";
    case 25:
        return "file too large";
    default:
        return "see kill -l";
    }
}

/* Tell in words why a picture was not done; NULL if it was. The process has ended, so its report is complete. */
static const char *reason_for(const job_t *job, apr_status_t status, int exitcode)
{
    char report[WORKER_REPORT_MAX + 1];
    apr_size_t length = 0;

    if (status != APR_SUCCESS)
        return mproc_last_error()->text;
    if (exitcode < 0)
        return apr_psprintf(job->pool, "its process was ended by signal %d (%s)", -exitcode, signal_name(-exitcode));
    apr_file_read_full(job->report, report, WORKER_REPORT_MAX, &length);
    report[length] = '\0';
    if (exitcode == 0 && strcmp(report, WORKER_DONE) == 0)
        return NULL;
    if (length > 0)
        return apr_pstrdup(job->pool, report);
    return apr_psprintf(job->pool, "its process ended too early, with exit code %d", exitcode);
}

/* Take note of a process that has ended, or is about to, and forget it. */
static void conclude_job(batch_t *batch, int index)
{
    job_t *job = &batch->jobs[index];
    int exitcode = 0;
    apr_status_t status = mproc_process_finish(job->process, &exitcode);
    const char *reason = reason_for(job, status, exitcode);
    if (!reason) {
        progress_done(&batch->progress, job->item->input, job->item->output);
    } else {
        /* A process that was killed could not do it itself. */
        apr_file_remove(job->item->temporary, job->pool);
        if (!interrupted)
            progress_failed(&batch->progress, job->item->input, reason);
    }
    apr_pool_destroy(job->pool);
    *job = batch->jobs[--batch->running];
}

static int has_ended(const job_t *job, apr_interval_time_t timeout)
{
    /* Whatever else a join says, there is nothing left to wait for. */
    return !APR_STATUS_IS_TIMEUP(mproc_process_join(job->process, timeout));
}

/* Wait a little until one of the processes has ended. */
static void conclude_some(batch_t *batch)
{
    const int before = batch->running;
    for (int i = batch->running - 1; i >= 0; i--) {
        if (has_ended(&batch->jobs[i], 0))
            conclude_job(batch, i);
    }
    if (batch->running == before && has_ended(&batch->jobs[0], LOOK_AFTER))
        conclude_job(batch, 0);
}

static void stop(batch_t *batch)
{
    progress_clear(&batch->progress);
    /* A thread cannot be killed (start method thread): it is waited for. */
    for (int i = 0; i < batch->running; i++)
        mproc_process_kill(batch->jobs[i].process);
    while (batch->running > 0)
        conclude_job(batch, 0);
}

batch_result_t batch_run(const plan_t *plan, const batch_options_t *options, apr_pool_t *pool)
{
    batch_t batch = {.options = options, .limit = options->jobs, .pool = pool};
    batch_result_t result = {0, 0};
    int next = 0;

    batch.jobs = apr_pcalloc(pool, (apr_size_t)options->jobs * sizeof *batch.jobs);
    progress_start(&batch.progress, plan->count, options->quiet);
    watch_for(SIGINT);
    watch_for(SIGTERM);

    while (!interrupted && (next < plan->count || batch.running > 0)) {
        while (!interrupted && next < plan->count && batch.running < batch.limit &&
               start_job(&batch, &plan->items[next]))
            next++;
        if (batch.running > 0)
            conclude_some(&batch);
        progress_draw(&batch.progress);
    }

    if (interrupted)
        stop(&batch);
    else
        progress_finish(&batch.progress);
    result.failed = batch.progress.failed;
    result.interrupted_by = interrupted;
    return result;
}
