/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scenes that are drawn on the plane.
 */
#include <math.h>

#include "scene.h"

#define TAU 6.283185307179586

sample_t scene_plasma(double x, double y, unsigned seed)
{
    double a = sin(5.3 * x + 1.7 + sin(2.1 * y));
    double b = sin(4.1 * (x * 0.6 + y * 1.3) + 0.4);
    double c = sin(9.2 * sqrt((x - 0.4) * (x - 0.4) + (y + 0.3) * (y + 0.3) + 0.02) + 2);
    double d = sin(7.4 * sqrt((x + 0.8) * (x + 0.8) + (y - 0.5) * (y - 0.5) + 0.02));
    double height = a + b + c + d;
    vector_t colour = rainbow(0.2 * height + 0.62);
    (void)seed;
    return opaque(scale(multiply(colour, colour), 0.62 + 0.38 * sin(3.5 * height)));
}

/* How soon a point leaves the Mandelbrot set, smoothly counted, and how steep that is; -1 if it stays. */
static double escape(double re, double im, double *steepness)
{
    double x = 0;
    double y = 0;
    double dx = 0;
    double dy = 0;
    for (int i = 0; i < 1500; i++) {
        double norm = x * x + y * y;
        if (norm > 1e6) {
            double slope = sqrt(dx * dx + dy * dy);
            *steepness = sqrt(norm) * log(norm) / slope;
            return i + 1 - log(log(norm) / 2 / log(2)) / log(2);
        }
        double next = 2 * (x * dx - y * dy) + 1;
        dy = 2 * (x * dy + y * dx);
        dx = next;
        next = x * x - y * y + re;
        y = 2 * x * y + im;
        x = next;
    }
    return -1;
}

sample_t scene_mandelbrot(double x, double y, unsigned seed)
{
    const double size = 0.00225;
    double steepness = 0;
    double turns = escape(-0.743643887 + x * size, 0.131825904 + y * size, &steepness);
    (void)seed;
    if (turns < 0)
        return opaque(vector(0.002, 0.002, 0.008));
    /* Near the set it gets dark, so that its fine branches stand out. */
    double edge = smooth_step(0, 1, pow(steepness / size * 60, 0.35));
    double phase = 0.62 * sqrt(turns) - 0.28;
    double part = 0.5 + 0.5 * sin(TAU * phase);
    vector_t colour = mix(vector(0.004, 0.02, 0.11), vector(0.95, 0.74, 0.34), part * part);
    colour = add(colour, scale(vector(0.42, 0.06, 0.01), pow(0.5 + 0.5 * sin(TAU * phase - 1.3), 3)));
    return opaque(scale(colour, 0.06 + 0.94 * edge));
}

sample_t scene_marble(double x, double y, unsigned seed)
{
    double warp_x = fractal(x * 1.7, y * 1.7, 3, 6);
    double warp_y = fractal(x * 1.7, y * 1.7, 8, 6);
    double veins = 0;
    double strength = 1;
    double frequency = 1.1;
    (void)seed;
    for (int i = 0; i < 4; i++) {
        double value = noise(frequency * (x + 0.9 * warp_x) + 5 * i, frequency * (y + 0.9 * warp_y), i);
        veins += strength * pow(1 - fabs(value), 12);
        strength *= 0.55;
        frequency *= 2.1;
    }
    double clouds = fractal(x * 2.4 + warp_x, y * 2.4 + warp_y, 20, 6);
    double light = 0.80 + 0.16 * clouds - 0.52 * veins * (0.6 + 0.4 * clouds);
    light = clamp(light);
    return opaque(vector(light * light, light * light, light * light));
}

/* Boards, cut from trunks that each lie elsewhere. */
sample_t scene_wood(double x, double y, unsigned seed)
{
    const double board_height = 0.4;
    double row = floor((y + 1) / board_height);
    double shift = 2.2 * hashed((int)row, 1, 0);
    double length = 1.9;
    double column = floor((x + shift) / length);
    int board = (int)(row * 31 + column * 7);
    double across = y + 1 - (row + 0.5) * board_height;
    double along = x + shift - (column + 0.5) * length;
    double centre = (hashed(board, 2, 0) - 0.5) * 0.9;
    double slant = (hashed(board, 3, 0) - 0.5) * 0.12;
    double depth = 0.10 + 0.35 * hashed(board, 4, 0);
    (void)seed;

    /* The distance from the middle of the trunk, which is neither straight nor round. */
    double side = across - centre + slant * along + 0.035 * fractal(along * 1.3, across * 4, board, 4);
    double trunk = sqrt(side * side + depth * depth) + 0.018 * fractal(along * 2, across * 9, board + 0.5, 4);
    double ring = trunk * 34;
    double phase = ring - floor(ring);
    double late = smooth_step(0.25, 0.92, phase) * (1 - smooth_step(0.92, 1, phase));
    double tone = 0.5 + 0.5 * noise(floor(ring) * 0.7, board, 0);

    double fibres = fractal(along * 5, across * 160, board, 3);
    double pores = smooth_step(0.22, 0.42, fractal(along * 16, across * 300, board + 3.5, 3));
    vector_t light_wood = vector(0.56, 0.31, 0.13);
    vector_t dark_wood = vector(0.25, 0.105, 0.035);
    vector_t colour = mix(light_wood, dark_wood, clamp(0.62 * late + 0.18 * tone - 0.25 * fibres));
    colour = scale(colour, (0.8 + 0.4 * hashed(board, 5, 0)) * (1 - 0.3 * pores));
    /* Between the boards it is dark; their edges are a little rounded. */
    double gap = fmin(board_height / 2 - fabs(across), length / 2 - fabs(along));
    colour = scale(colour, 0.12 + 0.88 * smooth_step(0.000, 0.007, gap));
    double lamp = 1.25 - 0.35 * ((x - 0.3) * (x - 0.3) + (y - 0.6) * (y - 0.6)) * 0.5;
    return opaque(scale(colour, lamp));
}

sample_t scene_stars(double x, double y, unsigned seed)
{
    double warp_x = fractal(x * 1.1, y * 1.1, 1, 5);
    double warp_y = fractal(x * 1.1, y * 1.1, 6, 5);
    double gas = fractal(x * 1.5 + 0.9 * warp_x, y * 1.5 + 0.9 * warp_y, 12, 8);
    double dust = fractal(x * 2.2 + 0.9 * warp_y, y * 2.2 - 0.9 * warp_x, 31, 8);
    /* The galaxy's band goes across. */
    double away = y - 0.42 * x + 0.25 * warp_x;
    double band = exp(-away * away * 2.6);
    double red = clamp(band * (0.9 * gas + 0.45) + 0.25 * gas);
    double blue = clamp(0.35 + 0.9 * warp_x - 0.5 * gas) * (0.25 + 0.75 * band);
    double shade = smooth_step(-0.25, 0.35, dust + 0.25 * (1 - band));
    vector_t colour = vector(0.0015, 0.002, 0.006);
    (void)seed;

    colour = add(colour, scale(vector(0.62, 0.13, 0.20), pow(red, 2.2)));
    colour = add(colour, scale(vector(0.95, 0.60, 0.42), 0.8 * pow(red, 5)));
    colour = add(colour, scale(vector(0.05, 0.16, 0.42), pow(blue, 1.7)));
    colour = scale(colour, 0.10 + 0.90 * shade);
    colour = add(colour, scale(stars(x * 46 + 3, y * 46, 0.10 + 0.16 * band * shade), 0.32));
    colour = add(colour, scale(stars(x * 17, y * 17 + 7, 0.085), 0.8));
    colour = add(colour, scale(stars(x * 8.1 + 2, y * 8.1, 0.045), 0.9));
    return opaque(colour);
}

/* A test chart: rings of growing frequency in the middle, colour and grey steps, a star of rays, gratings. */
static vector_t chart_rings(double x, double y)
{
    double distance = x * x + y * y;
    double wave = 0.5 + 0.5 * cos(distance * 620);
    return vector(wave, wave, wave);
}

static vector_t chart_rays(double x, double y)
{
    double wave = sin(atan2(y, x) * 36) > 0 ? 0.92 : 0.02;
    return vector(wave, wave, wave);
}

static vector_t chart_steps(double x, double y)
{
    static const vector_t bars[] = {{0.75, 0.75, 0.75}, {0.75, 0.75, 0}, {0, 0.75, 0.75}, {0, 0.75, 0},
                                    {0.75, 0, 0.75},    {0.75, 0, 0},    {0, 0, 0.75},    {0.01, 0.01, 0.01}};
    double place = clamp((x + 1.24) / 2.48 * 0.9999);
    if (y > 0)
        return bars[(int)(place * 8)];
    /* Steps that look even are even in sRGB. */
    double grey = pow((int)(place * 17) / 16.0, 2.2);
    return vector(grey, grey, grey);
}

static vector_t chart_grating(double x, double y)
{
    int step = (int)((y + 0.45) / 0.9 * 6);
    double frequency = 6 * pow(1.75, step);
    double wave = sin(TAU * frequency * x) > 0 ? 0.95 : 0.01;
    return vector(wave, wave, wave);
}

sample_t scene_chart(double x, double y, unsigned seed)
{
    vector_t colour = {0.18, 0.18, 0.18};
    (void)seed;
    double corner_x = fabs(x) - 1.02;
    double corner_y = fabs(y) - 0.72;
    int lines = fabs(x / 0.1 - floor(x / 0.1 + 0.5)) < 0.018 || fabs(y / 0.1 - floor(y / 0.1 + 0.5)) < 0.018;

    if (lines)
        colour = vector(0.45, 0.45, 0.45);
    if (x * x + y * y < 0.45 * 0.45)
        colour = chart_rings(x, y);
    else if (corner_x * corner_x + corner_y * corner_y < 0.22 * 0.22)
        colour = chart_rays(corner_x, corner_y);
    else if (fabs(x) < 0.74 && fabs(fabs(y) - 0.72) < 0.17)
        colour = chart_steps(x / 0.74 * 1.24, y);
    else if (fabs(fabs(x) - 0.9) < 0.34 && fabs(y) < 0.42)
        colour = x < 0 ? chart_grating(x, y) : chart_grating(y * 0.75, (x - 0.9) * 1.3);
    if (x * x + y * y < 0.47 * 0.47 && x * x + y * y >= 0.45 * 0.45)
        colour = vector(0.9, 0.9, 0.9);
    if (fabs(x) > 1.31 || fabs(y) > 0.975)
        colour = ((int)floor(x * 20) + (int)floor(y * 20)) % 2 ? vector(0.9, 0.9, 0.9) : vector(0.01, 0.01, 0.01);
    return opaque(colour);
}
