/* SPDX-License-Identifier: MIT */
#include "io/backlog.h"

#include <string.h>

/* A buffer for small pieces; those above half of it are kept where they are. */
#define JOIN_BYTES 2048

void backlog_init(struct backlog *b, void *owner)
{
    b->first = 0;
    b->count = 0;
    b->joined = NULL;
    b->owner = owner;
    timer_init(&b->linger, NULL);
}

/*
 * Small pieces in a row, such as chunk framing, go into one buffer: else a reader that stalls would
 * hold a buffer for every few bytes. False when no buffer could be had.
 */
static bool join(struct loop *loop, struct backlog *b, struct slice piece)
{
    struct slice *last = b->count > b->first ? &b->slices[b->count - 1] : NULL;
    bool fits = last && b->joined && last->buf == b->joined &&
                last->p + last->n + piece.n <= b->joined->data + JOIN_BYTES;
    if (!fits) {
        b->joined = buf_get(loop, JOIN_BYTES);
        if (!b->joined)
            return false;
        last = &b->slices[b->count++];
        *last = (struct slice){b->joined->data, 0, b->joined};
    }
    memcpy(b->joined->data + (last->p - b->joined->data) + last->n, piece.p, piece.n);
    last->n += piece.n;
    return true;
}

static bool keep(struct loop *loop, struct backlog *b, struct slice piece)
{
    if (piece.n <= JOIN_BYTES / 2)
        return join(loop, b, piece);
    struct slice kept = piece.buf ? slice_keep(loop, piece) : piece;
    if (kept.n == 0)
        return false;
    b->slices[b->count++] = kept;
    return true;
}

bool backlog_add(struct loop *loop, struct backlog *b, const struct slice *slices, size_t count,
                 size_t sent)
{
    CHECK(backlog_has_room(b, count));
    for (size_t i = 0; i < count; i++) {
        struct slice left = slices[i];
        size_t skip = MIN(sent, (size_t)left.n);
        sent -= skip;
        left.p += skip;
        left.n -= (uint32_t)skip;
        if (left.n > 0 && !keep(loop, b, left))
            return false;
    }
    return true;
}

bool backlog_add_copy(struct loop *loop, struct backlog *b, const uint8_t *p, uint32_t n)
{
    struct buf *copy = backlog_has_room(b, 1) ? buf_get(loop, n) : NULL;
    if (!copy)
        return false;
    memcpy(copy->data, p, n);
    b->slices[b->count++] = (struct slice){copy->data, n, copy};
    return true;
}

bool backlog_advance(struct backlog *b, size_t sent)
{
    while (b->first < b->count) {
        struct slice *head = &b->slices[b->first];
        if (sent < head->n) {
            head->p += sent;
            head->n -= (uint32_t)sent;
            return false;
        }
        sent -= head->n;
        slice_put(head);
        b->first++;
    }
    return true;
}

uint64_t backlog_bytes(const struct backlog *b)
{
    uint64_t bytes = 0;
    for (uint32_t i = b->first; i < b->count; i++)
        bytes += b->slices[i].n;
    return bytes;
}

void backlog_clear(struct backlog *b)
{
    for (uint32_t i = b->first; i < b->count; i++)
        slice_put(&b->slices[i]);
    b->first = b->count = 0;
    b->joined = NULL;
}
