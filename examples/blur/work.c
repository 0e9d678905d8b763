/* SPDX-License-Identifier: Apache-2.0 */
#include "work.h"

#include <apr_strings.h>

#include "gauss.h"

/* FNV-1a: files that differ by accident have different ones. */
static uint64_t checksum_of(const buffer_t *buffer)
{
    uint64_t sum = 14695981039346656037u;
    for (size_t i = 0; i < buffer->size; i++)
        sum = (sum ^ buffer->data[i]) * 1099511628211u;
    return sum;
}

apr_status_t work_on_picture(buffer_t *png, outcome_t *outcome, const char **reason, picture_t *picture,
                             const work_settings_t *settings, apr_pool_t *pool)
{
    apr_status_t status = gauss_blur(picture, settings->radius, settings->rounds);
    if (status == APR_SUCCESS)
        status = picture_encode(picture, reason, png);
    else
        *reason = apr_psprintf(pool, "not enough memory to blur %d x %d pixels", picture->width, picture->height);
    if (status == APR_SUCCESS && outcome) {
        outcome->checksum = checksum_of(png);
        thumb_make(&outcome->thumb, picture);
    }
    picture_destroy(picture);
    return status;
}

apr_status_t work_on_file(buffer_t *png, outcome_t *outcome, const char **reason, const char *input,
                          const work_settings_t *settings, apr_pool_t *pool)
{
    picture_t picture;
    apr_status_t status = picture_read(&picture, reason, input, pool);
    return status == APR_SUCCESS ? work_on_picture(png, outcome, reason, &picture, settings, pool) : status;
}
