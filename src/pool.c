/* SPDX-License-Identifier: Apache-2.0 */
/* Making and unmaking pools, and what they tell. */
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "handle.h"
#include "initialize.h"
#include "memory.h"
#include "pool_object.h"
#include "pool_worker.h"
#include "start_method.h"
#include "trace.h"

/*
 * All pools of this process, and how many there were. They have a lock of their own: who has it may lock a pool, and
 * who has a pool's may lock processes. It is held for moments only.
 */
static pool_t *pools;
static unsigned made;
static _Atomic int is_list_locked;

static void lock_list(void)
{
    while (atomic_exchange(&is_list_locked, 1))
        apr_thread_yield();
}

static void unlock_list(void)
{
    atomic_store(&is_list_locked, 0);
}

/* ---- What workers share ------------------------------------------------------------------------------------------ */

/** Have all who wait look again. */
static void stir(void *at)
{
    pool_tell(at);
    pool_wake_all(at);
}

static void describe(const void *at, char *text, size_t size)
{
    const pool_head_t *head = at;
    apr_snprintf(text, size, "%u workers, %u sleep", head->worker_count, (unsigned)shm_load(&head->sleepers));
}

const shared_kind_t pool_state_kind = {HANDLE_POOL_STATE, "pool", sizeof(pool_head_t), stir, NULL, describe};

static void init_state(void *at, const void *context)
{
    const mproc_pool_opts_t *opts = context;
    pool_head_t *head = at;
    head->worker_count = opts->workers;
    head->is_of_threads = opts->start_method == MPROC_THREAD;
    head->max_tasks = opts->max_tasks;
    head->max_memory = opts->max_memory;
}

static apr_status_t furnish_state(transaction_t *transaction, void *at, const void *context)
{
    const mproc_pool_opts_t *opts = context;
    pool_head_t *head = at;
    apr_status_t status = memory_take(transaction, &head->slots, opts->workers * sizeof(pool_slot_t), at);
    for (int i = 0; i < POOL_RINGS && status == APR_SUCCESS; i++)
        status = memory_take(transaction, &head->rings[i], sizeof(pool_ring_t), at);
    return status;
}

static apr_status_t make_state(pool_t *pool, const char *call)
{
    const shared_plan_t plan = {.kind = &pool_state_kind,
                                .name = pool->name,
                                .init = init_state,
                                .context = &pool->opts,
                                .furnish = furnish_state};
    apr_status_t status = shared_create(&pool->state_handle, &plan, call);
    if (status == APR_SUCCESS)
        status = shared_acquire(&pool->shared, pool->state_handle, &pool_state_kind, call);
    if (status != APR_SUCCESS)
        return status;
    /* The dispatcher keeps it open, so it stays. */
    shared_release(pool->shared);
    pool->head = arena_at(pool->shared->offset);
    trace_begin();
    memset(arena_at(pool->head->slots), 0, pool->opts.workers * sizeof(pool_slot_t));
    for (int i = 0; i < POOL_RINGS; i++)
        memset(pool_ring(pool->head, i), 0, sizeof(pool_ring_t));
    return APR_SUCCESS;
}

/* ---- The lock, and who uses it ----------------------------------------------------------------------------------- */

void pool_lock(pool_t *pool)
{
    apr_thread_mutex_lock(pool->mutex);
}

void pool_unlock(pool_t *pool)
{
    apr_thread_mutex_unlock(pool->mutex);
}

apr_status_t pool_wait(pool_t *pool, uint32_t round, sys_time_t deadline)
{
    const sys_time_t in_case = sys_now() + POOL_IN_CASE;
    pool->waiting++;
    pool_unlock(pool);
    const apr_status_t status =
        shared_rest(pool->shared, &pool->head->rounds, round, deadline < in_case ? deadline : in_case);
    pool_lock(pool);
    pool->waiting--;
    if (deadline < in_case)
        return status;
    if (sys_now() >= in_case)
        pool_wake_in_case(pool);
    return status == APR_TIMEUP ? APR_SUCCESS : status;
}

void pool_wake_in_case(pool_t *pool)
{
    if (pool_has_work(pool->head))
        pool_wake_all(pool->head);
}

void pool_tell_waiting(pool_t *pool)
{
    if (pool->waiting > 0)
        pool_tell(pool->head);
}

apr_status_t pool_acquire(pool_t **pool, const mproc_pool_t *handle, const char *call)
{
    void *object;
    const apr_status_t status = handle_acquire(&object, handle, HANDLE_POOL);
    *pool = NULL;
    if (status == APR_EINVAL)
        return mproc_fail(status, "%s: the pool is NULL", call);
    if (status != APR_SUCCESS)
        return mproc_fail(status, "%s: %p is not an open pool: closed before, or never one", call,
                          (const void *)handle);
    *pool = object;
    if ((*pool)->owner == sys_getpid())
        return APR_SUCCESS;
    handle_release(handle);
    *pool = NULL;
    return mproc_fail(MPROC_EFOREIGN, "%s: the pool belongs to the process that this one was forked from", call);
}

void pool_release(const pool_t *pool)
{
    handle_release(pool->handle);
}

apr_status_t pool_check_open(const pool_t *pool, const char *call)
{
    if (pool->state == POOL_OPEN || (pool->state == POOL_SHUT && pool_is_dispatcher(pool)))
        return APR_SUCCESS;
    if (pool->was_broken)
        return mproc_fail(MPROC_EBROKENPOOL, "%s: %s is broken: %s", call, pool->name, pool->cause);
    if (pool->was_terminated)
        return mproc_fail(MPROC_ETERMINATED, "%s: %s was terminated", call, pool->name);
    return mproc_fail(MPROC_ESTATE, "%s: %s was shut down", call, pool->name);
}

apr_status_t pool_take_timeout(apr_interval_time_t *timeout, const pool_t *pool, const char *call)
{
    if (*timeout < 0)
        *timeout = 0;
    if (*timeout && pool->head->is_of_threads)
        return mproc_fail(APR_ENOTIMPL, "%s: a task of a thread cannot be ended when its time is up", call);
    return APR_SUCCESS;
}

apr_status_t pool_check_may_wait(const pool_t *pool, const char *call)
{
    if (pool_is_dispatcher(pool))
        return mproc_fail(MPROC_EDEADLOCK, "%s: called in a callback of %s, which others would wait for", call,
                          pool->name);
    if (worker_pool() && worker_pool() == pool->head)
        return mproc_fail(MPROC_EDEADLOCK, "%s: called in a task of %s, which would wait for itself", call, pool->name);
    return APR_SUCCESS;
}

/* ---- Unmaking ---------------------------------------------------------------------------------------------------- */

/** Nobody uses a pool any more, not even a future: free what it has. */
static void free_pool(pool_t *pool)
{
    lock_list();
    for (pool_t **link = &pools; *link; link = &(*link)->next) {
        if (*link == pool) {
            *link = pool->next;
            break;
        }
    }
    unlock_list();
    shared_close_any(pool->state_handle);
    if (pool->alarm.sentinel != SYS_NO_HANDLE)
        sys_event_close(&pool->alarm);
    if (pool->memory)
        apr_pool_destroy(pool->memory);
    if (pool->allocator)
        apr_allocator_destroy(pool->allocator);
    while (pool->limbo) {
        pool_limbo_t *next = pool->limbo->next;
        free(pool->limbo);
        pool->limbo = next;
    }
    while (pool->spare_futures) {
        future_t *next = pool->spare_futures->next_call;
        free(pool->spare_futures);
        pool->spare_futures = next;
    }
    free(pool->name);
    free(pool->data);
    free(pool->workers);
    free(pool->entries);
    free(pool->functions);
    free(pool->sentinels);
    free(pool->sentinel_numbers);
    free(pool);
}

void pool_let_go(pool_t *pool)
{
    const unsigned users = --pool->users;
    pool_unlock(pool);
    if (users == 0)
        free_pool(pool);
}

/** Let go of the objects that workers shared. */
static void close_shares(pool_t *pool)
{
    for (size_t i = 0; i < MPROC_POOL_SHARE_MAX && pool->opts.share[i]; i++)
        shared_close_any(pool->opts.share[i]);
}

/**
 * The handle is closed, and nobody uses it: its dispatcher has ended, or is about to. What the pool has in the arena
 * stays as long as there are futures, as their results lie there.
 */
static void destroy(void *object)
{
    apr_status_t result;
    pool_t *pool = object;
    if (pool->owner != sys_getpid())
        return;
    apr_thread_join(&result, pool->dispatcher);
    lock_list();
    pool->is_over = 1;
    unlock_list();
    pool_lock(pool);
    while (pool->waiting > 0) {
        pool_tell(pool->head);
        pool_unlock(pool);
        apr_sleep(100);
        pool_lock(pool);
    }
    close_shares(pool);
    pool_let_go(pool);
}

static apr_status_t close_with_pool(void *handle)
{
    mproc_pool_terminate(handle, 0);
    mproc_pool_join(handle, MPROC_FOREVER);
    mproc_pool_close(handle);
    return APR_SUCCESS;
}

/** End one pool, as its process ends; a callback that does not return is not waited for. */
static void end_pool(pool_t *pool)
{
    const apr_interval_time_t patience = MPROC_SECONDS(1);
    mproc_pool_t *handle = pool->handle;
    pool_terminate(pool, 0);
    if (pool_check_may_wait(pool, "mproc_terminate") == APR_SUCCESS && mproc_pool_join(handle, patience) == APR_SUCCESS)
        mproc_pool_close(handle);
}

/** A pool that is open and was not ended so far, in use; NULL: there is none. */
static pool_t *take_one(void)
{
    void *object;
    lock_list();
    pool_t *pool = pools;
    while (pool && (pool->was_ended || handle_acquire(&object, pool->handle, HANDLE_POOL) != APR_SUCCESS))
        pool = pool->next;
    if (pool)
        pool->was_ended = 1;
    unlock_list();
    return pool;
}

/** The arena goes, and the results of tasks with it. */
static void forget_results(pool_t *pool)
{
    pool_lock(pool);
    for (uint32_t i = 0; i < pool->entry_count; i++) {
        if (pool->entries[i].future)
            future_forget_result(pool->entries[i].future);
        pool->entries[i].future = NULL;
    }
    pool_unlock(pool);
}

void pool_end_all(void)
{
    for (pool_t *pool = take_one(); pool; pool = take_one()) {
        const mproc_pool_t *handle = pool->handle;
        end_pool(pool);
        handle_release(handle);
    }
    lock_list();
    for (pool_t *pool = pools; pool; pool = pool->next)
        if (pool->is_over)
            forget_results(pool);
    unlock_list();
}

void pool_forked(void)
{
    pools = NULL;
    unlock_list();
    worker_forked();
}

/* ---- Making ------------------------------------------------------------------------------------------------------ */

/** Complete the options, or say what is wrong with them. */
static apr_status_t complete(mproc_pool_opts_t *opts, const char *call)
{
    enum { START_FAILURES = 3 };
    apr_status_t status = start_method_resolve(&opts->start_method);
    if (status != APR_SUCCESS)
        return status;
    if (opts->workers > MPROC_POOL_WORKERS_MAX)
        return mproc_fail(APR_EINVAL, "%s: %u workers, but %d is the most", call, opts->workers,
                          MPROC_POOL_WORKERS_MAX);
    if ((opts->data == NULL) != (opts->size == 0))
        return mproc_fail(APR_EINVAL, "%s: data is %s, but its size is %zu", call, opts->data ? "set" : "NULL",
                          opts->size);
    if (opts->name && (!*opts->name || strlen(opts->name) > 64))
        return mproc_fail(APR_EINVAL, "%s: a name has 1 to 64 bytes", call);
    if (opts->start_method == MPROC_THREAD && opts->max_memory)
        return mproc_fail(APR_ENOTIMPL, "%s: a thread has no memory of its own", call);
    if (opts->start_timeout < 0)
        opts->start_timeout = MPROC_FOREVER;
    else if (opts->start_timeout == 0)
        opts->start_timeout = MPROC_SECONDS(60);
    if (opts->workers == 0) {
        const unsigned cpus = (unsigned)sys_cpu_count() / worker_siblings();
        opts->workers = cpus == 0 ? 1 : cpus > MPROC_POOL_WORKERS_MAX ? MPROC_POOL_WORKERS_MAX : cpus;
    }
    if (opts->max_start_failures == 0)
        opts->max_start_failures = START_FAILURES;
    return APR_SUCCESS;
}

/** Copy what the options point to. */
static apr_status_t copy_options(pool_t *pool, const mproc_pool_opts_t *opts, const char *call)
{
    char name[32];
    lock_list();
    const unsigned number = ++made;
    unlock_list();
    apr_snprintf(name, sizeof name, "Pool-%u", number);
    pool->opts = *opts;
    memset(pool->opts.share, 0, sizeof pool->opts.share);
    pool->name = strdup(opts->name ? opts->name : name);
    pool->data = opts->size ? malloc(opts->size) : NULL;
    pool->workers = calloc(opts->workers, sizeof *pool->workers);
    if (!pool->name || !pool->workers || (opts->size && !pool->data))
        return mproc_fail(APR_ENOMEM, "%s: no memory for a pool of %u workers", call, opts->workers);
    if (opts->size)
        memcpy(pool->data, opts->data, opts->size);
    for (unsigned i = 0; i < opts->workers; i++)
        pool->workers[i].ready_by = SYS_NEVER;
    for (size_t i = 0; i < MPROC_POOL_SHARE_MAX && opts->share[i]; i++) {
        const apr_status_t status = shared_open_again(&pool->opts.share[i], opts->share[i], call);
        if (status != APR_SUCCESS)
            return status;
    }
    return APR_SUCCESS;
}

static apr_status_t make_lock(pool_t *pool, const char *call)
{
    apr_status_t status = apr_allocator_create(&pool->allocator);
    if (status == APR_SUCCESS)
        status = apr_pool_create_unmanaged_ex(&pool->memory, NULL, pool->allocator);
    if (status == APR_SUCCESS)
        status = apr_thread_mutex_create(&pool->mutex, APR_THREAD_MUTEX_DEFAULT, pool->memory);
    if (status == APR_SUCCESS)
        status = sys_event_create(&pool->alarm);
    if (status == APR_SUCCESS)
        sys_event_know(&pool->alarm);
    return status == APR_SUCCESS ? status : mproc_fail(status, "%s: no lock or event can be had", call);
}

static apr_status_t find_functions(pool_t *pool)
{
    uintptr_t address;
    apr_status_t status = APR_SUCCESS;
    if (pool->opts.initializer) {
        memcpy(&address, &pool->opts.initializer, sizeof address);
        status = pool_find_function(pool, &pool->head->initializer, address);
    }
    if (pool->opts.finalizer && status == APR_SUCCESS) {
        memcpy(&address, &pool->opts.finalizer, sizeof address);
        status = pool_find_function(pool, &pool->head->finalizer, address);
    }
    return status;
}

/** Start the workers: some may fail, and are started later, but not all. */
static apr_status_t start_all(pool_t *pool)
{
    kept_error_t kept;
    mproc_keep_error(&kept);
    pool_lock(pool);
    apr_status_t status = pool_start_worker(pool, 0);
    for (unsigned i = 1; i < pool->opts.workers && status == APR_SUCCESS; i++) {
        if (pool_start_worker(pool, i) == APR_SUCCESS)
            continue;
        pool_note_failure(pool, i, mproc_last_error()->text);
        mproc_restore_error(&kept);
    }
    pool_unlock(pool);
    return status;
}

/** Undo what was done for a pool that cannot be made; what mproc_last_error() tells stays. */
static void unmake(pool_t *pool)
{
    apr_status_t result;
    kept_error_t kept;
    mproc_keep_error(&kept);
    if (pool->dispatcher) {
        pool_terminate(pool, 0);
        apr_thread_join(&result, pool->dispatcher);
    }
    for (unsigned i = 0; pool->workers && i < pool->opts.workers; i++) {
        if (!pool->workers[i].process)
            continue;
        shm_store(&pool->head->order, POOL_STOPS);
        pool_wake_all(pool->head);
        mproc_process_kill(pool->workers[i].process);
        mproc_process_finish(pool->workers[i].process, NULL);
    }
    close_shares(pool);
    free_pool(pool);
    mproc_restore_error(&kept);
}

static apr_status_t make(pool_t **made_pool, const mproc_pool_opts_t *opts, const char *call)
{
    pool_t *pool = *made_pool = calloc(1, sizeof *pool);
    if (!pool)
        return mproc_fail(APR_ENOMEM, "%s: no memory for a pool", call);
    pool->owner = sys_getpid();
    pool->users = 1;
    pool->alarm.sentinel = pool->alarm.setter = SYS_NO_HANDLE;
    apr_status_t status = copy_options(pool, opts, call);
    if (status == APR_SUCCESS)
        status = make_lock(pool, call);
    if (status == APR_SUCCESS)
        status = make_state(pool, call);
    if (status == APR_SUCCESS)
        status = find_functions(pool);
    if (status == APR_SUCCESS)
        status = start_all(pool);
    if (status == APR_SUCCESS)
        status = pool_start_dispatcher(pool);
    if (status == APR_SUCCESS) {
        pool->handle = handle_open(HANDLE_POOL, pool, destroy);
        if (!pool->handle)
            status = mproc_fail(APR_ENOMEM, "%s: no memory for a pool", call);
    }
    return status;
}

apr_status_t mproc_pool_create_sized(mproc_pool_t **handle, const mproc_pool_opts_t *opts, size_t opts_size)
{
    static const char call[] = "mproc_pool_create";
    mproc_pool_opts_t options;
    pool_t *pool = NULL;
    if (handle)
        *handle = NULL;
    apr_status_t status = library_check_initialized(call);
    if (status == APR_SUCCESS && !handle)
        status = mproc_fail(APR_EINVAL, "%s: nowhere to store the pool: it is NULL", call);
    if (status == APR_SUCCESS)
        status = shared_take_options(&options, sizeof options, opts, opts_size, call);
    if (status == APR_SUCCESS)
        status = complete(&options, call);
    if (status == APR_SUCCESS)
        status = make(&pool, &options, call);
    if (status != APR_SUCCESS) {
        if (pool)
            unmake(pool);
        return status;
    }
    /* Once it is listed another thread that exits may end it. */
    *handle = pool->handle;
    lock_list();
    pool->next = pools;
    pools = pool;
    unlock_list();
    if (options.pool)
        apr_pool_cleanup_register(options.pool, *handle, close_with_pool, apr_pool_cleanup_null);
    return APR_SUCCESS;
}

/* ---- Telling ----------------------------------------------------------------------------------------------------- */

static void tell(mproc_pool_info_t *info, const pool_t *pool)
{
    pool_claim_t claim;
    info->workers = pool->opts.workers;
    info->restarts = pool->restarts;
    info->deaths = pool->deaths;
    info->done = info->failed = pool->lost;
    for (unsigned i = 0; i < pool->opts.workers; i++) {
        const pool_slot_t *slot = pool_slot(pool->head, i);
        /* In this order: those that have failed are never more than those that are done. */
        info->failed += pool_read_count(pool, i, &slot->failed);
        info->done += pool_read_count(pool, i, &slot->done);
        if (!pool->workers[i].process)
            continue;
        info->ready += shm_load(&slot->stage) == SLOT_READY;
        info->busy += pool_see_claim(pool->head, i, &claim) == CLAIM_RUNS;
    }
    info->queued = pool_count_waiting(pool);
}

apr_status_t mproc_pool_info_sized(mproc_pool_t *handle, mproc_pool_info_t *info, size_t info_size)
{
    static const char call[] = "mproc_pool_info";
    mproc_pool_info_t complete_info = {0};
    pool_t *pool;
    if (!info)
        return mproc_fail(APR_EINVAL, "%s: nowhere to store it: it is NULL", call);
    if (info_size > sizeof complete_info)
        return mproc_fail(MPROC_EBUILD, "%s: the program was built for a later libmproc", call);
    memset(info, 0, info_size);
    const apr_status_t status = pool_acquire(&pool, handle, call);
    if (status != APR_SUCCESS)
        return status;
    pool_lock(pool);
    tell(&complete_info, pool);
    pool_unlock(pool);
    pool_release(pool);
    memcpy(info, &complete_info, info_size);
    return APR_SUCCESS;
}

int mproc_pool_worker_pid(mproc_pool_t *handle, unsigned number)
{
    pool_t *pool;
    if (pool_acquire(&pool, handle, "mproc_pool_worker_pid") != APR_SUCCESS)
        return 0;
    pool_lock(pool);
    const int pid = number < pool->opts.workers ? pool->workers[number].pid : 0;
    pool_unlock(pool);
    pool_release(pool);
    mproc_forget_error();
    return pid;
}
