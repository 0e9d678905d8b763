/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Make the example pictures anew: make-pictures [FOLDER]
 *
 * They are the same each time, up to the last bits of a system's mathematical functions.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <stb/stb_image_write.h>

#include "scene.h"

/* One picture to make. */
typedef struct job_t {
    const char *file;
    int width;
    int height;
    /* As in PNG: 1 grey, 3 colours, 4 with alpha. */
    int channels;
    /* For JPEG. */
    int quality;
    /* Each pixel is the mean of this many points in each direction. */
    int points;
    scene_t scene;
} job_t;

static const job_t jobs[] = {
    {"bubbles.png", 800, 600, 4, 0, 3, scene_bubbles},
    {"chart.png", 1024, 768, 3, 0, 3, scene_chart},
    {"landscape.jpg", 1600, 1200, 3, 88, 2, scene_landscape},
    {"mandelbrot.jpg", 1280, 960, 3, 90, 3, scene_mandelbrot},
    {"marble.png", 640, 480, 1, 0, 3, scene_marble},
    {"planet.jpg", 1280, 800, 3, 90, 3, scene_planet},
    {"plasma.png", 640, 480, 3, 0, 3, scene_plasma},
    {"spheres.png", 1024, 768, 3, 0, 3, scene_spheres},
    {"stars.jpg", 1600, 1000, 3, 88, 3, scene_stars},
    {"sunset.jpg", 1280, 720, 3, 90, 3, scene_sunset},
    {"wood.jpg", 1200, 900, 3, 88, 3, scene_wood},
};

static unsigned char srgb(double light)
{
    light = clamp(light);
    light = light <= 0.0031308 ? 12.92 * light : 1.055 * pow(light, 1 / 2.4) - 0.055;
    return (unsigned char)(light * 255 + 0.5);
}

static void draw_pixel(unsigned char *pixel, const job_t *job, int column, int row)
{
    const int count = job->points * job->points;
    vector_t sum = {0, 0, 0};
    double alpha = 0;
    for (int i = 0; i < count; i++) {
        double x = column + (i % job->points + 0.5) / job->points - job->width / 2.0;
        double y = job->height / 2.0 - row - (i / job->points + 0.5) / job->points;
        unsigned seed = ((unsigned)row * (unsigned)job->width + (unsigned)column) * (unsigned)count + (unsigned)i;
        sample_t sample = job->scene(x * 2 / job->height, y * 2 / job->height, seed);
        /* A highlight shall not outshine all other points of its edge. */
        vector_t colour = vector(clamp(sample.colour.x), clamp(sample.colour.y), clamp(sample.colour.z));
        sum = add(sum, scale(colour, sample.alpha));
        alpha += sample.alpha;
    }
    if (alpha > 0)
        sum = scale(sum, 1 / alpha);
    pixel[0] = srgb(sum.x);
    if (job->channels >= 3) {
        pixel[1] = srgb(sum.y);
        pixel[2] = srgb(sum.z);
    }
    if (job->channels == 4)
        pixel[3] = (unsigned char)(alpha / count * 255 + 0.5);
}

static void write_bytes(void *context, void *data, int size)
{
    fwrite(data, 1, (size_t)size, context);
}

static int write_picture(const char *path, const job_t *job, const unsigned char *pixels)
{
    FILE *file = fopen(path, "wb");
    int done;
    if (!file)
        return 0;
    if (strstr(job->file, ".png"))
        done = stbi_write_png_to_func(write_bytes, file, job->width, job->height, job->channels, pixels,
                                      job->width * job->channels);
    else
        done = stbi_write_jpg_to_func(write_bytes, file, job->width, job->height, job->channels, pixels, job->quality);
    /* What could not be written is known at the end. */
    done = done && !ferror(file);
    return fclose(file) == 0 && done;
}

static int make_picture(const char *folder, const job_t *job)
{
    char path[1000];
    unsigned char *pixels = calloc((size_t)job->width * (size_t)job->height, (size_t)job->channels);
    int done;
    if (!pixels)
        return 0;
    for (int row = 0; row < job->height; row++) {
        for (int column = 0; column < job->width; column++) {
            size_t place = (size_t)row * (size_t)job->width + (size_t)column;
            draw_pixel(pixels + place * (size_t)job->channels, job, column, row);
        }
    }
    snprintf(path, sizeof path, "%s/%s", folder, job->file);
    done = write_picture(path, job, pixels);
    free(pixels);
    printf("%s %s\n", path, done ? "is made" : "cannot be written");
    return done;
}

int main(int argc, char **argv)
{
    const char *folder = argc > 1 ? argv[1] : ".";
    const char *only = argc > 2 ? argv[2] : "";
    for (size_t i = 0; i < sizeof jobs / sizeof *jobs; i++) {
        if (strstr(jobs[i].file, only) && !make_picture(folder, &jobs[i]))
            return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
