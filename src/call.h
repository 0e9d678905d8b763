/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file call.h
 * @brief What is behind mproc_call_t.
 */
#ifndef MPROC_CALL_INTERNAL_H
#define MPROC_CALL_INTERNAL_H

#include <mproc/call.h>

#include "boot.h"
#include "shared.h"

struct mproc_call_t {
    boot_t *boot;
    mproc_conn_t *conns[MPROC_GIVE_MAX];
    size_t conn_count;
    void *shares[MPROC_SHARE_MAX];
    size_t share_count;
    void (*at_end)(void); /* of the target, also when that ends its thread; or NULL */
};

/** Make a call of a block: its connections and objects are opened. The status has its text. */
apr_status_t call_open(mproc_call_t *call, boot_t *boot);

/** What kind of object is at a place of `.share`; 0: none. */
int call_share_kind(const mproc_call_t *call, size_t index);

/** Get an object that was shared with the target, for the public function `function`. */
void *call_share(mproc_call_t *call, size_t index, handle_kind_t kind, const char *function);

/** The target has ended, or does not begin: close the connections and objects that are still open. */
void call_close(mproc_call_t *call);

#endif
