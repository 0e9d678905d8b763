/* SPDX-License-Identifier: Apache-2.0 */
#include <stdatomic.h>

#include "win32.h"

int sys_fences_all;

void sys_fence_initialize(void)
{
    /* Wine has the call, but it need not do anything there. */
    sys_fences_all = win32_kernel_function("wine_get_version") == NULL;
}

void sys_fence_all(void)
{
    if (sys_fences_all)
        FlushProcessWriteBuffers();
    else
        atomic_thread_fence(memory_order_seq_cst);
}
