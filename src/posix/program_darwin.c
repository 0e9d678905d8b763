/* SPDX-License-Identifier: Apache-2.0 */
/* macOS: the loader knows the path that was executed. */
#include <mach-o/dyld.h>

#include "unix.h"

sys_method_t sys_default_method(void)
{
    /* Apple's frameworks do not survive a fork without exec, not even in a process that has one thread. */
    return SYS_SPAWN;
}

int unix_program_find(char path[SYS_PATH_MAX], const char *argv0)
{
    uint32_t size = SYS_PATH_MAX;
    (void)argv0;
    return _NSGetExecutablePath(path, &size);
}
