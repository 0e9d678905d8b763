/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/socket.h>

#include "unix.h"

int unix_peer(int fd, int *pid, uid_t *user)
{
    struct ucred found;
    socklen_t size = sizeof found;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &found, &size) != 0)
        return -1;
    *pid = found.pid;
    *user = found.uid;
    return 0;
}
