/* SPDX-License-Identifier: Apache-2.0 */
#include <stdatomic.h>
#include <stddef.h>

#include "sync_objects.h"

#if defined(__linux__)
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { IS_HERE = 1 };

static void wait_while(_Atomic uint32_t *word, uint32_t value)
{
    syscall(SYS_futex, word, FUTEX_WAIT, value, NULL, NULL, 0);
}

static void wake(_Atomic uint32_t *word, int count)
{
    syscall(SYS_futex, word, FUTEX_WAKE, count, NULL, NULL, 0);
}
#else
enum { IS_HERE = 0, INT_MAX = 0 };

static void wait_while(_Atomic uint32_t *word, uint32_t value)
{
    (void)word;
    (void)value;
}

static void wake(_Atomic uint32_t *word, int count)
{
    (void)word;
    (void)count;
}
#endif

/* ---- A lock ------------------------------------------------------------------------------------------------------ */

enum { FREE, TAKEN, TAKEN_AND_WANTED };

static _Atomic uint32_t *lock_word;

static int open_lock(void *memory)
{
    lock_word = memory;
    return IS_HERE ? 0 : -1;
}

static void acquire(_Atomic uint32_t *word)
{
    uint32_t was = FREE;
    if (atomic_compare_exchange_strong(word, &was, TAKEN))
        return;
    while (atomic_exchange(word, TAKEN_AND_WANTED) != FREE)
        wait_while(word, TAKEN_AND_WANTED);
}

static void release(_Atomic uint32_t *word)
{
    if (atomic_exchange(word, FREE) == TAKEN_AND_WANTED)
        wake(word, 1);
}

static int play_lock(unsigned player, unsigned players, uint64_t count)
{
    (void)player;
    (void)players;
    for (uint64_t i = 0; i < count; i++) {
        acquire(lock_word);
        *sync_counter += 1;
        release(lock_word);
    }
    return 0;
}

const sync_object_t sync_futex_lock = {"futex", open_lock, NULL, play_lock, 1};

/* ---- An event ---------------------------------------------------------------------------------------------------- */

enum { CLEAR, SET, CLEAR_AND_WANTED };

static _Atomic uint32_t *event_words[2];

static int open_event(void *memory)
{
    event_words[0] = memory;
    event_words[1] = (_Atomic uint32_t *)memory + SYNC_LINE / sizeof(uint32_t);
    return IS_HERE ? 0 : -1;
}

static void set(_Atomic uint32_t *word)
{
    if (atomic_exchange(word, SET) == CLEAR_AND_WANTED)
        wake(word, INT_MAX);
}

static void wait_and_clear(_Atomic uint32_t *word)
{
    uint32_t now;
    while ((now = atomic_load(word)) != SET)
        if (now == CLEAR_AND_WANTED || atomic_compare_exchange_strong(word, &now, CLEAR_AND_WANTED))
            wait_while(word, CLEAR_AND_WANTED);
    atomic_store(word, CLEAR);
}

static int play_event(unsigned player, unsigned players, uint64_t count)
{
    (void)players;
    for (uint64_t i = 0; i < count; i++) {
        if (player == 1)
            wait_and_clear(event_words[0]);
        set(event_words[player]);
        if (player == 0)
            wait_and_clear(event_words[1]);
    }
    return 0;
}

const sync_object_t sync_futex_event = {"futex-event", open_event, NULL, play_event, 0};
