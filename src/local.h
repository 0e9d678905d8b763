/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file local.h
 * @brief What the library itself has to do with the values of threads.
 */
#ifndef MPROC_LOCAL_INTERNAL_H
#define MPROC_LOCAL_INTERNAL_H

/** A target has returned in this thread, which was begun for it: destroy the values that were set since then. */
void local_end_target(void);

/** In a forked child, with all locks held: no other thread is here. */
void local_forked(void);

#endif
