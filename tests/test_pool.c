/* SPDX-License-Identifier: Apache-2.0 */
/* What of pools needs no start method: words and rings, refusals, programs of other versions, many workers, names. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pool_object.h"
#include "support/harness.h"
#include "support/objects.h"
#include "support/pools.h"
#include "support/support.h"

static void test_words(void **state)
{
    (void)state;
    static const uint32_t counts[] = {1, 2, 1000, UNIT_COUNT_MAX};
    static const unsigned workers[] = {0, 1, 63, 64, MPROC_POOL_WORKERS_MAX - 1, POOL_OWNER};
    for (uint32_t kind = UNIT_FREE; kind <= UNIT_TAKEN; kind++) {
        for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
            for (size_t k = 0; k < sizeof workers / sizeof workers[0]; k++) {
                const uint32_t word = unit_word(kind, workers[k], counts[i]);
                assert_int_equal(unit_kind(word), kind);
                assert_int_equal(unit_worker(word), workers[k]);
                assert_int_equal(unit_count(word), counts[i]);
            }
        }
    }
    assert_true(MPROC_POOL_WORKERS_MAX <= POOL_OWNER);
    const uint64_t generation = (uint64_t)77 << RECORD_GENERATION_SHIFT;
    const uint64_t claimed =
        generation | (uint64_t)3999 << RECORD_WORKER_SHIFT | RECORD_IS_AWAITED | RECORD_IS_LISTED | RECORD_CLAIMED;
    assert_int_equal(record_kind(claimed), RECORD_CLAIMED);
    assert_int_equal(record_worker(claimed), 3999);
    assert_int_equal(record_become(claimed, RECORD_ENDED),
                     generation | RECORD_IS_AWAITED | RECORD_IS_LISTED | RECORD_ENDED);
}

static int double_number(mproc_task_t *task, const void *in, void *out, size_t count)
{
    (void)task;
    for (size_t i = 0; i < count; i++)
        ((uint32_t *)out)[i] = 2 * ((const uint32_t *)in)[i];
    return 0;
}

/* ---- Bad input --------------------------------------------------------------------------------------------------- */

static const char create_call[] = "mproc_pool_create";

static int begin_worker(mproc_task_t *task)
{
    return task ? 0 : 1;
}

static void refuse_to_create(const mproc_pool_opts_t *opts, apr_status_t status, const char *who, const char *why)
{
    mproc_pool_t *pool = (mproc_pool_t *)&pool;
    assert_refused(mproc_pool_create(&pool, opts), status, who, why);
    assert_null(pool);
}

static void test_bad_options(void **state)
{
    mproc_pool_t *other;
    int data = 5;
    mproc_initializer_fn_t outside;
    mproc_pool_opts_t opts = pool_options(1);
    (void)state;
    mproc_pool_t *pool = make_pool(opts);
    const belongings_t before = belongings_of(pool);
    assert_refused(mproc_pool_create(NULL, &opts), APR_EINVAL, create_call, "it is NULL");
    opts.workers = MPROC_POOL_WORKERS_MAX + 1;
    refuse_to_create(&opts, APR_EINVAL, create_call, "4001 workers, but 4000 is the most");
    opts.workers = (unsigned)-1;
    refuse_to_create(&opts, APR_EINVAL, create_call, "4294967295 workers");
    opts = pool_options(1);
    opts.data = &data;
    refuse_to_create(&opts, APR_EINVAL, create_call, "data is set, but its size is 0");
    opts.size = SIZE_MAX;
    /* A sanitizer ends a program that asks for so much. */
    if (slowdown() == 1)
        refuse_to_create(&opts, APR_ENOMEM, create_call, "no memory");
    opts.data = NULL;
    opts.size = 4;
    refuse_to_create(&opts, APR_EINVAL, create_call, "data is NULL, but its size is 4");
    opts = pool_options(1);
    opts.start_method = (mproc_start_method_t)99;
    refuse_to_create(&opts, APR_EINVAL, "99", "method");
    opts = pool_options(1);
    opts.name = "";
    refuse_to_create(&opts, APR_EINVAL, create_call, "1 to 64 bytes");
    opts = pool_options(1);
    opts.share[0] = &data;
    refuse_to_create(&opts, MPROC_ECLOSED, "mproc_ref", "no open object");
    opts = pool_options(1);
    opts.start_method = MPROC_THREAD;
    opts.max_memory = 1;
    refuse_to_create(&opts, APR_ENOTIMPL, create_call, "a thread has no memory of its own");
    opts = pool_options(1);
    assert_refused(mproc_pool_create_sized(&other, &opts, sizeof opts + 1), MPROC_EBUILD, create_call,
                   "later libmproc");
    mproc_task_fn_t code = code_of_no_module();
    memcpy(&outside, &code, sizeof outside);
    opts.initializer = outside;
    refuse_to_create(&opts, MPROC_ETARGET, "the target", "no module");
    opts.initializer = begin_worker;
    memcpy(&opts.finalizer, &outside, sizeof outside);
    refuse_to_create(&opts, MPROC_ETARGET, "the target", "no module");
    expect_unharmed(pool, &before);
    end_pool(pool);
}

/** Without a fork there are methods that a system lacks. */
static void test_missing_method(void **state)
{
    mproc_pool_opts_t opts = pool_options(1);
    (void)state;
    opts.start_method = MPROC_FORK;
    if (has_fork())
        end_pool(make_pool(opts));
    else
        refuse_to_create(&opts, APR_ENOTIMPL, "fork", "");
    expect_no_objects();
}

/** A map that is refused, by a pool that is as good afterwards, and tells each item so. */
static void refuse_to_map(mproc_pool_t *pool, mproc_slice_fn_t function, mproc_map_opts_t opts, apr_status_t status,
                          const char *who, const char *why)
{
    uint32_t numbers[4] = {1, 2, 3, 4};
    apr_status_t statuses[4];
    mproc_task_error_t error;
    memset(&error, 1, sizeof error);
    opts.statuses = statuses;
    opts.error = &error;
    assert_refused(mproc_pool_map(pool, function, numbers, 4, numbers, 4, 4, &opts), status, who, why);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(statuses[i], status);
        assert_int_equal(numbers[i], i + 1);
    }
    assert_int_equal(error.status, status);
    assert_int_equal(error.index, 0);
    assert_int_equal(error.tries, 0);
    assert_true(strncmp(mproc_last_error()->text, error.text, strlen(error.text)) == 0 && error.text[0]);
}

static void test_bad_maps(void **state)
{
    static const char who[] = "mproc_pool_map";
    mproc_map_opts_t none = {0};
    uint32_t numbers[4] = {0};
    mproc_pool_t *pool = make_pool(pool_options(1));
    (void)state;
    assert_success(mproc_pool_map(pool, double_number, numbers, 4, numbers, 4, 4, NULL));
    const belongings_t before = belongings_of(pool);
    refuse_to_map(NULL, double_number, none, APR_EINVAL, who, "the pool is NULL");
    refuse_to_map((mproc_pool_t *)numbers, double_number, none, MPROC_ECLOSED, who, "not an open pool");
    refuse_to_map(pool, NULL, none, APR_EINVAL, who, "the function is NULL");
    refuse_to_map(pool, slice_of_no_module(), none, MPROC_ETARGET, "the target", "no module");
    refuse_to_map(pool, double_number, (mproc_map_opts_t){.shared = numbers}, APR_EINVAL, who, "shared is set");
    refuse_to_map(pool, double_number, (mproc_map_opts_t){.shared_size = 3}, APR_EINVAL, who, "shared is NULL");
    refuse_to_map(pool, double_number, (mproc_map_opts_t){.timeout = 1000000}, APR_EINVAL, who, "it needs a chunk");
    assert_refused(mproc_pool_map_sized(pool, double_number, numbers, 4, numbers, 4, 4, &none, sizeof none + 1),
                   MPROC_EBUILD, who, "later libmproc");
    expect_unharmed(pool, &before);
    end_pool(pool);
}

/** What is for ever everywhere else is so for maps, too. */
static void test_times_without_end(void **state)
{
    static const apr_interval_time_t times[] = {MPROC_FOREVER, INT64_MIN, INT64_MAX};
    uint32_t numbers[4] = {0};
    mproc_pool_t *pool = make_pool(pool_options(1));
    (void)state;
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        const mproc_map_opts_t opts = {.timeout = times[i], .total_timeout = times[i], .chunk = 3};
        assert_success(mproc_pool_map(pool, double_number, numbers, 4, numbers, 4, 4, &opts));
    }
    end_pool(pool);
}

/** An array without items that have a size, and the other way round; more than there can be. */
static void test_bad_arrays(void **state)
{
    static const char who[] = "mproc_pool_map";
    static const char why[] = "an array is NULL and its items have a size, or the other way round";
    static const size_t shared_sizes[] = {SIZE_MAX, SIZE_MAX - 63, SIZE_MAX - 64, SIZE_MAX / 2 + 1};
    uint32_t x[4] = {0};
    mproc_pool_t *pool = make_pool(pool_options(1));
    (void)state;
    assert_success(mproc_pool_map(pool, double_number, x, 4, x, 4, 4, NULL));
    const belongings_t before = belongings_of(pool);
    assert_refused(mproc_pool_map(pool, double_number, x, 0, x, 4, 4, NULL), APR_EINVAL, who, why);
    assert_refused(mproc_pool_map(pool, double_number, NULL, 4, x, 4, 4, NULL), APR_EINVAL, who, why);
    assert_refused(mproc_pool_map(pool, double_number, x, 4, x, 0, 4, NULL), APR_EINVAL, who, why);
    assert_refused(mproc_pool_map(pool, double_number, x, 4, NULL, 4, 4, NULL), APR_EINVAL, who, why);
    /* Also of nothing. */
    assert_refused(mproc_pool_map(pool, NULL, x, 4, x, 4, 0, NULL), APR_EINVAL, who, "the function is NULL");
    assert_refused(mproc_pool_map(pool, double_number, x, 4, NULL, 4, 0, NULL), APR_EINVAL, who, why);
    assert_refused(mproc_pool_map(pool, double_number, x, 4, x, 4, SIZE_MAX, NULL), MPROC_ESIZE, who, "can address");
    assert_refused(mproc_pool_map(pool, double_number, x, 4, x, 4, SIZE_MAX / 4, NULL), MPROC_ESIZE, who,
                   "can address");
    assert_refused(mproc_pool_map(pool, double_number, x, SIZE_MAX, x, 4, 4, NULL), MPROC_ESIZE, who, "can address");
    assert_refused(mproc_pool_map(pool, double_number, x, SIZE_MAX, x, SIZE_MAX, 1, NULL), MPROC_ESIZE, who,
                   "can address");
    if (sizeof(size_t) > 4)
        assert_refused(mproc_pool_map(pool, double_number, NULL, 0, NULL, 0, SIZE_MAX, &(mproc_map_opts_t){.chunk = 1}),
                       MPROC_ESIZE, who, "can address");
    /* The sizes are not to wrap around. */
    for (size_t i = 0; i < sizeof shared_sizes / sizeof shared_sizes[0]; i++)
        refuse_to_map(pool, double_number, (mproc_map_opts_t){.shared = x, .shared_size = shared_sizes[i]}, MPROC_ESIZE,
                      who, "can address");
    expect_unharmed(pool, &before);
    end_pool(pool);
}

static void test_threads_have_no_timeouts(void **state)
{
    uint32_t numbers[4] = {0};
    mproc_pool_opts_t opts = pool_options(1);
    (void)state;
    opts.start_method = MPROC_THREAD;
    mproc_pool_t *pool = make_pool(opts);
    assert_success(mproc_pool_map(pool, double_number, numbers, 4, numbers, 4, 4, NULL));
    const belongings_t before = belongings_of(pool);
    refuse_to_map(pool, double_number, (mproc_map_opts_t){.timeout = 1000000, .chunk = 1}, APR_ENOTIMPL,
                  "mproc_pool_map", "a task of a thread cannot be ended");
    expect_unharmed(pool, &before);
    end_pool(pool);
}

/** What no open pool is. */
static void refuse_everywhere(mproc_pool_t *bad, apr_status_t status, const char *why)
{
    mproc_pool_info_t info;
    assert_refused(mproc_pool_info(bad, &info), status, "mproc_pool_info", why);
    assert_refused(mproc_pool_shutdown(bad), status, "mproc_pool_shutdown", why);
    assert_refused(mproc_pool_join(bad, 0), status, "mproc_pool_join", why);
    assert_refused(mproc_pool_terminate(bad, 0), status, "mproc_pool_terminate", why);
    assert_int_equal(mproc_pool_worker_pid(bad, 0), 0);
    assert_int_equal(mproc_last_error()->status, status);
    assert_error_names("mproc_pool_worker_pid");
    assert_error_names(why);
    if (!bad)
        return;
    assert_refused(mproc_pool_finish(bad), status, "mproc_pool_finish", why);
    assert_refused(mproc_pool_close(bad), status, "mproc_pool_close", why);
}

static void test_bad_pools(void **state)
{
    mproc_pool_info_t info;
    mproc_future_t *future;
    mproc_pool_t *pool = make_pool(pool_options(1));
    const belongings_t before = belongings_of(pool);
    (void)state;
    refuse_everywhere(NULL, APR_EINVAL, "the pool is NULL");
    assert_success(mproc_pool_finish(NULL));
    assert_success(mproc_pool_close(NULL));
    refuse_everywhere((mproc_pool_t *)&info, MPROC_ECLOSED, "not an open pool");
    assert_success(mproc_pool_submit(pool, &future, echo, NULL, 0, NULL));
    refuse_everywhere((mproc_pool_t *)future, MPROC_ECLOSED, "not an open pool");
    assert_success(mproc_future_close(future));
    assert_refused(mproc_pool_info(pool, NULL), APR_EINVAL, "mproc_pool_info", "it is NULL");
    assert_refused(mproc_pool_info_sized(pool, &info, sizeof info + 1), MPROC_EBUILD, "mproc_pool_info",
                   "later libmproc");
    assert_int_equal(mproc_pool_worker_pid(pool, 1), 0);
    assert_int_equal(mproc_last_error()->status, APR_SUCCESS);
    assert_int_equal(mproc_pool_worker_pid(pool, (unsigned)-1), 0);
    assert_refused(mproc_pool_join(pool, 0), MPROC_ESTATE, "mproc_pool_join", "neither shut down nor terminated");
    assert_refused(mproc_pool_close(pool), MPROC_ESTATE, "mproc_pool_close", "was not joined");
    expect_unharmed(pool, &before);
    end_pool(pool);
    refuse_everywhere(pool, MPROC_ECLOSED, "not an open pool");
}

/* ---- Who may not ------------------------------------------------------------------------------------------------- */

static mproc_pool_t *inherited_pool;

/** Try all calls with what the creator has: how many were not refused. */
static int use_inherited(mproc_call_t *call)
{
    mproc_pool_t *pool = inherited_pool;
    mproc_pool_info_t info;
    int wrong = 0;
    (void)call;
    wrong += mproc_pool_info(pool, &info) != MPROC_EFOREIGN;
    wrong += !strstr(mproc_last_error()->text, "mproc_pool_info: the pool belongs to the process that this one was");
    wrong += mproc_pool_map(pool, double_number, NULL, 0, NULL, 0, 1, NULL) != MPROC_EFOREIGN;
    wrong += mproc_pool_shutdown(pool) != MPROC_EFOREIGN;
    wrong += mproc_pool_join(pool, 0) != MPROC_EFOREIGN;
    wrong += mproc_pool_terminate(pool, 0) != MPROC_EFOREIGN;
    wrong += mproc_pool_close(pool) != MPROC_EFOREIGN;
    wrong += mproc_pool_finish(pool) != MPROC_EFOREIGN;
    wrong += mproc_pool_worker_pid(pool, 0) != 0 || mproc_last_error()->status != MPROC_EFOREIGN;
    return wrong;
}

static void test_inherited_by_fork(void **state)
{
    (void)state;
    if (!has_fork())
        skip_because("there is no fork here");
    inherited_pool = make_pool(pool_options(2));
    const belongings_t before = belongings_of(inherited_pool);
    assert_int_equal(finish(start(use_inherited, (mproc_process_opts_t){.start_method = MPROC_FORK})), 0);
    expect_unharmed(inherited_pool, &before);
    end_pool(inherited_pool);
}

/* ---- Versions, names, numbers ------------------------------------------------------------------------------------ */

/** Programs that were built for an earlier version know fewer options, and less of what is told. */
static void test_older_programs(void **state)
{
    enum { COUNT = 100 };
    uint32_t numbers[COUNT];
    mproc_pool_t *pool;
    mproc_future_t *future;
    mproc_stream_t *stream;
    mproc_pool_opts_t opts = pool_options(2);
    mproc_pool_info_t info;
    char out[4];
    (void)state;
    memset((char *)&opts + offsetof(mproc_pool_opts_t, initializer), 0xee,
           sizeof opts - offsetof(mproc_pool_opts_t, initializer));
    assert_success(mproc_pool_create_sized(&pool, &opts, offsetof(mproc_pool_opts_t, initializer)));
    memset(&info, 0xee, sizeof info);
    assert_success(mproc_pool_info_sized(pool, &info, offsetof(mproc_pool_info_t, ready)));
    assert_int_equal(info.workers, 2);
    assert_int_equal(info.ready, 0xeeeeeeee);
    for (uint32_t i = 0; i < COUNT; i++)
        numbers[i] = i;
    mproc_map_opts_t map_opts;
    memset(&map_opts, 0xee, sizeof map_opts);
    assert_success(mproc_pool_map_sized(pool, double_number, numbers, 4, numbers, 4, COUNT, &map_opts, 0));
    assert_int_equal(numbers[99], 198);
    mproc_submit_opts_t submit_opts;
    memset(&submit_opts, 0xee, sizeof submit_opts);
    submit_opts.timeout = 0;
    assert_success(mproc_pool_submit_sized(pool, &future, echo, "abc", 4, &submit_opts, sizeof submit_opts.timeout));
    assert_success(mproc_future_close(future));
    mproc_apply_opts_t apply_opts;
    memset(&apply_opts, 0xee, sizeof apply_opts);
    assert_success(mproc_pool_apply_sized(pool, echo, out, 4, NULL, "abc", 4, &apply_opts, 0));
    mproc_stream_opts_t stream_opts;
    memset(&stream_opts, 0xee, sizeof stream_opts);
    assert_success(
        mproc_pool_stream_sized(pool, &stream, echo, (mproc_input_fn_t)(void (*)(void))abort, NULL, &stream_opts, 0));
    assert_success(mproc_stream_close(stream));
    end_pool(pool);
}

static void test_names(void **state)
{
    char name[70];
    (void)state;
    mproc_pool_t *first = make_pool(pool_options(1));
    mproc_pool_opts_t opts = pool_options(2);
    opts.name = "Painters";
    mproc_pool_t *second = make_pool(opts);
    await_ready(first, 1);
    await_ready(second, 2);
    assert_non_null(strstr(dump_family(), "Pool-1: 1 workers"));
    assert_non_null(strstr(dump_family(), "Painters: 2 workers"));
    if (method_under_test() != MPROC_THREAD) {
        assert_non_null(strstr(dump_family(), "Painters-1"));
        assert_non_null(strstr(dump_family(), "Pool-1-0"));
    }
    assert_success(mproc_pool_shutdown(second));
    assert_failure(mproc_pool_submit(second, NULL, echo, NULL, 0, NULL), MPROC_ESTATE);
    assert_error_names("Painters");
    assert_success(mproc_pool_finish(second));
    memset(name, 'n', sizeof name);
    name[64] = '\0';
    opts.name = name;
    second = make_pool(opts);
    assert_success(mproc_pool_finish(second));
    name[64] = 'n';
    name[65] = '\0';
    assert_failure(mproc_pool_create(&second, &opts), APR_EINVAL);
    end_pool(first);
}

/** More than one wait of Windows' can be for. */
static void test_many_workers(void **state)
{
    enum { MANY = 100, COUNT = 5000 };
    static uint32_t numbers[COUNT];
    mproc_pool_t *pool = make_pool(pool_options(MANY));
    (void)state;
    await_ready(pool, MANY);
    for (int round = 0; round < 5; round++) {
        for (uint32_t i = 0; i < COUNT; i++)
            numbers[i] = i;
        assert_success(
            mproc_pool_map(pool, double_number, numbers, 4, numbers, 4, COUNT, &(mproc_map_opts_t){.chunk = 1}));
        for (uint32_t i = 0; i < COUNT; i++)
            assert_int_equal(numbers[i], 2 * i);
        /* Deaths of the last ones are seen as those of the first ones are. */
        const unsigned victim = (unsigned)(MANY - 1 - round * 20);
        const int pid = mproc_pool_worker_pid(pool, victim);
        if (pid)
            kill_by_pid(pid);
        const apr_time_t end = apr_time_now() + patience();
        while (pid && (mproc_pool_worker_pid(pool, victim) == pid || mproc_pool_worker_pid(pool, victim) == 0)) {
            assert_true(apr_time_now() < end);
            apr_sleep(1000);
        }
    }
    end_pool(pool);
}

/** Several pools in one process, which end in another order than they began. */
static void test_several_pools(void **state)
{
    enum { POOLS = 8 };
    mproc_pool_t *pools[POOLS];
    char out[4];
    (void)state;
    for (int i = 0; i < POOLS; i++)
        pools[i] = make_pool(pool_options(2));
    for (int i = 0; i < POOLS; i++)
        assert_success(mproc_pool_apply(pools[i * 3 % POOLS], echo, out, 4, NULL, "abc", 4, NULL));
    for (int i = 0; i < POOLS; i++)
        assert_success(mproc_pool_finish(pools[i * 5 % POOLS]));
    expect_no_objects();
}

static void finish_it(void *pool)
{
    mproc_pool_finish(pool);
}

/** Several threads end the same pool in all ways. */
static void test_ended_by_several(void **state)
{
    (void)state;
    for (int i = 0; i < 30; i++) {
        later_t later[3];
        mproc_pool_t *pool = make_pool(pool_options(2));
        for (int k = 0; k < 3; k++)
            begin_later(&later[k], 0, finish_it, pool);
        if (i % 2)
            mproc_pool_terminate(pool, i % 4 == 1 ? 0 : 1000);
        for (int k = 0; k < 3; k++)
            end_later(&later[k]);
        assert_failure(mproc_pool_finish(pool), MPROC_ECLOSED);
        expect_no_objects();
    }
}

static void wait_for_future(void *context)
{
    mproc_future_t *futures[1] = {context};
    assert_success(mproc_futures_wait(futures, 1, MPROC_UNTIL_ALL, patience()));
}

/**
 * A worker that is to look for what comes was stopped before it did, so nobody was woken: others do it all the same.
 * Each way to wait has to see to that.
 */
static void test_worker_that_looks_is_stopped(void **state)
{
    uint32_t numbers[4] = {1, 2, 3, 4};
    char out[4];
    pool_t *inner;
    mproc_future_t *future;
    (void)state;
    mproc_pool_t *pool = make_pool(pool_options(2));
    await_ready(pool, 2);
    assert_success(pool_acquire(&inner, pool, ""));
    for (int i = 0; i < 3; i++) {
        const apr_time_t begin = apr_time_now();
        /* Both have fallen asleep by then; no worker has this number. */
        apr_sleep(50000);
        shm_store(&inner->head->looker, 3);
        if (i == 0)
            assert_success(mproc_pool_apply(pool, echo, out, 4, NULL, "abc", 4, NULL));
        if (i == 1)
            assert_success(mproc_pool_map(pool, double_number, numbers, 4, numbers, 4, 4, NULL));
        if (i == 2) {
            assert_success(mproc_pool_submit(pool, &future, echo, "abc", 4, NULL));
            wait_for_future(future);
            assert_success(mproc_future_close(future));
        }
        expect_soon(begin);
        shm_store(&inner->head->looker, 0);
    }
    pool_release(inner);
    end_pool(pool);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_bad_options),
        cmocka_unit_test(test_missing_method),
        cmocka_unit_test(test_bad_maps),
        cmocka_unit_test(test_times_without_end),
        cmocka_unit_test(test_bad_arrays),
        cmocka_unit_test(test_threads_have_no_timeouts),
        cmocka_unit_test(test_bad_pools),
        cmocka_unit_test(test_inherited_by_fork),
        cmocka_unit_test(test_older_programs),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_many_workers),
        cmocka_unit_test(test_several_pools),
        cmocka_unit_test(test_ended_by_several),
        cmocka_unit_test(test_worker_that_looks_is_stopped),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
