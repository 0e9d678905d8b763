/* SPDX-License-Identifier: Apache-2.0 */
/* No thread can issue fences for others: each issues its own. */
#include <stdatomic.h>

#include "unix.h"

int sys_fences_all;

void sys_fence_initialize(void)
{
}

void sys_fence_all(void)
{
    atomic_thread_fence(memory_order_seq_cst);
}
