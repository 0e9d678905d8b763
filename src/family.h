/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file family.h
 * @brief Settings of the family, private half of mproc/family.h.
 */
#ifndef MPROC_FAMILY_INTERNAL_H
#define MPROC_FAMILY_INTERNAL_H

#include <stdint.h>

/** How large the arena is to be: what the program says, or MPROC_ARENA_SIZE, or the platform's default. */
uint64_t family_arena_size(void);

/** A number that tells builds of the library apart whose arenas differ. */
uint64_t family_build(void);

#endif
