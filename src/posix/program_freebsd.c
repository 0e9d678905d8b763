/* SPDX-License-Identifier: Apache-2.0 */
/* FreeBSD: the kernel knows the path of the file that it executes. */
#include <sys/types.h>
#include <sys/sysctl.h>

#include "unix.h"

sys_method_t sys_default_method(void)
{
    return SYS_FORKSERVER;
}

int unix_program_find(char path[SYS_PATH_MAX], const char *argv0)
{
    int name[] = {CTL_KERN, KERN_PROC, KERN_PROC_PATHNAME, -1};
    size_t size = SYS_PATH_MAX;
    (void)argv0;
    return sysctl(name, 4, path, &size, NULL, 0);
}
