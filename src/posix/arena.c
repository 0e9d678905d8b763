/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
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
    size = leave_room(size, RLIMIT_AS);
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

int unix_arena_descriptor(void)
{
    return atomic_load(&own);
}

void unix_arena_take(int fd)
{
    if (fd >= 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0)
        atomic_store(&own, fd);
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
    atomic_store(&own, fd);
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
    if (status != APR_SUCCESS)
        *arena = (sys_arena_t){.handle = SYS_NO_HANDLE};
    return status;
}

apr_status_t sys_arena_commit(const sys_arena_t *arena, uint64_t offset, uint64_t size)
{
#if defined(MPROC_HAVE_FALLOCATE)
    /* A page that cannot be had when it is first touched would be a SIGBUS. */
    int result;
    do {
        result = fallocate((int)arena->handle, 0, (off_t)offset, (off_t)size);
    } while (result != 0 && errno == EINTR);
    if (result == 0 || errno == EOPNOTSUPP || errno == ENOSYS)
        return APR_SUCCESS;
    return errno == ENOSPC ? ENOMEM : errno;
#else
    (void)arena;
    (void)offset;
    (void)size;
    return APR_SUCCESS;
#endif
}

void sys_arena_release(const sys_arena_t *arena, uint64_t offset, uint64_t size)
{
#if defined(MPROC_HAVE_FALLOCATE)
    fallocate((int)arena->handle, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)size);
#else
    (void)arena;
    (void)offset;
    (void)size;
#endif
}

void sys_arena_close(sys_arena_t *arena)
{
    if (arena->base)
        munmap(arena->base, (size_t)arena->size);
    if ((int)arena->handle == atomic_load(&own))
        atomic_store(&own, -1);
    unix_close((int)arena->handle);
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
