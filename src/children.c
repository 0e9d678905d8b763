/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "handle.h"
#include "initialize.h"
#include "log.h"
#include "process_object.h"

/* The children that were started and not yet seen to have ended, the latest first; guarded by process_lock(). */
static process_t *running;

enum { KILL_AGAIN = 100000 }; /* microseconds after a kill that failed */

void children_add(process_t *process)
{
    process->next = running;
    process->link = &running;
    if (running)
        running->link = &process->next;
    running = process;
}

void children_remove(process_t *process)
{
    *process->link = process->next;
    if (process->next)
        process->next->link = process->link;
    process->next = NULL;
    process->link = NULL;
}

void children_forget(void)
{
    running = NULL;
}

apr_status_t mproc_active_children(mproc_process_t **children, size_t capacity, size_t *count)
{
    if (!count || (capacity && !children))
        return mproc_fail(APR_EINVAL, "mproc_active_children: %s is NULL", count ? "children" : "count");
    *count = 0;
    if (!library_is_initialized())
        return mproc_fail(MPROC_EINIT, "mproc_active_children: mproc_initialize was not called in this process's main");
    process_lock();
    for (process_t *process = running, *next; process; process = next) {
        next = process->next;
        process_settle(process);
        if (process->state != PROCESS_RUNNING)
            continue;
        if (*count < capacity)
            children[*count] = process->handle;
        ++*count;
    }
    process_unlock();
    return APR_SUCCESS;
}

/** A daemon that can be ended: threads cannot, they end with the process. */
static int is_daemon_process(const process_t *process)
{
    return process->daemon && process->os;
}

static int is_unasked_daemon(const process_t *process)
{
    return is_daemon_process(process) && !process->was_asked;
}

static int is_no_daemon(const process_t *process)
{
    return !process->daemon;
}

static int is_no_daemon_nor_thread(const process_t *process)
{
    return !process->daemon && process->os;
}

/** Get a running child of a kind, to be released by the caller; NULL if there is none. */
static process_t *next_child(int (*is_wanted)(const process_t *))
{
    process_t *found = NULL;
    process_lock();
    for (process_t *process = running; process && !found; process = process->next) {
        void *object;
        if (is_wanted(process) && handle_acquire(&object, process->handle, HANDLE_PROCESS) == APR_SUCCESS)
            found = process;
    }
    process_unlock();
    return found;
}

/**
 * Wait for a child; one that cannot be waited for (the program closed our descriptors) is given up, not asked again.
 */
static apr_status_t wait_for(process_t *process, sys_time_t deadline)
{
    const apr_status_t status = process_wait(process, deadline);
    if (status == APR_SUCCESS || status == APR_TIMEUP)
        return status;
    mproc_log(MPROC_LOG_ERROR, "%s (pid %d) cannot be waited for: were descriptors of mproc closed?", process->name,
              process->pid);
    process_lock();
    process_give_up(process);
    process_unlock();
    return status;
}

/** End a child by force. A signal that does not get through (its fork server is stopped, say) is sent again. */
static void kill_and_wait(process_t *process)
{
    apr_status_t status;
    do {
        status = process_signal(process, SYS_KILL, "mproc_terminate");
    } while (wait_for(process, status == APR_SUCCESS ? SYS_NEVER : sys_now() + KILL_AGAIN) == APR_TIMEUP);
}

/** Ask all daemons to end, so that their graces run side by side. */
static void terminate_daemons(void)
{
    for (process_t *process; (process = next_child(is_unasked_daemon)) != NULL; process_release(process)) {
        process_lock();
        process->was_asked = 1;
        process_unlock();
        process_signal(process, SYS_TERMINATE, "mproc_terminate");
    }
}

void children_end(int with_threads)
{
    int (*const is_to_join)(const process_t *) = with_threads ? is_no_daemon : is_no_daemon_nor_thread;
    /* Most children have none, and need no clock then. */
    process_lock();
    const int has_children = running != NULL;
    process_unlock();
    if (!has_children)
        return;
    terminate_daemons();
    const sys_time_t start = sys_now();
    for (process_t *process; (process = next_child(is_daemon_process)) != NULL; process_release(process)) {
        mproc_log(MPROC_LOG_DEBUG, "waiting for daemon %s to end", process->name);
        if (wait_for(process,
                     process->grace < 0 || process->grace > SYS_NEVER - start ? SYS_NEVER : start + process->grace) !=
            APR_TIMEUP)
            continue;
        kill_and_wait(process);
    }
    for (process_t *process; (process = next_child(is_to_join)) != NULL; process_release(process)) {
        mproc_log(MPROC_LOG_DEBUG, "joining %s", process->name);
        wait_for(process, SYS_NEVER);
    }
}
