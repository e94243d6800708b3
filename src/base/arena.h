/* SPDX-License-Identifier: MIT */
/*
 * Arena: memory that is given out piece by piece and taken back all at once. The lifetime of a
 * configuration, of a test.
 *
 *   newest block                older blocks
 *   [ used ........ | free ] -> [ used ... ] -> ...
 *
 * A maximum bounds what one arena can hold; beyond it allocation returns NULL, and the caller
 * answers with its reason.
 *
 * Threads: the owner's thread. In address-sanitized builds what is not given out is poisoned.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"

struct arena_block;

struct arena {
    /* set at creation */
    size_t block_bytes; /* least size of a block */
    size_t bytes_max;   /* over all blocks */
    /* this thread only */
    uint8_t *at; /* free bytes of one block: [at, end) */
    uint8_t *end;
    size_t held_bytes;          /* in all blocks */
    struct arena_block *blocks; /* newest first */
};

/* Nothing is allocated until the first arena_alloc(). */
void arena_init(struct arena *a, size_t block_bytes, size_t bytes_max);

/* Frees all. The arena can be initialised again. */
void arena_fini(struct arena *a);

/*
 * `n` bytes aligned to `align` (a power of two, at most 4096), not zeroed; NULL beyond the maximum
 * or out of memory. n == 0 yields a pointer that is not NULL and must not be read.
 */
NODISCARD static inline void *arena_alloc(struct arena *a, size_t n, size_t align);
NODISCARD void *arena_zalloc(struct arena *a, size_t n, size_t align);

/* count * size bytes, zeroed; NULL also if the product overflows. */
NODISCARD void *arena_array(struct arena *a, size_t count, size_t size, size_t align);

/* A zeroed object of a type. */
#define arena_new(a, type) ((type *)arena_zalloc(a, sizeof(type), _Alignof(type)))
#define arena_new_array(a, type, count) \
    ((type *)arena_array(a, count, sizeof(type), _Alignof(type)))

/* A copy; the empty span with p == NULL on failure (an empty input gives p != NULL). */
NODISCARD struct span arena_dup(struct arena *a, struct span s);

/* A NUL-terminated copy, or NULL. */
NODISCARD char *arena_strdup(struct arena *a, struct span s);

/* printf into the arena; NULL on failure. Slow path. */
NODISCARD PRINTF(2, 3) char *arena_printf(struct arena *a, const char *format, ...);

/* Bytes in blocks: what the arena costs. */
static inline size_t arena_held_bytes(const struct arena *a);

/* ---- inline bodies ---- */

void *arena_alloc_slow(struct arena *a, size_t n, size_t align);

static inline void *arena_alloc(struct arena *a, size_t n, size_t align)
{
    size_t pad = -(uintptr_t)a->at & (align - 1);
    size_t left = (size_t)(a->end - a->at);
    if (UNLIKELY(ADDRESS_SANITIZED || a->at == NULL || pad > left || n > left - pad))
        return arena_alloc_slow(a, n, align);
    uint8_t *p = a->at + pad;
    a->at = p + n;
    return p;
}

static inline size_t arena_held_bytes(const struct arena *a)
{
    return a->held_bytes;
}
