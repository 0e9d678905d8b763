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
    mproc_conn_t *conns[MPROC_GIVE_MAX];
    size_t conn_count;
};

/** Make a call of a block: its connections are opened. The status has its text. */
apr_status_t call_open(mproc_call_t *call, boot_t *boot);

/** Close the connections that are still open. */
void call_close(mproc_call_t *call);

#endif
