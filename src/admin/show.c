/* SPDX-License-Identifier: MIT */
#include "admin/show.h"

#include "account/reason.h"
#include "admin/look.h"
#include "codec/tls.h"
#include "config/snapshot.h"

#include <stdio.h>
#include <unistd.h>

static const char *const class_names[] = {NULL, "1xx", "2xx", "3xx", "4xx", "5xx"};

struct show show_of_call(const struct call *c, const struct steer_view *view)
{
    return (struct show){
        .view = view,
        .rates = c->site->rates,
        .now_ms = c->site->now_ms,
        .wall_ms = c->site->wall_ms,
    };
}

/* ---- parts ---- */

static void put_latency(struct json *j, const struct rates_row *row)
{
    if (!row->timed)
        return;
    j_object(j, "latency_ms");
    j_number(j, "p50", row->p50_ms);
    j_number(j, "p90", row->p90_ms);
    j_number(j, "p99", row->p99_ms);
    j_number(j, "max", row->max_ms);
    j_end(j);
}

static void put_codes(struct json *j, const struct rates_row *row)
{
    j_object(j, "codes");
    for (size_t i = 1; i < ARRAY_LEN(class_names); i++) {
        if (row->codes[i])
            j_u64(j, class_names[i], row->codes[i]);
    }
    j_end(j);
}

static void put_history(struct json *j, const struct rates_row *row)
{
    j_array(j, "history");
    for (uint32_t i = 0; i < row->history_count; i++)
        j_u64(j, NULL, row->history[i]);
    j_end(j);
}

static void put_bytes(struct json *j, const struct rates_row *row)
{
    j_u64(j, "bytes_in", row->bytes_in);
    j_u64(j, "bytes_out", row->bytes_out);
}

/* "poise.yaml:12", where the configuration says it; nothing for what came live. */
static void put_origin(struct json *j, const struct show *s, struct origin origin)
{
    char at[320];
    if (origin.line == 0)
        return;
    snprintf(at, sizeof(at), "%s:%u", s->view->snapshot->source, origin.line);
    j_str(j, "at", at);
}

/* Loop time as wall time. */
static void put_since(struct json *j, const char *key, const struct show *s, uint64_t at_ms)
{
    if (at_ms == 0 || at_ms > s->now_ms)
        return;
    j_time(j, key, s->wall_ms - (s->now_ms - at_ms));
}

/* ---- status ---- */

static void put_sums(struct json *j, const struct show *s)
{
    struct look_count sum = {0};
    uint64_t clients = 0;
    for (size_t i = 0; i < s->view->pool_count; i++) {
        struct look_count n = look_count(s->view->pools[i]);
        sum.total += n.total;
        sum.up += n.up;
        sum.in_flight += n.in_flight;
    }
    for (size_t i = 0; i < s->view->front_count; i++)
        clients += look_connections(s->view->fronts[i]);
    j_u64(j, "listeners", s->view->front_count);
    j_u64(j, "pools", s->view->pool_count);
    j_object(j, "backends");
    j_u64(j, "total", sum.total);
    j_u64(j, "up", sum.up);
    j_end(j);
    j_u64(j, "clients", clients);
    j_u64(j, "in_flight", sum.in_flight);
}

static void put_totals(struct json *j, const struct show *s)
{
    struct rates_row row;
    rates_process(s->rates, s->view, &row);
    j_u64(j, "requests", row.requests);
    j_number(j, "requests_per_second", row.requests_per_second);
    put_bytes(j, &row);
    j_u64(j, "retries", row.retries);
    put_latency(j, &row);
    put_history(j, &row);
    put_codes(j, &row);
    j_object(j, "reasons");
    for (int r = 0; r < REASON_COUNT; r++) {
        uint64_t n = rates_reason(s->rates, s->view, (enum reason)r);
        if (n)
            j_u64(j, reason_name((enum reason)r), n);
    }
    j_end(j);
}

void show_status(struct json *j, const char *key, const struct show *s)
{
    const struct steer_view *v = s->view;
    j_object(j, key);
    j_str(j, "version", POISE_VERSION);
    j_u64(j, "pid", (uint64_t)(v->supervisor_pid ? v->supervisor_pid : getpid()));
    j_u64(j, "engine_pid", (uint64_t)getpid());
    j_time(j, "started", v->started_wall_ms);
    j_u64(j, "uptime_ms", s->wall_ms > v->started_wall_ms ? s->wall_ms - v->started_wall_ms : 0);
    j_u64(j, "generation", v->generation);
    j_str(j, "state", v->draining ? "draining" : "serving");
    j_str(j, "config", v->config_path);
    j_str(j, "engine", v->engine_name);
    j_u64(j, "workers", v->worker_count);
    j_object(j, "last_reload");
    j_time(j, "at", v->reload_wall_ms);
    j_bool(j, "ok", v->reload_ok);
    j_end(j);
    put_sums(j, s);
    put_totals(j, s);
    j_end(j);
}

/* ---- listeners ---- */

static void put_words(struct json *j, const char *key, const char *const *words, size_t count)
{
    if (count == 0)
        return;
    j_array(j, key);
    for (size_t i = 0; i < count; i++)
        j_str(j, NULL, words[i]);
    j_end(j);
}

static void put_match(struct json *j, const struct route_conf *r)
{
    j_object(j, "match");
    put_words(j, "host", (const char *const *)r->hosts, r->host_count);
    if (r->path)
        j_str(j, "path", r->path);
    if (r->path_prefix)
        j_str(j, "path_prefix", r->path_prefix);
    put_words(j, "method", (const char *const *)r->methods, r->method_count);
    if (r->field_count > 0) {
        j_object(j, "headers");
        for (size_t i = 0; i < r->field_count; i++)
            j_str(j, r->fields[i].name, r->fields[i].value);
        j_end(j);
    }
    put_words(j, "sni", r->snis, r->sni_count);
    put_words(j, "client_subject", r->client_subjects, r->client_subject_count);
    put_words(j, "client_san", r->client_sans, r->client_san_count);
    put_words(j, "client_fingerprint", r->client_fingerprints, r->client_fingerprint_count);
    j_end(j);
}

static const char *pool_name(const struct show *s, int32_t index)
{
    return index < 0 ? NULL : s->view->snapshot->pools[index].name;
}

static void put_routes(struct json *j, const struct show *s, const struct listener_conf *conf)
{
    j_array(j, "routes");
    for (size_t i = 0; i < conf->route_count; i++) {
        const struct route_conf *r = &conf->routes[i];
        j_object(j, NULL);
        j_str(j, "name", r->name);
        put_match(j, r);
        j_str(j, "pool", pool_name(s, (int32_t)r->pool));
        put_origin(j, s, r->origin);
        j_end(j);
    }
    j_end(j);
}

/* `first` is the number of its first address among those of all listeners. */
static void put_addresses(struct json *j, const struct show *s, const struct listener_conf *conf,
                          size_t first)
{
    const struct steer_view *v = s->view;
    char text[ADDRESS_TEXT_MAX];
    j_array(j, "addresses");
    for (size_t i = 0; i < conf->address_count; i++) {
        const struct address *bound = v->bound ? v->bound(v->bound_by, first + i) : NULL;
        address_format(bound ? bound : &conf->addresses[i], text);
        j_str(j, NULL, text);
    }
    j_end(j);
}

static void put_certificate(struct json *j, const struct steer_certificate *c)
{
    const struct tls_certificate_facts *f = c->facts;
    char key[32];
    snprintf(key, sizeof(key), "%s %u", f->key_type, f->key_bits);
    j_object(j, NULL);
    j_str(j, "file", c->file);
    j_str(j, "subject", f->subject);
    j_str(j, "issuer", f->issuer);
    put_words(j, "names", (const char *const *)f->names, f->names_count);
    j_time(j, "not_before", (uint64_t)MAX(f->not_before_s, INT64_C(0)) * 1000);
    j_time(j, "not_after", (uint64_t)MAX(f->not_after_s, INT64_C(0)) * 1000);
    j_str(j, "fingerprint", f->fingerprint);
    j_str(j, "key", key);
    j_bool(j, "ocsp_stapled", c->stapled);
    j_end(j);
}

static void put_certificates(struct json *j, const struct steer_view *v, size_t listener)
{
    struct steer_certificate c;
    j_array(j, "certificates");
    for (size_t i = 0; v->certificate && v->certificate(v->certificates, listener, i, &c); i++)
        put_certificate(j, &c);
    j_end(j);
}

/* The first end of its certificates. */
static void put_not_after(struct json *j, const struct steer_view *v, size_t listener)
{
    struct steer_certificate c;
    int64_t first_s = INT64_MAX;
    for (size_t i = 0; v->certificate && v->certificate(v->certificates, listener, i, &c); i++)
        first_s = MIN(first_s, c.facts->not_after_s);
    if (first_s != INT64_MAX)
        j_time(j, "not_after", (uint64_t)MAX(first_s, INT64_C(0)) * 1000);
}

/* Nothing where no TLS is spoken. */
static void put_tls(struct json *j, const struct show *s, const struct listener_conf *conf,
                    size_t listener)
{
    static const char *const auths[] = {[CLIENT_AUTH_NONE] = "none",
                                        [CLIENT_AUTH_OPTIONAL] = "optional",
                                        [CLIENT_AUTH_REQUIRE] = "require"};
    const struct steer_view *v = s->view;
    if (!conf->tls.enabled)
        return;
    j_object(j, "tls");
    j_str(j, "min_version", conf->tls.min_version == TLS_VERSION_1_3 ? "1.3" : "1.2");
    j_str(j, "client_auth", auths[conf->tls.client_auth]);
    put_not_after(j, v, listener);
    if (s->backends_max == 0) /* else it is told every second */
        put_certificates(j, v, listener);
    j_end(j);
}

static void put_listener(struct json *j, const struct show *s, const struct listener_conf *conf,
                         size_t index, size_t first)
{
    const struct front *front = s->view->fronts[index];
    struct rates_row row;
    rates_listener(s->rates, s->view, front, &row);
    j_object(j, NULL);
    j_str(j, "name", conf->name);
    put_addresses(j, s, conf, first);
    j_str(j, "protocol", protocol_name(conf->protocol));
    if (conf->protocol == PROTOCOL_HTTP)
        j_bool(j, "http2", conf->http2);
    j_u64(j, "connections", look_connections(front));
    j_u64(j, "connections_total", rates_connections(s->rates, s->view, front));
    j_u64(j, "max_connections", conf->max_connections);
    j_u64(j, "requests", row.requests);
    j_number(j, "requests_per_second", row.requests_per_second);
    put_bytes(j, &row);
    put_codes(j, &row);
    put_latency(j, &row);
    put_history(j, &row);
    j_str(j, "pool", pool_name(s, conf->pool));
    if (conf->redirect_port)
        j_u64(j, "redirect_https", conf->redirect_port);
    if (conf->acme_challenge)
        j_str(j, "acme_challenge", conf->acme_challenge);
    put_origin(j, s, conf->origin);
    put_tls(j, s, conf, index);
    put_routes(j, s, conf);
    j_end(j);
}

void show_listeners(struct json *j, const struct show *s)
{
    size_t first = 0;
    j_array(j, "listeners");
    for (size_t i = 0; i < s->view->front_count; i++) {
        const struct listener_conf *conf = &s->view->snapshot->listeners[i];
        put_listener(j, s, conf, i, first);
        first += conf->address_count;
    }
    j_end(j);
}

/* ---- pools ---- */

static void put_standing(struct json *j, const struct show *s, const struct backend *b)
{
    struct standing standing;
    look_standing(s->view, b, &standing);
    j_str(j, "state", standing.state);
    j_str(j, "admin_state", standing.admin_state);
    put_since(j, "since", s, standing.since_ms);
    if (standing.has_reason) {
        j_str(j, "reason", reason_name(standing.reason));
        j_str(j, "reason_text", reason_sentence(standing.reason));
    }
    if (standing.checked_ms == 0)
        return;
    j_object(j, "last_check");
    put_since(j, "at", s, standing.checked_ms);
    j_bool(j, "ok", standing.check_result == REASON_ok);
    j_str(j, "reason", reason_name(standing.check_result));
    if (standing.check_detail)
        j_str(j, "detail", standing.check_detail);
    j_number(j, "ms", standing.check_took_ms);
    j_end(j);
}

void show_backend_members(struct json *j, const struct show *s, const struct backend *b)
{
    char address[ADDRESS_TEXT_MAX];
    struct rates_row row;
    rates_backend(s->rates, s->view, b, &row);
    address_format(&b->conf->address, address);
    j_str(j, "name", b->conf->name);
    j_str(j, "address", address);
    j_u64(j, "weight", look_weight(b));
    j_bool(j, "backup", b->conf->backup);
    put_standing(j, s, b);
    j_u64(j, "in_flight", look_in_flight(b));
    j_u64(j, "requests", row.requests);
    j_number(j, "requests_per_second", row.requests_per_second);
    j_u64(j, "failures", row.failures);
    j_u64(j, "retries", row.retries);
    put_codes(j, &row);
    put_bytes(j, &row);
    put_latency(j, &row);
    put_history(j, &row);
}

void show_backends(struct json *j, const struct show *s, const struct pool *pool)
{
    uint32_t shown = 0;
    j_array(j, "backends");
    for (uint32_t i = 0; i < look_slots(pool); i++) {
        const struct backend *b = look_backend(pool, i);
        if (!b)
            continue;
        if (s->backends_max && shown++ == s->backends_max)
            break;
        j_object(j, NULL);
        show_backend_members(j, s, b);
        j_end(j);
    }
    j_end(j);
}

static void put_health(struct json *j, const struct health_conf *h)
{
    static const char *const names[] = {[HEALTH_NONE] = "none",
                                        [HEALTH_TCP] = "tcp",
                                        [HEALTH_HTTP] = "http",
                                        [HEALTH_GRPC] = "grpc"};
    j_object(j, "health");
    j_str(j, "type", names[h->type]);
    if (h->type == HEALTH_HTTP)
        j_str(j, "path", h->path);
    if (h->type != HEALTH_NONE)
        j_u64(j, "interval_ms", h->interval_ms);
    j_end(j);
}

void show_pool(struct json *j, const char *key, const struct show *s, const struct pool *pool)
{
    const struct pool_conf *conf = look_pool_conf(pool);
    struct look_count n = look_count(pool);
    struct rates_row row;
    rates_pool(s->rates, s->view, pool, &row);
    j_object(j, key);
    j_str(j, "name", conf->name);
    j_str(j, "balance", balance_name(conf->balance));
    j_str(j, "protocol", protocol_name(conf->protocol));
    j_u64(j, "backends_total", n.total);
    j_u64(j, "backends_up", n.up);
    j_u64(j, "in_flight", n.in_flight);
    j_u64(j, "waiting", look_waiting(pool));
    j_u64(j, "requests", row.requests);
    j_number(j, "requests_per_second", row.requests_per_second);
    j_u64(j, "failures", row.failures);
    j_u64(j, "retries", row.retries);
    put_codes(j, &row);
    put_bytes(j, &row);
    put_latency(j, &row);
    put_history(j, &row);
    put_origin(j, s, conf->origin);
    put_health(j, &conf->health);
    if (conf->tls.enabled) {
        j_object(j, "tls");
        j_bool(j, "verify", conf->tls.verify);
        j_end(j);
    }
    show_backends(j, s, pool);
    j_end(j);
}

void show_pools(struct json *j, const struct show *s)
{
    j_array(j, "pools");
    for (size_t i = 0; i < s->view->pool_count; i++)
        show_pool(j, NULL, s, s->view->pools[i]);
    j_end(j);
}
