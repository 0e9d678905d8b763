/* SPDX-License-Identifier: Apache-2.0 */
#include <apr_file_io.h>
#include <apr_general.h>
#include <apr_pools.h>
#include <apr_thread_proc.h>

#include "program_players.h"

static int open_apr(char **argv)
{
    (void)argv;
    return apr_initialize() == APR_SUCCESS ? 0 : -1;
}

static int create(apr_proc_t *process, char *const *argv, int is_piped, apr_pool_t *pool)
{
    apr_procattr_t *attributes;
    const apr_int32_t outputs = is_piped ? APR_FULL_BLOCK : APR_NO_PIPE;
    return apr_procattr_create(&attributes, pool) == APR_SUCCESS &&
                   apr_procattr_cmdtype_set(attributes, APR_PROGRAM_ENV) == APR_SUCCESS &&
                   apr_procattr_io_set(attributes, APR_NO_PIPE, outputs, outputs) == APR_SUCCESS &&
                   apr_proc_create(process, argv[0], (const char *const *)argv, NULL, attributes, pool) == APR_SUCCESS
               ? 0
               : -1;
}

/** Wait for the end: its exit code, or -1. */
static int wait_for(apr_proc_t *process)
{
    int code = 0;
    apr_exit_why_e why;
    return apr_proc_wait(process, &code, &why, APR_WAIT) == APR_CHILD_DONE && APR_PROC_CHECK_EXIT(why) ? code : -1;
}

/** Read to the end; what comes is known to have room. */
static size_t read_all(apr_file_t *file, char *buffer, size_t room)
{
    apr_size_t size = 0;
    apr_file_read_full(file, buffer, room, &size);
    return size;
}

static int run_start(apr_pool_t *pool)
{
    apr_proc_t process;
    return create(&process, program_exit, 0, pool) == 0 && wait_for(&process) == CHILD_EXIT_CODE ? 0 : -1;
}

static int run_capture(apr_pool_t *pool)
{
    static char output[1 << 16], error_output[1 << 16];
    apr_proc_t process;
    if (create(&process, program_say, 1, pool) != 0)
        return -1;
    /* One after the other: it has no loop for both, and the second one's fit into a pipe. */
    const size_t size = read_all(process.out, output, sizeof output);
    const size_t error_size = read_all(process.err, error_output, sizeof error_output);
    return program_check_said(wait_for(&process), output, size, error_size);
}

static int with_pool(int (*run)(apr_pool_t *pool))
{
    apr_pool_t *pool;
    if (apr_pool_create(&pool, NULL) != APR_SUCCESS)
        return -1;
    const int result = run(pool);
    apr_pool_destroy(pool);
    return result;
}

static int start(void)
{
    return with_pool(run_start);
}

static int capture(void)
{
    return with_pool(run_capture);
}

const program_player_t program_apr = {"apr", open_apr, start, capture, NULL};
