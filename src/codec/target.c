/* SPDX-License-Identifier: MIT */
#include "codec/target.h"

#include <arpa/inet.h>

#include "base/check.h"
#include "base/limits.h"
#include "codec/chars.h"

bool target_query_ok(struct span query)
{
    size_t i = 0;
    while (i < query.n && char_is(query.p[i], CHAR_QUERY))
        i++;
    return i == query.n;
}

/* The byte an escape at the start of `s` stands for, or -1. */
static int escape_value(struct span s)
{
    if (s.n < 3)
        return -1;
    int high = ascii_hex_value(s.p[1]), low = ascii_hex_value(s.p[2]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* %00, %2F and %5C: a server that decodes them sees another path than one that does not. */
static bool escape_is_refused(int value)
{
    return value < 0 || value == 0 || value == '/' || value == '\\';
}

/* What follows the one or two dots `s` starts with; all of `s` if it starts with none. */
static struct span after_dots(struct span s)
{
    size_t dots = 0;
    while (dots < s.n && dots < 2 && s.p[dots] == '.')
        dots++;
    return span_from(s, dots);
}

/* A parameter after the dots of a dot segment makes servers disagree about it; raw or escaped. */
static bool starts_parameter(struct span after)
{
    return span_starts(after, span_str(";")) || span_starts(after, span_str("%3B"));
}

/* `s` starts with a dot that starts a segment, and may go on after that. */
static bool is_dot_segment(struct span s)
{
    struct span after = after_dots(s);
    return after.n == 0 || after.p[0] == '/' || starts_parameter(after);
}

bool target_path_is_canonical(struct span path)
{
    uint8_t before = 0;
    for (size_t i = 0; i < path.n; i++) {
        uint8_t c = path.p[i];
        if (LIKELY(char_is(c, CHAR_PATH))) {
            if (UNLIKELY(before == '/' && c == '.') && is_dot_segment(span_from(path, i)))
                return false;
            before = c;
            continue;
        }
        int value = c == '%' ? escape_value(span_from(path, i)) : -1;
        if (escape_is_refused(value) || char_is((uint8_t)value, CHAR_UNRESERVED))
            return false;
        if (path.p[i + 1] >= 'a' || path.p[i + 2] >= 'a')
            return false;
        i += 2;
        before = 0;
    }
    return path.n > 0 && path.p[0] == '/';
}

/* Copies one segment (up to '/' or the end) from path[*at], escapes normalised; advances *at. */
static int copy_segment(struct span path, size_t *at, struct writer *w)
{
    size_t i = *at;
    for (; i < path.n && path.p[i] != '/'; i++) {
        uint8_t c = path.p[i];
        if (char_is(c, CHAR_PATH)) {
            w_u8(w, c);
            continue;
        }
        if (c != '%')
            return c == '\\' ? -REASON_bad_path : -REASON_bad_target;
        int value = escape_value(span_from(path, i));
        if (escape_is_refused(value))
            return -REASON_bad_path;
        if (char_is((uint8_t)value, CHAR_UNRESERVED)) {
            w_u8(w, (uint8_t)value);
        } else {
            w_u8(w, '%');
            w_u8(w, ascii_upper(path.p[i + 1]));
            w_u8(w, ascii_upper(path.p[i + 2]));
        }
        i += 2;
    }
    *at = i;
    return 0;
}

/*
 * Takes the dot segment just written, and for ".." the one before it, out of `w` (RFC 3986 5.2.4).
 * `slash` is where its '/' stands. If nothing follows, the '/' that is left ends the path.
 */
static int drop_segments(struct writer *w, size_t slash, bool two, bool last)
{
    size_t keep = slash;
    if (two) {
        if (keep == 0)
            return -REASON_bad_path;
        do
            keep--;
        while (w->begin[keep] != '/');
    }
    w->at = w->begin + keep + (last ? 1 : 0);
    return 0;
}

int target_path_canonical(struct span path, uint8_t *out, size_t cap, size_t *ret_len)
{
    CHECK(cap >= path.n);
    if (path.n == 0 || path.p[0] != '/')
        return -REASON_bad_target;
    struct writer w = writer_of(out, cap);
    for (size_t at = 0; at < path.n;) {
        size_t slash = w_len(&w);
        w_u8(&w, '/');
        at++;
        int rc = copy_segment(path, &at, &w);
        if (rc < 0)
            return rc;
        struct span segment = span_from(w_span_of_result(&w), slash + 1);
        bool one = span_eq(segment, span_str("."));
        bool two = span_eq(segment, span_str(".."));
        if (one || two)
            rc = drop_segments(&w, slash, two, at == path.n);
        else if (segment.n > 0 && segment.p[0] == '.' && starts_parameter(after_dots(segment)))
            rc = -REASON_bad_path;
        if (rc < 0)
            return rc;
    }
    CHECK(w_ok(&w));
    *ret_len = w_len(&w);
    return 0;
}

bool target_port_ok(struct span port)
{
    unsigned value = 0;
    if (port.n > 5)
        return false;
    for (size_t i = 0; i < port.n; i++) {
        if (!ascii_is_digit(port.p[i]))
            return false;
        value = 10 * value + (port.p[i] - (unsigned)'0');
    }
    return value <= 65535;
}

/* `s` starts with '['. Gives the length up to and with ']', 0 when that is no IPv6 address. */
static size_t ipv6_literal(struct span s)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;
    size_t close = span_find(s, ']');
    if (close == SPAN_NOT_FOUND || !span_to_cstr(span_sub(s, 1, close - 1), text, sizeof(text)))
        return 0;
    return inet_pton(AF_INET6, text, &address) == 1 ? close + 1 : 0;
}

int target_authority(struct span authority, bool allow_empty, struct span *ret_host)
{
    size_t n = 0;
    if (authority.n > HTTP_HOST_MAX)
        return -REASON_bad_host;
    if (authority.n > 0 && authority.p[0] == '[') {
        n = ipv6_literal(authority);
        if (n == 0)
            return -REASON_bad_host;
    } else {
        while (n < authority.n && char_is(authority.p[n], CHAR_HOST))
            n++;
    }
    struct span rest = span_from(authority, n);
    if (n == 0 && !(allow_empty && rest.n == 0))
        return -REASON_bad_host;
    if (rest.n > 0 && (rest.p[0] != ':' || !target_port_ok(span_from(rest, 1))))
        return -REASON_bad_host;
    *ret_host = span_sub(authority, 0, n);
    return 0;
}
