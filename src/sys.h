/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file sys.h
 * @brief The seam: the only door between the portable core and an operating system.
 *
 * Two backends stand behind it, src/posix and src/win32, file by file the same names. What APR does well is not here.
 *
 * What holds for every function, stated once:
 * - Outputs come first. After a failure they are empty (NULL, SYS_NO_HANDLE), and nothing is retained.
 * - A failure is an apr_status_t as the system gave it; the core makes it canonical and adds the words.
 * - Nothing calls upward: no callbacks into the core, no logging, no error texts.
 * - Deadlines are absolute, in microseconds of sys_now(); SYS_NEVER waits for good.
 * - What a platform lacks returns APR_ENOTIMPL.
 * - Every handle that is made here stays out of programs that other threads start.
 * - Pointers are not NULL unless that is said.
 */
#ifndef MPROC_SYS_H
#define MPROC_SYS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <apr_errno.h>

/** A file descriptor or a HANDLE. */
typedef intptr_t sys_handle_t;

#define SYS_NO_HANDLE ((sys_handle_t)-1)

/** A point in time of sys_now(). */
typedef int64_t sys_time_t;

#define SYS_NEVER INT64_MAX

/* ---- lock: the core's one lock, which is there before anything is initialized ------------------------------------ */

void sys_lock(void);
void sys_unlock(void);

/* ---- info: facts about the machine and this process -------------------------------------------------------------- */

/** The monotonic clock, in microseconds. */
sys_time_t sys_now(void);

int sys_getpid(void);

/** The system's own parent of this process. */
int sys_getppid(void);

/**
 * When a process started, in units of the system: tells two processes apart that had the same id one after the other.
 */
apr_status_t sys_birth(uint64_t *birth, int pid);

/** CPUs granted by affinity and by control group or job; at least 1. */
int sys_cpu_count(void);

/** Whether this process may be bound to a CPU: APR_EINVAL if the machine has no such one or it is forbidden. */
apr_status_t sys_check_cpu(int cpu);

/** Bind this process to some CPUs. */
apr_status_t sys_bind_cpus(const int *cpus, size_t count);

/**
 * How much private memory this process has, in bytes: what is in main memory (Unix), or what was promised (Windows).
 * Where the system does not tell shared memory apart, that which this process has touched is counted too.
 */
apr_status_t sys_private_bytes(uint64_t *bytes);

/** How many threads this process has, as far as that is cheap to know; 1 if it is not. */
int sys_thread_count(void);

/**
 * This process's command line, for programs that do not have it: one allocation for free(), `argv[argc]` is NULL.
 */
apr_status_t sys_command_line(char ***argv, int *argc);

/** This process's environment, "NAME=value" in UTF-8 with NULL at the end: one allocation for free(). */
apr_status_t sys_environment(char ***list);

/**
 * Copy a variable's value in UTF-8; APR_ENOENT if it is not set, APR_ENAMETOOLONG if it does not fit.
 */
apr_status_t sys_environment_get(char *value, size_t size, const char *name);

/** Whether this process's environment consists of just these strings in this order; they lie back to back. */
int sys_environment_is(const char *strings, size_t size);

/** Replace this process's environment. The list is used in place and must stay. */
apr_status_t sys_set_environment(char **list);

/** Compare the first `length` bytes of two names of variables: 0 if they are the same to the system. */
int sys_environment_compare(const char *a, const char *b, size_t length);

/**
 * Have a lock held across every fork of this process, ours and others', so that the child finds what it guards in one
 * piece. `in_child` is called in the child, with all locks held; NULL for nothing to do. The backend's own locks are
 * taken between the first and the last one: nobody waits for another lock while holding the last, so it may spin.
 */
typedef enum sys_fork_order_t { SYS_FORK_FIRST, SYS_FORK_LAST } sys_fork_order_t;
apr_status_t sys_at_fork(sys_fork_order_t order, void (*lock)(void), void (*unlock)(void), void (*in_child)(void));

/** How many columns the terminal has that a stream writes to, 80 if it does not tell; 0: it is no terminal. */
int sys_terminal_width(FILE *stream);

/** Show a name for this process in process lists, as far as the system lets it. */
void sys_set_process_title(const char *name);

/* ---- image: functions as places in modules ----------------------------------------------------------------------- */

enum { SYS_IMAGE_ID_MAX = 32, SYS_PATH_MAX = 4096 };

/** Where a function lies, in terms that hold in another process. */
typedef struct sys_place_t {
    uint64_t offset;                    /**< from the module's base */
    uint32_t is_program;                /**< the module is the program itself, wherever its file is */
    uint32_t id_size;                   /**< how much of `id` counts */
    unsigned char id[SYS_IMAGE_ID_MAX]; /**< the module's identity: equal only for the same build */
    char *path;                         /**< the module's file, in UTF-8; NULL for the program */
} sys_place_t;

/** Find the place of a function, its path for free(); APR_ENOENT if it lies in no module's code. */
apr_status_t sys_image_locate(sys_place_t *place, uintptr_t address);

/** Find a place in this process; APR_ENOENT if its module is not loaded, MPROC_EBUILD if it is another build. */
apr_status_t sys_image_find(uintptr_t *address, const sys_place_t *place);

/* ---- block: memory that a creator fills and its child maps ------------------------------------------------------- */

/** How large a child's report may be. */
enum { SYS_REPORT_MAX = 576 };

typedef struct sys_block_t {
    unsigned char *data;
    size_t size;
    sys_handle_t handle; /**< what a child finds it by; SYS_NO_HANDLE if it does not need one */
    void *report;        /**< where creator and child share SYS_REPORT_MAX zeroed bytes; NULL: they share the data */
    int is_copied;       /**< the child has a copy; for the backend */
} sys_block_t;

/** How a block comes to the child. */
typedef enum sys_block_kind_t {
    SYS_BLOCK_LOCAL,  /**< not at all: it is a thread of this process */
    SYS_BLOCK_FORKED, /**< the child is a copy of this process */
    SYS_BLOCK_SERVED, /**< with a request to the fork server */
    SYS_BLOCK_PASSED  /**< by its handle */
} sys_block_kind_t;

/** Make a zeroed block. */
apr_status_t sys_block_create(sys_block_t *block, size_t size, sys_block_kind_t kind);

/**
 * Let go of the handle, and of all but the first `keep` bytes, rounded up: the child has the rest. The data may move.
 */
void sys_block_trim(sys_block_t *block, size_t keep);

/** Unmap and close; a closed block again is harmless. */
void sys_block_close(sys_block_t *block);

/* ---- arena: the memory that a family of processes shares --------------------------------------------------------- */

typedef struct sys_arena_t {
    unsigned char *base; /**< NULL: it is not mapped */
    uint64_t size;
    sys_handle_t handle; /**< what other processes map it by */
} sys_arena_t;

/** The size that is best if nobody says one, as far as this process's limits allow it. */
uint64_t sys_arena_default_size(void);

/**
 * Make and map an arena of zeros, which has no memory yet; `size` is a multiple of 64 KiB. Children that are started
 * from now on find it by sys_child_arena(); there is one for each process.
 */
apr_status_t sys_arena_create(sys_arena_t *arena, uint64_t size);

/** Map what another process has made; the handle then belongs to the arena. */
apr_status_t sys_arena_map(sys_arena_t *arena, sys_handle_t handle);

/**
 * Find the arena of another process of the same user, by the bytes that it begins with: a handle for sys_arena_map().
 * APR_ENOENT if that process has none.
 */
apr_status_t sys_arena_find(sys_handle_t *handle, int pid, const void *beginning, size_t size);

/**
 * Have memory for a part, both in units of 64 KiB, for all processes. To do it again is harmless. APR_ENOMEM: what a
 * part of more than one unit held may be lost.
 */
apr_status_t sys_arena_commit(const sys_arena_t *arena, uint64_t offset, uint64_t size);

/** Make a part zeros, which has memory. What the system knows to be zeros is not touched, as it may be large. */
void sys_arena_clear(const sys_arena_t *arena, uint64_t offset, uint64_t size);

/** The memory of a part is not needed. What it holds from now on is anything, until it is written. */
void sys_arena_release(const sys_arena_t *arena, uint64_t offset, uint64_t size);

/** Unmap and close. */
void sys_arena_close(sys_arena_t *arena);

/**
 * What process ids mean here: two processes with different answers cannot tell each other by them. 0 where the system
 * does not tell; a failure if it could not just now.
 */
apr_status_t sys_pid_space(uint64_t *space);

/* ---- segment: memory by a name, also for processes that are not of the family ------------------------------------ */

typedef struct sys_segment_t {
    unsigned char *data;
    size_t size;
    sys_handle_t handle;
    uint64_t identity[2]; /* of what the handle was made for, where the program could have closed it since */
} sys_segment_t;

/** Make a segment of zeros, whose memory is promised: APR_EEXIST, APR_ENOMEM. A name has no separators in it. */
apr_status_t sys_segment_create(sys_segment_t *segment, const char *name, size_t size);

/**
 * Open a segment. APR_ENOENT; MPROC_ESTATE if it has no memory yet; APR_EACCES if it is another user's, unless
 * `any_user`; APR_EFTYPE if it is something else.
 */
apr_status_t sys_segment_open(sys_segment_t *segment, const char *name, int any_user);

/**
 * Copy out of or into a segment, inside of its size: MPROC_ESIZE if somebody has made it smaller, APR_EBADF if this
 * program has closed its handle.
 */
apr_status_t sys_segment_read(const sys_segment_t *segment, size_t offset, void *buffer, size_t size);
apr_status_t sys_segment_write(const sys_segment_t *segment, size_t offset, const void *data, size_t size);

/** Unmap and close; a closed segment again is harmless. */
void sys_segment_close(sys_segment_t *segment);

/** Remove a name: APR_ENOENT if there is none. Where names go by themselves it does nothing. */
apr_status_t sys_segment_unlink(const char *name);

/* ---- park: to wait at a word of shared memory -------------------------------------------------------------------- */

/**
 * Wait while the word has this value. It may end for no reason, so the caller looks again.
 *
 * @return APR_SUCCESS: woken, or the value is another; APR_TIMEUP, which comes early where waiting is looking again and
 *         again.
 */
apr_status_t sys_park(_Atomic uint32_t *word, uint32_t value, sys_time_t deadline);

/** Wake some of those who wait at a word, of whatever process. What was written before is seen by them. */
void sys_unpark(_Atomic uint32_t *word, unsigned count);

/* ---- thread ------------------------------------------------------------------------------------------------------ */

/** What a thread's end is to call: kept by whoever has it called until then, and the backend's meanwhile. */
typedef struct sys_thread_exit_t {
    void (*function)(void *context);
    void *context;
    uint32_t thread; /* whose end, on Windows */
    struct sys_thread_exit_t *next;
} sys_thread_exit_t;

/**
 * Have a function called when this thread ends, the last one first. What is registered by those that are called is
 * called as well; the memory is free for that, or to go, from the call on.
 */
apr_status_t sys_at_thread_exit(sys_thread_exit_t *at_exit, void (*function)(void *context), void *context);

/** Around the making of a thread of the library's own: the program's handlers for signals are not to run on it. */
void sys_hold_signals(void);
void sys_let_signals(void);

/** On such a thread, once: children that it forks are to hold no signals, like those that are started in other ways. */
void sys_let_signals_of_children(void);

/** Whether sys_fence_all() is a full fence in every thread of this process, and not in this one alone. */
extern int sys_fences_all;

/** Find that out; before there are threads it costs less. */
void sys_fence_initialize(void);

void sys_fence_all(void);

/* ---- handle ------------------------------------------------------------------------------------------------------ */

/** Duplicate a handle of the program's; APR_EBADF if it is not open. */
apr_status_t sys_handle_duplicate(sys_handle_t *copy, sys_handle_t handle);

/** Give a handle to the program: from now on it is not the library's any more. */
void sys_handle_give(sys_handle_t handle);

/** Close a handle; SYS_NO_HANDLE is harmless. */
void sys_handle_close(sys_handle_t handle);

/* ---- wait -------------------------------------------------------------------------------------------------------- */

/** Wait until a sentinel or an event is ready: APR_SUCCESS, APR_TIMEUP, or APR_EBADF if the program has closed it. */
apr_status_t sys_wait(sys_handle_t handle, sys_time_t deadline);

/** Something that is set, can be waited for by sys_wait() and the system's own means, and can be reset. */
typedef struct sys_event_t {
    sys_handle_t sentinel;
    sys_handle_t setter;
    uint64_t identity[3]; /* where the program could have closed it since; zeros: it is not known */
} sys_event_t;

apr_status_t sys_event_create(sys_event_t *event);

/**
 * In a child that was given an event's setter: have an event to set, which cannot be waited for. The setter then
 * belongs to it; after a failure it is the caller's still.
 */
apr_status_t sys_event_adopt(sys_event_t *event, sys_handle_t setter);

/** Have an event be told from others of its kind by that, which takes longer; one that was adopted is. */
void sys_event_know(sys_event_t *event);

/**
 * Whether an event is still what it was: programs close all that they do not know, and open files that get the same
 * numbers. To be asked before it is set, where that can happen; to close it asks by itself. 1 where nobody can tell.
 */
int sys_event_is_intact(const sys_event_t *event);

void sys_event_set(sys_event_t *event);

/** Make an event as it was at first, whether it was set or not. */
void sys_event_reset(sys_event_t *event);

/** Close; a closed event again is harmless. */
void sys_event_close(sys_event_t *event);

typedef enum sys_wait_kind_t {
    SYS_WAIT_HANDLE,
    SYS_WAIT_SOCKET,
    SYS_WAIT_STREAM,
    SYS_WAIT_LISTENER,
    SYS_WAIT_CHANNEL,
    SYS_WAIT_NOTHING /* never ready */
} sys_wait_kind_t;

/** One of several things to wait for. */
typedef struct sys_wait_t {
    sys_wait_kind_t kind;
    sys_handle_t handle; /**< of SYS_WAIT_HANDLE and SYS_WAIT_SOCKET */
    void *object;        /**< the sys_stream_t, sys_listener_t or sys_channel_t of the others */
    int is_ready;        /**< in and out: 1 if it is; out: -1 if it cannot be waited for, which counts as ready */
} sys_wait_t;

/**
 * Wait until one or more of any number of things are ready, and tell how many: APR_SUCCESS or APR_TIMEUP. If some are
 * marked as ready already, it only looks at the others. What is changed by being waited for (an event of Windows' that
 * resets itself) is changed if it is ready.
 */
apr_status_t sys_wait_any(sys_wait_t *items, size_t count, size_t *ready, sys_time_t deadline);

/* ---- stream: messages between processes -------------------------------------------------------------------------- */

/*
 * A stream carries whole messages, with the system's handles among them. At most one thread sends and one receives at a
 * time; both may do so at once. Calls that wait return APR_EINTR when `stop` becomes ready (SYS_NO_HANDLE never does),
 * and do not wait at all if their deadline is 0.
 */
typedef struct sys_stream_t sys_stream_t;

enum {
    SYS_STREAM_IN = 1,
    SYS_STREAM_OUT = 2,
    SYS_ATTACHED_MAX = 64, /* handles of one message */
    SYS_PACKED_HANDLES_MAX = 512
};

/** A message to be sent: two pieces, one behind the other. */
typedef struct sys_message_t {
    const void *pieces[2];
    size_t sizes[2];
    int is_marked;               /**< needed with handles: both ends are mproc's */
    const sys_handle_t *handles; /**< the receiver gets duplicates */
    size_t handle_count;
} sys_message_t;

/** What is known of a message before it is read. */
typedef struct sys_next_t {
    uint64_t size;
    uint64_t left;      /**< of it, what has not been read */
    uint32_t is_marked; /**< as it was sent */
    uint32_t handle_count;
} sys_next_t;

/** Make two that are connected. `one_way`: the first only receives, the second only sends. */
apr_status_t sys_stream_pair(sys_stream_t **first, sys_stream_t **second, int one_way);

/**
 * Make one of a handle, which then belongs to it. `directions` are SYS_STREAM_IN and SYS_STREAM_OUT; 0: the handle is
 * the program's, and the system knows them. APR_EINVAL for a handle of another kind.
 */
apr_status_t sys_stream_open(sys_stream_t **stream, sys_handle_t handle, int directions);

int sys_stream_directions(const sys_stream_t *stream);

/** The handle; it stays the stream's own. */
sys_handle_t sys_stream_handle(const sys_stream_t *stream);

/**
 * Send a message, after what is left of the one before.
 *
 * @return APR_SUCCESS; APR_TIMEUP or APR_EINTR: nothing of it was sent; MPROC_EUNFINISHED: the deadline passed or
 *         `stop` came when some of it was sent, and the rest is kept; APR_EPIPE: the other end is closed;
 *         where messages are the system's own, that happens to very long ones only;
 *         MPROC_EBROKEN: the rest of an earlier message was lost; APR_ENOTIMPL: this kind of stream takes no marked
 *         messages.
 */
apr_status_t sys_stream_send(sys_stream_t *stream, const sys_message_t *message, sys_time_t deadline,
                             sys_handle_t stop);

/** Send what is left of a message: as sys_stream_send(). */
apr_status_t sys_stream_flush(sys_stream_t *stream, sys_time_t deadline, sys_handle_t stop);

/** Whether something is left of a message. */
int sys_stream_has_rest(const sys_stream_t *stream);

/**
 * Wait until the beginning of the next message has come; the same one until sys_stream_end_message().
 *
 * @return APR_SUCCESS; APR_TIMEUP; APR_EINTR; APR_EOF: the other end is closed; MPROC_ETRUNCATED: in the middle of a
 *         message; MPROC_EPROTOCOL: what came is no message. The last three stay.
 */
apr_status_t sys_stream_next(sys_stream_t *stream, sys_next_t *next, sys_time_t deadline, sys_handle_t stop);

/**
 * Read on in the message: exactly `size` bytes, or with a failure as above, those that have come by then.
 */
apr_status_t sys_stream_read(sys_stream_t *stream, void *buffer, size_t size, size_t *done, sys_time_t deadline,
                             sys_handle_t stop);

/**
 * Leave the message, all of which has been read: its handles, as many as sys_stream_next() said, are the caller's now.
 *
 * @return APR_SUCCESS; MPROC_EPROTOCOL, APR_EMFILE, APR_ENOMEM, MPROC_EGONE: there are no handles, but the message is
 *         left.
 */
apr_status_t sys_stream_end_message(sys_stream_t *stream, sys_handle_t *handles);

/** Whether sys_stream_next() can tell without asking the system. */
int sys_stream_is_ready(const sys_stream_t *stream);

/** Read nothing ahead from now on, so that the system's handle is ready when there is something to read. */
void sys_stream_read_exactly(sys_stream_t *stream);

/**
 * Stop all reading, and tell what this process has read ahead, for whoever takes the stream over: the size, and if
 * there is room the bytes.
 * The handles stay the stream's own; there are at most SYS_PACKED_HANDLES_MAX.
 */
size_t sys_stream_pack(sys_stream_t *stream, void *bytes, size_t capacity, sys_handle_t *handles, size_t *handle_count);

/** It was packed, but stays: reading goes on. */
void sys_stream_keep(sys_stream_t *stream);

/**
 * Take over what another process had read ahead; the handles belong to the stream then. `taken` is what that process
 * says to have had of the message that it was in: APR_EINVAL if that cannot be.
 */
apr_status_t sys_stream_unpack(sys_stream_t *stream, const void *bytes, size_t size, uint64_t taken,
                               const sys_handle_t *handles, size_t handle_count);

/** Who made the other end: its process id or 0, and whether it has the same user. */
apr_status_t sys_stream_peer(const sys_stream_t *stream, int *pid, int *is_same_user);

/** Have calls on it that wait, or will, end soon: it is about to be closed, here and for the other end. */
void sys_stream_interrupt(sys_stream_t *stream);

/** Close; NULL is allowed. What is left of a message is lost. */
void sys_stream_close(sys_stream_t *stream);

/** End what is kept for receivers of handles that were sent: they cannot get them any more. */
void sys_stream_shutdown(void);

/* ---- listener: streams to strangers ------------------------------------------------------------------------------ */

typedef struct sys_listener_t sys_listener_t;

/** Listen under a name, or an address of the system's (NULL: a new one); APR_EEXIST if somebody does. */
apr_status_t sys_listener_create(sys_listener_t **listener, const char *name, int backlog, int any_user);

/** The system's address; it lives as long as the listener. */
const char *sys_listener_address(const sys_listener_t *listener);

/** Take the next one who connects; several threads at once may. As sys_stream_next(). */
apr_status_t sys_listener_accept(sys_listener_t *listener, sys_stream_t **stream, sys_time_t deadline,
                                 sys_handle_t stop);

/** Let nobody connect any more, and remove the address where that can be done while others wait in a call. */
void sys_listener_stop(sys_listener_t *listener);

/** Close, and remove the address; NULL is allowed. */
void sys_listener_close(sys_listener_t *listener);

/** Connect to a name or an address; APR_ENOENT while nobody listens there, APR_EACCES if another user does. */
apr_status_t sys_stream_connect(sys_stream_t **stream, const char *name, sys_time_t deadline);

/* ---- process ----------------------------------------------------------------------------------------------------- */

/** The ways to start that need the system. */
typedef enum sys_method_t { SYS_FORK, SYS_FORKSERVER, SYS_SPAWN } sys_method_t;

/** Signals, by the numbers that exit codes use. */
typedef enum sys_signal_t { SYS_INTERRUPT = 2, SYS_KILL = 9, SYS_TERMINATE = 15 } sys_signal_t;

typedef enum sys_stdio_kind_t {
    SYS_STDIO_INHERIT,
    SYS_STDIO_NULL,
    SYS_STDIO_HANDLE,
    SYS_STDIO_STDOUT
} sys_stdio_kind_t;

typedef struct sys_stdio_t {
    sys_stdio_kind_t kind;
    sys_handle_t handle;
} sys_stdio_t;

/** How many numbers of its own a backend can leave in the block for its other half in the child. */
enum { SYS_SLOTS = 4 };

typedef struct sys_start_t {
    sys_block_t *block;
    int64_t *slots;              /**< in the block, SYS_SLOTS of them */
    const sys_handle_t *handles; /**< what the child gets duplicates of */
    int64_t *child_handles;      /**< in the block: what the child calls them; the same, unless a backend changes it */
    size_t handle_count;
    const char *directory;          /**< NULL: the creator's */
    const char *const *environment; /**< complete; NULL: the creator's */
    sys_stdio_t stdio[3];
    sys_time_t deadline; /**< for the answer of a fork server */
    int thread_count;    /**< of this process; for SYS_FORK */
    int is_shielded;     /**< Ctrl-C is not for the child, from its first moment */
    const char *failed;  /**< out: what failed, in words; NULL if the status says it all */
} sys_start_t;

typedef enum sys_end_t {
    SYS_END_UNKNOWN = 0, /**< other code of the program took the exit code */
    SYS_END_KNOWN,
    SYS_END_CONCLUDED /**< nobody told it, but it follows from what happened */
} sys_end_t;

typedef struct sys_exit_t {
    sys_end_t known;
    int code;       /**< 0 to 255, or minus a signal */
    int64_t native; /**< in the system's own terms */
} sys_exit_t;

/** A child, or another process to wait for. */
typedef struct sys_process_t sys_process_t;

/** Whether the platform has a method: APR_SUCCESS or APR_ENOTIMPL. */
apr_status_t sys_method_check(sys_method_t method);

/** The platform's default method. */
sys_method_t sys_default_method(void);

/**
 * Start a child. SYS_FORK returns twice: APR_INCHILD in the child, where *process is the creator's, and not to be used.
 *
 * MPROC_EINIT: the program that was started for it ended before it reached sys_child_attach().
 */
apr_status_t sys_process_start(sys_process_t **process, sys_method_t method, sys_start_t *start);

/** Open a process that is not a child, for waiting; APR_ENOENT if it is gone. */
apr_status_t sys_process_open(sys_process_t **process, int pid, uint64_t birth);

int sys_process_pid(const sys_process_t *process);

/** What becomes ready when the process has ended; it stays the process's own. */
sys_handle_t sys_process_sentinel(const sys_process_t *process);

/** Take the exit code if the process has ended: APR_SUCCESS, or APR_TIMEUP. One thread at a time, and once. */
apr_status_t sys_process_reap(sys_exit_t *end, sys_process_t *process);

/** How a process ends that calls `exit` with a code. */
sys_exit_t sys_exit_of_code(int code);

/**
 * Send a signal to a process that was not reaped; APR_EAGAIN if there is no room for it at the moment. It does not
 * wait. One thread at a time with sys_process_reap().
 */
apr_status_t sys_process_signal(sys_process_t *process, sys_signal_t sig);

/** Let go of a process, ended or not; NULL is allowed. */
void sys_process_close(sys_process_t *process);

/** End what was started behind the scenes (the fork server), and wait for its end. */
void sys_process_shutdown(void);

/* ---- channel: bytes to and from external programs ---------------------------------------------------------------- */

/**
 * This process's end of a pipe to a program. Nothing waits; SYS_WAIT_CHANNEL is ready when the next call would do
 * something. One thread at a time.
 */
typedef struct sys_channel_t sys_channel_t;

/** Make a pipe, and the handle of its other end, for the program alone. `is_input`: the program reads. */
apr_status_t sys_channel_create(sys_channel_t **channel, sys_handle_t *theirs, int is_input);

/** Read what is there: APR_SUCCESS and at least a byte, APR_EAGAIN, or APR_EOF. */
apr_status_t sys_channel_read(sys_channel_t *channel, void *buffer, size_t size, size_t *got);

/** Write what there is room for: APR_SUCCESS and at least a byte, APR_EAGAIN, or APR_EPIPE: nobody reads any more. */
apr_status_t sys_channel_write(sys_channel_t *channel, const void *data, size_t size, size_t *done);

/** Close; NULL is allowed. What was written can still be read. */
void sys_channel_close(sys_channel_t *channel);

/* ---- program: external programs ---------------------------------------------------------------------------------- */

typedef struct sys_program_t {
    const char *const *args; /**< NULL after the last */
    const char *file;        /**< what to execute; with a separator in it a path, otherwise looked for along PATH */
    const char *directory;   /**< NULL: this process's; `file` does not start from there */
    const char *const *environment; /**< complete; NULL: this process's */
    sys_stdio_t stdio[3];
    const sys_handle_t *handles; /**< it gets them under the same numbers */
    size_t handle_count;
    int has_group;      /**< it and what it starts can be signalled together */
    int is_detached;    /**< it lives on when this process ends, and has no terminal */
    const char *failed; /**< out: what failed, in words; NULL if the status says it all */
} sys_program_t;

/**
 * Start a program, from any thread; it ends with this process. APR_ENOENT, APR_EACCES, APR_ENOTDIR and the like name
 * in `failed` what they are about: "the program" or "the working folder".
 */
apr_status_t sys_program_start(sys_process_t **process, sys_program_t *program);

/** Send a signal, by a number of this system's, to a program that was not reaped. */
apr_status_t sys_program_signal(sys_process_t *process, int number);

/** Send a signal to a program that was not reaped, and all that it has started, if it has a group. */
apr_status_t sys_program_signal_all(sys_process_t *process, sys_signal_t sig);

/** Make a pipe between two programs: the end to read from, and the one to write to. */
apr_status_t sys_pipe(sys_handle_t ends[2]);

typedef enum sys_open_t { SYS_OPEN_READ, SYS_OPEN_WRITE, SYS_OPEN_APPEND } sys_open_t;

/** Open a file for a standard stream; what is written replaces it, or goes to its end. */
apr_status_t sys_file_open(sys_handle_t *handle, const char *path, sys_open_t how);

/** A file that several processes add to. */
typedef struct sys_append_t {
    sys_handle_t handle;
    uint64_t identity[3]; /* as of events */
} sys_append_t;

/** Open one, or make it; `is_new`: what it held goes. */
apr_status_t sys_append_open(sys_append_t *file, const char *path, int is_new);

/** Add to it, in one piece, whatever others add at the same time. APR_EBADF if this program has closed its handle. */
apr_status_t sys_append(const sys_append_t *file, const void *data, size_t size);

/** Close; a closed one again is harmless. */
void sys_append_close(sys_append_t *file);

/** Whether standard input is a terminal. */
int sys_has_terminal(void);

/* ---- child: the other half of a start ---------------------------------------------------------------------------- */

/**
 * Find out whether this process was started as a child, and map its block.
 *
 * @return APR_ENOENT if it was not; APR_SUCCESS; anything else: the command line says so, but no parent stands behind
 *         it. A fork server stays inside; in the children that it forks the call returns.
 */
apr_status_t sys_child_attach(sys_block_t *block, int argc, const char *const *argv);

/**
 * Set up what the start left for the child to do (standard streams, die with the creator). `is_shielded`, as at the
 * start: it ignores Ctrl-C; what it starts itself does not, unless that is shielded as well.
 */
apr_status_t sys_child_setup(const int64_t *slots, int is_shielded);

/** The arena that this child's creator has; SYS_NO_HANDLE if it has none, or this child was forked and has it too. */
sys_handle_t sys_child_arena(const int64_t *slots);

/** Get hold of the given handle at `index`, which its creator called *handle. */
apr_status_t sys_child_take(int64_t *handle, size_t index);

/** End a child: flush what it wrote, and leave. */
void sys_child_leave(int code);

#endif
