/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file family.h
 * @brief The family of processes that share objects: its memory, and a look at it.
 *
 * The memory is made when the first process starts a child, or makes the first object. It is large, but takes from the
 * system only what is used.
 */
#ifndef MPROC_FAMILY_H
#define MPROC_FAMILY_H

#include <stdio.h>

#include "types.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Say how large the family's memory is to be. Without this it is what the environment variable MPROC_ARENA_SIZE says,
 * in bytes, or else the platform's default: 64 GiB on 64-bit Unix, 1 GiB on Windows, 256 MiB on 32 bits, or half of
 * what the process's limits allow; less where the system has no room for so much.
 *
 * @param size Its size in bytes; it is rounded up to 64 KiB. 0 for the default.
 * @return APR_SUCCESS; MPROC_ESTATE if the family has its memory already; APR_EINVAL if it is too small for its tables
 *         (some 6 MiB), or larger than this machine can address.
 * @remark Any thread of the first process, before or after mproc_initialize().
 */
MPROC_API apr_status_t mproc_set_arena_size(uint64_t size);

/**
 * Join the family of another process of the same user, such as one that is to be looked at with mproc_dump().
 *
 * @param pid The process id of one of its members.
 * @return APR_SUCCESS; MPROC_ESTATE if this process has a family of its own already: it was started by mproc, or has
 *         started a child or made an object; APR_ENOENT or APR_EACCES if there is no such process, it has no family, or
 *         it is another user's; APR_ENOTIMPL where no process can reach into another (macOS and the BSDs); MPROC_EBUILD
 *         if it has another build of the library; MPROC_EPROTOCOL if its memory is damaged; otherwise as
 *         mproc_lock_create().
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_family_join(int pid);

/** How the family's memory is used. */
typedef struct mproc_family_info_t {
    /** Its size in bytes. */
    uint64_t size;
    /** What blocks are in use, in bytes. */
    uint64_t used;
    /** How many objects there are. */
    uint64_t objects;
    /** How many processes are members. */
    unsigned members;
    /** For later versions; zero. */
    uint64_t reserved[4];
} mproc_family_info_t;

/**
 * Tell how the family's memory is used.
 *
 * @param info Where to store it; all zero if there is no such memory yet.
 * @return APR_SUCCESS; APR_EINVAL; otherwise as mproc_lock_create(), as this process becomes a member by that.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_family_info(mproc_family_info_t *info);

/**
 * Describe the family in lines of text: its members and their state, its objects, who owns which lock, who waits for
 * what and since when; a circle of processes that wait for one another is named as a deadlock.
 *
 * @param line    Called with each line, with its line feed and a zero behind it.
 * @param context For @p line.
 * @return APR_SUCCESS; otherwise as mproc_family_info().
 * @remark Any thread of any member; not a signal handler. What others do meanwhile may be seen in part.
 */
MPROC_API apr_status_t mproc_dump(void (*line)(void *context, const char *text), void *context);

/**
 * Write a line to a stream of the program's: what mproc_dump_to() gives to mproc_dump().
 *
 * @param stream The `FILE *`.
 * @param text   The line.
 * @remark Any thread.
 */
static inline void mproc_dump_line(void *stream, const char *text)
{
    fputs(text, (FILE *)stream);
}

/**
 * Describe the family as mproc_dump() does, to a stream.
 *
 * @param stream The stream, such as stderr.
 * @return As mproc_dump().
 * @remark Any thread.
 */
static inline apr_status_t mproc_dump_to(FILE *stream)
{
    return mproc_dump(mproc_dump_line, stream);
}

#ifdef __cplusplus
}
#endif

#endif
