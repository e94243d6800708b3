/* SPDX-License-Identifier: MIT */
/*
 * Sending. A small send is copied to the scratch, queued, and leaves with the io_uring_enter that
 * ends the turn; SEND_DONE is said at once. It never waits in the kernel (MSG_DONTWAIT): when the
 * enter returns it is over, and it makes a completion only if it was short or failed (MSG_WAITALL
 * makes "short" a failure, IOSQE_CQE_SKIP_SUCCESS makes the rest silent). So a completion of a send
 * never cuts a sleep short, the scratch is free again for the next turn, and what was not taken is
 * parked and follows by ourselves when a poll finds room.
 *
 * A stream has one small send at most on its way, and nothing overtakes it: whatever comes behind
 * is joined to it, or takes it along (uring_send_early), or waits until it is settled.
 *
 * Large sends go to the kernel at once, from where they lie.
 */
#include "io/push.h"
#include "io/uring_priv.h"

#include <errno.h>
#include <string.h>

/* ---- small sends ---- */

static struct uring_send *find_queued(const struct uring_stream *e)
{
    struct uring_loop *l = uring_loop_of(e->s.loop);
    for (uint32_t i = l->sends_count; i-- > 0;) {
        if (l->sends[i].e == e)
            return &l->sends[i];
    }
    CHECK_FAIL("a queued send has its record");
}

static bool is_submitted(const struct uring_loop *l, const struct uring_send *r)
{
    uint32_t head = __atomic_load_n(l->ring.sq_head, __ATOMIC_ACQUIRE);
    return (int32_t)(head - r->at) > 0;
}

/* The entry stays where it is in the queue, and does nothing. */
static void take_back(struct uring_loop *l, struct uring_send *r)
{
    struct io_uring_sqe *sqe = &l->ring.sqes[r->at & l->ring.sq_mask];
    CHECK(sqe->opcode == IORING_OP_SEND);
    *sqe = (struct io_uring_sqe){.opcode = IORING_OP_NOP, .flags = IOSQE_CQE_SKIP_SUCCESS};
    uring_clear(r->e, URING_QUEUED);
    r->e = NULL;
}

static void copy_slices(uint8_t *to, const struct slice *slices, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        memcpy(to, slices[i].p, slices[i].n);
        to += slices[i].n;
    }
}

static void queue_new(struct uring_loop *l, struct uring_stream *e, uint8_t *p, uint32_t n)
{
    struct io_uring_sqe *sqe = uring_get_sqe(l);
    sqe->opcode = IORING_OP_SEND;
    sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
    sqe->fd = e->fd;
    sqe->addr = (uint64_t)(uintptr_t)p;
    sqe->len = n;
    sqe->msg_flags = MSG_NOSIGNAL | MSG_DONTWAIT | MSG_WAITALL;
    sqe->user_data = (uint64_t)l->sends_count << 3 | URING_TAG_SEND;
    l->sends[l->sends_count++] =
        (struct uring_send){.e = e, .p = p, .n = n, .at = l->ring.tail - 1};
    uring_set(e, URING_QUEUED);
}

/* Joins the bytes to the stream's queued send; false when they do not fit. */
static bool join_queued(struct uring_loop *l, struct uring_stream *e, const struct slice *slices,
                        size_t count, uint32_t total)
{
    struct uring_send *r = find_queued(e);
    if (is_submitted(l, r) || r->n + total > URING_SEND_BYTES_MAX)
        return false;
    if (r->p + r->n != l->scratch + l->scratch_used) {
        if (l->scratch_used + r->n + total > URING_SCRATCH_BYTES)
            return false;
        r->p = memcpy(l->scratch + l->scratch_used, r->p, r->n);
        l->scratch_used += r->n;
    } else if (l->scratch_used + total > URING_SCRATCH_BYTES) {
        return false;
    }
    copy_slices(r->p + r->n, slices, count);
    l->scratch_used += total;
    r->n += total;
    struct io_uring_sqe *sqe = &l->ring.sqes[r->at & l->ring.sq_mask];
    sqe->addr = (uint64_t)(uintptr_t)r->p;
    sqe->len = r->n;
    return true;
}

static bool queue(struct uring_stream *e, const struct slice *slices, size_t count, uint32_t total)
{
    struct uring_loop *l = uring_loop_of(e->s.loop);
    if (UNLIKELY(!l->batching || !l->ring.enabled || e->backlog))
        return false;
    if (uring_has(e, URING_QUEUED))
        return join_queued(l, e, slices, count, total);
    if (l->sends_count == ARRAY_LEN(l->sends) || l->scratch_used + total > URING_SCRATCH_BYTES)
        return false;
    uint8_t *p = l->scratch + l->scratch_used;
    copy_slices(p, slices, count);
    l->scratch_used += total;
    queue_new(l, e, p, total);
    l->counters.sends_queued++;
    return true;
}

uint32_t uring_send_queued(const struct uring_stream *e)
{
    return uring_has(e, URING_QUEUED) ? find_queued(e)->n : 0;
}

/* ---- large sends ---- */

/* Sends now, behind a small send that is taken along. */
static enum send_result send_now(struct uring_stream *e, const struct slice *slices, size_t count,
                                 size_t total)
{
    struct uring_loop *l = uring_loop_of(e->s.loop);
    struct slice with_early[SEND_SLICES_MAX + 1];
    struct uring_send *r = uring_has(e, URING_QUEUED) ? find_queued(e) : NULL;
    if (UNLIKELY(e->backlog || (r && is_submitted(l, r)))) {
        uring_set(e, URING_SENDING); /* not before what is on its way */
        (void)uring_stream_park(e, slices, count, 0);
        return SEND_PENDING;
    }
    if (r) {
        with_early[0] = (struct slice){r->p, r->n, NULL};
        memcpy(with_early + 1, slices, count * sizeof *slices);
        take_back(l, r);
        slices = with_early;
        total += with_early[0].n;
        count++;
    }
    ssize_t sent = push_slices(e->fd, slices, count, uring_has(e, URING_LAST) ? MSG_MORE : 0);
    if (LIKELY(sent == (ssize_t)total))
        return SEND_DONE;
    uring_set(e, URING_SENDING);
    if (sent < 0) {
        uring_set(e, URING_READABLE | URING_PEER_DONE);
        uring_stream_fail(e, socket_stream_reason((int)-sent));
    } else if (r && (size_t)sent < slices->n) {
        /* The scratch does not last: a copy of what is left of it first. */
        if (uring_stream_park_copy(e, slices->p + sent, slices->n - (uint32_t)sent))
            (void)uring_stream_park(e, slices + 1, count - 1, 0);
    } else {
        (void)uring_stream_park(e, slices, count, (size_t)sent);
    }
    return SEND_PENDING;
}

enum send_result uring_send(struct stream *s, const struct slice *slices, size_t count)
{
    struct uring_stream *e = uring_stream_of(s);
    CHECK(!uring_has(e, URING_SENDING | URING_SHUTDOWN | URING_FAILED | URING_CLOSED));
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        CHECK(slices[i].n > 0);
        total += slices[i].n;
    }
    if (UNLIKELY(uring_has(e, URING_CONNECTING | URING_FAIL_DUE))) {
        uring_set(e, URING_SENDING);
        if (!uring_has(e, URING_FAIL_DUE))
            (void)uring_stream_park(e, slices, count, 0);
        return SEND_PENDING;
    }
    if (total <= URING_SEND_BYTES_MAX && !uring_has(e, URING_LAST) &&
        queue(e, slices, count, (uint32_t)total))
        return SEND_DONE;
    return send_now(e, slices, count, total);
}

void uring_last(struct stream *s)
{
    uring_set(uring_stream_of(s), URING_LAST);
}

void uring_send_early(struct uring_stream *e)
{
    struct uring_loop *l = uring_loop_of(e->s.loop);
    if (!uring_has(e, URING_QUEUED))
        return;
    struct uring_send *r = find_queued(e);
    if (is_submitted(l, r))
        return;
    struct slice early = {r->p, r->n, NULL};
    take_back(l, r);
    ssize_t sent = push_slices(e->fd, &early, 1, 0);
    if (UNLIKELY(sent < 0))
        uring_stream_fail(e, socket_stream_reason((int)-sent));
    else if (UNLIKELY(sent < (ssize_t)early.n))
        (void)uring_stream_park_copy(e, early.p + sent, early.n - (uint32_t)sent);
}

void uring_send_drop(struct uring_stream *e)
{
    struct uring_send *r = uring_has(e, URING_QUEUED) ? find_queued(e) : NULL;
    if (r && !is_submitted(uring_loop_of(e->s.loop), r))
        take_back(uring_loop_of(e->s.loop), r);
}

/* ---- completions ---- */

void uring_send_event(struct uring_loop *l, const struct io_uring_cqe *cqe)
{
    uint64_t i = cqe->user_data >> 3;
    CHECK(i < l->sends_count);
    l->sends[i].result = cqe->res;
    l->sends[i].failed = true;
    l->counters.sends_failed++;
}

static void settle_failed(struct uring_send *r)
{
    struct uring_stream *e = r->e;
    int result = r->result;
    if (result == -EAGAIN || result == -EINTR)
        result = 0;
    if (result < 0) {
        uring_set(e, URING_READABLE | URING_PEER_DONE);
        uring_stream_fail(e, socket_stream_reason(-result));
        return;
    }
    (void)uring_stream_park_copy(e, r->p + result, r->n - (uint32_t)result);
}

static void settle(struct uring_send *r)
{
    struct uring_stream *e = r->e;
    if (!e)
        return;
    uring_clear(e, URING_QUEUED);
    if (UNLIKELY(r->failed))
        settle_failed(r);
    if (UNLIKELY(uring_has(e, URING_CLOSED))) {
        uring_stream_settled(e);
    } else if (UNLIKELY(e->backlog || uring_has(e, URING_SHUTDOWN))) {
        uring_set(e, URING_WRITABLE);
        uring_stream_ready(e);
    }
}

void uring_sends_settle(struct uring_loop *l)
{
    uint32_t done = 0;
    while (done < l->sends_count && is_submitted(l, &l->sends[done]))
        settle(&l->sends[done++]);
    /* The kernel took less than was queued: it is short of memory. Their tags name places. */
    if (LIKELY(done == l->sends_count)) {
        l->sends_count = 0;
        l->scratch_used = 0;
        return;
    }
    for (uint32_t i = 0; i < done; i++)
        l->sends[i].e = NULL;
}

bool uring_flush(struct uring_stream *e)
{
    struct backlog *b = e->backlog;
    uring_clear(e, URING_WRITABLE);
    ssize_t sent = push_slices(e->fd, b->slices + b->first, b->count - b->first, 0);
    if (sent < 0) {
        uring_set(e, URING_READABLE | URING_PEER_DONE);
        uring_stream_fail(e, socket_stream_reason((int)-sent));
        return false;
    }
    return backlog_advance(b, (size_t)sent);
}
