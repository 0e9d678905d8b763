/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "stream.h"

/**
 * The milliseconds from now to a deadline, rounded up so that a wait never ends early; but not more than some seconds:
 * what the program closes meanwhile wakes nobody, and is seen only by who looks again.
 */
static int milliseconds_to(sys_time_t deadline)
{
    enum { LONGEST = 5000 };
    if (deadline == SYS_NEVER)
        return LONGEST;
    if (deadline == 0)
        return 0;
    const sys_time_t left = deadline - sys_now();
    if (left <= 0)
        return 0;
    return left / 1000 >= LONGEST ? LONGEST : (int)((left + 999) / 1000);
}

apr_status_t sys_wait(sys_handle_t handle, sys_time_t deadline)
{
    struct pollfd item = {.fd = (int)handle, .events = POLLIN};
    for (;;) {
        const int ready = poll(&item, 1, milliseconds_to(deadline));
        if (ready > 0)
            return item.revents & POLLNVAL ? APR_EBADF : APR_SUCCESS;
        if (ready < 0 && errno != EINTR)
            return errno;
        if (deadline != SYS_NEVER && sys_now() >= deadline)
            return APR_TIMEUP;
    }
}

apr_status_t unix_wait_for(int fd, short events, sys_time_t deadline, sys_handle_t stop)
{
    struct pollfd items[2] = {{.fd = fd, .events = events}, {.fd = (int)stop, .events = POLLIN}};
    if (deadline == 0)
        return APR_TIMEUP;
    for (;;) {
        const int ready = poll(items, 2, milliseconds_to(deadline));
        if (ready < 0 && errno != EINTR)
            return errno;
        if (ready > 0 && (items[0].revents & POLLNVAL))
            return APR_EBADF;
        /* What can be done goes before being stopped. */
        if (ready > 0)
            return items[0].revents ? APR_SUCCESS : APR_EINTR;
        if (deadline != SYS_NEVER && sys_now() >= deadline)
            return APR_TIMEUP;
    }
}

/* ---- Any of several -------------------- */

/** What to give poll() of a thing; -1: nothing. */
static int descriptor_of(const sys_wait_t *item, short *events)
{
    *events = POLLIN;
    switch (item->kind) {
    case SYS_WAIT_STREAM:
        return (int)sys_stream_handle(item->object);
    case SYS_WAIT_LISTENER:
        return unix_listener_descriptor(item->object);
    case SYS_WAIT_CHANNEL:
        return unix_channel_descriptor(item->object, events);
    case SYS_WAIT_NOTHING:
        return -1;
    default:
        return (int)item->handle;
    }
}

/**
 * List what the system is to look at, and tell how many those are. It takes no more than a process may have
 * descriptors, so what has none is left out: nothing, which is never ready, and what is no descriptor at all.
 */
static size_t list_descriptors(struct pollfd *polled, sys_wait_t *items, size_t count, int *is_any_ready)
{
    size_t listed = 0;
    *is_any_ready = 0;
    for (size_t i = 0; i < count; i++) {
        short events;
        const int fd = descriptor_of(&items[i], &events);
        if (fd >= 0)
            polled[listed++] = (struct pollfd){.fd = fd, .events = events};
        else if (items[i].kind != SYS_WAIT_NOTHING)
            items[i].is_ready = -1;
        *is_any_ready |= items[i].is_ready != 0;
    }
    return listed;
}

/** Note what poll() has found, and tell how many are ready. */
static size_t take_results(sys_wait_t *items, size_t count, const struct pollfd *polled)
{
    size_t ready = 0;
    for (size_t i = 0; i < count; i++) {
        short unused;
        if (descriptor_of(&items[i], &unused) >= 0) {
            if (polled->revents)
                items[i].is_ready = polled->revents & POLLNVAL ? -1 : 1;
            polled++;
        }
        ready += items[i].is_ready != 0;
    }
    return ready;
}

apr_status_t sys_wait_any(sys_wait_t *items, size_t count, size_t *ready, sys_time_t deadline)
{
    struct pollfd few[32];
    struct pollfd *polled = count <= sizeof few / sizeof few[0] ? few : calloc(count, sizeof *polled);
    apr_status_t status = APR_SUCCESS;
    int is_any_ready;
    *ready = 0;
    if (!polled)
        return APR_ENOMEM;
    const size_t listed = list_descriptors(polled, items, count, &is_any_ready);
    for (;;) {
        const int found = poll(polled, (nfds_t)listed, is_any_ready ? 0 : milliseconds_to(deadline));
        if (found < 0 && errno == EINTR)
            continue;
        if (found < 0)
            status = errno;
        else
            *ready = take_results(items, count, polled);
        if (status != APR_SUCCESS || *ready > 0)
            break;
        if (deadline != SYS_NEVER && sys_now() >= deadline) {
            status = APR_TIMEUP;
            break;
        }
    }
    if (polled != few)
        free(polled);
    return status;
}
