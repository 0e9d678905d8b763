/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blur-interrupt PROGRAM [ARGUMENT...]: press Ctrl-C, so to speak, when a program has written its first line: all of
 * its group are told, as by a terminal. Print what it writes, and how it ends. For the tests of mproc-blur, on Unix.
 */
#include <signal.h>
#include <stdio.h>

#include <mproc/mproc.h>

/* Much longer than it takes. */
#define PATIENCE MPROC_SECONDS(60)

static int fail(const char *what)
{
    fprintf(stderr, "blur-interrupt: %s: %s\n", what, mproc_last_error()->text);
    return 1;
}

int main(int argc, char **argv)
{
    const mproc_subprocess_opts_t opts = {.standard_error = mproc_stdio_pipe(), .group = MPROC_GROUP_OWN};
    mproc_subprocess_t *program;
    mproc_completed_t rest;
    char *line;
    if (mproc_initialize(argc, argv) != APR_SUCCESS)
        return fail("initialize");
    if (mproc_subprocess_start(&program, (const char *const *)argv + 1, &opts) != APR_SUCCESS)
        return fail("start");
    if (mproc_subprocess_read_line(program, MPROC_ERROR_OUTPUT, &line, NULL, PATIENCE) != APR_SUCCESS)
        return fail("read a line");
    printf("%s\n", line);
    mproc_free(line);

    if (kill(-mproc_subprocess_pid(program), SIGINT) != 0) {
        perror("blur-interrupt: kill");
        return 1;
    }
    if (mproc_subprocess_communicate(program, &rest, PATIENCE) != APR_SUCCESS)
        return fail("wait");
    printf("%sexit code %d\n", rest.error_output, rest.exitcode);
    mproc_completed_clear(&rest);
    return mproc_subprocess_close(program) != APR_SUCCESS;
}
