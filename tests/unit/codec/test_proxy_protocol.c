/* SPDX-License-Identifier: MIT */
#include "codec/proxy_protocol.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define BAD       (-(int)REASON_proxy_header_bad)
#define MISSING   (-(int)REASON_proxy_header_missing)

static uint8_t room[2 * PROXY_HEADER_MAX];

/* The bytes in memory of their own, so that a read past their end is seen by the sanitizer. They
 * stay there until the next call, for the spans of a header. */
static int read_alone(struct span in, struct proxy_header *ret_header)
{
    static uint8_t *copy;
    free(copy);
    assert_true(in.n <= sizeof(room));
    copy = malloc(in.n ? in.n : 1);
    assert_non_null(copy);
    if (in.n)
        memcpy(copy, in.p, in.n);
    return proxy_read(span_of(copy, in.n), ret_header);
}

/* Reads a whole header: each part of it alone asks for more, and what follows is left alone. */
static void read_whole(struct span in, struct proxy_header *h)
{
    for (size_t n = 0; n < in.n; n++)
        assert_int_equal(read_alone(span_sub(in, 0, n), h), PROXY_NEED_MORE);
    assert_true(in.n + 5 <= sizeof(room));
    memmove(room, in.p, in.n);
    memcpy(room + in.n, "GET /", 5);
    assert_int_equal(read_alone(span_of(room, in.n + 5), h), in.n);
    assert_int_equal(read_alone(span_of(room, in.n), h), in.n);
}

static void expect_address(const struct address *a, const char *text)
{
    char out[ADDRESS_TEXT_MAX];
    (void)address_format(a, out);
    assert_string_equal(out, text);
}

static void expect_text(struct span got, const char *text)
{
    assert_true(span_eq(got, span_cstr(text)));
}

/* ---- version 1 ---- */

static void test_lines(void **state)
{
    (void)state;
    static const struct {
        struct span line;
        const char *source, *destination; /* NULL: not said */
    } rows[] = {
        {SPAN_INIT("PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n"), "192.0.2.1:56324",
         "198.51.100.7:443"},
        {SPAN_INIT("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"),
         "255.255.255.255:65535", "255.255.255.255:65535"},
        {SPAN_INIT("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n"), "0.0.0.0:0", "0.0.0.0:0"},
        {SPAN_INIT("PROXY TCP6 2001:DB8::1 ::1 1 2\r\n"), "[2001:db8::1]:1", "[::1]:2"},
        {SPAN_INIT("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                   "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
         "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
         "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"},
        {SPAN_INIT("PROXY UNKNOWN\r\n"), NULL, NULL},
        {SPAN_INIT("PROXY UNKNOWN ffff:f \1\xff  anything\r\n"), NULL, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct proxy_header h;
        read_whole(rows[i].line, &h);
        assert_int_equal(h.version, 1);
        assert_int_equal(h.local, !rows[i].source);
        expect_address(&h.source, rows[i].source ? rows[i].source : "none");
        expect_address(&h.destination, rows[i].destination ? rows[i].destination : "none");
    }
}

static void test_bad_lines(void **state)
{
    (void)state;
    static const struct span rows[] = {
        SPAN_INIT("PROXY \r\n"),
        SPAN_INIT("PROXY TCP4\r\n"),
        SPAN_INIT("PROXY TCP4 1.2.3.4\r\n"),
        SPAN_INIT("PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n"),
        SPAN_INIT("PROXY TCP4 1.2.3.4 1.2.3.4 1 \r\n"),
        SPAN_INIT("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n"),
        SPAN_INIT("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n"),
        SPAN_INIT("PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n"),
        SPAN_INIT("PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n"),
        SPAN_INIT("PROXY TCP4\t1.2.3.4 1.2.3.4 1 2\r\n"),
        SPAN_INIT("PROXY TCP4 1.2.3.04 1.2.3.4 1 2\r\n"),
        SPAN_INIT("PROXY TCP4 1.2.3.256 1.2.3.4 1 2\r\n"),
        SPAN_INIT("PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n"),
        SPAN_INIT("PROXY TCP4 1.2.3.4/32 1.2.3.4 1 2\r\n"),
        SPAN_INIT("PROXY TCP4 1.2.3.4 ::1 1 2\r\n"),
        SPAN_INIT("PROXY TCP4 ::1 ::1 1 2\r\n"),
        SPAN_INIT("PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n"),
        SPAN_INIT("PROXY TCP6 ::1 :::1 1 2\r\n"),
        SPAN_INIT("PROXY TCP6 ::1%1 ::1 1 2\r\n"),
        SPAN_INIT("PROXY TCP6 [::1] ::1 1 2\r\n"),
        SPAN_INIT("PROXY TCP5 ::1 ::1 1 2\r\n"),
        SPAN_INIT("PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n"),
        SPAN_INIT("PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n"),
        SPAN_INIT("PROXY UNKNOWNS\r\n"),
        SPAN_INIT("PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n"),
        SPAN_INIT("PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n"),
        SPAN_INIT("PROXY TCP4 1.2.3.4 1.2.3.4 1 00\r\n"),
        SPAN_INIT("PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n"),
        SPAN_INIT("PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n"),
        SPAN_INIT("PROXY TCP4 1.2.3.4 1.2.3.4 1 0x2\r\n"),
        SPAN_INIT("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n"),
        SPAN_INIT("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\r\n"),
        SPAN_INIT("PROXY TCP4 1.2.3.4 1.2.3.4\r 1 2\r\n"),
        SPAN_INIT("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\0\r\n"),
        SPAN_INIT("PROXY UNKNOWN\n"),
        SPAN_INIT("PROXY UNKNOWN \r \r\n"),
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct proxy_header h;
        if (read_alone(rows[i], &h) != BAD)
            fail_msg("row %zu was not refused", i);
        assert_int_equal(read_alone(span_sub(rows[i], 0, rows[i].n - 1), &h), PROXY_NEED_MORE);
    }
}

static void test_longest_line(void **state)
{
    (void)state;
    struct proxy_header h;
    uint8_t line[109];
    memset(line, ' ', sizeof(line));
    memcpy(line, "PROXY UNKNOWN", 13);
    memcpy(line + 105, "\r\n", 2);
    read_whole(span_of(line, 107), &h);
    memcpy(line + 105, " \r\n", 3);
    assert_int_equal(read_alone(span_of(line, 106), &h), PROXY_NEED_MORE);
    assert_int_equal(read_alone(span_of(line, 107), &h), BAD);
    assert_int_equal(read_alone(span_of(line, 108), &h), BAD);
}

/* Refused with the first byte that no header begins with. */
static void test_missing(void **state)
{
    (void)state;
    static const struct {
        struct span in;
        size_t alike; /* bytes at its beginning that a header may begin with */
    } rows[] = {
        {SPAN_INIT("GET / HTTP/1.1\r\n"), 0},
        {SPAN_INIT("\x16\3\1"), 0},
        {SPAN_INIT(" PROXY TCP4"), 0},
        {SPAN_INIT("proxy TCP4"), 0},
        {SPAN_INIT("PROXy TCP4"), 4},
        {SPAN_INIT("PROXYTCP4"), 5},
        {SPAN_INIT("PROXY\r\n"), 5},
        {SPAN_INIT("\r\n\r\n\r\n"), 4},
        {SPAN_INIT("\r\n\r\n\0\r\nQUIT\r\n"), 11},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (size_t n = 0; n <= rows[i].in.n; n++) {
            struct proxy_header h;
            assert_int_equal(read_alone(span_sub(rows[i].in, 0, n), &h),
                             n <= rows[i].alike ? PROXY_NEED_MORE : MISSING);
        }
    }
}

/* ---- version 2 ---- */

static struct span header(uint8_t command, uint8_t family, struct span body)
{
    struct writer w = writer_of(room, sizeof(room));
    w_span(&w, span_str(SIGNATURE));
    w_u8(&w, command);
    w_u8(&w, family);
    w_u16be(&w, (uint16_t)body.n);
    w_span(&w, body);
    assert_true(w_ok(&w));
    return w_span_of_result(&w);
}

#define V4_ADDRESSES "\300\0\2\1\306\63\144\7\xdc\4\1\xbb" /* 192.0.2.1:56324 198.51.100.7:443 */

static int read_tlvs(struct span tlvs, struct proxy_header *h)
{
    uint8_t body[PROXY_HEADER_MAX];
    struct writer w = writer_of(body, sizeof(body));
    w_span(&w, span_str(V4_ADDRESSES));
    w_span(&w, tlvs);
    return read_alone(header(0x21, 0x11, w_span_of_result(&w)), h);
}

static void test_addresses(void **state)
{
    (void)state;
    struct proxy_header h;
    read_whole(header(0x21, 0x11, span_str(V4_ADDRESSES)), &h);
    assert_int_equal(h.version, 2);
    assert_false(h.local);
    assert_int_equal(h.tls.client, 0);
    expect_address(&h.source, "192.0.2.1:56324");
    expect_address(&h.destination, "198.51.100.7:443");
    read_whole(header(0x21, 0x21,
                      span_str("\x20\1\r\xb8\0\0\0\0\0\0\0\0\0\0\0\1"
                               "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\1\0\2")),
               &h);
    expect_address(&h.source, "[2001:db8::1]:1");
    expect_address(&h.destination, "[::1]:2");
    uint8_t paths[216] = "/run/a.sock";
    read_whole(header(0x21, 0x31, span_of(paths, sizeof(paths))), &h);
    assert_false(h.local);
    assert_int_equal(h.source.kind, ADDRESS_UNIX);
}

/* Whoever speaks for itself, or of what no stream is: the length says how much to skip. */
static void test_skipped(void **state)
{
    (void)state;
    static const struct {
        uint8_t command, family;
        struct span body;
    } rows[] = {
        {0x20, 0x00, SPAN_INIT("")},           {0x20, 0x11, SPAN_INIT(V4_ADDRESSES)},
        {0x20, 0x11, SPAN_INIT("abc")},        {0x20, 0x22, SPAN_INIT("")},
        {0x21, 0x00, SPAN_INIT("")},           {0x21, 0x00, SPAN_INIT("\3\0\4abcd")},
        {0x21, 0x12, SPAN_INIT(V4_ADDRESSES)}, {0x21, 0x32, SPAN_INIT("short")},
        {0x21, 0x10, SPAN_INIT("")},           {0x21, 0x01, SPAN_INIT("")},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct proxy_header h;
        read_whole(header(rows[i].command, rows[i].family, rows[i].body), &h);
        assert_true(h.local);
        assert_int_equal(h.source.kind, ADDRESS_NONE);
        assert_int_equal(h.destination.kind, ADDRESS_NONE);
    }
}

static void test_unknown_values(void **state)
{
    (void)state;
    struct proxy_header h;
    for (unsigned command = 0; command < 256; command++) {
        bool known = command == 0x20 || command == 0x21;
        struct span in = header((uint8_t)command, 0x11, span_str(V4_ADDRESSES));
        assert_int_equal(read_alone(in, &h), known ? (int)in.n : BAD);
    }
    for (unsigned family = 0; family < 256; family++) {
        bool known = family >> 4 <= 3 && (family & 15) <= 2 && family != 0x31;
        uint8_t body[36] = {0};
        struct span in =
            header(0x21, (uint8_t)family, span_of(body, family == 0x11 ? 12 : sizeof(body)));
        assert_int_equal(read_alone(in, &h), known ? (int)in.n : BAD);
    }
}

/* The length decides: addresses that do not fit it are none, and nothing behind it is looked at. */
static void test_lengths(void **state)
{
    (void)state;
    struct proxy_header h;
    for (size_t n = 0; n < 12; n++)
        assert_int_equal(read_alone(header(0x21, 0x11, span_sub(span_str(V4_ADDRESSES), 0, n)), &h),
                         BAD);
    uint8_t zeros[216] = {0};
    assert_int_equal(read_alone(header(0x21, 0x21, span_of(zeros, 35)), &h), BAD);
    assert_int_equal(read_alone(header(0x21, 0x31, span_of(zeros, 215)), &h), BAD);
    /* A TLV that lies in the header by its own length and ends behind it. */
    struct span in = header(0x21, 0x11, span_str(V4_ADDRESSES "\2\0\5ab"));
    memcpy(room + in.n, "cde", 3);
    assert_int_equal(read_alone(span_of(room, in.n + 3), &h), BAD);
}

static void test_longest_header(void **state)
{
    (void)state;
    struct proxy_header h;
    static uint8_t body[PROXY_HEADER_MAX - 15] = V4_ADDRESSES "\4";
    body[13] = (uint8_t)((sizeof(body) - 16) >> 8);
    body[14] = (uint8_t)(sizeof(body) - 16);
    read_whole(header(0x21, 0x11, span_of(body, sizeof(body) - 1)), &h);
    struct span in = header(0x21, 0x11, span_of(body, sizeof(body)));
    assert_int_equal(read_alone(in, &h), BAD);
    assert_int_equal(read_alone(span_sub(in, 0, 16), &h), BAD); /* known by its length */
    assert_int_equal(read_alone(header(0x20, 0x00, span_of(body, sizeof(body))), &h), BAD);
}

static void test_tlvs(void **state)
{
    (void)state;
    struct proxy_header h;
    assert_true(read_tlvs(span_str("\1\0\2h2\2\0\5a.com\5\0\3id7\4\0\0\x30\0\2ns\xe0\0\1x"), &h) >
                0);
    expect_text(h.alpn, "h2");
    expect_text(h.authority, "a.com");
    expect_text(h.unique_id, "id7");
    assert_int_equal(read_tlvs(span_str("\1"), &h), BAD);
    assert_int_equal(read_tlvs(span_str("\1\0"), &h), BAD);
    assert_int_equal(read_tlvs(span_str("\1\0\1"), &h), BAD);
    assert_int_equal(read_tlvs(span_str("\xff\0\1"), &h), BAD);
    assert_int_equal(read_tlvs(span_str("\1\xff\xffh2"), &h), BAD);
    assert_int_equal(read_tlvs(span_str("\1\0\2h2\1\0\2h2"), &h), BAD);
    assert_int_equal(read_tlvs(span_str("\2\0\0\2\0\1a"), &h), BAD);
    uint8_t id[3 + 129] = {5, 0, 128};
    assert_true(read_tlvs(span_of(id, 3 + 128), &h) > 0);
    id[2] = 129;
    assert_int_equal(read_tlvs(span_of(id, 3 + 129), &h), BAD);
}

static void test_tls(void **state)
{
    (void)state;
    struct proxy_header h;
    assert_true(read_tlvs(span_str("\x20\0\x27\7\0\0\0\0\x21\0\7TLSv1.3\x22\0\3ann\x23\0\4AES1"
                                   "\x24\0\3RSA\x25\0\2k8"),
                          &h) > 0);
    assert_int_equal(h.tls.client, 7);
    assert_true(h.tls.verified);
    expect_text(h.tls.version, "TLSv1.3");
    expect_text(h.tls.common_name, "ann");
    expect_text(h.tls.cipher, "AES1");
    assert_true(read_tlvs(span_str("\x20\0\5\1\0\0\0\0"), &h) > 0);
    assert_false(h.tls.verified); /* there was no certificate */
    assert_true(read_tlvs(span_str("\x20\0\5\3\0\0\0\1"), &h) > 0);
    assert_false(h.tls.verified);
    assert_int_equal(read_tlvs(span_str("\x20\0\4\1\0\0\0"), &h), BAD);
    assert_int_equal(read_tlvs(span_str("\x20\0\6\1\0\0\0\0\x21"), &h), BAD);
    assert_int_equal(read_tlvs(span_str("\x20\0\x8\1\0\0\0\0\x21\0\1"), &h), BAD);
    assert_int_equal(read_tlvs(span_str("\x20\0\xb\1\0\0\0\0\x21\0\0\x21\0\0"), &h), BAD);
    assert_int_equal(read_tlvs(span_str("\x20\0\5\1\0\0\0\0\x20\0\5\1\0\0\0\0"), &h), BAD);
}

/* The sums were made by another program. */
static void test_checksum(void **state)
{
    (void)state;
    struct proxy_header h;
    struct span good = header(0x21, 0x11, span_str(V4_ADDRESSES "\3\0\4\324\132\021\271"));
    uint8_t copy[64];
    memcpy(copy, good.p, good.n);
    read_whole(span_of(copy, good.n), &h);
    for (size_t bit = 8 * 16; bit < 8 * good.n; bit++) {
        memcpy(copy, good.p, good.n);
        copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (bit / 8 < 28 || bit / 8 >= 31)
            assert_int_equal(read_alone(span_of(copy, good.n), &h), BAD);
    }
    assert_int_equal(read_tlvs(span_str("\3\0\3abc"), &h), BAD);
    assert_int_equal(read_tlvs(span_str("\3\0\5abcde"), &h), BAD);
}

/* ---- writing ---- */

static const struct address v4_client = {.kind = ADDRESS_V4, .ip = {192, 0, 2, 1}, .port = 56324};
static const struct address v4_here = {.kind = ADDRESS_V4, .ip = {198, 51, 100, 7}, .port = 443};
static const struct address v6_client = {.kind = ADDRESS_V6,
                                         .ip = {0x20, 1, 0xd, 0xb8, [15] = 1},
                                         .port = 1};
static const struct address mapped = {.kind = ADDRESS_V6,
                                      .ip = {[10] = 0xff, 0xff, 192, 0, 2, 1},
                                      .port = 56324};
static const struct address unix_client = {.kind = ADDRESS_UNIX, .text = ""};

static struct span write_header(struct proxy_header h)
{
    static uint8_t out[PROXY_WRITE_MAX];
    struct writer w = writer_of(out, sizeof(out));
    proxy_write(&w, &h);
    assert_true(w_ok(&w));
    return w_span_of_result(&w);
}

static void test_write_lines(void **state)
{
    (void)state;
    static const struct {
        const struct address *from, *to;
        const char *line;
    } rows[] = {
        {&v4_client, &v4_here, "PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n"},
        {&mapped, &v4_here, "PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n"},
        {&v6_client, &v6_client, "PROXY TCP6 2001:db8::1 2001:db8::1 1 1\r\n"},
        {&v6_client, &v4_here, "PROXY TCP6 2001:db8::1 ::ffff:c633:6407 1 443\r\n"},
        {&unix_client, &v4_here, "PROXY UNKNOWN\r\n"},
        {&v4_client, &unix_client, "PROXY UNKNOWN\r\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct proxy_header h = {.version = 1, .source = *rows[i].from, .destination = *rows[i].to};
        struct span line = write_header(h);
        expect_text(line, rows[i].line);
        read_whole(line, &h);
    }
    expect_text(write_header((struct proxy_header){.version = 1, .local = true}),
                "PROXY UNKNOWN\r\n");
}

static void test_write_and_read(void **state)
{
    (void)state;
    static const struct {
        const struct address *from, *to;
        const char *source, *destination;
    } rows[] = {
        {&v4_client, &v4_here, "192.0.2.1:56324", "198.51.100.7:443"},
        {&mapped, &v4_here, "192.0.2.1:56324", "198.51.100.7:443"},
        {&v6_client, &v4_here, "[2001:db8::1]:1", "[::ffff:198.51.100.7]:443"},
        {&unix_client, &v4_here, "unix:", "unix:"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct proxy_header h = {.version = 2, .source = *rows[i].from, .destination = *rows[i].to};
        read_whole(write_header(h), &h);
        assert_false(h.local);
        expect_address(&h.source, rows[i].source);
        expect_address(&h.destination, rows[i].destination);
        assert_int_equal(h.tls.client, 0);
    }
}

static void test_write_facts(void **state)
{
    (void)state;
    uint8_t copy[PROXY_WRITE_MAX];
    struct proxy_header h = {
        .version = 2,
        .source = v4_client,
        .destination = v4_here,
        .alpn = span_str("h2"),
        .authority = span_str("app.example"),
        .unique_id = span_str("id"),
        .tls = {PROXY_TLS | PROXY_TLS_CERTIFICATE, true, span_str("TLSv1.3"), span_str("AES"),
                span_str("ann")},
    };
    struct span out = write_header(h);
    memcpy(copy, out.p, out.n);
    read_whole(span_of(copy, out.n), &h);
    expect_text(h.alpn, "h2");
    expect_text(h.authority, "app.example");
    expect_text(h.unique_id, "id");
    assert_int_equal(h.tls.client, PROXY_TLS | PROXY_TLS_CERTIFICATE);
    assert_true(h.tls.verified);
    expect_text(h.tls.version, "TLSv1.3");
    expect_text(h.tls.cipher, "AES");
    expect_text(h.tls.common_name, "ann");
}

/* Whatever there is to say, it fits; what is longer than it may be is left out. */
static void test_write_most(void **state)
{
    (void)state;
    static uint8_t text[256];
    memset(text, 'x', sizeof(text));
    for (size_t n = 255; n <= 256; n++) {
        struct span t = span_of(text, n);
        struct proxy_header h = {
            .version = 2,
            .source = unix_client,
            .destination = unix_client,
            .alpn = t,
            .authority = t,
            .unique_id = span_sub(t, 0, n == 255 ? 128 : 129),
            .tls = {PROXY_TLS, false, t, t, t},
        };
        uint8_t copy[PROXY_WRITE_MAX];
        struct span out = write_header(h);
        memcpy(copy, out.p, out.n);
        read_whole(span_of(copy, out.n), &h);
        size_t kept = n == 255 ? 255 : 0;
        assert_int_equal(h.alpn.n, kept);
        assert_int_equal(h.authority.n, kept);
        assert_int_equal(h.unique_id.n, n == 255 ? 128 : 0);
        assert_int_equal(h.tls.common_name.n, kept);
        assert_int_equal(h.tls.client, PROXY_TLS);
    }
}

static void test_write_local(void **state)
{
    (void)state;
    struct proxy_header h = {.version = 2, .local = true, .source = v4_client};
    struct span out = write_header(h);
    assert_int_equal(out.n, 16);
    read_whole(out, &h);
    assert_true(h.local);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_bad_lines),
        cmocka_unit_test(test_longest_line),
        cmocka_unit_test(test_missing),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_skipped),
        cmocka_unit_test(test_unknown_values),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_longest_header),
        cmocka_unit_test(test_tlvs),
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_checksum),
        cmocka_unit_test(test_write_lines),
        cmocka_unit_test(test_write_and_read),
        cmocka_unit_test(test_write_facts),
        cmocka_unit_test(test_write_most),
        cmocka_unit_test(test_write_local),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
