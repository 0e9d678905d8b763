/* SPDX-License-Identifier: Apache-2.0 */
/* Streams of tasks under every start method: what is fetched when, and what comes out in which order. */
#include <stdlib.h>
#include <string.h>

#include "support/harness.h"
#include "support/objects.h"
#include "support/pools.h"
#include "support/support.h"

/** Where inputs come from: numbers up to an end. */
typedef struct source_t {
    uint32_t next;
    uint32_t end;
    apr_status_t last; /* what the end is */
    uint32_t pause_at; /* where there is nothing, so many times */
    uint32_t pauses;
    size_t size;
    unsigned char bytes[200000];
} source_t;

static apr_status_t fetch(void *context, const void **in, size_t *size)
{
    source_t *source = context;
    if (source->next == source->pause_at && source->pauses > 0) {
        source->pauses--;
        return APR_EAGAIN;
    }
    if (source->next == source->end)
        return source->last;
    memcpy(source->bytes, &source->next, sizeof source->next);
    source->next++;
    *in = source->bytes;
    *size = source->size;
    return APR_SUCCESS;
}

static source_t *make_source(uint32_t end, size_t size)
{
    source_t *source = calloc(1, sizeof *source);
    *source = (source_t){.end = end, .last = APR_EOF, .pause_at = UINT32_MAX, .size = size};
    return source;
}

/** The result is the input, after a pause that is longer for some; numbers that end with 7 fail. */
static int process(mproc_task_t *task, const void *in, size_t size)
{
    uint32_t number;
    memcpy(&number, in, sizeof number);
    if (mproc_task_index(task) != number)
        return 999;
    if (number % 16 == 3)
        apr_sleep(3000);
    if (number % 10 == 7)
        return mproc_task_fail(task, (int)number, "number %u", (unsigned)number);
    return mproc_task_set_result(task, in, size) == APR_SUCCESS ? 0 : 998;
}

/** Take all results of a stream, and see that each came once, and in order if that is so. */
static void take_all(mproc_stream_t *stream, const source_t *source, int unordered)
{
    static unsigned char seen[5000];
    mproc_task_error_t error;
    const void *result;
    size_t size;
    uint64_t taken = 0;
    memset(seen, 0, sizeof seen);
    for (; taken < source->end; taken++) {
        assert_success(mproc_stream_next(stream, &result, &size, &error, patience()));
        assert_true(error.index < source->end);
        if (!unordered)
            assert_int_equal(error.index, taken);
        assert_int_equal(seen[error.index]++, 0);
        if (error.index % 10 == 7) {
            assert_int_equal(error.status, MPROC_ETASK);
            assert_int_equal(error.code, error.index);
            assert_null(result);
            assert_int_equal(size, 0);
        } else {
            const uint32_t number = (uint32_t)error.index;
            assert_int_equal(error.status, APR_SUCCESS);
            assert_string_equal(error.text, "");
            assert_int_equal(size, source->size);
            assert_memory_equal(result, &number, sizeof number);
            assert_int_equal((uintptr_t)result % 16, 0);
        }
    }
    for (int i = 0; i < 2; i++) {
        memset(&error, 1, sizeof error);
        assert_failure(mproc_stream_next(stream, &result, &size, &error, patience()), source->last);
        assert_null(result);
        assert_int_equal(error.index, 0);
        assert_int_equal(error.status, 0);
    }
}

static void test_order(void **state)
{
    static const size_t sizes[] = {4, 16, 17, 160, 161, 300, 100000};
    mproc_pool_t *pool = make_pool(pool_options(3));
    (void)state;
    for (int unordered = 0; unordered < 2; unordered++) {
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            static const size_t buffers[] = {0, 1, 2, 50, 100000};
            mproc_stream_t *stream;
            source_t *source = make_source(sizes[i] < 1000 ? 1500 / (uint32_t)slowdown() : 60, sizes[i]);
            const mproc_stream_opts_t opts = {.unordered = unordered,
                                              .buffer = buffers[i % (sizeof buffers / sizeof buffers[0])]};
            assert_success(mproc_pool_stream(pool, &stream, process, fetch, source, &opts));
            take_all(stream, source, unordered);
            assert_success(mproc_stream_close(stream));
            free(source);
        }
    }
    end_pool(pool);
}

static void test_empty(void **state)
{
    mproc_stream_t *stream;
    const void *result;
    mproc_pool_t *pool = make_pool(pool_options(1));
    source_t *source = make_source(0, 4);
    (void)state;
    assert_success(mproc_pool_stream(pool, &stream, process, fetch, source, NULL));
    assert_failure(mproc_stream_next(stream, &result, NULL, NULL, MPROC_FOREVER), APR_EOF);
    assert_failure(mproc_stream_next(stream, &result, NULL, NULL, 0), APR_EOF);
    assert_success(mproc_stream_close(stream));
    free(source);
    end_pool(pool);
}

/** Inputs are fetched as they are needed, and not earlier. */
static void test_lazy(void **state)
{
    enum { BUFFER = 5 };
    mproc_stream_t *stream;
    const void *result;
    source_t *source = make_source(1000, 4);
    mproc_pool_t *pool = make_pool(pool_options(2));
    (void)state;
    assert_success(mproc_pool_stream(pool, &stream, echo, fetch, source, &(mproc_stream_opts_t){.buffer = BUFFER}));
    apr_sleep(20000);
    assert_int_equal(source->next, 0);
    for (uint32_t i = 0; i < 100; i++) {
        assert_success(mproc_stream_next(stream, &result, NULL, NULL, patience()));
        /* The one that was taken is not under way any more. */
        assert_in_range(source->next, i + 1, i + BUFFER + 1);
    }
    assert_success(mproc_stream_close(stream));
    source->next = 0;
    assert_success(mproc_pool_stream(pool, &stream, echo, fetch, source, NULL));
    assert_success(mproc_stream_next(stream, &result, NULL, NULL, patience()));
    assert_int_equal(source->next, 32); /* sixteen for each worker */
    assert_success(mproc_stream_close(stream));
    free(source);
    end_pool(pool);
}

static void test_nothing_just_now(void **state)
{
    mproc_stream_t *stream;
    const void *result;
    mproc_task_error_t error;
    source_t *source = make_source(6, 4);
    mproc_pool_t *pool = make_pool(pool_options(2));
    (void)state;
    source->pause_at = 0;
    source->pauses = 2;
    assert_success(mproc_pool_stream(pool, &stream, echo, fetch, source, NULL));
    assert_failure(mproc_stream_next(stream, &result, NULL, &error, MPROC_FOREVER), APR_EAGAIN);
    assert_failure(mproc_stream_next(stream, &result, NULL, &error, MPROC_FOREVER), APR_EAGAIN);
    source->pause_at = 3;
    source->pauses = 4;
    /* What is under way comes, though there is nothing more just now. */
    for (uint32_t i = 0; i < 3; i++) {
        assert_success(mproc_stream_next(stream, &result, NULL, &error, patience()));
        assert_int_equal(error.index, i);
    }
    assert_failure(mproc_stream_next(stream, &result, NULL, &error, patience()), APR_EAGAIN);
    for (uint32_t i = 3; i < 6; i++) {
        assert_success(mproc_stream_next(stream, &result, NULL, &error, patience()));
        assert_int_equal(error.index, i);
    }
    assert_failure(mproc_stream_next(stream, &result, NULL, &error, patience()), APR_EOF);
    assert_success(mproc_stream_close(stream));
    free(source);
    end_pool(pool);
}

static void test_input_fails(void **state)
{
    mproc_stream_t *stream;
    mproc_pool_t *pool = make_pool(pool_options(2));
    (void)state;
    for (int i = 0; i < 2; i++) {
        source_t *source = make_source(i ? 0 : 25, 4);
        source->last = APR_EACCES;
        assert_success(mproc_pool_stream(pool, &stream, process, fetch, source, NULL));
        take_all(stream, source, 0);
        assert_success(mproc_stream_close(stream));
        free(source);
    }
    end_pool(pool);
}

static apr_status_t fetch_nonsense(void *context, const void **in, size_t *size)
{
    int *count = context;
    *in = NULL;
    *size = (*count)++ < 3 ? 0 : 5;
    return APR_SUCCESS;
}

static void test_input_is_nonsense(void **state)
{
    mproc_stream_t *stream;
    const void *result;
    size_t size;
    int count = 0;
    mproc_pool_t *pool = make_pool(pool_options(1));
    (void)state;
    assert_success(mproc_pool_stream(pool, &stream, echo, fetch_nonsense, &count, NULL));
    for (int i = 0; i < 3; i++) {
        assert_success(mproc_stream_next(stream, &result, &size, NULL, patience()));
        assert_non_null(result);
        assert_int_equal(size, 0);
    }
    assert_failure(mproc_stream_next(stream, &result, &size, NULL, patience()), APR_EINVAL);
    assert_success(mproc_stream_close(stream));
    end_pool(pool);
}

static void test_closed_early(void **state)
{
    mproc_stream_t *stream;
    const void *result;
    (void)state;
    make_board();
    mproc_pool_t *pool = make_pool(pool_options(2));
    source_t *source = make_source(1000, 4);
    /* Never used. */
    assert_success(mproc_pool_stream(pool, &stream, echo_at_gate, fetch, source, NULL));
    assert_success(mproc_stream_close(stream));
    /* All is under way: what runs and what waits is cancelled. */
    assert_success(mproc_pool_stream(pool, &stream, echo_at_gate, fetch, source, NULL));
    assert_failure(mproc_stream_next(stream, &result, NULL, NULL, 50000), APR_TIMEUP);
    await_note(&board->begun, 1);
    assert_success(mproc_stream_close(stream));
    assert_failure(mproc_stream_next(stream, &result, NULL, NULL, 0), MPROC_ECLOSED);
    assert_failure(mproc_stream_close(stream), MPROC_ECLOSED);
    char out[4];
    assert_success(mproc_pool_apply(pool, echo, out, 4, NULL, "abc", 4, NULL));
    assert_in_range(atomic_load(&board->begun), 1, 2);
    free(source);
    end_pool(pool);
}

/** An initializer that waits at the gate: tasks wait as well. */
static int begin_at_gate(mproc_task_t *task)
{
    board_t *own = board_of(task);
    atomic_fetch_add(&own->begun, 1);
    while (!atomic_load(&own->gate) && !mproc_task_is_cancelled(task))
        apr_sleep(1000);
    return 0;
}

/** The tasks of a stream that is closed may have been all that a pool waited for which is shut down. */
static void test_closed_after_shutdown(void **state)
{
    mproc_stream_t *stream;
    const void *result;
    (void)state;
    make_board();
    mproc_pool_opts_t opts = pool_options(1);
    opts.initializer = begin_at_gate;
    mproc_pool_t *pool = make_pool(opts);
    source_t *source = make_source(10, 4);
    await_note(&board->begun, 1);
    assert_success(mproc_pool_stream(pool, &stream, echo, fetch, source, NULL));
    assert_failure(mproc_stream_next(stream, &result, NULL, NULL, 0), APR_TIMEUP);
    assert_success(mproc_pool_shutdown(pool));
    /* The pool's thread is to have seen that before the stream is closed. */
    apr_sleep(50000);
    assert_success(mproc_stream_close(stream));
    atomic_store(&board->gate, 1);
    assert_success(mproc_pool_join(pool, patience()));
    free(source);
    end_pool(pool);
}

static void test_timeouts(void **state)
{
    mproc_stream_t *stream;
    const void *result;
    mproc_task_error_t error;
    (void)state;
    make_board();
    mproc_pool_t *pool = make_pool(pool_options(2));
    source_t *source = make_source(10, 4);
    assert_success(mproc_pool_stream(pool, &stream, echo_at_gate, fetch, source, NULL));
    const apr_time_t begin = apr_time_now();
    assert_failure(mproc_stream_next(stream, &result, NULL, &error, 0), APR_TIMEUP);
    assert_failure(mproc_stream_next(stream, &result, NULL, &error, 50000), APR_TIMEUP);
    expect_waited(begin, 50000);
    atomic_store(&board->gate, 1);
    for (uint32_t i = 0; i < 10; i++) {
        assert_success(mproc_stream_next(stream, &result, NULL, &error, MPROC_FOREVER));
        assert_int_equal(error.index, i);
    }
    assert_success(mproc_stream_close(stream));
    free(source);
    end_pool(pool);
}

static void test_pool_ends(void **state)
{
    (void)state;
    for (int is_terminated = 0; is_terminated < 2; is_terminated++) {
        mproc_stream_t *stream;
        const void *result;
        mproc_task_error_t error;
        make_board();
        mproc_pool_t *pool = make_pool(pool_options(2));
        source_t *source = make_source(100, 4);
        assert_success(
            mproc_pool_stream(pool, &stream, echo_at_gate, fetch, source, &(mproc_stream_opts_t){.buffer = 6}));
        assert_failure(mproc_stream_next(stream, &result, NULL, &error, 0), APR_TIMEUP);
        assert_success(is_terminated ? mproc_pool_terminate(pool, method_under_test() == MPROC_THREAD ? patience() : 0)
                                     : mproc_pool_shutdown(pool));
        atomic_store(&board->gate, 1);
        const apr_status_t expected = is_terminated ? MPROC_ETERMINATED : APR_SUCCESS;
        for (uint32_t i = 0; i < 6; i++) {
            assert_success(mproc_stream_next(stream, &result, NULL, &error, patience()));
            assert_int_equal(error.index, i);
            assert_int_equal(error.status, expected);
        }
        assert_failure(mproc_stream_next(stream, &result, NULL, &error, patience()),
                       is_terminated ? MPROC_ETERMINATED : MPROC_ESTATE);
        assert_int_equal(mproc_pool_finish(pool), expected);
        assert_failure(mproc_stream_next(stream, &result, NULL, &error, patience()),
                       is_terminated ? MPROC_ETERMINATED : MPROC_ESTATE);
        assert_success(mproc_stream_close(stream));
        free(source);
        close_board();
        expect_no_objects();
    }
}

/** Its pool is closed while it has results that were not taken. */
static void test_outlives_its_pool(void **state)
{
    mproc_stream_t *stream;
    const void *result;
    size_t size;
    mproc_task_error_t error;
    mproc_pool_t *pool = make_pool(pool_options(2));
    source_t *source = make_source(100, 1000);
    (void)state;
    assert_success(mproc_pool_stream(pool, &stream, process, fetch, source, &(mproc_stream_opts_t){.buffer = 8}));
    assert_success(mproc_stream_next(stream, &result, &size, &error, patience()));
    assert_success(mproc_pool_finish(pool));
    assert_memory_equal(result, &(uint32_t){0}, sizeof(uint32_t));
    for (uint32_t i = 1; i < 8; i++) {
        assert_success(mproc_stream_next(stream, &result, &size, &error, patience()));
        assert_int_equal(error.index, i);
        assert_int_equal(error.status, i == 7 ? MPROC_ETASK : 0);
        if (i < 7)
            assert_memory_equal(result, &i, sizeof i);
    }
    assert_failure(mproc_stream_next(stream, &result, &size, &error, patience()), MPROC_ESTATE);
    assert_success(mproc_stream_close(stream));
    expect_no_objects();
    free(source);
}

typedef struct taker_t {
    mproc_stream_t *stream;
    apr_status_t status;
    _Atomic uint32_t has_begun;
} taker_t;

static void take_one(void *context)
{
    taker_t *taker = context;
    const void *result;
    atomic_store(&taker->has_begun, 1);
    taker->status = mproc_stream_next(taker->stream, &result, NULL, NULL, MPROC_FOREVER);
}

static void test_one_thread_at_a_time(void **state)
{
    later_t later;
    taker_t taker = {.status = -1};
    const void *result;
    (void)state;
    make_board();
    mproc_pool_t *pool = make_pool(pool_options(1));
    source_t *source = make_source(10, 4);
    assert_success(mproc_pool_stream(pool, &taker.stream, echo_at_gate, fetch, source, NULL));
    begin_later(&later, 0, take_one, &taker);
    await_note(&board->begun, 1); /* so it is in its call */
    assert_failure(mproc_stream_next(taker.stream, &result, NULL, NULL, 0), MPROC_ESTATE);
    assert_failure(mproc_stream_close(taker.stream), MPROC_ESTATE);
    atomic_store(&board->gate, 1);
    end_later(&later);
    assert_int_equal(taker.status, APR_SUCCESS);
    assert_success(mproc_stream_close(taker.stream));
    free(source);
    end_pool(pool);
}

static int stream_on_thread(int number, void *context)
{
    mproc_pool_t *pool = context;
    mproc_stream_t *stream;
    mproc_task_error_t error;
    const void *result;
    uint32_t count = 0;
    source_t *source = make_source(600 / (uint32_t)slowdown(), 100 + 100 * (size_t)number);
    const mproc_stream_opts_t opts = {.unordered = number % 2};
    int wrong = mproc_pool_stream(pool, &stream, echo, fetch, source, &opts) != APR_SUCCESS;
    while (!wrong && mproc_stream_next(stream, &result, NULL, &error, patience()) == APR_SUCCESS) {
        const uint32_t index = (uint32_t)error.index;
        wrong |= memcmp(result, &index, sizeof index) != 0 || (number % 2 == 0 && index != count);
        count++;
    }
    wrong |= count != source->end || mproc_stream_close(stream) != APR_SUCCESS;
    free(source);
    return wrong;
}

static void test_several(void **state)
{
    mproc_pool_t *pool = make_pool(pool_options(3));
    (void)state;
    assert_int_equal(run_threads(4, stream_on_thread, pool), 0);
    end_pool(pool);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_lazy),
        cmocka_unit_test(test_nothing_just_now),
        cmocka_unit_test(test_input_fails),
        cmocka_unit_test(test_input_is_nonsense),
        cmocka_unit_test(test_closed_early),
        cmocka_unit_test(test_closed_after_shutdown),
        cmocka_unit_test(test_timeouts),
        cmocka_unit_test(test_pool_ends),
        cmocka_unit_test(test_outlives_its_pool),
        cmocka_unit_test(test_one_thread_at_a_time),
        cmocka_unit_test(test_several),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
