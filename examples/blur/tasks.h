/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file tasks.h
 * @brief A pool of workers, and a task for each picture.
 */
#ifndef BLUR_TASKS_H
#define BLUR_TASKS_H

#include "batch.h"

/**
 * Have all pictures be blurred, until the batch is interrupted.
 *
 * @param batch The batch, BATCH_VIA_FILE.
 */
void tasks_run(batch_t *batch);

#endif
