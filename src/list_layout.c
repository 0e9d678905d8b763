/* SPDX-License-Identifier: Apache-2.0 */
#include "list_layout.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"

/* Of a slot of none, bool, int or float, and what the others are multiples of; of an offset; of a format. */
enum { UNIT = 8, NUMBER = 8, FORMAT = 8 };

/* What is copied at once where a slot may be large: each is a call of the system. */
enum { PIECE = 4096 };

/* What an item is read as; the last one is none of Python's: the item is being written. */
enum { AS_IT_IS = 0, AS_TEXT = 1, AS_BYTES = 2, AS_NONE = 3, AS_NOTHING = 0xff };

/* How the types of 8 bytes are written; all others are "<size>s". */
static const char formats[][FORMAT + 1] = {
    [MPROC_ITEM_NONE] = "xxxxxx?x", [MPROC_ITEM_BOOL] = "xxxxxxx?", [MPROC_ITEM_INT] = "q", [MPROC_ITEM_FLOAT] = "d"};
enum { FORMATS = sizeof formats / sizeof formats[0] };

static apr_status_t fail_as_corrupt(const segment_t *segment, size_t index, const char *why, const char *call)
{
    return mproc_fail(MPROC_ECORRUPT, "%s: item %zu of the list '%s': %s", call, index, segment->name, why);
}

/* ---- Values ------------------------------------------------------------------------------------------------------ */

static int has_bytes(const mproc_item_t *item)
{
    return item->type == MPROC_ITEM_STR || item->type == MPROC_ITEM_BYTES;
}

/** How many bytes a character of UTF-8 has; 0 if it is none, or not all there. */
static size_t character(const unsigned char *text, size_t size)
{
    const unsigned char first = text[0];
    const size_t length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (length == 0 || length > size || first > 0xf4)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    /* In more bytes than it takes, half a pair of UTF-16, or beyond the last character. */
    if ((first == 0xe0 && text[1] < 0xa0) || (first == 0xed && text[1] > 0x9f) || (first == 0xf0 && text[1] < 0x90) ||
        (first == 0xf4 && text[1] > 0x8f))
        return 0;
    return length;
}

static int is_utf8(const void *text, size_t size)
{
    const unsigned char *at = text;
    while (size > 0) {
        const size_t length = character(at, size);
        if (length == 0)
            return 0;
        at += length;
        size -= length;
    }
    return 1;
}

apr_status_t list_check_item(const mproc_item_t *item, const char *call)
{
    const char *noun = item->type == MPROC_ITEM_STR ? "str" : "bytes";
    if ((unsigned)item->type > MPROC_ITEM_BYTES)
        return mproc_fail(APR_EINVAL, "%s: %d is not a type of items", call, (int)item->type);
    const size_t size = has_bytes(item) ? item->size : 0;
    if (size > MPROC_ITEM_SIZE_MAX || item->room > MPROC_ITEM_SIZE_MAX)
        return mproc_fail(MPROC_ETOOBIG, "%s: an item has %zu bytes, or room for %zu, where %d are possible", call,
                          size, item->room, MPROC_ITEM_SIZE_MAX);
    if (size == 0)
        return APR_SUCCESS;
    if (!item->data)
        return mproc_fail(APR_EINVAL, "%s: the %zu bytes of an item are NULL", call, size);
    if (((const char *)item->data)[size - 1] == '\0')
        return mproc_fail(APR_EINVAL, "%s: the last byte of a %s is zero, which a list cannot keep", call, noun);
    if (item->type == MPROC_ITEM_STR && !is_utf8(item->data, size))
        return mproc_fail(APR_EINVAL, "%s: a str is not UTF-8", call);
    return APR_SUCCESS;
}

/** The size of a new item's slot: as Python has it, so that Python's own lists have the same bytes. */
static size_t slot_size(const mproc_item_t *item)
{
    const size_t size = has_bytes(item) ? item->size : 0;
    const size_t room = size > item->room ? size : item->room;
    return has_bytes(item) || room > UNIT ? (room / UNIT + 1) * UNIT : UNIT;
}

/** An item as it lies in a segment. */
typedef struct encoded_t {
    char format[FORMAT];
    unsigned char code;
    unsigned char unit[UNIT]; /* what is in the slot, if it is no bytes */
} encoded_t;

/** Write a format as it lies in a segment: with zeros behind it. */
static void pad(char format[FORMAT], const char *text)
{
    memset(format, 0, FORMAT);
    for (int i = 0; i < FORMAT && text[i]; i++)
        format[i] = text[i];
}

static void encode(encoded_t *encoded, const mproc_item_t *item, size_t slot)
{
    char text[24];
    memset(encoded, 0, sizeof *encoded);
    snprintf(text, sizeof text, "%zus", slot);
    pad(encoded->format, has_bytes(item) ? text : formats[item->type]);
    switch (item->type) {
    case MPROC_ITEM_NONE:
        encoded->code = AS_NONE;
        break;
    case MPROC_ITEM_BOOL:
        encoded->unit[UNIT - 1] = item->boolean != 0;
        break;
    case MPROC_ITEM_INT:
        memcpy(encoded->unit, &item->integer, UNIT);
        break;
    case MPROC_ITEM_FLOAT:
        memcpy(encoded->unit, &item->real, UNIT);
        break;
    case MPROC_ITEM_STR:
        encoded->code = AS_TEXT;
        break;
    case MPROC_ITEM_BYTES:
        encoded->code = AS_BYTES;
        break;
    }
}

/* ---- Where what lies --------------------------------------------------------------------------------------------- */

/** Have room for where the slots lie. */
static apr_status_t allocate(list_layout_t *layout, const segment_t *segment, size_t count, const char *call)
{
    *layout = (list_layout_t){.segment = segment, .count = count};
    layout->slots = count < SIZE_MAX / NUMBER ? malloc((count + 1) * NUMBER) : NULL;
    return layout->slots ? APR_SUCCESS : mproc_fail(APR_ENOMEM, "%s: no memory for %zu items", call, count);
}

void list_forget(list_layout_t *layout)
{
    free(layout->slots);
    layout->slots = NULL;
}

/** Find where a slot ends, from the word that says so or how large it is; the word in front says where it begins. */
static int place_slot(uint64_t *word, int has_sizes, size_t size)
{
    const uint64_t begins = word[-1];
    /* What is not in order wraps around, and is too much. */
    const uint64_t length = has_sizes ? *word : *word - begins;
    if (length == 0 || length > size - begins)
        return 0;
    *word = begins + length;
    return 1;
}

/** Find where what lies, now that it is known how the slots lie: whether all can be in the segment. */
static int place_all(list_layout_t *layout, int has_sizes)
{
    const size_t count = layout->count;
    for (size_t i = 0; i <= count; i++)
        layout->slots[i] += (uint64_t)NUMBER * (1 + count + !has_sizes);
    layout->formats = layout->slots[count];
    layout->codes = layout->formats + (uint64_t)count * FORMAT;
    return count == 0 || layout->codes + count <= layout->segment->memory.size;
}

static apr_status_t fail_to_place(const list_layout_t *layout, const char *call)
{
    return mproc_fail(MPROC_ECORRUPT, "%s: the slots of the list '%s' of %zu items are not all in its %zu bytes", call,
                      layout->segment->name, layout->count, layout->segment->memory.size);
}

/** Read how the slots lie. A large segment may be empty, and say that it has as many items as it has room for. */
static apr_status_t read_slots(list_layout_t *layout, int has_sizes, const char *call)
{
    enum { AT_ONCE = 8192 };
    const segment_t *segment = layout->segment;
    const size_t words_at = (has_sizes ? 1 : 2) * NUMBER; /* without where the first one begins, which is 0 */
    size_t done = 0;
    layout->slots[0] = 0;
    while (done < layout->count) {
        const size_t left = layout->count - done;
        const size_t end = done + (left < AT_ONCE ? left : AT_ONCE);
        const apr_status_t status =
            segment_read(segment, words_at + done * NUMBER, &layout->slots[done + 1], (end - done) * NUMBER, call);
        if (status != APR_SUCCESS)
            return status;
        while (done < end)
            if (!place_slot(&layout->slots[++done], has_sizes, segment->memory.size))
                return fail_to_place(layout, call);
    }
    return place_all(layout, has_sizes) ? APR_SUCCESS : fail_to_place(layout, call);
}

apr_status_t list_examine(list_layout_t *layout, const segment_t *segment, const char *call)
{
    const size_t size = segment->memory.size;
    uint64_t count = 0;
    uint64_t first = 0;
    *layout = (list_layout_t){.segment = segment};
    apr_status_t status = APR_SUCCESS;
    if (size >= NUMBER)
        status = segment_read(segment, 0, &count, NUMBER, call);
    if (status != APR_SUCCESS)
        return status;
    /* Each item has a word, a format and a code; so the count is bounded by what there is. */
    if (size < NUMBER || count > (size - NUMBER) / (NUMBER + FORMAT + 1))
        return mproc_fail(MPROC_ECORRUPT, "%s: the segment '%s' of %zu bytes is no list", call, segment->name, size);
    status = allocate(layout, segment, (size_t)count, call);
    if (status != APR_SUCCESS)
        return status;
    if (count > 0)
        status = segment_read(segment, NUMBER, &first, NUMBER, call);
    /* The first slot begins at 0, and no slot has a size of 0: so this is Python 3.8's layout, of sizes. */
    if (status == APR_SUCCESS)
        status = read_slots(layout, first != 0, call);
    if (status != APR_SUCCESS)
        list_forget(layout);
    return status;
}

/* ---- Making ------------------------------------------------------------------------------------------------------ */

size_t list_size(const mproc_item_t *items, size_t count)
{
    const size_t each = NUMBER + FORMAT + 1;
    size_t size = 2 * NUMBER;
    for (size_t i = 0; i < count; i++) {
        const size_t slot = slot_size(&items[i]);
        if (size > SIZE_MAX / 2 - slot - each)
            return SIZE_MAX;
        size += slot + each;
    }
    return size;
}

/** Write all but the number of items to a copy of the segment that is all zeros. */
static void compose(unsigned char *copy, const list_layout_t *layout, const mproc_item_t *items)
{
    for (size_t i = 0; i < layout->count; i++) {
        encoded_t encoded;
        const size_t place = (size_t)layout->slots[i];
        encode(&encoded, &items[i], (size_t)(layout->slots[i + 1] - layout->slots[i]));
        if (!has_bytes(&items[i]))
            memcpy(copy + place, encoded.unit, UNIT);
        else if (items[i].size > 0)
            memcpy(copy + place, items[i].data, items[i].size);
        memcpy(copy + layout->formats + i * FORMAT, encoded.format, FORMAT);
        copy[layout->codes + i] = encoded.code;
    }
}

apr_status_t list_fill(list_layout_t *layout, const segment_t *segment, const mproc_item_t *items, size_t count,
                       const char *call)
{
    const uint64_t number = count;
    const size_t size = segment->memory.size;
    apr_status_t status = allocate(layout, segment, count, call);
    if (status != APR_SUCCESS)
        return status;
    unsigned char *copy = calloc(1, size);
    if (!copy) {
        list_forget(layout);
        return mproc_fail(APR_ENOMEM, "%s: no memory for a copy of the list", call);
    }
    layout->slots[0] = 0;
    for (size_t i = 0; i < count; i++)
        layout->slots[i + 1] = layout->slots[i] + slot_size(&items[i]);
    memcpy(copy + NUMBER, layout->slots, (count + 1) * NUMBER);
    place_all(layout, 0);
    compose(copy, layout, items);
    /* With its number of items, which comes last, it is a list, and not an empty one. */
    status = segment_write(segment, NUMBER, copy + NUMBER, size - NUMBER, call);
    if (status == APR_SUCCESS)
        status = segment_write(segment, 0, &number, NUMBER, call);
    free(copy);
    if (status != APR_SUCCESS)
        list_forget(layout);
    return status;
}

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

/** Take "<size>s" apart: whether it is that. */
static int parse_size(size_t *size, const char format[FORMAT])
{
    int i = 0;
    *size = 0;
    for (; i < FORMAT && format[i] >= '0' && format[i] <= '9'; i++)
        *size = *size * 10 + (size_t)(format[i] - '0');
    if (i == 0 || i == FORMAT || format[i] != 's')
        return 0;
    for (i++; i < FORMAT; i++)
        if (format[i] != '\0')
            return 0;
    return 1;
}

/** Find out what an item is by its format and code: whether it is something. */
static int identify(list_value_t *value, const char format[FORMAT], unsigned char code, uint64_t slot)
{
    if (parse_size(&value->size, format)) {
        value->type = code == AS_TEXT ? MPROC_ITEM_STR : MPROC_ITEM_BYTES;
        return (code == AS_TEXT || code == AS_BYTES) && value->size <= slot;
    }
    for (int type = 0; type < FORMATS; type++) {
        char padded[FORMAT];
        pad(padded, formats[type]);
        if (memcmp(format, padded, FORMAT) != 0)
            continue;
        value->type = (mproc_item_type_t)type;
        value->size = UNIT;
        return slot >= UNIT && code == (type == MPROC_ITEM_NONE ? AS_NONE : AS_IT_IS);
    }
    return 0;
}

/** Find the length of what is padded with zeros to some size. */
static apr_status_t strip(list_value_t *value, const segment_t *segment, const char *call)
{
    unsigned char piece[PIECE];
    while (value->size > 0) {
        const size_t size = value->size < PIECE ? value->size : PIECE;
        const size_t before = value->size - size;
        const apr_status_t status = segment_read(segment, (size_t)value->place + before, piece, size, call);
        if (status != APR_SUCCESS)
            return status;
        for (size_t i = size; i > 0; i--) {
            if (piece[i - 1] != 0) {
                value->size = before + i;
                return APR_SUCCESS;
            }
        }
        value->size = before;
    }
    return APR_SUCCESS;
}

apr_status_t list_look(list_value_t *value, const list_layout_t *layout, size_t index, const char *call)
{
    char format[FORMAT];
    unsigned char code;
    const segment_t *segment = layout->segment;
    *value = (list_value_t){MPROC_ITEM_NONE, 0, 0};
    if (index >= layout->count)
        return mproc_fail(APR_EINVAL, "%s: there is no item %zu in the list '%s' of %zu", call, index, segment->name,
                          layout->count);
    apr_status_t status = segment_read(segment, (size_t)layout->formats + index * FORMAT, format, FORMAT, call);
    if (status == APR_SUCCESS)
        status = segment_read(segment, (size_t)layout->codes + index, &code, 1, call);
    if (status != APR_SUCCESS)
        return status;
    value->place = layout->slots[index];
    if (!identify(value, format, code, layout->slots[index + 1] - layout->slots[index]))
        return fail_as_corrupt(segment, index, "its format is none, or it is being written", call);
    /* What is padded has a multiple of 8; other sizes are exact. */
    if ((value->type == MPROC_ITEM_STR || value->type == MPROC_ITEM_BYTES) && value->size % UNIT == 0)
        return strip(value, segment, call);
    return APR_SUCCESS;
}

/** Copy a str or bytes. */
static apr_status_t get_bytes(mproc_item_t *item, const list_value_t *value, const list_layout_t *layout, size_t index,
                              void *buffer, size_t size, const char *call)
{
    const segment_t *segment = layout->segment;
    item->type = value->type;
    item->size = value->size;
    if (value->size > size)
        return mproc_fail(MPROC_ETOOBIG, "%s: item %zu of the list '%s' has %zu bytes, and there is room for %zu", call,
                          index, segment->name, value->size, size);
    apr_status_t status = segment_read(segment, (size_t)value->place, buffer, value->size, call);
    /* What was copied is looked at: nobody else can change it. */
    if (status == APR_SUCCESS && value->type == MPROC_ITEM_STR && !is_utf8(buffer, value->size))
        status = fail_as_corrupt(segment, index, "it is a str and not UTF-8", call);
    if (status != APR_SUCCESS) {
        *item = mproc_item_none();
        return status;
    }
    item->data = buffer;
    if (value->type == MPROC_ITEM_STR && value->size < size)
        ((char *)buffer)[value->size] = '\0';
    return status;
}

apr_status_t list_get(mproc_item_t *item, const list_layout_t *layout, size_t index, void *buffer, size_t size,
                      const char *call)
{
    list_value_t value;
    unsigned char unit[UNIT];
    *item = mproc_item_none();
    apr_status_t status = list_look(&value, layout, index, call);
    if (status != APR_SUCCESS)
        return status;
    if (value.type == MPROC_ITEM_STR || value.type == MPROC_ITEM_BYTES)
        return get_bytes(item, &value, layout, index, buffer, size, call);
    status = segment_read(layout->segment, (size_t)value.place, unit, UNIT, call);
    if (status != APR_SUCCESS)
        return status;
    item->type = value.type;
    if (value.type == MPROC_ITEM_BOOL)
        item->boolean = unit[UNIT - 1] != 0;
    else if (value.type == MPROC_ITEM_INT)
        memcpy(&item->integer, unit, UNIT);
    else if (value.type == MPROC_ITEM_FLOAT)
        memcpy(&item->real, unit, UNIT);
    return status;
}

/** Compare two that are no bytes. Zeros of either sign are equal, and what is not a number is not. */
static int is_same(const mproc_item_t *a, const mproc_item_t *b)
{
    if (a->type != b->type)
        return 0;
    if (a->type == MPROC_ITEM_BOOL)
        return (a->boolean != 0) == (b->boolean != 0);
    if (a->type == MPROC_ITEM_INT)
        return a->integer == b->integer;
    return a->type == MPROC_ITEM_NONE || a->real == b->real;
}

apr_status_t list_compare(int *is_equal, const list_layout_t *layout, size_t index, const mproc_item_t *item,
                          const char *call)
{
    list_value_t value;
    mproc_item_t found;
    unsigned char piece[PIECE];
    *is_equal = 0;
    apr_status_t status = list_look(&value, layout, index, call);
    if (status != APR_SUCCESS || value.type != item->type)
        return status;
    if (!has_bytes(item)) {
        status = list_get(&found, layout, index, NULL, 0, call);
        *is_equal = status == APR_SUCCESS && is_same(&found, item);
        return status;
    }
    if (value.size != item->size)
        return status;
    for (size_t done = 0; done < value.size; done += PIECE) {
        const size_t size = value.size - done < PIECE ? value.size - done : PIECE;
        status = segment_read(layout->segment, (size_t)value.place + done, piece, size, call);
        if (status != APR_SUCCESS || memcmp(piece, (const char *)item->data + done, size) != 0)
            return status;
    }
    *is_equal = 1;
    return status;
}

/* ---- Writing ----------------------------------------------------------------------------------------------------- */

/** Write a str or bytes, and zeros behind it. */
static apr_status_t write_bytes(const segment_t *segment, size_t place, size_t slot, const mproc_item_t *item,
                                const char *call)
{
    unsigned char piece[PIECE] = {0};
    /* What fits goes at once, so that who is killed leaves no mixture. */
    const size_t together = item->size < PIECE ? item->size : 0;
    if (together > 0)
        memcpy(piece, item->data, together);
    apr_status_t status = APR_SUCCESS;
    if (together < item->size)
        status = segment_write(segment, place, item->data, item->size, call);
    for (size_t done = item->size - together; done < slot && status == APR_SUCCESS;) {
        const size_t size = slot - done < PIECE ? slot - done : PIECE;
        status = segment_write(segment, place + done, piece, size, call);
        memset(piece, 0, sizeof piece);
        done += size;
    }
    return status;
}

static apr_status_t write_value(const segment_t *segment, size_t place, size_t slot, const mproc_item_t *item,
                                const encoded_t *encoded, const char *call)
{
    if (has_bytes(item))
        return write_bytes(segment, place, slot, item, call);
    return segment_write(segment, place, encoded->unit, UNIT, call);
}

apr_status_t list_set(const list_layout_t *layout, size_t index, const mproc_item_t *item, const char *call)
{
    static const unsigned char nothing = AS_NOTHING;
    char format[FORMAT];
    unsigned char code;
    encoded_t encoded;
    const segment_t *segment = layout->segment;
    if (index >= layout->count)
        return mproc_fail(APR_EINVAL, "%s: there is no item %zu in the list '%s' of %zu", call, index, segment->name,
                          layout->count);
    const size_t place = (size_t)layout->slots[index];
    const size_t slot = (size_t)(layout->slots[index + 1] - layout->slots[index]);
    const size_t format_at = (size_t)layout->formats + index * FORMAT;
    const size_t code_at = (size_t)layout->codes + index;
    /* A size has seven digits at most. */
    if (slot < UNIT || slot > 9999999)
        return fail_as_corrupt(segment, index, "its slot has a size that none can have", call);
    if (has_bytes(item) && item->size > slot)
        return mproc_fail(MPROC_ETOOBIG, "%s: item %zu of the list '%s' has room for %zu bytes, and %zu are too many",
                          call, index, segment->name, slot, item->size);
    encode(&encoded, item, slot);
    apr_status_t status = segment_read(segment, format_at, format, FORMAT, call);
    if (status == APR_SUCCESS)
        status = segment_read(segment, code_at, &code, 1, call);
    if (status != APR_SUCCESS)
        return status;
    if (code == encoded.code && memcmp(format, encoded.format, FORMAT) == 0)
        return write_value(segment, place, slot, item, &encoded, call);
    /* Its type changes: until that is done, it has none. */
    status = segment_write(segment, code_at, &nothing, 1, call);
    if (status == APR_SUCCESS)
        status = write_value(segment, place, slot, item, &encoded, call);
    if (status == APR_SUCCESS)
        status = segment_write(segment, format_at, encoded.format, FORMAT, call);
    if (status == APR_SUCCESS)
        status = segment_write(segment, code_at, &encoded.code, 1, call);
    return status;
}
