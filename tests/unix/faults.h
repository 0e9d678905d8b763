/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file faults.h
 * @brief Calls of the system and for memory that fail on demand.
 *
 * The linker puts the functions of faults.c before those of the C library (--wrap), for all that is linked statically:
 * the library under test, and the test itself, which must not call them while a fault is due.
 */
#ifndef MPROC_TEST_FAULTS_H
#define MPROC_TEST_FAULTS_H

/** A call fails with one of several errors: this many choices cover them all. */
enum { FAULT_CHOICES = 5 };

/** Let a call of this thread fail, with one of the errors that it can have. The first from now on is number 1. */
void fault_begin(int number, int choice);

/** No more failures: the name of the function that failed, or NULL if there were fewer calls. */
const char *fault_end(void);

/** Do something on this thread just before its next call of a function. */
void fault_before(const char *function, void (*act)(void *context), void *context);

/** How many blocks of memory are in use that came from here. */
long fault_blocks(void);

#endif
