/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Start one child under conditions that the caller has made: `probe METHOD [delete|replace FILE]`. The program can
 * delete its own file first, or put another one in its place. Prints "exit code N", or why there is none.
 */
#include <stdio.h>
#include <string.h>

#include <apr_file_io.h>

#include <mproc/mproc.h>

static int return_six(mproc_call_t *call)
{
    return call ? 6 : 0;
}

static int tamper(const char *what, const char *file, const char *own)
{
    apr_pool_t *pool;
    if (apr_pool_create(&pool, NULL) != APR_SUCCESS)
        return 1;
    if (strcmp(what, "delete") == 0)
        return apr_file_remove(own, pool) != APR_SUCCESS;
    return apr_file_rename(file, own, pool) != APR_SUCCESS;
}

int main(int argc, char **argv)
{
    mproc_process_t *process;
    mproc_process_opts_t opts;
    int exitcode = -1;
    memset(&opts, 0, sizeof opts);
    if (mproc_initialize(argc, argv) != APR_SUCCESS || argc < 2 ||
        mproc_start_method_parse(&opts.start_method, argv[1]) != APR_SUCCESS)
        return 2;
    if (argc > 2 && tamper(argv[2], argc > 3 ? argv[3] : NULL, argv[0]) != 0)
        return 3;
    if (mproc_process_start(&process, return_six, &opts) != APR_SUCCESS ||
        mproc_process_finish(process, &exitcode) != APR_SUCCESS) {
        printf("%d: %s\n", mproc_last_error()->status, mproc_last_error()->text);
        return 1;
    }
    printf("exit code %d\n", exitcode);
    return 0;
}
