/* SPDX-License-Identifier: MIT */
/*
 * Slab: a pool of objects of one size. Get and put are a few instructions; memory grows by chunks
 * up to a hard maximum, after which slab_get() returns NULL and the caller answers `overload`.
 *
 *   chunk (64 KiB or more, aligned to its size)
 *   [ header: owner, in-use bitmap | object | object | object | ... ]
 *
 * Objects are packed, with nothing in front: an idle connection costs its object and one bit. The
 * last object put is the first one got, as it is still in the cache. Memory of fresh chunks is not
 * touched before it is given out.
 *
 * slab_put() of a pointer that is not a live object of this slab (put twice, foreign, inside an
 * object) fails a CHECK. In address-sanitized builds free objects are poisoned.
 *
 * Threads: the owner's thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

/* Offsets in a chunk are divided by multiplication, exact up to this size (slab.c). */
#define SLAB_OBJECT_BYTES_MAX ((size_t)256 * 1024)

struct slab_chunk;
struct slab_free;

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
 * `object_bytes` from 8 to SLAB_OBJECT_BYTES_MAX; `align` a power of two from 8 to 4096.
 * `objects_max` 0 means without a maximum: only for what another maximum bounds already.
 */
void slab_init(struct slab *s, size_t object_bytes, size_t align, size_t objects_max);

/* Frees all chunks. All objects must be back. */
void slab_fini(struct slab *s);

/* An object with undefined contents, or NULL at the maximum or out of memory. */
NODISCARD void *slab_get(struct slab *s);
NODISCARD void *slab_get_zeroed(struct slab *s);

/* Takes an object back; its memory must not be touched afterwards. */
void slab_put(struct slab *s, void *object);

/* Grows to hold at least `objects` without a further allocation. 0, or -ENOMEM. */
NODISCARD int slab_reserve(struct slab *s, size_t objects);

/* Frees chunks without a live object and returns how many bytes that gave. Walks all free objects:
 * for quiet moments. */
size_t slab_trim(struct slab *s);

static inline size_t slab_used(const struct slab *s)
{
    return s->used_count;
}

static inline size_t slab_held_bytes(const struct slab *s)
{
    return s->capacity / s->chunk_objects * s->chunk_bytes;
}
