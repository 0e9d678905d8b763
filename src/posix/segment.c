/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segments are the system's shared memory objects. They are anybody's to make smaller, and memory that is gone is a
 * signal to whoever touches it; so what must not fail goes through the descriptor, as a file, where the system can.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mproc/status.h>

#include "unix.h"

/* A '/', the longest name that anybody takes, and a zero. */
enum { PATH_SIZE = 256 };

static const sys_segment_t closed = {NULL, 0, SYS_NO_HANDLE, {0, 0}};

/** Write a name as the system takes it. */
static apr_status_t make_path(char path[PATH_SIZE], const char *name)
{
    const int length = snprintf(path, PATH_SIZE, "/%s", name);
    return length < PATH_SIZE ? APR_SUCCESS : APR_ENAMETOOLONG;
}

/** Open or make a shared memory object: the library's descriptor, or -1 and errno. */
static int open_object(const char *path, int flags)
{
#if defined(MPROC_HAVE_SHM_OPEN)
    unix_making();
    return unix_made_inheritable(shm_open(path, flags, S_IRUSR | S_IWUSR));
#else
    (void)path;
    (void)flags;
    errno = ENOSYS;
    return -1;
#endif
}

/** Remove a name: 0, or -1 and errno. */
static int unlink_object(const char *path)
{
#if defined(MPROC_HAVE_SHM_OPEN)
    return shm_unlink(path);
#else
    (void)path;
    errno = ENOSYS;
    return -1;
#endif
}

static apr_status_t last_error(void)
{
    return errno == ENOSYS ? APR_ENOTIMPL : errno;
}

static apr_status_t map(sys_segment_t *segment, int fd, size_t size)
{
    struct stat object;
    if (fstat(fd, &object) != 0)
        return errno;
    void *data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED)
        return errno;
    *segment = (sys_segment_t){data, size, fd, {(uint64_t)object.st_dev, (uint64_t)object.st_ino}};
    return APR_SUCCESS;
}

/** Look at what a segment's descriptor is: programs close all that they do not know, and open others. */
static apr_status_t look(struct stat *object, const sys_segment_t *segment)
{
    if (fstat((int)segment->handle, object) != 0)
        return errno;
    return (uint64_t)object->st_dev == segment->identity[0] && (uint64_t)object->st_ino == segment->identity[1]
               ? APR_SUCCESS
               : APR_EBADF;
}

apr_status_t sys_segment_create(sys_segment_t *segment, const char *name, size_t size)
{
    char path[PATH_SIZE];
    *segment = closed;
    apr_status_t status = make_path(path, name);
    if (status != APR_SUCCESS)
        return status;
    if (size > SIZE_MAX / 2)
        return APR_ENOMEM;
    const int fd = open_object(path, O_RDWR | O_CREAT | O_EXCL);
    if (fd < 0)
        return last_error();
    status = unix_set_size(fd, size);
    /* However small it is: what it lies in may be full, and that would be a SIGBUS while filling it. */
    if (status == APR_SUCCESS)
        status = unix_reserve(fd, size);
    if (status == APR_SUCCESS)
        status = map(segment, fd, size);
    if (status == APR_SUCCESS)
        return status;
    unlink_object(path);
    unix_close(fd);
    return status == ENOSPC ? ENOMEM : status;
}

/** Look what was opened: its size. */
static apr_status_t check(size_t *size, int fd, int any_user)
{
    struct stat object;
    *size = 0;
    if (fstat(fd, &object) != 0)
        return errno;
    /* macOS's shared memory has no type at all. */
    if (!S_ISREG(object.st_mode) && (object.st_mode & S_IFMT) != 0)
        return APR_EFTYPE;
    if (!any_user && object.st_uid != geteuid())
        return EACCES;
    if (object.st_size <= 0)
        return MPROC_ESTATE;
    if ((unsigned long long)object.st_size > SIZE_MAX / 2)
        return ENOMEM;
    *size = (size_t)object.st_size;
    return APR_SUCCESS;
}

apr_status_t sys_segment_open(sys_segment_t *segment, const char *name, int any_user)
{
    char path[PATH_SIZE];
    size_t size;
    *segment = closed;
    apr_status_t status = make_path(path, name);
    if (status != APR_SUCCESS)
        return status;
    const int fd = open_object(path, O_RDWR);
    if (fd < 0)
        return errno == EISDIR || errno == ELOOP || errno == ENXIO ? APR_EFTYPE : last_error();
    status = check(&size, fd, any_user);
    if (status == APR_SUCCESS)
        status = map(segment, fd, size);
    if (status != APR_SUCCESS)
        unix_close(fd);
    return status;
}

/** Whether an object cannot be read and written as a file. Nor can it be made smaller, where that is so (macOS). */
static int is_no_file(int error)
{
    return error == ESPIPE || error == ENXIO || error == ENODEV || error == EOPNOTSUPP || error == ENOTSUP;
}

apr_status_t sys_segment_read(const sys_segment_t *segment, size_t offset, void *buffer, size_t size)
{
    struct stat object;
    const apr_status_t status = look(&object, segment);
    if (status != APR_SUCCESS)
        return status;
    for (size_t done = 0; done < size;) {
        const ssize_t got = pread((int)segment->handle, (char *)buffer + done, size - done, (off_t)(offset + done));
        if (got == 0)
            return MPROC_ESIZE;
        if (got > 0) {
            done += (size_t)got;
        } else if (is_no_file(errno)) {
            memcpy(buffer, segment->data + offset, size);
            return APR_SUCCESS;
        } else if (errno != EINTR) {
            return errno;
        }
    }
    return APR_SUCCESS;
}

/** Whether some bytes can be written to a file without a signal, and without making it larger. */
static apr_status_t check_end(const sys_segment_t *segment, size_t end)
{
    struct stat object;
    struct rlimit limit;
    const apr_status_t status = look(&object, segment);
    if (status != APR_SUCCESS)
        return status;
    if (object.st_size < 0 || (unsigned long long)object.st_size < end)
        return MPROC_ESIZE;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
        (unsigned long long)end > (unsigned long long)limit.rlim_cur)
        return EFBIG;
    return APR_SUCCESS;
}

apr_status_t sys_segment_write(const sys_segment_t *segment, size_t offset, const void *data, size_t size)
{
    const int fd = (int)segment->handle;
    /* Made smaller between this and the write, it becomes as large again, and nothing worse. */
    const apr_status_t status = check_end(segment, offset + size);
    if (status != APR_SUCCESS)
        return status;
    for (size_t done = 0; done < size;) {
        const ssize_t written = pwrite(fd, (const char *)data + done, size - done, (off_t)(offset + done));
        if (written == 0)
            return MPROC_ESIZE;
        if (written > 0) {
            done += (size_t)written;
        } else if (is_no_file(errno)) {
            memcpy(segment->data + offset, data, size);
            return APR_SUCCESS;
        } else if (errno != EINTR) {
            return errno == ENOSPC ? ENOMEM : errno;
        }
    }
    return APR_SUCCESS;
}

void sys_segment_close(sys_segment_t *segment)
{
    struct stat object;
    if (segment->data)
        munmap(segment->data, segment->size);
    if (segment->handle != SYS_NO_HANDLE && look(&object, segment) != APR_EBADF)
        unix_close((int)segment->handle);
    *segment = closed;
}

apr_status_t sys_segment_unlink(const char *name)
{
    char path[PATH_SIZE];
    const apr_status_t status = make_path(path, name);
    if (status != APR_SUCCESS)
        return status;
    if (unlink_object(path) == 0)
        return APR_SUCCESS;
    /* In a folder where only the owner may do that. */
    return errno == EPERM ? EACCES : last_error();
}
