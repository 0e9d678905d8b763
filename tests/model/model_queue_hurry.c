/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Putters that sleep until there is some room, in src/queue_put.c, src/queue_fast.c and src/ring.h: a getter lets them
 * sleep, but only for a moment; nobody sleeps on while there is room. Items are empty: nothing but that is looked at.
 */
#include "model/no_spots.h"

/* The shortest ring in which getters let putters sleep; and its slots, in which there is nothing. */
enum { LENGTH = 9, STRIDE = 64, NAP = 5000 };

static void put_empty(void)
{
    const int self = (int)member_self() - 1;
    const queue_item_t item = {.data = NULL};
    for (unsigned i = 0; i < counts[self]; i++) {
        putting_t visit = {.shared = the_shared(), .queue = the_queue(), .line = own_line, .deadline = SYS_NEVER};
        waits_point(1 + i, 0);
        begin_part(1 + i);
        const apr_status_t status = put_or_wait(&visit, &item);
        model_require(status == APR_SUCCESS || (status == MPROC_ECLOSED && self == 0), "a put has failed");
    }
}

static void get_empty(void)
{
    const int self = (int)member_self() - 1;
    uint64_t block;
    for (unsigned i = 0; i < counts[self]; i++) {
        getting_t visit = {.shared = the_shared(), .queue = the_queue(), .line = own_line, .deadline = SYS_NEVER};
        waits_point(1 + i, 0);
        begin_part(1 + i);
        model_require(claim_or_wait(&visit) == APR_SUCCESS, "a get has failed");
        model_require(take_item(&visit, NULL, &block) == APR_SUCCESS, "an item was not taken");
    }
}

/* Where the second one waits until the first one says that it sleeps: whichever is first, it is the same. */
static shm_u32_t gate;

static void put_second(void)
{
    waits_acquire(&gate);
    put_empty();
}

static void open_gate(const view_t *before, view_t *after, int process, const step_t *step)
{
    const int has_said = model_address(step->word) == (const void *)&the_ring(0)->head && step->kind == STEP_REPLACE &&
                         after->words[step->word] != before->words[step->word];
    if (process == 0 && (has_said || step->kind == STEP_END) && model_value(before, &gate) == 1)
        model_set(after, &gate, 0);
}

/** Nobody has to wait for an item here. */
static int is_constant_here(const volatile void *at)
{
    return at == &the_queue()->filled;
}

/** Who has claimed what is for other models: here nobody dies of it, and to say so is no step of its own. */
static int is_announcing(const view_t *view, int process, const step_t *step)
{
    const void *at = model_address(step->word);
    (void)view;
    return step->kind == STEP_STORE &&
           (at == (const void *)&lines[process].announced || at == (const void *)&lines[process].position);
}

/** What the first one waits with may be closed when its nap is over. */
static int is_first_closed(void)
{
    return member_self() == 1 && has_slept_now && model_choose(2) == 1;
}

static const body_t pair[] = {put_empty, get_empty};
static const body_t putters[] = {put_empty, put_second, get_empty};
static const body_t any_putters[] = {put_empty, put_empty, get_empty};
static const body_t getters[] = {put_empty, get_empty, get_empty};

/** A ring that is full. */
static void make_full(void)
{
    make(1, 0);
    ring_t *ring = the_ring(0);
    has_values = 0;
    atomic_store(&gate, 1);
    nap = NAP;
    memset(ring, 0, sizeof *ring + LENGTH * STRIDE);
    ring->length = LENGTH;
    ring->stride = STRIDE;
    atomic_store(&ring->tail, (uint64_t)LENGTH << RING_BITS);
    for (uint64_t i = 0; i < LENGTH; i++)
        atomic_store(&ring_slot(ring, i)->sequence, 2 * i + 1);
}

int main(void)
{
    _Static_assert(sizeof(ring_t) + LENGTH * STRIDE <= WAITS_OBJECT_SIZE, "the ring is too long");
    make_full();
    name_words();
    model_name(&the_ring(0)->is_urgent, 8, "is_urgent");
    model_name(&gate, 4, "gate");
    is_constant_too = is_constant_here;
    is_private_too = is_announcing;
    on_step_too = open_gate;
    make_full();
    set_counts(2, 2, 0);
    explore("one and one", pair, 2, 0);
    make_full();
    set_counts(1, 6, 0);
    explore("half of it", pair, 2, 0);
    make_full();
    set_counts(1, 1, 2);
    gives_up = is_first_closed;
    explore("two putters", putters, 3, 0);
    if (model_is_deep()) {
        make_full();
        set_counts(2, 1, 1);
        explore("two getters", getters, 3, 0);
        make_full();
        set_counts(1, 1, 2);
        explore("any of two putters", any_putters, 3, 0);
    }
    return 0;
}
