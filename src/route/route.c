/* SPDX-License-Identifier: MIT */
#include "route/route.h"

#include "route/route_priv.h"

static bool host_matches(const struct route_conf *r, const struct head *h)
{
    struct span host = head_span(h, h->host);
    if (r->host_count == 0)
        return true;
    if (host.n > 1 && host.p[host.n - 1] == '.')
        host.n--;
    for (size_t i = 0; i < r->host_count; i++)
        if (host_is(host, span_cstr(r->hosts[i])))
            return true;
    return false;
}

static bool has_prefix(struct span path, struct span prefix)
{
    if (!span_starts(path, prefix))
        return false;
    if (path.n == prefix.n || prefix.p[prefix.n - 1] == '/')
        return true;
    uint8_t next = path.p[prefix.n];
    return next == '/' || next == ';'; /* many servers take /v1;x for /v1 */
}

static bool method_matches(const struct route_conf *r, struct span method)
{
    if (r->method_count == 0)
        return true;
    for (size_t i = 0; i < r->method_count; i++)
        if (span_eq(method, span_cstr(r->methods[i])))
            return true;
    return false;
}

static const struct field *next_field(const struct head *h, struct span name, enum field_id id,
                                      unsigned *index)
{
    return id == FIELD_OTHER ? head_find_name(h, name, index) : head_find(h, id, index);
}

static bool field_matches(const struct match_field *wanted, const struct head *h)
{
    struct span name = span_cstr(wanted->name);
    enum field_id id = field_id_of(name);
    const struct field *f;
    unsigned index = 0;
    while ((f = next_field(h, name, id, &index)) != NULL)
        if (wanted->value == NULL || span_eq(field_value(h, f), span_cstr(wanted->value)))
            return true;
    return false;
}

/* The index of the first that is not there, or field_count. */
static size_t missing_field(const struct route_conf *r, const struct head *h)
{
    size_t i = 0;
    while (i < r->field_count && field_matches(&r->fields[i], h))
        i++;
    return i;
}

enum route_condition route_mismatch(const struct route_conf *r, struct span method,
                                    const struct head *h, const struct arrival *a,
                                    size_t *ret_field)
{
    struct span path = head_path(h);
    if (!method_matches(r, method))
        return ROUTE_METHOD;
    if (r->path && !span_eq(path, span_cstr(r->path)))
        return ROUTE_PATH;
    if (r->path_prefix && !has_prefix(path, span_cstr(r->path_prefix)))
        return ROUTE_PATH_PREFIX;
    if (!host_matches(r, h))
        return ROUTE_HOST;
    *ret_field = missing_field(r, h);
    if (*ret_field < r->field_count)
        return ROUTE_FIELD;
    return route_asks_arrival(r) ? route_arrival_mismatch(r, a) : ROUTE_HOLDS;
}

bool route_matches(const struct route_conf *r, struct span method, const struct head *h,
                   const struct arrival *a)
{
    size_t field;
    return route_mismatch(r, method, h, a, &field) == ROUTE_HOLDS;
}

const struct route_conf *route_find(const struct listener_conf *l, struct span method,
                                    const struct head *h, const struct arrival *a,
                                    uint32_t *ret_pool)
{
    for (size_t i = 0; i < l->route_count; i++) {
        if (!route_matches(&l->routes[i], method, h, a))
            continue;
        *ret_pool = l->routes[i].pool;
        return &l->routes[i];
    }
    *ret_pool = l->pool >= 0 ? (uint32_t)l->pool : ROUTE_NO_POOL;
    return NULL;
}

static bool sni_matches(const struct route_conf *r, struct span sni)
{
    for (size_t i = 0; i < r->sni_count; i++)
        if (host_is(sni, span_cstr(r->snis[i])))
            return true;
    return r->sni_count == 0;
}

const struct route_conf *route_find_sni(const struct listener_conf *l, struct span sni,
                                        uint32_t *ret_pool)
{
    const struct route_conf *taken = NULL;
    for (size_t i = 0; i < l->route_count && !taken; i++)
        if (sni_matches(&l->routes[i], sni))
            taken = &l->routes[i];
    *ret_pool = taken ? taken->pool : l->pool >= 0 ? (uint32_t)l->pool : ROUTE_NO_POOL;
    return taken;
}
