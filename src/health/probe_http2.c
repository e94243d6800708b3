/* SPDX-License-Identifier: MIT */
/* The HTTP probe of a pool that speaks HTTP/2: one GET, judged as over HTTP/1 by the status of the
 * final response. */
#include "base/check.h"
#include "base/limits.h"
#include "health/probe_h2.h"

#include <stdlib.h>

struct http2_state {
    struct probe_h2 h2;
    size_t host_len;
    uint8_t host[HTTP_HOST_MAX + ADDRESS_TEXT_MAX];
};
static_assert(offsetof(struct http2_state, h2) == 0, "probe_h2_data finds it");

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

static const struct probe_h2_ops ops = {.field = on_field, .head = on_head};

static int http2_begin(struct probe *p, const struct address *to)
{
    struct http2_state *s = malloc(sizeof(*s));
    if (!s)
        return -(int)REASON_overload;
    int rc = probe_h2_init(&s->h2, p, &ops);
    if (rc < 0) {
        free(s);
        return rc;
    }
    struct writer w = writer_of(s->host, sizeof(s->host));
    probe_write_host(&w, p, to);
    CHECK(w_ok(&w));
    s->host_len = w_len(&w);
    p->state = s;
    return 0;
}

static void http2_end(struct probe *p)
{
    struct http2_state *s = p->state;
    probe_h2_fini(&s->h2);
    free(s);
    p->state = NULL;
}

static void http2_connected(struct probe *p)
{
    struct http2_state *s = p->state;
    const nghttp2_nv fields[] = {
        probe_h2_field(span_str(":method"), span_str("GET")),
        probe_h2_field(span_str(":scheme"), probe_scheme(p)),
        probe_h2_field(span_str(":authority"), span_of(s->host, s->host_len)),
        probe_h2_field(span_str(":path"), span_cstr(p->conf->path)),
        probe_h2_field(span_str("user-agent"), span_str("poise-health/" POISE_VERSION)),
        probe_h2_field(span_str("accept"), span_str("*/*")),
    };
    probe_h2_request(&s->h2, fields, ARRAY_LEN(fields), span_of(NULL, 0));
}

const struct probe_kind probe_http2 = {
    .begin = http2_begin,
    .connected = http2_connected,
    .data = probe_h2_data,
    .sent = probe_h2_sent,
    .end = http2_end,
};
