/* SPDX-License-Identifier: MIT */
/*
 * Strict where two readers could differ: no leading zeros, one space, CR LF; in version 2 the
 * length says exactly where the header ends, and each TLV must lie inside it. What the sender may
 * leave open (LOCAL, UNKNOWN, families that no stream has) is skipped by that length.
 */
#include "codec/proxy_protocol.h"

#include "base/check.h"

#include <string.h>

#define LINE_MAX         107 /* of version 1, with its CR LF */
#define SIGNATURE_BYTES  12
#define FIXED_BYTES      16
#define UNIX_PATHS_BYTES 216
#define UNIQUE_ID_MAX    128
#define CRC_BYTES        4
#define WRITTEN_TEXT_MAX 255

static const struct span line_start = SPAN_INIT("PROXY ");
static const struct span signature = SPAN_INIT("\r\n\r\n\0\r\nQUIT\n");

enum command { COMMAND_LOCAL = 0, COMMAND_PROXY = 1 };

/* The high half of a byte is the family, the low half the transport. */
enum { FAMILY_NONE, FAMILY_V4, FAMILY_V6, FAMILY_UNIX, FAMILIES };
enum { TRANSPORT_NONE, TRANSPORT_STREAM, TRANSPORT_DATAGRAM, TRANSPORTS };

enum tlv_type {
    TLV_ALPN = 0x01,
    TLV_AUTHORITY = 0x02,
    TLV_CRC32C = 0x03,
    TLV_UNIQUE_ID = 0x05,
    TLV_TLS = 0x20,
    TLV_TLS_VERSION = 0x21,
    TLV_TLS_COMMON_NAME = 0x22,
    TLV_TLS_CIPHER = 0x23,
};

/* ---- version 1 ---- */

static bool read_ip(struct span text, enum address_kind kind, struct address *ret_address)
{
    struct address_block one;
    const char *why;
    if (span_find(text, '/') != SPAN_NOT_FOUND || address_block_parse(text, &one, &why) < 0)
        return false;
    ret_address->kind = one.kind;
    memcpy(ret_address->ip, one.ip, sizeof(one.ip));
    return one.kind == kind;
}

static bool read_port(struct span text, uint16_t *ret_port)
{
    uint64_t port = 0;
    bool ok = text.n <= 5 && span_to_u64(text, &port) && port <= UINT16_MAX;
    *ret_port = (uint16_t)port;
    return ok && (text.n == 1 || text.p[0] != '0');
}

/* What is between "PROXY " and CR LF. */
static bool read_line(struct span rest, struct proxy_header *h)
{
    bool last = span_find(rest, ' ') == SPAN_NOT_FOUND;
    struct span family = span_cut(&rest, ' ');
    h->local = span_eq(family, span_str("UNKNOWN"));
    if (h->local)
        return true;
    bool v4 = span_eq(family, span_str("TCP4"));
    if (last || (!v4 && !span_eq(family, span_str("TCP6"))))
        return false;
    enum address_kind kind = v4 ? ADDRESS_V4 : ADDRESS_V6;
    return read_ip(span_cut(&rest, ' '), kind, &h->source) &&
           read_ip(span_cut(&rest, ' '), kind, &h->destination) &&
           read_port(span_cut(&rest, ' '), &h->source.port) &&
           read_port(rest, &h->destination.port);
}

static int read_v1(struct span in, struct proxy_header *h)
{
    struct span line = span_sub(in, 0, LINE_MAX);
    size_t end = span_find(line, '\n');
    if (end == SPAN_NOT_FOUND)
        return in.n < LINE_MAX ? PROXY_NEED_MORE : -(int)REASON_proxy_header_bad;
    size_t cr = span_find(line, '\r');
    h->version = 1;
    if (cr + 1 != end || !read_line(span_sub(line, line_start.n, cr - line_start.n), h))
        return -(int)REASON_proxy_header_bad;
    return (int)end + 1;
}

/* ---- version 2 ---- */

/* CRC-32C (Castagnoli), bit by bit: a header is short, and there is one a connection. */
static uint32_t crc32c(uint32_t crc, struct span s)
{
    for (size_t i = 0; i < s.n; i++) {
        crc ^= s.p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0x82f63b78u & -(crc & 1));
    }
    return crc;
}

/* The checksum of a header is made with zeros in its own place. */
static bool checksum_ok(struct span header, struct span value)
{
    static const uint8_t zeros[CRC_BYTES];
    if (value.n != CRC_BYTES)
        return false;
    size_t at = (size_t)(value.p - header.p);
    struct reader r = reader_of(value);
    uint32_t crc = crc32c(UINT32_MAX, span_sub(header, 0, at));
    crc = crc32c(crc, span_of(zeros, CRC_BYTES));
    crc = ~crc32c(crc, span_from(header, at + CRC_BYTES));
    return crc == r_u32be(&r);
}

/* Said twice, it would depend on the reader which of them counts. */
static bool keep_once(struct span *to, struct span value)
{
    bool first = to->p == NULL;
    *to = value;
    return first;
}

static struct span read_tlv(struct reader *r, uint8_t *ret_type)
{
    *ret_type = r_u8(r);
    return r_bytes(r, r_u16be(r));
}

static bool read_tls(struct span value, struct proxy_tls *tls)
{
    struct reader r = reader_of(value);
    bool ok = tls->version.p == NULL && tls->client == 0;
    tls->client = r_u8(&r);
    tls->verified =
        r_u32be(&r) == 0 && (tls->client & (PROXY_TLS_CERTIFICATE | PROXY_TLS_IN_SESSION)) != 0;
    while (ok && r_left(&r) > 0) {
        uint8_t type;
        struct span sub = read_tlv(&r, &type);
        if (type == TLV_TLS_VERSION)
            ok = keep_once(&tls->version, sub);
        else if (type == TLV_TLS_COMMON_NAME)
            ok = keep_once(&tls->common_name, sub);
        else if (type == TLV_TLS_CIPHER)
            ok = keep_once(&tls->cipher, sub);
    }
    return ok && r_ok(&r);
}

static bool keep_tlv(uint8_t type, struct span value, struct span header, struct proxy_header *h)
{
    switch (type) {
    case TLV_ALPN: return keep_once(&h->alpn, value);
    case TLV_AUTHORITY: return keep_once(&h->authority, value);
    case TLV_UNIQUE_ID: return value.n <= UNIQUE_ID_MAX && keep_once(&h->unique_id, value);
    case TLV_CRC32C: return checksum_ok(header, value);
    case TLV_TLS: return read_tls(value, &h->tls);
    default: return true;
    }
}

static bool read_tlvs(struct reader *r, struct span header, struct proxy_header *h)
{
    while (r_left(r) > 0) {
        uint8_t type;
        struct span value = read_tlv(r, &type);
        if (!r_ok(r) || !keep_tlv(type, value, header, h))
            return false;
    }
    return r_ok(r);
}

static void read_ips(struct reader *r, size_t bytes, struct proxy_header *h)
{
    enum address_kind kind = bytes == 4 ? ADDRESS_V4 : ADDRESS_V6;
    struct span source = r_bytes(r, bytes), destination = r_bytes(r, bytes);
    if (!r_ok(r))
        return;
    memcpy(h->source.ip, source.p, bytes);
    memcpy(h->destination.ip, destination.p, bytes);
    h->source.port = r_u16be(r);
    h->destination.port = r_u16be(r);
    h->source.kind = h->destination.kind = kind;
}

/* What a header of the command PROXY says of a connection. */
static bool read_body(struct span header, unsigned family, struct proxy_header *h)
{
    struct reader r = reader_of(span_from(header, FIXED_BYTES));
    if (family == FAMILY_UNIX) {
        r_skip(&r, UNIX_PATHS_BYTES);
        h->source.kind = h->destination.kind = ADDRESS_UNIX;
    } else {
        read_ips(&r, family == FAMILY_V4 ? 4 : 16, h);
    }
    return r_ok(&r) && read_tlvs(&r, header, h);
}

static int read_v2(struct span in, struct proxy_header *h)
{
    struct reader r = reader_of(in);
    r_skip(&r, SIGNATURE_BYTES);
    uint8_t command = r_u8(&r), family = r_u8(&r);
    uint16_t length = r_u16be(&r);
    if (!r_ok(&r))
        return PROXY_NEED_MORE;
    if (command >> 4 != 2 || (command & 15) > COMMAND_PROXY || family >> 4 >= FAMILIES ||
        (family & 15) >= TRANSPORTS || FIXED_BYTES + length > PROXY_HEADER_MAX)
        return -(int)REASON_proxy_header_bad;
    struct span body = r_bytes(&r, length);
    if (!r_ok(&r))
        return PROXY_NEED_MORE;
    h->version = 2;
    h->local = (command & 15) == COMMAND_LOCAL || (family & 15) != TRANSPORT_STREAM ||
               family >> 4 == FAMILY_NONE;
    struct span header = span_sub(in, 0, FIXED_BYTES + body.n);
    if (!h->local && !read_body(header, family >> 4, h))
        return -(int)REASON_proxy_header_bad;
    return (int)header.n;
}

/* Whether both are the same as far as the shorter goes. */
static bool begins_alike(struct span a, struct span b)
{
    size_t n = MIN(a.n, b.n);
    return span_eq(span_sub(a, 0, n), span_sub(b, 0, n));
}

int proxy_read(struct span in, struct proxy_header *ret_header)
{
    *ret_header = (struct proxy_header){0};
    if (span_starts(in, line_start))
        return read_v1(in, ret_header);
    if (span_starts(in, signature))
        return read_v2(in, ret_header);
    if (begins_alike(in, line_start) || begins_alike(in, signature))
        return PROXY_NEED_MORE;
    return -(int)REASON_proxy_header_missing;
}

/* ---- writing ---- */

static bool is_ip(const struct address *a)
{
    return a->kind == ADDRESS_V4 || a->kind == ADDRESS_V6;
}

/* An IPv4 address as IPv6 writes it. */
static struct address as_v6(const struct address *a)
{
    struct address six = *a;
    if (a->kind == ADDRESS_V4) {
        six = (struct address){.kind = ADDRESS_V6, .port = a->port};
        six.ip[10] = six.ip[11] = 0xff;
        memcpy(six.ip + 12, a->ip, 4);
    }
    return six;
}

static bool is_mapped(const struct address *a)
{
    struct address four = {.kind = ADDRESS_V4};
    struct address six = as_v6(&four);
    return a->kind == ADDRESS_V6 && memcmp(a->ip, six.ip, 12) == 0;
}

/* IPv4 where both are; a socket for both families shows its IPv4 clients as mapped. */
static void same_family(struct address *a, struct address *b)
{
    bool four = (a->kind == ADDRESS_V4 || is_mapped(a)) && (b->kind == ADDRESS_V4 || is_mapped(b));
    struct address *each[] = {a, b};
    for (size_t i = 0; i < ARRAY_LEN(each); i++) {
        struct address six = as_v6(each[i]);
        *each[i] = six;
        if (four) {
            each[i]->kind = ADDRESS_V4;
            memcpy(each[i]->ip, six.ip + 12, 4);
        }
    }
}

/* Version 1 wants an address of the family, so an IPv4 one inside IPv6 in IPv6's own digits. */
static void write_ip(struct writer *w, const struct address *a)
{
    if (a->kind == ADDRESS_V4 || !is_mapped(a)) {
        w_address_ip(w, a);
        return;
    }
    w_str(w, "::ffff:");
    w_hex(w, (unsigned)a->ip[12] << 8 | a->ip[13], 1);
    w_u8(w, ':');
    w_hex(w, (unsigned)a->ip[14] << 8 | a->ip[15], 1);
}

static void write_v1(struct writer *w, const struct address *from, const struct address *to)
{
    w_str(w, from->kind == ADDRESS_V4 ? "PROXY TCP4 " : "PROXY TCP6 ");
    write_ip(w, from);
    w_u8(w, ' ');
    write_ip(w, to);
    w_u8(w, ' ');
    w_u64_dec(w, from->port);
    w_u8(w, ' ');
    w_u64_dec(w, to->port);
    w_str(w, "\r\n");
}

static void write_tlv(struct writer *w, enum tlv_type type, struct span value)
{
    if (value.n == 0 || value.n > WRITTEN_TEXT_MAX)
        return;
    w_u8(w, (uint8_t)type);
    w_u16be(w, (uint16_t)value.n);
    w_span(w, value);
}

static void fill_u16(uint8_t *at, size_t value)
{
    CHECK(value <= UINT16_MAX);
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static void write_tls(struct writer *w, const struct proxy_tls *tls)
{
    w_u8(w, TLV_TLS);
    uint8_t *length = w_reserve(w, 2);
    size_t begin = w_len(w);
    w_u8(w, tls->client);
    w_u32be(w, tls->verified ? 0 : 1);
    write_tlv(w, TLV_TLS_VERSION, tls->version);
    write_tlv(w, TLV_TLS_COMMON_NAME, tls->common_name);
    write_tlv(w, TLV_TLS_CIPHER, tls->cipher);
    if (length)
        fill_u16(length, w_len(w) - begin);
}

static void write_addresses(struct writer *w, const struct address *from, const struct address *to)
{
    size_t bytes = from->kind == ADDRESS_V4 ? 4 : 16;
    if (is_ip(from)) {
        w_bytes(w, from->ip, bytes);
        w_bytes(w, to->ip, bytes);
        w_u16be(w, from->port);
        w_u16be(w, to->port);
    } else {
        uint8_t *paths = w_reserve(w, UNIX_PATHS_BYTES);
        if (paths)
            memset(paths, 0, UNIX_PATHS_BYTES);
    }
}

static void write_v2(struct writer *w, const struct proxy_header *h, const struct address *from,
                     const struct address *to)
{
    unsigned family = from->kind == ADDRESS_V4   ? FAMILY_V4
                      : from->kind == ADDRESS_V6 ? FAMILY_V6
                                                 : FAMILY_UNIX;
    w_span(w, signature);
    w_u8(w, 0x20 | (h->local ? COMMAND_LOCAL : COMMAND_PROXY));
    w_u8(w, h->local ? 0 : (uint8_t)(family << 4 | TRANSPORT_STREAM));
    uint8_t *length = w_reserve(w, 2);
    size_t begin = w_len(w);
    if (!h->local) {
        write_addresses(w, from, to);
        write_tlv(w, TLV_ALPN, h->alpn);
        write_tlv(w, TLV_AUTHORITY, h->authority);
        if (h->unique_id.n <= UNIQUE_ID_MAX)
            write_tlv(w, TLV_UNIQUE_ID, h->unique_id);
        if (h->tls.client)
            write_tls(w, &h->tls);
    }
    if (length)
        fill_u16(length, w_len(w) - begin);
}

void proxy_write(struct writer *w, const struct proxy_header *h)
{
    struct address from = h->source, to = h->destination;
    bool both_ip = is_ip(&from) && is_ip(&to);
    if (both_ip)
        same_family(&from, &to);
    else
        from.kind = to.kind = ADDRESS_UNIX;
    if (h->version == 2)
        write_v2(w, h, &from, &to);
    else if (h->local || !both_ip)
        w_str(w, "PROXY UNKNOWN\r\n");
    else
        write_v1(w, &from, &to);
}
