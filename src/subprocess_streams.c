/* SPDX-License-Identifier: Apache-2.0 */
/* The standard streams of a program: pipes, files, duplicates of handles. */
#include <string.h>

#include "subprocess_object.h"

static const char *const names[3] = {"standard input", "standard output", "standard error"};

/** The streams that options speak of. */
static void list_streams(const mproc_stdio_t *streams[3], const mproc_subprocess_opts_t *opts)
{
    streams[0] = &opts->standard_input;
    streams[1] = &opts->standard_output;
    streams[2] = &opts->standard_error;
}

apr_status_t streams_check(const mproc_subprocess_opts_t *opts, const char *call)
{
    const mproc_stdio_t *streams[3];
    list_streams(streams, opts);
    if (!opts->input && opts->input_size)
        return mproc_fail(APR_EINVAL, "%s: the input is NULL, but its size is %zu", call, opts->input_size);
    if (opts->input && streams[0]->kind != MPROC_STDIO_INHERIT && streams[0]->kind != MPROC_STDIO_PIPE)
        return mproc_fail(APR_EINVAL, "%s: there is input, and standard input is no pipe", call);
    for (int i = 0; i < 3; i++) {
        const mproc_stdio_kind_t kind = streams[i]->kind;
        if (kind < MPROC_STDIO_INHERIT || kind > MPROC_STDIO_APPEND || (kind == MPROC_STDIO_STDOUT && i != 2) ||
            (kind == MPROC_STDIO_APPEND && i == 0))
            return mproc_fail(APR_EINVAL, "%s: %s has kind %d", call, names[i], (int)kind);
        if ((kind == MPROC_STDIO_FILE || kind == MPROC_STDIO_APPEND) && !streams[i]->path)
            return mproc_fail(APR_EINVAL, "%s: %s is a file without a path", call, names[i]);
    }
    return APR_SUCCESS;
}

/** Keep what this process holds until the program has it. */
static void pass(subprocess_streams_t *streams, int i, sys_handle_t handle)
{
    streams->stdio[i] = (sys_stdio_t){SYS_STDIO_HANDLE, handle};
    streams->opened[i] = handle;
}

static apr_status_t open_pipe(subprocess_streams_t *streams, int i, size_t most)
{
    sys_channel_t *channel;
    sys_handle_t theirs;
    const apr_status_t status = sys_channel_create(&channel, &theirs, i == 0);
    if (status != APR_SUCCESS)
        return status;
    if (i == 0) {
        streams->flow.input = channel;
        streams->flow.is_input_pipe = 1;
    } else {
        streams->flow.outputs[i - 1] = (gathered_t){.channel = channel, .is_pipe = 1, .most = most};
    }
    pass(streams, i, theirs);
    return status;
}

static apr_status_t open_file(subprocess_streams_t *streams, int i, const mproc_stdio_t *stream)
{
    sys_handle_t handle;
    const sys_open_t how = i == 0                               ? SYS_OPEN_READ
                           : stream->kind == MPROC_STDIO_APPEND ? SYS_OPEN_APPEND
                                                                : SYS_OPEN_WRITE;
    const apr_status_t status = sys_file_open(&handle, stream->path, how);
    if (status == APR_SUCCESS)
        pass(streams, i, handle);
    return status;
}

/** Open one stream; the status has its text. */
static apr_status_t open_one(subprocess_streams_t *streams, int i, const mproc_stdio_t *stream,
                             const mproc_subprocess_opts_t *opts, const char *call)
{
    sys_handle_t copy;
    apr_status_t status = APR_SUCCESS;
    switch (stream->kind) {
    case MPROC_STDIO_PIPE:
        status = open_pipe(streams, i, opts->output_max);
        return status == APR_SUCCESS ? status : mproc_fail(status, "%s: there is no pipe for %s", call, names[i]);
    case MPROC_STDIO_FILE:
    case MPROC_STDIO_APPEND:
        status = open_file(streams, i, stream);
        return status == APR_SUCCESS ? status
                                     : mproc_fail(status, "%s: '%.300s' cannot be %s", call, stream->path, names[i]);
    case MPROC_STDIO_HANDLE:
        status = sys_handle_duplicate(&copy, (sys_handle_t)stream->handle);
        if (status != APR_SUCCESS)
            return mproc_fail(status, "%s: handle %lld cannot be %s", call, (long long)stream->handle, names[i]);
        pass(streams, i, copy);
        return status;
    case MPROC_STDIO_NULL:
        streams->stdio[i].kind = SYS_STDIO_NULL;
        return status;
    case MPROC_STDIO_STDOUT:
        streams->stdio[i].kind = SYS_STDIO_STDOUT;
        return status;
    default:
        streams->stdio[i].kind = opts->detached ? SYS_STDIO_NULL : SYS_STDIO_INHERIT;
        return status;
    }
}

apr_status_t streams_open(subprocess_streams_t *streams, const mproc_subprocess_opts_t *opts, const char *call)
{
    const mproc_stdio_t *of_options[3];
    list_streams(of_options, opts);
    for (int i = 0; i < 3; i++) {
        mproc_stdio_t stream = *of_options[i];
        if (i == 0 && opts->input)
            stream.kind = MPROC_STDIO_PIPE;
        if (streams->opened[i] != SYS_NO_HANDLE)
            continue;
        const apr_status_t status = open_one(streams, i, &stream, opts, call);
        if (status != APR_SUCCESS)
            return status;
    }
    const size_t input_size = streams->flow.input ? opts->input_size : 0;
    if (flow_add_input(&streams->flow, opts->input, input_size, streams->is_input_kept) != APR_SUCCESS)
        return mproc_fail(APR_ENOMEM, "%s: no memory for %zu bytes of input", call, opts->input_size);
    return APR_SUCCESS;
}

void streams_close_opened(subprocess_streams_t *streams)
{
    for (int i = 0; i < 3; i++) {
        sys_handle_close(streams->opened[i]);
        streams->opened[i] = SYS_NO_HANDLE;
    }
}
