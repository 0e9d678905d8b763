/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Start a process that greets, and wait for it: hello [NAME]
 */
#include <stdio.h>

#include <mproc/mproc.h>

/* This runs in the child. */
static int say_hello(mproc_call_t *call)
{
    const char *name = mproc_call_string(call, 0);
    if (!name)
        return 1;
    printf("hello %s\n", name);
    return 0;
}

static int fail(const char *what)
{
    fprintf(stderr, "hello: %s: %s\n", what, mproc_last_error()->text);
    return 1;
}

int main(int argc, char **argv)
{
    /* A child comes by here too, and does not return. */
    if (mproc_initialize(argc, argv) != APR_SUCCESS)
        return fail("initialize");

    mproc_arg_t name = mproc_arg_string("name", argc > 1 ? argv[1] : "bob");
    mproc_process_t *process;
    if (mproc_process_start(&process, say_hello, &(mproc_process_opts_t){.args = &name, .arg_count = 1}) != APR_SUCCESS)
        return fail("start");
    if (mproc_process_join(process, MPROC_FOREVER) != APR_SUCCESS)
        return fail("join");

    int exitcode;
    if (mproc_process_exitcode(process, &exitcode) != APR_SUCCESS)
        return fail("exit code");
    if (mproc_process_close(process) != APR_SUCCESS)
        return fail("close");
    return exitcode;
}
