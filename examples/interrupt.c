/* SPDX-License-Identifier: Apache-2.0 */
/*
 * press-ctrl-c output|error PROGRAM [ARGUMENT...]: when a program has written its first line, there, interrupt it and
 * all of its group, as a terminal does. Print what it writes there, and how it ends. For tests of examples, on Unix.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <mproc/mproc.h>

/* Much longer than it takes, and shorter than what the program would wait for otherwise. */
#define PATIENCE MPROC_SECONDS(60)

static int fail(const char *what)
{
    fprintf(stderr, "press-ctrl-c: %s: %s\n", what, mproc_last_error()->text);
    return 1;
}

static int run(char **argv, mproc_output_t from)
{
    mproc_subprocess_opts_t opts = {.group = MPROC_GROUP_OWN};
    mproc_subprocess_t *program;
    mproc_completed_t rest;
    char *line;
    *(from == MPROC_OUTPUT ? &opts.standard_output : &opts.standard_error) = mproc_stdio_pipe();
    if (mproc_subprocess_start(&program, (const char *const *)argv, &opts) != APR_SUCCESS)
        return fail("start");
    if (mproc_subprocess_read_line(program, from, &line, NULL, PATIENCE) != APR_SUCCESS)
        return fail("read a line");
    printf("%s\n", line);
    mproc_free(line);

    if (kill(-mproc_subprocess_pid(program), SIGINT) != 0) {
        perror("press-ctrl-c: kill");
        return 1;
    }
    if (mproc_subprocess_communicate(program, &rest, PATIENCE) != APR_SUCCESS)
        return fail("wait");
    printf("%sexit code %d\n", from == MPROC_OUTPUT ? rest.output : rest.error_output, rest.exitcode);
    mproc_completed_clear(&rest);
    return mproc_subprocess_close(program) != APR_SUCCESS;
}

int main(int argc, char **argv)
{
    if (mproc_initialize(argc, argv) != APR_SUCCESS)
        return fail("initialize");
    if (argc > 2 && strcmp(argv[1], "output") == 0)
        return run(argv + 2, MPROC_OUTPUT);
    if (argc > 2 && strcmp(argv[1], "error") == 0)
        return run(argv + 2, MPROC_ERROR_OUTPUT);
    fprintf(stderr, "usage: press-ctrl-c output|error PROGRAM [ARGUMENT...]\n");
    return 2;
}
