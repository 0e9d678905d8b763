/* SPDX-License-Identifier: Apache-2.0 */
#include <stdatomic.h>
#include <stdlib.h>

#include <apr_general.h>

#include "support/harness.h"
#include "support/objects.h"
#include "support/random.h"
#include "support/support.h"

/* Tells threads apart: its address. */
static _Thread_local char here;

/** What a test counts. */
typedef struct value_t {
    _Atomic int destroyed;
    const void *thread; /* that did it */
} value_t;

static void destroy(void *context)
{
    value_t *value = context;
    value->thread = &here;
    atomic_fetch_add(&value->destroyed, 1);
}

static mproc_local_t *make_local(void (*destructor)(void *value))
{
    mproc_local_t *local;
    assert_success(mproc_local_create(&local, destructor, NULL));
    assert_non_null(local);
    assert_null(mproc_local_get(local));
    assert_int_equal(mproc_last_error()->status, APR_SUCCESS);
    return local;
}

/** Do something in a thread of its own, to its end. */
static void run_in_thread(void (*act)(void *context), void *context)
{
    later_t later;
    begin_later(&later, 0, act, context);
    end_later(&later);
}

/** A thread that is to do something with a local. */
typedef struct work_t {
    mproc_local_t *local;
    mproc_local_t *other;
    void *value;
    void *found;
    apr_status_t status;
    const void *thread;
} work_t;

static void set_and_get(void *context)
{
    work_t *work = context;
    work->thread = &here;
    work->found = mproc_local_get(work->local);
    work->status = mproc_local_set(work->local, work->value);
    if (!work->found)
        work->found = mproc_local_get(work->local);
}

static void test_values(void **state)
{
    value_t values[3] = {{0, NULL}};
    (void)state;
    mproc_local_t *local = make_local(destroy);
    for (int i = 0; i < 3; i++) {
        assert_success(mproc_local_set(local, &values[i]));
        assert_ptr_equal(mproc_local_get(local), &values[i]);
        assert_int_equal(mproc_last_error()->status, APR_SUCCESS);
    }
    /* Another thread has its own, which goes with it. */
    work_t work = {.local = local, .value = &values[0]};
    run_in_thread(set_and_get, &work);
    assert_int_equal(work.status, APR_SUCCESS);
    assert_ptr_equal(work.found, &values[0]);
    assert_int_equal(values[0].destroyed, 1);
    assert_ptr_equal(values[0].thread, work.thread);
    assert_ptr_equal(mproc_local_get(local), &values[2]);
    /* What is replaced is not destroyed. */
    assert_success(mproc_local_set(local, NULL));
    assert_null(mproc_local_get(local));
    assert_success(mproc_local_set(local, &values[1]));
    assert_success(mproc_local_close(local));
    assert_int_equal(values[0].destroyed, 1);
    assert_int_equal(values[1].destroyed, 1);
    assert_ptr_equal(values[1].thread, &here);
    assert_int_equal(values[2].destroyed, 0);
}

static void test_refused(void **state)
{
    value_t value = {0, NULL};
    mproc_local_t *local = (void *)&value;
    (void)state;
    assert_failure(mproc_local_create(NULL, NULL, NULL), APR_EINVAL);
    assert_failure(mproc_local_set(NULL, &value), APR_EINVAL);
    assert_null(mproc_local_get(NULL));
    assert_int_equal(mproc_last_error()->status, APR_EINVAL);
    assert_success(mproc_local_close(NULL));
    void *lock = make_object(&object_kinds[OF_LOCK]);
    void *const none[] = {&value, (void *)1, (void *)(intptr_t)-1, lock, mproc_current_process()};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        assert_failure(mproc_local_set(none[i], &value), MPROC_ECLOSED);
        assert_null(mproc_local_get(none[i]));
        assert_int_equal(mproc_last_error()->status, MPROC_ECLOSED);
        assert_failure(mproc_local_close(none[i]), MPROC_ECLOSED);
    }
    assert_success(mproc_lock_close(lock));
    local = make_local(destroy);
    assert_success(mproc_local_set(local, &value));
    mproc_ref_t ref;
    assert_failure(mproc_ref(&ref, local), MPROC_ECLOSED);
    assert_failure(mproc_lock_acquire((mproc_lock_t *)(void *)local, 0), MPROC_ECLOSED);
    assert_success(mproc_local_close(local));
    assert_failure(mproc_local_close(local), MPROC_ECLOSED);
    assert_failure(mproc_local_set(local, &value), MPROC_ECLOSED);
    assert_null(mproc_local_get(local));
    assert_int_equal(mproc_last_error()->status, MPROC_ECLOSED);
    /* Another one has nothing of it. */
    mproc_local_t *next = make_local(destroy);
    assert_ptr_not_equal(next, local);
    assert_failure(mproc_local_set(local, &value), MPROC_ECLOSED);
    assert_success(mproc_local_close(next));
    assert_int_equal(value.destroyed, 1);
}

static void test_without_destructor(void **state)
{
    int number = 3;
    (void)state;
    mproc_local_t *local = make_local(NULL);
    work_t work = {.local = local, .value = &number};
    run_in_thread(set_and_get, &work);
    assert_success(mproc_local_set(local, &number));
    assert_success(mproc_local_close(local));
}

/* ---- Many -------------------------------------------------------------------------------------------------------- */

/* More than a system has keys for. */
enum { MANY = 5000, THREADS = 4 };

typedef struct many_t {
    mproc_local_t *locals[MANY];
    value_t values[THREADS][MANY];
} many_t;

static int use_many(int number, void *context)
{
    many_t *many = context;
    for (int i = 0; i < MANY; i++)
        if (mproc_local_set(many->locals[i], &many->values[number][i]) != APR_SUCCESS)
            return 1;
    for (int i = MANY; i-- > 0;)
        if (mproc_local_get(many->locals[i]) != &many->values[number][i])
            return 2;
    /* Some have none when it ends. */
    for (int i = 0; i < MANY; i += 7)
        if (mproc_local_set(many->locals[i], NULL) != APR_SUCCESS || mproc_local_get(many->locals[i]))
            return 3;
    return 0;
}

static void test_many(void **state)
{
    many_t *many = calloc(1, sizeof *many);
    (void)state;
    for (int i = 0; i < MANY; i++)
        many->locals[i] = make_local(destroy);
    assert_int_equal(run_threads(THREADS, use_many, many), 0);
    for (int number = 0; number < THREADS; number++)
        for (int i = 0; i < MANY; i++)
            assert_int_equal(many->values[number][i].destroyed, i % 7 != 0);
    for (int i = 0; i < MANY; i++)
        assert_success(mproc_local_close(many->locals[i]));
    free(many);
}

/** One after another, for which a thread needs no more room than for one. */
static void test_one_after_another(void **state)
{
    value_t value = {0, NULL};
    (void)state;
    for (int i = 1; i <= 20000; i++) {
        mproc_local_t *local = make_local(destroy);
        assert_success(mproc_local_set(local, &value));
        assert_ptr_equal(mproc_local_get(local), &value);
        assert_success(mproc_local_close(local));
        assert_int_equal(value.destroyed, i);
    }
}

/* ---- Destructors that go on -------------------------------------------------------------------------------------- */

enum { CHAIN = 10 };
static mproc_local_t *chain[CHAIN];
static value_t chained[CHAIN];

/** Each sets the next one's. */
static void destroy_chained(void *context)
{
    value_t *value = context;
    const size_t next = (size_t)(value - chained) + 1;
    destroy(value);
    if (mproc_local_get(chain[next - 1]))
        atomic_fetch_add(&value->destroyed, 100); /* it is not destroyed yet? */
    if (next < CHAIN && mproc_local_set(chain[next], &chained[next]) != APR_SUCCESS)
        atomic_fetch_add(&value->destroyed, 100);
}

static void test_destructor_sets(void **state)
{
    (void)state;
    for (int turn = 0; turn < 2; turn++) {
        for (int i = 0; i < CHAIN; i++)
            chain[turn ? CHAIN - 1 - i : i] = make_local(destroy_chained);
        work_t work = {.local = chain[0], .value = &chained[0]};
        run_in_thread(set_and_get, &work);
        for (int i = 0; i < CHAIN; i++) {
            assert_int_equal(chained[i].destroyed, turn + 1);
            assert_ptr_equal(chained[i].thread, work.thread);
            assert_success(mproc_local_close(chain[i]));
        }
    }
}

static mproc_local_t *endless;

static void set_again(void *context)
{
    destroy(context);
    mproc_local_set(endless, context);
}

/** There is an end to it. */
static void test_destructor_sets_for_ever(void **state)
{
    value_t value = {0, NULL};
    (void)state;
    endless = make_local(set_again);
    work_t work = {.local = endless, .value = &value};
    run_in_thread(set_and_get, &work);
    assert_int_equal(value.destroyed, 16);
    assert_success(mproc_local_close(endless));
    assert_int_equal(value.destroyed, 16);
}

static mproc_lock_t *guard;
static int guarded;

static void count_guarded(void *context)
{
    if (mproc_lock_acquire(guard, MPROC_FOREVER) == APR_SUCCESS) {
        guarded++;
        mproc_lock_release(guard);
    }
    destroy(context);
}

static int use_lock_and_local(int number, void *context)
{
    const work_t *work = context;
    value_t *values = work->value;
    /* Either comes first. */
    for (int i = 0; i < 2; i++) {
        if (i == number % 2 && mproc_local_set(work->local, &values[number]) != APR_SUCCESS)
            return 1;
        if (i != number % 2 &&
            (mproc_lock_acquire(guard, MPROC_FOREVER) != APR_SUCCESS || mproc_lock_release(guard) != APR_SUCCESS))
            return 2;
    }
    return 0;
}

/** Destructors may use the library. */
static void test_destructor_uses_lock(void **state)
{
    enum { COUNT = 20 };
    value_t values[COUNT] = {{0, NULL}};
    (void)state;
    assert_success(mproc_lock_create(&guard, NULL));
    work_t work = {.local = make_local(count_guarded), .value = values};
    assert_int_equal(run_threads(COUNT, use_lock_and_local, &work), 0);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(values[i].destroyed, 1);
    assert_int_equal(guarded, COUNT);
    assert_success(mproc_local_close(work.local));
    assert_success(mproc_lock_close(guard));
    expect_no_objects();
}

/* ---- Closing ----------------------------------------------------------------------------------------------------- */

/** Threads that have values, and go on until they are told. */
typedef struct crowd_t {
    mproc_local_t *local;
    value_t values[THREADS];
    _Atomic int ready;
    _Atomic int stop;
} crowd_t;

static void await_count(_Atomic int *count, int wanted)
{
    const apr_time_t end = apr_time_now() + patience();
    while (atomic_load(count) < wanted) {
        if (apr_time_now() > end)
            abort();
        apr_sleep(1000);
    }
}

static int stay(int number, void *context)
{
    crowd_t *crowd = context;
    const apr_status_t status = mproc_local_set(crowd->local, &crowd->values[number]);
    atomic_fetch_add(&crowd->ready, 1);
    await_count(&crowd->stop, 1);
    return status != APR_SUCCESS || mproc_local_get(crowd->local) != NULL;
}

static void run_crowd(void *context)
{
    crowd_t *crowd = context;
    crowd->stop = run_threads(THREADS, stay, crowd) == 0 ? 2 : 3;
}

/** It destroys the values of all threads, here, once. */
static void test_close(void **state)
{
    (void)state;
    for (int with_pool = 0; with_pool < 2; with_pool++) {
        apr_pool_t *pool = NULL;
        crowd_t crowd = {.ready = 0};
        later_t later;
        assert_int_equal(apr_pool_create(&pool, NULL), APR_SUCCESS);
        assert_success(mproc_local_create(&crowd.local, destroy, with_pool ? pool : NULL));
        begin_later(&later, 0, run_crowd, &crowd);
        await_count(&crowd.ready, THREADS);
        for (int i = 0; i < THREADS; i++)
            assert_int_equal(crowd.values[i].destroyed, 0);
        if (with_pool)
            apr_pool_clear(pool);
        else
            assert_success(mproc_local_close(crowd.local));
        for (int i = 0; i < THREADS; i++) {
            assert_int_equal(crowd.values[i].destroyed, 1);
            assert_ptr_equal(crowd.values[i].thread, &here);
        }
        atomic_store(&crowd.stop, 1);
        end_later(&later);
        assert_int_equal(crowd.stop, 2);
        for (int i = 0; i < THREADS; i++)
            assert_int_equal(crowd.values[i].destroyed, 1);
        apr_pool_destroy(pool);
    }
}

/** A destructor that takes its time. */
typedef struct slow_t {
    _Atomic int begun;
    _Atomic int may_end;
    _Atomic int ended;
} slow_t;

static void destroy_slowly(void *context)
{
    slow_t *slow = context;
    atomic_store(&slow->begun, 1);
    await_count(&slow->may_end, 1);
    apr_sleep(MPROC_MILLISECONDS(50));
    atomic_store(&slow->ended, 1);
}

/** When it is closed none of its destructors is running. */
static void test_close_waits(void **state)
{
    slow_t slow = {0, 0, 0};
    later_t later;
    (void)state;
    work_t work = {.local = make_local(destroy_slowly), .value = &slow};
    begin_later(&later, 0, set_and_get, &work);
    await_count(&slow.begun, 1);
    atomic_store(&slow.may_end, 1);
    assert_success(mproc_local_close(work.local));
    assert_int_equal(slow.ended, 1);
    end_later(&later);
}

/** Two threads that end close each other's local, in destructors. */
typedef struct crossing_t {
    mproc_local_t *local;
    struct crossing_t *other;
    _Atomic int is_set;
    _Atomic int begun;
    _Atomic int destroyed;
    apr_status_t closed;
    apr_status_t closed_own;
} crossing_t;

static void close_other(void *context)
{
    crossing_t *crossing = context;
    atomic_store(&crossing->begun, 1);
    /* Both at once, where the system ends more than one thread at a time. */
    for (int i = 0; i < 100 && !atomic_load(&crossing->other->begun); i++)
        apr_sleep(1000);
    crossing->closed = mproc_local_close(crossing->other->local);
    crossing->closed_own = mproc_local_close(crossing->local);
    atomic_fetch_add(&crossing->destroyed, 1);
}

static int cross(int number, void *context)
{
    crossing_t *crossing = (crossing_t *)context + number;
    const apr_status_t status = mproc_local_set(crossing->local, crossing);
    atomic_store(&crossing->is_set, 1);
    await_count(&crossing->other->is_set, 1);
    return status != APR_SUCCESS;
}

static void test_close_crosswise(void **state)
{
    crossing_t crossings[2] = {{.closed = -1}, {.closed = -1}};
    (void)state;
    for (int i = 0; i < 2; i++) {
        crossings[i].other = &crossings[1 - i];
        crossings[i].local = make_local(close_other);
    }
    assert_int_equal(run_threads(2, cross, crossings), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(crossings[i].destroyed, 1);
        /* Each was closed once. */
        assert_int_equal(crossings[i].closed + crossings[1 - i].closed_own, MPROC_ECLOSED);
        assert_failure(mproc_local_close(crossings[i].local), MPROC_ECLOSED);
    }
}

/* ---- All at once ------------------------------------------------------------------------------------------------- */

enum { SHARED = 8 };

typedef struct market_t {
    _Atomic(mproc_local_t *) locals[SHARED];
    _Atomic int made;
    _Atomic int freed;
} market_t;

static market_t market;

static void free_counted(void *value)
{
    atomic_fetch_add(&market.freed, 1);
    free(value);
}

/** Set values, also of locals that are just being closed. */
static void trade(void *context)
{
    unsigned long long random = (unsigned long long)(uintptr_t)context;
    for (int i = 0; i < 40; i++) {
        mproc_local_t *local = atomic_load(&market.locals[next_random(&random) % SHARED]);
        /* What it replaces is its own to free; but it may be destroyed in this moment, so it sets just new ones. */
        if (mproc_local_get(local))
            continue;
        char *value = malloc(16);
        if (mproc_local_set(local, value) == APR_SUCCESS)
            atomic_fetch_add(&market.made, 1);
        else
            free(value);
    }
}

static int trade_on(int number, void *context)
{
    const int *rounds = context;
    for (int i = 0; i < *rounds; i++) {
        if (number % 2) {
            run_in_thread(trade, (void *)(uintptr_t)(number * 1000 + i));
            continue;
        }
        mproc_local_t *fresh;
        if (mproc_local_create(&fresh, free_counted, NULL) != APR_SUCCESS)
            return 1;
        if (mproc_local_close(atomic_exchange(&market.locals[(i + number) % SHARED], fresh)) != APR_SUCCESS)
            return 2;
    }
    return 0;
}

/** Threads come, set values and go while others close: each value is destroyed once. */
static void test_storm(void **state)
{
    int rounds = 500 / slowdown();
    (void)state;
    for (int i = 0; i < SHARED; i++)
        market.locals[i] = make_local(free_counted);
    assert_int_equal(run_threads(6, trade_on, &rounds), 0);
    for (int i = 0; i < SHARED; i++)
        assert_success(mproc_local_close(market.locals[i]));
    assert_true(market.made > rounds);
    assert_int_equal(market.made, market.freed);
}

/* ---- The end of a thread ----------------------------------------------------------------------------------------- */

static mproc_local_t *late;
static apr_threadkey_t *of_apr;
static value_t of_late;
static _Atomic int was_late;

/** At the very end of a thread: it uses the library once more. */
static void set_late(void *context)
{
    if (mproc_current_process() && mproc_local_set(late, context) == APR_SUCCESS)
        atomic_fetch_add(&was_late, 1);
}

static int end_busily(mproc_call_t *call)
{
    return call && apr_threadkey_private_set(&of_late, of_apr) == APR_SUCCESS ? 5 : 1;
}

/** What the program itself has for a thread's end is waited for, and may use the library. */
static void test_very_end(void **state)
{
    enum { ROUNDS = 10 };
    const mproc_process_opts_t opts = {.start_method = MPROC_THREAD};
    (void)state;
    late = make_local(destroy);
    assert_int_equal(apr_threadkey_private_create(&of_apr, set_late, test_pool()), APR_SUCCESS);
    for (int i = 1; i <= ROUNDS; i++) {
        assert_int_equal(finish(start(end_busily, opts)), 5);
        assert_int_equal(was_late, has_fork() ? i : 0); /* on Windows APR does not call */
        assert_int_equal(of_late.destroyed, was_late);
    }
    assert_success(mproc_local_close(late));
    assert_int_equal(of_late.destroyed, was_late);
}

/* ---- The library's life ------------------------------------------------------------------------------------------ */

static void test_terminate(void **state)
{
    value_t values[2] = {{0, NULL}};
    mproc_local_t *none = (void *)values;
    (void)state;
    mproc_local_t *local = make_local(destroy);
    assert_success(mproc_local_set(local, &values[0]));
    assert_int_equal(apr_initialize(), APR_SUCCESS); /* so that threads' pools stay */
    assert_success(mproc_terminate());
    assert_failure(mproc_local_create(&none, destroy, NULL), MPROC_EINIT);
    assert_null(none);
    assert_ptr_equal(mproc_local_get(local), &values[0]);
    work_t work = {.local = local, .value = &values[1]};
    run_in_thread(set_and_get, &work);
    assert_int_equal(values[1].destroyed, 1);
    assert_success(mproc_initialize(0, NULL));
    assert_ptr_equal(mproc_local_get(local), &values[0]);
    assert_int_equal(values[0].destroyed, 0);
    assert_success(mproc_local_close(local));
    assert_int_equal(values[0].destroyed, 1);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_without_destructor),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_one_after_another),
        cmocka_unit_test(test_destructor_sets),
        cmocka_unit_test(test_destructor_sets_for_ever),
        cmocka_unit_test(test_destructor_uses_lock),
        cmocka_unit_test(test_close),
        cmocka_unit_test(test_close_waits),
        cmocka_unit_test(test_close_crosswise),
        cmocka_unit_test(test_storm),
        cmocka_unit_test(test_very_end),
        cmocka_unit_test(test_terminate),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
