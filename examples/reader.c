/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process writes A, B and C into a pipe, with pauses. Another reads for ever, so it is terminated in the end.
 */
#include <stdio.h>

#include <apr_time.h>

#include <mproc/mproc.h>

/* Also long enough for the reader to print what was written last, before it is terminated. */
#define PAUSE MPROC_SECONDS(0.3)

static int fail(const char *what)
{
    fprintf(stderr, "reader: %s: %s\n", what, mproc_last_error()->text);
    return 1;
}

/* This runs in one child. */
static int write_letters(mproc_call_t *call)
{
    mproc_conn_t *reader = mproc_call_conn(call, 0);
    for (char letter = 'A'; letter <= 'C'; letter++) {
        printf("write %c\n", letter);
        fflush(stdout);
        if (mproc_conn_send(reader, &letter, 1, MPROC_FOREVER) != APR_SUCCESS)
            return fail("send");
        apr_sleep(PAUSE);
    }
    return 0;
}

/* This runs in the other child. */
static int read_for_ever(mproc_call_t *call)
{
    mproc_conn_t *writer = mproc_call_conn(call, 0);
    for (;;) {
        char letter;
        apr_status_t status = mproc_conn_recv_exactly(writer, &letter, 1, MPROC_FOREVER);
        if (status == APR_SUCCESS) {
            printf("read %c\n", letter);
            /* A process that is terminated does not write out what it had printed. */
            fflush(stdout);
        } else if (status == APR_EOF) {
            /* Nothing can come any more. Others would end now; this one was told to read until it is terminated. */
            apr_sleep(PAUSE);
        } else {
            return fail("receive");
        }
    }
}

static apr_status_t start(mproc_process_t **process, mproc_target_t target, mproc_conn_t *end)
{
    /* Daemons do not keep their parent, should it have to end too early. */
    return mproc_process_start(process, target, &(mproc_process_opts_t){.daemon = 1, .give = {end}});
}

static int end_reader(mproc_process_t *reader)
{
    int exitcode;
    apr_status_t status = mproc_process_terminate(reader);
    if (APR_STATUS_IS_ENOTIMPL(status)) {
        printf("a thread cannot be terminated: it ends with this process\n");
        return 0;
    }
    if (status != APR_SUCCESS)
        return fail("terminate");
    if (mproc_process_finish(reader, &exitcode) != APR_SUCCESS)
        return fail("finish");
    printf("reader: exit code %d\n", exitcode);
    return 0;
}

int main(int argc, char **argv)
{
    if (mproc_initialize(argc, argv) != APR_SUCCESS)
        return fail("initialize");

    mproc_conn_t *receiver;
    mproc_conn_t *sender;
    mproc_process_t *reader;
    mproc_process_t *writer;
    if (mproc_pipe(&receiver, &sender, &(mproc_conn_opts_t){.one_way = 1}) != APR_SUCCESS)
        return fail("pipe");
    if (start(&reader, read_for_ever, receiver) != APR_SUCCESS)
        return fail("start the reader");
    if (start(&writer, write_letters, sender) != APR_SUCCESS)
        return fail("start the writer");

    int exitcode;
    if (mproc_process_finish(writer, &exitcode) != APR_SUCCESS)
        return fail("finish");
    printf("writer: exit code %d\n", exitcode);
    return end_reader(reader);
}
