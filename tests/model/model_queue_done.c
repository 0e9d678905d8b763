/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is done, in src/queue_done.c: whoever is killed when, each item that was got is left to somebody, done or lost,
 * and counted once; and who joins goes on when nothing is left, not before.
 */
#include "model/queues.h"

enum { RECORDS_AT = 3 };

static shm_u64_t *records(void)
{
    return (shm_u64_t *)waits_object(RECORDS_AT);
}

static void say_done(unsigned number)
{
    waits_point(number, 0);
    begin_part(number);
    model_require(mproc_queue_task_done(the_handle()) == APR_SUCCESS, "it is not done");
}

/** Get so many, and say of each that it is done. */
static void get_and_do(void)
{
    const int self = (int)member_self() - 1;
    for (unsigned i = 0; i < counts[self]; i++) {
        waits_point(1 + 2 * i, 0);
        begin_part(1 + 2 * i);
        if (get_value(SYS_NEVER) != APR_SUCCESS)
            break;
        say_done(2 + 2 * i);
    }
    close_end(100);
}

static void get_all_and_do(void)
{
    for (;;) {
        waits_point(1, 0);
        begin_part(1);
        if (get_value(SYS_NEVER) != APR_SUCCESS)
            break;
        say_done(2);
    }
    close_end(100);
}

static void join(void)
{
    waits_point(1, 0);
    begin_part(1);
    model_require(mproc_queue_join(the_handle(), NULL, MPROC_FOREVER) == APR_SUCCESS, "it has not joined");
    model_tag = TAG_JOINED;
    has_just_got = 1;
    model_choose(1);
    close_end(100);
}

/** Put another one, with one to be done already. */
static void put_and_do(void)
{
    begin_part(1);
    put_value(value_of(0, 0), 0, SYS_NEVER);
    say_done(2);
}

static int has_one_before; /* process 1 */

static uint64_t position_in(const view_t *view, const shm_u64_t *index)
{
    return model_value(view, index) >> RING_BITS;
}

/** Nothing is counted twice, and in the end nothing is not. */
static void check_counts(const view_t *view)
{
    uint64_t left = 0;
    if (model_value(view, &arena->lock.word))
        return;
    for (int i = 0; i < waits_processes; i++)
        model_require(!(model_tag_of(view->node[i]) & TAG_JOINED) || (uint32_t)model_value(view, &records()[1]) == 0 ||
                          !has_one_before,
                      "process %d has joined, and what was there before it came is not done", i + 1);
    for (int i = 0; i < waits_processes; i++)
        left += (uint32_t)model_value(view, &records()[i + 1]);
    const uint64_t done = model_value(view, &the_queue()->done);
    const uint64_t lost = model_value(view, &the_queue()->lost);
    const uint64_t claimed = position_in(view, &the_ring(0)->head);
    model_require(lost <= done, "more is lost than is over");
    model_require(done + left <= claimed, "of %u that were claimed, %u are over and %u left", (unsigned)claimed,
                  (unsigned)done, (unsigned)left);
    /* What nobody has recorded yet is in the hands of one who was killed, or goes on. */
    uint64_t busy = 0;
    for (uint64_t i = 0; i < the_ring(0)->length; i++) {
        const slot_t *slot = ring_slot(the_ring(0), i);
        const uint64_t sequence = model_value(view, &slot->sequence) & ~RING_TOMBSTONE;
        const uint64_t position = sequence / 2;
        busy += (sequence & 1) && position < claimed && model_value(view, &slot->counted) != position + 1;
    }
    model_require(done + left + busy == claimed, "of %u that were claimed, %u are over, %u left, and %u not recorded",
                  (unsigned)claimed, (unsigned)done, (unsigned)left, (unsigned)busy);
}

static void make_joinable(uint64_t length)
{
    make(length, 0);
    memset(records(), 0, 64);
    is_joinable = 1;
    shm_fix(&the_queue()->is_joinable, 1);
    atomic_store(&the_queue()->records, arena_offset(records()));
    atomic_store(&the_queue()->done, 0);
    atomic_store(&the_queue()->lost, 0);
    for (int i = 0; i < MODEL_PROCESSES; i++)
        ends_of[i] = 0;
    immortal = 0;
    has_one_before = 0;
}

/** An item is there, of the last process. */
static void have_item(unsigned number)
{
    slot_t *slot = ring_slot(the_ring(0), number);
    const uint32_t value = value_of(2, number);
    const uint32_t content[2] = {value, value};
    memcpy(slot->data, content, sizeof content);
    atomic_store(&slot->sequence, 2 * number + 1);
    atomic_store(&the_ring(0)->tail, (uint64_t)(number + 1) << RING_BITS);
    atomic_store(&ledger[value], PUT);
}

/** It was claimed by a getter that died of it. */
static void have_claim(unsigned number)
{
    have_item(number);
    atomic_store(&the_ring(0)->head, (uint64_t)(number + 1) << RING_BITS);
    atomic_store(&ledger[value_of(2, number)], GOT_BY + 2);
}

static void explore_joinable(const char *name, const body_t *who, int processes, unsigned kills)
{
    atomic_store(&arena->members_used, (uint64_t)processes + 1);
    for (int i = 0; i < processes; i++)
        ends_of[i] = who[i] == get_all_and_do ? QUEUE_GETTER : 0;
    check_more = check_counts;
    explore(name, who, processes, kills);
}

static const body_t pair[] = {put_some, get_all_and_do};
static const body_t getters[] = {get_all_and_do, get_all_and_do};
static const body_t joiners[] = {join, join};
static const body_t joined[] = {get_all_and_do, get_all_and_do, join};
static const body_t one_before[] = {put_and_do, get_and_do, join};
static const body_t menders[] = {put_some, put_some, get_and_do};

/** Two items, and nothing more comes. */
static void finish_with_two(void)
{
    make_joinable(2);
    have_item(0);
    have_item(1);
    has_ends = 1;
    shm_u64_t *tail = &the_ring(0)->tail;
    atomic_store(tail, atomic_load(tail) | RING_CLOSED);
}

int main(void)
{
    make(2, 0);
    name_words();
    model_name(&the_queue()->done, 8, "done");
    model_name(&the_queue()->lost, 8, "lost");
    model_name(&arena->members_used, 8, "members_used");
    for (int i = 0; i <= MODEL_PROCESSES; i++)
        model_name(&records()[i], 8, "record");
    make_joinable(1);
    have_claim(0);
    set_counts(1, 1, 2);
    explore_joinable("two who mend", menders, 3, 0);
    make_joinable(2);
    have_claim(0);
    atomic_store(&ring_slot(the_ring(0), 0)->sequence, 4);
    atomic_store(&records()[1], pack_record(1, 1));
    has_one_before = 1;
    set_counts(1, 1, 0);
    explore_joinable("somebody joins who comes later", one_before, 3, 0);
    make_joinable(1);
    has_ends = 1;
    set_counts(2, 0, 0);
    explore_joinable("one and one", pair, 2, 1);
    finish_with_two();
    explore_joinable("two getters", getters, 2, 1);
    make_joinable(1);
    have_claim(0);
    explore_joinable("a claim of a dead one", joiners, 2, 0);
    if (model_is_deep()) {
        finish_with_two();
        immortal = 1;
        explore_joinable("somebody joins", joined, 3, 1);
    }
    return 0;
}
