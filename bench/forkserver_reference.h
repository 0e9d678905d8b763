/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file forkserver_reference.h
 * @brief Two fork servers written by hand, one request at a time. Each is this program, executed anew, as mproc's is,
 *        so that all of them fork a process of the same size.
 *
 * The minimal one is the least that a fork server can be: a byte to ask, the wait status to answer.
 *
 * The other one does the work that every start of mproc includes: the child gets the creator's folder, its three
 * standard streams and a block of arguments, the creator is told the process id when the child exists, and its end on a
 * pipe of its own. It has no provision for anything that goes wrong.
 */
#ifndef MPROC_BENCH_FORKSERVER_REFERENCE_H
#define MPROC_BENCH_FORKSERVER_REFERENCE_H

typedef enum forkserver_kind_t { FORKSERVER_MINIMAL, FORKSERVER_PAYLOAD, FORKSERVER_KINDS } forkserver_kind_t;

/** If the command line says that this process is such a server, be it until its client is gone, and leave. */
void forkserver_reference_serve(int argc, char **argv);

/** Have the program at `path` started as each kind of server: 0, or -1. */
int forkserver_reference_open(const char *path);

/** Have a child started that ends at once, and wait for its end: 0, or -1. */
int forkserver_reference_minimal(void *unused);
int forkserver_reference_payload(void *unused);

/** End the servers and wait for them. */
void forkserver_reference_close(void);

#endif
