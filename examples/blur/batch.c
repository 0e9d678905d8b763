/* SPDX-License-Identifier: Apache-2.0 */
#include "batch.h"

#include <signal.h>
#include <string.h>

#include <apr_file_io.h>
#include <apr_strings.h>

#include "buffer.h"
#include "progress.h"

/* How long to wait for answers before looking whether we were interrupted, and drawing the bar. */
#define LOOK_AFTER MPROC_MILLISECONDS(100)

/* A process takes its picture as soon as it is there. One that has not done so after this long never will. */
#define SEND_TIMEOUT MPROC_SECONDS(60)

/* A process at work. */
typedef struct job_t {
    const plan_item_t *item;
    mproc_process_t *process;
    /* Our end of the pipe to it. */
    mproc_conn_t *conn;
    /* For WORKER_VIA_SHM: where it gets its file from, and where it puts what is to be written. */
    mproc_queue_t *files;
    mproc_queue_t *results;
    /* What it has answered, or NULL. */
    char *answer;
    size_t answer_size;
    /* Why it cannot have done its work, as far as we know, or NULL. */
    const char *failure;
    apr_pool_t *pool;
} job_t;

/* All of them. */
typedef struct batch_t {
    const batch_options_t *options;
    job_t *jobs;
    /* One for each job. */
    mproc_wait_t *waits;
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

/* Each process has queues of its own: what lies in one is for it, and goes with it. */
static apr_status_t make_queues(job_t *job)
{
    const mproc_queue_opts_t opts = {.maxsize = 1, .pool = job->pool};
    apr_status_t status = mproc_queue_create(&job->files, &opts);
    return status == APR_SUCCESS ? mproc_queue_create(&job->results, &opts) : status;
}

static apr_status_t start_process(job_t *job, const char **reason, const batch_options_t *options)
{
    const mproc_arg_t args[] = {
        mproc_arg_string("input", job->item->input),
        mproc_arg_string("output", job->item->output),
        mproc_arg_string("temporary", job->item->temporary),
    };
    mproc_conn_t *theirs;
    /* One end moves to the process. What is ours when the pool is destroyed is closed by that. */
    apr_status_t status = mproc_pipe(&job->conn, &theirs, &(mproc_conn_opts_t){.pool = job->pool});
    if (status == APR_SUCCESS && options->settings.way == WORKER_VIA_SHM)
        status = make_queues(job);
    if (status == APR_SUCCESS)
        status = mproc_process_start(&job->process, worker_run,
                                     &(mproc_process_opts_t){.start_method = options->method,
                                                             .data = &options->settings,
                                                             .size = sizeof options->settings,
                                                             .args = args,
                                                             .arg_count = sizeof args / sizeof *args,
                                                             .give = {theirs},
                                                             .share = {job->files, job->results}});
    if (status != APR_SUCCESS)
        *reason = apr_pstrdup(job->pool, mproc_last_error()->text);
    return status;
}

/* Send a process its picture. One that does not get it sees the end of the pipe, and ends. */
static void send_picture(job_t *job)
{
    buffer_t file;
    apr_status_t status = buffer_read(&file, &job->failure, job->item->input, job->pool);
    if (status == APR_SUCCESS) {
        status = mproc_conn_send(job->conn, file.data, file.size, SEND_TIMEOUT);
        /* If it has ended before, its exit code tells more. */
        if (status != APR_SUCCESS && status != APR_EPIPE)
            job->failure = apr_pstrdup(job->pool, mproc_last_error()->text);
        buffer_destroy(&file);
    }
    if (status != APR_SUCCESS)
        mproc_conn_close(job->conn);
}

/* Read a picture to where its process finds it: it is not copied any more. One that gets none sees the queue's end. */
static void put_picture(job_t *job)
{
    apr_file_t *file;
    size_t size;
    void *block = NULL;
    apr_status_t status = buffer_open(&file, &size, &job->failure, job->item->input, job->pool);
    if (status == APR_SUCCESS) {
        status = mproc_queue_reserve(job->files, &block, size);
        if (status != APR_SUCCESS)
            job->failure = apr_pstrdup(job->pool, mproc_last_error()->text);
    }
    if (status == APR_SUCCESS)
        status = buffer_fill(block, &size, &job->failure, file, job->pool);
    if (status == APR_SUCCESS) {
        status = mproc_queue_put_block(job->files, block, size, 0);
        if (status != APR_SUCCESS)
            job->failure = apr_pstrdup(job->pool, mproc_last_error()->text);
    }
    if (status != APR_SUCCESS) {
        mproc_queue_free_block(job->files, block);
        mproc_queue_finish(job->files);
    }
}

/* Start a process for a picture. Returns 0 if there is no room for it as long as the others run. */
static int start_job(batch_t *batch, const plan_item_t *item)
{
    job_t *job = &batch->jobs[batch->running];
    const char *reason = "not enough memory";
    apr_status_t status;

    memset(job, 0, sizeof *job);
    job->item = item;
    status = apr_pool_create(&job->pool, batch->pool);
    if (status == APR_SUCCESS)
        status = start_process(job, &reason, batch->options);
    if (status == APR_SUCCESS) {
        batch->running++;
        if (batch->options->settings.way == WORKER_VIA_PIPE)
            send_picture(job);
        else if (batch->options->settings.way == WORKER_VIA_SHM)
            put_picture(job);
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

/* Tell in words why a process has not done its work; NULL if it has. */
static const char *reason_for(const job_t *job, apr_status_t status, int exitcode)
{
    if (status != APR_SUCCESS)
        return apr_pstrdup(job->pool, mproc_last_error()->text);
    if (exitcode < 0)
        return apr_psprintf(job->pool, "its process was ended by signal %d (%s)", -exitcode, signal_name(-exitcode));
    if (job->failure)
        return job->failure;
    if (job->answer && strcmp(job->answer, WORKER_DONE) != 0)
        return job->answer;
    if (!job->answer || exitcode != 0)
        return apr_psprintf(job->pool, "its process ended too early, with exit code %d", exitcode);
    return NULL;
}

/* Write the picture that came with an answer. Returns NULL, or why that cannot be done. */
static const char *save_answer(const job_t *job)
{
    const size_t start = sizeof WORKER_DONE;
    const char *reason = NULL;
    if (job->answer_size <= start)
        return "its process has sent no picture";
    buffer_write(job->answer + start, job->answer_size - start, &reason, job->item->output, job->item->temporary,
                 job->pool);
    return reason;
}

/* Write the picture that was put before the answer. Returns NULL, or why that cannot be done. */
static const char *save_block(const job_t *job)
{
    void *block;
    size_t size;
    const char *reason = NULL;
    if (mproc_queue_get_block(job->results, &block, &size, 0) != APR_SUCCESS)
        return apr_pstrdup(job->pool, mproc_last_error()->text);
    buffer_write(block, size, &reason, job->item->output, job->item->temporary, job->pool);
    mproc_queue_free_block(job->results, block);
    return reason;
}

/* Write the picture, where its process has not done so. Returns NULL, or why that cannot be done. */
static const char *save_picture(const job_t *job, worker_way_t way)
{
    switch (way) {
    case WORKER_VIA_PIPE:
        return save_answer(job);
    case WORKER_VIA_SHM:
        return save_block(job);
    default:
        return NULL;
    }
}

/* Take note of a process that has answered, or never will, and forget it. */
static void conclude_job(batch_t *batch, int index)
{
    job_t *job = &batch->jobs[index];
    const char *reason;
    int exitcode = 0;
    apr_status_t status;
    /* Whoever is still about to send something need not wait for us. It may be closed already. */
    mproc_conn_close(job->conn);
    status = mproc_process_finish(job->process, &exitcode);
    reason = reason_for(job, status, exitcode);
    if (!reason)
        reason = save_picture(job, batch->options->settings.way);
    if (!reason) {
        progress_done(&batch->progress, job->item->input, job->item->output);
    } else {
        /* A process that was killed could not do it itself. */
        apr_file_remove(job->item->temporary, job->pool);
        if (!interrupted)
            progress_failed(&batch->progress, job->item->input, reason);
    }
    mproc_free(job->answer);
    apr_pool_destroy(job->pool);
    *job = batch->jobs[--batch->running];
}

/* Take a process's answer, if it is there or can never come. */
static int has_answered(job_t *job)
{
    void *answer;
    apr_status_t status = mproc_conn_recv(job->conn, &answer, &job->answer_size, 0);
    /* What has come of a large one is kept for the next time. */
    if (status == APR_TIMEUP)
        return 0;
    job->answer = answer;
    /* Without an answer its exit code tells more. */
    if (status != APR_SUCCESS && status != APR_EOF && !job->failure)
        job->failure = apr_pstrdup(job->pool, mproc_last_error()->text);
    return 1;
}

/* Wait a little until one of the processes has answered. */
static void conclude_some(batch_t *batch)
{
    apr_status_t status;
    for (int i = 0; i < batch->running; i++)
        batch->waits[i] = mproc_wait_conn(batch->jobs[i].conn);
    status = mproc_wait(batch->waits, (size_t)batch->running, LOOK_AFTER);
    if (APR_STATUS_IS_TIMEUP(status))
        return;
    for (int i = batch->running - 1; i >= 0; i--) {
        /* One that cannot be waited for is closed already. Which one that is, receiving from it tells. */
        if ((status != APR_SUCCESS || batch->waits[i].is_ready) && has_answered(&batch->jobs[i]))
            conclude_job(batch, i);
    }
}

static void stop(batch_t *batch)
{
    progress_clear(&batch->progress);
    /* A thread cannot be killed (start method thread): it is waited for, which takes as long as its picture. */
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
    batch.waits = apr_pcalloc(pool, (apr_size_t)options->jobs * sizeof *batch.waits);
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
