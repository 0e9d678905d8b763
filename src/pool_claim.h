/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file pool_claim.h
 * @brief What workers do to a pool: claim tasks, end them, and sleep when there are none.
 *
 * All of it can be cut off after any step by a death. What is claimed then, the slot says: what a worker is about to
 * claim it notes there first.
 */
#ifndef MPROC_POOL_CLAIM_H
#define MPROC_POOL_CLAIM_H

#include "pool_layout.h"

/** A worker, as it takes part. */
typedef struct pool_hand_t {
    pool_head_t *head;
    pool_slot_t *slot;
    unsigned number;
    int tells_time;       /* of each task, not only of timed ones */
    uint32_t uncounted;   /* units of the part that it is in which are done */
    double units_per_try; /* how many of these to claim at a time, as their tasks have taken so long */
} pool_hand_t;

/** A task that was claimed. */
typedef struct pool_claim_t {
    pool_record_t *record;
    uint64_t state; /* of the record, as it was claimed */
    uint32_t unit;  /* the first one of a part's; POOL_NO_UNIT for a single task */
    uint32_t word;  /* of the unit, as it was claimed */
    sys_time_t since;
} pool_claim_t;

/** Claim the next task: whether there is one. */
int pool_claim(pool_hand_t *hand, pool_claim_t *claim);

/** Whether the owner has not taken it away. */
int pool_has_claim(const pool_claim_t *claim);

/** End a task, and count it: whether it was still the worker's. If not, nobody wants its result. */
int pool_end_claim(pool_hand_t *hand, const pool_claim_t *claim, int has_failed);

/** Note how long a claim's units have taken, in microseconds, so that the next claim has as many as are worth it. */
void pool_note_time(pool_hand_t *hand, const pool_claim_t *claim, sys_time_t taken);

/** Leave the part that a worker is in, as it ends. */
void pool_leave(pool_hand_t *hand);

/** Tell how an item of a part failed, unless one before it did: APR_TIMEUP, if another one is at it for so long. */
apr_status_t pool_merge_error(pool_record_t *record, const mproc_task_error_t *error, sys_time_t deadline);

/** Be the one who looks for what is put in, before it sleeps, if there is none; and be it no more. */
int pool_begin_look(const pool_hand_t *hand);
void pool_end_look(const pool_hand_t *hand);

/** Be counted among those that sleep, after the bell was looked at: whether there is still nothing to do. */
int pool_begin_sleep(const pool_hand_t *hand);

/** Whether there may be something in the rings. */
int pool_has_work(const pool_head_t *head);

/* ---- What the owner does ----------------------------------------------------------------------------------------- */

/** Append a record, in its state, to a ring: whether there was room. One thread of the owner at a time. */
int pool_append(pool_head_t *head, int ring, const pool_record_t *record);

/** Wake so many workers, if they sleep. */
void pool_wake(pool_head_t *head, unsigned count);

/** Wake all workers, whether they are counted or not. */
void pool_wake_all(pool_head_t *head);

/** Wake the owner's threads that wait for tasks. */
void pool_tell(pool_head_t *head);

/** Take a record from whoever has it, if it is in just this state: whether that is so. */
int pool_take(pool_record_t *record, uint64_t state);

/** Claim the units of a part that nobody has, for the owner. */
void pool_take_rest(pool_record_t *record);

/** How far a worker is with what it has claimed last. */
typedef enum claim_stage_t {
    CLAIM_NONE, /* it has nothing, or it was taken away */
    CLAIM_RUNS,
    CLAIM_HAS_ENDED
} claim_stage_t;

/** See what a worker has claimed last, but for when. With the pool's lock held, so that no part goes away. */
claim_stage_t pool_see_claim(const pool_head_t *head, unsigned number, pool_claim_t *claim);

/** Whether all of a part's units are done or taken; `seen` is where the last look ended, from 0. */
int pool_is_part_over(const pool_record_t *record, uint64_t *seen);

#endif
