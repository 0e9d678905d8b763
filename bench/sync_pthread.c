/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <semaphore.h>

#include "sync_objects.h"

/* ---- Mutexes ----------------------------------------------------------------------------------------------------- */

static int make_mutex(pthread_mutex_t *mutex, int is_robust, int is_recursive)
{
    pthread_mutexattr_t attributes;
    if (pthread_mutexattr_init(&attributes) != 0)
        return -1;
    int error = pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
#if defined(MPROC_BENCH_ROBUST)
    if (error == 0 && is_robust)
        error = pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
#else
    if (is_robust)
        error = -1;
#endif
    if (error == 0 && is_recursive)
        error = pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
    if (error == 0)
        error = pthread_mutex_init(mutex, &attributes);
    pthread_mutexattr_destroy(&attributes);
    return error == 0 ? 0 : -1;
}

static pthread_mutex_t *plain, *robust, *recursive;

static int open_plain(void *memory)
{
    return make_mutex(plain = memory, 0, 0);
}

static int open_robust(void *memory)
{
    return make_mutex(robust = memory, 1, 0);
}

static int open_recursive(void *memory)
{
    return make_mutex(recursive = memory, 1, 1);
}

static int play_with(pthread_mutex_t *mutex, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        if (pthread_mutex_lock(mutex) != 0)
            return -1;
        *sync_counter += 1;
        if (pthread_mutex_unlock(mutex) != 0)
            return -1;
    }
    return 0;
}

static int play_plain(unsigned player, unsigned players, uint64_t count)
{
    (void)player;
    (void)players;
    return play_with(plain, count);
}

static int play_robust(unsigned player, unsigned players, uint64_t count)
{
    (void)player;
    (void)players;
    return play_with(robust, count);
}

static int play_recursive(unsigned player, unsigned players, uint64_t count)
{
    (void)player;
    (void)players;
    return play_with(recursive, count);
}

const sync_object_t sync_mutex = {"mutex", open_plain, NULL, play_plain, 1};
const sync_object_t sync_robust = {"robust", open_robust, NULL, play_robust, 1};
const sync_object_t sync_robust_recursive = {"robust-recursive", open_recursive, NULL, play_recursive, 1};

/* ---- Semaphores -------------------------------------------------------------------------------------------------- */

static sem_t *semaphore;

static int open_sem(void *memory)
{
    semaphore = memory;
    return sem_init(semaphore, 1, 1);
}

static int play_sem(unsigned player, unsigned players, uint64_t count)
{
    (void)player;
    (void)players;
    for (uint64_t i = 0; i < count; i++) {
        if (sem_wait(semaphore) != 0)
            return -1;
        *sync_counter += 1;
        if (sem_post(semaphore) != 0)
            return -1;
    }
    return 0;
}

const sync_object_t sync_sem = {"sem", open_sem, NULL, play_sem, 1};

/* ---- Barriers ---------------------------------------------------------------------------------------------------- */

#if defined(MPROC_BENCH_BARRIER)
static pthread_barrier_t *barriers[SYNC_PLAYERS + 1];

static int open_barrier(void *memory)
{
    pthread_barrierattr_t attributes;
    int result = pthread_barrierattr_init(&attributes) == 0 &&
                         pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED) == 0
                     ? 0
                     : -1;
    for (unsigned parties = 2; parties <= SYNC_PLAYERS && result == 0; parties++) {
        barriers[parties] = (pthread_barrier_t *)((char *)memory + parties * SYNC_LINE);
        result = pthread_barrier_init(barriers[parties], &attributes, parties) == 0 ? 0 : -1;
    }
    pthread_barrierattr_destroy(&attributes);
    return result;
}

static int play_barrier(unsigned player, unsigned players, uint64_t count)
{
    (void)player;
    for (uint64_t i = 0; i < count; i++) {
        const int result = pthread_barrier_wait(barriers[players]);
        if (result != 0 && result != PTHREAD_BARRIER_SERIAL_THREAD)
            return -1;
    }
    return 0;
}
#else
static int open_barrier(void *memory)
{
    (void)memory;
    return -1;
}

static int play_barrier(unsigned player, unsigned players, uint64_t count)
{
    (void)player;
    (void)players;
    (void)count;
    return -1;
}
#endif

const sync_object_t sync_barrier = {"barrier", open_barrier, NULL, play_barrier, 0};

/* ---- Conditions -------------------------------------------------------------------------------------------------- */

/** A condition, its mutex and what they guard: an event's flag, or whose turn it is. */
typedef struct guarded_t {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    volatile unsigned value;
} guarded_t;

static int make_guarded(guarded_t *guarded, int is_robust)
{
    pthread_condattr_t attributes;
    if (make_mutex(&guarded->mutex, is_robust, 0) != 0 || pthread_condattr_init(&attributes) != 0)
        return -1;
    const int error = pthread_condattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED) != 0 ||
                      pthread_cond_init(&guarded->cond, &attributes) != 0;
    pthread_condattr_destroy(&attributes);
    return error ? -1 : 0;
}

static guarded_t *events[2], *condition, *robust_condition;

static int open_event(void *memory)
{
    events[0] = memory;
    events[1] = (guarded_t *)((char *)memory + SYNC_MEMORY / 2);
    return make_guarded(events[0], 0) == 0 && make_guarded(events[1], 0) == 0 ? 0 : -1;
}

static int tell(guarded_t *event)
{
    if (pthread_mutex_lock(&event->mutex) != 0)
        return -1;
    event->value = 1;
    /* Whoever waits for an event: all. */
    return pthread_cond_broadcast(&event->cond) == 0 && pthread_mutex_unlock(&event->mutex) == 0 ? 0 : -1;
}

static int hear(guarded_t *event)
{
    if (pthread_mutex_lock(&event->mutex) != 0)
        return -1;
    while (!event->value)
        if (pthread_cond_wait(&event->cond, &event->mutex) != 0)
            return -1;
    event->value = 0;
    return pthread_mutex_unlock(&event->mutex);
}

static int play_event(unsigned player, unsigned players, uint64_t count)
{
    (void)players;
    for (uint64_t i = 0; i < count; i++)
        if ((player == 1 && hear(events[0]) != 0) || tell(events[player]) != 0 || (player == 0 && hear(events[1]) != 0))
            return -1;
    return 0;
}

static int open_condition(void *memory)
{
    return make_guarded(condition = memory, 0);
}

static int open_robust_condition(void *memory)
{
    return make_guarded(robust_condition = memory, 1);
}

static int play_turns(guarded_t *guarded, unsigned player, unsigned players, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        if (pthread_mutex_lock(&guarded->mutex) != 0)
            return -1;
        while (guarded->value != player)
            if (pthread_cond_wait(&guarded->cond, &guarded->mutex) != 0)
                return -1;
        guarded->value = (player + 1) % players;
        if (pthread_cond_signal(&guarded->cond) != 0 || pthread_mutex_unlock(&guarded->mutex) != 0)
            return -1;
    }
    return 0;
}

static int play_condition(unsigned player, unsigned players, uint64_t count)
{
    return play_turns(condition, player, players, count);
}

static int play_robust_condition(unsigned player, unsigned players, uint64_t count)
{
    return play_turns(robust_condition, player, players, count);
}

const sync_object_t sync_cond_event = {"cond-event", open_event, NULL, play_event, 0};
const sync_object_t sync_cond = {"cond", open_condition, NULL, play_condition, 0};
const sync_object_t sync_robust_cond = {"robust-cond", open_robust_condition, NULL, play_robust_condition, 0};
