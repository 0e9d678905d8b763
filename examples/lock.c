/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two processes append to one file, each inside a lock, so that their lines do not mix.
 *
 *     lock [FILE]
 */
#include <stdio.h>

#include <apr_time.h>

#include <mproc/mproc.h>

enum { ROUNDS = 5 };

static int fail(const char *what)
{
    fprintf(stderr, "lock: %s: %s\n", what, mproc_last_error()->text);
    return 1;
}

/* Write a line in several pieces: whoever came in between would be seen. */
static void write_slowly(FILE *file, const char *name, int round)
{
    fprintf(file, "%s writes ", name);
    fflush(file);
    apr_sleep(MPROC_MILLISECONDS(2));
    fprintf(file, "round %d\n", round);
}

/* This runs in each of the children. */
static int append(mproc_call_t *call)
{
    mproc_lock_t *lock = mproc_call_lock(call, 0);
    const char *path = mproc_call_string(call, 0);
    const char *name = mproc_call_string(call, 1);
    for (int round = 1; round <= ROUNDS; round++) {
        const apr_status_t status = mproc_lock_acquire(lock, MPROC_FOREVER);
        if (!mproc_has_acquired(status))
            return fail("acquire");
        FILE *file = fopen(path, "a");
        if (!file)
            return 1;
        /* The other one ended with the lock, perhaps in the middle of a line. It was not released, but it is ours. */
        if (status == MPROC_EOWNERDEAD)
            fprintf(file, "\n");
        write_slowly(file, name, round);
        fclose(file);
        if (mproc_lock_release(lock) != APR_SUCCESS)
            return fail("release");
    }
    return 0;
}

static mproc_process_t *start(mproc_lock_t *lock, const char *path, const char *name)
{
    const mproc_arg_t args[] = {mproc_arg_string(NULL, path), mproc_arg_string(NULL, name)};
    mproc_process_opts_t opts = {0};
    mproc_process_t *process;
    opts.args = args;
    opts.arg_count = 2;
    opts.share[0] = lock;
    if (mproc_process_start(&process, append, &opts) == APR_SUCCESS)
        return process;
    fail("start");
    return NULL;
}

static int print_file(const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file)
        return 1;
    for (int c = fgetc(file); c != EOF; c = fgetc(file))
        putchar(c);
    fclose(file);
    return 0;
}

int main(int argc, char **argv)
{
    mproc_lock_t *lock;
    int exitcodes[2] = {1, 1};
    if (mproc_initialize(argc, argv) != APR_SUCCESS)
        return fail("initialize");
    const char *path = argc > 1 ? argv[1] : "lock.txt";
    remove(path);
    if (mproc_lock_create(&lock, NULL) != APR_SUCCESS)
        return fail("create");
    mproc_process_t *first = start(lock, path, "one");
    mproc_process_t *second = start(lock, path, "two");
    if (!first || !second || mproc_process_finish(first, &exitcodes[0]) != APR_SUCCESS ||
        mproc_process_finish(second, &exitcodes[1]) != APR_SUCCESS)
        return fail("finish");
    mproc_lock_close(lock);
    return exitcodes[0] || exitcodes[1] || print_file(path);
}
