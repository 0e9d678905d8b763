/* SPDX-License-Identifier: Apache-2.0 */
/* Putting and getting without waiting, and the quick way to do that for items that lie in a slot. */
#include <string.h>

#include "hazard.h"
#include "queue_blocks.h"
#include "queue_done.h"
#include "queue_object.h"

int queue_keeps_sleepers(const ring_t *ring, uint64_t position)
{
    enum { SMALL = 8 };
    const uint64_t used = ring_position(shm_load64(&ring->tail)) - position;
    return ring->length > SMALL && used > ring->length / 2 && !shm_load64(&ring->is_urgent);
}

static inline ring_result_t try_put(queue_t *queue, spot_t *line, const queue_item_t *item, claim_t *claim)
{
    ring_t *ring = queue_ring(&queue->put_ring);
    const ring_result_t result = ring_claim_put(ring, line, shm_read64(&queue->head.object.serial), claim);
    if (result != RING_DONE)
        return result;
    slot_t *slot = claim->slot;
    shm_write64(&slot->size, item->size);
    shm_write64(&slot->block, item->block);
    if (item->block)
        queue_block_put(item->block, ring_position(claim->index));
    else if (item->size)
        memcpy(slot->data, item->data, item->size);
    ring_publish(claim);
    if (claim->index & RING_SLEEPERS)
        queue_wake_getter(queue);
    return result;
}

ring_result_t queue_try_put(queue_t *queue, spot_t *line, const queue_item_t *item, claim_t *claim)
{
    return try_put(queue, line, item, claim);
}

static inline void finish_get(queue_t *queue, const claim_t *claim)
{
    const ring_t *ring = claim->ring;
    ring_free(ring, claim);
    if (!(claim->index & RING_SLEEPERS))
        return;
    /* One at a time where there is little room: whoever was woken wakes the next one. */
    const uint64_t used = ring_position(shm_load64(&ring->tail)) - ring_position(claim->index) - 1;
    queue_wake_putters(queue, used <= ring->length / 2 ? UINT32_MAX : 1);
}

void queue_finish_get(queue_t *queue, const claim_t *claim)
{
    finish_get(queue, claim);
}

static inline ring_result_t try_get(queue_t *queue, spot_t *line, uint64_t capacity, claim_t *claim)
{
    for (;;) {
        ring_t *ring = claim->ring = queue_ring(&queue->get_ring);
        const ring_result_t result =
            ring_claim_get(ring, line, shm_read64(&queue->head.object.serial), capacity, queue_keeps_sleepers, claim);
        if (result != RING_DONE || !(claim->sequence & RING_TOMBSTONE))
            return result;
        /* Who was putting this is dead. */
        const uint64_t position = ring_position(claim->index);
        queue_block_drop(claim->slot, position);
        if (!queue_count_got(queue, claim->slot, position, QUEUE_NOTHING))
            return RING_OVER;
        queue_finish_get(queue, claim);
    }
}

ring_result_t queue_try_get(queue_t *queue, spot_t *line, uint64_t capacity, claim_t *claim)
{
    return try_get(queue, line, capacity, claim);
}

/* ---- The quick way ----------------------------------------------------------------------------------------------- */

/** Begin a use of a queue, or of one of its ends; NULL: not in this way. */
static inline queue_t *begin(hazard_t **hazard, const void *handle, handle_kind_t end)
{
    const handle_kind_t kind = handle_kind_of(handle) == (unsigned)end ? end : HANDLE_QUEUE;
    const shared_t *shared = hazard_begin(hazard, handle, kind);
    if (!shared)
        return NULL;
    if (shared_is_own(shared) && (*hazard)->line && (*hazard)->line_ticket == member_self())
        return queue_behind(shared);
    hazard_end(*hazard);
    return NULL;
}

apr_status_t mproc_queue_put(mproc_queue_t *handle, const void *data, size_t size, apr_interval_time_t timeout)
{
    hazard_t *hazard;
    claim_t claim;
    queue_t *queue = begin(&hazard, handle, HANDLE_QUEUE_PUTTER);
    if (!queue)
        return queue_put_handle(handle, data, size, timeout);
    const queue_item_t item = {.data = data, .size = size};
    const int is_done = size <= queue->room && (size == queue->item_size || queue->item_size == 0) &&
                        (data || size == 0) && try_put(queue, hazard->line, &item, &claim) == RING_DONE;
    hazard_end(hazard);
    return is_done ? APR_SUCCESS : queue_put_handle(handle, data, size, timeout);
}

apr_status_t mproc_queue_get(mproc_queue_t *handle, void *buffer, size_t capacity, size_t *size,
                             apr_interval_time_t timeout)
{
    hazard_t *hazard;
    claim_t claim;
    queue_t *queue = begin(&hazard, handle, HANDLE_QUEUE_GETTER);
    if (!queue)
        return queue_get_handle(handle, buffer, capacity, size, timeout);
    /* What is not in a slot is larger than its room. */
    const uint64_t most = capacity < queue->room ? capacity : queue->room;
    const int is_done = !shm_fixed(&queue->is_joinable) && (buffer || capacity == 0) &&
                        try_get(queue, hazard->line, most, &claim) == RING_DONE;
    if (is_done) {
        const size_t length = (size_t)shm_read64(&claim.slot->size);
        if (length)
            memcpy(buffer, claim.slot->data, length);
        if (size)
            *size = length;
        finish_get(queue, &claim);
    }
    hazard_end(hazard);
    return is_done ? APR_SUCCESS : queue_get_handle(handle, buffer, capacity, size, timeout);
}
