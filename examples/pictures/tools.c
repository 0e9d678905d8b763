/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the scenes share: vectors, and randomness that is the same each time.
 */
#include "scene.h"

#include <math.h>
#include <stdint.h>

#define TAU 6.283185307179586

vector_t vector(double x, double y, double z)
{
    vector_t result = {x, y, z};
    return result;
}

vector_t add(vector_t a, vector_t b)
{
    return vector(a.x + b.x, a.y + b.y, a.z + b.z);
}

vector_t subtract(vector_t a, vector_t b)
{
    return vector(a.x - b.x, a.y - b.y, a.z - b.z);
}

vector_t multiply(vector_t a, vector_t b)
{
    return vector(a.x * b.x, a.y * b.y, a.z * b.z);
}

vector_t scale(vector_t a, double factor)
{
    return vector(a.x * factor, a.y * factor, a.z * factor);
}

vector_t mix(vector_t a, vector_t b, double part)
{
    return add(scale(a, 1 - part), scale(b, part));
}

vector_t normalise(vector_t a)
{
    return scale(a, 1 / sqrt(dot(a, a)));
}

vector_t reflect(vector_t direction, vector_t normal)
{
    return subtract(direction, scale(normal, 2 * dot(direction, normal)));
}

double dot(vector_t a, vector_t b)
{
    return a.x * b.x + a.y * b.y + a.z * b.z;
}

sample_t opaque(vector_t colour)
{
    sample_t result = {colour, 1};
    return result;
}

double clamp(double value)
{
    return value < 0 ? 0 : value > 1 ? 1 : value;
}

double smooth_step(double from, double to, double value)
{
    double t = clamp((value - from) / (to - from));
    return t * t * (3 - 2 * t);
}

vector_t rainbow(double phase)
{
    return vector(0.5 + 0.5 * cos(TAU * phase), 0.5 + 0.5 * cos(TAU * (phase - 0.33)),
                  0.5 + 0.5 * cos(TAU * (phase - 0.67)));
}

double hashed(int x, int y, int z)
{
    uint32_t h = (uint32_t)x * 0x8da6b343u ^ (uint32_t)y * 0xd8163841u ^ (uint32_t)z * 0xcb1ab31fu;
    h = (h ^ h >> 16) * 0x7feb352du;
    h = (h ^ h >> 15) * 0x846ca68bu;
    h ^= h >> 16;
    return h / 4294967296.0;
}

static double fade(double t)
{
    return t * t * t * (t * (t * 6 - 15) + 10);
}

static double between(double a, double b, double part)
{
    return a + (b - a) * part;
}

double noise(double x, double y, double z)
{
    int ix = (int)floor(x);
    int iy = (int)floor(y);
    int iz = (int)floor(z);
    double u = fade(x - ix);
    double v = fade(y - iy);
    double layers[2];
    for (int i = 0; i < 2; i++) {
        double low = between(hashed(ix, iy, iz + i), hashed(ix + 1, iy, iz + i), u);
        double high = between(hashed(ix, iy + 1, iz + i), hashed(ix + 1, iy + 1, iz + i), u);
        layers[i] = between(low, high, v);
    }
    return 2 * between(layers[0], layers[1], fade(z - iz)) - 1;
}

double noise_slope(double x, double y, double *slope_x, double *slope_y)
{
    int ix = (int)floor(x);
    int iy = (int)floor(y);
    double fx = x - ix;
    double fy = y - iy;
    double u = fade(fx);
    double v = fade(fy);
    double a = hashed(ix, iy, 0);
    double b = hashed(ix + 1, iy, 0);
    double c = hashed(ix, iy + 1, 0);
    double d = hashed(ix + 1, iy + 1, 0);
    double du = 30 * fx * fx * (fx * (fx - 2) + 1);
    double dv = 30 * fy * fy * (fy * (fy - 2) + 1);
    *slope_x = 2 * du * (b - a + (a - b - c + d) * v);
    *slope_y = 2 * dv * (c - a + (a - b - c + d) * u);
    return 2 * (a + (b - a) * u + (c - a) * v + (a - b - c + d) * u * v) - 1;
}

double fractal(double x, double y, double z, int octaves)
{
    double sum = 0;
    double strength = 0.5;
    for (int i = 0; i < octaves; i++) {
        double turned = 1.6 * x - 1.2 * y;
        sum += strength * noise(x, y, z);
        /* Each octave is turned, so that the grids do not show. */
        y = 1.2 * x + 1.6 * y + 17.3;
        x = turned + 4.1;
        z = 2 * z + 9.7;
        strength /= 2;
    }
    return sum;
}

vector_t stars(double x, double y, double density)
{
    vector_t sum = {0, 0, 0};
    int ix = (int)floor(x);
    int iy = (int)floor(y);
    /* A bright star's glow reaches into the cells around its own. */
    for (int cy = iy - 2; cy <= iy + 2; cy++) {
        for (int cx = ix - 2; cx <= ix + 2; cx++) {
            double brightness = hashed(cx, cy, 2) / density;
            if (brightness > 1)
                continue;
            double dx = x - cx - hashed(cx, cy, 3);
            double dy = y - cy - hashed(cx, cy, 4);
            double distance = dx * dx + dy * dy;
            double power = 0.03 + 1.2 * pow(1 - brightness, 8);
            double light = power * (exp(-distance * 160) * 2.5 + 0.16 * power * exp(-distance * 16));
            double warmth = hashed(cx, cy, 5);
            sum = add(sum, scale(mix(vector(1, 0.72, 0.45), vector(0.6, 0.78, 1), warmth), light));
        }
    }
    return sum;
}
