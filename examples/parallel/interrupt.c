/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parallel-interrupt PROGRAM [ARGUMENT...]: press Ctrl-C, so to speak, when a program has written its first line, and
 * print what it writes and how it ends. For the tests of mproc-parallel.
 */
#include <stdio.h>

#include <mproc/mproc.h>

#define SIGNAL_INTERRUPT 2

/* Much longer than it takes, and shorter than what the program would wait for otherwise. */
#define PATIENCE MPROC_SECONDS(30)

static int fail(const char *what)
{
    fprintf(stderr, "parallel-interrupt: %s: %s\n", what, mproc_last_error()->text);
    return 1;
}

int main(int argc, char **argv)
{
    const mproc_subprocess_opts_t opts = {.standard_output = mproc_stdio_pipe(), .group = MPROC_GROUP_OWN};
    mproc_subprocess_t *program;
    mproc_completed_t rest;
    char *line;
    if (mproc_initialize(argc, argv) != APR_SUCCESS)
        return fail("initialize");
    if (mproc_subprocess_start(&program, (const char *const *)argv + 1, &opts) != APR_SUCCESS)
        return fail("start");
    if (mproc_subprocess_read_line(program, MPROC_OUTPUT, &line, NULL, PATIENCE) != APR_SUCCESS)
        return fail("read a line");
    printf("%s\n", line);
    mproc_free(line);

    if (mproc_subprocess_send_signal(program, SIGNAL_INTERRUPT) != APR_SUCCESS)
        return fail("interrupt");
    if (mproc_subprocess_communicate(program, &rest, PATIENCE) != APR_SUCCESS)
        return fail("wait");
    printf("%sexit code %d\n", rest.output, rest.exitcode);
    mproc_completed_clear(&rest);
    return mproc_subprocess_close(program) != APR_SUCCESS;
}
