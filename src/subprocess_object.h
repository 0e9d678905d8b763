/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file subprocess_object.h
 * @brief External programs, and what the files that make up their life share.
 *
 * subprocess.c makes them, subprocess_streams.c prepares their standard streams, subprocess_flow.c moves their data,
 * subprocess_talk.c and subprocess_run.c are what programs call for that, subprocess_end.c sees their end.
 */
#ifndef MPROC_SUBPROCESS_OBJECT_H
#define MPROC_SUBPROCESS_OBJECT_H

#include <mproc/subprocess.h>

#include "error.h"
#include "sys.h"
#include "waiter.h"

/** Bytes that were read of an output. */
typedef struct gathered_t {
    sys_channel_t *channel; /* NULL: no pipe, or at its end */
    int is_pipe;
    unsigned char *data; /* what was not taken yet lies from begin to end */
    size_t begin;
    size_t end;
    size_t searched; /* there is no line feed in so many of the first bytes of it */
    size_t room;
    size_t most; /* keep no more than this; 0: all */
    int is_cut;
} gathered_t;

/** What goes to programs and comes from them: of one, or of several that are connected. */
typedef struct flow_t {
    sys_channel_t *input; /* NULL: no pipe, or closed */
    int is_input_pipe;
    int is_closing;                 /* the input is closed when all is written */
    const _Atomic int *is_to_close; /* another thread wants that; NULL: none can */
    unsigned char *pending;
    size_t pending_size;
    size_t pending_done;
    int is_borrowed; /* `pending` is the caller's */
    gathered_t outputs[2];
} flow_t;

typedef struct subprocess_t {
    mproc_subprocess_t *handle;
    int owner; /* the process that made the object: a copy in a forked child is not to be used */
    char *name;
    int is_detached;
    apr_interval_time_t grace;

    /* One thread at a time moves data. */
    turn_t turn;
    closable_t closable;
    _Atomic int is_input_to_close; /* whoever has the turn does it */
    flow_t flow;

    /* Guarded by process_lock(). */
    sys_process_t *os;
    int pid;
    int has_ended;
    int is_asked; /* to end, so that it is not asked again: many a program takes that for a second wish */
    int stoppers; /* threads that end its group: its number must stay taken, so it is not reaped */
    sys_exit_t end;
    struct subprocess_t *next; /* of those that run */
    struct subprocess_t **link;
} subprocess_t;

/* ---- subprocess.c ------------------------------------------------------------------------------------------------ */

/** Get the object behind a handle for the public function `call`; the status has its text. */
apr_status_t subprocess_acquire(subprocess_t **subprocess, mproc_subprocess_t *handle, const char *call);

/** Give back what subprocess_acquire() got. */
void subprocess_release(subprocess_t *subprocess);

/** What a program is started with beside its options. */
typedef struct subprocess_streams_t {
    sys_stdio_t stdio[3];
    sys_handle_t opened[3]; /* what of it is to be closed when the program has it */
    int is_input_kept;      /* the caller keeps its input until all is written: no copy */
    flow_t flow;
} subprocess_streams_t;

/** Start a program for the public function `call`; the streams are used up, whatever happens. */
apr_status_t subprocess_start(subprocess_t **subprocess, const char *const *args, const mproc_subprocess_opts_t *opts,
                              subprocess_streams_t *streams, const char *call);

/** Take the caller's options, of whatever size; the status has its text. */
apr_status_t subprocess_take_options(mproc_subprocess_opts_t *to, const mproc_subprocess_opts_t *opts, size_t size,
                                     const char *call);

/** Close the handle of an object that the caller has acquired. */
void subprocess_close(subprocess_t *subprocess);

/** Close all handles at the end of the library; subprocess_end_all() comes before. */
void subprocess_close_all(void);

/* ---- subprocess_streams.c ---------------------------------------------------------------------------------------- */

/** Check what options say of standard streams; the status has its text. */
apr_status_t streams_check(const mproc_subprocess_opts_t *opts, const char *call);

/** Open what the options say; what `stdio` has already stays. The status has its text. */
apr_status_t streams_open(subprocess_streams_t *streams, const mproc_subprocess_opts_t *opts, const char *call);

/** Close what the program has now, or will never have. */
void streams_close_opened(subprocess_streams_t *streams);

/* ---- subprocess_flow.c ------------------------------------------------------------------------------------------- */

/** Whether a caller has what it wants. `is_over`: all programs have ended, and all that they had written was read. */
typedef int (*flow_goal_t)(flow_t *flow, int is_over, const void *context);

/**
 * Move data until a goal is reached.
 *
 * @param processes Those whose ends may matter to the goal, `count` of them.
 * @return APR_SUCCESS; APR_TIMEUP; MPROC_ECLOSED; APR_ENOMEM.
 */
apr_status_t flow_move(flow_t *flow, subprocess_t *const *processes, size_t count, flow_goal_t has_reached,
                       const void *context, closable_t *closable, sys_time_t deadline);

/** Take over bytes to be written: a copy of them, unless the caller keeps them until they are. */
apr_status_t flow_add_input(flow_t *flow, const void *data, size_t size, int is_kept);

/** Close the input; what was not written is forgotten. */
void flow_close_input(flow_t *flow);

/** Close everything, and free what was kept. */
void flow_close(flow_t *flow);

/** Give the caller what was gathered: with zeros behind, or APR_ENOMEM and nothing has changed. */
apr_status_t flow_take(flow_t *flow, mproc_completed_t *completed);

/* ---- subprocess_run.c -------------------------------------------------------------------------------------------- */

/** The goal of those who want all. */
int flow_is_over(flow_t *flow, int is_over, const void *context);

/* ---- subprocess_end.c -------------------------------------------------------------------------------------------- */

/** Between these two a program's end is not taken note of, so that its group can still be signalled. */
void subprocess_hold(subprocess_t *subprocess);
void subprocess_let_go(subprocess_t *subprocess);

/** Kill a program that is held, and its group: APR_SUCCESS when it has ended, or why it still runs; without a text. */
apr_status_t subprocess_kill_held(subprocess_t *subprocess);

/** Whether a program has ended, also if somebody holds it. */
int subprocess_is_over(subprocess_t *subprocess);

/** Wait for the end: APR_SUCCESS, APR_TIMEUP, or why it cannot be waited for; without a text. */
apr_status_t subprocess_wait(subprocess_t *subprocess, sys_time_t deadline);

/** Notice the end of a program; with process_lock() held. */
void subprocess_settle(subprocess_t *subprocess);

/** The same without it, and whether it has ended. */
int subprocess_has_ended(subprocess_t *subprocess);

/** Add to the running ones; with process_lock() held. */
void subprocess_add(subprocess_t *subprocess);

/** Ask a program and its group to end; subprocess_stop() does not ask again then. */
void subprocess_ask(subprocess_t *subprocess);

/** End a program and its group: APR_SUCCESS, or why it still runs; without a text. */
apr_status_t subprocess_stop(subprocess_t *subprocess, apr_interval_time_t grace);

/** The orderly end of all that are not detached. */
void subprocess_end_all(void);

/** Forget them: they are a forked child's siblings. */
void subprocess_forget(void);

/** Whatever was detached and closed is waited for, so that the system can forget it. */
void subprocess_sweep(void);

/** Forget what subprocess_sweep() has not seen to have ended. */
void subprocess_drop_left(void);

/** Let a detached program's end be seen by subprocess_sweep(); with process_lock() held. */
void subprocess_leave(subprocess_t *subprocess);

#endif
