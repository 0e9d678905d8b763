/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A queue among what the system can wait for. Nothing of the system's knows when another process puts something into
 * shared memory; so, when such a thing is asked for, a thread of this process waits at the queue, and sets an event. It
 * is reset by whoever of this process finds the queue empty, and so a getter that gets what is there resets nothing.
 */
#include <stdlib.h>

#include <apr_thread_proc.h>

#include "error.h"
#include "process_object.h"
#include "queue_object.h"

/** What a handle has of it. */
typedef struct watch_t {
    shared_t *shared;
    sys_event_t ready;   /* there may be something */
    sys_event_t emptied; /* and now there is nothing: the thread is to wait for it anew */
    _Atomic int is_set;  /* `ready`; both change together, with process_lock() */
    _Atomic int is_over;
    apr_allocator_t *allocator;
    apr_pool_t *pool;
    apr_thread_t *thread;
} watch_t;

/** Whether a getter would have something to do: an item, or the end. */
static int is_ready(queue_t *queue)
{
    return queue_size(queue) > 0 || queue_is_finished(queue);
}

/** Sleep until there is something, or not: as a getter does who gets nothing. */
static void sleep_until_filled(shared_t *shared, queue_t *queue)
{
    const uint32_t bell = shm_load(&queue->filled);
    ring_t *ring = queue_ring(&queue->put_ring);
    const uint64_t tail = shm_load64(&ring->tail);
    if (queue_size(queue) > 0)
        return;
    if (!(tail & RING_SLEEPERS) && !shm_replace64(&ring->tail, tail, tail | RING_SLEEPERS))
        return;
    shared_watch(shared, &queue->filled, bell, SYS_NEVER);
    /* The wake may have been meant for one who gets. Passed on for nothing, it would go round among those who watch. */
    queue_pass_on_item(queue);
}

static void *APR_THREAD_FUNC run(apr_thread_t *self, void *context)
{
    watch_t *watch = context;
    queue_t *queue = queue_behind(watch->shared);
    (void)self;
    while (!atomic_load(&watch->is_over) && !shared_is_closed(watch->shared)) {
        if (!is_ready(queue)) {
            sleep_until_filled(watch->shared, queue);
            continue;
        }
        process_lock();
        atomic_store(&watch->is_set, 1);
        sys_event_set(&watch->ready);
        process_unlock();
        sys_wait(watch->emptied.sentinel, SYS_NEVER);
        sys_event_reset(&watch->emptied);
    }
    /* Whoever waits finds out that it is closed. */
    sys_event_set(&watch->ready);
    return NULL;
}

static void free_watch(watch_t *watch)
{
    sys_event_close(&watch->ready);
    sys_event_close(&watch->emptied);
    if (watch->pool)
        apr_pool_destroy(watch->pool);
    if (watch->allocator)
        apr_allocator_destroy(watch->allocator);
    free(watch);
}

/** The handle is closed, or this is a forked child, where the thread is not. */
static void end(void *context, int is_forked)
{
    apr_status_t result;
    watch_t *watch = context;
    if (is_forked) {
        free(watch);
        return;
    }
    atomic_store(&watch->is_over, 1);
    sys_event_set(&watch->emptied);
    apr_thread_join(&result, watch->thread);
    free_watch(watch);
}

static apr_status_t begin(watch_t **made, shared_t *shared)
{
    watch_t *watch = *made = calloc(1, sizeof *watch);
    if (!watch)
        return APR_ENOMEM;
    watch->shared = shared;
    watch->ready.sentinel = watch->ready.setter = SYS_NO_HANDLE;
    watch->emptied = watch->ready;
    apr_status_t status = apr_allocator_create(&watch->allocator);
    if (status == APR_SUCCESS)
        status = apr_pool_create_unmanaged_ex(&watch->pool, NULL, watch->allocator);
    if (status == APR_SUCCESS)
        status = sys_event_create(&watch->ready);
    if (status == APR_SUCCESS)
        status = sys_event_create(&watch->emptied);
    sys_hold_signals();
    if (status == APR_SUCCESS)
        status = apr_thread_create(&watch->thread, NULL, run, watch, watch->pool);
    sys_let_signals();
    if (status != APR_SUCCESS)
        free_watch(watch);
    return status;
}

int queue_watch_reset(const shared_t *shared)
{
    watch_t *watch = atomic_load(&shared->watch);
    if (!watch || !atomic_load(&watch->is_set))
        return 0;
    process_lock();
    const int was_set = atomic_exchange(&watch->is_set, 0);
    if (was_set)
        sys_event_reset(&watch->ready);
    process_unlock();
    if (was_set)
        sys_event_set(&watch->emptied);
    return was_set;
}

int queue_watch_look(const shared_t *shared)
{
    queue_t *queue = queue_behind(shared);
    while (!is_ready(queue))
        if (!queue_watch_reset(shared))
            return 0;
    return 1;
}

apr_status_t queue_watch_begin(sys_handle_t *handle, shared_t *shared)
{
    watch_t *watch = NULL;
    apr_status_t status = APR_SUCCESS;
    /* One at a time: another thread may be at it for the same handle. */
    process_lock();
    if (!atomic_load(&shared->watch)) {
        status = begin(&watch, shared);
        if (status == APR_SUCCESS) {
            shared->end_watch = end;
            atomic_store(&shared->watch, watch);
        }
    }
    process_unlock();
    if (status == APR_SUCCESS)
        *handle = ((watch_t *)atomic_load(&shared->watch))->ready.sentinel;
    return status;
}

apr_status_t mproc_queue_fileno(mproc_queue_t *queue, mproc_os_handle_t *handle)
{
    static const char call[] = "mproc_queue_fileno";
    sys_handle_t sentinel;
    shared_t *shared;
    if (!handle)
        return mproc_fail(APR_EINVAL, "%s: nowhere to store the handle: it is NULL", call);
    *handle = MPROC_NO_HANDLE;
    apr_status_t status = queue_acquire(&shared, queue, HANDLE_QUEUE_GETTER, call);
    if (status != APR_SUCCESS)
        return status;
    status = queue_watch_begin(&sentinel, shared);
    if (status == APR_SUCCESS)
        *handle = (mproc_os_handle_t)sentinel;
    else
        mproc_fail(status, "%s: no thread can be had that waits at the queue", call);
    shared_release(shared);
    return status;
}
