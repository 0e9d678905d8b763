/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scenes in space: a ray of sight is followed from the viewer to what it meets.
 */
#include <math.h>

#include "scene.h"

/* Spheres on a floor of tiles. */

typedef struct sphere_t {
    vector_t centre;
    double radius;
    vector_t colour;
    double mirror;
} sphere_t;

static const sphere_t spheres[] = {
    {{0.0, 1.0, 0.0}, 1.00, {0.95, 0.64, 0.20}, 0.55},  {{-2.15, 0.8, -0.7}, 0.80, {0.80, 0.06, 0.05}, 0.12},
    {{2.1, 0.9, -0.6}, 0.90, {0.90, 0.92, 0.95}, 0.86}, {{-1.05, 0.45, 1.5}, 0.45, {0.05, 0.22, 0.75}, 0.15},
    {{1.2, 0.4, 1.6}, 0.40, {0.06, 0.50, 0.12}, 0.12},  {{0.1, 0.25, 2.2}, 0.25, {0.85, 0.85, 0.80}, 0.05},
    {{-0.7, 0.6, -3.2}, 0.60, {0.45, 0.10, 0.55}, 0.3}, {{3.9, 0.7, -3.2}, 0.70, {0.10, 0.55, 0.55}, 0.2},
    {{-4.2, 1.1, -3.6}, 1.10, {0.80, 0.80, 0.82}, 0.7}, {{-2.4, 0.28, 1.3}, 0.28, {0.90, 0.40, 0.05}, 0.1},
};

#define SPHERE_COUNT (int)(sizeof spheres / sizeof *spheres)
#define FAR 1e9

/* How far along a ray a sphere begins; FAR if the ray misses it. */
static double sphere_distance(vector_t from, vector_t direction, vector_t centre, double radius)
{
    vector_t way = subtract(from, centre);
    double half = dot(way, direction);
    double root = half * half - dot(way, way) + radius * radius;
    double distance = root > 0 ? -half - sqrt(root) : FAR;
    return distance > 1e-6 ? distance : FAR;
}

/* The first sphere on a ray, or -1. */
static int first_sphere(vector_t from, vector_t direction, double *distance)
{
    int found = -1;
    for (int i = 0; i < SPHERE_COUNT; i++) {
        double d = sphere_distance(from, direction, spheres[i].centre, spheres[i].radius);
        if (d < *distance) {
            *distance = d;
            found = i;
        }
    }
    return found;
}

static vector_t studio_sky(vector_t direction)
{
    vector_t sky = mix(vector(0.75, 0.82, 0.92), vector(0.12, 0.30, 0.68), smooth_step(0, 0.7, direction.y));
    double clouds = 0;
    if (direction.y > 0.02)
        clouds = fractal(direction.x / direction.y * 0.7, direction.z / direction.y * 0.7, 4, 6);
    sky = mix(sky, vector(0.98, 0.96, 0.94), 0.8 * smooth_step(0, 0.45, clouds) * smooth_step(0.02, 0.2, direction.y));
    return sky;
}

static vector_t follow_ray(vector_t from, vector_t direction, int depth, unsigned seed)
{
    double distance = FAR;
    int found = first_sphere(from, direction, &distance);
    double floor_distance = direction.y < -1e-6 ? -from.y / direction.y : FAR;
    if (found < 0 && floor_distance >= FAR)
        return studio_sky(direction);

    int on_floor = floor_distance < distance;
    vector_t point = add(from, scale(direction, on_floor ? floor_distance : distance));
    vector_t normal = vector(0, 1, 0);
    vector_t colour;
    double mirror;
    if (on_floor) {
        int odd = ((int)floor(point.x) + (int)floor(point.z)) & 1;
        colour = odd ? vector(0.70, 0.66, 0.60) : vector(0.06, 0.07, 0.08);
        mirror = 0.12;
    } else {
        normal = scale(subtract(point, spheres[found].centre), 1 / spheres[found].radius);
        colour = spheres[found].colour;
        mirror = spheres[found].mirror;
    }

    /* The lamp has a size: each sample sees another point of it, and shadows get soft edges. */
    vector_t lamp =
        vector(-4 + 1.6 * (hashed((int)seed, depth, 1) - 0.5), 7, 4 + 1.6 * (hashed((int)seed, depth, 2) - 0.5));
    vector_t to_lamp = normalise(subtract(lamp, point));
    double shadow_distance = FAR;
    vector_t start = add(point, scale(normal, 1e-4));
    int dark = first_sphere(start, to_lamp, &shadow_distance) >= 0;
    double light = dark ? 0 : fmax(0, dot(normal, to_lamp));
    vector_t lit = scale(colour, 0.95 * light);
    lit = add(lit, scale(multiply(colour, vector(0.75, 0.85, 1)), 0.30 * (0.6 + 0.4 * normal.y)));

    /* Seen at a low angle everything mirrors. */
    double angle = clamp(1 + dot(direction, normal));
    mirror += (1 - mirror) * 0.8 * pow(angle, 5);
    if (depth > 0 && mirror > 0.01) {
        vector_t seen = follow_ray(start, reflect(direction, normal), depth - 1, seed);
        vector_t tint = on_floor ? vector(1, 1, 1) : mix(spheres[found].colour, vector(1, 1, 1), 0.15);
        lit = add(scale(lit, 1 - mirror), scale(multiply(seen, tint), mirror));
    }
    if (!dark && !on_floor)
        lit = add(lit, scale(vector(1, 0.97, 0.9), 0.9 * pow(clamp(dot(reflect(direction, normal), to_lamp)), 120)));
    double haze = on_floor ? 1 - exp(-floor_distance * floor_distance * 0.0012) : 0;
    return mix(lit, vector(0.75, 0.82, 0.92), haze);
}

sample_t scene_spheres(double x, double y, unsigned seed)
{
    vector_t eye = vector(0.4, 2.1, 7.2);
    vector_t direction = normalise(vector(x - 0.06, y - 0.42, -2.5));
    return opaque(follow_ray(eye, direction, 5, seed));
}

/* Soap bubbles on nothing: the picture with alpha. */

static void draw_bubble(sample_t *sample, double x, double y, double radius, int number)
{
    double distance = sqrt(x * x + y * y) / radius;
    if (distance >= 1)
        return;
    double height = sqrt(1 - distance * distance);
    double film =
        1.2 * (1 - height) + 0.35 * fractal(x * 2.5 / radius, y * 2.5 / radius, number * 3.7, 5) + 0.25 * y / radius;
    vector_t colour = rainbow(1.6 * film + 0.17 * number);
    double rim = pow(distance, 5);
    double alpha = 0.10 + 0.62 * rim;
    double window_x = x / radius + 0.38;
    double window_y = y / radius - 0.42;
    double glint = smooth_step(0.022, 0.008, window_x * window_x + window_y * window_y + 0.6 * window_x * window_y);
    double back_x = x / radius - 0.45;
    double back_y = y / radius + 0.5;
    glint = fmax(glint, 0.45 * smooth_step(0.012, 0.002, back_x * back_x + back_y * back_y - 0.4 * back_x * back_y));

    colour = mix(scale(colour, 0.9), vector(1, 1, 1), fmax(glint, 0.25 * rim));
    alpha = fmax(alpha, 0.95 * glint);
    double total = alpha + sample->alpha * (1 - alpha);
    sample->colour = scale(add(scale(colour, alpha), scale(sample->colour, sample->alpha * (1 - alpha))), 1 / total);
    sample->alpha = total;
}

sample_t scene_bubbles(double x, double y, unsigned seed)
{
    static const double bubbles[][3] = {
        {-0.62, 0.12, 0.58}, {0.55, 0.28, 0.44},   {0.22, -0.52, 0.34}, {-0.98, -0.62, 0.2}, {1.04, -0.35, 0.24},
        {-0.1, 0.74, 0.17},  {-0.38, -0.74, 0.12}, {1.12, 0.74, 0.1},   {-1.16, 0.8, 0.11},  {0.72, -0.82, 0.08}};
    sample_t sample = {{0, 0, 0}, 0};
    (void)seed;
    for (int i = 0; i < (int)(sizeof bubbles / sizeof *bubbles); i++)
        draw_bubble(&sample, x - bubbles[i][0], y - bubbles[i][1], bubbles[i][2], i);
    return sample;
}

/* A planet with rings. */

static vector_t planet_surface(vector_t normal)
{
    /* Its axis is tilted. */
    double latitude = 0.94 * normal.y + 0.34 * normal.x;
    double longitude = 0.94 * normal.x - 0.34 * normal.y;
    double swirl = 0.05 * fractal(longitude * 3, latitude * 12, normal.z * 3, 6);
    double bands = fractal(0.5, (latitude + swirl) * 5.5, 3, 5);
    double fine = fractal(longitude * 1.5, (latitude + 2 * swirl) * 30, normal.z, 4);
    vector_t colour = mix(vector(0.78, 0.55, 0.33), vector(0.36, 0.17, 0.09), smooth_step(-0.35, 0.35, bands));
    colour = mix(colour, vector(0.92, 0.82, 0.66), smooth_step(0.05, 0.4, fine - bands));
    return mix(colour, vector(0.35, 0.40, 0.48), smooth_step(0.7, 1, fabs(latitude)));
}

/* How much of the light a ring takes at a distance from the planet's middle, in its radii. */
static double ring_density(double distance)
{
    if (distance < 1.28 || distance > 2.25)
        return 0;
    double density = 0.55 + 0.45 * fractal(distance * 26, 0.5, 0.5, 5) / 0.6;
    density *= smooth_step(1.28, 1.5, distance) * smooth_step(2.25, 2.22, distance);
    return clamp(density * (1 - 0.95 * exp(-pow((distance - 1.94) / 0.025, 2))));
}

sample_t scene_planet(double x, double y, unsigned seed)
{
    const vector_t middle = {-0.16, 0.02, 0};
    const vector_t sun = normalise(vector(-0.75, 0.42, 0.62));
    const vector_t axis = normalise(vector(0.33, 0.90, 0.30));
    const double radius = 0.46;
    vector_t from = {x, y, 10};
    vector_t view = {0, 0, -1};
    vector_t colour = stars(x * 13, y * 13, 0.08);
    double gas = fractal(x * 0.9 + 3, y * 0.9, 7, 6);
    (void)seed;
    colour = add(scale(colour, 0.9), scale(vector(0.016, 0.026, 0.06), smooth_step(-0.3, 0.6, gas)));

    double globe = sphere_distance(from, view, middle, radius);
    double plane = dot(subtract(middle, from), axis) / dot(view, axis);
    vector_t on_ring = scale(subtract(add(from, scale(view, plane)), middle), 1 / radius);
    double density = ring_density(sqrt(dot(on_ring, on_ring)));

    if (globe < FAR) {
        vector_t normal = scale(subtract(add(from, scale(view, globe)), middle), 1 / radius);
        double light = smooth_step(-0.08, 1, dot(normal, sun));
        /* The rings' shadow: where the way to the sun meets their plane. */
        double away = -dot(normal, axis) / dot(sun, axis);
        vector_t shading = add(normal, scale(sun, away));
        double shadow = away > 0 ? ring_density(sqrt(dot(shading, shading))) : 0;
        colour = scale(planet_surface(normal), (0.004 + 1.15 * light) * (1 - 0.75 * shadow));
    }
    if (density > 0 && plane < globe) {
        double shadow = sphere_distance(scale(on_ring, radius), sun, vector(0, 0, 0), radius) < FAR ? 0.04 : 1;
        vector_t ring = mix(vector(0.50, 0.40, 0.30), vector(0.86, 0.78, 0.66), density);
        colour = mix(colour, scale(ring, 0.95 * shadow), 0.9 * density);
    }
    return opaque(colour);
}
