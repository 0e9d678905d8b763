/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "unix.h"

/* Of linux/membarrier.h, which may be older than the kernel. */
enum { PRIVATE_EXPEDITED = 1 << 3, REGISTER_PRIVATE_EXPEDITED = 1 << 4 };

int sys_fences_all;

static long membarrier(int command)
{
#if defined(MPROC_HAVE_SYS_MEMBARRIER)
    return syscall(SYS_membarrier, command, 0, 0);
#else
    (void)command;
    return -1;
#endif
}

void sys_fence_initialize(void)
{
    sys_fences_all = membarrier(REGISTER_PRIVATE_EXPEDITED) == 0;
}

void sys_fence_all(void)
{
    if (sys_fences_all)
        membarrier(PRIVATE_EXPEDITED);
    else
        atomic_thread_fence(memory_order_seq_cst);
}
