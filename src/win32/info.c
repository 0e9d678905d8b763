/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "win32.h"

#include <psapi.h>
#include <shellapi.h>
#include <tlhelp32.h>

sys_time_t sys_now(void)
{
    LARGE_INTEGER now, frequency;
    QueryPerformanceCounter(&now);
    QueryPerformanceFrequency(&frequency);
    const sys_time_t seconds = now.QuadPart / frequency.QuadPart;
    const sys_time_t rest = now.QuadPart % frequency.QuadPart;
    return seconds * 1000000 + rest * 1000000 / frequency.QuadPart;
}

/* ---- Processes --------------------------------------------------------------------------------------------------- */

int sys_getpid(void)
{
    return (int)GetCurrentProcessId();
}

apr_status_t win32_birth(uint64_t *birth, HANDLE process)
{
    FILETIME created, ended, kernel, user;
    *birth = 0;
    if (!GetProcessTimes(process, &created, &ended, &kernel, &user))
        return win32_error();
    *birth = (uint64_t)created.dwHighDateTime << 32 | created.dwLowDateTime;
    return APR_SUCCESS;
}

/** One of the system's list of all processes, as far as it is of use here. */
typedef struct listed_t {
    ULONG next; /* how far the next one is, in bytes; 0: there is none */
    ULONG thread_count;
    uint64_t reserved[3];
    uint64_t birth;
    uint64_t times[2];
    USHORT name_size[2];
    void *name;
    LONG priority;
    ULONG_PTR pid;
} listed_t;

apr_status_t win32_birth_listed(uint64_t *birth, DWORD pid)
{
    typedef LONG(NTAPI * query_t)(int, void *, ULONG, ULONG *);
    enum { PROCESSES = 5, TRIES = 8, FIRST = 1 << 17 };
    const query_t query = (query_t)win32_kernel_function("NtQuerySystemInformation");
    ULONG size = FIRST;
    ULONG needed = 0;
    unsigned char *list = NULL;
    LONG result = -1;
    *birth = 0;
    /* It may grow while it is asked for. */
    for (int i = 0; query && result < 0 && i<TRIES; i++, size = needed> size ? needed + FIRST : size * 2) {
        free(list);
        list = malloc(size);
        if (!list)
            return APR_ENOMEM;
        result = query(PROCESSES, list, size, &needed);
    }
    apr_status_t status = result < 0 ? APR_EGENERAL : APR_ENOENT;
    const listed_t *one = (const listed_t *)(const void *)list;
    while (status == APR_ENOENT && one->pid != pid && one->next)
        one = (const listed_t *)(const void *)((const unsigned char *)one + one->next);
    if (status == APR_ENOENT && one->pid == pid) {
        *birth = one->birth;
        status = APR_SUCCESS;
    }
    free(list);
    return status;
}

apr_status_t sys_birth(uint64_t *birth, int pid)
{
    *birth = 0;
    if (pid == sys_getpid())
        return win32_birth(birth, GetCurrentProcess());
    HANDLE process = OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, FALSE, (DWORD)pid);
    if (!process)
        return GetLastError() == ERROR_INVALID_PARAMETER ? APR_ENOENT : win32_error();
    const apr_status_t status = win32_birth(birth, process);
    win32_close(process);
    return status;
}

/** The number of this process's creator, which the system keeps for good; 0 if it does not tell. */
static BOOL CALLBACK find_parent(INIT_ONCE *once, void *data, void **parent)
{
    PROCESSENTRY32W entry = {.dwSize = sizeof entry};
    const DWORD self = GetCurrentProcessId();
    DWORD found = 0;
    (void)once;
    (void)data;
    HANDLE snapshot = CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0);
    if (snapshot == INVALID_HANDLE_VALUE)
        return FALSE;
    for (BOOL more = Process32FirstW(snapshot, &entry); more && !found; more = Process32NextW(snapshot, &entry))
        if (entry.th32ProcessID == self)
            found = entry.th32ParentProcessID;
    win32_close(snapshot);
    /* The lowest bits are the system's, and numbers of processes have none set there. */
    *parent = (void *)((uintptr_t)found << INIT_ONCE_CTX_RESERVED_BITS);
    return TRUE;
}

int sys_getppid(void)
{
    static INIT_ONCE once = INIT_ONCE_STATIC_INIT;
    void *context = NULL;
    uint64_t own, others;
    if (!InitOnceExecuteOnce(&once, find_parent, NULL, &context))
        return 0;
    const DWORD parent = (DWORD)((uintptr_t)context >> INIT_ONCE_CTX_RESERVED_BITS);
    HANDLE process = OpenProcess(SYNCHRONIZE | PROCESS_QUERY_LIMITED_INFORMATION, FALSE, parent);
    /* What belongs to another user is not to be looked at, but it exists. */
    if (!process)
        return GetLastError() == ERROR_ACCESS_DENIED ? (int)parent : 0;
    /* A number passes to another process in time; that one is younger than we are. */
    const int lives = WaitForSingleObject(process, 0) == WAIT_TIMEOUT &&
                      win32_birth(&own, GetCurrentProcess()) == APR_SUCCESS &&
                      win32_birth(&others, process) == APR_SUCCESS && others <= own;
    win32_close(process);
    return lives ? (int)parent : 0;
}

apr_status_t sys_private_bytes(uint64_t *bytes)
{
    PROCESS_MEMORY_COUNTERS counters = {.cb = sizeof counters};
    *bytes = 0;
    if (!K32GetProcessMemoryInfo(GetCurrentProcess(), &counters, sizeof counters))
        return win32_error();
    /* The same as PrivateUsage, which Wine does not tell. */
    *bytes = counters.PagefileUsage;
    return APR_SUCCESS;
}

int sys_thread_count(void)
{
    return 1;
}

apr_status_t sys_at_fork(sys_fork_order_t order, void (*lock)(void), void (*unlock)(void), void (*in_child)(void))
{
    (void)order;
    (void)lock;
    (void)unlock;
    (void)in_child;
    return APR_ENOTIMPL;
}

void sys_set_process_title(const char *name)
{
    (void)name;
}

/* ---- The command line and the environment ------------------------------------------------------------------------ */

apr_status_t sys_command_line(char ***argv, int *argc)
{
    int count;
    size_t length = 0;
    *argv = NULL;
    *argc = 0;
    wchar_t **list = CommandLineToArgvW(GetCommandLineW(), &count);
    if (!list)
        return win32_error();
    for (int i = 0; i < count; i++)
        length += wcslen(list[i]) + 1;
    apr_status_t status = APR_ENOMEM;
    wchar_t *strings = malloc(length * sizeof *strings);
    wchar_t *to = strings;
    for (int i = 0; strings && i < count; i++) {
        const size_t size = wcslen(list[i]) + 1;
        wmemcpy(to, list[i], size);
        to += size;
    }
    if (strings)
        status = win32_to_list(argv, strings, length, (size_t)count);
    if (status == APR_SUCCESS)
        *argc = count;
    free(strings);
    LocalFree(list);
    return status;
}

apr_status_t sys_environment(char ***list)
{
    size_t count = 0;
    *list = NULL;
    wchar_t *strings = GetEnvironmentStringsW();
    if (!strings)
        return win32_error();
    const wchar_t *end = strings;
    for (; *end; end += wcslen(end) + 1)
        count++;
    const apr_status_t status = win32_to_list(list, strings, (size_t)(end - strings), count);
    FreeEnvironmentStringsW(strings);
    return status;
}

apr_status_t sys_environment_get(char *value, size_t size, const char *name)
{
    wchar_t *wide_name;
    value[0] = '\0';
    apr_status_t status = win32_to_utf16(&wide_name, name);
    if (status != APR_SUCCESS)
        return status;
    /* No text has more units in UTF-16 than bytes in UTF-8: what does not fit here does not fit there. */
    wchar_t *wide = malloc(size * sizeof *wide);
    SetLastError(ERROR_SUCCESS);
    const DWORD length = wide ? GetEnvironmentVariableW(wide_name, wide, (DWORD)size) : 0;
    if (!wide)
        status = APR_ENOMEM;
    else if (length >= size)
        status = APR_ENAMETOOLONG;
    else if (length > 0)
        status = win32_to_utf8(value, size, wide);
    else if (GetLastError() != ERROR_SUCCESS)
        status = GetLastError() == ERROR_ENVVAR_NOT_FOUND ? APR_ENOENT : win32_error();
    free(wide);
    free(wide_name);
    return status;
}

int sys_environment_is(const char *strings, size_t size)
{
    (void)strings;
    (void)size;
    return 0;
}

apr_status_t sys_set_environment(char **list)
{
    (void)list;
    return APR_ENOTIMPL; /* a child has it from its start */
}

/** Convert the first bytes of a text: one allocation for free(), NULL if that cannot be. */
static wchar_t *widen(const char *text, int length)
{
    wchar_t *wide = malloc(((size_t)length + 1) * sizeof *wide);
    if (wide)
        wide[MultiByteToWideChar(CP_UTF8, 0, text, length, wide, length)] = L'\0';
    return wide;
}

int sys_environment_compare(const char *a, const char *b, size_t length)
{
    if (memcmp(a, b, length) == 0)
        return 0;
    wchar_t *left = widen(a, (int)length);
    wchar_t *right = widen(b, (int)length);
    const int order = left && right ? CompareStringOrdinal(left, -1, right, -1, TRUE) - CSTR_EQUAL : 1;
    free(left);
    free(right);
    return order;
}
