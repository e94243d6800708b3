/* SPDX-License-Identifier: MIT */
/*
 * The gRPC probe: one call of grpc.health.v1.Health/Check. Well is who answers SERVING and ends the
 * call with status OK.
 *
 *   request    0 len32 | HealthCheckRequest  { string service = 1; }
 *   response   0 len32 | HealthCheckResponse { ServingStatus status = 1; }   SERVING = 1
 */
#include "base/check.h"
#include "base/limits.h"
#include "codec/grpc.h"
#include "health/probe_h2.h"

#define PREFIX_BYTES 5
/* The answer has two bytes; what else a server may add has room. */
#define MESSAGE_BYTES_MAX 512

enum { STATUS_SERVING = 1 };
enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };
struct grpc_state {
    struct probe_h2 h2;
    bool typed;       /* the content type is gRPC's */
    bool status_came; /* grpc-status … */
    uint64_t status;  /* … is this */
    uint32_t held;    /* bytes of the message, with its prefix */
    size_t request_len;
    uint8_t request[PREFIX_BYTES + 4 + HTTP_HOST_MAX];
    uint8_t message[PREFIX_BYTES + MESSAGE_BYTES_MAX];
};
static_assert(offsetof(struct grpc_state, h2) == 0, "probe_h2_begin asks for it");

static struct grpc_state *state_of(struct probe_h2 *h)
{
    return container_of(h, struct grpc_state, h2);
}

/* ---- the two messages ---- */

static void write_varint(struct writer *w, uint64_t n)
{
    for (; n >= 0x80; n >>= 7)
        w_u8(w, (uint8_t)(n | 0x80));
    w_u8(w, (uint8_t)n);
}

static void write_request(struct grpc_state *s, struct span service)
{
    uint8_t body[sizeof(s->request)];
    struct writer b = writer_of(body, sizeof(body)), w = writer_of(s->request, sizeof(s->request));
    if (service.n > 0) {
        w_u8(&b, 1 << 3 | WIRE_BYTES);
        write_varint(&b, service.n);
        w_span(&b, service);
    }
    const uint8_t prefix[PREFIX_BYTES] = {
        [3] = (uint8_t)(w_len(&b) >> 8), [4] = (uint8_t)w_len(&b)};
    w_bytes(&w, prefix, sizeof(prefix));
    w_span(&w, w_span_of_result(&b));
    CHECK(w_ok(&b) && w_ok(&w));
    s->request_len = w_len(&w);
}

static bool read_varint(struct span *in, uint64_t *ret)
{
    *ret = 0;
    for (unsigned shift = 0; shift < 64 && in->n > 0; shift += 7) {
        uint8_t byte = in->p[0];
        *in = span_from(*in, 1);
        *ret |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return true;
    }
    return false;
}

static bool skip(struct span *in, uint64_t n)
{
    if (n > in->n)
        return false;
    *in = span_from(*in, (size_t)n);
    return true;
}

static bool skip_value(struct span *in, unsigned wire)
{
    uint64_t n;
    switch (wire) {
    case WIRE_VARINT: return read_varint(in, &n);
    case WIRE_FIXED64: return skip(in, 8);
    case WIRE_BYTES: return read_varint(in, &n) && skip(in, n);
    case WIRE_FIXED32: return skip(in, 4);
    default: return false;
    }
}

/* The last `status` counts; none is 0 (UNKNOWN). */
static bool read_response(struct span in, uint64_t *ret_status)
{
    uint64_t key;
    *ret_status = 0;
    while (in.n > 0) {
        if (!read_varint(&in, &key))
            return false;
        bool is_status = key == (1 << 3 | WIRE_VARINT);
        if (!(is_status ? read_varint(&in, ret_status) : skip_value(&in, (unsigned)key & 7)))
            return false;
    }
    return true;
}

/* ---- the verdict ---- */

static enum reason judge_message(const struct grpc_state *s)
{
    const uint8_t *m = s->message;
    uint64_t status;
    if (s->held < PREFIX_BYTES || m[0] != 0) /* it was not asked for compression */
        return REASON_probe_bad_answer;
    uint32_t n = (uint32_t)m[1] << 24 | (uint32_t)m[2] << 16 | (uint32_t)m[3] << 8 | m[4];
    if (n != s->held - PREFIX_BYTES || !read_response(span_of(m + PREFIX_BYTES, n), &status))
        return REASON_probe_bad_answer;
    return status == STATUS_SERVING ? REASON_ok : REASON_probe_not_serving;
}

static enum reason judge(const struct grpc_state *s)
{
    if (s->h2.status != 200)
        return REASON_probe_status;
    if (!s->typed || !s->status_came)
        return REASON_probe_bad_answer;
    switch (s->status) {
    case GRPC_OK: return judge_message(s);
    case GRPC_NOT_FOUND: return REASON_probe_unknown_service;
    case GRPC_UNIMPLEMENTED: return REASON_probe_unimplemented;
    default: return REASON_probe_status;
    }
}

/* ---- what comes ---- */

static void on_field(struct probe_h2 *h, struct span name, struct span value)
{
    struct grpc_state *s = state_of(h);
    if (span_eq(name, span_str("content-type")))
        s->typed = s->typed || grpc_is_content_type(value);
    else if (span_eq(name, span_str("grpc-status")))
        s->status_came = span_to_u64(value, &s->status);
}

static void on_body(struct probe_h2 *h, struct span piece)
{
    struct grpc_state *s = state_of(h);
    if (piece.n > sizeof(s->message) - s->held) {
        probe_h2_decide(h, REASON_probe_bad_answer);
        return;
    }
    memcpy(s->message + s->held, piece.p, piece.n);
    s->held += (uint32_t)piece.n;
}

static void on_end(struct probe_h2 *h)
{
    probe_h2_decide(h, judge(state_of(h)));
}

static const struct probe_h2_ops ops = {.field = on_field, .body = on_body, .end = on_end};

/* ---- the probe ---- */

static int grpc_begin(struct probe *p, const struct address *to)
{
    int rc = probe_h2_begin(p, to, sizeof(struct grpc_state), &ops);
    if (rc == 0)
        write_request(p->state, span_cstr(p->conf->service));
    return rc;
}

static void grpc_connected(struct probe *p)
{
    struct grpc_state *s = p->state;
    uint8_t timeout[24];
    struct writer w = writer_of(timeout, sizeof(timeout));
    w_u64_dec(&w, MIN(p->conf->timeout_ms, 99999999u));
    w_u8(&w, 'm');
    const nghttp2_nv fields[] = {
        probe_h2_field(span_str(":method"), span_str("POST")),
        probe_h2_field(span_str(":scheme"), probe_scheme(p)),
        probe_h2_field(span_str(":path"), span_str("/grpc.health.v1.Health/Check")),
        probe_h2_field(span_str(":authority"), span_of(s->h2.host, s->h2.host_len)),
        probe_h2_field(span_str("te"), span_str("trailers")),
        probe_h2_field(span_str("grpc-timeout"), w_span_of_result(&w)),
        probe_h2_field(span_str("content-type"), span_str("application/grpc")),
        probe_h2_field(span_str("user-agent"), span_str("poise-health/" POISE_VERSION)),
    };
    probe_h2_request(&s->h2, fields, ARRAY_LEN(fields), span_of(s->request, s->request_len));
}

const struct probe_kind probe_grpc = {
    .begin = grpc_begin,
    .connected = grpc_connected,
    .data = probe_h2_data,
    .sent = probe_h2_sent,
    .end = probe_h2_end,
};
