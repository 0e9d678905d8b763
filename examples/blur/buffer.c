/* SPDX-License-Identifier: Apache-2.0 */
#include "buffer.h"

#include <stdlib.h>
#include <string.h>

#include <apr_file_info.h>
#include <apr_lib.h>
#include <apr_strings.h>

/* No picture that is let in needs a larger file. */
#define FILE_SIZE_MAX ((apr_off_t)1024 * 1024 * 1024)

static const char *describe(apr_status_t status, apr_pool_t *pool)
{
    char text[256];
    size_t length;
    apr_strerror(status, text, sizeof text);
    /* Windows ends its sentences with a new line. */
    length = strlen(text);
    while (length > 0 && apr_isspace(text[length - 1]))
        length--;
    return apr_pstrmemdup(pool, text, length);
}

apr_status_t buffer_append(buffer_t *buffer, const void *data, size_t size)
{
    /* One more, so that there is memory even if there are no bytes. */
    unsigned char *larger = realloc(buffer->data, buffer->size + size + 1);
    if (!larger)
        return APR_ENOMEM;
    buffer->data = larger;
    memcpy(buffer->data + buffer->size, data, size);
    buffer->size += size;
    return APR_SUCCESS;
}

void buffer_destroy(buffer_t *buffer)
{
    free(buffer->data);
    buffer->data = NULL;
    buffer->size = 0;
}

/* Look before it is opened: opening a named pipe, say, could block for ever. */
static apr_status_t check_file(apr_finfo_t *info, const char **reason, const char *path, apr_pool_t *pool)
{
    apr_status_t status = apr_stat(info, path, APR_FINFO_TYPE | APR_FINFO_SIZE, pool);
    if (status != APR_SUCCESS) {
        *reason = describe(status, pool);
        return status;
    }
    *reason = NULL;
    if (info->filetype != APR_REG)
        *reason = info->filetype == APR_DIR ? "is a folder" : "is not a regular file";
    else if (info->size == 0)
        *reason = "the file is empty";
    else if (info->size > FILE_SIZE_MAX)
        *reason = "the file is too large for a picture";
    return *reason ? APR_EGENERAL : APR_SUCCESS;
}

apr_status_t buffer_open(apr_file_t **file, size_t *size, const char **reason, const char *path, apr_pool_t *pool)
{
    apr_finfo_t info;
    apr_status_t status = check_file(&info, reason, path, pool);
    if (status != APR_SUCCESS)
        return status;
    *size = (size_t)info.size;
    status = apr_file_open(file, path, APR_FOPEN_READ | APR_FOPEN_BINARY, APR_FPROT_OS_DEFAULT, pool);
    if (status != APR_SUCCESS)
        *reason = describe(status, pool);
    return status;
}

apr_status_t buffer_fill(void *memory, size_t *size, const char **reason, apr_file_t *file, apr_pool_t *pool)
{
    apr_status_t status = memory ? apr_file_read_full(file, memory, *size, size) : APR_ENOMEM;
    apr_file_close(file);
    /* Somebody may have made it shorter meanwhile; whether it is a picture still, the decoder finds out. */
    if (status == APR_SUCCESS || APR_STATUS_IS_EOF(status))
        return APR_SUCCESS;
    *reason = describe(status, pool);
    return status;
}

apr_status_t buffer_read(buffer_t *buffer, const char **reason, const char *path, apr_pool_t *pool)
{
    apr_file_t *file;
    apr_status_t status = buffer_open(&file, &buffer->size, reason, path, pool);
    buffer->data = NULL;
    if (status == APR_SUCCESS) {
        buffer->data = malloc(buffer->size);
        status = buffer_fill(buffer->data, &buffer->size, reason, file, pool);
    }
    if (status != APR_SUCCESS)
        buffer_destroy(buffer);
    return status;
}

apr_status_t buffer_write(const void *data, size_t size, const char **reason, const char *path, const char *temporary,
                          apr_pool_t *pool)
{
    const apr_int32_t flags = APR_FOPEN_WRITE | APR_FOPEN_CREATE | APR_FOPEN_EXCL | APR_FOPEN_BINARY;
    apr_file_t *file;
    apr_status_t status = apr_file_open(&file, temporary, flags, APR_FPROT_OS_DEFAULT, pool);
    if (status == APR_SUCCESS) {
        apr_status_t closed;
        status = apr_file_write_full(file, data, size, NULL);
        /* Some file systems tell only now that they are full. */
        closed = apr_file_close(file);
        if (status == APR_SUCCESS)
            status = closed;
        if (status == APR_SUCCESS)
            status = apr_file_rename(temporary, path, pool);
        if (status != APR_SUCCESS)
            apr_file_remove(temporary, pool);
    }
    if (status != APR_SUCCESS)
        *reason = apr_psprintf(pool, "cannot write %s: %s", path, describe(status, pool));
    return status;
}
