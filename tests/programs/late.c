/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs that get mproc_initialize() wrong: `late METHOD MISTAKE [pool]`. The mistakes: "never" does not call it at
 * all; "arguments" checks its arguments first and ends when it does not know them; "hang" does something else for ever.
 * Prints "main" each time that main runs, and what the start of a process, or of a pool of them, said.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_general.h>
#include <apr_time.h>

#include <mproc/mproc.h>

#include "process_object.h"

static int do_nothing(mproc_call_t *call)
{
    return call ? 0 : 1;
}

static apr_status_t start(mproc_start_method_t method, int is_pool)
{
    mproc_process_t *process;
    mproc_pool_t *pool;
    mproc_process_opts_t opts;
    mproc_pool_opts_t pool_opts;
    memset(&opts, 0, sizeof opts);
    memset(&pool_opts, 0, sizeof pool_opts);
    opts.start_method = pool_opts.start_method = method;
    pool_opts.workers = 3;
    return is_pool ? mproc_pool_create(&pool, &pool_opts) : mproc_process_start(&process, do_nothing, &opts);
}

int main(int argc, char **argv)
{
    mproc_start_method_t method;
    printf("main\n");
    fflush(stdout);
    const int is_known = argc >= 3;
    const char *mistake = is_known ? argv[2] : getenv("MISTAKE");
    if (!is_known && strcmp(mistake, "arguments") == 0)
        return 5;
    if (!is_known && strcmp(mistake, "hang") == 0)
        apr_sleep(apr_time_from_sec(600));
    if (is_known && strcmp(mistake, "never") != 0 && mproc_initialize(argc, argv) != APR_SUCCESS)
        return 2;
    process_startup_timeout = MPROC_SECONDS(1);
    if (mproc_start_method_parse(&method, is_known ? argv[1] : "spawn") != APR_SUCCESS)
        return 2;
    const apr_status_t status = start(method, argc > 3);
    printf("start: %s: %s\n", mproc_status_name(status), mproc_last_error()->text);
    return status == MPROC_EINIT ? 0 : 1;
}
