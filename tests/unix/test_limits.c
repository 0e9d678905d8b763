/* SPDX-License-Identifier: Apache-2.0 */
/* Connections in processes that may not open more, where they would have to: to receive, send, accept, wait. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "support/harness.h"
#include "support/messages.h"
#include "support/support.h"

static const mproc_start_method_t methods[] = {MPROC_FORK, MPROC_FORKSERVER, MPROC_SPAWN};
enum { METHODS = 3 };

/** Let this process have only so many descriptors more than it has; what was allowed before is stored. */
static void limit_descriptors(int room, struct rlimit *before)
{
    const int first_free = dup(0);
    close(first_free);
    int beyond = first_free; /* the numbers are not dense: what is free below the limit counts */
    for (int i = 0; i < room; beyond++)
        i += fcntl(beyond, F_GETFD) < 0;
    getrlimit(RLIMIT_NOFILE, before);
    struct rlimit limit = *before;
    limit.rlim_cur = (rlim_t)beyond;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* ---- In one process ---------------------------------------------------------------------------------------------- */

/** With no room for what a message brings, the message is lost, and the connection goes on. */
static void test_receiving(void **state)
{
    enum { MANY = 5 };
    struct rlimit before;
    mproc_conn_t *carrier, *other, *ours[MANY], *theirs[MANY], *came[MANY];
    int failures = 0;
    (void)state;
    make_conns(&carrier, &other);
    const int used = count_after_waiting();
    for (int room = 0; room < MANY + 2; room++) {
        void *data;
        size_t size;
        for (int i = 0; i < MANY; i++)
            make_conns(&ours[i], &theirs[i]);
        mproc_attachments_t attachments = {theirs, MANY, NULL, 0};
        assert_success(mproc_conn_send_with(carrier, "x", 1, &attachments, 0));
        assert_success(send_bytes(carrier, 10, 1, 0));
        limit_descriptors(room, &before);
        attachments.conns = came;
        const apr_status_t status = mproc_conn_recv_with(other, &data, &size, &attachments, 0);
        setrlimit(RLIMIT_NOFILE, &before);
        if (status == APR_SUCCESS) {
            mproc_free(data);
            for (int i = 0; i < MANY; i++)
                assert_success(mproc_conn_close(came[i]));
        } else {
            assert_failure(status, APR_EMFILE);
            assert_error_names("lost");
            failures++;
        }
        assert_success(expect_bytes(other, 10, 1, 0));
        for (int i = 0; i < MANY; i++)
            expect_end(ours[i]);
        if (used >= 0)
            assert_int_equal(count_descriptors(), used);
    }
    assert_true(failures > 0 && failures <= MANY + 1);
    close_both(carrier, other);
}

/** What is to be dropped is dropped, also where there is no room for what it brings. */
static void test_dropping(void **state)
{
    struct rlimit before;
    mproc_conn_t *carrier, *other, *first, *second;
    (void)state;
    make_conns(&carrier, &other);
    const int used = count_after_waiting();
    make_conns(&first, &second);
    assert_success(mproc_conn_send_conn(carrier, second, 0));
    assert_success(send_bytes(carrier, 10, 1, 0));
    limit_descriptors(0, &before);
    const apr_status_t status = mproc_conn_discard(other, 0);
    setrlimit(RLIMIT_NOFILE, &before);
    assert_success(status);
    expect_end(first);
    assert_success(expect_bytes(other, 10, 1, 0));
    if (used >= 0)
        assert_int_equal(count_descriptors(), used);
    close_both(carrier, other);
}

static void test_making(void **state)
{
    struct rlimit before, none;
    mproc_conn_t *first, *second;
    mproc_listener_t *listener;
    (void)state;
    getrlimit(RLIMIT_NOFILE, &before);
    none = before;
    none.rlim_cur = 0;
    setrlimit(RLIMIT_NOFILE, &none);
    assert_failure(mproc_pipe(&first, &second, NULL), APR_EMFILE);
    assert_failure(mproc_listener_create(&listener, NULL, NULL), APR_EMFILE);
    assert_failure(mproc_connect(&first, "nobody", NULL, 0), APR_EMFILE);
    setrlimit(RLIMIT_NOFILE, &before);
}

/** Whoever has connected waits until there is room to accept. */
static void test_accepting(void **state)
{
    struct rlimit before;
    mproc_listener_t *listener;
    mproc_conn_t *client, *server;
    (void)state;
    assert_success(mproc_listener_create(&listener, NULL, NULL));
    assert_success(mproc_connect(&client, mproc_listener_address(listener), NULL, 0));
    limit_descriptors(0, &before);
    const apr_status_t status = mproc_listener_accept(listener, &server, patience());
    setrlimit(RLIMIT_NOFILE, &before);
    assert_failure(status, APR_EMFILE);
    assert_success(mproc_listener_accept(listener, &server, 0));
    assert_success(send_bytes(client, 10, 1, 0));
    assert_success(expect_bytes(server, 10, 1, patience()));
    close_both(client, server);
    assert_success(mproc_listener_close(listener));
}

/** Without a descriptor to wait by, what needs no wait is done, and the rest says why not. */
static void test_waiting(void **state)
{
    struct rlimit before;
    mproc_conn_t *first, *second;
    void *data;
    size_t size;
    apr_status_t status[7];
    unsigned count = 0;
    (void)state;
    make_conns(&first, &second);
    while (send_bytes(first, 100, count, 0) == APR_SUCCESS)
        count++;
    limit_descriptors(0, &before);
    status[0] = send_bytes(first, 100, count, patience());
    status[1] = mproc_conn_poll(second, patience()) + mproc_conn_poll(second, 0);
    status[2] = expect_bytes(second, 100, 0, patience());
    for (unsigned i = 1; i < count; i++)
        expect_bytes(second, 100, i, MPROC_FOREVER);
    status[3] = mproc_conn_recv(second, &data, &size, MPROC_FOREVER);
    status[4] = send_bytes(first, 100, count, patience());
    status[5] = mproc_conn_poll(first, patience());
    status[6] = mproc_conn_poll(first, 0);
    setrlimit(RLIMIT_NOFILE, &before);
    assert_int_equal(status[0], APR_EMFILE);
    assert_int_equal(status[1], APR_SUCCESS);
    assert_int_equal(status[2], APR_SUCCESS);
    assert_int_equal(status[3], APR_EMFILE);
    assert_int_equal(status[4], APR_SUCCESS);
    assert_int_equal(status[5], APR_EMFILE);
    assert_int_equal(status[6], APR_TIMEUP);
    assert_success(expect_bytes(second, 100, count, 0)); /* all before it have come */
    close_both(first, second);
}

/* ---- In children, which have not waited before ------------------------------------------------------------------- */

/* What a child is brought, and what its exit code says besides where it went wrong. */
enum { BROUGHT = 2, LEAKS = 50 };

/** Start a child with so much room, and wait until it has done the first half of its work. */
static mproc_process_t *start_with_room(mproc_target_t target, int method, int room, mproc_conn_t *carrier)
{
    mproc_process_opts_t opts = {
        .start_method = methods[method], .give = {carrier}, .data = &room, .size = sizeof room};
    mproc_conn_t *control;
    make_conns(&control, &opts.give[1]);
    mproc_process_t *process = start(target, opts);
    if (expect_bytes(control, 10, 4, patience()) != APR_SUCCESS)
        fail_msg("method %d, room %d: the child ended with %d", (int)opts.start_method, room, finish(process));
    assert_success(mproc_conn_close(control));
    return process;
}

/** The child has done the first half. */
static int tell(mproc_call_t *call)
{
    return send_bytes(mproc_call_conn(call, 1), 10, 4, 0) == APR_SUCCESS;
}

/** Whether a call has failed with a status, and says so. */
static int has_failed(apr_status_t status, apr_status_t expected)
{
    return status == expected && mproc_last_error()->status == expected && mproc_last_error()->text[0];
}

/** Receive a large message with attachments, of which a part is there, and what follows: 0, or where it went wrong. */
static int receive_with_room(mproc_call_t *call)
{
    const int room = *(const int *)mproc_call_data(call, sizeof room);
    mproc_conn_t *carrier = mproc_call_conn(call, 0);
    mproc_conn_t *came[BROUGHT];
    mproc_attachments_t attachments = {came, BROUGHT, NULL, 0};
    struct rlimit before;
    void *data;
    size_t size;
    const int used = count_descriptors();
    limit_descriptors(room, &before);
    /* What it brings is received with its beginning; to wait for the rest takes a descriptor, too. */
    const int is_full = room == 0 || room == BROUGHT;
    const apr_status_t first = mproc_conn_recv_with(carrier, &data, &size, &attachments, 0);
    apr_status_t status = mproc_conn_recv_with(carrier, &data, &size, &attachments, 20000);
    setrlimit(RLIMIT_NOFILE, &before);
    if (first != APR_TIMEUP || !has_failed(status, is_full ? APR_EMFILE : APR_TIMEUP))
        return 1;
    if (!tell(call))
        return 2;
    status = mproc_conn_recv_with(carrier, &data, &size, &attachments, patience());
    if (room < BROUGHT && (!has_failed(status, APR_EMFILE) || !strstr(mproc_last_error()->text, "lost")))
        return 3;
    if (room >= BROUGHT) {
        if (status != APR_SUCCESS || size != HUGE_SIZE || !are_bytes(data, size, 1))
            return 4;
        mproc_free(data);
        for (int i = 0; i < BROUGHT; i++)
            if (expect_bytes(came[i], 10, 2, patience()) != APR_SUCCESS || mproc_conn_close(came[i]) != APR_SUCCESS)
                return 5;
    }
    if (expect_bytes(carrier, 100, 3, patience()) != APR_SUCCESS)
        return 6;
    return count_descriptors() > used + 1 ? LEAKS : 0; /* the one to wait by stays */
}

static void test_receiving_in_the_middle(void **state)
{
    static unsigned char data[HUGE_SIZE];
    (void)state;
    fill_bytes(data, sizeof data, 1);
    for (int i = 0; i < METHODS * (BROUGHT + 2); i++) {
        const int room = i / METHODS;
        mproc_conn_t *carrier, *other, *ours[BROUGHT], *theirs[BROUGHT];
        mproc_attachments_t attachments = {theirs, BROUGHT, NULL, 0};
        make_conns(&carrier, &other);
        for (int j = 0; j < BROUGHT; j++) {
            make_conns(&ours[j], &theirs[j]);
            assert_success(send_bytes(ours[j], 10, 2, 0));
        }
        assert_failure(mproc_conn_send_with(carrier, data, sizeof data, &attachments, 0), MPROC_EUNFINISHED);
        mproc_process_t *process = start_with_room(receive_with_room, i % METHODS, room, other);
        assert_success(mproc_conn_flush(carrier, patience()));
        assert_success(send_bytes(carrier, 100, 3, patience()));
        assert_int_equal(finish(process), 0);
        for (int j = 0; j < BROUGHT; j++)
            expect_end(ours[j]);
        expect_end(carrier);
    }
}

/** Send a large message with an attachment, for which this process would have to wait: 0, or where it went wrong. */
static int send_with_room(mproc_call_t *call)
{
    static unsigned char data[HUGE_SIZE];
    const int room = *(const int *)mproc_call_data(call, sizeof room);
    mproc_conn_t *carrier = mproc_call_conn(call, 0);
    mproc_conn_t *ours, *moved;
    struct rlimit before;
    const int used = count_descriptors();
    if (mproc_pipe(&ours, &moved, NULL) != APR_SUCCESS)
        return 1;
    const mproc_attachments_t attachments = {&moved, 1, NULL, 0};
    fill_bytes(data, sizeof data, 1);
    limit_descriptors(room, &before);
    apr_status_t status = mproc_conn_send_with(carrier, data, sizeof data, &attachments, room ? 20000 : patience());
    setrlimit(RLIMIT_NOFILE, &before);
    if (!has_failed(status, room ? MPROC_EUNFINISHED : APR_EMFILE) || !tell(call))
        return 2;
    if (room) {
        status = mproc_conn_flush(carrier, patience());
    } else {
        /* Nothing of it has gone, and the end is as before. */
        if (mproc_conn_poll(moved, 0) != APR_TIMEUP)
            return 5;
        status = mproc_conn_send_with(carrier, data, sizeof data, &attachments, patience());
    }
    if (status != APR_SUCCESS || mproc_conn_poll(moved, 0) != MPROC_ECLOSED)
        return 3;
    if (send_bytes(carrier, 100, 3, patience()) != APR_SUCCESS || expect_bytes(ours, 10, 2, patience()) != APR_SUCCESS)
        return 4;
    mproc_conn_close(ours);
    return count_descriptors() > used + 1 ? LEAKS : 0;
}

static void test_sending_in_the_middle(void **state)
{
    (void)state;
    for (int i = 0; i < METHODS * 2; i++) {
        const int room = i / METHODS;
        mproc_conn_t *carrier, *other, *came;
        mproc_attachments_t attachments = {&came, 1, NULL, 0};
        void *data;
        size_t size;
        make_conns(&carrier, &other);
        mproc_process_t *process = start_with_room(send_with_room, i % METHODS, room, other);
        if (mproc_conn_recv_with(carrier, &data, &size, &attachments, patience()) != APR_SUCCESS)
            fail_msg("method %d, room %d: the child ended with %d", (int)methods[i % METHODS], room, finish(process));
        assert_int_equal(size, HUGE_SIZE);
        assert_true(are_bytes(data, size, 1));
        mproc_free(data);
        assert_success(expect_bytes(carrier, 100, 3, patience()));
        assert_success(send_bytes(came, 10, 2, patience()));
        assert_int_equal(finish(process), 0);
        expect_end(carrier);
        expect_end(came);
    }
}

/* What a child sends before another one takes any of it. */
enum { ON_THEIR_WAY = 200, ALLOWED = 60 };

/** Send ends that nobody receives, until the system lets no more of them be on their way. */
static int send_too_many(mproc_call_t *call)
{
    mproc_conn_t *carrier, *other, *ours = NULL, *moved, *came;
    struct rlimit before;
    apr_status_t status = APR_SUCCESS;
    int count = 0;
    (void)call;
    /* What may be on its way is limited for users other than root. */
    if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
        return 1;
    if (mproc_pipe(&carrier, &other, NULL) != APR_SUCCESS)
        return 2;
    limit_descriptors(ALLOWED, &before);
    for (; count < ON_THEIR_WAY && status == APR_SUCCESS; count += status == APR_SUCCESS) {
        mproc_conn_close(ours);
        if (mproc_pipe(&ours, &moved, NULL) != APR_SUCCESS)
            return 3;
        status = mproc_conn_send_conn(carrier, moved, 0);
    }
    if (status == APR_SUCCESS)
        return 0; /* here they are not limited */
    if (!has_failed(status, status) || send_bytes(ours, 10, 1, 0) != APR_SUCCESS ||
        expect_bytes(moved, 10, 1, 0) != APR_SUCCESS)
        return 4;
    for (int i = 0; i < count; i++)
        if (mproc_conn_recv_conn(other, &came, 0) != APR_SUCCESS || mproc_conn_close(came) != APR_SUCCESS)
            return 5;
    /* Now it goes. */
    if (mproc_conn_send_conn(carrier, moved, 0) != APR_SUCCESS ||
        mproc_conn_recv_conn(other, &came, 0) != APR_SUCCESS || send_bytes(ours, 10, 2, 0) != APR_SUCCESS)
        return 6;
    return expect_bytes(came, 10, 2, 0) == APR_SUCCESS ? 0 : 7;
}

static void test_too_many_on_their_way(void **state)
{
    (void)state;
    for (int i = 0; i < METHODS; i++) {
        const mproc_process_opts_t opts = {.start_method = methods[i]};
        assert_int_equal(finish(start(send_too_many, opts)), 0);
    }
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_receiving),
        cmocka_unit_test(test_dropping),
        cmocka_unit_test(test_making),
        cmocka_unit_test(test_accepting),
        cmocka_unit_test(test_waiting),
        cmocka_unit_test(test_receiving_in_the_middle),
        cmocka_unit_test(test_sending_in_the_middle),
        cmocka_unit_test(test_too_many_on_their_way),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
