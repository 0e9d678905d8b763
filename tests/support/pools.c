/* SPDX-License-Identifier: Apache-2.0 */
#include "pools.h"

#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "objects.h"
#include "support.h"

board_t *board;
static mproc_shared_t *board_handle;

void make_board(void)
{
    assert_success(mproc_shared_create(&board_handle, sizeof *board, NULL));
    board = mproc_shared_data(board_handle);
    assert_non_null(board);
}

void close_board(void)
{
    if (board)
        assert_success(mproc_shared_close(board_handle));
    board = NULL;
}

board_t *board_of(mproc_task_t *task)
{
    return mproc_shared_data(mproc_call_shared(mproc_task_call(task), 0));
}

mproc_pool_opts_t pool_options(unsigned workers)
{
    mproc_pool_opts_t opts;
    memset(&opts, 0, sizeof opts);
    opts.workers = workers;
    opts.start_method = method_under_test();
    opts.share[0] = board ? board_handle : NULL;
    return opts;
}

mproc_pool_t *make_pool(mproc_pool_opts_t opts)
{
    mproc_pool_t *pool = NULL;
    if (opts.start_method != MPROC_THREAD && getenv("MPROC_TEST_NO_PROCESSES"))
        skip_because("processes cannot be started here");
    assert_success(mproc_pool_create(&pool, &opts));
    assert_non_null(pool);
    return pool;
}

mproc_pool_info_t info_of(mproc_pool_t *pool)
{
    mproc_pool_info_t info;
    assert_success(mproc_pool_info(pool, &info));
    return info;
}

void end_pool(mproc_pool_t *pool)
{
    assert_success(mproc_pool_finish(pool));
    close_board();
    expect_no_objects();
}

static belongings_t count_belongings(void)
{
    mproc_family_info_t info;
    assert_success(mproc_family_info(&info));
    return (belongings_t){count_descriptors(), info.objects, info.used};
}

static void expect_echo(mproc_pool_t *pool)
{
    char out[4] = "";
    assert_success(mproc_pool_apply(pool, echo, out, sizeof out, NULL, "abc", 4, NULL));
    assert_string_equal(out, "abc");
}

static int are_same(const belongings_t *one, const belongings_t *other)
{
    return one->objects == other->objects && one->used == other->used;
}

belongings_t belongings_of(mproc_pool_t *pool)
{
    await_ready(pool, info_of(pool).workers);
    expect_echo(pool);
    /* The pool's own thread may have a file open just now, or something to free. */
    belongings_t last = count_belongings();
    for (int same = 0; same < 10;) {
        apr_sleep(1000);
        const belongings_t now = count_belongings();
        same = are_same(&now, &last) && now.descriptors == last.descriptors ? same + 1 : 0;
        last = now;
    }
    return last;
}

void expect_unharmed(mproc_pool_t *pool, const belongings_t *before)
{
    const apr_time_t end = apr_time_now() + patience();
    expect_echo(pool);
    /* What its own thread frees may come a moment later. */
    belongings_t now = count_belongings();
    while (!are_same(&now, before) && apr_time_now() < end) {
        apr_sleep(1000);
        now = count_belongings();
    }
    assert_int_equal(now.objects, before->objects);
    assert_int_equal(now.used, before->used);
    if (before->descriptors >= 0)
        expect_descriptors(before->descriptors);
}

/** As code that is made at run time would lie. */
static void *heap_address(void)
{
    static void *address;
    if (!address)
        address = malloc(64);
    return address;
}

mproc_task_fn_t code_of_no_module(void)
{
    mproc_task_fn_t function;
    void *const address = heap_address();
    memcpy(&function, &address, sizeof function);
    return function;
}

mproc_slice_fn_t slice_of_no_module(void)
{
    mproc_slice_fn_t function;
    void *const address = heap_address();
    memcpy(&function, &address, sizeof function);
    return function;
}

void await_note(_Atomic uint32_t *note, uint32_t least)
{
    const apr_time_t end = apr_time_now() + patience();
    while (atomic_load(note) < least) {
        if (apr_time_now() > end)
            fail_msg("it is %u, not %u", (unsigned)atomic_load(note), (unsigned)least);
        apr_sleep(500);
    }
}

void await_ready(mproc_pool_t *pool, unsigned count)
{
    const apr_time_t end = apr_time_now() + patience();
    while (info_of(pool).ready != count) {
        if (apr_time_now() > end)
            fail_msg("%u workers are ready, not %u", info_of(pool).ready, count);
        apr_sleep(1000);
    }
}

int wait_at_gate(mproc_task_t *task)
{
    board_t *own = board_of(task);
    atomic_fetch_add(&own->begun, 1);
    while (!atomic_load(&own->gate) && !mproc_task_is_cancelled(task))
        apr_sleep(500);
    return atomic_load(&own->gate) != 0;
}

int echo_at_gate(mproc_task_t *task, const void *in, size_t size)
{
    return wait_at_gate(task) && mproc_task_set_result(task, in, size) == APR_SUCCESS ? 0 : 1;
}

int echo(mproc_task_t *task, const void *in, size_t size)
{
    return mproc_task_set_result(task, in, size) == APR_SUCCESS ? 0 : 1;
}
