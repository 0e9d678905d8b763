/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file local.h
 * @brief Values that each thread has for itself, and that are destroyed when the thread ends.
 *
 * @code
 * static mproc_local_t *buffers;
 *
 * static char *my_buffer(void)
 * {
 *     char *buffer = mproc_local_get(buffers);
 *     if (!buffer && (buffer = malloc(BUFFER_SIZE)) && mproc_local_set(buffers, buffer) != APR_SUCCESS) {
 *         free(buffer);
 *         buffer = NULL;
 *     }
 *     return buffer;
 * }
 *
 * mproc_local_create(&buffers, free, NULL);
 * @endcode
 *
 * A local is one pointer for each thread of this process, NULL at first. It is for what is not known when the program
 * is compiled, unlike C11's `_Thread_local`, and for what must be destroyed, which that does not do; and unlike
 * `pthread_key_create` or `TlsAlloc` it is the same everywhere, there may be any number, and nothing that was set is
 * lost. It is meant for threads as Python's `threading.local` is, and knows all of them, whoever has started them.
 *
 * **Destructors.** A value that is not NULL is handed to the destructor once, if there is one:
 * - when its thread ends: in that thread, after the thread's function. The local has no value there by then. In which
 *   order those of several locals are called is not said. A destructor may set values, of this local or others, which
 *   are destroyed as well: in up to 16 rounds, for it could go on for ever. What is set in the last one stays.
 * - when a target returns: in the thread that ran it, under every start method, and before the process counts as
 *   ended. (Not with mproc_process_run(), which runs it in a thread that goes on.)
 * - when the local is closed: those of all threads, in the thread that closes it.
 *
 * It is not when the program ends, by `exit` or because main returns: the main thread's values, and those of threads
 * that go on until then, stay as they are. (A main thread that leaves by `pthread_exit` or `ExitThread` ends as any
 * other.) Nor is it when another value is set: whoever does that has the old one, and destroys it. mproc_terminate()
 * leaves locals alone. In a library that is unloaded while threads have values these stay as they are, too.
 *
 * **Children.** A child by fork has its creator's locals, and a copy of the values of the thread that forked, since
 * that is the one which goes on in it. It can use, replace and close them, but that its target returns does not destroy
 * what it has not set itself: a file, say, is still its creator's. The values of all other threads are none of the
 * child's: somebody may have been changing them, so they are not destroyed there. Other children begin without locals;
 * a handle means nothing in them.
 */
#ifndef MPROC_LOCAL_H
#define MPROC_LOCAL_H

#include "types.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A place for a value of each thread. */
typedef struct mproc_local_t mproc_local_t;

/**
 * Make a local.
 *
 * @param local      Where to store the handle; NULL on failure. Close it with mproc_local_close().
 * @param destructor Called for each value that is not NULL, as said above; NULL for none. It may use mproc.
 * @param pool       The local is closed, and its values are destroyed, when this pool is cleared; NULL: it stays until
 *                   mproc_local_close().
 * @return APR_SUCCESS; MPROC_EINIT before mproc_initialize(); APR_EINVAL; APR_ENOMEM.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_local_create(mproc_local_t **local, void (*destructor)(void *value), apr_pool_t *pool);

/**
 * Set this thread's value. What it was before is not destroyed.
 *
 * @param local The local.
 * @param value The value; NULL for none.
 * @return APR_SUCCESS; APR_EINVAL for NULL as local; MPROC_ECLOSED if it was closed, or never was one; APR_ENOMEM, then
 *         the value is as before. For NULL, and for a local that had a value in this thread before, there always is
 *         memory.
 * @remark Any thread. On Windows the system ends one thread at a time, so a destructor must not wait there for another
 *         thread's end. Where a thread has fibers, its values are those of all of them, and they are destroyed when the
 *         fiber is deleted that ran when the first one was set.
 */
MPROC_API apr_status_t mproc_local_set(mproc_local_t *local, void *value);

/**
 * Get this thread's value.
 *
 * @param local The local.
 * @return What this thread has set last; NULL if it has set nothing, or if the handle is refused: then
 *         mproc_last_error() says MPROC_ECLOSED, or APR_EINVAL for NULL, and otherwise APR_SUCCESS.
 * @remark Any thread.
 */
MPROC_API void *mproc_local_get(mproc_local_t *local);

/**
 * Close a local: the values that threads have are handed to its destructor, here, one after another.
 *
 * When it returns, no destructor of this local is running or will be called, so what belongs to it may be unloaded. For
 * that it waits for those that are running in threads which are just ending; but not if it is called by a destructor
 * itself, of whatever local, lest two of them wait for each other.
 *
 * @param local The local; NULL is allowed and does nothing.
 * @return APR_SUCCESS; MPROC_ECLOSED if it was closed before, which does no harm; it may still be being closed by
 *         another thread then.
 * @remark Any thread, while none uses a value that it has got.
 */
MPROC_API apr_status_t mproc_local_close(mproc_local_t *local);

#ifdef __cplusplus
}
#endif

#endif
