/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stddef.h>

#include "unix.h"

int unix_is_elsewhere(int error)
{
    return error == ENOENT || error == ENOTDIR || error == ELOOP || error == ENAMETOOLONG || error == ESTALE ||
           error == ENODEV || error == ETIMEDOUT;
}

apr_status_t unix_spawn_self(pid_t *pid, unix_spawn_t *spawn, const char *marker)
{
    const char *paths[2] = {NULL, NULL};
    const char *args[3] = {unix_program_name(), marker, NULL};
    *pid = 0;
    apr_status_t status = unix_program_path(&paths[0], &spawn->failed);
    if (status != APR_SUCCESS)
        return status;
    spawn->paths = paths;
    spawn->args = args;
    status = unix_spawn(pid, spawn);
    spawn->paths = spawn->args = NULL;
    if (status != APR_SUCCESS && !spawn->failed)
        spawn->failed = "the program's file";
    return status;
}
