/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file worker.h
 * @brief What a child process does: blur one picture.
 *
 * It is given one end of a pipe, over which it answers with one message: a text with a zero byte at its end,
 * WORKER_DONE or why it failed, and behind that the blurred picture, if it goes through the pipe. In shared memory the
 * blurred picture is there before the answer.
 */
#ifndef BLUR_WORKER_H
#define BLUR_WORKER_H

#include <mproc/mproc.h>

/** Which way pictures go. */
typedef enum worker_way_t {
    /** The worker reads and writes the files. */
    WORKER_VIA_FILE,
    /** The worker touches no file: one comes as a message, as it is, and the other goes with the answer. */
    WORKER_VIA_PIPE,
    /** Nor here: one is put into a queue as a block of shared memory, where it is read, and so is the other. */
    WORKER_VIA_SHM
} worker_way_t;

/** How pictures are blurred: the `.data` of a worker. */
typedef struct worker_settings_t {
    double radius;
    int rounds;
    worker_way_t way;
} worker_settings_t;

/** What a worker answers when all is well. An exit code of 0 is less: a process can be made to end with any. */
#define WORKER_DONE "done"

/**
 * Blur one picture. The target of a process that is given
 *
 * - worker_settings_t as `.data`,
 * - the strings "input", "output" and "temporary" as `.args`: file names, for WORKER_VIA_FILE,
 * - its end of the pipe as `.give`,
 * - for WORKER_VIA_SHM two queues as `.share`: the one it gets the file from, and the one for what is to be written.
 *
 * @return 0 or 1.
 */
int worker_run(mproc_call_t *call);

#endif
