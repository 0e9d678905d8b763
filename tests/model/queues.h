/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file queues.h
 * @brief The sources of queues over the model's steps: for each of its models to include, once.
 *
 * Time stands still, and journals are one step. What a process announces in its line is seen by one look at all lines.
 * Besides what the sources know there is a ledger: whether each item was put, and who has got it.
 */
#ifndef MPROC_TESTS_MODEL_QUEUES_H
#define MPROC_TESTS_MODEL_QUEUES_H

#include "model/waits.h"

#include <stdio.h>
#include <string.h>

#include <apr_strings.h>
#include <apr_thread_proc.h>
#include <apr_time.h>

#include "blocks.h"
#include "call.h"
#include "error.h"
#include "hazard.h"
#include "memory.h"
#include "process_object.h"
#include "spots.h"

static inline unsigned handle_kind_of(const void *handle)
{
    (void)handle;
    return HANDLE_QUEUE;
}

/* Before the sources, which include them from where they are: a mutation may be elsewhere. */
#include "ring.h"

#include "queue_blocks.h"
#include "queue_done.h"

/* ---- What one call of a process knows, where its loops begin anew ------------------------------------------------ */

/* A part of the body; whether it has slept in this call, and how patient it is, if that matters; the bell. */
static unsigned the_part;
static int has_slept_now;
static int is_try;
static sys_time_t patience_now;
static uint32_t bell_now; /* NO_BELL: it has not looked yet, and tries once before it does */
static unsigned base_now; /* of the ring */
static int has_time_passed;

/* It has got something just now, and takes the next step with that in its tag. */
static int has_just_got;

/* Not where a call looks at an index twice, and knows something in between. */
static int is_merging = 1;

enum { NO_BELL = 63 };

static void begin_part(unsigned part)
{
    the_part = part;
    has_slept_now = 0;
    is_try = 0;
    patience_now = 0;
    bell_now = NO_BELL;
    base_now = 0;
    has_time_passed = 0;
}

static sys_time_t time_of_rings(void)
{
    const sys_time_t now = has_time_passed ? 1000 : 0;
    has_time_passed = 0;
    return now;
}

static void yield_once(void)
{
    has_time_passed = 1;
}

static void sleep_for(sys_time_t patience)
{
    patience_now = is_try ? patience : 0;
}

/* ---- The ground they stand on ------------------------------------------------------------------------------------ */

/* The queue, its rings, and whatever else a model has. */
enum { RINGS = 3, ITEMS_MAX = 4, VALUES = 16 };

static queue_t *the_queue(void)
{
    return waits_object(0);
}

static ring_t *the_ring(unsigned number)
{
    return waits_object(1 + number);
}

static shared_t *the_shared(void)
{
    shared_t *shared = waits_shared(0);
    shared->kind = HANDLE_QUEUE;
    return shared;
}

static mproc_queue_t *the_handle(void)
{
    return (mproc_queue_t *)(void *)the_shared();
}

/*
 * Each process's line, unless its body has another one; and whether what it has open is closed, by it or for it, and
 * what that counts.
 */
static spot_t lines[MODEL_PROCESSES];
static spot_t *own_line;
static unsigned own_place; /* of that, where it is not always the same */
static shm_u32_t closed[MODEL_PROCESSES];
static uint64_t ends_of[MODEL_PROCESSES]; /* if its body does not tell */
static uint64_t worth[MODEL_PROCESSES];

/* By value: 0, PUT, or who has got it; and whether somebody has come to the end. No process knows of it. */
enum { PUT = 1, GOT_BY = 2 };
static shm_u32_t ledger[VALUES];
static shm_u32_t ends_seen;

static unsigned value_of(int process, unsigned number)
{
    return (unsigned)process * ITEMS_MAX + number + 1;
}

static uint64_t look(const view_t *view, int process, const step_t *step)
{
    (void)process;
    for (int i = 0; i < waits_processes; i++)
        if (view->status[i] < DEAD && model_value(view, &lines[i].announced) == step->before &&
            model_value(view, &lines[i].position) == step->after)
            return 1;
    return 0;
}

int shared_glance64(shared_t *shared, const shm_u64_t *word, uint64_t value)
{
    (void)shared;
    (void)word;
    (void)value;
    return 0;
}

/* Nobody waits by way of the system. */
int queue_watch_reset(const shared_t *shared)
{
    (void)shared;
    return 0;
}

int blocks_are_there(uint64_t offset, uint64_t size)
{
    (void)offset;
    (void)size;
    return 1;
}

int blocks_can_be_raw(uint64_t offset)
{
    (void)offset;
    return 1;
}

int blocks_can_be_object(uint64_t offset)
{
    (void)offset;
    return 1;
}

int handle_kind(const void *handle)
{
    (void)handle;
    return HANDLE_QUEUE;
}

int call_share_kind(const mproc_call_t *call, size_t index)
{
    (void)call;
    (void)index;
    return HANDLE_QUEUE;
}

/* ---- Memory, and the journal: one step -------------------------------------------------------------------------- */

/* In model_tag: has the arena's lock and writes what it has put together; has joined; what it has got. */
enum { TAG_COMMITS = 1 << TAG_BITS, TAG_CHANGES = 2 << TAG_BITS, TAG_JOINED = 4 << TAG_BITS, TAG_VALUE_SHIFT = 8 };

int journal_begin(transaction_t *transaction)
{
    *transaction = (transaction_t){0}; /* all of it: compilers cannot see that no more is read than was put */
    waits_acquire(&arena->lock.word);
    model_tag |= TAG_CHANGES;
    return 1;
}

uint64_t journal_get(const transaction_t *transaction, const shm_u64_t *word)
{
    for (size_t i = 0; i < transaction->count; i++)
        if (transaction->entries[i].offset == arena_offset(word))
            return transaction->entries[i].value;
    return shm_load64(word);
}

void journal_put(transaction_t *transaction, shm_u64_t *word, uint64_t value)
{
    size_t i = 0;
    while (i < transaction->count && transaction->entries[i].offset != arena_offset(word))
        i++;
    transaction->entries[i] = (change_t){arena_offset(word), value};
    transaction->count += i == transaction->count;
}

void journal_abandon(transaction_t *transaction)
{
    transaction->count = 0;
    model_tag &= ~(uint64_t)TAG_CHANGES;
    shm_store(&arena->lock.word, 0);
}

/** Nobody comes in between, and it is not killed in between: see is_private() and is_safe(). */
void journal_commit(transaction_t *transaction)
{
    for (size_t i = 0; i < transaction->count; i++) {
        shm_store64(arena_at(transaction->entries[i].offset), transaction->entries[i].value);
        model_tag |= TAG_COMMITS;
    }
    model_tag |= transaction->count ? TAG_COMMITS : 0;
    shm_store(&arena->lock.word, 0);
    model_tag &= ~(uint64_t)(TAG_COMMITS | TAG_CHANGES);
}

/** The memory of a model, for a ring the one behind that which it follows; NULL: there is none; none is given back. */
static uint64_t (*take_memory)(transaction_t *transaction, uint64_t size);
static void (*give_memory)(transaction_t *transaction, uint64_t part);
static shm_u64_t *(*note_of_memory)(uint64_t part); /* NULL: that is no part */

apr_status_t memory_take(transaction_t *transaction, uint64_t *part, uint64_t size, object_t *object)
{
    (void)object;
    *part = take_memory ? take_memory(transaction, size) : 0;
    return *part ? APR_SUCCESS : APR_ENOMEM;
}

uint64_t memory_part_at(const void *address)
{
    const uint64_t part = arena_offset(address);
    return note_of_memory && note_of_memory(part) ? part : 0;
}

shm_u64_t *memory_note(uint64_t part)
{
    return note_of_memory(part);
}

void memory_give(transaction_t *transaction, uint64_t part, object_t *object)
{
    (void)object;
    if (give_memory)
        give_memory(transaction, part);
}

static apr_status_t acquire_growth(robust_t *lock, const robust_wait_t *wait)
{
    (void)wait;
    return waits_acquire(&lock->word) ? MPROC_EOWNERDEAD : APR_SUCCESS;
}

static int try_growth(robust_t *lock, uint32_t self)
{
    return shm_replace(&lock->word, 0, self);
}

static apr_status_t release_growth(robust_t *lock)
{
    shm_store(&lock->word, 0);
    return APR_SUCCESS;
}

/* ---- Sleeping ---------------------------------------------------------------------------------------------------- */

static void end_for(uint32_t ticket);

/* Who is not killed; whether ends are counted, and more than slots is in use. */
static unsigned immortal; /* processes, as bits */
static int has_ends;
static int has_counted;
static int has_blocks;
static int has_values; /* else items are empty, and nothing is told of them */
static int is_growing;
static int is_joinable;

static void look_out(void)
{
    for (uint32_t ticket = 1; ticket <= (uint32_t)waits_processes; ticket++)
        if (ticket != member_self() && !shm_load(&closed[ticket - 1]) && member_is_dead(ticket))
            end_for(ticket);
}

static apr_status_t sleep_at(shm_u32_t *word, uint32_t value, sys_time_t deadline)
{
    if (deadline != SYS_NEVER && deadline < 1000 && model_choose(2) == 0)
        return APR_TIMEUP;
    return shm_park(word, value, deadline) ? APR_TIMEUP : APR_SUCCESS;
}

static apr_status_t park_at(shared_t *shared, shm_u32_t *word, uint32_t value, sys_time_t deadline)
{
    (void)shared;
    has_slept_now = 1;
    return sleep_at(word, value, deadline) == APR_TIMEUP && deadline < 1000 ? APR_TIMEUP : APR_SUCCESS;
}

static apr_status_t watch_at(shared_t *shared, shm_u32_t *word, uint32_t value, sys_time_t deadline)
{
    (void)shared;
    has_slept_now = 1;
    if (sleep_at(word, value, deadline) == APR_TIMEUP) {
        look_out();
        return deadline < 1000 ? APR_TIMEUP : APR_SUCCESS;
    }
    return APR_SUCCESS;
}

/** Whether another thread has closed what a process waits with, for whom that may be. */
static int (*gives_up)(void);

static int is_closed_by_now(const shared_t *shared)
{
    (void)shared;
    return gives_up && gives_up();
}

/** From here on, who puts takes itself for one that has slept. */
static int glance_before_sleep(shared_t *shared, const shm_u64_t *word, uint64_t value)
{
    has_slept_now = 1;
    return shared_glance64(shared, word, value);
}

/* ---- The sources ------------------------------------------------------------------------------------------------- */

/** What is copied into the arena, or out of it. */
static void copy(void *to, const void *from, size_t size)
{
    const unsigned char *begin = (const unsigned char *)arena;
    const unsigned char *end = (const unsigned char *)waits_object(WAITS_OBJECTS);
    uint32_t *target = to;
    const uint32_t *source = from;
    for (size_t i = 0; i < size / sizeof *target; i++) {
        const int is_read = (const unsigned char *)(source + i) >= begin && (const unsigned char *)(source + i) < end;
        const int is_written = (unsigned char *)(target + i) >= begin && (unsigned char *)(target + i) < end;
        const uint32_t value = is_read ? (uint32_t)shm_step(STEP_LOAD, source + i, 4, 0, 0) : source[i];
        if (is_written)
            shm_step(STEP_STORE, target + i, 4, 0, value);
        else
            target[i] = value;
    }
}

#undef memcpy
#define memcpy copy
#define shared_park park_at
#define shared_watch watch_at
#define shared_is_closed is_closed_by_now
#define robust_acquire acquire_growth
#define robust_release release_growth
#define robust_try try_growth

#define begin begin_at_once
#include "queue_fast.c"
#undef begin

#undef sys_now
#define sys_now time_of_rings
#define apr_thread_yield yield_once
#define apr_sleep sleep_for
#include "queue_ring.c"
#undef sys_now
#define sys_now waits_no_time

#define visit_t putting_t
#define pass_on pass_on_room
#define fail fail_to_put
#define begin begin_to_put
#define shared_glance64 glance_before_sleep
#include "queue_put.c"
#undef visit_t
#undef pass_on
#undef fail
#undef begin
#undef shared_glance64
#define visit_t getting_t
#define fail fail_to_get
#define begin begin_to_get
#define end end_to_get
#include "queue_get.c"
#undef visit_t
#undef fail
#undef begin
#undef end

#define table_t block_table_t
#include "queue_blocks.c"
#undef table_t
#define acquire acquire_to_be_done
#define pack pack_record
#define add add_to_record
#include "queue_done.c"
#undef acquire
#undef pack
#undef add

#include "queue_end.c"

#define stir stir_queue
#define describe describe_queue
#define plan_t queue_plan_t
#include "queue.c"
#undef stir
#undef describe
#undef plan_t
#undef memcpy

/* ---- Processes --------------------------------------------------------------------------------------------------- */

/** An end is closed by whoever had it, or for one that is dead: it counts no more, see keep_ledger(). */
static void end_for(uint32_t ticket)
{
    if (shm_exchange(&closed[ticket - 1], 1))
        return;
    /* As stir() of src/queue.c, for those whom it concerns. */
    if (worth[ticket - 1] == QUEUE_PUTTER)
        queue_wake_getters(the_queue());
    else
        queue_wake_putters(the_queue(), UINT32_MAX);
}

static void close_end(unsigned part)
{
    waits_point(part, 0);
    if (!has_ends)
        return;
    begin_part(part);
    end_for(member_self());
}

static apr_status_t put_value(unsigned value, uint64_t block, sys_time_t deadline)
{
    const uint32_t content[2] = {value, value};
    const queue_item_t item = {.data = content, .size = sizeof content, .block = block};
    putting_t visit = {.shared = the_shared(), .queue = the_queue(), .line = own_line, .deadline = deadline};
    is_try = deadline == 0;
    const apr_status_t status = put_or_wait(&visit, &item);
    model_require(status == APR_SUCCESS || status == APR_EPIPE || (status == APR_TIMEUP && deadline != SYS_NEVER),
                  "a put has failed");
    return status;
}

/** Get an item; it is noted which. */
static apr_status_t get_value(sys_time_t deadline)
{
    uint32_t content[2] = {0, 0};
    uint64_t block = 0;
    getting_t visit = {
        .shared = the_shared(), .queue = the_queue(), .line = own_line, .deadline = deadline, .capacity = UINT64_MAX};
    is_try = deadline == 0;
    const apr_status_t status = claim_or_wait(&visit);
    model_require(status == APR_SUCCESS || status == APR_EOF || (status == APR_TIMEUP && deadline != SYS_NEVER),
                  "a get has failed");
    if (status != APR_SUCCESS)
        return status;
    model_require(take_item(&visit, content, &block) == APR_SUCCESS, "an item was not taken");
    model_require(content[0] == content[1] && content[0] != 0 && content[0] < VALUES, "an item is torn: %u, %u",
                  content[0], content[1]);
    model_tag |= (uint64_t)content[0] << TAG_VALUE_SHIFT;
    has_just_got = 1;
    return status;
}

/* How many each puts, or gets. */
static unsigned counts[MODEL_PROCESSES];

static void set_counts(unsigned first, unsigned second, unsigned third)
{
    counts[0] = first;
    counts[1] = second;
    counts[2] = third;
}

static void put_some(void)
{
    const int self = (int)member_self() - 1;
    apr_status_t status = APR_SUCCESS;
    for (unsigned i = 0; i < counts[self] && status == APR_SUCCESS; i++) {
        waits_point(1 + i, 0);
        begin_part(1 + i);
        status = put_value(value_of(self, i), 0, SYS_NEVER);
    }
    close_end(100);
}

/** Put what there is room for at once. */
static void try_to_put_some(void)
{
    const int self = (int)member_self() - 1;
    for (unsigned i = 0; i < counts[self]; i++) {
        waits_point(1 + i, 0);
        begin_part(1 + i);
        put_value(value_of(self, i), 0, 0);
    }
    close_end(100);
}

/** Get so many, or until the end. */
static void get_some(void)
{
    const int self = (int)member_self() - 1;
    apr_status_t status = APR_SUCCESS;
    for (unsigned i = 0; i < counts[self] && status == APR_SUCCESS; i++) {
        waits_point(1 + i, 0);
        begin_part(1 + i);
        status = get_value(SYS_NEVER);
    }
    if (status == APR_EOF)
        shm_store(&ends_seen, 1);
    close_end(100);
}

static void get_all(void)
{
    do {
        waits_point(1, 0);
        begin_part(1);
    } while (get_value(SYS_NEVER) == APR_SUCCESS);
    shm_store(&ends_seen, 1);
    close_end(100);
}

static void finish_it(void)
{
    begin_part(1);
    queue_close_puts(the_queue());
    close_end(100);
}

static void clear_it(void)
{
    waits_point(1, 0);
    begin_part(1);
    mproc_queue_clear(the_handle(), NULL);
    close_end(100);
}

typedef void (*body_t)(void);

static const body_t *bodies;

static void run_body(int process)
{
    waits_reset(process);
    begin_part(99);
    own_line = &lines[process];
    own_place = 0;
    has_just_got = 0;
    hazard_mine = NULL;
    bodies[process]();
}

/* ---- Which steps there are --------------------------------------------------------------------------------------- */

static int is_head_of_loop(const volatile void *at)
{
    return at == &the_queue()->filled || at == &the_queue()->emptied || at == &the_queue()->joined;
}

static void before_step(step_kind_t kind, const volatile void *at)
{
    if (!has_just_got)
        model_tag &= ((uint64_t)1 << TAG_VALUE_SHIFT) - 1;
    has_just_got = 0;
    if (kind != STEP_LOAD)
        return;
    const uint64_t key = (uint64_t)own_place << 56 | (uint64_t)1 << 42 | (uint64_t)the_part << 32 |
                         (uint64_t)has_slept_now << 31 | (uint64_t)patience_now << 8;
    if (is_head_of_loop(at)) {
        model_point(key);
        return;
    }
    for (unsigned i = 0; i < RINGS && steps_observes && is_merging; i++) {
        /* The first ring's is always the same. */
        const uint64_t base = i == 0 ? 0 : base_now;
        if (at == &the_ring(i)->tail || at == &the_ring(i)->head)
            model_point(key | (uint64_t)1 << 43 | base << 44 | (uint64_t)bell_now << 2 | i);
    }
}

/* What a model with more than rings has to say to that, and to what follows; NULL: nothing. */
static void (*after_step_too)(step_kind_t kind, const volatile void *at, uint64_t value, uint64_t result);
static int (*is_constant_too)(const volatile void *at);
static int (*is_private_too)(const view_t *view, int process, const step_t *step);
static void (*on_step_too)(const view_t *before, view_t *after, int process, const step_t *step);

static void after_step(step_kind_t kind, const volatile void *at, uint64_t value, uint64_t result)
{
    if (after_step_too)
        after_step_too(kind, at, value, result);
    if (kind == STEP_LOAD && is_head_of_loop(at))
        bell_now = (uint32_t)result;
    for (unsigned i = 1; i < RINGS && kind == STEP_LOAD; i++)
        if (at == &the_ring(i)->base)
            base_now = (unsigned)result;
}

/** The slot that a word is in, of ring `number`; NULL: none. */
static slot_t *slot_around(const volatile void *at, unsigned *number)
{
    for (unsigned i = 0; i < RINGS; i++) {
        const uint64_t offset = (uint64_t)((const volatile unsigned char *)at - (unsigned char *)(the_ring(i) + 1));
        *number = i;
        if (the_ring(i)->length && offset < the_ring(i)->length * the_ring(i)->stride)
            return ring_slot(the_ring(i), offset / the_ring(i)->stride);
    }
    return NULL;
}

static int is_constant(const volatile void *at)
{
    const queue_t *queue = the_queue();
    if (at == &arena->members_used || at == &queue->first_ring || at == &queue->head.object.serial ||
        at == &queue->maxsize || at == &queue->blocks || at == &queue->records)
        return 1;
    if ((!has_ends && at == &queue->flags) || (!has_counted && at == &queue->ends))
        return 1;
    unsigned number;
    const slot_t *slot = slot_around(at, &number);
    if (slot && (at == &slot->size || (!has_blocks && at == &slot->block)))
        return 1;
    if (is_constant_too && is_constant_too(at))
        return 1;
    if (at == &the_ring(0)->base)
        return 1;
    return !is_growing && (at == &queue->put_ring || at == &queue->get_ring);
}

/** What is in a slot: a value; 0: it is torn, or nothing. */
static unsigned value_in(const view_t *view, const slot_t *slot)
{
    const uint32_t *content = (const uint32_t *)(const void *)slot->data;
    const uint64_t block = model_value(view, &slot->block);
    if (block)
        content = queue_block_memory(block);
    const uint64_t first = model_value(view, &content[0]);
    return first == model_value(view, &content[1]) && first < VALUES ? (unsigned)first : 0;
}

/** Whether it is in a ring that nobody knows of yet, but who has it follow. */
static int is_in_making(const view_t *view, int process, const void *at)
{
    const queue_t *queue = the_queue();
    if (model_value(view, &queue->growth.word) != (uint64_t)process + 1)
        return 0;
    return at >= (const void *)the_ring(1) && at < waits_object(1 + RINGS) &&
           arena_offset(at) >= model_value(view, &queue->put_ring) + WAITS_OBJECT_SIZE;
}

/**
 * Whether it is what an item consists of, and only who has claimed its slot touches it now; or where that will be
 * announced, and is not yet.
 */
static int is_private(const view_t *view, int process, const step_t *step)
{
    unsigned ring;
    const void *at = model_address(step->word);
    const uint64_t tag = model_tag_of(view->node[process]);
    if (step->kind > STEP_STORE)
        return 0;
    if ((tag & TAG_COMMITS) || ((tag & TAG_CHANGES) && step->kind == STEP_LOAD && is_joinable))
        return 1;
    if (at == (const void *)&lines[process].position)
        return model_value(view, &lines[process].announced) == 0;
    if (is_growing && is_in_making(view, process, at))
        return 1;
    if (is_private_too && is_private_too(view, process, step))
        return 1;
    const slot_t *slot = slot_around(at, &ring);
    if (!slot || at == (const void *)&slot->sequence || at == (const void *)&slot->counted)
        return 0;
    const uint64_t sequence = model_value(view, &slot->sequence);
    if (step->kind == STEP_STORE)
        return !(sequence & 1);
    return (sequence & 1) && !(sequence & RING_TOMBSTONE) &&
           model_value(view, &ledger[value_in(view, slot)]) == GOT_BY + (uint64_t)process;
}

static int is_safe(const view_t *view, int process)
{
    return (model_tag_of(view->node[process]) & TAG_COMMITS) != 0;
}

/* ---- What always holds ------------------------------------------------------------------------------------------- */

static void note_put(view_t *view, const slot_t *slot)
{
    const unsigned value = value_in(view, slot);
    model_require(value != 0, "what is published is torn");
    model_require(model_value(view, &ledger[value]) == 0, "%u is put twice", value);
    model_set(view, &ledger[value], PUT);
}

static void note_get(view_t *view, int process, const slot_t *slot)
{
    const unsigned value = value_in(view, slot);
    model_require(value != 0, "what is got is torn");
    model_require(model_value(view, &ledger[value]) == PUT, "%u is got, and was not there", value);
    for (unsigned before = (value - 1) / ITEMS_MAX * ITEMS_MAX + 1; before < value; before++)
        model_require(model_value(view, &ledger[before]) != PUT, "%u is got before %u", value, before);
    model_set(view, &ledger[value], GOT_BY + (uint64_t)process);
}

/** Look at a step at an index, or at a slot. */
static void keep_ledger(const view_t *before, view_t *after, int process, const step_t *step)
{
    unsigned number;
    const void *at = model_address(step->word);
    const uint64_t value = after->words[step->word];
    const slot_t *slot = slot_around(at, &number);
    if (slot && step->kind == STEP_STORE && at != (const void *)&slot->sequence && at != (const void *)&slot->counted)
        model_require(!(model_value(before, &slot->sequence) & 1), "what is in a slot that is full is written");
    if (slot && at == (const void *)&slot->sequence && step->kind == STEP_STORE) {
        if ((value & 1) && has_values)
            note_put(after, slot);
        /* No other position is this one: nobody asks any more. That makes fewer states. */
        model_set(after, &lines[process].announced, 0);
        model_set(after, &lines[process].position, 0);
    }
    for (unsigned i = 0; i < RINGS && has_values; i++) {
        const ring_t *ring = the_ring(i);
        if (at != (const void *)&ring->head || step->kind != STEP_REPLACE ||
            value >> RING_BITS == before->words[step->word] >> RING_BITS)
            continue;
        const uint64_t from_base =
            (before->words[step->word] >> RING_BITS) - (is_growing ? model_value(before, &ring->base) : 0);
        const slot_t *got = ring_slot(ring, from_base);
        if (!(model_value(before, &got->sequence) & RING_TOMBSTONE))
            note_get(after, process, got);
    }
    for (int i = 0; i < waits_processes; i++)
        if (at == (const void *)&closed[i] && value != before->words[step->word])
            model_set(after, &the_queue()->ends, model_value(after, &the_queue()->ends) - worth[i]);
}

static void on_step(const view_t *before, view_t *after, int process, const step_t *step, uint64_t result)
{
    (void)result;
    waits_on_step(after, process, step);
    const uint64_t got = model_tag_of(before->node[process]) >> TAG_VALUE_SHIFT;
    model_require(got == 0 || model_value(before, &ledger[got]) == GOT_BY + (uint64_t)process,
                  "a process has got %u, and has claimed another one", (unsigned)got);
    keep_ledger(before, after, process, step);
    if (on_step_too)
        on_step_too(before, after, process, step);
    model_require(model_value(before, &the_queue()->get_ring) <= model_value(after, &the_queue()->get_ring),
                  "a ring is got from again");
}

/** Whether an item is where it will be got. */
static int is_there(const view_t *view, unsigned value)
{
    for (unsigned i = 0; i < RINGS; i++) {
        const ring_t *ring = the_ring(i);
        const uint64_t base = is_growing ? model_value(view, &ring->base) : 0;
        const uint64_t head = (model_value(view, &ring->head) >> RING_BITS) - base;
        const uint64_t tail = (model_value(view, &ring->tail) >> RING_BITS) - base;
        if (is_growing && arena_offset(ring) < model_value(view, &the_queue()->get_ring))
            continue;
        for (uint64_t at = head; ring->length && at < tail && at < head + ring->length; at++) {
            const slot_t *slot = ring_slot(ring, at);
            if (model_value(view, &slot->sequence) == 2 * at + 1 && value_in(view, slot) == value)
                return 1;
        }
        if (!is_growing)
            break;
    }
    return 0;
}

static void (*check_more)(const view_t *view);

static void check(const view_t *view)
{
    for (unsigned value = 1; value < VALUES; value++) {
        if (model_value(view, &ledger[value]) != PUT)
            continue;
        model_require(is_there(view, value), "%u is lost", value);
        model_require(!model_value(view, &ends_seen), "%u is there after the end was seen", value);
    }
    if (check_more)
        check_more(view);
}

/* ---- Laying out -------------------------------------------------------------------------------------------------- */

static void lay_out_ring(unsigned number, uint64_t length)
{
    ring_t *ring = the_ring(number);
    memset(ring, 0, sizeof *ring);
    ring->length = length;
    ring->stride = length ? stride_of(the_queue()) : 0;
    ring->mask = length && (length & (length - 1)) == 0 ? length - 1 : 0;
    for (uint64_t i = 0; i < length; i++) {
        slot_t *slot = ring_slot(ring, i);
        memset(slot, 0, ring->stride);
        atomic_store(&slot->sequence, 2 * i);
        atomic_store(&slot->size, 2 * sizeof(uint32_t));
    }
}

static void name_ring(unsigned ring_number)
{
    char name[32];
    unsigned number = ring_number;
    const ring_t *ring = the_ring(number);
#define NAME(at, width, what) (snprintf(name, sizeof name, "%s %u", what, number), model_name(at, width, name))
    NAME(&ring->tail, 8, "tail");
    NAME(&ring->head, 8, "head");
    NAME(&ring->base, 8, "base");
    NAME(&ring->next, 8, "next");
    for (uint64_t i = 0; i < ring->length; i++) {
        const slot_t *slot = ring_slot(ring, i);
        number = ring_number * 10 + (unsigned)i;
        NAME(&slot->sequence, 8, "sequence");
        NAME(&slot->size, 8, "size");
        NAME(&slot->block, 8, "block");
        NAME(&slot->counted, 8, "counted");
        NAME(slot->data, 4, "data, first half");
        NAME(slot->data + 4, 4, "data, second half");
    }
#undef NAME
}

/** Memory for the ring that has this size. */
static uint64_t take_ring(transaction_t *transaction, uint64_t size)
{
    (void)transaction;
    for (unsigned i = 1; i < RINGS; i++)
        if (sizeof(ring_t) + the_ring(i)->length * the_ring(i)->stride == size)
            return arena_offset(the_ring(i));
    model_fail("there are more rings than there is room for");
}

/** A new queue whose first ring has so many slots; `grown`: and is followed by longer ones. */
static void make(uint64_t length, int grown)
{
    queue_t *queue = the_queue();
    memset(queue, 0, sizeof *queue);
    memset(lines, 0, sizeof lines);
    memset(closed, 0, sizeof closed);
    memset(ledger, 0, sizeof ledger);
    atomic_store(&ends_seen, 0);
    is_growing = grown;
    take_memory = grown ? take_ring : NULL;
    give_memory = NULL;
    note_of_memory = NULL;
    is_joinable = 0;
    immortal = 0;
    has_ends = 0;
    has_blocks = 0;
    has_values = 1;
    queue->item_size = 2 * sizeof(uint32_t);
    queue->room = queue->item_size;
    atomic_store(&queue->head.object.serial, 7);
    atomic_store(&queue->maxsize, grown ? 0 : length);
    atomic_store(&queue->first_ring, arena_offset(the_ring(0)));
    atomic_store(&queue->put_ring, arena_offset(the_ring(0)));
    atomic_store(&queue->get_ring, arena_offset(the_ring(0)));
    for (unsigned i = 0; i < RINGS; i++)
        lay_out_ring(i, i == 0 || grown ? length << i : 0);
}

/** An item is there, of the last process. */
static void have_item(unsigned number)
{
    slot_t *slot = ring_slot(the_ring(0), number);
    const uint32_t value = value_of(2, number);
    const uint32_t content[2] = {value, value};
    memcpy(slot->data, content, sizeof content);
    atomic_store(&slot->sequence, 2 * number + 1);
    atomic_store(&the_ring(0)->tail, (uint64_t)(number + 1) << RING_BITS);
    atomic_store(&ledger[value], PUT);
}

/** It was claimed by a getter that died of it. */
static void have_claim(unsigned number)
{
    have_item(number);
    atomic_store(&the_ring(0)->head, (uint64_t)(number + 1) << RING_BITS);
    atomic_store(&ledger[value_of(2, number)], GOT_BY + 2);
}

static void name_words(void)
{
    const queue_t *queue = the_queue();
    waits_lay_out();
    model_name(&queue->put_ring, 8, "put_ring");
    model_name(&queue->get_ring, 8, "get_ring");
    model_name(&queue->ends, 8, "ends");
    model_name(&queue->flags, 4, "flags");
    model_name(&queue->growth.word, 4, "growth");
    model_name(&queue->filled, 4, "filled");
    model_name(&queue->emptied, 4, "emptied");
    model_name(&queue->joined, 4, "joined");
    for (unsigned i = 0; i < RINGS; i++)
        name_ring(i);
    for (int i = 0; i < MODEL_PROCESSES; i++) {
        model_name(&lines[i].announced, 8, "line.announced");
        model_name(&lines[i].position, 8, "line.position");
        model_name(&closed[i], 4, "closed");
    }
    for (unsigned i = 0; i < VALUES; i++)
        model_name(&ledger[i], 4, "ledger");
    model_name(&ends_seen, 4, "ends_seen");
}

/* ---- Exploring --------------------------------------------------------------------------------------------------- */

static const model_t base_model = {.limit = 30000000,
                                   .body = run_body,
                                   .is_ready = waits_is_ready,
                                   .is_private = is_private,
                                   .is_safe = is_safe,
                                   .look = look,
                                   .check = check,
                                   .on_step = on_step};
static model_t the_model;
static uint64_t nap; /* how long a putter sleeps at first, where the end of that is counted on */

/** Who has an end is counted from the beginning. */
static void open_ends(void)
{
    has_counted = 0;
    for (int i = 0; i < waits_processes && has_ends; i++)
        has_counted |= worth[i] != 0;
    if (!has_ends)
        return;
    uint64_t ends = 0;
    uint32_t flags = 0;
    for (int i = 0; i < waits_processes; i++) {
        ends += worth[i];
        flags |= worth[i] == QUEUE_PUTTER ? QUEUE_HAD_PUTTER : 0u;
        flags |= worth[i] == QUEUE_GETTER ? QUEUE_HAD_GETTER : 0u;
    }
    if (atomic_load(&the_ring(0)->tail) & RING_CLOSED)
        flags |= QUEUE_FINISHED;
    atomic_store(&the_queue()->ends, ends);
    atomic_store(&the_queue()->flags, flags);
}

static void explore(const char *name, const body_t *who, int processes, unsigned kills)
{
    bodies = who;
    waits_processes = processes;
    steps_before = before_step;
    steps_after = after_step;
    steps_is_constant = is_constant;
    for (int i = 0; i < processes; i++)
        worth[i] = who[i] == put_some || who[i] == try_to_put_some ? QUEUE_PUTTER
                   : who[i] == get_some || who[i] == get_all       ? QUEUE_GETTER
                                                                   : ends_of[i];
    open_ends();
    the_model = base_model;
    the_model.name = name;
    the_model.processes = processes;
    the_model.kills = kills;
    the_model.immortal = immortal;
    the_model.nap = nap;
    model_explore(&the_model);
    model_require_finish(waits_has_no_deaths, EVENT_STEP, "nobody was killed, and not all come to their end");
    if (kills)
        model_require_finish(NULL, EVENT_STEP | EVENT_TIMEOUT, "not all who live come to their end");
}

#endif
