/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two students, each with a name that every function finds and none is told: it is the thread's. They are threads of
 * one program with MPROC_START_METHOD=thread, and processes with any other.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mproc/mproc.h>

/* One variable, with another value for each thread. */
static mproc_local_t *student;

static int fail(const char *what)
{
    fprintf(stderr, "students: %s: %s\n", what, mproc_last_error()->text);
    return 1;
}

/* This is called for each value when its thread ends, so nobody has to remember it. */
static void destroy_name(void *name)
{
    printf("goodbye, %s\n", (const char *)name);
    fflush(stdout);
    free(name);
}

static int set_name(const char *name)
{
    char *copy = malloc(strlen(name) + 1);
    if (!copy)
        return 1;
    strcpy(copy, name);
    if (mproc_local_set(student, copy) == APR_SUCCESS)
        return 0;
    free(copy);
    return fail("set");
}

static void greet(void)
{
    const char *name = mproc_local_get(student);
    printf("hello, %s (in %s)\n", name ? name : "nobody", mproc_process_name(mproc_current_process()));
    fflush(stdout);
}

/* This runs twice at the same time. */
static int attend(mproc_call_t *call)
{
    /* A thread uses what main has made. In a process of its own that is not there, unless it is a copy by fork. */
    if (!student && mproc_local_create(&student, destroy_name, NULL) != APR_SUCCESS)
        return fail("create");
    const char *name = mproc_call_string(call, 0);
    if (!name || set_name(name) != 0)
        return 1;
    /* Both have set their names before any of them looks. */
    if (mproc_barrier_wait(mproc_call_barrier(call, 0), NULL, MPROC_FOREVER) != APR_SUCCESS)
        return fail("wait");
    greet();
    return 0;
}

static apr_status_t start(mproc_process_t **process, const char *name, mproc_barrier_t *barrier)
{
    mproc_arg_t arg = mproc_arg_string(NULL, name);
    return mproc_process_start(process, attend,
                               &(mproc_process_opts_t){.daemon = 1, .args = &arg, .arg_count = 1, .share = {barrier}});
}

int main(int argc, char **argv)
{
    mproc_barrier_t *barrier;
    mproc_process_t *first;
    mproc_process_t *second;
    int exitcodes[2];
    if (mproc_initialize(argc, argv) != APR_SUCCESS)
        return fail("initialize");
    if (mproc_barrier_create(&barrier, 2, NULL) != APR_SUCCESS ||
        mproc_local_create(&student, destroy_name, NULL) != APR_SUCCESS)
        return fail("create");
    if (start(&first, "Bob", barrier) != APR_SUCCESS || start(&second, "Alice", barrier) != APR_SUCCESS)
        return fail("start");
    if (mproc_process_finish(first, &exitcodes[0]) != APR_SUCCESS ||
        mproc_process_finish(second, &exitcodes[1]) != APR_SUCCESS)
        return fail("finish");
    /* This thread has set none. */
    greet();
    mproc_local_close(student);
    mproc_barrier_close(barrier);
    return exitcodes[0] || exitcodes[1];
}
