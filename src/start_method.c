/* SPDX-License-Identifier: Apache-2.0 */
#include "start_method.h"

#include <stdatomic.h>
#include <string.h>

#include "error.h"
#include "sys.h"

static const char *const names[] = {"default", "forkserver", "fork", "spawn", "thread"};

enum { METHODS = sizeof names / sizeof names[0] };

static _Atomic int chosen = MPROC_DEFAULT;           /* by mproc_set_start_method() */
static _Atomic int from_environment = MPROC_DEFAULT; /* by MPROC_START_METHOD */

static apr_status_t check(mproc_start_method_t method)
{
    switch (method) {
    case MPROC_FORKSERVER:
        return sys_method_check(SYS_FORKSERVER);
    case MPROC_FORK:
        return sys_method_check(SYS_FORK);
    case MPROC_SPAWN:
        return sys_method_check(SYS_SPAWN);
    default:
        return APR_SUCCESS;
    }
}

const mproc_start_method_t *mproc_get_all_start_methods(size_t *count)
{
    /* The platform's default first, as sys_default_method() says, then the others that it has. */
    static const mproc_start_method_t forkserver_first[] = {MPROC_FORKSERVER, MPROC_FORK, MPROC_SPAWN, MPROC_THREAD};
    static const mproc_start_method_t spawn_first[] = {MPROC_SPAWN, MPROC_FORKSERVER, MPROC_FORK, MPROC_THREAD};
    static const mproc_start_method_t spawn_only[] = {MPROC_SPAWN, MPROC_THREAD};
    const int has_fork = sys_method_check(SYS_FORK) == APR_SUCCESS;
    if (count)
        *count = has_fork ? 4 : 2;
    if (!has_fork)
        return spawn_only;
    return sys_default_method() == SYS_FORKSERVER ? forkserver_first : spawn_first;
}

const char *mproc_start_method_name(mproc_start_method_t method)
{
    return (unsigned)method < METHODS ? names[method] : NULL;
}

apr_status_t mproc_start_method_parse(mproc_start_method_t *method, const char *name)
{
    if (!method || !name)
        return mproc_fail(APR_EINVAL, "mproc_start_method_parse: %s is NULL", method ? "name" : "method");
    for (int i = 0; i < METHODS; i++) {
        if (strcmp(names[i], name) != 0)
            continue;
        *method = (mproc_start_method_t)i;
        if (check(*method) != APR_SUCCESS)
            return mproc_fail(APR_ENOTIMPL, "start method '%s' does not exist on this platform", name);
        return APR_SUCCESS;
    }
    return mproc_fail(APR_EINVAL, "'%.40s' is not a start method: forkserver, fork, spawn and thread are", name);
}

apr_status_t start_method_resolve(mproc_start_method_t *method)
{
    if ((unsigned)*method >= METHODS)
        return mproc_fail(APR_EINVAL, "%d is not a start method", (int)*method);
    if (check(*method) != APR_SUCCESS)
        return mproc_fail(APR_ENOTIMPL, "start method '%s' does not exist on this platform", names[*method]);
    if (*method == MPROC_DEFAULT)
        *method = mproc_get_start_method();
    return APR_SUCCESS;
}

apr_status_t mproc_set_start_method(mproc_start_method_t method)
{
    mproc_start_method_t resolved = method;
    apr_status_t status = start_method_resolve(&resolved);
    if (status == APR_SUCCESS)
        atomic_store(&chosen, method);
    return status;
}

mproc_start_method_t mproc_get_start_method(void)
{
    int method = atomic_load(&chosen);
    if (method == MPROC_DEFAULT)
        method = atomic_load(&from_environment);
    return method == MPROC_DEFAULT ? mproc_get_all_start_methods(NULL)[0] : (mproc_start_method_t)method;
}

mproc_start_method_t start_method_chosen(void)
{
    return (mproc_start_method_t)atomic_load(&chosen);
}

apr_status_t start_method_initialize(void)
{
    char name[64]; /* much longer than any start method's */
    mproc_start_method_t method = MPROC_DEFAULT;
    apr_status_t status = sys_environment_get(name, sizeof name, "MPROC_START_METHOD");
    if (status == APR_ENAMETOOLONG)
        return mproc_fail(APR_EINVAL, "MPROC_START_METHOD in the environment is not a start method: it is too long");
    if (status == APR_SUCCESS && *name) {
        status = mproc_start_method_parse(&method, name);
        if (status != APR_SUCCESS)
            return mproc_fail(status, "MPROC_START_METHOD in the environment: '%.40s' is %s", name,
                              status == APR_ENOTIMPL ? "not on this platform" : "not a start method");
    }
    atomic_store(&from_environment, (int)method);
    return APR_SUCCESS;
}
