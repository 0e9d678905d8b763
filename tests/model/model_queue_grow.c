/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How one ring follows another, in src/queue_ring.c: nothing is passed by, nobody sleeps at a ring that is done with,
 * and the end is the end of the last one.
 */
#include "model/no_spots.h"

static const body_t pair_of_some[] = {put_some, get_some};
static const body_t pair[] = {put_some, get_all};
static const body_t putters_of_some[] = {put_some, put_some, get_some};
static const body_t getters_of_some[] = {put_some, get_some, get_some};
/* Their ends do not count. */
static void put_one_more(void)
{
    waits_point(1, 0);
    begin_part(1);
    put_value(value_of(0, 0), 0, SYS_NEVER);
}

static void finish_only(void)
{
    waits_point(1, 0);
    begin_part(1);
    queue_close_puts(the_queue());
}

static void get_to_the_end(void)
{
    do {
        waits_point(1, 0);
        begin_part(1);
    } while (get_value(SYS_NEVER) == APR_SUCCESS);
    shm_store(&ends_seen, 1);
}

static const body_t finished[] = {put_one_more, finish_only, get_to_the_end};

static const body_t two_getters[] = {get_some, get_some};

static void set_index(shm_u64_t *index, uint64_t position, uint64_t bits)
{
    atomic_store(index, position << RING_BITS | bits);
}

/** The first ring is done with, but nobody has gone on; the next one is where is put, or that is full, too. */
static void make_grown(int is_next_full)
{
    make(1, 1);
    queue_t *queue = the_queue();
    ring_t *ring = the_ring(0);
    ring_t *next = the_ring(1);
    ring_t *last = the_ring(2);
    set_index(&ring->tail, 1, RING_CLOSED);
    set_index(&ring->head, 1, 0);
    atomic_store(&ring->next, arena_offset(next));
    atomic_store(&ring_slot(ring, 0)->sequence, 2);
    atomic_store(&next->base, 1);
    set_index(&next->tail, 1, 0);
    set_index(&next->head, 1, 0);
    atomic_store(&queue->put_ring, arena_offset(next));
    if (!is_next_full)
        return;
    set_index(&next->tail, 3, RING_CLOSED);
    atomic_store(&next->next, arena_offset(last));
    for (unsigned i = 0; i < 4; i++) {
        slot_t *slot = ring_slot(i < 2 ? next : last, i % 2);
        const uint32_t content[2] = {value_of(2, i), value_of(2, i)};
        atomic_store(&slot->sequence, 2 * (i % 2) + 1);
        memcpy(slot->data, content, sizeof content);
        atomic_store(&ledger[content[0]], PUT);
    }
    atomic_store(&last->base, 3);
    set_index(&last->tail, 5, 0);
    set_index(&last->head, 3, 0);
    atomic_store(&queue->put_ring, arena_offset(last));
}

int main(void)
{
    make(1, 1);
    name_words();
    set_counts(1, 3, 0);
    make_grown(1);
    explore("two rings to go on by", two_getters, 2, 0);
    make_grown(0);
    set_counts(2, 1, 1);
    explore("a ring to go on by", getters_of_some, 3, 0);
    make(1, 1);
    set_counts(4, 4, 0);
    explore("three rings", pair_of_some, 2, 0);
    make(1, 1);
    has_ends = 1;
    set_counts(2, 0, 0);
    explore("to the end", pair, 2, 1);
    make(1, 1);
    set_counts(1, 1, 2);
    explore("two putters", putters_of_some, 3, 0);
    make(1, 1);
    have_item(0);
    set_counts(1, 1, 1);
    explore("two who grow it", putters_of_some, 3, 0);
    make(1, 1);
    have_item(0);
    has_ends = 1;
    explore("finished", finished, 3, 0);
    if (model_is_deep()) {
        make(1, 1);
        have_item(0);
        has_ends = 1;
        /* Else nobody finishes it. */
        immortal = 1 << 1;
        explore("finished, and a death", finished, 3, 1);
        make(1, 1);
        set_counts(2, 1, 1);
        explore("two getters", getters_of_some, 3, 0);
    }
    return 0;
}
