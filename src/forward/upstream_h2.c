/* SPDX-License-Identifier: MIT */
/*
 * A request over HTTP/2: the backend side of an exchange, on one stream of a shared connection.
 *
 * Who owns whom: from upstream_h2_begin to request_end the exchange has it; its memory stays until
 * the connection has closed the stream too. What must stay true: the fields of the request are
 * borrowed from x->request, and what is gathered for the client from head_buf until it is flushed.
 */
#include "forward/upstream_h2.h"

#include "codec/h2_fields.h"
#include "forward/forwarder.h"
#include "forward/upstream_h2_priv.h"

/* Decoded bytes of one header block at which the connection is given up. */
#define BLOCK_BYTES_MAX (4 * HTTP_HEAD_MAX)

/* First room for a head; most are complete within this. */
#define BLOCK_ROOM_FIRST 2048

static const struct side_ops side_ops;

size_t upstream_request_object_bytes(void)
{
    return sizeof(struct upstream_request);
}

static struct upstream_request *from_side(struct side *s)
{
    struct upstream_request *r = container_of(s, struct upstream_request, side);
    CHECK(r->magic == UPSTREAM_REQUEST_MAGIC);
    return r;
}

/* ---- its end ---- */

static void request_free(struct upstream_request *r)
{
    struct forwarder *f = r->f;
    buf_put(&r->head_buf);
    buf_put(&r->trailer_buf);
    buf_put(&r->late_buf);
    r->magic = 0;
    slab_put(&f->upstream_requests, r);
}

/* The exchange has let go of it. */
static void request_end(struct upstream_request *r)
{
    struct upstream_h2 *u = r->conn;
    CHECK(!r->side.x);
    loop_timer_stop(r->f->loop, &r->timer);
    list_del(&r->link);
    if (r->opened)
        h2_stream_leave(&r->stream);
    if (!r->opened || h2_stream_is_closed(&r->stream))
        request_free(r);
    upstream_h2_drop(u);
}

/*
 * Whether a failure counts for the backend. Not when it is the connection that went, which many
 * were on and which had been good before; nor when the request was not even looked at, but for one
 * that meets nothing else.
 */
static bool is_fresh(const struct upstream_request *r, enum reason why)
{
    if (why == REASON_stream_refused)
        return r->side.x->retries >= 2;
    return why == REASON_backend_stream_reset || !r->conn->reused;
}

void upstream_request_fail(struct upstream_request *r, enum reason why)
{
    struct exchange *x = r->side.x;
    if (why == REASON_backend_h2_error && !r->conn->settled)
        why = REASON_backend_no_http2; /* it did not even begin with its settings */
    bool fresh = is_fresh(r, why);
    struct buf *head = r->head_buf; /* what is gathered for the client may lie there */
    r->head_buf = NULL;
    r->side.x = NULL;
    x->backend = NULL;
    if (r->opened && !h2_stream_is_closed(&r->stream))
        h2_stream_reset(&r->stream, NGHTTP2_CANCEL);
    request_end(r);
    exchange_backend_failed(x, why, fresh);
    buf_put(&head);
}

/* ---- time ---- */

/* What is being waited for now decides how long. */
static void arm(struct upstream_request *r)
{
    const struct exchange *x = r->side.x;
    const struct pool_conf *conf = pool_conf(x->pool);
    bool awaited = !r->opened || (x->request_done && !x->response_begun && !x->tunnel);
    loop_timer_set(r->f->loop, &r->timer, awaited ? conf->response_ms : exchange_quiet_ms(x));
}

/* A backend that takes a little of an upload now and then is slow, not gone. */
static bool send_stalled(struct upstream_request *r)
{
    bool moved = r->stream.output_bytes != r->unsent;
    r->unsent = r->stream.output_bytes;
    return !moved;
}

/* A connection that has said nothing to anybody since then may be dead. */
static void part_if_silent(struct upstream_request *r)
{
    if (r->conn->heard_ns <= r->begun_ns)
        upstream_h2_part(r->conn);
}

static void on_timer(struct timer *t)
{
    struct upstream_request *r = container_of(t, struct upstream_request, timer);
    struct exchange *x = r->side.x;
    if (x->tunnel) {
        exchange_quiet(x);
    } else if (r->late_buf) {
        arm(r); /* it is the client that is slow */
    } else if (!r->opened || (x->request_done && !x->response_begun && !r->sending)) {
        part_if_silent(r);
        upstream_request_fail(r, REASON_response_timeout);
    } else if (x->grpc && !r->sending && !x->backend_waits) {
        exchange_quiet(x);
    } else if (r->sending ? send_stalled(r) : x->response_begun && !x->backend_waits) {
        part_if_silent(r);
        upstream_request_fail(r, REASON_backend_too_slow);
    } else {
        arm(r); /* it is the client that is slow, and timed on its own side */
    }
}

/* ---- header blocks ---- */

static void on_block_begin(struct h2_stream *s, enum h2_block block)
{
    struct upstream_request *r = upstream_request_of(s);
    struct upstream_h2 *u = r->conn;
    r->side.x->heard = true;
    u->rules = (struct h2_head_rules){
        .kind = block == H2_BLOCK_HEAD ? H2_HEAD_RESPONSE : H2_HEAD_RESPONSE_TRAILERS,
        .limits = &h1_limits_default,
        .to_head = r->side.x->method == METHOD_HEAD,
        .websocket_key = r->websocket_key,
    };
    buf_put(&u->block_buf); /* of a block whose request left in the middle */
    u->block_buf = buf_get(u->f->loop, BLOCK_ROOM_FIRST);
    if (u->block_buf)
        h2_head_begin(&u->block, &u->rules, u->block_buf->data, u->block_buf->size);
}

/* The block goes on in a larger buffer. */
static bool block_grow(struct upstream_h2 *u)
{
    struct buf *larger = buf_get(u->f->loop, H2_HEAD_BYTES_MAX);
    if (!larger)
        return false;
    h2_head_move(&u->block, larger->data, larger->size);
    buf_put(&u->block_buf);
    u->block_buf = larger;
    return true;
}

/* Without a buffer the block is read to its end all the same. */
static int on_field(struct h2_stream *s, struct span name, struct span value)
{
    struct upstream_h2 *u = upstream_request_of(s)->conn;
    if (!u->block_buf)
        return 0;
    if (h2_head_add(&u->block, name, value) == H2_HEAD_ROOM) {
        if (block_grow(u))
            (void)!h2_head_add(&u->block, name, value);
        else
            buf_put(&u->block_buf);
    }
    return h2_head_bytes(&u->block) > BLOCK_BYTES_MAX ? -(int)REASON_response_head_too_large : 0;
}

/* The text of the block, or a negative reason; *ret_buf is what it lies in. */
static int block_text(struct upstream_h2 *u, bool end, struct span *ret_text, struct buf **ret_buf)
{
    if (!u->block_buf)
        return -(int)REASON_overload;
    int rc = h2_head_end(&u->block, end, NULL, ret_text);
    if (rc == H2_HEAD_ROOM)
        rc = block_grow(u) ? h2_head_end(&u->block, end, NULL, ret_text) : -(int)REASON_overload;
    if (rc == H2_HEAD_OK) {
        *ret_buf = u->block_buf;
        u->block_buf = NULL;
    }
    return rc;
}

/* ---- the response ---- */

static bool is_interim(const struct head *h)
{
    return h->status < 200 && h->status != 101;
}

/* 0, or why a response may not go on to the client. */
static enum reason look_at_head(struct upstream_request *r, const struct head *h)
{
    if (is_interim(h))
        return ++r->interim_count > HTTP_INTERIM_MAX ? REASON_too_many_interim : REASON_ok;
    if (h->framing == BODY_TUNNEL && !exchange_asked_for(r->side.x, h))
        return REASON_unexpected_upgrade;
    r->framing = (uint8_t)h->framing;
    r->left = h->framing == BODY_LENGTH ? h->body_length : 0;
    return REASON_ok;
}

/* Through the HTTP/1 reader: 0, or a negative reason. */
static int read_head(struct upstream_request *r, struct span text, struct head *h)
{
    struct h1_reader reader;
    struct h1_result result;
    h1_reader_init(&reader, H1_RESPONSES, &h1_limits_default);
    h1_reader_expect(&reader, r->side.x->method, r->websocket);
    int event = h1_reader_next(&reader, text, h, &result);
    if (event < 0)
        return event;
    CHECK(event == H1_HEAD && result.used == text.n);
    return -(int)look_at_head(r, h);
}

static void on_head(struct upstream_request *r, struct span text)
{
    struct exchange *x = r->side.x;
    struct forwarder *f = r->f;
    struct head_room *room = slab_get(&f->heads);
    int rc = -(int)REASON_overload;
    if (room) {
        head_init(&room->head, room->path, sizeof(room->path));
        rc = read_head(r, text, &room->head);
    }
    if (rc < 0) {
        upstream_request_fail(r, (enum reason) - rc);
    } else {
        if (UNLIKELY(x->grpc))
            exchange_note_answer(x, &room->head);
        exchange_response(x, &room->head, (struct slice){text.p, (uint32_t)text.n, r->head_buf});
        if (r->side.x)
            arm(r);
    }
    if (room)
        slab_put(&f->heads, room);
}

static void begin_head(struct upstream_request *r, struct span text, struct buf *buf)
{
    CHECK(!r->head_buf);
    r->head_buf = buf;
    on_head(r, text);
}

/* Heads come whether they can be taken or not. While the client's side is still busy with interim
 * responses, the final one waits, and further interim ones are left out. */
static void keep_head(struct upstream_request *r, struct span text, struct buf *buf, bool interim)
{
    if (!interim) {
        r->late_buf = buf;
        r->late = text;
        return;
    }
    buf_put(&buf);
    if (++r->interim_count > HTTP_INTERIM_MAX)
        upstream_request_fail(r, REASON_too_many_interim);
}

static void take_head(struct upstream_request *r, struct span text, struct buf *buf)
{
    bool interim = r->conn->block.status < 200;
    if (r->head_buf) { /* of an interim response: gathered, and on its way before this one */
        exchange_flush(r->side.x, &r->side);
        buf_put(&r->head_buf);
    }
    if (!r->side.x)
        buf_put(&buf);
    else if (r->side.x->backend_waits)
        keep_head(r, text, buf, interim);
    else
        begin_head(r, text, buf);
}

/* False when that was the end of the request. */
static bool take_late_head(struct upstream_request *r)
{
    struct buf *buf = r->late_buf;
    if (LIKELY(!buf))
        return true;
    r->late_buf = NULL;
    begin_head(r, r->late, buf);
    return r->side.x != NULL;
}

static void on_block(struct h2_stream *s, enum h2_block block, bool end)
{
    struct upstream_request *r = upstream_request_of(s);
    struct span text;
    struct buf *buf = NULL;
    int rc = block_text(r->conn, end, &text, &buf);
    if (rc == 0 && block == H2_BLOCK_TRAILER && !end) {
        buf_put(&buf);
        rc = -(int)REASON_backend_h2_error;
    }
    if (rc < 0) {
        upstream_request_fail(r, (enum reason) - rc);
    } else if (block == H2_BLOCK_TRAILER) {
        r->trailer_buf = buf;
        r->trailers = text;
    } else {
        take_head(r, text, buf);
    }
}

static void on_body(struct h2_stream *s, struct slice piece)
{
    struct upstream_request *r = upstream_request_of(s);
    if (!take_late_head(r))
        return;
    bool counted = r->framing == BODY_LENGTH || r->framing == BODY_NONE;
    if (counted && piece.n > r->left) {
        upstream_request_fail(r, REASON_bad_response_length);
        return;
    }
    r->left -= counted ? piece.n : 0;
    arm(r);
    exchange_body(r->side.x, &r->side, piece);
}

static void end_response(struct upstream_request *r)
{
    struct exchange *x = r->side.x;
    if (UNLIKELY(x->grpc))
        exchange_note_trailers(x, r->trailers);
    exchange_end(x, &r->side, r->trailers);
}

static void on_end(struct h2_stream *s)
{
    struct upstream_request *r = upstream_request_of(s);
    struct exchange *x = r->side.x;
    if (!take_late_head(r))
        return;
    if (!x->response_begun)
        upstream_request_fail(r, REASON_backend_h2_error);
    else if (r->framing == BODY_LENGTH && r->left > 0)
        upstream_request_fail(r, REASON_bad_response_length);
    else
        end_response(r);
}

static void on_input(struct h2_stream *s)
{
    struct upstream_request *r = upstream_request_of(s);
    if (!r->side.x->backend_waits && !take_late_head(r))
        return;
    exchange_flush(r->side.x, &r->side);
    buf_put(&r->head_buf);
}

static void on_writable(struct h2_stream *s)
{
    struct upstream_request *r = upstream_request_of(s);
    r->sending = false;
    arm(r);
    exchange_writable(r->side.x, &r->side);
}

static void on_closed(struct h2_stream *s, enum reason why, uint32_t code)
{
    (void)code;
    struct upstream_request *r = upstream_request_of(s);
    struct upstream_h2 *u = r->conn;
    upstream_h2_sort(u);
    if (r->side.x)
        upstream_request_fail(r, why ? why : REASON_backend_stream_reset);
    else
        request_free(r);
}

const struct h2_conn_ops upstream_h2_conn_ops = {
    .block_begin = on_block_begin,
    .field = on_field,
    .block = on_block,
    .body = on_body,
    .end = on_end,
    .input = on_input,
    .writable = on_writable,
    .closed = on_closed,
    .goaway = upstream_h2_on_goaway,
    .settings = upstream_h2_on_settings,
    .failed = upstream_h2_on_failed,
};

/* ---- the backend's side of an exchange ---- */

static int side_body(struct side *s, struct slice piece)
{
    return h2_stream_body(&from_side(s)->stream, piece) ? SIDE_OK : SIDE_FULL;
}

static int side_end(struct side *s, struct span trailers)
{
    struct upstream_request *r = from_side(s);
    const struct exchange *x = s->x;
    if (!r->opened || (!x->has_body && !x->tunnel))
        return SIDE_OK;
    if (!x->tunnel)
        arm(r);
    if (trailers.n == 0)
        return h2_stream_end(&r->stream, NULL, 0);
    struct h2_fields fields;
    uint8_t scratch[H2_FIELDS_SCRATCH];
    h2_fields_trailers(trailers, false, scratch, &fields);
    return h2_stream_end(&r->stream, fields.list, fields.count);
}

static bool side_flush(struct side *s)
{
    struct upstream_request *r = from_side(s);
    if (!r->opened)
        return true;
    bool was_sending = r->sending;
    r->sending = !h2_stream_flush(&r->stream);
    if (r->sending && !was_sending)
        r->unsent = r->stream.output_bytes;
    if ((r->sending && !was_sending) || s->x->tunnel || s->x->grpc)
        arm(r); /* of a conversation, either end keeps it alive */
    return !r->sending;
}

static void side_credit(struct side *s, bool on)
{
    struct upstream_request *r = from_side(s);
    if (!r->opened)
        return;
    if (on)
        arm(r);
    h2_stream_read(&r->stream, on);
    if (on && r->late_buf)
        h2_stream_recall(&r->stream);
}

static void side_tunnel(struct side *s)
{
    arm(from_side(s));
}

static void side_release(struct side *s, bool clean)
{
    struct upstream_request *r = from_side(s);
    if (clean)
        r->conn->reused = true;
    request_end(r);
}

static void side_abort(struct side *s, enum reason why)
{
    (void)why;
    struct upstream_request *r = from_side(s);
    if (r->opened)
        h2_stream_reset(&r->stream, NGHTTP2_CANCEL);
    request_end(r);
}

static const struct side_ops side_ops = {
    .name = "upstream_h2",
    .body = side_body,
    .end = side_end,
    .flush = side_flush,
    .credit = side_credit,
    .tunnel = side_tunnel,
    .release = side_release,
    .abort = side_abort,
};

/* ---- begin ---- */

/* The request's head becomes a stream. 0, or a negative reason. */
static int request_open(struct upstream_request *r)
{
    struct exchange *x = r->side.x;
    struct h2_conn *c = &r->conn->h2;
    struct h2_fields fields;
    struct span scheme = pool_conf(x->pool)->tls.enabled ? span_str("https") : span_str("http");
    h2_fields_request((uint8_t *)(uintptr_t)x->request.p, x->request.n, scheme, x->upgrade,
                      h2_conn_packs_now(c), &fields);
    if (fields.websocket && !h2_conn_takes_websocket(c))
        return -(int)REASON_backend_no_websocket;
    r->websocket = fields.websocket;
    r->websocket_key = fields.websocket ? fields.websocket_key : span_of(NULL, 0);
    /* Sent again, a request whose end has come has an empty body. */
    bool end = (!x->has_body || x->request_done) && !fields.websocket;
    int rc = h2_stream_open(c, &r->stream, fields.list, fields.count, end);
    r->opened = rc == 0;
    return rc;
}

/* Whether it must know what the backend's settings allow: an upgrade, whether it is offered at all;
 * a body, that it will not be one request too many, as it can be sent only once. */
static bool must_wait(const struct upstream_request *r)
{
    return (r->side.x->upgrade || r->side.x->has_body) && !r->conn->settled;
}

static void wait_for(struct upstream_request *r, struct list *waiting)
{
    list_add_tail(waiting, &r->link);
}

void upstream_request_go_on(struct upstream_request *r)
{
    struct exchange *x = r->side.x;
    if (x->state == EXCHANGE_CONNECTING)
        exchange_connected(x, r->conn->stream);
    if (must_wait(r)) {
        arm(r);
        wait_for(r, &r->conn->unsettled);
        return;
    }
    int rc = r->opened ? 0 : request_open(r);
    if (rc < 0) {
        upstream_request_fail(r, (enum reason) - rc);
        return;
    }
    arm(r);
    exchange_writable(x, &r->side); /* may end the exchange */
}

bool upstream_h2_begin(struct exchange *x, struct backend *b)
{
    struct forwarder *f = x->f;
    struct upstream_h2 *u = upstream_h2_take(x, b);
    if (!u)
        return false;
    struct upstream_request *r = slab_get_zeroed(&f->upstream_requests);
    if (!r) {
        upstream_h2_drop(u);
        return false;
    }
    r->magic = UPSTREAM_REQUEST_MAGIC;
    r->f = f;
    r->conn = u;
    r->begun_ns = loop_now(f->loop);
    r->side = (struct side){.ops = &side_ops, .x = x};
    list_init(&r->link);
    timer_init(&r->timer, on_timer);
    if (!must_wait(r) && request_open(r) == -(int)REASON_overload) {
        r->side.x = NULL;
        request_end(r);
        return false;
    }
    x->backend = &r->side;
    upstream_h2_sort(u);
    if (u->connecting)
        wait_for(r, &u->waiting);
    else
        upstream_request_go_on(r);
    return true;
}
