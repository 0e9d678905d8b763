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
#include "sys.h"

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
static void lock_table(void)
{
    while (atomic_flag_test_and_set_explicit(&busy, memory_order_acquire))
        apr_thread_yield();
}

static void unlock_table(void)
{
    atomic_flag_clear_explicit(&busy, memory_order_release);
}

/* ---- What a thread uses, for the children that it forks ---------------------------------------------------------- */

/*
 * A forked child has the table with the uses of all threads, but only the thread that has forked. That one uses shared
 * objects just then only if a call on them runs code of the program's, which forks. Such uses are noted as long as they
 * last, and stay; all other uses of shared objects are those of threads that the child does not have. Handles of other
 * kinds are refused in a child, and never closed there, so their uses do not matter.
 */
enum { NOTES = 8 };
static _Thread_local struct {
    unsigned count;
    unsigned more; /* uses that are not noted, as there was no room */
    const handle_slot_t *slots[NOTES];
} mine;

/** Whether calls on such an object run code of the program's: predicates, and what the last one at a barrier does. */
static int is_noted(handle_kind_t kind)
{
    return kind == HANDLE_CONDITION || kind == HANDLE_BARRIER;
}

static void note(const handle_slot_t *slot)
{
    if (mine.count < NOTES)
        mine.slots[mine.count++] = slot;
    else
        mine.more++;
}

static void drop_note(const handle_slot_t *slot)
{
    for (unsigned i = mine.count; i-- > 0;) {
        if (mine.slots[i] != slot)
            continue;
        mine.slots[i] = mine.slots[--mine.count];
        return;
    }
    mine.more--;
}

/**
 * In a forked child: leave the uses that this thread goes on with. An object whose handle its creator had closed while
 * another thread used it stays as it is: nothing but its memory is the child's, and that is a copy.
 */
static void drop_uses_of_others(void)
{
    if (mine.more > 0)
        return;
    for (uint32_t index = 0; index < used; index++) {
        handle_slot_t *slot = handle_slot_at(index);
        const uint64_t word = atomic_load_explicit(&slot->word, memory_order_relaxed);
        if ((word & HANDLE_USES) == 0 || slot->kind < HANDLE_FIRST_SHARED)
            continue;
        uint64_t uses = 0;
        for (unsigned i = 0; i < mine.count; i++)
            uses += mine.slots[i] == slot;
        /* Only if need be: the page becomes the child's own. */
        if ((word & HANDLE_USES) != uses)
            atomic_store_explicit(&slot->word, (word & ~HANDLE_USES) | uses, memory_order_relaxed);
    }
}

apr_status_t handle_watch_forks(void)
{
    return sys_at_fork(SYS_FORK_LAST, lock_table, unlock_table, drop_uses_of_others);
}

/* ---- The table --------------------------------------------------------------------------------------------------- */

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
        lock_table();
        slot = take_slot(index, &spare);
        unlock_table();
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
    if (is_noted(kind))
        note(slot);
    /* A forked child and its creator use the same slots for what they make from then on. */
    if (slot->kind != kind) {
        handle_release(handle);
        return MPROC_ECLOSED;
    }
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
    lock_table();
    const uint64_t generation = (atomic_load_explicit(&slot->word, memory_order_relaxed) >> 32) + 1;
    atomic_store_explicit(&slot->word, generation << 32, memory_order_release);
    slot->next_free = 0;
    if (last_free)
        handle_slot_at(last_free - 1)->next_free = index + 1;
    else
        first_free = index + 1;
    last_free = index + 1;
    unlock_table();
}

static uint32_t index_of(const void *handle)
{
    return (uint32_t)((uintptr_t)handle >> HANDLE_INDEX_SHIFT & (((uintptr_t)1 << HANDLE_INDEX_BITS) - 1));
}

void handle_release(const void *handle)
{
    handle_slot_t *slot = handle_slot_at(index_of(handle));
    if (is_noted((handle_kind_t)handle_kind_of(handle)))
        drop_note(slot);
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
        if (!handle_is_open(word, generation) || slot->kind != kind)
            return MPROC_ECLOSED;
    } while (!atomic_compare_exchange_weak(&slot->word, &word, word & ~HANDLE_OPEN));
    if ((word & HANDLE_USES) == 0)
        retire(slot, index_of(handle));
    return APR_SUCCESS;
}

void handle_close_all(handle_kind_t kind, int (*approves)(const void *object), void (*closed)(void *object))
{
    lock_table();
    const uint32_t count = used;
    unlock_table();
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
