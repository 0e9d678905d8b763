/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file start_method.h
 * @brief The ways to start a process, and which one is the default.
 */
#ifndef MPROC_START_METHOD_H
#define MPROC_START_METHOD_H

#include "types.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * How a child comes to be. The same calls work with each; a child has what it was given, and with fork all else too.
 */
typedef enum mproc_start_method_t {
    /** The default: what mproc_set_start_method() or MPROC_START_METHOD say, else the platform's. */
    MPROC_DEFAULT = 0,
    /**
     * A small, clean copy of this program forks for us, as fast as fork and whatever the size of the parent. The
     * default on Linux and the BSDs; not on Windows.
     */
    MPROC_FORKSERVER,
    /** fork(): the child inherits the parent's memory. Unsafe while other threads run. Not on Windows. */
    MPROC_FORK,
    /** The program is started anew: on every platform, and the default on Windows and macOS. */
    MPROC_SPAWN,
    /**
     * A thread of this process, behind the same calls. It cannot be terminated, and shares what a process shares. A
     * target that ends its thread, by `pthread_exit` or `ExitThread`, ends with exit code 1.
     */
    MPROC_THREAD
} mproc_start_method_t;

/**
 * Choose the start method for processes whose options name none.
 *
 * It overrides MPROC_START_METHOD in the environment, and is handed on to children.
 *
 * @param method The method; MPROC_DEFAULT goes back to the platform's own, or the environment's.
 * @return APR_SUCCESS; APR_ENOTIMPL if this platform lacks it; APR_EINVAL if it is none.
 * @remark Any thread, also before mproc_initialize(). Unlike in Python it can be changed at any time.
 */
MPROC_API apr_status_t mproc_set_start_method(mproc_start_method_t method);

/**
 * Tell the start method for processes whose options name none.
 *
 * @return The method, never MPROC_DEFAULT.
 * @remark Any thread.
 */
MPROC_API mproc_start_method_t mproc_get_start_method(void);

/**
 * List the start methods of this platform.
 *
 * @param count How many there are is stored here; may be NULL.
 * @return A constant array, the platform's default first.
 * @remark Any thread, also before mproc_initialize().
 */
MPROC_API const mproc_start_method_t *mproc_get_all_start_methods(size_t *count);

/**
 * Name a start method.
 *
 * @param method The method.
 * @return "default", "forkserver", "fork", "spawn" or "thread", a constant string; NULL for anything else.
 * @remark Any thread, also before mproc_initialize().
 */
MPROC_API const char *mproc_start_method_name(mproc_start_method_t method);

/**
 * Find a start method by its name, for a command line or a setting.
 *
 * @param method Where to store it; untouched on APR_EINVAL.
 * @param name   A name as mproc_start_method_name() gives it.
 * @return APR_SUCCESS; APR_EINVAL if there is no such name or an argument is NULL; APR_ENOTIMPL if this platform lacks
 *         the method (which is stored all the same).
 * @remark Any thread, also before mproc_initialize().
 */
MPROC_API apr_status_t mproc_start_method_parse(mproc_start_method_t *method, const char *name);

#ifdef __cplusplus
}
#endif

#endif
