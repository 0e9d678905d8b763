/* SPDX-License-Identifier: Apache-2.0 */
/*
 * No memory, no descriptors, signals: each call that the library makes of the system and for memory fails once, in
 * every call of connections, listeners and waiting, and while external programs run. Each time the public call succeeds
 * or says why not, nothing is left open or in memory, and the next try works.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "faults.h"
#include "support/harness.h"
#include "support/messages.h"
#include "support/support.h"
#include "waiter.h"

/* ---- Each call of a scenario fails once -------------------------------------------------------------------------- */

/** A call of the library, what it needs, and what is to hold afterwards. */
typedef struct scenario_t {
    void (*begin)(void);
    apr_status_t (*attempt)(void);
    void (*failed)(apr_status_t status); /* after an attempt that failed, before the next one; may be NULL */
    void (*end)(void);                   /* after one that succeeded */
    apr_status_t usual;                  /* what the attempt returns where nothing fails */
} scenario_t;

enum { SMALL = 100, MIDDLE = 30000, LARGE = 500000 };

/* What scenarios work with. */
static struct {
    mproc_conn_t *ours, *theirs;           /* a connection */
    mproc_conn_t *first[2], *second[2];    /* others, of which the second ends are sent through it */
    mproc_conn_t *came[2];                 /* and come */
    mproc_conn_t *inner;                   /* the other end of one that is on its way in one of them */
    mproc_os_handle_t handle, came_handle; /* the writing end of a pipe is sent, too */
    int reader;
    int fds[2];
    mproc_listener_t *listener;
    mproc_shm_t *shm, *other_shm;
    mproc_shareable_list_t *list, *other_list;
    const char *failed; /* the call that did, if one did */
    apr_status_t last;  /* what the attempt has returned */
    int failures;
    apr_status_t peers_status;
    later_t peer;
    void *data;
    size_t size;
    size_t wanted;
    apr_interval_time_t timeout;
    char name[64];
    char path[128];
} the;

static unsigned char large[LARGE];
static unsigned char buffer[LARGE];

/** Whether a status is one of those that a fault may end in. */
static int is_of_fault(apr_status_t status)
{
    static const apr_status_t all[] = {APR_ENOMEM, APR_EMFILE,   APR_ENFILE,    APR_ENOSPC,        APR_TIMEUP,
                                       ENOBUFS,    ETOOMANYREFS, MPROC_EBROKEN, MPROC_EUNFINISHED, APR_EAGAIN};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (status == all[i])
            return 1;
    return 0;
}

/** Go through a scenario with one call failing: whether there were so many. */
static int run_with(const scenario_t *scenario, int number, int choice)
{
    enum { TRIES = 4 };
    memset(&the, 0, sizeof the);
    waiter_terminate(); /* so that the first wait makes what waits have to have */
    scenario->begin();
    fault_begin(number, choice);
    the.last = scenario->attempt();
    const char *failed = fault_end();
    if (failed)
        printf("call %d, %s, choice %d: %d, %s\n", number, failed, choice, the.last, mproc_last_error()->text);
    for (int tries = 0; the.last != scenario->usual; tries++) {
        assert_failure(the.last, the.last);
        assert_true(failed && is_of_fault(the.last) && tries < TRIES);
        the.failures++;
        if (scenario->failed)
            scenario->failed(the.last);
        the.last = scenario->attempt();
    }
    scenario->end();
    the.failed = failed;
    return failed != NULL;
}

/**
 * Go through a scenario with each of its calls failing, in each way. One of them must be a function whose name begins
 * so: else the library makes the call by another one, which faults.c does not know yet.
 */
static void run(const scenario_t *scenario, const char *needed)
{
    enum { MOST = 500 };
    int is_met = 0;
    run_with(scenario, 0, 0); /* what is made once, and kept, is made */
    waiter_terminate();
    const int descriptors = count_descriptors();
    const long blocks = fault_blocks();
    int number = 1;
    for (int choice = 0; choice < FAULT_CHOICES; choice++) {
        for (number = 1; run_with(scenario, number, choice); number++) {
            is_met |= strncmp(the.failed, needed, strlen(needed)) == 0;
            assert_true(number < MOST);
            waiter_terminate();
            assert_int_equal(count_descriptors(), descriptors);
            assert_int_equal(fault_blocks(), blocks);
        }
        assert_true(number > 1);
    }
    assert_true(is_met);
}

/* ---- What scenarios share ---------------------------------------------------------------------------------------- */

static void begin_nothing(void)
{
}

/** With little room in the system, so that large messages go in parts though they are not very large. */
static void begin_conns(void)
{
    const int room = 65536;
    mproc_os_handle_t handle;
    make_conns(&the.ours, &the.theirs);
    assert_success(mproc_conn_fileno(the.ours, &handle));
    assert_int_equal(setsockopt((int)handle, SOL_SOCKET, SO_SNDBUF, &room, sizeof room), 0);
}

/** Both directions work, and nothing but this is in them. */
static void expect_exchange(mproc_conn_t *first, mproc_conn_t *second)
{
    assert_success(send_bytes(first, 100, 1, patience()));
    assert_success(expect_bytes(second, 100, 1, patience()));
    assert_success(send_bytes(second, 200, 2, patience()));
    assert_success(expect_bytes(first, 200, 2, patience()));
    assert_failure(mproc_conn_poll(first, 0), APR_TIMEUP);
    assert_failure(mproc_conn_poll(second, 0), APR_TIMEUP);
}

static void end_conns(void)
{
    expect_exchange(the.ours, the.theirs);
    close_both(the.ours, the.theirs);
}

/* ---- Making ------------------------------------------------------------------------------------------------------ */

static apr_status_t attempt_pipe(void)
{
    the.ours = the.theirs = (mproc_conn_t *)&the;
    return mproc_pipe(&the.ours, &the.theirs, NULL);
}

static void failed_pipe(apr_status_t status)
{
    assert_int_not_equal(status, APR_TIMEUP);
    assert_null(the.ours);
    assert_null(the.theirs);
}

static void test_pipe(void **state)
{
    static const scenario_t scenario = {begin_nothing, attempt_pipe, failed_pipe, end_conns, APR_SUCCESS};
    (void)state;
    run(&scenario, "socketpair");
}

/** What the library keeps for as many connections as there have been grows in between. */
static void test_many_pipes(void **state)
{
    enum { MANY = 200 };
    static mproc_conn_t *first[MANY], *second[MANY];
    int failures = 0;
    struct rlimit limit;
    (void)state;
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < 2 * MANY + 100) {
        limit.rlim_cur = 2 * MANY + 100;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    }
    const int descriptors = count_after_waiting();
    for (int i = 0; i < MANY; i++) {
        apr_status_t status = APR_ENOMEM;
        for (int number = 1; status != APR_SUCCESS; number++) {
            fault_begin(number, i);
            status = mproc_pipe(&first[i], &second[i], NULL);
            const char *failed = fault_end();
            if (status == APR_SUCCESS)
                break;
            assert_non_null(failed);
            assert_failure(status, status);
            assert_int_equal(count_descriptors(), descriptors + 2 * i);
            failures++;
        }
        expect_exchange(first[i], second[i]);
    }
    assert_true(failures > MANY);
    for (int i = 0; i < MANY; i++)
        close_both(first[i], second[i]);
    assert_int_equal(count_descriptors(), descriptors);
}

static void begin_raw(void)
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, the.fds), 0);
}

static apr_status_t attempt_open(void)
{
    the.ours = (mproc_conn_t *)&the;
    return mproc_conn_open(&the.ours, the.fds[0], NULL);
}

/** The handle is open, and the caller's: not even its flags are others. */
static void failed_open(apr_status_t status)
{
    char byte = 'x';
    assert_int_not_equal(status, APR_TIMEUP);
    assert_null(the.ours);
    assert_int_equal(fcntl(the.fds[0], F_GETFD), 0);
    assert_int_equal(send(the.fds[0], &byte, 1, 0), 1);
    assert_int_equal(recv(the.fds[1], &byte, 1, 0), 1);
}

static void end_open(void)
{
    assert_success(mproc_conn_open(&the.theirs, the.fds[1], NULL));
    end_conns();
}

static void test_open(void **state)
{
    static const scenario_t scenario = {begin_raw, attempt_open, failed_open, end_open, APR_SUCCESS};
    (void)state;
    run(&scenario, "fstat");
}

/** As standard input, whose number is not for the library. */
static void begin_standard(void)
{
    begin_raw();
    assert_int_equal(dup2(the.fds[0], 0), 0);
    close(the.fds[0]);
    the.fds[0] = 0;
}

static void end_standard(void)
{
    assert_int_equal(fcntl(0, F_GETFD), -1); /* it is the connection's, which has another number */
    assert_int_equal(open("/dev/null", O_RDONLY), 0);
    end_open();
}

static void test_open_standard_stream(void **state)
{
    static const scenario_t scenario = {begin_standard, attempt_open, failed_open, end_standard, APR_SUCCESS};
    (void)state;
    close(0);
    assert_int_equal(open("/dev/null", O_RDONLY), 0);
    run(&scenario, "fcntl");
}

/** What only looks at a connection has nothing that could fail. */
static void test_fileno_and_peer(void **state)
{
    mproc_os_handle_t handle;
    mproc_peer_t peer;
    (void)state;
    begin_conns();
    fault_begin(1, 0);
    assert_success(mproc_conn_fileno(the.theirs, &handle));
    assert_success(mproc_conn_peer(the.theirs, &peer));
    assert_null(fault_end());
    end_conns();
}

/* ---- Sending ----------------------------------------------------------------------------------------------------- */

static apr_status_t attempt_send(void)
{
    return mproc_conn_send(the.ours, large, MIDDLE, the.timeout);
}

static apr_status_t attempt_send_small(void)
{
    return mproc_conn_send(the.ours, large, SMALL, the.timeout);
}

/** Nothing of it was sent. */
static void failed_send(apr_status_t status)
{
    assert_int_not_equal(status, MPROC_EBROKEN);
    assert_failure(mproc_conn_poll(the.theirs, 0), APR_TIMEUP);
    assert_success(mproc_conn_flush(the.ours, 0));
}

static void end_send(void)
{
    assert_success(expect_bytes(the.theirs, MIDDLE, 1, 0));
    end_conns();
}

static void end_send_small(void)
{
    assert_success(expect_bytes(the.theirs, SMALL, 1, 0));
    end_conns();
}

static void begin_send_in_time(void)
{
    begin_conns();
    the.timeout = patience();
}

static void test_send(void **state)
{
    static const scenario_t small = {begin_conns, attempt_send_small, failed_send, end_send_small, APR_SUCCESS};
    static const scenario_t at_once = {begin_conns, attempt_send, failed_send, end_send, APR_SUCCESS};
    static const scenario_t in_time = {begin_send_in_time, attempt_send, failed_send, end_send, APR_SUCCESS};
    (void)state;
    fill_bytes(large, MIDDLE, 1);
    run(&at_once, "send");
    run(&in_time, "send");
    fill_bytes(large, SMALL, 1);
    run(&small, "send");
}

/** Without a wait, a part of a message is kept: but for that memory nothing is needed. */
static apr_status_t attempt_send_part(void)
{
    return mproc_conn_send(the.ours, large, LARGE, 0);
}

static void failed_send_part(apr_status_t status)
{
    if (mproc_conn_flush(the.ours, 0) != MPROC_EBROKEN) {
        failed_send(status);
        return;
    }
    /* The rest is lost, which the other end sees when it is closed; but this end still receives. */
    assert_failure(mproc_conn_send(the.ours, "x", 1, 0), MPROC_EBROKEN);
    assert_success(send_bytes(the.theirs, SMALL, 1, 0));
    assert_success(expect_bytes(the.ours, SMALL, 1, 0));
    assert_success(mproc_conn_close(the.ours));
    assert_failure(expect_bytes(the.theirs, LARGE, 1, patience()), MPROC_ETRUNCATED);
    assert_success(mproc_conn_close(the.theirs));
    begin_conns();
}

static void receive_large(void *context)
{
    (void)context;
    the.peers_status = expect_bytes(the.theirs, LARGE, 1, patience());
}

static void end_send_part(void)
{
    begin_later(&the.peer, 0, receive_large, NULL);
    assert_success(mproc_conn_flush(the.ours, patience()));
    end_later(&the.peer);
    assert_success(the.peers_status);
    end_conns();
}

static void test_send_part(void **state)
{
    static const scenario_t scenario = {begin_conns, attempt_send_part, failed_send_part, end_send_part,
                                        MPROC_EUNFINISHED};
    (void)state;
    fill_bytes(large, LARGE, 1);
    run(&scenario, "send");
}

/** A large message, of which a part is sent before each wait, while the other end receives. */
static void begin_send_large(void)
{
    begin_conns();
    the.timeout = patience();
    begin_later(&the.peer, 0, receive_large, NULL);
}

static void begin_send_forever(void)
{
    begin_send_large();
    the.timeout = MPROC_FOREVER;
}

static apr_status_t attempt_send_large(void)
{
    return mproc_conn_send(the.ours, large, LARGE, the.timeout);
}

static void failed_send_large(apr_status_t status)
{
    const apr_interval_time_t timeout = the.timeout;
    if (status != MPROC_EBROKEN)
        return;
    assert_success(mproc_conn_close(the.ours));
    end_later(&the.peer);
    assert_int_equal(the.peers_status, MPROC_ETRUNCATED);
    assert_success(mproc_conn_close(the.theirs));
    begin_send_large();
    the.timeout = timeout;
}

static void end_send_large(void)
{
    end_later(&the.peer);
    assert_success(the.peers_status);
    end_conns();
}

static void test_send_large(void **state)
{
    static const scenario_t in_time = {begin_send_large, attempt_send_large, failed_send_large, end_send_large,
                                       APR_SUCCESS};
    static const scenario_t forever = {begin_send_forever, attempt_send_large, failed_send_large, end_send_large,
                                       APR_SUCCESS};
    (void)state;
    fill_bytes(large, LARGE, 1);
    run(&in_time, "poll");
    run(&forever, "send");
}

static void begin_flush(void)
{
    begin_conns();
    assert_failure(attempt_send_part(), MPROC_EUNFINISHED);
    begin_later(&the.peer, 0, receive_large, NULL);
}

static apr_status_t attempt_flush(void)
{
    return mproc_conn_flush(the.ours, patience());
}

static void test_flush(void **state)
{
    static const scenario_t scenario = {begin_flush, attempt_flush, NULL, end_send_large, APR_SUCCESS};
    (void)state;
    fill_bytes(large, LARGE, 1);
    run(&scenario, "send");
}

/** As the program has it open: no socket, but a pipe. */
static void begin_plain(void)
{
    assert_int_equal(pipe(the.fds), 0);
    assert_success(mproc_conn_open(&the.theirs, the.fds[0], NULL));
    assert_success(mproc_conn_open(&the.ours, the.fds[1], NULL));
}

static void failed_plain(apr_status_t status)
{
    if (mproc_conn_flush(the.ours, 0) != MPROC_EBROKEN) {
        failed_send(status);
        return;
    }
    assert_success(mproc_conn_close(the.ours));
    assert_failure(expect_bytes(the.theirs, MIDDLE, 1, patience()), MPROC_ETRUNCATED);
    assert_success(mproc_conn_close(the.theirs));
    begin_plain();
}

static void end_plain(void)
{
    if (the.data != buffer)
        assert_success(expect_bytes(the.theirs, MIDDLE, 1, patience()));
    close_both(the.ours, the.theirs);
}

static void begin_plain_receive(void)
{
    begin_plain();
    assert_success(send_bytes(the.ours, MIDDLE, 1, patience()));
    the.data = buffer;
}

static apr_status_t attempt_plain_receive(void)
{
    const apr_status_t status = mproc_conn_recv_exactly(the.theirs, buffer, MIDDLE, 0);
    assert_true(status != APR_SUCCESS || are_bytes(buffer, MIDDLE, 1));
    return status;
}

static void test_plain_pipe(void **state)
{
    static const scenario_t sending = {begin_plain, attempt_send, failed_plain, end_plain, APR_SUCCESS};
    static const scenario_t receiving = {begin_plain_receive, attempt_plain_receive, NULL, end_plain, APR_SUCCESS};
    (void)state;
    fill_bytes(large, MIDDLE, 1);
    run(&sending, "write");
    run(&receiving, "readv");
}

/* ---- Receiving --------------------------------------------------------------------------------------------------- */

static void begin_receive(void)
{
    begin_conns();
    the.wanted = MIDDLE;
    assert_success(send_bytes(the.ours, MIDDLE, 1, 0));
    assert_success(send_bytes(the.ours, SMALL, 2, 0));
}

static void send_later(void *context)
{
    (void)context;
    the.peers_status = send_bytes(the.ours, the.wanted, 1, patience());
    if (the.peers_status == APR_SUCCESS)
        the.peers_status = send_bytes(the.ours, SMALL, 2, patience());
}

static void begin_receive_later(void)
{
    begin_conns();
    the.wanted = MIDDLE;
    the.timeout = patience();
    begin_later(&the.peer, 5, send_later, NULL);
}

/** One that comes in parts. */
static void begin_receive_large(void)
{
    begin_conns();
    the.wanted = LARGE;
    the.timeout = patience();
    begin_later(&the.peer, 0, send_later, NULL);
}

static void begin_receive_forever(void)
{
    begin_receive_large();
    the.timeout = MPROC_FOREVER;
}

static apr_status_t attempt_receive(void)
{
    the.data = &the;
    return mproc_conn_recv(the.theirs, &the.data, &the.size, the.timeout);
}

static apr_status_t attempt_receive_with(void)
{
    mproc_attachments_t none = {NULL, 0, NULL, 0};
    the.data = &the;
    return mproc_conn_recv_with(the.theirs, &the.data, &the.size, &none, the.timeout);
}

static apr_status_t attempt_receive_into(void)
{
    the.data = NULL;
    return mproc_conn_recv_into(the.theirs, buffer, sizeof buffer, &the.size, the.timeout);
}

static apr_status_t attempt_receive_exactly(void)
{
    the.data = NULL;
    the.size = the.wanted;
    return mproc_conn_recv_exactly(the.theirs, buffer, the.wanted, the.timeout);
}

static apr_status_t attempt_discard(void)
{
    the.data = NULL;
    the.size = 0;
    return mproc_conn_discard(the.theirs, the.timeout);
}

/** It is still the next message, or if that is said there was no memory for what had come of it: then it is lost. */
static void failed_receive(apr_status_t status)
{
    assert_null(the.data);
    if (status != MPROC_EBROKEN)
        return;
    assert_failure(mproc_conn_recv(the.theirs, &the.data, &the.size, 0), MPROC_EBROKEN);
    assert_success(mproc_conn_close(the.theirs));
    end_later(&the.peer);
    assert_int_equal(the.peers_status, APR_EPIPE);
    assert_success(mproc_conn_close(the.ours));
    begin_receive_large();
}

static void end_receive(void)
{
    if (the.size) {
        assert_int_equal(the.size, the.wanted);
        assert_true(are_bytes(the.data ? the.data : buffer, the.size, 1));
        mproc_free(the.data);
    }
    assert_success(expect_bytes(the.theirs, SMALL, 2, patience()));
    if (the.peer.thread)
        end_later(&the.peer);
    assert_success(the.peers_status);
    end_conns();
}

static void run_receiving(apr_status_t (*attempt)(void))
{
    void (*const begins[])(void) = {begin_receive, begin_receive_later, begin_receive_large, begin_receive_forever};
    for (size_t i = 0; i < sizeof begins / sizeof begins[0]; i++) {
        const scenario_t scenario = {begins[i], attempt, failed_receive, end_receive, APR_SUCCESS};
        run(&scenario, "recv");
    }
}

static void test_recv(void **state)
{
    (void)state;
    run_receiving(attempt_receive);
}

static void test_recv_with(void **state)
{
    (void)state;
    run_receiving(attempt_receive_with);
}

static void test_recv_into(void **state)
{
    (void)state;
    run_receiving(attempt_receive_into);
}

static void test_recv_exactly(void **state)
{
    (void)state;
    run_receiving(attempt_receive_exactly);
}

static void test_discard(void **state)
{
    (void)state;
    run_receiving(attempt_discard);
}

/** What has come of a message in the caller's memory is kept by the library. */
static void begin_receive_part(void)
{
    begin_conns();
    the.wanted = LARGE;
    fill_bytes(large, LARGE, 1);
    assert_failure(attempt_send_part(), MPROC_EUNFINISHED);
}

static void flush_later(void *context)
{
    (void)context;
    the.peers_status = mproc_conn_flush(the.ours, patience());
    if (the.peers_status == APR_SUCCESS)
        the.peers_status = send_bytes(the.ours, SMALL, 2, patience());
}

/** The attempt has ended without all of the message, as is usual; another one gets it, unless that was lost. */
static void end_receive_part(void)
{
    the.timeout = patience();
    begin_later(&the.peer, 0, flush_later, NULL);
    const apr_status_t status = attempt_receive_into();
    if (status == APR_SUCCESS) {
        end_receive();
        return;
    }
    assert_failure(status, MPROC_EBROKEN);
    assert_success(mproc_conn_close(the.theirs));
    end_later(&the.peer);
    assert_int_equal(the.peers_status, APR_EPIPE);
    assert_success(mproc_conn_close(the.ours));
}

static void test_recv_part(void **state)
{
    static const scenario_t scenario = {begin_receive_part, attempt_receive_into, NULL, end_receive_part, APR_TIMEUP};
    (void)state;
    run(&scenario, "recv");
}

/* ---- Ends that move ---------------------------------------------------------------------------------------------- */

/** Two ends, of which one has read a message ahead that brings another, and one a part of a message; and a pipe. */
static void begin_move(void)
{
    static const char part[1004] = "\0\0\x13\x88"; /* of a message of 5000 bytes */
    mproc_conn_t *inner;
    char byte;
    int ends[2];
    begin_conns();
    make_conns(&the.first[0], &the.second[0]);
    make_conns(&the.inner, &inner);
    assert_success(send_bytes(the.first[0], SMALL, 0, 0));
    assert_success(mproc_conn_send_conn(the.first[0], inner, 0));
    assert_success(send_bytes(the.first[0], SMALL, 1, 0));
    assert_success(expect_bytes(the.second[0], SMALL, 0, 0));
    begin_raw();
    assert_success(mproc_conn_open(&the.second[1], the.fds[0], NULL));
    assert_int_equal(send(the.fds[1], part, sizeof part, 0), sizeof part);
    assert_failure(mproc_conn_recv(the.second[1], &the.data, &the.size, 0), APR_TIMEUP);
    assert_failure(mproc_conn_recv_into(the.second[1], &byte, 1, NULL, 0), MPROC_ETOOBIG);
    assert_int_equal(pipe(ends), 0);
    the.reader = ends[0];
    the.handle = ends[1];
}

static apr_status_t attempt_move(void)
{
    const mproc_attachments_t attachments = {the.second, 2, &the.handle, 1};
    return mproc_conn_send_with(the.ours, "moved", 6, &attachments, 0);
}

/** Nothing was sent, and the ends are as before. */
static void failed_move(apr_status_t status)
{
    assert_int_not_equal(status, MPROC_EBROKEN);
    assert_failure(mproc_conn_poll(the.theirs, 0), APR_TIMEUP);
    assert_success(mproc_conn_poll(the.second[0], 0));
    assert_failure(mproc_conn_poll(the.second[1], 0), APR_TIMEUP);
}

static apr_status_t attempt_take(void)
{
    mproc_attachments_t attachments = {the.came, 2, &the.came_handle, 1};
    the.data = &the;
    return mproc_conn_recv_with(the.theirs, &the.data, &the.size, &attachments, 0);
}

/** What came is what was sent. */
static void end_take(void)
{
    mproc_conn_t *inner;
    char rest[4000] = "", byte;
    assert_int_equal(the.size, 6);
    assert_string_equal(the.data, "moved");
    mproc_free(the.data);
    assert_success(mproc_conn_recv_conn(the.came[0], &inner, 0));
    expect_exchange(the.inner, inner);
    close_both(the.inner, inner);
    assert_success(expect_bytes(the.came[0], SMALL, 1, 0));
    expect_exchange(the.first[0], the.came[0]);
    close_both(the.first[0], the.came[0]);
    assert_int_equal(send(the.fds[1], rest, sizeof rest, 0), sizeof rest);
    assert_success(mproc_conn_recv_exactly(the.came[1], buffer, 5000, 0));
    assert_success(mproc_conn_close(the.came[1]));
    assert_int_equal(recv(the.fds[1], &byte, 1, 0), 0);
    close(the.fds[1]);
    assert_int_equal(close((int)the.handle), 0);
    assert_int_equal(write((int)the.came_handle, "x", 1), 1);
    assert_int_equal(close((int)the.came_handle), 0);
    assert_int_equal(read(the.reader, &byte, 1), 1);
    assert_int_equal(read(the.reader, &byte, 1), 0); /* no duplicate is left */
    close(the.reader);
    end_conns();
}

static void end_move(void)
{
    for (int i = 0; i < 2; i++)
        assert_failure(mproc_conn_poll(the.second[i], 0), MPROC_ECLOSED);
    assert_success(attempt_take());
    end_take();
}

static void test_send_with(void **state)
{
    static const scenario_t scenario = {begin_move, attempt_move, failed_move, end_move, APR_SUCCESS};
    (void)state;
    run(&scenario, "send");
}

/* One that cannot go at once: the ends are its receiver's as soon as it is known to go on, and not before. */

static void take_slowly(void *context)
{
    mproc_attachments_t attachments = {the.came, 2, &the.came_handle, 1};
    (void)context;
    the.peers_status = mproc_conn_recv_with(the.theirs, &the.data, &the.size, &attachments, patience());
}

static void have_it_slowly(void)
{
    const int room = 1;
    mproc_os_handle_t handle;
    assert_success(mproc_conn_fileno(the.ours, &handle));
    assert_int_equal(setsockopt((int)handle, SOL_SOCKET, SO_SNDBUF, &room, sizeof room), 0);
    begin_later(&the.peer, 5, take_slowly, NULL);
}

static void begin_move_slowly(void)
{
    begin_move();
    have_it_slowly();
}

static apr_status_t attempt_move_slowly(void)
{
    const mproc_attachments_t attachments = {the.second, 2, &the.handle, 1};
    if (the.last == MPROC_EUNFINISHED)
        return mproc_conn_flush(the.ours, patience());
    return mproc_conn_send_with(the.ours, large, MIDDLE, &attachments, patience());
}

static void failed_move_slowly(apr_status_t status)
{
    for (int i = 0; i < 2; i++) {
        const apr_status_t seen = mproc_conn_poll(the.second[i], 0);
        assert_int_equal(seen, status == MPROC_EUNFINISHED ? MPROC_ECLOSED : i == 0 ? APR_SUCCESS : APR_TIMEUP);
    }
    if (status != MPROC_EBROKEN)
        return;
    assert_success(mproc_conn_close(the.ours));
    end_later(&the.peer);
    assert_int_equal(the.peers_status, MPROC_ETRUNCATED);
    assert_success(mproc_conn_close(the.theirs));
    begin_conns();
    have_it_slowly();
}

static void end_move_slowly(void)
{
    end_later(&the.peer);
    assert_success(the.peers_status);
    assert_int_equal(the.size, MIDDLE);
    assert_true(are_bytes(the.data, MIDDLE, 1));
    strcpy(the.data, "moved");
    the.size = 6;
    end_take();
}

static void test_send_with_slowly(void **state)
{
    static const scenario_t scenario = {begin_move_slowly, attempt_move_slowly, failed_move_slowly, end_move_slowly,
                                        APR_SUCCESS};
    (void)state;
    fill_bytes(large, MIDDLE, 1);
    run(&scenario, "eventfd");
}

static void begin_take(void)
{
    begin_move();
    assert_success(attempt_move());
}

/** If the message is lost, that is said, and what was on its way is closed: the other ends see it. */
static void failed_take(apr_status_t status)
{
    char byte;
    assert_null(the.data);
    if (!strstr(mproc_last_error()->text, "lost")) {
        assert_success(mproc_conn_poll(the.theirs, 0));
        return;
    }
    assert_true(status == APR_ENOMEM || status == ENOBUFS);
    expect_end(the.first[0]);
    expect_end(the.inner);
    assert_int_equal(recv(the.fds[1], &byte, 1, 0), 0);
    close(the.fds[1]);
    close((int)the.handle);
    assert_int_equal(read(the.reader, &byte, 1), 0);
    close(the.reader);
    end_conns();
    begin_take();
}

static void test_recv_attachments(void **state)
{
    static const scenario_t scenario = {begin_take, attempt_take, failed_take, end_take, APR_SUCCESS};
    (void)state;
    run(&scenario, "recv");
}

static apr_status_t attempt_take_one(void)
{
    return mproc_conn_recv_conn(the.theirs, &the.came[0], 0);
}

static void begin_take_one(void)
{
    begin_conns();
    make_conns(&the.first[0], &the.second[0]);
    assert_success(mproc_conn_send_conn(the.ours, the.second[0], 0));
}

static void failed_take_one(apr_status_t status)
{
    assert_null(the.came[0]);
    if (!strstr(mproc_last_error()->text, "lost"))
        return;
    assert_true(status == APR_ENOMEM || status == ENOBUFS);
    expect_end(the.first[0]);
    end_conns();
    begin_take_one();
}

static void end_take_one(void)
{
    expect_exchange(the.first[0], the.came[0]);
    close_both(the.first[0], the.came[0]);
    end_conns();
}

static void test_recv_conn(void **state)
{
    static const scenario_t scenario = {begin_take_one, attempt_take_one, failed_take_one, end_take_one, APR_SUCCESS};
    (void)state;
    run(&scenario, "recv");
}

/** A message that is dropped brings no failure of what came with it. */
static apr_status_t attempt_drop(void)
{
    return mproc_conn_discard(the.theirs, 0);
}

static void end_drop(void)
{
    expect_end(the.first[0]);
    end_conns();
}

static void test_discard_attachments(void **state)
{
    static const scenario_t scenario = {begin_take_one, attempt_drop, NULL, end_drop, APR_SUCCESS};
    (void)state;
    run(&scenario, "recv");
}

/* ---- Waiting ----------------------------------------------------------------------------------------------------- */

static apr_status_t attempt_poll(void)
{
    return mproc_conn_poll(the.theirs, the.timeout);
}

static void end_poll(void)
{
    assert_success(attempt_receive());
    end_receive();
}

static void test_poll(void **state)
{
    static const scenario_t at_once = {begin_receive, attempt_poll, NULL, end_poll, APR_SUCCESS};
    static const scenario_t in_time = {begin_receive_later, attempt_poll, NULL, end_poll, APR_SUCCESS};
    (void)state;
    run(&at_once, "poll");
    run(&in_time, "eventfd");
}

enum { ITEMS = 50 };

static mproc_process_t *child;

static int wait_for_end(mproc_call_t *call)
{
    return mproc_conn_poll(mproc_call_conn(call, 0), MPROC_FOREVER) == APR_SUCCESS ? 0 : 1;
}

/** So many that memory is needed for them, of all kinds. */
static apr_status_t attempt_wait(void)
{
    mproc_wait_t items[ITEMS];
    memset(items, 0, sizeof items);
    items[0] = mproc_wait_conn(the.ours);
    items[1] = mproc_wait_conn(the.theirs);
    items[2] = mproc_wait_listener(the.listener);
    items[3] = mproc_wait_handle(the.fds[0]);
    items[4] = mproc_wait_process(child);
    const apr_status_t status = mproc_wait(items, ITEMS, the.timeout);
    for (int i = 0; i < ITEMS; i++) {
        assert_int_equal(items[i].is_ready, status == APR_SUCCESS && i == 1);
        assert_int_equal(items[i].status, APR_SUCCESS);
    }
    return status;
}

static void begin_wait(void)
{
    begin_receive_later();
    begin_raw();
    assert_success(mproc_listener_create(&the.listener, NULL, NULL));
}

static void end_wait(void)
{
    close(the.fds[0]);
    close(the.fds[1]);
    assert_success(mproc_listener_close(the.listener));
    end_poll();
}

static void test_wait(void **state)
{
    static const scenario_t scenario = {begin_wait, attempt_wait, NULL, end_wait, APR_SUCCESS};
    mproc_process_opts_t opts = {.start_method = MPROC_THREAD};
    mproc_conn_t *ours;
    (void)state;
    make_conns(&ours, &opts.give[0]);
    child = start(wait_for_end, opts);
    run(&scenario, "poll");
    assert_success(mproc_conn_close(ours));
    assert_int_equal(finish(child), 0);
}

/* ---- Listeners --------------------------------------------------------------------------------------------------- */

static void make_folder(void)
{
    char folder[] = "/tmp/mproc-test-XXXXXX";
    assert_non_null(mkdtemp(folder));
    snprintf(the.path, sizeof the.path, "%s/socket", folder);
}

/** Nothing is left in it. */
static void remove_folder(void)
{
    *strrchr(the.path, '/') = '\0';
    assert_int_equal(rmdir(the.path), 0);
}

/** What one that was killed has left behind. */
static void begin_stale(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    make_folder();
    memcpy(address.sun_path, the.path, strlen(the.path) + 1);
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    close(fd);
}

static void make_client(void)
{
    assert_success(mproc_connect(&the.theirs, mproc_listener_address(the.listener), NULL, 0));
}

static apr_status_t attempt_listen(void)
{
    the.listener = (mproc_listener_t *)&the;
    return mproc_listener_create(&the.listener, the.path[0] ? the.path : NULL, NULL);
}

static void failed_listen(apr_status_t status)
{
    assert_int_not_equal(status, APR_TIMEUP);
    assert_null(the.listener);
}

static void end_listen(void)
{
    make_client();
    assert_success(mproc_listener_accept(the.listener, &the.ours, 0));
    assert_success(mproc_listener_close(the.listener));
    end_conns();
    if (the.path[0])
        remove_folder();
}

static void test_listen(void **state)
{
    static const scenario_t anywhere = {begin_nothing, attempt_listen, failed_listen, end_listen, APR_SUCCESS};
    static const scenario_t at_stale = {begin_stale, attempt_listen, failed_listen, end_listen, APR_SUCCESS};
    (void)state;
    run(&anywhere, "rename");
    run(&at_stale, "socket");
}

/** Another one that listens keeps its path, whatever fails. */
static void begin_taken(void)
{
    make_folder();
    assert_success(mproc_listener_create(&the.listener, the.path, NULL));
}

static apr_status_t attempt_listen_at_taken(void)
{
    mproc_listener_t *other = (mproc_listener_t *)&the;
    const apr_status_t status = mproc_listener_create(&other, the.path, NULL);
    assert_null(other);
    return status;
}

static void test_listen_at_taken(void **state)
{
    static const scenario_t scenario = {begin_taken, attempt_listen_at_taken, NULL, end_listen, APR_EEXIST};
    (void)state;
    run(&scenario, "lstat");
}

static void begin_accept(void)
{
    assert_success(mproc_listener_create(&the.listener, NULL, NULL));
    make_client();
}

static void connect_later(void *context)
{
    (void)context;
    the.peers_status = mproc_connect(&the.theirs, mproc_listener_address(the.listener), NULL, patience());
}

static void begin_accept_later(void)
{
    assert_success(mproc_listener_create(&the.listener, NULL, NULL));
    the.timeout = patience();
    begin_later(&the.peer, 5, connect_later, NULL);
}

static apr_status_t attempt_accept(void)
{
    the.ours = (mproc_conn_t *)&the;
    return mproc_listener_accept(the.listener, &the.ours, the.timeout);
}

/** Whoever has connected is still there. */
static void failed_accept(apr_status_t status)
{
    assert_int_not_equal(status, MPROC_EBROKEN);
    assert_null(the.ours);
}

static void end_accept(void)
{
    if (the.peer.thread)
        end_later(&the.peer);
    assert_success(the.peers_status);
    assert_success(mproc_listener_close(the.listener));
    end_conns();
}

static void test_accept(void **state)
{
    static const scenario_t at_once = {begin_accept, attempt_accept, failed_accept, end_accept, APR_SUCCESS};
    static const scenario_t in_time = {begin_accept_later, attempt_accept, failed_accept, end_accept, APR_SUCCESS};
    (void)state;
    run(&at_once, "accept");
    run(&in_time, "poll");
}

static void begin_connect(void)
{
    snprintf(the.name, sizeof the.name, "test-faults-%d", mproc_getpid());
    assert_success(mproc_listener_create(&the.listener, the.name, NULL));
}

static apr_status_t attempt_connect(void)
{
    the.theirs = (mproc_conn_t *)&the;
    return mproc_connect(&the.theirs, the.name, NULL, 0);
}

/** Nobody has connected. */
static void failed_connect(apr_status_t status)
{
    assert_int_not_equal(status, MPROC_EBROKEN);
    assert_null(the.theirs);
    assert_failure(mproc_listener_accept(the.listener, &the.ours, 0), APR_TIMEUP);
}

static void end_connect(void)
{
    assert_success(mproc_listener_accept(the.listener, &the.ours, 0));
    assert_success(mproc_listener_close(the.listener));
    end_conns();
}

static void test_connect(void **state)
{
    static const scenario_t scenario = {begin_connect, attempt_connect, failed_connect, end_connect, APR_SUCCESS};
    (void)state;
    run(&scenario, "connect");
}

/* ---- Closing ----------------------------------------------------------------------------------------------------- */

static void begin_close(void)
{
    begin_take();
    assert_failure(mproc_conn_recv(the.theirs, &the.data, &the.size, 0), MPROC_EATTACHED);
    make_folder();
    assert_success(mproc_listener_create(&the.listener, the.path, NULL));
}

/** To close never fails. */
static apr_status_t attempt_close(void)
{
    assert_success(mproc_conn_close(the.theirs));
    assert_success(mproc_conn_close(the.ours));
    return mproc_listener_close(the.listener);
}

static void end_close(void)
{
    char byte;
    expect_end(the.first[0]);
    expect_end(the.inner);
    assert_int_equal(recv(the.fds[1], &byte, 1, 0), 0);
    close(the.fds[1]);
    close((int)the.handle);
    assert_int_equal(read(the.reader, &byte, 1), 0);
    close(the.reader);
    assert_failure(mproc_connect(&the.ours, the.path, NULL, 0), APR_ENOENT);
    assert_success(mproc_listener_create(&the.listener, the.path, NULL)); /* the name is free */
    assert_success(mproc_listener_close(the.listener));
    remove_folder();
}

static void test_close(void **state)
{
    static const scenario_t scenario = {begin_close, attempt_close, NULL, end_close, APR_SUCCESS};
    (void)state;
    run(&scenario, "open");
}

/* ---- Between two steps ------------------------------------------------------------------------------------------- */

/** Two messages come, and a receiver reads both in advance, and takes one. */
static void overtake(void *context)
{
    (void)context;
    assert_success(send_bytes(the.ours, SMALL, 1, 0));
    assert_success(send_bytes(the.ours, SMALL, 2, 0));
    assert_success(expect_bytes(the.theirs, SMALL, 1, 0));
}

/** Who waits and has just seen that there is nothing learns of what another one has read in advance since. */
static void test_read_ahead_by_another(void **state)
{
    (void)state;
    make_conns(&the.ours, &the.theirs);
    for (int i = 0; i < 4; i++) {
        mproc_wait_t items[] = {mproc_wait_conn(the.ours), mproc_wait_conn(the.theirs)};
        fault_before("poll", overtake, NULL);
        if (i % 2)
            assert_success(mproc_wait(items, 2, i / 2 ? MPROC_FOREVER : patience()));
        else
            assert_success(mproc_conn_poll(the.theirs, i / 2 ? MPROC_FOREVER : patience()));
        assert_int_equal(items[1].is_ready, i % 2);
        assert_success(expect_bytes(the.theirs, SMALL, 2, 0));
    }
    end_conns();
}

static void close_two(void *context)
{
    mproc_conn_t **conns = context;
    assert_success(send_bytes(conns[3], 10, 1, 0)); /* to the one before: it is ready */
    for (int i = 0; i < 2; i++)
        assert_success(mproc_conn_close(conns[i]));
}

/** What was closed since whoever waits has looked is told of each, and nothing else is. */
static void test_closed_meanwhile(void **state)
{
    mproc_conn_t *conns[4];
    (void)state;
    make_conns(&conns[0], &conns[1]);
    make_conns(&conns[2], &conns[3]);
    mproc_wait_t items[] = {mproc_wait_conn(conns[2]), mproc_wait_conn(conns[1]), mproc_wait_conn(conns[3]),
                            mproc_wait_conn(conns[0])};
    fault_before("poll", close_two, conns);
    assert_failure(mproc_wait(items, 4, patience()), MPROC_ECLOSED);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(items[i].is_ready, 0);
        assert_int_equal(items[i].status, i % 2 ? MPROC_ECLOSED : APR_SUCCESS);
    }
    items[1].kind = items[3].kind = MPROC_WAIT_NOTHING;
    assert_success(mproc_wait(items, 4, patience())); /* the others are as before */
    assert_int_equal(items[0].is_ready, 1);
    /* With something else that is wrong it is the first one that the call fails for. */
    make_conns(&conns[0], &conns[1]);
    items[0] = mproc_wait_handle(MPROC_NO_HANDLE);
    items[1] = mproc_wait_conn(conns[1]);
    fault_before("poll", close_two, conns);
    assert_failure(mproc_wait(items, 2, patience()), APR_EBADF);
    assert_int_equal(items[0].status, APR_EBADF);
    assert_int_equal(items[1].status, MPROC_ECLOSED);
    close_both(conns[2], conns[3]);
}

/* ---- External programs ------------------------------------------------------------------------------------------- */

static mproc_completed_t completed;

/** Programs with all that a start has to make. */
static mproc_subprocess_opts_t for_program(void)
{
    static const char *const changes[] = {"MPROC_FAULT=1", NULL};
    mproc_subprocess_opts_t opts = {0};
    fill_bytes(large, SMALL, 1);
    opts.input = large;
    opts.input_size = SMALL;
    opts.standard_output = opts.standard_error = mproc_stdio_pipe();
    opts.environment_changes = changes;
    opts.directory = "/";
    opts.grace = MPROC_MILLISECONDS(100);
    return opts;
}

static const char *const cat[] = {"cat", NULL};

static apr_status_t attempt_program(void)
{
    const mproc_subprocess_opts_t opts = for_program();
    return mproc_subprocess_run(&completed, cat, &opts, MPROC_FOREVER);
}

static apr_status_t attempt_pipeline(void)
{
    const mproc_subprocess_opts_t opts = for_program();
    const char *const *const commands[] = {cat, cat};
    return mproc_subprocess_pipeline(&completed, NULL, commands, 2, &opts, MPROC_FOREVER);
}

/** Not even a zombie is left. */
static void failed_program(apr_status_t status)
{
    assert_int_not_equal(status, APR_TIMEUP);
    mproc_completed_clear(&completed);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void end_program(void)
{
    assert_int_equal(completed.output_size, SMALL);
    assert_true(are_bytes(completed.output, SMALL, 1));
    assert_int_equal(completed.error_output_size, 0);
    failed_program(APR_SUCCESS);
}

static void run_programs(const scenario_t *scenario, const char *needed)
{
    if (getenv("MPROC_TEST_NO_PROCESSES"))
        skip_because("processes cannot be started here");
    run(scenario, needed);
}

static void test_program(void **state)
{
    static const scenario_t scenario = {begin_nothing, attempt_program, failed_program, end_program, APR_SUCCESS};
    (void)state;
    run_programs(&scenario, "syscall");
}

static void test_pipeline(void **state)
{
    static const scenario_t scenario = {begin_nothing, attempt_pipeline, failed_program, end_program, APR_SUCCESS};
    (void)state;
    run_programs(&scenario, "pipe2");
}

/* ---- Values of threads ------------------------------------------------------------------------------------------- */

enum { LOCALS = 20 };
static int destroyed;

static void count_destroyed(void *value)
{
    destroyed += value != NULL;
}

/** What a thread does while one of its calls fails. */
typedef struct setting_t {
    int number;
    const char *failed;
    apr_status_t status;
    int is_wrong;
} setting_t;

/** Set as many values as there is memory for; where there is none the value is as before. */
static void set_locals(void *context)
{
    setting_t *own = context;
    mproc_local_t *locals[LOCALS] = {NULL};
    int count = 0;
    destroyed = 0;
    fault_begin(own->number, 0);
    for (int i = 0; i < LOCALS && own->status == APR_SUCCESS; i++) {
        own->status = mproc_local_create(&locals[i], count_destroyed, NULL);
        if (own->status == APR_SUCCESS)
            own->status = mproc_local_set(locals[i], &locals[i]);
        count += own->status == APR_SUCCESS;
        own->is_wrong |= own->status != APR_SUCCESS && locals[i] && mproc_local_get(locals[i]);
    }
    own->failed = fault_end();
    own->is_wrong |= own->status != APR_SUCCESS && own->status != APR_ENOMEM;
    for (int i = 0; i < LOCALS; i++)
        own->is_wrong |= mproc_local_close(locals[i]) != APR_SUCCESS;
    own->is_wrong |= destroyed != count;
}

/** Each thread begins without a table, and needs more than one. */
static void test_locals(void **state)
{
    long blocks = 0;
    int failures = 0;
    (void)state;
    for (int number = 0; number == 0 || failures == number - 1; number++) {
        setting_t setting = {.number = number};
        later_t later;
        begin_later(&later, 0, set_locals, &setting);
        end_later(&later);
        assert_int_equal(setting.is_wrong, 0);
        assert_int_equal(setting.status, setting.failed ? APR_ENOMEM : APR_SUCCESS);
        if (number == 0)
            blocks = fault_blocks();
        assert_int_equal(fault_blocks(), blocks);
        failures += setting.failed != NULL;
    }
    assert_true(failures > LOCALS);
}

/* ---- Shared memory by name --------------------------------------------------------------------------------------- */

static void begin_name(void)
{
    snprintf(the.name, sizeof the.name, "mproc-test-%d", mproc_getpid());
    mproc_shm_unlink(the.name);
}

static apr_status_t attempt_shm_create(void)
{
    the.shm = (mproc_shm_t *)&the;
    return mproc_shm_create(&the.shm, the.name, MIDDLE, NULL);
}

/** No name is left by one that could not be made. */
static void failed_shm_create(apr_status_t status)
{
    assert_int_not_equal(status, APR_ENOSPC);
    assert_null(the.shm);
    assert_failure(mproc_shm_unlink(the.name), APR_ENOENT);
}

static void end_shm(void)
{
    *(char *)mproc_shm_data(the.shm) = 'x';
    assert_success(mproc_shm_unlink(the.name));
    assert_success(mproc_shm_close(the.shm));
}

static apr_status_t attempt_shm_create_new(void)
{
    the.shm = (mproc_shm_t *)&the;
    return mproc_shm_create(&the.shm, NULL, MIDDLE, NULL);
}

static void end_shm_new(void)
{
    assert_success(mproc_shm_unlink(mproc_shm_name(the.shm)));
    assert_success(mproc_shm_close(the.shm));
}

static void begin_shm(void)
{
    begin_name();
    assert_success(mproc_shm_create(&the.shm, the.name, MIDDLE, NULL));
}

static apr_status_t attempt_shm_open(void)
{
    the.other_shm = (mproc_shm_t *)&the;
    const apr_status_t status = mproc_shm_open(&the.other_shm, the.name, NULL);
    assert_true((status == APR_SUCCESS) == (the.other_shm != NULL));
    return status;
}

static void end_shm_open(void)
{
    assert_success(mproc_shm_close(the.other_shm));
    end_shm();
}

static apr_status_t attempt_shm_copy(void)
{
    const apr_status_t status = mproc_shm_write(the.shm, 100, large, MIDDLE - 100);
    return status == APR_SUCCESS ? mproc_shm_read(the.shm, 100, buffer, MIDDLE - 100) : status;
}

static void test_shm(void **state)
{
    static const scenario_t create = {begin_name, attempt_shm_create, failed_shm_create, end_shm, APR_SUCCESS};
    static const scenario_t create_new = {begin_nothing, attempt_shm_create_new, NULL, end_shm_new, APR_SUCCESS};
    static const scenario_t open = {begin_shm, attempt_shm_open, NULL, end_shm_open, APR_SUCCESS};
    static const scenario_t copy = {begin_shm, attempt_shm_copy, NULL, end_shm, APR_SUCCESS};
    (void)state;
    run(&create, "posix_fallocate");
    run(&create_new, "shm_open");
    run(&open, "fstat");
    run(&copy, "pwrite");
}

enum { LIST_ITEMS = 40 };

static const mproc_item_t *make_items(void)
{
    static mproc_item_t items[LIST_ITEMS];
    for (int i = 0; i < LIST_ITEMS; i++)
        items[i] = i % 2 ? mproc_item_int(i) : mproc_item_with_room(mproc_item_str("a text"), 50);
    return items;
}

static apr_status_t attempt_list_create(void)
{
    the.list = (mproc_shareable_list_t *)&the;
    return mproc_shareable_list_create(&the.list, the.name, make_items(), LIST_ITEMS, NULL);
}

static void failed_list_create(apr_status_t status)
{
    assert_int_not_equal(status, APR_ENOSPC);
    assert_null(the.list);
    assert_failure(mproc_shm_unlink(the.name), APR_ENOENT);
}

static void end_list(void)
{
    int64_t number;
    assert_success(mproc_shareable_list_get_int(the.list, 39, &number));
    assert_int_equal(number, 39);
    assert_success(mproc_shm_unlink(the.name));
    assert_success(mproc_shareable_list_close(the.list));
}

static void begin_list(void)
{
    begin_name();
    assert_success(attempt_list_create());
}

static apr_status_t attempt_list_open(void)
{
    the.other_list = (mproc_shareable_list_t *)&the;
    const apr_status_t status = mproc_shareable_list_open(&the.other_list, the.name, NULL);
    assert_true((status == APR_SUCCESS) == (the.other_list != NULL));
    return status;
}

static void end_list_open(void)
{
    assert_success(mproc_shareable_list_close(the.other_list));
    end_list();
}

/** Types change, and text is longer than is looked at at once. */
static apr_status_t attempt_list_use(void)
{
    char text[64];
    size_t found;
    apr_status_t status = mproc_shareable_list_set(the.list, 0, mproc_item_int(5));
    if (status == APR_SUCCESS)
        status = mproc_shareable_list_set(the.list, 0, mproc_item_str("another text"));
    if (status == APR_SUCCESS)
        status = mproc_shareable_list_get_str(the.list, 0, text, sizeof text);
    if (status == APR_SUCCESS)
        assert_string_equal(text, "another text");
    if (status == APR_SUCCESS)
        status = mproc_shareable_list_index(the.list, mproc_item_int(3), &found);
    if (status == APR_SUCCESS)
        assert_int_equal(found, 3);
    return status;
}

static void test_list(void **state)
{
    static const scenario_t create = {begin_name, attempt_list_create, failed_list_create, end_list, APR_SUCCESS};
    static const scenario_t open = {begin_list, attempt_list_open, NULL, end_list_open, APR_SUCCESS};
    static const scenario_t use = {begin_list, attempt_list_use, NULL, end_list, APR_SUCCESS};
    (void)state;
    run(&create, "pwrite");
    run(&open, "malloc");
    run(&use, "pread");
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_locals),
        cmocka_unit_test(test_pipe),
        cmocka_unit_test(test_many_pipes),
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_open_standard_stream),
        cmocka_unit_test(test_fileno_and_peer),
        cmocka_unit_test(test_send),
        cmocka_unit_test(test_send_part),
        cmocka_unit_test(test_send_large),
        cmocka_unit_test(test_flush),
        cmocka_unit_test(test_plain_pipe),
        cmocka_unit_test(test_recv),
        cmocka_unit_test(test_recv_with),
        cmocka_unit_test(test_recv_into),
        cmocka_unit_test(test_recv_exactly),
        cmocka_unit_test(test_discard),
        cmocka_unit_test(test_recv_part),
        cmocka_unit_test(test_send_with),
        cmocka_unit_test(test_send_with_slowly),
        cmocka_unit_test(test_recv_attachments),
        cmocka_unit_test(test_recv_conn),
        cmocka_unit_test(test_discard_attachments),
        cmocka_unit_test(test_poll),
        cmocka_unit_test(test_wait),
        cmocka_unit_test(test_listen),
        cmocka_unit_test(test_listen_at_taken),
        cmocka_unit_test(test_accept),
        cmocka_unit_test(test_connect),
        cmocka_unit_test(test_shm),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_close),
        cmocka_unit_test(test_read_ahead_by_another),
        cmocka_unit_test(test_closed_meanwhile),
        cmocka_unit_test(test_program),
        cmocka_unit_test(test_pipeline),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
