/* SPDX-License-Identifier: MIT */
#include "admin/auth.h"

#include "base/address.h"

static const char *keep_nothing(void *keeper, struct span text)
{
    (void)keeper;
    (void)text;
    return "";
}

/* A literal address, by the parser of the configuration. */
static bool is_literal(struct span host)
{
    char text[64];
    struct writer w = writer_of(text, sizeof(text));
    w_span(&w, host);
    w_str(&w, ":80");
    struct address a;
    const char *why;
    if (!w_ok(&w) || address_parse(w_span_of_result(&w), keep_nothing, NULL, &a, &why) < 0)
        return false;
    return a.kind == ADDRESS_V4 || a.kind == ADDRESS_V6;
}

bool auth_host_ok(struct span host)
{
    static const struct span name = SPAN_INIT("localhost");
    static const struct span suffix = SPAN_INIT(".localhost");
    if (host.n == 0)
        return false;
    if (host.p[host.n - 1] == '.')
        host.n--;
    if (span_eq_nocase(host, name))
        return true;
    if (host.n > suffix.n && span_eq_nocase(span_from(host, host.n - suffix.n), suffix))
        return true;
    return is_literal(host);
}

/* The one value of a field; false when it is there more than once. Absent is empty. */
static bool only_value(const struct head *h, struct span name, struct span *ret_value)
{
    unsigned at = 0;
    const struct field *f = head_find_name(h, name, &at);
    *ret_value = f ? field_value(h, f) : (struct span){0};
    return !f || !head_find_name(h, name, &at);
}

static bool is_same_origin(const struct head *h, struct span origin)
{
    static const struct span schemes[] = {SPAN_INIT("http://"), SPAN_INIT("https://")};
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
        if (span_starts(origin, schemes[i]))
            return span_eq_nocase(span_from(origin, schemes[i].n), head_span(h, h->authority));
    }
    return false;
}

static bool is_link(const struct head *h)
{
    struct span mode, dest;
    return only_value(h, span_str("sec-fetch-mode"), &mode) &&
           span_eq(mode, span_str("navigate")) &&
           only_value(h, span_str("sec-fetch-dest"), &dest) && span_eq(dest, span_str("document"));
}

bool auth_origin_ok(const struct head *h, bool opens_page)
{
    struct span site, origin;
    if (!only_value(h, span_str("sec-fetch-site"), &site) ||
        !only_value(h, span_str("origin"), &origin))
        return false;
    unsigned at = 0;
    bool has_origin = head_find_name(h, span_str("origin"), &at) != NULL;
    if (has_origin && !is_same_origin(h, origin))
        return false;
    if (span_empty(site) || span_eq(site, span_str("same-origin")) ||
        span_eq(site, span_str("none")))
        return true;
    return opens_page && is_link(h);
}

struct span auth_bearer(const struct head *h)
{
    static const struct span scheme = SPAN_INIT("bearer ");
    struct span value;
    if (!only_value(h, span_str("authorization"), &value) || value.n <= scheme.n ||
        !span_eq_nocase(span_sub(value, 0, scheme.n), scheme))
        return (struct span){0};
    return span_trim(span_from(value, scheme.n));
}

bool auth_token_ok(struct span given, struct span token)
{
    if (given.n == 0 || token.n == 0)
        return false;
    volatile uint8_t differs = given.n != token.n;
    for (size_t i = 0; i < token.n; i++)
        differs = (uint8_t)(differs | (token.p[i] ^ given.p[i % given.n]));
    return differs == 0;
}
