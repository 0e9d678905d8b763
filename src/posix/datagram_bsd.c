/* SPDX-License-Identifier: Apache-2.0 */
/* The BSDs and macOS: datagrams between processes are limited to some 2 KiB; a block would rarely fit. */
#include "unix.h"

const size_t unix_datagram_max = 0;
