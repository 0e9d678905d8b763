/* SPDX-License-Identifier: Apache-2.0 */
#include "worker.h"

#include <string.h>

#include <apr_file_io.h>
#include <apr_portable.h>
#include <apr_strings.h>

#include "gauss.h"
#include "picture.h"

static apr_status_t blur_file(mproc_call_t *call, const char **reason, apr_pool_t *pool)
{
    const worker_settings_t *settings = mproc_call_data(call, sizeof *settings);
    const char *input = mproc_call_named_string(call, "input");
    const char *output = mproc_call_named_string(call, "output");
    const char *temporary = mproc_call_named_string(call, "temporary");
    picture_t picture;
    apr_status_t status;

    if (!settings || !input || !output || !temporary) {
        *reason = mproc_last_error()->text;
        return APR_EINVAL;
    }
    status = picture_read(&picture, reason, input, pool);
    if (status != APR_SUCCESS)
        return status;

    status = gauss_blur(&picture, settings->radius, settings->rounds);
    if (status == APR_SUCCESS)
        status = picture_write(&picture, reason, output, temporary, pool);
    else
        *reason = apr_psprintf(pool, "not enough memory to blur %d x %d pixels", picture.width, picture.height);
    picture_destroy(&picture);
    return status;
}

int worker_run(mproc_call_t *call)
{
    apr_os_file_t handle = (apr_os_file_t)mproc_call_handle(call, 0);
    apr_pool_t *pool;
    apr_file_t *pipe;
    const char *report = WORKER_DONE;
    size_t length;
    apr_status_t status;

    if (apr_pool_create(&pool, NULL) != APR_SUCCESS)
        return 1;
    /* The pool closes the pipe, and with that the report ends. */
    status = apr_os_pipe_put_ex(&pipe, &handle, 1, pool);
    if (status == APR_SUCCESS) {
        status = blur_file(call, &report, pool);
        length = strlen(report);
        apr_file_write_full(pipe, report, length < WORKER_REPORT_MAX ? length : WORKER_REPORT_MAX, NULL);
    }
    apr_pool_destroy(pool);
    return status == APR_SUCCESS ? 0 : 1;
}
