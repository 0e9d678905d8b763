/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file pool_kinds.h
 * @brief What bench/pool measures: ways to have many small tasks done by several workers.
 */
#ifndef MPROC_BENCH_POOL_KINDS_H
#define MPROC_BENCH_POOL_KINDS_H

#include <stddef.h>
#include <stdint.h>

/** The most workers, and the most tasks of a round. */
enum { POOL_WORKERS_MAX = 8, POOL_TASKS_MAX = 1000000 };

/** What a task of any kind is. */
typedef struct pool_input_t {
    uint32_t iterations;
    uint32_t index; /* for those that need to know where a result belongs */
    uint64_t value;
} pool_input_t;

/** A way to have tasks done. */
typedef struct pool_kind_t {
    const char *name;
    /** Have busy_work() be called with each value, and store what it returns: 0, or -1. */
    int (*run)(const uint64_t *values, uint64_t *results, size_t count, uint32_t iterations);
} pool_kind_t;

/* ---- pool_work.c ------------------------------------------------------------------------------------------------- */

/**
 * The work of a task. It takes as long as there are iterations, each of which needs the one before, and touches no
 * memory. With none there is just the call.
 *
 * @return The value, and a number more that depends on nothing but the iterations.
 */
uint64_t busy_work(uint64_t value, uint32_t iterations);

/* ---- pool_mproc.c ------------------------------------------------------------------------------------------------ */

/** Make the pool: 0, or -1 after saying why not. */
int pool_mproc_begin(unsigned workers);
void pool_mproc_end(void);

/** All that it can do; the list ends with NULL. */
extern const pool_kind_t *const pool_mproc[];

/* ---- pool_references.c ------------------------------------------------------------------------------------------- */

/**
 * Fork workers that all read tasks from one pipe, and all write results to another one, a record of 16 bytes each. The
 * parent writes tasks as long as the pipe takes them, up to so many that are under way, then reads a result, and so on;
 * it sleeps when there is none. No record waits for another one to be sent along with it.
 */
int pool_pipes_begin(unsigned workers);
void pool_pipes_end(void);

/** The second kind has a single task under way. */
extern const pool_kind_t *const pool_pipes[];

/** Fork what is measured by pool_ideal(). */
int pool_ideal_begin(unsigned workers);
void pool_ideal_end(void);

/**
 * What there is to reach: as many processes as there are workers, each bound to a CPU of its own, all begin at once,
 * and each calls busy_work() for its part of all tasks, with nothing between the calls.
 *
 * @return The nanoseconds from the beginning to the end of the last one, for each task of all; 0 if it failed.
 */
double pool_ideal(int count, uint32_t iterations);

/* ---- pool_openmp.c ----------------------------------------------------------------------------------------------- */

/** Have OpenMP use so many threads, this one among them. */
int pool_openmp_begin(unsigned workers);

extern const pool_kind_t *const pool_openmp[];

#endif
