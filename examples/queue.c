/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A queue: a process puts three values of different kinds, its parent gets and prints them.
 */
#include <stdio.h>

#include <mproc/mproc.h>

typedef enum kind_t { NOTHING, NUMBER, TEXT } kind_t;

/* An item is bytes, copied in and out. There are no pointers in this struct, so it can go to another process. */
typedef struct value_t {
    kind_t kind;
    int number;
    char text[16];
} value_t;

static int fail(const char *what)
{
    fprintf(stderr, "queue: %s: %s\n", what, mproc_last_error()->text);
    return 1;
}

/* This runs in the child. */
static int put_values(mproc_call_t *call)
{
    static const value_t values[] = {
        {.kind = NUMBER, .number = 42}, {.kind = NOTHING}, {.kind = TEXT, .text = "hello"}};
    mproc_queue_t *putter = mproc_call_queue(call, 0);
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        if (mproc_queue_put(putter, &values[i], sizeof values[i], MPROC_FOREVER) != APR_SUCCESS)
            return fail("put");
    }
    /* They are in the queue now: this process need not wait until somebody gets them. */
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

static apr_status_t print_values(mproc_queue_t *queue)
{
    value_t value;
    const char *separator = "";
    apr_status_t status;
    printf("[");
    while ((status = mproc_queue_get(queue, &value, sizeof value, NULL, MPROC_FOREVER)) == APR_SUCCESS) {
        printf("%s", separator);
        print_value(&value);
        separator = ", ";
    }
    printf("]\n");
    /* Nobody is left who could put, and nothing is left to get: that is all. */
    return status == APR_EOF ? APR_SUCCESS : status;
}

int main(int argc, char **argv)
{
    if (mproc_initialize(argc, argv) != APR_SUCCESS)
        return fail("initialize");

    /* A putter is an end of the queue. When nobody has one any more, the queue ends. */
    mproc_queue_t *queue;
    mproc_queue_t *putter;
    if (mproc_queue_create(&queue, &(mproc_queue_opts_t){.item_size = sizeof(value_t)}) != APR_SUCCESS ||
        mproc_queue_open_putter(&putter, queue, NULL) != APR_SUCCESS)
        return fail("create");

    mproc_process_t *process;
    if (mproc_process_start(&process, put_values, &(mproc_process_opts_t){.share = {putter}}) != APR_SUCCESS)
        return fail("start");
    /* The child shares it. This process would keep the end away by its own, as long as it has that open. */
    if (mproc_queue_close(putter) != APR_SUCCESS)
        return fail("close");
    if (print_values(queue) != APR_SUCCESS)
        return fail("get");

    int exitcode;
    if (mproc_process_finish(process, &exitcode) != APR_SUCCESS)
        return fail("finish");
    if (mproc_queue_close(queue) != APR_SUCCESS)
        return fail("close");
    return exitcode;
}
