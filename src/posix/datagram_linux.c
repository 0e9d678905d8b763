/* SPDX-License-Identifier: Apache-2.0 */
/* Linux: a datagram may be as large as the socket's buffer, whose usual size is 208 KiB. */
#include "unix.h"

const size_t unix_datagram_max = 16384;
