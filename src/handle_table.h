/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file handle_table.h
 * @brief The table of handles, and how one is looked up: here, and not in handle.c, as whoever looks one up may have
 *        no more to do than to call a function takes (see hazard.h).
 */
#ifndef MPROC_HANDLE_TABLE_H
#define MPROC_HANDLE_TABLE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <mproc/status.h>

#include "handle.h"

/*
 * A handle's bits, from the lowest: 3 for a tag that no aligned pointer has, 5 for the kind, then the index, then
 * the generation.
 */
#define HANDLE_TAG ((uintptr_t)5)
#define HANDLE_TAG_BITS 3
#define HANDLE_KIND_BITS 5
#define HANDLE_INDEX_SHIFT (HANDLE_TAG_BITS + HANDLE_KIND_BITS)
#define HANDLE_INDEX_BITS (sizeof(uintptr_t) >= 8 ? 24 : 14)
#define HANDLE_GENERATION_SHIFT (HANDLE_INDEX_SHIFT + HANDLE_INDEX_BITS)
#define HANDLE_GENERATION_MASK ((uintptr_t)-1 >> HANDLE_GENERATION_SHIFT)

/*
 * A slot's word: generation in the upper half, then one bit that says open, then the number of uses. One word, so that
 * a use is counted only if the handle is still open, and a close is seen by all later uses.
 */
#define HANDLE_OPEN ((uint64_t)1 << 31)
#define HANDLE_USES (HANDLE_OPEN - 1)

typedef struct handle_slot_t {
    _Atomic uint64_t word;
    void *object;
    handle_destroy_t destroy;
    handle_kind_t kind;
    uint32_t next_free; /* index + 1 of the next free slot */
} handle_slot_t;

/*
 * Chunks are never freed or moved, so that a stale handle can always be checked. Each is twice as large as the one
 * before; the first is static and small, so that it lies with the library's other variables: a forked child writes to
 * both, and each page costs it.
 */
enum { HANDLE_FIRST_CHUNK = 32, HANDLE_CHUNKS = 15 };
extern handle_slot_t handle_first_chunk[HANDLE_FIRST_CHUNK];
extern _Atomic(handle_slot_t *) handle_chunks[HANDLE_CHUNKS];

/** Find the chunk of an index, which becomes the place in it. */
static inline unsigned handle_chunk_of(uint32_t *index)
{
    unsigned chunk = 0;
    for (uint32_t size = HANDLE_FIRST_CHUNK; *index >= size; size *= 2, chunk++)
        *index -= size;
    return chunk;
}

static inline handle_slot_t *handle_slot_at(uint32_t index)
{
    if (index < HANDLE_FIRST_CHUNK)
        return &handle_first_chunk[index];
    const unsigned number = handle_chunk_of(&index);
    handle_slot_t *chunk =
        number < HANDLE_CHUNKS ? atomic_load_explicit(&handle_chunks[number], memory_order_acquire) : NULL;
    return chunk ? &chunk[index] : NULL;
}

/** What kind of object a handle speaks of, if it is one. */
static inline unsigned handle_kind_of(const void *handle)
{
    return (unsigned)((uintptr_t)handle >> HANDLE_TAG_BITS & (((uintptr_t)1 << HANDLE_KIND_BITS) - 1));
}

/** Find the slot that a handle speaks of; whether it is still open, its word tells. */
static inline apr_status_t handle_find(handle_slot_t **slot, uintptr_t *generation, const void *handle,
                                       handle_kind_t kind)
{
    const uintptr_t bits = (uintptr_t)handle;
    *slot = NULL;
    if (!handle)
        return APR_EINVAL;
    if ((bits & (((uintptr_t)1 << HANDLE_INDEX_SHIFT) - 1)) != ((uintptr_t)kind << HANDLE_TAG_BITS | HANDLE_TAG))
        return MPROC_ECLOSED;
    *slot = handle_slot_at((uint32_t)(bits >> HANDLE_INDEX_SHIFT & (((uintptr_t)1 << HANDLE_INDEX_BITS) - 1)));
    *generation = bits >> HANDLE_GENERATION_SHIFT;
    return *slot ? APR_SUCCESS : MPROC_ECLOSED;
}

static inline int handle_is_open(uint64_t word, uintptr_t generation)
{
    return (word & HANDLE_OPEN) && ((uintptr_t)(word >> 32) & HANDLE_GENERATION_MASK) == generation;
}

/**
 * Get the object behind a handle, without keeping it from being destroyed: see hazard.h. NULL if the handle is not
 * open, or not of this kind.
 */
static inline void *handle_peek(const void *handle, handle_kind_t kind)
{
    handle_slot_t *slot;
    uintptr_t generation;
    if (handle_find(&slot, &generation, handle, kind) != APR_SUCCESS ||
        !handle_is_open(atomic_load(&slot->word), generation) || slot->kind != kind)
        return NULL;
    return slot->object;
}

#endif
