/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file measure.h
 * @brief What all benchmarks share: rounds, medians, ratios and their report.
 *
 * The subjects of a benchmark are measured in turns, A B C A B C ..., so that whatever else the machine does concerns
 * all of them. A round gives one value for each subject. A ratio is taken in each round, and of these ratios the median
 * is reported: it is steadier than the ratio of two medians.
 */
#ifndef MPROC_BENCH_MEASURE_H
#define MPROC_BENCH_MEASURE_H

#include <stddef.h>

/** One way to do a piece of work. */
typedef struct measure_subject_t {
    const char *name;
    /** Do the work once: 0, or -1. It is timed one by one; the median, in microseconds, is the round's value. */
    int (*operation)(void *context);
    /** Or, if it is timed elsewhere: do it `count` times and tell the round's value; 0, or -1. */
    int (*round)(void *context, int count, double *value);
    void *context;
    /** Slow ones are done less often: operations in a round are divided by this; 0 counts as 1. */
    int divisor;
    /** Why it cannot be measured here, or NULL. */
    const char *missing;

    /* The rest is measure()'s own. */
    int is_wanted;
    double *values; /* one for each round */
} measure_subject_t;

typedef enum measure_role_t {
    MEASURE_REFERENCE, /**< what the work costs without a library */
    MEASURE_PEER       /**< another library that does the work */
} measure_role_t;

/** One line of the report: ours against theirs. */
typedef struct measure_comparison_t {
    const char *id; /**< P1, P2, ... */
    const char *work;
    const char *unit;
    measure_role_t role;
    measure_subject_t *ours;
    measure_subject_t *theirs;
    /** The target for ours / theirs; 0 for none. Negative: at least so much, for rates. */
    double target;
} measure_comparison_t;

/** The options of every benchmark; one that it has no use for is ignored. */
typedef struct measure_options_t {
    int rounds;
    int operations; /**< of one subject in one round */
    int parent_mib; /**< size of the large parent */
    int data_mib;   /**< size of what goes to a program and comes back */
    const char *csv;
    const char *only; /**< "P1,P3": the lines to measure; NULL for all */
} measure_options_t;

/** Read the command line over the defaults in *options; 0, or -1 after saying how it is used. */
int measure_parse(measure_options_t *options, int argc, char **argv);

/** Whether the lines with an id are to be measured. */
int measure_is_wanted(const measure_options_t *options, const char *id);

/** The monotonic clock, in microseconds. */
double measure_now(void);

/** Do something `count` times and tell the median of the times, in microseconds: 0, or -1. */
int measure_operations(int (*operation)(void *context), void *context, int count, double *value);

/** Measure what the comparisons need, print a table, and append to the CSV file: 0, or -1. */
int measure(const measure_options_t *options, measure_subject_t *subjects, size_t subject_count,
            const measure_comparison_t *comparisons, size_t comparison_count);

#endif
