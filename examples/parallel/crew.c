/* SPDX-License-Identifier: Apache-2.0 */
#include "crew.h"

#include <signal.h>
#include <stdatomic.h>

#include <apr_strings.h>

#include "output.h"
#include "worker.h"

/* How long to wait for workers before looking whether we were interrupted, and drawing the bar. */
#define LOOK_AFTER MPROC_MILLISECONDS(100)

/* One of the workers, as the main thread sees it. */
typedef struct member_t {
    mproc_process_t *thread;
    /* Our end of the pipe to it. */
    mproc_conn_t *conn;
    int is_busy;
} member_t;

typedef struct crew_t {
    const crew_options_t *options;
    member_t *members;
    /* One for each member. */
    mproc_wait_t *waits;
    int size;
    int busy;
    job_t *jobs;
    size_t count;
    /* The first job that was not looked at yet. */
    size_t next;
    /* Non-zero: no more jobs are handed out. */
    int halted;
    /* Non-zero: the workers stop what they run. */
    atomic_int stop;
    output_t output;
    progress_t progress;
    crew_result_t result;
    apr_pool_t *pool;
} crew_t;

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

static void halt(crew_t *crew, int now)
{
    crew->halted = 1;
    if (now)
        atomic_store(&crew->stop, 1);
}

/* Take note of a failure of this program itself; the first one is the cause of the others. */
static void give_up(crew_t *crew, const char *what, const char *why)
{
    if (!crew->result.reason)
        crew->result.reason = apr_psprintf(crew->pool, "%s: %s", what, why);
    halt(crew, 1);
}

static const char *describe(apr_status_t status, apr_pool_t *pool)
{
    char text[200];
    return apr_pstrdup(pool, apr_strerror(status, text, sizeof text));
}

static void add_member(crew_t *crew)
{
    member_t *member = &crew->members[crew->size];
    const worker_settings_t settings = {.pattern = crew->options->pattern,
                                        .timeout = crew->options->timeout,
                                        .retries = crew->options->retries,
                                        .stop = &crew->stop};
    mproc_conn_t *theirs;
    /* The other end moves to the thread. What is left open is closed with the pool. */
    apr_status_t status = mproc_pipe(&member->conn, &theirs, &(mproc_conn_opts_t){.pool = crew->pool});
    if (status == APR_SUCCESS)
        status = mproc_process_start(
            &member->thread, worker_run,
            &(mproc_process_opts_t){
                .start_method = MPROC_THREAD, .data = &settings, .size = sizeof settings, .give = {theirs}});
    if (status == APR_SUCCESS)
        crew->size++;
    else
        give_up(crew, "cannot start a thread", mproc_last_error()->text);
}

/* The next job to run, or NULL. */
static job_t *next_job(crew_t *crew)
{
    while (!crew->halted && crew->next < crew->count) {
        job_t *job = &crew->jobs[crew->next++];
        if (job->state == JOB_WAITS)
            return job;
    }
    return NULL;
}

static void hand_out(crew_t *crew, member_t *member, job_t *job)
{
    apr_status_t status = apr_pool_create(&job->pool, NULL);
    if (status != APR_SUCCESS) {
        give_up(crew, "cannot go on", describe(status, crew->pool));
        return;
    }
    job->state = JOB_RUNS;
    member->is_busy = 1;
    crew->busy++;
    if (mproc_conn_send(member->conn, &job, sizeof job, MPROC_FOREVER) != APR_SUCCESS)
        give_up(crew, "cannot reach a thread", mproc_last_error()->text);
}

static void employ(crew_t *crew)
{
    for (int i = 0; i < crew->size; i++) {
        job_t *job = crew->members[i].is_busy ? NULL : next_job(crew);
        if (job)
            hand_out(crew, &crew->members[i], job);
    }
}

static void conclude(crew_t *crew, job_t *job)
{
    job->state = JOB_IS_OVER;
    crew->progress.done++;
    if (job->exitcode != 0) {
        crew->progress.failed++;
        if (crew->options->halt != HALT_NEVER)
            halt(crew, crew->options->halt == HALT_NOW);
    }
    progress_clear(&crew->progress);
    apr_status_t status = output_take(&crew->output, job);
    if (status != APR_SUCCESS)
        give_up(crew, "cannot write output or job log", describe(status, crew->pool));
}

static void take_back(crew_t *crew, member_t *member)
{
    job_t *job;
    if (mproc_conn_recv_exactly(member->conn, &job, sizeof job, MPROC_FOREVER) != APR_SUCCESS) {
        give_up(crew, "a thread has gone", mproc_last_error()->text);
        return;
    }
    member->is_busy = 0;
    crew->busy--;
    conclude(crew, job);
}

/* Wait until at least one job is over, for a moment. */
static void watch(crew_t *crew)
{
    apr_status_t status;
    for (int i = 0; i < crew->size; i++)
        crew->waits[i] = mproc_wait_conn(crew->members[i].conn);
    status = mproc_wait(crew->waits, (size_t)crew->size, LOOK_AFTER);
    if (status != APR_SUCCESS && !APR_STATUS_IS_TIMEUP(status))
        give_up(crew, "cannot wait", mproc_last_error()->text);
    for (int i = 0; i < crew->size; i++) {
        if (crew->waits[i].is_ready)
            take_back(crew, &crew->members[i]);
    }
}

/* A worker ends when its connection does, after the job that it runs. */
static void dismiss(crew_t *crew)
{
    for (int i = 0; i < crew->size; i++)
        mproc_conn_close(crew->members[i].conn);
    for (int i = 0; i < crew->size; i++)
        mproc_process_finish(crew->members[i].thread, NULL);
}

static size_t count_waiting(const job_t *jobs, size_t count)
{
    size_t waiting = 0;
    for (size_t i = 0; i < count; i++)
        waiting += jobs[i].state == JOB_WAITS;
    return waiting;
}

crew_result_t crew_run(job_t *jobs, size_t count, const crew_options_t *options, apr_pool_t *pool)
{
    crew_t crew = {.options = options, .jobs = jobs, .count = count, .pool = pool};
    const size_t waiting = count_waiting(jobs, count);
    const int size = waiting < (size_t)options->size ? (int)waiting : options->size;
    apr_status_t status = output_start(&crew.output, options->log, jobs, count, options->unordered, pool);
    if (status != APR_SUCCESS)
        give_up(&crew, "cannot write", describe(status, pool));

    crew.members = apr_pcalloc(pool, ((size_t)size + 1) * sizeof *crew.members);
    crew.waits = apr_pcalloc(pool, ((size_t)size + 1) * sizeof *crew.waits);
    progress_start(&crew.progress, waiting, options->bar);
    watch_for(SIGINT);
    watch_for(SIGTERM);
    while (crew.size < size && !crew.halted)
        add_member(&crew);

    employ(&crew);
    while (crew.busy > 0 && !crew.result.reason) {
        watch(&crew);
        if (interrupted)
            halt(&crew, 1);
        employ(&crew);
        progress_draw(&crew.progress);
    }

    dismiss(&crew);
    progress_finish(&crew.progress);
    crew.result.failed = crew.progress.failed;
    crew.result.interrupted_by = interrupted;
    return crew.result;
}
