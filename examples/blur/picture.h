/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file picture.h
 * @brief Pictures in memory, and their way from files and into those of the format PNG.
 */
#ifndef BLUR_PICTURE_H
#define BLUR_PICTURE_H

#include <apr_errno.h>
#include <apr_pools.h>

#include "buffer.h"

/** The longest side of a picture, in pixels. A file that claims more is refused before memory is asked for. */
#define PICTURE_SIDE_MAX 32768

/** The most pixels of a picture. Blurring takes up to 20 bytes for each. */
#define PICTURE_PIXELS_MAX 64000000

/** A picture: rows from the top, pixels from the left, 8 bits for each channel. */
typedef struct picture_t {
    int width;
    int height;
    /** 1: grey, 2: grey and alpha, 3: red, green and blue, 4: these and alpha. Alpha is not premultiplied. */
    int channels;
    unsigned char *pixels;
} picture_t;

/**
 * Make a picture whose pixels are all 0.
 *
 * @param picture  The new picture, for picture_destroy().
 * @param width    1 to PICTURE_SIDE_MAX.
 * @param height   1 to PICTURE_SIDE_MAX.
 * @param channels 1 to 4.
 * @return APR_SUCCESS or APR_ENOMEM.
 */
apr_status_t picture_create(picture_t *picture, int width, int height, int channels);

/**
 * Decode a picture: PNG, JPEG, BMP, GIF (its first frame), TGA, PSD, HDR, PIC, PNM. 16 bits become 8.
 *
 * @param picture The new picture, for picture_destroy(); empty on failure.
 * @param reason  On failure: why, in words, from @p pool.
 * @param data    The bytes of the file.
 * @param size    How many.
 * @param pool    For the call.
 * @return APR_SUCCESS or a status.
 */
apr_status_t picture_decode(picture_t *picture, const char **reason, const void *data, size_t size, apr_pool_t *pool);

/**
 * Encode a picture as PNG.
 *
 * @param picture The picture.
 * @param reason  On failure: why, in words.
 * @param buffer  The bytes of the file are added at its end.
 * @return APR_SUCCESS or APR_ENOMEM.
 */
apr_status_t picture_encode(const picture_t *picture, const char **reason, buffer_t *buffer);

/**
 * Read a picture from a file.
 *
 * @param picture The new picture, for picture_destroy(); empty on failure.
 * @param reason  On failure: why, in words, from @p pool.
 * @param path    The file, in UTF-8.
 * @param pool    For the call.
 * @return As picture_decode(), and whatever reading files can give.
 */
apr_status_t picture_read(picture_t *picture, const char **reason, const char *path, apr_pool_t *pool);

/**
 * Give a picture's memory back.
 *
 * @param picture The picture; may be empty.
 */
void picture_destroy(picture_t *picture);

#endif
