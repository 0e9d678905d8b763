/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file steps.h
 * @brief Steps in shared memory, in place of those of src/shm.h: each is one of the model's.
 */
#ifndef MPROC_SHM_H
#define MPROC_SHM_H

#include <stdatomic.h>

#include "model/model.h"
#include "sys.h"

typedef _Atomic uint32_t shm_u32_t;
typedef _Atomic uint64_t shm_u64_t;

/** The one lock whose algorithm is known here, so that its loop can begin anew as the same state. */
typedef struct steps_lock_t {
    const volatile void *word;
    const volatile void *watcher;
} steps_lock_t;

extern steps_lock_t steps_lock;

/**
 * For a model whose loops begin with certain steps: called before and after each, with what it writes; and whether a
 * word never changes there, so that to read it is no step. NULL: there is nothing of that.
 */
extern void (*steps_before)(step_kind_t kind, const volatile void *at);
extern void (*steps_after)(step_kind_t kind, const volatile void *at, uint64_t value, uint64_t result);
extern int steps_observes; /* by shm_observe64() */
extern int (*steps_is_constant)(const volatile void *at);

/** How often this process has written something. */
extern unsigned steps_written;

/* The lowest bits of model_tag. */
enum { TAG_OWNS = 1, TAG_WATCHES = 2, TAG_ACQUIRES = 4, TAG_BITS = 3 };

/** Before a body: it has done nothing. */
void steps_reset(void);

/** Around an acquisition. */
void steps_acquire_begin(void);
void steps_acquire_end(int is_acquired, int is_told_of_death);

/**
 * A lock as simple as it can be, where that is not what is tested: whoever comes first has it, and the time that the
 * others wait has no steps. Whether it was taken from a dead owner.
 */
int steps_acquire_simply(shm_u32_t *word, uint32_t ticket, int (*is_dead)(uint32_t ticket));

uint64_t shm_step(step_kind_t kind, const volatile void *at, size_t width, uint64_t before, uint64_t after);

static inline uint32_t shm_load(const shm_u32_t *word)
{
    return (uint32_t)shm_step(STEP_LOAD, word, 4, 0, 0);
}

static inline void shm_store(shm_u32_t *word, uint32_t value)
{
    shm_step(STEP_STORE, word, 4, 0, value);
}

static inline uint32_t shm_exchange(shm_u32_t *word, uint32_t value)
{
    return (uint32_t)shm_step(STEP_EXCHANGE, word, 4, 0, value);
}

static inline uint32_t shm_add(shm_u32_t *word, uint32_t value)
{
    return (uint32_t)shm_step(STEP_ADD, word, 4, 0, value);
}

static inline int shm_replace(shm_u32_t *word, uint32_t before, uint32_t after)
{
    return shm_step(STEP_REPLACE, word, 4, before, after) != 0;
}

static inline uint64_t shm_load64(const shm_u64_t *word)
{
    return shm_step(STEP_LOAD, word, 8, 0, 0);
}

static inline uint64_t shm_add64(shm_u64_t *word, uint64_t value)
{
    return shm_step(STEP_ADD, word, 8, 0, value);
}

static inline int shm_replace64(shm_u64_t *word, uint64_t before, uint64_t after)
{
    return shm_step(STEP_REPLACE, word, 8, before, after) != 0;
}

static inline void shm_store64(shm_u64_t *word, uint64_t value)
{
    shm_step(STEP_STORE, word, 8, 0, value);
}

static inline void shm_write(shm_u32_t *word, uint32_t value)
{
    shm_step(STEP_STORE, word, 4, 0, value);
}

static inline uint64_t shm_read64(const shm_u64_t *word)
{
    return shm_step(STEP_LOAD, word, 8, 0, 0);
}

static inline void shm_write64(shm_u64_t *word, uint64_t value)
{
    shm_step(STEP_STORE, word, 8, 0, value);
}

static inline uint64_t shm_observe64(const shm_u64_t *word)
{
    steps_observes = 1;
    const uint64_t value = shm_step(STEP_LOAD, word, 8, 0, 0);
    steps_observes = 0;
    return value;
}

static inline void shm_publish64(shm_u64_t *word, uint64_t value)
{
    shm_step(STEP_STORE, word, 8, 0, value);
}

static inline uint32_t shm_set(shm_u32_t *word, uint32_t bits)
{
    return (uint32_t)shm_step(STEP_SET, word, 4, 0, bits);
}

static inline uint64_t shm_set64(shm_u64_t *word, uint64_t bits)
{
    return shm_step(STEP_SET, word, 8, 0, bits);
}

static inline uint64_t shm_unset64(shm_u64_t *word, uint64_t bits)
{
    return shm_step(STEP_UNSET, word, 8, 0, bits);
}

/** What time it is for the code under test: none passes, and deadlines are how long it sleeps. */
static inline int shm_park(shm_u32_t *word, uint32_t value, sys_time_t deadline)
{
    return shm_step(STEP_PARK, word, 4, value, (uint64_t)deadline) != 0;
}

static inline void shm_unpark(shm_u32_t *word, unsigned count)
{
    shm_step(STEP_UNPARK, word, 4, 0, count);
}

#endif
