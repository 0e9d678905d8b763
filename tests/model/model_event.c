/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The events of src/event.c: who waits when one is set goes on, even if it is cleared at once; and nobody else does.
 */
#include "model/waits.h"

#include <stdio.h>

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

#include "event.c"

static model_t model;

/* How far each has come that waits, as SEEN_...; no process knows of it. */
static shm_u32_t seen[MODEL_PROCESSES];

/* It has looked, and it was not set; it was set then, or since. */
enum { SEEN_NOTHING, SEEN_UNSET, SEEN_SET };

static event_t *the_event(void)
{
    return waits_object(0);
}

static mproc_event_t *handle(void)
{
    return (mproc_event_t *)(void *)waits_shared(0);
}

/* ---- Processes --------------------------------------------------------------------------------------------------- */

/* It waits; it has waited to the end, or not. */
enum { TAG_WAITS = 1 << TAG_BITS, TAG_WENT_ON = 2 << TAG_BITS, TAG_GAVE_UP = 4 << TAG_BITS };

static void wait_with(apr_interval_time_t timeout)
{
    model_tag = TAG_WAITS;
    const apr_status_t status = mproc_event_wait(handle(), timeout);
    model_require(status == APR_SUCCESS || (status == APR_TIMEUP && timeout != MPROC_FOREVER), "a wait has failed");
    model_tag = status == APR_SUCCESS ? TAG_WENT_ON : TAG_GAVE_UP;
    model_choose(1);
    model_tag = 0;
}

static void wait_once(void)
{
    wait_with(MPROC_FOREVER);
}

static void wait_twice(void)
{
    wait_with(MPROC_FOREVER);
    waits_point(1, 0);
    wait_with(MPROC_FOREVER);
}

static void wait_impatiently(void)
{
    wait_with(1);
}

static void set_once(void)
{
    mproc_event_set(handle());
}

/** Set it, only for those who wait now, and again. */
static void pulse_twice(void)
{
    for (unsigned i = 1; i <= 2; i++) {
        mproc_event_set(handle());
        waits_point(2 * i, 0);
        mproc_event_clear(handle());
        waits_point(2 * i + 1, 0);
    }
}

static void clear_and_set(void)
{
    mproc_event_clear(handle());
    waits_point(1, 0);
    mproc_event_set(handle());
}

typedef void (*body_t)(void);

static const body_t *bodies;

static void body(int process)
{
    waits_reset(process);
    bodies[process]();
}

/* ---- What always holds ------------------------------------------------------------------------------------------- */

static void check(const view_t *view)
{
    const uint32_t word = (uint32_t)model_value(view, &the_event()->word);
    for (int i = 0; i < model.processes; i++) {
        const uint64_t tag = model_tag_of(view->node[i]);
        model_require(view->status[i] > PARKED || !(tag & TAG_WENT_ON) || model_value(view, &seen[i]) == SEEN_SET,
                      "process %d went on, and it was never set", i + 1);
        if (view->kills > 0 || view->status[i] != PARKED || !waits_is_quiet(view))
            continue;
        model_require(!(word & SET), "process %d sleeps, and it is set", i + 1);
        model_require(model_value(view, &seen[i]) != SEEN_SET, "process %d sleeps, and it was set since", i + 1);
    }
}

/** Note what those who wait have seen. */
static void on_step(const view_t *before, view_t *after, int process, const step_t *step, uint64_t result)
{
    const unsigned word = model_word(&the_event()->word, 4);
    const int is_set = (before->words[word] & SET) != 0;
    const uint64_t was_seen = model_value(before, &seen[process]);
    (void)result;
    if (!(model_tag_of(before->node[process]) & (TAG_WAITS | TAG_WENT_ON | TAG_GAVE_UP)))
        model_set(after, &seen[process], SEEN_NOTHING);
    else if (step->kind == STEP_CHOOSE && !(model_tag_of(before->node[process]) & TAG_WAITS))
        model_set(after, &seen[process], SEEN_NOTHING);
    else if (step->kind == STEP_LOAD && step->word == word && was_seen != SEEN_SET)
        model_set(after, &seen[process], is_set ? SEEN_SET : SEEN_UNSET);
    if (is_set || !(after->words[word] & SET))
        return;
    for (int i = 0; i < model.processes; i++)
        if (model_value(after, &seen[i]) == SEEN_UNSET)
            model_set(after, &seen[i], SEEN_SET);
}

static void explore(const char *name, const body_t *who, int processes, unsigned kills)
{
    bodies = who;
    waits_processes = processes;
    model = (model_t){.name = name,
                      .processes = processes,
                      .kills = kills,
                      .limit = 4000000,
                      .body = body,
                      .check = check,
                      .on_step = on_step};
    model_explore(&model);
}

static const body_t pulses[] = {wait_once, pulse_twice, wait_twice};
static const body_t sets[] = {wait_once, set_once, wait_once, set_once};
static const body_t clears[] = {wait_once, clear_and_set, pulse_twice};
static const body_t impatient[] = {wait_impatiently, pulse_twice, wait_once};
static const body_t deaths[] = {wait_once, set_once, wait_once};

int main(void)
{
    waits_lay_out();
    model_name(&the_event()->word, 4, "word");
    for (int i = 0; i < MODEL_PROCESSES; i++)
        model_name(&seen[i], 4, "seen");
    explore("set and cleared", pulses, 3, 0);
    explore("set twice", sets, 4, 0);
    explore("cleared by another", clears, 3, 0);
    explore("impatient", impatient, 3, 0);
    explore("deaths", deaths, 3, 2);
    explore("set twice, deaths", sets, 4, 1);
    return 0;
}
