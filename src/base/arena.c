/* SPDX-License-Identifier: MIT */
/*
 * The arena's slow half: getting and giving back blocks. [at, end) is the free tail of one block;
 * all other free tails are forgotten. held_bytes never exceeds bytes_max.
 */
#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"

#define ARENA_ALIGN_MAX 4096

struct arena_block {
    struct arena_block *older;
    size_t bytes; /* of data, as counted in held_bytes */
    uint8_t data[];
};

void arena_init(struct arena *a, size_t block_bytes, size_t bytes_max)
{
    CHECK(block_bytes > 0);
    *a = (struct arena){.block_bytes = block_bytes, .bytes_max = bytes_max};
}

void arena_fini(struct arena *a)
{
    while (a->blocks) {
        struct arena_block *block = a->blocks;
        a->blocks = block->older;
        UNPOISON(block->data, block->bytes);
        free(block);
    }
    *a = (struct arena){.block_bytes = a->block_bytes, .bytes_max = a->bytes_max};
}

/* Gives out of [at, end), or NULL if it does not fit. */
static void *take(struct arena *a, size_t n, size_t align)
{
    size_t pad = -(uintptr_t)a->at & (align - 1);
    size_t left = (size_t)(a->end - a->at);
    if (a->at == NULL || pad > left || n > left - pad)
        return NULL;
    uint8_t *p = a->at + pad;
    a->at = p + n;
    UNPOISON(p, n);
    return p;
}

static uint8_t *add_block(struct arena *a, size_t bytes)
{
    struct arena_block *block = malloc(sizeof(*block) + bytes);
    if (!block)
        return NULL;
    block->older = a->blocks;
    block->bytes = bytes;
    a->blocks = block;
    a->held_bytes += bytes;
    POISON(block->data, bytes);
    return block->data;
}

void *arena_alloc_slow(struct arena *a, size_t n, size_t align)
{
    CHECK(align > 0 && align <= ARENA_ALIGN_MAX && (align & (align - 1)) == 0);
    void *p = take(a, n, align);
    if (p)
        return p;
    size_t room = a->bytes_max - a->held_bytes;
    size_t least; /* with any alignment the block may turn out to have */
    if (__builtin_add_overflow(n, align, &least) || least > room)
        return NULL;
    size_t bytes = MAX(least, MIN(a->block_bytes, room));
    uint8_t *data = add_block(a, bytes);
    if (!data)
        return NULL;

    uint8_t *other_at = a->at;
    uint8_t *other_end = a->end;
    a->at = data;
    a->end = data + bytes;
    p = take(a, n, align);
    CHECK(p != NULL);
    if (other_end - other_at > a->end - a->at) {
        a->at = other_at;
        a->end = other_end;
    }
    return p;
}

void *arena_zalloc(struct arena *a, size_t n, size_t align)
{
    void *p = arena_alloc(a, n, align);
    return p ? memset(p, 0, n) : NULL;
}

void *arena_array(struct arena *a, size_t count, size_t size, size_t align)
{
    size_t n;
    if (__builtin_mul_overflow(count, size, &n))
        return NULL;
    return arena_zalloc(a, n, align);
}

struct span arena_dup(struct arena *a, struct span s)
{
    uint8_t *p = arena_alloc(a, s.n, 1);
    if (p && s.n > 0)
        memcpy(p, s.p, s.n);
    return span_of(p, p ? s.n : 0);
}

char *arena_strdup(struct arena *a, struct span s)
{
    size_t n;
    char *p = __builtin_add_overflow(s.n, 1u, &n) ? NULL : arena_alloc(a, n, 1);
    if (!p)
        return NULL;
    if (s.n > 0)
        memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    return p;
}

char *arena_printf(struct arena *a, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *p = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1, 1);
    if (!p)
        return NULL;
    va_start(args, format);
    (void)vsnprintf(p, (size_t)n + 1, format, args);
    va_end(args);
    return p;
}
