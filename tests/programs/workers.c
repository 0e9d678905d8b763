/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Maps with a pool of workers, in the foreground of a terminal: workers METHOD COUNT [handle]
 *
 * It says "begun" when some items are done, and "done" when all are, and right. With "handle" it hears Ctrl-C: then it
 * sees that its workers do not, ends the pool, and says so in a line.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_time.h>

#include <mproc/mproc.h>

enum { WORKERS = 3, MOST = 1000000, INTERRUPTED = 3 };

static int results[MOST];
static volatile sig_atomic_t interrupts;

static void note_interrupt(int sig)
{
    (void)sig;
    interrupts++;
}

static int work(mproc_task_t *task, const void *in, void *out, size_t count)
{
    (void)in;
    for (size_t i = 0; i < count; i++) {
        apr_sleep(1000);
        ((int *)out)[i] = 3 * (int)(mproc_task_index(task) + i);
    }
    return 0;
}

/** What is watched while the map goes on. */
typedef struct watch_t {
    mproc_pool_t *pool;
    int pids[WORKERS];
    int has_begun;
    int calls_after;
    int are_shielded;
} watch_t;

/** Tell when it has begun; and when Ctrl-C came some time ago, stop it. */
static int watch(void *context, const mproc_progress_t *progress)
{
    watch_t *own = context;
    mproc_pool_info_t info;
    if (!own->has_begun && progress->done > 0) {
        own->has_begun = 1;
        printf("begun\n");
        fflush(stdout);
    }
    if (!interrupts || progress->is_over || own->calls_after++ < 3)
        return 0;
    own->are_shielded =
        mproc_pool_info(own->pool, &info) == APR_SUCCESS && info.deaths + info.restarts == 0 && info.busy > 0;
    for (unsigned i = 0; i < WORKERS; i++)
        own->are_shielded &= mproc_pool_worker_pid(own->pool, i) == own->pids[i];
    return 1;
}

static int check(size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (results[i] != 3 * (int)i)
            return 1;
    return 0;
}

/** The aftermath of Ctrl-C. */
static int end(const watch_t *own, apr_status_t status)
{
    const apr_status_t terminated = mproc_pool_terminate(own->pool, 0);
    const apr_status_t finished = mproc_pool_finish(own->pool);
    const int is_orderly = status == MPROC_ECANCELLED && terminated == APR_SUCCESS && finished == MPROC_ETERMINATED;
    printf("interrupted: %s, %s\n", own->are_shielded ? "shielded" : "not shielded",
           is_orderly ? "in order" : mproc_last_error()->text);
    mproc_terminate();
    return INTERRUPTED;
}

int main(int argc, char **argv)
{
    watch_t own = {0};
    mproc_pool_opts_t opts = {.workers = WORKERS};
    mproc_pool_info_t info = {0};
    if (mproc_initialize(argc, argv) != APR_SUCCESS || argc < 3)
        return 2;
    const size_t count = (size_t)atoi(argv[2]);
    if (count > MOST || mproc_start_method_parse(&opts.start_method, argv[1]) != APR_SUCCESS)
        return 2;
    if (argc > 3 && signal(SIGINT, note_interrupt) == SIG_ERR)
        return 2;
    if (mproc_pool_create(&own.pool, &opts) != APR_SUCCESS)
        return 1;
    while (mproc_pool_info(own.pool, &info) == APR_SUCCESS && info.ready < WORKERS)
        apr_sleep(1000);
    for (unsigned i = 0; i < WORKERS; i++)
        own.pids[i] = mproc_pool_worker_pid(own.pool, i);
    const mproc_map_opts_t map_opts = {.chunk = 5, .progress = watch, .progress_context = &own};
    const apr_status_t status = mproc_pool_map(own.pool, work, results, sizeof results[0], NULL, 0, count, &map_opts);
    if (interrupts)
        return end(&own, status);
    const int is_right = status == APR_SUCCESS && check(count) == 0;
    if (mproc_pool_finish(own.pool) != APR_SUCCESS || !is_right)
        printf("wrong: %s\n", mproc_last_error()->text);
    else
        printf("done\n");
    mproc_terminate();
    return !is_right;
}
