/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file worker.h
 * @brief What a child process does that is given one picture: blur it.
 *
 * It is given one end of a pipe, over which it answers with one message: a text with a zero byte at its end,
 * WORKER_DONE or why it failed, and behind that the blurred picture, if it goes through the pipe. In shared memory the
 * blurred picture is there before the answer. It touches no file.
 */
#ifndef BLUR_WORKER_H
#define BLUR_WORKER_H

#include <mproc/mproc.h>

#include "work.h"

/** How pictures are blurred: the `.data` of a worker. */
typedef struct worker_settings_t {
    work_settings_t work;
    /**
     * Zero: the picture comes as a message, as it is in its file, and goes with the answer. Otherwise it is put into a
     * queue as a block of shared memory, where it is read, and so is the other.
     */
    int is_in_queues;
} worker_settings_t;

/** What a worker answers when all is well. An exit code of 0 is less: a process can be made to end with any. */
#define WORKER_DONE "done"

/**
 * Blur one picture. The target of a process that is given
 *
 * - worker_settings_t as `.data`,
 * - its end of the pipe as `.give`,
 * - perhaps two queues as `.share`: the one it gets the file from, and the one for what is to be written.
 *
 * @return 0 or 1.
 */
int worker_run(mproc_call_t *call);

#endif
