/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file shared_memory.h
 * @brief Memory by a name: for processes that are not related, in whatever language they are written.
 *
 * @code
 * mproc_shm_t *shm;
 * mproc_shm_create(&shm, "thermometer", sizeof(reading_t), NULL);
 * reading_t *reading = mproc_shm_data(shm);
 * reading->degrees = 21.5;
 *
 * mproc_shm_opts_t opts = {0};                                  ... in another program
 * opts.min_size = sizeof(reading_t);
 * mproc_shm_open(&shm, "thermometer", &opts);
 * const reading_t *reading = mproc_shm_data(shm);
 *
 * mproc_shm_close(shm);                                         ... each for itself
 * mproc_shm_unlink("thermometer");                              ... once, when nobody is to find it any more
 * @endcode
 *
 * This is what Python has as `multiprocessing.shared_memory.SharedMemory`, under the same names: either side can make
 * what the other one opens. (Up to Python 3.12, and later without `track=False`, a Python process that only opens a
 * segment unlinks it when that process ends, unless it calls `resource_tracker.unregister()`.) The processes of one
 * family need no names; see share.h for what they can have instead.
 *
 * **Its life.** Nobody owns a segment. To close it, to end, or to be killed ends nobody else's use of it, and does not
 * remove its name. On Unix a segment stays until its name is unlinked and all have closed it, so what a killed program
 * leaves behind stays by nature: choose a name that can be told, and unlink it before it is made anew. On Windows a
 * segment goes with the last process that has it open, its name with it, and to unlink it does nothing.
 *
 * **Its size.** A segment begins with zeros. Its memory is promised when it is made: a system that has too little says
 * so then, and not when it is written to. Whoever makes it has the size that was asked for; whoever opens it has that
 * size on Linux and the BSDs, and that size rounded up to whole pages on macOS and Windows.
 *
 * **What others may do.** A segment is its user's own: no other user can open it, and one of another user's is not
 * opened, unless `.any_user` is set. Programs of the same user can write whatever they want into it, at any time, so a
 * reader that must be safe from them copies a value and checks the copy. Nothing here takes turns either: use
 * atomic operations on aligned words, or a lock of what the programs have in common.
 *
 * **A segment that shrinks.** On Linux and the BSDs any program of the same user can make a segment smaller
 * (`ftruncate`). From then on the system answers whoever touches the part that is gone through mproc_shm_data() with
 * SIGBUS, which ends the process. mproc_shm_read() and mproc_shm_write() return MPROC_ESIZE instead: use these where
 * the other programs are not to be trusted that far. On macOS and Windows a segment cannot shrink.
 *
 * Every call that takes a segment returns APR_EINVAL for NULL, MPROC_ECLOSED for a handle that was closed or never was
 * one, and MPROC_EFOREIGN in a process that inherited the handle by fork; this is not repeated below. There the memory
 * itself is inherited too, at the same place, for as long as that process lives.
 */
#ifndef MPROC_SHARED_MEMORY_H
#define MPROC_SHARED_MEMORY_H

#include "types.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A segment of shared memory that this process has open. */
typedef struct mproc_shm_t mproc_shm_t;

/** The most bytes of a name that every platform takes; Linux, the BSDs and Windows take 250. */
#define MPROC_SHM_NAME_MAX 30

/** Options of a segment; all zeros are the defaults. */
typedef struct mproc_shm_opts_t {
    /** For mproc_shm_open(): a smaller segment is refused (MPROC_ESIZE). */
    size_t min_size;
    /**
     * For mproc_shm_open(): non-zero to open also what belongs to another user, if the system allows it. A name is
     * anybody's who comes first, so by default such a segment is not trusted (APR_EACCES).
     */
    int any_user;
    /** The segment is closed when this pool is cleared; its name stays. NULL: it stays until mproc_shm_close(). */
    apr_pool_t *pool;
} mproc_shm_opts_t;

/**
 * The call behind mproc_shm_create(); programs in other languages make it directly.
 *
 * @param shm       As there.
 * @param name      As there.
 * @param size      As there.
 * @param opts      As there.
 * @param opts_size `sizeof(mproc_shm_opts_t)` as the caller knows it.
 * @return As mproc_shm_create(); MPROC_EBUILD if the caller's options are larger than the library's.
 */
MPROC_API apr_status_t mproc_shm_create_sized(mproc_shm_t **shm, const char *name, size_t size,
                                              const mproc_shm_opts_t *opts, size_t opts_size);

/**
 * Make a segment that was not there before.
 *
 * @param shm  Where to store the handle; NULL on failure. Close it with mproc_shm_close().
 * @param name Its name, in UTF-8 and without '/' and '\'; not "", "." or "..". NULL: a new one, see mproc_shm_name().
 * @param size Its size in bytes, not 0.
 * @param opts Options, or NULL.
 * @return APR_SUCCESS; APR_EEXIST if the name is taken; APR_EINVAL for a bad name or size; APR_ENAMETOOLONG;
 *         APR_ENOMEM if there is not that much memory, or this process may not have it; MPROC_EINIT before
 *         mproc_initialize(); APR_ENOTIMPL where the system has no such memory; APR_EMFILE, APR_EACCES or another
 *         status of the system. After a failure the name is free.
 * @remark Any thread. A process that is killed in this call can leave the name without memory: mproc_shm_open() says
 *         MPROC_ESTATE then, and mproc_shm_unlink() removes it.
 */
static inline apr_status_t mproc_shm_create(mproc_shm_t **shm, const char *name, size_t size,
                                            const mproc_shm_opts_t *opts)
{
    return mproc_shm_create_sized(shm, name, size, opts, sizeof(mproc_shm_opts_t));
}

/**
 * The call behind mproc_shm_open(); programs in other languages make it directly.
 *
 * @param shm       As there.
 * @param name      As there.
 * @param opts      As there.
 * @param opts_size `sizeof(mproc_shm_opts_t)` as the caller knows it.
 * @return As mproc_shm_open(); MPROC_EBUILD if the caller's options are larger than the library's.
 */
MPROC_API apr_status_t mproc_shm_open_sized(mproc_shm_t **shm, const char *name, const mproc_shm_opts_t *opts,
                                            size_t opts_size);

/**
 * Open a segment that somebody has made, to read and to write.
 *
 * @param shm  Where to store the handle; NULL on failure. It is another one each time; close each.
 * @param name Its name, as for mproc_shm_create().
 * @param opts Options, or NULL.
 * @return APR_SUCCESS; APR_ENOENT if there is none; MPROC_ESTATE if it has no memory yet, as it is being made at this
 *         moment, or whoever made it was killed; MPROC_ESIZE if it is smaller than `.min_size`; APR_EACCES if it
 *         belongs to another user, or the system forbids it; APR_EINVAL for a bad name, or if what has the name is no
 *         shared memory; APR_ENAMETOOLONG; MPROC_EINIT before mproc_initialize(); APR_ENOMEM, APR_EMFILE or another
 *         status of the system.
 * @remark Any thread.
 */
static inline apr_status_t mproc_shm_open(mproc_shm_t **shm, const char *name, const mproc_shm_opts_t *opts)
{
    return mproc_shm_open_sized(shm, name, opts, sizeof(mproc_shm_opts_t));
}

/**
 * Tell where a segment is mapped. It lies somewhere else in each process, so do not keep pointers in it.
 *
 * @param shm The segment.
 * @return The first byte, aligned for every type; it is there until mproc_shm_close(). NULL if the handle is refused
 *         (see mproc_last_error()).
 * @remark Any thread. What can happen to those who touch it: see above.
 */
MPROC_API void *mproc_shm_data(mproc_shm_t *shm);

/**
 * Tell the size of a segment.
 *
 * @param shm The segment.
 * @return Its size in bytes when this process made or opened it; 0 if the handle is refused.
 * @remark Any thread.
 */
MPROC_API size_t mproc_shm_size(mproc_shm_t *shm);

/**
 * Tell the name of a segment, by which others open it.
 *
 * @param shm The segment.
 * @return The name, which lives until mproc_shm_close(); NULL if the handle is refused. It may have been unlinked.
 * @remark Any thread. Python takes it as it is; for C programs that call `shm_open` themselves put a '/' in front of
 *         it.
 */
MPROC_API const char *mproc_shm_name(mproc_shm_t *shm);

/**
 * Copy out of a segment, also if somebody makes it smaller meanwhile.
 *
 * @param shm    The segment.
 * @param offset Where to begin, in bytes.
 * @param buffer Where to copy to; NULL is allowed if @p size is 0.
 * @param size   How many bytes.
 * @return APR_SUCCESS; APR_EINVAL if they are not all inside of mproc_shm_size(); MPROC_ESIZE if the segment has
 *         become smaller: what @p buffer holds is anything then; APR_EBADF if this program has closed the descriptor of
 *         the segment (Unix).
 * @remark Any thread. Others may write at the same time: it is no atomic operation. It costs a call of the system
 *         where segments can shrink.
 */
MPROC_API apr_status_t mproc_shm_read(mproc_shm_t *shm, size_t offset, void *buffer, size_t size);

/**
 * Copy into a segment, also if somebody makes it smaller meanwhile.
 *
 * @param shm    The segment.
 * @param offset Where to begin, in bytes.
 * @param data   What to copy; NULL is allowed if @p size is 0.
 * @param size   How many bytes.
 * @return As mproc_shm_read(): nothing was written if the segment was too small before the call; some of it may have
 *         been if that happened meanwhile. APR_ENOMEM if its memory was given away and there is none.
 * @remark As mproc_shm_read().
 */
MPROC_API apr_status_t mproc_shm_write(mproc_shm_t *shm, size_t offset, const void *data, size_t size);

/**
 * Close a segment: this process has its memory no more. Its name stays, and so do the others that have it open.
 *
 * @param shm The segment; NULL is allowed and does nothing.
 * @return APR_SUCCESS; MPROC_ECLOSED if it was closed before, which does no harm.
 * @remark Any thread. No thread may touch mproc_shm_data() any more; calls that other threads are in are completed.
 */
MPROC_API apr_status_t mproc_shm_close(mproc_shm_t *shm);

/**
 * Remove a name: nobody can open the segment any more, and those who have it open keep it until they close it.
 *
 * It takes a name and not a handle, so that what a killed program has left can be removed without opening it. Whoever
 * makes a new segment under the same name afterwards makes another one.
 *
 * @param name The name, as for mproc_shm_create().
 * @return APR_SUCCESS; APR_ENOENT if there is none, so a second time does no harm; APR_EINVAL for a bad name;
 *         APR_ENAMETOOLONG; APR_EACCES if it is another user's.
 * @remark Any thread, also before mproc_initialize(). On Windows it does nothing and succeeds: there a name goes with
 *         the last handle.
 */
MPROC_API apr_status_t mproc_shm_unlink(const char *name);

#ifdef __cplusplus
}
#endif

#endif
