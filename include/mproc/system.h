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

/**
 * Tell when a timeout that starts now runs out, by a clock that only goes forward.
 *
 * @param timeout The timeout in microseconds; MPROC_FOREVER has no end.
 * @return The deadline, for mproc_time_left().
 * @remark Any thread, also before mproc_initialize().
 */
MPROC_API int64_t mproc_deadline(apr_interval_time_t timeout);

/**
 * Tell how much time is left to a deadline: a timeout for several calls that share it.
 *
 * @param deadline What mproc_deadline() returned.
 * @return The timeout in microseconds: 0 when the time is up, never less; MPROC_FOREVER if there is no end.
 * @remark Any thread, also before mproc_initialize().
 */
MPROC_API apr_interval_time_t mproc_time_left(int64_t deadline);

#ifdef __cplusplus
}
#endif

#endif
