/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file shared.h
 * @brief Objects of the family, as one process has them: handles to what lies in the arena.
 */
#ifndef MPROC_SHARED_H
#define MPROC_SHARED_H

#include <mproc/share.h>

#include "handle.h"
#include "member.h"
#include "references.h"
#include "waiter.h"

/** The most bytes of an object's name, with the zero at its end. */
enum { SHARED_NAME_MAX = MPROC_OBJECT_NAME_MAX + 1 };

/** What all shared objects begin with, in the arena. */
typedef struct shared_head_t {
    object_t object;
    shm_char_t name[SHARED_NAME_MAX];
} shared_head_t;

/** What this process has of one. */
typedef struct shared_t {
    void *handle;
    handle_kind_t kind;
    _Atomic int owner;       /* the process that has it open: a copy in a forked child is opened anew when it is used */
    _Atomic uint32_t ticket; /* that process's, once it is open; the quick way to ask the same */
    uint64_t offset;
    uint64_t serial;
    reference_t reference;
    uint32_t holder; /* whose reference it is: a ticket of this process */
    closable_t closable;
    _Atomic int luck; /* how often to look for a moment, before it sleeps, was enough lately */
    _Atomic unsigned glances;
    _Atomic(void *) watch; /* of a queue that the system waits for, see queue_watch.c; NULL: none */
    void (*end_watch)(void *watch, int is_forked);
} shared_t;

/** What a kind of objects is. */
typedef struct shared_kind_t {
    handle_kind_t kind;
    const char *noun; /* for texts */
    uint64_t size;    /* of its part in the arena, if all have the same */
    /** Have whoever waits for an object look again: there was a death, or its handle is closed. */
    void (*stir)(void *at);
    /** Note that a process has died which had it open; NULL: that does not matter. */
    void (*note_death)(void *at);
    /** Tell its state in words. */
    void (*describe)(const void *at, char *text, size_t size);
} shared_kind_t;

extern const shared_kind_t lock_kind;
extern const shared_kind_t semaphore_kind;
extern const shared_kind_t event_kind;
extern const shared_kind_t condition_kind;
extern const shared_kind_t barrier_kind;
extern const shared_kind_t queue_kind;
extern const shared_kind_t queue_putter_kind;
extern const shared_kind_t queue_getter_kind;
extern const shared_kind_t data_kind;
extern const shared_kind_t pool_state_kind;

/** The kind of an object in the arena; NULL if there is none at this place. */
const shared_kind_t *shared_kind_at(uint64_t offset);

/** What a new object is to be. */
typedef struct shared_plan_t {
    const shared_kind_t *kind;
    uint64_t size; /* 0: as the kind says */
    const char *name;
    apr_pool_t *pool;
    /** Prepare it, in zeroed memory that nobody else can see; NULL: it is all zeros. */
    void (*init)(void *at, const void *context);
    const void *context;
    const shared_t *kept; /* an object that it keeps alive, and finds at OBJECT_KEPT_AT; NULL: none */
    uint64_t worth;       /* how much it counts there while it lives, see OBJECT_IS_COUNTED; 0: not at all */
    /** Take memory for it, in the transaction that makes it, see memory.h; NULL: it has none. */
    apr_status_t (*furnish)(transaction_t *transaction, void *at, const void *context);
    uint64_t room; /* how many bytes the caller has asked for, to be told if there is no room for them; 0: it has not */
} shared_plan_t;

/** Make an object. The status has its text. */
apr_status_t shared_create(void **handle, const shared_plan_t *plan, const char *call);

/** Open an object that somebody refers to. The status has its text. */
apr_status_t shared_open(void **handle, const shared_kind_t *kind, const mproc_ref_t *ref, apr_pool_t *pool,
                         const char *call);

/** Open an object once more, of whatever kind, that this process has open. The status has its text. */
apr_status_t shared_open_again(void **handle, void *opened, const char *call);

/** Get the object behind a handle for the public function `call`; the status has its text. */
apr_status_t shared_acquire(shared_t **shared, void *handle, const shared_kind_t *kind, const char *call);

/** Whether this process has it open, and not its creator alone, which has forked it. */
static inline int shared_is_own(const shared_t *shared)
{
    const uint32_t ticket = atomic_load_explicit(&shared->ticket, memory_order_relaxed);
    return ticket != 0 && ticket == member_self();
}

/** Give back what shared_acquire() got. */
static inline void shared_release(const shared_t *shared)
{
    handle_release(shared->handle);
}

/** Close a handle for the public function `call`; NULL is allowed. Those who wait with it are woken, and go first. */
apr_status_t shared_close(void *handle, const shared_kind_t *kind, const char *call);

/** An object on its way to a child: held for it already. */
typedef struct shared_pass_t {
    uint64_t place;
    uint64_t serial;
    uint64_t reference;
    uint64_t kind;
} shared_pass_t;

/** Have a member hold objects; the status has its text, and after a failure it holds none of them. */
apr_status_t shared_pass(shared_pass_t *passes, void *const *handles, size_t count, uint32_t ticket, const char *call);

/** The same for objects that others of its kind were passed; without a text. */
apr_status_t shared_pass_again(shared_pass_t *passes, size_t count, uint32_t ticket);

/** Release what was passed, but nobody has taken. */
void shared_pass_drop(const shared_pass_t *passes, size_t count);

/** Make a handle of an object that this process was passed; the status has its text. */
apr_status_t shared_take(void **handle, const shared_pass_t *pass, const char *call);

/** Close a handle of whatever kind, unless that was done before. */
void shared_close_any(void *handle);

/** Notify another one who waits at a condition; see spots_settle(). */
void condition_pass_on(uint64_t object);

/** Have whoever waits for an object look again. */
void shared_stir(uint64_t offset);

/** An object's holder has died: have whoever waits for it look again. */
void shared_bereave(uint64_t offset);

/** Close all handles of this process, at the end of the library: whether threads still use some of them. */
int shared_close_all(void);

/** Whether calls that wait are to end. */
int shared_is_closed(const void *shared);

/**
 * Wait at a word of an object while it has a value, but not for long: a wake may be lost with who dies.
 *
 * @return APR_SUCCESS: look again; APR_TIMEUP; MPROC_ECLOSED.
 */
apr_status_t shared_park(shared_t *shared, shm_u32_t *word, uint32_t value, sys_time_t deadline);

/** As shared_park(), where somebody sees to it that no wake is lost: for long. */
apr_status_t shared_rest(shared_t *shared, shm_u32_t *word, uint32_t value, sys_time_t deadline);

/** As shared_park(), and look now and then whether some member of the family has died. */
apr_status_t shared_watch(shared_t *shared, shm_u32_t *word, uint32_t value, sys_time_t deadline);

/**
 * Look for a moment whether a word gets another value, if that was worth it lately: whether it has. For those who are
 * awaited by others that run at the same time; the others sleep at once.
 */
int shared_glance(shared_t *shared, const shm_u32_t *word, uint32_t value);
int shared_glance64(shared_t *shared, const shm_u64_t *word, uint64_t value);

/** Put into words why a call has not waited to its end. */
apr_status_t shared_fail_to_wait(apr_status_t status, const shared_t *shared, const char *call);

/** What options of an object begin with, whatever they are of: the size that the caller knows is checked. */
apr_status_t shared_take_options(void *complete, size_t complete_size, const void *opts, size_t opts_size,
                                 const char *call);

#endif
