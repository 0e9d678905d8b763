/* SPDX-License-Identifier: Apache-2.0 */
#include "semaphore_object.h"

#include <limits.h>

#include <apr_strings.h>

#include "call.h"
#include "error.h"
#include "hazard.h"
#include "member.h"
#include "process_object.h"
#include "spots.h"

static const uint32_t waiters = SEMAPHORE_WAITERS;

/** Whether a unit can be taken, by its owner's ticket: who has ended has nothing, also if it had closed it before. */
static int is_free(uint32_t owner)
{
    return owner == 0 || member_has_ended(owner);
}

static unsigned value_of(const semaphore_t *semaphore)
{
    unsigned value = 0;
    if (!shm_fixed(&semaphore->is_owned))
        return shm_load(&semaphore->word) & ~waiters;
    /* Who describes it may look at what is another object by now: a bound that holds in any case. */
    for (uint32_t i = 0; i < shm_fixed(&semaphore->most) && i < MPROC_SEMAPHORE_OWNED_MAX; i++)
        value += (unsigned)is_free(shm_load(&semaphore->units[i]));
    return value;
}

/* ---- Owned ------------------------------------------------------------------------------------------------------- */

/** Take a unit that is free; whether there was one. */
static int take_unit(semaphore_t *semaphore)
{
    for (uint32_t i = 0; i < shm_fixed(&semaphore->most); i++) {
        const uint32_t owner = shm_load(&semaphore->units[i]);
        if (is_free(owner) && shm_replace(&semaphore->units[i], owner, member_self()))
            return 1;
    }
    return 0;
}

/** Give a unit of this process's back; whether there was one. */
static int give_unit(semaphore_t *semaphore)
{
    for (uint32_t i = 0; i < shm_fixed(&semaphore->most); i++)
        if (shm_load(&semaphore->units[i]) == member_self() && shm_replace(&semaphore->units[i], member_self(), 0))
            return 1;
    return 0;
}

/** Note that a unit is free, and wake whoever waits for one. */
static void note_free(semaphore_t *semaphore)
{
    uint32_t word;
    do {
        word = shm_load(&semaphore->word);
    } while (!shm_replace(&semaphore->word, word, (word + 1) & ~waiters));
    if (word & waiters)
        shm_unpark(&semaphore->word, UINT_MAX);
}

static apr_status_t acquire_owned(shared_t *shared, semaphore_t *semaphore, sys_time_t deadline)
{
    for (;;) {
        const uint32_t word = shm_load(&semaphore->word);
        if (take_unit(semaphore))
            return APR_SUCCESS;
        if (deadline == 0)
            return APR_TIMEUP;
        if (!(word & waiters) && !shm_replace(&semaphore->word, word, word | waiters))
            continue;
        const apr_status_t status = shared_watch(shared, &semaphore->word, word | waiters, deadline);
        if (status != APR_SUCCESS)
            return take_unit(semaphore) ? APR_SUCCESS : status;
    }
}

/** Give back what the dead have. */
static void note_death(void *at)
{
    semaphore_t *semaphore = at;
    int has_found = 0;
    for (uint32_t i = 0; shm_fixed(&semaphore->is_owned) && i < shm_fixed(&semaphore->most); i++) {
        const uint32_t owner = shm_load(&semaphore->units[i]);
        has_found |= owner && member_is_dead(owner) && shm_replace(&semaphore->units[i], owner, 0);
    }
    if (has_found)
        note_free(semaphore);
}

/* ---- Any --------------------------------------------------------------------------------------------------------- */

static void stir(void *at)
{
    shm_unpark(&((semaphore_t *)at)->word, UINT_MAX);
}

static void describe(const void *at, char *text, size_t size)
{
    apr_snprintf(text, size, "%u left", value_of(at));
}

const shared_kind_t semaphore_kind = {HANDLE_SEMAPHORE, "semaphore", sizeof(semaphore_t), stir, note_death, describe};

/**
 * Take one away if there is one. Who has slept says that others may be sleeping, which whoever woke it has forgotten,
 * and wakes one of them if there is more to take.
 */
static int try_acquire(semaphore_t *semaphore, int has_slept)
{
    for (;;) {
        const uint32_t word = shm_load(&semaphore->word);
        if ((word & ~waiters) == 0)
            return 0;
        const uint32_t rest = word - 1;
        if (!shm_replace(&semaphore->word, word, has_slept ? rest | waiters : rest))
            continue;
        if (has_slept && (rest & ~waiters) > 0)
            shm_unpark(&semaphore->word, 1);
        return 1;
    }
}

static apr_status_t acquire_by_waiting(shared_t *shared, semaphore_t *semaphore, sys_time_t deadline)
{
    for (;;) {
        if (try_acquire(semaphore, 1))
            return APR_SUCCESS;
        const uint32_t word = shm_load(&semaphore->word);
        if ((word & ~waiters) > 0 || (word == 0 && !shm_replace(&semaphore->word, 0, waiters)))
            continue;
        const apr_status_t status = shared_park(shared, &semaphore->word, waiters, deadline);
        if (status == APR_SUCCESS)
            continue;
        if (try_acquire(semaphore, 1))
            return APR_SUCCESS;
        /* It may have been woken, and who sleeps on may be forgotten. */
        shm_unpark(&semaphore->word, 1);
        return status;
    }
}

static apr_status_t wait_at_spot(shared_t *shared, semaphore_t *semaphore, sys_time_t deadline)
{
    spot_t *spot = spot_begin(shared->offset);
    const apr_status_t status = shm_fixed(&semaphore->is_owned) ? acquire_owned(shared, semaphore, deadline)
                                                                : acquire_by_waiting(shared, semaphore, deadline);
    spot_end(spot);
    return status;
}

apr_status_t semaphore_acquire_handle(mproc_semaphore_t *handle, apr_interval_time_t timeout)
{
    static const char call[] = "mproc_semaphore_acquire";
    shared_t *shared;
    hazard_begin_thread();
    apr_status_t status = shared_acquire(&shared, handle, &semaphore_kind, call);
    if (status != APR_SUCCESS)
        return status;
    semaphore_t *semaphore = semaphore_behind(shared);
    if (!(shm_fixed(&semaphore->is_owned) ? take_unit(semaphore) : try_acquire(semaphore, 0)))
        status = timeout == 0 ? APR_TIMEUP : wait_at_spot(shared, semaphore, process_deadline(timeout));
    if (status != APR_SUCCESS)
        shared_fail_to_wait(status, shared, call);
    shared_release(shared);
    return status;
}

/** Add one, and wake somebody: whether it had not the largest value. */
static int release(semaphore_t *semaphore)
{
    for (;;) {
        const uint32_t word = shm_load(&semaphore->word);
        if ((word & ~waiters) >= shm_fixed(&semaphore->most))
            return 0;
        if (!shm_replace(&semaphore->word, word, (word & ~waiters) + 1))
            continue;
        if (word & waiters)
            shm_unpark(&semaphore->word, 1);
        return 1;
    }
}

apr_status_t semaphore_release_handle(mproc_semaphore_t *handle)
{
    static const char call[] = "mproc_semaphore_release";
    shared_t *shared;
    hazard_begin_thread();
    apr_status_t status = shared_acquire(&shared, handle, &semaphore_kind, call);
    if (status != APR_SUCCESS)
        return status;
    semaphore_t *semaphore = semaphore_behind(shared);
    if (shm_fixed(&semaphore->is_owned) && !give_unit(semaphore))
        status = mproc_fail(MPROC_ESTATE, "%s: this process has acquired nothing of the semaphore", call);
    else if (shm_fixed(&semaphore->is_owned))
        note_free(semaphore);
    else if (!release(semaphore))
        status = mproc_fail(MPROC_ESTATE, "%s: the semaphore has the largest value that it can have: %u", call,
                            shm_fixed(&semaphore->most));
    shared_release(shared);
    return status;
}

unsigned mproc_semaphore_value(mproc_semaphore_t *handle)
{
    shared_t *shared;
    if (shared_acquire(&shared, handle, &semaphore_kind, "mproc_semaphore_value") != APR_SUCCESS)
        return 0;
    const unsigned value = value_of(semaphore_behind(shared));
    shared_release(shared);
    mproc_forget_error();
    return value;
}

/* ---- Handles ----------------------------------------------------------------------------------------------------- */

/** What it is to be. */
typedef struct plan_t {
    unsigned value;
    unsigned most;
    int is_owned;
} plan_t;

static void init(void *at, const void *context)
{
    const plan_t *plan = context;
    semaphore_t *semaphore = at;
    shm_store(&semaphore->word, plan->is_owned ? 0 : plan->value);
    shm_fix(&semaphore->most, plan->most);
    shm_fix(&semaphore->is_owned, plan->is_owned != 0);
}

apr_status_t mproc_semaphore_create_sized(mproc_semaphore_t **handle, unsigned value,
                                          const mproc_semaphore_opts_t *opts, size_t opts_size)
{
    static const char call[] = "mproc_semaphore_create";
    mproc_semaphore_opts_t options;
    void *made = NULL;
    if (handle)
        *handle = NULL;
    apr_status_t status = shared_take_options(&options, sizeof options, opts, opts_size, call);
    if (status != APR_SUCCESS)
        return status;
    const unsigned most = options.owned ? MPROC_SEMAPHORE_OWNED_MAX : MPROC_SEMAPHORE_MAX;
    if (value > most || (options.owned && value == 0))
        return mproc_fail(APR_EINVAL, "%s: the value is %u, where %d to %u are possible", call, value,
                          options.owned != 0, most);
    const plan_t plan = {value, options.bounded || options.owned ? value : MPROC_SEMAPHORE_MAX, options.owned};
    const shared_plan_t what = {.kind = &semaphore_kind,
                                .size = sizeof(semaphore_t) + (options.owned ? value * sizeof(shm_u32_t) : 0),
                                .name = options.name,
                                .pool = options.pool,
                                .init = init,
                                .context = &plan};
    status = shared_create(handle ? &made : NULL, &what, call);
    if (handle)
        *handle = made;
    return status;
}

apr_status_t mproc_semaphore_open(mproc_semaphore_t **handle, const mproc_ref_t *ref, apr_pool_t *pool)
{
    void *opened = NULL;
    const apr_status_t status =
        shared_open(handle ? &opened : NULL, &semaphore_kind, ref, pool, "mproc_semaphore_open");
    if (handle)
        *handle = opened;
    return status;
}

apr_status_t mproc_semaphore_close(mproc_semaphore_t *handle)
{
    return shared_close(handle, &semaphore_kind, "mproc_semaphore_close");
}

mproc_semaphore_t *mproc_call_semaphore(mproc_call_t *call, size_t index)
{
    return call_share(call, index, HANDLE_SEMAPHORE, "mproc_call_semaphore");
}
