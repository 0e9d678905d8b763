/* SPDX-License-Identifier: Apache-2.0 */
/* The rings of a queue: how one follows another, and what is done about claims whose owners are gone. */
#include <apr_thread_proc.h>
#include <apr_time.h>

#include "member.h"
#include "memory.h"
#include "queue_blocks.h"
#include "queue_done.h"
#include "queue_object.h"

/* ---- One follows another ----------------------------------------------------------------------------------------- */

/** The bytes of a slot: whole lines of the cache, and two at least, which some processors fetch together. */
static uint64_t stride_of(const queue_t *queue)
{
    const uint64_t line = 64;
    const uint64_t size = (sizeof(slot_t) + queue->room + line - 1) / line * line;
    return size < 2 * line ? 2 * line : size;
}

apr_status_t queue_take_ring(transaction_t *transaction, uint64_t *offset, queue_t *queue, uint64_t length)
{
    *offset = 0;
    if (length > MEMORY_MAX / stride_of(queue))
        return APR_ENOMEM;
    return memory_take(transaction, offset, sizeof(ring_t) + length * stride_of(queue), &queue->head.object);
}

void queue_lay_out_ring(ring_t *ring, const queue_t *queue, uint64_t length)
{
    ring->length = length;
    ring->stride = stride_of(queue);
    ring->mask = (length & (length - 1)) == 0 ? length - 1 : 0;
    shm_write64(&ring->next, 0);
    shm_write64(&ring->base, 0);
    shm_write64(&ring->tail, 0);
    shm_write64(&ring->head, 0);
    shm_write64(&ring->is_urgent, 0);
    for (uint64_t i = 0; i < length; i++) {
        slot_t *slot = ring_slot(ring, i);
        shm_write64(&slot->sequence, 2 * i);
        shm_write64(&slot->block, 0);
        shm_write64(&slot->counted, 0);
    }
}

/** Have memory for the ring that follows, unless one who died here had it already. */
static apr_status_t prepare_next(queue_t *queue, ring_t *ring)
{
    transaction_t transaction;
    uint64_t offset;
    if (shm_load64(&ring->next))
        return APR_SUCCESS;
    if (!journal_begin(&transaction))
        return MPROC_EINIT;
    const apr_status_t status = queue_take_ring(&transaction, &offset, queue, 2 * ring->length);
    if (status == APR_SUCCESS)
        journal_put(&transaction, &ring->next, offset);
    if (status == APR_SUCCESS)
        journal_commit(&transaction);
    else
        journal_abandon(&transaction);
    return status;
}

apr_status_t queue_grow(queue_t *queue, ring_t *ring)
{
    const robust_wait_t wait = {.self = member_self(), .deadline = SYS_NEVER};
    /* Whoever died here has left it so that all of this can be done once more. */
    robust_acquire(&queue->growth, &wait);
    apr_status_t status = APR_SUCCESS;
    if (queue_ring(&queue->put_ring) == ring && !(shm_load(&queue->flags) & QUEUE_FINISHED)) {
        status = prepare_next(queue, ring);
        if (status == APR_SUCCESS) {
            ring_t *next = arena_at(shm_load64(&ring->next));
            queue_lay_out_ring(next, queue, 2 * ring->length);
            /* From here on nothing is put, until the next one is known: so each has what is older than the next has. */
            const uint64_t end = ring_position(shm_set64(&ring->tail, RING_CLOSED));
            shm_write64(&next->base, end);
            shm_write64(&next->tail, end << RING_BITS);
            shm_write64(&next->head, end << RING_BITS);
            shm_store64(&queue->put_ring, shm_load64(&ring->next));
            queue_wake_getters(queue);
        }
    }
    robust_release(&queue->growth);
    /* An end may have gone meanwhile, see queue_note_end(). */
    queue_is_finished(queue);
    return status;
}

int queue_advance(queue_t *queue, const ring_t *ring)
{
    const uint64_t now = arena_offset(ring);
    if (now == shm_load64(&queue->put_ring))
        return 0;
    /* Others may have gone on, even by more than one: what is got from by now may have items. */
    shm_replace64(&queue->get_ring, now, shm_load64(&ring->next));
    return 1;
}

/* ---- Claims ------------------------------------------------------------------------------------------------------ */

/** The owner of a claim to put is dead: what it was about to put never was. */
static void mend_put(const queue_t *queue, const ring_t *ring, const claim_t *claim)
{
    const uint64_t position = shm_read64(&ring->base) + claim->position;
    const uint64_t claimed = 2 * claim->position;
    if (shm_load64(&claim->slot->sequence) == claimed && ring_position(shm_load64(&ring->tail)) > position &&
        !spot_is_announced(ring_announced(shm_load64(&queue->head.object.serial), RING_PUTS), position))
        shm_replace64(&claim->slot->sequence, claimed, (claimed + 1) | RING_TOMBSTONE);
}

/** The owner of a claim to get is dead: it has got the item, which is gone with it. */
static void mend_get(queue_t *queue, const ring_t *ring, const claim_t *claim)
{
    const uint64_t position = shm_read64(&ring->base) + claim->position;
    const uint64_t claimed = shm_load64(&claim->slot->sequence);
    if ((claimed & ~RING_TOMBSTONE) != 2 * claim->position + 1 || ring_position(shm_load64(&ring->head)) <= position ||
        spot_is_announced(ring_announced(shm_load64(&queue->head.object.serial), RING_GETS), position))
        return;
    queue_block_drop(claim->slot, position);
    if (queue_count_got(queue, claim->slot, position, claimed & RING_TOMBSTONE ? QUEUE_NOTHING : QUEUE_LOST))
        shm_replace64(&claim->slot->sequence, claimed, 2 * (claim->position + ring->length));
}

void queue_mend_gets(queue_t *queue)
{
    const ring_t *last = queue_ring(&queue->put_ring);
    const ring_t *ring = queue_ring(&queue->first_ring);
    for (;; ring = arena_at(shm_load64(&ring->next))) {
        for (uint64_t i = 0; i < ring->length; i++) {
            slot_t *slot = ring_slot(ring, i);
            const uint64_t sequence = shm_load64(&slot->sequence) & ~RING_TOMBSTONE;
            const claim_t claim = {.slot = slot, .position = sequence / 2};
            if (sequence & 1)
                mend_get(queue, ring, &claim);
        }
        if (ring == last)
            return;
    }
}

static void mend(queue_t *queue, const claim_t *claim, unsigned side)
{
    if (side == RING_PUTS) {
        mend_put(queue, claim->ring, claim);
        return;
    }
    /* The one before, in the same slot, is still there. */
    const claim_t before = {.slot = claim->slot, .position = claim->position - claim->ring->length};
    if (claim->position >= claim->ring->length)
        mend_get(queue, claim->ring, &before);
}

/* How long whoever has claimed a position takes is nothing; unless it is not running, or dead. In microseconds. */
enum { SHORT_WAIT = 20, LONG_WAIT = 5000 };

int queue_is_late(sys_time_t deadline, sys_time_t patience)
{
    return patience >= LONG_WAIT && (deadline == 0 || sys_now() >= deadline);
}

void queue_wait_for_claim(queue_t *queue, const claim_t *claim, unsigned side, sys_time_t *patience)
{
    const sys_time_t begin = sys_now();
    do {
        if (shm_load64(&claim->slot->sequence) != claim->sequence)
            return;
        apr_thread_yield();
        /* Of one who is stopped nothing is to be expected within moments: others are not to burn for it. */
    } while (*patience < LONG_WAIT && sys_now() - begin < SHORT_WAIT);
    mend(queue, claim, side);
    if (shm_load64(&claim->slot->sequence) != claim->sequence)
        return;
    apr_sleep(*patience);
    *patience = *patience < LONG_WAIT / 2 ? *patience * 2 : LONG_WAIT;
}

/* ---- Sleepers ---------------------------------------------------------------------------------------------------- */

void queue_wake_getter(queue_t *queue)
{
    shm_add(&queue->filled, 1);
    shm_unpark(&queue->filled, 1);
}

void queue_wake_getters(queue_t *queue)
{
    shm_add(&queue->filled, 1);
    shm_unpark(&queue->filled, UINT32_MAX);
}

void queue_wake_putters(queue_t *queue, unsigned count)
{
    shm_add(&queue->emptied, 1);
    shm_unpark(&queue->emptied, count);
}
