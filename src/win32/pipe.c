/* SPDX-License-Identifier: Apache-2.0 */
/* Pipes of the system: their names, and who may use them. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include <apr_general.h>

#include "stream.h"

/* ---- Users ------------------------------------------------------------------------------------------------------- */

/** Write a user's id as text: S-1-, its authority, and its numbers. */
static void write_user(wchar_t *text, size_t size, PSID sid)
{
    const SID_IDENTIFIER_AUTHORITY *authority = GetSidIdentifierAuthority(sid);
    unsigned long long number = 0;
    for (int i = 0; i < 6; i++)
        number = number << 8 | authority->Value[i];
    int length = swprintf(text, size, L"S-1-%llu", number);
    for (UCHAR i = 0; i < *GetSidSubAuthorityCount(sid) && length > 0; i++)
        length += swprintf(text + length, size - (size_t)length, L"-%lu", (unsigned long)*GetSidSubAuthority(sid, i));
}

/* ---- Names ------------------------------------------------------------------------------------------------------- */

/* The longest text of a user's id. */
enum { USER_TEXT = 187 };

static const wchar_t folder[] = L"\\\\.\\pipe\\";

/** Write what tells a new name from all others. */
static apr_status_t write_unique(wchar_t *text, size_t size)
{
    static atomic_uint counter;
    uint64_t random[2];
    const apr_status_t status = apr_generate_random_bytes((unsigned char *)random, sizeof random);
    swprintf(text, size, L"%lu-%u-%016llx%016llx", GetCurrentProcessId(), atomic_fetch_add(&counter, 1),
             (unsigned long long)random[0], (unsigned long long)random[1]);
    return status;
}

apr_status_t win32_pipe_new_path(wchar_t path[WIN32_PATH_SIZE])
{
    const int length = swprintf(path, WIN32_PATH_SIZE, L"%lsmproc-", folder);
    return write_unique(path + length, WIN32_PATH_SIZE - (size_t)length);
}

/** Write the beginning of all names of this user. */
static apr_status_t write_own_prefix(wchar_t path[WIN32_PATH_SIZE])
{
    wchar_t text[USER_TEXT];
    win32_user_t own;
    const apr_status_t status = win32_user_of(&own, GetCurrentProcess());
    if (status != APR_SUCCESS)
        return status;
    write_user(text, sizeof text / sizeof *text, own.user.User.Sid);
    swprintf(path, WIN32_PATH_SIZE, L"%lsmproc-%ls-", folder, text);
    return APR_SUCCESS;
}

apr_status_t win32_pipe_path(wchar_t path[WIN32_PATH_SIZE], int *is_named, const char *name)
{
    const size_t in_folder = wcslen(folder);
    wchar_t unique[80];
    wchar_t *wide = NULL;
    const int is_address = name && (strchr(name, '\\') || strchr(name, '/'));
    *is_named = 1;
    apr_status_t status = write_own_prefix(path);
    if (status == APR_SUCCESS)
        status = name ? win32_to_utf16(&wide, name) : write_unique(unique, sizeof unique / sizeof *unique);
    if (status != APR_SUCCESS)
        return status;
    const size_t prefix = wcslen(path);
    const size_t length = wcslen(name ? wide : unique);
    if (is_address) {
        *is_named = _wcsnicmp(wide, path, prefix) == 0;
        /* Other machines' pipes have other folders. */
        if (_wcsnicmp(wide, folder, in_folder) != 0 || length == in_folder)
            status = APR_EINVAL;
        else if (length >= WIN32_PATH_SIZE)
            status = APR_ENAMETOOLONG;
        else
            wmemcpy(path, wide, length + 1);
    } else if (prefix + 1 + length >= WIN32_PATH_SIZE) {
        status = APR_ENAMETOOLONG;
    } else {
        /* No name that a program chooses begins with a dot. */
        swprintf(path + prefix, WIN32_PATH_SIZE - prefix, L"%ls%ls", name ? L"" : L".", name ? wide : unique);
    }
    free(wide);
    return status;
}

/** Write the name of the mark of a pipe. */
static void write_mark(wchar_t mark[WIN32_PATH_SIZE], const wchar_t *path)
{
    static const wchar_t global[] = L"Global\\";
    swprintf(mark, WIN32_PATH_SIZE, L"%ls%ls", global, path + wcslen(folder));
    /* The names of pipes do not tell capitals from others, and these do; and they have no folders in them. */
    for (wchar_t *at = mark + wcslen(global); *at; at++) {
        if (*at >= L'A' && *at <= L'Z')
            *at = (wchar_t)(*at - L'A' + L'a');
        if (*at == L'\\')
            *at = L'/';
    }
}

/* ---- Making ------------------------------------------------------------------------------------------------------ */

enum { LIST_SIZE = sizeof(ACL) + 3 * (sizeof(ACCESS_ALLOWED_ACE) + SECURITY_MAX_SID_SIZE) };

/** Who may use a pipe. */
typedef struct permissions_t {
    SECURITY_ATTRIBUTES attributes;
    SECURITY_DESCRIPTOR descriptor;
    union {
        ACL list;
        unsigned char bytes[LIST_SIZE];
    } access;
} permissions_t;

static int add_group(ACL *list, WELL_KNOWN_SID_TYPE group, DWORD rights)
{
    unsigned char sid[SECURITY_MAX_SID_SIZE];
    DWORD size = sizeof sid;
    return CreateWellKnownSid(group, NULL, sid, &size) && AddAccessAllowedAce(list, ACL_REVISION, rights, sid);
}

/** Let this user in, and the system; others as clients, but not to make further ends of the same name. */
static apr_status_t set_permissions(permissions_t *permissions, int any_user)
{
    const DWORD clients = (FILE_GENERIC_READ | FILE_GENERIC_WRITE) & ~(DWORD)FILE_CREATE_PIPE_INSTANCE;
    ACL *list = &permissions->access.list;
    win32_user_t own;
    const apr_status_t status = win32_user_of(&own, GetCurrentProcess());
    if (status != APR_SUCCESS)
        return status;
    permissions->attributes = (SECURITY_ATTRIBUTES){sizeof permissions->attributes, &permissions->descriptor, FALSE};
    if (InitializeAcl(list, sizeof permissions->access, ACL_REVISION) &&
        AddAccessAllowedAce(list, ACL_REVISION, FILE_ALL_ACCESS, own.user.User.Sid) &&
        add_group(list, WinLocalSystemSid, FILE_ALL_ACCESS) && (!any_user || add_group(list, WinWorldSid, clients)) &&
        InitializeSecurityDescriptor(&permissions->descriptor, SECURITY_DESCRIPTOR_REVISION) &&
        SetSecurityDescriptorDacl(&permissions->descriptor, TRUE, list, FALSE))
        return APR_SUCCESS;
    return win32_error();
}

static apr_status_t create(HANDLE *pipe, const wchar_t *path, DWORD flags, DWORD mode, DWORD count, int any_user)
{
    permissions_t permissions;
    *pipe = NULL;
    const apr_status_t status = set_permissions(&permissions, any_user);
    if (status != APR_SUCCESS)
        return status;
    HANDLE made = CreateNamedPipeW(path, flags | FILE_FLAG_OVERLAPPED, mode | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS,
                                   count, WIN32_PIPE_BUFFER, WIN32_PIPE_BUFFER, 0, &permissions.attributes);
    if (made == INVALID_HANDLE_VALUE)
        return win32_error();
    *pipe = made;
    return APR_SUCCESS;
}

apr_status_t win32_pipe_create(HANDLE *pipe, const wchar_t *path, DWORD flags, DWORD count, int any_user)
{
    return create(pipe, path, flags, PIPE_TYPE_MESSAGE | PIPE_READMODE_MESSAGE, count, any_user);
}

apr_status_t win32_pipe_create_bytes(HANDLE *pipe, const wchar_t *path, int is_output)
{
    const DWORD access = is_output ? PIPE_ACCESS_OUTBOUND : PIPE_ACCESS_INBOUND;
    return create(pipe, path, access | FILE_FLAG_FIRST_PIPE_INSTANCE, PIPE_TYPE_BYTE | PIPE_READMODE_BYTE, 1, 0);
}

apr_status_t win32_pipe_connect(HANDLE *pipe, const wchar_t *path, int directions)
{
    DWORD mode = PIPE_READMODE_MESSAGE;
    DWORD access = FILE_READ_ATTRIBUTES | FILE_WRITE_ATTRIBUTES | READ_CONTROL | SYNCHRONIZE;
    *pipe = NULL;
    if (directions & SYS_STREAM_IN)
        access |= FILE_READ_DATA;
    if (directions & SYS_STREAM_OUT)
        access |= FILE_WRITE_DATA;
    /* Whoever listens learns who we are, but cannot act as if it were us. */
    HANDLE made = CreateFileW(path, access, 0, NULL, OPEN_EXISTING,
                              FILE_FLAG_OVERLAPPED | SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION, NULL);
    if (made == INVALID_HANDLE_VALUE)
        return win32_error();
    if (!SetNamedPipeHandleState(made, &mode, NULL, NULL)) {
        const apr_status_t status = win32_error();
        win32_close(made);
        return status;
    }
    *pipe = made;
    return APR_SUCCESS;
}

DWORD win32_pipe_look(HANDLE pipe)
{
    DWORD left = 0;
    return PeekNamedPipe(pipe, NULL, 0, NULL, NULL, &left) ? left : 0;
}

apr_status_t win32_pipe_join(HANDLE pipe)
{
    OVERLAPPED overlapped;
    memset(&overlapped, 0, sizeof overlapped);
    if (ConnectNamedPipe(pipe, &overlapped) || GetLastError() == ERROR_PIPE_CONNECTED)
        return APR_SUCCESS;
    const apr_status_t status = win32_error();
    CancelIoEx(pipe, &overlapped);
    return status;
}

/* ---- Marks ------------------------------------------------------------------------------------------------------- */

apr_status_t win32_mark_create(HANDLE *mark, const wchar_t *path)
{
    enum { TRIES = 5, NAP = 2 };
    wchar_t name[WIN32_PATH_SIZE];
    permissions_t permissions;
    *mark = NULL;
    const apr_status_t status = set_permissions(&permissions, 0);
    if (status != APR_SUCCESS)
        return status;
    write_mark(name, path);
    /* Whoever looks for it keeps it for a moment. */
    for (int i = 0; i < TRIES; i++) {
        if (i > 0)
            Sleep(NAP);
        HANDLE made = CreateEventW(&permissions.attributes, TRUE, FALSE, name);
        if (!made)
            return GetLastError() == ERROR_ACCESS_DENIED ? APR_EEXIST : win32_error();
        if (GetLastError() != ERROR_ALREADY_EXISTS) {
            *mark = made;
            return APR_SUCCESS;
        }
        win32_close(made);
    }
    return APR_EEXIST;
}

int win32_mark_exists(const wchar_t *path)
{
    wchar_t name[WIN32_PATH_SIZE];
    write_mark(name, path);
    HANDLE found = OpenEventW(SYNCHRONIZE, FALSE, name);
    if (!found)
        return GetLastError() != ERROR_FILE_NOT_FOUND;
    win32_close(found);
    return 1;
}
