/* SPDX-License-Identifier: Apache-2.0 */
#include <windows.h>

#include "support.h"

/** In microseconds. */
static apr_interval_time_t duration(FILETIME time)
{
    return (apr_interval_time_t)(((uint64_t)time.dwHighDateTime << 32 | time.dwLowDateTime) / 10);
}

apr_interval_time_t cpu_time(void)
{
    FILETIME created, ended, kernel, user;
    if (!GetProcessTimes(GetCurrentProcess(), &created, &ended, &kernel, &user))
        return 0;
    return duration(kernel) + duration(user);
}

void stop_for_good(void)
{
    SuspendThread(GetCurrentThread());
}

void end_this_thread(void)
{
    ExitThread(0);
}
