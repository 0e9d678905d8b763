/* SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

#include <apr_general.h>
#include <apr_pools.h>
#include <apr_thread_proc.h>

#include "start_references.h"

static int run_apr(apr_pool_t *pool, const char *path)
{
    const char *const argv[] = {path, EXIT_ARGUMENT, NULL};
    apr_procattr_t *attributes;
    apr_proc_t process;
    int code = 0;
    apr_exit_why_e why;
    if (apr_procattr_create(&attributes, pool) != APR_SUCCESS ||
        apr_procattr_cmdtype_set(attributes, APR_PROGRAM_ENV) != APR_SUCCESS ||
        apr_proc_create(&process, path, argv, NULL, attributes, pool) != APR_SUCCESS ||
        apr_proc_wait(&process, &code, &why, APR_WAIT) != APR_CHILD_DONE)
        return -1;
    return APR_PROC_CHECK_EXIT(why) && code == EXIT_EXPECTED ? 0 : -1;
}

int start_apr(void *path)
{
    apr_pool_t *pool;
    if (apr_pool_create(&pool, NULL) != APR_SUCCESS)
        return -1;
    const int result = run_apr(pool, path);
    apr_pool_destroy(pool);
    return result;
}

/** The function of the module start_libuv, once it is loaded. */
static int (*run_libuv)(char *path);

const char *start_libuv_load(void)
{
    static const char module[] = MPROC_BENCH_LIBUV_MODULE;
    if (sizeof module == 1)
        return "it was not installed when this was built";
    void *loaded = dlopen(module, RTLD_NOW | RTLD_LOCAL);
    void *function = loaded ? dlsym(loaded, "start_libuv_run") : NULL;
    memcpy(&run_libuv, &function, sizeof run_libuv);
    return function ? NULL : "its module cannot be loaded";
}

int start_libuv(void *path)
{
    return run_libuv(path);
}
