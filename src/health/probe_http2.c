/* SPDX-License-Identifier: MIT */
/* The HTTP probe of a pool that speaks HTTP/2: one GET, judged as over HTTP/1 by the status of the
 * final response. */
#include "health/probe_h2.h"

static void on_field(struct probe_h2 *h, struct span name, struct span value)
{
    (void)h;
    (void)name;
    (void)value;
}

static void on_head(struct probe_h2 *h)
{
    bool good = probe_expects(h->probe->conf, h->status);
    probe_h2_decide(h, good ? REASON_ok : REASON_probe_status);
}

/* Without a final head, which would have decided. */
static void on_end(struct probe_h2 *h)
{
    probe_h2_decide(h, REASON_probe_bad_answer);
}

static const struct probe_h2_ops ops = {.field = on_field, .head = on_head, .end = on_end};

static int http2_begin(struct probe *p, const struct address *to)
{
    return probe_h2_begin(p, to, sizeof(struct probe_h2), &ops);
}

static void http2_connected(struct probe *p)
{
    struct probe_h2 *h = p->state;
    const nghttp2_nv fields[] = {
        probe_h2_field(span_str(":method"), span_str("GET")),
        probe_h2_field(span_str(":scheme"), probe_scheme(p)),
        probe_h2_field(span_str(":authority"), span_of(h->host, h->host_len)),
        probe_h2_field(span_str(":path"), span_cstr(p->conf->path)),
        probe_h2_field(span_str("user-agent"), span_str("poise-health/" POISE_VERSION)),
        probe_h2_field(span_str("accept"), span_str("*/*")),
    };
    probe_h2_request(h, fields, ARRAY_LEN(fields), span_of(NULL, 0));
}

const struct probe_kind probe_http2 = {
    .begin = http2_begin,
    .connected = http2_connected,
    .data = probe_h2_data,
    .sent = probe_h2_sent,
    .end = probe_h2_end,
};
