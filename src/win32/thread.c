/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system calls us when a thread ends, however it was begun: for a value that the thread has in a slot. It also does
 * so for a fiber that is deleted. By the thread that it ran on that is as well: what is given back then is had anew by
 * whoever asks for it. By another thread it is no end: the first one goes on with what it has, which stays taken.
 */
#include <stdlib.h>

#include "win32.h"

/** What a thread's end is to call. */
typedef struct exit_t {
    void (*function)(void *context);
    void *context;
    DWORD thread;
    struct exit_t *next;
} exit_t;

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
        exit_t *const exit = value;
        if (is_end)
            FlsSetValue(slot, exit->next);
        if (exit->thread == GetCurrentThreadId())
            exit->function(exit->context);
        /* With what was registered meanwhile. */
        value = is_end ? FlsGetValue(slot) : exit->next;
        free(exit);
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

apr_status_t sys_at_thread_exit(void (*function)(void *context), void *context)
{
    if (!InitOnceExecuteOnce(&once, get_slot, NULL, NULL))
        return APR_ENOMEM;
    exit_t *made = malloc(sizeof *made);
    if (!made)
        return APR_ENOMEM;
    *made = (exit_t){function, context, GetCurrentThreadId(), FlsGetValue(slot)};
    if (FlsSetValue(slot, made))
        return APR_SUCCESS;
    free(made);
    return APR_ENOMEM;
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
