/* SPDX-License-Identifier: Apache-2.0 */
#include "worker.h"

#include <string.h>

#include "buffer.h"
#include "picture.h"

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
    return status == APR_SUCCESS ? work_on_picture(answer, NULL, reason, &picture, &settings->work, pool) : status;
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
    status = work_on_picture(&png, NULL, reason, &picture, &settings->work, pool);
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
    return settings->is_in_queues ? blur_block(call, settings, reason, pool)
                                  : blur_message(parent, settings, answer, reason, pool);
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
