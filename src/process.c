/* SPDX-License-Identifier: Apache-2.0 */
#include "process_object.h"

#include <stdlib.h>
#include <string.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "environment.h"
#include "handle.h"
#include "initialize.h"
#include "log.h"
#include "member.h"
#include "start_method.h"
#include "target.h"

static process_t *current;                      /* the process itself */
static process_t *parent;                       /* its creator */
static _Thread_local process_t *thread_process; /* on a thread that is a child */
static unsigned busy;                           /* calls that make or start a process at this moment */

/* ---- The lock, and who is who ------------------------------------------------------------------------------------ */

void process_lock(void)
{
    sys_lock();
}

void process_unlock(void)
{
    sys_unlock();
}

process_t *process_current(void)
{
    return thread_process ? thread_process : current;
}

process_t *process_main(void)
{
    return current;
}

process_t *process_parent(void)
{
    return parent;
}

void process_enter_thread(process_t *process)
{
    thread_process = process;
}

const char *process_current_name(void)
{
    const process_t *process = process_current();
    return process && process->name ? process->name : "MainProcess";
}

int process_creator_pid(void)
{
    if (thread_process)
        return sys_getpid();
    if (!parent)
        return sys_getppid();
    return process_wait(parent, 0) == APR_SUCCESS ? 0 : parent->pid;
}

/* ---- Making and unmaking ----------------------------------------------------------------------------------------- */

/*
 * Where the objects of this process and its creator are, those of one that was forked in the other half: so a forked
 * child gets no memory for them from the heap, which would be pages of its own. Only its forked child in turn has to.
 */
static process_t resident[4];
static unsigned resident_taken; /* a bit for each */

static int is_resident(const process_t *process)
{
    for (int i = 0; i < 4; i++)
        if (process == &resident[i])
            return 1;
    return 0;
}

/** Get zeroed memory for an object of a role, to be given back by give_memory(). */
static process_t *get_memory(process_role_t role)
{
    for (int i = 0; i < 4 && role != ROLE_CHILD; i++) {
        if (resident_taken & 1u << i)
            continue;
        resident_taken |= 1u << i;
        memset(&resident[i], 0, sizeof resident[i]);
        return &resident[i];
    }
    return calloc(1, sizeof(process_t));
}

static void give_memory(process_t *process)
{
    if (is_resident(process))
        resident_taken &= ~(1u << (process - resident));
    else
        free(process);
}

static void destroy(void *object)
{
    process_t *process = object;
    sys_process_close(process->os);
    if (process->thread)
        thread_close(process);
    process_drop_given(process, 0);
    sys_block_close(&process->block);
    if (!process->has_name_of_block)
        free(process->name);
    free(process->directory);
    free(process->environment);
    free(process->verdict_text);
    give_memory(process);
}

static process_t *make(process_role_t role)
{
    process_t *process = get_memory(role);
    if (!process)
        return NULL;
    process->role = role;
    process->owner = sys_getpid();
    process->block.handle = SYS_NO_HANDLE;
    for (int i = 0; i < 3; i++)
        process->stdio[i].handle = SYS_NO_HANDLE;
    return process;
}

/** Give an object its handle, or destroy it. */
static apr_status_t publish(process_t *process)
{
    process->handle = handle_open(HANDLE_PROCESS, process, destroy);
    if (process->handle)
        return APR_SUCCESS;
    destroy(process);
    return mproc_fail(APR_ENOMEM, "no memory for another process object");
}

/** Make the object of this process or its creator; `name` is copied, or else stays in this process's block. */
static apr_status_t make_named(process_t **process, process_role_t role, char *name, int is_to_copy, int pid)
{
    *process = make(role);
    if (*process) {
        (*process)->has_name_of_block = !is_to_copy;
        (*process)->name = is_to_copy ? strdup(name) : name;
    }
    if (!*process || !(*process)->name) {
        if (*process)
            give_memory(*process);
        *process = NULL;
        return mproc_fail(APR_ENOMEM, "no memory for the process object of %s", name);
    }
    (*process)->pid = pid;
    (*process)->state = PROCESS_RUNNING;
    apr_status_t status = publish(*process);
    if (status != APR_SUCCESS)
        *process = NULL;
    return status;
}

apr_status_t process_become(boot_t *boot)
{
    static char first_name[] = "MainProcess";
    if (!boot && current && current->owner == sys_getpid())
        return APR_SUCCESS;
    /* In a forked child these were the creator's: they stay behind, as all else that it had. */
    current = parent = NULL;
    if (thread_process)
        thread_process = NULL;
    apr_status_t status = make_named(&current, ROLE_CURRENT, boot ? boot->name : first_name, !boot, sys_getpid());
    if (status != APR_SUCCESS || !boot)
        return status;
    current->method = (mproc_start_method_t)boot->method;
    current->daemon = boot->daemon;
    memcpy(current->identity, boot->identity, sizeof current->identity);
    memcpy(current->authkey, boot->authkey, sizeof current->authkey);
    current->authkey_size = boot->authkey_size <= MPROC_AUTHKEY_MAX ? boot->authkey_size : 0;
    status = make_named(&parent, ROLE_PARENT, boot->creator_name, 0, boot->creator_pid);
    if (status != APR_SUCCESS)
        return status;
    parent->birth = boot->creator_birth;
    /*
     * Few children ask about their creator, and to open it takes each as long as being forked. So that waits until one
     * asks; the birth tells the creator from a process that has got its number since.
     */
    if (!parent->birth)
        process_wait(parent, 0);
    return APR_SUCCESS;
}

static int may_be_closed(const void *object)
{
    const process_t *process = object;
    process_lock();
    const int is_busy =
        process->role == ROLE_CHILD && (process->state == PROCESS_RUNNING || process->state == PROCESS_LAUNCHING);
    process_unlock();
    return process->owner == sys_getpid() && !is_busy;
}

void process_close_all(void)
{
    process_lock();
    current = parent = NULL;
    process_unlock();
    handle_close_all(HANDLE_PROCESS, may_be_closed, NULL);
}

void process_forked(void)
{
    busy = 0; /* whoever was, is not here */
    if (!current)
        return;
    current->owner = current->pid = sys_getpid();
    /* Written only if need be: a page of a forked child's is its own once it is written to. */
    if (thread_process)
        thread_process = NULL;
    /* The creator's child was the original. Its sentinel was closed, and its number can be another file's by now. */
    if (parent)
        parent = NULL;
}

apr_status_t process_begin(const char *call)
{
    process_lock();
    const int is_open = library_is_initialized();
    if (is_open)
        busy++;
    process_unlock();
    return is_open ? APR_SUCCESS
                   : mproc_fail(MPROC_EINIT, "%s: mproc_initialize was not called in this process's main", call);
}

void process_end(void)
{
    process_lock();
    busy--;
    process_unlock();
}

int process_is_busy(void)
{
    process_lock();
    const int result = busy > 0;
    process_unlock();
    return result;
}

/** Release what is held for a child that will not be. */
static void drop_shares(process_t *process)
{
    const boot_t *boot = boot_of(&process->block);
    if (process->share_count == 0)
        return;
    if (process->ticket) {
        member_withdraw(process->ticket);
    } else {
        shared_pass_drop(boot_at(boot, boot->shares), process->share_count);
    }
}

void process_drop_given(process_t *process, int has_moved)
{
    if (!has_moved)
        drop_shares(process);
    process->share_count = 0;
    if (process->moving)
        conn_move_finish(process->moving, has_moved);
    free(process->moving);
    process->moving = NULL;
    for (int i = 0; i < 3; i++) {
        sys_handle_close(process->stdio[i].handle);
        process->stdio[i].handle = SYS_NO_HANDLE;
    }
    for (size_t i = 0; i < process->given_count; i++)
        sys_handle_close(process->given[i]);
    free(process->given);
    process->given = NULL;
    process->given_count = 0;
}

/* ---- Creating ---------------------------------------------------------------------------------------------------- */

/** A pool that is cleared ends and closes its process; if it was closed before, its handle says so. */
static apr_status_t clear_with_pool(void *data)
{
    process_t *process;
    if (process_acquire(&process, data, "pool cleanup") != APR_SUCCESS)
        return APR_SUCCESS;
    if (process->method == MPROC_THREAD)
        mproc_process_join(data, MPROC_FOREVER);
    else
        process_stop(process, process->grace);
    process_release(process);
    mproc_process_close(data);
    return APR_SUCCESS;
}

static apr_status_t create(mproc_process_t **handle, mproc_target_t target, mproc_start_method_t method,
                           const mproc_process_opts_t *opts)
{
    process_t *process = make(ROLE_CHILD);
    if (!process)
        return mproc_fail(APR_ENOMEM, "mproc_process_create: no memory");
    process->target = target;
    process->method = method;
    apr_status_t status = process_fill(process, opts);
    if (status != APR_SUCCESS) {
        destroy(process);
        return status;
    }
    status = publish(process);
    if (status == APR_SUCCESS)
        *handle = process->handle;
    return status;
}

apr_status_t mproc_process_create_sized(mproc_process_t **handle, mproc_target_t target,
                                        const mproc_process_opts_t *opts, size_t opts_size)
{
    mproc_process_opts_t complete;
    if (!handle)
        return mproc_fail(APR_EINVAL, "mproc_process_create: nowhere to store the process: it is NULL");
    *handle = NULL;
    if (!library_is_initialized())
        return mproc_fail(MPROC_EINIT, "mproc_process_create: mproc_initialize was not called in this process's main");
    if (!target)
        return mproc_fail(APR_EINVAL, "mproc_process_create: the target is NULL");
    if (opts_size > sizeof complete)
        return mproc_fail(MPROC_EBUILD, "mproc_process_create: the program was built for a newer libmproc than %s",
                          mproc_version());
    memset(&complete, 0, sizeof complete);
    if (opts)
        memcpy(&complete, opts, opts_size);
    mproc_start_method_t method = complete.start_method;
    apr_status_t status = start_method_resolve(&method);
    if (status == APR_SUCCESS)
        status = process_check_options(&complete, method);
    if (status != APR_SUCCESS)
        return status;
    status = process_begin("mproc_process_create");
    if (status != APR_SUCCESS)
        return status;
    status = create(handle, target, method, &complete);
    process_end();
    if (status == APR_SUCCESS && complete.pool)
        apr_pool_cleanup_register(complete.pool, *handle, clear_with_pool, apr_pool_cleanup_null);
    return status;
}

apr_status_t process_create_shielded(mproc_process_t **handle, mproc_target_t target, const mproc_process_opts_t *opts)
{
    process_t *process;
    apr_status_t status = mproc_process_create(handle, target, opts);
    if (status == APR_SUCCESS)
        status = process_acquire(&process, *handle, "mproc_process_create");
    if (status != APR_SUCCESS)
        return status;
    /* Nobody else knows of it yet. */
    process->is_shielded = 1;
    process_release(process);
    return status;
}

/* ---- Using handles ----------------------------------------------------------------------------------------------- */

apr_status_t process_acquire(process_t **process, mproc_process_t *handle, const char *call)
{
    void *object;
    apr_status_t status = handle_acquire(&object, handle, HANDLE_PROCESS);
    *process = object;
    if (status == APR_EINVAL)
        return mproc_fail(status, "%s: the process is NULL", call);
    if (status != APR_SUCCESS)
        return mproc_fail(status, "%s: %p is not an open process: closed before, or never one", call, (void *)handle);
    if ((*process)->owner != sys_getpid()) {
        mproc_fail(MPROC_EFOREIGN, "%s: %s was created by process %d, this is process %d", call, (*process)->name,
                   (*process)->owner, sys_getpid());
        handle_release(handle);
        *process = NULL;
        return MPROC_EFOREIGN;
    }
    return APR_SUCCESS;
}

void process_release(process_t *process)
{
    handle_release(process->handle);
}

apr_status_t process_wrong_state(const process_t *process, const char *call)
{
    static const char *const roles[] = {NULL, "is the current process", "is this process's creator"};
    static const char *const states[] = {"was not started", "is being started", "still runs", "has ended", "is closed"};
    const char *state = process->readers > 0 ? "is about to be run by mproc_process_run" : states[process->state];
    return mproc_fail(MPROC_ESTATE, "%s: %s %s", call, process->name,
                      roles[process->role] ? roles[process->role] : state);
}

apr_status_t mproc_process_close(mproc_process_t *handle)
{
    process_t *process;
    if (!handle)
        return APR_SUCCESS;
    apr_status_t status = process_acquire(&process, handle, "mproc_process_close");
    if (status != APR_SUCCESS)
        return status;
    process_lock();
    process_settle(process);
    if (process->role != ROLE_CHILD || process->state == PROCESS_RUNNING || process->state == PROCESS_LAUNCHING)
        status = process_wrong_state(process, "mproc_process_close");
    else
        status = handle_close(handle, HANDLE_PROCESS); /* not destroyed yet: this call uses it */
    if (status == APR_SUCCESS && process->state == PROCESS_CREATED)
        process->state = PROCESS_CLOSED;
    process_unlock();
    process_release(process);
    return status;
}
