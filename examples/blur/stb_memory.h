/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file stb_memory.h
 * @brief Whether stb failed for want of memory; it does not always say so itself.
 */
#ifndef BLUR_STB_MEMORY_H
#define BLUR_STB_MEMORY_H

/**
 * Forget what this thread was refused so far.
 */
void stb_memory_begin(void);

/**
 * Tell whether this thread was refused memory since.
 *
 * @return 1 or 0.
 */
int stb_memory_was_refused(void);

#endif
