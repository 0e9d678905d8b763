/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>

#include "unix.h"

/* Static, so that a forked child that unlocks it touches a page that it touches anyway. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

void sys_lock(void)
{
    pthread_mutex_lock(&mutex);
}

void sys_unlock(void)
{
    pthread_mutex_unlock(&mutex);
}
