/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
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

/* Those who wait for it to close go first: else a fork could wait for ever while descriptors come and come. */
#if defined(MPROC_HAVE_RWLOCK_PREFERRING_WRITERS)
#define OPEN_GATE PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP
#else
#define OPEN_GATE PTHREAD_RWLOCK_INITIALIZER
#endif

static pthread_rwlock_t gate = OPEN_GATE;
static int is_new_gate;

void unix_fork_gate_enter(void)
{
    pthread_rwlock_rdlock(&gate);
}

void unix_fork_gate_leave(void)
{
    pthread_rwlock_unlock(&gate);
}

static void close_gate(void)
{
    pthread_rwlock_wrlock(&gate);
}

/* Only the thread that took such a lock for writing can let it go, and a forked child's is another to the system. */
static void renew_gate(void)
{
    gate = (pthread_rwlock_t)OPEN_GATE;
    is_new_gate = 1;
}

static void open_gate(void)
{
    if (is_new_gate)
        is_new_gate = 0;
    else
        pthread_rwlock_unlock(&gate);
}

/* ---- Registering -------------------- */

int unix_at_fork(unix_fork_place_t place, void (*lock)(void), void (*unlock)(void), void (*in_child)(void))
{
    static int registered;
    if (!registered && pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child) != 0)
        return -1;
    registered = 1;
    table[UNIX_FORK_GATE] = (handlers_t){close_gate, open_gate, renew_gate};
    table[place] = (handlers_t){lock, unlock, in_child};
    return 0;
}

apr_status_t sys_at_fork(sys_fork_order_t order, void (*lock)(void), void (*unlock)(void), void (*in_child)(void))
{
    const unix_fork_place_t place = order == SYS_FORK_FIRST ? UNIX_FORK_CORE_FIRST : UNIX_FORK_CORE_LAST;
    return unix_at_fork(place, lock, unlock, in_child) == 0 ? APR_SUCCESS : APR_ENOMEM;
}
