/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listeners are sockets with a path. A name is one in a folder that only this user can enter. A path comes into being
 * with its socket listening, and one that a killed program left behind is replaced; those who do either take turns by a
 * lock on the folder.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "stream.h"

enum { PATH_SIZE = sizeof(((struct sockaddr_un *)NULL)->sun_path), USUAL_BACKLOG = 128 };

/* How often a lock is tried, and the milliseconds between. */
enum { LOCK_TRIES = 200, LOCK_NAP = 5 };

struct sys_listener_t {
    int fd;
    int any_user;
    _Atomic int is_stopped;
    int is_named; /* in this user's folder */
    dev_t device; /* of the path: it may be another's by the time that it is removed */
    ino_t inode;
    char path[PATH_SIZE];
};

/* ---- Paths -------------------- */

/** This user's folder for names, made if it is not there. It must be no one else's. */
static apr_status_t find_folder(char *folder, size_t size, int is_to_be_made)
{
    struct stat found;
    snprintf(folder, size, "/tmp/mproc-%lu", (unsigned long)geteuid());
    if (is_to_be_made && mkdir(folder, 0700) != 0 && errno != EEXIST)
        return errno;
    if (lstat(folder, &found) != 0)
        return errno;
    return S_ISDIR(found.st_mode) && found.st_uid == geteuid() && (found.st_mode & 077) == 0 ? APR_SUCCESS : APR_EACCES;
}

/** Find the path of a name; a path is one already. */
static apr_status_t find_path(char path[PATH_SIZE], int *is_named, const char *name, int is_to_be_made)
{
    char folder[64];
    static atomic_uint counter;
    int length;
    *is_named = !name || !strchr(name, '/');
    if (*is_named && name && strchr(name, '\\'))
        return APR_EINVAL; /* an address elsewhere, here nothing */
    if (!*is_named) {
        length = snprintf(path, PATH_SIZE, "%s", name);
        return length < PATH_SIZE ? APR_SUCCESS : APR_ENAMETOOLONG;
    }
    const apr_status_t status = find_folder(folder, sizeof folder, is_to_be_made);
    if (status != APR_SUCCESS)
        return status;
    length = name ? snprintf(path, PATH_SIZE, "%s/%s", folder, name)
                  : snprintf(path, PATH_SIZE, "%s/.%lx-%x-%llx", folder, (unsigned long)getpid(),
                             atomic_fetch_add(&counter, 1), (unsigned long long)sys_now());
    return length < PATH_SIZE ? APR_SUCCESS : APR_ENAMETOOLONG;
}

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un address;
    memset(&address, 0, sizeof address);
    address.sun_family = AF_UNIX;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    return address;
}

static int make_socket(int type)
{
    unix_making();
#if defined(MPROC_HAVE_SOCK_CLOEXEC)
    const int fd = unix_made(socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
#else
    const int fd = unix_made_inheritable(socket(AF_UNIX, type, 0));
#endif
    if (fd >= 0)
        fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

/** Take turns with others who make or remove paths in the same folder: the folder, locked, or -1. */
static int lock_folder(const char *path)
{
    char folder[PATH_SIZE + 2];
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    slash[slash == folder] = '\0';
    const int fd = unix_open(folder, O_RDONLY | O_DIRECTORY);
    /* Anybody who can open a folder can hold its lock for ever: then two listeners may race, but none hangs. */
    for (int tries = 0; fd >= 0 && tries < LOCK_TRIES && flock(fd, LOCK_EX | LOCK_NB) != 0; tries++)
        poll(NULL, 0, LOCK_NAP);
    return fd;
}

/**
 * Whether a path is free: APR_SUCCESS, APR_EEXIST if somebody listens there, or why that cannot be told. Who asks is of
 * another type, so that those who listen do not hear of it.
 */
static apr_status_t check_free(const char *path)
{
    const struct sockaddr_un address = address_of(path);
    struct stat found;
    if (lstat(path, &found) != 0)
        return errno == ENOENT ? APR_SUCCESS : errno;
    if (!S_ISSOCK(found.st_mode))
        return APR_EEXIST; /* not ours to replace */
    const int fd = make_socket(SOCK_DGRAM);
    if (fd < 0)
        return errno;
    const int error = connect(fd, (const struct sockaddr *)&address, sizeof address) == 0 ? 0 : errno;
    unix_close(fd);
    if (error == ECONNREFUSED || error == ENOENT)
        return APR_SUCCESS;
    const int is_of_moment = error == ENOMEM || error == ENOBUFS || error == EAGAIN;
    return is_of_moment ? error : APR_EEXIST;
}

/* ---- Listening -------------------- */

/** Give a socket a path of its own, listening and with its permissions. */
static apr_status_t listen_at(sys_listener_t *listener, const char *path, int backlog)
{
    const struct sockaddr_un address = address_of(path);
    struct stat made;
    if (bind(listener->fd, (const struct sockaddr *)&address, sizeof address) != 0)
        return errno == EADDRINUSE ? APR_EEXIST : errno;
    /* Until it listens nobody gets in, so it never has other permissions than these. */
    if (chmod(path, listener->any_user ? 0666 : 0600) == 0 && listen(listener->fd, backlog) == 0 &&
        lstat(path, &made) == 0) {
        listener->device = made.st_dev;
        listener->inode = made.st_ino;
        return APR_SUCCESS;
    }
    const apr_status_t status = errno;
    unlink(path);
    return status;
}

/**
 * Remove what processes that were killed have left in this user's folder: paths that begin with a dot and a process's
 * number, which nobody takes over since nobody uses them again.
 */
static void sweep(const char *path, int folder)
{
    const int fd = unix_duplicate(folder);
    DIR *entries = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *entry;
    if (!entries) {
        unix_close(fd);
        return;
    }
    while ((entry = readdir(entries)) != NULL) {
        char stale[PATH_SIZE];
        char *end;
        const unsigned long pid = strtoul(entry->d_name + 1, &end, 16);
        if (entry->d_name[0] != '.' || *end != '-' || pid == 0 || kill((pid_t)pid, 0) == 0 || errno != ESRCH)
            continue;
        const int length =
            snprintf(stale, sizeof stale, "%.*s/%s", (int)(strrchr(path, '/') - path), path, entry->d_name);
        /* Where process numbers are others, who has it may live all the same: then somebody is there. */
        if (length < PATH_SIZE && check_free(stale) == APR_SUCCESS)
            unlink(stale);
    }
    unix_disown(fd);
    closedir(entries);
}

/** Listen at the listener's path: with a name for the moment, which then takes the path's place at once. */
static apr_status_t listen_in_folder(sys_listener_t *listener, int backlog)
{
    char path[PATH_SIZE];
    static atomic_uint counter;
    const char *slash = strrchr(listener->path, '/');
    const int length = snprintf(path, sizeof path, "%.*s/.%lx-%x", (int)(slash - listener->path), listener->path,
                                (unsigned long)getpid(), atomic_fetch_add(&counter, 1));
    if (length >= PATH_SIZE)
        return APR_ENAMETOOLONG;
    apr_status_t status = check_free(listener->path);
    if (status != APR_SUCCESS)
        return status;
    unlink(path); /* of a process that was killed and had the same number */
    status = listen_at(listener, path, backlog);
    if (status == APR_SUCCESS && rename(path, listener->path) != 0) {
        status = errno;
        unlink(path);
    }
    return status;
}

apr_status_t sys_listener_create(sys_listener_t **listener, const char *name, int backlog, int any_user)
{
    *listener = calloc(1, sizeof **listener);
    if (!*listener)
        return APR_ENOMEM;
    (*listener)->any_user = any_user;
    (*listener)->fd = make_socket(SOCK_STREAM);
    apr_status_t status = (*listener)->fd < 0 ? errno : APR_SUCCESS;
    if (status == APR_SUCCESS)
        status = find_path((*listener)->path, &(*listener)->is_named, name, 1);
    if (status == APR_SUCCESS) {
        const int folder = lock_folder((*listener)->path);
        if (folder >= 0 && (*listener)->is_named)
            sweep((*listener)->path, folder);
        status = folder < 0 ? errno : listen_in_folder(*listener, backlog > 0 ? backlog : USUAL_BACKLOG);
        unix_close(folder);
    }
    if (status == APR_SUCCESS)
        return status;
    unix_close((*listener)->fd);
    free(*listener);
    *listener = NULL;
    return status;
}

const char *sys_listener_address(const sys_listener_t *listener)
{
    return listener->path;
}

int unix_listener_descriptor(const sys_listener_t *listener)
{
    return listener->fd;
}

void sys_listener_stop(sys_listener_t *listener)
{
    struct stat found;
    if (atomic_exchange(&listener->is_stopped, 1))
        return;
    shutdown(listener->fd, SHUT_RDWR);
    const int folder = lock_folder(listener->path);
    if (lstat(listener->path, &found) == 0 && found.st_dev == listener->device && found.st_ino == listener->inode)
        unlink(listener->path);
    unix_close(folder);
}

void sys_listener_close(sys_listener_t *listener)
{
    if (!listener)
        return;
    sys_listener_stop(listener);
    unix_close(listener->fd);
    free(listener);
}

/* ---- Connecting -------------------- */

/** Take the next one who is let in. */
static int accept_next(const sys_listener_t *listener)
{
    for (;;) {
        unix_making();
#if defined(MPROC_HAVE_SOCK_CLOEXEC)
        const int fd = unix_made(accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC));
#else
        const int fd = unix_made_inheritable(accept(listener->fd, NULL, NULL));
#endif
        int pid;
        uid_t user;
        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (fd < 0 || listener->any_user || (unix_peer(fd, &pid, &user) == 0 && user == geteuid()))
            return fd;
        unix_close(fd);
    }
}

/** Give a stream a socket that is connected. */
static void take(sys_stream_t *stream, int fd)
{
    fcntl(fd, F_SETFL, 0); /* some systems let it inherit that it does not wait; a program that gets it expects it to */
    unix_stream_take(stream, fd);
}

apr_status_t sys_listener_accept(sys_listener_t *listener, sys_stream_t **stream, sys_time_t deadline,
                                 sys_handle_t stop)
{
    /* Made before: who was accepted is not to be lost because there is no memory. */
    apr_status_t status = unix_stream_make(stream, -1, SYS_STREAM_IN | SYS_STREAM_OUT);
    while (status == APR_SUCCESS) {
        const int fd = accept_next(listener);
        if (fd >= 0) {
            take(*stream, fd);
            return status;
        }
        if (errno != EAGAIN && errno != EWOULDBLOCK)
            status = errno;
        else if (atomic_load(&listener->is_stopped))
            status = APR_EOF;
        else
            status = unix_wait_for(listener->fd, POLLIN, deadline, stop);
    }
    sys_stream_close(*stream);
    *stream = NULL;
    return status;
}

/** Try to connect: 0, or an errno value. */
static int try_connect(int *fd, const char *name)
{
    char path[PATH_SIZE];
    int is_named;
    int pid;
    uid_t user;
    const apr_status_t status = find_path(path, &is_named, name, 0);
    if (status != APR_SUCCESS)
        return status;
    const struct sockaddr_un address = address_of(path);
    *fd = make_socket(SOCK_STREAM);
    if (*fd < 0)
        return errno;
    int error = connect(*fd, (const struct sockaddr *)&address, sizeof address) == 0 ? 0 : errno;
    if (error == 0 && is_named && (unix_peer(*fd, &pid, &user) != 0 || user != geteuid()))
        error = EACCES;
    if (error == 0)
        return 0;
    unix_close(*fd);
    *fd = -1;
    return error;
}

apr_status_t sys_stream_connect(sys_stream_t **stream, const char *name, sys_time_t deadline)
{
    enum { LONGEST_NAP = 50 };
    int fd;
    apr_status_t status = unix_stream_make(stream, -1, SYS_STREAM_IN | SYS_STREAM_OUT);
    for (int nap = 1; status == APR_SUCCESS; nap = nap < LONGEST_NAP ? nap * 2 : nap) {
        const int error = try_connect(&fd, name);
        if (error == 0) {
            take(*stream, fd);
            return status;
        }
        /* What is refused has been left behind, or will listen soon, or too many wait there: the BSDs do not tell. */
        const int is_absent = error == ENOENT || error == ECONNREFUSED;
        const sys_time_t left = deadline == 0 ? 0 : deadline - sys_now();
        if (!is_absent && error != EAGAIN && error != EINTR)
            status = error;
        else if (left <= 0)
            status = is_absent ? APR_ENOENT : APR_TIMEUP;
        else
            poll(NULL, 0, left / 1000 < nap ? (int)(left / 1000) + 1 : nap);
    }
    sys_stream_close(*stream);
    *stream = NULL;
    return status;
}
