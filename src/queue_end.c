/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a queue: that nothing more comes, said by somebody, or seen by its ends. */
#include "error.h"
#include "member.h"
#include "queue_object.h"

static int can_grow(const queue_t *queue)
{
    return shm_load64(&queue->maxsize) == 0;
}

/** With the lock of one that can grow: whoever sees the flag knows that no ring follows the one that is closed. */
static void close_here(queue_t *queue)
{
    if (!(shm_load(&queue->flags) & QUEUE_FINISHED))
        shm_set(&queue->flags, QUEUE_FINISHED);
    shm_set64(&queue_ring(&queue->put_ring)->tail, RING_CLOSED);
}

void queue_close_puts(queue_t *queue)
{
    const robust_wait_t wait = {.self = member_self(), .deadline = SYS_NEVER};
    if (can_grow(queue))
        robust_acquire(&queue->growth, &wait);
    close_here(queue);
    if (can_grow(queue))
        robust_release(&queue->growth);
    queue_wake_getters(queue);
    queue_wake_putters(queue, UINT32_MAX);
}

/** Whether nothing more comes, and if so, whether everything says so already. */
static int has_ended(const queue_t *queue, int *is_closed)
{
    const uint32_t flags = shm_load(&queue->flags);
    const uint64_t ends = shm_load64(&queue->ends);
    *is_closed = (flags & QUEUE_FINISHED) && (shm_load64(&queue_ring(&queue->put_ring)->tail) & RING_CLOSED);
    return ((flags & QUEUE_HAD_PUTTER) && (uint32_t)ends == 0) || ((flags & QUEUE_HAD_GETTER) && ends >> 32 == 0) ||
           (flags & QUEUE_FINISHED);
}

int queue_is_finished(queue_t *queue)
{
    int is_closed;
    if (!has_ended(queue, &is_closed))
        return 0;
    if (!is_closed)
        queue_close_puts(queue);
    return 1;
}

void queue_note_end(queue_t *queue)
{
    int is_closed;
    if (!has_ended(queue, &is_closed) || is_closed)
        return;
    /* Who has the lock of one that grows wants the family's, perhaps: it looks itself when it is done. */
    if (!can_grow(queue)) {
        close_here(queue);
    } else if (robust_try(&queue->growth, member_self())) {
        close_here(queue);
        robust_release(&queue->growth);
    }
}

apr_status_t mproc_queue_finish(mproc_queue_t *handle)
{
    shared_t *shared;
    const apr_status_t status = queue_acquire(&shared, handle, 0, "mproc_queue_finish");
    if (status != APR_SUCCESS)
        return status;
    queue_close_puts(queue_behind(shared));
    shared_release(shared);
    return status;
}

/* ---- Putters and getters ----------------------------------------------------------------------------------------- */

static void stir(void *at)
{
    queue_kind.stir(queue_at(shm_load64(&((queue_end_t *)at)->queue)));
}

static void describe(const void *at, char *text, size_t size)
{
    queue_describe_end(shm_load64(&((const queue_end_t *)at)->queue), text, size);
}

const shared_kind_t queue_putter_kind = {
    HANDLE_QUEUE_PUTTER, "putter of a queue", sizeof(queue_end_t), stir, NULL, describe};
const shared_kind_t queue_getter_kind = {
    HANDLE_QUEUE_GETTER, "getter of a queue", sizeof(queue_end_t), stir, NULL, describe};

/** Open an end: counted from when it is made; that there was one is noted when it is there. */
static apr_status_t open_end(mproc_queue_t **end, mproc_queue_t *handle, apr_pool_t *pool, const shared_kind_t *kind,
                             const char *call)
{
    void *made = NULL;
    shared_t *shared;
    if (end)
        *end = NULL;
    apr_status_t status = queue_acquire(&shared, handle, 0, call);
    if (status != APR_SUCCESS)
        return status;
    queue_t *queue = queue_behind(shared);
    const int is_putter = kind == &queue_putter_kind;
    const shared_t kept = {.offset = arena_offset(queue)};
    const shared_plan_t plan = {
        .kind = kind, .pool = pool, .kept = &kept, .worth = is_putter ? QUEUE_PUTTER : QUEUE_GETTER};
    if (is_putter && queue_is_finished(queue))
        status = mproc_fail(APR_EPIPE, "%s: the queue is finished", call);
    else
        status = shared_create(end ? &made : NULL, &plan, call);
    if (status == APR_SUCCESS)
        shm_set(&queue->flags, is_putter ? QUEUE_HAD_PUTTER : QUEUE_HAD_GETTER);
    shared_release(shared);
    if (end)
        *end = made;
    return status;
}

apr_status_t mproc_queue_open_putter(mproc_queue_t **putter, mproc_queue_t *queue, apr_pool_t *pool)
{
    return open_end(putter, queue, pool, &queue_putter_kind, "mproc_queue_open_putter");
}

apr_status_t mproc_queue_open_getter(mproc_queue_t **getter, mproc_queue_t *queue, apr_pool_t *pool)
{
    return open_end(getter, queue, pool, &queue_getter_kind, "mproc_queue_open_getter");
}
