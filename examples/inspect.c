/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Look at the family of a process from outside: who is a member, who owns which lock, who waits, who is in a deadlock.
 *
 *     mproc-inspect PID
 */
#include <stdio.h>
#include <stdlib.h>

#include <mproc/mproc.h>

static int fail(void)
{
    fprintf(stderr, "mproc-inspect: %s\n", mproc_last_error()->text);
    return 1;
}

int main(int argc, char **argv)
{
    char *end;
    const long pid = argc == 2 ? strtol(argv[1], &end, 10) : 0;
    if (mproc_initialize(argc, argv) != APR_SUCCESS)
        return fail();
    if (argc != 2 || *end || pid <= 0) {
        fprintf(stderr, "usage: mproc-inspect PID\n");
        return 2;
    }
    if (mproc_family_join((int)pid) != APR_SUCCESS || mproc_dump_to(stdout) != APR_SUCCESS)
        return fail();
    return 0;
}
