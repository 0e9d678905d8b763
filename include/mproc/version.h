/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file version.h
 * @brief The version of the headers, and of the library that is linked.
 *
 * The build reads the three numbers below: they stand here and nowhere else.
 */
#ifndef MPROC_VERSION_H
#define MPROC_VERSION_H

#include "export.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Changes that break programs raise this number. */
#define MPROC_VERSION_MAJOR 0
/** Additions that leave programs as they are raise this number. */
#define MPROC_VERSION_MINOR 1
/** Corrections raise this number. */
#define MPROC_VERSION_PATCH 0

/** The version of these headers as one number that grows: major * 1000000 + minor * 1000 + patch. */
#define MPROC_VERSION_NUMBER (MPROC_VERSION_MAJOR * 1000000 + MPROC_VERSION_MINOR * 1000 + MPROC_VERSION_PATCH)

/**
 * Tell the version of the library that is linked.
 *
 * A program built against older headers may run with a newer shared library: this is the library's.
 *
 * @return "MAJOR.MINOR.PATCH", a constant string.
 * @remark Any thread, any process, also before mproc_initialize().
 */
MPROC_API const char *mproc_version(void);

/**
 * Tell the version of the library that is linked as a number to compare with MPROC_VERSION_NUMBER.
 *
 * @return major * 1000000 + minor * 1000 + patch.
 * @remark Any thread, any process, also before mproc_initialize().
 */
MPROC_API int mproc_version_number(void);

#ifdef __cplusplus
}
#endif

#endif
