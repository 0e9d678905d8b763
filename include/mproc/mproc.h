/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file mproc.h
 * @brief The whole public API.
 */
#ifndef MPROC_H
#define MPROC_H

#include "call.h"
#include "initialize.h"
#include "log.h"
#include "process.h"
#include "start_method.h"
#include "status.h"
#include "system.h"
#include "types.h"
#include "version.h"

#endif
