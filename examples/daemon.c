/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two processes blur one picture each; the first is terminated in the midst of it: daemon [PICTURE [PICTURE]]
 */
#include <stdio.h>

#include <apr_general.h>

#include <mproc/mproc.h>

#include "blur/gauss.h"
#include "blur/picture.h"

#define RADIUS 2.0
#define ROUNDS 50

static int fail(const char *what)
{
    fprintf(stderr, "daemon: %s: %s\n", what, mproc_last_error()->text);
    return 1;
}

/* Something to blur where no picture was given: a chessboard. */
static apr_status_t make_picture(picture_t *picture)
{
    apr_status_t status = picture_create(picture, 640, 480, 3);
    if (status != APR_SUCCESS)
        return status;
    for (int y = 0; y < picture->height; y++) {
        for (int x = 0; x < picture->width * picture->channels; x++)
            picture->pixels[y * picture->width * picture->channels + x] = (x / 192 + y / 64) % 2 ? 255 : 0;
    }
    return APR_SUCCESS;
}

static apr_status_t get_picture(picture_t *picture, const char *path)
{
    const char *reason;
    apr_pool_t *pool;
    apr_status_t status;
    if (!*path)
        return make_picture(picture);
    status = apr_pool_create(&pool, NULL);
    if (status != APR_SUCCESS)
        return status;
    status = picture_read(picture, &reason, path, pool);
    if (status != APR_SUCCESS)
        fprintf(stderr, "daemon: %s: %s\n", path, reason);
    apr_pool_destroy(pool);
    return status;
}

/* This runs in the children. */
static int blur(mproc_call_t *call)
{
    const char *path = mproc_call_string(call, 0);
    picture_t picture;
    if (!path || get_picture(&picture, path) != APR_SUCCESS)
        return 1;
    if (gauss_blur(&picture, RADIUS, ROUNDS) != APR_SUCCESS)
        return 1;
    printf("%s: %d x %d pixels blurred %d times\n", mproc_process_name(mproc_current_process()), picture.width,
           picture.height, ROUNDS);
    picture_destroy(&picture);
    return 0;
}

static apr_status_t start_blur(mproc_process_t **process, const char *name, const char *path)
{
    mproc_arg_t picture = mproc_arg_string("picture", path);
    /* A daemon does not keep its parent: had it to end now, it would not wait for the work to be done. */
    return mproc_process_start(process, blur,
                               &(mproc_process_opts_t){.name = name, .daemon = 1, .args = &picture, .arg_count = 1});
}

static int finish(mproc_process_t *process, const char *name)
{
    int exitcode;
    if (mproc_process_finish(process, &exitcode) != APR_SUCCESS)
        return fail(name);
    printf("%s: exit code %d\n", name, exitcode);
    return 0;
}

int main(int argc, char **argv)
{
    /* The children read pictures with APR. Like us, they come by here first. */
    if (apr_initialize() != APR_SUCCESS)
        return 1;
    if (mproc_initialize(argc, argv) != APR_SUCCESS)
        return fail("initialize");
    printf("this machine has %d CPUs for us\n", mproc_cpu_count());

    apr_time_t start = apr_time_now();
    mproc_process_t *first;
    mproc_process_t *second;
    if (start_blur(&first, "first", argc > 1 ? argv[1] : "") != APR_SUCCESS)
        return fail("first");
    if (start_blur(&second, "second", argc > 2 ? argv[2] : "") != APR_SUCCESS)
        return fail("second");

    printf("first: is alive: %s\n", mproc_process_is_alive(first) ? "yes" : "no");
    if (mproc_process_terminate(first) != APR_SUCCESS)
        return fail("terminate");
    /* It was asked to end; that it has ended is known after the join. */
    if (mproc_process_join(first, MPROC_FOREVER) != APR_SUCCESS)
        return fail("join");
    printf("first: is alive: %s\n", mproc_process_is_alive(first) ? "yes" : "no");

    if (finish(first, "first") != 0 || finish(second, "second") != 0)
        return 1;
    printf("total time: %.2f s\n", (double)(apr_time_now() - start) / APR_USEC_PER_SEC);
    return 0;
}
