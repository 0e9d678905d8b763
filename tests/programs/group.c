/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that is hard to end with its group, for tests on Unix: `--leave` goes to its creator's group, `--mixed`
 * leaves a child of another user in its own. Both ignore SIGTERM, print a line, and sleep.
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
