/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file queue_blocks.h
 * @brief Items of a queue that do not lie in its slots: each is in a block, of which the queue has as many as it needs.
 *
 * One word of a block says whose it is: nobody's, a member's, or a position's of the queue. Each change is one step, so
 * whoever is killed, it is known whose the block is; and what an ended member had is nobody's again, without anybody
 * doing anything about it. Blocks are used again; the queue's end gives them back.
 */
#ifndef MPROC_QUEUE_BLOCKS_H
#define MPROC_QUEUE_BLOCKS_H

#include "queue_object.h"

/** A block: zeros are one that has no memory yet. */
typedef struct queue_block_t {
    shm_u64_t owner; /* a ticket, or a position and QUEUE_BLOCK_PUT; 0: nobody */
    shm_u64_t part;  /* its memory, see memory.h; 0: none */
    shm_u64_t size;  /* of that, in bytes */
} queue_block_t;

#define QUEUE_BLOCK_PUT ((uint64_t)1 << 63)

/** Take a block with room for so many bytes, for this process: an offset; APR_ENOMEM. */
apr_status_t queue_block_take(uint64_t *block, queue_t *queue, uint64_t size);

/** Give back a block of this process. */
void queue_block_give(uint64_t block);

/** Find the block of this process whose memory is at an address; 0: it has none there. */
uint64_t queue_block_find(const queue_t *queue, const void *memory);

static inline queue_block_t *queue_block_at(uint64_t block)
{
    return arena_at(block);
}

static inline void *queue_block_memory(uint64_t block)
{
    return arena_at(shm_read64(&queue_block_at(block)->part));
}

/** A block of this process becomes the item at a position, which is claimed but not published yet. */
static inline void queue_block_put(uint64_t block, uint64_t position)
{
    shm_store64(&queue_block_at(block)->owner, QUEUE_BLOCK_PUT | position);
}

/** The item at a position, which this thread has claimed to get, becomes a block of this process. */
static inline void queue_block_get(uint64_t block)
{
    shm_store64(&queue_block_at(block)->owner, member_self());
}

/** The item at a position is lost; one that is not in a block, or in one that never was put, is left alone. */
void queue_block_drop(const slot_t *slot, uint64_t position);

#endif
