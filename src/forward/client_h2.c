/* SPDX-License-Identifier: MIT */
/*
 * A client that speaks HTTP/2: the connection, whose requests are exchanges of their own
 * (client_h2_request.c). Heads are put together here, field by field, and read by HTTP/1's rules.
 *
 * One timer for all: while there are requests it looks at those that take too long, now and then;
 * else it waits for the connection to have been idle long enough. It is not touched by each
 * request.
 */
#include "base/check.h"
#include "base/limits.h"
#include "forward/client_h2_priv.h"
#include "forward/exchange.h"
#include "forward/forwarder.h"

#include <string.h>

/* First room for the text of a head; most fit. */
#define BLOCK_ROOM_FIRST  2048
#define BLOCK_ROOM_SECOND (16 * 1024)

/* Beyond the limits a block is still read, for a proper answer; but not without end. */
#define BLOCK_BYTES_MAX (4 * HTTP_HEAD_MAX)

static struct client_h2 *from_conn(struct h2_conn *h2)
{
    return container_of(h2, struct client_h2, h2);
}

static struct request_h2 *from_stream(struct h2_stream *s)
{
    return container_of(s, struct request_h2, s);
}

static void set_timer(struct client_h2 *c, uint64_t ms)
{
    loop_timer_set(c->base.f->loop, &c->timer, ms);
}

/* ---- time ---- */

/* How often requests under way are looked at. */
static uint64_t tick_ms(const struct client_h2 *c)
{
    const struct listener_conf *conf = client_h2_conf(c);
    uint64_t shortest = MIN((uint64_t)conf->send_ms, (uint64_t)conf->body_ms);
    return MIN(shortest, (uint64_t)conf->request_ms) / 2 + 1;
}

/* How long a connection without a request may still be that. */
static uint64_t quiet_left_ms(const struct client_h2 *c)
{
    const struct listener_conf *conf = client_h2_conf(c);
    uint64_t limit_ms = h2_conn_has_spoken(&c->h2) ? conf->idle_ms : conf->request_ms;
    uint64_t quiet_ms = client_h2_now_ms(c) - c->quiet_since_ms;
    if (c->base.f->draining || front_leaving(c->base.front))
        limit_ms = MIN(limit_ms, c->base.f->quiet_ms);
    return limit_ms > quiet_ms ? limit_ms - quiet_ms : 0;
}

static void arm(struct client_h2 *c)
{
    c->drowsy = list_empty(&c->requests) && !h2_conn_in_block(&c->h2);
    set_timer(c, c->drowsy ? MAX(quiet_left_ms(c), (uint64_t)1) : tick_ms(c));
}

/* ---- the end of the connection ---- */

static void client_end(struct client_h2 *c, enum stream_close_how how)
{
    struct forwarder *f = c->base.f;
    CHECK(list_empty(&c->requests));
    buf_put(&c->block);
    loop_timer_stop(f->loop, &c->timer);
    h2_conn_fini(&c->h2);
    stream_close(&c->base.stream, how);
    atomic_fetch_sub_explicit(&c->base.front->connections, 1, memory_order_relaxed);
    forwarder_client_closed(f, &c->base);
    slab_put(&f->h2_clients, c);
}

/* A connection that was ended for what the client did is a record of its own: none of its requests
 * need to have been under way. Not so where it just went: what it left behind says so. */
static void account_end(struct client_h2 *c, enum reason why)
{
    bool went =
        why == REASON_client_closed || why == REASON_client_reset || why == REASON_tls_truncated;
    if (went || reason_fault(why) != REASON_FAULT_CLIENT)
        return;
    struct forwarder *f = c->base.f;
    struct record r = {
        .start_wall_ms = loop_wall_ms(f->loop),
        .client = client_peer(&c->base),
        .listener = span_cstr(client_h2_conf(c)->name),
        .http = true,
        .reason = why,
        .method_number = BOARD_METHOD_NONE,
        .listener_key = &c->base.front->key,
    };
    account_exchange(f->account, &r);
}

static void on_end(struct h2_conn *h2, enum reason why)
{
    struct client_h2 *c = from_conn(h2);
    account_end(c, why);
    if (c->hurry || !h2_conn_polite(h2)) {
        bool reset = why == REASON_client_too_slow || why == REASON_client_reset;
        client_end(c, reset ? STREAM_CLOSE_RESET : STREAM_CLOSE_NORMAL);
        return;
    }
    /* What the client still sends would reset the connection, and GOAWAY be lost with it. */
    c->state = CLIENT_H2_LINGER;
    stream_shutdown(c->base.stream);
    set_timer(c, CLIENT_LINGER_MS);
}

/* ---- requests ---- */

static struct request_h2 *request_new(struct client_h2 *c)
{
    struct request_h2 *r = slab_get_zeroed(&c->base.f->h2_requests);
    if (!r)
        return NULL;
    r->c = c;
    r->side.ops = &client_h2_side_ops;
    list_init(&r->link);
    list_add_tail(&c->requests, &r->link);
    if (c->drowsy)
        arm(c);
    return r;
}

void client_h2_request_free(struct request_h2 *r)
{
    struct client_h2 *c = r->c;
    list_del(&r->link);
    buf_put(&r->trailers);
    slab_put(&c->base.f->h2_requests, r);
    if (list_empty(&c->requests))
        c->quiet_since_ms = client_h2_now_ms(c);
}

static struct h2_stream *on_begin(struct h2_conn *h2)
{
    struct request_h2 *r = request_new(from_conn(h2));
    return r ? &r->s : NULL;
}

/* ---- header blocks ---- */

static void on_block_begin(struct h2_stream *s, enum h2_block block)
{
    struct client_h2 *c = from_conn(s->conn);
    buf_put(&c->block);
    c->block = buf_get(c->base.f->loop, BLOCK_ROOM_FIRST);
    c->limits = front_conf(c->base.front)->limits;
    c->rules = (struct h2_head_rules){
        .kind = block == H2_BLOCK_HEAD ? H2_HEAD_REQUEST : H2_HEAD_REQUEST_TRAILERS,
        .limits = &c->limits,
    };
    if (c->block)
        h2_head_begin(&c->head, &c->rules, c->block->data, c->block->size);
}

static bool block_grow(struct client_h2 *c)
{
    struct buf *before = c->block;
    size_t room = before->size < BLOCK_ROOM_SECOND ? BLOCK_ROOM_SECOND : H2_HEAD_BYTES_MAX;
    CHECK(before->size < H2_HEAD_BYTES_MAX);
    c->block = buf_get(c->base.f->loop, room);
    if (c->block)
        h2_head_move(&c->head, c->block->data, c->block->size);
    buf_put(&before);
    return c->block != NULL;
}

static int on_field(struct h2_stream *s, struct span name, struct span value)
{
    struct client_h2 *c = from_conn(s->conn);
    while (c->block && h2_head_add(&c->head, name, value) == H2_HEAD_ROOM && block_grow(c))
        continue;
    return c->block && h2_head_bytes(&c->head) > BLOCK_BYTES_MAX ? -(int)REASON_head_too_large : 0;
}

/* The text of the block, or a negative reason. */
static int block_end(struct client_h2 *c, bool end, struct span *ret_text)
{
    int rc = H2_HEAD_ROOM;
    while (c->block && rc == H2_HEAD_ROOM) {
        rc = h2_head_end(&c->head, end, &c->base.f->rng, ret_text);
        if (rc == H2_HEAD_ROOM && !block_grow(c))
            break;
    }
    return c->block ? rc : -(int)REASON_overload;
}

static void on_head(struct request_h2 *r, struct span text)
{
    struct client_h2 *c = r->c;
    struct forwarder *f = c->base.f;
    struct head_room *room = slab_get(&f->heads);
    if (!room) {
        request_h2_refuse(r, REASON_overload);
        return;
    }
    struct h1_reader reader;
    struct h1_result result;
    head_init(&room->head, room->path, sizeof(room->path));
    h1_reader_init(&reader, H1_REQUESTS, &c->limits);
    int event = h1_reader_next(&reader, text, &room->head, &result);
    CHECK(event == H1_HEAD || event < 0);
    if (event < 0)
        request_h2_refuse(r, (enum reason) - event);
    else
        request_h2_begin(r, &room->head);
    slab_put(&f->heads, room);
}

static void on_trailers(struct request_h2 *r, struct span text)
{
    struct client_h2 *c = r->c;
    r->trailer_bytes = (uint32_t)text.n;
    r->trailers = text.n > 0 ? c->block : NULL;
    if (text.n > 0)
        c->block = NULL;
}

static void on_block(struct h2_stream *s, enum h2_block block, bool end)
{
    struct client_h2 *c = from_conn(s->conn);
    struct request_h2 *r = from_stream(s);
    struct span text;
    int rc = block_end(c, end, &text);
    if (block == H2_BLOCK_HEAD) {
        r->websocket = rc == 0 && h2_head_is_websocket(&c->head);
        if (rc < 0)
            request_h2_refuse(r, (enum reason) - rc);
        else
            on_head(r, text);
    } else if (rc < 0) {
        if (r->side.x)
            exchange_client_failed(r->side.x, (enum reason) - rc);
    } else {
        on_trailers(r, text);
    }
    buf_put(&c->block);
}

static void on_goaway(struct h2_conn *h2, uint32_t code)
{
    (void)h2;
    (void)code; /* requests under way are still answered */
}

static const struct h2_conn_ops conn_ops = {
    .begin = on_begin,
    .block_begin = on_block_begin,
    .field = on_field,
    .block = on_block,
    .body = request_h2_body,
    .end = request_h2_end,
    .input = request_h2_input,
    .writable = request_h2_writable,
    .closed = request_h2_closed,
    .goaway = on_goaway,
    .failed = on_end,
};

/* ---- the stream ---- */

static void on_data(struct stream *s, struct slice in)
{
    struct client_h2 *c = s->user;
    if (c->state == CLIENT_H2_OPEN) {
        h2_conn_input(&c->h2, in);
        return;
    }
    c->lingered += in.n;
    if (c->lingered > LINGER_BYTES_MAX)
        client_end(c, STREAM_CLOSE_NORMAL);
}

static void on_eof(struct stream *s)
{
    struct client_h2 *c = s->user;
    if (c->state == CLIENT_H2_OPEN)
        h2_conn_eof(&c->h2, REASON_client_closed);
    else
        client_end(c, STREAM_CLOSE_NORMAL);
}

static void on_sent(struct stream *s)
{
    struct client_h2 *c = s->user;
    if (c->state == CLIENT_H2_OPEN)
        h2_conn_sent(&c->h2);
}

static void on_failed(struct stream *s, enum reason why)
{
    struct client_h2 *c = s->user;
    if (why == REASON_backend_reset)
        why = REASON_client_reset; /* what the loop calls any reset */
    if (c->state == CLIENT_H2_OPEN)
        h2_conn_fail(&c->h2, why, H2_NO_GOAWAY);
    else
        client_end(c, STREAM_CLOSE_NORMAL);
}

static const struct stream_ops stream_ops = {
    .data = on_data,
    .eof = on_eof,
    .sent = on_sent,
    .failed = on_failed,
};

static void leave_idle(struct client_h2 *c)
{
    if (c->leaving) { /* and GOAWAY cannot be sent */
        h2_conn_fail(&c->h2, REASON_ok, H2_NO_GOAWAY);
        return;
    }
    c->leaving = true;
    h2_conn_drain_now(&c->h2);
    set_timer(c, CLIENT_LINGER_MS);
}

static void on_timer(struct timer *t)
{
    struct client_h2 *c = container_of(t, struct client_h2, timer);
    const struct listener_conf *conf = client_h2_conf(c);
    if (c->state == CLIENT_H2_LINGER) {
        client_end(c, STREAM_CLOSE_NORMAL);
        return;
    }
    if (c->drowsy && list_empty(&c->requests) && quiet_left_ms(c) == 0) {
        leave_idle(c);
        return;
    }
    uint64_t now_ms = client_h2_now_ms(c);
    struct request_h2 *r;
    list_each_safe(r, &c->requests, link)
        request_h2_look(r, now_ms);
    if (h2_conn_tick(&c->h2, conf->send_ms, conf->request_ms))
        arm(c);
}

/* ---- the client as a connection ---- */

static void drain(struct client *base)
{
    struct client_h2 *c = container_of(base, struct client_h2, base);
    if (c->state != CLIENT_H2_OPEN)
        return;
    h2_conn_drain(&c->h2);
    if (list_empty(&c->requests))
        c->quiet_since_ms = client_h2_now_ms(c);
    arm(c);
}

static void close_now(struct client *base)
{
    struct client_h2 *c = container_of(base, struct client_h2, base);
    c->hurry = true;
    if (c->state == CLIENT_H2_OPEN)
        h2_conn_fail(&c->h2, REASON_shutting_down, NGHTTP2_NO_ERROR);
    else
        client_end(c, STREAM_CLOSE_NORMAL);
}

static void each(const struct client *base, client_exchange_fn *fn, void *user)
{
    const struct client_h2 *c = container_of(base, struct client_h2, base);
    const struct request_h2 *r;
    list_each(r, &c->requests, link) {
        if (r->side.x)
            fn(user, r->side.x);
    }
}

static const struct client_kind kind = {"h2", drain, close_now, each};

bool client_h2_take(struct client *from, struct slice first)
{
    struct forwarder *f = from->f;
    struct client_h2 *c = slab_get_zeroed(&f->h2_clients);
    if (!c)
        return false;
    c->base.kind = &kind;
    c->base.f = f;
    c->base.front = from->front;
    c->base.stream = from->stream;
    list_init(&c->requests);
    timer_init(&c->timer, on_timer);
    struct h2_conn_options options = {true, client_h2_conf(c)->streams_max};
    if (h2_conn_init(&c->h2, f->h2, f->loop, c->base.stream, &conn_ops, &options) < 0) {
        slab_put(&f->h2_clients, c);
        return false;
    }
    forwarder_client_became(f, from, &c->base);
    stream_set_ops(c->base.stream, &stream_ops, c);
    c->quiet_since_ms = client_h2_now_ms(c);
    arm(c);
    stream_read(c->base.stream, true);
    if (first.n > 0)
        on_data(c->base.stream, first);
    return true;
}

size_t client_h2_object_bytes(void)
{
    return sizeof(struct client_h2);
}

size_t client_h2_request_bytes(void)
{
    return sizeof(struct request_h2);
}
