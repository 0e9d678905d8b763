/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Data to programs and from them. Whatever a caller wants, all streams are looked after: a program that waits because
 * its other output is full would never do what is wanted.
 */
#include <stdlib.h>
#include <string.h>

#include "process_object.h"
#include "subprocess_object.h"

/* What a pipe holds is read in fewer rounds than the last ones. */
enum { READ_SIZE = 1 << 16, PIECES_PER_ROUND = 16, LAST_ROUNDS = 16 };

/** Forget what was to be written. */
static void drop_pending(flow_t *flow)
{
    if (!flow->is_borrowed)
        free(flow->pending);
    flow->pending = NULL;
    flow->pending_size = flow->pending_done = 0;
    flow->is_borrowed = 0;
}

void flow_close_input(flow_t *flow)
{
    sys_channel_close(flow->input);
    flow->input = NULL;
    drop_pending(flow);
}

void flow_close(flow_t *flow)
{
    flow_close_input(flow);
    for (int i = 0; i < 2; i++) {
        sys_channel_close(flow->outputs[i].channel);
        free(flow->outputs[i].data);
    }
    memset(flow, 0, sizeof *flow);
}

apr_status_t flow_add_input(flow_t *flow, const void *data, size_t size, int is_kept)
{
    if (size == 0)
        return APR_SUCCESS;
    unsigned char *bytes = is_kept ? (unsigned char *)(uintptr_t)data : malloc(size);
    if (!bytes)
        return APR_ENOMEM;
    if (!is_kept)
        memcpy(bytes, data, size);
    flow->pending = bytes;
    flow->is_borrowed = is_kept;
    flow->pending_size = size;
    flow->pending_done = 0;
    return APR_SUCCESS;
}

/* ---- Once -------------------------------------------------------------------------------------------------------- */

static int has_pending(const flow_t *flow)
{
    return flow->input && flow->pending_done < flow->pending_size;
}

/** Write what there is room for; a program that does not want its input is no failure. */
static apr_status_t write_pending(flow_t *flow)
{
    for (int i = 0; has_pending(flow) && i < PIECES_PER_ROUND; i++) {
        size_t done;
        const apr_status_t status = sys_channel_write(flow->input, flow->pending + flow->pending_done,
                                                      flow->pending_size - flow->pending_done, &done);
        if (status == APR_EAGAIN)
            return APR_SUCCESS;
        if (status != APR_SUCCESS) {
            sys_channel_close(flow->input);
            flow->input = NULL;
            return status == APR_EPIPE ? APR_SUCCESS : status;
        }
        flow->pending_done += done;
    }
    const int is_closing = flow->is_closing || (flow->is_to_close && atomic_load(flow->is_to_close));
    if (is_closing && flow->input && !has_pending(flow))
        flow_close_input(flow);
    return APR_SUCCESS;
}

/** Have room for more bytes: where others have been taken from, or in larger memory. */
static apr_status_t make_room(gathered_t *gathered, size_t wanted)
{
    if (gathered->begin > 0) {
        memmove(gathered->data, gathered->data + gathered->begin, gathered->end - gathered->begin);
        gathered->end -= gathered->begin;
        gathered->begin = 0;
    }
    if (gathered->room - gathered->end > wanted)
        return APR_SUCCESS;
    const size_t room = gathered->room / 2 < wanted ? gathered->end + 2 * wanted : gathered->room * 2;
    unsigned char *larger = realloc(gathered->data, room);
    if (!larger)
        return APR_ENOMEM;
    gathered->data = larger;
    gathered->room = room;
    return APR_SUCCESS;
}

/** Read what is there, but not for ever from one that writes for ever. `*is_empty`: there is nothing more. */
static apr_status_t read_output(gathered_t *gathered, int *is_empty)
{
    unsigned char scrap[4096];
    *is_empty = 1;
    for (int i = 0; gathered->channel && i < PIECES_PER_ROUND; i++) {
        size_t got;
        const size_t have = gathered->end - gathered->begin;
        const int is_full = gathered->most && have >= gathered->most;
        apr_status_t status = is_full ? APR_SUCCESS : make_room(gathered, READ_SIZE);
        if (status != APR_SUCCESS)
            return status;
        const size_t free_room = is_full ? sizeof scrap : gathered->room - gathered->end - 1;
        const size_t wanted =
            !is_full && gathered->most && gathered->most - have < free_room ? gathered->most - have : free_room;
        status = sys_channel_read(gathered->channel, is_full ? scrap : gathered->data + gathered->end, wanted, &got);
        if (status == APR_EAGAIN)
            return APR_SUCCESS;
        if (status != APR_SUCCESS) {
            sys_channel_close(gathered->channel);
            gathered->channel = NULL;
            return status == APR_EOF ? APR_SUCCESS : status;
        }
        if (is_full)
            gathered->is_cut = 1;
        else
            gathered->end += got;
    }
    *is_empty = !gathered->channel;
    return APR_SUCCESS;
}

/** Move what can be moved now. */
static apr_status_t move_once(flow_t *flow, int *is_empty)
{
    apr_status_t status = write_pending(flow);
    *is_empty = 1;
    for (int i = 0; i < 2 && status == APR_SUCCESS; i++) {
        int is_this_empty;
        status = read_output(&flow->outputs[i], &is_this_empty);
        *is_empty &= is_this_empty;
    }
    return status;
}

/* ---- Until ------------------------------------------------------------------------------------------------------- */

/** Wait until something can be moved, more programs than `ended` have ended, or the object is closed. */
static apr_status_t wait_for_more(const flow_t *flow, subprocess_t *const *processes, size_t count, size_t ended,
                                  const waiter_t *waiter, sys_wait_t *items, sys_time_t deadline)
{
    size_t used = 0;
    size_t ready;
    if (has_pending(flow))
        items[used++] = (sys_wait_t){SYS_WAIT_CHANNEL, SYS_NO_HANDLE, flow->input, 0};
    for (int i = 0; i < 2; i++)
        if (flow->outputs[i].channel)
            items[used++] = (sys_wait_t){SYS_WAIT_CHANNEL, SYS_NO_HANDLE, flow->outputs[i].channel, 0};
    for (size_t i = 0; i < count; i++) {
        if (!subprocess_is_over(processes[i]))
            items[used++] = (sys_wait_t){SYS_WAIT_HANDLE, sys_process_sentinel(processes[i]->os), NULL, 0};
        else if (ended-- == 0)
            return APR_SUCCESS;
    }
    items[used++] = (sys_wait_t){SYS_WAIT_HANDLE, waiter->event.sentinel, NULL, 0};
    return sys_wait_any(items, used, &ready, deadline);
}

/** How many programs of a list have ended. */
static size_t count_ended(subprocess_t *const *processes, size_t count)
{
    size_t ended = 0;
    for (size_t i = 0; i < count; i++)
        ended += subprocess_is_over(processes[i]) != 0;
    return ended;
}

/** Go on until the goal is reached, with an event to be woken by. */
static apr_status_t move_until(flow_t *flow, subprocess_t *const *processes, size_t count, flow_goal_t has_reached,
                               const void *context, closable_t *closable, waiter_t *waiter, sys_wait_t *items,
                               sys_time_t deadline)
{
    for (int last_rounds = 0;;) {
        int is_empty;
        waiter_reset(waiter);
        /* What had ended before the look had written all before it. */
        const size_t ended = count_ended(processes, count);
        apr_status_t status = move_once(flow, &is_empty);
        if (status != APR_SUCCESS)
            return status;
        /* Others that hold the pipes may write on for ever. */
        last_rounds += ended == count;
        const int is_over = ended == count && (is_empty || last_rounds >= LAST_ROUNDS);
        if (has_reached(flow, is_over, context))
            return APR_SUCCESS;
        if (atomic_load(&closable->is_closed))
            return MPROC_ECLOSED;
        if (deadline == 0 || (deadline != SYS_NEVER && sys_now() >= deadline))
            return APR_TIMEUP;
        status = is_empty ? wait_for_more(flow, processes, count, ended, waiter, items, deadline) : APR_SUCCESS;
        if (status != APR_SUCCESS)
            return status;
    }
}

apr_status_t flow_move(flow_t *flow, subprocess_t *const *processes, size_t count, flow_goal_t has_reached,
                       const void *context, closable_t *closable, sys_time_t deadline)
{
    sys_wait_t few[8];
    waiter_t *waiter;
    const size_t most = count + 4;
    sys_wait_t *items = most <= sizeof few / sizeof few[0] ? few : calloc(most, sizeof *items);
    if (!items)
        return APR_ENOMEM;
    apr_status_t status = waiter_begin(&waiter, closable);
    if (status == APR_SUCCESS) {
        atomic_fetch_add(&closable->waiters, 1);
        status = move_until(flow, processes, count, has_reached, context, closable, waiter, items, deadline);
        atomic_fetch_sub(&closable->waiters, 1);
        waiter_end(waiter);
    }
    if (items != few)
        free(items);
    return status;
}

/* ---- What came --------------------------------------------------------------------------------------------------- */

/** Give away what one output has gathered: memory with a zero behind it. */
static char *take(gathered_t *gathered, size_t *size)
{
    char *data = (char *)gathered->data;
    *size = gathered->end - gathered->begin;
    memmove(data, data + gathered->begin, *size);
    data[*size] = '\0';
    gathered->data = NULL;
    gathered->begin = gathered->end = gathered->room = gathered->searched = 0;
    /* Callers may keep many, and most are small. To shrink a large piece of memory would not make it a small one. */
    char *smaller = *size < READ_SIZE ? malloc(*size + 1) : NULL;
    if (!smaller)
        return data;
    memcpy(smaller, data, *size + 1);
    free(data);
    return smaller;
}

apr_status_t flow_take(flow_t *flow, mproc_completed_t *completed)
{
    for (int i = 0; i < 2; i++)
        if (flow->outputs[i].is_pipe && make_room(&flow->outputs[i], 1) != APR_SUCCESS)
            return APR_ENOMEM;
    if (flow->outputs[0].is_pipe)
        completed->output = take(&flow->outputs[0], &completed->output_size);
    if (flow->outputs[1].is_pipe)
        completed->error_output = take(&flow->outputs[1], &completed->error_output_size);
    completed->output_is_cut = flow->outputs[0].is_cut;
    completed->error_output_is_cut = flow->outputs[1].is_cut;
    return APR_SUCCESS;
}
