/* SPDX-License-Identifier: MIT */
#include "account/record_pack.h"

#include "base/check.h"
#include "base/compiler.h"

#include <assert.h>
#include <string.h>

struct packed_head {
    uint64_t start_wall_ms, bytes_in, bytes_out;
    uint64_t queue_us, connect_us, response_us, total_us;
    uint32_t retries, scope;
    uint16_t status, port, reason;
    uint8_t client_kind, version_major, version_minor, http, made_here, tls, grpc;
    uint8_t ip[16];
    uint16_t lens[RECORD_TEXTS];
};

static_assert(sizeof(struct packed_head) <= 256, "RECORD_PACKED_MAX counts 256");
static_assert(RECORD_TARGET_MAX <= UINT16_MAX, "lengths are 16 bits");
static_assert(REASON_COUNT <= UINT16_MAX, "reasons are 16 bits");

/* The texts of a record in packing order. */
static const struct text_row {
    size_t offset; /* of the span in struct record */
    size_t max;
} text_rows[RECORD_TEXTS] = {
    {offsetof(struct record, listener), RECORD_NAME_MAX},
    {offsetof(struct record, route), RECORD_NAME_MAX},
    {offsetof(struct record, pool), RECORD_NAME_MAX},
    {offsetof(struct record, backend), RECORD_NAME_MAX},
    {offsetof(struct record, method), RECORD_METHOD_MAX},
    {offsetof(struct record, target), RECORD_TARGET_MAX},
    {offsetof(struct record, host), RECORD_HOST_MAX},
    {offsetof(struct record, user_agent), RECORD_TEXT_MAX},
    {offsetof(struct record, referer), RECORD_TEXT_MAX},
    {offsetof(struct record, request_id), RECORD_ID_MAX},
};

static const struct text_row tls_rows[RECORD_TLS_TEXTS] = {
    {offsetof(struct record, tls_version), RECORD_TLS_MAX},
    {offsetof(struct record, tls_cipher), RECORD_TLS_MAX},
    {offsetof(struct record, sni), RECORD_HOST_MAX},
    {offsetof(struct record, client_subject), RECORD_SUBJECT_MAX},
};

static struct span row_text(const struct record *r, const struct text_row *row)
{
    struct span s;
    memcpy(&s, (const uint8_t *)r + row->offset, sizeof(s));
    return span_sub(s, 0, row->max);
}

static struct span text_of(const struct record *r, size_t row)
{
    return row_text(r, &text_rows[row]);
}

static bool has_tls(const struct record *r)
{
    return r->tls_version.n + r->sni.n > 0;
}

/* | lengths | texts | */
static size_t tls_bytes(const struct record *r)
{
    size_t n = RECORD_TLS_TEXTS * sizeof(uint16_t);
    for (size_t i = 0; i < RECORD_TLS_TEXTS; i++)
        n += row_text(r, &tls_rows[i]).n;
    return n;
}

static void pack_tls(const struct record *r, uint8_t *out)
{
    uint8_t *at = out + RECORD_TLS_TEXTS * sizeof(uint16_t);
    for (size_t i = 0; i < RECORD_TLS_TEXTS; i++) {
        struct span text = row_text(r, &tls_rows[i]);
        uint16_t n = (uint16_t)text.n;
        memcpy(out + i * sizeof(n), &n, sizeof(n));
        if (n)
            memcpy(at, text.p, n);
        at += n;
    }
}

/* Returns what is behind them. */
static struct span unpack_tls(struct span in, struct record *r)
{
    struct span rest = span_from(in, RECORD_TLS_TEXTS * sizeof(uint16_t));
    for (size_t i = 0; i < RECORD_TLS_TEXTS; i++) {
        uint16_t n;
        memcpy(&n, in.p + i * sizeof(n), sizeof(n));
        struct span text = span_sub(rest, 0, n);
        CHECK(text.n == n);
        memcpy((uint8_t *)r + tls_rows[i].offset, &text, sizeof(text));
        rest = span_from(rest, n);
    }
    return rest;
}

size_t record_packed_bytes(const struct record *r)
{
    size_t n = sizeof(struct packed_head);
    for (size_t i = 0; i < RECORD_TEXTS; i++)
        n += text_of(r, i).n;
    return UNLIKELY(has_tls(r)) ? n + tls_bytes(r) : n;
}

void record_pack(const struct record *r, uint8_t *out)
{
    struct packed_head h = {
        .start_wall_ms = r->start_wall_ms,
        .bytes_in = r->bytes_in,
        .bytes_out = r->bytes_out,
        .queue_us = r->queue_us,
        .connect_us = r->connect_us,
        .response_us = r->response_us,
        .total_us = r->total_us,
        .retries = r->retries,
        .scope = r->client.scope,
        .status = r->status,
        .port = r->client.port,
        .reason = (uint16_t)r->reason,
        .client_kind = (uint8_t)r->client.kind,
        .version_major = r->version_major,
        .version_minor = r->version_minor,
        .http = r->http,
        .made_here = r->made_here,
        .tls = has_tls(r),
        .grpc = r->grpc,
    };
    memcpy(h.ip, r->client.ip, sizeof(h.ip));
    uint8_t *at = out + sizeof(h);
    for (size_t i = 0; i < RECORD_TEXTS; i++) {
        struct span text = text_of(r, i);
        h.lens[i] = (uint16_t)text.n;
        if (text.n)
            memcpy(at, text.p, text.n);
        at += text.n;
    }
    if (UNLIKELY(h.tls))
        pack_tls(r, at);
    memcpy(out, &h, sizeof(h));
}

void record_unpack(struct span packed, struct record *ret_record)
{
    struct packed_head h;
    CHECK(packed.n >= sizeof(h));
    memcpy(&h, packed.p, sizeof(h));
    CHECK(h.reason < REASON_COUNT);
    struct record r = {
        .start_wall_ms = h.start_wall_ms,
        .client = {.kind = (enum address_kind)h.client_kind, .port = h.port, .scope = h.scope},
        .http = h.http,
        .version_major = h.version_major,
        .version_minor = h.version_minor,
        .status = h.status,
        .bytes_in = h.bytes_in,
        .bytes_out = h.bytes_out,
        .queue_us = h.queue_us,
        .connect_us = h.connect_us,
        .response_us = h.response_us,
        .total_us = h.total_us,
        .retries = h.retries,
        .made_here = h.made_here,
        .grpc = h.grpc,
        .reason = (enum reason)h.reason,
    };
    memcpy(r.client.ip, h.ip, sizeof(h.ip));
    struct span rest = span_from(packed, sizeof(h));
    for (size_t i = 0; i < RECORD_TEXTS; i++) {
        struct span text = span_sub(rest, 0, h.lens[i]);
        CHECK(text.n == h.lens[i]);
        memcpy((uint8_t *)&r + text_rows[i].offset, &text, sizeof(text));
        rest = span_from(rest, text.n);
    }
    if (h.tls)
        rest = unpack_tls(rest, &r);
    CHECK(rest.n == 0);
    *ret_record = r;
}
