/* SPDX-License-Identifier: Apache-2.0 */
#include "references.h"

#include "blocks.h"
#include "member.h"
#include "memory.h"
#include "shared.h"

/* A block of entries: as many as fill the size. */
enum { LIST_SIZE = 1024, LIST_ENTRIES = LIST_SIZE / 8 - 3 };

/** Some of a member's entries. Those lists that have room are in one chain, those that have none in another. */
typedef struct list_t {
    shm_u64_t next;
    shm_u64_t previous;
    shm_u64_t state;                 /* see below */
    shm_u64_t entries[LIST_ENTRIES]; /* an object's offset, or, if it is free, the next free entry (as in the state) */
} list_t;

_Static_assert(sizeof(list_t) == LIST_SIZE, "a list fills its block");

/** A list's word `state`, unpacked. */
typedef struct state_t {
    unsigned used;       /* entries */
    unsigned touched;    /* entries behind were never used */
    unsigned first_free; /* entry + 1; 0: none */
    uint32_t ticket;     /* whose it is */
} state_t;

static uint64_t pack(state_t state)
{
    return (uint64_t)state.used | (uint64_t)state.touched << 8 | (uint64_t)state.first_free << 16 |
           (uint64_t)state.ticket << 32;
}

static state_t unpack(uint64_t word)
{
    return (state_t){.used = (unsigned)(word & 0xff),
                     .touched = (unsigned)(word >> 8 & 0xff),
                     .first_free = (unsigned)(word >> 16 & 0xff),
                     .ticket = (uint32_t)(word >> 32)};
}

static list_t *list_at(uint64_t offset)
{
    return arena_at(offset);
}

/* ---- Chains of lists --------------------------------------------------------------------------------------------- */

static void put_in_front(transaction_t *transaction, shm_u64_t *first, uint64_t offset)
{
    const uint64_t next = journal_get(transaction, first);
    journal_put(transaction, &list_at(offset)->next, next);
    journal_put(transaction, &list_at(offset)->previous, 0);
    if (next)
        journal_put(transaction, &list_at(next)->previous, offset);
    journal_put(transaction, first, offset);
}

static void take_out(transaction_t *transaction, shm_u64_t *first, uint64_t offset)
{
    const uint64_t next = journal_get(transaction, &list_at(offset)->next);
    const uint64_t previous = journal_get(transaction, &list_at(offset)->previous);
    if (next)
        journal_put(transaction, &list_at(next)->previous, previous);
    journal_put(transaction, previous ? &list_at(previous)->next : first, next);
}

/** Get a list that has room for one more entry. */
static apr_status_t get_list(transaction_t *transaction, uint64_t *offset, arena_member_t *member, uint32_t ticket)
{
    *offset = journal_get(transaction, &member->lists_with_room);
    if (*offset)
        return APR_SUCCESS;
    const apr_status_t status = blocks_take(transaction, offset, LIST_SIZE, BLOCK_RAW);
    if (status != APR_SUCCESS)
        return status;
    journal_put(transaction, &list_at(*offset)->state, pack((state_t){.ticket = ticket}));
    put_in_front(transaction, &member->lists_with_room, *offset);
    return APR_SUCCESS;
}

/* ---- Entries ----------------------------------------------------------------------------------------------------- */

apr_status_t references_add(transaction_t *transaction, reference_t *reference, uint32_t ticket, uint64_t object)
{
    arena_member_t *member = member_at(ticket);
    uint64_t offset;
    const apr_status_t status = get_list(transaction, &offset, member, ticket);
    if (status != APR_SUCCESS)
        return status;
    list_t *list = list_at(offset);
    state_t state = unpack(journal_get(transaction, &list->state));
    unsigned entry = state.touched;
    if (state.first_free) {
        entry = state.first_free - 1;
        state.first_free = (unsigned)journal_get(transaction, &list->entries[entry]);
    } else {
        state.touched++;
    }
    state.used++;
    journal_put(transaction, &list->state, pack(state));
    journal_put(transaction, &list->entries[entry], object);
    if (state.used == LIST_ENTRIES) {
        take_out(transaction, &member->lists_with_room, offset);
        put_in_front(transaction, &member->full_lists, offset);
    }
    object_t *held = arena_at(object);
    journal_put(transaction, &held->holds, journal_get(transaction, &held->holds) + 1);
    *reference = arena_offset(&list->entries[entry]);
    return APR_SUCCESS;
}

/** Count a holder less: whether it was the last one, and the object goes. What it keeps stays. */
static int release_one(transaction_t *transaction, object_t *object)
{
    const uint64_t holds = journal_get(transaction, &object->holds) - 1;
    if ((uint32_t)holds > 0) {
        journal_put(transaction, &object->holds, holds);
        return 0;
    }
    if (holds & OBJECT_HAS_MEMORY)
        memory_leave(transaction, object);
    blocks_give(transaction, arena_offset(object));
    return 1;
}

/** Count a holder less; the last one takes the object along. What is kept keeps nothing itself. */
static uint64_t release(transaction_t *transaction, uint64_t offset)
{
    object_t *object = arena_at(offset);
    /* Looked at first: of a block that was given back the first words mean something else. */
    const uint64_t holds = journal_get(transaction, &object->holds);
    const uint64_t kept = holds & OBJECT_KEEPS ? journal_get(transaction, object_kept(object)) : 0;
    const uint64_t worth =
        holds & OBJECT_IS_COUNTED ? journal_get(transaction, object_word(object, OBJECT_WORTH_AT)) : 0;
    if (!release_one(transaction, object) || !kept)
        return 0;
    shm_u64_t *count = object_word(arena_at(kept), OBJECT_COUNT_AT);
    if (worth)
        journal_put(transaction, count, journal_get(transaction, count) - worth);
    return release_one(transaction, arena_at(kept)) ? 0 : kept;
}

uint64_t references_drop(transaction_t *transaction, reference_t reference)
{
    const uint64_t offset = reference & ~(uint64_t)(LIST_SIZE - 1);
    list_t *list = list_at(offset);
    const unsigned entry = (unsigned)((reference - offset) / 8 - (LIST_SIZE / 8 - LIST_ENTRIES));
    state_t state = unpack(journal_get(transaction, &list->state));
    arena_member_t *member = member_at(state.ticket);
    const uint64_t kept = release(transaction, journal_get(transaction, &list->entries[entry]));
    if (state.used == LIST_ENTRIES) {
        take_out(transaction, &member->full_lists, offset);
        put_in_front(transaction, &member->lists_with_room, offset);
    }
    state.used--;
    if (state.used == 0) {
        take_out(transaction, &member->lists_with_room, offset);
        blocks_give(transaction, offset);
        return kept;
    }
    journal_put(transaction, &list->entries[entry], state.first_free);
    state.first_free = entry + 1;
    journal_put(transaction, &list->state, pack(state));
    return kept;
}

/** After a transaction has dropped something. */
static void follow_up(uint64_t kept)
{
    transaction_t transaction;
    /* Others may have released it since then: what is there now stays while the lock is held. */
    if (kept && journal_begin(&transaction)) {
        shared_stir(kept);
        journal_abandon(&transaction);
    }
    memory_clean();
}

void references_release(reference_t reference, uint32_t holder)
{
    transaction_t transaction;
    uint64_t kept = 0;
    if (!journal_begin(&transaction))
        return;
    if (!member_has_released(holder))
        kept = references_drop(&transaction, reference);
    journal_commit(&transaction);
    follow_up(kept);
}

/** Drop one entry of a member's: 0 if there was none. Tells what references_drop() does. */
static int drop_one(transaction_t *transaction, uint64_t *kept, const arena_member_t *member,
                    void (*bereave)(uint64_t object))
{
    uint64_t offset = journal_get(transaction, &member->lists_with_room);
    if (!offset)
        offset = journal_get(transaction, &member->full_lists);
    if (!offset)
        return 0;
    const list_t *list = list_at(offset);
    const unsigned touched = unpack(journal_get(transaction, &list->state)).touched;
    /* Offsets of objects are above all numbers of entries. */
    for (unsigned i = 0; i < touched; i++) {
        const uint64_t object = journal_get(transaction, &list->entries[i]);
        if (object > LIST_ENTRIES) {
            if (bereave)
                bereave(object);
            *kept = references_drop(transaction, arena_offset(&list->entries[i]));
            return 1;
        }
    }
    return 0;
}

void references_release_all(uint32_t ticket, void (*bereave)(uint64_t object))
{
    transaction_t transaction;
    const arena_member_t *member = member_at(ticket);
    int is_more = 1;
    while (is_more) {
        uint64_t kept = 0;
        if (!journal_begin(&transaction))
            return;
        /* Somebody else may have been faster, and the place be another's. */
        is_more = member_ident(member).ticket == ticket && drop_one(&transaction, &kept, member, bereave);
        journal_commit(&transaction);
        follow_up(kept);
    }
}
