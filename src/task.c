/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "member.h"
#include "memory.h"
#include "pool_worker.h"

static int is_missing(const mproc_task_t *task, const char *function)
{
    mproc_forget_error(); /* so that a NULL or 0 that is an answer can be told from a refusal */
    if (task)
        return 0;
    mproc_fail(APR_EINVAL, "%s: the task is NULL", function);
    return 1;
}

/** Where something of a task's is: in a pool of threads it is no offset. */
static void *resolve(const worker_t *worker, uint64_t at)
{
    return worker->hand.head->is_of_threads ? (void *)(uintptr_t)at : arena_at(at);
}

const void *mproc_task_shared(mproc_task_t *task, size_t size)
{
    static const char function[] = "mproc_task_shared";
    if (is_missing(task, function))
        return NULL;
    const pool_part_t *part = task->count ? &task->claim->record->part : NULL;
    if (!part || !part->shared || part->shared_size != size) {
        mproc_fail(MPROC_ESIZE, "%s: the task expects %zu bytes, but the map was given %zu", function, size,
                   part && part->shared ? (size_t)part->shared_size : 0);
        return NULL;
    }
    return resolve(task->worker, part->shared);
}

mproc_call_t *mproc_task_call(mproc_task_t *task)
{
    return is_missing(task, "mproc_task_call") ? NULL : task->worker->call;
}

void mproc_task_set_state(mproc_task_t *task, void *state)
{
    if (!is_missing(task, "mproc_task_set_state"))
        task->worker->state = state;
}

void *mproc_task_state(mproc_task_t *task)
{
    return is_missing(task, "mproc_task_state") ? NULL : task->worker->state;
}

unsigned mproc_task_worker(mproc_task_t *task)
{
    return is_missing(task, "mproc_task_worker") ? 0 : task->worker->hand.number;
}

size_t mproc_task_index(mproc_task_t *task)
{
    return is_missing(task, "mproc_task_index") ? 0 : (size_t)task->index;
}

unsigned mproc_task_retries(mproc_task_t *task)
{
    return is_missing(task, "mproc_task_retries") ? 0 : task->tries;
}

int mproc_task_is_cancelled(mproc_task_t *task)
{
    if (is_missing(task, "mproc_task_is_cancelled"))
        return 0;
    /* A task of a pool that ends is told so when it was taken: how it goes from there on does not count any more. */
    return task->claim ? !pool_has_claim(task->claim) : shm_load(&task->worker->hand.head->order) == POOL_STOPS;
}

/* ---- Results ----------------------------------------------------------------------------------------------------- */

/** Take memory for a result: the slot has it, until its record has. */
static apr_status_t take_memory(worker_t *worker, uint64_t size)
{
    pool_head_t *head = worker->hand.head;
    transaction_t transaction;
    uint64_t part;
    if (!journal_begin(&transaction))
        return MPROC_EINIT;
    const apr_status_t status = memory_take(&transaction, &part, size, &head->head.object);
    if (status != APR_SUCCESS) {
        journal_abandon(&transaction);
        return status;
    }
    journal_put(&transaction, &worker->hand.slot->result, part);
    journal_commit(&transaction);
    return status;
}

void worker_drop_result(worker_t *worker)
{
    pool_slot_t *slot = worker->hand.slot;
    transaction_t transaction;
    if (!shm_read64(&slot->result) || !journal_begin(&transaction))
        return;
    memory_give(&transaction, journal_get(&transaction, &slot->result), &worker->hand.head->head.object);
    journal_put(&transaction, &slot->result, 0);
    journal_commit(&transaction);
}

/** Have memory for a result in the slot, or none where the record has room; without a text. */
static apr_status_t have_memory(mproc_task_t *task, size_t size)
{
    worker_t *worker = task->worker;
    pool_record_t *record = task->claim->record;
    /* Before that goes: a death in between must not give it back twice. */
    record->result = record->size = 0;
    worker_drop_result(worker);
    task->room = 0;
    task->has_no_result = 0;
    if (size <= sizeof record->result_room)
        return APR_SUCCESS;
    const apr_status_t status = take_memory(worker, size);
    if (status != APR_SUCCESS) {
        task->has_no_result = 1;
        return status;
    }
    task->room = size;
    record->result = shm_read64(&worker->hand.slot->result);
    return status;
}

/** Make room for a result of a task that may have one, and copy its bytes, if they are known: they may lie there. */
static apr_status_t make_result(mproc_task_t *task, void **data, size_t size, const void *from, const char *function)
{
    *data = NULL;
    if (!task->claim || task->count)
        return mproc_fail(MPROC_ESTATE, "%s: only a task with a message has a result of this kind", function);
    pool_record_t *record = task->claim->record;
    /* A result that becomes smaller stays where it is. */
    if (task->room == 0 || task->room < size) {
        const apr_status_t status = have_memory(task, size);
        if (status != APR_SUCCESS)
            return mproc_fail(status,
                              "%s: no room for %zu bytes in the family's memory (of %llu bytes), or in the system",
                              function, size, (unsigned long long)arena->size);
    }
    record->size = size;
    *data = record_result(record);
    if (from && size)
        memmove(*data, from, size);
    return APR_SUCCESS;
}

apr_status_t mproc_task_make_result(mproc_task_t *task, void **data, size_t size)
{
    static const char function[] = "mproc_task_make_result";
    if (data)
        *data = NULL;
    if (!task || !data)
        return mproc_fail(APR_EINVAL, "%s: %s is NULL", function, task ? "data" : "the task");
    return make_result(task, data, size, NULL, function);
}

apr_status_t mproc_task_set_result(mproc_task_t *task, const void *data, size_t size)
{
    static const char function[] = "mproc_task_set_result";
    void *room;
    if (!task || (!data && size))
        return mproc_fail(APR_EINVAL, "%s: %s is NULL", function, task ? "data" : "the task");
    return make_result(task, &room, size, data, function);
}

/* ---- Failures ---------------------------------------------------------------------------------------------------- */

void task_begin_error(mproc_task_t *task, apr_status_t status, int code)
{
    memset(task->error, 0, sizeof *task->error);
    task->error->index = task->index;
    task->error->status = status;
    task->error->code = code;
    task->error->pid = sys_getpid();
    task->error->tries = task->tries + 1;
}

void task_note_item(const mproc_task_t *task, uint64_t index, apr_status_t status)
{
    const uint64_t statuses = task->claim->record->part.statuses;
    if (statuses)
        shm_write((shm_u32_t *)arena_at(statuses) + index, (uint32_t)status);
}

int mproc_task_fail(mproc_task_t *task, int code, const char *format, ...)
{
    va_list values;
    if (is_missing(task, "mproc_task_fail"))
        return code ? code : 1;
    if (code == 0)
        code = 1;
    /* What was said of an item that comes later is of less interest. */
    task_begin_error(task, MPROC_ETASK, code);
    va_start(values, format);
    vsnprintf(task->error->text, sizeof task->error->text, format, values);
    va_end(values);
    task->has_text = 1;
    return code;
}

void mproc_task_fail_item(mproc_task_t *task, size_t item, int code, const char *format, ...)
{
    static const char function[] = "mproc_task_fail_item";
    va_list values;
    if (is_missing(task, function))
        return;
    if (item >= task->count) {
        mproc_fail(APR_EINVAL, "%s: there is no item %zu: the slice has %zu", function, item, task->count);
        return;
    }
    const uint64_t index = task->index + item;
    task_note_item(task, index, MPROC_ETASK);
    if (task->failed++ && task->error->index <= index)
        return;
    task_begin_error(task, MPROC_ETASK, code ? code : 1);
    task->error->index = index;
    va_start(values, format);
    vsnprintf(task->error->text, sizeof task->error->text, format, values);
    va_end(values);
}
