/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file shm.h
 * @brief Steps in shared memory: all that the crash-safe algorithms do to it, and where they wait.
 *
 * Between any two of these a process can be killed, and other processes can do theirs. So the tests that try all orders
 * and all deaths (tests/model) compile the same algorithms with steps of their own in place of these.
 */
#ifndef MPROC_SHM_H
#define MPROC_SHM_H

#include <stdatomic.h>

#include "sys.h"

/** A word that several processes use at once. A plain integer would not do: on 32-bit machines it could be torn. */
typedef _Atomic uint32_t shm_u32_t;
typedef _Atomic uint64_t shm_u64_t;

static inline uint32_t shm_load(const shm_u32_t *word)
{
    return atomic_load(word);
}

static inline void shm_store(shm_u32_t *word, uint32_t value)
{
    atomic_store(word, value);
}

static inline uint32_t shm_exchange(shm_u32_t *word, uint32_t value)
{
    return atomic_exchange(word, value);
}

static inline uint32_t shm_add(shm_u32_t *word, uint32_t value)
{
    return atomic_fetch_add(word, value);
}

/** Replace one value by another: whether that was the value. */
static inline int shm_replace(shm_u32_t *word, uint32_t before, uint32_t after)
{
    return atomic_compare_exchange_strong(word, &before, after);
}

static inline uint64_t shm_load64(const shm_u64_t *word)
{
    return atomic_load(word);
}

static inline uint64_t shm_add64(shm_u64_t *word, uint64_t value)
{
    return atomic_fetch_add(word, value);
}

static inline int shm_replace64(shm_u64_t *word, uint64_t before, uint64_t after)
{
    return atomic_compare_exchange_strong(word, &before, after);
}

static inline void shm_store64(shm_u64_t *word, uint64_t value)
{
    atomic_store(word, value);
}

/** The same for words that others look at only after a later step of shm_store() has told them to. */
static inline void shm_write(shm_u32_t *word, uint32_t value)
{
    atomic_store_explicit(word, value, memory_order_relaxed);
}

static inline uint64_t shm_read64(const shm_u64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static inline void shm_write64(shm_u64_t *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_relaxed);
}

/** A word that tells whether others can be read, and is stored last by who has written them. */
static inline uint64_t shm_observe64(const shm_u64_t *word)
{
    return atomic_load_explicit(word, memory_order_acquire);
}

static inline void shm_publish64(shm_u64_t *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_release);
}

/** Set bits. */
static inline uint32_t shm_set(shm_u32_t *word, uint32_t bits)
{
    return atomic_fetch_or(word, bits);
}

static inline uint64_t shm_set64(shm_u64_t *word, uint64_t bits)
{
    return atomic_fetch_or(word, bits);
}

static inline uint64_t shm_unset64(shm_u64_t *word, uint64_t bits)
{
    return atomic_fetch_and(word, ~bits);
}

/** Wait while a word has a value: until somebody wakes, the time is up, or for no reason. Whether the time was up. */
static inline int shm_park(shm_u32_t *word, uint32_t value, sys_time_t deadline)
{
    return sys_park(word, value, deadline) == APR_TIMEUP;
}

/** Wake some of those who wait at a word. */
static inline void shm_unpark(shm_u32_t *word, unsigned count)
{
    sys_unpark(word, count);
}

#endif
