/* SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>
#include <stdint.h>

#include <apr_strings.h>

#include "blocks.h"
#include "call.h"
#include "error.h"
#include "member.h"
#include "memory.h"
#include "queue_blocks.h"
#include "queue_done.h"
#include "queue_object.h"

spot_t *queue_line(void)
{
    hazard_begin_thread();
    if (!hazard_mine)
        return NULL;
    if (!hazard_mine->line || hazard_mine->line_ticket != member_self()) {
        hazard_mine->line = spot_keep();
        hazard_mine->line_ticket = member_self();
    }
    return hazard_mine->line;
}

uint64_t queue_size(const queue_t *queue)
{
    for (;;) {
        const shm_u64_t *head = &queue_ring(&queue->get_ring)->head;
        const uint64_t first = ring_position(shm_load64(head));
        const uint64_t last = ring_position(shm_load64(&queue_ring(&queue->put_ring)->tail));
        /* What was there when the tail was looked at. */
        if (ring_position(shm_load64(head)) == first && head == &queue_ring(&queue->get_ring)->head)
            return last - first;
    }
}

int queue_is_full(const queue_t *queue)
{
    const uint64_t most = shm_load64(&queue->maxsize);
    return most && queue_size(queue) >= most;
}

/* ---- The kind ---------------------------------------------------------------------------------------------------- */

/** Have all who wait look again: an end may be gone, or somebody who was to wake them. */
static void stir(void *at)
{
    queue_t *queue = at;
    /* If it was the last one, those who put come to know without waiting. */
    queue_note_end(queue);
    queue_wake_getters(queue);
    queue_wake_putters(queue, UINT_MAX);
    shm_add(&queue->joined, 1);
    shm_unpark(&queue->joined, UINT_MAX);
}

/**
 * Whoever describes it may look at what is another object by now, or none: so is what that says of others. Each place
 * is looked at once, after it was checked; the head first, which no tail is before.
 */
static uint64_t size_of_any(const queue_t *queue)
{
    const uint64_t get = shm_load64(&queue->get_ring);
    const uint64_t put = shm_load64(&queue->put_ring);
    if (!blocks_are_there(put, sizeof(ring_t)) || !blocks_are_there(get, sizeof(ring_t)))
        return 0;
    const uint64_t head = ring_position(shm_load64(&((const ring_t *)arena_at(get))->head));
    return ring_position(shm_load64(&((const ring_t *)arena_at(put))->tail)) - head;
}

static void describe(const void *at, char *text, size_t size)
{
    const queue_t *queue = at;
    const uint64_t ends = shm_load64(&queue->ends);
    const uint64_t most = shm_load64(&queue->maxsize);
    char room[32] = "";
    if (most)
        apr_snprintf(room, sizeof room, " of %" APR_UINT64_T_FMT, most);
    apr_snprintf(text, size, "%" APR_UINT64_T_FMT "%s items, %u putters, %u getters%s", size_of_any(queue), room,
                 (unsigned)ends, (unsigned)(ends >> 32), shm_load(&queue->flags) & QUEUE_FINISHED ? ", finished" : "");
}

void queue_describe_end(uint64_t queue, char *text, size_t size)
{
    const int is_there = blocks_can_be_object(queue);
    apr_snprintf(text, size, "of the queue %" APR_UINT64_T_FMT,
                 is_there ? shm_load64(&queue_at(queue)->head.object.serial) : 0);
}

const shared_kind_t queue_kind = {HANDLE_QUEUE, "queue", sizeof(queue_t), stir, NULL, describe};

/* ---- Handles ----------------------------------------------------------------------------------------------------- */

static const shared_kind_t *kind_of(const void *handle)
{
    switch (handle_kind(handle)) {
    case HANDLE_QUEUE_PUTTER:
        return &queue_putter_kind;
    case HANDLE_QUEUE_GETTER:
        return &queue_getter_kind;
    default:
        return &queue_kind;
    }
}

apr_status_t queue_acquire(shared_t **shared, mproc_queue_t *handle, handle_kind_t end, const char *call)
{
    const shared_kind_t *kind = kind_of(handle);
    const apr_status_t status = shared_acquire(shared, handle, kind, call);
    if (status != APR_SUCCESS || end == 0 || kind->kind == HANDLE_QUEUE || kind->kind == end)
        return status;
    shared_release(*shared);
    *shared = NULL;
    return mproc_fail(MPROC_EDIRECTION, "%s: %p is a %s", call, (void *)handle, kind->noun);
}

/** What a queue is to be. */
typedef struct plan_t {
    uint64_t item_size;
    uint64_t room;
    uint64_t maxsize;
    uint64_t length; /* of its first ring */
    int is_joinable;
} plan_t;

static void init(void *at, const void *context)
{
    const plan_t *plan = context;
    queue_t *queue = at;
    queue->item_size = plan->item_size;
    queue->room = plan->room;
    shm_store64(&queue->maxsize, plan->maxsize);
    shm_fix(&queue->is_joinable, plan->is_joinable != 0);
}

static apr_status_t furnish(transaction_t *transaction, void *at, const void *context)
{
    const plan_t *plan = context;
    queue_t *queue = at;
    uint64_t ring;
    apr_status_t status = queue_take_ring(transaction, &ring, queue, plan->length);
    if (status != APR_SUCCESS)
        return status;
    /* It is put to and got from when it is laid out. */
    shm_store64(&queue->first_ring, ring);
    return plan->is_joinable ? queue_take_records(transaction, queue) : status;
}

/** Choose where items lie, and how long the first ring is. */
static apr_status_t make_plan(plan_t *plan, const mproc_queue_opts_t *opts, const char *call)
{
    enum { FREE_ROOM = 96, MOST_ROOM = 4096, FIRST_LENGTH = 64 };
    const uint64_t most_in_slots = (uint64_t)4 << 20;
    *plan = (plan_t){.item_size = opts->item_size,
                     .maxsize = opts->maxsize,
                     .length = opts->maxsize ? opts->maxsize : FIRST_LENGTH,
                     .is_joinable = opts->joinable};
    if (opts->item_size > MEMORY_MAX || opts->maxsize > MEMORY_MAX)
        return mproc_fail(APR_EINVAL, "%s: no memory could hold %zu items of %zu bytes", call, opts->maxsize,
                          opts->item_size);
    /* In slots all of them have memory from the beginning, so there only what is small. */
    plan->room = opts->item_size == 0 ? FREE_ROOM : opts->item_size;
    if (plan->room > FREE_ROOM && (plan->room > MOST_ROOM || plan->room * plan->length > most_in_slots))
        plan->room = 0;
    return APR_SUCCESS;
}

apr_status_t mproc_queue_create_sized(mproc_queue_t **handle, const mproc_queue_opts_t *opts, size_t opts_size)
{
    static const char call[] = "mproc_queue_create";
    mproc_queue_opts_t options;
    plan_t plan;
    shared_t *shared;
    void *made = NULL;
    if (handle)
        *handle = NULL;
    apr_status_t status = shared_take_options(&options, sizeof options, opts, opts_size, call);
    if (status == APR_SUCCESS)
        status = make_plan(&plan, &options, call);
    if (status != APR_SUCCESS)
        return status;
    const shared_plan_t what = {.kind = &queue_kind,
                                .name = options.name,
                                .pool = options.pool,
                                .init = init,
                                .context = &plan,
                                .furnish = furnish};
    status = shared_create(handle ? &made : NULL, &what, call);
    if (status == APR_SUCCESS)
        status = shared_acquire(&shared, made, &queue_kind, call);
    if (status != APR_SUCCESS)
        return status;
    /* Not before now: it may take long, and nobody has seen the queue yet. */
    queue_t *queue = queue_behind(shared);
    queue_lay_out_ring(queue_ring(&queue->first_ring), queue, plan.length);
    if (plan.is_joinable)
        queue_lay_out_records(queue);
    const uint64_t ring = shm_load64(&queue->first_ring);
    shm_store64(&queue->get_ring, ring);
    shm_store64(&queue->put_ring, ring);
    shared_release(shared);
    *handle = made;
    return status;
}

apr_status_t mproc_queue_open(mproc_queue_t **handle, const mproc_ref_t *ref, apr_pool_t *pool)
{
    /* The last one is what the text says if it is none of them. */
    static const shared_kind_t *const kinds[] = {&queue_putter_kind, &queue_getter_kind, &queue_kind};
    void *opened = NULL;
    apr_status_t status = APR_EINVAL;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0] && status == APR_EINVAL; i++)
        status = shared_open(handle ? &opened : NULL, kinds[i], ref, pool, "mproc_queue_open");
    if (handle)
        *handle = opened;
    /* That it is none of those before is no failure. */
    if (status == APR_SUCCESS)
        mproc_forget_error();
    return status;
}

apr_status_t mproc_queue_close(mproc_queue_t *handle)
{
    return shared_close(handle, kind_of(handle), "mproc_queue_close");
}

mproc_queue_t *mproc_call_queue(mproc_call_t *call, size_t index)
{
    const int kind = call_share_kind(call, index);
    const int is_end = kind == HANDLE_QUEUE_PUTTER || kind == HANDLE_QUEUE_GETTER;
    return call_share(call, index, is_end ? (handle_kind_t)kind : HANDLE_QUEUE, "mproc_call_queue");
}

/* ---- Looking ----------------------------------------------------------------------------------------------------- */

size_t mproc_queue_size(mproc_queue_t *handle)
{
    shared_t *shared;
    if (queue_acquire(&shared, handle, 0, "mproc_queue_size") != APR_SUCCESS)
        return 0;
    const size_t size = (size_t)queue_size(queue_behind(shared));
    shared_release(shared);
    mproc_forget_error();
    return size;
}

int mproc_queue_is_empty(mproc_queue_t *handle)
{
    return mproc_queue_size(handle) == 0;
}

int mproc_queue_is_full(mproc_queue_t *handle)
{
    shared_t *shared;
    if (queue_acquire(&shared, handle, 0, "mproc_queue_is_full") != APR_SUCCESS)
        return 0;
    const int is_full = queue_is_full(queue_behind(shared));
    shared_release(shared);
    mproc_forget_error();
    return is_full;
}

/** Nothing is there to be thrown away: whether to look again. */
static int clear_on(queue_t *queue, const claim_t *claim, sys_time_t *patience)
{
    const uint64_t tail = shm_load64(&claim->ring->tail);
    if (ring_position(tail) <= ring_position(claim->index))
        return (tail & RING_CLOSED) && queue_advance(queue, claim->ring);
    /* Somebody is just putting it, or has died of it. */
    if (queue_is_late(0, *patience))
        return 0;
    queue_wait_for_claim(queue, claim, RING_PUTS, patience);
    return 1;
}

apr_status_t mproc_queue_clear(mproc_queue_t *handle, size_t *count)
{
    static const char call[] = "mproc_queue_clear";
    shared_t *shared;
    claim_t claim;
    size_t cleared = 0;
    sys_time_t patience = QUEUE_FIRST_PATIENCE;
    if (count)
        *count = 0;
    apr_status_t status = queue_acquire(&shared, handle, 0, call);
    if (status != APR_SUCCESS)
        return status;
    queue_t *queue = queue_behind(shared);
    spot_t *line = queue_line();
    const uint64_t end = ring_position(shm_load64(&queue_ring(&queue->put_ring)->tail));
    if (!line)
        status = mproc_fail(APR_ENOMEM, "%s: no memory for another thread that uses queues", call);
    while (status == APR_SUCCESS && ring_position(shm_load64(&queue_ring(&queue->get_ring)->head)) < end) {
        const ring_result_t result = queue_try_get(queue, line, UINT64_MAX, &claim);
        if (result == RING_OVER || (result == RING_NONE && !clear_on(queue, &claim, &patience)))
            break;
        if (result != RING_DONE)
            continue;
        queue_block_drop(claim.slot, ring_position(claim.index));
        /* Another thread ends the library: unfinished, it is found to be a dead one's. */
        if (!queue_count_got(queue, claim.slot, ring_position(claim.index), QUEUE_NOTHING))
            break;
        queue_finish_get(queue, &claim);
        cleared++;
    }
    if (count)
        *count = cleared;
    shared_release(shared);
    return status;
}
