/* SPDX-License-Identifier: MIT */
/*
 * Bulk with readiness from the ring; the moving is that of bulk_epoll.c, and so are its rules: a
 * pipe is filled only when empty, bytes in a pipe belong to exactly one pair, and a pipe that goes
 * back to the pool is empty.
 *
 * One rule more: while a multishot receive is in the kernel nobody else may receive. A bulk waits
 * for it to end, and is over at once if that brought bytes after all.
 */
#include "base/limits.h"
#include "io/uring_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* A bulk that moves less than this at a time, so many times in a row, costs more than copying. */
#define LEAN_BYTES (8 * 1024)
#define LEAN_TIMES 4

enum step {
    STEP_MORE,  /* go on */
    STEP_WAIT,  /* for the source, the destination, or credit */
    STEP_AGAIN, /* its share of this turn is used up */
    STEP_ENDED, /* the source has ended, all of it is moved */
    STEP_OVER,  /* all is moved that was asked for, or it is better copied */
};

static struct uring_loop *loop_of(const struct uring_stream *e)
{
    return uring_loop_of(e->s.loop);
}

static bool may_take(const struct uring_stream *src)
{
    const uint32_t needed = URING_WANT_READ | URING_READABLE;
    const uint32_t never = URING_EOF | URING_FAILED | URING_CLOSED | URING_RECV;
    return (src->s.engine_bits & (needed | never)) == needed;
}

static bool is_failing(const struct uring_stream *e)
{
    return uring_has(e, URING_FAIL_DUE | URING_FAILED);
}

bool uring_bulk_goes_on(const struct uring_stream *e)
{
    if (!uring_has(e, URING_BULK_SRC) || is_failing(e->bulk->to))
        return false;
    return e->bulk->in_pipe > 0 || may_take(e);
}

/* ---- begin and end ---- */

static bool take_part(struct uring_stream *e)
{
    if (!e->bulk)
        e->bulk = slab_get_zeroed(&loop_of(e)->bulks);
    return e->bulk != NULL;
}

static void leave(struct uring_stream *e)
{
    if (!e->bulk || e->bulk->to || e->bulk->from)
        return;
    slab_put(&loop_of(e)->bulks, e->bulk);
    e->bulk = NULL;
}

static struct pipe *find_pipe(struct uring_loop *l)
{
    struct loop *loop = &l->loop;
    struct pipe *p = pipe_get(&loop->pipes, loop->now_ns);
    if (!p)
        loop->stats.pipes_starved++;
    return p;
}

static void drop_pipe(struct uring_stream *src)
{
    struct uring_bulk *b = src->bulk;
    if (b->pipe)
        pipe_put(&loop_of(src)->loop.pipes, b->pipe, b->in_pipe == 0);
    b->pipe = NULL;
}

/* Parts the two; nobody is told. What is in the pipe is lost. */
static void part(struct uring_stream *src)
{
    struct uring_bulk *b = src->bulk;
    struct uring_stream *dst = b->to;
    drop_pipe(src);
    *b = (struct uring_bulk){.from = b->from};
    dst->bulk->from = NULL;
    uring_clear(src, URING_BULK_SRC);
    uring_clear(dst, URING_BULK_DST | URING_SENDING);
    leave(src);
    leave(dst);
}

void uring_bulk_drop(struct uring_stream *e)
{
    if (uring_has(e, URING_BULK_SRC))
        part(e);
    if (!uring_has(e, URING_BULK_DST))
        return;
    struct uring_stream *src = e->bulk->from;
    uring_clear(src, URING_WANT_READ);
    part(src);
    if (uring_has(src, URING_FAIL_DUE | URING_ERROR))
        uring_stream_ready(src); /* that waited for its bytes to be moved */
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
    struct pipe *pipe = find_pipe(loop_of(src));
    if (!pipe)
        return false;
    if (!take_part(src) || !take_part(dst)) {
        pipe_put(&loop_of(src)->loop.pipes, pipe, true);
        leave(src);
        return false;
    }
    src->bulk->to = dst;
    src->bulk->pipe = pipe;
    src->bulk->left = bytes;
    dst->bulk->from = src;
    uring_set(src, URING_BULK_SRC | URING_WANT_READ);
    uring_set(dst, URING_BULK_DST | URING_SENDING);
    src->small = -URING_SMALL_RUN;
    uring_receive_stop(src);
    if (!uring_has(src, URING_IN | URING_RECV))
        uring_set(src, URING_READABLE); /* nobody watched: have a look */
    uring_stream_ready(src);
    src->s.loop->stats.bulks++;
    return true;
}

void uring_bulk_writable(struct uring_stream *dst)
{
    struct uring_stream *src = dst->bulk->from;
    if (src->bulk->blocked) {
        src->bulk->blocked = false;
        uring_stream_ready(src);
    }
}

/* ---- moving ---- */

/* splice(2) said "end" or "try again": what a receive would say is exact. */
static enum step took_nothing(struct uring_stream *src)
{
    char byte;
    ssize_t n;
    do {
        n = recv(src->fd, &byte, 1, MSG_PEEK);
    } while (UNLIKELY(n < 0 && errno == EINTR));
    if (n > 0)
        return STEP_OVER; /* bytes that cannot be spliced, such as those behind urgent ones */
    if (n == 0 && !uring_has(src, URING_FAIL_DUE))
        return STEP_ENDED;
    uring_clear(src, URING_READABLE);
    if (n < 0 && errno == EAGAIN)
        uring_clear(src, URING_PEER_DONE);
    else if (n < 0)
        uring_stream_fail(src, socket_stream_reason(errno));
    return STEP_WAIT;
}

/* Notes when the kernel has no more now; an edge announces what comes later, but for a FIN. */
static void look_for_more(struct uring_stream *src)
{
    int unread = 1;
    if (!uring_has(src, URING_PEER_DONE) && ioctl(src->fd, FIONREAD, &unread) == 0 && unread == 0)
        uring_clear(src, URING_READABLE);
}

/* Into the empty pipe. */
static enum step take(struct uring_stream *src)
{
    struct uring_bulk *b = src->bulk;
    if (!b->pipe)
        b->pipe = find_pipe(loop_of(src));
    if (!b->pipe)
        return STEP_OVER;
    size_t wanted = (size_t)MIN(b->left, (uint64_t)b->pipe->room);
    ssize_t n;
    do {
        n = splice(src->fd, NULL, b->pipe->in, NULL, wanted, SPLICE_F_NONBLOCK);
    } while (UNLIKELY(n < 0 && errno == EINTR));
    if (UNLIKELY(n == 0 || (n < 0 && errno == EAGAIN)))
        return took_nothing(src);
    if (UNLIKELY(n < 0)) {
        if (errno == EINVAL || errno == EOPNOTSUPP || errno == ENOSYS || errno == ENOMEM)
            return STEP_OVER; /* this kernel cannot, or not now */
        uring_clear(src, URING_READABLE);
        uring_stream_fail(src, socket_stream_reason(errno));
        return STEP_WAIT;
    }
    b->in_pipe = (uint32_t)n;
    if (b->left != BULK_UNTIL_EOF)
        b->left -= (uint64_t)n;
    if (b->left == 0 || (size_t)n < wanted)
        look_for_more(src);
    return STEP_MORE;
}

/* Out of the pipe. */
static enum step give(struct uring_stream *src, uint64_t *moved)
{
    struct uring_bulk *b = src->bulk;
    struct uring_stream *dst = b->to;
    if (b->blocked || is_failing(dst))
        return STEP_WAIT;
    ssize_t n;
    do {
        n = splice(b->pipe->out, NULL, dst->fd, NULL, b->in_pipe, SPLICE_F_NONBLOCK);
    } while (UNLIKELY(n < 0 && errno == EINTR));
    if (UNLIKELY(n < 0 && errno != EAGAIN)) {
        uring_set(dst, URING_READABLE | URING_PEER_DONE);
        uring_stream_fail(dst, socket_stream_reason(errno));
        return STEP_WAIT;
    }
    if (n > 0) {
        b->in_pipe -= (uint32_t)n;
        *moved += (uint64_t)n;
    }
    if (b->in_pipe == 0)
        return STEP_MORE;
    b->blocked = true;
    uring_stream_await_room(dst);
    return STEP_WAIT;
}

static enum step pump(struct uring_stream *src, uint64_t *moved)
{
    struct uring_bulk *b = src->bulk;
    uint64_t before = *moved;
    if (src->held) /* of the multishot receive that was in the kernel before */
        return STEP_OVER;
    for (;;) {
        if (b->in_pipe > 0 && give(src, moved) != STEP_MORE)
            return STEP_WAIT;
        if (b->left == 0)
            return STEP_OVER;
        if (!may_take(src) || is_failing(b->to))
            return STEP_WAIT;
        if (*moved - before >= RECEIVE_BYTES_PER_TURN)
            return STEP_AGAIN;
        enum step step = take(src);
        if (step != STEP_MORE)
            return step;
    }
}

/* Whether copying would cost less: again and again little came. */
static bool is_lean(struct uring_stream *src, uint64_t moved)
{
    struct uring_bulk *b = src->bulk;
    if (moved >= LEAN_BYTES)
        b->lean = 0;
    else if (moved > 0 && b->in_pipe == 0 && !uring_has(src, URING_READABLE))
        b->lean++;
    return b->lean >= LEAN_TIMES && b->in_pipe == 0;
}

void uring_bulk_run(struct uring_stream *src)
{
    struct stream *s = &src->s;
    uint64_t moved = 0;
    list_del(&src->link); /* whether there is more to do is decided anew */
    enum step step = pump(src, &moved);
    s->loop->stats.bulk_bytes += moved;
    if (step == STEP_WAIT && is_lean(src, moved))
        step = STEP_OVER;
    if (src->bulk->in_pipe == 0)
        drop_pipe(src);
    if (step == STEP_AGAIN)
        uring_stream_ready(src);
    if (step == STEP_OVER || step == STEP_ENDED)
        part(src);
    if (step == STEP_OVER || moved > 0)
        s->ops->moved(s, moved, step == STEP_OVER);
}
