/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes share a struct: each counts the words of some lines, and adds to totals that all have in memory. The lock
 * that comes with the memory keeps them from adding at the same time.
 *
 *     shared
 */
#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <mproc/mproc.h>

enum { WORKERS = 3 };

static const char *const lines[] = {
    "Shared memory is the fastest way for processes to talk,", "and the easiest one to get wrong:",
    "whoever reads must know that nobody is writing.",         "So this memory has a lock,",
    "and if a process is killed while it has that lock,",      "the next one is told."};

/* What lies in the shared memory. Pointers would mean nothing to the others. */
typedef struct totals_t {
    uint32_t lines;
    uint32_t words;
    uint32_t by_worker[WORKERS];
} totals_t;

static int fail(const char *what)
{
    fprintf(stderr, "shared: %s: %s\n", what, mproc_last_error()->text);
    return 1;
}

static uint32_t count_words(const char *line)
{
    uint32_t count = 0;
    for (const char *at = line; *at; at++)
        count += !isspace((unsigned char)*at) && (at == line || isspace((unsigned char)at[-1]));
    return count;
}

/* Make the sum agree with its parts. */
static void repair(totals_t *totals)
{
    totals->words = 0;
    for (int i = 0; i < WORKERS; i++)
        totals->words += totals->by_worker[i];
}

/* This runs in each of the children. */
static int work(mproc_call_t *call)
{
    mproc_shared_t *shared = mproc_call_shared(call, 0);
    totals_t *totals = mproc_shared_data(shared);
    const int *number = mproc_call_data(call, sizeof *number);
    if (!totals || !number)
        return fail("what was given");
    for (size_t i = (size_t)*number; i < sizeof lines / sizeof lines[0]; i += WORKERS) {
        const uint32_t words = count_words(lines[i]);
        const apr_status_t status = mproc_shared_acquire(shared, MPROC_FOREVER);
        if (!mproc_has_acquired(status))
            return fail("acquire");
        /* The one that had it has died, perhaps between two of the lines below. */
        if (status == MPROC_EOWNERDEAD)
            repair(totals);
        totals->by_worker[*number] += words;
        totals->words += words;
        totals->lines++;
        if (mproc_shared_release(shared) != APR_SUCCESS)
            return fail("release");
    }
    return 0;
}

int main(int argc, char **argv)
{
    mproc_shared_t *shared;
    mproc_process_t *workers[WORKERS];
    mproc_shared_opts_t locked = {0};
    int exitcode = 0;
    if (mproc_initialize(argc, argv) != APR_SUCCESS)
        return fail("initialize");
    locked.lock = 1;
    if (mproc_shared_create(&shared, sizeof(totals_t), &locked) != APR_SUCCESS)
        return fail("create");
    for (int i = 0; i < WORKERS; i++) {
        mproc_process_opts_t opts = {0};
        opts.share[0] = shared;
        opts.data = &i;
        opts.size = sizeof i;
        if (mproc_process_start(&workers[i], work, &opts) != APR_SUCCESS)
            return fail("start");
    }
    for (int i = 0; i < WORKERS; i++)
        if (mproc_process_finish(workers[i], &exitcode) != APR_SUCCESS || exitcode != 0)
            return fail("finish");
    /* Nobody else is here any more, so this needs no lock. */
    const totals_t *totals = mproc_shared_data(shared);
    printf("%u lines, %u words:", (unsigned)totals->lines, (unsigned)totals->words);
    for (int i = 0; i < WORKERS; i++)
        printf(" %u", (unsigned)totals->by_worker[i]);
    printf("\n");
    return mproc_shared_close(shared) == APR_SUCCESS ? 0 : fail("close");
}
