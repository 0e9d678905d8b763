/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "win32.h"

apr_status_t sys_method_check(sys_method_t method)
{
    return method == SYS_SPAWN ? APR_SUCCESS : APR_ENOTIMPL;
}

sys_method_t sys_default_method(void)
{
    return SYS_SPAWN;
}

apr_status_t win32_process_make(sys_process_t **process, int is_own)
{
    *process = calloc(1, sizeof **process);
    if (!*process)
        return APR_ENOMEM;
    (*process)->is_own = is_own;
    return APR_SUCCESS;
}

void sys_process_close(sys_process_t *process)
{
    if (!process)
        return;
    win32_close(process->handle);
    win32_close(process->section);
    win32_close(process->job);
    free(process);
}

/* ---- Start ------------------------------------------------------------------------------------------------------- */

/** Give a child that does not run yet its duplicates of handles, and note in the block what it calls them. */
static apr_status_t push_all(HANDLE child, sys_start_t *start, const win32_stream_t streams[3])
{
    for (int i = 0; i < SYS_SLOTS; i++)
        start->slots[i] = 0;
    for (int i = 0; i < 3; i++) {
        apr_status_t status = APR_SUCCESS;
        if (streams[i].pushed)
            status = win32_push(&start->slots[i], child, streams[i].pushed);
        if (status != APR_SUCCESS) {
            start->failed = "a standard stream";
            return status;
        }
    }
    for (size_t i = 0; i < start->handle_count; i++) {
        apr_status_t status = win32_push(&start->child_handles[i], child, (HANDLE)start->handles[i]);
        if (status != APR_SUCCESS) {
            start->failed = "a given handle";
            return status;
        }
    }
    const apr_status_t status = win32_push_arena(&start->slots[WIN32_SLOT_ARENA], child);
    if (status != APR_SUCCESS)
        start->failed = "the family's memory";
    return status;
}

/** Let a new child run, with all that it is to have. */
static apr_status_t release(sys_process_t *process, const PROCESS_INFORMATION *child, sys_start_t *start,
                            const win32_stream_t streams[3])
{
    apr_status_t status = push_all(child->hProcess, start, streams);
    if (status == APR_SUCCESS && ResumeThread(child->hThread) == (DWORD)-1)
        status = win32_error();
    win32_close(child->hThread);
    if (status == APR_SUCCESS) {
        process->handle = child->hProcess;
        process->pid = child->dwProcessId;
        return status;
    }
    /* It has not run, and with it go the handles that it was given. */
    TerminateProcess(child->hProcess, win32_signal_code(SYS_KILL));
    win32_close(child->hProcess);
    for (size_t i = 0; i < start->handle_count; i++)
        start->child_handles[i] = start->handles[i];
    return status;
}

static apr_status_t spawn_child(sys_process_t *process, sys_start_t *start)
{
    char marker[64];
    win32_stream_t streams[3];
    PROCESS_INFORMATION child;
    win32_spawn_t spawn = {.marker = marker,
                           .directory = start->directory,
                           .environment = start->environment,
                           .streams = streams,
                           .is_shielded = start->is_shielded};
    /* A handle of our own: the core's goes when the start is over, and the child may not have looked by then. */
    if (!DuplicateHandle(GetCurrentProcess(), (HANDLE)start->block->handle, GetCurrentProcess(), &process->section, 0,
                         FALSE, DUPLICATE_SAME_ACCESS))
        return win32_error();
    snprintf(marker, sizeof marker, "--mproc=spawn:%lu,%llx", (unsigned long)GetCurrentProcessId(),
             (unsigned long long)(uintptr_t)process->section);
    apr_status_t status = win32_plan_streams(streams, start->stdio);
    if (status == APR_SUCCESS) {
        status = win32_spawn(&child, &spawn);
        start->failed = spawn.failed;
    } else {
        start->failed = "a standard stream";
    }
    if (status == APR_SUCCESS)
        status = release(process, &child, start, streams);
    win32_close_streams(streams);
    return status;
}

/* ---- The seam ---------------------------------------------------------------------------------------------------- */

apr_status_t sys_process_start(sys_process_t **process, sys_method_t method, sys_start_t *start)
{
    *process = NULL;
    if (method != SYS_SPAWN)
        return APR_ENOTIMPL;
    apr_status_t status = win32_process_make(process, 1);
    if (status == APR_SUCCESS)
        status = spawn_child(*process, start);
    if (status != APR_SUCCESS) {
        sys_process_close(*process);
        *process = NULL;
    }
    return status;
}

/** Open another process for waiting, and, where that is allowed, for ending it. */
static HANDLE open_other(DWORD pid)
{
    const DWORD access = SYNCHRONIZE | PROCESS_QUERY_LIMITED_INFORMATION;
    HANDLE process = OpenProcess(access | PROCESS_TERMINATE, FALSE, pid);
    return process || GetLastError() != ERROR_ACCESS_DENIED ? process : OpenProcess(access, FALSE, pid);
}

/** Why a process could not be opened: APR_ENOENT also if the number is another user's now. */
static apr_status_t refusal(DWORD pid, uint64_t birth)
{
    uint64_t found;
    const DWORD error = GetLastError();
    const apr_status_t status = error == ERROR_INVALID_PARAMETER ? APR_ENOENT : win32_error();
    if (error != ERROR_ACCESS_DENIED || !birth)
        return status;
    const apr_status_t listed = win32_birth_listed(&found, pid);
    return listed == APR_ENOENT || (listed == APR_SUCCESS && found != birth) ? APR_ENOENT : status;
}

apr_status_t sys_process_open(sys_process_t **process, int pid, uint64_t birth)
{
    uint64_t found;
    apr_status_t status = win32_process_make(process, 0);
    if (status != APR_SUCCESS)
        return status;
    (*process)->pid = (DWORD)pid;
    (*process)->handle = open_other((DWORD)pid);
    if (!(*process)->handle)
        status = refusal((DWORD)pid, birth);
    else
        status = win32_birth(&found, (*process)->handle);
    if (status == APR_SUCCESS && birth && birth != found)
        status = APR_ENOENT;
    if (status != APR_SUCCESS) {
        sys_process_close(*process);
        *process = NULL;
    }
    return status;
}

int sys_process_pid(const sys_process_t *process)
{
    return (int)process->pid;
}

sys_handle_t sys_process_sentinel(const sys_process_t *process)
{
    return (sys_handle_t)process->handle;
}

apr_status_t sys_process_reap(sys_exit_t *end, sys_process_t *process)
{
    DWORD native;
    *end = (sys_exit_t){SYS_END_UNKNOWN, 0, 0};
    if (sys_wait((sys_handle_t)process->handle, 0) != APR_SUCCESS)
        return APR_TIMEUP;
    /* The memory of its arguments is free from now on. */
    win32_close(process->section);
    process->section = NULL;
    win32_lot_forget(process->pid);
    if (process->is_own && GetExitCodeProcess(process->handle, &native))
        *end = (sys_exit_t){SYS_END_KNOWN, win32_exit_code(native), native};
    return APR_SUCCESS;
}

sys_exit_t sys_exit_of_code(int code)
{
    return (sys_exit_t){SYS_END_KNOWN, code, code};
}

apr_status_t sys_process_signal(sys_process_t *process, sys_signal_t sig)
{
    if (TerminateProcess(process->handle, win32_signal_code((int)sig)))
        return APR_SUCCESS;
    /* With our own children, all is allowed: access is denied only because the child is ending already. */
    return process->is_own && GetLastError() == ERROR_ACCESS_DENIED ? APR_SUCCESS : win32_error();
}

void sys_process_shutdown(void)
{
    win32_job_close();
    win32_lot_clear();
}
