/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file sheet.h
 * @brief Pictures in small, and the contact sheet that shows them all.
 */
#ifndef BLUR_SHEET_H
#define BLUR_SHEET_H

#include "picture.h"

/** The largest that a picture in small can be, in pixels. */
#define THUMB_WIDTH 160
#define THUMB_HEIGHT 120

/** How many pictures a sheet shows at most: the first ones. */
#define SHEET_PICTURES_MAX 1000

/** A picture in small: red, green and blue, before the sheet's grey. There are no pointers in it, so it can travel. */
typedef struct thumb_t {
    int width;
    int height;
    unsigned char pixels[THUMB_WIDTH * THUMB_HEIGHT * 3];
} thumb_t;

/**
 * Make a picture small, unless it is. Each pixel has the mean light of those that it stands for.
 *
 * @param thumb   The picture in small. It has the shape of the other one, as nearly as pixels can have it.
 * @param picture The picture.
 */
void thumb_make(thumb_t *thumb, const picture_t *picture);

/**
 * Make an empty sheet.
 *
 * @param sheet The sheet, for picture_destroy().
 * @param count How many pictures it is to show, from 1; if they are more than SHEET_PICTURES_MAX, just so many.
 * @return APR_SUCCESS or APR_ENOMEM.
 */
apr_status_t sheet_create(picture_t *sheet, int count);

/**
 * Tell where a picture in small is on its sheet.
 *
 * @param x      The column of its first pixel.
 * @param y      The row of its first pixel.
 * @param sheet  The sheet.
 * @param index  Its number, from 0 to SHEET_PICTURES_MAX - 1.
 * @param width  How wide it is.
 * @param height How high it is.
 */
void sheet_place(int *x, int *y, const picture_t *sheet, int index, int width, int height);

/**
 * Show a picture on a sheet.
 *
 * @param sheet The sheet.
 * @param index The picture's number, from 0; beyond SHEET_PICTURES_MAX it is left out.
 * @param thumb The picture in small.
 */
void sheet_add(picture_t *sheet, int index, const thumb_t *thumb);

#endif
