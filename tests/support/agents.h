/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file agents.h
 * @brief Children that do with shared objects what they are told, step by step, so that a test reads as a schedule.
 */
#ifndef MPROC_TEST_AGENTS_H
#define MPROC_TEST_AGENTS_H

#include "objects.h"

/** What an agent can be told to do, with its object of a number. */
typedef enum order_t {
    DO_NOTHING, /* its answer says that it is there */
    DO_RETURN,  /* end: with the number as exit code */
    DO_EXIT,    /* end by exit() */
    DO_ADOPT,   /* use a handle that the creator has: only under fork */
    DO_CREATE,  /* make one of a kind: the answer has its reference */
    DO_OPEN,    /* open one of a kind by a reference */
    DO_CLOSE,
    DO_ACQUIRE, /* a lock, a semaphore, the lock of a condition or of shared data */
    DO_RELEASE,
    DO_ABANDON,
    DO_WAIT, /* for an event, at a condition that was acquired, at a barrier */
    DO_SET,  /* an event */
    DO_NOTIFY,
    DO_READ,  /* shared data: the answer has their first bytes, as a number, and their size */
    DO_WRITE, /* the timeout is the number */
    DO_REF,   /* the answer has its reference */
    DO_BREED, /* start an agent with the same objects; its connection comes as the next message */
    DO_KILL_BRED,
    DO_TELL_TIME /* the answer has what it has used of the processors, in microseconds */
} order_t;

/** A child that takes orders. */
typedef struct agent_t {
    mproc_process_t *process;
    mproc_conn_t *conn;
} agent_t;

/** What it answers. */
typedef struct answer_t {
    apr_status_t status;
    int value;
    uint64_t size;
    mproc_ref_t ref;
} answer_t;

/** Start one; objects up to the first NULL are its `.share`, and have numbers from 0. */
agent_t start_agent(void *const *objects);

/** Tell it something and wait for the answer: its status. */
apr_status_t ask(const agent_t *agent, order_t order, int number, apr_interval_time_t timeout);

/** The same, but leave the answer for later. */
void tell(const agent_t *agent, order_t order, int number, apr_interval_time_t timeout);
answer_t answer_of(const agent_t *agent);

/** Whether it has answered within so many microseconds. */
int has_answered(const agent_t *agent, apr_interval_time_t timeout);

/** Have it open what a reference is to, as its object of a number. */
apr_status_t ask_to_open(const agent_t *agent, int number, int kind, const mproc_ref_t *ref);

/** Have it make an object, as its object of a number. */
mproc_ref_t ask_to_create(const agent_t *agent, int number, int kind);

/** Have it use a handle of its creator's. */
apr_status_t ask_to_adopt(const agent_t *agent, int number, int kind, void *handle);

/** Have it start an agent, which has the same objects. */
agent_t ask_to_breed(const agent_t *agent);

/** End it in order. */
void dismiss(agent_t *agent);

/** Kill it; join it, or leave that for later. */
void kill_agent(agent_t *agent);
void kill_and_join(agent_t *agent);
void join_killed(agent_t *agent);

#endif
