/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conditions of src/condition.c and the spots of src/spots.c: who waits, who notifies, and who settles what the
 * dead leave. The lock of the conditions is not what is tested.
 */
#include "model/waits.h"

#include <stdio.h>
#include <string.h>

#include "blocks.h"
#include "lock_object.h"

#include "spots.c"

void robust_stir(robust_t *lock)
{
    (void)lock;
}

int blocks_can_be_object(uint64_t offset)
{
    return offset != 0;
}

#include "condition.c"

/* Two conditions with one lock. */
enum { FIRST, SECOND, THE_LOCK };

/* A notification of the first condition was given to somebody, and somebody went on with one; no process knows it. */
static shm_u32_t given;
static shm_u32_t taken;
static shm_u32_t notified; /* how often somebody was, by who notifies, dead or alive */
static shm_u32_t promised; /* what that must be when the notifier is done */

static model_t model;

/* ---- The lock ---------------------------------------------------------------------------------------------------- */

const shared_kind_t lock_kind;

static shm_u32_t *lock_word(void)
{
    return &((lock_t *)waits_object(THE_LOCK))->robust.word;
}

int lock_is_mine(const lock_t *lock)
{
    (void)lock;
    return 1;
}

apr_status_t lock_acquire(lock_t *lock, shared_t *shared, apr_interval_time_t timeout)
{
    (void)lock;
    (void)shared;
    (void)timeout;
    return waits_acquire(lock_word()) ? MPROC_EOWNERDEAD : APR_SUCCESS;
}

uint32_t lock_release_all(lock_t *lock)
{
    (void)lock;
    shm_store(lock_word(), 0);
    return 1;
}

void lock_restore(lock_t *lock, uint32_t depth)
{
    (void)lock;
    (void)depth;
}

apr_status_t lock_release(lock_t *lock, const char *call)
{
    (void)call;
    lock_release_all(lock);
    return APR_SUCCESS;
}

apr_status_t lock_fail(apr_status_t status, const lock_t *lock, const char *call)
{
    (void)lock;
    (void)call;
    return status;
}

apr_status_t mproc_lock_create_sized(mproc_lock_t **handle, const mproc_lock_opts_t *opts, size_t opts_size)
{
    (void)handle;
    (void)opts;
    (void)opts_size;
    return APR_ENOTIMPL;
}

apr_status_t mproc_lock_close(mproc_lock_t *handle)
{
    (void)handle;
    return APR_ENOTIMPL;
}

/* ---- Processes --------------------------------------------------------------------------------------------------- */

enum {
    TAG_WAITS = 1 << TAG_BITS,
    TAG_WAITS_AT_SECOND = 2 << TAG_BITS,
    TAG_SETTLES = 4 << TAG_BITS,
    TAG_NOTIFIES = 8 << TAG_BITS
};

static mproc_condition_t *condition(unsigned number)
{
    return (mproc_condition_t *)(void *)waits_shared(number);
}

static void wait_once(unsigned number, apr_interval_time_t timeout)
{
    mproc_condition_acquire(condition(number), MPROC_FOREVER);
    model_tag = number == FIRST ? TAG_WAITS : TAG_WAITS_AT_SECOND;
    const apr_status_t status = mproc_condition_wait(condition(number), timeout);
    model_require(mproc_has_acquired(status) || status == APR_TIMEUP, "a wait has failed");
    model_require(number == FIRST || status != APR_SUCCESS, "somebody went on for no reason");
    model_tag = 0;
    mproc_condition_release(condition(number));
}

static void be_waiter(void)
{
    wait_once(FIRST, MPROC_FOREVER);
}

static void be_impatient(void)
{
    wait_once(FIRST, 1);
}

/** Somebody whose spot is now at this condition, and now at that one. */
static void be_fickle(void)
{
    wait_once(FIRST, 1);
    wait_once(SECOND, 1);
}

static void notify_times(unsigned times)
{
    model_tag = TAG_NOTIFIES;
    for (unsigned i = 0; i < times; i++) {
        mproc_condition_acquire(condition(FIRST), MPROC_FOREVER);
        mproc_condition_notify(condition(FIRST), 1);
        mproc_condition_release(condition(FIRST));
    }
}

static void be_notifier(void)
{
    notify_times(1);
}

static void be_notifier_twice(void)
{
    notify_times(2);
}

/* Somebody who is dead before the others come. */
enum { DEAD_FOR_LONG = 9 };

/* Who may be dead; it need not be a process of the model. */
static uint32_t victim;

/** As settle() in src/member.c. */
static void be_settler(void)
{
    model_tag = TAG_SETTLES;
    if (victim <= (uint32_t)model.processes && !member_is_dead(victim))
        return;
    waits_acquire(&arena->lock.word);
    spots_settle(victim, condition_pass_on);
    shm_store(&arena->lock.word, 0);
}

typedef void (*body_t)(void);

static const body_t *bodies;

static void body(int process)
{
    waits_reset(process);
    kept_count = 0;
    bodies[process]();
}

/* ---- What always holds ------------------------------------------------------------------------------------------- */

static spot_t *spot_of(const view_t *view, int process)
{
    for (unsigned i = 0; i < WAITS_SPOTS; i++)
        if (model_value(view, &spot_at(i)->owner) == (uint64_t)process + 1)
            return spot_at(i);
    return NULL;
}

static int is_in_state(uint64_t word, unsigned state)
{
    return (word & 3) == state;
}

/** Whether there is nobody who has to look after the dead, and has not done so. */
static int is_settled(const view_t *view)
{
    for (unsigned i = 0; i < WAITS_SPOTS; i++) {
        const uint64_t owner = model_value(view, &spot_at(i)->owner);
        if (owner && (owner > (uint64_t)model.processes || view->status[owner - 1] == DEAD))
            return 0;
    }
    return 1;
}

/** Whether somebody settles, or may do so later. */
static int is_settling(const view_t *view)
{
    for (int i = 0; i < model.processes; i++)
        if (bodies[i] == be_settler && view->status[i] <= PARKED)
            return 1;
    return 0;
}

static void check(const view_t *view)
{
    const uint64_t all_given = model_value(view, &given);
    const uint64_t all_taken = model_value(view, &taken);
    model_require(view->kills > 0 || all_taken <= all_given || victim == DEAD_FOR_LONG,
                  "more have gone on than were notified");
    if (!waits_is_quiet(view) || !is_settled(view))
        return;
    for (int i = 0; i < model.processes; i++) {
        const spot_t *spot = spot_of(view, i);
        if (view->status[i] != PARKED || !(model_tag_of(view->node[i]) & TAG_WAITS))
            continue;
        /* It was notified by one who died before it woke it: so it is when its slice is over. */
        if (view->kills > 0 && !is_in_state(model_value(view, &spot->word), SPOT_WAITING))
            continue;
        model_require(all_taken >= all_given, "process %d sleeps, and a notification is lost", i + 1);
        model_require(is_in_state(model_value(view, &spot->word), SPOT_WAITING), "process %d sleeps, and was notified",
                      i + 1);
    }
    model_require(view->kills > 0 || all_taken == all_given || victim == DEAD_FOR_LONG,
                  "nobody sleeps, and a notification is lost");
}

static void add_to(view_t *view, const shm_u32_t *count)
{
    model_set(view, count, model_value(view, count) + 1);
}

/** Whether a spot belongs to one who lives. */
static int is_living(const view_t *view, const spot_t *spot)
{
    const uint64_t owner = model_value(view, &spot->owner);
    return owner && owner <= (uint64_t)model.processes && view->status[owner - 1] <= PARKED;
}

/** Whether a process waits for good, and does not die. */
static int is_patient(const view_t *view, int process)
{
    return bodies[process] == be_waiter && view->status[process] <= PARKED && (uint32_t)process + 1 != victim;
}

/** Whether somebody waits for good at the first condition, and is not notified. */
static int is_patient_one(const view_t *view)
{
    for (int i = 0; i < model.processes; i++) {
        const spot_t *spot = spot_of(view, i);
        if (is_patient(view, i) && spot && is_in_state(model_value(view, &spot->word), SPOT_WAITING))
            return 1;
    }
    return 0;
}

/** Whether somebody who waits for good has released the lock, if nobody has it, and was not notified. */
static int has_patient_one_come(const view_t *view)
{
    for (int i = 0; i < model.processes; i++) {
        const spot_t *spot = spot_of(view, i);
        if (is_patient(view, i) && (model_tag_of(view->node[i]) & TAG_WAITS) && spot &&
            !is_in_state(model_value(view, &spot->word), SPOT_NOTIFIED))
            return 1;
    }
    return 0;
}

/**
 * Count what is given and taken. What is given to the dead is owed to those who wait then, and not to who comes later.
 */
static void on_step(const view_t *before, view_t *after, int process, const step_t *step, uint64_t result)
{
    const uint64_t tag = model_tag_of(before->node[process]);
    (void)result;
    waits_on_step(after, process, step);
    for (unsigned i = 0; i < WAITS_SPOTS; i++) {
        spot_t *spot = spot_at(i);
        const uint64_t word = model_value(before, &spot->word);
        const int is_at_first = model_value(before, &spot->object) == arena_offset(waits_object(FIRST));
        if (is_in_state(word, SPOT_WAITING) && is_in_state(model_value(after, &spot->word), SPOT_NOTIFIED)) {
            /* Who settles hands on what was counted; who notifies for another one as well. */
            if (tag & TAG_NOTIFIES)
                add_to(after, &notified);
            if (!(tag & (TAG_SETTLES | TAG_WAITS)) && (is_patient_one(after) || is_living(before, spot)))
                add_to(after, &given);
            model_require(is_at_first, "somebody was notified at another condition");
        }
        if (step->kind == STEP_STORE && step->word == model_word(&spot->object, 8) && step->after == 0 &&
            !(tag & TAG_SETTLES) && is_in_state(word, SPOT_NOTIFIED) && is_at_first)
            add_to(after, &taken);
        /* From here on it is owed to whoever waits now. */
        if (step->kind == STEP_LOAD && step->word == model_word(&spot->word, 4) && (tag & TAG_SETTLES) &&
            is_in_state(word, SPOT_NOTIFIED) && is_at_first && !is_living(before, spot))
            model_set(after, &given, model_value(before, &taken) + (uint64_t)is_patient_one(before));
    }
    if (!(tag & TAG_NOTIFIES) || step->word != model_word(lock_word(), 4))
        return;
    if (step->kind == STEP_AWAIT)
        model_set(after, &promised, model_value(before, &notified) + (uint64_t)has_patient_one_come(before));
    else
        model_require(model_value(before, &notified) >= model_value(before, &promised),
                      "somebody waits, and nobody was notified");
}

/** What no other process looks at now, or what never changes. */
static int is_private(const view_t *view, int process, const step_t *step)
{
    const unsigned char *at = model_address(step->word);
    const unsigned char *spots = (const unsigned char *)spot_at(0);
    if (step->kind > STEP_REPLACE)
        return 0;
    for (unsigned i = 0; i < 2; i++) {
        const condition_t *one = waits_object(i);
        if (at == (const unsigned char *)&one->lock || at == (const unsigned char *)&one->order)
            return 1;
    }
    if (at < spots || at >= (const unsigned char *)spot_at(WAITS_SPOTS))
        return at == (const unsigned char *)&arena->spots_used;
    const size_t part = (size_t)(at - spots) % sizeof(spot_t);
    if (part == offsetof(spot_t, since))
        return 1;
    /* The rest belongs to who has the lock, but for a spot's word, and unless somebody settles. */
    return part != offsetof(spot_t, word) && !is_settling(view) &&
           model_value(view, lock_word()) == (uint64_t)process + 1;
}

static void explore(const char *name, const body_t *who, int processes, unsigned kills, unsigned immortal)
{
    bodies = who;
    waits_processes = processes;
    model = (model_t){.name = name,
                      .processes = processes,
                      .kills = kills,
                      .immortal = immortal,
                      .limit = 20000000,
                      .body = body,
                      .is_ready = waits_is_ready,
                      .is_private = is_private,
                      .check = check,
                      .on_step = on_step};
    model_explore(&model);
}

static void name_words(void)
{
    char name[40];
    model_name(&given, 4, "given");
    model_name(&taken, 4, "taken");
    model_name(&notified, 4, "notified");
    model_name(&promised, 4, "promised");
    model_name(lock_word(), 4, "lock");
    for (unsigned i = 0; i < WAITS_SPOTS; i++) {
        spot_t *spot = spot_at(i);
        snprintf(name, sizeof name, "spot %u.owner", i + 1);
        model_name(&spot->owner, 4, name);
        snprintf(name, sizeof name, "spot %u.word", i + 1);
        model_name(&spot->word, 4, name);
        snprintf(name, sizeof name, "spot %u.object", i + 1);
        model_name(&spot->object, 8, name);
        snprintf(name, sizeof name, "spot %u.order", i + 1);
        model_name(&spot->order, 8, name);
        model_name(&spot->since, 8, "since");
    }
    for (unsigned i = 0; i < 2; i++) {
        condition_t *one = waits_object(i);
        atomic_store(&one->lock, arena_offset(waits_object(THE_LOCK)));
        model_name(&one->lock, 8, "condition.lock");
        model_name(&one->order, 8, "condition.order");
    }
}

static const body_t pair[] = {be_waiter, be_notifier_twice, be_waiter};
static const body_t impatient[] = {be_impatient, be_notifier, be_waiter};
static const body_t reset[] = {be_waiter, be_notifier, be_settler};
static const body_t fickle[] = {be_fickle, be_waiter, be_settler};
static const body_t dying[] = {be_waiter, be_notifier, be_waiter, be_settler};
static const body_t settlers[] = {be_settler, be_waiter, be_settler};

/** Have a spot of one who has died at the first condition. */
static void leave_spot(uint32_t state)
{
    spot_t *spot = spot_at(0);
    condition_t *first = waits_object(FIRST);
    victim = DEAD_FOR_LONG;
    atomic_store(&spot->owner, victim);
    atomic_store(&spot->word, state);
    atomic_store(&spot->object, arena_offset(first));
    atomic_store(&spot->order, 1);
    atomic_store(&first->order, 1);
}

static void clear_spot(void)
{
    spot_t *spot = spot_at(0);
    condition_t *first = waits_object(FIRST);
    atomic_store(&spot->owner, 0);
    atomic_store(&spot->word, 0);
    atomic_store(&spot->object, 0);
    atomic_store(&spot->order, 0);
    atomic_store(&first->order, 0);
}

int main(void)
{
    waits_lay_out();
    name_words();
    explore("two wait, two notifications", pair, 3, 0, 0);
    explore("an impatient one", impatient, 3, 0, 0);
    leave_spot(SPOT_WAITING);
    explore("one who is dead waits", reset, 3, 0, 0);
    leave_spot(SPOT_NOTIFIED);
    explore("one who is dead was notified", fickle, 3, 0, 0);
    explore("two settle", settlers, 3, 1, 2);
    clear_spot();
    victim = 1;
    explore("a waiter dies", dying, 4, 1, 0xe);
    return 0;
}
