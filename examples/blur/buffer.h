/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file buffer.h
 * @brief Bytes in memory, and their way from files and into files.
 */
#ifndef BLUR_BUFFER_H
#define BLUR_BUFFER_H

#include <stddef.h>

#include <apr_errno.h>
#include <apr_file_io.h>
#include <apr_pools.h>

/** Bytes in memory. All zero is an empty one. */
typedef struct buffer_t {
    unsigned char *data;
    size_t size;
} buffer_t;

/**
 * Add bytes at the end.
 *
 * @param buffer The buffer, for buffer_destroy().
 * @param data   The bytes.
 * @param size   How many.
 * @return APR_SUCCESS or APR_ENOMEM.
 */
apr_status_t buffer_append(buffer_t *buffer, const void *data, size_t size);

/**
 * Read a whole file.
 *
 * @param buffer The new buffer, for buffer_destroy(); empty on failure.
 * @param reason On failure: why, in words, from @p pool.
 * @param path   The file, in UTF-8. An empty one is refused, as is what is no regular file.
 * @param pool   For the call.
 * @return APR_SUCCESS or a status.
 */
apr_status_t buffer_read(buffer_t *buffer, const char **reason, const char *path, apr_pool_t *pool);

/**
 * Open a file that is to be read to somewhere else than a buffer.
 *
 * @param file   The file, for buffer_fill(); it is closed with @p pool at the latest.
 * @param size   How many bytes it has.
 * @param reason As for buffer_read().
 * @param path   As for buffer_read().
 * @param pool   For the file.
 * @return APR_SUCCESS or a status.
 */
apr_status_t buffer_open(apr_file_t **file, size_t *size, const char **reason, const char *path, apr_pool_t *pool);

/**
 * Read a file that buffer_open() has opened, and close it.
 *
 * @param memory Where to; NULL is refused, for want of memory.
 * @param size   For how many bytes there is room; how many there were, which may be fewer by now.
 * @param reason On failure: why, in words, from @p pool.
 * @param file   The file.
 * @param pool   For the call.
 * @return APR_SUCCESS or a status.
 */
apr_status_t buffer_fill(void *memory, size_t *size, const char **reason, apr_file_t *file, apr_pool_t *pool);

/**
 * Write a whole file. It appears complete or not at all.
 *
 * @param data      The bytes.
 * @param size      How many.
 * @param reason    On failure: why, in words, from @p pool.
 * @param path      The file, in UTF-8; replaced if it exists.
 * @param temporary The name that the file has while it is written, in the same folder. Nothing of this name is left,
 *                  unless the process is killed.
 * @param pool      For the call.
 * @return APR_SUCCESS or a status.
 */
apr_status_t buffer_write(const void *data, size_t size, const char **reason, const char *path, const char *temporary,
                          apr_pool_t *pool);

/**
 * Give a buffer's memory back.
 *
 * @param buffer The buffer; may be empty.
 */
void buffer_destroy(buffer_t *buffer);

#endif
