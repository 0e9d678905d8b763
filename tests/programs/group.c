/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program for tests of groups and streams on Unix. `--tell` prints its group and its session; `--nonblocking` ends
 * with how many of its standard streams do not wait. Others are hard to end with their group: `--leave` goes to its
 * creator's, `--mixed` leaves a child of another user in its own. Both ignore SIGTERM, print a line, and sleep.
 */
#include <fcntl.h>
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
    if (strcmp(argv[1], "--nonblocking") == 0) {
        int count = 0;
        for (int fd = 0; fd < 3; fd++)
            count += (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0;
        return count;
    }
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
