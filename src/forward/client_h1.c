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
#include "forward/client.h"
#include "forward/exchange.h"
#include "forward/forwarder.h"
#include "forward/h1_conn.h"
#include "forward/preface.h"
#include "forward/response.h"
#include "forward/tcp_side.h"
#include "forward/upload.h"

#include <string.h>

/* How long we listen to a client whose connection is being closed. */
#define LINGER_MS 2000

/* Chunk framing and the last chunk take this much scratch at most. */
#define FRAMING_BYTES (H1_CHUNK_BEGIN_MAX + HTTP_TRAILER_BYTES_MAX + 16)

/* client_h1.preface: the connection is known not to begin with it. */
#define PREFACE_NONE UINT8_MAX

enum client_state { CLIENT_IDLE, CLIENT_RECEIVING, CLIENT_ACTIVE, CLIENT_LINGER };

struct client_h1 {
    struct client base;
    struct h1_conn h1;
    struct timer timer;
    uint8_t state;     /* enum client_state */
    bool has_body;     /* the request under way has one */
    bool large;        /* … a large one */
    bool request_done; /* it is complete */
    bool next_due;     /* the exchange is over, the end of its request is yet to be read */
    bool keep_alive;   /* another request may follow */
    bool http10;
    bool head_request; /* answer without a body */
    bool chunked;      /* the response goes out in the chunked coding */
    bool until_close;  /* the end of the connection ends the response */
    bool sending;      /* a send is under way */
    bool shutdown_due; /* half-close after the next flush (tunnel) */
    bool head_out;     /* something of the response has been given to the kernel */
    bool tunnel;
    bool close_due;    /* linger once everything is sent */
    bool counted;      /* against the limit of the listener */
    uint8_t preface;   /* bytes of the HTTP/2 preface that came; PREFACE_NONE: it is none */
    uint32_t lingered; /* bytes dropped while lingering */
    uint64_t moved_ms; /* when something last moved while ACTIVE */
    uint64_t unsent;   /* at the last look, of a send under way */
};

static_assert(sizeof(struct client_h1) <= 192, "idle clients are counted in thousands");

static const struct stream_ops stream_ops;
static const struct h1_conn_ops conn_ops;
static const struct side_ops side_ops;
static const struct client_kind kind;

static struct client_h1 *from_side(struct side *s)
{
    struct client *base = container_of(s, struct client, side);
    return container_of(base, struct client_h1, base);
}

static struct client_h1 *from_conn(struct h1_conn *h1)
{
    return container_of(h1, struct client_h1, h1);
}

static const struct listener_conf *conf_of(const struct client_h1 *c)
{
    return front_conf(c->base.front)->conf;
}

/* No more requests after the present one. */
static bool is_draining(const struct client_h1 *c)
{
    return c->base.f->draining || front_leaving(c->base.front);
}

static uint64_t now_ms(const struct client_h1 *c)
{
    return loop_now(c->base.f->loop) / 1000000;
}

static void set_timer(struct client_h1 *c, uint64_t ms)
{
    loop_timer_set(c->base.f->loop, &c->timer, ms);
}

/* ---- end of the connection ---- */

static void client_free(struct client_h1 *c)
{
    h1_conn_fini(&c->h1);
    slab_put(&c->base.f->clients, c);
}

static void client_end(struct client_h1 *c, enum stream_close_how how)
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

/* Events of the connection may have ended it. */
static void after_events(struct client_h1 *c)
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
    set_timer(c, LINGER_MS);
}

/* Closes so that what was sent arrives: at once where the client has nothing more to say. */
static void close_gently(struct client_h1 *c)
{
    bool quiet = c->request_done && !h1_conn_has_input(&c->h1) && h1_conn_input_left(&c->h1) == 0;
    if (c->sending)
        c->close_due = true;
    else if (quiet)
        client_end(c, STREAM_CLOSE_NORMAL);
    else
        linger_begin(c);
}

/* ---- requests ---- */

static void idle_begin(struct client_h1 *c)
{
    c->state = CLIENT_IDLE;
    c->request_done = c->next_due = false;
    set_timer(c, is_draining(c) ? c->base.f->quiet_ms : conf_of(c)->idle_ms);
}

/* The request and its response are complete: the next one. */
static void client_next(struct client_h1 *c)
{
    h1_conn_next(&c->h1);
    if (c->large)
        stream_bulk_likely(c->base.stream);
    idle_begin(c);
    bool was_running = c->h1.running;
    h1_conn_resume(&c->h1);
    if (!was_running)
        after_events(c);
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
        .listener = span_cstr(conf_of(c)->name),
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
            set_timer(c, conf_of(c)->send_ms);
    }
    record_arrival(&r, c->base.arrival);
    account_exchange(f->account, &r);
    c->request_done = false;
    c->state = CLIENT_ACTIVE;
    c->moved_ms = now_ms(c);
    h1_conn_deafen(&c->h1);
    close_gently(c);
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
    c->moved_ms = now_ms(c);
    c->has_body = h->framing != BODY_NONE;
    c->large = bulk_is_large(h);
    c->http10 = h->version_minor == 0;
    c->keep_alive = h->keep_alive && !is_draining(c);
    c->head_request = h->method == METHOD_HEAD;
    c->chunked = c->until_close = c->request_done = false;
    if (c->has_body)
        set_timer(c, conf_of(c)->body_ms);
    struct address peer = client_peer(&c->base);
    if (!exchange_begin_http(f, front_conf(c->base.front), &c->base.side, h, &peer,
                             c->base.arrival))
        answer_alone(c, REASON_overload);
    return !h1->doomed;
}

static bool on_body(struct h1_conn *h1, struct slice piece)
{
    struct client_h1 *c = from_conn(h1);
    c->moved_ms = now_ms(c);
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
        client_next(c);
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
        set_timer(c, conf_of(c)->request_ms);
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
        client_end(c, STREAM_CLOSE_NORMAL);
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
    enum preface is = conf_of(c)->http2 ? preface_look(before, slice_span(in)) : PREFACE_NOT;
    if (is == PREFACE_WHOLE) {
        become_h2(c, in);
    } else if (is == PREFACE_MORE) {
        c->preface = (uint8_t)(before + in.n);
    } else {
        c->preface = PREFACE_NONE;
        if (before == 0 ||
            h1_conn_input(&c->h1, (struct slice){preface_begin(before).p, before, NULL}))
            return true;
        after_events(c);
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
            client_end(c, STREAM_CLOSE_NORMAL);
        return;
    }
    h1_conn_input(&c->h1, in);
    after_events(c);
}

static void on_eof(struct stream *s)
{
    struct client_h1 *c = s->user;
    struct exchange *x = c->base.side.x;
    c->keep_alive = false;
    if (!x) {
        if (!c->sending)
            client_end(c, STREAM_CLOSE_NORMAL);
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
    c->moved_ms = now_ms(c);
    if (c->close_due)
        close_gently(c);
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
        client_end(c, STREAM_CLOSE_NORMAL);
}

static void on_moved(struct stream *s, uint64_t n, bool over)
{
    struct client_h1 *c = s->user;
    c->moved_ms = now_ms(c);
    bool end = h1_conn_skip(&c->h1, n);
    if (!bulk_moved(c->base.side.x, &c->base.side, n, over) || !end)
        return;
    h1_conn_end(&c->h1);
    after_events(c);
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
        c->moved_ms = now_ms(c);
        return false;
    }
    return quiet_ms >= conf_of(c)->send_ms;
}

static bool body_stalled(const struct client_h1 *c, uint64_t quiet_ms)
{
    const struct exchange *x = c->base.side.x;
    return x && c->has_body && !c->request_done && !c->h1.paused && !c->tunnel &&
           upload_stalled(x, quiet_ms, conf_of(c)->body_ms);
}

/* While a request is under way only the client's own part is timed here. */
static void active_timeout(struct client_h1 *c)
{
    struct exchange *x = c->base.side.x;
    const struct listener_conf *conf = conf_of(c);
    if (x && bulk_held(x, &c->base.side)) { /* the backend is slow to take the body */
        c->moved_ms = now_ms(c);
        exchange_body_held(x);
    }
    uint64_t quiet_ms = now_ms(c) - c->moved_ms;
    if (c->sending && send_stalled(c, quiet_ms)) {
        if (x)
            exchange_client_failed(x, REASON_client_too_slow);
        else
            client_end(c, STREAM_CLOSE_RESET);
    } else if (body_stalled(c, quiet_ms)) {
        exchange_client_failed(x, REASON_request_timeout);
    } else {
        uint64_t shortest = conf->send_ms < conf->body_ms ? conf->send_ms : conf->body_ms;
        set_timer(c, shortest / 2 + 1);
    }
}

static void on_timer(struct timer *t)
{
    struct client_h1 *c = container_of(t, struct client_h1, timer);
    switch ((enum client_state)c->state) {
    case CLIENT_IDLE:
    case CLIENT_LINGER: client_end(c, STREAM_CLOSE_NORMAL); break;
    case CLIENT_RECEIVING: answer_alone(c, REASON_request_timeout); break;
    case CLIENT_ACTIVE: active_timeout(c); break;
    }
}

/* ---- the client's side of an exchange ---- */

/* How the response's end will show, given what this client understands. */
static void choose_framing(struct client_h1 *c, const struct head *h)
{
    bool unsized = h->framing == BODY_CHUNKED || h->framing == BODY_CLOSE;
    c->chunked = unsized && !c->http10;
    c->until_close = unsized && c->http10;
    if (c->until_close || (c->has_body && !c->request_done) || is_draining(c))
        c->keep_alive = false;
}

static int side_head(struct side *s, const struct head *h, struct slice raw)
{
    struct client_h1 *c = from_side(s);
    struct outbox *o = outbox_for(c->base.f, s);
    bool final = h->status >= 200;
    if (final)
        choose_framing(c, h);
    struct span hsts = final ? response_hsts(s->x->front, c->base.arrival, h) : span_of(NULL, 0);
    bool plain = h->hop_count == 0 && h->version_minor == 1 && !c->chunked && !c->http10 &&
                 (c->keep_alive || !final) && hsts.n == 0;
    c->head_out = c->head_out && !final;
    if (plain && raw.n > 0 && outbox_add(o, raw))
        return SIDE_OK;
    uint32_t room = h->head_len + 256;
    uint8_t *p = outbox_reserve(c->base.f, o, room);
    if (!p)
        return -(int)REASON_overload;
    struct writer w = writer_of(p, room);
    response_write(&w, h, &(struct response_form){c->chunked, c->keep_alive, c->http10, hsts});
    CHECK(w_ok(&w));
    outbox_commit(o, (uint32_t)w_len(&w));
    return outbox_has_room(o) ? SIDE_OK : SIDE_FULL;
}

static int side_body(struct side *s, struct slice piece)
{
    struct client_h1 *c = from_side(s);
    struct outbox *o = outbox_for(c->base.f, s);
    if (c->chunked) {
        uint8_t *p = outbox_reserve(c->base.f, o, H1_CHUNK_BEGIN_MAX);
        if (!p)
            return -(int)REASON_overload;
        outbox_commit(o, (uint32_t)h1_chunk_begin(p, piece.n, true));
    }
    if (!outbox_add(o, piece) || (c->chunked && !outbox_add(o, outbox_crlf)))
        return -(int)REASON_overload;
    return outbox_has_room(o) ? SIDE_OK : SIDE_FULL;
}

static int side_end(struct side *s, struct span trailers)
{
    struct client_h1 *c = from_side(s);
    if (c->tunnel)
        c->shutdown_due = true;
    if (!c->chunked)
        return SIDE_OK;
    struct outbox *o = outbox_for(c->base.f, s);
    uint8_t *p = outbox_reserve(c->base.f, o, FRAMING_BYTES);
    if (!p)
        return -(int)REASON_overload;
    struct writer w = writer_of(p, FRAMING_BYTES);
    h1_write_chunk_last(&w, true, trailers);
    CHECK(w_ok(&w));
    outbox_commit(o, (uint32_t)w_len(&w));
    c->chunked = false;
    return SIDE_OK;
}

/* Whether another request may follow the one under way. */
static bool may_follow(const struct client_h1 *c)
{
    return c->keep_alive && (c->request_done || !c->has_body);
}

/* Whether the connection ends with what is sent now. */
static bool ends_now(const struct client_h1 *c)
{
    const struct exchange *x = c->base.side.x;
    return x && x->response_done && !c->tunnel && !may_follow(c);
}

static bool side_flush(struct side *s)
{
    struct client_h1 *c = from_side(s);
    struct forwarder *f = c->base.f;
    if (f->outbox.owner == s && f->outbox.count > 0) {
        CHECK(!c->sending);
        f->outbox.last = ends_now(c);
        c->sending = outbox_send(f, &f->outbox, c->base.stream) == SEND_PENDING;
        c->head_out = true;
        c->moved_ms = now_ms(c);
        if (c->sending)
            set_timer(c, conf_of(c)->send_ms);
    }
    if (c->shutdown_due) {
        c->shutdown_due = false;
        stream_shutdown(c->base.stream);
    }
    return !c->sending;
}

static void side_credit(struct side *s, bool on)
{
    struct client_h1 *c = from_side(s);
    if (!on) {
        h1_conn_pause(&c->h1);
        return;
    }
    bool was_running = c->h1.running;
    c->moved_ms = now_ms(c);
    h1_conn_resume(&c->h1);
    if (!was_running)
        after_events(c);
}

static bool side_answer(struct side *s, const struct reply *r)
{
    struct client_h1 *c = from_side(s);
    struct forwarder *f = c->base.f;
    struct outbox *o = outbox_for(f, s);
    uint32_t room = (uint32_t)reply_bytes(r);
    uint8_t *p = c->sending ? NULL : outbox_reserve(f, o, room);
    if (!p)
        return false;
    if ((c->has_body && !c->request_done) || reason_fault(r->why) == REASON_FAULT_CLIENT || r->last)
        c->keep_alive = false;
    c->chunked = false;
    struct writer w = writer_of(p, room);
    const char *kept = c->http10 ? "keep-alive" : NULL; /* what HTTP/1.1 does unasked */
    reply_write(&w, r, c->keep_alive ? kept : "close", c->head_request);
    CHECK(w_ok(&w));
    outbox_commit(o, (uint32_t)w_len(&w));
    return true;
}

static struct address side_local(struct side *s)
{
    return stream_local(from_side(s)->base.stream);
}

static bool side_retract(struct side *s)
{
    struct client_h1 *c = from_side(s);
    if (c->head_out)
        return false;
    outbox_drop(c->base.f, s);
    return true;
}

static struct stream *side_bulk_from(struct side *s, uint64_t *ret_bytes)
{
    struct client_h1 *c = from_side(s);
    *ret_bytes = h1_conn_rest(&c->h1);
    return *ret_bytes > 0 ? c->base.stream : NULL;
}

static struct stream *side_bulk_to(struct side *s)
{
    struct client_h1 *c = from_side(s);
    return c->chunked || c->tunnel ? NULL : c->base.stream;
}

static void side_bulk(struct side *s, bool on)
{
    struct client_h1 *c = from_side(s);
    c->moved_ms = now_ms(c);
    if (on && !c->sending)
        set_timer(c, conf_of(c)->send_ms);
    c->sending = on;
}

static void side_tunnel(struct side *s)
{
    struct client_h1 *c = from_side(s);
    c->tunnel = true;
    c->keep_alive = false;
    c->request_done = false;
    h1_reader_tunnel(&c->h1.message->reader);
    side_credit(s, true);
}

static void side_release(struct side *s, bool clean)
{
    struct client_h1 *c = from_side(s);
    (void)clean;
    if (!may_follow(c))
        close_gently(c);
    else if (c->request_done)
        client_next(c);
    else
        c->next_due = true;
}

static void side_abort(struct side *s, enum reason why)
{
    struct client_h1 *c = from_side(s);
    /* Where only the end of the connection would end the response, a plain close would make a
     * truncated response look whole. */
    bool reset = c->until_close || side_is_torn(why) || why == REASON_client_too_slow;
    client_end(c, reset ? STREAM_CLOSE_RESET : STREAM_CLOSE_NORMAL);
}

static const struct side_ops side_ops = {
    .name = "client_h1",
    .head = side_head,
    .body = side_body,
    .end = side_end,
    .flush = side_flush,
    .credit = side_credit,
    .answer = side_answer,
    .local = side_local,
    .retract = side_retract,
    .bulk_from = side_bulk_from,
    .bulk_to = side_bulk_to,
    .bulk = side_bulk,
    .tunnel = side_tunnel,
    .release = side_release,
    .abort = side_abort,
};

/* ---- the client as a connection ---- */

static void drain(struct client *base)
{
    struct client_h1 *c = container_of(base, struct client_h1, base);
    if (c->state == CLIENT_IDLE)
        set_timer(c, base->f->quiet_ms);
}

static void close_now(struct client *base)
{
    struct client_h1 *c = container_of(base, struct client_h1, base);
    if (base->side.x)
        exchange_kill(base->side.x, REASON_shutting_down);
    else
        client_end(c, STREAM_CLOSE_NORMAL);
}

static const struct client_kind kind = {.name = "h1", .drain = drain, .close_now = close_now};

static struct client_h1 *client_make(struct forwarder *f, struct front *front, struct stream *s)
{
    struct client_h1 *c = slab_get_zeroed(&f->clients);
    if (!c)
        return NULL;
    c->base.kind = &kind;
    c->base.f = f;
    c->base.front = front;
    c->base.stream = s;
    c->base.side.ops = &side_ops;
    h1_conn_init(&c->h1, f, &conn_ops);
    c->h1.stream = s;
    timer_init(&c->timer, on_timer);
    stream_set_ops(s, &stream_ops, c);
    return c;
}

static struct client_h1 *client_new(struct forwarder *f, struct front *front, struct stream *s)
{
    struct client_h1 *c = client_make(f, front, s);
    if (c)
        forwarder_client_opened(f, &c->base);
    return c;
}

void client_h1_open(struct forwarder *f, struct front *front, struct stream *s)
{
    struct client_h1 *c = client_new(f, front, s);
    if (!c) {
        stream_close(&s, STREAM_CLOSE_NORMAL);
        return;
    }
    c->counted = true;
    atomic_fetch_add_explicit(&front->connections, 1, memory_order_relaxed);
    set_timer(c, conf_of(c)->request_ms);
    stream_read(s, true);
}

bool client_h1_take(struct client *from, struct slice first)
{
    struct client_h1 *c = client_make(from->f, from->front, from->stream);
    if (!c)
        return false;
    forwarder_client_became(from->f, from, &c->base);
    c->counted = true;
    set_timer(c, conf_of(c)->request_ms);
    stream_read(c->base.stream, true);
    if (first.n > 0)
        on_data(c->base.stream, first);
    return true;
}

void client_h1_refuse(struct forwarder *f, struct front *front, struct stream *s, enum reason why)
{
    struct client_h1 *c = client_new(f, front, s);
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
