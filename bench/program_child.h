/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file program_child.h
 * @brief What the program that bench/program starts does on request; it ends with CHILD_EXIT_CODE if it has done it.
 */
#ifndef MPROC_BENCH_PROGRAM_CHILD_H
#define MPROC_BENCH_PROGRAM_CHILD_H

/** End at once. */
#define CHILD_EXIT "--exit"

/** Write CHILD_OUTPUT bytes to standard output, then CHILD_ERROR_OUTPUT bytes to standard error. */
#define CHILD_SAY "--say"

/** Write what comes at standard input to standard output. */
#define CHILD_ECHO "--echo"

enum { CHILD_EXIT_CODE = 7, CHILD_LETTER = 'm', CHILD_OUTPUT = 4096, CHILD_ERROR_OUTPUT = 64 };

#endif
