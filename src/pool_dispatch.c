/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread of a pool in its owner: it sees workers end, starts others, ends tasks whose time is up, and calls
 * callbacks. It waits for all of that at once, and for nothing else.
 */
#include <stdlib.h>

#include "handle.h"
#include "pool_object.h"
#include "trace.h"

static _Thread_local const pool_t *pool_of_dispatcher;

int pool_is_dispatcher(const pool_t *pool)
{
    return pool_of_dispatcher == pool;
}

void pool_alarm(pool_t *pool)
{
    /* What the program has put in its place, if it has closed it, is not ours. */
    if (shm_exchange(&pool->head->is_dispatcher_asleep, 0) && sys_event_is_intact(&pool->alarm))
        sys_event_set(&pool->alarm);
}

void pool_watch(pool_t *pool)
{
    if (!pool->is_watched)
        pool_alarm(pool);
    pool->is_watched = 1;
}

/** Call the callbacks of what has ended; with the lock held, which is released meanwhile. */
static void call_callbacks(pool_t *pool)
{
    while (pool->calls_first) {
        future_t *future = pool->calls_first;
        pool->calls_first = future->next_call;
        if (!pool->calls_first)
            pool->calls_last = NULL;
        mproc_future_t *handle = future->handle;
        pool_unlock(pool);
        future->callback(future->context, handle);
        /* It may have forked, and the copy has returned, too. */
        if (sys_getpid() != pool->owner)
            _Exit(0);
        pool_lock(pool);
        future->callback = NULL;
        pool->calling--;
        if (future->is_lent) {
            pool_unlock(pool);
            handle_close(handle, HANDLE_FUTURE);
            pool_lock(pool);
        }
        future_let_go(future);
    }
}

/** When the workers are all gone, and there is nothing left to do. */
static int is_over(pool_t *pool)
{
    if (pool->state == POOL_OPEN || !pool_is_idle(pool))
        return 0;
    int are_gone = 1;
    for (unsigned i = 0; i < pool->opts.workers; i++)
        are_gone &= !pool->workers[i].process;
    if (!are_gone && shm_load(&pool->head->order) == POOL_WORKS) {
        shm_store(&pool->head->order, POOL_LEAVES);
        pool_wake_all(pool->head);
    }
    return are_gone;
}

/** Once nothing more comes, all that is left has to be listed, so that this thread knows when the last has ended. */
static void list_all(pool_t *pool)
{
    for (uint32_t i = 0; i < pool->entry_count; i++)
        if (pool->entries[i].future)
            future_list(pool->entries[i].future);
}

/** What to wait for: the alarm, and workers' ends; how many that are. With the lock held. */
static size_t list_sentinels(pool_t *pool, sys_wait_t *items, unsigned *numbers)
{
    size_t count = 1;
    items[0] = (sys_wait_t){.kind = SYS_WAIT_HANDLE, .handle = pool->alarm.sentinel};
    for (unsigned i = 0; i < pool->opts.workers; i++) {
        if (!pool->workers[i].process)
            continue;
        numbers[count] = i;
        items[count++] = (sys_wait_t){.kind = SYS_WAIT_HANDLE, .handle = pool->workers[i].sentinel};
    }
    return count;
}

/** One look at all: when to look again. With the lock held. */
static sys_time_t look(pool_t *pool)
{
    pool_drain(pool);
    pool_feed(pool);
    if (pool->head->is_of_threads)
        for (unsigned i = 0; i < pool->opts.workers; i++)
            pool_settle_worker(pool, i);
    pool_clear_limbo(pool);
    call_callbacks(pool);
    const sys_time_t start = pool_start_workers(pool);
    const sys_time_t ask = pool_ask_about_orphans(pool);
    sys_time_t end = pool_check_times(pool);
    end = ask < end ? ask : end;
    if (pool->state != POOL_OPEN && !pool->are_listed) {
        pool->are_listed = 1;
        list_all(pool);
    }
    return start < end ? start : end;
}

/** Whether there is something to look at that nobody sets the alarm for any more. With the lock held. */
static int has_news(const pool_t *pool)
{
    if (shm_load64(&pool->head->ended) || pool->calls_first ||
        (pool->queue_first && !shm_load(&pool->head->is_feeding)))
        return 1;
    for (unsigned i = 0; pool->head->is_of_threads && i < pool->opts.workers; i++)
        if (pool_is_doom_over(pool, i))
            return 1;
    return 0;
}

/** Wait, and see which workers have ended; with the lock held, which is released meanwhile. */
static void wait_and_settle(pool_t *pool, sys_wait_t *items, unsigned *numbers, sys_time_t until)
{
    /*
     * The memory is for all workers; if they cannot be waited for, or what that is done by is gone, as the program has
     * closed it, they are looked at now and then.
     */
    enum { NOW_AND_THEN = 20000 };
    size_t ready = 0;
    shm_store(&pool->head->is_dispatcher_asleep, 1);
    /* Whoever lists something, makes room, or is done with what was taken from it, after this sets the alarm. */
    if (has_news(pool)) {
        shm_store(&pool->head->is_dispatcher_asleep, 0);
        return;
    }
    const size_t count = list_sentinels(pool, items, numbers);
    pool->is_watched = pool->unended > 0 || pool->maps;
    const sys_time_t in_case = pool->is_watched ? sys_now() + POOL_IN_CASE : SYS_NEVER;
    pool->is_watching = 1;
    pool_unlock(pool);
    const apr_status_t status = sys_wait_any(items, count, &ready, until < in_case ? until : in_case);
    shm_store(&pool->head->is_dispatcher_asleep, 0);
    int is_blind = (status != APR_SUCCESS && status != APR_TIMEUP) || !sys_event_is_intact(&pool->alarm);
    for (size_t i = 0; i < count; i++)
        is_blind |= items[i].is_ready < 0;
    if (is_blind)
        apr_sleep(NOW_AND_THEN);
    else if (items[0].is_ready)
        sys_event_reset(&pool->alarm);
    pool_lock(pool);
    if (status == APR_TIMEUP && in_case <= until)
        pool_wake_in_case(pool);
    pool->is_watching = 0;
    for (size_t i = 1; i < count; i++)
        if (items[i].is_ready || is_blind)
            pool_settle_worker(pool, numbers[i]);
}

static void *APR_THREAD_FUNC dispatch(apr_thread_t *self, void *context)
{
    pool_t *pool = context;
    (void)self;
    pool_of_dispatcher = pool;
    sys_let_signals_of_children();
    pool_lock(pool);
    for (;;) {
        const sys_time_t until = look(pool);
        if (pool->calls_first)
            continue;
        if (is_over(pool))
            break;
        wait_and_settle(pool, pool->sentinels, pool->sentinel_numbers, until);
    }
    if (trace_is_on())
        trace_flush();
    pool->state = POOL_JOINED;
    pool_tell_waiting(pool);
    pool_unlock(pool);
    return NULL;
}

apr_status_t pool_start_dispatcher(pool_t *pool)
{
    pool->sentinels = calloc(pool->opts.workers + 1, sizeof *pool->sentinels);
    pool->sentinel_numbers = calloc(pool->opts.workers + 1, sizeof *pool->sentinel_numbers);
    if (!pool->sentinels || !pool->sentinel_numbers)
        return mproc_fail(APR_ENOMEM, "mproc_pool_create: no memory for %u workers", pool->opts.workers);
    sys_hold_signals();
    const apr_status_t status = apr_thread_create(&pool->dispatcher, NULL, dispatch, pool, pool->memory);
    sys_let_signals();
    if (status == APR_SUCCESS)
        return status;
    /* APR has made something of it even so. */
    pool->dispatcher = NULL;
    return mproc_fail(status, "mproc_pool_create: no thread can be had");
}
