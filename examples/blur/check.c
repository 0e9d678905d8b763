/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks for mproc-blur that its output alone does not show.
 *
 *   blur-check gauss                   whether the blur computes what it should
 *   blur-check make FOLDER             make pictures to test with, good and bad
 *   blur-check equal FILE FILE         whether two pictures have the same pixels
 *   blur-check even FILE               whether all pixels of a picture are the same
 *   blur-check light FILE FILE         whether two pictures have the same amount of light
 *   blur-check bytes FILE FILE         whether two files are the same, byte for byte
 *   blur-check alone FILE FILE         whether the second one is what this process makes of the first one
 *   blur-check sheet FILE NUMBER FILE  whether a contact sheet shows a picture at a place, from 0
 *   blur-check tidy FOLDER             whether nothing half done is left in a folder
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_file_io.h>
#include <apr_general.h>
#include <apr_strings.h>

#include <stb/stb_image_write.h>

#include "gauss.h"
#include "picture.h"
#include "sheet.h"
#include "work.h"

static int failures;

static void expect(int condition, const char *what, int width, int height, int channels, double radius)
{
    if (condition)
        return;
    printf("FAILED: %s: %d x %d, %d channels, radius %g\n", what, width, height, channels, radius);
    failures++;
}

static void must(apr_status_t status, const char *what)
{
    char text[256];
    if (status == APR_SUCCESS)
        return;
    printf("FAILED: %s: %s\n", what, apr_strerror(status, text, sizeof text));
    exit(EXIT_FAILURE);
}

static size_t size_of(const picture_t *picture)
{
    return (size_t)picture->width * (size_t)picture->height * (size_t)picture->channels;
}

static picture_t random_picture(int width, int height, int channels)
{
    unsigned state = (unsigned)(width * 7919 + height * 31 + channels);
    picture_t picture;
    must(picture_create(&picture, width, height, channels), "memory");
    for (size_t i = 0; i < size_of(&picture); i++) {
        state = state * 1664525u + 1013904223u;
        picture.pixels[i] = (unsigned char)(state >> 24);
    }
    return picture;
}

static double light_of(int byte)
{
    double srgb = byte / 255.0;
    return srgb <= 0.04045 ? srgb / 12.92 : pow((srgb + 0.055) / 1.055, 2.4);
}

static double byte_of(double light)
{
    return 255 * (light <= 0.0031308 ? light * 12.92 : 1.055 * pow(light, 1 / 2.4) - 0.055);
}

/* The mean light of a picture, alpha aside. */
static double mean_light(const picture_t *picture)
{
    double sum = 0;
    for (size_t i = 0; i < size_of(picture); i++)
        sum += light_of(picture->pixels[i]);
    return sum / (double)size_of(picture);
}

/* One sample of a picture, premultiplied, as the blur sees it; the picture continues in mirror images. */
static double sample_at(const picture_t *picture, int x, int y, int channel)
{
    const int has_alpha = picture->channels % 2 == 0;
    const unsigned char *pixel;
    while (x < 0 || x >= picture->width)
        x = x < 0 ? -1 - x : 2 * picture->width - 1 - x;
    while (y < 0 || y >= picture->height)
        y = y < 0 ? -1 - y : 2 * picture->height - 1 - y;
    pixel = picture->pixels + ((size_t)y * (size_t)picture->width + (size_t)x) * (size_t)picture->channels;
    double alpha = has_alpha ? pixel[picture->channels - 1] / 255.0 : 1;
    return has_alpha && channel == picture->channels - 1 ? alpha : light_of(pixel[channel]) * alpha;
}

/* What a blurred sample is by definition: every sample around counts by its distance. */
static double blurred_at(const picture_t *picture, int x, int y, int channel, double radius)
{
    const int reach = (int)ceil(6 * radius);
    double sum = 0;
    double weights = 0;
    for (int dy = -reach; dy <= reach; dy++) {
        for (int dx = -reach; dx <= reach; dx++) {
            double weight = exp(-0.5 * (dx * dx + dy * dy) / (radius * radius));
            sum += weight * sample_at(picture, x + dx, y + dy, channel);
            weights += weight;
        }
    }
    return sum / weights;
}

static void check_definition(int width, int height, int channels, double radius)
{
    picture_t before = random_picture(width, height, channels);
    picture_t after = random_picture(width, height, channels);
    double worst = 0;
    must(gauss_blur(&after, radius, 1), "memory");
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) {
            const unsigned char *pixel = after.pixels + ((size_t)y * (size_t)width + (size_t)x) * (size_t)channels;
            double alpha = channels % 2 ? 1 : blurred_at(&before, x, y, channels - 1, radius);
            for (int c = 0; c < channels; c++) {
                double expected = channels % 2 == 0 && c == channels - 1
                                      ? 255 * alpha
                                      : byte_of(blurred_at(&before, x, y, c, radius) / alpha);
                worst = fmax(worst, fabs(expected - pixel[c]));
            }
        }
    }
    /* Half a step is lost by rounding. */
    expect(worst < 0.6, "the blur is not a Gaussian one", width, height, channels, radius);
    picture_destroy(&before);
    picture_destroy(&after);
}

static void check_even(int width, int height, int channels, double radius, int rounds)
{
    static const unsigned char bytes[] = {0, 1, 5, 10, 11, 100, 128, 254, 255};
    picture_t picture;
    must(picture_create(&picture, width, height, channels), "memory");
    for (size_t i = 0; i < sizeof bytes; i++) {
        memset(picture.pixels, bytes[i], size_of(&picture));
        must(gauss_blur(&picture, radius, rounds), "memory");
        size_t same = 0;
        while (same < size_of(&picture) && picture.pixels[same] == bytes[i])
            same++;
        expect(same == size_of(&picture), "an even picture changes", width, height, channels, radius);
    }
    picture_destroy(&picture);
}

static void check_light(int width, int height, double radius, int rounds)
{
    picture_t picture = random_picture(width, height, 3);
    double before = mean_light(&picture);
    must(gauss_blur(&picture, radius, rounds), "memory");
    double after = mean_light(&picture);
    /* Rounding an even result to bytes moves it by up to this much. */
    expect(fabs(after - before) < 0.01 * before, "light is lost", width, height, 3, radius);
    picture_destroy(&picture);
}

/* Opaque red beside transparent green: the green must not show. */
static void check_transparent(void)
{
    static const unsigned char red[] = {255, 0, 0, 255};
    static const unsigned char green[] = {0, 255, 0, 0};
    picture_t picture;
    must(picture_create(&picture, 40, 20, 4), "memory");
    for (int i = 0; i < 40 * 20; i++)
        memcpy(picture.pixels + 4 * i, i % 40 < 20 ? red : green, 4);
    must(gauss_blur(&picture, 3, 2), "memory");
    for (int i = 0; i < 40 * 20; i++) {
        const unsigned char *pixel = picture.pixels + 4 * i;
        expect(pixel[1] == 0 && (pixel[0] == 255 || pixel[3] == 0), "a transparent colour shows", 40, 20, 4, 3);
    }
    expect(picture.pixels[4 * 19 + 3] > 127 && picture.pixels[4 * 20 + 3] < 128, "alpha is not blurred", 40, 20, 4, 3);
    picture_destroy(&picture);
}

static int check_gauss(void)
{
    for (int channels = 1; channels <= 4; channels++) {
        check_definition(23, 17, channels, 0.3);
        check_definition(23, 17, channels, 1);
        check_definition(17, 23, channels, 2.7);
        check_definition(9, 8, channels, 10);
        check_definition(1, 1, channels, 2);
        check_definition(1, 9, channels, 2);
        check_definition(9, 1, channels, 2);
        check_even(37, 23, channels, 0.5, 1);
        check_even(37, 23, channels, 3, 50);
        check_even(37, 23, channels, 1000, 2);
        check_even(1, 1, channels, GAUSS_RADIUS_MAX, 3);
    }
    check_light(200, 150, 5, 1);
    check_light(200, 150, 5, 50);
    check_light(150, 200, 300, 1);
    check_transparent();
    printf("%s\n", failures == 0 ? "the blur is right" : "the blur is wrong");
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Bytes of a file to be. */
typedef struct bytes_t {
    unsigned char data[65536];
    size_t size;
} bytes_t;

static void collect(void *context, void *data, int size)
{
    bytes_t *bytes = context;
    if ((size_t)size > sizeof bytes->data - bytes->size)
        must(APR_ENOMEM, "a test picture");
    memcpy(bytes->data + bytes->size, data, (size_t)size);
    bytes->size += (size_t)size;
}

static void make_file(const char *folder, const char *name, const void *data, size_t size, apr_pool_t *pool)
{
    const char *path = apr_pstrcat(pool, folder, "/", name, NULL);
    apr_file_t *file;
    must(apr_file_open(&file, path, APR_FOPEN_WRITE | APR_FOPEN_CREATE | APR_FOPEN_TRUNCATE | APR_FOPEN_BINARY,
                       APR_FPROT_OS_DEFAULT, pool),
         path);
    if (size > 0)
        must(apr_file_write_full(file, data, size, NULL), path);
    must(apr_file_close(file), path);
}

static int make_pictures(const char *folder, apr_pool_t *pool)
{
    /* The beginning of a PNG of 60000 x 60000 pixels. */
    static const unsigned char huge[] = {0x89, 'P',  'N', 'G', '\r', '\n', 0x1a, '\n', 0,    0, 0,
                                         13,   'I',  'H', 'D', 'R',  0,    0,    0xea, 0x60, 0, 0,
                                         0xea, 0x60, 8,   2,   0,    0,    0,    0,    0,    0, 0};
    static const char text[] = "This is no picture.\n";
    const unsigned char blue[] = {40, 90, 200};
    picture_t even;
    picture_t noisy = random_picture(97, 61, 4);
    bytes_t png = {.size = 0};
    bytes_t jpeg = {.size = 0};

    must(apr_dir_make_recursive(apr_pstrcat(pool, folder, "/a", NULL), APR_FPROT_OS_DEFAULT, pool), folder);
    must(apr_dir_make_recursive(apr_pstrcat(pool, folder, "/b", NULL), APR_FPROT_OS_DEFAULT, pool), folder);
    must(picture_create(&even, 64, 48, 3), "memory");
    for (size_t i = 0; i < size_of(&even); i++)
        even.pixels[i] = blue[i % 3];

    stbi_write_png_to_func(collect, &png, even.width, even.height, even.channels, even.pixels, 0);
    make_file(folder, "even.png", png.data, png.size, pool);
    make_file(folder, "a/same.png", png.data, png.size, pool);
    make_file(folder, "contact-sheet.png", png.data, png.size, pool);
    png.size = 0;
    stbi_write_png_to_func(collect, &png, 8, 8, even.channels, even.pixels, even.width * even.channels);
    make_file(folder, "dot.png", png.data, png.size, pool);
    png.size = 0;
    stbi_write_png_to_func(collect, &png, noisy.width, noisy.height, noisy.channels, noisy.pixels, 0);
    make_file(folder, "noisy.png", png.data, png.size, pool);
    make_file(folder, "b/SAME.png", png.data, png.size, pool);
    make_file(folder, "cut.png", png.data, png.size / 2, pool);
    stbi_write_jpg_to_func(collect, &jpeg, noisy.width, noisy.height, noisy.channels, noisy.pixels, 90);
    make_file(folder, "same.jpg", jpeg.data, jpeg.size, pool);
    make_file(folder, "cut.jpg", jpeg.data, jpeg.size / 2, pool);
    make_file(folder, "empty.png", "", 0, pool);
    make_file(folder, "text.png", text, sizeof text - 1, pool);
    make_file(folder, "huge.png", huge, sizeof huge, pool);
    picture_destroy(&even);
    picture_destroy(&noisy);
    printf("pictures are made\n");
    return EXIT_SUCCESS;
}

/* The light of a sample of a picture of three channels; x counts samples, from a pixel on. */
static double light_at(const picture_t *picture, int left, int top, int x, int y)
{
    return light_of(picture->pixels[3 * ((size_t)(top + y) * (size_t)picture->width + (size_t)left) + (size_t)x]);
}

static picture_t read_picture(const char *path, apr_pool_t *pool)
{
    picture_t picture;
    const char *reason;
    if (picture_read(&picture, &reason, path, pool) != APR_SUCCESS) {
        printf("FAILED: %s: %s\n", path, reason);
        exit(EXIT_FAILURE);
    }
    return picture;
}

static int compare_pictures(const char *how, const char *left_path, const char *right_path, apr_pool_t *pool)
{
    picture_t left = read_picture(left_path, pool);
    picture_t right = read_picture(right_path, pool);
    int good = left.width == right.width && left.height == right.height && left.channels == right.channels;
    if (good && strcmp(how, "equal") == 0)
        good = memcmp(left.pixels, right.pixels, size_of(&left)) == 0;
    else if (good)
        good = fabs(mean_light(&left) - mean_light(&right)) < 0.01 * mean_light(&left);
    printf("%s and %s: %s %s\n", left_path, right_path, good ? how : "not", good ? "indeed" : how);
    picture_destroy(&left);
    picture_destroy(&right);
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int check_file_is_even(const char *path, apr_pool_t *pool)
{
    picture_t picture = read_picture(path, pool);
    int good = 1;
    for (size_t i = 0; i < size_of(&picture); i++)
        good = good && picture.pixels[i] == picture.pixels[i % (size_t)picture.channels];
    printf("%s: %s\n", path, good ? "even" : "not even");
    picture_destroy(&picture);
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}

static buffer_t read_file(const char *path, apr_pool_t *pool)
{
    buffer_t file;
    const char *reason;
    if (buffer_read(&file, &reason, path, pool) != APR_SUCCESS) {
        printf("FAILED: %s: %s\n", path, reason);
        exit(EXIT_FAILURE);
    }
    return file;
}

static int compare_bytes(const buffer_t *left, const buffer_t *right)
{
    const int good = left->size == right->size && memcmp(left->data, right->data, left->size) == 0;
    printf("the files are %s\n", good ? "the same" : "NOT the same");
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int compare_files(const char *left_path, const char *right_path, apr_pool_t *pool)
{
    buffer_t left = read_file(left_path, pool);
    buffer_t right = read_file(right_path, pool);
    const int result = compare_bytes(&left, &right);
    buffer_destroy(&left);
    buffer_destroy(&right);
    return result;
}

/* What mproc-blur does by default. */
static int compare_with_own(const char *input, const char *output, apr_pool_t *pool)
{
    const work_settings_t settings = {.radius = 5, .rounds = 1};
    const char *reason = "";
    buffer_t own = {NULL, 0};
    buffer_t other = read_file(output, pool);
    must(work_on_file(&own, NULL, &reason, input, &settings, pool), reason);
    const int result = compare_bytes(&own, &other);
    buffer_destroy(&own);
    buffer_destroy(&other);
    return result;
}

/* The light of a picture, and of each quarter of it, is what it is in small. */
static int check_sheet(const char *sheet_path, int index, const char *path, apr_pool_t *pool)
{
    picture_t sheet = read_picture(sheet_path, pool);
    picture_t picture = read_picture(path, pool);
    const int width = picture.width * THUMB_HEIGHT > picture.height * THUMB_WIDTH
                          ? THUMB_WIDTH
                          : picture.width * THUMB_HEIGHT / picture.height;
    const int height = width * picture.height / picture.width;
    int left;
    int top;
    sheet_place(&left, &top, &sheet, index, width, height);
    for (int quarter = 0; quarter < 4; quarter++) {
        double small = 0;
        double large = 0;
        for (int y = 0; y < height / 2; y++) {
            for (int x = 0; x < width / 2 * 3; x++)
                small += light_at(&sheet, left + quarter % 2 * (width / 2), top + quarter / 2 * (height / 2), x, y);
        }
        for (int y = 0; y < picture.height / 2; y++) {
            for (int x = 0; x < picture.width / 2 * 3; x++)
                large +=
                    light_at(&picture, quarter % 2 * (picture.width / 2), quarter / 2 * (picture.height / 2), x, y);
        }
        small /= (double)(height / 2) * (width / 2);
        large /= (double)(picture.height / 2) * (picture.width / 2);
        printf("quarter %d: light %g, in small %g\n", quarter, large, small);
        expect(fabs(small - large) < 0.03 * large, "a quarter in small has other light", width, height, quarter, large);
    }
    printf("the contact sheet %s\n", failures == 0 ? "shows it" : "does NOT show it");
    picture_destroy(&sheet);
    picture_destroy(&picture);
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int check_tidy(const char *folder, apr_pool_t *pool)
{
    apr_dir_t *directory;
    apr_finfo_t entry;
    apr_status_t status;
    int left = 0;
    must(apr_dir_open(&directory, folder, pool), folder);
    while ((status = apr_dir_read(&entry, APR_FINFO_NAME, directory)) == APR_SUCCESS || status == APR_INCOMPLETE)
        left += strstr(entry.name, ".part") != NULL;
    apr_dir_close(directory);
    printf("%d files are left half done\n", left);
    return left == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, const char *const *argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    apr_pool_t *pool;
    must(apr_app_initialize(&argc, &argv, NULL), "APR");
    atexit(apr_terminate);
    must(apr_pool_create(&pool, NULL), "APR");
    if (strcmp(what, "gauss") == 0 && argc == 2)
        return check_gauss();
    if (strcmp(what, "make") == 0 && argc == 3)
        return make_pictures(argv[2], pool);
    if (strcmp(what, "even") == 0 && argc == 3)
        return check_file_is_even(argv[2], pool);
    if ((strcmp(what, "equal") == 0 || strcmp(what, "light") == 0) && argc == 4)
        return compare_pictures(what, argv[2], argv[3], pool);
    if (strcmp(what, "bytes") == 0 && argc == 4)
        return compare_files(argv[2], argv[3], pool);
    if (strcmp(what, "alone") == 0 && argc == 4)
        return compare_with_own(argv[2], argv[3], pool);
    if (strcmp(what, "sheet") == 0 && argc == 5)
        return check_sheet(argv[2], atoi(argv[3]), argv[4], pool);
    if (strcmp(what, "tidy") == 0 && argc == 3)
        return check_tidy(argv[2], pool);
    printf("usage: blur-check gauss | make FOLDER | equal FILE FILE | even FILE | light FILE FILE\n"
           "       | bytes FILE FILE | alone FILE FILE | sheet FILE NUMBER FILE | tidy FOLDER\n");
    return EXIT_FAILURE;
}
