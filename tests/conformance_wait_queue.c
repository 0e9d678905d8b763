/* SPDX-License-Identifier: Apache-2.0 */
/* Queues among what is waited for: by mproc_wait(), and by what the system waits for. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "support/harness.h"
#include "support/objects.h"
#include "support/support.h"

static mproc_queue_t *make_queue(size_t maxsize)
{
    mproc_queue_t *queue;
    const mproc_queue_opts_t opts = {.item_size = sizeof(int), .maxsize = maxsize};
    assert_success(mproc_queue_create(&queue, &opts));
    return queue;
}

static void put(mproc_queue_t *queue, int item)
{
    assert_success(mproc_queue_put(queue, &item, sizeof item, patience()));
}

static int get(mproc_queue_t *queue)
{
    int item = -1;
    assert_success(mproc_queue_get(queue, &item, sizeof item, NULL, patience()));
    return item;
}

/** Whether it is ready now, as mproc_wait() sees it and as the system does; that of the system may be late. */
static int is_ready(mproc_queue_t *queue)
{
    mproc_wait_t item = mproc_wait_queue(queue);
    const apr_status_t status = mproc_wait(&item, 1, 0);
    assert_true(status == APR_SUCCESS || status == APR_TIMEUP);
    assert_int_equal(item.is_ready, status == APR_SUCCESS);
    return item.is_ready;
}

static void test_ready_while_there_is_something(void **state)
{
    (void)state;
    mproc_queue_t *queue = make_queue(4);
    for (int turn = 0; turn < 20000 / slowdown(); turn++) {
        assert_false(is_ready(queue));
        put(queue, turn);
        assert_true(is_ready(queue));
        put(queue, turn + 1);
        assert_int_equal(get(queue), turn);
        assert_true(is_ready(queue));
        assert_int_equal(get(queue), turn + 1);
    }
    assert_false(is_ready(queue));
    assert_success(mproc_queue_finish(queue));
    assert_true(is_ready(queue));
    assert_failure(mproc_queue_get(queue, NULL, 0, NULL, 0), APR_EOF);
    assert_true(is_ready(queue));
    assert_success(mproc_queue_close(queue));
    expect_no_objects();
}

/** What was there before anybody asked for a handle is told by it, too. */
static void test_handle_of_the_system(void **state)
{
    mproc_os_handle_t handle, again;
    int item;
    (void)state;
    assert_success(mproc_queue_close(make_queue(1))); /* the family's memory is a descriptor */
    const int before = count_after_waiting();
    mproc_queue_t *queue = make_queue(4);
    put(queue, 7);
    assert_success(mproc_queue_fileno(queue, &handle));
    assert_success(mproc_queue_fileno(queue, &again));
    assert_true(handle == again);
    mproc_wait_t items[] = {mproc_wait_handle(handle)};
    for (int turn = 0; turn < 50; turn++) {
        assert_success(mproc_wait(items, 1, patience()));
        assert_int_equal(get(queue), turn ? turn : 7);
        /* It is ready until somebody finds the queue empty, and may be once more, if that was just being told. */
        int times = 0;
        do {
            assert_failure(mproc_queue_get(queue, &item, sizeof item, NULL, 0), APR_TIMEUP);
            assert_in_range(times++, 0, 2);
        } while (mproc_wait(items, 1, 1000) == APR_SUCCESS);
        put(queue, turn + 1);
    }
    assert_success(mproc_queue_close(queue));
    expect_descriptors(before);
    expect_no_objects();
}

static void test_refused(void **state)
{
    mproc_os_handle_t handle = 5;
    mproc_queue_t *putter, *getter;
    (void)state;
    mproc_queue_t *queue = make_queue(4);
    assert_success(mproc_queue_open_putter(&putter, queue, NULL));
    assert_success(mproc_queue_open_getter(&getter, queue, NULL));
    assert_failure(mproc_queue_fileno(putter, &handle), MPROC_EDIRECTION);
    assert_true(handle == MPROC_NO_HANDLE);
    assert_failure(mproc_queue_fileno(queue, NULL), APR_EINVAL);
    assert_failure(mproc_queue_fileno(NULL, &handle), APR_EINVAL);
    mproc_wait_t items[] = {mproc_wait_queue(getter), mproc_wait_queue(putter), mproc_wait_queue(NULL)};
    assert_failure(mproc_wait(items, 3, 0), MPROC_EDIRECTION);
    assert_int_equal(items[1].status, MPROC_EDIRECTION);
    assert_failure(mproc_wait(&items[2], 1, 0), APR_EINVAL);
    assert_success(mproc_queue_fileno(getter, &handle));
    assert_success(mproc_queue_close(putter));
    /* The last putter is gone. */
    assert_success(mproc_wait(items, 1, patience()));
    assert_success(mproc_queue_close(getter));
    assert_failure(mproc_wait(items, 1, 0), MPROC_ECLOSED);
    assert_success(mproc_queue_close(queue));
    expect_no_objects();
}

static void close_queue(void *queue)
{
    mproc_queue_close(queue);
}

static void test_closed_by_another_thread(void **state)
{
    later_t later;
    (void)state;
    for (int is_full = 0; is_full < 2; is_full++) {
        mproc_conn_t *first, *second;
        mproc_queue_t *queue = make_queue(1);
        make_conns(&first, &second);
        mproc_wait_t items[] = {mproc_wait_conn(second), mproc_wait_queue(queue)};
        if (is_full) {
            put(queue, 1);
            assert_success(mproc_wait(items, 2, patience()));
            assert_int_equal(get(queue), 1);
        }
        begin_later(&later, 50, close_queue, queue);
        assert_failure(mproc_wait(items, 2, MPROC_FOREVER), MPROC_ECLOSED);
        assert_int_equal(items[0].status, APR_SUCCESS);
        assert_int_equal(items[1].status, MPROC_ECLOSED);
        end_later(&later);
        close_both(first, second);
    }
    expect_no_objects();
}

/* ---- Other processes --------------------------------------------------------------------------------------------- */

enum { ITEMS = 300, PRODUCERS = 3 };

/** Put numbers, now with pauses and now without. */
static int produce(mproc_call_t *call)
{
    mproc_queue_t *queue = mproc_call_queue(call, 0);
    for (int i = 0; i < ITEMS; i++) {
        if (i % 50 == 0)
            apr_sleep(3000);
        if (mproc_queue_put(queue, &i, sizeof i, patience()) != APR_SUCCESS)
            return 1;
    }
    return 0;
}

/** Get all that there is from several queues, each filled by a process, until all have ended. */
static void test_several_queues(void **state)
{
    mproc_queue_t *queues[PRODUCERS], *putter;
    mproc_process_t *producers[PRODUCERS];
    mproc_wait_t items[PRODUCERS];
    int next[PRODUCERS] = {0};
    int left = PRODUCERS;
    (void)state;
    for (int i = 0; i < PRODUCERS; i++) {
        queues[i] = make_queue(8);
        assert_success(mproc_queue_open_putter(&putter, queues[i], NULL));
        mproc_process_opts_t opts = method_options();
        opts.share[0] = putter;
        producers[i] = start(produce, opts);
        assert_success(mproc_queue_close(putter));
        items[i] = mproc_wait_queue(queues[i]);
    }
    while (left > 0) {
        assert_success(mproc_wait(items, PRODUCERS, patience()));
        for (int i = 0; i < PRODUCERS; i++) {
            int item;
            apr_status_t status = APR_TIMEUP;
            while (items[i].is_ready &&
                   (status = mproc_queue_get(queues[i], &item, sizeof item, NULL, 0)) == APR_SUCCESS)
                assert_int_equal(item, next[i]++);
            if (status != APR_EOF)
                continue;
            items[i].kind = MPROC_WAIT_NOTHING;
            left--;
        }
    }
    for (int i = 0; i < PRODUCERS; i++) {
        assert_int_equal(next[i], ITEMS);
        assert_int_equal(finish(producers[i]), 0);
        assert_success(mproc_queue_close(queues[i]));
    }
    expect_no_objects();
}

static int get_until_the_end(mproc_call_t *call)
{
    mproc_queue_t *queue = mproc_call_queue(call, 0);
    int item, count = 0;
    while (mproc_queue_get(queue, &item, sizeof item, NULL, patience()) == APR_SUCCESS)
        count++;
    return count;
}

/** Those who wait by the system, and get nothing, leave all wakes to those who get. */
static void test_others_get(void **state)
{
    enum { TURNS = 200 };
    mproc_os_handle_t handle;
    (void)state;
    mproc_queue_t *queue = make_queue(4);
    assert_success(mproc_queue_fileno(queue, &handle));
    mproc_process_opts_t opts = method_options();
    opts.share[0] = queue;
    mproc_process_t *getter = start(get_until_the_end, opts);
    for (int i = 0; i < TURNS; i++) {
        put(queue, i);
        const apr_time_t end = apr_time_now() + patience();
        while (mproc_queue_size(queue) > 0 && apr_time_now() < end)
            apr_sleep(100);
        assert_int_equal(mproc_queue_size(queue), 0);
    }
    assert_success(mproc_queue_finish(queue));
    assert_int_equal(finish(getter), TURNS);
    assert_success(mproc_queue_close(queue));
    expect_no_objects();
}

static int wait_for_the_end(mproc_call_t *call)
{
    mproc_wait_t item = mproc_wait_queue(mproc_call_queue(call, 0));
    int value;
    if (mproc_wait(&item, 1, patience()) != APR_SUCCESS)
        return 1;
    if (mproc_queue_get(item.object, &value, sizeof value, NULL, 0) != APR_SUCCESS || value != 42)
        return 2;
    if (mproc_wait(&item, 1, patience()) != APR_SUCCESS)
        return 3;
    return mproc_queue_get(item.object, &value, sizeof value, NULL, 0) == APR_EOF ? 0 : 4;
}

/** A child waits at what its creator waits at, too: each by something of its own. */
static void test_in_a_child(void **state)
{
    mproc_os_handle_t handle;
    mproc_queue_t *putter;
    (void)state;
    if (method_under_test() == MPROC_FORK && setting("MPROC_TEST_NO_THREADS_AFTER_FORK", 0))
        skip_because("this tool allows no new threads in a child that was forked beside others");
    mproc_queue_t *queue = make_queue(4);
    assert_success(mproc_queue_open_putter(&putter, queue, NULL));
    assert_success(mproc_queue_fileno(queue, &handle));
    mproc_process_opts_t opts = method_options();
    opts.share[0] = queue;
    mproc_process_t *child = start(wait_for_the_end, opts);
    put(queue, 42);
    const apr_time_t end = apr_time_now() + patience();
    while (mproc_queue_size(queue) > 0 && apr_time_now() < end)
        apr_sleep(1000);
    assert_success(mproc_queue_close(putter));
    assert_int_equal(finish(child), 0);
    assert_success(mproc_queue_close(queue));
    expect_no_objects();
}

static int die_with_a_putter(mproc_call_t *call)
{
    const int item = 1;
    mproc_queue_put(mproc_call_queue(call, 0), &item, sizeof item, 0);
    apr_sleep(MPROC_SECONDS(60));
    return 0;
}

/** The last one who could put is killed. */
static void test_last_putter_killed(void **state)
{
    mproc_queue_t *putter;
    (void)state;
    skip_under(MPROC_THREAD, "a thread cannot be killed");
    mproc_queue_t *queue = make_queue(4);
    assert_success(mproc_queue_open_putter(&putter, queue, NULL));
    mproc_process_opts_t opts = method_options();
    opts.share[0] = putter;
    mproc_process_t *child = start(die_with_a_putter, opts);
    assert_success(mproc_queue_close(putter));
    assert_int_equal(get(queue), 1);
    mproc_wait_t item = mproc_wait_queue(queue);
    assert_failure(mproc_wait(&item, 1, 20000), APR_TIMEUP);
    assert_success(mproc_process_kill(child));
    assert_success(mproc_wait(&item, 1, patience()));
    assert_failure(mproc_queue_get(queue, NULL, 0, NULL, 0), APR_EOF);
    finish(child);
    assert_success(mproc_queue_close(queue));
    expect_no_objects();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ready_while_there_is_something),
        cmocka_unit_test(test_handle_of_the_system),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_closed_by_another_thread),
        cmocka_unit_test(test_several_queues),
        cmocka_unit_test(test_others_get),
        cmocka_unit_test(test_in_a_child),
        cmocka_unit_test(test_last_putter_killed),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
