/* SPDX-License-Identifier: Apache-2.0 */
/* What of single tasks needs no start method: refusals, who may not, what is closed when, and callbacks that stay. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/harness.h"
#include "support/objects.h"
#include "support/pools.h"
#include "support/support.h"

/* ---- Bad input --------------------------------------------------------------------------------------------------- */

static void test_bad_orders(void **state)
{
    static const char who[] = "mproc_pool_submit";
    mproc_future_t *future = (mproc_future_t *)&future;
    mproc_submit_opts_t opts = {0};
    mproc_pool_t *pool = make_pool(pool_options(1));
    const belongings_t before = belongings_of(pool);
    (void)state;
    assert_refused(mproc_pool_submit(NULL, &future, echo, NULL, 0, NULL), APR_EINVAL, who, "the pool is NULL");
    assert_null(future);
    future = (mproc_future_t *)&future;
    assert_refused(mproc_pool_submit((mproc_pool_t *)&opts, &future, echo, NULL, 0, NULL), MPROC_ECLOSED, who,
                   "not an open pool");
    assert_null(future);
    future = (mproc_future_t *)&future;
    assert_refused(mproc_pool_submit(pool, &future, NULL, NULL, 0, NULL), APR_EINVAL, who, "the function is NULL");
    assert_null(future);
    assert_refused(mproc_pool_submit(pool, &future, echo, NULL, 1, NULL), APR_EINVAL, who, "the message is NULL");
    assert_refused(mproc_pool_submit_sized(pool, &future, echo, NULL, 0, &opts, sizeof opts + 1), MPROC_EBUILD, who,
                   "later libmproc");
    assert_refused(mproc_pool_submit(pool, &future, code_of_no_module(), NULL, 0, NULL), MPROC_ETARGET, "the target",
                   "no module");
    assert_null(future);
    /* Also if nobody wants to have it. */
    assert_refused(mproc_pool_submit(pool, NULL, NULL, NULL, 0, NULL), APR_EINVAL, who, "the function is NULL");
    expect_unharmed(pool, &before);
    end_pool(pool);
    assert_refused(mproc_pool_submit(pool, &future, echo, NULL, 0, NULL), MPROC_ECLOSED, who, "not an open pool");
}

static void test_bad_applications(void **state)
{
    static const char who[] = "mproc_pool_apply";
    mproc_task_error_t error;
    mproc_apply_opts_t opts = {.error = &error};
    size_t length = 3;
    char out[4];
    mproc_pool_t *pool = make_pool(pool_options(1));
    const belongings_t before = belongings_of(pool);
    (void)state;
    memset(&error, 1, sizeof error);
    assert_refused(mproc_pool_apply(NULL, echo, out, 4, &length, "abc", 4, &opts), APR_EINVAL, who, "the pool is NULL");
    assert_int_equal(length, 0);
    assert_int_equal(error.status, 0);
    assert_refused(mproc_pool_apply((mproc_pool_t *)out, echo, out, 4, &length, "abc", 4, NULL), MPROC_ECLOSED, who,
                   "not an open pool");
    assert_refused(mproc_pool_apply(pool, NULL, out, 4, &length, "abc", 4, NULL), APR_EINVAL, who,
                   "the function is NULL");
    assert_refused(mproc_pool_apply(pool, echo, NULL, 4, &length, "abc", 4, NULL), APR_EINVAL, who, "no place");
    assert_refused(mproc_pool_apply(pool, echo, out, 4, &length, NULL, 4, NULL), APR_EINVAL, who,
                   "the message is NULL");
    assert_refused(mproc_pool_apply_sized(pool, echo, out, 4, &length, "abc", 4, &opts, sizeof opts + 1), MPROC_EBUILD,
                   who, "later libmproc");
    assert_refused(mproc_pool_apply(pool, code_of_no_module(), out, 4, &length, "abc", 4, NULL), MPROC_ETARGET,
                   "the target", "no module");
    expect_unharmed(pool, &before);
    end_pool(pool);
    assert_refused(mproc_pool_apply(pool, echo, out, 4, &length, "abc", 4, NULL), MPROC_ECLOSED, who,
                   "not an open pool");
}

/** What is for ever everywhere else is so for tasks, too. */
static void test_times_without_end(void **state)
{
    static const apr_interval_time_t times[] = {MPROC_FOREVER, INT64_MIN, INT64_MAX};
    mproc_pool_t *pool = make_pool(pool_options(1));
    char out[4];
    (void)state;
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        mproc_future_t *future;
        assert_success(mproc_pool_submit(pool, &future, echo, "abc", 4, &(mproc_submit_opts_t){.timeout = times[i]}));
        assert_success(mproc_future_wait(future, NULL, patience()));
        assert_success(mproc_future_close(future));
        assert_success(
            mproc_pool_apply(pool, echo, out, 4, NULL, "abc", 4, &(mproc_apply_opts_t){.timeout = times[i]}));
    }
    end_pool(pool);
}

/** What only processes can do. */
static void test_threads_have_no_timeouts(void **state)
{
    static const char why[] = "a task of a thread cannot be ended";
    mproc_future_t *future;
    const mproc_submit_opts_t opts = {.timeout = MPROC_SECONDS(1)};
    const mproc_apply_opts_t apply_opts = {.timeout = MPROC_SECONDS(1)};
    mproc_pool_opts_t pool_opts = pool_options(1);
    (void)state;
    pool_opts.start_method = MPROC_THREAD;
    mproc_pool_t *pool = make_pool(pool_opts);
    const belongings_t before = belongings_of(pool);
    assert_refused(mproc_pool_submit(pool, &future, echo, NULL, 0, &opts), APR_ENOTIMPL, "mproc_pool_submit", why);
    assert_refused(mproc_pool_apply(pool, echo, NULL, 0, NULL, NULL, 0, &apply_opts), APR_ENOTIMPL, "mproc_pool_apply",
                   why);
    /* And no code is outside of where they can find it. */
    expect_unharmed(pool, &before);
    end_pool(pool);
}

/** There is never so much memory, and the sizes must not wrap around. */
static void test_absurd_sizes(void **state)
{
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 63, SIZE_MAX - 64, SIZE_MAX / 2 + 1};
    mproc_future_t *future;
    size_t length;
    char out[4] = "";
    mproc_pool_t *pool = make_pool(pool_options(1));
    const belongings_t before = belongings_of(pool);
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        assert_refused(mproc_pool_submit(pool, &future, echo, "x", sizes[i], NULL), APR_ENOMEM, "mproc_pool_submit",
                       "no room");
        assert_null(future);
        assert_refused(mproc_pool_apply(pool, echo, out, 4, &length, "x", sizes[i], NULL), APR_ENOMEM,
                       "mproc_pool_apply", "no room");
        /* Room is the caller's affair. */
        assert_success(mproc_pool_apply(pool, echo, out, sizes[i], &length, "abc", 4, NULL));
        assert_string_equal(out, "abc");
        assert_int_equal(length, 4);
    }
    expect_unharmed(pool, &before);
    end_pool(pool);
}

/** What no open future is. */
static void refuse_everywhere(mproc_future_t *bad, apr_status_t status, const char *why)
{
    mproc_task_error_t error;
    const void *result = &error;
    size_t size = 3;
    memset(&error, 1, sizeof error);
    assert_refused(mproc_future_wait(bad, &error, 0), status, "mproc_future_wait", why);
    assert_int_equal(error.status, 0);
    assert_string_equal(error.text, "");
    assert_refused(mproc_future_result(bad, &result, &size), status, "mproc_future_result", why);
    assert_null(result);
    assert_int_equal(size, 0);
    assert_refused(mproc_future_cancel(bad), status, "mproc_future_cancel", why);
    assert_null(mproc_future_context(bad));
    assert_int_equal(mproc_last_error()->status, status);
    assert_error_names("mproc_future_context");
    assert_error_names(why);
    if (!bad)
        return;
    mproc_future_t *futures[2] = {NULL, bad}, *next = bad;
    size_t index = 5;
    assert_refused(mproc_future_close(bad), status, "mproc_future_close", why);
    assert_refused(mproc_futures_wait(futures, 2, MPROC_UNTIL_ALL, 0), status, "mproc_futures_wait", why);
    assert_refused(mproc_futures_next(futures, 2, &next, &index, 0), status, "mproc_futures_next", why);
    assert_null(next);
    assert_int_equal(index, 0);
    assert_ptr_equal(futures[1], bad);
}

static void test_bad_futures(void **state)
{
    int context = 5;
    char other[64];
    mproc_future_t *future;
    mproc_pool_t *pool = make_pool(pool_options(1));
    const belongings_t before = belongings_of(pool);
    (void)state;
    refuse_everywhere(NULL, APR_EINVAL, "the future is NULL");
    refuse_everywhere((mproc_future_t *)other, MPROC_ECLOSED, "not an open future");
    refuse_everywhere((mproc_future_t *)pool, MPROC_ECLOSED, "not an open future");
    assert_success(mproc_pool_submit(pool, &future, echo, "abc", 4, &(mproc_submit_opts_t){.context = &context}));
    assert_ptr_equal(mproc_future_context(future), &context);
    assert_int_equal(mproc_last_error()->status, APR_SUCCESS);
    assert_success(mproc_future_wait(future, NULL, patience()));
    assert_success(mproc_future_close(future));
    refuse_everywhere(future, MPROC_ECLOSED, "not an open future");
    assert_success(mproc_future_close(NULL));
    expect_unharmed(pool, &before);
    end_pool(pool);
}

static void test_bad_questions(void **state)
{
    mproc_future_t *future, *next;
    const void *result;
    size_t size = 3;
    mproc_pool_t *pool = make_pool(pool_options(1));
    const belongings_t before = belongings_of(pool);
    (void)state;
    assert_success(mproc_pool_submit(pool, &future, echo, "abc", 4, NULL));
    assert_null(mproc_future_context(future));
    assert_int_equal(mproc_last_error()->status, APR_SUCCESS);
    assert_refused(mproc_future_result(future, NULL, &size), APR_EINVAL, "mproc_future_result", "it is NULL");
    assert_int_equal(size, 0);
    assert_refused(mproc_futures_wait(NULL, 1, MPROC_UNTIL_ALL, 0), APR_EINVAL, "mproc_futures_wait",
                   "the array is NULL");
    assert_refused(mproc_futures_wait(&future, 1, (mproc_futures_until_t)-1, 0), APR_EINVAL, "mproc_futures_wait",
                   "number -1");
    assert_refused(mproc_futures_wait(&future, 1, (mproc_futures_until_t)(MPROC_UNTIL_FAILED + 1), 0), APR_EINVAL,
                   "mproc_futures_wait", "number 3");
    next = future;
    assert_refused(mproc_futures_next(NULL, 1, &next, NULL, 0), APR_EINVAL, "mproc_futures_next", "the array is NULL");
    assert_null(next);
    assert_refused(mproc_futures_next(&future, 1, NULL, NULL, 0), APR_EINVAL, "mproc_futures_next",
                   "where to store the task is NULL");
    assert_non_null(future);
    /* It has not suffered from that. */
    assert_success(mproc_future_wait(future, NULL, patience()));
    assert_success(mproc_future_result(future, &result, NULL));
    assert_string_equal(result, "abc");
    assert_success(mproc_future_close(future));
    expect_unharmed(pool, &before);
    end_pool(pool);
}

/* ---- Who may not ------------------------------------------------------------------------------------------------- */

static mproc_pool_t *inherited_pool;
static mproc_future_t *inherited_future;

/** Try all calls with what the creator has: how many were not refused. */
static int use_inherited(mproc_call_t *call)
{
    mproc_pool_t *pool = inherited_pool;
    mproc_future_t *future = inherited_future, *next;
    const void *result;
    int wrong = 0;
    (void)call;
    wrong += mproc_pool_submit(pool, &next, echo, NULL, 0, NULL) != MPROC_EFOREIGN;
    wrong += !strstr(mproc_last_error()->text, "forked from");
    wrong += mproc_pool_apply(pool, echo, NULL, 0, NULL, NULL, 0, NULL) != MPROC_EFOREIGN;
    wrong += mproc_future_wait(future, NULL, 0) != MPROC_EFOREIGN;
    wrong += !strstr(mproc_last_error()->text, "mproc_future_wait: the future belongs");
    wrong += mproc_future_result(future, &result, NULL) != MPROC_EFOREIGN;
    wrong += mproc_future_cancel(future) != MPROC_EFOREIGN;
    wrong += mproc_future_close(future) != MPROC_EFOREIGN;
    wrong += mproc_future_context(future) != NULL || mproc_last_error()->status != MPROC_EFOREIGN;
    wrong += mproc_futures_wait(&future, 1, MPROC_UNTIL_ALL, 0) != MPROC_EFOREIGN;
    wrong += mproc_futures_next(&future, 1, &next, NULL, 0) != MPROC_EFOREIGN;
    /* One of its own, which has a thread. */
    if (setting("MPROC_TEST_NO_THREADS_AFTER_FORK", 0))
        return wrong;
    wrong += mproc_pool_create(&pool, &(mproc_pool_opts_t){.workers = 1}) != APR_SUCCESS;
    wrong += mproc_pool_apply(pool, echo, NULL, 0, NULL, NULL, 0, NULL) != APR_SUCCESS;
    wrong += mproc_pool_finish(pool) != APR_SUCCESS;
    return wrong;
}

static void test_inherited_by_fork(void **state)
{
    const void *result;
    (void)state;
    if (!has_fork())
        skip_because("there is no fork here");
    make_board();
    inherited_pool = make_pool(pool_options(2));
    assert_success(mproc_pool_submit(inherited_pool, &inherited_future, echo_at_gate, "abc", 4,
                                     &(mproc_submit_opts_t){.context = &result}));
    assert_int_equal(finish(start(use_inherited, (mproc_process_opts_t){.start_method = MPROC_FORK})), 0);
    atomic_store(&board->gate, 1);
    assert_success(mproc_future_wait(inherited_future, NULL, patience()));
    assert_success(mproc_future_result(inherited_future, &result, NULL));
    assert_string_equal(result, "abc");
    assert_success(mproc_future_close(inherited_future));
    end_pool(inherited_pool);
}

/* ---- How they went ----------------------------------------------------------------------------------------------- */

static void test_error_of_success(void **state)
{
    mproc_future_t *future;
    mproc_task_error_t error, expected;
    mproc_pool_t *pool = make_pool(pool_options(1));
    (void)state;
    memset(&expected, 0, sizeof expected);
    expected.tries = 1;
    assert_success(mproc_pool_submit(pool, &future, echo, "abc", 4, &(mproc_submit_opts_t){.retries = 7}));
    memset(&error, 1, sizeof error);
    assert_success(mproc_future_wait(future, &error, MPROC_FOREVER));
    assert_memory_equal(&error, &expected, sizeof error);
    assert_success(mproc_future_close(future));
    memset(&error, 1, sizeof error);
    expected.tries = 0;
    const mproc_apply_opts_t opts = {.error = &error};
    assert_success(mproc_pool_apply(pool, echo, NULL, 0, NULL, NULL, 0, &opts));
    error.tries = 0;
    assert_memory_equal(&error, &expected, sizeof error);
    end_pool(pool);
}

/* ---- Callbacks that stay ----------------------------------------------------------------------------------------- */

/** A callback that stays until it may leave. */
typedef struct stay_t {
    _Atomic uint32_t has_begun;
    _Atomic uint32_t may_leave;
    _Atomic uint32_t others;
} stay_t;

static void stay_in_callback(void *context, mproc_future_t *future)
{
    stay_t *stay = context;
    (void)future;
    atomic_store(&stay->has_begun, 1);
    while (!atomic_load(&stay->may_leave))
        apr_sleep(500);
}

static void note_other(void *context, mproc_future_t *future)
{
    stay_t *stay = context;
    (void)future;
    atomic_fetch_add(&stay->others, 1);
}

static void leave_callback(void *context)
{
    atomic_store(&((stay_t *)context)->may_leave, 1);
}

/** Have a pool whose thread is in a callback. */
static mproc_pool_t *make_busy_pool(stay_t *stay, mproc_future_t **future)
{
    make_board();
    mproc_pool_t *pool = make_pool(pool_options(2));
    await_ready(pool, 2);
    assert_success(mproc_pool_submit(pool, future, echo, "abc", 4,
                                     &(mproc_submit_opts_t){.callback = stay_in_callback, .context = stay}));
    await_note(&stay->has_begun, 1);
    return pool;
}

/** It delays other callbacks and new workers, and nothing else. */
static void test_callback_that_stays(void **state)
{
    stay_t stay = {0};
    mproc_future_t *future, *others[5];
    const mproc_submit_opts_t opts = {.callback = note_other, .context = &stay};
    mproc_pool_t *pool = make_busy_pool(&stay, &future);
    (void)state;
    /* Who waits for the task goes on, and so do all others. */
    assert_success(mproc_future_wait(future, NULL, 0));
    for (int i = 0; i < 5; i++)
        assert_success(mproc_pool_submit(pool, &others[i], echo, "abc", 4, &opts));
    for (int i = 0; i < 5; i++)
        assert_success(mproc_future_wait(others[i], NULL, patience()));
    assert_success(mproc_futures_wait(others, 5, MPROC_UNTIL_ALL, 0));
    kill_by_pid(mproc_pool_worker_pid(pool, 1));
    for (int i = 0; i < 20; i++)
        assert_success(mproc_pool_apply(pool, echo, NULL, 0, NULL, NULL, 0, NULL));
    assert_int_equal(atomic_load(&stay.others), 0);
    assert_int_equal(info_of(pool).restarts, 0);
    assert_success(mproc_pool_shutdown(pool));
    assert_failure(mproc_pool_join(pool, 10000), APR_TIMEUP);
    assert_failure(mproc_pool_close(pool), MPROC_ESTATE);
    leave_callback(&stay);
    await_note(&stay.others, 5);
    assert_success(mproc_future_close(future));
    for (int i = 0; i < 5; i++)
        assert_success(mproc_future_close(others[i]));
    end_pool(pool);
    assert_int_equal(atomic_load(&stay.others), 5);
}

/** The pool can be terminated all the same; but it is not over before the callback returns. */
static void test_terminate_beside_a_callback(void **state)
{
    stay_t stay = {0};
    later_t later;
    int pids[2];
    mproc_future_t *future, *others[5];
    mproc_task_error_t error;
    const mproc_submit_opts_t opts = {.callback = note_other, .context = &stay};
    mproc_pool_t *pool = make_busy_pool(&stay, &future);
    (void)state;
    for (int i = 0; i < 5; i++)
        assert_success(mproc_pool_submit(pool, &others[i], echo_at_gate, "abc", 4, &opts));
    await_note(&board->begun, 2);
    for (unsigned i = 0; i < 2; i++)
        pids[i] = mproc_pool_worker_pid(pool, i);
    const apr_time_t begin = apr_time_now();
    assert_success(mproc_pool_terminate(pool, 0));
    expect_soon(begin);
    for (unsigned i = 0; i < 2; i++) {
        assert_false(lives(pids[i]));
        assert_int_equal(mproc_pool_worker_pid(pool, i), 0);
    }
    for (int i = 0; i < 5; i++) {
        assert_success(mproc_future_wait(others[i], &error, 0));
        assert_int_equal(error.status, MPROC_ETERMINATED);
        assert_success(mproc_future_close(others[i]));
    }
    assert_int_equal(atomic_load(&stay.others), 0);
    assert_failure(mproc_pool_join(pool, 10000), APR_TIMEUP);
    assert_refused(mproc_pool_close(pool), MPROC_ESTATE, "mproc_pool_close", "was not joined");
    begin_later(&later, 50, leave_callback, &stay);
    assert_failure(mproc_pool_finish(pool), MPROC_ETERMINATED);
    end_later(&later);
    assert_int_equal(atomic_load(&stay.others), 5);
    assert_success(mproc_future_close(future));
    close_board();
    expect_no_objects();
}

/* ---- Closing ----------------------------------------------------------------------------------------------------- */

/** A future whose callback has not returned is closed when it returns, and not twice. */
static void test_closed_during_its_callback(void **state)
{
    stay_t stay = {0};
    mproc_future_t *future;
    mproc_pool_t *pool = make_busy_pool(&stay, &future);
    (void)state;
    assert_success(mproc_future_close(future));
    assert_refused(mproc_future_close(future), MPROC_ECLOSED, "mproc_future_close", "its callback's alone");
    assert_refused(mproc_future_wait(future, NULL, 0), MPROC_ECLOSED, "mproc_future_wait", "its callback's alone");
    leave_callback(&stay);
    end_pool(pool);
    assert_refused(mproc_future_close(future), MPROC_ECLOSED, "mproc_future_close", "not an open future");
}

static void keep_own(void *context, mproc_future_t *future)
{
    *(mproc_future_t **)context = future;
}

/** The one that only its callback knows is closed when that returns. */
static void test_lent_to_its_callback(void **state)
{
    mproc_future_t *kept = NULL;
    mproc_pool_t *pool = make_pool(pool_options(1));
    (void)state;
    assert_success(
        mproc_pool_submit(pool, NULL, echo, "abc", 4, &(mproc_submit_opts_t){.callback = keep_own, .context = &kept}));
    end_pool(pool);
    assert_non_null(kept);
    refuse_everywhere(kept, MPROC_ECLOSED, "not an open future");
}

typedef struct several_t {
    mproc_future_t *futures[2];
    int takes_next;
    apr_status_t status;
    _Atomic uint32_t has_begun;
    later_t later;
} several_t;

static void wait_for_several(void *context)
{
    several_t *several = context;
    mproc_future_t *futures[2] = {several->futures[0], several->futures[1]};
    mproc_future_t *next;
    atomic_store(&several->has_begun, 1);
    several->status = several->takes_next ? mproc_futures_next(futures, 2, &next, NULL, MPROC_FOREVER)
                                          : mproc_futures_wait(futures, 2, MPROC_UNTIL_ALL, MPROC_FOREVER);
}

/** One of those that other threads wait for is closed: sooner than they begin to, or later. */
static void test_closed_while_several_are_waited_for(void **state)
{
    (void)state;
    for (int round = 0; round < 10; round++) {
        several_t waiting[2];
        mproc_future_t *futures[2];
        make_board();
        mproc_pool_t *pool = make_pool(pool_options(1));
        for (int i = 0; i < 2; i++)
            assert_success(mproc_pool_submit(pool, &futures[i], echo_at_gate, "abc", 4, NULL));
        for (int i = 0; i < 2; i++) {
            waiting[i] = (several_t){.futures = {futures[0], futures[1]}, .takes_next = i};
            begin_later(&waiting[i].later, 0, wait_for_several, &waiting[i]);
        }
        for (int i = 0; i < 2; i++)
            await_note(&waiting[i].has_begun, 1);
        if (round % 2)
            apr_sleep(20000);
        assert_success(mproc_future_close(futures[round / 2 % 2]));
        for (int i = 0; i < 2; i++) {
            end_later(&waiting[i].later);
            assert_int_equal(waiting[i].status, MPROC_ECLOSED);
        }
        assert_success(mproc_future_close(futures[1 - round / 2 % 2]));
        atomic_store(&board->gate, 1);
        end_pool(pool);
    }
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_orders),
        cmocka_unit_test(test_bad_applications),
        cmocka_unit_test(test_times_without_end),
        cmocka_unit_test(test_threads_have_no_timeouts),
        cmocka_unit_test(test_absurd_sizes),
        cmocka_unit_test(test_bad_futures),
        cmocka_unit_test(test_bad_questions),
        cmocka_unit_test(test_inherited_by_fork),
        cmocka_unit_test(test_error_of_success),
        cmocka_unit_test(test_callback_that_stays),
        cmocka_unit_test(test_terminate_beside_a_callback),
        cmocka_unit_test(test_closed_during_its_callback),
        cmocka_unit_test(test_lent_to_its_callback),
        cmocka_unit_test(test_closed_while_several_are_waited_for),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
