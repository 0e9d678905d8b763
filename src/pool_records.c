/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of a pool: records, what maps need, functions; and how records come into the rings. */
#include <stdlib.h>
#include <string.h>

#include "member.h"
#include "memory.h"
#include "pool_object.h"
#include "target.h"

static apr_status_t take(const pool_t *pool, uint64_t *offset, uint64_t size)
{
    transaction_t transaction;
    *offset = 0;
    if (!journal_begin(&transaction))
        return MPROC_EINIT;
    const apr_status_t status = memory_take(&transaction, offset, size, &pool->head->head.object);
    if (status == APR_SUCCESS)
        journal_commit(&transaction);
    else
        journal_abandon(&transaction);
    return status;
}

apr_status_t pool_take_memory(pool_t *pool, uint64_t *offset, uint64_t size)
{
    const apr_status_t status = take(pool, offset, size);
    if (status != APR_ENOMEM)
        return status;
    /* What was kept for later is wanted now, and so is what the dead have left. */
    pool_clear_limbo(pool);
    pool_give_memory(pool, pool->spare);
    pool->spare = pool->spare_size = 0;
    member_ask_about_orphans();
    return take(pool, offset, size);
}

void pool_give_memory(pool_t *pool, uint64_t offset)
{
    transaction_t transaction;
    if (!offset || !journal_begin(&transaction))
        return;
    memory_give(&transaction, offset, &pool->head->head.object);
    journal_commit(&transaction);
}

/* ---- Records ----------------------------------------------------------------------------------------------------- */

/** Have some more records. */
static apr_status_t add_records(pool_t *pool)
{
    uint64_t offset;
    pool_entry_t *more = realloc(pool->entries, (pool->entry_count + POOL_SLAB) * sizeof *more);
    if (!more)
        return APR_ENOMEM;
    pool->entries = more;
    const apr_status_t status = pool_take_memory(pool, &offset, POOL_SLAB * sizeof(pool_record_t));
    if (status != APR_SUCCESS)
        return status;
    pool_record_t *records = arena_at(offset);
    if (pool_place(&records[POOL_SLAB - 1]) > UINT32_MAX) {
        pool_give_memory(pool, offset);
        return APR_ENOMEM;
    }
    for (uint32_t i = 0; i < POOL_SLAB; i++) {
        const uint32_t number = pool->entry_count + i;
        records[i].number = number;
        shm_store64(&records[i].state, RECORD_FREE);
        more[number] = (pool_entry_t){.record = &records[i], .next = i + 1 < POOL_SLAB ? number + 2 : 0};
    }
    pool->free_entry = pool->entry_count + 1;
    pool->entry_count += POOL_SLAB;
    return APR_SUCCESS;
}

pool_entry_t *pool_entry(pool_t *pool, const pool_record_t *record)
{
    return &pool->entries[record->number];
}

apr_status_t pool_get_record(pool_t *pool, pool_record_t **record)
{
    *record = NULL;
    if (!pool->free_entry) {
        const apr_status_t status = add_records(pool);
        if (status != APR_SUCCESS)
            return status;
    }
    pool_entry_t *entry = &pool->entries[pool->free_entry - 1];
    pool->free_entry = entry->next;
    entry->next = 0;
    *record = entry->record;
    const uint64_t generation = (shm_read64(&(*record)->state) >> RECORD_GENERATION_SHIFT) + 1;
    shm_store64(&(*record)->state, generation << RECORD_GENERATION_SHIFT | RECORD_FREE);
    (*record)->in = (*record)->result = 0;
    return APR_SUCCESS;
}

void pool_free_record(pool_t *pool, pool_record_t *record)
{
    pool_entry_t *entry = pool_entry(pool, record);
    const uint64_t state = shm_read64(&record->state);
    shm_store64(&record->state, record_become(state, RECORD_FREE) & ~(RECORD_IS_AWAITED | RECORD_IS_LISTED));
    pool_give_memory(pool, record->in);
    pool_give_memory(pool, record->result);
    record->in = record->result = 0;
    entry->future = NULL;
    entry->map = NULL;
    entry->is_over = entry->is_waiting;
    if (entry->is_waiting)
        return;
    entry->next = pool->free_entry;
    pool->free_entry = record->number + 1;
}

/* ---- Parts of maps that are over --------------------------------------------------------------------------------- */

static int is_looked_at(const pool_t *pool, const pool_record_t *record)
{
    const uint64_t place = pool_place(record);
    for (unsigned i = 0; i < pool->opts.workers; i++)
        if (shm_load64(&pool_slot(pool->head, i)->part) == place)
            return 1;
    return 0;
}

/** Keep the memory of a map for the next one, rather than give it back. */
static void keep_or_give(pool_t *pool, uint64_t memory, uint64_t size)
{
    const uint64_t most = (uint64_t)64 << 20;
    if (size > pool->spare_size && size <= most) {
        const uint64_t before = pool->spare;
        pool->spare = memory;
        pool->spare_size = size;
        memory = before;
    }
    pool_give_memory(pool, memory);
}

void pool_free_part(pool_t *pool, pool_record_t *record, uint64_t memory, uint64_t size)
{
    /* Whoever comes to it from now on goes on; whoever was there before has said so. */
    shm_store64(&record->state, record_become(shm_read64(&record->state), RECORD_TAKEN));
    if (!is_looked_at(pool, record)) {
        pool_free_record(pool, record);
        if (memory)
            keep_or_give(pool, memory, size);
        return;
    }
    pool_limbo_t *limbo = malloc(sizeof *limbo);
    /* Without memory to note it, it stays as it is until the pool goes. */
    if (!limbo)
        return;
    *limbo = (pool_limbo_t){record, memory, size, pool->limbo};
    pool->limbo = limbo;
}

void pool_clear_limbo(pool_t *pool)
{
    for (pool_limbo_t **link = &pool->limbo; *link;) {
        pool_limbo_t *limbo = *link;
        if (is_looked_at(pool, limbo->record)) {
            link = &limbo->next;
            continue;
        }
        *link = limbo->next;
        pool_free_record(pool, limbo->record);
        if (limbo->memory)
            keep_or_give(pool, limbo->memory, limbo->size);
        free(limbo);
    }
}

/* ---- Functions --------------------------------------------------------------------------------------------------- */

/** Write a function's place where workers find it. */
static apr_status_t make_function(pool_t *pool, uint64_t *offset, uintptr_t address)
{
    sys_place_t place = {.path = NULL};
    mproc_target_t target;
    memcpy(&target, &address, sizeof target);
    apr_status_t status = pool->head->is_of_threads ? APR_SUCCESS : target_locate(&place, target);
    if (status != APR_SUCCESS)
        return status;
    const size_t length = place.path ? strlen(place.path) + 1 : 1;
    status = pool_take_memory(pool, offset, sizeof(pool_function_t) + length);
    if (status == APR_SUCCESS) {
        pool_function_t *function = arena_at(*offset);
        *function = (pool_function_t){
            .address = address, .offset = place.offset, .is_program = place.is_program, .id_size = place.id_size};
        memcpy(function->id, place.id, sizeof function->id);
        memcpy(function->path, place.path ? place.path : "", length);
    } else {
        status = mproc_fail(status, "%s: no memory in the family for another function", pool->name);
    }
    free(place.path);
    return status;
}

apr_status_t pool_find_function(pool_t *pool, uint64_t *offset, uintptr_t address)
{
    *offset = 0;
    if (pool->last_function < pool->function_count && pool->functions[pool->last_function].address == address) {
        *offset = pool->functions[pool->last_function].offset;
        return APR_SUCCESS;
    }
    for (size_t i = 0; i < pool->function_count; i++) {
        if (pool->functions[i].address == address) {
            pool->last_function = i;
            *offset = pool->functions[i].offset;
            return APR_SUCCESS;
        }
    }
    pool_known_t *more = realloc(pool->functions, (pool->function_count + 1) * sizeof *more);
    if (!more)
        return mproc_fail(APR_ENOMEM, "%s: no memory for another function", pool->name);
    pool->functions = more;
    const apr_status_t status = make_function(pool, offset, address);
    if (status == APR_SUCCESS) {
        pool->last_function = pool->function_count++;
        more[pool->last_function] = (pool_known_t){address, *offset};
    }
    return status;
}

/* ---- The ring, and those that wait for room in it ---------------------------------------------------------------- */

/** Put in as many as there is room for, and wake workers, who may have found nothing before. */
static void feed(pool_t *pool)
{
    int has_some = 0;
    while (pool->queue_first) {
        pool_entry_t *entry = &pool->entries[pool->queue_first - 1];
        /* What was taken away meanwhile needs no place. */
        if (!entry->is_over && !pool_append(pool->head, POOL_FIRST, entry->record))
            break;
        has_some |= !entry->is_over;
        pool->queue_first = entry->next;
        entry->next = 0;
        entry->is_waiting = 0;
        pool->queued--;
        if (entry->is_over)
            pool_free_record(pool, entry->record);
    }
    if (!pool->queue_first)
        pool->queue_last = 0;
    if (has_some)
        pool_wake(pool->head, pool->opts.workers);
}

uint64_t pool_count_waiting(const pool_t *pool)
{
    const pool_ring_t *ring = pool_ring(pool->head, POOL_FIRST);
    return pool->queued + shm_load64(&ring->tail) - shm_load64(&ring->head);
}

void pool_feed(pool_t *pool)
{
    feed(pool);
    /* The worker that comes to have half of the ring be free tells the dispatcher, if it sees this in time. */
    while (pool->queue_first && !shm_load(&pool->head->is_feeding)) {
        shm_store(&pool->head->is_feeding, 1);
        feed(pool);
    }
}

void pool_put_in(pool_t *pool, pool_record_t *record, int ring)
{
    pool_entry_t *entry = pool_entry(pool, record);
    if (ring == POOL_AGAIN && pool_append(pool->head, ring, record))
        return;
    if (!pool->queue_first && pool_append(pool->head, POOL_FIRST, record))
        return;
    const uint32_t number = record->number + 1;
    if (pool->queue_last)
        pool->entries[pool->queue_last - 1].next = number;
    else
        pool->queue_first = number;
    pool->queue_last = number;
    entry->next = 0;
    entry->is_waiting = 1;
    pool->queued++;
    pool_feed(pool);
}
