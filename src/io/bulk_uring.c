/* SPDX-License-Identifier: MIT */
/*
 * Bulk over io_uring: whether it may begin. The moving is in bulk.c, on readiness from the ring.
 *
 * One rule more: while a multishot receive is in the kernel nobody else may receive. A bulk waits
 * for it to end, and is over at once if that brought bytes after all.
 */
#include "io/bulk_priv.h"
#include "io/uring_priv.h"

static void ready(struct stream *s)
{
    uring_stream_ready(uring_stream_of(s));
}

static void fail(struct stream *s, enum reason why)
{
    uring_stream_fail(uring_stream_of(s), why);
}

static void await_room(struct stream *s)
{
    uring_stream_await_room(uring_stream_of(s));
}

const struct bulk_engine uring_bulks = {
    .want_read = URING_WANT_READ,
    .readable = URING_READABLE,
    .peer_done = URING_PEER_DONE,
    .error = URING_ERROR,
    .fail_due = URING_FAIL_DUE,
    .failed = URING_FAILED,
    .sending = URING_SENDING,
    .src = URING_BULK_SRC,
    .dst = URING_BULK_DST,
    .never = URING_EOF | URING_FAILED | URING_CLOSED | URING_RECV,
    .ready = ready,
    .await_room = await_room,
    .fail = fail,
};

static struct bulk_end end_of(struct uring_stream *e)
{
    return (struct bulk_end){.s = &e->s, .place = &e->bulk, .fd = e->fd};
}

bool uring_bulk(struct stream *from, struct stream *to, uint64_t bytes)
{
    struct uring_stream *src = uring_stream_of(from);
    struct uring_stream *dst = uring_stream_of(to);
    const uint32_t never = URING_CONNECTING | URING_FAIL_DUE | URING_FAILED | URING_CLOSED;
    CHECK(!uring_has(src, URING_BULK_SRC));
    if (uring_has(src, never | URING_EOF) || uring_has(dst, never | URING_SENDING | URING_SHUTDOWN))
        return false;
    if (src->held || uring_has(src, URING_END))
        return false;
    uring_send_early(dst);
    if (dst->backlog || uring_has(dst, URING_QUEUED | URING_FAIL_DUE))
        return false;
    if (!bulk_part_join(end_of(src), end_of(dst), bytes))
        return false;
    src->small = -URING_SMALL_RUN;
    uring_receive_stop(src);
    if (!uring_has(src, URING_IN | URING_RECV))
        uring_set(src, URING_READABLE); /* nobody watched: have a look */
    uring_stream_ready(src);
    return true;
}

void uring_bulk_run(struct uring_stream *src)
{
    uint64_t moved = 0;
    enum bulk_step step = BULK_OVER;
    list_del(&src->link); /* whether there is more to do is decided anew */
    if (!src->held)       /* of the multishot receive that was in the kernel before */
        step = bulk_part_pump(src->bulk, &moved);
    bulk_part_settle(src->bulk, step, moved);
}
