/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file waits.h
 * @brief What the objects that threads wait for are built upon, as simple as it can be: handles are pointers to what is
 *        behind them, a member is a process of the model, and a deadline is over at any moment.
 *
 * Include it before the sources. Whoever waits with a deadline may find it over wherever it would sleep; the end of a
 * sleep is the end of a slice, after which the process looks again.
 */
#ifndef MPROC_TESTS_MODEL_WAITS_H
#define MPROC_TESTS_MODEL_WAITS_H

#include "model/steps.h"

#include "arena.h"
#include "shared.h"

/* In place of src/handle_table.h. */
#define MPROC_HANDLE_TABLE_H
static inline void *handle_peek(const void *handle, handle_kind_t kind)
{
    (void)kind;
    return (void *)(uintptr_t)handle;
}

/** Objects, and spots, in the arena. */
enum { WAITS_OBJECTS = 9, WAITS_SPOTS = 3, WAITS_OBJECT_SIZE = 1088 };

/** What a body begins with. */
void waits_reset(int process);

/**
 * Say how far a body has come, where that and model_tag are all that its future depends on: `part` is not 0. If it
 * waits in one loop that depends on nothing else (but reads all anew), each turn of that is the same.
 */
void waits_point(unsigned part, int is_loop_alike);

/** An object of the arena, and what a process has of it. */
void *waits_object(unsigned number);
shared_t *waits_shared(unsigned number);

/** Lay the arena out, and give its words names. */
void waits_lay_out(void);

/** Take a lock when nobody who lives has it: its owner, if that is dead. The time that others wait has no steps. */
uint32_t waits_acquire(shm_u32_t *lock);

/** For those who await: put these into the model, or call them there. */
int waits_is_ready(const view_t *view, const step_t *step);
void waits_on_step(view_t *after, int process, const step_t *step);

/** What a process that has slept to the end of its slice in shared_watch() does for one that is dead; NULL: nothing. */
extern void (*waits_bereave)(uint32_t ticket);

/** Look whether others are dead, and do that for each of them which nobody has done it for. */
void waits_look_out(void);

/** How many processes the model has. */
extern int waits_processes;

/** Whether all who live and have not finished sleep, or nobody is left. */
int waits_is_quiet(const view_t *view);

/** Whether nobody was killed. */
int waits_has_no_deaths(const view_t *view);

static inline sys_time_t waits_no_time(void)
{
    return 0;
}

static inline void waits_nothing(void)
{
}

#define sys_now waits_no_time
#define sys_lock waits_nothing
#define sys_unlock waits_nothing

#endif
