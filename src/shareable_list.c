/* SPDX-License-Identifier: Apache-2.0 */
#include <mproc/shareable_list.h>

#include <stdlib.h>

#include "error.h"
#include "list_layout.h"
#include "segment.h"

static const char noun[] = "list";

/** A list that this process has open. */
typedef struct list_t {
    segment_holder_t holder;
    list_layout_t layout;
} list_t;

/* ---- Making and unmaking ----------------------------------------------------------------------------------------- */

static void destroy(void *object)
{
    list_t *list = object;
    list_forget(&list->layout);
    segment_close(&list->holder.segment);
    free(list);
}

/** Begin to make an object: the options, and memory for it. */
static apr_status_t begin(list_t **list, mproc_shareable_list_t **handle, mproc_shm_opts_t *options,
                          const mproc_shm_opts_t *opts, size_t opts_size, const char *call)
{
    if (!handle)
        return mproc_fail(APR_EINVAL, "%s: nowhere to store the list: it is NULL", call);
    *handle = NULL;
    const apr_status_t status = segment_take_options(options, opts, opts_size, call);
    if (status != APR_SUCCESS)
        return status;
    *list = calloc(1, sizeof **list);
    return *list ? APR_SUCCESS : mproc_fail(APR_ENOMEM, "%s: no memory for another list", call);
}

/** Make a segment and a list in it. */
static apr_status_t create(list_t *list, const char *name, const mproc_item_t *items, size_t count, const char *call)
{
    apr_status_t status = APR_SUCCESS;
    if (!items && count > 0)
        return mproc_fail(APR_EINVAL, "%s: the %zu items are NULL", call, count);
    for (size_t i = 0; i < count && status == APR_SUCCESS; i++)
        status = list_check_item(&items[i], call);
    if (status != APR_SUCCESS)
        return status;
    status = segment_create(&list->holder.segment, name, list_size(items, count), call);
    if (status != APR_SUCCESS)
        return status;
    status = list_fill(&list->layout, &list->holder.segment, items, count, call);
    if (status != APR_SUCCESS)
        segment_remove(&list->holder.segment);
    return status;
}

apr_status_t mproc_shareable_list_create_sized(mproc_shareable_list_t **handle, const char *name,
                                               const mproc_item_t *items, size_t count, const mproc_shm_opts_t *opts,
                                               size_t opts_size)
{
    static const char call[] = "mproc_shareable_list_create";
    mproc_shm_opts_t options;
    list_t *list;
    apr_status_t status = begin(&list, handle, &options, opts, opts_size, call);
    if (status != APR_SUCCESS)
        return status;
    status = create(list, name, items, count, call);
    if (status == APR_SUCCESS) {
        *handle = segment_publish(&list->holder, HANDLE_LIST, destroy, options.pool);
        if (*handle)
            return status;
        list_forget(&list->layout);
        segment_remove(&list->holder.segment);
        status = mproc_fail(APR_ENOMEM, "%s: no memory for another list", call);
    }
    free(list);
    return status;
}

/** Open a segment and find the list in it. */
static apr_status_t open_list(list_t *list, const char *name, const mproc_shm_opts_t *options, const char *call)
{
    apr_status_t status = segment_open(&list->holder.segment, name, options, call);
    if (status != APR_SUCCESS)
        return status;
    status = list_examine(&list->layout, &list->holder.segment, call);
    if (status != APR_SUCCESS)
        segment_close(&list->holder.segment);
    return status;
}

apr_status_t mproc_shareable_list_open_sized(mproc_shareable_list_t **handle, const char *name,
                                             const mproc_shm_opts_t *opts, size_t opts_size)
{
    static const char call[] = "mproc_shareable_list_open";
    mproc_shm_opts_t options;
    list_t *list;
    apr_status_t status = begin(&list, handle, &options, opts, opts_size, call);
    if (status != APR_SUCCESS)
        return status;
    status = open_list(list, name, &options, call);
    if (status == APR_SUCCESS) {
        *handle = segment_publish(&list->holder, HANDLE_LIST, destroy, options.pool);
        if (*handle)
            return status;
        list_forget(&list->layout);
        segment_close(&list->holder.segment);
        status = mproc_fail(APR_ENOMEM, "%s: no memory for another list", call);
    }
    free(list);
    return status;
}

apr_status_t mproc_shareable_list_close(mproc_shareable_list_t *handle)
{
    return segment_close_handle(handle, HANDLE_LIST, noun, "mproc_shareable_list_close");
}

/* ---- Looking ----------------------------------------------------------------------------------------------------- */

static apr_status_t acquire(list_t **list, mproc_shareable_list_t *handle, const char *call)
{
    segment_holder_t *holder;
    const apr_status_t status = segment_acquire(&holder, handle, HANDLE_LIST, noun, call);
    *list = (list_t *)holder; /* it begins with it */
    return status;
}

const char *mproc_shareable_list_name(mproc_shareable_list_t *handle)
{
    list_t *list;
    if (acquire(&list, handle, "mproc_shareable_list_name") != APR_SUCCESS)
        return NULL;
    const char *name = list->holder.segment.name;
    handle_release(handle);
    mproc_forget_error();
    return name;
}

size_t mproc_shareable_list_length(mproc_shareable_list_t *handle)
{
    list_t *list;
    if (acquire(&list, handle, "mproc_shareable_list_length") != APR_SUCCESS)
        return 0;
    const size_t count = list->layout.count;
    handle_release(handle);
    mproc_forget_error();
    return count;
}

/* ---- Getting ----------------------------------------------------------------------------------------------------- */

static apr_status_t get(mproc_shareable_list_t *handle, size_t index, mproc_item_t *item, void *buffer, size_t size,
                        const char *call)
{
    list_t *list;
    *item = mproc_item_none();
    apr_status_t status = acquire(&list, handle, call);
    if (status != APR_SUCCESS)
        return status;
    if (!buffer && size > 0)
        status = mproc_fail(APR_EINVAL, "%s: the buffer of %zu bytes is NULL", call, size);
    else
        status = list_get(item, &list->layout, index, buffer, size, call);
    handle_release(handle);
    return status;
}

static const char *name_of(mproc_item_type_t type)
{
    static const char *const names[] = {"none", "a bool", "an int", "a float", "a str", "bytes"};
    return names[type];
}

/** Get an item of a type. That of another one that there is no room for, which does not matter then, is that. */
static apr_status_t get_typed(mproc_shareable_list_t *handle, size_t index, mproc_item_type_t type, mproc_item_t *item,
                              void *buffer, size_t size, const char *call)
{
    const apr_status_t status = get(handle, index, item, buffer, size, call);
    if ((status != APR_SUCCESS && status != MPROC_ETOOBIG) || item->type == type)
        return status;
    const mproc_item_type_t found = item->type;
    *item = mproc_item_none();
    return mproc_fail(MPROC_ETYPE, "%s: item %zu is %s and not %s", call, index, name_of(found), name_of(type));
}

apr_status_t mproc_shareable_list_get(mproc_shareable_list_t *handle, size_t index, mproc_item_t *item, void *buffer,
                                      size_t size)
{
    static const char call[] = "mproc_shareable_list_get";
    return item ? get(handle, index, item, buffer, size, call)
                : mproc_fail(APR_EINVAL, "%s: nowhere to store the item: it is NULL", call);
}

static apr_status_t fail_without_place(const char *call)
{
    return mproc_fail(APR_EINVAL, "%s: nowhere to store the value: it is NULL", call);
}

apr_status_t mproc_shareable_list_get_bool(mproc_shareable_list_t *handle, size_t index, int *boolean)
{
    static const char call[] = "mproc_shareable_list_get_bool";
    mproc_item_t item;
    if (!boolean)
        return fail_without_place(call);
    const apr_status_t status = get_typed(handle, index, MPROC_ITEM_BOOL, &item, NULL, 0, call);
    *boolean = item.boolean;
    return status;
}

apr_status_t mproc_shareable_list_get_int(mproc_shareable_list_t *handle, size_t index, int64_t *integer)
{
    static const char call[] = "mproc_shareable_list_get_int";
    mproc_item_t item;
    if (!integer)
        return fail_without_place(call);
    const apr_status_t status = get_typed(handle, index, MPROC_ITEM_INT, &item, NULL, 0, call);
    *integer = item.integer;
    return status;
}

apr_status_t mproc_shareable_list_get_float(mproc_shareable_list_t *handle, size_t index, double *real)
{
    static const char call[] = "mproc_shareable_list_get_float";
    mproc_item_t item;
    if (!real)
        return fail_without_place(call);
    const apr_status_t status = get_typed(handle, index, MPROC_ITEM_FLOAT, &item, NULL, 0, call);
    *real = item.real;
    return status;
}

apr_status_t mproc_shareable_list_get_str(mproc_shareable_list_t *handle, size_t index, char *text, size_t size)
{
    static const char call[] = "mproc_shareable_list_get_str";
    mproc_item_t item;
    if (!text || size == 0)
        return fail_without_place(call);
    /* One byte is kept for the zero. */
    const apr_status_t status = get_typed(handle, index, MPROC_ITEM_STR, &item, text, size - 1, call);
    text[status == APR_SUCCESS ? item.size : 0] = '\0';
    return status;
}

apr_status_t mproc_shareable_list_get_bytes(mproc_shareable_list_t *handle, size_t index, void *buffer, size_t size,
                                            size_t *length)
{
    static const char call[] = "mproc_shareable_list_get_bytes";
    mproc_item_t item;
    if (!length)
        return fail_without_place(call);
    const apr_status_t status = get_typed(handle, index, MPROC_ITEM_BYTES, &item, buffer, size, call);
    *length = item.size;
    return status;
}

/* ---- Setting and finding ----------------------------------------------------------------------------------------- */

apr_status_t mproc_shareable_list_set(mproc_shareable_list_t *handle, size_t index, mproc_item_t item)
{
    static const char call[] = "mproc_shareable_list_set";
    list_t *list;
    apr_status_t status = acquire(&list, handle, call);
    if (status != APR_SUCCESS)
        return status;
    item.room = 0;
    status = list_check_item(&item, call);
    if (status == APR_SUCCESS)
        status = list_set(&list->layout, index, &item, call);
    handle_release(handle);
    return status;
}

apr_status_t mproc_shareable_list_index(mproc_shareable_list_t *handle, mproc_item_t item, size_t *index)
{
    static const char call[] = "mproc_shareable_list_index";
    list_t *list;
    int is_equal = 0;
    if (!index)
        return fail_without_place(call);
    *index = 0;
    apr_status_t status = acquire(&list, handle, call);
    if (status != APR_SUCCESS)
        return status;
    item.room = 0;
    status = list_check_item(&item, call);
    for (size_t i = 0; i < list->layout.count && status == APR_SUCCESS && !is_equal; i++) {
        status = list_compare(&is_equal, &list->layout, i, &item, call);
        *index = is_equal ? i : 0;
    }
    if (status == APR_SUCCESS && !is_equal)
        status = mproc_fail(APR_ENOENT, "%s: there is no such item in the list '%s'", call, list->holder.segment.name);
    handle_release(handle);
    return status;
}

apr_status_t mproc_shareable_list_count(mproc_shareable_list_t *handle, mproc_item_t item, size_t *count)
{
    static const char call[] = "mproc_shareable_list_count";
    list_t *list;
    if (!count)
        return fail_without_place(call);
    *count = 0;
    apr_status_t status = acquire(&list, handle, call);
    if (status != APR_SUCCESS)
        return status;
    size_t found = 0;
    item.room = 0;
    status = list_check_item(&item, call);
    for (size_t i = 0; i < list->layout.count && status == APR_SUCCESS; i++) {
        int is_equal;
        status = list_compare(&is_equal, &list->layout, i, &item, call);
        found += is_equal != 0;
    }
    if (status == APR_SUCCESS)
        *count = found;
    handle_release(handle);
    return status;
}
