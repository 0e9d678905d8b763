/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file plan.h
 * @brief Which pictures are read, and where each is written.
 */
#ifndef BLUR_PLAN_H
#define BLUR_PLAN_H

#include <apr_errno.h>
#include <apr_pools.h>

/** One picture's way. */
typedef struct plan_item_t {
    /** The file to read, as the user calls it. */
    const char *input;
    /** The file to write. No two items have the same, and it is no item's input. */
    const char *output;
    /** What the output is called while it is written. */
    const char *temporary;
} plan_item_t;

/** All of them, in the order of the command line. */
typedef struct plan_t {
    plan_item_t *items;
    int count;
    /** The file for the contact sheet, and what it is called while it is written; NULL: there is to be none. */
    const char *sheet;
    const char *sheet_temporary;
} plan_t;

/**
 * Make a plan.
 *
 * An argument that is a folder stands for the pictures in it, by their file names' extensions, in alphabetical order;
 * folders in folders are left out. `a.jpg` becomes `FOLDER/a.png`; where that is taken, `FOLDER/a-2.png` and so on. If
 * there are several pictures, the contact sheet becomes `FOLDER/contact-sheet.png`, or the like.
 *
 * @param plan      The plan, from @p pool.
 * @param reason    On failure: why, in words.
 * @param arguments What the user names.
 * @param count     How many @p arguments there are.
 * @param folder    Where to write; made if it does not exist.
 * @param has_sheet Zero: there is to be no contact sheet.
 * @param pool      For the plan.
 * @return APR_SUCCESS, also if an argument does not exist; else a status, and there is nowhere to write.
 */
apr_status_t plan_make(plan_t *plan, const char **reason, const char *const *arguments, int count, const char *folder,
                       int has_sheet, apr_pool_t *pool);

#endif
