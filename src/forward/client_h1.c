/* SPDX-License-Identifier: MIT */
/*
 * A client that speaks HTTP/1.
 *
 *            first bytes              head complete          response sent, request complete
 *   IDLE ───────────────▶ RECEIVING ───────────────▶ ACTIVE ────────────────────────┐
 *    ▲                        │ bad, too slow           │ must close                 │
 *    │                        ▼                         ▼                            │
 *    │                     LINGER ◀─────────────────────┘                            │
 *    └───────────────────────────────────────────────────────────────────────────────┘
 *
 * LINGER: the answer is out, our half is closed, and what the client still sends is read and
 * dropped for a moment, because closing with unread bytes would reset the connection and take the
 * answer with it (RFC 9112 9.6).
 *
 * One timer per client. Its deadline is pushed back by a store when things move, and what it means
 * when it fires follows from the state.
 */
#include "base/check.h"
#include "base/limits.h"
#include "codec/h1_write.h"
#include "forward/answer.h"
#include "forward/arrival_record.h"
#include "forward/bulk.h"
#include "forward/client_h1_priv.h"
#include "forward/exchange.h"
#include "forward/preface.h"
#include "forward/response.h"
#include "forward/tcp_side.h"
#include "forward/upload.h"

/* client_h1.preface: the connection is known not to begin with it. */
#define PREFACE_NONE UINT8_MAX

static const struct stream_ops stream_ops;
static const struct h1_conn_ops conn_ops;
static const struct client_kind kind;

static struct client_h1 *from_conn(struct h1_conn *h1)
{
    return container_of(h1, struct client_h1, h1);
}

/* ---- end of the connection ---- */

static void client_free(struct client_h1 *c)
{
    h1_conn_fini(&c->h1);
    slab_put(&c->base.f->clients, c);
}

void client_h1_end(struct client_h1 *c, enum stream_close_how how)
{
    struct forwarder *f = c->base.f;
    CHECK(!c->base.side.x && !c->h1.doomed);
    outbox_drop(f, &c->base.side);
    loop_timer_stop(f->loop, &c->timer);
    stream_close(&c->base.stream, how);
    c->h1.stream = NULL;
    if (c->counted)
        atomic_fetch_sub_explicit(&c->base.front->connections, 1, memory_order_relaxed);
    c->h1.doomed = true;
    forwarder_client_closed(f, &c->base);
    if (!c->h1.running)
        client_free(c);
}

void client_h1_after_events(struct client_h1 *c)
{
    if (c->h1.doomed)
        client_free(c);
}

static void linger_begin(struct client_h1 *c)
{
    c->close_due = false;
    c->state = CLIENT_LINGER;
    h1_conn_deafen(&c->h1);
    stream_shutdown(c->base.stream);
    stream_read(c->base.stream, true);
    client_h1_set_timer(c, CLIENT_LINGER_MS);
}

void client_h1_close_gently(struct client_h1 *c)
{
    bool quiet = c->request_done && !h1_conn_has_input(&c->h1) && h1_conn_input_left(&c->h1) == 0;
    if (c->sending)
        c->close_due = true;
    else if (quiet)
        client_h1_end(c, STREAM_CLOSE_NORMAL);
    else
        linger_begin(c);
}

/* ---- requests ---- */

static void idle_begin(struct client_h1 *c)
{
    c->state = CLIENT_IDLE;
    c->request_done = c->next_due = false;
    client_h1_set_timer(c, client_h1_is_draining(c) ? c->base.f->quiet_ms
                                                    : client_h1_conf(c)->idle_ms);
}

void client_h1_next(struct client_h1 *c)
{
    h1_conn_next(&c->h1);
    if (c->large)
        stream_bulk_likely(c->base.stream);
    idle_begin(c);
    bool was_running = c->h1.running;
    h1_conn_resume(&c->h1);
    if (!was_running)
        client_h1_after_events(c);
}

/* An answer of ours outside any exchange. */
static void answer_alone(struct client_h1 *c, enum reason why)
{
    struct forwarder *f = c->base.f;
    struct outbox *o = outbox_for(f, &c->base.side);
    uint8_t *room =
        reason_status(why) && !c->sending ? outbox_reserve(f, o, ANSWER_BYTES_MAX) : NULL;
    c->keep_alive = false;
    struct record r = {
        .start_wall_ms = loop_wall_ms(f->loop),
        .client = client_peer(&c->base),
        .listener = span_cstr(client_h1_conf(c)->name),
        .http = true,
        .made_here = true,
        .reason = why,
        .method_number = BOARD_METHOD_NONE,
        .listener_key = &c->base.front->key,
    };
    if (room) {
        struct writer w = writer_of(room, ANSWER_BYTES_MAX);
        struct reply reply = reply_of(why);
        reply.hsts = response_hsts(front_conf(c->base.front), c->base.arrival, NULL);
        reply_write(&w, &reply, "close", c->head_request);
        CHECK(w_ok(&w));
        outbox_commit(o, (uint32_t)w_len(&w));
        c->sending = outbox_send(f, o, c->base.stream) == SEND_PENDING;
        r.status = (uint16_t)reason_status(why);
        r.bytes_out = w_len(&w);
        if (c->sending)
            client_h1_set_timer(c, client_h1_conf(c)->send_ms);
    }
    record_arrival(&r, c->base.arrival);
    account_exchange(f->account, &r);
    c->request_done = false;
    c->state = CLIENT_ACTIVE;
    c->moved_ms = client_h1_now_ms(c);
    h1_conn_deafen(&c->h1);
    client_h1_close_gently(c);
}

static const struct h1_limits *limits(struct h1_conn *h1)
{
    return &front_conf(from_conn(h1)->base.front)->limits;
}

static bool on_head(struct h1_conn *h1, struct head *h, struct slice raw)
{
    (void)raw;
    struct client_h1 *c = from_conn(h1);
    struct forwarder *f = c->base.f;
    c->state = CLIENT_ACTIVE;
    c->moved_ms = client_h1_now_ms(c);
    c->has_body = h->framing != BODY_NONE;
    c->large = bulk_is_large(h);
    c->http10 = h->version_minor == 0;
    c->keep_alive = h->keep_alive && !client_h1_is_draining(c);
    c->head_request = h->method == METHOD_HEAD;
    c->chunked = c->until_close = c->request_done = false;
    if (c->has_body)
        client_h1_set_timer(c, client_h1_conf(c)->body_ms);
    struct address peer = client_peer(&c->base);
    if (!exchange_begin_http(f, front_conf(c->base.front), &c->base.side, h, &peer,
                             c->base.arrival))
        answer_alone(c, REASON_overload);
    return !h1->doomed;
}

static bool on_body(struct h1_conn *h1, struct slice piece)
{
    struct client_h1 *c = from_conn(h1);
    c->moved_ms = client_h1_now_ms(c);
    if (c->base.side.x)
        exchange_body(c->base.side.x, &c->base.side, piece);
    return !h1->doomed;
}

static bool on_end(struct h1_conn *h1, struct span trailers)
{
    struct client_h1 *c = from_conn(h1);
    c->request_done = true;
    if (c->base.side.x) {
        if (exchange_end(c->base.side.x, &c->base.side, trailers))
            h1_conn_pause(h1);
    } else if (c->next_due) {
        client_h1_next(c);
    }
    return !h1->doomed;
}

static bool on_bad(struct h1_conn *h1, enum reason why)
{
    struct client_h1 *c = from_conn(h1);
    if (c->base.side.x)
        exchange_client_failed(c->base.side.x, why);
    else
        answer_alone(c, why);
    return !h1->doomed;
}

static bool on_drained(struct h1_conn *h1)
{
    struct client_h1 *c = from_conn(h1);
    if (c->state == CLIENT_IDLE && h1->partial) {
        c->state = CLIENT_RECEIVING;
        client_h1_set_timer(c, client_h1_conf(c)->request_ms);
    }
    if (c->base.side.x)
        exchange_flush(c->base.side.x, &c->base.side);
    return !h1->doomed;
}

static const struct h1_conn_ops conn_ops = {
    .role = H1_REQUESTS,
    .limits = limits,
    .head = on_head,
    .body = on_body,
    .end = on_end,
    .bad = on_bad,
    .drained = on_drained,
};

/* ---- the stream ---- */

/* The connection goes on in HTTP/2. */
static void become_h2(struct client_h1 *c, struct slice in)
{
    struct stream *s = c->base.stream;
    struct span begun = preface_begin(c->preface);
    if (!client_h2_take(&c->base, begun.n > 0 ? (struct slice){begun.p, c->preface, NULL} : in)) {
        client_h1_end(c, STREAM_CLOSE_NORMAL);
        return;
    }
    loop_timer_stop(c->base.f->loop, &c->timer);
    client_free(c);
    if (begun.n > 0) /* of which nothing can have gone wrong yet */
        s->ops->data(s, in);
}

/* The first bytes of a connection. False: they are not for HTTP/1, or not known to be yet. */
static bool first_bytes(struct client_h1 *c, struct slice in)
{
    uint8_t before = c->preface;
    enum preface is = client_h1_conf(c)->http2 ? preface_look(before, slice_span(in)) : PREFACE_NOT;
    if (is == PREFACE_WHOLE) {
        become_h2(c, in);
    } else if (is == PREFACE_MORE) {
        c->preface = (uint8_t)(before + in.n);
    } else {
        c->preface = PREFACE_NONE;
        if (before == 0 ||
            h1_conn_input(&c->h1, (struct slice){preface_begin(before).p, before, NULL}))
            return true;
        client_h1_after_events(c);
    }
    return false;
}

static void on_data(struct stream *s, struct slice in)
{
    struct client_h1 *c = s->user;
    if (UNLIKELY(c->preface != PREFACE_NONE) && !first_bytes(c, in))
        return;
    if (c->state == CLIENT_LINGER) {
        c->lingered += in.n;
        if (c->lingered > LINGER_BYTES_MAX)
            client_h1_end(c, STREAM_CLOSE_NORMAL);
        return;
    }
    h1_conn_input(&c->h1, in);
    client_h1_after_events(c);
}

static void on_eof(struct stream *s)
{
    struct client_h1 *c = s->user;
    struct exchange *x = c->base.side.x;
    c->keep_alive = false;
    if (!x) {
        if (!c->sending)
            client_h1_end(c, STREAM_CLOSE_NORMAL);
        return;
    }
    bulk_over(x, &c->base.side);
    int r = h1_conn_eof(&c->h1);
    if (r == H1_END) {
        c->request_done = true;
        if (exchange_end(x, &c->base.side, span_of(NULL, 0)))
            exchange_flush(x, &c->base.side);
    } else if (!c->request_done) {
        exchange_client_failed(x, REASON_client_closed);
    }
}

static void on_sent(struct stream *s)
{
    struct client_h1 *c = s->user;
    c->sending = false;
    c->moved_ms = client_h1_now_ms(c);
    if (c->close_due)
        client_h1_close_gently(c);
    else if (c->base.side.x)
        exchange_writable(c->base.side.x, &c->base.side);
}

static void on_failed(struct stream *s, enum reason why)
{
    struct client_h1 *c = s->user;
    (void)why; /* for an accepted stream it is always a reset */
    if (c->base.side.x)
        exchange_client_failed(c->base.side.x, REASON_client_reset);
    else
        client_h1_end(c, STREAM_CLOSE_NORMAL);
}

static void on_moved(struct stream *s, uint64_t n, bool over)
{
    struct client_h1 *c = s->user;
    c->moved_ms = client_h1_now_ms(c);
    bool end = h1_conn_skip(&c->h1, n);
    if (!bulk_moved(c->base.side.x, &c->base.side, n, over) || !end)
        return;
    h1_conn_end(&c->h1);
    client_h1_after_events(c);
}

static const struct stream_ops stream_ops = {
    .data = on_data,
    .eof = on_eof,
    .sent = on_sent,
    .failed = on_failed,
    .moved = on_moved,
};

/* ---- time ---- */

/* A reader that takes something now and then is slow, not gone: what is unsent shrinks. If nothing
 * is, in a bulk, it has taken all that came. */
static bool send_stalled(struct client_h1 *c, uint64_t quiet_ms)
{
    uint64_t unsent = stream_unsent(c->base.stream);
    if (unsent != c->unsent || unsent == 0) {
        c->unsent = unsent;
        c->moved_ms = client_h1_now_ms(c);
        return false;
    }
    return quiet_ms >= client_h1_conf(c)->send_ms;
}

static bool body_stalled(const struct client_h1 *c, uint64_t quiet_ms)
{
    const struct exchange *x = c->base.side.x;
    return x && c->has_body && !c->request_done && !c->h1.paused && !c->tunnel &&
           upload_stalled(x, quiet_ms, client_h1_conf(c)->body_ms);
}

/* While a request is under way only the client's own part is timed here. */
static void active_timeout(struct client_h1 *c)
{
    struct exchange *x = c->base.side.x;
    const struct listener_conf *conf = client_h1_conf(c);
    if (x && bulk_held(x, &c->base.side)) { /* the backend is slow to take the body */
        c->moved_ms = client_h1_now_ms(c);
        exchange_body_held(x);
    }
    uint64_t quiet_ms = client_h1_now_ms(c) - c->moved_ms;
    if (c->sending && send_stalled(c, quiet_ms)) {
        if (x)
            exchange_client_failed(x, REASON_client_too_slow);
        else
            client_h1_end(c, STREAM_CLOSE_RESET);
    } else if (body_stalled(c, quiet_ms)) {
        exchange_client_failed(x, REASON_request_timeout);
    } else {
        uint64_t shortest = conf->send_ms < conf->body_ms ? conf->send_ms : conf->body_ms;
        client_h1_set_timer(c, shortest / 2 + 1);
    }
}

static void on_timer(struct timer *t)
{
    struct client_h1 *c = container_of(t, struct client_h1, timer);
    switch ((enum client_state)c->state) {
    case CLIENT_IDLE:
    case CLIENT_LINGER: client_h1_end(c, STREAM_CLOSE_NORMAL); break;
    case CLIENT_RECEIVING: answer_alone(c, REASON_request_timeout); break;
    case CLIENT_ACTIVE: active_timeout(c); break;
    }
}

/* ---- the client as a connection ---- */

static void drain(struct client *base)
{
    struct client_h1 *c = container_of(base, struct client_h1, base);
    if (c->state == CLIENT_IDLE)
        client_h1_set_timer(c, base->f->quiet_ms);
}

static void close_now(struct client *base)
{
    struct client_h1 *c = container_of(base, struct client_h1, base);
    if (base->side.x)
        exchange_kill(base->side.x, REASON_shutting_down);
    else
        client_h1_end(c, STREAM_CLOSE_NORMAL);
}

static const struct client_kind kind = {.name = "h1", .drain = drain, .close_now = close_now};

/* In the place of `from`, if there is one. */
static struct client_h1 *client_new(struct forwarder *f, struct front *front, struct stream *s,
                                    struct client *from)
{
    struct client_h1 *c = slab_get_zeroed(&f->clients);
    if (!c)
        return NULL;
    c->base.kind = &kind;
    c->base.f = f;
    c->base.front = front;
    c->base.stream = s;
    c->base.side.ops = &client_h1_side_ops;
    h1_conn_init(&c->h1, f, &conn_ops);
    c->h1.stream = s;
    timer_init(&c->timer, on_timer);
    stream_set_ops(s, &stream_ops, c);
    if (from)
        forwarder_client_became(f, from, &c->base);
    else
        forwarder_client_opened(f, &c->base);
    return c;
}

void client_h1_open(struct forwarder *f, struct front *front, struct stream *s)
{
    struct client_h1 *c = client_new(f, front, s, NULL);
    if (!c) {
        stream_close(&s, STREAM_CLOSE_NORMAL);
        return;
    }
    c->counted = true;
    atomic_fetch_add_explicit(&front->connections, 1, memory_order_relaxed);
    client_h1_set_timer(c, client_h1_conf(c)->request_ms);
    stream_read(s, true);
}

bool client_h1_take(struct client *from, struct slice first)
{
    struct client_h1 *c = client_new(from->f, from->front, from->stream, from);
    if (!c)
        return false;
    c->counted = true;
    client_h1_set_timer(c, client_h1_conf(c)->request_ms);
    stream_read(c->base.stream, true);
    if (first.n > 0)
        on_data(c->base.stream, first);
    return true;
}

void client_h1_refuse(struct forwarder *f, struct front *front, struct stream *s, enum reason why)
{
    struct client_h1 *c = client_new(f, front, s, NULL);
    if (!c)
        stream_close(&s, STREAM_CLOSE_NORMAL);
    else
        answer_alone(c, why);
}

size_t client_object_bytes(void)
{
    size_t own = MAX(sizeof(struct client_h1), (size_t)CLIENT_BYTES_SURE);
    return MAX(own, client_tcp_object_bytes());
}
