/* SPDX-License-Identifier: MIT */
/*
 * The backend side over HTTP/1. The connection owns itself: it is in the hands of one exchange, or
 * on an idle stack, or closing. What must stay true: an idle connection has nothing in flight in
 * either direction, and what a backend sends unasked ends its connection.
 */
#include "forward/upstream.h"

#include "base/check.h"
#include "forward/bulk.h"
#include "forward/exchange.h"
#include "forward/forwarder.h"
#include "forward/h1_framing.h"
#include "forward/idle.h"
#include "forward/tcp_side.h"
#include "forward/tls_stream.h"

#include <string.h>

/* A request that must not be repeated goes only on a connection that was in use this recently:
 * backends close theirs after seconds, and the race with that close is what loses requests. */
#define UNSAFE_REUSE_NS (UINT64_C(1000) * 1000 * 1000)

static const struct stream_ops stream_ops;
static const struct h1_conn_ops conn_ops;
static const struct side_ops side_ops;

static struct upstream *from_side(struct side *s)
{
    struct upstream *u = container_of(s, struct upstream, side);
    CHECK(u->magic == UPSTREAM_MAGIC);
    return u;
}

static struct upstream *from_conn(struct h1_conn *h1)
{
    return container_of(h1, struct upstream, h1);
}

/* ---- the connection's end ---- */

static void upstream_free(struct upstream *u)
{
    struct forwarder *f = u->h1.f;
    h1_conn_fini(&u->h1);
    u->magic = 0;
    slab_put(&f->upstreams, u);
}

static void upstream_end(struct upstream *u, enum stream_close_how how)
{
    struct forwarder *f = u->h1.f;
    CHECK(!u->side.x && !u->h1.doomed);
    if (u->state == UPSTREAM_IDLE)
        idle_remove(f->idle, u->backend, u);
    outbox_drop(f, &u->side);
    loop_timer_stop(f->loop, &u->timer);
    stream_close(&u->h1.stream, how);
    u->h1.doomed = true;
    if (!u->h1.running)
        upstream_free(u);
}

static void after_events(struct upstream *u)
{
    if (u->h1.doomed)
        upstream_free(u);
}

void upstream_close_idle(struct upstream *u)
{
    CHECK(u->state == UPSTREAM_IDLE);
    upstream_end(u, STREAM_CLOSE_NORMAL);
}

/* The backend failed the exchange, which lets go of this connection and goes on alone. */
static void upstream_fail(struct upstream *u, enum reason why)
{
    struct exchange *x = u->side.x;
    bool fresh = !u->reused;
    u->side.x = NULL;
    x->backend = NULL;
    upstream_end(u, x->request_done ? STREAM_CLOSE_NORMAL : STREAM_CLOSE_RESET);
    exchange_backend_failed(x, why, fresh);
}

/* ---- time ---- */

static void set_timer(struct upstream *u, uint64_t ms)
{
    loop_timer_set(u->h1.f->loop, &u->timer, ms);
}

/* What is being waited for now decides how long. */
static void arm(struct upstream *u)
{
    const struct exchange *x = u->side.x;
    const struct pool_conf *conf = pool_conf(u->backend->pool);
    if (u->state == UPSTREAM_CONNECTING)
        set_timer(u, conf->connect_ms);
    else if (x->request_done && !x->response_begun)
        set_timer(u, conf->response_ms);
    else
        set_timer(u, exchange_quiet_ms(x));
}

/* A backend that takes a little of an upload now and then is slow, not gone. */
static bool send_stalled(struct upstream *u)
{
    uint64_t unsent = stream_unsent(u->h1.stream);
    bool moved = unsent != u->unsent;
    u->unsent = unsent;
    return !moved;
}

/* Whether there are bytes that the backend has not taken; in a bulk there may be none. */
static bool is_sending(struct upstream *u)
{
    return u->sending && !(u->side.x->bulk_in && stream_unsent(u->h1.stream) == 0);
}

static void on_timer(struct timer *t)
{
    struct upstream *u = container_of(t, struct upstream, timer);
    struct exchange *x = u->side.x;
    bool sending = x && is_sending(u);
    if (!x)
        upstream_end(u, STREAM_CLOSE_NORMAL);
    else if (x->tunnel)
        exchange_quiet(x);
    else if (u->state == UPSTREAM_CONNECTING)
        upstream_fail(u, REASON_connect_timeout);
    else if (x->request_done && !x->response_begun && !sending)
        upstream_fail(u, REASON_response_timeout);
    else if (sending ? send_stalled(u)
                     : x->response_begun && !x->backend_waits && !bulk_held(x, &u->side))
        upstream_fail(u, REASON_backend_too_slow);
    else
        arm(u); /* it is the client that is slow, and timed on its own side */
}

/* ---- the response ---- */

static const struct h1_limits *limits(struct h1_conn *h1)
{
    (void)h1;
    return &h1_limits_default;
}

static bool on_head(struct h1_conn *h1, struct head *h, struct slice raw)
{
    struct upstream *u = from_conn(h1);
    struct exchange *x = u->side.x;
    bool interim = h->status < 200 && h->status != 101;
    if (interim && ++u->interim_count > HTTP_INTERIM_MAX) {
        upstream_fail(u, REASON_too_many_interim);
        return false;
    }
    if (h->framing == BODY_TUNNEL && !exchange_asked_for(x, h)) {
        upstream_fail(u, REASON_unexpected_upgrade);
        return false;
    }
    u->reusable = h->keep_alive && h->framing != BODY_CLOSE && h->framing != BODY_TUNNEL;
    u->large = bulk_is_large(h);
    exchange_response(x, h, raw);
    if (h1->doomed)
        return false;
    if (u->side.x)
        arm(u);
    return true;
}

static bool on_body(struct h1_conn *h1, struct slice piece)
{
    struct upstream *u = from_conn(h1);
    if (u->side.x)
        exchange_body(u->side.x, &u->side, piece);
    return !h1->doomed;
}

static bool on_end(struct h1_conn *h1, struct span trailers)
{
    struct upstream *u = from_conn(h1);
    struct exchange *x = u->side.x;
    if (!x->response_begun) { /* the end of an interim response */
        h1_reader_reset(&h1->message->reader);
        h1_reader_expect(&h1->message->reader, x->method, x->upgrade);
        return true;
    }
    if (h1_conn_input_left(h1) > 0)
        u->reusable = false; /* bytes that belong to no response */
    h1_conn_deafen(h1);
    exchange_end(x, &u->side, trailers);
    return !h1->doomed;
}

static bool on_bad(struct h1_conn *h1, enum reason why)
{
    struct upstream *u = from_conn(h1);
    if (u->side.x)
        upstream_fail(u, why);
    return !h1->doomed;
}

static bool on_drained(struct h1_conn *h1)
{
    struct upstream *u = from_conn(h1);
    if (u->side.x)
        exchange_flush(u->side.x, &u->side);
    return !h1->doomed;
}

static const struct h1_conn_ops conn_ops = {
    .role = H1_RESPONSES,
    .limits = limits,
    .head = on_head,
    .body = on_body,
    .end = on_end,
    .bad = on_bad,
    .drained = on_drained,
};

/* ---- the stream ---- */

static void on_connected(struct stream *s)
{
    struct upstream *u = s->user;
    struct exchange *x = u->side.x;
    u->h1.stream = s;
    /* A reload that changes the pool's protocol may have come between pool_has_http2 and the dial.
     */
    if (UNLIKELY(s->magic != STREAM_MAGIC) && tls_stream_has_http2(s)) {
        upstream_fail(u, REASON_backend_no_http1);
        return;
    }
    u->state = UPSTREAM_ACTIVE;
    exchange_connected(x, s);
    arm(u);
    if (!u->sending)
        exchange_writable(x, &u->side);
}

static void on_data(struct stream *s, struct slice in)
{
    struct upstream *u = s->user;
    if (!u->side.x) {
        upstream_end(u, STREAM_CLOSE_NORMAL); /* REASON_surplus_bytes */
        return;
    }
    u->side.x->heard = true;
    if (u->side.x->response_begun)
        arm(u);
    h1_conn_input(&u->h1, in);
    after_events(u);
}

static void on_eof(struct stream *s)
{
    struct upstream *u = s->user;
    struct exchange *x = u->side.x;
    if (!x) {
        upstream_end(u, STREAM_CLOSE_NORMAL);
        return;
    }
    u->reusable = false;
    bulk_over(x, &u->side);
    if (h1_conn_eof(&u->h1) == H1_END) {
        if (exchange_end(x, &u->side, span_of(NULL, 0)))
            exchange_flush(x, &u->side);
    } else {
        upstream_fail(u, REASON_backend_closed);
    }
}

static void on_sent(struct stream *s)
{
    struct upstream *u = s->user;
    u->sending = false;
    if (!u->side.x)
        return;
    arm(u);
    if (u->state == UPSTREAM_ACTIVE)
        exchange_writable(u->side.x, &u->side);
}

static void on_failed(struct stream *s, enum reason why)
{
    struct upstream *u = s->user;
    if (u->side.x)
        upstream_fail(u, why);
    else
        upstream_end(u, STREAM_CLOSE_NORMAL);
}

static void on_moved(struct stream *s, uint64_t n, bool over)
{
    struct upstream *u = s->user;
    arm(u);
    bool end = h1_conn_skip(&u->h1, n);
    if (!bulk_moved(u->side.x, &u->side, n, over) || !end)
        return;
    h1_conn_end(&u->h1);
    after_events(u);
}

static const struct stream_ops stream_ops = {
    .connected = on_connected,
    .data = on_data,
    .eof = on_eof,
    .sent = on_sent,
    .failed = on_failed,
    .moved = on_moved,
};

/* ---- the backend's side of an exchange ---- */

static int side_body(struct side *s, struct slice piece)
{
    struct upstream *u = from_side(s);
    struct forwarder *f = u->h1.f;
    bool chunked = s->x->chunked && !s->x->tunnel;
    return h1_put_body(f, outbox_for(f, s), piece, chunked);
}

static int side_end(struct side *s, struct span trailers)
{
    struct upstream *u = from_side(s);
    struct exchange *x = s->x;
    if (x->tunnel) {
        u->shutdown_due = true;
        return SIDE_OK;
    }
    if (x->has_body)
        arm(u);
    if (!x->chunked)
        return SIDE_OK;
    struct forwarder *f = u->h1.f;
    return h1_put_last_chunk(f, outbox_for(f, s), trailers);
}

static bool side_flush(struct side *s)
{
    struct upstream *u = from_side(s);
    struct forwarder *f = u->h1.f;
    if (f->outbox.owner == s && f->outbox.count > 0) {
        CHECK(!u->sending);
        u->sending = outbox_send(f, &f->outbox, u->h1.stream) == SEND_PENDING;
        arm(u);
    }
    if (u->shutdown_due) {
        u->shutdown_due = false;
        stream_shutdown(u->h1.stream);
    }
    return !u->sending;
}

static void side_credit(struct side *s, bool on)
{
    struct upstream *u = from_side(s);
    if (on)
        arm(u);
    if (h1_conn_credit(&u->h1, on))
        after_events(u);
}

static struct stream *side_bulk_from(struct side *s, uint64_t *ret_bytes)
{
    struct upstream *u = from_side(s);
    *ret_bytes = h1_conn_rest(&u->h1);
    return *ret_bytes > 0 ? u->h1.stream : NULL;
}

static struct stream *side_bulk_to(struct side *s)
{
    return s->x->chunked || s->x->tunnel ? NULL : from_side(s)->h1.stream;
}

static void side_bulk(struct side *s, bool on)
{
    struct upstream *u = from_side(s);
    u->sending = on;
    arm(u);
}

static void side_tunnel(struct side *s)
{
    (void)s; /* the reader of the responses turned to raw bytes by itself */
}

static void side_release(struct side *s, bool clean)
{
    struct upstream *u = from_side(s);
    struct forwarder *f = u->h1.f;
    bool keep = u->reusable && clean && !u->introduced && !u->sending && h1_conn_done(&u->h1) &&
                backend_in_rotation(u->backend) && dial_is_current(f, u->backend, u->h1.stream);
    if (!keep || !idle_put(f->idle, u->backend, u)) {
        upstream_end(u, STREAM_CLOSE_NORMAL);
        return;
    }
    u->state = UPSTREAM_IDLE;
    u->reused = true;
    u->idle_since_ns = loop_now(f->loop);
    u->h1.paused = u->h1.deaf = false;
    h1_conn_next(&u->h1);
    set_timer(u, pool_conf(u->backend->pool)->keepalive_idle_ms);
    stream_read(u->h1.stream, true);
}

static void side_abort(struct side *s, enum reason why)
{
    (void)why;
    struct upstream *u = from_side(s);
    /* A request that was not sent to its end must not look like one that was. */
    bool whole = h1_conn_done(&u->h1) && !u->sending;
    upstream_end(u, whole ? STREAM_CLOSE_NORMAL : STREAM_CLOSE_RESET);
}

static const struct side_ops side_ops = {
    .name = "upstream_h1",
    .body = side_body,
    .end = side_end,
    .flush = side_flush,
    .credit = side_credit,
    .bulk_from = side_bulk_from,
    .bulk_to = side_bulk_to,
    .bulk = side_bulk,
    .tunnel = side_tunnel,
    .release = side_release,
    .abort = side_abort,
};

/* ---- begin ---- */

static struct upstream *upstream_connect(const struct exchange *x, struct backend *b)
{
    struct forwarder *f = x->f;
    struct upstream *u = slab_get_zeroed(&f->upstreams);
    if (!u)
        return NULL;
    u->magic = UPSTREAM_MAGIC;
    u->side.ops = &side_ops;
    u->backend = b;
    list_init(&u->link);
    h1_conn_init(&u->h1, f, &conn_ops);
    timer_init(&u->timer, on_timer);
    u->h1.stream = dial_for(x, b, &stream_ops, u, &u->introduced);
    if (!u->h1.stream) {
        upstream_free(u);
        return NULL;
    }
    u->state = UPSTREAM_CONNECTING;
    stream_read(u->h1.stream, true);
    return u;
}

static struct upstream *upstream_reuse(struct forwarder *f, struct backend *b,
                                       const struct exchange *x)
{
    struct upstream *u = idle_take(f->idle, b);
    while (u && stream_has_input(u->h1.stream)) { /* its end, or bytes nobody asked for */
        u->state = UPSTREAM_ACTIVE;
        upstream_end(u, STREAM_CLOSE_NORMAL);
        u = idle_take(f->idle, b);
    }
    if (!u)
        return NULL;
    bool young = loop_now(f->loop) - u->idle_since_ns <= UNSAFE_REUSE_NS;
    if (!young && !method_is_idempotent(x->method)) {
        if (!idle_put(f->idle, b, u)) { /* a reload lets fewer be kept than are */
            u->state = UPSTREAM_ACTIVE;
            upstream_end(u, STREAM_CLOSE_NORMAL);
        }
        return NULL;
    }
    u->state = UPSTREAM_ACTIVE;
    return u;
}

/* The request's head is on its way, or gathered for the flush that follows. */
static void send_head(struct upstream *u, struct slice head, bool gather)
{
    if (gather)
        CHECK(outbox_add(outbox_for(u->h1.f, &u->side), head));
    else
        u->sending = stream_send(u->h1.stream, &head, 1) == SEND_PENDING;
}

bool upstream_begin(struct exchange *x, struct backend *b, bool reuse, bool body_near)
{
    struct forwarder *f = x->f;
    bool alone = pool_conf(b->pool)->proxy_protocol != PROXY_NONE;
    struct upstream *u = reuse && !alone ? upstream_reuse(f, b, x) : NULL;
    if (!u)
        u = upstream_connect(x, b);
    if (!u)
        return false;
    if (!h1_conn_await(&u->h1)) {
        upstream_end(u, STREAM_CLOSE_NORMAL);
        return false;
    }
    u->side.x = x;
    x->backend = &u->side;
    u->interim_count = 0;
    u->reusable = false;
    h1_reader_expect(&u->h1.message->reader, x->method, x->upgrade);
    bool connected = u->state == UPSTREAM_ACTIVE;
    send_head(u, x->request, connected && body_near);
    if (u->large)
        stream_bulk_likely(u->h1.stream);
    if (connected)
        exchange_connected(x, u->h1.stream);
    arm(u);
    if (connected && !u->sending)
        exchange_writable(x, &u->side); /* may end the exchange and this connection with it */
    return true;
}
