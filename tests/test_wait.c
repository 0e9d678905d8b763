/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for several things of all kinds. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <apr_network_io.h>
#include <apr_portable.h>

#include "support/harness.h"
#include "support/messages.h"
#include "support/support.h"

/** Wait for items of which just one is to be ready, or none (-1). */
static void expect_ready(mproc_wait_t *items, size_t count, int which)
{
    if (which < 0)
        assert_failure(mproc_wait(items, count, 1000), APR_TIMEUP);
    else
        assert_success(mproc_wait(items, count, MPROC_FOREVER));
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(items[i].is_ready, (int)i == which);
        assert_int_equal(items[i].status, APR_SUCCESS);
    }
}

/* ---- What can be waited for -------------------------------------------------------------------------------------- */

static void test_nothing(void **state)
{
    mproc_wait_t items[3];
    (void)state;
    const apr_time_t begin = apr_time_now();
    assert_failure(mproc_wait(NULL, 0, 0), APR_TIMEUP);
    assert_failure(mproc_wait(NULL, 0, 100000), APR_TIMEUP);
    memset(items, 0, sizeof items);
    expect_ready(items, 3, -1);
    assert_failure(mproc_wait(items, 3, 100000), APR_TIMEUP);
    assert_true(apr_time_now() - begin >= 199000);
    assert_true(apr_time_now() - begin < patience());
}

/** Who only looks needs nothing of the system's to be woken by. */
static void test_looking_takes_no_descriptor(void **state)
{
    mproc_conn_t *first, *second;
    mproc_listener_t *listener;
    (void)state;
    make_conns(&first, &second);
    assert_success(mproc_listener_create(&listener, NULL, NULL));
    mproc_wait_t items[] = {mproc_wait_listener(listener), mproc_wait_conn(second)};
    const int before = count_descriptors();
    for (int i = 0; i < 3; i++) {
        assert_failure(mproc_wait(NULL, 0, 0), APR_TIMEUP);
        assert_failure(mproc_wait(items, 2, 0), APR_TIMEUP);
        assert_failure(mproc_conn_poll(second, 0), APR_TIMEUP);
        assert_success(mproc_conn_send(first, "x", 1, 0));
        assert_success(mproc_wait(items, 2, 0));
        assert_true(items[1].is_ready && !items[0].is_ready);
        assert_success(mproc_conn_poll(second, 0));
        assert_success(mproc_conn_discard(second, 0));
    }
    expect_descriptors(before);
    assert_success(mproc_listener_close(listener));
    close_both(first, second);
}

static void test_connections(void **state)
{
    mproc_conn_t *first[4], *second[4];
    mproc_wait_t items[6];
    (void)state;
    memset(items, 0, sizeof items);
    for (int i = 0; i < 4; i++) {
        make_conns(&first[i], &second[i]);
        items[i + 1] = mproc_wait_conn(second[i]); /* between items that are not in use */
        items[i + 1].context = &first[i];
    }
    expect_ready(items, 6, -1);
    for (int i = 0; i < 4; i++) {
        assert_success(mproc_conn_send(*(mproc_conn_t **)items[i + 1].context, "x", 1, 0));
        expect_ready(items, 6, i + 1);
        assert_success(mproc_conn_discard(items[i + 1].object, 0));
        expect_ready(items, 6, -1);
    }
    assert_success(mproc_conn_send(first[0], "x", 1, 0));
    assert_success(mproc_conn_send(first[3], NULL, 0, 0)); /* an empty message is one */
    assert_success(mproc_wait(items, 6, MPROC_FOREVER));
    assert_true(items[1].is_ready && items[4].is_ready && !items[2].is_ready && !items[3].is_ready);
    assert_ptr_equal(items[3].context, &first[2]);
    assert_ptr_equal(items[3].object, second[2]);
    /* An end is something to receive. */
    assert_success(mproc_conn_discard(second[0], 0));
    assert_success(mproc_conn_discard(second[3], 0));
    assert_success(mproc_conn_close(first[2]));
    for (int i = 0; i < 3; i++)
        expect_ready(items, 6, 3);
    assert_failure(mproc_conn_discard(second[2], 0), APR_EOF);
    expect_ready(items, 6, 3);
    assert_success(mproc_conn_close(second[2]));
    for (int i = 0; i < 4; i++)
        if (i != 2)
            close_both(first[i], second[i]);
}

/** What was received in advance is ready, though the system has nothing. */
static void test_message_in_advance(void **state)
{
    mproc_conn_t *first, *second;
    (void)state;
    make_conns(&first, &second);
    for (unsigned i = 0; i < 10; i++)
        assert_success(send_bytes(first, i, i, 0));
    mproc_wait_t item = mproc_wait_conn(second);
    for (unsigned i = 0; i < 10; i++) {
        expect_ready(&item, 1, 0);
        assert_success(mproc_conn_poll(second, 0));
        assert_success(expect_bytes(second, i, i, 0));
    }
    expect_ready(&item, 1, -1);
    assert_failure(mproc_conn_poll(second, 0), APR_TIMEUP);
    close_both(first, second);
}

/** A part of a message is ready once; then when more of it comes, so that nobody spins. */
static void test_part_of_a_message(void **state)
{
    mproc_conn_t *first, *second;
    apr_status_t sent;
    int parts = 0;
    void *data;
    size_t size;
    (void)state;
    need_parts();
    make_conns(&first, &second);
    mproc_wait_t item = mproc_wait_conn(second);
    assert_success(send_bytes(first, 10, 1, 0));
    assert_failure(send_bytes(first, HUGE_SIZE, 2, 0), MPROC_EUNFINISHED);
    expect_ready(&item, 1, 0);
    assert_success(expect_bytes(second, 10, 1, 0)); /* and a piece of the other one is read as well */
    do {
        expect_ready(&item, 1, 0);
        assert_failure(mproc_conn_recv(second, &data, &size, 0), APR_TIMEUP);
        expect_ready(&item, 1, -1);
        assert_failure(mproc_conn_poll(second, 1000), APR_TIMEUP);
        sent = mproc_conn_flush(first, 0);
        parts++;
    } while (sent == APR_TIMEUP);
    assert_success(sent);
    assert_true(parts > 2);
    expect_ready(&item, 1, 0);
    assert_success(expect_bytes(second, HUGE_SIZE, 2, 0));
    expect_ready(&item, 1, -1);
    close_both(first, second);
}

/** Fail at once where receiving does. */
static void test_message_that_cannot_be_received(void **state)
{
    const mproc_conn_opts_t opts = {.max_size = 10};
    mproc_conn_t *first, *second;
    void *data;
    size_t size;
    (void)state;
    assert_success(mproc_pipe(&first, &second, &opts));
    mproc_wait_t item = mproc_wait_conn(second);
    assert_success(send_bytes(first, 11, 1, 0));
    for (int i = 0; i < 3; i++) {
        expect_ready(&item, 1, 0);
        assert_failure(mproc_conn_recv(second, &data, &size, 0), MPROC_ETOOBIG);
    }
    assert_success(mproc_conn_discard(second, 0));
    expect_ready(&item, 1, -1);
    close_both(first, second);
}

static int wait_for_end(mproc_call_t *call)
{
    return mproc_conn_poll(mproc_call_conn(call, 0), MPROC_FOREVER) == APR_SUCCESS ? 0 : 1;
}

static void test_processes(void **state)
{
    size_t count;
    const mproc_start_method_t *methods = mproc_get_all_start_methods(&count);
    (void)state;
    for (size_t i = 0; i < count; i++) {
        mproc_conn_t *ours;
        mproc_os_handle_t sentinel;
        mproc_process_t *process, *other;
        mproc_process_opts_t opts = {.start_method = methods[i]};
        make_conns(&ours, &opts.give[0]);
        process = start(wait_for_end, opts);
        assert_success(mproc_process_sentinel(process, &sentinel));
        mproc_wait_t items[] = {mproc_wait_process(process), mproc_wait_handle(sentinel), mproc_wait_conn(ours)};
        expect_ready(items, 3, -1);
        assert_success(mproc_conn_close(ours));
        assert_success(mproc_wait(items, 2, patience()));
        assert_success(mproc_process_join(process, patience()));
        for (int again = 0; again < 2; again++) { /* it stays ended */
            assert_success(mproc_wait(items, 2, 0));
            assert_true(items[0].is_ready && items[1].is_ready);
        }
        assert_int_equal(finish(process), 0);
        assert_failure(mproc_wait(items, 1, MPROC_FOREVER), MPROC_ECLOSED);
        assert_success(mproc_process_create(&other, wait_for_end, NULL));
        items[0] = mproc_wait_process(other);
        assert_failure(mproc_wait(items, 1, MPROC_FOREVER), MPROC_ESTATE);
        assert_success(mproc_process_close(other));
        items[0] = mproc_wait_process(mproc_current_process());
        assert_failure(mproc_wait(items, 1, MPROC_FOREVER), MPROC_ESTATE);
    }
}

static void connect_to(void *context)
{
    mproc_conn_t **conn = context;
    mproc_connect(conn, mproc_listener_address((mproc_listener_t *)*conn), NULL, patience());
}

static void test_listeners(void **state)
{
    mproc_listener_t *listener;
    mproc_conn_t *client, *other, *server;
    later_t later;
    (void)state;
    assert_success(mproc_listener_create(&listener, NULL, NULL));
    mproc_wait_t item = mproc_wait_listener(listener);
    expect_ready(&item, 1, -1);
    client = (mproc_conn_t *)listener;
    begin_later(&later, 20, connect_to, &client);
    expect_ready(&item, 1, 0);
    end_later(&later);
    assert_success(mproc_connect(&other, mproc_listener_address(listener), NULL, patience()));
    for (int i = 0; i < 2; i++) {
        expect_ready(&item, 1, 0);
        assert_success(mproc_listener_accept(listener, &server, 0));
        assert_success(mproc_conn_close(server));
    }
    expect_ready(&item, 1, -1);
    assert_success(mproc_listener_close(listener));
    assert_failure(mproc_wait(&item, 1, MPROC_FOREVER), MPROC_ECLOSED);
    close_both(client, other);
}

static void test_sockets(void **state)
{
    apr_sockaddr_t *address;
    apr_socket_t *listener, *client, *server;
    apr_os_sock_t native;
    apr_size_t size = 1;
    (void)state;
    assert_int_equal(apr_sockaddr_info_get(&address, "127.0.0.1", APR_INET, 0, 0, test_pool()), APR_SUCCESS);
    assert_int_equal(apr_socket_create(&listener, APR_INET, SOCK_STREAM, 0, test_pool()), APR_SUCCESS);
    assert_int_equal(apr_socket_bind(listener, address), APR_SUCCESS);
    assert_int_equal(apr_socket_listen(listener, 5), APR_SUCCESS);
    assert_int_equal(apr_socket_addr_get(&address, APR_LOCAL, listener), APR_SUCCESS);
    assert_int_equal(apr_socket_create(&client, APR_INET, SOCK_STREAM, 0, test_pool()), APR_SUCCESS);
    apr_os_sock_get(&native, listener);
    mproc_wait_t items[2] = {mproc_wait_socket((mproc_os_handle_t)native)};
    expect_ready(items, 2, -1);
    assert_int_equal(apr_socket_connect(client, address), APR_SUCCESS);
    expect_ready(items, 2, 0);
    assert_int_equal(apr_socket_accept(&server, listener, test_pool()), APR_SUCCESS);
    apr_os_sock_get(&native, server);
    items[1] = mproc_wait_socket((mproc_os_handle_t)native);
    expect_ready(items, 2, -1);
    assert_int_equal(apr_socket_send(client, "x", &size), APR_SUCCESS);
    for (int i = 0; i < 3; i++)
        expect_ready(items, 2, 1);
    apr_socket_close(client);
    expect_ready(items, 2, 1);
    apr_socket_close(server);
    apr_socket_close(listener);
}

/* ---- Many, twice, bad -------------------------------------------------------------------------------------------- */

static void test_the_same_twice(void **state)
{
    mproc_conn_t *first, *second;
    (void)state;
    make_conns(&first, &second);
    mproc_wait_t items[] = {mproc_wait_conn(second), mproc_wait_conn(first), mproc_wait_conn(second)};
    expect_ready(items, 3, -1);
    assert_success(mproc_conn_send(first, "x", 1, 0));
    assert_success(mproc_conn_send(first, "y", 1, 0));
    assert_success(mproc_wait(items, 3, patience()));
    assert_true(items[0].is_ready && !items[1].is_ready && items[2].is_ready);
    assert_success(mproc_conn_discard(second, 0)); /* the other message is received in advance */
    assert_success(mproc_wait(items, 3, patience()));
    assert_true(items[0].is_ready && !items[1].is_ready && items[2].is_ready);
    close_both(first, second);
}

static void test_many(void **state)
{
    enum { MANY = 200 };
    mproc_conn_t *first[MANY], *second[MANY];
    mproc_wait_t items[MANY];
    (void)state;
    for (int i = 0; i < MANY; i++) {
        make_conns(&first[i], &second[i]);
        items[i] = mproc_wait_conn(second[i]);
    }
    expect_ready(items, MANY, -1);
    for (int i = 0; i < MANY; i += 7) {
        assert_success(mproc_conn_send(first[i], "x", 1, 0));
        expect_ready(items, MANY, i);
        assert_success(mproc_conn_discard(second[i], 0));
    }
    for (int i = 0; i < MANY; i++)
        assert_success(mproc_conn_send(first[i], "x", 1, 0));
    const apr_time_t end = apr_time_now() + patience();
    for (int ready = 0; ready < MANY && apr_time_now() < end;) {
        assert_success(mproc_wait(items, MANY, patience()));
        ready = 0;
        for (int i = 0; i < MANY; i++)
            ready += items[i].is_ready;
    }
    for (int i = 0; i < MANY; i++) {
        assert_true(items[i].is_ready);
        close_both(first[i], second[i]);
    }
}

static void expect_bad(mproc_wait_t bad, apr_status_t expected)
{
    mproc_conn_t *first, *second;
    make_conns(&first, &second);
    mproc_wait_t items[] = {mproc_wait_conn(second), bad, mproc_wait_conn(first)};
    assert_failure(mproc_wait(items, 3, MPROC_FOREVER), expected);
    assert_int_equal(items[0].status, APR_SUCCESS);
    assert_int_equal(items[1].status, expected);
    assert_int_equal(items[1].is_ready, 0);
    assert_int_equal(items[2].status, APR_SUCCESS);
    /* Also beside one that is ready. */
    assert_success(mproc_conn_send(first, "x", 1, 0));
    assert_failure(mproc_wait(items, 3, MPROC_FOREVER), expected);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(items[i].status, i == 1 ? expected : APR_SUCCESS);
        assert_int_equal(items[i].is_ready, 0);
    }
    /* Each one that is bad is told; the first one's status is that of the call. */
    items[0] = mproc_wait_handle(MPROC_NO_HANDLE);
    items[2] = bad;
    assert_failure(mproc_wait(items, 3, MPROC_FOREVER), expected == APR_EBADF ? APR_EBADF : items[1].status);
    assert_int_equal(items[1].status, expected);
    assert_int_equal(items[2].status, expected);
    close_both(first, second);
}

static void test_bad_items(void **state)
{
    const mproc_conn_opts_t one_way = {.one_way = 1};
    mproc_conn_t *reader, *writer;
    int thing = 0;
    (void)state;
    expect_bad(mproc_wait_conn(NULL), APR_EINVAL);
    expect_bad(mproc_wait_process(NULL), APR_EINVAL);
    expect_bad(mproc_wait_listener(NULL), APR_EINVAL);
    expect_bad(mproc_wait_conn((mproc_conn_t *)&thing), MPROC_ECLOSED);
    expect_bad(mproc_wait_process((mproc_process_t *)&thing), MPROC_ECLOSED);
    expect_bad(mproc_wait_listener((mproc_listener_t *)&thing), MPROC_ECLOSED);
    expect_bad(mproc_wait_handle(MPROC_NO_HANDLE), APR_EBADF);
    expect_bad(mproc_wait_socket(MPROC_NO_HANDLE), APR_EBADF);
    expect_bad(mproc_wait_handle(123456), APR_EBADF);
    expect_bad((mproc_wait_t){.kind = (mproc_wait_kind_t)77}, APR_EINVAL);
    expect_bad((mproc_wait_t){.kind = (mproc_wait_kind_t)-1}, APR_EINVAL);
    assert_success(mproc_pipe(&reader, &writer, &one_way));
    expect_bad(mproc_wait_conn(writer), MPROC_EDIRECTION);
    expect_bad(mproc_wait_process((mproc_process_t *)reader), MPROC_ECLOSED);
    mproc_process_t *process;
    mproc_process_opts_t opts = {.give = {reader}};
    assert_success(mproc_process_create(&process, wait_for_end, &opts));
    expect_bad(mproc_wait_conn(reader), MPROC_ESTATE);
    assert_success(mproc_process_close(process));
    close_both(reader, writer);
    expect_bad(mproc_wait_conn(reader), MPROC_ECLOSED);
    assert_failure(mproc_wait(NULL, 1, 0), APR_EINVAL);
    mproc_wait_t item = mproc_wait_handle(0);
    assert_failure(mproc_wait(&item, SIZE_MAX, 0), APR_EINVAL);
    assert_failure(mproc_wait(&item, SIZE_MAX / sizeof item, 0), APR_EINVAL);
    assert_failure(mproc_wait_sized(&item, sizeof item + 8, 1, 0), MPROC_EBUILD);
    assert_failure(mproc_wait_sized(&item, sizeof item - 8, 1, 0), MPROC_EBUILD);
}

/* ---- Other threads ----------------------------------------------------------------------------------------------- */

static void test_closed_by_another_thread(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) {
        mproc_conn_t *first, *second, *third, *fourth;
        mproc_listener_t *listener;
        later_t later;
        make_conns(&first, &second);
        make_conns(&third, &fourth);
        assert_success(mproc_listener_create(&listener, NULL, NULL));
        mproc_wait_t items[] = {mproc_wait_conn(third), mproc_wait_conn(second), mproc_wait_listener(listener)};
        begin_later(&later, i, close_conn, second);
        assert_failure(mproc_wait(items, 3, i % 2 ? MPROC_FOREVER : patience()), MPROC_ECLOSED);
        assert_int_equal(items[1].status, MPROC_ECLOSED);
        assert_int_equal(items[1].is_ready, 0);
        assert_int_equal(items[0].status, APR_SUCCESS);
        assert_int_equal(items[2].status, APR_SUCCESS);
        end_later(&later);
        items[1] = mproc_wait_conn(fourth);
        begin_later(&later, i, close_listener, listener);
        assert_failure(mproc_wait(items, 3, i % 2 ? MPROC_FOREVER : patience()), MPROC_ECLOSED);
        assert_int_equal(items[2].status, MPROC_ECLOSED);
        assert_int_equal(items[1].status, APR_SUCCESS);
        end_later(&later);
        assert_success(mproc_conn_close(first));
        close_both(third, fourth);
    }
}

static int join_and_close(mproc_process_t *process)
{
    return mproc_process_join(process, patience()) == APR_SUCCESS && mproc_process_close(process) == APR_SUCCESS;
}

typedef struct ending_t {
    mproc_conn_t *conn;
    mproc_process_t *process;
    int is_right;
} ending_t;

/** Have a child end, and close it as soon as it has. */
static void end_and_close(void *context)
{
    ending_t *ending = context;
    ending->is_right = mproc_conn_close(ending->conn) == APR_SUCCESS && join_and_close(ending->process);
}

/** A process that another thread closes has ended, and is ready. */
static void test_process_closed_by_another_thread(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) {
        ending_t ending = {NULL, NULL, 0};
        mproc_process_opts_t opts = {0};
        later_t later;
        make_conns(&ending.conn, &opts.give[0]);
        ending.process = start(wait_for_end, opts);
        mproc_wait_t item = mproc_wait_process(ending.process);
        begin_later(&later, 5, end_and_close, &ending);
        assert_success(mproc_wait(&item, 1, i % 2 ? MPROC_FOREVER : patience()));
        assert_int_equal(item.is_ready, 1);
        assert_int_equal(item.status, APR_SUCCESS);
        end_later(&later);
        assert_true(ending.is_right);
    }
}

static void send_away(void *context)
{
    ending_t *ending = context;
    ending->is_right = mproc_conn_send_conn(ending->conn, (mproc_conn_t *)ending->process, patience()) == APR_SUCCESS;
}

/** A connection that another thread sends away is closed here, as it were. */
static void test_sent_away_by_another_thread(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) {
        mproc_conn_t *carrier, *other, *first, *second;
        later_t later;
        make_conns(&carrier, &other);
        make_conns(&first, &second);
        ending_t ending = {carrier, (mproc_process_t *)second, 0};
        mproc_wait_t items[] = {mproc_wait_conn(first), mproc_wait_conn(second)};
        begin_later(&later, i, send_away, &ending);
        apr_status_t status;
        do
            status = mproc_wait(items, 2, i % 2 ? MPROC_FOREVER : patience());
        while (status == MPROC_ESTATE); /* it is just about to go */
        assert_failure(status, MPROC_ECLOSED);
        assert_int_equal(items[0].status, APR_SUCCESS);
        assert_int_equal(items[1].status, MPROC_ECLOSED);
        end_later(&later);
        assert_true(ending.is_right);
        assert_success(mproc_conn_recv_conn(other, &second, patience()));
        assert_success(send_bytes(first, 10, 1, 0));
        assert_success(expect_bytes(second, 10, 1, 0));
        close_both(first, second);
        close_both(carrier, other);
    }
}

static _Atomic int are_done;

/** Wait for both of a connection's ends, or for a listener, until it is closed. */
static void wait_for_close(void *context)
{
    mproc_wait_t *items = context;
    items[0].status = mproc_wait(items, 2, patience());
}

/** Close things that other threads wait for, all the time: whoever waits for several things is woken, too. */
static void close_others(void *context)
{
    int *count = context;
    while (!atomic_load(&are_done)) {
        mproc_conn_t *first, *second;
        mproc_listener_t *listener;
        later_t later;
        if (mproc_pipe(&first, &second, NULL) != APR_SUCCESS ||
            mproc_listener_create(&listener, NULL, NULL) != APR_SUCCESS)
            break;
        mproc_wait_t items[2] = {mproc_wait_conn(first), mproc_wait_listener(listener)};
        begin_later(&later, 0, wait_for_close, items);
        apr_sleep(300);
        if (*count % 2)
            mproc_listener_close(listener);
        mproc_conn_close(first);
        mproc_conn_close(second);
        end_later(&later);
        if (*count % 2 == 0)
            mproc_listener_close(listener);
        if (items[0].status != MPROC_ECLOSED)
            break;
        ++*count;
    }
}

static void send_one(void *context)
{
    mproc_conn_send(context, "x", 1, patience());
}

/** That something else is closed neither ends a wait nor makes it fail. */
static void test_others_are_closed(void **state)
{
    mproc_conn_t *first, *second;
    mproc_listener_t *listener;
    later_t closer, sender;
    int count = 0;
    (void)state;
    make_conns(&first, &second);
    assert_success(mproc_listener_create(&listener, NULL, NULL));
    mproc_wait_t items[] = {mproc_wait_conn(first), mproc_wait_listener(listener), mproc_wait_conn(second)};
    begin_later(&closer, 0, close_others, &count);
    for (int i = 0; i < 4; i++) {
        mproc_conn_t *conn;
        const apr_time_t begin = apr_time_now();
        if (i == 0)
            assert_failure(mproc_wait(items, 3, 100000), APR_TIMEUP);
        else if (i == 1)
            assert_failure(mproc_conn_poll(second, 100000), APR_TIMEUP);
        else if (i == 2)
            assert_failure(mproc_listener_accept(listener, &conn, 100000), APR_TIMEUP);
        else
            assert_failure(mproc_wait(NULL, 0, 100000), APR_TIMEUP);
        assert_true(apr_time_now() - begin >= 99000);
        begin_later(&sender, 30, send_one, first);
        expect_ready(items, 3, 2);
        end_later(&sender);
        assert_success(mproc_conn_discard(second, 0));
    }
    atomic_store(&are_done, 1);
    end_later(&closer);
    assert_true(count > 3);
    assert_success(mproc_listener_close(listener));
    close_both(first, second);
}

typedef struct watching_t {
    mproc_conn_t *conn;
    int by_poll;
    apr_status_t status;
} watching_t;

static void watch(void *context)
{
    watching_t *watching = context;
    mproc_wait_t item = mproc_wait_conn(watching->conn);
    watching->status =
        watching->by_poll ? mproc_conn_poll(watching->conn, patience()) : mproc_wait(&item, 1, patience());
}

/**
 * Two messages come, and a thread that receives reads both in advance and takes one, faster than another that waits is
 * woken by the system: it learns of the second one all the same.
 */
static void test_read_ahead_by_another_thread(void **state)
{
    mproc_conn_t *first, *second;
    (void)state;
    make_conns(&first, &second);
    for (int i = 0; i < 100; i++) {
        watching_t watching = {second, i % 2, APR_EGENERAL};
        later_t later;
        begin_later(&later, 0, watch, &watching);
        apr_sleep(i % 5 * 500); /* mostly long enough for it to be asleep; where not, it must see it as well */
        assert_success(send_bytes(first, 10, 1, 0));
        assert_success(send_bytes(first, 10, 2, 0));
        assert_success(expect_bytes(second, 10, 1, 0));
        end_later(&later);
        assert_success(watching.status);
        assert_success(expect_bytes(second, 10, 2, 0));
    }
    close_both(first, second);
}

typedef struct crowd_t {
    mproc_conn_t *conn;
    int received;
    int faults;
} crowd_t;

/** Wait for messages and receive them, beside others who do the same. */
static void wait_and_receive(void *context)
{
    crowd_t *crowd = context;
    while (!atomic_load(&are_done)) {
        mproc_wait_t item = mproc_wait_conn(crowd->conn);
        char byte;
        apr_status_t status = mproc_wait(&item, 1, 20000);
        if (status == APR_SUCCESS)
            status = mproc_conn_recv_exactly(crowd->conn, &byte, 1, 0);
        crowd->received += status == APR_SUCCESS;
        crowd->faults += status != APR_SUCCESS && status != APR_TIMEUP;
    }
}

static void test_many_threads_wait_for_one(void **state)
{
    enum { THREADS = 5, MESSAGES = 1000 };
    mproc_conn_t *first, *second;
    crowd_t crowds[THREADS];
    later_t laters[THREADS];
    int received = 0;
    (void)state;
    make_conns(&first, &second);
    for (int i = 0; i < THREADS; i++) {
        crowds[i] = (crowd_t){second, 0, 0};
        begin_later(&laters[i], 0, wait_and_receive, &crowds[i]);
    }
    for (int i = 0; i < MESSAGES; i++)
        assert_success(mproc_conn_send(first, "x", 1, patience()));
    const apr_time_t end = apr_time_now() + patience();
    /* What one of them reads in advance is for the others, too: none is left behind. */
    while (mproc_conn_poll(second, 0) == APR_SUCCESS && apr_time_now() < end)
        apr_sleep(1000);
    apr_sleep(50000);
    atomic_store(&are_done, 1);
    for (int i = 0; i < THREADS; i++) {
        end_later(&laters[i]);
        assert_int_equal(crowds[i].faults, 0);
        received += crowds[i].received;
    }
    assert_int_equal(received, MESSAGES);
    close_both(first, second);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_looking_takes_no_descriptor),
        cmocka_unit_test(test_connections),
        cmocka_unit_test(test_message_in_advance),
        cmocka_unit_test(test_part_of_a_message),
        cmocka_unit_test(test_message_that_cannot_be_received),
        cmocka_unit_test(test_processes),
        cmocka_unit_test(test_listeners),
        cmocka_unit_test(test_sockets),
        cmocka_unit_test(test_the_same_twice),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_bad_items),
        cmocka_unit_test(test_closed_by_another_thread),
        cmocka_unit_test(test_process_closed_by_another_thread),
        cmocka_unit_test(test_sent_away_by_another_thread),
        cmocka_unit_test(test_others_are_closed),
        cmocka_unit_test(test_read_ahead_by_another_thread),
        cmocka_unit_test(test_many_threads_wait_for_one),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
