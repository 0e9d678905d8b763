/* SPDX-License-Identifier: Apache-2.0 */
/* What a process is to be: the options are checked, and all that they refer to is copied or duplicated. */
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "arena.h"
#include "environment.h"
#include "member.h"
#include "process_object.h"
#include "shared.h"
#include "target.h"

apr_status_t process_check_options(const mproc_process_opts_t *opts, mproc_start_method_t method)
{
    const mproc_stdio_t *streams[3] = {&opts->standard_input, &opts->standard_output, &opts->standard_error};
    if ((opts->data == NULL) != (opts->size == 0))
        return mproc_fail(APR_EINVAL, "options: data is %s, but its size is %zu", opts->data ? "set" : "NULL",
                          opts->size);
    if ((opts->arg_count && !opts->args) || (opts->handle_count && !opts->handles) || (opts->cpu_count && !opts->cpus))
        return mproc_fail(APR_EINVAL, "options: args, handles or cpus is NULL, but its count is not 0");
    if (opts->handle_count > MPROC_HANDLES_MAX)
        return mproc_fail(APR_EINVAL, "options: %zu handles, but %d is the most", opts->handle_count,
                          MPROC_HANDLES_MAX);
    if (opts->arg_count > SIZE_MAX / 2 / sizeof *opts->args)
        return mproc_fail(MPROC_ESIZE, "options: %zu arguments are more than memory can hold", opts->arg_count);
    for (size_t i = 0; i < opts->arg_count; i++)
        if (!opts->args[i].data && opts->args[i].size)
            return mproc_fail(APR_EINVAL, "options: argument %zu is NULL, but its size is %zu", i, opts->args[i].size);
    if (opts->name && (!*opts->name || strlen(opts->name) >= BOOT_NAME_MAX))
        return mproc_fail(APR_EINVAL, "options: a name has 1 to %d bytes", BOOT_NAME_MAX - 1);
    if (opts->cpus && opts->cpu_count == 0)
        return mproc_fail(APR_EINVAL, "options: cpus is set, but cpu_count is 0: a process needs a CPU to run on");
    for (int i = 0; i < 3; i++) {
        if (streams[i]->kind < MPROC_STDIO_INHERIT || streams[i]->kind > MPROC_STDIO_STDOUT ||
            (streams[i]->kind == MPROC_STDIO_STDOUT && i != 2))
            return mproc_fail(APR_EINVAL, "options: standard stream %d has kind %d", i, (int)streams[i]->kind);
        if (method == MPROC_THREAD && streams[i]->kind != MPROC_STDIO_INHERIT)
            return mproc_fail(APR_ENOTIMPL, "options: a thread cannot have standard streams of its own");
    }
    if (method == MPROC_THREAD && (opts->directory || opts->environment || opts->environment_changes || opts->cpus))
        return mproc_fail(APR_ENOTIMPL, "options: a thread cannot have a folder, an environment or CPUs of its own");
    for (size_t i = 0; i < opts->cpu_count; i++) {
        const apr_status_t status = sys_check_cpu(opts->cpus[i]);
        if (status == APR_ENOTIMPL)
            return mproc_fail(status, "options: processes cannot be bound to CPUs on this platform");
        if (status != APR_SUCCESS)
            return mproc_fail(APR_EINVAL, "options: CPU %d does not exist, or is not for this process", opts->cpus[i]);
    }
    return APR_SUCCESS;
}

/** Duplicate the handles that the child is to get, so that the program may close its own at once. */
static apr_status_t duplicate_given(process_t *process, const mproc_process_opts_t *opts)
{
    const mproc_stdio_t *streams[3] = {&opts->standard_input, &opts->standard_output, &opts->standard_error};
    boot_t *boot = boot_of(&process->block);
    int64_t *child_handles = boot_at(boot, boot->handles);
    const size_t count = opts->handle_count + (size_t)boot->conn_handle_count;
    if (count > 0) {
        process->given = calloc(count, sizeof *process->given);
        if (!process->given)
            return mproc_fail(APR_ENOMEM, "options: no memory for %zu handles", count);
    }
    for (size_t i = 0; i < count; i++) {
        const sys_handle_t handle =
            i < opts->handle_count ? (sys_handle_t)opts->handles[i] : process->moving->handles[i - opts->handle_count];
        apr_status_t status = sys_handle_duplicate(&process->given[i], handle);
        if (status != APR_SUCCESS)
            return mproc_fail(status, "options: handle %zu (%lld) cannot be given to a child", i, (long long)handle);
        process->given_count = i + 1;
        child_handles[i] = process->given[i];
    }
    for (int i = 0; i < 3; i++) {
        process->stdio[i].kind = (sys_stdio_kind_t)streams[i]->kind;
        if (streams[i]->kind != MPROC_STDIO_HANDLE)
            continue;
        apr_status_t status = sys_handle_duplicate(&process->stdio[i].handle, (sys_handle_t)streams[i]->handle);
        if (status != APR_SUCCESS)
            return mproc_fail(status, "options: standard stream %d: handle %lld cannot be given to a child", i,
                              (long long)streams[i]->handle);
    }
    return APR_SUCCESS;
}

static apr_status_t count_shares(size_t *count, const mproc_process_opts_t *opts)
{
    *count = 0;
    while (*count < MPROC_SHARE_MAX && opts->share[*count])
        ++*count;
    for (size_t i = *count; i < MPROC_SHARE_MAX; i++)
        if (opts->share[i])
            return mproc_fail(APR_EINVAL, "options: share has an object at %zu, but none at %zu", i, *count);
    return APR_SUCCESS;
}

/** Hold for the child what it shares, as the member of the family that it will be. */
static apr_status_t hold_shares(process_t *process, const mproc_process_opts_t *opts, size_t count)
{
    static const char call[] = "options: share";
    boot_t *boot = boot_of(&process->block);
    if (count == 0)
        return APR_SUCCESS;
    apr_status_t status = arena_use(call);
    if (status != APR_SUCCESS)
        return status;
    uint32_t ticket = member_self();
    if (process->method != MPROC_THREAD) {
        status = member_prepare(&ticket);
        if (status == MPROC_EFULL)
            return mproc_fail(status, "%s: the family has too many members", call);
        if (status != APR_SUCCESS)
            return mproc_fail(status, "%s: no memory for another member of the family", call);
        process->ticket = ticket;
        member_set_name(ticket, process->name);
    }
    boot->ticket = process->ticket;
    status = shared_pass(boot_at(boot, boot->shares), opts->share, count, ticket, call);
    if (status == APR_SUCCESS) {
        process->share_count = count;
        return status;
    }
    if (process->ticket)
        member_withdraw(process->ticket);
    return status;
}

/** Build the block: everything that the child needs to know. */
static apr_status_t build_block(process_t *process, const mproc_process_opts_t *opts, size_t share_count)
{
    static const sys_block_kind_t kinds[] = {[MPROC_FORKSERVER] = SYS_BLOCK_SERVED,
                                             [MPROC_FORK] = SYS_BLOCK_FORKED,
                                             [MPROC_SPAWN] = SYS_BLOCK_PASSED,
                                             [MPROC_THREAD] = SYS_BLOCK_LOCAL};
    const sys_block_kind_t kind = kinds[process->method];
    sys_place_t place = {.path = NULL};
    boot_contents_t contents = {opts, NULL, NULL, process->moving, share_count};
    apr_status_t status = APR_SUCCESS;
    if (kind == SYS_BLOCK_SERVED || kind == SYS_BLOCK_PASSED) {
        status = target_locate(&place, process->target);
        contents.place = &place;
    }
    /* A program that is started anew gets its environment from the start; the others take it from the block. */
    if (process->environment && process->method != MPROC_SPAWN)
        contents.environment = (const char *const *)process->environment;
    if (status == APR_SUCCESS)
        status = boot_create(&process->block, &contents, kind);
    free(place.path);
    if (status != APR_SUCCESS)
        return status;
    uintptr_t address;
    memcpy(&address, &process->target, sizeof address);
    boot_of(&process->block)->target_address = address;
    status = duplicate_given(process, opts);
    return status == APR_SUCCESS ? hold_shares(process, opts, share_count) : status;
}

/** Name a child after its creator and its number: "Process-1:2" is the second child of Process-1. */
static apr_status_t name_child(process_t *process, process_t *creator, const char *name)
{
    process_lock();
    const unsigned number = ++creator->created;
    process_unlock();
    /* However deep the nesting, the last parts tell most. */
    const char *of = creator->identity;
    if (strlen(of) > BOOT_IDENTITY_MAX - 16)
        of += strlen(of) - (BOOT_IDENTITY_MAX - 16);
    apr_snprintf(process->identity, sizeof process->identity, "%s%s%u", of, *of ? ":" : "", number);
    char default_name[BOOT_NAME_MAX];
    apr_snprintf(default_name, sizeof default_name, "Process-%s", process->identity);
    process->name = strdup(name ? name : default_name);
    return process->name ? APR_SUCCESS : mproc_fail(APR_ENOMEM, "no memory for a name");
}

/** Promise the connections that are to move to the child. */
static apr_status_t promise_conns(process_t *process, const mproc_process_opts_t *opts)
{
    size_t count = 0;
    while (count < MPROC_GIVE_MAX && opts->give[count])
        count++;
    if (count == 0)
        return APR_SUCCESS;
    process->moving = malloc(sizeof *process->moving);
    if (!process->moving)
        return mproc_fail(APR_ENOMEM, "options: no memory for %zu connections", count);
    apr_status_t status = conn_move_begin(process->moving, opts->give, count, "options: give");
    if (status == APR_SUCCESS && opts->handle_count + process->moving->handle_count > MPROC_HANDLES_MAX)
        status = mproc_fail(APR_EINVAL, "options: %zu handles and %zu connections have more than %d handles",
                            opts->handle_count, count, MPROC_HANDLES_MAX);
    return status;
}

apr_status_t process_fill(process_t *process, const mproc_process_opts_t *opts)
{
    process_t *creator = process_current();
    size_t share_count = 0;
    process->creator = creator->handle;
    process->daemon = opts->daemon != 0;
    process->grace = opts->grace ? opts->grace : MPROC_SECONDS(1);
    apr_status_t status = name_child(process, creator, opts->name);
    if (status == APR_SUCCESS && opts->directory) {
        process->directory = strdup(opts->directory);
        if (!process->directory)
            status = mproc_fail(APR_ENOMEM, "no memory for a folder's name");
    }
    if (status == APR_SUCCESS &&
        (opts->environment || opts->environment_changes || process->method == MPROC_FORKSERVER))
        status = environment_build(&process->environment, opts->environment, opts->environment_changes);
    if (status == APR_SUCCESS)
        status = count_shares(&share_count, opts);
    if (status == APR_SUCCESS)
        status = promise_conns(process, opts);
    if (status == APR_SUCCESS)
        status = build_block(process, opts, share_count);
    return status;
}
