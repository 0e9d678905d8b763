/* SPDX-License-Identifier: Apache-2.0 */
#include "handle.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <apr_thread_proc.h>

#include <mproc/status.h>

#include "hazard.h"

/*
 * A handle's bits, from the lowest: 3 for a tag that no aligned pointer has, 5 for the kind, then the index, then
 * the generation.
 */
#define TAG ((uintptr_t)5)
#define TAG_BITS 3
#define KIND_BITS 5
#define INDEX_SHIFT (TAG_BITS + KIND_BITS)
#define INDEX_BITS (sizeof(uintptr_t) >= 8 ? 24 : 14)
#define GENERATION_SHIFT (INDEX_SHIFT + INDEX_BITS)
#define GENERATION_MASK ((uintptr_t)-1 >> GENERATION_SHIFT)

/*
 * A slot's word: generation in the upper half, then one bit that says open, then the number of uses. One word, so that
 * a use is counted only if the handle is still open, and a close is seen by all later uses.
 */
#define OPEN ((uint64_t)1 << 31)
#define USES (OPEN - 1)

typedef struct slot_t {
    _Atomic uint64_t word;
    void *object;
    handle_destroy_t destroy;
    handle_kind_t kind;
    uint32_t next_free; /* index + 1 of the next free slot */
} slot_t;

/*
 * Chunks are never freed or moved, so that a stale handle can always be checked. Each is twice as large as the one
 * before; the first is static and small, so that it lies with the library's other variables: a forked child writes to
 * both, and each page costs it.
 */
enum { FIRST_CHUNK = 32, CHUNKS = 15 };
static slot_t first_chunk[FIRST_CHUNK];
static _Atomic(slot_t *) chunks[CHUNKS] = {first_chunk};

/* The most slots that there can be. */
#define SLOTS ((uint32_t)FIRST_CHUNK * ((1u << CHUNKS) - 1))
#define LIMIT (INDEX_BITS < 20 ? (uint32_t)1 << INDEX_BITS : SLOTS)

/*
 * New slots are taken until there is a multiple of this, and only then free ones: where generations are few (32 bit), a
 * slot must not be the only one that is used. Elsewhere the fewest slots are best.
 */
#define TAKING_TURNS (INDEX_BITS < 20 ? 256u : 1u)

static uint32_t used;       /* slots that were ever in use */
static uint32_t first_free; /* index + 1; 0 for none */
static uint32_t last_free;  /* the queue is first in, first out: a slot rests before it is used again */
static atomic_flag busy = ATOMIC_FLAG_INIT;

/*
 * A spin lock, since it must work before anything is initialized, and is held for a few instructions. Its holder can
 * lose the CPU all the same: then there is nothing to gain by spinning on.
 */
void handle_lock(void)
{
    while (atomic_flag_test_and_set_explicit(&busy, memory_order_acquire))
        apr_thread_yield();
}

void handle_unlock(void)
{
    atomic_flag_clear_explicit(&busy, memory_order_release);
}

/** Find the chunk of an index, which becomes the place in it. */
static unsigned chunk_of(uint32_t *index)
{
    unsigned chunk = 0;
    for (uint32_t size = FIRST_CHUNK; *index >= size && chunk < CHUNKS; size *= 2, chunk++)
        *index -= size;
    return chunk;
}

static slot_t *slot_at(uint32_t index)
{
    const unsigned number = chunk_of(&index);
    slot_t *chunk = number < CHUNKS ? atomic_load_explicit(&chunks[number], memory_order_acquire) : NULL;
    return chunk ? &chunk[index] : NULL;
}

/** A chunk that is not in use yet, or is wanted. */
typedef struct spare_t {
    unsigned number;
    slot_t *slots;
} spare_t;

/**
 * Take a free slot, with the lock held. NULL if there is none: then `spare->number` says which chunk is wanted for one,
 * or CHUNKS if the table is full.
 */
static slot_t *take_slot(uint32_t *index, spare_t *spare)
{
    if (first_free && used % TAKING_TURNS == 0) {
        *index = first_free - 1;
        slot_t *slot = slot_at(*index);
        first_free = slot->next_free;
        if (!first_free)
            last_free = 0;
        return slot;
    }
    uint32_t place = used;
    const unsigned number = used < LIMIT ? chunk_of(&place) : CHUNKS;
    if (number == CHUNKS || !slot_at(used)) {
        /* It must be of the right size: another thread may have gone on to the next chunk. */
        if (!spare->slots || spare->number != number) {
            spare->number = number;
            return NULL;
        }
        atomic_store_explicit(&chunks[number], spare->slots, memory_order_release);
        spare->slots = NULL;
    }
    *index = used++;
    return slot_at(*index);
}

/** Take a free slot, getting memory for more of them if need be; NULL if there is none. */
static slot_t *get_slot(uint32_t *index)
{
    spare_t spare = {CHUNKS, NULL};
    slot_t *slot;
    for (;;) {
        handle_lock();
        slot = take_slot(index, &spare);
        handle_unlock();
        if (spare.slots)
            free(spare.slots);
        if (slot || spare.number == CHUNKS)
            return slot;
        /* Memory is got outside of the lock. */
        spare.slots = calloc((size_t)FIRST_CHUNK << spare.number, sizeof *spare.slots);
        if (!spare.slots)
            return NULL;
    }
}

static void *compose(uint32_t index, handle_kind_t kind, uint64_t generation)
{
    return (void *)(((uintptr_t)(generation & GENERATION_MASK) << GENERATION_SHIFT) | (uintptr_t)index << INDEX_SHIFT |
                    (uintptr_t)kind << TAG_BITS | TAG);
}

void *handle_open(handle_kind_t kind, void *object, handle_destroy_t destroy)
{
    uint32_t index = 0;
    slot_t *slot = get_slot(&index);
    if (!slot)
        return NULL;
    slot->object = object;
    slot->destroy = destroy;
    slot->kind = kind;
    const uint64_t generation = atomic_load_explicit(&slot->word, memory_order_relaxed) >> 32;
    atomic_store_explicit(&slot->word, generation << 32 | OPEN, memory_order_release);
    return compose(index, kind, generation);
}

/** Find the slot that a handle speaks of; whether it is still open, its word tells. */
static apr_status_t find_slot(slot_t **slot, uintptr_t *generation, const void *handle, handle_kind_t kind)
{
    const uintptr_t bits = (uintptr_t)handle;
    *slot = NULL;
    if (!handle)
        return APR_EINVAL;
    if ((bits & (((uintptr_t)1 << INDEX_SHIFT) - 1)) != ((uintptr_t)kind << TAG_BITS | TAG))
        return MPROC_ECLOSED;
    *slot = slot_at((uint32_t)(bits >> INDEX_SHIFT & (((uintptr_t)1 << INDEX_BITS) - 1)));
    *generation = bits >> GENERATION_SHIFT;
    return *slot ? APR_SUCCESS : MPROC_ECLOSED;
}

static int is_open(uint64_t word, uintptr_t generation)
{
    return (word & OPEN) && ((uintptr_t)(word >> 32) & GENERATION_MASK) == generation;
}

apr_status_t handle_acquire(void **object, const void *handle, handle_kind_t kind)
{
    slot_t *slot;
    uintptr_t generation;
    *object = NULL;
    apr_status_t status = find_slot(&slot, &generation, handle, kind);
    if (status != APR_SUCCESS)
        return status;
    uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire);
    do {
        if (!is_open(word, generation))
            return MPROC_ECLOSED;
    } while (!atomic_compare_exchange_weak_explicit(&slot->word, &word, word + 1, memory_order_acquire,
                                                    memory_order_acquire));
    *object = slot->object;
    return APR_SUCCESS;
}

void *handle_peek(const void *handle, handle_kind_t kind)
{
    slot_t *slot;
    uintptr_t generation;
    if (find_slot(&slot, &generation, handle, kind) != APR_SUCCESS || !is_open(atomic_load(&slot->word), generation))
        return NULL;
    return slot->object;
}

/** Destroy the object of a slot that nobody uses any more, and make the slot free for another generation. */
static void retire(slot_t *slot, uint32_t index)
{
    if (slot->kind >= HANDLE_FIRST_SHARED)
        hazard_wait(compose(index, slot->kind, atomic_load(&slot->word) >> 32));
    slot->destroy(slot->object);
    slot->object = NULL;
    handle_lock();
    const uint64_t generation = (atomic_load_explicit(&slot->word, memory_order_relaxed) >> 32) + 1;
    atomic_store_explicit(&slot->word, generation << 32, memory_order_release);
    slot->next_free = 0;
    if (last_free)
        slot_at(last_free - 1)->next_free = index + 1;
    else
        first_free = index + 1;
    last_free = index + 1;
    handle_unlock();
}

static uint32_t index_of(const void *handle)
{
    return (uint32_t)((uintptr_t)handle >> INDEX_SHIFT & (((uintptr_t)1 << INDEX_BITS) - 1));
}

void handle_release(const void *handle)
{
    slot_t *slot = slot_at(index_of(handle));
    const uint64_t before = atomic_fetch_sub_explicit(&slot->word, 1, memory_order_acq_rel);
    if ((before & USES) == 1 && !(before & OPEN))
        retire(slot, index_of(handle));
}

apr_status_t handle_close(const void *handle, handle_kind_t kind)
{
    slot_t *slot;
    uintptr_t generation;
    apr_status_t status = find_slot(&slot, &generation, handle, kind);
    if (status != APR_SUCCESS)
        return status;
    uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire);
    do {
        if (!is_open(word, generation))
            return MPROC_ECLOSED;
    } while (!atomic_compare_exchange_weak(&slot->word, &word, word & ~OPEN));
    if ((word & USES) == 0)
        retire(slot, index_of(handle));
    return APR_SUCCESS;
}

void handle_close_all(handle_kind_t kind, int (*approves)(const void *object), void (*closed)(void *object))
{
    handle_lock();
    const uint32_t count = used;
    handle_unlock();
    for (uint32_t index = 0; index < count; index++) {
        slot_t *slot = slot_at(index);
        const uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire);
        void *handle = compose(index, kind, word >> 32);
        void *object;
        if (!(word & OPEN) || slot->kind != kind || handle_acquire(&object, handle, kind) != APR_SUCCESS)
            continue;
        if (approves(object) && handle_close(handle, kind) == APR_SUCCESS && closed)
            closed(object);
        handle_release(handle);
    }
}

unsigned handle_uses(const void *handle)
{
    return (unsigned)(atomic_load_explicit(&slot_at(index_of(handle))->word, memory_order_acquire) & USES);
}

int handle_kind(const void *handle)
{
    const uintptr_t bits = (uintptr_t)handle;
    const uintptr_t mask = ((uintptr_t)1 << KIND_BITS) - 1;
    return (bits & (((uintptr_t)1 << TAG_BITS) - 1)) == TAG ? (int)(bits >> TAG_BITS & mask) : 0;
}
