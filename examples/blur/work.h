/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file work.h
 * @brief What is done to a picture, whatever process does it.
 */
#ifndef BLUR_WORK_H
#define BLUR_WORK_H

#include <stdint.h>

#include "picture.h"
#include "sheet.h"

/** How pictures are blurred. */
typedef struct work_settings_t {
    double radius;
    int rounds;
} work_settings_t;

/** What a blurred picture looks like: bytes without pointers, so that it can be the result of a task. */
typedef struct outcome_t {
    /** A checksum of the file. */
    uint64_t checksum;
    /** It in small. */
    thumb_t thumb;
} outcome_t;

/**
 * Blur a picture.
 *
 * @param png      The bytes of the file to be written are added at its end.
 * @param outcome  What it looks like; NULL: it is not told.
 * @param reason   On failure: why, in words, from @p pool.
 * @param picture  The picture, which is given back in any case.
 * @param settings How.
 * @param pool     For the call.
 * @return APR_SUCCESS or a status.
 */
apr_status_t work_on_picture(buffer_t *png, outcome_t *outcome, const char **reason, picture_t *picture,
                             const work_settings_t *settings, apr_pool_t *pool);

/**
 * Read a picture from a file, and blur it.
 *
 * @param png      As for work_on_picture().
 * @param outcome  As for work_on_picture().
 * @param reason   As for work_on_picture().
 * @param input    The file, in UTF-8.
 * @param settings How.
 * @param pool     For the call.
 * @return APR_SUCCESS or a status.
 */
apr_status_t work_on_file(buffer_t *png, outcome_t *outcome, const char **reason, const char *input,
                          const work_settings_t *settings, apr_pool_t *pool);

#endif
