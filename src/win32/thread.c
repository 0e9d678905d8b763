/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system calls us when a thread ends, however it was begun: for a value that the thread has in a slot. It also does
 * so for a fiber that is deleted. By the thread that it ran on that is as well: what is given back then is had anew by
 * whoever asks for it. By another thread it is no end: the first one goes on with what it has, which stays taken.
 */
#include "win32.h"

static INIT_ONCE once = INIT_ONCE_STATIC_INIT;
static DWORD slot = FLS_OUT_OF_INDEXES;
static BOOLEAN(NTAPI *is_process_ending)(void);

static void NTAPI call(void *value)
{
    /* If another fiber is deleted, the one that runs has a value of its own. */
    const void *const own = FlsGetValue(slot);
    const int is_end = !own || own == value;
    /* With the process all other threads are gone, wherever they were: nothing waits for this one's end. */
    if (is_process_ending && is_process_ending())
        return;
    while (value) {
        const sys_thread_exit_t *const at_exit = value;
        sys_thread_exit_t *const next = at_exit->next;
        if (is_end)
            FlsSetValue(slot, next);
        if (at_exit->thread == GetCurrentThreadId())
            at_exit->function(at_exit->context);
        /* With what was registered meanwhile. */
        value = is_end ? FlsGetValue(slot) : next;
    }
}

static BOOL CALLBACK get_slot(INIT_ONCE *of, void *data, void **context)
{
    HMODULE module;
    (void)of;
    (void)data;
    (void)context;
    /* Threads may outlive the library's use; what they call at their end must not be unloaded. */
    if (!GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_PIN | GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS,
                            (const wchar_t *)(uintptr_t)call, &module))
        return FALSE;
    is_process_ending = (BOOLEAN(NTAPI *)(void))win32_kernel_function("RtlDllShutdownInProgress");
    slot = FlsAlloc(call);
    return slot != FLS_OUT_OF_INDEXES;
}

apr_status_t sys_at_thread_exit(sys_thread_exit_t *at_exit, void (*function)(void *context), void *context)
{
    if (!InitOnceExecuteOnce(&once, get_slot, NULL, NULL))
        return APR_ENOMEM;
    *at_exit = (sys_thread_exit_t){function, context, GetCurrentThreadId(), FlsGetValue(slot)};
    return FlsSetValue(slot, at_exit) ? APR_SUCCESS : APR_ENOMEM;
}

/* A handler for the console's events has a thread of its own. */

void sys_hold_signals(void)
{
}

void sys_let_signals(void)
{
}

void sys_let_signals_of_children(void)
{
}
