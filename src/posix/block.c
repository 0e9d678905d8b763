/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unix.h"

/*
 * From this size on, memory is reserved first: where there is too little, that is a status, and not a SIGBUS while
 * filling it.
 */
enum { RESERVE_FROM = 1 << 20 };

/* Up to this size, a block for a forked child is private memory: fork is not noticeably slower for it. */
enum { COPY_UP_TO = 1 << 16 };

/** The memory that can still be had, as far as the system tells. */
static unsigned long long available_memory(void)
{
    static const char name[] = "MemAvailable:";
    char text[1024]; /* it is one of the first lines */
    const unsigned long long all =
        (unsigned long long)sysconf(_SC_PHYS_PAGES) * (unsigned long long)sysconf(_SC_PAGESIZE);
    /* Without a FILE: it could be locked at the moment of a fork, and then `exit` in the child would wait for it. */
    const int fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
    const ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    if (length <= 0)
        return all;
    text[length] = '\0';
    const char *line = strstr(text, name);
    return line ? strtoull(line + sizeof name - 1, NULL, 10) * 1024 : all;
}

int unix_has_memory(uint64_t size)
{
    return size < RESERVE_FROM || size <= available_memory();
}

int unix_open_nameless(void)
{
#if defined(MPROC_HAVE_MEMFD_CREATE)
    unix_making();
    return unix_made(memfd_create("mproc", MFD_CLOEXEC | MFD_ALLOW_SEALING));
#else
    /*
     * The name lives for a moment only; a process that is killed in this moment leaves it. It has at most 31
     * characters, which is all that macOS takes.
     */
    static atomic_uint counter;
    char name[32];
    int fd;
    do {
        snprintf(name, sizeof name, "/mproc-%x-%x", (unsigned)getpid(), atomic_fetch_add(&counter, 1));
        unix_making();
        fd = unix_made_inheritable(shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600));
    } while (fd < 0 && errno == EEXIST);
    if (fd >= 0)
        shm_unlink(name);
    return fd;
#endif
}

#if defined(MPROC_HAVE_POSIX_FALLOCATE)
/** Take the memory in steps. */
static int allocate(int fd, size_t size)
{
    int error = 0;
    for (size_t done = 0; done < size && error == 0; done += error ? 0 : UNIX_RESERVE_STEP) {
        const size_t left = size - done;
        do {
            error = posix_fallocate(fd, (off_t)done, (off_t)(left < UNIX_RESERVE_STEP ? left : UNIX_RESERVE_STEP));
        } while (error == EINTR);
    }
    return error;
}
#endif

int unix_reserve(int fd, size_t size)
{
    static const char zeros[4096]; /* constants lie in the program's file, and spread what is used of it */
#if defined(MPROC_HAVE_POSIX_FALLOCATE)
    const int error = allocate(fd, size);
    if (error != EOPNOTSUPP && error != EINVAL && error != ENODEV)
        return error == ENOSPC ? ENOMEM : error;
#endif
    /* NetBSD and OpenBSD keep it as a file in some folder; macOS lets nobody write to it. */
    for (size_t done = 0; done < size;) {
        const size_t left = size - done;
        const ssize_t written = pwrite(fd, zeros, left < sizeof zeros ? left : sizeof zeros, (off_t)done);
        if (written < 0 && errno != EINTR)
            return errno == ENOSPC ? ENOMEM : 0;
        if (written > 0)
            done += (size_t)written;
    }
    return 0;
}

int unix_set_size(int fd, size_t size)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
        (unsigned long long)size > (unsigned long long)limit.rlim_cur)
        return EFBIG;
    if (!unix_has_memory(size))
        return ENOMEM;
    while (ftruncate(fd, (off_t)size) != 0)
        if (errno != EINTR)
            return errno;
    return 0;
}

static apr_status_t map(sys_block_t *block, int fd, size_t size)
{
    const int flags = fd < 0 ? MAP_SHARED | MAP_ANONYMOUS : MAP_SHARED;
    void *data = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (data == MAP_FAILED)
        return errno;
    block->data = data;
    block->size = size;
    block->handle = fd;
    return APR_SUCCESS;
}

/**
 * Make a block that need not be shared, since the child gets a copy of it: memory of the heap, which costs much less
 * than a mapping does, and in a forked child nothing at all.
 */
static apr_status_t make_copied(sys_block_t *block, size_t size, int is_reporting)
{
    if (is_reporting) {
        block->report = unix_report_get();
        if (!block->report)
            return APR_ENOMEM;
    }
    void *data;
    if (posix_memalign(&data, UNIX_ALIGNMENT, size) != 0) {
        unix_report_put(block->report);
        block->report = NULL;
        return APR_ENOMEM;
    }
    block->data = memset(data, 0, size);
    block->size = size;
    block->is_copied = 1;
    return APR_SUCCESS;
}

apr_status_t sys_block_create(sys_block_t *block, size_t size, sys_block_kind_t kind)
{
    *block = (sys_block_t){NULL, 0, SYS_NO_HANDLE, NULL, 0};
    if (size <= COPY_UP_TO && (kind == SYS_BLOCK_LOCAL || kind == SYS_BLOCK_FORKED))
        return make_copied(block, size, kind == SYS_BLOCK_FORKED);
    if (size <= unix_datagram_max && kind == SYS_BLOCK_SERVED)
        return make_copied(block, size, 1);
    if (kind == SYS_BLOCK_LOCAL || kind == SYS_BLOCK_FORKED)
        return unix_has_memory(size) ? map(block, -1, size) : ENOMEM;
    const int fd = unix_open_nameless();
    if (fd < 0)
        return errno;
    apr_status_t status = unix_set_size(fd, size);
    if (status == APR_SUCCESS && size >= RESERVE_FROM)
        status = unix_reserve(fd, size);
    if (status == APR_SUCCESS)
        status = map(block, fd, size);
    if (status == APR_SUCCESS)
        return status;
    unix_close(fd);
    return status;
}

apr_status_t unix_block_map(sys_block_t *block, int fd)
{
    struct stat file;
    *block = (sys_block_t){NULL, 0, SYS_NO_HANDLE, NULL, 0};
    apr_status_t status = fstat(fd, &file) == 0 ? APR_SUCCESS : errno;
    /* macOS's shared memory has no type at all. */
    if (status == APR_SUCCESS && ((!S_ISREG(file.st_mode) && (file.st_mode & S_IFMT) != 0) || file.st_size <= 0))
        status = APR_EINVAL;
    if (status == APR_SUCCESS)
        status = map(block, fd, (size_t)file.st_size);
    block->handle = SYS_NO_HANDLE;
    return status;
}

void sys_block_trim(sys_block_t *block, size_t keep)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    keep = (keep + page - 1) & ~(page - 1);
    if (keep < block->size && !block->is_copied) {
        munmap(block->data + keep, block->size - keep);
        block->size = keep;
    } else if (keep < block->size) {
        unsigned char *smaller = realloc(block->data, keep);
        if (smaller) {
            block->data = smaller;
            block->size = keep;
        }
    }
    unix_close((int)block->handle);
    block->handle = SYS_NO_HANDLE;
}

void sys_block_close(sys_block_t *block)
{
    if (block->is_copied)
        free(block->data);
    else if (block->data)
        munmap(block->data, block->size);
    unix_report_put(block->report);
    unix_close((int)block->handle);
    *block = (sys_block_t){NULL, 0, SYS_NO_HANDLE, NULL, 0};
}
