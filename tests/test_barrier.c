/* SPDX-License-Identifier: Apache-2.0 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "support/harness.h"
#include "support/objects.h"
#include "support/support.h"

static mproc_barrier_t *make_barrier(unsigned parties)
{
    mproc_barrier_t *barrier;
    assert_success(mproc_barrier_create(&barrier, parties, NULL));
    assert_int_equal(mproc_barrier_parties(barrier), parties);
    assert_int_equal(mproc_last_error()->status, APR_SUCCESS);
    return barrier;
}

/** Wait until so many have come. */
static void await_come(mproc_barrier_t *barrier, unsigned count)
{
    const apr_time_t end = apr_time_now() + patience();
    while (mproc_barrier_waiting(barrier) != count && apr_time_now() < end)
        apr_sleep(500);
    assert_int_equal(mproc_barrier_waiting(barrier), count);
}

/** A thread that comes. */
typedef struct party_t {
    mproc_barrier_t *barrier;
    apr_interval_time_t timeout;
    int (*action)(void *context);
    void *context;
    unsigned index;
    apr_status_t status;
    later_t later;
} party_t;

static void come(void *context)
{
    party_t *party = context;
    party->status =
        mproc_barrier_wait_with(party->barrier, &party->index, party->action, party->context, party->timeout);
}

static void begin_party(party_t *party, mproc_barrier_t *barrier, apr_interval_time_t timeout)
{
    *party = (party_t){.barrier = barrier, .timeout = timeout, .status = -1, .index = 999};
    begin_later(&party->later, 0, come, party);
}

static apr_status_t end_party(party_t *party)
{
    end_later(&party->later);
    return party->status;
}

static void test_indices(void **state)
{
    enum { OTHERS = 6 };
    party_t parties[OTHERS];
    unsigned index;
    (void)state;
    mproc_barrier_t *barrier = make_barrier(OTHERS + 1);
    for (int turn = 0; turn < 3; turn++) {
        for (unsigned i = 0; i < OTHERS; i++) {
            begin_party(&parties[i], barrier, i % 2 ? MPROC_FOREVER : INT64_MAX);
            await_come(barrier, i + 1);
        }
        assert_int_equal(mproc_barrier_is_broken(barrier), 0);
        assert_success(mproc_barrier_wait(barrier, &index, turn ? 0 : MPROC_FOREVER));
        assert_int_equal(index, OTHERS);
        for (unsigned i = 0; i < OTHERS; i++) {
            assert_int_equal(end_party(&parties[i]), APR_SUCCESS);
            assert_int_equal(parties[i].index, i);
        }
        assert_int_equal(mproc_barrier_waiting(barrier), 0);
    }
    assert_success(mproc_barrier_close(barrier));
    expect_no_objects();
}

static void test_one_party(void **state)
{
    unsigned index = 5;
    (void)state;
    mproc_barrier_t *barrier = make_barrier(1);
    for (int i = 0; i < 100; i++)
        assert_success(mproc_barrier_wait(barrier, i % 2 ? &index : NULL, 0));
    assert_int_equal(index, 0);
    assert_success(mproc_barrier_close(barrier));
}

static void test_refused(void **state)
{
    mproc_barrier_t *barrier;
    unsigned index = 7;
    (void)state;
    assert_failure(mproc_barrier_create(&barrier, 0, NULL), APR_EINVAL);
    assert_null(barrier);
    assert_failure(mproc_barrier_create(&barrier, 65536, NULL), APR_EINVAL);
    assert_failure(mproc_barrier_create(&barrier, (unsigned)-1, NULL), APR_EINVAL);
    assert_null(barrier);
    barrier = make_barrier(65535);
    assert_success(mproc_barrier_close(barrier));
    assert_failure(mproc_barrier_wait(barrier, &index, 0), MPROC_ECLOSED);
    assert_int_equal(index, 0);
    assert_failure(mproc_barrier_abort(barrier), MPROC_ECLOSED);
    assert_failure(mproc_barrier_reset(barrier), MPROC_ECLOSED);
    assert_int_equal(mproc_barrier_parties(barrier), 0);
    assert_int_equal(mproc_last_error()->status, MPROC_ECLOSED);
    assert_failure(mproc_barrier_wait(NULL, &index, 0), APR_EINVAL);
    assert_failure(mproc_barrier_abort(NULL), APR_EINVAL);
    assert_failure(mproc_barrier_reset(NULL), APR_EINVAL);
    assert_int_equal(mproc_barrier_waiting(NULL), 0);
    assert_int_equal(mproc_last_error()->status, APR_EINVAL);
    assert_int_equal(mproc_barrier_is_broken(NULL), 0);
    assert_int_equal(mproc_last_error()->status, APR_EINVAL);
    expect_no_objects();
}

/** See that a barrier is broken for everybody until it is reset. */
static void expect_broken(mproc_barrier_t *barrier)
{
    assert_int_equal(mproc_barrier_is_broken(barrier), 1);
    assert_int_equal(mproc_barrier_waiting(barrier), 0);
    assert_failure(mproc_barrier_wait(barrier, NULL, MPROC_FOREVER), MPROC_EBROKENBARRIER);
    assert_failure(mproc_barrier_wait(barrier, NULL, 0), MPROC_EBROKENBARRIER);
    assert_success(mproc_barrier_reset(barrier));
    assert_int_equal(mproc_barrier_is_broken(barrier), 0);
    assert_int_equal(mproc_barrier_waiting(barrier), 0);
}

/** See that three parties come together. */
static void expect_works(mproc_barrier_t *barrier)
{
    party_t parties[2];
    begin_party(&parties[0], barrier, patience());
    begin_party(&parties[1], barrier, patience());
    assert_success(mproc_barrier_wait(barrier, NULL, patience()));
    assert_int_equal(end_party(&parties[0]), APR_SUCCESS);
    assert_int_equal(end_party(&parties[1]), APR_SUCCESS);
}

static void test_timeouts(void **state)
{
    static const apr_interval_time_t timeouts[] = {0, 1, 30000, 120000};
    (void)state;
    mproc_barrier_t *barrier = make_barrier(3);
    for (size_t i = 0; i < sizeof timeouts / sizeof timeouts[0]; i++) {
        party_t party;
        begin_party(&party, barrier, MPROC_FOREVER);
        await_come(barrier, 1);
        const apr_time_t begin = apr_time_now();
        assert_failure(mproc_barrier_wait(barrier, NULL, timeouts[i]), APR_TIMEUP);
        expect_waited(begin, timeouts[i]);
        assert_int_equal(end_party(&party), MPROC_EBROKENBARRIER);
        expect_broken(barrier);
        expect_works(barrier);
    }
    assert_success(mproc_barrier_close(barrier));
}

static void test_abort(void **state)
{
    party_t parties[2];
    (void)state;
    mproc_barrier_t *barrier = make_barrier(3);
    for (int count = 0; count <= 2; count++) {
        for (int i = 0; i < count; i++)
            begin_party(&parties[i], barrier, MPROC_FOREVER);
        await_come(barrier, (unsigned)count);
        assert_success(mproc_barrier_abort(barrier));
        assert_success(mproc_barrier_abort(barrier));
        for (int i = 0; i < count; i++)
            assert_int_equal(end_party(&parties[i]), MPROC_EBROKENBARRIER);
        expect_broken(barrier);
        expect_works(barrier);
    }
    assert_success(mproc_barrier_close(barrier));
}

static void test_reset(void **state)
{
    party_t parties[2];
    (void)state;
    mproc_barrier_t *barrier = make_barrier(3);
    assert_success(mproc_barrier_reset(barrier));
    for (int i = 0; i < 2; i++)
        begin_party(&parties[i], barrier, MPROC_FOREVER);
    await_come(barrier, 2);
    assert_success(mproc_barrier_reset(barrier));
    for (int i = 0; i < 2; i++)
        assert_int_equal(end_party(&parties[i]), MPROC_EBROKENBARRIER);
    assert_int_equal(mproc_barrier_is_broken(barrier), 0);
    expect_works(barrier);
    /* More resets than are told apart. */
    for (int i = 0; i < 40000; i++)
        assert_success(mproc_barrier_reset(barrier));
    expect_works(barrier);
    assert_success(mproc_barrier_close(barrier));
}

/* ---- Actions ----------------------------------------------------------------------------------------------------- */

typedef struct act_t {
    mproc_barrier_t *barrier;
    int calls;
    int result;
    int resets;
    unsigned waiting;
} act_t;

static int act(void *context)
{
    act_t *own = context;
    own->calls++;
    own->waiting = mproc_barrier_waiting(own->barrier);
    apr_sleep(20000);
    if (own->resets)
        mproc_barrier_reset(own->barrier);
    return own->result;
}

/** Have two parties wait, and come as the third, with an action. */
static apr_status_t act_as_last(party_t *parties, act_t *own)
{
    own->calls = 0;
    for (unsigned i = 0; i < 2; i++) {
        begin_party(&parties[i], own->barrier, MPROC_FOREVER);
        await_come(own->barrier, i + 1);
    }
    const apr_status_t status = mproc_barrier_wait_with(own->barrier, NULL, act, own, MPROC_FOREVER);
    assert_int_equal(own->calls, 1);
    assert_int_equal(own->waiting, 3); /* nobody has gone on */
    return status;
}

static void test_action(void **state)
{
    party_t parties[2];
    act_t own = {.barrier = make_barrier(3)};
    (void)state;
    assert_success(act_as_last(parties, &own));
    assert_int_equal(end_party(&parties[0]), APR_SUCCESS);
    assert_int_equal(end_party(&parties[1]), APR_SUCCESS);
    /* It fails. */
    own.result = -1;
    assert_failure(act_as_last(parties, &own), MPROC_EBROKENBARRIER);
    assert_int_equal(end_party(&parties[0]), MPROC_EBROKENBARRIER);
    assert_int_equal(end_party(&parties[1]), MPROC_EBROKENBARRIER);
    expect_broken(own.barrier);
    expect_works(own.barrier);
    /* It resets the barrier: nobody comes through, and what is new is whole. */
    for (own.result = 0; own.result < 2; own.result++) {
        own.resets = 1;
        assert_failure(act_as_last(parties, &own), MPROC_EBROKENBARRIER);
        assert_int_equal(end_party(&parties[0]), MPROC_EBROKENBARRIER);
        assert_int_equal(end_party(&parties[1]), MPROC_EBROKENBARRIER);
        assert_int_equal(mproc_barrier_is_broken(own.barrier), 0);
        expect_works(own.barrier);
    }
    /* Not called for one who is not the last. */
    own.calls = 0;
    assert_failure(mproc_barrier_wait_with(own.barrier, NULL, act, &own, 1000), APR_TIMEUP);
    assert_int_equal(own.calls, 0);
    assert_success(mproc_barrier_close(own.barrier));
}

/** While all have come and the action runs, more parties wait for the next time. */
static void test_one_too_many(void **state)
{
    party_t parties[3], early;
    act_t own = {.barrier = make_barrier(3)};
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        begin_party(&parties[i], own.barrier, MPROC_FOREVER);
        await_come(own.barrier, i + 1);
    }
    parties[2] = (party_t){.barrier = own.barrier, .timeout = MPROC_FOREVER, .action = act, .context = &own};
    begin_later(&parties[2].later, 0, come, &parties[2]);
    await_come(own.barrier, 3);
    begin_party(&early, own.barrier, MPROC_FOREVER);
    for (int i = 0; i < 3; i++)
        assert_int_equal(end_party(&parties[i]), APR_SUCCESS);
    await_come(own.barrier, 1);
    assert_int_equal(early.status, -1);
    assert_success(mproc_barrier_abort(own.barrier));
    assert_int_equal(end_party(&early), MPROC_EBROKENBARRIER);
    assert_success(mproc_barrier_close(own.barrier));
}

/* ---- Threads ----------------------------------------------------------------------------------------------------- */

enum { THREADS = 6 };

typedef struct march_t {
    mproc_barrier_t *barrier;
    _Atomic int steps[THREADS];
    int most;
} march_t;

/** No party is more than one step ahead of another, and each index is told once. */
static int step_on(int number, void *context)
{
    march_t *march = context;
    for (int step = 0; step < march->most; step++) {
        unsigned index;
        atomic_store(&march->steps[number], step);
        if (mproc_barrier_wait(march->barrier, &index, patience()) != APR_SUCCESS || index >= THREADS)
            return 1;
        for (int i = 0; i < THREADS; i++) {
            const int other = atomic_load(&march->steps[i]);
            if (other < step || other > step + 1)
                return 2;
        }
    }
    return 0;
}

static void test_threads(void **state)
{
    march_t march = {.barrier = make_barrier(THREADS), .most = 3000 / slowdown()};
    (void)state;
    assert_int_equal(run_threads(THREADS, step_on, &march), 0);
    assert_int_equal(mproc_barrier_is_broken(march.barrier), 0);
    assert_success(mproc_barrier_close(march.barrier));
    expect_no_objects();
}

/** Waits, breaks and resets at random: nobody hangs. */
static int wait_or_mend(int number, void *context)
{
    mproc_barrier_t *barrier = context;
    for (int i = 0; i < 3000 / slowdown(); i++) {
        apr_status_t status;
        if (number == 0)
            status = i % 3 == 0 ? mproc_barrier_abort(barrier) : mproc_barrier_reset(barrier);
        else
            status = mproc_barrier_wait(barrier, NULL, 2000 + number * 100);
        if (status != APR_SUCCESS && status != APR_TIMEUP && status != MPROC_EBROKENBARRIER)
            return 1;
    }
    return 0;
}

static void test_broken_and_mended(void **state)
{
    (void)state;
    mproc_barrier_t *barrier = make_barrier(3);
    assert_int_equal(run_threads(5, wait_or_mend, barrier), 0);
    assert_success(mproc_barrier_reset(barrier));
    expect_works(barrier);
    assert_success(mproc_barrier_close(barrier));
    expect_no_objects();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_indices), cmocka_unit_test(test_one_party),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_timeouts),
        cmocka_unit_test(test_abort),   cmocka_unit_test(test_reset),
        cmocka_unit_test(test_action),  cmocka_unit_test(test_one_too_many),
        cmocka_unit_test(test_threads), cmocka_unit_test(test_broken_and_mended),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
