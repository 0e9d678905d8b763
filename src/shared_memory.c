/* SPDX-License-Identifier: Apache-2.0 */
#include <mproc/shared_memory.h>

#include <stdlib.h>

#include "error.h"
#include "segment.h"

static const char noun[] = "segment";

/* ---- Making and unmaking ----------------------------------------------------------------------------------------- */

static void destroy(void *object)
{
    segment_holder_t *holder = object;
    segment_close(&holder->segment);
    free(holder);
}

/** Begin to make an object: the options, and memory for it. */
static apr_status_t begin(segment_holder_t **holder, mproc_shm_t **handle, mproc_shm_opts_t *options,
                          const mproc_shm_opts_t *opts, size_t opts_size, const char *call)
{
    if (!handle)
        return mproc_fail(APR_EINVAL, "%s: nowhere to store the segment: it is NULL", call);
    *handle = NULL;
    const apr_status_t status = segment_take_options(options, opts, opts_size, call);
    if (status != APR_SUCCESS)
        return status;
    *holder = calloc(1, sizeof **holder);
    return *holder ? APR_SUCCESS : mproc_fail(APR_ENOMEM, "%s: no memory for another segment", call);
}

apr_status_t mproc_shm_create_sized(mproc_shm_t **handle, const char *name, size_t size, const mproc_shm_opts_t *opts,
                                    size_t opts_size)
{
    static const char call[] = "mproc_shm_create";
    mproc_shm_opts_t options;
    segment_holder_t *holder;
    apr_status_t status = begin(&holder, handle, &options, opts, opts_size, call);
    if (status != APR_SUCCESS)
        return status;
    status = segment_create(&holder->segment, name, size, call);
    if (status == APR_SUCCESS) {
        *handle = segment_publish(holder, HANDLE_SHM, destroy, options.pool);
        if (*handle)
            return status;
        segment_remove(&holder->segment);
        status = mproc_fail(APR_ENOMEM, "%s: no memory for another segment", call);
    }
    free(holder);
    return status;
}

apr_status_t mproc_shm_open_sized(mproc_shm_t **handle, const char *name, const mproc_shm_opts_t *opts,
                                  size_t opts_size)
{
    static const char call[] = "mproc_shm_open";
    mproc_shm_opts_t options;
    segment_holder_t *holder;
    apr_status_t status = begin(&holder, handle, &options, opts, opts_size, call);
    if (status != APR_SUCCESS)
        return status;
    status = segment_open(&holder->segment, name, &options, call);
    if (status == APR_SUCCESS) {
        *handle = segment_publish(holder, HANDLE_SHM, destroy, options.pool);
        if (*handle)
            return status;
        segment_close(&holder->segment);
        status = mproc_fail(APR_ENOMEM, "%s: no memory for another segment", call);
    }
    free(holder);
    return status;
}

apr_status_t mproc_shm_close(mproc_shm_t *handle)
{
    return segment_close_handle(handle, HANDLE_SHM, noun, "mproc_shm_close");
}

/* ---- Using ------------------------------------------------------------------------------------------------------- */

void *mproc_shm_data(mproc_shm_t *handle)
{
    segment_holder_t *holder;
    if (segment_acquire(&holder, handle, HANDLE_SHM, noun, "mproc_shm_data") != APR_SUCCESS)
        return NULL;
    void *data = holder->segment.memory.data;
    handle_release(handle);
    mproc_forget_error();
    return data;
}

size_t mproc_shm_size(mproc_shm_t *handle)
{
    segment_holder_t *holder;
    if (segment_acquire(&holder, handle, HANDLE_SHM, noun, "mproc_shm_size") != APR_SUCCESS)
        return 0;
    const size_t size = holder->segment.memory.size;
    handle_release(handle);
    mproc_forget_error();
    return size;
}

const char *mproc_shm_name(mproc_shm_t *handle)
{
    segment_holder_t *holder;
    if (segment_acquire(&holder, handle, HANDLE_SHM, noun, "mproc_shm_name") != APR_SUCCESS)
        return NULL;
    const char *name = holder->segment.name;
    handle_release(handle);
    mproc_forget_error();
    return name;
}

apr_status_t mproc_shm_read(mproc_shm_t *handle, size_t offset, void *buffer, size_t size)
{
    static const char call[] = "mproc_shm_read";
    segment_holder_t *holder;
    apr_status_t status = segment_acquire(&holder, handle, HANDLE_SHM, noun, call);
    if (status != APR_SUCCESS)
        return status;
    status = segment_read(&holder->segment, offset, buffer, size, call);
    handle_release(handle);
    return status;
}

apr_status_t mproc_shm_write(mproc_shm_t *handle, size_t offset, const void *data, size_t size)
{
    static const char call[] = "mproc_shm_write";
    segment_holder_t *holder;
    apr_status_t status = segment_acquire(&holder, handle, HANDLE_SHM, noun, call);
    if (status != APR_SUCCESS)
        return status;
    status = segment_write(&holder->segment, offset, data, size, call);
    handle_release(handle);
    return status;
}
