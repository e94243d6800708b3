/* SPDX-License-Identifier: MIT */
/*
 * Slab: a pool of objects of one size. Get and put are a few instructions; memory grows by chunks
 * up to a hard maximum, after which slab_get() returns NULL and the caller answers `overload`.
 *
 *   chunk (64 KiB or more, aligned to its size)
 *   [ header: owner, counts | object | object | object | ... ]
 *
 * Objects are packed, with nothing in front: an idle connection costs its object alone. The last
 * object put is the first one got, as it is still in the cache. Memory of fresh chunks is not
 * touched before it is given out.
 *
 * slab_put() of a pointer that is not a live object of this slab (put twice, foreign, inside an
 * object, never given out) fails a CHECK, and so does slab_get() when a free object was written to
 * where its mark is. In address-sanitized builds free objects are poisoned.
 *
 * Threads: the owner's thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/check.h"
#include "base/compiler.h"

#define SLAB_OBJECT_BYTES_MAX ((size_t)256 * 1024)

/* What a free object holds. The mark depends on its address (slab_mark), so that data that happen
 * to look like it, copied from another object even, are never taken for it. */
struct slab_free {
    struct slab_free *next;
    uint64_t mark;
};

struct slab_chunk {
    struct slab *owner;
    struct slab_chunk *older;
    uint32_t used_count;
    uint32_t given_bytes; /* from the first object to the first one never given out */
};

struct slab {
    /* set at creation */
    size_t object_bytes; /* rounded up to the alignment */
    size_t chunk_bytes;  /* a power of two */
    size_t chunk_objects;
    size_t first_offset; /* of the first object in a chunk */
    uint64_t reciprocal; /* of object_bytes */
    size_t objects_max;
    /* this thread only */
    struct slab_free *free_list;
    struct slab_chunk *chunks; /* newest first; only that one can have objects never given out */
    size_t fresh_count;        /* never given out, at the end of the newest chunk */
    size_t capacity;           /* objects in all chunks */
    size_t used_count;
    size_t used_peak;
};

/*
 * `object_bytes` from 8 to SLAB_OBJECT_BYTES_MAX (objects take 16 at least); `align` a power of two
 * from 8 to 4096.
 * `objects_max` 0 means without a maximum: only for what another maximum bounds already.
 */
void slab_init(struct slab *s, size_t object_bytes, size_t align, size_t objects_max);

/* Frees all chunks. All objects must be back. */
void slab_fini(struct slab *s);

/* An object with undefined contents, or NULL at the maximum or out of memory. */
NODISCARD static inline void *slab_get(struct slab *s);
NODISCARD void *slab_get_zeroed(struct slab *s);

/* Takes an object back; its memory must not be touched afterwards. */
static inline void slab_put(struct slab *s, void *object);

/* ---- inline bodies ---- */

/* A free object when none is on the list: from the newest chunk, or from a new one. */
void *slab_take_fresh(struct slab *s);

static inline uint64_t slab_mark(const struct slab_free *entry)
{
    return ~(uint64_t)(uintptr_t)entry * 0x9e3779b97f4a7c15u;
}

static inline struct slab_chunk *slab_chunk_of(const struct slab *s, void *object)
{
    void *chunk = (uint8_t *)object - ((uintptr_t)object & (s->chunk_bytes - 1));
    return chunk;
}

static inline bool slab_is_free(const struct slab_free *object)
{
#if ADDRESS_SANITIZED
    return __asan_address_is_poisoned(object) != 0;
#else
    return object->mark == slab_mark(object);
#endif
}

static inline void slab_push(struct slab *s, void *object)
{
    struct slab_free *entry = object;
    entry->next = s->free_list;
    entry->mark = slab_mark(entry);
    s->free_list = entry;
    POISON(object, s->object_bytes);
}

static inline void *slab_get(struct slab *s)
{
    if (UNLIKELY(s->used_count >= s->objects_max))
        return NULL;
    struct slab_free *entry = s->free_list;
    if (LIKELY(entry)) {
        UNPOISON(entry, s->object_bytes);
        CHECK(entry->mark == slab_mark(entry));
        entry->mark = 0;
        s->free_list = entry->next;
    } else {
        entry = (struct slab_free *)slab_take_fresh(s);
        if (!entry)
            return NULL;
    }
    slab_chunk_of(s, entry)->used_count++;
    s->used_count++;
    if (UNLIKELY(s->used_count > s->used_peak))
        s->used_peak = s->used_count;
    return entry;
}

static inline void slab_put(struct slab *s, void *object)
{
    CHECK(object != NULL);
    struct slab_chunk *chunk = slab_chunk_of(s, object);
    CHECK(chunk->owner == s);
    uint64_t offset = (uint64_t)((uint8_t *)object - (uint8_t *)chunk) - s->first_offset;
    CHECK(offset < chunk->given_bytes);
    /* A multiple of object_bytes (Lemire, "Faster remainder by direct computation"). */
    CHECK(offset * s->reciprocal < s->reciprocal);
    CHECK(!slab_is_free(object));
    chunk->used_count--;
    s->used_count--;
    slab_push(s, object);
}
