/* SPDX-License-Identifier: MIT */
#include "forward/request.h"

#include "base/check.h"
#include "codec/arrival.h"
#include "codec/h1_write.h"
#include "forward/exchange.h"
#include "forward/forwarder.h"
#include "forward/request_certificate.h"

#include <string.h>

/* What our own fields need at most, beside texts that are copied from the head. */
#define OWN_FIELDS_BYTES 384

#define BIT(id) (UINT64_C(1) << FIELD_##id)

/* Claims about who the client is: believed only from a trusted peer. */
static const uint64_t claims = BIT(X_FORWARDED_FOR) | BIT(X_FORWARDED_PROTO) |
                               BIT(X_FORWARDED_HOST) | BIT(FORWARDED) | REQUEST_CERTIFICATE_FIELDS;

static bool is_trusted(const struct listener_conf *conf, const struct address *peer)
{
    for (size_t i = 0; i < conf->trusted_count; i++) {
        if (address_block_has(&conf->trusted[i], peer))
            return true;
    }
    return false;
}

/* "X-Forwarded-For: <what a trusted peer said, joined>, <peer>" */
static void write_forwarded_for(struct writer *w, const struct head *h, const struct address *peer,
                                bool trusted)
{
    w_span(w, span_str("X-Forwarded-For: "));
    unsigned at = 0;
    const struct field *f;
    while (trusted && (f = head_find(h, FIELD_X_FORWARDED_FOR, &at)) != NULL) {
        if (f->value_len > 0) {
            w_span(w, field_value(h, f));
            w_span(w, span_str(", "));
        }
    }
    w_address_ip(w, peer);
    w_span(w, span_str("\r\n"));
}

static void write_forwarded_proto(struct writer *w, const struct arrival *a)
{
    if (UNLIKELY(a && a->secure))
        w_span(w, span_str("X-Forwarded-Proto: https\r\n"));
    else
        w_span(w, span_str("X-Forwarded-Proto: http\r\n"));
}

static struct text_at here(const struct writer *w, size_t len)
{
    return (struct text_at){(uint32_t)w_len(w), (uint16_t)len};
}

/* 128 random bits in hex: unique without coordination between workers and machines. */
static struct text_at write_request_id(struct writer *w, struct rng *rng)
{
    struct span name = span_str("X-Request-Id: ");
    struct text_at at = {(uint32_t)(w_len(w) + name.n), 32};
    uint8_t *to = w_reserve(w, name.n + 32 + 2);
    if (!to)
        return at;
    memcpy(to, name.p, name.n);
    put_hex_16(to + name.n, rng_u64(rng));
    put_hex_16(to + name.n + 16, rng_u64(rng));
    memcpy(to + name.n + 32, "\r\n", 2);
    return at;
}

/* An empty one is none. */
static bool has_request_id(const struct head *h)
{
    unsigned at = 0;
    const struct field *f = head_find(h, FIELD_X_REQUEST_ID, &at);
    return f && f->value_len > 0;
}

static void write_forwarded(struct exchange *x, struct writer *w, const struct head *h,
                            const struct address *peer)
{
    bool trusted = is_trusted(x->front->conf, peer);
    bool certified = UNLIKELY(x->front->rules) && request_certified(x->front->conf);
    uint64_t drop = trusted ? BIT(X_FORWARDED_FOR) : claims;
    if (certified)
        drop |= REQUEST_CERTIFICATE_FIELDS;
    h1_write_fields(w, h, has_request_id(h) ? drop : drop | BIT(X_REQUEST_ID));
    write_forwarded_for(w, h, peer, trusted);
    if (!trusted || !head_has(h, FIELD_X_FORWARDED_PROTO))
        write_forwarded_proto(w, x->arrival);
    if (h->authority.len > 0 && (!trusted || !head_has(h, FIELD_X_FORWARDED_HOST)))
        h1_write_field(w, span_str("X-Forwarded-Host"), head_span(h, h->authority));
    if (!has_request_id(h))
        x->id_at = write_request_id(w, &x->f->rng);
    if (certified)
        request_write_certificate(w, x->arrival);
}

static void write_connection(struct exchange *x, struct writer *w, const struct head *h)
{
    const struct pool_conf *conf = pool_conf(x->pool);
    if (h->framing == BODY_CHUNKED)
        w_span(w, span_str("Transfer-Encoding: chunked\r\n"));
    if (UNLIKELY(h->has_trailer_te) && conf->protocol == PROTOCOL_HTTP2)
        w_span(w, span_str("TE: trailers\r\n")); /* end to end there: gRPC insists on it */
    if (h->upgrade) {
        unsigned at = 0;
        const struct field *f = head_find(h, FIELD_UPGRADE, &at);
        w_span(w, span_str("Connection: upgrade\r\nUpgrade: "));
        x->upgrade_at = here(w, f->value_len);
        w_span(w, field_value(h, f));
        w_span(w, span_str("\r\n"));
    } else if (conf->keepalive_max_idle == 0 || conf->proxy_protocol != PROXY_NONE) {
        w_span(w, span_str("Connection: close\r\n"));
    }
}

/* HTTP/1.1 asks for a Host; the client had none, so the backend's own name is the honest one. */
static void write_missing_host(struct exchange *x, struct writer *w, const struct head *h)
{
    if (head_has(h, FIELD_HOST))
        return;
    if (h->authority.len > 0)
        h1_write_field(w, span_str("Host"), head_span(h, h->authority));
    else
        h1_write_field(w, span_str("Host"), span_cstr(pool_conf(x->pool)->name));
}

static struct text_at keep_text(struct writer *w, struct span text)
{
    struct text_at at = here(w, text.n);
    w_span(w, text);
    return at;
}

static struct text_at keep_field(struct writer *w, const struct head *h, enum field_id id)
{
    unsigned at = 0;
    const struct field *f = head_has(h, id) ? head_find(h, id, &at) : NULL;
    return f ? keep_text(w, field_value(h, f)) : (struct text_at){0};
}

/* Texts that only the log wants, behind the head. */
static void keep_for_log(struct exchange *x, struct writer *w, const struct head *h)
{
    x->target_at = keep_text(w, head_span(h, h->target));
    x->host_at = keep_text(w, head_span(h, h->authority));
    x->agent_at = keep_field(w, h, FIELD_USER_AGENT);
    x->referer_at = keep_field(w, h, FIELD_REFERER);
    if (x->id_at.len == 0)
        x->id_at = keep_field(w, h, FIELD_X_REQUEST_ID);
}

/* Where `room` bytes fit: in the exchange, or in a buffer of its own. */
static ALWAYS_INLINE inline bool begin_text(struct exchange *x, size_t room, struct buf **ret_buf,
                                            struct writer *ret_w)
{
    struct buf *b = NULL;
    if (room > sizeof(x->head)) {
        b = buf_get(x->f->loop, room);
        if (!b)
            return false;
    }
    *ret_w = writer_of(b ? b->data : x->head, b ? b->size : sizeof(x->head));
    *ret_buf = b;
    return true;
}

/* What was written is the head; the texts for the log follow. */
static ALWAYS_INLINE inline bool end_text(struct exchange *x, const struct head *h, struct buf *b,
                                          struct writer *w)
{
    uint32_t head_bytes = (uint32_t)w_len(w);
    x->method_at = (struct text_at){0, (uint16_t)h->method_text.len};
    if (x->f->log_fields)
        keep_for_log(x, w, h);
    if (!w_ok(w)) {
        buf_put(&b);
        return false;
    }
    x->request = (struct slice){b ? b->data : x->head, head_bytes, b};
    x->texts = x->f->log_fields;
    return true;
}

int request_build(struct exchange *x, const struct head *h, const struct address *peer)
{
    /* A field is written once, and once more as a text for the log; the authority may become a Host
     * and an X-Forwarded-Host. */
    size_t room = (x->f->log_fields ? 2 : 1) * (size_t)h->head_len + 2 * (size_t)h->authority.len +
                  OWN_FIELDS_BYTES;
    if (UNLIKELY(x->front->rules))
        room += REQUEST_CERTIFICATE_BYTES;
    struct buf *b;
    struct writer w;
    if (!begin_text(x, room, &b, &w))
        return -(int)REASON_overload;
    h1_write_request_line(&w, h);
    write_missing_host(x, &w, h);
    write_forwarded(x, &w, h, peer);
    write_connection(x, &w, h);
    h1_write_head_end(&w);
    return end_text(x, h, b, &w) ? 0 : -(int)REASON_overload;
}

void request_note(struct exchange *x, const struct head *h)
{
    size_t room = 2 * ((size_t)h->head_len + h->authority.len) + OWN_FIELDS_BYTES;
    struct buf *b;
    struct writer w;
    if (!begin_text(x, room, &b, &w))
        return;
    h1_write_request_line(&w, h);
    if (h->authority.len > 0)
        h1_write_field(&w, span_str("Host"), head_span(h, h->authority));
    h1_write_head_end(&w);
    if (!end_text(x, h, b, &w)) {
        x->method_at = x->target_at = x->host_at = (struct text_at){0};
        x->agent_at = x->referer_at = x->id_at = (struct text_at){0};
    }
}
