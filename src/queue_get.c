/* SPDX-License-Identifier: Apache-2.0 */
/* Getting, where that takes more than the quick way: waiting, other memory, and failing. */
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "member.h"
#include "process_object.h"
#include "queue_blocks.h"
#include "queue_done.h"
#include "queue_object.h"
#include "spots.h"

/** What one call does. */
typedef struct visit_t {
    shared_t *shared;
    queue_t *queue;
    spot_t *line;
    sys_time_t deadline; /* 0: not to wait */
    uint64_t capacity;
    claim_t claim; /* what was looked at last */
} visit_t;

void queue_pass_on_item(queue_t *queue)
{
    for (;;) {
        ring_t *ring = queue_ring(&queue->put_ring);
        const uint64_t tail = shm_load64(&ring->tail);
        const uint64_t head = ring_position(shm_load64(&queue_ring(&queue->get_ring)->head));
        if (ring_position(tail) > head) {
            shm_unpark(&queue->filled, 1);
            return;
        }
        /* Whoever has closed it wakes all when it is known what follows. */
        if ((tail & RING_CLOSED) && queue_ring(&queue->put_ring) == ring)
            return;
        if (tail & RING_CLOSED)
            continue;
        if ((tail & RING_SLEEPERS) || shm_replace64(&ring->tail, tail, tail | RING_SLEEPERS))
            return;
    }
}

/** There is nothing: wait until that may be otherwise. */
static apr_status_t wait_for_item(visit_t *visit, uint32_t bell, sys_time_t *patience, int *has_slept)
{
    queue_t *queue = visit->queue;
    ring_t *ring = visit->claim.ring;
    const uint64_t tail = shm_load64(&ring->tail);
    if (ring_position(tail) > ring_position(visit->claim.index)) {
        /* Somebody is just putting it. */
        if (queue_is_late(visit->deadline, *patience))
            return APR_TIMEUP;
        queue_wait_for_claim(queue, &visit->claim, RING_PUTS, patience);
        return APR_SUCCESS;
    }
    if ((tail & RING_CLOSED) && queue_advance(queue, ring))
        return APR_SUCCESS;
    if (queue_watch_reset(visit->shared))
        return APR_SUCCESS;
    if (queue_is_finished(queue)) {
        /* In this order: once it is finished, no other ring follows. */
        const int is_last = queue_ring(&queue->put_ring) == ring;
        return is_last && shm_load64(&ring->tail) == (tail | RING_CLOSED) ? APR_EOF : APR_SUCCESS;
    }
    if (visit->deadline == 0)
        return APR_TIMEUP;
    if (shared_glance64(visit->shared, &visit->claim.slot->sequence, visit->claim.sequence))
        return APR_SUCCESS;
    if (!(tail & RING_SLEEPERS) && !shm_replace64(&ring->tail, tail, tail | RING_SLEEPERS))
        return APR_SUCCESS;
    *has_slept = 1;
    /* Only the deaths of those who are counted are missed. */
    return shm_load(&queue->flags) & QUEUE_HAD_PUTTER
               ? shared_watch(visit->shared, &queue->filled, bell, visit->deadline)
               : shared_park(visit->shared, &queue->filled, bell, visit->deadline);
}

/** Claim the next item: as mproc_queue_get(). It is to be finished. */
static apr_status_t claim_or_wait(visit_t *visit)
{
    queue_t *queue = visit->queue;
    sys_time_t patience = QUEUE_FIRST_PATIENCE;
    int has_slept = 0;
    for (;;) {
        const uint32_t bell = shm_load(&queue->filled);
        const ring_result_t result = queue_try_get(queue, visit->line, visit->capacity, &visit->claim);
        apr_status_t status = APR_SUCCESS;
        if (result == RING_DONE || result == RING_TOO_BIG) {
            if (has_slept)
                queue_pass_on_item(queue);
            return result == RING_DONE ? APR_SUCCESS : MPROC_ETOOBIG;
        }
        if (result == RING_OVER)
            status = MPROC_EINIT;
        else if (shared_is_closed(visit->shared))
            status = MPROC_ECLOSED;
        else
            status = wait_for_item(visit, bell, &patience, &has_slept);
        if (status == APR_SUCCESS)
            continue;
        /* It may have been woken just now, and others sleep on. */
        if (has_slept)
            shm_unpark(&queue->filled, 1);
        return status;
    }
}

/** The same, at a spot if it has to wait, for who looks at the family. */
static apr_status_t claim_item(visit_t *visit)
{
    const ring_result_t result = queue_try_get(visit->queue, visit->line, visit->capacity, &visit->claim);
    if (result == RING_DONE)
        return APR_SUCCESS;
    spot_t *spot = visit->deadline == 0 ? NULL : spot_begin(arena_offset(visit->queue));
    const apr_status_t status = claim_or_wait(visit);
    spot_end(spot);
    return status;
}

/** The size of the item that was claimed, or was too big. */
static uint64_t size_of_item(const visit_t *visit, apr_status_t status)
{
    return status == APR_SUCCESS ? shm_read64(&visit->claim.slot->size) : visit->claim.size;
}

/**
 * Take over the item that was claimed: copy it to `memory`, unless that is NULL; what was in a block
 * stays there then, and the block is told.
 * MPROC_EINIT if another thread ends the library: the item is lost.
 */
static apr_status_t take_item(const visit_t *visit, void *memory, uint64_t *block)
{
    slot_t *slot = visit->claim.slot;
    const uint64_t position = ring_position(visit->claim.index);
    const uint64_t size = shm_read64(&slot->size);
    *block = shm_read64(&slot->block);
    if (*block)
        queue_block_get(*block);
    else if (memory && size)
        memcpy(memory, slot->data, size);
    /* Unfinished, it is found to be a dead one's when this process has left the family. */
    if (!queue_count_got(visit->queue, slot, position, QUEUE_GOT))
        return MPROC_EINIT;
    queue_finish_get(visit->queue, &visit->claim);
    if (*block && memory) {
        memcpy(memory, queue_block_memory(*block), size);
        queue_block_give(*block);
        *block = 0;
    }
    return APR_SUCCESS;
}

static apr_status_t fail(apr_status_t status, const visit_t *visit, uint64_t size, const char *call)
{
    const queue_t *queue = visit->queue;
    char name[SHARED_NAME_MAX];
    shm_get_text(name, queue->head.name, sizeof name);
    const unsigned long long serial = (unsigned long long)shm_load64(&queue->head.object.serial);
    switch (status) {
    case APR_EOF:
        return mproc_fail(status, "%s: the queue %s(%llu) is finished, and empty", call, name, serial);
    case MPROC_ETOOBIG:
        return mproc_fail(status, "%s: the item has %llu bytes, there is room for %llu; it stays in the queue %s(%llu)",
                          call, (unsigned long long)size, (unsigned long long)visit->capacity, name, serial);
    case APR_ENOMEM:
        return mproc_fail(status, "%s: no memory for an item of %llu bytes; it stays in the queue %s(%llu)", call,
                          (unsigned long long)size, name, serial);
    case MPROC_EINIT:
        return mproc_fail(status, "%s: another thread has called mproc_terminate, or exit", call);
    default:
        return shared_fail_to_wait(status, visit->shared, call);
    }
}

/** Begin a call. */
static apr_status_t begin(visit_t *visit, mproc_queue_t *handle, apr_interval_time_t timeout, const char *call)
{
    *visit = (visit_t){.deadline = timeout == 0 ? 0 : process_deadline(timeout)};
    const apr_status_t status = queue_acquire(&visit->shared, handle, HANDLE_QUEUE_GETTER, call);
    if (status != APR_SUCCESS)
        return status;
    visit->queue = queue_behind(visit->shared);
    visit->line = queue_line();
    if (visit->line)
        return status;
    shared_release(visit->shared);
    return mproc_fail(APR_ENOMEM, "%s: no memory for another thread that uses queues", call);
}

/** End it: tell the size of the item that was got, or that was too large. */
static apr_status_t end(apr_status_t status, const visit_t *visit, size_t *size, uint64_t length, const char *call)
{
    if (size)
        *size = status == APR_SUCCESS || status == MPROC_ETOOBIG || status == APR_ENOMEM ? (size_t)length : 0;
    if (status != APR_SUCCESS)
        fail(status, visit, length, call);
    shared_release(visit->shared);
    return status;
}

apr_status_t queue_get_handle(mproc_queue_t *handle, void *buffer, size_t capacity, size_t *size,
                              apr_interval_time_t timeout)
{
    static const char call[] = "mproc_queue_get";
    uint64_t length = 0;
    uint64_t block = 0;
    visit_t visit;
    if (size)
        *size = 0;
    if (capacity > 0 && !buffer)
        return mproc_fail(APR_EINVAL, "%s: the buffer of %zu bytes is NULL", call, capacity);
    apr_status_t status = begin(&visit, handle, timeout, call);
    if (status != APR_SUCCESS)
        return status;
    visit.capacity = capacity;
    status = claim_item(&visit);
    if (status == APR_SUCCESS || status == MPROC_ETOOBIG)
        length = size_of_item(&visit, status);
    if (status == APR_SUCCESS)
        status = take_item(&visit, buffer ? buffer : &block, &block);
    return end(status, &visit, size, length, call);
}

apr_status_t mproc_queue_get_alloc(mproc_queue_t *handle, void **data, size_t *size, apr_interval_time_t timeout)
{
    static const char call[] = "mproc_queue_get_alloc";
    unsigned char *memory = NULL;
    uint64_t length = 0;
    uint64_t block = 0;
    visit_t visit;
    if (data)
        *data = NULL;
    if (size)
        *size = 0;
    if (!data)
        return mproc_fail(APR_EINVAL, "%s: nowhere to store the item: it is NULL", call);
    apr_status_t status = begin(&visit, handle, timeout, call);
    if (status != APR_SUCCESS)
        return status;
    /* Memory first: for as much as lies in a slot, and if it is more, for that. */
    uint64_t room = visit.queue->room;
    do {
        free(memory);
        memory = malloc((size_t)room + 1);
        visit.capacity = room;
        status = memory ? claim_item(&visit) : APR_ENOMEM;
        if (status == APR_SUCCESS || status == MPROC_ETOOBIG)
            length = room = size_of_item(&visit, status);
    } while (status == MPROC_ETOOBIG);
    if (status == APR_SUCCESS)
        status = take_item(&visit, memory, &block);
    if (status == APR_SUCCESS) {
        memory[length] = 0;
        *data = memory;
    } else {
        free(memory);
    }
    return end(status, &visit, size, length, call);
}

apr_status_t mproc_queue_get_many(mproc_queue_t *handle, void *items, size_t count, size_t *got,
                                  apr_interval_time_t timeout)
{
    static const char call[] = "mproc_queue_get_many";
    size_t done = 0;
    visit_t visit;
    if (got)
        *got = 0;
    apr_status_t status = begin(&visit, handle, timeout, call);
    if (status != APR_SUCCESS)
        return status;
    const uint64_t size = visit.queue->item_size;
    if (size == 0)
        status = mproc_fail(APR_EINVAL, "%s: the items of this queue have no one size", call);
    else if (!got || count == 0 || count > SIZE_MAX / size)
        status = mproc_fail(APR_EINVAL, "%s: %s", call,
                            got ? "there is room for no item, or for too many" : "nowhere to store how many");
    shared_release(visit.shared);
    while (status == APR_SUCCESS && done < count) {
        status = mproc_queue_get(handle, (unsigned char *)items + done * size, size, NULL, done ? 0 : timeout);
        done += status == APR_SUCCESS;
    }
    if (done == 0)
        return status;
    /* What comes after the first one was there, or was not. */
    *got = done;
    mproc_forget_error();
    return APR_SUCCESS;
}

apr_status_t mproc_queue_get_block(mproc_queue_t *handle, void **block, size_t *size, apr_interval_time_t timeout)
{
    static const char call[] = "mproc_queue_get_block";
    uint64_t spare = 0;
    uint64_t length = 0;
    uint64_t taken = 0;
    visit_t visit;
    if (block)
        *block = NULL;
    if (size)
        *size = 0;
    if (!block)
        return mproc_fail(APR_EINVAL, "%s: nowhere to store the block: it is NULL", call);
    apr_status_t status = begin(&visit, handle, timeout, call);
    if (status != APR_SUCCESS)
        return status;
    /* For what lies in a slot, if anything does: who frees blocks must not need another one when the memory is full. */
    if (visit.queue->room > 0)
        status = queue_block_take(&spare, visit.queue, visit.queue->room);
    visit.capacity = UINT64_MAX;
    if (status == APR_SUCCESS)
        status = claim_item(&visit);
    if (status == APR_SUCCESS) {
        length = shm_read64(&visit.claim.slot->size);
        const int is_in_slot = shm_read64(&visit.claim.slot->block) == 0;
        status = take_item(&visit, is_in_slot ? queue_block_memory(spare) : NULL, &taken);
        if (status == APR_SUCCESS)
            *block = queue_block_memory(is_in_slot ? spare : taken);
        if (status == APR_SUCCESS && is_in_slot)
            spare = 0;
    }
    if (spare)
        queue_block_give(spare);
    return end(status, &visit, size, length, call);
}
