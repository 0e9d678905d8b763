/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file start_references.h
 * @brief What bench/start measures mproc against: each operation starts something that ends at once, and waits for its
 *        end.
 *
 * All of them let children end with the code EXIT_EXPECTED and check it, so that a child that failed does not count as
 * fast. An operation is 0, or -1.
 */
#ifndef MPROC_BENCH_START_REFERENCES_H
#define MPROC_BENCH_START_REFERENCES_H

enum { EXIT_EXPECTED = 7 };

/** The first argument that makes a program of this benchmark end as soon as it has reached main. */
#define EXIT_ARGUMENT "--exit"

/* ---- start_references.c: the system's own calls ------------------------------------------------------------------ */

/** fork() and waitpid(); the child ends by _exit(). The handlers that mproc has around forks run here as well. */
int start_fork(void *unused);

/** posix_spawn() of the program at `path`, a string, with EXIT_ARGUMENT; and waitpid(). */
int start_posix_spawn(void *path);

/** pthread_create() and pthread_join(). */
int start_pthread(void *unused);

/* ---- start_peers.c: other libraries ------------------------------------------------------------------------------ */

/** apr_proc_create() of the program at `path`, and apr_proc_wait(). */
int start_apr(void *path);

/** Load the module that start_libuv() needs: NULL, or why there is none. */
const char *start_libuv_load(void);

/** uv_spawn() of the program at `path`, and uv_run() until it has ended. */
int start_libuv(void *path);

/** What start_libuv() calls, in the module start_libuv.c. */
int start_libuv_run(char *path);

#endif
