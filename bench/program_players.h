/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file program_players.h
 * @brief Who starts programs in bench/program: mproc, the system's own calls, other libraries.
 *
 * All of them start the same program with the same arguments, give it the environment of this process and no
 * descriptors but the standard streams, and check what came of it. An operation is 0, or -1.
 */
#ifndef MPROC_BENCH_PROGRAM_PLAYERS_H
#define MPROC_BENCH_PROGRAM_PLAYERS_H

#include <stddef.h>

#include "program_child.h"

typedef struct program_player_t {
    const char *name;
    /** Called once in the process that is to start programs; NULL: there is nothing to prepare. */
    int (*open)(char **argv);
    /** Start it with CHILD_EXIT, and wait for its end. Standard streams are inherited. */
    int (*start)(void);
    /** Run it with CHILD_SAY, and collect both outputs, as much as comes. */
    int (*capture)(void);
    /** Run it with CHILD_ECHO, give it data of any size, and collect its output; NULL: not measured. */
    int (*communicate)(const void *data, size_t size);
} program_player_t;

/** mproc_subprocess_start() + mproc_subprocess_wait(), and mproc_subprocess_run(). */
extern const program_player_t program_mproc;

/** vfork(), execve() and waitpid(), with nothing else between them: the least that it can cost. */
extern const program_player_t program_vfork;

/** posix_spawn() and waitpid(); a loop with poll() around the pipes. */
extern const program_player_t program_posix_spawn;

/**
 * posix_spawn() with what mproc does beside: a group of its own, signals unblocked and restored, no other descriptors
 * than the standard streams, whoever left them open, and a pidfd on which its end is waited for.
 */
extern const program_player_t program_posix_spawn_duties;

/** apr_proc_create() and apr_proc_wait(). */
extern const program_player_t program_apr;

/** uv_spawn() and uv_run(); where libuv is installed. */
extern const program_player_t program_libuv;

/* ---- program.c --------------------------------------------------------------------------------------------------- */

/** The program with one argument each. */
extern char *const program_exit[];
extern char *const program_say[];
extern char *const program_echo[];

/** Check what came of CHILD_SAY. */
int program_check_said(int code, const char *output, size_t output_size, size_t error_output_size);

/** Check what came of CHILD_ECHO. */
int program_check_echoed(int code, const char *output, size_t output_size, const void *data, size_t size);

#endif
