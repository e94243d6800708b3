/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Buffers of one loop, counted by reference, and slices of them.
 *
 * Bytes that arrive are delivered in place, in a buffer the loop owns. Who wants them for longer
 * than the callback keeps a reference; the loop then takes another buffer for its next receive.
 * Sizes come in classes (buf_get picks the smallest that fits), each with a LIFO free list so that
 * the buffer used next is the one still warm in the cache, and with a maximum per loop.
 *
 * Lifetime: a buffer lives until its last reference is put. Thread rule: a buffer never leaves the
 * loop (thread) it came from; counts are plain integers.
 */

#include "base/bytes.h"
#include "base/check.h"
#include "base/compiler.h"

#include <stddef.h>
#include <stdint.h>

struct loop;
struct buf_pool;

enum buf_class {
    BUF_SMALL,  /* 2 KiB: kept heads and leftovers */
    BUF_MEDIUM, /* 16 KiB: receives while a peer is slow */
    BUF_HEAD,   /* 64 KiB: the longest message head with room for our fields */
    BUF_LARGE,  /* 256 KiB: ordinary receives; bulk is won by large buffers first */
    BUF_CLASSES
};

struct buf {
#define BUF_MAGIC 0xb0f0b0f1u
    uint32_t magic;
    uint32_t refs;
    uint32_t size;   /* usable bytes in data */
    uint8_t klass;   /* enum buf_class */
    uint32_t filled; /* by an engine: bytes received, while they wait to be delivered */
    struct buf_pool *pool;
    struct buf *next_free;
    uint8_t *data;
};

/* A range of bytes. `buf` is what keeps them alive, or NULL when somebody else promises that. */
struct slice {
    const uint8_t *p;
    uint32_t n;
    struct buf *buf;
};

/*
 * A buffer of at least `size` bytes with one reference, or NULL when the loop has reached its
 * maximum of that class (answer: REASON_overload). size <= 256 KiB.
 */
struct buf *buf_get(struct loop *loop, size_t size);

static inline struct buf *buf_ref(struct buf *b)
{
    CHECK(b->magic == BUF_MAGIC && b->refs > 0);
    b->refs++;
    return b;
}

/* Gives one reference back and leaves NULL; accepts NULL in *b. */
void buf_put(struct buf **b);

/* The bytes as a span, for the codec. */
static inline struct span slice_span(struct slice s)
{
    return (struct span){s.p, s.n};
}

/* A slice that keeps its bytes for later: takes a reference, or, when `s` is a small part of a
 * large buffer or has no buffer, copies it into one of the right size. Returns a slice with
 * buf == NULL and n == 0 when no buffer could be had. Release with slice_put. */
struct slice slice_keep(struct loop *loop, struct slice s);

static inline void slice_put(struct slice *s)
{
    if (s->buf)
        buf_put(&s->buf);
    *s = (struct slice){0};
}
