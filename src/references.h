/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file references.h
 * @brief Who holds which object: recorded in the arena, so that it can be released for those who die.
 *
 * Each member has lists of what it holds, in blocks of the arena; an entry is the offset of an object. An object counts
 * its entries, and is gone with the last one.
 */
#ifndef MPROC_REFERENCES_H
#define MPROC_REFERENCES_H

#include "arena.h"

/** What all objects begin with. */
typedef struct object_t {
    shm_u64_t serial; /* 0: there is none */
    shm_u64_t holds;  /* kind in the upper half, entries in the lower; where there is none, the allocator's */
} object_t;

/**
 * What an object's word `holds` says besides, and the words of it that these make use of: it keeps another one alive,
 * which counts it as a holder; it has memory (memory.h); and it is counted in a word of the one that it keeps, which
 * loses so much when it goes.
 */
#define OBJECT_KEEPS ((uint64_t)1 << 63)
#define OBJECT_HAS_MEMORY ((uint64_t)1 << 62)
#define OBJECT_IS_COUNTED ((uint64_t)1 << 61)
enum { OBJECT_KEPT_AT = 40, OBJECT_MEMORY_AT = 48, OBJECT_WORTH_AT = 48, OBJECT_COUNT_AT = 56 };

static inline shm_u64_t *object_word(object_t *object, size_t at)
{
    return (shm_u64_t *)(void *)((unsigned char *)object + at);
}

static inline shm_u64_t *object_kept(object_t *object)
{
    return object_word(object, OBJECT_KEPT_AT);
}

static inline shm_u64_t *object_memory(object_t *object)
{
    return object_word(object, OBJECT_MEMORY_AT);
}

/** What kind of object it is, from its word `holds`. */
static inline uint64_t object_kind(uint64_t holds)
{
    return (holds & ~(OBJECT_KEEPS | OBJECT_HAS_MEMORY | OBJECT_IS_COUNTED)) >> 32;
}

/** An entry: where it is. */
typedef uint64_t reference_t;

/**
 * Have a member hold an object, which counts it.
 *
 * @return APR_SUCCESS; APR_ENOMEM: nothing is changed.
 */
apr_status_t references_add(transaction_t *transaction, reference_t *reference, uint32_t ticket, uint64_t object);

/**
 * Release what an entry refers to. If that took along an object which kept another one, the other one is told, and 0
 * otherwise: whoever waits for it may have to look again.
 */
uint64_t references_drop(transaction_t *transaction, reference_t reference);

/** The same in a transaction of its own, with all that follows; not if this process holds nothing any more. */
void references_release(reference_t reference, uint32_t holder);

/**
 * Release all that a member holds, after a call for each object if it has died (or NULL). It takes as many transactions
 * as it needs, so the lock must not be held.
 */
void references_release_all(uint32_t ticket, void (*bereave)(uint64_t object));

#endif
