/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fork server: this program, stopped inside mproc_initialize(). It has one thread and little memory, forks children
 * on request, reaps them, and tells each one's end on the pipe that came with the request. It ends all of them when its
 * creator is gone, and a child's children when that child has ended.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unix.h"

/** A child that runs. */
typedef struct entry_t {
    pid_t pid;
    pid_t creator;
    int status; /* where its end is told */
} entry_t;

static entry_t first_entries[16];
static entry_t *entries = first_entries;
static size_t entry_count, entry_capacity = sizeof first_entries / sizeof first_entries[0];

static int server_socket, client_socket, lifeline;
static pid_t creator; /* of the server */
static struct rlimit file_limit;

static sigset_t no_signals;

/*
 * The block of the request that is carried out; a child keeps its copy. Not static: it would part the variables that
 * each child writes to, and so cost it another page.
 */
static void *sent_block;

/* Of a usual page: most blocks take just one then, which the server gets a copy of after each fork. */
enum { SENT_BLOCK_ALIGNMENT = 4096 };

/* More descriptors than this are not asked for a second time. */
enum { MOST_FILES = 1 << 20 };

/* ---- Signals and limits: the server's own, and its children's -------------------- */

/**
 * Shield the server from what a terminal sends to all of its programs: the creator decides what that means. The signals
 * are blocked and not ignored, so that one which reaches a child before it has become itself waits there, and is not
 * lost.
 */
static void take_signals(void)
{
    static const int shielded[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE};
    sigset_t set;
    sigemptyset(&no_signals);
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof shielded / sizeof shielded[0]; i++)
        sigaddset(&set, shielded[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

static void give_signals_back(int is_shielded)
{
    unix_childwatch_forget();
    if (is_shielded)
        unix_shield_raise();
    sigprocmask(SIG_SETMASK, &no_signals, NULL);
}

/** The server holds a descriptor for each child of the family: it takes what the system allows, its children do not. */
static void raise_file_limit(void)
{
    if (getrlimit(RLIMIT_NOFILE, &file_limit) != 0)
        return;
    struct rlimit raised = file_limit;
    raised.rlim_cur = raised.rlim_max;
    /* macOS refuses what it says is the limit, and everything else above one that it does not say. */
    while (setrlimit(RLIMIT_NOFILE, &raised) != 0 && raised.rlim_cur / 2 > file_limit.rlim_cur)
        raised.rlim_cur = raised.rlim_cur > MOST_FILES ? MOST_FILES : raised.rlim_cur / 2;
}

/* ---- Ends -------------------- */

static int tell(int status, int32_t kind, int32_t value)
{
    /*
     * An end is told twice: one record is read, the other keeps the pipe readable, as a sentinel of what has ended must
     * be.
     */
    const unix_record_t records[2] = {{kind, value}, {kind, value}};
    const size_t size = kind == UNIX_RECORD_ENDED ? sizeof records : sizeof records[0];
    ssize_t written;
    do {
        written = write(status, records, size);
    } while (written < 0 && errno == EINTR);
    return written == (ssize_t)size ? 0 : -1;
}

/** A process is gone: its children, which nobody can join any more, end with it. */
static void end_children_of(pid_t pid)
{
    for (size_t i = 0; i < entry_count; i++)
        if (entries[i].creator == pid)
            kill(entries[i].pid, SIGKILL);
}

static void reap(void)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        end_children_of(pid);
        for (size_t i = 0; i < entry_count; i++) {
            if (entries[i].pid != pid)
                continue;
            tell(entries[i].status, UNIX_RECORD_ENDED, status);
            unix_close(entries[i].status);
            entries[i] = entries[--entry_count];
            break;
        }
    }
}

static void end_all(void)
{
    for (size_t i = 0; i < entry_count; i++)
        kill(entries[i].pid, SIGKILL);
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR) {}
    _exit(0);
}

/* ---- Requests -------------------- */

static int make_room(void)
{
    if (entry_count < entry_capacity)
        return 0;
    const size_t wanted = entry_capacity * 2;
    entry_t *larger = realloc(entries == first_entries ? NULL : entries, wanted * sizeof *larger);
    if (!larger)
        return -1;
    if (entries == first_entries)
        memcpy(larger, first_entries, sizeof first_entries);
    entries = larger;
    entry_capacity = wanted;
    return 0;
}

/** Receive a request and its descriptors; the number of these, or -1. */
static int receive(unix_request_t *request, int *fds)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(UNIX_PASS_MAX * sizeof(int))];
    } control;
    struct iovec parts[] = {{request, sizeof *request}, {sent_block, unix_datagram_max}};
    struct msghdr message = {
        .msg_iov = parts, .msg_iovlen = 2, .msg_control = &control, .msg_controllen = sizeof control};
#if defined(MPROC_HAVE_MSG_CMSG_CLOEXEC)
    const ssize_t length = recvmsg(server_socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
#else
    const ssize_t length = recvmsg(server_socket, &message, MSG_DONTWAIT);
#endif
    int count = 0;
    if (length < 0)
        return -1;
    /* A request has one control message, or none. */
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
        count = (int)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(fds, CMSG_DATA(header), (size_t)count * sizeof(int));
    }
    for (int i = 0; i < count; i++) {
        unix_making();
#if defined(MPROC_HAVE_MSG_CMSG_CLOEXEC)
        fds[i] = unix_made(fds[i]);
#else
        fds[i] = unix_made_inheritable(fds[i]);
#endif
    }
    /* It is no request of this layout, or descriptors were lost: this process has no room for them. */
    if (length < (ssize_t)sizeof *request || (size_t)length - sizeof *request != request->block_size ||
        (message.msg_flags & (MSG_CTRUNC | MSG_TRUNC)))
        request->operation = 0;
    return count;
}

/** In a new child: leave everything of the server's behind, and become what the request says. */
static void become(unix_served_t *child, const unix_request_t *request, int *fds, int count)
{
    int stdio[3] = {fds[UNIX_PASS_STDIN], fds[UNIX_PASS_STDOUT], fds[UNIX_PASS_STDERR]};
    give_signals_back(request->is_shielded);
    setrlimit(RLIMIT_NOFILE, &file_limit);
    unix_forkserver_join(client_socket);
    if (request->as_stdout)
        stdio[2] = UNIX_STDIO_AS_STDOUT;
    if (fchdir(fds[UNIX_PASS_DIRECTORY]) != 0 || unix_place_stdio(stdio) != 0)
        _exit(127);
    unix_close_all(fds, UNIX_PASS_HANDLES);
    const int last = fds[count - 1];
    child->block = (sys_block_t){NULL, 0, last, NULL, 0};
    if (request->block_size > 0) {
        void *report = unix_report_map(last, request->report_offset);
        if (!report)
            _exit(127);
        child->block = (sys_block_t){sent_block, request->block_size, SYS_NO_HANDLE, report, 0};
        unix_close(last);
    }
    child->handle_count = request->handle_count;
    memcpy(child->handles, fds + UNIX_PASS_HANDLES, child->handle_count * sizeof *fds);
}

/** Fork a child. Returns 1 in it. */
static int start(unix_served_t *child, const unix_request_t *request, int *fds, int count)
{
    unix_lifeline_t line;
    int keep[UNIX_PASS_MAX + 1];
    if (make_room() != 0 || unix_lifeline_create(&line, 0) != 0) {
        tell(fds[UNIX_PASS_STATUS], UNIX_RECORD_REFUSED, errno);
        unix_close_all(fds, (size_t)count);
        return 0;
    }
    memcpy(keep, fds, (size_t)count * sizeof *fds);
    keep[count] = client_socket;
    unix_keep_in_fork(keep, (size_t)count + 1);
    const pid_t pid = fork();
    unix_kept_in_fork();
    if (pid == 0) {
        if (unix_lifeline_follow(&line) != 0)
            _exit(127);
        child->parent = line.parent;
        become(child, request, fds, count);
        return 1;
    }
    if (pid < 0) {
        tell(fds[UNIX_PASS_STATUS], UNIX_RECORD_REFUSED, errno);
        unix_close_all(fds, (size_t)count);
        return 0;
    }
    /* Its creator has given up or is gone: nobody could join it. */
    if (tell(fds[UNIX_PASS_STATUS], UNIX_RECORD_STARTED, pid) != 0)
        kill(pid, SIGKILL);
    entries[entry_count++] = (entry_t){pid, request->creator, fds[UNIX_PASS_STATUS]};
    unix_close_all(fds + 1, (size_t)count - 1);
    return 0;
}

/** Only a creator may send signals to its children, and only to those that were not reaped. */
static void send_signal(const unix_request_t *request)
{
    for (size_t i = 0; i < entry_count; i++)
        if (entries[i].pid == request->pid && entries[i].creator == request->creator)
            kill(request->pid, request->sig);
}

/** Carry out one request, if there is one. Returns 1 in a new child. */
static int serve_one(unix_served_t *child)
{
    unix_request_t request;
    int fds[UNIX_PASS_MAX];
    const int count = receive(&request, fds);
    if (count < 0)
        return 0;
    /* Whoever holds the other end of this pipe: the server never waits for it. */
    if (count > 0)
        fcntl(fds[UNIX_PASS_STATUS], F_SETFL, O_NONBLOCK);
    if (request.operation == UNIX_REQUEST_START && count >= UNIX_PASS_HANDLES &&
        request.handle_count + 1 == (uint32_t)(count - UNIX_PASS_HANDLES))
        return start(child, &request, fds, count);
    if (request.operation == UNIX_REQUEST_SIGNAL)
        send_signal(&request);
    else if (count > 0)
        tell(fds[UNIX_PASS_STATUS], UNIX_RECORD_REFUSED, EMFILE);
    unix_close_all(fds, (size_t)count);
    return 0;
}

void unix_forkserver_serve(unix_served_t *child, int server, int client, int line)
{
    server_socket = server;
    client_socket = client;
    lifeline = line;
    creator = getppid();
    const int watch = unix_childwatch_open();
    if (watch < 0 || (unix_datagram_max && posix_memalign(&sent_block, SENT_BLOCK_ALIGNMENT, unix_datagram_max)))
        _exit(127);
    take_signals();
    raise_file_limit();
    unix_image_remember();
    fflush(NULL);
    struct pollfd items[] = {
        {.fd = watch, .events = POLLIN}, {.fd = lifeline, .events = POLLIN}, {.fd = server, .events = POLLIN}};
    for (;;) {
        if (poll(items, 3, -1) < 0) {
            if (errno != EINTR)
                end_all();
            continue;
        }
        if (items[1].revents || getppid() != creator)
            end_all();
        if (items[0].revents) {
            unix_childwatch_clear(watch);
            reap();
        }
        if (items[2].revents && serve_one(child))
            return;
    }
}
