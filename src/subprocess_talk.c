/* SPDX-License-Identifier: Apache-2.0 */
/* A dialogue with a program, step by step. */
#include <stdlib.h>
#include <string.h>

#include "process_object.h"
#include "subprocess_object.h"

/** Get an object, and the turn to move its data, for a public function; the status has its text. */
static apr_status_t enter(subprocess_t **subprocess, mproc_subprocess_t *handle, sys_time_t deadline, const char *call)
{
    apr_status_t status = subprocess_acquire(subprocess, handle, call);
    if (status != APR_SUCCESS)
        return status;
    status = turn_take(&(*subprocess)->turn, &(*subprocess)->closable, deadline);
    if (status == APR_SUCCESS)
        return status;
    status = mproc_fail(status, "%s: %s", call,
                        status == APR_TIMEUP ? "another thread is talking to the program" : "it was closed meanwhile");
    subprocess_release(*subprocess);
    return status;
}

/** Close the input if another thread wants that, unless a third one has the turn, and will. */
static void close_if_wanted(subprocess_t *subprocess)
{
    while (atomic_load(&subprocess->is_input_to_close) &&
           turn_take(&subprocess->turn, &subprocess->closable, 0) == APR_SUCCESS) {
        atomic_store(&subprocess->is_input_to_close, 0);
        flow_close_input(&subprocess->flow);
        turn_give(&subprocess->turn);
    }
}

static void leave(subprocess_t *subprocess)
{
    turn_give(&subprocess->turn);
    close_if_wanted(subprocess);
    subprocess_release(subprocess);
}

/** Put a failure into words. */
static apr_status_t fail(apr_status_t status, const subprocess_t *subprocess, const char *call)
{
    if (status == APR_TIMEUP)
        return mproc_fail(status, "%s: the time is up; '%.200s' is pid %d", call, subprocess->name, subprocess->pid);
    if (status == MPROC_ECLOSED)
        return mproc_fail(status, "%s: another thread has closed it", call);
    return mproc_fail(status, "%s: the data of '%.200s' cannot be moved", call, subprocess->name);
}

static sys_time_t deadline_of(apr_interval_time_t timeout)
{
    return timeout == 0 ? 0 : process_deadline(timeout);
}

/* ---- Writing ----------------------------------------------------------------------------------------------------- */

static int has_written(flow_t *flow, int is_over, const void *context)
{
    (void)is_over;
    (void)context;
    return !flow->input || flow->pending_done == flow->pending_size;
}

apr_status_t mproc_subprocess_write(mproc_subprocess_t *handle, const void *data, size_t size, size_t *written,
                                    apr_interval_time_t timeout)
{
    static const char call[] = "mproc_subprocess_write";
    subprocess_t *subprocess;
    const sys_time_t deadline = deadline_of(timeout);
    if (written)
        *written = 0;
    if (!data && size)
        return mproc_fail(APR_EINVAL, "%s: the data is NULL, but its size is %zu", call, size);
    apr_status_t status = enter(&subprocess, handle, deadline, call);
    if (status != APR_SUCCESS)
        return status;
    flow_t *flow = &subprocess->flow;
    if (!flow->input) {
        status =
            mproc_fail(MPROC_ESTATE, "%s: standard input of '%.200s' is no pipe, or closed", call, subprocess->name);
    } else if (flow->pending) {
        status = mproc_fail(MPROC_ESTATE, "%s: '%.200s' was given input, which mproc_subprocess_communicate() writes",
                            call, subprocess->name);
    } else {
        /* It is written from where it is. */
        flow->pending = (unsigned char *)(uintptr_t)data;
        flow->pending_size = size;
        flow->pending_done = 0;
        flow->is_borrowed = 1;
        status = flow_move(flow, &subprocess, 1, has_written, NULL, &subprocess->closable, deadline);
        if (written)
            *written = flow->pending_done;
        if (status == APR_SUCCESS && !flow->input)
            status = mproc_fail(APR_EPIPE, "%s: '%.200s' reads no more", call, subprocess->name);
        else if (status != APR_SUCCESS)
            status = fail(status, subprocess, call);
        flow->pending = NULL;
        flow->pending_size = flow->pending_done = 0;
        flow->is_borrowed = 0;
    }
    leave(subprocess);
    return status;
}

apr_status_t mproc_subprocess_close_input(mproc_subprocess_t *handle)
{
    static const char call[] = "mproc_subprocess_close_input";
    subprocess_t *subprocess;
    apr_status_t status = subprocess_acquire(&subprocess, handle, call);
    if (status != APR_SUCCESS)
        return status;
    if (subprocess->flow.is_input_pipe) {
        /* Whoever has the turn may wait for what the program writes when it sees the end of its input. */
        atomic_store(&subprocess->is_input_to_close, 1);
        closable_wake(&subprocess->closable);
        close_if_wanted(subprocess);
    } else {
        status = mproc_fail(MPROC_ESTATE, "%s: standard input of '%.200s' is no pipe", call, subprocess->name);
    }
    subprocess_release(subprocess);
    return status;
}

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

/** Check what every call that reads is given, with the turn; the status has its text. */
static apr_status_t check_output(const subprocess_t *subprocess, mproc_output_t output, const char *call)
{
    if (output != MPROC_OUTPUT && output != MPROC_ERROR_OUTPUT)
        return mproc_fail(APR_EINVAL, "%s: there is no output %d", call, (int)output);
    if (!subprocess->flow.outputs[output - 1].is_pipe)
        return mproc_fail(MPROC_ESTATE, "%s: standard %s of '%.200s' is no pipe", call,
                          output == MPROC_OUTPUT ? "output" : "error", subprocess->name);
    return APR_SUCCESS;
}

static int has_something(flow_t *flow, int is_over, const void *context)
{
    (void)is_over;
    const gathered_t *gathered = &flow->outputs[*(const mproc_output_t *)context - 1];
    return gathered->end > gathered->begin || !gathered->channel;
}

apr_status_t mproc_subprocess_read(mproc_subprocess_t *handle, mproc_output_t output, void *buffer, size_t capacity,
                                   size_t *size, apr_interval_time_t timeout)
{
    static const char call[] = "mproc_subprocess_read";
    subprocess_t *subprocess;
    const sys_time_t deadline = deadline_of(timeout);
    if (size)
        *size = 0;
    if (!size || !buffer || capacity == 0)
        return mproc_fail(APR_EINVAL, "%s: %s", call, size ? "there is no room" : "size is NULL");
    apr_status_t status = enter(&subprocess, handle, deadline, call);
    if (status != APR_SUCCESS)
        return status;
    status = check_output(subprocess, output, call);
    if (status == APR_SUCCESS) {
        gathered_t *gathered = &subprocess->flow.outputs[output - 1];
        status = gathered->end > gathered->begin ? APR_SUCCESS
                                                 : flow_move(&subprocess->flow, &subprocess, 1, has_something, &output,
                                                             &subprocess->closable, deadline);
        const size_t have = gathered->end - gathered->begin;
        if (status == APR_SUCCESS && have == 0) {
            status = mproc_fail(APR_EOF, "%s: '%.200s' writes no more", call, subprocess->name);
        } else if (status == APR_SUCCESS) {
            *size = have < capacity ? have : capacity;
            memcpy(buffer, gathered->data + gathered->begin, *size);
            gathered->begin += *size;
            gathered->searched = 0;
        } else {
            status = fail(status, subprocess, call);
        }
    }
    leave(subprocess);
    return status;
}

/** Where a line ends that was gathered, with its end; 0 if none has come. */
static size_t line_size(gathered_t *gathered)
{
    const size_t have = gathered->end - gathered->begin;
    if (have == 0)
        return 0;
    const unsigned char *first = gathered->data + gathered->begin;
    /* A long line comes in many pieces: what was searched is not searched again. */
    const unsigned char *end = memchr(first + gathered->searched, '\n', have - gathered->searched);
    if (!end)
        gathered->searched = have;
    return end ? (size_t)(end - first) + 1 : gathered->channel ? 0 : have;
}

static int has_line(flow_t *flow, int is_over, const void *context)
{
    (void)is_over;
    gathered_t *gathered = &flow->outputs[*(const mproc_output_t *)context - 1];
    return line_size(gathered) > 0 || !gathered->channel;
}

/** Give away a line. */
static apr_status_t take_line(gathered_t *gathered, size_t with_end, char **line, size_t *size)
{
    const unsigned char *first = gathered->data + gathered->begin;
    size_t length = with_end;
    if (first[length - 1] == '\n' && --length > 0 && first[length - 1] == '\r')
        length--;
    *line = malloc(length + 1);
    if (!*line)
        return APR_ENOMEM;
    memcpy(*line, first, length);
    (*line)[length] = '\0';
    gathered->begin += with_end;
    gathered->searched = 0;
    if (size)
        *size = length;
    return APR_SUCCESS;
}

apr_status_t mproc_subprocess_read_line(mproc_subprocess_t *handle, mproc_output_t output, char **line, size_t *size,
                                        apr_interval_time_t timeout)
{
    static const char call[] = "mproc_subprocess_read_line";
    subprocess_t *subprocess;
    const sys_time_t deadline = deadline_of(timeout);
    if (line)
        *line = NULL;
    if (size)
        *size = 0;
    if (!line)
        return mproc_fail(APR_EINVAL, "%s: nowhere to store the line: it is NULL", call);
    apr_status_t status = enter(&subprocess, handle, deadline, call);
    if (status != APR_SUCCESS)
        return status;
    status = check_output(subprocess, output, call);
    if (status == APR_SUCCESS) {
        gathered_t *gathered = &subprocess->flow.outputs[output - 1];
        if (line_size(gathered) == 0)
            status = flow_move(&subprocess->flow, &subprocess, 1, has_line, &output, &subprocess->closable, deadline);
        const size_t length = line_size(gathered);
        if (status == APR_SUCCESS && length == 0)
            status = mproc_fail(APR_EOF, "%s: '%.200s' writes no more", call, subprocess->name);
        else if (status != APR_SUCCESS || (status = take_line(gathered, length, line, size)) != APR_SUCCESS)
            status = fail(status, subprocess, call);
    }
    leave(subprocess);
    return status;
}

/* ---- Both, to the end -------------------------------------------------------------------------------------------- */

apr_status_t mproc_subprocess_communicate(mproc_subprocess_t *handle, mproc_completed_t *completed,
                                          apr_interval_time_t timeout)
{
    static const char call[] = "mproc_subprocess_communicate";
    subprocess_t *subprocess;
    const sys_time_t deadline = deadline_of(timeout);
    if (completed)
        memset(completed, 0, sizeof *completed);
    apr_status_t status = enter(&subprocess, handle, deadline, call);
    if (status != APR_SUCCESS)
        return status;
    flow_t *flow = &subprocess->flow;
    flow->is_closing = 1;
    status = flow_move(flow, &subprocess, 1, flow_is_over, NULL, &subprocess->closable, deadline);
    if (status == APR_SUCCESS && completed)
        status = flow_take(flow, completed);
    /* After a failure the caller may go on in another way. */
    if (status != APR_SUCCESS && status != APR_TIMEUP)
        flow->is_closing = 0;
    if (status != APR_SUCCESS)
        status = fail(status, subprocess, call);
    else if (completed)
        status = mproc_subprocess_exitcode(handle, &completed->exitcode);
    leave(subprocess);
    return status;
}

apr_status_t mproc_subprocess_finish(mproc_subprocess_t *handle, int *exitcode)
{
    static const char call[] = "mproc_subprocess_finish";
    subprocess_t *subprocess;
    int code = 0;
    apr_status_t status = enter(&subprocess, handle, SYS_NEVER, call);
    if (status != APR_SUCCESS)
        return status;
    flow_t *flow = &subprocess->flow;
    flow_close_input(flow);
    for (int i = 0; i < 2; i++)
        flow->outputs[i].most = 1; /* nobody wants to see it */
    status = flow_move(flow, &subprocess, 1, flow_is_over, NULL, &subprocess->closable, SYS_NEVER);
    if (status == APR_SUCCESS) {
        status = mproc_subprocess_exitcode(handle, &code);
    } else {
        /* There is no memory to wait with: it does not run on unseen. */
        subprocess_stop(subprocess, subprocess->grace);
        status = fail(status, subprocess, call);
    }
    if (exitcode && status == APR_SUCCESS)
        *exitcode = code;
    turn_give(&subprocess->turn);
    subprocess_close(subprocess);
    subprocess_release(subprocess);
    return status;
}
