/* SPDX-License-Identifier: Apache-2.0 */
#include "boot.h"

#include <stdint.h>
#include <string.h>

#include <apr_strings.h>

_Static_assert(sizeof(boot_report_t) <= SYS_REPORT_MAX, "a report fits where it is shared");

/* Pieces are aligned for any type. */
enum { PIECE_ALIGNMENT = 64 };

/** Lays pieces out one after the other; used twice, first to measure (base NULL), then to fill. */
typedef struct layout_t {
    unsigned char *base;
    uint64_t end;
    int overflow;
} layout_t;

/** Reserve a piece, and copy into it what there is to copy. */
static boot_piece_t put(layout_t *layout, const void *data, uint64_t size)
{
    boot_piece_t piece = {0, size};
    const uint64_t start = (layout->end + PIECE_ALIGNMENT - 1) & ~(uint64_t)(PIECE_ALIGNMENT - 1);
    /* Half of the address space is the limit, so that no sum of two can wrap. */
    if (size > SIZE_MAX / 2 || start > SIZE_MAX / 2 - size) {
        layout->overflow = 1;
        return piece;
    }
    piece.offset = start;
    layout->end = start + size;
    if (layout->base && data && size)
        memcpy(layout->base + start, data, (size_t)size);
    return piece;
}

static boot_piece_t put_string(layout_t *layout, const char *string)
{
    return string ? put(layout, string, strlen(string) + 1) : (boot_piece_t){0, 0};
}

static boot_piece_t put_args(layout_t *layout, const mproc_process_opts_t *opts)
{
    if (opts->arg_count > SIZE_MAX / 2 / sizeof(boot_arg_t)) {
        layout->overflow = 1;
        return (boot_piece_t){0, 0};
    }
    if (opts->arg_count == 0)
        return (boot_piece_t){0, 0};
    boot_piece_t table = put(layout, NULL, opts->arg_count * sizeof(boot_arg_t));
    for (size_t i = 0; i < opts->arg_count && !layout->overflow; i++) {
        boot_arg_t arg;
        arg.name = put_string(layout, opts->args[i].name);
        arg.data = put(layout, opts->args[i].data, opts->args[i].size);
        if (layout->base)
            ((boot_arg_t *)(void *)(layout->base + table.offset))[i] = arg;
    }
    return table;
}

static boot_piece_t put_environment(layout_t *layout, const char *const *environment)
{
    boot_piece_t whole = {0, 0};
    if (!environment)
        return whole;
    /* Strings lie back to back, so they are one piece, with an empty string at its end. */
    uint64_t size = 1;
    for (size_t i = 0; environment[i]; i++)
        size += strlen(environment[i]) + 1;
    whole = put(layout, NULL, size);
    if (!layout->base)
        return whole;
    char *to = (char *)layout->base + whole.offset;
    for (size_t i = 0; environment[i]; i++) {
        const size_t length = strlen(environment[i]) + 1;
        memcpy(to, environment[i], length);
        to += length;
    }
    return whole;
}

/** Lay out everything behind the header, and note in the header where it lies. */
static void lay_out(layout_t *layout, boot_t *boot, const boot_contents_t *contents)
{
    const mproc_process_opts_t *opts = contents->opts;
    layout->end = sizeof *boot;
    boot->target_path = put_string(layout, contents->place ? contents->place->path : NULL);
    const size_t handle_count = opts->handle_count + (contents->conns ? contents->conns->handle_count : 0);
    boot->handles = handle_count ? put(layout, NULL, handle_count * sizeof(int64_t)) : (boot_piece_t){0, 0};
    boot->cpus = opts->cpu_count ? put(layout, opts->cpus, opts->cpu_count * sizeof(int)) : (boot_piece_t){0, 0};
    boot->environment = put_environment(layout, contents->environment);
    boot->args = put_args(layout, opts);
    boot->conns =
        contents->conns ? put(layout, contents->conns->table, contents->conns->table_size) : (boot_piece_t){0, 0};
    boot->conn_handle_count = contents->conns ? contents->conns->handle_count : 0;
    boot->shares =
        contents->share_count ? put(layout, NULL, contents->share_count * sizeof(shared_pass_t)) : (boot_piece_t){0, 0};
    boot->data = opts->data ? put(layout, opts->data, opts->size) : (boot_piece_t){0, 0};
}

apr_status_t boot_create(sys_block_t *block, const boot_contents_t *contents, sys_block_kind_t kind)
{
    boot_t measured;
    layout_t layout = {NULL, 0, 0};
    lay_out(&layout, &measured, contents);
    if (layout.overflow)
        return mproc_fail(MPROC_ESIZE, "the arguments are larger than memory can be: %zu bytes of data, %zu arguments",
                          contents->opts->size, contents->opts->arg_count);
    apr_status_t status = sys_block_create(block, (size_t)layout.end, kind);
    if (status != APR_SUCCESS)
        return mproc_fail(status, "no memory for %llu bytes of arguments", (unsigned long long)layout.end);
    boot_t *boot = boot_of(block);
    layout.base = block->data;
    lay_out(&layout, boot, contents);
    boot->magic = BOOT_MAGIC;
    boot->layout = BOOT_LAYOUT;
    boot->size = layout.end;
    if (contents->place) {
        boot->target_offset = contents->place->offset;
        boot->target_is_program = contents->place->is_program;
        boot->target_id_size = contents->place->id_size;
        memcpy(boot->target_id, contents->place->id, sizeof boot->target_id);
    }
    return APR_SUCCESS;
}

boot_t *boot_of(const sys_block_t *block)
{
    return (boot_t *)(void *)block->data;
}

/** Whether a piece lies in the block where any type can, and ends like a string if it is to be one. */
static int fits(const boot_t *boot, boot_piece_t piece, int is_string)
{
    /* What is not there has no size either: counts of handles and arguments are made from sizes alone. */
    if (!piece.offset)
        return piece.size == 0;
    if (piece.offset % PIECE_ALIGNMENT != 0 || piece.offset < sizeof *boot || piece.offset > boot->size ||
        piece.size > boot->size - piece.offset)
        return 0;
    return !is_string || (piece.size > 0 && ((const char *)boot)[piece.offset + piece.size - 1] == '\0');
}

/** Whether the table of connections, which lies in the block, is one, and its handles are there. */
static int has_sound_conns(const boot_t *boot)
{
    size_t table_size, conn_count, handle_count;
    if (!boot->conns.offset)
        return boot->conn_handle_count == 0;
    return conn_table_check(boot_at(boot, boot->conns), (size_t)boot->conns.size, &table_size, &conn_count,
                            &handle_count) &&
           conn_count <= MPROC_GIVE_MAX && handle_count == boot->conn_handle_count &&
           handle_count <= boot->handles.size / sizeof(int64_t);
}

/** Whether a block can be used without reading beyond it, whoever made it. */
static int is_sound(const boot_t *boot)
{
    if (!fits(boot, boot->target_path, 1) || !fits(boot, boot->data, 0) || !fits(boot, boot->args, 0) ||
        !fits(boot, boot->handles, 0) || !fits(boot, boot->cpus, 0) || !fits(boot, boot->environment, 1) ||
        !fits(boot, boot->conns, 0) || !has_sound_conns(boot) || !fits(boot, boot->shares, 0) ||
        boot->shares.size > MPROC_SHARE_MAX * sizeof(shared_pass_t))
        return 0;
    const boot_arg_t *args = boot_at(boot, boot->args);
    for (size_t i = 0; args && i < boot->args.size / sizeof *args; i++)
        if (!fits(boot, args[i].name, 1) || !fits(boot, args[i].data, 0))
            return 0;
    /* Under other methods the target is an address, which means nothing here. */
    if (boot->method != MPROC_FORKSERVER && boot->method != MPROC_SPAWN)
        return 0;
    if (!boot->target_is_program && !boot->target_path.offset)
        return 0;
    return boot->authkey_size <= MPROC_AUTHKEY_MAX && boot->target_id_size <= SYS_IMAGE_ID_MAX &&
           memchr(boot->name, '\0', sizeof boot->name) && memchr(boot->creator_name, '\0', sizeof boot->creator_name) &&
           memchr(boot->identity, '\0', sizeof boot->identity);
}

apr_status_t boot_check(const sys_block_t *block)
{
    if (block->size < sizeof(boot_t) || boot_of(block)->magic != BOOT_MAGIC)
        return mproc_fail(MPROC_EINIT,
                          "the command line says that this is a child, but what it was given is no block of ours");
    if (boot_of(block)->layout != BOOT_LAYOUT || boot_of(block)->size > block->size)
        return mproc_fail(MPROC_EBUILD, "creator and child use different builds of libmproc (layout %u, here %d)",
                          boot_of(block)->layout, BOOT_LAYOUT);
    if (!is_sound(boot_of(block)))
        return mproc_fail(MPROC_EINIT, "the command line says that this is a child, but what it was given is damaged");
    return APR_SUCCESS;
}

void *boot_at(const boot_t *boot, boot_piece_t piece)
{
    return piece.offset ? (unsigned char *)(uintptr_t)boot + piece.offset : NULL;
}

void boot_get_place(const boot_t *boot, sys_place_t *place)
{
    place->offset = boot->target_offset;
    place->is_program = boot->target_is_program;
    place->id_size = boot->target_id_size;
    memcpy(place->id, boot->target_id, sizeof place->id);
    place->path = boot_at(boot, boot->target_path);
}

boot_report_t *boot_report(const sys_block_t *block)
{
    return block->report ? block->report : &boot_of(block)->report;
}

void boot_report_failure(boot_report_t *report)
{
    const mproc_error_t *error = mproc_last_error();
    report->failure = error->status;
    report->failure_native = error->native;
    apr_cpystrn(report->failure_text, error->text, sizeof report->failure_text);
    atomic_store(&report->stage, BOOT_FAILED);
}
