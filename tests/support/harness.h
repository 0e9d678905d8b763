/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file harness.h
 * @brief Runs each CMocka test in a process of its own, under a watchdog.
 *
 * Without arguments a test program starts itself once for each of its tests, prints what the tests that failed have
 * printed, and a count. `--only NAME` runs one test in place, for a debugger; `--list` names them.
 */
#ifndef MPROC_TEST_HARNESS_H
#define MPROC_TEST_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <mproc/mproc.h>

/** Run the tests of a program; its main returns this. */
int harness_main(int argc, char **argv, const struct CMUnitTest *tests, size_t count);

/** End this test as skipped. The reason is printed, and counted. */
void skip_because(const char *reason);

/** How much slower than usual things may run here (sanitizers, emulators): MPROC_TEST_SLOWDOWN, or 1. */
int slowdown(void);

/** Assert that a call succeeded; if not, show what mproc_last_error() says. */
#define assert_success(call) assert_status_at((call), APR_SUCCESS, #call, __FILE__, __LINE__)

/** Assert that a call returned a status, and that mproc_last_error() agrees and has a text. */
#define assert_failure(call, expected) assert_status_at((call), (expected), #call, __FILE__, __LINE__)

void assert_status_at(apr_status_t status, apr_status_t expected, const char *call, const char *file, int line);

/** Assert that the text of the last error holds a word. */
void assert_error_names(const char *word);

/** Assert that a call was refused with a status, by a text that says who refuses it and why. */
#define assert_refused(call, status, who, why)                                                                         \
    do {                                                                                                               \
        assert_failure(call, status);                                                                                  \
        assert_error_names(who);                                                                                       \
        assert_error_names(why);                                                                                       \
    } while (0)

#endif
