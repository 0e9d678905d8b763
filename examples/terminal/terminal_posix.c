/* SPDX-License-Identifier: Apache-2.0 */
#include "terminal.h"

#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

int terminal_width(void)
{
    struct winsize size;
    if (!isatty(STDERR_FILENO))
        return 0;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return 80;
}
