/* SPDX-License-Identifier: Apache-2.0 */
#include "hazard.h"

#include <stdlib.h>

#include <apr_thread_proc.h>

/* All that there ever were: threads come and go, and take over those of others. */
static _Atomic(hazard_t *) all;
_Thread_local hazard_t *hazard_mine;

/** This thread ends. What else it does at its end may still use objects, and needs another one for that. */
static void give_back(void *hazard)
{
    hazard_mine = NULL;
    atomic_store(&((hazard_t *)hazard)->is_taken, 0);
}

/** Take over one that no thread has, or make another. */
static hazard_t *take(void)
{
    for (hazard_t *one = atomic_load(&all); one; one = one->next)
        if (!atomic_exchange(&one->is_taken, 1))
            return one;
    hazard_t *made = calloc(1, sizeof *made);
    if (!made)
        return NULL;
    atomic_init(&made->is_taken, 1);
    made->next = atomic_load(&all);
    while (!atomic_compare_exchange_weak(&all, &made->next, made)) {}
    return made;
}

void hazard_begin_thread(void)
{
    hazard_t *taken = hazard_mine ? NULL : take();
    if (!taken)
        return;
    if (sys_at_thread_exit(&taken->at_exit, give_back, taken) != APR_SUCCESS) {
        give_back(taken);
        return;
    }
    taken->thread = hazard_thread();
    hazard_mine = taken;
}

uint32_t hazard_thread(void)
{
    static _Atomic uint32_t count;
    static _Thread_local uint32_t number;
    if (number == 0)
        number = atomic_fetch_add(&count, 1) + 1;
    return number;
}

void hazard_wait(const void *handle)
{
    sys_fence_all();
    for (hazard_t *one = atomic_load(&all); one; one = one->next)
        while (one != hazard_mine && atomic_load(&one->handle) == handle)
            apr_thread_yield();
}

void hazard_forked(void)
{
    for (hazard_t *one = atomic_load(&all); one; one = one->next) {
        if (one == hazard_mine)
            continue;
        atomic_store(&one->handle, NULL);
        atomic_store(&one->is_taken, 0);
    }
}
