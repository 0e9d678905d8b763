/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that is no relative of the test that starts it, and has a segment by its name.
 *
 *     stranger add NAME SIZE          checks bytes that follow from 1, adds one to each, and closes it
 *     stranger leave NAME             opens it, and ends without closing it
 *     stranger make NAME SIZE         makes it, of bytes that follow from 2, and closes it
 *     stranger hold NAME              opens it, says so, and waits until its input ends
 *     stranger fill NAME SIZE         makes it, says so, and writes to it for ever
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mproc/mproc.h>

static int fail(void)
{
    fprintf(stderr, "stranger: %s\n", mproc_last_error()->text);
    return 1;
}

static void say_so(void)
{
    printf("there\n");
    fflush(stdout);
}

static int add(mproc_shm_t *shm, size_t size)
{
    unsigned char *bytes = mproc_shm_data(shm);
    if (mproc_shm_size(shm) < size)
        return 2;
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != (unsigned char)(i * 7 + 1))
            return 3;
        bytes[i]++;
    }
    return mproc_shm_close(shm) == APR_SUCCESS ? 0 : fail();
}

static int make(const char *name, size_t size)
{
    mproc_shm_t *shm;
    if (mproc_shm_create(&shm, name, size, NULL) != APR_SUCCESS)
        return fail();
    for (size_t i = 0; i < size; i++)
        ((unsigned char *)mproc_shm_data(shm))[i] = (unsigned char)(i * 7 + 2);
    return mproc_shm_close(shm) == APR_SUCCESS ? 0 : fail();
}

static int fill(const char *name, size_t size)
{
    mproc_shm_t *shm;
    if (mproc_shm_create(&shm, name, size, NULL) != APR_SUCCESS)
        return fail();
    say_so();
    for (unsigned char i = 0;; i++)
        memset(mproc_shm_data(shm), i, size);
}

int main(int argc, char **argv)
{
    mproc_shm_t *shm;
    if (mproc_initialize(argc, argv) != APR_SUCCESS)
        return fail();
    if (argc < 3)
        return 64;
    const size_t size = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
    if (strcmp(argv[1], "make") == 0)
        return make(argv[2], size);
    if (strcmp(argv[1], "fill") == 0)
        return fill(argv[2], size);
    if (mproc_shm_open(&shm, argv[2], NULL) != APR_SUCCESS)
        return fail();
    if (strcmp(argv[1], "add") == 0)
        return add(shm, size);
    if (strcmp(argv[1], "leave") == 0)
        return 0;
    say_so();
    while (getchar() != EOF) {}
    return 0;
}
