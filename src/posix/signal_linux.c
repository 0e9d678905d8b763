/* SPDX-License-Identifier: Apache-2.0 */
/* Exit codes have Linux's numbers everywhere: here, they are the signals' own. */
#include "unix.h"

int unix_signal_number(int sig)
{
    return sig;
}
