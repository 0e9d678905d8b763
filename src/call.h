/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file call.h
 * @brief What is behind mproc_call_t.
 */
#ifndef MPROC_CALL_INTERNAL_H
#define MPROC_CALL_INTERNAL_H

#include <mproc/call.h>

#include "boot.h"

struct mproc_call_t {
    boot_t *boot;
};

#endif
