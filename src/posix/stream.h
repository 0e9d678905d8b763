/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file stream.h
 * @brief A stream on Unix: a socket, with the frames of Python's connections on it.
 *
 * A frame is a length and as many bytes. Lengths are 32 bits in network order; -1 announces 64 bits, and -2, which only
 * mproc writes, 64 bits and the number of descriptors that come with the frame.
 */
#ifndef MPROC_UNIX_STREAM_H
#define MPROC_UNIX_STREAM_H

#include <stdatomic.h>
#include <sys/uio.h>

#include "passed.h"

enum {
    FRAME_SHORT = 4,
    FRAME_LONG = FRAME_SHORT + 8,
    FRAME_MARKED = FRAME_LONG + 4,
    FRAME_LONG_LENGTH = -1,
    FRAME_MARKED_LENGTH = -2
};

/* How many bytes the system is given at once, or asked for: some refuse more than an int holds. */
enum { UNIX_STREAM_AT_ONCE = 1 << 30 };

struct sys_stream_t {
    int fd;
    int directions;
    int is_socket;
    int can_attach; /* carries descriptors */
    int is_ours;    /* no other process, and nothing else in this one, has this end: calls may wait in the system */

    /* Sending: what is left of a message. */
    unsigned char *rest;
    size_t rest_size;
    size_t rest_done;
    int is_broken; /* the rest was lost */

    /* Receiving. */
    unsigned char *ahead; /* what was read and not yet asked for lies from begin to end */
    size_t ahead_size;
    size_t begin;
    size_t end;
    _Atomic int is_exact; /* nothing is read ahead */
    int is_in_message;    /* what `next` says */
    sys_next_t next;
    int is_drained; /* the last look took all there was: the next one waits first */
    unsigned luck;  /* how often something has come at a glance lately */
    unsigned waits;
    apr_status_t verdict; /* why no message follows, for good */
    unix_passed_t passed; /* what came with frames that have not been read to their end */
};

/** Make a stream of a descriptor that is the library's already, or of none yet: -1. */
apr_status_t unix_stream_make(sys_stream_t **stream, int fd, int directions);

/** Give a stream its descriptor. */
void unix_stream_take(sys_stream_t *stream, int fd);

/** Wait until a descriptor is ready: APR_SUCCESS, APR_TIMEUP, APR_EINTR, or a failure of the system. */
apr_status_t unix_wait_for(int fd, short events, sys_time_t deadline, sys_handle_t stop);

#endif
