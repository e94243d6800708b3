/* SPDX-License-Identifier: MIT */
/*
 * One request of an HTTP/2 client: a stream of its connection, and the client's side of an
 * exchange.
 *
 * Two hold it: the exchange, until it releases or aborts the side, and the connection, until the
 * stream is closed. Whoever is the last frees it.
 */
#include "base/check.h"
#include "base/limits.h"
#include "codec/h1_write.h"
#include "forward/client_h2_priv.h"
#include "forward/exchange.h"
#include "forward/forwarder.h"
#include "forward/upload.h"

#include <string.h>

static struct request_h2 *from_side(struct side *s)
{
    return container_of(s, struct request_h2, side);
}

static struct request_h2 *from_stream(struct h2_stream *s)
{
    return container_of(s, struct request_h2, s);
}

/* The exchange has let go, or there was none. */
static void leave(struct request_h2 *r)
{
    CHECK(!r->side.x);
    bool closed = h2_stream_is_closed(&r->s);
    h2_stream_leave(&r->s);
    if (closed)
        client_h2_request_free(r);
}

/* ---- answers of ours ---- */

static nghttp2_nv pair(const char *name, const char *value, size_t value_len)
{
    return (nghttp2_nv){
        .name = (uint8_t *)(uintptr_t)name,
        .value = (uint8_t *)(uintptr_t)value,
        .namelen = strlen(name),
        .valuelen = value_len,
        .flags = NGHTTP2_NV_FLAG_NO_COPY_NAME,
    };
}

/* As forward/answer.h, in fields. Returns how many. */
static size_t answer_fields(nghttp2_nv nv[8], char text[32], enum reason why)
{
    int status = reason_status(why);
    const char *name = reason_name(why);
    struct writer w = writer_of((uint8_t *)text, 32);
    w_u64_dec(&w, (uint64_t)status);
    size_t status_len = w_len(&w);
    w_u64_dec(&w, strlen(reason_sentence(why)) + 1);
    size_t n = 0;
    nv[n++] = pair(":status", text, status_len);
    nv[n++] = pair("content-type", "text/plain; charset=utf-8", 25);
    nv[n++] = pair("x-poise-reason", name, strlen(name));
    nv[n++] = pair("content-length", text + status_len, w_len(&w) - status_len);
    if (status == 503 || status == 429)
        nv[n++] = pair("retry-after", "1", 1);
    return n;
}

/* Gives a whole response; flush follows. False when that is not possible any more. */
static bool give_answer(struct request_h2 *r, enum reason why)
{
    nghttp2_nv nv[8];
    char text[32];
    if (r->head_out || reason_status(why) == 0)
        return false;
    size_t n = answer_fields(nv, text, why);
    if (h2_stream_head(&r->s, nv, n, false, r->head_request) < 0)
        return false;
    r->head_out = true;
    if (!r->head_request) {
        const char *sentence = reason_sentence(why);
        h2_stream_body(&r->s,
                       (struct slice){(const uint8_t *)sentence, (uint32_t)strlen(sentence), NULL});
        h2_stream_body(&r->s, (struct slice){(const uint8_t *)"\n", 1, NULL});
    }
    return h2_stream_end(&r->s, NULL, 0) == 0;
}

/* Outside any exchange. */
void request_h2_refuse(struct request_h2 *r, enum reason why)
{
    struct client_h2 *c = r->c;
    struct forwarder *f = c->base.f;
    struct record record = {
        .start_wall_ms = loop_wall_ms(f->loop),
        .client = client_peer(&c->base),
        .listener = span_cstr(client_h2_conf(c)->name),
        .http = true,
        .made_here = true,
        .reason = why,
        .method_number = BOARD_METHOD_NONE,
        .listener_key = &c->base.front->key,
    };
    if (give_answer(r, why)) {
        record.status = (uint16_t)reason_status(why);
        record.bytes_out = strlen(reason_sentence(why)) + 1;
        h2_stream_flush(&r->s);
    } else {
        h2_stream_reset(&r->s, NGHTTP2_INTERNAL_ERROR);
    }
    account_exchange(f->account, &record);
    leave(r);
}

/* ---- the request ---- */

void request_h2_begin(struct request_h2 *r, struct head *h)
{
    struct client_h2 *c = r->c;
    struct forwarder *f = c->base.f;
    r->moved_ms = client_h2_now_ms(c);
    r->has_body = h->framing != BODY_NONE;
    r->head_request = h->method == METHOD_HEAD;
    if (r->websocket)
        h2_stream_read(&r->s, false); /* until there is somebody who has accepted */
    struct address peer = client_peer(&c->base);
    if (!exchange_begin_http(f, front_conf(c->base.front), &r->side, h, &peer, c->base.arrival))
        request_h2_refuse(r, REASON_overload);
}

void request_h2_body(struct h2_stream *s, struct slice piece)
{
    struct request_h2 *r = from_stream(s);
    r->moved_ms = client_h2_now_ms(r->c);
    if (r->side.x)
        exchange_body(r->side.x, &r->side, piece);
}

void request_h2_end(struct h2_stream *s)
{
    struct request_h2 *r = from_stream(s);
    struct span trailers =
        r->trailers ? span_of(r->trailers->data, r->trailer_bytes) : span_of(NULL, 0);
    r->request_done = true;
    if (r->side.x)
        exchange_end(r->side.x, &r->side, trailers);
}

void request_h2_input(struct h2_stream *s)
{
    struct request_h2 *r = from_stream(s);
    if (r->side.x)
        exchange_flush(r->side.x, &r->side);
}

void request_h2_writable(struct h2_stream *s)
{
    struct request_h2 *r = from_stream(s);
    r->moved_ms = client_h2_now_ms(r->c);
    if (r->side.x)
        exchange_writable(r->side.x, &r->side);
}

void request_h2_closed(struct h2_stream *s, enum reason why, uint32_t code)
{
    struct request_h2 *r = from_stream(s);
    (void)code;
    if (r->side.x) /* what it has may be cut off; its side is aborted, which frees */
        exchange_kill(r->side.x, why == REASON_ok ? REASON_client_closed : why);
    else
        client_h2_request_free(r);
}

void request_h2_look(struct request_h2 *r, uint64_t now_ms)
{
    struct exchange *x = r->side.x;
    if (!x || !r->has_body || r->request_done || r->tunnel || x->client_waits)
        return;
    if (upload_stalled(x, now_ms - r->moved_ms, client_h2_conf(r->c)->body_ms))
        exchange_client_failed(x, REASON_request_timeout);
}

/* ---- the client's side of an exchange ---- */

static int side_head(struct side *s, const struct head *h, struct slice raw)
{
    (void)raw;
    struct request_h2 *r = from_side(s);
    struct h2_room *room = h2_library_room(r->c->base.f->h2);
    bool interim = h->status < 200 && h->status != 101;
    bool end = h->framing == BODY_NONE || (h->framing == BODY_LENGTH && h->body_length == 0);
    h2_fields_response(h, r->websocket, h2_conn_packs_now(&r->c->h2), room->scratch, &room->fields);
    int rc = h2_stream_head(&r->s, room->fields.list, room->fields.count, interim, end);
    if (rc < 0)
        return rc;
    r->head_out = !interim;
    return h2_stream_has_room(&r->s) ? SIDE_OK : SIDE_FULL;
}

static int side_body(struct side *s, struct slice piece)
{
    return h2_stream_body(&from_side(s)->s, piece) ? SIDE_OK : SIDE_FULL;
}

static int side_end(struct side *s, struct span trailers)
{
    struct request_h2 *r = from_side(s);
    if (trailers.n == 0)
        return h2_stream_end(&r->s, NULL, 0);
    struct h2_room *room = h2_library_room(r->c->base.f->h2);
    h2_fields_trailers(trailers, true, room->scratch, &room->fields);
    return h2_stream_end(&r->s, room->fields.list, room->fields.count);
}

static bool side_flush(struct side *s)
{
    return h2_stream_flush(&from_side(s)->s);
}

static void side_credit(struct side *s, bool on)
{
    struct request_h2 *r = from_side(s);
    r->moved_ms = client_h2_now_ms(r->c);
    if (!r->websocket || r->tunnel || !on)
        h2_stream_read(&r->s, on);
}

static bool side_answer(struct side *s, enum reason why, uint16_t *ret_status)
{
    if (!give_answer(from_side(s), why))
        return false;
    *ret_status = (uint16_t)reason_status(why);
    return true;
}

static struct address side_local(struct side *s)
{
    return stream_local(from_side(s)->c->base.stream);
}

/* A head is compressed as it is given, which cannot be undone. */
static bool side_retract(struct side *s)
{
    return !from_side(s)->head_out;
}

static struct stream *side_bulk_from(struct side *s, uint64_t *ret_bytes)
{
    (void)s;
    *ret_bytes = 0;
    return NULL;
}

static struct stream *side_bulk_to(struct side *s)
{
    (void)s;
    return NULL;
}

static void side_bulk(struct side *s, bool on)
{
    (void)s;
    (void)on;
}

static void side_tunnel(struct side *s)
{
    struct request_h2 *r = from_side(s);
    r->tunnel = true;
    r->request_done = false;
    side_credit(s, true);
}

static void side_release(struct side *s, bool clean)
{
    (void)clean;
    leave(from_side(s));
}

/* What a client may make of a request that broke off. */
static uint32_t code_of(enum reason why)
{
    switch (why) {
    case REASON_request_timeout:
    case REASON_body_too_large:
    case REASON_client_too_slow: return NGHTTP2_ENHANCE_YOUR_CALM;
    case REASON_idle_timeout:
    case REASON_shutting_down: return NGHTTP2_CANCEL;
    default: return NGHTTP2_INTERNAL_ERROR;
    }
}

static void side_abort(struct side *s, enum reason why)
{
    struct request_h2 *r = from_side(s);
    h2_stream_reset(&r->s, code_of(why));
    leave(r);
}

const struct side_ops client_h2_side_ops = {
    .name = "client_h2",
    .version_major = 2,
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
