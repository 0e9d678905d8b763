/* SPDX-License-Identifier: Apache-2.0 */
/* White box: waiting at words of shared memory, which Windows does not have, and what goes with it. */
#include "win32/win32.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "blocks.h"
#include "support/harness.h"
#include "support/random.h"
#include "support/support.h"

enum { SECOND = 1000000, CHILDREN = 4, THREADS = 100 };

/** What parent and children have in common, in the arena. */
typedef struct common_t {
    _Atomic uint32_t word;
    _Atomic uint32_t other;
    _Atomic uint32_t has_come; /* how many are about to wait */
    _Atomic uint32_t has_gone; /* how many were woken */
    _Atomic uint32_t is_over;
    _Atomic uint32_t words[THREADS];
} common_t;

/** What a child is told. */
typedef struct order_t {
    uint64_t place;
    uint32_t number;
} order_t;

static sys_time_t soon(void)
{
    return sys_now() + SECOND / 20;
}

static sys_time_t later(void)
{
    return sys_now() + (sys_time_t)40 * SECOND * slowdown();
}

/** Get memory in the arena, all zeros. */
static common_t *make_common(void)
{
    transaction_t transaction;
    uint64_t place;
    assert_success(arena_use("test_park"));
    journal_begin(&transaction);
    assert_int_equal(blocks_take(&transaction, &place, sizeof(common_t), BLOCK_RAW), APR_SUCCESS);
    journal_commit(&transaction);
    return memset(arena_at(place), 0, sizeof(common_t));
}

static common_t *common_of(mproc_call_t *call)
{
    const order_t *order = mproc_call_data(call, sizeof *order);
    return order && arena_use("test_park") == APR_SUCCESS ? arena_at(order->place) : NULL;
}

static mproc_process_t *start_child(mproc_target_t target, const common_t *common, uint32_t number)
{
    const order_t order = {arena_offset(common), number};
    mproc_process_opts_t opts = {0};
    opts.data = &order;
    opts.size = sizeof order;
    mproc_process_t *process;
    assert_success(mproc_process_start(&process, target, &opts));
    return process;
}

static void kill_child(mproc_process_t *process)
{
    assert_success(mproc_process_kill(process));
    assert_int_equal(finish(process), -9);
}

static void await(const _Atomic uint32_t *word, uint32_t value)
{
    const sys_time_t end = later();
    while (atomic_load(word) != value && sys_now() < end)
        Sleep(1);
    assert_int_equal(atomic_load(word), value);
}

/** Change a word and wake those who wait at it. */
static void change(_Atomic uint32_t *word, unsigned count)
{
    atomic_fetch_add(word, 1);
    sys_unpark(word, count);
}

/* ---- One thread -------------------------------------------------------------------------------------------------- */

static void test_times(void **state)
{
    (void)state;
    _Atomic uint32_t elsewhere = 3;
    common_t *common = make_common();
    _Atomic uint32_t *const words[] = {&common->word, &elsewhere};
    atomic_store(&common->word, 3);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(sys_park(words[i], 2, SYS_NEVER), APR_SUCCESS);
        assert_int_equal(sys_park(words[i], 3, 0), APR_TIMEUP);
        assert_int_equal(sys_park(words[i], 3, sys_now() - 1), APR_TIMEUP);
        const sys_time_t end = soon();
        assert_int_equal(sys_park(words[i], 3, end), APR_TIMEUP);
        assert_true(sys_now() >= end);
        /* A wake before is none. */
        sys_unpark(words[i], 1);
        assert_int_equal(sys_park(words[i], 3, soon()), APR_TIMEUP);
    }
}

/* ---- Threads of one process -------------------------------------------------------------------------------------- */

typedef struct waiter_t {
    common_t *common;
    _Atomic uint32_t *word;
    HANDLE thread;
} waiter_t;

static DWORD WINAPI wait_for_change(void *data)
{
    const waiter_t *waiter = data;
    const sys_time_t end = later();
    const uint32_t before = atomic_load(waiter->word);
    atomic_fetch_add(&waiter->common->has_come, 1);
    while (atomic_load(waiter->word) == before)
        if (sys_park(waiter->word, before, end) != APR_SUCCESS)
            return 1;
    atomic_fetch_add(&waiter->common->has_gone, 1);
    return 0;
}

static void begin_waiters(waiter_t *waiters, uint32_t count, common_t *common)
{
    for (uint32_t i = 0; i < count; i++) {
        waiters[i] = (waiter_t){common, &common->words[i], NULL};
        waiters[i].thread = CreateThread(NULL, 0, wait_for_change, &waiters[i], 0, NULL);
        assert_non_null(waiters[i].thread);
    }
    await(&common->has_come, count);
    Sleep(20);
}

static void end_waiters(waiter_t *waiters, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        DWORD code = 99;
        assert_int_equal(WaitForSingleObject(waiters[i].thread, 50000), WAIT_OBJECT_0);
        assert_true(GetExitCodeThread(waiters[i].thread, &code));
        assert_int_equal(code, 0);
        CloseHandle(waiters[i].thread);
    }
}

/** Each at a word of its own, woken one by one: the others sleep on. */
static void test_many_words(void **state)
{
    static waiter_t waiters[THREADS];
    (void)state;
    common_t *common = make_common();
    unsigned long long seed = choose_seed();
    for (int round = 0; round < 3; round++) {
        uint32_t order[THREADS];
        atomic_store(&common->has_come, 0);
        atomic_store(&common->has_gone, 0);
        begin_waiters(waiters, THREADS, common);
        for (uint32_t i = 0; i < THREADS; i++) {
            const uint32_t at = (uint32_t)(next_random(&seed) % (i + 1));
            order[i] = order[at];
            order[at] = i;
        }
        for (uint32_t i = 0; i < THREADS; i++) {
            change(&common->words[order[i]], 1);
            await(&common->has_gone, i + 1);
        }
        end_waiters(waiters, THREADS);
    }
}

/** What is posted, and taken by whoever comes: none may be lost, though some do not wait to the end. */
typedef struct mail_t {
    common_t *common;
    uint32_t most;
    int is_hasty;
} mail_t;

static int take_one(_Atomic uint32_t *word)
{
    uint32_t value = atomic_load(word);
    while (value > 0)
        if (atomic_compare_exchange_weak(word, &value, value - 1))
            return 1;
    return 0;
}

static DWORD WINAPI take_mail(void *data)
{
    const mail_t *mail = data;
    common_t *common = mail->common;
    const sys_time_t end = later();
    while (atomic_load(&common->has_gone) < mail->most) {
        if (take_one(&common->word)) {
            if (atomic_fetch_add(&common->has_gone, 1) + 1 == mail->most)
                sys_unpark(&common->word, (unsigned)-1);
            continue;
        }
        /* Whoever gives up passes on a wake that it may have had. */
        if (sys_park(&common->word, 0, mail->is_hasty ? sys_now() + 200 : end) == APR_TIMEUP)
            sys_unpark(&common->word, 1);
        if (sys_now() > end)
            return 1;
    }
    return 0;
}

static void test_no_wake_is_lost(void **state)
{
    enum { TAKERS = 6, LETTERS = 3000 };
    (void)state;
    mail_t mails[TAKERS];
    HANDLE threads[TAKERS];
    common_t *common = make_common();
    for (int i = 0; i < TAKERS; i++) {
        mails[i] = (mail_t){common, LETTERS, i % 2};
        threads[i] = CreateThread(NULL, 0, take_mail, &mails[i], 0, NULL);
    }
    for (int i = 0; i < LETTERS; i++) {
        change(&common->word, 1);
        if (i % 64 == 0)
            Sleep(1);
    }
    await(&common->has_gone, LETTERS);
    /* Those who saw no end. */
    atomic_store(&common->word, TAKERS);
    sys_unpark(&common->word, (unsigned)-1);
    for (int i = 0; i < TAKERS; i++) {
        DWORD code = 99;
        assert_int_equal(WaitForSingleObject(threads[i], 50000), WAIT_OBJECT_0);
        assert_true(GetExitCodeThread(threads[i], &code));
        assert_int_equal(code, 0);
        CloseHandle(threads[i]);
    }
}

/* ---- Processes --------------------------------------------------------------------------------------------------- */

/** Wait at a word until it changes, once; the exit code tells whether it did. */
static int wait_once(mproc_call_t *call)
{
    common_t *common = common_of(call);
    if (!common)
        return 9;
    waiter_t waiter = {common, &common->word, NULL};
    return (int)wait_for_change(&waiter);
}

static void begin_children(mproc_process_t *children[], common_t *common)
{
    atomic_store(&common->has_come, 0);
    atomic_store(&common->has_gone, 0);
    for (uint32_t i = 0; i < CHILDREN; i++)
        children[i] = start_child(wait_once, common, i);
    await(&common->has_come, CHILDREN);
    Sleep(100);
}

static void test_all_are_woken(void **state)
{
    (void)state;
    mproc_process_t *children[CHILDREN];
    common_t *common = make_common();
    for (int round = 0; round < 3; round++) {
        begin_children(children, common);
        change(&common->other, (unsigned)-1);
        assert_int_equal(atomic_load(&common->has_gone), 0);
        change(&common->word, (unsigned)-1);
        for (uint32_t i = 0; i < CHILDREN; i++)
            assert_int_equal(finish(children[i]), 0);
    }
}

/** The word has changed for all, but so many are woken. */
static void test_so_many_are_woken(void **state)
{
    (void)state;
    mproc_process_t *children[CHILDREN];
    common_t *common = make_common();
    begin_children(children, common);
    change(&common->word, 1);
    await(&common->has_gone, 1);
    Sleep(100);
    assert_int_equal(atomic_load(&common->has_gone), 1);
    sys_unpark(&common->word, 2);
    await(&common->has_gone, 3);
    Sleep(100);
    assert_int_equal(atomic_load(&common->has_gone), 3);
    sys_unpark(&common->word, 1);
    for (uint32_t i = 0; i < CHILDREN; i++)
        assert_int_equal(finish(children[i]), 0);
}

/** Those who were killed while they waited get no wakes. */
static void test_killed_waiters(void **state)
{
    (void)state;
    mproc_process_t *children[CHILDREN];
    common_t *common = make_common();
    for (uint32_t round = 0; round < CHILDREN; round++) {
        begin_children(children, common);
        for (uint32_t i = 0; i < CHILDREN; i++)
            if (i != round)
                kill_child(children[i]);
        change(&common->word, 1);
        await(&common->has_gone, 1);
        assert_int_equal(finish(children[round]), 0);
    }
}

/** The same, where who wakes is not their creator, and was told of no death. */
static int wake_one(mproc_call_t *call)
{
    common_t *common = common_of(call);
    if (!common)
        return 9;
    change(&common->word, 1);
    return 0;
}

static void test_killed_siblings(void **state)
{
    (void)state;
    mproc_process_t *children[CHILDREN];
    common_t *common = make_common();
    begin_children(children, common);
    for (uint32_t i = 1; i < CHILDREN; i++)
        assert_success(mproc_process_kill(children[i]));
    for (uint32_t i = 1; i < CHILDREN; i++) {
        mproc_os_handle_t sentinel;
        assert_success(mproc_process_sentinel(children[i], &sentinel));
        assert_int_equal(sys_wait((sys_handle_t)sentinel, later()), APR_SUCCESS);
    }
    mproc_process_t *waker = start_child(wake_one, common, 0);
    assert_int_equal(finish(waker), 0);
    assert_int_equal(finish(children[0]), 0);
    for (uint32_t i = 1; i < CHILDREN; i++)
        assert_int_equal(finish(children[i]), -9);
}

/** Answer each change of one word by a change of another. */
static int answer(mproc_call_t *call)
{
    common_t *common = common_of(call);
    if (!common)
        return 9;
    atomic_fetch_add(&common->has_come, 1);
    for (uint32_t i = 0; !atomic_load(&common->is_over); i++) {
        while (atomic_load(&common->word) == i)
            sys_park(&common->word, i, sys_now() + SECOND);
        change(&common->other, 1);
    }
    return 0;
}

/** Have it answered so many times: the longest that it took. */
static sys_time_t ask(common_t *common, uint32_t times)
{
    sys_time_t longest = 0;
    for (uint32_t i = 0; i < times; i++) {
        const sys_time_t begin = sys_now();
        const uint32_t before = atomic_load(&common->other);
        change(&common->word, 1);
        while (atomic_load(&common->other) == before)
            sys_park(&common->other, before, sys_now() + SECOND);
        const sys_time_t took = sys_now() - begin;
        longest = took > longest ? took : longest;
    }
    return longest;
}

static void end_answers(common_t *common, mproc_process_t *child)
{
    atomic_store(&common->is_over, 1);
    change(&common->word, (unsigned)-1);
    assert_int_equal(finish(child), 0);
}

static void test_round_trips(void **state)
{
    enum { TIMES = 2000 };
    (void)state;
    common_t *common = make_common();
    mproc_process_t *child = start_child(answer, common, 0);
    await(&common->has_come, 1);
    ask(common, 10);
    const sys_time_t begin = sys_now();
    const sys_time_t longest = ask(common, TIMES);
    print_message("a round trip takes %.1f us, the longest %.1f\n", (double)(sys_now() - begin) / TIMES,
                  (double)longest);
    /* None was ended by its time alone. */
    assert_true(longest < (sys_time_t)SECOND * slowdown());
    end_answers(common, child);
}

/** Wait and wake at the words of others, until it is killed. */
static int meddle(mproc_call_t *call)
{
    common_t *common = common_of(call);
    if (!common)
        return 9;
    atomic_fetch_add(&common->has_come, 1);
    for (uint32_t i = 0; !atomic_load(&common->is_over); i++) {
        _Atomic uint32_t *word = i % 2 ? &common->word : &common->other;
        sys_park(word, atomic_load(word), sys_now() + 1000);
        /* It may have been meant for somebody else. */
        sys_unpark(word, 1 + i % 4);
    }
    return 0;
}

static void test_killed_wakers(void **state)
{
    enum { KILLS = 12, MEDDLERS = 2 };
    (void)state;
    common_t *common = make_common();
    unsigned long long seed = choose_seed();
    mproc_process_t *meddlers[MEDDLERS];
    mproc_process_t *child = start_child(answer, common, 0);
    for (uint32_t i = 0; i < MEDDLERS; i++)
        meddlers[i] = start_child(meddle, common, i);
    await(&common->has_come, 1 + MEDDLERS);
    sys_time_t longest = 0;
    for (uint32_t i = 0; i < KILLS; i++) {
        const sys_time_t took = ask(common, 20 + (uint32_t)(next_random(&seed) % 100));
        longest = took > longest ? took : longest;
        mproc_process_t **victim = &meddlers[next_random(&seed) % MEDDLERS];
        kill_child(*victim);
        *victim = start_child(meddle, common, i);
        await(&common->has_come, 2 + MEDDLERS + i);
    }
    print_message("the longest round trip took %.1f us\n", (double)longest);
    assert_true(longest < (sys_time_t)5 * SECOND * slowdown());
    end_answers(common, child);
    for (uint32_t i = 0; i < MEDDLERS; i++)
        assert_int_equal(finish(meddlers[i]), 0);
}

/** Mark all who wait as claimed, as by wakers that were killed before they woke them: how many there were. */
static int forge_claims(void)
{
    enum { CLAIMED = 1 << 16, HEADS = 128 };
    MEMORY_BASIC_INFORMATION view;
    int count = 0;
    assert_true(VirtualQuery(arena, &view, sizeof view) != 0);
    /* As park.c lays it out: what the bays wait for stands first, behind the heads of arena and lot. */
    _Atomic uint64_t *waits = (_Atomic uint64_t *)(void *)((unsigned char *)view.AllocationBase + HEADS);
    for (int i = 0; i < WIN32_BAYS; i++) {
        uint64_t wait = atomic_load(&waits[i]);
        if (wait && atomic_compare_exchange_strong(&waits[i], &wait, wait | CLAIMED))
            count++;
    }
    return count;
}

static void test_claimed_for_nothing(void **state)
{
    (void)state;
    mproc_process_t *children[CHILDREN];
    common_t *common = make_common();
    begin_children(children, common);
    assert_int_equal(forge_claims(), CHILDREN);
    /* They count as woken already, unless all are to be. */
    change(&common->word, CHILDREN);
    Sleep(100);
    assert_int_equal(atomic_load(&common->has_gone), 0);
    sys_unpark(&common->word, (unsigned)-1);
    for (uint32_t i = 0; i < CHILDREN; i++)
        assert_int_equal(finish(children[i]), 0);
    /* Nothing of it is left. */
    begin_children(children, common);
    change(&common->word, CHILDREN);
    for (uint32_t i = 0; i < CHILDREN; i++)
        assert_int_equal(finish(children[i]), 0);
}

static DWORD WINAPI wait_a_while(void *data)
{
    common_t *common = data;
    atomic_fetch_add(&common->has_come, 1);
    return sys_park(&common->word, 0, sys_now() + SECOND / 2) != APR_SUCCESS;
}

/** Whoever is claimed is woken, at the latest when the time is up; and no event is left set. */
static void test_claimed_until_the_time_is_up(void **state)
{
    (void)state;
    DWORD code = 99;
    common_t *common = make_common();
    HANDLE thread = CreateThread(NULL, 0, wait_a_while, common, 0, NULL);
    await(&common->has_come, 1);
    Sleep(100);
    assert_int_equal(forge_claims(), 1);
    assert_int_equal(WaitForSingleObject(thread, 50000), WAIT_OBJECT_0);
    assert_true(GetExitCodeThread(thread, &code));
    assert_int_equal(code, 0);
    CloseHandle(thread);
    assert_int_equal(sys_park(&common->word, 0, soon()), APR_TIMEUP);
    assert_int_equal(forge_claims(), 0);
}

/** What is kept of others is let go when they end, and what they had is used again. */
static void test_nothing_is_left(void **state)
{
    (void)state;
    mproc_process_t *children[CHILDREN];
    common_t *common = make_common();
    int before = 0;
    for (int round = 0; round < 12; round++) {
        begin_children(children, common);
        if (round % 2)
            change(&common->word, (unsigned)-1);
        for (uint32_t i = 0; i < CHILDREN; i++) {
            if (round % 2)
                assert_int_equal(finish(children[i]), 0);
            else
                kill_child(children[i]);
        }
        if (round == 1)
            before = count_descriptors();
    }
    expect_descriptors(before);
}

/* ---- The arena --------------------------------------------------------------------------------------------------- */

static void test_views(void **state)
{
    enum { PART = 1 << 16 };
    (void)state;
    sys_arena_t first, second;
    const uint64_t size = sys_arena_default_size();
    assert_int_equal(sys_arena_create(&first, size), APR_SUCCESS);
    assert_true(first.size == size);
    sys_handle_t copy;
    assert_int_equal(sys_handle_duplicate(&copy, first.handle), APR_SUCCESS);
    assert_int_equal(sys_arena_map(&second, copy), APR_SUCCESS);
    assert_true(second.size == size && second.base != first.base);
    /* Each sees what the other has made, to the last byte. */
    const uint64_t places[] = {0, 5 * PART, size - PART};
    for (int i = 0; i < 3; i++) {
        const sys_arena_t *maker = i % 2 ? &second : &first;
        const sys_arena_t *other = i % 2 ? &first : &second;
        assert_int_equal(sys_arena_commit(maker, places[i], PART), APR_SUCCESS);
        assert_int_equal(other->base[places[i] + PART - 1], 0);
        memset(other->base + places[i], i + 1, PART);
        assert_int_equal(sys_arena_commit(other, places[i], PART), APR_SUCCESS);
        assert_int_equal(maker->base[places[i] + PART - 1], i + 1);
    }
    sys_arena_release(&first, 5 * PART, PART);
    assert_int_equal(sys_arena_commit(&second, 5 * PART, PART), APR_SUCCESS);
    memset(second.base + 5 * PART, 7, PART);
    assert_int_equal(first.base[5 * PART], 7);
    assert_int_equal(first.base[0], 1);
    sys_arena_close(&second);
    /* It can be found by what it begins with. */
    memcpy(first.base, "beginning", 9);
    assert_int_equal(sys_arena_find(&copy, sys_getpid(), "beginning", 9), APR_SUCCESS);
    assert_int_equal(sys_arena_map(&second, copy), APR_SUCCESS);
    assert_memory_equal(second.base, "beginning", 9);
    sys_arena_close(&second);
    assert_int_equal(sys_arena_find(&copy, sys_getpid(), "nothing", 7), APR_ENOENT);
    assert_int_equal(first.base[size - 1], 3);
    sys_arena_close(&first);
    assert_null(first.base);
}

static void test_what_is_no_arena(void **state)
{
    (void)state;
    sys_arena_t made;
    sys_block_t block;
    assert_int_equal(sys_block_create(&block, 1 << 20, SYS_BLOCK_PASSED), APR_SUCCESS);
    assert_int_equal(sys_arena_map(&made, block.handle), APR_EINVAL);
    assert_null(made.base);
    sys_block_close(&block);
    HANDLE event = CreateEventW(NULL, TRUE, FALSE, NULL);
    assert_true(sys_arena_map(&made, (sys_handle_t)event) != APR_SUCCESS);
    assert_null(made.base);
    CloseHandle(event);
    assert_int_equal(sys_arena_create(&made, (uint64_t)1 << 62), APR_ENOMEM);
    assert_null(made.base);
}

/* ---- Threads and processes --------------------------------------------------------------------------------------- */

static void note_end(void *count)
{
    atomic_fetch_add((_Atomic uint32_t *)count, 1);
}

static DWORD WINAPI end_at_once(void *count)
{
    static sys_thread_exit_t at_exit;
    return sys_at_thread_exit(&at_exit, note_end, count) != APR_SUCCESS;
}

static DWORD WINAPI end_by_call(void *count)
{
    static sys_thread_exit_t at_exit;
    ExitThread((DWORD)(sys_at_thread_exit(&at_exit, note_end, count) != APR_SUCCESS));
}

static DWORD WINAPI end_without(void *count)
{
    (void)count;
    return 0;
}

static void test_threads_end(void **state)
{
    static const LPTHREAD_START_ROUTINE routines[] = {end_at_once, end_by_call, end_without};
    static const uint32_t expected[] = {1, 1, 0};
    (void)state;
    for (int i = 0; i < 3; i++) {
        _Atomic uint32_t count = 0;
        DWORD code = 99;
        HANDLE thread = CreateThread(NULL, 0, routines[i], &count, 0, NULL);
        assert_int_equal(WaitForSingleObject(thread, 50000), WAIT_OBJECT_0);
        assert_true(GetExitCodeThread(thread, &code));
        assert_int_equal(code, 0);
        CloseHandle(thread);
        assert_int_equal(atomic_load(&count), expected[i]);
    }
}

static int end_with_it(mproc_call_t *call)
{
    static common_t *common;
    static sys_thread_exit_t at_exit;
    common = common_of(call);
    if (!common || sys_at_thread_exit(&at_exit, note_end, &common->has_gone) != APR_SUCCESS)
        return 9;
    return 0;
}

/** The thread that ends the process does not count. */
static void test_process_ends(void **state)
{
    (void)state;
    common_t *common = make_common();
    assert_int_equal(finish(start_child(end_with_it, common, 0)), 0);
    assert_int_equal(atomic_load(&common->has_gone), 0);
}

static void test_births(void **state)
{
    (void)state;
    uint64_t birth, listed;
    mproc_process_t *children[CHILDREN];
    common_t *common = make_common();
    begin_children(children, common);
    for (uint32_t i = 0; i <= CHILDREN; i++) {
        const int pid = i < CHILDREN ? mproc_process_pid(children[i]) : sys_getpid();
        assert_int_equal(sys_birth(&birth, pid), APR_SUCCESS);
        assert_int_equal(win32_birth_listed(&listed, (DWORD)pid), APR_SUCCESS);
        assert_true(birth == listed);
    }
    assert_int_equal(win32_birth_listed(&listed, 0x7ffffffd), APR_ENOENT);
    change(&common->word, (unsigned)-1);
    for (uint32_t i = 0; i < CHILDREN; i++)
        assert_int_equal(finish(children[i]), 0);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_many_words),
        cmocka_unit_test(test_no_wake_is_lost),
        cmocka_unit_test(test_all_are_woken),
        cmocka_unit_test(test_so_many_are_woken),
        cmocka_unit_test(test_killed_waiters),
        cmocka_unit_test(test_killed_siblings),
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_killed_wakers),
        cmocka_unit_test(test_claimed_for_nothing),
        cmocka_unit_test(test_claimed_until_the_time_is_up),
        cmocka_unit_test(test_nothing_is_left),
        cmocka_unit_test(test_views),
        cmocka_unit_test(test_what_is_no_arena),
        cmocka_unit_test(test_threads_end),
        cmocka_unit_test(test_process_ends),
        cmocka_unit_test(test_births),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
