/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the kernel does not mind which thread starts a program: it ends the program with this process (FreeBSD), or
 * does not tie their lives together at all. Other mechanisms need the child to take part, and this child is not ours.
 */
#include <stddef.h>

#include "unix.h"

apr_status_t unix_starter_spawn(pid_t *pid, unix_spawn_t *spawn)
{
    unix_lifeline_t line;
    if (unix_lifeline_create(&line, 1) == 0 && line.followed < 0)
        spawn->lifeline = &line;
    const apr_status_t status = unix_spawn(pid, spawn);
    spawn->lifeline = NULL;
    unix_lifeline_close(&line);
    return status;
}

void unix_starter_shutdown(void)
{
}

void unix_starter_lock(void)
{
}

void unix_starter_unlock(void)
{
}

void unix_starter_forget(void)
{
}
