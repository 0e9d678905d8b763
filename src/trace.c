/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trace events: an array of JSON objects, one in each line. Every process of the family appends to the same file. The
 * format allows that the array has no end, as it is if the first process is killed.
 */
#include "trace.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <apr_strings.h>
#include <apr_thread_proc.h>
#include <apr_time.h>

#include <mproc/log.h>
#include <mproc/status.h>

#include "arena.h"
#include "process_object.h"

enum {
    LINE_BYTES = 2048,  /* of any one; see TEXT_BYTES */
    TEXT_BYTES = 96,    /* of any one name, each of which takes six at most */
    KEPT_BYTES = 16384, /* until they are written */
    POOLS = 16,         /* that are told apart in one process */
    WORKERS = 4096,     /* of each of these */
    TRACKS = 10000      /* from the first worker of one pool to that of the next */
};

/** How far a process is with it, and how far the family. */
enum { NOT_BEGUN, BEGINNING, BEGUN };

_Atomic int trace_on;

/** All that this process has of it. */
static struct {
    _Atomic int lock; /* the id of the process one of whose threads holds it; 0: nobody */
    int pid;          /* whose all that follows is; a forked child has its creator's, and is not to write it again */
    int begun;
    int is_open;
    int finishes; /* it is for this process to finish the file */
    sys_append_t file;
    size_t length;
    char kept[KEPT_BYTES];
    char pools[POOLS][TEXT_BYTES];
    unsigned char is_named[POOLS][WORKERS / 8];
} trace;

static char path[SYS_PATH_MAX];

/** What was taken out to be written, when the lock is free again. */
typedef struct taken_t {
    sys_append_t file;
    size_t length;
    char text[KEPT_BYTES];
} taken_t;

/* ---- The lock, also across forks --------------------------------------------------------------------------------- */

/** Nothing is written while it is held, so it is held for some microseconds: waiting is looking again. */
static void acquire(void)
{
    const int self = sys_getpid();
    for (;;) {
        int holder = atomic_load(&trace.lock);
        /* A thread of another process holds it: this is a copy, and that thread is not here. */
        if (holder != self && atomic_compare_exchange_strong(&trace.lock, &holder, self))
            break;
        apr_thread_yield();
    }
    if (trace.pid == self)
        return;
    trace.pid = self;
    trace.begun = trace.is_open = trace.finishes = 0;
    trace.length = 0;
    memset(trace.pools, 0, sizeof trace.pools);
    memset(trace.is_named, 0, sizeof trace.is_named);
}

static void release(void)
{
    atomic_store(&trace.lock, 0);
}

/* ---- The file ---------------------------------------------------------------------------------------------------- */

/** Stop for good, and say why. */
static void give_up(apr_status_t status)
{
    char text[160];
    atomic_store(&trace_on, 0);
    mproc_log(MPROC_LOG_WARNING, "MPROC_TRACE: %s cannot be written: %s", path,
              mproc_strerror(status, text, sizeof text));
}

/** Open the file, if that was not done in this process; with the lock. */
static apr_status_t open_file(int is_new)
{
    if (trace.is_open)
        return APR_SUCCESS;
    const apr_status_t status = sys_append_open(&trace.file, path, is_new);
    trace.is_open = status == APR_SUCCESS;
    return status;
}

/** Take out all that is kept; with the lock. */
static void take(taken_t *taken)
{
    taken->file = trace.file;
    taken->length = trace.length;
    memcpy(taken->text, trace.kept, trace.length);
    trace.length = 0;
}

/** Write what was taken out; without the lock. */
static apr_status_t write_taken(taken_t *taken)
{
    if (taken->length == 0)
        return APR_SUCCESS;
    apr_status_t status = sys_append(&taken->file, taken->text, taken->length);
    if (APR_STATUS_IS_EBADF(status)) {
        /* The program has closed it: tasks do that to all that they do not know. */
        acquire();
        trace.is_open = 0;
        status = open_file(0);
        taken->file = trace.file;
        release();
        if (status == APR_SUCCESS)
            status = sys_append(&taken->file, taken->text, taken->length);
    }
    if (status != APR_SUCCESS)
        give_up(status);
    return status;
}

/* ---- Lines ------------------------------------------------------------------------------------------------------- */

static void add(const char *format, ...) MPROC_FORMAT(1, 2);

/** Add to the line that is being written; with the lock, and room for a line. */
static void add(const char *format, ...)
{
    const size_t room = sizeof trace.kept - trace.length;
    va_list values;
    va_start(values, format);
    const int more = vsnprintf(trace.kept + trace.length, room, format, values);
    va_end(values);
    if (more > 0 && (size_t)more < room)
        trace.length += (size_t)more;
}

/** How many bytes the character has that a text begins with; 0 if it is none. */
static size_t measure_character(const unsigned char *text)
{
    static const struct {
        unsigned char mask, lead;
    } kinds[] = {{0x80, 0}, {0xe0, 0xc0}, {0xf0, 0xe0}, {0xf8, 0xf0}};
    for (size_t length = 1; length <= sizeof kinds / sizeof kinds[0]; length++) {
        if ((text[0] & kinds[length - 1].mask) != kinds[length - 1].lead)
            continue;
        for (size_t i = 1; i < length; i++)
            if ((text[i] & 0xc0) != 0x80)
                return 0;
        /* Too long for what they say, halves of pairs, and beyond the last one. */
        const int is_wrong = text[0] == 0xc0 || text[0] == 0xc1 || (text[0] == 0xe0 && text[1] < 0xa0) ||
                             (text[0] == 0xed && text[1] > 0x9f) || (text[0] == 0xf0 && text[1] < 0x90) ||
                             (text[0] == 0xf4 && text[1] > 0x8f) || text[0] > 0xf4;
        return is_wrong ? 0 : length;
    }
    return 0;
}

/** Add the insides of a string of JSON's, whatever it is; what is no character becomes the one that stands for such. */
static void add_characters(const char *text)
{
    for (size_t at = 0; text && text[at] && at < TEXT_BYTES;) {
        const unsigned char *next = (const unsigned char *)text + at;
        const size_t length = measure_character(next);
        if (length == 0)
            add("\\ufffd");
        else if (*next < 0x20 || *next == 0x7f)
            add("\\u%04x", *next);
        else if (*next == '"' || *next == '\\')
            add("\\%c", *next);
        else
            add("%.*s", (int)length, (const char *)next);
        at += length ? length : 1;
    }
}

static void add_text(const char *text)
{
    add("\"");
    add_characters(text);
    add("\"");
}

/** Have room for another line; with the lock. */
static void make_room(taken_t *taken)
{
    if (sizeof trace.kept - trace.length < LINE_BYTES)
        take(taken);
}

/** Find the track of a worker, and when it comes for the first time, say what it is called. */
static unsigned find_track(taken_t *taken, const char *pool, unsigned worker)
{
    unsigned number = 0;
    while (number < POOLS - 1 && trace.pools[number][0] && strncmp(trace.pools[number], pool, TEXT_BYTES - 1) != 0)
        number++;
    apr_cpystrn(trace.pools[number], pool, TEXT_BYTES);
    const unsigned track = number * TRACKS + worker;
    const unsigned bit = worker % WORKERS;
    if (trace.is_named[number][bit / 8] >> bit % 8 & 1)
        return track;
    trace.is_named[number][bit / 8] |= (unsigned char)(1u << bit % 8);
    make_room(taken);
    add("{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":%d,\"tid\":%u,\"args\":{\"name\":\"worker %u of ", trace.pid,
        track, worker);
    add_characters(pool);
    add("\"}},\n");
    return track;
}

/* ---- Beginning and end ------------------------------------------------------------------------------------------- */

/** Whether it is for this process to begin the file: of a family one does. */
static int is_to_begin(void)
{
    if (!arena)
        return process_parent() == NULL;
    if (shm_replace64(&arena->traced, NOT_BEGUN, BEGINNING))
        return 1;
    /* What is appended before the file is begun would be lost. If the other has died at it, it was the first anyway. */
    for (const sys_time_t deadline = sys_now() + 1000000;
         shm_load64(&arena->traced) == BEGINNING && sys_now() < deadline;)
        apr_sleep(1000);
    return 0;
}

static void set_begun(void)
{
    if (arena)
        shm_store64(&arena->traced, BEGUN);
}

/** Read the variable: whether there is one, and a path that can be used. */
static int read_path(void)
{
    const apr_status_t status = sys_environment_get(path, sizeof path, "MPROC_TRACE");
    if (status == APR_ENAMETOOLONG)
        mproc_log(MPROC_LOG_WARNING, "MPROC_TRACE: the path is too long");
    return status == APR_SUCCESS && path[0];
}

/** Whether it is for this thread to begin for its process; if another one does, it waits until that is over. */
static int claim_process(void)
{
    for (;;) {
        acquire();
        const int before = trace.begun;
        if (before == NOT_BEGUN)
            trace.begun = BEGINNING;
        release();
        if (before != BEGINNING)
            return before == NOT_BEGUN;
        apr_sleep(1000);
    }
}

/** Open the file, and write what is to stand before all events; without them, as what follows may overtake it. */
static apr_status_t write_beginning(int begins)
{
    taken_t taken = {.length = 0};
    const int is_first = process_parent() == NULL;
    const process_t *self = process_main();
    const char *name = self && self->name ? self->name : "MainProcess";
    acquire();
    const apr_status_t status = open_file(begins);
    if (status == APR_SUCCESS) {
        add("%s{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":%d,\"args\":{\"name\":", begins ? "[\n" : "", trace.pid);
        add_text(name);
        add("}},\n");
        trace.finishes = begins && is_first;
        take(&taken);
    }
    release();
    if (status == APR_SUCCESS)
        return write_taken(&taken);
    give_up(status);
    return status;
}

void trace_begin(void)
{
    if (!claim_process()) {
        /* Another family, if the library was ended meanwhile: it goes on in the same file. */
        if (trace_is_on() && arena && shm_load64(&arena->traced) == NOT_BEGUN)
            set_begun();
        return;
    }
    atomic_store(&trace_on, 0);
    if (read_path()) {
        const int begins = is_to_begin();
        if (write_beginning(begins) == APR_SUCCESS)
            atomic_store(&trace_on, 1);
        if (begins)
            set_begun();
    }
    acquire();
    trace.begun = BEGUN;
    release();
}

void trace_flush(void)
{
    taken_t taken;
    if (!trace_is_on())
        return;
    acquire();
    taken.length = 0;
    if (trace.length > 0)
        take(&taken);
    release();
    write_taken(&taken);
}

void trace_end(void)
{
    taken_t taken;
    if (!trace_is_on())
        return;
    acquire();
    taken.length = 0;
    if (trace.finishes && open_file(0) == APR_SUCCESS) {
        make_room(&taken);
        add("{\"name\":\"end\",\"ph\":\"i\",\"s\":\"g\",\"ts\":%lld,\"pid\":%d,\"tid\":0}\n]\n", (long long)sys_now(),
            trace.pid);
        trace.finishes = 0;
    }
    release();
    write_taken(&taken);
    trace_flush();
    atomic_store(&trace_on, 0);
}

/* ---- Events ------------------------------------------------------------------------------------------------------ */

/** Begin an event: with the lock, and its track. 0: nothing can be written. */
static int begin_event(taken_t *taken, unsigned *track, const char *pool, unsigned worker)
{
    taken->length = 0;
    if (!trace_is_on())
        return 0;
    acquire();
    if (open_file(0) != APR_SUCCESS) {
        release();
        return 0;
    }
    *track = find_track(taken, pool, worker);
    make_room(taken);
    return 1;
}

static void end_event(taken_t *taken)
{
    release();
    write_taken(taken);
}

void trace_task(const char *pool, unsigned worker, const char *name, uint64_t index, uint64_t count, sys_time_t start,
                sys_time_t end, apr_status_t status)
{
    taken_t taken;
    unsigned track;
    if (!begin_event(&taken, &track, pool, worker))
        return;
    add("{\"name\":");
    add_text(name);
    add(",\"cat\":\"task\",\"ph\":\"X\",\"ts\":%lld,\"dur\":%lld,\"pid\":%d,\"tid\":%u,\"args\":{\"pool\":",
        (long long)start, (long long)(end > start ? end - start : 0), trace.pid, track);
    add_text(pool);
    add(",\"index\":%llu,\"count\":%llu", (unsigned long long)index, (unsigned long long)count);
    if (status != APR_SUCCESS) {
        add(",\"status\":");
        add_text(mproc_status_name(status));
    }
    add("}},\n");
    end_event(&taken);
}

void trace_instant(const char *pool, unsigned worker, const char *what)
{
    taken_t taken;
    unsigned track;
    if (!begin_event(&taken, &track, pool, worker))
        return;
    add("{\"name\":");
    add_text(what);
    add(",\"cat\":\"worker\",\"ph\":\"i\",\"s\":\"t\",\"ts\":%lld,\"pid\":%d,\"tid\":%u,\"args\":{\"pool\":",
        (long long)sys_now(), trace.pid, track);
    add_text(pool);
    add("}},\n");
    end_event(&taken);
}
