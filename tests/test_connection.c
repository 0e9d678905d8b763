/* SPDX-License-Identifier: Apache-2.0 */
/* Connections in one process: every call, bad input, threads, and ends that move. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/harness.h"
#include "support/messages.h"
#include "support/random.h"
#include "support/support.h"

/* ---- Bad input --------------------------------------------------------------------------------------------------- */

/** Every call that takes a connection must refuse a handle with this status. */
static void refuse_everywhere(mproc_conn_t *conn, apr_status_t expected)
{
    void *data = &data;
    size_t size = 77;
    char byte = 'x';
    mproc_conn_t *moved = (mproc_conn_t *)&moved;
    mproc_attachments_t none = {NULL, 0, NULL, 0};
    mproc_os_handle_t handle;
    mproc_peer_t peer = {5, 6};
    mproc_wait_t item = mproc_wait_conn(conn);
    assert_failure(mproc_conn_send(conn, "x", 1, 0), expected);
    assert_failure(mproc_conn_send_with(conn, "x", 1, &none, 0), expected);
    assert_failure(mproc_conn_send_conn(conn, conn, 0), expected);
    assert_failure(mproc_conn_flush(conn, 0), expected);
    assert_failure(mproc_conn_recv(conn, &data, &size, MPROC_FOREVER), expected);
    assert_null(data);
    data = &data;
    assert_failure(mproc_conn_recv_with(conn, &data, &size, &none, MPROC_FOREVER), expected);
    assert_null(data);
    assert_failure(mproc_conn_recv_into(conn, &byte, 1, &size, MPROC_FOREVER), expected);
    assert_failure(mproc_conn_recv_exactly(conn, &byte, 1, MPROC_FOREVER), expected);
    assert_failure(mproc_conn_recv_conn(conn, &moved, MPROC_FOREVER), expected);
    assert_null(moved);
    assert_failure(mproc_conn_poll(conn, MPROC_FOREVER), expected);
    assert_failure(mproc_conn_discard(conn, MPROC_FOREVER), expected);
    assert_failure(mproc_conn_fileno(conn, &handle), expected);
    assert_int_equal(handle, MPROC_NO_HANDLE);
    assert_failure(mproc_conn_peer(conn, &peer), expected);
    assert_failure(mproc_wait(&item, 1, MPROC_FOREVER), expected);
    assert_int_equal(item.status, expected);
    assert_int_equal(item.is_ready, 0);
    assert_int_equal(size, 77);
    assert_int_equal(byte, 'x');
    assert_int_equal(peer.pid, 5);
}

static void test_null(void **state)
{
    (void)state;
    refuse_everywhere(NULL, APR_EINVAL);
    assert_success(mproc_conn_close(NULL));
}

static void test_closed(void **state)
{
    mproc_conn_t *first, *second;
    (void)state;
    make_conns(&first, &second);
    close_both(first, second);
    refuse_everywhere(first, MPROC_ECLOSED);
    assert_failure(mproc_conn_close(first), MPROC_ECLOSED);
}

static int do_nothing(mproc_call_t *call)
{
    return call ? 0 : 1;
}

static void test_never_one(void **state)
{
    int thing = 0;
    mproc_process_t *process;
    mproc_listener_t *listener;
    (void)state;
    refuse_everywhere((mproc_conn_t *)&thing, MPROC_ECLOSED);
    refuse_everywhere((mproc_conn_t *)(intptr_t)-1, MPROC_ECLOSED);
    assert_success(mproc_process_create(&process, do_nothing, NULL));
    refuse_everywhere((mproc_conn_t *)process, MPROC_ECLOSED);
    assert_failure(mproc_conn_close((mproc_conn_t *)process), MPROC_ECLOSED);
    assert_success(mproc_process_close(process));
    assert_success(mproc_listener_create(&listener, NULL, NULL));
    refuse_everywhere((mproc_conn_t *)listener, MPROC_ECLOSED);
    assert_failure(mproc_conn_close((mproc_conn_t *)listener), MPROC_ECLOSED);
    assert_success(mproc_listener_close(listener));
}

static int use_creators_connection(mproc_call_t *call)
{
    mproc_conn_t *conn = *(mproc_conn_t **)mproc_call_data(call, sizeof conn);
    char byte;
    if (mproc_conn_send(conn, "x", 1, 0) != MPROC_EFOREIGN ||
        mproc_conn_recv_into(conn, &byte, 1, NULL, 0) != MPROC_EFOREIGN || mproc_conn_poll(conn, 0) != MPROC_EFOREIGN)
        return 1;
    return mproc_conn_close(conn) == MPROC_EFOREIGN ? 0 : 2;
}

static void test_inherited_by_fork(void **state)
{
    mproc_conn_t *first, *second;
    (void)state;
    if (!has_fork())
        skip_because("there is no fork here");
    make_conns(&first, &second);
    mproc_process_opts_t opts = {0};
    opts.start_method = MPROC_FORK;
    opts.data = &first;
    opts.size = sizeof first;
    assert_int_equal(finish(start(use_creators_connection, opts)), 0);
    assert_success(mproc_conn_send(first, "x", 1, 0));
    close_both(first, second);
}

static void test_bad_arguments(void **state)
{
    mproc_conn_t *first, *second, *nothing = (mproc_conn_t *)&nothing;
    void *data = &data;
    size_t size;
    mproc_attachments_t holes = {NULL, 1, NULL, 0};
    (void)state;
    assert_failure(mproc_pipe(NULL, &nothing, NULL), APR_EINVAL);
    assert_null(nothing);
    nothing = (mproc_conn_t *)&nothing;
    assert_failure(mproc_pipe(&nothing, NULL, NULL), APR_EINVAL);
    assert_null(nothing);
    make_conns(&first, &second);
    assert_failure(mproc_conn_send(first, NULL, 1, 0), APR_EINVAL);
    assert_failure(mproc_conn_send(first, "x", SIZE_MAX, 0), APR_EINVAL);
    assert_failure(mproc_conn_send_with(first, "x", 1, NULL, 0), APR_EINVAL);
    assert_failure(mproc_conn_send_with(first, "x", 1, &holes, 0), APR_EINVAL);
    holes = (mproc_attachments_t){NULL, 0, NULL, 1};
    assert_failure(mproc_conn_send_with(first, "x", 1, &holes, 0), APR_EINVAL);
    holes = (mproc_attachments_t){&second, SIZE_MAX, NULL, 0};
    assert_failure(mproc_conn_send_with(first, "x", 1, &holes, 0), APR_EINVAL);
    assert_failure(mproc_conn_send_conn(first, NULL, 0), APR_EINVAL);
    assert_success(mproc_conn_send(first, NULL, 0, 0));
    assert_failure(mproc_conn_recv(second, NULL, &size, 0), APR_EINVAL);
    assert_failure(mproc_conn_recv(second, &data, NULL, 0), APR_EINVAL);
    assert_null(data);
    assert_failure(mproc_conn_recv_into(second, NULL, 1, &size, 0), APR_EINVAL);
    assert_failure(mproc_conn_recv_exactly(second, NULL, 1, 0), APR_EINVAL);
    assert_failure(mproc_conn_recv_with(second, &data, &size, NULL, 0), APR_EINVAL);
    holes = (mproc_attachments_t){NULL, 1, NULL, 0};
    assert_failure(mproc_conn_recv_with(second, &data, &size, &holes, 0), APR_EINVAL);
    assert_failure(mproc_conn_recv_conn(second, NULL, 0), APR_EINVAL);
    assert_failure(mproc_conn_fileno(second, NULL), APR_EINVAL);
    assert_failure(mproc_conn_peer(second, NULL), APR_EINVAL);
    assert_success(mproc_conn_recv_into(second, NULL, 0, NULL, 0)); /* it is still there */
    mproc_free(NULL);
    close_both(first, second);
}

static void test_options_of_a_newer_program(void **state)
{
    struct {
        mproc_conn_opts_t known;
        int newer;
    } opts;
    struct {
        mproc_attachments_t known;
        int newer;
    } attachments;
    mproc_conn_t *first, *second;
    void *data;
    size_t size;
    (void)state;
    memset(&opts, 0, sizeof opts);
    memset(&attachments, 0, sizeof attachments);
    assert_failure(mproc_pipe_sized(&first, &second, &opts.known, sizeof opts), MPROC_EBUILD);
    assert_null(first);
    assert_null(second);
    assert_failure(mproc_conn_open_sized(&first, 0, &opts.known, sizeof opts), MPROC_EBUILD);
    assert_null(first);
    assert_failure(mproc_connect_sized(&first, "nobody", &opts.known, sizeof opts, 0), MPROC_EBUILD);
    assert_null(first);
    /* An older program knows fewer of them: the rest are their defaults. */
    opts.known.one_way = 1;
    opts.known.max_size = 1;
    assert_success(mproc_pipe_sized(&first, &second, &opts.known, sizeof opts.known.one_way));
    assert_failure(mproc_conn_send(first, "x", 1, 0), MPROC_EDIRECTION);
    assert_success(send_bytes(second, 10, 1, 0));
    assert_success(expect_bytes(first, 10, 1, 0));
    assert_failure(mproc_conn_recv_with_sized(first, &data, &size, &attachments.known, sizeof attachments, 0),
                   MPROC_EBUILD);
    close_both(first, second);
}

/* ---- Messages ---------------------------------------------------------------------------------------------------- */

typedef struct stream_of_t {
    mproc_conn_t *conn;
    const size_t *sizes;
    size_t count;
    apr_status_t status;
} stream_of_t;

static void send_all(void *context)
{
    stream_of_t *stream = context;
    stream->status = APR_SUCCESS;
    for (size_t i = 0; i < stream->count && stream->status == APR_SUCCESS; i++)
        stream->status = send_bytes(stream->conn, stream->sizes[i], i, patience());
}

/** Receive one message by each of the ways to do so. */
static void receive_by(int way, mproc_conn_t *conn, size_t size, uint64_t seed)
{
    static unsigned char buffer[3 << 20 | 1];
    size_t got = 0;
    mproc_attachments_t none = {NULL, 0, NULL, 0};
    void *data;
    switch (way) {
    case 0:
        assert_success(expect_bytes(conn, size, seed, patience()));
        return;
    case 1:
        assert_success(mproc_conn_recv_into(conn, buffer, size, &got, patience()));
        break;
    case 2:
        assert_success(mproc_conn_recv_into(conn, buffer, sizeof buffer, &got, MPROC_FOREVER));
        break;
    case 3:
        got = size;
        assert_success(mproc_conn_recv_exactly(conn, buffer, size, MPROC_FOREVER));
        break;
    default:
        assert_success(mproc_conn_recv_with(conn, &data, &got, &none, patience()));
        memcpy(buffer, data, got);
        mproc_free(data);
    }
    assert_int_equal(got, size);
    assert_true(are_bytes(buffer, size, seed));
}

/** Sizes around all boundaries there may be, in all ways of receiving. */
static void test_sizes(void **state)
{
    static const size_t around[] = {1, 4096, 8192, 16384, 32768, 65536, 131072, 212992, 1 << 20, 4 << 18, 3 << 20};
    size_t sizes[3 + 5 * (sizeof around / sizeof around[0])] = {0, 0, 3};
    mproc_conn_t *first, *second;
    size_t count = 3;
    (void)state;
    for (size_t i = 0; i < sizeof around / sizeof around[0]; i++) {
        static const int offsets[] = {-4, -1, 0, 1, -16};
        for (size_t j = 0; j < 5; j++)
            if (offsets[j] >= 0 || around[i] > 16)
                sizes[count++] = around[i] + (size_t)offsets[j] - (around[i] == 3 << 20 && offsets[j] > 0);
    }
    make_conns(&first, &second);
    for (int way = 0; way < 5; way++) {
        stream_of_t stream = {first, sizes, count, APR_SUCCESS};
        later_t later;
        begin_later(&later, 0, send_all, &stream);
        for (size_t i = 0; i < count; i++)
            receive_by(way, second, sizes[i], i);
        end_later(&later);
        assert_success(stream.status);
    }
    close_both(first, second);
}

static void test_empty_messages(void **state)
{
    mproc_conn_t *first, *second;
    void *data;
    size_t size = 5;
    (void)state;
    make_conns(&first, &second);
    assert_success(mproc_conn_send(first, NULL, 0, 0));
    assert_success(mproc_conn_send(first, "x", 0, 0));
    assert_success(mproc_conn_send(first, "x", 0, 0));
    assert_success(mproc_conn_poll(second, 0));
    assert_success(mproc_conn_recv(second, &data, &size, 0));
    assert_non_null(data);
    assert_int_equal(size, 0);
    assert_int_equal(*(char *)data, 0);
    mproc_free(data);
    assert_success(mproc_conn_discard(second, 0));
    assert_success(mproc_conn_recv_exactly(second, NULL, 0, 0));
    assert_failure(mproc_conn_recv(second, &data, &size, 0), APR_TIMEUP);
    assert_failure(mproc_conn_poll(second, 0), APR_TIMEUP);
    close_both(first, second);
}

static void test_one_way(void **state)
{
    mproc_conn_t *reader, *writer;
    const mproc_conn_opts_t opts = {.one_way = 1};
    void *data;
    size_t size;
    char byte;
    (void)state;
    assert_success(mproc_pipe(&reader, &writer, &opts));
    assert_failure(mproc_conn_send(reader, "x", 1, MPROC_FOREVER), MPROC_EDIRECTION);
    assert_error_names("receives");
    assert_failure(mproc_conn_flush(reader, MPROC_FOREVER), MPROC_EDIRECTION);
    assert_failure(mproc_conn_recv(writer, &data, &size, MPROC_FOREVER), MPROC_EDIRECTION);
    assert_error_names("sends");
    assert_failure(mproc_conn_recv_into(writer, &byte, 1, NULL, MPROC_FOREVER), MPROC_EDIRECTION);
    assert_failure(mproc_conn_discard(writer, MPROC_FOREVER), MPROC_EDIRECTION);
    assert_failure(mproc_conn_poll(writer, MPROC_FOREVER), MPROC_EDIRECTION);
    assert_success(send_bytes(writer, 100, 1, 0));
    assert_success(expect_bytes(reader, 100, 1, 0));
    assert_success(mproc_conn_close(reader));
    assert_failure(mproc_conn_send(writer, "x", 1, MPROC_FOREVER), APR_EPIPE);
    assert_success(mproc_conn_close(writer));
    assert_success(mproc_pipe(&reader, &writer, &opts));
    assert_success(mproc_conn_close(writer));
    assert_failure(mproc_conn_recv(reader, &data, &size, MPROC_FOREVER), APR_EOF);
    assert_success(mproc_conn_close(reader));
}

static void test_max_size(void **state)
{
    const mproc_conn_opts_t opts = {.max_size = 100};
    mproc_conn_t *first, *second;
    mproc_attachments_t none = {NULL, 0, NULL, 0};
    unsigned char buffer[200];
    void *data;
    size_t size = 0;
    (void)state;
    assert_success(mproc_pipe(&first, &second, &opts));
    assert_success(send_bytes(first, 100, 1, 0));
    assert_success(send_bytes(first, 101, 2, 0));
    assert_success(send_bytes(first, 50, 3, 0));
    assert_success(expect_bytes(second, 100, 1, 0));
    for (int i = 0; i < 2; i++) {
        assert_failure(mproc_conn_recv(second, &data, &size, 0), MPROC_ETOOBIG);
        assert_int_equal(size, 101);
        assert_null(data);
        size = 0;
        assert_failure(mproc_conn_recv_into(second, buffer, sizeof buffer, &size, 0), MPROC_ETOOBIG);
        assert_int_equal(size, 101);
        size = 0;
        assert_failure(mproc_conn_recv_with(second, &data, &size, &none, 0), MPROC_ETOOBIG);
        assert_int_equal(size, 101);
        assert_success(mproc_conn_poll(second, 0));
    }
    assert_success(mproc_conn_discard(second, 0));
    assert_success(expect_bytes(second, 50, 3, 0));
    close_both(first, second);
}

/** As before, with a message larger than what is read ahead, and than what the system holds. */
static void test_max_size_in_parts(void **state)
{
    const mproc_conn_opts_t opts = {.max_size = 100};
    mproc_conn_t *first, *second;
    void *data;
    size_t size = 0;
    (void)state;
    need_parts();
    assert_success(mproc_pipe(&first, &second, &opts));
    assert_failure(send_bytes(first, HUGE_SIZE, 4, 0), MPROC_EUNFINISHED);
    assert_failure(mproc_conn_recv(second, &data, &size, 0), MPROC_ETOOBIG);
    assert_int_equal(size, HUGE_SIZE);
    apr_status_t status = APR_TIMEUP;
    while (mproc_conn_flush(first, 0) == APR_TIMEUP)
        status = mproc_conn_discard(second, 0);
    assert_success(send_bytes(first, 70, 5, 0));
    if (status != APR_SUCCESS)
        assert_success(expect_bytes(second, 70, 5, patience())); /* what is left of it goes first */
    else
        fail_msg("the message was dropped before all of it was there");
    close_both(first, second);
}

static void test_recv_into_too_small(void **state)
{
    static unsigned char buffer[HUGE_SIZE];
    mproc_conn_t *first, *second;
    size_t size = 0;
    later_t later;
    const size_t sizes[] = {HUGE_SIZE};
    (void)state;
    make_conns(&first, &second);
    assert_success(send_bytes(first, 10, 1, 0));
    assert_failure(mproc_conn_recv_into(second, buffer, 9, &size, 0), MPROC_ETOOBIG);
    assert_int_equal(size, 10);
    assert_error_names("10 bytes");
    assert_failure(mproc_conn_recv_into(second, NULL, 0, NULL, 0), MPROC_ETOOBIG);
    assert_failure(mproc_conn_recv_exactly(second, buffer, 9, 0), MPROC_ESIZE);
    assert_failure(mproc_conn_recv_exactly(second, buffer, 11, 0), MPROC_ESIZE);
    assert_success(mproc_conn_recv_exactly(second, buffer, 10, 0));
    assert_true(are_bytes(buffer, 10, 1));
    stream_of_t stream = {first, sizes, 1, APR_SUCCESS};
    begin_later(&later, 0, send_all, &stream);
    size = 0;
    assert_failure(mproc_conn_recv_into(second, buffer, HUGE_SIZE - 1, &size, patience()), MPROC_ETOOBIG);
    assert_int_equal(size, HUGE_SIZE);
    assert_success(mproc_conn_recv_into(second, buffer, size, &size, patience()));
    assert_true(are_bytes(buffer, HUGE_SIZE, 0));
    end_later(&later);
    close_both(first, second);
}

/* ---- Timeouts, and messages in parts ----------------------------------------------------------------------------- */

static void test_timeouts(void **state)
{
    mproc_conn_t *first, *second;
    void *data;
    size_t size, sent = 0;
    apr_status_t status;
    (void)state;
    make_conns(&first, &second);
    apr_time_t begin = apr_time_now();
    assert_failure(mproc_conn_recv(second, &data, &size, 0), APR_TIMEUP);
    assert_failure(mproc_conn_recv(second, &data, &size, 50000), APR_TIMEUP);
    assert_failure(mproc_conn_poll(second, 50000), APR_TIMEUP);
    assert_failure(mproc_conn_discard(second, 50000), APR_TIMEUP);
    assert_true(apr_time_now() - begin >= 149000);
    assert_true(apr_time_now() - begin < patience());
    /* Small messages go whole or not at all. */
    while ((status = send_bytes(first, 10, sent, 0)) == APR_SUCCESS)
        sent++;
    assert_failure(status, APR_TIMEUP);
    assert_true(sent > 10);
    begin = apr_time_now();
    assert_failure(send_bytes(first, 10, sent, 50000), APR_TIMEUP);
    assert_true(apr_time_now() - begin >= 49000);
    assert_true(apr_time_now() - begin < patience());
    assert_success(mproc_conn_flush(first, 0)); /* nothing is left */
    for (size_t i = 0; i < sent; i++)
        assert_success(expect_bytes(second, 10, i, 0));
    assert_failure(mproc_conn_recv(second, &data, &size, 0), APR_TIMEUP);
    close_both(first, second);
}

static void test_unfinished(void **state)
{
    mproc_conn_t *first, *second;
    later_t later;
    (void)state;
    need_parts();
    make_conns(&first, &second);
    for (int by_flush = 0; by_flush < 2; by_flush++) {
        const apr_interval_time_t timeout = by_flush ? 20000 : 0;
        const size_t sizes[] = {30};
        stream_of_t stream = {first, sizes, 1, APR_SUCCESS};
        assert_success(mproc_conn_flush(first, 0));
        assert_failure(send_bytes(first, HUGE_SIZE, 1, timeout), MPROC_EUNFINISHED);
        assert_failure(send_bytes(first, 10, 2, timeout), APR_TIMEUP); /* nothing of this one */
        assert_failure(mproc_conn_flush(first, timeout), APR_TIMEUP);
        assert_success(send_bytes(second, 10, 3, 0)); /* the other direction is another matter */
        assert_success(expect_bytes(first, 10, 3, 0));
        begin_later(&later, 0, send_all, &stream); /* the next one sends what is left */
        assert_success(expect_bytes(second, HUGE_SIZE, 1, patience()));
        if (!by_flush)
            assert_success(expect_bytes(second, 30, 0, patience()));
        end_later(&later);
        assert_success(stream.status);
        if (by_flush)
            assert_success(expect_bytes(second, 30, 0, patience()));
    }
    close_both(first, second);
}

/** What is left when it is closed is lost, and the receiver is told. */
static void test_closed_unfinished(void **state)
{
    mproc_conn_t *first, *second;
    void *data;
    size_t size;
    (void)state;
    need_parts();
    make_conns(&first, &second);
    assert_success(send_bytes(first, 10, 1, 0));
    assert_failure(send_bytes(first, HUGE_SIZE, 2, 0), MPROC_EUNFINISHED);
    assert_success(mproc_conn_close(first));
    assert_success(expect_bytes(second, 10, 1, 0));
    for (int i = 0; i < 2; i++) {
        assert_failure(mproc_conn_recv(second, &data, &size, MPROC_FOREVER), MPROC_ETRUNCATED);
        assert_success(mproc_conn_poll(second, 0));
        assert_failure(mproc_conn_discard(second, MPROC_FOREVER), MPROC_ETRUNCATED);
    }
    assert_failure(mproc_conn_send(second, "x", 1, MPROC_FOREVER), APR_EPIPE);
    assert_success(mproc_conn_close(second));
}

typedef enum rest_by_t { BY_RECV, BY_INTO, BY_EXACTLY, BY_DISCARD, BY_WITH, RESTS } rest_by_t;

static unsigned char large[HUGE_SIZE];

/** Go on with a message in one of the ways. */
static apr_status_t go_on(rest_by_t by, mproc_conn_t *conn, apr_interval_time_t timeout)
{
    mproc_attachments_t none = {NULL, 0, NULL, 0};
    void *data = NULL;
    size_t size = HUGE_SIZE;
    apr_status_t status;
    if (by == BY_RECV)
        status = mproc_conn_recv(conn, &data, &size, timeout);
    else if (by == BY_INTO)
        status = mproc_conn_recv_into(conn, large, sizeof large, &size, timeout);
    else if (by == BY_EXACTLY)
        status = mproc_conn_recv_exactly(conn, large, sizeof large, timeout);
    else if (by == BY_WITH)
        status = mproc_conn_recv_with(conn, &data, &size, &none, timeout);
    else
        return mproc_conn_discard(conn, timeout);
    if (status != APR_SUCCESS)
        return status;
    if (size != HUGE_SIZE || !are_bytes(data ? data : large, size, 6))
        status = MPROC_ESIZE;
    mproc_free(data);
    return status;
}

/** A message that comes in parts, each received in another way, the last in any. */
static void test_received_in_parts(void **state)
{
    (void)state;
    need_parts();
    unsigned long long random = choose_seed();
    for (int last = 0; last < RESTS; last++) {
        for (int round = 0; round < 10; round++) {
            mproc_conn_t *first, *second;
            make_conns(&first, &second);
            assert_failure(send_bytes(first, HUGE_SIZE, 6, 0), MPROC_EUNFINISHED);
            apr_status_t sent;
            int parts = 0;
            do {
                rest_by_t by = (rest_by_t)(next_random(&random) % RESTS);
                if (by == BY_DISCARD && last != BY_DISCARD)
                    by = BY_RECV;
                if (by == BY_INTO && last != BY_DISCARD)
                    assert_failure(mproc_conn_recv_into(second, large, 100, NULL, 0), MPROC_ETOOBIG);
                assert_failure(go_on(by, second, next_random(&random) % 4 ? 0 : 100), APR_TIMEUP);
                sent = mproc_conn_flush(first, 0);
                parts++;
            } while (sent == APR_TIMEUP);
            assert_success(sent);
            assert_true(parts > 1);
            /* Once a call has begun to drop it, it is no message any more. */
            if (last != BY_DISCARD)
                assert_success(go_on((rest_by_t)last, second, patience()));
            assert_success(send_bytes(first, 20, 7, 0));
            const apr_status_t status = expect_bytes(second, 20, 7, patience());
            if (last != BY_DISCARD)
                assert_success(status);
            else if (status != APR_SUCCESS) /* nobody has tried to drop it */
                assert_int_equal(status, MPROC_ESIZE);
            close_both(first, second);
        }
    }
}

/* ---- Ends -------------------------------------------------------------------------------------------------------- */

static void test_end_after_last_message(void **state)
{
    mproc_conn_t *first, *second;
    void *data;
    size_t size;
    (void)state;
    make_conns(&first, &second);
    for (unsigned i = 0; i < 20; i++)
        assert_success(send_bytes(first, 100 * i, i, 0));
    assert_success(send_bytes(second, 10, 1, 0)); /* unread: a reset must not take what was sent */
    assert_success(mproc_conn_close(first));
    for (unsigned i = 0; i < 20; i++)
        assert_success(expect_bytes(second, 100 * i, i, MPROC_FOREVER));
    for (int i = 0; i < 3; i++) {
        assert_failure(mproc_conn_recv(second, &data, &size, MPROC_FOREVER), APR_EOF);
        assert_success(mproc_conn_poll(second, MPROC_FOREVER));
        assert_failure(mproc_conn_send(second, "x", 1, MPROC_FOREVER), APR_EPIPE); /* and no signal */
    }
    assert_success(mproc_conn_close(second));
}

/** The other end is closed while this one waits in the middle of a message. */
static void test_end_while_sending(void **state)
{
    (void)state;
    for (int forever = 0; forever < 2; forever++) {
        mproc_conn_t *first, *second;
        later_t later;
        make_conns(&first, &second);
        begin_later(&later, 50, close_conn, second);
        assert_failure(send_bytes(first, HUGE_SIZE, 1, forever ? MPROC_FOREVER : patience()), APR_EPIPE);
        end_later(&later);
        assert_failure(mproc_conn_send(first, "x", 1, 0), APR_EPIPE);
        assert_success(mproc_conn_close(first));
    }
}

/* ---- Closed by another thread ------------------------------------------------------------------------------------ */

typedef enum wait_in_t { IN_RECV, IN_INTO, IN_PART, IN_DISCARD, IN_POLL, IN_WAIT, IN_SEND, IN_FLUSH, WAITS } wait_in_t;

static apr_status_t wait_in(wait_in_t where, mproc_conn_t *conn, apr_interval_time_t timeout)
{
    void *data;
    size_t size;
    mproc_wait_t item = mproc_wait_conn(conn);
    switch (where) {
    case IN_RECV:
        return mproc_conn_recv(conn, &data, &size, timeout);
    case IN_INTO:
    case IN_PART:
        return mproc_conn_recv_into(conn, large, sizeof large, &size, timeout);
    case IN_DISCARD:
        return mproc_conn_discard(conn, timeout);
    case IN_POLL:
        return mproc_conn_poll(conn, timeout);
    case IN_WAIT:
        return mproc_wait(&item, 1, timeout);
    case IN_SEND:
        return send_bytes(conn, HUGE_SIZE, 1, timeout);
    default:
        return mproc_conn_flush(conn, timeout);
    }
}

/** Each call that waits ends when its connection is closed here. */
static void test_closed_while_waiting(void **state)
{
    (void)state;
    const int has_parts = goes_in_parts();
    for (int where = 0; where < WAITS; where++) {
        if (!has_parts && (where == IN_PART || where == IN_FLUSH))
            continue;
        for (int forever = 0; forever < 2; forever++) {
            mproc_conn_t *first, *second;
            later_t later;
            make_conns(&first, &second);
            if (where == IN_PART) {
                assert_failure(send_bytes(second, HUGE_SIZE, 1, 0), MPROC_EUNFINISHED);
                assert_failure(wait_in(IN_PART, first, 0), APR_TIMEUP);
            }
            if (where == IN_FLUSH)
                assert_failure(send_bytes(first, HUGE_SIZE, 1, 0), MPROC_EUNFINISHED);
            begin_later(&later, 20, close_conn, first);
            assert_failure(wait_in((wait_in_t)where, first, forever ? MPROC_FOREVER : patience()), MPROC_ECLOSED);
            end_later(&later);
            refuse_everywhere(first, MPROC_ECLOSED);
            assert_success(mproc_conn_close(second));
        }
    }
}

/** Closed here, it is also closed for the other end, even while a thread here is still in a call. */
static void test_close_is_seen_by_the_other_end(void **state)
{
    mproc_conn_t *first, *second;
    later_t later;
    void *data;
    size_t size;
    (void)state;
    make_conns(&first, &second);
    assert_success(send_bytes(first, 10, 1, 0));
    begin_later(&later, 20, close_conn, first);
    assert_failure(mproc_conn_recv(first, &data, &size, MPROC_FOREVER), MPROC_ECLOSED);
    end_later(&later);
    assert_success(expect_bytes(second, 10, 1, patience()));
    assert_failure(mproc_conn_recv(second, &data, &size, patience()), APR_EOF);
    assert_success(mproc_conn_close(second));
}

typedef struct queued_t {
    mproc_conn_t *conn;
    apr_status_t status;
    int sends;
} queued_t;

static void send_or_receive(void *context)
{
    queued_t *queued = context;
    void *data = NULL;
    size_t size;
    queued->status = queued->sends ? send_bytes(queued->conn, HUGE_SIZE, 1, MPROC_FOREVER)
                                   : mproc_conn_recv(queued->conn, &data, &size, patience());
    mproc_free(data);
}

/** Threads that queue for their turn are ended, too. */
static void test_closed_while_many_wait(void **state)
{
    enum { MANY = 8 };
    later_t laters[MANY];
    queued_t queued[MANY];
    mproc_conn_t *first, *second;
    (void)state;
    make_conns(&first, &second);
    for (int i = 0; i < MANY; i++) {
        queued[i] = (queued_t){first, APR_SUCCESS, i % 2};
        begin_later(&laters[i], 0, send_or_receive, &queued[i]);
    }
    apr_sleep(50000);
    assert_success(mproc_conn_close(first));
    for (int i = 0; i < MANY; i++) {
        end_later(&laters[i]);
        assert_int_equal(queued[i].status, MPROC_ECLOSED);
    }
    assert_success(mproc_conn_close(second));
}

static _Atomic int stop_closing;

/** Close connections that others wait for, all the time: those who wait for others are woken as well. */
static void close_others(void *context)
{
    int *count = context;
    while (!atomic_load(&stop_closing)) {
        mproc_conn_t *first, *second;
        later_t later;
        queued_t queued = {NULL, APR_SUCCESS, 0};
        if (mproc_pipe(&first, &second, NULL) != APR_SUCCESS)
            return;
        queued.conn = first;
        begin_later(&later, 0, send_or_receive, &queued);
        apr_sleep(500);
        mproc_conn_close(first);
        end_later(&later);
        mproc_conn_close(second);
        ++*count;
    }
}

typedef struct slow_t {
    mproc_conn_t *conn;
    int is_right;
} slow_t;

/** Receive a large message in small steps. */
static void receive_slowly(void *context)
{
    slow_t *slow = context;
    void *data;
    size_t size;
    apr_status_t status;
    while ((status = mproc_conn_recv(slow->conn, &data, &size, 0)) == APR_TIMEUP)
        apr_sleep(3000);
    slow->is_right = status == APR_SUCCESS && size == HUGE_SIZE && are_bytes(data, size, 1);
    if (status == APR_SUCCESS)
        mproc_free(data);
}

/** To be woken for another's sake is no reason to stop in the middle of a message. */
static void test_woken_for_others(void **state)
{
    mproc_conn_t *first, *second;
    later_t closer, receiver;
    int count = 0;
    (void)state;
    make_conns(&first, &second);
    begin_later(&closer, 0, close_others, &count);
    for (int i = 0; i < 5; i++) {
        slow_t slow = {second, 0};
        begin_later(&receiver, 10, receive_slowly, &slow);
        assert_success(send_bytes(first, HUGE_SIZE, 1, patience() * 2));
        end_later(&receiver);
        assert_true(slow.is_right);
        /* Nor for a receiver. */
        const size_t sizes[] = {HUGE_SIZE};
        stream_of_t stream = {first, sizes, 1, APR_SUCCESS};
        begin_later(&receiver, 20, send_all, &stream);
        assert_success(mproc_conn_recv_exactly(second, large, HUGE_SIZE, patience()));
        end_later(&receiver);
        assert_true(are_bytes(large, HUGE_SIZE, 0));
    }
    atomic_store(&stop_closing, 1);
    end_later(&closer);
    assert_true(count > 0);
    close_both(first, second);
}

/* ---- Several threads at one end ---------------------------------------------------------------------------------- */

enum { SENDERS = 4, RECEIVERS = 4, EACH = 400, MOST = 70000 };

typedef struct worker_t {
    mproc_conn_t *conn;
    unsigned long long seed;
    uint32_t id;
    _Atomic unsigned char *seen; /* how often each message came */
    int faults;
    int count;
} worker_t;

static void send_many(void *context)
{
    worker_t *worker = context;
    unsigned char *message = malloc(MOST + sizeof(stamp_t));
    for (uint32_t i = 0; i < EACH; i++) {
        const size_t most = next_random(&worker->seed) % 5 ? 300 : MOST;
        const size_t size = sizeof(stamp_t) + (size_t)(next_random(&worker->seed) % most);
        const apr_interval_time_t timeout = next_random(&worker->seed) % 3 ? MPROC_FOREVER : patience();
        make_message(message, size, worker->id, i);
        worker->faults += mproc_conn_send(worker->conn, message, size, timeout) != APR_SUCCESS;
    }
    free(message);
}

static void receive_many(void *context)
{
    worker_t *worker = context;
    apr_status_t status;
    for (;;) {
        void *data;
        size_t size;
        stamp_t stamp;
        status = mproc_conn_recv(worker->conn, &data, &size,
                                 next_random(&worker->seed) % 3 ? MPROC_FOREVER : (apr_interval_time_t)300);
        if (status == APR_TIMEUP)
            continue;
        if (status != APR_SUCCESS)
            break;
        if (!is_whole(&stamp, data, size) || stamp.sender >= SENDERS || stamp.number >= EACH)
            worker->faults++;
        else
            atomic_fetch_add(&worker->seen[stamp.sender * EACH + stamp.number], 1);
        worker->count++;
        mproc_free(data);
    }
    worker->faults += status != APR_EOF;
}

static void test_many_threads_at_one_end(void **state)
{
    static _Atomic unsigned char seen[SENDERS * EACH];
    worker_t senders[SENDERS], receivers[RECEIVERS];
    later_t sending[SENDERS], receiving[RECEIVERS];
    mproc_conn_t *first, *second;
    int count = 0;
    (void)state;
    unsigned long long seed = choose_seed();
    make_conns(&first, &second);
    for (uint32_t i = 0; i < RECEIVERS; i++) {
        receivers[i] = (worker_t){second, next_random(&seed), i, seen, 0, 0};
        begin_later(&receiving[i], 0, receive_many, &receivers[i]);
    }
    for (uint32_t i = 0; i < SENDERS; i++) {
        senders[i] = (worker_t){first, next_random(&seed), i, seen, 0, 0};
        begin_later(&sending[i], 0, send_many, &senders[i]);
    }
    for (int i = 0; i < SENDERS; i++) {
        end_later(&sending[i]);
        assert_int_equal(senders[i].faults, 0);
    }
    assert_success(mproc_conn_close(first));
    for (int i = 0; i < RECEIVERS; i++) {
        end_later(&receiving[i]);
        assert_int_equal(receivers[i].faults, 0);
        count += receivers[i].count;
    }
    assert_int_equal(count, SENDERS * EACH);
    for (int i = 0; i < SENDERS * EACH; i++)
        assert_int_equal(atomic_load(&seen[i]), 1);
    assert_success(mproc_conn_close(second));
}

/* ---- Pools, the system's handle, the peer ------------------------------------------------------------------------ */

static void test_closed_with_pool(void **state)
{
    apr_pool_t *pool;
    mproc_conn_opts_t opts = {0};
    mproc_conn_t *first, *second;
    (void)state;
    const int before = count_after_waiting();
    apr_pool_create(&pool, NULL);
    opts.pool = pool;
    assert_success(mproc_pipe(&first, &second, &opts));
    assert_success(mproc_conn_close(second)); /* closed twice, as it were */
    apr_pool_destroy(pool);
    refuse_everywhere(first, MPROC_ECLOSED);
    refuse_everywhere(second, MPROC_ECLOSED);
    expect_descriptors(before);
}

static void test_fileno(void **state)
{
    mproc_conn_t *first, *second;
    mproc_os_handle_t handle = MPROC_NO_HANDLE, again;
    (void)state;
    if (!has_fork())
        skip_because("the handle of a pipe says nothing here");
    make_conns(&first, &second);
    assert_success(mproc_conn_fileno(second, &handle));
    assert_int_not_equal(handle, MPROC_NO_HANDLE);
    mproc_wait_t item = mproc_wait_handle(handle);
    assert_failure(mproc_wait(&item, 1, 0), APR_TIMEUP);
    /* Nothing is read ahead: as long as there is a message the handle is ready. */
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 5; i++)
            assert_success(send_bytes(first, round && i == 2 ? 100000 : 10, i, 0));
        for (unsigned i = 0; i < 5; i++) {
            item = mproc_wait_handle(handle);
            assert_success(mproc_wait(&item, 1, 0));
            assert_success(expect_bytes(second, round && i == 2 ? 100000 : 10, i, 0));
        }
        item = mproc_wait_handle(handle);
        assert_failure(mproc_wait(&item, 1, 0), APR_TIMEUP);
    }
    assert_success(mproc_conn_fileno(second, &again));
    assert_int_equal(handle, again);
    close_both(first, second);
}

static void test_open_refused(void **state)
{
    char path[512];
    mproc_conn_t *conn = (mproc_conn_t *)&conn;
    (void)state;
    assert_failure(mproc_conn_open(NULL, 0, NULL), APR_EINVAL);
    assert_failure(mproc_conn_open(&conn, MPROC_NO_HANDLE, NULL), APR_EBADF);
    assert_null(conn);
    assert_failure(mproc_conn_open(&conn, 123456, NULL), APR_EBADF);
    apr_file_t *file = make_file(path, sizeof path);
    conn = (mproc_conn_t *)&conn;
    assert_failure(mproc_conn_open(&conn, handle_of(file), NULL), APR_EINVAL);
    assert_null(conn);
    assert_int_equal(apr_file_puts("still the caller's", file), APR_SUCCESS);
    assert_int_equal(apr_file_close(file), APR_SUCCESS);
    apr_file_remove(path, test_pool());
}

/* ---- Ends that move ---------------------------------------------------------------------------------------------- */

static void test_moved(void **state)
{
    mproc_conn_t *carrier, *other, *first, *second, *moved;
    (void)state;
    make_conns(&carrier, &other);
    const int before = count_after_waiting();
    make_conns(&first, &second);
    for (unsigned i = 0; i < 6; i++)
        assert_success(send_bytes(first, 100, i, 0));
    for (unsigned i = 0; i < 6; i++) { /* what is received in advance moves along, each time */
        assert_success(expect_bytes(second, 100, i, 0));
        assert_success(mproc_conn_send_conn(carrier, second, 0));
        refuse_everywhere(second, MPROC_ECLOSED);
        assert_success(mproc_conn_poll(other, 0));
        assert_success(mproc_conn_recv_conn(other, &moved, 0));
        assert_ptr_not_equal(moved, second);
        second = moved;
    }
    assert_failure(expect_bytes(second, 0, 0, 0), APR_TIMEUP);
    assert_success(send_bytes(second, 100, 7, 0));
    assert_success(expect_bytes(first, 100, 7, 0));
    close_both(first, second);
    expect_descriptors(before);
    close_both(carrier, other);
}

static void test_moved_one_way(void **state)
{
    const mproc_conn_opts_t opts = {.one_way = 1};
    mproc_conn_t *carrier, *other, *reader, *writer, *moved;
    (void)state;
    make_conns(&carrier, &other);
    assert_success(mproc_pipe(&reader, &writer, &opts));
    assert_success(mproc_conn_send_conn(carrier, reader, 0));
    assert_success(mproc_conn_recv_conn(other, &moved, 0));
    assert_failure(mproc_conn_send(moved, "x", 1, 0), MPROC_EDIRECTION);
    assert_success(mproc_conn_send_conn(other, writer, 0));
    assert_success(mproc_conn_recv_conn(carrier, &writer, 0));
    assert_failure(mproc_conn_poll(writer, 0), MPROC_EDIRECTION);
    assert_success(send_bytes(writer, 10, 1, 0));
    assert_success(expect_bytes(moved, 10, 1, 0));
    close_both(writer, moved);
    close_both(carrier, other);
}

/** The end of which a message was received in part moves through a small thread of its own: the table is large. */
typedef struct passing_t {
    mproc_conn_t *carrier;
    mproc_conn_t *moved;
    apr_status_t status;
} passing_t;

static void pass_on(void *context)
{
    passing_t *passing = context;
    passing->status = mproc_conn_send_conn(passing->carrier, passing->moved, patience());
}

static void test_moved_in_the_middle_of_a_message(void **state)
{
    (void)state;
    need_parts();
    for (int by = 0; by < RESTS; by++) {
        mproc_conn_t *carrier, *other, *first, *second;
        apr_status_t sent;
        int moves = 0;
        make_conns(&carrier, &other);
        make_conns(&first, &second);
        assert_failure(send_bytes(first, HUGE_SIZE, 6, 0), MPROC_EUNFINISHED);
        do {
            later_t later;
            if (moves % 3 == 0) {
                passing_t passing = {carrier, second, APR_SUCCESS};
                begin_later(&later, 0, pass_on, &passing);
                assert_success(mproc_conn_recv_conn(other, &second, patience()));
                end_later(&later);
                assert_success(passing.status);
            }
            moves++;
            assert_failure(go_on(moves % 2 ? BY_RECV : BY_INTO, second, 0), APR_TIMEUP);
            sent = mproc_conn_flush(first, 0);
        } while (sent == APR_TIMEUP);
        assert_success(sent);
        assert_success(go_on((rest_by_t)by, second, patience()));
        assert_success(send_bytes(first, 20, 7, 0));
        assert_success(expect_bytes(second, 20, 7, patience()));
        close_both(first, second);
        close_both(carrier, other);
    }
}

static void receive_nothing(void *context)
{
    queued_t *queued = context;
    do {
        queued->status = expect_bytes(queued->conn, 10, 1, patience());
    } while (queued->status == MPROC_ESTATE);
}

static void test_moves_refused(void **state)
{
    mproc_conn_t *carrier, *other, *first, *second, *moved;
    later_t later;
    (void)state;
    make_conns(&carrier, &other);
    make_conns(&first, &second);
    assert_failure(mproc_conn_send_conn(carrier, carrier, 0), APR_EINVAL); /* through itself */
    assert_error_names("itself");
    mproc_conn_t *twice[] = {second, second};
    mproc_attachments_t attachments = {twice, 2, NULL, 0};
    assert_failure(mproc_conn_send_with(carrier, NULL, 0, &attachments, 0), MPROC_ESTATE);
    mproc_conn_t *with_closed[] = {second, (mproc_conn_t *)&later};
    attachments.conns = with_closed;
    assert_failure(mproc_conn_send_with(carrier, NULL, 0, &attachments, 0), MPROC_ECLOSED);
    /* In use. */
    queued_t queued = {second, APR_SUCCESS, 0};
    begin_later(&later, 0, receive_nothing, &queued);
    apr_sleep(50000);
    assert_failure(mproc_conn_send_conn(carrier, second, 0), MPROC_ESTATE);
    assert_error_names("receiving");
    assert_success(send_bytes(first, 10, 1, 0));
    end_later(&later);
    assert_success(queued.status);
    /* Unfinished, in both ways. */
    if (goes_in_parts()) {
        assert_failure(send_bytes(second, HUGE_SIZE, 1, 0), MPROC_EUNFINISHED);
        assert_failure(mproc_conn_send_conn(carrier, second, 0), MPROC_ESTATE);
        assert_failure(mproc_conn_discard(first, 0), APR_TIMEUP);
        assert_failure(mproc_conn_send_conn(carrier, first, 0), MPROC_ESTATE);
    }
    /* A carrier that cannot. */
    assert_success(mproc_conn_close(other));
    make_conns(&moved, &other);
    assert_failure(mproc_conn_send_conn(carrier, moved, 0), APR_EPIPE);
    assert_success(send_bytes(moved, 10, 1, 0)); /* as before */
    assert_success(expect_bytes(other, 10, 1, 0));
    close_both(moved, other);
    assert_success(mproc_conn_close(carrier));
    close_both(first, second);
    /* Nothing came. */
    make_conns(&carrier, &other);
    assert_success(mproc_conn_send(carrier, "x", 1, 0));
    assert_failure(mproc_conn_recv_conn(other, &moved, 0), MPROC_ESIZE);
    assert_null(moved);
    assert_failure(mproc_conn_recv_conn(other, &moved, 0), APR_TIMEUP);
    close_both(carrier, other);
}

static void test_attachments(void **state)
{
    enum { CONNS = 3, HANDLES = 2 };
    mproc_conn_t *carrier, *other, *ours[CONNS], *theirs[CONNS], *came[CONNS];
    apr_file_t *readers[HANDLES], *writers[HANDLES];
    mproc_os_handle_t handles[HANDLES], got[HANDLES];
    void *data;
    size_t size = 0;
    (void)state;
    make_conns(&carrier, &other);
    for (int i = 0; i < CONNS; i++)
        make_conns(&ours[i], &theirs[i]);
    for (int i = 0; i < HANDLES; i++) {
        make_pipe(&readers[i], &writers[i]);
        handles[i] = handle_of(writers[i]);
    }
    mproc_attachments_t attachments = {theirs, CONNS, handles, HANDLES};
    assert_success(mproc_conn_send_with(carrier, "with all", 9, &attachments, 0));
    assert_success(mproc_conn_send(carrier, "next", 5, 0));
    for (int i = 0; i < CONNS; i++)
        refuse_everywhere(theirs[i], MPROC_ECLOSED);
    for (int i = 0; i < HANDLES; i++)
        assert_int_equal(apr_file_close(writers[i]), APR_SUCCESS);
    /* No room, and no way: it stays. */
    char buffer[16];
    assert_failure(mproc_conn_recv(other, &data, &size, 0), MPROC_EATTACHED);
    assert_failure(mproc_conn_recv_into(other, buffer, sizeof buffer, &size, 0), MPROC_EATTACHED);
    assert_failure(mproc_conn_recv_exactly(other, buffer, 9, 0), MPROC_EATTACHED);
    for (int i = 0; i < 4; i++) {
        attachments = (mproc_attachments_t){came, i % 2 ? CONNS : CONNS - 1, got, i / 2 ? HANDLES : HANDLES - 1};
        if (i == 3)
            break;
        assert_failure(mproc_conn_recv_with(other, &data, &size, &attachments, 0), MPROC_ETOOBIG);
        assert_int_equal(attachments.conn_count, CONNS);
        assert_int_equal(attachments.handle_count, HANDLES);
        assert_int_equal(size, 9);
        assert_success(mproc_conn_poll(other, 0));
    }
    assert_failure(mproc_conn_recv_conn(other, &came[0], 0), MPROC_ETOOBIG);
    assert_success(mproc_conn_recv_with(other, &data, &size, &attachments, 0));
    assert_int_equal(size, 9);
    assert_string_equal(data, "with all");
    mproc_free(data);
    for (unsigned i = 0; i < CONNS; i++) {
        assert_success(send_bytes(ours[i], 50, i, 0));
        assert_success(expect_bytes(came[i], 50, i, 0));
        close_both(ours[i], came[i]);
    }
    for (int i = 0; i < HANDLES; i++) {
        char text[16];
        assert_int_equal(write_and_close(got[i], i ? "second" : "first"), 0);
        read_all(readers[i], text, sizeof text); /* to the end: no duplicate is left */
        assert_string_equal(text, i ? "second" : "first");
        apr_file_close(readers[i]);
    }
    assert_success(mproc_conn_recv_exactly(other, buffer, 5, 0));
    assert_string_equal(buffer, "next");
    close_both(carrier, other);
}

/** As many as there can be, and one more; with data larger than the buffers; dropped unseen. */
static void test_most_attachments(void **state)
{
    mproc_conn_t *carrier, *other, *ours[MPROC_ATTACHMENTS_MAX + 1], *theirs[MPROC_ATTACHMENTS_MAX + 1];
    (void)state;
    make_conns(&carrier, &other);
    const int before = count_after_waiting();
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i <= MPROC_ATTACHMENTS_MAX; i++)
            make_conns(&ours[i], &theirs[i]);
        mproc_attachments_t attachments = {theirs, MPROC_ATTACHMENTS_MAX + 1, NULL, 0};
        assert_failure(mproc_conn_send_with(carrier, NULL, 0, &attachments, 0), APR_EINVAL);
        attachments.conn_count--;
        assert_success(mproc_conn_send_with(carrier, large, round * 10000, &attachments, patience()));
        if (round == 2) {
            assert_success(mproc_conn_discard(other, 0));
        } else {
            void *data;
            size_t size;
            assert_success(mproc_conn_recv_with(other, &data, &size, &attachments, 0));
            assert_int_equal(attachments.conn_count, MPROC_ATTACHMENTS_MAX);
            mproc_free(data);
        }
        for (unsigned i = 0; i <= MPROC_ATTACHMENTS_MAX; i++) {
            if (i == MPROC_ATTACHMENTS_MAX || round < 2) {
                assert_success(send_bytes(ours[i], 20, i, 0));
                assert_success(expect_bytes(theirs[i], 20, i, 0));
                assert_success(mproc_conn_close(theirs[i]));
            }
            assert_failure(expect_bytes(ours[i], 0, 0, patience()), APR_EOF);
            assert_success(mproc_conn_close(ours[i]));
        }
    }
    expect_descriptors(before);
    close_both(carrier, other);
}

static void test_many_moves_leak_nothing(void **state)
{
    /* Pipes are not as quick to be made where Windows is emulated. */
    const unsigned many = has_fork() ? 10000 : 1000;
    mproc_conn_t *carrier, *other;
    (void)state;
    make_conns(&carrier, &other);
    const int before = count_after_waiting();
    for (unsigned i = 0; i < many; i++) {
        mproc_conn_t *first, *second;
        make_conns(&first, &second);
        if (i % 2)
            assert_success(send_bytes(first, 20, i, 0));
        assert_success(mproc_conn_send_conn(carrier, second, 0));
        if (i % 4 == 3) {
            assert_success(mproc_conn_discard(other, 0));
            assert_failure(expect_bytes(first, 0, 0, patience()), APR_EOF);
        } else {
            assert_success(mproc_conn_recv_conn(other, &second, 0));
            if (i % 2)
                assert_success(expect_bytes(second, 20, i, 0));
            assert_success(mproc_conn_close(second));
        }
        assert_success(mproc_conn_close(first));
    }
    expect_descriptors(before);
    close_both(carrier, other);
}

/** What is on its way for long is received, and given up, as what is not: the sender keeps nothing of it. */
static void test_received_late(void **state)
{
    mproc_conn_t *carrier, *other, *first, *second;
    (void)state;
    make_conns(&carrier, &other);
    for (int is_received = 0; is_received < 2; is_received++) {
        make_conns(&first, &second);
        assert_success(mproc_conn_send_conn(carrier, second, 0));
        apr_sleep(MPROC_MILLISECONDS(300));
        if (is_received) {
            assert_success(mproc_conn_recv_conn(other, &second, 0));
            assert_success(mproc_conn_close(second));
        } else {
            assert_success(mproc_conn_discard(other, 0));
        }
        assert_failure(expect_bytes(first, 0, 0, patience()), APR_EOF);
        assert_success(mproc_conn_close(first));
    }
    close_both(carrier, other);
}

/** What is on its way when its carrier is closed is closed: at either end, looked at before or not, even nested. */
static void test_lost_on_the_way(void **state)
{
    (void)state;
    const int before = count_after_waiting();
    for (int how = 0; how < 8; how++) {
        mproc_conn_t *carrier, *other, *inner, *outer, *first, *second, *third, *fourth;
        char byte;
        make_conns(&carrier, &other);
        make_conns(&inner, &outer);
        make_conns(&first, &second);
        make_conns(&third, &fourth);
        assert_success(mproc_conn_send_conn(inner, second, 0));
        if (how & 1) /* its message is received in advance here */
            assert_failure(mproc_conn_recv_into(outer, &byte, 1, NULL, 0), MPROC_EATTACHED);
        assert_success(mproc_conn_send_conn(carrier, outer, 0));
        assert_success(mproc_conn_send_conn(carrier, fourth, 0));
        if (how & 2)
            assert_failure(mproc_conn_recv_into(other, &byte, 1, NULL, 0), MPROC_EATTACHED);
        close_both(how & 4 ? carrier : other, how & 4 ? other : carrier);
        assert_failure(expect_bytes(third, 0, 0, patience()), APR_EOF);
        assert_failure(expect_bytes(inner, 0, 0, patience()), APR_EOF);
        assert_failure(expect_bytes(first, 0, 0, patience()), APR_EOF);
        assert_success(mproc_conn_close(first));
        close_both(inner, third);
    }
    expect_descriptors(before);
}

/** A carrier with messages that bring connections moves itself, and they with it. */
static void test_moved_with_what_it_brings(void **state)
{
    (void)state;
    for (int is_read = 0; is_read < 3; is_read++) {
        mproc_conn_t *carrier, *other, *inner, *outer, *first, *second;
        mproc_attachments_t none = {NULL, 0, NULL, 0};
        void *data;
        size_t size;
        make_conns(&carrier, &other);
        make_conns(&inner, &outer);
        make_conns(&first, &second);
        assert_success(send_bytes(first, 10, 3, 0));
        if (is_read)
            assert_success(send_bytes(inner, 10, 1, 0));
        assert_success(mproc_conn_send_conn(inner, second, 0));
        assert_success(send_bytes(inner, 10, 2, 0));
        if (is_read)
            assert_success(expect_bytes(outer, 10, 1, 0));
        if (is_read == 2)
            assert_failure(mproc_conn_recv_with(outer, &data, &size, &none, 0), MPROC_ETOOBIG);
        assert_success(mproc_conn_send_conn(carrier, outer, 0));
        assert_success(mproc_conn_recv_conn(other, &outer, 0));
        assert_success(mproc_conn_recv_conn(outer, &second, 0));
        assert_success(expect_bytes(outer, 10, 2, 0));
        assert_success(expect_bytes(second, 10, 3, 0));
        close_both(first, second);
        close_both(inner, outer);
        close_both(carrier, other);
    }
}

/* ---- The library's end ------------------------------------------------------------------------------------------- */

static void test_library_ended(void **state)
{
    mproc_conn_t *first, *second;
    (void)state;
    make_conns(&first, &second);
    assert_success(mproc_terminate());
    assert_failure(mproc_pipe(&first, &second, NULL), MPROC_EINIT);
    assert_failure(mproc_conn_open(&first, 0, NULL), MPROC_EINIT);
    assert_failure(mproc_connect(&first, "nobody", NULL, 0), MPROC_EINIT);
    assert_failure(mproc_wait(NULL, 0, 0), MPROC_EINIT);
    assert_success(mproc_initialize(0, NULL));
    make_conns(&first, &second);
    close_both(first, second);
}

static void test_closed_by_terminate(void **state)
{
    mproc_conn_t *first, *second, *given;
    mproc_process_t *process;
    mproc_process_opts_t opts = {0};
    (void)state;
    make_conns(&first, &second);
    make_conns(&given, &opts.give[0]);
    assert_success(mproc_process_create(&process, do_nothing, &opts));
    assert_success(mproc_terminate());
    assert_success(mproc_initialize(0, NULL));
    refuse_everywhere(first, MPROC_ECLOSED);
    refuse_everywhere(second, MPROC_ECLOSED);
    refuse_everywhere(given, MPROC_ECLOSED);
    refuse_everywhere(opts.give[0], MPROC_ECLOSED);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_null),
        cmocka_unit_test(test_closed),
        cmocka_unit_test(test_never_one),
        cmocka_unit_test(test_inherited_by_fork),
        cmocka_unit_test(test_bad_arguments),
        cmocka_unit_test(test_options_of_a_newer_program),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_empty_messages),
        cmocka_unit_test(test_one_way),
        cmocka_unit_test(test_max_size),
        cmocka_unit_test(test_max_size_in_parts),
        cmocka_unit_test(test_recv_into_too_small),
        cmocka_unit_test(test_timeouts),
        cmocka_unit_test(test_unfinished),
        cmocka_unit_test(test_closed_unfinished),
        cmocka_unit_test(test_received_in_parts),
        cmocka_unit_test(test_end_after_last_message),
        cmocka_unit_test(test_end_while_sending),
        cmocka_unit_test(test_closed_while_waiting),
        cmocka_unit_test(test_close_is_seen_by_the_other_end),
        cmocka_unit_test(test_closed_while_many_wait),
        cmocka_unit_test(test_woken_for_others),
        cmocka_unit_test(test_many_threads_at_one_end),
        cmocka_unit_test(test_closed_with_pool),
        cmocka_unit_test(test_fileno),
        cmocka_unit_test(test_open_refused),
        cmocka_unit_test(test_moved),
        cmocka_unit_test(test_moved_one_way),
        cmocka_unit_test(test_moved_in_the_middle_of_a_message),
        cmocka_unit_test(test_moves_refused),
        cmocka_unit_test(test_attachments),
        cmocka_unit_test(test_most_attachments),
        cmocka_unit_test(test_many_moves_leak_nothing),
        cmocka_unit_test(test_received_late),
        cmocka_unit_test(test_lost_on_the_way),
        cmocka_unit_test(test_moved_with_what_it_brings),
        cmocka_unit_test(test_library_ended),
        cmocka_unit_test(test_closed_by_terminate),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
