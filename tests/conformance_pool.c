/* SPDX-License-Identifier: Apache-2.0 */
/* Pools under every start method: maps over arrays, what workers are given, and the orders in which pools can end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/harness.h"
#include "support/objects.h"
#include "support/pools.h"
#include "support/support.h"

/* ---- Results ----------------------------------------------------------------------------------------------------- */

static int square(mproc_task_t *task, const void *in, void *out, size_t count)
{
    const int64_t *numbers = in;
    int64_t *squares = out;
    (void)task;
    for (size_t i = 0; i < count; i++)
        squares[i] = numbers[i] * numbers[i];
    return 0;
}

/** Map so many numbers, and see that all is right. */
static void map_squares(mproc_pool_t *pool, size_t count, size_t chunk)
{
    int64_t *numbers = calloc(count + 1, sizeof *numbers);
    int64_t *squares = calloc(count + 1, sizeof *squares);
    const mproc_map_opts_t opts = {.chunk = chunk};
    for (size_t i = 0; i < count; i++)
        numbers[i] = (int64_t)i - 5;
    memset(squares, 0xee, count * sizeof *squares + 8);
    assert_success(mproc_pool_map(pool, square, squares, sizeof *squares, numbers, sizeof *numbers, count, &opts));
    for (size_t i = 0; i < count; i++)
        if (numbers[i] != (int64_t)i - 5 || squares[i] != numbers[i] * numbers[i])
            fail_msg("of %d in chunks of %d, item %d: %lld", (int)count, (int)chunk, (int)i, (long long)squares[i]);
    const unsigned char *after = (const unsigned char *)(squares + count);
    for (int i = 0; i < 8; i++)
        assert_int_equal(after[i], 0xee);
    free(numbers);
    free(squares);
}

static void test_sizes(void **state)
{
    static const size_t counts[] = {0, 1, 2, 3, 4, 5, 63, 64, 65, 1000, 12345, 70000};
    static const size_t chunks[] = {0, 1, 2, 7, 1000, 100000, SIZE_MAX};
    mproc_pool_t *pool = make_pool(pool_options(3));
    (void)state;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        for (size_t k = 0; k < sizeof chunks / sizeof chunks[0]; k++)
            map_squares(pool, counts[i], chunks[k]);
    map_squares(pool, 3000000, 0);
    map_squares(pool, (1 << 20) + 1, 1);
    end_pool(pool);
}

static void test_many_maps(void **state)
{
    mproc_pool_t *pool = make_pool(pool_options(2));
    (void)state;
    for (int i = 0; i < 3000 / slowdown(); i++)
        map_squares(pool, (size_t)(i % 40), i % 3 ? 0 : 1);
    end_pool(pool);
}

/** Each item is its index; chunks are told by their first items. */
static int indices(mproc_task_t *task, const void *in, void *out, size_t count)
{
    uint64_t *pairs = out;
    if (in)
        return 9;
    for (size_t i = 0; i < count; i++) {
        pairs[2 * i] = mproc_task_index(task) + i;
        pairs[2 * i + 1] = i == 0 ? count : 0;
    }
    return 0;
}

static void test_chunks(void **state)
{
    enum { COUNT = 1003 };
    static const size_t chunks[] = {1, 2, 10, 1002, 1003, 1004, 50000};
    static uint64_t pairs[COUNT][2];
    mproc_pool_t *pool = make_pool(pool_options(3));
    (void)state;
    for (size_t k = 0; k < sizeof chunks / sizeof chunks[0]; k++) {
        const size_t chunk = chunks[k];
        const uint64_t before = info_of(pool).done;
        assert_success(
            mproc_pool_map(pool, indices, pairs, sizeof pairs[0], NULL, 0, COUNT, &(mproc_map_opts_t){.chunk = chunk}));
        for (size_t i = 0; i < COUNT; i++) {
            const size_t size = i % chunk ? 0 : COUNT - i < chunk ? COUNT - i : chunk;
            assert_int_equal(pairs[i][0], i);
            assert_int_equal(pairs[i][1], size);
        }
        assert_int_equal(info_of(pool).done - before, (COUNT + chunk - 1) / chunk);
    }
    /* Found by measuring: all are there, and each task has some. */
    assert_success(mproc_pool_map(pool, indices, pairs, sizeof pairs[0], NULL, 0, COUNT, NULL));
    for (size_t i = 0; i < COUNT;) {
        const size_t size = (size_t)pairs[i][1];
        assert_in_range(size, 1, COUNT - i);
        for (size_t k = 0; k < size; k++)
            assert_int_equal(pairs[i + k][0], i + k);
        i += size;
    }
    assert_int_equal(info_of(pool).failed, 0);
    end_pool(pool);
}

static int count_items(mproc_task_t *task, const void *in, void *out, size_t count)
{
    board_t *own = board_of(task);
    const uint32_t *numbers = in;
    if (out)
        return 9;
    for (size_t i = 0; i < count; i++)
        atomic_fetch_add(&own->runs[numbers ? numbers[i] : mproc_task_index(task) + i], 1);
    return 0;
}

static void test_no_output(void **state)
{
    enum { COUNT = 50000 };
    static uint32_t numbers[COUNT];
    (void)state;
    make_board();
    mproc_pool_t *pool = make_pool(pool_options(3));
    for (uint32_t i = 0; i < COUNT; i++)
        numbers[i] = COUNT - 1 - i;
    assert_success(mproc_pool_map(pool, count_items, NULL, 0, numbers, sizeof numbers[0], COUNT, NULL));
    assert_success(mproc_pool_map(pool, count_items, NULL, 0, NULL, 0, COUNT, NULL));
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(atomic_load(&board->runs[i]), 2);
    end_pool(pool);
}

/** In place: each item becomes its square; the slice must not begin at zeros unless it is a copy. */
static int square_in_place(mproc_task_t *task, const void *in, void *out, size_t count)
{
    (void)task;
    for (size_t i = 0; i < count; i++) {
        int64_t number;
        memcpy(&number, (const char *)in + i * sizeof number, sizeof number);
        ((int64_t *)out)[i] = number * number;
    }
    return 0;
}

static void test_output_is_input(void **state)
{
    enum { COUNT = 20000 };
    static int64_t numbers[COUNT];
    mproc_pool_t *pool = make_pool(pool_options(3));
    (void)state;
    for (int64_t i = 0; i < COUNT; i++)
        numbers[i] = i;
    assert_success(
        mproc_pool_map(pool, square_in_place, numbers, sizeof numbers[0], numbers, sizeof numbers[0], COUNT, NULL));
    for (int64_t i = 0; i < COUNT; i++)
        assert_int_equal(numbers[i], i * i);
    end_pool(pool);
}

static int add_to_output(mproc_task_t *task, const void *in, void *out, size_t count)
{
    const uint32_t *numbers = in;
    uint32_t *sums = out;
    (void)task;
    for (size_t i = 0; i < count; i++)
        sums[i] += numbers[i];
    return 0;
}

static void test_arrays_in_place(void **state)
{
    enum { COUNT = 30000 };
    static uint32_t numbers[COUNT], sums[COUNT];
    mproc_shared_t *data;
    mproc_family_info_t before, after;
    mproc_pool_t *pool = make_pool(pool_options(3));
    (void)state;
    assert_success(mproc_shared_create(&data, COUNT * sizeof(uint32_t) * 2, NULL));
    uint32_t *shared_numbers = mproc_shared_data(data);
    uint32_t *shared_sums = shared_numbers + COUNT;
    for (uint32_t i = 0; i < COUNT; i++) {
        numbers[i] = shared_numbers[i] = i;
        sums[i] = shared_sums[i] = 7;
    }
    assert_success(mproc_pool_map(pool, add_to_output, NULL, 0, NULL, 0, 0, NULL));
    assert_success(mproc_family_info(&before));
    /* In place: nothing is zeroed, and what is written is there. */
    assert_success(mproc_pool_map(pool, add_to_output, shared_sums, 4, shared_numbers, 4, COUNT, NULL));
    assert_success(mproc_family_info(&after));
    for (uint32_t i = 0; i < COUNT; i++)
        assert_int_equal(shared_sums[i], i + 7);
    /* One of both: the other is copied. */
    assert_success(mproc_pool_map(pool, add_to_output, shared_sums, 4, numbers, 4, COUNT, NULL));
    for (uint32_t i = 0; i < COUNT; i++)
        assert_int_equal(shared_sums[i], 2 * i + 7);
    assert_success(mproc_pool_map(pool, add_to_output, sums, 4, shared_numbers, 4, COUNT, NULL));
    const uint32_t first = method_under_test() == MPROC_THREAD ? 7 : 0;
    for (uint32_t i = 0; i < COUNT; i++)
        assert_int_equal(sums[i], i + first);
    assert_success(mproc_shared_close(data));
    end_pool(pool);
}

/* ---- A struct for all -------------------------------------------------------------------------------------------- */

typedef struct param_t {
    double gain;
    char name[300];
    int offset;
} param_t;

static int scale(mproc_task_t *task, const void *in, void *out, size_t count)
{
    const param_t *param = mproc_task_shared(task, sizeof *param);
    if (!param || strcmp(param->name, "scale") != 0)
        return 1;
    for (size_t i = 0; i < count; i++)
        ((double *)out)[i] = param->gain * ((const double *)in)[i] + param->offset;
    return 0;
}

static int ask_wrong_size(mproc_task_t *task, const void *in, void *out, size_t count)
{
    (void)in;
    (void)out;
    (void)count;
    if (mproc_task_shared(task, sizeof(param_t) + 1) != NULL || mproc_last_error()->status != MPROC_ESIZE)
        return 1;
    return mproc_task_fail(task, 77, "%s", mproc_last_error()->text);
}

static void test_shared_struct(void **state)
{
    enum { COUNT = 500 };
    double numbers[COUNT];
    char wanted[32];
    mproc_task_error_t error;
    mproc_pool_t *pool = make_pool(pool_options(2));
    param_t param = {2.5, "scale", 3};
    mproc_map_opts_t opts = {.shared = &param, .shared_size = sizeof param, .error = &error};
    (void)state;
    for (int i = 0; i < COUNT; i++)
        numbers[i] = i;
    assert_success(mproc_pool_map(pool, scale, numbers, sizeof numbers[0], numbers, sizeof numbers[0], COUNT, &opts));
    for (int i = 0; i < COUNT; i++)
        assert_true(numbers[i] == 2.5 * i + 3);
    assert_int_equal(error.status, APR_SUCCESS);
    assert_string_equal(error.text, "");
    assert_failure(mproc_pool_map(pool, ask_wrong_size, NULL, 0, NULL, 0, COUNT, &opts), MPROC_ETASK);
    assert_int_equal(error.code, 77);
    snprintf(wanted, sizeof wanted, "%d", (int)sizeof param);
    assert_non_null(strstr(error.text, wanted));
    snprintf(wanted, sizeof wanted, "%d", (int)sizeof param + 1);
    assert_non_null(strstr(error.text, wanted));
    /* None at all. */
    assert_failure(mproc_pool_map(pool, ask_wrong_size, NULL, 0, NULL, 0, COUNT, NULL), MPROC_ETASK);
    end_pool(pool);
}

/* ---- Failures ---------------------------------------------------------------------------------------------------- */

/** Items that end with 3 fail; those from 500 on all fail together with what is in their slice. */
static int fail_some(mproc_task_t *task, const void *in, void *out, size_t count)
{
    const uint32_t *numbers = in;
    for (size_t i = count; i > 0; i--)
        if (numbers[i - 1] % 10 == 3)
            mproc_task_fail_item(task, i - 1, (int)numbers[i - 1], "number %u ends with 3", numbers[i - 1]);
        else if (out)
            ((uint32_t *)out)[i - 1] = numbers[i - 1] + 1;
    return 0;
}

static void test_failed_items(void **state)
{
    enum { COUNT = 4000 };
    static uint32_t numbers[COUNT], results[COUNT];
    static apr_status_t statuses[COUNT];
    static const size_t chunks[] = {0, 1, 7, COUNT};
    mproc_task_error_t error;
    mproc_pool_t *pool = make_pool(pool_options(3));
    (void)state;
    for (uint32_t i = 0; i < COUNT; i++)
        numbers[i] = i + 1;
    for (size_t k = 0; k < sizeof chunks / sizeof chunks[0]; k++) {
        const mproc_map_opts_t opts = {.chunk = chunks[k], .statuses = statuses, .error = &error};
        memset(statuses, 1, sizeof statuses);
        assert_failure(mproc_pool_map(pool, fail_some, results, 4, numbers, 4, COUNT, &opts), MPROC_ETASK);
        assert_error_names("number 3 ends with 3");
        for (uint32_t i = 0; i < COUNT; i++) {
            assert_int_equal(statuses[i], numbers[i] % 10 == 3 ? MPROC_ETASK : APR_SUCCESS);
            if (statuses[i] == APR_SUCCESS)
                assert_int_equal(results[i], i + 2);
        }
        assert_int_equal(error.status, MPROC_ETASK);
        assert_int_equal(error.index, 2);
        assert_int_equal(error.code, 3);
        assert_int_equal(error.tries, 1);
        assert_int_equal(error.exitcode, 0);
        assert_int_equal(error.reserved, 0);
        assert_int_not_equal(error.pid, 0);
        assert_string_equal(error.text, "number 3 ends with 3");
    }
    /* Without anybody who wants to know. */
    assert_failure(mproc_pool_map(pool, fail_some, NULL, 0, numbers, 4, COUNT, NULL), MPROC_ETASK);
    /* And nothing is left of it for the next map. */
    assert_success(mproc_pool_map(pool, fail_some, NULL, 0, numbers, 4, 2,
                                  &(mproc_map_opts_t){.statuses = statuses, .error = &error}));
    assert_int_equal(error.status, 0);
    assert_int_equal(statuses[1], 0);
    end_pool(pool);
}

/** Slices that begin at an odd hundred return a number. */
static int return_numbers(mproc_task_t *task, const void *in, void *out, size_t count)
{
    const size_t index = mproc_task_index(task);
    (void)in;
    (void)out;
    if (index == 700)
        return mproc_task_fail(task, -5, "slice of %d at %d: %s", (int)count, (int)index, "no");
    if (index == 900)
        mproc_task_fail_item(task, 3, 12, "the item is of no interest, as all have failed");
    return index / 100 % 2 ? (int)index : 0;
}

static void test_failed_slices(void **state)
{
    enum { COUNT = 1000 };
    static apr_status_t statuses[COUNT];
    mproc_task_error_t error;
    mproc_pool_t *pool = make_pool(pool_options(3));
    (void)state;
    const mproc_map_opts_t opts = {.chunk = 100, .statuses = statuses, .error = &error};
    assert_failure(mproc_pool_map(pool, return_numbers, NULL, 0, NULL, 0, COUNT, &opts), MPROC_ETASK);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(statuses[i], i / 100 % 2 ? MPROC_ETASK : APR_SUCCESS);
    assert_int_equal(error.index, 100);
    assert_int_equal(error.code, 100);
    assert_non_null(strstr(error.text, "100"));
    assert_int_equal(info_of(pool).done, 10);
    assert_int_equal(info_of(pool).failed, 5);
    end_pool(pool);
}

/* ---- Several at once --------------------------------------------------------------------------------------------- */

static int map_on_thread(int number, void *context)
{
    mproc_pool_t *pool = context;
    int64_t numbers[500], squares[500];
    for (int round = 0; round < 100 / slowdown(); round++) {
        const size_t count = (size_t)(number * 37 + round) % 500;
        for (size_t i = 0; i < count; i++)
            numbers[i] = number * 1000 + (int64_t)i;
        if (mproc_pool_map(pool, square, squares, sizeof squares[0], numbers, sizeof numbers[0], count,
                           &(mproc_map_opts_t){.chunk = (size_t)(round % 4)}) != APR_SUCCESS)
            return 1;
        for (size_t i = 0; i < count; i++)
            if (squares[i] != numbers[i] * numbers[i])
                return 1;
    }
    return 0;
}

static void test_maps_at_once(void **state)
{
    mproc_pool_t *pool = make_pool(pool_options(3));
    (void)state;
    assert_int_equal(run_threads(6, map_on_thread, pool), 0);
    end_pool(pool);
}

/* ---- Times and progress ------------------------------------------------------------------------------------------ */

static int wait_in_slice(mproc_task_t *task, const void *in, void *out, size_t count)
{
    (void)in;
    (void)out;
    (void)count;
    /* The first ones do not wait. */
    if (mproc_task_index(task) < 10)
        return 0;
    return wait_at_gate(task) ? 0 : 1;
}

static void test_total_timeout(void **state)
{
    enum { COUNT = 1000 };
    static apr_status_t statuses[COUNT];
    mproc_task_error_t error;
    (void)state;
    make_board();
    mproc_pool_t *pool = make_pool(pool_options(2));
    await_ready(pool, 2);
    const apr_time_t begin = apr_time_now();
    const mproc_map_opts_t opts = {
        .chunk = 1, .total_timeout = MPROC_SECONDS(1) * slowdown(), .statuses = statuses, .error = &error};
    assert_failure(mproc_pool_map(pool, wait_in_slice, NULL, 0, NULL, 0, COUNT, &opts), APR_TIMEUP);
    expect_soon(begin);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(statuses[i], i < 10 ? APR_SUCCESS : APR_TIMEUP);
    assert_int_equal(error.status, APR_TIMEUP);
    assert_int_equal(error.index, 10);
    assert_int_equal(atomic_load(&board->begun), 2);
    /* The pool is as good as before. */
    map_squares(pool, 1000, 1);
    assert_int_equal(info_of(pool).workers, 2);
    end_pool(pool);
}

/** So many items that what is left is taken away in several steps. */
static void test_total_timeout_of_many(void **state)
{
    enum { MANY = 1000000 };
    apr_status_t *statuses = calloc(MANY, sizeof *statuses);
    int64_t *numbers = malloc(MANY * sizeof *numbers);
    mproc_pool_t *pool = make_pool(pool_options(2));
    (void)state;
    await_ready(pool, 2);
    for (int round = 0; round < 5; round++) {
        const mproc_map_opts_t opts = {.chunk = 1, .statuses = statuses, .total_timeout = MPROC_MILLISECONDS(10)};
        for (int64_t i = 0; i < MANY; i++)
            numbers[i] = i;
        const apr_status_t status = mproc_pool_map(pool, square_in_place, numbers, 8, numbers, 8, MANY, &opts);
        assert_true(status == APR_TIMEUP || status == APR_SUCCESS);
        size_t late = 0;
        for (int64_t i = 0; i < MANY; i++) {
            late += statuses[i] == APR_TIMEUP;
            assert_true(statuses[i] == APR_TIMEUP || (statuses[i] == APR_SUCCESS && numbers[i] == i * i));
        }
        assert_int_equal(late > 0, status == APR_TIMEUP);
    }
    end_pool(pool);
    free(statuses);
    free(numbers);
}

static void test_endless_timeouts(void **state)
{
    int64_t numbers[100] = {0};
    mproc_pool_opts_t opts = pool_options(2);
    (void)state;
    opts.start_timeout = INT64_MAX;
    mproc_pool_t *pool = make_pool(opts);
    const int is_thread = method_under_test() == MPROC_THREAD;
    const mproc_map_opts_t map_opts = {
        .chunk = 1, .timeout = is_thread ? 0 : INT64_MAX, .total_timeout = INT64_MAX, .retries = (unsigned)-1};
    assert_success(mproc_pool_map(pool, square, numbers, 8, numbers, 8, 100, &map_opts));
    const mproc_apply_opts_t apply_opts = {.timeout = is_thread ? 0 : INT64_MAX, .retries = (unsigned)-1};
    assert_success(mproc_pool_apply(pool, echo, NULL, 0, NULL, NULL, 0, &apply_opts));
    assert_success(mproc_pool_shutdown(pool));
    assert_success(mproc_pool_join(pool, INT64_MAX));
    assert_success(mproc_pool_terminate(pool, INT64_MAX));
    end_pool(pool);
}

static void test_total_timeout_that_suffices(void **state)
{
    mproc_pool_t *pool = make_pool(pool_options(2));
    (void)state;
    assert_success(mproc_pool_map(pool, count_items, NULL, 0, NULL, 0, 0, NULL));
    for (int i = 0; i < 50; i++) {
        int64_t numbers[100] = {0};
        assert_success(mproc_pool_map(pool, square, numbers, 8, numbers, 8, 100,
                                      &(mproc_map_opts_t){.total_timeout = patience()}));
    }
    end_pool(pool);
}

typedef struct watch_t {
    uint64_t calls;
    uint64_t stop_at;
    uint64_t last;
    int is_over;
    int wrong;
    mproc_pool_t *pool;
} watch_t;

/** What ends a pool, and how that went. */
typedef struct ending_t {
    mproc_pool_t *pool;
    uint32_t calls;
    uint32_t wrong;
} ending_t;

static int watch(void *context, const mproc_progress_t *progress)
{
    watch_t *own = context;
    own->calls++;
    own->wrong |= own->is_over || progress->done < own->last || progress->done > progress->total ||
                  progress->failed > progress->done;
    own->last = progress->done;
    own->is_over = progress->is_over != 0;
    /* What does not wait may be done there. */
    if (own->pool)
        own->wrong |= info_of(own->pool).workers != 2;
    return own->calls == own->stop_at;
}

static int sleep_a_little(mproc_task_t *task, const void *in, void *out, size_t count)
{
    (void)in;
    (void)out;
    if (mproc_task_index(task) % 10 == 5)
        mproc_task_fail_item(task, 0, 5, "five");
    apr_sleep((apr_interval_time_t)count * 10000);
    return 0;
}

static void test_progress(void **state)
{
    mproc_pool_t *pool = make_pool(pool_options(2));
    watch_t own = {.pool = pool};
    (void)state;
    await_ready(pool, 2);
    const mproc_map_opts_t opts = {.chunk = 1, .progress = watch, .progress_context = &own};
    assert_failure(mproc_pool_map(pool, sleep_a_little, NULL, 0, NULL, 0, 100, &opts), MPROC_ETASK);
    assert_int_equal(own.wrong, 0);
    assert_int_equal(own.is_over, 1);
    assert_int_equal(own.last, 100);
    assert_in_range(own.calls, 2, 200 * (uint64_t)slowdown());
    /* Once at the end, at least. */
    own = (watch_t){0};
    assert_success(mproc_pool_map(pool, square, NULL, 0, NULL, 0, 0, &opts));
    own = (watch_t){.pool = pool};
    assert_failure(mproc_pool_map(pool, sleep_a_little, NULL, 0, NULL, 0, 6, &opts), MPROC_ETASK);
    assert_int_equal(own.is_over, 1);
    assert_int_equal(own.last, 6);
    end_pool(pool);
}

static void map_beside(void *pool)
{
    int64_t numbers[300] = {0};
    mproc_pool_map(pool, square, numbers, sizeof numbers[0], numbers, sizeof numbers[0], 300,
                   &(mproc_map_opts_t){.chunk = 1});
}

/** A map that is stopped ends, although its workers have other tasks at once. */
static void test_stopped_beside_another(void **state)
{
    (void)state;
    make_board();
    mproc_pool_t *pool = make_pool(pool_options(2));
    await_ready(pool, 2);
    for (int i = 0; i < 200 / slowdown(); i++) {
        later_t later;
        begin_later(&later, 0, map_beside, pool);
        const mproc_map_opts_t opts = {.chunk = 1, .total_timeout = MPROC_MILLISECONDS(2)};
        assert_failure(mproc_pool_map(pool, wait_in_slice, NULL, 0, NULL, 0, 20, &opts), APR_TIMEUP);
        end_later(&later);
    }
    end_pool(pool);
}

/** Ends the pool while its map goes on, of which it is told. */
static int end_pool_of_map(void *context, const mproc_progress_t *progress)
{
    ending_t *ending = context;
    uint32_t wrong = progress->failed > progress->total || progress->done > progress->total;
    if (progress->is_over)
        wrong += progress->done != progress->total;
    wrong += mproc_pool_join(ending->pool, MPROC_FOREVER) != (ending->calls ? MPROC_EDEADLOCK : MPROC_ESTATE);
    wrong += mproc_pool_finish(ending->pool) != MPROC_EDEADLOCK;
    const apr_status_t status = mproc_pool_terminate(ending->pool, MPROC_MILLISECONDS(300));
    wrong += status != APR_SUCCESS && status != APR_TIMEUP;
    wrong += mproc_pool_close(ending->pool) != MPROC_ESTATE;
    ending->wrong += wrong;
    ending->calls++;
    return 0;
}

static int wait_and_fail(mproc_task_t *task, const void *in, void *out, size_t count)
{
    (void)in;
    (void)out;
    (void)count;
    while (!mproc_task_is_cancelled(task))
        apr_sleep(1000);
    return 5;
}

static void test_progress_ends_the_pool(void **state)
{
    enum { COUNT = 20 };
    apr_status_t statuses[COUNT];
    ending_t ending = {0};
    (void)state;
    ending.pool = make_pool(pool_options(2));
    const mproc_map_opts_t opts = {
        .chunk = 1, .statuses = statuses, .progress = end_pool_of_map, .progress_context = &ending};
    assert_failure(mproc_pool_map(ending.pool, wait_and_fail, NULL, 0, NULL, 0, COUNT, &opts), MPROC_ETERMINATED);
    assert_true(ending.calls >= 2);
    assert_int_equal(ending.wrong, 0);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(statuses[i], MPROC_ETERMINATED);
    assert_int_equal(info_of(ending.pool).done, COUNT);
    assert_int_equal(info_of(ending.pool).failed, COUNT);
    assert_int_equal(info_of(ending.pool).deaths, 0);
    assert_failure(mproc_pool_finish(ending.pool), MPROC_ETERMINATED);
    expect_no_objects();
}

static void test_progress_stops(void **state)
{
    enum { COUNT = 100 };
    static apr_status_t statuses[COUNT];
    mproc_task_error_t error;
    watch_t own = {.stop_at = 1};
    (void)state;
    make_board();
    mproc_pool_t *pool = make_pool(pool_options(2));
    await_ready(pool, 2);
    const mproc_map_opts_t opts = {
        .chunk = 1, .progress = watch, .progress_context = &own, .statuses = statuses, .error = &error};
    assert_failure(mproc_pool_map(pool, wait_in_slice, NULL, 0, NULL, 0, COUNT, &opts), MPROC_ECANCELLED);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(statuses[i], i < 10 ? APR_SUCCESS : MPROC_ECANCELLED);
    assert_int_equal(error.index, 10);
    assert_int_equal(own.is_over, 1);
    assert_int_equal(own.wrong, 0);
    map_squares(pool, 1000, 0);
    end_pool(pool);
}

/* ---- What workers have ------------------------------------------------------------------------------------------- */

typedef struct config_t {
    int number;
    char name[40];
} config_t;

/** What an initializer keeps for all tasks of its worker. */
typedef struct kept_t {
    unsigned worker;
    uint32_t tasks;
    int number;
} kept_t;

static int begin_worker(mproc_task_t *task)
{
    const config_t *config = mproc_call_data(mproc_task_call(task), sizeof *config);
    board_t *own = board_of(task);
    kept_t *kept = calloc(1, sizeof *kept);
    if (!kept || !config || strcmp(config->name, "of the pool") != 0 || !own || mproc_task_state(task) ||
        mproc_task_index(task) || mproc_task_retries(task) || mproc_task_shared(task, 1) ||
        mproc_task_is_cancelled(task) || mproc_task_set_result(task, "x", 1) != MPROC_ESTATE) {
        free(kept);
        return 1;
    }
    mproc_task_fail_item(task, 0, 1, "there is no item");
    *kept = (kept_t){mproc_task_worker(task), 0, config->number};
    mproc_task_set_state(task, kept);
    atomic_fetch_add(&own->notes[0], 1);
    return 0;
}

static void end_worker(mproc_task_t *task)
{
    board_t *own = board_of(task);
    kept_t *kept = mproc_task_state(task);
    if (kept && kept->worker == mproc_task_worker(task)) {
        atomic_fetch_add(&own->notes[1], 1);
        atomic_fetch_add(&own->notes[2], kept->tasks);
    }
    free(kept);
}

static int use_kept(mproc_task_t *task, const void *in, void *out, size_t count)
{
    kept_t *kept = mproc_task_state(task);
    board_t *own = board_of(task);
    (void)in;
    (void)out;
    if (!kept || kept->number != 42 || kept->worker != mproc_task_worker(task) || kept->worker >= 3)
        return 1;
    kept->tasks++;
    for (size_t i = 0; i < count; i++)
        atomic_fetch_add(&own->runs[mproc_task_index(task) + i], 1);
    return 0;
}

static void test_state(void **state)
{
    enum { COUNT = 3000 };
    config_t config = {42, "of the pool"};
    (void)state;
    make_board();
    mproc_pool_opts_t opts = pool_options(3);
    opts.initializer = begin_worker;
    opts.finalizer = end_worker;
    opts.data = &config;
    opts.size = sizeof config;
    opts.name = "Setters";
    mproc_pool_t *pool = make_pool(opts);
    memset(&config, 0, sizeof config); /* it was copied */
    assert_success(mproc_pool_map(pool, use_kept, NULL, 0, NULL, 0, COUNT, &(mproc_map_opts_t){.chunk = 3}));
    await_ready(pool, 3);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(atomic_load(&board->runs[i]), 1);
    assert_success(mproc_pool_finish(pool));
    assert_int_equal(atomic_load(&board->notes[0]), 3);
    assert_int_equal(atomic_load(&board->notes[1]), 3);
    assert_int_equal(atomic_load(&board->notes[2]), COUNT / 3);
    close_board();
    expect_no_objects();
}

/** Tasks that have all sorts of objects. */
static int use_objects(mproc_task_t *task, const void *in, void *out, size_t count)
{
    mproc_call_t *call = mproc_task_call(task);
    mproc_lock_t *lock = mproc_call_lock(call, 1);
    mproc_queue_t *queue = mproc_call_queue(call, 2);
    volatile uint32_t *total = (volatile uint32_t *)&board_of(task)->notes[5];
    (void)in;
    (void)out;
    for (size_t i = 0; i < count; i++) {
        const uint64_t index = mproc_task_index(task) + i;
        if (mproc_lock_acquire(lock, MPROC_FOREVER) != APR_SUCCESS)
            return 1;
        *total = *total + 1;
        if (mproc_lock_release(lock) != APR_SUCCESS ||
            mproc_queue_put(queue, &index, sizeof index, MPROC_FOREVER) != APR_SUCCESS)
            return 2;
    }
    return 0;
}

static void test_shared_objects(void **state)
{
    enum { COUNT = 2000 };
    mproc_lock_t *lock;
    mproc_queue_t *queue;
    uint64_t sum = 0;
    (void)state;
    make_board();
    assert_success(mproc_lock_create(&lock, NULL));
    assert_success(mproc_queue_create(&queue, NULL));
    mproc_pool_opts_t opts = pool_options(3);
    opts.share[1] = lock;
    opts.share[2] = queue;
    mproc_pool_t *pool = make_pool(opts);
    assert_success(mproc_pool_map(pool, use_objects, NULL, 0, NULL, 0, COUNT, NULL));
    assert_int_equal(atomic_load(&board->notes[5]), COUNT);
    for (int i = 0; i < COUNT; i++) {
        uint64_t index;
        assert_success(mproc_queue_get(queue, &index, sizeof index, NULL, 0));
        sum += index;
    }
    assert_int_equal(sum, (uint64_t)COUNT * (COUNT - 1) / 2);
    /* The pool has them open of its own. */
    assert_success(mproc_lock_close(lock));
    assert_success(mproc_pool_map(pool, use_objects, NULL, 0, NULL, 0, COUNT, NULL));
    assert_success(mproc_queue_close(queue));
    end_pool(pool);
}

/** Count the tasks of each worker process: by its state, which goes with it. */
static int count_own(mproc_task_t *task, const void *in, size_t size)
{
    uintptr_t number = (uintptr_t)mproc_task_state(task) + 1;
    (void)in;
    (void)size;
    mproc_task_set_state(task, (void *)number);
    return mproc_task_set_result(task, &number, sizeof number) == APR_SUCCESS ? 0 : 1;
}

static void test_max_tasks(void **state)
{
    enum { TASKS = 31, MOST = 4 };
    uintptr_t number, most = 0, firsts = 0;
    mproc_pool_opts_t opts = pool_options(1);
    (void)state;
    opts.max_tasks = MOST;
    mproc_pool_t *pool = make_pool(opts);
    for (int i = 0; i < TASKS; i++) {
        assert_success(mproc_pool_apply(pool, count_own, &number, sizeof number, NULL, NULL, 0, NULL));
        assert_int_equal(number, i % MOST + 1);
        most = number > most ? number : most;
        firsts += number == 1;
    }
    assert_int_equal(most, MOST);
    assert_int_equal(firsts, 8);
    assert_int_equal(info_of(pool).restarts, 7);
    assert_int_equal(info_of(pool).deaths, 0);
    map_squares(pool, 100, 1);
    end_pool(pool);
}

static void test_max_tasks_of_many(void **state)
{
    mproc_pool_opts_t opts = pool_options(3);
    (void)state;
    opts.max_tasks = 1;
    mproc_pool_t *pool = make_pool(opts);
    map_squares(pool, 30, 1);
    map_squares(pool, 300, 0);
    assert_int_equal(info_of(pool).deaths, 0);
    assert_int_equal(info_of(pool).failed, 0);
    end_pool(pool);
}

static int use_memory(mproc_task_t *task, const void *in, size_t size)
{
    const int pid = mproc_getpid();
    if (size && *(const char *)in) {
        volatile char *much = malloc(48 << 20);
        if (!much)
            return 2;
        for (int i = 0; i < 48 << 20; i += 1024)
            much[i] = 1;
        mproc_task_set_state(task, (void *)(uintptr_t)much);
    }
    return mproc_task_set_result(task, &pid, sizeof pid) == APR_SUCCESS ? 0 : 1;
}

static void test_max_memory(void **state)
{
    int pids[6];
    mproc_pool_opts_t opts = pool_options(1);
    (void)state;
    opts.max_memory = (size_t)32 << 20;
    if (opts.start_method == MPROC_THREAD) {
        mproc_pool_t *none;
        assert_failure(mproc_pool_create(&none, &opts), APR_ENOTIMPL);
        assert_null(none);
        return;
    }
    mproc_pool_t *pool = make_pool(opts);
    for (int i = 0; i < 6; i++)
        assert_success(
            mproc_pool_apply(pool, use_memory, &pids[i], sizeof pids[i], NULL, i == 2 ? "x" : "\0", 1, NULL));
    assert_int_equal(pids[0], pids[1]);
    assert_int_equal(pids[0], pids[2]);
    assert_int_not_equal(pids[2], pids[3]);
    assert_int_equal(pids[3], pids[4]);
    assert_int_equal(pids[3], pids[5]);
    assert_int_equal(info_of(pool).restarts, 1);
    end_pool(pool);
}

/** A pool in a task of a pool. */
static int map_in_task(mproc_task_t *task, const void *in, void *out, size_t count)
{
    const int64_t *numbers = in;
    mproc_pool_t *pool;
    const int *method = mproc_call_data(mproc_task_call(task), sizeof *method);
    const mproc_pool_opts_t opts = {.workers = 2, .start_method = (mproc_start_method_t)*method};
    if (mproc_pool_create(&pool, &opts) != APR_SUCCESS)
        return mproc_task_fail(task, 1, "%s", mproc_last_error()->text);
    if (mproc_pool_map(pool, square, out, sizeof(int64_t), numbers, sizeof(int64_t), count, NULL) != APR_SUCCESS)
        return mproc_task_fail(task, 2, "%s", mproc_last_error()->text);
    return mproc_pool_finish(pool) == APR_SUCCESS ? 0 : mproc_task_fail(task, 3, "%s", mproc_last_error()->text);
}

static void test_nested(void **state)
{
    enum { COUNT = 40 };
    int64_t numbers[COUNT], squares[COUNT];
    int method = (int)method_under_test();
    mproc_pool_opts_t opts = pool_options(2);
    (void)state;
    opts.data = &method;
    opts.size = sizeof method;
    mproc_pool_t *pool = make_pool(opts);
    for (int i = 0; i < COUNT; i++)
        numbers[i] = i;
    assert_success(mproc_pool_map(pool, map_in_task, squares, sizeof squares[0], numbers, sizeof numbers[0], COUNT,
                                  &(mproc_map_opts_t){.chunk = 10}));
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(squares[i], i * i);
    end_pool(pool);
}

/** How many workers a pool of a worker has by default; 0 if it cannot be made. */
static int count_default(mproc_task_t *task, const void *in, size_t size)
{
    mproc_pool_t *pool;
    mproc_pool_info_t info = {0};
    int method;
    if (size != sizeof method)
        return 2;
    memcpy(&method, in, size);
    if (mproc_pool_create(&pool, &(mproc_pool_opts_t){.start_method = (mproc_start_method_t)method}) == APR_SUCCESS) {
        mproc_pool_info(pool, &info);
        mproc_pool_finish(pool);
    }
    return mproc_task_set_result(task, &info.workers, sizeof info.workers) == APR_SUCCESS ? 0 : 1;
}

static void test_default_number(void **state)
{
    mproc_pool_opts_t opts = pool_options(0);
    const int method = (int)method_under_test();
    unsigned count;
    (void)state;
    mproc_pool_t *pool = make_pool(opts);
    assert_int_equal(info_of(pool).workers, mproc_cpu_count());
    assert_success(mproc_pool_apply(pool, count_default, &count, sizeof count, NULL, &method, sizeof method, NULL));
    assert_int_equal(count, method_under_test() == MPROC_THREAD ? mproc_cpu_count() : 1);
    end_pool(pool);
}

/* ---- What there is ----------------------------------------------------------------------------------------------- */

static void test_info(void **state)
{
    mproc_future_t *futures[6];
    (void)state;
    make_board();
    mproc_pool_t *pool = make_pool(pool_options(2));
    await_ready(pool, 2);
    mproc_pool_info_t info = info_of(pool);
    assert_int_equal(info.workers, 2);
    assert_int_equal(info.busy + info.queued + info.done + info.failed + info.restarts + info.deaths, 0);
    for (int i = 0; i < 6; i++)
        assert_success(mproc_pool_submit(pool, &futures[i], echo_at_gate, NULL, 0, NULL));
    await_note(&board->begun, 2);
    info = info_of(pool);
    assert_int_equal(info.busy, 2);
    assert_int_equal(info.queued, 4);
    atomic_store(&board->gate, 1);
    for (int i = 0; i < 6; i++) {
        assert_success(mproc_future_wait(futures[i], NULL, patience()));
        assert_success(mproc_future_close(futures[i]));
    }
    info = info_of(pool);
    assert_int_equal(info.done, 6);
    assert_int_equal(info.failed, 0);
    assert_int_equal(info.queued, 0);
    for (unsigned i = 0; i < 4; i++) {
        const int pid = mproc_pool_worker_pid(pool, i);
        if (i < 2 && method_under_test() != MPROC_THREAD)
            assert_true(lives(pid));
        else
            assert_int_equal(pid, 0);
    }
    const int pid = mproc_pool_worker_pid(pool, 0);
    assert_success(mproc_pool_shutdown(pool));
    assert_success(mproc_pool_join(pool, patience()));
    assert_int_equal(mproc_pool_worker_pid(pool, 0), 0);
    assert_true(pid == 0 || !lives(pid));
    info = info_of(pool);
    assert_int_equal(info.ready, 0);
    assert_int_equal(info.done, 6);
    assert_success(mproc_pool_close(pool));
    close_board();
    expect_no_objects();
}

/* ---- Refusals ---------------------------------------------------------------------------------------------------- */

/** A map that cannot be begun says so of all its items. */
static void test_refused(void **state)
{
    enum { MANY = 1500000, FEW = 10 };
    apr_status_t *statuses = calloc(MANY, sizeof *statuses);
    int64_t *numbers = calloc(MANY, sizeof *numbers);
    mproc_task_error_t error;
    mproc_map_opts_t opts = {.statuses = statuses, .error = &error};
    (void)state;
    assert_success(mproc_set_arena_size((uint64_t)16 << 20));
    mproc_pool_t *pool = make_pool(pool_options(2));
    if (method_under_test() != MPROC_THREAD) {
        /* The arrays are larger than the family's memory. */
        assert_failure(mproc_pool_map(pool, square, numbers, 8, numbers, 8, MANY, &opts), APR_ENOMEM);
        for (int i = 0; i < MANY; i += 1000)
            assert_int_equal(statuses[i], APR_ENOMEM);
        assert_int_equal(error.status, APR_ENOMEM);
        assert_string_equal(error.text, mproc_last_error()->text);
    }
    for (int i = 0; i < 5; i++)
        map_squares(pool, 50000, 0);
    assert_success(mproc_pool_shutdown(pool));
    assert_failure(mproc_pool_map(pool, square, numbers, 8, numbers, 8, FEW, &opts), MPROC_ESTATE);
    for (int i = 0; i < FEW; i++)
        assert_int_equal(statuses[i], MPROC_ESTATE);
    assert_int_equal(error.status, MPROC_ESTATE);
    assert_string_equal(error.text, mproc_last_error()->text);
    end_pool(pool);
    free(statuses);
    free(numbers);
}

/* ---- Ends -------------------------------------------------------------------------------------------------------- */

/** A pool with two tasks that wait at the gate, and two that wait for them. */
static mproc_pool_t *make_busy_pool(mproc_future_t **futures)
{
    make_board();
    mproc_pool_t *pool = make_pool(pool_options(2));
    for (int i = 0; i < 4; i++)
        assert_success(mproc_pool_submit(pool, &futures[i], echo_at_gate, "abc", 4, NULL));
    await_note(&board->begun, 2);
    return pool;
}

static void close_futures(mproc_future_t **futures, apr_status_t expected)
{
    mproc_task_error_t error;
    const void *result;
    for (int i = 0; i < 4; i++) {
        assert_success(mproc_future_wait(futures[i], &error, patience()));
        assert_int_equal(error.status, expected);
        if (expected == APR_SUCCESS) {
            assert_success(mproc_future_result(futures[i], &result, NULL));
            assert_string_equal(result, "abc");
        } else {
            assert_failure(mproc_future_result(futures[i], &result, NULL), expected);
            assert_null(result);
        }
        assert_success(mproc_future_close(futures[i]));
    }
}

static void test_shutdown(void **state)
{
    mproc_future_t *futures[4];
    mproc_future_t *none = (mproc_future_t *)futures;
    mproc_stream_t *stream;
    char out[4];
    mproc_pool_t *pool = make_busy_pool(futures);
    (void)state;
    assert_failure(mproc_pool_join(pool, 0), MPROC_ESTATE);
    assert_failure(mproc_pool_close(pool), MPROC_ESTATE);
    assert_success(mproc_pool_shutdown(pool));
    assert_success(mproc_pool_shutdown(pool));
    const apr_time_t begin = apr_time_now();
    assert_failure(mproc_pool_join(pool, 0), APR_TIMEUP);
    assert_failure(mproc_pool_join(pool, 100000), APR_TIMEUP);
    expect_waited(begin, 100000);
    assert_failure(mproc_pool_close(pool), MPROC_ESTATE);
    assert_failure(mproc_pool_submit(pool, &none, echo, NULL, 0, NULL), MPROC_ESTATE);
    assert_null(none);
    assert_failure(mproc_pool_apply(pool, echo, out, 4, NULL, "abc", 4, NULL), MPROC_ESTATE);
    assert_failure(mproc_pool_map(pool, count_items, NULL, 0, NULL, 0, 5, NULL), MPROC_ESTATE);
    assert_failure(mproc_pool_stream(pool, &stream, echo, (mproc_input_fn_t)(void (*)(void))test_shutdown, NULL, NULL),
                   MPROC_ESTATE);
    /* All that was taken is done. */
    atomic_store(&board->gate, 1);
    assert_success(mproc_pool_join(pool, patience()));
    assert_success(mproc_pool_join(pool, 0));
    assert_success(mproc_pool_terminate(pool, 0));
    close_futures(futures, APR_SUCCESS);
    assert_success(mproc_pool_finish(pool));
    close_board();
    expect_no_objects();
}

static void test_terminate(void **state)
{
    mproc_future_t *futures[4];
    mproc_future_t *none;
    int pids[2];
    (void)state;
    mproc_pool_t *pool = make_busy_pool(futures);
    for (unsigned i = 0; i < 2; i++)
        pids[i] = mproc_pool_worker_pid(pool, i);
    const apr_time_t begin = apr_time_now();
    if (method_under_test() == MPROC_THREAD) {
        /* They look now and then whether they are cancelled. */
        assert_success(mproc_pool_terminate(pool, patience()));
    } else {
        assert_success(mproc_pool_terminate(pool, 0));
        for (int i = 0; i < 2; i++)
            assert_false(lives(pids[i]));
    }
    expect_soon(begin);
    assert_success(mproc_pool_terminate(pool, 0));
    assert_success(mproc_pool_shutdown(pool));
    assert_failure(mproc_pool_submit(pool, &none, echo, NULL, 0, NULL), MPROC_ETERMINATED);
    assert_failure(mproc_pool_map(pool, count_items, NULL, 0, NULL, 0, 5, NULL), MPROC_ETERMINATED);
    close_futures(futures, MPROC_ETERMINATED);
    assert_success(mproc_pool_join(pool, patience()));
    assert_int_equal(info_of(pool).failed, 4);
    assert_failure(mproc_pool_finish(pool), MPROC_ETERMINATED);
    assert_failure(mproc_pool_finish(pool), MPROC_ECLOSED);
    close_board();
    expect_no_objects();
}

/** What is terminated can be closed at once: whether the pool's thread has seen that is its own affair. */
static void test_close_after_terminate(void **state)
{
    enum { ROUNDS = 20 };
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        mproc_future_t *futures[4];
        mproc_pool_t *pool = make_busy_pool(futures);
        assert_success(mproc_pool_terminate(pool, method_under_test() == MPROC_THREAD ? patience() : 0));
        assert_success(mproc_pool_close(pool));
        close_futures(futures, MPROC_ETERMINATED);
        close_board();
        expect_no_objects();
    }
}

static void open_gate(void *context)
{
    (void)context;
    atomic_store(&board->gate, 1);
}

/** Tasks that do not look whether they are cancelled. */
static int wait_stubbornly(mproc_task_t *task, const void *in, size_t size)
{
    board_t *own = board_of(task);
    (void)in;
    (void)size;
    atomic_fetch_add(&own->begun, 1);
    while (!atomic_load(&own->gate))
        apr_sleep(500);
    atomic_fetch_add(&own->ended, 1);
    return 0;
}

static void test_terminate_with_grace(void **state)
{
    mproc_task_error_t error;
    later_t later;
    mproc_future_t *future;
    (void)state;
    make_board();
    mproc_pool_t *pool = make_pool(pool_options(2));
    assert_success(mproc_pool_submit(pool, &future, wait_stubbornly, NULL, 0, NULL));
    await_note(&board->begun, 1);
    begin_later(&later, 100, open_gate, NULL);
    assert_success(mproc_pool_terminate(pool, MPROC_FOREVER));
    /* It was allowed to end, though nobody is told how. */
    assert_int_equal(atomic_load(&board->ended), 1);
    end_later(&later);
    assert_success(mproc_future_wait(future, &error, 0));
    assert_int_equal(error.status, MPROC_ETERMINATED);
    assert_success(mproc_future_close(future));
    assert_failure(mproc_pool_finish(pool), MPROC_ETERMINATED);
    close_board();
    expect_no_objects();
}

static void test_grace_that_is_over(void **state)
{
    mproc_future_t *future;
    (void)state;
    make_board();
    mproc_pool_t *pool = make_pool(pool_options(2));
    assert_success(mproc_pool_submit(pool, &future, wait_stubbornly, NULL, 0, NULL));
    await_note(&board->begun, 1);
    const int is_thread = method_under_test() == MPROC_THREAD;
    const apr_time_t begin = apr_time_now();
    if (is_thread)
        assert_failure(mproc_pool_terminate(pool, 100000), APR_TIMEUP);
    else
        assert_success(mproc_pool_terminate(pool, 100000));
    expect_waited(begin, 100000);
    assert_success(mproc_future_wait(future, NULL, 0));
    assert_success(mproc_future_close(future));
    atomic_store(&board->gate, 1);
    assert_int_equal(atomic_load(&board->ended) && !is_thread, 0);
    assert_success(mproc_pool_join(pool, patience()));
    assert_success(mproc_pool_close(pool));
    close_board();
    expect_no_objects();
}

static void terminate_patiently(void *pool)
{
    mproc_pool_terminate(pool, MPROC_FOREVER);
}

/** One thread has patience, and another one none. */
static void test_terminate_twice(void **state)
{
    later_t later;
    (void)state;
    skip_under(MPROC_THREAD, "a thread cannot be ended from outside");
    make_board();
    mproc_pool_t *pool = make_pool(pool_options(2));
    for (int i = 0; i < 3; i++)
        assert_success(mproc_pool_submit(pool, NULL, wait_stubbornly, NULL, 0, NULL));
    await_note(&board->begun, 2);
    begin_later(&later, 0, terminate_patiently, pool);
    apr_sleep(50000);
    const apr_time_t begin = apr_time_now();
    assert_success(mproc_pool_terminate(pool, 0));
    expect_soon(begin);
    end_later(&later);
    assert_int_equal(atomic_load(&board->ended), 0);
    assert_failure(mproc_pool_finish(pool), MPROC_ETERMINATED);
    close_board();
    expect_no_objects();
}

static void terminate_it(void *pool)
{
    mproc_pool_terminate(pool, 0);
}

static void test_terminate_during_map(void **state)
{
    enum { COUNT = 100 };
    static apr_status_t statuses[COUNT];
    mproc_task_error_t error;
    later_t later;
    (void)state;
    make_board();
    mproc_pool_t *pool = make_pool(pool_options(2));
    await_ready(pool, 2);
    begin_later(&later, 100, terminate_it, pool);
    const apr_time_t begin = apr_time_now();
    const mproc_map_opts_t opts = {.chunk = 1, .statuses = statuses, .error = &error};
    assert_failure(mproc_pool_map(pool, wait_in_slice, NULL, 0, NULL, 0, COUNT, &opts), MPROC_ETERMINATED);
    expect_soon(begin);
    end_later(&later);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(statuses[i], i < 10 ? APR_SUCCESS : MPROC_ETERMINATED);
    assert_int_equal(error.index, 10);
    assert_failure(mproc_pool_finish(pool), MPROC_ETERMINATED);
    close_board();
    expect_no_objects();
}

static void shut_it(void *pool)
{
    mproc_pool_shutdown(pool);
}

static void test_shutdown_during_map(void **state)
{
    later_t later;
    static int64_t numbers[200];
    (void)state;
    make_board();
    mproc_pool_t *pool = make_pool(pool_options(2));
    await_ready(pool, 2);
    begin_later(&later, 50, shut_it, pool);
    assert_failure(mproc_pool_map(pool, sleep_a_little, numbers, 8, NULL, 0, 40, &(mproc_map_opts_t){.chunk = 1}),
                   MPROC_ETASK); /* to its end */
    end_later(&later);
    assert_int_equal(info_of(pool).done, 40);
    end_pool(pool);
}

/** One way to end a pool, step by step; what is allowed in any order must not hang. */
static void end_by_steps(const int *steps, int count)
{
    mproc_future_t *futures[4];
    int is_terminated = 0, is_shut = 0, is_open = 0, may_be_over = 0;
    mproc_pool_t *pool = make_busy_pool(futures);
    for (int i = 0; i < count; i++) {
        switch (steps[i]) {
        case 0:
            assert_success(mproc_pool_shutdown(pool));
            is_shut = 1;
            break;
        case 1:
            assert_success(mproc_pool_terminate(pool, method_under_test() == MPROC_THREAD ? patience() : 0));
            is_terminated = 1;
            may_be_over = is_shut && is_open;
            break;
        case 2:
            mproc_pool_join(pool, 1000);
            break;
        case 3:
            for (int k = 0; k < 4; k++)
                assert_success(mproc_future_close(futures[k]));
            break;
        default:
            atomic_store(&board->gate, 1);
            is_open = 1;
        }
    }
    if (!is_terminated && !is_shut)
        assert_failure(mproc_pool_close(pool), MPROC_ESTATE);
    atomic_store(&board->gate, 1);
    const apr_status_t status = mproc_pool_finish(pool);
    if (status != APR_SUCCESS || !may_be_over)
        assert_int_equal(status, is_terminated ? MPROC_ETERMINATED : APR_SUCCESS);
    close_board();
    expect_no_objects();
}

static void permute(int *steps, int fixed, int count)
{
    if (fixed == count) {
        end_by_steps(steps, count);
        return;
    }
    for (int i = fixed; i < count; i++) {
        const int first = steps[fixed], other = steps[i];
        steps[fixed] = other;
        steps[i] = first;
        permute(steps, fixed + 1, count);
        steps[fixed] = first;
        steps[i] = other;
    }
}

static void test_orders_of_ends(void **state)
{
    int all[] = {0, 1, 2, 3, 4};
    int without_terminate[] = {0, 2, 3, 4};
    (void)state;
    permute(without_terminate, 0, 4);
    permute(all, 0, 5);
}

static void test_closed_with_its_apr_pool(void **state)
{
    mproc_future_t *futures[4];
    apr_pool_t *memory;
    (void)state;
    make_board();
    apr_pool_create(&memory, NULL);
    mproc_pool_opts_t opts = pool_options(2);
    opts.pool = memory;
    mproc_pool_t *pool = make_pool(opts);
    for (int i = 0; i < 4; i++)
        assert_success(mproc_pool_submit(pool, &futures[i], echo_at_gate, "abc", 4, NULL));
    await_note(&board->begun, 2);
    apr_pool_destroy(memory);
    assert_failure(mproc_pool_shutdown(pool), MPROC_ECLOSED);
    close_futures(futures, MPROC_ETERMINATED);
    close_board();
    expect_no_objects();
    /* One that was closed before, of which its APR pool must not know any more. */
    apr_pool_create(&memory, NULL);
    opts = pool_options(1);
    opts.pool = memory;
    pool = make_pool(opts);
    assert_success(mproc_pool_finish(pool));
    mproc_pool_t *other = make_pool(pool_options(1));
    apr_pool_destroy(memory);
    map_squares(other, 10, 0);
    end_pool(other);
}

static void test_results_of_a_closed_pool(void **state)
{
    mproc_future_t *futures[2];
    const void *before[2];
    const void *result;
    size_t size;
    char *large = malloc(100000);
    mproc_pool_t *pool = make_pool(pool_options(1));
    mproc_pool_t *next;
    (void)state;
    fill_bytes(large, 100000, 5);
    assert_success(mproc_pool_submit(pool, &futures[0], echo, large, 100000, NULL));
    assert_success(mproc_pool_submit(pool, &futures[1], echo, "abc", 4, NULL));
    for (int i = 0; i < 2; i++) {
        assert_success(mproc_future_wait(futures[i], NULL, patience()));
        assert_success(mproc_future_result(futures[i], &before[i], &size));
    }
    assert_success(mproc_pool_finish(pool));
    /* What was in use by the pool another one has by now. */
    next = make_pool(pool_options(1));
    map_squares(next, 1000, 0);
    for (int i = 0; i < 2; i++) {
        assert_success(mproc_future_wait(futures[i], NULL, 0));
        assert_success(mproc_future_result(futures[i], &result, &size));
        assert_ptr_equal(result, before[i]);
        assert_int_equal(size, i ? 4 : 100000);
        assert_memory_equal(result, i ? "abc" : large, size);
        assert_failure(mproc_future_cancel(futures[i]), MPROC_ESTATE);
        assert_success(mproc_future_close(futures[i]));
    }
    end_pool(next);
    free(large);
}

static void test_nothing_is_left(void **state)
{
    mproc_future_t *futures[4];
    (void)state;
    /* What the library makes for the first pool, and keeps. */
    mproc_pool_t *pool = make_busy_pool(futures);
    atomic_store(&board->gate, 1);
    close_futures(futures, APR_SUCCESS);
    end_pool(pool);
    const int before = count_descriptors();
    if (before < 0)
        skip_because("open descriptors cannot be counted here");
    for (int i = 0; i < 10; i++) {
        pool = make_busy_pool(futures);
        atomic_store(&board->gate, 1);
        close_futures(futures, APR_SUCCESS);
        map_squares(pool, 1000, 0);
        end_pool(pool);
    }
    expect_descriptors(before);
}

static void sleep_in_callback(void *context, mproc_future_t *future)
{
    (void)future;
    atomic_fetch_add((_Atomic uint32_t *)context, 1);
    apr_sleep(MPROC_SECONDS(50));
}

/** A program that ends without ending its pool. */
static int leave_pool(mproc_call_t *call)
{
    mproc_pool_t *pool;
    mproc_future_t *future;
    mproc_pool_opts_t opts = pool_options(2);
    const int *how = mproc_call_data(call, sizeof *how);
    mproc_shared_t *shared = mproc_call_shared(call, 0);
    board_t *own = mproc_shared_data(shared);
    opts.share[0] = shared;
    if (mproc_pool_create(&pool, &opts) != APR_SUCCESS ||
        mproc_pool_submit(pool, &future, wait_stubbornly, NULL, 0, NULL) != APR_SUCCESS)
        return 1;
    while (!atomic_load(&own->begun))
        apr_sleep(500);
    atomic_store(&own->notes[0], (uint32_t)mproc_pool_worker_pid(pool, 0));
    atomic_store(&own->notes[1], (uint32_t)mproc_pool_worker_pid(pool, 1));
    if (*how == 1)
        exit(6);
    if (*how == 2) {
        const mproc_submit_opts_t submit_opts = {.callback = sleep_in_callback, .context = (void *)&own->notes[5]};
        atomic_store(&own->gate, 1);
        mproc_pool_submit(pool, NULL, echo, NULL, 0, &submit_opts);
        while (!atomic_load(&own->notes[5]))
            apr_sleep(500);
    }
    if (*how == 3)
        apr_sleep(patience());
    return 6;
}

static void test_left_behind(void **state)
{
    (void)state;
    skip_under(MPROC_THREAD, "a thread cannot be ended from outside");
    for (int how = 0; how < 4; how++) {
        make_board();
        mproc_process_opts_t opts = method_options();
        opts.share[0] = pool_options(1).share[0];
        opts.data = &how;
        opts.size = sizeof how;
        mproc_process_t *process = start(leave_pool, opts);
        await_note(&board->notes[1], 1);
        if (how == 3)
            assert_success(mproc_process_kill(process));
        assert_int_equal(finish(process), how == 3 ? -9 : 6);
        for (int i = 0; i < 2; i++)
            assert_true(is_gone_within((int)atomic_load(&board->notes[i]), how == 3 ? 2 : 1));
        close_board();
        /* Of those whose creator was killed nobody has asked yet. */
        if (how != 3)
            expect_no_objects();
    }
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_many_maps),
        cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_no_output),
        cmocka_unit_test(test_output_is_input),
        cmocka_unit_test(test_arrays_in_place),
        cmocka_unit_test(test_shared_struct),
        cmocka_unit_test(test_failed_items),
        cmocka_unit_test(test_failed_slices),
        cmocka_unit_test(test_maps_at_once),
        cmocka_unit_test(test_total_timeout),
        cmocka_unit_test(test_total_timeout_of_many),
        cmocka_unit_test(test_endless_timeouts),
        cmocka_unit_test(test_total_timeout_that_suffices),
        cmocka_unit_test(test_stopped_beside_another),
        cmocka_unit_test(test_progress),
        cmocka_unit_test(test_progress_stops),
        cmocka_unit_test(test_progress_ends_the_pool),
        cmocka_unit_test(test_state),
        cmocka_unit_test(test_shared_objects),
        cmocka_unit_test(test_max_tasks),
        cmocka_unit_test(test_max_tasks_of_many),
        cmocka_unit_test(test_max_memory),
        cmocka_unit_test(test_nested),
        cmocka_unit_test(test_default_number),
        cmocka_unit_test(test_info),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_shutdown),
        cmocka_unit_test(test_terminate),
        cmocka_unit_test(test_close_after_terminate),
        cmocka_unit_test(test_terminate_with_grace),
        cmocka_unit_test(test_grace_that_is_over),
        cmocka_unit_test(test_terminate_twice),
        cmocka_unit_test(test_terminate_during_map),
        cmocka_unit_test(test_shutdown_during_map),
        cmocka_unit_test(test_orders_of_ends),
        cmocka_unit_test(test_closed_with_its_apr_pool),
        cmocka_unit_test(test_results_of_a_closed_pool),
        cmocka_unit_test(test_nothing_is_left),
        cmocka_unit_test(test_left_behind),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
