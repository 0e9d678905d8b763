/* SPDX-License-Identifier: Apache-2.0 */
/* Files that several processes add to. */
#include <stdlib.h>
#include <string.h>

#include "win32.h"

apr_status_t sys_append_open(sys_append_t *file, const char *path, int is_new)
{
    /*
     * With the right to append, but not to write, all goes to the end. Who may read may lock. Others may do with the
     * file what they like, as on Unix.
     */
    const DWORD access = (FILE_GENERIC_WRITE & ~(DWORD)FILE_WRITE_DATA) | FILE_GENERIC_READ;
    wchar_t *wide;
    *file = (sys_append_t){.handle = SYS_NO_HANDLE};
    apr_status_t status = win32_to_utf16(&wide, path);
    if (status != APR_SUCCESS)
        return status;
    HANDLE made = CreateFileW(wide, access, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL,
                              is_new ? CREATE_ALWAYS : OPEN_ALWAYS, FILE_ATTRIBUTE_NORMAL, NULL);
    if (made == INVALID_HANDLE_VALUE)
        status = win32_error();
    else
        file->handle = (sys_handle_t)made;
    free(wide);
    return status;
}

/** A byte where no file has one, which stands for the right to append. */
static OVERLAPPED place_of_lock(void)
{
    OVERLAPPED place;
    memset(&place, 0, sizeof place);
    place.Offset = 0xfffffff0;
    place.OffsetHigh = 0x7fffffff;
    return place;
}

/** Wait until nobody else appends, but not for one who is stopped. */
static int lock(HANDLE handle)
{
    enum { TRIES = 2000 };
    for (int i = 0; i < TRIES; i++) {
        OVERLAPPED place = place_of_lock();
        if (LockFileEx(handle, LOCKFILE_EXCLUSIVE_LOCK | LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &place))
            return 1;
        if (GetLastError() != ERROR_LOCK_VIOLATION && GetLastError() != ERROR_IO_PENDING)
            return 0;
        Sleep(i < 10 ? 0 : 1);
    }
    return 0;
}

apr_status_t sys_append(const sys_append_t *file, const void *data, size_t size)
{
    HANDLE handle = (HANDLE)file->handle;
    /* The system appends in one piece. Wine looks where the end is, and then writes there: so only one at a time. */
    const int is_locked = lock(handle);
    apr_status_t status = APR_SUCCESS;
    for (const char *at = data; size > 0 && status == APR_SUCCESS;) {
        DWORD written = 0;
        if (!WriteFile(handle, at, (DWORD)size, &written, NULL))
            status = win32_error();
        at += written;
        size -= written;
    }
    if (is_locked) {
        OVERLAPPED place = place_of_lock();
        UnlockFileEx(handle, 0, 1, 0, &place);
    }
    return status;
}

void sys_append_close(sys_append_t *file)
{
    sys_handle_close(file->handle);
    file->handle = SYS_NO_HANDLE;
}
