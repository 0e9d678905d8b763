/* SPDX-License-Identifier: Apache-2.0 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "process_object.h"

/** Keep for join what the child reported, or its death says, about a target that never ran. */
static void judge(process_t *process)
{
    boot_report_t *report = boot_report(&process->block);
    const uint32_t stage = process->thread ? (uint32_t)BOOT_ENDED : atomic_load(&report->stage);
    const int by_signal = process->end.known && process->end.code < 0;
    process->verdict = APR_SUCCESS;
    if (stage == BOOT_FAILED) {
        process->verdict = report->failure;
        process->verdict_native = report->failure_native;
        report->failure_text[sizeof report->failure_text - 1] = '\0';
        process->verdict_text = strdup(report->failure_text);
    } else if (stage == BOOT_CREATED && !by_signal && process->method == MPROC_SPAWN) {
        process->verdict = MPROC_EINIT;
        process->verdict_text = strdup("its main ended before it reached mproc_initialize()");
    } else if (stage < BOOT_RUNNING && !by_signal) {
        process->verdict = MPROC_ESTARTUP;
        process->verdict_text = strdup("it ended before its target was called");
    }
    /* Other code of this program waited for it, but it had told its exit code before. */
    if (!process->end.known && stage == BOOT_ENDED && !process->thread) {
        process->end.known = 1;
        process->end.code = report->exitcode;
        process->end.native = report->exitcode;
    }
}

void process_settle(process_t *process)
{
    if (process->state != PROCESS_RUNNING || process->role == ROLE_CURRENT)
        return;
    apr_status_t status = process->thread ? thread_reap(process) : sys_process_reap(&process->end, process->os);
    if (status == APR_TIMEUP)
        return;
    process->state = PROCESS_ENDED;
    if (process->role != ROLE_CHILD)
        return;
    judge(process);
    sys_block_close(&process->block);
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
        process_settle(process);
        const process_state_t state = process->state;
        process_unlock();
        if (state == PROCESS_ENDED)
            return APR_SUCCESS;
        sys_handle_t sentinel = process->thread ? thread_sentinel(process) : sys_process_sentinel(process->os);
        apr_status_t status = sys_wait(sentinel, deadline);
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

static apr_status_t join(process_t *process, apr_interval_time_t timeout, const char *call)
{
    apr_status_t status = check_waitable(process, call);
    if (status == APR_SUCCESS)
        status = process_wait(process, process_deadline(timeout));
    else
        return status;
    if (status != APR_SUCCESS)
        return mproc_fail(status, "%s: %s (pid %d) still runs", call, process->name, process->pid);
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
    else if (!end->known)
        status = mproc_fail(MPROC_EEXITUNKNOWN,
                            "%s: %s (pid %d) has ended, but other code of this program took its exit code", call,
                            process->name, process->pid);
    process_unlock();
    return status;
}

apr_status_t mproc_process_exitcode(mproc_process_t *handle, int *exitcode)
{
    process_t *process;
    sys_exit_t end = {0, 0, 0};
    apr_status_t status = process_acquire(&process, handle, "mproc_process_exitcode");
    if (status != APR_SUCCESS)
        return status;
    status = exitcode ? get_end(process, &end, "mproc_process_exitcode")
                      : mproc_fail(APR_EINVAL, "mproc_process_exitcode: nowhere to store it: it is NULL");
    if (status == APR_SUCCESS)
        *exitcode = end.code;
    process_release(process);
    return status;
}

apr_status_t mproc_process_native_exitcode(mproc_process_t *handle, int64_t *native)
{
    process_t *process;
    sys_exit_t end = {0, 0, 0};
    apr_status_t status = process_acquire(&process, handle, "mproc_process_native_exitcode");
    if (status != APR_SUCCESS)
        return status;
    if (!native)
        status = mproc_fail(APR_EINVAL, "mproc_process_native_exitcode: nowhere to store it: it is NULL");
    else if (process->method == MPROC_THREAD)
        status = mproc_fail(APR_ENOTIMPL, "mproc_process_native_exitcode: %s is a thread", process->name);
    else
        status = get_end(process, &end, "mproc_process_native_exitcode");
    if (status == APR_SUCCESS)
        *native = end.native;
    process_release(process);
    return status;
}

apr_status_t mproc_process_finish(mproc_process_t *handle, int *exitcode)
{
    process_t *process;
    sys_exit_t end = {0, 0, 0};
    apr_status_t status = process_acquire(&process, handle, "mproc_process_finish");
    if (status != APR_SUCCESS)
        return status;
    status = process->role == ROLE_CHILD ? join(process, MPROC_FOREVER, "mproc_process_finish")
                                         : process_wrong_state(process, "mproc_process_finish");
    if (status != MPROC_ESTATE) {
        /* A child that failed to start has an exit code too, but the reason is the better status. */
        const int is_known = process->end.known;
        if (exitcode && is_known)
            *exitcode = process->end.code;
        if (status == APR_SUCCESS)
            status = get_end(process, &end, "mproc_process_finish");
        mproc_process_close(handle);
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

apr_status_t process_signal(process_t *process, sys_signal_t sig, const char *call)
{
    apr_status_t status = APR_SUCCESS;
    process_lock();
    process_settle(process);
    if (process->role != ROLE_CHILD || process->state == PROCESS_CREATED || process->state == PROCESS_LAUNCHING)
        status = process_wrong_state(process, call);
    else if (process->method == MPROC_THREAD)
        status =
            mproc_fail(APR_ENOTIMPL, "%s: %s is a thread, which cannot be ended from outside", call, process->name);
    else if (process->state == PROCESS_RUNNING) {
        status = sys_process_signal(process->os, sig);
        if (status != APR_SUCCESS)
            status = mproc_fail(status, "%s: signal %d cannot be sent to %s (pid %d)", call, (int)sig, process->name,
                                process->pid);
    }
    process_unlock();
    return status;
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
    if (status != APR_SUCCESS)
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
