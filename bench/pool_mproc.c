/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mproc/mproc.h>

#include "pool_kinds.h"

/** How many tasks of the stream with a buffer of its own are under way. */
enum { BUFFER = 1024 };

static mproc_pool_t *pool;
static mproc_shared_t *shared;
static mproc_future_t **futures;

static int complain_unless(apr_status_t status)
{
    if (status == APR_SUCCESS)
        return 0;
    fprintf(stderr, "mproc: %s\n", mproc_last_error()->text);
    return -1;
}

int pool_mproc_begin(unsigned workers)
{
    const mproc_pool_opts_t opts = {.workers = workers};
    futures = calloc(POOL_TASKS_MAX, sizeof(mproc_future_t *));
    if (!futures)
        return -1;
    return complain_unless(mproc_shared_create(&shared, 2 * POOL_TASKS_MAX * sizeof(uint64_t), NULL)) == 0
               ? complain_unless(mproc_pool_create(&pool, &opts))
               : -1;
}

void pool_mproc_end(void)
{
    complain_unless(mproc_pool_finish(pool));
    complain_unless(mproc_shared_close(shared));
    free(futures);
}

/* ---- Over an array ----------------------------------------------------------------------------------------------- */

static int work_on_slice(mproc_task_t *task, const void *in, void *out, size_t count)
{
    const uint32_t *iterations = mproc_task_shared(task, sizeof *iterations);
    const uint64_t *values = in;
    uint64_t *results = out;
    if (!iterations)
        return 1;
    for (size_t i = 0; i < count; i++)
        results[i] = busy_work(values[i], *iterations);
    return 0;
}

static int map(const uint64_t *values, uint64_t *results, size_t count, uint32_t iterations, size_t chunk)
{
    const mproc_map_opts_t opts = {.shared = &iterations, .shared_size = sizeof iterations, .chunk = chunk};
    return complain_unless(
        mproc_pool_map(pool, work_on_slice, results, sizeof *results, values, sizeof *values, count, &opts));
}

static int map_one_by_one(const uint64_t *values, uint64_t *results, size_t count, uint32_t iterations)
{
    return map(values, results, count, iterations, 1);
}

static int map_in_chunks(const uint64_t *values, uint64_t *results, size_t count, uint32_t iterations)
{
    return map(values, results, count, iterations, 0);
}

/** That the values get there, and results from there, counts: whoever has them there already saves that. */
static int map_in_place(const uint64_t *values, uint64_t *results, size_t count, uint32_t iterations)
{
    uint64_t *in = mproc_shared_data(shared);
    uint64_t *out = in + POOL_TASKS_MAX;
    memcpy(in, values, count * sizeof *values);
    if (map(in, out, count, iterations, 1) != 0)
        return -1;
    memcpy(results, out, count * sizeof *results);
    return 0;
}

/* ---- Messages ---------------------------------------------------------------------------------------------------- */

static int work_on_message(mproc_task_t *task, const void *in, size_t size)
{
    const pool_input_t *input = in;
    if (size != sizeof *input)
        return 1;
    const uint64_t result = busy_work(input->value, input->iterations);
    return mproc_task_set_result(task, &result, sizeof result) == APR_SUCCESS ? 0 : 1;
}

/** Take the result of a task that has ended. */
static int take(mproc_future_t *future, uint64_t *result)
{
    const void *data;
    size_t size;
    if (complain_unless(mproc_future_wait(future, NULL, MPROC_FOREVER)) != 0 ||
        complain_unless(mproc_future_result(future, &data, &size)) != 0 || size != sizeof *result)
        return -1;
    memcpy(result, data, sizeof *result);
    return complain_unless(mproc_future_close(future));
}

static int submit(const uint64_t *values, uint64_t *results, size_t count, uint32_t iterations)
{
    for (size_t i = 0; i < count; i++) {
        const pool_input_t input = {iterations, (uint32_t)i, values[i]};
        if (complain_unless(mproc_pool_submit(pool, &futures[i], work_on_message, &input, sizeof input, NULL)) != 0)
            return -1;
    }
    for (size_t i = 0; i < count; i++)
        if (take(futures[i], &results[i]) != 0)
            return -1;
    return 0;
}

static int apply(const uint64_t *values, uint64_t *results, size_t count, uint32_t iterations)
{
    for (size_t i = 0; i < count; i++) {
        const pool_input_t input = {iterations, (uint32_t)i, values[i]};
        if (complain_unless(mproc_pool_apply(pool, work_on_message, &results[i], sizeof results[i], NULL, &input,
                                             sizeof input, NULL)) != 0)
            return -1;
    }
    return 0;
}

/* ---- Streams ----------------------------------------------------------------------------------------------------- */

typedef struct source_t {
    const uint64_t *values;
    size_t count;
    size_t next;
    pool_input_t input; /* the last one that was fetched */
} source_t;

static apr_status_t fetch(void *context, const void **in, size_t *size)
{
    source_t *source = context;
    if (source->next == source->count)
        return APR_EOF;
    source->input.value = source->values[source->next++];
    *in = &source->input;
    *size = sizeof source->input;
    return APR_SUCCESS;
}

static int stream(const uint64_t *values, uint64_t *results, size_t count, uint32_t iterations, size_t buffer)
{
    const mproc_stream_opts_t opts = {.unordered = 1, .buffer = buffer};
    source_t source = {values, count, 0, {iterations, 0, 0}};
    mproc_stream_t *made;
    mproc_task_error_t error;
    const void *data;
    size_t size, taken = 0;
    apr_status_t status;
    if (complain_unless(mproc_pool_stream(pool, &made, work_on_message, fetch, &source, &opts)) != 0)
        return -1;
    while ((status = mproc_stream_next(made, &data, &size, &error, MPROC_FOREVER)) == APR_SUCCESS) {
        if (error.status != APR_SUCCESS || size != sizeof *results || error.index >= count)
            break;
        memcpy(&results[error.index], data, sizeof *results);
        taken++;
    }
    if (status != APR_EOF)
        complain_unless(status);
    return complain_unless(mproc_stream_close(made)) == 0 && taken == count ? 0 : -1;
}

static int stream_narrow(const uint64_t *values, uint64_t *results, size_t count, uint32_t iterations)
{
    return stream(values, results, count, iterations, 0);
}

static int stream_wide(const uint64_t *values, uint64_t *results, size_t count, uint32_t iterations)
{
    return stream(values, results, count, iterations, BUFFER);
}

static const pool_kind_t kinds[] = {
    {"map-1", map_one_by_one}, {"map", map_in_chunks},    {"map-in-place", map_in_place}, {"submit", submit},
    {"apply", apply},          {"stream", stream_narrow}, {"stream-wide", stream_wide},
};

const pool_kind_t *const pool_mproc[] = {&kinds[0], &kinds[1], &kinds[2], &kinds[3],
                                         &kinds[4], &kinds[5], &kinds[6], NULL};
