/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unix.h"

static unix_served_t served; /* what the fork server was sent for this child */
static int is_served;
static int is_forked; /* not executed: it must not end what its creator began */
static int may_flush_all;

void unix_set_forked(int flush_all)
{
    is_forked = 1;
    may_flush_all = flush_all;
}

/** Take the next number of a marker. */
static int next_number(const char **at)
{
    char *end;
    const long number = strtol(*at, &end, 10);
    *at = *end == ',' ? end + 1 : end;
    return number >= -1 && number < INT32_MAX ? (int)number : -1;
}

/** List an inherited descriptor as the library's own. */
static int take(int fd)
{
    unix_making();
    return unix_made_inheritable(fcntl(fd, F_GETFD) < 0 ? -1 : fd);
}

/** A name that process lists show; the kernel took "exe" from the path that was executed. */
static void show_name(const char *argv0)
{
    const char *slash = strrchr(argv0, '/');
    sys_set_process_title(slash ? slash + 1 : argv0);
}

static int is_socket(int fd)
{
    struct stat file;
    return fstat(fd, &file) == 0 && S_ISSOCK(file.st_mode);
}

apr_status_t sys_child_attach(sys_block_t *block, int argc, const char *const *argv)
{
    static const char spawn_marker[] = "--mproc=spawn:";
    static const char server_marker[] = "--mproc=forkserver:";
    *block = (sys_block_t){NULL, 0, SYS_NO_HANDLE, NULL, 0};
    unix_program_remember(argc > 0 ? argv[0] : NULL);
    if (unix_watch_forks() != 0)
        return APR_ENOMEM;
    if (argc < 2 || !argv[1])
        return APR_ENOENT;
    if (strncmp(argv[1], spawn_marker, sizeof spawn_marker - 1) == 0) {
        const char *at = argv[1] + sizeof spawn_marker - 1;
        const int fd = take(next_number(&at));
        take(next_number(&at)); /* the lifeline: it stays open */
        show_name(argv[0]);
        apr_status_t status = fd < 0 ? APR_EBADF : unix_block_map(block, fd);
        unix_close(fd);
        return status;
    }
    if (strncmp(argv[1], server_marker, sizeof server_marker - 1) == 0) {
        const char *at = argv[1] + sizeof server_marker - 1;
        const int server = next_number(&at);
        const int client = next_number(&at);
        const int lifeline = next_number(&at);
        if (!is_socket(server) || !is_socket(client) || fcntl(lifeline, F_GETFD) < 0)
            return APR_EBADF;
        take(next_number(&at)); /* the kernel's: it stays open */
        unix_arena_take(next_number(&at));
        show_name(argv[0]);
        unix_forkserver_serve(&served, take(server), take(client), take(lifeline));
        is_served = 1;
        unix_set_forked(1);
        *block = served.block;
        if (block->data)
            return APR_SUCCESS;
        const int fd = (int)served.block.handle;
        apr_status_t status = unix_block_map(block, fd);
        unix_close(fd);
        return status;
    }
    return APR_ENOENT;
}

/** In a child that was executed: what it is shielded from has been held back so far. */
static void raise_shield(void)
{
    sigset_t interrupt;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    unix_shield_raise();
    pthread_sigmask(SIG_UNBLOCK, &interrupt, NULL);
}

apr_status_t sys_child_setup(const int64_t *slots, int is_shielded)
{
    if (is_shielded && !is_forked)
        raise_shield();
    /* Standard streams were placed before the program ran, or by whoever forked it. */
    const int parent = is_served ? served.parent : (int)slots[UNIX_SLOT_CREATOR];
    return unix_lifeline_renew(parent) == 0 ? APR_SUCCESS : errno;
}

sys_handle_t sys_child_arena(const int64_t *slots)
{
    if (is_served)
        return unix_arena_descriptor();
    if (is_forked)
        return SYS_NO_HANDLE;
    unix_arena_take((int)slots[UNIX_SLOT_ARENA]);
    return unix_arena_descriptor();
}

apr_status_t sys_child_take(int64_t *handle, size_t index)
{
    if (is_served) {
        if (index >= served.handle_count)
            return APR_EBADF;
        *handle = served.handles[index];
        unix_disown((int)*handle);
    } else if (!is_forked) {
        /* It was kept open through exec for us; what we execute is not to have it. */
        if (fcntl((int)*handle, F_SETFD, FD_CLOEXEC) != 0)
            return errno;
    }
    return APR_SUCCESS;
}

void sys_child_leave(int code)
{
    if (!is_forked)
        exit(code);
    /*
     * What was buffered before the fork was written by the creator; where it could not be, only these streams are ours.
     */
    if (may_flush_all) {
        fflush(NULL);
    } else {
        fflush(stdout);
        fflush(stderr);
    }
    _exit(code);
}
