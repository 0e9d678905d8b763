/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads libmproc, whose path is the argument, uses it in a thread, and unloads it before that thread ends: nothing of
 * it may be called any more. Plain checks instead of CMocka's, since nothing here is linked with the library.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mproc/mproc.h>

/* The calls that it makes, by name. */
static struct {
    apr_status_t (*initialize)(int, const char *const *, int, int (*)(void (*)(void)));
    apr_status_t (*terminate)(void);
    apr_status_t (*create)(mproc_lock_t **, const mproc_lock_opts_t *, size_t);
    apr_status_t (*acquire)(mproc_lock_t *, apr_interval_time_t);
    apr_status_t (*close)(mproc_lock_t *);
} library;

static pthread_barrier_t barrier;

static void expect(int is_true, const char *what)
{
    if (is_true)
        return;
    fprintf(stderr, "failed: %s\n", what);
    exit(1);
}

/* ISO C has no conversion from what dlsym() returns to a function. */
static void find(void *function, void *handle, const char *name)
{
    void *const found = dlsym(handle, name);
    expect(found != NULL, name);
    memcpy(function, &found, sizeof found);
}

static void *use(void *context)
{
    mproc_lock_t *lock;
    expect(library.create(&lock, NULL, 0) == APR_SUCCESS, "create a lock");
    expect(library.acquire(lock, MPROC_FOREVER) == APR_SUCCESS, "acquire it");
    expect(library.close(lock) == APR_SUCCESS, "close it");
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier); /* it is unloaded */
    return context;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    void *const handle = dlopen(argc == 2 ? argv[1] : "", RTLD_NOW | RTLD_LOCAL);
    expect(handle != NULL, "load the library");
    find(&library.initialize, handle, "mproc_initialize_version");
    find(&library.terminate, handle, "mproc_terminate");
    find(&library.create, handle, "mproc_lock_create_sized");
    find(&library.acquire, handle, "mproc_lock_acquire");
    find(&library.close, handle, "mproc_lock_close");
    expect(library.initialize(argc, (const char *const *)argv, MPROC_VERSION_NUMBER, NULL) == APR_SUCCESS,
           "initialize");
    expect(pthread_barrier_init(&barrier, NULL, 2) == 0, "a barrier");
    expect(pthread_create(&thread, NULL, use, NULL) == 0, "a thread");
    pthread_barrier_wait(&barrier);
    library.terminate();
    expect(dlclose(handle) == 0, "close the library");
    expect(dlopen(argv[1], RTLD_NOW | RTLD_NOLOAD) == NULL, "unload it");
    pthread_barrier_wait(&barrier);
    expect(pthread_join(thread, NULL) == 0, "join the thread");
    return 0;
}
