/* SPDX-License-Identifier: Apache-2.0 */
/* Threads and processes that cannot be started, for tests that start none themselves while a fault is due. */
#include <errno.h>
#include <unistd.h>

#include <apr_thread_proc.h>

#include "faults.h"

static const int refused[] = {EAGAIN, ENOMEM};

pid_t __real_fork(void);
pid_t __wrap_fork(void);
apr_status_t __real_apr_thread_create(apr_thread_t **thread, apr_threadattr_t *attributes, apr_thread_start_t function,
                                      void *context, apr_pool_t *pool);
apr_status_t __wrap_apr_thread_create(apr_thread_t **thread, apr_threadattr_t *attributes, apr_thread_start_t function,
                                      void *context, apr_pool_t *pool);

pid_t __wrap_fork(void)
{
    return fault_is_due("fork", refused, 2) ? -1 : __real_fork();
}

apr_status_t __wrap_apr_thread_create(apr_thread_t **thread, apr_threadattr_t *attributes, apr_thread_start_t function,
                                      void *context, apr_pool_t *pool)
{
    if (fault_is_due("apr_thread_create", refused, 2))
        return errno;
    return __real_apr_thread_create(thread, attributes, function, context, pool);
}
