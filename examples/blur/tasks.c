/* SPDX-License-Identifier: Apache-2.0 */
#include "tasks.h"

#include <stdatomic.h>
#include <string.h>

#include <apr_file_io.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <apr_time.h>

#include "buffer.h"

/* How long to wait for results before looking whether we were interrupted, and drawing the bar. */
#define LOOK_AFTER MPROC_MILLISECONDS(100)

/* The same when workers wait to be killed. */
#define LOOK_SOON MPROC_MILLISECONDS(5)

/* How long a worker waits to be killed, at most. */
#define PATIENCE MPROC_SECONDS(30)

/* Of so many pictures in a row the worker of the first one is killed. */
#define VICTIM_EACH 4

/*
 * The board: a word for each try of each picture, in memory that all processes have. Who begins it signs it, so the
 * parent can tell whose work is done again, and whom to kill.
 */
typedef atomic_uint_least64_t word_t;

#define WORD_PID ((uint64_t)0xffffffff)
#define WORD_WORKER_SHIFT 32
#define WORD_WORKER ((uint64_t)0xffff << WORD_WORKER_SHIFT)
/* It waits in the middle of its work. */
#define WORD_IS_VICTIM ((uint64_t)1 << 63)

/* What all workers are told. */
typedef struct task_settings_t {
    work_settings_t work;
    int chaos;
    /* How often a picture is begun at most. */
    int tries;
} task_settings_t;

/* ---- In a worker ------------------------------------------------------------------------------------------------- */

/* Write half of the file, and wait to be killed. */
static void wait_for_the_end(mproc_task_t *task, word_t *word, const buffer_t *png, const char *temporary,
                             apr_pool_t *pool)
{
    const int64_t deadline = mproc_deadline(PATIENCE);
    apr_file_t *file;
    if (apr_file_open(&file, temporary, APR_FOPEN_WRITE | APR_FOPEN_CREATE | APR_FOPEN_BINARY, APR_FPROT_OS_DEFAULT,
                      pool) != APR_SUCCESS)
        return;
    apr_file_write_full(file, png->data, png->size / 2, NULL);
    atomic_fetch_or(word, WORD_IS_VICTIM);
    while (mproc_time_left(deadline) > 0 && !mproc_task_is_cancelled(task))
        apr_sleep(MPROC_MILLISECONDS(1));
    /* Nobody came. */
    apr_file_close(file);
    apr_file_remove(temporary, pool);
}

static apr_status_t blur_file(mproc_task_t *task, const char **reason, const char *input, apr_pool_t *pool)
{
    const char *output = input + strlen(input) + 1;
    const char *temporary = output + strlen(output) + 1;
    const task_settings_t *settings = mproc_call_data(mproc_task_call(task), sizeof *settings);
    const unsigned retries = mproc_task_retries(task);
    word_t *board = mproc_shared_data(mproc_call_shared(mproc_task_call(task), 0));
    word_t *word = board + mproc_task_index(task) * (size_t)settings->tries + retries;
    buffer_t png = {NULL, 0};
    void *outcome;
    apr_status_t status;

    atomic_store(word, (uint64_t)mproc_task_worker(task) << WORD_WORKER_SHIFT | (uint32_t)mproc_getpid());
    /* Who was killed may have left half of a file. */
    if (retries > 0)
        apr_file_remove(temporary, pool);
    status = mproc_task_make_result(task, &outcome, sizeof(outcome_t));
    if (status != APR_SUCCESS) {
        *reason = apr_pstrdup(pool, mproc_last_error()->text);
        return status;
    }
    status = work_on_file(&png, outcome, reason, input, &settings->work, pool);
    if (status == APR_SUCCESS && settings->chaos && retries == 0 && mproc_task_index(task) % VICTIM_EACH == 0)
        wait_for_the_end(task, word, &png, temporary, pool);
    if (status == APR_SUCCESS)
        status = buffer_write(png.data, png.size, reason, output, temporary, pool);
    buffer_destroy(&png);
    return status;
}

/* A task: the message is three file names, of which each ends with a zero; the result is an outcome_t. */
static int blur(mproc_task_t *task, const void *in, size_t size)
{
    const char *reason = "not enough memory";
    int failure = 0;
    apr_pool_t *pool;
    (void)size;
    if (apr_pool_create(&pool, NULL) != APR_SUCCESS)
        return mproc_task_fail(task, 1, "%s", reason);
    if (blur_file(task, &reason, in, pool) != APR_SUCCESS)
        failure = mproc_task_fail(task, 1, "%s", reason);
    apr_pool_destroy(pool);
    return failure;
}

/* ---- In the parent ----------------------------------------------------------------------------------------------- */

typedef struct tasks_t {
    batch_t *batch;
    task_settings_t settings;
    mproc_pool_t *workers;
    word_t *board;
    /* How many tries of each picture were seen on the board, and whether it is over. */
    int *begun;
    char *is_over;
    int next;
    /* The last message, of a pool of its own. */
    apr_pool_t *message_pool;
} tasks_t;

/* Fetch the next message, when there is room for it. */
static apr_status_t next_picture(void *context, const void **in, size_t *size)
{
    tasks_t *tasks = context;
    const plan_t *plan = tasks->batch->plan;
    if (tasks->next == plan->count)
        return APR_EOF;
    const plan_item_t *item = &plan->items[tasks->next++];
    apr_pool_clear(tasks->message_pool);
    *in = apr_psprintf(tasks->message_pool, "%s%c%s%c%s", item->input, 0, item->output, 0, item->temporary);
    *size = strlen(item->input) + strlen(item->output) + strlen(item->temporary) + 3;
    return APR_SUCCESS;
}

static void kill_worker(int pid)
{
    mproc_process_t *children[BATCH_JOBS_MAX];
    size_t count = 0;
    mproc_active_children(children, BATCH_JOBS_MAX, &count);
    for (size_t i = 0; i < count && i < BATCH_JOBS_MAX; i++) {
        if (mproc_process_pid(children[i]) == pid)
            mproc_process_kill(children[i]);
    }
}

static void look_at_picture(tasks_t *tasks, int index)
{
    word_t *words = tasks->board + (size_t)index * (size_t)tasks->settings.tries;
    int *begun = &tasks->begun[index];
    while (*begun < tasks->settings.tries && atomic_load(&words[*begun]) != 0) {
        const uint64_t before = *begun > 0 ? atomic_load(&words[*begun - 1]) : 0;
        if (before != 0)
            report_note(&tasks->batch->report, "worker %d (pid %d) was killed; %s is done again",
                        (int)((before & WORD_WORKER) >> WORD_WORKER_SHIFT), (int)(before & WORD_PID),
                        apr_filepath_name_get(tasks->batch->plan->items[index].input));
        ++*begun;
    }
    const uint64_t word = atomic_load(&words[0]);
    if (*begun == 1 && (word & WORD_IS_VICTIM))
        kill_worker((int)(word & WORD_PID));
}

static void look_at_board(tasks_t *tasks)
{
    for (int i = 0; i < tasks->next; i++) {
        if (!tasks->is_over[i])
            look_at_picture(tasks, i);
    }
}

static void conclude(tasks_t *tasks, const outcome_t *outcome, const mproc_task_error_t *error)
{
    batch_t *batch = tasks->batch;
    const int index = (int)error->index;
    tasks->is_over[index] = 1;
    if (outcome) {
        batch_done(batch, index, outcome);
        return;
    }
    /* A worker that was killed could not do it itself. */
    apr_file_remove(batch->plan->items[index].temporary, batch->pool);
    batch_failed(batch, index, error->text);
}

static void fail_rest(tasks_t *tasks, const char *reason)
{
    mproc_task_error_t error = {.index = 0};
    apr_cpystrn(error.text, reason, sizeof error.text);
    for (int i = 0; i < tasks->batch->plan->count; i++) {
        error.index = (uint64_t)i;
        if (!tasks->is_over[i])
            conclude(tasks, NULL, &error);
    }
}

static void take_results(tasks_t *tasks, mproc_stream_t *stream)
{
    const apr_interval_time_t patience = tasks->settings.chaos ? LOOK_SOON : LOOK_AFTER;
    while (!batch_is_interrupted()) {
        const void *result;
        mproc_task_error_t error;
        apr_status_t status = mproc_stream_next(stream, &result, NULL, &error, patience);
        if (status != APR_SUCCESS && status != APR_TIMEUP) {
            /* The end means that there is no rest. */
            fail_rest(tasks, mproc_last_error()->text);
            return;
        }
        look_at_board(tasks);
        if (status == APR_SUCCESS)
            conclude(tasks, result, &error);
        report_draw(&tasks->batch->report);
    }
    /* Whoever works is killed. A thread cannot be (start method thread): that takes as long as its picture. */
    mproc_pool_terminate(tasks->workers, 0);
    fail_rest(tasks, "interrupted");
}

/* The board and the pool: all that is to be closed afterwards. */
static apr_status_t start(tasks_t *tasks, mproc_shared_t **board)
{
    const batch_options_t *options = tasks->batch->options;
    const int count = tasks->batch->plan->count;
    const int jobs = options->jobs < count ? options->jobs : count;
    apr_status_t status =
        mproc_shared_create(board, (size_t)count * (size_t)tasks->settings.tries * sizeof *tasks->board, NULL);
    if (status != APR_SUCCESS)
        return status;
    tasks->board = mproc_shared_data(*board);
    return mproc_pool_create(&tasks->workers, &(mproc_pool_opts_t){.workers = (unsigned)jobs,
                                                                   .start_method = options->method,
                                                                   .data = &tasks->settings,
                                                                   .size = sizeof tasks->settings,
                                                                   .share = {*board},
                                                                   .name = "blur"});
}

void tasks_run(batch_t *batch)
{
    const batch_options_t *options = batch->options;
    const apr_size_t count = (apr_size_t)batch->plan->count;
    const mproc_stream_opts_t opts = {
        .unordered = 1, .timeout = options->timeout, .retries = (unsigned)options->retries};
    tasks_t tasks = {.batch = batch,
                     .settings = {options->settings, options->chaos, options->retries + 1},
                     .begun = apr_pcalloc(batch->pool, count * sizeof *tasks.begun),
                     .is_over = apr_pcalloc(batch->pool, count)};
    mproc_shared_t *board = NULL;
    mproc_stream_t *stream;
    apr_status_t status = apr_pool_create(&tasks.message_pool, batch->pool);
    if (status == APR_SUCCESS)
        status = start(&tasks, &board);
    if (status == APR_SUCCESS)
        status = mproc_pool_stream(tasks.workers, &stream, blur, next_picture, &tasks, &opts);
    if (status == APR_SUCCESS) {
        take_results(&tasks, stream);
        mproc_stream_close(stream);
    } else {
        fail_rest(&tasks, mproc_last_error()->text);
    }
    mproc_pool_finish(tasks.workers);
    mproc_shared_close(board);
}
