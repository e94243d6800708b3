/* SPDX-License-Identifier: MIT */
/*
 * Both ends of a TCP exchange are the same thing but for how they begin and end: `struct pipe_end`
 * holds what they share. The idle time of the pair is kept by the backend's end, whose timer every
 * byte of either direction pushes back.
 */
#include "forward/tcp_side.h"

#include "base/check.h"
#include "forward/bulk.h"
#include "forward/client.h"
#include "forward/exchange.h"
#include "forward/forwarder.h"

/* After so many large receives in a row a direction is moved inside the kernel; the loop itself
 * gives that up when what comes is small again. */
#define LARGE_BYTES (32u * 1024)
#define LARGE_TIMES 8

struct pipe_end {
    struct forwarder *f;
    struct stream *stream;
    bool sending;
    bool shutdown_due;
    uint8_t large; /* receives in a row, up to LARGE_TIMES */
};

struct client_tcp {
    struct client base;
    struct pipe_end end;
    struct slice first; /* came before there was a backend to take it */
};

struct backend_tcp {
    struct side side;
    struct pipe_end end;
    struct timer timer; /* connect, then idle */
    struct backend *backend;
    bool connected;
};

/* ---- what both ends share ---- */

static int pipe_body(struct pipe_end *e, struct side *s, struct slice piece)
{
    struct outbox *o = outbox_for(e->f, s);
    if (!outbox_add(o, piece))
        return -(int)REASON_overload;
    return outbox_has_room(o) ? SIDE_OK : SIDE_FULL;
}

static bool pipe_flush(struct pipe_end *e, struct side *s)
{
    struct forwarder *f = e->f;
    if (f->outbox.owner == s && f->outbox.count > 0) {
        CHECK(!e->sending);
        e->sending = outbox_send(f, &f->outbox, e->stream) == SEND_PENDING;
    }
    if (e->shutdown_due) {
        e->shutdown_due = false;
        stream_shutdown(e->stream);
    }
    return !e->sending;
}

static void pipe_close(struct pipe_end *e, struct side *s, bool reset)
{
    outbox_drop(e->f, s);
    stream_close(&e->stream, reset ? STREAM_CLOSE_RESET : STREAM_CLOSE_NORMAL);
}

static void side_data(struct pipe_end *e, struct side *s, struct slice in)
{
    struct exchange *x = s->x;
    if (in.n < LARGE_BYTES)
        e->large = 0;
    else if (e->large < LARGE_TIMES)
        e->large++;
    if (!exchange_body(x, s, in))
        return;
    /* What it has left, if anything, and the eof are delivered next. */
    if (e->f->outbox.count > 0)
        e->f->outbox.last = stream_is_ending(e->stream);
    exchange_flush(x, s);
}

static void side_moved(struct pipe_end *e, struct side *s, uint64_t n, bool over)
{
    if (over)
        e->large = 0;
    (void)bulk_moved(s->x, s, n, over);
}

static struct stream *pipe_bulk_from(struct pipe_end *e, uint64_t *ret_bytes)
{
    *ret_bytes = BULK_UNTIL_EOF;
    return e->large == LARGE_TIMES ? e->stream : NULL;
}

static void side_eof(struct side *s)
{
    struct exchange *x = s->x;
    bulk_over(x, s);
    if (exchange_end(x, s, span_of(NULL, 0)))
        exchange_flush(x, s);
}

/* ---- the client's end ---- */

static struct client_tcp *client_of(struct side *s)
{
    struct client *base = container_of(s, struct client, side);
    return container_of(base, struct client_tcp, base);
}

static void client_end(struct client_tcp *c, bool reset)
{
    struct forwarder *f = c->base.f;
    CHECK(!c->base.side.x);
    pipe_close(&c->end, &c->base.side, reset);
    slice_put(&c->first);
    atomic_fetch_sub_explicit(&c->base.front->connections, 1, memory_order_relaxed);
    forwarder_client_closed(f, &c->base);
    slab_put(&f->clients, c);
}

static void client_data(struct stream *s, struct slice in)
{
    struct client_tcp *c = s->user;
    side_data(&c->end, &c->base.side, in);
}

static void client_eof(struct stream *s)
{
    struct client_tcp *c = s->user;
    side_eof(&c->base.side);
}

static void client_sent(struct stream *s)
{
    struct client_tcp *c = s->user;
    c->end.sending = false;
    exchange_writable(c->base.side.x, &c->base.side);
}

static void client_failed(struct stream *s, enum reason why)
{
    (void)why;
    struct client_tcp *c = s->user;
    exchange_client_failed(c->base.side.x, REASON_client_reset);
}

static void client_moved(struct stream *s, uint64_t n, bool over)
{
    struct client_tcp *c = s->user;
    side_moved(&c->end, &c->base.side, n, over);
}

static const struct stream_ops client_stream_ops = {
    .data = client_data,
    .eof = client_eof,
    .sent = client_sent,
    .failed = client_failed,
    .moved = client_moved,
};

static int client_body(struct side *s, struct slice piece)
{
    return pipe_body(&client_of(s)->end, s, piece);
}

static int client_side_end(struct side *s, struct span trailers)
{
    (void)trailers;
    client_of(s)->end.shutdown_due = true;
    return SIDE_OK;
}

static bool client_flush(struct side *s)
{
    return pipe_flush(&client_of(s)->end, s);
}

static void client_credit(struct side *s, bool on)
{
    struct client_tcp *c = client_of(s);
    stream_read(c->base.stream, on);
    if (LIKELY(!on || c->first.n == 0))
        return;
    struct slice first = c->first;
    c->first = (struct slice){0};
    side_data(&c->end, s, first);
    slice_put(&first);
}

static struct stream *client_bulk_from(struct side *s, uint64_t *ret_bytes)
{
    return pipe_bulk_from(&client_of(s)->end, ret_bytes);
}

static struct stream *client_bulk_to(struct side *s)
{
    return client_of(s)->end.stream;
}

static void client_bulk(struct side *s, bool on)
{
    client_of(s)->end.sending = on;
}

/* TCP has no words for an error: the connection just ends. */
static bool client_answer(struct side *s, const struct reply *r)
{
    (void)s;
    (void)r;
    return true;
}

static void client_release(struct side *s, bool clean)
{
    (void)clean;
    client_end(client_of(s), false);
}

static void client_abort(struct side *s, enum reason why)
{
    client_end(client_of(s), side_is_torn(why));
}

static const struct side_ops client_side_ops = {
    .name = "client_tcp",
    .body = client_body,
    .end = client_side_end,
    .flush = client_flush,
    .credit = client_credit,
    .answer = client_answer,
    .local = client_side_local,
    .bulk_from = client_bulk_from,
    .bulk_to = client_bulk_to,
    .bulk = client_bulk,
    .release = client_release,
    .abort = client_abort,
};

/* A byte stream has no quiet moment between exchanges: it goes on until its end or the deadline. */
static void client_drain_tcp(struct client *c)
{
    (void)c;
}

static void client_close_tcp(struct client *c)
{
    exchange_kill(c->side.x, REASON_shutting_down);
}

static const struct client_kind client_tcp_kind = {.name = "tcp",
                                                   .drain = client_drain_tcp,
                                                   .close_now = client_close_tcp};

static struct client_tcp *client_make(struct forwarder *f, struct front *front, struct stream *s)
{
    struct client_tcp *c = slab_get_zeroed(&f->clients);
    if (!c)
        return NULL;
    c->base.kind = &client_tcp_kind;
    c->base.f = c->end.f = f;
    c->base.front = front;
    c->base.stream = c->end.stream = s;
    c->base.side.ops = &client_side_ops;
    stream_set_ops(s, &client_stream_ops, c);
    return c;
}

static void client_begin(struct client_tcp *c)
{
    struct client *base = &c->base;
    struct address peer = client_peer(base);
    if (!exchange_begin_tcp(base->f, front_conf(base->front), &base->side, &peer, base->arrival))
        client_end(c, true);
}

void client_tcp_open(struct forwarder *f, struct front *front, struct stream *s)
{
    struct client_tcp *c = client_make(f, front, s);
    if (!c) {
        stream_close(&s, STREAM_CLOSE_RESET);
        return;
    }
    forwarder_client_opened(f, &c->base);
    atomic_fetch_add_explicit(&front->connections, 1, memory_order_relaxed);
    client_begin(c);
}

bool client_tcp_take(struct client *from, struct slice first)
{
    struct forwarder *f = from->f;
    struct slice kept = first.n > 0 ? slice_keep(f->loop, first) : (struct slice){0};
    struct client_tcp *c = kept.n == first.n ? client_make(f, from->front, from->stream) : NULL;
    if (!c) {
        slice_put(&kept);
        return false;
    }
    c->first = kept;
    stream_read(c->base.stream, false); /* until there is a backend */
    forwarder_client_became(f, from, &c->base);
    client_begin(c);
    return true;
}

size_t client_tcp_object_bytes(void)
{
    return sizeof(struct client_tcp);
}

/* ---- the backend's end ---- */

static struct backend_tcp *backend_of(struct side *s)
{
    return container_of(s, struct backend_tcp, side);
}

static void backend_end(struct backend_tcp *b, bool reset)
{
    struct forwarder *f = b->end.f;
    CHECK(!b->side.x);
    loop_timer_stop(f->loop, &b->timer);
    pipe_close(&b->end, &b->side, reset);
    slab_put(&f->tcp_backends, b);
}

static void backend_fail(struct backend_tcp *b, enum reason why)
{
    struct exchange *x = b->side.x;
    b->side.x = NULL;
    x->backend = NULL;
    backend_end(b, true);
    exchange_backend_failed(x, why, true);
}

static void backend_moved(struct backend_tcp *b)
{
    loop_timer_set(b->end.f->loop, &b->timer, b->side.x->front->conf->tunnel_ms);
}

static void backend_timer(struct timer *t)
{
    struct backend_tcp *b = container_of(t, struct backend_tcp, timer);
    if (b->connected)
        exchange_kill(b->side.x, REASON_idle_timeout);
    else
        backend_fail(b, REASON_connect_timeout);
}

static void backend_connected(struct stream *s)
{
    struct backend_tcp *b = s->user;
    struct exchange *x = b->side.x;
    b->end.stream = s;
    b->connected = true;
    backend_moved(b);
    exchange_connected(x, s);
    stream_read(b->end.stream, true);
    exchange_writable(x, &b->side);
}

static void backend_data(struct stream *s, struct slice in)
{
    struct backend_tcp *b = s->user;
    backend_moved(b);
    side_data(&b->end, &b->side, in);
}

static void backend_eof(struct stream *s)
{
    struct backend_tcp *b = s->user;
    side_eof(&b->side);
}

static void backend_sent(struct stream *s)
{
    struct backend_tcp *b = s->user;
    b->end.sending = false;
    backend_moved(b);
    exchange_writable(b->side.x, &b->side);
}

static void backend_failed(struct stream *s, enum reason why)
{
    backend_fail(s->user, why);
}

static void backend_gave(struct stream *s, uint64_t n, bool over)
{
    struct backend_tcp *b = s->user;
    backend_moved(b);
    side_moved(&b->end, &b->side, n, over);
}

static const struct stream_ops backend_stream_ops = {
    .connected = backend_connected,
    .data = backend_data,
    .eof = backend_eof,
    .sent = backend_sent,
    .failed = backend_failed,
    .moved = backend_gave,
};

static int backend_body(struct side *s, struct slice piece)
{
    struct backend_tcp *b = backend_of(s);
    backend_moved(b);
    return pipe_body(&b->end, s, piece);
}

static int backend_side_end(struct side *s, struct span trailers)
{
    (void)trailers;
    backend_of(s)->end.shutdown_due = true;
    return SIDE_OK;
}

static bool backend_flush(struct side *s)
{
    return pipe_flush(&backend_of(s)->end, s);
}

static void backend_credit(struct side *s, bool on)
{
    stream_read(backend_of(s)->end.stream, on);
}

static struct stream *backend_bulk_from(struct side *s, uint64_t *ret_bytes)
{
    return pipe_bulk_from(&backend_of(s)->end, ret_bytes);
}

static struct stream *backend_bulk_to(struct side *s)
{
    return backend_of(s)->end.stream;
}

static void backend_bulk(struct side *s, bool on)
{
    struct backend_tcp *b = backend_of(s);
    b->end.sending = on;
    backend_moved(b);
}

static void backend_release(struct side *s, bool clean)
{
    (void)clean;
    backend_end(backend_of(s), false);
}

static void backend_abort(struct side *s, enum reason why)
{
    backend_end(backend_of(s), why == REASON_client_reset);
}

static const struct side_ops backend_side_ops = {
    .name = "backend_tcp",
    .body = backend_body,
    .end = backend_side_end,
    .flush = backend_flush,
    .credit = backend_credit,
    .bulk_from = backend_bulk_from,
    .bulk_to = backend_bulk_to,
    .bulk = backend_bulk,
    .release = backend_release,
    .abort = backend_abort,
};

bool tcp_backend_begin(struct exchange *x, struct backend *backend)
{
    struct forwarder *f = x->f;
    struct backend_tcp *b = slab_get_zeroed(&f->tcp_backends);
    bool introduced; /* every backend's connection is of one client alone */
    if (!b)
        return false;
    b->side.ops = &backend_side_ops;
    b->backend = backend;
    b->end.f = f;
    timer_init(&b->timer, backend_timer);
    b->end.stream = dial_for(x, backend, &backend_stream_ops, b, &introduced);
    if (!b->end.stream) {
        slab_put(&f->tcp_backends, b);
        return false;
    }
    b->side.x = x;
    x->backend = &b->side;
    loop_timer_set(f->loop, &b->timer, pool_conf(backend->pool)->connect_ms);
    return true;
}

size_t tcp_backend_object_bytes(void)
{
    return sizeof(struct backend_tcp);
}
