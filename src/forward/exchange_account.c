/* SPDX-License-Identifier: MIT */
/* What an exchange notes on its way for who looks, and what it leaves behind: its counts, its
 * record for the access log, its row in the flight recorder. */
#include "account/recorder.h"
#include "codec/grpc.h"
#include "forward/arrival_record.h"
#include "forward/exchange_priv.h"
#include "forward/forwarder.h"
#include "forward/tls_stream.h"

static uint64_t us_between(uint64_t from_ns, uint64_t to_ns)
{
    return from_ns && to_ns > from_ns ? (to_ns - from_ns) / 1000 : 0;
}

static_assert((int)METHOD_CONNECT + 1 == BOARD_METHOD_NONE, "the board's methods are these");

static uint8_t method_number(const struct exchange *x)
{
    return x->http ? (uint8_t)x->method : BOARD_METHOD_NONE;
}

/* With an access log: all there is to say. */
static void write_record(const struct exchange *x, enum reason why)
{
    uint64_t now = loop_now(x->f->loop);
    struct record r = {
        .start_wall_ms = loop_wall_ms(x->f->loop) - (now - x->begun_ns) / 1000000,
        .client = x->peer,
        .listener = span_cstr(x->front->conf->name),
        .route = span_cstr(x->route ? x->route->name : NULL),
        .pool = span_cstr(x->pool ? pool_conf(x->pool)->name : NULL),
        .backend = span_cstr(x->last ? x->last->conf->name : NULL),
        .http = x->http,
        .method = exchange_text(x, x->method_at),
        .request_id = exchange_text(x, x->id_at),
        .version_major = x->version_major,
        .version_minor = x->version_minor,
        .status = x->status,
        .bytes_in = x->bytes_in,
        .bytes_out = x->bytes_out,
        .queue_us = us_between(x->begun_ns, x->picked_ns),
        .connect_us = us_between(x->picked_ns, x->connected_ns),
        .response_us = us_between(x->connected_ns, x->first_byte_ns),
        .total_us = us_between(x->begun_ns, now),
        .retries = x->retries,
        .made_here = x->made_here,
        .grpc = (uint8_t)(x->marks >> FLIGHT_GRPC_SHIFT),
        .reason = why,
        .method_number = method_number(x),
        .listener_key = x->front->key,
        .pool_key = x->pool ? &x->pool->key : NULL,
    };
    if (x->texts) {
        r.target = exchange_text(x, x->target_at);
        r.host = exchange_text(x, x->host_at);
        r.user_agent = exchange_text(x, x->agent_at);
        r.referer = exchange_text(x, x->referer_at);
    }
    record_arrival(&r, x->arrival);
    account_exchange(x->f->account, &r);
}

/* NULL: none on either side. */
static NOINLINE const struct flight_tls *describe_tls(const struct exchange *x,
                                                      struct flight_tls *tls)
{
    *tls = (struct flight_tls){0};
    if (x->arrival) {
        tls->version = x->arrival->version;
        tls->cipher = x->arrival->cipher;
        tls->sni = x->arrival->sni;
    }
    if (x->marks & FLIGHT_BACKEND_TLS) {
        tls->backend_version = span_cstr(x->backend_version);
        tls->backend_cipher = span_cstr(x->backend_cipher);
    }
    return tls->version.n + tls->sni.n + tls->backend_version.n > 0 ? tls : NULL;
}

/* Into each caller: on its way into the recorder it needs no place in memory. */
static inline ALWAYS_INLINE void describe(const struct exchange *x, struct flight *ret_flight,
                                          struct flight_tls *tls)
{
    bool plain = LIKELY(!x->arrival) && LIKELY(!(x->marks & FLIGHT_BACKEND_TLS));
    *ret_flight = (struct flight){
        .begun_ns = x->begun_ns,
        .picked_ns = x->picked_ns,
        .connected_ns = x->connected_ns,
        .first_byte_ns = x->first_byte_ns,
        .ended_ns = loop_now(x->f->loop),
        .bytes_in = x->bytes_in,
        .bytes_out = x->bytes_out,
        .client = &x->peer,
        .listener = x->front->conf->name,
        .route = x->route ? x->route->name : NULL,
        .pool = x->pool ? pool_conf(x->pool)->name : NULL,
        .backend = x->last ? x->last->conf->name : NULL,
        .head = span_of(x->request.p, x->request.n),
        .request_id = exchange_text(x, x->id_at),
        .births = {x->front->key ? x->front->key->birth : 0, x->pool ? x->pool->key.birth : 0,
                   x->last ? x->last->key.birth : 0},
        .retries = x->retries,
        .status = x->status,
        .reason = (uint16_t)x->reason,
        .state = (uint8_t)(x->tunnel ? EXCHANGE_STATES : x->state),
        .marks = x->marks,
        .tls = plain ? NULL : describe_tls(x, tls),
    };
}

void exchange_flight(const struct exchange *x, struct flight *ret_flight, struct flight_tls *tls)
{
    describe(x, ret_flight, tls);
}

static void write_flight(const struct exchange *x, enum reason why)
{
    struct flight_tls tls;
    struct flight f;
    describe(x, &f, &tls);
    f.reason = (uint16_t)why;
    recorder_put(x->f->recorder, &f);
}

/* ---- noted on the way ---- */

void exchange_note_status(struct exchange *x, uint8_t grpc)
{
    x->marks = (uint16_t)((x->marks & ((1u << FLIGHT_GRPC_SHIFT) - 1)) | (unsigned)grpc
                                                                             << FLIGHT_GRPC_SHIFT);
}

void exchange_note_answer(struct exchange *x, const struct head *h)
{
    unsigned at = 0;
    const struct field *f = head_find_name(h, span_str("grpc-status"), &at);
    if (f && h->status >= 200)
        exchange_note_status(x, RECORD_GRPC(grpc_status_of(field_value(h, f))));
}

void exchange_note_trailers(struct exchange *x, struct span trailers)
{
    enum grpc_status status;
    if (grpc_status_in_trailers(trailers, &status))
        exchange_note_status(x, RECORD_GRPC(status));
}

void exchange_note_tls(struct exchange *x, struct stream *over)
{
    const struct tls_session *t = tls_stream_session(over);
    if (!t)
        return;
    tls_session_spoken(t, &x->backend_version, &x->backend_cipher);
    x->marks |= FLIGHT_BACKEND_TLS;
}

void exchange_note_tunnel(struct exchange *x)
{
    enum board_tunnel kind = exchange_tunnel_kind(x);
    if (kind == BOARD_WEBSOCKET)
        x->marks |= FLIGHT_WEBSOCKET;
    account_tunnel(x->f->account, x->front->key, kind, true);
}

/* ---- at the end ---- */

/* What not every request is, counted besides. */
static COLD NOINLINE void count_kind(const struct exchange *x)
{
    if (x->tunnel)
        account_tunnel(x->f->account, x->front->key, exchange_tunnel_kind(x), false);
    else
        account_call(x->f->account, x->front->key, x->pool ? &x->pool->key : NULL,
                     (uint8_t)(x->marks >> FLIGHT_GRPC_SHIFT));
}

void exchange_account(const struct exchange *x, enum reason why)
{
    if (UNLIKELY(x->tunnel | x->grpc))
        count_kind(x);
    if (x->f->recorder)
        write_flight(x, why);
    if (account_has_log(x->f->account)) {
        write_record(x, why);
        return;
    }
    account_count(x->f->account, &(struct account_count){
                                     .bytes_in = x->bytes_in,
                                     .bytes_out = x->bytes_out,
                                     .total_ns = loop_now(x->f->loop) - x->begun_ns,
                                     .retries = x->retries,
                                     .status = x->status,
                                     .method = method_number(x),
                                     .reason = why,
                                     .listener = x->front->key,
                                     .pool = x->pool ? &x->pool->key : NULL,
                                 });
}
