/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file subprocess.h
 * @brief External programs: run them, talk to them, end them with all that they have started.
 *
 * @code
 * const char *const args[] = {"git", "status", "--short", NULL};
 * mproc_subprocess_opts_t opts = {0};
 * mproc_completed_t done;
 * opts.standard_output = mproc_stdio_pipe();
 * if (mproc_subprocess_run(&done, args, &opts, MPROC_SECONDS(5)) == APR_SUCCESS && done.exitcode == 0)
 *     fwrite(done.output, 1, done.output_size, stdout);
 * else
 *     fprintf(stderr, "%s\n", mproc_last_error()->text);
 * mproc_completed_clear(&done);
 * @endcode
 *
 * Arguments arrive in the program exactly as they are given; no shell sees them. On Windows they are quoted as the C
 * library of programs undoes it. Batch files undo it in ways of their own: arguments that would not arrive in them as
 * they are, are refused. All text is UTF-8. A `char **`, such as main's, needs the cast `(const char *const *)`.
 *
 * A program has the standard streams and handles that it was given, and nothing else of this process. No signal is
 * blocked in it; SIGPIPE and SIGXFSZ are not ignored, others are if this process ignores them. Paths begin at this
 * process's working folder, also where the program gets another one.
 *
 * **Groups.** A program and what it starts are a group (on Windows also a job), so that they can be ended together. One
 * whose standard input is this process's terminal stays in this process's group instead: it can use the terminal, and
 * Ctrl-C reaches it, but on Unix only the program itself can be ended. `.group` says otherwise: one that opens the
 * terminal by itself, as pagers do and what asks for a password, needs MPROC_GROUP_CREATOR, or the system stops it.
 *
 * **Ends.** A program ends with this process: at its orderly end, and at mproc_terminate(), programs that run are
 * stopped; when it is killed, the kernel kills them (Linux, FreeBSD, Windows; on other systems they live on). What a
 * program has started itself is killed with it by Windows alone. Detached programs are left alone. (On Linux a main
 * thread that leaves by pthread_exit() takes along what it has started.)
 *
 * Every call that takes a subprocess returns APR_EINVAL for NULL, MPROC_ECLOSED for a handle that was closed or never
 * was one, and MPROC_EFOREIGN in a process that inherited the handle by fork; this is not repeated below. Calls that
 * move data are made one at a time (others wait for their turn); the others by any thread at any time, so that one can
 * stop a program that another is talking to.
 */
#ifndef MPROC_SUBPROCESS_H
#define MPROC_SUBPROCESS_H

#include "process.h"
#include "types.h"

#ifdef __cplusplus
extern "C" {
#endif

/** An external program that this process has started. */
typedef struct mproc_subprocess_t mproc_subprocess_t;

/** Which group of processes a program belongs to. */
typedef enum mproc_group_t {
    /** Its own, unless its standard input is this process's terminal. */
    MPROC_GROUP_DEFAULT = 0,
    /** Its own: it can be ended with all that it starts. */
    MPROC_GROUP_OWN,
    /** This process's: it can use the terminal. */
    MPROC_GROUP_CREATOR
} mproc_group_t;

/** One of a program's two outputs. */
typedef enum mproc_output_t {
    /** Standard output. */
    MPROC_OUTPUT = 1,
    /** Standard error. */
    MPROC_ERROR_OUTPUT = 2
} mproc_output_t;

/** Options of a program. All zero is the default; what they refer to need not live longer than the call. */
typedef struct mproc_subprocess_opts_t {
    /** The program's file, where that is not what the first argument says; found in the same way. */
    const char *program;
    /** Its working folder; NULL for this process's. */
    const char *directory;
    /** Its whole environment, "NAME=value" strings with a NULL after the last; NULL for this process's. */
    const char *const *environment;
    /** Changes to it, with a NULL after the last: "NAME=value" sets, "NAME" alone removes. NULL for none. */
    const char *const *environment_changes;
    /** Its standard input; with `.input` it is a pipe, and must be zero or mproc_stdio_pipe(). */
    mproc_stdio_t standard_input;
    /** Its standard output. */
    mproc_stdio_t standard_output;
    /** Its standard error. */
    mproc_stdio_t standard_error;
    /** Further handles for it: it gets each under the number that it has here. At most MPROC_HANDLES_MAX. */
    const mproc_os_handle_t *handles;
    /** How many @p handles there are. */
    size_t handle_count;
    /** Its group of processes. */
    mproc_group_t group;
    /**
     * Non-zero: it has no terminal, has the null device where nothing is said of a standard stream, and lives on when
     * this process ends. It may be waited for and ended as others, and closed while it runs.
     */
    int detached;
    /** What to write to its standard input, which is closed then; copied by the start. NULL for none. */
    const void *input;
    /** The size of @p input in bytes. */
    size_t input_size;
    /** Keep at most so many bytes of each output, the first ones, and drop what follows; 0 for all. */
    size_t output_max;
    /**
     * How long its end may take after it was asked to, before it is killed, in microseconds: when the time of a run is
     * up, at this process's end, and when @p pool is cleared. 0 for one second.
     */
    apr_interval_time_t grace;
    /** When this pool is cleared, the program is stopped if it still runs, and closed. NULL: it stays. */
    apr_pool_t *pool;
} mproc_subprocess_opts_t;

/** What came of a program. Calls that take one write it, also when they fail; mproc_completed_clear() frees it. */
typedef struct mproc_completed_t {
    /** As mproc_process_exitcode(): 0 to 255, or minus the number of a signal. */
    int exitcode;
    /** What it wrote to standard output, with a zero behind it; NULL if that is no pipe. */
    char *output;
    /** The size of @p output in bytes, without that zero. */
    size_t output_size;
    /** What it wrote to standard error, likewise. */
    char *error_output;
    /** The size of @p error_output in bytes. */
    size_t error_output_size;
    /** Non-zero: there was more output than `.output_max`. */
    int output_is_cut;
    /** Non-zero: there was more error output than `.output_max`. */
    int error_output_is_cut;
    /** For later versions; zero. */
    void *reserved[4];
} mproc_completed_t;

/**
 * Free what a result refers to, and make it all zero.
 *
 * @param completed The result; NULL is allowed.
 * @remark Any thread.
 */
MPROC_API void mproc_completed_clear(mproc_completed_t *completed);

/* ---- Run to the end ---------------------------------------------------------------------------------------------- */

/**
 * The call behind mproc_subprocess_run(); programs in other languages make it directly.
 *
 * @param completed As there.
 * @param args      As there.
 * @param opts      As there.
 * @param opts_size `sizeof(mproc_subprocess_opts_t)` as the caller knows it.
 * @param timeout   As there.
 * @return As mproc_subprocess_run(); MPROC_EBUILD if the caller's options are larger than the library's.
 */
MPROC_API apr_status_t mproc_subprocess_run_sized(mproc_completed_t *completed, const char *const *args,
                                                  const mproc_subprocess_opts_t *opts, size_t opts_size,
                                                  apr_interval_time_t timeout);

/**
 * Run a program to its end: give it `.input`, and collect what it writes to pipes.
 *
 * It is over when the program itself has ended and all that it had written was read. Programs that it has left in the
 * background are not waited for, even if they hold its pipes.
 *
 * @param completed What came of it; may be NULL.
 * @param args      The program's name, looked for along PATH unless it has a slash, and its arguments, then NULL.
 * @param opts      Options, or NULL. A `.pool` is not used.
 * @param timeout   How long it may take, in microseconds; MPROC_FOREVER for any time.
 * @return APR_SUCCESS when it has ended, whatever its exit code; APR_TIMEUP: its time was up, it was stopped as by
 *         mproc_subprocess_stop(), and @p completed has what it had written; MPROC_EEXITUNKNOWN: as APR_SUCCESS, but
 *         other code of this program has taken its exit code; otherwise as mproc_subprocess_start().
 * @remark Any thread.
 */
static inline apr_status_t mproc_subprocess_run(mproc_completed_t *completed, const char *const *args,
                                                const mproc_subprocess_opts_t *opts, apr_interval_time_t timeout)
{
    return mproc_subprocess_run_sized(completed, args, opts, sizeof(mproc_subprocess_opts_t), timeout);
}

/**
 * The call behind mproc_subprocess_call(); programs in other languages make it directly.
 *
 * @param exitcode  As there.
 * @param args      As there.
 * @param opts      As there.
 * @param opts_size `sizeof(mproc_subprocess_opts_t)` as the caller knows it.
 * @param timeout   As there.
 * @return As mproc_subprocess_call(); MPROC_EBUILD if the caller's options are larger than the library's.
 */
MPROC_API apr_status_t mproc_subprocess_call_sized(int *exitcode, const char *const *args,
                                                   const mproc_subprocess_opts_t *opts, size_t opts_size,
                                                   apr_interval_time_t timeout);

/**
 * Run a program to its end, for its exit code.
 *
 * @param exitcode Where to store it; may be NULL.
 * @param args     As for mproc_subprocess_run().
 * @param opts     As for mproc_subprocess_run().
 * @param timeout  As for mproc_subprocess_run().
 * @return As mproc_subprocess_run().
 * @remark Any thread.
 */
static inline apr_status_t mproc_subprocess_call(int *exitcode, const char *const *args,
                                                 const mproc_subprocess_opts_t *opts, apr_interval_time_t timeout)
{
    return mproc_subprocess_call_sized(exitcode, args, opts, sizeof(mproc_subprocess_opts_t), timeout);
}

/**
 * The call behind mproc_subprocess_check_call(); programs in other languages make it directly.
 *
 * @param args      As there.
 * @param opts      As there.
 * @param opts_size `sizeof(mproc_subprocess_opts_t)` as the caller knows it.
 * @param timeout   As there.
 * @return As mproc_subprocess_check_call(); MPROC_EBUILD if the caller's options are larger than the library's.
 */
MPROC_API apr_status_t mproc_subprocess_check_call_sized(const char *const *args, const mproc_subprocess_opts_t *opts,
                                                         size_t opts_size, apr_interval_time_t timeout);

/**
 * Run a program to its end, where another exit code than 0 is a failure.
 *
 * @param args    As for mproc_subprocess_run().
 * @param opts    As for mproc_subprocess_run().
 * @param timeout As for mproc_subprocess_run().
 * @return As mproc_subprocess_run(); MPROC_EEXITCODE if it is not 0, with the code and the end of what the program
 *         wrote to standard error, if that is a pipe, in the text.
 * @remark Any thread.
 */
static inline apr_status_t mproc_subprocess_check_call(const char *const *args, const mproc_subprocess_opts_t *opts,
                                                       apr_interval_time_t timeout)
{
    return mproc_subprocess_check_call_sized(args, opts, sizeof(mproc_subprocess_opts_t), timeout);
}

/**
 * The call behind mproc_subprocess_check_output(); programs in other languages make it directly.
 *
 * @param completed As there.
 * @param args      As there.
 * @param opts      As there.
 * @param opts_size `sizeof(mproc_subprocess_opts_t)` as the caller knows it.
 * @param timeout   As there.
 * @return As mproc_subprocess_check_output(); MPROC_EBUILD if the caller's options are larger than the library's.
 */
MPROC_API apr_status_t mproc_subprocess_check_output_sized(mproc_completed_t *completed, const char *const *args,
                                                           const mproc_subprocess_opts_t *opts, size_t opts_size,
                                                           apr_interval_time_t timeout);

/**
 * Run a program to its end for its output, where another exit code than 0 is a failure.
 *
 * @param completed What came of it; its output is collected also if the options do not say so.
 * @param args      As for mproc_subprocess_run().
 * @param opts      As for mproc_subprocess_run(); APR_EINVAL if they send standard output elsewhere.
 * @param timeout   As for mproc_subprocess_run().
 * @return As mproc_subprocess_check_call(); @p completed is filled in with MPROC_EEXITCODE, too.
 * @remark Any thread.
 */
static inline apr_status_t mproc_subprocess_check_output(mproc_completed_t *completed, const char *const *args,
                                                         const mproc_subprocess_opts_t *opts,
                                                         apr_interval_time_t timeout)
{
    return mproc_subprocess_check_output_sized(completed, args, opts, sizeof(mproc_subprocess_opts_t), timeout);
}

/**
 * The call behind mproc_subprocess_pipeline(); programs in other languages make it directly.
 *
 * @param completed As there.
 * @param exitcodes As there.
 * @param commands  As there.
 * @param count     As there.
 * @param opts      As there.
 * @param opts_size `sizeof(mproc_subprocess_opts_t)` as the caller knows it.
 * @param timeout   As there.
 * @return As mproc_subprocess_pipeline(); MPROC_EBUILD if the caller's options are larger than the library's.
 */
MPROC_API apr_status_t mproc_subprocess_pipeline_sized(mproc_completed_t *completed, int *exitcodes,
                                                       const char *const *const *commands, size_t count,
                                                       const mproc_subprocess_opts_t *opts, size_t opts_size,
                                                       apr_interval_time_t timeout);

/**
 * Run several programs, the output of each the input of the next, to the end of all.
 *
 * @param completed What the last one wrote to standard output, what any of them wrote to standard error, and the exit
 *                  code of the last one whose code is not 0; 0 if there is none. May be NULL.
 * @param exitcodes Where to store `count` exit codes; may be NULL. On a failure to start they are all 0.
 * @param commands  The argument lists.
 * @param count     How many there are; at most 32.
 * @param opts      Options: standard input and `.input` are the first one's, standard output the last one's, all else
 *                  is for each of them. Or NULL.
 * @param timeout   As for mproc_subprocess_run(), for all together.
 * @return As mproc_subprocess_run(); if one of them cannot be started, the others are killed.
 * @remark Any thread.
 */
static inline apr_status_t mproc_subprocess_pipeline(mproc_completed_t *completed, int *exitcodes,
                                                     const char *const *const *commands, size_t count,
                                                     const mproc_subprocess_opts_t *opts, apr_interval_time_t timeout)
{
    return mproc_subprocess_pipeline_sized(completed, exitcodes, commands, count, opts, sizeof(mproc_subprocess_opts_t),
                                           timeout);
}

/* ---- Start, and talk --------------------------------------------------------------------------------------------- */

/**
 * The call behind mproc_subprocess_start(); programs in other languages make it directly.
 *
 * @param subprocess As there.
 * @param args       As there.
 * @param opts       As there.
 * @param opts_size  `sizeof(mproc_subprocess_opts_t)` as the caller knows it.
 * @return As mproc_subprocess_start(); MPROC_EBUILD if the caller's options are larger than the library's.
 */
MPROC_API apr_status_t mproc_subprocess_start_sized(mproc_subprocess_t **subprocess, const char *const *args,
                                                    const mproc_subprocess_opts_t *opts, size_t opts_size);

/**
 * Start a program.
 *
 * @param subprocess Where to store the handle; NULL on failure. Close it with mproc_subprocess_close() or
 *                   mproc_subprocess_finish().
 * @param args       As for mproc_subprocess_run().
 * @param opts       Options, or NULL.
 * @return APR_SUCCESS; MPROC_EINIT before mproc_initialize(); APR_EINVAL for no arguments, options that contradict
 *         themselves, or text that is no UTF-8 on Windows; APR_ENOENT, APR_ENOTDIR or APR_EACCES if the program, the
 *         working folder or a file for a standard stream is out of reach: the text says which; APR_EBADF if a handle is
 *         not open; APR_EMFILE, APR_ENFILE, APR_ENOMEM or APR_EAGAIN if the system refuses; another status of the
 *         system for a file that is no program, or arguments that are too long. Nothing is left behind then.
 * @remark Any thread.
 */
static inline apr_status_t mproc_subprocess_start(mproc_subprocess_t **subprocess, const char *const *args,
                                                  const mproc_subprocess_opts_t *opts)
{
    return mproc_subprocess_start_sized(subprocess, args, opts, sizeof(mproc_subprocess_opts_t));
}

/**
 * Write what is left of `.input`, collect what a program writes to pipes, and wait for its end as
 * mproc_subprocess_run() does. Its standard input is closed when there is nothing left to be written.
 *
 * @param subprocess The program.
 * @param completed  What came of it, with all that was not read before; untouched parts are zero. May be NULL.
 * @param timeout    How long to wait, in microseconds; 0 for what is there, MPROC_FOREVER to wait for good.
 * @return APR_SUCCESS; APR_TIMEUP: call again to go on, nothing is lost, and @p completed is all zero;
 *         MPROC_EEXITUNKNOWN as for mproc_subprocess_run(); APR_ENOMEM.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_subprocess_communicate(mproc_subprocess_t *subprocess, mproc_completed_t *completed,
                                                    apr_interval_time_t timeout);

/**
 * Write to a program's standard input. What it writes meanwhile is kept for later, so that it never waits for us.
 *
 * @param subprocess The program; its standard input must be a pipe (MPROC_ESTATE).
 * @param data       The bytes.
 * @param size       How many.
 * @param written    How many were written, all of them or fewer; may be NULL.
 * @param timeout    How long to wait, in microseconds; 0 to write what there is room for, MPROC_FOREVER to wait for
 *                   good.
 * @return APR_SUCCESS: all; APR_TIMEUP: as many as @p written; APR_EPIPE: the program reads no more; MPROC_ESTATE if
 *         its standard input was closed; APR_ENOMEM.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_subprocess_write(mproc_subprocess_t *subprocess, const void *data, size_t size,
                                              size_t *written, apr_interval_time_t timeout);

/**
 * Close a program's standard input: it finds the end of the file. If another thread is talking to the program, that one
 * does it as soon as what it is writing is written.
 *
 * @param subprocess The program.
 * @return APR_SUCCESS, also if it was closed before; MPROC_ESTATE if it is no pipe.
 * @remark Any thread. It does not wait.
 */
MPROC_API apr_status_t mproc_subprocess_close_input(mproc_subprocess_t *subprocess);

/**
 * Read what a program has written, as soon as there is something. What comes at the other output is kept for later.
 *
 * @param subprocess The program.
 * @param output     Which output; it must be a pipe (MPROC_ESTATE).
 * @param buffer     Where to put it.
 * @param capacity   The size of @p buffer in bytes, at least 1.
 * @param size       How many bytes were read.
 * @param timeout    How long to wait, in microseconds; 0 to look, MPROC_FOREVER to wait for good.
 * @return APR_SUCCESS; APR_EOF: all is read, and nobody can write any more; APR_TIMEUP; APR_ENOMEM.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_subprocess_read(mproc_subprocess_t *subprocess, mproc_output_t output, void *buffer,
                                             size_t capacity, size_t *size, apr_interval_time_t timeout);

/**
 * Read a line that a program has written.
 *
 * @param subprocess The program.
 * @param output     Which output; it must be a pipe (MPROC_ESTATE).
 * @param line       The line without its end (a line feed, or carriage return and line feed) and with a zero behind it:
 *                   memory for mproc_free(). NULL on failure.
 * @param size       Its size in bytes; may be NULL.
 * @param timeout    As for mproc_subprocess_read(); what has come of a line by then stays for the next call.
 * @return As mproc_subprocess_read(). The last line need not have an end.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_subprocess_read_line(mproc_subprocess_t *subprocess, mproc_output_t output, char **line,
                                                  size_t *size, apr_interval_time_t timeout);

/* ---- Its end ----------------------------------------------------------------------------------------------------- */

/**
 * Wait until a program has ended: the program itself, whoever holds its pipes.
 *
 * What it writes to pipes meanwhile is not read: it may wait for that. mproc_subprocess_communicate() reads.
 *
 * @param subprocess The program.
 * @param timeout    How long to wait, in microseconds; 0 to look, MPROC_FOREVER to wait for good.
 * @return APR_SUCCESS when it has ended, whatever its exit code; APR_TIMEUP if it still runs.
 * @remark Any thread, several at once.
 */
MPROC_API apr_status_t mproc_subprocess_wait(mproc_subprocess_t *subprocess, apr_interval_time_t timeout);

/**
 * Tell how a program ended.
 *
 * @param subprocess The program.
 * @param exitcode   As for mproc_process_exitcode().
 * @return As mproc_process_exitcode().
 * @remark Any thread. Looks, and does not wait.
 */
MPROC_API apr_status_t mproc_subprocess_exitcode(mproc_subprocess_t *subprocess, int *exitcode);

/**
 * Tell how a program ended, in the system's own terms.
 *
 * @param subprocess The program.
 * @param native     As for mproc_process_native_exitcode().
 * @return As mproc_process_exitcode().
 * @remark Any thread. Looks, and does not wait.
 */
MPROC_API apr_status_t mproc_subprocess_native_exitcode(mproc_subprocess_t *subprocess, int64_t *native);

/**
 * Tell whether a program runs.
 *
 * @param subprocess The program.
 * @return 1 or 0; 0 also if the handle is refused (see mproc_last_error()).
 * @remark Any thread.
 */
MPROC_API int mproc_subprocess_is_alive(mproc_subprocess_t *subprocess);

/**
 * Tell the process id of a program.
 *
 * @param subprocess The program.
 * @return It; 0 if the handle is refused (see mproc_last_error()). Once the program has ended, it may be another's.
 * @remark Any thread.
 */
MPROC_API int mproc_subprocess_pid(mproc_subprocess_t *subprocess);

/**
 * Ask a program to end: SIGTERM. On Windows it ends at once, with exit code -15.
 *
 * @param subprocess The program, and not what it has started: see mproc_subprocess_stop().
 * @return APR_SUCCESS, also if it has ended; APR_EACCES if the system forbids it.
 * @remark Any thread. It does not wait.
 */
MPROC_API apr_status_t mproc_subprocess_terminate(mproc_subprocess_t *subprocess);

/**
 * End a program at once, whatever it does: SIGKILL.
 *
 * @param subprocess The program, and not what it has started: see mproc_subprocess_stop().
 * @return As mproc_subprocess_terminate().
 * @remark Any thread. It does not wait.
 */
MPROC_API apr_status_t mproc_subprocess_kill(mproc_subprocess_t *subprocess);

/**
 * Send a signal to a program.
 *
 * @param subprocess The program.
 * @param number     The system's number of the signal. Windows has 2 (Ctrl-Break, for programs of the same console that
 *                   have a group of their own), 9 and 15, which end the program.
 * @return As mproc_subprocess_terminate(); APR_EINVAL or APR_ENOTIMPL for a number that the system does not have.
 * @remark Any thread. It does not wait.
 */
MPROC_API apr_status_t mproc_subprocess_send_signal(mproc_subprocess_t *subprocess, int number);

/**
 * End a program and all of its group: ask them (SIGTERM), and when the program has ended or its time is up, kill who is
 * left (SIGKILL).
 *
 * @param subprocess The program.
 * @param grace      How long it may take, in microseconds; 0 to kill at once.
 * @return APR_SUCCESS when it has ended; as mproc_subprocess_terminate(). One that had ended already is not looked
 *         after any more: what it has left in the background stays.
 * @remark Any thread. What the program has written can still be read.
 */
MPROC_API apr_status_t mproc_subprocess_stop(mproc_subprocess_t *subprocess, apr_interval_time_t grace);

/**
 * Close a program's standard input, wait for its end for as long as it takes, dropping what it writes, and close it.
 *
 * @param subprocess The program; closed afterwards, unless the handle is refused.
 * @param exitcode   Its exit code; may be NULL.
 * @return As mproc_subprocess_exitcode(); APR_ENOMEM or APR_EMFILE if there is nothing left to wait by: it was stopped.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_subprocess_finish(mproc_subprocess_t *subprocess, int *exitcode);

/**
 * Forget a program that has ended, or that is detached.
 *
 * @param subprocess The program; NULL is allowed and does nothing.
 * @return APR_SUCCESS; MPROC_ESTATE if it runs: wait for it or stop it first.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_subprocess_close(mproc_subprocess_t *subprocess);

#ifdef __cplusplus
}
#endif

#endif
