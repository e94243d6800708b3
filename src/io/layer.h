/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A stream on top of a stream: what changes bytes on their way (TLS) looks to its user like any
 * other stream, so that no protocol above has to know.
 *
 *      user ──stream_send──▶ layer ──stream_send──▶ stream below ──▶ kernel
 *      user ◀────ops->data── layer ◀────ops->data── stream below ◀── kernel
 *
 * A layer embeds a `struct layered` made with layered_init and takes over the stream below, whose
 * ops and user become its own (stream_set_ops). It answers the calls of this table and calls the
 * ops of its user by the rules of io/loop.h: nothing inside a call, one send in flight, credit,
 * `connected` first where there was a connecting. What it closes it frees when nothing of it runs
 * any more.
 *
 * Calls that are not here go to the stream below (peer, local, unsent, has_input, is_ending), or
 * are refused (bulk).
 *
 * Thread rule: the loop's thread.
 */

#include "io/loop.h"

struct stream_layer {
    const char *name;
    void (*read)(struct stream *s, bool want);
    enum send_result (*send)(struct stream *s, const struct slice *slices, size_t count);
    void (*last)(struct stream *s);
    void (*shutdown)(struct stream *s);
    void (*close)(struct stream *s, enum stream_close_how how);
};

struct layered {
    struct stream stream; /* what its user holds */
    const struct stream_layer *layer;
    struct stream *below;
};

static inline void layered_init(struct layered *l, const struct stream_layer *layer,
                                struct stream *below, const struct stream_ops *ops, void *user)
{
    l->stream =
        (struct stream){.magic = STREAM_LAYER_MAGIC, .ops = ops, .user = user, .loop = below->loop};
    l->layer = layer;
    l->below = below;
}

/* NULL of an engine's own stream. */
static inline struct layered *layered_of(struct stream *s)
{
    return s->magic == STREAM_LAYER_MAGIC ? container_of(s, struct layered, stream) : NULL;
}
