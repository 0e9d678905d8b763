/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file queue_object.h
 * @brief Queues in the arena, for all that works with them: putting and getting (queue_fast.c, queue_put.c,
 *        queue_get.c), rings (ring.h, queue_ring.c), items that lie elsewhere (queue_blocks.c), ends and what is done
 *        (queue_end.c, queue_done.c), handles (queue.c).
 */
#ifndef MPROC_QUEUE_OBJECT_H
#define MPROC_QUEUE_OBJECT_H

#include <mproc/queue.h>

#include "hazard.h"
#include "ring.h"
#include "shared.h"

/** A queue in the arena. */
typedef struct queue_t {
    shared_head_t head;
    uint64_t keeps_none; /* OBJECT_KEPT_AT */
    shm_u64_t memory;    /* OBJECT_MEMORY_AT */
    shm_u64_t ends;      /* OBJECT_COUNT_AT: see QUEUE_PUTTER and QUEUE_GETTER */

    shm_u64_t put_ring;   /* where is put, and */
    shm_u64_t get_ring;   /* where is got: offsets, */
    shm_u64_t first_ring; /* and of the first of all */
    uint64_t item_size;   /* of all items; 0: free */
    uint64_t room;        /* for an item in a slot; larger ones lie elsewhere */
    shm_u64_t maxsize;    /* 0: the ring is followed by longer ones */
    shm_u32_t flags;
    shm_fixed_t is_joinable;
    robust_t growth;   /* held by who makes a ring follow */
    shm_u64_t blocks;  /* the newest table of blocks, see queue_blocks.c: an offset; 0: none */
    shm_u64_t stopped; /* the table at which somebody has stopped looking for one: a hint; 0: none */

    shm_u64_t records; /* of a joinable one: what each member has left to do, see queue_done.c: an offset */
    shm_u64_t done;    /* how many items are done or lost, or were none */
    shm_u64_t lost;    /* how many are lost */
    /* At these those sleep who wait: for an item, for room, until all is done. They count wakes. */
    shm_u32_t filled;
    shm_u32_t emptied;
    shm_u32_t joined;
    uint32_t reserved;
} queue_t;

/** An end of one: just by being there it counts. */
typedef struct queue_end_t {
    shared_head_t head;
    shm_u64_t queue; /* OBJECT_KEPT_AT */
    shm_u64_t worth; /* OBJECT_WORTH_AT */
} queue_end_t;

/** What an end counts in `ends`: so many of each there are. */
#define QUEUE_PUTTER ((uint64_t)1)
#define QUEUE_GETTER ((uint64_t)1 << 32)

/** Flags: nothing more comes; there was a putter, there was a getter. */
enum { QUEUE_FINISHED = 1, QUEUE_HAD_PUTTER = 2, QUEUE_HAD_GETTER = 4 };

static inline queue_t *queue_at(uint64_t offset)
{
    return arena_at(offset);
}

/** The queue behind a handle of any of the three kinds. */
static inline queue_t *queue_behind(const shared_t *shared)
{
    if (shared->kind == HANDLE_QUEUE)
        return queue_at(shared->offset);
    return queue_at(shm_read64(&((queue_end_t *)arena_at(shared->offset))->queue));
}

static inline ring_t *queue_ring(const shm_u64_t *which)
{
    return arena_at(shm_observe64(which));
}

/** An item, on its way in or out. */
typedef struct queue_item_t {
    const void *data; /* in: where it is, */
    uint64_t size;
    uint64_t block; /* or the block that it is in; 0: none */
} queue_item_t;

/** The thread's line to announce in; NULL if there is none left. */
spot_t *queue_line(void);

/* ---- Rings (queue_ring.c) ---------------------------------------------------------------------------------------- */

/** Take memory for a ring of so many slots, in a transaction, and lay it out after that. */
apr_status_t queue_take_ring(transaction_t *transaction, uint64_t *offset, queue_t *queue, uint64_t length);
void queue_lay_out_ring(ring_t *ring, const queue_t *queue, uint64_t length);

/** Have a longer ring follow one that was seen full, unless one does: APR_SUCCESS: look again; APR_ENOMEM. */
apr_status_t queue_grow(queue_t *queue, ring_t *ring);

/** A ring was seen closed, and all of it claimed: have what follows be got from; whether there is that by now. */
int queue_advance(queue_t *queue, const ring_t *ring);

/**
 * A position was claimed, and is not done with: wait a moment for who did that, or mend what is left of it. The
 * patience grows with each call; whoever has a deadline waits for so long in any case, for what is as good as done.
 */
enum { QUEUE_FIRST_PATIENCE = 50 };
void queue_wait_for_claim(queue_t *queue, const claim_t *claim, unsigned side, sys_time_t *patience);
int queue_is_late(sys_time_t deadline, sys_time_t patience);

/** Mend what dead getters had claimed, wherever it is: of those where nobody puts any more, nobody would notice. */
void queue_mend_gets(queue_t *queue);

/** Whether a getter leaves the note that putters sleep, as there is not much room yet. See ring_claim_get(). */
int queue_keeps_sleepers(const ring_t *ring, uint64_t position);

/* ---- Items ------------------------------------------------------------------------------------------------------- */

/** Put, or get, without sleeping. The spot is the thread's line. */
ring_result_t queue_try_put(queue_t *queue, spot_t *line, const queue_item_t *item, claim_t *claim);
ring_result_t queue_try_get(queue_t *queue, spot_t *line, uint64_t capacity, claim_t *claim);

/** The slot of a claimed position is free again; wake those who wait for room. */
void queue_finish_get(queue_t *queue, const claim_t *claim);

/** The rest of mproc_queue_put() and mproc_queue_get(), if that was not possible at once. */
apr_status_t queue_put_handle(mproc_queue_t *handle, const void *data, size_t size, apr_interval_time_t timeout);
apr_status_t queue_get_handle(mproc_queue_t *handle, void *buffer, size_t capacity, size_t *size,
                              apr_interval_time_t timeout);

/* ---- Handles, and the end ---------------------------------------------------------------------------------------- */

/**
 * Get the queue behind a handle for a public function; the status has its text. `end` is the kind of end that it also
 * takes, for which MPROC_EDIRECTION refuses the other one; 0: any.
 */
apr_status_t queue_acquire(shared_t **shared, mproc_queue_t *handle, handle_kind_t end, const char *call);

/** Whether nothing more comes; if its ends are gone it is finished now. */
int queue_is_finished(queue_t *queue);

/** The same with the family's lock held, for which this may be too early: who waits finds out then. */
void queue_note_end(queue_t *queue);

/** Nothing more comes: tell everybody. */
void queue_close_puts(queue_t *queue);

/** Tell the state of the queue that an end is of, in words. */
void queue_describe_end(uint64_t queue, char *text, size_t size);

/**
 * Have a handle of the system's that is ready while there is something to get, as long as this one is open; and say
 * that there was nothing: whether that is news, so that whoever says it is to look again.
 */
apr_status_t queue_watch_begin(sys_handle_t *handle, shared_t *shared);
int queue_watch_reset(const shared_t *shared);

/** Whether there is something to get; if not that is said. */
int queue_watch_look(const shared_t *shared);

/** Whoever was woken, and has got or wants nothing, wakes the next one who waits for an item, or has it be woken. */
void queue_pass_on_item(queue_t *queue);

/** How many items there are, at one moment. */
uint64_t queue_size(const queue_t *queue);

/** Whether there is no room: whoever puts would have to wait. */
int queue_is_full(const queue_t *queue);

/** Wake one who waits for an item, or all, or some who wait for room. */
void queue_wake_getter(queue_t *queue);
void queue_wake_getters(queue_t *queue);
void queue_wake_putters(queue_t *queue, unsigned count);

#endif
