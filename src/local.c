/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each thread has a table of its values, by the handles of their locals. It alone reads it without a lock, and adds to
 * it; whoever closes a local takes the values out of all tables. A value is taken out of its entry, with the lock, by
 * whoever hands it to the destructor, so that happens once.
 */
#include <mproc/local.h>

#include <stdatomic.h>
#include <stdlib.h>

#include <apr_thread_proc.h>

#include "error.h"
#include "handle_table.h"
#include "initialize.h"
#include "local.h"
#include "process_object.h"
#include "sys.h"

/** What is behind a handle. */
typedef struct local_t {
    void *handle;
    void (*destructor)(void *value);
    int is_left; /* it is closed: whoever ends the last call of its destructor frees it */
} local_t;

/** A thread's value. */
typedef struct entry_t {
    _Atomic(const void *) key; /* the handle; NULL: never used; see `gone` */
    _Atomic(void *) value;
    local_t *local;   /* valid as long as there is a value */
    unsigned lineage; /* see below */
} entry_t;

/** A thread's values. Where others look at it, there is the lock; its entries are its own to read. */
typedef struct table_t {
    struct table_t *next; /* of all that there ever were: threads come and go, and take over those of others */
    int is_taken;         /* by a thread that lives */
    /* The local of which its thread is just setting a value; a count of uses would outlive that thread in a fork. */
    _Atomic(const void *) setting;
    entry_t *entries;
    size_t room; /* of them; a power of two, or 0 */
    size_t used; /* those that have, or had, a key */
    sys_thread_exit_t at_exit;
} table_t;

/** A call of a destructor that is going on. */
typedef struct call_t {
    local_t *local;
    struct call_t *next;  /* of all threads */
    struct call_t *outer; /* of this thread, which has called a destructor in a destructor */
} call_t;

/* The key of an entry whose local was closed. */
static const char gone;

static _Atomic(table_t *) all;
static _Thread_local table_t *mine;

static call_t *calls;
static _Thread_local call_t *inner;

/* How often this process is a forked child: what its creator has set is not destroyed when a target returns here. */
static unsigned lineage;

/* ---- Tables ------------------------------------------------------------------------------------------------------ */

static size_t hash(const void *key)
{
    const uint64_t number = (uint64_t)(uintptr_t)key >> HANDLE_INDEX_SHIFT;
    return (size_t)(number * 0x9e3779b97f4a7c15u >> 32);
}

/** The entry of a key, or NULL. */
static entry_t *find(const table_t *table, const void *key)
{
    const size_t first = hash(key);
    for (size_t i = 0; i < table->room; i++) {
        /* The sum may wrap around, where there are 32 bits. */
        entry_t *entry = &table->entries[(first + i) & (table->room - 1)];
        const void *found = atomic_load_explicit(&entry->key, memory_order_relaxed);
        if (found == key)
            return entry;
        if (!found)
            break;
    }
    return NULL;
}

/** An entry that has no key; there is one. */
static entry_t *find_free(entry_t *entries, size_t room, const void *key)
{
    size_t i = hash(key);
    for (;; i++) {
        entry_t *entry = &entries[i & (room - 1)];
        const void *found = atomic_load_explicit(&entry->key, memory_order_relaxed);
        if (!found || found == &gone)
            return entry;
    }
}

static void put(entry_t *entry, const void *key, local_t *local, void *value)
{
    atomic_store_explicit(&entry->value, value, memory_order_relaxed);
    entry->local = local;
    entry->lineage = lineage;
    atomic_store_explicit(&entry->key, key, memory_order_relaxed);
}

/** Have room for one more in this thread's table, and none for what is gone. */
static apr_status_t make_room(table_t *table)
{
    enum { LEAST = 8 };
    size_t count = 1;
    if ((table->used + 1) * 4 <= table->room * 3)
        return APR_SUCCESS;
    process_lock();
    for (size_t i = 0; i < table->room; i++)
        count += atomic_load(&table->entries[i].key) && atomic_load(&table->entries[i].key) != &gone;
    process_unlock();
    size_t room = LEAST;
    while (count * 2 > room)
        room *= 2;
    entry_t *entries = calloc(room, sizeof *entries);
    if (!entries)
        return APR_ENOMEM;
    process_lock();
    entry_t *old = table->entries;
    size_t used = 0;
    for (size_t i = 0; i < table->room; i++) {
        const void *key = atomic_load(&old[i].key);
        if (!key || key == &gone)
            continue;
        entry_t *entry = find_free(entries, room, key);
        put(entry, key, old[i].local, atomic_load(&old[i].value));
        entry->lineage = old[i].lineage;
        used++;
    }
    table->entries = entries;
    table->room = room;
    table->used = used;
    process_unlock();
    free(old);
    return APR_SUCCESS;
}

/* ---- Destroying -------------------------------------------------------------------------------------------------- */

/** Whether a destructor of a local is being called; with the lock. */
static int is_called(const local_t *local)
{
    for (const call_t *call = calls; call; call = call->next)
        if (call->local == local)
            return 1;
    return 0;
}

/** Take the value out of an entry, with the lock: whether there is a call to be made. */
static int begin_call(call_t *call, void **value, entry_t *entry)
{
    *value = atomic_exchange(&entry->value, NULL);
    if (!*value || !entry->local->destructor)
        return 0;
    *call = (call_t){entry->local, calls, inner};
    calls = inner = call;
    return 1;
}

static void make_call(call_t *call, void *value)
{
    local_t *local = call->local;
    local->destructor(value);
    process_lock();
    call_t **one = &calls;
    while (*one != call)
        one = &(*one)->next;
    *one = call->next;
    inner = call->outer;
    const int is_last = local->is_left && !is_called(local);
    process_unlock();
    if (is_last)
        free(local);
}

/** Destroy the values of this thread, or those that were set since the process was forked: whether there were any. */
static int destroy_each(const table_t *table, int is_all)
{
    int has_found = 0;
    /* What is called may set others, and so have the table grow. */
    for (size_t i = 0; i < table->room; i++) {
        call_t call;
        void *value = NULL;
        entry_t *entry = &table->entries[i];
        if (!atomic_load(&entry->value))
            continue;
        process_lock();
        const int is_to_be_called = (is_all || entry->lineage == lineage) && begin_call(&call, &value, entry);
        process_unlock();
        if (is_to_be_called)
            make_call(&call, value);
        has_found |= is_to_be_called;
    }
    return has_found;
}

/** The same, and what destructors set meanwhile. There is an end to it: two of them could go on for ever. */
static void destroy_all(const table_t *table, int is_all)
{
    enum { ROUNDS = 16 };
    for (int i = 0; i < ROUNDS && destroy_each(table, is_all); i++) {}
}

/** This thread ends. If what else it does at its end sets values, it takes another table. */
static void end_thread(void *context)
{
    table_t *table = context;
    destroy_all(table, 1);
    mine = NULL;
    process_lock();
    entry_t *entries = table->entries;
    table->entries = NULL;
    table->room = table->used = 0;
    table->is_taken = 0;
    process_unlock();
    free(entries);
}

void local_end_target(void)
{
    if (mine)
        destroy_all(mine, 0);
}

/** Destroy a thread's value of a local that is closed. */
static void destroy_in(const table_t *table, const local_t *local)
{
    call_t call;
    void *value = NULL;
    process_lock();
    entry_t *entry = find(table, local->handle);
    const int is_to_be_called = entry && begin_call(&call, &value, entry);
    if (entry)
        atomic_store(&entry->key, (const void *)&gone);
    process_unlock();
    if (is_to_be_called)
        make_call(&call, value);
}

/** The handle is closed, so nobody begins to set a value any more. */
static void destroy(void *object)
{
    local_t *local = object;
    /* Those who are setting one are soon done, and then it is destroyed here. */
    for (const table_t *table = atomic_load(&all); table; table = table->next)
        while (atomic_load(&table->setting) == local->handle)
            apr_thread_yield();
    for (const table_t *table = atomic_load(&all); table; table = table->next)
        destroy_in(table, local);
    for (;;) {
        process_lock();
        const int is_busy = is_called(local);
        /* A destructor waits for no other one, lest two of them wait for each other. */
        const int is_left = local->is_left = is_busy && inner;
        process_unlock();
        if (is_left)
            return;
        if (!is_busy)
            break;
        apr_sleep(100);
    }
    free(local);
}

void local_forked(void)
{
    for (table_t *table = atomic_load(&all); table; table = table->next) {
        if (table == mine || !table->is_taken)
            continue;
        table->entries = NULL;
        table->room = table->used = 0;
        table->is_taken = 0;
        atomic_store(&table->setting, NULL);
    }
    if (calls) {
        calls = inner;
        for (call_t *call = inner; call; call = call->outer)
            call->next = call->outer;
    }
    if (mine)
        lineage++;
}

/* ---- Threads ----------------------------------------------------------------------------------------------------- */

/** Take over a table that no thread has, or make another. */
static table_t *take_table(void)
{
    table_t *table;
    process_lock();
    for (table = atomic_load(&all); table && table->is_taken; table = table->next) {}
    if (table)
        table->is_taken = 1;
    process_unlock();
    if (table)
        return table;
    table = calloc(1, sizeof *table);
    if (!table)
        return NULL;
    table->is_taken = 1;
    process_lock();
    table->next = atomic_load(&all);
    atomic_store(&all, table);
    process_unlock();
    return table;
}

/** Have a table for this thread. */
static apr_status_t begin_thread(void)
{
    table_t *taken = mine ? NULL : take_table();
    if (mine)
        return APR_SUCCESS;
    if (!taken)
        return APR_ENOMEM;
    const apr_status_t status = sys_at_thread_exit(&taken->at_exit, end_thread, taken);
    if (status == APR_SUCCESS) {
        mine = taken;
        return status;
    }
    process_lock();
    taken->is_taken = 0;
    process_unlock();
    return status;
}

/** Add a value to this thread's, which has a table. */
static apr_status_t add(const void *key, local_t *local, void *value)
{
    const apr_status_t status = make_room(mine);
    if (status != APR_SUCCESS)
        return status;
    process_lock();
    entry_t *entry = find_free(mine->entries, mine->room, key);
    mine->used += atomic_load(&entry->key) == NULL;
    put(entry, key, local, value);
    process_unlock();
    return APR_SUCCESS;
}

/* ---- Handles ----------------------------------------------------------------------------------------------------- */

static apr_status_t refuse(const void *handle, const char *call)
{
    if (!handle)
        return mproc_fail(APR_EINVAL, "%s: the local is NULL", call);
    return mproc_fail(MPROC_ECLOSED, "%s: %p is not an open local: closed before, or never one", call, handle);
}

static apr_status_t close_with_pool(void *handle)
{
    mproc_local_close(handle);
    return APR_SUCCESS;
}

apr_status_t mproc_local_create(mproc_local_t **handle, void (*destructor)(void *value), apr_pool_t *pool)
{
    static const char call[] = "mproc_local_create";
    if (!handle)
        return mproc_fail(APR_EINVAL, "%s: nowhere to store the local: it is NULL", call);
    *handle = NULL;
    const apr_status_t status = library_check_initialized(call);
    if (status != APR_SUCCESS)
        return status;
    local_t *local = calloc(1, sizeof *local);
    if (local) {
        local->destructor = destructor;
        local->handle = handle_open(HANDLE_LOCAL, local, destroy);
    }
    if (!local || !local->handle) {
        free(local);
        return mproc_fail(APR_ENOMEM, "%s: no memory for another local", call);
    }
    *handle = local->handle;
    if (pool)
        apr_pool_cleanup_register(pool, *handle, close_with_pool, apr_pool_cleanup_null);
    return APR_SUCCESS;
}

/** Whether a handle is that of a local that is open. */
static int is_open(const void *handle)
{
    handle_slot_t *slot;
    uintptr_t generation;
    return handle_find(&slot, &generation, handle, HANDLE_LOCAL) == APR_SUCCESS &&
           handle_is_open(atomic_load(&slot->word), generation);
}

/** Set this thread's value of a local that stays meanwhile. */
static apr_status_t set(const void *key, local_t *local, void *value)
{
    entry_t *entry = find(mine, key);
    if (!entry)
        return value ? add(key, local, value) : APR_SUCCESS;
    entry->lineage = lineage;
    atomic_store(&entry->value, value);
    return APR_SUCCESS;
}

apr_status_t mproc_local_set(mproc_local_t *handle, void *value)
{
    static const char call[] = "mproc_local_set";
    if (!is_open(handle))
        return refuse(handle, call);
    apr_status_t status = value ? begin_thread() : APR_SUCCESS;
    if (mine && status == APR_SUCCESS) {
        /* Before it is looked whether the local is open: whoever closes it looks for this after it was closed. */
        atomic_store(&mine->setting, handle);
        void *local = handle_peek(handle, HANDLE_LOCAL);
        if (local)
            status = set(handle, local, value);
        atomic_store_explicit(&mine->setting, NULL, memory_order_release);
        if (!local)
            return refuse(handle, call);
    }
    return status == APR_SUCCESS ? status : mproc_fail(status, "%s: no memory for another value", call);
}

void *mproc_local_get(mproc_local_t *handle)
{
    if (!is_open(handle)) {
        refuse(handle, "mproc_local_get");
        return NULL;
    }
    mproc_forget_error();
    entry_t *entry = mine ? find(mine, handle) : NULL;
    return entry ? atomic_load_explicit(&entry->value, memory_order_acquire) : NULL;
}

apr_status_t mproc_local_close(mproc_local_t *handle)
{
    if (!handle || handle_close(handle, HANDLE_LOCAL) == APR_SUCCESS)
        return APR_SUCCESS;
    return refuse(handle, "mproc_local_close");
}
