/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file kills.h
 * @brief Steps in memory, in place of those of src/shm.h, for one process at a time, which can be killed before any.
 *
 * Here the memory is real: what is tested is too large to try all orders. What is written can be undone.
 */
#ifndef MPROC_SHM_H
#define MPROC_SHM_H

#include <setjmp.h>
#include <stdatomic.h>

#include "sys.h"

typedef _Atomic uint32_t shm_u32_t;
typedef _Atomic uint64_t shm_u64_t;

/** Where whoever is killed ends. */
extern jmp_buf kills_end;

/** The number of steps until the process is killed, if that is not negative. */
extern long kills_left;

/** A step: the process may be killed before it. */
void kills_step(void);

/** Before a part of the memory is written. */
void kills_save(void *at, size_t size);

/** Begin to save what is written; and have it again as it was. */
void kills_mark(void);
void kills_undo(void);

/** The test looks at what was stored. */
void kills_stored(const shm_u32_t *word, uint32_t value);

static inline uint32_t shm_load(const shm_u32_t *word)
{
    kills_step();
    return atomic_load(word);
}

static inline void shm_store(shm_u32_t *word, uint32_t value)
{
    kills_step();
    kills_save(word, sizeof *word);
    atomic_store(word, value);
    kills_stored(word, value);
}

static inline uint32_t shm_exchange(shm_u32_t *word, uint32_t value)
{
    kills_step();
    kills_save(word, sizeof *word);
    return atomic_exchange(word, value);
}

static inline uint32_t shm_add(shm_u32_t *word, uint32_t value)
{
    kills_step();
    kills_save(word, sizeof *word);
    return atomic_fetch_add(word, value);
}

static inline int shm_replace(shm_u32_t *word, uint32_t before, uint32_t after)
{
    kills_step();
    kills_save(word, sizeof *word);
    return atomic_compare_exchange_strong(word, &before, after);
}

static inline uint64_t shm_load64(const shm_u64_t *word)
{
    kills_step();
    return atomic_load(word);
}

static inline uint64_t shm_add64(shm_u64_t *word, uint64_t value)
{
    kills_step();
    kills_save(word, sizeof *word);
    return atomic_fetch_add(word, value);
}

static inline int shm_replace64(shm_u64_t *word, uint64_t before, uint64_t after)
{
    kills_step();
    kills_save(word, sizeof *word);
    return atomic_compare_exchange_strong(word, &before, after);
}

static inline void shm_store64(shm_u64_t *word, uint64_t value)
{
    kills_step();
    kills_save(word, sizeof *word);
    atomic_store(word, value);
}

static inline uint64_t shm_read64(const shm_u64_t *word)
{
    return shm_load64(word);
}

static inline void shm_write64(shm_u64_t *word, uint64_t value)
{
    shm_store64(word, value);
}

/** Nobody else runs, so nobody wakes: the time is up at once. */
static inline int shm_park(shm_u32_t *word, uint32_t value, sys_time_t deadline)
{
    (void)deadline;
    kills_step();
    return atomic_load(word) == value;
}

static inline void shm_unpark(shm_u32_t *word, unsigned count)
{
    (void)word;
    (void)count;
    kills_step();
}

#endif
