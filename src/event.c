/* SPDX-License-Identifier: Apache-2.0 */
#include <mproc/event.h>

#include <limits.h>

#include <apr_strings.h>

#include "call.h"
#include "error.h"
#include "hazard.h"
#include "process_object.h"
#include "shared.h"
#include "spots.h"

/**
 * An event in the arena. One word says all: whether it is set, whether somebody waits, and above that how often it was
 * set, so that who waited then goes on even if it was cleared since.
 */
typedef struct event_t {
    shared_head_t head;
    shm_u32_t word;
} event_t;

enum { SET = 1, WAITERS = 2, TIMES = 4 };

static void stir(void *at)
{
    /* Whatever the word says: who has set it may have died before it woke anybody. */
    shm_unpark(&((event_t *)at)->word, UINT_MAX);
}

static void describe(const void *at, char *text, size_t size)
{
    apr_cpystrn(text, shm_load(&((const event_t *)at)->word) & SET ? "set" : "not set", size);
}

const shared_kind_t event_kind = {HANDLE_EVENT, "event", sizeof(event_t), stir, NULL, describe};

static event_t *event_of(const shared_t *shared)
{
    return arena_at(shared->offset);
}

apr_status_t mproc_event_set(mproc_event_t *handle)
{
    shared_t *shared;
    const apr_status_t status = shared_acquire(&shared, handle, &event_kind, "mproc_event_set");
    if (status != APR_SUCCESS)
        return status;
    shm_u32_t *word = &event_of(shared)->word;
    uint32_t before = shm_load(word);
    while (!(before & SET) && !shm_replace(word, before, ((before & ~(uint32_t)WAITERS) + TIMES) | SET))
        before = shm_load(word);
    if (before & WAITERS)
        shm_unpark(word, UINT_MAX);
    shared_release(shared);
    return status;
}

apr_status_t mproc_event_clear(mproc_event_t *handle)
{
    shared_t *shared;
    const apr_status_t status = shared_acquire(&shared, handle, &event_kind, "mproc_event_clear");
    if (status != APR_SUCCESS)
        return status;
    shm_u32_t *word = &event_of(shared)->word;
    for (uint32_t before = shm_load(word); before & SET; before = shm_load(word))
        if (shm_replace(word, before, before & ~(uint32_t)SET))
            break;
    shared_release(shared);
    return status;
}

int mproc_event_is_set(mproc_event_t *handle)
{
    hazard_t *hazard;
    shared_t *shared = hazard_begin(&hazard, handle, HANDLE_EVENT);
    if (shared) {
        const int is_own = shared_is_own(shared);
        const int found = is_own && (shm_load(&event_of(shared)->word) & SET) != 0;
        hazard_end(hazard);
        if (is_own) {
            mproc_forget_error();
            return found;
        }
    }
    hazard_begin_thread();
    if (shared_acquire(&shared, handle, &event_kind, "mproc_event_is_set") != APR_SUCCESS)
        return 0;
    const int is_set = (shm_load(&event_of(shared)->word) & SET) != 0;
    shared_release(shared);
    mproc_forget_error();
    return is_set;
}

/** Wait until it is set, or was since it had been so often. */
static apr_status_t wait_until_set(shared_t *shared, shm_u32_t *word, uint32_t times, sys_time_t deadline)
{
    for (;;) {
        uint32_t now = shm_load(word);
        if ((now & SET) || now / TIMES != times)
            return APR_SUCCESS;
        if (!(now & WAITERS) && !shm_replace(word, now, now | WAITERS))
            continue;
        const apr_status_t status = shared_park(shared, word, now | WAITERS, deadline);
        if (status != APR_SUCCESS)
            return status;
    }
}

static apr_status_t wait_at_spot(shared_t *shared, shm_u32_t *word, uint32_t times, sys_time_t deadline)
{
    spot_t *spot = spot_begin(shared->offset);
    const apr_status_t status = wait_until_set(shared, word, times, deadline);
    spot_end(spot);
    return status;
}

apr_status_t mproc_event_wait(mproc_event_t *handle, apr_interval_time_t timeout)
{
    static const char call[] = "mproc_event_wait";
    shared_t *shared;
    apr_status_t status = shared_acquire(&shared, handle, &event_kind, call);
    if (status != APR_SUCCESS)
        return status;
    shm_u32_t *word = &event_of(shared)->word;
    /* Who sets it after this look lets this thread go on. */
    const uint32_t now = shm_load(word);
    if (!(now & SET))
        status = timeout == 0 ? APR_TIMEUP : wait_at_spot(shared, word, now / TIMES, process_deadline(timeout));
    if (status != APR_SUCCESS)
        shared_fail_to_wait(status, shared, call);
    shared_release(shared);
    return status;
}

/* ---- Handles ----------------------------------------------------------------------------------------------------- */

static void init(void *at, const void *context)
{
    const mproc_event_opts_t *opts = context;
    shm_store(&((event_t *)at)->word, opts->set ? SET : 0);
}

apr_status_t mproc_event_create_sized(mproc_event_t **handle, const mproc_event_opts_t *opts, size_t opts_size)
{
    static const char call[] = "mproc_event_create";
    mproc_event_opts_t options;
    void *made = NULL;
    apr_status_t status = shared_take_options(&options, sizeof options, opts, opts_size, call);
    const shared_plan_t plan = {
        .kind = &event_kind, .name = options.name, .pool = options.pool, .init = init, .context = &options};
    if (status == APR_SUCCESS)
        status = shared_create(handle ? &made : NULL, &plan, call);
    if (handle)
        *handle = made;
    return status;
}

apr_status_t mproc_event_open(mproc_event_t **handle, const mproc_ref_t *ref, apr_pool_t *pool)
{
    void *opened = NULL;
    const apr_status_t status = shared_open(handle ? &opened : NULL, &event_kind, ref, pool, "mproc_event_open");
    if (handle)
        *handle = opened;
    return status;
}

apr_status_t mproc_event_close(mproc_event_t *handle)
{
    return shared_close(handle, &event_kind, "mproc_event_close");
}

mproc_event_t *mproc_call_event(mproc_call_t *call, size_t index)
{
    return call_share(call, index, HANDLE_EVENT, "mproc_call_event");
}
