/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file call.h
 * @brief What a child's target receives: the arguments and handles that its parent gave it.
 *
 * All memory reached through a call is the child's own copy, aligned for any type, may be written, and lives until the
 * target returns. Bytes are copied, not what pointers among them point to: under most start methods those lead nowhere
 * in the child.
 */
#ifndef MPROC_CALL_H
#define MPROC_CALL_H

#include "types.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What a target was called with. It belongs to the library and lives until the target returns. */
typedef struct mproc_call_t mproc_call_t;

/**
 * A function that a child runs.
 *
 * Any function will do, without registration: one of the program, of a shared library, of a module that was loaded
 * while the program ran; static ones too.
 *
 * When it returns, the child's own children are ended as by mproc_terminate(), its standard streams are flushed, and
 * the process ends: by `exit` under spawn, by `_exit` (without the functions of atexit) where it was forked. A target
 * may call `exit` itself, with the same orderly end; in a thread that ends the whole program, without waiting for other
 * threads. A C++ exception must not leave it.
 *
 * A child starts with no signals blocked, except by fork and as a thread, where it has those of the thread that starts
 * it; workers of a pool that take the place of others have none blocked by fork, too. If a target forks, the copy must
 * not return.
 *
 * @param call The arguments.
 * @return The child's exit code; its lowest 8 bits count, so that 256 is 0 and -1 is 255. The library reserves none,
 *         but a child whose target could not be called ends with 1, and says why to mproc_process_join().
 */
typedef int (*mproc_target_t)(mproc_call_t *call);

/**
 * Get the struct that was given as `.data` and `.size`.
 *
 * @param call The target's call.
 * @param size The size in bytes that the target expects, most often `sizeof` of a struct.
 * @return The data; NULL if @p call is NULL (APR_EINVAL), or the parent gave another size (MPROC_ESIZE, with both sizes
 *         in the text of mproc_last_error()).
 * @remark The child's threads.
 */
MPROC_API void *mproc_call_data(mproc_call_t *call, size_t size);

/**
 * Get the `.data` that was given, whatever its size.
 *
 * @param call The target's call.
 * @param size Its size in bytes is stored here; may be NULL.
 * @return The data; NULL if none was given, or @p call is NULL.
 * @remark The child's threads.
 */
MPROC_API void *mproc_call_bytes(mproc_call_t *call, size_t *size);

/**
 * Count the arguments that were given as `.args`.
 *
 * @param call The target's call.
 * @return How many there are, with and without a name.
 * @remark The child's threads.
 */
MPROC_API size_t mproc_call_arg_count(mproc_call_t *call);

/**
 * Get an argument by its place in `.args`.
 *
 * @param call  The target's call.
 * @param index Its place, from 0.
 * @param size  Its size in bytes is stored here; may be NULL.
 * @return The argument; NULL if there is none at this place (APR_EINVAL).
 * @remark The child's threads.
 */
MPROC_API void *mproc_call_arg(mproc_call_t *call, size_t index, size_t *size);

/**
 * Get a string argument by its place in `.args`.
 *
 * @param call  The target's call.
 * @param index Its place, from 0.
 * @return The string; NULL if there is none at this place (APR_EINVAL), or it is not a string: not terminated
 *         (MPROC_ESIZE).
 * @remark The child's threads.
 */
MPROC_API const char *mproc_call_string(mproc_call_t *call, size_t index);

/**
 * Get an argument by its name: a keyword argument, in Python's words.
 *
 * @param call The target's call.
 * @param name Its name, as in `.args`.
 * @param size Its size in bytes is stored here; may be NULL.
 * @return The first argument of this name, not NULL even if its size is 0; NULL if there is none (APR_ENOENT).
 * @remark The child's threads.
 */
MPROC_API void *mproc_call_named(mproc_call_t *call, const char *name, size_t *size);

/**
 * Get a string argument by its name.
 *
 * @param call The target's call.
 * @param name Its name, as in `.args`.
 * @return The string; NULL if there is none (APR_ENOENT), or it is not a string: not terminated (MPROC_ESIZE).
 * @remark The child's threads.
 */
MPROC_API const char *mproc_call_named_string(mproc_call_t *call, const char *name);

/**
 * Count the operating system's handles that were given as `.handles`.
 *
 * @param call The target's call.
 * @return How many there are.
 * @remark The child's threads.
 */
MPROC_API size_t mproc_call_handle_count(mproc_call_t *call);

/**
 * Get one of the operating system's handles that were given as `.handles`, as it is called in the child.
 *
 * @param call  The target's call.
 * @param index Its place, from 0.
 * @return The child's own handle, to be closed by it with the system's call when it is done; MPROC_NO_HANDLE if there
 *         is none at this place (APR_EINVAL). Under the method thread nobody else closes it.
 * @remark The child's threads. On Unix it is closed when a program is executed (close-on-exec); on Windows it cannot be
 *         inherited.
 */
MPROC_API mproc_os_handle_t mproc_call_handle(mproc_call_t *call, size_t index);

/**
 * Count the connections that were given as `.give`.
 *
 * @param call The target's call.
 * @return How many there are.
 * @remark The child's threads.
 */
MPROC_API size_t mproc_call_conn_count(mproc_call_t *call);

/**
 * Get an end of a connection that was given as `.give`.
 *
 * @param call  The target's call.
 * @param index Its place, from 0.
 * @return The end, which is the child's own: it may close it, give it away, or leave it to be closed when the target
 *         returns. NULL if there is none at this place (APR_EINVAL).
 * @remark The child's threads.
 */
MPROC_API mproc_conn_t *mproc_call_conn(mproc_call_t *call, size_t index);

#ifdef __cplusplus
}
#endif

#endif
