/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Show which processes there are: the parent and its child tell who they are.
 */
#include <stdio.h>

#include <mproc/mproc.h>

static void show_info(const char *title, const char *program)
{
    printf("%s\n", title);
    printf("  program name: %s\n", program);
    printf("  process name: %s\n", mproc_process_name(mproc_current_process()));
    printf("  parent process: %d\n", mproc_getppid());
    printf("  process id: %d\n", mproc_getpid());
    /* Both write to the same place: what the parent has to say shall be there before the child speaks. */
    fflush(stdout);
}

/* This runs in the child. */
static int show_child(mproc_call_t *call)
{
    const char *program = mproc_call_named_string(call, "program");
    const char *name = mproc_call_named_string(call, "name");
    if (!program || !name)
        return 1;
    show_info("function show_child", program);
    printf("hello %s\n", name);
    return 0;
}

static int fail(const char *what)
{
    fprintf(stderr, "info: %s: %s\n", what, mproc_last_error()->text);
    return 1;
}

int main(int argc, char **argv)
{
    if (mproc_initialize(argc, argv) != APR_SUCCESS)
        return fail("initialize");
    show_info("main line", argv[0]);

    /* Arguments can have names, as in Python. */
    const mproc_arg_t args[] = {
        mproc_arg_string("program", argv[0]),
        mproc_arg_string("name", "bob"),
    };
    mproc_process_t *process;
    if (mproc_process_start(&process, show_child, &(mproc_process_opts_t){.args = args, .arg_count = 2}) != APR_SUCCESS)
        return fail("start");

    /* Join, ask for the exit code, and close, in one call. */
    int exitcode;
    if (mproc_process_finish(process, &exitcode) != APR_SUCCESS)
        return fail("finish");
    return exitcode;
}
