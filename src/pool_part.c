/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of maps: what becomes of their units, and how far they are. */
#include <stdlib.h>
#include <string.h>

#include "pool_object.h"

/** How many items some units of a part are, and which is the first one. */
static uint64_t items_of(const pool_record_t *record, uint64_t unit, uint64_t count, uint64_t *first)
{
    const pool_part_t *part = &record->part;
    *first = unit * part->unit_items;
    const uint64_t items = count * part->unit_items;
    return items < part->items - *first ? items : part->items - *first;
}

void map_merge_error(map_t *map, pool_record_t *record, const mproc_task_error_t *error)
{
    enum { PATIENCE = 100000 };
    if (pool_merge_error(record, error, sys_now() + PATIENCE) == APR_SUCCESS)
        return;
    /* A worker was stopped while it told an error itself: nobody waits for that. */
    map_kill(map);
    pool_merge_error(record, error, SYS_NEVER);
}

/** Items have failed that no worker could say so of. */
static void fail_items(map_t *map, pool_record_t *record, uint64_t first, uint64_t items,
                       const mproc_task_error_t *error)
{
    mproc_task_error_t full = *error;
    const uint64_t index = record->part.first_item + first;
    if (record->part.statuses)
        for (uint64_t i = 0; i < items; i++)
            shm_write((shm_u32_t *)arena_at(record->part.statuses) + index + i, (uint32_t)error->status);
    full.index = index;
    map_merge_error(map, record, &full);
    map->taken += items;
    /* Who measures has no slices that anybody knows. */
    map->pool->lost += map->is_fixed ? (items + record->part.unit_items - 1) / record->part.unit_items : 1;
}

/** Have items be run again in a part of their own, one by one unless the caller has chosen the size of tasks. */
static apr_status_t run_again(map_t *map, const pool_record_t *record, uint64_t first, uint64_t items)
{
    pool_t *pool = map->pool;
    const pool_part_t *of = &record->part;
    const uint64_t unit_items = map->is_fixed ? of->unit_items : 1;
    const uint64_t count = (items + unit_items - 1) / unit_items;
    pool_record_t *again;
    map_part_t *part = malloc(sizeof *part);
    apr_status_t status = part ? pool_get_record(pool, &again) : APR_ENOMEM;
    if (status != APR_SUCCESS) {
        free(part);
        return status;
    }
    status = pool_take_memory(pool, &part->memory, count * sizeof(shm_u32_t));
    if (status != APR_SUCCESS) {
        pool_free_record(pool, again);
        free(part);
        return status;
    }
    memset(arena_at(part->memory), 0, count * sizeof(shm_u32_t));
    again->function = record->function;
    again->tries = record->tries + 1;
    shm_write(&again->is_timed, shm_load(&record->is_timed));
    again->part = *of;
    again->part.in += of->in ? first * of->in_item_size : 0;
    again->part.out += of->out ? first * of->out_item_size : 0;
    again->part.first_item += first;
    again->part.items = items;
    again->part.unit_items = unit_items;
    again->part.unit_count = count;
    again->part.units = part->memory;
    again->part.is_fixed = 1;
    map_add_part(map, part, again, POOL_AGAIN);
    return APR_SUCCESS;
}

void map_add_part(map_t *map, map_part_t *part, pool_record_t *record, int ring)
{
    pool_t *pool = map->pool;
    const uint64_t state = shm_read64(&record->state);
    part->record = record;
    part->seen = 0;
    part->next = map->parts;
    map->parts = part;
    pool_entry(pool, record)->map = map;
    shm_store64(&record->part_state.next, 0);
    shm_store64(&record->part_state.failed, 0);
    shm_store64(&record->part_state.pace, 1);
    shm_store(&record->part_state.left, (uint32_t)record->part.unit_count);
    shm_store(&record->part_state.is_torn, 0);
    shm_store64(&record->state, record_become(state, RECORD_OPEN));
    pool_put_in(pool, record, ring);
    pool_wake(pool->head,
              record->part.unit_count < pool->opts.workers ? (unsigned)record->part.unit_count : pool->opts.workers);
}

void map_lose(map_t *map, pool_record_t *record, uint32_t unit, uint32_t word, const mproc_task_error_t *error)
{
    uint64_t first;
    const uint64_t items = items_of(record, unit, unit_count(word), &first);
    mproc_task_error_t full = *error;
    full.tries = record->tries + 1;
    if (map->stopped == APR_SUCCESS && record->tries < map->retries) {
        if (run_again(map, record, first, items) == APR_SUCCESS) {
            map->again += items;
            return;
        }
        pool_make_error(&full, APR_ENOMEM, 0, 0, "no memory to run again what a worker has died of");
    }
    fail_items(map, record, first, items, &full);
}

/** End what a part has not done: tasks that nobody has begun, and those that run. */
static void stop_part(map_t *map, pool_record_t *record, const mproc_task_error_t *error)
{
    pool_t *pool = map->pool;
    pool_claim_t claim;
    uint64_t first;
    shm_store(&record->part_state.is_torn, 1);
    uint64_t unit = shm_load64(&record->part_state.next);
    pool_take_rest(record);
    /* Also those that were claimed meanwhile: by whom, their words say. */
    while (unit < record->part.unit_count) {
        const uint32_t word = shm_load(&pool_units(record)[unit]);
        if (unit_kind(word) == UNIT_TAKEN && unit_worker(word) == POOL_OWNER) {
            const uint64_t items = items_of(record, unit, unit_count(word), &first);
            fail_items(map, record, first, items, error);
        }
        unit += unit_count(word);
    }
    for (unsigned i = 0; i < pool->opts.workers; i++)
        if (pool_see_claim(pool->head, i, &claim) == CLAIM_RUNS && claim.record == record)
            pool_doom_units(map, record, claim.unit, claim.word, error);
}

void map_stop(map_t *map, const mproc_task_error_t *error)
{
    if (map->stopped != APR_SUCCESS)
        return;
    enum { PATIENCE = 200000 };
    map->stopped = error->status;
    map->patience = sys_now() + PATIENCE;
    for (map_part_t *part = map->parts; part; part = part->next)
        stop_part(map, part->record, error);
}

void map_kill(map_t *map)
{
    pool_t *pool = map->pool;
    pool_claim_t claim;
    for (const map_part_t *part = map->parts; part; part = part->next) {
        for (unsigned i = 0; i < pool->opts.workers; i++) {
            /* Who runs something, of this map or of another one, is well. */
            if (pool_see_claim(pool->head, i, &claim) != CLAIM_RUNS &&
                shm_load64(&pool_slot(pool->head, i)->part) == pool_place(part->record))
                pool_kill_worker(pool, i);
        }
    }
    map->patience = SYS_NEVER;
}

/** Whether a worker has still to tell of a failure in a part whose units are done; when it leaves that it wakes us. */
static int has_untold_error(const pool_t *pool, const pool_record_t *record)
{
    const uint64_t place = pool_place(record);
    for (unsigned i = 0; i < pool->opts.workers; i++) {
        const pool_slot_t *slot = pool_slot(pool->head, i);
        if (shm_load(&slot->has_error) && shm_load64(&slot->claim) >> 32 == place)
            return 1;
    }
    return 0;
}

int map_is_over(map_t *map)
{
    for (map_part_t *part = map->parts; part; part = part->next) {
        const pool_part_state_t *state = &part->record->part_state;
        if (shm_load(&state->left) != 0 &&
            /* What is counted has been told as well; by the units, that is to be looked at besides. */
            (!shm_load(&state->is_torn) || !pool_is_part_over(part->record, &part->seen) ||
             has_untold_error(map->pool, part->record)))
            return 0;
    }
    return map->doomed == 0;
}

uint64_t map_count_done(const map_t *map, uint64_t *failed)
{
    const pool_t *pool = map->pool;
    pool_claim_t claim;
    uint64_t done = 0;
    uint64_t first;
    *failed = map->taken;
    for (const map_part_t *part = map->parts; part; part = part->next) {
        const uint64_t next = shm_load64(&part->record->part_state.next);
        const uint64_t units = part->record->part.unit_count;
        const uint64_t begun = next < units ? next : units;
        done += items_of(part->record, 0, begun, &first);
        *failed += shm_load64(&part->record->part_state.failed);
        for (unsigned i = 0; i < pool->opts.workers; i++) {
            if (pool_see_claim(pool->head, i, &claim) != CLAIM_RUNS || claim.record != part->record)
                continue;
            /* What comes behind that is not in the sum: the next unit to be claimed follows the claims. */
            if (claim.unit < begun)
                done -= items_of(part->record, claim.unit, unit_count(claim.word), &first);
        }
    }
    /* Nor is what was taken from workers that may still be at it. */
    for (unsigned i = 0; i < pool->opts.workers; i++) {
        const pool_doom_t *doom = &pool->workers[i].doom;
        if (doom->record && doom->map == map)
            done -= items_of(doom->record, doom->unit, unit_count(doom->word), &first);
    }
    return done > map->again ? done - map->again : 0;
}
