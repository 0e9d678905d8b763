/* SPDX-License-Identifier: Apache-2.0 */
#include "initialize.h"

#include <stdatomic.h>
#include <stdlib.h>

#include <apr_general.h>
#include <apr_time.h>

#include "arena.h"
#include "conn_object.h"
#include "handle.h"
#include "hazard.h"
#include "listener_object.h"
#include "local.h"
#include "log.h"
#include "member.h"
#include "pool_object.h"
#include "process_object.h"
#include "segment.h"
#include "shared.h"
#include "start_method.h"
#include "subprocess_object.h"
#include "trace.h"
#include "waiter.h"

static void end_at_exit(void);

static _Atomic int initialized;
static int apr_initialized;

int library_is_initialized(void)
{
    return atomic_load(&initialized);
}

apr_status_t library_check_initialized(const char *call)
{
    return library_is_initialized()
               ? APR_SUCCESS
               : mproc_fail(MPROC_EINIT, "%s: mproc_initialize was not called in this process's main", call);
}

apr_status_t library_get_pool(apr_pool_t **pool)
{
    static apr_allocator_t *allocator;
    static apr_pool_t *permanent;
    apr_status_t status = APR_SUCCESS;
    if (!allocator)
        status = apr_allocator_create(&allocator);
    if (status == APR_SUCCESS && !permanent)
        status = apr_pool_create_unmanaged_ex(&permanent, NULL, allocator);
    *pool = permanent;
    return status;
}

/* ---- Forks, ours and others' -------------------- */

/** In a forked child, with all locks held. */
static void become_forked(void)
{
    pool_forked();
    children_forget();
    subprocess_forget();
    process_forked();
    waiter_forked();
    arena_forked();
    hazard_forked();
    local_forked();
}

static apr_status_t watch_forks(void)
{
    apr_status_t status = sys_at_fork(SYS_FORK_FIRST, process_lock, process_unlock, become_forked);
    if (status == APR_SUCCESS)
        status = handle_watch_forks();
    if (status == APR_SUCCESS || status == APR_ENOTIMPL)
        return APR_SUCCESS;
    return mproc_fail(status, "mproc_initialize: no memory");
}

/* ---- Beginning -------------------- */

/** Before all else, so that the fork server does it once for all of its children. */
static apr_status_t prepare(void)
{
    apr_status_t status = APR_SUCCESS;
    if (!apr_initialized) {
        status = apr_initialize();
        if (status != APR_SUCCESS)
            return mproc_fail(status, "mproc_initialize: APR cannot be initialized");
        apr_initialized = 1;
    }
    sys_fence_initialize();
    return watch_forks();
}

/** What the first process and children have in common. */
static apr_status_t initialize(boot_t *boot)
{
    apr_status_t status = prepare();
    if (status == APR_SUCCESS)
        status = process_become(boot);
    return status;
}

apr_status_t library_become_child(boot_t *boot)
{
    arena_take(sys_child_arena(boot->slots), (uint32_t)boot->ticket);
    if (boot->method == MPROC_FORK) {
        /* A forked child has all this from its creator, settings included; only who it is has changed. */
        return process_become(boot);
    }
    apr_status_t status = initialize(boot);
    if (status == APR_SUCCESS)
        status = start_method_initialize();
    if (status != APR_SUCCESS)
        return status;
    mproc_set_start_method((mproc_start_method_t)boot->chosen_method);
    mproc_log_to_stderr((mproc_log_level_t)boot->log_level);
    process_set_proven();
    atomic_store(&initialized, 1);
    return APR_SUCCESS;
}

/** Take the command line from the system if the program did not pass it, then see whether this is a child. */
static apr_status_t attach(sys_block_t *block, int argc, const char *const *argv)
{
    char **own = NULL;
    if (argc <= 0 || !argv) {
        apr_status_t status = sys_command_line(&own, &argc);
        if (status != APR_SUCCESS)
            return APR_ENOENT; /* then it was not passed what a child is passed either */
        argv = (const char *const *)own;
    }
    apr_status_t status = sys_child_attach(block, argc, argv);
    if (own)
        free(own);
    return status;
}

/** Arrange for the orderly end: in a child before its target, which may call `exit`, runs. */
static apr_status_t register_end(int (*register_atexit)(void (*)(void)))
{
    static int is_registered;
    if (!register_atexit || is_registered)
        return APR_SUCCESS;
    if (register_atexit(end_at_exit) != 0)
        return mproc_fail(APR_ENOMEM, "mproc_initialize: atexit has no room for another function");
    is_registered = 1;
    return APR_SUCCESS;
}

/** Find out whether this process was started as a child, and live that child's life if so. */
static apr_status_t become_child(int argc, const char *const *argv, int (*register_atexit)(void (*)(void)))
{
    static int asked;
    sys_block_t block;
    apr_status_t status = register_end(register_atexit);
    if (status != APR_SUCCESS || asked)
        return status;
    status = prepare();
    if (status != APR_SUCCESS)
        return status;
    status = attach(&block, argc, argv);
    if (status == APR_ENOENT) {
        asked = 1;
        return APR_SUCCESS;
    }
    if (status != APR_SUCCESS)
        return mproc_fail(MPROC_EINIT,
                          "the command line says that this is a child of mproc, but no parent stands behind it");
    status = boot_check(&block);
    if (status != APR_SUCCESS)
        return status;
    child_run(&block);
    return APR_SUCCESS;
}

/** Fail if the program knows more of the library than it is. */
static apr_status_t check_version(int version, const char *call)
{
    return version <= MPROC_VERSION_NUMBER
               ? APR_SUCCESS
               : mproc_fail(MPROC_EBUILD, "%s: the program was built with headers of version %d, libmproc is %s", call,
                            version, mproc_version());
}

apr_status_t mproc_freeze_support_version(int argc, const char *const *argv, int version,
                                          int (*register_atexit)(void (*)(void)))
{
    apr_status_t status = check_version(version, "mproc_freeze_support");
    return status == APR_SUCCESS ? become_child(argc, argv, register_atexit) : status;
}

apr_status_t mproc_initialize_version(int argc, const char *const *argv, int version,
                                      int (*register_atexit)(void (*)(void)))
{
    apr_status_t status = check_version(version, "mproc_initialize");
    if (status == APR_SUCCESS)
        status = become_child(argc, argv, register_atexit);
    if (status != APR_SUCCESS || atomic_load(&initialized))
        return status;
    status = initialize(NULL);
    member_announce_end(0);
    if (status == APR_SUCCESS)
        status = start_method_initialize();
    if (status == APR_SUCCESS)
        atomic_store(&initialized, 1);
    return status;
}

/* ---- End -------------------- */

apr_status_t mproc_terminate(void)
{
    if (!atomic_load(&initialized))
        return APR_SUCCESS;
    if (process_current() != process_main())
        return mproc_fail(MPROC_ESTATE, "mproc_terminate: called in a thread that is a child");
    pool_end_all();
    children_end(1);
    /* Threads that are not joined may go on: none of them is to begin anything now, and what they began is ended. */
    process_lock();
    atomic_store(&initialized, 0);
    process_unlock();
    for (const sys_time_t deadline = sys_now() + process_startup_timeout; process_is_busy() && sys_now() < deadline;)
        apr_sleep(MPROC_MILLISECONDS(1));
    pool_end_all();
    subprocess_end_all();
    children_end(1);
    conn_close_all();
    listener_close_all();
    segment_close_all();
    subprocess_close_all();
    process_close_all();
    arena_leave(shared_close_all());
    waiter_terminate();
    trace_flush();
    sys_stream_shutdown();
    sys_process_shutdown();
    apr_terminate();
    apr_initialized = 0;
    return APR_SUCCESS;
}

/** The program has called `exit`. */
static void end_at_exit(void)
{
    if (!atomic_load(&initialized) || process_current() == process_main()) {
        mproc_terminate();
        trace_end();
        return;
    }
    /* A thread that is a child did: it cannot join itself, and one of the others may be joining it. They just end. */
    pool_end_all();
    subprocess_end_all();
    children_end(0);
    sys_process_shutdown();
}

void library_end_child(void)
{
    member_announce_end(1);
    trace_flush();
    sys_process_shutdown();
}
