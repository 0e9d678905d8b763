/* SPDX-License-Identifier: Apache-2.0 */
#include <stdatomic.h>
#include <string.h>

#include "call.h"
#include "environment.h"
#include "initialize.h"
#include "local.h"
#include "log.h"
#include "pool_object.h"
#include "process_object.h"
#include "subprocess_object.h"
#include "start_method.h"
#include "target.h"

/** Get hold of the handles that the creator gave. */
static apr_status_t take_handles(boot_t *boot)
{
    int64_t *handles = boot_at(boot, boot->handles);
    for (size_t i = 0; handles && i < boot->handles.size / sizeof *handles; i++) {
        apr_status_t status = sys_child_take(&handles[i], i);
        if (status != APR_SUCCESS)
            return mproc_fail(status, "handle %zu was not passed to the child", i);
    }
    return APR_SUCCESS;
}

static apr_status_t set_environment(boot_t *boot)
{
    char *strings = boot_at(boot, boot->environment);
    /* Mostly it is the fork server's, and so this process's already. */
    if (!strings || sys_environment_is(strings, (size_t)boot->environment.size))
        return APR_SUCCESS;
    /* Used in place and for good: the environment belongs to the process as long as it lives. */
    char **list = environment_list(strings, (size_t)boot->environment.size);
    if (!list)
        return mproc_fail(APR_ENOMEM, "no memory for the child's environment");
    apr_status_t status = sys_set_environment(list);
    return status == APR_SUCCESS ? status : mproc_fail(status, "the child's environment cannot be set");
}

/** Become what the block says, up to the target's address. */
static apr_status_t prepare(boot_t *boot, mproc_call_t *call, mproc_target_t *target)
{
    apr_status_t status = sys_child_setup(boot->slots, boot->is_shielded);
    if (status != APR_SUCCESS)
        return mproc_fail(status, "the child's standard streams cannot be set up");
    status = set_environment(boot);
    if (status == APR_SUCCESS)
        status = library_become_child(boot);
    if (status == APR_SUCCESS)
        status = take_handles(boot);
    if (status == APR_SUCCESS)
        status = call_open(call, boot);
    if (status == APR_SUCCESS && boot->cpus.offset) {
        status = sys_bind_cpus(boot_at(boot, boot->cpus), (size_t)boot->cpus.size / sizeof(int));
        if (status != APR_SUCCESS)
            status = mproc_fail(status, "the child cannot be bound to its CPUs");
    }
    if (status != APR_SUCCESS)
        return status;
    if (boot->method == MPROC_FORK) {
        const uintptr_t address = (uintptr_t)boot->target_address;
        memcpy(target, &address, sizeof address);
        return APR_SUCCESS;
    }
    sys_place_t place;
    boot_get_place(boot, &place);
    return target_find(target, &place);
}

int child_call_target(process_t *process, mproc_call_t *call, mproc_target_t target)
{
    /* The target may end the library, and the process object with it: what is needed afterwards is read before. */
    const char *kind = !process ? NULL : process->thread ? "thread" : "process";
    if (kind)
        mproc_log(MPROC_LOG_INFO, "child %s calling its target", kind);
    const int code = target(call) & 0xff;
    if (kind)
        mproc_log(MPROC_LOG_INFO, "%s exiting with exitcode %d", kind, code);
    return code;
}

void child_run(sys_block_t *block)
{
    boot_t *boot = boot_of(block);
    boot_report_t *report = boot_report(block);
    mproc_call_t call;
    mproc_target_t target;
    int code = EXIT_NOT_STARTED;
    atomic_store(&report->stage, BOOT_ATTACHED);
    if (prepare(boot, &call, &target) != APR_SUCCESS) {
        boot_report_failure(report);
    } else {
        const int self = sys_getpid();
        atomic_store(&report->stage, BOOT_RUNNING);
        code = child_call_target(process_current(), &call, target);
        local_end_target();
        call_close(&call);
        pool_end_all();
        subprocess_end_all();
        children_end(1);
        /* A copy that the target forked has nothing to report: its creator's report may be another child's by now. */
        if (sys_getpid() == self) {
            report->exitcode = code;
            atomic_store(&report->stage, BOOT_ENDED);
        }
    }
    library_end_child();
    sys_child_leave(code);
}
