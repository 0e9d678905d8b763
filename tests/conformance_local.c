/* SPDX-License-Identifier: Apache-2.0 */
/* Values of threads in children, under every start method. What they count lies in shared data. */
#include <stdatomic.h>
#include <stdlib.h>

#include "support/harness.h"
#include "support/messages.h"
#include "support/support.h"

typedef struct counts_t {
    _Atomic int destroyed;
    _Atomic int wrong;
    _Atomic int ready;
    _Atomic int stop;
} counts_t;

static mproc_shared_t *make_counts(counts_t **counts)
{
    mproc_shared_t *shared;
    assert_success(mproc_shared_create(&shared, sizeof(counts_t), NULL));
    *counts = mproc_shared_data(shared);
    return shared;
}

static void count(void *value)
{
    counts_t *counts = value;
    atomic_fetch_add(&counts->destroyed, 1);
}

static counts_t *counts_of(mproc_call_t *call)
{
    return mproc_shared_data(mproc_call_shared(call, 0));
}

/* ---- When a target returns --------------------------------------------------------------------------------------- */

static int set_some(mproc_call_t *call)
{
    mproc_local_t *locals[5];
    for (int i = 0; i < 5; i++)
        if (mproc_local_create(&locals[i], i < 3 ? count : NULL, NULL) != APR_SUCCESS ||
            mproc_local_get(locals[i]) != NULL || mproc_local_set(locals[i], counts_of(call)) != APR_SUCCESS ||
            mproc_local_get(locals[i]) != counts_of(call))
            return 1;
    return mproc_local_set(locals[0], NULL) == APR_SUCCESS ? 7 : 2;
}

/** They are destroyed by the time that the process has ended, and not later. */
static void test_target_returns(void **state)
{
    counts_t *counts;
    mproc_process_opts_t opts = method_options();
    (void)state;
    mproc_shared_t *shared = make_counts(&counts);
    opts.share[0] = shared;
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(finish(start(set_some, opts)), 7);
        assert_int_equal(atomic_load(&counts->destroyed), 2 * i);
    }
    assert_success(mproc_shared_close(shared));
}

static void set_in_thread(void *context)
{
    mproc_local_t *const *local = context;
    counts_t *counts = mproc_local_get(*local);
    if (counts || mproc_local_set(*local, (void *)context) != APR_SUCCESS)
        abort();
    mproc_local_set(*local, NULL);
}

/** Threads of the child's own; and it leaves by exit(), which is no return. */
static int set_and_exit(mproc_call_t *call)
{
    mproc_local_t *local;
    later_t later;
    if (mproc_local_create(&local, count, NULL) != APR_SUCCESS ||
        mproc_local_set(local, counts_of(call)) != APR_SUCCESS)
        return 1;
    begin_later(&later, 0, set_in_thread, &local);
    end_later(&later);
    exit(6);
}

static void test_target_exits(void **state)
{
    counts_t *counts;
    mproc_process_opts_t opts = method_options();
    (void)state;
    skip_under(MPROC_THREAD, "exit ends the whole program");
    mproc_shared_t *shared = make_counts(&counts);
    opts.share[0] = shared;
    assert_int_equal(finish(start(set_and_exit, opts)), 6);
    assert_int_equal(atomic_load(&counts->destroyed), 0);
    assert_success(mproc_shared_close(shared));
}

/* ---- What a forked child has of its creator's -------------------------------------------------------------------- */

static mproc_local_t *kept, *replaced, *closed;

/** A thread of the creator's that has a value. */
static void have_value(void *context)
{
    counts_t *counts = context;
    if (mproc_local_set(closed, counts) != APR_SUCCESS)
        abort();
    atomic_store(&counts->ready, 1);
    while (!atomic_load(&counts->stop))
        apr_sleep(1000);
}

static int use_inherited(mproc_call_t *call)
{
    counts_t *counts = counts_of(call);
    if (mproc_local_get(kept) != counts || mproc_local_get(replaced) != counts || mproc_local_get(closed) != counts)
        return 1;
    /* Of the two values just this thread's own is here. */
    if (mproc_local_close(closed) != APR_SUCCESS || atomic_load(&counts->destroyed) != 1)
        return 2;
    if (mproc_local_set(replaced, counts) != APR_SUCCESS)
        return 3;
    return 9;
}

static void test_inherited(void **state)
{
    counts_t *counts;
    later_t later;
    mproc_process_opts_t opts = method_options();
    (void)state;
    if (method_under_test() != MPROC_FORK)
        skip_because("only a forked child has its creator's values");
    mproc_shared_t *shared = make_counts(&counts);
    opts.share[0] = shared;
    assert_success(mproc_local_create(&kept, count, NULL));
    assert_success(mproc_local_create(&replaced, count, NULL));
    assert_success(mproc_local_create(&closed, count, NULL));
    assert_success(mproc_local_set(kept, counts));
    assert_success(mproc_local_set(replaced, counts));
    assert_success(mproc_local_set(closed, counts));
    begin_later(&later, 0, have_value, counts);
    while (!atomic_load(&counts->ready))
        apr_sleep(1000);
    assert_int_equal(finish(start(use_inherited, opts)), 9);
    /* The one that it has closed, and the one that it has set. */
    assert_int_equal(atomic_load(&counts->destroyed), 2);
    assert_ptr_equal(mproc_local_get(closed), counts);
    atomic_store(&counts->stop, 1);
    end_later(&later);
    assert_int_equal(atomic_load(&counts->destroyed), 3);
    assert_success(mproc_local_close(kept));
    assert_success(mproc_local_close(replaced));
    assert_success(mproc_local_close(closed));
    assert_int_equal(atomic_load(&counts->destroyed), 6);
    assert_success(mproc_shared_close(shared));
}

/** A thread of the creator's that sets a value all the time. */
static void set_all_the_time(void *context)
{
    counts_t *counts = context;
    do {
        if (mproc_local_set(closed, counts) != APR_SUCCESS)
            abort();
        atomic_store(&counts->ready, 1);
    } while (!atomic_load(&counts->stop));
}

static int close_inherited(mproc_call_t *call)
{
    return call && mproc_local_close(closed) == APR_SUCCESS ? 0 : 1;
}

/** A thread that was setting a value is not in the child, which does not wait for it to be done. */
static void test_inherited_while_set(void **state)
{
    counts_t *counts;
    later_t later;
    mproc_process_opts_t opts = method_options();
    (void)state;
    if (method_under_test() != MPROC_FORK)
        skip_because("only a forked child has its creator's values");
    mproc_shared_t *shared = make_counts(&counts);
    assert_success(mproc_local_create(&closed, NULL, NULL));
    begin_later(&later, 0, set_all_the_time, counts);
    while (!atomic_load(&counts->ready))
        apr_sleep(1000);
    for (int i = 0; i < 30; i++)
        assert_int_equal(finish(start(close_inherited, opts)), 0);
    atomic_store(&counts->stop, 1);
    end_later(&later);
    assert_success(mproc_local_close(closed));
    assert_success(mproc_shared_close(shared));
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_target_returns),
        cmocka_unit_test(test_target_exits),
        cmocka_unit_test(test_inherited),
        cmocka_unit_test(test_inherited_while_set),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
