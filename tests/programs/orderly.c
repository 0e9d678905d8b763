/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The orderly end: `orderly METHOD HOW`. Main ends by "return", "exit" or "terminate" while it has a daemon that will
 * not end by itself, one that does not want to end at all, and a child that is no daemon and needs a while. Ends with
 * exit code 9. With "child" it is a child of this method that has those, by the default method, and calls `exit`.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_time.h>

#include <mproc/mproc.h>

static int sleep_on(mproc_call_t *call)
{
    (void)call;
    apr_sleep(apr_time_from_sec(600));
    return 0;
}

static int refuse_to_end(mproc_call_t *call)
{
    signal(SIGTERM, SIG_IGN);
    return sleep_on(call);
}

static int take_a_while(mproc_call_t *call)
{
    (void)call;
    apr_sleep(300000);
    printf("done\n");
    return 0;
}

static void start(mproc_target_t target, mproc_start_method_t method, int daemon)
{
    mproc_process_t *process;
    mproc_process_opts_t opts;
    memset(&opts, 0, sizeof opts);
    opts.start_method = method;
    opts.daemon = daemon;
    opts.grace = MPROC_MILLISECONDS(200);
    if (mproc_process_start(&process, target, &opts) != APR_SUCCESS) {
        printf("failed: %s\n", mproc_last_error()->text);
        exit(1);
    }
    if (mproc_process_pid(process) != mproc_getpid())
        printf("pid %d\n", mproc_process_pid(process));
}

static void start_all(mproc_start_method_t method)
{
    start(sleep_on, method, 1);
    if (method != MPROC_THREAD)
        start(refuse_to_end, method, 1);
    start(take_a_while, method, 0);
    fflush(stdout);
}

static int exit_with_children(mproc_call_t *call)
{
    (void)call;
    start_all(MPROC_DEFAULT);
    exit(9);
}

static int end_in_child(mproc_start_method_t method)
{
    mproc_process_t *child;
    mproc_process_opts_t opts;
    int exitcode = 3;
    memset(&opts, 0, sizeof opts);
    opts.start_method = method;
    if (mproc_process_start(&child, exit_with_children, &opts) != APR_SUCCESS ||
        mproc_process_finish(child, &exitcode) != APR_SUCCESS)
        printf("failed: %s\n", mproc_last_error()->text);
    return exitcode;
}

int main(int argc, char **argv)
{
    mproc_start_method_t method;
    if (mproc_initialize(argc, argv) != APR_SUCCESS || argc != 3 ||
        mproc_start_method_parse(&method, argv[1]) != APR_SUCCESS)
        return 2;
    if (strcmp(argv[2], "child") == 0)
        return end_in_child(method);
    start_all(method);
    if (strcmp(argv[2], "exit") == 0)
        exit(9);
    if (strcmp(argv[2], "terminate") == 0) {
        mproc_terminate();
        printf("terminated\n");
    }
    return 9;
}
