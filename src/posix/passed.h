/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file passed.h
 * @brief Descriptors that go through a socket: put beside what is sent, and kept when they have come, until the frames
 *        that they belong to are read.
 */
#ifndef MPROC_UNIX_PASSED_H
#define MPROC_UNIX_PASSED_H

#include <sys/socket.h>

#include "unix.h"

enum {
    /** Linux lets a sender pass 253 at once; ours pass fewer, but what strangers pass is to be closed, not lost. */
    UNIX_PASSED_AT_ONCE = 256,
    /** As many sets as can be read ahead, and more: what comes with a frame ends the reading. */
    UNIX_PASSED_SETS = 4,
    UNIX_PASSED_MAX = UNIX_PASSED_SETS * SYS_ATTACHED_MAX
};

/** Room for descriptors beside a message; a union, so that it is aligned as its header wants. */
typedef union unix_control_t {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(UNIX_PASSED_AT_ONCE * sizeof(int))];
} unix_control_t;

/** Have descriptors go with a message: 0 or more, at most UNIX_PASSED_AT_ONCE. The room is in use until it is sent. */
void unix_passed_put(struct msghdr *message, unix_control_t *control, const int *fds, size_t count);

/** Why descriptors that came were not kept. */
typedef enum unix_cut_t {
    UNIX_CUT_NONE,
    UNIX_CUT_NO_ROOM, /**< there were more than a frame of ours brings, or than this process may have open */
    UNIX_CUT_NO_MEMORY
} unix_cut_t;

/** What came at once: the descriptors of one frame. */
typedef struct unix_set_t {
    int32_t count;
    int32_t is_cut; /**< none was kept: a unix_cut_t */
} unix_set_t;

typedef struct unix_passed_t {
    unix_set_t sets[UNIX_PASSED_SETS]; /**< the earliest first */
    size_t set_count;
    int *fds; /**< of all sets; allocated when the first ones come */
    size_t fd_count;
} unix_passed_t;

/** List what came with a message, as a set: 0, or -1 if that is more than any frames of ours bring. */
int unix_passed_take(unix_passed_t *passed, struct msghdr *message);

/** Get the next set, which must have so many: APR_SUCCESS, APR_EMFILE, APR_ENOMEM, MPROC_EPROTOCOL. */
apr_status_t unix_passed_next(unix_passed_t *passed, size_t count, sys_handle_t *handles);

/** Close them all. */
void unix_passed_drop(unix_passed_t *passed);

#endif
