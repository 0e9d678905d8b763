/* SPDX-License-Identifier: Apache-2.0 */
#include <stdatomic.h>
#include <stdlib.h>

#include "support/harness.h"
#include "support/objects.h"
#include "support/support.h"

static mproc_semaphore_t *make_semaphore(unsigned value, int bounded, int owned)
{
    mproc_semaphore_t *semaphore;
    const mproc_semaphore_opts_t opts = {.bounded = bounded, .owned = owned};
    assert_success(mproc_semaphore_create(&semaphore, value, &opts));
    assert_int_equal(mproc_semaphore_value(semaphore), value);
    assert_int_equal(mproc_last_error()->status, APR_SUCCESS);
    return semaphore;
}

static void test_counts(void **state)
{
    (void)state;
    for (int owned = 0; owned < 2; owned++) {
        mproc_semaphore_t *semaphore = make_semaphore(3, 0, owned);
        for (unsigned left = 3; left > 0; left--) {
            assert_int_equal(mproc_semaphore_value(semaphore), left);
            assert_success(mproc_semaphore_acquire(semaphore, left == 2 ? MPROC_FOREVER : 0));
        }
        assert_int_equal(mproc_semaphore_value(semaphore), 0);
        assert_failure(mproc_semaphore_acquire(semaphore, 0), APR_TIMEUP);
        assert_failure(mproc_semaphore_acquire(semaphore, 1000), APR_TIMEUP);
        assert_int_equal(mproc_semaphore_value(semaphore), 0);
        assert_success(mproc_semaphore_release(semaphore));
        assert_int_equal(mproc_semaphore_value(semaphore), 1);
        assert_success(mproc_semaphore_acquire(semaphore, 1000));
        assert_success(mproc_semaphore_close(semaphore));
        assert_int_equal(mproc_semaphore_value(semaphore), 0);
        assert_int_equal(mproc_last_error()->status, MPROC_ECLOSED);
    }
    assert_int_equal(mproc_semaphore_value(NULL), 0);
    assert_int_equal(mproc_last_error()->status, APR_EINVAL);
    assert_failure(mproc_semaphore_release(NULL), APR_EINVAL);
    expect_no_objects();
}

static void test_largest_values(void **state)
{
    mproc_semaphore_t *semaphore;
    const mproc_semaphore_opts_t owned = {.owned = 1};
    (void)state;
    semaphore = make_semaphore(MPROC_SEMAPHORE_MAX, 0, 0);
    assert_failure(mproc_semaphore_release(semaphore), MPROC_ESTATE);
    assert_success(mproc_semaphore_acquire(semaphore, 0));
    assert_success(mproc_semaphore_release(semaphore));
    assert_failure(mproc_semaphore_release(semaphore), MPROC_ESTATE);
    assert_int_equal(mproc_semaphore_value(semaphore), MPROC_SEMAPHORE_MAX);
    assert_success(mproc_semaphore_close(semaphore));
    assert_failure(mproc_semaphore_create(&semaphore, MPROC_SEMAPHORE_MAX + 1u, NULL), APR_EINVAL);
    assert_null(semaphore);
    assert_failure(mproc_semaphore_create(&semaphore, (unsigned)-1, NULL), APR_EINVAL);
    semaphore = make_semaphore(MPROC_SEMAPHORE_OWNED_MAX, 0, 1);
    for (int i = 0; i < MPROC_SEMAPHORE_OWNED_MAX; i++)
        assert_success(mproc_semaphore_acquire(semaphore, 0));
    assert_failure(mproc_semaphore_acquire(semaphore, 0), APR_TIMEUP);
    for (int i = 0; i < MPROC_SEMAPHORE_OWNED_MAX; i++)
        assert_success(mproc_semaphore_release(semaphore));
    assert_success(mproc_semaphore_close(semaphore));
    assert_failure(mproc_semaphore_create(&semaphore, MPROC_SEMAPHORE_OWNED_MAX + 1, &owned), APR_EINVAL);
    assert_null(semaphore);
    assert_failure(mproc_semaphore_create(&semaphore, 0, &owned), APR_EINVAL);
    expect_no_objects();
}

static void test_bounded(void **state)
{
    (void)state;
    for (unsigned value = 0; value < 4; value++) {
        mproc_semaphore_t *semaphore = make_semaphore(value, 1, 0);
        assert_failure(mproc_semaphore_release(semaphore), MPROC_ESTATE);
        for (unsigned i = 0; i < value; i++)
            assert_success(mproc_semaphore_acquire(semaphore, 0));
        assert_failure(mproc_semaphore_acquire(semaphore, 0), APR_TIMEUP);
        for (unsigned i = 0; i < value; i++)
            assert_success(mproc_semaphore_release(semaphore));
        assert_failure(mproc_semaphore_release(semaphore), MPROC_ESTATE);
        assert_int_equal(mproc_semaphore_value(semaphore), value);
        assert_success(mproc_semaphore_close(semaphore));
    }
}

/** One that is not bounded grows. */
static void test_grows(void **state)
{
    (void)state;
    mproc_semaphore_t *semaphore = make_semaphore(0, 0, 0);
    for (unsigned i = 1; i <= 1000; i++) {
        assert_success(mproc_semaphore_release(semaphore));
        assert_int_equal(mproc_semaphore_value(semaphore), i);
    }
    assert_success(mproc_semaphore_close(semaphore));
}

static void test_owned_by_nobody(void **state)
{
    (void)state;
    mproc_semaphore_t *semaphore = make_semaphore(2, 0, 1);
    assert_failure(mproc_semaphore_release(semaphore), MPROC_ESTATE);
    assert_success(mproc_semaphore_acquire(semaphore, 0));
    assert_success(mproc_semaphore_release(semaphore));
    assert_failure(mproc_semaphore_release(semaphore), MPROC_ESTATE);
    assert_int_equal(mproc_semaphore_value(semaphore), 2);
    assert_success(mproc_semaphore_close(semaphore));
}

static void test_timeouts(void **state)
{
    static const apr_interval_time_t timeouts[] = {0, 1, 30000, 120000};
    (void)state;
    for (int owned = 0; owned < 2; owned++) {
        mproc_semaphore_t *semaphore = make_semaphore(1, 0, owned);
        assert_success(mproc_semaphore_acquire(semaphore, MPROC_FOREVER));
        for (size_t i = 0; i < sizeof timeouts / sizeof timeouts[0]; i++) {
            const apr_time_t begin = apr_time_now();
            assert_failure(mproc_semaphore_acquire(semaphore, timeouts[i]), APR_TIMEUP);
            expect_waited(begin, timeouts[i]);
        }
        waiting_thread_t threads[2];
        begin_waiting(&threads[0], &object_kinds[OF_SEMAPHORE], semaphore, MPROC_FOREVER);
        begin_waiting(&threads[1], &object_kinds[OF_SEMAPHORE], semaphore, INT64_MAX);
        await_waiting(2);
        assert_success(mproc_semaphore_release(semaphore));
        await_waiting(1);
        assert_success(mproc_semaphore_release(semaphore));
        assert_int_equal(end_waiting(&threads[0]), APR_SUCCESS);
        assert_int_equal(end_waiting(&threads[1]), APR_SUCCESS);
        assert_success(mproc_semaphore_close(semaphore));
    }
}

/** Each release lets one of many go on. */
static void test_one_by_one(void **state)
{
    enum { WAITERS = 20 };
    (void)state;
    for (int at_once = 0; at_once < 2; at_once++) {
        waiting_thread_t threads[WAITERS];
        mproc_semaphore_t *semaphore = make_semaphore(0, 0, 0);
        for (int i = 0; i < WAITERS; i++)
            begin_waiting(&threads[i], &object_kinds[OF_SEMAPHORE], semaphore, MPROC_FOREVER);
        await_waiting(WAITERS);
        const apr_time_t begin = apr_time_now();
        for (int i = WAITERS - 1; i >= 0; i--) {
            assert_success(mproc_semaphore_release(semaphore));
            if (!at_once)
                await_lines("has waited for", i);
        }
        for (int i = 0; i < WAITERS; i++)
            assert_int_equal(end_waiting(&threads[i]), APR_SUCCESS);
        expect_soon(begin); /* nobody was forgotten */
        assert_int_equal(mproc_semaphore_value(semaphore), 0);
        assert_success(mproc_semaphore_close(semaphore));
    }
}

/** Threads inside at a time. */
typedef struct room_t {
    mproc_semaphore_t *semaphore;
    _Atomic int inside;
    _Atomic int most;
    int capacity;
    int rounds;
} room_t;

static int go_in_and_out(int number, void *context)
{
    room_t *room = context;
    for (int i = 0; i < room->rounds; i++) {
        const apr_status_t status = mproc_semaphore_acquire(room->semaphore, number % 2 ? MPROC_FOREVER : patience());
        if (status != APR_SUCCESS)
            return 1;
        const int inside = atomic_fetch_add(&room->inside, 1) + 1;
        if (inside > atomic_load(&room->most))
            atomic_store(&room->most, inside);
        if (i % 16 == 0)
            apr_thread_yield();
        atomic_fetch_sub(&room->inside, 1);
        if (inside > room->capacity || mproc_semaphore_release(room->semaphore) != APR_SUCCESS)
            return 2;
    }
    return 0;
}

static void test_threads(void **state)
{
    (void)state;
    for (int owned = 0; owned < 2; owned++) {
        room_t room = {.capacity = 3, .rounds = 5000 / slowdown()};
        room.semaphore = make_semaphore(3, 1, owned);
        assert_int_equal(run_threads(8, go_in_and_out, &room), 0);
        assert_int_equal(mproc_semaphore_value(room.semaphore), 3);
        assert_success(mproc_semaphore_close(room.semaphore));
    }
    expect_no_objects();
}

/** Two semaphores back and forth. */
static int play(int number, void *context)
{
    mproc_semaphore_t **sides = context;
    for (int i = 0; i < 5000 / slowdown(); i++) {
        if (mproc_semaphore_acquire(sides[number], patience()) != APR_SUCCESS ||
            mproc_semaphore_release(sides[1 - number]) != APR_SUCCESS)
            return 1;
    }
    return 0;
}

static void test_ping_pong(void **state)
{
    mproc_semaphore_t *sides[2];
    (void)state;
    sides[0] = make_semaphore(1, 0, 0);
    sides[1] = make_semaphore(0, 0, 0);
    assert_int_equal(run_threads(2, play, sides), 0);
    assert_int_equal(mproc_semaphore_value(sides[0]), 1);
    assert_int_equal(mproc_semaphore_value(sides[1]), 0);
    assert_success(mproc_semaphore_close(sides[0]));
    assert_success(mproc_semaphore_close(sides[1]));
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),     cmocka_unit_test(test_largest_values),  cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_grows),      cmocka_unit_test(test_owned_by_nobody), cmocka_unit_test(test_timeouts),
        cmocka_unit_test(test_one_by_one), cmocka_unit_test(test_threads),         cmocka_unit_test(test_ping_pong),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
