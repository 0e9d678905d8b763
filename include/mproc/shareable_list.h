/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file shareable_list.h
 * @brief Lists of simple values in shared memory by name, the same as Python's ShareableList.
 *
 * @code
 * const mproc_item_t items[] = {mproc_item_str("idle"), mproc_item_int(0), mproc_item_float(0.5)};
 * mproc_shareable_list_t *list;
 * mproc_shareable_list_create(&list, "progress", items, 3, NULL);
 * mproc_shareable_list_set(list, 1, mproc_item_int(42));
 *
 * progress = ShareableList(name="progress")                     ... in Python
 * print(progress[1])                                            ... 42
 *
 * int64_t done;                                                 ... in another C program
 * mproc_shareable_list_open(&list, "progress", NULL);
 * mproc_shareable_list_get_int(list, 1, &done);
 * @endcode
 *
 * A list has as many items as it was made with. Each has a slot of fixed size: 8 bytes for none, bool, int and float;
 * for a str or bytes as many as it needed, or as `.room` said, rounded up to the next multiple of 8 that leaves at
 * least one byte. An item can get a value of any type that its slot has room for.
 *
 * The bytes are those of Python's `multiprocessing.shared_memory.ShareableList` from 3.9 on; lists that Python 3.8 has
 * made, which lie otherwise, can be opened as well. They are in the machine's order. What Python's format cannot keep
 * is refused here and not lost silently: bytes or a str whose last byte is zero, and those that are longer than
 * MPROC_ITEM_SIZE_MAX.
 *
 * The segment behind a list has a life, a size and dangers of its own: all that shared_memory.h says holds for it, and
 * mproc_shm_unlink() removes its name. Whatever other programs write into it, or if they make it smaller: no call here
 * crashes. What is not as it should be is MPROC_ECORRUPT, for one item or for the list, or MPROC_ESIZE.
 *
 * Nothing here takes turns. A value of 8 bytes that is set to another one of its type is written at once; a reader can
 * meet anything else half written. An item whose writer was killed while its type changed is MPROC_ECORRUPT until it is
 * set again. Use a lock of what the programs have in common.
 *
 * Every call that takes a list returns APR_EINVAL for NULL, MPROC_ECLOSED for a handle that was closed or never was
 * one, and MPROC_EFOREIGN in a process that inherited the handle by fork; those that take an index return APR_EINVAL
 * for one that is not below mproc_shareable_list_length(). This is not repeated below.
 */
#ifndef MPROC_SHAREABLE_LIST_H
#define MPROC_SHAREABLE_LIST_H

#include <string.h>

#include "shared_memory.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A list that this process has open. */
typedef struct mproc_shareable_list_t mproc_shareable_list_t;

/** The most bytes of a str or of bytes in a list. */
#define MPROC_ITEM_SIZE_MAX 9999991

/** What an item of a list is. */
typedef enum mproc_item_type_t {
    /** Nothing: Python's None. */
    MPROC_ITEM_NONE = 0,
    /** Yes or no. */
    MPROC_ITEM_BOOL,
    /** A number of 64 bits with a sign. */
    MPROC_ITEM_INT,
    /** A double. */
    MPROC_ITEM_FLOAT,
    /** Text in UTF-8. */
    MPROC_ITEM_STR,
    /** Bytes. */
    MPROC_ITEM_BYTES
} mproc_item_type_t;

/** A value for a list, or of one; which members count says its type. The functions below make them. */
typedef struct mproc_item_t {
    /** What it is. */
    mproc_item_type_t type;
    /** Of a bool: 0 or 1; any other number than 0 is taken for 1. */
    int boolean;
    /** Of an int. */
    int64_t integer;
    /** Of a float. */
    double real;
    /** Of a str or bytes: where they are. They are the caller's. */
    const void *data;
    /** Of a str or bytes: how many there are. */
    size_t size;
    /** When a list is made: for how many bytes, of a later str or bytes, its slot is to have room. */
    size_t room;
} mproc_item_t;

/**
 * Make a none.
 *
 * @return The item.
 */
static inline mproc_item_t mproc_item_none(void)
{
    const mproc_item_t item = {MPROC_ITEM_NONE, 0, 0, 0, NULL, 0, 0};
    return item;
}

/**
 * Make a bool.
 *
 * @param boolean 0 for no, anything else for yes.
 * @return The item.
 */
static inline mproc_item_t mproc_item_bool(int boolean)
{
    const mproc_item_t item = {MPROC_ITEM_BOOL, boolean != 0, 0, 0, NULL, 0, 0};
    return item;
}

/**
 * Make an int.
 *
 * @param integer The number.
 * @return The item.
 */
static inline mproc_item_t mproc_item_int(int64_t integer)
{
    const mproc_item_t item = {MPROC_ITEM_INT, 0, integer, 0, NULL, 0, 0};
    return item;
}

/**
 * Make a float.
 *
 * @param real The number.
 * @return The item.
 */
static inline mproc_item_t mproc_item_float(double real)
{
    const mproc_item_t item = {MPROC_ITEM_FLOAT, 0, 0, real, NULL, 0, 0};
    return item;
}

/**
 * Make a str of a string.
 *
 * @param text The string in UTF-8, which is not copied; NULL makes an empty one.
 * @return The item.
 */
static inline mproc_item_t mproc_item_str(const char *text)
{
    const mproc_item_t item = {MPROC_ITEM_STR, 0, 0, 0, text, text ? strlen(text) : 0, 0};
    return item;
}

/**
 * Make bytes.
 *
 * @param data The bytes, which are not copied; NULL is allowed if @p size is 0.
 * @param size How many.
 * @return The item.
 */
static inline mproc_item_t mproc_item_bytes(const void *data, size_t size)
{
    const mproc_item_t item = {MPROC_ITEM_BYTES, 0, 0, 0, data, size, 0};
    return item;
}

/**
 * Give an item's slot room for a longer str or bytes than it holds at first.
 *
 * @param item The item.
 * @param room For how many bytes.
 * @return The same item with room.
 */
static inline mproc_item_t mproc_item_with_room(mproc_item_t item, size_t room)
{
    item.room = room;
    return item;
}

/**
 * The call behind mproc_shareable_list_create(); programs in other languages make it directly.
 *
 * @param list      As there.
 * @param name      As there.
 * @param items     As there.
 * @param count     As there.
 * @param opts      As there.
 * @param opts_size `sizeof(mproc_shm_opts_t)` as the caller knows it.
 * @return As mproc_shareable_list_create(); MPROC_EBUILD if the caller's options are larger than the library's.
 */
MPROC_API apr_status_t mproc_shareable_list_create_sized(mproc_shareable_list_t **list, const char *name,
                                                         const mproc_item_t *items, size_t count,
                                                         const mproc_shm_opts_t *opts, size_t opts_size);

/**
 * Make a list in a new segment.
 *
 * @param list  Where to store the handle; NULL on failure. Close it with mproc_shareable_list_close().
 * @param name  The segment's name, or NULL for a new one; as for mproc_shm_create().
 * @param items The items, which are copied; NULL is allowed if @p count is 0.
 * @param count How many items.
 * @param opts  Options, of which `.pool` counts; or NULL.
 * @return APR_SUCCESS; APR_EINVAL for an item of an unknown type, a str that is not UTF-8, or a last byte of zero;
 *         MPROC_ETOOBIG for more than MPROC_ITEM_SIZE_MAX bytes; otherwise as mproc_shm_create().
 * @remark Any thread. Who opens the list before it is filled is told so (MPROC_ESTATE), or finds it empty: give its
 *         name away when it is made.
 */
static inline apr_status_t mproc_shareable_list_create(mproc_shareable_list_t **list, const char *name,
                                                       const mproc_item_t *items, size_t count,
                                                       const mproc_shm_opts_t *opts)
{
    return mproc_shareable_list_create_sized(list, name, items, count, opts, sizeof(mproc_shm_opts_t));
}

/**
 * The call behind mproc_shareable_list_open(); programs in other languages make it directly.
 *
 * @param list      As there.
 * @param name      As there.
 * @param opts      As there.
 * @param opts_size `sizeof(mproc_shm_opts_t)` as the caller knows it.
 * @return As mproc_shareable_list_open(); MPROC_EBUILD if the caller's options are larger than the library's.
 */
MPROC_API apr_status_t mproc_shareable_list_open_sized(mproc_shareable_list_t **list, const char *name,
                                                       const mproc_shm_opts_t *opts, size_t opts_size);

/**
 * Open a list that somebody has made.
 *
 * @param list Where to store the handle; NULL on failure. It is another one each time; close each.
 * @param name The segment's name.
 * @param opts Options, as for mproc_shm_open(); or NULL.
 * @return APR_SUCCESS; MPROC_ECORRUPT if what has the name is not a list; otherwise as mproc_shm_open().
 * @remark Any thread. Where its slots lie is read and checked once, here: it costs time and 8 bytes of memory for each
 *         item.
 */
static inline apr_status_t mproc_shareable_list_open(mproc_shareable_list_t **list, const char *name,
                                                     const mproc_shm_opts_t *opts)
{
    return mproc_shareable_list_open_sized(list, name, opts, sizeof(mproc_shm_opts_t));
}

/**
 * Tell the name of a list's segment, by which others open it.
 *
 * @param list The list.
 * @return The name, which lives until mproc_shareable_list_close(); NULL if the handle is refused (see
 *         mproc_last_error()).
 * @remark Any thread.
 */
MPROC_API const char *mproc_shareable_list_name(mproc_shareable_list_t *list);

/**
 * Tell how many items a list has.
 *
 * @param list The list.
 * @return Their number, which never changes; 0 also if the handle is refused.
 * @remark Any thread.
 */
MPROC_API size_t mproc_shareable_list_length(mproc_shareable_list_t *list);

/**
 * Get an item, whatever its type.
 *
 * @param list   The list.
 * @param index  Its place, from 0.
 * @param item   Where to store it; a none on failure. The `.data` of a str or bytes is @p buffer.
 * @param buffer Where to copy a str or bytes to; NULL is allowed if @p size is 0.
 * @param size   How many bytes there are room for.
 * @return APR_SUCCESS; MPROC_ETOOBIG if a str or bytes are longer than @p size: `.type` and `.size` tell what they
 *         are; MPROC_ECORRUPT if it is no item, or a str that is not UTF-8, or it is being written just now;
 *         MPROC_ESIZE if the segment has become smaller.
 * @remark Any thread. A str that there is room for is ended by a zero byte, which `.size` does not count, if there is
 *         room for that as well.
 */
MPROC_API apr_status_t mproc_shareable_list_get(mproc_shareable_list_t *list, size_t index, mproc_item_t *item,
                                                void *buffer, size_t size);

/**
 * Get an item that is a bool.
 *
 * @param list    The list.
 * @param index   Its place, from 0.
 * @param boolean Where to store it: 0 or 1; 0 on failure.
 * @return APR_SUCCESS; MPROC_ETYPE if it is of another type; MPROC_ECORRUPT or MPROC_ESIZE as
 *         mproc_shareable_list_get().
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_shareable_list_get_bool(mproc_shareable_list_t *list, size_t index, int *boolean);

/**
 * Get an item that is an int.
 *
 * @param list    The list.
 * @param index   Its place, from 0.
 * @param integer Where to store it; 0 on failure.
 * @return As mproc_shareable_list_get_bool().
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_shareable_list_get_int(mproc_shareable_list_t *list, size_t index, int64_t *integer);

/**
 * Get an item that is a float.
 *
 * @param list  The list.
 * @param index Its place, from 0.
 * @param real  Where to store it; 0 on failure.
 * @return As mproc_shareable_list_get_bool().
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_shareable_list_get_float(mproc_shareable_list_t *list, size_t index, double *real);

/**
 * Get an item that is a str, as a string.
 *
 * @param list  The list.
 * @param index Its place, from 0.
 * @param text  Where to copy it, with a zero byte at its end; "" on failure. If there are zero bytes in it, the string
 *              seems to end at the first: mproc_shareable_list_get() tells how long it is.
 * @param size  How many bytes there are room for, with the zero.
 * @return As mproc_shareable_list_get_bool(); MPROC_ETOOBIG if it is longer; APR_EINVAL if @p size is 0.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_shareable_list_get_str(mproc_shareable_list_t *list, size_t index, char *text,
                                                    size_t size);

/**
 * Get an item that is bytes.
 *
 * @param list   The list.
 * @param index  Its place, from 0.
 * @param buffer Where to copy them; NULL is allowed if @p size is 0.
 * @param size   How many bytes there are room for.
 * @param length Where to store how many there are, also with MPROC_ETOOBIG; 0 on other failures.
 * @return As mproc_shareable_list_get_bool(); MPROC_ETOOBIG if there are more.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_shareable_list_get_bytes(mproc_shareable_list_t *list, size_t index, void *buffer,
                                                      size_t size, size_t *length);

/**
 * Set an item, to a value of the same type or of another one.
 *
 * @param list  The list.
 * @param index Its place, from 0.
 * @param item  The value; its `.room` does not count.
 * @return APR_SUCCESS; MPROC_ETOOBIG if a str or bytes are longer than the slot; APR_EINVAL for an item of an
 *         unknown type, a str that is not UTF-8, or a last byte of zero; MPROC_ESIZE if the segment has become smaller;
 *         MPROC_ECORRUPT if its slot is too small for any, or too large. With the first two nothing has changed.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_shareable_list_set(mproc_shareable_list_t *list, size_t index, mproc_item_t item);

/**
 * Find the first item that has a type and a value.
 *
 * @param list  The list.
 * @param item  The item to look for. Types count: the int 1 is neither the bool nor the float, other than in Python. A
 *              float that is not a number is equal to nothing.
 * @param index Where to store its place; 0 on failure.
 * @return APR_SUCCESS; APR_ENOENT if there is none; APR_EINVAL or MPROC_ETOOBIG for an item that no list can have, as
 *         mproc_shareable_list_set(); MPROC_ECORRUPT or MPROC_ESIZE as mproc_shareable_list_get(), if such an item
 *         comes first.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_shareable_list_index(mproc_shareable_list_t *list, mproc_item_t item, size_t *index);

/**
 * Count the items that have a type and a value.
 *
 * @param list  The list.
 * @param item  The item to look for, as for mproc_shareable_list_index().
 * @param count Where to store how many there are; 0 on failure.
 * @return As mproc_shareable_list_index(), but APR_SUCCESS if there is none, too.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_shareable_list_count(mproc_shareable_list_t *list, mproc_item_t item, size_t *count);

/**
 * Close a list. Its segment stays, as mproc_shm_close() says.
 *
 * @param list The list; NULL is allowed and does nothing.
 * @return APR_SUCCESS; MPROC_ECLOSED if it was closed before, which does no harm.
 * @remark Any thread.
 */
MPROC_API apr_status_t mproc_shareable_list_close(mproc_shareable_list_t *list);

#ifdef __cplusplus
}
#endif

#endif
