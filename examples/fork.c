/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The start method fork: the child is a copy of its parent, with all its memory. Windows does not have it.
 */
#include <stdio.h>

#include <mproc/mproc.h>

/* The parent sets this before it forks. With another start method the child would not see it. */
static const char *secret;

/* This runs in the child. */
static int tell_ids(mproc_call_t *call)
{
    (void)call;
    printf("child: my id is %d, my parent's is %d\n", mproc_getpid(), mproc_getppid());
    printf("child: the secret is %s\n", secret ? secret : "not here");
    return 0;
}

static int fail(const char *what)
{
    fprintf(stderr, "fork: %s: %s\n", what, mproc_last_error()->text);
    return 1;
}

int main(int argc, char **argv)
{
    if (mproc_initialize(argc, argv) != APR_SUCCESS)
        return fail("initialize");
    secret = "42";

    mproc_process_t *process;
    apr_status_t status = mproc_process_start(&process, tell_ids, &(mproc_process_opts_t){.start_method = MPROC_FORK});
    if (APR_STATUS_IS_ENOTIMPL(status)) {
        printf("this system does not have fork\n");
        return 0;
    }
    if (status != APR_SUCCESS)
        return fail("start");

    int child = mproc_process_pid(process);
    int exitcode;
    if (mproc_process_finish(process, &exitcode) != APR_SUCCESS)
        return fail("finish");
    printf("parent: my id is %d, my child's was %d\n", mproc_getpid(), child);
    return exitcode;
}
