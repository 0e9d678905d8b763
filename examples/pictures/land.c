/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scenes under the open sky.
 */
#include <math.h>

#include "scene.h"

#define FAR 60.0
#define LAKE 0.0

static vector_t sun_direction(void)
{
    return normalise(vector(-0.80, 0.36, -0.12));
}

/* How high the land is: noise of many sizes. Where it is steep, small sizes count less, as if rain had washed it. */
static double land_height(double x, double z, int octaves)
{
    double sum = 0;
    double strength = 1;
    double slope_x = 0;
    double slope_z = 0;
    double px = x * 0.32 + 11.7;
    double pz = z * 0.32 - 4.2;
    for (int i = 0; i < octaves; i++) {
        double sx;
        double sz;
        double value = noise_slope(px, pz, &sx, &sz);
        slope_x += 0.5 * sx;
        slope_z += 0.5 * sz;
        sum += strength * value / (1 + slope_x * slope_x + slope_z * slope_z);
        strength *= 0.49;
        double turned = 1.6 * px - 1.2 * pz;
        pz = 1.2 * px + 1.6 * pz;
        px = turned;
    }
    /* A valley in the middle, with the lake, and mountains behind it. */
    double valley = exp(-x * x * 0.09 - (z - 1) * (z - 1) * 0.02);
    double behind = smooth_step(-4, -18, z);
    return 1.15 * sum * (1 + 1.1 * behind) + 0.35 + 1.2 * behind - 1.2 * valley;
}

static vector_t land_normal(double x, double z, double distance)
{
    double step = 0.002 + 0.0012 * distance;
    double here = land_height(x, z, 11);
    return normalise(vector(here - land_height(x + step, z, 11), step, here - land_height(x, z + step, 11)));
}

/* Go along a ray in steps that the land cannot jump through. */
static double meet_land(vector_t from, vector_t direction)
{
    double distance = 0.05;
    for (int i = 0; i < 260 && distance < FAR; i++) {
        vector_t point = add(from, scale(direction, distance));
        double above = point.y - land_height(point.x, point.z, 8);
        if (above < 0.0008 * distance)
            return distance;
        if (point.y > 4.5 && direction.y > 0)
            break;
        distance += 0.35 * above + 0.0004 * distance;
    }
    return FAR;
}

static vector_t day_sky(vector_t direction)
{
    double height = fmax(direction.y, 0.0);
    double sun = clamp(dot(direction, sun_direction()));
    vector_t sky = mix(vector(0.58, 0.70, 0.86), vector(0.09, 0.22, 0.56), smooth_step(0, 0.55, height));
    sky = mix(sky, vector(0.98, 0.76, 0.52), 0.75 * exp(-7 * height) * pow(sun, 2));
    sky = add(sky, scale(vector(1, 0.72, 0.40), 0.35 * pow(sun, 8) + 0.8 * pow(sun, 400)));
    if (direction.y > 0.01) {
        double u = direction.x / (direction.y + 0.06) * 0.55;
        double v = direction.z / (direction.y + 0.06) * 0.55;
        double clouds = smooth_step(-0.02, 0.42, fractal(u + 2.3, v, 2, 8));
        double thick = smooth_step(0.1, 0.6, fractal(u + 2.2, v + 0.1, 2, 8));
        vector_t white = mix(vector(0.98, 0.94, 0.90), vector(0.55, 0.58, 0.66), 0.7 * thick);
        sky = mix(sky, white, 0.85 * clouds * smooth_step(0.01, 0.16, direction.y));
    }
    return sky;
}

static vector_t land_colour(vector_t point, double distance)
{
    const vector_t sun = sun_direction();
    vector_t normal = land_normal(point.x, point.z, distance);
    double patches = fractal(point.x * 3, point.z * 3, 1, 5);
    vector_t rock = mix(vector(0.17, 0.145, 0.12), vector(0.33, 0.29, 0.25), 0.5 + patches);
    rock = scale(rock, 0.8 + 0.4 * noise(point.x * 2, point.y * 22, point.z * 2));
    vector_t grass = mix(vector(0.075, 0.12, 0.025), vector(0.17, 0.16, 0.05), clamp(0.5 + 1.4 * patches));
    vector_t sand = vector(0.34, 0.28, 0.19);

    double green = smooth_step(0.66, 0.86, normal.y) * smooth_step(1.35, 0.7, point.y + 0.5 * patches);
    vector_t colour = mix(rock, grass, green);
    colour = mix(colour, sand, smooth_step(0.07, 0.01, point.y - LAKE + 0.05 * patches));
    double snow = smooth_step(1.35, 1.9, point.y + 0.6 * patches) * smooth_step(0.45, 0.75, normal.y);
    colour = mix(colour, vector(0.86, 0.89, 0.95), snow);

    double light = fmax(0, dot(normal, sun));
    if (light > 0 && meet_land(add(point, vector(0, 0.01, 0)), sun) < FAR)
        light = 0;
    vector_t sky_light = vector(0.20, 0.27, 0.40);
    return multiply(colour,
                    add(scale(vector(2.3, 1.85, 1.35), light), scale(sky_light, 1.2 * (0.55 + 0.45 * normal.y))));
}

static vector_t hazy(vector_t colour, vector_t direction, double distance)
{
    double haze = 1 - exp(-pow(distance * 0.032, 1.5));
    double sun = clamp(dot(direction, sun_direction()));
    return mix(colour, mix(vector(0.52, 0.62, 0.78), vector(0.95, 0.74, 0.52), pow(sun, 3)), haze);
}

static vector_t look_at_land(vector_t from, vector_t direction)
{
    double distance = meet_land(from, direction);
    if (distance >= FAR)
        return day_sky(direction);
    vector_t point = add(from, scale(direction, distance));
    return hazy(land_colour(point, distance), direction, distance);
}

sample_t scene_landscape(double x, double y, unsigned seed)
{
    vector_t eye = vector(1.3, 0.55, 4.2);
    vector_t direction = normalise(vector(x * 0.62, y * 0.62 + 0.05, -1.35));
    (void)seed;
    double land = meet_land(eye, direction);
    double water = direction.y < 0 ? (LAKE - eye.y) / direction.y : FAR;
    if (land < water || water >= FAR)
        return opaque(look_at_land(eye, direction));

    /* The lake mirrors, a little moved by the wind, and shows its ground where one looks down steeply. */
    vector_t point = add(eye, scale(direction, water));
    double wave = 0.016 / (1 + 0.15 * water);
    vector_t normal = normalise(vector(wave * fractal(point.x * 9, point.z * 22, 0, 4), 1,
                                       wave * fractal(point.x * 9, point.z * 22, 5, 4) * 2.5));
    vector_t mirrored = reflect(direction, normal);
    mirrored.y = fabs(mirrored.y);
    vector_t seen = look_at_land(add(point, vector(0, 0.002, 0)), normalise(mirrored));
    double angle = clamp(1 + dot(direction, normal));
    double depth = LAKE - land_height(point.x, point.z, 6);
    vector_t ground = mix(vector(0.20, 0.19, 0.12), vector(0.012, 0.045, 0.055), smooth_step(0, 0.22, depth));
    vector_t colour = mix(ground, seen, 0.10 + 0.86 * pow(angle, 3));
    return opaque(hazy(colour, direction, water));
}

/* The sun goes down over the sea. */

static vector_t evening_sky(double x, double y)
{
    double dx = x + 0.15;
    double dy = y - 0.075;
    double from_sun = sqrt(dx * dx + dy * dy);
    vector_t sky = mix(vector(1.0, 0.42, 0.10), vector(0.34, 0.13, 0.25), smooth_step(0, 0.5, y));
    sky = mix(sky, vector(0.035, 0.055, 0.16), smooth_step(0.3, 1.1, y));
    sky = add(sky, scale(vector(1.0, 0.46, 0.10), 0.85 * exp(-2.6 * from_sun)));

    double u = x * 1.1 / (y + 0.35);
    double v = 2.2 / (y + 0.35);
    double clouds = smooth_step(0.02, 0.42, fractal(u + 7, v * 1.5 + 3, 1, 7) + 0.08);
    double edge = smooth_step(0.02, 0.42, fractal(u + 7.03 + dx * 0.05, v * 1.5 + 3.06, 1, 7) + 0.02);
    vector_t lit = mix(vector(1.0, 0.36, 0.12), vector(0.50, 0.16, 0.22), smooth_step(0.1, 0.9, from_sun));
    vector_t body = mix(lit, vector(0.085, 0.05, 0.10), edge);
    sky = mix(sky, body, 0.9 * clouds * smooth_step(0.02, 0.2, y));
    vector_t disc = vector(1.0, 0.86, 0.52);
    return mix(sky, disc, smooth_step(0.104, 0.100, from_sun) * (1 - 0.7 * clouds * smooth_step(0.02, 0.2, y)));
}

/* A small boat, dark against the light. */
static double boat(double x, double y)
{
    double u = (x - 0.72) / 0.13;
    double v = (y + 0.085) / 0.13;
    double hull = v > -0.12 && v < 0.1 && fabs(u) < 0.75 + 0.9 * v ? 1 : 0;
    double mast = fabs(u + 0.05) < 0.022 && v >= 0.1 && v < 1.75 ? 1 : 0;
    double main_sail = u > 0 && v > 0.2 && v < 1.65 && u < 0.62 * (1.65 - v) / 1.45 ? 1 : 0;
    double fore_sail = u < -0.12 && v > 0.2 && v < 1.4 && -u - 0.12 < 0.5 * (1.4 - v) / 1.2 ? 1 : 0;
    return fmax(fmax(hull, mast), fmax(main_sail, fore_sail));
}

sample_t scene_sunset(double x, double y, unsigned seed)
{
    const double horizon = -0.12;
    double above = y - horizon;
    double dark = boat(x, y);
    vector_t colour;
    (void)seed;
    if (above >= 0) {
        colour = evening_sky(x, above);
        double hills = 0.045 + 0.05 * fractal(x * 1.4 + 1, 0.3, 0.7, 6) + 0.05 * smooth_step(0.5, 1.8, fabs(x + 0.2));
        colour = mix(colour, vector(0.13, 0.05, 0.085),
                     smooth_step(0.002, -0.002, above - hills * smooth_step(0.35, 1, fabs(x + 0.15))));
    } else {
        /* Waves are low and long far away, high and short near. */
        double distance = 0.09 / (0.02 - above);
        double across = x * distance * 26;
        double along = distance * 160;
        double wave = fractal(across, along, 2, 5);
        double shake = 0.30 * wave * (0.25 - above);
        double mirrored = fabs(-above * 0.9 + shake * 1.4) + 0.004;
        colour =
            scale(multiply(evening_sky(x + 1.5 * shake * (0.4 - above), mirrored), vector(0.72, 0.66, 0.74)), 0.82);
        double width = 0.10 + 0.55 * -above;
        double path = exp(-pow((x + 0.15) / width, 2));
        double glitter = smooth_step(0.16, 0.42, fractal(across * 1.8 + 9, along * 1.7, 6, 4) + 0.18 * path);
        colour = add(colour, scale(vector(1.0, 0.55, 0.18), 1.1 * path * glitter));
        colour = mix(colour, vector(0.02, 0.03, 0.075), 0.5 * smooth_step(0, -0.9, above));
        /* The boat's own image. */
        dark = fmax(dark, 0.7 * boat(x + shake * 0.9, -0.194 - y - 0.0));
    }
    return opaque(scale(colour, 1 - 0.97 * dark));
}
