/* SPDX-License-Identifier: MIT */
/* What an exchange gives to an HTTP/1 client: heads and bodies as it understands them. */
#include "base/check.h"
#include "forward/answer.h"
#include "forward/client_h1_priv.h"
#include "forward/exchange.h"
#include "forward/h1_framing.h"
#include "forward/response.h"

static struct client_h1 *from_side(struct side *s)
{
    struct client *base = container_of(s, struct client, side);
    return container_of(base, struct client_h1, base);
}

/* How the response's end will show, given what this client understands. */
static void choose_framing(struct client_h1 *c, const struct head *h)
{
    bool unsized = h->framing == BODY_CHUNKED || h->framing == BODY_CLOSE;
    c->chunked = unsized && !c->http10;
    c->until_close = unsized && c->http10;
    if (c->until_close || (c->has_body && !c->request_done) || client_h1_is_draining(c))
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
    return h1_put_body(c->base.f, outbox_for(c->base.f, s), piece, c->chunked);
}

static int side_end(struct side *s, struct span trailers)
{
    struct client_h1 *c = from_side(s);
    if (c->tunnel)
        c->shutdown_due = true;
    if (!c->chunked)
        return SIDE_OK;
    int r = h1_put_last_chunk(c->base.f, outbox_for(c->base.f, s), trailers);
    if (r == SIDE_OK)
        c->chunked = false;
    return r;
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
        c->moved_ms = client_h1_now_ms(c);
        if (c->sending)
            client_h1_set_timer(c, client_h1_conf(c)->send_ms);
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
    if (on)
        c->moved_ms = client_h1_now_ms(c);
    if (h1_conn_credit(&c->h1, on))
        client_h1_after_events(c);
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
    c->moved_ms = client_h1_now_ms(c);
    if (on && !c->sending)
        client_h1_set_timer(c, client_h1_conf(c)->send_ms);
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
        client_h1_close_gently(c);
    else if (c->request_done)
        client_h1_next(c);
    else
        c->next_due = true;
}

static void side_abort(struct side *s, enum reason why)
{
    struct client_h1 *c = from_side(s);
    /* Where only the end of the connection would end the response, a plain close would make a
     * truncated response look whole. */
    bool reset = c->until_close || side_is_torn(why) || why == REASON_client_too_slow;
    client_h1_end(c, reset ? STREAM_CLOSE_RESET : STREAM_CLOSE_NORMAL);
}

const struct side_ops client_h1_side_ops = {
    .name = "client_h1",
    .head = side_head,
    .body = side_body,
    .end = side_end,
    .flush = side_flush,
    .credit = side_credit,
    .answer = side_answer,
    .local = client_side_local,
    .retract = side_retract,
    .bulk_from = side_bulk_from,
    .bulk_to = side_bulk_to,
    .bulk = side_bulk,
    .tunnel = side_tunnel,
    .release = side_release,
    .abort = side_abort,
};
