/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What a stream has to send and the kernel has no room for: slices in order, each with a reference
 * of its own if it has a buffer. For files of io/ alone; the loop's thread.
 */

#include "io/loop_priv.h"

/* Room for a whole stream_send behind what was accepted before it. */
#define BACKLOG_SLICES_MAX (SEND_SLICES_MAX + 2)

struct backlog {
    uint32_t first; /* slices before it are gone */
    uint32_t count;
    struct buf *joined;  /* where small pieces gather */
    struct timer linger; /* the engine's */
    void *owner;         /* the stream */
    struct slice slices[BACKLOG_SLICES_MAX];
};

static inline bool backlog_has_room(const struct backlog *b, size_t count)
{
    return b->count + count <= BACKLOG_SLICES_MAX;
}

void backlog_init(struct backlog *b, void *owner);

/* Appends the slices but for their first `sent` bytes. False when no buffer could be had; it is
 * then incomplete. */
NODISCARD bool backlog_add(struct loop *loop, struct backlog *b, const struct slice *slices,
                           size_t count, size_t sent);

/* Appends a copy. False when no buffer could be had. */
NODISCARD bool backlog_add_copy(struct loop *loop, struct backlog *b, const uint8_t *p, uint32_t n);

/* Forgets bytes that were sent; true when nothing is left. */
bool backlog_advance(struct backlog *b, size_t sent);

uint64_t backlog_bytes(const struct backlog *b);

/* Gives all references back. */
void backlog_clear(struct backlog *b);
