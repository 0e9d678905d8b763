/* SPDX-License-Identifier: Apache-2.0 */
#include "target.h"

#include <string.h>

#include <apr_dso.h>
#include <apr_pools.h>

#include "error.h"
#include "initialize.h"

/* A function pointer and a number of the same size hold the same bits wherever this library runs. */
_Static_assert(sizeof(mproc_target_t) == sizeof(uintptr_t), "a code address is no wider than a data address");

apr_status_t target_locate(sys_place_t *place, mproc_target_t target)
{
    uintptr_t address;
    memcpy(&address, &target, sizeof address);
    apr_status_t status = sys_image_locate(place, address);
    if (status == APR_ENOENT)
        return mproc_fail(
            MPROC_ETARGET,
            "the target at %#llx lies in no module of this program: code made at run time cannot be found in "
            "another process (start methods fork and thread can run it)",
            (unsigned long long)address);
    if (status != APR_SUCCESS)
        return mproc_fail(status, "the module of the target at %#llx cannot be identified",
                          (unsigned long long)address);
    return APR_SUCCESS;
}

/** Load a module that the creator had loaded while it ran. It stays loaded. */
static apr_status_t load(const char *path)
{
    apr_pool_t *pool;
    apr_dso_handle_t *module;
    apr_status_t status = library_get_pool(&pool);
    if (status != APR_SUCCESS)
        return mproc_fail(status, "no memory to load %s", path);
    status = apr_dso_load(&module, path, pool);
    if (status != APR_SUCCESS) {
        char why[256];
        mproc_fail(MPROC_ETARGET, "the target's module %s cannot be loaded in the child: %s", path,
                   apr_dso_error(module, why, sizeof why));
        return MPROC_ETARGET;
    }
    return APR_SUCCESS;
}

apr_status_t target_find(mproc_target_t *target, const sys_place_t *place)
{
    uintptr_t address;
    apr_status_t status = sys_image_find(&address, place);
    if (status == APR_ENOENT && !place->is_program) {
        status = load(place->path);
        if (status != APR_SUCCESS)
            return status;
        status = sys_image_find(&address, place);
    }
    if (status != APR_SUCCESS)
        return mproc_fail(MPROC_EBUILD, "%s in the child is another build than in its creator: was it replaced?",
                          place->is_program ? "the program" : place->path);
    memcpy(target, &address, sizeof address);
    return APR_SUCCESS;
}
