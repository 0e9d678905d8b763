/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pools of workers: what Python's Pool and its futures do, and what becomes of tasks that take too long, or die.
 */
#include <stdio.h>
#include <stdlib.h>

#include <apr_time.h>

#include <mproc/mproc.h>

enum { COUNT = 10 };

static int fail(const char *what)
{
    fprintf(stderr, "pool: %s: %s\n", what, mproc_last_error()->text);
    return 1;
}

/* ---- What workers do --------------------------------------------------------------------------------------------- */

/* One message in, one out. */
static int square(mproc_task_t *task, const void *in, size_t size)
{
    const int number = *(const int *)in;
    const int result = number * number;
    if (size != sizeof number)
        return mproc_task_fail(task, 1, "a number has %d bytes, not %d", (int)sizeof number, (int)size);
    return mproc_task_set_result(task, &result, sizeof result) != APR_SUCCESS;
}

/* A slice of an array. */
static int square_all(mproc_task_t *task, const void *in, void *out, size_t count)
{
    const int *numbers = in;
    int *squares = out;
    (void)task;
    for (size_t i = 0; i < count; i++)
        squares[i] = numbers[i] * numbers[i];
    return 0;
}

/* Sleep for so many milliseconds, in short naps: one that nobody waits for any more returns, even from a thread. */
static int nap(mproc_task_t *task, const void *in, size_t size)
{
    const int milliseconds = *(const int *)in;
    (void)size;
    for (int i = 0; i < milliseconds && !mproc_task_is_cancelled(task); i++)
        apr_sleep(MPROC_MILLISECONDS(1));
    return 0;
}

static int refuse(mproc_task_t *task, const void *in, size_t size)
{
    (void)in;
    (void)size;
    return mproc_task_fail(task, 3, "worker %u does not want to", mproc_task_worker(task));
}

/* It takes its worker along, and nothing else. */
static int die(mproc_task_t *task, const void *in, size_t size)
{
    (void)task;
    (void)in;
    (void)size;
    exit(7);
}

/* ---- One task, and several --------------------------------------------------------------------------------------- */

static int apply(mproc_pool_t *workers)
{
    const int number = 20;
    int result;
    if (mproc_pool_apply(workers, square, &result, sizeof result, NULL, &number, sizeof number, NULL) != APR_SUCCESS)
        return fail("apply");
    printf("apply: %d\n", result);
    return 0;
}

/* This is called in this process, by the pool's thread, one at a time. */
static void tell(void *context, mproc_future_t *future)
{
    const int *milliseconds = context;
    mproc_task_error_t error;
    if (mproc_future_wait(future, &error, 0) == APR_SUCCESS && error.status == APR_SUCCESS)
        printf("a nap of %d ms is over\n", *milliseconds);
}

/* A pool for five tasks. When it is finished, all of them have ended, and all callbacks have returned. */
static int submit(void)
{
    static const int naps[] = {50, 10, 40, 20, 30};
    mproc_pool_t *workers;
    if (mproc_pool_create(&workers, &(mproc_pool_opts_t){.workers = 3}) != APR_SUCCESS)
        return fail("create");
    for (size_t i = 0; i < sizeof naps / sizeof *naps; i++) {
        const mproc_submit_opts_t opts = {.callback = tell, .context = (void *)&naps[i]};
        if (mproc_pool_submit(workers, NULL, nap, &naps[i], sizeof naps[i], &opts) != APR_SUCCESS)
            return fail("submit");
    }
    return mproc_pool_finish(workers) == APR_SUCCESS ? 0 : fail("finish");
}

/* Several tasks, whose results are wanted as they come. */
static int as_completed(mproc_pool_t *workers)
{
    mproc_future_t *futures[COUNT];
    mproc_future_t *future;
    apr_status_t status;
    int sum = 0;
    for (int i = 0; i < COUNT; i++) {
        if (mproc_pool_submit(workers, &futures[i], square, &i, sizeof i, NULL) != APR_SUCCESS)
            return fail("submit");
    }
    while ((status = mproc_futures_next(futures, COUNT, &future, NULL, MPROC_FOREVER)) == APR_SUCCESS) {
        const void *result;
        if (mproc_future_result(future, &result, NULL) == APR_SUCCESS)
            sum += *(const int *)result;
        mproc_future_close(future);
    }
    printf("the sum of %d futures: %d\n", COUNT, sum);
    return status == APR_EOF ? 0 : fail("next");
}

/* ---- Many tasks -------------------------------------------------------------------------------------------------- */

static int map(mproc_pool_t *workers)
{
    int numbers[COUNT];
    int squares[COUNT];
    for (int i = 0; i < COUNT; i++)
        numbers[i] = i;
    if (mproc_pool_map(workers, square_all, squares, sizeof *squares, numbers, sizeof *numbers, COUNT, NULL) !=
        APR_SUCCESS)
        return fail("map");
    printf("map:");
    for (int i = 0; i < COUNT; i++)
        printf(" %d", squares[i]);
    printf("\n");
    return 0;
}

static apr_status_t next_number(void *context, const void **in, size_t *size)
{
    int *number = context;
    if (*number + 1 == COUNT)
        return APR_EOF;
    *number += 1;
    *in = number;
    *size = sizeof *number;
    return APR_SUCCESS;
}

/* Inputs are fetched while results are taken, so there may be more of them than memory has room for. */
static int stream(mproc_pool_t *workers, const char *title, int unordered)
{
    int number = -1;
    mproc_stream_t *squares;
    const void *result;
    apr_status_t status;
    if (mproc_pool_stream(workers, &squares, square, next_number, &number,
                          &(mproc_stream_opts_t){.unordered = unordered}) != APR_SUCCESS)
        return fail("stream");
    printf("%s:", title);
    while ((status = mproc_stream_next(squares, &result, NULL, NULL, MPROC_FOREVER)) == APR_SUCCESS) {
        if (result)
            printf(" %d", *(const int *)result);
    }
    printf("\n");
    mproc_stream_close(squares);
    return status == APR_EOF ? 0 : fail("next");
}

/* ---- What can go wrong ------------------------------------------------------------------------------------------- */

static int lack_patience(mproc_pool_t *workers)
{
    const int milliseconds = 60000;
    mproc_future_t *future;
    mproc_task_error_t error;
    if (mproc_pool_submit(workers, &future, nap, &milliseconds, sizeof milliseconds, NULL) != APR_SUCCESS)
        return fail("submit");
    if (mproc_future_wait(future, NULL, MPROC_MILLISECONDS(10)) == APR_TIMEUP)
        printf("we lacked patience\n");
    if (mproc_future_cancel(future) != APR_SUCCESS || mproc_future_wait(future, &error, MPROC_FOREVER) != APR_SUCCESS)
        return fail("cancel");
    printf("cancelled: %s\n", mproc_status_name(error.status));
    return mproc_future_close(future) != APR_SUCCESS;
}

/* Call what fails, and tell why; exactly that task fails. */
static int expect_failure(mproc_pool_t *workers, const char *title, mproc_task_fn_t function,
                          apr_interval_time_t timeout)
{
    const int milliseconds = 60000;
    mproc_task_error_t error;
    const mproc_apply_opts_t opts = {.timeout = timeout, .error = &error};
    if (mproc_pool_apply(workers, function, NULL, 0, NULL, &milliseconds, sizeof milliseconds, &opts) == APR_SUCCESS)
        return fail(title);
    printf("%s: %s: %s\n", title, mproc_status_name(error.status), error.text);
    return 0;
}

static int terminate(mproc_pool_t *workers)
{
    const int milliseconds = 60000;
    mproc_future_t *futures[COUNT];
    int ended = 0;
    for (int i = 0; i < COUNT; i++) {
        if (mproc_pool_submit(workers, &futures[i], nap, &milliseconds, sizeof milliseconds, NULL) != APR_SUCCESS)
            return fail("submit");
    }
    if (mproc_pool_terminate(workers, MPROC_SECONDS(10)) != APR_SUCCESS)
        return fail("terminate");
    for (int i = 0; i < COUNT; i++) {
        ended += mproc_future_result(futures[i], &(const void *){NULL}, NULL) == MPROC_ETERMINATED;
        mproc_future_close(futures[i]);
    }
    printf("terminate: %d of %d tasks ended by that\n", ended, COUNT);
    return 0;
}

int main(int argc, char **argv)
{
    mproc_pool_t *workers;
    if (mproc_initialize(argc, argv) != APR_SUCCESS)
        return fail("initialize");
    if (mproc_pool_create(&workers, &(mproc_pool_opts_t){.workers = 4}) != APR_SUCCESS)
        return fail("create");

    if (apply(workers) || submit() || as_completed(workers) || map(workers) || stream(workers, "in order", 0) ||
        stream(workers, "as they come", 1))
        return 1;

    if (lack_patience(workers) || expect_failure(workers, "a task that fails", refuse, 0))
        return 1;
    /* Threads cannot be ended, and whoever dies takes the program along. */
    if (mproc_get_start_method() != MPROC_THREAD &&
        (expect_failure(workers, "a task that takes too long", nap, MPROC_MILLISECONDS(10)) ||
         expect_failure(workers, "a task that dies", die, 0)))
        return 1;
    /* The pool goes on. */
    if (apply(workers) || terminate(workers))
        return 1;
    return mproc_pool_close(workers) == APR_SUCCESS ? 0 : fail("close");
}
