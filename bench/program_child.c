/* SPDX-License-Identifier: Apache-2.0 */
/* What bench/program starts: a program that does nothing but what its argument says, linked statically if possible. */
#include <string.h>
#include <unistd.h>

#include "program_child.h"

/** Write all: 0, or -1. */
static int put(int fd, const char *data, size_t size)
{
    while (size > 0) {
        const ssize_t written = write(fd, data, size);
        if (written <= 0)
            return -1;
        data += written;
        size -= (size_t)written;
    }
    return 0;
}

static int say(void)
{
    char text[CHILD_OUTPUT];
    memset(text, CHILD_LETTER, sizeof text);
    return put(1, text, CHILD_OUTPUT) == 0 && put(2, text, CHILD_ERROR_OUTPUT) == 0 ? CHILD_EXIT_CODE : 1;
}

static int echo(void)
{
    static char buffer[1 << 16];
    ssize_t size;
    while ((size = read(0, buffer, sizeof buffer)) > 0)
        if (put(1, buffer, (size_t)size) != 0)
            return 1;
    return size == 0 ? CHILD_EXIT_CODE : 1;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], CHILD_SAY) == 0)
        return say();
    if (argc == 2 && strcmp(argv[1], CHILD_ECHO) == 0)
        return echo();
    return argc == 2 && strcmp(argv[1], CHILD_EXIT) == 0 ? CHILD_EXIT_CODE : 1;
}
