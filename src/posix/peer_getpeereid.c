/* SPDX-License-Identifier: Apache-2.0 */
/* The BSDs and macOS agree on a call for the user; how the process is found is each system's own, and not asked. */
#include <sys/types.h>
#include <unistd.h>

#include "unix.h"

int unix_peer(int fd, int *pid, uid_t *user)
{
    gid_t group;
    *pid = 0;
    return getpeereid(fd, user, &group);
}
