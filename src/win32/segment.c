/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segments are sections of the paging file with a name in this session's folder of names, as Python's are. A section
 * keeps its size, and its memory is promised when it is made; it goes with its last handle and view, and its name too.
 */
#include <stdlib.h>
#include <string.h>

#include <mproc/status.h>

#include "win32.h"

enum { LIST_SIZE = sizeof(ACL) + 2 * (sizeof(ACCESS_ALLOWED_ACE) + SECURITY_MAX_SID_SIZE) };

static const sys_segment_t closed = {NULL, 0, SYS_NO_HANDLE, {0, 0}};

/** What the system says if there is no memory, or the name is that of something else, as the seam promises it. */
static apr_status_t segment_error(void)
{
    switch (GetLastError()) {
    case ERROR_NOT_ENOUGH_MEMORY:
    case ERROR_OUTOFMEMORY:
    case ERROR_COMMITMENT_LIMIT:
    case ERROR_NO_SYSTEM_RESOURCES:
    case ERROR_PAGEFILE_QUOTA:
    case ERROR_DISK_FULL:
    case ERROR_FILE_TOO_LARGE:
        return APR_ENOMEM;
    default:
        return win32_error();
    }
}

/** Who may use a segment. */
typedef struct permissions_t {
    SECURITY_ATTRIBUTES attributes;
    SECURITY_DESCRIPTOR descriptor;
    win32_user_t own;
    union {
        ACL list;
        unsigned char bytes[LIST_SIZE];
    } access;
} permissions_t;

/** Let this user in, and the system, and make it this user's: else an administrator's would be its group's. */
static apr_status_t set_permissions(permissions_t *permissions)
{
    unsigned char system[SECURITY_MAX_SID_SIZE];
    DWORD size = sizeof system;
    ACL *list = &permissions->access.list;
    const apr_status_t status = win32_user_of(&permissions->own, GetCurrentProcess());
    if (status != APR_SUCCESS)
        return status;
    PSID own = permissions->own.user.User.Sid;
    permissions->attributes = (SECURITY_ATTRIBUTES){sizeof permissions->attributes, &permissions->descriptor, FALSE};
    if (InitializeAcl(list, sizeof permissions->access, ACL_REVISION) &&
        AddAccessAllowedAce(list, ACL_REVISION, SECTION_ALL_ACCESS, own) &&
        CreateWellKnownSid(WinLocalSystemSid, NULL, system, &size) &&
        AddAccessAllowedAce(list, ACL_REVISION, SECTION_ALL_ACCESS, system) &&
        InitializeSecurityDescriptor(&permissions->descriptor, SECURITY_DESCRIPTOR_REVISION) &&
        SetSecurityDescriptorOwner(&permissions->descriptor, own, FALSE) &&
        SetSecurityDescriptorDacl(&permissions->descriptor, TRUE, list, FALSE))
        return APR_SUCCESS;
    return win32_error();
}

apr_status_t sys_segment_create(sys_segment_t *segment, const char *name, size_t size)
{
    permissions_t permissions;
    wchar_t *wide;
    *segment = closed;
    apr_status_t status = win32_to_utf16(&wide, name);
    if (status != APR_SUCCESS)
        return status;
    status = size > SIZE_MAX / 2 ? APR_ENOMEM : set_permissions(&permissions);
    if (status != APR_SUCCESS) {
        free(wide);
        return status;
    }
    HANDLE section = CreateFileMappingW(INVALID_HANDLE_VALUE, &permissions.attributes, PAGE_READWRITE,
                                        (DWORD)((uint64_t)size >> 32), (DWORD)(size & 0xffffffffu), wide);
    const DWORD error = GetLastError();
    free(wide);
    /* Something else has the name, or another user's segment. */
    if (!section && (error == ERROR_INVALID_HANDLE || error == ERROR_ACCESS_DENIED))
        return APR_EEXIST;
    SetLastError(error);
    /* The size is all that could be wrong. */
    if (!section)
        return error == ERROR_INVALID_PARAMETER ? APR_ENOMEM : segment_error();
    if (error == ERROR_ALREADY_EXISTS) {
        win32_close(section);
        return APR_EEXIST;
    }
    void *data = MapViewOfFile(section, FILE_MAP_READ | FILE_MAP_WRITE, 0, 0, size);
    if (!data) {
        status = segment_error();
        win32_close(section);
        return status;
    }
    *segment = (sys_segment_t){data, size, (sys_handle_t)section, {0, 0}};
    return APR_SUCCESS;
}

/** Whether a section belongs to this process's user, or to whom this process makes the owner of what it makes. */
static apr_status_t check_owner(HANDLE section)
{
    union {
        SECURITY_DESCRIPTOR descriptor;
        unsigned char bytes[sizeof(SECURITY_DESCRIPTOR) + SECURITY_MAX_SID_SIZE];
    } security;
    union {
        TOKEN_OWNER owner;
        unsigned char bytes[sizeof(TOKEN_OWNER) + SECURITY_MAX_SID_SIZE];
    } usual;
    win32_user_t own;
    PSID owner;
    BOOL is_default;
    HANDLE token;
    DWORD size;
    if (!GetKernelObjectSecurity(section, OWNER_SECURITY_INFORMATION, &security.descriptor, sizeof security, &size) ||
        !GetSecurityDescriptorOwner(&security.descriptor, &owner, &is_default))
        return win32_error();
    const apr_status_t status = win32_user_of(&own, GetCurrentProcess());
    if (status != APR_SUCCESS)
        return status;
    /* Wine knows no owner of what was made without permissions; there all processes are one user's. */
    if (!owner || EqualSid(owner, own.user.User.Sid))
        return APR_SUCCESS;
    if (!OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token))
        return win32_error();
    const int is_usual =
        GetTokenInformation(token, TokenOwner, &usual, sizeof usual, &size) && EqualSid(owner, usual.owner.Owner);
    win32_close(token);
    return is_usual ? APR_SUCCESS : APR_EACCES;
}

/** Map all of a section. */
static apr_status_t map(sys_segment_t *segment, HANDLE section)
{
    MEMORY_BASIC_INFORMATION view;
    void *data = MapViewOfFile(section, FILE_MAP_READ | FILE_MAP_WRITE, 0, 0, 0);
    if (!data)
        return segment_error();
    /* A section can be made without its memory being promised: what is not there is not part of the segment. */
    if (VirtualQuery(data, &view, sizeof view) == 0 || view.State != MEM_COMMIT) {
        UnmapViewOfFile(data);
        return MPROC_ESTATE;
    }
    *segment = (sys_segment_t){data, view.RegionSize, (sys_handle_t)section, {0, 0}};
    return APR_SUCCESS;
}

apr_status_t sys_segment_open(sys_segment_t *segment, const char *name, int any_user)
{
    wchar_t *wide;
    *segment = closed;
    apr_status_t status = win32_to_utf16(&wide, name);
    if (status != APR_SUCCESS)
        return status;
    HANDLE section = OpenFileMappingW(FILE_MAP_READ | FILE_MAP_WRITE | (any_user ? 0 : READ_CONTROL), FALSE, wide);
    const DWORD error = GetLastError();
    free(wide);
    SetLastError(error);
    if (!section)
        return error == ERROR_INVALID_HANDLE ? APR_EFTYPE : segment_error();
    if (!any_user)
        status = check_owner(section);
    if (status == APR_SUCCESS)
        status = map(segment, section);
    if (status != APR_SUCCESS)
        win32_close(section);
    return status;
}

apr_status_t sys_segment_read(const sys_segment_t *segment, size_t offset, void *buffer, size_t size)
{
    memcpy(buffer, segment->data + offset, size);
    return APR_SUCCESS;
}

apr_status_t sys_segment_write(const sys_segment_t *segment, size_t offset, const void *data, size_t size)
{
    memcpy(segment->data + offset, data, size);
    return APR_SUCCESS;
}

void sys_segment_close(sys_segment_t *segment)
{
    if (segment->data)
        UnmapViewOfFile(segment->data);
    sys_handle_close(segment->handle);
    *segment = closed;
}

apr_status_t sys_segment_unlink(const char *name)
{
    (void)name;
    return APR_SUCCESS;
}
