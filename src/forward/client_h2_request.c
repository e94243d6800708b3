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
#include "forward/answer.h"
#include "forward/answer_grpc.h"
#include "forward/arrival_record.h"
#include "forward/client_h2_priv.h"
#include "forward/exchange.h"
#include "forward/forwarder.h"
#include "forward/response.h"
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

/* Names of fields in lower case, numbers as text. */
struct reply_room {
    nghttp2_nv nv[REPLY_FIELDS_MAX + 2];
    char names[128];
    char status[4], length[24];
};

/* Returns how many. */
static size_t write_reply(const struct reply *reply, struct reply_room *room)
{
    struct reply_field fields[REPLY_FIELDS_MAX];
    size_t n = 0, count = reply_fields(reply, fields);
    struct writer names = writer_of(room->names, sizeof(room->names));
    struct writer status = writer_of(room->status, sizeof(room->status));
    struct writer length = writer_of(room->length, sizeof(room->length));
    w_u64_dec(&status, reply->status);
    w_u64_dec(&length, reply->body.n);
    room->nv[n++] = pair(":status", room->status, w_len(&status));
    for (size_t i = 0; i < count; i++) {
        const char *name = room->names + w_len(&names);
        for (size_t k = 0; k < fields[i].name.n; k++)
            w_u8(&names, ascii_lower(fields[i].name.p[k]));
        w_u8(&names, '\0');
        CHECK(w_ok(&names));
        room->nv[n++] = pair(name, (const char *)fields[i].value.p, fields[i].value.n);
        room->nv[n - 1].flags = NGHTTP2_NV_FLAG_NONE;
    }
    room->nv[n++] = pair("content-length", room->length, w_len(&length));
    return n;
}

/* A head that is the whole response. */
static bool give_answer_grpc(struct request_h2 *r, enum reason why)
{
    struct answer_grpc a;
    nghttp2_nv nv[ANSWER_GRPC_FIELDS];
    answer_grpc(why, &a);
    for (size_t i = 0; i < ANSWER_GRPC_FIELDS; i++)
        nv[i] = (nghttp2_nv){
            .name = (uint8_t *)(uintptr_t)a.fields[i].name.p,
            .value = (uint8_t *)(uintptr_t)a.fields[i].value.p,
            .namelen = a.fields[i].name.n,
            .valuelen = a.fields[i].value.n,
        };
    r->head_out = h2_stream_head(&r->s, nv, ANSWER_GRPC_FIELDS, false, true) == 0;
    return r->head_out;
}

static bool give_body(struct request_h2 *r, struct slice body)
{
    h2_stream_body(&r->s, body);
    return h2_stream_end(&r->s, NULL, 0) == 0;
}

/* What does not last is copied, and handed on before the copy is let go. */
static bool give_copy(struct request_h2 *r, struct span body)
{
    struct buf *b = buf_get(r->c->base.f->loop, body.n);
    if (!b)
        return false;
    memcpy(b->data, body.p, body.n);
    bool ok = give_body(r, (struct slice){b->data, (uint32_t)body.n, b});
    if (ok)
        (void)h2_stream_flush(&r->s);
    buf_put(&b);
    return ok;
}

/* Gives a whole response; flush follows. False when that is not possible any more. */
static bool give_reply(struct request_h2 *r, const struct reply *reply)
{
    struct reply_room room;
    if (r->head_out || reply->status == 0)
        return false;
    if (r->side.x && r->side.x->grpc)
        return give_answer_grpc(r, reply->why);
    bool bare = r->head_request || reply->body.n == 0;
    size_t n = write_reply(reply, &room);
    if (h2_stream_head(&r->s, room.nv, n, false, bare) < 0)
        return false;
    r->head_out = true;
    if (bare)
        return h2_stream_end(&r->s, NULL, 0) == 0;
    if (!reply->lasting)
        return give_copy(r, reply->body);
    return give_body(r, (struct slice){reply->body.p, (uint32_t)reply->body.n, NULL});
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
    struct reply reply = reply_of(why);
    reply.hsts = response_hsts(front_conf(c->base.front), c->base.arrival, NULL);
    record_arrival(&record, c->base.arrival);
    if (give_reply(r, &reply)) {
        record.status = reply.status;
        record.bytes_out = reply.body.n;
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

/* A call of gRPC may be silent: the backend's side ends it when it has been for long
 * (exchange_quiet_ms). */
void request_h2_look(struct request_h2 *r, uint64_t now_ms)
{
    struct exchange *x = r->side.x;
    if (!x || !r->has_body || r->request_done || r->tunnel || x->grpc || x->client_waits)
        return;
    if (upload_stalled(x, now_ms - r->moved_ms, client_h2_conf(r->c)->body_ms))
        exchange_client_failed(x, REASON_request_timeout);
}

/* ---- the client's side of an exchange ---- */

/* Behind the others. */
static void add_hsts(struct h2_fields *f, struct span value)
{
    size_t at = (size_t)(f->list - f->room) + f->count;
    if (LIKELY(value.n == 0) || at >= ARRAY_LEN(f->room))
        return;
    f->room[at] = pair("strict-transport-security", (const char *)value.p, value.n);
    f->count++;
}

static int side_head(struct side *s, const struct head *h, struct slice raw)
{
    (void)raw;
    struct request_h2 *r = from_side(s);
    struct h2_room *room = h2_library_room(r->c->base.f->h2);
    bool interim = h->status < 200 && h->status != 101;
    bool end = h->framing == BODY_NONE || (h->framing == BODY_LENGTH && h->body_length == 0);
    h2_fields_response(h, r->websocket, h2_conn_packs_now(&r->c->h2), room->scratch, &room->fields);
    if (!interim)
        add_hsts(&room->fields, response_hsts(s->x->front, r->c->base.arrival, h));
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

static bool side_answer(struct side *s, const struct reply *reply)
{
    struct request_h2 *r = from_side(s);
    if (reply->last)
        r->c->base.kind->drain(&r->c->base);
    return give_reply(r, reply);
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
    case REASON_deadline_exceeded:
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
    .tunnel = side_tunnel,
    .release = side_release,
    .abort = side_abort,
};
