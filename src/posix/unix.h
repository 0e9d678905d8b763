/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file unix.h
 * @brief What the files of this backend share. All of it is private to src/posix.
 */
#ifndef MPROC_UNIX_H
#define MPROC_UNIX_H

#include <signal.h>
#include <sys/types.h>

#include "mproc_config.h"
#include "sys.h"

/* ---- fork_handlers.c: locks that are held across forks ----------------------------------------------------------- */

/** The order in which they are taken, wherever several are held at once; in a forked child all are free again. */
typedef enum unix_fork_place_t {
    UNIX_FORK_IDENTITY,
    UNIX_FORK_CORE_FIRST,
    UNIX_FORK_STARTER,
    UNIX_FORK_SERVER, /* descriptors are made while it is held */
    UNIX_FORK_IMAGE,
    UNIX_FORK_GATE,
    UNIX_FORK_DESCRIPTORS,
    UNIX_FORK_CORE_LAST,
    UNIX_FORK_PLACES
} unix_fork_place_t;

/**
 * As sys_at_fork(): 0, or -1 for want of memory. To be called while no fork can happen, that is before
 * mproc_initialize() returns; the same again is harmless.
 */
int unix_at_fork(unix_fork_place_t place, void (*lock)(void), void (*unlock)(void), void (*in_child)(void));

/**
 * Between these two, descriptors may come through a socket: no fork happens before they are listed. Any number of
 * threads can be between them.
 */
void unix_fork_gate_enter(void);
void unix_fork_gate_leave(void);

/* ---- descriptor.c: the library's own descriptors ----------------------------------------------------------------- */

/*
 * The library's descriptors are close-on-exec from their first moment, lie above the standard streams, and are listed,
 * so that a forked child can close those that are not meant for it. Each function here returns -1 and sets errno on
 * failure.
 */

int unix_pipe(int ends[2]);
int unix_socketpair(int ends[2], int type);
int unix_open(const char *path, int flags);
int unix_duplicate(int fd);

/**
 * For descriptors that other calls make: between these two, no fork can happen. The second lists the descriptor and
 * moves it above the standard streams; it takes -1 for a call that failed.
 */
void unix_making(void);
int unix_made(int fd);

/** As unix_made(), for a call that cannot make it close-on-exec itself. */
int unix_made_inheritable(int fd);

/** Make a descriptor of the program's the library's own; after a failure it is still the program's. */
int unix_adopt(int fd);

/** As unix_made_inheritable(), for a kqueue: the system leaves it out of forked children. */
int unix_made_kqueue(int fd);

/**
 * Tell what a descriptor is, so that it can be told later whether the program has closed it, and the number is another
 * file's. The last of the three is never 0. As far as the system tells: not all of them number their pipes.
 */
apr_status_t unix_identify(uint64_t identity[3], int fd);
int unix_is_identical(const uint64_t identity[3], int fd);

/** What tells an event from others that are anonymous; 0 if that is not known just now, or nothing needs it. */
uint32_t unix_event_number(int fd);

/** Give one away to the program: it is no longer the library's. */
void unix_disown(int fd);

/** Close and unlist; -1 is harmless, and errno stays. */
void unix_close(int fd);

/** Close and unlist several; errno may change. */
void unix_close_all(const int *fds, size_t count);

/**
 * Have forks, ours and others', treated right: the child closes what is on the list, but not what the forking thread
 * named by unix_keep_in_fork().
 */
int unix_watch_forks(void);

/** Before a fork and after it, in the creator and in the child. One thread at a time gets past the first. */
void unix_keep_in_fork(const int *keep, size_t count);
void unix_kept_in_fork(void);

/**
 * Put descriptors in place of the standard streams: -1 leaves one, -2 makes stderr go where stdout goes. Safe after
 * vfork.
 */
enum { UNIX_STDIO_LEAVE = -1, UNIX_STDIO_AS_STDOUT = -2 };
int unix_place_stdio(const int stdio[3]);

/** Find descriptors for what a start says of standard streams. `null` is opened if need be, and to be closed. */
int unix_plan_stdio(int plan[3], int *null, const sys_stdio_t stdio[3], int need_inherited);

/** Write to a pipe, as the system does; that nobody reads it is no signal to this thread. */
ssize_t unix_write_to_pipe(int fd, const void *data, size_t size);

/** The descriptor of a channel, and what to poll it for. */
int unix_channel_descriptor(const sys_channel_t *channel, short *events);

/** Open a child's working folder. */
apr_status_t unix_open_directory(int *fd, const char *path, const char **failed);

/** Who made the other end of a socket: 0, or -1 and errno. A pid that is not known is 0. */
int unix_peer(int fd, int *pid, uid_t *user);

/* ---- listener.c -------------------------------------------------------------------------------------------------- */

int unix_listener_descriptor(const sys_listener_t *listener);

/* ---- sentinel_*.c: what becomes ready when a process ends -------------------------------------------------------- */

/**
 * Open one for a process that exists; -1 and ESRCH if it does not, or if the system cannot watch one that has ended.
 */
int unix_sentinel_open(int pid);

/** Send a signal to the very process of a sentinel: 0, or -1 and errno. */
int unix_sentinel_signal(int sentinel, int pid, int sig);

/**
 * Wait for the child of a sentinel as waitpid() does with WNOHANG; where the sentinel is ready a moment too early,
 * until that is over.
 */
int unix_sentinel_reap(int sentinel, int pid, int *status);

/** The wait status of a process that somebody else has waited for: 0, or -1 if the system no longer knows. */
int unix_sentinel_status(int sentinel, int *status);

/* ---- lifeline_*.c: children end with their creator --------------------------------------------------------------- */

/** What ties one child to its creator's life. */
typedef struct unix_lifeline_t {
    int parent;   /**< the creator's process id */
    int held;     /**< a descriptor that the creator holds as long as it wants the child to live, or -1 */
    int followed; /**< the descriptor that the child follows, or -1 */
} unix_lifeline_t;

/** `outlives_thread`: the calling thread's end is not the creator's; the main thread's is taken for that otherwise. */
int unix_lifeline_create(unix_lifeline_t *line, int outlives_thread);

/** In the new child, before anything else of it runs: 0, or -1 if the creator is gone already. Safe after vfork. */
int unix_lifeline_follow(const unix_lifeline_t *line);

/** In a child that runs, for mechanisms that did not get that far: 0, or -1 and errno. */
int unix_lifeline_renew(int parent);

/** How many threads of this process are there for the lifeline's sake: they hold no locks. */
int unix_lifeline_threads(void);

void unix_lifeline_close(unix_lifeline_t *line);

/* ---- proc_*.c, signal_*.c: what the system knows of processes ---------------------------------------------------- */

/** Linux's number of a signal, which exit codes have everywhere. */
int unix_signal_number(int sig);

/**
 * For birth_since_boot.c: when a process started, in microseconds of the clock as it is set now: 0, or -1 and errno,
 * ESRCH if it has ended.
 */
int unix_process_started(int64_t *started, int pid);

/* ---- shield.c: children to which Ctrl-C means nothing ------------------------------------------------------------ */

/** Around the fork of such a child: SIGINT waits, in both processes. `before` is the mask to go back to. */
void unix_shield_hold(sigset_t *before);

/** In the child, where SIGINT is blocked or not for it yet: ignore it from now on. */
void unix_shield_raise(void);

/** Whether this process is such a child; what it executes is to get SIGINT as usual then. */
int unix_is_shielded(void);

/** In a forked child of such a child, which is none itself. */
void unix_shield_drop(void);

/* ---- thread.c ---------------------------------------------------------------------------------------------------- */

/** In a forked child: what it is to hold in place of what its creator's thread held. */
void unix_let_signals_of_child(sigset_t *held_by_creator);

/* ---- info.c ------------------------------------------------------------------------------------------------------ */

/** Have sys_getpid() remember the process's id, until it is another process. */
int unix_watch_identity(void);

/** Where the environment is kept. */
char ***unix_environment(void);

/** Make a list for sys_command_line() of strings that lie one after the other. */
apr_status_t unix_split_strings(char ***list, int *count, const char *text, size_t size);

/* ---- image.c: what image_*.c share ------------------------------------------------------------------------------- */

/**
 * Held while the loader's list of modules is looked at: the loader has a lock of its own for that, which the C library
 * leaves locked in a child that is forked just then.
 */
void unix_image_lock(void);
void unix_image_unlock(void);

#define UNIX_HASH_START 0xcbf29ce484222325u

/** FNV-1a over words: short, and good enough to tell builds apart. */
uint64_t unix_image_hash(uint64_t state, const void *data, size_t size);

/** Identify a module without a linker's id, by a hash of its code and by its file. */
void unix_image_make_id(sys_place_t *place, uint64_t code);

/** Set a module's path, to be freed, from the name that the loader has for it. */
void unix_image_set_path(sys_place_t *place, const char *name);

/** Find out what there is to know of the program itself, once for all processes that will be forked. */
void unix_image_remember(void);

/**
 * Compare a loaded module with one that is looked for: APR_ENOENT if it is another one, MPROC_EBUILD if another build.
 */
apr_status_t unix_image_compare(const sys_place_t *here, const sys_place_t *place);

/* ---- program_*.c: how this program is started again -------------------------------------------------------------- */

/** Note at the start what cannot be found out later. */
void unix_program_remember(const char *argv0);

/** What to execute: the very file that is running, also if its name is gone. */
apr_status_t unix_program_path(const char **path, const char **failed);

/** The name to pass as argv[0]. */
const char *unix_program_name(void);

/** For program_path.c: find the path of the program that runs, full or not: 0, or -1. */
int unix_program_find(char path[SYS_PATH_MAX], const char *argv0);

/* ---- spawn_*.c: execute a program in a new process --------------------------------------------------------------- */

typedef struct unix_spawn_t {
    const char *const *paths;       /**< what to execute: the first of these that can be, then NULL */
    const char *const *args;        /**< from its name on, then NULL */
    const char *const *environment; /**< NULL: this process's */
    int directory;                  /**< -1: this process's */
    int stdio[3];                   /**< as for unix_place_stdio() */
    const int *keep;                /**< the descriptors from 3 on that it gets, under the same numbers */
    size_t keep_count;
    const unix_lifeline_t *lifeline; /**< NULL: it lives on its own */
    int is_foreign;                  /**< not this program: signals that this process ignores are not its business */
    int is_shielded;                 /**< SIGINT is blocked when it begins: it will ignore it */
    int has_group;                   /**< it leads a group of processes of its own */
    int has_session;                 /**< and a session, without a terminal */
    const char *failed;              /**< out: what failed; NULL: what the paths lead to */
} unix_spawn_t;

apr_status_t unix_spawn(pid_t *pid, unix_spawn_t *spawn);

/**
 * Whether a program that cannot be executed may still be in the next folder of a list: that this one is none, or out of
 * reach, is no matter. Safe after vfork.
 */
int unix_is_elsewhere(int error);

/** Execute this program anew: `marker` is its argument, which says what it is to be. */
apr_status_t unix_spawn_self(pid_t *pid, unix_spawn_t *spawn, const char *marker);

/** Signals that many programs ignore for themselves, and none expects to be ignored from its beginning. */
#define UNIX_SIGNALS_TO_RESTORE                                                                                        \
    {                                                                                                                  \
        SIGPIPE, SIGXFSZ                                                                                               \
    }

/**
 * Whether this thread is between vfork and exec. Where vfork is fork (under sanitizers, for instance) fork_handlers.c
 * is called then, but has nothing to do: the child executes a program at once, and its creator may hold the locks.
 */
int unix_is_spawning(void);

/* ---- starter_*.c: external programs end with this process -------------------------------------------------------- */

/**
 * Start an external program from any thread, so that it ends with this process and not with the thread, by the kernel
 * alone where that can do it; nothing of ours is left in the program. `spawn` has no lifeline.
 */
apr_status_t unix_starter_spawn(pid_t *pid, unix_spawn_t *spawn);

/** End what unix_starter_spawn() has begun, and with it the programs that it has started. */
void unix_starter_shutdown(void);

/** Around a fork, and in the forked child. */
void unix_starter_lock(void);
void unix_starter_unlock(void);
void unix_starter_forget(void);

/** Watch a child that was just made; one that cannot be watched is ended. `has_group`: it leads a group. */
apr_status_t unix_process_of_child(sys_process_t **process, pid_t pid, int has_group);

/* ---- forkserver.c, forkserver_serve.c ---------------------------------------------------------------------------- */

/** Start a child by the fork server: `status` is where its end will be told. */
apr_status_t unix_forkserver_start(pid_t *pid, int *status, sys_start_t *start);

/** Have a signal sent to a child of the fork server. */
apr_status_t unix_forkserver_signal(pid_t pid, int sig);

/** End the fork server if this process started it. */
void unix_forkserver_shutdown(void);

/** Use the fork server that this process is a child of. */
void unix_forkserver_join(int socket);

/** Part of unix_watch_forks(): a forked child does not share its creator's server. */
int unix_forkserver_watch_forks(void);

/** What the fork server says on a child's status pipe. */
typedef struct unix_record_t {
    int32_t kind;
    int32_t value;
} unix_record_t;

enum { UNIX_RECORD_STARTED = 1, UNIX_RECORD_REFUSED, UNIX_RECORD_ENDED };

/** Requests to the fork server: one datagram each. */
typedef struct unix_request_t {
    uint32_t operation;
    int32_t creator;
    int32_t pid;
    int32_t sig;
    int32_t as_stdout; /**< stderr goes where stdout goes */
    int32_t is_shielded;
    uint32_t handle_count;
    uint32_t block_size;    /**< of a block that follows in the datagram; 0: its descriptor is passed */
    uint32_t report_offset; /**< with a block that follows: where in its area the report lies */
} unix_request_t;

/** The largest block that is sent in a datagram. */
extern const size_t unix_datagram_max;

enum { UNIX_REQUEST_START = 1, UNIX_REQUEST_SIGNAL };

/** The descriptors of a start request, in order; the given handles follow, then that of the block or of its report. */
enum {
    UNIX_PASS_STATUS,
    UNIX_PASS_DIRECTORY,
    UNIX_PASS_STDIN,
    UNIX_PASS_STDOUT,
    UNIX_PASS_STDERR,
    UNIX_PASS_HANDLES,
    UNIX_PASS_MAX = 220
};

/** Be the fork server, until its creator is gone; returns in its children, with what they were sent. */
typedef struct unix_served_t {
    int parent;        /**< the fork server */
    sys_block_t block; /**< as it was sent; without data if it is to be mapped */
    int handles[UNIX_PASS_MAX];
    size_t handle_count;
} unix_served_t;

/* ---- childwatch_*.c: how the fork server learns that children have ended ----------------------------------------- */

/** Open what becomes readable then: a descriptor, or -1. */
int unix_childwatch_open(void);

/** Before the children that have ended are reaped. */
void unix_childwatch_clear(int watch);

/** In a child: undo what the watch did to this process's signals, but for the mask. */
void unix_childwatch_forget(void);

/* ---- arena.c ----------------------------------------------------------------------------------------------------- */

/** The descriptor of this process's arena, or -1. Forked children have it, too. */
int unix_arena_descriptor(void);

/** Take over the descriptor of the creator's; -1: there is none. */
void unix_arena_take(int fd);

/* ---- forkserver_serve.c ------------------------------------------------------------------------------------------ */

void unix_forkserver_serve(unix_served_t *child, int server, int client, int lifeline);

/* ---- report.c: memory that children share with their creator ----------------------------------------------------- */

/** The size of an area of reports. */
enum { UNIX_REPORTS_SIZE = 1 << 15 };

/** Get SYS_REPORT_MAX zeroed bytes; NULL if there is no memory, or no descriptor. */
void *unix_report_get(void);

/** Give them back; NULL is harmless. */
void unix_report_put(void *report);

/** Find the descriptor that an area is mapped by, and a report's place in it. */
int unix_report_find(const void *report, uint32_t *offset);

/** In a child of the fork server: map its report; NULL if that cannot be. */
void *unix_report_map(int fd, uint32_t offset);

/** In a forked child: what was given out is its creator's. */
void unix_report_forked(void);

/* ---- block.c ----------------------------------------------------------------------------------------------------- */

/** Of blocks: enough for any type, as pages are. */
enum { UNIX_ALIGNMENT = 64 };

/**
 * Memory is taken in steps of this size: one that a signal interrupts begins anew, and must come to its end between two
 * signals.
 */
enum { UNIX_RESERVE_STEP = 1 << 24 };

/**
 * Whether there is that much memory. To take more than there is would not fail: it would have the system kill processes
 * until it fits. Who wants little is not kept up by asking.
 */
int unix_has_memory(uint64_t size);

/** Make a file without a name: its descriptor, or -1 and errno. */
int unix_open_nameless(void);

/**
 * Give a file its size: 0, or an errno value. More than this process or the machine may have is refused: that would be
 * a signal, or would have the system kill processes until it fits.
 */
int unix_set_size(int fd, size_t size);

/** Take the memory for a file: 0, or an errno value. Where the system cannot do that, it comes as it is filled. */
int unix_reserve(int fd, size_t size);

/** Map a block that another process made. The descriptor stays the caller's, to be closed. */
apr_status_t unix_block_map(sys_block_t *block, int fd);

/* ---- process.c, child.c ------------------------------------------------------------------------------------------ */

/** What a start leaves in its slots. */
enum { UNIX_SLOT_CREATOR, UNIX_SLOT_ARENA };

/**
 * Open a sentinel for a child. One that has ended, and cannot be watched any more, gets something else that is ready.
 */
int unix_sentinel_of_child(int pid);

/**
 * Note that this process was forked, not executed, by the library. `flush_all` says that all streams may be flushed at
 * its end, and not just stdout and stderr.
 */
void unix_set_forked(int flush_all);

#endif
