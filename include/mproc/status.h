/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file status.h
 * @brief Statuses: what a call can return, its text, and the full account of the last failure.
 *
 * A call returns APR_SUCCESS, one of APR's canonical statuses (APR_TIMEUP, APR_EOF, APR_ENOENT, APR_ENOMEM, ...; the
 * same situation gives the same status on every platform, so compare with ==), or one of the MPROC_E... statuses below.
 * What it was about, in words, tells mproc_last_error().
 */
#ifndef MPROC_STATUS_H
#define MPROC_STATUS_H

#include "types.h"

#ifdef __cplusplus
extern "C" {
#endif

/** mproc's own statuses are the numbers just above this one; APR leaves the range to applications. */
#define MPROC_STATUS_BASE (APR_OS_START_USERERR + 20000)

/**
 * The one table of mproc's own statuses: X(name, text). The enum, mproc_status_name() and mproc_strerror() are all
 * made from it. New rows go to the end, so that numbers never change.
 */
#define MPROC_STATUS_MAP(X)                                                                                            \
    X(EINIT, "mproc_initialize was not reached in this process or in its child")                                       \
    X(ESTATE, "the object is not in a state that allows this call")                                                    \
    X(ECLOSED, "not an open object of this kind: closed before, or never one")                                         \
    X(EFOREIGN, "the object belongs to another process")                                                               \
    X(ETARGET, "the function cannot be reached from another process")                                                  \
    X(EBUILD, "another build of the program, a module, or the library")                                                \
    X(ESTARTUP, "the child ended before its target ran")                                                               \
    X(EEXITUNKNOWN, "the exit code was taken by other code of this program")                                           \
    X(EEXITCODE, "the program has ended with another exit code than 0")                                                \
    X(ESIZE, "the data has another size than the caller expects")                                                      \
    X(ETOOBIG, "the message is longer than there is room for")                                                         \
    X(ETRUNCATED, "the connection ended in the middle of a message")                                                   \
    X(EUNFINISHED, "the time was up in the middle of a message, whose rest was kept")                                  \
    X(EBROKEN, "an earlier failure in the middle of a message has broken the connection")                              \
    X(EPROTOCOL, "what came through the connection is not a message")                                                  \
    X(EATTACHED, "the message has attachments, which this call cannot receive")                                        \
    X(EDIRECTION, "this end of the connection has the other direction")                                                \
    X(EGONE, "what was referred to exists no more")                                                                    \
    X(EOWNERDEAD, "the process that had the lock has ended, and it is the caller's now")                               \
    X(EFULL, "there is no room for another one")                                                                       \
    X(EBROKENBARRIER, "the barrier is broken")                                                                         \
    X(ETYPE, "the value has another type than the caller expects")                                                     \
    X(ECORRUPT, "what was found in shared memory is not what should be there")                                         \
    X(ETASK, "the task's function says that it failed")                                                                \
    X(EWORKERDIED, "the worker has ended while it ran the task")                                                       \
    X(ETASKTIMEUP, "the task took longer than it may")                                                                 \
    X(ECANCELLED, "the task was cancelled")                                                                            \
    X(ETERMINATED, "the pool was terminated")                                                                          \
    X(EBROKENPOOL, "the pool has no workers any more, and cannot have any")                                            \
    X(EDEADLOCK, "the call would wait for what waits for its caller")

/** mproc's own statuses, to be compared with the `apr_status_t` that a call returned. */
typedef enum mproc_status_t {
/** Makes one enumerator of a row of MPROC_STATUS_MAP. */
#define MPROC_STATUS_ENUMERATOR(name, text) MPROC_##name,
    /** Not a status: where the numbers start. */
    MPROC_STATUS_START = MPROC_STATUS_BASE,
    MPROC_STATUS_MAP(MPROC_STATUS_ENUMERATOR)
    /** Not a status: where the numbers end. */
    MPROC_STATUS_END
#undef MPROC_STATUS_ENUMERATOR
} mproc_status_t;

/** The full account of a failure. It can grow at its end; never declare one, take what mproc_last_error() returns. */
typedef struct mproc_error_t {
    /** What the failed call returned. */
    apr_status_t status;
    /** What the operating system said (errno, GetLastError()), or 0 if it was not asked. */
    int native;
    /** One line that names what failed, for whom, and why; never NULL. */
    const char *text;
} mproc_error_t;

/**
 * Tell the last failure of an mproc call on this thread.
 *
 * A call that returns a status and succeeds leaves it as it is: read it after a failure. A call that returns something
 * else, and can be refused, resets it to APR_SUCCESS when it is not, so a 0 can be told from a refusal.
 *
 * @return The account, never NULL; its status is APR_SUCCESS if nothing has failed on this thread. It belongs to the
 *         thread and is overwritten by the thread's next failure.
 * @remark Any thread, any process, also before mproc_initialize().
 */
MPROC_API const mproc_error_t *mproc_last_error(void);

/**
 * Describe a status, mproc's own or APR's, in general words; mproc_last_error() knows what it was about.
 *
 * @param status The status.
 * @param buffer Where to write the text, cut to fit and always terminated.
 * @param size   The size of @p buffer in bytes.
 * @return @p buffer, or "" if @p buffer is NULL or @p size is 0.
 * @remark Any thread, any process, also before mproc_initialize().
 */
MPROC_API const char *mproc_strerror(apr_status_t status, char *buffer, size_t size);

/**
 * Name one of mproc's own statuses as it stands in a program, such as "MPROC_ESTATE".
 *
 * @param status The status.
 * @return A constant string; NULL if the status is not mproc's own.
 * @remark Any thread, any process, also before mproc_initialize().
 */
MPROC_API const char *mproc_status_name(apr_status_t status);

#ifdef __cplusplus
}
#endif

#endif
