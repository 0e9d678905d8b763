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

#include <stddef.h>

/** A call fails with one of several errors: this many choices cover them all. */
enum { FAULT_CHOICES = 5 };

/** Let a call of this thread fail, with one of the errors that it can have. The first from now on is number 1. */
void fault_begin(int number, int choice);

/** The same for all threads of this process but this one, counted together. */
void fault_begin_beside(int number, int choice);

/** Let the next call of a function on another thread fail, after something is done there. */
void fault_refuse_beside(const char *function, void (*act)(void *context), void *context);

/** No more failures: the name of the function that failed, or NULL if there were fewer calls. */
const char *fault_end(void);

/** Let no call of this thread fail, nor be counted, for a while: what to go on with. */
int fault_pause(void);
void fault_resume(int left);

/** Do something on this thread just before its next call of a function. */
void fault_before(const char *function, void (*act)(void *context), void *context);

/** For a function that takes the place of another one: whether this call fails; errno says then with what. */
int fault_is_due(const char *function, const int *errors, size_t count);

/** How many blocks of memory are in use that came from here. */
long fault_blocks(void);

#endif
