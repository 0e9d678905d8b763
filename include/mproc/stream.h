/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file stream.h
 * @brief Streams of tasks: inputs are fetched as they are needed, results come one by one, in order or as they come.
 *
 * @code
 * static apr_status_t next_line(void *context, const void **in, size_t *size)
 * {
 *     static char line[4096];
 *     if (!fgets(line, sizeof line, context))
 *         return APR_EOF;
 *     *in = line;
 *     *size = strlen(line) + 1;
 *     return APR_SUCCESS;
 * }
 *
 * mproc_pool_stream(workers, &stream, translate, next_line, file, NULL);
 * while (mproc_stream_next(stream, &text, &length, &error, MPROC_FOREVER) == APR_SUCCESS)
 *     puts(error.status == APR_SUCCESS ? text : error.text);
 * mproc_stream_close(stream);
 * @endcode
 *
 * However many inputs there are, memory is needed for those alone that are under way.
 */
#ifndef MPROC_STREAM_H
#define MPROC_STREAM_H

#include "pool.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Tasks whose inputs come one by one, and whose results do, too. */
typedef struct mproc_stream_t mproc_stream_t;

/**
 * Fetch the next input. It is called by the thread that takes results, in mproc_stream_next().
 *
 * @param context What was given along with the function.
 * @param in      Where to store the input's address; it must stay until the next call, or the end. NULL with a size of
 *                0 is an empty one.
 * @param size    Where to store how many bytes it has.
 * @return APR_SUCCESS; APR_EOF: there are no more; APR_EAGAIN: there is none just now, and it will be asked again when
 *         another result is taken; any other status ends the inputs, too, and mproc_stream_next() tells it when all
 *         results were taken: one that this does not return itself, such as MPROC_ETASK, cannot be confused.
 */
typedef apr_status_t (*mproc_input_fn_t)(void *context, const void **in, size_t *size);

/** Options of a stream; all zeros are the defaults. */
typedef struct mproc_stream_opts_t {
    /** Non-zero: results come as they are ready, not in the order of their inputs. */
    int unordered;
    /** How many tasks are under way at most: waiting, running, or done and not taken. 0: 16 for each worker. */
    size_t buffer;
    /** As in mproc_submit_opts_t, for each task. */
    apr_interval_time_t timeout;
    /** As in mproc_submit_opts_t, for each task. */
    unsigned retries;
} mproc_stream_opts_t;

/**
 * The call behind mproc_pool_stream(); programs in other languages make it directly.
 *
 * @param pool      As there, and so are the others.
 * @param stream    .
 * @param function  .
 * @param input     .
 * @param context   .
 * @param opts      .
 * @param opts_size `sizeof(mproc_stream_opts_t)` as the caller knows it.
 * @return As mproc_pool_stream(); MPROC_EBUILD if the caller's options are larger than the library's.
 */
MPROC_API apr_status_t mproc_pool_stream_sized(mproc_pool_t *pool, mproc_stream_t **stream, mproc_task_fn_t function,
                                               mproc_input_fn_t input, void *context, const mproc_stream_opts_t *opts,
                                               size_t opts_size);

/**
 * Make a stream. Nothing is fetched before mproc_stream_next().
 *
 * @param pool     The pool.
 * @param stream   Where to store it; NULL on failure.
 * @param function What is called with each input, in a worker.
 * @param input    What fetches inputs.
 * @param context  The first argument of @p input.
 * @param opts     Options, or NULL.
 * @return APR_SUCCESS; APR_EINVAL; APR_ENOTIMPL for a timeout under MPROC_THREAD; MPROC_ETARGET; MPROC_EDEADLOCK in
 *         a callback of the same pool; APR_ENOMEM; for the pool what mproc_pool_map() returns.
 * @remark Any thread of the process that made the pool.
 */
static inline apr_status_t mproc_pool_stream(mproc_pool_t *pool, mproc_stream_t **stream, mproc_task_fn_t function,
                                             mproc_input_fn_t input, void *context, const mproc_stream_opts_t *opts)
{
    return mproc_pool_stream_sized(pool, stream, function, input, context, opts, sizeof(mproc_stream_opts_t));
}

/**
 * Take the next result, after as many inputs as there is room for were fetched.
 *
 * @param stream  The stream.
 * @param result  Where to store its address; it stays there until the next call for the stream, aligned for any type.
 *                NULL if the task failed, or nothing was taken.
 * @param size    How many bytes it has is stored here; may be NULL.
 * @param error   How the task went, its `tries`, and the number of its input, from 0, as `index`; zeros if nothing was
 *                taken. NULL: it is not told.
 * @param timeout How long to wait, in microseconds; 0 to look, MPROC_FOREVER to wait for good.
 * @return APR_SUCCESS: a task has ended, however it went; APR_EOF: there are no more; the status of the input function
 *         if that has ended the inputs; APR_TIMEUP; APR_EAGAIN: no task is under way, and the input function has none
 *         just now; MPROC_ESTATE, MPROC_ETERMINATED or MPROC_EBROKENPOOL: the pool takes no more inputs; APR_EINVAL;
 *         MPROC_ECLOSED; MPROC_EDEADLOCK; APR_ENOMEM. After these the call can be made again.
 * @remark One thread at a time (MPROC_ESTATE for the others).
 */
MPROC_API apr_status_t mproc_stream_next(mproc_stream_t *stream, const void **result, size_t *size,
                                         mproc_task_error_t *error, apr_interval_time_t timeout);

/**
 * Let go of a stream: what is under way is cancelled.
 *
 * @param stream The stream; NULL is allowed.
 * @return APR_SUCCESS; MPROC_ECLOSED; MPROC_ESTATE while another thread is in mproc_stream_next().
 * @remark Any thread of the process that made it.
 */
MPROC_API apr_status_t mproc_stream_close(mproc_stream_t *stream);

#ifdef __cplusplus
}
#endif

#endif
