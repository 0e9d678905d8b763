/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kills at every step: a child that sends, receives, listens or connects is killed at each of its calls of the system,
 * before and after it. What came of it is whole, its end is seen, what was on its way is closed, and nobody hangs.
 */
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "steps.h"
#include "support/harness.h"
#include "support/messages.h"
#include "support/support.h"

/* ---- Messages ---------------------------------------------------------------------------------------------------- */

/* More than the system takes at once: as it is, or if it is told to take as little as possible. */
enum { LARGE = 600000, LONG = 20000, MOST_MESSAGES = 4 };

/** Messages that one side sends and the other receives. */
typedef struct script_t {
    struct {
        size_t size;
        int brings_end; /* a connection comes with it */
    } messages[MOST_MESSAGES];
    int count;
    apr_interval_time_t timeout;
    int is_tight; /* the system takes little at once */
} script_t;

static const script_t scripts[] = {
    {{{100, 0}, {200, 0}, {300, 0}}, 3, MPROC_FOREVER, 0},
    {{{100, 0}, {LARGE, 0}, {LARGE, 0}, {100, 0}}, 4, MPROC_FOREVER, 0},
    {{{LARGE, 0}, {100, 0}}, 2, MPROC_SECONDS(60), 0},
    {{{100, 1}, {100, 0}, {100, 1}}, 3, MPROC_FOREVER, 0},
    {{{LARGE, 1}, {100, 0}, {LARGE, 1}}, 3, MPROC_FOREVER, 0},
    {{{LARGE, 1}, {100, 1}}, 2, MPROC_SECONDS(60), 0},
    {{{LONG, 0}, {LONG, 1}, {100, 1}}, 3, MPROC_FOREVER, 1},
    {{{LONG, 1}, {100, 0}, {LONG, 0}}, 3, MPROC_SECONDS(60), 1},
};
enum { SCRIPTS = sizeof scripts / sizeof scripts[0] };

/** One side of a script: an end of the connection, the ends that go through it, and how far it came. */
typedef struct side_t {
    const script_t *script;
    mproc_conn_t *conn;
    mproc_conn_t *ends[MOST_MESSAGES]; /* that are sent, or have come; NULL for none */
    int done;                          /* messages that went through whole */
    int is_begun;                      /* the next one was sent in part */
    apr_status_t status;               /* of the last call */
    int is_wrong;                      /* a message was not what it must be */
} side_t;

/** Send the next message, or go on with it. */
static void send_next(side_t *side, apr_interval_time_t timeout)
{
    static unsigned char data[LARGE];
    if (side->is_begun) {
        side->status = mproc_conn_flush(side->conn, timeout);
    } else {
        const size_t size = side->script->messages[side->done].size;
        const mproc_attachments_t attachments = {&side->ends[side->done], 1, NULL, 0};
        make_message(data, size, 1, (uint32_t)side->done);
        side->status = side->script->messages[side->done].brings_end
                           ? mproc_conn_send_with(side->conn, data, size, &attachments, timeout)
                           : mproc_conn_send(side->conn, data, size, timeout);
        side->is_begun = side->status == MPROC_EUNFINISHED;
    }
    if (side->status == APR_SUCCESS) {
        side->is_begun = 0;
        side->done++;
    }
}

/** Receive a message: it must be whole, and the next one. */
static void receive_next(side_t *side, apr_interval_time_t timeout)
{
    mproc_conn_t *came = NULL;
    mproc_attachments_t attachments = {&came, 1, NULL, 0};
    stamp_t stamp;
    void *data;
    size_t size;
    side->status = mproc_conn_recv_with(side->conn, &data, &size, &attachments, timeout);
    if (side->status != APR_SUCCESS)
        return;
    if (side->done >= side->script->count || !is_whole(&stamp, data, size) || stamp.number != (uint32_t)side->done ||
        size != side->script->messages[side->done].size ||
        (int)attachments.conn_count != side->script->messages[side->done].brings_end)
        side->is_wrong = 1;
    else
        side->ends[side->done++] = came;
    mproc_free(data);
}

/** Make the connection of a script, and the ends that go with its messages, and those that stay. */
static void make_all(const script_t *script, mproc_conn_t **sender, mproc_conn_t **receiver, mproc_conn_t **stay,
                     mproc_conn_t **go)
{
    const int room = 1;
    mproc_os_handle_t handle;
    make_conns(sender, receiver);
    assert_success(mproc_conn_fileno(*sender, &handle));
    if (script->is_tight)
        assert_int_equal(setsockopt((int)handle, SOL_SOCKET, SO_SNDBUF, &room, sizeof room), 0);
    for (int i = 0; i < script->count; i++)
        if (script->messages[i].brings_end)
            make_conns(&stay[i], &go[i]);
}

/** Give a child its end, and those that go with messages. */
static mproc_process_t *start_side(mproc_target_t target, int script, mproc_conn_t *conn, mproc_conn_t *const *ends)
{
    mproc_process_opts_t opts = {.start_method = MPROC_FORK, .give = {conn}, .data = &script, .size = sizeof script};
    for (int i = 0, given = 1; i < MOST_MESSAGES; i++)
        if (ends[i])
            opts.give[given++] = ends[i];
    return start(target, opts);
}

/** An end that is still here works; one that is not was closed. */
static void check_end(mproc_conn_t *stayed, mproc_conn_t *gone)
{
    if (!gone) {
        expect_end(stayed);
        return;
    }
    assert_success(send_bytes(stayed, 100, 5, 0));
    assert_success(expect_bytes(gone, 100, 5, patience()));
    assert_success(send_bytes(gone, 100, 6, 0));
    assert_success(expect_bytes(stayed, 100, 6, patience()));
    close_both(stayed, gone);
}

/* ---- The sender is killed ---------------------------------------------------------------------------------------- */

static int be_sender(mproc_call_t *call)
{
    const int number = *(const int *)mproc_call_data(call, sizeof number);
    side_t side = {.script = &scripts[number], .conn = mproc_call_conn(call, 0)};
    for (int i = 0, given = 1; i < side.script->count; i++)
        if (side.script->messages[i].brings_end)
            side.ends[i] = mproc_call_conn(call, (size_t)given++);
    if (steps_begin() != 0)
        return 1;
    while (side.status == APR_SUCCESS && side.done < side.script->count)
        send_next(&side, side.script->timeout);
    return side.status == APR_SUCCESS ? 0 : 2;
}

/** Receive what has come. */
static int receive_some(void *context)
{
    side_t *side = context;
    int has_come = 0;
    side->status = APR_SUCCESS;
    while ((side->status == APR_SUCCESS || side->status == APR_TIMEUP) && !side->is_wrong &&
           mproc_conn_poll(side->conn, 0) == APR_SUCCESS) {
        receive_next(side, 0);
        has_come = 1;
    }
    return has_come;
}

/** Kill a sender after so many steps; whether it did as many. How many messages came is stored, and how it ended. */
static int kill_sender(int number, int count, int *came, apr_status_t *status)
{
    const script_t *script = &scripts[number];
    mproc_conn_t *theirs, *stay[MOST_MESSAGES] = {NULL}, *go[MOST_MESSAGES] = {NULL};
    side_t side = {.script = script};
    make_all(script, &theirs, &side.conn, stay, go);
    mproc_process_t *process = start_side(be_sender, number, theirs, go);
    const int is_killed = steps_go(process, count, receive_some, &side);
    assert_int_equal(finish(process), is_killed ? -SIGKILL : 0);
    do
        receive_next(&side, patience());
    while (side.status == APR_SUCCESS && !side.is_wrong);
    assert_false(side.is_wrong);
    assert_failure(side.status, side.status == MPROC_ETRUNCATED ? MPROC_ETRUNCATED : APR_EOF);
    assert_true(is_killed || (side.status == APR_EOF && side.done == script->count));
    assert_success(mproc_conn_close(side.conn));
    for (int i = 0; i < script->count; i++)
        if (stay[i])
            check_end(stay[i], side.ends[i]);
    *came = side.done;
    *status = side.status;
    return is_killed;
}

/** Whether a script has messages that go in parts: how many steps they take is a matter of time. */
static int has_parts(const script_t *script)
{
    int has = 0;
    for (int i = 0; i < script->count; i++)
        has |= script->messages[i].size >= LONG;
    return has;
}

static void test_senders(void **state)
{
    (void)state;
    need_steps();
    const int descriptors = count_after_waiting();
    for (int number = 0; number < SCRIPTS; number++) {
        const int is_in_parts = has_parts(&scripts[number]);
        int times[MOST_MESSAGES + 1] = {0};
        int count = 0, came = 0, torn = 0;
        apr_status_t status;
        for (; kill_sender(number, count, &came, &status); count++) {
            times[came]++;
            torn += status == MPROC_ETRUNCATED;
        }
        printf("script %d: killed at %d steps, at %d of them in a message\n", number, count, torn);
        /* It was killed before the first message, between any two, and behind the last; or inside of them. */
        for (int i = 0; i <= scripts[number].count; i++)
            assert_true(times[i] > 0 || is_in_parts);
        assert_true(torn > 0 || !is_in_parts);
        assert_int_equal(count_descriptors(), descriptors);
    }
}

/* ---- The receiver is killed -------------------------------------------------------------------------------------- */

static volatile sig_atomic_t signals;

static void count_signal(int sig)
{
    (void)sig;
    signals++;
}

static int be_receiver(mproc_call_t *call)
{
    const int number = *(const int *)mproc_call_data(call, sizeof number);
    side_t side = {.script = &scripts[number], .conn = mproc_call_conn(call, 0)};
    if (steps_begin() != 0)
        return 1;
    while (side.status == APR_SUCCESS && side.done < side.script->count && !side.is_wrong)
        receive_next(&side, side.script->timeout);
    return side.status == APR_SUCCESS && !side.is_wrong ? 0 : 2;
}

/** Send one message more, or a part of it, if there is room. */
static int send_some(void *context)
{
    side_t *side = context;
    mproc_os_handle_t handle;
    assert_success(mproc_conn_fileno(side->conn, &handle));
    struct pollfd item = {.fd = (int)handle, .events = POLLOUT};
    if (side->done == side->script->count || poll(&item, 1, 0) <= 0)
        return 0;
    send_next(side, 0);
    return 1;
}

/** Kill a receiver after so many steps; whether it did as many. How many messages were sent is stored. */
static int kill_receiver(int number, int count, int *sent)
{
    static mproc_conn_t *const none[MOST_MESSAGES];
    const script_t *script = &scripts[number];
    mproc_conn_t *theirs, *stay[MOST_MESSAGES] = {NULL};
    side_t side = {.script = script};
    make_all(script, &side.conn, &theirs, stay, side.ends);
    mproc_process_t *process = start_side(be_receiver, number, theirs, none);
    const int is_killed = steps_go(process, count, send_some, &side);
    assert_int_equal(finish(process), is_killed ? -SIGKILL : 0);
    assert_true(is_killed || side.done == script->count);
    *sent = side.done;
    const int gone = side.done + side.is_begun;
    if (side.done < script->count) {
        send_next(&side, patience());
        assert_failure(side.status, APR_EPIPE);
    }
    expect_end(side.conn);
    /* What has gone is closed; what has not is as before. */
    for (int i = 0; i < script->count; i++)
        if (stay[i])
            check_end(stay[i], i < gone ? NULL : side.ends[i]);
    return is_killed;
}

static void test_receivers(void **state)
{
    (void)state;
    need_steps();
    signal(SIGPIPE, count_signal);
    const int descriptors = count_after_waiting();
    for (int number = 0; number < SCRIPTS; number++) {
        int times[MOST_MESSAGES + 1] = {0};
        int count = 0, sent = 0;
        for (; kill_receiver(number, count, &sent); count++)
            times[sent]++;
        printf("script %d: killed at %d steps\n", number, count);
        for (int i = 0; i <= scripts[number].count; i++)
            assert_true(times[i] > 0 || has_parts(&scripts[number]));
        assert_int_equal(count_descriptors(), descriptors);
    }
    assert_int_equal(signals, 0);
}

/* ---- Listeners and those who connect ----------------------------------------------------------------------------- */

/** The name of this run's listeners. */
static const char *name_of(int pid)
{
    static char name[64];
    snprintf(name, sizeof name, "test-steps-%d", pid);
    return name;
}

/** Listen under a name and without one, have somebody connect, and close all. */
static int be_listener(mproc_call_t *call)
{
    mproc_listener_t *listener, *other;
    mproc_conn_t *client, *server;
    const char *name = mproc_call_string(call, 0);
    if (steps_begin() != 0)
        return 1;
    if (mproc_listener_create(&listener, name, NULL) != APR_SUCCESS ||
        mproc_listener_create(&other, NULL, NULL) != APR_SUCCESS)
        return 2;
    if (mproc_connect(&client, name, NULL, 0) != APR_SUCCESS ||
        mproc_listener_accept(listener, &server, 0) != APR_SUCCESS || send_bytes(client, 100, 1, 0) != APR_SUCCESS ||
        expect_bytes(server, 100, 1, 0) != APR_SUCCESS)
        return 3;
    mproc_conn_close(client);
    mproc_conn_close(server);
    return mproc_listener_close(listener) == APR_SUCCESS && mproc_listener_close(other) == APR_SUCCESS ? 0 : 4;
}

/** Listen under a name, and see that it works. */
static void expect_name(const char *name)
{
    mproc_listener_t *listener;
    mproc_conn_t *client, *server;
    assert_success(mproc_listener_create(&listener, name, NULL));
    assert_success(mproc_connect(&client, name, NULL, 0));
    assert_success(mproc_listener_accept(listener, &server, 0));
    check_end(client, server);
    assert_success(mproc_listener_close(listener));
}

/** How many paths a process has left in the folder of names. */
static int count_paths_of(int pid, const char *name)
{
    char folder[64], prefix[64];
    int count = 0;
    snprintf(folder, sizeof folder, "/tmp/mproc-%lu", (unsigned long)geteuid());
    snprintf(prefix, sizeof prefix, ".%x-", (unsigned)pid);
    DIR *open = opendir(folder);
    assert_non_null(open);
    for (const struct dirent *entry; (entry = readdir(open)) != NULL;)
        count += strncmp(entry->d_name, prefix, strlen(prefix)) == 0 || strcmp(entry->d_name, name) == 0;
    closedir(open);
    return count;
}

static void test_listeners(void **state)
{
    int is_killed = 1;
    (void)state;
    need_steps();
    const char *name = name_of(mproc_getpid());
    const mproc_arg_t arg = mproc_arg_string(NULL, name);
    const mproc_process_opts_t opts = {.start_method = MPROC_FORK, .args = &arg, .arg_count = 1};
    expect_name(name);
    const int descriptors = count_descriptors();
    for (int count = 0; is_killed; count++) {
        mproc_process_t *process = start(be_listener, opts);
        const int pid = mproc_process_pid(process);
        is_killed = steps_go(process, count, NULL, NULL);
        assert_int_equal(finish(process), is_killed ? -SIGKILL : 0);
        /* Its name is free, and what it left behind is gone as soon as another one listens. */
        expect_name(name);
        assert_int_equal(count_paths_of(pid, name), 0);
        assert_int_equal(count_descriptors(), descriptors);
    }
}

static int be_client(mproc_call_t *call)
{
    mproc_conn_t *conn;
    if (steps_begin() != 0)
        return 1;
    if (mproc_connect(&conn, mproc_call_string(call, 0), NULL, patience()) != APR_SUCCESS ||
        send_bytes(conn, 100, 1, 0) != APR_SUCCESS)
        return 2;
    return mproc_conn_close(conn) == APR_SUCCESS ? 0 : 3;
}

static void test_clients(void **state)
{
    mproc_listener_t *listener;
    int is_killed = 1, accepted = 0, received = 0;
    (void)state;
    need_steps();
    assert_success(mproc_listener_create(&listener, NULL, NULL));
    const mproc_arg_t arg = mproc_arg_string(NULL, mproc_listener_address(listener));
    const mproc_process_opts_t opts = {.start_method = MPROC_FORK, .args = &arg, .arg_count = 1};
    const int descriptors = count_after_waiting();
    for (int count = 0; is_killed; count++) {
        mproc_conn_t *conn, *client;
        mproc_process_t *process = start(be_client, opts);
        is_killed = steps_go(process, count, NULL, NULL);
        assert_int_equal(finish(process), is_killed ? -SIGKILL : 0);
        const apr_status_t status = mproc_listener_accept(listener, &conn, 0);
        if (status == APR_SUCCESS) {
            accepted++;
            received += mproc_conn_poll(conn, 0) == APR_SUCCESS && expect_bytes(conn, 100, 1, 0) == APR_SUCCESS;
            expect_end(conn);
        } else {
            assert_failure(status, APR_TIMEUP);
        }
        /* The next one is served. */
        assert_success(mproc_connect(&client, mproc_listener_address(listener), NULL, 0));
        assert_success(mproc_listener_accept(listener, &conn, 0));
        check_end(client, conn);
        assert_int_equal(count_descriptors(), descriptors);
    }
    assert_true(accepted > received && received > 0);
    assert_success(mproc_listener_close(listener));
}

/* ---- Shared memory by name --------------------------------------------------------------------------------------- */

/** Make a list, open it, and remove it. */
static int be_maker(mproc_call_t *call)
{
    mproc_shareable_list_t *list, *other;
    const mproc_item_t items[] = {mproc_item_str("text"), mproc_item_int(5)};
    const char *name = mproc_call_string(call, 0);
    if (steps_begin() != 0)
        return 1;
    if (mproc_shareable_list_create(&list, name, items, 2, NULL) != APR_SUCCESS ||
        mproc_shareable_list_open(&other, name, NULL) != APR_SUCCESS)
        return 2;
    if (mproc_shareable_list_close(list) != APR_SUCCESS || mproc_shareable_list_close(other) != APR_SUCCESS)
        return 3;
    return mproc_shm_unlink(name) == APR_SUCCESS ? 0 : 4;
}

/** What a maker leaves is nothing, a name without memory, an empty list, or the list; and can be removed. */
static void test_makers_of_lists(void **state)
{
    enum { NOTHING, NAME, EMPTY, LIST, RESULTS };
    int counts[RESULTS] = {0};
    int is_killed = 1;
    (void)state;
    need_steps();
    const char *name = name_of(mproc_getpid());
    const mproc_arg_t arg = mproc_arg_string(NULL, name);
    const mproc_process_opts_t opts = {.start_method = MPROC_FORK, .args = &arg, .arg_count = 1};
    mproc_shm_unlink(name);
    const int descriptors = count_descriptors();
    for (int count = 0; is_killed; count++) {
        mproc_shareable_list_t *list;
        int64_t number;
        mproc_process_t *process = start(be_maker, opts);
        is_killed = steps_go(process, count, NULL, NULL);
        assert_int_equal(finish(process), is_killed ? -SIGKILL : 0);
        const apr_status_t status = mproc_shareable_list_open(&list, name, NULL);
        if (status == APR_SUCCESS) {
            const size_t length = mproc_shareable_list_length(list);
            assert_true(length == 0 || length == 2);
            if (length == 2)
                assert_success(mproc_shareable_list_get_int(list, 1, &number));
            assert_success(mproc_shareable_list_close(list));
            counts[length == 2 ? LIST : EMPTY]++;
        } else {
            assert_failure(status, status == MPROC_ESTATE ? MPROC_ESTATE : APR_ENOENT);
            counts[status == MPROC_ESTATE ? NAME : NOTHING]++;
        }
        assert_int_equal(mproc_shm_unlink(name), status == APR_ENOENT ? APR_ENOENT : APR_SUCCESS);
        assert_int_equal(count_descriptors(), descriptors);
    }
    for (int i = 0; i < RESULTS; i++)
        assert_true(counts[i] > 0);
}

static const char first_text[] = "the first text";

static int be_setter(mproc_call_t *call)
{
    mproc_shareable_list_t *list;
    if (steps_begin() != 0)
        return 1;
    if (mproc_shareable_list_open(&list, mproc_call_string(call, 0), NULL) != APR_SUCCESS)
        return 2;
    return mproc_shareable_list_set(list, 0, mproc_item_int(7)) == APR_SUCCESS &&
                   mproc_shareable_list_set(list, 1, mproc_item_int(7)) == APR_SUCCESS &&
                   mproc_shareable_list_close(list) == APR_SUCCESS
               ? 0
               : 3;
}

/** A value is the one before or the new one, or said to be none; and one of the same type is never none. */
static void test_setters(void **state)
{
    const mproc_item_t items[] = {mproc_item_str(first_text), mproc_item_int(5)};
    int befores = 0, corrupt = 0, news = 0, is_killed = 1;
    mproc_shareable_list_t *list;
    (void)state;
    need_steps();
    const char *name = name_of(mproc_getpid());
    const mproc_arg_t arg = mproc_arg_string(NULL, name);
    const mproc_process_opts_t opts = {.start_method = MPROC_FORK, .args = &arg, .arg_count = 1};
    mproc_shm_unlink(name);
    assert_success(mproc_shareable_list_create(&list, name, items, 2, NULL));
    for (int count = 0; is_killed; count++) {
        mproc_item_t item;
        char text[64];
        int64_t number;
        mproc_process_t *process = start(be_setter, opts);
        is_killed = steps_go(process, count, NULL, NULL);
        assert_int_equal(finish(process), is_killed ? -SIGKILL : 0);
        const apr_status_t status = mproc_shareable_list_get(list, 0, &item, text, sizeof text);
        if (status != APR_SUCCESS)
            assert_failure(status, MPROC_ECORRUPT);
        else if (item.type == MPROC_ITEM_STR)
            assert_string_equal(text, first_text);
        else
            assert_true(item.type == MPROC_ITEM_INT && item.integer == 7);
        corrupt += status != APR_SUCCESS;
        befores += status == APR_SUCCESS && item.type == MPROC_ITEM_STR;
        news += status == APR_SUCCESS && item.type == MPROC_ITEM_INT;
        assert_success(mproc_shareable_list_get_int(list, 1, &number));
        assert_true(number == 5 || number == 7);
        for (size_t i = 0; i < 2; i++)
            assert_success(mproc_shareable_list_set(list, i, items[i]));
    }
    assert_true(befores > 0 && corrupt > 0 && news > 0);
    assert_success(mproc_shm_unlink(name));
    assert_success(mproc_shareable_list_close(list));
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_senders), cmocka_unit_test(test_receivers),       cmocka_unit_test(test_listeners),
        cmocka_unit_test(test_clients), cmocka_unit_test(test_makers_of_lists), cmocka_unit_test(test_setters),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
