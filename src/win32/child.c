/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "win32.h"

apr_status_t sys_child_attach(sys_block_t *block, int argc, const char *const *argv)
{
    static const char marker[] = "--mproc=spawn:";
    *block = (sys_block_t){NULL, 0, SYS_NO_HANDLE, NULL, 0};
    if (argc < 2 || !argv[1] || strncmp(argv[1], marker, sizeof marker - 1) != 0)
        return APR_ENOENT;
    char *end;
    const unsigned long creator = strtoul(argv[1] + sizeof marker - 1, &end, 10);
    if (*end != ',')
        return APR_EBADF;
    const unsigned long long handle = strtoull(end + 1, &end, 16);
    return *end ? APR_EBADF : win32_block_pull(block, creator, handle);
}

static void end_by_signal(int sig)
{
    TerminateProcess(GetCurrentProcess(), win32_signal_code(sig == SIGTERM ? 15 : 6));
}

/** Have a signal that the program raises itself end it as it does on Unix, and not with exit code 3. */
static void set_default(int sig)
{
    void (*before)(int) = signal(sig, end_by_signal);
    if (before != SIG_DFL && before != SIG_ERR)
        signal(sig, before);
}

static BOOL WINAPI ignore_interrupt(DWORD event)
{
    return event == CTRL_C_EVENT;
}

apr_status_t sys_child_setup(const int64_t *slots, int is_shielded)
{
    /* A handler is for this process alone. That Ctrl-C is turned off, what it starts would have from it. */
    if (is_shielded && SetConsoleCtrlHandler(ignore_interrupt, TRUE))
        SetConsoleCtrlHandler(NULL, FALSE);
    /* Nobody sits in front of a child: no boxes that wait for a click before its creator learns of its end. */
    SetErrorMode(GetErrorMode() | SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX | SEM_NOOPENFILEERRORBOX);
    _set_error_mode(_OUT_TO_STDERR);
    set_default(SIGABRT);
    set_default(SIGTERM);
    return win32_place_streams(slots);
}

apr_status_t sys_child_take(int64_t *handle, size_t index)
{
    DWORD flags;
    (void)index;
    /* It was put here before this process ran: there is nothing to do but to see that it is there. */
    return GetHandleInformation((HANDLE)(intptr_t)*handle, &flags) ? APR_SUCCESS : win32_error();
}

void sys_child_leave(int code)
{
    exit(code);
}
