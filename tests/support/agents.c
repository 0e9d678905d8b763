/* SPDX-License-Identifier: Apache-2.0 */
#include "agents.h"

#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "support.h"

enum { OBJECTS = MPROC_SHARE_MAX + 8 };

typedef struct message_t {
    order_t order;
    int number;
    int kind;
    apr_interval_time_t timeout;
    mproc_ref_t ref;
    uint64_t handle;
} message_t;

/* ---- In the child ------------------------------------------------------------------------------------------------ */

typedef struct holdings_t {
    void *objects[OBJECTS];
    int kinds[OBJECTS];
    mproc_process_t *bred;
    mproc_conn_t *conn;
} holdings_t;

static int obey(mproc_call_t *call);

static apr_status_t acquire(int kind, void *object, apr_interval_time_t timeout)
{
    switch (kind) {
    case OF_LOCK:
        return mproc_lock_acquire(object, timeout);
    case OF_SEMAPHORE:
        return mproc_semaphore_acquire(object, timeout);
    case OF_SHARED:
        return mproc_shared_acquire(object, timeout);
    default:
        return mproc_condition_acquire(object, timeout);
    }
}

static apr_status_t release(int kind, void *object)
{
    switch (kind) {
    case OF_LOCK:
        return mproc_lock_release(object);
    case OF_SEMAPHORE:
        return mproc_semaphore_release(object);
    case OF_SHARED:
        return mproc_shared_release(object);
    default:
        return mproc_condition_release(object);
    }
}

/** Read or write the first bytes of shared data. */
static apr_status_t access_data(int kind, void *object, order_t order, answer_t *answer, apr_interval_time_t value)
{
    _Atomic int64_t *data = kind == OF_SHARED ? mproc_shared_data(object) : NULL;
    if (!data)
        return APR_EINVAL;
    if (order == DO_WRITE)
        *data = value;
    answer->value = (int)*data;
    answer->size = (uint64_t)mproc_shared_size(object);
    return APR_SUCCESS;
}

static apr_status_t wait_at(int kind, void *object, apr_interval_time_t timeout)
{
    return kind == OF_CONDITION ? mproc_condition_wait(object, timeout) : object_kinds[kind].wait(object, timeout);
}

/** Start another one, with all that this one has. */
static apr_status_t breed(holdings_t *own)
{
    mproc_process_opts_t opts;
    memset(&opts, 0, sizeof opts);
    opts.start_method = mproc_process_start_method(mproc_current_process());
    for (int i = 0; i < MPROC_SHARE_MAX && own->objects[i]; i++)
        opts.share[i] = own->objects[i];
    const apr_status_t status = mproc_conn_recv_conn(own->conn, &opts.give[0], MPROC_FOREVER);
    return status == APR_SUCCESS ? mproc_process_start(&own->bred, obey, &opts) : status;
}

static apr_status_t execute(holdings_t *own, const message_t *message, answer_t *answer)
{
    const int number = message->number;
    void **object = &own->objects[number];
    const int kind = own->kinds[number];
    switch (message->order) {
    case DO_ADOPT:
        *object = (void *)(uintptr_t)message->handle;
        own->kinds[number] = message->kind;
        return APR_SUCCESS;
    case DO_CREATE:
        own->kinds[number] = message->kind;
        answer->status = object_kinds[message->kind].create(object, NULL, NULL);
        return answer->status == APR_SUCCESS ? mproc_ref(&answer->ref, *object) : answer->status;
    case DO_OPEN:
        own->kinds[number] = message->kind;
        return object_kinds[message->kind].open(object, &message->ref, NULL);
    case DO_CLOSE:
        return object_kinds[kind].close(*object);
    case DO_ACQUIRE:
        return acquire(kind, *object, message->timeout);
    case DO_RELEASE:
        return release(kind, *object);
    case DO_ABANDON:
        return mproc_lock_abandon(*object);
    case DO_WAIT:
        return wait_at(kind, *object, message->timeout);
    case DO_SET:
        return mproc_event_set(*object);
    case DO_NOTIFY:
        return mproc_condition_notify(*object, (unsigned)message->timeout);
    case DO_REF:
        return mproc_ref(&answer->ref, *object);
    case DO_READ:
    case DO_WRITE:
        return access_data(kind, *object, message->order, answer, message->timeout);
    case DO_BREED:
        return breed(own);
    case DO_KILL_BRED:
        return mproc_process_kill(own->bred) == APR_SUCCESS ? mproc_process_finish(own->bred, &answer->value) : -1;
    case DO_TELL_TIME:
        answer->value = (int)cpu_time();
        return APR_SUCCESS;
    default:
        return APR_SUCCESS;
    }
}

static void take_objects(holdings_t *own, mproc_call_t *call)
{
    memset(own, 0, sizeof *own);
    own->conn = mproc_call_conn(call, 0);
    for (size_t i = 0; i < MPROC_SHARE_MAX; i++)
        for (int kind = 0; kind < OBJECT_KINDS && !own->objects[i]; kind++) {
            own->objects[i] = object_kinds[kind].given(call, i);
            own->kinds[i] = kind;
        }
}

static int obey(mproc_call_t *call)
{
    holdings_t own;
    message_t message;
    take_objects(&own, call);
    while (mproc_conn_recv_exactly(own.conn, &message, sizeof message, MPROC_FOREVER) == APR_SUCCESS) {
        answer_t answer = {.status = APR_SUCCESS};
        if (message.order == DO_RETURN)
            return message.number;
        if (message.order == DO_EXIT)
            exit(message.number);
        answer.status = execute(&own, &message, &answer);
        if (mproc_conn_send(own.conn, &answer, sizeof answer, MPROC_FOREVER) != APR_SUCCESS)
            break;
    }
    /* Its creator has no use for it any more. */
    if (own.bred)
        mproc_process_finish(own.bred, NULL);
    return 0;
}

/* ---- In the test ------------------------------------------------------------------------------------------------- */

agent_t start_agent(void *const *objects)
{
    agent_t agent;
    mproc_process_opts_t opts = method_options();
    make_conns(&agent.conn, &opts.give[0]);
    for (int i = 0; objects && objects[i]; i++)
        opts.share[i] = objects[i];
    agent.process = start(obey, opts);
    return agent;
}

static void send_message(const agent_t *agent, const message_t *message)
{
    assert_success(mproc_conn_send(agent->conn, message, sizeof *message, patience()));
}

void tell(const agent_t *agent, order_t order, int number, apr_interval_time_t timeout)
{
    message_t message;
    memset(&message, 0, sizeof message);
    message.order = order;
    message.number = number;
    message.timeout = timeout;
    send_message(agent, &message);
}

answer_t answer_of(const agent_t *agent)
{
    answer_t answer;
    const apr_status_t status = mproc_conn_recv_exactly(agent->conn, &answer, sizeof answer, patience());
    if (status != APR_SUCCESS)
        print_error("%s", dump_family());
    assert_success(status);
    return answer;
}

int has_answered(const agent_t *agent, apr_interval_time_t timeout)
{
    return mproc_conn_poll(agent->conn, timeout) == APR_SUCCESS;
}

apr_status_t ask(const agent_t *agent, order_t order, int number, apr_interval_time_t timeout)
{
    tell(agent, order, number, timeout);
    return answer_of(agent).status;
}

apr_status_t ask_to_open(const agent_t *agent, int number, int kind, const mproc_ref_t *ref)
{
    message_t message;
    memset(&message, 0, sizeof message);
    message.order = DO_OPEN;
    message.number = number;
    message.kind = kind;
    message.ref = *ref;
    send_message(agent, &message);
    return answer_of(agent).status;
}

mproc_ref_t ask_to_create(const agent_t *agent, int number, int kind)
{
    message_t message;
    memset(&message, 0, sizeof message);
    message.order = DO_CREATE;
    message.number = number;
    message.kind = kind;
    send_message(agent, &message);
    const answer_t answer = answer_of(agent);
    assert_int_equal(answer.status, APR_SUCCESS);
    return answer.ref;
}

apr_status_t ask_to_adopt(const agent_t *agent, int number, int kind, void *handle)
{
    message_t message;
    memset(&message, 0, sizeof message);
    message.order = DO_ADOPT;
    message.number = number;
    message.kind = kind;
    message.handle = (uint64_t)(uintptr_t)handle;
    send_message(agent, &message);
    return answer_of(agent).status;
}

agent_t ask_to_breed(const agent_t *agent)
{
    agent_t bred = {NULL, NULL};
    mproc_conn_t *theirs;
    make_conns(&bred.conn, &theirs);
    tell(agent, DO_BREED, 0, 0);
    assert_success(mproc_conn_send_conn(agent->conn, theirs, patience()));
    assert_int_equal(answer_of(agent).status, APR_SUCCESS);
    return bred;
}

void dismiss(agent_t *agent)
{
    if (agent->process)
        tell(agent, DO_RETURN, 3, 0);
    else
        tell(agent, DO_RETURN, 0, 0);
    if (agent->process)
        assert_int_equal(finish(agent->process), 3);
    assert_success(mproc_conn_close(agent->conn));
}

void kill_agent(agent_t *agent)
{
    assert_success(mproc_process_kill(agent->process));
    /* A fork server may be slow to send the signal: until then it waits on, and may get what others wait for. */
    assert_success(mproc_conn_poll(agent->conn, patience()));
}

void join_killed(agent_t *agent)
{
    assert_int_equal(finish(agent->process), -9);
    assert_success(mproc_conn_close(agent->conn));
}

void kill_and_join(agent_t *agent)
{
    kill_agent(agent);
    join_killed(agent);
}
