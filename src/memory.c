/* SPDX-License-Identifier: Apache-2.0 */
#include "memory.h"

#include "blocks.h"

/** What each part begins with: a line of the cache, so that what follows begins with one. */
typedef struct part_t {
    shm_u64_t next;
    shm_u64_t previous;
    shm_u64_t other_chain; /* in the first part of a chain that was left: the next one of these */
    shm_u64_t note;        /* see memory_note() */
    uint64_t reserved[4];
} part_t;

_Static_assert(sizeof(part_t) == 64, "parts are aligned to a line of the cache");

static part_t *part_at(uint64_t offset)
{
    return arena_at(offset);
}

apr_status_t memory_take(transaction_t *transaction, uint64_t *part, uint64_t size, object_t *object)
{
    uint64_t offset;
    *part = 0;
    if (size > MEMORY_MAX)
        return APR_ENOMEM;
    const apr_status_t status = blocks_take(transaction, &offset, sizeof(part_t) + size, BLOCK_RAW);
    if (status != APR_SUCCESS)
        return status;
    const uint64_t next = journal_get(transaction, object_memory(object));
    journal_put(transaction, &part_at(offset)->next, next);
    journal_put(transaction, &part_at(offset)->previous, 0);
    if (next)
        journal_put(transaction, &part_at(next)->previous, offset);
    journal_put(transaction, object_memory(object), offset);
    *part = offset + sizeof(part_t);
    return APR_SUCCESS;
}

uint64_t memory_part_at(const void *address)
{
    const uintptr_t first = (uintptr_t)arena;
    const uintptr_t at = (uintptr_t)address;
    if (at < first + sizeof(part_t) || at - first >= arena->size)
        return 0;
    const uint64_t part = arena_offset(address);
    return blocks_can_be_raw(part - sizeof(part_t)) ? part : 0;
}

shm_u64_t *memory_note(uint64_t part)
{
    return &part_at(part - sizeof(part_t))->note;
}

uint64_t memory_last(const object_t *object)
{
    const uint64_t offset = shm_load64(object_word((object_t *)(uintptr_t)object, OBJECT_MEMORY_AT));
    return offset ? offset + sizeof(part_t) : 0;
}

void memory_give(transaction_t *transaction, uint64_t part, object_t *object)
{
    const uint64_t offset = part - sizeof(part_t);
    const uint64_t next = journal_get(transaction, &part_at(offset)->next);
    const uint64_t previous = journal_get(transaction, &part_at(offset)->previous);
    if (next)
        journal_put(transaction, &part_at(next)->previous, previous);
    journal_put(transaction, previous ? &part_at(previous)->next : object_memory(object), next);
    blocks_give(transaction, offset);
}

void memory_leave(transaction_t *transaction, object_t *object)
{
    const uint64_t first = journal_get(transaction, object_memory(object));
    if (!first)
        return;
    journal_put(transaction, &part_at(first)->other_chain, journal_get(transaction, &arena->left));
    journal_put(transaction, &arena->left, first);
}

void memory_clean(void)
{
    transaction_t transaction;
    while (shm_load64(&arena->left) && journal_begin(&transaction)) {
        const uint64_t first = journal_get(&transaction, &arena->left);
        /* What is damaged is left alone. */
        if (first && !blocks_can_be_raw(first)) {
            journal_put(&transaction, &arena->left, 0);
        } else if (first) {
            const uint64_t next = journal_get(&transaction, &part_at(first)->next);
            const uint64_t other = journal_get(&transaction, &part_at(first)->other_chain);
            if (next)
                journal_put(&transaction, &part_at(next)->other_chain, other);
            journal_put(&transaction, &arena->left, next ? next : other);
            blocks_give(&transaction, first);
        }
        journal_commit(&transaction);
    }
}
