/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pipe with two directions: two processes talk to each other, then a parent and its worker do.
 */
#include <stdio.h>
#include <string.h>

#include <mproc/mproc.h>

static int fail(const char *what)
{
    fprintf(stderr, "duplex: %s: %s\n", what, mproc_last_error()->text);
    return 1;
}

static apr_status_t send_text(mproc_conn_t *conn, const char *text)
{
    return mproc_conn_send(conn, text, strlen(text), MPROC_FOREVER);
}

static apr_status_t print_text(mproc_conn_t *conn)
{
    void *text;
    size_t size;
    apr_status_t status = mproc_conn_recv(conn, &text, &size, MPROC_FOREVER);
    if (status != APR_SUCCESS)
        return status;
    /* Behind each message that is received there is a zero byte, so that text can be used as such. */
    printf("%s received: %s\n", mproc_process_name(mproc_current_process()), (const char *)text);
    /* Several processes write to the same place: what this one has to say shall be there before it goes on. */
    fflush(stdout);
    mproc_free(text);
    return APR_SUCCESS;
}

/* ---- Two processes ----------------------------------------------------------------------------------------------- */

/* This runs in the first child. */
static int ask(mproc_call_t *call)
{
    mproc_conn_t *other = mproc_call_conn(call, 0);
    if (send_text(other, "hello") != APR_SUCCESS)
        return fail("send");
    return print_text(other) == APR_SUCCESS ? 0 : fail("receive");
}

/* This runs in the second child, and in the worker. Its answer is its first argument. */
static int answer(mproc_call_t *call)
{
    mproc_conn_t *other = mproc_call_conn(call, 0);
    const char *text = mproc_call_string(call, 0);
    if (!text)
        return fail("argument");
    if (print_text(other) != APR_SUCCESS)
        return fail("receive");
    return send_text(other, text) == APR_SUCCESS ? 0 : fail("send");
}

/* Start a process that has one end of a pipe, and something to answer. */
static apr_status_t start(mproc_process_t **process, mproc_target_t target, const char *name, mproc_conn_t *end,
                          const char *text)
{
    mproc_arg_t arg = mproc_arg_string("answer", text);
    /* A daemon is ended when its parent is: should anything fail here, nobody waits for words that never come. */
    return mproc_process_start(
        process, target,
        &(mproc_process_opts_t){.name = name, .daemon = 1, .args = &arg, .arg_count = 1, .give = {end}});
}

static int finish(mproc_process_t *process)
{
    int exitcode;
    return mproc_process_finish(process, &exitcode) == APR_SUCCESS ? exitcode : fail("finish");
}

static int let_children_talk(void)
{
    mproc_conn_t *ends[2];
    mproc_process_t *first;
    mproc_process_t *second;
    if (mproc_pipe(&ends[0], &ends[1], NULL) != APR_SUCCESS)
        return fail("pipe");
    if (start(&first, ask, "first", ends[0], "") != APR_SUCCESS)
        return fail("first");
    if (start(&second, answer, "second", ends[1], "hello, too") != APR_SUCCESS)
        return fail("second");
    return finish(first) == 0 && finish(second) == 0 ? 0 : 1;
}

/* ---- Parent and worker ------------------------------------------------------------------------------------------- */

static int talk_to_worker(void)
{
    mproc_conn_t *ours;
    mproc_conn_t *theirs;
    mproc_process_t *worker;
    if (mproc_pipe(&ours, &theirs, NULL) != APR_SUCCESS)
        return fail("pipe");
    if (start(&worker, answer, "worker", theirs, "Hello from worker!") != APR_SUCCESS)
        return fail("worker");
    if (send_text(ours, "Hello from parent!") != APR_SUCCESS)
        return fail("send");
    if (print_text(ours) != APR_SUCCESS)
        return fail("receive");
    if (mproc_conn_close(ours) != APR_SUCCESS)
        return fail("close");
    return finish(worker);
}

int main(int argc, char **argv)
{
    if (mproc_initialize(argc, argv) != APR_SUCCESS)
        return fail("initialize");
    return let_children_talk() == 0 && talk_to_worker() == 0 ? 0 : 1;
}
