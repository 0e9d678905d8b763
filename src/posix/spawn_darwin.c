/* SPDX-License-Identifier: Apache-2.0 */
/*
 * macOS: posix_spawn is one system call there, and the only way to be sure that a child gets no descriptor but those
 * that it is given. Nothing of this process runs in the child, which ties its life to this one's when it runs
 * (lifeline_thread.c).
 */
#include <errno.h>
#include <signal.h>
#include <spawn.h>

#include "unix.h"

/** Say which descriptors the child gets, and where it works: 0, or an errno value. */
static int add_actions(posix_spawn_file_actions_t *actions, const unix_spawn_t *spawn)
{
    int error = 0;
    if (spawn->directory >= 0)
        error = posix_spawn_file_actions_addfchdir_np(actions, spawn->directory);
    for (int i = 0; i < 3 && error == 0; i++) {
        const int from = spawn->stdio[i] == UNIX_STDIO_AS_STDOUT ? 1 : spawn->stdio[i];
        if (from == UNIX_STDIO_LEAVE)
            error = posix_spawn_file_actions_addinherit_np(actions, i);
        else
            error = posix_spawn_file_actions_adddup2(actions, from, i);
    }
    for (size_t i = 0; i < spawn->keep_count && error == 0; i++)
        error = posix_spawn_file_actions_addinherit_np(actions, spawn->keep[i]);
    return error;
}

/**
 * Everything not said otherwise is closed, and no signal is blocked but that which a child is shielded from: one that
 * starts like that could not be terminated.
 */
static int set_attributes(posix_spawnattr_t *attributes, const unix_spawn_t *spawn)
{
    static const int signals[] = UNIX_SIGNALS_TO_RESTORE;
    int flags = POSIX_SPAWN_CLOEXEC_DEFAULT | POSIX_SPAWN_SETSIGMASK;
    sigset_t blocked, set;
    sigemptyset(&blocked);
    sigemptyset(&set);
    if (spawn->is_shielded)
        sigaddset(&blocked, SIGINT);
    int error = posix_spawnattr_setsigmask(attributes, &blocked);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0] && spawn->is_foreign; i++)
        sigaddset(&set, signals[i]);
    if (unix_is_shielded())
        sigaddset(&set, SIGINT);
    if (error == 0 && (spawn->is_foreign || unix_is_shielded())) {
        error = posix_spawnattr_setsigdefault(attributes, &set);
        flags |= POSIX_SPAWN_SETSIGDEF;
    }
    if (spawn->has_session)
        flags |= POSIX_SPAWN_SETSID;
    else if (spawn->has_group)
        flags |= POSIX_SPAWN_SETPGROUP; /* 0, which is preset, is a group of its own */
    return error ? error : posix_spawnattr_setflags(attributes, (short)flags);
}

/** Execute the first of the paths that can be executed: 0, or an errno value. */
static int execute(pid_t *pid, const unix_spawn_t *spawn, const posix_spawn_file_actions_t *actions,
                   const posix_spawnattr_t *attributes)
{
    char **environment = spawn->environment ? (char **)(uintptr_t)spawn->environment : *unix_environment();
    int error = ENOENT;
    for (size_t i = 0; spawn->paths[i]; i++) {
        const int result =
            posix_spawn(pid, spawn->paths[i], actions, attributes, (char *const *)(uintptr_t)spawn->args, environment);
        if (result == EACCES || !spawn->paths[1])
            error = result;
        else if (!unix_is_elsewhere(result))
            return result;
    }
    return error;
}

int unix_is_spawning(void)
{
    return 0; /* posix_spawn runs no handlers of forks */
}

apr_status_t unix_spawn(pid_t *pid, unix_spawn_t *spawn)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    *pid = 0;
    apr_status_t status = posix_spawn_file_actions_init(&actions);
    if (status != APR_SUCCESS)
        return status;
    status = posix_spawnattr_init(&attributes);
    if (status == APR_SUCCESS) {
        status = add_actions(&actions, spawn);
        if (status == APR_SUCCESS)
            status = set_attributes(&attributes, spawn);
        if (status == APR_SUCCESS)
            status = execute(pid, spawn, &actions, &attributes);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    if (status != APR_SUCCESS)
        *pid = 0;
    return status;
}
