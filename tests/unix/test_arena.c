/* SPDX-License-Identifier: Apache-2.0 */
/*
 * White box: what a process does that is offered the memory of another build, another PID namespace, or none at all;
 * and families whose processes may not have as much as the arena needs.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arena.h"
#include "support/harness.h"
#include "support/objects.h"
#include "support/support.h"
#include "sys.h"

/* ---- Attempts in processes of their own -------------------------------------------------------------------------- */

/** What came of one; a crash or a hang is anything else. */
enum { WORKS = 40, REFUSED, INCONSISTENT };

/** Run a function in a forked process: its exit code, or minus the signal. */
static int run_forked(int (*run)(void *context), void *context)
{
    int status;
    fflush(stdout);
    const pid_t pid = fork();
    if (pid == 0) {
        alarm(20u * (unsigned)slowdown());
        const int code = run(context);
        fflush(stdout);
        _exit(code);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/** Whether a call was refused as it should be, and says who has called. */
static int is_refused(apr_status_t status, apr_status_t expected)
{
    const mproc_error_t *error = mproc_last_error();
    return status == expected && error->status == status && strncmp(error->text, "mproc_", 6) == 0;
}

static void ignore_line(void *context, const char *text)
{
    (void)context;
    (void)text;
}

/** Use what is there in all ways, as far as it goes. */
static int use_family(void)
{
    mproc_family_info_t info;
    /* Not queues: where damage has two objects in one place, they may look for a slot in one that is none, for good. */
    for (int kind = 0; kind < OF_QUEUE; kind++) {
        void *object;
        if (object_kinds[kind].create(&object, "damaged", NULL) != APR_SUCCESS)
            continue;
        object_kinds[kind].wait(object, 100);
        object_kinds[kind].close(object);
    }
    mproc_family_info(&info);
    mproc_dump(ignore_line, NULL);
    return WORKS;
}

/** Try to make an object: a refusal is the same each time. */
static int try_family(void *context)
{
    apr_status_t *status = context;
    void *object;
    apr_status_t first = APR_SUCCESS;
    for (int i = 0; i < 3; i++) {
        *status = object_kinds[OF_LOCK].create(&object, NULL, NULL);
        if (*status == APR_SUCCESS)
            return i == 0 ? use_family() : INCONSISTENT;
        if (i == 0)
            first = *status;
        if (!is_refused(*status, first) || object)
            return INCONSISTENT;
    }
    return REFUSED;
}

/* ---- What is offered --------------------------------------------------------------------------------------------- */

enum { SMALL = 16 << 20 };

/** An arena of another family, which this process has founded by its own means. */
typedef struct offer_t {
    sys_arena_t memory;
    arena_header_t *header;
    unsigned char *pristine; /* what it was at first, up to the first blocks */
    size_t size;
} offer_t;

/** Copy this process's own, with an object in it. */
static void make_offer(offer_t *offer)
{
    assert_success(mproc_set_arena_size(SMALL));
    make_object(&object_kinds[OF_CONDITION]);
    assert_int_equal(sys_arena_create(&offer->memory, SMALL), APR_SUCCESS);
    offer->size = (size_t)(arena->first_span + 2 * ARENA_SPAN);
    assert_int_equal(sys_arena_commit(&offer->memory, 0, offer->size), APR_SUCCESS);
    offer->header = (arena_header_t *)(void *)offer->memory.base;
    offer->pristine = malloc(offer->size);
    assert_non_null(offer->pristine);
    memcpy(offer->pristine, arena, offer->size);
    memcpy(offer->header, offer->pristine, offer->size);
}

static int take_and_try(void *context)
{
    const offer_t *offer = context;
    apr_status_t status;
    arena_take(offer->memory.handle, 0);
    return try_family(&status);
}

/** What comes of the offer as it is now. It is as at first afterwards. */
static int try_offer(offer_t *offer)
{
    const int outcome = run_forked(take_and_try, offer);
    if (outcome == REFUSED)
        memcpy(offer->header, offer->pristine, offsetof(arena_header_t, members));
    else
        memcpy(offer->header, offer->pristine, offer->size);
    return outcome;
}

/** Flip each bit of some words of the header. All of them, or those that tell sizes, are to be noticed. */
static void flip(offer_t *offer, size_t begin, size_t end, int is_noticed)
{
    const int step = slowdown() > 1 ? 5 : 1;
    for (size_t bit = begin * 8; bit < end * 8; bit += (size_t)step) {
        ((unsigned char *)offer->header)[bit / 8] ^= (unsigned char)(1u << bit % 8);
        const int outcome = try_offer(offer);
        if (outcome != REFUSED && (is_noticed || outcome != WORKS))
            fail_msg("byte %d, bit %d: %d", (int)(bit / 8), (int)(bit % 8), outcome);
    }
}

static void test_damaged_header(void **state)
{
    static offer_t offer; /* leak checkers find what it has */
    (void)state;
    make_offer(&offer);
    assert_int_equal(try_offer(&offer), WORKS);
    flip(&offer, 0, offsetof(arena_header_t, family), 1);
    flip(&offer, offsetof(arena_header_t, family), offsetof(arena_header_t, space), 0);
    flip(&offer, offsetof(arena_header_t, space), offsetof(arena_header_t, lock), 1);
    flip(&offer, offsetof(arena_header_t, lock), offsetof(arena_header_t, journal.entries), 0);
    flip(&offer, offsetof(arena_header_t, serial), offsetof(arena_header_t, members), 0);
}

/** Numbers that change, but are never larger than the tables that they are about. */
static void test_numbers_beyond_tables(void **state)
{
    static offer_t offer; /* leak checkers find what it has */
    (void)state;
    make_offer(&offer);
    arena_header_t *header = offer.header;
    shm_u64_t *const words[] = {&header->spans_used, &header->members_used, &header->spots_used,
                                &header->with_room[0][0], &header->with_room[1][ARENA_CLASSES - 1]};
    const uint64_t most[] = {header->span_count, ARENA_MEMBERS_MAX, ARENA_SPOTS_MAX, header->span_count,
                             header->span_count};
    const uint64_t beyond[] = {1, 2, 1000000, (uint64_t)1 << 40, UINT64_MAX / 2};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        for (size_t j = 0; j < sizeof beyond / sizeof beyond[0]; j++) {
            shm_store64(words[i], most[i] + beyond[j]);
            assert_int_equal(try_offer(&offer), REFUSED);
        }
    shm_store(&header->journal.count, JOURNAL_MAX + 1);
    assert_int_equal(try_offer(&offer), REFUSED);
}

/** Zeros, noise, and what was cut off anywhere. */
static void test_truncated(void **state)
{
    const uint64_t sizes[] = {65536, sizeof(arena_header_t) / 2, SMALL / 2, SMALL - 65536, SMALL + 65536};
    static offer_t offer; /* leak checkers find what it has */
    (void)state;
    make_offer(&offer);
    memset(offer.header, 0, offsetof(arena_header_t, members));
    assert_int_equal(try_offer(&offer), REFUSED);
    memset(offer.header, 0xa5, offsetof(arena_header_t, members));
    assert_int_equal(try_offer(&offer), REFUSED);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        offer_t part = offer;
        assert_int_equal(sys_arena_create(&part.memory, sizes[i]), APR_SUCCESS);
        part.header = (arena_header_t *)(void *)part.memory.base;
        part.size = sizes[i] < offer.size ? sizes[i] : offer.size;
        assert_int_equal(sys_arena_commit(&part.memory, 0, part.size), APR_SUCCESS);
        memcpy(part.header, offer.pristine, part.size);
        assert_int_equal(run_forked(take_and_try, &part), REFUSED);
        sys_arena_close(&part.memory);
    }
    /* No memory at all: an empty file, a folder, a pipe, nothing. */
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    FILE *empty = tmpfile();
    assert_non_null(empty);
    const int handles[] = {ends[0], fileno(empty), 9999};
    for (size_t i = 0; i < sizeof handles / sizeof handles[0]; i++) {
        offer.memory.handle = handles[i];
        assert_int_equal(run_forked(take_and_try, &offer), REFUSED);
    }
    fclose(empty);
}

/* ---- What is said of it ------------------------------------------------------------------------------------------ */

typedef struct told_t {
    const offer_t *offer;
    apr_status_t status;
    const char *text;
} told_t;

/** Each time, and by whatever call comes first. */
static int expect_told(void *context)
{
    const told_t *told = context;
    mproc_family_info_t info;
    mproc_ref_t ref = {{1, 2}, 3, 4};
    void *object;
    arena_take(told->offer->memory.handle, 0);
    for (int i = 0; i < 3; i++)
        for (int kind = 0; kind < OBJECT_KINDS; kind++) {
            if (!is_refused(object_kinds[kind].create(&object, NULL, NULL), told->status) ||
                !strstr(mproc_last_error()->text, told->text))
                return 1;
            if (!is_refused(object_kinds[kind].open(&object, &ref, NULL), told->status))
                return 2;
            if (!is_refused(mproc_family_info(&info), told->status))
                return 3;
        }
    return 0;
}

static void test_refusals(void **state)
{
    static offer_t offer; /* leak checkers find what it has */
    (void)state;
    make_offer(&offer);
    arena_header_t *header = offer.header;
    told_t told = {&offer, MPROC_EBUILD, "another build"};
    header->layout++;
    assert_int_equal(run_forked(expect_told, &told), 0);
    header->layout--;
    header->build++;
    assert_int_equal(run_forked(expect_told, &told), 0);
    /* Another build has perhaps another header: nothing else in it means anything. */
    header->first_span = header->size + 1;
    assert_int_equal(run_forked(expect_told, &told), 0);
    memcpy(header, offer.pristine, offsetof(arena_header_t, members));
    header->space++;
    told.status = MPROC_EFOREIGN;
    told.text = "another PID namespace";
    assert_int_equal(run_forked(expect_told, &told), 0);
    memcpy(header, offer.pristine, offsetof(arena_header_t, members));
    header->magic = 0;
    told.status = MPROC_EPROTOCOL;
    told.text = "no memory of a family";
    assert_int_equal(run_forked(expect_told, &told), 0);
}

enum { NO_NAMESPACES = 77 };

static int expect_foreign(void *context)
{
    void *object = context;
    void *made;
    for (int i = 0; i < 2; i++)
        if (!is_refused(mproc_lock_acquire(object, 0), MPROC_EFOREIGN) ||
            !strstr(mproc_last_error()->text, "another PID namespace") ||
            !is_refused(object_kinds[OF_LOCK].create(&made, NULL, NULL), MPROC_EFOREIGN))
            return 1;
    return 0;
}

static int enter_namespace(void *context)
{
    if (unshare(CLONE_NEWPID) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWPID) != 0)
        return NO_NAMESPACES;
    return run_forked(expect_foreign, context);
}

/** One that was forked into another PID namespace has the arena already, but its process id means nothing here. */
static void test_forked_into_another_namespace(void **state)
{
    (void)state;
    assert_success(mproc_set_arena_size(SMALL));
    void *lock = make_object(&object_kinds[OF_LOCK]);
    const int code = run_forked(enter_namespace, lock);
    if (code == NO_NAMESPACES)
        skip_because("no PID namespaces can be made here");
    assert_int_equal(code, 0);
    assert_int_equal(count_lines("member "), 1);
    assert_success(mproc_lock_release(lock));
    assert_success(mproc_lock_close(lock));
}

/* ---- Limits ------------------------------------------------------------------------------------------------------ */

static void limit(int resource, rlim_t most)
{
    struct rlimit both;
    assert_int_equal(getrlimit(resource, &both), 0);
    fflush(stdout);
    both.rlim_cur = most < both.rlim_max ? most : both.rlim_max;
    assert_int_equal(setrlimit(resource, &both), 0);
}

/** Sanitizers and emulators have reserved more address space than anybody may limit. */
static void need_small_address_space(void)
{
    if (slowdown() > 1)
        skip_because("address space cannot be limited under this tool");
}

static int map_without_room(void *context)
{
    apr_status_t status;
    void *object;
    const offer_t *offer = context;
    limit(RLIMIT_AS, 1);
    arena_take(offer->memory.handle, 0);
    if (try_family(&status) != REFUSED || status != APR_ENOMEM || !strstr(mproc_last_error()->text, "cannot be mapped"))
        return 1;
    limit(RLIMIT_AS, RLIM_INFINITY);
    return object_kinds[OF_LOCK].create(&object, NULL, NULL) == APR_SUCCESS ? use_family() : 2;
}

/** A child with too little address space for the arena is told so, and can use it when it has more. */
static void test_no_room_to_map(void **state)
{
    static offer_t offer; /* leak checkers find what it has */
    (void)state;
    need_small_address_space();
    make_offer(&offer);
    assert_int_equal(run_forked(map_without_room, &offer), WORKS);
}

/** Who wants more than there is gets a status; after that, whatever there is. */
static void test_no_room_to_found(void **state)
{
    void *object;
    mproc_family_info_t info;
    (void)state;
    need_small_address_space();
    limit(RLIMIT_AS, (rlim_t)1 << 30);
    assert_success(mproc_set_arena_size((uint64_t)2 << 30));
    for (int i = 0; i < 3; i++) {
        assert_failure(object_kinds[OF_LOCK].create(&object, NULL, NULL), APR_ENOMEM);
        assert_error_names("no memory to share");
        assert_null(object);
        assert_success(mproc_family_info(&info));
        assert_int_equal(info.size, 0);
    }
    assert_success(mproc_set_arena_size(0));
    object = make_object(&object_kinds[OF_LOCK]);
    assert_success(mproc_family_info(&info));
    assert_in_range(info.size, SMALL, 1 << 30);
    assert_success(mproc_lock_close(object));
    expect_no_objects();
}

/** The same for the sizes of files, which the arena is to the system. */
static void test_no_file_so_large(void **state)
{
    void *object;
    mproc_family_info_t info;
    (void)state;
    limit(RLIMIT_FSIZE, (rlim_t)64 << 20);
    assert_success(mproc_set_arena_size((uint64_t)128 << 20));
    assert_failure(object_kinds[OF_LOCK].create(&object, NULL, NULL), EFBIG);
    assert_error_names("no memory to share");
    assert_success(mproc_set_arena_size(0));
    object = make_object(&object_kinds[OF_LOCK]);
    assert_success(mproc_family_info(&info));
    assert_in_range(info.size, SMALL, 64 << 20);
    /* What is made is made: later limits are about other files. */
    limit(RLIMIT_FSIZE, 1);
    enum { MANY = 1500 };
    static void *objects[MANY];
    for (int i = 0; i < MANY; i++)
        objects[i] = make_object(&object_kinds[i % OBJECT_KINDS]);
    for (int i = 0; i < MANY; i++)
        assert_success(object_kinds[i % OBJECT_KINDS].close(objects[i]));
    assert_success(mproc_lock_close(object));
    expect_no_objects();
    limit(RLIMIT_FSIZE, RLIM_INFINITY);
}

/** Let this process open nothing more. */
static void forbid_descriptors(void)
{
    const int first_free = dup(0);
    close(first_free);
    limit(RLIMIT_NOFILE, (rlim_t)first_free);
}

static void allow_descriptors(void)
{
    limit(RLIMIT_NOFILE, RLIM_INFINITY);
}

static int acquire_and_pause(void *context)
{
    if (mproc_lock_acquire(context, 0) != APR_SUCCESS)
        return 1;
    raise(SIGKILL);
    return 2;
}

/** To found a family takes a descriptor; to use it takes none, also not to see that somebody has died. */
static void test_no_descriptors(void **state)
{
    void *object;
    (void)state;
    assert_success(mproc_set_arena_size(SMALL));
    const int before = count_descriptors();
    forbid_descriptors();
    for (int i = 0; i < 3; i++) {
        assert_failure(object_kinds[OF_LOCK].create(&object, NULL, NULL), APR_EMFILE);
        assert_error_names("no memory to share");
    }
    allow_descriptors();
    assert_int_equal(count_descriptors(), before);
    mproc_lock_t *lock;
    assert_success(mproc_lock_create(&lock, NULL));
    assert_int_equal(run_forked(acquire_and_pause, lock), -SIGKILL);
    forbid_descriptors();
    for (int kind = 0; kind < OBJECT_KINDS; kind++) {
        object = make_object(&object_kinds[kind]);
        assert_int_equal(object_kinds[kind].wait(object, 1000), APR_TIMEUP);
        assert_success(object_kinds[kind].close(object));
    }
    assert_failure(mproc_lock_acquire(lock, MPROC_SECONDS(20)), MPROC_EOWNERDEAD);
    allow_descriptors();
    assert_success(mproc_lock_release(lock));
    assert_success(mproc_lock_close(lock));
    expect_no_objects();
}

/* ---- Zeros ------------------------------------------------------------------------------------------------------- */

/** How many pages of shared memory this process has looked at. */
static long shared_pages(void)
{
    long total = 0, resident = 0, shared = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%ld %ld %ld", &total, &resident, &shared) != 3)
        skip_because("there is no /proc");
    fclose(file);
    return shared;
}

/** Memory that nobody has written to is not touched to make it zeros, nor is what was given back; the rest is zeros. */
static void test_zeros(void **state)
{
    enum { SIZE = 64 << 20, FEW = 200 };
    mproc_shared_t *shared;
    (void)state;
    assert_success(mproc_shared_close(make_object(&object_kinds[OF_SHARED])));
    const long before = shared_pages();
    for (int round = 0; round < 3; round++) {
        assert_success(mproc_shared_create(&shared, SIZE, NULL));
        unsigned char *bytes = mproc_shared_data(shared);
        assert_in_range(shared_pages() - before, 0, FEW);
        for (int i = 0; i < 20; i++)
            bytes[(size_t)i * (SIZE / 20) + 5] = 0xdd;
        assert_success(mproc_shared_close(shared));
    }
    /* In the same memory, all of which may hold something: what lies around it stays. */
    assert_success(mproc_shared_create(&shared, SIZE, NULL));
    unsigned char *bytes = mproc_shared_data(shared);
    const size_t begins[] = {0, 1, 4095, 4096, 100000, SIZE - 70000};
    const size_t ends[] = {SIZE, SIZE - 1, 8193, 100001, 12000000, SIZE - 4096};
    for (size_t i = 0; i < sizeof begins / sizeof begins[0]; i++) {
        memset(bytes, 0xcc, begins[i]);
        for (size_t at = begins[i]; at < SIZE; at += 1000 + i * 77777)
            bytes[at] = 0xcc;
        memset(bytes + ends[i], 0xcc, SIZE - ends[i]);
        arena_clear(arena_offset(bytes) + begins[i], ends[i] - begins[i]);
        for (size_t at = 0; at < SIZE; at++)
            if ((bytes[at] == 0) != (at >= begins[i] && at < ends[i]))
                fail_msg("byte %zu is %d", at, bytes[at]);
        memset(bytes, 0, SIZE);
    }
    assert_success(mproc_shared_close(shared));
    expect_no_objects();
}

/** Programs close what they do not know: without its descriptor an arena is as good. */
static void test_zeros_without_descriptor(void **state)
{
    enum { SIZE = 1 << 20 };
    mproc_shared_t *shared;
    (void)state;
    assert_success(mproc_shared_close(make_object(&object_kinds[OF_SHARED])));
    for (int fd = 3; fd < 100; fd++)
        close(fd);
    for (int round = 0; round < 3; round++) {
        assert_success(mproc_shared_create(&shared, SIZE, NULL));
        unsigned char *bytes = mproc_shared_data(shared);
        for (size_t at = 0; at < SIZE; at++)
            assert_int_equal(bytes[at], 0);
        memset(bytes, 0xcc, SIZE);
        assert_success(mproc_shared_close(shared));
    }
    expect_no_objects();
}

/** The family's memory is nobody's private memory, whoever has touched it. */
static void test_not_private(void **state)
{
    const size_t size = (size_t)64 << 20;
    mproc_shared_t *shared;
    uint64_t before, with;
    (void)state;
    if (slowdown() > 1)
        skip_because("the tool has private memory of its own for what is touched");
    assert_int_equal(sys_private_bytes(&before), APR_SUCCESS);
    assert_success(mproc_shared_create(&shared, size, NULL));
    memset(mproc_shared_data(shared), 1, size);
    assert_int_equal(sys_private_bytes(&with), APR_SUCCESS);
    assert_true(with < before + size / 4);
    assert_success(mproc_shared_close(shared));
    expect_no_objects();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_damaged_header),
        cmocka_unit_test(test_numbers_beyond_tables),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_forked_into_another_namespace),
        cmocka_unit_test(test_no_room_to_map),
        cmocka_unit_test(test_no_room_to_found),
        cmocka_unit_test(test_no_file_so_large),
        cmocka_unit_test(test_no_descriptors),
        cmocka_unit_test(test_zeros),
        cmocka_unit_test(test_zeros_without_descriptor),
        cmocka_unit_test(test_not_private),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
