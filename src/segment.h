/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file segment.h
 * @brief Shared memory by name: what segments and the lists in them have in common.
 */
#ifndef MPROC_SEGMENT_H
#define MPROC_SEGMENT_H

#include <mproc/shared_memory.h>

#include "handle.h"
#include "sys.h"

/** The longest name that some platform takes. */
enum { SEGMENT_NAME_MAX = 250 };

/** A segment that this process has open. */
typedef struct segment_t {
    sys_segment_t memory;
    char name[SEGMENT_NAME_MAX + 1];
} segment_t;

/* For the public function `call`; after a failure the status has its text. */

/** Make a segment; NULL for a new name. */
apr_status_t segment_create(segment_t *segment, const char *name, size_t size, const char *call);

/** Open a segment. */
apr_status_t segment_open(segment_t *segment, const char *name, const mproc_shm_opts_t *options, const char *call);

apr_status_t segment_read(const segment_t *segment, size_t offset, void *buffer, size_t size, const char *call);
apr_status_t segment_write(const segment_t *segment, size_t offset, const void *data, size_t size, const char *call);

void segment_close(segment_t *segment);

/** Remove the name of one that was made just now and is not to be. */
void segment_remove(segment_t *segment);

/** Take options whose size is the caller's. */
apr_status_t segment_take_options(mproc_shm_opts_t *options, const mproc_shm_opts_t *opts, size_t opts_size,
                                  const char *call);

/** What objects with a segment begin with. */
typedef struct segment_holder_t {
    void *handle;
    int owner; /* the process that has made it */
    segment_t segment;
} segment_holder_t;

/** Give an object a handle, which is closed with a pool, if there is one. NULL: no memory; without a text. */
void *segment_publish(segment_holder_t *holder, handle_kind_t kind, handle_destroy_t destroy, apr_pool_t *pool);

/** Get the object behind a handle, in the process that has made it; `noun` is what it is. */
apr_status_t segment_acquire(segment_holder_t **holder, void *handle, handle_kind_t kind, const char *noun,
                             const char *call);

/** Close a handle; NULL is allowed. */
apr_status_t segment_close_handle(void *handle, handle_kind_t kind, const char *noun, const char *call);

/** Close all of this process's, at the end of the library. */
void segment_close_all(void);

#endif
