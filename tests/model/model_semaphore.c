/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The semaphores of src/semaphore.c, of which one is taken and given back, and such whose units have owners.
 */
#include "model/waits.h"

#include <stdio.h>

#include "member.h"
#include "spots.h"

spot_t *spot_begin(uint64_t object)
{
    (void)object;
    return NULL;
}

void spot_end(spot_t *spot)
{
    (void)spot;
}

#include "semaphore.c"
#include "semaphore_fast.c"

enum { UNITS = 2 };

static model_t model;
static unsigned initial;
static shm_u32_t balance[MODEL_PROCESSES]; /* what each has taken from the word, and not given back */

static semaphore_t *the_semaphore(void)
{
    return waits_object(0);
}

static mproc_semaphore_t *handle(void)
{
    return (mproc_semaphore_t *)(void *)waits_shared(0);
}

/* ---- Processes --------------------------------------------------------------------------------------------------- */

/* What it has, as it knows; and whether it is calling, and about to change that. */
enum { TAG_HAS = 1 << TAG_BITS, TAG_CALLS = 0x100 };

/* How far it has come. */
static unsigned part;

static void acquire(apr_interval_time_t timeout)
{
    model_tag |= TAG_CALLS;
    const apr_status_t status = mproc_semaphore_acquire(handle(), timeout);
    model_require(status == APR_SUCCESS || (status == APR_TIMEUP && timeout != MPROC_FOREVER), "it was not acquired");
    model_tag &= ~(uint64_t)TAG_CALLS;
    if (status == APR_SUCCESS)
        model_tag += TAG_HAS;
    waits_point(++part, 1);
}

static void give_back(void)
{
    model_tag |= TAG_CALLS;
    model_require(mproc_semaphore_release(handle()) == APR_SUCCESS, "it was not released");
    model_tag &= ~(uint64_t)TAG_CALLS;
    model_tag -= TAG_HAS;
    waits_point(++part, 1);
}

static int has_some(void)
{
    return (model_tag & (TAG_CALLS - 1)) / TAG_HAS > 0;
}

/** Acquire and release, twice. */
static void use_twice(void)
{
    for (int i = 0; i < 2; i++) {
        acquire(MPROC_FOREVER);
        give_back();
    }
}

static void use_once(void)
{
    acquire(MPROC_FOREVER);
    give_back();
}

static void use_impatiently(void)
{
    acquire(1);
    if (has_some())
        give_back();
}

static void take(void)
{
    acquire(MPROC_FOREVER);
}

/** Give what it has not taken. */
static void give_twice(void)
{
    model_tag += (uint64_t)2 * TAG_HAS;
    give_back();
    give_back();
}

typedef void (*body_t)(void);

static const body_t *bodies;

static void body(int process)
{
    waits_reset(process);
    part = 1;
    waits_point(part, 1);
    bodies[process]();
}

/* ---- What always holds ------------------------------------------------------------------------------------------- */

static uint32_t word_in(const view_t *view)
{
    return (uint32_t)model_value(view, &the_semaphore()->word);
}

/** What is left of it. */
static unsigned value_in(const view_t *view)
{
    const semaphore_t *semaphore = the_semaphore();
    unsigned value = 0;
    if (!semaphore->is_owned)
        return word_in(view) & ~waiters;
    for (uint32_t i = 0; i < semaphore->most; i++) {
        const uint64_t owner = model_value(view, &semaphore->units[i]);
        value += owner == 0 || view->status[owner - 1] >= DEAD;
    }
    return value;
}

/** What a process has, as the memory says. */
static unsigned owned_in(const view_t *view, int process)
{
    const semaphore_t *semaphore = the_semaphore();
    unsigned value = 0;
    if (!semaphore->is_owned)
        return (unsigned)model_value(view, &balance[process]);
    for (uint32_t i = 0; i < semaphore->most; i++)
        value += model_value(view, &semaphore->units[i]) == (uint64_t)process + 1;
    return value;
}

static void check(const view_t *view)
{
    unsigned sum = value_in(view);
    for (int i = 0; i < model.processes; i++) {
        const uint64_t tag = model_tag_of(view->node[i]);
        const unsigned owned = owned_in(view, i);
        if (view->status[i] != DEAD || !the_semaphore()->is_owned)
            sum += owned;
        model_require(view->status[i] > PARKED || (tag & TAG_CALLS) || owned == tag / TAG_HAS,
                      "process %d has another number than it knows of", i + 1);
    }
    model_require(sum == initial, "of %u there are %u", initial, sum);
    if (view->kills > 0 || !waits_is_quiet(view))
        return;
    for (int i = 0; i < model.processes; i++)
        model_require(view->status[i] != PARKED || value_in(view) == 0, "process %d sleeps, and there is some left",
                      i + 1);
}

static void on_step(const view_t *before, view_t *after, int process, const step_t *step, uint64_t result)
{
    (void)result;
    if (the_semaphore()->is_owned || step->kind != STEP_REPLACE)
        return;
    const uint32_t taken = (word_in(before) & ~waiters) - (word_in(after) & ~waiters);
    model_set(after, &balance[process], (uint32_t)(model_value(before, &balance[process]) + taken));
}

/** Somebody who sleeps, and could take one: when its slice is over it does, or another one has. */
static void require_slice(void)
{
    view_t view;
    view_t next;
    for (uint32_t i = 0; i < model_states(); i++) {
        size_t count;
        model_view(&view, i);
        if (view.kills == 0 || !waits_is_quiet(&view) || value_in(&view) == 0)
            continue;
        const edge_t *edges = model_edges(i, &count);
        for (size_t k = 0; k < count; k++) {
            if (edges[k].event != EVENT_TIMEOUT)
                continue;
            uint32_t at = edges[k].to;
            for (model_view(&next, at); next.status[edges[k].process] == RUNNING; model_view(&next, at)) {
                size_t steps;
                const edge_t *step = model_edges(at, &steps);
                uint32_t to = at;
                for (size_t m = 0; m < steps; m++)
                    if (step[m].event == EVENT_STEP && step[m].process == edges[k].process &&
                        (to == at || step[m].choice))
                        to = step[m].to;
                if (to == at)
                    break;
                at = to;
            }
            if (next.status[edges[k].process] == PARKED)
                model_fail_at(at, "after a death, one slice was not enough");
        }
    }
}

static void explore(const char *name, const body_t *who, int processes, unsigned kills)
{
    bodies = who;
    waits_processes = processes;
    model = (model_t){.name = name,
                      .processes = processes,
                      .kills = kills,
                      .limit = 20000000,
                      .body = body,
                      .check = check,
                      .on_step = on_step};
    model_explore(&model);
    require_slice();
}

/** A new one. */
static void make(unsigned value, unsigned given, int is_owned)
{
    semaphore_t *semaphore = the_semaphore();
    atomic_store(&semaphore->word, is_owned ? 0 : value);
    semaphore->most = is_owned ? value : MPROC_SEMAPHORE_MAX;
    semaphore->is_owned = (uint32_t)is_owned;
    initial = value + given;
    for (int i = 0; i < MODEL_PROCESSES; i++)
        atomic_store(&balance[i], 0);
}

/** What a process gives that it has not taken it has at first. */
static void begin_with(int process, unsigned value)
{
    atomic_store(&balance[process], value);
}

static void bereave(uint32_t ticket)
{
    (void)ticket;
    note_death(the_semaphore());
    stir(the_semaphore());
}

static const body_t users[] = {use_twice, use_twice, use_once};
static const body_t impatient[] = {use_once, use_impatiently, use_once};
static const body_t impatient_twice[] = {use_twice, use_impatiently, use_once};
static const body_t takers[] = {take, give_twice, take};
static const body_t owners[] = {use_once, use_once, use_once};

int main(void)
{
    waits_lay_out();
    model_name(&the_semaphore()->word, 4, "word");
    for (int i = 0; i < MODEL_PROCESSES; i++)
        model_name(&balance[i], 4, "balance");
    for (unsigned i = 0; i < UNITS; i++)
        model_name(&the_semaphore()->units[i], 4, "unit");
    make(1, 0, 0);
    explore("one to take, twice", users, 2, 0);
    explore("one to take", owners, 3, 0);
    explore("impatient", impatient, 3, 0);
    explore("deaths", owners, 3, 1);
    make(0, 2, 0);
    begin_with(1, 2);
    explore("two takers, two given", takers, 3, 1);
    make(1, 0, 1);
    explore("owned, impatient", impatient, 3, 0);
    waits_bereave = bereave;
    explore("owned, deaths", owners, 3, 2);
    make(2, 0, 1);
    explore("two owned, deaths", owners, 3, 1);
    if (model_is_deep()) {
        make(1, 0, 0);
        explore("one to take, impatient", impatient, 3, 2);
        explore("one to take twice, impatient", impatient_twice, 3, 0);
        waits_bereave = NULL;
        explore("deaths", owners, 3, 2);
    }
    return 0;
}
