/* SPDX-License-Identifier: Apache-2.0 */
#include "processes.h"

#include <string.h>

#include <apr_file_io.h>
#include <apr_strings.h>

#include "buffer.h"
#include "worker.h"

/* How long to wait for answers before looking whether we were interrupted, and drawing the bar. */
#define LOOK_AFTER MPROC_MILLISECONDS(100)

/* A process takes its picture as soon as it is there. One that has not done so after this long never will. */
#define SEND_TIMEOUT MPROC_SECONDS(60)

/* A process at work. */
typedef struct job_t {
    const plan_item_t *item;
    /* Its number in the plan. */
    int index;
    mproc_process_t *process;
    /* Our end of the pipe to it. */
    mproc_conn_t *conn;
    /* If it has some: where it gets its file from, and where it puts what is to be written. */
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
typedef struct crew_t {
    batch_t *batch;
    worker_settings_t settings;
    job_t *jobs;
    /* One for each job. */
    mproc_wait_t *waits;
    int running;
    /* How many may run at once. */
    int limit;
} crew_t;

/* Each process has queues of its own: what lies in one is for it, and goes with it. */
static apr_status_t make_queues(job_t *job)
{
    const mproc_queue_opts_t opts = {.maxsize = 1, .pool = job->pool};
    apr_status_t status = mproc_queue_create(&job->files, &opts);
    return status == APR_SUCCESS ? mproc_queue_create(&job->results, &opts) : status;
}

static apr_status_t start_process(job_t *job, const char **reason, const crew_t *crew)
{
    mproc_conn_t *theirs;
    /* One end moves to the process. What is ours when the pool is destroyed is closed by that. */
    apr_status_t status = mproc_pipe(&job->conn, &theirs, &(mproc_conn_opts_t){.pool = job->pool});
    if (status == APR_SUCCESS && crew->settings.is_in_queues)
        status = make_queues(job);
    if (status == APR_SUCCESS)
        status = mproc_process_start(&job->process, worker_run,
                                     &(mproc_process_opts_t){.start_method = crew->batch->options->method,
                                                             .data = &crew->settings,
                                                             .size = sizeof crew->settings,
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
static int start_job(crew_t *crew, int index)
{
    job_t *job = &crew->jobs[crew->running];
    const char *reason = "not enough memory";
    apr_status_t status;

    memset(job, 0, sizeof *job);
    job->item = &crew->batch->plan->items[index];
    job->index = index;
    status = apr_pool_create(&job->pool, crew->batch->pool);
    if (status == APR_SUCCESS)
        status = start_process(job, &reason, crew);
    if (status == APR_SUCCESS) {
        crew->running++;
        if (crew->settings.is_in_queues)
            put_picture(job);
        else
            send_picture(job);
        return 1;
    }
    /* There may be too little memory, or too few descriptors. What works with these many will go on working. */
    if (crew->running > 0)
        crew->limit = crew->running;
    else
        batch_failed(crew->batch, index, reason);
    if (job->pool)
        apr_pool_destroy(job->pool);
    return crew->running == 0;
}

/* Tell in words why a process has not done its work; NULL if it has. */
static const char *reason_for(const job_t *job, apr_status_t status, int exitcode)
{
    char how[128];
    if (status != APR_SUCCESS)
        return apr_pstrdup(job->pool, mproc_last_error()->text);
    mproc_exitcode_text(exitcode, how, sizeof how);
    if (exitcode < 0)
        return apr_psprintf(job->pool, "its process was ended: %s", how);
    if (job->failure)
        return job->failure;
    if (job->answer && strcmp(job->answer, WORKER_DONE) != 0)
        return job->answer;
    if (!job->answer || exitcode != 0)
        return apr_psprintf(job->pool, "its process ended too early: %s", how);
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

/* Take note of a process that has answered, or never will, and forget it. */
static void conclude_job(crew_t *crew, int number)
{
    job_t *job = &crew->jobs[number];
    const char *reason;
    int exitcode = 0;
    apr_status_t status;
    /* Whoever is still about to send something need not wait for us. It may be closed already. */
    mproc_conn_close(job->conn);
    status = mproc_process_finish(job->process, &exitcode);
    reason = reason_for(job, status, exitcode);
    if (!reason)
        reason = crew->settings.is_in_queues ? save_block(job) : save_answer(job);
    if (!reason)
        batch_done(crew->batch, job->index, NULL);
    else
        batch_failed(crew->batch, job->index, reason);
    mproc_free(job->answer);
    apr_pool_destroy(job->pool);
    *job = crew->jobs[--crew->running];
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
static void conclude_some(crew_t *crew)
{
    apr_status_t status;
    for (int i = 0; i < crew->running; i++)
        crew->waits[i] = mproc_wait_conn(crew->jobs[i].conn);
    status = mproc_wait(crew->waits, (size_t)crew->running, LOOK_AFTER);
    if (APR_STATUS_IS_TIMEUP(status))
        return;
    for (int i = crew->running - 1; i >= 0; i--) {
        /* One that cannot be waited for is closed already. Which one that is, receiving from it tells. */
        if ((status != APR_SUCCESS || crew->waits[i].is_ready) && has_answered(&crew->jobs[i]))
            conclude_job(crew, i);
    }
}

static void stop(crew_t *crew)
{
    /* A thread cannot be killed (start method thread): it is waited for, which takes as long as its picture. */
    for (int i = 0; i < crew->running; i++)
        mproc_process_kill(crew->jobs[i].process);
    while (crew->running > 0)
        conclude_job(crew, 0);
}

void processes_run(batch_t *batch)
{
    const batch_options_t *options = batch->options;
    const int count = batch->plan->count;
    const apr_size_t jobs = (apr_size_t)options->jobs;
    crew_t crew = {.batch = batch,
                   .settings = {options->settings, options->way == BATCH_VIA_SHM},
                   .jobs = apr_pcalloc(batch->pool, jobs * sizeof *crew.jobs),
                   .waits = apr_pcalloc(batch->pool, jobs * sizeof *crew.waits),
                   .limit = options->jobs};
    int next = 0;
    while (!batch_is_interrupted() && (next < count || crew.running > 0)) {
        while (!batch_is_interrupted() && next < count && crew.running < crew.limit && start_job(&crew, next))
            next++;
        if (crew.running > 0)
            conclude_some(&crew);
        report_draw(&batch->report);
    }
    stop(&crew);
}
