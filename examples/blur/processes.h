/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file processes.h
 * @brief A process for each picture, with pipes or queues to it: what a pool does by itself, done by hand.
 */
#ifndef BLUR_PROCESSES_H
#define BLUR_PROCESSES_H

#include "batch.h"

/**
 * Have all pictures be blurred, until the batch is interrupted.
 *
 * @param batch The batch, BATCH_VIA_PIPE or BATCH_VIA_SHM.
 */
void processes_run(batch_t *batch);

#endif
