/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file initialize.h
 * @brief The first call in main, and the last.
 */
#ifndef MPROC_INITIALIZE_H
#define MPROC_INITIALIZE_H

#include <stdlib.h>

#include "types.h"
#include "version.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * The call behind mproc_initialize(); programs in other languages make it directly.
 *
 * @param argc     As main received it.
 * @param argv     As main received it.
 * @param version  MPROC_VERSION_NUMBER of the headers that the program was built with.
 * @param register_atexit The program's own `atexit`, so that the orderly end runs while the program's threads and
 *                 modules are still there; NULL to call mproc_terminate() by hand.
 * @return As mproc_initialize().
 */
MPROC_API apr_status_t mproc_initialize_version(int argc, const char *const *argv, int version,
                                                int (*register_atexit)(void (*)(void)));

/**
 * The call behind mproc_freeze_support(); programs in other languages make it directly.
 *
 * @param argc     As main received it.
 * @param argv     As main received it.
 * @param version  As for mproc_initialize_version().
 * @param register_atexit As for mproc_initialize_version().
 * @return As mproc_freeze_support().
 */
MPROC_API apr_status_t mproc_freeze_support_version(int argc, const char *const *argv, int version,
                                                    int (*register_atexit)(void (*)(void)));

/**
 * Make the library ready, and turn a process that was started as a child into that child.
 *
 * Call it first in `main`. In a child process (start methods spawn and forkserver) it runs the child's target and ends
 * the process: it does not return there. What stands before it runs in children as well.
 *
 * It also initializes APR, and arranges for the orderly end: when the program ends by `return` from main or by `exit`,
 * daemons are terminated and other children are joined, as mproc_terminate() does. However this process ends, also by a
 * signal, no child outlives it.
 *
 * After a failure the library is not initialized, and it may be called again.
 *
 * @param argc As main received it. With 0 the command line is taken from the system, where it can be.
 * @param argv As main received it; read during the call only. NULL together with @p argc 0.
 * @return APR_SUCCESS, also when it was called before;
 *         MPROC_EINIT if the command line says that this is a child, but no parent stands behind it;
 *         MPROC_EBUILD if the library is older than the headers that the program was built with, or this is a child
 *         and its creator uses another build of the library;
 *         APR_EINVAL if MPROC_START_METHOD in the environment names no start method, APR_ENOTIMPL if it names one that
 *         this platform lacks; APR_ENOMEM.
 * @remark Main thread, before other threads start.
 */
static inline apr_status_t mproc_initialize(int argc, char **argv)
{
    return mproc_initialize_version(argc, (const char *const *)argv, MPROC_VERSION_NUMBER, atexit);
}

/**
 * Do just the part of mproc_initialize() that turns a process into the child that it was started as.
 *
 * For programs that host others: the host calls this first in its main, and the component that uses mproc calls
 * mproc_initialize(0, NULL) later, when it is loaded.
 *
 * @param argc As for mproc_initialize().
 * @param argv As for mproc_initialize().
 * @return APR_SUCCESS if this process was not started as a child; MPROC_EINIT, MPROC_EBUILD and APR_ENOMEM as
 *         mproc_initialize(). It does not return in a child.
 * @remark Main thread, before other threads start.
 */
static inline apr_status_t mproc_freeze_support(int argc, char **argv)
{
    return mproc_freeze_support_version(argc, (const char *const *)argv, MPROC_VERSION_NUMBER, atexit);
}

/**
 * End the library: terminate the daemons among this process's children, join the others, let go of all it holds.
 *
 * Daemons are asked to end (mproc_process_terminate()); those that have not ended after their grace are killed.
 * Children that are not daemons are joined without a timeout, as in Python. Daemons that are threads cannot be ended,
 * and are left running until the process ends. All other handles are closed.
 *
 * @return APR_SUCCESS, also when the library was not initialized; MPROC_ESTATE when called in a thread that is itself a
 *         child (start method thread).
 * @remark Main thread, when no other thread uses the library. mproc_initialize() may be called again afterwards.
 *         It is called at `exit` by itself. A process that is killed takes its children with it all the same.
 */
MPROC_API apr_status_t mproc_terminate(void);

#ifdef __cplusplus
}
#endif

#endif
