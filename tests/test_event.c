/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>

#include "support/harness.h"
#include "support/objects.h"
#include "support/support.h"

static mproc_event_t *make_event(int set)
{
    mproc_event_t *event;
    const mproc_event_opts_t opts = {.set = set};
    assert_success(mproc_event_create(&event, &opts));
    return event;
}

static void test_set_and_clear(void **state)
{
    (void)state;
    for (int set = 0; set < 2; set++) {
        mproc_event_t *event = make_event(set);
        assert_int_equal(mproc_event_is_set(event), set);
        assert_int_equal(mproc_last_error()->status, APR_SUCCESS);
        assert_int_equal(mproc_event_wait(event, 0), set ? APR_SUCCESS : APR_TIMEUP);
        for (int turn = 0; turn < 3; turn++) {
            assert_success(mproc_event_set(event));
            assert_success(mproc_event_set(event));
            assert_int_equal(mproc_event_is_set(event), 1);
            assert_success(mproc_event_wait(event, MPROC_FOREVER));
            assert_success(mproc_event_wait(event, 0));
            assert_success(mproc_event_clear(event));
            assert_success(mproc_event_clear(event));
            assert_int_equal(mproc_event_is_set(event), 0);
            assert_failure(mproc_event_wait(event, 0), APR_TIMEUP);
            assert_failure(mproc_event_wait(event, 1000), APR_TIMEUP);
        }
        assert_success(mproc_event_close(event));
        assert_failure(mproc_event_set(event), MPROC_ECLOSED);
        assert_failure(mproc_event_clear(event), MPROC_ECLOSED);
        assert_int_equal(mproc_event_is_set(event), 0);
        assert_int_equal(mproc_last_error()->status, MPROC_ECLOSED);
    }
    assert_failure(mproc_event_set(NULL), APR_EINVAL);
    assert_failure(mproc_event_clear(NULL), APR_EINVAL);
    assert_int_equal(mproc_event_is_set(NULL), 0);
    assert_int_equal(mproc_last_error()->status, APR_EINVAL);
    expect_no_objects();
}

static void test_timeouts(void **state)
{
    static const apr_interval_time_t timeouts[] = {1, 30000, 120000};
    (void)state;
    mproc_event_t *event = make_event(0);
    for (size_t i = 0; i < sizeof timeouts / sizeof timeouts[0]; i++) {
        const apr_time_t begin = apr_time_now();
        assert_failure(mproc_event_wait(event, timeouts[i]), APR_TIMEUP);
        expect_waited(begin, timeouts[i]);
    }
    assert_success(mproc_event_close(event));
}

/** All who wait go on, also if it is cleared at once. */
static void test_all_go_on(void **state)
{
    enum { WAITERS = 20 };
    waiting_thread_t threads[WAITERS];
    (void)state;
    mproc_event_t *event = make_event(0);
    for (int turn = 0; turn < 6; turn++) {
        for (int i = 0; i < WAITERS; i++)
            begin_waiting(&threads[i], &object_kinds[OF_EVENT], event, i % 3 ? MPROC_FOREVER : INT64_MAX);
        await_waiting(WAITERS);
        const apr_time_t begin = apr_time_now();
        assert_success(mproc_event_set(event));
        assert_success(mproc_event_clear(event));
        for (int i = 0; i < WAITERS; i++)
            assert_int_equal(end_waiting(&threads[i]), APR_SUCCESS);
        expect_soon(begin);
        assert_int_equal(mproc_event_is_set(event), 0);
        assert_failure(mproc_event_wait(event, 1000), APR_TIMEUP);
    }
    assert_success(mproc_event_close(event));
}

/** Two threads that wait for each other's event in turn. */
static int play(int number, void *context)
{
    mproc_event_t **events = context;
    for (int i = 0; i < 5000 / slowdown(); i++) {
        if (number == 1 && mproc_event_set(events[0]) != APR_SUCCESS)
            return 1;
        if (mproc_event_wait(events[number], patience()) != APR_SUCCESS ||
            mproc_event_clear(events[number]) != APR_SUCCESS)
            return 2;
        if (number == 0 && mproc_event_set(events[1]) != APR_SUCCESS)
            return 3;
    }
    return 0;
}

static void test_ping_pong(void **state)
{
    mproc_event_t *events[2];
    (void)state;
    events[0] = make_event(0);
    events[1] = make_event(0);
    assert_int_equal(run_threads(2, play, events), 0);
    assert_success(mproc_event_close(events[0]));
    assert_success(mproc_event_close(events[1]));
}

/** Many set and clear it, many wait: each sees it sooner or later. */
static int set_or_wait(int number, void *context)
{
    for (int i = 0; i < 3000 / slowdown(); i++) {
        if (number == 0 ? mproc_event_set(context) != APR_SUCCESS || mproc_event_clear(context) != APR_SUCCESS
                        : mproc_event_wait(context, 1000) == MPROC_ECLOSED)
            return 1;
    }
    return 0;
}

static void test_threads(void **state)
{
    (void)state;
    mproc_event_t *event = make_event(0);
    assert_int_equal(run_threads(6, set_or_wait, event), 0);
    assert_int_equal(mproc_event_is_set(event), 0);
    assert_success(mproc_event_close(event));
    expect_no_objects();
}

static mproc_event_t *of_handler;

static void on_signal(int number)
{
    (void)number;
    mproc_event_set(of_handler);
}

static void test_set_by_signal_handler(void **state)
{
    waiting_thread_t thread;
    (void)state;
    if (!has_fork())
        skip_because("only Unix has signal handlers that interrupt");
    of_handler = make_event(0);
    assert_int_equal(mproc_event_is_set(of_handler), 0);
    for (int i = 0; i < 3; i++) {
        signal(SIGINT, on_signal);
        begin_waiting(&thread, &object_kinds[OF_EVENT], of_handler, MPROC_FOREVER);
        await_waiting(1);
        raise(SIGINT);
        assert_int_equal(end_waiting(&thread), APR_SUCCESS);
        assert_success(mproc_event_clear(of_handler));
    }
    /* A thread that waits handles it itself. */
    assert_failure(mproc_event_wait(of_handler, 0), APR_TIMEUP);
    assert_success(mproc_event_close(of_handler));
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set_and_clear), cmocka_unit_test(test_timeouts),
        cmocka_unit_test(test_all_go_on),     cmocka_unit_test(test_ping_pong),
        cmocka_unit_test(test_threads),       cmocka_unit_test(test_set_by_signal_handler),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
