/* SPDX-License-Identifier: Apache-2.0 */
/*
 * External programs: talk to an interactive one, take the output of one, let one read what another writes.
 *
 * So that this runs anywhere, the programs are this file, started with an argument: "sums" answers each line that it
 * reads until it is told "bye", and "ask" writes a few lines for it.
 */
#include <stdio.h>
#include <string.h>

#include <mproc/mproc.h>

/* How long an answer may take. */
#define PATIENCE MPROC_SECONDS(10)

static int fail(const char *what)
{
    fprintf(stderr, "subprocess: %s: %s\n", what, mproc_last_error()->text);
    return 1;
}

/* ---- The programs, which know nothing of mproc ------------------------------------------------------------------- */

static int sums(void)
{
    char line[80];
    int a;
    int b;
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\r\n")] = '\0';
        if (strcmp(line, "bye") == 0) {
            printf("it was nice to meet you\n");
            fprintf(stderr, "sums: somebody said bye\n");
            return 4;
        }
        if (sscanf(line, "%d + %d", &a, &b) == 2)
            printf("%d\n", a + b);
        else
            printf("'%s' has %d letters\n", line, (int)strlen(line));
        /* What is written to a pipe stays in a buffer otherwise, while the other side waits for it. */
        fflush(stdout);
    }
    return 0;
}

static int ask(void)
{
    printf("1 + 2\n30 + 40\nhello\n");
    return 0;
}

/* ---- What is done with them -------------------------------------------------------------------------------------- */

static apr_status_t question(mproc_subprocess_t *program, const char *text)
{
    char *answer;
    apr_status_t status = mproc_subprocess_write(program, text, strlen(text), NULL, PATIENCE);
    if (status == APR_SUCCESS)
        status = mproc_subprocess_write(program, "\n", 1, NULL, PATIENCE);
    if (status == APR_SUCCESS)
        status = mproc_subprocess_read_line(program, MPROC_OUTPUT, &answer, NULL, PATIENCE);
    if (status == APR_SUCCESS) {
        printf("%s -> %s\n", text, answer);
        mproc_free(answer);
    }
    return status;
}

static int talk(const char *self)
{
    const char *const args[] = {self, "sums", NULL};
    mproc_subprocess_t *program;
    mproc_completed_t rest;
    int exitcode;
    if (mproc_subprocess_start(&program, args,
                               &(mproc_subprocess_opts_t){.standard_input = mproc_stdio_pipe(),
                                                          .standard_output = mproc_stdio_pipe(),
                                                          .standard_error = mproc_stdio_pipe()}) != APR_SUCCESS)
        return fail("start");
    if (question(program, "2 + 3") != APR_SUCCESS || question(program, "subprocess") != APR_SUCCESS)
        return fail("ask");

    if (mproc_subprocess_write(program, "bye\n", 4, NULL, PATIENCE) != APR_SUCCESS ||
        mproc_subprocess_close_input(program) != APR_SUCCESS)
        return fail("say bye");
    /* All that was not read yet, of both outputs at once: neither side can wait for the other. */
    if (mproc_subprocess_communicate(program, &rest, PATIENCE) != APR_SUCCESS)
        return fail("read the rest");
    printf("its last words: %sits complaints: %s", rest.output, rest.error_output);
    mproc_completed_clear(&rest);

    if (mproc_subprocess_finish(program, &exitcode) != APR_SUCCESS)
        return fail("finish");
    printf("exit code %d\n", exitcode);
    return 0;
}

static int take_output(const char *self)
{
    const char *const args[] = {self, "ask", NULL};
    mproc_completed_t done;
    /* Another exit code than 0 would be a failure, too. */
    if (mproc_subprocess_check_output(&done, args, NULL, PATIENCE) != APR_SUCCESS)
        return fail("check_output");
    printf("the questions:\n%s", done.output);
    mproc_completed_clear(&done);
    return 0;
}

static int pipeline(const char *self)
{
    const char *const first[] = {self, "ask", NULL};
    const char *const second[] = {self, "sums", NULL};
    const char *const *const commands[] = {first, second};
    mproc_completed_t done;
    if (mproc_subprocess_pipeline(&done, NULL, commands, 2,
                                  &(mproc_subprocess_opts_t){.standard_output = mproc_stdio_pipe()},
                                  PATIENCE) != APR_SUCCESS)
        return fail("pipeline");
    printf("the answers:\n%sexit code %d\n", done.output, done.exitcode);
    mproc_completed_clear(&done);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "sums") == 0)
        return sums();
    if (argc > 1 && strcmp(argv[1], "ask") == 0)
        return ask();

    if (mproc_initialize(argc, argv) != APR_SUCCESS)
        return fail("initialize");
    return talk(argv[0]) || take_output(argv[0]) || pipeline(argv[0]);
}
