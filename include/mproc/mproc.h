/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file mproc.h
 * @brief The whole public API.
 */
#ifndef MPROC_H
#define MPROC_H

#include "barrier.h"
#include "call.h"
#include "condition.h"
#include "connection.h"
#include "event.h"
#include "family.h"
#include "future.h"
#include "initialize.h"
#include "listener.h"
#include "local.h"
#include "lock.h"
#include "log.h"
#include "pool.h"
#include "process.h"
#include "progress.h"
#include "queue.h"
#include "semaphore.h"
#include "share.h"
#include "shareable_list.h"
#include "shared_data.h"
#include "shared_memory.h"
#include "start_method.h"
#include "status.h"
#include "stream.h"
#include "subprocess.h"
#include "system.h"
#include "task.h"
#include "types.h"
#include "version.h"
#include "wait.h"

#endif
