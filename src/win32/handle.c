/* SPDX-License-Identifier: Apache-2.0 */
#include "win32.h"

apr_status_t win32_error(void)
{
    const DWORD error = GetLastError();
    return error ? APR_FROM_OS_ERROR((apr_status_t)error) : APR_EGENERAL;
}

void win32_close(HANDLE handle)
{
    const DWORD error = GetLastError();
    if (handle)
        CloseHandle(handle);
    SetLastError(error);
}

void (*win32_kernel_function(const char *name))(void)
{
    HMODULE module = GetModuleHandleW(L"ntdll.dll");
    return module ? (void (*)(void))GetProcAddress(module, name) : NULL;
}

apr_status_t win32_push(int64_t *there, HANDLE process, HANDLE handle)
{
    HANDLE copy;
    *there = 0;
    if (!DuplicateHandle(GetCurrentProcess(), handle, process, &copy, 0, FALSE, DUPLICATE_SAME_ACCESS))
        return win32_error();
    *there = (int64_t)(intptr_t)copy;
    return APR_SUCCESS;
}

/* ---- The seam ---------------------------------------------------------------------------------------------------- */

apr_status_t sys_handle_duplicate(sys_handle_t *copy, sys_handle_t handle)
{
    HANDLE made;
    *copy = SYS_NO_HANDLE;
    /*
     * Negative numbers stand for "this process", "this thread" and the like: in a child they would be something else.
     */
    if (handle <= 0)
        return APR_EBADF;
    if (!DuplicateHandle(GetCurrentProcess(), (HANDLE)handle, GetCurrentProcess(), &made, 0, FALSE,
                         DUPLICATE_SAME_ACCESS))
        return win32_error();
    *copy = (sys_handle_t)made;
    return APR_SUCCESS;
}

void sys_handle_give(sys_handle_t handle)
{
    (void)handle;
}

void sys_handle_close(sys_handle_t handle)
{
    if (handle != SYS_NO_HANDLE)
        win32_close((HANDLE)handle);
}
