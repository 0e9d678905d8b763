/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file types.h
 * @brief What every other header uses: statuses and times from APR, native handles, timeouts.
 *
 * One order of parameters holds in the whole library: the object (or the place for a new one) first, options and a
 * timeout last. A function that does something returns an `apr_status_t`; one that only tells something returns that,
 * with a value that stands for "no" when it is refused. Either way mproc_last_error() has the account; see status.h.
 */
#ifndef MPROC_TYPES_H
#define MPROC_TYPES_H

#include <stddef.h>
#include <stdint.h>

#include <apr_errno.h>
#include <apr_pools.h>
#include <apr_time.h>

#include "export.h"

/** A timeout that never runs out. Any negative timeout means the same; 0 means: try once, do not wait. */
#define MPROC_FOREVER ((apr_interval_time_t)-1)

/** A timeout of @p n seconds; fractions are allowed. */
#define MPROC_SECONDS(n) ((apr_interval_time_t)((n)*APR_INT64_C(1000000)))

/** A timeout of @p n milliseconds; fractions are allowed. */
#define MPROC_MILLISECONDS(n) ((apr_interval_time_t)((n)*APR_INT64_C(1000)))

/**
 * What the operating system calls an open object: a file descriptor on Unix, a `HANDLE` on Windows.
 * Cast it to `int` or to `HANDLE` to use it with the system's own calls, and a `HANDLE` to it to pass one here.
 */
typedef intptr_t mproc_os_handle_t;

/** One end of a connection; see connection.h. */
typedef struct mproc_conn_t mproc_conn_t;

/** No handle at all. */
#define MPROC_NO_HANDLE ((mproc_os_handle_t)-1)

#endif
