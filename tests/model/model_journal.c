/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal of src/journal.c, under its lock: processes that change two or three words together, or begin and abandon
 * that, or do two transactions under one lock; each for ever, or until it finishes or is killed.
 */
#include "model/steps.h"

#include <stdio.h>

/* Who asks is one of several processes here. */
#define member_self member_self_of_process
#include "arena.h"
#include "member.h"
#undef member_self

static uint32_t own_ticket;

static sys_time_t no_time(void)
{
    return 0;
}

_Atomic uint32_t member_ticket;

static uint32_t member_self(void)
{
    return own_ticket;
}

int member_is_dead(uint32_t ticket)
{
    return model_step((step_t){.kind = STEP_ASK, .before = ticket - 1}) != 0;
}

int member_look_at(member_look_t *look, uint32_t ticket)
{
    (void)look;
    return member_is_dead(ticket);
}

void member_look_away(member_look_t *look)
{
    (void)look;
}

/* Whether somebody has noticed it: both is tried. */
int member_has_ended(uint32_t ticket)
{
    return model_step((step_t){.kind = STEP_NOTICE, .before = ticket - 1}) != 0;
}

int arena_begin_change(void)
{
    return 1;
}

void arena_end_change(void)
{
}

int arena_end_changes(void)
{
    return 1;
}

void arena_return(uint64_t offset, uint64_t size)
{
    (void)offset;
    (void)size;
}

#define sys_now no_time
#define member_patience no_time
#define member_is_crowd() 1
#include "robust.c"

/* Whether the lock is not what is tested. */
static int is_simple;

static apr_status_t acquire(robust_t *lock, const robust_wait_t *wait)
{
    if (is_simple)
        return steps_acquire_simply(&lock->word, wait->self, member_is_dead) ? MPROC_EOWNERDEAD : APR_SUCCESS;
    steps_acquire_begin();
    const apr_status_t status = robust_acquire(lock, wait);
    steps_acquire_end(status == APR_SUCCESS || status == MPROC_EOWNERDEAD, status == MPROC_EOWNERDEAD);
    return status;
}

#define robust_acquire acquire
#include "journal.c"

/* ---- Words that change together ---------------------------------------------------------------------------------- */

enum { WORDS = 3 };

/* The words count to this, so that there are few states. */
static unsigned modulus;

static arena_header_t header;
arena_header_t *arena = &header;

/* Any words of the arena, and what has been committed to them; of the latter no process knows. */
static shm_u64_t *const real[WORDS] = {&header.serial, &header.spans_used, &header.free_runs};
static uint64_t committed[WORDS];

/** The first process changes two words, the others three. */
static int words_of(int process)
{
    return process == 0 ? 2 : WORDS;
}

/* ---- Processes --------------------------------------------------------------------------------------------------- */

/* A transaction is begun: what it sees must be right. */
enum { TAG_BEGUN = 1 << TAG_BITS };

typedef enum work_t { FINISH, COMMIT, ABANDON, COMMIT_TWICE } work_t;

static void count_on(transaction_t *transaction, int process)
{
    uint64_t before[WORDS];
    for (int i = 0; i < words_of(process); i++)
        before[i] = journal_get(transaction, real[i]);
    model_require(before[0] == before[1], "of a transaction only a part was done");
    for (int i = 0; i < words_of(process); i++)
        journal_put(transaction, real[i], (before[i] + 1) % modulus);
    for (int i = 0; i < words_of(process); i++)
        model_require(journal_get(transaction, real[i]) == (before[i] + 1) % modulus, "a transaction is not seen");
}

static void body(int process)
{
    transaction_t transaction;
    steps_reset();
    own_ticket = (uint32_t)process + 1;
    for (;;) {
        model_point(0);
        const work_t work = (work_t)model_choose(4);
        if (work == FINISH)
            return;
        journal_begin(&transaction);
        model_tag |= TAG_BEGUN;
        /* Whatever was finished for the dead. */
        model_point((uint64_t)1 << 40 | (uint64_t)work);
        count_on(&transaction, process);
        if (work == COMMIT_TWICE) {
            model_tag &= ~(uint64_t)TAG_BEGUN;
            journal_step(&transaction);
            model_tag |= TAG_BEGUN;
            model_point((uint64_t)2 << 40);
            count_on(&transaction, process);
        }
        model_tag &= ~(uint64_t)TAG_BEGUN;
        if (work == ABANDON)
            journal_abandon(&transaction);
        else
            journal_commit(&transaction);
    }
}

/* ---- What always holds ------------------------------------------------------------------------------------------- */

static model_t model;

static void check(const view_t *view)
{
    const uint32_t owner = (uint32_t)model_value(view, &header.lock.word) & ~ROBUST_WAITERS;
    int is_to_be_seen = owner == 0;
    for (int i = 0; i < model.processes; i++) {
        if (view->status[i] > PARKED)
            continue;
        const uint64_t tag = model_tag_of(view->node[i]);
        model_require(((tag & TAG_OWNS) != 0) == (owner == (uint32_t)i + 1), "process %d and the lock do not agree",
                      i + 1);
        is_to_be_seen |= (tag & TAG_BEGUN) != 0;
    }
    /* Nothing is left to be done if the lock is free, or was taken and that was done. */
    for (int i = 0; i < WORDS && is_to_be_seen; i++)
        model_require(model_value(view, real[i]) == model_value(view, &committed[i]),
                      "word %d is %d, and committed is %d", i, (int)model_value(view, real[i]),
                      (int)model_value(view, &committed[i]));
    model_require(owner != 0 || model_value(view, &header.journal.count) == 0, "the lock is free, the journal is not");
}

/** A transaction is done from the moment when its number of words is published. */
static void on_step(const view_t *before, view_t *after, int process, const step_t *step, uint64_t result)
{
    (void)before;
    (void)result;
    if (step->kind != STEP_STORE || step->after == 0 || step->word != model_word(&header.journal.count, 4))
        return;
    for (int i = 0; i < words_of(process); i++)
        model_set(after, &committed[i], (model_value(after, &committed[i]) + 1) % modulus);
}

static int is_ready(const view_t *view, const step_t *step)
{
    const uint32_t owner = (uint32_t)view->words[step->word];
    return owner == 0 || view->status[owner - 1] == DEAD;
}

static int has_no_deaths(const view_t *view)
{
    return view->kills == 0;
}

static void explore(int processes, unsigned kills, int simple, unsigned count_to)
{
    is_simple = simple;
    modulus = count_to;
    model = (model_t){.name = simple ? "journal, simple lock" : "journal",
                      .processes = processes,
                      .kills = kills,
                      .limit = 20000000,
                      .body = body,
                      .is_ready = is_ready,
                      .check = check,
                      .on_step = on_step};
    model_explore(&model);
    model_require_finish(has_no_deaths, EVENT_STEP, "nobody has died, and somebody depends on a timeout");
    model_require_finish(NULL, EVENT_STEP | EVENT_TIMEOUT, "whatever the living do, not all of them get the lock");
}

int main(void)
{
    steps_lock = (steps_lock_t){&header.lock.word, &header.lock.watcher};
    model_name(&header.lock.word, 4, "lock.word");
    model_name(&header.lock.watcher, 4, "lock.watcher");
    model_name(&header.journal.count, 4, "journal.count");
    for (int i = 0; i < WORDS; i++) {
        char name[32];
        snprintf(name, sizeof name, "word %d", i);
        model_name(real[i], 8, name);
        snprintf(name, sizeof name, "committed %d", i);
        model_name(&committed[i], 8, name);
        snprintf(name, sizeof name, "journal.offset %d", i);
        model_name(&header.journal.entries[i].offset, 8, name);
        snprintf(name, sizeof name, "journal.value %d", i);
        model_name(&header.journal.entries[i].value, 8, name);
    }
    explore(2, 2, 0, 2);
    explore(3, 2, 1, 2);
    if (model_is_deep()) {
        explore(2, 2, 0, 4);
        explore(3, 2, 1, 3);
    }
    return 0;
}
