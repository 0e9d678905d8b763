/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file memory_arena.h
 * @brief What the family's memory takes, and what is in it: measured in a process of its own, which has just begun.
 */
#ifndef MPROC_BENCH_MEMORY_ARENA_H
#define MPROC_BENCH_MEMORY_ARENA_H

#include "measure.h"

/** The only argument that makes bench/memory such a process. */
#define MEMORY_ARENA_ARGUMENT "--arena"

/** Be such a process: the program's exit code. */
int memory_arena_serve(void);

/** Add the subjects, and the comparisons: how many there are. `path` is this program. */
size_t memory_arena_set_up(measure_subject_t *subjects, measure_comparison_t *comparisons, size_t *comparison_count,
                           char *path);

/** The most subjects and comparisons. */
enum { MEMORY_ARENA_SUBJECTS = 12 };

void memory_arena_end(void);

/** Private memory of a process in KiB; 0 if the system does not tell. */
double memory_private_kib(int pid);

#endif
