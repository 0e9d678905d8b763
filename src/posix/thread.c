/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <signal.h>

#include "unix.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static _Atomic int is_made; /* threads may begin while the program ends */

/** The system has taken the value away, and would call again for what is registered meanwhile, but only some times. */
static void call(void *value)
{
    while (value) {
        const sys_thread_exit_t *const at_exit = value;
        pthread_setspecific(key, at_exit->next);
        at_exit->function(at_exit->context);
        value = pthread_getspecific(key);
    }
}

static void make_key(void)
{
    is_made = pthread_key_create(&key, call) == 0;
}

/** When the library is unloaded: threads that end later are not to call what is no longer there. */
__attribute__((destructor)) static void delete_key(void)
{
    if (is_made)
        pthread_key_delete(key);
    is_made = 0;
}

apr_status_t sys_at_thread_exit(sys_thread_exit_t *at_exit, void (*function)(void *context), void *context)
{
    if (pthread_once(&once, make_key) != 0 || !is_made)
        return APR_ENOMEM;
    *at_exit = (sys_thread_exit_t){.function = function, .context = context, .next = pthread_getspecific(key)};
    return pthread_setspecific(key, at_exit) == 0 ? APR_SUCCESS : APR_ENOMEM;
}

static _Thread_local sigset_t held;

void sys_hold_signals(void)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &held);
}

void sys_let_signals(void)
{
    pthread_sigmask(SIG_SETMASK, &held, NULL);
}

static _Thread_local int lets_children;

void sys_let_signals_of_children(void)
{
    lets_children = 1;
}

void unix_let_signals_of_child(sigset_t *held_by_creator)
{
    if (lets_children)
        sigemptyset(held_by_creator);
    lets_children = 0;
}
