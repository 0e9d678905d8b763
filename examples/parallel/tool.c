/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parallel-tool: what the tests of mproc-parallel have it run, on every system. It takes its orders from one argument,
 * since that is what a line of input becomes; the last is for tests themselves.
 *
 *   echo TEXT       print it
 *   exit CODE       end with it
 *   sleep SECONDS
 *   once FILE       fail, and succeed the next time; the file remembers
 *   make FILE       make it, and print "made"
 *   await FILE      wait until it is there, remove it, wait a moment, and print "awaited"
 *   show FILE       print it
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_file_io.h>
#include <apr_general.h>
#include <apr_time.h>

/* Long enough for somebody else to be seen to end earlier. */
#define MOMENT apr_time_from_sec(1)

static apr_pool_t *pool;

static int file_exists(const char *path)
{
    apr_finfo_t info;
    return apr_stat(&info, path, APR_FINFO_TYPE, pool) == APR_SUCCESS;
}

static int make_file(const char *path)
{
    apr_file_t *file;
    return apr_file_open(&file, path, APR_FOPEN_WRITE | APR_FOPEN_CREATE, APR_FPROT_OS_DEFAULT, pool) != APR_SUCCESS;
}

static int try_once(const char *path)
{
    return file_exists(path) ? apr_file_remove(path, pool) != APR_SUCCESS : make_file(path) + 1;
}

static int await_file(const char *path)
{
    while (!file_exists(path))
        apr_sleep(MOMENT / 100);
    apr_sleep(MOMENT);
    puts("awaited");
    return apr_file_remove(path, pool) != APR_SUCCESS;
}

static int show_file(const char *path)
{
    char text[4096];
    FILE *file = fopen(path, "r");
    if (!file)
        return 1;
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    fputs(text, stdout);
    return 0;
}

static int obey(const char *order, const char *what)
{
    if (strcmp(order, "echo") == 0)
        return puts(what) < 0;
    if (strcmp(order, "exit") == 0)
        return atoi(what);
    if (strcmp(order, "sleep") == 0) {
        apr_sleep(apr_time_from_sec(atoi(what)));
        return 0;
    }
    if (strcmp(order, "once") == 0)
        return try_once(what);
    if (strcmp(order, "make") == 0)
        return puts("made") < 0 || make_file(what);
    if (strcmp(order, "await") == 0)
        return await_file(what);
    if (strcmp(order, "show") == 0)
        return show_file(what);
    return 99;
}

int main(int argc, char **argv)
{
    if (argc != 2 || apr_initialize() != APR_SUCCESS || apr_pool_create(&pool, NULL) != APR_SUCCESS)
        return 98;
    atexit(apr_terminate);
    char *what = strchr(argv[1], ' ');
    if (!what)
        return 97;
    *what = '\0';
    return obey(argv[1], what + 1);
}
