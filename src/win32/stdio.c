/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A standard stream that children can inherit is passed as it is. Any other is pushed: the child starts with the null
 * device in its place, so that its C runtime sets the stream up as usual, and a duplicate, which only this one child
 * can have, takes that place before the target runs.
 */
#include <errno.h>
#include <fcntl.h>
#include <io.h>

#include "win32.h"

static DWORD standard_id(int i)
{
    static const DWORD ids[] = {STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, STD_ERROR_HANDLE};
    return ids[i];
}

static apr_status_t open_null(HANDLE *opened)
{
    SECURITY_ATTRIBUTES inheritable = {sizeof inheritable, NULL, TRUE};
    HANDLE null = CreateFileW(L"NUL", GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE, &inheritable,
                              OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, NULL);
    if (null == INVALID_HANDLE_VALUE)
        return win32_error();
    *opened = null;
    return APR_SUCCESS;
}

/** Get this process's own stream; NULL if it is closed. */
static HANDLE own_stream(DWORD *flags, int i)
{
    HANDLE own = GetStdHandle(standard_id(i));
    return own && own != INVALID_HANDLE_VALUE && GetHandleInformation(own, flags) ? own : NULL;
}

/** Take this process's own stream; one that is closed is left out. */
static void plan_inherited(win32_stream_t *stream, int i)
{
    DWORD flags;
    HANDLE own = own_stream(&flags, i);
    if (!own)
        return;
    if (flags & HANDLE_FLAG_INHERIT)
        stream->passed = own;
    else
        stream->pushed = own;
}

apr_status_t win32_plan_streams(win32_stream_t plan[3], const sys_stdio_t stdio[3])
{
    apr_status_t status = APR_SUCCESS;
    for (int i = 0; i < 3; i++) {
        plan[i] = (win32_stream_t){NULL, NULL, NULL};
        switch (stdio[i].kind) {
        case SYS_STDIO_INHERIT:
            plan_inherited(&plan[i], i);
            break;
        case SYS_STDIO_HANDLE:
            plan[i].pushed = (HANDLE)stdio[i].handle;
            break;
        case SYS_STDIO_STDOUT:
            plan[i].pushed = plan[1].pushed;
            if (!plan[1].null)
                plan[i].passed = plan[1].passed;
            break;
        case SYS_STDIO_NULL:
            break;
        }
        /* Each has a null device of its own: the child closes one without looking at the others. */
        if (status == APR_SUCCESS && !plan[i].passed) {
            status = open_null(&plan[i].null);
            plan[i].passed = plan[i].null;
        }
    }
    return status;
}

void win32_close_streams(win32_stream_t plan[3])
{
    for (int i = 0; i < 3; i++) {
        win32_close(plan[i].null);
        plan[i].null = NULL;
    }
}

/* ---- Programs ---------------------------------------------------------------------------------------------------- */

static apr_status_t open_copy(HANDLE *opened, HANDLE handle)
{
    /* Negative numbers stand for processes and threads. */
    if ((intptr_t)handle <= 0)
        return APR_EBADF;
    HANDLE self = GetCurrentProcess();
    if (DuplicateHandle(self, handle, self, opened, 0, TRUE, DUPLICATE_SAME_ACCESS))
        return APR_SUCCESS;
    *opened = NULL;
    return win32_error();
}

/** Get an inheritable handle for one stream; one that is closed here is the null device there. */
static apr_status_t open_stream(HANDLE *opened, const sys_stdio_t *stdio, int i)
{
    DWORD flags;
    HANDLE own = NULL;
    if (stdio->kind == SYS_STDIO_HANDLE)
        return open_copy(opened, (HANDLE)stdio->handle);
    if (stdio->kind == SYS_STDIO_INHERIT)
        own = own_stream(&flags, i);
    return own ? open_copy(opened, own) : open_null(opened);
}

apr_status_t win32_open_streams(HANDLE streams[3], const sys_stdio_t stdio[3])
{
    apr_status_t status = APR_SUCCESS;
    streams[0] = streams[1] = streams[2] = NULL;
    for (int i = 0; i < 3 && status == APR_SUCCESS; i++) {
        if (stdio[i].kind == SYS_STDIO_STDOUT)
            streams[i] = streams[1];
        else
            status = open_stream(&streams[i], &stdio[i], i);
    }
    return status;
}

void win32_close_opened(HANDLE streams[3])
{
    for (int i = 0; i < 3; i++)
        if (i == 0 || streams[i] != streams[i - 1])
            win32_close(streams[i]);
}

int sys_has_terminal(void)
{
    DWORD mode;
    return GetConsoleMode(GetStdHandle(STD_INPUT_HANDLE), &mode) != 0;
}

int sys_terminal_width(FILE *stream)
{
    CONSOLE_SCREEN_BUFFER_INFO info;
    const int fd = _fileno(stream);
    if (fd < 0 || !GetConsoleScreenBufferInfo((HANDLE)_get_osfhandle(fd), &info))
        return 0;
    return info.srWindow.Right - info.srWindow.Left + 1;
}

/* ---- In the child ------------------------------------------------------------------------------------------------ */

/** Put a handle in the place of a descriptor of the C runtime, and of the system's standard handle. It is used up. */
static apr_status_t place(int fd, HANDLE handle)
{
    const int before = _setmode(fd, _O_BINARY);
    const int mode = before == -1 ? _O_TEXT : before;
    const int from = _open_osfhandle((intptr_t)handle, mode);
    if (from < 0) {
        win32_close(handle);
        return APR_EBADF;
    }
    const int error = _dup2(from, fd) == 0 ? 0 : errno;
    _close(from);
    if (error)
        return error;
    _setmode(fd, mode);
    return SetStdHandle(standard_id(fd), (HANDLE)_get_osfhandle(fd)) ? APR_SUCCESS : win32_error();
}

apr_status_t win32_place_streams(const int64_t *handles)
{
    apr_status_t status = APR_SUCCESS;
    for (int i = 0; i < 3 && status == APR_SUCCESS; i++)
        if (handles[i] != 0)
            status = place(i, (HANDLE)(intptr_t)handles[i]);
    return status;
}
