/* SPDX-License-Identifier: Apache-2.0 */
#include "handle.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <apr_thread_proc.h>

#include <mproc/status.h>

#include "handle_table.h"
#include "hazard.h"

handle_slot_t handle_first_chunk[HANDLE_FIRST_CHUNK];
_Atomic(handle_slot_t *) handle_chunks[HANDLE_CHUNKS] = {handle_first_chunk};

/* The most slots that there can be. */
#define SLOTS ((uint32_t)HANDLE_FIRST_CHUNK * ((1u << HANDLE_CHUNKS) - 1))
#define LIMIT (HANDLE_INDEX_BITS < 20 ? (uint32_t)1 << HANDLE_INDEX_BITS : SLOTS)

/*
 * New slots are taken until there is a multiple of this, and only then free ones: where generations are few (32 bit), a
 * slot must not be the only one that is used. Elsewhere the fewest slots are best.
 */
#define TAKING_TURNS (HANDLE_INDEX_BITS < 20 ? 256u : 1u)

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

/** A chunk that is not in use yet, or is wanted. */
typedef struct spare_t {
    unsigned number;
    handle_slot_t *slots;
} spare_t;

/**
 * Take a free slot, with the lock held. NULL if there is none: then `spare->number` says which chunk is wanted for one,
 * or HANDLE_CHUNKS if the table is full.
 */
static handle_slot_t *take_slot(uint32_t *index, spare_t *spare)
{
    if (first_free && used % TAKING_TURNS == 0) {
        *index = first_free - 1;
        handle_slot_t *slot = handle_slot_at(*index);
        first_free = slot->next_free;
        if (!first_free)
            last_free = 0;
        return slot;
    }
    uint32_t place = used;
    const unsigned number = used < LIMIT ? handle_chunk_of(&place) : HANDLE_CHUNKS;
    if (number == HANDLE_CHUNKS || !handle_slot_at(used)) {
        /* It must be of the right size: another thread may have gone on to the next chunk. */
        if (!spare->slots || spare->number != number) {
            spare->number = number;
            return NULL;
        }
        atomic_store_explicit(&handle_chunks[number], spare->slots, memory_order_release);
        spare->slots = NULL;
    }
    *index = used++;
    return handle_slot_at(*index);
}

/** Take a free slot, getting memory for more of them if need be; NULL if there is none. */
static handle_slot_t *get_slot(uint32_t *index)
{
    spare_t spare = {HANDLE_CHUNKS, NULL};
    handle_slot_t *slot;
    for (;;) {
        handle_lock();
        slot = take_slot(index, &spare);
        handle_unlock();
        if (spare.slots)
            free(spare.slots);
        if (slot || spare.number == HANDLE_CHUNKS)
            return slot;
        /* Memory is got outside of the lock. */
        spare.slots = calloc((size_t)HANDLE_FIRST_CHUNK << spare.number, sizeof *spare.slots);
        if (!spare.slots)
            return NULL;
    }
}

static void *compose(uint32_t index, handle_kind_t kind, uint64_t generation)
{
    return (void *)(((uintptr_t)(generation & HANDLE_GENERATION_MASK) << HANDLE_GENERATION_SHIFT) |
                    (uintptr_t)index << HANDLE_INDEX_SHIFT | (uintptr_t)kind << HANDLE_TAG_BITS | HANDLE_TAG);
}

void *handle_open(handle_kind_t kind, void *object, handle_destroy_t destroy)
{
    uint32_t index = 0;
    handle_slot_t *slot = get_slot(&index);
    if (!slot)
        return NULL;
    slot->object = object;
    slot->destroy = destroy;
    slot->kind = kind;
    const uint64_t generation = atomic_load_explicit(&slot->word, memory_order_relaxed) >> 32;
    atomic_store_explicit(&slot->word, generation << 32 | HANDLE_OPEN, memory_order_release);
    return compose(index, kind, generation);
}

apr_status_t handle_acquire(void **object, const void *handle, handle_kind_t kind)
{
    handle_slot_t *slot;
    uintptr_t generation;
    *object = NULL;
    apr_status_t status = handle_find(&slot, &generation, handle, kind);
    if (status != APR_SUCCESS)
        return status;
    uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire);
    do {
        if (!handle_is_open(word, generation))
            return MPROC_ECLOSED;
    } while (!atomic_compare_exchange_weak_explicit(&slot->word, &word, word + 1, memory_order_acquire,
                                                    memory_order_acquire));
    *object = slot->object;
    return APR_SUCCESS;
}

/** Destroy the object of a slot that nobody uses any more, and make the slot free for another generation. */
static void retire(handle_slot_t *slot, uint32_t index)
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
        handle_slot_at(last_free - 1)->next_free = index + 1;
    else
        first_free = index + 1;
    last_free = index + 1;
    handle_unlock();
}

static uint32_t index_of(const void *handle)
{
    return (uint32_t)((uintptr_t)handle >> HANDLE_INDEX_SHIFT & (((uintptr_t)1 << HANDLE_INDEX_BITS) - 1));
}

void handle_release(const void *handle)
{
    handle_slot_t *slot = handle_slot_at(index_of(handle));
    const uint64_t before = atomic_fetch_sub_explicit(&slot->word, 1, memory_order_acq_rel);
    if ((before & HANDLE_USES) == 1 && !(before & HANDLE_OPEN))
        retire(slot, index_of(handle));
}

apr_status_t handle_close(const void *handle, handle_kind_t kind)
{
    handle_slot_t *slot;
    uintptr_t generation;
    apr_status_t status = handle_find(&slot, &generation, handle, kind);
    if (status != APR_SUCCESS)
        return status;
    uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire);
    do {
        if (!handle_is_open(word, generation))
            return MPROC_ECLOSED;
    } while (!atomic_compare_exchange_weak(&slot->word, &word, word & ~HANDLE_OPEN));
    if ((word & HANDLE_USES) == 0)
        retire(slot, index_of(handle));
    return APR_SUCCESS;
}

void handle_close_all(handle_kind_t kind, int (*approves)(const void *object), void (*closed)(void *object))
{
    handle_lock();
    const uint32_t count = used;
    handle_unlock();
    for (uint32_t index = 0; index < count; index++) {
        handle_slot_t *slot = handle_slot_at(index);
        const uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire);
        void *handle = compose(index, kind, word >> 32);
        void *object;
        if (!(word & HANDLE_OPEN) || slot->kind != kind || handle_acquire(&object, handle, kind) != APR_SUCCESS)
            continue;
        if (approves(object) && handle_close(handle, kind) == APR_SUCCESS && closed)
            closed(object);
        handle_release(handle);
    }
}

unsigned handle_uses(const void *handle)
{
    return (unsigned)(atomic_load_explicit(&handle_slot_at(index_of(handle))->word, memory_order_acquire) &
                      HANDLE_USES);
}

int handle_kind(const void *handle)
{
    const uintptr_t bits = (uintptr_t)handle;
    const uintptr_t mask = ((uintptr_t)1 << HANDLE_KIND_BITS) - 1;
    return (bits & (((uintptr_t)1 << HANDLE_TAG_BITS) - 1)) == HANDLE_TAG ? (int)(bits >> HANDLE_TAG_BITS & mask) : 0;
}
