/* SPDX-License-Identifier: Apache-2.0 */
#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

typedef struct state_t {
    int left; /* calls until the one that fails; 0: none does */
    int choice;
    const char *failed;
    const char *before;
    void (*act)(void *context);
    void *context;
} state_t;

/* Each thread has its own: what others do at the same time is not disturbed. */
static _Thread_local state_t state;
static _Atomic long blocks;

/* And there is one for all threads but that which has begun it. A forked child is not meant. */
static struct {
    _Atomic int left;
    _Atomic int choice;
    _Atomic pid_t pid;
    _Atomic(const char *) failed;
    _Atomic(const char *) refused;
    void (*act)(void *context);
    void *context;
} beside;
static _Thread_local int is_exempt;

void fault_begin(int number, int choice)
{
    state.choice = choice;
    state.failed = NULL;
    state.left = number;
}

void fault_begin_beside(int number, int choice)
{
    is_exempt = 1;
    beside.choice = choice;
    beside.pid = getpid();
    atomic_store(&beside.failed, NULL);
    atomic_store(&beside.left, number);
}

void fault_refuse_beside(const char *function, void (*act)(void *context), void *context)
{
    fault_begin_beside(0, 0);
    beside.act = act;
    beside.context = context;
    atomic_store(&beside.refused, function);
}

const char *fault_end(void)
{
    state.left = 0;
    if (!is_exempt)
        return state.failed;
    is_exempt = 0;
    atomic_store(&beside.left, 0);
    return atomic_load(&beside.failed);
}

int fault_pause(void)
{
    const int left = state.left;
    state.left = 0;
    return left;
}

void fault_resume(int left)
{
    state.left = left;
}

void fault_before(const char *function, void (*act)(void *context), void *context)
{
    state.act = act;
    state.context = context;
    state.before = function;
}

long fault_blocks(void)
{
    return atomic_load(&blocks);
}

/** Whether this is the call that fails beside the thread that wants it. */
static int fails_beside(const char *function)
{
    int left = atomic_load(&beside.left);
    const char *const refused = atomic_load(&beside.refused);
    if ((left == 0 && !refused) || is_exempt || beside.pid != getpid())
        return 0;
    if (refused && strcmp(refused, function) == 0) {
        atomic_store(&beside.refused, NULL);
        atomic_store(&beside.failed, function);
        beside.act(beside.context);
        return 1;
    }
    while (left > 0 && !atomic_compare_exchange_weak(&beside.left, &left, left - 1)) {}
    if (left != 1)
        return 0;
    atomic_store(&beside.failed, function);
    return 1;
}

int fault_is_due(const char *function, const int *errors, size_t count)
{
    if (state.before && strcmp(state.before, function) == 0) {
        state.before = NULL;
        state.act(state.context);
    }
    if (fails_beside(function)) {
        errno = errors[(size_t)beside.choice % count];
        return 1;
    }
    if (state.left == 0 || --state.left > 0)
        return 0;
    state.failed = function;
    errno = errors[(size_t)state.choice % count];
    return 1;
}

/* A wrapper: it fails with one of the errors that are named last, or does what the function does. */
#define WRAP(type, failure, function, parameters, arguments, ...)                                                      \
    type __real_##function parameters;                                                                                 \
    type __wrap_##function parameters;                                                                                 \
    type __wrap_##function parameters                                                                                  \
    {                                                                                                                  \
        static const int errors[] = {__VA_ARGS__};                                                                     \
        return fault_is_due(#function, errors, sizeof errors / sizeof errors[0]) ? (failure)                           \
                                                                                 : __real_##function arguments;        \
    }

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void *__wrap_realloc(void *block, size_t size);
char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);
int __real_posix_memalign(void **block, size_t alignment, size_t size);
int __wrap_posix_memalign(void **block, size_t alignment, size_t size);
void __real_free(void *block);
void __wrap_free(void *block);

static const int no_memory[] = {ENOMEM};

static void *count_block(void *block)
{
    if (block)
        atomic_fetch_add(&blocks, 1);
    return block;
}

void *__wrap_malloc(size_t size)
{
    return fault_is_due("malloc", no_memory, 1) ? NULL : count_block(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fault_is_due("calloc", no_memory, 1) ? NULL : count_block(__real_calloc(count, size));
}

void *__wrap_realloc(void *block, size_t size)
{
    if (fault_is_due("realloc", no_memory, 1))
        return NULL;
    return block ? __real_realloc(block, size) : count_block(__real_malloc(size));
}

char *__wrap_strdup(const char *text)
{
    return fault_is_due("strdup", no_memory, 1) ? NULL : count_block(__real_strdup(text));
}

int __wrap_posix_memalign(void **block, size_t alignment, size_t size)
{
    if (fault_is_due("posix_memalign", no_memory, 1))
        return ENOMEM;
    const int error = __real_posix_memalign(block, alignment, size);
    if (error == 0)
        count_block(*block);
    return error;
}

void __wrap_free(void *block)
{
    if (block)
        atomic_fetch_sub(&blocks, 1);
    __real_free(block);
}

/* ---- The system -------------------------------------------------------------------------------------------------- */

WRAP(int, -1, socketpair, (int domain, int type, int protocol, int ends[2]), (domain, type, protocol, ends), EMFILE,
     ENFILE, ENOMEM)
WRAP(int, -1, socket, (int domain, int type, int protocol), (domain, type, protocol), EMFILE, ENFILE, ENOBUFS, ENOMEM)
WRAP(int, -1, bind, (int fd, const struct sockaddr *address, socklen_t size), (fd, address, size), ENOMEM, ENOSPC)
WRAP(int, -1, listen, (int fd, int backlog), (fd, backlog), ENOBUFS)
WRAP(int, -1, connect, (int fd, const struct sockaddr *address, socklen_t size), (fd, address, size), ENOMEM, EAGAIN)
WRAP(int, -1, accept4, (int fd, struct sockaddr *address, socklen_t *size, int flags), (fd, address, size, flags),
     EMFILE, ENFILE, ENOMEM, EINTR, ECONNABORTED)
WRAP(ssize_t, -1, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags), ENOMEM, ENOBUFS,
     EAGAIN, EINTR, ETOOMANYREFS)
WRAP(ssize_t, -1, send, (int fd, const void *buffer, size_t size, int flags), (fd, buffer, size, flags), ENOMEM,
     ENOBUFS, EAGAIN, EINTR)
WRAP(ssize_t, -1, recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags), ENOMEM, EAGAIN, EINTR)
WRAP(ssize_t, -1, recv, (int fd, void *buffer, size_t size, int flags), (fd, buffer, size, flags), ENOMEM, EAGAIN,
     EINTR)
WRAP(ssize_t, -1, readv, (int fd, const struct iovec *pieces, int count), (fd, pieces, count), ENOMEM, EAGAIN, EINTR)
WRAP(ssize_t, -1, read, (int fd, void *buffer, size_t size), (fd, buffer, size), EINTR)
WRAP(ssize_t, -1, write, (int fd, const void *buffer, size_t size), (fd, buffer, size), EINTR)
WRAP(int, -1, poll, (struct pollfd * items, nfds_t count, int timeout), (items, count, timeout), ENOMEM, EINTR)
WRAP(int, -1, eventfd, (unsigned count, int flags), (count, flags), EMFILE, ENFILE, ENOMEM)

WRAP(int, -1, pipe2, (int ends[2], int flags), (ends, flags), EMFILE, ENFILE)

WRAP(int, -1, getsockname, (int fd, struct sockaddr *address, socklen_t *size), (fd, address, size), ENOBUFS)
WRAP(int, -1, fstat, (int fd, struct stat *found), (fd, found), ENOMEM)
WRAP(int, -1, lstat, (const char *path, struct stat *found), (path, found), ENOMEM)
WRAP(int, -1, chmod, (const char *path, mode_t mode), (path, mode), ENOMEM)
WRAP(int, -1, mkdir, (const char *path, mode_t mode), (path, mode), ENOMEM, ENOSPC)
WRAP(int, -1, rename, (const char *from, const char *to), (from, to), ENOMEM, ENOSPC)
WRAP(int, -1, stat, (const char *path, struct stat *found), (path, found), ENOMEM)
WRAP(int, -1, memfd_create, (const char *name, unsigned flags), (name, flags), EMFILE, ENFILE, ENOMEM)
WRAP(int, -1, ftruncate, (int fd, off_t size), (fd, size), ENOMEM, EINTR)
WRAP(int, -1, fallocate, (int fd, int mode, off_t offset, off_t size), (fd, mode, offset, size), ENOSPC, ENOMEM, EINTR)
WRAP(int, -1, shm_open, (const char *name, int flags, mode_t mode), (name, flags, mode), EMFILE, ENFILE, ENOMEM)
WRAP(ssize_t, -1, pread, (int fd, void *buffer, size_t size, off_t offset), (fd, buffer, size, offset), ENOMEM, EINTR)
WRAP(ssize_t, -1, pwrite, (int fd, const void *buffer, size_t size, off_t offset), (fd, buffer, size, offset), ENOSPC,
     ENOMEM, EINTR)
WRAP(void *, MAP_FAILED, mmap, (void *at, size_t size, int access, int flags, int fd, off_t offset),
     (at, size, access, flags, fd, offset), ENOMEM, ENFILE)
WRAP(int, -1, madvise, (void *at, size_t size, int advice), (at, size, advice), ENOMEM)
WRAP(int, -1, flock, (int fd, int operation), (fd, operation), ENOLCK, EINTR)

int __real_posix_fallocate(int fd, off_t offset, off_t size);
int __wrap_posix_fallocate(int fd, off_t offset, off_t size);

int __wrap_posix_fallocate(int fd, off_t offset, off_t size)
{
    static const int errors[] = {ENOSPC, ENOMEM, EINTR};
    return fault_is_due("posix_fallocate", errors, 3) ? errno : __real_posix_fallocate(fd, offset, size);
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __real_fcntl(int fd, int operation, ...);
int __wrap_fcntl(int fd, int operation, ...);

int __wrap_open(const char *path, int flags, ...)
{
    static const int errors[] = {EMFILE, ENFILE, ENOMEM};
    va_list values;
    va_start(values, flags);
    const int mode = flags & O_CREAT ? va_arg(values, int) : 0;
    va_end(values);
    return fault_is_due("open", errors, 3) ? -1 : __real_open(path, flags, mode);
}

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);

/** Only what watches a process fails, and to wait at a word, which a signal ends. */
long __wrap_syscall(long number, ...)
{
    static const int errors[] = {EMFILE, ENFILE, ENOMEM};
    static const int interrupted[] = {EINTR, EAGAIN};
    long arguments[6];
    va_list values;
    va_start(values, number);
    for (int i = 0; i < 6; i++)
        arguments[i] = va_arg(values, long);
    va_end(values);
    if (number == SYS_pidfd_open && fault_is_due("syscall", errors, 3))
        return -1;
    if (number == SYS_futex && (arguments[1] & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET &&
        fault_is_due("futex", interrupted, 2))
        return -1;
    return __real_syscall(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
}

/** Only what makes a descriptor fails. */
int __wrap_fcntl(int fd, int operation, ...)
{
    static const int errors[] = {EMFILE};
    va_list values;
    va_start(values, operation);
    const long value = va_arg(values, long);
    va_end(values);
    if (operation == F_DUPFD_CLOEXEC && fault_is_due("fcntl", errors, 1))
        return -1;
    return __real_fcntl(fd, operation, value);
}
