/* SPDX-License-Identifier: Apache-2.0 */
#include "initialize.h"

#include <stdatomic.h>
#include <stdlib.h>

#include <apr_general.h>

#include "handle.h"
#include "log.h"
#include "process_object.h"
#include "start_method.h"

static _Atomic int initialized;
static int apr_initialized;
static int at_exit_registered;
static int at_fork_registered;

int library_is_initialized(void)
{
    return atomic_load(&initialized);
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

/* Both locks are held across the fork, in this order, so that the child finds what they guard in one piece. */
static void before_fork(void)
{
    process_lock();
    handle_lock();
}

static void after_fork_in_parent(void)
{
    handle_unlock();
    process_unlock();
}

static void after_fork_in_child(void)
{
    children_forget();
    process_forked();
    handle_unlock();
    process_unlock();
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
    if (!at_fork_registered) {
        status = sys_at_fork(before_fork, after_fork_in_parent, after_fork_in_child);
        if (status != APR_SUCCESS && status != APR_ENOTIMPL)
            return mproc_fail(status, "mproc_initialize: no memory");
        at_fork_registered = 1;
    }
    return APR_SUCCESS;
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

/** Find out whether this process was started as a child, and live that child's life if so. */
static apr_status_t become_child(int argc, const char *const *argv)
{
    static int asked;
    sys_block_t block;
    if (asked)
        return APR_SUCCESS;
    apr_status_t status = prepare();
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

apr_status_t mproc_freeze_support(int argc, char **argv)
{
    return become_child(argc, (const char *const *)argv);
}

static void end_at_exit(void)
{
    mproc_terminate();
}

apr_status_t mproc_initialize_version(int argc, const char *const *argv, int version,
                                      int (*register_atexit)(void (*)(void)))
{
    if (version > MPROC_VERSION_NUMBER)
        return mproc_fail(MPROC_EBUILD,
                          "mproc_initialize: the program was built with headers of version %d, libmproc is %s", version,
                          mproc_version());
    apr_status_t status = become_child(argc, argv);
    if (status != APR_SUCCESS || atomic_load(&initialized))
        return status;
    status = initialize(NULL);
    if (status == APR_SUCCESS)
        status = start_method_initialize();
    if (status != APR_SUCCESS)
        return status;
    if (register_atexit && !at_exit_registered) {
        if (register_atexit(end_at_exit) != 0)
            return mproc_fail(APR_ENOMEM, "mproc_initialize: atexit has no room for another function");
        at_exit_registered = 1;
    }
    atomic_store(&initialized, 1);
    return APR_SUCCESS;
}

/* ---- End -------------------- */

apr_status_t mproc_terminate(void)
{
    if (!atomic_load(&initialized))
        return APR_SUCCESS;
    if (process_current() != process_main())
        return mproc_fail(MPROC_ESTATE, "mproc_terminate: called in a thread that is a child");
    children_end();
    atomic_store(&initialized, 0);
    process_close_all();
    sys_process_shutdown();
    apr_terminate();
    apr_initialized = 0;
    return APR_SUCCESS;
}

void library_end_child(void)
{
    sys_process_shutdown();
}
