/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The barriers of src/barrier.c: nobody passes before all have come, all who have come pass, once; a broken one lets
 * nobody pass, nor wait; and one that was reset is as a new one.
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

#include "barrier.c"

static model_t model;

static barrier_t *the_barrier(void)
{
    return waits_object(0);
}

static mproc_barrier_t *handle(void)
{
    return (mproc_barrier_t *)(void *)waits_shared(0);
}

/* What came of the last time that each has come, and whether it has broken the barrier by giving up. */
static shm_u32_t results[MODEL_PROCESSES];
static shm_u32_t breakers[MODEL_PROCESSES];

enum { PASSED = 1, NOT_PASSED };

/* ---- Processes --------------------------------------------------------------------------------------------------- */

/* How often it has come, and how often it has passed. */
enum { TAG_CAME = 1 << TAG_BITS, TAG_PASSED = 0x100, TAG_INDEX = 0x10000, TAG_IS_BROKEN = 0x1000000 };

/** Come, and wait: whether it has passed. */
static int pass(apr_interval_time_t timeout)
{
    unsigned index;
    model_tag += TAG_CAME;
    const apr_status_t status = mproc_barrier_wait(handle(), &index, timeout);
    model_require(status == APR_SUCCESS || status == MPROC_EBROKENBARRIER ||
                      (status == APR_TIMEUP && timeout != MPROC_FOREVER),
                  "a wait has failed");
    if (status == APR_SUCCESS)
        model_tag += TAG_PASSED + index * TAG_INDEX;
    else
        model_tag |= TAG_IS_BROKEN;
    shm_store(&results[member_self() - 1], status == APR_SUCCESS ? PASSED : NOT_PASSED);
    return status == APR_SUCCESS;
}

static void pass_twice(void)
{
    if (pass(MPROC_FOREVER)) {
        waits_point(1, 0);
        pass(MPROC_FOREVER);
    }
}

static void pass_once(void)
{
    pass(MPROC_FOREVER);
}

static void pass_impatiently(void)
{
    pass(1);
}

static void abort_it(void)
{
    mproc_barrier_abort(handle());
}

static void reset_it(void)
{
    mproc_barrier_reset(handle());
}

static void abort_and_reset(void)
{
    abort_it();
    waits_point(1, 0);
    reset_it();
}

typedef void (*body_t)(void);

static const body_t *bodies;

static void body(int process)
{
    waits_reset(process);
    bodies[process]();
}

/* ---- What always holds ------------------------------------------------------------------------------------------- */

static uint64_t came_in(const view_t *view, int process)
{
    return model_tag_of(view->node[process]) / TAG_CAME % (TAG_PASSED / TAG_CAME);
}

static uint64_t passed_in(const view_t *view, int process)
{
    return model_tag_of(view->node[process]) / TAG_PASSED % (TAG_INDEX / TAG_PASSED);
}

/* Whether all processes are parties, and none is killed or gives up; and whether all come once. */
static int are_all_parties;
static int do_all_come_once;

/**
 * If all come once, all pass or nobody. Who gives up breaks no other time than its own, which it does not pass; who
 * notices a death may.
 */
static void check_results(const view_t *view)
{
    unsigned results_seen = 0;
    for (int i = 0; i < model.processes; i++) {
        const unsigned result = (unsigned)model_value(view, &results[i]);
        results_seen |= result;
        model_require(waits_bereave || result != PASSED || !model_value(view, &breakers[i]),
                      "process %d has passed, and broken the barrier for others", i + 1);
    }
    model_require(!do_all_come_once || results_seen != (PASSED | NOT_PASSED),
                  "one has passed, and another one has not");
}

static void check(const view_t *view)
{
    const state_t state = unpack(model_value(view, &the_barrier()->state));
    unsigned asleep = 0;
    check_results(view);
    model_require(state.arrived <= the_barrier()->parties, "more have come than there are parties");
    for (int i = 0; i < model.processes; i++) {
        if (view->status[i] > PARKED)
            continue;
        model_require(passed_in(view, i) <= state.generation, "process %d has passed before all had come", i + 1);
        for (int k = 0; k < model.processes && are_all_parties; k++)
            model_require(view->status[k] > PARKED || passed_in(view, i) <= came_in(view, k),
                          "process %d has passed, and process %d has not come", i + 1, k + 1);
        model_require(!are_all_parties || !(model_tag_of(view->node[i]) & TAG_IS_BROKEN), "it is broken by nobody");
        asleep += view->status[i] == PARKED;
    }
    if (view->kills > 0 || !waits_is_quiet(view) || asleep == 0)
        return;
    model_require(!state.is_broken && !are_all_parties, "they sleep for ever");
    model_require(asleep == state.arrived && asleep < the_barrier()->parties,
                  "%u sleep, and %u have come since the last time", asleep, state.arrived);
}

/** The generation changes when all have come. */
static void on_step(const view_t *before, view_t *after, int process, const step_t *step, uint64_t result)
{
    const state_t was = unpack(model_value(before, &the_barrier()->state));
    const state_t is = unpack(model_value(after, &the_barrier()->state));
    (void)step;
    (void)result;
    if (is.is_broken && !was.is_broken)
        model_set(after, &breakers[process], 1);
    model_require(was.generation == is.generation ||
                      (was.generation + 1 == is.generation && was.arrived == the_barrier()->parties &&
                       is.arrived == 0 && !was.is_broken),
                  "all have passed, and not all had come");
}

static void explore(const char *name, const body_t *who, int processes, unsigned kills, unsigned parties)
{
    bodies = who;
    waits_processes = processes;
    the_barrier()->parties = parties;
    model = (model_t){.name = name,
                      .processes = processes,
                      .kills = kills,
                      .limit = 20000000,
                      .body = body,
                      .check = check,
                      .on_step = on_step};
    model_explore(&model);
}

static void bereave(uint32_t ticket)
{
    (void)ticket;
    note_death(the_barrier());
    stir(the_barrier());
}

static const body_t twice[] = {pass_twice, pass_twice};
static const body_t once[] = {pass_once, pass_once, pass_once};
static const body_t aborted[] = {pass_twice, pass_once, abort_it};
static const body_t impatient[] = {pass_impatiently, pass_once};
static const body_t resets[] = {pass_once, pass_once, reset_it};
static const body_t aborts_and_resets[] = {pass_once, pass_once, abort_and_reset};
static const body_t resets_twice[] = {pass_twice, pass_twice, reset_it};

int main(void)
{
    waits_lay_out();
    model_name(&the_barrier()->state, 8, "state");
    model_name(&the_barrier()->bell, 4, "bell");
    for (int i = 0; i < MODEL_PROCESSES; i++) {
        model_name(&results[i], 4, "result");
        model_name(&breakers[i], 4, "has broken it");
    }
    are_all_parties = 1;
    explore("two parties, twice", twice, 2, 0, 2);
    explore("three parties", once, 3, 0, 3);
    are_all_parties = 0;
    explore("aborted", aborted, 3, 0, 2);
    explore("one too many", once, 3, 0, 2);
    do_all_come_once = 1;
    explore("impatient", impatient, 2, 0, 2);
    do_all_come_once = 0;
    explore("reset", resets, 3, 0, 2);
    explore("aborted and reset", aborts_and_resets, 3, 0, 2);
    waits_bereave = bereave;
    explore("deaths, twice", twice, 2, 1, 2);
    model_require_finish(NULL, EVENT_STEP | EVENT_TIMEOUT, "after a death, somebody sleeps for ever");
    if (model_is_deep()) {
        waits_bereave = NULL;
        explore("reset, twice", resets_twice, 3, 0, 2);
        waits_bereave = bereave;
        explore("deaths", once, 3, 1, 3);
        model_require_finish(NULL, EVENT_STEP | EVENT_TIMEOUT, "after a death, somebody sleeps for ever");
        explore("deaths", once, 3, 2, 3);
    }
    return 0;
}
