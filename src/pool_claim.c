/* SPDX-License-Identifier: Apache-2.0 */
#include "pool_claim.h"

#include <limits.h>

#include "member.h"

/* ---- Parts of maps ----------------------------------------------------------------------------------------------- */

/** Count what was done of the part that a worker is in, and leave it. */
void pool_leave(pool_hand_t *hand)
{
    const uint64_t place = shm_read64(&hand->slot->part);
    if (!place)
        return;
    pool_part_state_t *part = &pool_record(place)->part_state;
    const uint32_t counted = hand->uncounted;
    const uint32_t left = counted ? shm_add(&part->left, 0 - counted) : 0;
    const int is_torn = shm_load(&part->is_torn) != 0;
    hand->uncounted = 0;
    /* From here on the owner may take the part's memory back. */
    shm_store64(&hand->slot->part, 0);
    if (is_torn || (counted && left == counted))
        pool_tell(hand->head);
}

/**
 * Enter a part: whether it is still there. It is noted first: the owner frees its memory after it was closed, and when
 * no worker has noted it.
 */
static int enter_part(pool_hand_t *hand, const pool_record_t *record, uint64_t state)
{
    const uint64_t place = pool_place(record);
    if (shm_read64(&hand->slot->part) == place)
        return 1;
    pool_leave(hand);
    shm_store64(&hand->slot->part, place);
    hand->units_per_try = 0; /* nothing is known of it yet */
    if (shm_load64(&record->state) == state)
        return 1;
    shm_store64(&hand->slot->part, 0);
    return 0;
}

/** How many units to claim: as many as are worth it, but leave the others something to do, too. */
static uint32_t choose_count(const pool_hand_t *hand, const pool_record_t *record, uint64_t next)
{
    enum { SHARE = 3 };
    if (record->part.is_fixed)
        return 1;
    const uint64_t left = record->part.unit_count - next;
    const uint64_t share = left / ((uint64_t)hand->head->worker_count * SHARE);
    const double pace = hand->units_per_try > 0 ? hand->units_per_try : (double)shm_read64(&record->part_state.pace);
    const uint64_t worth = pace < UNIT_COUNT_MAX ? (uint64_t)pace : UNIT_COUNT_MAX;
    const uint64_t count = worth < share ? worth : share;
    return count > 0 ? (uint32_t)count : 1;
}

static int claim_unit(pool_hand_t *hand, pool_claim_t *claim, pool_record_t *record, uint64_t state)
{
    shm_u64_t *next = &record->part_state.next;
    if (!enter_part(hand, record, state))
        return 0;
    for (;;) {
        const uint64_t unit = shm_load64(next);
        if (unit >= record->part.unit_count)
            return 0;
        shm_u32_t *word = &pool_units(record)[unit];
        const uint32_t found = shm_load(word);
        if (found != UNIT_FREE) {
            /* Whoever has claimed it may never come to this. */
            shm_replace64(next, unit, unit + unit_count(found));
            continue;
        }
        const uint32_t count = choose_count(hand, record, unit);
        *claim = (pool_claim_t){record, state, (uint32_t)unit, unit_word(UNIT_CLAIMED, hand->number, count), 0};
        if (hand->tells_time || shm_load(&record->is_timed) || !record->part.is_fixed)
            claim->since = sys_now();
        shm_write64(&hand->slot->since, (uint64_t)claim->since);
        shm_write64(&hand->slot->claim, pool_place(record) << 32 | unit);
        if (!shm_replace(word, UNIT_FREE, claim->word))
            continue;
        shm_replace64(next, unit, unit + count);
        return 1;
    }
}

void pool_note_time(pool_hand_t *hand, const pool_claim_t *claim, sys_time_t taken)
{
    /*
     * A claim costs less than half a microsecond, so of what takes these 200 it is less than one percent, whatever
     * the clock's grain; and the last ones do not keep the others waiting for long.
     */
    enum { WORTH = 200, FASTER = 16 };
    const double count = unit_count(claim->word);
    const double worth = taken > 0 ? count * WORTH / (double)taken : count * FASTER;
    hand->units_per_try = worth > count * FASTER ? count * FASTER : worth < 1 ? 1 : worth;
    shm_write64(&claim->record->part_state.pace, (uint64_t)hand->units_per_try);
}

/* ---- Claims ------------------------------------------------------------------------------------------------------ */

static int claim_single(pool_hand_t *hand, pool_claim_t *claim, pool_record_t *record, uint64_t state)
{
    const uint64_t claimed = record_become(state, RECORD_CLAIMED) | (uint64_t)hand->number << RECORD_WORKER_SHIFT;
    *claim = (pool_claim_t){record, claimed, POOL_NO_UNIT, 0, 0};
    if (hand->tells_time || shm_load(&record->is_timed))
        claim->since = sys_now();
    shm_write64(&hand->slot->since, (uint64_t)claim->since);
    shm_write64(&hand->slot->claim, pool_place(record) << 32 | POOL_NO_UNIT);
    return shm_replace64(&record->state, state, claimed);
}

/** Move a ring's head on from a position, unless somebody has. */
static void pass(pool_ring_t *ring, uint64_t position)
{
    shm_replace64(&ring->head, position, position + 1);
}

static int claim_from(pool_hand_t *hand, pool_claim_t *claim, pool_ring_t *ring)
{
    for (;;) {
        const uint64_t position = shm_load64(&ring->head);
        if (position == shm_load64(&ring->tail))
            return 0;
        /* If the head has moved on this may be a later lap's, which is as good. */
        const uint64_t entry = shm_load64(&ring->entries[position % POOL_RING]);
        pool_record_t *record = pool_record(entry >> 32);
        const uint64_t state = shm_load64(&record->state);
        const int is_same = (state >> RECORD_GENERATION_SHIFT) == (entry & UINT32_MAX);
        if (is_same && record_kind(state) == RECORD_QUEUED) {
            if (!claim_single(hand, claim, record, state))
                continue;
            pass(ring, position);
            return 1;
        }
        if (is_same && record_kind(state) == RECORD_OPEN && claim_unit(hand, claim, record, state))
            return 1;
        pass(ring, position);
    }
}

int pool_claim(pool_hand_t *hand, pool_claim_t *claim)
{
    if (claim_from(hand, claim, pool_ring(hand->head, POOL_AGAIN)) ||
        claim_from(hand, claim, pool_ring(hand->head, POOL_FIRST))) {
        /* Of a part that it is not in any more it has nothing left to count. */
        if (pool_place(claim->record) != shm_read64(&hand->slot->part))
            pool_leave(hand);
        return 1;
    }
    pool_leave(hand);
    return 0;
}

int pool_has_claim(const pool_claim_t *claim)
{
    if (claim->unit != POOL_NO_UNIT)
        return shm_load(&pool_units(claim->record)[claim->unit]) == claim->word;
    const uint64_t flags = RECORD_IS_AWAITED | RECORD_IS_LISTED;
    return (shm_load64(&claim->record->state) & ~flags) == (claim->state & ~flags);
}

/** List a record that has ended, for the owner's dispatcher. */
static void list_ended(pool_head_t *head, pool_record_t *record)
{
    for (;;) {
        const uint64_t next = shm_load64(&head->ended);
        shm_write64(&record->next, next);
        if (shm_replace64(&head->ended, next, arena_offset(record)))
            return;
    }
}

static int end_single(pool_hand_t *hand, const pool_claim_t *claim)
{
    const uint64_t flags = RECORD_IS_AWAITED | RECORD_IS_LISTED;
    for (;;) {
        const uint64_t state = shm_load64(&claim->record->state);
        if ((state & ~flags) != (claim->state & ~flags))
            return 0;
        /* Still with the worker's number: if it dies before it has listed the record, the owner knows who was to. */
        if (!shm_replace64(&claim->record->state, state, (state & ~RECORD_KIND) | RECORD_ENDED))
            continue;
        /* Unless it is listed, it may be another one from now on. */
        if (state & RECORD_IS_LISTED)
            list_ended(hand->head, claim->record);
        if (state & RECORD_IS_AWAITED)
            pool_tell(hand->head);
        return 1;
    }
}

static int end_units(pool_hand_t *hand, const pool_claim_t *claim)
{
    const uint32_t count = unit_count(claim->word);
    if (!shm_replace(&pool_units(claim->record)[claim->unit], claim->word, unit_word(UNIT_DONE, hand->number, count)))
        return 0;
    hand->uncounted += count;
    return 1;
}

static void open_count(shm_u64_t *count)
{
    shm_write64(count, shm_read64(count) | COUNT_IS_OPEN);
}

static void close_count(shm_u64_t *count, int has_ended)
{
    shm_write64(count, (shm_read64(count) & ~COUNT_IS_OPEN) + (has_ended ? COUNT_ONE : 0));
}

int pool_end_claim(pool_hand_t *hand, const pool_claim_t *claim, int has_failed)
{
    pool_slot_t *slot = hand->slot;
    open_count(&slot->done);
    if (has_failed)
        open_count(&slot->failed);
    const int has_ended = claim->unit == POOL_NO_UNIT ? end_single(hand, claim) : end_units(hand, claim);
    close_count(&slot->done, has_ended);
    if (has_failed)
        close_count(&slot->failed, has_ended);
    return has_ended;
}

apr_status_t pool_merge_error(pool_record_t *record, const mproc_task_error_t *error, sys_time_t deadline)
{
    pool_errors_t *errors = arena_at(record->part.errors);
    const robust_wait_t wait = {member_self(), deadline, NULL, NULL};
    /* A dead owner of the lock has left the place that counts as it was. */
    if (robust_acquire(&errors->lock, &wait) == APR_TIMEUP)
        return APR_TIMEUP;
    const uint32_t which = shm_load(&errors->which);
    if (which == 0 || error->index < errors->errors[which - 1].index) {
        errors->errors[which == 1 ? 1 : 0] = *error;
        shm_store(&errors->which, which == 1 ? 2 : 1);
    }
    robust_release(&errors->lock);
    return APR_SUCCESS;
}

/* ---- Sleeping and waking ----------------------------------------------------------------------------------------- */

int pool_has_work(const pool_head_t *head)
{
    for (int i = 0; i < POOL_RINGS; i++) {
        const pool_ring_t *ring = pool_ring(head, i);
        if (shm_load64(&ring->head) != shm_load64(&ring->tail))
            return 1;
    }
    return 0;
}

/*
 * Those that are counted are those that sleep, or more: whoever wakes some takes them off the count, but those that
 * wake by themselves, or die, do not. So the count errs by calls that wake nobody, until it is right again.
 *
 * One of those that have nothing to do may look for a while before it sleeps. It comes to what is put in meanwhile, so
 * nobody is woken for that; and when it has something to do, and there is more, it wakes another one.
 */

int pool_begin_look(const pool_hand_t *hand)
{
    return shm_replace(&hand->head->looker, 0, hand->number + 1);
}

void pool_end_look(const pool_hand_t *hand)
{
    shm_store(&hand->head->looker, 0);
}

int pool_begin_sleep(const pool_hand_t *hand)
{
    shm_u32_t *sleepers = &hand->head->sleepers;
    for (uint32_t count = shm_load(sleepers); count < hand->head->worker_count; count = shm_load(sleepers))
        if (shm_replace(sleepers, count, count + 1))
            break;
    return !pool_has_work(hand->head);
}

void pool_wake(pool_head_t *head, unsigned count)
{
    uint32_t sleepers;
    uint32_t woken;
    if (count > 0 && shm_load(&head->looker))
        count--;
    do {
        sleepers = shm_load(&head->sleepers);
        woken = sleepers < count ? sleepers : count;
        if (woken == 0)
            return;
    } while (!shm_replace(&head->sleepers, sleepers, sleepers - woken));
    shm_add(&head->bell, 1);
    shm_unpark(&head->bell, woken);
}

void pool_wake_all(pool_head_t *head)
{
    shm_add(&head->bell, 1);
    shm_unpark(&head->bell, UINT_MAX);
}

void pool_tell(pool_head_t *head)
{
    shm_add(&head->rounds, 1);
    shm_unpark(&head->rounds, UINT_MAX);
}

/* ---- The owner's ------------------------------------------------------------------------------------------------- */

int pool_append(pool_head_t *head, int which, const pool_record_t *record)
{
    pool_ring_t *ring = pool_ring(head, which);
    const uint64_t tail = shm_load64(&ring->tail);
    if (tail - shm_load64(&ring->head) >= POOL_RING)
        return 0;
    const uint64_t generation = shm_load64(&record->state) >> RECORD_GENERATION_SHIFT;
    shm_store64(&ring->entries[tail % POOL_RING], pool_place(record) << 32 | generation);
    shm_store64(&ring->tail, tail + 1);
    return 1;
}

int pool_take(pool_record_t *record, uint64_t state)
{
    return shm_replace64(&record->state, state, record_become(state, RECORD_TAKEN));
}

void pool_take_rest(pool_record_t *record)
{
    shm_u64_t *next = &record->part_state.next;
    for (uint64_t unit = shm_load64(next); unit < record->part.unit_count; unit = shm_load64(next)) {
        const uint64_t left = record->part.unit_count - unit;
        uint32_t count = left < UNIT_COUNT_MAX ? (uint32_t)left : UNIT_COUNT_MAX;
        shm_u32_t *word = &pool_units(record)[unit];
        const uint32_t found = shm_load(word);
        if (found != UNIT_FREE)
            count = unit_count(found);
        else if (!shm_replace(word, UNIT_FREE, unit_word(UNIT_TAKEN, POOL_OWNER, count)))
            continue;
        shm_replace64(next, unit, unit + count);
    }
}

claim_stage_t pool_see_claim(const pool_head_t *head, unsigned number, pool_claim_t *claim)
{
    const uint64_t noted = shm_load64(&pool_slot(head, number)->claim);
    if (!noted)
        return CLAIM_NONE;
    pool_record_t *record = pool_record(noted >> 32);
    *claim = (pool_claim_t){.record = record, .state = shm_load64(&record->state), .unit = (uint32_t)noted};
    const record_kind_t kind = record_kind(claim->state);
    if (claim->unit == POOL_NO_UNIT) {
        /* What it was about to claim another worker may have. */
        if (record_worker(claim->state) != number)
            return CLAIM_NONE;
        return kind == RECORD_CLAIMED ? CLAIM_RUNS : kind == RECORD_ENDED ? CLAIM_HAS_ENDED : CLAIM_NONE;
    }
    /* Not even its units may be there any more. */
    if (kind != RECORD_OPEN || claim->unit >= record->part.unit_count)
        return CLAIM_NONE;
    claim->word = shm_load(&pool_units(record)[claim->unit]);
    if (unit_worker(claim->word) != number)
        return CLAIM_NONE;
    const uint32_t kind_of_unit = unit_kind(claim->word);
    return kind_of_unit == UNIT_CLAIMED ? CLAIM_RUNS : kind_of_unit == UNIT_DONE ? CLAIM_HAS_ENDED : CLAIM_NONE;
}

int pool_is_part_over(const pool_record_t *record, uint64_t *seen)
{
    while (*seen < record->part.unit_count) {
        const uint32_t word = shm_load(&pool_units(record)[*seen]);
        if (unit_kind(word) != UNIT_DONE && unit_kind(word) != UNIT_TAKEN)
            return 0;
        *seen += unit_count(word);
    }
    return 1;
}
