/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file listener_object.h
 * @brief Listener objects.
 */
#ifndef MPROC_LISTENER_OBJECT_H
#define MPROC_LISTENER_OBJECT_H

#include <mproc/listener.h>

#include "sys.h"
#include "waiter.h"

enum { LISTENER_NAME_MAX = 64 };

typedef struct listener_t {
    mproc_listener_t *handle;
    int owner;
    sys_listener_t *listener;
    size_t max_size; /* of the connections that it makes */
    closable_t closable;
} listener_t;

/** Get the listener behind a handle for the public function `call`; the status has its text. */
apr_status_t listener_acquire(listener_t **listener, mproc_listener_t *handle, const char *call);

/** Give back what listener_acquire() got. */
void listener_release(listener_t *listener);

/** Close all listeners of this process, when the library is ended. */
void listener_close_all(void);

#endif
