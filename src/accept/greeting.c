/* SPDX-License-Identifier: MIT */
/*
 * Bytes are kept only while a header or hello is incomplete; what follows it goes on in the buffer
 * in which it came. At every step the stream's credit is on, but for TLS, which reads by itself.
 */
#include "accept/greeting.h"

#include "base/check.h"
#include "base/limits.h"
#include "codec/arrival.h"
#include "codec/client_hello.h"
#include "codec/proxy_protocol.h"
#include "codec/tls.h"
#include "forward/answer.h"
#include "forward/client.h"
#include "forward/forwarder.h"
#include "forward/tls_stream.h"

#include <stdlib.h>
#include <string.h>

/* The first byte of TLS: the type of a record. */
#define TLS_HANDSHAKE 22

/* The largest buffer there is. */
#define JOINED_BYTES_MAX (256u * 1024)

enum stage {
    STAGE_PROXY,  /* its PROXY header is to come, or incomplete */
    STAGE_HELLO,  /* its ClientHello is, to be looked at */
    STAGE_TLS,    /* its first byte is, then the handshake is under way */
    STAGE_DONE,   /* what comes is its protocol */
    STAGE_LINGER, /* it was answered, and what it still sends is dropped */
};

struct greeting {
    struct client base;
    struct timer timer;
    struct slice kept; /* what came of an incomplete header or hello */
    uint8_t stage;     /* enum stage */
    bool proxied;      /* it begins with a PROXY header */
    bool spoke;        /* something came */
    bool shook;        /* hands, over TLS */
    uint32_t lingered; /* bytes dropped */
};

static_assert(sizeof(struct greeting) <= CLIENT_BYTES_SURE, "it lies in a client's place");

static const struct stream_ops stream_ops;
static const struct client_kind kind;

static const struct listener_conf *conf_of(const struct greeting *g)
{
    return front_conf(g->base.front)->conf;
}

/* ---- the end ---- */

static void greeting_free(struct greeting *g)
{
    struct forwarder *f = g->base.f;
    loop_timer_stop(f->loop, &g->timer);
    slice_put(&g->kept);
    slab_put(&f->clients, g);
}

static void greeting_end(struct greeting *g, enum stream_close_how how)
{
    stream_close(&g->base.stream, how);
    atomic_fetch_sub_explicit(&g->base.front->connections, 1, memory_order_relaxed);
    forwarder_client_closed(g->base.f, &g->base);
    greeting_free(g);
}

static void account(struct forwarder *f, const struct front *front, const struct address *peer,
                    enum reason why, uint16_t status, uint64_t bytes_out)
{
    const struct listener_conf *conf = front_conf(front)->conf;
    account_exchange(f->account, &(struct record){
                                     .start_wall_ms = loop_wall_ms(f->loop),
                                     .client = *peer,
                                     .listener = span_cstr(conf->name),
                                     .http = conf->protocol == PROTOCOL_HTTP,
                                     .made_here = true,
                                     .status = status,
                                     .bytes_out = bytes_out,
                                     .reason = why,
                                     .method_number = BOARD_METHOD_NONE,
                                     .listener_key = &front->key,
                                 });
}

static void fail(struct greeting *g, enum reason why)
{
    struct address peer = client_peer(&g->base);
    if (g->stage == STAGE_TLS)
        account_handshake_failed(g->base.f->account, &g->base.front->key, why);
    account(g->base.f, g->base.front, &peer, why, 0, 0);
    greeting_end(g, STREAM_CLOSE_NORMAL);
}

/* It ended, or said nothing in time: whoever said nothing at all has only looked whether we are
 * here, which is no failure. */
static void give_up(struct greeting *g, enum reason why)
{
    if (g->spoke && g->stage != STAGE_LINGER)
        fail(g, why);
    else
        greeting_end(g, STREAM_CLOSE_NORMAL);
}

/* ---- on to the protocol ---- */

static void hand_over(struct greeting *g, struct slice first)
{
    const struct arrival *a = g->base.arrival;
    bool taken;
    if (conf_of(g)->protocol == PROTOCOL_TCP)
        taken = client_tcp_take(&g->base, first);
    else if (g->shook && span_eq(a->alpn, span_str("h2")))
        taken = client_h2_take(&g->base, first);
    else
        taken = client_h1_take(&g->base, first);
    if (taken)
        greeting_free(g);
    else
        fail(g, REASON_overload);
}

/* These are the facts from now on. */
static bool learn(struct greeting *g, const struct arrival *facts)
{
    struct arrival *a = arrival_new(facts);
    if (!a)
        return false;
    free(g->base.arrival);
    g->base.arrival = a;
    return true;
}

/* What is known so far. */
static struct arrival known(struct greeting *g)
{
    if (g->base.arrival)
        return *g->base.arrival;
    struct arrival a = {.peer = stream_peer(g->base.stream)};
    if (a.peer.text)
        a.peer.text = ""; /* the next address takes the place of this one's text */
    a.local = stream_local(g->base.stream);
    return a;
}

/* ---- the PROXY header ---- */

static bool learn_proxy(struct greeting *g, const struct proxy_header *h)
{
    if (h->local)
        return true; /* the proxy itself, to see how we are */
    return learn(
        g, &(struct arrival){
               .peer = h->source,
               .local = h->destination,
               .proxied = true,
               .secure = (h->tls.client & PROXY_TLS) != 0,
               .version = h->tls.version,
               .cipher = h->tls.cipher,
               .sni = h->authority,
               .alpn = h->alpn,
               .certificate = {.verified = h->tls.verified, .common_name = h->tls.common_name},
           });
}

/* What comes after the PROXY header, or first. False: its protocol. */
static bool next_stage(struct greeting *g)
{
    const struct listener_conf *conf = conf_of(g);
    bool tls = conf->tls.enabled;
    bool hello = conf->protocol == PROTOCOL_TCP && conf->route_count > 0;
    g->stage = tls ? STAGE_TLS : STAGE_HELLO;
    return tls || hello;
}

/* Each of these takes what it needs from the beginning of *in. 1: done; 0: there is more to come;
 * else a negative reason. */
static int read_proxy(struct greeting *g, struct slice *in)
{
    struct proxy_header h;
    int r = proxy_read(slice_span(*in), &h);
    if (r <= 0)
        return r;
    in->p += r;
    in->n -= (uint32_t)r;
    return learn_proxy(g, &h) ? 1 : -(int)REASON_overload;
}

static int read_hello(struct greeting *g, const struct slice *in)
{
    struct client_hello hello;
    int r = client_hello_read(slice_span(*in), &hello);
    if (r <= 0)
        return r;
    struct arrival a = known(g);
    a.sni = client_hello_name(&hello);
    return learn(g, &a) ? 1 : -(int)REASON_overload;
}

/* Plain HTTP where TLS is expected is told so in its own words. */
static void answer_plain(struct greeting *g)
{
    struct forwarder *f = g->base.f;
    struct address peer = client_peer(&g->base);
    struct buf *b = buf_get(f->loop, ANSWER_BYTES_MAX);
    if (!b) {
        fail(g, REASON_overload);
        return;
    }
    struct writer w = writer_of(b->data, b->size);
    answer_write(&w, REASON_not_tls, true, false);
    struct slice answer = {b->data, (uint32_t)w_len(&w), b};
    account(f, g->base.front, &peer, REASON_not_tls, (uint16_t)reason_status(REASON_not_tls),
            answer.n);
    account_handshake_failed(f->account, &g->base.front->key, REASON_not_tls);
    g->stage = STAGE_LINGER;
    (void)stream_send(g->base.stream, &answer, 1);
    stream_shutdown(g->base.stream);
    loop_timer_set(f->loop, &g->timer, CLIENT_LINGER_MS);
    slice_put(&answer);
}

/* ---- TLS ---- */

static void shake_hands(struct greeting *g, struct slice in)
{
    struct forwarder *f = g->base.f;
    struct tls_server *server = front_conf_tls(front_conf(g->base.front), f->index);
    struct address peer = client_peer(&g->base);
    if (!server) { /* a reload has just taken it away */
        fail(g, REASON_tls_handshake_failed);
        return;
    }
    g->base.stream = tls_stream_accept(f->tls, server, g->base.stream, in, &stream_ops, g);
    if (!g->base.stream) {
        account(f, g->base.front, &peer, REASON_overload, 0, 0);
        greeting_end(g, STREAM_CLOSE_NORMAL);
    }
}

static void begin_tls(struct greeting *g, struct slice in)
{
    if (in.n == 0)
        return;
    bool http = conf_of(g)->protocol == PROTOCOL_HTTP;
    if (in.p[0] == TLS_HANDSHAKE)
        shake_hands(g, in);
    else if (http && ascii_is_alpha(in.p[0]))
        answer_plain(g);
    else
        fail(g, REASON_not_tls);
}

/* A certificate that is not good is none: such clients are refused before, or it was not asked for.
 */
static bool learn_certificate(struct greeting *g, struct arrival *a, const struct tls_session *t)
{
    struct tls_peer *peer = tls_session_peer(t);
    struct span *names = peer ? calloc(peer->names_count + 1, sizeof(*names)) : NULL;
    bool ok = names != NULL;
    for (uint32_t i = 0; ok && i < peer->names_count; i++)
        names[i] = span_cstr(peer->names[i]);
    if (ok)
        a->certificate = (struct client_certificate){
            .verified = true,
            .subject = span_cstr(peer->subject),
            .common_name = span_cstr(peer->common_name),
            .names = names,
            .name_count = peer->names_count,
            .fingerprint = span_cstr(peer->fingerprint),
        };
    ok = ok && learn(g, a);
    free(names);
    tls_peer_free(&peer);
    return ok;
}

static bool learn_tls(struct greeting *g, const struct tls_session *t,
                      const struct tls_facts *facts)
{
    struct arrival a = known(g);
    a.secure = true;
    a.resumed = facts->resumed;
    a.rules = tls_server_rules(t->server);
    a.version = span_cstr(facts->version);
    a.cipher = span_cstr(facts->cipher);
    a.sni = facts->sni;
    a.alpn = facts->alpn;
    a.certificate = (struct client_certificate){0};
    return facts->verified ? learn_certificate(g, &a, t) : learn(g, &a);
}

static void on_connected(struct stream *s)
{
    struct greeting *g = s->user;
    const struct tls_session *t = tls_stream_session(s);
    struct tls_facts facts;
    tls_session_facts(t, &facts);
    account_handshake(g->base.f->account, &g->base.front->key,
                      span_eq(span_cstr(facts.version), span_str("TLSv1.3")), facts.resumed);
    g->stage = STAGE_DONE;
    g->shook = true;
    if (learn_tls(g, t, &facts))
        hand_over(g, (struct slice){0});
    else
        fail(g, REASON_overload);
}

/* ---- bytes ---- */

/* What is incomplete waits for more of it, in a buffer of its own. */
static void keep(struct greeting *g, struct slice in)
{
    if (in.n == 0)
        return;
    struct slice kept = slice_keep(g->base.f->loop, in);
    slice_put(&g->kept);
    g->kept = kept;
    if (kept.n == 0)
        fail(g, REASON_overload);
}

static void advance(struct greeting *g, struct slice in)
{
    int r = 1;
    if (g->stage == STAGE_PROXY) {
        r = read_proxy(g, &in);
        if (r == 1 && !next_stage(g)) {
            hand_over(g, in);
            return;
        }
    }
    if (r == 1 && g->stage == STAGE_HELLO) {
        r = read_hello(g, &in);
        if (r == 1) {
            hand_over(g, in);
            return;
        }
    }
    if (r < 0)
        fail(g, (enum reason) - r);
    else if (r == 1)
        begin_tls(g, in);
    else
        keep(g, in);
}

/* What was kept and what came now, as one: n == 0 where there is no room for both. Nothing is kept
 * any more. */
static struct slice join(struct greeting *g, struct slice in)
{
    struct slice all = g->kept;
    size_t n = (size_t)all.n + in.n;
    g->kept = (struct slice){0};
    bool fits = all.buf->refs == 1 && (size_t)(all.p - all.buf->data) + n <= all.buf->size;
    if (!fits) {
        struct slice kept = all;
        struct buf *b = n <= JOINED_BYTES_MAX ? buf_get(g->base.f->loop, n) : NULL;
        if (b)
            memcpy(b->data, kept.p, kept.n);
        all = b ? (struct slice){b->data, kept.n, b} : (struct slice){0};
        slice_put(&kept);
    }
    if (all.buf) {
        memcpy(all.buf->data + (all.p - all.buf->data) + all.n, in.p, in.n);
        all.n = (uint32_t)n;
    }
    return all;
}

static void on_data(struct stream *s, struct slice in)
{
    struct greeting *g = s->user;
    if (g->stage == STAGE_LINGER) {
        g->lingered += in.n;
        if (g->lingered > LINGER_BYTES_MAX)
            greeting_end(g, STREAM_CLOSE_NORMAL);
        return;
    }
    g->spoke = true;
    if (LIKELY(g->kept.n == 0)) {
        advance(g, in);
        return;
    }
    struct slice all = join(g, in);
    if (all.n == 0) {
        fail(g, REASON_overload);
        return;
    }
    advance(g, all);
    slice_put(&all);
}

static void on_eof(struct stream *s)
{
    give_up(s->user, REASON_client_closed);
}

static void on_sent(struct stream *s)
{
    (void)s; /* the answer of STAGE_LINGER has left */
}

static void on_failed(struct stream *s, enum reason why)
{
    struct greeting *g = s->user;
    give_up(g, why == REASON_backend_reset ? REASON_client_reset : why);
}

static const struct stream_ops stream_ops = {
    .connected = on_connected,
    .data = on_data,
    .eof = on_eof,
    .sent = on_sent,
    .failed = on_failed,
};

static void on_timer(struct timer *t)
{
    give_up(container_of(t, struct greeting, timer), REASON_handshake_timeout);
}

/* ---- the greeting as a client ---- */

/* Who has not said a word is not waited for. */
static void drain(struct client *base)
{
    struct greeting *g = container_of(base, struct greeting, base);
    if (!g->spoke)
        loop_timer_set(base->f->loop, &g->timer, base->f->quiet_ms);
}

static void close_now(struct client *base)
{
    greeting_end(container_of(base, struct greeting, base), STREAM_CLOSE_NORMAL);
}

static const struct client_kind kind = {.name = "greeting", .drain = drain, .close_now = close_now};

/* Whether its connections begin with a PROXY header. */
static bool is_proxy(const struct listener_conf *conf, struct stream *s)
{
    if (conf->proxy_count == 0)
        return false;
    struct address peer = stream_peer(s);
    for (size_t i = 0; i < conf->proxy_count; i++)
        if (address_block_has(&conf->proxies[i], &peer))
            return true;
    return false;
}

void greeting_open(struct forwarder *f, struct front *front, struct stream *s)
{
    struct greeting *g = slab_get_zeroed(&f->clients);
    if (!g) {
        stream_close(&s, STREAM_CLOSE_RESET);
        return;
    }
    g->base.kind = &kind;
    g->base.f = f;
    g->base.front = front;
    g->base.stream = s;
    timer_init(&g->timer, on_timer);
    stream_set_ops(s, &stream_ops, g);
    forwarder_client_opened(f, &g->base);
    atomic_fetch_add_explicit(&front->connections, 1, memory_order_relaxed);
    g->proxied = is_proxy(conf_of(g), s);
    if (!g->proxied && !next_stage(g)) {
        hand_over(g, (struct slice){0}); /* a proxy's listener, but not a proxy */
        return;
    }
    loop_timer_set(f->loop, &g->timer, conf_of(g)->handshake_ms);
    stream_read(s, true);
}

void greeting_refuse(struct forwarder *f, struct front *front, struct stream *s, enum reason why)
{
    struct address peer = stream_peer(s);
    account(f, front, &peer, why, 0, 0);
    stream_close(&s, STREAM_CLOSE_RESET);
}
