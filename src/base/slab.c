/* SPDX-License-Identifier: MIT */
/*
 * A chunk is aligned to its size (a power of two), so an object's chunk is its address with the low
 * bits cleared. Free objects hold the link to the next free one and a mark; they are poisoned, both
 * included, until they are got again.
 */
#include "base/slab.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES_MIN     ((size_t)64 * 1024)
#define CHUNK_OBJECTS_LEAST 8

/* malloc keeps 16 bytes in front of a block; leaving that room lets the next chunk follow directly
 * instead of after a hole of a whole chunk. */
#define CHUNK_SPARE_BYTES 64

static_assert(2 * CHUNK_OBJECTS_LEAST * SLAB_OBJECT_BYTES_MAX <= UINT32_MAX,
              "offsets fit 32 bits, for which division by multiplication is exact");

static size_t round_up(size_t n, size_t to)
{
    return (n + to - 1) & ~(to - 1);
}

void slab_init(struct slab *s, size_t object_bytes, size_t align, size_t objects_max)
{
    CHECK(object_bytes >= sizeof(void *));
    CHECK(object_bytes <= SLAB_OBJECT_BYTES_MAX);
    CHECK(align >= sizeof(void *) && align <= 4096 && (align & (align - 1)) == 0);
    size_t size = round_up(MAX(object_bytes, sizeof(struct slab_free)), align);
    size_t chunk = CHUNK_BYTES_MIN;
    while (chunk < size * CHUNK_OBJECTS_LEAST)
        chunk *= 2;
    size_t first = round_up(sizeof(struct slab_chunk), align);
    size_t objects = (chunk - CHUNK_SPARE_BYTES - first) / size;
    CHECK(objects > 0);
    *s = (struct slab){
        .object_bytes = size,
        .chunk_bytes = chunk,
        .chunk_objects = objects,
        .first_offset = first,
        .reciprocal = UINT64_MAX / size + 1,
        .objects_max = objects_max ? objects_max : SIZE_MAX,
    };
}

static uint8_t *object_at(const struct slab *s, struct slab_chunk *chunk, size_t index)
{
    return (uint8_t *)chunk + s->first_offset + index * s->object_bytes;
}

static void free_chunk(struct slab *s, struct slab_chunk *chunk)
{
    UNPOISON(object_at(s, chunk, 0), s->chunk_objects * s->object_bytes);
    chunk->owner = NULL;
    free(chunk);
}

void slab_fini(struct slab *s)
{
    CHECK(s->used_count == 0);
    while (s->chunks) {
        struct slab_chunk *chunk = s->chunks;
        s->chunks = chunk->older;
        free_chunk(s, chunk);
    }
    s->free_list = NULL;
    s->fresh_count = 0;
    s->capacity = 0;
}

/* What was never given out of the newest chunk moves to the free list, as only the newest chunk is
 * tracked by fresh_count. */
static void retire_fresh(struct slab *s)
{
    for (; s->fresh_count > 0; s->fresh_count--) {
        uint8_t *object = object_at(s, s->chunks, s->chunk_objects - s->fresh_count);
        UNPOISON(object, s->object_bytes);
        slab_push(s, object);
        s->chunks->given_bytes += (uint32_t)s->object_bytes;
    }
}

static int grow(struct slab *s)
{
    void *memory;
    if (posix_memalign(&memory, s->chunk_bytes, s->chunk_bytes - CHUNK_SPARE_BYTES) != 0)
        return -ENOMEM;
    retire_fresh(s);
    struct slab_chunk *chunk = memory;
    *chunk = (struct slab_chunk){.owner = s, .older = s->chunks};
    s->chunks = chunk;
    s->fresh_count = s->chunk_objects;
    s->capacity += s->chunk_objects;
    POISON(object_at(s, chunk, 0), s->chunk_objects * s->object_bytes);
    return 0;
}

void *slab_take_fresh(struct slab *s)
{
    if (s->fresh_count == 0 && grow(s) != 0)
        return NULL;
    uint8_t *object = object_at(s, s->chunks, s->chunk_objects - s->fresh_count--);
    UNPOISON(object, s->object_bytes);
    /* Its memory may be that of a chunk freed before, with an old mark. */
    ((struct slab_free *)(void *)object)->mark = 0;
    s->chunks->given_bytes += (uint32_t)s->object_bytes;
    return object;
}

void *slab_get_zeroed(struct slab *s)
{
    void *object = slab_get(s);
    return object ? memset(object, 0, s->object_bytes) : NULL;
}
