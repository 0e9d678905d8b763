/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "initialize.h"
#include "process_object.h"

enum { RANDOM_KEY_SIZE = 32 };

int mproc_process_pid(mproc_process_t *handle)
{
    process_t *process;
    if (process_acquire(&process, handle, "mproc_process_pid") != APR_SUCCESS)
        return 0;
    /* Whoever launches it writes without the lock. */
    process_lock();
    const int pid = process->state == PROCESS_LAUNCHING ? 0 : process->pid;
    process_unlock();
    process_release(process);
    mproc_forget_error();
    return pid;
}

const char *mproc_process_name(mproc_process_t *handle)
{
    process_t *process;
    if (process_acquire(&process, handle, "mproc_process_name") != APR_SUCCESS)
        return NULL;
    process_lock();
    const char *name = process->name;
    process_unlock();
    process_release(process);
    mproc_forget_error();
    return name;
}

int mproc_process_is_daemon(mproc_process_t *handle)
{
    process_t *process;
    if (process_acquire(&process, handle, "mproc_process_is_daemon") != APR_SUCCESS)
        return 0;
    process_lock();
    const int daemon = process->daemon;
    process_unlock();
    process_release(process);
    mproc_forget_error();
    return daemon;
}

/** Linux's names; the numbers are the same in exit codes on every platform. */
static const char *signal_name(int sig)
{
    static const char *const names[] = {NULL,      "SIGHUP",  "SIGINT",  "SIGQUIT", "SIGILL",  "SIGTRAP",   "SIGABRT",
                                        "SIGBUS",  "SIGFPE",  "SIGKILL", "SIGUSR1", "SIGSEGV", "SIGUSR2",   "SIGPIPE",
                                        "SIGALRM", "SIGTERM", NULL,      "SIGCHLD", "SIGCONT", "SIGSTOP",   "SIGTSTP",
                                        "SIGTTIN", "SIGTTOU", "SIGURG",  "SIGXCPU", "SIGXFSZ", "SIGVTALRM", "SIGPROF",
                                        NULL,      "SIGIO",   "SIGPWR",  "SIGSYS"};
    return sig > 0 && (size_t)sig < sizeof names / sizeof names[0] ? names[sig] : NULL;
}

const char *mproc_exitcode_text(int exitcode, char *buffer, size_t size)
{
    const char *name = exitcode < 0 ? signal_name(-exitcode) : NULL;
    if (!buffer || size == 0)
        return "";
    if (name)
        apr_snprintf(buffer, size, "killed by signal %d (%s)", -exitcode, name);
    else
        apr_snprintf(buffer, size, exitcode < 0 ? "killed by signal %d" : "exit code %d",
                     exitcode < 0 ? -exitcode : exitcode);
    return buffer;
}

mproc_start_method_t mproc_process_start_method(mproc_process_t *handle)
{
    process_t *process;
    if (process_acquire(&process, handle, "mproc_process_start_method") != APR_SUCCESS)
        return MPROC_DEFAULT;
    const mproc_start_method_t method = process->method;
    process_release(process);
    mproc_forget_error();
    return method;
}

/** Fail unless a process was created and not started; with the lock held. */
static apr_status_t check_created(const process_t *process, const char *call)
{
    const int is_created = process->role == ROLE_CHILD && process->state == PROCESS_CREATED;
    return is_created ? APR_SUCCESS : process_wrong_state(process, call);
}

apr_status_t mproc_process_set_name(mproc_process_t *handle, const char *name)
{
    process_t *process;
    apr_status_t status = process_acquire(&process, handle, "mproc_process_set_name");
    if (status != APR_SUCCESS)
        return status;
    char *copy = NULL;
    if (!name || !*name || strlen(name) >= BOOT_NAME_MAX)
        status = mproc_fail(APR_EINVAL, "mproc_process_set_name: a name has 1 to %d bytes", BOOT_NAME_MAX - 1);
    else if (!(copy = strdup(name)))
        status = mproc_fail(APR_ENOMEM, "mproc_process_set_name: no memory");
    process_lock();
    if (status == APR_SUCCESS)
        status = check_created(process, "mproc_process_set_name");
    if (status == APR_SUCCESS) {
        char *old = process->name;
        process->name = copy;
        copy = old;
    }
    process_unlock();
    free(copy);
    process_release(process);
    return status;
}

apr_status_t mproc_process_set_daemon(mproc_process_t *handle, int daemon)
{
    process_t *process;
    apr_status_t status = process_acquire(&process, handle, "mproc_process_set_daemon");
    if (status != APR_SUCCESS)
        return status;
    process_lock();
    status = check_created(process, "mproc_process_set_daemon");
    if (status == APR_SUCCESS)
        process->daemon = daemon != 0;
    process_unlock();
    process_release(process);
    return status;
}

apr_status_t process_find_sentinel(sys_handle_t *sentinel, process_t *process, const char *call)
{
    process_lock();
    apr_status_t status = process_settle(process);
    if (status != APR_SUCCESS)
        status = mproc_fail(status, "%s: %s cannot be watched", call, process->name);
    else if (process->role == ROLE_CHILD && process->state < PROCESS_RUNNING)
        status = process_wrong_state(process, call);
    else if (process->thread)
        *sentinel = thread_sentinel(process);
    else if (process->os)
        *sentinel = sys_process_sentinel(process->os);
    else if (process->role == ROLE_PARENT)
        status = mproc_fail(APR_ENOENT, "%s: %s had ended before this process could look", call, process->name);
    else
        status = process_wrong_state(process, call);
    process_unlock();
    return status;
}

apr_status_t mproc_process_sentinel(mproc_process_t *handle, mproc_os_handle_t *sentinel)
{
    process_t *process;
    if (sentinel)
        *sentinel = MPROC_NO_HANDLE;
    apr_status_t status = process_acquire(&process, handle, "mproc_process_sentinel");
    if (status != APR_SUCCESS)
        return status;
    sys_handle_t found = SYS_NO_HANDLE;
    status = sentinel ? process_find_sentinel(&found, process, "mproc_process_sentinel")
                      : mproc_fail(APR_EINVAL, "mproc_process_sentinel: nowhere to store it: it is NULL");
    if (sentinel)
        *sentinel = found;
    process_release(process);
    return status;
}

/* ---- Authentication keys ----------------------------------------------------------------------------------------- */

/** Get the process whose key is to be read or set; with the lock held. A thread has its process's. */
static apr_status_t check_key_access(const process_t *process, const char *call)
{
    return process->role == ROLE_CURRENT || process == process_current() ? APR_SUCCESS : check_created(process, call);
}

apr_status_t process_key_of(const process_t **key_of, const process_t *process)
{
    process_t *main_process = process_main();
    *key_of = process->authkey_size ? process : process_current()->authkey_size ? process_current() : main_process;
    if ((*key_of)->authkey_size)
        return APR_SUCCESS;
    /* Nobody needed a key so far: the first process makes one. */
    apr_status_t status = apr_generate_random_bytes(main_process->authkey, RANDOM_KEY_SIZE);
    if (status != APR_SUCCESS)
        return mproc_fail(status, "no random bytes for the authentication key");
    main_process->authkey_size = RANDOM_KEY_SIZE;
    return APR_SUCCESS;
}

apr_status_t mproc_process_authkey(mproc_process_t *handle, void *buffer, size_t size, size_t *length)
{
    process_t *process;
    apr_status_t status = process_acquire(&process, handle, "mproc_process_authkey");
    if (status != APR_SUCCESS)
        return status;
    process_lock();
    status = check_key_access(process, "mproc_process_authkey");
    const process_t *key_of = NULL;
    if (status == APR_SUCCESS)
        status = process_key_of(&key_of, process);
    if (status == APR_SUCCESS && length)
        *length = key_of->authkey_size;
    if (status == APR_SUCCESS && (!buffer || size < key_of->authkey_size)) {
        status = mproc_fail(MPROC_ESIZE, "mproc_process_authkey: the key has %zu bytes, there is room for %zu",
                            key_of->authkey_size, buffer ? size : 0);
    } else if (status == APR_SUCCESS) {
        memcpy(buffer, key_of->authkey, key_of->authkey_size);
    }
    process_unlock();
    process_release(process);
    return status;
}

apr_status_t mproc_process_set_authkey(mproc_process_t *handle, const void *key, size_t size)
{
    process_t *process;
    apr_status_t status = process_acquire(&process, handle, "mproc_process_set_authkey");
    if (status != APR_SUCCESS)
        return status;
    process_lock();
    if (!key || size == 0 || size > MPROC_AUTHKEY_MAX)
        status = mproc_fail(APR_EINVAL, "mproc_process_set_authkey: a key has 1 to %d bytes, this one %zu",
                            MPROC_AUTHKEY_MAX, key ? size : 0);
    else
        status = check_key_access(process, "mproc_process_set_authkey");
    if (status == APR_SUCCESS) {
        memcpy(process->authkey, key, size);
        process->authkey_size = size;
    }
    process_unlock();
    process_release(process);
    return status;
}

/* ---- Who is who -------------------------------------------------------------------------------------------------- */

mproc_process_t *mproc_current_process(void)
{
    mproc_process_t *handle = NULL;
    if (library_is_initialized()) {
        process_lock();
        handle = process_current() ? process_current()->handle : NULL;
        process_unlock();
    }
    if (handle) {
        mproc_forget_error();
        return handle;
    }
    mproc_fail(MPROC_EINIT, "mproc_current_process: mproc_initialize was not called in this process's main");
    return NULL;
}

mproc_process_t *mproc_parent_process(void)
{
    if (!library_is_initialized()) {
        mproc_fail(MPROC_EINIT, "mproc_parent_process: mproc_initialize was not called in this process's main");
        return NULL;
    }
    mproc_process_t *handle = NULL;
    process_lock();
    /* A thread that is a child knows its creator, which can be a thread as well. */
    if (process_current() != process_main())
        handle = process_current()->creator;
    else if (process_parent())
        handle = process_parent()->handle;
    process_unlock();
    if (handle)
        mproc_forget_error();
    else
        mproc_fail(APR_ENOENT, "mproc_parent_process: this process is no child of mproc's");
    return handle;
}
