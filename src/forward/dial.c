/* SPDX-License-Identifier: MIT */
/*
 * The PROXY header goes ahead of what the user sends, so the user is given a layer (io/layer.h)
 * that puts both together. It goes when the connection stands and the header is on its way: the
 * user is handed the stream below.
 */
#include "forward/dial.h"

#include "base/check.h"
#include "codec/arrival.h"
#include "codec/tls.h"
#include "forward/exchange.h"
#include "forward/forwarder.h"
#include "forward/tls_stream.h"
#include "io/layer.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK_TICKETS 64u

struct heading {
    struct layered layered;
    struct dialer *dialer;
    struct slice header; /* until it was given to the stream below */
    bool reading;        /* the user's credit */
    bool alone;          /* the header was sent by itself, and not all of it went */
    bool shutdown;
};

static struct heading *heading_of(struct stream *s)
{
    return container_of(s, struct heading, layered.stream);
}

static void heading_free(struct heading *h)
{
    slice_put(&h->header);
    slab_put(&h->dialer->headers, h);
}

/* ---- what the user asks for ---- */

static void user_read(struct stream *s, bool want)
{
    heading_of(s)->reading = want;
}

static enum send_result user_send(struct stream *s, const struct slice *slices, size_t count)
{
    struct heading *h = heading_of(s);
    struct slice all[SEND_SLICES_MAX];
    CHECK(h->header.n > 0 && count < SEND_SLICES_MAX);
    all[0] = h->header;
    for (size_t i = 0; i < count; i++)
        all[i + 1] = slices[i];
    enum send_result result = stream_send(h->layered.below, all, count + 1);
    slice_put(&h->header);
    CHECK(result == SEND_PENDING); /* it is not connected */
    return result;
}

static void user_last(struct stream *s)
{
    (void)s; /* a hint */
}

static void user_shutdown(struct stream *s)
{
    heading_of(s)->shutdown = true;
}

static void user_close(struct stream *s, enum stream_close_how how)
{
    struct heading *h = heading_of(s);
    stream_close(&h->layered.below, how);
    heading_free(h);
}

static const struct stream_layer layer = {
    .name = "proxy_header",
    .read = user_read,
    .send = user_send,
    .last = user_last,
    .shutdown = user_shutdown,
    .close = user_close,
};

/* ---- what the stream below tells ---- */

static void hand_over(struct heading *h)
{
    struct stream *below = h->layered.below;
    const struct stream_ops *ops = h->layered.stream.ops;
    stream_set_ops(below, ops, h->layered.stream.user);
    if (h->reading)
        stream_read(below, true);
    if (h->shutdown)
        stream_shutdown(below);
    heading_free(h);
    ops->connected(below);
}

static void on_connected(struct stream *s)
{
    struct heading *h = s->user;
    if (h->header.n > 0) {
        h->alone = stream_send(s, &h->header, 1) == SEND_PENDING;
        slice_put(&h->header);
    }
    if (!h->alone)
        hand_over(h);
}

static void on_sent(struct stream *s)
{
    hand_over(s->user);
}

static void on_failed(struct stream *s, enum reason why)
{
    struct heading *h = s->user;
    h->layered.stream.ops->failed(&h->layered.stream, why);
}

static const struct stream_ops below_ops = {
    .connected = on_connected,
    .sent = on_sent,
    .failed = on_failed,
};

/* ---- TLS sessions to resume ---- */

static bool make_chunk(struct dialer *d, uint32_t chunk)
{
    if (chunk >= d->ticket_chunks) {
        uint32_t count = MAX(chunk + 1, 2 * d->ticket_chunks);
        struct tls_resumption **larger = realloc(d->tickets, count * sizeof(*larger));
        if (!larger)
            return false;
        memset(&larger[d->ticket_chunks], 0, (count - d->ticket_chunks) * sizeof(*larger));
        d->tickets = larger;
        d->ticket_chunks = count;
    }
    d->tickets[chunk] = calloc(CHUNK_TICKETS, sizeof(struct tls_resumption));
    return d->tickets[chunk] != NULL;
}

/* Without memory there is none, and every handshake is a full one. */
static struct tls_resumption *ticket_of(struct dialer *d, uint32_t id)
{
    uint32_t chunk = id / CHUNK_TICKETS;
    bool there = chunk < d->ticket_chunks && d->tickets[chunk];
    return there || make_chunk(d, chunk) ? &d->tickets[chunk][id % CHUNK_TICKETS] : NULL;
}

/* ---- dialing ---- */

void dialer_init(struct dialer *d, struct loop *loop, struct tls_worker *tls)
{
    *d = (struct dialer){.loop = loop, .tls = tls};
    slab_init(&d->headers, sizeof(struct heading), 8, 0);
}

void dialer_fini(struct dialer *d)
{
    for (uint32_t i = 0; i < d->ticket_chunks; i++) {
        for (uint32_t k = 0; d->tickets[i] && k < CHUNK_TICKETS; k++)
            tls_resumption_clear(&d->tickets[i][k]);
        free(d->tickets[i]);
    }
    free(d->tickets);
    slab_fini(&d->headers);
}

static_assert((int)PROXY_V1 == 1 && (int)PROXY_V2 == 2, "as in the protocol");

/* The PROXY header, or n == 0 without a buffer. */
static struct slice write_header(struct dialer *d, const struct dial *what)
{
    struct proxy_header local = {.local = true};
    struct proxy_header header = what->client ? *what->client : local;
    struct buf *b = buf_get(d->loop, PROXY_WRITE_MAX);
    if (!b)
        return (struct slice){0};
    header.version = (uint8_t)what->conf->proxy_protocol;
    struct writer w = writer_of(b->data, b->size);
    proxy_write(&w, &header);
    CHECK(w_ok(&w));
    return (struct slice){b->data, (uint32_t)w_len(&w), b};
}

static struct stream *connect_with_header(struct dialer *d, const struct dial *what,
                                          const struct stream_ops *ops, void *user)
{
    struct heading *h = slab_get_zeroed(&d->headers);
    if (!h)
        return NULL;
    h->dialer = d;
    h->header = write_header(d, what);
    struct stream *below =
        h->header.n > 0 ? stream_connect(d->loop, what->to, &below_ops, h) : NULL;
    if (!below) {
        heading_free(h);
        return NULL;
    }
    layered_init(&h->layered, &layer, below, ops, user);
    return &h->layered.stream;
}

/* The name that the backend's certificate must be for. */
static struct span name_of(const struct dial *what, char room[ADDRESS_TEXT_MAX])
{
    const struct address *given = &what->backend->address;
    if (what->conf->tls.sni)
        return span_cstr(what->conf->tls.sni);
    if (given->kind == ADDRESS_NAME)
        return span_cstr(given->text);
    if (given->kind == ADDRESS_UNIX)
        return span_str("localhost");
    return span_of(room, address_format_ip(given, room));
}

static struct stream *connect_with_tls(struct dialer *d, const struct dial *what,
                                       const struct stream_ops *ops, void *user)
{
    char room[ADDRESS_TEXT_MAX];
    bool headed = what->conf->proxy_protocol != PROXY_NONE;
    struct slice header = headed ? write_header(d, what) : (struct slice){0};
    struct stream *below = NULL;
    if (what->tls && (!headed || header.n > 0))
        below = stream_connect(d->loop, what->to, ops, user);
    if (below)
        below = tls_stream_connect(d->tls, what->tls, name_of(what, room), ticket_of(d, what->id),
                                   below, header, ops, user);
    slice_put(&header);
    return below;
}

struct stream *dial(struct dialer *d, const struct dial *what, const struct stream_ops *ops,
                    void *user)
{
    if (what->conf->tls.enabled)
        return connect_with_tls(d, what, ops, user);
    if (what->conf->proxy_protocol == PROXY_NONE)
        return stream_connect(d->loop, what->to, ops, user);
    return connect_with_header(d, what, ops, user);
}

/* ---- for an exchange ---- */

/* What is known of its client and how it came. */
static struct proxy_header client_of(const struct exchange *x)
{
    const struct arrival *a = x->arrival;
    struct proxy_header h = {.source = x->peer};
    if (!a) {
        h.destination = x->client->ops->local(x->client);
        return h;
    }
    h.destination = a->local;
    h.alpn = a->alpn;
    h.authority = a->sni;
    if (a->secure) {
        bool shown = a->certificate.verified;
        unsigned how = !shown ? 0 : PROXY_TLS_IN_SESSION | (a->resumed ? 0 : PROXY_TLS_CERTIFICATE);
        h.tls = (struct proxy_tls){
            .client = (uint8_t)(PROXY_TLS | how),
            .verified = shown,
            .version = a->version,
            .cipher = a->cipher,
            .common_name = a->certificate.common_name,
        };
    }
    return h;
}

struct stream *dial_for(const struct exchange *x, struct backend *b, const struct stream_ops *ops,
                        void *user, bool *ret_introduced)
{
    const struct address *to = atomic_load_explicit(&b->address, memory_order_acquire);
    const struct pool_conf *conf = pool_conf(b->pool);
    *ret_introduced = conf->proxy_protocol != PROXY_NONE;
    if (!to)
        return NULL;
    if (LIKELY(conf->proxy_protocol == PROXY_NONE && !conf->tls.enabled))
        return stream_connect(x->f->loop, to, ops, user);
    struct proxy_header client = {0};
    struct dial what = {
        .to = to,
        .conf = conf,
        .backend = b->conf,
        .id = b->id,
        .tls = pool_tls(b->pool, x->f->index),
    };
    if (*ret_introduced) {
        client = client_of(x);
        what.client = &client;
    }
    return dial(&x->f->dialer, &what, ops, user);
}

/* A session keeps its client, so that no other can have come to the same place meanwhile. */
bool dial_is_current_tls(const struct forwarder *f, const struct backend *b, struct stream *s)
{
    const struct pool_conf *conf = pool_conf(b->pool);
    const struct tls_session *t = tls_stream_session(s);
    const struct tls_client *wanted = conf->tls.enabled ? pool_tls(b->pool, f->index) : NULL;
    return (t ? t->client : NULL) == wanted && (t || !conf->tls.enabled);
}
