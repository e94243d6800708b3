/* SPDX-License-Identifier: MIT */
/*
 * A chunk is aligned to its size (a power of two), so an object's chunk is its address with the low
 * bits cleared, and the bitmap in the chunk's header knows which objects are out. Free objects
 * hold the link to the next free one; they are poisoned, link included, until they are got again.
 */
#include "base/slab.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define CHUNK_MAGIC         0x534c4142u
#define CHUNK_BYTES_MIN     ((size_t)64 * 1024)
#define CHUNK_OBJECTS_LEAST 8

/* malloc keeps 16 bytes in front of a block; leaving that room lets the next chunk follow directly
 * instead of after a hole of a whole chunk. */
#define CHUNK_SPARE_BYTES 64

/* index = offset * ceil(2^40 / size) >> 40 is exact while offset * size < 2^40: chunks above the
 * least size are under 16 objects long, and 16 * SLAB_OBJECT_BYTES_MAX squared is 2^40. */
#define RECIPROCAL_SHIFT 40
static_assert(2 * CHUNK_OBJECTS_LEAST * SLAB_OBJECT_BYTES_MAX * SLAB_OBJECT_BYTES_MAX <=
                  (size_t)1 << RECIPROCAL_SHIFT,
              "division by multiplication is exact");

struct slab_free {
    struct slab_free *next;
};

struct slab_chunk {
    uint32_t magic;
    uint32_t used_count;
    struct slab *owner;
    struct slab_chunk *older;
    uint64_t used[]; /* one bit an object */
};

static size_t round_up(size_t n, size_t to)
{
    return (n + to - 1) & ~(to - 1);
}

static size_t header_bytes(size_t objects)
{
    return sizeof(struct slab_chunk) + (objects + 63) / 64 * sizeof(uint64_t);
}

void slab_init(struct slab *s, size_t object_bytes, size_t align, size_t objects_max)
{
    CHECK(object_bytes >= sizeof(struct slab_free));
    CHECK(object_bytes <= SLAB_OBJECT_BYTES_MAX);
    CHECK(align >= sizeof(void *) && align <= 4096 && (align & (align - 1)) == 0);
    size_t size = round_up(object_bytes, align);
    size_t chunk = CHUNK_BYTES_MIN;
    while (chunk < size * CHUNK_OBJECTS_LEAST)
        chunk *= 2;
    size_t usable = chunk - CHUNK_SPARE_BYTES;
    size_t objects = usable / size;
    while (round_up(header_bytes(objects), align) + objects * size > usable)
        objects--;
    CHECK(objects > 0);
    *s = (struct slab){
        .object_bytes = size,
        .chunk_bytes = chunk,
        .chunk_objects = objects,
        .first_offset = round_up(header_bytes(objects), align),
        .reciprocal = (((uint64_t)1 << RECIPROCAL_SHIFT) + size - 1) / size,
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
    chunk->magic = 0;
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

static struct slab_chunk *chunk_of(const struct slab *s, void *object)
{
    void *chunk = (uint8_t *)object - ((uintptr_t)object & (s->chunk_bytes - 1));
    return chunk;
}

static size_t index_of(const struct slab *s, const struct slab_chunk *chunk, const void *object)
{
    size_t offset = (size_t)((const uint8_t *)object - (const uint8_t *)chunk);
    CHECK(offset >= s->first_offset);
    offset -= s->first_offset;
    size_t index = (size_t)(offset * s->reciprocal >> RECIPROCAL_SHIFT);
    CHECK(index < s->chunk_objects);
    CHECK(index * s->object_bytes == offset);
    return index;
}

static void push_free(struct slab *s, void *object)
{
    struct slab_free *entry = object;
    entry->next = s->free_list;
    s->free_list = entry;
    POISON(object, s->object_bytes);
}

/* What was never given out of the newest chunk moves to the free list, as only the newest chunk is
 * tracked by fresh_count. */
static void retire_fresh(struct slab *s)
{
    for (; s->fresh_count > 0; s->fresh_count--) {
        uint8_t *object = object_at(s, s->chunks, s->chunk_objects - s->fresh_count);
        UNPOISON(object, s->object_bytes);
        push_free(s, object);
    }
}

static int grow(struct slab *s)
{
    void *memory;
    if (posix_memalign(&memory, s->chunk_bytes, s->chunk_bytes - CHUNK_SPARE_BYTES) != 0)
        return -ENOMEM;
    retire_fresh(s);
    struct slab_chunk *chunk = memory;
    memset(chunk, 0, header_bytes(s->chunk_objects));
    chunk->magic = CHUNK_MAGIC;
    chunk->owner = s;
    chunk->older = s->chunks;
    s->chunks = chunk;
    s->fresh_count = s->chunk_objects;
    s->capacity += s->chunk_objects;
    POISON(object_at(s, chunk, 0), s->chunk_objects * s->object_bytes);
    return 0;
}

int slab_reserve(struct slab *s, size_t objects)
{
    while (s->capacity < objects) {
        int error = grow(s);
        if (error)
            return error;
    }
    return 0;
}

static void *pop_free(struct slab *s)
{
    struct slab_free *entry = s->free_list;
    UNPOISON(entry, s->object_bytes);
    s->free_list = entry->next;
    return entry;
}

static void *take_fresh(struct slab *s)
{
    uint8_t *object = object_at(s, s->chunks, s->chunk_objects - s->fresh_count--);
    UNPOISON(object, s->object_bytes);
    return object;
}

void *slab_get(struct slab *s)
{
    if (UNLIKELY(s->used_count >= s->objects_max))
        return NULL;
    if (UNLIKELY(!s->free_list && s->fresh_count == 0) && grow(s) != 0)
        return NULL;
    void *object = s->free_list ? pop_free(s) : take_fresh(s);
    struct slab_chunk *chunk = chunk_of(s, object);
    size_t index = index_of(s, chunk, object);
    uint64_t bit = (uint64_t)1 << (index % 64);
    CHECK(!(chunk->used[index / 64] & bit));
    chunk->used[index / 64] |= bit;
    chunk->used_count++;
    s->used_count++;
    s->used_peak = MAX(s->used_peak, s->used_count);
    return object;
}

void *slab_get_zeroed(struct slab *s)
{
    void *object = slab_get(s);
    return object ? memset(object, 0, s->object_bytes) : NULL;
}

void slab_put(struct slab *s, void *object)
{
    CHECK(object != NULL);
    struct slab_chunk *chunk = chunk_of(s, object);
    CHECK_OBJ(chunk, CHUNK_MAGIC);
    CHECK(chunk->owner == s);
    size_t index = index_of(s, chunk, object);
    uint64_t bit = (uint64_t)1 << (index % 64);
    CHECK(chunk->used[index / 64] & bit);
    chunk->used[index / 64] &= ~bit;
    chunk->used_count--;
    s->used_count--;
    push_free(s, object);
}

/* Takes the objects of wholly free chunks off the free list, order kept. */
static void forget_free_of_empty_chunks(struct slab *s)
{
    struct slab_free *kept_last = NULL;
    struct slab_free *entry = s->free_list;
    s->free_list = NULL;
    while (entry) {
        UNPOISON(entry, sizeof(*entry));
        struct slab_free *next = entry->next;
        if (chunk_of(s, entry)->used_count > 0) {
            if (kept_last) {
                UNPOISON(kept_last, sizeof(*kept_last));
                kept_last->next = entry;
                POISON(kept_last, sizeof(*kept_last));
            } else {
                s->free_list = entry;
            }
            entry->next = NULL;
            kept_last = entry;
        }
        POISON(entry, sizeof(*entry));
        entry = next;
    }
}

size_t slab_trim(struct slab *s)
{
    size_t freed = 0;
    forget_free_of_empty_chunks(s);
    if (s->chunks && s->chunks->used_count == 0)
        s->fresh_count = 0;
    struct slab_chunk **link = &s->chunks;
    while (*link) {
        struct slab_chunk *chunk = *link;
        if (chunk->used_count > 0) {
            link = &chunk->older;
            continue;
        }
        *link = chunk->older;
        s->capacity -= s->chunk_objects;
        freed += s->chunk_bytes;
        free_chunk(s, chunk);
    }
    return freed;
}
