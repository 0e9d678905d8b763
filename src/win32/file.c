/* SPDX-License-Identifier: Apache-2.0 */
/* What programs are to have as their standard streams. */
#include <stdlib.h>

#include "win32.h"

apr_status_t sys_file_open(sys_handle_t *handle, const char *path, sys_open_t how)
{
    /* Attributes: C runtimes ask for them. To append is a right of its own: all writes go to the end, at once. */
    static const struct {
        DWORD access, creation;
    } ways[] = {
        [SYS_OPEN_READ] = {GENERIC_READ, OPEN_EXISTING},
        [SYS_OPEN_WRITE] = {GENERIC_WRITE | FILE_READ_ATTRIBUTES, CREATE_ALWAYS},
        [SYS_OPEN_APPEND] = {(FILE_GENERIC_WRITE & ~(DWORD)FILE_WRITE_DATA) | FILE_READ_ATTRIBUTES, OPEN_ALWAYS}};
    wchar_t *wide;
    *handle = SYS_NO_HANDLE;
    apr_status_t status = win32_to_utf16(&wide, path);
    if (status != APR_SUCCESS)
        return status;
    /* Others may do with the file what they like, as on Unix. */
    HANDLE made = CreateFileW(wide, ways[how].access, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL,
                              ways[how].creation, FILE_ATTRIBUTE_NORMAL, NULL);
    if (made == INVALID_HANDLE_VALUE)
        status = win32_error();
    else
        *handle = (sys_handle_t)made;
    free(wide);
    return status;
}

apr_status_t sys_pipe(sys_handle_t ends[2])
{
    enum { ROOM = 1 << 16 };
    HANDLE reader, writer;
    ends[0] = ends[1] = SYS_NO_HANDLE;
    if (!CreatePipe(&reader, &writer, NULL, ROOM))
        return win32_error();
    ends[0] = (sys_handle_t)reader;
    ends[1] = (sys_handle_t)writer;
    return APR_SUCCESS;
}
