/* SPDX-License-Identifier: Apache-2.0 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <apr_time.h>

#include "handle.h"
#include "member.h"
#include "process_object.h"

/** Keep for join what the child reported, or its death says, about a target that never ran. */
static void judge(process_t *process)
{
    boot_report_t *report = boot_report(&process->block);
    uint32_t stage = atomic_load(&report->stage);
    if (process->thread && stage != BOOT_FAILED)
        stage = BOOT_ENDED;
    const int by_signal = process->end.known != SYS_END_UNKNOWN && process->end.code < 0;
    process->verdict = APR_SUCCESS;
    if (stage == BOOT_FAILED) {
        process->verdict = report->failure ? report->failure : MPROC_ESTARTUP;
        process->verdict_native = report->failure_native;
        /* The child can write there at any time. */
        char text[sizeof report->failure_text + 1] = {0};
        memcpy(text, report->failure_text, sizeof report->failure_text);
        process->verdict_text = strdup(text);
    } else if (stage == BOOT_CREATED && !by_signal && process->method == MPROC_SPAWN) {
        process->verdict = MPROC_EINIT;
        process->verdict_text = strdup("its main ended before it reached mproc_initialize()");
    } else if (stage < BOOT_RUNNING && !by_signal) {
        process->verdict = MPROC_ESTARTUP;
        process->verdict_text = strdup("it ended before its target was called");
    }
    /* Whoever knows its exit code does not tell, but it told us before. */
    if (process->end.known != SYS_END_KNOWN && stage == BOOT_ENDED && !process->thread)
        process->end = sys_exit_of_code(report->exitcode);
}

/** Get hold of the creator; what it had been is all that is known if it is gone. */
static apr_status_t open_parent(process_t *process)
{
    if (process->os)
        return APR_SUCCESS;
    const apr_status_t status = sys_process_open(&process->os, process->pid, process->birth);
    if (status != APR_ENOENT)
        return status;
    process->state = PROCESS_ENDED;
    return APR_SUCCESS;
}

apr_status_t process_settle(process_t *process)
{
    if (process->state != PROCESS_RUNNING || process->role == ROLE_CURRENT)
        return APR_SUCCESS;
    if (process->role == ROLE_PARENT) {
        const apr_status_t status = open_parent(process);
        if (status != APR_SUCCESS || process->state != PROCESS_RUNNING)
            return status;
    }
    if ((process->thread ? thread_reap(process) : sys_process_reap(&process->end, process->os)) == APR_TIMEUP)
        return APR_SUCCESS;
    process->state = PROCESS_ENDED;
    if (process->role != ROLE_CHILD)
        return APR_SUCCESS;
    if (!process->thread)
        member_note_end(process->ticket, process->pid);
    judge(process);
    sys_block_close(&process->block);
    children_remove(process);
    return APR_SUCCESS;
}

void process_give_up(process_t *process)
{
    if (process->state != PROCESS_RUNNING)
        return;
    process->state = PROCESS_ENDED;
    children_remove(process);
}

sys_time_t process_deadline(apr_interval_time_t timeout)
{
    if (timeout < 0)
        return SYS_NEVER;
    const sys_time_t now = sys_now();
    return timeout > SYS_NEVER - now ? SYS_NEVER : now + timeout;
}

apr_status_t process_wait(process_t *process, sys_time_t deadline)
{
    for (;;) {
        process_lock();
        apr_status_t status = process_settle(process);
        const process_state_t state = process->state;
        process_unlock();
        if (status != APR_SUCCESS || state == PROCESS_ENDED) {
            member_settle_noted();
            return status;
        }
        status = sys_wait(process->thread ? thread_sentinel(process) : sys_process_sentinel(process->os), deadline);
        if (status != APR_SUCCESS)
            return status;
    }
}

/** Whether a process can be waited for at all; the status has its text. */
static apr_status_t check_waitable(process_t *process, const char *call)
{
    process_lock();
    const int waitable = process->role != ROLE_CURRENT && process != process_current() &&
                         (process->state == PROCESS_RUNNING || process->state == PROCESS_ENDED);
    apr_status_t status = waitable ? APR_SUCCESS : process_wrong_state(process, call);
    process_unlock();
    return status;
}

/** Wait for a process that can be waited for; the status has its text. */
static apr_status_t join(process_t *process, apr_interval_time_t timeout, const char *call)
{
    apr_status_t status = process_wait(process, process_deadline(timeout));
    if (status == APR_TIMEUP)
        return mproc_fail(status, "%s: %s (pid %d) still runs", call, process->name, process->pid);
    if (status != APR_SUCCESS)
        return mproc_fail(status, "%s: %s (pid %d) cannot be waited for", call, process->name, process->pid);
    if (process->verdict != APR_SUCCESS)
        return mproc_fail_native(process->verdict, process->verdict_native, "%s (pid %d): %s", process->name,
                                 process->pid,
                                 process->verdict_text ? process->verdict_text : "it could not be started");
    return APR_SUCCESS;
}

apr_status_t mproc_process_join(mproc_process_t *handle, apr_interval_time_t timeout)
{
    process_t *process;
    apr_status_t status = process_acquire(&process, handle, "mproc_process_join");
    if (status != APR_SUCCESS)
        return status;
    status = check_waitable(process, "mproc_process_join");
    if (status == APR_SUCCESS)
        status = join(process, timeout, "mproc_process_join");
    process_release(process);
    return status;
}

/** Tell how a process ended; the status has its text. */
static apr_status_t get_end(process_t *process, sys_exit_t *end, const char *call)
{
    process_lock();
    process_settle(process);
    *end = process->end;
    apr_status_t status = APR_SUCCESS;
    if (process->role != ROLE_CHILD || process->state != PROCESS_ENDED)
        status = process_wrong_state(process, call);
    else if (end->known == SYS_END_UNKNOWN)
        status = mproc_fail(MPROC_EEXITUNKNOWN,
                            "%s: %s (pid %d) has ended, but other code of this program took its exit code", call,
                            process->name, process->pid);
    process_unlock();
    return status;
}

/** The common part of the calls that tell how a process ended, and store it `where` the program wants it. */
static apr_status_t tell_end(mproc_process_t *handle, sys_exit_t *end, const void *where, int is_native,
                             const char *call)
{
    process_t *process;
    *end = (sys_exit_t){SYS_END_UNKNOWN, 0, 0};
    apr_status_t status = process_acquire(&process, handle, call);
    if (status != APR_SUCCESS)
        return status;
    if (!where)
        status = mproc_fail(APR_EINVAL, "%s: nowhere to store it: it is NULL", call);
    else if (is_native && process->method == MPROC_THREAD)
        status = mproc_fail(APR_ENOTIMPL, "%s: %s is a thread", call, process->name);
    else
        status = get_end(process, end, call);
    process_release(process);
    return status;
}

apr_status_t mproc_process_exitcode(mproc_process_t *handle, int *exitcode)
{
    sys_exit_t end;
    apr_status_t status = tell_end(handle, &end, exitcode, 0, "mproc_process_exitcode");
    if (status == APR_SUCCESS)
        *exitcode = end.code;
    return status;
}

apr_status_t mproc_process_native_exitcode(mproc_process_t *handle, int64_t *native)
{
    sys_exit_t end;
    apr_status_t status = tell_end(handle, &end, native, 1, "mproc_process_native_exitcode");
    if (status == APR_SUCCESS)
        *native = end.native;
    return status;
}

apr_status_t mproc_process_finish(mproc_process_t *handle, int *exitcode)
{
    process_t *process;
    sys_exit_t end;
    apr_status_t status = process_acquire(&process, handle, "mproc_process_finish");
    if (status != APR_SUCCESS)
        return status;
    status = process->role == ROLE_CHILD ? check_waitable(process, "mproc_process_finish")
                                         : process_wrong_state(process, "mproc_process_finish");
    if (status == APR_SUCCESS) {
        status = join(process, MPROC_FOREVER, "mproc_process_finish");
        process_lock();
        process_give_up(process);
        /* A child that failed to start has an exit code too, but the reason is the better status. */
        if (exitcode && process->end.known != SYS_END_UNKNOWN)
            *exitcode = process->end.code;
        process_unlock();
        if (status == APR_SUCCESS)
            status = get_end(process, &end, "mproc_process_finish");
        handle_close(handle, HANDLE_PROCESS); /* another thread may have been faster */
    }
    process_release(process);
    return status;
}

int mproc_process_is_alive(mproc_process_t *handle)
{
    process_t *process;
    if (process_acquire(&process, handle, "mproc_process_is_alive") != APR_SUCCESS)
        return 0;
    process_lock();
    process_settle(process);
    const int alive = process->state == PROCESS_RUNNING;
    process_unlock();
    process_release(process);
    mproc_forget_error();
    return alive;
}

/* ---- Ending ------------------------------------------------------------------------------------------------------ */

/** Try to send a signal: APR_EAGAIN if the system has no room for it at the moment. The status has its text. */
static apr_status_t try_signal(process_t *process, sys_signal_t sig, const char *call)
{
    apr_status_t status = APR_SUCCESS;
    process_lock();
    process_settle(process);
    if (process->role != ROLE_CHILD || process->state == PROCESS_CREATED || process->state == PROCESS_LAUNCHING)
        status = process_wrong_state(process, call);
    else if (process->method == MPROC_THREAD)
        status =
            mproc_fail(APR_ENOTIMPL, "%s: %s is a thread, which cannot be ended from outside", call, process->name);
    else if (process->state == PROCESS_RUNNING)
        status = sys_process_signal(process->os, sig);
    process_unlock();
    if (status == APR_SUCCESS || status == MPROC_ESTATE || status == APR_ENOTIMPL)
        return status;
    return mproc_fail(status, "%s: signal %d cannot be sent to %s (pid %d)", call, (int)sig, process->name,
                      process->pid);
}

apr_status_t process_signal(process_t *process, sys_signal_t sig, const char *call)
{
    const sys_time_t deadline = sys_now() + MPROC_SECONDS(1);
    for (;;) {
        const apr_status_t status = try_signal(process, sig, call);
        if (status != APR_EAGAIN || sys_now() >= deadline)
            return status;
        apr_sleep(MPROC_MILLISECONDS(1));
    }
}

static apr_status_t signal_handle(mproc_process_t *handle, sys_signal_t sig, const char *call)
{
    process_t *process;
    apr_status_t status = process_acquire(&process, handle, call);
    if (status != APR_SUCCESS)
        return status;
    status = process_signal(process, sig, call);
    process_release(process);
    return status;
}

apr_status_t mproc_process_terminate(mproc_process_t *handle)
{
    return signal_handle(handle, SYS_TERMINATE, "mproc_process_terminate");
}

apr_status_t mproc_process_kill(mproc_process_t *handle)
{
    return signal_handle(handle, SYS_KILL, "mproc_process_kill");
}

apr_status_t mproc_process_interrupt(mproc_process_t *handle)
{
    return signal_handle(handle, SYS_INTERRUPT, "mproc_process_interrupt");
}

apr_status_t process_stop(process_t *process, apr_interval_time_t grace)
{
    /* Without grace there is nothing to ask for. */
    apr_status_t status = process_signal(process, grace == 0 ? SYS_KILL : SYS_TERMINATE, "mproc_process_stop");
    /* A signal that had no room is one that the process does not heed. */
    if (status != APR_SUCCESS && status != APR_EAGAIN)
        return status;
    status = process_wait(process, grace == 0 ? SYS_NEVER : process_deadline(grace));
    if (status != APR_TIMEUP)
        return status;
    status = process_signal(process, SYS_KILL, "mproc_process_stop");
    return status == APR_SUCCESS ? process_wait(process, SYS_NEVER) : status;
}

apr_status_t mproc_process_stop(mproc_process_t *handle, apr_interval_time_t grace)
{
    process_t *process;
    apr_status_t status = process_acquire(&process, handle, "mproc_process_stop");
    if (status != APR_SUCCESS)
        return status;
    status = process == process_current() ? process_wrong_state(process, "mproc_process_stop")
                                          : process_stop(process, grace);
    process_release(process);
    return status;
}
