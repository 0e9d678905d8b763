/* SPDX-License-Identifier: Apache-2.0 */
#include <mproc/subprocess.h>
#include <mproc/version.h>

#include <stdlib.h>
#include <string.h>

#include "environment.h"
#include "handle.h"
#include "initialize.h"
#include "log.h"
#include "process_object.h"
#include "subprocess_object.h"

/* ---- Handles ----------------------------------------------------------------------------------------------------- */

apr_status_t subprocess_acquire(subprocess_t **subprocess, mproc_subprocess_t *handle, const char *call)
{
    void *object;
    apr_status_t status = handle_acquire(&object, handle, HANDLE_SUBPROCESS);
    *subprocess = object;
    if (status == APR_EINVAL)
        return mproc_fail(status, "%s: the subprocess is NULL", call);
    if (status != APR_SUCCESS)
        return mproc_fail(status, "%s: %p is not an open subprocess: closed before, or never one", call,
                          (void *)handle);
    if ((*subprocess)->owner != sys_getpid()) {
        mproc_fail(MPROC_EFOREIGN, "%s: the subprocess was started by process %d, this is process %d", call,
                   (*subprocess)->owner, sys_getpid());
        handle_release(handle);
        *subprocess = NULL;
        return MPROC_EFOREIGN;
    }
    return APR_SUCCESS;
}

void subprocess_release(subprocess_t *subprocess)
{
    handle_release(subprocess->handle);
}

static void destroy(void *object)
{
    subprocess_t *subprocess = object;
    flow_close(&subprocess->flow);
    free(subprocess->name);
    if (subprocess->owner == sys_getpid()) {
        process_lock();
        subprocess_settle(subprocess);
        const int is_running = subprocess->link != NULL;
        if (is_running)
            subprocess_leave(subprocess);
        else
            sys_process_close(subprocess->os);
        process_unlock();
        if (is_running)
            return;
    }
    free(subprocess);
}

void subprocess_close(subprocess_t *subprocess)
{
    const void *const handle = subprocess->handle;
    void *object;
    /* With its last use the object goes: it must not be the one that closing the handle ends. */
    if (handle_acquire(&object, handle, HANDLE_SUBPROCESS) != APR_SUCCESS)
        return;
    if (handle_close(handle, HANDLE_SUBPROCESS) == APR_SUCCESS)
        closable_close(&subprocess->closable);
    handle_release(handle);
}

static int is_own(const void *object)
{
    return ((const subprocess_t *)object)->owner == sys_getpid();
}

static void wake(void *object)
{
    closable_close(&((subprocess_t *)object)->closable);
}

void subprocess_close_all(void)
{
    handle_close_all(HANDLE_SUBPROCESS, is_own, wake);
    subprocess_sweep();
    subprocess_drop_left();
}

static apr_status_t close_with_pool(void *handle)
{
    void *object;
    if (handle_acquire(&object, handle, HANDLE_SUBPROCESS) != APR_SUCCESS)
        return APR_SUCCESS;
    subprocess_t *subprocess = object;
    if (subprocess->owner == sys_getpid()) {
        if (!subprocess->is_detached)
            subprocess_stop(subprocess, subprocess->grace);
        subprocess_close(subprocess);
    }
    subprocess_release(subprocess);
    return APR_SUCCESS;
}

/* ---- Options ----------------------------------------------------------------------------------------------------- */

apr_status_t subprocess_take_options(mproc_subprocess_opts_t *to, const mproc_subprocess_opts_t *opts, size_t size,
                                     const char *call)
{
    memset(to, 0, sizeof *to);
    if (!opts)
        return APR_SUCCESS;
    if (size > sizeof *to)
        return mproc_fail(MPROC_EBUILD, "%s: the program was built for a later libmproc than %s", call,
                          mproc_version());
    memcpy(to, opts, size);
    return APR_SUCCESS;
}

static apr_status_t check_options(const char *const *args, const mproc_subprocess_opts_t *opts, const char *call)
{
    if (!args || !args[0])
        return mproc_fail(APR_EINVAL, "%s: there are no arguments; the first one is the program", call);
    if (opts->handle_count && !opts->handles)
        return mproc_fail(APR_EINVAL, "%s: handles is NULL, but its count is not 0", call);
    if (opts->handle_count > MPROC_HANDLES_MAX)
        return mproc_fail(APR_EINVAL, "%s: %zu handles, but %d is the most", call, opts->handle_count,
                          MPROC_HANDLES_MAX);
    if (opts->group < MPROC_GROUP_DEFAULT || opts->group > MPROC_GROUP_CREATOR)
        return mproc_fail(APR_EINVAL, "%s: group %d", call, (int)opts->group);
    if (opts->detached && opts->group == MPROC_GROUP_CREATOR)
        return mproc_fail(APR_EINVAL, "%s: a detached program cannot be in this process's group", call);
    for (size_t i = 0; i < opts->handle_count; i++) {
        sys_handle_t copy;
        const sys_handle_t handle = (sys_handle_t)opts->handles[i];
        const apr_status_t status = sys_handle_duplicate(&copy, handle);
        if (status != APR_SUCCESS)
            return mproc_fail(status, "%s: handle %zu (%lld) cannot be given to a program", call, i, (long long)handle);
        sys_handle_close(copy);
        if (handle < 3)
            return mproc_fail(APR_EINVAL, "%s: handle %zu is a standard stream, which has options of its own", call, i);
    }
    return streams_check(opts, call);
}

/** Whether a program is to lead a group of its own. */
static int has_group(const mproc_subprocess_opts_t *opts, const sys_stdio_t *input)
{
    if (opts->group != MPROC_GROUP_DEFAULT)
        return opts->group == MPROC_GROUP_OWN;
    return input->kind != SYS_STDIO_INHERIT || !sys_has_terminal();
}

/* ---- Starting ---------------------------------------------------------------------------------------------------- */

/** Make an object that has nothing yet. */
static apr_status_t make(subprocess_t **subprocess, const char *name, const char *call)
{
    subprocess_t *made = *subprocess = calloc(1, sizeof **subprocess);
    if (made) {
        made->owner = sys_getpid();
        made->name = strdup(name);
        made->handle = made->name ? handle_open(HANDLE_SUBPROCESS, made, destroy) : NULL;
    }
    if (made && made->handle)
        return APR_SUCCESS;
    if (made)
        free(made->name);
    free(made);
    *subprocess = NULL;
    return mproc_fail(APR_ENOMEM, "%s: no memory for a subprocess", call);
}

/** Have the system start it; the status has its text. */
static apr_status_t start_with_system(subprocess_t *subprocess, const char *const *args,
                                      const mproc_subprocess_opts_t *opts, const subprocess_streams_t *streams,
                                      const char *call)
{
    char **environment = NULL;
    apr_status_t status = APR_SUCCESS;
    if (opts->environment || opts->environment_changes)
        status = environment_build(&environment, opts->environment, opts->environment_changes);
    if (status != APR_SUCCESS)
        return status;
    sys_program_t program = {.args = args,
                             .file = opts->program ? opts->program : args[0],
                             .directory = opts->directory,
                             .environment = (const char *const *)environment,
                             .handle_count = opts->handle_count,
                             .has_group = !opts->detached && has_group(opts, &streams->stdio[0]),
                             .is_detached = opts->detached != 0};
    sys_handle_t handles[MPROC_HANDLES_MAX];
    for (size_t i = 0; i < opts->handle_count; i++)
        handles[i] = (sys_handle_t)opts->handles[i];
    program.handles = handles;
    memcpy(program.stdio, streams->stdio, sizeof program.stdio);
    status = sys_program_start(&subprocess->os, &program);
    free(environment);
    if (status != APR_SUCCESS)
        return mproc_fail(status, "%s: '%.300s' cannot be started: %s%s%.200s%s", call, program.file,
                          program.failed ? program.failed : "the system refuses", opts->directory ? " (in '" : "",
                          opts->directory ? opts->directory : "", opts->directory ? "')" : "");
    subprocess->pid = sys_process_pid(subprocess->os);
    return status;
}

apr_status_t subprocess_start(subprocess_t **subprocess, const char *const *args, const mproc_subprocess_opts_t *opts,
                              subprocess_streams_t *streams, const char *call)
{
    subprocess_t *made = *subprocess = NULL;
    subprocess_sweep();
    apr_status_t status = check_options(args, opts, call);
    if (status == APR_SUCCESS)
        status = streams_open(streams, opts, call);
    if (status == APR_SUCCESS)
        status = make(&made, args[0], call);
    if (status == APR_SUCCESS)
        status = start_with_system(made, args, opts, streams, call);
    /* The program has them: nobody must wait for the end of a pipe that this process holds open. */
    streams_close_opened(streams);
    if (status != APR_SUCCESS) {
        flow_close(&streams->flow);
        if (made)
            handle_close(made->handle, HANDLE_SUBPROCESS);
        return status;
    }
    made->flow = streams->flow;
    made->flow.is_to_close = &made->is_input_to_close;
    made->is_detached = opts->detached != 0;
    made->grace = opts->grace ? opts->grace : MPROC_SECONDS(1);
    memset(&streams->flow, 0, sizeof streams->flow);
    process_lock();
    subprocess_add(made);
    process_unlock();
    mproc_log(MPROC_LOG_DEBUG, "'%s' started with pid %d", made->name, made->pid);
    *subprocess = made;
    return status;
}

apr_status_t mproc_subprocess_start_sized(mproc_subprocess_t **handle, const char *const *args,
                                          const mproc_subprocess_opts_t *opts, size_t opts_size)
{
    static const char call[] = "mproc_subprocess_start";
    mproc_subprocess_opts_t options;
    subprocess_t *subprocess;
    subprocess_streams_t streams = {.opened = {SYS_NO_HANDLE, SYS_NO_HANDLE, SYS_NO_HANDLE}};
    if (handle)
        *handle = NULL;
    if (!handle)
        return mproc_fail(APR_EINVAL, "%s: nowhere to store the subprocess: it is NULL", call);
    apr_status_t status = subprocess_take_options(&options, opts, opts_size, call);
    if (status != APR_SUCCESS)
        return status;
    status = process_begin(call);
    if (status != APR_SUCCESS)
        return status;
    status = subprocess_start(&subprocess, args, &options, &streams, call);
    if (status == APR_SUCCESS) {
        *handle = subprocess->handle;
        if (options.pool)
            apr_pool_cleanup_register(options.pool, *handle, close_with_pool, apr_pool_cleanup_null);
    }
    process_end();
    return status;
}

apr_status_t mproc_subprocess_close(mproc_subprocess_t *handle)
{
    subprocess_t *subprocess;
    if (!handle)
        return APR_SUCCESS;
    apr_status_t status = subprocess_acquire(&subprocess, handle, "mproc_subprocess_close");
    if (status != APR_SUCCESS)
        return status;
    if (!subprocess->is_detached && !subprocess_has_ended(subprocess))
        status = mproc_fail(MPROC_ESTATE, "mproc_subprocess_close: '%.200s' (pid %d) still runs", subprocess->name,
                            subprocess->pid);
    else
        subprocess_close(subprocess);
    subprocess_release(subprocess);
    return status;
}

int mproc_subprocess_pid(mproc_subprocess_t *handle)
{
    subprocess_t *subprocess;
    if (subprocess_acquire(&subprocess, handle, "mproc_subprocess_pid") != APR_SUCCESS)
        return 0;
    const int pid = subprocess->pid;
    subprocess_release(subprocess);
    mproc_forget_error();
    return pid;
}
