/* SPDX-License-Identifier: Apache-2.0 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "arena.h"
#include "call.h"
#include "initialize.h"
#include "log.h"
#include "member.h"
#include "process_object.h"
#include "start_method.h"

apr_interval_time_t process_startup_timeout = MPROC_SECONDS(30);

/*
 * Whether this program is known to reach mproc_initialize() when it is started anew. The first start waits to see it,
 * so that a program which does not is told at once; all later ones go on without waiting.
 */
static _Atomic int proven;

void process_set_proven(void)
{
    atomic_store(&proven, 1);
}

/** Write into the block what may have changed since the process was created. */
static apr_status_t complete_block(process_t *process)
{
    /*
     * The birth never changes, and reading it takes longer than the rest of a start; forked children find another pid.
     */
    static _Thread_local int birth_of;
    static _Thread_local uint64_t birth;
    boot_t *boot = boot_of(&process->block);
    const process_t *creator = process_current();
    const int self = sys_getpid();
    if (birth_of != self) {
        apr_status_t status = sys_birth(&birth, self);
        if (status != APR_SUCCESS)
            return mproc_fail(status, "%s cannot be started: the start time of this process cannot be read",
                              process->name);
        birth_of = self;
    }
    boot->creator_birth = birth;
    boot->creator_pid = self;
    boot->method = (int32_t)process->method;
    boot->chosen_method = (int32_t)start_method_chosen();
    boot->log_level = (int32_t)log_inherited_level();
    boot->daemon = process->daemon;
    boot->is_shielded = process->is_shielded;
    apr_cpystrn(boot->name, process->name, sizeof boot->name);
    apr_cpystrn(boot->creator_name, creator->name, sizeof boot->creator_name);
    apr_cpystrn(boot->identity, process->identity, sizeof boot->identity);
    boot_report_t *report = boot_report(&process->block);
    report->failure_text[0] = '\0';
    atomic_store(&report->stage, BOOT_CREATED);
    const process_t *key_of;
    process_lock();
    apr_status_t status = process_key_of(&key_of, process);
    if (status == APR_SUCCESS) {
        memcpy(boot->authkey, key_of->authkey, key_of->authkey_size);
        boot->authkey_size = (uint32_t)key_of->authkey_size;
    }
    process_unlock();
    return status;
}

/** Wait until a newly started program reaches mproc_initialize(); end it and fail if it does not. */
static apr_status_t see_it_attach(process_t *process)
{
    const boot_report_t *report = boot_report(&process->block);
    const sys_time_t deadline = sys_now() + process_startup_timeout;
    while (atomic_load(&report->stage) == BOOT_CREATED) {
        const sys_time_t now = sys_now();
        if (sys_wait(sys_process_sentinel(process->os), now + 1000) == APR_SUCCESS || now >= deadline)
            break;
    }
    if (atomic_load(&report->stage) != BOOT_CREATED) {
        process_set_proven();
        return APR_SUCCESS;
    }
    sys_exit_t end;
    if (sys_wait(sys_process_sentinel(process->os), 0) != APR_SUCCESS) {
        sys_process_signal(process->os, SYS_KILL);
        sys_wait(sys_process_sentinel(process->os), SYS_NEVER);
        sys_process_reap(&end, process->os);
        return mproc_fail(MPROC_EINIT, "%s cannot be started: its main did not reach mproc_initialize() in %d seconds",
                          process->name, (int)apr_time_sec(process_startup_timeout));
    }
    sys_process_reap(&end, process->os);
    return mproc_fail(MPROC_EINIT,
                      "%s cannot be started: its main ended with exit code %d before it reached mproc_initialize()",
                      process->name, end.code);
}

static apr_status_t start_with_system(process_t *process)
{
    static const sys_method_t methods[] = {
        [MPROC_FORKSERVER] = SYS_FORKSERVER, [MPROC_FORK] = SYS_FORK, [MPROC_SPAWN] = SYS_SPAWN};
    boot_t *boot = boot_of(&process->block);
    sys_start_t start = {
        .block = &process->block,
        .slots = boot->slots,
        .handles = process->given,
        .handle_count = process->given_count,
        .child_handles = boot_at(boot, boot->handles),
        .directory = process->directory,
        .environment = process->method == MPROC_SPAWN ? (const char *const *)process->environment : NULL,
        .deadline = sys_now() + process_startup_timeout,
        .is_shielded = process->is_shielded,
    };
    memcpy(start.stdio, process->stdio, sizeof start.stdio);
    if (process->method == MPROC_FORK)
        start.thread_count = sys_thread_count();
    if (start.thread_count > 1)
        mproc_log(MPROC_LOG_WARNING,
                  "%s is forked while this process has %d threads: a lock that one of them holds now stays "
                  "locked in the child",
                  process->name, start.thread_count);
    apr_status_t status = sys_process_start(&process->os, methods[process->method], &start);
    if (status == APR_INCHILD) {
        sys_block_t block = process->block;
        child_run(&block);
    }
    if (status == MPROC_EINIT)
        return mproc_fail(status, "%s cannot be started: %s ended before it reached mproc_initialize() in its main",
                          process->name, start.failed ? start.failed : "the program");
    if (status != APR_SUCCESS)
        return mproc_fail(status, "%s cannot be started by %s%s%s", process->name,
                          mproc_start_method_name(process->method), start.failed ? ": " : "",
                          start.failed ? start.failed : "");
    process->pid = sys_process_pid(process->os);
    if (process->method == MPROC_SPAWN && !atomic_load(&proven)) {
        status = see_it_attach(process);
        if (status != APR_SUCCESS) {
            sys_process_close(process->os);
            process->os = NULL;
            process->pid = 0;
        }
    }
    return status;
}

void process_set_running(process_t *process)
{
    process->state = PROCESS_RUNNING;
    children_add(process);
}

/** Start a process that this thread has marked as being launched. */
static apr_status_t launch(process_t *process)
{
    apr_status_t status = complete_block(process);
    /* Without memory to share, the child is a family of its own. */
    if (process->method != MPROC_THREAD)
        arena_offer();
    if (status == APR_SUCCESS)
        status = process->method == MPROC_THREAD ? thread_launch(process) : start_with_system(process);
    /*
     * The child has it all now. Where handles are pipes, nobody must wait for an end that this process still holds
     * open. And until the process is said to run, no other thread looks into its block, which the trim may move.
     */
    if (status == APR_SUCCESS && process->method != MPROC_THREAD) {
        process_drop_given(process, 1);
        sys_block_trim(&process->block, sizeof(boot_t));
    }
    process_lock();
    if (status != APR_SUCCESS)
        process->state = PROCESS_CREATED;
    else if (process->method != MPROC_THREAD)
        process_set_running(process);
    process_unlock();
    if (status != APR_SUCCESS)
        return status;
    mproc_log(MPROC_LOG_DEBUG, "%s started by %s with pid %d", process->name, mproc_start_method_name(process->method),
              process->pid);
    return APR_SUCCESS;
}

apr_status_t process_launch(process_t *process)
{
    apr_status_t status = process_begin("mproc_process_launch");
    if (status != APR_SUCCESS)
        return status;
    process_lock();
    if (process->role != ROLE_CHILD || process->state != PROCESS_CREATED || process->readers > 0)
        status = process_wrong_state(process, "mproc_process_launch");
    else
        process->state = PROCESS_LAUNCHING;
    process_unlock();
    if (status == APR_SUCCESS)
        status = launch(process);
    process_end();
    return status;
}

apr_status_t mproc_process_launch(mproc_process_t *handle)
{
    process_t *process;
    apr_status_t status = process_acquire(&process, handle, "mproc_process_launch");
    if (status != APR_SUCCESS)
        return status;
    status = process_launch(process);
    process_release(process);
    return status;
}

apr_status_t mproc_process_start_sized(mproc_process_t **handle, mproc_target_t target,
                                       const mproc_process_opts_t *opts, size_t opts_size)
{
    apr_status_t status = mproc_process_create_sized(handle, target, opts, opts_size);
    if (status != APR_SUCCESS)
        return status;
    status = mproc_process_launch(*handle);
    if (status != APR_SUCCESS) {
        mproc_process_close(*handle);
        *handle = NULL;
    }
    return status;
}

/** Duplicate the handles in a copy of a process's block, and let the copy's target have them. */
static apr_status_t duplicate_handles(boot_t *copy, const process_t *process)
{
    int64_t *handles = boot_at(copy, copy->handles);
    apr_status_t status = APR_SUCCESS;
    size_t count = 0;
    for (; count < process->given_count && status == APR_SUCCESS; count++) {
        sys_handle_t duplicate;
        status = sys_handle_duplicate(&duplicate, process->given[count]);
        handles[count] = duplicate;
    }
    if (status == APR_SUCCESS) {
        /* Connections take theirs over themselves. */
        for (size_t i = 0; i < count - copy->conn_handle_count; i++)
            sys_handle_give((sys_handle_t)handles[i]);
        return status;
    }
    for (size_t i = 0; i < count; i++)
        sys_handle_close((sys_handle_t)handles[i]);
    return mproc_fail(status, "mproc_process_run: the handles given to %s cannot be duplicated", process->name);
}

/** Duplicate the handles, and hold what is shared once more. */
static apr_status_t duplicate_for_run(boot_t *copy, const process_t *process)
{
    apr_status_t status = APR_SUCCESS;
    if (process->share_count)
        status = shared_pass_again(boot_at(copy, copy->shares), process->share_count, member_self());
    if (status != APR_SUCCESS)
        return mproc_fail(status, "mproc_process_run: there is no room for what %s shares", process->name);
    status = duplicate_handles(copy, process);
    if (status != APR_SUCCESS && process->share_count)
        shared_pass_drop(boot_at(copy, copy->shares), process->share_count);
    return status;
}

/**
 * Copy what a target is given, so that it may write into its arguments and close its handles, and the process can still
 * be launched with its own.
 */
static apr_status_t copy_for_run(boot_t **copy, process_t *process)
{
    *copy = NULL;
    process_lock();
    const int is_created = process->role == ROLE_CHILD && process->state == PROCESS_CREATED;
    apr_status_t status = is_created ? APR_SUCCESS : process_wrong_state(process, "mproc_process_run");
    /* What was read ahead of a connection can be received once. */
    if (is_created && process->moving && process->moving->has_read)
        status = mproc_fail(MPROC_ESTATE, "mproc_process_run: %s was given a connection that was received from already",
                            process->name);
    if (status == APR_SUCCESS)
        process->readers++;
    process_unlock();
    if (status != APR_SUCCESS)
        return status;
    const boot_t *boot = boot_of(&process->block);
    *copy = malloc((size_t)boot->size);
    if (*copy) {
        memcpy(*copy, boot, (size_t)boot->size);
        status = duplicate_for_run(*copy, process);
    } else {
        status = mproc_fail(APR_ENOMEM, "mproc_process_run: no memory for the arguments of %s", process->name);
    }
    process_lock();
    process->readers--;
    if (status == APR_SUCCESS)
        apr_cpystrn((*copy)->name, process->name, BOOT_NAME_MAX);
    process_unlock();
    if (status != APR_SUCCESS)
        free(*copy);
    return status;
}

apr_status_t mproc_process_run(mproc_process_t *handle, int *exitcode)
{
    process_t *process;
    apr_status_t status = process_acquire(&process, handle, "mproc_process_run");
    if (status != APR_SUCCESS)
        return status;
    mproc_target_t target = process->target;
    boot_t *copy = NULL;
    status = copy_for_run(&copy, process);
    process_release(process);
    if (status != APR_SUCCESS)
        return status;
    mproc_call_t call_of_target;
    status = call_open(&call_of_target, copy);
    if (status == APR_SUCCESS) {
        const int code = child_call_target(NULL, &call_of_target, target);
        call_close(&call_of_target);
        if (exitcode)
            *exitcode = code;
    }
    free(copy);
    return status;
}
