/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file no_spots.h
 * @brief In place of src/spots.c, for models of queues: a line for each process, and one look at all of them.
 */
#ifndef MPROC_TESTS_MODEL_NO_SPOTS_H
#define MPROC_TESTS_MODEL_NO_SPOTS_H

#include "model/queues.h"

spot_t *spot_begin(uint64_t object)
{
    (void)object;
    return NULL;
}

void spot_end(spot_t *spot)
{
    (void)spot;
}

spot_t *spot_keep(void)
{
    return &lines[member_self() - 1];
}

int spot_is_announced(uint64_t what, uint64_t position)
{
    return model_step((step_t){.kind = STEP_LOOK, .before = what, .after = position}) != 0;
}

#endif
