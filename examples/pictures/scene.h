/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file scene.h
 * @brief What the example pictures show. Each is a function from a point to a colour, with some tools that they share.
 */
#ifndef PICTURES_SCENE_H
#define PICTURES_SCENE_H

/** A point or a direction: x to the right, y up, z towards the viewer. Or a colour: red, green and blue light. */
typedef struct vector_t {
    double x;
    double y;
    double z;
} vector_t;

/** What a scene shows at a point: a colour, 0 to 1 in each part, more where it is too bright; and how opaque it is. */
typedef struct sample_t {
    vector_t colour;
    double alpha;
} sample_t;

/**
 * A scene.
 *
 * @param x    The point, from the picture's middle to the right, in halves of the picture's height.
 * @param y    The same, up: -1 at the bottom, 1 at the top.
 * @param seed Differs between all points asked for; for what is to be random.
 * @return What is there.
 */
typedef sample_t (*scene_t)(double x, double y, unsigned seed);

/* The scenes. */
sample_t scene_bubbles(double x, double y, unsigned seed);
sample_t scene_chart(double x, double y, unsigned seed);
sample_t scene_landscape(double x, double y, unsigned seed);
sample_t scene_mandelbrot(double x, double y, unsigned seed);
sample_t scene_marble(double x, double y, unsigned seed);
sample_t scene_planet(double x, double y, unsigned seed);
sample_t scene_plasma(double x, double y, unsigned seed);
sample_t scene_spheres(double x, double y, unsigned seed);
sample_t scene_stars(double x, double y, unsigned seed);
sample_t scene_sunset(double x, double y, unsigned seed);
sample_t scene_wood(double x, double y, unsigned seed);

/* Vectors. */
vector_t vector(double x, double y, double z);
vector_t add(vector_t a, vector_t b);
vector_t subtract(vector_t a, vector_t b);
vector_t multiply(vector_t a, vector_t b);
vector_t scale(vector_t a, double factor);
vector_t mix(vector_t a, vector_t b, double part);
vector_t normalise(vector_t a);
vector_t reflect(vector_t direction, vector_t normal);
double dot(vector_t a, vector_t b);

/** An opaque sample. */
sample_t opaque(vector_t colour);

/** Cut to the range from 0 to 1. */
double clamp(double value);

/** 0 below @p from, 1 above @p to, and smooth between. */
double smooth_step(double from, double to, double value);

/** A circle through the colours of the rainbow, in soft tones; @p phase 0 and 1 are the same. */
vector_t rainbow(double phase);

/* Randomness that is the same each time. */

/** A number from 0 to 1 that belongs to three integers. */
double hashed(int x, int y, int z);

/** Noise from -1 to 1 that changes smoothly over a distance of 1. */
double noise(double x, double y, double z);

/** The same in two dimensions, with its slope along x and y. */
double noise_slope(double x, double y, double *slope_x, double *slope_y);

/** Noise of several sizes, each half as large and half as strong as the one before. */
double fractal(double x, double y, double z, int octaves);

/** A starry sky: @p density of its cells, of size 1, have a star. */
vector_t stars(double x, double y, double density);

#endif
