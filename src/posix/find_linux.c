/* SPDX-License-Identifier: Apache-2.0 */
/* What another process has open can be opened by its user through /proc. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "unix.h"

enum { BEGINNING_MAX = 64 };

/** Open one of a process's files if it begins as it should: a descriptor, or -1. */
static int open_file(int folder, const char *name, const void *beginning, size_t size)
{
    static const char nameless[] = "/memfd:mproc";
    char target[128], found[BEGINNING_MAX];
    const ssize_t length = readlinkat(folder, name, target, sizeof target - 1);
    if (length < (ssize_t)sizeof nameless - 1 || strncmp(target, nameless, sizeof nameless - 1) != 0)
        return -1;
    unix_making();
    const int fd = unix_made(openat(folder, name, O_RDWR | O_CLOEXEC));
    if (fd >= 0 && (pread(fd, found, size, 0) != (ssize_t)size || memcmp(found, beginning, size) != 0)) {
        unix_close(fd);
        return -1;
    }
    return fd;
}

apr_status_t sys_arena_find(sys_handle_t *handle, int pid, const void *beginning, size_t size)
{
    char path[64];
    *handle = SYS_NO_HANDLE;
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    const int folder = unix_open(path, O_RDONLY | O_DIRECTORY);
    if (folder < 0)
        return errno;
    DIR *entries = size <= BEGINNING_MAX ? fdopendir(dup(folder)) : NULL;
    int fd = -1;
    for (const struct dirent *entry; fd < 0 && entries && (entry = readdir(entries)) != NULL;)
        fd = open_file(folder, entry->d_name, beginning, size);
    if (entries)
        closedir(entries);
    unix_close(folder);
    *handle = fd < 0 ? SYS_NO_HANDLE : fd;
    return fd < 0 ? APR_ENOENT : APR_SUCCESS;
}
