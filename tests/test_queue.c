/* SPDX-License-Identifier: Apache-2.0 */
/* Queues in one process. What they do between processes is conformance_queue.c's. */
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/harness.h"
#include "support/objects.h"
#include "support/random.h"
#include "support/support.h"

static mproc_queue_t *make_queue(size_t maxsize, size_t item_size)
{
    mproc_queue_t *queue;
    const mproc_queue_opts_t opts = {.maxsize = maxsize, .item_size = item_size};
    assert_success(mproc_queue_create(&queue, &opts));
    assert_non_null(queue);
    return queue;
}

static mproc_queue_t *make_joinable(size_t maxsize, size_t item_size)
{
    mproc_queue_t *queue;
    const mproc_queue_opts_t opts = {.maxsize = maxsize, .item_size = item_size, .joinable = 1};
    assert_success(mproc_queue_create(&queue, &opts));
    return queue;
}

static mproc_queue_t *make_putter(mproc_queue_t *queue)
{
    mproc_queue_t *putter;
    assert_success(mproc_queue_open_putter(&putter, queue, NULL));
    return putter;
}

static mproc_queue_t *make_getter(mproc_queue_t *queue)
{
    mproc_queue_t *getter;
    assert_success(mproc_queue_open_getter(&getter, queue, NULL));
    return getter;
}

/** What mproc_queue_size() and the like say; none of them leaves an error behind. */
static void expect_size(mproc_queue_t *queue, size_t size, int is_full)
{
    assert_int_equal(mproc_queue_size(queue), size);
    assert_int_equal(mproc_queue_is_empty(queue) != 0, size == 0);
    assert_int_equal(mproc_queue_is_full(queue) != 0, is_full);
    assert_int_equal(mproc_last_error()->status, APR_SUCCESS);
}

static void put_number(mproc_queue_t *queue, uint64_t number)
{
    assert_success(mproc_queue_put(queue, &number, sizeof number, patience()));
}

static uint64_t get_number(mproc_queue_t *queue)
{
    uint64_t number = 0;
    size_t size = 0;
    assert_success(mproc_queue_get(queue, &number, sizeof number, &size, patience()));
    assert_int_equal(size, sizeof number);
    return number;
}

static void expect_empty(mproc_queue_t *queue)
{
    uint64_t number;
    size_t size = 7;
    assert_failure(mproc_queue_get(queue, &number, sizeof number, &size, 0), APR_TIMEUP);
    assert_int_equal(size, 0);
}

/* ---- Ordinary use ------------------------------------------------------------------------------------------------ */

/** Fill a queue and empty it, several times around. */
static void fill_and_empty(size_t maxsize, size_t item_size)
{
    enum { LAPS = 3 };
    const size_t size = item_size ? item_size : 24;
    unsigned char *item = malloc(size);
    unsigned char *got = malloc(size);
    uint64_t put = 0, taken = 0;
    mproc_queue_t *queue = make_queue(maxsize, item_size);
    expect_size(queue, 0, 0);
    for (int lap = 0; lap < LAPS; lap++) {
        while (put - taken < maxsize) {
            expect_size(queue, put - taken, 0);
            fill_bytes(item, size, put++);
            assert_success(mproc_queue_put(queue, item, size, put % 2 ? 0 : MPROC_FOREVER));
        }
        expect_size(queue, maxsize, 1);
        assert_failure(mproc_queue_put(queue, item, size, 0), APR_TIMEUP);
        assert_failure(mproc_queue_put(queue, item, size, 1000), APR_TIMEUP);
        expect_size(queue, maxsize, 1);
        /* Not all, so that the next lap begins somewhere else. */
        for (size_t left = lap < LAPS - 1 ? maxsize / 3 : 0; put - taken > left;) {
            size_t length = 0;
            assert_success(mproc_queue_get(queue, got, size, &length, taken % 2 ? 0 : MPROC_FOREVER));
            assert_int_equal(length, size);
            assert_true(are_bytes(got, size, taken++));
            expect_size(queue, put - taken, 0);
        }
    }
    expect_size(queue, 0, 0);
    assert_failure(mproc_queue_get(queue, got, size, NULL, 0), APR_TIMEUP);
    assert_success(mproc_queue_close(queue));
    free(item);
    free(got);
}

static void test_bounded(void **state)
{
    static const size_t lengths[] = {1, 2, 3, 5, 7, 64, 100, 129};
    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        fill_and_empty(lengths[i], sizeof(uint64_t));
        fill_and_empty(lengths[i], 0);
    }
    expect_no_objects();
}

static void test_item_sizes(void **state)
{
    static const size_t sizes[] = {1, 2, 7, 8, 63, 64, 65, 95, 96, 97, 100, 1000, 4095, 4096, 4097, 65535, 100000};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        fill_and_empty(3, sizes[i]);
        fill_and_empty(100, sizes[i]);
    }
    expect_no_objects();
}

static uint64_t memory_in_use(void)
{
    mproc_family_info_t info;
    assert_success(mproc_family_info(&info));
    return info.used;
}

/** To try to put what does not fit takes no memory; and what is finished is not just full. */
static void test_try_large(void **state)
{
    enum { SIZE = 1 << 20 };
    void *block;
    unsigned char *item = malloc(SIZE);
    (void)state;
    mproc_queue_t *queue = make_queue(1, 0);
    fill_bytes(item, SIZE, 1);
    assert_success(mproc_queue_put(queue, item, SIZE, 0));
    const uint64_t in_use = memory_in_use();
    assert_failure(mproc_queue_put(queue, item, SIZE, 0), APR_TIMEUP);
    assert_int_equal(memory_in_use(), in_use);
    assert_success(mproc_queue_finish(queue));
    assert_failure(mproc_queue_put(queue, item, SIZE, 0), APR_EPIPE);
    assert_int_equal(memory_in_use(), in_use);
    assert_success(mproc_queue_get_block(queue, &block, NULL, 0));
    assert_true(are_bytes(block, SIZE, 1));
    assert_success(mproc_queue_close(queue));
    expect_no_objects();
    free(item);
}

/** Items of all sizes, one behind the other, with and without a limit. */
static void test_free_sizes(void **state)
{
    static const size_t sizes[] = {0, 1, 95, 96, 97, 0, 4000, 100000, 8, 3000000, 0};
    enum { SIZES = sizeof sizes / sizeof sizes[0] };
    unsigned char *item = malloc(3000000);
    (void)state;
    for (int round = 0; round < 4; round++) {
        mproc_queue_t *queue = make_queue(round % 2 ? SIZES : 0, 0);
        for (size_t i = 0; i < SIZES; i++) {
            fill_bytes(item, sizes[i], i);
            assert_success(mproc_queue_put(queue, sizes[i] ? item : NULL, sizes[i], 0));
        }
        assert_int_equal(mproc_queue_size(queue), SIZES);
        for (size_t i = 0; i < SIZES; i++) {
            size_t size = 99;
            if (round < 2) {
                assert_success(mproc_queue_get(queue, sizes[i] ? item : NULL, sizes[i], &size, 0));
                assert_true(are_bytes(item, size, i));
            } else {
                unsigned char *data;
                assert_success(mproc_queue_get_alloc(queue, (void **)&data, &size, 0));
                assert_true(are_bytes(data, size, i) && data[size] == 0);
                mproc_free(data);
            }
            assert_int_equal(size, sizes[i]);
        }
        expect_size(queue, 0, 0);
        assert_success(mproc_queue_close(queue));
    }
    free(item);
    expect_no_objects();
}

/** One without a limit grows, several times, whatever is in it just then. */
static void test_grows(void **state)
{
    (void)state;
    for (int round = 0; round < 3; round++) {
        mproc_queue_t *queue = make_queue(0, round == 2 ? 0 : sizeof(uint64_t));
        const uint64_t most = (uint64_t)(3000 << 2 * round) / (uint64_t)slowdown();
        uint64_t put = 0, got = 0;
        for (uint64_t i = 0; i < most; i++) {
            put_number(queue, put++);
            if (round == 1 && i % 3 == 0)
                assert_int_equal(get_number(queue), got++);
            expect_size(queue, put - got, 0);
        }
        while (got < put)
            assert_int_equal(get_number(queue), got++);
        expect_empty(queue);
        /* As it is now it goes on. */
        for (uint64_t i = 0; i < most; i++)
            put_number(queue, i);
        for (uint64_t i = 0; i < most; i++)
            assert_int_equal(get_number(queue), i);
        assert_success(mproc_queue_close(queue));
        expect_no_objects();
    }
}

static void test_many_at_once(void **state)
{
    enum { MANY = 250, ROOM = 100 };
    uint64_t items[MANY], got[MANY];
    size_t done;
    (void)state;
    for (int i = 0; i < MANY; i++)
        items[i] = (uint64_t)i * 3;
    for (int maxsize = 0; maxsize <= ROOM; maxsize += ROOM) {
        mproc_queue_t *queue = make_queue((size_t)maxsize, sizeof(uint64_t));
        const size_t room = maxsize ? ROOM : MANY;
        if (maxsize) {
            assert_failure(mproc_queue_put_many(queue, items, MANY, &done, 0), APR_TIMEUP);
            assert_int_equal(done, room);
            assert_failure(mproc_queue_put_many(queue, items, MANY, &done, 1000), APR_TIMEUP);
            assert_int_equal(done, 0);
        } else {
            assert_success(mproc_queue_put_many(queue, items, MANY, &done, 0));
            assert_int_equal(done, MANY);
        }
        expect_size(queue, room, maxsize != 0);
        assert_success(mproc_queue_get_many(queue, got, 30, &done, 0));
        assert_int_equal(done, 30);
        assert_memory_equal(got, items, 30 * sizeof items[0]);
        assert_success(mproc_queue_put_many(queue, items, 10, NULL, 0));
        assert_success(mproc_queue_get_many(queue, got, MANY, &done, MPROC_FOREVER));
        assert_int_equal(done, room - 20);
        assert_memory_equal(got, items + 30, (room - 30) * sizeof items[0]);
        assert_memory_equal(got + room - 30, items, 10 * sizeof items[0]);
        assert_int_equal(mproc_last_error()->status, APR_SUCCESS);
        done = 9;
        assert_failure(mproc_queue_get_many(queue, got, MANY, &done, 0), APR_TIMEUP);
        assert_int_equal(done, 0);
        assert_success(mproc_queue_put_many(queue, NULL, 0, &done, 0));
        assert_int_equal(done, 0);
        assert_failure(mproc_queue_get_many(queue, got, 0, &done, 0), APR_EINVAL);
        assert_failure(mproc_queue_get_many(queue, got, SIZE_MAX / 2, &done, 0), APR_EINVAL);
        assert_failure(mproc_queue_get_many(queue, got, MANY, NULL, 0), APR_EINVAL);
        assert_failure(mproc_queue_put_many(queue, NULL, 2, &done, 0), APR_EINVAL);
        assert_success(mproc_queue_close(queue));
    }
    mproc_queue_t *of_any_size = make_queue(10, 0);
    assert_failure(mproc_queue_put_many(of_any_size, items, 2, &done, 0), APR_EINVAL);
    assert_failure(mproc_queue_get_many(of_any_size, got, 2, &done, 0), APR_EINVAL);
    assert_success(mproc_queue_close(of_any_size));
    expect_no_objects();
}

static void test_get_alloc(void **state)
{
    static const size_t sizes[] = {sizeof(uint64_t), 4096, 100000};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        unsigned char *item = malloc(sizes[i]);
        mproc_queue_t *queue = make_queue(2, sizes[i]);
        unsigned char *data = item;
        size_t size = 5;
        assert_failure(mproc_queue_get_alloc(queue, (void **)&data, &size, 0), APR_TIMEUP);
        assert_null(data);
        assert_int_equal(size, 0);
        fill_bytes(item, sizes[i], i);
        assert_success(mproc_queue_put(queue, item, sizes[i], 0));
        assert_failure(mproc_queue_get_alloc(queue, NULL, &size, 0), APR_EINVAL);
        assert_success(mproc_queue_get_alloc(queue, (void **)&data, NULL, MPROC_FOREVER));
        assert_true(are_bytes(data, sizes[i], i) && data[sizes[i]] == 0);
        mproc_free(data);
        free(item);
        assert_success(mproc_queue_close(queue));
    }
    /* An item of nothing is something. */
    mproc_queue_t *queue = make_queue(2, 0);
    void *data;
    size_t size = 5;
    assert_success(mproc_queue_put(queue, NULL, 0, 0));
    assert_success(mproc_queue_get_alloc(queue, &data, &size, 0));
    assert_non_null(data);
    assert_int_equal(size, 0);
    mproc_free(data);
    assert_success(mproc_queue_close(queue));
    expect_no_objects();
}

static void test_clear(void **state)
{
    size_t count = 9;
    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        mproc_queue_t *queue = kind < 3 ? make_queue(kind == 0 ? 5 : 0, kind == 2 ? 5000 : sizeof(uint64_t))
                                        : make_joinable(0, sizeof(uint64_t));
        const int most = kind == 0 ? 5 : 300;
        static unsigned char item[5000];
        const size_t size = kind == 2 ? sizeof item : sizeof(uint64_t);
        for (int round = 0; round < 3; round++) {
            assert_success(mproc_queue_clear(queue, &count));
            assert_int_equal(count, 0);
            for (int i = 0; i < most; i++)
                assert_success(mproc_queue_put(queue, item, size, 0));
            assert_success(mproc_queue_clear(queue, &count));
            assert_int_equal(count, most);
            expect_size(queue, 0, 0);
            assert_success(mproc_queue_put(queue, item, size, 0));
            assert_success(mproc_queue_clear(queue, NULL));
            expect_size(queue, 0, 0);
            if (kind == 3)
                assert_success(mproc_queue_join(queue, &count, 0));
        }
        assert_success(mproc_queue_put(queue, item, size, 0));
        assert_success(mproc_queue_finish(queue));
        assert_success(mproc_queue_clear(queue, &count));
        assert_int_equal(count, 1);
        assert_failure(mproc_queue_get(queue, item, sizeof item, NULL, MPROC_FOREVER), APR_EOF);
        assert_success(mproc_queue_close(queue));
    }
    expect_no_objects();
}

/* ---- The end ----------------------------------------------------------------------------------------------------- */

static void test_finish(void **state)
{
    uint64_t number = 1, got[4];
    void *block;
    size_t done;
    (void)state;
    for (int maxsize = 0; maxsize < 6; maxsize += 5) {
        mproc_queue_t *queue = make_queue((size_t)maxsize, sizeof number);
        for (uint64_t i = 0; i < 3; i++)
            put_number(queue, i);
        assert_success(mproc_queue_reserve(queue, &block, 0));
        assert_success(mproc_queue_finish(queue));
        assert_success(mproc_queue_finish(queue));
        assert_failure(mproc_queue_put(queue, &number, sizeof number, 0), APR_EPIPE);
        assert_failure(mproc_queue_put(queue, &number, sizeof number, MPROC_FOREVER), APR_EPIPE);
        assert_failure(mproc_queue_put_many(queue, &number, 1, &done, 0), APR_EPIPE);
        assert_failure(mproc_queue_put_block(queue, block, sizeof number, 0), APR_EPIPE);
        assert_success(mproc_queue_free_block(queue, block)); /* it is still this process's */
        mproc_queue_t *putter = queue;
        assert_failure(mproc_queue_open_putter(&putter, queue, NULL), APR_EPIPE);
        assert_null(putter);
        mproc_queue_t *getter = make_getter(queue);
        assert_int_equal(mproc_queue_size(queue), 3);
        assert_int_equal(get_number(queue), 0);
        assert_success(mproc_queue_get_many(getter, got, 4, &done, MPROC_FOREVER));
        assert_int_equal(done, 2);
        assert_failure(mproc_queue_get(queue, &number, sizeof number, &done, MPROC_FOREVER), APR_EOF);
        assert_failure(mproc_queue_get(queue, &number, sizeof number, NULL, 0), APR_EOF);
        assert_failure(mproc_queue_get_alloc(queue, &block, NULL, MPROC_FOREVER), APR_EOF);
        assert_failure(mproc_queue_get_block(queue, &block, NULL, MPROC_FOREVER), APR_EOF);
        assert_failure(mproc_queue_get_many(queue, got, 4, &done, MPROC_FOREVER), APR_EOF);
        assert_success(mproc_queue_close(getter));
        assert_success(mproc_queue_close(queue));
    }
    expect_no_objects();
}

static void test_putters(void **state)
{
    (void)state;
    mproc_queue_t *queue = make_queue(10, sizeof(uint64_t));
    mproc_queue_t *first = make_putter(queue);
    mproc_queue_t *second = make_putter(first);
    put_number(first, 1);
    put_number(second, 2);
    put_number(queue, 3);
    assert_success(mproc_queue_close(first));
    put_number(second, 4);
    assert_success(mproc_queue_close(second));
    /* No putter is left: finished, also for the queue's own handle. */
    const uint64_t number = 5;
    assert_failure(mproc_queue_put(queue, &number, sizeof number, 0), APR_EPIPE);
    for (uint64_t i = 1; i <= 4; i++)
        assert_int_equal(get_number(queue), i);
    uint64_t none;
    assert_failure(mproc_queue_get(queue, &none, sizeof none, NULL, MPROC_FOREVER), APR_EOF);
    mproc_queue_t *late;
    assert_failure(mproc_queue_open_putter(&late, queue, NULL), APR_EPIPE);
    assert_success(mproc_queue_close(queue));
    expect_no_objects();
}

static void test_getters(void **state)
{
    const uint64_t number = 5;
    (void)state;
    mproc_queue_t *queue = make_queue(10, sizeof number);
    mproc_queue_t *first = make_getter(queue);
    mproc_queue_t *second = make_getter(first);
    put_number(queue, 1);
    put_number(queue, 2);
    put_number(queue, 3);
    assert_int_equal(get_number(first), 1);
    assert_success(mproc_queue_close(first));
    assert_int_equal(get_number(second), 2);
    put_number(queue, 4);
    assert_success(mproc_queue_close(second));
    assert_failure(mproc_queue_put(queue, &number, sizeof number, MPROC_FOREVER), APR_EPIPE);
    assert_error_names("getter");
    /* What is there can still be had. */
    assert_int_equal(get_number(queue), 3);
    assert_success(mproc_queue_close(queue));
    expect_no_objects();
}

/** An end keeps the queue, and a reference to it is one to the end. */
static void test_ends_keep_queue(void **state)
{
    mproc_queue_t *opened;
    (void)state;
    mproc_queue_t *queue = make_queue(10, sizeof(uint64_t));
    mproc_queue_t *putter = make_putter(queue);
    mproc_queue_t *getter = make_getter(queue);
    const mproc_ref_t whole = ref_of(queue);
    const mproc_ref_t end = ref_of(putter);
    assert_success(mproc_queue_close(queue));
    assert_success(mproc_queue_open(&queue, &whole, NULL));
    assert_success(mproc_queue_close(queue));
    assert_success(mproc_queue_open(&opened, &end, NULL));
    assert_success(mproc_queue_close(putter));
    put_number(opened, 7);
    assert_int_equal(get_number(getter), 7);
    assert_success(mproc_queue_close(opened));
    uint64_t none;
    assert_failure(mproc_queue_get(getter, &none, sizeof none, NULL, MPROC_FOREVER), APR_EOF);
    assert_failure(mproc_queue_open(&opened, &end, NULL), MPROC_EGONE);
    assert_null(opened);
    assert_success(mproc_queue_close(getter));
    assert_failure(mproc_queue_open(&opened, &whole, NULL), MPROC_EGONE);
    expect_no_objects();
}

static void test_directions(void **state)
{
    uint64_t number = 1;
    size_t size = 3;
    void *block = &number;
    (void)state;
    mproc_queue_t *queue = make_joinable(10, sizeof number);
    mproc_queue_t *putter = make_putter(queue);
    mproc_queue_t *getter = make_getter(queue);
    put_number(putter, 1);
    assert_failure(mproc_queue_get(putter, &number, sizeof number, &size, 0), MPROC_EDIRECTION);
    assert_failure(mproc_queue_get(putter, &number, sizeof number, &size, MPROC_FOREVER), MPROC_EDIRECTION);
    assert_failure(mproc_queue_get_alloc(putter, &block, &size, 0), MPROC_EDIRECTION);
    assert_null(block);
    assert_failure(mproc_queue_get_many(putter, &number, 1, &size, 0), MPROC_EDIRECTION);
    assert_failure(mproc_queue_get_block(putter, &block, &size, 0), MPROC_EDIRECTION);
    assert_failure(mproc_queue_task_done(putter), MPROC_EDIRECTION);
    assert_failure(mproc_queue_put(getter, &number, sizeof number, 0), MPROC_EDIRECTION);
    assert_failure(mproc_queue_put_many(getter, &number, 1, &size, 0), MPROC_EDIRECTION);
    assert_failure(mproc_queue_reserve(getter, &block, 0), MPROC_EDIRECTION);
    assert_null(block);
    assert_failure(mproc_queue_put_block(getter, &number, sizeof number, 0), MPROC_EDIRECTION);
    /* Looking, and what concerns the whole queue, any end can do. */
    mproc_queue_t *const all[] = {queue, putter, getter};
    for (int i = 0; i < 3; i++) {
        expect_size(all[i], 1, 0);
        assert_failure(mproc_queue_join(all[i], NULL, 0), APR_TIMEUP);
    }
    assert_success(mproc_queue_clear(putter, &size));
    assert_int_equal(size, 1);
    assert_success(mproc_queue_join(putter, NULL, 0));
    assert_success(mproc_queue_finish(getter));
    for (int i = 2; i >= 0; i--)
        assert_success(mproc_queue_close(all[i]));
    expect_no_objects();
}

/* ---- Bad input --------------------------------------------------------------------------------------------------- */

static void test_bad_options(void **state)
{
    const size_t large = (size_t)1 << (sizeof(size_t) * 8 - 2);
    const mproc_queue_opts_t bad[] = {
        {.maxsize = SIZE_MAX},
        {.item_size = SIZE_MAX},
        {.maxsize = SIZE_MAX, .item_size = SIZE_MAX},
        {.maxsize = SIZE_MAX / 2, .item_size = 2},
        {.maxsize = large, .item_size = 4, .joinable = 1},
        {.maxsize = 3, .item_size = SIZE_MAX / 3 + 1},
        {.maxsize = large, .item_size = large},
    };
    mproc_queue_t *queue;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        queue = (mproc_queue_t *)(void *)&bad;
        const apr_status_t status = mproc_queue_create(&queue, &bad[i]);
        if (status != APR_EINVAL && (status != APR_ENOMEM || sizeof(size_t) > 4))
            fail_msg("options %d: %d, %s", (int)i, status, mproc_last_error()->text);
        assert_null(queue);
    }
    /* That could be, but there is no room. */
    const mproc_queue_opts_t too_much[] = {
        {.maxsize = (size_t)1 << 30 << (sizeof(size_t) > 4 ? 10 : 0)},
        {.maxsize = (size_t)1 << 30, .item_size = 64},
    };
    for (size_t i = 0; i < sizeof too_much / sizeof too_much[0]; i++) {
        assert_failure(mproc_queue_create(&queue, &too_much[i]), APR_ENOMEM);
        assert_null(queue);
    }
    assert_failure(mproc_queue_create(NULL, NULL), APR_EINVAL);
    union {
        mproc_queue_opts_t opts;
        char room[256];
    } later;
    memset(&later, 0, sizeof later);
    assert_failure(mproc_queue_create_sized(&queue, &later.opts, sizeof later.opts + 8), MPROC_EBUILD);
    assert_null(queue);
    /* An earlier program does not know the last of them. */
    memset(&later, 0xff, sizeof later);
    later.opts.maxsize = 3;
    assert_success(mproc_queue_create_sized(&queue, &later.opts, offsetof(mproc_queue_opts_t, item_size)));
    assert_success(mproc_queue_put(queue, "abc", 3, 0));
    assert_success(mproc_queue_close(queue));
    assert_success(mproc_queue_create(&queue, NULL));
    put_number(queue, 1);
    assert_success(mproc_queue_close(queue));
    expect_no_objects();
}

static void test_bad_items(void **state)
{
    mproc_family_info_t info;
    uint64_t number = 1;
    unsigned char few[10];
    void *block;
    size_t size;
    (void)state;
    mproc_queue_t *queue = make_queue(4, sizeof number);
    assert_success(mproc_family_info(&info));
    const size_t wrong[] = {0, 1, 7, 9, SIZE_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_failure(mproc_queue_put(queue, &number, wrong[i], 0), MPROC_ESIZE);
        if (wrong[i])
            assert_failure(mproc_queue_reserve(queue, &block, wrong[i]), MPROC_ESIZE);
    }
    assert_failure(mproc_queue_put(queue, NULL, sizeof number, 0), APR_EINVAL);
    assert_failure(mproc_queue_get(queue, NULL, sizeof number, &size, 0), APR_EINVAL);
    assert_failure(mproc_queue_reserve(queue, NULL, 0), APR_EINVAL);
    assert_failure(mproc_queue_get_block(queue, NULL, NULL, 0), APR_EINVAL);
    expect_size(queue, 0, 0);
    assert_success(mproc_queue_close(queue));
    queue = make_queue(0, 0);
    const size_t large[] = {(size_t)info.size, (size_t)info.size + 1, SIZE_MAX / 2, SIZE_MAX - 63, SIZE_MAX};
    for (size_t i = 0; i < sizeof large / sizeof large[0]; i++) {
        if (large[i] < info.size)
            continue;
        assert_failure(mproc_queue_put(queue, &number, large[i], 0), MPROC_ETOOBIG);
        assert_failure(mproc_queue_reserve(queue, &block, large[i]), MPROC_ETOOBIG);
        assert_null(block);
    }
    /* The buffer is too small: the item stays, and its size is told, for all places where it may lie. */
    static unsigned char item[5000];
    const size_t sizes[] = {11, 96, 97, 5000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        fill_bytes(item, sizes[i], i);
        assert_success(mproc_queue_put(queue, item, sizes[i], 0));
        assert_success(mproc_queue_put(queue, "next", 4, 0));
        for (int round = 0; round < 3; round++) {
            size = 0;
            assert_failure(mproc_queue_get(queue, few, sizeof few, &size, round ? MPROC_FOREVER : 0), MPROC_ETOOBIG);
            assert_int_equal(size, sizes[i]);
            assert_failure(mproc_queue_get(queue, NULL, 0, &size, 0), MPROC_ETOOBIG);
            assert_int_equal(size, sizes[i]);
            assert_failure(mproc_queue_get(queue, item, sizes[i] - 1, NULL, 0), MPROC_ETOOBIG);
            expect_size(queue, 2, 0);
        }
        assert_success(mproc_queue_get(queue, item, sizes[i], &size, 0));
        assert_int_equal(size, sizes[i]);
        assert_true(are_bytes(item, size, i));
        assert_success(mproc_queue_get(queue, few, sizeof few, &size, 0));
        assert_int_equal(size, 4);
    }
    assert_success(mproc_queue_close(queue));
    expect_no_objects();
}

/** Call everything with a handle, and see that each call refuses it. */
static void expect_refused(mproc_queue_t *queue, apr_status_t expected)
{
    uint64_t number = 1;
    size_t size = 1;
    void *data = &number;
    mproc_queue_t *end = queue;
    mproc_ref_t ref;
    assert_failure(mproc_queue_put(queue, &number, sizeof number, MPROC_FOREVER), expected);
    assert_failure(mproc_queue_get(queue, &number, sizeof number, &size, MPROC_FOREVER), expected);
    assert_failure(mproc_queue_get_alloc(queue, &data, &size, MPROC_FOREVER), expected);
    assert_null(data);
    assert_failure(mproc_queue_put_many(queue, &number, 1, &size, MPROC_FOREVER), expected);
    assert_int_equal(size, 0);
    size = 1;
    assert_failure(mproc_queue_get_many(queue, &number, 1, &size, MPROC_FOREVER), expected);
    assert_int_equal(size, 0);
    data = &number;
    assert_failure(mproc_queue_reserve(queue, &data, 0), expected);
    assert_null(data);
    data = &number;
    assert_failure(mproc_queue_get_block(queue, &data, &size, MPROC_FOREVER), expected);
    assert_null(data);
    assert_failure(mproc_queue_put_block(queue, &number, sizeof number, MPROC_FOREVER), expected);
    assert_failure(mproc_queue_free_block(queue, &number), expected);
    assert_failure(mproc_queue_finish(queue), expected);
    assert_failure(mproc_queue_clear(queue, &size), expected);
    assert_failure(mproc_queue_task_done(queue), expected);
    assert_failure(mproc_queue_join(queue, &size, MPROC_FOREVER), expected);
    assert_failure(mproc_queue_open_putter(&end, queue, NULL), expected);
    assert_null(end);
    end = queue;
    assert_failure(mproc_queue_open_getter(&end, queue, NULL), expected);
    assert_null(end);
    assert_failure(mproc_ref(&ref, queue), expected);
    assert_int_equal(mproc_queue_size(queue), 0);
    assert_int_equal(mproc_last_error()->status, expected);
    assert_true(mproc_queue_is_empty(queue));
    assert_int_equal(mproc_last_error()->status, expected);
    assert_false(mproc_queue_is_full(queue));
    assert_int_equal(mproc_last_error()->status, expected);
}

static void test_bad_handles(void **state)
{
    mproc_event_t *event;
    int thing = 0;
    (void)state;
    expect_refused(NULL, APR_EINVAL);
    assert_success(mproc_queue_close(NULL));
    mproc_queue_t *queue = make_queue(1, sizeof(uint64_t));
    mproc_queue_t *putter = make_putter(queue);
    mproc_queue_t *getter = make_getter(queue);
    mproc_queue_t *const all[] = {putter, getter, queue};
    assert_failure(mproc_queue_open_putter(NULL, queue, NULL), APR_EINVAL);
    assert_failure(mproc_queue_open_getter(NULL, queue, NULL), APR_EINVAL);
    assert_success(mproc_queue_free_block(queue, NULL));
    for (int i = 0; i < 3; i++)
        assert_success(mproc_queue_close(all[i]));
    for (int i = 0; i < 3; i++) {
        expect_refused(all[i], MPROC_ECLOSED);
        assert_failure(mproc_queue_close(all[i]), MPROC_ECLOSED);
    }
    expect_refused((mproc_queue_t *)(void *)&thing, MPROC_ECLOSED);
    assert_success(mproc_event_create(&event, NULL));
    mproc_queue_t *no_queue = (mproc_queue_t *)(void *)event;
    assert_failure(mproc_queue_finish(no_queue), MPROC_ECLOSED);
    assert_failure(mproc_queue_put(no_queue, &thing, sizeof thing, 0), MPROC_ECLOSED);
    assert_failure(mproc_queue_close(no_queue), MPROC_ECLOSED);
    assert_success(mproc_event_close(event));
    assert_null(mproc_call_queue(NULL, 0));
    assert_int_equal(mproc_last_error()->status, APR_EINVAL);
    expect_no_objects();
}

static void test_bad_references(void **state)
{
    mproc_queue_t *opened;
    mproc_lock_t *lock;
    (void)state;
    const unsigned long long seed = choose_seed();
    unsigned long long random = seed;
    mproc_queue_t *queue = make_queue(1000, 64);
    mproc_queue_t *putter = make_putter(queue);
    static unsigned char item[64];
    const mproc_ref_t right = ref_of(queue);
    const mproc_ref_t end = ref_of(putter);
    assert_failure(mproc_queue_open(NULL, &right, NULL), APR_EINVAL);
    assert_failure(mproc_queue_open(&opened, NULL, NULL), APR_EINVAL);
    assert_failure(mproc_lock_open(&lock, &right, NULL), APR_EINVAL);
    assert_failure(mproc_lock_open(&lock, &end, NULL), APR_EINVAL);
    mproc_ref_t foreign = right;
    foreign.family[0]++;
    assert_failure(mproc_queue_open(&opened, &foreign, NULL), MPROC_EFOREIGN);
    assert_null(opened);
    /* What is in its memory looks like a queue, or like an end of it. */
    for (int i = 0; i < 1000; i++) {
        memset(item, i & 31, sizeof item);
        memcpy(item + i % 8 * 8, &right.serial, sizeof right.serial);
        assert_success(mproc_queue_put(putter, item, sizeof item, 0));
    }
    for (int i = 0; i < 300000 / slowdown(); i++) {
        mproc_ref_t forged = i % 2 ? right : end;
        forged.place += next_random(&random) % 400000 / (i % 3 ? 8 : 1) * (i % 3 ? 8 : 1);
        if (i % 5 == 0)
            forged.serial = next_random(&random) % 4 * 0x0101010101010101u;
        if (memcmp(&forged, &right, sizeof forged) == 0 || memcmp(&forged, &end, sizeof forged) == 0)
            continue;
        const apr_status_t status = mproc_queue_open(&opened, &forged, NULL);
        if ((status != MPROC_EGONE && status != APR_EINVAL) || opened)
            fail_msg("seed %llu: a forged reference was opened: %d", seed, status);
    }
    assert_success(mproc_queue_close(putter));
    assert_success(mproc_queue_close(queue));
    assert_failure(mproc_queue_open(&opened, &right, NULL), MPROC_EGONE);
    queue = make_queue(1000, 64);
    assert_failure(mproc_queue_open(&opened, &right, NULL), MPROC_EGONE);
    assert_failure(mproc_queue_open(&opened, &end, NULL), MPROC_EGONE);
    assert_success(mproc_queue_close(queue));
    expect_no_objects();
}

/* ---- Blocks ------------------------------------------------------------------------------------------------------ */

/** Put by blocks and get by them, or otherwise, for items that lie in slots and for such that do not. */
static void test_blocks(void **state)
{
    static const size_t sizes[] = {0, 1, 64, 96, 97, 4096, 100000};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (int is_free = 0; is_free < 2; is_free++) {
            const size_t size = sizes[i];
            if (size == 0 && !is_free)
                continue;
            mproc_queue_t *queue = make_queue(2, is_free ? 0 : size);
            unsigned char *copy = malloc(size + 1);
            for (uint64_t round = 0; round < 8; round++) {
                void *block, *got;
                size_t length = 9;
                assert_success(mproc_queue_reserve(queue, &block, is_free ? size + round : 0));
                assert_non_null(block);
                assert_int_equal((uintptr_t)block % 16, 0);
                fill_bytes(block, size, round);
                expect_size(queue, 0, 0);
                assert_success(mproc_queue_put_block(queue, block, size, 0));
                expect_size(queue, 1, 0);
                if (round % 4 == 0) {
                    assert_success(mproc_queue_get(queue, copy, size + 1, &length, 0));
                    assert_true(are_bytes(copy, size, round));
                } else {
                    assert_success(mproc_queue_get_block(queue, &got, &length, 0));
                    assert_int_equal((uintptr_t)got % 16, 0);
                    assert_true(are_bytes(got, size, round));
                    if (round % 4 == 1) {
                        assert_success(mproc_queue_free_block(queue, got));
                        assert_failure(mproc_queue_free_block(queue, got), MPROC_ESTATE);
                    } else {
                        /* What was got can be put again. */
                        assert_success(mproc_queue_put_block(queue, got, size, 0));
                        assert_failure(mproc_queue_free_block(queue, got), MPROC_ESTATE);
                        assert_success(mproc_queue_get(queue, copy, size + 1, &length, 0));
                        assert_true(are_bytes(copy, size, round));
                    }
                }
                assert_int_equal(length, size);
                expect_size(queue, 0, 0);
            }
            free(copy);
            assert_success(mproc_queue_close(queue));
            expect_no_objects();
        }
    }
}

static void test_bad_blocks(void **state)
{
    void *block, *small;
    int thing = 0;
    (void)state;
    mproc_queue_t *queue = make_queue(2, 0);
    mproc_queue_t *other = make_queue(2, 0);
    assert_success(mproc_queue_reserve(queue, &block, 5000));
    assert_success(mproc_queue_reserve(queue, &small, 1));
    void *const bad[] = {NULL, &thing, (char *)block + 1, (char *)block + 64, (char *)block - 64, (void *)(intptr_t)-1};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_failure(mproc_queue_put_block(queue, bad[i], 1, 0), MPROC_ESTATE);
        if (bad[i])
            assert_failure(mproc_queue_free_block(queue, bad[i]), MPROC_ESTATE);
    }
    /* Whatever lies around it. */
    for (char *at = (char *)block - 200000; at < (char *)block + 200000; at += 8)
        assert_true(at == block || at == small || mproc_queue_free_block(queue, at) == MPROC_ESTATE);
    /* Of another queue. */
    assert_failure(mproc_queue_put_block(other, block, 1, 0), MPROC_ESTATE);
    assert_failure(mproc_queue_free_block(other, block), MPROC_ESTATE);
    /* Larger than what was reserved, also beyond all measure. */
    assert_failure(mproc_queue_put_block(queue, block, (size_t)1 << 20, 0), MPROC_ESTATE);
    assert_failure(mproc_queue_put_block(queue, block, SIZE_MAX, 0), MPROC_ESTATE);
    assert_failure(mproc_queue_put_block(queue, small, 5000, 0), MPROC_ESTATE);
    expect_size(queue, 0, 0);
    /* Twice. */
    assert_success(mproc_queue_put_block(queue, block, 5000, 0));
    assert_failure(mproc_queue_put_block(queue, block, 5000, 0), MPROC_ESTATE);
    assert_failure(mproc_queue_free_block(queue, block), MPROC_ESTATE);
    expect_size(queue, 1, 0);
    assert_success(mproc_queue_free_block(queue, small));
    assert_failure(mproc_queue_free_block(queue, small), MPROC_ESTATE);
    assert_failure(mproc_queue_put_block(queue, small, 1, 0), MPROC_ESTATE);
    /* A full queue refuses it, and it stays. */
    assert_success(mproc_queue_put(queue, "x", 1, 0));
    assert_success(mproc_queue_reserve(queue, &small, 200));
    memset(small, 7, 200);
    assert_failure(mproc_queue_put_block(queue, small, 200, 0), APR_TIMEUP);
    assert_int_equal(*(char *)small, 7);
    assert_success(mproc_queue_clear(queue, NULL));
    assert_success(mproc_queue_put_block(queue, small, 200, 0));
    assert_success(mproc_queue_close(queue));
    assert_success(mproc_queue_close(other));
    expect_no_objects();
}

/** Blocks take no room of the queue's, and there can be many; all go with the queue. */
static void test_many_blocks(void **state)
{
    enum { MANY = 300 };
    void *blocks[MANY];
    (void)state;
    mproc_queue_t *queue = make_queue(MANY, 0);
    mproc_queue_t *opened;
    const mproc_ref_t ref = ref_of(queue);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < MANY; i++) {
            const size_t size = (size_t)(1 + i * 37 % 9000);
            assert_success(mproc_queue_reserve(queue, &blocks[i], size));
            memset(blocks[i], i & 0x7f, size);
        }
        for (int i = 0; i < MANY; i++) {
            const size_t size = (size_t)(1 + i * 37 % 9000);
            for (size_t at = 0; at < size; at++)
                assert_int_equal(((unsigned char *)blocks[i])[at], i & 0x7f);
            if (round == 0)
                assert_success(mproc_queue_free_block(queue, blocks[i]));
            else
                assert_success(mproc_queue_put_block(queue, blocks[i], size, 0));
        }
        for (int i = 0; i < MANY && round == 1; i++) {
            void *got;
            size_t size;
            assert_success(mproc_queue_get_block(queue, &got, &size, 0));
            assert_int_equal(size, 1 + i * 37 % 9000);
            assert_int_equal(((unsigned char *)got)[size - 1], i & 0x7f);
            if (i % 2)
                assert_success(mproc_queue_free_block(queue, got));
            else
                blocks[i] = got;
        }
        for (int i = 0; i < MANY && round == 1; i += 2)
            assert_success(mproc_queue_free_block(queue, blocks[i]));
    }
    assert_success(mproc_queue_open(&opened, &ref, NULL));
    assert_success(mproc_queue_close(queue));
    assert_int_equal(mproc_queue_size(opened), MANY);
    assert_success(mproc_queue_close(opened));
    expect_no_objects();
}

/* ---- Waiting ----------------------------------------------------------------------------------------------------- */

static void test_timeouts(void **state)
{
    static const apr_interval_time_t timeouts[] = {0, 1, 1500, 30000, 120000};
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        mproc_queue_t *queue = make_joinable(kind ? 1 : 3, sizeof(uint64_t));
        mproc_queue_t *putter = kind == 2 ? make_putter(queue) : NULL;
        mproc_queue_t *getter = kind == 2 ? make_getter(queue) : NULL;
        uint64_t number = 1;
        for (size_t i = 0; i < sizeof timeouts / sizeof timeouts[0]; i++) {
            for (int what = 0; what < 3; what++) {
                while (what > 0 && !mproc_queue_is_full(queue))
                    put_number(queue, 1);
                const apr_time_t begin = apr_time_now();
                const apr_status_t status = what == 0
                                                ? mproc_queue_get(queue, &number, sizeof number, NULL, timeouts[i])
                                            : what == 1 ? mproc_queue_put(queue, &number, sizeof number, timeouts[i])
                                                        : mproc_queue_join(queue, NULL, timeouts[i]);
                assert_failure(status, APR_TIMEUP);
                expect_waited(begin, timeouts[i]);
            }
            assert_success(mproc_queue_clear(queue, NULL));
        }
        assert_success(mproc_queue_close(queue));
        if (kind == 2) {
            assert_success(mproc_queue_close(putter));
            assert_success(mproc_queue_close(getter));
        }
    }
    expect_no_objects();
}

/** A thread that waits in a call. */
typedef struct sleeper_t {
    mproc_queue_t *queue;
    int how; /* see sleep_at_queue() */
    apr_interval_time_t timeout;
    apr_status_t status;
    uint64_t number;
    void *data;
    size_t size;
    later_t later;
} sleeper_t;

enum {
    SLEEP_GET,
    SLEEP_GET_ALLOC,
    SLEEP_GET_MANY,
    SLEEP_GET_BLOCK,
    SLEEP_PUT,
    SLEEP_PUT_MANY,
    SLEEP_PUT_BLOCK,
    SLEEP_JOIN,
    SLEEPS
};

static int is_putting(int how)
{
    return how == SLEEP_PUT || how == SLEEP_PUT_MANY || how == SLEEP_PUT_BLOCK;
}

static void sleep_at_queue(void *context)
{
    sleeper_t *own = context;
    const size_t size = sizeof own->number;
    switch (own->how) {
    case SLEEP_GET:
        own->status = mproc_queue_get(own->queue, &own->number, size, NULL, own->timeout);
        return;
    case SLEEP_GET_ALLOC:
        own->status = mproc_queue_get_alloc(own->queue, &own->data, NULL, own->timeout);
        if (own->status == APR_SUCCESS)
            memcpy(&own->number, own->data, size);
        mproc_free(own->data);
        return;
    case SLEEP_GET_MANY:
        own->status = mproc_queue_get_many(own->queue, &own->number, 1, &own->size, own->timeout);
        return;
    case SLEEP_GET_BLOCK:
        own->status = mproc_queue_get_block(own->queue, &own->data, NULL, own->timeout);
        if (own->status == APR_SUCCESS)
            memcpy(&own->number, own->data, size);
        return;
    case SLEEP_PUT:
        own->status = mproc_queue_put(own->queue, &own->number, size, own->timeout);
        return;
    case SLEEP_PUT_MANY:
        own->status = mproc_queue_put_many(own->queue, &own->number, 1, &own->size, own->timeout);
        return;
    case SLEEP_PUT_BLOCK:
        if (mproc_queue_reserve(own->queue, &own->data, 0) != APR_SUCCESS)
            return;
        memcpy(own->data, &own->number, size);
        own->status = mproc_queue_put_block(own->queue, own->data, size, own->timeout);
        if (own->status != APR_SUCCESS)
            mproc_queue_free_block(own->queue, own->data);
        return;
    default:
        own->status = mproc_queue_join(own->queue, &own->size, own->timeout);
        return;
    }
}

static void begin_sleep(sleeper_t *sleeper, mproc_queue_t *queue, int how, apr_interval_time_t timeout)
{
    memset(sleeper, 0, sizeof *sleeper);
    sleeper->queue = queue;
    sleeper->how = how;
    sleeper->timeout = timeout;
    sleeper->status = -1;
    begin_later(&sleeper->later, 0, sleep_at_queue, sleeper);
}

static apr_status_t end_sleep(sleeper_t *sleeper)
{
    end_later(&sleeper->later);
    return sleeper->status;
}

/** Each way to wait is woken by what it waits for. */
static void test_woken(void **state)
{
    (void)state;
    for (int maxsize = 1; maxsize < 20; maxsize += 9) {
        for (int how = 0; how < SLEEPS; how++) {
            sleeper_t sleeper;
            mproc_queue_t *queue = make_joinable((size_t)maxsize, sizeof(uint64_t));
            for (int i = 0; i < maxsize && (is_putting(how) || how == SLEEP_JOIN); i++)
                put_number(queue, 5);
            begin_sleep(&sleeper, queue, how, how % 2 ? MPROC_FOREVER : patience());
            await_waiting(1);
            assert_int_equal(sleeper.status, -1);
            if (how == SLEEP_JOIN) {
                for (int i = 0; i < maxsize; i++) {
                    assert_int_equal(get_number(queue), 5);
                    assert_int_equal(sleeper.status, -1);
                    assert_success(mproc_queue_task_done(queue));
                }
            } else if (is_putting(how)) {
                assert_int_equal(get_number(queue), 5);
            } else {
                put_number(queue, 5);
            }
            assert_int_equal(end_sleep(&sleeper), APR_SUCCESS);
            if (how < SLEEP_PUT)
                assert_int_equal(sleeper.number, 5);
            assert_success(mproc_queue_close(queue));
            expect_no_objects();
        }
    }
}

/** Each way to wait ends when somebody closes the handle, or finishes the queue. */
static void test_closed_while_waiting(void **state)
{
    (void)state;
    for (int how = 0; how < SLEEPS; how++) {
        for (int is_finished = 0; is_finished < 2; is_finished++) {
            sleeper_t sleeper, other;
            mproc_queue_t *second;
            if (is_finished && how == SLEEP_JOIN)
                continue;
            mproc_queue_t *queue = make_joinable(1, sizeof(uint64_t));
            const mproc_ref_t ref = ref_of(queue);
            assert_success(mproc_queue_open(&second, &ref, NULL));
            if (is_putting(how) || how == SLEEP_JOIN)
                put_number(queue, 5);
            begin_sleep(&sleeper, queue, how, MPROC_FOREVER);
            begin_sleep(&other, second, how, MPROC_FOREVER);
            await_waiting(2);
            const apr_time_t begin = apr_time_now();
            if (is_finished) {
                assert_success(mproc_queue_finish(queue));
                assert_int_equal(end_sleep(&sleeper), is_putting(how) ? APR_EPIPE : APR_EOF);
                assert_int_equal(end_sleep(&other), is_putting(how) ? APR_EPIPE : APR_EOF);
                assert_success(mproc_queue_close(queue));
            } else {
                assert_success(mproc_queue_close(queue));
                assert_int_equal(end_sleep(&sleeper), MPROC_ECLOSED);
                assert_int_equal(other.status, -1);
            }
            expect_soon(begin);
            assert_success(mproc_queue_close(second));
            if (!is_finished)
                assert_int_equal(end_sleep(&other), MPROC_ECLOSED);
            expect_no_objects();
        }
    }
}

/** The last end of the other side is closed while somebody waits. */
static void test_ends_closed_while_waiting(void **state)
{
    (void)state;
    for (int how = 0; how < SLEEP_JOIN; how++) {
        sleeper_t sleeper;
        mproc_queue_t *queue = make_queue(1, sizeof(uint64_t));
        mproc_queue_t *putter = make_putter(queue);
        mproc_queue_t *getter = make_getter(queue);
        if (is_putting(how))
            put_number(putter, 5);
        begin_sleep(&sleeper, is_putting(how) ? putter : getter, how, MPROC_FOREVER);
        await_waiting(1);
        const apr_time_t begin = apr_time_now();
        assert_success(mproc_queue_close(is_putting(how) ? getter : putter));
        assert_int_equal(end_sleep(&sleeper), is_putting(how) ? APR_EPIPE : APR_EOF);
        expect_soon(begin);
        assert_success(mproc_queue_close(is_putting(how) ? putter : getter));
        assert_success(mproc_queue_close(queue));
        expect_no_objects();
    }
}

/** Each item, or each free place, lets one of many go on. */
static void test_one_by_one(void **state)
{
    enum { WAITERS = 12 };
    (void)state;
    for (int puts = 0; puts < 2; puts++) {
        for (int maxsize = 1; maxsize <= WAITERS; maxsize += WAITERS - 1) {
            static sleeper_t sleepers[WAITERS];
            mproc_queue_t *queue = make_queue((size_t)maxsize, sizeof(uint64_t));
            for (int i = 0; i < maxsize && puts; i++)
                put_number(queue, 0);
            for (int i = 0; i < WAITERS; i++)
                begin_sleep(&sleepers[i], queue, puts ? SLEEP_PUT : SLEEP_GET, MPROC_FOREVER);
            await_waiting(WAITERS);
            for (int i = WAITERS - 1; i >= 0; i--) {
                if (puts)
                    get_number(queue);
                else
                    put_number(queue, 1);
                await_lines("has waited for", i);
            }
            for (int i = 0; i < WAITERS; i++)
                assert_int_equal(end_sleep(&sleepers[i]), APR_SUCCESS);
            assert_int_equal(mproc_queue_size(queue), puts ? maxsize : 0);
            assert_success(mproc_queue_close(queue));
        }
    }
    expect_no_objects();
}

/* ---- What is done ------------------------------------------------------------------------------------------------ */

static void test_joinable(void **state)
{
    size_t lost = 9;
    (void)state;
    mproc_queue_t *plain = make_queue(10, sizeof(uint64_t));
    assert_failure(mproc_queue_task_done(plain), MPROC_ESTATE);
    assert_failure(mproc_queue_join(plain, &lost, 0), MPROC_ESTATE);
    assert_success(mproc_queue_close(plain));
    for (int maxsize = 0; maxsize <= 100; maxsize += 100) {
        mproc_queue_t *queue = make_joinable((size_t)maxsize, sizeof(uint64_t));
        assert_success(mproc_queue_join(queue, &lost, 0));
        assert_int_equal(lost, 0);
        assert_failure(mproc_queue_task_done(queue), MPROC_ESTATE);
        for (uint64_t round = 0; round < 5; round++) {
            uint64_t numbers[3];
            unsigned char *data;
            void *block;
            size_t got;
            for (uint64_t i = 0; i < 100; i++)
                put_number(queue, i);
            assert_failure(mproc_queue_task_done(queue), MPROC_ESTATE); /* nothing was got */
            for (int i = 0; i < 80; i++)
                get_number(queue);
            assert_success(mproc_queue_get_many(queue, numbers, 3, &got, 0));
            assert_success(mproc_queue_get_alloc(queue, (void **)&data, NULL, 0));
            mproc_free(data);
            assert_success(mproc_queue_get_block(queue, &block, NULL, 0));
            assert_success(mproc_queue_free_block(queue, block)); /* that does not mean done */
            for (int i = 0; i < 85; i++) {
                assert_failure(mproc_queue_join(queue, NULL, 0), APR_TIMEUP);
                assert_success(mproc_queue_task_done(queue));
            }
            assert_failure(mproc_queue_task_done(queue), MPROC_ESTATE);
            assert_failure(mproc_queue_join(queue, &lost, 0), APR_TIMEUP);
            assert_success(mproc_queue_clear(queue, &got));
            assert_int_equal(got, 15);
            assert_success(mproc_queue_join(queue, &lost, MPROC_FOREVER));
            assert_int_equal(lost, 0);
            assert_failure(mproc_queue_task_done(queue), MPROC_ESTATE);
        }
        assert_success(mproc_queue_close(queue));
    }
    expect_no_objects();
}

/* ---- Threads ----------------------------------------------------------------------------------------------------- */

/** Many put, many get, and what each has put comes in its order. */
typedef struct market_t {
    mproc_queue_t *queue;
    int putters;
    int getters;
    uint32_t each;
    size_t size; /* of an item; 0: all sizes */
    int is_joinable;
    _Atomic int putters_left;
    _Atomic uint64_t got;
    _Atomic uint64_t sum;
} market_t;

enum { MOST_PUTTERS = 8, MOST_SIZE = 6000 };

static size_t size_of_item(const market_t *market, uint32_t number)
{
    return market->size ? market->size : sizeof(stamp_t) + number * 7919u % (MOST_SIZE - sizeof(stamp_t));
}

static int put_all(market_t *market, uint32_t sender)
{
    unsigned char item[MOST_SIZE];
    int wrong = 0;
    for (uint32_t i = 0; i < market->each && !wrong; i++) {
        const size_t size = size_of_item(market, i);
        void *block;
        make_message(item, size, sender, i);
        if (i % 7 == 0 && i % 2) {
            wrong = mproc_queue_reserve(market->queue, &block, size) != APR_SUCCESS;
            if (!wrong)
                memcpy(block, item, size);
            wrong = wrong || mproc_queue_put_block(market->queue, block, size, MPROC_FOREVER) != APR_SUCCESS;
        } else {
            apr_status_t status = mproc_queue_put(market->queue, item, size, i % 3 ? MPROC_FOREVER : 0);
            while (status == APR_TIMEUP)
                status = mproc_queue_put(market->queue, item, size, 500);
            wrong = status != APR_SUCCESS;
        }
    }
    if (atomic_fetch_sub(&market->putters_left, 1) == 1)
        wrong |= mproc_queue_finish(market->queue) != APR_SUCCESS;
    return wrong;
}

/** Check an item that was got: 0 if it is whole, and later than the last of its sender. */
static int check_got(market_t *market, const void *item, size_t size, int64_t *last)
{
    stamp_t stamp;
    if (!is_whole(&stamp, item, size) || stamp.sender >= MOST_PUTTERS || last[stamp.sender] >= (int64_t)stamp.number ||
        size != size_of_item(market, stamp.number))
        return 1;
    last[stamp.sender] = stamp.number;
    atomic_fetch_add(&market->got, 1);
    atomic_fetch_add(&market->sum, (uint64_t)stamp.sender << 32 | stamp.number);
    return market->is_joinable && mproc_queue_task_done(market->queue) != APR_SUCCESS;
}

static int get_all(market_t *market)
{
    unsigned char item[MOST_SIZE];
    int64_t last[MOST_PUTTERS];
    for (int i = 0; i < MOST_PUTTERS; i++)
        last[i] = -1;
    for (int i = 0;; i++) {
        const apr_interval_time_t timeout = i % 5 ? MPROC_FOREVER : 200;
        void *data = item;
        size_t size;
        const apr_status_t status = i % 3 == 0   ? mproc_queue_get_alloc(market->queue, &data, &size, timeout)
                                    : i % 3 == 1 ? mproc_queue_get_block(market->queue, &data, &size, timeout)
                                                 : mproc_queue_get(market->queue, item, sizeof item, &size, timeout);
        if (status == APR_TIMEUP)
            continue;
        if (status == APR_EOF)
            return 0;
        if (status != APR_SUCCESS || check_got(market, data, size, last) != 0)
            return 1;
        if (i % 3 == 0)
            mproc_free(data);
        if (i % 3 == 1 && mproc_queue_free_block(market->queue, data) != APR_SUCCESS)
            return 1;
    }
}

static int trade(int number, void *context)
{
    market_t *market = context;
    return number < market->putters ? put_all(market, (uint32_t)number) : get_all(market);
}

static void test_threads(void **state)
{
    static const struct {
        size_t maxsize, size;
        int putters, getters, is_joinable;
    } markets[] = {{1, 64, 3, 3, 0},   {2, 0, 2, 4, 1},    {3, 4096, 4, 2, 0}, {7, 24, 1, 4, 1},
                   {100, 64, 4, 4, 0}, {64, 0, 8, 1, 0},   {0, 24, 4, 2, 0},   {0, 64, 8, 2, 1},
                   {0, 0, 3, 3, 0},    {0, 6000, 3, 3, 1}, {1, 0, 1, 1, 0},    {0, 5000, 8, 1, 0}};
    (void)state;
    for (size_t i = 0; i < sizeof markets / sizeof markets[0]; i++) {
        market_t market = {.putters = markets[i].putters,
                           .getters = markets[i].getters,
                           .each = (uint32_t)(4000 / slowdown()),
                           .size = markets[i].size,
                           .is_joinable = markets[i].is_joinable,
                           .putters_left = markets[i].putters};
        uint64_t sum = 0;
        size_t lost = 9;
        market.queue = market.is_joinable ? make_joinable(markets[i].maxsize, market.size)
                                          : make_queue(markets[i].maxsize, market.size);
        assert_int_equal(run_threads(market.putters + market.getters, trade, &market), 0);
        for (int sender = 0; sender < market.putters; sender++)
            for (uint32_t number = 0; number < market.each; number++)
                sum += (uint64_t)sender << 32 | number;
        assert_int_equal(market.got, (uint64_t)market.putters * market.each);
        assert_int_equal(market.sum, sum);
        expect_size(market.queue, 0, 0);
        if (market.is_joinable) {
            assert_success(mproc_queue_join(market.queue, &lost, 0));
            assert_int_equal(lost, 0);
        }
        assert_success(mproc_queue_close(market.queue));
        expect_no_objects();
    }
}

/** Queues that are made and closed while others use theirs. */
static int make_and_close(int number, void *context)
{
    (void)context;
    for (int i = 0; i < 300 / slowdown(); i++) {
        mproc_queue_t *queue, *putter;
        uint64_t item = (uint64_t)i, got = 0;
        const mproc_queue_opts_t opts = {.maxsize = (size_t)(number % 3 ? i % 200 : 0),
                                         .item_size = i % 2 ? 0 : sizeof item,
                                         .joinable = i % 3 == 0};
        if (mproc_queue_create(&queue, &opts) != APR_SUCCESS ||
            mproc_queue_open_putter(&putter, queue, NULL) != APR_SUCCESS ||
            mproc_queue_put(putter, &item, sizeof item, 0) != APR_SUCCESS || mproc_queue_close(putter) != APR_SUCCESS ||
            mproc_queue_get(queue, &got, sizeof got, NULL, MPROC_FOREVER) != APR_SUCCESS || got != item ||
            mproc_queue_get(queue, &got, sizeof got, NULL, MPROC_FOREVER) != APR_EOF ||
            mproc_queue_close(queue) != APR_SUCCESS)
            return 1;
    }
    return 0;
}

static void test_made_by_threads(void **state)
{
    (void)state;
    assert_int_equal(run_threads(6, make_and_close, NULL), 0);
    expect_no_objects();
}

/** A handle that is closed while others put and get with it: they come to know, and nothing breaks. */
static int use_until_closed(int number, void *context)
{
    mproc_queue_t *queue = context;
    uint64_t item = 1;
    for (;;) {
        const apr_status_t status = number % 2 ? mproc_queue_put(queue, &item, sizeof item, MPROC_FOREVER)
                                               : mproc_queue_get(queue, &item, sizeof item, NULL, MPROC_FOREVER);
        if (status == MPROC_ECLOSED)
            return 0;
        if (status != APR_SUCCESS)
            return 1;
    }
}

static void close_queue(void *queue)
{
    mproc_queue_close(queue);
}

static void test_closed_while_used(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        later_t later;
        mproc_queue_t *queue = make_queue((size_t)(i % 4), i % 2 ? sizeof(uint64_t) : 0);
        begin_later(&later, 10, close_queue, queue);
        assert_int_equal(run_threads(4, use_until_closed, queue), 0);
        end_later(&later);
        expect_no_objects();
    }
}

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

static void set_small_arena(void)
{
    uint64_t size = (uint64_t)8 << 20;
    while (mproc_set_arena_size(size) != APR_SUCCESS)
        size += 65536;
}

/** The family's memory is full: who puts is told so, what is there goes on, and nothing is lost. */
static void test_full(void **state)
{
    static unsigned char item[50000];
    int counts[3];
    void *block;
    (void)state;
    set_small_arena();
    for (int round = 0; round < 3; round++) {
        mproc_queue_t *large = make_queue(0, 0);
        mproc_queue_t *small = make_queue(0, sizeof(uint64_t));
        mproc_queue_t *none;
        apr_status_t status;
        int count = 0;
        for (;; count++) {
            fill_bytes(item, sizeof item, (uint64_t)count);
            status = mproc_queue_put(large, item, sizeof item, MPROC_FOREVER);
            if (status != APR_SUCCESS)
                break;
        }
        assert_failure(status, APR_ENOMEM);
        assert_error_names("full");
        assert_in_range(count, 10, 1000);
        counts[round] = count;
        assert_failure(mproc_queue_reserve(large, &block, sizeof item), APR_ENOMEM);
        assert_null(block);
        assert_failure(mproc_queue_create(&none, &(mproc_queue_opts_t){.maxsize = 10000, .item_size = 64}), APR_ENOMEM);
        /* Small ones, until there is no room for a longer ring. */
        uint64_t put = 0;
        while ((status = mproc_queue_put(small, &put, sizeof put, MPROC_FOREVER)) == APR_SUCCESS)
            put++;
        assert_failure(status, APR_ENOMEM);
        assert_true(put >= 64);
        assert_int_equal(mproc_queue_size(small), put);
        for (uint64_t i = 0; i < put; i++)
            assert_int_equal(get_number(small), i);
        for (uint64_t i = 0; i < 64; i++)
            put_number(small, i);
        /* One less: one more. */
        assert_success(mproc_queue_get_alloc(large, &block, NULL, 0));
        assert_true(are_bytes(block, sizeof item, 0));
        mproc_free(block);
        assert_success(mproc_queue_put(large, item, sizeof item, 0));
        assert_failure(mproc_queue_put(large, item, sizeof item, 0), APR_ENOMEM);
        for (int i = 1; i < count; i++) {
            assert_success(mproc_queue_get(large, item, sizeof item, NULL, 0));
            assert_true(are_bytes(item, sizeof item, (uint64_t)i));
        }
        assert_success(mproc_queue_close(large));
        assert_success(mproc_queue_close(small));
        expect_no_objects();
    }
    assert_int_equal(counts[0], counts[1]);
    assert_int_equal(counts[0], counts[2]);
}

/** What is in blocks can be got without a copy also if there is no room for anything more. */
static void test_full_of_blocks(void **state)
{
    enum { SIZE = 30000 };
    void *block;
    size_t size;
    int count = 0;
    (void)state;
    set_small_arena();
    mproc_queue_t *queue = make_queue(0, SIZE);
    while (mproc_queue_reserve(queue, &block, 0) == APR_SUCCESS) {
        fill_bytes(block, SIZE, (uint64_t)count++);
        assert_success(mproc_queue_put_block(queue, block, SIZE, 0));
    }
    assert_int_equal(mproc_last_error()->status, APR_ENOMEM);
    assert_true(count > 10);
    for (int i = 0; i < count; i++) {
        assert_success(mproc_queue_get_block(queue, &block, &size, 0));
        assert_int_equal(size, SIZE);
        assert_true(are_bytes(block, SIZE, (uint64_t)i));
        assert_success(mproc_queue_free_block(queue, block));
    }
    assert_success(mproc_queue_close(queue));
    expect_no_objects();
}

/* ---- Looking ----------------------------------------------------------------------------------------------------- */

static void test_dump(void **state)
{
    char line[200];
    (void)state;
    mproc_queue_t *queue;
    const mproc_queue_opts_t opts = {.maxsize = 5, .item_size = 8, .name = "letters"};
    assert_success(mproc_queue_create(&queue, &opts));
    mproc_queue_t *putter = make_putter(queue);
    mproc_queue_t *getter = make_getter(queue);
    put_number(queue, 1);
    put_number(queue, 2);
    const unsigned long long serial = (unsigned long long)ref_of(queue).serial;
    snprintf(line, sizeof line, "queue %llu letters: 2 of 5 items, 1 putters, 1 getters", serial);
    assert_int_equal(count_lines(line), 1);
    snprintf(line, sizeof line, "of the queue %llu", serial);
    assert_int_equal(count_lines(line), 2);
    assert_int_equal(count_lines("finished"), 0);
    assert_success(mproc_queue_finish(queue));
    assert_int_equal(count_lines("finished"), 1);
    assert_success(mproc_queue_close(putter));
    assert_success(mproc_queue_close(getter));
    assert_int_equal(count_lines("0 putters, 0 getters"), 1);
    assert_success(mproc_queue_close(queue));
    /* Without a limit, and who waits there. */
    sleeper_t sleeper;
    queue = make_queue(0, 8);
    begin_sleep(&sleeper, queue, SLEEP_GET, MPROC_FOREVER);
    await_waiting(1);
    snprintf(line, sizeof line, "queue %llu: 0 items, 0 putters, 0 getters\n  process %d has waited for ",
             (unsigned long long)ref_of(queue).serial, mproc_getpid());
    if (!strstr(dump_family(), line))
        fail_msg("there is no '%s' in\n%s", line, dump_family());
    assert_success(mproc_queue_close(queue));
    assert_int_equal(end_sleep(&sleeper), MPROC_ECLOSED);
    expect_no_objects();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_item_sizes),
        cmocka_unit_test(test_free_sizes),
        cmocka_unit_test(test_try_large),
        cmocka_unit_test(test_grows),
        cmocka_unit_test(test_many_at_once),
        cmocka_unit_test(test_get_alloc),
        cmocka_unit_test(test_clear),
        cmocka_unit_test(test_finish),
        cmocka_unit_test(test_putters),
        cmocka_unit_test(test_getters),
        cmocka_unit_test(test_ends_keep_queue),
        cmocka_unit_test(test_directions),
        cmocka_unit_test(test_bad_options),
        cmocka_unit_test(test_bad_items),
        cmocka_unit_test(test_bad_handles),
        cmocka_unit_test(test_bad_references),
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_bad_blocks),
        cmocka_unit_test(test_many_blocks),
        cmocka_unit_test(test_timeouts),
        cmocka_unit_test(test_woken),
        cmocka_unit_test(test_closed_while_waiting),
        cmocka_unit_test(test_ends_closed_while_waiting),
        cmocka_unit_test(test_one_by_one),
        cmocka_unit_test(test_joinable),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_made_by_threads),
        cmocka_unit_test(test_closed_while_used),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_full_of_blocks),
        cmocka_unit_test(test_dump),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
