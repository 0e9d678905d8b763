/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file spots.h
 * @brief Who waits where: a place in the arena for each thread that waits.
 *
 * A thread has a spot as long as it waits. It says what the thread waits for and since when, for who looks at the
 * family; and those who are woken one by one (at a condition) wait at the spot's own word.
 */
#ifndef MPROC_SPOTS_H
#define MPROC_SPOTS_H

#include "arena.h"

typedef struct spot_t {
    shm_u32_t owner;  /* a ticket; 0: the spot is free */
    shm_u32_t word;   /* the waiting thread's own, see SPOT_... */
    shm_u64_t object; /* what it waits for: an offset; 0: nothing */
    shm_u64_t since;  /* sys_now() */
    shm_u64_t order;  /* who came first has the smaller number */
    /* Of a spot that a thread keeps to announce what it does at queues, see ring.h: */
    shm_u64_t announced; /* at which side of which queue; 0: nothing */
    shm_u64_t position;  /* and which position it is about to claim */
    uint64_t reserved[2];
} spot_t;

/**
 * What the word of a spot says, at a condition, in its lowest bits. Above that: how often somebody has begun to wait
 * there, so that nobody is notified whose wait is another one by now.
 */
enum { SPOT_IDLE, SPOT_WAITING, SPOT_NOTIFIED, SPOT_STATE = 3, SPOT_TIMES = 4 };

/** A spot's word in another state. */
static inline uint32_t spot_word(uint32_t word, unsigned state)
{
    return (word & ~(uint32_t)SPOT_STATE) | state;
}

/**
 * Get a spot for this thread to wait at an object; NULL if there is none left. That only makes it unseen, but at a
 * condition, where it cannot wait then.
 */
spot_t *spot_begin(uint64_t object);

/** Give it back; NULL is harmless. */
void spot_end(spot_t *spot);

/** Get one that this process keeps, for a thread that announces something; NULL if there is none left. */
spot_t *spot_keep(void);

/** Whether a living process announces something. */
int spot_is_announced(uint64_t what, uint64_t position);

/** Go through all that are in use: the next one after `spot`, NULL to start with; NULL at the end. */
spot_t *spot_next(const spot_t *spot);

/** Free those of a member that has died: calls `was_notified` with the object for each that had not gone on yet. */
void spots_settle(uint32_t ticket, void (*was_notified)(uint64_t object));

/** In a forked child: those that its creator has are not its own. And when a member leaves: it has none any more. */
void spots_forget(void);

#endif
