/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file gauss.h
 * @brief Gaussian blur.
 *
 * Light is added up as light: the samples, which are sRGB, are made proportional to light before they are blurred and
 * made sRGB again afterwards, so that a bright spot on black keeps its brightness. Alpha is proportional as it stands,
 * and colours count by their alpha: what is transparent does not bleed into what is not. Beyond its edges a picture is
 * continued by its mirror image, so that nothing gets darker there and the mean of the light stays what it was. Between
 * the rounds samples are kept as floating point numbers.
 */
#ifndef BLUR_GAUSS_H
#define BLUR_GAUSS_H

#include "picture.h"

/** The largest radius of a blur. */
#define GAUSS_RADIUS_MAX 10000.0

/**
 * Blur a picture.
 *
 * @param picture The picture, changed in place.
 * @param radius  The standard deviation of the Gaussian in pixels, above 0 and up to GAUSS_RADIUS_MAX.
 * @param rounds  How often to do it, from 1. K rounds come to one with the radius times the square root of K.
 * @return APR_SUCCESS; APR_ENOMEM, and the picture is as before.
 */
apr_status_t gauss_blur(picture_t *picture, double radius, int rounds);

#endif
