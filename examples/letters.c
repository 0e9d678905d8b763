/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process puts A, B and C into a queue, with pauses. Another gets what comes: one round for ever, so that it is
 * terminated in the end, and one round until the queue ends, and it with that.
 */
#include <stdio.h>

#include <apr_time.h>

#include <mproc/mproc.h>

/* Also long enough for the reader to print what was written last, before it is terminated. */
#define PAUSE MPROC_SECONDS(0.3)

static int fail(const char *what)
{
    fprintf(stderr, "letters: %s: %s\n", what, mproc_last_error()->text);
    return 1;
}

/* This runs in one child. */
static int write_letters(mproc_call_t *call)
{
    mproc_queue_t *queue = mproc_call_queue(call, 0);
    for (char letter = 'A'; letter <= 'C'; letter++) {
        printf("write %c\n", letter);
        fflush(stdout);
        if (mproc_queue_put(queue, &letter, sizeof letter, MPROC_FOREVER) != APR_SUCCESS)
            return fail("put");
        apr_sleep(PAUSE);
    }
    return 0;
}

/* This runs in the other child, the same in both rounds. */
static int read_letters(mproc_call_t *call)
{
    mproc_queue_t *queue = mproc_call_queue(call, 0);
    char letter;
    apr_status_t status;
    while ((status = mproc_queue_get(queue, &letter, sizeof letter, NULL, MPROC_FOREVER)) == APR_SUCCESS) {
        printf("read %c\n", letter);
        /* A process that is terminated does not write out what it had printed. */
        fflush(stdout);
    }
    if (status != APR_EOF)
        return fail("get");
    printf("nothing can come any more\n");
    return 0;
}

static apr_status_t start(mproc_process_t **process, mproc_target_t target, mproc_queue_t *queue)
{
    /* Daemons do not keep their parent, should it have to end too early. */
    return mproc_process_start(process, target, &(mproc_process_opts_t){.daemon = 1, .share = {queue}});
}

static int finish(mproc_process_t *process, const char *name)
{
    int exitcode;
    if (mproc_process_finish(process, &exitcode) != APR_SUCCESS)
        return fail("finish");
    printf("%s: exit code %d\n", name, exitcode);
    /* The next round's processes write to the same place. */
    fflush(stdout);
    return 0;
}

/* The queue itself is shared: who gets from it waits for good, whoever has ended at the other side. */
static int read_for_ever(mproc_queue_t *queue)
{
    mproc_process_t *reader;
    mproc_process_t *writer;
    if (start(&reader, read_letters, queue) != APR_SUCCESS || start(&writer, write_letters, queue) != APR_SUCCESS)
        return fail("start");
    if (finish(writer, "writer") != 0)
        return 1;
    apr_status_t status = mproc_process_terminate(reader);
    if (APR_STATUS_IS_ENOTIMPL(status)) {
        /* But everybody can say that nothing more comes. */
        printf("a thread cannot be terminated: it is told\n");
        status = mproc_queue_finish(queue);
    }
    return status == APR_SUCCESS ? finish(reader, "reader") : fail("terminate");
}

/* Ends of the queue are shared: it ends with the last process that can put. */
static int read_to_the_end(mproc_queue_t *queue)
{
    mproc_queue_t *getter;
    mproc_queue_t *putter;
    mproc_process_t *reader;
    mproc_process_t *writer;
    if (mproc_queue_open_getter(&getter, queue, NULL) != APR_SUCCESS ||
        mproc_queue_open_putter(&putter, queue, NULL) != APR_SUCCESS)
        return fail("open");
    if (start(&reader, read_letters, getter) != APR_SUCCESS || start(&writer, write_letters, putter) != APR_SUCCESS)
        return fail("start");
    mproc_queue_close(getter);
    mproc_queue_close(putter);
    return finish(writer, "writer") == 0 && finish(reader, "reader") == 0 ? 0 : 1;
}

/* A queue for each round: a letter that the terminated reader did not get would be the next one's. */
static int in_queue(int (*round)(mproc_queue_t *queue))
{
    mproc_queue_t *queue;
    if (mproc_queue_create(&queue, &(mproc_queue_opts_t){.item_size = 1}) != APR_SUCCESS)
        return fail("create");
    int result = round(queue);
    mproc_queue_close(queue);
    return result;
}

int main(int argc, char **argv)
{
    if (mproc_initialize(argc, argv) != APR_SUCCESS)
        return fail("initialize");
    return in_queue(read_for_ever) == 0 && in_queue(read_to_the_end) == 0 ? 0 : 1;
}
