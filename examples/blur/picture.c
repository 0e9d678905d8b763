/* SPDX-License-Identifier: Apache-2.0 */
#include "picture.h"

#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include <stb/stb_image.h>
#include <stb/stb_image_write.h>

#include "stb_memory.h"

/* A file's bytes on their way into the decoder. */
typedef struct source_t {
    const unsigned char *data;
    size_t size;
    size_t taken;
    int went_past_end;
} source_t;

static int source_read(void *context, char *data, int size)
{
    source_t *source = context;
    size_t left = source->size - source->taken;
    size_t length = (size_t)size < left ? (size_t)size : left;
    memcpy(data, source->data + source->taken, length);
    source->taken += length;
    /* The decoder asks again only if it needs more than the file has. Some formats go on with zeros then. */
    if (length == 0)
        source->went_past_end = 1;
    return (int)length;
}

static void source_skip(void *context, int count)
{
    source_t *source = context;
    size_t left = source->size - source->taken;
    source->taken += (size_t)count < left ? (size_t)count : left;
}

static int source_at_end(void *context)
{
    const source_t *source = context;
    return source->went_past_end;
}

static const stbi_io_callbacks source_callbacks = {source_read, source_skip, source_at_end};

/* What the header says must be believable before it is decoded: a few bytes can ask for terabytes. */
static apr_status_t check_size(const char **reason, source_t source, apr_pool_t *pool)
{
    int width;
    int height;
    int channels;
    /* Where this fails, decoding fails as well, and knows a better reason. */
    if (!stbi_info_from_callbacks(&source_callbacks, &source, &width, &height, &channels))
        return APR_SUCCESS;
    if (width > PICTURE_SIDE_MAX || height > PICTURE_SIDE_MAX || width > PICTURE_PIXELS_MAX / height) {
        *reason = apr_psprintf(pool, "%d x %d pixels are too many: at most %d a side and %d in all", width, height,
                               PICTURE_SIDE_MAX, PICTURE_PIXELS_MAX);
        return APR_EGENERAL;
    }
    return APR_SUCCESS;
}

apr_status_t picture_decode(picture_t *picture, const char **reason, const void *data, size_t size, apr_pool_t *pool)
{
    source_t source = {data, size, 0, 0};
    picture_t none = {0, 0, 0, NULL};
    apr_status_t status = check_size(reason, source, pool);
    *picture = none;
    if (status != APR_SUCCESS)
        return status;

    stb_memory_begin();
    picture->pixels =
        stbi_load_from_callbacks(&source_callbacks, &source, &picture->width, &picture->height, &picture->channels, 0);
    if (!picture->pixels) {
        *reason = stb_memory_was_refused() ? "not enough memory to decode it" : stbi_failure_reason();
        return APR_EGENERAL;
    }
    if (source.went_past_end) {
        *reason = "the file ends too early";
        picture_destroy(picture);
        return APR_EOF;
    }
    return APR_SUCCESS;
}

/* What the encoder fills. */
typedef struct sink_t {
    buffer_t *buffer;
    apr_status_t status;
} sink_t;

static void sink_write(void *context, void *data, int size)
{
    sink_t *sink = context;
    if (sink->status == APR_SUCCESS)
        sink->status = buffer_append(sink->buffer, data, (size_t)size);
}

apr_status_t picture_encode(const picture_t *picture, const char **reason, buffer_t *buffer)
{
    sink_t sink = {buffer, APR_SUCCESS};
    int done = stbi_write_png_to_func(sink_write, &sink, picture->width, picture->height, picture->channels,
                                      picture->pixels, picture->width * picture->channels);
    if (done && sink.status == APR_SUCCESS)
        return APR_SUCCESS;
    *reason = "not enough memory to encode it";
    return APR_ENOMEM;
}

apr_status_t picture_read(picture_t *picture, const char **reason, const char *path, apr_pool_t *pool)
{
    buffer_t file;
    apr_status_t status = buffer_read(&file, reason, path, pool);
    if (status != APR_SUCCESS)
        return status;
    status = picture_decode(picture, reason, file.data, file.size, pool);
    buffer_destroy(&file);
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
