/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file system.h
 * @brief Facts about this process and the machine.
 */
#ifndef MPROC_SYSTEM_H
#define MPROC_SYSTEM_H

#include "types.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Tell this process's id.
 *
 * @return The operating system's process id. On Windows it is unsigned there, but fits.
 * @remark Any thread, also before mproc_initialize().
 */
MPROC_API int mproc_getpid(void);

/**
 * Tell the process id of this process's creator.
 *
 * In a child of mproc this is the process that started it, under every start method (the system's own parent is the
 * fork server with MPROC_FORKSERVER); in a thread that is a child it is this process. In the first process it is the
 * system's parent.
 *
 * @return The id; 0 once the creator is gone.
 * @remark Any thread.
 */
MPROC_API int mproc_getppid(void);

/**
 * Count the CPUs that this process may use: by its affinity, and by the time that its control group (Linux) or job
 * object (Windows) grants it, rounded up.
 *
 * @return The number, at least 1.
 * @remark Any thread, also before mproc_initialize(). It is asked of the system anew each time.
 */
MPROC_API int mproc_cpu_count(void);

#ifdef __cplusplus
}
#endif

#endif
