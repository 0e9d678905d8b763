/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file light.h
 * @brief From sRGB to what is proportional to light, and back; all from 0 to 1.
 */
#ifndef BLUR_LIGHT_H
#define BLUR_LIGHT_H

#include <math.h>

static inline double light_of(double srgb)
{
    return srgb <= 0.04045 ? srgb / 12.92 : pow((srgb + 0.055) / 1.055, 2.4);
}

static inline double light_to_srgb(double light)
{
    return light <= 0.0031308 ? light * 12.92 : 1.055 * pow(light, 1 / 2.4) - 0.055;
}

#endif
