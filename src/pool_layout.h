/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file pool_layout.h
 * @brief Pools in the arena: what a pool's owner and its workers share.
 *
 * A pool has one owner, the process that made it, whose threads put tasks in; workers take them. So only workers can
 * die and leave something behind: with the owner goes the pool. And all that workers do to it is a few steps
 * (pool_claim.c), each of which leaves a state that the owner can read off their slots and records (pool_settle.c).
 *
 * A *record* is a single task, or a part of a map. Records never move and are never given back while there is the pool,
 * so that whoever comes late to one finds a record; its *state* has a generation, so that he finds it is another one.
 * Two *rings* tell workers the order: records that are run again come before all others.
 *
 * A part of a map has *units*, a word for each: consecutive ones are claimed together, by one step at the word of the
 * first one, which so has an owner as soon as it is nobody else's. Where the next claim begins, the part says;
 * that follows the claims, and whoever finds it behind moves it on.
 */
#ifndef MPROC_POOL_LAYOUT_H
#define MPROC_POOL_LAYOUT_H

#include <mproc/pool.h>

#include "shared.h"

/* ---- Records ----------------------------------------------------------------------------------------------------- */

/** What a record is just now: the lowest bits of its state. */
typedef enum record_kind_t {
    RECORD_FREE,    /* nothing */
    RECORD_QUEUED,  /* a single task that nobody has begun */
    RECORD_CLAIMED, /* a worker, whose number the state has, runs it */
    RECORD_ENDED,   /* it has run, by that worker, and the record tells how it went */
    RECORD_TAKEN,   /* the owner took it from a worker, or from the ring: how it went, the owner knows */
    RECORD_OPEN     /* a part of a map, whose units can be claimed */
} record_kind_t;

#define RECORD_KIND ((uint64_t)7)
/** Whoever ends it wakes the owner's threads that wait; and lists it for the owner's dispatcher. */
#define RECORD_IS_AWAITED ((uint64_t)8)
#define RECORD_IS_LISTED ((uint64_t)16)
#define RECORD_WORKER_SHIFT 8
#define RECORD_WORKER ((uint64_t)0xfff << RECORD_WORKER_SHIFT)
#define RECORD_GENERATION_SHIFT 32

enum { RECORD_MESSAGE_ROOM = 160, RECORD_SHORT_RESULT = 16, RECORD_RESULT_ROOM = 256 };

/** A part of a map: some items in a row, and what their tasks need. Offsets, or addresses in a pool of threads. */
typedef struct pool_part_t {
    uint64_t in;
    uint64_t out;
    uint64_t in_item_size;
    uint64_t out_item_size;
    uint64_t first_item; /* of the map's */
    uint64_t items;
    uint64_t unit_items; /* of each unit, but the last */
    uint64_t units;      /* the words of the units: an offset */
    uint64_t unit_count;
    uint64_t shared;
    uint64_t shared_size;
    uint64_t statuses; /* a word for each item of the map; 0: not wanted */
    uint64_t errors;   /* a pool_errors_t */
    uint32_t is_fixed; /* one unit for each task; otherwise as many as are worth it */
    uint32_t is_copy;  /* the output is the pool's, to be zeroed before it is run again */
} pool_part_t;

/** How far a part is. */
typedef struct pool_part_state_t {
    shm_u64_t next;    /* the unit to be claimed next, or one before */
    shm_u32_t left;    /* how many are not done, or done and not counted yet */
    shm_u32_t is_torn; /* counting does not tell any more when it is done: look at the units */
    shm_u64_t failed;  /* how many items */
    shm_u64_t pace;    /* how many units were worth a claim lately, for who comes new to it */
} pool_part_state_t;

typedef struct pool_record_t {
    shm_u64_t state;
    shm_u64_t next;     /* when it is listed: an offset */
    uint32_t number;    /* in the owner's table */
    int32_t status;     /* how it went, and if it failed there is an error in place of the result */
    uint64_t function;  /* what to call: see pool_function_t */
    uint64_t index;     /* of the input */
    uint64_t in;        /* the message: an offset; 0: in the record itself */
    uint64_t in_size;   /* in bytes */
    uint64_t result;    /* its memory; 0: in the record itself */
    uint64_t size;      /* of the result, in bytes */
    uint32_t tries;     /* how often it was begun before */
    shm_u32_t is_timed; /* the worker tells when it begins; who is about to claim it may find another one's */
    /* A short message and a short result lie in the same line as what goes before. */
    _Alignas(16) unsigned char short_result[RECORD_SHORT_RESULT];
    union {
        _Alignas(16) unsigned char message[RECORD_MESSAGE_ROOM];
        pool_part_t part;
    };
    union {
        _Alignas(64) unsigned char result_room[RECORD_RESULT_ROOM];
        mproc_task_error_t error;
        pool_part_state_t part_state;
    };
} pool_record_t;

_Static_assert(sizeof(pool_record_t) == 512, "records lie in lines of the cache of their own");

/** How many records the owner takes memory for at one time: a span of the arena, with the link of its part. */
enum { POOL_SLAB = 127 };

/* ---- Units ------------------------------------------------------------------------------------------------------- */

/** A word of a unit: what became of it, who has it, and how many from there on were claimed together. */
enum {
    UNIT_FREE = 0,
    UNIT_CLAIMED = 1,
    UNIT_DONE = 2,
    UNIT_TAKEN = 3, /* by the owner, from a worker or from nobody */
    UNIT_KIND = 3,
    UNIT_WORKER_SHIFT = 2,
    UNIT_WORKER = 0xfff << UNIT_WORKER_SHIFT,
    UNIT_COUNT_SHIFT = 14,
    UNIT_COUNT_MAX = (1 << 18) - 1
};

/** In place of a worker's number: the owner has it. */
#define POOL_OWNER 0xfffu

static inline uint32_t unit_word(uint32_t kind, unsigned worker, uint32_t count)
{
    return count << UNIT_COUNT_SHIFT | worker << UNIT_WORKER_SHIFT | kind;
}

static inline uint32_t unit_kind(uint32_t word)
{
    return word & UNIT_KIND;
}

static inline unsigned unit_worker(uint32_t word)
{
    return (word & UNIT_WORKER) >> UNIT_WORKER_SHIFT;
}

static inline uint32_t unit_count(uint32_t word)
{
    return word >> UNIT_COUNT_SHIFT;
}

/** The first item of a map that failed: two places, of which one counts, and whoever changes that has the lock. */
typedef struct pool_errors_t {
    robust_t lock;
    shm_u32_t which; /* the place that counts, from 1; 0: none */
    uint32_t reserved;
    mproc_task_error_t errors[2];
} pool_errors_t;

/* ---- Rings ------------------------------------------------------------------------------------------------------- */

enum { POOL_RING = 4096, POOL_RINGS = 2 };

/** Which ring. */
enum { POOL_AGAIN, POOL_FIRST };

/** The order of records. The owner appends; workers move the head past what is claimed. */
typedef struct pool_ring_t {
    _Alignas(64) shm_u64_t head;
    _Alignas(64) shm_u64_t tail;
    _Alignas(64) shm_u64_t entries[POOL_RING]; /* a record's place and, in the lower half, its generation */
} pool_ring_t;

/* ---- Workers ----------------------------------------------------------------------------------------------------- */

/** How far a worker is. */
enum { SLOT_STARTING, SLOT_READY, SLOT_LEAVING, SLOT_FAILED };

/** Where a worker says what it does. Whoever takes its place has the same. */
typedef struct pool_slot_t {
    _Alignas(64) shm_u64_t claim; /* what it has, or is about to claim: a record's place and a unit; 0: nothing */
    shm_u64_t since;              /* when it began that, as sys_now() has it, if it is timed */
    shm_u64_t part;               /* the part whose units it looks at, or has not counted: a place; 0: none */
    shm_u64_t result;             /* memory that it has taken for a result: an offset; 0: none */
    shm_u64_t done;               /* how many tasks, since the pool was made: a count, see below */
    shm_u64_t failed;             /* of these: another one */
    shm_u32_t stage;
    shm_u32_t has_error; /* of the units that it has claimed: to be told once they are done */
    uint64_t reserved;
    mproc_task_error_t error; /* that one; or why it could not begin */
} pool_slot_t;

/**
 * A worker counts what it has done in twos. The lowest bit is for the moment in which it ends a claim: that one counts,
 * too, unless it runs still or was taken away. So a count is right whenever the worker dies, and whoever is told of the
 * end finds it counted.
 */
#define COUNT_IS_OPEN ((uint64_t)1)
#define COUNT_ONE ((uint64_t)2)

/** In place of a unit, for a single task. */
#define POOL_NO_UNIT UINT32_MAX

/** A function as another process finds it. */
typedef struct pool_function_t {
    uint64_t address; /* in a pool of threads */
    uint64_t offset;
    uint32_t is_program;
    uint32_t id_size;
    unsigned char id[SYS_IMAGE_ID_MAX];
    char path[]; /* of the module; empty for the program */
} pool_function_t;

/* ---- The pool ---------------------------------------------------------------------------------------------------- */

/** What workers are to do. */
enum {
    POOL_WORKS,
    POOL_LEAVES, /* end when there is nothing left to do */
    POOL_STOPS   /* end at once, after the task that runs */
};

typedef struct pool_head_t {
    shared_head_t head;
    uint64_t keeps_none; /* OBJECT_KEPT_AT */
    shm_u64_t memory;    /* OBJECT_MEMORY_AT */
    uint64_t reserved;
    /* Written once. */
    uint64_t rings[POOL_RINGS]; /* offsets */
    uint64_t slots;
    uint64_t initializer; /* functions, as in a record; 0: none */
    uint64_t finalizer;
    uint64_t max_tasks;
    uint64_t max_memory;
    uint32_t worker_count;
    uint32_t is_of_threads;

    _Alignas(64) shm_u32_t bell; /* workers sleep here */
    shm_u32_t sleepers;          /* how many, or more: see pool_wake() */
    shm_u32_t looker;            /* who looks for tasks, before it sleeps: its number + 1; 0: nobody */
    shm_u32_t order;
    _Alignas(64) shm_u64_t ended; /* records that were listed when they ended, the last one first: an offset */
    shm_u32_t rounds;             /* threads of the owner sleep here, until what they wait for has ended */
    shm_u32_t is_dispatcher_asleep;
    shm_u32_t is_feeding; /* the owner has records that the ring had no room for: tell it when there is */
    shm_u32_t is_full;    /* threads of the owner wait until there are fewer */
} pool_head_t;

/** The share of a worker's that the pool is: the last one. Its argument is its number. */
typedef struct pool_argument_t {
    uint32_t number;
} pool_argument_t;

static inline pool_ring_t *pool_ring(const pool_head_t *head, int which)
{
    return arena_at(head->rings[which]);
}

static inline pool_slot_t *pool_slot(const pool_head_t *head, unsigned worker)
{
    return (pool_slot_t *)arena_at(head->slots) + worker;
}

/** A record's place is its offset in lines of the cache, so that 32 bits will do. */
static inline pool_record_t *pool_record(uint64_t place)
{
    return arena_at(place << 6);
}

static inline uint64_t pool_place(const pool_record_t *record)
{
    return arena_offset(record) >> 6;
}

/** Where a record has its result. */
static inline void *record_result(pool_record_t *record)
{
    if (record->result)
        return arena_at(record->result);
    return record->size <= sizeof record->short_result ? record->short_result : record->result_room;
}

static inline shm_u32_t *pool_units(const pool_record_t *record)
{
    return arena_at(record->part.units);
}

static inline record_kind_t record_kind(uint64_t state)
{
    return (record_kind_t)(state & RECORD_KIND);
}

static inline unsigned record_worker(uint64_t state)
{
    return (unsigned)((state & RECORD_WORKER) >> RECORD_WORKER_SHIFT);
}

/** The same state with another kind, and nobody's. */
static inline uint64_t record_become(uint64_t state, record_kind_t kind)
{
    return (state & ~(RECORD_KIND | RECORD_WORKER)) | (uint64_t)kind;
}

#endif
