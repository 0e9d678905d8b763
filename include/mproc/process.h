/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file process.h
 * @brief Processes: start them, watch them, end them.
 *
 * @code
 * #include <mproc/mproc.h>
 * #include <stdio.h>
 *
 * static int greet(mproc_call_t *call)
 * {
 *     printf("hello %s\n", mproc_call_string(call, 0));
 *     return 0;
 * }
 *
 * int main(int argc, char **argv)
 * {
 *     mproc_arg_t name = mproc_arg_string(NULL, "bob");
 *     mproc_process_opts_t opts = {0};
 *     mproc_process_t *child;
 *     int exitcode = -1;
 *     opts.args = &name;
 *     opts.arg_count = 1;
 *     if (mproc_initialize(argc, argv) != APR_SUCCESS ||
 *         mproc_process_start(&child, greet, &opts) != APR_SUCCESS ||
 *         mproc_process_finish(child, &exitcode) != APR_SUCCESS)
 *         fprintf(stderr, "%s\n", mproc_last_error()->text);
 *     return exitcode;
 * }
 * @endcode
 *
 * In C the options may stand in the call: `&(mproc_process_opts_t){.data = &config, .size = sizeof config}`.
 * In C++ write `mproc_process_opts_t opts = {};` and assign.
 *
 * A `mproc_process_t *` is a handle: it may be used by all threads of the process that made it, and a handle that is
 * NULL, closed, or never was one is recognised and refused with a status, never dereferenced.
 *
 * Every call that takes a process returns APR_EINVAL for NULL, MPROC_ECLOSED for a handle that was closed or never was
 * one, and MPROC_EFOREIGN in a process that inherited the handle by fork but did not make it; this is not repeated
 * below.
 */
#ifndef MPROC_PROCESS_H
#define MPROC_PROCESS_H

#include <string.h>

#include "call.h"
#include "share.h"
#include "start_method.h"
#include "types.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A process that this process created, the current process, or its parent. */
typedef struct mproc_process_t mproc_process_t;

/** One argument for a child's target; copied when the process is created. */
typedef struct mproc_arg_t {
    /** A name to find it by (a keyword argument), or NULL. */
    const char *name;
    /** The bytes; may be NULL if @p size is 0. */
    const void *data;
    /** How many bytes. */
    size_t size;
} mproc_arg_t;

/**
 * Make an argument of a string.
 *
 * @param name  A name to find it by, or NULL.
 * @param value The string; NULL counts as "".
 * @return The argument. It refers to the two strings.
 */
static inline mproc_arg_t mproc_arg_string(const char *name, const char *value)
{
    mproc_arg_t arg;
    arg.name = name;
    arg.data = value ? value : "";
    arg.size = value ? strlen(value) + 1 : 1;
    return arg;
}

/**
 * Make an argument of bytes.
 *
 * @param name A name to find it by, or NULL.
 * @param data The bytes.
 * @param size How many.
 * @return The argument. It refers to name and bytes.
 */
static inline mproc_arg_t mproc_arg_bytes(const char *name, const void *data, size_t size)
{
    mproc_arg_t arg;
    arg.name = name;
    arg.data = data;
    arg.size = size;
    return arg;
}

/** What becomes of one of the child's standard streams. */
typedef enum mproc_stdio_kind_t {
    /** It is the creator's. A stream that the creator has closed becomes the null device. */
    MPROC_STDIO_INHERIT = 0,
    /** It is the null device: reading gives end of file, and what is written is gone. */
    MPROC_STDIO_NULL,
    /** It is a duplicate of a handle that the creator has open. */
    MPROC_STDIO_HANDLE,
    /** Standard error only (APR_EINVAL for another): it goes where standard output goes. */
    MPROC_STDIO_STDOUT,
    /** External programs only, as the next ones: a pipe to this process. */
    MPROC_STDIO_PIPE,
    /** A file: standard input reads it, the others replace it. */
    MPROC_STDIO_FILE,
    /** A file that is written at its end; not for standard input. */
    MPROC_STDIO_APPEND
} mproc_stdio_kind_t;

/** One of the child's standard streams; made by the functions below. */
typedef struct mproc_stdio_t {
    /** What becomes of it. */
    mproc_stdio_kind_t kind;
    /** With MPROC_STDIO_HANDLE: the handle, which stays the creator's own. */
    mproc_os_handle_t handle;
    /** With MPROC_STDIO_FILE and MPROC_STDIO_APPEND: the file's path. */
    const char *path;
} mproc_stdio_t;

/**
 * Say that a standard stream is of a kind, with neither handle nor path.
 *
 * @param kind The kind.
 * @return The stream.
 */
static inline mproc_stdio_t mproc_stdio_of_kind(mproc_stdio_kind_t kind)
{
    mproc_stdio_t stream;
    stream.kind = kind;
    stream.handle = MPROC_NO_HANDLE;
    stream.path = NULL;
    return stream;
}

/**
 * Say that a standard stream is to be a duplicate of a handle.
 *
 * @param handle A handle that the creator has open; it stays its own.
 * @return The stream.
 */
static inline mproc_stdio_t mproc_stdio_handle(mproc_os_handle_t handle)
{
    mproc_stdio_t stream = mproc_stdio_of_kind(MPROC_STDIO_HANDLE);
    stream.handle = handle;
    return stream;
}

/**
 * Say that a standard stream is to be the null device.
 *
 * @return The stream.
 */
static inline mproc_stdio_t mproc_stdio_null(void)
{
    return mproc_stdio_of_kind(MPROC_STDIO_NULL);
}

/**
 * Say that standard error is to go where standard output goes.
 *
 * @return The stream.
 */
static inline mproc_stdio_t mproc_stdio_stdout(void)
{
    return mproc_stdio_of_kind(MPROC_STDIO_STDOUT);
}

/**
 * Say that a standard stream of an external program is to be a pipe to this process.
 *
 * @return The stream.
 */
static inline mproc_stdio_t mproc_stdio_pipe(void)
{
    return mproc_stdio_of_kind(MPROC_STDIO_PIPE);
}

/**
 * Say that a standard stream of an external program is to be a file: one that standard input reads, or that the others
 * make, or replace, and write.
 *
 * @param path Its path (UTF-8), absolute or from this process's working folder; it must live as long as the options.
 * @return The stream.
 */
static inline mproc_stdio_t mproc_stdio_file(const char *path)
{
    mproc_stdio_t stream = mproc_stdio_of_kind(MPROC_STDIO_FILE);
    stream.path = path;
    return stream;
}

/**
 * Say that an output of an external program is to go to the end of a file, which is made if it is not there.
 *
 * @param path As for mproc_stdio_file().
 * @return The stream.
 */
static inline mproc_stdio_t mproc_stdio_append(const char *path)
{
    mproc_stdio_t stream = mproc_stdio_of_kind(MPROC_STDIO_APPEND);
    stream.path = path;
    return stream;
}

/** The most ends of connections that one process can be given as `.give`. */
#define MPROC_GIVE_MAX 16

/**
 * Options of a process. All zero is the default; set what you need by name. All that is pointed to is copied or
 * duplicated when the process is created and need not live longer.
 *
 * With MPROC_THREAD, `directory`, `environment`, `environment_changes`, the standard streams and `cpus` must be left
 * alone: a thread shares them with its process (APR_ENOTIMPL).
 */
typedef struct mproc_process_opts_t {
    /**
     * The child's name, 1 to 255 bytes; several may have the same. NULL for "Process-1", "Process-2", ..., and
     * "Process-2:1" for a child of Process-2.
     */
    const char *name;
    /** How to start it; MPROC_DEFAULT for the default. */
    mproc_start_method_t start_method;
    /**
     * Non-zero: at the orderly end of its creator it is terminated, where other children are joined. It may have
     * children itself.
     */
    int daemon;
    /** The target's struct, see mproc_call_data(). Pointers in it mean nothing in another process. */
    const void *data;
    /** The size of @p data in bytes; not 0 if there is data. */
    size_t size;
    /** More arguments, see mproc_call_arg(), mproc_call_string(), mproc_call_named(). */
    const mproc_arg_t *args;
    /** How many @p args there are. */
    size_t arg_count;
    /**
     * Handles of the operating system that the child gets duplicates of, see mproc_call_handle(); the creator's stay
     * its own. At most MPROC_HANDLES_MAX. The library's own duplicates are closed as soon as the child is started, so a
     * pipe ends when the child and the creator have closed it.
     */
    const mproc_os_handle_t *handles;
    /** How many @p handles there are. */
    size_t handle_count;
    /** The child's working folder (UTF-8), absolute or from the creator's; NULL for the creator's. */
    const char *directory;
    /**
     * The child's whole environment, "NAME=value" strings (UTF-8) with a NULL after the last; NULL for the creator's.
     * On Windows `SystemRoot` is added where it is missing: programs cannot use the network without it.
     */
    const char *const *environment;
    /** Changes to it, with a NULL after the last: "NAME=value" sets, "NAME" alone removes. NULL for none. */
    const char *const *environment_changes;
    /** The child's standard input. */
    mproc_stdio_t standard_input;
    /** The child's standard output. */
    mproc_stdio_t standard_output;
    /** The child's standard error. */
    mproc_stdio_t standard_error;
    /**
     * Ends of connections that move to the child, up to the first NULL: it gets them by mproc_call_conn(). Once the
     * process is launched, their handles here are closed. Until then they cannot be used (MPROC_ESTATE), and if the
     * process is closed instead, or could not be made or started, they are this process's own as before. None of them
     * may be in use by another thread.
     */
    mproc_conn_t *give[MPROC_GIVE_MAX];
    /**
     * Objects that the child shares, up to the first NULL: locks and so on, see share.h. It has them open from its
     * start, and gets them by mproc_call_lock() and so on, by their place here. This process's handles stay its own.
     * What cannot be shared, or stands behind a NULL, is refused (MPROC_ECLOSED, APR_EINVAL).
     */
    void *share[MPROC_SHARE_MAX];
    /** The CPUs that the child may run on, by number from 0; NULL for as the creator. */
    const int *cpus;
    /** How many @p cpus there are. */
    size_t cpu_count;
    /**
     * How long a termination by the library may take before the child is killed, in microseconds: of a daemon at its
     * creator's end, and when @p pool is cleared. 0 for one second, MPROC_FOREVER for never. It does not concern
     * mproc_process_terminate().
     */
    apr_interval_time_t grace;
    /**
     * When this pool is cleared, the process is ended if it still runs (as by mproc_process_stop(); a thread is
     * joined), and closed. NULL: it stays until mproc_process_close() or mproc_process_finish().
     */
    apr_pool_t *pool;
} mproc_process_opts_t;

/** The most handles that one process can be given as `.handles`. */
#define MPROC_HANDLES_MAX 200

/**
 * The call behind mproc_process_create(); programs in other languages make it directly.
 *
 * @param process   As there.
 * @param target    As there.
 * @param opts      As there.
 * @param opts_size `sizeof(mproc_process_opts_t)` as the caller knows it.
 * @return As mproc_process_create(); MPROC_EBUILD if the caller's options are larger than the library's.
 */
MPROC_API apr_status_t mproc_process_create_sized(mproc_process_t **process, mproc_target_t target,
                                                  const mproc_process_opts_t *opts, size_t opts_size);

/**
 * The call behind mproc_process_start(); programs in other languages make it directly.
 *
 * @param process   As there.
 * @param target    As there.
 * @param opts      As there.
 * @param opts_size `sizeof(mproc_process_opts_t)` as the caller knows it.
 * @return As mproc_process_start(); MPROC_EBUILD if the caller's options are larger than the library's.
 */
MPROC_API apr_status_t mproc_process_start_sized(mproc_process_t **process, mproc_target_t target,
                                                 const mproc_process_opts_t *opts, size_t opts_size);

/**
 * Create a process without starting it: mproc_process_launch() does that, and mproc_process_start() does both.
 *
 * @param process Where to store the handle; NULL on failure. Close it with mproc_process_close() or
 *                mproc_process_finish().
 * @param target  The function that it will run.
 * @param opts    Options, or NULL. All that they refer to is copied or duplicated now.
 * @return APR_SUCCESS; MPROC_EINIT before mproc_initialize(); APR_EINVAL for a NULL target or options that contradict
 *         themselves; APR_ENOTIMPL for a start method that this platform lacks, or an option that the start method
 *         lacks; MPROC_ETARGET if the target lies in no module (code made at run time); APR_EBADF if a handle is not
 *         open; APR_EMFILE or APR_ENOMEM if the system refuses; MPROC_ESIZE if the arguments are more than memory can
 *         address; for an end in `.give` MPROC_ECLOSED, MPROC_EFOREIGN, or MPROC_ESTATE if another thread is using it,
 *         it was given before, or a message in it is unfinished; for `.share` MPROC_ECLOSED, and what
 *         mproc_lock_create() returns if there is no room for the child among the members of the family.
 * @remark Any thread.
 */
static inline apr_status_t mproc_process_create(mproc_process_t **process, mproc_target_t target,
                                                const mproc_process_opts_t *opts)
{
    return mproc_process_create_sized(process, target, opts, sizeof(mproc_process_opts_t));
}

/**
 * Create a process and start it: mproc_process_create() and mproc_process_launch() in one.
 *
 * The call returns when the child exists. What fails in the child afterwards, before its target runs, is told by
 * mproc_process_join() and mproc_process_finish(); only the first start of a program waits until the child has been
 * seen to reach mproc_initialize().
 *
 * @param process Where to store the handle; NULL on failure. Close it with mproc_process_close() or
 *                mproc_process_finish().
 * @param target  The function that it runs.
 * @param opts    Options, or NULL.
 * @return As mproc_process_create() and mproc_process_launch(). On failure nothing is left of the process.
 * @remark Any thread.
 */
static inline apr_status_t mproc_process_start(mproc_process_t **process, mproc_target_t target,
                                               const mproc_process_opts_t *opts)
{
    return mproc_process_start_sized(process, target, opts, sizeof(mproc_process_opts_t));
}

/**
 * Start a process that mproc_process_create() made.
 *
 * @param process The process.
 * @return APR_SUCCESS; MPROC_ESTATE if it was started before, or another thread is just beginning to run it;
 *         MPROC_EINIT if the child does not reach mproc_initialize(); APR_ENOENT, APR_ENOTDIR or APR_EACCES if the
 *         working folder or the program's own file is out of reach; APR_EAGAIN or APR_ENOMEM if the system refuses
 *         another process; APR_EMFILE or APR_ENFILE when it is out of descriptors; MPROC_ESTARTUP if the fork server is
 *         killed again and again; APR_TIMEUP if it does not answer for half a minute. After a failure the process is as
 *         before and can be launched again.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_process_launch(mproc_process_t *process);

/**
 * Run the target of a process here, on the calling thread, without starting anything.
 *
 * The target gets copies of its arguments and handles, each time anew: it may write into the ones and close the others,
 * as in a child.
 *
 * @param process  A process that was created and not started; it stays so.
 * @param exitcode What the target returned, 0 to 255; may be NULL.
 * @return APR_SUCCESS; MPROC_ESTATE if it was started before, or an end in `.give` has been received from already;
 *         APR_ENOMEM or APR_EMFILE if there is no room for the copies.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_process_run(mproc_process_t *process, int *exitcode);

/**
 * Wait until a process has ended.
 *
 * It waits for the process itself: descriptors that grandchildren inherited, and pipes left full, do not matter.
 *
 * @param process The process; also mproc_parent_process().
 * @param timeout How long to wait, in microseconds; 0 to look, MPROC_FOREVER to wait for good.
 * @return APR_SUCCESS when it has ended, whatever its exit code, and when it was joined before;
 *         APR_TIMEUP if it still runs;
 *         MPROC_ESTATE if it was not started, or is the current process;
 *         APR_EBADF if this program has closed the library's descriptors, APR_EMFILE if there is none left to watch a
 *         creator by;
 *         and if the child ended before its target ran, why: MPROC_EINIT (its main never reached mproc_initialize()),
 *         MPROC_ETARGET (the target's module cannot be loaded in the child), MPROC_EBUILD (it is another build there),
 *         MPROC_ESTARTUP or another status (something else went wrong there). The process has ended then as well, and
 *         mproc_process_exitcode() has its exit code.
 * @remark Any thread, several at once.
 */
MPROC_API apr_status_t mproc_process_join(mproc_process_t *process, apr_interval_time_t timeout);

/**
 * Join a process without a timeout, tell its exit code, and close it.
 *
 * @param process  The process; closed afterwards, unless the handle is refused or the call fails with MPROC_ESTATE.
 * @param exitcode As mproc_process_exitcode(), stored whenever it is known; may be NULL.
 * @return As mproc_process_join(); if that succeeded, as mproc_process_exitcode().
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_process_finish(mproc_process_t *process, int *exitcode);

/**
 * Forget a process that has ended or was never started.
 *
 * @param process The process; NULL is allowed and does nothing.
 * @return APR_SUCCESS; MPROC_ECLOSED if it was closed before, which is harmless; MPROC_ESTATE if it still runs
 *         (terminate it or join it first), or is the current process or its parent.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_process_close(mproc_process_t *process);

/**
 * Tell whether a process runs.
 *
 * @param process The process.
 * @return 1 if it was started and has not ended; 0 otherwise, also if the handle is refused (see mproc_last_error()).
 * @remark Any thread.
 */
MPROC_API int mproc_process_is_alive(mproc_process_t *process);

/**
 * Tell how a process ended.
 *
 * @param process  The process.
 * @param exitcode What its target returned or it called `exit` with, 0 to 255; or minus the number of the signal that
 *                 ended it: -15 after mproc_process_terminate(), -9 after mproc_process_kill(), -11 after a bad memory
 *                 access, and so on, with Linux's numbers on every platform. Untouched on failure.
 * @return APR_SUCCESS; APR_EINVAL if @p exitcode is NULL; MPROC_ESTATE while it has not ended; MPROC_EEXITUNKNOWN if
 *         other code of this program waited for it and the system no longer knows.
 * @remark Any thread. Looks, and does not wait.
 */
MPROC_API apr_status_t mproc_process_exitcode(mproc_process_t *process, int *exitcode);

/**
 * Tell how a process ended, in the system's own terms.
 *
 * @param process The process.
 * @param native  On Unix the status as `waitpid` gives it; on Windows the 32-bit exit code, such as 0xC0000005.
 * @return As mproc_process_exitcode(); APR_ENOTIMPL for a thread.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_process_native_exitcode(mproc_process_t *process, int64_t *native);

/**
 * Ask a process to end: SIGTERM. It does not wait; mproc_process_stop() does.
 *
 * @param process The process.
 * @return APR_SUCCESS, also if it has ended already; MPROC_ESTATE if it was not started; APR_ENOTIMPL for a thread;
 *         APR_EACCES if the system forbids it; APR_EAGAIN if the fork server takes no signals for a second, because
 *         somebody has stopped it.
 * @remark Any thread. On Windows the process ends at once, with exit code -15.
 */
MPROC_API apr_status_t mproc_process_terminate(mproc_process_t *process);

/**
 * End a process at once, whatever it does: SIGKILL.
 *
 * @param process The process.
 * @return As mproc_process_terminate().
 * @remark Any thread. On Windows its exit code is -9.
 */
MPROC_API apr_status_t mproc_process_kill(mproc_process_t *process);

/**
 * Interrupt a process as Ctrl-C does: SIGINT.
 *
 * @param process The process.
 * @return As mproc_process_terminate().
 * @remark Any thread. Windows cannot interrupt one process: it ends at once there, with exit code -2.
 */
MPROC_API apr_status_t mproc_process_interrupt(mproc_process_t *process);

/**
 * End a process, gently at first: terminate it, wait, kill it if it still runs, and wait for its end.
 *
 * @param process The process.
 * @param grace   How long it may take after it was terminated, in microseconds; 0 kills it at once, MPROC_FOREVER
 *                never.
 * @return APR_SUCCESS when it has ended, also before; otherwise as mproc_process_terminate() and mproc_process_join().
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_process_stop(mproc_process_t *process, apr_interval_time_t grace);

/**
 * Put an exit code into words: "exit code 3", "killed by signal 15 (SIGTERM)".
 *
 * @param exitcode As mproc_process_exitcode() gives it.
 * @param buffer   Where to write the text, cut to fit and always terminated.
 * @param size     The size of @p buffer in bytes.
 * @return @p buffer, or "" if @p buffer is NULL or @p size is 0.
 * @remark Any thread.
 */
MPROC_API const char *mproc_exitcode_text(int exitcode, char *buffer, size_t size);

/**
 * Tell a process's id.
 *
 * @param process The process.
 * @return The operating system's process id, for a thread that of this process; 0 if it was not started, or the handle
 *         is refused (see mproc_last_error()).
 * @remark Any thread.
 */
MPROC_API int mproc_process_pid(mproc_process_t *process);

/**
 * Tell a process's name.
 *
 * @param process The process.
 * @return The name, "MainProcess" for the first process; it lives as long as the handle, or until
 *         mproc_process_set_name(). NULL if the handle is refused (see mproc_last_error()).
 * @remark Any thread.
 */
MPROC_API const char *mproc_process_name(mproc_process_t *process);

/**
 * Rename a process that was not started yet.
 *
 * @param process The process.
 * @param name    The new name, copied.
 * @return APR_SUCCESS; APR_EINVAL if @p name is NULL, empty, or longer than 255 bytes; MPROC_ESTATE if it was started;
 *         APR_ENOMEM.
 * @remark Any thread, while no other uses the name.
 */
MPROC_API apr_status_t mproc_process_set_name(mproc_process_t *process, const char *name);

/**
 * Tell whether a process is a daemon.
 *
 * @param process The process.
 * @return 1 or 0; 0 also if the handle is refused (see mproc_last_error()).
 * @remark Any thread.
 */
MPROC_API int mproc_process_is_daemon(mproc_process_t *process);

/**
 * Make a process that was not started yet a daemon, or not.
 *
 * @param process The process.
 * @param daemon  Non-zero for a daemon.
 * @return APR_SUCCESS; MPROC_ESTATE if it was started.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_process_set_daemon(mproc_process_t *process, int daemon);

/**
 * Tell by which method a process is started.
 *
 * @param process The process.
 * @return The method, never MPROC_DEFAULT unless the process was not started by mproc, or the handle is refused (see
 *         mproc_last_error()).
 * @remark Any thread.
 */
MPROC_API mproc_start_method_t mproc_process_start_method(mproc_process_t *process);

/**
 * Get something to wait on for a process's end together with other things, by poll, epoll, kqueue or
 * WaitForMultipleObjects.
 *
 * @param process  The process.
 * @param sentinel A descriptor that becomes readable, or a `HANDLE` that becomes signalled, when the process has ended;
 *                 whatever grandchildren inherited. From then on mproc_process_join() does not wait. It belongs to the
 *                 process object and is valid until that is closed: only wait on it, do not read or close it.
 * @return APR_SUCCESS; APR_EINVAL if @p sentinel is NULL; MPROC_ESTATE if it was not started, or is the current
 *         process; for a creator APR_ENOENT if it had ended before this process could look, APR_EMFILE or another
 *         status of the system if it cannot be watched.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_process_sentinel(mproc_process_t *process, mproc_os_handle_t *sentinel);

/**
 * Get the key by which this process and its family prove to others who they are.
 *
 * The first process makes a random one of 32 bytes; children have their creator's.
 *
 * @param process The current process, or one that was created and not started.
 * @param buffer  Where to write the key; may be NULL if @p size is 0.
 * @param size    How many bytes @p buffer takes.
 * @param length  The key's length in bytes is stored here, also if it does not fit; may be NULL.
 * @return APR_SUCCESS; MPROC_ESIZE if it does not fit; MPROC_ESTATE for a process that runs elsewhere; a status of the
 *         system if no random bytes can be had.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_process_authkey(mproc_process_t *process, void *buffer, size_t size, size_t *length);

/**
 * Set that key, for the current process (and the children that it creates later) or for a child before it is started.
 *
 * @param process The current process, or one that was created and not started.
 * @param key     The key, copied.
 * @param size    Its length in bytes, at most MPROC_AUTHKEY_MAX.
 * @return APR_SUCCESS; APR_EINVAL if @p key is NULL or @p size is 0 or too large; MPROC_ESTATE for a process that runs.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_process_set_authkey(mproc_process_t *process, const void *key, size_t size);

/** The longest authentication key, in bytes. */
#define MPROC_AUTHKEY_MAX 256

/**
 * Get the process that this thread runs in.
 *
 * @return Its handle, which need not and cannot be closed: in a thread that is a child, that child. NULL before
 *         mproc_initialize() (MPROC_EINIT).
 * @remark Any thread.
 */
MPROC_API mproc_process_t *mproc_current_process(void);

/**
 * Get the process that created this one.
 *
 * @return Its handle, which need not and cannot be closed, for mproc_process_join(), mproc_process_is_alive(),
 *         mproc_process_sentinel(), mproc_process_pid() and mproc_process_name(); NULL in a process that
 *         is not mproc's child (APR_ENOENT): the first one, and a copy that somebody else's fork made; and before
 *         mproc_initialize() (MPROC_EINIT).
 * @remark Any thread.
 */
MPROC_API mproc_process_t *mproc_parent_process(void);

/**
 * List the children of this process that run, and reap those that have ended.
 *
 * @param children Where to store their handles; may be NULL if @p capacity is 0.
 * @param capacity How many @p children takes.
 * @param count    How many there are is stored here, which may be more than @p capacity.
 * @return APR_SUCCESS; APR_EINVAL if @p count is NULL; MPROC_EINIT before mproc_initialize().
 * @remark Any thread. The handles are those that the starts gave; they stay with whoever holds them.
 */
MPROC_API apr_status_t mproc_active_children(mproc_process_t **children, size_t capacity, size_t *count);

#ifdef __cplusplus
}
#endif

#endif
