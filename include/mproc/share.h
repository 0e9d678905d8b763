/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file share.h
 * @brief Objects that the processes of a family share: how one process names them to another.
 *
 * A family is a first process and all that descend from it by mproc, whatever their start methods. Locks, semaphores,
 * events, conditions, barriers, queues and shared data are shared by a family: every member that has one open uses the
 * same. They lie in memory that all members have, cost no descriptor and no name in the system, and stay as long as any
 * member has them open, whoever made them. What a member has open when it ends, or is killed, is released.
 *
 * There are two ways to give one to another process:
 * - As `.share` of a process that is started: the child has it open before its target runs, and gets it by
 *   mproc_call_lock() and so on. These are handles of its own, also under the start method thread.
 * - As a reference, which is plain bytes: in a message, in a struct, in a file. Whoever gets it opens the object by
 *   mproc_lock_open() and so on. A reference does not keep its object: if nobody has it open any more, opening it says
 *   so (MPROC_EGONE). So keep it open until the receiver has answered.
 *
 * All of a process's threads may use the same handle. A child by fork may use the handles that its creator had, too, as
 * long as somebody has the object open when it does so first. Programs that are not started by mproc (by exec, or
 * mproc_subprocess_start()) are no members. Every member can open references, also to objects that are younger than it.
 *
 * What objects guard must lie where the processes share it, in shared data (shared_data.h) or in a file for instance:
 * memory of one process, global variables among it, is that process's alone.
 *
 * **Deaths.** Once a process was joined, its end has been noticed by all objects. Otherwise those who wait notice it,
 * for locks, also those of shared data, within 100 milliseconds. In families with more than some 20 members, or threads
 * that wait, it can take some seconds, if one of those who wait dies as well. For barriers, conditions and owned
 * semaphores one of those who wait asks about eight members every 100 milliseconds, or about a fortieth of them, so it
 * is told of a death within some four seconds in large families. Who is stopped (by SIGSTOP, or a debugger) lives, and
 * keeps what it has; who executes another program is still the same process.
 *
 * A handle is recognised as closed or foreign and refused, never dereferenced. Every call that takes one returns
 * APR_EINVAL for NULL, and MPROC_ECLOSED for a handle that was closed or never was one of its kind. In a child by fork
 * the first call that takes one returns MPROC_EGONE if the object is gone, or else what mproc_lock_create() returns if
 * the child cannot become a member. This is not repeated below. Closing a handle ends the calls that other threads of
 * this process are waiting in, with MPROC_ECLOSED. No signal ends a call that waits.
 */
#ifndef MPROC_SHARE_H
#define MPROC_SHARE_H

#include "types.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Names a shared object to other members of its family. */
typedef struct mproc_ref_t {
    /** The family. */
    uint64_t family[2];
    /** Where it lies in the family's memory. */
    uint64_t place;
    /** Its number, which no other object of the family ever has. */
    uint64_t serial;
} mproc_ref_t;

/** The most bytes of an object's name that are kept; the rest of a longer one is not. */
#define MPROC_OBJECT_NAME_MAX 23

/** The most objects that one process can be given as `.share`; references in its data have no such limit. */
#define MPROC_SHARE_MAX 32

/**
 * Make a reference to a shared object.
 *
 * @param ref    Where to store it; all zero on failure.
 * @param object The handle of a lock, a semaphore, an event, a condition, a barrier, a queue, an end of a queue, or of
 *               shared data (and not a pointer to one).
 * @return APR_SUCCESS; APR_EINVAL; MPROC_ECLOSED.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_ref(mproc_ref_t *ref, void *object);

#ifdef __cplusplus
}
#endif

#endif
