/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#if defined(MPROC_BENCH_MQ)
#include <mqueue.h>
#endif

#include "queue_kinds.h"

static void *map(size_t size)
{
    void *mapped = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return mapped == MAP_FAILED ? NULL : mapped;
}

/* ---- A ring, a mutex and two conditions -------------------------------------------------------------------------- */

typedef struct guarded_t {
    pthread_mutex_t mutex;
    pthread_cond_t filled;
    pthread_cond_t emptied;
    size_t size;
    size_t capacity;
    size_t first;
    size_t count;
    unsigned char items[];
} guarded_t;

static void *make_guarded(size_t size, size_t capacity)
{
    pthread_mutexattr_t of_mutex;
    pthread_condattr_t of_condition;
    guarded_t *queue = map(sizeof *queue + size * capacity);
    if (!queue || pthread_mutexattr_init(&of_mutex) != 0 || pthread_condattr_init(&of_condition) != 0)
        return NULL;
    queue->size = size;
    queue->capacity = capacity;
    const int failed = pthread_mutexattr_setpshared(&of_mutex, PTHREAD_PROCESS_SHARED) != 0 ||
                       pthread_condattr_setpshared(&of_condition, PTHREAD_PROCESS_SHARED) != 0 ||
                       pthread_mutex_init(&queue->mutex, &of_mutex) != 0 ||
                       pthread_cond_init(&queue->filled, &of_condition) != 0 ||
                       pthread_cond_init(&queue->emptied, &of_condition) != 0;
    pthread_mutexattr_destroy(&of_mutex);
    pthread_condattr_destroy(&of_condition);
    return failed ? NULL : queue;
}

static int put_guarded(void *of, const void *data, size_t size)
{
    guarded_t *queue = of;
    pthread_mutex_lock(&queue->mutex);
    while (queue->count == queue->capacity)
        pthread_cond_wait(&queue->emptied, &queue->mutex);
    memcpy(queue->items + (queue->first + queue->count) % queue->capacity * queue->size, data, size);
    queue->count++;
    pthread_mutex_unlock(&queue->mutex);
    return pthread_cond_signal(&queue->filled);
}

static int get_guarded(void *of, void *data, size_t size)
{
    guarded_t *queue = of;
    pthread_mutex_lock(&queue->mutex);
    while (queue->count == 0)
        pthread_cond_wait(&queue->filled, &queue->mutex);
    memcpy(data, queue->items + queue->first * queue->size, size);
    queue->first = (queue->first + 1) % queue->capacity;
    queue->count--;
    pthread_mutex_unlock(&queue->mutex);
    return pthread_cond_signal(&queue->emptied);
}

const queue_kind_t queue_mutex = {"mutex", make_guarded, put_guarded, get_guarded};

/* ---- A POSIX message queue --------------------------------------------------------------------------------------- */

#if defined(MPROC_BENCH_MQ)
static void *make_mq(size_t size, size_t capacity)
{
    /* What anybody may have; more is for those who may raise their limits. */
    enum { CAPACITY_OF_ALL = 10 };
    const struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
    struct mq_attr attributes = {.mq_maxmsg = (long)capacity, .mq_msgsize = (long)size};
    char name[64];
    mqd_t *queue = malloc(sizeof *queue);
    if (!queue)
        return NULL;
#if defined(RLIMIT_MSGQUEUE)
    setrlimit(RLIMIT_MSGQUEUE, &unlimited);
#else
    (void)unlimited;
#endif
    snprintf(name, sizeof name, "/mproc-bench-%ld-%zu", (long)getpid(), size);
    *queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
    if (*queue == (mqd_t)-1 && capacity > CAPACITY_OF_ALL) {
        attributes.mq_maxmsg = CAPACITY_OF_ALL;
        *queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
    }
    mq_unlink(name);
    if (*queue != (mqd_t)-1)
        return queue;
    free(queue);
    return NULL;
}

static int put_mq(void *queue, const void *data, size_t size)
{
    return mq_send(*(mqd_t *)queue, data, size, 0);
}

static int get_mq(void *queue, void *data, size_t size)
{
    return mq_receive(*(mqd_t *)queue, data, size, NULL) == (ssize_t)size ? 0 : -1;
}
#else
static void *make_mq(size_t size, size_t capacity)
{
    (void)size;
    (void)capacity;
    return NULL;
}

#define put_mq NULL
#define get_mq NULL
#endif

const queue_kind_t queue_mq = {"mq", make_mq, put_mq, get_mq};

/* ---- A pipe ------------------------------------------------------------------------------------------------------ */

static void *make_pipe(size_t size, size_t capacity)
{
    int *ends = malloc(2 * sizeof *ends);
    (void)size;
    (void)capacity;
    if (!ends || pipe(ends) == 0)
        return ends;
    free(ends);
    return NULL;
}

static int put_to_pipe(void *queue, const void *data, size_t size)
{
    const char *from = data;
    while (size > 0) {
        const ssize_t written = write(((int *)queue)[1], from, size);
        if (written <= 0)
            return -1;
        from += written;
        size -= (size_t)written;
    }
    return 0;
}

static int get_from_pipe(void *queue, void *data, size_t size)
{
    char *to = data;
    while (size > 0) {
        const ssize_t got = read(((int *)queue)[0], to, size);
        if (got <= 0)
            return -1;
        to += got;
        size -= (size_t)got;
    }
    return 0;
}

const queue_kind_t queue_pipe = {"pipe", make_pipe, put_to_pipe, get_from_pipe};
