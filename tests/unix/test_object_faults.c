/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared objects where each call that the library makes of the system and for memory fails once: founding a family,
 * making, opening and passing objects, waiting at them, and joining in a child. Each time the public call succeeds or
 * says why not, the family's memory is as it was before, and the next try works.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "faults.h"
#include "posix/unix.h"
#include "support/harness.h"
#include "support/messages.h"
#include "support/objects.h"
#include "support/support.h"

enum { SMALL_ARENA = 16 << 20 };

/** Whether a status is one of those that a fault may end in. */
static int is_of_fault(apr_status_t status)
{
    static const apr_status_t all[] = {APR_ENOMEM, APR_EMFILE, APR_ENFILE, APR_ENOSPC,
                                       APR_EINTR,  ENOBUFS,    APR_EAGAIN, APR_TIMEUP};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (status == all[i])
            return 1;
    return 0;
}

/** What there is of everything: at the end of each attempt it is the same. */
typedef struct baseline_t {
    mproc_family_info_t info;
    int descriptors;
    long blocks;
} baseline_t;

static baseline_t measure(void)
{
    baseline_t baseline;
    memset(&baseline, 0, sizeof baseline);
    assert_success(mproc_family_info(&baseline.info));
    baseline.descriptors = count_descriptors();
    baseline.blocks = fault_blocks();
    return baseline;
}

static void expect_baseline(const baseline_t *before)
{
    const baseline_t now = measure();
    assert_int_equal(now.info.objects, before->info.objects);
    assert_int_equal(now.info.used, before->info.used);
    assert_int_equal(now.info.members, before->info.members);
    assert_int_equal(now.descriptors, before->descriptors);
    assert_int_equal(now.blocks, before->blocks);
}

/** What is done with one fault. All that it makes is gone again afterwards. */
typedef struct scenario_t {
    void (*prepare)(void *context); /* where nothing fails; NULL: nothing */
    apr_status_t (*attempt)(void *context);
    void (*finish)(void *context); /* where nothing fails; NULL: nothing */
    void *context;
    apr_status_t usual; /* what the attempt returns where nothing fails */
    int choices;        /* of errors */
    const char *needed; /* one of the calls that fail */
} scenario_t;

/** Go through a scenario with one call failing, or none for number 0: which one that was, or NULL. */
static const char *run_with(const scenario_t *scenario, int number, int choice)
{
    if (scenario->prepare)
        scenario->prepare(scenario->context);
    fault_begin(number, choice);
    const apr_status_t status = scenario->attempt(scenario->context);
    const char *failed = fault_end();
    if (failed)
        printf("call %d, %s, choice %d: %d, %s\n", number, failed, choice, status, mproc_last_error()->text);
    if (status != scenario->usual) {
        assert_failure(status, status);
        assert_true(failed && is_of_fault(status));
    }
    if (scenario->finish)
        scenario->finish(scenario->context);
    return failed;
}

/** Go through a scenario with each of its calls failing, in each way. */
static void run(const scenario_t *scenario)
{
    enum { MOST = 400 };
    int is_met = 0;
    run_with(scenario, 0, 0); /* what is made once, and kept, is made */
    run_with(scenario, 0, 0);
    const baseline_t before = measure();
    for (int choice = 0; choice < scenario->choices; choice++) {
        const char *failed = "";
        for (int number = 1; failed; number++) {
            assert_true(number < MOST);
            failed = run_with(scenario, number, choice);
            is_met |= failed && strcmp(failed, scenario->needed) == 0;
            assert_true(failed || number > 1);
            expect_baseline(&before);
        }
        run_with(scenario, 0, 0);
        expect_baseline(&before);
    }
    assert_true(is_met);
}

/* ---- Founding ---------------------------------------------------------------------------------------------------- */

/** The number of the call that fails, and how. */
typedef struct fault_t {
    int number;
    int choice;
} fault_t;

enum { NOTHING_FAILED = 50, FAILED_WELL, GONE_ON, IN_ORDER_BUT_ERROR, WORKS_NOT };

/** Make, use and close one of each kind. */
static apr_status_t use_all(void)
{
    apr_status_t result = APR_SUCCESS;
    for (int kind = 0; kind < OBJECT_KINDS && result == APR_SUCCESS; kind++) {
        void *object = NULL, *opened;
        mproc_ref_t ref;
        result = object_kinds[kind].create(&object, "faults", NULL);
        if (result != APR_SUCCESS)
            break;
        result = mproc_ref(&ref, object);
        if (result == APR_SUCCESS)
            result = object_kinds[kind].open(&opened, &ref, NULL);
        if (result == APR_SUCCESS)
            object_kinds[kind].close(opened);
        object_kinds[kind].close(object);
    }
    return result;
}

/** The first use in a process, with a fault: what came of it. */
static int use_first(fault_t fault)
{
    mproc_family_info_t info;
    fault_begin(fault.number, fault.choice);
    const apr_status_t status = use_all();
    const char *failed = fault_end();
    if (status != APR_SUCCESS && (!is_of_fault(status) || mproc_last_error()->status != status))
        return IN_ORDER_BUT_ERROR;
    if (use_all() != APR_SUCCESS || mproc_family_info(&info) != APR_SUCCESS || info.objects > 1)
        return WORKS_NOT;
    return !failed ? NOTHING_FAILED : status == APR_SUCCESS ? GONE_ON : FAILED_WELL;
}

static int run_forked(fault_t fault)
{
    int status;
    fflush(stdout);
    const pid_t pid = fork();
    if (pid == 0) {
        const int code = use_first(fault);
        if (code > GONE_ON)
            printf("call %d, choice %d: %d, %s\n", fault.number, fault.choice, code, mproc_last_error()->text);
        fflush(stdout);
        _exit(code);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/** Count the outcomes of all faults, until nothing fails any more. */
static void run_first_uses(int (*run_one)(fault_t fault))
{
    enum { MOST = 300 };
    int failures = 0;
    for (int choice = 0; choice < FAULT_CHOICES; choice++) {
        fault_t fault = {1, choice};
        for (;; fault.number++) {
            const int outcome = run_one(fault);
            assert_true(fault.number < MOST);
            if (outcome == NOTHING_FAILED)
                break;
            if (outcome != FAILED_WELL && outcome != GONE_ON)
                fail_msg("call %d, choice %d: %d", fault.number, choice, outcome);
            failures += outcome == FAILED_WELL;
        }
        assert_true(fault.number > 5);
    }
    assert_true(failures > 10);
}

static void test_found(void **state)
{
    (void)state;
    assert_success(mproc_set_arena_size(SMALL_ARENA));
    run_first_uses(run_forked);
}

/** In a forked process that has the arena already, and joins. */
static void test_join_by_fork(void **state)
{
    (void)state;
    assert_success(mproc_set_arena_size(SMALL_ARENA));
    void *object = make_object(&object_kinds[OF_EVENT]);
    /* What they leave behind is this process's to look for, since nobody joins them. */
    run_first_uses(run_forked);
    assert_success(mproc_event_close(object));
    expect_no_objects();
}

static int use_in_child(mproc_call_t *call)
{
    const fault_t *fault = mproc_call_data(call, sizeof *fault);
    return fault ? use_first(*fault) : 1;
}

/** In a child that has to map the arena first; its creator sees that nothing is left of it. */
static int run_child(fault_t fault)
{
    mproc_process_opts_t opts = {.start_method = MPROC_SPAWN, .data = &fault, .size = sizeof fault};
    const int code = finish(start(use_in_child, opts));
    expect_no_objects();
    return code;
}

static void test_join_in_child(void **state)
{
    (void)state;
    assert_success(mproc_set_arena_size(SMALL_ARENA));
    run_first_uses(run_child);
}

/* ---- In one process ---------------------------------------------------------------------------------------------- */

static apr_status_t attempt_create(void *context)
{
    const object_kind_t *kind = context;
    void *object = &object;
    const apr_status_t status = kind->create(&object, "faults", NULL);
    if (status == APR_SUCCESS)
        kind->close(object);
    else if (object)
        return APR_EGENERAL;
    return status;
}

static void test_create(void **state)
{
    (void)state;
    for (int kind = 0; kind < OBJECT_KINDS; kind++) {
        const scenario_t scenario = {NULL,        attempt_create, NULL,    (void *)&object_kinds[kind],
                                     APR_SUCCESS, FAULT_CHOICES,  "calloc"};
        run(&scenario);
    }
}

/** The system does not take memory back, so that what was in it is there when it is used again: not to be seen. */
static void test_memory_kept(void **state)
{
    enum { SIZE = 200000, MOST = 10 };
    int is_met = 0;
    (void)state;
    for (int number = 1; number < MOST; number++) {
        mproc_shared_t *shared;
        assert_success(mproc_shared_create(&shared, SIZE, NULL));
        memset(mproc_shared_data(shared), 0xcc, SIZE);
        fault_begin(number, 0);
        mproc_shared_close(shared);
        const char *failed = fault_end();
        is_met |= failed && strcmp(failed, "madvise") == 0;
        assert_success(mproc_shared_create(&shared, SIZE, NULL));
        const unsigned char *bytes = mproc_shared_data(shared);
        for (int i = 0; i < SIZE; i++)
            assert_int_equal(bytes[i], 0);
        assert_success(mproc_shared_close(shared));
        expect_no_objects();
    }
    assert_true(is_met);
}

/** So many large ones that memory comes from the system for them, and goes back. */
static apr_status_t attempt_many(void *context)
{
    enum { MANY = 20 };
    const mproc_semaphore_opts_t owned = {.owned = 1};
    mproc_semaphore_t *semaphores[MANY];
    apr_status_t status = APR_SUCCESS;
    int count = 0;
    (void)context;
    while (count < MANY && status == APR_SUCCESS)
        status = mproc_semaphore_create(&semaphores[count++], MPROC_SEMAPHORE_OWNED_MAX, &owned);
    for (int i = 0; i < count; i++)
        mproc_semaphore_close(semaphores[i]);
    return status;
}

static void test_create_many(void **state)
{
    const scenario_t scenario = {NULL, attempt_many, NULL, NULL, APR_SUCCESS, FAULT_CHOICES, "fallocate"};
    (void)state;
    run(&scenario);
}

/* ---- Much memory ------------------------------------------------------------------------------------------------- */

/** How many bytes of memory the arena has taken. */
static long long taken(void)
{
    struct stat file;
    assert_int_equal(fstat(unix_arena_descriptor(), &file), 0);
    return (long long)file.st_blocks * 512;
}

/** So much that it is had in several steps. */
static apr_status_t attempt_large(void *context)
{
    mproc_shared_t *shared;
    const size_t *size = context;
    const apr_status_t status = mproc_shared_create(&shared, *size, NULL);
    if (status == APR_SUCCESS)
        mproc_shared_close(shared);
    return status;
}

/** If one step fails, what the others have had is given back. */
static void test_large(void **state)
{
    size_t size = (size_t)3 * UNIX_RESERVE_STEP - 100000;
    const scenario_t scenario = {NULL, attempt_large, NULL, &size, APR_SUCCESS, FAULT_CHOICES, "fallocate"};
    (void)state;
    assert_success(mproc_set_arena_size((uint64_t)4 * UNIX_RESERVE_STEP));
    run(&scenario);
    const long long before = taken();
    for (int choice = 0; choice < FAULT_CHOICES; choice++) {
        const char *failed = "";
        for (int number = 1; failed; number++) {
            failed = run_with(&scenario, number, choice);
            /* Where giving it back fails it stays, until it is taken anew. */
            if (failed && strcmp(failed, "fallocate") == 0)
                assert_int_equal(taken(), before);
        }
    }
}

static void refuse(void *context)
{
    (void)context;
    fault_end();
    fail_msg("more memory is taken than the machine has");
}

/** More than the machine has is not taken, as others would be killed for it. */
static void test_more_than_there_is(void **state)
{
    const uint64_t all = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    mproc_shared_t *shared;
    size_t some = (size_t)1 << 20;
    (void)state;
    if (all > SIZE_MAX / 4)
        skip_because("not all memory can be mapped here");
    assert_success(mproc_set_arena_size(all + ((uint64_t)1 << 30)));
    if (mproc_shared_create(&shared, some, NULL) != APR_SUCCESS)
        skip_because("not all memory can be mapped here");
    assert_success(mproc_shared_close(shared));
    const long long before = taken();
    fault_before("fallocate", refuse, NULL);
    assert_failure(mproc_shared_create(&shared, (size_t)all, NULL), APR_ENOMEM);
    fault_before(NULL, NULL, NULL);
    assert_error_names("no room for");
    assert_null(shared);
    assert_int_equal(taken(), before);
}

/** An object and its reference, or its reference and the pool that is to close it. */
typedef struct opening_t {
    const object_kind_t *kind;
    mproc_ref_t ref;
    mproc_conn_t *first, *second;
} opening_t;

static apr_status_t attempt_open(void *context)
{
    const opening_t *opening = context;
    void *opened = &opened;
    const apr_status_t status = opening->kind->open(&opened, &opening->ref, NULL);
    if (status == APR_SUCCESS)
        opening->kind->close(opened);
    else if (opened)
        return APR_EGENERAL;
    return status;
}

/** So many handles that what holds them needs memory of its own. */
static void test_open(void **state)
{
    (void)state;
    for (int kind = 0; kind < OBJECT_KINDS; kind++) {
        void *object = make_object(&object_kinds[kind]);
        opening_t opening = {&object_kinds[kind], ref_of(object), NULL, NULL};
        const scenario_t scenario = {NULL, attempt_open, NULL, &opening, APR_SUCCESS, FAULT_CHOICES, "calloc"};
        run(&scenario);
        assert_success(object_kinds[kind].close(object));
    }
    expect_no_objects();
}

/** A reference is sent, received and opened: what fails of it leaves the rest as it was. */
static apr_status_t attempt_pass(void *context)
{
    const opening_t *opening = context;
    mproc_ref_t ref;
    opening_t received = *opening;
    apr_status_t status = mproc_conn_send(opening->first, &opening->ref, sizeof ref, patience());
    if (status != APR_SUCCESS)
        return status;
    status = mproc_conn_recv_exactly(opening->second, &received.ref, sizeof ref, patience());
    if (status == APR_SUCCESS)
        return attempt_open(&received);
    /* It has not come, and is still there. */
    return mproc_conn_recv_exactly(opening->second, &ref, sizeof ref, patience()) == APR_SUCCESS ? status
                                                                                                 : APR_EGENERAL;
}

static void test_pass_by_message(void **state)
{
    (void)state;
    void *object = make_object(&object_kinds[OF_CONDITION]);
    opening_t opening = {&object_kinds[OF_CONDITION], ref_of(object), NULL, NULL};
    make_conns(&opening.first, &opening.second);
    const scenario_t scenario = {NULL, attempt_pass, NULL, &opening, APR_SUCCESS, FAULT_CHOICES, "send"};
    run(&scenario);
    close_both(opening.first, opening.second);
    assert_success(object_kinds[OF_CONDITION].close(object));
    expect_no_objects();
}

/* ---- Waiting ----------------------------------------------------------------------------------------------------- */

typedef struct wait_t {
    const object_kind_t *kind;
    void *object;
} wait_t;

static apr_status_t attempt_wait(void *context)
{
    enum { LONG = MPROC_MILLISECONDS(60) };
    const wait_t *wait = context;
    const apr_time_t begin = apr_time_now();
    const apr_status_t status = wait->kind->wait(wait->object, LONG);
    assert_true(apr_time_now() - begin > LONG / 2); /* the time was up when it said so */
    /* To give up breaks a barrier. */
    if (wait->kind == &object_kinds[OF_BARRIER])
        mproc_barrier_reset(wait->object);
    return status;
}

/** A wait sleeps until its time is up, whatever fails in between; that of a lock looks whether the owner lives. */
static void test_wait(void **state)
{
    (void)state;
    for (int kind = 0; kind < OBJECT_KINDS; kind++) {
        wait_t wait = {&object_kinds[kind], make_object(&object_kinds[kind])};
        const scenario_t scenario = {NULL, attempt_wait, NULL, &wait, APR_TIMEUP, 2, "futex"};
        run(&scenario);
        assert_success(object_kinds[kind].close(wait.object));
    }
    expect_no_objects();
}

typedef struct bereaved_t {
    mproc_lock_t *lock;
    mproc_process_t *process;
} bereaved_t;

static int die_with_lock(mproc_call_t *call)
{
    if (mproc_lock_acquire(mproc_call_lock(call, 0), 0) == APR_SUCCESS)
        raise(SIGKILL);
    return 1;
}

static void prepare_death(void *context)
{
    bereaved_t *bereaved = context;
    mproc_process_opts_t opts = {.start_method = MPROC_FORK, .share = {bereaved->lock}};
    siginfo_t info;
    bereaved->process = start(die_with_lock, opts);
    assert_int_equal(waitid(P_PID, (id_t)mproc_process_pid(bereaved->process), &info, WEXITED | WNOWAIT), 0);
}

/** Nobody has joined it: who wants the lock finds out that it is dead, if not at the first look, then at another. */
static apr_status_t attempt_to_inherit(void *context)
{
    const bereaved_t *bereaved = context;
    const apr_status_t status = mproc_lock_acquire(bereaved->lock, patience());
    if (mproc_has_acquired(status))
        mproc_lock_release(bereaved->lock);
    return status;
}

static void join_dead(void *context)
{
    const bereaved_t *bereaved = context;
    assert_int_equal(finish(bereaved->process), -SIGKILL);
}

static void test_owner_dead(void **state)
{
    bereaved_t bereaved;
    (void)state;
    assert_success(mproc_lock_create(&bereaved.lock, NULL));
    const scenario_t scenario = {prepare_death, attempt_to_inherit, join_dead, &bereaved, MPROC_EOWNERDEAD, 3,
                                 "syscall"};
    run(&scenario);
    assert_success(mproc_lock_close(bereaved.lock));
    expect_no_objects();
}

static int hold_lock(mproc_call_t *call)
{
    if (mproc_lock_acquire(mproc_call_lock(call, 0), 0) != APR_SUCCESS)
        return 1;
    mproc_event_set(mproc_call_event(call, 1));
    return mproc_event_wait(mproc_call_event(call, 2), MPROC_FOREVER) == APR_SUCCESS ? 7 : 2;
}

static apr_status_t attempt_acquire(void *context)
{
    return mproc_lock_acquire(context, MPROC_MILLISECONDS(100));
}

/** One of whom it cannot be told whether it lives is not taken for dead. */
static void test_owner_alive(void **state)
{
    mproc_lock_t *lock;
    mproc_event_t *has_it, *end;
    (void)state;
    assert_success(mproc_lock_create(&lock, NULL));
    assert_success(mproc_event_create(&has_it, NULL));
    assert_success(mproc_event_create(&end, NULL));
    mproc_process_opts_t opts = {.start_method = MPROC_FORK, .share = {lock, has_it, end}};
    mproc_process_t *owner = start(hold_lock, opts);
    assert_success(mproc_event_wait(has_it, patience()));
    const scenario_t scenario = {NULL, attempt_acquire, NULL, lock, APR_TIMEUP, 3, "syscall"};
    run(&scenario);
    assert_int_equal(mproc_lock_owner_pid(lock), mproc_process_pid(owner));
    assert_success(mproc_event_set(end));
    assert_int_equal(finish(owner), 7);
    assert_success(mproc_lock_close(lock));
    assert_success(mproc_event_close(has_it));
    assert_success(mproc_event_close(end));
    expect_no_objects();
}

/* ---- Starting with objects --------------------------------------------------------------------------------------- */

static int use_shared(mproc_call_t *call)
{
    fault_end();
    for (size_t kind = 0; kind < OBJECT_KINDS; kind++)
        if (!object_kinds[kind].given(call, kind))
            return 1;
    return mproc_event_set(mproc_call_event(call, OF_EVENT)) == APR_SUCCESS ? 7 : 2;
}

typedef struct family_t {
    mproc_process_opts_t opts;
    mproc_process_t *process;
} family_t;

static void prepare_start(void *context)
{
    family_t *family = context;
    for (int kind = 0; kind < OBJECT_KINDS; kind++)
        family->opts.share[kind] = make_object(&object_kinds[kind]);
}

static apr_status_t attempt_start(void *context)
{
    family_t *family = context;
    return mproc_process_start(&family->process, use_shared, &family->opts);
}

static void finish_start(void *context)
{
    family_t *family = context;
    /* One that could not be watched was ended, and may have run until then. */
    if (family->process) {
        assert_int_equal(finish(family->process), 7);
        assert_true(mproc_event_is_set(family->opts.share[OF_EVENT]));
    }
    for (int kind = 0; kind < OBJECT_KINDS; kind++)
        assert_success(object_kinds[kind].close(family->opts.share[kind]));
}

/* What fails in a forked process; number 0: nothing. */
static fault_t in_child;

static void begin_child_faults(void)
{
    fault_end();
    fault_begin(in_child.number, in_child.choice);
}

static void run_start(mproc_start_method_t method)
{
    family_t family = {.opts = {.start_method = method}};
    if (getenv("MPROC_TEST_NO_PROCESSES"))
        skip_because("processes cannot be started here");
    assert_int_equal(pthread_atfork(NULL, NULL, begin_child_faults), 0);
    const scenario_t scenario = {prepare_start, attempt_start, finish_start, &family, APR_SUCCESS, 3, "calloc"};
    run(&scenario);
    expect_no_objects();
}

static void test_start_by_fork(void **state)
{
    (void)state;
    run_start(MPROC_FORK);
}

static void test_start_by_forkserver(void **state)
{
    (void)state;
    run_start(MPROC_FORKSERVER);
}

static void test_start_by_spawn(void **state)
{
    (void)state;
    run_start(MPROC_SPAWN);
}

/** What fails while a forked child takes what it was given ends it with a status, if anything; nothing is left. */
static void test_take_in_child(void **state)
{
    enum { MOST = 40 };
    family_t family = {.opts = {.start_method = MPROC_FORK}};
    int failures = 0;
    (void)state;
    if (getenv("MPROC_TEST_NO_PROCESSES"))
        skip_because("processes cannot be started here");
    assert_int_equal(pthread_atfork(NULL, NULL, begin_child_faults), 0);
    prepare_start(&family);
    assert_int_equal(finish(start(use_shared, family.opts)), 7);
    const baseline_t before = measure();
    for (in_child.choice = 0; in_child.choice < 3; in_child.choice++)
        for (in_child.number = 1; in_child.number < MOST; in_child.number++) {
            int code = 0;
            assert_success(mproc_process_start(&family.process, use_shared, &family.opts));
            const apr_status_t status = mproc_process_finish(family.process, &code);
            if (status != APR_SUCCESS)
                assert_failure(status, status);
            else if (code != 7)
                fail_msg("call %d, choice %d: exit code %d", in_child.number, in_child.choice, code);
            failures += status != APR_SUCCESS;
            expect_baseline(&before);
        }
    assert_true(failures > 5);
    in_child.number = 0;
    family.process = NULL;
    finish_start(&family);
    expect_no_objects();
}

/** Where there is no room for what says that a child holds them, the start says so; where there is again, it works. */
static void test_start_while_full(void **state)
{
    enum { MOST = 300000 };
    const mproc_start_method_t methods[] = {MPROC_FORK, MPROC_FORKSERVER, MPROC_SPAWN};
    mproc_family_info_t before, after;
    void **handles = calloc(MOST, sizeof(void *));
    (void)state;
    if (getenv("MPROC_TEST_NO_PROCESSES"))
        skip_because("processes cannot be started here");
    uint64_t size = (uint64_t)1 << 20;
    while (mproc_set_arena_size(size) != APR_SUCCESS)
        size += 65536;
    mproc_process_opts_t opts = {0};
    for (int kind = 0; kind < OBJECT_KINDS; kind++)
        opts.share[kind] = make_object(&object_kinds[kind]);
    const mproc_ref_t ref = ref_of(opts.share[OF_EVENT]);
    for (size_t turn = 0; turn < sizeof methods / sizeof methods[0]; turn++) {
        int count = 0;
        opts.start_method = methods[turn];
        while (count < MOST && object_kinds[OF_EVENT].open(&handles[count], &ref, NULL) == APR_SUCCESS)
            count++;
        assert_int_equal(mproc_last_error()->status, APR_ENOMEM);
        assert_error_names("memory is full");
        assert_success(mproc_family_info(&before));
        for (int i = 0; i < 3; i++) {
            mproc_process_t *process = (mproc_process_t *)&process;
            assert_failure(mproc_process_start(&process, use_shared, &opts), APR_ENOMEM);
            assert_error_names("memory is full");
            assert_null(process);
            assert_success(mproc_family_info(&after));
            assert_memory_equal(&before, &after, sizeof before);
            assert_int_equal(count_lines("member "), 1);
        }
        for (int i = 0; i < count; i++)
            assert_success(object_kinds[OF_EVENT].close(handles[i]));
        assert_int_equal(finish(start(use_shared, opts)), 7);
    }
    for (int kind = 0; kind < OBJECT_KINDS; kind++)
        assert_success(object_kinds[kind].close(opts.share[kind]));
    expect_no_objects();
    free(handles);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found),
        cmocka_unit_test(test_join_by_fork),
        cmocka_unit_test(test_join_in_child),
        cmocka_unit_test(test_create),
        cmocka_unit_test(test_memory_kept),
        cmocka_unit_test(test_create_many),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_more_than_there_is),
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_pass_by_message),
        cmocka_unit_test(test_wait),
        cmocka_unit_test(test_owner_dead),
        cmocka_unit_test(test_owner_alive),
        cmocka_unit_test(test_start_by_fork),
        cmocka_unit_test(test_start_by_forkserver),
        cmocka_unit_test(test_start_by_spawn),
        cmocka_unit_test(test_take_in_child),
        cmocka_unit_test(test_start_while_full),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
