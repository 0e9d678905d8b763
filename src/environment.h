/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file environment.h
 * @brief Environments of children: this process's own or another, with changes.
 */
#ifndef MPROC_ENVIRONMENT_H
#define MPROC_ENVIRONMENT_H

#include <stddef.h>

#include <apr_errno.h>

/**
 * Put an environment together: one allocation for free(). The status has its text.
 *
 * @param list    "NAME=value" strings with NULL at the end.
 * @param base    What to start from; NULL for this process's.
 * @param changes "NAME=value" sets, "NAME" removes; NULL for none.
 */
apr_status_t environment_build(char ***list, const char *const *base, const char *const *changes);

/**
 * Make a list of strings that lie back to back and end with an empty one, in place: one allocation, NULL without
 * memory.
 */
char **environment_list(char *strings, size_t size);

#endif
