/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file boot.h
 * @brief The block that carries everything from a creator to its child, and the child's report back.
 *
 * A header of fixed layout, then what it refers to by offsets. The creator fills it before the child exists; the child
 * finds the same memory, or a copy of it. Afterwards only the child writes what its creator sees: its report.
 */
#ifndef MPROC_BOOT_H
#define MPROC_BOOT_H

#include <stdatomic.h>

#include <mproc/process.h>

#include "conn_object.h"
#include "error.h"
#include "shared.h"
#include "sys.h"

enum { BOOT_MAGIC = 0x636f7270, BOOT_LAYOUT = 4, BOOT_NAME_MAX = 256, BOOT_IDENTITY_MAX = 128 };

/** How far the child has come; each step is published by one store. */
typedef enum boot_stage_t {
    BOOT_CREATED = 0, /**< nothing heard of it */
    BOOT_ATTACHED,    /**< its main reached mproc_initialize() */
    BOOT_RUNNING,     /**< its target was found and called */
    BOOT_ENDED,       /**< its target returned; `exitcode` holds */
    BOOT_FAILED       /**< its target could not be called; `failure` holds */
} boot_stage_t;

/** Where a piece of the block lies; offset 0 means that there is none. */
typedef struct boot_piece_t {
    uint64_t offset;
    uint64_t size;
} boot_piece_t;

/** An argument: name and bytes. */
typedef struct boot_arg_t {
    boot_piece_t name;
    boot_piece_t data;
} boot_arg_t;

/** What a child tells its creator. */
typedef struct boot_report_t {
    _Atomic uint32_t stage;
    int32_t exitcode;
    int32_t failure;
    int32_t failure_native;
    char failure_text[MPROC_ERROR_TEXT];
} boot_report_t;

typedef struct boot_t {
    uint32_t magic;
    uint32_t layout;
    uint64_t size; /* of the whole block */

    boot_report_t report; /* unless it is elsewhere: see boot_report() */

    /* Who starts it, and what it is to be. */
    int64_t slots[SYS_SLOTS];
    uint64_t creator_birth;
    int32_t creator_pid;
    int32_t method;
    int32_t chosen_method;
    int32_t log_level;
    int32_t daemon;
    int32_t is_shielded; /* from Ctrl-C */
    uint32_t authkey_size;
    unsigned char authkey[MPROC_AUTHKEY_MAX];
    char name[BOOT_NAME_MAX];
    char creator_name[BOOT_NAME_MAX];
    char identity[BOOT_IDENTITY_MAX];

    /* The target: a place in a module, or for fork and threads its address. */
    uint64_t target_address;
    uint64_t target_offset;
    uint32_t target_is_program;
    uint32_t target_id_size;
    unsigned char target_id[SYS_IMAGE_ID_MAX];
    boot_piece_t target_path;

    /* What it is given. */
    boot_piece_t data;
    boot_piece_t args;          /* boot_arg_t each */
    boot_piece_t handles;       /* int64_t each */
    boot_piece_t cpus;          /* int each */
    boot_piece_t environment;   /* "NAME=value" strings, one after the other, for a child whose backend cannot set it */
    boot_piece_t conns;         /* a table of conn_move.c's */
    uint64_t conn_handle_count; /* how many of the last handles are theirs */
    boot_piece_t shares;        /* shared_pass_t each */
    uint64_t ticket;            /* the member that the child is to be; 0: it becomes one by itself */
} boot_t;

/** What the pieces are made of, besides the options. */
typedef struct boot_contents_t {
    const mproc_process_opts_t *opts;
    const sys_place_t *place;       /* NULL: the address will do */
    const char *const *environment; /* NULL: not carried */
    const conn_move_t *conns;       /* NULL: there are none */
    size_t share_count;
} boot_contents_t;

/** Make a block and fill in what does not change until the start. The status has its text. */
apr_status_t boot_create(sys_block_t *block, const boot_contents_t *contents, sys_block_kind_t kind);

/** Get the header of a block. */
boot_t *boot_of(const sys_block_t *block);

/** Check a block that this process was started with: MPROC_EBUILD if another build of the library made it. */
apr_status_t boot_check(const sys_block_t *block);

/** Get a piece's memory, or NULL. */
void *boot_at(const boot_t *boot, boot_piece_t piece);

/** Get the target's place from the block, which its path stays in. */
void boot_get_place(const boot_t *boot, sys_place_t *place);

/** Get the child's report. */
boot_report_t *boot_report(const sys_block_t *block);

/** Report that the target cannot be called, in the words of mproc_last_error(). */
void boot_report_failure(boot_report_t *report);

#endif
