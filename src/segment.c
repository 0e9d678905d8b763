/* SPDX-License-Identifier: Apache-2.0 */
#include "segment.h"

#include <stdio.h>
#include <string.h>

#include <apr_general.h>

#include <mproc/version.h>

#include "error.h"
#include "initialize.h"

/* How many new names are tried: that even one is taken is hardly possible. */
enum { TRIES = 100 };

/* ---- Names and options ------------------------------------------------------------------------------------------- */

/** Check a name, by the same rules everywhere. */
static apr_status_t check_name(const char *name, const char *call)
{
    if (!name)
        return mproc_fail(APR_EINVAL, "%s: the name is NULL", call);
    if (strpbrk(name, "/\\") || strcmp(name, "") == 0 || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return mproc_fail(APR_EINVAL, "%s: '%.80s' is not a name: it must have no '/' and no '\\', and not be empty",
                          call, name);
    if (strlen(name) > SEGMENT_NAME_MAX)
        return mproc_fail(APR_ENAMETOOLONG, "%s: the name '%.40s...' has %zu bytes, where %d are possible", call, name,
                          strlen(name), SEGMENT_NAME_MAX);
    return APR_SUCCESS;
}

apr_status_t segment_take_options(mproc_shm_opts_t *options, const mproc_shm_opts_t *opts, size_t opts_size,
                                  const char *call)
{
    memset(options, 0, sizeof *options);
    if (opts_size > sizeof *options)
        return mproc_fail(MPROC_EBUILD, "%s: the program was built for a newer libmproc than %s", call,
                          mproc_version());
    if (opts)
        memcpy(options, opts, opts_size);
    return library_check_initialized(call);
}

/* ---- Segments ---------------------------------------------------------------------------------------------------- */

/** Make one under a new name; the status has no text. */
static apr_status_t create_unnamed(segment_t *segment, size_t size)
{
    apr_status_t status = APR_EEXIST;
    for (int i = 0; i < TRIES && status == APR_EEXIST; i++) {
        uint64_t random;
        status = apr_generate_random_bytes((unsigned char *)&random, sizeof random);
        snprintf(segment->name, sizeof segment->name, "mproc-%016llx", (unsigned long long)random);
        if (status == APR_SUCCESS)
            status = sys_segment_create(&segment->memory, segment->name, size);
    }
    return status;
}

apr_status_t segment_create(segment_t *segment, const char *name, size_t size, const char *call)
{
    apr_status_t status = name ? check_name(name, call) : APR_SUCCESS;
    if (status != APR_SUCCESS)
        return status;
    if (size == 0)
        return mproc_fail(APR_EINVAL, "%s: the size is 0", call);
    if (name) {
        snprintf(segment->name, sizeof segment->name, "%s", name);
        status = sys_segment_create(&segment->memory, name, size);
    } else {
        status = create_unnamed(segment, size);
    }
    if (status == APR_SUCCESS)
        return status;
    if (mproc_canonical(status) == APR_EEXIST)
        return mproc_fail(status, "%s: there is something called '%s' already", call, segment->name);
    return mproc_fail(status, "%s: no segment '%s' of %zu bytes can be made", call, segment->name, size);
}

/** Put into words why one cannot be opened. */
static apr_status_t fail_to_open(apr_status_t status, const char *name, const char *call)
{
    switch (mproc_canonical(status)) {
    case APR_ENOENT:
        return mproc_fail(status, "%s: there is no segment '%s'", call, name);
    case APR_EACCES:
        return mproc_fail(status, "%s: the segment '%s' belongs to another user, or is not to be written by this one",
                          call, name);
    case MPROC_ESTATE:
        return mproc_fail(status, "%s: the segment '%s' has no memory yet, or who was making it has ended", call, name);
    case APR_EFTYPE:
        return mproc_fail(APR_EINVAL, "%s: what is called '%s' is no shared memory", call, name);
    default:
        return mproc_fail(status, "%s: the segment '%s' cannot be opened", call, name);
    }
}

apr_status_t segment_open(segment_t *segment, const char *name, const mproc_shm_opts_t *options, const char *call)
{
    apr_status_t status = check_name(name, call);
    if (status != APR_SUCCESS)
        return status;
    snprintf(segment->name, sizeof segment->name, "%s", name);
    status = sys_segment_open(&segment->memory, name, options->any_user);
    if (status != APR_SUCCESS)
        return fail_to_open(status, name, call);
    if (segment->memory.size >= options->min_size)
        return status;
    status = mproc_fail(MPROC_ESIZE, "%s: the segment '%s' has %zu bytes, and %zu are needed", call, name,
                        segment->memory.size, options->min_size);
    segment_close(segment);
    return status;
}

/** Put into words why some of it cannot be read or written. */
static apr_status_t fail_to_copy(apr_status_t status, const segment_t *segment, const char *call)
{
    if (status == MPROC_ESIZE)
        return mproc_fail(status, "%s: somebody has made the segment '%s' smaller than the %zu bytes that it had", call,
                          segment->name, segment->memory.size);
    return mproc_fail(status, "%s: the segment '%s' cannot be reached", call, segment->name);
}

/** Check that some bytes lie in a segment. */
static apr_status_t check_range(const segment_t *segment, size_t offset, size_t size, const char *call)
{
    if (offset <= segment->memory.size && size <= segment->memory.size - offset)
        return APR_SUCCESS;
    return mproc_fail(APR_EINVAL, "%s: %zu bytes from %zu on are not all in the %zu bytes of the segment '%s'", call,
                      size, offset, segment->memory.size, segment->name);
}

apr_status_t segment_read(const segment_t *segment, size_t offset, void *buffer, size_t size, const char *call)
{
    apr_status_t status = check_range(segment, offset, size, call);
    if (status != APR_SUCCESS || size == 0)
        return status;
    if (!buffer)
        return mproc_fail(APR_EINVAL, "%s: nowhere to copy %zu bytes to: it is NULL", call, size);
    status = sys_segment_read(&segment->memory, offset, buffer, size);
    return status == APR_SUCCESS ? status : fail_to_copy(status, segment, call);
}

apr_status_t segment_write(const segment_t *segment, size_t offset, const void *data, size_t size, const char *call)
{
    apr_status_t status = check_range(segment, offset, size, call);
    if (status != APR_SUCCESS || size == 0)
        return status;
    if (!data)
        return mproc_fail(APR_EINVAL, "%s: %zu bytes to copy are NULL", call, size);
    status = sys_segment_write(&segment->memory, offset, data, size);
    return status == APR_SUCCESS ? status : fail_to_copy(status, segment, call);
}

void segment_close(segment_t *segment)
{
    sys_segment_close(&segment->memory);
}

void segment_remove(segment_t *segment)
{
    sys_segment_unlink(segment->name);
    segment_close(segment);
}

/* ---- Handles ----------------------------------------------------------------------------------------------------- */

static const handle_kind_t kinds[] = {HANDLE_LIST, HANDLE_SHM};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static int is_own(const void *object)
{
    const segment_holder_t *holder = object;
    return holder->owner == sys_getpid();
}

static apr_status_t close_with_pool(void *handle)
{
    for (int i = 0; i < KINDS; i++) {
        void *object;
        if (handle_acquire(&object, handle, kinds[i]) != APR_SUCCESS)
            continue;
        if (is_own(object))
            handle_close(handle, kinds[i]);
        handle_release(handle);
    }
    return APR_SUCCESS;
}

void *segment_publish(segment_holder_t *holder, handle_kind_t kind, handle_destroy_t destroy, apr_pool_t *pool)
{
    holder->owner = sys_getpid();
    /* It may be closed, and destroyed, as soon as it has one. */
    void *handle = holder->handle = handle_open(kind, holder, destroy);
    if (handle && pool)
        apr_pool_cleanup_register(pool, handle, close_with_pool, apr_pool_cleanup_null);
    return handle;
}

apr_status_t segment_acquire(segment_holder_t **holder, void *handle, handle_kind_t kind, const char *noun,
                             const char *call)
{
    void *object;
    const apr_status_t status = handle_acquire(&object, handle, kind);
    *holder = object;
    if (status == APR_EINVAL)
        return mproc_fail(status, "%s: the %s is NULL", call, noun);
    if (status != APR_SUCCESS)
        return mproc_fail(status, "%s: %p is not an open %s: closed before, or never one", call, handle, noun);
    if (is_own(object))
        return status;
    mproc_fail(MPROC_EFOREIGN, "%s: the %s was opened by process %d, this is process %d", call, noun, (*holder)->owner,
               sys_getpid());
    handle_release(handle);
    *holder = NULL;
    return MPROC_EFOREIGN;
}

apr_status_t segment_close_handle(void *handle, handle_kind_t kind, const char *noun, const char *call)
{
    segment_holder_t *holder;
    if (!handle)
        return APR_SUCCESS;
    apr_status_t status = segment_acquire(&holder, handle, kind, noun, call);
    if (status != APR_SUCCESS)
        return status;
    status = handle_close(handle, kind);
    handle_release(handle);
    return status == APR_SUCCESS ? status : mproc_fail(status, "%s: another thread has just closed it", call);
}

void segment_close_all(void)
{
    for (int i = 0; i < KINDS; i++)
        handle_close_all(kinds[i], is_own, NULL);
}

apr_status_t mproc_shm_unlink(const char *name)
{
    static const char call[] = "mproc_shm_unlink";
    apr_status_t status = check_name(name, call);
    if (status != APR_SUCCESS)
        return status;
    status = sys_segment_unlink(name);
    if (status == APR_SUCCESS)
        return status;
    if (mproc_canonical(status) == APR_ENOENT)
        return mproc_fail(status, "%s: there is no segment '%s'", call, name);
    return mproc_fail(status, "%s: the name '%s' cannot be removed", call, name);
}
