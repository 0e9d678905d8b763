/* SPDX-License-Identifier: Apache-2.0 */
/* The system's own calls, as somebody would write them who needs them for this one program. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "program_players.h"

extern char **environ;

/** What was read of a pipe. */
typedef struct gathered_t {
    int fd; /* -1: no pipe, or at its end */
    char *data;
    size_t size;
    size_t room;
} gathered_t;

/** A program and this process's ends of its pipes; -1 for none. */
typedef struct child_t {
    pid_t pid;
    int pidfd;
    int input;
    gathered_t outputs[2];
} child_t;

/* ---- Starting ---------------------------------------------------------------------------------------------------- */

static int set_duties(posix_spawnattr_t *attributes, posix_spawn_file_actions_t *actions)
{
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    sigdelset(&all, SIGKILL);
    sigdelset(&all, SIGSTOP);
#if defined(MPROC_BENCH_CLOSEFROM)
    posix_spawn_file_actions_addclosefrom_np(actions, 3);
#else
    (void)actions;
#endif
    return posix_spawnattr_setsigmask(attributes, &none) == 0 && posix_spawnattr_setsigdefault(attributes, &all) == 0 &&
                   posix_spawnattr_setpgroup(attributes, 0) == 0 &&
                   posix_spawnattr_setflags(attributes,
                                            POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF) == 0
               ? 0
               : -1;
}

/** How a program is started. */
typedef enum how_t { BY_VFORK, BY_SPAWN, BY_SPAWN_WITH_DUTIES } how_t;

static int start_by_vfork(child_t *child, char *const *argv, const int streams[3])
{
    child->pidfd = -1;
    child->pid = vfork();
    if (child->pid != 0)
        return child->pid < 0 ? -1 : 0;
    for (int i = 0; i < 3; i++)
        if (streams[i] >= 0)
            dup2(streams[i], i);
    execve(argv[0], argv, environ);
    _exit(127);
}

/** Start a program with descriptors as its standard streams; -1: it inherits ours. */
static int spawn(child_t *child, char *const *argv, const int streams[3], how_t how)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    for (int i = 0; i < 3; i++)
        if (streams[i] >= 0)
            posix_spawn_file_actions_adddup2(&actions, streams[i], i);
    int result = how == BY_SPAWN_WITH_DUTIES ? set_duties(&attributes, &actions) : 0;
    if (result == 0)
        result = posix_spawn(&child->pid, argv[0], &actions, &attributes, argv, environ) == 0 ? 0 : -1;
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    child->pidfd = -1;
#if defined(SYS_pidfd_open)
    if (how == BY_SPAWN_WITH_DUTIES && result == 0)
        child->pidfd = (int)syscall(SYS_pidfd_open, child->pid, 0);
#endif
    return result;
}

static int make_pipe(int ends[2])
{
#if defined(__APPLE__)
    if (pipe(ends) != 0)
        return -1;
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    return 0;
#else
    return pipe2(ends, O_CLOEXEC);
#endif
}

/** Start a program with pipes: `is_piped` says which of its standard streams are some. */
static int spawn_with_pipes(child_t *child, char *const *argv, const int is_piped[3], how_t how)
{
    int theirs[3] = {-1, -1, -1};
    int result = 0;
    *child = (child_t){.pidfd = -1, .input = -1, .outputs = {{.fd = -1}, {.fd = -1}}};
    for (int i = 0; i < 3 && result == 0; i++) {
        int ends[2];
        if (!is_piped[i])
            continue;
        result = make_pipe(ends);
        if (result != 0)
            break;
        theirs[i] = ends[i == 0 ? 0 : 1];
        *(i == 0 ? &child->input : &child->outputs[i - 1].fd) = ends[i == 0 ? 1 : 0];
    }
    if (result == 0)
        result = how == BY_VFORK ? start_by_vfork(child, argv, theirs) : spawn(child, argv, theirs, how);
    for (int i = 0; i < 3; i++)
        if (theirs[i] >= 0)
            close(theirs[i]);
    return result;
}

/** Wait for the end: its exit code, or -1. */
static int wait_for(const child_t *child)
{
    int status;
    pid_t ended;
    if (child->pidfd >= 0) {
        struct pollfd item = {.fd = child->pidfd, .events = POLLIN};
        while (poll(&item, 1, -1) < 0 && errno == EINTR) {}
    }
    do {
        ended = waitpid(child->pid, &status, 0);
    } while (ended < 0 && errno == EINTR);
    if (child->pidfd >= 0)
        close(child->pidfd);
    return ended == child->pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* ---- Talking ----------------------------------------------------------------------------------------------------- */

static int read_once(gathered_t *gathered)
{
    enum { READ_SIZE = 1 << 16 };
    if (gathered->room - gathered->size < READ_SIZE) {
        const size_t room = gathered->room ? 2 * gathered->room : (size_t)2 * READ_SIZE;
        char *larger = realloc(gathered->data, room);
        if (!larger)
            return -1;
        gathered->data = larger;
        gathered->room = room;
    }
    const ssize_t length = read(gathered->fd, gathered->data + gathered->size, gathered->room - gathered->size);
    if (length < 0)
        return errno == EINTR ? 0 : -1;
    gathered->size += (size_t)length;
    if (length == 0) {
        close(gathered->fd);
        gathered->fd = -1;
    }
    return 0;
}

static int write_once(int *fd, const char **data, size_t *left)
{
    const ssize_t length = *left > 0 ? write(*fd, *data, *left) : 0;
    if (length < 0)
        return errno == EINTR || errno == EAGAIN ? 0 : -1;
    *data += length;
    *left -= (size_t)length;
    if (*left == 0) {
        close(*fd);
        *fd = -1;
    }
    return 0;
}

/** Write the data and read both outputs until all are at their ends. */
static int talk(child_t *child, const char *data, size_t size)
{
    int result = 0;
    if (child->input >= 0)
        fcntl(child->input, F_SETFL, O_NONBLOCK);
    while (result == 0 && (child->input >= 0 || child->outputs[0].fd >= 0 || child->outputs[1].fd >= 0)) {
        struct pollfd items[3] = {{.fd = child->input, .events = POLLOUT},
                                  {.fd = child->outputs[0].fd, .events = POLLIN},
                                  {.fd = child->outputs[1].fd, .events = POLLIN}};
        if (poll(items, 3, -1) < 0 && errno != EINTR)
            return -1;
        if (items[0].revents)
            result = write_once(&child->input, &data, &size);
        for (int i = 0; i < 2 && result == 0; i++)
            if (items[i + 1].revents)
                result = read_once(&child->outputs[i]);
    }
    return result;
}

/* ---- The operations ---------------------------------------------------------------------------------------------- */

static int start(how_t how)
{
    static const int none[3] = {0, 0, 0};
    child_t child;
    return spawn_with_pipes(&child, program_exit, none, how) == 0 && wait_for(&child) == CHILD_EXIT_CODE ? 0 : -1;
}

static void clear(child_t *child)
{
    free(child->outputs[0].data);
    free(child->outputs[1].data);
}

static int capture(how_t how)
{
    static const int outputs[3] = {0, 1, 1};
    child_t child;
    if (spawn_with_pipes(&child, program_say, outputs, how) != 0 || talk(&child, NULL, 0) != 0)
        return -1;
    const int result =
        program_check_said(wait_for(&child), child.outputs[0].data, child.outputs[0].size, child.outputs[1].size);
    clear(&child);
    return result;
}

static int communicate(const void *data, size_t size)
{
    static const int both_ways[3] = {1, 1, 0};
    child_t child;
    if (spawn_with_pipes(&child, program_echo, both_ways, BY_SPAWN) != 0 || talk(&child, data, size) != 0)
        return -1;
    const int result = program_check_echoed(wait_for(&child), child.outputs[0].data, child.outputs[0].size, data, size);
    clear(&child);
    return result;
}

static int start_by_spawn(void)
{
    return start(BY_SPAWN);
}

static int capture_by_spawn(void)
{
    return capture(BY_SPAWN);
}

const program_player_t program_posix_spawn = {"posix_spawn", NULL, start_by_spawn, capture_by_spawn, communicate};

static int start_with_duties(void)
{
    return start(BY_SPAWN_WITH_DUTIES);
}

static int capture_with_duties(void)
{
    return capture(BY_SPAWN_WITH_DUTIES);
}

const program_player_t program_posix_spawn_duties = {"posix_spawn-duties", NULL, start_with_duties, capture_with_duties,
                                                     NULL};

static int start_minimally(void)
{
    return start(BY_VFORK);
}

static int capture_minimally(void)
{
    return capture(BY_VFORK);
}

const program_player_t program_vfork = {"vfork", NULL, start_minimally, capture_minimally, NULL};
