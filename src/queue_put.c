/* SPDX-License-Identifier: Apache-2.0 */
/* Putting, where that takes more than the quick way: waiting, other memory, and failing. */
#include <string.h>

#include <mproc/system.h>

#include "error.h"
#include "member.h"
#include "memory.h"
#include "process_object.h"
#include "queue_blocks.h"
#include "queue_object.h"
#include "spots.h"

/** What one call does. */
typedef struct visit_t {
    shared_t *shared;
    queue_t *queue;
    spot_t *line;
    sys_time_t deadline; /* 0: not to wait */
    claim_t claim;       /* what was looked at last */
} visit_t;

/** Whoever was woken, and has put, wakes the next one, or has it be woken. */
static void pass_on(queue_t *queue)
{
    ring_t *ring = queue_ring(&queue->put_ring);
    const uint64_t tail = ring_position(shm_load64(&ring->tail));
    /* Others sleep on, and it may have been this one that took back what they said: see sleep_until_room(). */
    if (ring_position(shm_load64(&ring->head)) + ring->length <= tail)
        shm_store64(&ring->is_urgent, 1);
    for (;;) {
        const uint64_t head = shm_load64(&ring->head);
        if (ring_position(head) + ring->length > tail) {
            /* Also one that is about to sleep: the getter may have let them, and so has told nobody. */
            queue_wake_putters(queue, 1);
            return;
        }
        if ((head & RING_SLEEPERS) || shm_replace64(&ring->head, head, head | RING_SLEEPERS))
            return;
    }
}

/** The ring is full: sleep until that may be otherwise. */
static apr_status_t sleep_until_room(const visit_t *visit, uint32_t bell, int has_slept)
{
    /* Longer than a tick of the usual clocks: an alarm before the next tick costs more than the sleep. */
    enum { FIRST = 5000 };
    queue_t *queue = visit->queue;
    ring_t *ring = visit->claim.ring;
    /*
     * Who gets lets putters sleep until there is some room, but for a moment only: see queue_keeps_sleepers(). Those
     * who sleep have the time by themselves, so that no getter has to ask for it. Said before the head is looked at, as
     * a getter looks for it after its step there. If whoever has begun the sleeping dies before it says so, the next
     * one that looks again does.
     */
    if (has_slept)
        shm_store64(&ring->is_urgent, 1);
    const uint64_t head = shm_load64(&ring->head);
    if (ring_position(head) + ring->length > ring_position(visit->claim.index))
        return APR_SUCCESS;
    if (!(head & RING_SLEEPERS)) {
        if (!shm_replace64(&ring->head, head, head | RING_SLEEPERS))
            return APR_SUCCESS;
        /* Whoever takes that back says it again after its nap, whether it can put by then or not. */
        if (!has_slept)
            shm_store64(&ring->is_urgent, 0);
    }
    if (!has_slept) {
        /* At the end of it one looks again: there may be room, little as it is, also if there is no more time. */
        const sys_time_t soon = sys_now() + FIRST;
        const sys_time_t first = soon < visit->deadline ? soon : visit->deadline;
        const apr_status_t status = shared_park(visit->shared, &queue->emptied, bell, first);
        return status == APR_TIMEUP ? APR_SUCCESS : status;
    }
    /* Only the deaths of those who are counted are missed. */
    return shm_load(&queue->flags) & QUEUE_HAD_GETTER
               ? shared_watch(visit->shared, &queue->emptied, bell, visit->deadline)
               : shared_park(visit->shared, &queue->emptied, bell, visit->deadline);
}

/** There is no free slot: have one, or wait. */
static apr_status_t make_room(visit_t *visit, uint32_t bell, sys_time_t *patience, int *has_slept)
{
    queue_t *queue = visit->queue;
    ring_t *ring = visit->claim.ring;
    const uint64_t head = shm_load64(&ring->head);
    const int is_full = ring_position(head) + ring->length <= ring_position(visit->claim.index);
    const int can_grow = shm_load64(&queue->maxsize) == 0;
    /* Not for each getter that died: the ring would double each time. */
    if (can_grow && (is_full || queue_is_late(0, *patience)))
        return queue_grow(queue, ring);
    if (!is_full) {
        /* Somebody is just getting what is in the slot: it is as good as free. */
        if (queue_is_late(visit->deadline, *patience))
            return APR_TIMEUP;
        queue_wait_for_claim(queue, &visit->claim, RING_GETS, patience);
        return APR_SUCCESS;
    }
    if (visit->deadline == 0)
        return APR_TIMEUP;
    if (shared_glance64(visit->shared, &visit->claim.slot->sequence, visit->claim.sequence))
        return APR_SUCCESS;
    const apr_status_t status = sleep_until_room(visit, bell, *has_slept);
    *has_slept = 1;
    return status;
}

static apr_status_t put_or_wait(visit_t *visit, const queue_item_t *item)
{
    queue_t *queue = visit->queue;
    sys_time_t patience = QUEUE_FIRST_PATIENCE;
    int has_slept = 0;
    for (;;) {
        const uint32_t bell = shm_load(&queue->emptied);
        const ring_result_t result = queue_try_put(queue, visit->line, item, &visit->claim);
        apr_status_t status = APR_SUCCESS;
        if (result == RING_DONE) {
            if (has_slept)
                pass_on(queue);
            return status;
        }
        if (shared_is_closed(visit->shared))
            status = MPROC_ECLOSED;
        else if (queue_is_finished(queue))
            status = APR_EPIPE;
        else if (result == RING_OVER)
            status = queue_grow(queue, visit->claim.ring);
        else
            status = make_room(visit, bell, &patience, &has_slept);
        if (status == APR_SUCCESS)
            continue;
        /* It may have been woken just now, or have taken back that others are urgent, and they sleep on. */
        if (has_slept)
            queue_wake_putters(queue, 1);
        return status;
    }
}

/** The same at a spot, for who looks at the family. */
static apr_status_t put_item(visit_t *visit, const queue_item_t *item)
{
    const ring_result_t result = queue_try_put(visit->queue, visit->line, item, &visit->claim);
    if (result == RING_DONE)
        return APR_SUCCESS;
    spot_t *spot = visit->deadline == 0 ? NULL : spot_begin(arena_offset(visit->queue));
    const apr_status_t status = put_or_wait(visit, item);
    spot_end(spot);
    return status;
}

static apr_status_t fail(apr_status_t status, const visit_t *visit, uint64_t size, const char *call)
{
    const queue_t *queue = visit->queue;
    char name[SHARED_NAME_MAX];
    shm_get_text(name, queue->head.name, sizeof name);
    const unsigned long long serial = (unsigned long long)shm_load64(&queue->head.object.serial);
    switch (status) {
    case APR_EPIPE:
        return mproc_fail(status, "%s: the queue %s(%llu) is finished: %s", call, name, serial,
                          shm_load64(&queue->ends) >> 32 == 0 && (shm_load(&queue->flags) & QUEUE_HAD_GETTER)
                              ? "nobody has a getter of it open any more"
                              : "nothing more can be put");
    case APR_ENOMEM:
        return mproc_fail(
            status, "%s: the family's memory is full (%llu bytes), with an item of %llu bytes for the queue %s(%llu)",
            call, (unsigned long long)arena->size, (unsigned long long)size, name, serial);
    case MPROC_EINIT:
        return mproc_fail(status, "%s: another thread has called mproc_terminate, or exit", call);
    default:
        return shared_fail_to_wait(status, visit->shared, call);
    }
}

/** Whether an item can be one of a queue; the status has its text. */
static apr_status_t check_item(const queue_t *queue, const void *data, size_t size, const char *call)
{
    if (size > 0 && !data)
        return mproc_fail(APR_EINVAL, "%s: the item of %zu bytes is NULL", call, size);
    if (queue->item_size && size != queue->item_size)
        return mproc_fail(MPROC_ESIZE, "%s: the item has %zu bytes, all of this queue have %llu", call, size,
                          (unsigned long long)queue->item_size);
    if (size >= arena->size)
        return mproc_fail(MPROC_ETOOBIG, "%s: the item has %zu bytes, the family's memory %llu", call, size,
                          (unsigned long long)arena->size);
    return APR_SUCCESS;
}

/** Begin a call. */
static apr_status_t begin(visit_t *visit, mproc_queue_t *handle, apr_interval_time_t timeout, const char *call)
{
    *visit = (visit_t){.deadline = timeout == 0 ? 0 : process_deadline(timeout)};
    const apr_status_t status = queue_acquire(&visit->shared, handle, HANDLE_QUEUE_PUTTER, call);
    if (status != APR_SUCCESS)
        return status;
    visit->queue = queue_behind(visit->shared);
    visit->line = queue_line();
    if (visit->line)
        return status;
    shared_release(visit->shared);
    return mproc_fail(APR_ENOMEM, "%s: no memory for another thread that uses queues", call);
}

apr_status_t queue_put_handle(mproc_queue_t *handle, const void *data, size_t size, apr_interval_time_t timeout)
{
    static const char call[] = "mproc_queue_put";
    queue_item_t item = {.data = data, .size = size};
    visit_t visit;
    apr_status_t status = begin(&visit, handle, timeout, call);
    if (status != APR_SUCCESS)
        return status;
    status = check_item(visit.queue, data, size, call);
    if (status == APR_SUCCESS) {
        if (size > visit.queue->room && visit.deadline == 0 && queue_is_full(visit.queue))
            status = queue_is_finished(visit.queue) ? APR_EPIPE : APR_TIMEUP; /* it is not copied for that */
        else if (size > visit.queue->room)
            status = queue_block_take(&item.block, visit.queue, size);
        if (item.block)
            memcpy(queue_block_memory(item.block), data, size);
        if (status == APR_SUCCESS)
            status = put_item(&visit, &item);
        if (status != APR_SUCCESS && item.block)
            queue_block_give(item.block);
        if (status != APR_SUCCESS)
            fail(status, &visit, size, call);
    }
    shared_release(visit.shared);
    return status;
}

apr_status_t mproc_queue_put_many(mproc_queue_t *handle, const void *items, size_t count, size_t *done,
                                  apr_interval_time_t timeout)
{
    static const char call[] = "mproc_queue_put_many";
    size_t put = 0;
    visit_t visit;
    if (done)
        *done = 0;
    apr_status_t status = begin(&visit, handle, timeout, call);
    if (status != APR_SUCCESS)
        return status;
    const uint64_t size = visit.queue->item_size;
    if (size == 0)
        status = mproc_fail(APR_EINVAL, "%s: the items of this queue have no one size", call);
    else if (count > 0)
        status = check_item(visit.queue, items, size, call);
    const sys_time_t deadline = visit.deadline;
    shared_release(visit.shared);
    for (; status == APR_SUCCESS && put < count; put += status == APR_SUCCESS) {
        const apr_interval_time_t rest = deadline == 0 ? 0 : mproc_time_left(deadline);
        status = mproc_queue_put(handle, (const unsigned char *)items + put * size, size, rest);
    }
    if (done)
        *done = put;
    return status;
}

/* ---- Blocks ------------------------------------------------------------------------------------------------------ */

apr_status_t mproc_queue_reserve(mproc_queue_t *handle, void **block, size_t size)
{
    static const char call[] = "mproc_queue_reserve";
    uint64_t taken = 0;
    visit_t visit;
    if (block)
        *block = NULL;
    apr_status_t status = begin(&visit, handle, 0, call);
    if (status != APR_SUCCESS)
        return status;
    if (!block)
        status = mproc_fail(APR_EINVAL, "%s: nowhere to store the block: it is NULL", call);
    else
        status = check_item(visit.queue, "", size ? size : (size_t)visit.queue->item_size, call);
    if (status == APR_SUCCESS) {
        const uint64_t room = size ? size : visit.queue->item_size;
        status = queue_block_take(&taken, visit.queue, room ? room : 1);
        if (status == APR_SUCCESS)
            *block = queue_block_memory(taken);
        else
            fail(status, &visit, size, call);
    }
    shared_release(visit.shared);
    return status;
}

apr_status_t mproc_queue_put_block(mproc_queue_t *handle, void *block, size_t size, apr_interval_time_t timeout)
{
    static const char call[] = "mproc_queue_put_block";
    visit_t visit;
    apr_status_t status = begin(&visit, handle, timeout, call);
    if (status != APR_SUCCESS)
        return status;
    queue_item_t item = {.data = block, .size = size};
    const uint64_t taken = queue_block_find(visit.queue, block);
    if (!taken)
        status = mproc_fail(MPROC_ESTATE, "%s: %p is no block of this queue that this process has", call, block);
    else if (size > shm_load64(&queue_block_at(taken)->size))
        status = mproc_fail(MPROC_ESTATE, "%s: an item of %zu bytes is larger than the block", call, size);
    else
        status = check_item(visit.queue, block, size, call);
    if (status == APR_SUCCESS) {
        if (size > visit.queue->room)
            item.block = taken;
        status = put_item(&visit, &item);
        if (status != APR_SUCCESS)
            fail(status, &visit, size, call);
        else if (!item.block)
            queue_block_give(taken);
    }
    shared_release(visit.shared);
    return status;
}

apr_status_t mproc_queue_free_block(mproc_queue_t *handle, void *block)
{
    static const char call[] = "mproc_queue_free_block";
    shared_t *shared;
    apr_status_t status = queue_acquire(&shared, handle, 0, call);
    if (status != APR_SUCCESS)
        return status;
    const uint64_t taken = block ? queue_block_find(queue_behind(shared), block) : 0;
    if (taken)
        queue_block_give(taken);
    else if (block)
        status = mproc_fail(MPROC_ESTATE, "%s: %p is no block of this queue that this process has", call, block);
    shared_release(shared);
    return status;
}
