/* SPDX-License-Identifier: MIT */
/*
 * A ring's bytes [tail, head) are whole records, except that after a short write `tail` may stand
 * inside one. In a formatted ring each record lies in one piece behind its length, at a multiple of
 * RECORD_ALIGN; a length of 0 says that the rest of the buffer is left out. What has been made of
 * records and is not written yet is in the ring's `text`.
 */
#include "base/logwriter_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

/* Lines are made of records until no room for the longest is left, and then written together:
 * 64 KiB and more at a time. */
#define TEXT_BYTES ((size_t)64 * 1024 + ACCESS_RECORD_MAX)

/* Of a record and of its length before it, in a formatted ring. */
#define RECORD_ALIGN sizeof(uint64_t)

/* ---- what is in it ---- */

/* What a record of `n` bytes takes of a formatted ring. */
static size_t record_room(size_t n)
{
    return (sizeof(uint64_t) + n + RECORD_ALIGN - 1) & ~(RECORD_ALIGN - 1);
}

void logring_parts(const struct logring *ring, uint64_t from, uint64_t to,
                   struct iovec ret_parts[2])
{
    size_t n = (size_t)(to - from);
    size_t at = (size_t)from & ring->mask;
    size_t before_wrap = MIN(n, ring->mask + 1 - at);
    ret_parts[0] = (struct iovec){ring->bytes + at, before_wrap};
    ret_parts[1] = (struct iovec){ring->bytes, n - before_wrap};
}

bool logring_format(struct logring *ring, uint64_t head)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    if (tail == head)
        return false;
    while (tail != head && TEXT_BYTES - ring->text_len >= ACCESS_RECORD_MAX) {
        size_t at = (size_t)tail & ring->mask;
        uint64_t n;
        memcpy(&n, ring->bytes + at, sizeof(n));
        if (n == 0) {
            tail += ring->mask + 1 - at;
            continue;
        }
        CHECK(n <= ACCESS_RECORD_MAX);
        size_t room = TEXT_BYTES - ring->text_len;
        struct span record = span_of(ring->bytes + at + sizeof(n), n);
        char *out = (char *)ring->text + ring->text_len;
        size_t made = ring->format(ring->format_user, record, out, room);
        CHECK(made <= room);
        ring->text_len += made;
        tail += record_room(n);
    }
    atomic_store_explicit(&ring->tail, tail, memory_order_release);
    return true;
}

/* ---- life ---- */

void logring_free(struct logring *ring)
{
    free(ring->text);
    free(ring->bytes);
    free(ring);
}

/* Memory for a ring, all zero but its buffers, or NULL. */
static struct logring *ring_alloc(size_t size, bool with_text)
{
    void *memory = NULL;
    if (posix_memalign(&memory, CACHE_LINE_BYTES, sizeof(struct logring)) != 0)
        return NULL;
    struct logring *ring = memset(memory, 0, sizeof(*ring));
    ring->bytes = malloc(size);
    ring->text = with_text ? malloc(TEXT_BYTES) : NULL;
    if (ring->bytes && (ring->text || !with_text))
        return ring;
    logring_free(ring);
    return NULL;
}

static struct logring *ring_new(struct logsink *sink, size_t bytes, logring_format_fn *format,
                                void *user)
{
    CHECK_OBJ(sink, SINK_MAGIC);
    CHECK(bytes > 0);
    size_t size = CACHE_LINE_BYTES;
    while (size < bytes)
        size *= 2;
    struct logring *ring = ring_alloc(size, format != NULL);
    if (!ring)
        return NULL;
    ring->magic = RING_MAGIC;
    ring->sink = sink;
    ring->mask = size - 1;
    ring->format = format;
    ring->format_user = user;
    list_init(&ring->link);
    if (logwriter_adopt(sink->writer, ring))
        return ring;
    logring_free(ring);
    return NULL;
}

struct logring *logring_new(struct logsink *sink, size_t bytes)
{
    return ring_new(sink, bytes, NULL, NULL);
}

struct logring *logring_new_formatted(struct logsink *sink, size_t bytes, logring_format_fn *format,
                                      void *user)
{
    CHECK(format);
    return ring_new(sink, bytes, format, user);
}

void logring_close(struct logring **ring)
{
    struct logring *r = *ring;
    if (!r)
        return;
    CHECK_OBJ(r, RING_MAGIC);
    *ring = NULL;
    atomic_store_explicit(&r->closed, true, memory_order_release);
}

/* ---- the producer ---- */

/* For a ring that fills: while the thread is awake it will come by, and if it falls
 * asleep instead, the next record wakes it. */
static void wake_if_asleep(struct logwriter *lw)
{
    if (UNLIKELY(atomic_load_explicit(&lw->wake, memory_order_relaxed) == WRITER_SLEEPS))
        logwriter_wake(lw);
}

static void ring_copy_in(struct logring *ring, uint64_t head, const void *bytes, size_t n)
{
    struct iovec parts[2];
    logring_parts(ring, head, head + n, parts);
    memcpy(parts[0].iov_base, bytes, parts[0].iov_len);
    memcpy(parts[1].iov_base, (const uint8_t *)bytes + parts[0].iov_len, parts[1].iov_len);
}

/* Whether `needed` bytes fit behind `head`; if not, that is counted. Wakes the thread from half. */
static bool ring_has_room(struct logring *ring, uint64_t head, size_t needed)
{
    size_t size = ring->mask + 1;
    /* The consumer's line is only looked at when the last known position is not enough. */
    if (LIKELY(head + needed - ring->tail_seen <= size / 2))
        return true;
    ring->tail_seen = atomic_load_explicit(&ring->tail, memory_order_acquire);
    uint64_t used = head - ring->tail_seen;
    if (used + needed > size / 2)
        wake_if_asleep(ring->sink->writer);
    if (needed <= size - used)
        return true;
    atomic_fetch_add_explicit(&ring->dropped, 1, memory_order_relaxed);
    return false;
}

static bool write_lines(struct logring *ring, const void *lines, size_t n)
{
    CHECK(((const uint8_t *)lines)[n - 1] == '\n');
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    if (!ring_has_room(ring, head, n))
        return false;
    ring_copy_in(ring, head, lines, n);
    atomic_store_explicit(&ring->head, head + n, memory_order_release);
    return true;
}

bool logring_write(struct logring *ring, const void *record, size_t n)
{
    CHECK_OBJ(ring, RING_MAGIC);
    CHECK(n > 0);
    if (!ring->format)
        return write_lines(ring, record, n);
    void *room = logring_reserve(ring, n);
    if (!room)
        return false;
    memcpy(room, record, n);
    logring_commit(ring);
    return true;
}

void *logring_reserve(struct logring *ring, size_t n)
{
    CHECK_OBJ(ring, RING_MAGIC);
    CHECK(ring->format);
    CHECK(n > 0 && n <= ACCESS_RECORD_MAX);
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    size_t at = (size_t)head & ring->mask;
    size_t to_end = ring->mask + 1 - at;
    size_t needed = record_room(n);
    size_t left_out = needed > to_end ? to_end : 0;
    if (UNLIKELY(!ring_has_room(ring, head, left_out + needed)))
        return NULL;
    if (left_out) {
        memset(ring->bytes + at, 0, sizeof(uint64_t));
        at = 0;
    }
    uint64_t length = n;
    memcpy(ring->bytes + at, &length, sizeof(length));
    ring->head_reserved = head + left_out + needed;
    return ring->bytes + at + sizeof(length);
}

void logring_commit(struct logring *ring)
{
    CHECK_OBJ(ring, RING_MAGIC);
    atomic_store_explicit(&ring->head, ring->head_reserved, memory_order_release);
}

void logring_wake(struct logring *ring)
{
    CHECK_OBJ(ring, RING_MAGIC);
    logwriter_wake(ring->sink->writer);
}

uint64_t logring_dropped(const struct logring *ring)
{
    CHECK_OBJ(ring, RING_MAGIC);
    return atomic_load_explicit(&ring->dropped, memory_order_relaxed);
}
