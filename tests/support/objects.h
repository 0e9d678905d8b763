/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file objects.h
 * @brief Shared objects of all kinds: what is the same for each of them, and a look at the family.
 */
#ifndef MPROC_TEST_OBJECTS_H
#define MPROC_TEST_OBJECTS_H

#include "messages.h"

/** A kind of shared objects. */
typedef struct object_kind_t {
    const char *noun;
    /** Make one at which threads wait until it is closed: a lock that this process has, a semaphore of 0, and so on. */
    apr_status_t (*create)(void **object, const char *name, apr_pool_t *pool);
    apr_status_t (*open)(void **object, const mproc_ref_t *ref, apr_pool_t *pool);
    apr_status_t (*close)(void *object);
    apr_status_t (*wait)(void *object, apr_interval_time_t timeout);
    /** Get one that was given as `.share`. */
    void *(*given)(mproc_call_t *call, size_t index);
    /** It has no name, and who waits does so at what it is an end of. */
    int is_end;
} object_kind_t;

enum {
    OF_LOCK,
    OF_SEMAPHORE,
    OF_EVENT,
    OF_CONDITION,
    OF_BARRIER,
    OF_SHARED,
    OF_QUEUE,
    OF_PUTTER,
    OF_GETTER,
    OBJECT_KINDS
};

/** How many objects one of each kind is: a condition has a lock, and so has shared data; an end has a queue. */
enum { OBJECTS_OF_ALL_KINDS = OBJECT_KINDS + 4 };

extern const object_kind_t object_kinds[OBJECT_KINDS];

/** Make one, or fail the test. */
void *make_object(const object_kind_t *kind);

/** A reference to one. */
mproc_ref_t ref_of(void *object);

/** A thread that waits at an object, without a timeout if none is said. */
typedef struct waiting_thread_t {
    const object_kind_t *kind;
    void *object;
    apr_interval_time_t timeout;
    apr_status_t status;
    later_t later;
} waiting_thread_t;

void begin_waiting(waiting_thread_t *thread, const object_kind_t *kind, void *object, apr_interval_time_t timeout);

/** Wait until it is done: what it got. */
apr_status_t end_waiting(waiting_thread_t *thread);

/** What mproc_dump() says now. It is overwritten by the next one. */
const char *dump_family(void);

/** How many lines of mproc_dump() hold a word. */
int count_lines(const char *word);

/** Wait until so many lines hold a word; the test fails if that takes too long. */
void await_lines(const char *word, int count);

/** Wait until so many threads of the family wait for something. */
void await_waiting(int count);

/** See that the family has no objects, and uses no memory. */
void expect_no_objects(void);

/** How many objects the family has. */
int count_objects(void);

/** Run a function on several threads at once, each with its number; how many said that something was wrong. */
int run_threads(int count, int (*run)(int number, void *context), void *context);

#endif
