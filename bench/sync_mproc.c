/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include <mproc/mproc.h>

#include "sync_objects.h"

/* The children are forked, and use the handles that their creator has. */
static mproc_lock_t *lock, *recursive;
static mproc_semaphore_t *semaphore;
static mproc_barrier_t *barriers[SYNC_PLAYERS + 1];
static mproc_event_t *events[2];
static mproc_condition_t *condition;
static volatile unsigned *turn;

/** A function is no data: it gets into the child by being there before the fork. */
static void (*serve_in_child)(void);

static int complain_unless(apr_status_t status)
{
    if (status == APR_SUCCESS)
        return 0;
    fprintf(stderr, "mproc: %s\n", mproc_last_error()->text);
    return -1;
}

int sync_mproc_begin(void)
{
    return complain_unless(mproc_initialize(0, NULL));
}

static int run(mproc_call_t *call)
{
    (void)call;
    serve_in_child();
    return 0;
}

int sync_mproc_start(void (*serve)(void))
{
    const mproc_process_opts_t opts = {.start_method = MPROC_FORK, .daemon = 1};
    mproc_process_t *child;
    serve_in_child = serve;
    return complain_unless(mproc_process_start(&child, run, &opts));
}

/* ---- Locks and semaphores ---------------------------------------------------------------------------------------- */

static int open_lock(void *memory)
{
    (void)memory;
    return complain_unless(mproc_lock_create(&lock, NULL));
}

static int open_recursive(void *memory)
{
    const mproc_lock_opts_t opts = {.recursive = 1};
    (void)memory;
    return complain_unless(mproc_lock_create(&recursive, &opts));
}

static int open_semaphore(void *memory)
{
    (void)memory;
    return complain_unless(mproc_semaphore_create(&semaphore, 1, NULL));
}

static int play_with(mproc_lock_t *one, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        if (mproc_lock_acquire(one, MPROC_FOREVER) != APR_SUCCESS)
            return -1;
        *sync_counter += 1;
        if (mproc_lock_release(one) != APR_SUCCESS)
            return -1;
    }
    return 0;
}

static int play_lock(unsigned player, unsigned players, uint64_t count)
{
    (void)player;
    (void)players;
    return play_with(lock, count);
}

static int play_recursive(unsigned player, unsigned players, uint64_t count)
{
    (void)player;
    (void)players;
    return play_with(recursive, count);
}

static int play_semaphore(unsigned player, unsigned players, uint64_t count)
{
    (void)player;
    (void)players;
    for (uint64_t i = 0; i < count; i++) {
        if (mproc_semaphore_acquire(semaphore, MPROC_FOREVER) != APR_SUCCESS)
            return -1;
        *sync_counter += 1;
        if (mproc_semaphore_release(semaphore) != APR_SUCCESS)
            return -1;
    }
    return 0;
}

const sync_object_t sync_mproc_lock = {"lock", open_lock, NULL, play_lock, 1};
const sync_object_t sync_mproc_recursive = {"recursive", open_recursive, NULL, play_recursive, 1};
const sync_object_t sync_mproc_semaphore = {"semaphore", open_semaphore, NULL, play_semaphore, 1};

/* ---- Barriers, events, conditions -------------------------------------------------------------------------------- */

static int open_barrier(void *memory)
{
    (void)memory;
    for (unsigned parties = 2; parties <= SYNC_PLAYERS; parties++)
        if (complain_unless(mproc_barrier_create(&barriers[parties], parties, NULL)) != 0)
            return -1;
    return 0;
}

static int play_barrier(unsigned player, unsigned players, uint64_t count)
{
    (void)player;
    for (uint64_t i = 0; i < count; i++)
        if (mproc_barrier_wait(barriers[players], NULL, MPROC_FOREVER) != APR_SUCCESS)
            return -1;
    return 0;
}

static int open_event(void *memory)
{
    (void)memory;
    for (int i = 0; i < 2; i++)
        if (complain_unless(mproc_event_create(&events[i], NULL)) != 0)
            return -1;
    return 0;
}

/** Wait to be told. */
static int hear(mproc_event_t *event)
{
    return mproc_event_wait(event, MPROC_FOREVER) == APR_SUCCESS && mproc_event_clear(event) == APR_SUCCESS ? 0 : -1;
}

static int play_event(unsigned player, unsigned players, uint64_t count)
{
    (void)players;
    for (uint64_t i = 0; i < count; i++) {
        if ((player == 1 && hear(events[0]) != 0) || mproc_event_set(events[player]) != APR_SUCCESS ||
            (player == 0 && hear(events[1]) != 0))
            return -1;
    }
    return 0;
}

static int open_condition(void *memory)
{
    turn = memory;
    return complain_unless(mproc_condition_create(&condition, NULL));
}

static int play_condition(unsigned player, unsigned players, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        if (mproc_condition_acquire(condition, MPROC_FOREVER) != APR_SUCCESS)
            return -1;
        while (*turn != player)
            if (mproc_condition_wait(condition, MPROC_FOREVER) != APR_SUCCESS)
                return -1;
        *turn = (player + 1) % players;
        if (mproc_condition_notify(condition, 1) != APR_SUCCESS || mproc_condition_release(condition) != APR_SUCCESS)
            return -1;
    }
    return 0;
}

const sync_object_t sync_mproc_barrier = {"barrier", open_barrier, NULL, play_barrier, 0};
const sync_object_t sync_mproc_event = {"event", open_event, NULL, play_event, 0};
const sync_object_t sync_mproc_condition = {"condition", open_condition, NULL, play_condition, 0};
