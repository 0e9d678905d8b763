/* SPDX-License-Identifier: Apache-2.0 */
#include "pool_worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "log.h"
#include "member.h"
#include "process_object.h"
#include "target.h"
#include "trace.h"

static _Thread_local const pool_head_t *pool_of_thread;
static unsigned siblings = 1;
static unsigned lineage; /* how often this process is a forked child */

const pool_head_t *worker_pool(void)
{
    return pool_of_thread;
}

unsigned worker_siblings(void)
{
    return siblings;
}

void worker_forked(void)
{
    lineage++;
}

/** Behind a function of the program's: it may have forked, and the copy has returned, too. */
static void end_copy(const worker_t *worker)
{
    /* What it has in common with its creator is its creator's. */
    if (worker->lineage != lineage)
        _Exit(0);
}

/* ---- Functions --------------------------------------------------------------------------------------------------- */

apr_status_t worker_find(worker_t *worker, uintptr_t *address, uint64_t offset)
{
    /* There are few, and most often it is the one that was found last. */
    for (size_t i = worker->function_count, left = WORKER_FUNCTIONS; i > 0 && left > 0; i--, left--) {
        const worker_function_t *known = &worker->functions[(i - 1) % WORKER_FUNCTIONS];
        if (known->offset == offset) {
            *address = known->address;
            return APR_SUCCESS;
        }
    }
    pool_function_t *function = arena_at(offset);
    *address = (uintptr_t)function->address;
    if (!worker->hand.head->is_of_threads) {
        mproc_target_t target;
        sys_place_t place = {.offset = function->offset,
                             .is_program = function->is_program,
                             .id_size = function->id_size,
                             .path = function->path};
        memcpy(place.id, function->id, sizeof place.id);
        const apr_status_t status = target_find(&target, &place);
        if (status != APR_SUCCESS)
            return status;
        memcpy(address, &target, sizeof *address);
    }
    worker->functions[worker->function_count++ % WORKER_FUNCTIONS] = (worker_function_t){offset, *address};
    return APR_SUCCESS;
}

/* ---- The owner's threads ----------------------------------------------------------------------------------------- */

/** Whether this worker can wake the dispatcher: if a task has closed all descriptors, its end does, which is due. */
static int has_alarm(worker_t *worker)
{
    if (!worker->has_no_alarm && !sys_event_is_intact(&worker->alarm))
        worker->has_no_alarm = 1;
    return !worker->has_no_alarm;
}

/** Wake the owner's dispatcher, if it sleeps. */
static void alarm_owner(worker_t *worker)
{
    shm_u32_t *is_asleep = &worker->hand.head->is_dispatcher_asleep;
    /* Who cannot set the alarm must not keep others from it. */
    if (shm_load(is_asleep) && has_alarm(worker) && shm_exchange(is_asleep, 0))
        sys_event_set(&worker->alarm);
}

/** Tell the dispatcher of what was listed for it. */
static void tell_dispatcher(worker_t *worker)
{
    if (shm_load64(&worker->hand.head->ended))
        alarm_owner(worker);
}

/** The ring has moved on: tell whoever waits for room, and the dispatcher that there is room for what it keeps. */
static void tell_room(worker_t *worker)
{
    pool_head_t *head = worker->hand.head;
    if (shm_load(&head->is_full) && shm_exchange(&head->is_full, 0))
        pool_tell(head);
    if (!shm_load(&head->is_feeding))
        return;
    const pool_ring_t *ring = pool_ring(head, POOL_FIRST);
    if (shm_load64(&ring->tail) - shm_load64(&ring->head) <= POOL_RING / 2 && has_alarm(worker) &&
        shm_exchange(&head->is_feeding, 0))
        alarm_owner(worker);
}

/* ---- Tasks ------------------------------------------------------------------------------------------------------- */

/** Say in general words why a task failed whose function did not. */
static void explain(mproc_task_t *task, int code)
{
    if (!task->has_text)
        snprintf(task->error->text, sizeof task->error->text, "the function returned %d", code);
}

/** The function was not found, and mproc_last_error() says why. */
static void explain_missing(mproc_task_t *task, apr_status_t status)
{
    task_begin_error(task, status, 0);
    snprintf(task->error->text, sizeof task->error->text, "%s", mproc_last_error()->text);
}

static void run_single(worker_t *worker, const pool_claim_t *claim)
{
    pool_record_t *record = claim->record;
    mproc_task_error_t error;
    mproc_task_t task = {
        .worker = worker, .claim = claim, .index = record->index, .tries = record->tries, .error = &error};
    uintptr_t address;
    int code = 0;
    record->status = APR_SUCCESS;
    record->result = record->size = 0;
    apr_status_t status = worker_find(worker, &address, record->function);
    if (status == APR_SUCCESS) {
        mproc_task_fn_t function;
        memcpy(&function, &address, sizeof function);
        code = function(&task, record->in ? arena_at(record->in) : record->message, (size_t)record->in_size);
        end_copy(worker);
        if (code != 0) {
            status = MPROC_ETASK;
            if (!task.has_text)
                task_begin_error(&task, status, code);
            error.code = code;
            explain(&task, code);
        } else if (task.has_no_result) {
            status = APR_ENOMEM;
            task_begin_error(&task, status, 0);
            snprintf(error.text, sizeof error.text, "the family has no memory for the result");
        }
    } else {
        explain_missing(&task, status);
    }
    record->status = status;
    if (status != APR_SUCCESS)
        record->error = error;
}

/** Where a part's items are. */
static void *items_at(const worker_t *worker, uint64_t array, uint64_t item_size, uint64_t item)
{
    if (!array)
        return NULL;
    unsigned char *first = worker->hand.head->is_of_threads ? (unsigned char *)(uintptr_t)array : arena_at(array);
    return first + item * item_size;
}

/** Call a part's function for the units that were claimed: whether it was found, and how it went. */
static apr_status_t call_slice(mproc_task_t *task, const pool_part_t *part, uint64_t first, int *code)
{
    worker_t *worker = task->worker;
    uintptr_t address;
    const apr_status_t status = worker_find(worker, &address, task->claim->record->function);
    if (status != APR_SUCCESS)
        return status;
    mproc_slice_fn_t function;
    memcpy(&function, &address, sizeof function);
    void *out = items_at(worker, part->out, part->out_item_size, first);
    if (part->is_copy && out)
        memset(out, 0, task->count * part->out_item_size);
    *code = function(task, items_at(worker, part->in, part->in_item_size, first), out, task->count);
    end_copy(worker);
    return APR_SUCCESS;
}

/** Run the units of a claim: how many of their items have failed. */
static uint64_t run_units(worker_t *worker, const pool_claim_t *claim)
{
    const pool_record_t *record = claim->record;
    const pool_part_t *part = &record->part;
    const uint64_t first = claim->unit * part->unit_items;
    const uint64_t most = unit_count(claim->word) * part->unit_items;
    mproc_task_t task = {.worker = worker,
                         .claim = claim,
                         .index = part->first_item + first,
                         .count = (size_t)(most < part->items - first ? most : part->items - first),
                         .tries = record->tries,
                         .error = &worker->hand.slot->error};
    int code = 0;
    /* What another worker has noted before it died. */
    if (task.tries && part->statuses)
        for (size_t i = 0; i < task.count; i++)
            task_note_item(&task, task.index + i, APR_SUCCESS);
    const apr_status_t status = call_slice(&task, part, first, &code);
    if (status != APR_SUCCESS) {
        explain_missing(&task, status);
    } else if (code != 0) {
        if (!task.has_text)
            task_begin_error(&task, MPROC_ETASK, code);
        task.error->code = code;
        explain(&task, code);
    }
    if (status != APR_SUCCESS || code != 0) {
        for (size_t i = 0; i < task.count; i++)
            task_note_item(&task, task.index + i, status != APR_SUCCESS ? status : MPROC_ETASK);
        task.failed = task.count;
    }
    if (task.failed)
        shm_store(&worker->hand.slot->has_error, 1);
    return task.failed;
}

/** Tell the first failure of the units that were done. */
static void tell_error(const worker_t *worker, const pool_claim_t *claim)
{
    pool_slot_t *slot = worker->hand.slot;
    pool_merge_error(claim->record, &slot->error, SYS_NEVER);
    shm_store(&slot->has_error, 0);
}

/** Write down what was run, when, and how it went. */
static void trace(const worker_t *worker, const pool_claim_t *claim, apr_status_t status)
{
    const pool_record_t *record = claim->record;
    const pool_function_t *function = arena_at(record->function);
    const int is_single = claim->unit == POOL_NO_UNIT;
    const uint64_t first = is_single ? record->index : record->part.first_item + claim->unit * record->part.unit_items;
    const uint64_t count = is_single ? 1 : unit_count(claim->word) * record->part.unit_items;
    char name[48];
    /* A function has no name at run time that could be had everywhere; debuggers know it by this. */
    snprintf(name, sizeof name, "%s +0x%llx", is_single ? "task" : "slice", (unsigned long long)function->offset);
    trace_task(worker->pool_name, worker->hand.number, name, first, count, claim->since, sys_now(), status);
}

/** Run a task: whether this worker can go on. */
static int run(worker_t *worker, const pool_claim_t *claim)
{
    pool_hand_t *hand = &worker->hand;
    pool_slot_t *slot = hand->slot;
    const int is_single = claim->unit == POOL_NO_UNIT;
    uint64_t failed = 0;
    if (is_single)
        run_single(worker, claim);
    else
        failed = run_units(worker, claim);
    const int has_failed = is_single ? claim->record->status != APR_SUCCESS : failed != 0;
    if (!is_single && !claim->record->part.is_fixed)
        pool_note_time(hand, claim, sys_now() - claim->since);
    if (hand->tells_time)
        trace(worker, claim, !has_failed ? APR_SUCCESS : is_single ? claim->record->status : slot->error.status);
    worker->tasks++;
    /* From here on its record has the result's memory, whoever gives it back. */
    if (is_single && shm_read64(&slot->result))
        shm_store64(&slot->result, 0);
    if (!pool_end_claim(hand, claim, has_failed)) {
        shm_store(&slot->has_error, 0);
        /* The owner took it, and kills this worker: another task must not die of that. Threads cannot be killed. */
        shm_store64(&slot->claim, 0);
        alarm_owner(worker);
        return hand->head->is_of_threads != 0;
    }
    if (failed) {
        shm_add64(&claim->record->part_state.failed, failed);
        tell_error(worker, claim);
    }
    return 1;
}

/* ---- The worker's life ------------------------------------------------------------------------------------------- */

/** Whether this worker is to make room for another one. */
static int is_worn(const worker_t *worker)
{
    const pool_head_t *head = worker->hand.head;
    uint64_t bytes;
    if (head->max_tasks && worker->tasks >= head->max_tasks)
        return 1;
    return head->max_memory && sys_private_bytes(&bytes) == APR_SUCCESS && bytes > head->max_memory;
}

/** Wait until there may be something to do: whether the pool goes on. */
static int wait_for_work(worker_t *worker, uint32_t bell)
{
    pool_head_t *head = worker->hand.head;
    const uint32_t order = shm_load(&head->order);
    if (order == POOL_STOPS || (order == POOL_LEAVES && !pool_has_work(head)))
        return 0;
    if (pool_begin_look(&worker->hand)) {
        const pool_ring_t *ring = pool_ring(head, POOL_FIRST);
        const int has_come = shared_glance64(worker->shared, &ring->tail, shm_load64(&ring->head));
        pool_end_look(&worker->hand);
        if (has_come)
            return 1;
    }
    if (trace_is_on())
        trace_flush();
    if (!pool_begin_sleep(&worker->hand) || shm_load(&head->order) != order)
        return 1;
    return shared_rest(worker->shared, &head->bell, bell, SYS_NEVER) != MPROC_ECLOSED;
}

static void work(worker_t *worker)
{
    pool_head_t *head = worker->hand.head;
    pool_claim_t claim;
    int was_idle = 1;
    while (shm_load(&head->order) != POOL_STOPS) {
        const uint32_t bell = shm_load(&head->bell);
        const int has_claim = pool_claim(&worker->hand, &claim);
        /* Also if all that it came by was taken away before: there is room then. */
        tell_room(worker);
        if (has_claim) {
            /* Of what was put in while it looked nobody else knows. */
            if (was_idle && pool_has_work(head))
                pool_wake(head, 1);
            was_idle = 0;
            const int goes_on = run(worker, &claim);
            tell_dispatcher(worker);
            if (!goes_on || worker->has_no_alarm || is_worn(worker))
                break;
        } else {
            was_idle = 1;
            if (!wait_for_work(worker, bell))
                break;
        }
    }
    pool_leave(&worker->hand);
    alarm_owner(worker);
}

/** Call the initializer: whether this worker can work. */
static int begin(worker_t *worker)
{
    mproc_task_t task = {.worker = worker, .error = &worker->hand.slot->error};
    mproc_initializer_fn_t function;
    uintptr_t address;
    const uint64_t offset = worker->hand.head->initializer;
    if (!offset)
        return 1;
    const apr_status_t status = worker_find(worker, &address, offset);
    if (status != APR_SUCCESS) {
        explain_missing(&task, status);
        return 0;
    }
    memcpy(&function, &address, sizeof function);
    const int code = function(&task);
    end_copy(worker);
    if (code == 0)
        return 1;
    if (!task.has_text)
        task_begin_error(&task, MPROC_ETASK, code);
    explain(&task, code);
    return 0;
}

static void end(worker_t *worker)
{
    mproc_task_error_t error;
    mproc_task_t task = {.worker = worker, .error = &error};
    mproc_finalizer_fn_t function;
    uintptr_t address;
    if (!worker->hand.head->finalizer || worker_find(worker, &address, worker->hand.head->finalizer) != APR_SUCCESS)
        return;
    memcpy(&function, &address, sizeof function);
    function(&task);
    end_copy(worker);
}

/* This worker's alarm, again: a task may end the thread, and with its stack the worker is gone. */
static _Thread_local sys_event_t alarm_of_thread;
static _Thread_local int has_alarm_of_thread;

/** The worker ends, or the call has: if with its thread, by a task, it was no end of the worker's. */
static void leave_pool(void)
{
    if (has_alarm_of_thread)
        sys_event_close(&alarm_of_thread);
    has_alarm_of_thread = 0;
    pool_of_thread = NULL;
}

/** Take over the alarm that was given. */
static apr_status_t adopt_alarm(worker_t *worker)
{
    const apr_status_t status = sys_event_adopt(&worker->alarm, (sys_handle_t)mproc_call_handle(worker->call, 0));
    if (status != APR_SUCCESS)
        return mproc_fail(status, "%s: the alarm was not given", worker->call->boot->name);
    alarm_of_thread = worker->alarm;
    has_alarm_of_thread = 1;
    worker->call->at_end = leave_pool;
    return APR_SUCCESS;
}

/** Find the pool that this worker is of. */
static apr_status_t attach(worker_t *worker, mproc_call_t *call)
{
    size_t size;
    const pool_argument_t *argument = mproc_call_arg(call, 0, &size);
    void *handle = call->share_count ? call->shares[call->share_count - 1] : NULL;
    worker->call = call;
    if (!argument || size != sizeof *argument)
        return mproc_fail(MPROC_EBUILD, "%s: this is no worker of a pool", call->boot->name);
    const apr_status_t status = shared_acquire(&worker->shared, handle, &pool_state_kind, call->boot->name);
    if (status != APR_SUCCESS)
        return status;
    /* It is open as long as the call is; and `exit` in a task must not wait for the end of this use. */
    shared_release(worker->shared);
    pool_head_t *head = arena_at(worker->shared->offset);
    worker->hand = (pool_hand_t){.head = head, .slot = pool_slot(head, argument->number), .number = argument->number};
    worker->lineage = lineage;
    return adopt_alarm(worker);
}

int pool_work(mproc_call_t *call)
{
    worker_t worker = {0};
    if (attach(&worker, call) != APR_SUCCESS) {
        mproc_log(MPROC_LOG_ERROR, "%s", mproc_last_error()->text);
        return EXIT_NOT_STARTED;
    }
    pool_slot_t *slot = worker.hand.slot;
    pool_of_thread = worker.hand.head;
    trace_begin();
    worker.hand.tells_time = trace_is_on();
    shm_get_text(worker.pool_name, worker.hand.head->head.name, sizeof worker.pool_name);
    if (!worker.hand.head->is_of_threads)
        siblings = worker.hand.head->worker_count;
    const int has_begun = begin(&worker);
    shm_store(&slot->stage, has_begun ? SLOT_READY : SLOT_FAILED);
    if (has_begun) {
        work(&worker);
        end(&worker);
        shm_store(&slot->stage, SLOT_LEAVING);
    }
    if (trace_is_on())
        trace_flush();
    leave_pool();
    return has_begun ? 0 : EXIT_NOT_STARTED;
}
