/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file start_method.h
 * @brief What the library needs of start methods beyond the public calls.
 */
#ifndef MPROC_START_METHOD_INTERNAL_H
#define MPROC_START_METHOD_INTERNAL_H

#include <mproc/start_method.h>

/** Read MPROC_START_METHOD, and fail as mproc_initialize() documents. */
apr_status_t start_method_initialize(void);

/** What mproc_set_start_method() chose, for children; MPROC_DEFAULT if nothing. */
mproc_start_method_t start_method_chosen(void);

/** Check a method that options name, and replace MPROC_DEFAULT; the status has its text. */
apr_status_t start_method_resolve(mproc_start_method_t *method);

#endif
