/* SPDX-License-Identifier: Apache-2.0 */
/* What the owner does with tasks that workers have: it takes in what has ended, and takes away what is to end. */
#include <apr_strings.h>

#include "log.h"
#include "member.h"
#include "pool_object.h"
#include "trace.h"

/* ---- What has ended ---------------------------------------------------------------------------------------------- */

/** A listed record has come, or never will. */
static void take_in(future_t *future)
{
    future_look(future);
    future->is_listed = 0;
    future_let_go(future);
}

void pool_drain(pool_t *pool)
{
    shm_u64_t *ended = &pool->head->ended;
    uint64_t at = shm_load64(ended);
    while (at && !shm_replace64(ended, at, 0))
        at = shm_load64(ended);
    while (at) {
        pool_record_t *record = arena_at(at);
        future_t *future = pool_entry(pool, record)->future;
        at = shm_read64(&record->next);
        if (future && future->is_listed)
            take_in(future);
    }
}

/* ---- What was taken from a worker -------------------------------------------------------------------------------- */

/** Do the rest with a task that was taken from a worker, which is gone, or done with it. */
static void end_doom(pool_t *pool, unsigned number)
{
    pool_doom_t *doom = &pool->workers[number].doom;
    pool_record_t *record = doom->record;
    if (!record)
        return;
    doom->record = NULL;
    if (doom->map) {
        doom->map->doomed--;
        map_lose(doom->map, record, doom->unit, doom->word, &doom->error);
        pool_tell_waiting(pool);
        return;
    }
    future_t *future = pool_entry(pool, record)->future;
    if (future)
        future_lose(future, &doom->error);
    else
        pool_free_record(pool, record);
}

/** Whether a worker is not done yet with what was taken from it. */
static int has_doomed_claim(const pool_t *pool, unsigned number)
{
    const pool_doom_t *doom = &pool->workers[number].doom;
    if (!doom->record)
        return 0;
    /* It may have another one by now; but this one it cannot have got once more. */
    const uint64_t claim = pool_place(doom->record) << 32 | (doom->map ? doom->unit : POOL_NO_UNIT);
    return shm_load64(&pool_slot(pool->head, number)->claim) == claim;
}

int pool_is_doom_over(const pool_t *pool, unsigned number)
{
    return pool->head->is_of_threads && pool->workers[number].doom.record && !has_doomed_claim(pool, number);
}

int pool_worker_id(const pool_t *pool, unsigned number)
{
    return pool->head->is_of_threads ? pool->owner : pool->workers[number].pid;
}

/* ---- How many ---------------------------------------------------------------------------------------------------- */

uint64_t pool_read_count(const pool_t *pool, unsigned number, const shm_u64_t *count)
{
    pool_claim_t claim;
    for (;;) {
        const uint64_t value = shm_load64(count);
        if (!(value & COUNT_IS_OPEN))
            return value / COUNT_ONE;
        const int has_ended =
            pool_see_claim(pool->head, number, &claim) != CLAIM_RUNS && !has_doomed_claim(pool, number);
        /* If it has gone on since then, it was another claim that was looked at. */
        if (shm_load64(count) == value)
            return value / COUNT_ONE + (uint64_t)has_ended;
    }
}

/** A dead worker's counts: before what it had claimed is seen to. */
static void close_counts(pool_t *pool, unsigned number)
{
    pool_slot_t *slot = pool_slot(pool->head, number);
    shm_write64(&slot->done, pool_read_count(pool, number, &slot->done) * COUNT_ONE);
    shm_write64(&slot->failed, pool_read_count(pool, number, &slot->failed) * COUNT_ONE);
}

/* ---- What a dead worker leaves behind ---------------------------------------------------------------------------- */

/** See to what a dead worker has claimed: whether it died of it. */
static int lose_claim(pool_t *pool, unsigned number, const mproc_task_error_t *error)
{
    pool_claim_t claim;
    const claim_stage_t stage = pool_see_claim(pool->head, number, &claim);
    if (stage == CLAIM_NONE)
        return 0;
    const pool_entry_t *entry = pool_entry(pool, claim.record);
    if (claim.unit == POOL_NO_UNIT) {
        if (stage == CLAIM_RUNS) {
            shm_store64(&claim.record->state, record_become(claim.state, RECORD_TAKEN));
            future_lose(entry->future, error);
            return 1;
        }
        /* It has ended its last task, but may have died before it listed it. */
        if (entry->future->is_listed)
            take_in(entry->future);
        return 0;
    }
    if (stage == CLAIM_RUNS) {
        shm_store(&pool_units(claim.record)[claim.unit], unit_word(UNIT_TAKEN, number, unit_count(claim.word)));
        map_lose(entry->map, claim.record, claim.unit, claim.word, error);
        return 1;
    }
    const pool_slot_t *slot = pool_slot(pool->head, number);
    if (shm_load(&slot->has_error))
        map_merge_error(entry->map, claim.record, &slot->error);
    return 0;
}

/** Give back what a dead worker had taken for a result, and not left to its record yet. */
static void drop_result(pool_t *pool, unsigned number)
{
    pool_slot_t *slot = pool_slot(pool->head, number);
    const uint64_t memory = shm_read64(&slot->result);
    const uint64_t claim = shm_load64(&slot->claim);
    if (!memory)
        return;
    pool_record_t *record = pool->workers[number].doom.record;
    if (!record && (uint32_t)claim == POOL_NO_UNIT)
        record = pool_record(claim >> 32);
    if (record && record->result == memory)
        record->result = 0;
    shm_store64(&slot->result, 0);
    pool_give_memory(pool, memory);
}

/** Clean up behind a worker that is gone, and tell whether it had a task. */
static int clean_up(pool_t *pool, unsigned number, const mproc_task_error_t *error)
{
    pool_slot_t *slot = pool_slot(pool->head, number);
    const int was_doomed = pool->workers[number].doom.record != NULL;
    close_counts(pool, number);
    pool_drain(pool);
    drop_result(pool, number);
    const uint64_t part = shm_load64(&slot->part);
    if (part) {
        /* What it has done of it may not be counted. If it has only come to look it may be another record by now. */
        if (pool_entry(pool, pool_record(part))->map)
            shm_store(&pool_record(part)->part_state.is_torn, 1);
        shm_store64(&slot->part, 0);
    }
    const int had_task = lose_claim(pool, number, error);
    end_doom(pool, number);
    shm_store64(&slot->claim, 0);
    shm_store(&slot->has_error, 0);
    pool_clear_limbo(pool);
    pool_tell_waiting(pool);
    /* It may have been woken for something that it has not come to, or have looked for it. */
    shm_replace(&pool->head->looker, number + 1, 0);
    /* And if it was killed, it may have taken others off the count and not woken them: all count themselves anew. */
    if (shm_load(&slot->stage) != SLOT_LEAVING)
        pool_wake_all(pool->head);
    else if (pool_has_work(pool->head))
        pool_wake(pool->head, 1);
    return had_task || was_doomed;
}

/** Say why a worker has ended before it was ready. */
static void find_cause(char *cause, size_t size, const pool_t *pool, unsigned number, const char *how)
{
    const pool_worker_t *worker = &pool->workers[number];
    const pool_slot_t *slot = pool_slot(pool->head, number);
    if (shm_load(&slot->stage) == SLOT_FAILED)
        apr_snprintf(cause, size, "its initializer failed: %s", slot->error.text);
    else if (worker->is_late)
        apr_snprintf(cause, size, "it was not ready in time");
    else if (mproc_process_join(worker->process, 0) != APR_SUCCESS)
        apr_cpystrn(cause, mproc_last_error()->text, size);
    else
        apr_snprintf(cause, size, "it ended before its first task: %s", how);
}

/* A worker that was killed may have had a pool of its own, whose workers are gone soon, but not at once. */
enum { ORPHAN_ASKS = 5, ORPHAN_PAUSE = 5000, ORPHAN_FACTOR = 4 };

sys_time_t pool_ask_about_orphans(pool_t *pool)
{
    const sys_time_t now = sys_now();
    if (pool->orphan_asks == 0)
        return SYS_NEVER;
    if (now < pool->orphan_ask_at)
        return pool->orphan_ask_at;
    sys_time_t pause = ORPHAN_PAUSE;
    for (unsigned i = pool->orphan_asks--; i < ORPHAN_ASKS; i++)
        pause *= ORPHAN_FACTOR;
    if (member_ask_about_orphans() == 0)
        pool->orphan_asks = 0;
    pool->orphan_ask_at = now + pause;
    return pool->orphan_asks ? pool->orphan_ask_at : SYS_NEVER;
}

/** A worker has ended: its place is free for another one. With the lock held, which is released in the end. */
static void settle(pool_t *pool, unsigned number)
{
    pool_worker_t *worker = &pool->workers[number];
    mproc_task_error_t error;
    char how[128] = "nobody knows how";
    char cause[MPROC_ERROR_TEXT];
    int exitcode = 0;
    if (mproc_process_exitcode(worker->process, &exitcode) == APR_SUCCESS)
        mproc_exitcode_text(exitcode, how, sizeof how);
    const int pid = pool_worker_id(pool, number);
    pool_make_error(&error, MPROC_EWORKERDIED, pid, exitcode, "worker %u of %s (pid %d) ended in it: %s", number,
                    pool->name, pid, how);
    const pool_slot_t *slot = pool_slot(pool->head, number);
    const uint32_t stage = shm_load(&slot->stage);
    const int had_none = !worker->is_killed && pool_read_count(pool, number, &slot->done) == worker->done;
    const int had_task = clean_up(pool, number, &error);
    /* A worker that had the time to end in order has not died of what was taken from it. */
    if (had_task && stage != SLOT_LEAVING) {
        pool->deaths++;
        mproc_log(MPROC_LOG_WARNING, "%s", error.text);
    }
    const int is_failure = stage == SLOT_FAILED || (stage == SLOT_STARTING && (!worker->is_killed || worker->is_late));
    if (is_failure)
        find_cause(cause, sizeof cause, pool, number, how);
    if (trace_is_on())
        trace_instant(pool->name, number, how);
    if (!pool->head->is_of_threads && stage != SLOT_LEAVING) {
        pool->orphan_asks = ORPHAN_ASKS;
        pool->orphan_ask_at = 0;
    }
    mproc_process_t *process = worker->process;
    *worker = (pool_worker_t){.ready_by = SYS_NEVER, .was_started = 1};
    if (is_failure)
        pool_note_failure(pool, number, cause);
    else
        pool->failures = 0;
    if (stage == SLOT_READY && had_none && !had_task)
        pool_note_futility(pool, number);
    else if (!is_failure)
        pool->futile = 0;
    /* A thread that ends may still run the program's destructors, which may use the pool. */
    pool_unlock(pool);
    mproc_process_close(process);
    pool_lock(pool);
}

void pool_settle_worker(pool_t *pool, unsigned number)
{
    const pool_worker_t *worker = &pool->workers[number];
    kept_error_t kept;
    if (!worker->process)
        return;
    /* It may be a call of the program's that does this, and succeeds. */
    mproc_keep_error(&kept);
    if (!mproc_process_is_alive(worker->process)) {
        /* First what it was about to do in the arena is done or undone, and what it held there released. */
        member_settle();
        settle(pool, number);
    } else if (pool_is_doom_over(pool, number)) {
        /* A thread cannot be ended: it says itself when it is done with what was taken from it. */
        end_doom(pool, number);
    }
    mproc_restore_error(&kept);
}

void pool_settle_failed_start(pool_t *pool, unsigned number)
{
    enum { KILLED = -9 };
    mproc_task_error_t error;
    kept_error_t kept;
    mproc_keep_error(&kept);
    pool_make_error(&error, MPROC_EWORKERDIED, 0, KILLED,
                    "worker %u of %s ended in it: its start had failed, and it was killed", number, pool->name);
    pool->deaths += (uint64_t)clean_up(pool, number, &error);
    mproc_restore_error(&kept);
}

/* ---- What is to end ---------------------------------------------------------------------------------------------- */

void pool_kill_worker(pool_t *pool, unsigned number)
{
    pool_worker_t *worker = &pool->workers[number];
    kept_error_t kept;
    if (!worker->process || pool->head->is_of_threads || pool->is_gentle)
        return;
    worker->is_killed = 1;
    mproc_keep_error(&kept);
    worker->is_spared = mproc_process_kill(worker->process) != APR_SUCCESS;
    mproc_restore_error(&kept);
    /* The dispatcher tries it again. */
    if (worker->is_spared)
        pool_alarm(pool);
}

int pool_doom_single(future_t *future, uint64_t state, const mproc_task_error_t *error)
{
    pool_t *pool = future->pool;
    pool_record_t *record = future->record;
    const unsigned number = record_worker(state);
    if (!pool_take(record, state))
        return 0;
    /* A thread that has another task is done with the one before. */
    end_doom(pool, number);
    pool->workers[number].doom = (pool_doom_t){.record = record, .error = *error};
    pool->workers[number].doom.error.pid = pool_worker_id(pool, number);
    pool_kill_worker(pool, number);
    return 1;
}

int pool_doom_units(map_t *map, pool_record_t *record, uint32_t unit, uint32_t word, const mproc_task_error_t *error)
{
    pool_t *pool = map->pool;
    const unsigned number = unit_worker(word);
    /* Counting does not tell any more when the part is done; the units do. */
    shm_store(&record->part_state.is_torn, 1);
    if (!shm_replace(&pool_units(record)[unit], word, unit_word(UNIT_TAKEN, number, unit_count(word))))
        return 0;
    end_doom(pool, number);
    pool->workers[number].doom =
        (pool_doom_t){.record = record, .map = map, .unit = unit, .word = word, .error = *error};
    pool->workers[number].doom.error.pid = pool_worker_id(pool, number);
    map->doomed++;
    pool_kill_worker(pool, number);
    return 1;
}

/* ---- Times ------------------------------------------------------------------------------------------------------- */

void pool_begin_timed(pool_t *pool, apr_interval_time_t timeout)
{
    if (timeout == 0)
        return;
    if (pool->timed++ > 0 && pool->shortest <= timeout) {
        pool->shortest_count += pool->shortest == timeout;
        return;
    }
    pool->shortest = timeout;
    pool->shortest_count = 1;
    /* It is to look at the time in time. */
    pool_alarm(pool);
}

void pool_end_timed(pool_t *pool, apr_interval_time_t timeout)
{
    if (timeout == 0)
        return;
    if (--pool->timed == 0)
        pool->shortest = 0;
    else if (timeout == pool->shortest && pool->shortest_count > 0)
        pool->shortest_count--;
}

/** End a task if its time is up: when it is, or SYS_NEVER. It has been going on since then, at least. */
static sys_time_t end_late(pool_t *pool, unsigned number, const pool_claim_t *claim, sys_time_t now)
{
    const pool_entry_t *entry = pool_entry(pool, claim->record);
    const apr_interval_time_t timeout = entry->map ? entry->map->timeout : entry->future ? entry->future->timeout : 0;
    mproc_task_error_t error;
    if (timeout == 0)
        return SYS_NEVER;
    const sys_time_t end = timeout < SYS_NEVER - claim->since ? claim->since + timeout : SYS_NEVER;
    if (end > now)
        return end;
    pool_make_error(&error, MPROC_ETASKTIMEUP, pool->workers[number].pid, 0,
                    "it took longer than %.6g seconds in worker %u (pid %d)", (double)timeout / 1e6, number,
                    pool->workers[number].pid);
    if (entry->map)
        pool_doom_units(entry->map, claim->record, claim->unit, claim->word, &error);
    else if (entry->future->retries > 0)
        pool_doom_single(entry->future, claim->state, &error);
    else if (shm_load64(&claim->record->state) == claim->state)
        future_take(entry->future, &error);
    return SYS_NEVER;
}

/** See to the time of what a worker is running: when it is up, or SYS_NEVER. */
static sys_time_t check_time(pool_t *pool, unsigned number, sys_time_t now)
{
    pool_claim_t claim;
    if (pool_see_claim(pool->head, number, &claim) != CLAIM_RUNS)
        return SYS_NEVER;
    /* Read after that: if it has gone on since then, this is the time of a later claim, and not up. */
    claim.since = (sys_time_t)shm_load64(&pool_slot(pool->head, number)->since);
    return claim.since ? end_late(pool, number, &claim, now) : SYS_NEVER;
}

static void count_time(pool_t *pool, apr_interval_time_t timeout)
{
    if (timeout == 0 || (pool->shortest && pool->shortest < timeout))
        return;
    pool->shortest_count = pool->shortest == timeout ? pool->shortest_count + 1 : 1;
    pool->shortest = timeout;
}

/** If the last one with the shortest time has ended, find the next. Not too often: there may be many. */
static void renew_shortest(pool_t *pool, sys_time_t now)
{
    enum { OFTEN = 100000 };
    if (pool->shortest == 0 || pool->shortest_count > 0 || now - pool->shortest_since < OFTEN)
        return;
    pool->shortest_since = now;
    pool->shortest = 0;
    for (uint32_t i = 0; i < pool->entry_count && pool->timed > 0; i++) {
        const future_t *future = pool->entries[i].future;
        if (future && !future->has_ended)
            count_time(pool, future->timeout);
    }
    for (const map_t *map = pool->maps; map; map = map->next)
        count_time(pool, map->timeout);
}

sys_time_t pool_check_times(pool_t *pool)
{
    enum { KILL_AGAIN = 20000 };
    const sys_time_t now = sys_now();
    renew_shortest(pool, now);
    /* One that is begun from now on cannot be late before this. */
    sys_time_t next = pool->shortest && pool->shortest < SYS_NEVER - now ? now + pool->shortest : SYS_NEVER;
    for (unsigned i = 0; i < pool->opts.workers; i++) {
        pool_worker_t *worker = &pool->workers[i];
        if (worker->process && worker->is_spared)
            pool_kill_worker(pool, i);
        if (worker->process && worker->is_spared && now + KILL_AGAIN < next)
            next = now + KILL_AGAIN;
        if (!worker->process || worker->is_killed)
            continue;
        if (worker->ready_by != SYS_NEVER && shm_load(&pool_slot(pool->head, i)->stage) != SLOT_STARTING)
            worker->ready_by = SYS_NEVER;
        sys_time_t end = worker->ready_by;
        if (end <= now) {
            worker->is_late = 1;
            pool_kill_worker(pool, i);
            continue;
        }
        if (pool->shortest) {
            const sys_time_t task_end = check_time(pool, i, now);
            end = task_end < end ? task_end : end;
        }
        next = end < next ? end : next;
    }
    return next;
}

/* ---- All of them ------------------------------------------------------------------------------------------------- */

void pool_fail_all(pool_t *pool, apr_status_t status, const char *text)
{
    mproc_task_error_t error;
    pool_make_error(&error, status, 0, 0, "%s", text);
    for (uint32_t i = 0; i < pool->entry_count; i++) {
        future_t *future = pool->entries[i].future;
        if (future && !future->has_ended)
            future_take(future, &error);
    }
    for (map_t *map = pool->maps; map; map = map->next)
        map_stop(map, &error);
    pool_tell_waiting(pool);
}

int pool_is_idle(const pool_t *pool)
{
    return pool->unended == 0 && !pool->maps && pool->calling == 0;
}
