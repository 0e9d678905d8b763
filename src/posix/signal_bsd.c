/* SPDX-License-Identifier: Apache-2.0 */
/* The BSDs and macOS number their signals as 4.2BSD did. Exit codes have Linux's numbers everywhere. */
#include <signal.h>

#include "unix.h"

/* Where nobody's signals are: for those that Linux does not have, but whose number is another signal's there. */
enum { UNKNOWN_TO_LINUX = 128 };

int unix_signal_number(int sig)
{
    switch (sig) {
    case SIGBUS:
        return 7;
    case SIGUSR1:
        return 10;
    case SIGUSR2:
        return 12;
    case SIGCHLD:
        return 17;
    case SIGCONT:
        return 18;
    case SIGSTOP:
        return 19;
    case SIGTSTP:
        return 20;
    case SIGURG:
        return 23;
    case SIGIO:
        return 29;
    case SIGSYS:
        return 31;
    case SIGEMT:
    case SIGINFO:
        return UNKNOWN_TO_LINUX + sig;
    default:
        return sig;
    }
}
