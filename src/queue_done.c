/* SPDX-License-Identifier: Apache-2.0 */
#include "queue_done.h"

#include "error.h"
#include "member.h"
#include "memory.h"
#include "process_object.h"
#include "spots.h"

/*
 * What a member has got and is not done with: its ticket in the upper half, how many in the lower. Where it stands in
 * the family says which record is its; one of a member that has stood there before is of a dead one.
 */
static shm_u64_t *record_at(const queue_t *queue, unsigned place)
{
    return (shm_u64_t *)arena_at(shm_load64(&queue->records)) + place;
}

static uint64_t pack(uint32_t ticket, uint32_t left)
{
    return (uint64_t)ticket << 32 | left;
}

apr_status_t queue_take_records(transaction_t *transaction, queue_t *queue)
{
    uint64_t part;
    const apr_status_t status =
        memory_take(transaction, &part, ARENA_MEMBERS_MAX * sizeof(shm_u64_t), &queue->head.object);
    if (status == APR_SUCCESS)
        shm_store64(&queue->records, part);
    return status;
}

void queue_lay_out_records(const queue_t *queue)
{
    for (unsigned place = 0; place < ARENA_MEMBERS_MAX; place++)
        shm_write64(record_at(queue, place), 0);
}

/* ---- Recording --------------------------------------------------------------------------------------------------- */

static void add(transaction_t *transaction, shm_u64_t *word, uint64_t amount)
{
    if (amount)
        journal_put(transaction, word, journal_get(transaction, word) + amount);
}

/** What is left in a record of a member that has ended is lost. */
static void lose(transaction_t *transaction, queue_t *queue, shm_u64_t *record)
{
    const uint32_t left = (uint32_t)journal_get(transaction, record);
    add(transaction, &queue->done, left);
    add(transaction, &queue->lost, left);
    journal_put(transaction, record, 0);
}

/** Have those who join look, if all is done. */
static void tell_joiners(queue_t *queue)
{
    const uint64_t put = ring_position(shm_load64(&queue_ring(&queue->put_ring)->tail));
    if (shm_load64(&queue->done) < put)
        return;
    shm_add(&queue->joined, 1);
    shm_unpark(&queue->joined, UINT32_MAX);
}

int queue_count_got(queue_t *queue, slot_t *slot, uint64_t position, queue_fate_t fate)
{
    transaction_t transaction;
    if (!shm_fixed(&queue->is_joinable))
        return 1;
    if (!journal_begin(&transaction))
        return 0;
    /* Whoever mends may be late: then another one has, and what came to the slot since then is another item. */
    if (journal_get(&transaction, &slot->counted) < position + 1) {
        shm_u64_t *record = record_at(queue, member_own_place());
        if (fate == QUEUE_GOT && (uint32_t)(journal_get(&transaction, record) >> 32) != member_self()) {
            lose(&transaction, queue, record);
            journal_put(&transaction, record, pack(member_self(), 0));
        }
        if (fate == QUEUE_GOT)
            add(&transaction, record, 1);
        else
            add(&transaction, &queue->done, 1);
        add(&transaction, &queue->lost, fate == QUEUE_LOST);
        journal_put(&transaction, &slot->counted, position + 1);
    }
    journal_commit(&transaction);
    if (fate != QUEUE_GOT)
        tell_joiners(queue);
    return 1;
}

/** What ended members had left is lost. How much the others have left. */
static uint64_t collect(queue_t *queue)
{
    transaction_t transaction;
    uint64_t left = 0;
    const uint64_t end = shm_load64(&arena->members_used);
    for (unsigned place = 1; place < end; place++) {
        shm_u64_t *record = record_at(queue, place);
        const uint64_t before = shm_load64(record);
        left += (uint32_t)before;
        if ((uint32_t)before == 0 || !member_has_ended((uint32_t)(before >> 32)) || !journal_begin(&transaction))
            continue;
        left -= (uint32_t)before;
        if (journal_get(&transaction, record) == before)
            lose(&transaction, queue, record);
        journal_commit(&transaction);
    }
    return left;
}

static int is_all_done(queue_t *queue)
{
    const uint64_t claimed = ring_position(shm_load64(&queue_ring(&queue->get_ring)->head));
    const uint64_t left = collect(queue);
    /* Who has claimed the others is about to record that, or was killed before it had. */
    if (shm_load64(&queue->done) + left < claimed)
        queue_mend_gets(queue);
    /* In this order: of what is put in between, some could be done while something older is not. */
    const uint64_t done = shm_load64(&queue->done);
    return done >= ring_position(shm_load64(&queue_ring(&queue->put_ring)->tail));
}

/* ---- The calls --------------------------------------------------------------------------------------------------- */

/** Get a joinable queue for a call; `end` is the other kind of handle that it takes, or 0 for all. */
static apr_status_t acquire(shared_t **shared, mproc_queue_t *handle, handle_kind_t end, const char *call)
{
    apr_status_t status = queue_acquire(shared, handle, end, call);
    if (status != APR_SUCCESS || shm_fixed(&queue_behind(*shared)->is_joinable))
        return status;
    shared_release(*shared);
    return mproc_fail(MPROC_ESTATE, "%s: the queue was not made as a joinable one", call);
}

apr_status_t mproc_queue_task_done(mproc_queue_t *handle)
{
    static const char call[] = "mproc_queue_task_done";
    transaction_t transaction;
    shared_t *shared;
    apr_status_t status = acquire(&shared, handle, HANDLE_QUEUE_GETTER, call);
    if (status != APR_SUCCESS)
        return status;
    queue_t *queue = queue_behind(shared);
    shm_u64_t *record = record_at(queue, member_own_place());
    if (!journal_begin(&transaction)) {
        shared_release(shared);
        return mproc_fail(MPROC_EINIT, "%s: another thread has called mproc_terminate, or exit", call);
    }
    const uint64_t before = journal_get(&transaction, record);
    if ((uint32_t)(before >> 32) == member_self() && (uint32_t)before > 0) {
        journal_put(&transaction, record, before - 1);
        add(&transaction, &queue->done, 1);
    } else {
        status = mproc_fail(MPROC_ESTATE, "%s: this process has got nothing that is not done", call);
    }
    journal_commit(&transaction);
    if (status == APR_SUCCESS)
        tell_joiners(queue);
    shared_release(shared);
    return status;
}

static apr_status_t wait_until_done(shared_t *shared, queue_t *queue, sys_time_t deadline)
{
    for (;;) {
        const uint32_t bell = shm_load(&queue->joined);
        if (is_all_done(queue))
            return APR_SUCCESS;
        if (deadline == 0)
            return APR_TIMEUP;
        const apr_status_t status = shared_watch(shared, &queue->joined, bell, deadline);
        if (status != APR_SUCCESS)
            return status;
    }
}

apr_status_t mproc_queue_join(mproc_queue_t *handle, size_t *lost, apr_interval_time_t timeout)
{
    static const char call[] = "mproc_queue_join";
    shared_t *shared;
    if (lost)
        *lost = 0;
    apr_status_t status = acquire(&shared, handle, 0, call);
    if (status != APR_SUCCESS)
        return status;
    queue_t *queue = queue_behind(shared);
    spot_t *spot = timeout == 0 ? NULL : spot_begin(arena_offset(queue));
    status = wait_until_done(shared, queue, timeout == 0 ? 0 : process_deadline(timeout));
    spot_end(spot);
    if (lost)
        *lost = (size_t)shm_load64(&queue->lost);
    if (status != APR_SUCCESS)
        shared_fail_to_wait(status, shared, call);
    shared_release(shared);
    return status;
}
