/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "handle.h"
#include "process_object.h"
#include "subprocess_object.h"

/* ---- Which run --------------------------------------------------------------------------------------------------- */

/* Those that were started and not seen to have ended; guarded by process_lock(). */
static subprocess_t *running;

/* Detached ones whose handles were closed while they ran. */
typedef struct left_t {
    sys_process_t *os;
    struct left_t *next;
} left_t;

static left_t *left;

void subprocess_add(subprocess_t *subprocess)
{
    subprocess->next = running;
    subprocess->link = &running;
    if (running)
        running->link = &subprocess->next;
    running = subprocess;
}

void subprocess_forget(void)
{
    running = NULL;
    left = NULL;
}

void subprocess_leave(sys_process_t *os)
{
    left_t *one = malloc(sizeof *one);
    if (!one) {
        sys_process_close(os);
        return;
    }
    one->os = os;
    one->next = left;
    left = one;
}

void subprocess_sweep(void)
{
    process_lock();
    for (left_t **at = &left; *at;) {
        left_t *one = *at;
        sys_exit_t end;
        if (sys_process_reap(&end, one->os) == APR_TIMEUP) {
            at = &one->next;
            continue;
        }
        *at = one->next;
        sys_process_close(one->os);
        free(one);
    }
    process_unlock();
}

void subprocess_drop_left(void)
{
    process_lock();
    while (left) {
        left_t *one = left;
        left = one->next;
        sys_process_close(one->os);
        free(one);
    }
    process_unlock();
}

/* ---- How they end ------------------------------------------------------------------------------------------------ */

void subprocess_settle(subprocess_t *subprocess)
{
    if (subprocess->has_ended || subprocess->stoppers > 0 || !subprocess->os)
        return;
    if (sys_process_reap(&subprocess->end, subprocess->os) == APR_TIMEUP)
        return;
    subprocess->has_ended = 1;
    if (!subprocess->link)
        return;
    *subprocess->link = subprocess->next;
    if (subprocess->next)
        subprocess->next->link = subprocess->link;
    subprocess->next = NULL;
    subprocess->link = NULL;
}

int subprocess_has_ended(subprocess_t *subprocess)
{
    process_lock();
    subprocess_settle(subprocess);
    const int has_ended = subprocess->has_ended;
    process_unlock();
    return has_ended;
}

/** Wait for the end; the status has no text. */
static apr_status_t wait_for(subprocess_t *subprocess, sys_time_t deadline)
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

apr_status_t mproc_subprocess_wait(mproc_subprocess_t *handle, apr_interval_time_t timeout)
{
    static const char call[] = "mproc_subprocess_wait";
    subprocess_t *subprocess;
    apr_status_t status = subprocess_acquire(&subprocess, handle, call);
    if (status != APR_SUCCESS)
        return status;
    status = wait_for(subprocess, timeout == 0 ? 0 : process_deadline(timeout));
    if (status == APR_TIMEUP)
        mproc_fail(status, "%s: '%.200s' (pid %d) still runs", call, subprocess->name, subprocess->pid);
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
    if (!subprocess_has_ended(subprocess))
        return mproc_fail(MPROC_ESTATE, "%s: '%.200s' (pid %d) still runs", call, subprocess->name, subprocess->pid);
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
    const int is_alive = !subprocess_has_ended(subprocess);
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

apr_status_t subprocess_stop(subprocess_t *subprocess, apr_interval_time_t grace)
{
    process_lock();
    subprocess_settle(subprocess);
    const int has_ended = subprocess->has_ended;
    const int is_asked = subprocess->is_asked;
    if (!has_ended)
        subprocess->stoppers++;
    process_unlock();
    if (has_ended)
        return APR_SUCCESS;
    const sys_handle_t sentinel = sys_process_sentinel(subprocess->os);
    apr_status_t status = APR_SUCCESS;
    if (grace != 0) {
        status = is_asked ? APR_SUCCESS : sys_program_signal_all(subprocess->os, SYS_TERMINATE);
        if (status == APR_SUCCESS)
            status = sys_wait(sentinel, process_deadline(grace));
    }
    if (status == APR_SUCCESS || status == APR_TIMEUP)
        status = sys_program_signal_all(subprocess->os, SYS_KILL);
    if (status == APR_SUCCESS)
        status = sys_wait(sentinel, SYS_NEVER);
    process_lock();
    subprocess->stoppers--;
    subprocess_settle(subprocess);
    process_unlock();
    /* Others who stop it let its end be seen as soon as they have. */
    return status == APR_SUCCESS ? wait_for(subprocess, SYS_NEVER) : status;
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
