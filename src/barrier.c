/* SPDX-License-Identifier: Apache-2.0 */
#include <mproc/barrier.h>

#include <limits.h>

#include <apr_strings.h>

#include "call.h"
#include "error.h"
#include "member.h"
#include "process_object.h"
#include "shared.h"
#include "spots.h"

/**
 * A barrier in the arena. What state it is in is one word, so that nobody sees half a change; those who wait do so at
 * the bell, which is rung after each change that matters to them.
 */
typedef struct barrier_t {
    shared_head_t head;
    shm_u64_t state;
    shm_u32_t bell;
    shm_fixed_t parties;
    shm_fixed_t ignores_deaths;
    shm_fixed_t is_quick; /* as its creator sees it there is a CPU for each party: they look before they sleep */
} barrier_t;

/** Its word `state`, unpacked. */
typedef struct state_t {
    uint32_t generation; /* how often all have come */
    unsigned last;       /* where the member stands that came last and is to let the others go; 0: not all have come */
    unsigned resets;     /* how often it was reset */
    unsigned arrived;    /* how many have come this time */
    int is_broken;
} state_t;

enum { GENERATION_BITS = 20, GENERATION_MAX = (1 << GENERATION_BITS) - 1, RESETS_MAX = 0x7fff };
_Static_assert((int)ARENA_MEMBERS_MAX == 1 << (32 - GENERATION_BITS), "the last one's place has room");

static uint64_t pack(state_t state)
{
    return (uint64_t)(state.generation & GENERATION_MAX) | (uint64_t)state.last << GENERATION_BITS |
           (uint64_t)state.arrived << 32 | (uint64_t)(state.is_broken != 0) << 48 |
           (uint64_t)(state.resets & RESETS_MAX) << 49;
}

static state_t unpack(uint64_t word)
{
    return (state_t){.generation = (uint32_t)word & GENERATION_MAX,
                     .last = (unsigned)((uint32_t)word >> GENERATION_BITS),
                     .arrived = (unsigned)(word >> 32 & 0xffff),
                     .is_broken = (int)(word >> 48 & 1),
                     .resets = (unsigned)(word >> 49)};
}

static barrier_t *barrier_of(const shared_t *shared)
{
    return arena_at(shared->offset);
}

/** Have those who wait look. */
static void ring(barrier_t *barrier)
{
    shm_add(&barrier->bell, 1);
    shm_unpark(&barrier->bell, UINT_MAX);
}

/** Break it, unless another generation has begun since then, or it was reset. NULL: whatever it is now. */
static void break_it(barrier_t *barrier, const state_t *then)
{
    for (;;) {
        const uint64_t word = shm_load64(&barrier->state);
        state_t state = unpack(word);
        if (state.is_broken || (then && (state.generation != then->generation || state.resets != then->resets)))
            return;
        state.is_broken = 1;
        if (shm_replace64(&barrier->state, word, pack(state)))
            break;
    }
    ring(barrier);
}

/** Have those who wait look. They wait in vain if the one who was to let them go has ended in its action. */
static void stir(void *at)
{
    barrier_t *barrier = at;
    const state_t state = unpack(shm_load64(&barrier->state));
    if (state.last && member_place_is_over(state.last))
        break_it(barrier, &state);
    ring(barrier);
}

static void note_death(void *at)
{
    barrier_t *barrier = at;
    if (!shm_fixed(&barrier->ignores_deaths))
        break_it(barrier, NULL);
}

static void describe(const void *at, char *text, size_t size)
{
    const barrier_t *barrier = at;
    const state_t state = unpack(shm_load64(&barrier->state));
    if (state.is_broken)
        apr_cpystrn(text, "broken", size);
    else
        apr_snprintf(text, size, "%u of %u have come", state.arrived, shm_fixed(&barrier->parties));
}

const shared_kind_t barrier_kind = {HANDLE_BARRIER, "barrier", sizeof(barrier_t), stir, note_death, describe};

/* ---- Waiting ----------------------------------------------------------------------------------------------------- */

/** What one party does when it comes. */
typedef struct visit_t {
    shared_t *shared;
    barrier_t *barrier;
    state_t came; /* as it was then */
    int (*action)(void *context);
    void *context;
    sys_time_t deadline;
} visit_t;

/** Be counted, when those of the last time have been let go: APR_SUCCESS, or why not. */
static apr_status_t arrive(visit_t *visit)
{
    barrier_t *barrier = visit->barrier;
    for (;;) {
        const uint32_t bell = shm_load(&barrier->bell);
        const uint64_t word = shm_load64(&barrier->state);
        state_t state = visit->came = unpack(word);
        if (state.is_broken)
            return MPROC_EBROKENBARRIER;
        if (state.arrived < shm_fixed(&barrier->parties)) {
            state.arrived++;
            if (state.arrived == shm_fixed(&barrier->parties))
                state.last = member_own_place();
            if (shm_replace64(&barrier->state, word, pack(state)))
                return APR_SUCCESS;
            continue;
        }
        const apr_status_t status = shared_watch(visit->shared, &barrier->bell, bell, visit->deadline);
        if (status != APR_SUCCESS)
            return status;
    }
}

/** All have come: let them go on. */
static apr_status_t complete(visit_t *visit)
{
    barrier_t *barrier = visit->barrier;
    state_t state = visit->came;
    if (visit->action && visit->action(visit->context) != 0) {
        break_it(barrier, &visit->came);
        return MPROC_EBROKENBARRIER;
    }
    state.arrived = shm_fixed(&barrier->parties);
    state.last = member_own_place();
    const uint64_t before = pack(state);
    state.last = 0;
    state.arrived = 0;
    state.generation++;
    if (!shm_replace64(&barrier->state, before, pack(state)))
        return MPROC_EBROKENBARRIER; /* or reset */
    ring(barrier);
    return APR_SUCCESS;
}

/** Wait for the others. */
static apr_status_t wait_for_others(visit_t *visit)
{
    barrier_t *barrier = visit->barrier;
    for (;;) {
        const uint32_t bell = shm_load(&barrier->bell);
        const state_t now = unpack(shm_load64(&barrier->state));
        if (now.resets != visit->came.resets)
            return MPROC_EBROKENBARRIER;
        if (now.generation != visit->came.generation)
            return APR_SUCCESS;
        if (now.is_broken)
            return MPROC_EBROKENBARRIER;
        if (shm_fixed(&barrier->is_quick) && shared_glance(visit->shared, &barrier->bell, bell))
            continue;
        const apr_status_t status = shared_watch(visit->shared, &barrier->bell, bell, visit->deadline);
        if (status == APR_SUCCESS)
            continue;
        /* Those who wait for this one would wait for good. */
        break_it(barrier, &visit->came);
        const state_t then = unpack(shm_load64(&barrier->state));
        return then.generation != visit->came.generation && then.resets == visit->came.resets ? APR_SUCCESS : status;
    }
}

static apr_status_t fail(apr_status_t status, const visit_t *visit, const char *call)
{
    char name[SHARED_NAME_MAX];
    if (status != MPROC_EBROKENBARRIER)
        return shared_fail_to_wait(status, visit->shared, call);
    shm_get_text(name, visit->barrier->head.name, sizeof name);
    return mproc_fail(status, "%s: the barrier %s(%llu) is broken", call, name,
                      (unsigned long long)visit->shared->serial);
}

apr_status_t mproc_barrier_wait_with(mproc_barrier_t *handle, unsigned *index, int (*action)(void *context),
                                     void *context, apr_interval_time_t timeout)
{
    static const char call[] = "mproc_barrier_wait";
    visit_t visit = {.action = action, .context = context};
    if (index)
        *index = 0;
    apr_status_t status = shared_acquire(&visit.shared, handle, &barrier_kind, call);
    if (status != APR_SUCCESS)
        return status;
    visit.barrier = barrier_of(visit.shared);
    visit.deadline = timeout == 0 ? 0 : process_deadline(timeout);
    spot_t *spot = spot_begin(visit.shared->offset);
    status = arrive(&visit);
    if (status == APR_SUCCESS)
        status =
            visit.came.arrived + 1 < shm_fixed(&visit.barrier->parties) ? wait_for_others(&visit) : complete(&visit);
    spot_end(spot);
    /* The first one of this handle's threads that leaves breaks it for all. */
    if (status == MPROC_EBROKENBARRIER && shared_is_closed(visit.shared))
        status = MPROC_ECLOSED;
    if (status != APR_SUCCESS)
        fail(status, &visit, call);
    else if (index)
        *index = visit.came.arrived;
    shared_release(visit.shared);
    return status;
}

apr_status_t mproc_barrier_wait(mproc_barrier_t *handle, unsigned *index, apr_interval_time_t timeout)
{
    return mproc_barrier_wait_with(handle, index, NULL, NULL, timeout);
}

/* ---- Breaking and mending ---------------------------------------------------------------------------------------- */

apr_status_t mproc_barrier_abort(mproc_barrier_t *handle)
{
    shared_t *shared;
    const apr_status_t status = shared_acquire(&shared, handle, &barrier_kind, "mproc_barrier_abort");
    if (status != APR_SUCCESS)
        return status;
    barrier_t *barrier = barrier_of(shared);
    break_it(barrier, NULL);
    shared_release(shared);
    return status;
}

apr_status_t mproc_barrier_reset(mproc_barrier_t *handle)
{
    shared_t *shared;
    const apr_status_t status = shared_acquire(&shared, handle, &barrier_kind, "mproc_barrier_reset");
    if (status != APR_SUCCESS)
        return status;
    barrier_t *barrier = barrier_of(shared);
    uint64_t word;
    state_t state;
    do {
        word = shm_load64(&barrier->state);
        state = unpack(word);
        state.last = 0;
        state.arrived = 0;
        state.is_broken = 0;
        state.resets++;
    } while (!shm_replace64(&barrier->state, word, pack(state)));
    ring(barrier);
    shared_release(shared);
    return status;
}

/** Look at a barrier: 0 if the handle is refused. */
static int look(mproc_barrier_t *handle, unsigned *parties, state_t *state, const char *call)
{
    shared_t *shared;
    if (shared_acquire(&shared, handle, &barrier_kind, call) != APR_SUCCESS)
        return 0;
    *parties = shm_fixed(&barrier_of(shared)->parties);
    *state = unpack(shm_load64(&barrier_of(shared)->state));
    shared_release(shared);
    mproc_forget_error();
    return 1;
}

unsigned mproc_barrier_parties(mproc_barrier_t *handle)
{
    unsigned parties;
    state_t state;
    return look(handle, &parties, &state, "mproc_barrier_parties") ? parties : 0;
}

unsigned mproc_barrier_waiting(mproc_barrier_t *handle)
{
    unsigned parties;
    state_t state;
    return look(handle, &parties, &state, "mproc_barrier_waiting") && !state.is_broken ? state.arrived : 0;
}

int mproc_barrier_is_broken(mproc_barrier_t *handle)
{
    unsigned parties;
    state_t state;
    return look(handle, &parties, &state, "mproc_barrier_is_broken") && state.is_broken;
}

/* ---- Handles ----------------------------------------------------------------------------------------------------- */

/** What it is to be. */
typedef struct plan_t {
    unsigned parties;
    const mproc_barrier_opts_t *opts;
} plan_t;

/** How many CPUs this process may use: asked for once, as it takes longer than all the rest. */
static int cpu_count(void)
{
    static _Atomic int known;
    int count = atomic_load(&known);
    if (count == 0)
        atomic_store(&known, count = sys_cpu_count());
    return count;
}

static void init(void *at, const void *context)
{
    const plan_t *plan = context;
    barrier_t *barrier = at;
    shm_fix(&barrier->parties, plan->parties);
    shm_fix(&barrier->ignores_deaths, plan->opts->ignore_deaths != 0);
    shm_fix(&barrier->is_quick, plan->parties <= (unsigned)cpu_count());
}

apr_status_t mproc_barrier_create_sized(mproc_barrier_t **handle, unsigned parties, const mproc_barrier_opts_t *opts,
                                        size_t opts_size)
{
    static const char call[] = "mproc_barrier_create";
    enum { PARTIES_MAX = 65535 };
    mproc_barrier_opts_t options;
    void *made = NULL;
    if (handle)
        *handle = NULL;
    apr_status_t status = shared_take_options(&options, sizeof options, opts, opts_size, call);
    if (status != APR_SUCCESS)
        return status;
    if (parties == 0 || parties > PARTIES_MAX)
        return mproc_fail(APR_EINVAL, "%s: %u parties, where 1 to %d can be", call, parties, PARTIES_MAX);
    const plan_t plan = {parties, &options};
    const shared_plan_t what = {
        .kind = &barrier_kind, .name = options.name, .pool = options.pool, .init = init, .context = &plan};
    status = shared_create(handle ? &made : NULL, &what, call);
    if (handle)
        *handle = made;
    return status;
}

apr_status_t mproc_barrier_open(mproc_barrier_t **handle, const mproc_ref_t *ref, apr_pool_t *pool)
{
    void *opened = NULL;
    const apr_status_t status = shared_open(handle ? &opened : NULL, &barrier_kind, ref, pool, "mproc_barrier_open");
    if (handle)
        *handle = opened;
    return status;
}

apr_status_t mproc_barrier_close(mproc_barrier_t *handle)
{
    return shared_close(handle, &barrier_kind, "mproc_barrier_close");
}

mproc_barrier_t *mproc_call_barrier(mproc_call_t *call, size_t index)
{
    return call_share(call, index, HANDLE_BARRIER, "mproc_call_barrier");
}
