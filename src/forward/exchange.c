/* SPDX-License-Identifier: MIT */
/*
 * accept → codec → route → pick → forward → account: the stages of one exchange, in this order.
 *
 * Who owns whom: the client side owns its connection and outlives many exchanges; the exchange owns
 * the place at the backend (target) and lends itself to one backend side at a time. What must stay
 * true: pick_done is called exactly once for every target, account_exchange or account_count
 * exactly once for every exchange, and after exchange_over nothing of it is touched.
 */
#include "account/recorder.h"
#include "base/check.h"
#include "codec/arrival.h"
#include "codec/grpc.h"
#include "forward/answer_grpc.h"
#include "forward/bulk.h"
#include "forward/exchange_priv.h"
#include "forward/forwarder.h"
#include "forward/request.h"
#include "forward/response.h"
#include "forward/retry.h"
#include "forward/tcp_side.h"
#include "forward/upstream.h"
#include "forward/upstream_h2.h"
#include "route/route.h"

#include <string.h>

#define NS_PER_MS UINT64_C(1000000)

/* ---- small things ---- */

static uint64_t now_ns(const struct exchange *x)
{
    return loop_now(x->f->loop);
}

static uint64_t ns_until(const struct exchange *x, uint64_t then_ns)
{
    uint64_t now = now_ns(x);
    return then_ns > now ? then_ns - now : 0;
}

static struct side *other(const struct exchange *x, const struct side *from)
{
    return from == x->client ? x->backend : x->client;
}

static void set_credit(struct exchange *x, struct side *side, bool on)
{
    bool *waits = side == x->client ? &x->client_waits : &x->backend_waits;
    if (*waits != on)
        return;
    *waits = !on;
    if (side == x->client) {
        if (!on && x->credit_since_ns)
            x->credit_ns += now_ns(x) - x->credit_since_ns;
        x->credit_since_ns = on ? now_ns(x) : 0;
    }
    side->ops->credit(side, on);
}

/* ---- the end ---- */

/* Gives the place at the backend back and tells passive health how it went. */
static NOINLINE void leave_given(struct exchange *x, enum reason how, bool counts)
{
    struct backend *b = x->target;
    x->target = NULL;
    account_left(x->f->account, &b->key,
                 &(struct account_left){
                     .bytes_in = x->bytes_in,
                     .bytes_out = x->bytes_out,
                     .ns = now_ns(x) - x->given_ns,
                     .status = x->response_begun ? x->status : 0,
                     .failure = how,
                 });
    if (counts && x->f->report)
        x->f->report(x->f->report_user, b, how, now_ns(x) / 1000000);
    pick_done(b);
    if (queue_of(b->pool))
        queue_release(b->pool, b);
}

static inline void leave_target(struct exchange *x, enum reason how, bool counts)
{
    if (x->target)
        leave_given(x, how, counts);
}

static inline ALWAYS_INLINE void exchange_free(struct exchange *x)
{
    struct forwarder *f = x->f;
    const struct front_conf *front = x->front;
    x->magic = 0;
    slab_put(&f->exchanges, x);
    front_conf_unuse(front, f->index);
}

/* The exchange outlives the turn in which it left its backend, and will name it in the log. */
static void pin_last(struct exchange *x)
{
    if (x->last && !x->pinned) {
        x->pinned = true;
        backend_pin(x->last);
    }
}

static void unpin_last(struct exchange *x)
{
    if (UNLIKELY(x->pinned)) {
        x->pinned = false;
        backend_unpin(x->last);
    }
}

/* Accounts and frees. The sides must have let go. */
static void exchange_over(struct exchange *x, enum reason why)
{
    CHECK(x->magic == EXCHANGE_MAGIC);
    CHECK(!x->backend && !x->client);
    leave_target(x, REASON_ok, false);
    exchange_account(x, why);
    unpin_last(x);
    slice_put(&x->request);
    if (UNLIKELY(x->deadline_ns))
        loop_timer_stop(x->f->loop, &x->timer);
    if (x->grant_due) {
        x->gone = true; /* freed when the grant arrives: its message lies in here */
        return;
    }
    exchange_free(x);
}

/* Everything was said: the client side goes on by itself. */
static void finish(struct exchange *x)
{
    struct side *client = x->client;
    x->client = NULL;
    enum reason why = x->reason;
    exchange_over(x, why);
    client->x = NULL;
    client->ops->release(client, true);
}

static void drop_backend(struct exchange *x, enum reason why)
{
    struct side *backend = x->backend;
    if (backend) {
        x->backend = NULL;
        backend->x = NULL;
        backend->ops->abort(backend, why);
        bulk_backend_gone(x);
    }
}

/* What is left of the time for this state: its timer, or none. */
static void set_timer(struct exchange *x, bool queued)
{
    uint64_t until = x->deadline_ns;
    if (queued)
        until = until ? MIN(until, x->queue_until_ns) : x->queue_until_ns;
    if (until)
        loop_timer_set(x->f->loop, &x->timer, ns_until(x, until) / NS_PER_MS + 1);
    else
        loop_timer_stop(x->f->loop, &x->timer);
}

static void stop_waiting(struct exchange *x)
{
    if (x->state == EXCHANGE_ASKING)
        exchange_stop_asking(x);
    if (x->state != EXCHANGE_QUEUED)
        return;
    loop_timer_stop(x->f->loop, &x->timer);
    if (!queue_cancel(&x->waiting))
        x->grant_due = true;
}

/* Breaks off in the middle: neither peer may take what it got for whole. */
static void cut(struct exchange *x, enum reason why)
{
    stop_waiting(x);
    drop_backend(x, why);
    struct side *client = x->client;
    x->client = NULL;
    exchange_over(x, why);
    client->x = NULL;
    client->ops->abort(client, why);
}

/* Goes on when everything given to the client is on its way; else exchange_writable does. */
static void finish_when_sent(struct exchange *x)
{
    if (x->client->ops->flush(x->client))
        finish(x);
    else
        pin_last(x);
}

void exchange_reply(struct exchange *x, struct reply *r)
{
    CHECK(!x->response_begun);
    stop_waiting(x);
    drop_backend(x, r->why);
    leave_target(x, REASON_ok, false);
    exchange_set_state(x, EXCHANGE_FINISHING);
    x->reason = r->why;
    x->made_here = true;
    x->response_begun = x->response_done = true;
    r->hsts = response_hsts(x->front, x->arrival, NULL);
    if (x->client->ops->answer(x->client, r)) {
        x->status = !x->http ? 0 : x->grpc ? 200 : r->status;
        if (UNLIKELY(x->grpc))
            exchange_note_status(x, RECORD_GRPC(answer_grpc_status(r->why)));
        finish_when_sent(x);
    } else {
        cut(x, r->why);
    }
}

void exchange_answer(struct exchange *x, enum reason why)
{
    struct reply r = reply_of(why);
    exchange_reply(x, &r);
}

void exchange_kill(struct exchange *x, enum reason why)
{
    cut(x, why);
}

/* ---- begin ---- */

/* A response of which nothing has left yet is as good as none. */
static bool response_out(struct exchange *x)
{
    if (x->http && !x->tunnel && x->response_begun && x->client->ops->retract(x->client)) {
        x->response_begun = x->response_done = false;
        x->bytes_out = 0;
        if (UNLIKELY(x->grpc))
            exchange_note_status(x, RECORD_GRPC_NONE);
    }
    return x->response_begun || x->tunnel;
}

/* Ends a call whose response has begun: its trailers say why it is not whole. */
static bool end_call(struct exchange *x, enum reason why)
{
    uint8_t room[ANSWER_GRPC_TRAILERS];
    if (!x->grpc || x->response_done || x->backend_waits || x->sized)
        return false;
    struct writer w = writer_of(room, sizeof(room));
    answer_grpc_trailers(&w, why);
    CHECK(w_ok(&w));
    if (x->client->ops->end(x->client, w_span_of_result(&w)) < 0)
        return false;
    exchange_note_status(x, RECORD_GRPC(answer_grpc_status(why)));
    drop_backend(x, why);
    leave_target(x, REASON_ok, false);
    exchange_set_state(x, EXCHANGE_FINISHING);
    x->reason = why;
    x->response_done = true;
    finish_when_sent(x);
    return true;
}

static void cut_response(struct exchange *x, enum reason why)
{
    if (!end_call(x, why))
        cut(x, why);
}

static void on_timer(struct timer *t)
{
    struct exchange *x = container_of(t, struct exchange, timer);
    CHECK(x->magic == EXCHANGE_MAGIC);
    uint64_t now = now_ns(x);
    if (x->state == EXCHANGE_FINISHING)
        return;
    if (x->deadline_ns && now >= x->deadline_ns) {
        if (response_out(x))
            cut_response(x, REASON_deadline_exceeded);
        else
            exchange_answer(x, REASON_deadline_exceeded);
    } else if (x->state == EXCHANGE_QUEUED && now >= x->queue_until_ns) {
        exchange_answer(x, REASON_queue_timeout);
    } else {
        set_timer(x, x->state == EXCHANGE_QUEUED);
    }
}

static inline ALWAYS_INLINE struct exchange *exchange_new(struct forwarder *f,
                                                          const struct front_conf *front,
                                                          struct side *client,
                                                          const struct address *peer,
                                                          const struct arrival *arrival)
{
    struct exchange *x = slab_get(&f->exchanges);
    if (!x)
        return NULL;
    memset(x, 0, offsetof(struct exchange, tried.tried));
    x->magic = EXCHANGE_MAGIC;
    x->state = EXCHANGE_ROUTING;
    x->f = f;
    x->front = front;
    front_conf_use(front, f->index);
    x->client = client;
    x->arrival = arrival;
    x->peer = *peer;
    if (UNLIKELY(peer->text))
        x->peer.text = ""; /* that path is the loop's memory */
    x->begun_ns = loop_now(f->loop);
    client->x = x;
    return x;
}

/* ---- route ---- */

static bool choose_pool(struct exchange *x, const struct head *h)
{
    uint32_t index;
    x->route = route_find(x->front->conf, head_span(h, h->method_text), h, x->arrival, &index);
    if (index == ROUTE_NO_POOL)
        return false;
    x->pool = x->front->pools[index];
    return true;
}

/* Of a byte stream nothing is known but the name that its TLS asked for, if it has any. */
static bool choose_pool_of_name(struct exchange *x)
{
    uint32_t index;
    struct span sni = x->arrival ? x->arrival->sni : span_of(NULL, 0);
    x->route = route_find_sni(x->front->conf, sni, &index);
    if (index == ROUTE_NO_POOL)
        return false;
    x->pool = x->front->pools[index];
    return true;
}

/* ---- pick, queue, connect ---- */

static bool connect_target(struct exchange *x)
{
    /* While it begins, the client's side is delivering its head. */
    bool body_near = x->state == EXCHANGE_ROUTING && x->has_body;
    x->connected_ns = 0;
    exchange_set_state(x, EXCHANGE_CONNECTING);
    if (!x->http)
        return tcp_backend_begin(x, x->target);
    if (UNLIKELY(pool_has_http2(x->pool))) {
        x->marks |= FLIGHT_BACKEND_HTTP_2;
        return upstream_h2_begin(x, x->target);
    }
    return upstream_begin(x, x->target, !x->no_reuse, body_near);
}

static void take_target(struct exchange *x, struct backend *b)
{
    unpin_last(x);
    x->target = x->last = b;
    x->given_ns = now_ns(x);
    if (!x->picked_ns)
        x->picked_ns = x->given_ns;
    if (!connect_target(x))
        exchange_answer(x, REASON_out_of_files);
}

static void wait_in_queue(struct exchange *x, enum reason fallback)
{
    int r = queue_wait(x->pool, &x->waiting, x->f->loop, exchange_granted_entry);
    if (r < 0) {
        exchange_answer(x, (enum reason) - r);
        return;
    }
    exchange_set_state(x, EXCHANGE_QUEUED);
    pin_last(x);
    if (!x->deadline_ns)
        timer_init(&x->timer, on_timer);
    x->queue_until_ns = now_ns(x) + pool_conf(x->pool)->queue_ms * NS_PER_MS;
    set_timer(x, true);
    /* A place may have become free between the pick and the wait (queue.c): it goes to the first in
     * line, which may be this exchange. */
    struct backend *b;
    enum pick_answer now = pick_backend(x->pool, &x->tried, &x->f->rng, &b);
    if (now == PICK_OK) {
        pick_done(b);
        queue_release(x->pool, b);
    } else if (now == PICK_NONE) {
        exchange_answer(x, fallback); /* nobody is left whose place could become free */
    }
}

void exchange_granted_entry(struct queue_entry *e, struct backend *b)
{
    struct exchange *x = container_of(e, struct exchange, waiting);
    CHECK(x->magic == EXCHANGE_MAGIC);
    if (x->gone || x->state != EXCHANGE_QUEUED) {
        pick_done(b);
        queue_release(b->pool, b);
        x->grant_due = false;
        if (x->gone)
            exchange_free(x);
        return;
    }
    set_timer(x, false);
    take_target(x, b);
}

/* `fallback` is what to answer when there is nobody (left). */
static void pick(struct exchange *x, enum reason fallback)
{
    struct backend *b;
    if (queue_of(x->pool) && atomic_load(&x->pool->waiting) > 0) {
        wait_in_queue(x, fallback); /* behind those who came before */
        return;
    }
    switch (pick_backend(x->pool, &x->tried, &x->f->rng, &b)) {
    case PICK_OK: take_target(x, b); break;
    case PICK_QUEUE: wait_in_queue(x, fallback); break;
    case PICK_NONE: exchange_answer(x, fallback); break;
    }
}

/* Whether it is a call of gRPC, and how much time it has. */
static void begin_call(struct exchange *x, const struct head *h)
{
    unsigned at = 0;
    uint64_t timeout_ns;
    const struct field *f = head_find(h, FIELD_CONTENT_TYPE, &at);
    x->grpc = f && grpc_is_content_type(field_value(h, f));
    if (!x->grpc)
        return;
    exchange_note_status(x, RECORD_GRPC_NONE);
    at = 0;
    f = head_find_name(h, span_str("grpc-timeout"), &at);
    if (!f || !grpc_timeout_parse(field_value(h, f), &timeout_ns))
        return;
    x->deadline_ns = x->begun_ns + timeout_ns;
    timer_init(&x->timer, on_timer);
    set_timer(x, false);
}

bool exchange_begin_http(struct forwarder *f, const struct front_conf *front, struct side *client,
                         const struct head *h, const struct address *peer,
                         const struct arrival *arrival)
{
    struct exchange *x = exchange_new(f, front, client, peer, arrival);
    if (!x)
        return false;
    x->http = true;
    x->method = h->method;
    x->version_major = 1;
    x->version_minor = h->version_minor;
    x->marks = (uint16_t)(FLIGHT_HTTP_1_0 + h->version_minor);
    if (UNLIKELY(client->ops->version_major > 1)) {
        x->version_major = client->ops->version_major;
        x->version_minor = 0;
        x->marks = FLIGHT_HTTP_2;
    }
    x->upgrade = h->upgrade;
    x->bytes_in = x->head_bytes_in = h->head_len;
    x->has_body = h->framing != BODY_NONE;
    x->chunked = h->framing == BODY_CHUNKED;
    if (x->version_major == 2 && x->has_body)
        begin_call(x, h);
    x->request_done = !x->has_body;
    x->client_waits = x->has_body; /* the body stays with the client until there is a backend */
    if (x->has_body)
        client->ops->credit(client, false);
    uint64_t limit = front->conf->body_bytes_max;
    if (UNLIKELY(front->rules) && exchange_own_answer(x, h))
        return true;
    if (!choose_pool(x, h)) {
        request_note(x, h);
        exchange_answer(x, REASON_no_route);
    } else if (limit && h->framing == BODY_LENGTH && h->body_length > limit) {
        request_note(x, h);
        exchange_answer(x, REASON_body_too_large);
    } else if (request_build(x, h, peer) < 0) {
        exchange_answer(x, REASON_overload);
    } else {
        if (pool_conf(x->pool)->balance == BALANCE_SOURCE_HASH)
            x->tried.key = pick_source_key(peer);
        pick(x, REASON_no_backend);
    }
    return true;
}

bool exchange_begin_tcp(struct forwarder *f, const struct front_conf *front, struct side *client,
                        const struct address *peer, const struct arrival *arrival)
{
    struct exchange *x = exchange_new(f, front, client, peer, arrival);
    if (!x)
        return false;
    x->client_waits = true;
    if (choose_pool_of_name(x)) {
        x->tried.key = pick_source_key(peer);
        pick(x, REASON_no_backend);
    } else {
        exchange_answer(x, REASON_no_route);
    }
    return true;
}

/* ---- forward: both directions ---- */

/* What a side answered to something from `from`. False when that was the end of the exchange. */
static bool took(struct exchange *x, struct side *from, struct side *to, int answer)
{
    if (answer < 0) {
        cut(x, (enum reason) - answer);
        return false;
    }
    if (answer == SIDE_FULL && !to->ops->flush(to))
        set_credit(x, from, false);
    return true;
}

static bool body_over_limit(const struct exchange *x)
{
    uint64_t limit = x->front->conf->body_bytes_max;
    return limit && x->http && !x->tunnel && exchange_body_bytes(x) > limit &&
           x->state != EXCHANGE_FINISHING; /* it has been answered: the rest is dropped */
}

bool exchange_count(struct exchange *x, struct side *from, uint64_t n)
{
    if (from == x->client) {
        x->bytes_in += n;
        x->body_begun = true;
        if (body_over_limit(x)) {
            exchange_client_failed(x, REASON_body_too_large);
            return false;
        }
    } else {
        x->bytes_out += n;
        if (!x->first_byte_ns)
            x->first_byte_ns = now_ns(x);
    }
    return true;
}

bool exchange_body(struct exchange *x, struct side *from, struct slice piece)
{
    struct side *to = other(x, from);
    CHECK(to || x->state == EXCHANGE_FINISHING); /* else it would be lost */
    if (!exchange_count(x, from, piece.n))
        return false;
    return !to || took(x, from, to, to->ops->body(to, piece));
}

bool exchange_end(struct exchange *x, struct side *from, struct span trailers)
{
    struct side *to = other(x, from);
    if (from == x->client) {
        x->request_done = true;
        x->body_begun |= x->chunked; /* the end of an empty body is sent once like any other */
    } else {
        x->response_done = true;
    }
    return !to || took(x, from, to, to->ops->end(to, trailers));
}

/* The backend has said all; its connection goes back to the pool or closes. Apart from settle,
 * which mostly finds that there is nothing to do yet. */
static NOINLINE void release_backend(struct exchange *x)
{
    struct side *backend = x->backend;
    x->backend = NULL;
    backend->x = NULL;
    leave_target(x, REASON_ok, true);
    backend->ops->release(backend, x->request_done);
    bulk_backend_gone(x);
}

/* Both directions are at their end and nothing waits to be sent: the exchange is over. */
static void settle(struct exchange *x)
{
    if (x->http && !x->tunnel) {
        if (!x->response_done)
            return;
        exchange_set_state(x, EXCHANGE_FINISHING);
        if (x->backend)
            release_backend(x);
        if (!x->backend_waits)
            finish(x);
        else
            pin_last(x);
        return;
    }
    if (x->request_done && x->response_done && !x->client_waits && !x->backend_waits) {
        exchange_set_state(x, EXCHANGE_FINISHING);
        release_backend(x);
        finish(x);
    }
}

void exchange_flush(struct exchange *x, struct side *from)
{
    struct side *to = other(x, from);
    if (!to)
        return;
    bool ended = from == x->client ? x->request_done : x->response_done;
    bool bulk = !ended && bulk_wanted(x, from, to);
    bool all = to->ops->flush(to);
    if (!all)
        set_credit(x, from, false);
    else if (bulk)
        bulk_begin(x, from, to);
    settle(x);
}

void exchange_blocked(struct exchange *x, struct side *side)
{
    struct side *from = other(x, side);
    if (from)
        set_credit(x, from, false);
}

void exchange_writable(struct exchange *x, struct side *side)
{
    if (x->state == EXCHANGE_FINISHING) {
        CHECK(side == x->client);
        finish(x);
        return;
    }
    struct side *from = other(x, side);
    if (!from)
        return;
    bool ended = side == x->client ? x->response_done : x->request_done;
    if (ended) {
        /* Nothing more will come from there; only what was on its way mattered. */
        if (from == x->client)
            x->client_waits = false;
        else
            x->backend_waits = false;
        settle(x);
        return;
    }
    set_credit(x, from, true);
}

uint32_t exchange_quiet_ms(const struct exchange *x)
{
    return x->tunnel || x->grpc ? x->front->conf->tunnel_ms : pool_conf(x->pool)->idle_ms;
}

void exchange_quiet(struct exchange *x)
{
    if (!x->http || x->response_begun)
        cut_response(x, REASON_idle_timeout);
    else
        exchange_answer(x, REASON_request_timeout);
}

uint64_t exchange_body_ms(const struct exchange *x)
{
    uint64_t now = x->credit_since_ns ? now_ns(x) - x->credit_since_ns : 0;
    return (x->credit_ns + now) / 1000000;
}

void exchange_body_held(struct exchange *x)
{
    if (x->credit_since_ns)
        x->credit_since_ns = now_ns(x);
}

uint64_t exchange_body_bytes(const struct exchange *x)
{
    return x->bytes_in - x->head_bytes_in;
}

/* ---- forward: the backend side ---- */

void exchange_connected(struct exchange *x, struct stream *over)
{
    x->connected_ns = now_ns(x);
    if (UNLIKELY(over->magic != STREAM_MAGIC))
        exchange_note_tls(x, over);
    if (!x->http)
        x->response_begun = true; /* a byte stream has no other beginning */
    exchange_set_state(x, EXCHANGE_SENDING);
}

bool exchange_asked_for(const struct exchange *x, const struct head *h)
{
    unsigned at = 0;
    const struct field *f = head_find(h, FIELD_UPGRADE, &at);
    struct span asked = exchange_text(x, x->upgrade_at);
    while (f && asked.n > 0) {
        struct span one = span_trim(span_cut(&asked, ','));
        if (one.n > 0 && span_eq_nocase(one, field_value(h, f)))
            return true;
    }
    return false;
}

/* An ordinary response of success to a client that asked for a tunnel by extended CONNECT: it would
 * take that for the tunnel (RFC 8441 5). */
static bool is_mistaken(const struct exchange *x, const struct head *h)
{
    return x->upgrade && x->version_major == 2 && h->status / 100 == 2;
}

void exchange_response(struct exchange *x, const struct head *h, struct slice raw)
{
    bool interim = h->status < 200 && h->status != 101;
    if (UNLIKELY(is_mistaken(x, h))) {
        exchange_answer(x, REASON_backend_no_websocket);
        return;
    }
    x->bytes_out += h->head_len;
    if (!interim) {
        x->first_byte_ns = now_ns(x);
        x->response_begun = true;
        x->status = h->status;
        if (UNLIKELY(x->grpc))
            x->sized = h->framing == BODY_LENGTH;
        exchange_set_state(x, EXCHANGE_RESPONDING);
    }
    if (interim && x->version_major == 1 && x->version_minor == 0)
        return; /* HTTP/1.0 knows no interim responses (RFC 9110 15.2) */
    if (!took(x, x->backend, x->client, x->client->ops->head(x->client, h, raw)))
        return;
    if (h->framing == BODY_TUNNEL) {
        x->tunnel = true;
        exchange_note_tunnel(x);
        x->request_done = false; /* from now on both directions are streams of bytes */
        x->backend->ops->tunnel(x->backend);
        x->client->ops->tunnel(x->client);
    }
}

/* The kept-alive connection had been closed meanwhile, which says nothing about the backend: the
 * place there is kept, and the request goes out again on a new connection. */
static void reconnect(struct exchange *x)
{
    x->no_reuse = true;
    if (!connect_target(x))
        exchange_answer(x, REASON_out_of_files);
}

void exchange_backend_failed(struct exchange *x, enum reason why, bool fresh)
{
    bool reset = reason_retry(why) == REASON_RETRY_RESET;
    struct retry_facts facts = {
        .idempotent = method_is_idempotent(x->method),
        .tcp = !x->http,
        .spent = x->body_begun || x->heard,
        .stale = !fresh && (reset || why == REASON_stream_refused),
        .retries = x->retries,
    };
    bulk_backend_gone(x);
    bool out = response_out(x);
    bool again = !out && retry_allowed(pool_conf(x->pool), &facts, why);
    if (again) {
        x->retries++;
        account_retried(x->f->account, &x->target->key);
        x->backend_waits = false;
        x->marks &= (uint16_t) ~(FLIGHT_BACKEND_HTTP_2 | FLIGHT_BACKEND_TLS);
        if (!x->request_done)
            set_credit(x, x->client, false); /* until somebody is there to take the body */
    }
    if (again && facts.stale) {
        reconnect(x);
        return;
    }
    if (x->tried.tried_count < PICK_TRIED_MAX)
        x->tried.tried[x->tried.tried_count++] = x->target->slot;
    /* A server may well hang up on an upload it does not want. */
    leave_target(x, why, !facts.stale && (!reset || x->request_done));
    if (out)
        cut_response(x, why);
    else if (again)
        pick(x, why);
    else
        exchange_answer(x, why);
}

/* ---- the client's failures ---- */

void exchange_client_failed(struct exchange *x, enum reason why)
{
    if (x->http && !x->response_begun && reason_status(why) != 0)
        exchange_answer(x, why);
    else
        cut(x, why);
}
