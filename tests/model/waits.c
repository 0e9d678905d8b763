/* SPDX-License-Identifier: Apache-2.0 */
#include "model/waits.h"

#include <stdio.h>

#include <mproc/system.h>

#include "call.h"
#include "error.h"
#include "hazard.h"
#include "member.h"
#include "process_object.h"
#include "spots.h"

int waits_processes;
void (*waits_bereave)(uint32_t ticket);

_Atomic uint32_t member_ticket;

static shm_u32_t settled[MODEL_PROCESSES]; /* what is to be done for the dead is done */

/* ---- The arena --------------------------------------------------------------------------------------------------- */

enum { SPOTS_AT = sizeof(arena_header_t), OBJECTS_AT = SPOTS_AT + WAITS_SPOTS * sizeof(spot_t) };

static _Alignas(64) unsigned char memory[OBJECTS_AT + WAITS_OBJECTS * WAITS_OBJECT_SIZE];
arena_header_t *arena = (arena_header_t *)(void *)memory;

static shared_t all_shared[WAITS_OBJECTS];

/* Where this process has begun to sleep, and what it had written before. */
static uint32_t entry;
static unsigned entry_written;
static unsigned part_alike; /* or that does not matter in this part, if it is not 0 */

void waits_reset(int process)
{
    steps_reset();
    entry_written = 0;
    part_alike = 0;
    atomic_store(&member_ticket, (uint32_t)process + 1);
}

void waits_point(unsigned part, int is_loop_alike)
{
    part_alike = is_loop_alike ? part : 0;
    entry_written = 0;
    model_point((uint64_t)1 << 41 | part);
}

void *waits_object(unsigned number)
{
    return memory + OBJECTS_AT + number * WAITS_OBJECT_SIZE;
}

shared_t *waits_shared(unsigned number)
{
    all_shared[number].offset = arena_offset(waits_object(number));
    /* All have opened what they use by themselves. */
    all_shared[number].ticket = member_self();
    return &all_shared[number];
}

void waits_lay_out(void)
{
    static const char *const names[] = {"settled 1", "settled 2", "settled 3", "settled 4"};
    arena->spots_at = SPOTS_AT;
    atomic_store(&arena->spots_used, WAITS_SPOTS);
    for (int i = 0; i < MODEL_PROCESSES; i++)
        model_name(&settled[i], 4, names[i]);
    model_name(&arena->spots_used, 8, "spots_used");
    model_name(&arena->lock.word, 4, "arena.lock");
}

apr_status_t arena_reserve(uint64_t offset, uint64_t size)
{
    (void)offset;
    (void)size;
    return APR_ENOMEM;
}

/* ---- Members ----------------------------------------------------------------------------------------------------- */

int member_has_ended(uint32_t ticket)
{
    return model_step((step_t){.kind = STEP_NOTICE, .before = ticket - 1}) != 0;
}

int member_place_is_over(unsigned place)
{
    return member_has_ended(place);
}

int member_is_dead(uint32_t ticket)
{
    return ticket != member_self() && model_step((step_t){.kind = STEP_ASK, .before = ticket - 1}) != 0;
}

void waits_look_out(void)
{
    for (uint32_t ticket = 1; ticket <= (uint32_t)waits_processes; ticket++) {
        if (ticket == member_self() || shm_load(&settled[ticket - 1]) || !member_is_dead(ticket))
            continue;
        waits_bereave(ticket);
        shm_store(&settled[ticket - 1], 1);
    }
}

/* ---- Handles, and waiting ---------------------------------------------------------------------------------------- */

apr_status_t shared_acquire(shared_t **shared, void *handle, const shared_kind_t *kind, const char *call)
{
    (void)kind;
    (void)call;
    *shared = handle;
    return APR_SUCCESS;
}

_Thread_local hazard_t *hazard_mine;
int sys_fences_all;

void hazard_begin_thread(void)
{
    static hazard_t only;
    hazard_mine = &only;
}

void handle_release(const void *handle)
{
    (void)handle;
}

int shared_is_closed(const void *shared)
{
    (void)shared;
    return 0;
}

sys_time_t process_deadline(apr_interval_time_t timeout)
{
    return timeout == MPROC_FOREVER ? SYS_NEVER : timeout;
}

apr_interval_time_t mproc_time_left(int64_t deadline)
{
    return deadline == SYS_NEVER ? MPROC_FOREVER : deadline;
}

/** Sleep once. Who has written nothing since it slept first is where it was then: whatever it reads it reads anew. */
static apr_status_t sleep_once(shm_u32_t *word, uint32_t value, sys_time_t deadline, int is_watching)
{
    if (deadline != SYS_NEVER && model_choose(2) == 0)
        return APR_TIMEUP;
    if (entry_written != steps_written + 1) {
        entry = model_last();
        entry_written = steps_written + 1;
    }
    if (shm_park(word, value, deadline) && is_watching && waits_bereave)
        waits_look_out();
    if (part_alike)
        model_point((uint64_t)1 << 40 | part_alike);
    else if (entry_written == steps_written + 1)
        model_point(entry);
    return APR_SUCCESS;
}

apr_status_t shared_park(shared_t *shared, shm_u32_t *word, uint32_t value, sys_time_t deadline)
{
    (void)shared;
    return sleep_once(word, value, deadline, 0);
}

int sys_cpu_count(void)
{
    return 1;
}

/* Whoever looks for a moment only sleeps later. */
int shared_glance(shared_t *shared, const shm_u32_t *word, uint32_t value)
{
    (void)shared;
    (void)word;
    (void)value;
    return 0;
}

apr_status_t shared_watch(shared_t *shared, shm_u32_t *word, uint32_t value, sys_time_t deadline)
{
    (void)shared;
    return sleep_once(word, value, deadline, 1);
}

/* ---- What is not called, or does nothing ------------------------------------------------------------------------- */

apr_status_t shared_fail_to_wait(apr_status_t status, const shared_t *shared, const char *call)
{
    (void)shared;
    (void)call;
    return status;
}

apr_status_t mproc_fail(apr_status_t status, const char *format, ...)
{
    (void)format;
    return status;
}

void mproc_forget_error(void)
{
}

apr_status_t shared_create(void **handle, const shared_plan_t *plan, const char *call)
{
    (void)handle;
    (void)plan;
    (void)call;
    return APR_ENOTIMPL;
}

apr_status_t shared_open(void **handle, const shared_kind_t *kind, const mproc_ref_t *ref, apr_pool_t *pool,
                         const char *call)
{
    (void)handle;
    (void)kind;
    (void)ref;
    (void)pool;
    (void)call;
    return APR_ENOTIMPL;
}

apr_status_t shared_close(void *handle, const shared_kind_t *kind, const char *call)
{
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

void *call_share(mproc_call_t *call, size_t index, handle_kind_t kind, const char *function)
{
    (void)call;
    (void)index;
    (void)kind;
    (void)function;
    return NULL;
}

/* ---- For models -------------------------------------------------------------------------------------------------- */

uint32_t waits_acquire(shm_u32_t *lock)
{
    return (uint32_t)model_step((step_t){.kind = STEP_AWAIT, .word = model_word(lock, 4), .before = member_self()});
}

int waits_is_ready(const view_t *view, const step_t *step)
{
    const uint64_t owner = view->words[step->word];
    return owner == 0 || view->status[owner - 1] == DEAD;
}

void waits_on_step(view_t *after, int process, const step_t *step)
{
    if (step->kind == STEP_AWAIT)
        after->words[step->word] = (uint64_t)process + 1;
}

int waits_is_quiet(const view_t *view)
{
    for (int i = 0; i < waits_processes; i++)
        if (view->status[i] == RUNNING)
            return 0;
    return 1;
}

int waits_has_no_deaths(const view_t *view)
{
    return view->kills == 0;
}
