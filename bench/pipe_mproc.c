/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include <mproc/mproc.h>

#include "pipe_transports.h"

/** The ends of this process; the same one, if it goes both ways. */
static mproc_conn_t *in, *out;

/** A function is no data: it gets into the child by being there before the fork. */
static void (*serve_in_child)(void);

static int run(mproc_call_t *call)
{
    in = mproc_call_conn(call, 0);
    out = mproc_call_conn_count(call) > 1 ? mproc_call_conn(call, 1) : in;
    serve_in_child();
    return 0;
}

static int complain(void)
{
    fprintf(stderr, "mproc: %s\n", mproc_last_error()->text);
    return -1;
}

static int start_child(mproc_process_opts_t *opts, void (*serve)(void))
{
    mproc_process_t *child;
    serve_in_child = serve;
    opts->start_method = MPROC_FORK;
    opts->daemon = 1;
    return mproc_process_start(&child, run, opts) == APR_SUCCESS ? 0 : complain();
}

static int start(void (*serve)(void))
{
    mproc_conn_t *theirs;
    if (mproc_initialize(0, NULL) != APR_SUCCESS || mproc_pipe(&in, &theirs, NULL) != APR_SUCCESS)
        return complain();
    out = in;
    return start_child(&(mproc_process_opts_t){.give = {theirs}}, serve);
}

static int start_one_way(void (*serve)(void))
{
    const mproc_conn_opts_t one_way = {.one_way = 1};
    mproc_conn_t *their_in, *their_out;
    if (mproc_initialize(0, NULL) != APR_SUCCESS || mproc_pipe(&in, &their_out, &one_way) != APR_SUCCESS ||
        mproc_pipe(&their_in, &out, &one_way) != APR_SUCCESS)
        return complain();
    return start_child(&(mproc_process_opts_t){.give = {their_in, their_out}}, serve);
}

static int send_message(const void *data, size_t size)
{
    return mproc_conn_send(out, data, size, MPROC_FOREVER) == APR_SUCCESS ? 0 : -1;
}

static int receive_message(void *buffer, size_t capacity, size_t *size)
{
    return mproc_conn_recv_into(in, buffer, capacity, size, MPROC_FOREVER) == APR_SUCCESS ? 0 : -1;
}

const pipe_transport_t pipe_mproc = {"mproc", start, send_message, receive_message};
const pipe_transport_t pipe_mproc_one_way = {"mproc-one-way", start_one_way, send_message, receive_message};
