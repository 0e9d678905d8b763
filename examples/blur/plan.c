/* SPDX-License-Identifier: Apache-2.0 */
#include "plan.h"

#include <stdlib.h>
#include <string.h>

#include <apr_file_info.h>
#include <apr_file_io.h>
#include <apr_hash.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <apr_tables.h>

#include <mproc/mproc.h>

static const char *const extensions[] = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tga",
                                         ".psd", ".hdr", ".pic",  ".pnm", ".ppm", ".pgm"};

/* Windows and macOS take "A.png" and "a.png" for the same file, so they are the same here on every system. */
static char *lower_case(const char *text, apr_pool_t *pool)
{
    char *copy = apr_pstrdup(pool, text);
    for (char *c = copy; *c; c++)
        *c = (char)apr_tolower(*c);
    return copy;
}

/* Find where the extension of a file name begins: at its last dot, unless there is nothing before it. */
static const char *extension_of(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && dot != name ? dot : name + strlen(name);
}

static int has_picture_extension(const char *name, apr_pool_t *pool)
{
    const char *extension = lower_case(extension_of(name), pool);
    for (size_t i = 0; i < sizeof extensions / sizeof *extensions; i++) {
        if (strcmp(extension, extensions[i]) == 0)
            return 1;
    }
    return 0;
}

static int compare_strings(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

/* Add the pictures of a folder. If it cannot be read it is added itself: whoever reads it as a picture says why not. */
static void add_folder(apr_array_header_t *inputs, const char *folder, apr_pool_t *pool)
{
    const int before = inputs->nelts;
    apr_dir_t *directory;
    apr_finfo_t entry;
    const char *separator = strchr("/\\", folder[strlen(folder) - 1]) ? "" : "/";
    if (apr_dir_open(&directory, folder, pool) == APR_SUCCESS) {
        /* An incomplete entry has a name all the same. */
        apr_status_t status;
        while ((status = apr_dir_read(&entry, APR_FINFO_NAME, directory)) == APR_SUCCESS || status == APR_INCOMPLETE) {
            if (has_picture_extension(entry.name, pool))
                APR_ARRAY_PUSH(inputs, const char *) = apr_pstrcat(pool, folder, separator, entry.name, NULL);
        }
        apr_dir_close(directory);
    }
    if (inputs->nelts == before)
        APR_ARRAY_PUSH(inputs, const char *) = folder;
    qsort((const char **)inputs->elts + before, (size_t)(inputs->nelts - before), sizeof(char *), compare_strings);
}

/* Tell which file a path leads to, whatever its name: two names of one file give the same. NULL if there is none. */
static const char *identity_of(const char *path, apr_pool_t *pool)
{
    apr_finfo_t info;
    apr_status_t status = apr_stat(&info, path, APR_FINFO_IDENT, pool);
    if ((status != APR_SUCCESS && status != APR_INCOMPLETE) || (info.valid & APR_FINFO_IDENT) != APR_FINFO_IDENT)
        return NULL;
    return apr_psprintf(pool, "%" APR_UINT64_T_FMT ":%" APR_UINT64_T_FMT, (apr_uint64_t)info.device,
                        (apr_uint64_t)info.inode);
}

/* Find a name in the output folder that no other output has and that is no input. */
static const char *output_for(const char *input, const char *folder, apr_hash_t *taken, apr_hash_t *inputs,
                              apr_pool_t *pool)
{
    const char *name = apr_filepath_name_get(input);
    const char *stem = apr_pstrmemdup(pool, name, (apr_size_t)(extension_of(name) - name));
    for (int number = 1;; number++) {
        const char *output = number == 1 ? apr_psprintf(pool, "%s/%s.png", folder, stem)
                                         : apr_psprintf(pool, "%s/%s-%d.png", folder, stem, number);
        const char *key = lower_case(output, pool);
        const char *identity = identity_of(output, pool);
        if (!apr_hash_get(taken, key, APR_HASH_KEY_STRING) &&
            !(identity && apr_hash_get(inputs, identity, APR_HASH_KEY_STRING))) {
            apr_hash_set(taken, key, APR_HASH_KEY_STRING, output);
            return output;
        }
    }
}

/* Several runs may write into one folder at the same time. */
static const char *temporary_for(const char *folder, int number, apr_pool_t *pool)
{
    return apr_psprintf(pool, "%s/.mproc-blur-%d-%d.part", folder, mproc_getpid(), number);
}

static apr_status_t make_folder(const char **reason, const char *folder, apr_pool_t *pool)
{
    char text[256];
    apr_finfo_t info;
    apr_status_t status = apr_dir_make_recursive(folder, APR_FPROT_OS_DEFAULT, pool);
    /* It is content with a file of this name. */
    if (status == APR_SUCCESS)
        status = apr_stat(&info, folder, APR_FINFO_TYPE, pool);
    if (status == APR_SUCCESS && info.filetype != APR_DIR)
        status = APR_ENOTDIR;
    if (status != APR_SUCCESS)
        *reason = apr_psprintf(pool, "cannot make the folder %s: %s", folder, apr_strerror(status, text, sizeof text));
    return status;
}

apr_status_t plan_make(plan_t *plan, const char **reason, const char *const *arguments, int count, const char *folder,
                       int has_sheet, apr_pool_t *pool)
{
    apr_array_header_t *inputs = apr_array_make(pool, count, sizeof(const char *));
    apr_hash_t *identities = apr_hash_make(pool);
    apr_hash_t *taken = apr_hash_make(pool);
    apr_finfo_t info;
    apr_status_t status = make_folder(reason, folder, pool);
    if (status != APR_SUCCESS)
        return status;

    for (int i = 0; i < count; i++) {
        if (apr_stat(&info, arguments[i], APR_FINFO_TYPE, pool) == APR_SUCCESS && info.filetype == APR_DIR)
            add_folder(inputs, arguments[i], pool);
        else
            APR_ARRAY_PUSH(inputs, const char *) = arguments[i];
    }

    for (int i = 0; i < inputs->nelts; i++) {
        const char *identity = identity_of(APR_ARRAY_IDX(inputs, i, const char *), pool);
        if (identity)
            apr_hash_set(identities, identity, APR_HASH_KEY_STRING, identity);
    }

    plan->count = inputs->nelts;
    plan->items = apr_palloc(pool, (apr_size_t)inputs->nelts * sizeof *plan->items);
    plan->sheet = has_sheet && plan->count > 1 ? output_for("contact-sheet", folder, taken, identities, pool) : NULL;
    plan->sheet_temporary = temporary_for(folder, plan->count, pool);
    for (int i = 0; i < inputs->nelts; i++) {
        plan_item_t *item = &plan->items[i];
        item->input = APR_ARRAY_IDX(inputs, i, const char *);
        item->output = output_for(item->input, folder, taken, identities, pool);
        item->temporary = temporary_for(folder, i, pool);
    }
    return APR_SUCCESS;
}
