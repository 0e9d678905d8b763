/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file shm_fixed.h
 * @brief What is written while something is made in the arena, and never changes as long as that is there.
 *
 * Whoever has it open reads it as any other variable. A dump also reads what is being made or is gone, and finds out
 * later that this was in vain. So these are no steps of an algorithm, as those of shm.h are, but no data races either.
 */
#ifndef MPROC_SHM_FIXED_H
#define MPROC_SHM_FIXED_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

typedef _Atomic uint32_t shm_fixed_t;
typedef _Atomic unsigned char shm_char_t;

static inline uint32_t shm_fixed(const shm_fixed_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static inline void shm_fix(shm_fixed_t *word, uint32_t value)
{
    atomic_store_explicit(word, value, memory_order_relaxed);
}

/** Make a part zeros; its beginning and its size are multiples of eight. */
static inline void shm_clear(void *at, size_t size)
{
    _Atomic uint64_t *words = at;
    for (size_t i = 0; i < size / sizeof *words; i++)
        atomic_store_explicit(&words[i], 0, memory_order_relaxed);
}

/** Store a text; what does not fit is cut off. */
static inline void shm_set_text(shm_char_t *to, const char *text, size_t size)
{
    size_t i = 0;
    for (; i + 1 < size && text[i]; i++)
        atomic_store_explicit(&to[i], (unsigned char)text[i], memory_order_relaxed);
    atomic_store_explicit(&to[i], 0, memory_order_relaxed);
}

/** Get a text; both have the same size. */
static inline const char *shm_get_text(char *to, const shm_char_t *text, size_t size)
{
    size_t i = 0;
    for (; i + 1 < size && (to[i] = (char)atomic_load_explicit(&text[i], memory_order_relaxed)) != '\0'; i++)
        ;
    to[i] = '\0';
    return to;
}

#endif
