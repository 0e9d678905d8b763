/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file log.h
 * @brief What the library needs of logging beyond the public calls.
 */
#ifndef MPROC_LOG_INTERNAL_H
#define MPROC_LOG_INTERNAL_H

#include <mproc/log.h>

/** The level that children are to log to stderr with; MPROC_LOG_OFF if they are not. */
mproc_log_level_t log_inherited_level(void);

#endif
