/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MPROC_TEST_PLUGIN_H
#define MPROC_TEST_PLUGIN_H

#include <mproc/call.h>

/* Marked by hand: MPROC_API marks what libmproc exports. */
PLUGIN_EXPORT mproc_target_t plugin_target(void);

#endif
