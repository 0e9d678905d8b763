/* SPDX-License-Identifier: Apache-2.0 */
/* Files that several processes add to. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "unix.h"

apr_status_t sys_append_open(sys_append_t *file, const char *path, int is_new)
{
    *file = (sys_append_t){.handle = SYS_NO_HANDLE};
    /* Nobody at the other end of a named pipe, or one who does not read, is a failure, not a reason to wait. */
    const int fd = unix_open(path, O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_NOCTTY | (is_new ? O_TRUNC : 0));
    if (fd < 0)
        return errno;
    const apr_status_t status = unix_identify(file->identity, fd);
    if (status == APR_SUCCESS)
        file->handle = fd;
    else
        unix_close(fd);
    return status;
}

apr_status_t sys_append(const sys_append_t *file, const void *data, size_t size)
{
    if (!unix_is_identical(file->identity, (int)file->handle))
        return APR_EBADF;
    /* The system appends what one call writes in one piece. Less than all of it fits where there is no more room. */
    for (const char *at = data; size > 0;) {
        const ssize_t written = unix_write_to_pipe((int)file->handle, at, size);
        if (written < 0 && errno != EINTR)
            return errno;
        at += written > 0 ? written : 0;
        size -= written > 0 ? (size_t)written : 0;
    }
    return APR_SUCCESS;
}

void sys_append_close(sys_append_t *file)
{
    if (file->handle != SYS_NO_HANDLE && unix_is_identical(file->identity, (int)file->handle))
        unix_close((int)file->handle);
    file->handle = SYS_NO_HANDLE;
}
