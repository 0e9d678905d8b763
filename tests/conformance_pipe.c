/* SPDX-License-Identifier: Apache-2.0 */
/* Connections between processes, under every start method: given, moved on, and the death of each party. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/harness.h"
#include "support/messages.h"
#include "support/random.h"
#include "support/support.h"

static const char not_by_thread[] = "a thread cannot be ended from outside";

/** Start a target that is given one end. */
static mproc_process_t *start_with(mproc_target_t target, mproc_conn_t *given)
{
    mproc_process_opts_t opts = method_options();
    opts.give[0] = given;
    return start(target, opts);
}

/** Start a target at the other end of a new connection. */
static mproc_process_t *start_peer(mproc_conn_t **ours, mproc_target_t target)
{
    mproc_conn_t *theirs;
    make_conns(ours, &theirs);
    return start_with(target, theirs);
}

/* ---- Both ways --------------------------------------------------------------------------------------------------- */

/** Send back what comes, until the end. */
static int echo(mproc_call_t *call)
{
    mproc_conn_t *conn = mproc_call_conn(call, 0);
    for (;;) {
        void *data;
        size_t size;
        const apr_status_t status = mproc_conn_recv(conn, &data, &size, MPROC_FOREVER);
        if (status == APR_EOF)
            return 0;
        if (status != APR_SUCCESS || mproc_conn_send(conn, data, size, MPROC_FOREVER) != APR_SUCCESS)
            return 1;
        mproc_free(data);
    }
}

static void expect_echo(mproc_conn_t *conn, size_t size)
{
    assert_success(send_bytes(conn, size, size + 1, patience()));
    assert_success(expect_bytes(conn, size, size + 1, patience()));
}

static void test_both_ways(void **state)
{
    static const size_t sizes[] = {0, 1, 3, 4096, 16380, 16384, 32768, 32769, 65536, 300000, 3 << 20};
    mproc_conn_t *conn;
    (void)state;
    mproc_process_t *process = start_peer(&conn, echo);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        expect_echo(conn, sizes[i]);
    assert_success(mproc_conn_close(conn));
    assert_int_equal(finish(process), 0);
}

static void test_nothing_is_left(void **state)
{
    (void)state;
    test_both_ways(NULL); /* what is made once is made now */
    const int before = count_descriptors();
    if (before < 0)
        skip_because("open descriptors cannot be counted here");
    for (int i = 0; i < 5; i++)
        test_both_ways(NULL);
    expect_descriptors(before);
}

/** Answer on each end with its number. */
static int number_all(mproc_call_t *call)
{
    const size_t count = mproc_call_conn_count(call);
    for (size_t i = 0; i < count; i++) {
        const unsigned char number = (unsigned char)(i + count);
        unsigned char wanted;
        mproc_conn_t *conn = mproc_call_conn(call, i);
        if (mproc_conn_recv_exactly(conn, &wanted, 1, MPROC_FOREVER) != APR_SUCCESS || wanted != i ||
            mproc_conn_send(conn, &number, 1, MPROC_FOREVER) != APR_SUCCESS)
            return 1;
    }
    if (mproc_call_conn(call, count) || mproc_last_error()->status != APR_EINVAL || mproc_call_conn(call, (size_t)-1) ||
        mproc_call_conn_count(NULL) != 0 || mproc_call_conn(NULL, 0))
        return 2;
    return mproc_call_handle_count(call) == 0 && mproc_call_handle(call, 0) == MPROC_NO_HANDLE ? (int)count : 3;
}

static void give_several(int count)
{
    mproc_conn_t *ours[MPROC_GIVE_MAX];
    mproc_process_opts_t opts = method_options();
    for (int i = 0; i < count; i++)
        make_conns(&ours[i], &opts.give[i]);
    mproc_process_t *process = start(number_all, opts);
    for (int i = 0; i < count; i++) {
        const unsigned char number = (unsigned char)i;
        unsigned char answer;
        assert_success(mproc_conn_send(ours[i], &number, 1, patience()));
        assert_success(mproc_conn_recv_exactly(ours[i], &answer, 1, patience()));
        assert_int_equal(answer, i + count);
    }
    assert_int_equal(finish(process), count);
    for (int i = 0; i < count; i++)
        expect_end(ours[i]);
}

static void test_several_ends(void **state)
{
    (void)state;
    give_several(0);
    give_several(1);
    give_several(3);
    give_several(MPROC_GIVE_MAX);
}

static int send_and_try_to_receive(mproc_call_t *call)
{
    mproc_conn_t *conn = mproc_call_conn(call, 0);
    char byte;
    if (mproc_conn_recv_into(conn, &byte, 1, NULL, 0) != MPROC_EDIRECTION)
        return 1;
    return send_bytes(conn, 100000, 5, MPROC_FOREVER) == APR_SUCCESS ? 0 : 2;
}

static int receive_and_try_to_send(mproc_call_t *call)
{
    mproc_conn_t *conn = mproc_call_conn(call, 0);
    if (mproc_conn_send(conn, "x", 1, 0) != MPROC_EDIRECTION)
        return 1;
    return expect_bytes(conn, 100000, 6, MPROC_FOREVER) == APR_SUCCESS ? 0 : 2;
}

static void test_one_way(void **state)
{
    mproc_conn_t *reader, *writer;
    const mproc_conn_opts_t opts = {.one_way = 1};
    (void)state;
    assert_success(mproc_pipe(&reader, &writer, &opts));
    mproc_process_t *process = start_with(send_and_try_to_receive, writer);
    assert_success(expect_bytes(reader, 100000, 5, patience()));
    assert_int_equal(finish(process), 0);
    assert_failure(expect_bytes(reader, 0, 0, patience()), APR_EOF);
    assert_success(mproc_conn_close(reader));

    assert_success(mproc_pipe(&reader, &writer, &opts));
    process = start_with(receive_and_try_to_send, reader);
    assert_success(send_bytes(writer, 100000, 6, patience()));
    assert_int_equal(finish(process), 0);
    assert_failure(mproc_conn_send(writer, "x", 1, patience()), APR_EPIPE);
    assert_success(mproc_conn_close(writer));
}

/** What was buffered and received in part at the creator's moves along, and `.max_size` does. */
static int receive_the_rest(mproc_call_t *call)
{
    mproc_conn_t *conn = mproc_call_conn(call, 0);
    if (expect_bytes(conn, 50, 2, MPROC_FOREVER) != APR_SUCCESS ||
        expect_bytes(conn, 4000000, 3, MPROC_FOREVER) != APR_SUCCESS ||
        expect_bytes(conn, 4000001, 4, MPROC_FOREVER) != MPROC_ETOOBIG ||
        mproc_conn_discard(conn, MPROC_FOREVER) != APR_SUCCESS)
        return 1;
    return expect_bytes(conn, 70, 5, MPROC_FOREVER) == APR_SUCCESS ? 0 : 2;
}

static void send_the_rest(void *context)
{
    if (mproc_conn_flush(context, patience()) == APR_SUCCESS &&
        send_bytes(context, 4000001, 4, patience()) == APR_SUCCESS)
        send_bytes(context, 70, 5, patience());
}

typedef struct moved_t {
    mproc_conn_t *carrier;
    mproc_conn_t *conn;
    apr_status_t status;
} moved_t;

static void receive_moved(void *context)
{
    moved_t *moved = context;
    moved->status = mproc_conn_recv_conn(moved->carrier, &moved->conn, patience());
}

static void test_given_in_the_middle_of_a_message(void **state)
{
    mproc_conn_t *ours, *theirs;
    const mproc_conn_opts_t limited = {.max_size = 4000000};
    later_t later;
    (void)state;
    need_parts();
    for (int is_read = 0; is_read < 2; is_read++) {
        assert_success(mproc_pipe(&ours, &theirs, &limited));
        assert_success(send_bytes(ours, 30, 1, patience()));
        assert_success(send_bytes(ours, 50, 2, patience()));
        assert_failure(send_bytes(ours, 4000000, 3, 0), MPROC_EUNFINISHED);
        assert_success(expect_bytes(theirs, 30, 1, patience())); /* and some more was read ahead */
        mproc_process_opts_t opts = method_options();
        opts.give[0] = theirs;
        if (is_read) {
            assert_success(expect_bytes(theirs, 50, 2, patience()));
            assert_failure(expect_bytes(theirs, 4000000, 3, 0), APR_TIMEUP);
            assert_success(send_bytes(theirs, 50, 2, patience())); /* the other direction is another matter */
            assert_success(expect_bytes(ours, 50, 2, patience()));
            mproc_conn_t *carrier, *other;
            make_conns(&carrier, &other); /* and back, to be given with it */
            moved_t moved = {other, NULL, APR_SUCCESS};
            begin_later(&later, 0, receive_moved, &moved);
            assert_success(mproc_conn_send_conn(carrier, theirs, patience()));
            end_later(&later);
            assert_int_equal(moved.status, APR_SUCCESS);
            opts.give[0] = moved.conn;
            assert_success(mproc_conn_close(carrier));
            assert_success(mproc_conn_close(other));
            begin_later(&later, 0, send_the_rest, ours);
            assert_success(expect_bytes(opts.give[0], 4000000, 3, patience()));
            assert_failure(expect_bytes(opts.give[0], 4000001, 4, patience()), MPROC_ETOOBIG);
            assert_success(mproc_conn_discard(opts.give[0], patience()));
            end_later(&later);
            assert_success(send_bytes(ours, 50, 2, patience()));
            assert_failure(send_bytes(ours, 4000000, 3, 0), MPROC_EUNFINISHED);
            assert_success(expect_bytes(opts.give[0], 70, 5, patience()));
        }
        mproc_process_t *process = start(receive_the_rest, opts);
        begin_later(&later, 0, send_the_rest, ours);
        assert_int_equal(finish(process), 0);
        end_later(&later);
        assert_success(mproc_conn_close(ours));
    }
}

/* ---- Whose it is ------------------------------------------------------------------------------------------------- */

/** No call may use an end that is promised to a process. */
static void expect_promised(mproc_conn_t *conn)
{
    void *data;
    size_t size;
    char byte;
    mproc_os_handle_t handle;
    mproc_conn_t *carrier, *other;
    assert_failure(mproc_conn_send(conn, "x", 1, 0), MPROC_ESTATE);
    assert_failure(mproc_conn_flush(conn, 0), MPROC_ESTATE);
    assert_failure(mproc_conn_recv(conn, &data, &size, 0), MPROC_ESTATE);
    assert_failure(mproc_conn_recv_into(conn, &byte, 1, &size, 0), MPROC_ESTATE);
    assert_failure(mproc_conn_recv_exactly(conn, &byte, 1, 0), MPROC_ESTATE);
    assert_failure(mproc_conn_discard(conn, 0), MPROC_ESTATE);
    assert_failure(mproc_conn_poll(conn, 0), MPROC_ESTATE);
    assert_failure(mproc_conn_fileno(conn, &handle), MPROC_ESTATE);
    assert_failure(mproc_conn_close(conn), MPROC_ESTATE);
    make_conns(&carrier, &other);
    assert_failure(mproc_conn_send_conn(carrier, conn, 0), MPROC_ESTATE);
    assert_success(mproc_conn_close(carrier));
    assert_success(mproc_conn_close(other));
}

static void expect_closed(mproc_conn_t *conn)
{
    assert_failure(mproc_conn_send(conn, "x", 1, 0), MPROC_ECLOSED);
    assert_failure(mproc_conn_poll(conn, 0), MPROC_ECLOSED);
    assert_failure(mproc_conn_close(conn), MPROC_ECLOSED);
}

static void test_closed_once_launched(void **state)
{
    mproc_conn_t *ours, *theirs;
    mproc_process_t *process;
    mproc_process_opts_t opts = method_options();
    (void)state;
    make_conns(&ours, &theirs);
    opts.give[0] = theirs;
    assert_success(mproc_process_create(&process, echo, &opts));
    expect_promised(theirs);
    assert_success(mproc_conn_send(ours, "early", 5, 0)); /* the other end is in use as before */
    assert_success(mproc_process_launch(process));
    expect_closed(theirs);
    char text[8];
    size_t size;
    assert_success(mproc_conn_recv_into(ours, text, sizeof text, &size, patience()));
    assert_memory_equal(text, "early", 5);
    expect_echo(ours, 1000);
    assert_success(mproc_conn_close(ours));
    assert_int_equal(finish(process), 0);
}

static void test_usable_again(void **state)
{
    mproc_conn_t *ours, *theirs;
    mproc_process_t *process;
    mproc_process_opts_t opts = method_options();
    (void)state;
    make_conns(&ours, &theirs);
    assert_success(send_bytes(ours, 10, 1, 0));
    assert_success(send_bytes(ours, 20, 2, 0));
    assert_success(expect_bytes(theirs, 10, 1, 0));
    opts.give[0] = theirs;
    /* Closed before it was launched. */
    assert_success(mproc_process_create(&process, echo, &opts));
    expect_promised(theirs);
    assert_success(mproc_process_close(process));
    assert_success(expect_bytes(theirs, 20, 2, 0));
    /* It could not be made. */
    assert_failure(mproc_process_start(&process, NULL, &opts), APR_EINVAL);
    const mproc_os_handle_t bad = 12345;
    opts.handles = &bad;
    opts.handle_count = 1;
    assert_failure(mproc_process_start(&process, echo, &opts), APR_EBADF);
    opts.handle_count = 0;
    /* It could not be started. */
    if (method_under_test() != MPROC_THREAD) {
        opts.directory = "no/such/folder";
        assert_failure(mproc_process_start(&process, echo, &opts), APR_ENOENT);
        assert_success(mproc_process_create(&process, echo, &opts));
        assert_failure(mproc_process_launch(process), APR_ENOENT);
        expect_promised(theirs); /* it may be launched again */
        assert_success(mproc_process_close(process));
        opts.directory = NULL;
    }
    assert_success(send_bytes(theirs, 30, 3, 0));
    assert_success(expect_bytes(ours, 30, 3, 0));
    process = start(echo, opts);
    expect_echo(ours, 5);
    assert_success(mproc_conn_close(ours));
    assert_int_equal(finish(process), 0);
}

static void test_refused(void **state)
{
    mproc_conn_t *ours, *theirs, *third, *fourth;
    mproc_process_t *process, *other;
    mproc_process_opts_t opts = method_options();
    int thing = 0;
    (void)state;
    make_conns(&ours, &theirs);
    make_conns(&third, &fourth);
    opts.give[0] = third;
    opts.give[1] = theirs;
    opts.give[2] = theirs; /* twice */
    assert_failure(mproc_process_create(&process, echo, &opts), MPROC_ESTATE);
    assert_null(process);
    opts.give[2] = NULL;
    assert_success(mproc_process_create(&process, echo, &opts));
    assert_failure(mproc_process_create(&other, echo, &opts), MPROC_ESTATE); /* to two */
    assert_null(other);
    assert_success(mproc_process_close(process));
    /* A message that is unfinished. */
    if (goes_in_parts()) {
        assert_failure(send_bytes(theirs, 4000000, 1, 0), MPROC_EUNFINISHED);
        assert_failure(mproc_process_create(&process, echo, &opts), MPROC_ESTATE);
    }
    assert_success(send_bytes(third, 10, 1, 0)); /* is not promised */
    /* What is none. */
    opts.give[1] = (mproc_conn_t *)&thing;
    assert_failure(mproc_process_create(&process, echo, &opts), MPROC_ECLOSED);
    assert_success(mproc_conn_close(theirs));
    opts.give[1] = theirs;
    assert_failure(mproc_process_create(&process, echo, &opts), MPROC_ECLOSED);
    assert_success(mproc_conn_close(ours));
    assert_success(mproc_conn_close(third));
    assert_success(mproc_conn_close(fourth));
}

/** Receive one message; the connection may be promised just then. */
static void receive_one(void *context)
{
    while (expect_bytes(context, 10, 1, patience()) == MPROC_ESTATE)
        apr_sleep(100);
}

static void test_in_use(void **state)
{
    mproc_conn_t *ours, *theirs;
    mproc_process_t *process;
    mproc_process_opts_t opts = method_options();
    later_t later;
    (void)state;
    make_conns(&ours, &theirs);
    opts.give[0] = theirs;
    begin_later(&later, 0, receive_one, theirs);
    const apr_time_t end = apr_time_now() + patience();
    apr_status_t status = APR_SUCCESS;
    while (status == APR_SUCCESS && apr_time_now() < end) {
        status = mproc_process_create(&process, echo, &opts);
        if (status == APR_SUCCESS) {
            assert_success(mproc_process_close(process));
            apr_sleep(1000);
        }
    }
    assert_failure(status, MPROC_ESTATE);
    assert_null(process);
    assert_success(send_bytes(ours, 10, 1, patience()));
    end_later(&later);
    process = start(echo, opts);
    expect_echo(ours, 5);
    assert_success(mproc_conn_close(ours));
    assert_int_equal(finish(process), 0);
}

static int add_on_all(mproc_call_t *call)
{
    mproc_conn_t *conn = mproc_call_conn(call, 0);
    if (expect_bytes(conn, 10, 1, patience()) != APR_SUCCESS || send_bytes(conn, 20, 2, patience()) != APR_SUCCESS)
        return 100;
    return mproc_conn_close(conn) == APR_SUCCESS ? 4 : 101;
}

/** A process may run here, any number of times, and be launched afterwards: the ends are copied each time. */
static void test_run(void **state)
{
    mproc_conn_t *ours, *theirs;
    mproc_process_t *process;
    mproc_process_opts_t opts = method_options();
    (void)state;
    make_conns(&ours, &theirs);
    opts.give[0] = theirs;
    assert_success(mproc_process_create(&process, add_on_all, &opts));
    for (int i = 0; i < 3; i++) {
        int exitcode = -1;
        assert_success(send_bytes(ours, 10, 1, 0));
        assert_success(mproc_process_run(process, &exitcode));
        assert_int_equal(exitcode, 4);
        assert_success(expect_bytes(ours, 20, 2, 0));
        expect_promised(theirs);
    }
    assert_success(send_bytes(ours, 10, 1, 0));
    assert_success(mproc_process_launch(process));
    assert_success(expect_bytes(ours, 20, 2, patience()));
    assert_int_equal(finish(process), 4);
    expect_end(ours);
}

typedef struct receiving_t {
    mproc_conn_t *conn;
    _Atomic int has_begun;
    apr_status_t status;
} receiving_t;

/** Receive one message, and wait for another. */
static void receive_two(void *context)
{
    receiving_t *receiving = context;
    receiving->status = expect_bytes(receiving->conn, 10, 1, patience());
    atomic_store(&receiving->has_begun, 1);
    if (receiving->status == APR_SUCCESS)
        receiving->status = expect_bytes(receiving->conn, 10, 1, MPROC_FOREVER);
}

/** A thread here receives while a child is started that is given nothing of it: the end is seen though that lives. */
static void test_received_from_while_starting(void **state)
{
    mproc_conn_t *ours, *first, *second;
    later_t later;
    receiving_t receiving = {.status = -1};
    (void)state;
    make_conns(&first, &second);
    receiving.conn = first;
    begin_later(&later, 0, receive_two, &receiving);
    assert_success(send_bytes(second, 10, 1, 0));
    while (!atomic_load(&receiving.has_begun))
        apr_sleep(1000);
    apr_sleep(MPROC_MILLISECONDS(20) * slowdown()); /* it says so just before it does */
    mproc_process_t *process = start_peer(&ours, echo);
    expect_echo(ours, 5);
    assert_success(mproc_conn_close(first));
    end_later(&later);
    assert_int_equal(receiving.status, MPROC_ECLOSED);
    assert_failure(expect_bytes(second, 0, 0, patience()), APR_EOF);
    assert_success(mproc_conn_close(second));
    expect_echo(ours, 5);
    assert_success(mproc_conn_close(ours));
    assert_int_equal(finish(process), 0);
}

/* ---- The end of a child ------------------------------------------------------------------------------------------ */

typedef enum ending_t { BY_RETURN, BY_EXIT, BY_CLOSE, BY_KILL } ending_t;

/** Send three messages, and end in some way. */
static int send_three(mproc_call_t *call)
{
    const ending_t *ending = mproc_call_data(call, sizeof *ending);
    mproc_conn_t *conn = mproc_call_conn(call, 0);
    for (unsigned i = 0; i < 3; i++)
        if (send_bytes(conn, 1000 * i, i, MPROC_FOREVER) != APR_SUCCESS)
            return 1;
    if (*ending == BY_EXIT)
        exit(3);
    if (*ending == BY_CLOSE)
        mproc_conn_close(conn);
    if (*ending == BY_KILL)
        for (;;)
            apr_sleep(apr_time_from_sec(60));
    return 3;
}

static void expect_three_and_end(ending_t ending)
{
    mproc_conn_t *ours;
    mproc_process_opts_t opts = method_options();
    make_conns(&ours, &opts.give[0]);
    opts.data = &ending;
    opts.size = sizeof ending;
    mproc_process_t *process = start(send_three, opts);
    for (unsigned i = 0; i < 3; i++) {
        assert_success(expect_bytes(ours, 1000 * i, i, patience()));
        if (i == 2 && ending == BY_KILL) {
            assert_failure(expect_bytes(ours, 0, 0, 1000), APR_TIMEUP);
            assert_success(mproc_process_kill(process));
        }
    }
    expect_end(ours);
    assert_int_equal(finish(process), ending == BY_KILL ? -9 : 3);
}

static void test_end_of_child(void **state)
{
    (void)state;
    expect_three_and_end(BY_RETURN);
    expect_three_and_end(BY_CLOSE);
}

static void test_exit_of_child(void **state)
{
    (void)state;
    skip_under(MPROC_THREAD, "exit in a thread ends the program");
    expect_three_and_end(BY_EXIT);
}

static void test_kill_of_child(void **state)
{
    (void)state;
    skip_under(MPROC_THREAD, not_by_thread);
    expect_three_and_end(BY_KILL);
}

/** The messages wait after the process has ended. */
static void test_read_after_the_end(void **state)
{
    const ending_t ending = BY_RETURN;
    mproc_conn_t *ours;
    mproc_process_opts_t opts = method_options();
    (void)state;
    make_conns(&ours, &opts.give[0]);
    opts.data = &ending;
    opts.size = sizeof ending;
    assert_int_equal(finish(start(send_three, opts)), 3);
    for (unsigned i = 0; i < 3; i++)
        assert_success(expect_bytes(ours, 1000 * i, i, 0));
    expect_end(ours);
}

static char own_path[1024];

/** Leave a program behind that has inherited all that this process lets it. */
static int leave_others_behind(mproc_call_t *call)
{
    apr_pool_t *pool;
    apr_procattr_t *attributes;
    apr_proc_t sleeper;
    const char *arguments[] = {mproc_call_string(call, 0), "--sleep", NULL};
    apr_pool_create(&pool, NULL);
    if (apr_procattr_create(&attributes, pool) != APR_SUCCESS ||
        apr_procattr_cmdtype_set(attributes, APR_PROGRAM_ENV) != APR_SUCCESS ||
        apr_proc_create(&sleeper, arguments[0], arguments, NULL, attributes, pool) != APR_SUCCESS)
        return 1;
    return mproc_conn_send(mproc_call_conn(call, 0), &sleeper.pid, sizeof sleeper.pid, MPROC_FOREVER) == APR_SUCCESS
               ? 0
               : 2;
}

static void test_grandchild_that_inherited_everything(void **state)
{
    mproc_conn_t *ours;
    apr_proc_t sleeper;
    (void)state;
    skip_under(MPROC_THREAD, not_by_thread);
    const mproc_arg_t path = mproc_arg_string(NULL, own_path);
    mproc_process_opts_t opts = method_options();
    make_conns(&ours, &opts.give[0]);
    opts.args = &path;
    opts.arg_count = 1;
    mproc_process_t *process = start(leave_others_behind, opts);
    memset(&sleeper, 0, sizeof sleeper);
    assert_success(mproc_conn_recv_exactly(ours, &sleeper.pid, sizeof sleeper.pid, patience()));
    expect_end(ours);
    assert_int_equal(finish(process), 0);
    apr_proc_kill(&sleeper, APR_KILL_ALWAYS); /* where a number is enough for that */
}

/* ---- Moved on ---------------------------------------------------------------------------------------------------- */

/** Give the end to a child of one's own. */
static int pass_to_child(mproc_call_t *call)
{
    mproc_process_t *process;
    mproc_process_opts_t opts;
    int exitcode = -1;
    memset(&opts, 0, sizeof opts);
    opts.start_method = mproc_process_start_method(mproc_current_process());
    opts.give[0] = mproc_call_conn(call, 0);
    if (mproc_process_start(&process, echo, &opts) != APR_SUCCESS ||
        mproc_conn_close(mproc_call_conn(call, 0)) != MPROC_ECLOSED)
        return 1;
    return mproc_process_finish(process, &exitcode) == APR_SUCCESS ? exitcode + 5 : 2;
}

static void test_to_grandchild(void **state)
{
    mproc_conn_t *ours;
    (void)state;
    mproc_process_t *process = start_peer(&ours, pass_to_child);
    expect_echo(ours, 0);
    expect_echo(ours, 200000);
    assert_success(mproc_conn_close(ours));
    assert_int_equal(finish(process), 5);
}

/** Receive connections, and send back what comes through each of them, until no more come. */
static int echo_through_moved(mproc_call_t *call)
{
    mproc_conn_t *carrier = mproc_call_conn(call, 0);
    mproc_conn_t *moved;
    apr_status_t status;
    while ((status = mproc_conn_recv_conn(carrier, &moved, MPROC_FOREVER)) == APR_SUCCESS) {
        void *data;
        size_t size;
        while (mproc_conn_recv(moved, &data, &size, MPROC_FOREVER) == APR_SUCCESS) {
            if (mproc_conn_send(moved, data, size, MPROC_FOREVER) != APR_SUCCESS)
                return 1;
            mproc_free(data);
        }
        mproc_conn_close(moved);
    }
    return status == APR_EOF ? 0 : 2;
}

/** Make a connection and send one end of it to a sibling, talk through the other. */
static int talk_to_sibling(mproc_call_t *call)
{
    mproc_conn_t *to_sibling = mproc_call_conn(call, 0);
    for (unsigned i = 0; i < 5; i++) {
        mproc_conn_t *ours, *theirs;
        if (mproc_pipe(&ours, &theirs, NULL) != APR_SUCCESS ||
            send_bytes(ours, 77, i, MPROC_FOREVER) != APR_SUCCESS || /* before it moves */
            mproc_conn_send_conn(to_sibling, theirs, MPROC_FOREVER) != APR_SUCCESS ||
            mproc_conn_close(theirs) != MPROC_ECLOSED || expect_bytes(ours, 77, i, MPROC_FOREVER) != APR_SUCCESS ||
            send_bytes(ours, 500000, i, MPROC_FOREVER) != APR_SUCCESS ||
            expect_bytes(ours, 500000, i, MPROC_FOREVER) != APR_SUCCESS || mproc_conn_close(ours) != APR_SUCCESS)
            return 1;
    }
    return 0;
}

static void test_to_sibling(void **state)
{
    mproc_conn_t *first, *second;
    (void)state;
    make_conns(&first, &second);
    mproc_process_t *receiver = start_with(echo_through_moved, first);
    mproc_process_t *sender = start_with(talk_to_sibling, second);
    assert_int_equal(finish(sender), 0);
    assert_int_equal(finish(receiver), 0);
}

/** Never receive; end when told by a handle of the system, which is a pipe that closes. */
static int never_receive(mproc_call_t *call)
{
    mproc_wait_t item = mproc_wait_conn(mproc_call_conn(call, 1));
    mproc_wait(&item, 1, MPROC_FOREVER);
    return 0;
}

/** A message with a connection that nobody receives: its other end sees the end as soon as the receiver has ended. */
static void test_moved_to_one_that_dies(void **state)
{
    enum { MOVED = 5 };
    mproc_conn_t *carrier, *control, *kept[MOVED], *moved;
    mproc_process_opts_t opts = method_options();
    (void)state;
    make_conns(&carrier, &opts.give[0]);
    make_conns(&control, &opts.give[1]);
    mproc_process_t *process = start(never_receive, opts);
    for (int i = 0; i < MOVED; i++) {
        make_conns(&kept[i], &moved);
        assert_success(mproc_conn_send_conn(carrier, moved, patience()));
        expect_closed(moved);
        assert_success(send_bytes(kept[i], 10, 1, patience()));
        assert_failure(expect_bytes(kept[i], 0, 0, 0), APR_TIMEUP);
    }
    if (method_under_test() == MPROC_THREAD)
        assert_success(mproc_conn_close(control));
    else
        assert_success(mproc_process_kill(process));
    for (int i = 0; i < MOVED; i++)
        expect_end(kept[i]);
    expect_end(carrier);
    if (method_under_test() != MPROC_THREAD)
        assert_success(mproc_conn_close(control));
    assert_int_equal(finish(process), method_under_test() == MPROC_THREAD ? 0 : -9);
}

/* ---- Waiting for both -------------------------------------------------------------------------------------------- */

static int answer_once(mproc_call_t *call)
{
    mproc_conn_t *conn = mproc_call_conn(call, 0);
    char byte;
    if (mproc_conn_send(conn, "a", 1, MPROC_FOREVER) != APR_SUCCESS)
        return 1;
    return mproc_conn_recv_exactly(conn, &byte, 1, MPROC_FOREVER) == APR_SUCCESS ? 6 : 2;
}

static void test_wait_for_message_and_end(void **state)
{
    mproc_conn_t *ours;
    mproc_os_handle_t sentinel;
    char byte;
    (void)state;
    mproc_process_t *process = start_peer(&ours, answer_once);
    assert_success(mproc_process_sentinel(process, &sentinel));
    mproc_wait_t items[] = {mproc_wait_conn(ours), mproc_wait_process(process), mproc_wait_handle(sentinel)};
    assert_success(mproc_wait(items, 3, patience()));
    assert_true(items[0].is_ready && !items[1].is_ready && !items[2].is_ready);
    assert_success(mproc_conn_recv_exactly(ours, &byte, 1, 0));
    assert_failure(mproc_wait(items, 3, 1000), APR_TIMEUP);
    assert_true(!items[0].is_ready && !items[1].is_ready && !items[2].is_ready);
    assert_success(mproc_conn_send(ours, "b", 1, patience()));
    assert_success(mproc_wait(items + 1, 2, patience()));
    assert_true(items[1].is_ready || items[2].is_ready);
    assert_int_equal(finish(process), 6);
    assert_success(mproc_wait(items, 1, patience()));
    expect_end(ours);
}

/* ---- R7: any order of ends, with pipes that are full ------------------------------------------------------------- */

/** Send without end, or until nobody is there; 7 then. */
static int flood(mproc_call_t *call)
{
    static unsigned char bytes[100000];
    apr_status_t status;
    do {
        status = mproc_conn_send(mproc_call_conn(call, 0), bytes, sizeof bytes, MPROC_FOREVER);
    } while (status == APR_SUCCESS);
    return status == APR_EPIPE ? 7 : 1;
}

enum { CLOSE, JOIN, TERMINATE, ACTS };

typedef struct victim_t {
    mproc_process_t *process;
    mproc_conn_t *conn;
    int is_told; /* it must end soon */
} victim_t;

/** One step of an order: none of them may wait for the child to be read. */
static void act(victim_t *victim, int what)
{
    if (what == CLOSE) {
        assert_success(mproc_conn_close(victim->conn));
        victim->is_told = 1;
    } else if (what == JOIN) {
        const apr_status_t status = mproc_process_join(victim->process, victim->is_told ? patience() : 20000);
        assert_int_equal(status, victim->is_told ? APR_SUCCESS : APR_TIMEUP);
    } else if (method_under_test() != MPROC_THREAD) {
        assert_success(mproc_process_terminate(victim->process));
        victim->is_told = 1;
    }
}

static void test_every_order_with_full_pipes(void **state)
{
    (void)state;
    for (int order = 0; order < ACTS * ACTS * ACTS; order++) {
        const int acts[ACTS] = {order % ACTS, order / ACTS % ACTS, order / ACTS / ACTS};
        victim_t victim = {NULL, NULL, 0};
        int exitcode = -1000;
        if (acts[0] == acts[1] || acts[1] == acts[2] || acts[0] == acts[2])
            continue;
        victim.process = start_peer(&victim.conn, flood);
        /* Both directions are full, and the child is in the middle of sending. */
        assert_success(mproc_conn_poll(victim.conn, patience()));
        apr_status_t status;
        do {
            status = send_bytes(victim.conn, 30000, 1, 0);
        } while (status == APR_SUCCESS);
        assert_true(status == APR_TIMEUP || status == MPROC_EUNFINISHED);
        for (int i = 0; i < ACTS; i++)
            act(&victim, acts[i]);
        assert_success(mproc_process_finish(victim.process, &exitcode));
        assert_true(exitcode == 7 || exitcode == -15);
    }
}

static void test_stop_with_full_pipes(void **state)
{
    mproc_conn_t *ours;
    (void)state;
    skip_under(MPROC_THREAD, not_by_thread);
    mproc_process_t *process = start_peer(&ours, flood);
    assert_success(mproc_conn_poll(ours, patience()));
    assert_success(mproc_process_stop(process, MPROC_SECONDS(10)));
    int exitcode = 0;
    assert_success(mproc_process_finish(process, &exitcode));
    assert_int_equal(exitcode, -15);
    void *data;
    size_t size;
    apr_status_t status;
    while ((status = mproc_conn_recv(ours, &data, &size, 0)) == APR_SUCCESS) {
        assert_int_equal(size, 100000);
        mproc_free(data);
    }
    assert_true(status == APR_EOF || status == MPROC_ETRUNCATED);
    assert_success(mproc_conn_close(ours));
}

/* ---- A child that behaves badly ---------------------------------------------------------------------------------- */

/** Begin a message, and stay in the middle of it until told. */
static int stall(mproc_call_t *call)
{
    mproc_conn_t *conn = mproc_call_conn(call, 0);
    char byte;
    if (send_bytes(conn, 8000000, 1, 0) != MPROC_EUNFINISHED)
        return 1;
    if (mproc_conn_send(mproc_call_conn(call, 1), "b", 1, MPROC_FOREVER) != APR_SUCCESS)
        return 2;
    while (mproc_conn_recv_exactly(mproc_call_conn(call, 1), &byte, 1, MPROC_FOREVER) == APR_SUCCESS)
        if (mproc_conn_flush(conn, MPROC_FOREVER) != APR_SUCCESS)
            return 3;
    return 0;
}

static void test_stalls_in_a_message(void **state)
{
    (void)state;
    need_parts();
    for (int goes_on = 0; goes_on < 2; goes_on++) {
        mproc_conn_t *ours, *control;
        mproc_process_opts_t opts = method_options();
        char byte;
        make_conns(&ours, &opts.give[0]);
        make_conns(&control, &opts.give[1]);
        mproc_process_t *process = start(stall, opts);
        assert_success(mproc_conn_recv_exactly(control, &byte, 1, patience()));
        const apr_time_t begin = apr_time_now();
        void *data;
        size_t size;
        assert_failure(mproc_conn_recv(ours, &data, &size, 0), APR_TIMEUP);
        assert_failure(mproc_conn_recv(ours, &data, &size, 20000), APR_TIMEUP);
        mproc_wait_t item = mproc_wait_conn(ours);
        assert_failure(mproc_wait(&item, 1, 20000), APR_TIMEUP); /* a part of a message: no more has come */
        assert_failure(mproc_conn_discard(ours, 0), APR_TIMEUP);
        assert_true(apr_time_now() - begin < patience());
        if (goes_on)
            assert_success(mproc_conn_send(control, "g", 1, patience()));
        if (goes_on)
            assert_success(mproc_conn_discard(ours, patience()));
        assert_success(mproc_conn_close(control));
        assert_int_equal(finish(process), 0);
        assert_failure(mproc_conn_recv(ours, &data, &size, patience()), goes_on ? APR_EOF : MPROC_ETRUNCATED);
        assert_failure(mproc_conn_recv(ours, &data, &size, 0), goes_on ? APR_EOF : MPROC_ETRUNCATED);
        assert_success(mproc_conn_close(ours));
    }
}

static int close_early(mproc_call_t *call)
{
    mproc_conn_close(mproc_call_conn(call, 0));
    return 0;
}

static void test_closes_early(void **state)
{
    mproc_conn_t *ours;
    (void)state;
    mproc_process_t *process = start_peer(&ours, close_early);
    /* It never reads: sending fails, at once or when the other end is seen to be closed; it does not wait for good. */
    apr_status_t status;
    do {
        status = send_bytes(ours, 100000, 1, MPROC_FOREVER);
    } while (status == APR_SUCCESS);
    assert_failure(status, APR_EPIPE);
    expect_end(ours);
    assert_int_equal(finish(process), 0);
}

static void test_child_that_floods(void **state)
{
    mproc_conn_t *ours;
    (void)state;
    mproc_process_t *process = start_peer(&ours, flood);
    const apr_time_t begin = apr_time_now();
    apr_status_t status;
    do {
        status = send_bytes(ours, 100000, 1, 20000);
    } while (status == APR_SUCCESS);
    assert_true(status == APR_TIMEUP || status == MPROC_EUNFINISHED);
    assert_int_equal(mproc_conn_flush(ours, 20000), status == APR_TIMEUP ? APR_SUCCESS : APR_TIMEUP);
    assert_true(apr_time_now() - begin < patience());
    assert_success(mproc_conn_close(ours));
    assert_int_equal(finish(process), 7);
}

/* ---- Kills at random instants ------------------------------------------------------------------------------------ */

enum { LARGEST = 150000 };

/** Send numbered messages of many sizes without end. */
static int send_numbered(mproc_call_t *call)
{
    unsigned long long random = *(unsigned long long *)mproc_call_data(call, sizeof random);
    static unsigned char message[LARGEST];
    for (uint32_t number = 0;; number++) {
        const unsigned long long most = next_random(&random) % 8 ? 500 : LARGEST - sizeof(stamp_t);
        const size_t size = sizeof(stamp_t) + (size_t)(next_random(&random) % most);
        make_message(message, size, 1, number);
        if (mproc_conn_send(mproc_call_conn(call, 0), message, size, MPROC_FOREVER) != APR_SUCCESS)
            return 1;
    }
}

/** Receive numbered messages: each is whole, and the next one. Tells how many came. */
static uint32_t receive_numbered(mproc_conn_t *conn, mproc_process_t *process, apr_interval_time_t life)
{
    const apr_time_t end = apr_time_now() + life;
    int is_killed = 0;
    for (uint32_t number = 0;; number++) {
        void *data;
        size_t size;
        stamp_t stamp;
        if (!is_killed && apr_time_now() >= end) {
            assert_success(mproc_process_kill(process));
            is_killed = 1;
        }
        const apr_status_t status = mproc_conn_recv(conn, &data, &size, is_killed ? patience() : 100);
        if (status == APR_TIMEUP && !is_killed) {
            number--;
            continue;
        }
        if (status == APR_EOF || status == MPROC_ETRUNCATED)
            return number;
        assert_success(status);
        assert_true(is_whole(&stamp, data, size));
        assert_int_equal(stamp.number, number);
        mproc_free(data);
    }
}

/** What came is the beginning of what was sent, never torn; MPROC_TEST_SECONDS gives it longer. */
static void test_killed_at_random_instants(void **state)
{
    (void)state;
    skip_under(MPROC_THREAD, not_by_thread);
    unsigned long long random = choose_seed();
    const apr_time_t end = apr_time_now() + apr_time_from_sec(setting("MPROC_TEST_SECONDS", 3));
    unsigned long long received = 0;
    int kills = 0;
    for (; apr_time_now() < end || kills < 3; kills++) {
        mproc_conn_t *ours;
        unsigned long long seed = next_random(&random);
        mproc_process_opts_t opts = method_options();
        make_conns(&ours, &opts.give[0]);
        opts.data = &seed;
        opts.size = sizeof seed;
        mproc_process_t *process = start(send_numbered, opts);
        received += receive_numbered(ours, process, (apr_interval_time_t)(next_random(&random) % 30000));
        assert_success(mproc_conn_close(ours));
        assert_int_equal(finish(process), -9);
    }
    printf("%d kills, %llu messages\n", kills, received);
}

/** Receive until the end, and tell how many messages of those sent so far came. */
static int count_numbered(mproc_call_t *call)
{
    uint32_t number = 0;
    void *data;
    size_t size;
    stamp_t stamp;
    while (mproc_conn_recv(mproc_call_conn(call, 0), &data, &size, MPROC_FOREVER) == APR_SUCCESS) {
        if (!is_whole(&stamp, data, size) || stamp.number != number++)
            return 1;
        mproc_free(data);
        if (mproc_conn_send(mproc_call_conn(call, 0), &number, sizeof number, MPROC_FOREVER) != APR_SUCCESS)
            return 2;
    }
    return 3;
}

/** The receiver is killed: the sender gets APR_EPIPE, and no receipt for what it did not send. */
static void test_receiver_killed(void **state)
{
    static unsigned char message[LARGEST];
    (void)state;
    skip_under(MPROC_THREAD, not_by_thread);
    unsigned long long random = choose_seed();
    for (int i = 0; i < 20; i++) {
        mproc_conn_t *ours;
        mproc_process_t *process = start_peer(&ours, count_numbered);
        const apr_time_t end = apr_time_now() + (apr_interval_time_t)(next_random(&random) % 20000);
        uint32_t sent = 0, receipts = 0, receipt;
        int is_killed = 0;
        apr_status_t status;
        do {
            const size_t size = sizeof(stamp_t) + (size_t)(next_random(&random) % (LARGEST - sizeof(stamp_t)));
            make_message(message, size, 1, sent);
            if (!is_killed && apr_time_now() >= end) {
                assert_success(mproc_process_kill(process));
                is_killed = 1;
            }
            status = mproc_conn_send(ours, message, size, patience());
            sent += status == APR_SUCCESS;
            while (mproc_conn_recv_exactly(ours, &receipt, sizeof receipt, 0) == APR_SUCCESS)
                assert_int_equal(receipt, ++receipts);
        } while (status == APR_SUCCESS);
        assert_int_equal(status, APR_EPIPE);
        while (mproc_conn_recv_exactly(ours, &receipt, sizeof receipt, 0) == APR_SUCCESS)
            assert_int_equal(receipt, ++receipts);
        assert_true(receipts <= sent);
        expect_end(ours);
        assert_int_equal(finish(process), -9);
    }
}

/* ---- R9: much ---------------------------------------------------------------------------------------------------- */

/** Receive in one message, or in many, and check the bytes. */
static int receive_much(mproc_call_t *call)
{
    const unsigned long long *much = mproc_call_data(call, 2 * sizeof *much);
    unsigned long long total = 0;
    apr_status_t status = APR_SUCCESS;
    for (unsigned long long seed = much[1]; total < much[0] && status == APR_SUCCESS; seed++) {
        void *data;
        size_t size;
        status = mproc_conn_recv(mproc_call_conn(call, 0), &data, &size, MPROC_FOREVER);
        if (status == APR_SUCCESS && !are_bytes(data, size, seed))
            return 1;
        mproc_free(data);
        total += size;
    }
    return status == APR_SUCCESS && total == much[0] ? 0 : 2;
}

/** MPROC_TEST_MEBIBYTES says how much: 5120 for guarantee R9. */
static void send_much(size_t part)
{
    mproc_conn_t *ours;
    const unsigned long long much[2] = {(unsigned long long)setting("MPROC_TEST_MEBIBYTES", 64) << 20, 7};
    mproc_process_opts_t opts = method_options();
    make_conns(&ours, &opts.give[0]);
    opts.data = much;
    opts.size = sizeof much;
    mproc_process_t *process = start(receive_much, opts);
    unsigned long long seed = much[1];
    for (unsigned long long left = much[0]; left > 0; seed++) {
        const size_t size = part == 0 || part > left ? (size_t)left : part;
        assert_success(send_bytes(ours, size, seed, MPROC_FOREVER));
        left -= size;
    }
    int exitcode = -1;
    assert_success(mproc_process_finish(process, &exitcode));
    assert_int_equal(exitcode, 0);
    assert_success(mproc_conn_close(ours));
}

static void test_much_in_one_message(void **state)
{
    (void)state;
    send_much(0);
}

static void test_much_in_many_messages(void **state)
{
    (void)state;
    send_much(1000003);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_ways),
        cmocka_unit_test(test_nothing_is_left),
        cmocka_unit_test(test_several_ends),
        cmocka_unit_test(test_one_way),
        cmocka_unit_test(test_given_in_the_middle_of_a_message),
        cmocka_unit_test(test_closed_once_launched),
        cmocka_unit_test(test_usable_again),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_in_use),
        cmocka_unit_test(test_run),
        cmocka_unit_test(test_received_from_while_starting),
        cmocka_unit_test(test_end_of_child),
        cmocka_unit_test(test_exit_of_child),
        cmocka_unit_test(test_kill_of_child),
        cmocka_unit_test(test_read_after_the_end),
        cmocka_unit_test(test_grandchild_that_inherited_everything),
        cmocka_unit_test(test_to_grandchild),
        cmocka_unit_test(test_to_sibling),
        cmocka_unit_test(test_moved_to_one_that_dies),
        cmocka_unit_test(test_wait_for_message_and_end),
        cmocka_unit_test(test_every_order_with_full_pipes),
        cmocka_unit_test(test_stop_with_full_pipes),
        cmocka_unit_test(test_stalls_in_a_message),
        cmocka_unit_test(test_closes_early),
        cmocka_unit_test(test_child_that_floods),
        cmocka_unit_test(test_killed_at_random_instants),
        cmocka_unit_test(test_receiver_killed),
        cmocka_unit_test(test_much_in_one_message),
        cmocka_unit_test(test_much_in_many_messages),
    };
    if (argc == 2 && strcmp(argv[1], "--sleep") == 0) {
        apr_sleep(apr_time_from_sec(20));
        return 0;
    }
    snprintf(own_path, sizeof own_path, "%s", argv[0]);
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
