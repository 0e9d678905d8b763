/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linux: the kernel ends a child with the *thread* that started it. The main thread ends with the process; programs
 * that others start are started for them by a thread that lives as long as the library.
 */
#include <pthread.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "unix.h"

/** What another thread wants to be started. */
typedef struct request_t {
    pid_t *pid;
    unix_spawn_t *spawn;
    apr_status_t status;
    int is_done;
} request_t;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pthread_t thread;
static int is_running;
static int is_ending;
static request_t *request;

static apr_status_t spawn_here(pid_t *pid, unix_spawn_t *spawn)
{
    /* No descriptor to follow: the thread's end is what counts. */
    const unix_lifeline_t line = {.parent = getpid(), .held = -1, .followed = -1};
    spawn->lifeline = &line;
    const apr_status_t status = unix_spawn(pid, spawn);
    spawn->lifeline = NULL;
    return status;
}

static void *serve(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&mutex);
    while (!is_ending) {
        request_t *taken = request;
        if (taken && !taken->is_done) {
            pthread_mutex_unlock(&mutex);
            taken->status = spawn_here(taken->pid, taken->spawn);
            pthread_mutex_lock(&mutex);
            taken->is_done = 1;
            pthread_cond_broadcast(&changed);
        } else {
            pthread_cond_wait(&changed, &mutex);
        }
    }
    pthread_mutex_unlock(&mutex);
    return NULL;
}

/** Have the thread run, with the lock held; the program's signals are not for it. */
static apr_status_t have_thread(void)
{
    if (is_running)
        return APR_SUCCESS;
    sys_hold_signals();
    const apr_status_t status = pthread_create(&thread, NULL, serve, NULL);
    sys_let_signals();
    is_running = status == APR_SUCCESS;
    return status;
}

apr_status_t unix_starter_spawn(pid_t *pid, unix_spawn_t *spawn)
{
    request_t mine = {.pid = pid, .spawn = spawn};
    if (syscall(SYS_gettid) == getpid())
        return spawn_here(pid, spawn);
    pthread_mutex_lock(&mutex);
    while (request || is_ending)
        pthread_cond_wait(&changed, &mutex);
    apr_status_t status = have_thread();
    if (status == APR_SUCCESS) {
        request = &mine;
        pthread_cond_broadcast(&changed);
        while (!mine.is_done)
            pthread_cond_wait(&changed, &mutex);
        request = NULL;
        pthread_cond_broadcast(&changed);
        status = mine.status;
    }
    pthread_mutex_unlock(&mutex);
    return status;
}

void unix_starter_shutdown(void)
{
    pthread_mutex_lock(&mutex);
    const int is_there = is_running && !is_ending;
    is_ending = is_there;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
    if (!is_there)
        return;
    pthread_join(thread, NULL);
    pthread_mutex_lock(&mutex);
    is_running = is_ending = 0;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

void unix_starter_lock(void)
{
    pthread_mutex_lock(&mutex);
}

void unix_starter_unlock(void)
{
    pthread_mutex_unlock(&mutex);
}

void unix_starter_forget(void)
{
    /* The thread is not here, nor is any that waits for it. */
    is_running = is_ending = 0;
    request = NULL;
    pthread_cond_init(&changed, NULL);
}
