/* SPDX-License-Identifier: Apache-2.0 */
/* Linux: what the kernel knows of processes, from /proc. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unix.h"

#if defined(MPROC_HAVE_LIBC_SINGLE_THREADED)
#include <sys/single_threaded.h>
#endif

apr_status_t sys_birth(uint64_t *birth, int pid)
{
    char path[32];
    char text[1024];
    *birth = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM))
        return errno;
    /* Without /proc nobody knows; a birth of 0 then matches all. */
    if (fd < 0)
        return errno == ENOENT && access("/proc/self", F_OK) == 0 ? APR_ENOENT : APR_SUCCESS;
    ssize_t length;
    do {
        length = read(fd, text, sizeof text - 1);
    } while (length < 0 && errno == EINTR);
    const int error = errno;
    close(fd);
    /* Whoever is taken for dead loses its locks: no other failure than this one says that it is. */
    if (length < 0)
        return error == ESRCH ? APR_ENOENT : error;
    text[length] = '\0';
    /* The second field is the program's name in parentheses and may hold anything; the start time is the 22nd. */
    const char *at = strrchr(text, ')');
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    if (at)
        *birth = strtoull(at + 1, NULL, 10);
    return APR_SUCCESS;
}

int sys_thread_count(void)
{
    /*
     * Each thread is a folder there, and so a link to its parent: one call tells. Elsewhere nobody knows, and 2 is the
     * safe answer.
     */
    struct stat tasks;
#if defined(MPROC_HAVE_LIBC_SINGLE_THREADED)
    /* The library knows whether there was ever another thread. */
    if (__libc_single_threaded)
        return 1;
#endif
    if (stat("/proc/self/task", &tasks) != 0 || tasks.st_nlink < 3)
        return 2;
    return (int)tasks.st_nlink - 2;
}

apr_status_t sys_private_bytes(uint64_t *bytes)
{
    char text[128];
    *bytes = 0;
    const int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? APR_ENOTIMPL : errno;
    ssize_t length;
    do {
        length = read(fd, text, sizeof text - 1);
    } while (length < 0 && errno == EINTR);
    const int error = errno;
    close(fd);
    if (length < 0)
        return error;
    text[length] = '\0';
    /* In pages: the size, what is in main memory, and of that what belongs to files and shared memory. */
    char *at;
    strtoull(text, &at, 10);
    const uint64_t resident = strtoull(at, &at, 10);
    const uint64_t shared = strtoull(at, &at, 10);
    /* The kernel counts these on several CPUs, and adds them up one after the other. */
    if (resident > shared)
        *bytes = (resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE);
    return resident > 0 ? APR_SUCCESS : APR_ENOTIMPL;
}

/** Read a whole file of unknown size; NULL if it cannot be read. */
static char *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "re");
    char *text = NULL;
    size_t capacity = 0;
    *size = 0;
    while (file) {
        if (*size + 4096 > capacity) {
            capacity = capacity ? capacity * 2 : 8192;
            char *larger = realloc(text, capacity);
            if (!larger)
                break;
            text = larger;
        }
        const size_t more = fread(text + *size, 1, 4096, file);
        *size += more;
        if (more == 0)
            break;
    }
    if (file)
        fclose(file);
    return text;
}

apr_status_t sys_command_line(char ***argv, int *argc)
{
    size_t size;
    char *text = read_file("/proc/self/cmdline", &size);
    const apr_status_t status = unix_split_strings(argv, argc, text, size);
    free(text);
    return status;
}
