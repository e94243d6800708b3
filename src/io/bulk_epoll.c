/* SPDX-License-Identifier: MIT */
/* Bulk over epoll: whether it may begin, and what was sent before it. The moving is in bulk.c. */
#include "io/bulk_priv.h"
#include "io/epoll_priv.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

static void ready(struct stream *s)
{
    epoll_make_ready(epoll_stream_of(s));
}

static void fail(struct stream *s, enum reason why)
{
    epoll_fail(epoll_stream_of(s), why);
}

static void await_room(struct stream *s)
{
    epoll_watch(epoll_stream_of(s), EPOLLOUT);
}

const struct bulk_engine epoll_bulks = {
    .want_read = STREAM_WANT_READ,
    .readable = STREAM_READABLE,
    .peer_done = STREAM_PEER_DONE,
    .error = STREAM_ERROR,
    .fail_due = STREAM_FAIL_DUE,
    .failed = STREAM_FAILED,
    .sending = STREAM_SENDING,
    .src = STREAM_BULK_SRC,
    .dst = STREAM_BULK_DST,
    .never = STREAM_EOF | STREAM_FAILED | STREAM_CLOSED,
    .ready = ready,
    .await_room = await_room,
    .fail = fail,
};

void epoll_bulk_likely(struct stream *src)
{
    set(epoll_stream_of(src), STREAM_BULK_LIKELY);
}

void epoll_bulk_follows(struct stream *dst)
{
    struct epoll_stream *e = epoll_stream_of(dst);
    if (!has(e, STREAM_SENDING | STREAM_CONNECTING | STREAM_FAIL_DUE))
        set(e, STREAM_BULK_FOLLOWS);
}

/* What waited for a bulk goes out alone. */
static void let_go(struct epoll_stream *dst)
{
    const int on = 1;
    if (!has(dst, STREAM_BULK_FOLLOWS))
        return;
    clear(dst, STREAM_BULK_FOLLOWS);
    (void)setsockopt(dst->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* sends what waits */
}

static struct bulk_end end_of(struct epoll_stream *e)
{
    return (struct bulk_end){.s = &e->s, .place = &e->bulk, .fd = e->fd};
}

static bool join(struct epoll_stream *src, struct epoll_stream *dst, uint64_t bytes)
{
    const uint32_t never = STREAM_CONNECTING | STREAM_FAIL_DUE | STREAM_FAILED | STREAM_CLOSED;
    CHECK(!has(src, STREAM_BULK_SRC));
    if (has(src, never | STREAM_EOF) || has(dst, never | STREAM_SENDING | STREAM_SHUTDOWN))
        return false;
    if (!bulk_part_join(end_of(src), end_of(dst), bytes))
        return false;
    if (!has(src, STREAM_REGISTERED))
        set(src, STREAM_READABLE); /* nobody watched: have a look */
    epoll_make_ready(src);
    return true;
}

bool epoll_bulk(struct stream *from, struct stream *to, uint64_t bytes)
{
    struct epoll_stream *dst = epoll_stream_of(to);
    bool joined = join(epoll_stream_of(from), dst, bytes);
    if (!joined)
        let_go(dst);
    return joined;
}

void epoll_bulk_run(struct epoll_stream *src)
{
    struct epoll_stream *dst = epoll_stream_of(src->bulk->to->end.s);
    uint64_t moved = 0;
    list_del(&src->link); /* whether there is more to do is decided anew */
    enum bulk_step step = bulk_part_pump(src->bulk, &moved);
    if (moved == 0)
        let_go(dst);
    else
        clear(dst, STREAM_BULK_FOLLOWS);
    bulk_part_settle(src->bulk, step, moved);
}
