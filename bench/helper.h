/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file helper.h
 * @brief Another process that measures on request, in turns with us: it reads "WHAT COUNT" lines, and answers each with
 *        a number.
 */
#ifndef MPROC_BENCH_HELPER_H
#define MPROC_BENCH_HELPER_H

#include <stdio.h>
#include <sys/types.h>

typedef struct helper_t {
    pid_t pid;
    FILE *requests;
    FILE *answers;
} helper_t;

/** What a measure_subject_t that is measured by a helper has as its context. */
typedef struct helper_task_t {
    helper_t *helper;
    const char *what;
} helper_task_t;

/** Start a program, searched in PATH, as a helper: 0, or -1 if it does not come up. */
int helper_open(helper_t *helper, char *const argv[]);

/** A measure_subject_t's `round`: `task` is a helper_task_t. */
int helper_measure(void *task, int count, double *value);

/** End a helper by closing its input, and wait for it. */
void helper_close(helper_t *helper);

/** Be a helper: answer requests by `measure` until there are no more. The value 0 stands for a failure. */
void helper_serve(double (*measure)(const char *what, int count));

/** Be a large process: have so many bytes of touched memory, in small pages; 0, or -1 after saying why not. */
int helper_touch_memory(size_t size);

#endif
