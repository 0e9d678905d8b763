/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file lines.h
 * @brief The lines of a text file.
 */
#ifndef PARALLEL_LINES_H
#define PARALLEL_LINES_H

#include <stddef.h>

#include <apr_file_io.h>

/** All lines of a file. */
typedef struct lines_t {
    /** The lines, without their ends. */
    const char **items;
    size_t count;
    /** How many of them have an end: all, or all but the last. */
    size_t whole_count;
    /** How many bytes of the file these take. */
    apr_off_t whole_size;
} lines_t;

/**
 * Read all lines of a file, from where it stands to its end.
 *
 * @param lines The lines.
 * @param file  The file, open for reading.
 * @param pool  Where they live.
 * @return APR_SUCCESS, or a status of the system.
 */
apr_status_t lines_read(lines_t *lines, apr_file_t *file, apr_pool_t *pool);

#endif
