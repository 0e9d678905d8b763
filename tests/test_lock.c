/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "lock_object.h"
#include "support/harness.h"
#include "support/objects.h"
#include "support/support.h"

static mproc_lock_t *make_lock(int recursive)
{
    mproc_lock_t *lock;
    const mproc_lock_opts_t opts = {.recursive = recursive};
    assert_success(mproc_lock_create(&lock, &opts));
    return lock;
}

/** What a call on a lock by another thread returns. */
typedef struct other_t {
    mproc_lock_t *lock;
    apr_status_t (*call)(mproc_lock_t *lock);
    apr_status_t status;
} other_t;

static void call_it(void *context)
{
    other_t *other = context;
    other->status = other->call(other->lock);
}

static apr_status_t by_other_thread(apr_status_t (*call)(mproc_lock_t *lock), mproc_lock_t *lock)
{
    other_t other = {lock, call, -1};
    later_t later;
    begin_later(&later, 0, call_it, &other);
    end_later(&later);
    return other.status;
}

static apr_status_t try_lock(mproc_lock_t *lock)
{
    return mproc_lock_acquire(lock, 0);
}

static void test_one_at_a_time(void **state)
{
    (void)state;
    mproc_lock_t *lock = make_lock(0);
    assert_int_equal(mproc_lock_owner_pid(lock), 0);
    assert_int_equal(mproc_last_error()->status, APR_SUCCESS);
    assert_success(mproc_lock_acquire(lock, MPROC_FOREVER));
    assert_int_equal(mproc_lock_owner_pid(lock), mproc_getpid());
    assert_int_equal(by_other_thread(try_lock, lock), APR_TIMEUP);
    assert_success(mproc_lock_release(lock));
    assert_int_equal(mproc_lock_owner_pid(lock), 0);
    assert_success(mproc_lock_acquire(lock, 0));
    /* It does not know threads. */
    assert_int_equal(by_other_thread(mproc_lock_release, lock), APR_SUCCESS);
    assert_success(mproc_lock_acquire(lock, 1000));
    assert_success(mproc_lock_close(lock));
    assert_int_equal(mproc_lock_owner_pid(lock), 0);
    assert_int_equal(mproc_last_error()->status, MPROC_ECLOSED);
    assert_int_equal(mproc_lock_owner_pid(NULL), 0);
    assert_int_equal(mproc_last_error()->status, APR_EINVAL);
    expect_no_objects();
}

static void test_released_by_nobody(void **state)
{
    (void)state;
    for (int recursive = 0; recursive < 2; recursive++) {
        mproc_lock_t *lock = make_lock(recursive);
        assert_failure(mproc_lock_release(lock), MPROC_ESTATE);
        assert_failure(mproc_lock_abandon(lock), MPROC_ESTATE);
        assert_success(mproc_lock_acquire(lock, 0)); /* was not abandoned by that */
        assert_success(mproc_lock_release(lock));
        assert_failure(mproc_lock_release(lock), MPROC_ESTATE);
        assert_failure(mproc_lock_release(NULL), APR_EINVAL);
        assert_failure(mproc_lock_abandon(NULL), APR_EINVAL);
        assert_success(mproc_lock_close(lock));
        assert_failure(mproc_lock_release(lock), MPROC_ECLOSED);
        assert_failure(mproc_lock_abandon(lock), MPROC_ECLOSED);
    }
}

static void test_timeouts(void **state)
{
    static const apr_interval_time_t timeouts[] = {0, 1, 1000, 30000, 60000, 200000};
    (void)state;
    mproc_lock_t *lock = make_lock(0);
    assert_success(mproc_lock_acquire(lock, 0));
    for (size_t i = 0; i < sizeof timeouts / sizeof timeouts[0]; i++) {
        const apr_time_t begin = apr_time_now();
        assert_failure(mproc_lock_acquire(lock, timeouts[i]), APR_TIMEUP); /* by this very thread */
        expect_waited(begin, timeouts[i]);
    }
    /* The largest ones wait for good. */
    static const apr_interval_time_t endless[] = {MPROC_FOREVER, -7, INT64_MAX, INT64_MAX - 1000000};
    for (size_t i = 0; i < sizeof endless / sizeof endless[0]; i++) {
        waiting_thread_t thread;
        begin_waiting(&thread, &object_kinds[OF_LOCK], lock, endless[i]);
        await_waiting(1);
        assert_int_equal(thread.status, -1);
        assert_success(mproc_lock_release(lock));
        assert_int_equal(end_waiting(&thread), APR_SUCCESS);
    }
    assert_success(mproc_lock_close(lock));
}

static void test_recursive(void **state)
{
    (void)state;
    mproc_lock_t *lock = make_lock(1);
    for (int i = 0; i < 1000; i++)
        assert_success(mproc_lock_acquire(lock, i % 2 ? MPROC_FOREVER : 0));
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(by_other_thread(try_lock, lock), APR_TIMEUP);
        if (i % 100 == 0) {
            assert_int_equal(by_other_thread(mproc_lock_release, lock), APR_EACCES);
            assert_int_equal(by_other_thread(mproc_lock_abandon, lock), APR_EACCES);
        }
        assert_success(mproc_lock_release(lock));
    }
    assert_failure(mproc_lock_release(lock), MPROC_ESTATE);
    /* Another handle of the same thread is the same lock. */
    const mproc_ref_t ref = ref_of(lock);
    mproc_lock_t *other;
    assert_success(mproc_lock_open(&other, &ref, NULL));
    assert_success(mproc_lock_acquire(lock, 0));
    assert_success(mproc_lock_acquire(other, 0));
    assert_success(mproc_lock_release(lock));
    assert_success(mproc_lock_close(lock));
    assert_int_equal(by_other_thread(try_lock, other), APR_TIMEUP);
    assert_success(mproc_lock_release(other));
    assert_success(mproc_lock_close(other));
    expect_no_objects();
}

/** White box: to acquire it four milliards of times takes too long. */
static void test_acquired_too_often(void **state)
{
    (void)state;
    mproc_lock_t *lock = make_lock(1);
    lock_t *inner = arena_at(ref_of(lock).place);
    assert_success(mproc_lock_acquire(lock, 0));
    shm_store(&inner->depth, UINT32_MAX - 1);
    assert_success(mproc_lock_acquire(lock, 0));
    assert_failure(mproc_lock_acquire(lock, 0), MPROC_ESTATE);
    assert_failure(mproc_lock_acquire(lock, MPROC_FOREVER), MPROC_ESTATE);
    assert_success(mproc_lock_release(lock));
    assert_success(mproc_lock_acquire(lock, 0));
    shm_store(&inner->depth, 1);
    assert_success(mproc_lock_release(lock));
    assert_failure(mproc_lock_release(lock), MPROC_ESTATE);
    assert_success(mproc_lock_close(lock));
}

static void test_abandoned(void **state)
{
    (void)state;
    assert_true(mproc_has_acquired(APR_SUCCESS) && mproc_has_acquired(MPROC_EOWNERDEAD));
    assert_false(mproc_has_acquired(APR_TIMEUP) || mproc_has_acquired(MPROC_ESTATE));
    for (int recursive = 0; recursive < 2; recursive++) {
        mproc_lock_t *lock = make_lock(recursive);
        assert_success(mproc_lock_acquire(lock, 0));
        assert_success(mproc_lock_abandon(lock));
        /* The next one is told, and the one after it is not. */
        assert_failure(mproc_lock_acquire(lock, 0), MPROC_EOWNERDEAD);
        assert_int_equal(mproc_lock_owner_pid(lock), mproc_getpid());
        assert_int_equal(by_other_thread(try_lock, lock), APR_TIMEUP);
        assert_success(mproc_lock_release(lock));
        assert_success(mproc_lock_acquire(lock, 0));
        /* Told, and abandoned again. */
        assert_success(mproc_lock_abandon(lock));
        assert_int_equal(by_other_thread(try_lock, lock), MPROC_EOWNERDEAD);
        assert_success(mproc_lock_close(lock));
    }
    mproc_lock_t *lock = make_lock(1);
    assert_success(mproc_lock_acquire(lock, 0));
    assert_success(mproc_lock_acquire(lock, 0));
    assert_success(mproc_lock_abandon(lock));
    assert_int_equal(by_other_thread(try_lock, lock), APR_TIMEUP); /* still acquired once */
    assert_success(mproc_lock_release(lock));
    assert_int_equal(by_other_thread(try_lock, lock), MPROC_EOWNERDEAD);
    assert_success(mproc_lock_close(lock));
}

static void test_abandoned_to_one_that_waits(void **state)
{
    waiting_thread_t thread;
    (void)state;
    mproc_lock_t *lock = make_lock(0);
    assert_success(mproc_lock_acquire(lock, 0));
    begin_waiting(&thread, &object_kinds[OF_LOCK], lock, MPROC_FOREVER);
    await_waiting(1);
    assert_success(mproc_lock_abandon(lock));
    assert_int_equal(end_waiting(&thread), MPROC_EOWNERDEAD);
    assert_success(mproc_lock_close(lock));
}

/** A thread that ends keeps what it has: its process lives on. */
static void test_end_of_thread(void **state)
{
    (void)state;
    mproc_lock_t *lock = make_lock(0);
    assert_int_equal(by_other_thread(try_lock, lock), APR_SUCCESS);
    assert_failure(mproc_lock_acquire(lock, 200000), APR_TIMEUP);
    assert_success(mproc_lock_release(lock));
    assert_success(mproc_lock_close(lock));
    lock = make_lock(1);
    assert_int_equal(by_other_thread(try_lock, lock), APR_SUCCESS);
    assert_failure(mproc_lock_acquire(lock, 200000), APR_TIMEUP);
    assert_failure(mproc_lock_release(lock), APR_EACCES);
    assert_int_equal(mproc_lock_owner_pid(lock), mproc_getpid());
    assert_success(mproc_lock_close(lock));
}

/** A lock that is closed by the last one that has it open, and by who has acquired it. */
static void test_closed_while_acquired(void **state)
{
    mproc_lock_t *other;
    (void)state;
    mproc_lock_t *lock = make_lock(0);
    const mproc_ref_t ref = ref_of(lock);
    assert_success(mproc_lock_open(&other, &ref, NULL));
    assert_success(mproc_lock_acquire(lock, 0));
    assert_success(mproc_lock_close(lock));
    assert_int_equal(mproc_lock_owner_pid(other), mproc_getpid());
    assert_failure(mproc_lock_acquire(other, 1000), APR_TIMEUP);
    assert_success(mproc_lock_release(other));
    assert_success(mproc_lock_acquire(other, 0));
    assert_success(mproc_lock_close(other));
    expect_no_objects();
}

/** A counter that only a lock guards. */
typedef struct guarded_t {
    mproc_lock_t *lock;
    volatile int inside;
    int count;
    int rounds;
    apr_interval_time_t timeout;
} guarded_t;

static int count_guarded(int number, void *context)
{
    guarded_t *guarded = context;
    (void)number;
    for (int i = 0; i < guarded->rounds;) {
        const apr_status_t status = mproc_lock_acquire(guarded->lock, guarded->timeout);
        if (status == APR_TIMEUP)
            continue;
        if (status != APR_SUCCESS || guarded->inside)
            return 1;
        guarded->inside = 1;
        guarded->count++;
        if (i % 64 == 0)
            apr_thread_yield();
        guarded->inside = 0;
        if (mproc_lock_release(guarded->lock) != APR_SUCCESS)
            return 2;
        i++;
    }
    return 0;
}

static void test_threads(void **state)
{
    static const apr_interval_time_t timeouts[] = {MPROC_FOREVER, MPROC_SECONDS(20), 50};
    enum { THREADS = 8 };
    (void)state;
    for (int recursive = 0; recursive < 2; recursive++) {
        for (size_t i = 0; i < sizeof timeouts / sizeof timeouts[0]; i++) {
            guarded_t guarded = {make_lock(recursive), 0, 0, 10000 / slowdown(), timeouts[i]};
            assert_int_equal(run_threads(THREADS, count_guarded, &guarded), 0);
            assert_int_equal(guarded.count, THREADS * guarded.rounds);
            assert_int_equal(mproc_lock_owner_pid(guarded.lock), 0);
            assert_success(mproc_lock_close(guarded.lock));
        }
    }
    expect_no_objects();
}

/** What it takes this machine, as it is now, to have so many threads do something, one after the other. */
static apr_interval_time_t time_of_threads(int count)
{
    mproc_lock_t *lock = make_lock(0);
    const apr_time_t begin = apr_time_now();
    for (int i = 0; i < count; i++) {
        assert_int_equal(by_other_thread(try_lock, lock), APR_SUCCESS);
        assert_success(mproc_lock_release(lock));
        assert_int_equal(count_lines("has waited for"), count);
    }
    const apr_interval_time_t taken = apr_time_now() - begin;
    assert_success(mproc_lock_close(lock));
    return taken;
}

/** Whoever waits comes to have it, one after the other: what that takes, and what threads take by themselves. */
static apr_interval_time_t pass_on(waiting_thread_t *threads, int count, apr_interval_time_t *usual)
{
    mproc_lock_t *lock = make_lock(0);
    assert_success(mproc_lock_acquire(lock, 0));
    for (int i = 0; i < count; i++)
        begin_waiting(&threads[i], &object_kinds[OF_LOCK], lock, i % 2 ? MPROC_FOREVER : patience());
    await_waiting(count);
    *usual = time_of_threads(count);
    const apr_time_t begin = apr_time_now();
    for (int i = count - 1; i >= 0; i--) {
        assert_success(mproc_lock_release(lock));
        await_lines("has waited for", i);
    }
    const apr_interval_time_t taken = apr_time_now() - begin;
    for (int i = 0; i < count; i++)
        assert_int_equal(end_waiting(&threads[i]), APR_SUCCESS);
    assert_failure(mproc_lock_acquire(lock, 0), APR_TIMEUP);
    assert_success(mproc_lock_close(lock));
    return taken;
}

static void test_many_wait(void **state)
{
    enum { MANY = 40, FEW = 4, ROUNDS = 10 };
    waiting_thread_t threads[MANY];
    apr_interval_time_t usual;
    int late = 0;
    (void)state;
    pass_on(threads, MANY, &usual);
    /* Each is woken, and does not come by itself when it next looks around, which one of many soon would. */
    for (int i = 0; i < ROUNDS; i++) {
        const apr_interval_time_t taken = pass_on(threads, FEW, &usual);
        late += taken > usual + MPROC_MILLISECONDS(10) * slowdown();
    }
    /* A machine under load may be late now and then, but not each time. */
    if (late == ROUNDS)
        fail_msg("none of %d rounds was as fast as threads are", ROUNDS);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_at_a_time),
        cmocka_unit_test(test_released_by_nobody),
        cmocka_unit_test(test_timeouts),
        cmocka_unit_test(test_recursive),
        cmocka_unit_test(test_acquired_too_often),
        cmocka_unit_test(test_abandoned),
        cmocka_unit_test(test_abandoned_to_one_that_waits),
        cmocka_unit_test(test_end_of_thread),
        cmocka_unit_test(test_closed_while_acquired),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_many_wait),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
