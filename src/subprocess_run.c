/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that are run to their end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "process_object.h"
#include "subprocess_object.h"

void mproc_completed_clear(mproc_completed_t *completed)
{
    if (!completed)
        return;
    free(completed->output);
    free(completed->error_output);
    memset(completed, 0, sizeof *completed);
}

int flow_is_over(flow_t *flow, int is_over, const void *context)
{
    (void)flow;
    (void)context;
    return is_over;
}

/* ---- Several that are connected ---------------------------------------------------------------------------------- */

enum { PIPELINE_MAX = 32 };

/** Programs that run together. */
typedef struct pipeline_t {
    subprocess_t *processes[PIPELINE_MAX];
    size_t count;
    flow_t flow;
    closable_t closable;
} pipeline_t;

/** What connects one program to the next. */
typedef struct links_t {
    sys_handle_t input;        /* what the last one has left for the next; SYS_NO_HANDLE: the options say it */
    sys_handle_t error_output; /* what all of them write to */
} links_t;

/** Say what one program of several is to have as standard streams; the status has its text. */
static apr_status_t connect_one(subprocess_streams_t *streams, mproc_subprocess_opts_t *opts, links_t *links,
                                int is_last, const char *call)
{
    sys_handle_t ends[2];
    apr_status_t status = APR_SUCCESS;
    if (links->input != SYS_NO_HANDLE) {
        streams->stdio[0] = (sys_stdio_t){SYS_STDIO_HANDLE, links->input};
        streams->opened[0] = links->input;
        links->input = SYS_NO_HANDLE;
        opts->input = NULL;
        opts->input_size = 0;
        opts->standard_input = mproc_stdio_null();
    }
    if (!is_last) {
        status = sys_pipe(ends);
        if (status == APR_SUCCESS) {
            links->input = ends[0];
            streams->stdio[1] = (sys_stdio_t){SYS_STDIO_HANDLE, ends[1]};
            streams->opened[1] = ends[1];
        }
    }
    if (status == APR_SUCCESS && links->error_output != SYS_NO_HANDLE) {
        status = sys_handle_duplicate(&streams->opened[2], links->error_output);
        streams->stdio[2] = (sys_stdio_t){SYS_STDIO_HANDLE, streams->opened[2]};
    }
    return status == APR_SUCCESS ? status : mproc_fail(status, "%s: there is no pipe between the programs", call);
}

/** Keep what goes to a program and comes from it. */
static void join_flow(flow_t *all, flow_t *one)
{
    if (one->is_input_pipe) {
        all->is_input_pipe = 1;
        all->input = one->input;
        all->pending = one->pending;
        all->pending_size = one->pending_size;
        all->pending_done = one->pending_done;
        all->is_borrowed = one->is_borrowed;
    }
    for (int i = 0; i < 2; i++)
        if (one->outputs[i].is_pipe)
            all->outputs[i] = one->outputs[i];
    memset(one, 0, sizeof *one);
}

/** Start one more program; the status has its text. */
static apr_status_t add(pipeline_t *pipeline, const char *const *args, const mproc_subprocess_opts_t *opts,
                        links_t *links, int is_last, const char *call)
{
    /* The call that runs programs does not return before all is written, or forgotten. */
    subprocess_streams_t streams = {.opened = {SYS_NO_HANDLE, SYS_NO_HANDLE, SYS_NO_HANDLE}, .is_input_kept = 1};
    mproc_subprocess_opts_t own = *opts;
    const int is_shared = opts->standard_error.kind == MPROC_STDIO_PIPE;
    apr_status_t status = connect_one(&streams, &own, links, is_last, call);
    /* The first one's pipe is for all of them, so one end of it has to stay. */
    if (status == APR_SUCCESS && is_shared && links->error_output == SYS_NO_HANDLE) {
        sys_channel_t *channel;
        status = sys_channel_create(&channel, &links->error_output, 0);
        if (status == APR_SUCCESS) {
            streams.flow.outputs[1] = (gathered_t){.channel = channel, .is_pipe = 1, .most = opts->output_max};
            status = sys_handle_duplicate(&streams.opened[2], links->error_output);
            streams.stdio[2] = (sys_stdio_t){SYS_STDIO_HANDLE, streams.opened[2]};
        }
        if (status != APR_SUCCESS)
            mproc_fail(status, "%s: there is no pipe for standard error", call);
    }
    if (status != APR_SUCCESS) {
        streams_close_opened(&streams);
        flow_close(&streams.flow);
        return status;
    }
    subprocess_t *subprocess, *kept;
    status = subprocess_start(&subprocess, args, &own, &streams, call);
    /* It is needed until the end of the run, also if the library ends meanwhile. */
    if (status == APR_SUCCESS)
        status = subprocess_acquire(&kept, subprocess->handle, call);
    if (status != APR_SUCCESS)
        return status;
    join_flow(&pipeline->flow, &subprocess->flow);
    pipeline->processes[pipeline->count++] = subprocess;
    return status;
}

/** Start all; the status has its text. */
static apr_status_t start_all(pipeline_t *pipeline, const char *const *const *commands, size_t count,
                              const mproc_subprocess_opts_t *opts, const char *call)
{
    links_t links = {SYS_NO_HANDLE, SYS_NO_HANDLE};
    apr_status_t status = APR_SUCCESS;
    for (size_t i = 0; i < count && status == APR_SUCCESS; i++)
        status = add(pipeline, commands[i], opts, &links, i + 1 == count, call);
    sys_handle_close(links.input);
    sys_handle_close(links.error_output);
    return status;
}

/** The exit code of the last one whose code is not 0. */
static int code_of(const pipeline_t *pipeline)
{
    for (size_t i = pipeline->count; i-- > 0;)
        if (pipeline->processes[i]->end.code != 0)
            return pipeline->processes[i]->end.code;
    return 0;
}

/** End all at once, those who run by force if that is what it takes; what they still write is read meanwhile. */
static void stop_all(pipeline_t *pipeline, apr_interval_time_t grace)
{
    subprocess_t *const *processes = pipeline->processes;
    for (size_t i = 0; i < pipeline->count; i++)
        subprocess_hold(processes[i]);
    if (grace != 0) {
        const sys_time_t deadline = process_deadline(grace);
        for (size_t i = 0; i < pipeline->count; i++)
            subprocess_ask(processes[i]);
        const apr_status_t status =
            flow_move(&pipeline->flow, processes, pipeline->count, flow_is_over, NULL, &pipeline->closable, deadline);
        /* Where nothing can be moved, they have their time all the same. */
        for (size_t i = 0; i < pipeline->count && status != APR_SUCCESS && status != APR_TIMEUP; i++)
            sys_wait(sys_process_sentinel(processes[i]->os), deadline);
    }
    for (size_t i = 0; i < pipeline->count; i++)
        subprocess_kill_held(processes[i]);
    for (size_t i = 0; i < pipeline->count; i++)
        subprocess_let_go(processes[i]);
}

/** Run all to their ends, and close them; the status has its text. */
static apr_status_t run_all(pipeline_t *pipeline, const mproc_subprocess_opts_t *opts, mproc_completed_t *completed,
                            int *exitcodes, apr_interval_time_t timeout, const char *call)
{
    flow_t *flow = &pipeline->flow;
    int is_lost = 0;
    flow->is_closing = 1;
    apr_status_t status = flow_move(flow, pipeline->processes, pipeline->count, flow_is_over, NULL, &pipeline->closable,
                                    timeout == 0 ? 0 : process_deadline(timeout));
    if (status != APR_SUCCESS) {
        stop_all(pipeline, opts->grace ? opts->grace : MPROC_SECONDS(1));
        flow_move(flow, pipeline->processes, pipeline->count, flow_is_over, NULL, &pipeline->closable, 0);
    }
    if (completed && flow_take(flow, completed) != APR_SUCCESS)
        status = APR_ENOMEM;
    if (completed)
        completed->exitcode = code_of(pipeline);
    for (size_t i = 0; i < pipeline->count; i++) {
        is_lost |= pipeline->processes[i]->end.known == SYS_END_UNKNOWN;
        if (exitcodes)
            exitcodes[i] = pipeline->processes[i]->end.code;
    }
    if (status == APR_TIMEUP)
        return mproc_fail(status, "%s: '%.200s' has taken too long, and was stopped", call,
                          pipeline->processes[0]->name);
    if (status == APR_SUCCESS && is_lost)
        return mproc_fail(MPROC_EEXITUNKNOWN, "%s: other code of this program took the exit code of '%.200s'", call,
                          pipeline->processes[0]->name);
    return status == APR_SUCCESS
               ? status
               : mproc_fail(status, "%s: the data of '%.200s' cannot be moved", call, pipeline->processes[0]->name);
}

/** Run programs for the public function `call`; the status has its text. */
static apr_status_t run(mproc_completed_t *completed, int *exitcodes, const char *const *const *commands, size_t count,
                        const mproc_subprocess_opts_t *opts, apr_interval_time_t timeout, const char *call)
{
    pipeline_t pipeline;
    memset(&pipeline, 0, sizeof pipeline);
    if (exitcodes)
        memset(exitcodes, 0, count * sizeof *exitcodes);
    if (opts->detached)
        return mproc_fail(APR_EINVAL, "%s: a detached program is started, not run to its end", call);
    apr_status_t status = process_begin(call);
    if (status != APR_SUCCESS)
        return status;
    status = start_all(&pipeline, commands, count, opts, call);
    process_end();
    if (status == APR_SUCCESS)
        status = run_all(&pipeline, opts, completed, exitcodes, timeout, call);
    else
        stop_all(&pipeline, 0);
    for (size_t i = 0; i < pipeline.count; i++) {
        subprocess_close(pipeline.processes[i]);
        subprocess_release(pipeline.processes[i]);
    }
    flow_close(&pipeline.flow);
    return status;
}

/* ---- The public functions ---------------------------------------------------------------------------------------- */

/** Take the caller's options and run programs; the status has its text. */
static apr_status_t run_with(mproc_completed_t *completed, int *exitcodes, const char *const *const *commands,
                             size_t count, const mproc_subprocess_opts_t *opts, size_t opts_size,
                             apr_interval_time_t timeout, const char *call)
{
    mproc_subprocess_opts_t options;
    if (completed)
        memset(completed, 0, sizeof *completed);
    const apr_status_t status = subprocess_take_options(&options, opts, opts_size, call);
    return status == APR_SUCCESS ? run(completed, exitcodes, commands, count, &options, timeout, call) : status;
}

apr_status_t mproc_subprocess_run_sized(mproc_completed_t *completed, const char *const *args,
                                        const mproc_subprocess_opts_t *opts, size_t opts_size,
                                        apr_interval_time_t timeout)
{
    return run_with(completed, NULL, &args, 1, opts, opts_size, timeout, "mproc_subprocess_run");
}

apr_status_t mproc_subprocess_pipeline_sized(mproc_completed_t *completed, int *exitcodes,
                                             const char *const *const *commands, size_t count,
                                             const mproc_subprocess_opts_t *opts, size_t opts_size,
                                             apr_interval_time_t timeout)
{
    static const char call[] = "mproc_subprocess_pipeline";
    if (commands && count > 0 && count <= PIPELINE_MAX)
        return run_with(completed, exitcodes, commands, count, opts, opts_size, timeout, call);
    if (completed)
        memset(completed, 0, sizeof *completed);
    return mproc_fail(APR_EINVAL, "%s: %zu programs, where 1 to %d can be connected", call, commands ? count : 0,
                      PIPELINE_MAX);
}

apr_status_t mproc_subprocess_call_sized(int *exitcode, const char *const *args, const mproc_subprocess_opts_t *opts,
                                         size_t opts_size, apr_interval_time_t timeout)
{
    mproc_completed_t completed;
    const apr_status_t status = run_with(&completed, NULL, &args, 1, opts, opts_size, timeout, "mproc_subprocess_call");
    if (exitcode)
        *exitcode = completed.exitcode;
    mproc_completed_clear(&completed);
    return status;
}

/** Make an exit code that is not 0 a failure. */
static apr_status_t check(apr_status_t status, const mproc_completed_t *completed, const char *const *args,
                          const char *call)
{
    enum { TAIL = 200 };
    if (status != APR_SUCCESS || completed->exitcode == 0)
        return status;
    size_t size = completed->error_output ? completed->error_output_size : 0;
    while (size > 0 && strchr("\r\n", completed->error_output[size - 1]))
        size--;
    size_t shown = size < TAIL ? size : TAIL;
    /* Not from the middle of a character on. */
    while (shown > 0 && shown < size && ((unsigned char)completed->error_output[size - shown] & 0xc0) == 0x80)
        shown--;
    return mproc_fail(MPROC_EEXITCODE, "%s: '%.200s' has ended with exit code %d%s%.*s", call, args[0],
                      completed->exitcode, shown ? ": " : "", (int)shown,
                      shown ? completed->error_output + size - shown : "");
}

apr_status_t mproc_subprocess_check_call_sized(const char *const *args, const mproc_subprocess_opts_t *opts,
                                               size_t opts_size, apr_interval_time_t timeout)
{
    static const char call[] = "mproc_subprocess_check_call";
    mproc_completed_t completed;
    apr_status_t status = run_with(&completed, NULL, &args, 1, opts, opts_size, timeout, call);
    status = check(status, &completed, args, call);
    mproc_completed_clear(&completed);
    return status;
}

apr_status_t mproc_subprocess_check_output_sized(mproc_completed_t *completed, const char *const *args,
                                                 const mproc_subprocess_opts_t *opts, size_t opts_size,
                                                 apr_interval_time_t timeout)
{
    static const char call[] = "mproc_subprocess_check_output";
    mproc_subprocess_opts_t options;
    if (!completed)
        return mproc_fail(APR_EINVAL, "%s: nowhere to store the output: it is NULL", call);
    memset(completed, 0, sizeof *completed);
    apr_status_t status = subprocess_take_options(&options, opts, opts_size, call);
    if (status != APR_SUCCESS)
        return status;
    if (options.standard_output.kind != MPROC_STDIO_INHERIT && options.standard_output.kind != MPROC_STDIO_PIPE)
        return mproc_fail(APR_EINVAL, "%s: the options send standard output elsewhere", call);
    options.standard_output = mproc_stdio_pipe();
    status = run(completed, NULL, &args, 1, &options, timeout, call);
    return check(status, completed, args, call);
}
