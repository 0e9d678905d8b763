/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "support/harness.h"
#include "support/objects.h"
#include "support/support.h"

static mproc_condition_t *make_condition(mproc_lock_t *lock)
{
    mproc_condition_t *condition;
    const mproc_condition_opts_t opts = {.lock = lock};
    assert_success(mproc_condition_create(&condition, &opts));
    return condition;
}

static mproc_lock_t *make_lock(int recursive)
{
    mproc_lock_t *lock;
    const mproc_lock_opts_t opts = {.recursive = recursive};
    assert_success(mproc_lock_create(&lock, &opts));
    return lock;
}

/** Notify with the lock. */
static void notify(mproc_condition_t *condition, unsigned count)
{
    assert_success(mproc_condition_acquire(condition, patience()));
    assert_success(mproc_condition_notify(condition, count));
    assert_success(mproc_condition_release(condition));
}

/** Threads that wait, one after the other, and note in which order they went on. */
typedef struct queue_t {
    mproc_condition_t *condition;
    int order[64];
    int count;
} queue_t;

typedef struct queued_t {
    queue_t *queue;
    int number;
    apr_status_t status;
    later_t later;
} queued_t;

static void wait_in_queue(void *context)
{
    queued_t *queued = context;
    queue_t *queue = queued->queue;
    mproc_condition_acquire(queue->condition, MPROC_FOREVER);
    queued->status = mproc_condition_wait(queue->condition, MPROC_FOREVER);
    queue->order[queue->count++] = queued->number;
    mproc_condition_release(queue->condition);
}

static void enqueue(queued_t *queued, int count, queue_t *queue)
{
    for (int i = 0; i < count; i++) {
        queued[i] = (queued_t){.queue = queue, .number = i, .status = -1};
        begin_later(&queued[i].later, 0, wait_in_queue, &queued[i]);
        await_waiting(i + 1);
    }
}

/** Wait until so many have gone on. */
static void await_gone_on(queue_t *queue, int count)
{
    const apr_time_t end = apr_time_now() + patience();
    int gone_on;
    do {
        assert_success(mproc_condition_acquire(queue->condition, patience()));
        gone_on = queue->count;
        assert_success(mproc_condition_release(queue->condition));
        apr_sleep(500);
    } while (gone_on < count && apr_time_now() < end);
    assert_int_equal(gone_on, count);
}

static void test_in_order(void **state)
{
    enum { WAITERS = 12 };
    queued_t queued[WAITERS];
    queue_t queue = {.condition = make_condition(NULL)};
    (void)state;
    enqueue(queued, WAITERS, &queue);
    notify(queue.condition, 0);
    await_gone_on(&queue, 0);
    for (int i = 1; i <= 4; i++) {
        notify(queue.condition, 1);
        await_gone_on(&queue, i);
    }
    notify(queue.condition, 3);
    await_gone_on(&queue, 7);
    apr_sleep(MPROC_MILLISECONDS(30));
    await_gone_on(&queue, 7);
    assert_success(mproc_condition_acquire(queue.condition, patience()));
    assert_success(mproc_condition_notify_all(queue.condition));
    assert_int_equal(queue.count, 7); /* not before the lock is released */
    assert_success(mproc_condition_release(queue.condition));
    for (int i = 0; i < WAITERS; i++) {
        end_later(&queued[i].later);
        assert_int_equal(queued[i].status, APR_SUCCESS);
        /* Of those who are notified one by one the one who has waited longest comes first. */
        if (i < 4)
            assert_int_equal(queue.order[i], i);
    }
    for (int i = 4; i < 7; i++)
        assert_in_range(queue.order[i], 4, 6);
    /* Nobody waits: nothing is kept for later. */
    notify(queue.condition, 5);
    assert_success(mproc_condition_acquire(queue.condition, patience()));
    assert_failure(mproc_condition_wait(queue.condition, 1000), APR_TIMEUP);
    assert_success(mproc_condition_release(queue.condition));
    assert_success(mproc_condition_close(queue.condition));
    expect_no_objects();
}

static void test_without_lock(void **state)
{
    (void)state;
    mproc_lock_t *lock = make_lock(0);
    mproc_condition_t *const conditions[] = {make_condition(NULL), make_condition(lock)};
    for (int i = 0; i < 2; i++) {
        mproc_condition_t *condition = conditions[i];
        assert_failure(mproc_condition_wait(condition, MPROC_FOREVER), MPROC_ESTATE);
        assert_failure(mproc_condition_wait(condition, 0), MPROC_ESTATE);
        assert_failure(mproc_condition_notify(condition, 1), MPROC_ESTATE);
        assert_failure(mproc_condition_notify_all(condition), MPROC_ESTATE);
        assert_failure(mproc_condition_release(condition), MPROC_ESTATE);
        assert_success(mproc_condition_close(condition));
        assert_failure(mproc_condition_acquire(condition, 0), MPROC_ECLOSED);
        assert_failure(mproc_condition_release(condition), MPROC_ECLOSED);
        assert_failure(mproc_condition_notify(condition, 1), MPROC_ECLOSED);
        assert_failure(mproc_condition_notify_all(condition), MPROC_ECLOSED);
        assert_failure(mproc_condition_wait(condition, 0), MPROC_ECLOSED);
    }
    assert_failure(mproc_condition_acquire(NULL, 0), APR_EINVAL);
    assert_failure(mproc_condition_release(NULL), APR_EINVAL);
    assert_failure(mproc_condition_notify(NULL, 1), APR_EINVAL);
    assert_failure(mproc_condition_wait(NULL, 0), APR_EINVAL);
    assert_success(mproc_lock_close(lock));
}

typedef struct by_other_t {
    mproc_condition_t *condition;
    apr_status_t statuses[4];
} by_other_t;

static void call_all(void *context)
{
    by_other_t *other = context;
    other->statuses[0] = mproc_condition_wait(other->condition, 0);
    other->statuses[1] = mproc_condition_notify_all(other->condition);
    other->statuses[2] = mproc_condition_acquire(other->condition, 1000);
    other->statuses[3] = mproc_condition_release(other->condition);
}

/** Its own lock belongs to a thread. */
static void test_lock_of_another_thread(void **state)
{
    later_t later;
    (void)state;
    by_other_t other = {.condition = make_condition(NULL)};
    assert_success(mproc_condition_acquire(other.condition, 0));
    begin_later(&later, 0, call_all, &other);
    end_later(&later);
    assert_int_equal(other.statuses[0], MPROC_ESTATE);
    assert_int_equal(other.statuses[1], MPROC_ESTATE);
    assert_int_equal(other.statuses[2], APR_TIMEUP);
    assert_int_equal(other.statuses[3], APR_EACCES);
    assert_success(mproc_condition_release(other.condition));
    assert_success(mproc_condition_close(other.condition));
}

static void test_timeouts(void **state)
{
    static const apr_interval_time_t timeouts[] = {0, 1, 30000, 120000};
    (void)state;
    mproc_condition_t *condition = make_condition(NULL);
    assert_success(mproc_condition_acquire(condition, 0));
    for (size_t i = 0; i < sizeof timeouts / sizeof timeouts[0]; i++) {
        const apr_time_t begin = apr_time_now();
        assert_failure(mproc_condition_wait(condition, timeouts[i]), APR_TIMEUP);
        expect_waited(begin, timeouts[i]);
        assert_success(mproc_condition_notify(condition, 1)); /* the lock is this thread's again */
    }
    assert_success(mproc_condition_release(condition));
    assert_success(mproc_condition_close(condition));
}

static void notify_one(void *context)
{
    if (mproc_condition_acquire(context, patience()) == APR_SUCCESS) {
        mproc_condition_notify(context, 1);
        mproc_condition_release(context);
    }
}

/** To wait releases the lock however often the thread has it, and then it has it as often again. */
static void test_acquired_several_times(void **state)
{
    enum { DEPTH = 5 };
    later_t later;
    (void)state;
    mproc_condition_t *condition = make_condition(NULL);
    for (int is_notified = 0; is_notified < 2; is_notified++) {
        for (int i = 0; i < DEPTH; i++)
            assert_success(mproc_condition_acquire(condition, 0));
        if (is_notified)
            begin_later(&later, 10, notify_one, condition);
        assert_int_equal(mproc_condition_wait(condition, is_notified ? patience() : 10000),
                         is_notified ? APR_SUCCESS : APR_TIMEUP);
        if (is_notified)
            end_later(&later);
        for (int i = 0; i < DEPTH; i++)
            assert_success(mproc_condition_release(condition));
        assert_failure(mproc_condition_release(condition), MPROC_ESTATE);
    }
    assert_success(mproc_condition_close(condition));
}

static void test_shared_lock(void **state)
{
    queued_t first, second;
    (void)state;
    for (int recursive = 0; recursive < 2; recursive++) {
        mproc_lock_t *lock = make_lock(recursive);
        queue_t queues[2] = {{.condition = make_condition(lock)}, {.condition = make_condition(lock)}};
        assert_int_equal(count_objects(), 3);
        enqueue(&first, 1, &queues[0]);
        second = (queued_t){.queue = &queues[1], .status = -1};
        begin_later(&second.later, 0, wait_in_queue, &second);
        await_waiting(2);
        /* By the lock's own handle. */
        assert_success(mproc_lock_acquire(lock, patience()));
        assert_int_equal(mproc_condition_acquire(queues[0].condition, 0), recursive ? APR_SUCCESS : APR_TIMEUP);
        if (recursive)
            assert_success(mproc_condition_release(queues[1].condition));
        assert_success(mproc_condition_notify_all(queues[0].condition));
        assert_success(mproc_lock_release(lock));
        end_later(&first.later);
        assert_int_equal(first.status, APR_SUCCESS);
        assert_int_equal(second.status, -1);
        /* It may be closed: the conditions keep it. */
        const mproc_ref_t ref = ref_of(lock);
        assert_success(mproc_lock_close(lock));
        assert_success(mproc_lock_open(&lock, &ref, NULL));
        assert_success(mproc_lock_close(lock));
        notify(queues[1].condition, 1);
        end_later(&second.later);
        assert_int_equal(second.status, APR_SUCCESS);
        assert_success(mproc_condition_close(queues[0].condition));
        assert_success(mproc_lock_open(&lock, &ref, NULL));
        assert_success(mproc_condition_close(queues[1].condition));
        assert_success(mproc_lock_acquire(lock, 0)); /* and it may outlive them */
        assert_success(mproc_lock_close(lock));
        assert_failure(mproc_lock_open(&lock, &ref, NULL), MPROC_EGONE);
        expect_no_objects();
    }
}

static void test_no_lock_at_all(void **state)
{
    mproc_condition_t *condition;
    int thing = 0;
    (void)state;
    mproc_lock_t *closed = make_lock(0);
    void *event = make_object(&object_kinds[OF_EVENT]);
    assert_success(mproc_lock_close(closed));
    void *const none[] = {&thing, closed, event};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        const mproc_condition_opts_t opts = {.lock = none[i]};
        condition = (mproc_condition_t *)event;
        assert_failure(mproc_condition_create(&condition, &opts), MPROC_ECLOSED);
        assert_null(condition);
    }
    assert_success(mproc_event_close(event));
    expect_no_objects();
}

/** Somebody abandons the lock: who was notified is told, and has it. */
static void test_abandoned_lock(void **state)
{
    (void)state;
    mproc_lock_t *lock = make_lock(0);
    queued_t queued;
    queue_t queue = {.condition = make_condition(lock)};
    enqueue(&queued, 1, &queue);
    assert_success(mproc_lock_acquire(lock, patience()));
    assert_success(mproc_condition_notify(queue.condition, 1));
    assert_success(mproc_lock_abandon(lock));
    end_later(&queued.later);
    assert_int_equal(queued.status, MPROC_EOWNERDEAD);
    assert_int_equal(mproc_lock_owner_pid(lock), 0); /* the thread could release it */
    assert_success(mproc_condition_acquire(queue.condition, 0));
    assert_success(mproc_lock_abandon(lock));
    assert_failure(mproc_condition_acquire(queue.condition, 0), MPROC_EOWNERDEAD);
    assert_success(mproc_condition_close(queue.condition));
    assert_success(mproc_lock_close(lock));
}

/* ---- Predicates -------------------------------------------------------------------------------------------------- */

typedef struct board_t {
    mproc_condition_t *condition;
    int value;
    int wanted;
    int calls;
} board_t;

static int is_wanted(void *context)
{
    board_t *board = context;
    board->calls++;
    return board->value >= board->wanted;
}

static void raise_value(void *context)
{
    board_t *board = context;
    for (int i = 0; i < 3; i++) {
        mproc_condition_acquire(board->condition, MPROC_FOREVER);
        board->value++;
        mproc_condition_notify_all(board->condition);
        mproc_condition_release(board->condition);
        apr_sleep(2000);
    }
}

static void test_wait_for(void **state)
{
    board_t board = {make_condition(NULL), 0, 0, 0};
    later_t later;
    (void)state;
    assert_failure(mproc_condition_wait_for(board.condition, is_wanted, &board, 0), MPROC_ESTATE);
    assert_failure(mproc_condition_wait_for(board.condition, NULL, &board, 0), APR_EINVAL);
    assert_int_equal(board.calls, 0);
    assert_success(mproc_condition_acquire(board.condition, 0));
    /* True at once. */
    assert_success(mproc_condition_wait_for(board.condition, is_wanted, &board, 0));
    assert_int_equal(board.calls, 1);
    /* Never. */
    board.wanted = 3;
    assert_failure(mproc_condition_wait_for(board.condition, is_wanted, &board, 0), APR_TIMEUP);
    const apr_time_t begin = apr_time_now();
    assert_failure(mproc_condition_wait_for(board.condition, is_wanted, &board, 50000), APR_TIMEUP);
    assert_true(apr_time_now() - begin >= 49000);
    /* After three notifications. */
    begin_later(&later, 1, raise_value, &board);
    assert_success(mproc_condition_wait_for(board.condition, is_wanted, &board, MPROC_FOREVER));
    assert_int_equal(board.value, 3);
    assert_success(mproc_condition_release(board.condition));
    end_later(&later);
    assert_success(mproc_condition_close(board.condition));
}

/** Notify for as long as somebody may wait in vain, or until `value` tells that nobody does. */
static void notify_in_vain(void *context)
{
    board_t *board = context;
    int is_over = 0;
    for (const apr_time_t end = apr_time_now() + patience(); !is_over && apr_time_now() < end;) {
        mproc_condition_acquire(board->condition, MPROC_FOREVER);
        is_over = board->value;
        mproc_condition_notify_all(board->condition);
        mproc_condition_release(board->condition);
        apr_sleep(2000);
    }
}

/** Notifications that do not help do not make it wait longer. */
static void test_wait_for_is_bounded(void **state)
{
    board_t board = {make_condition(NULL), 0, 100, 0};
    later_t later;
    (void)state;
    assert_success(mproc_condition_acquire(board.condition, 0));
    begin_later(&later, 1, notify_in_vain, &board);
    const apr_time_t begin = apr_time_now();
    assert_failure(mproc_condition_wait_for(board.condition, is_wanted, &board, 60000), APR_TIMEUP);
    expect_waited(begin, 60000);
    board.value = 1;
    assert_success(mproc_condition_release(board.condition));
    end_later(&later);
    assert_success(mproc_condition_close(board.condition));
}

/* ---- Threads ----------------------------------------------------------------------------------------------------- */

/** A queue of one: producers and consumers at two conditions of one lock. */
typedef struct cell_t {
    mproc_condition_t *is_full;
    mproc_condition_t *is_empty;
    int full;
    int given;
    int taken;
    int rounds;
} cell_t;

static int has_something(void *context)
{
    return ((cell_t *)context)->full;
}

static int has_nothing(void *context)
{
    return !((cell_t *)context)->full;
}

static int give_or_take(int number, void *context)
{
    cell_t *cell = context;
    const int gives = number % 2;
    for (int i = 0; i < cell->rounds; i++) {
        if (mproc_condition_acquire(cell->is_full, patience()) != APR_SUCCESS ||
            mproc_condition_wait_for(gives ? cell->is_empty : cell->is_full, gives ? has_nothing : has_something, cell,
                                     patience()) != APR_SUCCESS)
            return 1;
        cell->full = gives;
        *(gives ? &cell->given : &cell->taken) += 1;
        if (mproc_condition_notify(gives ? cell->is_full : cell->is_empty, 1) != APR_SUCCESS ||
            mproc_condition_release(cell->is_empty) != APR_SUCCESS)
            return 2;
    }
    return 0;
}

static void test_threads(void **state)
{
    (void)state;
    for (int recursive = 0; recursive < 2; recursive++) {
        mproc_lock_t *lock = make_lock(recursive);
        cell_t cell = {make_condition(lock), make_condition(lock), 0, 0, 0, 2000 / slowdown()};
        assert_int_equal(run_threads(6, give_or_take, &cell), 0);
        assert_int_equal(cell.given, 3 * cell.rounds);
        assert_int_equal(cell.taken, 3 * cell.rounds);
        assert_int_equal(count_lines("has waited for"), 0);
        assert_success(mproc_condition_close(cell.is_full));
        assert_success(mproc_condition_close(cell.is_empty));
        assert_success(mproc_lock_close(lock));
    }
    expect_no_objects();
}

/** Those whose time is up and those who are notified: a notification is never lost to one whose time is up. */
typedef struct tickets_t {
    mproc_condition_t *condition;
    int notified; /* how often somebody was notified while enough waited */
    int waiting;
    int went_on;
    int stop;
} tickets_t;

static int wait_shortly(int number, void *context)
{
    tickets_t *tickets = context;
    int is_over = 0;
    while (!is_over) {
        if (mproc_condition_acquire(tickets->condition, patience()) != APR_SUCCESS)
            return 1;
        if (number == 0) {
            /* As many as wait can be notified, and go on by that even if their time is up just now. */
            const unsigned count = (unsigned)(tickets->waiting > 2 ? 2 : tickets->waiting);
            mproc_condition_notify(tickets->condition, count);
            tickets->notified += (int)count;
            is_over = tickets->stop = tickets->notified > 3000 / slowdown();
        } else {
            tickets->waiting++;
            const apr_status_t status = mproc_condition_wait(tickets->condition, 200 + 50 * number);
            tickets->waiting--;
            if (status != APR_SUCCESS && status != APR_TIMEUP)
                return 2;
            tickets->went_on += status == APR_SUCCESS;
            is_over = tickets->stop;
        }
        mproc_condition_release(tickets->condition);
        if (number == 0)
            apr_sleep(50);
    }
    return 0;
}

static void test_notified_as_time_is_up(void **state)
{
    tickets_t tickets = {.condition = make_condition(NULL)};
    (void)state;
    assert_int_equal(run_threads(5, wait_shortly, &tickets), 0);
    /* Some whose time was up were still counted as waiting: they went on without. */
    assert_true(tickets.went_on > 0 && tickets.went_on <= tickets.notified);
    assert_success(mproc_condition_close(tickets.condition));
    expect_no_objects();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_order),
        cmocka_unit_test(test_without_lock),
        cmocka_unit_test(test_lock_of_another_thread),
        cmocka_unit_test(test_timeouts),
        cmocka_unit_test(test_acquired_several_times),
        cmocka_unit_test(test_shared_lock),
        cmocka_unit_test(test_no_lock_at_all),
        cmocka_unit_test(test_abandoned_lock),
        cmocka_unit_test(test_wait_for),
        cmocka_unit_test(test_wait_for_is_bounded),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_notified_as_time_is_up),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
