/* SPDX-License-Identifier: MIT */
/*
 * Readers of names, paths, hosts, methods, addresses and status ranges. Each says precisely what is
 * wrong with what was written, and how to write it.
 */
#include "base/limits.h"
#include "base/str.h"
#include "config/load.h"
#include "config/value.h"

#include <stdio.h>

static const char *keep(struct load *l, struct span text)
{
    return config_must(arena_strdup(&l->config->arena, text));
}

static const char *keep_for_address(void *keeper, struct span text)
{
    return keep(keeper, text);
}

static void complain(struct load *l, const struct place *at, const char *hint, const char *note,
                     const char *message)
{
    diagnose(l->d, &(struct finding){.at = *at, .hint = hint, .note = note}, "%s", message);
}

/* False, and an error, when the text is not of o->min to o->max bytes. */
static bool fits(struct load *l, const struct option *o, const struct place *at, struct span text)
{
    uint64_t max = o->list ? CONFIG_VALUE_MAX : o->max;
    if (text.n == 0)
        diagnose_error(l->d, *at, "'%s' is empty", o->name);
    else if (!o->list && text.n < o->min)
        diagnose_error(l->d, *at, "'%s' needs at least %llu characters", o->name,
                       (unsigned long long)o->min);
    else if (text.n > max)
        diagnose_error(l->d, *at, "'%s' is longer than %llu bytes", o->name,
                       (unsigned long long)max);
    else
        return true;
    return false;
}

static bool all_of(struct span text, const char *others)
{
    for (size_t i = 0; i < text.n; i++)
        if (!ascii_is_alnum(text.p[i]) && (text.p[i] == 0 || !strchr(others, text.p[i])))
            return false;
    return true;
}

bool read_name(struct load *l, const struct option *o, const struct place *at, struct span text,
               void *target)
{
    if (!fits(l, o, at, text))
        return false;
    if (!all_of(text, "_.-")) {
        diagnose(l->d,
                 &(struct finding){.at = *at, .note = "a name has letters, digits, '_', '.', '-'"},
                 "'" SPAN_FMT "' is not a name", SPAN_ARG(text));
        return false;
    }
    *(const char **)target = keep(l, text);
    return true;
}

bool read_file(struct load *l, const struct option *o, const struct place *at, struct span text,
               void *target)
{
    if (!fits(l, o, at, text))
        return false;
    *(const char **)target = keep(l, text);
    return true;
}

/* Why requests would never have this path: they are compared in canonical form. NULL = fine. */
static const char *why_not_canonical(struct span path)
{
    if (path.p[0] != '/')
        return "a path begins with '/'";
    for (size_t i = 0; i < path.n; i++) {
        uint8_t c = path.p[i];
        if (c == '?' || c == '#')
            return "a path ends before '?' and '#'; queries are not matched";
        if (!ascii_is_alnum(c) && !strchr("-._~!$&'()*+,;=:@/%", c))
            return "this path has a character that requests must escape; write it as %XX";
        if (c != '%')
            continue;
        int high = i + 2 < path.n ? ascii_hex_value(path.p[i + 1]) : -1;
        int low = i + 2 < path.n ? ascii_hex_value(path.p[i + 2]) : -1;
        if (high < 0 || low < 0)
            return "a '%' in a path is followed by two hex digits";
        uint8_t code = (uint8_t)(high << 4 | low);
        if (ascii_is_alnum(code) || (code && strchr("-._~", code)))
            return "this escape is of a character that needs none; write the character";
        if (code == 0 || code == '/' || code == '\\')
            return "requests with %00, %2F or %5C in the path are refused";
        if (path.p[i + 1] != ascii_upper(path.p[i + 1]) ||
            path.p[i + 2] != ascii_upper(path.p[i + 2]))
            return "write the hex digits of escapes in capitals, as paths are compared";
    }
    for (struct span rest = span_from(path, 1); rest.n;) {
        struct span segment = span_cut(&rest, '/');
        if (span_eq(segment, span_str(".")) || span_eq(segment, span_str("..")))
            return "'.' and '..' are resolved before paths are compared; write the path without";
    }
    return NULL;
}

bool read_path(struct load *l, const struct option *o, const struct place *at, struct span text,
               void *target)
{
    if (!fits(l, o, at, text))
        return false;
    const char *why = why_not_canonical(text);
    if (why) {
        complain(l, at, NULL, NULL, why);
        return false;
    }
    *(const char **)target = keep(l, text);
    return true;
}

/* Hosts to match have no port: it is no part of what is compared. */
static const char *why_not_host(struct span host, bool match)
{
    bool wildcard = span_starts(host, span_str("*."));
    struct span name = wildcard ? span_from(host, 2) : host;
    bool v6 = name.n > 2 && name.p[0] == '[';
    size_t colon = span_find(name, ':');
    if (host.n > HTTP_HOST_MAX)
        return "a host has at most 261 bytes";
    if (wildcard && !match)
        return "this host is sent, not matched; '*' cannot stand here";
    if (match && !v6 && colon != SPAN_NOT_FOUND)
        return "hosts are matched without port; write the name alone";
    if (match && v6 && name.p[name.n - 1] != ']')
        return "hosts are matched without port; write the address in brackets alone";
    if (name.n == 0 || span_find(name, '*') != SPAN_NOT_FOUND)
        return "a '*' can only stand for all of the first labels, as in *.example.com";
    if (!all_of(name, v6 ? "[:]." : match ? "_.-" : "_.-:"))
        return "a host has letters, digits, '.', '-', '_'; other letters in their xn-- form";
    return NULL;
}

bool read_host(struct load *l, const struct option *o, const struct place *at, struct span text,
               void *target)
{
    if (!fits(l, o, at, text))
        return false;
    const char *why = why_not_host(text, o->list);
    if (why) {
        complain(l, at, NULL, NULL, why);
        return false;
    }
    char *host = config_must(arena_strdup(&l->config->arena, text));
    for (size_t i = 0; host[i]; i++)
        host[i] = (char)ascii_lower((uint8_t)host[i]);
    *(const char **)target = host;
    return true;
}

static bool is_token(struct span text)
{
    return text.n > 0 && all_of(text, "!#$%&'*+-.^_`|~");
}

bool read_method(struct load *l, const struct option *o, const struct place *at, struct span text,
                 void *target)
{
    if (!fits(l, o, at, text))
        return false;
    if (!is_token(text) || text.n > HTTP_METHOD_MAX) {
        diagnose_error(l->d, *at, "'" SPAN_FMT "' is not a method", SPAN_ARG(text));
        return false;
    }
    bool lower = false;
    char capitals[HTTP_METHOD_MAX + 1] = {0};
    for (size_t i = 0; i < text.n; i++) {
        capitals[i] = (char)ascii_upper(text.p[i]);
        lower |= capitals[i] != (char)text.p[i];
    }
    if (lower) {
        char hint[HTTP_METHOD_MAX + 32];
        (void)snprintf(hint, sizeof(hint), "did you mean '%s'?", capitals);
        diagnose(l->d, &(struct finding){.at = *at, .hint = hint},
                 "methods are compared with their case; '" SPAN_FMT "' is never sent",
                 SPAN_ARG(text));
        return false;
    }
    *(const char **)target = keep(l, text);
    return true;
}

bool read_field_name(struct load *l, const struct place *at, struct span text,
                     const char **ret_name)
{
    if (!is_token(text) || text.n > HTTP_NAME_MAX) {
        diagnose_error(l->d, *at, "'" SPAN_FMT "' is not a field name", SPAN_ARG(text));
        return false;
    }
    char *name = config_must(arena_strdup(&l->config->arena, text));
    for (size_t i = 0; name[i]; i++)
        name[i] = (char)ascii_lower((uint8_t)name[i]);
    *ret_name = name;
    return true;
}

const char *config_backend_address(const struct address *a)
{
    if (a->kind != ADDRESS_UNIX && a->port == 0)
        return "a backend needs a port from 1 to 65535";
    if (address_is_any(a))
        return "a backend needs a host, as in 127.0.0.1:8881";
    return NULL;
}

/* What each use of an address asks beyond its syntax. NULL = fine. */
static const char *why_not_address(const struct option *o, const struct address *a)
{
    if (o->scope == SCOPE_BACKEND)
        return config_backend_address(a);
    return a->kind == ADDRESS_NAME
               ? "an address to listen on is an IP address, ':PORT' or unix:/path, not a name"
               : NULL;
}

static void complain_address(struct load *l, const struct option *o, const struct place *at,
                             struct span text, const char *why)
{
    static const char note[] =
        "addresses: 127.0.0.1:8080, [::1]:8080, name.example:8080, unix:/path; "
        "to listen also :8080";
    uint64_t port;
    char hint[64];
    bool bare_port = span_to_u64(text, &port) && port <= UINT16_MAX;
    (void)snprintf(hint, sizeof(hint), "did you mean '%s:%u'?",
                   o->scope == SCOPE_BACKEND ? "127.0.0.1" : "", bare_port ? (unsigned)port : 0);
    diagnose(l->d, &(struct finding){.at = *at, .hint = bare_port ? hint : NULL, .note = note},
             "'" SPAN_FMT "' is not an address: %s", SPAN_ARG(text), why);
}

bool read_address(struct load *l, const struct option *o, const struct place *at, struct span text,
                  void *target)
{
    static const struct option bounds = {.name = "address", .min = 1, .max = ADDRESS_TEXT_MAX - 1};
    struct address address = {0};
    const char *why = NULL;
    if (!fits(l, &bounds, at, text))
        return false;
    if (address_parse(text, keep_for_address, l, &address, &why) < 0) {
        complain_address(l, o, at, text, why);
        return false;
    }
    why = why_not_address(o, &address);
    if (why) {
        char hint[64];
        bool no_host = o->scope == SCOPE_BACKEND && text.p[0] == ':';
        (void)snprintf(hint, sizeof(hint), "did you mean '127.0.0.1:%u'?", address.port);
        complain(l, at, no_host ? hint : NULL, NULL, why);
        return false;
    }
    *(struct address *)target = address;
    return true;
}

bool read_network(struct load *l, const struct option *o, const struct place *at, struct span text,
                  void *target)
{
    const char *why = NULL;
    if (!fits(l, o, at, text))
        return false;
    if (address_block_parse(text, target, &why) == 0)
        return true;
    diagnose_error(l->d, *at, "'" SPAN_FMT "' is not a network: %s", SPAN_ARG(text), why);
    return false;
}

bool read_status(struct load *l, const struct option *o, const struct place *at, struct span text,
                 void *target)
{
    struct span rest = text;
    struct span first = span_trim(span_cut(&rest, '-'));
    struct span last = span_find(text, '-') == SPAN_NOT_FOUND ? first : span_trim(rest);
    uint64_t low = 0;
    uint64_t high = 0;
    if (!fits(l, o, at, text))
        return false;
    if (!span_to_u64(first, &low) || !span_to_u64(last, &high) || low < 100 || high > 599 ||
        low > high) {
        diagnose(l->d,
                 &(struct finding){.at = *at,
                                   .note = "write one status, 204, or a range, 200-399; "
                                           "100 is the least and 599 the most"},
                 "'" SPAN_FMT "' is not a status or a range of statuses", SPAN_ARG(text));
        return false;
    }
    *(struct status_range *)target = (struct status_range){(uint16_t)low, (uint16_t)high};
    return true;
}
