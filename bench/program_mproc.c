/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include <mproc/mproc.h>

#include "program_players.h"

static int fail(const char *what)
{
    fprintf(stderr, "mproc, %s: %s\n", what, mproc_last_error()->text);
    return -1;
}

static int open_mproc(char **argv)
{
    return mproc_initialize(1, argv) == APR_SUCCESS ? 0 : fail("initialize");
}

static int start(void)
{
    mproc_subprocess_t *subprocess;
    int code;
    if (mproc_subprocess_start(&subprocess, (const char *const *)program_exit, NULL) != APR_SUCCESS ||
        mproc_subprocess_wait(subprocess, MPROC_FOREVER) != APR_SUCCESS ||
        mproc_subprocess_exitcode(subprocess, &code) != APR_SUCCESS ||
        mproc_subprocess_close(subprocess) != APR_SUCCESS)
        return fail("start");
    return code == CHILD_EXIT_CODE ? 0 : -1;
}

static int capture(void)
{
    mproc_completed_t done;
    mproc_subprocess_opts_t opts = {0};
    opts.standard_output = opts.standard_error = mproc_stdio_pipe();
    if (mproc_subprocess_run(&done, (const char *const *)program_say, &opts, MPROC_FOREVER) != APR_SUCCESS)
        return fail("run");
    const int result = program_check_said(done.exitcode, done.output, done.output_size, done.error_output_size);
    mproc_completed_clear(&done);
    return result;
}

static int communicate(const void *data, size_t size)
{
    mproc_completed_t done;
    mproc_subprocess_opts_t opts = {0};
    opts.standard_output = mproc_stdio_pipe();
    opts.input = data;
    opts.input_size = size;
    if (mproc_subprocess_run(&done, (const char *const *)program_echo, &opts, MPROC_FOREVER) != APR_SUCCESS)
        return fail("run");
    const int result = program_check_echoed(done.exitcode, done.output, done.output_size, data, size);
    mproc_completed_clear(&done);
    return result;
}

const program_player_t program_mproc = {"mproc", open_mproc, start, capture, communicate};
