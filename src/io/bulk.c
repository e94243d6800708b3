/* SPDX-License-Identifier: MIT */
/*
 * Bulk: socket ──splice──▶ pipe ──splice──▶ socket, both on readiness and both in the turn of the
 * source, so that a pipe is full only while the destination has no room.
 *
 * Nothing is taken from the source before the pipe is empty. So "try again" from the source can
 * only mean that it has nothing, and an end or a failure of it shows when all has been moved. What
 * must stay true: bytes in a pipe belong to exactly one pair, and a pipe that goes back to the pool
 * is empty.
 *
 * After splice(2) took less than it was asked for, or all that was wanted, the source may or may
 * not have more. The kernel is asked (FIONREAD), because `readable` must be off when it has none:
 * a connection that is to be used again must look as quiet as it is.
 */
#include "io/bulk_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* A bulk that moves less than this at a time, so many times in a row, costs more than copying. */
#define LEAN_BYTES (8 * 1024)
#define LEAN_TIMES 4

static const struct bulk_engine *engine_of(const struct bulk_part *b)
{
    return b->end.s->loop->engine->bulks;
}

static bool has(const struct bulk_part *b, uint32_t bits)
{
    return (b->end.s->engine_bits & bits) != 0;
}

static void set(const struct bulk_part *b, uint32_t bits)
{
    b->end.s->engine_bits |= bits;
}

static void clear(const struct bulk_part *b, uint32_t bits)
{
    b->end.s->engine_bits &= ~bits;
}

static bool may_take(const struct bulk_part *src)
{
    const struct bulk_engine *e = engine_of(src);
    uint32_t needed = e->want_read | e->readable;
    return (src->end.s->engine_bits & (needed | e->never)) == needed;
}

static bool is_failing(const struct bulk_part *b)
{
    return has(b, engine_of(b)->fail_due | engine_of(b)->failed);
}

bool bulk_part_goes_on(const struct bulk_part *src)
{
    if (!src || !src->to || is_failing(src->to))
        return false;
    return src->queued > 0 || may_take(src);
}

/* ---- begin and end ---- */

static struct bulk_part *take_part(struct bulk_end end)
{
    struct bulk_part *b = *end.place;
    if (b)
        return b;
    b = slab_get_zeroed(&end.s->loop->bulk_parts);
    if (b)
        b->end = end;
    *end.place = b;
    return b;
}

static void leave(struct bulk_part *b)
{
    if (!b || b->to || b->from)
        return;
    *b->end.place = NULL;
    slab_put(&b->end.s->loop->bulk_parts, b);
}

static struct pipe *find_pipe(struct loop *loop)
{
    struct pipe *p = pipe_get(&loop->pipes, loop->now_ns);
    if (!p)
        loop->stats.pipes_starved++;
    return p;
}

static void drop_pipe(struct bulk_part *src)
{
    if (src->pipe)
        pipe_put(&src->end.s->loop->pipes, src->pipe, src->queued == 0);
    src->pipe = NULL;
}

bool bulk_part_join(struct bulk_end src, struct bulk_end dst, uint64_t bytes)
{
    struct loop *loop = src.s->loop;
    struct pipe *pipe = find_pipe(loop);
    if (!pipe)
        return false;
    struct bulk_part *from = take_part(src);
    struct bulk_part *to = from ? take_part(dst) : NULL;
    if (!to) {
        pipe_put(&loop->pipes, pipe, true);
        leave(from);
        return false;
    }
    from->to = to;
    from->pipe = pipe;
    from->left = bytes;
    to->from = from;
    const struct bulk_engine *e = engine_of(from);
    set(from, e->src | e->want_read);
    set(to, e->dst | e->sending);
    loop->stats.bulks++;
    return true;
}

/* Parts the two; nobody is told. What is in the pipe is lost. */
static void part(struct bulk_part *src)
{
    const struct bulk_engine *e = engine_of(src);
    struct bulk_part *dst = src->to;
    drop_pipe(src);
    *src = (struct bulk_part){.end = src->end, .from = src->from};
    dst->from = NULL;
    clear(src, e->src);
    clear(dst, e->dst | e->sending);
    leave(src);
    leave(dst);
}

void bulk_part_drop(struct bulk_part *b)
{
    const struct bulk_engine *e = engine_of(b);
    struct bulk_part *src = b->from;
    if (b->to)
        part(b); /* frees b, unless it is a destination too */
    if (!src)
        return;
    struct stream *s = src->end.s;
    s->engine_bits &= ~e->want_read;
    part(src);
    if (s->engine_bits & (e->fail_due | e->error))
        e->ready(s); /* that waited for its bytes to be moved */
}

void bulk_part_writable(const struct bulk_part *dst)
{
    struct bulk_part *src = dst->from;
    if (src->blocked) {
        src->blocked = false;
        engine_of(src)->ready(src->end.s);
    }
}

/* ---- moving ---- */

/* splice(2) said "end" or "try again": what a receive would say is exact. */
static enum bulk_step took_nothing(struct bulk_part *src)
{
    const struct bulk_engine *e = engine_of(src);
    char byte;
    ssize_t n;
    do {
        n = recv(src->end.fd, &byte, 1, MSG_PEEK);
    } while (UNLIKELY(n < 0 && errno == EINTR));
    if (n > 0)
        return BULK_MORE;
    if (n == 0 && !has(src, e->fail_due))
        return BULK_ENDED;
    clear(src, e->readable);
    if (n < 0 && errno == EAGAIN)
        clear(src, e->peer_done);
    else if (n < 0)
        e->fail(src->end.s, socket_stream_reason(errno));
    return BULK_WAIT;
}

/* Notes when the kernel has no more now; an edge announces what comes later, but for a FIN. */
static void look_for_more(struct bulk_part *src)
{
    const struct bulk_engine *e = engine_of(src);
    int unread = 1;
    if (!has(src, e->peer_done) && ioctl(src->end.fd, FIONREAD, &unread) == 0 && unread == 0)
        clear(src, e->readable);
}

/* Into the pipe: bytes, 0 for nothing, or -errno. */
static ssize_t splice_in(const struct bulk_part *src, size_t wanted)
{
    ssize_t n;
    do {
        n = splice(src->end.fd, NULL, src->pipe->in, NULL, wanted, SPLICE_F_NONBLOCK);
    } while (UNLIKELY(n < 0 && errno == EINTR));
    if (UNLIKELY(n < 0))
        return errno == EAGAIN ? 0 : -errno;
    return n;
}

/* Out of it: bytes, 0 when there is no room, or -errno. */
static ssize_t splice_out(const struct bulk_part *src)
{
    ssize_t n;
    do {
        n = splice(src->pipe->out, NULL, src->to->end.fd, NULL, src->queued, SPLICE_F_NONBLOCK);
    } while (UNLIKELY(n < 0 && errno == EINTR));
    if (UNLIKELY(n < 0))
        return errno == EAGAIN ? 0 : -errno;
    return n;
}

static enum bulk_step could_not_take(struct bulk_part *src, int error)
{
    const struct bulk_engine *e = engine_of(src);
    if (error == EINVAL || error == EOPNOTSUPP || error == ENOSYS || error == ENOMEM)
        return BULK_OVER; /* this kernel cannot, or not now */
    clear(src, e->readable);
    e->fail(src->end.s, socket_stream_reason(error));
    return BULK_WAIT;
}

/* Into the empty pipe. */
static enum bulk_step take(struct bulk_part *src)
{
    if (!src->pipe)
        src->pipe = find_pipe(src->end.s->loop);
    if (!src->pipe)
        return BULK_OVER;
    size_t wanted = (size_t)MIN(src->left, (uint64_t)src->pipe->room);
    ssize_t n = splice_in(src, wanted);
    if (UNLIKELY(n == 0)) {
        enum bulk_step step = took_nothing(src);
        if (step != BULK_MORE)
            return step;
        n = splice_in(src, wanted); /* they came in between */
        if (n == 0)
            return BULK_OVER; /* they cannot be spliced, such as those behind urgent ones */
    }
    if (UNLIKELY(n < 0))
        return could_not_take(src, (int)-n);
    src->queued = (uint32_t)n;
    if (src->left != BULK_UNTIL_EOF)
        src->left -= (uint64_t)n;
    if (src->left == 0 || (size_t)n < wanted)
        look_for_more(src);
    return BULK_MORE;
}

/* Out of the pipe, until it is empty or the kernel says that there is no room: less than all may
 * also mean that a signal came. */
static enum bulk_step give(struct bulk_part *src, uint64_t *moved)
{
    struct bulk_part *dst = src->to;
    const struct bulk_engine *e = engine_of(dst);
    if (src->blocked || is_failing(dst))
        return BULK_WAIT;
    while (src->queued > 0) {
        ssize_t n = splice_out(src);
        if (UNLIKELY(n < 0)) {
            set(dst, e->readable | e->peer_done);
            e->fail(dst->end.s, socket_stream_reason((int)-n));
            return BULK_WAIT;
        }
        if (n == 0) {
            src->blocked = true;
            e->await_room(dst->end.s);
            return BULK_WAIT;
        }
        src->queued -= (uint32_t)n;
        *moved += (uint64_t)n;
    }
    return BULK_MORE;
}

enum bulk_step bulk_part_pump(struct bulk_part *src, uint64_t *moved)
{
    uint64_t before = *moved;
    for (;;) {
        if (src->queued > 0 && give(src, moved) != BULK_MORE)
            return BULK_WAIT;
        if (src->left == 0)
            return BULK_OVER;
        if (!may_take(src) || is_failing(src->to))
            return BULK_WAIT;
        if (*moved - before >= RECEIVE_BYTES_PER_TURN)
            return BULK_AGAIN;
        enum bulk_step step = take(src);
        if (step != BULK_MORE)
            return step;
    }
}

/* Whether copying would cost less: again and again little came. */
static bool is_lean(struct bulk_part *src, uint64_t moved)
{
    if (moved >= LEAN_BYTES)
        src->lean = 0;
    else if (moved > 0 && src->queued == 0 && !has(src, engine_of(src)->readable))
        src->lean++;
    return src->lean >= LEAN_TIMES && src->queued == 0;
}

void bulk_part_settle(struct bulk_part *src, enum bulk_step step, uint64_t moved)
{
    struct stream *s = src->end.s;
    s->loop->stats.bulk_bytes += moved;
    if (step == BULK_WAIT && is_lean(src, moved))
        step = BULK_OVER;
    if (src->queued == 0)
        drop_pipe(src);
    if (step == BULK_AGAIN)
        engine_of(src)->ready(s);
    if (step == BULK_OVER || step == BULK_ENDED)
        part(src);
    if (step == BULK_OVER || moved > 0)
        s->ops->moved(s, moved, step == BULK_OVER);
}
