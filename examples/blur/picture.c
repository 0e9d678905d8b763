/* SPDX-License-Identifier: Apache-2.0 */
#include "picture.h"

#include <stdlib.h>
#include <string.h>

#include <apr_file_info.h>
#include <apr_file_io.h>
#include <apr_lib.h>
#include <apr_strings.h>

#include <stb/stb_image.h>
#include <stb/stb_image_write.h>

#include "stb_memory.h"

/* A file on its way into the decoder. */
typedef struct source_t {
    apr_file_t *file;
    apr_status_t status;
    int went_past_end;
} source_t;

static int source_read(void *context, char *data, int size)
{
    source_t *source = context;
    apr_size_t length = 0;
    apr_status_t status = apr_file_read_full(source->file, data, (apr_size_t)size, &length);
    if (status != APR_SUCCESS && !APR_STATUS_IS_EOF(status))
        source->status = status;
    /* The decoder asks again only if it needs more than the file has. Some formats go on with zeros then. */
    if (length == 0)
        source->went_past_end = 1;
    return (int)length;
}

static void source_skip(void *context, int count)
{
    source_t *source = context;
    apr_off_t offset = count;
    apr_status_t status = apr_file_seek(source->file, APR_CUR, &offset);
    if (status != APR_SUCCESS)
        source->status = status;
}

static int source_at_end(void *context)
{
    const source_t *source = context;
    /* APR would forget about the end when the decoder skips something there. */
    return source->went_past_end;
}

static const stbi_io_callbacks source_callbacks = {source_read, source_skip, source_at_end};

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

/* Open what can be a picture: opening a named pipe, say, could block for ever. */
static apr_status_t open_regular(apr_file_t **file, const char **reason, const char *path, apr_pool_t *pool)
{
    apr_finfo_t info;
    apr_status_t status = apr_stat(&info, path, APR_FINFO_TYPE | APR_FINFO_SIZE, pool);
    if (status == APR_SUCCESS && info.filetype != APR_REG) {
        *reason = info.filetype == APR_DIR ? "is a folder" : "is not a regular file";
        return APR_EGENERAL;
    }
    if (status == APR_SUCCESS && info.size == 0) {
        *reason = "the file is empty";
        return APR_EOF;
    }
    if (status == APR_SUCCESS)
        status = apr_file_open(file, path, APR_FOPEN_READ | APR_FOPEN_BINARY | APR_FOPEN_BUFFERED, APR_FPROT_OS_DEFAULT,
                               pool);
    if (status != APR_SUCCESS)
        *reason = describe(status, pool);
    return status;
}

/* What the header says must be believable before it is decoded: a few bytes can ask for terabytes. */
static apr_status_t check_size(const char **reason, source_t *source, apr_pool_t *pool)
{
    int width;
    int height;
    int channels;
    /* Where this fails, decoding fails as well, and knows a better reason. */
    if (!stbi_info_from_callbacks(&source_callbacks, source, &width, &height, &channels))
        return APR_SUCCESS;
    if (width > PICTURE_SIDE_MAX || height > PICTURE_SIDE_MAX || width > PICTURE_PIXELS_MAX / height) {
        *reason = apr_psprintf(pool, "%d x %d pixels are too many: at most %d a side and %d in all", width, height,
                               PICTURE_SIDE_MAX, PICTURE_PIXELS_MAX);
        return APR_EGENERAL;
    }
    return APR_SUCCESS;
}

static apr_status_t decode(picture_t *picture, const char **reason, source_t *source, apr_pool_t *pool)
{
    apr_off_t start = 0;
    apr_status_t status = check_size(reason, source, pool);
    if (status != APR_SUCCESS)
        return status;

    status = apr_file_seek(source->file, APR_SET, &start);
    if (status != APR_SUCCESS) {
        *reason = describe(status, pool);
        return status;
    }
    source->went_past_end = 0;
    stb_memory_begin();
    picture->pixels =
        stbi_load_from_callbacks(&source_callbacks, source, &picture->width, &picture->height, &picture->channels, 0);
    if (!picture->pixels) {
        *reason = stb_memory_was_refused() ? "not enough memory to decode it" : stbi_failure_reason();
        return APR_EGENERAL;
    }
    if (source->went_past_end) {
        *reason = "the file ends too early";
        picture_destroy(picture);
        return APR_EOF;
    }
    return APR_SUCCESS;
}

apr_status_t picture_read(picture_t *picture, const char **reason, const char *path, apr_pool_t *pool)
{
    source_t source = {NULL, APR_SUCCESS, 0};
    picture_t none = {0, 0, 0, NULL};
    apr_status_t status;

    *picture = none;
    status = open_regular(&source.file, reason, path, pool);
    if (status != APR_SUCCESS)
        return status;

    status = decode(picture, reason, &source, pool);
    if (source.status != APR_SUCCESS) {
        /* The decoder only knows that there was not enough; the system knows why. */
        picture_destroy(picture);
        status = source.status;
        *reason = describe(status, pool);
    }
    apr_file_close(source.file);
    return status;
}

/* A file that the encoder fills. */
typedef struct sink_t {
    apr_file_t *file;
    apr_status_t status;
} sink_t;

static void sink_write(void *context, void *data, int size)
{
    sink_t *sink = context;
    if (sink->status == APR_SUCCESS)
        sink->status = apr_file_write_full(sink->file, data, (apr_size_t)size, NULL);
}

static apr_status_t encode(const picture_t *picture, apr_file_t *file)
{
    sink_t sink = {file, APR_SUCCESS};
    int done = stbi_write_png_to_func(sink_write, &sink, picture->width, picture->height, picture->channels,
                                      picture->pixels, picture->width * picture->channels);
    if (sink.status == APR_SUCCESS && !done)
        return APR_ENOMEM;
    return sink.status;
}

apr_status_t picture_write(const picture_t *picture, const char **reason, const char *path, const char *temporary,
                           apr_pool_t *pool)
{
    const apr_int32_t flags = APR_FOPEN_WRITE | APR_FOPEN_CREATE | APR_FOPEN_EXCL | APR_FOPEN_BINARY;
    apr_file_t *file;
    apr_status_t status = apr_file_open(&file, temporary, flags, APR_FPROT_OS_DEFAULT, pool);
    if (status == APR_SUCCESS) {
        apr_status_t closed;
        status = encode(picture, file);
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

apr_status_t picture_create(picture_t *picture, int width, int height, int channels)
{
    picture->width = width;
    picture->height = height;
    picture->channels = channels;
    picture->pixels = calloc((size_t)width * (size_t)height, (size_t)channels);
    return picture->pixels ? APR_SUCCESS : APR_ENOMEM;
}

void picture_destroy(picture_t *picture)
{
    /* stb.c makes the decoder allocate with malloc, as picture_create() does. */
    free(picture->pixels);
    picture->pixels = NULL;
}
