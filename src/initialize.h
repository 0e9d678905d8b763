/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file initialize.h
 * @brief The state of the library as a whole.
 */
#ifndef MPROC_INITIALIZE_INTERNAL_H
#define MPROC_INITIALIZE_INTERNAL_H

#include <mproc/initialize.h>

#include "boot.h"

/** Whether mproc_initialize() was called in this process, or in the one that it was forked from. */
int library_is_initialized(void);

/** Make the library ready in a child; the status has its text. */
apr_status_t library_become_child(const boot_t *boot);

/** End the library in a child whose target has returned. */
void library_end_child(void);

#endif
