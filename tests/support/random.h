/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file random.h
 * @brief Random numbers that can be had again: by a seed that is printed.
 */
#ifndef MPROC_TEST_RANDOM_H
#define MPROC_TEST_RANDOM_H

/** splitmix64: a new number for each call, the same for the same seed everywhere. */
unsigned long long next_random(unsigned long long *state);

/** The seed of this run: MPROC_TEST_SEED, or one of the clock's; it is printed. */
unsigned long long choose_seed(void);

#endif
