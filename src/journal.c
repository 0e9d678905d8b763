/* SPDX-License-Identifier: Apache-2.0 */
#include "journal.h"

#include <assert.h>

#include <mproc/status.h>

#include "arena.h"
#include "member.h"

/** Write what is listed; to do it twice makes no difference. */
static void apply(journal_t *journal)
{
    const uint32_t count = shm_load(&journal->count);
    for (uint32_t i = 0; i < count; i++)
        shm_store64(arena_at(shm_read64(&journal->entries[i].offset)), shm_read64(&journal->entries[i].value));
    shm_store(&journal->count, 0);
}

int journal_begin(transaction_t *transaction)
{
    if (!arena_begin_change())
        return 0;
    const robust_wait_t wait = {.self = member_self(), .deadline = SYS_NEVER};
    transaction->count = 0;
    transaction->unused_count = 0;
    if (robust_acquire(&arena->lock, &wait) == MPROC_EOWNERDEAD)
        apply(&arena->journal);
    return 1;
}

uint64_t journal_get(const transaction_t *transaction, const shm_u64_t *word)
{
    const uint64_t offset = arena_offset(word);
    for (size_t i = 0; i < transaction->count; i++)
        if (transaction->entries[i].offset == offset)
            return transaction->entries[i].value;
    return shm_load64(word);
}

void journal_put(transaction_t *transaction, shm_u64_t *word, uint64_t value)
{
    const uint64_t offset = arena_offset(word);
    size_t i = 0;
    while (i < transaction->count && transaction->entries[i].offset != offset)
        i++;
    assert(i < JOURNAL_MAX); /* how many words a transaction writes does not depend on data */
    transaction->entries[i] = (change_t){offset, value};
    if (i == transaction->count)
        transaction->count++;
}

void journal_forget(transaction_t *transaction, uint64_t offset, uint64_t size)
{
    /* One too many just keeps its memory. */
    if (transaction->unused_count < JOURNAL_UNUSED_MAX)
        transaction->unused[transaction->unused_count++] = (change_t){offset, size};
}

void journal_step(transaction_t *transaction)
{
    journal_t *journal = &arena->journal;
    for (size_t i = 0; i < transaction->count; i++) {
        shm_write64(&journal->entries[i].offset, transaction->entries[i].offset);
        shm_write64(&journal->entries[i].value, transaction->entries[i].value);
    }
    shm_store(&journal->count, (uint32_t)transaction->count);
    apply(journal);
    transaction->count = 0;
    /* Before the lock is released: then somebody else may have it. */
    for (size_t i = 0; i < transaction->unused_count; i++)
        arena_return(transaction->unused[i].offset, transaction->unused[i].value);
    transaction->unused_count = 0;
}

void journal_commit(transaction_t *transaction)
{
    journal_step(transaction);
    robust_release(&arena->lock);
    arena_end_change();
}

void journal_abandon(transaction_t *transaction)
{
    transaction->count = 0;
    robust_release(&arena->lock);
    arena_end_change();
}
