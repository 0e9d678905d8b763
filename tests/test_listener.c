/* SPDX-License-Identifier: Apache-2.0 */
/* Listeners and those who connect to them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/harness.h"
#include "support/messages.h"
#include "support/support.h"

/** A name that no other run of these tests has. */
static const char *make_name(char name[64], const char *suffix)
{
    snprintf(name, 64, "test-%d%s", mproc_getpid(), suffix);
    return name;
}

/** Accept one, and see that it is the client. */
static void expect_client(mproc_listener_t *listener, mproc_conn_t *client)
{
    mproc_conn_t *server;
    assert_success(mproc_listener_accept(listener, &server, patience()));
    assert_success(send_bytes(client, 100, 1, patience()));
    assert_success(expect_bytes(server, 100, 1, patience()));
    assert_success(send_bytes(server, 200, 2, patience()));
    assert_success(expect_bytes(client, 200, 2, patience()));
    assert_success(mproc_conn_close(server));
    assert_failure(expect_bytes(client, 0, 0, patience()), APR_EOF);
    assert_success(mproc_conn_close(client));
}

/* ---- Bad input --------------------------------------------------------------------------------------------------- */

static void refuse_everywhere(mproc_listener_t *listener, apr_status_t expected)
{
    mproc_conn_t *conn = (mproc_conn_t *)&conn;
    mproc_wait_t item = mproc_wait_listener(listener);
    assert_failure(mproc_listener_accept(listener, &conn, MPROC_FOREVER), expected);
    assert_null(conn);
    assert_null(mproc_listener_address(listener));
    assert_int_equal(mproc_last_error()->status, expected);
    assert_failure(mproc_wait(&item, 1, MPROC_FOREVER), expected);
}

static int use_creators_listener(mproc_call_t *call)
{
    mproc_listener_t *listener = *(mproc_listener_t **)mproc_call_data(call, sizeof listener);
    mproc_conn_t *conn;
    if (mproc_listener_accept(listener, &conn, 0) != MPROC_EFOREIGN || mproc_listener_address(listener))
        return 1;
    return mproc_listener_close(listener) == MPROC_EFOREIGN ? 0 : 2;
}

static void test_bad_handles(void **state)
{
    mproc_listener_t *listener;
    int thing = 0;
    (void)state;
    refuse_everywhere(NULL, APR_EINVAL);
    assert_success(mproc_listener_close(NULL));
    refuse_everywhere((mproc_listener_t *)&thing, MPROC_ECLOSED);
    assert_success(mproc_listener_create(&listener, NULL, NULL));
    assert_success(mproc_listener_close(listener));
    refuse_everywhere(listener, MPROC_ECLOSED);
    assert_failure(mproc_listener_close(listener), MPROC_ECLOSED);
}

static void test_inherited_by_fork(void **state)
{
    mproc_listener_t *listener;
    mproc_conn_t *client;
    mproc_process_opts_t opts = {0};
    (void)state;
    if (!has_fork())
        skip_because("there is no fork here");
    assert_success(mproc_listener_create(&listener, NULL, NULL));
    opts.start_method = MPROC_FORK;
    opts.data = &listener;
    opts.size = sizeof listener;
    assert_int_equal(finish(start(use_creators_listener, opts)), 0);
    /* The child's end has not removed the address. */
    assert_success(mproc_connect(&client, mproc_listener_address(listener), NULL, 0));
    expect_client(listener, client);
    assert_success(mproc_listener_close(listener));
}

static void test_bad_arguments(void **state)
{
    mproc_listener_t *listener;
    mproc_conn_t *conn = (mproc_conn_t *)&conn;
    (void)state;
    assert_failure(mproc_listener_create(NULL, "name", NULL), APR_EINVAL);
    assert_success(mproc_listener_create(&listener, NULL, NULL));
    assert_failure(mproc_listener_accept(listener, NULL, 0), APR_EINVAL);
    assert_success(mproc_listener_close(listener));
    assert_failure(mproc_connect(NULL, "name", NULL, 0), APR_EINVAL);
    assert_failure(mproc_connect(&conn, NULL, NULL, 0), APR_EINVAL);
    assert_null(conn);
}

static void test_bad_names(void **state)
{
    static const char *const bad[] = {"",
                                      ".",
                                      "..",
                                      ".hidden",
                                      "with space",
                                      "new\nline",
                                      "a:b",
                                      "a*",
                                      "a\\b",
                                      "caf\xc3\xa9",
                                      "01234567890123456789012345678901234567890123456789012345678901234"};
    mproc_listener_t *listener;
    mproc_conn_t *conn;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        listener = (mproc_listener_t *)&listener;
        assert_failure(mproc_listener_create(&listener, bad[i], NULL), APR_EINVAL);
        assert_null(listener);
        conn = (mproc_conn_t *)&conn;
        assert_failure(mproc_connect(&conn, bad[i], NULL, MPROC_FOREVER), APR_EINVAL);
        assert_null(conn);
    }
}

static void test_options_of_a_newer_program(void **state)
{
    struct {
        mproc_listener_opts_t known;
        int newer;
    } opts;
    mproc_listener_t *listener;
    (void)state;
    memset(&opts, 0, sizeof opts);
    assert_failure(mproc_listener_create_sized(&listener, NULL, &opts.known, sizeof opts), MPROC_EBUILD);
    assert_null(listener);
    assert_success(mproc_listener_create_sized(&listener, NULL, &opts.known, sizeof opts.known.backlog));
    assert_success(mproc_listener_close(listener));
}

static void test_library_ended(void **state)
{
    mproc_listener_t *listener, *again;
    mproc_conn_t *conn;
    char name[64];
    (void)state;
    assert_success(mproc_listener_create(&listener, make_name(name, ""), NULL));
    assert_success(mproc_terminate());
    assert_failure(mproc_listener_create(&again, name, NULL), MPROC_EINIT);
    assert_null(again);
    assert_failure(mproc_connect(&conn, name, NULL, 0), MPROC_EINIT);
    assert_success(mproc_initialize(0, NULL));
    refuse_everywhere(listener, MPROC_ECLOSED);
    assert_failure(mproc_connect(&conn, name, NULL, 0), APR_ENOENT); /* the name is gone */
    assert_success(mproc_listener_create(&listener, name, NULL));
    assert_success(mproc_listener_close(listener));
}

/* ---- Names ------------------------------------------------------------------------------------------------------- */

static void test_names(void **state)
{
    static const char *const suffixes[] = {"", "-", "_.", ".A-z_0"};
    (void)state;
    const int before = count_descriptors();
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        mproc_listener_t *listener;
        mproc_conn_t *client;
        char name[64];
        assert_success(mproc_listener_create(&listener, make_name(name, suffixes[i]), NULL));
        assert_non_null(strstr(mproc_listener_address(listener), name));
        assert_success(mproc_connect(&client, name, NULL, 0));
        expect_client(listener, client);
        /* Its address is another name for it. */
        assert_success(mproc_connect(&client, mproc_listener_address(listener), NULL, 0));
        expect_client(listener, client);
        assert_success(mproc_listener_close(listener));
        assert_failure(mproc_connect(&client, name, NULL, 0), APR_ENOENT);
        assert_null(client);
        assert_error_names(name);
    }
    if (before >= 0)
        assert_true(count_descriptors() <= before + 1); /* what waits, the first time */
}

static void test_longest_name(void **state)
{
    mproc_listener_t *listener;
    mproc_conn_t *client;
    char name[65];
    (void)state;
    const int length = snprintf(name, sizeof name, "%d", mproc_getpid());
    memset(name + length, 'n', 64 - (size_t)length);
    name[64] = '\0';
    assert_success(mproc_listener_create(&listener, name, NULL));
    assert_success(mproc_connect(&client, name, NULL, 0));
    expect_client(listener, client);
    assert_success(mproc_listener_close(listener));
}

static void test_new_names(void **state)
{
    enum { MANY = 20 };
    mproc_listener_t *listeners[MANY];
    (void)state;
    for (int i = 0; i < MANY; i++) {
        assert_success(mproc_listener_create(&listeners[i], NULL, NULL));
        for (int j = 0; j < i; j++)
            assert_string_not_equal(mproc_listener_address(listeners[i]), mproc_listener_address(listeners[j]));
    }
    for (int i = 0; i < MANY; i++) {
        mproc_conn_t *client;
        assert_success(mproc_connect(&client, mproc_listener_address(listeners[i]), NULL, 0));
        expect_client(listeners[i], client);
        assert_success(mproc_listener_close(listeners[i]));
    }
}

static void test_in_use(void **state)
{
    mproc_listener_t *listener, *other;
    mproc_conn_t *client;
    char name[64];
    (void)state;
    assert_success(mproc_listener_create(&listener, make_name(name, ""), NULL));
    for (int i = 0; i < 3; i++) {
        assert_failure(mproc_listener_create(&other, i ? name : mproc_listener_address(listener), NULL), APR_EEXIST);
        assert_null(other);
    }
    assert_success(mproc_connect(&client, name, NULL, 0)); /* the first one is as before */
    expect_client(listener, client);
    assert_success(mproc_listener_close(listener));
    assert_success(mproc_listener_create(&listener, name, NULL));
    assert_success(mproc_listener_close(listener));
}

/** Listen, tell so, and wait to be killed. */
static int listen_on(mproc_call_t *call)
{
    mproc_listener_t *listener;
    mproc_conn_t *conn;
    if (mproc_listener_create(&listener, mproc_call_string(call, 0), NULL) != APR_SUCCESS)
        return 1;
    mproc_conn_send(mproc_call_conn(call, 0), "l", 1, MPROC_FOREVER);
    while (mproc_listener_accept(listener, &conn, MPROC_FOREVER) == APR_SUCCESS) {}
    return 2;
}

static void test_killed_listener(void **state)
{
    mproc_conn_t *ours, *client;
    mproc_listener_t *listener, *other;
    char name[64], byte;
    (void)state;
    const mproc_arg_t arg = mproc_arg_string(NULL, make_name(name, ""));
    mproc_process_opts_t opts = {.args = &arg, .arg_count = 1};
    assert_success(mproc_pipe(&ours, &opts.give[0], NULL));
    mproc_process_t *process = start(listen_on, opts);
    assert_success(mproc_conn_recv_exactly(ours, &byte, 1, patience()));
    assert_failure(mproc_listener_create(&other, name, NULL), APR_EEXIST); /* of another process */
    assert_success(mproc_connect(&client, name, NULL, patience()));
    assert_success(mproc_process_kill(process));
    assert_failure(expect_bytes(client, 0, 0, patience()), APR_EOF);
    assert_int_equal(finish(process), -9);
    assert_success(mproc_conn_close(client));
    assert_failure(mproc_connect(&client, name, NULL, 0), APR_ENOENT);
    assert_success(mproc_listener_create(&listener, name, NULL)); /* what it left behind is taken over */
    assert_success(mproc_connect(&client, name, NULL, 0));
    expect_client(listener, client);
    assert_success(mproc_listener_close(listener));
    assert_success(mproc_conn_close(ours));
}

/* ---- Connecting and accepting ------------------------------------------------------------------------------------ */

typedef struct connecting_t {
    char name[64];
    mproc_conn_t *conn;
    apr_status_t status;
} connecting_t;

static void connect_in_time(void *context)
{
    connecting_t *connecting = context;
    connecting->status = mproc_connect(&connecting->conn, connecting->name, NULL, patience());
}

static void test_connect_before_listen(void **state)
{
    connecting_t connecting;
    mproc_listener_t *listener;
    mproc_conn_t *conn;
    later_t later;
    (void)state;
    make_name(connecting.name, "");
    assert_failure(mproc_connect(&conn, connecting.name, NULL, 0), APR_ENOENT);
    const apr_time_t begin = apr_time_now();
    assert_failure(mproc_connect(&conn, connecting.name, NULL, 100000), APR_ENOENT);
    assert_true(apr_time_now() - begin >= 99000 && apr_time_now() - begin < patience());
    begin_later(&later, 0, connect_in_time, &connecting);
    apr_sleep(50000);
    assert_success(mproc_listener_create(&listener, connecting.name, NULL));
    end_later(&later);
    assert_success(connecting.status);
    expect_client(listener, connecting.conn);
    assert_success(mproc_listener_close(listener));
}

static void test_accept_timeouts(void **state)
{
    mproc_listener_t *listener;
    mproc_conn_t *conn = (mproc_conn_t *)&conn;
    (void)state;
    assert_success(mproc_listener_create(&listener, NULL, NULL));
    assert_failure(mproc_listener_accept(listener, &conn, 0), APR_TIMEUP);
    assert_null(conn);
    const apr_time_t begin = apr_time_now();
    assert_failure(mproc_listener_accept(listener, &conn, 100000), APR_TIMEUP);
    assert_true(apr_time_now() - begin >= 99000 && apr_time_now() - begin < patience());
    assert_success(mproc_listener_close(listener));
}

/** What a client has sent before it was accepted, and that it has closed, is seen afterwards. */
static void test_accepted_late(void **state)
{
    mproc_listener_t *listener;
    mproc_conn_t *client, *server;
    (void)state;
    assert_success(mproc_listener_create(&listener, NULL, NULL));
    assert_success(mproc_connect(&client, mproc_listener_address(listener), NULL, 0));
    assert_success(send_bytes(client, 1000, 1, patience()));
    assert_success(mproc_conn_close(client));
    assert_success(mproc_listener_accept(listener, &server, patience()));
    assert_success(expect_bytes(server, 1000, 1, patience()));
    assert_failure(expect_bytes(server, 0, 0, patience()), APR_EOF);
    assert_success(mproc_conn_close(server));
    /* One that was never accepted sees the end. */
    assert_success(mproc_connect(&client, mproc_listener_address(listener), NULL, 0));
    assert_success(mproc_listener_close(listener));
    assert_failure(expect_bytes(client, 0, 0, patience()), APR_EOF);
    assert_success(mproc_conn_close(client));
}

static void test_closed_with_pool(void **state)
{
    apr_pool_t *pool;
    mproc_listener_t *listener;
    mproc_listener_opts_t opts = {0};
    mproc_conn_opts_t conn_opts = {0};
    mproc_conn_t *client, *server;
    char name[64];
    (void)state;
    apr_pool_create(&pool, NULL);
    opts.pool = conn_opts.pool = pool;
    assert_success(mproc_listener_create(&listener, make_name(name, ""), &opts));
    assert_success(mproc_connect(&client, name, &conn_opts, 0));
    assert_success(mproc_listener_accept(listener, &server, patience()));
    apr_pool_destroy(pool);
    refuse_everywhere(listener, MPROC_ECLOSED);
    assert_failure(mproc_conn_poll(client, 0), MPROC_ECLOSED);
    assert_failure(expect_bytes(server, 0, 0, patience()), APR_EOF); /* which is the program's own */
    assert_success(mproc_conn_close(server));
    assert_failure(mproc_connect(&client, name, NULL, 0), APR_ENOENT);
}

static void test_max_size(void **state)
{
    const mproc_listener_opts_t opts = {.max_size = 100};
    const mproc_conn_opts_t client_opts = {.max_size = 50};
    mproc_listener_t *listener;
    mproc_conn_t *client, *server;
    (void)state;
    assert_success(mproc_listener_create(&listener, NULL, &opts));
    assert_success(mproc_connect(&client, mproc_listener_address(listener), &client_opts, 0));
    assert_success(mproc_listener_accept(listener, &server, patience()));
    assert_success(send_bytes(client, 101, 1, patience()));
    assert_failure(expect_bytes(server, 101, 1, patience()), MPROC_ETOOBIG);
    assert_success(send_bytes(server, 51, 1, patience()));
    assert_failure(expect_bytes(client, 51, 1, patience()), MPROC_ETOOBIG);
    assert_success(mproc_conn_close(server));
    assert_success(mproc_conn_close(client));
    assert_success(mproc_listener_close(listener));
}

/* ---- Several at once --------------------------------------------------------------------------------------------- */

enum { CLIENTS = 30, THREADS = 4 };

typedef struct acceptor_t {
    mproc_listener_t *listener;
    apr_status_t status;
    int accepted;
    int faults;
} acceptor_t;

/** Serve one after the other, until the listener is closed. */
static void serve(void *context)
{
    acceptor_t *acceptor = context;
    mproc_conn_t *conn;
    while ((acceptor->status = mproc_listener_accept(acceptor->listener, &conn, MPROC_FOREVER)) == APR_SUCCESS) {
        acceptor->accepted++;
        acceptor->faults += expect_bytes(conn, 5000, 1, patience()) != APR_SUCCESS ||
                            send_bytes(conn, 50000, 2, patience()) != APR_SUCCESS ||
                            expect_bytes(conn, 0, 0, patience()) != APR_EOF;
        mproc_conn_close(conn);
    }
}

/** In another process: be so many clients, one after the other. */
static int be_clients(mproc_call_t *call)
{
    for (int i = 0; i < CLIENTS; i++) {
        mproc_conn_t *conn;
        if (mproc_connect(&conn, mproc_call_string(call, 0), NULL, patience()) != APR_SUCCESS ||
            send_bytes(conn, 5000, 1, patience()) != APR_SUCCESS ||
            expect_bytes(conn, 50000, 2, patience()) != APR_SUCCESS || mproc_conn_close(conn) != APR_SUCCESS)
            return 1;
    }
    return 0;
}

static void test_several_clients_and_acceptors(void **state)
{
    mproc_listener_t *listener;
    mproc_process_t *clients[THREADS];
    acceptor_t acceptors[THREADS];
    later_t laters[THREADS];
    char name[64];
    int accepted = 0;
    (void)state;
    assert_success(mproc_listener_create(&listener, make_name(name, ""), NULL));
    const mproc_arg_t arg = mproc_arg_string(NULL, name);
    const mproc_process_opts_t opts = {.args = &arg, .arg_count = 1};
    for (int i = 0; i < THREADS; i++)
        clients[i] = start(be_clients, opts);
    for (int i = 0; i < THREADS; i++) {
        acceptors[i] = (acceptor_t){listener, APR_SUCCESS, 0, 0};
        begin_later(&laters[i], 0, serve, &acceptors[i]);
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(finish(clients[i]), 0);
    apr_sleep(20000);
    assert_success(mproc_listener_close(listener));
    for (int i = 0; i < THREADS; i++) {
        end_later(&laters[i]);
        assert_int_equal(acceptors[i].status, MPROC_ECLOSED);
        assert_int_equal(acceptors[i].faults, 0);
        accepted += acceptors[i].accepted;
    }
    assert_int_equal(accepted, THREADS * CLIENTS);
}

static void test_closed_while_accepting(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) {
        mproc_listener_t *listener;
        mproc_conn_t *conn;
        later_t later;
        assert_success(mproc_listener_create(&listener, NULL, NULL));
        begin_later(&later, i * 3, close_listener, listener);
        assert_failure(mproc_listener_accept(listener, &conn, i % 2 ? MPROC_FOREVER : patience()), MPROC_ECLOSED);
        assert_null(conn);
        end_later(&later);
    }
}

/** Once it is closed its name is free, also while threads that were in a call on it have not noticed yet. */
static void test_name_is_free_when_closed(void **state)
{
    enum { ROUNDS = 20 };
    mproc_listener_t *listener;
    acceptor_t acceptors[ROUNDS][2];
    later_t laters[ROUNDS][2];
    char name[64];
    (void)state;
    make_name(name, "");
    for (int i = 0; i < ROUNDS; i++) {
        mproc_conn_t *conn;
        assert_success(mproc_listener_create(&listener, name, NULL));
        for (int j = 0; j < 2; j++) {
            acceptors[i][j] = (acceptor_t){listener, APR_SUCCESS, 0, 0};
            begin_later(&laters[i][j], 0, serve, &acceptors[i][j]);
        }
        apr_sleep(i % 4 * 1000); /* some are asleep in the call by then, some are about to be */
        assert_success(mproc_listener_close(listener));
        if (i % 2)
            assert_failure(mproc_connect(&conn, name, NULL, 0), APR_ENOENT);
    }
    assert_success(mproc_listener_create(&listener, name, NULL));
    for (int i = 0; i < ROUNDS; i++) {
        for (int j = 0; j < 2; j++) {
            end_later(&laters[i][j]);
            assert_int_equal(acceptors[i][j].status, MPROC_ECLOSED);
        }
    }
    /* Those that have ended since leave the name to its new owner. */
    mproc_conn_t *client;
    assert_success(mproc_connect(&client, name, NULL, 0));
    expect_client(listener, client);
    assert_success(mproc_listener_close(listener));
}

static int connect_and_tell(mproc_call_t *call)
{
    mproc_conn_t *conn;
    mproc_peer_t peer = {0, 0};
    if (mproc_connect(&conn, mproc_call_string(call, 0), NULL, patience()) != APR_SUCCESS ||
        mproc_conn_peer(conn, &peer) != APR_SUCCESS || mproc_conn_send(conn, &peer.pid, sizeof peer.pid, patience()))
        return 1;
    return mproc_conn_poll(conn, patience()) == APR_SUCCESS && peer.is_same_user ? 0 : 2;
}

static void test_peer(void **state)
{
    mproc_listener_t *listener;
    mproc_conn_t *server;
    mproc_peer_t peer;
    int pid_there;
    (void)state;
    assert_success(mproc_listener_create(&listener, NULL, NULL));
    const mproc_arg_t arg = mproc_arg_string(NULL, mproc_listener_address(listener));
    const mproc_process_opts_t opts = {.args = &arg, .arg_count = 1};
    mproc_process_t *process = start(connect_and_tell, opts);
    assert_success(mproc_listener_accept(listener, &server, patience()));
    assert_success(mproc_conn_peer(server, &peer));
    assert_true(peer.is_same_user);
    assert_true(peer.pid == 0 || peer.pid == mproc_process_pid(process));
    assert_success(mproc_conn_recv_exactly(server, &pid_there, sizeof pid_there, patience()));
    assert_true(pid_there == 0 || pid_there == mproc_getpid());
    assert_success(mproc_conn_close(server));
    assert_int_equal(finish(process), 0);
    assert_success(mproc_listener_close(listener));
}

/** A connection that was accepted moves to a child as any other. */
static int answer(mproc_call_t *call)
{
    return expect_bytes(mproc_call_conn(call, 0), 10, 1, patience()) == APR_SUCCESS &&
                   send_bytes(mproc_call_conn(call, 0), 20, 2, patience()) == APR_SUCCESS
               ? 0
               : 1;
}

static void test_accepted_moves(void **state)
{
    mproc_listener_t *listener;
    mproc_conn_t *client;
    mproc_process_opts_t opts = {0};
    (void)state;
    assert_success(mproc_listener_create(&listener, NULL, NULL));
    assert_success(mproc_connect(&client, mproc_listener_address(listener), NULL, 0));
    assert_success(mproc_listener_accept(listener, &opts.give[0], patience()));
    mproc_process_t *process = start(answer, opts);
    assert_success(send_bytes(client, 10, 1, patience()));
    assert_success(expect_bytes(client, 20, 2, patience()));
    assert_int_equal(finish(process), 0);
    assert_failure(expect_bytes(client, 0, 0, patience()), APR_EOF);
    assert_success(mproc_conn_close(client));
    assert_success(mproc_listener_close(listener));
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_handles),
        cmocka_unit_test(test_inherited_by_fork),
        cmocka_unit_test(test_bad_arguments),
        cmocka_unit_test(test_bad_names),
        cmocka_unit_test(test_options_of_a_newer_program),
        cmocka_unit_test(test_library_ended),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_longest_name),
        cmocka_unit_test(test_new_names),
        cmocka_unit_test(test_in_use),
        cmocka_unit_test(test_killed_listener),
        cmocka_unit_test(test_connect_before_listen),
        cmocka_unit_test(test_accept_timeouts),
        cmocka_unit_test(test_accepted_late),
        cmocka_unit_test(test_closed_with_pool),
        cmocka_unit_test(test_max_size),
        cmocka_unit_test(test_several_clients_and_acceptors),
        cmocka_unit_test(test_closed_while_accepting),
        cmocka_unit_test(test_name_is_free_when_closed),
        cmocka_unit_test(test_peer),
        cmocka_unit_test(test_accepted_moves),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
