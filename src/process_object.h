/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file process_object.h
 * @brief Process objects, and what the files that make up their life share.
 *
 * process.c makes them, process_options.c and process_info.c know what they are, process_start.c starts them
 * (process_thread.c those that are threads), process_wait.c sees their end, children.c keeps the list of those that
 * run, child.c is the child's side.
 */
#ifndef MPROC_PROCESS_OBJECT_H
#define MPROC_PROCESS_OBJECT_H

#include <apr_thread_proc.h>

#include <mproc/process.h>

#include "boot.h"
#include "error.h"
#include "sys.h"

/** Where a process object stands between this process and the system. */
typedef enum process_role_t {
    ROLE_CHILD,   /**< created here */
    ROLE_CURRENT, /**< this process itself */
    ROLE_PARENT   /**< its creator */
} process_role_t;

typedef enum process_state_t {
    PROCESS_CREATED,
    PROCESS_LAUNCHING, /**< one thread is starting it, without the lock */
    PROCESS_RUNNING,
    PROCESS_ENDED,
    PROCESS_CLOSED /**< its handle is closed: a call that still uses it must not start it */
} process_state_t;

/**
 * A process. What can change after it was created is guarded by process_lock(), except by the thread that launches it.
 */
typedef struct process_t {
    mproc_process_t *handle;
    int owner; /* the process that made the object: a copy in a forked child is not to be used */
    process_role_t role;
    process_state_t state;
    unsigned readers;         /* threads that read its block: it cannot be launched meanwhile */
    mproc_process_t *creator; /* ROLE_CHILD: whose child it is; that may be a thread */

    /* What it is to be. */
    mproc_target_t target;
    mproc_start_method_t method;
    int daemon;
    int is_shielded; /* from Ctrl-C; a thread is not, as it has no signals of its own */
    int was_asked;   /* a daemon, to end, when the library is ended */
    apr_interval_time_t grace;
    char *name;
    int has_name_of_block; /* of the block that this process was started with, which stays */
    char identity[BOOT_IDENTITY_MAX];
    unsigned created; /* children so far, for their names */
    unsigned char authkey[MPROC_AUTHKEY_MAX];
    size_t authkey_size;
    char *directory;
    char **environment;
    sys_stdio_t stdio[3];
    sys_handle_t *given; /* our duplicates of the handles that it gets */
    size_t given_count;
    conn_move_t *moving; /* the connections that it gets; NULL: none */
    size_t share_count;  /* objects that are held for it */
    uint32_t ticket;     /* the member of the family that it is to be; 0: it becomes one by itself, or is a thread */
    sys_block_t block;

    /* What it is. */
    int pid;
    uint64_t birth;          /* ROLE_PARENT: when it started */
    sys_process_t *os;       /* NULL for threads, and for the current process */
    struct thread_t *thread; /* MPROC_THREAD only */

    /* How it ended. */
    sys_exit_t end;
    apr_status_t verdict; /* what join returns */
    char *verdict_text;
    int verdict_native;

    /* The list of running children. */
    struct process_t *next;
    struct process_t **link;
} process_t;

/* ---- process.c --------------------------------------------------------------------------------------------------- */

/** Guards all process objects of this process. Held briefly: never while waiting or starting. */
void process_lock(void);
void process_unlock(void);

/** Set up the current process and its parent: from a block in a child, NULL in the first process. */
apr_status_t process_become(boot_t *boot);

/**
 * As mproc_process_create(), for a child that ignores Ctrl-C from its first moment: its creator decides what that
 * means. What it starts itself is not shielded, and a thread is not.
 */
apr_status_t process_create_shielded(mproc_process_t **handle, mproc_target_t target, const mproc_process_opts_t *opts);

/** Get the object behind a handle for the public function `call`; the status has its text. */
apr_status_t process_acquire(process_t **process, mproc_process_t *handle, const char *call);

/** Give back what process_acquire() got. */
void process_release(process_t *process);

/** Fail because a process is not in the state that `call` needs. */
apr_status_t process_wrong_state(const process_t *process, const char *call);

/** Close the handles that it was to give to its child; its connections have moved there, or not. */
void process_drop_given(process_t *process, int has_moved);

/** The object of the current process, or of the thread that is a child; NULL before mproc_initialize(). */
process_t *process_current(void);

/** Make a thread the process that it runs. */
void process_enter_thread(process_t *process);

/** The object of the current process, also on a thread that is a child; NULL before mproc_initialize(). */
process_t *process_main(void);

/** Close all handles of this process's objects, except of daemon threads that still run. */
void process_close_all(void);

/** In a child that somebody's fork made: this process is now the copy. */
void process_forked(void);

/** The object of the creator; NULL if there is none. It is opened when somebody asks about its life. */
process_t *process_parent(void);

/**
 * Between these two the library is not ended by another thread: MPROC_EINIT, with its text, if that has happened.
 */
apr_status_t process_begin(const char *call);
void process_end(void);

/** Whether a thread is between the two. */
int process_is_busy(void);

const char *process_current_name(void);

int process_creator_pid(void);

/* ---- process_options.c ------------------------------------------------------------------------------------------- */

/** Check what can be checked without asking the system for anything; the status has its text. */
apr_status_t process_check_options(const mproc_process_opts_t *opts, mproc_start_method_t method);

/** Make an object what the options say; the status has its text. */
apr_status_t process_fill(process_t *process, const mproc_process_opts_t *opts);

/* ---- process_info.c ---------------------------------------------------------------------------------------------- */

/** Find the process whose authentication key holds for another, making the key if there is none; with the lock held. */
apr_status_t process_key_of(const process_t **key_of, const process_t *process);

/** Find what is ready when a process has ended, for the public function `call`; the status has its text. */
apr_status_t process_find_sentinel(sys_handle_t *sentinel, process_t *process, const char *call);

/* ---- process_start.c --------------------------------------------------------------------------------------------- */

/** How long a program may take to reach mproc_initialize(), and a fork server to answer. Tests make it shorter. */
extern apr_interval_time_t process_startup_timeout;

/** Start a created process; the status has its text. */
apr_status_t process_launch(process_t *process);

/** Count a process that was started among the running ones; with the lock held. */
void process_set_running(process_t *process);

/** Whether this program has been seen to reach mproc_initialize() as a child. */
void process_set_proven(void);

/* ---- process_thread.c -------------------------------------------------------------------------------------------- */

/** Start a process that is being launched, and say that it runs; the status has its text. */
apr_status_t thread_launch(process_t *process);

/** What is ready when the thread has ended. */
sys_handle_t thread_sentinel(const process_t *process);

/** Take the exit code if it has ended; with the lock held. */
apr_status_t thread_reap(process_t *process);

/** Wait for the very end of a thread that was reaped, and free what belongs to it; without the lock. */
void thread_close(process_t *process);

/* ---- process_wait.c ---------------------------------------------------------------------------------------------- */

/** Notice the end of a process if it has ended, with the lock held; fails if the system does not let us look. */
apr_status_t process_settle(process_t *process);

/** Count a process that cannot be waited for among those that have ended; with the lock held. */
void process_give_up(process_t *process);

/** Wait for the end: APR_SUCCESS, APR_TIMEUP, or why it cannot be waited for; without a text. */
apr_status_t process_wait(process_t *process, sys_time_t deadline);

/** When a timeout that starts now runs out. */
sys_time_t process_deadline(apr_interval_time_t timeout);

/** Terminate a process, and kill it if it has not ended after its grace: APR_SUCCESS, or why it still runs. */
apr_status_t process_stop(process_t *process, apr_interval_time_t grace);

/** Send a signal; with the lock not held. */
apr_status_t process_signal(process_t *process, sys_signal_t sig, const char *call);

/* ---- children.c -------------------------------------------------------------------------------------------------- */

/** Add to, or remove from, the running children; with the lock held. */
void children_add(process_t *process);
void children_remove(process_t *process);

/** The orderly end of all children: daemons are stopped, the others joined; threads can be left out. */
void children_end(int with_threads);

/** Forget them: they are a forked child's siblings. */
void children_forget(void);

/* ---- child.c ----------------------------------------------------------------------------------------------------- */

/** Live the life of the child that this block describes, and leave. */
void child_run(sys_block_t *block);

/** Call a target, in a child, a thread, or here. */
int child_call_target(process_t *process, mproc_call_t *call, mproc_target_t target);

/** What a child ends with that cannot call its target, as Python's do; join tells the reason. */
enum { EXIT_NOT_STARTED = 1 };

/** What a thread ends with whose target has ended it and not returned, as Python's children do that raise something. */
enum { EXIT_NO_RETURN = 1 };

#endif
