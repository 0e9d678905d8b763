/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file memory.h
 * @brief Memory that objects have in the arena besides their own block: it goes when they go.
 *
 * An object has a chain of parts, which begin with links. When the last one who holds the object has gone, the chain is
 * left to whoever cleans up, in transactions of their own: it may be long. An object that has memory says so in its
 * word `holds`, from when it is made.
 */
#ifndef MPROC_MEMORY_H
#define MPROC_MEMORY_H

#include "references.h"

/** The most bytes of a part, which no arena has room for: one more is a size that cannot be meant. */
#define MEMORY_MAX ((uint64_t)1 << 48)

/**
 * Have a part for an object, whose content is anything; it is aligned for any type, and to a line of the cache. Its
 * memory is there, whatever becomes of the transaction.
 *
 * @return APR_SUCCESS; APR_ENOMEM: nothing is changed.
 */
apr_status_t memory_take(transaction_t *transaction, uint64_t *part, uint64_t size, object_t *object);

/** The part whose memory is at an address, whoever says so; 0: none. */
uint64_t memory_part_at(const void *address);

/** A word of a part, for whoever has taken it; anything until it is written. */
shm_u64_t *memory_note(uint64_t part);

/** The part that was taken last of those that an object has; 0: it has none. */
uint64_t memory_last(const object_t *object);

/** Give a part back. */
void memory_give(transaction_t *transaction, uint64_t part, object_t *object);

/** An object goes: what it has is left to memory_clean(). */
void memory_leave(transaction_t *transaction, object_t *object);

/** Give back what was left, by this process or one that has died since then. Not while the arena's lock is held. */
void memory_clean(void);

#endif
