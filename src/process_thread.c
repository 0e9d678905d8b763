/* SPDX-License-Identifier: Apache-2.0 */
#include <stdatomic.h>
#include <stdlib.h>

#include <apr_thread_proc.h>

#include "call.h"
#include "local.h"
#include "log.h"
#include "process_object.h"

/** The thread behind a process of the start method thread. */
typedef struct thread_t {
    apr_allocator_t *allocator; /* its own, outside of APR's tree of pools */
    apr_pool_t *pool;           /* touched by one thread at a time */
    apr_thread_t *thread;
    sys_event_t ended;
    process_t *process;
    mproc_call_t call; /* here, and not on the thread's stack, as the target may end the thread */
    _Atomic int has_ended;
    int exitcode;
    sys_thread_exit_t at_exit;
} thread_t;

/** Close the handles that the target was given: it does not run, and nobody else will. */
static void close_handles(boot_t *boot)
{
    const int64_t *handles = boot_at(boot, boot->handles);
    const size_t count = (size_t)boot->handles.size / sizeof *handles - (size_t)boot->conn_handle_count;
    for (size_t i = 0; i < count; i++)
        sys_handle_close((sys_handle_t)handles[i]);
}

/** The last thing that it does: whoever sees this may join the thread and free all of it. */
static void tell_end(thread_t *thread)
{
    process_enter_thread(NULL);
    atomic_store(&thread->has_ended, 1);
    if (sys_event_is_intact(&thread->ended))
        sys_event_set(&thread->ended);
}

/** The thread ends. If its target has done that (by pthread_exit, say), nobody has told those who wait for it. */
static void end_without_return(void *context)
{
    thread_t *thread = context;
    /* A copy of the process that the target has forked is none of ours. */
    if (atomic_load(&thread->has_ended) || thread->process->pid != sys_getpid())
        return;
    mproc_log(MPROC_LOG_INFO, "thread ended by its target, which has not returned");
    thread->exitcode = EXIT_NO_RETURN;
    call_close(&thread->call);
    tell_end(thread);
}

/** Have all that the target needs. First its end is seen to: what is registered first is called last. */
static apr_status_t prepare(thread_t *thread)
{
    boot_t *boot = boot_of(&thread->process->block);
    if (sys_at_thread_exit(&thread->at_exit, end_without_return, thread) != APR_SUCCESS)
        return mproc_fail(APR_ENOMEM, "%s: no memory to notice its end", boot->name);
    return call_open(&thread->call, boot);
}

static void *APR_THREAD_FUNC run(apr_thread_t *self, void *data)
{
    thread_t *thread = data;
    process_t *process = thread->process;
    (void)self;
    /* Until the launcher has said that the process runs: only then may its target look at it, and end. */
    process_lock();
    process_unlock();
    process_enter_thread(process);
    thread->exitcode = EXIT_NOT_STARTED;
    if (prepare(thread) == APR_SUCCESS) {
        thread->exitcode = child_call_target(process, &thread->call, process->target);
        local_end_target();
        call_close(&thread->call);
    } else {
        close_handles(boot_of(&process->block));
        boot_report_failure(boot_report(&process->block));
    }
    tell_end(thread);
    return NULL;
}

static void free_thread(thread_t *thread)
{
    sys_event_close(&thread->ended);
    if (thread->pool)
        apr_pool_destroy(thread->pool);
    if (thread->allocator)
        apr_allocator_destroy(thread->allocator);
    free(thread);
}

apr_status_t thread_launch(process_t *process)
{
    thread_t *thread = calloc(1, sizeof *thread);
    if (!thread)
        return mproc_fail(APR_ENOMEM, "%s cannot be started: no memory", process->name);
    thread->process = process;
    thread->ended.sentinel = thread->ended.setter = SYS_NO_HANDLE;
    apr_status_t status = apr_allocator_create(&thread->allocator);
    if (status == APR_SUCCESS)
        status = apr_pool_create_unmanaged_ex(&thread->pool, NULL, thread->allocator);
    if (status == APR_SUCCESS)
        status = sys_event_create(&thread->ended);
    process_lock();
    if (status == APR_SUCCESS)
        status = apr_thread_create(&thread->thread, NULL, run, thread, thread->pool);
    if (status == APR_SUCCESS) {
        process->pid = sys_getpid();
        process->thread = thread;
        /* They belong to the target from now on, which closes them; connections take theirs over themselves. */
        const size_t count = process->given_count - (size_t)boot_of(&process->block)->conn_handle_count;
        for (size_t i = 0; i < count; i++)
            sys_handle_give(process->given[i]);
        process->given_count = 0;
        process_set_running(process);
    }
    process_unlock();
    if (status == APR_SUCCESS && process->moving)
        conn_move_finish(process->moving, 1);
    if (status == APR_SUCCESS)
        process->share_count = 0;
    if (status == APR_SUCCESS)
        return status;
    free_thread(thread);
    return mproc_fail(status, "%s cannot be started by thread", process->name);
}

sys_handle_t thread_sentinel(const process_t *process)
{
    return process->thread->ended.sentinel;
}

apr_status_t thread_reap(process_t *process)
{
    const thread_t *thread = process->thread;
    /* The flag alone is not enough: the thread still has to set its event, unless the program has closed that. */
    if (!atomic_load(&thread->has_ended) || sys_wait(thread->ended.sentinel, 0) == APR_TIMEUP)
        return APR_TIMEUP;
    process->end = sys_exit_of_code(thread->exitcode);
    return APR_SUCCESS;
}

void thread_close(process_t *process)
{
    thread_t *thread = process->thread;
    apr_status_t result;
    /* Here, where nobody holds a lock: what the program has for the thread's own end may use the library. */
    apr_thread_join(&result, thread->thread);
    free_thread(thread);
}
