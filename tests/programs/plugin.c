/* SPDX-License-Identifier: Apache-2.0 */
/* A module that is loaded while a program runs, built twice: with two answers. */
#include "plugin.h"

static int answer(mproc_call_t *call)
{
    (void)call;
    return PLUGIN_ANSWER;
}

mproc_target_t plugin_target(void)
{
    return answer;
}
