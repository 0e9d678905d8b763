/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include <apr_general.h>
#include <apr_pools.h>
#include <apr_proc_mutex.h>

#include "sync_objects.h"

static apr_pool_t *pool;
static apr_proc_mutex_t *mutex;

static int open_mutex(void *memory)
{
    (void)memory;
    return apr_initialize() == APR_SUCCESS && apr_pool_create(&pool, NULL) == APR_SUCCESS &&
                   apr_proc_mutex_create(&mutex, NULL, APR_LOCK_DEFAULT, pool) == APR_SUCCESS
               ? 0
               : -1;
}

static int open_in_child(void)
{
    return apr_proc_mutex_child_init(&mutex, NULL, pool) == APR_SUCCESS ? 0 : -1;
}

static int play(unsigned player, unsigned players, uint64_t count)
{
    (void)player;
    (void)players;
    for (uint64_t i = 0; i < count; i++) {
        if (apr_proc_mutex_lock(mutex) != APR_SUCCESS)
            return -1;
        *sync_counter += 1;
        if (apr_proc_mutex_unlock(mutex) != APR_SUCCESS)
            return -1;
    }
    return 0;
}

const sync_object_t sync_apr = {"apr", open_mutex, open_in_child, play, 1};
