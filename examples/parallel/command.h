/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file command.h
 * @brief The command for a line of input.
 */
#ifndef PARALLEL_COMMAND_H
#define PARALLEL_COMMAND_H

#include <apr_pools.h>

/**
 * Put a line into a command.
 *
 * @param pattern The command and its arguments, with a NULL after the last.
 * @param line    What "{}" in them stands for; the last argument if there is no "{}".
 * @param pool    Where the result lives.
 * @return The command and its arguments, with a NULL after the last.
 */
const char *const *command_for_line(const char *const *pattern, const char *line, apr_pool_t *pool);

#endif
