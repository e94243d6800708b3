/* SPDX-License-Identifier: MIT */
/*
 * Order matters: names first, then references to them, then what follows from references (the
 * protocol of a pool is its listeners'), then what can be said about each listener and pool.
 */
#include "config/validate.h"

#include "base/check.h"
#include "base/map.h"
#include "base/str.h"
#include "config/value.h"

#include <stdio.h>

#define HINT_POOLS_MAX 256 /* names compared for a did-you-mean */

static const struct block *blocks(const struct load *l, const char *name, size_t *ret_count)
{
    return block_children(l->config->root, name, ret_count);
}

/* ---- names --------------------------------------------------------------------------------------
 */

/* Remembers where a name was given; an error when it was given before. */
static void claim(struct load *l, struct map *names, const char *name, const struct place *at,
                  const char *what)
{
    const struct place *first = map_get(names, span_cstr(name));
    if (first) {
        diagnose(l->d,
                 &(struct finding){.at = *at, .also = *first, .also_label = "first given here"},
                 "%s '%s' is there twice", what, name);
        return;
    }
    struct place *kept = config_must(arena_new(&l->scratch, struct place));
    *kept = *at;
    CHECK(map_put(names, span_cstr(name), kept) == 0);
}

static void claim_listeners(struct load *l)
{
    struct map names;
    size_t count;
    const struct block *b = blocks(l, "listeners", &count);
    map_init(&names, 0);
    for (size_t i = 0; i < count; i++) {
        const struct listener_conf *listener = b[i].target;
        struct place at = block_place(&b[i], "name");
        if (listener->name)
            claim(l, &names, listener->name, &at, "the listener");
    }
    map_fini(&names);
}

/* Two listeners cannot accept on one address. Port 0 is a new port each time. */
static void claim_addresses(struct load *l)
{
    struct map addresses;
    size_t count;
    const struct block *b = blocks(l, "listeners", &count);
    map_init(&addresses, 0);
    for (size_t i = 0; i < count; i++) {
        const struct listener_conf *listener = b[i].target;
        struct place at = block_place(&b[i], "listen");
        for (size_t k = 0; k < listener->address_count; k++) {
            const struct address *a = &listener->addresses[k];
            char text[ADDRESS_TEXT_MAX];
            size_t n = address_format(a, text);
            if (a->kind == ADDRESS_UNIX || a->port != 0)
                claim(l, &addresses, config_must(arena_strdup(&l->scratch, span_of(text, n))), &at,
                      "the address");
        }
    }
    map_fini(&addresses);
}

static void name_backends(struct load *l, const struct block *pool)
{
    struct map names;
    size_t count;
    const struct block *b = block_children(pool, "backends", &count);
    map_init(&names, 0);
    for (size_t i = 0; i < count; i++) {
        struct backend_conf *backend = b[i].target;
        bool named = backend->name != NULL;
        struct place at = block_place(&b[i], named ? "name" : "address");
        backend->origin = (struct origin){b[i].at.line, b[i].at.column};
        if (!named && backend->address.kind != ADDRESS_NONE) {
            char text[ADDRESS_TEXT_MAX];
            size_t n = address_format(&backend->address, text);
            backend->name = config_must(arena_strdup(&l->config->arena, span_of(text, n)));
        }
        if (backend->name)
            claim(l, &names, backend->name, &at, "the backend");
    }
    map_fini(&names);
}

static void name_routes(struct load *l, const struct block *listener)
{
    const struct listener_conf *owner = listener->target;
    struct map names;
    size_t count;
    const struct block *b = block_children(listener, "routes", &count);
    map_init(&names, 0);
    for (size_t i = 0; i < count; i++) {
        struct route_conf *route = b[i].target;
        struct place at = block_place(&b[i], "name");
        route->origin = (struct origin){b[i].at.line, b[i].at.column};
        if (route->name)
            claim(l, &names, route->name, &at, "the route");
        else
            route->name = config_must(arena_printf(&l->config->arena, "%s[%zu]",
                                                   owner->name ? owner->name : "listener", i));
    }
    map_fini(&names);
}

/* ---- references ---- */

static void complain_unknown_pool(struct load *l, const struct reference *r)
{
    const char *names[HINT_POOLS_MAX];
    size_t known = 0;
    char hint[NAME_MAX_LEN + 32];
    char note[256];
    struct writer w = writer_of(note, sizeof(note));
    const struct snapshot *s = &l->config->snapshot;
    if (diagnostics_full(l->d)) {
        diagnose_error(l->d, r->at, "unknown pool");
        return;
    }
    w_str(&w, s->pool_count ? "the pools are:" : "the configuration has no 'pools'");
    for (size_t i = 0; i < s->pool_count && known < HINT_POOLS_MAX; i++) {
        names[known++] = s->pools[i].name;
        if (w_left(&w) > NAME_MAX_LEN + 8)
            w_printf(&w, " %s", s->pools[i].name);
    }
    const char *meant = suggest_closest(span_cstr(r->name), names, known);
    (void)snprintf(hint, sizeof(hint), "did you mean '%s'?", meant ? meant : "");
    diagnose(l->d, &(struct finding){.at = r->at, .hint = meant ? hint : NULL, .note = w_cstr(&w)},
             "there is no pool '%s'", r->name);
}

static void resolve(struct load *l, bool *used)
{
    struct map names;
    bool all_known = l->whole; /* else what is not found may be a pool that could not be read */
    size_t count;
    const struct block *b = blocks(l, "pools", &count);
    if (count == 0 && l->d->errors > 0)
        all_known = false;
    map_init(&names, 0);
    for (size_t i = 0; i < count; i++) {
        const struct pool_conf *pool = b[i].target;
        struct place at = block_place(&b[i], "name");
        all_known &= pool->name != NULL;
        if (pool->name == NULL)
            continue;
        const struct block *first = map_get(&names, span_cstr(pool->name));
        if (first)
            diagnose(l->d,
                     &(struct finding){.at = at,
                                       .also = block_place(first, "name"),
                                       .also_label = "first given here"},
                     "the pool '%s' is there twice", pool->name);
        else
            CHECK(map_put(&names, span_cstr(pool->name), (void *)(uintptr_t)&b[i]) == 0);
    }
    for (const struct reference *r = l->references; r; r = r->next) {
        const struct block *found = map_get(&names, span_cstr(r->name));
        if (found) {
            used[found - b] = true;
            uint_store(r->target, r->size, (uint64_t)(found - b));
        } else if (all_known) {
            complain_unknown_pool(l, r);
        }
    }
    map_fini(&names);
}

/* ---- protocols ---- */

struct speaker {
    const struct listener_conf *listener;
    struct place at;
};

/* One use of a pool: its protocol is the listener's, or becomes it. */
static void use_pool(struct load *l, const struct listener_conf *listener, uint32_t index,
                     struct place at, struct speaker *speakers)
{
    size_t count;
    const struct block *pools = blocks(l, "pools", &count);
    if (index >= count || listener->name == NULL)
        return;
    struct pool_conf *pool = pools[index].target;
    const struct block *b = &pools[index];
    bool written = b->places[block_index(b, "protocol")].line != 0;
    if (pool->protocol == PROTOCOL_HTTP2 && listener->protocol == PROTOCOL_HTTP)
        return;
    if (!written && speakers[index].listener == NULL) {
        speakers[index] = (struct speaker){listener, at};
        pool->protocol = listener->protocol;
    }
    if (pool->protocol == listener->protocol || pool->name == NULL)
        return;
    diagnose(l->d,
             &(struct finding){.at = at,
                               .also = written ? block_place(b, "protocol") : speakers[index].at,
                               .also_label =
                                   written ? "its protocol is set here" : "it is used here first"},
             "listener '%s' speaks %s but pool '%s' is %s; give each its own pool", listener->name,
             protocol_name(listener->protocol), pool->name, protocol_name(pool->protocol));
}

static void spread_protocols(struct load *l)
{
    size_t pool_count;
    size_t count;
    (void)blocks(l, "pools", &pool_count);
    const struct block *b = blocks(l, "listeners", &count);
    struct speaker *speakers =
        config_must(arena_new_array(&l->scratch, struct speaker, pool_count));
    for (size_t i = 0; i < count; i++) {
        const struct listener_conf *listener = b[i].target;
        size_t route_count;
        const struct block *routes = block_children(&b[i], "routes", &route_count);
        if (listener->pool >= 0)
            use_pool(l, listener, (uint32_t)listener->pool, block_place(&b[i], "pool"), speakers);
        for (size_t k = 0; k < route_count; k++) {
            const struct route_conf *route = routes[k].target;
            use_pool(l, listener, route->pool, block_place(&routes[k], "pool"), speakers);
        }
    }
}

/* ---- listeners ---- */

static bool matches_all(const struct route_conf *r)
{
    return r->host_count == 0 && r->path == NULL && r->method_count == 0 && r->field_count == 0 &&
           r->sni_count == 0 && r->client_subject_count == 0 && r->client_san_count == 0 &&
           r->client_fingerprint_count == 0 &&
           (r->path_prefix == NULL || strcmp(r->path_prefix, "/") == 0);
}

/* 64 hex digits in lower case, of what may have colons and capitals. */
static bool read_fingerprint(const char *text, char out[65])
{
    size_t n = 0;
    for (; *text; text++) {
        uint8_t c = ascii_lower((uint8_t)*text);
        if (c == ':')
            continue;
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')) || n == 64)
            return false;
        out[n++] = (char)c;
    }
    out[n] = '\0';
    return n == 64;
}

static void normalize_fingerprints(struct load *l, const struct block *match, struct route_conf *r)
{
    char digits[65];
    struct place at = match->places[block_index(match, "client_fingerprint")];
    for (size_t i = 0; i < r->client_fingerprint_count; i++) {
        const char *text = r->client_fingerprints[i];
        if (read_fingerprint(text, digits))
            r->client_fingerprints[i] =
                config_must(arena_strdup(&l->config->arena, span_cstr(digits)));
        else
            diagnose(l->d,
                     &(struct finding){
                         .at = at, .hint = "openssl x509 -noout -fingerprint -sha256 prints it"},
                     "'%s' is no SHA-256 fingerprint: 64 hex digits, with or without colons", text);
    }
}

/* IP addresses as a certificate's are written: in one way. */
static void normalize_sans(struct load *l, struct route_conf *r)
{
    for (size_t i = 0; i < r->client_san_count; i++) {
        struct address_block one;
        const char *why;
        char text[ADDRESS_TEXT_MAX];
        struct span san = span_cstr(r->client_sans[i]);
        if (span_find(san, '/') != SPAN_NOT_FOUND || address_block_parse(san, &one, &why) < 0)
            continue;
        struct address ip = {.kind = one.kind};
        memcpy(ip.ip, one.ip, sizeof(one.ip));
        size_t n = address_format_ip(&ip, text);
        r->client_sans[i] = config_must(arena_strdup(&l->config->arena, span_of(text, n)));
    }
}

/* What routes ask of TLS, and whether the listener can know it. */
static void check_match_tls(struct load *l, const struct block *listener, const struct block *route)
{
    static const char *const of_clients[] = {"client_subject", "client_san", "client_fingerprint"};
    const struct listener_conf *conf = listener->target;
    size_t count;
    const struct block *match = block_children(route, "match", &count);
    struct place sni = match->places[block_index(match, "sni")];
    bool asks = conf->tls.enabled && conf->tls.client_auth != CLIENT_AUTH_NONE;
    normalize_fingerprints(l, match, route->target);
    normalize_sans(l, route->target);
    if (conf->protocol != PROTOCOL_HTTP)
        return;
    if (sni.line && !conf->tls.enabled)
        diagnose_warning(l->d, sni, "this never matches: the listener has no tls");
    for (size_t i = 0; i < ARRAY_LEN(of_clients) && !asks; i++) {
        struct place at = match->places[block_index(match, of_clients[i])];
        if (at.line)
            diagnose_warning(l->d, at, "this never matches: the listener's tls has no client_auth");
    }
}

static void check_routes(struct load *l, const struct block *listener)
{
    size_t count;
    const struct block *b = block_children(listener, "routes", &count);
    for (size_t i = 0; i < count; i++) {
        const struct route_conf *route = b[i].target;
        if (route->path && route->path_prefix)
            diagnose_error(l->d, b[i].at, "a route has a path or a path_prefix, not both");
        if (i + 1 < count && matches_all(route))
            diagnose(l->d,
                     &(struct finding){.level = DIAGNOSTIC_WARNING,
                                       .at = b[i + 1].at,
                                       .also = b[i].at,
                                       .also_label = "this route matches every request"},
                     "this route and those after it are never reached");
        if (i + 1 < count && matches_all(route))
            return;
    }
}

/* What only makes sense with something else. */
struct needs {
    const char *key;
    bool met;
    const char *why;
};

static void check_needs(struct load *l, const struct block *b, const struct needs *needs,
                        size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t at = block_index(b, needs[i].key);
        if (b->places[at].line && !needs[i].met)
            diagnose_error(l->d, b->places[at], "'%s' %s", needs[i].key, needs[i].why);
    }
}

static const char tcp_route[] = "is not known of a tcp connection; its routes match by sni alone";

static void check_tcp_match(struct load *l, const struct block *route)
{
    size_t count;
    const struct block *match = block_children(route, "match", &count);
    const struct needs needs[] = {
        {"host", false, tcp_route},        {"path", false, tcp_route},
        {"path_prefix", false, tcp_route}, {"method", false, tcp_route},
        {"headers", false, tcp_route},     {"client_subject", false, tcp_route},
        {"client_san", false, tcp_route},  {"client_fingerprint", false, tcp_route},
    };
    check_needs(l, match, needs, ARRAY_LEN(needs));
}

static void check_listener_tls(struct load *l, const struct block *b)
{
    struct listener_conf *listener = b->target;
    size_t count;
    const struct block *tls = block_children(b, "tls", &count);
    listener->tls.enabled = tls->at.line != 0;
    if (!listener->tls.enabled)
        return;
    bool asks = listener->tls.client_auth != CLIENT_AUTH_NONE;
    const struct needs needs[] = {
        {"client_ca", asks, "is for 'client_auth: require' or 'client_auth: optional'"},
        {"client_auth", !asks || listener->tls.client_ca, "needs 'client_ca'"},
        {"hsts", listener->protocol == PROTOCOL_HTTP, "is for protocol: http"},
    };
    check_needs(l, tls, needs, ARRAY_LEN(needs));
    if (l->whole && listener->tls.certificate_count == 0 &&
        tls->places[block_index(tls, "certificates")].line == 0)
        diagnose(l->d,
                 &(struct finding){.at = tls->at,
                                   .hint = "add 'certificates: [{cert: FILE, key: FILE}]'"},
                 "tls of listener '%s' has no certificates", listener->name ? listener->name : "");
    const struct block *c = block_children(tls, "certificates", &count);
    for (size_t i = 0; i < count; i++)
        ((struct certificate_conf *)c[i].target)->origin =
            (struct origin){c[i].at.line, c[i].at.column};
}

/* Who is sent to where nothing but plain HTTP is spoken gets no further. */
static void check_redirect(struct load *l, const struct block *b)
{
    const struct listener_conf *listener = b->target;
    for (size_t i = 0; i < listener->address_count && listener->redirect_port; i++) {
        const struct address *a = &listener->addresses[i];
        if (a->kind != ADDRESS_UNIX && a->port == listener->redirect_port)
            diagnose_warning(l->d, block_place(b, "redirect_https"),
                             "this is the listener's own port, where no https is spoken");
    }
}

/* How clients come. */
static void check_arrival(struct load *l, const struct block *b)
{
    struct listener_conf *listener = b->target;
    bool http = listener->protocol == PROTOCOL_HTTP;
    size_t count;
    const struct block *routes = block_children(b, "routes", &count);
    check_listener_tls(l, b);
    const struct needs needs[] = {
        {"http2", http, "is for protocol: http"},
        {"redirect_https", http && (!listener->tls.enabled || listener->redirect_port == 0),
         http ? "is for listeners without tls" : "is for protocol: http"},
        {"acme_challenge", http, "is for protocol: http"},
    };
    check_needs(l, b, needs, ARRAY_LEN(needs));
    check_redirect(l, b);
    for (size_t i = 0; i < count; i++) {
        if (!http)
            check_tcp_match(l, &routes[i]);
        check_match_tls(l, b, &routes[i]);
    }
}

static void check_listener(struct load *l, const struct block *b)
{
    struct listener_conf *listener = b->target;
    bool routes_written = b->places[block_index(b, "routes")].line != 0;
    bool pool_written = b->places[block_index(b, "pool")].line != 0;
    const char *name = listener->name ? listener->name : "";
    listener->origin = (struct origin){b->at.line, b->at.column};
    bool needs_pool = !routes_written && listener->redirect_port == 0 && !listener->acme_challenge;
    if (l->whole && !pool_written && needs_pool)
        diagnose(l->d, &(struct finding){.at = block_place(b, "name"), .hint = "add 'pool: NAME'"},
                 "listener '%s' has no pool and no routes", name);
    if (listener->head_bytes_max < listener->line_bytes_max && l->d->errors == 0)
        diagnose_warning(l->d, block_place(b, "limits"),
                         "a head cannot be longer than 'head', so 'line' never applies");
    name_routes(l, b);
    check_routes(l, b);
    check_arrival(l, b);
}

/* ---- pools ---- */

static void check_health(struct load *l, const struct block *pool)
{
    static const char *const http_only[] = {"path", "host", "expect"};
    const struct pool_conf *owner = pool->target;
    size_t count;
    const struct block *b = block_children(pool, "health", &count);
    for (size_t i = 0; i < ARRAY_LEN(http_only) && owner->health.type != HEALTH_HTTP; i++)
        if (b->places[block_index(b, http_only[i])].line)
            diagnose(
                l->d,
                &(struct finding){.at = block_place(b, http_only[i]), .hint = "add 'type: http'"},
                "'%s' is for health checks of type http", http_only[i]);
    if (b->places[block_index(b, "service")].line && owner->health.type != HEALTH_GRPC)
        diagnose(l->d,
                 &(struct finding){.at = block_place(b, "service"), .hint = "add 'type: grpc'"},
                 "'service' is for health checks of type grpc");
    if (owner->health.timeout_ms > owner->health.interval_ms && owner->health.type != HEALTH_NONE)
        diagnose_warning(l->d, block_place(b, "timeout"),
                         "a check may take longer than the interval; the next one waits for it");
    if (owner->health.type == HEALTH_GRPC && owner->protocol == PROTOCOL_HTTP)
        diagnose_warning(l->d, block_place(b, "type"),
                         "these checks speak HTTP/2, but the pool has not 'protocol: http2'");
    if (owner->health.type == HEALTH_NONE && owner->passive.failures == 0)
        diagnose_warning(
            l->d, block_place(b, "type"),
            "without checks and without passive_health a dead backend keeps its share");
}

static void check_weights(struct load *l, const struct block *b)
{
    const struct pool_conf *pool = b->target;
    uint64_t sum = 0;
    size_t backups = 0;
    for (size_t i = 0; i < pool->backend_count; i++) {
        sum += pool->backends[i].weight;
        backups += pool->backends[i].backup;
    }
    if (pool->backend_count == 0)
        return;
    if (sum == 0)
        diagnose_warning(l->d, block_place(b, "backends"),
                         "every weight is 0, so pool '%s' takes no requests", pool->name);
    if (backups == pool->backend_count)
        diagnose_warning(l->d, block_place(b, "backends"), "every backend of pool '%s' is a backup",
                         pool->name);
}

static void check_pool_tls(struct load *l, const struct block *b)
{
    struct pool_conf *pool = b->target;
    size_t count;
    const struct block *tls = block_children(b, "tls", &count);
    pool->tls.enabled = tls->at.line != 0;
    const struct needs needs[] = {
        {"key", pool->tls.cert != NULL, "needs 'cert'"},
        {"ca", pool->tls.verify, "is not looked at with 'verify: false'"},
    };
    if (pool->tls.enabled)
        check_needs(l, tls, needs, ARRAY_LEN(needs));
    if (pool->tls.enabled && !pool->tls.verify)
        diagnose_warning(l->d, block_place(tls, "verify"),
                         "whoever is between here and the backends of pool '%s' may pose as them",
                         pool->name);
}

static void check_pool(struct load *l, const struct block *b, bool used)
{
    struct pool_conf *pool = b->target;
    pool->origin = (struct origin){b->at.line, b->at.column};
    name_backends(l, b);
    check_health(l, b);
    if (pool->name == NULL)
        return;
    check_weights(l, b);
    check_pool_tls(l, b);
    if (!used && l->whole)
        diagnose_warning(l->d, block_place(b, "name"), "no listener uses pool '%s'", pool->name);
}

/* ---- the rest ---- */

/* Whether what listens there is reached from this machine alone. */
static bool is_loopback(const struct address *a)
{
    static const uint8_t v6[16] = {[15] = 1};
    return a->kind == ADDRESS_V4 ? a->ip[0] == 127 : memcmp(a->ip, v6, sizeof(v6)) == 0;
}

static void check_admin(struct load *l)
{
    struct snapshot *s = &l->config->snapshot;
    size_t count;
    const struct block *b = blocks(l, "admin", &count);
    struct address *a = &s->admin.address;
    s->admin.enabled = b->at.line != 0;
    if (!s->admin.enabled || !l->whole)
        return;
    if (a->kind == ADDRESS_NONE && s->admin.socket == NULL)
        *a = (struct address){.kind = ADDRESS_V4, .ip = {127, 0, 0, 1}, .port = ADMIN_PORT};
    if (a->kind == ADDRESS_UNIX)
        diagnose_error(l->d, block_place(b, "listen"),
                       "a unix socket of the admin server is named by 'socket'");
    else if (a->kind != ADDRESS_NONE && !is_loopback(a))
        diagnose_warning(
            l->d, block_place(b, "listen"),
            "whoever reaches this address may look at everything; keep it on loopback");
}

static void complete_access_log(struct load *l)
{
    struct snapshot *s = &l->config->snapshot;
    size_t count;
    const struct block *b = blocks(l, "access_log", &count);
    bool written = b->places[block_index(b, "format")].line != 0;
    if (!written && s->access_log.file)
        s->access_log.format = ACCESS_JSON;
    if (written && s->access_log.format == ACCESS_NONE && s->access_log.file)
        diagnose_warning(l->d, block_place(b, "file"),
                         "nothing is written to this file, because the format is none");
    if (s->access_log.format != ACCESS_NONE && s->access_log.file == NULL)
        s->access_log.file = "-";
}

void validate_config(struct load *l)
{
    size_t pool_count;
    size_t listener_count;
    const struct block *pools = blocks(l, "pools", &pool_count);
    const struct block *listeners = blocks(l, "listeners", &listener_count);
    bool *used = config_must(arena_new_array(&l->scratch, bool, pool_count));
    claim_listeners(l);
    claim_addresses(l);
    resolve(l, used);
    spread_protocols(l);
    for (size_t i = 0; i < listener_count; i++)
        check_listener(l, &listeners[i]);
    for (size_t i = 0; i < pool_count; i++)
        check_pool(l, &pools[i], used[i]);
    check_admin(l);
    complete_access_log(l);
}
