/* SPDX-License-Identifier: Apache-2.0 */
/* What only Unix has of connections and listeners: frames, plain pipes, signals, paths, other users. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/harness.h"
#include "support/messages.h"
#include "support/support.h"

/** A connection, and at its other end a bare socket. */
static int open_raw(mproc_conn_t **conn, const mproc_conn_opts_t *opts)
{
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    assert_success(mproc_conn_open(conn, ends[0], opts));
    return ends[1];
}

static void write_raw(int fd, const void *bytes, size_t size)
{
    assert_int_equal(send(fd, bytes, size, 0), size);
}

/* ---- Frames ------------------------------------------------------------------------------------------------------ */

static void test_byte_by_byte(void **state)
{
    static const char frames[] = "\0\0\0\5hello\0\0\0\0\xff\xff\xff\xff\0\0\0\0\0\0\0\3xyz";
    static const char *const texts[] = {"hello", "", "xyz"};
    static const size_t ends[] = {9, 13, 28};
    mproc_conn_t *conn;
    size_t message = 0;
    (void)state;
    const int peer = open_raw(&conn, NULL);
    for (size_t i = 0; i < sizeof frames - 1; i++) {
        void *data;
        size_t size;
        assert_failure(mproc_conn_recv(conn, &data, &size, 0), APR_TIMEUP);
        write_raw(peer, frames + i, 1);
        assert_success(mproc_conn_poll(conn, 0));
        if (i + 1 < ends[message])
            continue;
        assert_success(mproc_conn_recv(conn, &data, &size, 0));
        assert_int_equal(size, strlen(texts[message]));
        assert_string_equal(data, texts[message++]);
        mproc_free(data);
    }
    assert_int_equal(message, 3);
    assert_success(mproc_conn_send(conn, "abc", 3, 0));
    assert_success(mproc_conn_send(conn, NULL, 0, 0));
    char sent[16];
    assert_int_equal(recv(peer, sent, sizeof sent, 0), 11);
    assert_memory_equal(sent, "\0\0\0\3abc\0\0\0\0", 11);
    close(peer);
    assert_success(mproc_conn_close(conn));
}

static void expect_verdict(const char *bytes, size_t size, apr_status_t expected)
{
    mproc_conn_t *conn;
    const int peer = open_raw(&conn, NULL);
    mproc_attachments_t none = {NULL, 0, NULL, 0};
    void *data;
    size_t got;
    char buffer[4];
    write_raw(peer, "\0\0\0\1a", 5); /* what came before is sound */
    write_raw(peer, bytes, size);
    assert_success(mproc_conn_recv_exactly(conn, buffer, 1, patience()));
    if (expected == MPROC_ETRUNCATED)
        close(peer);
    for (int i = 0; i < 2; i++) {
        assert_failure(mproc_conn_recv_with(conn, &data, &got, &none, patience()), expected);
        assert_failure(mproc_conn_recv(conn, &data, &got, patience()), expected);
        assert_failure(mproc_conn_discard(conn, patience()), expected);
        assert_success(mproc_conn_poll(conn, 0));
    }
    if (expected != MPROC_ETRUNCATED)
        close(peer);
    assert_success(mproc_conn_close(conn));
}

static void test_bad_frames(void **state)
{
    (void)state;
    expect_verdict("\0", 1, MPROC_ETRUNCATED);
    expect_verdict("\0\0\0", 3, MPROC_ETRUNCATED);
    expect_verdict("\0\0\0\5", 4, MPROC_ETRUNCATED);
    expect_verdict("\0\0\0\5hell", 8, MPROC_ETRUNCATED);
    expect_verdict("\xff\xff\xff\xff\0\0", 6, MPROC_ETRUNCATED);
    expect_verdict("\xff\xff\xff\xff\0\0\0\0\0\0\0\5h", 13, MPROC_ETRUNCATED);
    expect_verdict("\xff\xff\xff\xfd", 4, MPROC_EPROTOCOL);
    expect_verdict("\x80\0\0\0", 4, MPROC_EPROTOCOL);
    expect_verdict("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12, MPROC_EPROTOCOL);
}

/** Lengths that are not true cost time and memory as little as true ones of what came. */
static void test_false_lengths(void **state)
{
    static const char *const headers[] = {"\x7f\xff\xff\xff", "\xff\xff\xff\xff\0\0\1\0\0\0\0\0",
                                          "\xff\xff\xff\xff\x3f\xff\xff\xff\xff\xff\xff\xff"};
    (void)state;
    for (int i = 0; i < 3; i++) {
        mproc_conn_t *conn;
        void *data;
        size_t size;
        const int peer = open_raw(&conn, NULL);
        write_raw(peer, headers[i], i ? 12 : 4);
        write_raw(peer, "some", 4);
        const apr_time_t begin = apr_time_now();
        assert_failure(mproc_conn_recv(conn, &data, &size, 0), APR_TIMEUP);
        assert_failure(mproc_conn_recv(conn, &data, &size, 20000), APR_TIMEUP);
        assert_failure(mproc_conn_recv_into(conn, &data, sizeof data, &size, 0), MPROC_ETOOBIG);
        assert_true(size >= 0x7fffffff);
        assert_failure(mproc_conn_discard(conn, 20000), APR_TIMEUP);
        assert_true(apr_time_now() - begin < patience());
        close(peer);
        assert_failure(mproc_conn_recv(conn, &data, &size, patience()), MPROC_ETRUNCATED);
        assert_success(mproc_conn_close(conn));
    }
}

/** A child that writes to its end what it is given as data, and then waits until it is told to end. */
static int write_and_wait(mproc_call_t *call)
{
    size_t size;
    const char *bytes = mproc_call_bytes(call, &size);
    char byte;
    const int fd = (int)mproc_call_handle(call, 0);
    if (send(fd, bytes, size, 0) != (ssize_t)size)
        return 1;
    while (recv(fd, &byte, 1, 0) > 0) {}
    close(fd);
    return 0;
}

/** Under every method: never blocked beyond the timeout by a child that behaves badly. */
static void test_child_with_bad_frames(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
        apr_status_t status, at_end;
    } cases[] = {{"\0\0\0\5he", 6, APR_TIMEUP, MPROC_ETRUNCATED},
                 {"\0\0", 2, APR_TIMEUP, MPROC_ETRUNCATED},
                 {"\x7f\xff\xff\xffsome", 8, APR_TIMEUP, MPROC_ETRUNCATED},
                 {"\xff\xff\xff\xf0some", 8, MPROC_EPROTOCOL, MPROC_EPROTOCOL}};
    size_t count;
    const mproc_start_method_t *methods = mproc_get_all_start_methods(&count);
    (void)state;
    for (size_t i = 0; i < count * 4; i++) {
        int ends[2];
        mproc_conn_t *conn;
        void *data;
        size_t size;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
        fcntl(ends[0], F_SETFD, FD_CLOEXEC);
        assert_success(mproc_conn_open(&conn, ends[0], NULL));
        const mproc_os_handle_t handle = ends[1];
        const mproc_process_opts_t opts = {.start_method = methods[i / 4],
                                           .data = cases[i % 4].bytes,
                                           .size = cases[i % 4].size,
                                           .handles = &handle,
                                           .handle_count = 1};
        mproc_process_t *process = start(write_and_wait, opts);
        close(ends[1]);
        assert_success(mproc_conn_poll(conn, patience()));
        assert_failure(mproc_conn_recv(conn, &data, &size, 20000), cases[i % 4].status);
        assert_int_equal(shutdown(ends[0], SHUT_WR), 0);
        assert_failure(mproc_conn_recv(conn, &data, &size, patience()), cases[i % 4].at_end);
        assert_int_equal(finish(process), 0);
        assert_success(mproc_conn_close(conn));
    }
}

/* ---- Pipes and sockets of the program ---------------------------------------------------------------------------- */

/** Two connections of a plain pipe. */
static void open_pipe(mproc_conn_t **reader, mproc_conn_t **writer)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_success(mproc_conn_open(reader, ends[0], NULL));
    assert_success(mproc_conn_open(writer, ends[1], NULL));
}

static void test_plain_pipe(void **state)
{
    mproc_conn_t *reader, *writer, *first, *second;
    (void)state;
    open_pipe(&reader, &writer);
    assert_failure(mproc_conn_send(reader, "x", 1, 0), MPROC_EDIRECTION);
    assert_failure(mproc_conn_poll(writer, 0), MPROC_EDIRECTION);
    for (unsigned i = 0; i < 20; i++) {
        assert_success(send_bytes(writer, i * 1000, i, patience()));
        assert_success(expect_bytes(reader, i * 1000, i, patience()));
    }
    assert_failure(mproc_conn_recv_into(reader, NULL, 0, NULL, 0), APR_TIMEUP); /* though the pipe waits */
    apr_status_t status;
    unsigned count = 0;
    while ((status = send_bytes(writer, 1000, count, 0)) == APR_SUCCESS)
        count++;
    assert_true(status == APR_TIMEUP || status == MPROC_EUNFINISHED);
    for (unsigned i = 0; i < count; i++)
        assert_success(expect_bytes(reader, 1000, i, 0));
    assert_success(mproc_conn_flush(writer, patience()));
    if (status == MPROC_EUNFINISHED)
        assert_success(expect_bytes(reader, 1000, count, patience()));
    make_conns(&first, &second);
    assert_failure(mproc_conn_send_conn(writer, first, 0), APR_ENOTIMPL);
    assert_success(send_bytes(first, 10, 1, 0)); /* as before */
    assert_success(expect_bytes(second, 10, 1, 0));
    close_both(first, second);
    /* A pipe moves, too. */
    make_conns(&first, &second);
    assert_success(send_bytes(writer, 10, 1, 0));
    assert_success(send_bytes(writer, 10, 2, 0));
    assert_success(expect_bytes(reader, 10, 1, 0));
    assert_success(mproc_conn_send_conn(first, reader, 0));
    assert_success(mproc_conn_recv_conn(second, &reader, 0));
    assert_success(expect_bytes(reader, 10, 2, 0));
    close_both(first, second);
    assert_success(mproc_conn_close(writer));
    assert_failure(expect_bytes(reader, 0, 0, patience()), APR_EOF);
    assert_success(mproc_conn_close(reader));
}

typedef struct reading_t {
    mproc_conn_t *conn;
    unsigned count;
    apr_status_t status;
} reading_t;

static void read_slowly(void *context)
{
    reading_t *reading = context;
    reading->status = APR_SUCCESS;
    for (unsigned i = 0; i < reading->count && reading->status == APR_SUCCESS; i++) {
        apr_sleep(1000);
        reading->status = expect_bytes(reading->conn, 20000, i, patience());
    }
}

/** A message that begins while there is room for a part of it is waited for as any other. */
static void test_pipe_that_fills(void **state)
{
    (void)state;
    for (int forever = 0; forever < 2; forever++) {
        reading_t reading = {NULL, 50, APR_SUCCESS};
        mproc_conn_t *writer;
        later_t later;
        open_pipe(&reading.conn, &writer);
        begin_later(&later, 20, read_slowly, &reading);
        for (unsigned i = 0; i < reading.count; i++)
            assert_success(send_bytes(writer, 20000, i, forever ? MPROC_FOREVER : patience()));
        end_later(&later);
        assert_success(reading.status);
        assert_success(mproc_conn_close(reading.conn));
        assert_success(mproc_conn_close(writer));
    }
}

/** A socket of the network is a connection, too, but for attachments. */
static void test_network_socket(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    mproc_conn_t *client, *server, *first, *second;
    later_t later;
    (void)state;
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    const int connecting = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    assert_int_equal(connect(connecting, (struct sockaddr *)&address, size), 0);
    assert_success(mproc_conn_open(&client, connecting, NULL));
    assert_success(mproc_conn_open(&server, accept(listener, NULL, NULL), NULL));
    close(listener);
    reading_t reading = {server, 50, APR_SUCCESS};
    begin_later(&later, 0, read_slowly, &reading);
    for (unsigned i = 0; i < reading.count; i++)
        assert_success(send_bytes(client, 20000, i, patience()));
    end_later(&later);
    assert_success(reading.status);
    make_conns(&first, &second);
    assert_failure(mproc_conn_send_conn(client, first, 0), APR_ENOTIMPL);
    close_both(first, second);
    mproc_peer_t peer;
    assert_failure(mproc_conn_peer(client, &peer), APR_ENOTIMPL);
    assert_success(mproc_conn_close(client));
    assert_failure(expect_bytes(server, 0, 0, patience()), APR_EOF);
    assert_success(mproc_conn_close(server));
}

typedef struct huge_t {
    mproc_conn_t *conn;
    unsigned char *data;
    size_t size;
    apr_status_t status;
} huge_t;

static void send_huge(void *context)
{
    huge_t *huge = context;
    huge->status = mproc_conn_send(huge->conn, huge->data, huge->size, MPROC_FOREVER);
}

/** More than some systems take at once, and more than a frame's first length can tell. */
static void test_message_beyond_three_gibibytes(void **state)
{
    enum { STEP = 1000003 };
    const size_t size = ((size_t)3 << 30) + 12345;
    (void)state;
    if (!getenv("MPROC_TEST_HUGE"))
        skip_because("MPROC_TEST_HUGE is not set: 6 GiB go through a socket and a pipe");
    huge_t huge = {.data = calloc(1, size), .size = size};
    unsigned char *came = malloc(size);
    assert_true(huge.data && came);
    for (size_t i = 0; i < size; i += STEP)
        memcpy(huge.data + i, &i, size - i < sizeof i ? size - i : sizeof i);
    for (int is_pipe = 0; is_pipe < 2; is_pipe++) {
        mproc_conn_t *reader;
        later_t later;
        size_t got = 0;
        if (is_pipe)
            open_pipe(&reader, &huge.conn);
        else
            assert_success(mproc_pipe(&reader, &huge.conn, NULL));
        begin_later(&later, 0, send_huge, &huge);
        assert_success(mproc_conn_recv_into(reader, came, size, &got, MPROC_FOREVER));
        end_later(&later);
        assert_success(huge.status);
        assert_int_equal(got, size);
        assert_int_equal(memcmp(came, huge.data, size), 0);
        assert_success(send_bytes(huge.conn, 100, 1, patience())); /* nothing is left in between */
        assert_success(expect_bytes(reader, 100, 1, patience()));
        assert_success(mproc_conn_close(reader));
        assert_success(mproc_conn_close(huge.conn));
        memset(came, 0, size);
    }
    free(came);
    free(huge.data);
}

typedef struct queued_t {
    mproc_conn_t *conn;
    apr_status_t status;
} queued_t;

static void receive(void *context)
{
    queued_t *queued = context;
    queued->status = expect_bytes(queued->conn, 0, 0, MPROC_FOREVER);
}

/** What the program has opened may be others' as well: a close ends the calls here, without a word to the other end. */
static void test_closed_while_waiting(void **state)
{
    (void)state;
    for (int how = 0; how < 6; how++) {
        const apr_interval_time_t timeout = how % 2 ? MPROC_FOREVER : patience();
        mproc_conn_t *conn, *other = NULL;
        later_t later, laters[3];
        queued_t queued[3];
        int ends[2], peer = -1;
        if (how < 2) {
            peer = open_raw(&conn, NULL);
        } else {
            assert_int_equal(pipe(ends), 0);
            assert_success(mproc_conn_open(how < 4 ? &conn : &other, ends[0], NULL));
            assert_success(mproc_conn_open(how < 4 ? &other : &conn, ends[1], NULL));
        }
        if (how < 4) {
            for (int i = 0; i < 3; i++) {
                queued[i] = (queued_t){conn, APR_SUCCESS};
                begin_later(&laters[i], 0, receive, &queued[i]);
            }
            begin_later(&later, 50, close_conn, conn);
            assert_failure(mproc_conn_poll(conn, timeout), MPROC_ECLOSED);
            for (int i = 0; i < 3; i++) {
                end_later(&laters[i]);
                assert_int_equal(queued[i].status, MPROC_ECLOSED);
            }
        } else {
            begin_later(&later, 50, close_conn, conn);
            assert_failure(send_bytes(conn, HUGE_SIZE, 1, timeout), MPROC_ECLOSED);
        }
        end_later(&later);
        close(peer);
        assert_success(mproc_conn_close(other));
    }
}

/* Counted in whichever thread a signal finds. */
static _Atomic int signals;

static void count_signal(int sig)
{
    (void)sig;
    atomic_fetch_add(&signals, 1);
}

static void test_no_signal(void **state)
{
    mproc_conn_t *reader, *writer;
    (void)state;
    signal(SIGPIPE, count_signal);
    open_pipe(&reader, &writer);
    assert_success(mproc_conn_close(reader));
    for (int i = 0; i < 3; i++)
        assert_failure(send_bytes(writer, 100, 1, patience()), APR_EPIPE);
    assert_success(mproc_conn_close(writer));
    const int peer = open_raw(&writer, NULL);
    close(peer);
    for (int i = 0; i < 3; i++)
        assert_failure(send_bytes(writer, 100000, 1, i % 2 ? MPROC_FOREVER : 0), APR_EPIPE);
    assert_success(mproc_conn_close(writer));
    assert_int_equal(signals, 0);
    raise(SIGPIPE); /* it is not blocked */
    assert_int_equal(signals, 1);
}

static void test_open_refused(void **state)
{
    int ends[2];
    mproc_conn_t *conn;
    (void)state;
    const int null = open("/dev/null", O_RDWR);
    assert_failure(mproc_conn_open(&conn, null, NULL), APR_EINVAL);
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends), 0);
    assert_failure(mproc_conn_open(&conn, ends[0], NULL), APR_EINVAL);
    assert_null(conn);
    assert_int_equal(send(ends[0], "x", 1, 0), 1); /* still the caller's */
    close(ends[0]);
    close(ends[1]);
    close(null);
    assert_failure(mproc_conn_open(&conn, null, NULL), APR_EBADF);
    assert_failure(mproc_conn_open(&conn, (mproc_os_handle_t)((uint64_t)1 << (sizeof conn > 4 ? 40 : 30)), NULL),
                   APR_EBADF);
}

/** Signals that arrive while a call waits neither end it nor make it longer. */
static void ring(void *context)
{
    for (int i = 0; i < 20; i++) {
        kill(getpid(), SIGUSR1);
        apr_sleep(5000);
    }
    (void)context;
}

static void test_interrupted_calls(void **state)
{
    mproc_conn_t *first, *second;
    mproc_listener_t *listener;
    mproc_conn_t *conn;
    later_t later;
    (void)state;
    struct sigaction action = {.sa_handler = count_signal};
    sigaction(SIGUSR1, &action, NULL);
    make_conns(&first, &second);
    assert_success(mproc_listener_create(&listener, NULL, NULL));
    for (int i = 0; i < 4; i++) {
        mproc_wait_t item = mproc_wait_conn(first);
        void *data;
        size_t size;
        begin_later(&later, 0, ring, NULL);
        const apr_time_t begin = apr_time_now();
        if (i == 0)
            assert_failure(mproc_conn_recv(first, &data, &size, 150000), APR_TIMEUP);
        else if (i == 1)
            assert_failure(mproc_wait(&item, 1, 150000), APR_TIMEUP);
        else if (i == 2)
            assert_failure(mproc_listener_accept(listener, &conn, 150000), APR_TIMEUP);
        else
            assert_failure(send_bytes(first, HUGE_SIZE, 1, 150000), MPROC_EUNFINISHED);
        assert_true(apr_time_now() - begin >= 149000 && apr_time_now() - begin < patience());
        end_later(&later);
    }
    assert_true(signals > 0);
    assert_success(mproc_listener_close(listener));
    close_both(first, second);
}

/* ---- What a fork inherits ---------------------------------------------------------------------------------------- */

/** Leave a copy of oneself behind, which does nothing, with all that a fork inherits. */
static int leave_a_copy(mproc_call_t *call)
{
    const pid_t pid = fork();
    if (pid == 0) {
        sleep(60);
        _exit(0);
    }
    return send_bytes(mproc_call_conn(call, 0), 100000, 1, MPROC_FOREVER) == APR_SUCCESS &&
                   mproc_conn_send(mproc_call_conn(call, 0), &pid, sizeof pid, MPROC_FOREVER) == APR_SUCCESS
               ? 0
               : 1;
}

/** The ends of the library are not among it: that the child has ended is seen at once. */
static void test_copy_of_a_child(void **state)
{
    static const mproc_start_method_t methods[] = {MPROC_FORK, MPROC_FORKSERVER, MPROC_SPAWN, MPROC_THREAD};
    (void)state;
    for (int i = 0; i < 4; i++) {
        mproc_process_opts_t opts = {.start_method = methods[i]};
        mproc_conn_t *ours;
        pid_t pid;
        assert_success(mproc_pipe(&ours, &opts.give[0], NULL));
        mproc_process_t *process = start(leave_a_copy, opts);
        assert_success(expect_bytes(ours, 100000, 1, patience()));
        assert_success(mproc_conn_recv_exactly(ours, &pid, sizeof pid, patience()));
        assert_failure(expect_bytes(ours, 0, 0, patience()), APR_EOF);
        assert_true(lives(pid));
        assert_int_equal(finish(process), 0);
        kill(pid, SIGKILL);
        assert_success(mproc_conn_close(ours));
    }
}

/* ---- Moves that fail -------------------------------------------------------------------------------------------- */

/** Make the system take little at once, so that a message of some size goes in parts. */
static void give_little_room(mproc_conn_t *conn)
{
    const int room = 1; /* the least that there is */
    mproc_os_handle_t handle;
    assert_success(mproc_conn_fileno(conn, &handle));
    assert_int_equal(setsockopt((int)handle, SOL_SOCKET, SO_SNDBUF, &room, sizeof room), 0);
}

/** Ends that were sent with a message whose rest cannot go out any more are not lost: they are as before. */
static void test_moves_that_fail_in_the_middle(void **state)
{
    static const char data[30000];
    (void)state;
    for (int how = 0; how < 4; how++) {
        mproc_conn_t *carrier, *other, *first, *second;
        later_t later;
        make_conns(&carrier, &other);
        make_conns(&first, &second);
        give_little_room(carrier);
        const mproc_attachments_t attachments = {&second, 1, NULL, 0};
        const apr_interval_time_t timeout = how / 2 ? MPROC_FOREVER : patience();
        begin_later(&later, 20, close_conn, how % 2 ? carrier : other);
        assert_failure(mproc_conn_send_with(carrier, data, sizeof data, &attachments, timeout),
                       how % 2 ? MPROC_ECLOSED : APR_EPIPE);
        end_later(&later);
        if (how % 2)
            assert_failure(mproc_conn_discard(other, patience()), MPROC_ETRUNCATED);
        mproc_conn_close(how % 2 ? other : carrier);
        assert_success(send_bytes(first, 100, 1, 0));
        assert_success(expect_bytes(second, 100, 1, 0));
        assert_success(mproc_conn_close(second));
        expect_end(first); /* and there is no other copy */
    }
}

/** A wait takes any number of items, also more than there may be descriptors. */
static void test_more_items_than_descriptors(void **state)
{
    enum { MANY = 5000, LIMIT = 64 };
    static mproc_wait_t items[MANY];
    struct rlimit before, limit;
    mproc_conn_t *first, *second;
    (void)state;
    assert_success(mproc_pipe(&first, &second, NULL));
    items[MANY / 2] = mproc_wait_conn(first);
    items[MANY - 1] = mproc_wait_conn(second);
    getrlimit(RLIMIT_NOFILE, &before);
    limit = before;
    limit.rlim_cur = LIMIT;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    for (int i = 0; i < 2; i++) {
        assert_failure(mproc_wait(items, MANY, 0), APR_TIMEUP);
        assert_failure(mproc_wait(items, MANY, 1000), APR_TIMEUP);
        assert_success(mproc_conn_send(first, "x", 1, 0));
        assert_success(mproc_wait(items, MANY, i ? MPROC_FOREVER : 0));
        for (int k = 0; k < MANY; k++)
            assert_int_equal(items[k].is_ready, k == MANY - 1);
        assert_success(mproc_conn_discard(second, 0));
    }
    /* What is no descriptor is still told, and where it is. */
    items[MANY / 3] = mproc_wait_handle(MPROC_NO_HANDLE);
    assert_failure(mproc_wait(items, MANY, MPROC_FOREVER), APR_EBADF);
    for (int k = 0; k < MANY; k++)
        assert_int_equal(items[k].status, k == MANY / 3 ? APR_EBADF : APR_SUCCESS);
    setrlimit(RLIMIT_NOFILE, &before);
    assert_success(mproc_conn_close(first));
    assert_success(mproc_conn_close(second));
}

/* ---- Paths ------------------------------------------------------------------------------------------------------- */

static char folder[64];

static const char *path_in_folder(const char *name)
{
    static char path[128];
    if (!folder[0]) {
        snprintf(folder, sizeof folder, "/tmp/mproc-test-XXXXXX");
        assert_non_null(mkdtemp(folder));
    }
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void expect_works(mproc_listener_t *listener, const char *address)
{
    mproc_conn_t *client, *server;
    assert_success(mproc_connect(&client, address, NULL, 0));
    assert_success(mproc_listener_accept(listener, &server, patience()));
    assert_success(send_bytes(client, 10, 1, 0));
    assert_success(expect_bytes(server, 10, 1, patience()));
    assert_success(mproc_conn_close(client));
    assert_success(mproc_conn_close(server));
}

static void test_paths(void **state)
{
    mproc_listener_t *listener, *other;
    mproc_conn_t *conn;
    struct stat found;
    char longest[200];
    (void)state;
    const char *path = path_in_folder("socket");
    assert_success(mproc_listener_create(&listener, path, NULL));
    assert_string_equal(mproc_listener_address(listener), path);
    assert_int_equal(stat(path, &found), 0);
    assert_true(S_ISSOCK(found.st_mode));
    assert_int_equal(found.st_mode & 0777, 0600);
    expect_works(listener, path);
    assert_failure(mproc_listener_create(&other, path, NULL), APR_EEXIST);
    assert_success(mproc_listener_close(listener));
    assert_int_equal(stat(path, &found), -1);
    /* For all. */
    const mproc_listener_opts_t opts = {.any_user = 1};
    assert_success(mproc_listener_create(&listener, path, &opts));
    assert_int_equal(stat(path, &found), 0);
    assert_int_equal(found.st_mode & 0777, 0666);
    /* A path that is another's by now is not removed. */
    assert_int_equal(unlink(path), 0);
    assert_success(mproc_listener_create(&other, path, NULL));
    assert_success(mproc_listener_close(listener));
    expect_works(other, path);
    assert_success(mproc_listener_close(other));
    /* A file of another kind is not replaced. */
    fclose(fopen(path, "we"));
    assert_failure(mproc_listener_create(&listener, path, NULL), APR_EEXIST);
    assert_int_equal(stat(path, &found), 0);
    unlink(path);
    memset(longest, 'n', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    memcpy(longest, "/tmp/", 5);
    assert_failure(mproc_listener_create(&listener, longest, NULL), APR_ENAMETOOLONG);
    assert_failure(mproc_connect(&conn, longest, NULL, 0), APR_ENAMETOOLONG);
    assert_failure(mproc_listener_create(&listener, "/no/such/folder/socket", NULL), APR_ENOENT);
    assert_failure(mproc_connect(&conn, "/no/such/folder/socket", NULL, 0), APR_ENOENT);
    assert_int_equal(rmdir(folder), 0); /* nothing is left in it */
}

/** The folder of names is this user's alone, and a name in it, too. */
static void test_folder_of_names(void **state)
{
    mproc_listener_t *listener;
    struct stat found;
    char path[256];
    (void)state;
    assert_success(mproc_listener_create(&listener, NULL, NULL));
    snprintf(path, sizeof path, "%s", mproc_listener_address(listener));
    assert_int_equal(stat(path, &found), 0);
    assert_int_equal(found.st_mode & 0777, 0600);
    *strrchr(path, '/') = '\0';
    assert_int_equal(lstat(path, &found), 0);
    assert_true(S_ISDIR(found.st_mode));
    assert_int_equal(found.st_mode & 07777, 0700);
    assert_int_equal(found.st_uid, geteuid());
    assert_success(mproc_listener_close(listener));
}

/** A bare socket at a path. */
static int bind_raw(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strlen(path) + 1);
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/** What a socket that nobody listens on any more left behind is taken over. */
static void test_stale_path(void **state)
{
    mproc_listener_t *listener;
    mproc_conn_t *conn;
    (void)state;
    const char *path = path_in_folder("stale");
    const int fd = bind_raw(path);
    assert_int_equal(listen(fd, 1), 0);
    assert_failure(mproc_listener_create(&listener, path, NULL), APR_EEXIST);
    close(fd);
    assert_failure(mproc_connect(&conn, path, NULL, 0), APR_ENOENT);
    const apr_time_t begin = apr_time_now();
    assert_failure(mproc_connect(&conn, path, NULL, 100000), APR_ENOENT); /* somebody might have come */
    assert_true(apr_time_now() - begin >= 99000 && apr_time_now() - begin < patience());
    assert_success(mproc_listener_create(&listener, path, NULL));
    expect_works(listener, path);
    assert_success(mproc_listener_close(listener));
    assert_int_equal(rmdir(folder), 0);
}

static void listen_raw(void *context)
{
    listen(*(int *)context, 1);
}

/** Who is refused tries again while there is time: at a full listener some systems refuse as at one that is gone. */
static void test_refused_for_a_while(void **state)
{
    mproc_conn_t *conn;
    later_t later;
    (void)state;
    const char *path = path_in_folder("refuses");
    int fd = bind_raw(path);
    assert_failure(mproc_connect(&conn, path, NULL, 0), APR_ENOENT);
    begin_later(&later, 50, listen_raw, &fd);
    assert_success(mproc_connect(&conn, path, NULL, patience()));
    end_later(&later);
    assert_success(mproc_conn_close(conn));
    close(fd);
    unlink(path);
    assert_int_equal(rmdir(folder), 0);
}

/** What a connection to a full listener comes to, by what the system says to a bare socket. */
static apr_status_t refusal_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strlen(path) + 1);
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), -1);
    const apr_status_t status = errno == ECONNREFUSED ? APR_ENOENT : APR_TIMEUP;
    close(fd);
    return status;
}

static void accept_one(void *context)
{
    mproc_conn_t *server;
    if (mproc_listener_accept(context, &server, 0) == APR_SUCCESS)
        mproc_conn_close(server);
}

static void test_full_backlog(void **state)
{
    enum { MOST = 1000 };
    static mproc_conn_t *conns[MOST];
    const mproc_listener_opts_t opts = {.backlog = 1};
    mproc_listener_t *listener;
    mproc_conn_t *late;
    later_t later;
    apr_status_t status = APR_SUCCESS;
    int count = 0;
    (void)state;
    assert_success(mproc_listener_create(&listener, NULL, &opts));
    const char *address = mproc_listener_address(listener);
    while (count < MOST && status == APR_SUCCESS) {
        status = mproc_connect(&conns[count], address, NULL, 0);
        count += status == APR_SUCCESS;
    }
    const apr_status_t expected = refusal_at(address);
    assert_failure(status, expected);
    assert_true(count < 50);
    assert_null(conns[count]);
    assert_failure(mproc_connect(&conns[count], address, NULL, 50000), expected);
    /* When there is room again, it has been worth while to wait. */
    begin_later(&later, 50, accept_one, listener);
    assert_success(mproc_connect(&late, address, NULL, patience()));
    end_later(&later);
    assert_success(mproc_conn_close(late));
    for (int i = 0; i < count; i++) {
        mproc_conn_t *server;
        assert_success(mproc_listener_accept(listener, &server, patience()));
        assert_success(mproc_conn_close(server));
        assert_success(mproc_conn_close(conns[i]));
    }
    assert_success(mproc_connect(&conns[0], address, NULL, 0));
    assert_success(mproc_conn_close(conns[0]));
    assert_success(mproc_listener_close(listener));
}

/* ---- Other users ------------------------------------------------------------------------------------------------- */

/** As another user: try to connect to an address; 0 to 9 for what came of it. */
static int connect_as_other(mproc_call_t *call)
{
    mproc_conn_t *conn;
    mproc_peer_t peer = {0, 1};
    if (setgid(65534) != 0 || setuid(65534) != 0)
        return 50;
    const apr_status_t status = mproc_connect(&conn, mproc_call_string(call, 0), NULL, patience());
    if (status == APR_EACCES)
        return 1;
    if (status == APR_ENOENT)
        return 2;
    if (status != APR_SUCCESS)
        return 3;
    if (mproc_conn_peer(conn, &peer) != APR_SUCCESS || peer.is_same_user)
        return 4;
    return expect_bytes(conn, 10, 1, patience()) == APR_SUCCESS ? 5 : 6;
}

static mproc_process_t *start_other(const char *address)
{
    const mproc_arg_t arg = mproc_arg_string(NULL, address);
    const mproc_process_opts_t opts = {.args = &arg, .arg_count = 1};
    return start(connect_as_other, opts);
}

static void test_other_users(void **state)
{
    const mproc_listener_opts_t any = {.any_user = 1};
    mproc_listener_t *listener;
    mproc_conn_t *conn;
    mproc_peer_t peer;
    (void)state;
    if (geteuid() != 0)
        skip_because("only root can become an ordinary user");
    /* Neither by its address in this user's folder, nor by a path that is open to all. */
    assert_success(mproc_listener_create(&listener, NULL, NULL));
    assert_int_equal(finish(start_other(mproc_listener_address(listener))), 1);
    assert_success(mproc_listener_close(listener));
    const char *path = path_in_folder("open");
    assert_int_equal(chmod(folder, 0755), 0);
    assert_success(mproc_listener_create(&listener, path, NULL));
    assert_int_equal(finish(start_other(path)), 1);
    /* One who gets in all the same is turned away, and the one behind him is served. */
    assert_int_equal(chmod(path, 0666), 0);
    mproc_process_t *process = start_other(path);
    assert_failure(mproc_listener_accept(listener, &conn, 200000), APR_TIMEUP);
    assert_int_equal(finish(process), 6);
    expect_works(listener, path);
    assert_success(mproc_listener_close(listener));
    /* If they may. */
    assert_success(mproc_listener_create(&listener, path, &any));
    process = start_other(path);
    assert_success(mproc_listener_accept(listener, &conn, patience()));
    assert_success(mproc_conn_peer(conn, &peer));
    assert_false(peer.is_same_user);
    assert_success(send_bytes(conn, 10, 1, patience()));
    assert_int_equal(finish(process), 5);
    assert_success(mproc_conn_close(conn));
    assert_success(mproc_listener_close(listener));
    assert_int_equal(rmdir(folder), 0);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_byte_by_byte),
        cmocka_unit_test(test_bad_frames),
        cmocka_unit_test(test_false_lengths),
        cmocka_unit_test(test_child_with_bad_frames),
        cmocka_unit_test(test_plain_pipe),
        cmocka_unit_test(test_pipe_that_fills),
        cmocka_unit_test(test_network_socket),
        cmocka_unit_test(test_message_beyond_three_gibibytes),
        cmocka_unit_test(test_closed_while_waiting),
        cmocka_unit_test(test_no_signal),
        cmocka_unit_test(test_open_refused),
        cmocka_unit_test(test_interrupted_calls),
        cmocka_unit_test(test_copy_of_a_child),
        cmocka_unit_test(test_more_items_than_descriptors),
        cmocka_unit_test(test_moves_that_fail_in_the_middle),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_folder_of_names),
        cmocka_unit_test(test_stale_path),
        cmocka_unit_test(test_refused_for_a_while),
        cmocka_unit_test(test_full_backlog),
        cmocka_unit_test(test_other_users),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
