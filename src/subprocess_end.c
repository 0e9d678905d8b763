/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "handle.h"
#include "process_object.h"
#include "subprocess_object.h"

/* ---- Which run --------------------------------------------------------------------------------------------------- */

/* Those that were started and not seen to have ended; guarded by process_lock(). */
static subprocess_t *running;

/* Detached ones whose handles were closed while they ran; the system's part is all that they have. */
static subprocess_t *left;

void subprocess_add(subprocess_t *subprocess)
{
    subprocess->next = running;
    subprocess->link = &running;
    if (running)
        running->link = &subprocess->next;
    running = subprocess;
}

/** Take one out of those that run, if it is there; with process_lock() held. */
static void remove_running(subprocess_t *subprocess)
{
    if (!subprocess->link)
        return;
    *subprocess->link = subprocess->next;
    if (subprocess->next)
        subprocess->next->link = subprocess->link;
    subprocess->next = NULL;
    subprocess->link = NULL;
}

void subprocess_forget(void)
{
    running = NULL;
    left = NULL;
}

void subprocess_leave(subprocess_t *subprocess)
{
    remove_running(subprocess);
    subprocess->next = left;
    left = subprocess;
}

/** Forget those that have ended, or all of them. */
static void sweep(int all)
{
    process_lock();
    for (subprocess_t **at = &left; *at;) {
        subprocess_t *one = *at;
        sys_exit_t end;
        if (sys_process_reap(&end, one->os) == APR_TIMEUP && !all) {
            at = &one->next;
            continue;
        }
        *at = one->next;
        sys_process_close(one->os);
        free(one);
    }
    process_unlock();
}

void subprocess_sweep(void)
{
    sweep(0);
}

void subprocess_drop_left(void)
{
    sweep(1);
}

/* ---- How they end ------------------------------------------------------------------------------------------------ */

void subprocess_settle(subprocess_t *subprocess)
{
    if (subprocess->has_ended || subprocess->stoppers > 0 || !subprocess->os)
        return;
    if (sys_process_reap(&subprocess->end, subprocess->os) == APR_TIMEUP)
        return;
    subprocess->has_ended = 1;
    remove_running(subprocess);
}

int subprocess_has_ended(subprocess_t *subprocess)
{
    process_lock();
    subprocess_settle(subprocess);
    const int has_ended = subprocess->has_ended;
    process_unlock();
    return has_ended;
}

int subprocess_is_over(subprocess_t *subprocess)
{
    process_lock();
    subprocess_settle(subprocess);
    const int has_ended = subprocess->has_ended;
    const int is_held = subprocess->stoppers > 0;
    process_unlock();
    return has_ended || (is_held && sys_wait(sys_process_sentinel(subprocess->os), 0) == APR_SUCCESS);
}

apr_status_t subprocess_wait(subprocess_t *subprocess, sys_time_t deadline)
{
    while (!subprocess_has_ended(subprocess)) {
        const apr_status_t status = sys_wait(sys_process_sentinel(subprocess->os), deadline);
        if (status != APR_SUCCESS)
            return status;
        /* Who stops it waits for the same, and then lets it be seen. */
        process_lock();
        const int is_being_stopped = subprocess->stoppers > 0;
        process_unlock();
        if (is_being_stopped)
            apr_sleep(MPROC_MILLISECONDS(1));
    }
    return APR_SUCCESS;
}

/** Wait with an event to be woken by: a detached program can be closed meanwhile. */
static apr_status_t wait_or_be_closed(subprocess_t *subprocess, const waiter_t *waiter, sys_time_t deadline)
{
    closable_t *closable = &subprocess->closable;
    apr_status_t status = APR_SUCCESS;
    atomic_fetch_add(&closable->waiters, 1);
    while (status == APR_SUCCESS && !subprocess_is_over(subprocess)) {
        size_t ready;
        sys_wait_t items[] = {{SYS_WAIT_HANDLE, sys_process_sentinel(subprocess->os), NULL, 0},
                              {SYS_WAIT_HANDLE, waiter->event.sentinel, NULL, 0}};
        status = atomic_load(&closable->is_closed) ? MPROC_ECLOSED : sys_wait_any(items, 2, &ready, deadline);
    }
    atomic_fetch_sub(&closable->waiters, 1);
    return status;
}

/** Wait for a public function; the status has no text. */
static apr_status_t wait_in_call(subprocess_t *subprocess, sys_time_t deadline)
{
    waiter_t *waiter;
    if (deadline != 0 && waiter_begin(&waiter, &subprocess->closable) == APR_SUCCESS) {
        const apr_status_t status = wait_or_be_closed(subprocess, waiter, deadline);
        waiter_end(waiter);
        if (status != APR_SUCCESS)
            return status;
    }
    return subprocess_wait(subprocess, deadline);
}

apr_status_t mproc_subprocess_wait(mproc_subprocess_t *handle, apr_interval_time_t timeout)
{
    static const char call[] = "mproc_subprocess_wait";
    subprocess_t *subprocess;
    apr_status_t status = subprocess_acquire(&subprocess, handle, call);
    if (status != APR_SUCCESS)
        return status;
    status = wait_in_call(subprocess, timeout == 0 ? 0 : process_deadline(timeout));
    if (status == APR_TIMEUP)
        mproc_fail(status, "%s: '%.200s' (pid %d) still runs", call, subprocess->name, subprocess->pid);
    else if (status == MPROC_ECLOSED)
        mproc_fail(status, "%s: another thread has closed '%.200s' (pid %d)", call, subprocess->name, subprocess->pid);
    else if (status != APR_SUCCESS)
        status =
            mproc_fail(status, "%s: '%.200s' (pid %d) cannot be waited for", call, subprocess->name, subprocess->pid);
    subprocess_release(subprocess);
    return status;
}

/** Tell how it ended, and store it `where` the program wants it; the status has its text. */
static apr_status_t get_end(subprocess_t *subprocess, sys_exit_t *end, const void *where, const char *call)
{
    if (!where)
        return mproc_fail(APR_EINVAL, "%s: nowhere to store it: it is NULL", call);
    if (!subprocess_is_over(subprocess))
        return mproc_fail(MPROC_ESTATE, "%s: '%.200s' (pid %d) still runs", call, subprocess->name, subprocess->pid);
    /* Who stops it lets it be seen in a moment. */
    subprocess_wait(subprocess, SYS_NEVER);
    *end = subprocess->end;
    if (end->known == SYS_END_UNKNOWN)
        return mproc_fail(MPROC_EEXITUNKNOWN,
                          "%s: '%.200s' (pid %d) has ended, but other code of this program took its exit code", call,
                          subprocess->name, subprocess->pid);
    return APR_SUCCESS;
}

static apr_status_t tell_end(mproc_subprocess_t *handle, sys_exit_t *end, const void *where, const char *call)
{
    subprocess_t *subprocess;
    apr_status_t status = subprocess_acquire(&subprocess, handle, call);
    if (status != APR_SUCCESS)
        return status;
    status = get_end(subprocess, end, where, call);
    subprocess_release(subprocess);
    return status;
}

apr_status_t mproc_subprocess_exitcode(mproc_subprocess_t *handle, int *exitcode)
{
    sys_exit_t end = {.code = 0};
    const apr_status_t status = tell_end(handle, &end, exitcode, "mproc_subprocess_exitcode");
    if (status == APR_SUCCESS)
        *exitcode = end.code;
    return status;
}

apr_status_t mproc_subprocess_native_exitcode(mproc_subprocess_t *handle, int64_t *native)
{
    sys_exit_t end = {.code = 0};
    const apr_status_t status = tell_end(handle, &end, native, "mproc_subprocess_native_exitcode");
    if (status == APR_SUCCESS)
        *native = end.native;
    return status;
}

int mproc_subprocess_is_alive(mproc_subprocess_t *handle)
{
    subprocess_t *subprocess;
    if (subprocess_acquire(&subprocess, handle, "mproc_subprocess_is_alive") != APR_SUCCESS)
        return 0;
    const int is_alive = !subprocess_is_over(subprocess);
    subprocess_release(subprocess);
    mproc_forget_error();
    return is_alive;
}

/* ---- Ending them ------------------------------------------------------------------------------------------------- */

/** Send a signal to a program that runs; the status has no text. */
static apr_status_t send_one(subprocess_t *subprocess, int number)
{
    apr_status_t status = APR_SUCCESS;
    process_lock();
    subprocess_settle(subprocess);
    if (!subprocess->has_ended)
        status = sys_program_signal(subprocess->os, number);
    process_unlock();
    return status;
}

static apr_status_t send_to_handle(mproc_subprocess_t *handle, int number, const char *call)
{
    subprocess_t *subprocess;
    apr_status_t status = subprocess_acquire(&subprocess, handle, call);
    if (status != APR_SUCCESS)
        return status;
    status = send_one(subprocess, number);
    if (status != APR_SUCCESS)
        status = mproc_fail(status, "%s: signal %d cannot be sent to '%.200s' (pid %d)", call, number, subprocess->name,
                            subprocess->pid);
    subprocess_release(subprocess);
    return status;
}

apr_status_t mproc_subprocess_terminate(mproc_subprocess_t *handle)
{
    return send_to_handle(handle, SYS_TERMINATE, "mproc_subprocess_terminate");
}

apr_status_t mproc_subprocess_kill(mproc_subprocess_t *handle)
{
    return send_to_handle(handle, SYS_KILL, "mproc_subprocess_kill");
}

apr_status_t mproc_subprocess_send_signal(mproc_subprocess_t *handle, int number)
{
    return send_to_handle(handle, number, "mproc_subprocess_send_signal");
}

/** Ask one to end, with process_lock() held. */
static void ask(subprocess_t *subprocess)
{
    subprocess_settle(subprocess);
    if (!subprocess->has_ended && !subprocess->is_asked)
        sys_program_signal_all(subprocess->os, SYS_TERMINATE);
    subprocess->is_asked = 1;
}

void subprocess_ask(subprocess_t *subprocess)
{
    process_lock();
    ask(subprocess);
    process_unlock();
}

void subprocess_hold(subprocess_t *subprocess)
{
    process_lock();
    subprocess_settle(subprocess);
    subprocess->stoppers++;
    process_unlock();
}

void subprocess_let_go(subprocess_t *subprocess)
{
    process_lock();
    subprocess->stoppers--;
    subprocess_settle(subprocess);
    process_unlock();
}

apr_status_t subprocess_kill_held(subprocess_t *subprocess)
{
    process_lock();
    const int has_ended = subprocess->has_ended;
    process_unlock();
    if (has_ended)
        return APR_SUCCESS;
    const apr_status_t status = sys_program_signal_all(subprocess->os, SYS_KILL);
    return status == APR_SUCCESS ? sys_wait(sys_process_sentinel(subprocess->os), SYS_NEVER) : status;
}

/** Ask one that is held to end, unless that was done, and give it time; APR_SUCCESS: the rest can be killed. */
static apr_status_t ask_and_wait(subprocess_t *subprocess, apr_interval_time_t grace)
{
    process_lock();
    const int is_to_ask = !subprocess->has_ended && !subprocess->is_asked;
    process_unlock();
    const apr_status_t status = is_to_ask ? sys_program_signal_all(subprocess->os, SYS_TERMINATE) : APR_SUCCESS;
    /* However the wait ends, the time for its end is over. */
    if (status == APR_SUCCESS)
        sys_wait(sys_process_sentinel(subprocess->os), process_deadline(grace));
    return status;
}

apr_status_t subprocess_stop(subprocess_t *subprocess, apr_interval_time_t grace)
{
    if (subprocess_has_ended(subprocess))
        return APR_SUCCESS;
    subprocess_hold(subprocess);
    apr_status_t status = grace == 0 ? APR_SUCCESS : ask_and_wait(subprocess, grace);
    if (status == APR_SUCCESS)
        status = subprocess_kill_held(subprocess);
    subprocess_let_go(subprocess);
    /* Others who stop it let its end be seen as soon as they have. */
    return status == APR_SUCCESS ? subprocess_wait(subprocess, SYS_NEVER) : status;
}

apr_status_t mproc_subprocess_stop(mproc_subprocess_t *handle, apr_interval_time_t grace)
{
    static const char call[] = "mproc_subprocess_stop";
    subprocess_t *subprocess;
    apr_status_t status = subprocess_acquire(&subprocess, handle, call);
    if (status != APR_SUCCESS)
        return status;
    status = subprocess_stop(subprocess, grace);
    if (status != APR_SUCCESS)
        status = mproc_fail(status, "%s: '%.200s' (pid %d) cannot be stopped", call, subprocess->name, subprocess->pid);
    subprocess_release(subprocess);
    return status;
}

/** What is left of a program's grace, with process_lock() held; those that were asked were so at that time at last. */
static apr_interval_time_t grace_left(const subprocess_t *subprocess, sys_time_t asked)
{
    const sys_time_t gone = sys_now() - asked;
    if (!subprocess->is_asked || subprocess->grace < 0)
        return subprocess->grace;
    return gone < subprocess->grace ? subprocess->grace - gone : 0;
}

/** Get one that runs and is to be ended, to be released by the caller; those that are asked already come later. */
static subprocess_t *next_running(apr_interval_time_t *grace, sys_time_t asked)
{
    subprocess_t *found = NULL;
    process_lock();
    for (subprocess_t *one = running; one && !found; one = one->next) {
        void *object;
        if (!one->is_detached && handle_acquire(&object, one->handle, HANDLE_SUBPROCESS) == APR_SUCCESS)
            found = one;
    }
    if (found)
        *grace = grace_left(found, asked);
    process_unlock();
    return found;
}

void subprocess_end_all(void)
{
    const sys_time_t begin = sys_now();
    apr_interval_time_t grace;
    /* All are asked first, so that their graces run side by side. */
    process_lock();
    for (subprocess_t *one = running, *next; one; one = next) {
        next = one->next;
        if (!one->is_detached)
            ask(one);
    }
    process_unlock();
    for (subprocess_t *one; (one = next_running(&grace, begin)) != NULL; subprocess_release(one)) {
        if (subprocess_stop(one, grace) == APR_SUCCESS)
            continue;
        /* It is not ours to end (another user's by now): it is not asked again. */
        process_lock();
        one->is_detached = 1;
        process_unlock();
    }
}
