/* SPDX-License-Identifier: MIT */
/*
 * Bulk over epoll: socket ──splice──▶ pipe ──splice──▶ socket, both on readiness and both in the
 * turn of the source, so that a pipe is full only while the destination has no room.
 *
 * Nothing is taken from the source before the pipe is empty. So "try again" from the source can
 * only mean that it has nothing, and an end or a failure of it shows when all has been moved. What
 * must stay true: bytes in a pipe belong to exactly one pair, and a pipe that goes back to the pool
 * is empty.
 *
 * After splice(2) took less than it was asked for, or all that was wanted, the source may or may
 * not have more. The kernel is asked (FIONREAD), because READABLE must be off when it has none:
 * a connection that is to be used again must look as quiet as it is.
 */
#include "base/limits.h"
#include "io/epoll_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
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

static bool may_take(const struct epoll_stream *src)
{
    const uint32_t needed = STREAM_WANT_READ | STREAM_READABLE;
    const uint32_t never = STREAM_EOF | STREAM_FAILED | STREAM_CLOSED;
    return (src->s.engine_bits & (needed | never)) == needed;
}

static bool is_failing(const struct epoll_stream *e)
{
    return has(e, STREAM_FAIL_DUE | STREAM_FAILED);
}

bool epoll_bulk_goes_on(const struct epoll_stream *e)
{
    if (!has(e, STREAM_BULK_SRC) || is_failing(e->bulk->to))
        return false;
    return e->bulk->in_pipe > 0 || may_take(e);
}

/* ---- begin and end ---- */

static bool take_part(struct epoll_stream *e)
{
    if (!e->bulk)
        e->bulk = slab_get_zeroed(&loop_of(e)->bulks);
    return e->bulk != NULL;
}

static void leave(struct epoll_stream *e)
{
    if (!e->bulk || e->bulk->to || e->bulk->from)
        return;
    slab_put(&loop_of(e)->bulks, e->bulk);
    e->bulk = NULL;
}

static struct pipe *find_pipe(struct epoll_loop *l)
{
    struct loop *loop = &l->loop;
    struct pipe *p = pipe_get(&loop->pipes, loop->now_ns);
    if (!p)
        loop->stats.pipes_starved++;
    return p;
}

static void drop_pipe(struct epoll_stream *src)
{
    struct epoll_bulk *b = src->bulk;
    if (b->pipe)
        pipe_put(&loop_of(src)->loop.pipes, b->pipe, b->in_pipe == 0);
    b->pipe = NULL;
}

/* Parts the two; nobody is told. What is in the pipe is lost. */
static void part(struct epoll_stream *src)
{
    struct epoll_bulk *b = src->bulk;
    struct epoll_stream *dst = b->to;
    drop_pipe(src);
    *b = (struct epoll_bulk){.from = b->from};
    dst->bulk->from = NULL;
    clear(src, STREAM_BULK_SRC);
    clear(dst, STREAM_BULK_DST | STREAM_SENDING);
    leave(src);
    leave(dst);
}

void epoll_bulk_drop(struct epoll_stream *e)
{
    if (has(e, STREAM_BULK_SRC))
        part(e);
    if (!has(e, STREAM_BULK_DST))
        return;
    struct epoll_stream *src = e->bulk->from;
    clear(src, STREAM_WANT_READ);
    part(src);
    if (has(src, STREAM_FAIL_DUE | STREAM_ERROR))
        epoll_make_ready(src); /* that waited for its bytes to be moved */
}

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

static bool join(struct epoll_stream *src, struct epoll_stream *dst, uint64_t bytes)
{
    const uint32_t never = STREAM_CONNECTING | STREAM_FAIL_DUE | STREAM_FAILED | STREAM_CLOSED;
    CHECK(!has(src, STREAM_BULK_SRC));
    if (has(src, never | STREAM_EOF) || has(dst, never | STREAM_SENDING | STREAM_SHUTDOWN))
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
    set(src, STREAM_BULK_SRC | STREAM_WANT_READ);
    set(dst, STREAM_BULK_DST | STREAM_SENDING);
    if (!has(src, STREAM_REGISTERED))
        set(src, STREAM_READABLE); /* nobody watched: have a look */
    epoll_make_ready(src);
    src->s.loop->stats.bulks++;
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

void epoll_bulk_writable(struct epoll_stream *dst)
{
    struct epoll_stream *src = dst->bulk->from;
    if (src->bulk->blocked) {
        src->bulk->blocked = false;
        epoll_make_ready(src);
    }
}

/* ---- moving ---- */

/* splice(2) said "end" or "try again": what a receive would say is exact. */
static enum step took_nothing(struct epoll_stream *src)
{
    char byte;
    ssize_t n;
    do {
        n = recv(src->fd, &byte, 1, MSG_PEEK);
    } while (UNLIKELY(n < 0 && errno == EINTR));
    if (n > 0)
        return STEP_OVER; /* bytes that cannot be spliced, such as those behind urgent ones */
    if (n == 0 && !has(src, STREAM_FAIL_DUE))
        return STEP_ENDED;
    clear(src, STREAM_READABLE);
    if (n < 0 && errno == EAGAIN)
        clear(src, STREAM_PEER_DONE);
    else if (n < 0)
        epoll_fail(src, socket_stream_reason(errno));
    return STEP_WAIT;
}

/* Notes when the kernel has no more now; an edge announces what comes later, but for a FIN. */
static void look_for_more(struct epoll_stream *src)
{
    int unread = 1;
    if (!has(src, STREAM_PEER_DONE) && ioctl(src->fd, FIONREAD, &unread) == 0 && unread == 0)
        clear(src, STREAM_READABLE);
}

/* Into the empty pipe. */
static enum step take(struct epoll_stream *src)
{
    struct epoll_bulk *b = src->bulk;
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
        clear(src, STREAM_READABLE);
        epoll_fail(src, socket_stream_reason(errno));
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
static enum step give(struct epoll_stream *src, uint64_t *moved)
{
    struct epoll_bulk *b = src->bulk;
    struct epoll_stream *dst = b->to;
    if (b->blocked || is_failing(dst))
        return STEP_WAIT;
    ssize_t n;
    do {
        n = splice(b->pipe->out, NULL, dst->fd, NULL, b->in_pipe, SPLICE_F_NONBLOCK);
    } while (UNLIKELY(n < 0 && errno == EINTR));
    if (UNLIKELY(n < 0 && errno != EAGAIN)) {
        set(dst, STREAM_READABLE | STREAM_PEER_DONE);
        epoll_fail(dst, socket_stream_reason(errno));
        return STEP_WAIT;
    }
    if (n > 0) {
        clear(dst, STREAM_BULK_FOLLOWS);
        b->in_pipe -= (uint32_t)n;
        *moved += (uint64_t)n;
    }
    if (b->in_pipe == 0)
        return STEP_MORE;
    b->blocked = true;
    epoll_watch(dst, EPOLLOUT);
    return STEP_WAIT;
}

static enum step pump(struct epoll_stream *src, uint64_t *moved)
{
    struct epoll_bulk *b = src->bulk;
    uint64_t before = *moved;
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
static bool is_lean(struct epoll_stream *src, uint64_t moved)
{
    struct epoll_bulk *b = src->bulk;
    if (moved >= LEAN_BYTES)
        b->lean = 0;
    else if (moved > 0 && b->in_pipe == 0 && !has(src, STREAM_READABLE))
        b->lean++;
    return b->lean >= LEAN_TIMES && b->in_pipe == 0;
}

void epoll_bulk_run(struct epoll_stream *src)
{
    struct stream *s = &src->s;
    uint64_t moved = 0;
    list_del(&src->link); /* whether there is more to do is decided anew */
    enum step step = pump(src, &moved);
    s->loop->stats.bulk_bytes += moved;
    if (moved == 0)
        let_go(src->bulk->to);
    if (step == STEP_WAIT && is_lean(src, moved))
        step = STEP_OVER;
    if (src->bulk->in_pipe == 0)
        drop_pipe(src);
    if (step == STEP_AGAIN)
        epoll_make_ready(src);
    if (step == STEP_OVER || step == STEP_ENDED)
        part(src);
    if (step == STEP_OVER || moved > 0)
        s->ops->moved(s, moved, step == STEP_OVER);
}
