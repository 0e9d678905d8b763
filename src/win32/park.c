/* SPDX-License-Identifier: Apache-2.0 */
/*
 * To wait at a word of shared memory. The system lets threads of one process do that only; for those of several there
 * is a table, the lot, in memory that all have in common. A thread that waits has a bay there: it says in it at which
 * word, looks at the word once more, and waits for an event of its own. Whoever wakes looks through the lot, claims
 * those who wait at the word, and sets their events, of which it gets duplicates.
 *
 * Everybody may be killed at any moment. Of one who waited the bay is freed by whoever comes upon it. One who has
 * claimed, but not set the event, leaves a thread that sleeps until its time is up, or all at this word are woken: as
 * if it had been killed just before it woke anybody, which no way to wait can mend.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "win32.h"

/** Whose a bay is. */
typedef struct owner_t {
    _Atomic uint64_t who;   /* process id, generation, and READY when the rest is there; no process id: it is free */
    _Atomic uint64_t birth; /* of the process */
    _Atomic uint64_t event; /* what that process calls it */
    uint64_t reserved;
} owner_t;

typedef struct lot_t {
    _Atomic uint32_t used; /* bays behind were never used */
    _Atomic uint32_t next; /* where to begin to look, so that each has its turn */
    uint64_t reserved[7];
    _Atomic uint64_t waits[WIN32_BAYS]; /* see below */
    owner_t owners[WIN32_BAYS];
} lot_t;

_Static_assert(sizeof(lot_t) == WIN32_LOT_SIZE, "the same for all members of the family");

/*
 * A word of `waits`: where the word lies in the arena, at which is waited, a bit that is there when a waker has claimed
 * the bay, and the lowest bits of its generation. 0: nobody waits.
 */
#define MARK ((uint64_t)0xffff)
#define CLAIMED ((uint64_t)1 << 16)
enum { READY = 1, GENERATION = 2, OFFSET_BITS = 16, PLACE_BITS = 17 };

/** A bay of this process. A few that no thread uses are kept, with their events. */
typedef struct bay_t {
    HANDLE event;
    uint64_t who;
    uint32_t index;
    int is_stale; /* its event is, or will be, set for what is over */
    struct bay_t *next;
} bay_t;

/** What this process has of another one's bay. */
typedef struct peer_t {
    uint64_t who; /* 0: nothing */
    uint32_t index;
    HANDLE process;
    HANDLE event;
} peer_t;

enum { PEERS = 256, SWEEP = 4, SPARES = 16 };

static SRWLOCK lock = SRWLOCK_INIT; /* guards all that follows, and no event is set without it */
static lot_t *lot;                  /* set before there is anything to wait at */
static const unsigned char *base;
static uint64_t size;
static uint64_t own_birth;
static bay_t *spare;
static int spare_count;
static peer_t peers[PEERS];

static uint32_t pid_of(uint64_t who)
{
    return (uint32_t)(who >> 32);
}

static uint64_t mark_of(uint64_t who)
{
    return who / GENERATION & MARK;
}

/* ---- Bays -------------------------------------------------------------------------------------------------------- */

/** Free a bay whose owner is dead, or this process. */
static void vacate(uint32_t index, uint64_t who)
{
    uint64_t wait = atomic_load(&lot->waits[index]);
    if ((wait & MARK) == mark_of(who))
        atomic_compare_exchange_strong(&lot->waits[index], &wait, 0);
    atomic_compare_exchange_strong(&lot->owners[index].who, &who, (uint32_t)who & ~(uint32_t)READY);
}

/** Whether the process is dead that a bay belongs to. */
static int is_dead(uint32_t index, uint64_t who)
{
    sys_process_t *process;
    const uint64_t birth = who & READY ? atomic_load(&lot->owners[index].birth) : 0;
    const apr_status_t status = sys_process_open(&process, (int)pid_of(who), birth);
    if (status != APR_SUCCESS)
        return status == APR_ENOENT;
    const int has_ended = sys_wait(sys_process_sentinel(process), 0) == APR_SUCCESS;
    sys_process_close(process);
    return has_ended;
}

/** Look at a few bays, others each time, and free those of the dead. */
static void sweep(void)
{
    static uint32_t place;
    const uint32_t used = atomic_load(&lot->used);
    for (uint32_t i = 0; i < SWEEP && i < used; i++) {
        const uint32_t index = place++ % used;
        const uint64_t who = atomic_load(&lot->owners[index].who);
        if (pid_of(who) && is_dead(index, who))
            vacate(index, who);
    }
}

/** Claim a free bay for this process: whether there was one. */
static int claim(bay_t *bay)
{
    for (uint32_t i = 0; i < WIN32_BAYS; i++) {
        owner_t *owner = &lot->owners[i];
        uint64_t who = atomic_load(&owner->who);
        if (pid_of(who))
            continue;
        for (uint32_t used = atomic_load(&lot->used); used <= i;)
            atomic_compare_exchange_strong(&lot->used, &used, i + 1);
        const uint64_t mine = (uint64_t)GetCurrentProcessId() << 32 | (uint32_t)(who + GENERATION);
        if (!atomic_compare_exchange_strong(&owner->who, &who, mine))
            continue;
        atomic_store(&owner->birth, own_birth);
        atomic_store(&owner->event, (uint64_t)(uintptr_t)bay->event);
        atomic_store(&lot->waits[i], 0);
        atomic_store(&owner->who, mine | READY);
        bay->who = mine | READY;
        bay->index = i;
        return 1;
    }
    return 0;
}

/** Get a bay for this thread; NULL if there is none. */
static bay_t *begin(void)
{
    AcquireSRWLockExclusive(&lock);
    bay_t *bay = spare;
    if (bay) {
        spare = bay->next;
        spare_count--;
    } else {
        sweep();
    }
    ReleaseSRWLockExclusive(&lock);
    if (bay)
        return bay;
    bay = calloc(1, sizeof *bay);
    if (!bay)
        return NULL;
    bay->event = CreateEventW(NULL, FALSE, FALSE, NULL);
    if (bay->event && claim(bay))
        return bay;
    win32_close(bay->event);
    free(bay);
    return NULL;
}

/** Give up a bay that no thread uses. With the lock held: whoever is about to set its event finds it is not its own. */
static void destroy(bay_t *bay)
{
    vacate(bay->index, bay->who);
    win32_close(bay->event);
    free(bay);
}

static void end(bay_t *bay)
{
    AcquireSRWLockExclusive(&lock);
    if (spare_count < SPARES) {
        bay->next = spare;
        spare = bay;
        spare_count++;
    } else {
        destroy(bay);
    }
    ReleaseSRWLockExclusive(&lock);
}

/* ---- Waiting ----------------------------------------------------------------------------------------------------- */

/** Where a word lies in the arena; 0 if it does not. */
static uint64_t place_of(const _Atomic uint32_t *word)
{
    const uintptr_t place = (uintptr_t)word - (uintptr_t)base;
    return lot && (uintptr_t)word >= (uintptr_t)base && place < size ? place : 0;
}

static apr_status_t wait_in(bay_t *bay, const _Atomic uint32_t *word, uint32_t value, sys_time_t deadline)
{
    _Atomic uint64_t *wait = &lot->waits[bay->index];
    const uint64_t mine = place_of(word) << OFFSET_BITS | mark_of(bay->who);
    uint64_t found = mine;
    apr_status_t status = APR_SUCCESS;
    if (bay->is_stale)
        ResetEvent(bay->event);
    bay->is_stale = 0;
    atomic_store(wait, mine);
    /* From now on it is found. Whoever has changed the word before did not find it. */
    const int has_waited = atomic_load(word) == value;
    if (has_waited)
        status = win32_wait_for(bay->event, deadline, SYS_NO_HANDLE);
    if (atomic_compare_exchange_strong(wait, &found, 0))
        return status == APR_TIMEUP ? status : APR_SUCCESS;
    /* Somebody has claimed it, and has woken no other in its place: then it is woken, whenever the event is set. */
    atomic_store(wait, 0);
    bay->is_stale = !has_waited || status != APR_SUCCESS;
    return APR_SUCCESS;
}

/** What can be done for a word that lies elsewhere, or without a bay. */
static apr_status_t wait_without(const _Atomic uint32_t *word, uint32_t value, sys_time_t deadline)
{
    while (atomic_load(word) == value) {
        if (deadline != SYS_NEVER && sys_now() >= deadline)
            return APR_TIMEUP;
        Sleep(1);
    }
    return APR_SUCCESS;
}

apr_status_t sys_park(_Atomic uint32_t *word, uint32_t value, sys_time_t deadline)
{
    bay_t *bay = place_of(word) ? begin() : NULL;
    if (!bay)
        return wait_without(word, value, deadline);
    const apr_status_t status = wait_in(bay, word, value, deadline);
    end(bay);
    return status;
}

/* ---- Waking ------------------------------------------------------------------------------------------------------ */

static void drop(peer_t *peer)
{
    win32_close(peer->event);
    win32_close(peer->process);
    *peer = (peer_t){0};
}

/** Get hold of another process's event: APR_SUCCESS; APR_ENOENT: it is dead; anything else: that cannot be. */
static apr_status_t get_hold(peer_t *peer, uint32_t index, uint64_t who)
{
    const owner_t *owner = &lot->owners[index];
    uint64_t birth;
    const HANDLE theirs = (HANDLE)(uintptr_t)atomic_load(&owner->event);
    peer->process =
        OpenProcess(PROCESS_DUP_HANDLE | SYNCHRONIZE | PROCESS_QUERY_LIMITED_INFORMATION, FALSE, pid_of(who));
    if (!peer->process)
        return is_dead(index, who) ? APR_ENOENT : APR_EACCES;
    const apr_status_t status = win32_birth(&birth, peer->process);
    if (status != APR_SUCCESS || birth != atomic_load(&owner->birth))
        return status == APR_SUCCESS ? APR_ENOENT : APR_EACCES;
    if (!DuplicateHandle(peer->process, theirs, GetCurrentProcess(), &peer->event, 0, FALSE, DUPLICATE_SAME_ACCESS)) {
        peer->event = NULL;
        return is_dead(index, who) ? APR_ENOENT : APR_EACCES;
    }
    /* As long as it has the bay it keeps the event; else this may be of anything. */
    if (atomic_load(&owner->who) != who)
        return APR_EGENERAL;
    peer->who = who;
    peer->index = index;
    return APR_SUCCESS;
}

/** Let go of a few of those that have died, others each time. */
static void drop_dead(void)
{
    static uint32_t place;
    for (int i = 0; i < SWEEP; i++) {
        peer_t *peer = &peers[place++ % PEERS];
        if (peer->who && WaitForSingleObject(peer->process, 0) != WAIT_TIMEOUT)
            drop(peer);
    }
}

/** Find the event of a bay whose owner lives; as get_hold(). */
static apr_status_t reach(HANDLE *event, uint32_t index, uint64_t who)
{
    const owner_t *owner = &lot->owners[index];
    *event = NULL;
    if (pid_of(who) == GetCurrentProcessId()) {
        if (atomic_load(&owner->birth) != own_birth)
            return APR_ENOENT;
        *event = (HANDLE)(uintptr_t)atomic_load(&owner->event);
        return APR_SUCCESS;
    }
    peer_t *peer = &peers[index % PEERS];
    apr_status_t status = APR_SUCCESS;
    if (peer->who != who || peer->index != index) {
        drop(peer);
        drop_dead();
        status = get_hold(peer, index, who);
    }
    if (status == APR_SUCCESS && WaitForSingleObject(peer->process, 0) != WAIT_TIMEOUT)
        status = APR_ENOENT;
    if (status == APR_SUCCESS)
        *event = peer->event;
    else
        drop(peer);
    return status;
}

/** Wake the thread that is found waiting in a bay: whether it was. With the lock held. */
static int wake(uint32_t index, uint64_t wait, int is_for_all)
{
    HANDLE event;
    const uint64_t who = atomic_load(&lot->owners[index].who);
    if (!(who & READY) || mark_of(who) != (wait & MARK)) {
        /* It is left from an owner before. */
        atomic_compare_exchange_strong(&lot->waits[index], &wait, 0);
        return 0;
    }
    /* Who has claimed it wakes it, unless that one was killed. */
    if ((wait & CLAIMED) && !is_for_all)
        return 0;
    const apr_status_t status = reach(&event, index, who);
    if (status == APR_ENOENT)
        vacate(index, who);
    if (status != APR_SUCCESS)
        return 0;
    if (!(wait & CLAIMED) && !atomic_compare_exchange_strong(&lot->waits[index], &wait, wait | CLAIMED))
        return 0;
    SetEvent(event);
    return 1;
}

void sys_unpark(_Atomic uint32_t *word, unsigned count)
{
    const uint64_t place = place_of(word);
    if (!place)
        return;
    const int is_for_all = count == (unsigned)-1;
    /* Who is not found from here on finds the word changed. */
    atomic_thread_fence(memory_order_seq_cst);
    const uint32_t used = atomic_load(&lot->used);
    const uint32_t first = used ? atomic_load_explicit(&lot->next, memory_order_relaxed) % used : 0;
    for (uint32_t i = 0; i < used && count > 0; i++) {
        const uint32_t index = i < used - first ? first + i : i - (used - first);
        const uint64_t wait = atomic_load_explicit(&lot->waits[index], memory_order_acquire);
        if (wait >> PLACE_BITS != place >> (PLACE_BITS - OFFSET_BITS))
            continue;
        AcquireSRWLockExclusive(&lock);
        const int is_woken = wake(index, wait, is_for_all);
        ReleaseSRWLockExclusive(&lock);
        if (!is_woken)
            continue;
        count--;
        atomic_store_explicit(&lot->next, index + 1, memory_order_relaxed);
    }
}

/* ---- The lot ----------------------------------------------------------------------------------------------------- */

void win32_lot_open(void *at, const sys_arena_t *arena)
{
    /* One is enough: this process has one arena. */
    if (lot || win32_birth(&own_birth, GetCurrentProcess()) != APR_SUCCESS)
        return;
    base = arena->base;
    size = arena->size;
    lot = at;
}

void win32_lot_clear(void)
{
    AcquireSRWLockExclusive(&lock);
    while (spare) {
        bay_t *bay = spare;
        spare = bay->next;
        destroy(bay);
    }
    spare_count = 0;
    for (size_t i = 0; i < PEERS; i++)
        drop(&peers[i]);
    ReleaseSRWLockExclusive(&lock);
}

void win32_lot_forget(DWORD pid)
{
    if (!lot)
        return;
    AcquireSRWLockExclusive(&lock);
    for (size_t i = 0; i < PEERS; i++)
        if (peers[i].who && pid_of(peers[i].who) == pid)
            drop(&peers[i]);
    ReleaseSRWLockExclusive(&lock);
    const uint32_t used = atomic_load(&lot->used);
    for (uint32_t i = 0; i < used; i++) {
        const uint64_t who = atomic_load(&lot->owners[i].who);
        if (pid_of(who) == pid)
            vacate(i, who);
    }
}

void win32_lot_close(const sys_arena_t *arena)
{
    if (!lot || base != arena->base)
        return;
    win32_lot_clear();
    lot = NULL;
}
