/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two change one balance: each puts money in and takes the same out again, a hundred thousand times, under a lock.
 * They are threads of one program with MPROC_START_METHOD=thread, and processes with any other.
 */
#include <stdio.h>

#include <mproc/mproc.h>

enum { TIMES = 100000 };

/* A variable of the program would be one for all threads, but another one in each process. This is one for all. */
typedef struct account_t {
    int balance;
    int changes;
} account_t;

static int fail(const char *what)
{
    fprintf(stderr, "balance: %s: %s\n", what, mproc_last_error()->text);
    return 1;
}

static int change(mproc_shared_t *shared, int amount)
{
    account_t *account = mproc_shared_data(shared);
    if (!mproc_has_acquired(mproc_shared_acquire(shared, MPROC_FOREVER)))
        return fail("acquire");
    /* Without the lock the other one could come between reading and writing, and its change would be lost. */
    account->balance = account->balance + amount;
    account->changes = account->changes + 1;
    return mproc_shared_release(shared) == APR_SUCCESS ? 0 : fail("release");
}

/* This runs twice at the same time. */
static int change_it(mproc_call_t *call)
{
    mproc_shared_t *shared = mproc_call_shared(call, 0);
    const int *amount = mproc_call_data(call, sizeof *amount);
    if (!amount)
        return fail("amount");
    for (int i = 0; i < TIMES; i++) {
        if (change(shared, *amount) != 0 || change(shared, -*amount) != 0)
            return 1;
    }
    return 0;
}

static apr_status_t start(mproc_process_t **process, mproc_shared_t *shared, int amount)
{
    return mproc_process_start(
        process, change_it,
        &(mproc_process_opts_t){.daemon = 1, .data = &amount, .size = sizeof amount, .share = {shared}});
}

int main(int argc, char **argv)
{
    mproc_shared_t *shared;
    mproc_process_t *first;
    mproc_process_t *second;
    int exitcodes[2];
    if (mproc_initialize(argc, argv) != APR_SUCCESS)
        return fail("initialize");
    if (mproc_shared_create(&shared, sizeof(account_t), &(mproc_shared_opts_t){.lock = 1}) != APR_SUCCESS)
        return fail("create");
    if (start(&first, shared, 5) != APR_SUCCESS || start(&second, shared, 8) != APR_SUCCESS)
        return fail("start");
    if (mproc_process_finish(first, &exitcodes[0]) != APR_SUCCESS ||
        mproc_process_finish(second, &exitcodes[1]) != APR_SUCCESS)
        return fail("finish");

    /* Both have ended, so that nobody changes it any more: this needs no lock. */
    const account_t *account = mproc_shared_data(shared);
    printf("the balance is %d after %d changes\n", account->balance, account->changes);
    mproc_shared_close(shared);
    return exitcodes[0] || exitcodes[1];
}
