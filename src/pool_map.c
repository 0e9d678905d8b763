/* SPDX-License-Identifier: Apache-2.0 */
/* The call that maps: what its tasks need, and how long it waits for them. */
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "pool_object.h"

/** What a map needs memory for, one after the other, each from a line of the cache on. */
typedef struct layout_t {
    uint64_t errors;
    uint64_t units;
    uint64_t statuses;
    uint64_t shared;
    uint64_t in;
    uint64_t out;
    uint64_t size;
} layout_t;

/** What a caller wants. */
typedef struct map_order_t {
    mproc_slice_fn_t function;
    void *out;
    size_t out_item_size;
    const void *in;
    size_t in_item_size;
    size_t count;
    mproc_map_opts_t opts;
    /* Worked out from that: */
    uint64_t unit_items;
    uint64_t unit_count;
    int is_in_copied;
    int is_out_copied;
} map_order_t;

/* How often a map's progress is told, in microseconds. */
enum { PROGRESS_INTERVAL = 100000 };

/* ---- Making ------------------------------------------------------------------------------------------------------ */

/** Whether an array lies where all workers have it: in the family's memory, or in that of their process. */
static int is_shared(const pool_t *pool, const void *array, size_t item_size, size_t count)
{
    const uintptr_t first = (uintptr_t)arena;
    const uintptr_t at = (uintptr_t)array;
    const uint64_t size = (uint64_t)item_size * count;
    return pool->head->is_of_threads || (at >= first && at - first < arena->size && size <= arena->size - (at - first));
}

/** Check what can be checked without the pool. */
static apr_status_t check(map_order_t *order, const char *call)
{
    const mproc_map_opts_t *opts = &order->opts;
    if (!order->function)
        return mproc_fail(APR_EINVAL, "%s: the function is NULL", call);
    if ((order->out != NULL) != (order->out_item_size != 0) || (order->in != NULL) != (order->in_item_size != 0))
        return mproc_fail(APR_EINVAL,
                          "%s: an array is NULL and its items have a size, or the other way round: %p, %zu; %p, %zu",
                          call, order->out, order->out_item_size, order->in, order->in_item_size);
    if ((opts->shared != NULL) != (opts->shared_size != 0))
        return mproc_fail(APR_EINVAL, "%s: shared is %s, but its size is %zu", call, opts->shared ? "set" : "NULL",
                          opts->shared_size);
    if (opts->timeout > 0 && !opts->chunk)
        return mproc_fail(APR_EINVAL, "%s: a timeout is for one task, so it needs a chunk", call);
    const size_t larger = order->out_item_size > order->in_item_size ? order->out_item_size : order->in_item_size;
    /* The sum of all arrays has to be a number, too. */
    if (order->count > SIZE_MAX / 8 / (larger > sizeof(shm_u32_t) ? larger : sizeof(shm_u32_t)))
        return mproc_fail(MPROC_ESIZE, "%s: %zu items of %zu bytes are more than memory can address", call,
                          order->count, larger);
    if (opts->shared_size > SIZE_MAX / 4)
        return mproc_fail(MPROC_ESIZE, "%s: a shared struct of %zu bytes is more than memory can address", call,
                          opts->shared_size);
    return APR_SUCCESS;
}

/** Choose the units, of which there is one at least. */
static apr_status_t choose_units(map_order_t *order, const char *call)
{
    enum { UNITS_MOST = 1 << 20 };
    const uint64_t count = order->count;
    order->unit_items = order->opts.chunk ? order->opts.chunk : 1 + (count - 1) / UNITS_MOST;
    if (order->unit_items > count)
        order->unit_items = count;
    order->unit_count = 1 + (count - 1) / order->unit_items;
    if (order->unit_count >= UINT32_MAX)
        return mproc_fail(MPROC_ESIZE, "%s: %zu items in chunks of %zu are too many", call, order->count,
                          order->opts.chunk);
    return APR_SUCCESS;
}

static uint64_t add(uint64_t *size, uint64_t more)
{
    const uint64_t at = *size;
    *size += (more + 63) & ~(uint64_t)63;
    return at;
}

static layout_t lay_out(const pool_t *pool, const map_order_t *order)
{
    layout_t layout = {.size = 0};
    layout.errors = add(&layout.size, sizeof(pool_errors_t));
    layout.units = add(&layout.size, order->unit_count * sizeof(shm_u32_t));
    layout.statuses = add(&layout.size, order->opts.statuses ? order->count * sizeof(shm_u32_t) : 0);
    layout.shared = add(&layout.size, pool->head->is_of_threads ? 0 : order->opts.shared_size);
    layout.in = add(&layout.size, order->is_in_copied ? (uint64_t)order->count * order->in_item_size : 0);
    layout.out = add(&layout.size, order->is_out_copied ? (uint64_t)order->count * order->out_item_size : 0);
    return layout;
}

/** Where an array is for the workers. */
static uint64_t place_of(const pool_t *pool, const void *array)
{
    if (!array)
        return 0;
    return pool->head->is_of_threads ? (uint64_t)(uintptr_t)array : arena_offset(array);
}

/** Fill in what tasks are told, and the memory that they need. */
static void fill(const map_t *map, pool_record_t *record, const map_order_t *order, const layout_t *layout)
{
    const pool_t *pool = map->pool;
    const uint64_t memory = map->memory;
    const int of_threads = pool->head->is_of_threads != 0;
    pool_part_t *part = &record->part;
    record->tries = 0;
    shm_write(&record->is_timed, order->opts.timeout != 0);
    *part = (pool_part_t){.in = order->is_in_copied ? memory + layout->in : place_of(pool, order->in),
                          .out = order->is_out_copied ? memory + layout->out : place_of(pool, order->out),
                          .in_item_size = order->in_item_size,
                          .out_item_size = order->out_item_size,
                          .items = order->count,
                          .unit_items = order->unit_items,
                          .unit_count = order->unit_count,
                          .units = memory + layout->units,
                          .statuses = order->opts.statuses ? memory + layout->statuses : 0,
                          .errors = memory + layout->errors,
                          .is_fixed = order->opts.chunk != 0,
                          .is_copy = (uint32_t)order->is_out_copied};
    memset(arena_at(part->errors), 0, sizeof(pool_errors_t));
    memset(arena_at(part->units), 0, order->unit_count * sizeof(shm_u32_t));
    if (part->statuses)
        memset(arena_at(part->statuses), 0, order->count * sizeof(shm_u32_t));
    if (order->is_in_copied)
        memcpy(arena_at(part->in), order->in, order->count * order->in_item_size);
    part->shared_size = order->opts.shared_size;
    if (order->opts.shared && of_threads) {
        part->shared = (uint64_t)(uintptr_t)order->opts.shared;
    } else if (order->opts.shared) {
        part->shared = memory + layout->shared;
        memcpy(arena_at(part->shared), order->opts.shared, order->opts.shared_size);
    }
}

/** Have memory for a map: what another one has left, or new. With the lock held. */
static apr_status_t take_memory(map_t *map, uint64_t size)
{
    pool_t *pool = map->pool;
    if (pool->spare && pool->spare_size >= size && pool->spare_size / 4 <= size) {
        map->memory = pool->spare;
        map->memory_size = pool->spare_size;
        pool->spare = pool->spare_size = 0;
        return APR_SUCCESS;
    }
    map->memory_size = size;
    return pool_take_memory(pool, &map->memory, size);
}

/** Have what a map needs. With the lock held; the status has its text. */
static apr_status_t prepare(map_t *map, pool_record_t **record, map_order_t *order, const layout_t *layout,
                            const char *call)
{
    pool_t *pool = map->pool;
    uint64_t function;
    uintptr_t address;
    memcpy(&address, &order->function, sizeof address);
    apr_status_t status = pool_check_open(pool, call);
    if (status == APR_SUCCESS)
        status = pool_find_function(pool, &function, address);
    if (status != APR_SUCCESS)
        return status;
    /* The last worker may have left the map before this one only after that had returned. */
    pool_clear_limbo(pool);
    status = pool_get_record(pool, record);
    if (status == APR_SUCCESS) {
        status = take_memory(map, layout->size);
        if (status != APR_SUCCESS)
            pool_free_record(pool, *record);
    }
    if (status != APR_SUCCESS)
        return mproc_fail(status, "%s: no room for %llu bytes in the family's memory (of %llu bytes), or in the system",
                          call, (unsigned long long)layout->size, (unsigned long long)arena->size);
    (*record)->function = function;
    return APR_SUCCESS;
}

/** Have workers see a map. With the lock held; it fails if the pool was ended meanwhile. */
static apr_status_t begin(map_t *map, pool_record_t *record, const map_order_t *order, const char *call)
{
    pool_t *pool = map->pool;
    const apr_status_t status = pool_check_open(pool, call);
    if (status != APR_SUCCESS) {
        pool_free_part(pool, record, map->memory, map->memory_size);
        return status;
    }
    map_t **last = &pool->maps;
    while (*last)
        last = &(*last)->next;
    *last = map;
    map->timeout = order->opts.timeout;
    map->retries = order->opts.retries;
    map->is_fixed = order->opts.chunk != 0;
    pool_begin_timed(pool, map->timeout);
    map_add_part(map, &map->first, record, POOL_FIRST);
    return APR_SUCCESS;
}

/* ---- Waiting ----------------------------------------------------------------------------------------------------- */

/* The maps whose progress this thread is just being told: functions that are told it may make other maps. */
typedef struct telling_t {
    const pool_t *pool;
    const struct telling_t *outer;
} telling_t;

static _Thread_local const telling_t *innermost;

int map_is_telling(const pool_t *pool)
{
    for (const telling_t *telling = innermost; telling; telling = telling->outer)
        if (telling->pool == pool)
            return 1;
    return 0;
}

/** Tell the progress, without the lock: whether the map is to go on. */
static int tell_progress(map_t *map, mproc_progress_t *progress, const map_order_t *order, int is_over)
{
    uint64_t failed;
    uint64_t done = map_count_done(map, &failed);
    /* Workers go on while it is counted. */
    done = done > order->count ? order->count : done < progress->done ? progress->done : done;
    pool_unlock(map->pool);
    progress->is_over = is_over;
    mproc_progress_update(progress, done, failed);
    const telling_t telling = {map->pool, innermost};
    innermost = &telling;
    const int goes_on = order->opts.progress(order->opts.progress_context, progress) == 0;
    innermost = telling.outer;
    pool_lock(map->pool);
    return goes_on;
}

/** Wait until a map has ended; with the lock held. */
static void wait_for(map_t *map, const map_order_t *order)
{
    pool_t *pool = map->pool;
    const mproc_map_opts_t *opts = &order->opts;
    const sys_time_t end = opts->total_timeout > 0 ? process_deadline(opts->total_timeout) : SYS_NEVER;
    sys_time_t tell = opts->progress ? sys_now() + PROGRESS_INTERVAL : SYS_NEVER;
    mproc_task_error_t error;
    mproc_progress_t progress;
    mproc_progress_begin(&progress, order->count);
    for (uint32_t round = shm_load(&pool->head->rounds); !map_is_over(map); round = shm_load(&pool->head->rounds)) {
        const sys_time_t now = map->stopped || opts->progress || opts->total_timeout > 0 ? sys_now() : 0;
        if (now >= end && map->stopped == APR_SUCCESS) {
            pool_make_error(&error, APR_TIMEUP, 0, 0, "the map took longer than %.6g seconds",
                            (double)opts->total_timeout / 1e6);
            map_stop(map, &error);
        } else if (now >= tell) {
            tell = now + PROGRESS_INTERVAL;
            if (!tell_progress(map, &progress, order, 0)) {
                pool_make_error(&error, MPROC_ECANCELLED, 0, 0,
                                "the map was stopped by the function that is told its progress");
                map_stop(map, &error);
            }
        } else if (map->stopped && now >= map->patience) {
            map_kill(map);
        } else {
            const sys_time_t until = map->stopped ? map->patience : end;
            pool_wait(pool, round, until < tell ? until : tell);
        }
    }
    if (opts->progress)
        tell_progress(map, &progress, order, 1);
}

/* ---- Ending ------------------------------------------------------------------------------------------------------ */

/** Take the map out of the pool's list, and free what it needed. With the lock held. */
static void end(map_t *map)
{
    pool_t *pool = map->pool;
    map_t **link = &pool->maps;
    while (*link != map)
        link = &(*link)->next;
    *link = map->next;
    pool_end_timed(pool, map->timeout);
    for (map_part_t *part = map->parts, *next; part; part = next) {
        next = part->next;
        pool_entry(pool, part->record)->map = NULL;
        if (part == &map->first) {
            pool_free_part(pool, part->record, map->memory, map->memory_size);
        } else {
            pool_free_part(pool, part->record, part->memory, 0);
            free(part);
        }
    }
    if (pool->state != POOL_OPEN)
        pool_alarm(pool);
}

/** Copy what tasks have left, and find out how it went. */
static apr_status_t take_results(const map_t *map, const map_order_t *order, const layout_t *layout, const char *call)
{
    const mproc_map_opts_t *opts = &order->opts;
    const pool_errors_t *errors = arena_at(map->memory + layout->errors);
    const uint32_t which = shm_load(&errors->which);
    if (order->is_out_copied)
        memcpy(order->out, arena_at(map->memory + layout->out), order->count * order->out_item_size);
    if (opts->statuses) {
        const shm_u32_t *statuses = arena_at(map->memory + layout->statuses);
        for (size_t i = 0; i < order->count; i++)
            opts->statuses[i] = (apr_status_t)shm_load(&statuses[i]);
    }
    if (which == 0)
        return APR_SUCCESS;
    const mproc_task_error_t *error = &errors->errors[which - 1];
    if (opts->error)
        *opts->error = *error;
    return mproc_fail(error->status, "%s: item %llu of %zu: %s", call, (unsigned long long)error->index, order->count,
                      error->text);
}

/** Tell what a map that could not be begun would tell of its items. */
static apr_status_t refuse(const map_order_t *order, apr_status_t status)
{
    for (size_t i = 0; order->opts.statuses && i < order->count; i++)
        order->opts.statuses[i] = status;
    if (order->opts.error)
        pool_make_error(order->opts.error, status, 0, 0, "%s", mproc_last_error()->text);
    return status;
}

static apr_status_t run(pool_t *pool, map_order_t *order, const char *call)
{
    map_t map = {.pool = pool};
    pool_record_t *record;
    order->is_in_copied = order->in && !is_shared(pool, order->in, order->in_item_size, order->count);
    order->is_out_copied = order->out && !is_shared(pool, order->out, order->out_item_size, order->count);
    const layout_t layout = lay_out(pool, order);
    pool_lock(pool);
    apr_status_t status = prepare(&map, &record, order, &layout, call);
    pool_unlock(pool);
    if (status != APR_SUCCESS)
        return refuse(order, status);
    /* This may take long, and nobody knows of it yet. */
    fill(&map, record, order, &layout);
    pool_lock(pool);
    status = begin(&map, record, order, call);
    if (status == APR_SUCCESS)
        wait_for(&map, order);
    pool_unlock(pool);
    if (status != APR_SUCCESS)
        return refuse(order, status);
    status = take_results(&map, order, &layout, call);
    pool_lock(pool);
    end(&map);
    pool_unlock(pool);
    return status;
}

apr_status_t mproc_pool_map_sized(mproc_pool_t *handle, mproc_slice_fn_t function, void *out, size_t out_item_size,
                                  const void *in, size_t in_item_size, size_t count, const mproc_map_opts_t *opts,
                                  size_t opts_size)
{
    static const char call[] = "mproc_pool_map";
    pool_t *pool;
    map_order_t order = {.function = function,
                         .out = out,
                         .out_item_size = out_item_size,
                         .in = in,
                         .in_item_size = in_item_size,
                         .count = count};
    apr_status_t status = shared_take_options(&order.opts, sizeof order.opts, opts, opts_size, call);
    if (status != APR_SUCCESS)
        return status;
    if (order.opts.error)
        memset(order.opts.error, 0, sizeof *order.opts.error);
    status = pool_acquire(&pool, handle, call);
    if (status != APR_SUCCESS)
        return refuse(&order, status);
    status = check(&order, call);
    if (status == APR_SUCCESS)
        status = pool_take_timeout(&order.opts.timeout, pool, call);
    if (status == APR_SUCCESS)
        status = pool_check_may_wait(pool, call);
    if (status == APR_SUCCESS && count > 0)
        status = choose_units(&order, call);
    if (status == APR_SUCCESS && count == 0) {
        pool_lock(pool);
        status = pool_check_open(pool, call);
        pool_unlock(pool);
    }
    if (status != APR_SUCCESS)
        status = refuse(&order, status);
    else if (count > 0)
        status = run(pool, &order, call);
    pool_release(pool);
    return status;
}
