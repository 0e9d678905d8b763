/* SPDX-License-Identifier: Apache-2.0 */
#include "passed.h"

#include <stdlib.h>
#include <string.h>

#include <mproc/status.h>

void unix_passed_put(struct msghdr *message, unix_control_t *control, const int *fds, size_t count)
{
    if (count == 0)
        return;
    message->msg_control = control;
    message->msg_controllen = CMSG_SPACE(count * sizeof(int));
    memset(control, 0, message->msg_controllen);
    control->header.cmsg_level = SOL_SOCKET;
    control->header.cmsg_type = SCM_RIGHTS;
    control->header.cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(&control->header), fds, count * sizeof(int));
}

/** List one descriptor, and note it if it is to be kept. */
static void take_one(unix_passed_t *passed, int fd, int is_kept)
{
    unix_making();
#if defined(MPROC_HAVE_MSG_CMSG_CLOEXEC)
    fd = unix_made(fd);
#else
    fd = unix_made_inheritable(fd);
#endif
    if (is_kept && fd >= 0)
        passed->fds[passed->fd_count++] = fd;
    else
        unix_close(fd);
}

/** CMSG_NXTHDR, which some systems write in a way that compilers warn of. */
static struct cmsghdr *next_header(const struct msghdr *message, struct cmsghdr *header)
{
    const unsigned char *end = (const unsigned char *)message->msg_control + message->msg_controllen;
    unsigned char *next = (unsigned char *)header + CMSG_SPACE(header->cmsg_len - CMSG_LEN(0));
    return next < end && (size_t)(end - next) >= sizeof *header ? (struct cmsghdr *)(void *)next : NULL;
}

int unix_passed_take(unix_passed_t *passed, struct msghdr *message)
{
    unix_cut_t cut = message->msg_flags & MSG_CTRUNC ? UNIX_CUT_NO_ROOM : UNIX_CUT_NONE;
    size_t count = 0;
    if (!passed->fds && (passed->fds = calloc(UNIX_PASSED_MAX, sizeof *passed->fds)) == NULL)
        cut = UNIX_CUT_NO_MEMORY;
    const int has_room = passed->set_count < UNIX_PASSED_SETS;
    const size_t before = passed->fd_count;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header; header = next_header(message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;
        const size_t here = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < here; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
            take_one(passed, fd, has_room && !cut && passed->fd_count - before < SYS_ATTACHED_MAX);
        }
        count += here;
    }
    if (count == 0 && !cut)
        return 0;
    if (!has_room)
        return -1;
    if (!cut && passed->fd_count - before < count)
        cut = count > SYS_ATTACHED_MAX ? UNIX_CUT_NO_ROOM : UNIX_CUT_NO_MEMORY; /* one could not be listed */
    while (cut && passed->fd_count > before)
        unix_close(passed->fds[--passed->fd_count]);
    passed->sets[passed->set_count++] = (unix_set_t){(int32_t)(passed->fd_count - before), (int32_t)cut};
    return 0;
}

apr_status_t unix_passed_next(unix_passed_t *passed, size_t count, sys_handle_t *handles)
{
    if (passed->set_count == 0)
        return MPROC_EPROTOCOL;
    const unix_set_t set = passed->sets[0];
    const size_t size = (size_t)set.count;
    const int is_right = set.is_cut == UNIX_CUT_NONE && size == count;
    for (size_t i = 0; i < size; i++) {
        if (is_right)
            handles[i] = passed->fds[i];
        else
            unix_close(passed->fds[i]);
    }
    passed->fd_count -= size;
    passed->set_count--;
    if (passed->fd_count)
        memmove(passed->fds, passed->fds + size, passed->fd_count * sizeof *passed->fds);
    memmove(passed->sets, passed->sets + 1, passed->set_count * sizeof *passed->sets);
    if (is_right)
        return APR_SUCCESS;
    return set.is_cut == UNIX_CUT_NO_ROOM ? APR_EMFILE : set.is_cut ? APR_ENOMEM : MPROC_EPROTOCOL;
}

void unix_passed_drop(unix_passed_t *passed)
{
    for (size_t i = 0; i < passed->fd_count; i++)
        unix_close(passed->fds[i]);
    free(passed->fds);
    *passed = (unix_passed_t){.fds = NULL};
}
