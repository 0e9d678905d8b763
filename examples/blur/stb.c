/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one file in which the implementation of the stb libraries is compiled; the build leaves out its warnings.
 */
#include <stdlib.h>

#include "picture.h"
#include "stb_memory.h"

/*
 * The decoder allocates what a file makes it believe it needs, and a small file can unpack to a huge one. The largest
 * picture that is let in needs half of this, with 4 channels of 16 bits.
 */
#define ALLOCATION_MAX ((size_t)1024 * 1024 * 1024)

/* Pictures may be read on several threads at once (start method thread). */
static _Thread_local int was_refused;

void stb_memory_begin(void)
{
    was_refused = 0;
}

int stb_memory_was_refused(void)
{
    return was_refused;
}

static void *limited_realloc(void *block, size_t size)
{
    void *result = size <= ALLOCATION_MAX ? realloc(block, size) : NULL;
    if (!result)
        was_refused = 1;
    return result;
}

static void *limited_malloc(size_t size)
{
    return limited_realloc(NULL, size);
}

#define STBI_MALLOC(size) limited_malloc(size)
#define STBI_REALLOC(block, size) limited_realloc(block, size)
#define STBI_FREE(block) free(block)

/* Files are opened with APR, which takes UTF-8 names on Windows too. */
#define STBI_NO_STDIO
#define STBI_WRITE_NO_STDIO

/* "Corrupt JPEG" instead of "no SOI". */
#define STBI_FAILURE_USERMSG

#define STBI_MAX_DIMENSIONS PICTURE_SIDE_MAX

#define STB_IMAGE_IMPLEMENTATION
#include <stb/stb_image.h>

#define STB_IMAGE_WRITE_IMPLEMENTATION
#include <stb/stb_image_write.h>
