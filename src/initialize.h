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

/** Fail for the public function `call` if it was not; the status has its text. */
apr_status_t library_check_initialized(const char *call);

/** Make the library ready in a child; the status has its text. */
apr_status_t library_become_child(boot_t *boot);

/**
 * Get the pool for what stays as long as the process, made at the first call. It lies outside of APR's tree of pools,
 * which locks up in a child that is forked while another thread allocates. To be used while there is one thread.
 */
apr_status_t library_get_pool(apr_pool_t **pool);

/** End the library in a child whose target has returned; `is_last`: no functions of atexit() run after this. */
void library_end_child(int is_last);

#endif
