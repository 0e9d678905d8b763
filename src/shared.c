/* SPDX-License-Identifier: Apache-2.0 */
#include "shared.h"

#include <mproc/version.h>

#include <stdlib.h>
#include <string.h>

#include <apr_thread_proc.h>
#include <apr_time.h>

#include "blocks.h"
#include "error.h"
#include "initialize.h"
#include "member.h"

static shared_head_t *head_of(const shared_t *shared)
{
    return arena_at(shared->offset);
}

int shared_is_closed(const void *shared)
{
    return atomic_load(&((const shared_t *)shared)->closable.is_closed);
}

static const shared_kind_t *const kinds[] = {&lock_kind,    &semaphore_kind, &event_kind,        &condition_kind,
                                             &barrier_kind, &queue_kind,     &queue_putter_kind, &queue_getter_kind,
                                             &data_kind,    &pool_state_kind};

/** The kind of a handle; NULL if it is no shared object. */
static const shared_kind_t *kind_of(const void *handle)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (handle_kind(handle) == (int)kinds[i]->kind)
            return kinds[i];
    return NULL;
}

const shared_kind_t *shared_kind_at(uint64_t offset)
{
    const object_t *object = arena_at(offset);
    if (!blocks_can_be_object(offset) || shm_load64(&object->serial) == 0)
        return NULL;
    const uint64_t kind = object_kind(shm_load64(&object->holds));
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if ((uint64_t)kinds[i]->kind == kind)
            return kinds[i];
    return NULL;
}

/* ---- Handles ----------------------------------------------------------------------------------------------------- */

static void destroy(void *object)
{
    shared_t *shared = object;
    if (atomic_load(&shared->watch))
        shared->end_watch(atomic_load(&shared->watch), shared->owner != sys_getpid());
    /* What a forked child has not opened anew it does not hold, nor does it what it held before it left the family. */
    if (shared->owner == sys_getpid() && shared->reference && shared->holder == member_self())
        references_release(shared->reference, shared->holder);
    free(shared);
}

/** Make a handle to an object that it does not know yet; it is in use. The status has its text. */
static apr_status_t make(shared_t **shared, const shared_kind_t *kind, const char *call)
{
    void *object;
    shared_t *made = *shared = calloc(1, sizeof **shared);
    if (made) {
        made->kind = kind->kind;
        made->handle = handle_open(kind->kind, made, destroy);
        if (made->handle && handle_acquire(&object, made->handle, kind->kind) == APR_SUCCESS) {
            /* Last: what has an owner is closed by a thread that ends the library. */
            atomic_store(&made->owner, sys_getpid());
            return APR_SUCCESS;
        }
    }
    free(made);
    *shared = NULL;
    return mproc_fail(APR_ENOMEM, "%s: no memory for another %s", call, kind->noun);
}

static apr_status_t close_with_pool(void *handle)
{
    shared_close_any(handle);
    return APR_SUCCESS;
}

/** If a handle has got its object, tell it; else drop it, and tell NULL. */
static void *complete(shared_t *shared, apr_pool_t *pool, apr_status_t status)
{
    void *handle = shared->handle;
    if (status == APR_SUCCESS)
        atomic_store(&shared->ticket, member_self());
    if (status != APR_SUCCESS)
        handle_close(handle, shared->kind);
    else if (pool)
        apr_pool_cleanup_register(pool, handle, close_with_pool, apr_pool_cleanup_null);
    shared_release(shared);
    return status == APR_SUCCESS ? handle : NULL;
}

/* ---- Making and opening ------------------------------------------------------------------------------------------ */

/** Have a new object keep another one, which this process holds, so that it is there, and be counted in it. */
static void keep(transaction_t *transaction, object_t *object, uint64_t kept, uint64_t worth)
{
    object_t *other = arena_at(kept);
    const uint64_t flags = worth ? OBJECT_KEEPS | OBJECT_IS_COUNTED : OBJECT_KEEPS;
    journal_put(transaction, &object->holds, journal_get(transaction, &object->holds) | flags);
    journal_put(transaction, object_kept(object), kept);
    journal_put(transaction, &other->holds, journal_get(transaction, &other->holds) + 1);
    if (!worth)
        return;
    shm_u64_t *count = object_word(other, OBJECT_COUNT_AT);
    journal_put(transaction, object_word(object, OBJECT_WORTH_AT), worth);
    journal_put(transaction, count, journal_get(transaction, count) + worth);
}

/** Make the block of a new object one that this process holds. */
static apr_status_t make_object(transaction_t *transaction, shared_t *shared, const shared_plan_t *plan)
{
    shared_head_t *head = head_of(shared);
    shared->serial = journal_get(transaction, &arena->serial) + 1;
    journal_put(transaction, &arena->serial, shared->serial);
    journal_put(transaction, &head->object.serial, shared->serial);
    journal_put(transaction, &head->object.holds,
                (uint64_t)plan->kind->kind << 32 | (plan->furnish ? OBJECT_HAS_MEMORY : 0));
    if (plan->kept)
        keep(transaction, &head->object, plan->kept->offset, plan->worth);
    if (plan->furnish) {
        const apr_status_t status = plan->furnish(transaction, head, plan->context);
        if (status != APR_SUCCESS)
            return status;
    }
    shared->holder = member_self();
    return references_add(transaction, &shared->reference, shared->holder, shared->offset);
}

/** Take a block, and make it an object that this process holds. */
static apr_status_t create(shared_t *shared, const shared_plan_t *plan)
{
    const uint64_t size = plan->size ? plan->size : plan->kind->size;
    transaction_t transaction;
    if (!journal_begin(&transaction))
        return MPROC_EINIT;
    apr_status_t status = blocks_take(&transaction, &shared->offset, size, BLOCK_OBJECT);
    if (status == APR_SUCCESS) {
        shared_head_t *head = head_of(shared);
        /* Until this is done it is a free block, of which only the first words mean something. */
        shm_clear(&head->object + 1, size - sizeof head->object + 7); /* rounded up, as blocks are */
        if (plan->name)
            shm_set_text(head->name, plan->name, sizeof head->name);
        if (plan->init)
            plan->init(head, plan->context);
        status = make_object(&transaction, shared, plan);
    }
    if (status == APR_SUCCESS)
        journal_commit(&transaction);
    else
        journal_abandon(&transaction);
    return status;
}

static apr_status_t fail_to_hold(apr_status_t status, const shared_kind_t *kind, const char *call)
{
    switch (status) {
    case MPROC_EGONE:
        return mproc_fail(status, "%s: nobody has this %s open any more", call, kind->noun);
    case APR_EINVAL:
        return mproc_fail(status, "%s: the reference is to something else than a %s", call, kind->noun);
    case MPROC_EINIT:
        return mproc_fail(status, "%s: another thread has called mproc_terminate, or exit", call);
    default:
        return mproc_fail(status, "%s: the family's memory is full (%llu bytes)", call,
                          (unsigned long long)arena->size);
    }
}

static apr_status_t fail_to_create(apr_status_t status, const shared_plan_t *plan, const char *call)
{
    if (status != APR_ENOMEM || !plan->room)
        return fail_to_hold(status, plan->kind, call);
    return mproc_fail(
        status, "%s: no room for %llu bytes in the family's memory (of %llu bytes %llu are in use), or in the system",
        call, (unsigned long long)plan->room, (unsigned long long)arena->size, (unsigned long long)blocks_used());
}

apr_status_t shared_create(void **handle, const shared_plan_t *plan, const char *call)
{
    shared_t *shared;
    if (handle)
        *handle = NULL;
    apr_status_t status = library_check_initialized(call);
    if (status == APR_SUCCESS && !handle)
        status = mproc_fail(APR_EINVAL, "%s: nowhere to store the %s: it is NULL", call, plan->kind->noun);
    if (status == APR_SUCCESS)
        status = arena_use(call);
    if (status == APR_SUCCESS)
        status = make(&shared, plan->kind, call);
    if (status != APR_SUCCESS)
        return status;
    status = create(shared, plan);
    if (status != APR_SUCCESS)
        status = fail_to_create(status, plan, call);
    *handle = complete(shared, plan->pool, status);
    return status;
}

/** Have a member hold what is said to be at an offset: APR_EINVAL: it is of another kind; MPROC_EGONE: it is not. */
static apr_status_t hold(shared_t *shared, uint32_t ticket)
{
    transaction_t transaction;
    shared->holder = ticket;
    if (!blocks_can_be_object(shared->offset))
        return MPROC_EGONE;
    if (!journal_begin(&transaction))
        return MPROC_EINIT;
    const object_t *object = arena_at(shared->offset);
    apr_status_t status = APR_SUCCESS;
    if (!blocks_can_be_object(shared->offset) || shared->serial == 0 ||
        journal_get(&transaction, &object->serial) != shared->serial)
        status = MPROC_EGONE;
    else if (object_kind(journal_get(&transaction, &object->holds)) != (uint64_t)shared->kind)
        status = APR_EINVAL;
    if (status == APR_SUCCESS)
        status = references_add(&transaction, &shared->reference, ticket, shared->offset);
    if (status == APR_SUCCESS)
        journal_commit(&transaction);
    else
        journal_abandon(&transaction);
    return status;
}

apr_status_t shared_open(void **handle, const shared_kind_t *kind, const mproc_ref_t *ref, apr_pool_t *pool,
                         const char *call)
{
    shared_t *shared;
    if (handle)
        *handle = NULL;
    apr_status_t status = library_check_initialized(call);
    if (status == APR_SUCCESS && (!handle || !ref))
        status = mproc_fail(APR_EINVAL, "%s: %s is NULL", call, handle ? "the reference" : "where to store the handle");
    if (status == APR_SUCCESS)
        status = arena_use(call);
    if (status != APR_SUCCESS)
        return status;
    if (ref->family[0] != arena->family[0] || ref->family[1] != arena->family[1])
        return mproc_fail(MPROC_EFOREIGN, "%s: the %s belongs to another family of processes", call, kind->noun);
    status = make(&shared, kind, call);
    if (status != APR_SUCCESS)
        return status;
    shared->offset = ref->place;
    shared->serial = ref->serial;
    status = hold(shared, member_self());
    if (status != APR_SUCCESS)
        status = fail_to_hold(status, kind, call);
    *handle = complete(shared, pool, status);
    return status;
}

apr_status_t shared_open_again(void **handle, void *opened, const char *call)
{
    mproc_ref_t ref;
    const shared_kind_t *kind = kind_of(opened);
    *handle = NULL;
    const apr_status_t status = mproc_ref(&ref, opened);
    return status == APR_SUCCESS ? shared_open(handle, kind, &ref, NULL, call) : status;
}

/* ---- Using them -------------------------------------------------------------------------------------------------- */

/** An owner that is none: a thread of this process is opening it. One of the creator's may have been when it forked. */
static int opening(void)
{
    return -sys_getpid();
}

/** In a forked child: open anew what its creator had open. Several threads may come here for one handle. */
static apr_status_t open_in_child(shared_t *shared, const shared_kind_t *kind, const char *call)
{
    apr_status_t status = arena_use(call);
    if (status != APR_SUCCESS)
        return status;
    const int self = sys_getpid();
    int owner = atomic_load(&shared->owner);
    while (owner == opening() || (owner != self && !atomic_compare_exchange_weak(&shared->owner, &owner, opening()))) {
        apr_thread_yield();
        owner = atomic_load(&shared->owner);
    }
    if (owner == self)
        return status;
    /* Those of the creator's threads that were waiting are not here. */
    atomic_store(&shared->closable.waiters, 0);
    if (atomic_load(&shared->watch))
        shared->end_watch(atomic_exchange(&shared->watch, NULL), 1);
    status = hold(shared, member_self());
    if (status == APR_SUCCESS)
        atomic_store(&shared->ticket, member_self());
    atomic_store(&shared->owner, status == APR_SUCCESS ? self : owner);
    return status == APR_SUCCESS ? status : fail_to_hold(status, kind, call);
}

apr_status_t shared_acquire(shared_t **shared, void *handle, const shared_kind_t *kind, const char *call)
{
    void *object;
    apr_status_t status = handle_acquire(&object, handle, kind->kind);
    *shared = object;
    if (status == APR_EINVAL)
        return mproc_fail(status, "%s: the %s is NULL", call, kind->noun);
    if (status != APR_SUCCESS)
        return mproc_fail(status, "%s: %p is not an open %s: closed before, or never one", call, handle, kind->noun);
    if ((*shared)->owner == sys_getpid())
        return status;
    status = open_in_child(*shared, kind, call);
    if (status != APR_SUCCESS) {
        handle_release(handle);
        *shared = NULL;
    }
    return status;
}

apr_status_t shared_close(void *handle, const shared_kind_t *kind, const char *call)
{
    void *object;
    if (!handle)
        return APR_SUCCESS;
    if (handle_acquire(&object, handle, kind->kind) != APR_SUCCESS)
        return mproc_fail(MPROC_ECLOSED, "%s: %p is not an open %s: closed before, or never one", call, handle,
                          kind->noun);
    shared_t *shared = object;
    if (handle_close(handle, kind->kind) == APR_SUCCESS) {
        atomic_store(&shared->closable.is_closed, 1);
        /* Whoever is about to wait may not have seen it: those who wait are few, and do not wait long then. */
        while (atomic_load(&shared->owner) == sys_getpid() && atomic_load(&shared->closable.waiters) > 0) {
            kind->stir(head_of(shared));
            apr_sleep(100);
        }
    }
    handle_release(handle);
    return APR_SUCCESS;
}

apr_status_t mproc_ref(mproc_ref_t *ref, void *handle)
{
    static const char call[] = "mproc_ref";
    shared_t *shared = NULL;
    if (!ref)
        return mproc_fail(APR_EINVAL, "%s: nowhere to store the reference: it is NULL", call);
    memset(ref, 0, sizeof *ref);
    const shared_kind_t *kind = kind_of(handle);
    if (!kind)
        return mproc_fail(handle ? MPROC_ECLOSED : APR_EINVAL, "%s: %p is no open object that can be shared", call,
                          handle);
    const apr_status_t status = shared_acquire(&shared, handle, kind, call);
    if (status != APR_SUCCESS)
        return status;
    memcpy(ref->family, arena->family, sizeof ref->family);
    ref->place = shared->offset;
    ref->serial = shared->serial;
    shared_release(shared);
    return APR_SUCCESS;
}

/** Wait for as long as a slice at most. */
static apr_status_t park(shared_t *shared, shm_u32_t *word, uint32_t value, sys_time_t deadline, sys_time_t slice)
{
    const sys_time_t now = sys_now();
    apr_status_t status = APR_SUCCESS;
    if (deadline <= now)
        return APR_TIMEUP;
    /* Counted first: who closes it stirs until nobody is left. */
    atomic_fetch_add(&shared->closable.waiters, 1);
    if (shared_is_closed(shared))
        status = MPROC_ECLOSED;
    else
        shm_park(word, value, deadline - now > slice ? now + slice : deadline);
    atomic_fetch_sub(&shared->closable.waiters, 1);
    return status;
}

/*
 * How long to look, in microseconds: to fall asleep and be woken takes as long. After bad luck that is done only now
 * and then.
 */
enum { GLANCE = 20, MOST_LUCK = 8, ONCE_IN = 256 };

/** Whether to look at all: after bad luck that is done only now and then. */
static int is_lucky(shared_t *shared)
{
    return atomic_load_explicit(&shared->luck, memory_order_relaxed) > 0 ||
           atomic_fetch_add_explicit(&shared->glances, 1, memory_order_relaxed) % ONCE_IN == 0;
}

/** Note whether it was worth it, and tell that. */
static int note_luck(shared_t *shared, int was_worth_it)
{
    const int luck = atomic_load_explicit(&shared->luck, memory_order_relaxed);
    if (was_worth_it ? luck < MOST_LUCK : luck > 0)
        atomic_store_explicit(&shared->luck, was_worth_it ? luck + 1 : luck - 1, memory_order_relaxed);
    return was_worth_it;
}

/* Without giving way: other work would have the CPU then, and for long. */

int shared_glance(shared_t *shared, const shm_u32_t *word, uint32_t value)
{
    if (!is_lucky(shared))
        return 0;
    for (const sys_time_t end = sys_now() + GLANCE; sys_now() < end;)
        if (shm_load(word) != value)
            return note_luck(shared, 1);
    return note_luck(shared, 0);
}

int shared_glance64(shared_t *shared, const shm_u64_t *word, uint64_t value)
{
    if (!is_lucky(shared))
        return 0;
    for (const sys_time_t end = sys_now() + GLANCE; sys_now() < end;)
        if (shm_load64(word) != value)
            return note_luck(shared, 1);
    return note_luck(shared, 0);
}

apr_status_t shared_park(shared_t *shared, shm_u32_t *word, uint32_t value, sys_time_t deadline)
{
    /* Only a death could have lost a wake. Whoever notices that death passes it on, and so does a look at the word. */
    return park(shared, word, value, deadline, member_patience());
}

apr_status_t shared_rest(shared_t *shared, shm_u32_t *word, uint32_t value, sys_time_t deadline)
{
    /* In microseconds: to look that often costs nothing, however many do. */
    enum { REST = 10000000 };
    return park(shared, word, value, deadline, REST);
}

apr_status_t shared_watch(shared_t *shared, shm_u32_t *word, uint32_t value, sys_time_t deadline)
{
    const int is_lookout = member_become_lookout();
    const sys_time_t slice = is_lookout ? MEMBER_LOOKOUT_SLEEP : member_patience();
    const apr_status_t status = park(shared, word, value, deadline, slice);
    if (is_lookout)
        member_look_out();
    return status;
}

apr_status_t shared_fail_to_wait(apr_status_t status, const shared_t *shared, const char *call)
{
    const shared_kind_t *kind = kind_of(shared->handle);
    char name[SHARED_NAME_MAX];
    shm_get_text(name, head_of(shared)->name, sizeof name);
    if (status == APR_TIMEUP)
        return mproc_fail(status, "%s: the time is up; %s %s(%llu)", call, kind->noun, name,
                          (unsigned long long)shared->serial);
    return mproc_fail(status, "%s: another thread has closed the %s %s(%llu)", call, kind->noun, name,
                      (unsigned long long)shared->serial);
}

apr_status_t shared_take_options(void *complete, size_t complete_size, const void *opts, size_t opts_size,
                                 const char *call)
{
    memset(complete, 0, complete_size);
    if (!opts)
        return APR_SUCCESS;
    if (opts_size > complete_size)
        return mproc_fail(MPROC_EBUILD, "%s: the program was built for a later libmproc than %s", call,
                          mproc_version());
    memcpy(complete, opts, opts_size);
    return APR_SUCCESS;
}

/* ---- Passing them to children ------------------------------------------------------------------------------------ */

/** Have a member hold what a pass names. */
static apr_status_t pass_one(shared_pass_t *pass, uint32_t ticket)
{
    shared_t shared = {.kind = (handle_kind_t)pass->kind, .offset = pass->place, .serial = pass->serial};
    const apr_status_t status = hold(&shared, ticket);
    pass->reference = shared.reference;
    return status;
}

void shared_pass_drop(const shared_pass_t *passes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        references_release(passes[i].reference, member_self());
}

apr_status_t shared_pass(shared_pass_t *passes, void *const *handles, size_t count, uint32_t ticket, const char *call)
{
    for (size_t i = 0; i < count; i++) {
        const shared_kind_t *kind = kind_of(handles[i]);
        shared_t *shared;
        apr_status_t status =
            kind ? shared_acquire(&shared, handles[i], kind, call)
                 : mproc_fail(MPROC_ECLOSED, "%s: %p at %zu is no open object that can be shared", call, handles[i], i);
        if (status == APR_SUCCESS) {
            passes[i] = (shared_pass_t){.place = shared->offset, .serial = shared->serial, .kind = kind->kind};
            shared_release(shared);
            status = pass_one(&passes[i], ticket);
            if (status != APR_SUCCESS)
                fail_to_hold(status, kind, call);
        }
        if (status != APR_SUCCESS) {
            shared_pass_drop(passes, i);
            return status;
        }
    }
    return APR_SUCCESS;
}

apr_status_t shared_pass_again(shared_pass_t *passes, size_t count, uint32_t ticket)
{
    for (size_t i = 0; i < count; i++) {
        const apr_status_t status = pass_one(&passes[i], ticket);
        if (status == APR_SUCCESS)
            continue;
        shared_pass_drop(passes, i);
        return status;
    }
    return APR_SUCCESS;
}

apr_status_t shared_take(void **handle, const shared_pass_t *pass, const char *call)
{
    const shared_kind_t *kind = NULL;
    shared_t *shared;
    *handle = NULL;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if ((uint64_t)kinds[i]->kind == pass->kind)
            kind = kinds[i];
    if (!kind)
        return mproc_fail(MPROC_EBUILD, "%s: there are no objects of kind %llu", call, (unsigned long long)pass->kind);
    const apr_status_t status = make(&shared, kind, call);
    if (status != APR_SUCCESS)
        return status;
    shared->offset = pass->place;
    shared->serial = pass->serial;
    shared->reference = pass->reference;
    shared->holder = member_self();
    *handle = complete(shared, NULL, status);
    return status;
}

void shared_close_any(void *handle)
{
    const shared_kind_t *kind = kind_of(handle);
    if (kind)
        shared_close(handle, kind, "");
}

/* ---- Deaths ------------------------------------------------------------------------------------------------------ */

void shared_stir(uint64_t offset)
{
    const shared_kind_t *kind = shared_kind_at(offset);
    if (kind)
        kind->stir(arena_at(offset));
}

void shared_bereave(uint64_t offset)
{
    const shared_kind_t *kind = shared_kind_at(offset);
    if (!kind)
        return;
    if (kind->note_death)
        kind->note_death(arena_at(offset));
    kind->stir(arena_at(offset));
}

/* ---- The end ----------------------------------------------------------------------------------------------------- */

static int is_own(const void *object)
{
    return atomic_load(&((const shared_t *)object)->owner) == sys_getpid();
}

/* Whether a thread has not gone in time. */
static int is_in_use;

/** Closed: have the threads that use it go before what they use is released. One that does not, if any, is left. */
static void end_uses(void *object)
{
    enum { PATIENCE = 5000 };
    shared_t *shared = object;
    atomic_store(&shared->closable.is_closed, 1);
    /* The thread that watches a queue waits without a use: whoever destroys the handle joins it. */
    for (int i = 0; i < PATIENCE && (handle_uses(shared->handle) > 1 || atomic_load(&shared->closable.waiters) > 0);
         i++) {
        /* Another thread may only just be making it: nobody waits for it then. */
        if (atomic_load(&shared->ticket))
            kind_of(shared->handle)->stir(head_of(shared));
        apr_sleep(100);
    }
    is_in_use |= handle_uses(shared->handle) > 1;
}

int shared_close_all(void)
{
    is_in_use = 0;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        handle_close_all(kinds[i]->kind, is_own, end_uses);
    return is_in_use;
}
