/* SPDX-License-Identifier: Apache-2.0 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "stream.h"

/* The longest single wait, far below INFINITE. */
enum { WAIT_MAX = 0x7fffffff };

/** The milliseconds from now to a deadline, rounded up so that a wait never ends early. */
static DWORD milliseconds_to(sys_time_t deadline)
{
    if (deadline == SYS_NEVER)
        return INFINITE;
    if (deadline == 0)
        return 0;
    const sys_time_t left = deadline - sys_now();
    if (left <= 0)
        return 0;
    return left / 1000 >= WAIT_MAX ? WAIT_MAX : (DWORD)((left + 999) / 1000);
}

static int is_over(sys_time_t deadline)
{
    return deadline != SYS_NEVER && sys_now() >= deadline;
}

apr_status_t sys_wait(sys_handle_t handle, sys_time_t deadline)
{
    return win32_wait_for((HANDLE)handle, deadline, SYS_NO_HANDLE);
}

apr_status_t win32_wait_for(HANDLE handle, sys_time_t deadline, sys_handle_t stop)
{
    const HANDLE handles[2] = {handle, (HANDLE)stop};
    for (;;) {
        switch (WaitForMultipleObjects(stop == SYS_NO_HANDLE ? 1 : 2, handles, FALSE, milliseconds_to(deadline))) {
        case WAIT_OBJECT_0:
        case WAIT_ABANDONED_0:
            return APR_SUCCESS;
        /* What can be done goes before being stopped. */
        case WAIT_OBJECT_0 + 1:
            return APR_EINTR;
        case WAIT_FAILED:
            return win32_error();
        default:
            if (is_over(deadline))
                return APR_TIMEUP;
        }
    }
}

/* ---- Events ------------------------------------------------------------------------------------------------------ */

apr_status_t sys_event_create(sys_event_t *event)
{
    *event = (sys_event_t){.sentinel = SYS_NO_HANDLE, .setter = SYS_NO_HANDLE};
    HANDLE made = CreateEventW(NULL, TRUE, FALSE, NULL);
    if (!made)
        return win32_error();
    event->sentinel = event->setter = (sys_handle_t)made;
    return APR_SUCCESS;
}

/** Whether a handle is one of an event that nobody has to reset, as ours are. */
static int is_event(HANDLE handle)
{
    typedef LONG(NTAPI * query_t)(HANDLE, int, void *, ULONG, ULONG *);
    enum { BASIC = 0, NOTIFICATION = 0 };
    static _Atomic(query_t) known;
    struct {
        int type;
        LONG is_set;
    } found;
    query_t query = atomic_load(&known);
    if (!query) {
        query = (query_t)win32_kernel_function("NtQueryEvent");
        atomic_store(&known, query);
    }
    return !query || (query(handle, BASIC, &found, sizeof found, NULL) >= 0 && found.type == NOTIFICATION);
}

void sys_event_know(sys_event_t *event)
{
    (void)event;
}

apr_status_t sys_event_adopt(sys_event_t *event, sys_handle_t setter)
{
    *event = (sys_event_t){.sentinel = SYS_NO_HANDLE, .setter = SYS_NO_HANDLE};
    if (!is_event((HANDLE)setter))
        return APR_EBADF;
    event->setter = setter;
    event->identity[0] = 1;
    return APR_SUCCESS;
}

int sys_event_is_intact(const sys_event_t *event)
{
    if (event->setter == SYS_NO_HANDLE)
        return 0;
    return event->identity[0] == 0 || is_event((HANDLE)event->setter);
}

void sys_event_set(sys_event_t *event)
{
    SetEvent((HANDLE)event->setter);
}

void sys_event_reset(sys_event_t *event)
{
    ResetEvent((HANDLE)event->sentinel);
}

void sys_event_close(sys_event_t *event)
{
    /* The sentinel is the same, or there is none. */
    if (sys_event_is_intact(event))
        sys_handle_close(event->setter);
    event->sentinel = event->setter = SYS_NO_HANDLE;
}

/* ---- Any of several ---------------------------------------------------------------------------------------------- */

/** One of several things. */
typedef struct target_t {
    HANDLE handle;              /* what is waited for; NULL: nothing, or not any more */
    HANDLE event;               /* it, if it was made for this */
    HANDLE any;                 /* set when this one is signalled, see wait_for_many() */
    HANDLE registration;        /* with the system's own threads */
    volatile LONG is_signalled; /* a wait for it has ended: that may have changed it, so it is not waited for again */
    int is_under_way;           /* there is something to end */
    win32_poll_t poll;
} target_t;

/** Begin to wait for a socket. */
static apr_status_t begin_socket(target_t *target, sys_wait_t *item)
{
    if (!target->event)
        target->event = CreateEventW(NULL, TRUE, FALSE, NULL);
    if (!target->event)
        return win32_error();
    const apr_status_t status = win32_poll_begin(&target->poll, (SOCKET)item->handle, target->event);
    item->is_ready = status == APR_SUCCESS ? 1 : status == APR_EINPROGRESS ? 0 : -1;
    target->is_under_way = status == APR_EINPROGRESS;
    target->handle = target->is_under_way ? target->event : NULL;
    return status == APR_ENOTIMPL ? status : APR_SUCCESS;
}

/** Begin to wait for a stream, or look at it again. */
static apr_status_t begin_stream(target_t *target, sys_wait_t *item)
{
    const apr_status_t status = target->is_under_way ? APR_SUCCESS : win32_probe_enter(item->object);
    if (status != APR_SUCCESS)
        return status;
    target->is_under_way = 1;
    target->handle = win32_probe_event(item->object);
    item->is_ready = win32_probe_look(item->object) != APR_EINPROGRESS;
    return APR_SUCCESS;
}

/** Begin to wait for one thing; an APR_SUCCESS does not mean that it can be waited for. */
static apr_status_t begin(target_t *target, sys_wait_t *item)
{
    target->is_signalled = 0;
    target->handle = NULL;
    switch (item->kind) {
    case SYS_WAIT_HANDLE:
        /* Negative numbers stand for processes and threads, and for none. */
        if (item->handle > 0)
            target->handle = (HANDLE)item->handle;
        else
            item->is_ready = -1;
        return APR_SUCCESS;
    case SYS_WAIT_LISTENER:
        item->is_ready = win32_listener_is_ready(item->object);
        target->handle = win32_listener_event(item->object);
        return APR_SUCCESS;
    case SYS_WAIT_CHANNEL:
        item->is_ready = win32_channel_look(item->object) != APR_EINPROGRESS;
        target->handle = win32_channel_event(item->object);
        return APR_SUCCESS;
    case SYS_WAIT_SOCKET:
        return begin_socket(target, item);
    case SYS_WAIT_STREAM:
        return begin_stream(target, item);
    default:
        return APR_SUCCESS;
    }
}

/** See what came of a thing that was signalled, and begin anew if that was nothing. */
static apr_status_t go_on(target_t *target, sys_wait_t *item)
{
    if (item->kind == SYS_WAIT_HANDLE)
        item->is_ready = 1;
    else if (item->kind == SYS_WAIT_SOCKET && target->is_under_way) {
        target->is_under_way = 0;
        item->is_ready = win32_poll_finish(&target->poll, 0);
    }
    return item->is_ready == 0 ? begin(target, item) : APR_SUCCESS;
}

/** End what was begun; `is_last`: what has come in the last moment counts, too. */
static void end(target_t *target, sys_wait_t *item, int is_last)
{
    if (target->is_under_way && item->kind == SYS_WAIT_SOCKET) {
        item->is_ready = win32_poll_finish(&target->poll, 1);
    } else if (target->is_under_way) {
        if (item->is_ready == 0 && is_last)
            item->is_ready = win32_probe_look_last(item->object) != APR_EINPROGRESS;
        win32_probe_leave(item->object);
    }
    target->is_under_way = 0;
    win32_close(target->event);
}

/** Look at all things that are not known to be signalled: how many are. */
static size_t look(target_t *targets, sys_wait_t *items, size_t count)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        target_t *target = &targets[i];
        if (!target->handle || target->is_signalled)
            continue;
        const DWORD result = WaitForSingleObject(target->handle, 0);
        target->is_signalled = result != WAIT_TIMEOUT;
        if (result == WAIT_FAILED)
            items[i].is_ready = -1;
        found += target->is_signalled != 0;
    }
    return found;
}

/** Wait for a few things: as many as the system takes at once. */
static apr_status_t wait_for_few(target_t *targets, size_t count, sys_time_t deadline)
{
    HANDLE handles[MAXIMUM_WAIT_OBJECTS];
    target_t *of[MAXIMUM_WAIT_OBJECTS];
    DWORD used = 0;
    for (size_t i = 0; i < count; i++) {
        if (targets[i].handle && !targets[i].is_signalled) {
            of[used] = &targets[i];
            handles[used++] = targets[i].handle;
        }
    }
    const DWORD milliseconds = milliseconds_to(deadline);
    if (used == 0) {
        Sleep(milliseconds);
        return APR_SUCCESS;
    }
    const DWORD result = WaitForMultipleObjects(used, handles, FALSE, milliseconds);
    if (result < WAIT_OBJECT_0 + used)
        of[result - WAIT_OBJECT_0]->is_signalled = 1;
    else if (result >= WAIT_ABANDONED_0 && result < WAIT_ABANDONED_0 + used)
        of[result - WAIT_ABANDONED_0]->is_signalled = 1;
    return result == WAIT_FAILED ? win32_error() : APR_SUCCESS;
}

static void CALLBACK note_signal(void *context, BOOLEAN timed_out)
{
    target_t *target = context;
    (void)timed_out;
    InterlockedExchange(&target->is_signalled, 1);
    SetEvent(target->any);
}

/** Wait for any number of things, by threads that the system has for that. */
static apr_status_t wait_for_many(target_t *targets, size_t count, sys_time_t deadline)
{
    apr_status_t status = APR_SUCCESS;
    HANDLE any = CreateEventW(NULL, TRUE, FALSE, NULL);
    if (!any)
        return win32_error();
    for (size_t i = 0; i < count && status == APR_SUCCESS; i++) {
        target_t *target = &targets[i];
        target->any = any;
        target->registration = NULL;
        if (target->handle && !target->is_signalled &&
            !RegisterWaitForSingleObject(&target->registration, target->handle, note_signal, target, INFINITE,
                                         WT_EXECUTEINWAITTHREAD | WT_EXECUTEONLYONCE))
            status = win32_error();
    }
    if (status == APR_SUCCESS && WaitForSingleObject(any, milliseconds_to(deadline)) == WAIT_FAILED)
        status = win32_error();
    for (size_t i = 0; i < count; i++) {
        /* With this, what was signalled has been noted. */
        if (targets[i].registration)
            UnregisterWaitEx(targets[i].registration, INVALID_HANDLE_VALUE);
        targets[i].registration = NULL;
    }
    win32_close(any);
    return status;
}

/** Let what was signalled be ready, where that is so; the others begin anew. */
static apr_status_t take_results(target_t *targets, sys_wait_t *items, size_t count, size_t *ready)
{
    apr_status_t status = APR_SUCCESS;
    *ready = 0;
    for (size_t i = 0; i < count; i++) {
        sys_wait_t *item = &items[i];
        if (targets[i].is_signalled && item->is_ready == 0 && status == APR_SUCCESS)
            status = go_on(&targets[i], item);
        *ready += item->is_ready != 0;
    }
    return status;
}

/** Wait for things that were begun. */
static apr_status_t wait_for_any(target_t *targets, sys_wait_t *items, size_t count, size_t *ready, sys_time_t deadline)
{
    for (;;) {
        /* What is ready already is found first, and all of it. */
        const size_t found = look(targets, items, count);
        apr_status_t status = take_results(targets, items, count, ready);
        if (status != APR_SUCCESS || *ready > 0)
            return status;
        if (is_over(deadline))
            return APR_TIMEUP;
        if (found > 0)
            continue;
        status = count <= MAXIMUM_WAIT_OBJECTS ? wait_for_few(targets, count, deadline)
                                               : wait_for_many(targets, count, deadline);
        /* A handle that was closed meanwhile is found by looking at each. */
        if (status != APR_SUCCESS && look(targets, items, count) == 0)
            return status;
    }
}

apr_status_t sys_wait_any(sys_wait_t *items, size_t count, size_t *ready, sys_time_t deadline)
{
    target_t few[4];
    target_t *targets = count <= sizeof few / sizeof few[0] ? few : calloc(count, sizeof *targets);
    apr_status_t status = APR_SUCCESS;
    *ready = 0;
    if (!targets)
        return APR_ENOMEM;
    memset(targets, 0, count * sizeof *targets);
    for (size_t i = 0; i < count && status == APR_SUCCESS; i++)
        if (items[i].is_ready == 0)
            status = begin(&targets[i], &items[i]);
    if (status == APR_SUCCESS)
        status = wait_for_any(targets, items, count, ready, deadline);
    const int has_waited = status == APR_SUCCESS || status == APR_TIMEUP;
    *ready = 0;
    for (size_t i = 0; i < count; i++) {
        end(&targets[i], &items[i], status == APR_TIMEUP);
        *ready += has_waited && items[i].is_ready != 0;
    }
    if (targets != few)
        free(targets);
    return *ready > 0 ? APR_SUCCESS : status;
}
