/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file stream.h
 * @brief A stream on Windows: a pipe that keeps messages apart, as Python's connections use it.
 *
 * A message is a message of the pipe, as it is. Those that need more begin with a head: a magic number and what is to
 * be known; their bytes follow it, behind it and in further messages of the pipe. That are messages with handles, long
 * ones, and any that could be mistaken for a head.
 *
 * The sender of handles keeps duplicates for the receiver, who duplicates them to itself and says so, see parcel.c.
 *
 * Of a message of the pipe that does not fit into the pipe's memory the rest stays the sender's, who may take it back
 * at any time: so each is read by one call, or not at all.
 */
#ifndef MPROC_WIN32_STREAM_H
#define MPROC_WIN32_STREAM_H

#include "win32.h"

enum {
    WIN32_MAGIC_SIZE = 16,
    WIN32_PIPE_BUFFER = 1 << 16,
    WIN32_PATH_SIZE = 257 /* names of pipes have 256 units at most */
};

/** The beginning of a message of mproc's own form; its handles, 64 bits each, follow. */
typedef struct win32_head_t {
    unsigned char magic[WIN32_MAGIC_SIZE];
    uint64_t size;
    uint64_t sender_birth;
    uint64_t received; /* an event of the sender's, to be set when its handles are not needed any more */
    uint32_t sender;
    uint32_t is_marked;
    uint32_t handle_count;
    uint32_t reserved;
} win32_head_t;

extern const unsigned char win32_magic[WIN32_MAGIC_SIZE];

/** Handles on their way, with all that is needed to close them. */
typedef struct win32_parcel_t win32_parcel_t;

/** Waiting for a message without taking it, see probe.c; the lock guards it. */
typedef struct win32_probe_t {
    SRWLOCK lock;
    OVERLAPPED overlapped; /* with its event, made when it is needed */
    int is_pending;        /* a read of nothing is under way */
    int has_message;       /* one has found a message, and nobody has received since */
    int is_leaving;        /* another process may have the stream: nobody reads here */
    size_t users;          /* threads that wait */
    size_t empty_count;    /* messages that were taken by waiting */
} win32_probe_t;

struct sys_stream_t {
    HANDLE pipe;
    int directions;
    int is_strange; /* somebody else's process may be at the other end: we do not get hold of handles for it */

    /* Sending: what is left of a message, and what it names. */
    HANDLE sending; /* an event, made when it is needed */
    unsigned char *rest;
    size_t rest_size;
    size_t rest_done;
    win32_parcel_t *parcel; /* of that message; NULL: no handles */
    int is_broken;          /* the rest was lost */

    /* Receiving. */
    HANDLE receiving;     /* an event, made when it is needed */
    unsigned char *ahead; /* what was read and not yet asked for lies from begin to end; empty between messages */
    size_t ahead_size;
    size_t begin;
    size_t end;
    int is_in_message; /* what `next` says */
    sys_next_t next;
    apr_status_t verdict; /* why no message follows, for good */
    uint32_t sender;
    uint64_t sender_birth;
    uint64_t received;                  /* an event of the sender's */
    uint64_t handles[SYS_ATTACHED_MAX]; /* as the sender calls them */

    win32_probe_t probe;
};

/** Make a stream of a pipe, which it owns after success. */
apr_status_t win32_stream_make(sys_stream_t **stream, HANDLE pipe, int directions);

/** Find out whether the one who made the other end may name handles for us to take: only a process of our user may. */
void win32_stream_check_peer(sys_stream_t *stream);

/** What the error of a read means: APR_SUCCESS also for the beginning of a message, APR_EAGAIN if it was stopped. */
apr_status_t win32_read_status(DWORD error);

/* ---- probe.c: waiting for a message ------------------------------------------------------------------------------ */

/** Begin to wait: before win32_probe_look(), and until win32_probe_leave(). */
apr_status_t win32_probe_enter(sys_stream_t *stream);

void win32_probe_leave(sys_stream_t *stream);

/**
 * Look whether something is to be received.
 *
 * @return APR_SUCCESS; APR_EINPROGRESS: there is nothing, and the event tells when to look again; APR_EOF and others:
 *         nothing will come.
 */
apr_status_t win32_probe_look(sys_stream_t *stream);

/** The same, when it counts what has come by now: it may have the others who wait look again. */
apr_status_t win32_probe_look_last(sys_stream_t *stream);

/** The event, after win32_probe_enter(). */
HANDLE win32_probe_event(const sys_stream_t *stream);

/** Wait until something is to be received: as win32_probe_look(), APR_TIMEUP or APR_EINTR. */
apr_status_t win32_probe_wait(sys_stream_t *stream, sys_time_t deadline, sys_handle_t stop);

/**
 * Before a message of the pipe is taken: nobody reads nothing meanwhile.
 *
 * @return 1: there may be one; 0: there is none; -1: it is an empty one, which the caller has taken with this.
 */
int win32_probe_begin_taking(sys_stream_t *stream);

void win32_probe_end_taking(sys_stream_t *stream);

/** Whether there is an empty message that was taken by waiting. */
int win32_probe_has_empty(sys_stream_t *stream);

/** End all waiting, before another process takes the stream over: it would take empty messages from there. */
void win32_probe_stop(sys_stream_t *stream);

/* ---- parcel.c: handles on their way ------------------------------------------------------------------------------ */

/** Make duplicates of handles, to be sent through a pipe. */
apr_status_t win32_parcel_make(win32_parcel_t **parcel, HANDLE pipe, const sys_handle_t *handles, size_t count);

/** Write what the receiver needs to know: an event, and the names of the handles, of 64 bits each. */
void win32_parcel_name(const win32_parcel_t *parcel, uint64_t *received, unsigned char *names);

/** Its message is out: from now on the parcel belongs to those who look after it. */
void win32_parcel_send(win32_parcel_t *parcel);

/** Its message will never be complete: close it all. NULL is allowed. */
void win32_parcel_drop(win32_parcel_t *parcel);

/* ---- listener.c -------------------------------------------------------------------------------------------------- */

/** Look whether somebody has connected; the listener's event becomes ready when that may have changed. */
int win32_listener_is_ready(sys_listener_t *listener);

HANDLE win32_listener_event(const sys_listener_t *listener);

/* ---- channel.c --------------------------------------------------------------------------------------------------- */

/** Look whether the next call would do something; APR_EINPROGRESS: the channel's event tells when to look again. */
apr_status_t win32_channel_look(sys_channel_t *channel);

HANDLE win32_channel_event(const sys_channel_t *channel);

/* ---- pipe.c: names and who may use them -------------------------------------------------------------------------- */

/** Make one end of a pipe, `flags` as for CreateNamedPipe(). */
apr_status_t win32_pipe_create(HANDLE *pipe, const wchar_t *path, DWORD flags, DWORD count, int any_user);

/** Make one end of a pipe that carries bytes one way. */
apr_status_t win32_pipe_create_bytes(HANDLE *pipe, const wchar_t *path, int is_output);

/** Make the other end. */
apr_status_t win32_pipe_connect(HANDLE *pipe, const wchar_t *path, int directions);

/** Complete a pipe whose other end is open already: this does not wait. */
apr_status_t win32_pipe_join(HANDLE pipe);

/** Make a name that nobody else has. */
apr_status_t win32_pipe_new_path(wchar_t path[WIN32_PATH_SIZE]);

/** Find the name of the pipe of a listener's name or address, and whether it is one of this user's names. */
apr_status_t win32_pipe_path(wchar_t path[WIN32_PATH_SIZE], int *is_named, const char *name);

/**
 * Mark a pipe as one that somebody listens at: its name stays in use as long as one connection through it is open. The
 * mark goes with its handle; APR_EEXIST if there is one.
 */
apr_status_t win32_mark_create(HANDLE *mark, const wchar_t *path);

/** The size of what is left of a pipe's next message; 0 if it is empty, there is none, or that cannot be told. */
DWORD win32_pipe_look(HANDLE pipe);

/** Whether a pipe is marked. */
int win32_mark_exists(const wchar_t *path);

#endif
