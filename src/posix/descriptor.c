/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "unix.h"

/*
 * The list of the library's descriptors: one byte for each number. The lock is held while one is made, so that no fork
 * falls between its making and its listing.
 */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
enum { FIRST_CAPACITY = 256 };
static unsigned char first_list[FIRST_CAPACITY]; /* with the other variables: a forked child writes to both */
static unsigned char *listed = first_list;
static int capacity = FIRST_CAPACITY;
static int end; /* one more than the highest that was ever listed */

enum { UNLISTED, LISTED, LISTED_KQUEUE };

/*
 * What the forking thread keeps open in its child. Not thread-local: that would be one more page for each child to
 * write to. So one thread at a time forks for the library; others may fork for the program meanwhile, and their
 * children keep nothing.
 */
static struct {
    pthread_mutex_t mutex; /* held by that thread */
    _Atomic int is_set;
    pthread_t thread;
    const int *descriptors;
    size_t count;
} kept = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/** Have room in the list for a number, with the lock held: 0, or -1 and errno. */
static int make_room_in_list(int fd)
{
    if (fd < capacity)
        return 0;
    const int wanted = fd + 64;
    unsigned char *larger = realloc(listed == first_list ? NULL : listed, (size_t)wanted);
    if (!larger) {
        errno = ENOMEM;
        return -1;
    }
    if (listed == first_list)
        memcpy(larger, first_list, sizeof first_list);
    memset(larger + capacity, 0, (size_t)(wanted - capacity));
    listed = larger;
    capacity = wanted;
    return 0;
}

/** Add to the list, with the lock held; a descriptor that cannot be listed is closed. */
static int list(int fd)
{
    if (make_room_in_list(fd) != 0) {
        close(fd);
        errno = ENOMEM;
        return -1;
    }
    listed[fd] = LISTED;
    if (fd >= end)
        end = fd + 1;
    return fd;
}

/** Move a new descriptor above the standard streams: where those are closed, it would get their numbers. */
static int settle(int fd)
{
    if (fd >= 0 && fd < 3) {
        const int low = fd;
        fd = fcntl(low, F_DUPFD_CLOEXEC, 3);
        const int error = errno;
        close(low);
        errno = error;
    }
    return fd < 0 ? -1 : list(fd);
}

static int settle_pair(int ends[2])
{
    for (int i = 0; i < 2; i++) {
        ends[i] = settle(ends[i]);
        if (ends[i] >= 0)
            continue;
        const int error = errno;
        const int other = ends[1 - i];
        if (i == 1 && other >= 0 && other < capacity)
            listed[other] = UNLISTED;
        close(other);
        ends[0] = ends[1] = -1;
        errno = error;
        return -1;
    }
    return 0;
}

static void set_close_on_exec(int fd)
{
    fcntl(fd, F_SETFD, FD_CLOEXEC);
}

int unix_pipe(int ends[2])
{
    pthread_mutex_lock(&mutex);
#if defined(MPROC_HAVE_PIPE2)
    int result = pipe2(ends, O_CLOEXEC);
#else
    int result = pipe(ends);
    if (result == 0) {
        set_close_on_exec(ends[0]);
        set_close_on_exec(ends[1]);
    }
#endif
    result = result < 0 ? -1 : settle_pair(ends);
    pthread_mutex_unlock(&mutex);
    return result;
}

int unix_socketpair(int ends[2], int type)
{
    pthread_mutex_lock(&mutex);
#if defined(MPROC_HAVE_SOCK_CLOEXEC)
    int result = socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends);
#else
    int result = socketpair(AF_UNIX, type, 0, ends);
    if (result == 0) {
        set_close_on_exec(ends[0]);
        set_close_on_exec(ends[1]);
    }
#endif
    result = result < 0 ? -1 : settle_pair(ends);
#if defined(MPROC_HAVE_SO_NOSIGPIPE)
    for (int i = 0; i < 2 && result == 0; i++)
        setsockopt(ends[i], SOL_SOCKET, SO_NOSIGPIPE, &(int){1}, sizeof(int));
#endif
    pthread_mutex_unlock(&mutex);
    return result;
}

int unix_open(const char *path, int flags)
{
    pthread_mutex_lock(&mutex);
    /* The last is for a file that is made. */
    const int fd = settle(open(path, flags | O_CLOEXEC, 0666));
    pthread_mutex_unlock(&mutex);
    return fd;
}

int unix_duplicate(int fd)
{
    pthread_mutex_lock(&mutex);
    const int copy = settle(fcntl(fd, F_DUPFD_CLOEXEC, 3));
    pthread_mutex_unlock(&mutex);
    return copy;
}

void unix_making(void)
{
    pthread_mutex_lock(&mutex);
}

static int made(int fd, unsigned char as)
{
    fd = settle(fd);
    if (fd >= 0)
        listed[fd] = as;
    pthread_mutex_unlock(&mutex);
    return fd;
}

int unix_made(int fd)
{
    return made(fd, LISTED);
}

int unix_made_inheritable(int fd)
{
    if (fd >= 0)
        set_close_on_exec(fd);
    return made(fd, LISTED);
}

int unix_adopt(int fd)
{
    /* A standard stream's number is not for us; the file is. */
    if (fd < 3) {
        const int copy = unix_duplicate(fd);
        if (copy >= 0)
            close(fd);
        return copy;
    }
    pthread_mutex_lock(&mutex);
    const int listed_as = make_room_in_list(fd) == 0 ? list(fd) : -1;
    if (listed_as >= 0)
        set_close_on_exec(fd);
    pthread_mutex_unlock(&mutex);
    return listed_as;
}

int unix_made_kqueue(int fd)
{
    if (fd >= 0)
        set_close_on_exec(fd);
    return made(fd, LISTED_KQUEUE);
}

void unix_disown(int fd)
{
    pthread_mutex_lock(&mutex);
    if (fd >= 0 && fd < capacity)
        listed[fd] = UNLISTED;
    pthread_mutex_unlock(&mutex);
}

void unix_close(int fd)
{
    if (fd < 0)
        return;
    const int error = errno;
    /*
     * Closed under the lock: else the number could be in use and listed again by another thread before it is unlisted.
     */
    pthread_mutex_lock(&mutex);
    if (fd < capacity)
        listed[fd] = UNLISTED;
    close(fd);
    pthread_mutex_unlock(&mutex);
    /* Only if need be, for the sake of forked children: it may lie in a page that they do not write to otherwise. */
    if (errno != error)
        errno = error;
}

/** Close all from one to another, which are the library's. */
static void close_run(int first, int last)
{
#if defined(MPROC_HAVE_CLOSE_RANGE)
    if (first < last && close_range((unsigned)first, (unsigned)last, 0) == 0)
        return;
#endif
    for (int fd = first; fd <= last; fd++)
        close(fd);
}

void unix_close_all(const int *fds, size_t count)
{
    pthread_mutex_lock(&mutex);
    for (size_t i = 0; i < count; i++) {
        const int first = fds[i];
        if (first < 0)
            continue;
        /* Descriptors that came together mostly have numbers in a row. */
        while (i + 1 < count && fds[i + 1] == fds[i] + 1)
            i++;
        for (int fd = first; fd <= fds[i] && fd < capacity; fd++)
            listed[fd] = UNLISTED;
        close_run(first, fds[i]);
    }
    pthread_mutex_unlock(&mutex);
}

/* ---- Forks -------------------- */

static int is_kept(int fd)
{
    for (size_t i = 0; i < kept.count; i++)
        if (kept.descriptors[i] == fd)
            return 1;
    return 0;
}

static void lock(void)
{
    pthread_mutex_lock(&mutex);
}

static void unlock(void)
{
    pthread_mutex_unlock(&mutex);
}

static void close_in_forked_child(void)
{
    const int is_for_library = atomic_load(&kept.is_set) && pthread_equal(kept.thread, pthread_self());
    if (!is_for_library) {
        /* Whoever held it is not here. */
        kept.mutex = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
        atomic_store(&kept.is_set, 0);
    }
    int run = 0; /* how many of those before are to be closed at once: a fork server has one for each child */
    for (int fd = 3; fd <= end; fd++) {
        const int state = fd == end || (is_for_library && is_kept(fd)) ? UNLISTED : listed[fd];
        if (state == LISTED) {
            run++;
        } else if (run > 0) {
            close_run(fd - run, fd - 1);
            run = 0;
        }
        /* A kqueue is not here: its number may be that of a file which another fork handler has opened. */
        if (state != UNLISTED)
            listed[fd] = UNLISTED;
    }
    unix_report_forked();
}

int unix_watch_forks(void)
{
    if (unix_watch_identity() != 0 || unix_at_fork(UNIX_FORK_DESCRIPTORS, lock, unlock, close_in_forked_child) != 0 ||
        unix_at_fork(UNIX_FORK_IMAGE, unix_image_lock, unix_image_unlock, NULL) != 0 ||
        unix_at_fork(UNIX_FORK_STARTER, unix_starter_lock, unix_starter_unlock, unix_starter_forget) != 0)
        return -1;
    return unix_forkserver_watch_forks();
}

void unix_keep_in_fork(const int *keep, size_t count)
{
    pthread_mutex_lock(&kept.mutex);
    kept.thread = pthread_self();
    kept.descriptors = keep;
    kept.count = count;
    /* Last: another thread's fork may copy all this at any moment. */
    atomic_store(&kept.is_set, 1);
}

void unix_kept_in_fork(void)
{
    atomic_store(&kept.is_set, 0);
    pthread_mutex_unlock(&kept.mutex);
}

/* ---- Standard streams and folders -------------------- */

int unix_place_stdio(const int stdio[3])
{
    for (int i = 0; i < 3; i++) {
        const int from = stdio[i] == UNIX_STDIO_AS_STDOUT ? 1 : stdio[i];
        if (from != UNIX_STDIO_LEAVE && dup2(from, i) < 0)
            return -1;
    }
    return 0;
}

int unix_plan_stdio(int plan[3], int *null, const sys_stdio_t stdio[3], int need_inherited)
{
    *null = -1;
    for (int i = 0; i < 3; i++) {
        plan[i] = UNIX_STDIO_LEAVE;
        /* A closed stream becomes the null device: left closed, the child's next file would get its number. */
        const int is_closed = stdio[i].kind == SYS_STDIO_INHERIT && fcntl(i, F_GETFD) < 0;
        if (stdio[i].kind == SYS_STDIO_HANDLE) {
            plan[i] = (int)stdio[i].handle;
        } else if (stdio[i].kind == SYS_STDIO_STDOUT) {
            plan[i] = UNIX_STDIO_AS_STDOUT;
        } else if (stdio[i].kind == SYS_STDIO_NULL || is_closed) {
            if (*null < 0)
                *null = unix_open("/dev/null", O_RDWR);
            if (*null < 0)
                return -1;
            plan[i] = *null;
        } else if (need_inherited) {
            plan[i] = i;
        }
    }
    return 0;
}

apr_status_t unix_open_directory(int *fd, const char *path, const char **failed)
{
    *fd = unix_open(path, O_RDONLY | O_DIRECTORY);
    /* A folder that may be entered but not listed will do. */
#if defined(MPROC_HAVE_O_PATH)
    if (*fd < 0 && errno == EACCES)
        *fd = unix_open(path, O_PATH | O_DIRECTORY);
#elif defined(MPROC_HAVE_O_SEARCH)
    if (*fd < 0 && errno == EACCES)
        *fd = unix_open(path, O_SEARCH | O_DIRECTORY);
#endif
    if (*fd >= 0 && faccessat(*fd, ".", X_OK, 0) == 0)
        return APR_SUCCESS;
    const apr_status_t status = errno;
    unix_close(*fd);
    *fd = -1;
    *failed = "the working folder";
    return status;
}

/* ---- The seam's handles -------------------- */

apr_status_t sys_handle_duplicate(sys_handle_t *copy, sys_handle_t handle)
{
    *copy = SYS_NO_HANDLE;
    if (handle < 0 || handle > INT32_MAX)
        return APR_EBADF;
    const int fd = unix_duplicate((int)handle);
    if (fd < 0)
        return errno;
    *copy = fd;
    return APR_SUCCESS;
}

void sys_handle_give(sys_handle_t handle)
{
    unix_disown((int)handle);
}

void sys_handle_close(sys_handle_t handle)
{
    unix_close((int)handle);
}
