/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file pool_object.h
 * @brief A pool as its owner has it, and what the files that make up its life share.
 *
 * pool.c makes pools, pool_start.c starts their workers, pool_records.c keeps their memory, pool_submit.c, pool_map.c
 * and pool_part.c put tasks in, pool_settle.c takes them away from workers and cleans up behind those that have died,
 * pool_dispatch.c is the thread that does so, pool_end.c ends it all. future.c and futures.c wait for single tasks,
 * stream.c strings them together. What workers do is in pool_claim.c, pool_worker.c and task.c.
 */
#ifndef MPROC_POOL_OBJECT_H
#define MPROC_POOL_OBJECT_H

#include <apr_thread_mutex.h>
#include <apr_thread_proc.h>

#include <mproc/future.h>
#include <mproc/stream.h>

#include "error.h"
#include "pool_claim.h"
#include "process_object.h"
#include "waiter.h"

typedef struct pool_t pool_t;
typedef struct map_t map_t;
typedef struct future_t future_t;

/* ---- Single tasks ------------------------------------------------------------------------------------------------ */

/** A single task, as the owner has it. Guarded by the pool's lock. */
struct future_t {
    mproc_future_t *handle; /* NULL: the program has none */
    pool_t *pool;
    int owner;             /* process id */
    pool_record_t *record; /* NULL: all that it had is here */
    int has_ended;
    int is_listed;  /* whoever ends it lists its record, which has not come to the dispatcher yet */
    int is_lent;    /* its handle is its callback's alone */
    unsigned users; /* the program's handle, the pool until it has ended, a stream, a callback that runs */
    apr_interval_time_t timeout;
    unsigned retries; /* left */
    uint64_t index;
    mproc_callback_fn_t callback;
    void *context;
    const void *result;
    size_t size;
    mproc_task_error_t error;
    closable_t closable;        /* of those who wait for it among other things */
    struct future_t *next_call; /* among those whose callbacks are to be called */
    struct future_t *next_of_stream;
};

/* ---- Maps -------------------------------------------------------------------------------------------------------- */

/** A part of a map, and how far the owner has seen it to be done. */
typedef struct map_part_t {
    pool_record_t *record;
    uint64_t seen;
    uint64_t memory; /* its units, if they are its own: an offset */
    struct map_part_t *next;
} map_part_t;

/** A map that is being done: it belongs to the thread that waits for it. Guarded by the pool's lock. */
struct map_t {
    pool_t *pool;
    map_part_t *parts; /* the last one first */
    map_part_t first;
    uint64_t memory; /* of all that its tasks need: an offset */
    uint64_t memory_size;
    apr_interval_time_t timeout;
    unsigned retries;
    int is_fixed;         /* the caller has chosen how large tasks are */
    apr_status_t stopped; /* why what was left was taken away; APR_SUCCESS: it was not */
    sys_time_t patience;  /* until when workers may take to be done with it then */
    uint64_t again;       /* items that were begun, and are in another part by now */
    uint64_t taken;       /* items that the owner has ended */
    unsigned doomed;      /* workers that may still be running tasks of it which were taken from them */
    map_t *next;
};

/* ---- Workers ----------------------------------------------------------------------------------------------------- */

/** A task that was taken from a worker which may still be running it: the rest is done when the worker is gone. */
typedef struct pool_doom_t {
    pool_record_t *record; /* NULL: none */
    map_t *map; /* whose units it is about; NULL: a single task, whose record is free then, or put in again */
    uint32_t unit;
    uint32_t word;
    mproc_task_error_t error;
} pool_doom_t;

typedef struct pool_worker_t {
    mproc_process_t *process; /* NULL: it does not run */
    int pid;
    sys_handle_t sentinel;
    sys_time_t start_at; /* when to start it, if it does not run */
    sys_time_t ready_by; /* when it must be ready; SYS_NEVER: it is, or need not */
    pool_doom_t doom;
    int is_killed;
    int is_spared; /* for a while: the system did not let it be killed just now */
    int is_late;   /* it was not ready in time */
    int was_started;
    int has_failed; /* to become ready, when it was started last */
    int is_starting;
    uint64_t done; /* tasks in its place before it was started */
} pool_worker_t;

/* ---- The pool ---------------------------------------------------------------------------------------------------- */

typedef enum pool_state_t {
    POOL_OPEN,
    POOL_SHUT,       /* nothing more comes, but from callbacks */
    POOL_BROKEN,     /* it has no workers, and cannot have any */
    POOL_TERMINATED, /* tasks are ended */
    POOL_JOINED      /* it is all over: the dispatcher has ended */
} pool_state_t;

/** What the owner has for each record. */
typedef struct pool_entry_t {
    pool_record_t *record;
    future_t *future; /* whose it is; NULL: a map's, or nobody's */
    map_t *map;
    uint32_t next;  /* a number + 1: the next free one, or the next that waits for room in the ring */
    int is_waiting; /* for that */
    int is_over;    /* and when it has come to its turn it is free */
} pool_entry_t;

/** What could not be freed when it was over, as workers were looking at it. */
typedef struct pool_limbo_t {
    pool_record_t *record;
    uint64_t memory; /* 0: none */
    uint64_t size;
    struct pool_limbo_t *next;
} pool_limbo_t;

typedef struct pool_known_t {
    uintptr_t address;
    uint64_t offset;
} pool_known_t;

struct pool_t {
    mproc_pool_t *handle;
    int owner;      /* process id */
    unsigned users; /* the handle, and futures; with the lock */
    mproc_pool_opts_t opts;
    char *name;
    void *data;
    apr_allocator_t *allocator;
    apr_pool_t *memory;
    apr_thread_mutex_t *mutex;
    apr_thread_t *dispatcher;
    sys_event_t alarm;
    void *state_handle; /* what workers share */
    shared_t *shared;
    pool_head_t *head;

    pool_state_t state;
    int was_broken;
    int was_terminated;
    char cause[MPROC_ERROR_TEXT]; /* why it is broken, or its workers could not start lately */
    pool_worker_t *workers;
    int is_gentle;     /* workers are not killed: they have a grace */
    unsigned failures; /* of starts, in a row */
    unsigned futile;   /* starts, in a row, of workers that were ready and ended without a task */
    uint64_t restarts;
    uint64_t deaths;
    uint64_t lost;            /* tasks that failed, but not in a worker */
    unsigned orphan_asks;     /* how often to ask about what dead workers have started, */
    sys_time_t orphan_ask_at; /* and when to do so next */
    unsigned calling;         /* callbacks that run, or are to be called */
    unsigned waiting;         /* threads that wait for a round */

    int is_watched;        /* the dispatcher looks now and then: see pool_wake_in_case() */
    int is_watching;       /* the dispatcher waits for workers' ends: what it waits by must not be closed */
    int are_listed;        /* all tasks: nothing more comes, and the dispatcher has to know when they have ended */
    sys_wait_t *sentinels; /* the dispatcher's */
    unsigned *sentinel_numbers;

    pool_entry_t *entries;
    uint32_t entry_count;
    uint32_t free_entry;  /* a number + 1 */
    uint32_t queue_first; /* of those that wait for room in the ring; a number + 1 */
    uint32_t queue_last;
    uint64_t queued;
    uint64_t unended;             /* single tasks that were put in and have not ended */
    uint64_t timed;               /* of these, and of maps, those whose tasks must end in time */
    apr_interval_time_t shortest; /* of these times; 0: there is none */
    uint64_t shortest_count;      /* of tasks and maps with just that; if there is none it is too short */
    sys_time_t shortest_since;    /* when it was looked for */
    map_t *maps;
    pool_limbo_t *limbo;
    uint64_t spare; /* memory of a map that is over, for the next one: an offset; 0: none */
    uint64_t spare_size;
    pool_known_t *functions;
    size_t function_count;
    size_t last_function;
    future_t *spare_futures; /* memory for the next ones, as the heap takes long */
    unsigned spare_future_count;
    future_t *calls_first; /* whose callbacks are to be called */
    future_t *calls_last;
    pool_t *next;  /* among all pools of this process; these are guarded by the list's lock */
    int was_ended; /* as the process or the library ends */
    int is_over;   /* it is closed, but there are futures */
};

/* ---- pool.c ------------------------------------------------------------------------------------------------------ */

/** Wake the threads that are in pool_wait(). With the lock held. */
void pool_tell_waiting(pool_t *pool);

/** Get the pool behind a handle for the public function `call`; the status has its text. */
apr_status_t pool_acquire(pool_t **pool, const mproc_pool_t *handle, const char *call);
void pool_release(const pool_t *pool);

void pool_lock(pool_t *pool);
void pool_unlock(pool_t *pool);

/** Let go of a pool for one of its users, with the lock held, which is released. */
void pool_let_go(pool_t *pool);

/** Fail if the pool takes no more tasks; with the lock held. The status has its text. */
apr_status_t pool_check_open(const pool_t *pool, const char *call);

/** Complete the time that a task may take: fail if tasks of the pool cannot be ended. The status has its text. */
apr_status_t pool_take_timeout(apr_interval_time_t *timeout, const pool_t *pool, const char *call);

/** Fail if this thread must not wait for the pool: its dispatcher, or one that runs its tasks. */
apr_status_t pool_check_may_wait(const pool_t *pool, const char *call);

/**
 * A worker may be stopped just before it would wake others: so as long as something is to be done all are woken now and
 * then that may not know of it. With the lock held.
 */
void pool_wake_in_case(pool_t *pool);

/** How often that is, in microseconds. */
enum { POOL_IN_CASE = 250000 };

/** Wait for a round of the pool's, which was looked at before, with the lock held, which is released meanwhile. */
apr_status_t pool_wait(pool_t *pool, uint32_t round, sys_time_t deadline);

/** Whether this is the pool's own thread. */
int pool_is_dispatcher(const pool_t *pool);

/** End all pools of this process: it ends. */
void pool_end_all(void);

/** In a forked child: they are its creator's. */
void pool_forked(void);

/* ---- pool_end.c -------------------------------------------------------------------------------------------------- */

/** As mproc_pool_terminate(), without a text. */
apr_status_t pool_terminate(pool_t *pool, apr_interval_time_t grace);

/* ---- pool_records.c ---------------------------------------------------------------------------------------------- */

/** Have memory of the pool's in the arena, and give it back: APR_ENOMEM. Without a text. */
apr_status_t pool_take_memory(pool_t *pool, uint64_t *offset, uint64_t size);
void pool_give_memory(pool_t *pool, uint64_t offset);

/** Have a record, in the state RECORD_FREE of a new generation: APR_ENOMEM, without a text. With the lock held. */
apr_status_t pool_get_record(pool_t *pool, pool_record_t **record);

/** Give it back, with what memory it has of its own. */
void pool_free_record(pool_t *pool, pool_record_t *record);

/** The entry of a record. */
pool_entry_t *pool_entry(pool_t *pool, const pool_record_t *record);

/** Find a function's place in the arena, or make one; the status has its text. With the lock held. */
apr_status_t pool_find_function(pool_t *pool, uint64_t *offset, uintptr_t address);

/** Have workers see a record, which is in its state: in the ring, or when there is room in it. With the lock held. */
void pool_put_in(pool_t *pool, pool_record_t *record, int ring);

/** How many tasks no worker has come to, those that were taken away meanwhile and maps too. With the lock held. */
uint64_t pool_count_waiting(const pool_t *pool);

/** Put into the ring what waits for room in it. With the lock held. */
void pool_feed(pool_t *pool);

/** Free what no worker looks at any more. With the lock held. */
void pool_clear_limbo(pool_t *pool);

/** Free a map's part, and memory, or have that be done when no worker looks at it any more. With the lock held. */
void pool_free_part(pool_t *pool, pool_record_t *record, uint64_t memory, uint64_t size);

/* ---- pool_start.c ------------------------------------------------------------------------------------------------ */

/** Start a worker; the status has its text. With the lock held, which is released meanwhile. */
apr_status_t pool_start_worker(pool_t *pool, unsigned number);

/** Start those whose time has come: when the next one's does. With the lock held. */
sys_time_t pool_start_workers(pool_t *pool);

/** A worker has ended before it was ready: count that. With the lock held. */
void pool_note_failure(pool_t *pool, unsigned number, const char *cause);

/** A worker has ended without having had a task: the next one comes later. With the lock held. */
void pool_note_futility(pool_t *pool, unsigned number);

/* ---- pool_settle.c ----------------------------------------------------------------------------------------------- */

/** Take in what is over: those whose records were listed. With the lock held. */
void pool_drain(pool_t *pool);

/**
 * If a worker has ended, or, being a thread, is done with what was taken from it, clean up behind it. With the lock
 * held, which is released in the end.
 */
void pool_settle_worker(pool_t *pool, unsigned number);

/** The id of the process that a worker is, or is in. With the lock held. */
int pool_worker_id(const pool_t *pool, unsigned number);

/** Ask about what dead workers have started, if it is time to: when it is the next time. With the lock held. */
sys_time_t pool_ask_about_orphans(pool_t *pool);

/**
 * Clean up behind a worker that could not be started: a child that the system does not let us watch is killed, but may
 * have begun a task by then. mproc_last_error() stays. With the lock held.
 */
void pool_settle_failed_start(pool_t *pool, unsigned number);

/** Whether a thread is done with what was taken from it, if anything was. With the lock held. */
int pool_is_doom_over(const pool_t *pool, unsigned number);

/** Read a worker's count of its tasks: see COUNT_IS_OPEN. With the lock held. */
uint64_t pool_read_count(const pool_t *pool, unsigned number, const shm_u64_t *count);

/** Take a task away from the worker that runs it: whether it did. It is killed, and the rest follows. With the lock. */
int pool_doom_single(future_t *future, uint64_t state, const mproc_task_error_t *error);
int pool_doom_units(map_t *map, pool_record_t *record, uint32_t unit, uint32_t word, const mproc_task_error_t *error);

/** Note that there is a task, or that there are some, with a timeout, or that it is over. With the lock held. */
void pool_begin_timed(pool_t *pool, apr_interval_time_t timeout);
void pool_end_timed(pool_t *pool, apr_interval_time_t timeout);

/** End tasks whose time is up: when the next one's may be. With the lock held. */
sys_time_t pool_check_times(pool_t *pool);

/** Kill a worker, if it can be killed. With the lock held. */
void pool_kill_worker(pool_t *pool, unsigned number);

/** End all tasks that have not ended, for this reason. With the lock held. */
void pool_fail_all(pool_t *pool, apr_status_t status, const char *text);

/** Whether all tasks have ended. With the lock held. */
int pool_is_idle(const pool_t *pool);

/* ---- pool_dispatch.c --------------------------------------------------------------------------------------------- */

/** Start the pool's thread; the status has its text. */
apr_status_t pool_start_dispatcher(pool_t *pool);

/** Have it look at the pool. */
void pool_alarm(pool_t *pool);

/** Have it look now and then, as there is something that it is to be told of. With the lock held. */
void pool_watch(pool_t *pool);

/* ---- pool_part.c ------------------------------------------------------------------------------------------------- */

/** Units were taken from a worker that is gone: they are run again, or have failed so. With the lock held. */
void map_lose(map_t *map, pool_record_t *record, uint32_t unit, uint32_t word, const mproc_task_error_t *error);

/** Have workers see a part of a map. With the lock held. */
void map_add_part(map_t *map, map_part_t *part, pool_record_t *record, int ring);

/** End what has not ended of a map. With the lock held. */
void map_stop(map_t *map, const mproc_task_error_t *error);

/** Whether this thread is in a function that is told the progress of a map of a pool. */
int map_is_telling(const pool_t *pool);

/** Tell how an item failed that no worker could say so of. With the lock held. */
void map_merge_error(map_t *map, pool_record_t *record, const mproc_task_error_t *error);

/** Kill the workers that are not done with a part of a map, and run nothing of it. With the lock held. */
void map_kill(map_t *map);

/** Whether a map has ended. With the lock held. */
int map_is_over(map_t *map);

/** How many items of a map are done, and how many of them have failed. With the lock held. */
uint64_t map_count_done(const map_t *map, uint64_t *failed);

/* ---- pool_submit.c ----------------------------------------------------------------------------------------------- */

/** What a single task is to be. */
typedef struct pool_order_t {
    mproc_task_fn_t function;
    const void *in;
    size_t size;
    uint64_t index;
    mproc_submit_opts_t opts;
    int is_kept; /* by the caller, who becomes a user of it; otherwise just its callback is told of its end */
} pool_order_t;

/** Put a single task in; the status has its text. With the lock held. */
apr_status_t future_submit(future_t **future, pool_t *pool, const pool_order_t *order, const char *call);

/* ---- future.c ---------------------------------------------------------------------------------------------------- */

/** Make the owner's side of a task: APR_ENOMEM, without a text. With the lock held. */
apr_status_t future_make(future_t **made, pool_t *pool, const pool_order_t *order);

/** Give a new task its handle: the program's, or its callback's alone. The status has its text. With the lock held. */
apr_status_t future_publish(mproc_future_t **handle, future_t *future, const char *call);

/** If its record has ended, take over how it went: whether it has ended. With the lock held. */
int future_look(future_t *future);

/** End a task whose record is the owner's again. With the lock held. */
void future_end(future_t *future, const mproc_task_error_t *error);

/** Cancel a task that has not ended, for a reason: whether that was so. With the lock held. */
int future_take(future_t *future, const mproc_task_error_t *error);

/** A task's worker is gone, or has nothing of it any more: it is run again, or fails so. With the lock held. */
void future_lose(future_t *future, const mproc_task_error_t *error);

/** Let go of a task for one of its users. With the lock held. */
void future_let_go(future_t *future);

/** Have whoever ends it list it for the dispatcher. With the lock held. */
void future_list(future_t *future);

/** Have whoever ends it tell the threads that wait for a round: whether it has not ended. With the lock held. */
int future_ask(future_t *future);

/** Wait until it has ended: APR_SUCCESS, APR_TIMEUP, MPROC_ECLOSED; without a text. Not with the lock held. */
apr_status_t future_await(future_t *future, sys_time_t deadline);

/** The result goes, as the library ends: whoever asks for it is told so. With the lock held. */
void future_forget_result(future_t *future);

/** Get the task behind a handle for the public function `call`; the status has its text. */
apr_status_t future_acquire(future_t **future, const mproc_future_t *handle, const char *call);

/** Have a thread be woken when it has ended that waits for it among other things: MPROC_EDEADLOCK, with its text. */
apr_status_t future_watch(future_t *future, const char *call);

int future_has_ended(future_t *future);

/** Tell how it went, into zeros; NULL is allowed. It has ended. */
void future_tell(mproc_task_error_t *error, const future_t *future);

/** Wake the threads that wait for one of several tasks. */
void futures_wake(void);

/** An error in words, of a task that no worker was told of. */
void pool_make_error(mproc_task_error_t *error, apr_status_t status, int pid, int exitcode, const char *format, ...)
    MPROC_FORMAT(5, 6);

#endif
