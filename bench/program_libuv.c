/* SPDX-License-Identifier: Apache-2.0 */
#include <uv.h>

#include "program_players.h"

/** What was read of a pipe. */
typedef struct gathered_t {
    uv_pipe_t pipe;
    char data[1 << 16];
    size_t size;
} gathered_t;

static gathered_t outputs[2];
static int64_t ended_with;

static void on_end(uv_process_t *process, int64_t code, int sig)
{
    ended_with = sig ? -1 : code;
    uv_close((uv_handle_t *)process, NULL);
}

static void on_room(uv_handle_t *handle, size_t wanted, uv_buf_t *room)
{
    gathered_t *gathered = handle->data;
    (void)wanted;
    *room = uv_buf_init(gathered->data + gathered->size, (unsigned)(sizeof gathered->data - gathered->size));
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *room)
{
    gathered_t *gathered = stream->data;
    (void)room;
    if (size < 0)
        uv_close((uv_handle_t *)stream, NULL);
    else
        gathered->size += (size_t)size;
}

static int run(char *const *argv, int is_piped)
{
    uv_loop_t *loop = uv_default_loop();
    uv_stdio_container_t streams[3];
    uv_process_t process;
    uv_process_options_t options = {
        .exit_cb = on_end, .file = argv[0], .args = (char **)(uintptr_t)argv, .stdio = streams, .stdio_count = 3};
    for (int i = 0; i < 3; i++) {
        streams[i].flags = UV_INHERIT_FD;
        streams[i].data.fd = i;
        if (!is_piped || i == 0)
            continue;
        gathered_t *gathered = &outputs[i - 1];
        uv_pipe_init(loop, &gathered->pipe, 0);
        gathered->pipe.data = gathered;
        gathered->size = 0;
        streams[i].flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE;
        streams[i].data.stream = (uv_stream_t *)&gathered->pipe;
    }
    ended_with = -1;
    if (!loop || uv_spawn(loop, &process, &options) != 0)
        return -1;
    for (int i = 0; i < 2 && is_piped; i++)
        uv_read_start((uv_stream_t *)&outputs[i].pipe, on_room, on_read);
    uv_run(loop, UV_RUN_DEFAULT);
    return (int)ended_with;
}

static int start(void)
{
    return run(program_exit, 0) == CHILD_EXIT_CODE ? 0 : -1;
}

static int capture(void)
{
    const int code = run(program_say, 1);
    return program_check_said(code, outputs[0].data, outputs[0].size, outputs[1].size);
}

const program_player_t program_libuv = {"libuv", NULL, start, capture, NULL};
