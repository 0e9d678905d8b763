/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file target.h
 * @brief Functions as targets: from an address here to the same function in another process.
 */
#ifndef MPROC_TARGET_H
#define MPROC_TARGET_H

#include <mproc/call.h>

#include "sys.h"

/** Find the place of a target; the status has its text: MPROC_ETARGET if it lies in no module. */
apr_status_t target_locate(sys_place_t *place, mproc_target_t target);

/** Find the target at a place, loading its module if need be; the status has its text: MPROC_ETARGET, MPROC_EBUILD. */
apr_status_t target_find(mproc_target_t *target, const sys_place_t *place);

#endif
