/* SPDX-License-Identifier: Apache-2.0 */
#include "win32.h"

apr_status_t win32_user_of(win32_user_t *user, HANDLE process)
{
    HANDLE token;
    DWORD size;
    if (!OpenProcessToken(process, TOKEN_QUERY, &token))
        return win32_error();
    const apr_status_t status =
        GetTokenInformation(token, TokenUser, user, sizeof *user, &size) ? APR_SUCCESS : win32_error();
    win32_close(token);
    return status;
}

int win32_is_own_user(DWORD pid)
{
    win32_user_t own, other;
    int is_same = 0;
    HANDLE process = OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, FALSE, pid);
    if (!process)
        return 0;
    if (win32_user_of(&own, GetCurrentProcess()) == APR_SUCCESS && win32_user_of(&other, process) == APR_SUCCESS)
        is_same = EqualSid(own.user.User.Sid, other.user.User.Sid) != 0;
    win32_close(process);
    return is_same;
}
