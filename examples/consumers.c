/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A producer and two consumers at a queue with little room. They are threads of one program with
 * MPROC_START_METHOD=thread, and processes with any other: there is no other difference.
 */
#include <stdio.h>

#include <apr_time.h>

#include <mproc/mproc.h>

enum { ITEMS = 10, ROOM = 2 };

static int fail(const char *what)
{
    fprintf(stderr, "consumers: %s: %s\n", what, mproc_last_error()->text);
    return 1;
}

static int produce(mproc_call_t *call)
{
    mproc_queue_t *putter = mproc_call_queue(call, 0);
    for (int item = 1; item <= ITEMS; item++) {
        apr_status_t status = mproc_queue_put(putter, &item, sizeof item, 0);
        if (status == APR_TIMEUP) {
            printf("no room for %d: the producer waits\n", item);
            fflush(stdout);
            status = mproc_queue_put(putter, &item, sizeof item, MPROC_FOREVER);
        }
        if (status != APR_SUCCESS)
            return fail("put");
    }
    return 0;
}

static int consume(mproc_call_t *call)
{
    mproc_queue_t *getter = mproc_call_queue(call, 0);
    int item;
    apr_status_t status;
    while ((status = mproc_queue_get(getter, &item, sizeof item, NULL, MPROC_FOREVER)) == APR_SUCCESS) {
        printf("%s has got %d\n", mproc_process_name(mproc_current_process()), item);
        fflush(stdout);
        /* The work that is done with it. */
        apr_sleep(MPROC_MILLISECONDS(20));
    }
    return status == APR_EOF ? 0 : fail("get");
}

static apr_status_t start(mproc_process_t **process, const char *name, mproc_target_t target, mproc_queue_t *end)
{
    return mproc_process_start(process, target, &(mproc_process_opts_t){.name = name, .daemon = 1, .share = {end}});
}

int main(int argc, char **argv)
{
    mproc_queue_t *queue;
    mproc_queue_t *putter;
    mproc_queue_t *getter;
    mproc_process_t *processes[3];
    int failures = 0;
    if (mproc_initialize(argc, argv) != APR_SUCCESS)
        return fail("initialize");
    if (mproc_queue_create(&queue, &(mproc_queue_opts_t){.maxsize = ROOM, .item_size = sizeof(int)}) != APR_SUCCESS ||
        mproc_queue_open_putter(&putter, queue, NULL) != APR_SUCCESS ||
        mproc_queue_open_getter(&getter, queue, NULL) != APR_SUCCESS)
        return fail("create");
    if (start(&processes[0], "producer", produce, putter) != APR_SUCCESS ||
        start(&processes[1], "first", consume, getter) != APR_SUCCESS ||
        start(&processes[2], "second", consume, getter) != APR_SUCCESS)
        return fail("start");

    /* What is left open here would keep the consumers from seeing the end, and the producer from being told. */
    mproc_queue_close(putter);
    mproc_queue_close(getter);
    for (int i = 0; i < 3; i++) {
        int exitcode;
        if (mproc_process_finish(processes[i], &exitcode) != APR_SUCCESS)
            return fail("finish");
        failures += exitcode != 0;
    }
    mproc_queue_close(queue);
    return failures != 0;
}
