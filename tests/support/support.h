/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file support.h
 * @brief What several suites need: start methods, pipes, other programs, a look at the system.
 */
#ifndef MPROC_TEST_SUPPORT_H
#define MPROC_TEST_SUPPORT_H

#include <apr_file_io.h>
#include <apr_pools.h>

#include <mproc/mproc.h>

/** The start method that this run of a conformance suite is about: MPROC_TEST_METHOD, or the default. */
mproc_start_method_t method_under_test(void);

/** Skip a test under a start method for which there is nothing to test. */
void skip_under(mproc_start_method_t method, const char *reason);

/** Whether the platform can fork: where it can, signals can be caught and ignored. */
int has_fork(void);

/** Options that say nothing but the method under test. */
mproc_process_opts_t method_options(void);

/** Start a target, or fail the test; skip it where only threads can be started: MPROC_TEST_NO_PROCESSES is set. */
mproc_process_t *start(mproc_target_t target, mproc_process_opts_t opts);

/** Join a process within a generous time, close it, and return its exit code. */
int finish(mproc_process_t *process);

/**
 * See that something that began then did not wait in vain, which takes for ever, or the five seconds after which some
 * look around by themselves. A machine under load may stand still for a second.
 */
void expect_soon(apr_time_t begin);

/** See that a call that began then has waited for its timeout, in microseconds, and not for good. */
void expect_waited(apr_time_t begin, apr_interval_time_t timeout);

/** A pool for a test's files; never destroyed. */
apr_pool_t *test_pool(void);

/** A pipe whose ends no child inherits. */
void make_pipe(apr_file_t **reader, apr_file_t **writer);

/** Start a target whose first handle is a file, which is closed here. */
mproc_process_t *start_given(apr_file_t *file, mproc_target_t target, mproc_process_opts_t opts);

/** Start a target whose first handle is the writing end of a pipe; the reading end is stored. */
mproc_process_t *start_writing(apr_file_t **reader, mproc_target_t target, mproc_process_opts_t opts);

/** What the system calls a file. */
mproc_os_handle_t handle_of(apr_file_t *file);

/** A file for a handle that a target was given; closed with its pool. */
apr_file_t *file_of(mproc_os_handle_t handle, apr_pool_t *pool);

/** Write a string to a handle that a target was given, and close it. */
int write_and_close(mproc_os_handle_t handle, const char *text);

/** Read to the end of file; the test fails if that takes long. */
void read_all(apr_file_t *file, char *text, size_t size);

/** A new empty file in the temporary folder, open; its path is stored. */
apr_file_t *make_file(char *path, size_t size);

/** Read a whole file. */
void read_file(const char *path, char *text, size_t size);

/** How a program ended. */
typedef struct run_t {
    int exitcode;
    int by_signal;
    int timed_out;
    char output[16384];
} run_t;

/** Run a program to its end, with all that it prints. `arguments` begins with its name and ends with NULL. */
void run_program(run_t *run, const char *program, const char *const *arguments, int seconds);

/** Whether a process lives, by its number. */
int lives(int pid);

/** Wait until a process is gone: 1, or 0 if that takes longer than so many seconds. */
int is_gone_within(int pid, int seconds);

/** End a process that a program under test has left behind, and that nobody waits for. */
void kill_by_pid(int pid);

/** What this process has used of the processors, in microseconds. */
apr_interval_time_t cpu_time(void);

/** Stop this process, or at least this thread, until it is killed. */
void stop_for_good(void);

/** End this thread, from wherever it is: by pthread_exit() or ExitThread(). */
void end_this_thread(void);

/** The descriptors or handles that this process has open; -1 where that cannot be counted. */
int count_descriptors(void);

/** Those that a program was given beside its standard streams, if it has opened none itself; on Windows just pipes. */
int count_given(void);

/** Close all that this process has open, where that leaves it able to go on: whether it did. */
int close_descriptors(void);

/** Check that so many are open, a few more or less on Windows. */
void expect_descriptors(int expected);

#endif
