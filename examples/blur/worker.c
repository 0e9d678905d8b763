/* SPDX-License-Identifier: Apache-2.0 */
#include "worker.h"

#include <string.h>

#include <apr_strings.h>

#include "gauss.h"
#include "picture.h"

/* Blur a picture, and add it to a buffer as it is to be written. The picture is given back in any case. */
static apr_status_t blur_picture(buffer_t *png, const char **reason, picture_t *picture,
                                 const worker_settings_t *settings, apr_pool_t *pool)
{
    apr_status_t status = gauss_blur(picture, settings->radius, settings->rounds);
    if (status == APR_SUCCESS)
        status = picture_encode(picture, reason, png);
    else
        *reason = apr_psprintf(pool, "not enough memory to blur %d x %d pixels", picture->width, picture->height);
    picture_destroy(picture);
    return status;
}

static apr_status_t blur_file(mproc_call_t *call, const worker_settings_t *settings, const char **reason,
                              apr_pool_t *pool)
{
    const char *input = mproc_call_named_string(call, "input");
    const char *output = mproc_call_named_string(call, "output");
    const char *temporary = mproc_call_named_string(call, "temporary");
    buffer_t png = {NULL, 0};
    picture_t picture;
    apr_status_t status;

    if (!input || !output || !temporary) {
        *reason = mproc_last_error()->text;
        return APR_EINVAL;
    }
    status = picture_read(&picture, reason, input, pool);
    if (status != APR_SUCCESS)
        return status;
    status = blur_picture(&png, reason, &picture, settings, pool);
    if (status == APR_SUCCESS)
        status = buffer_write(png.data, png.size, reason, output, temporary, pool);
    buffer_destroy(&png);
    return status;
}

/* The file comes through the pipe; what is to be written is added to the answer. */
static apr_status_t blur_message(mproc_conn_t *parent, const worker_settings_t *settings, buffer_t *answer,
                                 const char **reason, apr_pool_t *pool)
{
    void *file;
    size_t size;
    picture_t picture;
    apr_status_t status = mproc_conn_recv(parent, &file, &size, MPROC_FOREVER);
    if (status != APR_SUCCESS) {
        *reason = mproc_last_error()->text;
        return status;
    }
    status = picture_decode(&picture, reason, file, size, pool);
    mproc_free(file);
    return status == APR_SUCCESS ? blur_picture(answer, reason, &picture, settings, pool) : status;
}

/* The file is decoded where the parent has read it to: it was never copied. */
static apr_status_t decode_block(picture_t *picture, mproc_queue_t *files, const char **reason, apr_pool_t *pool)
{
    void *file;
    size_t size;
    apr_status_t status = mproc_queue_get_block(files, &file, &size, MPROC_FOREVER);
    if (status != APR_SUCCESS) {
        *reason = mproc_last_error()->text;
        return status;
    }
    status = picture_decode(picture, reason, file, size, pool);
    mproc_queue_free_block(files, file);
    return status;
}

/* The encoder tells only at its end how much there is, so this is a copy. */
static apr_status_t put_png(mproc_queue_t *results, const buffer_t *png, const char **reason)
{
    void *block;
    apr_status_t status = mproc_queue_reserve(results, &block, png->size);
    if (status == APR_SUCCESS) {
        memcpy(block, png->data, png->size);
        status = mproc_queue_put_block(results, block, png->size, MPROC_FOREVER);
    }
    if (status != APR_SUCCESS)
        *reason = mproc_last_error()->text;
    return status;
}

static apr_status_t blur_block(mproc_call_t *call, const worker_settings_t *settings, const char **reason,
                               apr_pool_t *pool)
{
    buffer_t png = {NULL, 0};
    picture_t picture;
    apr_status_t status = decode_block(&picture, mproc_call_queue(call, 0), reason, pool);
    if (status != APR_SUCCESS)
        return status;
    status = blur_picture(&png, reason, &picture, settings, pool);
    if (status == APR_SUCCESS)
        status = put_png(mproc_call_queue(call, 1), &png, reason);
    buffer_destroy(&png);
    return status;
}

static apr_status_t blur(mproc_call_t *call, mproc_conn_t *parent, buffer_t *answer, const char **reason,
                         apr_pool_t *pool)
{
    const worker_settings_t *settings = mproc_call_data(call, sizeof *settings);
    if (!settings) {
        *reason = mproc_last_error()->text;
        return APR_EINVAL;
    }
    switch (settings->way) {
    case WORKER_VIA_PIPE:
        return blur_message(parent, settings, answer, reason, pool);
    case WORKER_VIA_SHM:
        return blur_block(call, settings, reason, pool);
    default:
        return blur_file(call, settings, reason, pool);
    }
}

/* Do the work, and answer. Returns a status that says whether all is well. */
static apr_status_t serve(mproc_call_t *call, apr_pool_t *pool)
{
    mproc_conn_t *parent = mproc_call_conn(call, 0);
    buffer_t answer = {NULL, 0};
    const char *reason = "not enough memory";
    apr_status_t sent;
    /* It says that all is well, and the picture follows. If that turns out to be wrong, it is not sent. */
    apr_status_t status = buffer_append(&answer, WORKER_DONE, sizeof WORKER_DONE);
    if (status == APR_SUCCESS)
        status = blur(call, parent, &answer, &reason, pool);
    if (status == APR_SUCCESS)
        sent = mproc_conn_send(parent, answer.data, answer.size, MPROC_FOREVER);
    else
        sent = mproc_conn_send(parent, reason, strlen(reason) + 1, MPROC_FOREVER);
    buffer_destroy(&answer);
    return status == APR_SUCCESS ? sent : status;
}

int worker_run(mproc_call_t *call)
{
    apr_pool_t *pool;
    apr_status_t status = apr_pool_create(&pool, NULL);
    if (status != APR_SUCCESS)
        return 1;
    status = serve(call, pool);
    apr_pool_destroy(pool);
    return status == APR_SUCCESS ? 0 : 1;
}
