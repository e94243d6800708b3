/* SPDX-License-Identifier: MIT */
/*
 * Buffer pools of a loop: one free list per class. Buffers that a whole trim period did not need
 * go back to the system, so a burst does not stay in memory; while traffic is steady none moves.
 */
#include "io/buf.h"

#include "base/limits.h"
#include "io/loop_priv.h"

#include <stdlib.h>

/* When free buffers beyond the keep are given back. */
#define TRIM_PERIOD_MS 2000

/* Bytes start on a line of their own. */
#define HEADER_BYTES ((sizeof(struct buf) + CACHE_LINE_BYTES - 1) & ~(CACHE_LINE_BYTES - 1ul))

/* Per loop: at most 128 + 256 + 256 + 64 MiB, were every client to stall at its worst, and some
 * 6 MiB kept for the next burst. What asks for a class that is used up gets the next larger one. */
static const struct class_row {
    uint32_t size;
    uint32_t used_max;
    uint32_t free_keep;
} classes[BUF_CLASSES] = {
    [BUF_SMALL] = {2 * 1024, BUF_SMALL_MAX, 256},
    [BUF_MEDIUM] = {16 * 1024, BUF_MEDIUM_MAX, 64},
    [BUF_HEAD] = {64 * 1024, BUF_HEAD_MAX, 32},
    [BUF_LARGE] = {256 * 1024, BUF_LARGE_MAX, 8},
};

static void free_one(struct buf_pool *pool)
{
    struct buf *b = pool->free_list;
    pool->free_list = b->next_free;
    pool->free_count--;
    b->magic = 0;
    free(b);
}

static void trim(struct timer *t)
{
    struct buf_pools *pools = container_of(t, struct buf_pools, trim);
    bool more = false;
    for (unsigned c = 0; c < BUF_CLASSES; c++) {
        struct buf_pool *pool = &pools->pool[c];
        uint32_t surplus =
            pool->free_count > pool->free_keep ? pool->free_count - pool->free_keep : 0;
        for (uint32_t n = MIN(surplus, pool->free_low); n > 0; n--)
            free_one(pool);
        pool->free_low = pool->free_count;
        more |= pool->free_count > pool->free_keep;
    }
    if (more)
        loop_timer_set(pools->pool[0].loop, t, TRIM_PERIOD_MS);
}

void buf_pools_init(struct loop *loop)
{
    timer_init(&loop->bufs.trim, trim);
    for (unsigned c = 0; c < BUF_CLASSES; c++) {
        loop->bufs.pool[c] = (struct buf_pool){
            .loop = loop,
            .size = classes[c].size,
            .used_max = classes[c].used_max,
            .free_keep = classes[c].free_keep,
        };
    }
}

void buf_pools_fini(struct loop *loop)
{
    loop_timer_stop(loop, &loop->bufs.trim);
    for (unsigned c = 0; c < BUF_CLASSES; c++) {
        struct buf_pool *pool = &loop->bufs.pool[c];
        CHECK(pool->used == 0); /* somebody kept a buffer longer than the loop */
        while (pool->free_list)
            free_one(pool);
    }
}

static struct buf *new_buf(struct buf_pool *pool, unsigned klass)
{
    struct buf *b = aligned_alloc(CACHE_LINE_BYTES, HEADER_BYTES + pool->size);
    if (!b)
        return NULL;
    *b = (struct buf){
        .magic = BUF_MAGIC,
        .size = pool->size,
        .klass = (uint8_t)klass,
        .pool = pool,
        .data = (uint8_t *)b + HEADER_BYTES,
    };
    return b;
}

struct buf *buf_get(struct loop *loop, size_t size)
{
    unsigned klass = BUF_SMALL;
    while (classes[klass].size < size) {
        klass++;
        CHECK(klass < BUF_CLASSES);
    }
    while (UNLIKELY(loop->bufs.pool[klass].used >= loop->bufs.pool[klass].used_max)) {
        if (++klass == BUF_CLASSES)
            return NULL;
    }
    struct buf_pool *pool = &loop->bufs.pool[klass];
    struct buf *b = pool->free_list;
    if (LIKELY(b != NULL)) {
        CHECK(b->magic == BUF_MAGIC && b->refs == 0);
        pool->free_list = b->next_free;
        pool->free_count--;
        pool->free_low = MIN(pool->free_low, pool->free_count);
    } else {
        b = new_buf(pool, klass);
        if (!b)
            return NULL;
    }
    pool->used++;
    b->refs = 1;
    return b;
}

void buf_put(struct buf **ref)
{
    struct buf *b = *ref;
    if (!b)
        return;
    *ref = NULL;
    CHECK(b->magic == BUF_MAGIC);
    CHECK(b->refs > 0);
    if (--b->refs > 0)
        return;
    struct buf_pool *pool = b->pool;
    pool->used--;
    b->next_free = pool->free_list;
    pool->free_list = b;
    pool->free_count++;
    struct timer *timer = &pool->loop->bufs.trim;
    if (UNLIKELY(pool->free_count > pool->free_keep) && !timer_armed(timer)) {
        pool->free_low = pool->free_count;
        loop_timer_set(pool->loop, timer, TRIM_PERIOD_MS);
    }
}

struct slice slice_keep(struct loop *loop, struct slice s)
{
    /* An eighth: copying up to 32 KiB is cheaper than keeping 256 KiB away from the next receive.
     */
    if (s.buf && s.n > s.buf->size / 8) {
        buf_ref(s.buf);
        return s;
    }
    struct buf *copy = s.n <= classes[BUF_LARGE].size ? buf_get(loop, s.n) : NULL;
    if (copy) {
        memcpy(copy->data, s.p, s.n);
        return (struct slice){copy->data, s.n, copy};
    }
    if (!s.buf)
        return (struct slice){0};
    buf_ref(s.buf);
    return s;
}
