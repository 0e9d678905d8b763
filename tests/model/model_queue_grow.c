/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How one ring follows another, in src/queue_ring.c: nothing is passed by, nobody sleeps at a ring that is done with,
 * and the end is the end of the last one.
 */
#include "model/queues.h"

static const body_t pair_of_some[] = {put_some, get_some};
static const body_t pair[] = {put_some, get_all};
static const body_t putters_of_some[] = {put_some, put_some, get_some};
static const body_t getters_of_some[] = {put_some, get_some, get_some};
static const body_t finished[] = {put_some, finish_it, get_all};

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
    for (unsigned i = 0; i < 2; i++) {
        slot_t *slot = ring_slot(next, i);
        const uint32_t content[2] = {value_of(2, i), value_of(2, i)};
        atomic_store(&slot->sequence, 2 * i + 1);
        memcpy(slot->data, content, sizeof content);
        atomic_store(&ledger[content[0]], PUT);
    }
    atomic_store(&last->base, 3);
    set_index(&last->tail, 3, 0);
    set_index(&last->head, 3, 0);
    atomic_store(&queue->put_ring, arena_offset(last));
}

int main(void)
{
    make(1, 1);
    name_words();
    set_counts(1, 1, 0);
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
    has_ends = 1;
    set_counts(2, 0, 0);
    if (model_is_deep()) {
        explore("finished", finished, 3, 0);
        make(1, 1);
        set_counts(2, 1, 1);
        explore("two getters", getters_of_some, 3, 0);
    }
    return 0;
}
