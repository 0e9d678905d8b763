/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file win32.h
 * @brief What the files of this backend share. All of it is private to src/win32.
 *
 * No handle that is made here can be inherited, with two exceptions: the null device, as a stand-in for a standard
 * stream, and what an external program is to have, while that is started. So what other code of the program starts
 * meanwhile gets nothing else that would keep a pipe or a file of ours open; what this library starts never does.
 */
#ifndef MPROC_WIN32_H
#define MPROC_WIN32_H

/* First: it brings the sockets, which must come before the system's main header. */
#include <apr.h>

#include <windows.h>

#include "mproc_config.h"
#include "sys.h"

/* ---- handle.c ---------------------------------------------------------------------------------------------------- */

/** The last error of this thread as a status, never APR_SUCCESS. */
apr_status_t win32_error(void);

/** Close a handle; NULL is harmless, and the last error stays. */
void win32_close(HANDLE handle);

/** A function that the system's kernel offers beyond the documented ones; NULL if it is not there. */
void (*win32_kernel_function(const char *name))(void);

/** Put a duplicate of a handle into another process: `*there` is what that process calls it. */
apr_status_t win32_push(int64_t *there, HANDLE process, HANDLE handle);

/* ---- utf16.c ----------------------------------------------------------------------------------------------------- */

/** Convert from UTF-8: one allocation for free(). */
apr_status_t win32_to_utf16(wchar_t **wide, const char *text);

/** Convert to UTF-8 in a buffer; APR_ENAMETOOLONG if it does not fit. */
apr_status_t win32_to_utf8(char *buffer, size_t size, const wchar_t *wide);

/** Make a list in UTF-8 of strings that lie back to back, `length` units in all: one allocation for free(). */
apr_status_t win32_to_list(char ***list, const wchar_t *strings, size_t length, size_t count);

/* ---- block.c ----------------------------------------------------------------------------------------------------- */

/** Map the block that another process holds as `handle`. */
apr_status_t win32_block_pull(sys_block_t *block, DWORD creator, uint64_t handle);

/* ---- image.c ----------------------------------------------------------------------------------------------------- */

/** Get the path of a module's file, with NULL the program's: one allocation for free(). */
apr_status_t win32_module_path(wchar_t **path, HMODULE module);

/* ---- info.c ------------------------------------------------------------------------------------------------------ */

/** When a process started. */
apr_status_t win32_birth(uint64_t *birth, HANDLE process);

/** The same of a process that may not be opened; APR_ENOENT: there is none. */
apr_status_t win32_birth_listed(uint64_t *birth, DWORD pid);

/* ---- lifeline.c: children end with their creator ----------------------------------------------------------------- */

/** Get the job that this process's children belong to. */
apr_status_t win32_job(HANDLE *job);

/** Let the job go: what still runs in it ends. */
void win32_job_close(void);

/* ---- process.c --------------------------------------------------------------------------------------------------- */

struct sys_process_t {
    HANDLE handle;
    HANDLE section; /**< a child's block, for the child to find, as long as it runs */
    HANDLE job;     /**< a program's own, with all that it has started; NULL: there is none */
    DWORD pid;
    int is_own;    /**< a child or a program, and not just a process to wait for */
    int can_break; /**< a program with a group, at our console */
};

/** Make an object for a process. */
apr_status_t win32_process_make(sys_process_t **process, int is_own);

/* ---- exit.c: how processes end ----------------------------------------------------------------------------------- */

/** The exit code of a process that a signal ended. */
DWORD win32_signal_code(int sig);

/** Put an exit code of the system into the seam's terms: 0 to 255, or minus a signal. */
int win32_exit_code(DWORD native);

/* ---- stdio.c: standard streams ----------------------------------------------------------------------------------- */

/** Where one of a child's standard streams comes from. */
typedef struct win32_stream_t {
    HANDLE passed; /**< an inheritable handle: what the child has there from the beginning */
    HANDLE pushed; /**< what it puts there instead, see win32_place_streams(); NULL: nothing */
    HANDLE null;   /**< the null device, if it was opened for this stream; to be closed */
} win32_stream_t;

/** Find out where a child's standard streams come from. */
apr_status_t win32_plan_streams(win32_stream_t plan[3], const sys_stdio_t stdio[3]);

void win32_close_streams(win32_stream_t plan[3]);

/** Get inheritable handles for a program's standard streams. To be closed by win32_close_opened(), also on failure. */
apr_status_t win32_open_streams(HANDLE streams[3], const sys_stdio_t stdio[3]);

void win32_close_opened(HANDLE streams[3]);

/** In the child: put the handles that were pushed, 0 for none, in the place of the standard streams. */
apr_status_t win32_place_streams(const int64_t *handles);

/* ---- arena.c ----------------------------------------------------------------------------------------------------- */

/** What the numbers are that a child finds in its block; the first three are standard streams. */
enum { WIN32_SLOT_ARENA = 3 };

/** Give a child that does not run yet the section of the arena, if there is one. */
apr_status_t win32_push_arena(int64_t *there, HANDLE process);

/* ---- park.c: where threads of all processes wait ----------------------------------------------------------------- */

/** What the table of those who wait takes, in memory that all have in common and that is all zeros at first. */
enum { WIN32_BAYS = 16384, WIN32_LOT_SIZE = 64 + WIN32_BAYS * 40 };

/** Have a table for those who wait at words of an arena. */
void win32_lot_open(void *lot, const sys_arena_t *arena);

/** The arena is about to be unmapped. */
void win32_lot_close(const sys_arena_t *arena);

/** A child has ended: let go of what this process has of it. */
void win32_lot_forget(DWORD pid);

/** Let go of what no thread uses. */
void win32_lot_clear(void);

/* ---- user.c ------------------------------------------------------------------------------------------------------ */

/** A user's id, with room for the largest. */
typedef union win32_user_t {
    TOKEN_USER user;
    unsigned char bytes[sizeof(TOKEN_USER) + SECURITY_MAX_SID_SIZE];
} win32_user_t;

/** Find out who runs a process. */
apr_status_t win32_user_of(win32_user_t *user, HANDLE process);

/** Whether a process runs as this process's user. */
int win32_is_own_user(DWORD pid);

/* ---- wait.c ------------------------------------------------------------------------------------------------------ */

/** Wait until a handle is signalled: APR_SUCCESS, APR_TIMEUP, APR_EINTR if `stop` is, or a failure of the system. */
apr_status_t win32_wait_for(HANDLE handle, sys_time_t deadline, sys_handle_t stop);

/* ---- linger.c: what is looked after although nobody calls -------------------------------------------------------- */

typedef enum win32_look_t {
    WIN32_GOES_ON, /**< it is to be looked at again; its event is not set */
    WIN32_LEFT,    /**< not any more */
    WIN32_OVER     /**< it is to be destroyed */
} win32_look_t;

/** The first member of something that lingers. */
typedef struct win32_linger_t win32_linger_t;
struct win32_linger_t {
    HANDLE event;                                                /**< when it is set it is looked at */
    DWORD period;                                                /**< and as often, in milliseconds, or INFINITE */
    win32_look_t (*look)(win32_linger_t *linger, int timed_out); /**< it must not wait */
    void (*destroy)(win32_linger_t *linger);                     /**< also called when the library ends */
    HANDLE registration;                                         /**< from here on it is linger.c's */
    win32_linger_t *next;
    win32_linger_t **link;
};

/** Have something looked after. */
void win32_linger(win32_linger_t *linger);

/** End that, if nobody has; afterwards it is not looked at. */
void win32_linger_end(win32_linger_t *linger);

/* ---- socket.c: waiting for sockets ------------------------------------------------------------------------------- */

/** What the system is asked, and answers, of a socket. */
typedef struct win32_poll_t {
    OVERLAPPED overlapped;
    HANDLE device;
    struct {
        int64_t timeout;
        ULONG count;
        ULONG is_exclusive;
        SOCKET socket;
        ULONG events;
        LONG status;
    } request;
} win32_poll_t;

/**
 * Begin to wait until there is something to read from a socket: APR_SUCCESS if there is; APR_EINPROGRESS: the event
 * tells, see win32_poll_finish(); APR_EBADF; APR_ENOTIMPL.
 */
apr_status_t win32_poll_begin(win32_poll_t *poll, SOCKET socket, HANDLE event);

/** See after its event, or else stop it, whether there is something. */
int win32_poll_finish(win32_poll_t *poll, int is_to_stop);

/* ---- folder.c: working folders ----------------------------------------------------------------------------------- */

/** Make a path absolute: one allocation for free(). */
apr_status_t win32_absolute_path(wchar_t **absolute, const wchar_t *path);

/** Find a folder that a process is to start in, and check that it is one: one allocation for free(). */
apr_status_t win32_find_directory(wchar_t **path, const char *directory);

/* ---- variables.c: environments ----------------------------------------------------------------------------------- */

/** Make the block that a process is started with: one allocation for free(). */
apr_status_t win32_environment_block(wchar_t **block, const char *const *environment);

/** Get a variable of such a block, NULL for this process's own: one allocation for free(), NULL if it is not set. */
apr_status_t win32_variable(wchar_t **value, const wchar_t *block, const wchar_t *name);

/* ---- search.c: finding programs ---------------------------------------------------------------------------------- */

/** Find a program by a path, or along the PATH of an environment (NULL: this process's): one allocation for free(). */
apr_status_t win32_find_program(wchar_t **path, const char *file, const wchar_t *environment);

/** Whether a file is a batch file. */
int win32_is_batch(const wchar_t *path);

/* ---- arguments.c ------------------------------------------------------------------------------------------------- */

/**
 * Make the command line of a program: one allocation for free(). E2BIG, as on Unix, if it is too long: what the system
 * would say is about names of files.
 */
apr_status_t win32_command_line(wchar_t **command, const char *const *args, const char **failed);

/** Make the command line of the interpreter for a batch file; APR_EINVAL for arguments that would be changed. */
apr_status_t win32_batch_line(wchar_t **command, const wchar_t *path, const char *const *args, const char **failed);

/* ---- create.c ---------------------------------------------------------------------------------------------------- */

typedef struct win32_create_t {
    const wchar_t *path;      /**< absolute */
    wchar_t *command;         /**< the system writes to it */
    const wchar_t *directory; /**< NULL: this process's */
    wchar_t *environment;     /**< NULL: this process's */
    HANDLE streams[3];        /**< inheritable */
    const HANDLE *handles;    /**< more that are inheritable */
    size_t handle_count;
    const HANDLE *jobs; /**< each nested in the one before */
    size_t job_count;
    DWORD flags;
} win32_create_t;

/** Create a process with these handles, and no others, as a member of these jobs from its first moment. */
apr_status_t win32_create(PROCESS_INFORMATION *child, const win32_create_t *create);

/* ---- spawn.c: run this program in a new process ------------------------------------------------------------------ */

typedef struct win32_spawn_t {
    const char *marker;             /**< its argument: what it is to be */
    const char *directory;          /**< NULL: this process's */
    const char *const *environment; /**< complete; NULL: this process's */
    const win32_stream_t *streams;  /**< three of them */
    int is_shielded;                /**< Ctrl-C is not for it, nor for what it starts, until it says otherwise */
    const char *failed;             /**< out: what failed */
} win32_spawn_t;

/** Create a process that does not run yet: its thread waits for ResumeThread(). */
apr_status_t win32_spawn(PROCESS_INFORMATION *child, win32_spawn_t *spawn);

#endif
