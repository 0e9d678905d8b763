/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file journal.h
 * @brief Changes of several words that happen all or not at all, whoever is killed when.
 *
 * Who wants to change something takes the arena's lock, lists the words and what they are to become, and publishes the
 * list by one store; then it writes them. If it is killed before that store nothing has happened; if after it, whoever
 * takes the lock next writes them once more: each has its final value, so that does no harm.
 */
#ifndef MPROC_JOURNAL_H
#define MPROC_JOURNAL_H

#include <apr_errno.h>

#include "robust.h"
#include "shm.h"

/** The most words of one transaction. */
enum { JOURNAL_MAX = 48, JOURNAL_UNUSED_MAX = 3 };

typedef struct journal_entry_t {
    shm_u64_t offset; /* in the arena */
    shm_u64_t value;
} journal_entry_t;

/** In the arena: what is to be written. */
typedef struct journal_t {
    shm_u32_t count; /* 0: nothing */
    uint32_t reserved;
    journal_entry_t entries[JOURNAL_MAX];
} journal_t;

/** What a word is to become. */
typedef struct change_t {
    uint64_t offset;
    uint64_t value;
} change_t;

/** In a member: a transaction that is being put together. */
typedef struct transaction_t {
    /* Memory that the system can have back when this is done: an object's, that of one it kept, and a list's. */
    change_t unused[JOURNAL_UNUSED_MAX]; /* its beginning, and its size */
    size_t unused_count;
    size_t count;
    change_t entries[JOURNAL_MAX];
} transaction_t;

/**
 * Take the arena's lock, finish what a dead member had begun, and start anew: 0 if this process is no member any more,
 * as another thread has ended the library; then nothing was begun.
 */
int journal_begin(transaction_t *transaction);

/** What a word is, or is to become in this transaction. */
uint64_t journal_get(const transaction_t *transaction, const shm_u64_t *word);

/** Have a word become something. */
void journal_put(transaction_t *transaction, shm_u64_t *word, uint64_t value);

/** When it is done, nobody needs what is in a part of the arena, whose memory the system can have back. */
void journal_forget(transaction_t *transaction, uint64_t offset, uint64_t size);

/** Do it all, and release the lock. */
void journal_commit(transaction_t *transaction);

/** Do it all, but keep the lock, to go on with another transaction. */
void journal_step(transaction_t *transaction);

/** Do nothing of it, and release the lock. */
void journal_abandon(transaction_t *transaction);

#endif
