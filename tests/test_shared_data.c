/* SPDX-License-Identifier: Apache-2.0 */
/* Shared data in one process. Others are conformance_share.c's, what is the same for all objects is test_share.c's. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/harness.h"
#include "support/objects.h"
#include "support/random.h"
#include "support/support.h"

static mproc_shared_t *make_shared(size_t size, int lock)
{
    mproc_shared_t *shared;
    const mproc_shared_opts_t opts = {.lock = lock};
    assert_success(mproc_shared_create(&shared, size, &opts));
    assert_non_null(shared);
    return shared;
}

/** Whether bytes all have a value. */
static int are_all(const unsigned char *bytes, size_t size, unsigned char value)
{
    return bytes[0] == value && memcmp(bytes, bytes + 1, size - 1) == 0;
}

/* Around those that lie in one block with their object, in one span, in several. */
static const size_t sizes[] = {1,     2,      7,      8,       63,    64,    65,    100,   4096,
                               8063,  8127,   8128,   8129,    8192,  8193,  65471, 65472, 65473,
                               65536, 131008, 131009, 1000000, 99999, 70000, 16384, 24000};
enum { SIZES = sizeof sizes / sizeof sizes[0] };

/** It is zeros, also where there was something else before; aligned; and as large as was asked for. */
static void test_sizes(void **state)
{
    (void)state;
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < SIZES; i++) {
            mproc_shared_t *shared = make_shared(sizes[i], round % 2);
            unsigned char *bytes = mproc_shared_data(shared);
            assert_non_null(bytes);
            assert_int_equal(mproc_last_error()->status, APR_SUCCESS);
            assert_int_equal((uintptr_t)bytes % MPROC_SHARED_ALIGNMENT, 0);
            assert_int_equal(mproc_shared_size(shared), sizes[i]);
            assert_true(are_all(bytes, sizes[i], 0));
            memset(bytes, 0xa7, sizes[i]);
            assert_ptr_equal(mproc_shared_data(shared), bytes);
            assert_true(are_all(bytes, sizes[i], 0xa7));
            assert_success(mproc_shared_close(shared));
            expect_no_objects();
        }
}

/** All at once, and in any order: none has another's bytes. */
static void test_neighbours(void **state)
{
    enum { SLOTS = 150 };
    mproc_shared_t *shared[SLOTS] = {NULL};
    size_t lengths[SLOTS];
    (void)state;
    unsigned long long random = choose_seed();
    for (int i = 0; i < 6000 / slowdown(); i++) {
        const size_t slot = (size_t)(next_random(&random) % SLOTS);
        const unsigned char mark = (unsigned char)(slot + 1);
        if (shared[slot]) {
            assert_true(are_all(mproc_shared_data(shared[slot]), lengths[slot], mark));
            assert_success(mproc_shared_close(shared[slot]));
            shared[slot] = NULL;
            continue;
        }
        lengths[slot] = sizes[next_random(&random) % SIZES] / (1 + (size_t)(next_random(&random) % 3)) + 1;
        shared[slot] = make_shared(lengths[slot], slot % 2);
        assert_true(are_all(mproc_shared_data(shared[slot]), lengths[slot], 0));
        memset(mproc_shared_data(shared[slot]), mark, lengths[slot]);
    }
    for (int i = 0; i < SLOTS; i++)
        assert_success(mproc_shared_close(shared[i]));
    expect_no_objects();
}

static void test_refused(void **state)
{
    mproc_shared_t *shared = (void *)&state;
    mproc_family_info_t info;
    (void)state;
    assert_failure(mproc_shared_create(NULL, 1, NULL), APR_EINVAL);
    assert_failure(mproc_shared_create(&shared, 0, NULL), APR_EINVAL);
    assert_null(shared);
    mproc_shared_t *one = make_shared(10, 0);
    assert_success(mproc_family_info(&info));
    const size_t large[] = {(size_t)-1,       (size_t)-64,       (size_t)-65536, (size_t)-65537,
                            SIZE_MAX / 2 + 1, (size_t)info.size, SIZE_MAX / 2,   (size_t)info.size - 65536};
    for (size_t i = 0; i < sizeof large / sizeof large[0]; i++)
        for (int lock = 0; lock < 2; lock++) {
            const mproc_shared_opts_t opts = {.lock = lock};
            shared = (void *)&state;
            assert_failure(mproc_shared_create(&shared, large[i], &opts), APR_ENOMEM);
            assert_null(shared);
            assert_error_names("no room for");
        }
    assert_null(mproc_shared_data(NULL));
    assert_int_equal(mproc_last_error()->status, APR_EINVAL);
    assert_int_equal(mproc_shared_size(NULL), 0);
    assert_int_equal(mproc_last_error()->status, APR_EINVAL);
    assert_success(mproc_shared_close(one));
    assert_null(mproc_shared_data(one));
    assert_int_equal(mproc_last_error()->status, MPROC_ECLOSED);
    assert_int_equal(mproc_shared_size(one), 0);
    assert_int_equal(mproc_last_error()->status, MPROC_ECLOSED);
    assert_failure(mproc_shared_release(one), MPROC_ECLOSED);
    expect_no_objects();
}

/* ---- Its lock ---------------------------------------------------------------------------------------------------- */

static void test_without_lock(void **state)
{
    (void)state;
    for (size_t size = 8; size < 100000; size *= 20) {
        mproc_shared_t *shared = make_shared(size, 0);
        assert_failure(mproc_shared_acquire(shared, 0), MPROC_ESTATE);
        assert_error_names("without a lock");
        assert_failure(mproc_shared_acquire(shared, MPROC_FOREVER), MPROC_ESTATE);
        assert_failure(mproc_shared_release(shared), MPROC_ESTATE);
        assert_error_names("without a lock");
        assert_int_equal(count_objects(), 1);
        assert_success(mproc_shared_close(shared));
    }
}

typedef struct attempt_t {
    mproc_shared_t *shared;
    apr_status_t acquired;
    apr_status_t released;
} attempt_t;

static void try_both(void *context)
{
    attempt_t *attempt = context;
    attempt->acquired = mproc_shared_acquire(attempt->shared, 1000);
    attempt->released = mproc_shared_release(attempt->shared);
}

static attempt_t try_elsewhere(mproc_shared_t *shared)
{
    later_t later;
    attempt_t attempt = {shared, -1, -1};
    begin_later(&later, 0, try_both, &attempt);
    end_later(&later);
    return attempt;
}

static void test_lock(void **state)
{
    enum { TIMES = 5 };
    (void)state;
    for (size_t size = 8; size < 100000; size *= 20) {
        mproc_shared_t *shared = make_shared(size, 1);
        assert_failure(mproc_shared_release(shared), MPROC_ESTATE);
        for (int i = 0; i < TIMES; i++)
            assert_success(mproc_shared_acquire(shared, i % 2 ? MPROC_FOREVER : 0));
        for (int i = 0; i < TIMES; i++) {
            const attempt_t attempt = try_elsewhere(shared);
            assert_int_equal(attempt.acquired, APR_TIMEUP);
            assert_int_equal(attempt.released, APR_EACCES);
            assert_success(mproc_shared_release(shared));
        }
        assert_failure(mproc_shared_release(shared), MPROC_ESTATE);
        const attempt_t attempt = try_elsewhere(shared);
        assert_int_equal(attempt.acquired, APR_SUCCESS);
        assert_int_equal(attempt.released, APR_SUCCESS);
        assert_success(mproc_shared_close(shared));
        assert_failure(mproc_shared_acquire(shared, 0), MPROC_ECLOSED);
    }
    expect_no_objects();
}

enum { COUNTERS = 3 };

static int count(int number, void *context)
{
    mproc_shared_t *const *shared = context;
    for (int i = 0; i < 10000 / slowdown(); i++) {
        mproc_shared_t *one = shared[(number + i) % COUNTERS];
        uint64_t *value = mproc_shared_data(one);
        if (mproc_shared_acquire(one, i % 3 ? MPROC_FOREVER : patience()) != APR_SUCCESS)
            return 1;
        const uint64_t before = *value;
        if (i % 64 == 0)
            apr_thread_yield();
        *value = before + 1;
        if (mproc_shared_release(one) != APR_SUCCESS)
            return 2;
    }
    return 0;
}

static void test_threads(void **state)
{
    enum { THREADS = 6 };
    mproc_shared_t *shared[COUNTERS];
    uint64_t sum = 0;
    (void)state;
    for (int i = 0; i < COUNTERS; i++)
        shared[i] = make_shared(i ? 8 : 100000, 1);
    assert_int_equal(run_threads(THREADS, count, shared), 0);
    for (int i = 0; i < COUNTERS; i++) {
        sum += *(uint64_t *)mproc_shared_data(shared[i]);
        assert_success(mproc_shared_close(shared[i]));
    }
    assert_int_equal(sum, (uint64_t)THREADS * (uint64_t)(10000 / slowdown()));
    expect_no_objects();
}

/* ---- Much -------------------------------------------------------------------------------------------------------- */

static void test_full(void **state)
{
    enum { MOST = 1000, SIZE = 100000 };
    mproc_shared_t *shared[MOST];
    int counts[3];
    uint64_t small = (uint64_t)1 << 20;
    (void)state;
    while (mproc_set_arena_size(small) != APR_SUCCESS)
        small += 65536;
    assert_success(mproc_set_arena_size(small + (1 << 20)));
    for (int turn = 0; turn < 3; turn++) {
        int most = 0;
        /* A lock each, so that it is the memory for the bytes that is missing, and what was taken before is left. */
        const mproc_shared_opts_t opts = {.lock = turn == 1};
        while (most < MOST && mproc_shared_create(&shared[most], SIZE, &opts) == APR_SUCCESS)
            most++;
        assert_int_equal(mproc_last_error()->status, APR_ENOMEM);
        assert_error_names("no room for 100000 bytes");
        assert_in_range(most, 3, MOST - 1);
        assert_int_equal(count_objects(), most * (1 + (turn == 1)));
        /* Small ones still fit. */
        assert_success(mproc_shared_close(make_shared(100, 0)));
        for (int i = 0; i < most; i++) {
            assert_true(are_all(mproc_shared_data(shared[i]), SIZE, 0));
            memset(mproc_shared_data(shared[i]), 0xff, SIZE);
        }
        for (int i = 0; i < most; i++)
            assert_success(mproc_shared_close(shared[i]));
        expect_no_objects();
        counts[turn] = most;
    }
    assert_int_equal(counts[0], counts[2]);
}

/** Much more than anybody touches. */
static void test_large(void **state)
{
    const size_t step = 1 << 20;
    size_t size = (size_t)1 << 30;
    mproc_shared_t *shared = NULL;
    (void)state;
    if (slowdown() > 1)
        size >>= 3;
    while (mproc_shared_create(&shared, size, NULL) == APR_ENOMEM)
        size /= 2;
    assert_true(size > 20 * step);
    for (int round = 0; round < 2; round++) {
        unsigned char *bytes = mproc_shared_data(shared);
        assert_int_equal(mproc_shared_size(shared), size);
        for (size_t i = 0; i < size; i += step) {
            assert_int_equal(bytes[i], 0);
            assert_int_equal(bytes[i + step / 2 + 77], 0);
            bytes[i] = bytes[i + step / 2 + 77] = 0xee;
        }
        assert_int_equal(bytes[size - 1], 0);
        bytes[size - 1] = 1;
        assert_success(mproc_shared_close(shared));
        expect_no_objects();
        assert_success(mproc_shared_create(&shared, size, NULL));
    }
    assert_success(mproc_shared_close(shared));
    expect_no_objects();
}

/* ---- A look at the family ---------------------------------------------------------------------------------------- */

static void test_dump(void **state)
{
    mproc_shared_t *shared, *plain;
    char line[200];
    const mproc_shared_opts_t opts = {.lock = 1, .name = "totals"};
    (void)state;
    plain = make_shared(123456, 0);
    snprintf(line, sizeof line, "shared area %llu: 123456 bytes\n", (unsigned long long)ref_of(plain).serial);
    assert_non_null(strstr(dump_family(), line));
    assert_success(mproc_shared_create(&shared, 16, &opts));
    const unsigned long long serial = (unsigned long long)ref_of(shared).serial;
    snprintf(line, sizeof line, "shared area %llu totals: 16 bytes, its lock is %llu\n", serial, serial - 1);
    assert_non_null(strstr(dump_family(), line));
    snprintf(line, sizeof line, "lock %llu totals: nobody has it\n", serial - 1);
    assert_non_null(strstr(dump_family(), line));
    assert_success(mproc_shared_acquire(shared, 0));
    snprintf(line, sizeof line, "lock %llu totals: process %d has it\n", serial - 1, mproc_getpid());
    assert_non_null(strstr(dump_family(), line));
    /* Who waits for it waits for the lock. */
    waiting_thread_t thread;
    begin_waiting(&thread, &object_kinds[OF_SHARED], shared, MPROC_FOREVER);
    await_waiting(1);
    const char *waiting = strstr(dump_family(), line);
    assert_non_null(waiting);
    assert_memory_equal(waiting + strlen(line), "  process ", 10);
    assert_success(mproc_shared_close(shared));
    assert_int_equal(end_waiting(&thread), MPROC_ECLOSED);
    assert_success(mproc_shared_close(plain));
    expect_no_objects();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),        cmocka_unit_test(test_neighbours), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_without_lock), cmocka_unit_test(test_lock),       cmocka_unit_test(test_threads),
        cmocka_unit_test(test_full),         cmocka_unit_test(test_large),      cmocka_unit_test(test_dump),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
