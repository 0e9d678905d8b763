/* SPDX-License-Identifier: Apache-2.0 */
#include "gauss.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "light.h"

/* Beyond this many standard deviations a Gaussian is less than half a step of 8 bits in sum. */
#define REACH 4.0

/* How many columns of samples the vertical pass takes at once: some cache lines of each row. */
#define STRIP 64

/* How many samples are summed up before the next ones: what stays in the fastest cache. */
#define BLOCK 1024

/* Less than this is no light at all, but would in time become numbers so small that processors are slow with them. */
#define DARKNESS 1e-20f

/* A Gaussian for lines of a certain length: the weight of an element, and of those at each distance up to reach. */
typedef struct kernel_t {
    float *weights;
    int reach;
} kernel_t;

/* All that a blur works with. */
typedef struct blur_t {
    int width;
    int height;
    int channels;
    /* The picture: premultiplied, proportional to light. */
    float *samples;
    kernel_t horizontal;
    kernel_t vertical;
    /* One row of the picture, or one strip of columns, with its mirror images before and behind. */
    float *line;
    /* A strip of columns when it is blurred. */
    float *strip;
} blur_t;

/*
 * Make the kernel for lines of so many elements. Mirrored at both ends, a line repeats itself after twice its length;
 * so weights of distances beyond its length are added to those of the distances within that meet the same elements.
 */
static apr_status_t kernel_create(kernel_t *kernel, double radius, int length)
{
    int reach = (int)ceil(REACH * radius);
    double *weights = calloc((size_t)length + 1, sizeof *weights);
    kernel->reach = reach < length ? reach : length;
    kernel->weights = malloc(((size_t)kernel->reach + 1) * sizeof *kernel->weights);
    if (!weights || !kernel->weights) {
        free(weights);
        return APR_ENOMEM;
    }

    double sum = 1;
    weights[0] = 1;
    for (int distance = 1; distance <= reach; distance++) {
        double weight = exp(-0.5 * (distance / radius) * (distance / radius));
        int within = distance % (2 * length);
        if (within > length)
            within = 2 * length - within;
        /* Both sides meet the element itself. */
        weights[within] += within == 0 ? 2 * weight : weight;
        sum += 2 * weight;
    }

    /* The middle makes up for what rounding to float took from the others: many rounds must not change the light. */
    double rest = 1;
    for (int distance = 1; distance <= kernel->reach; distance++) {
        kernel->weights[distance] = (float)(weights[distance] / sum);
        rest -= 2 * (double)kernel->weights[distance];
    }
    kernel->weights[0] = (float)rest;
    free(weights);
    return APR_SUCCESS;
}

/* Which element of a line of @p length stands at @p index, which may lie up to one length before or behind it. */
static int mirrored(int index, int length)
{
    if (index < 0)
        return -1 - index;
    return index < length ? index : 2 * length - 1 - index;
}

/* Blur @p count samples at @p in into @p out. Neighbours are @p span samples apart. */
static void convolve(float *restrict out, const float *restrict in, size_t count, size_t span, const kernel_t *kernel)
{
    float sums[BLOCK];
    for (size_t start = 0; start < count; start += BLOCK) {
        const float *middle = in + start;
        size_t size = count - start < BLOCK ? count - start : BLOCK;
        for (size_t i = 0; i < size; i++)
            sums[i] = kernel->weights[0] * middle[i];
        for (int distance = 1; distance <= kernel->reach; distance++) {
            const float weight = kernel->weights[distance];
            const float *before = middle - span * (size_t)distance;
            const float *behind = middle + span * (size_t)distance;
            for (size_t i = 0; i < size; i++)
                sums[i] += weight * (before[i] + behind[i]);
        }
        for (size_t i = 0; i < size; i++)
            out[start + i] = sums[i] < DARKNESS ? 0 : sums[i];
    }
}

static void blur_rows(blur_t *blur)
{
    const int reach = blur->horizontal.reach;
    const size_t pixel = (size_t)blur->channels;
    for (int y = 0; y < blur->height; y++) {
        float *row = blur->samples + (size_t)y * (size_t)blur->width * pixel;
        for (int x = -reach; x < blur->width + reach; x++)
            memcpy(blur->line + (size_t)(x + reach) * pixel, row + (size_t)mirrored(x, blur->width) * pixel,
                   pixel * sizeof *row);
        convolve(row, blur->line + (size_t)reach * pixel, (size_t)blur->width * pixel, pixel, &blur->horizontal);
    }
}

static void blur_columns(blur_t *blur)
{
    const int reach = blur->vertical.reach;
    const size_t stride = (size_t)blur->width * (size_t)blur->channels;
    for (size_t left = 0; left < stride; left += STRIP) {
        size_t span = stride - left < STRIP ? stride - left : STRIP;
        for (int y = -reach; y < blur->height + reach; y++)
            memcpy(blur->line + (size_t)(y + reach) * span,
                   blur->samples + (size_t)mirrored(y, blur->height) * stride + left, span * sizeof *blur->line);
        convolve(blur->strip, blur->line + (size_t)reach * span, (size_t)blur->height * span, span, &blur->vertical);
        for (int y = 0; y < blur->height; y++)
            memcpy(blur->samples + (size_t)y * stride + left, blur->strip + (size_t)y * span,
                   span * sizeof *blur->line);
    }
}

static void samples_from(blur_t *blur, const picture_t *picture)
{
    const int channels = picture->channels;
    const int colours = channels % 2 ? channels : channels - 1;
    const size_t pixels = (size_t)picture->width * (size_t)picture->height;
    float light[256];
    for (int i = 0; i < 256; i++)
        light[i] = (float)light_of(i / 255.0);

    for (size_t i = 0; i < pixels; i++) {
        const unsigned char *from = picture->pixels + i * (size_t)channels;
        float *to = blur->samples + i * (size_t)channels;
        float alpha = colours < channels ? (float)from[colours] / 255 : 1;
        for (int c = 0; c < colours; c++)
            to[c] = light[from[c]] * alpha;
        if (colours < channels)
            to[colours] = alpha;
    }
}

/* Find the sRGB byte that is nearest to a light: the number of borders between bytes that lie below it. */
static unsigned char nearest_byte(float light, const float *borders)
{
    int byte = 0;
    for (int step = 128; step > 0; step /= 2) {
        if (light >= borders[byte + step - 1])
            byte += step;
    }
    return (unsigned char)byte;
}

static void samples_to(picture_t *picture, const blur_t *blur)
{
    const int channels = picture->channels;
    const int colours = channels % 2 ? channels : channels - 1;
    const size_t pixels = (size_t)picture->width * (size_t)picture->height;
    float borders[255];
    for (int i = 0; i < 255; i++)
        borders[i] = (float)light_of((i + 0.5) / 255);

    for (size_t i = 0; i < pixels; i++) {
        const float *from = blur->samples + i * (size_t)channels;
        unsigned char *to = picture->pixels + i * (size_t)channels;
        float alpha = colours < channels ? from[colours] : 1;
        for (int c = 0; c < colours; c++)
            to[c] = alpha > 0 ? nearest_byte(from[c] / alpha, borders) : 0;
        if (colours < channels)
            to[colours] = (unsigned char)(alpha < 1 ? alpha * 255 + 0.5f : 255);
    }
}

/* The memory of a blur; on failure what there is of it. */
static apr_status_t blur_create(blur_t *blur, const picture_t *picture, double radius)
{
    const size_t row = (size_t)picture->width * (size_t)picture->channels;
    size_t line_of_row;
    size_t line_of_strip;

    blur->width = picture->width;
    blur->height = picture->height;
    blur->channels = picture->channels;
    if (kernel_create(&blur->horizontal, radius, blur->width) != APR_SUCCESS ||
        kernel_create(&blur->vertical, radius, blur->height) != APR_SUCCESS)
        return APR_ENOMEM;

    line_of_row = ((size_t)blur->width + 2 * (size_t)blur->horizontal.reach) * (size_t)blur->channels;
    line_of_strip = ((size_t)blur->height + 2 * (size_t)blur->vertical.reach) * STRIP;
    blur->line = malloc((line_of_row > line_of_strip ? line_of_row : line_of_strip) * sizeof *blur->line);
    blur->samples = malloc(row * (size_t)blur->height * sizeof *blur->samples);
    blur->strip = malloc((size_t)blur->height * STRIP * sizeof *blur->strip);
    return blur->line && blur->samples && blur->strip ? APR_SUCCESS : APR_ENOMEM;
}

apr_status_t gauss_blur(picture_t *picture, double radius, int rounds)
{
    blur_t blur = {0};
    apr_status_t status = blur_create(&blur, picture, radius);
    if (status == APR_SUCCESS) {
        samples_from(&blur, picture);
        for (int round = 0; round < rounds; round++) {
            blur_rows(&blur);
            blur_columns(&blur);
        }
        samples_to(picture, &blur);
    }
    free(blur.strip);
    free(blur.samples);
    free(blur.line);
    free(blur.horizontal.weights);
    free(blur.vertical.weights);
    return status;
}
