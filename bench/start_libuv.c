/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A module that bench/start loads while it runs. If the program itself were linked with libuv, each child that is
 * executed would load it as well, and all would look slower than they are.
 */
#include <uv.h>

#include "start_references.h"

static int64_t ended_with;

static void on_end(uv_process_t *process, int64_t code, int sig)
{
    ended_with = sig ? -1 : code;
    uv_close((uv_handle_t *)process, NULL);
}

__attribute__((visibility("default"))) int start_libuv_run(char *path)
{
    static char argument[] = EXIT_ARGUMENT;
    char *argv[] = {path, argument, NULL};
    uv_loop_t *loop = uv_default_loop();
    uv_stdio_container_t streams[3];
    uv_process_t process;
    uv_process_options_t options = {.exit_cb = on_end, .file = path, .args = argv, .stdio = streams, .stdio_count = 3};
    for (int i = 0; i < 3; i++) {
        streams[i].flags = UV_INHERIT_FD;
        streams[i].data.fd = i;
    }
    ended_with = -1;
    if (!loop || uv_spawn(loop, &process, &options) != 0)
        return -1;
    uv_run(loop, UV_RUN_DEFAULT);
    return ended_with == EXIT_EXPECTED ? 0 : -1;
}
