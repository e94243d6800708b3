/* SPDX-License-Identifier: MIT */
#include "admin/explain.h"

#include "base/check.h"
#include "codec/h1.h"
#include "route/route.h"
#include "route/rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- routes ---- */

static void put_list(struct writer *w, const char *const *values, size_t count)
{
    for (size_t i = 0; i < count && i < 8; i++)
        w_printf(w, "%s%s", i == 0 ? "" : i + 1 == count ? " or " : ", ", values[i]);
    if (count > 8)
        w_printf(w, " or %zu more", count - 8);
}

/* A header is there with another value, or not at all. */
static void put_field(struct writer *w, const struct match_field *f, const struct head *h)
{
    unsigned at = 0;
    struct span name = span_cstr(f->name);
    enum field_id id = field_id_of(name);
    const struct field *there =
        id == FIELD_OTHER ? head_find_name(h, name, &at) : head_find(h, id, &at);
    if (!there) {
        w_printf(w, "there is no header %s", f->name);
        return;
    }
    w_printf(w, "header %s is not '%s' but '", f->name, f->value ? f->value : "");
    w_escaped(w, span_sub(field_value(h, there), 0, 64));
    w_str(w, "'");
}

static void put_arrival(struct writer *w, const char *what, const char *const *values, size_t count)
{
    w_printf(w, "%s is %s", what, strncmp(what, "no ", 3) == 0 ? "" : "not ");
    put_list(w, values, count);
}

static void say_why_not(struct explain_route *r, enum route_condition broken, size_t field,
                        const struct head *h)
{
    const struct route_conf *c = r->conf;
    struct writer w = writer_of(r->because, sizeof(r->because) - 1);
    switch (broken) {
    case ROUTE_HOLDS: break;
    case ROUTE_METHOD:
        w_str(&w, "method is not ");
        put_list(&w, c->methods, c->method_count);
        break;
    case ROUTE_PATH: w_printf(&w, "path is not %s", c->path); break;
    case ROUTE_PATH_PREFIX: w_printf(&w, "path is not below %s", c->path_prefix); break;
    case ROUTE_HOST:
        w_str(&w, "host is not ");
        put_list(&w, c->hosts, c->host_count);
        break;
    case ROUTE_FIELD: put_field(&w, &c->fields[field], h); break;
    case ROUTE_SNI: put_arrival(&w, "the name in TLS", c->snis, c->sni_count); break;
    case ROUTE_CLIENT_SUBJECT:
        put_arrival(&w, "the client's subject", c->client_subjects, c->client_subject_count);
        break;
    case ROUTE_CLIENT_SAN:
        put_arrival(&w, "no name of the client", c->client_sans, c->client_san_count);
        break;
    case ROUTE_CLIENT_FINGERPRINT:
        put_arrival(&w, "the client's fingerprint", c->client_fingerprints,
                    c->client_fingerprint_count);
        break;
    }
    w.failed = false;
    (void)w_cstr(&w);
}

static bool explain_routes(struct explanation *e)
{
    const struct listener_conf *l = e->listener;
    const struct head *h = &e->head;
    struct span method = head_span(h, h->method_text);
    e->routes = calloc(l->route_count + 1, sizeof(*e->routes));
    if (!e->routes)
        return false;
    e->route_count = l->route_count;
    for (size_t i = 0; i < l->route_count; i++) {
        struct explain_route *r = &e->routes[i];
        size_t field = 0;
        r->conf = &l->routes[i];
        if (e->route) {
            snprintf(r->because, sizeof(r->because), "not looked at: %s matched", e->route->name);
            continue;
        }
        enum route_condition broken = l->protocol == PROTOCOL_HTTP
                                          ? route_mismatch(r->conf, method, h, e->came, &field)
                                          : route_arrival_mismatch(r->conf, e->came);
        r->matched = broken == ROUTE_HOLDS;
        if (r->matched)
            e->route = r->conf;
        say_why_not(r, broken, field, h);
    }
    return true;
}

/* ---- the whole ---- */

void explain_end(struct explanation *e, enum reason reason)
{
    e->reason = reason;
    e->outcome = reason_name(reason);
}

/* What the codec makes of it: REASON_ok, or why it would be refused. */
static enum reason read_head(struct explanation *e, size_t n)
{
    const struct listener_conf *l = e->listener;
    struct h1_limits limits = {.line_bytes = l->line_bytes_max,
                               .head_bytes = l->head_bytes_max,
                               .fields = (uint16_t)l->fields_max};
    struct h1_reader reader;
    struct h1_result result;
    h1_reader_init(&reader, H1_REQUESTS, &limits);
    head_init(&e->head, e->scratch, sizeof(e->scratch));
    int event = h1_reader_next(&reader, span_of(e->bytes, n), &e->head, &result);
    if (event < 0)
        return (enum reason) - event;
    CHECK(event == H1_HEAD); /* the head is complete */
    e->method = head_span(&e->head, e->head.method_text);
    e->host = head_span(&e->head, e->head.host);
    e->path = head_path(&e->head);
    return REASON_ok;
}

/* In the order in which an exchange begins. */
static bool decide(const struct explain_world *world, struct explanation *e)
{
    const struct listener_conf *l = e->listener;
    const struct head *h = &e->head;
    bool http = l->protocol == PROTOCOL_HTTP;
    enum reason own = http && rules_any(l) ? rules_answer(l, h, e->came) : REASON_ok;
    if (own != REASON_ok) {
        explain_end(e, own);
        return true;
    }
    if (!explain_routes(e))
        return false;
    uint32_t pool = e->route ? e->route->pool : l->pool >= 0 ? (uint32_t)l->pool : ROUTE_NO_POOL;
    uint32_t found = pool;
    CHECK(!http || route_find(l, e->method, h, e->came, &found) == e->route);
    CHECK(found == pool);
    if (pool == ROUTE_NO_POOL) {
        explain_end(e, REASON_no_route);
        return true;
    }
    e->pool = &world->snapshot->pools[pool];
    if (!explain_pick(world, pool, e))
        return false;
    if (l->body_bytes_max && h->framing == BODY_LENGTH && h->body_length > l->body_bytes_max)
        explain_end(e, REASON_body_too_large);
    return true;
}

struct explanation *explain(const struct explain_world *world, const struct explain_question *q,
                            struct explain_fault *f)
{
    struct explanation *e = calloc(1, sizeof(*e));
    size_t n;
    *f = (struct explain_fault){.message = "out of memory"};
    if (!e)
        return NULL;
    e->live = world->view != NULL;
    if (!explain_ask(world->snapshot, q, e, &n, f)) {
        explain_free(&e);
        return NULL;
    }
    enum reason refused = n > 0 ? read_head(e, n) : REASON_ok;
    if (refused != REASON_ok)
        explain_end(e, refused);
    else if (!decide(world, e))
        explain_free(&e);
    return e;
}

void explain_free(struct explanation **e)
{
    if (!*e)
        return;
    free((*e)->routes);
    free((*e)->candidates);
    free(*e);
    *e = NULL;
}

/* ---- as JSON ---- */

static void put_at(struct json *j, const struct snapshot *s, struct origin at)
{
    char text[512];
    if (at.line == 0)
        return;
    snprintf(text, sizeof(text), "%s:%u", s->source, at.line);
    j_str(j, "at", text);
}

static void put_routes(struct json *j, const struct snapshot *s, const struct explanation *e)
{
    if (e->route) {
        j_object(j, "route");
        j_str(j, "name", e->route->name);
        put_at(j, s, e->route->origin);
        j_end(j);
    } else {
        j_str(j, "route", NULL);
    }
    j_array(j, "routes");
    for (size_t i = 0; i < e->route_count; i++) {
        const struct explain_route *r = &e->routes[i];
        j_object(j, NULL);
        j_str(j, "name", r->conf->name);
        put_at(j, s, r->conf->origin);
        j_bool(j, "matched", r->matched);
        if (!r->matched)
            j_str(j, "because", r->because);
        j_end(j);
    }
    j_end(j);
}

static void put_candidates(struct json *j, const struct explanation *e)
{
    j_u64(j, "candidates_total", e->candidates_total);
    j_array(j, "candidates");
    for (size_t i = 0; i < e->candidate_count; i++) {
        const struct explain_candidate *c = &e->candidates[i];
        j_object(j, NULL);
        j_str(j, "name", c->name);
        j_str(j, "address", c->address);
        j_bool(j, "eligible", c->eligible);
        if (!c->eligible)
            j_str(j, "because", c->because);
        j_u64(j, "weight", c->weight);
        j_bool(j, "backup", c->backup);
        j_u64(j, "in_flight", c->in_flight);
        if (c->scored)
            j_number(j, "score", c->score);
        j_end(j);
    }
    j_end(j);
}

static void put_tls(struct json *j, const struct explanation *e)
{
    const struct arrival *a = e->came;
    if (!a)
        return;
    j_object(j, "tls");
    j_span(j, "sni", a->sni);
    j_span(j, "client_subject", a->certificate.subject);
    j_span(j, "client_fingerprint", a->certificate.fingerprint);
    j_array(j, "client_san");
    for (size_t i = 0; i < a->certificate.name_count; i++)
        j_span(j, NULL, a->certificate.names[i]);
    j_end(j);
    j_end(j);
}

static void put_request(struct json *j, const struct explanation *e)
{
    char ip[ADDRESS_TEXT_MAX];
    size_t n = address_format_ip(&e->client, ip);
    j_span(j, "from", span_of(ip, n));
    put_tls(j, e);
    if (e->listener->protocol == PROTOCOL_TCP || e->method.n == 0)
        return;
    j_span(j, "method", e->method);
    j_span(j, "host", e->host);
    j_span(j, "path", e->path);
}

void explain_json(struct json *j, const char *key, const struct explain_world *world,
                  const struct explanation *e)
{
    const struct snapshot *s = world->snapshot;
    j_object(j, key);
    j_bool(j, "live", e->live);
    put_request(j, e);
    j_str(j, "listener", e->listener->name);
    put_at(j, s, e->listener->origin);
    j_str(j, "protocol", protocol_name(e->listener->protocol));
    put_routes(j, s, e);
    if (e->pool) {
        j_str(j, "pool", e->pool->name);
        j_str(j, "balance", balance_name(e->pool->balance));
        put_candidates(j, e);
        if (e->how[0])
            j_str(j, "how", e->how);
    }
    j_str(j, "pick", e->pick[0] ? e->pick : NULL);
    j_str(j, "outcome", e->outcome);
    if (e->reason != REASON_ok) {
        j_u64(j, "status", (uint64_t)reason_status(e->reason));
        j_str(j, "reason_text", reason_sentence(e->reason));
    }
    j_end(j);
}
