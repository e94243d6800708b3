/* SPDX-License-Identifier: MIT */
/*
 * Multishot receives: the kernel puts what arrives for any stream into the next of the buffers we
 * offer, and tells. Each is an ordinary buffer of the loop; it is offered again once it was
 * delivered, unless somebody kept it, then another one is.
 *
 * They suit small messages alone: a stream whose messages overflow a buffer, a lack of buffers, and
 * whatever else ends a multishot receive all lead back to receiving by ourselves (URING_READABLE),
 * into large buffers. Nothing depends on a buffer being there.
 *
 * Bytes can so be received ahead of credit, for the kernel does not know of it. They are held, and
 * the receive is stopped at the first; URING_HELD_MAX bounds them for all streams together.
 */
#include "io/uring_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

static_assert(URING_HELD_ENTRIES - 1 >= URING_HELD_MAX + URING_BUFFERS, "all may be held");

static void held_init(struct uring_loop *l);

/* ---- buffers ---- */

static size_t offered_bytes(const struct uring_loop *l)
{
    return l->buffers_count * sizeof(struct io_uring_buf);
}

int uring_buffers_init(struct uring_loop *l)
{
    held_init(l);
    l->free_count = (uint16_t)l->buffers_count;
    for (uint16_t i = 0; i < l->buffers_count; i++)
        l->free_ids[i] = i;
    if (!l->multishot)
        return 0;
    void *p =
        mmap(NULL, offered_bytes(l), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return -errno;
    l->offered = p;
    if (uring_register_buffers(&l->ring, p, l->buffers_count) < 0)
        l->multishot = false; /* before 5.19 */
    return 0;
}

void uring_buffers_fini(struct uring_loop *l)
{
    loop_timer_stop(&l->loop, &l->park);
    for (uint32_t i = 0; i < l->buffers_count; i++)
        buf_put(&l->slots[i]);
    if (l->offered)
        (void)munmap(l->offered, offered_bytes(l));
    l->offered = NULL;
    free(l->receiving);
    l->receiving = NULL;
}

/* Whatever is offered may come back to be held. */
static bool may_offer(const struct uring_loop *l)
{
    uint32_t offered = l->buffers_count - l->free_count;
    return l->multishot && l->free_count > 0 && l->held_count + offered < URING_HELD_ENTRIES - 1;
}

static void offer(struct uring_loop *l, struct buf *b)
{
    uint16_t id = l->free_ids[--l->free_count];
    struct io_uring_buf *place = &l->offered->bufs[l->offered_tail & (l->buffers_count - 1)];
    l->slots[id] = b;
    place->addr = (uint64_t)(uintptr_t)b->data;
    place->len = URING_BUFFER_BYTES;
    place->bid = id;
    l->offered_tail++;
    __atomic_store_n(&l->offered->tail, l->offered_tail, __ATOMIC_RELEASE);
}

void uring_buffers_offer(struct uring_loop *l)
{
    while (may_offer(l)) {
        struct buf *b = buf_get(&l->loop, URING_BUFFER_BYTES);
        if (!b)
            return;
        offer(l, b);
    }
}

void uring_buffer_return(struct uring_loop *l, struct buf *b)
{
    if (b->refs == 1 && b->klass == BUF_SMALL && may_offer(l))
        offer(l, b);
    else
        buf_put(&b);
}

static struct buf *take_offered(struct uring_loop *l, uint32_t flags)
{
    uint32_t id = flags >> IORING_CQE_BUFFER_SHIFT;
    CHECK(flags & IORING_CQE_F_BUFFER);
    CHECK(id < l->buffers_count);
    struct buf *b = l->slots[id];
    CHECK(b != NULL);
    l->slots[id] = NULL;
    l->free_ids[l->free_count++] = (uint16_t)id;
    return b;
}

/* ---- held bytes ---- */

static void held_init(struct uring_loop *l)
{
    for (uint16_t i = 1; i + 1 < URING_HELD_ENTRIES; i++)
        l->held[i].next = (uint16_t)(i + 1);
    l->held_free = 1;
}

static void hold(struct uring_loop *l, struct uring_stream *e, struct buf *b, uint32_t n)
{
    uint16_t at = l->held_free;
    CHECK(at != 0); /* no more is offered than there is room for */
    l->held_free = l->held[at].next;
    l->held[at] = (struct uring_held){.buf = b, .n = n};
    uint16_t *last = &e->held;
    while (*last)
        last = &l->held[*last].next;
    *last = at;
    l->held_count++;
}

struct slice uring_held_pop(struct uring_stream *e)
{
    struct uring_loop *l = uring_loop_of(e->s.loop);
    uint16_t at = e->held;
    CHECK(at != 0);
    struct uring_held *h = &l->held[at];
    struct slice s = {h->buf->data, h->n, h->buf};
    e->held = h->next;
    h->next = l->held_free;
    l->held_free = at;
    l->held_count--;
    return s;
}

void uring_held_drop(struct uring_stream *e)
{
    while (e->held)
        uring_buffer_return(uring_loop_of(e->s.loop), uring_held_pop(e).buf);
}

/* ---- quiet streams ---- */

/* A clock hand over the receiving ones: who brought nothing since it last came by is parked. */
static void look_for_quiet(struct timer *t)
{
    struct uring_loop *l = container_of(t, struct uring_loop, park);
    for (uint32_t i = l->receiving_count; i-- > 0;) {
        struct uring_stream *e = l->receiving[i];
        if (uring_has(e, URING_ACTIVE)) {
            uring_clear(e, URING_ACTIVE);
        } else if (!uring_has(e, URING_STOPPING)) {
            e->small = 0;
            l->counters.parked++;
            uring_receive_stop(e);
        }
    }
    if (l->receiving_count > 0)
        loop_timer_set(&l->loop, t, l->park_ms);
}

static bool note_receiving(struct uring_loop *l, struct uring_stream *e)
{
    if (l->receiving_count == l->receiving_room) {
        uint32_t room = l->receiving_room ? 2 * l->receiving_room : 64;
        void *more = realloc(l->receiving, room * sizeof *l->receiving);
        if (!more)
            return false;
        l->receiving = more;
        l->receiving_room = room;
    }
    e->receiving_at = l->receiving_count;
    l->receiving[l->receiving_count++] = e;
    if (!timer_armed(&l->park)) {
        l->park.fn = look_for_quiet;
        loop_timer_set(&l->loop, &l->park, l->park_ms);
    }
    return true;
}

static void forget_receiving(struct uring_loop *l, struct uring_stream *e)
{
    struct uring_stream *last = l->receiving[--l->receiving_count];
    l->receiving[e->receiving_at] = last;
    last->receiving_at = e->receiving_at;
}

/* ---- multishot receives ---- */

bool uring_receive_start(struct uring_stream *e)
{
    struct uring_loop *l = uring_loop_of(e->s.loop);
    if (!l->multishot || e->small <= 0 || l->held_count >= URING_HELD_MAX)
        return false;
    if (l->free_count > l->buffers_count / 2 || !note_receiving(l, e))
        return false;
    struct io_uring_sqe *sqe = uring_get_sqe(l);
    sqe->opcode = IORING_OP_RECV;
    sqe->flags = IOSQE_BUFFER_SELECT;
    /* We have just seen it empty: looking before waiting would find nothing. */
    sqe->ioprio = IORING_RECV_MULTISHOT | IORING_RECVSEND_POLL_FIRST;
    sqe->fd = e->fd;
    sqe->user_data = uring_tag(e, URING_TAG_RECV);
    uring_set(e, URING_RECV | URING_ACTIVE);
    return true;
}

void uring_receive_stop(struct uring_stream *e)
{
    if (!uring_has(e, URING_RECV) || uring_has(e, URING_STOPPING))
        return;
    uring_set(e, URING_STOPPING);
    struct io_uring_sqe *sqe = uring_get_sqe(uring_loop_of(e->s.loop));
    sqe->opcode = IORING_OP_ASYNC_CANCEL;
    sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
    sqe->fd = -1;
    sqe->addr = uring_tag(e, URING_TAG_RECV);
}

/* Why a multishot receive ended, and what follows. */
static void note_end(struct uring_loop *l, struct uring_stream *e, int result)
{
    switch (result) {
    case 0: uring_set(e, URING_END | URING_READABLE | URING_PEER_DONE); return;
    case -ECANCELED: break;
    case -ENOBUFS:
        l->counters.no_buffers++;
        uring_set(e, URING_READABLE);
        break;
    case -EINVAL: /* before 6.0 */
        l->multishot = false;
        uring_set(e, URING_READABLE);
        break;
    case -EINTR:
    case -EAGAIN: uring_set(e, URING_READABLE); break;
    default:
        if (result < 0) {
            uring_set(e, URING_PEER_DONE);
            uring_stream_fail(e, socket_stream_reason(-result));
        }
        return;
    }
    if (e->small < 0)
        uring_set(e, URING_READABLE); /* it carries more than suits a provided buffer */
}

void uring_receive_event(struct uring_loop *l, struct uring_stream *e,
                         const struct io_uring_cqe *cqe)
{
    bool ended = !(cqe->flags & IORING_CQE_F_MORE);
    if (ended) {
        forget_receiving(l, e);
        uring_clear(e, URING_RECV | URING_STOPPING);
    }
    struct buf *b = cqe->flags & IORING_CQE_F_BUFFER ? take_offered(l, cqe->flags) : NULL;
    if (uring_has(e, URING_CLOSED)) {
        l->counters.late++;
        if (b)
            uring_buffer_return(l, b);
        return;
    }
    if (b && cqe->res > 0) {
        uring_set(e, URING_ACTIVE);
        hold(l, e, b, (uint32_t)cqe->res);
        if (cqe->res == URING_BUFFER_BYTES)
            e->small = -URING_SMALL_RUN;
    } else if (b) {
        uring_buffer_return(l, b);
    }
    if (ended)
        note_end(l, e, cqe->res);
    /* More is coming than suits this way of receiving, or than was asked for. */
    if (e->small < 0 || (e->held && !uring_has(e, URING_WANT_READ)))
        uring_receive_stop(e);
    uring_stream_ready(e);
}
