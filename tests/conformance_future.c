/* SPDX-License-Identifier: Apache-2.0 */
/* Single tasks under every start method: their messages and results, callbacks, waiting for several. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/harness.h"
#include "support/objects.h"
#include "support/pools.h"
#include "support/support.h"

/** See how a task went, and close it. */
static void expect_outcome(mproc_future_t *future, apr_status_t expected)
{
    mproc_task_error_t error;
    assert_success(mproc_future_wait(future, &error, patience()));
    if (error.status != expected)
        fail_msg("the task ended with %d, not %d: %s", error.status, expected, error.text);
    assert_int_equal(error.text[0] != '\0', expected != APR_SUCCESS);
    assert_success(mproc_future_close(future));
}

/* ---- Messages and results ---------------------------------------------------------------------------------------- */

static void test_apply(void **state)
{
    static const size_t sizes[] = {0,   1,   2,   15,  16,   17,   63,   64,   127,    128,     129,    160,
                                   161, 255, 256, 257, 1000, 4096, 8000, 8001, 100000, 1048576, 3000001};
    static unsigned char in[3000001], out[3000001];
    mproc_pool_t *pool = make_pool(pool_options(2));
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t length = 99;
        fill_bytes(in, sizes[i], i);
        memset(out, 0xee, sizeof out);
        assert_success(mproc_pool_apply(pool, echo, out, sizeof out, &length, in, sizes[i], NULL));
        assert_int_equal(length, sizes[i]);
        assert_true(are_bytes(out, sizes[i], i));
        assert_true(sizes[i] == sizeof out || out[sizes[i]] == 0xee);
        assert_success(mproc_pool_apply(pool, echo, sizes[i] ? out : NULL, sizes[i], NULL, in, sizes[i], NULL));
        if (sizes[i] == 0)
            continue;
        memset(out, 0xee, sizeof out);
        assert_failure(mproc_pool_apply(pool, echo, out, sizes[i] - 1, &length, in, sizes[i], NULL), MPROC_ETOOBIG);
        assert_int_equal(length, sizes[i]);
        assert_failure(mproc_pool_apply(pool, echo, NULL, 0, &length, in, sizes[i], NULL), MPROC_ETOOBIG);
        assert_int_equal(length, sizes[i]);
        if (sizes[i] == sizeof out)
            continue;
        assert_failure(mproc_pool_apply(pool, echo, out, sizes[i] + 1, NULL, in, sizes[i], NULL), MPROC_ESIZE);
    }
    end_pool(pool);
}

static int fail_with(mproc_task_t *task, const void *in, size_t size)
{
    int code = 0;
    if (size != sizeof code)
        return mproc_task_fail(task, -7, "%s", "in words");
    memcpy(&code, in, sizeof code);
    mproc_task_set_result(task, "not wanted", 10);
    return code;
}

static void test_failed(void **state)
{
    mproc_task_error_t error;
    mproc_future_t *future;
    const void *result = &error;
    size_t length = 5;
    int code = 1234;
    char out[10];
    mproc_pool_t *pool = make_pool(pool_options(2));
    const mproc_apply_opts_t opts = {.error = &error};
    (void)state;
    assert_failure(mproc_pool_apply(pool, fail_with, out, sizeof out, &length, &code, sizeof code, &opts), MPROC_ETASK);
    assert_int_equal(length, 0);
    assert_int_equal(error.status, MPROC_ETASK);
    assert_int_equal(error.code, 1234);
    assert_int_equal(error.index, 0);
    assert_int_equal(error.tries, 1);
    assert_int_equal(error.exitcode, 0);
    assert_non_null(strstr(error.text, "1234"));
    assert_failure(mproc_pool_apply(pool, fail_with, out, sizeof out, &length, NULL, 0, &opts), MPROC_ETASK);
    assert_int_equal(error.code, -7);
    assert_string_equal(error.text, "in words");
    assert_error_names("in words");
    assert_success(mproc_pool_submit(pool, &future, fail_with, &code, sizeof code, NULL));
    assert_success(mproc_future_wait(future, &error, patience()));
    assert_int_equal(error.code, 1234);
    assert_failure(mproc_future_result(future, &result, &length), MPROC_ETASK);
    assert_null(result);
    assert_success(mproc_future_close(future));
    assert_success(mproc_pool_apply(pool, echo, out, 1, NULL, "x", 1, &opts));
    assert_int_equal(error.status, 0);
    assert_string_equal(error.text, "");
    assert_int_equal(info_of(pool).failed, 3);
    end_pool(pool);
}

/** Results one after the other, of which the last one counts. */
static int change_result(mproc_task_t *task, const void *in, size_t size)
{
    static const size_t sizes[] = {10, 5000, 0, 300, 257, 256, 100000, 20};
    const size_t *wanted = in;
    void *room;
    (void)size;
    for (size_t i = 0; i <= *wanted; i++) {
        if (mproc_task_make_result(task, &room, sizes[i]) != APR_SUCCESS || (uintptr_t)room % 16)
            return 1;
        fill_bytes(room, sizes[i], i);
    }
    return 0;
}

static void test_last_result_counts(void **state)
{
    static const size_t sizes[] = {10, 5000, 0, 300, 257, 256, 100000, 20};
    mproc_pool_t *pool = make_pool(pool_options(1));
    (void)state;
    for (size_t i = 0; i < 8; i++) {
        static unsigned char out[100000];
        size_t length;
        assert_success(mproc_pool_apply(pool, change_result, out, sizeof out, &length, &i, sizeof i, NULL));
        assert_int_equal(length, sizes[i]);
        assert_true(are_bytes(out, length, i));
    }
    end_pool(pool);
}

/** A message must be aligned for any type, and not NULL; nothing else is known of this task. */
static int look_around(mproc_task_t *task, const void *in, size_t size)
{
    mproc_task_fail_item(task, 0, 1, "there is no item");
    if (mproc_last_error()->status != APR_EINVAL)
        return 2;
    return !in || (uintptr_t)in % 16 || size > 1000 || mproc_task_index(task) || mproc_task_shared(task, 1) ||
           mproc_task_retries(task) || mproc_task_is_cancelled(task) || mproc_task_worker(task) > 1 ||
           mproc_task_set_result(task, NULL, 1) != APR_EINVAL;
}

static void test_tasks_look_around(void **state)
{
    mproc_pool_t *pool = make_pool(pool_options(2));
    char bytes[1000] = {0};
    (void)state;
    for (size_t size = 0; size < sizeof bytes; size += 37)
        assert_success(mproc_pool_apply(pool, look_around, NULL, 0, NULL, bytes, size, NULL));
    end_pool(pool);
}

/** A result that there is no memory for, unless a smaller one is given afterwards. */
static int ask_too_much(mproc_task_t *task, const void *in, size_t size)
{
    void *room = task;
    (void)in;
    if (mproc_task_make_result(task, &room, (size_t)1 << 34) != APR_ENOMEM || room)
        return 1;
    return size ? mproc_task_set_result(task, "small", 6) : 0;
}

static void test_no_memory(void **state)
{
    mproc_task_error_t error;
    mproc_future_t *future;
    char out[6];
    static unsigned char large[40 << 20];
    (void)state;
    assert_success(mproc_set_arena_size((uint64_t)16 << 20));
    mproc_pool_t *pool = make_pool(pool_options(2));
    const mproc_apply_opts_t opts = {.error = &error};
    assert_success(mproc_pool_apply(pool, echo, out, 6, NULL, "fine!", 6, NULL));
    const uint64_t before = info_of(pool).restarts;
    assert_failure(mproc_pool_apply(pool, ask_too_much, out, 6, NULL, NULL, 0, &opts), APR_ENOMEM);
    assert_int_equal(error.status, APR_ENOMEM);
    assert_success(mproc_pool_apply(pool, ask_too_much, out, 6, NULL, "x", 1, &opts));
    assert_string_equal(out, "small");
    assert_failure(mproc_pool_apply(pool, echo, NULL, 0, NULL, large, sizeof large, NULL), APR_ENOMEM);
    assert_failure(mproc_pool_submit(pool, &future, echo, large, sizeof large, NULL), APR_ENOMEM);
    assert_null(future);
    assert_int_equal(info_of(pool).restarts, before);
    assert_success(mproc_pool_apply(pool, echo, out, 6, NULL, "fine!", 6, NULL));
    end_pool(pool);
}

/* ---- Order, waiting, cancelling ---------------------------------------------------------------------------------- */

static int note_order(mproc_task_t *task, const void *in, size_t size)
{
    board_t *own = board_of(task);
    uint32_t number;
    if (size != sizeof number)
        return 1;
    memcpy(&number, in, sizeof number);
    atomic_store(&own->runs[atomic_fetch_add(&own->begun, 1)], number);
    return 0;
}

static void test_order(void **state)
{
    enum { COUNT = 6000 };
    mproc_future_t *first;
    (void)state;
    make_board();
    mproc_pool_t *pool = make_pool(pool_options(1));
    /* More than have room in a ring while the first one waits. */
    assert_success(mproc_pool_submit(pool, &first, echo_at_gate, NULL, 0, NULL));
    await_note(&board->begun, 1);
    for (uint32_t i = 1; i < COUNT; i++)
        assert_success(mproc_pool_submit(pool, NULL, note_order, &i, sizeof i, NULL));
    assert_int_equal(info_of(pool).queued, COUNT - 1);
    atomic_store(&board->gate, 1);
    expect_outcome(first, APR_SUCCESS);
    assert_success(mproc_pool_finish(pool));
    for (uint32_t i = 1; i < COUNT; i++)
        assert_int_equal(atomic_load(&board->runs[i]), i);
    close_board();
    expect_no_objects();
}

static int count_run(mproc_task_t *task, const void *in, size_t size)
{
    board_t *own = board_of(task);
    uint32_t number;
    if (size < sizeof number)
        return 1;
    memcpy(&number, in, sizeof number);
    atomic_fetch_add(&own->runs[number], 1);
    return mproc_task_set_result(task, in, size) == APR_SUCCESS ? 0 : 1;
}

static void test_many(void **state)
{
    enum { COUNT = 10000 };
    static mproc_future_t *futures[COUNT];
    static unsigned char message[3010];
    (void)state;
    make_board();
    mproc_pool_t *pool = make_pool(pool_options(3));
    for (uint32_t i = 0; i < COUNT; i++) {
        memcpy(message, &i, sizeof i);
        assert_success(
            mproc_pool_submit(pool, &futures[i], count_run, message, 4 + (i % 7 ? i % 200 : i % 3000), NULL));
        if (i % 3 == 0) {
            assert_success(mproc_future_close(futures[i]));
            futures[i] = NULL;
        }
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        const void *result;
        size_t size;
        if (!futures[i])
            continue;
        assert_success(mproc_future_wait(futures[i], NULL, patience()));
        assert_success(mproc_future_result(futures[i], &result, &size));
        assert_int_equal(size, 4 + (i % 7 ? i % 200 : i % 3000));
        assert_memory_equal(result, &i, sizeof i);
        assert_success(mproc_future_close(futures[i]));
    }
    assert_success(mproc_pool_finish(pool));
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(atomic_load(&board->runs[i]), 1);
    close_board();
    expect_no_objects();
}

static void test_wait(void **state)
{
    mproc_future_t *future;
    mproc_task_error_t error;
    const void *result;
    size_t size;
    (void)state;
    make_board();
    mproc_pool_t *pool = make_pool(pool_options(1));
    assert_success(mproc_pool_submit(pool, &future, echo_at_gate, "abc", 4, &(mproc_submit_opts_t){.context = &size}));
    assert_ptr_equal(mproc_future_context(future), &size);
    assert_failure(mproc_future_wait(future, &error, 0), APR_TIMEUP);
    assert_int_equal(error.status, 0);
    const apr_time_t begin = apr_time_now();
    assert_failure(mproc_future_wait(future, &error, 50000), APR_TIMEUP);
    expect_waited(begin, 50000);
    assert_failure(mproc_future_result(future, &result, &size), MPROC_ESTATE);
    atomic_store(&board->gate, 1);
    assert_success(mproc_future_wait(future, &error, MPROC_FOREVER));
    assert_success(mproc_future_wait(future, &error, 0));
    assert_success(mproc_future_result(future, &result, NULL));
    assert_string_equal(result, "abc");
    assert_success(mproc_future_result(future, &result, &size));
    assert_int_equal(size, 4);
    assert_success(mproc_future_close(future));
    end_pool(pool);
}

typedef struct waiter_t {
    mproc_future_t *future;
    apr_status_t status;
} waiter_t;

static void wait_for_ever(void *context)
{
    waiter_t *waiter = context;
    waiter->status = mproc_future_wait(waiter->future, NULL, MPROC_FOREVER);
}

static void test_closed_while_waited_for(void **state)
{
    waiter_t waiter;
    later_t later;
    (void)state;
    make_board();
    mproc_pool_t *pool = make_pool(pool_options(1));
    assert_success(mproc_pool_submit(pool, &waiter.future, echo_at_gate, "abc", 4, NULL));
    begin_later(&later, 0, wait_for_ever, &waiter);
    apr_sleep(50000);
    assert_success(mproc_future_close(waiter.future));
    end_later(&later);
    assert_int_equal(waiter.status, MPROC_ECLOSED);
    atomic_store(&board->gate, 1);
    end_pool(pool);
}

static void test_cancel(void **state)
{
    mproc_future_t *running, *waiting, *last;
    uint32_t number = 5;
    const int is_thread = method_under_test() == MPROC_THREAD;
    (void)state;
    make_board();
    mproc_pool_t *pool = make_pool(pool_options(1));
    assert_success(mproc_pool_submit(pool, &running, echo_at_gate, NULL, 0, NULL));
    assert_success(mproc_pool_submit(pool, &waiting, count_run, &number, sizeof number, NULL));
    number = 6;
    assert_success(mproc_pool_submit(pool, &last, count_run, &number, sizeof number, NULL));
    await_note(&board->begun, 1);
    const int pid = is_thread ? mproc_getpid() : mproc_pool_worker_pid(pool, 0);
    assert_success(mproc_future_cancel(waiting));
    assert_failure(mproc_future_cancel(waiting), MPROC_ESTATE);
    assert_success(mproc_future_cancel(running));
    assert_failure(mproc_future_cancel(running), MPROC_ESTATE);
    mproc_task_error_t error;
    assert_success(mproc_future_wait(running, &error, 0)); /* at once */
    assert_int_equal(error.status, MPROC_ECANCELLED);
    assert_int_equal(error.tries, 1);
    assert_int_equal(error.pid, pid);
    assert_success(mproc_future_wait(waiting, &error, 0));
    assert_int_equal(error.tries, 0);
    expect_outcome(running, MPROC_ECANCELLED);
    expect_outcome(waiting, MPROC_ECANCELLED);
    assert_success(mproc_future_wait(last, NULL, patience()));
    assert_failure(mproc_future_cancel(last), MPROC_ESTATE);
    expect_outcome(last, APR_SUCCESS);
    assert_int_equal(atomic_load(&board->runs[5]), 0);
    assert_int_equal(atomic_load(&board->runs[6]), 1);
    assert_int_equal(info_of(pool).restarts, is_thread ? 0 : 1);
    assert_int_equal(info_of(pool).done, 3);
    assert_int_equal(info_of(pool).failed, 2);
    end_pool(pool);
}

static void test_cancel_many(void **state)
{
    enum { COUNT = 9000 };
    static mproc_future_t *futures[COUNT];
    (void)state;
    make_board();
    mproc_pool_t *pool = make_pool(pool_options(2));
    for (int i = 0; i < 2; i++)
        assert_success(mproc_pool_submit(pool, NULL, echo_at_gate, NULL, 0, NULL));
    await_note(&board->begun, 2);
    for (uint32_t i = 0; i < COUNT; i++)
        assert_success(mproc_pool_submit(pool, &futures[i], count_run, &i, sizeof i, NULL));
    /* In the ring and behind it, and their places are used again. */
    for (int i = 0; i < COUNT; i += 2) {
        assert_success(mproc_future_cancel(futures[i]));
        expect_outcome(futures[i], MPROC_ECANCELLED);
    }
    for (uint32_t i = 0; i < COUNT; i += 4)
        assert_success(mproc_pool_submit(pool, &futures[i], count_run, &i, sizeof i, NULL));
    atomic_store(&board->gate, 1);
    for (int i = 0; i < COUNT; i++)
        if (i % 4 != 2)
            expect_outcome(futures[i], APR_SUCCESS);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(atomic_load(&board->runs[i]), i % 4 == 2 ? 0 : 1);
    end_pool(pool);
}

/** Cancel tasks just as they begin, run, or end. */
static void test_cancel_at_any_time(void **state)
{
    const int rounds = 400 / slowdown();
    unsigned long long seed = 20260101;
    int cancelled = 0, done = 0;
    (void)state;
    make_board();
    mproc_pool_t *pool = make_pool(pool_options(2));
    for (int i = 0; i < rounds; i++) {
        mproc_future_t *futures[3];
        for (uint32_t k = 0; k < 3; k++)
            assert_success(mproc_pool_submit(pool, &futures[k], count_run, &k, sizeof k, NULL));
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        for (volatile int k = 0; k < (int)(seed >> 50); k++) {}
        const apr_status_t status = mproc_future_cancel(futures[0]);
        assert_true(status == APR_SUCCESS || status == MPROC_ESTATE);
        cancelled += status == APR_SUCCESS;
        done += status == MPROC_ESTATE;
        expect_outcome(futures[0], status == APR_SUCCESS ? MPROC_ECANCELLED : APR_SUCCESS);
        expect_outcome(futures[1], APR_SUCCESS);
        expect_outcome(futures[2], APR_SUCCESS);
    }
    assert_int_equal(atomic_load(&board->runs[1]), rounds);
    assert_int_equal(atomic_load(&board->runs[2]), rounds);
    assert_in_range(atomic_load(&board->runs[0]), done, rounds);
    const mproc_pool_info_t info = info_of(pool);
    assert_int_equal(info.done, 3 * rounds);
    assert_int_equal(info.failed, cancelled);
    end_pool(pool);
}

/* ---- Callbacks --------------------------------------------------------------------------------------------------- */

typedef struct calls_t {
    mproc_pool_t *pool;
    _Atomic uint32_t count;
    _Atomic uint32_t wrong;
    uint32_t left;
    mproc_future_t *other;
    mproc_future_t *closed;
} calls_t;

static void count_call(void *context, mproc_future_t *future)
{
    calls_t *calls = context;
    mproc_task_error_t error;
    if (mproc_future_context(future) != context || mproc_future_wait(future, &error, 0) != APR_SUCCESS)
        atomic_fetch_add(&calls->wrong, 1);
    atomic_fetch_add(&calls->count, 1);
}

static void test_callbacks(void **state)
{
    enum { COUNT = 3000 };
    static mproc_future_t *futures[COUNT];
    calls_t calls = {0};
    const mproc_submit_opts_t opts = {.callback = count_call, .context = &calls};
    (void)state;
    make_board();
    mproc_pool_t *pool = make_pool(pool_options(2));
    for (uint32_t i = 0; i < COUNT; i++)
        assert_success(mproc_pool_submit(pool, i % 2 ? &futures[i] : NULL, count_run, &i, sizeof i, &opts));
    for (int i = 1; i < COUNT; i += 2) {
        /* Some are closed before their callback, most likely. */
        if (i % 5 == 0)
            assert_success(mproc_future_close(futures[i]));
        else
            expect_outcome(futures[i], APR_SUCCESS);
    }
    assert_success(mproc_pool_finish(pool));
    assert_int_equal(calls.count, COUNT);
    assert_int_equal(calls.wrong, 0);
    close_board();
    expect_no_objects();
}

static void submit_next(void *context, mproc_future_t *future)
{
    calls_t *calls = context;
    const mproc_submit_opts_t opts = {.callback = submit_next, .context = calls};
    const void *result;
    size_t size;
    if (mproc_future_result(future, &result, &size) != APR_SUCCESS || size != sizeof calls->left ||
        memcmp(result, &calls->left, size) != 0)
        atomic_fetch_add(&calls->wrong, 1);
    if (mproc_future_close(future) != MPROC_ESTATE)
        atomic_fetch_add(&calls->wrong, 1);
    atomic_fetch_add(&calls->count, 1);
    if (calls->left-- > 0 &&
        mproc_pool_submit(calls->pool, NULL, echo, &calls->left, sizeof calls->left, &opts) != APR_SUCCESS)
        atomic_fetch_add(&calls->wrong, 1);
}

static void test_callbacks_that_submit(void **state)
{
    enum { CHAIN = 500 };
    mproc_pool_t *pool = make_pool(pool_options(2));
    calls_t calls = {.pool = pool, .left = CHAIN};
    const mproc_submit_opts_t opts = {.callback = submit_next, .context = &calls};
    (void)state;
    assert_success(mproc_pool_submit(pool, NULL, echo, &calls.left, sizeof calls.left, &opts));
    /* The whole chain is done, although the pool takes no more from anybody else. */
    assert_success(mproc_pool_finish(pool));
    assert_int_equal(calls.count, CHAIN + 1);
    assert_int_equal(calls.wrong, 0);
    expect_no_objects();
}

static void submit_for_later(void *context, mproc_future_t *future)
{
    calls_t *calls = context;
    (void)future;
    calls->wrong += mproc_pool_submit(calls->pool, &calls->other, echo, "abc", 4, NULL) != APR_SUCCESS;
    atomic_fetch_add(&calls->count, 1);
}

/** The last task has no callback, and is put in when the pool was shut down: nobody waits for it but the pool. */
static void test_last_task_of_a_callback(void **state)
{
    const void *result;
    (void)state;
    make_board();
    mproc_pool_t *pool = make_pool(pool_options(1));
    calls_t calls = {.pool = pool};
    assert_success(mproc_pool_submit(pool, NULL, echo_at_gate, NULL, 0,
                                     &(mproc_submit_opts_t){.callback = submit_for_later, .context = &calls}));
    assert_success(mproc_pool_shutdown(pool));
    /* Its thread is to have seen that before the task ends. */
    apr_sleep(50000);
    atomic_store(&board->gate, 1);
    assert_success(mproc_pool_join(pool, patience()));
    assert_int_equal(calls.wrong, 0);
    assert_success(mproc_future_result(calls.other, &result, NULL));
    assert_string_equal(result, "abc");
    assert_success(mproc_future_close(calls.other));
    end_pool(pool);
}

static int do_nothing(mproc_task_t *task, const void *in, void *out, size_t count)
{
    (void)task;
    (void)in;
    (void)out;
    (void)count;
    return 0;
}

static void wait_in_callback(void *context, mproc_future_t *future)
{
    calls_t *calls = context;
    mproc_pool_t *pool = calls->pool;
    mproc_future_t *futures[1] = {calls->other};
    mproc_future_t *next;
    mproc_stream_t *stream;
    char out[4];
    uint32_t wrong = 0;
    (void)future;
    wrong += mproc_future_wait(calls->other, NULL, 1000) != MPROC_EDEADLOCK;
    wrong += mproc_future_wait(calls->other, NULL, 0) != APR_TIMEUP;
    wrong += mproc_futures_wait(futures, 1, MPROC_UNTIL_ALL, MPROC_FOREVER) != MPROC_EDEADLOCK;
    wrong += mproc_futures_next(futures, 1, &next, NULL, MPROC_FOREVER) != MPROC_EDEADLOCK;
    wrong += mproc_pool_apply(pool, echo, out, 4, NULL, "abc", 4, NULL) != MPROC_EDEADLOCK;
    wrong += mproc_pool_map(pool, do_nothing, NULL, 0, NULL, 0, 1, NULL) != MPROC_EDEADLOCK;
    wrong +=
        mproc_pool_stream(pool, &stream, echo, (mproc_input_fn_t)(void (*)(void))abort, NULL, NULL) != MPROC_EDEADLOCK;
    wrong += mproc_pool_finish(pool) != MPROC_EDEADLOCK;
    wrong += mproc_pool_join(pool, 0) != MPROC_ESTATE;
    wrong += mproc_pool_close(pool) != MPROC_ESTATE;
    wrong += mproc_pool_shutdown(pool) != APR_SUCCESS;
    wrong += mproc_pool_join(pool, MPROC_FOREVER) != MPROC_EDEADLOCK;
    wrong += mproc_future_cancel(calls->other) != APR_SUCCESS;
    wrong += mproc_future_wait(calls->other, NULL, MPROC_FOREVER) != APR_SUCCESS;
    atomic_store(&calls->wrong, wrong);
    atomic_fetch_add(&calls->count, 1);
}

static void test_callbacks_do_not_wait(void **state)
{
    mproc_future_t *future;
    (void)state;
    make_board();
    mproc_pool_t *pool = make_pool(pool_options(2));
    calls_t calls = {.pool = pool};
    assert_success(mproc_pool_submit(pool, &calls.other, echo_at_gate, NULL, 0, NULL));
    await_note(&board->begun, 1);
    assert_success(mproc_pool_submit(pool, &future, echo, NULL, 0,
                                     &(mproc_submit_opts_t){.callback = wait_in_callback, .context = &calls}));
    await_note(&calls.count, 1);
    assert_int_equal(calls.wrong, 0);
    expect_outcome(future, APR_SUCCESS);
    expect_outcome(calls.other, MPROC_ECANCELLED);
    end_pool(pool);
}

static mproc_pool_t *own_pool;
static mproc_future_t *own_future;

/** Use the pool whose task this is: how many calls were not refused as they should be. */
static int use_own_pool(mproc_task_t *task, const void *in, size_t size)
{
    const int is_thread = *(const int *)in;
    const apr_status_t expected = is_thread ? MPROC_EDEADLOCK : MPROC_EFOREIGN;
    mproc_future_t *next;
    int wrong = 0;
    (void)size;
    if (!wait_at_gate(task))
        return 1;
    wrong += mproc_pool_apply(own_pool, echo, NULL, 0, NULL, NULL, 0, NULL) != expected;
    wrong += mproc_pool_map(own_pool, do_nothing, NULL, 0, NULL, 0, 1, NULL) != expected;
    wrong += mproc_pool_finish(own_pool) != expected;
    wrong += is_thread && mproc_future_wait(own_future, NULL, MPROC_FOREVER) != expected;
    wrong += is_thread && mproc_futures_wait(&own_future, 1, MPROC_UNTIL_ALL, MPROC_FOREVER) != expected;
    /* What does not wait is for any thread. */
    wrong += is_thread && mproc_pool_submit(own_pool, &next, echo, NULL, 0, NULL) != APR_SUCCESS;
    wrong += is_thread && mproc_future_close(next) != APR_SUCCESS;
    return wrong ? mproc_task_fail(task, wrong, "%d calls were not refused", wrong) : 0;
}

static void test_waits_in_own_task(void **state)
{
    int is_thread = method_under_test() == MPROC_THREAD;
    mproc_future_t *future, *victim;
    (void)state;
    if (!is_thread && method_under_test() != MPROC_FORK)
        skip_because("only a forked child has its creator's handles");
    make_board();
    own_pool = make_pool(pool_options(1));
    if (!is_thread) {
        /* The first worker was forked before there was a handle; the second one has it. */
        assert_success(mproc_pool_submit(own_pool, &victim, echo_at_gate, NULL, 0, NULL));
        await_note(&board->begun, 1);
        assert_success(mproc_future_cancel(victim));
        assert_success(mproc_future_close(victim));
    }
    assert_success(mproc_pool_submit(own_pool, &future, use_own_pool, &is_thread, sizeof is_thread, NULL));
    assert_success(mproc_pool_submit(own_pool, &own_future, echo, NULL, 0, NULL));
    atomic_store(&board->gate, 1);
    expect_outcome(future, APR_SUCCESS);
    expect_outcome(own_future, APR_SUCCESS);
    end_pool(own_pool);
}

static void terminate_in_callback(void *context, mproc_future_t *future)
{
    calls_t *calls = context;
    const apr_interval_time_t grace = method_under_test() == MPROC_THREAD ? patience() : 0;
    mproc_task_error_t error;
    mproc_future_wait(future, &error, 0);
    /* The first one ends the pool, and the others hear of that. */
    if (atomic_fetch_add(&calls->count, 1) == 0)
        calls->wrong += error.status != APR_SUCCESS || mproc_pool_terminate(calls->pool, grace) != APR_SUCCESS;
    else
        calls->wrong += error.status != MPROC_ETERMINATED;
    calls->wrong += mproc_pool_submit(calls->pool, NULL, echo, NULL, 0, NULL) != MPROC_ETERMINATED;
}

static void test_callback_terminates(void **state)
{
    (void)state;
    make_board();
    mproc_pool_t *pool = make_pool(pool_options(2));
    calls_t calls = {.pool = pool};
    const mproc_submit_opts_t opts = {.callback = terminate_in_callback, .context = &calls};
    for (int i = 0; i < 2; i++)
        assert_success(mproc_pool_submit(pool, NULL, echo_at_gate, NULL, 0, &opts));
    await_note(&board->begun, 2);
    for (int i = 0; i < 8; i++)
        assert_success(mproc_pool_submit(pool, NULL, echo_at_gate, NULL, 0, &opts));
    mproc_future_t *future;
    assert_success(mproc_pool_submit(pool, &future, echo, NULL, 0, NULL));
    calls_t other = {.pool = pool};
    assert_success(mproc_pool_submit(pool, NULL, echo, NULL, 0,
                                     &(mproc_submit_opts_t){.callback = count_call, .context = &other}));
    atomic_store(&board->gate, 1);
    assert_failure(mproc_pool_finish(pool), MPROC_ETERMINATED);
    assert_int_equal(calls.count, 10);
    assert_int_equal(other.count, 1);
    assert_success(mproc_future_wait(future, NULL, 0));
    assert_success(mproc_future_close(future));
    close_board();
    expect_no_objects();
}

static void test_callbacks_after_terminate(void **state)
{
    enum { COUNT = 500 };
    calls_t calls = {0};
    const mproc_submit_opts_t opts = {.callback = count_call, .context = &calls};
    (void)state;
    make_board();
    mproc_pool_t *pool = make_pool(pool_options(2));
    for (int i = 0; i < COUNT; i++)
        assert_success(mproc_pool_submit(pool, NULL, echo_at_gate, NULL, 0, &opts));
    await_note(&board->begun, 1);
    assert_success(mproc_pool_terminate(pool, method_under_test() == MPROC_THREAD ? patience() : 0));
    assert_failure(mproc_pool_finish(pool), MPROC_ETERMINATED);
    assert_int_equal(calls.count, COUNT);
    assert_int_equal(calls.wrong, 0);
    close_board();
    expect_no_objects();
}

static void close_own(void *context, mproc_future_t *future)
{
    calls_t *calls = context;
    calls->wrong += mproc_future_close(future) != APR_SUCCESS;
    /* It stays until this returns, but is not the program's any more. */
    calls->wrong += mproc_future_close(future) == APR_SUCCESS;
    atomic_fetch_add(&calls->count, 1);
}

static void test_closed_in_callback(void **state)
{
    mproc_future_t *future;
    mproc_pool_t *pool = make_pool(pool_options(1));
    calls_t calls = {.pool = pool};
    (void)state;
    for (uint32_t i = 0; i < 100; i++)
        assert_success(mproc_pool_submit(pool, &future, echo, NULL, 0,
                                         &(mproc_submit_opts_t){.callback = close_own, .context = &calls}));
    assert_success(mproc_pool_finish(pool));
    assert_int_equal(calls.count, 100);
    assert_int_equal(calls.wrong, 0);
    expect_no_objects();
}

static void note_result(void *context, mproc_future_t *future)
{
    calls_t *calls = context;
    const void *result;
    calls->wrong += mproc_future_result(future, &result, NULL) != APR_SUCCESS || strcmp(result, "abc") != 0;
    atomic_fetch_add(&calls->count, 1);
}

static void test_closed_before_its_callback(void **state)
{
    waiter_t waiter;
    later_t later;
    (void)state;
    make_board();
    mproc_pool_t *pool = make_pool(pool_options(1));
    calls_t calls = {.pool = pool};
    assert_success(mproc_pool_submit(pool, &waiter.future, echo_at_gate, "abc", 4,
                                     &(mproc_submit_opts_t){.callback = note_result, .context = &calls}));
    begin_later(&later, 0, wait_for_ever, &waiter);
    apr_sleep(50000);
    assert_success(mproc_future_close(waiter.future));
    end_later(&later);
    assert_int_equal(waiter.status, MPROC_ECLOSED);
    /* It is still there, but its callback's alone. */
    assert_failure(mproc_future_wait(waiter.future, NULL, 0), MPROC_ECLOSED);
    assert_failure(mproc_future_close(waiter.future), MPROC_ECLOSED);
    atomic_store(&board->gate, 1);
    assert_success(mproc_pool_finish(pool));
    assert_int_equal(calls.count, 1);
    assert_int_equal(calls.wrong, 0);
    close_board();
    expect_no_objects();
}

/* ---- Several ----------------------------------------------------------------------------------------------------- */

/** A task that waits until its number is called. */
static int wait_for_note(mproc_task_t *task, const void *in, size_t size)
{
    board_t *own = board_of(task);
    const uint32_t *number = in;
    (void)size;
    atomic_fetch_add(&own->begun, 1);
    while (!atomic_load(&own->notes[*number]) && !mproc_task_is_cancelled(task))
        apr_sleep(500);
    return (int)atomic_load(&own->notes[*number]) - 1;
}

static void test_futures_wait(void **state)
{
    enum { COUNT = 4 };
    mproc_future_t *futures[COUNT + 1] = {NULL};
    mproc_pool_t *pools[2];
    (void)state;
    make_board();
    for (int i = 0; i < 2; i++)
        pools[i] = make_pool(pool_options(2));
    for (uint32_t i = 0; i < COUNT; i++)
        assert_success(mproc_pool_submit(pools[i % 2], &futures[i], wait_for_note, &i, sizeof i, NULL));
    assert_success(mproc_futures_wait(NULL, 0, MPROC_UNTIL_ALL, 0));
    assert_success(mproc_futures_wait(&futures[COUNT], 1, MPROC_UNTIL_ALL, 0)); /* none are there */
    assert_success(mproc_futures_wait(&futures[COUNT], 1, MPROC_UNTIL_FIRST, MPROC_FOREVER));
    for (int until = MPROC_UNTIL_ALL; until <= MPROC_UNTIL_FAILED; until++) {
        const apr_time_t begin = apr_time_now();
        assert_failure(mproc_futures_wait(futures, COUNT, (mproc_futures_until_t)until, 0), APR_TIMEUP);
        assert_failure(mproc_futures_wait(futures, COUNT, (mproc_futures_until_t)until, 20000), APR_TIMEUP);
        expect_waited(begin, 20000);
    }
    atomic_store(&board->notes[2], 1);
    assert_success(mproc_futures_wait(futures, COUNT + 1, MPROC_UNTIL_FIRST, patience()));
    assert_success(mproc_future_wait(futures[2], NULL, 0));
    assert_failure(mproc_futures_wait(futures, COUNT + 1, MPROC_UNTIL_FAILED, 20000), APR_TIMEUP);
    atomic_store(&board->notes[1], 5); /* it fails */
    assert_success(mproc_futures_wait(futures, COUNT + 1, MPROC_UNTIL_FAILED, patience()));
    assert_failure(mproc_futures_wait(futures, COUNT + 1, MPROC_UNTIL_ALL, 20000), APR_TIMEUP);
    atomic_store(&board->notes[0], 1);
    atomic_store(&board->notes[3], 1);
    assert_success(mproc_futures_wait(futures, COUNT + 1, MPROC_UNTIL_ALL, MPROC_FOREVER));
    for (int i = 0; i < COUNT; i++)
        expect_outcome(futures[i], i == 1 ? MPROC_ETASK : APR_SUCCESS);
    assert_failure(mproc_futures_wait(futures, COUNT, MPROC_UNTIL_ALL, 0), MPROC_ECLOSED);
    assert_success(mproc_pool_finish(pools[1]));
    end_pool(pools[0]);
}

static void test_futures_next(void **state)
{
    enum { COUNT = 300 };
    mproc_future_t *futures[COUNT], *kept[COUNT], *next;
    size_t index = 77;
    int seen[COUNT] = {0};
    (void)state;
    make_board();
    mproc_pool_t *pool = make_pool(pool_options(3));
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_success(mproc_pool_submit(pool, &futures[i], count_run, &i, sizeof i, NULL));
        kept[i] = futures[i];
    }
    for (int i = 0; i < COUNT; i++) {
        assert_success(mproc_futures_next(futures, COUNT, &next, &index, patience()));
        assert_in_range(index, 0, COUNT - 1);
        assert_ptr_equal(next, kept[index]);
        assert_null(futures[index]);
        assert_success(mproc_future_wait(next, NULL, 0));
        assert_success(mproc_future_close(next));
        seen[index]++;
    }
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(seen[i], 1);
    assert_failure(mproc_futures_next(futures, COUNT, &next, &index, MPROC_FOREVER), APR_EOF);
    assert_null(next);
    assert_failure(mproc_futures_next(NULL, 0, &next, NULL, 0), APR_EOF);
    assert_success(mproc_pool_submit(pool, &futures[7], echo_at_gate, NULL, 0, NULL));
    assert_failure(mproc_futures_next(futures, COUNT, &next, &index, 0), APR_TIMEUP);
    assert_non_null(futures[7]);
    assert_failure(mproc_futures_next(futures, COUNT, &next, &index, 10000), APR_TIMEUP);
    atomic_store(&board->gate, 1);
    assert_success(mproc_futures_next(futures, COUNT, &next, &index, MPROC_FOREVER));
    assert_int_equal(index, 7);
    assert_success(mproc_future_close(next));
    end_pool(pool);
}

/* ---- Backlog ----------------------------------------------------------------------------------------------------- */

static void open_gate(void *context)
{
    (void)context;
    atomic_store(&board->gate, 1);
}

static void shut_it(void *pool)
{
    mproc_pool_shutdown(pool);
}

static void terminate_it(void *pool)
{
    mproc_pool_terminate(pool, method_under_test() == MPROC_THREAD ? patience() : 0);
}

static void block_in_callback(void *context, mproc_future_t *future)
{
    calls_t *calls = context;
    (void)future;
    const mproc_submit_opts_t opts = {.room_timeout = MPROC_FOREVER};
    atomic_store(&calls->wrong, mproc_pool_submit(calls->pool, NULL, echo_at_gate, NULL, 0, &opts) != MPROC_EDEADLOCK ||
                                    mproc_pool_submit(calls->pool, NULL, echo_at_gate, NULL, 0, NULL) != MPROC_EFULL);
    atomic_fetch_add(&calls->count, 1);
}

static void test_backlog(void **state)
{
    enum { BACKLOG = 3 };
    mproc_future_t *future, *cancelled = NULL;
    later_t later;
    (void)state;
    make_board();
    mproc_pool_opts_t opts = pool_options(1);
    opts.backlog = BACKLOG;
    mproc_pool_t *pool = make_pool(opts);
    calls_t calls = {.pool = pool};
    const mproc_submit_opts_t for_ever = {.room_timeout = MPROC_FOREVER};
    assert_success(mproc_pool_submit(pool, &future, echo_at_gate, NULL, 0,
                                     &(mproc_submit_opts_t){.callback = block_in_callback, .context = &calls}));
    await_note(&board->begun, 1);
    for (int i = 0; i < BACKLOG; i++)
        assert_success(mproc_pool_submit(pool, i == 1 ? &cancelled : NULL, echo_at_gate, NULL, 0, NULL));
    assert_failure(mproc_pool_submit(pool, NULL, echo_at_gate, NULL, 0, NULL), MPROC_EFULL);
    const apr_time_t begin = apr_time_now();
    assert_failure(mproc_pool_submit(pool, NULL, echo_at_gate, NULL, 0, &(mproc_submit_opts_t){.room_timeout = 50000}),
                   MPROC_EFULL);
    expect_waited(begin, 50000);
    /* Whoever ends a task by cancelling it makes no room in the queue before its turn, but its callback runs. */
    assert_success(mproc_future_cancel(future));
    await_note(&calls.count, 1);
    (void)mproc_future_close(future);
    begin_later(&later, 50, open_gate, NULL);
    for (int i = 0; i < 20; i++)
        assert_success(mproc_pool_submit(pool, NULL, echo_at_gate, NULL, 0, &for_ever));
    end_later(&later);
    expect_outcome(cancelled, APR_SUCCESS);
    end_pool(pool);
}

static void test_backlog_of_a_pool_that_ends(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        later_t later;
        make_board();
        mproc_pool_opts_t opts = pool_options(1);
        opts.backlog = 1;
        mproc_pool_t *pool = make_pool(opts);
        assert_success(mproc_pool_submit(pool, NULL, echo_at_gate, NULL, 0, NULL));
        await_note(&board->begun, 1);
        assert_success(mproc_pool_submit(pool, NULL, echo_at_gate, NULL, 0, NULL));
        begin_later(&later, 50, i ? terminate_it : shut_it, pool);
        const mproc_submit_opts_t for_ever = {.room_timeout = MPROC_FOREVER};
        assert_failure(mproc_pool_submit(pool, NULL, echo_at_gate, NULL, 0, &for_ever),
                       i ? MPROC_ETERMINATED : MPROC_ESTATE);
        end_later(&later);
        atomic_store(&board->gate, 1);
        assert_int_equal(mproc_pool_finish(pool), i ? MPROC_ETERMINATED : APR_SUCCESS);
        close_board();
        expect_no_objects();
    }
}

/* ---- From many threads ------------------------------------------------------------------------------------------- */

static int submit_on_thread(int number, void *context)
{
    mproc_pool_t *pool = context;
    for (int round = 0; round < 200 / slowdown(); round++) {
        mproc_future_t *futures[5];
        uint32_t value = (uint32_t)(number * 1000 + round), out = 0;
        for (int i = 0; i < 5; i++)
            if (mproc_pool_submit(pool, &futures[i], echo, &value, sizeof value, NULL) != APR_SUCCESS)
                return 1;
        if (mproc_pool_apply(pool, echo, &out, sizeof out, NULL, &value, sizeof value, NULL) != APR_SUCCESS ||
            out != value)
            return 2;
        if (round % 3 == 0 && mproc_futures_wait(futures, 5, MPROC_UNTIL_ALL, patience()) != APR_SUCCESS)
            return 3;
        for (int i = 0; i < 5; i++) {
            const void *result;
            if (round % 3 == 1) {
                mproc_future_cancel(futures[i]);
            } else if (mproc_future_wait(futures[i], NULL, patience()) != APR_SUCCESS ||
                       mproc_future_result(futures[i], &result, NULL) != APR_SUCCESS ||
                       memcmp(result, &value, sizeof value) != 0) {
                return 4;
            }
            if (mproc_future_close(futures[i]) != APR_SUCCESS)
                return 5;
        }
    }
    return 0;
}

static void test_from_many_threads(void **state)
{
    mproc_pool_t *pool = make_pool(pool_options(3));
    (void)state;
    assert_int_equal(run_threads(6, submit_on_thread, pool), 0);
    end_pool(pool);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_apply),
        cmocka_unit_test(test_failed),
        cmocka_unit_test(test_last_result_counts),
        cmocka_unit_test(test_tasks_look_around),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_wait),
        cmocka_unit_test(test_closed_while_waited_for),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_cancel_many),
        cmocka_unit_test(test_cancel_at_any_time),
        cmocka_unit_test(test_callbacks),
        cmocka_unit_test(test_callbacks_that_submit),
        cmocka_unit_test(test_last_task_of_a_callback),
        cmocka_unit_test(test_callbacks_do_not_wait),
        cmocka_unit_test(test_waits_in_own_task),
        cmocka_unit_test(test_callback_terminates),
        cmocka_unit_test(test_callbacks_after_terminate),
        cmocka_unit_test(test_closed_in_callback),
        cmocka_unit_test(test_closed_before_its_callback),
        cmocka_unit_test(test_futures_wait),
        cmocka_unit_test(test_futures_next),
        cmocka_unit_test(test_backlog),
        cmocka_unit_test(test_backlog_of_a_pool_that_ends),
        cmocka_unit_test(test_from_many_threads),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
