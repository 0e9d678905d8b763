/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs that get mproc_initialize() wrong: `late METHOD MISTAKE`. The mistakes: "never" does not call it at all;
 * "arguments" checks its arguments first and ends when it does not know them; "hang" does something else for ever.
 * Prints "main" each time that main runs, and what a start said.
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

int main(int argc, char **argv)
{
    mproc_process_t *process;
    mproc_process_opts_t opts;
    printf("main\n");
    fflush(stdout);
    const int is_known = argc == 3;
    const char *mistake = is_known ? argv[2] : getenv("MISTAKE");
    if (!is_known && strcmp(mistake, "arguments") == 0)
        return 5;
    if (!is_known && strcmp(mistake, "hang") == 0)
        apr_sleep(apr_time_from_sec(600));
    memset(&opts, 0, sizeof opts);
    if (is_known && strcmp(mistake, "never") != 0 && mproc_initialize(argc, argv) != APR_SUCCESS)
        return 2;
    process_startup_timeout = MPROC_SECONDS(1);
    if (mproc_start_method_parse(&opts.start_method, is_known ? argv[1] : "spawn") != APR_SUCCESS)
        return 2;
    apr_status_t status = mproc_process_start(&process, do_nothing, &opts);
    printf("start: %s: %s\n", mproc_status_name(status), mproc_last_error()->text);
    return status == MPROC_EINIT ? 0 : 1;
}
