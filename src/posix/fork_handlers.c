/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>

#include "unix.h"

typedef struct handlers_t {
    void (*lock)(void);
    void (*unlock)(void);
    void (*in_child)(void);
} handlers_t;

static handlers_t table[UNIX_FORK_PLACES];

static void before_fork(void)
{
    if (unix_is_spawning())
        return;
    for (int i = 0; i < UNIX_FORK_PLACES; i++)
        if (table[i].lock)
            table[i].lock();
}

static void unlock_all(void)
{
    for (int i = UNIX_FORK_PLACES; i-- > 0;)
        if (table[i].unlock)
            table[i].unlock();
}

static void after_fork_in_parent(void)
{
    if (!unix_is_spawning())
        unlock_all();
}

static void after_fork_in_child(void)
{
    if (unix_is_spawning())
        return;
    for (int i = 0; i < UNIX_FORK_PLACES; i++)
        if (table[i].in_child)
            table[i].in_child();
    unlock_all();
}

/* ---- The gate -------------------- */

/*
 * No lock for readers and a writer: only the thread that took such a one for writing can let it go, and a forked
 * child's is another to the system. Those who are inside do not wait for anything, so a fork waits for them without
 * sleeping.
 */
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static atomic_uint inside;

void unix_fork_gate_enter(void)
{
    pthread_mutex_lock(&gate);
    atomic_fetch_add_explicit(&inside, 1, memory_order_relaxed);
    pthread_mutex_unlock(&gate);
}

void unix_fork_gate_leave(void)
{
    atomic_fetch_sub_explicit(&inside, 1, memory_order_release);
}

static void close_gate(void)
{
    pthread_mutex_lock(&gate);
    while (atomic_load_explicit(&inside, memory_order_acquire) > 0)
        sched_yield();
}

static void open_gate(void)
{
    pthread_mutex_unlock(&gate);
}

/* ---- Registering -------------------- */

int unix_at_fork(unix_fork_place_t place, void (*lock)(void), void (*unlock)(void), void (*in_child)(void))
{
    static int registered;
    if (!registered && pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child) != 0)
        return -1;
    registered = 1;
    table[UNIX_FORK_GATE] = (handlers_t){close_gate, open_gate, NULL};
    table[place] = (handlers_t){lock, unlock, in_child};
    return 0;
}

apr_status_t sys_at_fork(sys_fork_order_t order, void (*lock)(void), void (*unlock)(void), void (*in_child)(void))
{
    const unix_fork_place_t place = order == SYS_FORK_FIRST ? UNIX_FORK_CORE_FIRST : UNIX_FORK_CORE_LAST;
    return unix_at_fork(place, lock, unlock, in_child) == 0 ? APR_SUCCESS : APR_ENOMEM;
}
