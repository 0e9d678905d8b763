/* SPDX-License-Identifier: Apache-2.0 */
/* What programs on Linux do that the family's memory has to stand: close what they do not know, fork, stop, move. */
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "handle.h"
#include "member.h"
#include "shared.h"
#include "support/harness.h"
#include "support/objects.h"
#include "support/support.h"

/** Run a function in a child of a plain fork: what it returns; 100 and the signal if one has killed it. */
static int in_forked_child(int (*run)(void))
{
    int status;
    fflush(NULL);
    const int pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        signal(SIGSEGV, SIG_DFL);
        signal(SIGBUS, SIG_DFL);
        _exit(run());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

/* ---- Descriptors ------------------------------------------------------------------------------------------------- */

enum { MANY = 3000, FILES = 64, FILE_SIZE = 8 << 20 };

/** Make so many objects that the arena grows, and close them all, so that it gives memory back. */
static int grow_and_shrink(void)
{
    static mproc_event_t *events[MANY];
    for (int i = 0; i < MANY; i++)
        if (mproc_event_create(&events[i], NULL) != APR_SUCCESS)
            return 1;
    for (int i = 0; i < MANY; i++)
        if (mproc_event_close(events[i]) != APR_SUCCESS)
            return 2;
    return 0;
}

/** Close all descriptors, and open files of the program's at their numbers: what has become of them. */
static int close_all_descriptors(void)
{
    static char path[] = "/tmp/mproc-test-XXXXXX";
    static char block[65536], found[65536];
    struct stat info;
    for (int fd = 3; fd < 256; fd++)
        close(fd);
    const int first = mkstemp(path);
    if (first != 3 || unlink(path) != 0)
        return 10;
    for (int fd = first + 1; fd < FILES; fd++)
        if (dup(first) != fd)
            return 11;
    memset(block, 'x', sizeof block);
    for (int i = 0; i < FILE_SIZE / (int)sizeof block; i++)
        if (write(first, block, sizeof block) != (ssize_t)sizeof block)
            return 12;
    const int result = grow_and_shrink();
    if (result != 0)
        return result;
    if (fstat(first, &info) != 0 || info.st_size != FILE_SIZE)
        return 20;
    for (int i = 0; i < FILE_SIZE / (int)sizeof block; i++)
        if (pread(first, found, sizeof found, (off_t)i * (off_t)sizeof found) != (ssize_t)sizeof found ||
            memcmp(found, block, sizeof found) != 0)
            return 21;
    return 0;
}

/** A daemon closes all that it does not know. Its own files are not taken for the arena afterwards. */
static void test_descriptors_closed(void **state)
{
    (void)state;
    void *event = make_object(&object_kinds[OF_EVENT]);
    assert_int_equal(in_forked_child(close_all_descriptors), 0);
    assert_int_equal(grow_and_shrink(), 0);
    assert_success(mproc_event_close(event));
}

/* ---- Joining ----------------------------------------------------------------------------------------------------- */

static int set_event(mproc_call_t *call)
{
    return mproc_event_set(mproc_call_event(call, 0)) == APR_SUCCESS ? 0 : 1;
}

/** Join the family of the parent, and pass what it refers to on to children. */
static int join_and_pass_on(int from)
{
    mproc_ref_t ref;
    mproc_event_t *event;
    if (read(from, &ref, sizeof ref) != (ssize_t)sizeof ref)
        return 1;
    if (mproc_family_join(getppid()) != APR_SUCCESS || mproc_event_open(&event, &ref, NULL) != APR_SUCCESS)
        return 2;
    const mproc_start_method_t methods[] = {MPROC_FORK, MPROC_SPAWN, MPROC_FORKSERVER};
    for (int i = 0; i < 3; i++) {
        const mproc_process_opts_t opts = {.start_method = methods[i], .share = {event}};
        if (mproc_event_clear(event) != APR_SUCCESS || finish(start(set_event, opts)) != 0 ||
            !mproc_event_is_set(event))
            return 10 + i;
    }
    return mproc_event_close(event) == APR_SUCCESS && grow_and_shrink() == 0 ? 0 : 3;
}

/** Who has joined a family has children in it, too. */
static void test_children_of_one_that_has_joined(void **state)
{
    int ends[2], status;
    (void)state;
    assert_int_equal(pipe(ends), 0);
    const int pid = fork();
    if (pid == 0)
        _exit(join_and_pass_on(ends[0]));
    void *event = make_object(&object_kinds[OF_EVENT]);
    const mproc_ref_t ref = ref_of(event);
    assert_int_equal(write(ends[1], &ref, sizeof ref), sizeof ref);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    close(ends[0]);
    close(ends[1]);
    assert_int_equal(status, 0);
    assert_success(mproc_event_close(event));
}

/* ---- Who lives --------------------------------------------------------------------------------------------------- */

static mproc_lock_t *lock;

/** Whether this process waits for a lock in vain, as its owner lives. */
static int wait_in_vain(void)
{
    return mproc_lock_acquire(lock, 300000) == APR_TIMEUP ? 0 : 1;
}

/** Look from the eyes of another user, who sees only what is his. */
static int look_as_another(void)
{
    enum { NEW_MOUNT_NAMESPACE = 0x00020000 };
    if (unshare(NEW_MOUNT_NAMESPACE) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("proc", "/proc", "proc", 0, "hidepid=2") != 0 || setgroups(0, NULL) != 0 || setgid(65534) != 0 ||
        setuid(65534) != 0)
        return 77;
    return access("/proc/1", F_OK) == 0 ? 77 : wait_in_vain();
}

/** Processes that are hidden are not dead. */
static void test_hidden_processes(void **state)
{
    (void)state;
    assert_success(mproc_lock_create(&lock, NULL));
    assert_success(mproc_lock_acquire(lock, 0));
    const int result = in_forked_child(look_as_another);
    if (result == 77)
        skip_because("processes cannot be hidden here");
    assert_int_equal(result, 0);
    assert_success(mproc_lock_release(lock));
    assert_success(mproc_lock_close(lock));
}

/** Start a member by a plain fork, which calls a function, says whether that is 0, and waits to be killed. */
static int start_member(int (*run)(void))
{
    int ends[2];
    char answer = 'x';
    assert_int_equal(pipe(ends), 0);
    const int pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        alarm(100); /* nobody kills it if the test fails */
        answer = (char)run();
        if (write(ends[1], &answer, 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    assert_int_equal(read(ends[0], &answer, 1), 1);
    assert_int_equal(answer, 0);
    close(ends[0]);
    close(ends[1]);
    return pid;
}

static void kill_and_reap(int pid)
{
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static int have_lock(void)
{
    return mproc_lock_acquire(lock, 0) == APR_SUCCESS ? 0 : 1;
}

/** A number that was a child's can be that of a living member by now. */
static void test_number_used_again(void **state)
{
    (void)state;
    assert_success(mproc_lock_create(&lock, NULL));
    const int pid = start_member(have_lock);
    member_note_end(0, pid);
    member_settle_noted();
    assert_failure(mproc_lock_acquire(lock, 0), APR_TIMEUP);
    kill_and_reap(pid);
    member_note_end(0, pid);
    assert_int_equal(mproc_lock_acquire(lock, 0), MPROC_EOWNERDEAD);
    assert_success(mproc_lock_release(lock));
    assert_success(mproc_lock_close(lock));
}

/* ---- Uses by threads that a child does not have ------------------------------------------------------------------ */

static void *objects[OBJECT_KINDS];

/** Use all of the creator's, and close them. */
static int use_and_close(void)
{
    mproc_ref_t ref;
    for (int kind = 0; kind < OBJECT_KINDS; kind++)
        if (mproc_ref(&ref, objects[kind]) != APR_SUCCESS || object_kinds[kind].close(objects[kind]) != APR_SUCCESS)
            return 1;
    return 0;
}

/** Threads wait at each object while a child is forked: what it closes it does not have any more, though it lives. */
static void test_used_by_threads(void **state)
{
    waiting_thread_t threads[OBJECT_KINDS];
    (void)state;
    for (int kind = 0; kind < OBJECT_KINDS; kind++) {
        objects[kind] = make_object(&object_kinds[kind]);
        begin_waiting(&threads[kind], &object_kinds[kind], objects[kind], MPROC_FOREVER);
    }
    await_waiting(OBJECT_KINDS);
    const int pid = start_member(use_and_close);
    for (int kind = 0; kind < OBJECT_KINDS; kind++) {
        assert_success(object_kinds[kind].close(objects[kind]));
        assert_int_equal(end_waiting(&threads[kind]), MPROC_ECLOSED);
    }
    expect_no_objects();
    kill_and_reap(pid);
}

static mproc_condition_t *condition;

/** Fork in calls on the condition: the child goes on with those, and with no other. */
static int fork_and_close(void *context)
{
    const unsigned uses = *(const unsigned *)context;
    int status;
    fflush(NULL);
    const int pid = fork();
    if (pid == 0) {
        if (handle_uses(condition) != uses || mproc_condition_close(condition) != APR_SUCCESS)
            _exit(1);
        _exit(handle_uses(condition) == uses ? 0 : 2);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    return 1;
}

static int go_deeper(void *context)
{
    int *depth = context;
    return --*depth == 0 || mproc_condition_wait_for(condition, go_deeper, depth, MPROC_FOREVER) == APR_SUCCESS;
}

static int fork_deeper(void *context)
{
    return mproc_condition_wait_for(condition, fork_and_close, context, MPROC_FOREVER) == APR_SUCCESS;
}

static void test_forked_in_a_call(void **state)
{
    waiting_thread_t thread;
    unsigned uses = 1;
    int depth = 20; /* more calls than are noted */
    (void)state;
    assert_success(mproc_condition_create(&condition, NULL));
    begin_waiting(&thread, &object_kinds[OF_CONDITION], condition, MPROC_FOREVER);
    await_waiting(1);
    assert_success(mproc_condition_acquire(condition, patience()));
    assert_success(mproc_condition_wait_for(condition, go_deeper, &depth, MPROC_FOREVER));
    assert_success(mproc_condition_wait_for(condition, fork_and_close, &uses, MPROC_FOREVER));
    uses = 2;
    assert_success(mproc_condition_wait_for(condition, fork_deeper, &uses, MPROC_FOREVER));
    assert_success(mproc_condition_release(condition));
    assert_success(mproc_condition_close(condition));
    assert_int_equal(end_waiting(&thread), MPROC_ECLOSED);
    expect_no_objects();
}

/* ---- Deaths that nobody reports ---------------------------------------------------------------------------------- */

static mproc_semaphore_t *semaphore;
static mproc_event_t *event;
static mproc_barrier_t *barrier;

static int wait_for_lock(void)
{
    return mproc_has_acquired(mproc_lock_acquire(lock, MPROC_FOREVER)) ? 0 : 1;
}

static int wait_at_barrier(void)
{
    return mproc_barrier_wait(barrier, NULL, MPROC_FOREVER) == MPROC_EBROKENBARRIER ? 0 : 1;
}

static int open_barrier(void)
{
    return mproc_barrier_parties(barrier) == 3 ? 0 : 1;
}

/** Start a process that waits for something, and stop it then. */
static int start_and_stop(int (*wait)(void))
{
    int status;
    fflush(NULL);
    const int pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(wait());
    await_waiting(1);
    kill(pid, SIGSTOP);
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    assert_true(WIFSTOPPED(status));
    return pid;
}

static void go_on_and_end(int pid)
{
    int status;
    kill(pid, SIGCONT);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/** Fail after so many milliseconds, and two seconds more for a machine that is busy: to wait in vain takes five. */
static void expect_within(apr_time_t begin, int most)
{
    enum { BUSY = 2000 };
    assert_in_range((apr_time_now() - begin) / 1000, 0, (most + BUSY) * slowdown());
}

/** One who waits for a lock is stopped, and does not see that the owner dies: the others do. */
static void test_stopped_while_it_waits_for_a_lock(void **state)
{
    (void)state;
    assert_success(mproc_lock_create(&lock, NULL));
    const int owner = start_member(have_lock);
    const int stopped = start_and_stop(wait_for_lock);
    kill_and_reap(owner);
    const apr_time_t begin = apr_time_now();
    assert_int_equal(mproc_lock_acquire(lock, 5000000), MPROC_EOWNERDEAD);
    expect_within(begin, 250);
    assert_success(mproc_lock_release(lock));
    go_on_and_end(stopped);
    assert_success(mproc_lock_close(lock));
}

/** One who looks out for all is stopped. */
static void test_stopped_at_a_barrier(void **state)
{
    (void)state;
    assert_success(mproc_barrier_create(&barrier, 3, NULL));
    const int party = start_member(open_barrier);
    const int stopped = start_and_stop(wait_at_barrier);
    kill_and_reap(party);
    const apr_time_t begin = apr_time_now();
    assert_int_equal(mproc_barrier_wait(barrier, NULL, 5000000), MPROC_EBROKENBARRIER);
    expect_within(begin, 500);
    go_on_and_end(stopped);
    assert_success(mproc_barrier_close(barrier));
}

/** Run a function in another process while this one goes on. */
static int begin_in_child(int (*run)(void))
{
    fflush(NULL);
    const int pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(run());
    return pid;
}

static int die(void *context)
{
    (void)context;
    return raise(SIGKILL);
}

static int leave(void *context)
{
    (void)context;
    exit(0);
}

static int come_last_and_die(void)
{
    apr_sleep(100000);
    mproc_barrier_wait_with(barrier, NULL, die, NULL, MPROC_FOREVER);
    return 1;
}

static int come_last_and_leave(void)
{
    apr_sleep(100000);
    mproc_barrier_wait_with(barrier, NULL, leave, NULL, MPROC_FOREVER);
    return 1;
}

/** The last one that comes ends in its action, by a signal or in order: the others are not let go, and told so. */
static void test_end_in_an_action(void **state)
{
    int (*const ends[])(void) = {come_last_and_die, come_last_and_leave};
    (void)state;
    for (int i = 0; i < 4; i++) {
        const mproc_barrier_opts_t opts = {.ignore_deaths = i % 2};
        assert_success(mproc_barrier_create(&barrier, 2, &opts));
        const int pid = begin_in_child(ends[i / 2]);
        const apr_time_t begin = apr_time_now();
        assert_int_equal(mproc_barrier_wait(barrier, NULL, 5000000), MPROC_EBROKENBARRIER);
        expect_within(begin, 1500);
        waitpid(pid, NULL, 0);
        assert_success(mproc_barrier_reset(barrier));
        assert_int_equal(mproc_barrier_waiting(barrier), 0);
        assert_success(mproc_barrier_close(barrier));
    }
}

/** Do what is a release, or a set, but for its last step, as one who is killed before that: so much is added. */
static void change_without_waking(void *object, uint32_t amount)
{
    const mproc_ref_t ref = ref_of(object);
    apr_sleep(100000);
    shm_add((shm_u32_t *)arena_at(ref.place + sizeof(shared_head_t)), amount);
}

static int release_halfway(void)
{
    change_without_waking(semaphore, 1);
    return 0;
}

static int set_halfway(void)
{
    change_without_waking(event, 5); /* once more, and the flag */
    return 0;
}

/** A process is killed between what it does and waking those who wait for that. */
static void test_killed_before_it_wakes(void **state)
{
    (void)state;
    assert_success(mproc_semaphore_create(&semaphore, 0, NULL));
    assert_success(mproc_event_create(&event, NULL));
    const int first = begin_in_child(release_halfway);
    apr_time_t begin = apr_time_now();
    assert_success(mproc_semaphore_acquire(semaphore, 4000000));
    expect_within(begin, 300);
    go_on_and_end(first);
    const int second = begin_in_child(set_halfway);
    begin = apr_time_now();
    assert_success(mproc_event_wait(event, 4000000));
    expect_within(begin, 300);
    go_on_and_end(second);
    assert_success(mproc_semaphore_close(semaphore));
    assert_success(mproc_event_close(event));
}

/* ---- Ends while threads go on ------------------------------------------------------------------------------------ */

static _Atomic int begun;

static void *make_and_close(void *context)
{
    mproc_lock_t *made;
    atomic_fetch_add(&begun, 1);
    for (;;)
        if (mproc_lock_create(&made, NULL) == APR_SUCCESS)
            mproc_lock_close(made);
    return context;
}

/** End in order while threads make and close objects: with the family's memory in order. */
static int end_while_threads_go_on(void)
{
    enum { THREADS = 4 };
    pthread_t thread;
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&thread, NULL, make_and_close, NULL) != 0)
            return 1;
    /* What is taken for a leak at its end: threads that only just begin. */
    while (atomic_load(&begun) < THREADS)
        apr_sleep(100);
    apr_sleep(1000 + getpid() % 7 * 300);
    exit(0);
}

static void test_end_while_threads_go_on(void **state)
{
    (void)state;
    void *object = make_object(&object_kinds[OF_EVENT]);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(in_forked_child(end_while_threads_go_on), 0);
        assert_int_equal(i % 10 ? 0 : grow_and_shrink(), 0);
    }
    assert_success(mproc_event_close(object));
    member_settle();
    expect_no_objects();
}

/* ---- Many who come and go ---------------------------------------------------------------------------------------- */

static int be_a_member(void)
{
    return mproc_barrier_parties(barrier) == 1 && raise(SIGKILL) == 0 ? 1 : 2;
}

static int take_part(mproc_call_t *call)
{
    return mproc_barrier_wait(mproc_call_barrier(call, 0), NULL, 0) == APR_SUCCESS ? 0 : 1;
}

/** More than there is room for at one time; nobody waits for anything, so nobody notices. */
static void test_many_killed(void **state)
{
    enum { KILLED = ARENA_MEMBERS_MAX + 10 };
    mproc_family_info_t info;
    const mproc_barrier_opts_t opts = {.ignore_deaths = 1};
    (void)state;
    assert_success(mproc_barrier_create(&barrier, 1, &opts));
    for (int i = 0; i < KILLED; i++)
        assert_int_equal(in_forked_child(be_a_member), 100 + SIGKILL);
    assert_success(mproc_family_info(&info));
    assert_in_range(info.members, 1, ARENA_MEMBERS_MAX);
    const mproc_process_opts_t child = {.share = {barrier}};
    assert_int_equal(finish(start(take_part, child)), 0);
    assert_success(mproc_barrier_close(barrier));
}

/** A process that waits in several threads can be part of a circle by any of them. */
static void test_deadlock_of_a_later_thread(void **state)
{
    mproc_lock_t *own;
    waiting_thread_t first, second;
    (void)state;
    assert_success(mproc_lock_create(&lock, NULL));
    assert_success(mproc_lock_create(&own, NULL));
    const int owner = start_member(have_lock);
    assert_success(mproc_lock_acquire(own, 0));
    begin_waiting(&first, &object_kinds[OF_LOCK], lock, MPROC_FOREVER);
    await_waiting(1);
    assert_int_equal(count_lines("deadlock"), 0);
    begin_waiting(&second, &object_kinds[OF_LOCK], own, MPROC_FOREVER);
    await_waiting(2);
    assert_int_equal(count_lines("deadlock of 1"), 1);
    assert_success(mproc_lock_close(lock));
    assert_success(mproc_lock_close(own));
    end_waiting(&first);
    end_waiting(&second);
    kill_and_reap(owner);
}

/** What is made and closed while the family is described is told, or not, but never taken for something else. */
static int describe_for_long(void)
{
    for (int i = 0; i < 300; i++)
        dump_family();
    return 0;
}

static void test_described_while_objects_change(void **state)
{
    int status = 0;
    (void)state;
    void *object = make_object(&object_kinds[OF_EVENT]);
    const int pid = begin_in_child(describe_for_long);
    while (waitpid(pid, &status, WNOHANG) == 0)
        for (int i = 0; i < OBJECT_KINDS; i++)
            object_kinds[i].close(make_object(&object_kinds[i]));
    assert_int_equal(status, 0);
    assert_success(mproc_event_close(object));
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_descriptors_closed),
        cmocka_unit_test(test_children_of_one_that_has_joined),
        cmocka_unit_test(test_hidden_processes),
        cmocka_unit_test(test_number_used_again),
        cmocka_unit_test(test_used_by_threads),
        cmocka_unit_test(test_forked_in_a_call),
        cmocka_unit_test(test_stopped_while_it_waits_for_a_lock),
        cmocka_unit_test(test_stopped_at_a_barrier),
        cmocka_unit_test(test_killed_before_it_wakes),
        cmocka_unit_test(test_end_in_an_action),
        cmocka_unit_test(test_end_while_threads_go_on),
        cmocka_unit_test(test_many_killed),
        cmocka_unit_test(test_deadlock_of_a_later_thread),
        cmocka_unit_test(test_described_while_objects_change),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
