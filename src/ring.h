/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file ring.h
 * @brief The slots of a queue, for any number of putters and getters at once, each of whom may be killed at any step.
 *
 * It is Vyukov's bounded ring: each slot has a sequence, which says for which position it is free or full; who puts
 * claims a position by one step at the tail, fills the slot, and publishes it by its sequence; who gets does the same
 * at the head. There, a process that dies between claim and publication stops all others for good. Here, a thread
 * first *announces* in its own line (a spot, see spots.h) which position it is about to claim. A slot that was claimed
 * and not published, and that no living thread announces, had a dead owner, and anybody mends it by one step at its
 * sequence: it becomes a *tombstone* for who put, and free for who got. The announcement is a store in front of a step
 * that is a barrier anyway, and so costs next to nothing.
 *
 * Whoever finds the ring empty or full and goes to sleep sets a bit at the other side's index, so that the claiming
 * step there, which must read that word anyway, tells whether somebody is to be woken.
 *
 * Positions count for ever. A ring that has become too small is closed, and followed by another one (queue_ring.c).
 */
#ifndef MPROC_RING_H
#define MPROC_RING_H

#include "arena.h"
#include "spots.h"

/** A slot. */
typedef struct slot_t {
    shm_u64_t
        sequence;   /* twice the position, from the ring's first, that it is free for; one more: full; RING_TOMBSTONE */
    shm_u64_t size; /* of the item */
    shm_u64_t block;   /* where the item is, see queue_blocks.h; 0: here */
    shm_u64_t counted; /* in a joinable queue: the position, and one more, whose getting was recorded */
    unsigned char data[];
} slot_t;

#define RING_TOMBSTONE ((uint64_t)1 << 63)

/** A ring, in the arena; what is written by different sides lies apart. */
typedef struct ring_t {
    shm_u64_t tail; /* the next position to put at, and bits below */
    unsigned char apart_from_tail[120];
    shm_u64_t head; /* the next position to get, and a bit below */
    unsigned char apart_from_head[120];
    shm_u64_t base;      /* its first position */
    uint64_t length;     /* in slots */
    uint64_t stride;     /* of a slot, in bytes */
    uint64_t mask;       /* where the length is a power of two: one less; else 0 */
    shm_u64_t next;      /* the ring that follows: an offset; 0: none */
    shm_u64_t is_urgent; /* a putter has slept for a while: it is not kept waiting until there is much room */
    uint64_t reserved[2];
} ring_t;

_Static_assert(sizeof(ring_t) % 64 == 0, "slots are aligned to a line of the cache");

/** In the lowest bits of an index: somebody of the other side sleeps; nothing more is put here. */
#define RING_SLEEPERS ((uint64_t)1)
#define RING_CLOSED ((uint64_t)2)
enum { RING_BITS = 2 };

static inline uint64_t ring_position(uint64_t index)
{
    return index >> RING_BITS;
}

static inline slot_t *ring_slot(const ring_t *ring, uint64_t from_base)
{
    const uint64_t number = ring->mask ? from_base & ring->mask : from_base % ring->length;
    return (slot_t *)(void *)((unsigned char *)ring + sizeof *ring + number * ring->stride);
}

/** The sides of a queue, as announced. */
enum { RING_PUTS, RING_GETS };

/** What a thread announces: a side of a queue, by the serial that no other queue has. */
static inline uint64_t ring_announced(uint64_t serial, unsigned side)
{
    return serial << 1 | side;
}

/** A position that this thread has claimed. */
typedef struct claim_t {
    ring_t *ring;
    slot_t *slot;
    uint64_t position; /* from the ring's first */
    uint64_t index;    /* the index as it was: the ring's tail or head */
    uint64_t sequence; /* of the slot, as it was */
    uint64_t size;     /* of the item, if it is too big: by now the slot may be another one's */
} claim_t;

typedef enum ring_result_t { RING_DONE, RING_NONE, RING_OVER, RING_TOO_BIG } ring_result_t;

/**
 * Announce a claim. Whoever sees that the one before is not announced any more must see that it was finished, too: so
 * these are stores that nothing before them comes after.
 */
static inline void ring_announce(spot_t *line, uint64_t what, uint64_t position)
{
    shm_publish64(&line->position, position);
    shm_publish64(&line->announced, what);
}

/** Nothing comes of what was announced: a later owner of that position could be taken for alive. */
static inline void ring_announce_nothing(spot_t *line)
{
    shm_publish64(&line->announced, 0);
}

/**
 * Claim a position to put at: RING_DONE; RING_NONE: no slot is free, the claim has the position and the index that
 * were looked at; RING_OVER: nothing more is put here.
 */
static inline ring_result_t ring_claim_put(ring_t *ring, spot_t *line, uint64_t serial, claim_t *claim)
{
    const uint64_t base = shm_read64(&ring->base);
    claim->ring = ring;
    for (;;) {
        const uint64_t index = claim->index = shm_observe64(&ring->tail);
        const uint64_t position = ring_position(index);
        claim->position = position - base;
        claim->slot = ring_slot(ring, claim->position);
        claim->sequence = shm_observe64(&claim->slot->sequence);
        const int64_t ahead = (int64_t)((claim->sequence & ~RING_TOMBSTONE) - 2 * claim->position);
        if (index & RING_CLOSED) {
            ring_announce_nothing(line);
            return RING_OVER;
        }
        if (ahead < 0) {
            ring_announce_nothing(line);
            return RING_NONE;
        }
        if (ahead > 0)
            continue;
        ring_announce(line, ring_announced(serial, RING_PUTS), position);
        if (shm_replace64(&ring->tail, index, (position + 1) << RING_BITS))
            return RING_DONE;
    }
}

/** Publish what was put at a claimed position. */
static inline void ring_publish(const claim_t *claim)
{
    shm_publish64(&claim->slot->sequence, 2 * claim->position + 1);
}

/** Whether a slot has something for this position: an item, or a tombstone. */
static inline int64_t ring_ahead_to_get(const claim_t *claim)
{
    return (int64_t)((claim->sequence & ~RING_TOMBSTONE) - (2 * claim->position + 1));
}

/**
 * Claim the next position to get: RING_DONE, and if it is a tombstone its sequence says so; RING_NONE: there is
 * nothing, the claim has what was looked at; RING_TOO_BIG: the item is larger than the capacity, and stays. The claim's
 * slot has the item's size and place. If somebody sleeps at the other side that stays noted for as long as
 * `keep_sleepers` says so.
 */
static inline ring_result_t ring_claim_get(ring_t *ring, spot_t *line, uint64_t serial, uint64_t capacity,
                                           int (*keep_sleepers)(const ring_t *ring, uint64_t position), claim_t *claim)
{
    const uint64_t base = shm_read64(&ring->base);
    claim->ring = ring;
    for (;;) {
        const uint64_t index = claim->index = shm_observe64(&ring->head);
        const uint64_t position = ring_position(index);
        claim->position = position - base;
        claim->slot = ring_slot(ring, claim->position);
        claim->sequence = shm_observe64(&claim->slot->sequence);
        const int64_t ahead = ring_ahead_to_get(claim);
        if (ahead < 0) {
            ring_announce_nothing(line);
            return RING_NONE;
        }
        if (ahead > 0)
            continue;
        const uint64_t size = claim->sequence & RING_TOMBSTONE ? 0 : shm_observe64(&claim->slot->size);
        if (size > capacity) {
            /* Unless that was the size of what came later. */
            if (ring_position(shm_observe64(&ring->head)) != position)
                continue;
            ring_announce_nothing(line);
            claim->size = size;
            return RING_TOO_BIG;
        }
        uint64_t bits = index & RING_SLEEPERS;
        if (bits && !keep_sleepers(ring, position + 1))
            bits = 0;
        ring_announce(line, ring_announced(serial, RING_GETS), position);
        if (shm_replace64(&ring->head, index, (position + 1) << RING_BITS | bits)) {
            /* Whoever has looked at the head before this step, and sleeps, may be urgent since the look above. */
            const int wakes = (index & RING_SLEEPERS) && (!bits || !keep_sleepers(ring, position + 1));
            claim->index = wakes ? index : index & ~RING_SLEEPERS;
            return RING_DONE;
        }
    }
}

/** Free the slot of a claimed position that was got. */
static inline void ring_free(const ring_t *ring, const claim_t *claim)
{
    shm_publish64(&claim->slot->sequence, 2 * (claim->position + ring->length));
}

#endif
