/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unix.h"

/* Large enough to be no limit, small enough for every machine to map it: 47 bits are usual, valgrind takes less. */
#define LARGE ((uint64_t)64 << 30)
#define SMALL ((uint64_t)256 << 20)

/** What a limit leaves for the arena, which is not to take all of it. */
static uint64_t leave_room(uint64_t size, int resource)
{
    struct rlimit limit;
    const uint64_t unit = (uint64_t)1 << 16;
    if (getrlimit(resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY || (uint64_t)limit.rlim_cur / 2 >= size)
        return size;
    return (uint64_t)limit.rlim_cur / 2 / unit * unit;
}

uint64_t sys_arena_default_size(void)
{
    uint64_t size = sizeof(void *) < 8 ? SMALL : LARGE;
#if defined(MPROC_HAVE_RLIMIT_AS) /* OpenBSD has none, and does not count shared mappings. */
    size = leave_room(size, RLIMIT_AS);
#endif
    /* To go beyond this one would be a signal, not a status. */
    return leave_room(size, RLIMIT_FSIZE);
}

/** Map all of it. Core dumps leave it out: to write its emptiness takes minutes, and a dumping process is not dead. */
static apr_status_t map(sys_arena_t *arena)
{
#if defined(MPROC_HAVE_MAP_NORESERVE)
    const int flags = MAP_SHARED | MAP_NORESERVE;
#else
    const int flags = MAP_SHARED;
#endif
    if (arena->size > SIZE_MAX / 2)
        return ENOMEM;
    void *base = mmap(NULL, (size_t)arena->size, PROT_READ | PROT_WRITE, flags, (int)arena->handle, 0);
    if (base == MAP_FAILED)
        return errno;
#if defined(MPROC_HAVE_MADV_DONTDUMP)
    madvise(base, (size_t)arena->size, MADV_DONTDUMP);
#elif defined(MPROC_HAVE_MADV_NOCORE)
    madvise(base, (size_t)arena->size, MADV_NOCORE);
#endif
    arena->base = base;
    return APR_SUCCESS;
}

/* What children are to have. It is not on the list of descriptors that forked children close. */
static _Atomic int own = -1;
static struct stat own_file;

/** Whether a descriptor is still the arena's: programs close all that they do not know, and open others. */
static int is_own(int fd)
{
    struct stat file;
    if (fd < 0 || fd != atomic_load(&own))
        return 0;
    if (fstat(fd, &file) != 0)
        return errno != EBADF;
    return file.st_dev == own_file.st_dev && file.st_ino == own_file.st_ino;
}

int unix_arena_descriptor(void)
{
    const int fd = atomic_load(&own);
    return is_own(fd) ? fd : -1;
}

/** Note what children are to have. */
static void note(int fd)
{
    if (fstat(fd, &own_file) == 0)
        atomic_store(&own, fd);
}

void unix_arena_take(int fd)
{
    if (fd >= 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0)
        note(fd);
}

apr_status_t sys_arena_create(sys_arena_t *arena, uint64_t size)
{
    struct rlimit limit;
    *arena = (sys_arena_t){.handle = SYS_NO_HANDLE};
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && size > (uint64_t)limit.rlim_cur)
        return EFBIG;
    const int fd = unix_open_nameless();
    if (fd < 0)
        return errno;
    apr_status_t status = APR_SUCCESS;
    if (ftruncate(fd, (off_t)size) != 0)
        status = errno;
#if defined(MPROC_HAVE_F_ADD_SEALS)
    /* What is mapped stays there, whatever a member does to the file. */
    if (status == APR_SUCCESS)
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
#endif
    arena->handle = fd;
    arena->size = size;
    if (status == APR_SUCCESS)
        status = map(arena);
    if (status != APR_SUCCESS) {
        sys_arena_close(arena);
        return status;
    }
    unix_disown(fd);
    note(fd);
    return status;
}

apr_status_t sys_arena_map(sys_arena_t *arena, sys_handle_t handle)
{
    struct stat file;
    *arena = (sys_arena_t){.handle = SYS_NO_HANDLE};
    if (fstat((int)handle, &file) != 0)
        return errno;
    arena->handle = handle;
    arena->size = file.st_size > 0 ? (uint64_t)file.st_size : 0;
    const apr_status_t status = arena->size ? map(arena) : APR_EINVAL;
    if (status != APR_SUCCESS) {
        *arena = (sys_arena_t){.handle = SYS_NO_HANDLE};
        return status;
    }
    /* Also if it was found in another process: children have what this process has. */
    unix_disown((int)handle);
    note((int)handle);
    return status;
}

/** The next byte from `offset` on that may be something else than zero, or `end`. */
static uint64_t find_data(const sys_arena_t *arena, uint64_t offset, uint64_t end)
{
#if defined(MPROC_HAVE_SEEK_DATA)
    /* What nobody has written to, or looked at, is a hole of the file, also if it has memory. */
    const off_t found = is_own((int)arena->handle) ? lseek((int)arena->handle, (off_t)offset, SEEK_DATA) : (off_t)-2;
    if (found == (off_t)-1 && errno == ENXIO)
        return end;
    if (found >= 0)
        return (uint64_t)found < end ? (uint64_t)found : end;
#endif
    (void)arena;
    return offset < end ? offset : end;
}

/** The next byte from `offset` on at which zeros begin, or `end`. */
static uint64_t find_hole(const sys_arena_t *arena, uint64_t offset, uint64_t end)
{
#if defined(MPROC_HAVE_SEEK_DATA)
    const off_t found = is_own((int)arena->handle) ? lseek((int)arena->handle, (off_t)offset, SEEK_HOLE) : (off_t)-1;
    if (found > (off_t)offset && (uint64_t)found < end)
        return (uint64_t)found;
#endif
    (void)arena;
    (void)offset;
    return end;
}

void sys_arena_clear(const sys_arena_t *arena, uint64_t offset, uint64_t size)
{
    const uint64_t end = offset + size;
    while ((offset = find_data(arena, offset, end)) < end) {
        const uint64_t hole = find_hole(arena, offset, end);
        memset(arena->base + offset, 0, (size_t)(hole - offset));
        offset = hole;
    }
}

#if defined(MPROC_HAVE_FALLOCATE)
/* Of Linux 5.14, which may be newer than the system's headers. */
enum { POPULATE_WRITE = 23 };

/** Have memory for a step: 0, or an errno value. */
static int commit(const sys_arena_t *arena, uint64_t offset, uint64_t size)
{
    int result;
    /* A page that cannot be had when it is first touched would be a SIGBUS. */
    do {
        result = is_own((int)arena->handle) ? fallocate((int)arena->handle, 0, (off_t)offset, (off_t)size)
                                            : madvise(arena->base + offset, (size_t)size, POPULATE_WRITE);
    } while (result != 0 && errno == EINTR);
    if (result == 0 || errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL)
        return 0;
    return errno == ENOSPC || errno == EFAULT ? ENOMEM : errno;
}

apr_status_t sys_arena_commit(const sys_arena_t *arena, uint64_t offset, uint64_t size)
{
    if (!unix_has_memory(size))
        return ENOMEM;
    for (uint64_t done = 0; done < size; done += UNIX_RESERVE_STEP) {
        const uint64_t left = size - done;
        const int error = commit(arena, offset + done, left < UNIX_RESERVE_STEP ? left : UNIX_RESERVE_STEP);
        if (error == 0)
            continue;
        /* What was had is of no use, and nobody would give it back. */
        if (done > 0)
            sys_arena_release(arena, offset, done);
        return error;
    }
    return APR_SUCCESS;
}

void sys_arena_release(const sys_arena_t *arena, uint64_t offset, uint64_t size)
{
    /* By its address: the descriptor may have been closed, and its number be that of a file of the program's. */
    madvise(arena->base + offset, (size_t)size, MADV_REMOVE);
}
#else
apr_status_t sys_arena_commit(const sys_arena_t *arena, uint64_t offset, uint64_t size)
{
    (void)arena;
    (void)offset;
    (void)size;
    return APR_SUCCESS;
}

void sys_arena_release(const sys_arena_t *arena, uint64_t offset, uint64_t size)
{
    (void)arena;
    (void)offset;
    (void)size;
}
#endif

void sys_arena_close(sys_arena_t *arena)
{
    const int fd = (int)arena->handle;
    const int is_noted = fd >= 0 && fd == atomic_load(&own);
    const int is_lost = is_noted && !is_own(fd);
    if (arena->base)
        munmap(arena->base, (size_t)arena->size);
    if (is_noted)
        atomic_store(&own, -1);
    if (!is_lost)
        unix_close(fd);
    *arena = (sys_arena_t){.handle = SYS_NO_HANDLE};
}

apr_status_t sys_pid_space(uint64_t *space)
{
    *space = 0;
#if defined(MPROC_HAVE_PRCTL)
    struct stat file;
    if (stat("/proc/self/ns/pid", &file) == 0)
        *space = (uint64_t)file.st_ino;
    else if (errno == ENOMEM)
        return errno;
#endif
    return APR_SUCCESS;
}
