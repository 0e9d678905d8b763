/* SPDX-License-Identifier: Apache-2.0 */
#include <mproc/wait.h>
#include <mproc/version.h>

#include <stdlib.h>

#include "conn_object.h"
#include "handle.h"
#include "initialize.h"
#include "listener_object.h"
#include "pool_object.h"
#include "process_object.h"
#include "queue_object.h"
#include "subprocess_object.h"

/** What one wait needs; most wait for a few things only. */
typedef struct set_t {
    const char *call;
    sys_wait_t *system; /* one for each item, and one for being woken */
    void **objects;     /* the items' objects, as long as they are in use */
    closable_t **closables;
    size_t count;
    waiter_t *waiter; /* NULL: it only looks */
} set_t;

/** Refuse what is there, but cannot be waited for. */
static apr_status_t check_conn(const conn_t *conn, const char *call)
{
    if (!(sys_stream_directions(conn->stream) & SYS_STREAM_IN))
        return mproc_fail(MPROC_EDIRECTION, "%s: this end of the connection only sends", call);
    if (atomic_load(&conn->is_promised))
        return mproc_fail(MPROC_ESTATE, "%s: the connection was given to a process that is not launched yet", call);
    return APR_SUCCESS;
}

static apr_status_t resolve_queue(set_t *set, size_t index, const mproc_wait_t *item)
{
    shared_t *shared;
    apr_status_t status = queue_acquire(&shared, item->object, HANDLE_QUEUE_GETTER, set->call);
    if (status != APR_SUCCESS)
        return status;
    set->objects[index] = shared;
    set->closables[index] = &shared->closable;
    status = queue_watch_begin(&set->system[index].handle, shared);
    return status == APR_SUCCESS ? status
                                 : mproc_fail(status, "%s: no thread can be had that waits at the queue", set->call);
}

/** The system knows nothing of it: the wait is woken, and looks. */
static apr_status_t resolve_future(set_t *set, size_t index, const mproc_wait_t *item)
{
    future_t *future;
    const apr_status_t status = future_acquire(&future, item->object, set->call);
    if (status != APR_SUCCESS)
        return status;
    set->objects[index] = future;
    set->closables[index] = &future->closable;
    set->system[index].kind = SYS_WAIT_NOTHING;
    return future_watch(future, set->call);
}

/** Find out what to wait for. */
static apr_status_t resolve(set_t *set, size_t index, const mproc_wait_t *item)
{
    const char *call = set->call;
    sys_wait_t *system = &set->system[index];
    apr_status_t status = APR_SUCCESS;
    conn_t *conn;
    listener_t *listener;
    process_t *process;
    subprocess_t *subprocess;
    switch (item->kind) {
    case MPROC_WAIT_NOTHING:
        system->kind = SYS_WAIT_NOTHING;
        break;
    case MPROC_WAIT_CONN:
        status = conn_acquire(&conn, item->object, call);
        if (status != APR_SUCCESS)
            break;
        set->objects[index] = conn;
        set->closables[index] = &conn->closable;
        system->kind = SYS_WAIT_STREAM;
        system->object = conn->stream;
        status = check_conn(conn, call);
        break;
    case MPROC_WAIT_LISTENER:
        status = listener_acquire(&listener, item->object, call);
        if (status != APR_SUCCESS)
            break;
        set->objects[index] = listener;
        set->closables[index] = &listener->closable;
        system->kind = SYS_WAIT_LISTENER;
        system->object = listener->listener;
        break;
    case MPROC_WAIT_PROCESS:
        status = process_acquire(&process, item->object, call);
        if (status != APR_SUCCESS)
            break;
        set->objects[index] = process;
        status = process_find_sentinel(&system->handle, process, call);
        break;
    case MPROC_WAIT_SUBPROCESS:
        status = subprocess_acquire(&subprocess, item->object, call);
        if (status != APR_SUCCESS)
            break;
        set->objects[index] = subprocess;
        system->handle = sys_process_sentinel(subprocess->os);
        break;
    case MPROC_WAIT_QUEUE:
        status = resolve_queue(set, index, item);
        break;
    case MPROC_WAIT_FUTURE:
        status = resolve_future(set, index, item);
        break;
    case MPROC_WAIT_HANDLE:
    case MPROC_WAIT_SOCKET:
        system->kind = item->kind == MPROC_WAIT_HANDLE ? SYS_WAIT_HANDLE : SYS_WAIT_SOCKET;
        system->handle = (sys_handle_t)item->handle;
        break;
    default:
        status = mproc_fail(APR_EINVAL, "%s: item %zu has kind %d", call, index, (int)item->kind);
    }
    return status;
}

/** Give back all objects. */
static void leave(set_t *set, mproc_wait_t *items)
{
    for (size_t i = 0; i < set->count; i++) {
        if (set->closables[i])
            atomic_fetch_sub(&set->closables[i]->waiters, 1);
        if (set->objects[i])
            handle_release(items[i].object);
    }
    if (set->waiter)
        waiter_end(set->waiter);
    free(set->system);
}

/** Take hold of all objects. */
static apr_status_t enter(set_t *set, mproc_wait_t *items, size_t count)
{
    const size_t each = sizeof *set->system + sizeof *set->objects + sizeof *set->closables;
    if (count >= SIZE_MAX / 2 / each)
        return mproc_fail(APR_EINVAL, "%s: %zu items are more than memory can hold", set->call, count);
    set->system = calloc(count + 1, each);
    if (!set->system)
        return mproc_fail(APR_ENOMEM, "%s: no memory for %zu items", set->call, count);
    set->objects = (void **)(void *)(set->system + count + 1);
    set->closables = (closable_t **)(void *)(set->objects + count + 1);
    set->count = count;
    apr_status_t status = APR_SUCCESS;
    /* From the end, so that status and text are those of the first one that is refused. */
    for (size_t i = count; i-- > 0;) {
        mproc_wait_t *item = &items[i];
        item->is_ready = 0;
        item->status = resolve(set, i, item);
        if (set->closables[i])
            atomic_fetch_add(&set->closables[i]->waiters, 1);
        if (item->status != APR_SUCCESS)
            status = item->status;
    }
    return status;
}

/** See which things cannot be waited for any more, and tell of each; the status is that of the first one. */
static apr_status_t check(const set_t *set, mproc_wait_t *items)
{
    apr_status_t status = APR_SUCCESS;
    for (size_t i = 0; i < set->count; i++) {
        /* One that another thread closes can look ready to the system. */
        if (set->closables[i] && atomic_load(&set->closables[i]->is_closed))
            items[i].status = MPROC_ECLOSED;
        else if (set->system[i].is_ready < 0)
            items[i].status = APR_EBADF;
        if (items[i].status == APR_SUCCESS || status != APR_SUCCESS)
            continue;
        status = items[i].status;
        if (status == MPROC_ECLOSED)
            mproc_fail(status, "%s: another thread has closed item %zu", set->call, i);
        else
            mproc_fail(status, "%s: item %zu, handle %lld, cannot be waited for", set->call, i,
                       (long long)items[i].handle);
    }
    return status;
}

/** Mark what is known to be ready. Nobody's turn at a stream is taken: that would be in a receiver's way. */
static void look_ahead(const set_t *set, const mproc_wait_t *items)
{
    for (size_t i = 0; i < set->count; i++) {
        sys_wait_t *system = &set->system[i];
        system->is_ready = 0;
        if (system->kind == SYS_WAIT_STREAM)
            system->is_ready = atomic_load(&((const conn_t *)set->objects[i])->has_ahead);
        else if (items[i].kind == MPROC_WAIT_QUEUE)
            system->is_ready = queue_watch_look(set->objects[i]);
        else if (items[i].kind == MPROC_WAIT_FUTURE)
            system->is_ready = future_has_ended(set->objects[i]);
    }
}

/** Drop the queues that look ready to the system only, as somebody has got what there was: how many. */
static size_t drop_late_ones(const set_t *set, const mproc_wait_t *items)
{
    size_t dropped = 0;
    for (size_t i = 0; i < set->count; i++) {
        if (items[i].kind != MPROC_WAIT_QUEUE || set->system[i].is_ready != 1 || queue_watch_look(set->objects[i]))
            continue;
        set->system[i].is_ready = 0;
        dropped++;
    }
    return dropped;
}

/** Wait, with all objects in hold. */
static apr_status_t wait_for_any(set_t *set, mproc_wait_t *items, apr_interval_time_t timeout)
{
    /* To look takes nothing, and is done also where there is nothing to wait by. */
    const apr_status_t unable = timeout == 0 ? APR_SUCCESS : waiter_begin(&set->waiter, NULL);
    const sys_time_t deadline = set->waiter ? process_deadline(timeout) : 0;
    sys_wait_t *wake = &set->system[set->count];
    apr_status_t status;
    size_t ready = 0;
    do {
        if (set->waiter)
            waiter_reset(set->waiter);
        status = check(set, items);
        if (status != APR_SUCCESS)
            return status;
        look_ahead(set, items);
        *wake = (sys_wait_t){.kind = SYS_WAIT_NOTHING};
        if (set->waiter)
            *wake = (sys_wait_t){SYS_WAIT_HANDLE, set->waiter->event.sentinel, NULL, 0};
        status = sys_wait_any(set->system, set->count + 1, &ready, deadline);
        if (status == APR_SUCCESS)
            ready -= drop_late_ones(set, items) + (wake->is_ready != 0);
        /* What others get each time, before this thread sees it, keeps it no longer than that. */
        if (status == APR_SUCCESS && ready == 0 && sys_now() >= deadline)
            status = APR_TIMEUP;
    } while (status == APR_SUCCESS && ready == 0);
    if (status == APR_TIMEUP && unable != APR_SUCCESS)
        return mproc_fail(unable, "%s: there is nothing left to wait by", set->call);
    if (status != APR_SUCCESS)
        return mproc_fail(status, status == APR_TIMEUP ? "%s: the time is up" : "%s failed", set->call);
    status = check(set, items);
    for (size_t i = 0; i < set->count && status == APR_SUCCESS; i++)
        items[i].is_ready = set->system[i].is_ready;
    return status;
}

/** Wait for the public function `call`. */
static apr_status_t wait_in_call(mproc_wait_t *items, size_t count, apr_interval_time_t timeout, const char *call)
{
    set_t set = {.call = call};
    apr_status_t status = enter(&set, items, count);
    if (status == APR_SUCCESS)
        status = wait_for_any(&set, items, timeout);
    leave(&set, items);
    return status;
}

apr_status_t mproc_wait_sized(mproc_wait_t *items, size_t item_size, size_t count, apr_interval_time_t timeout)
{
    const apr_status_t status = library_check_initialized("mproc_wait");
    if (status != APR_SUCCESS)
        return status;
    if (count && !items)
        return mproc_fail(APR_EINVAL, "mproc_wait: the items are NULL, but their count is %zu", count);
    if (item_size != sizeof *items)
        return mproc_fail(MPROC_EBUILD, "mproc_wait: the program was built for another libmproc than %s",
                          mproc_version());
    return wait_in_call(items, count, timeout, "mproc_wait");
}

apr_status_t mproc_conn_poll(mproc_conn_t *conn, apr_interval_time_t timeout)
{
    mproc_wait_t item = mproc_wait_conn(conn);
    return wait_in_call(&item, 1, timeout, "mproc_conn_poll");
}
