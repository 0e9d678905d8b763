/* SPDX-License-Identifier: Apache-2.0 */
#include "sheet.h"

#include <string.h>

#include "light.h"

/* Between the pictures, and around them. */
#define GAP 8

#define GREY 64

/* ---- In small ---------------------------------------------------------------------------------------------------- */

static int at_least_one(int number)
{
    return number > 0 ? number : 1;
}

/* One pixel in small: the light of those from (left, top) to (right, bottom), before grey where they let it show. */
static void add_up(unsigned char *to, const picture_t *picture, const double *light, int left, int top, int right,
                   int bottom)
{
    const int channels = picture->channels;
    const int has_alpha = channels % 2 == 0;
    double sums[3] = {0, 0, 0};
    for (int y = top; y < bottom; y++) {
        const unsigned char *row = picture->pixels + (size_t)y * (size_t)picture->width * (size_t)channels;
        for (int x = left; x < right; x++) {
            const unsigned char *from = row + (size_t)x * (size_t)channels;
            const double alpha = has_alpha ? from[channels - 1] / 255.0 : 1;
            for (int c = 0; c < 3; c++)
                sums[c] += light[from[channels < 3 ? 0 : c]] * alpha + light[GREY] * (1 - alpha);
        }
    }
    for (int c = 0; c < 3; c++)
        to[c] = (unsigned char)(255 * light_to_srgb(sums[c] / ((double)(right - left) * (bottom - top))) + 0.5);
}

void thumb_make(thumb_t *thumb, const picture_t *picture)
{
    double light[256];
    double scale = fmin((double)THUMB_WIDTH / picture->width, (double)THUMB_HEIGHT / picture->height);
    if (scale > 1)
        scale = 1;
    /* All of it is given away, so that no byte is left to chance. */
    memset(thumb, 0, sizeof *thumb);
    thumb->width = at_least_one((int)(picture->width * scale + 0.5));
    thumb->height = at_least_one((int)(picture->height * scale + 0.5));
    for (int i = 0; i < 256; i++)
        light[i] = light_of(i / 255.0);
    for (int y = 0; y < thumb->height; y++) {
        const int top = y * picture->height / thumb->height;
        const int bottom = (y + 1) * picture->height / thumb->height;
        for (int x = 0; x < thumb->width; x++) {
            const int left = x * picture->width / thumb->width;
            const int right = (x + 1) * picture->width / thumb->width;
            add_up(thumb->pixels + 3 * (y * thumb->width + x), picture, light, left, top, right, bottom);
        }
    }
}

/* ---- The sheet --------------------------------------------------------------------------------------------------- */

apr_status_t sheet_create(picture_t *sheet, int count)
{
    int columns = 1;
    int rows;
    apr_status_t status;
    if (count > SHEET_PICTURES_MAX)
        count = SHEET_PICTURES_MAX;
    while (columns * columns < count)
        columns++;
    rows = (count + columns - 1) / columns;
    status = picture_create(sheet, columns * (THUMB_WIDTH + GAP) + GAP, rows * (THUMB_HEIGHT + GAP) + GAP, 3);
    if (status == APR_SUCCESS)
        memset(sheet->pixels, GREY, (size_t)sheet->width * (size_t)sheet->height * 3);
    return status;
}

void sheet_place(int *x, int *y, const picture_t *sheet, int index, int width, int height)
{
    const int columns = (sheet->width - GAP) / (THUMB_WIDTH + GAP);
    *x = GAP + index % columns * (THUMB_WIDTH + GAP) + (THUMB_WIDTH - width) / 2;
    *y = GAP + index / columns * (THUMB_HEIGHT + GAP) + (THUMB_HEIGHT - height) / 2;
}

void sheet_add(picture_t *sheet, int index, const thumb_t *thumb)
{
    int left;
    int top;
    if (index >= SHEET_PICTURES_MAX)
        return;
    sheet_place(&left, &top, sheet, index, thumb->width, thumb->height);
    for (int y = 0; y < thumb->height; y++)
        memcpy(sheet->pixels + 3 * ((size_t)(top + y) * (size_t)sheet->width + (size_t)left),
               thumb->pixels + 3 * (size_t)y * (size_t)thumb->width, 3 * (size_t)thumb->width);
}
