/* SPDX-License-Identifier: MIT */
#include "health/probe.h"

#include "base/check.h"
#include "config/compare.h"
#include "forward/tls_stream.h"

static const struct probe_kind *const kinds[] = {
    [HEALTH_NONE] = NULL,
    [HEALTH_TCP] = &probe_tcp,
    [HEALTH_HTTP] = &probe_http,
    [HEALTH_GRPC] = &probe_grpc,
};

static const struct probe_kind *kind_of(const struct pool_conf *pool)
{
    CHECK((size_t)pool->health.type < ARRAY_LEN(kinds));
    if (pool->health.type == HEALTH_HTTP && pool->protocol == PROTOCOL_HTTP2)
        return &probe_http2;
    return kinds[pool->health.type];
}

static void on_connected(struct stream *s)
{
    struct probe *p = s->user;
    p->stream = s;
    p->connected = true;
    p->kind->connected(p);
}

static void on_data(struct stream *s, struct slice in)
{
    struct probe *p = s->user;
    p->kind->data(p, in);
}

static void on_eof(struct stream *s)
{
    probe_end(s->user, REASON_probe_closed);
}

static void on_sent(struct stream *s)
{
    struct probe *p = s->user;
    if (p->kind->sent)
        p->kind->sent(p);
}

static void on_failed(struct stream *s, enum reason why)
{
    struct probe *p = s->user;
    const struct tls_session *tls = tls_stream_session(s);
    p->detail = tls ? tls_session_why(tls) : NULL;
    probe_end(p, why);
}

static const struct stream_ops probe_ops = {
    .connected = on_connected,
    .data = on_data,
    .eof = on_eof,
    .sent = on_sent,
    .failed = on_failed,
};

static void on_deadline(struct timer *t)
{
    struct probe *p = container_of(t, struct probe, deadline);
    probe_end(p, p->connected ? REASON_probe_timeout : REASON_connect_timeout);
}

bool probe_same(const struct probe *p, const struct pool_conf *pool)
{
    return health_conf_equal(&pool->health, p->conf) && kind_of(pool) == p->kind;
}

void probe_init(struct probe *p, struct dialer *dialer, const struct pool_conf *pool,
                const struct backend_conf *backend, probe_done_fn *done)
{
    *p = (struct probe){
        .dialer = dialer,
        .loop = dialer->loop,
        .pool = pool,
        .conf = &pool->health,
        .backend = backend,
        .kind = kind_of(pool),
        .done = done,
    };
    timer_init(&p->deadline, on_deadline);
}

bool probe_expects(const struct health_conf *conf, uint16_t status)
{
    for (size_t i = 0; i < conf->expect_count; i++)
        if (status >= conf->expect[i].low && status <= conf->expect[i].high)
            return true;
    return false;
}

void probe_write_host(struct writer *w, const struct probe *p, const struct address *to)
{
    char text[ADDRESS_TEXT_MAX];
    struct address shown = *to;
    if (p->backend->address.kind == ADDRESS_NAME) {
        shown = p->backend->address;
        shown.port = to->port;
    }
    shown.scope = 0; /* means something on this machine only */
    if (p->conf->host)
        w_str(w, p->conf->host);
    else if (shown.kind == ADDRESS_UNIX)
        w_str(w, "localhost");
    else
        w_bytes(w, text, address_format(&shown, text));
}

int probe_begin(struct probe *p, const struct dial *what)
{
    CHECK(p->kind != NULL);
    CHECK(!probe_running(p));
    struct address address = *what->to;
    if (p->conf->port != 0 && address.kind != ADDRESS_UNIX)
        address.port = p->conf->port;
    p->connected = false;
    p->detail = NULL;
    int rc = p->kind->begin ? p->kind->begin(p, &address) : 0;
    if (rc < 0)
        return rc;
    struct dial here = *what;
    here.to = &address;
    p->stream = dial(p->dialer, &here, &probe_ops, p);
    if (!p->stream) {
        if (p->kind->end)
            p->kind->end(p);
        return -(int)REASON_out_of_files;
    }
    loop_timer_set(p->loop, &p->deadline, p->conf->timeout_ms);
    return 0;
}

void probe_cancel(struct probe *p)
{
    if (!probe_running(p))
        return;
    loop_timer_stop(p->loop, &p->deadline);
    stream_close(&p->stream, STREAM_CLOSE_NORMAL);
    if (p->kind->end)
        p->kind->end(p);
}

void probe_end(struct probe *p, enum reason result)
{
    CHECK(probe_running(p));
    probe_cancel(p);
    p->done(p, result);
}
