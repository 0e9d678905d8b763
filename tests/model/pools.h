/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file pools.h
 * @brief The sources of pools over the model's steps: for each of its models to include, once.
 *
 * The first process is the owner. It runs its dispatcher's own loop; whenever that waits, the program's thread does
 * what it can, until it waits as well. The others are workers, in their own loop; some of them are kept until a worker
 * has died, whose place they take. What only the owner has is its own memory, made anew whenever its body is run, and
 * what it knows when it waits is a digest of that. The plain fields of records do not change, as far as workers see; or
 * they follow from the record's generation.
 */
#ifndef MPROC_TESTS_MODEL_POOLS_H
#define MPROC_TESTS_MODEL_POOLS_H

#include "model/steps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>
#include <apr_thread_proc.h>

#include "call.h"
#include "error.h"
#include "handle.h"
#include "log.h"
#include "memory.h"
#include "pool_object.h"
#include "pool_worker.h"
#include "target.h"
#include "trace.h"

/* ---- The ground they stand on ------------------------------------------------------------------------------------ */

enum { OWNER, RECORDS = 4, SLOTS = 2, UNITS = 7, RING_MAX = 4, FUNCTION = 64, ITEMS_MAX = 4 };

/* In place of the rings' length. */
static unsigned ring_length = RING_MAX;
#define POOL_RING ((uint64_t)ring_length)

typedef struct ground_t {
    arena_header_t header;
    _Alignas(64) pool_head_t head;
    _Alignas(64) pool_record_t records[RECORDS];
    pool_ring_t rings[POOL_RINGS];
    pool_slot_t slots[SLOTS];
    shm_u32_t units[RECORDS][UNITS];
    pool_errors_t errors[RECORDS];
} ground_t;

static _Alignas(64) ground_t ground;
arena_header_t *arena = &ground.header;
_Atomic uint32_t member_ticket;

/* How many processes there are, how many of these workers have a place at first, and who is not killed. */
static int processes;
static unsigned workers;
static unsigned units_of_map;
static int is_fixed_map;
static int has_again;  /* something may be run again */
static int has_queue;  /* a ring may be full, or begin anew */
static int has_list;   /* records may be listed */
static int has_end;    /* workers are to end */
static int has_looker; /* one may look before it sleeps */
static int has_counts; /* it matters what workers have counted */
static int lingers;    /* the owner lets workers go on until they sleep, before it ends */

/* Words that only the models know: whether the owner's alarm is set, and its waiting thread was woken; who is killed by
 * the owner; which place a process takes, LEAVES if none; and whether workers have begun. */
static shm_u32_t alarm_word;
static shm_u32_t is_told;
static shm_u32_t killed[MODEL_PROCESSES];
static shm_u32_t seat_of[MODEL_PROCESSES];
static shm_u32_t gate;
enum { LEAVES = 0xff };

static uint64_t digest(uint64_t sum, const volatile void *at, size_t size)
{
    const volatile unsigned char *bytes = at;
    for (size_t i = 0; i < size; i++)
        sum = (sum ^ bytes[i]) * 0x100000001b3u;
    return sum ^ sum >> 32;
}

/* ---- The owner's own memory -------------------------------------------------------------------------------------- */

enum { HEAP = 1 << 14, FUTURES = 4 };

static struct {
    pool_t pool;
    pool_worker_t workers[SLOTS];
    pool_entry_t entries[RECORDS];
    sys_wait_t sentinels[SLOTS + 1];
    unsigned sentinel_numbers[SLOTS + 1];
    pool_known_t functions[1];
    future_t *futures[FUTURES];
    map_t map;
    uint64_t seen_rounds;
    unsigned at; /* how far the program's thread is */
    unsigned submitted;
    unsigned ends; /* how many single tasks have ended */
    unsigned gone; /* processes that are known to be gone, as bits */
    unsigned to_kill;
    unsigned kept;   /* the next process that is kept for a place */
    unsigned memory; /* how many parts were taken */
    unsigned maps;   /* how many there were */
    int waits;       /* the program's thread does */
    int has_waited;  /* at this point */
    size_t heap_used;
} own;

static _Alignas(16) unsigned char heap[HEAP];

typedef struct heap_head_t {
    size_t size;
    size_t is_free;
} heap_head_t;

static void *heap_take(size_t size)
{
    heap_head_t *head = (heap_head_t *)(void *)(heap + own.heap_used);
    size = (size + 15) & ~(size_t)15;
    model_require(own.heap_used + sizeof *head + size <= HEAP, "the heap is full");
    own.heap_used += sizeof *head + size;
    *head = (heap_head_t){size, 0};
    memset(head + 1, 0, size);
    return head + 1;
}

static void *heap_take_many(size_t count, size_t size)
{
    return heap_take(count * size);
}

static void *heap_grow(void *memory, size_t size)
{
    (void)memory;
    (void)size;
    model_fail("nothing grows here");
}

static void heap_give(void *memory)
{
    heap_head_t *head = (heap_head_t *)memory - 1;
    if (!memory)
        return;
    model_require(!head->is_free, "memory is freed twice");
    head->is_free = 1;
    memset(memory, 0xdd, head->size);
}

/* ---- What the sources call --------------------------------------------------------------------------------------- */

static sys_time_t no_time(void)
{
    return 0;
}

/** What nobody but statistics look at. */
static int is_uncounted(const volatile void *at)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        const pool_slot_t *slot = &ground.slots[i];
        if ((!has_counts && (at == &slot->done || at == &slot->failed)) || at == &slot->since || at == &slot->stage ||
            at == &slot->result)
            return 1;
    }
    return 0;
}

static int (*is_constant_too)(const volatile void *at);

/** What is always the same in this run. */
static int is_constant(const volatile void *at)
{
    const pool_head_t *head = &ground.head;
    if ((at == &head->is_full) || (at == &head->is_feeding && !has_queue) || (at == &head->order && !has_end) ||
        (at == &head->ended && !has_list) || (at == &head->looker && !has_looker))
        return 1;
    if (!has_again && (at == &ground.rings[POOL_AGAIN].head || at == &ground.rings[POOL_AGAIN].tail))
        return 1;
    return is_uncounted(at) || (is_constant_too && is_constant_too(at));
}

static void write64(shm_u64_t *word, uint64_t value)
{
    if (!is_uncounted(word))
        shm_store64(word, value);
}

static apr_status_t park_at(shared_t *shared, shm_u32_t *word, uint32_t value, sys_time_t deadline)
{
    (void)shared;
    shm_park(word, value, deadline);
    return APR_SUCCESS;
}

static void set_alarm(sys_event_t *event)
{
    (void)event;
    shm_store(&alarm_word, 1);
}

static void reset_alarm(sys_event_t *event)
{
    (void)event;
    shm_store(&alarm_word, 0);
}

int sys_event_is_intact(const sys_event_t *event)
{
    (void)event;
    return 1;
}

void sys_event_close(sys_event_t *event)
{
    (void)event;
}

/** The lock of errors, as simple as it can be; and what is plain of these comes and goes with it. */
static apr_status_t lock_errors(robust_t *lock, const robust_wait_t *wait);
static apr_status_t unlock_errors(robust_t *lock);

static apr_status_t wait_for_any(sys_wait_t *items, size_t count, size_t *ready, sys_time_t deadline);

/** A worker whose place is free, and a process that is kept for that. */
static sys_time_t start_workers(pool_t *pool)
{
    const int is_needed = pool->state == POOL_OPEN || (pool->state == POOL_SHUT && !pool_is_idle(pool));
    for (unsigned i = 0; i < workers && is_needed; i++) {
        if (own.workers[i].process || own.kept >= (unsigned)processes)
            continue;
        own.workers[i].process = (mproc_process_t *)(uintptr_t)own.kept;
        own.workers[i].sentinel = (sys_handle_t)own.kept;
        shm_store(&seat_of[own.kept++], i + 1);
    }
    return SYS_NEVER;
}

int mproc_process_is_alive(mproc_process_t *process)
{
    return !(own.gone >> (uintptr_t)process & 1);
}

apr_status_t mproc_process_kill(mproc_process_t *process)
{
    own.to_kill |= 1u << (uintptr_t)process;
    return APR_SUCCESS;
}

void mproc_keep_error(kept_error_t *kept)
{
    (void)kept;
}

void mproc_restore_error(const kept_error_t *kept)
{
    (void)kept;
}

void futures_wake(void)
{
    own.ends++;
}

void pool_lock(pool_t *pool)
{
    (void)pool;
}

void pool_unlock(pool_t *pool)
{
    (void)pool;
}

void pool_tell_waiting(pool_t *pool)
{
    if (pool->waiting > 0)
        pool_tell(pool->head);
}

int journal_begin(transaction_t *transaction)
{
    transaction->count = 0;
    return 1;
}

void journal_commit(transaction_t *transaction)
{
    (void)transaction;
}

void journal_abandon(transaction_t *transaction)
{
    (void)transaction;
}

apr_status_t memory_take(transaction_t *transaction, uint64_t *part, uint64_t size, object_t *object)
{
    (void)transaction;
    (void)object;
    model_require(own.memory < RECORDS && size <= sizeof ground.units[0], "there is no memory");
    *part = arena_offset(ground.units[own.memory++]);
    return APR_SUCCESS;
}

static void free_units(unsigned number);

void memory_give(transaction_t *transaction, uint64_t part, object_t *object)
{
    (void)transaction;
    (void)object;
    for (unsigned i = 0; i < RECORDS; i++)
        if (part == arena_offset(ground.units[i])) {
            free_units(i);
            return;
        }
    model_fail("what is given back is no memory");
}

static void note_error(unsigned slot, uint64_t index);

void task_begin_error(mproc_task_t *task, apr_status_t status, int code)
{
    task->error->status = status;
    task->error->code = code;
    task->error->index = task->index;
    if (task->count)
        note_error(task->worker->hand.number, task->index);
}

/* What is not called, or does nothing. */

apr_status_t mproc_fail(apr_status_t status, const char *format, ...)
{
    (void)format;
    return status;
}

void mproc_forget_error(void)
{
}

const mproc_error_t *mproc_last_error(void)
{
    return NULL;
}

void mproc_log(mproc_log_level_t level, const char *format, ...)
{
    (void)level;
    (void)format;
}

void *mproc_call_arg(mproc_call_t *call, size_t index, size_t *size)
{
    (void)call;
    (void)index;
    (void)size;
    return NULL;
}

mproc_os_handle_t mproc_call_handle(mproc_call_t *call, size_t index)
{
    (void)call;
    (void)index;
    return MPROC_NO_HANDLE;
}

unsigned member_ask_about_orphans(void)
{
    return 0;
}

void member_settle(void)
{
}

const char *mproc_exitcode_text(int exitcode, char *buffer, size_t size)
{
    (void)exitcode;
    (void)size;
    return buffer;
}

apr_status_t mproc_process_close(mproc_process_t *process)
{
    (void)process;
    return APR_SUCCESS;
}

apr_status_t mproc_process_exitcode(mproc_process_t *process, int *exitcode)
{
    (void)process;
    (void)exitcode;
    return APR_EGENERAL;
}

apr_status_t mproc_process_join(mproc_process_t *process, apr_interval_time_t timeout)
{
    (void)process;
    (void)timeout;
    return APR_SUCCESS;
}

void mproc_progress_begin(mproc_progress_t *progress, uint64_t total)
{
    (void)progress;
    (void)total;
}

void mproc_progress_update(mproc_progress_t *progress, uint64_t done, uint64_t failed)
{
    (void)progress;
    (void)done;
    (void)failed;
}

apr_status_t pool_acquire(pool_t **pool, const mproc_pool_t *handle, const char *call)
{
    (void)pool;
    (void)handle;
    (void)call;
    return APR_ENOTIMPL;
}

void pool_release(const pool_t *pool)
{
    (void)pool;
}

void pool_let_go(pool_t *pool)
{
    pool->users--;
}

apr_status_t pool_check_open(const pool_t *pool, const char *call)
{
    (void)pool;
    (void)call;
    return APR_SUCCESS;
}

apr_status_t pool_take_timeout(apr_interval_time_t *timeout, const pool_t *pool, const char *call)
{
    (void)timeout;
    (void)pool;
    (void)call;
    return APR_SUCCESS;
}

apr_status_t pool_check_may_wait(const pool_t *pool, const char *call)
{
    (void)pool;
    (void)call;
    return APR_SUCCESS;
}

void pool_note_futility(pool_t *pool, unsigned number)
{
    (void)pool;
    (void)number;
}

void pool_note_failure(pool_t *pool, unsigned number, const char *cause)
{
    (void)pool;
    (void)number;
    (void)cause;
}

void pool_wake_in_case(pool_t *pool)
{
    (void)pool;
}

apr_status_t pool_wait(pool_t *pool, uint32_t round, sys_time_t deadline)
{
    (void)pool;
    (void)round;
    (void)deadline;
    return APR_ENOTIMPL;
}

const shared_kind_t pool_state_kind = {.noun = "pool"};

apr_status_t shared_acquire(shared_t **shared, void *handle, const shared_kind_t *kind, const char *call)
{
    (void)shared;
    (void)handle;
    (void)kind;
    (void)call;
    return APR_ENOTIMPL;
}

apr_status_t shared_take_options(void *complete, size_t complete_size, const void *opts, size_t opts_size,
                                 const char *call)
{
    (void)complete;
    (void)complete_size;
    (void)opts;
    (void)opts_size;
    (void)call;
    return APR_ENOTIMPL;
}

void *handle_open(handle_kind_t kind, void *object, handle_destroy_t destroy)
{
    (void)kind;
    (void)object;
    (void)destroy;
    return NULL;
}

apr_status_t handle_acquire(void **object, const void *handle, handle_kind_t kind)
{
    (void)object;
    (void)handle;
    (void)kind;
    return APR_ENOTIMPL;
}

apr_status_t handle_close(const void *handle, handle_kind_t kind)
{
    (void)handle;
    (void)kind;
    return APR_SUCCESS;
}

void handle_release(const void *handle)
{
    (void)handle;
}

void closable_wake(closable_t *closable)
{
    (void)closable;
}

void closable_close(closable_t *closable)
{
    (void)closable;
}

sys_time_t process_deadline(apr_interval_time_t timeout)
{
    return timeout;
}

apr_status_t sys_event_adopt(sys_event_t *event, sys_handle_t setter)
{
    (void)event;
    (void)setter;
    return APR_ENOTIMPL;
}

apr_status_t sys_private_bytes(uint64_t *bytes)
{
    (void)bytes;
    return APR_ENOTIMPL;
}

int sys_getpid(void)
{
    return 1;
}

void sys_hold_signals(void)
{
}

void sys_let_signals_of_children(void)
{
}

void sys_let_signals(void)
{
}

apr_status_t target_find(mproc_target_t *target, const sys_place_t *place)
{
    (void)target;
    (void)place;
    return APR_ENOTIMPL;
}

apr_status_t target_locate(sys_place_t *place, mproc_target_t target)
{
    (void)place;
    (void)target;
    return APR_ENOTIMPL;
}

void task_note_item(const mproc_task_t *task, uint64_t index, apr_status_t status)
{
    (void)task;
    (void)index;
    (void)status;
}

_Atomic int trace_on;

void trace_task(const char *pool, unsigned worker, const char *name, uint64_t index, uint64_t count, sys_time_t start,
                sys_time_t end, apr_status_t status)
{
    (void)pool;
    (void)worker;
    (void)name;
    (void)index;
    (void)count;
    (void)start;
    (void)end;
    (void)status;
}

void trace_instant(const char *pool, unsigned worker, const char *what)
{
    (void)pool;
    (void)worker;
    (void)what;
}

void trace_flush(void)
{
}

void worker_drop_result(worker_t *worker)
{
    (void)worker;
}

/* ---- The sources ------------------------------------------------------------------------------------------------- */

#define sys_now no_time
#define malloc heap_take
#define calloc heap_take_many
#define realloc heap_grow
#define free heap_give
#define shm_write64 write64
#define shared_park park_at
#define shared_rest park_at
#define sys_event_set set_alarm
#define sys_event_reset reset_alarm
#define sys_wait_any wait_for_any
#define robust_acquire lock_errors
#define robust_release unlock_errors
#define pool_start_workers start_workers

#include "pool_claim.c"

/* What a worker is about, and what it knows there, so that what came before does not matter. */
static struct {
    enum { IN_LOOP, IN_CLAIM, IN_WAIT, IN_SLEEP, IN_REST, IN_BETWEEN } phase;
    uint32_t bell;
    uint32_t order;
    uint64_t position;
    uint64_t entry;
    uint64_t state;
    int was_idle;
} knows;

static int claim_next(pool_hand_t *hand, pool_claim_t *claim)
{
    knows.phase = IN_CLAIM;
    const int has_claim = pool_claim(hand, claim);
    knows.phase = has_claim ? IN_LOOP : IN_WAIT;
    knows.was_idle = !has_claim;
    return has_claim;
}

static int sleep_now(const pool_hand_t *hand)
{
    knows.phase = IN_SLEEP;
    const int sleeps = pool_begin_sleep(hand);
    knows.phase = sleeps ? IN_REST : IN_LOOP;
    return sleeps;
}

static apr_status_t rest_at(shared_t *shared, shm_u32_t *word, uint32_t value, sys_time_t deadline)
{
    park_at(shared, word, value, deadline);
    knows.phase = IN_LOOP;
    return APR_SUCCESS;
}

static int look_first(const pool_hand_t *hand)
{
    return has_looker && pool_begin_look(hand);
}

/** It looks for a moment. */
static int glance_at(shared_t *shared, const shm_u64_t *word, uint64_t value)
{
    (void)shared;
    const int has_come = shm_load64(word) != value;
    if (has_come)
        knows.phase = IN_LOOP;
    return has_come;
}

#define shared_glance64 glance_at
#define pool_begin_look look_first
#define pool_claim claim_next
#define pool_begin_sleep sleep_now
#undef shared_rest
#define shared_rest rest_at
#define run run_task
#define begin begin_worker
#define end end_worker
#define tell_error tell_error_of_units
#include "pool_worker.c"
#undef run
#undef begin
#undef end
#undef tell_error
#undef pool_begin_look
#undef pool_claim
#undef pool_begin_sleep

#include "pool_settle.c"

/* What is done now and then in case of need has no place where there is no time. */
void watch_pool(pool_t *pool);

#define look look_at_all
#define is_over is_pool_over
#define pool_watch watch_pool
#include "pool_dispatch.c"
#undef look
#undef is_over
#undef pool_watch

void pool_watch(pool_t *pool)
{
    (void)pool;
}

#include "pool_records.c"

#define destroy destroy_future
#define acquire acquire_future
#include "future.c"
#undef destroy
#undef acquire

#include "pool_submit.c"
#include "pool_part.c"

#define run run_map
#define begin begin_map
#define end end_map
#define check check_map
#define wait_for wait_for_map
#define prepare prepare_map
#define fill fill_map
#define take_memory take_memory_of_map
#define add add_size
#include "pool_map.c"
#undef run
#undef begin
#undef end
#undef check
#undef wait_for
#undef prepare
#undef fill
#undef take_memory
#undef add

/* ---- Plain fields ------------------------------------------------------------------------------------------------ */

/** Which units a record has: those of its number, or the next ones if it is used again. */
static unsigned units_number(unsigned record, uint64_t state)
{
    const uint64_t generation = state >> RECORD_GENERATION_SHIFT;
    return (record + (generation ? (unsigned)generation - 1 : 0)) % RECORDS;
}

static void fill_part(unsigned record, uint64_t state)
{
    const unsigned number = units_number(record, state);
    ground.records[record].part = (pool_part_t){.unit_items = 1,
                                                .items = number == 0 ? units_of_map : 1,
                                                .unit_count = number == 0 ? units_of_map : 1,
                                                .units = arena_offset(ground.units[number]),
                                                .errors = arena_offset(&ground.errors[0]),
                                                .is_fixed = number != 0 || is_fixed_map};
}

/** What is plain in the arena is as it was at first. */
static void reset_plain(void)
{
    for (unsigned i = 0; i < RECORDS; i++) {
        pool_record_t *record = &ground.records[i];
        record->number = i;
        record->function = FUNCTION;
        record->index = record->in = record->in_size = record->result = record->size = 0;
        record->tries = 0;
        atomic_store(&record->is_timed, 0);
        record->status = APR_SUCCESS;
        fill_part(i, 0);
        atomic_store(&record->part_state.failed, 0);
    }
    for (unsigned i = 0; i < SLOTS; i++)
        memset(&ground.slots[i].error, 0, sizeof ground.slots[i].error);
    for (unsigned i = 0; i < RECORDS; i++)
        memset(ground.errors[i].errors, 0, sizeof ground.errors[i].errors);
}

/* ---- The errors of maps ------------------------------------------------------------------------------------------ */

/* What a slot's error is about, and either place for the first one of a map. In between it is anything: OTHER. */
static shm_u64_t slot_index[SLOTS];
static shm_u64_t error_index[2];
static uint64_t index_before[2];
enum { OTHER = 99 };

static void note_error(unsigned slot, uint64_t index)
{
    shm_store64(&slot_index[slot], index);
}

static apr_status_t lock_errors(robust_t *lock, const robust_wait_t *wait)
{
    pool_errors_t *errors = &ground.errors[0];
    (void)wait;
    model_step((step_t){.kind = STEP_AWAIT, .word = model_word(&lock->word, 4), .before = member_self()});
    for (int i = 0; i < 2; i++)
        errors->errors[i].index = index_before[i] = shm_load64(&error_index[i]);
    return APR_SUCCESS;
}

static apr_status_t unlock_errors(robust_t *lock)
{
    shm_store(&lock->word, 0);
    return APR_SUCCESS;
}

/** Before a place counts, what is in it is written. */
static void write_errors(void)
{
    for (int i = 0; i < 2; i++) {
        const uint64_t index = ground.errors[0].errors[i].index;
        if (index == index_before[i])
            continue;
        index_before[i] = index;
        shm_store64(&error_index[i], OTHER);
        shm_store64(&error_index[i], index);
    }
}

/* ---- Workers ----------------------------------------------------------------------------------------------------- */

/* In model_tag: the worker runs a task, of which record and unit. What the owner's thread tells is from TELLS on. */
enum { TAG_RUNS = 1, TAG_RECORD_SHIFT = 4, TAG_UNIT_SHIFT = 8, TAG_COUNT_SHIFT = 12, TAG_TELLS = 1 << 20 };

static worker_t the_worker;
static int fails; /* units, as bits: those whose task fails; single tasks do as the first one */

static unsigned record_number(const pool_record_t *record)
{
    return (unsigned)(record - ground.records);
}

/** A task goes on for as long as it likes. */
static void go_on_for_long(const mproc_task_t *task)
{
    const pool_claim_t *claim = task->claim;
    const pool_hand_t *hand = &task->worker->hand;
    uint64_t key = digest(1, &claim->state, sizeof claim->state);
    key = digest(key, &claim->unit, sizeof claim->unit);
    key = digest(key, &claim->word, sizeof claim->word);
    key = digest(key, &hand->number, sizeof hand->number);
    key = digest(key, &hand->uncounted, sizeof hand->uncounted);
    key = digest(key, &hand->units_per_try, sizeof hand->units_per_try);
    model_tag = TAG_RUNS | (uint64_t)record_number(claim->record) << TAG_RECORD_SHIFT;
    if (task->count)
        model_tag |= (uint64_t)claim->unit << TAG_UNIT_SHIFT | (uint64_t)task->count << TAG_COUNT_SHIFT;
    model_point(key);
    model_choose(1);
    model_tag = 0;
}

static int run_one(mproc_task_t *task, const void *in, size_t size)
{
    (void)in;
    (void)size;
    go_on_for_long(task);
    return fails & 1;
}

static int run_some(mproc_task_t *task, const void *in, void *out, size_t count)
{
    (void)in;
    (void)out;
    go_on_for_long(task);
    for (size_t i = 0; i < count; i++)
        if (fails >> (task->index + i) & 1)
            return 1;
    return 0;
}

static void work_as(int process)
{
    unsigned place = (unsigned)process;
    if (place <= workers) {
        model_step((step_t){.kind = STEP_AWAIT, .word = model_word(&gate, 4)});
    } else {
        place = (unsigned)model_step((step_t){.kind = STEP_AWAIT, .word = model_word(&seat_of[process], 4)});
        if (place == LEAVES)
            return;
    }
    the_worker = (worker_t){.functions = {{.offset = FUNCTION}}, .function_count = 1};
    const mproc_slice_fn_t some = run_some;
    const mproc_task_fn_t one = run_one;
    if (units_of_map)
        memcpy(&the_worker.functions[0].address, &some, sizeof some);
    else
        memcpy(&the_worker.functions[0].address, &one, sizeof one);
    the_worker.hand = (pool_hand_t){.head = &ground.head, .slot = &ground.slots[place - 1], .number = place - 1};
    work(&the_worker);
}

static int is_owner(void)
{
    return member_self() == OWNER + 1;
}

/** Where a worker looks at the rings it knows little. */
static int is_at_ring(const volatile void *at, uint64_t *key)
{
    for (int i = 0; i < POOL_RINGS; i++) {
        const pool_ring_t *ring = &ground.rings[i];
        const uint64_t where[] = {(uint64_t)i, knows.position};
        if (at == &ring->head)
            *key = digest(*key, where, sizeof where[0]);
        else if (at == &ring->tail ||
                 (at >= (const void *)ring->entries && at < (const void *)(ring->entries + RING_MAX)))
            *key = digest(*key, where, sizeof where);
        else
            continue;
        return 1;
    }
    for (unsigned i = 0; i < RECORDS; i++) {
        const pool_record_t *record = &ground.records[i];
        const uint64_t where[] = {knows.position, knows.entry, units_of_map ? knows.state : 0};
        if (units_of_map ? at != &record->part_state.next : at != &record->state)
            continue;
        *key = digest(*key, where, sizeof where);
        return 1;
    }
    return 0;
}

static int is_at_point(const volatile void *at, uint64_t *key)
{
    const pool_head_t *head = &ground.head;
    if (at == &head->order && knows.phase != IN_BETWEEN)
        return 1;
    if (at == &head->bell && knows.phase == IN_LOOP)
        return 1;
    if (knows.phase == IN_CLAIM)
        return is_at_ring(at, key);
    return knows.phase == IN_SLEEP && (at == &head->sleepers || at == &ground.rings[POOL_FIRST].head);
}

/** Say where a worker is at a point where it knows little. */
static void note_point(step_kind_t kind, const volatile void *at)
{
    if (kind == STEP_STORE && at == &ground.errors[0].which)
        write_errors();
    if (is_owner() || kind != STEP_LOAD)
        return;
    if (knows.phase == IN_LOOP)
        knows.bell = knows.order = 0;
    const uint64_t what[] = {
        (uint64_t)knows.phase,   knows.bell, knows.order, the_worker.hand.number, the_worker.hand.uncounted,
        (uint64_t)knows.was_idle};
    uint64_t key = digest(2, what, sizeof what);
    key = digest(key, &the_worker.hand.units_per_try, sizeof the_worker.hand.units_per_try);
    if (is_at_point(at, &key))
        model_point(key);
}

static void learn(const volatile void *at, uint64_t result)
{
    if (at == &ground.head.bell)
        knows.bell = (uint32_t)result;
    if (at == &ground.head.order && knows.phase >= IN_WAIT)
        knows.order = (uint32_t)result;
    if (at == &ground.head.order && knows.phase == IN_REST)
        knows.phase = IN_BETWEEN;
    for (int i = 0; i < POOL_RINGS; i++) {
        const pool_ring_t *ring = &ground.rings[i];
        if (at == &ring->head)
            knows.position = result;
        if (at >= (const void *)ring->entries && at < (const void *)(ring->entries + RING_MAX))
            knows.entry = result;
    }
    for (unsigned i = 0; i < RECORDS; i++)
        if (at == &ground.records[i].state)
            knows.state = result;
}

/** What is plain follows from what was read. */
static void follow(step_kind_t kind, const volatile void *at, uint64_t value, uint64_t result)
{
    (void)value;
    if (kind != STEP_LOAD)
        return;
    if (!is_owner())
        learn(at, result);
    for (unsigned i = 0; i < RECORDS && !is_owner() && units_of_map; i++)
        if (at == &ground.records[i].state && record_kind(result) == RECORD_OPEN)
            fill_part(i, result);
    for (unsigned i = 0; i < SLOTS && is_owner(); i++)
        if (at == &ground.slots[i].has_error && result)
            ground.slots[i].error.index = shm_load64(&slot_index[i]);
}

/* ---- The owner --------------------------------------------------------------------------------------------------- */

/** Let the program's thread do something: whether it did. If it is to wait it says so. */
static int (*go_on_with_program)(void);

enum { LINGERS = 1 << 29, NOBODY_WAITS = 1 << 30, ALARM = 1, TOLD = 2, GONE_SHIFT = 2 };

static unsigned ready_in(const view_t *view, const step_t *step)
{
    unsigned ready = model_value(view, &alarm_word) ? ALARM : 0;
    if (!(step->before & NOBODY_WAITS) && model_value(view, &is_told) &&
        model_value(view, &ground.head.rounds) != step->before)
        ready |= TOLD;
    for (int i = 0; i < processes; i++)
        if ((step->after >> i & 1) && view->status[i] >= DEAD)
            ready |= 1u << (i + GONE_SHIFT);
    return ready;
}

static int are_all_asleep(const view_t *view)
{
    for (int i = 1; i < processes; i++)
        if (view->status[i] == RUNNING && model_next(view->node[i])->kind != STEP_AWAIT)
            return 0;
    return 1;
}

static int is_ready(const view_t *view, const step_t *step)
{
    const void *at = model_address(step->word);
    const uint64_t value = view->words[step->word];
    if (at == &ground.head.rounds)
        return ready_in(view, step) != 0;
    if (step->after == LINGERS)
        return are_all_asleep(view);
    if (at == &ground.errors[0].lock.word)
        return value == 0 || view->status[value - 1] == DEAD;
    return value != 0;
}

static uint64_t look(const view_t *view, int process, const step_t *step)
{
    (void)process;
    return ready_in(view, step);
}

/** One of those who are ready. */
static unsigned choose(unsigned ready)
{
    unsigned count = 0;
    for (unsigned i = 0; i < 8; i++)
        count += ready >> i & 1;
    unsigned left = count > 1 ? model_choose(count) : 0;
    for (unsigned i = 0; i < 8; i++)
        if ((ready >> i & 1) && left-- == 0)
            return 1u << i;
    return 0;
}

static void kill_some(void)
{
    for (int i = 0; i < processes; i++)
        if (own.to_kill >> i & 1)
            shm_store(&killed[i], 1);
    own.to_kill = 0;
}

static apr_status_t wait_for_any(sys_wait_t *items, size_t count, size_t *ready, sys_time_t deadline)
{
    (void)deadline;
    for (;;) {
        while (!own.waits && go_on_with_program())
            continue;
        kill_some();
        step_t step = {.kind = STEP_AWAIT, .word = model_word(&ground.head.rounds, 4)};
        step.before = own.waits ? own.seen_rounds : NOBODY_WAITS;
        for (size_t i = 1; i < count; i++)
            step.after |= (uint64_t)1 << items[i].handle;
        uint64_t key = digest(3, &own, sizeof own);
        key = digest(key, heap, own.heap_used);
        for (unsigned i = 0; i < RECORDS; i++)
            key = digest(key, &ground.records[i].tries, sizeof ground.records[i].tries);
        model_point(key);
        model_step(step);
        step.kind = STEP_LOOK;
        const unsigned which = choose((unsigned)model_step(step));
        if (which == TOLD) {
            own.waits = 0;
            own.pool.waiting--;
            continue;
        }
        items[0].is_ready = which == ALARM;
        for (size_t i = 1; i < count; i++) {
            items[i].is_ready = which == 1u << (items[i].handle + GONE_SHIFT);
            if (items[i].is_ready)
                own.gone |= 1u << items[i].handle;
        }
        *ready = 1;
        return APR_SUCCESS;
    }
}

/** The program's thread waits for a round. */
static void wait_for_round(uint32_t round)
{
    own.seen_rounds = round;
    own.waits = 1;
    own.pool.waiting++;
}

static void make_pool(void)
{
    static pool_entry_t none;
    memset(&own, 0, sizeof own);
    memset(heap, 0, sizeof heap);
    pool_t *pool = &own.pool;
    pool->owner = sys_getpid();
    pool->users = 1;
    pool->opts.workers = workers;
    pool->head = &ground.head;
    pool->workers = own.workers;
    pool->entries = own.entries;
    pool->sentinels = own.sentinels;
    pool->sentinel_numbers = own.sentinel_numbers;
    pool->functions = own.functions;
    pool->function_count = 1;
    own.functions[0].offset = FUNCTION;
    pool->spare_size = UINT64_MAX;
    pool->free_entry = 1;
    pool->entry_count = RECORDS;
    for (unsigned i = 0; i < workers; i++) {
        own.workers[i].ready_by = SYS_NEVER;
        own.workers[i].process = (mproc_process_t *)(uintptr_t)(i + 1);
        own.workers[i].sentinel = (sys_handle_t)(i + 1);
    }
    own.kept = workers + 1;
    for (unsigned i = 0; i < RECORDS; i++) {
        own.entries[i] = none;
        own.entries[i].record = &ground.records[i];
        own.entries[i].next = i + 1 < RECORDS ? i + 2 : 0;
    }
}

/** Wait until all workers sleep, or end. */
static void linger(void)
{
    model_step((step_t){.kind = STEP_AWAIT, .word = model_word(&gate, 4), .after = LINGERS});
}

/** The program's thread needs nothing more: the others are of no interest from then on. */
static jmp_buf stopped;

static _Noreturn void stop(void)
{
    if (lingers)
        linger();

    pool_clear_limbo(&own.pool);
    longjmp(stopped, 1);
}

static void own_all(void)
{
    make_pool();
    if (setjmp(stopped) == 0)
        dispatch(NULL, &own.pool);
    for (int i = (int)own.kept; i < processes; i++)
        shm_store(&seat_of[i], LEAVES);
}

/** Nothing more comes. */
static void shut(void)
{
    own.pool.state = POOL_SHUT;
    pool_tell_waiting(&own.pool);
    pool_alarm(&own.pool);
}

static void body(int process)
{
    steps_reset();
    atomic_store(&member_ticket, (uint32_t)process + 1);
    reset_plain();
    memset(&knows, 0, sizeof knows);
    knows.was_idle = 1;
    if (process == OWNER)
        own_all();
    else
        work_as(process);
}

/* ---- What always holds ------------------------------------------------------------------------------------------- */

static int is_running(const view_t *view, int process)
{
    return view->status[process] == RUNNING && (model_tag_of(view->node[process]) & TAG_RUNS);
}

static unsigned tag_record(const view_t *view, int process)
{
    return (unsigned)(model_tag_of(view->node[process]) >> TAG_RECORD_SHIFT) & 15;
}

/** Whether only the model knows of a word, and the owner alone writes it. */
static int is_noted(const volatile void *at);

/** Whether nothing goes on but tasks. */
static int is_quiet(const view_t *view)
{
    for (int i = 0; i < processes; i++) {
        if (view->status[i] != RUNNING || is_running(view, i))
            continue;
        const step_t *step = model_next(view->node[i]);
        if (step->kind != STEP_AWAIT || is_ready(view, step))
            return 0;
    }
    return 1;
}

/** Whether a worker that looks would find something. */
static int has_work_in(const view_t *view)
{
    for (int which = 0; which < POOL_RINGS; which++) {
        const pool_ring_t *ring = &ground.rings[which];
        const uint64_t tail = model_value(view, &ring->tail);
        for (uint64_t i = model_value(view, &ring->head); i != tail; i++) {
            const uint64_t entry = model_value(view, &ring->entries[i % POOL_RING]);
            const pool_record_t *record = pool_record(entry >> 32);
            const uint64_t state = model_value(view, &record->state);
            if (state >> RECORD_GENERATION_SHIFT != (entry & UINT32_MAX))
                continue;
            const unsigned number = units_number(record_number(record), state);
            const uint64_t units = number == 0 ? units_of_map : 1;
            if (record_kind(state) == RECORD_QUEUED ||
                (record_kind(state) == RECORD_OPEN && model_value(view, &record->part_state.next) < units))
                return 1;
        }
    }
    return 0;
}

static void check_sleep(const view_t *view)
{
    if (!is_quiet(view))
        return;
    for (int i = 1; i < processes; i++)
        model_require(view->status[i] != PARKED || !has_work_in(view), "process %d sleeps, and there is work", i + 1);
}

/** What was listed is there once. */
static void check_list(const view_t *view)
{
    uint64_t at = model_value(view, &ground.head.ended);
    for (unsigned i = 0; at; i++) {
        model_require(i < RECORDS, "a record is listed twice");
        const pool_record_t *record = arena_at(at);
        at = model_value(view, &record->next);
    }
}

/** The steps that only models know the sense of. */
static void take_note(view_t *after, int process, const step_t *step)
{
    const void *at = model_address(step->word);
    if (step->kind == STEP_AWAIT && at == &ground.errors[0].lock.word)
        after->words[step->word] = (uint64_t)process + 1;
    if (at == &ground.head.rounds && step->kind == STEP_UNPARK)
        model_set(after, &is_told, 1);
    if (at == &ground.head.rounds && step->kind == STEP_LOAD && process == OWNER)
        model_set(after, &is_told, 0);
    for (int i = 1; i < processes; i++)
        if ((step->kind == STEP_STORE && at == &killed[i] && after->status[i] < DEAD) ||
            (step->kind == STEP_END && process == OWNER)) {
            after->status[i] = DEAD;
            after->node[i] = 0;
        }
}

static int is_owners_alone(const view_t *view, const step_t *step)
{
    const void *at = model_address(step->word);
    if (step->kind == STEP_CHOOSE || step->kind == STEP_END || model_value(view, &gate) == 0)
        return step->kind != STEP_AWAIT;
    for (int i = 0; i < POOL_RINGS; i++)
        if (at == &ground.rings[i].tail && step->kind == STEP_LOAD)
            return 1;
    return is_noted(at);
}

/** Nobody else looks at what a worker says of itself, while it lives; nor at what the owner notes for its model. */
static int is_of_one(const view_t *view, int process, const step_t *step)
{
    const void *at = model_address(step->word);
    if (process == OWNER)
        return is_owners_alone(view, step);
    if (step->kind > STEP_REPLACE)
        return 0;
    for (int i = 0; i < POOL_RINGS && !has_queue; i++) {
        /* It was written before the tail was, and nothing follows it. */
        const pool_ring_t *ring = &ground.rings[i];
        if (at >= (const void *)ring->entries && at < (const void *)(ring->entries + RING_MAX))
            return 1;
    }
    for (unsigned i = 0; i < SLOTS; i++) {
        const pool_slot_t *slot = &ground.slots[i];
        if (at == &slot->claim || at == &slot->part || at == &slot->has_error || at == &slot_index[i])
            return step->kind == STEP_LOAD || units_of_map == 0 || at == &slot_index[i];
    }
    return 0;
}

static void name(const volatile void *at, size_t width, const char *text, unsigned number)
{
    char full[40];
    snprintf(full, sizeof full, "%s %u", text, number);
    model_name(at, width, full);
}

static void name_head(void)
{
    pool_head_t *head = &ground.head;
    model_name(&head->bell, 4, "bell");
    model_name(&head->sleepers, 4, "sleepers");
    model_name(&head->order, 4, "order");
    model_name(&head->ended, 8, "ended");
    model_name(&head->rounds, 4, "rounds");
    model_name(&head->is_dispatcher_asleep, 4, "is_dispatcher_asleep");
    model_name(&head->is_feeding, 4, "is_feeding");
    model_name(&head->is_full, 4, "is_full");
    model_name(&head->looker, 4, "looker");
    model_name(&alarm_word, 4, "alarm");
    model_name(&is_told, 4, "is_told");
    model_name(&gate, 4, "gate");
    for (unsigned i = 0; i < MODEL_PROCESSES; i++) {
        name(&killed[i], 4, "killed", i + 1);
        name(&seat_of[i], 4, "place of", i + 1);
    }
}

/** Give the words names that all models have, and lay out what does not change. */
static void lay_ground(void)
{
    pool_head_t *head = &ground.head;
    name_head();
    head->slots = arena_offset(ground.slots);
    head->worker_count = SLOTS;
    for (int i = 0; i < POOL_RINGS; i++) {
        pool_ring_t *ring = &ground.rings[i];
        head->rings[i] = arena_offset(ring);
        model_name(&ring->head, 8, i == POOL_AGAIN ? "again.head" : "first.head");
        model_name(&ring->tail, 8, i == POOL_AGAIN ? "again.tail" : "first.tail");
        for (unsigned k = 0; k < RING_MAX; k++)
            name(&ring->entries[k], 8, i == POOL_AGAIN ? "again" : "first", k);
    }
    for (unsigned i = 0; i < SLOTS; i++) {
        pool_slot_t *slot = &ground.slots[i];
        atomic_store(&slot->stage, SLOT_READY);
        name(&slot->claim, 8, "claim of", i);
        name(&slot->part, 8, "part of", i);
        name(&slot->has_error, 4, "has_error of", i);
        name(&slot->done, 8, "done of", i);
        name(&slot->failed, 8, "failed of", i);
        name(&slot_index[i], 8, "index of", i);
    }
    for (unsigned i = 0; i < RECORDS; i++) {
        pool_record_t *record = &ground.records[i];
        name(&record->state, 8, "state", i);
        name(&record->next, 8, "next", i);
        name(&record->part_state.next, 8, "next unit of", i);
        name(&record->part_state.left, 4, "left of", i);
        name(&record->part_state.is_torn, 4, "is_torn of", i);
    }
    model_name(&ground.errors[0].lock.word, 4, "errors.lock");
    model_name(&ground.errors[0].which, 4, "errors.which");
    for (unsigned i = 0; i < 2; i++)
        name(&error_index[i], 8, "error", i);
    steps_before = note_point;
    steps_after = follow;
    steps_is_constant = is_constant;
}

#endif
