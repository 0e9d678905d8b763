/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

#include "support.h"

apr_interval_time_t cpu_time(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0)
        return 0;
    return apr_time_from_sec(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + usage.ru_utime.tv_usec +
           usage.ru_stime.tv_usec;
}

void stop_for_good(void)
{
    raise(SIGSTOP);
}

void end_this_thread(void)
{
    pthread_exit(NULL);
}
