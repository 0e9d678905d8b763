/* SPDX-License-Identifier: Apache-2.0 */
#include "queue_blocks.h"

#include <stddef.h>

#include "blocks.h"
#include "member.h"
#include "memory.h"

enum { BLOCKS = 64, TABLE_SIZE = 2048, PART_HEADER = 64 };

/** Some of a queue's blocks. */
typedef struct table_t {
    shm_u64_t queue; /* whose it is: an offset */
    shm_u64_t next;  /* the next table: an offset; 0: none */
    shm_u64_t free;  /* a bit for each block that may be nobody's, and has memory: a hint */
    queue_block_t blocks[BLOCKS];
} table_t;

_Static_assert(sizeof(table_t) <= TABLE_SIZE - PART_HEADER, "the table of a block is found by its address");

static table_t *table_at(uint64_t offset)
{
    return arena_at(offset);
}

static table_t *table_of(uint64_t block)
{
    return table_at((block & ~(uint64_t)(TABLE_SIZE - 1)) + PART_HEADER);
}

static uint64_t bit_of(uint64_t block)
{
    return (uint64_t)1 << (queue_block_at(block) - table_of(block)->blocks);
}

static int is_free(uint64_t owner)
{
    return owner == 0 || (!(owner & QUEUE_BLOCK_PUT) && member_has_ended((uint32_t)owner));
}

void queue_block_give(uint64_t block)
{
    shm_store64(&queue_block_at(block)->owner, 0);
    shm_set64(&table_of(block)->free, bit_of(block));
}

void queue_block_drop(const slot_t *slot, uint64_t position)
{
    const uint64_t block = shm_load64(&slot->block);
    if (block && shm_replace64(&queue_block_at(block)->owner, QUEUE_BLOCK_PUT | position, 0))
        shm_set64(&table_of(block)->free, bit_of(block));
}

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

/** How much to ask for: as much as is taken from the arena anyway. */
static uint64_t round_up(uint64_t size)
{
    uint64_t whole = ARENA_SPAN;
    if (PART_HEADER + size > BLOCK_SMALL_MAX)
        return (PART_HEADER + size + whole - 1) / whole * whole - PART_HEADER;
    for (whole = 2 * (uint64_t)PART_HEADER; whole < PART_HEADER + size;)
        whole *= 2;
    return whole - PART_HEADER;
}

/** Take away a block's memory. */
static apr_status_t empty(queue_t *queue, queue_block_t *block)
{
    transaction_t transaction;
    if (!journal_begin(&transaction))
        return MPROC_EINIT;
    memory_give(&transaction, journal_get(&transaction, &block->part), &queue->head.object);
    journal_put(&transaction, &block->part, 0);
    journal_put(&transaction, &block->size, 0);
    journal_commit(&transaction);
    return APR_SUCCESS;
}

/**
 * Have a block of this process have room. In two transactions: what is given back in one may be taken in it, and its
 * pages be given to the system after that.
 */
static apr_status_t enlarge(queue_t *queue, queue_block_t *block, uint64_t size)
{
    transaction_t transaction;
    uint64_t part;
    apr_status_t status = shm_load64(&block->part) ? empty(queue, block) : APR_SUCCESS;
    if (status != APR_SUCCESS)
        return status;
    if (!journal_begin(&transaction))
        return MPROC_EINIT;
    status = memory_take(&transaction, &part, round_up(size), &queue->head.object);
    if (status == APR_SUCCESS) {
        shm_write64(memory_note(part), arena_offset(block));
        journal_put(&transaction, &block->part, part);
        journal_put(&transaction, &block->size, round_up(size));
        journal_commit(&transaction);
    } else {
        journal_abandon(&transaction);
    }
    return status;
}

/** Have another table in front of the one that was seen to be the newest, unless there is one by now. */
static apr_status_t add_table(queue_t *queue, uint64_t newest)
{
    transaction_t transaction;
    uint64_t part = 0;
    apr_status_t status = APR_SUCCESS;
    if (!journal_begin(&transaction))
        return MPROC_EINIT;
    if (journal_get(&transaction, &queue->blocks) == newest) {
        status = memory_take(&transaction, &part, TABLE_SIZE - PART_HEADER, &queue->head.object);
        if (status == APR_SUCCESS) {
            shm_clear(arena_at(part), sizeof(table_t));
            shm_write64(&table_at(part)->queue, arena_offset(queue));
            journal_put(&transaction, &table_at(part)->next, newest);
            journal_put(&transaction, &queue->blocks, part);
        }
    }
    if (status == APR_SUCCESS)
        journal_commit(&transaction);
    else
        journal_abandon(&transaction);
    return status;
}

/* ---- Taking ------------------------------------------------------------------------------------------------------ */

/** Take one that is known to be free, and large enough. */
static uint64_t take_free(table_t *table, uint64_t size)
{
    for (uint64_t bits = shm_load64(&table->free), bit = 1; bits; bits &= ~bit) {
        unsigned i = 0;
        for (bit = 1; !(bits & bit); bit <<= 1)
            i++;
        queue_block_t *block = &table->blocks[i];
        if (shm_load64(&block->size) < size || !shm_replace64(&block->owner, 0, member_self()))
            continue;
        shm_unset64(&table->free, bit);
        return arena_offset(block);
    }
    return 0;
}

/** Take any that is nobody's, whatever it has. */
static uint64_t take_any(table_t *table, uint64_t size)
{
    (void)size;
    for (unsigned i = 0; i < BLOCKS; i++) {
        queue_block_t *block = &table->blocks[i];
        const uint64_t owner = shm_load64(&block->owner);
        if (is_free(owner) && shm_replace64(&block->owner, owner, member_self())) {
            shm_unset64(&table->free, (uint64_t)1 << i);
            return arena_offset(block);
        }
    }
    return 0;
}

/** A way to take one of a table. */
typedef uint64_t (*take_t)(table_t *table, uint64_t size);

/**
 * Take one of the newest table, or of a few others, from where somebody has stopped the last time: to look at all would
 * take the longer the more items there are, for each of them.
 */
static uint64_t take_nearby(queue_t *queue, take_t take, uint64_t size)
{
    enum { FEW = 8 };
    const uint64_t newest = shm_load64(&queue->blocks);
    uint64_t block = newest ? take(table_at(newest), size) : 0;
    const uint64_t second = newest && !block ? shm_load64(&table_at(newest)->next) : 0;
    if (!second)
        return block;
    const uint64_t stopped = shm_load64(&queue->stopped);
    const uint64_t begin = stopped ? stopped : second;
    uint64_t at = begin;
    for (unsigned i = 0; i < FEW && !(block = take(table_at(at), size)); i++) {
        const uint64_t next = shm_load64(&table_at(at)->next);
        at = next ? next : second;
        if (at == begin)
            break;
    }
    if (at != stopped)
        shm_store64(&queue->stopped, at);
    return block;
}

/** Take one wherever it is: there is no memory for others. */
static uint64_t take_anywhere(queue_t *queue, take_t take, uint64_t size)
{
    uint64_t block = 0;
    for (uint64_t at = shm_load64(&queue->blocks); at && !block; at = shm_load64(&table_at(at)->next))
        block = take(table_at(at), size);
    return block;
}

/** Have a block that was taken have room for so many bytes; or give it back. */
static apr_status_t fit_out(queue_t *queue, uint64_t block, uint64_t size)
{
    /* Also one that was large enough: between a look at that and taking it, others may have had it. */
    if (shm_load64(&queue_block_at(block)->size) >= size)
        return APR_SUCCESS;
    const apr_status_t status = enlarge(queue, queue_block_at(block), size);
    if (status != APR_SUCCESS)
        queue_block_give(block);
    return status;
}

apr_status_t queue_block_take(uint64_t *block, queue_t *queue, uint64_t size)
{
    apr_status_t status = APR_SUCCESS;
    uint64_t taken = 0;
    *block = 0;
    if (size > MEMORY_MAX)
        return APR_ENOMEM;
    while (!taken && status == APR_SUCCESS) {
        const uint64_t newest = shm_load64(&queue->blocks);
        taken = take_nearby(queue, take_free, size);
        if (!taken)
            taken = take_nearby(queue, take_any, size);
        if (!taken)
            status = add_table(queue, newest);
    }
    if (taken)
        status = fit_out(queue, taken, size);
    if (status == APR_ENOMEM) {
        taken = take_anywhere(queue, take_free, size);
        if (!taken)
            taken = take_anywhere(queue, take_any, size);
        if (taken)
            status = fit_out(queue, taken, size);
    }
    if (status == APR_SUCCESS)
        *block = taken;
    return status;
}

uint64_t queue_block_find(const queue_t *queue, const void *memory)
{
    const uint64_t part = memory_part_at(memory);
    /* What is no block's memory has anything there; and whose it is, is asked of the block. */
    const uint64_t block = part ? shm_load64(memory_note(part)) : 0;
    const uint64_t first = (block & ~(uint64_t)(TABLE_SIZE - 1)) + PART_HEADER + offsetof(table_t, blocks);
    if (block < first || (block - first) / sizeof(queue_block_t) >= BLOCKS ||
        (block - first) % sizeof(queue_block_t) != 0 || !blocks_can_be_raw(block & ~(uint64_t)(TABLE_SIZE - 1)) ||
        shm_load64(&table_of(block)->queue) != arena_offset(queue))
        return 0;
    const int is_own = shm_load64(&queue_block_at(block)->owner) == member_self();
    return is_own && shm_load64(&queue_block_at(block)->part) == part ? block : 0;
}
