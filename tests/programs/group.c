/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program for tests of groups on Unix. `--tell` prints its group and its session. Others are hard to end with their
 * group: `--leave` goes to its creator's, `--mixed` leaves a child of another user in its own. Both ignore SIGTERM,
 * print a line, and sleep.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { NOBODY = 65534, PATIENCE = 20 };

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    if (strcmp(argv[1], "--tell") == 0)
        return printf("%d %d\n", (int)getpgrp(), (int)getsid(0)) < 0;
    signal(SIGTERM, SIG_IGN);
    if (strcmp(argv[1], "--leave") == 0 && setpgid(0, getpgid(getppid())) != 0)
        return 3;
    if (strcmp(argv[1], "--mixed") == 0 && fork() == 0) {
        alarm(PATIENCE);
        if (setuid(NOBODY) == 0)
            puts("ready");
        fflush(stdout);
        pause();
    }
    alarm(PATIENCE);
    if (strcmp(argv[1], "--leave") == 0)
        puts("ready");
    fflush(stdout);
    for (;;)
        pause();
}
