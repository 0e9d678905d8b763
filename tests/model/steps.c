/* SPDX-License-Identifier: Apache-2.0 */
#include "steps.h"

steps_lock_t steps_lock;
unsigned steps_written;
void (*steps_before)(step_kind_t kind, const volatile void *at);
void (*steps_after)(step_kind_t kind, const volatile void *at, uint64_t value, uint64_t result);
int (*steps_is_constant)(const volatile void *at);
int steps_observes;

/* What this process has seen of its own acquisition; it is computed anew whenever the body runs. */
static uint32_t entry; /* the node of its first step, which stands for all that came before it */
static int is_entered;
static int has_taken_from_dead;

void steps_reset(void)
{
    is_entered = 0;
    has_taken_from_dead = 0;
    steps_written = 0;
    steps_observes = 0;
    model_tag = 0;
}

void steps_acquire_begin(void)
{
    is_entered = 0;
    has_taken_from_dead = 0;
    model_tag |= TAG_ACQUIRES;
}

void steps_acquire_end(int is_acquired, int is_told_of_death)
{
    model_tag &= ~(uint64_t)TAG_ACQUIRES;
    model_require(is_acquired == ((model_tag & TAG_OWNS) != 0), "an acquisition told another result than it had");
    model_require(!is_acquired || is_told_of_death == has_taken_from_dead, "%s",
                  has_taken_from_dead ? "the death of the owner was not told" : "a death was told that there was not");
    model_require(!(model_tag & TAG_WATCHES), "who is done acquiring is the watcher still");
}

/** See what a step on the lock has done. */
static void watch(step_t step, uint64_t result, int is_lock)
{
    const int has_replaced = step.kind == STEP_REPLACE && result;
    const uint64_t ticket = ~((uint64_t)1 << 31);
    if (is_lock && ((has_replaced && step.after && (step.before & ticket) != (step.after & ticket)) ||
                    (step.kind == STEP_STORE && step.after))) {
        model_tag |= TAG_OWNS;
        has_taken_from_dead = step.kind == STEP_REPLACE && step.before != 0;
    } else if (is_lock && (has_replaced ? step.after == 0 : step.kind == STEP_EXCHANGE || step.kind == STEP_STORE)) {
        model_tag &= ~(uint64_t)TAG_OWNS;
    } else if (!is_lock && has_replaced) {
        model_tag |= TAG_WATCHES;
    } else if (!is_lock && step.kind == STEP_STORE) {
        model_tag &= ~(uint64_t)TAG_WATCHES;
    }
}

uint64_t shm_step(step_kind_t kind, const volatile void *at, size_t width, uint64_t before, uint64_t after)
{
    if (kind == STEP_LOAD && steps_is_constant && steps_is_constant(at))
        return width == 4 ? *(const volatile uint32_t *)at : *(const volatile uint64_t *)at;
    const step_t step = {kind, model_word(at, width), before, after};
    const int is_lock = at == steps_lock.word;
    const int is_acquiring = (model_tag & TAG_ACQUIRES) != 0;
    /*
     * The head of the loop in acquire_by_waiting(): what it knows from its earlier turns is whether it is the watcher.
     * (Who else is it knows only until it looks again.)
     */
    if (is_lock && kind == STEP_LOAD && is_acquiring && is_entered)
        model_point((uint64_t)entry << 1 | ((model_tag & TAG_WATCHES) != 0));
    if (steps_before)
        steps_before(kind, at);
    const uint64_t result = model_step(step);
    if (steps_after)
        steps_after(kind, at, after, result);
    steps_written += (kind >= STEP_STORE && kind < STEP_REPLACE) || (kind == STEP_REPLACE && result);
    if (is_acquiring && !is_entered) {
        entry = model_last();
        is_entered = 1;
    }
    if (is_lock || at == steps_lock.watcher)
        watch(step, result, is_lock);
    return result;
}

int steps_acquire_simply(shm_u32_t *word, uint32_t ticket, int (*is_dead)(uint32_t ticket))
{
    steps_acquire_begin();
    for (;;) {
        const uint32_t owner = (uint32_t)shm_step(STEP_AWAIT, word, 4, 0, 0);
        if (owner && !is_dead(owner))
            continue;
        if (shm_replace(word, owner, ticket)) {
            steps_acquire_end(1, owner != 0);
            return owner != 0;
        }
        model_point((uint64_t)entry << 1);
    }
}
