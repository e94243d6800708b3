/* SPDX-License-Identifier: MIT */
/* The calls that only look. */
#include "account/record.h"
#include "admin/call.h"
#include "admin/look.h"
#include "admin/metrics.h"
#include "admin/show.h"
#include "base/check.h"
#include "base/str.h"
#include "config/load.h"

#include <stdio.h>
#include <stdlib.h>

/* Names that are looked through for the one that was meant: more would take too long. */
#define SUGGEST_NAMES_MAX 2000

void call_status(struct call *c)
{
    struct steer_view view = call_view(c);
    struct show s = show_of_call(c, &view);
    struct json j = call_json(c, 200);
    show_status(&j, NULL, &s);
}

void call_listeners(struct call *c)
{
    struct steer_view view = call_view(c);
    struct show s = show_of_call(c, &view);
    struct json j = call_json(c, 200);
    j_object(&j, NULL);
    show_listeners(&j, &s);
    j_end(&j);
}

void call_pools(struct call *c)
{
    struct steer_view view = call_view(c);
    struct show s = show_of_call(c, &view);
    struct json j = call_json(c, 200);
    j_object(&j, NULL);
    show_pools(&j, &s);
    j_end(&j);
}

/* ---- one of them ---- */

/* A name of theirs as it may be quoted in a sentence. */
static const char *shown(char buf[2 * NAME_MAX_LEN], struct span name)
{
    struct writer w = writer_of(buf, 2 * NAME_MAX_LEN - 1);
    for (size_t i = 0; i < name.n && w_ok(&w); i++)
        w_escaped(&w, span_sub(name, i, 1));
    w.failed = false;
    return w_cstr(&w);
}

static void not_found(struct call *c, const char *field, const char *kind, struct span name,
                      const char *where, const char *near)
{
    char text[2 * NAME_MAX_LEN];
    call_fail(c, 404, "not_found", field, "there is no %s '%s'%s%s%s%s", kind, shown(text, name),
              where, near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

struct pool *call_find_pool(struct call *c, const struct steer_view *view)
{
    struct pool *pool = look_find_pool(view, c->params[0]);
    if (pool)
        return pool;
    const char *names[SUGGEST_NAMES_MAX];
    size_t n = 0;
    for (size_t i = 0; i < view->pool_count && n < ARRAY_LEN(names); i++)
        names[n++] = look_pool_conf(view->pools[i])->name;
    not_found(c, "pool", "pool", c->params[0], "", suggest_closest(c->params[0], names, n));
    return NULL;
}

struct backend *call_find_backend(struct call *c, const struct steer_view *view)
{
    struct pool *pool = call_find_pool(c, view);
    if (!pool)
        return NULL;
    struct backend *b = look_find_backend(pool, c->params[1]);
    if (b)
        return b;
    const char *names[SUGGEST_NAMES_MAX];
    size_t n = 0;
    for (uint32_t i = 0; i < look_slots(pool) && n < ARRAY_LEN(names); i++) {
        const struct backend *other = look_backend(pool, i);
        if (other)
            names[n++] = other->conf->name;
    }
    char where[NAME_MAX_LEN + 32];
    snprintf(where, sizeof(where), " in pool '%.*s'", NAME_MAX_LEN, look_pool_conf(pool)->name);
    not_found(c, "name", "backend", c->params[1], where, suggest_closest(c->params[1], names, n));
    return NULL;
}

void call_pool(struct call *c)
{
    struct steer_view view = call_view(c);
    const struct pool *pool = call_find_pool(c, &view);
    if (!pool)
        return;
    struct show s = show_of_call(c, &view);
    struct json j = call_json(c, 200);
    show_pool(&j, NULL, &s, pool);
}

void call_backends(struct call *c)
{
    struct steer_view view = call_view(c);
    const struct pool *pool = call_find_pool(c, &view);
    if (!pool)
        return;
    struct show s = show_of_call(c, &view);
    struct json j = call_json(c, 200);
    j_object(&j, NULL);
    show_backends(&j, &s, pool);
    j_end(&j);
}

void call_show_backend(struct call *c, uint16_t status, const struct backend *b, bool saved)
{
    struct steer_view view = call_view(c);
    struct show s = show_of_call(c, &view);
    struct json j = call_json(c, status);
    j_object(&j, NULL);
    show_backend_members(&j, &s, b);
    if (saved)
        j_bool(&j, "saved", true);
    j_end(&j);
}

void call_backend(struct call *c)
{
    struct steer_view view = call_view(c);
    const struct backend *b = call_find_backend(c, &view);
    if (b)
        call_show_backend(c, 200, b, false);
}

/* ---- the configuration ---- */

void call_config(struct call *c)
{
    struct steer_view view = call_view(c);
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    if (out) {
        config_print_effective_json(view.snapshot, out);
        fclose(out);
    }
    if (!text) {
        call_fail(c, 503, "unavailable", NULL, "out of memory");
        return;
    }
    (void)call_json(c, 200);
    text_add(&c->out, text, n);
    free(text);
}

/* ---- sessions ---- */

static void put_tls(struct json *j, const char *key, struct span version, struct span cipher)
{
    j_object(j, key);
    if (version.n > 0) {
        j_span(j, "version", version);
        j_span(j, "cipher", cipher);
    }
}

/* How both sides speak; what there is none of is left out. */
static void put_protocols(struct json *j, const struct session *s)
{
    j_str(j, "client_protocol", s->client_protocol);
    if (s->tls_version.n + s->sni.n > 0) {
        put_tls(j, "tls", s->tls_version, s->tls_cipher);
        if (s->sni.n > 0)
            j_span(j, "sni", s->sni);
        j_end(j);
    }
    if (s->backend_protocol)
        j_str(j, "backend_protocol", s->backend_protocol);
    if (s->backend_tls_version.n > 0) {
        put_tls(j, "backend_tls", s->backend_tls_version, s->backend_tls_cipher);
        j_end(j);
    }
}

static void put_session(struct json *j, const struct session *s)
{
    bool ended = s->state == NULL;
    j_object(j, NULL);
    j_u64(j, "worker", s->worker);
    j_span(j, "client", s->client);
    j_span(j, "listener", s->listener);
    j_span(j, "route", s->route);
    j_span(j, "pool", s->pool);
    j_span(j, "backend", s->backend);
    j_str(j, "protocol", s->tcp ? "tcp" : "http");
    if (!s->tcp) {
        j_span(j, "method", s->method);
        j_span(j, "target", s->target);
        j_span(j, "host", s->host);
    }
    put_protocols(j, s);
    j_u64(j, "bytes_in", s->bytes_in);
    j_u64(j, "bytes_out", s->bytes_out);
    j_u64(j, "retries", s->retries);
    j_span(j, "request_id", s->request_id);
    if (!ended) {
        j_str(j, "state", s->state);
        j_number(j, "age_ms", s->age_ms);
    } else {
        j_u64(j, "status", s->status);
        if (s->grpc == RECORD_GRPC_NONE)
            j_str(j, "grpc_status", NULL);
        else if (s->grpc)
            j_u64(j, "grpc_status", (uint64_t)RECORD_GRPC_STATUS(s->grpc));
        j_str(j, "reason", reason_name(s->reason));
        j_str(j, "reason_text", reason_sentence(s->reason));
        j_time(j, "ended", s->ended_wall_ms);
        j_number(j, "queue_ms", s->queue_ms);
        j_number(j, "connect_ms", s->connect_ms);
        j_number(j, "response_ms", s->response_ms);
        j_number(j, "total_ms", s->total_ms);
    }
    j_end(j);
}

static void on_sessions(void *user, uint64_t total, const struct session *rows, size_t count)
{
    struct call *c = user;
    CHECK_OBJ(c, CALL_MAGIC);
    struct json j = call_json(c, 200);
    j_object(&j, NULL);
    j_u64(&j, "total", total);
    j_array(&j, "sessions");
    for (size_t i = 0; i < count; i++)
        put_session(&j, &rows[i]);
    j_end(&j);
    j_end(&j);
    call_answer_later(c);
}

/* "KEY=N" with N from 1 to `max` is all that a query of ours says; without one *ret_n stays. False:
 * the call is answered. */
static bool query_number(struct call *c, const char *key, uint64_t max, uint64_t *ret_n)
{
    struct span value = c->query, name;
    uint64_t n;
    if (c->query.n == 0)
        return true;
    name = span_cut(&value, '=');
    if (!span_eq(name, span_cstr(key))) {
        call_fail(c, 400, "bad_request", NULL, "the query knows '%s=N' only", key);
        return false;
    }
    if (!span_to_u64(value, &n) || n < 1 || n > max) {
        call_fail(c, 400, "bad_request", key, "'%s' is a number from 1 to %llu", key,
                  (unsigned long long)max);
        return false;
    }
    *ret_n = n;
    return true;
}

void call_logs(struct call *c)
{
    uint64_t most = 100;
    if (!query_number(c, "limit", ADMIN_LOG_KEPT, &most))
        return;
    struct json j = call_json(c, 200);
    j_object(&j, NULL);
    log_tail_write(c->site->log_tail, most, &j, "lines");
    j_end(&j);
}

void call_sessions(struct call *c)
{
    uint64_t recent = 0;
    if (!query_number(c, "recent", SESSIONS_RECENT_MAX, &recent))
        return;
    struct sessions_query query = {.recent = recent > 0,
                                   .max = recent ? (uint32_t)recent : SESSIONS_SHOWN_MAX};
    if (!c->site->sessions) {
        call_unavailable(c, "a list of sessions");
        return;
    }
    c->state = CALL_LATER;
    c->site->sessions(c->site->sessions_user, &query, on_sessions, c);
}

/* ---- what is no JSON ---- */

static void plain_answer(struct call *c, uint16_t status, const char *type)
{
    (void)call_json(c, status);
    c->type = type;
}

void call_metrics(struct call *c)
{
    struct steer_view view = call_view(c);
    plain_answer(c, 200, "text/plain; version=0.0.4; charset=utf-8");
    metrics_write(&view, c->site->rates, &c->out);
}

void call_health(struct call *c)
{
    struct steer_view view = call_view(c);
    plain_answer(c, view.draining ? 503 : 200, "text/plain; charset=utf-8");
    text_str(&c->out, view.draining ? "draining\n" : "ok\n");
}

void call_page(struct call *c)
{
    const struct page *page = &page_here;
    bool fresh = page->etag && span_eq(c->if_none_match, span_cstr(page->etag));
    plain_answer(c, fresh ? 304 : 200, fresh ? NULL : "text/html; charset=utf-8");
    int n = snprintf(c->fields, sizeof(c->fields),
                     "Content-Security-Policy: %s\r\nX-Frame-Options: DENY\r\n%s%s%s", page->policy,
                     page->etag ? "Cache-Control: no-cache\r\nETag: " : "",
                     page->etag ? page->etag : "", page->etag ? "\r\n" : "");
    CHECK(n > 0 && (size_t)n < sizeof(c->fields));
    if (fresh)
        return;
    if (page->html) {
        text_add(&c->out, page->html, page->html_bytes);
        return;
    }
    struct steer_view view = call_view(c);
    page_plain_write(&c->out, &view, c->site->wall_ms);
}

void call_events(struct call *c)
{
    plain_answer(c, 200, "text/event-stream");
    c->state = CALL_STREAM;
}
