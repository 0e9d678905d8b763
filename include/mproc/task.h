/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file task.h
 * @brief What a pool's workers do: the functions of tasks, what they are told, and how they tell their results.
 *
 * A task is one call of a function of the program's in one of a pool's workers, which are processes of their own: with
 * a slice of an array (mproc_pool_map()), or with a message (mproc_pool_apply(), mproc_pool_submit(),
 * mproc_pool_stream()). Any function will do, without registration, as for processes (see mproc_target_t).
 *
 * A task fails if its function returns another number than 0, if it is cancelled, if its time is up, or if its worker
 * ends in it: by a crash, by `exit`, by whatever kills it. Then exactly that task fails, and an mproc_task_error_t says
 * why.
 *
 * The calls below are for the thread that runs the task. NULL instead of a task is refused with APR_EINVAL, or what
 * stands for it (NULL, 0), which is not repeated.
 */
#ifndef MPROC_TASK_H
#define MPROC_TASK_H

#include "call.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What a task's function is told. It belongs to the library and lives until the function returns. */
typedef struct mproc_task_t mproc_task_t;

/** The most bytes of an error's text, with the zero at its end. */
#define MPROC_TASK_TEXT_MAX 200

/** Why a task failed: plain bytes of one layout, the same in every process. */
typedef struct mproc_task_error_t {
    /** Which item of a map, or input of a stream, counted from 0; 0 for other tasks. */
    uint64_t index;
    /**
     * APR_SUCCESS: it did not. Otherwise one of
     * - MPROC_ETASK: its function returned `code`, or said so by mproc_task_fail() or mproc_task_fail_item();
     * - MPROC_EWORKERDIED: its worker has ended in it, as `exitcode` says;
     * - MPROC_ETASKTIMEUP: its `.timeout` was over;
     * - MPROC_ECANCELLED: it was cancelled;
     * - MPROC_ETERMINATED: the pool was terminated;
     * - MPROC_EBROKENPOOL: the pool has no workers any more, and cannot have any;
     * - APR_TIMEUP: the whole map took too long;
     * - APR_ENOMEM: there was no memory for its result;
     * - MPROC_ETARGET, MPROC_EBUILD: its function was not found in the worker;
     * - what a map returned that could not be begun.
     */
    int32_t status;
    /** What its function returned, if that is why; otherwise 0. */
    int32_t code;
    /** The process id of the worker that had it last (of this process, if that is a thread); 0 if none had. */
    int32_t pid;
    /** How that worker ended, if that is why, in the manner of mproc_process_exitcode(); otherwise 0. */
    int32_t exitcode;
    /** How often it was begun. */
    uint32_t tries;
    /** Always 0. */
    uint32_t reserved;
    /** All of that in words, or what mproc_task_fail() was told. */
    char text[MPROC_TASK_TEXT_MAX];
} mproc_task_error_t;

/**
 * A task over a slice of an array.
 *
 * @param task  The task.
 * @param in    The first item of the slice; NULL if the map has no input. It must not be written to.
 * @param out   Where to store its results, zeroed if the output is a copy; NULL if the map has no output.
 * @param count How many items there are; at least 1.
 * @return 0, or any other number if all of them failed; see also mproc_task_fail_item().
 */
typedef int (*mproc_slice_fn_t)(mproc_task_t *task, const void *in, void *out, size_t count);

/**
 * A task with a message. Its result is what it gives to mproc_task_set_result(); if it gives nothing that is empty.
 *
 * @param task The task.
 * @param in   The message: a copy, aligned for any type, that must not be written to; not NULL.
 * @param size How many bytes.
 * @return 0, or any other number if it failed.
 */
typedef int (*mproc_task_fn_t)(mproc_task_t *task, const void *in, size_t size);

/**
 * What a worker does before its first task.
 *
 * @param task A task that is none: it has no input, index or result.
 * @return 0, or any other number if this worker cannot work; mproc_task_fail() says why in words.
 */
typedef int (*mproc_initializer_fn_t)(mproc_task_t *task);

/**
 * What a worker does after its last task.
 *
 * @param task A task that is none; it is cancelled if the pool was terminated.
 */
typedef void (*mproc_finalizer_fn_t)(mproc_task_t *task);

/**
 * Get the struct that was given to mproc_pool_map() as `.shared`.
 *
 * @param task The task.
 * @param size The size in bytes that the function expects, most often `sizeof` of a struct.
 * @return The struct, which all tasks of the map share, so it must not be written to; NULL if none was given, or one of
 *         another size (MPROC_ESIZE, with both sizes in the text of mproc_last_error()).
 */
MPROC_API const void *mproc_task_shared(mproc_task_t *task, size_t size);

/**
 * Get what the worker was started with: mproc_call_data() gets the pool's `.data` from it, mproc_call_lock() and so on
 * its `.share`.
 *
 * @param task The task, or that of an initializer or finalizer.
 * @return The call, which is the same for all tasks of the worker.
 */
MPROC_API mproc_call_t *mproc_task_call(mproc_task_t *task);

/**
 * Keep something for all later tasks of this worker, and its finalizer: a connection to a database, a buffer.
 *
 * @param task  The task, or that of an initializer.
 * @param state Whatever it is; the library just keeps the pointer.
 */
MPROC_API void mproc_task_set_state(mproc_task_t *task, void *state);

/**
 * Get what mproc_task_set_state() was given last in this worker.
 *
 * @param task The task, or that of an initializer or finalizer.
 * @return What it was; NULL if it was not called.
 */
MPROC_API void *mproc_task_state(mproc_task_t *task);

/**
 * Tell the worker's number.
 *
 * @param task The task, or that of an initializer or finalizer.
 * @return The number, from 0 to the count of workers less one. Who takes the place of a worker gets the same.
 */
MPROC_API unsigned mproc_task_worker(mproc_task_t *task);

/**
 * Tell which item of the map, or input of the stream, this is.
 *
 * @param task The task.
 * @return The index of the first item of the slice, or of the input, from 0; 0 for other tasks.
 */
MPROC_API size_t mproc_task_index(mproc_task_t *task);

/**
 * Tell how often this task was begun before, by workers that have ended, or whose time was up.
 *
 * @param task The task.
 * @return The number; 0 unless it has `.retries`.
 */
MPROC_API unsigned mproc_task_retries(mproc_task_t *task);

/**
 * Tell whether the task's result is not wanted any more: it was cancelled, its time is up, or the pool is being
 * terminated. Then a worker is killed soon. Where that is not possible (MPROC_THREAD), or the pool is terminated with a
 * grace, a long task should look now and then, and return.
 *
 * @param task The task.
 * @return Non-zero if so.
 */
MPROC_API int mproc_task_is_cancelled(mproc_task_t *task);

/**
 * Give the result of a task with a message. A second result takes the place of the first one.
 *
 * @param task The task.
 * @param data The bytes, which are copied; may be NULL if @p size is 0. They may lie in the room that
 *             mproc_task_make_result() gave: so a result becomes shorter than that.
 * @param size How many.
 * @return APR_SUCCESS; APR_ENOMEM: the family has no memory for it, and the task fails with that unless another result
 *         is given; APR_EINVAL if @p data is NULL; MPROC_ESTATE in a slice, an initializer or a finalizer.
 */
MPROC_API apr_status_t mproc_task_set_result(mproc_task_t *task, const void *data, size_t size);

/**
 * Make room for the result of a task with a message, to be written in place: nothing is copied then.
 *
 * @param task The task.
 * @param data Where the room is stored: aligned for any type, anything is in it; NULL on failure.
 * @param size How many bytes the result has.
 * @return As mproc_task_set_result().
 */
MPROC_API apr_status_t mproc_task_make_result(mproc_task_t *task, void **data, size_t size);

/**
 * Say in words why the task fails, to be returned: `return mproc_task_fail(task, 3, "no such file: %s", path);`
 *
 * @param task   The task, or that of an initializer.
 * @param code   What the function returns.
 * @param format As for printf.
 * @return @p code; 1 if that is 0.
 */
MPROC_API int mproc_task_fail(mproc_task_t *task, int code, const char *format, ...) MPROC_FORMAT(3, 4);

/**
 * Say that one item of a slice failed. The others do not, if the function returns 0.
 *
 * @param task   The task.
 * @param item   The item, counted from the beginning of the slice.
 * @param code   A number of the program's, for the error's `code`; 1 if it is 0.
 * @param format As for printf: why, in words.
 */
MPROC_API void mproc_task_fail_item(mproc_task_t *task, size_t item, int code, const char *format, ...)
    MPROC_FORMAT(4, 5);

#ifdef __cplusplus
}
#endif

#endif
