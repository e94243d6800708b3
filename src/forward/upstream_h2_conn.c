/* SPDX-License-Identifier: MIT */
/*
 * HTTP/2 connections to backends, as a whole. On its backend's list (forward/idle.h) those with
 * room stand in front, the one used last first, and the full ones behind them.
 *
 * Who owns whom: a connection owns itself; it lives until ops->failed, which every way to end it
 * leads to. Its backend is there as long as it is on the list or has exchanges.
 */
#include "base/check.h"
#include "forward/forwarder.h"
#include "forward/idle.h"
#include "forward/tls_stream.h"
#include "forward/upstream_h2_priv.h"

/* A request that must not be repeated goes only on a connection that was in use this recently, as
 * with HTTP/1 (forward/upstream.c): not every server says GOAWAY when it tires of waiting. */
#define UNSAFE_REUSE_NS (UINT64_C(1000) * 1000 * 1000)

/* The shortest time between two looks at a connection. */
#define TICK_MS_MIN 100

static const struct stream_ops stream_ops;

size_t upstream_h2_object_bytes(void)
{
    return sizeof(struct upstream_h2);
}

struct upstream_h2 *upstream_h2_of_link(struct list *link)
{
    struct upstream_h2 *u = container_of(link, struct upstream_h2, link);
    CHECK(u->magic == UPSTREAM_H2_MAGIC);
    return u;
}

/* ---- its backend's list ---- */

static struct idle_shared *shared_of(const struct upstream_h2 *u)
{
    return idle_shared(u->f->idle, u->backend);
}

static uint32_t room_of(const struct upstream_h2 *u, const struct idle_shared *s)
{
    uint32_t most = u->settled || s->limit == 0 ? UPSTREAM_H2_STREAMS : s->limit;
    return most > u->busy ? MIN(h2_conn_room(&u->h2), most - u->busy) : 0;
}

static void rest_begins(struct upstream_h2 *u, struct idle_shared *s)
{
    u->resting = true;
    u->idle_since_ns = loop_now(u->f->loop);
    s->resting++;
}

static void rest_ends(struct upstream_h2 *u, struct idle_shared *s)
{
    if (u->resting) {
        u->resting = false;
        s->resting--;
    }
}

/* From now on it does not touch its backend but for the exchanges that are left. */
static void unlist(struct upstream_h2 *u)
{
    if (u->parted)
        return;
    rest_ends(u, shared_of(u));
    list_del(&u->link);
    u->parted = true;
}

void upstream_h2_sort(struct upstream_h2 *u)
{
    if (u->parted)
        return;
    struct idle_shared *s = shared_of(u);
    bool full = room_of(u, s) == 0;
    if (full == u->full)
        return;
    u->full = full;
    if (full)
        list_move_tail(&s->connections, &u->link);
    else
        list_move_head(&s->connections, &u->link);
}

/* ---- the end ---- */

static void free_now(struct upstream_h2 *u)
{
    struct forwarder *f = u->f;
    CHECK(u->busy == 0 && list_empty(&u->waiting) && list_empty(&u->unsettled));
    unlist(u);
    loop_timer_stop(f->loop, &u->timer);
    stream_close(&u->stream, STREAM_CLOSE_NORMAL);
    h2_conn_fini(&u->h2);
    buf_put(&u->block_buf);
    u->magic = 0;
    slab_put(&f->shared_upstreams, u);
}

/* Requests that have no stream yet do not hear of its end from there. */
static void fail_waiting(struct list *waiting, enum reason why)
{
    struct list *at;
    while ((at = list_first(waiting)) != NULL)
        upstream_request_fail(container_of(at, struct upstream_request, link), why);
}

void upstream_h2_on_failed(struct h2_conn *c, enum reason why)
{
    struct upstream_h2 *u = upstream_h2_of(c);
    if (!why)
        why = u->why ? (enum reason)u->why : REASON_backend_closed;
    unlist(u);
    fail_waiting(&u->waiting, why);
    fail_waiting(&u->unsettled, why);
    free_now(u);
}

/* Its stream has come to an end. */
static void stream_ended(struct upstream_h2 *u, enum reason why)
{
    u->why = (uint8_t)why;
    unlist(u);
    u->busy++; /* it stays while they go */
    fail_waiting(&u->waiting, why);
    fail_waiting(&u->unsettled, why);
    u->busy--;
    h2_conn_eof(&u->h2, why);
}

/* Nobody is on it. */
static void close_politely(struct upstream_h2 *u)
{
    unlist(u);
    if (u->connecting)
        h2_conn_eof(&u->h2, REASON_ok);
    else
        h2_conn_fail(&u->h2, REASON_ok, NGHTTP2_NO_ERROR);
}

void upstream_h2_part(struct upstream_h2 *u)
{
    unlist(u);
    if (u->busy == 0)
        close_politely(u);
}

void upstream_h2_on_goaway(struct h2_conn *c, uint32_t code)
{
    (void)code;
    upstream_h2_part(upstream_h2_of(c));
}

/* ---- time ---- */

static void set_timer(struct upstream_h2 *u, uint64_t ms)
{
    loop_timer_set(u->f->loop, &u->timer, MAX(ms, (uint64_t)TICK_MS_MIN));
}

/* A look now and then costs less than a timer that is moved by every request. */
static void tick(struct upstream_h2 *u)
{
    const struct pool_conf *conf = pool_conf(u->backend->pool);
    set_timer(u, MIN(conf->keepalive_idle_ms, conf->idle_ms / 2));
}

static void on_timer(struct timer *t)
{
    struct upstream_h2 *u = container_of(t, struct upstream_h2, timer);
    if (u->connecting) {
        stream_ended(u, REASON_connect_timeout);
        return;
    }
    const struct pool_conf *conf = pool_conf(u->backend->pool);
    if (u->busy > 0) {
        if (h2_conn_tick(&u->h2, conf->idle_ms, conf->response_ms))
            tick(u);
        return;
    }
    uint64_t rested_ms = (loop_now(u->f->loop) - u->idle_since_ns) / 1000000;
    if (rested_ms >= conf->keepalive_idle_ms)
        close_politely(u);
    else
        set_timer(u, conf->keepalive_idle_ms - rested_ms);
}

/* ---- the stream ---- */

static void go_on(struct list *waiting)
{
    struct list *at;
    while ((at = list_pop(waiting)) != NULL)
        upstream_request_go_on(container_of(at, struct upstream_request, link));
}

/* In clear this is known in advance, over TLS it has been agreed on. */
static bool speaks_http2(struct stream *s)
{
    return !tls_stream_session(s) || tls_stream_has_http2(s);
}

static void on_connected(struct stream *s)
{
    struct upstream_h2 *u = s->user;
    u->stream = u->h2.stream = s;
    if (!speaks_http2(s)) {
        stream_ended(u, REASON_backend_no_http2);
        return;
    }
    u->connecting = false;
    tick(u);
    u->busy++; /* it stays while they begin */
    go_on(&u->waiting);
    upstream_h2_drop(u);
}

void upstream_h2_on_settings(struct h2_conn *c)
{
    struct upstream_h2 *u = upstream_h2_of(c);
    u->settled = true;
    if (!u->parted)
        shared_of(u)->limit = MIN(h2_conn_streams_max(c), UPSTREAM_H2_STREAMS);
    u->busy++;
    go_on(&u->unsettled);
    upstream_h2_sort(u);
    upstream_h2_drop(u);
}

static void on_data(struct stream *s, struct slice in)
{
    struct upstream_h2 *u = s->user;
    u->heard_ns = loop_now(u->f->loop);
    h2_conn_input(&u->h2, in);
}

static void on_eof(struct stream *s)
{
    stream_ended(s->user, REASON_backend_closed);
}

static void on_sent(struct stream *s)
{
    struct upstream_h2 *u = s->user;
    h2_conn_sent(&u->h2);
}

static void on_failed(struct stream *s, enum reason why)
{
    stream_ended(s->user, why);
}

static const struct stream_ops stream_ops = {
    .connected = on_connected,
    .data = on_data,
    .eof = on_eof,
    .sent = on_sent,
    .failed = on_failed,
};

/* ---- for requests ---- */

static struct upstream_h2 *open_new(const struct exchange *x, struct backend *b,
                                    struct idle_shared *s)
{
    struct forwarder *f = x->f;
    bool introduced = false; /* as this client's: nobody else may use it */
    struct upstream_h2 *u = slab_get_zeroed(&f->shared_upstreams);
    if (!u)
        return NULL;
    u->magic = UPSTREAM_H2_MAGIC;
    u->f = f;
    u->backend = b;
    u->connecting = true;
    list_init(&u->link);
    list_init(&u->waiting);
    list_init(&u->unsettled);
    timer_init(&u->timer, on_timer);
    u->stream = dial_for(x, b, &stream_ops, u, &introduced);
    struct h2_conn_options options = {.server = false, .streams_max = UPSTREAM_H2_STREAMS};
    if (!u->stream ||
        h2_conn_init(&u->h2, f->h2, f->loop, u->stream, &upstream_h2_conn_ops, &options) < 0) {
        if (u->stream)
            stream_close(&u->stream, STREAM_CLOSE_NORMAL);
        slab_put(&f->shared_upstreams, u);
        return NULL;
    }
    stream_read(u->stream, true);
    set_timer(u, pool_conf(b->pool)->connect_ms);
    u->parted = introduced;
    if (!introduced)
        list_add_head(&s->connections, &u->link);
    return u;
}

/* Whether a request that cannot be repeated may go there. */
static bool is_surely_open(const struct upstream_h2 *u)
{
    return u->busy > 0 || (!stream_has_input(u->stream) &&
                           loop_now(u->f->loop) - u->idle_since_ns <= UNSAFE_REUSE_NS);
}

static struct upstream_h2 *find(struct forwarder *f, struct backend *b, struct idle_shared *s,
                                bool repeatable)
{
    struct list *at = list_first(&s->connections);
    while (at && !upstream_h2_of_link(at)->full) {
        struct upstream_h2 *u = upstream_h2_of_link(at);
        struct list *next = at->next != &s->connections ? at->next : NULL;
        if (UNLIKELY(!u->connecting && !dial_is_current(f, b, u->stream)))
            upstream_h2_part(u);
        else if (room_of(u, s) == 0)
            upstream_h2_sort(u);
        else if (repeatable || is_surely_open(u))
            return u;
        at = next;
    }
    return NULL;
}

struct upstream_h2 *upstream_h2_take(const struct exchange *x, struct backend *b)
{
    struct idle_shared *s = idle_shared(x->f->idle, b);
    if (!s)
        return NULL;
    struct upstream_h2 *u = find(x->f, b, s, method_is_idempotent(x->method));
    if (!u)
        u = open_new(x, b, s);
    if (!u)
        return NULL;
    rest_ends(u, s);
    u->busy++;
    return u;
}

void upstream_h2_drop(struct upstream_h2 *u)
{
    CHECK(u->busy > 0);
    if (--u->busy > 0 || u->resting)
        return;
    const struct idle_shared *s = u->parted ? NULL : shared_of(u);
    bool keep = s && !u->connecting && backend_in_rotation(u->backend) &&
                h2_conn_room(&u->h2) > 0 &&
                s->resting < pool_conf(u->backend->pool)->keepalive_max_idle;
    if (keep)
        rest_begins(u, shared_of(u));
    else
        close_politely(u);
}
