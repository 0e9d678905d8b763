/* SPDX-License-Identifier: Apache-2.0 */
#include "forkserver_reference.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "start_references.h"

extern char **environ;

/**
 * What a child gets besides its streams; as large as the block of an mproc child with an environment of two kilobytes.
 */
enum { PAYLOAD = 3072 };

/** The descriptors of a request with a payload, in order. */
enum { PASS_STATUS, PASS_FOLDER, PASS_STREAMS, PASSED = PASS_STREAMS + 3 };

/** Room for their passing, aligned as its header wants. */
typedef union passing_t {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(PASSED * sizeof(int))];
} passing_t;

static const char *const arguments[FORKSERVER_KINDS] = {"--forkserver-minimal", "--forkserver-payload"};
static int clients[FORKSERVER_KINDS] = {-1, -1};
static pid_t servers[FORKSERVER_KINDS];

/* ---- The servers ------------------------------------------------------------------------------------------------- */

static int serve_minimal(int fd)
{
    char request;
    while (read(fd, &request, 1) == 1) {
        int status = 0;
        const pid_t pid = fork();
        if (pid == 0)
            _exit(EXIT_EXPECTED);
        if (pid < 0 || waitpid(pid, &status, 0) != pid || write(fd, &status, sizeof status) != sizeof status)
            return 1;
    }
    return 0;
}

/** Receive a request and its descriptors: 0, or -1 at the end. */
static int receive(int fd, char *payload, int fds[PASSED])
{
    passing_t passing;
    struct iovec part = {payload, PAYLOAD};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &passing, .msg_controllen = sizeof passing};
    if (recvmsg(fd, &message, 0) != PAYLOAD || passing.header.cmsg_len != CMSG_LEN(PASSED * sizeof(int)))
        return -1;
    memcpy(fds, CMSG_DATA(&passing.header), PASSED * sizeof(int));
    return 0;
}

static void be_child(const int fds[PASSED], const char *payload)
{
    if (fchdir(fds[PASS_FOLDER]) != 0)
        _exit(127);
    for (int i = 0; i < 3; i++)
        if (dup2(fds[PASS_STREAMS + i], i) < 0)
            _exit(127);
    for (int i = 0; i < PASSED; i++)
        close(fds[i]);
    _exit(payload[PAYLOAD - 1]);
}

static int serve_payload(int fd)
{
    static char payload[PAYLOAD];
    int fds[PASSED];
    while (receive(fd, payload, fds) == 0) {
        int status = 0;
        const pid_t pid = fork();
        if (pid == 0)
            be_child(fds, payload);
        if (pid < 0 || write(fds[PASS_STATUS], &pid, sizeof pid) != sizeof pid)
            return 1;
        for (int i = PASS_FOLDER; i < PASSED; i++)
            close(fds[i]);
        if (waitpid(pid, &status, 0) != pid || write(fds[PASS_STATUS], &status, sizeof status) != sizeof status)
            return 1;
        close(fds[PASS_STATUS]);
    }
    return 0;
}

void forkserver_reference_serve(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], arguments[FORKSERVER_MINIMAL]) == 0)
        exit(serve_minimal(atoi(argv[2])));
    if (argc == 3 && strcmp(argv[1], arguments[FORKSERVER_PAYLOAD]) == 0)
        exit(serve_payload(atoi(argv[2])));
}

/* ---- The client -------------------------------------------------------------------------------------------------- */

static int open_one(const char *path, int kind)
{
    char number[16];
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0)
        return -1;
    /* The client's end must not stay open in a server, or it would never see the end. */
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    snprintf(number, sizeof number, "%d", ends[1]);
    char *const argv[] = {(char *)(size_t)path, (char *)(size_t)arguments[kind], number, NULL};
    const int error = posix_spawn(&servers[kind], path, NULL, NULL, argv, environ);
    close(ends[1]);
    clients[kind] = ends[0];
    return error == 0 ? 0 : -1;
}

int forkserver_reference_open(const char *path)
{
    return open_one(path, FORKSERVER_MINIMAL) == 0 && open_one(path, FORKSERVER_PAYLOAD) == 0 ? 0 : -1;
}

static int judge(int status)
{
    return WIFEXITED(status) && WEXITSTATUS(status) == EXIT_EXPECTED ? 0 : -1;
}

int forkserver_reference_minimal(void *unused)
{
    const int fd = clients[FORKSERVER_MINIMAL];
    int status;
    (void)unused;
    if (write(fd, "", 1) != 1 || read(fd, &status, sizeof status) != sizeof status)
        return -1;
    return judge(status);
}

static int send_request(const int fds[PASSED])
{
    char payload[PAYLOAD] = {0};
    passing_t passing;
    struct iovec part = {payload, sizeof payload};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &passing, .msg_controllen = sizeof passing};
    payload[PAYLOAD - 1] = EXIT_EXPECTED;
    memset(&passing, 0, sizeof passing);
    passing.header.cmsg_level = SOL_SOCKET;
    passing.header.cmsg_type = SCM_RIGHTS;
    passing.header.cmsg_len = CMSG_LEN(PASSED * sizeof(int));
    memcpy(CMSG_DATA(&passing.header), fds, PASSED * sizeof(int));
    return sendmsg(clients[FORKSERVER_PAYLOAD], &message, 0) == PAYLOAD ? 0 : -1;
}

int forkserver_reference_payload(void *unused)
{
    int status = -1;
    int pid;
    int ends[2];
    (void)unused;
    const int folder = open(".", O_RDONLY);
    if (folder < 0 || pipe(ends) != 0)
        return -1;
    const int fds[PASSED] = {ends[1], folder, 0, 1, 2};
    int result = send_request(fds);
    close(ends[1]);
    close(folder);
    if (result == 0 && (read(ends[0], &pid, sizeof pid) != sizeof pid || read(ends[0], &status, sizeof status) < 0))
        result = -1;
    close(ends[0]);
    return result == 0 ? judge(status) : -1;
}

void forkserver_reference_close(void)
{
    for (int kind = 0; kind < FORKSERVER_KINDS; kind++) {
        close(clients[kind]);
        waitpid(servers[kind], NULL, 0);
    }
}
