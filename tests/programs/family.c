/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A family of processes that runs until it is ended from outside: `family METHOD [thread]`. It has children that sleep,
 * one that is busy, and one with a child of its own; with `thread` they are started by another thread. Prints "child N"
 * and "grandchild N" with their process ids.
 */
#include <stdio.h>
#include <string.h>

#include <apr_thread_proc.h>

#include <mproc/mproc.h>

static mproc_start_method_t method;

static int sleep_on(mproc_call_t *call)
{
    (void)call;
    apr_sleep(apr_time_from_sec(600));
    return 0;
}

static int be_busy(mproc_call_t *call)
{
    volatile unsigned long rounds = 0;
    while (call)
        rounds++;
    return 0;
}

/** Start one and print its number; 0 or 1. */
static int start(const char *word, mproc_target_t target, mproc_start_method_t how, int daemon)
{
    mproc_process_t *process;
    mproc_process_opts_t opts;
    memset(&opts, 0, sizeof opts);
    opts.start_method = how;
    opts.daemon = daemon;
    opts.data = &how;
    opts.size = sizeof how;
    if (mproc_process_start(&process, target, &opts) != APR_SUCCESS) {
        printf("failed: %s\n", mproc_last_error()->text);
        return 1;
    }
    printf("%s %d\n", word, mproc_process_pid(process));
    fflush(stdout);
    return 0;
}

static int have_a_child(mproc_call_t *call)
{
    const mproc_start_method_t *how = mproc_call_data(call, sizeof *how);
    if (!how || start("grandchild", sleep_on, *how, 0) != 0)
        return 1;
    return sleep_on(call);
}

static void *APR_THREAD_FUNC start_all(apr_thread_t *self, void *data)
{
    int *failed = data;
    (void)self;
    *failed = start("child", sleep_on, method, 1) || start("child", sleep_on, method, 0) ||
              start("child", be_busy, method, 1) || start("child", have_a_child, method, 0);
    return NULL; /* children that this thread started must outlive it */
}

int main(int argc, char **argv)
{
    apr_pool_t *pool;
    apr_thread_t *thread;
    static int failed;
    if (mproc_initialize(argc, argv) != APR_SUCCESS || argc < 2 ||
        mproc_start_method_parse(&method, argv[1]) != APR_SUCCESS) {
        fprintf(stderr, "family: %s\n", mproc_last_error()->text);
        return 2;
    }
    apr_pool_create(&pool, NULL);
    if (argc > 2)
        apr_thread_create(&thread, NULL, start_all, &failed, pool);
    else
        start_all(NULL, &failed);
    apr_sleep(apr_time_from_sec(600));
    return failed;
}
