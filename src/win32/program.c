/* SPDX-License-Identifier: Apache-2.0 */
/*
 * External programs. Each belongs to two jobs from its first moment: to the one that ends with this process, so that it
 * does as well, and within that to one of its own, which what it starts belongs to, too, so that all of that can be
 * ended together.
 *
 * It gets its standard streams and the listed handles, and nothing else. What it is to inherit has to be inheritable
 * while it is made; no other program of this library's inherits that, since each has a list of its own. Code that
 * starts programs by other means, and without a list, gets what is inheritable at that moment: nobody can prevent that.
 */
#include <stdlib.h>
#include <wchar.h>

#include "win32.h"

/** What a program is started with. */
typedef struct plan_t {
    wchar_t *directory;
    wchar_t *environment;
    wchar_t *path;
    wchar_t *interpreter; /* of a batch file */
    wchar_t *command;
    HANDLE streams[3];
} plan_t;

/* ---- Preparing --------------------------------------------------------------------------------------------------- */

/** Get the path of the system's command interpreter: one allocation for free(). */
static apr_status_t find_interpreter(wchar_t **path)
{
    static const wchar_t name[] = L"\\cmd.exe";
    const UINT size = GetSystemDirectoryW(NULL, 0);
    wchar_t *made = *path = malloc((size + sizeof name / sizeof *name) * sizeof *made);
    if (!made)
        return APR_ENOMEM;
    const UINT length = GetSystemDirectoryW(made, size);
    if (length == 0 || length >= size)
        return win32_error();
    wmemcpy(made + length, name, sizeof name / sizeof *name);
    return APR_SUCCESS;
}

/** Find the program, and lay out its arguments. */
static apr_status_t find_program(plan_t *plan, sys_program_t *program)
{
    apr_status_t status = win32_find_program(&plan->path, program->file, plan->environment);
    if (status != APR_SUCCESS) {
        program->failed = "the program";
        return status;
    }
    if (!program->args[0]) {
        program->failed = "the arguments";
        return APR_EINVAL;
    }
    if (!win32_is_batch(plan->path))
        return win32_command_line(&plan->command, program->args, &program->failed);
    status = win32_batch_line(&plan->command, plan->path, program->args, &program->failed);
    return status == APR_SUCCESS ? find_interpreter(&plan->interpreter) : status;
}

static apr_status_t prepare(plan_t *plan, sys_program_t *program)
{
    apr_status_t status = APR_SUCCESS;
    *plan = (plan_t){.directory = NULL};
    if (program->directory) {
        status = win32_find_directory(&plan->directory, program->directory);
        if (status != APR_SUCCESS)
            program->failed = "the working folder";
    }
    if (status == APR_SUCCESS && program->environment) {
        status = win32_environment_block(&plan->environment, program->environment);
        if (status != APR_SUCCESS)
            program->failed = "the environment";
    }
    if (status == APR_SUCCESS)
        status = find_program(plan, program);
    if (status == APR_SUCCESS) {
        status = win32_open_streams(plan->streams, program->stdio);
        if (status != APR_SUCCESS)
            program->failed = "a standard stream";
    }
    return status;
}

static void finish(plan_t *plan)
{
    free(plan->directory);
    free(plan->environment);
    free(plan->path);
    free(plan->interpreter);
    free(plan->command);
    win32_close_opened(plan->streams);
}

/* ---- Handles that are passed on ---------------------------------------------------------------------------------- */

/* Held while handles of the program's are inheritable that were not: two starts can list the same. */
static SRWLOCK inheriting = SRWLOCK_INIT;

/** Make listed handles inheritable as long as that was not tried for all of them, and note which were before. */
static apr_status_t share(unsigned char *was_shared, size_t *count, const sys_program_t *program)
{
    for (*count = 0; *count < program->handle_count; ++*count) {
        DWORD flags;
        const sys_handle_t handle = program->handles[*count];
        /* Negative numbers stand for processes and threads. */
        if (handle <= 0)
            return APR_EBADF;
        if (!GetHandleInformation((HANDLE)handle, &flags) ||
            !SetHandleInformation((HANDLE)handle, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT))
            return win32_error();
        was_shared[*count] = (flags & HANDLE_FLAG_INHERIT) != 0;
    }
    return APR_SUCCESS;
}

static void unshare(const unsigned char *was_shared, size_t count, const sys_handle_t *handles)
{
    while (count-- > 0)
        if (!was_shared[count])
            SetHandleInformation((HANDLE)handles[count], HANDLE_FLAG_INHERIT, 0);
}

/** Create the process while its handles are inheritable. */
static apr_status_t create(PROCESS_INFORMATION *child, win32_create_t *create, sys_program_t *program)
{
    size_t count;
    if (program->handle_count == 0)
        return win32_create(child, create);
    unsigned char *was_shared = malloc(program->handle_count);
    if (!was_shared)
        return APR_ENOMEM;
    create->handles = (const HANDLE *)program->handles;
    create->handle_count = program->handle_count;
    AcquireSRWLockExclusive(&inheriting);
    apr_status_t status = share(was_shared, &count, program);
    if (status == APR_SUCCESS)
        status = win32_create(child, create);
    else
        program->failed = "a given handle";
    unshare(was_shared, count, program->handles);
    ReleaseSRWLockExclusive(&inheriting);
    free(was_shared);
    return status;
}

/* ---- Starting ---------------------------------------------------------------------------------------------------- */

/* The user has to agree first; not all headers have it. */
enum { ELEVATION_REQUIRED = 740 };

/** What a failure to create a process means. */
static apr_status_t explain(apr_status_t status, const char **failed)
{
    if (*failed)
        return status;
    switch (APR_TO_OS_ERROR(status)) {
    case ERROR_DIRECTORY:
        *failed = "the working folder";
        return status;
    case ERROR_FILE_NOT_FOUND:
    case ERROR_PATH_NOT_FOUND:
    case ERROR_FILENAME_EXCED_RANGE:
    case ERROR_SHARING_VIOLATION:
    case ERROR_ACCESS_DENIED:
        *failed = "the program";
        return status;
    /* It is none, or none that this user may start: on Unix both are the same. */
    case ERROR_BAD_FORMAT:
    case ERROR_BAD_EXE_FORMAT:
    case ERROR_INVALID_EXE_SIGNATURE:
    case ERROR_EXE_MACHINE_TYPE_MISMATCH:
    case ELEVATION_REQUIRED:
        *failed = "the program";
        return APR_EACCES;
    default:
        return status;
    }
}

static DWORD flags_of(const sys_program_t *program)
{
    DWORD flags = program->has_group ? CREATE_NEW_PROCESS_GROUP : 0;
    /* It leaves the job of a program that this process itself is part of, where that lets it go. */
    if (program->is_detached)
        flags |= DETACHED_PROCESS | CREATE_BREAKAWAY_FROM_JOB;
    /* Without a console here it would get one of its own, and show it; so would what it starts if it had none. */
    else if (GetConsoleCP() == 0)
        flags |= CREATE_NO_WINDOW;
    return flags;
}

/** Start the program in its jobs; where they cannot be nested, in as many as can be. */
static apr_status_t launch(sys_process_t *process, const plan_t *plan, sys_program_t *program)
{
    HANDLE jobs[2] = {NULL, NULL};
    PROCESS_INFORMATION child;
    win32_create_t wanted = {.path = plan->interpreter ? plan->interpreter : plan->path,
                             .command = plan->command,
                             .directory = plan->directory,
                             .environment = plan->environment,
                             .streams = {plan->streams[0], plan->streams[1], plan->streams[2]},
                             .jobs = jobs,
                             .flags = flags_of(program)};
    const size_t least = program->is_detached ? 0 : 1;
    apr_status_t status = program->is_detached ? APR_SUCCESS : win32_job(&jobs[0]);
    if (status != APR_SUCCESS)
        return status;
    process->job = CreateJobObjectW(NULL, NULL);
    if (!process->job)
        return win32_error();
    jobs[least] = process->job;
    wanted.job_count = least + 1;
    for (;;) {
        status = create(&child, &wanted, program);
        if (APR_TO_OS_ERROR(status) != ERROR_ACCESS_DENIED || program->failed)
            break;
        if (wanted.flags & CREATE_BREAKAWAY_FROM_JOB) {
            wanted.flags &= ~(DWORD)CREATE_BREAKAWAY_FROM_JOB;
        } else if (wanted.job_count > least) {
            wanted.job_count = least;
            win32_close(process->job);
            process->job = NULL;
        } else {
            break;
        }
    }
    if (status != APR_SUCCESS)
        return explain(status, &program->failed);
    win32_close(child.hThread);
    process->handle = child.hProcess;
    process->pid = child.dwProcessId;
    process->can_break =
        (wanted.flags & (CREATE_NEW_PROCESS_GROUP | DETACHED_PROCESS | CREATE_NO_WINDOW)) == CREATE_NEW_PROCESS_GROUP;
    return APR_SUCCESS;
}

apr_status_t sys_program_start(sys_process_t **process, sys_program_t *program)
{
    plan_t plan;
    program->failed = NULL;
    apr_status_t status = win32_process_make(process, 1);
    if (status != APR_SUCCESS)
        return status;
    status = prepare(&plan, program);
    if (status == APR_SUCCESS)
        status = launch(*process, &plan, program);
    finish(&plan);
    if (status != APR_SUCCESS) {
        sys_process_close(*process);
        *process = NULL;
    }
    return status;
}

/* ---- Signals ----------------------------------------------------------------------------------------------------- */

/** Send its group what the user sends by a key, if that can be. */
static int send_break(const sys_process_t *process)
{
    /* The number of a group that is gone can mean all who share the console. */
    return process->can_break && WaitForSingleObject(process->handle, 0) == WAIT_TIMEOUT &&
           GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, process->pid);
}

apr_status_t sys_program_signal(sys_process_t *process, int number)
{
    if (number == SYS_INTERRUPT && send_break(process))
        return APR_SUCCESS;
    if (number != SYS_INTERRUPT && number != SYS_KILL && number != SYS_TERMINATE)
        return APR_ENOTIMPL;
    return sys_process_signal(process, (sys_signal_t)number);
}

/**
 * Let nothing more into a job that is to be ended: a process in it that is just starting another would do so after all
 * that were there have been ended, and what it has started, but cannot let run any more, would stay.
 */
static void shut(HANDLE job)
{
    JOBOBJECT_BASIC_LIMIT_INFORMATION limit = {.LimitFlags = JOB_OBJECT_LIMIT_ACTIVE_PROCESS, .ActiveProcessLimit = 1};
    SetInformationJobObject(job, JobObjectBasicLimitInformation, &limit, sizeof limit);
}

apr_status_t sys_program_signal_all(sys_process_t *process, sys_signal_t sig)
{
    if (sig == SYS_INTERRUPT && send_break(process))
        return APR_SUCCESS;
    if (!process->job)
        return sys_process_signal(process, sig);
    shut(process->job);
    return TerminateJobObject(process->job, win32_signal_code((int)sig)) ? APR_SUCCESS : win32_error();
}
