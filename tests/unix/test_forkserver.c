/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attacks on the fork server: what members of its family could send it, and signals from outside. Whatever happens, it
 * goes on starting children, keeps no descriptor and no process, and nobody waits for ever.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_thread_proc.h>

#include "posix/unix.h"
#include "process_object.h"
#include "support/harness.h"
#include "support/support.h"
#include "unix/processes.h"

enum { MOST_PASSED = 253 }; /* what the kernel takes with one datagram */

static int return_six(mproc_call_t *call)
{
    return call ? 6 : 0;
}

static int sleep_on(mproc_call_t *call)
{
    (void)call;
    for (;;)
        sleep(600);
    return 0;
}

static mproc_process_opts_t by_server(void)
{
    mproc_process_opts_t opts;
    memset(&opts, 0, sizeof opts);
    opts.start_method = MPROC_FORKSERVER;
    return opts;
}

/* ---- A family to attack ------------------------------------------------------------------------------------------ */

typedef struct family_t {
    int server;
    int socket;      /* where requests go */
    int descriptors; /* the server's, at rest */
    int own;         /* this process's, at rest */
} family_t;

/** Find the socket to the fork server among this process's descriptors, as any member of the family can. */
static int find_socket(void)
{
    for (int fd = 3; fd < 256; fd++) {
        struct sockaddr_un address;
        socklen_t size = sizeof address;
        int type = 0;
        socklen_t type_size = sizeof type;
        if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_size) == 0 && type == SOCK_DGRAM &&
            getsockname(fd, (struct sockaddr *)&address, &size) == 0 && address.sun_family == AF_UNIX)
            return fd;
    }
    return -1;
}

static void found(family_t *family)
{
    need_proc();
    assert_int_equal(finish(start(return_six, by_server())), 6);
    family->server = server_of(getpid());
    assert_true(family->server > 0);
    assert_true(has_children_within(family->server, 0, 10));
    family->socket = find_socket();
    assert_true(family->socket >= 0);
    family->descriptors = descriptors_of(family->server);
    family->own = count_descriptors();
}

/** The server still works, and nothing is left of what it was sent. */
static void check_unharmed(const family_t *family)
{
    assert_int_equal(finish(start(return_six, by_server())), 6);
    assert_int_equal(server_of(getpid()), family->server);
    if (!has_children_within(family->server, 0, 10))
        fail_msg("%d processes are left", children_of(family->server, NULL, 0));
    if (!has_descriptors_within(family->server, family->descriptors, 10))
        fail_msg("the server has %d descriptors, and not %d", descriptors_of(family->server), family->descriptors);
    assert_int_equal(count_descriptors(), family->own);
}

/** Send one datagram as it is, waiting for room in the queue. */
static void send_bytes(const family_t *family, const void *bytes, size_t size, const int *fds, size_t count)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(MOST_PASSED * sizeof(int))];
    } control;
    struct iovec part = {(void *)(uintptr_t)bytes, size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (count > 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(&control.header), fds, count * sizeof(int));
    }
    ssize_t sent;
    /* ETOOMANYREFS: too many descriptors are on their way. */
    while ((sent = sendmsg(family->socket, &message, MSG_DONTWAIT)) < 0 &&
           (errno == EAGAIN || errno == EINTR || errno == ENOBUFS || errno == ETOOMANYREFS))
        usleep(200);
    if (sent < 0)
        fail_msg("the server is gone: %s", strerror(errno));
}

static void send_request(const family_t *family, const unix_request_t *request, const int *fds, size_t count)
{
    send_bytes(family, request, sizeof *request, fds, count);
}

/** A descriptor of some kind that has nothing to do with what a request wants at its place. */
static int some_descriptor(unsigned long long which)
{
    int ends[2];
    switch (which % 8) {
    case 0:
        return open("/dev/null", O_RDWR);
    case 1:
        return open("/", O_RDONLY | O_DIRECTORY);
    case 2:
        return socket(AF_UNIX, SOCK_DGRAM, 0);
    case 3: {
        const int copy = dup(find_socket()); /* to the server itself */
        return copy;
    }
    case 4:
        return open("/proc/self/exe", O_RDONLY);
    case 5:
        return open("/dev/zero", O_RDWR);
    default:
        if (pipe(ends) != 0)
            return -1;
        close(ends[which % 2]);
        return ends[1 - which % 2];
    }
}

/** Fill in descriptors of all kinds; to be closed by close_some(). */
static void make_some(int *fds, size_t count, unsigned long long *random)
{
    for (size_t i = 0; i < count; i++) {
        fds[i] = some_descriptor(next_random(random));
        assert_true(fds[i] >= 0);
    }
}

static void close_some(const int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
}

/* What a request passes at least: the block's descriptor comes last. */
enum { PASSED_LEAST = UNIX_PASS_HANDLES + 1 };

/** Descriptors with which a start is well-formed: the child finds no block, but the server cannot know. */
static void make_plausible(int fds[PASSED_LEAST], int status)
{
    fds[UNIX_PASS_STATUS] = status;
    fds[UNIX_PASS_HANDLES] = open("/dev/null", O_RDWR);
    fds[UNIX_PASS_DIRECTORY] = open("/", O_RDONLY | O_DIRECTORY);
    for (int i = UNIX_PASS_STDIN; i <= UNIX_PASS_STDERR; i++)
        fds[i] = open("/dev/null", O_RDWR);
}

/* ---- Garbage ----------------------------------------------------------------------------------------------------- */

static void test_random_datagrams(void **state)
{
    family_t family;
    unsigned long long random = choose_seed();
    (void)state;
    found(&family);
    for (int i = 0; i < 1500; i++) {
        unsigned char bytes[2048];
        int fds[MOST_PASSED];
        const size_t size =
            (size_t)(next_random(&random) % 4 ? next_random(&random) % 64 : next_random(&random) % 2048);
        const size_t most = next_random(&random) % 16 ? 10 : MOST_PASSED;
        const size_t count = (size_t)(next_random(&random) % (most + 1));
        for (size_t j = 0; j < size; j++)
            bytes[j] = (unsigned char)next_random(&random);
        make_some(fds, count, &random);
        send_bytes(&family, bytes, size, fds, count);
        close_some(fds, count);
    }
    check_unharmed(&family);
}

/** Well-formed requests with numbers and descriptors without sense: some of them fork children that cannot live. */
static void test_random_requests(void **state)
{
    family_t family;
    unsigned long long random = choose_seed();
    (void)state;
    found(&family);
    mproc_process_t *victim = start(sleep_on, by_server());
    for (int i = 0; i < 150; i++) {
        const int32_t pids[] = {0, -1, 1, family.server, getpid(), mproc_process_pid(victim), INT32_MAX, INT32_MIN};
        int fds[16];
        const size_t count = (size_t)(next_random(&random) % 16);
        unix_request_t request = {.operation = (uint32_t)(next_random(&random) % 4),
                                  .creator = pids[next_random(&random) % 8],
                                  .pid = pids[next_random(&random) % 8],
                                  .sig = (int32_t)next_random(&random),
                                  .as_stdout = (int32_t)(next_random(&random) % 2),
                                  .handle_count = (uint32_t)(next_random(&random) % 12)};
        if (next_random(&random) % 2 && count >= PASSED_LEAST)
            request.handle_count = (uint32_t)count - PASSED_LEAST;
        make_some(fds, count, &random);
        send_request(&family, &request, fds, count);
        close_some(fds, count);
    }
    assert_true(mproc_process_is_alive(victim));
    assert_success(mproc_process_kill(victim));
    assert_int_equal(finish(victim), -9);
    check_unharmed(&family);
}

/** The answer to a request on its pipe: a record's kind, or 0 if the pipe was closed without one. */
static int answer_to(const family_t *family, const void *bytes, size_t size, size_t passed)
{
    int fds[MOST_PASSED];
    int ends[2];
    unix_record_t record = {0, 0};
    assert_int_equal(pipe(ends), 0);
    make_plausible(fds, ends[1]);
    for (size_t i = PASSED_LEAST; i < passed; i++)
        fds[i] = open("/dev/null", O_RDWR);
    send_bytes(family, bytes, size, fds, passed);
    close_some(fds, passed > PASSED_LEAST ? passed : PASSED_LEAST);
    assert_success(sys_wait(ends[0], sys_now() + 10000000 * slowdown()));
    const ssize_t length = read(ends[0], &record, sizeof record);
    close(ends[0]);
    return length == sizeof record ? record.kind : 0;
}

static void test_lying_requests(void **state)
{
    family_t family;
    unix_request_t request = {.operation = UNIX_REQUEST_START, .creator = getpid()};
    const size_t size = sizeof request;
    unsigned char longer[sizeof request + 8] = {0};
    (void)state;
    found(&family);
    /* As it should be, so that each of the others is refused for what is wrong with it. */
    assert_int_equal(answer_to(&family, &request, size, PASSED_LEAST), UNIX_RECORD_STARTED);
    assert_int_equal(answer_to(&family, &request, size, 1), UNIX_RECORD_REFUSED);
    assert_int_equal(answer_to(&family, &request, size, PASSED_LEAST - 1), UNIX_RECORD_REFUSED);
    assert_int_equal(answer_to(&family, &request, size, PASSED_LEAST + 1), UNIX_RECORD_REFUSED);
    assert_int_equal(answer_to(&family, &request, size - 1, PASSED_LEAST), UNIX_RECORD_REFUSED);
    assert_int_equal(answer_to(&family, &request, 1, PASSED_LEAST), UNIX_RECORD_REFUSED);
    /* A request of another layout begins with the same number, perhaps. */
    memcpy(longer, &request, size);
    assert_int_equal(answer_to(&family, longer, sizeof longer, PASSED_LEAST), UNIX_RECORD_REFUSED);
    static const uint32_t lies[] = {1, 7, UNIX_PASS_MAX, 0x7fffffff, 0x80000000u, 0xffffffffu};
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        request.handle_count = lies[i];
        assert_int_equal(answer_to(&family, &request, size, PASSED_LEAST), UNIX_RECORD_REFUSED);
    }
    /* One more than there is room for: it is lost, and what came looks like a whole request. */
    request.handle_count = UNIX_PASS_MAX - PASSED_LEAST;
    assert_int_equal(answer_to(&family, &request, size, UNIX_PASS_MAX + 1), UNIX_RECORD_REFUSED);
    assert_int_equal(answer_to(&family, &request, size, UNIX_PASS_MAX), UNIX_RECORD_STARTED);
    request.handle_count = 0;
    request.operation = 77;
    assert_int_equal(answer_to(&family, &request, size, PASSED_LEAST), UNIX_RECORD_REFUSED);
    check_unharmed(&family);
}

/** A pipe that takes nothing: the server must not wait for it, and nobody could join that child. */
static void test_full_status_pipe(void **state)
{
    family_t family;
    int fds[PASSED_LEAST];
    int ends[2];
    static const char zeros[65536];
    const unix_request_t request = {.operation = UNIX_REQUEST_START, .creator = getpid()};
    (void)state;
    found(&family);
    assert_int_equal(pipe(ends), 0);
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    while (write(ends[1], zeros, sizeof zeros) > 0) {}
    fcntl(ends[1], F_SETFL, 0);
    make_plausible(fds, ends[1]);
    for (int i = 0; i < 20; i++)
        send_request(&family, &request, fds, PASSED_LEAST);
    close_some(fds, PASSED_LEAST);
    assert_int_equal(finish(start(return_six, by_server())), 6);
    close(ends[0]);
    check_unharmed(&family);
}

/** Signals go to the sender's own running children, and to nobody else. */
static void test_signals_for_others(void **state)
{
    family_t family;
    (void)state;
    found(&family);
    mproc_process_t *child = start(sleep_on, by_server());
    const pid_t stranger = fork();
    if (stranger == 0) {
        alarm(120); /* it is nobody's business if this test fails */
        pause();
        _exit(0);
    }
    const int32_t pid = mproc_process_pid(child);
    const int32_t self = getpid();
    const unix_request_t requests[] = {
        {.creator = self, .pid = stranger, .sig = SIGKILL}, {.creator = family.server, .pid = stranger, .sig = SIGKILL},
        {.creator = self, .pid = self, .sig = SIGKILL},     {.creator = self, .pid = family.server, .sig = SIGKILL},
        {.creator = self, .pid = 0, .sig = SIGKILL},        {.creator = self, .pid = -1, .sig = SIGCONT},
        {.creator = stranger, .pid = pid, .sig = SIGKILL},  {.creator = 0, .pid = pid, .sig = SIGKILL},
        {.creator = pid, .pid = pid, .sig = SIGKILL},       {.creator = self, .pid = pid, .sig = 12345},
        {.creator = self, .pid = pid, .sig = -9},           {.creator = self, .pid = -pid, .sig = SIGKILL}};
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        unix_request_t request = requests[i];
        request.operation = UNIX_REQUEST_SIGNAL;
        send_request(&family, &request, NULL, 0);
    }
    /* They are served in order: this one comes after all of them. */
    assert_int_equal(finish(start(return_six, by_server())), 6);
    assert_true(mproc_process_is_alive(child));
    assert_int_equal(waitpid(stranger, NULL, WNOHANG), 0);
    const unix_request_t right = {.operation = UNIX_REQUEST_SIGNAL, .creator = self, .pid = pid, .sig = SIGKILL};
    send_request(&family, &right, NULL, 0);
    assert_int_equal(finish(child), -9);
    kill(stranger, SIGKILL);
    assert_int_equal(waitpid(stranger, NULL, 0), stranger);
    check_unharmed(&family);
}

/** In a child: send garbage for as long as its pipe is not closed. */
static int send_garbage(mproc_call_t *call)
{
    family_t family = {.socket = find_socket()};
    unsigned long long random = *(unsigned long long *)mproc_call_data(call, sizeof(unsigned long long));
    char byte;
    const int end = (int)mproc_call_handle(call, 0);
    fcntl(end, F_SETFL, O_NONBLOCK);
    while (read(end, &byte, 1) < 0 && errno == EAGAIN) {
        int fds[8];
        const size_t count = (size_t)(next_random(&random) % 8);
        unix_request_t request = {.operation = (uint32_t)(2 + next_random(&random) % 3), .creator = getpid()};
        make_some(fds, count, &random);
        send_bytes(&family, &request, next_random(&random) % 2 ? sizeof request : 3, fds, count);
        close_some(fds, count);
    }
    return family.socket < 0;
}

/** Children that send garbage as fast as they can, while others are started. */
static void test_garbage_during_starts(void **state)
{
    enum { SENDERS = 2 };
    family_t family;
    mproc_process_t *senders[SENDERS];
    apr_file_t *reader, *writer;
    unsigned long long random = choose_seed();
    (void)state;
    found(&family);
    make_pipe(&reader, &writer);
    mproc_process_opts_t opts = by_server();
    const mproc_os_handle_t handle = handle_of(reader);
    opts.handles = &handle;
    opts.handle_count = 1;
    opts.data = &random;
    opts.size = sizeof random;
    for (int i = 0; i < SENDERS; i++) {
        senders[i] = start(send_garbage, opts);
        next_random(&random);
    }
    for (int i = 0; i < 50; i++)
        assert_int_equal(finish(start(return_six, by_server())), 6);
    apr_file_close(writer);
    apr_file_close(reader);
    for (int i = 0; i < SENDERS; i++)
        assert_int_equal(finish(senders[i]), 0);
    check_unharmed(&family);
}

/* ---- Out of descriptors ------------------------------------------------------------------------------------------ */

/** The server has a descriptor for each child of the family: where that is one too many, it says so. */
static void test_server_out_of_descriptors(void **state)
{
    enum { MOST = 64 };
    mproc_process_t *children[MOST];
    const struct rlimit limit = {MOST, MOST};
    int count = 0;
    (void)state;
    need_proc();
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    const mproc_process_opts_t opts = by_server();
    apr_status_t status;
    while ((status = mproc_process_start(&children[count], sleep_on, &opts)) == APR_SUCCESS && count < MOST - 1)
        count++;
    assert_int_equal(status, APR_EMFILE);
    assert_true(count > MOST / 3);
    /* Not once only: each is refused, and nobody is hurt. */
    for (int i = 0; i < 20; i++)
        assert_failure(mproc_process_start(&children[count], sleep_on, &opts), APR_EMFILE);
    for (int i = 0; i < count; i++)
        assert_true(mproc_process_is_alive(children[i]));
    for (int i = 0; i < count; i++)
        assert_success(mproc_process_kill(children[i]));
    for (int i = 0; i < count; i++)
        assert_int_equal(finish(children[i]), -9);
    assert_int_equal(finish(start(return_six, opts)), 6);
    assert_true(has_children_within(server_of(getpid()), 0, 10));
}

/* ---- Killed and stopped ------------------------------------------------------------------------------------------ */

typedef struct starter_t {
    int may_fail; /* the server is being killed */
    int fails;    /* how many starts were refused because of that */
    apr_status_t status;
    int exitcode;
} starter_t;

static _Atomic int stop;
static _Atomic int joined; /* children, by all threads */

/** Start and join until told to stop, or something is as it must not be: then `status` or `exitcode` says what. */
static void *APR_THREAD_FUNC start_and_join(apr_thread_t *self, void *data)
{
    starter_t *starter = data;
    const mproc_process_opts_t opts = by_server();
    (void)self;
    while (!atomic_load(&stop)) {
        mproc_process_t *process;
        apr_status_t status = mproc_process_start(&process, return_six, &opts);
        if (status == MPROC_ESTARTUP && starter->may_fail) {
            starter->fails++;
            continue;
        }
        if (status == APR_SUCCESS)
            status = mproc_process_join(process, MPROC_SECONDS(30) * slowdown());
        if (status == APR_SUCCESS)
            status = mproc_process_exitcode(process, &starter->exitcode);
        if (status == APR_SUCCESS)
            status = mproc_process_close(process);
        starter->status = status;
        if (status != APR_SUCCESS || (starter->exitcode != 6 && !(starter->may_fail && starter->exitcode == -9)))
            break;
        atomic_fetch_add(&joined, 1);
    }
    return NULL;
}

enum { STARTERS = 3 };

static void begin_starters(starter_t *starters, apr_thread_t **threads, int may_fail)
{
    for (int i = 0; i < STARTERS; i++) {
        starters[i] = (starter_t){.may_fail = may_fail, .exitcode = 6};
        assert_int_equal(apr_thread_create(&threads[i], NULL, start_and_join, &starters[i], test_pool()), APR_SUCCESS);
    }
}

/** End them and see that all went as it may; the number of starts that failed. */
static int end_starters(const starter_t *starters, apr_thread_t **threads)
{
    int fails = 0;
    apr_status_t ignored;
    atomic_store(&stop, 1);
    for (int i = 0; i < STARTERS; i++)
        apr_thread_join(&ignored, threads[i]);
    for (int i = 0; i < STARTERS; i++) {
        assert_int_equal(starters[i].status, APR_SUCCESS);
        if (starters[i].exitcode != 6)
            assert_true(starters[i].may_fail && starters[i].exitcode == -9);
        fails += starters[i].fails;
    }
    return fails;
}

static void check_nothing_left(int own)
{
    assert_int_equal(finish(start(return_six, by_server())), 6);
    assert_int_equal(children_of(getpid(), NULL, 0), 1); /* the last server, no zombie of another */
    assert_true(has_children_within(server_of(getpid()), 0, 10));
    assert_int_equal(count_descriptors(), own);
    assert_success(mproc_terminate());
    assert_int_equal(children_of(getpid(), NULL, 0), 0);
}

static void test_killed_during_starts(void **state)
{
    starter_t starters[STARTERS];
    apr_thread_t *threads[STARTERS];
    family_t family;
    unsigned long long random = choose_seed();
    int kills = 0;
    (void)state;
    found(&family);
    begin_starters(starters, threads, 1);
    const apr_time_t end = apr_time_now() + apr_time_from_sec(3);
    while (apr_time_now() < end) {
        /* Each server starts somebody before it is killed: no start is refused for being unlucky again and again. */
        const int before = atomic_load(&joined);
        const apr_time_t patience = apr_time_now() + apr_time_from_sec(20) * slowdown();
        while (atomic_load(&joined) == before && apr_time_now() < patience)
            apr_sleep(200);
        assert_int_not_equal(atomic_load(&joined), before);
        apr_sleep((apr_interval_time_t)(next_random(&random) % 15000));
        const int server = server_of(getpid());
        if (server > 0 && kill(server, SIGKILL) == 0)
            kills++;
    }
    const int fails = end_starters(starters, threads);
    printf("%d kills, %d children, %d starts failed\n", kills, atomic_load(&joined), fails);
    assert_true(kills > 10);
    assert_true(fails <= kills / 20);
    check_nothing_left(family.own);
}

static void test_stopped_during_starts(void **state)
{
    starter_t starters[STARTERS];
    apr_thread_t *threads[STARTERS];
    family_t family;
    unsigned long long random = choose_seed();
    (void)state;
    found(&family);
    begin_starters(starters, threads, 0);
    const apr_time_t end = apr_time_now() + apr_time_from_sec(2);
    while (apr_time_now() < end) {
        assert_int_equal(kill(family.server, SIGSTOP), 0);
        apr_sleep((apr_interval_time_t)(next_random(&random) % 20000));
        assert_int_equal(kill(family.server, SIGCONT), 0);
        apr_sleep((apr_interval_time_t)(next_random(&random) % 5000));
    }
    assert_int_equal(end_starters(starters, threads), 0);
    assert_true(atomic_load(&joined) > 10);
    assert_int_equal(server_of(getpid()), family.server);
    check_nothing_left(family.own);
}

/** Starts that were given up while it was stopped: it finds them when it goes on, and starts nobody for them. */
static void test_given_up_while_stopped(void **state)
{
    enum { GIVEN_UP = 5 };
    family_t family;
    mproc_process_t *process;
    const mproc_process_opts_t opts = by_server();
    (void)state;
    found(&family);
    process_startup_timeout = MPROC_MILLISECONDS(30);
    kill(family.server, SIGSTOP);
    for (int i = 0; i < GIVEN_UP; i++)
        assert_failure(mproc_process_start(&process, sleep_on, &opts), APR_TIMEUP);
    kill(family.server, SIGCONT);
    process_startup_timeout = MPROC_SECONDS(30);
    check_unharmed(&family);
}

/** A program that takes its time before main, if it is told to: its fork server can be killed meanwhile. */
static void __attribute__((constructor)) dawdle(void)
{
    if (getenv("MPROC_TEST_DAWDLE"))
        usleep(200000);
}

/** Kill the first servers, which have not answered yet. */
static void *kill_the_first(void *data)
{
    int last = 0;
    for (int *left = data; *left > 0;) {
        const int server = server_of(getpid());
        if (server <= 0 || server == last)
            continue;
        apr_sleep(20000); /* it is watched by now: else nobody could know how it ended */
        kill(server, SIGKILL);
        last = server;
        --*left;
    }
    return NULL;
}

/** Whether the system still knows how a process ended that was reaped already (Linux since 6.15). */
static int system_remembers_ends(void)
{
    int status = 0;
    const pid_t child = fork();
    if (child == 0)
        _exit(5);
    const int sentinel = unix_sentinel_open(child);
    assert_int_equal(waitpid(child, NULL, 0), child);
    const int known = unix_sentinel_status(sentinel, &status) == 0 && WIFEXITED(status) && WEXITSTATUS(status) == 5;
    unix_close(sentinel);
    return known;
}

/** A program that ignores the ends of its children does not reap its server: killed all the same, it is replaced. */
static void test_killed_while_ends_are_ignored(void **state)
{
    enum { KILLS = 3 };
    const mproc_process_opts_t opts = by_server();
    int left = KILLS;
    pthread_t thread;
    mproc_process_t *process;
    (void)state;
    need_proc();
    if (!system_remembers_ends())
        skip_because("this system does not tell how a process ended that was not waited for");
    signal(SIGCHLD, SIG_IGN);
    setenv("MPROC_TEST_DAWDLE", "1", 1);
    assert_int_equal(pthread_create(&thread, NULL, kill_the_first, &left), 0);
    assert_success(mproc_process_start(&process, return_six, &opts));
    pthread_join(thread, NULL);
    assert_int_equal(finish(process), 6);
}

static void *continue_later(void *server)
{
    sleep(4); /* each signal is tried for a second */
    kill(*(const int *)server, SIGCONT);
    return NULL;
}

static int ignore_term(mproc_call_t *call)
{
    signal(SIGTERM, SIG_IGN);
    write_and_close(mproc_call_handle(call, 0), "ready");
    return sleep_on(call);
}

/** While the server is stopped and its queue is full, no signal gets through: an end tries again until it does. */
static void test_end_while_server_is_stopped(void **state)
{
    family_t family;
    pthread_t thread; /* not of APR, which ends with the library */
    (void)state;
    found(&family);
    char text[16];
    apr_file_t *reader;
    mproc_process_opts_t opts = by_server();
    opts.daemon = 1;
    opts.grace = MPROC_MILLISECONDS(1);
    start_writing(&reader, ignore_term, opts);
    read_all(reader, text, sizeof text);
    assert_string_equal(text, "ready");
    const unix_request_t nothing = {.operation = 0};
    kill(family.server, SIGSTOP);
    while (send(family.socket, &nothing, sizeof nothing, MSG_DONTWAIT) > 0) {}
    assert_int_equal(pthread_create(&thread, NULL, continue_later, &family.server), 0);
    assert_success(mproc_terminate());
    pthread_join(thread, NULL);
    assert_int_equal(children_of(getpid(), NULL, 0), 0);
}

/** A server that stays stopped does not keep its creator from ending. */
static void test_end_without_server(void **state)
{
    int pids[2];
    family_t family;
    (void)state;
    found(&family);
    kill(family.server, SIGSTOP);
    assert_success(mproc_terminate());
    assert_int_equal(children_of(getpid(), pids, 2), 0);
}

/** The root is killed while the server is stopped: nobody lives on, nor waits for the server to go on. */
static void test_root_killed_while_stopped(void **state)
{
    int pids[2];
    (void)state;
    need_proc();
    fflush(NULL);
    const pid_t root = fork();
    if (root == 0) {
        mproc_process_t *process;
        mproc_process_opts_t opts = by_server();
        for (int i = 0; i < 2; i++)
            if (mproc_process_start(&process, sleep_on, &opts) != APR_SUCCESS)
                _exit(1);
        for (;;)
            pause();
    }
    const int server = server_within(root, 30);
    assert_true(server > 0); /* 0 would be all of this test's group */
    assert_true(has_children_within(server, 2, 30));
    children_of(server, pids, 2);
    kill(server, SIGSTOP);
    kill(root, SIGKILL);
    assert_int_equal(waitpid(root, NULL, 0), root);
    assert_true(is_gone_within(server, 10));
    assert_true(is_gone_within(pids[0], 10));
    assert_true(is_gone_within(pids[1], 10));
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_datagrams),
        cmocka_unit_test(test_random_requests),
        cmocka_unit_test(test_lying_requests),
        cmocka_unit_test(test_full_status_pipe),
        cmocka_unit_test(test_signals_for_others),
        cmocka_unit_test(test_garbage_during_starts),
        cmocka_unit_test(test_server_out_of_descriptors),
        cmocka_unit_test(test_killed_during_starts),
        cmocka_unit_test(test_stopped_during_starts),
        cmocka_unit_test(test_given_up_while_stopped),
        cmocka_unit_test(test_killed_while_ends_are_ignored),
        cmocka_unit_test(test_root_killed_while_stopped),
        cmocka_unit_test(test_end_while_server_is_stopped),
        cmocka_unit_test(test_end_without_server),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
