/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A one-way pipe: a process sends three values of different kinds, its parent receives and prints them.
 */
#include <stdio.h>

#include <mproc/mproc.h>

typedef enum kind_t { NOTHING, NUMBER, TEXT } kind_t;

/* A message is bytes. Both ends are the same program, so a struct without pointers is sent as it is. */
typedef struct value_t {
    kind_t kind;
    int number;
    char text[16];
} value_t;

static int fail(const char *what)
{
    fprintf(stderr, "pipe: %s: %s\n", what, mproc_last_error()->text);
    return 1;
}

/* This runs in the child. */
static int send_values(mproc_call_t *call)
{
    static const value_t values[] = {
        {.kind = NUMBER, .number = 42}, {.kind = NOTHING}, {.kind = TEXT, .text = "hello"}};
    mproc_conn_t *parent = mproc_call_conn(call, 0);
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        if (mproc_conn_send(parent, &values[i], sizeof values[i], MPROC_FOREVER) != APR_SUCCESS)
            return fail("send");
    }
    /* The end that was given to this function is closed when it returns. */
    return 0;
}

static void print_value(const value_t *value)
{
    if (value->kind == NUMBER)
        printf("%d", value->number);
    else if (value->kind == TEXT)
        printf("'%.*s'", (int)sizeof value->text, value->text);
    else
        printf("None");
}

static apr_status_t print_values(mproc_conn_t *child)
{
    value_t value;
    const char *separator = "";
    apr_status_t status;
    printf("[");
    while ((status = mproc_conn_recv_exactly(child, &value, sizeof value, MPROC_FOREVER)) == APR_SUCCESS) {
        printf("%s", separator);
        print_value(&value);
        separator = ", ";
    }
    printf("]\n");
    /* The other end was closed, and nothing is left: that is all. */
    return status == APR_EOF ? APR_SUCCESS : status;
}

int main(int argc, char **argv)
{
    if (mproc_initialize(argc, argv) != APR_SUCCESS)
        return fail("initialize");

    mproc_conn_t *receiver;
    mproc_conn_t *sender;
    if (mproc_pipe(&receiver, &sender, &(mproc_conn_opts_t){.one_way = 1}) != APR_SUCCESS)
        return fail("pipe");

    /* The sending end moves to the child. This process has it no more, so the pipe ends when the child does. */
    mproc_process_t *process;
    if (mproc_process_start(&process, send_values, &(mproc_process_opts_t){.give = {sender}}) != APR_SUCCESS)
        return fail("start");
    if (print_values(receiver) != APR_SUCCESS)
        return fail("receive");

    int exitcode;
    if (mproc_process_finish(process, &exitcode) != APR_SUCCESS)
        return fail("finish");
    if (mproc_conn_close(receiver) != APR_SUCCESS)
        return fail("close");
    return exitcode;
}
