/* SPDX-License-Identifier: MIT */
/*
 * Text of addresses, read strictly: what two readers could take for different addresses (leading
 * zeros, bare IPv6, "0x7f.1") is refused with a sentence that says how to write it.
 */
#include "base/address.h"

#include <arpa/inet.h>
#include <errno.h>

#define UNIX_PATH_MAX 107 /* sun_path without its NUL */
#define HOST_TEXT_MAX 253 /* RFC 1035, in text form */
#define LABEL_MAX     63

static const uint8_t v4_mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};

static int refuse(const char **ret_why, const char *why)
{
    *ret_why = why;
    return -EINVAL;
}

static bool parse_v4(struct span text, uint8_t ip[16])
{
    char host[INET_ADDRSTRLEN];
    return span_to_cstr(text, host, sizeof host) && inet_pton(AF_INET, host, ip) == 1;
}

static bool parse_v6(struct span text, uint8_t ip[16])
{
    char host[INET6_ADDRSTRLEN];
    return span_to_cstr(text, host, sizeof host) && inet_pton(AF_INET6, host, ip) == 1;
}

static bool is_host_name(struct span text)
{
    if (span_empty(text) || text.n > HOST_TEXT_MAX)
        return false;
    while (!span_empty(text)) {
        bool last = span_find(text, '.') == SPAN_NOT_FOUND;
        struct span label = span_cut(&text, '.');
        if (span_empty(label) || label.n > LABEL_MAX)
            return false;
        if (label.p[0] == '-' || label.p[label.n - 1] == '-')
            return false;
        for (size_t i = 0; i < label.n; i++) {
            if (!ascii_is_alnum(label.p[i]) && label.p[i] != '-' && label.p[i] != '_')
                return false;
        }
        if (!last && span_empty(text))
            return true; /* the root's dot at the end */
    }
    return true;
}

/* "1.2.3.300" is a mistyped address, not a name: no top-level domain is a number. */
static bool looks_like_v4(struct span text)
{
    size_t dot = span_find_last(text, '.');
    struct span last = dot == SPAN_NOT_FOUND ? text : span_from(text, dot + 1);
    uint64_t number;
    return span_to_u64(last, &number);
}

static int parse_port(struct span text, uint16_t *ret_port, const char **ret_why)
{
    uint64_t port = 0;
    if (span_empty(text))
        return refuse(ret_why, "the port after the colon is missing");
    if (text.n > 5 || !span_to_u64(text, &port) || port > UINT16_MAX)
        return refuse(ret_why, "the port must be a number from 0 to 65535");
    *ret_port = (uint16_t)port;
    return 0;
}

static const char *keep_text(address_keep_fn *keep, void *keeper, struct span text)
{
    return keep ? keep(keeper, text) : NULL;
}

const char *address_keep(void *keeper, struct span text)
{
    return span_to_cstr(text, keeper, ADDRESS_TEXT_MAX) ? keeper : NULL;
}

static int parse_unix(struct span path, address_keep_fn *keep, void *keeper,
                      struct address *ret_address, const char **ret_why)
{
    if (span_empty(path) || path.p[0] != '/')
        return refuse(ret_why, "a unix socket needs an absolute path, as in unix:/run/app.sock");
    if (path.n > UNIX_PATH_MAX)
        return refuse(ret_why, "the path of a unix socket can have at most 107 bytes");
    if (span_find(path, 0) != SPAN_NOT_FOUND)
        return refuse(ret_why, "the path has a NUL byte");
    const char *text = keep_text(keep, keeper, path);
    if (!text)
        return refuse(ret_why, "a unix socket cannot be used here");
    *ret_address = (struct address){.kind = ADDRESS_UNIX, .text = text};
    return 0;
}

/* "[ip]:port" and "[ip%scope]:port"; `text` begins with the bracket. */
static int parse_bracketed(struct span text, struct address *ret_address, const char **ret_why)
{
    struct address a = {.kind = ADDRESS_V6};
    size_t close = span_find(text, ']');
    if (close == SPAN_NOT_FOUND)
        return refuse(ret_why, "the closing bracket of the IPv6 address is missing");
    struct span scope = span_sub(text, 1, close - 1);
    bool scoped = span_find(scope, '%') != SPAN_NOT_FOUND;
    struct span host = span_cut(&scope, '%');
    uint64_t scope_id = 0;
    if (!parse_v6(host, a.ip))
        return refuse(ret_why, "what is between the brackets is not an IPv6 address");
    if (scoped && (!span_to_u64(scope, &scope_id) || scope_id > UINT32_MAX))
        return refuse(ret_why, "the scope after % must be the number of an interface");
    a.scope = (uint32_t)scope_id;
    struct span rest = span_from(text, close + 1);
    if (span_empty(rest) || rest.p[0] != ':')
        return refuse(ret_why, "the port is missing; write [address]:port");
    int rc = parse_port(span_from(rest, 1), &a.port, ret_why);
    if (rc == 0)
        *ret_address = a;
    return rc;
}

int address_parse(struct span text, address_keep_fn *keep, void *keeper,
                  struct address *ret_address, const char **ret_why)
{
    if (span_empty(text))
        return refuse(ret_why, "the address is empty");
    if (span_starts(text, span_str("unix:")))
        return parse_unix(span_from(text, 5), keep, keeper, ret_address, ret_why);
    if (text.p[0] == '[')
        return parse_bracketed(text, ret_address, ret_why);

    size_t colon = span_find_last(text, ':');
    if (colon == SPAN_NOT_FOUND)
        return refuse(ret_why, "the port is missing; write host:port");
    if (span_find(text, ':') != colon)
        return refuse(ret_why, "an IPv6 address needs brackets; write [address]:port");
    struct span host = span_sub(text, 0, colon);
    struct address a = {0};
    int rc = parse_port(span_from(text, colon + 1), &a.port, ret_why);
    if (rc < 0)
        return rc;
    if (span_empty(host)) {
        a.kind = ADDRESS_V6; /* all zero: every address, IPv4 and IPv6 */
    } else if (parse_v4(host, a.ip)) {
        a.kind = ADDRESS_V4;
    } else if (looks_like_v4(host)) {
        return refuse(ret_why, "the host is not a valid IPv4 address");
    } else if (!is_host_name(host)) {
        return refuse(ret_why, "the host is not a valid name; for every address write :port");
    } else {
        a.kind = ADDRESS_NAME;
        a.text = keep_text(keep, keeper, host);
        if (!a.text)
            return refuse(ret_why, "a name cannot be used here; write an IP address");
    }
    *ret_address = a;
    return 0;
}

static bool is_v4_mapped(const struct address *a)
{
    return a->kind == ADDRESS_V6 && memcmp(a->ip, v4_mapped_prefix, 12) == 0;
}

/* ---- text of IPs ---- */

/* Longest text of an IP, IPv4 inside IPv6 included, and the byte that put_v4 may write after it. */
#define IP_TEXT_MAX (45 + 1)

struct octet_text {
    char digits[3];
    uint8_t n;
};

#define DIGIT(n, unit)        (char)('0' + (n) / (unit) % 10)
#define BY_DIGITS(n, a, b, c) ((n) >= 100 ? (a) : (n) >= 10 ? (b) : (c))
#define OCTET(n)                                                                             \
    {                                                                                        \
        {DIGIT(n, BY_DIGITS(n, 100, 10, 1)), DIGIT(n, BY_DIGITS(n, 10, 1, 1)), DIGIT(n, 1)}, \
            BY_DIGITS(n, 3, 2, 1)                                                            \
    }
#define OCTETS_4(n)  OCTET(n), OCTET((n) + 1), OCTET((n) + 2), OCTET((n) + 3)
#define OCTETS_16(n) OCTETS_4(n), OCTETS_4((n) + 4), OCTETS_4((n) + 8), OCTETS_4((n) + 12)
#define OCTETS_64(n) OCTETS_16(n), OCTETS_16((n) + 16), OCTETS_16((n) + 32), OCTETS_16((n) + 48)

static const struct octet_text octets[256] = {OCTETS_64(0), OCTETS_64(64), OCTETS_64(128),
                                              OCTETS_64(192)};

/* Writes 4 bytes, of which those up to the returned place count. */
static inline uint8_t *put_octet(uint8_t *to, uint8_t octet)
{
    memcpy(to, &octets[octet], sizeof(octets[octet]));
    return to + octets[octet].n;
}

/* Writes up to one byte more than counts. */
static inline uint8_t *put_v4(uint8_t *to, const uint8_t ip[4])
{
    for (size_t i = 0; i < 3; i++) {
        to = put_octet(to, ip[i]);
        *to++ = '.';
    }
    return put_octet(to, ip[3]);
}

static unsigned group_of(const uint8_t ip[16], unsigned index)
{
    return (unsigned)ip[2 * index] << 8 | ip[2 * index + 1];
}

/* Without leading zeros. */
static uint8_t *put_group(uint8_t *to, unsigned group)
{
    static const char digits[] = "0123456789abcdef";
    for (int shift = 12; shift >= 0; shift -= 4)
        if (shift == 0 || group >> shift != 0)
            *to++ = (uint8_t)digits[group >> shift & 15];
    return to;
}

/* The zero groups that "::" stands for (RFC 5952 4.2): the longest run of two or more, the first of
 * equals. Its length, or 0. */
static unsigned zero_run(const uint8_t ip[16], unsigned *ret_from)
{
    unsigned longest = 0, n = 0;
    for (unsigned i = 0; i < 8; i++) {
        n = group_of(ip, i) == 0 ? n + 1 : 0;
        if (n >= 2 && n > longest) {
            longest = n;
            *ret_from = i + 1 - n;
        }
    }
    return longest;
}

/* The last 32 bits of IPv4-mapped and IPv4-compatible addresses are shown as IPv4. */
static uint8_t *put_v6(uint8_t *to, const uint8_t ip[16])
{
    unsigned from = 8, n = zero_run(ip, &from);
    bool v4_inside = from == 0 && (n == 6 || (n == 5 && group_of(ip, 5) == 0xffff));
    for (unsigned i = 0; i < 8; i++) {
        if (i == from) {
            *to++ = ':';
            *to++ = ':';
            i += n - 1;
            continue;
        }
        if (i > 0 && i != from + n)
            *to++ = ':';
        if (v4_inside && i == 6)
            return put_v4(to, ip + 12);
        to = put_group(to, group_of(ip, i));
    }
    return to;
}

static NOINLINE void write_ip(struct writer *w, const uint8_t *ip, bool v4)
{
    uint8_t text[IP_TEXT_MAX];
    uint8_t *end = v4 ? put_v4(text, ip) : put_v6(text, ip);
    w_bytes(w, text, (size_t)(end - text));
}

size_t address_format(const struct address *a, char out[ADDRESS_TEXT_MAX])
{
    struct writer w = writer_of(out, ADDRESS_TEXT_MAX);
    switch (a->kind) {
    case ADDRESS_NONE: w_str(&w, "none"); break;
    case ADDRESS_V4: write_ip(&w, a->ip, true); break;
    case ADDRESS_V6:
        w_u8(&w, '[');
        write_ip(&w, a->ip, false);
        if (a->scope) {
            w_u8(&w, '%');
            w_u64_dec(&w, a->scope);
        }
        w_u8(&w, ']');
        break;
    case ADDRESS_UNIX: w_str(&w, "unix:"); FALLTHROUGH;
    case ADDRESS_NAME: w_str(&w, a->text ? a->text : ""); break;
    }
    if (a->kind != ADDRESS_NONE && a->kind != ADDRESS_UNIX) {
        w_u8(&w, ':');
        w_u64_dec(&w, a->port);
    }
    w_cstr(&w);
    return w_len(&w);
}

/* An IPv4 address, mapped or not, is written in place where there is room for any. */
static NOINLINE void write_peer_ip(struct writer *w, const struct address *a)
{
    bool mapped = is_v4_mapped(a), v4 = a->kind == ADDRESS_V4 || mapped;
    const uint8_t *ip = a->ip + (mapped ? 12 : 0);
    if (LIKELY(v4 && w_left(w) >= IP_TEXT_MAX))
        w->at = put_v4(w->at, ip);
    else
        write_ip(w, ip, v4);
}

void w_address_ip(struct writer *w, const struct address *a)
{
    if (LIKELY(a->kind == ADDRESS_V4 && w_left(w) >= IP_TEXT_MAX)) {
        w->at = put_v4(w->at, a->ip);
        return;
    }
    switch (a->kind) {
    case ADDRESS_NONE: w_str(w, "none"); break;
    case ADDRESS_UNIX: w_str(w, "unix"); break;
    case ADDRESS_NAME: w_str(w, a->text ? a->text : ""); break;
    case ADDRESS_V4:
    case ADDRESS_V6: write_peer_ip(w, a); break;
    }
}

size_t address_format_ip(const struct address *a, char out[ADDRESS_TEXT_MAX])
{
    struct writer w = writer_of(out, ADDRESS_TEXT_MAX);
    w_address_ip(&w, a);
    w_cstr(&w);
    return w_len(&w);
}

bool address_equal(const struct address *a, const struct address *b)
{
    if (a->kind != b->kind || a->port != b->port || a->scope != b->scope)
        return false;
    if (a->kind == ADDRESS_UNIX || a->kind == ADDRESS_NAME)
        return span_eq(span_cstr(a->text), span_cstr(b->text));
    return memcmp(a->ip, b->ip, a->kind == ADDRESS_V4 ? 4 : sizeof a->ip) == 0;
}

bool address_is_any(const struct address *a)
{
    static const uint8_t any[sizeof(a->ip)];
    return (a->kind == ADDRESS_V4 && memcmp(a->ip, any, 4) == 0) ||
           (a->kind == ADDRESS_V6 && memcmp(a->ip, any, sizeof(any)) == 0);
}

/* Whether the first `bits` bits of both are the same. */
static bool same_prefix(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned whole = bits / 8;
    if (memcmp(a, b, whole) != 0)
        return false;
    return bits % 8 == 0 || (uint8_t)(a[whole] ^ b[whole]) >> (8 - bits % 8) == 0;
}

static bool bits_below_are_zero(const uint8_t *ip, unsigned from_bit, unsigned bits)
{
    for (unsigned bit = from_bit; bit < bits; bit++) {
        if (ip[bit / 8] & 0x80u >> bit % 8)
            return false;
    }
    return true;
}

int address_block_parse(struct span text, struct address_block *ret_block, const char **ret_why)
{
    struct address_block block = {0};
    struct span prefix = text;
    bool has_prefix = span_find(text, '/') != SPAN_NOT_FOUND;
    struct span host = span_cut(&prefix, '/');
    if (parse_v4(host, block.ip))
        block.kind = ADDRESS_V4;
    else if (parse_v6(host, block.ip))
        block.kind = ADDRESS_V6;
    else
        return refuse(ret_why, "this is not an address block; write 10.0.0.0/8 or fd00::/8");
    unsigned bits = block.kind == ADDRESS_V4 ? 32 : 128;
    uint64_t prefix_bits = bits;
    if (has_prefix && (prefix.n > 3 || !span_to_u64(prefix, &prefix_bits) || prefix_bits > bits))
        return refuse(ret_why, bits == 32 ? "the prefix length must be from 0 to 32"
                                          : "the prefix length must be from 0 to 128");
    if (!bits_below_are_zero(block.ip, (unsigned)prefix_bits, bits))
        return refuse(ret_why, "the address has bits set below the prefix");
    block.prefix_bits = (uint8_t)prefix_bits;
    *ret_block = block;
    return 0;
}

bool address_block_has(const struct address_block *block, const struct address *a)
{
    if (a->kind == ADDRESS_V4 && block->kind == ADDRESS_V4)
        return same_prefix(block->ip, a->ip, block->prefix_bits);
    if (a->kind != ADDRESS_V6)
        return false;
    if (block->kind == ADDRESS_V6)
        return same_prefix(block->ip, a->ip, block->prefix_bits);
    return is_v4_mapped(a) && same_prefix(block->ip, a->ip + 12, block->prefix_bits);
}
