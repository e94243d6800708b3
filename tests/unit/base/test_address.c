/* SPDX-License-Identifier: MIT */
#include "base/address.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char kept[512];

static const char *keep(void *keeper, struct span text)
{
    (void)keeper;
    return span_to_cstr(text, kept, sizeof kept) ? kept : NULL;
}

static const char *keep_nothing(void *keeper, struct span text)
{
    (void)keeper;
    (void)text;
    return NULL;
}

static int parse(const char *text, struct address *ret_address)
{
    const char *why = NULL;
    int rc = address_parse(span_cstr(text), keep, NULL, ret_address, &why);
    assert_true((rc < 0) == (why != NULL));
    return rc;
}

static void test_round_trip(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum address_kind kind;
        uint16_t port;
        const char *formatted; /* NULL: the same */
        const char *ip;
    } rows[] = {
        {"127.0.0.1:8080", ADDRESS_V4, 8080, NULL, "127.0.0.1"},
        {"0.0.0.0:0", ADDRESS_V4, 0, NULL, "0.0.0.0"},
        {"255.255.255.255:65535", ADDRESS_V4, 65535, NULL, "255.255.255.255"},
        {":80", ADDRESS_V6, 80, "[::]:80", "::"},
        {"[::1]:80", ADDRESS_V6, 80, NULL, "::1"},
        {"[2001:DB8::0:1]:443", ADDRESS_V6, 443, "[2001:db8::1]:443", "2001:db8::1"},
        {"[fe80::1%3]:53", ADDRESS_V6, 53, NULL, "fe80::1"},
        {"[::ffff:10.1.2.3]:9", ADDRESS_V6, 9, NULL, "10.1.2.3"},
        {"unix:/run/x.sock", ADDRESS_UNIX, 0, NULL, "unix"},
        {"localhost:80", ADDRESS_NAME, 80, NULL, "localhost"},
        {"a-b.c_d.example.:1", ADDRESS_NAME, 1, NULL, "a-b.c_d.example."},
        {"3com.example:1", ADDRESS_NAME, 1, NULL, "3com.example"},
        {"host.1st:1", ADDRESS_NAME, 1, NULL, "host.1st"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct address a;
        char out[ADDRESS_TEXT_MAX];
        assert_int_equal(parse(rows[i].text, &a), 0);
        assert_int_equal(a.kind, rows[i].kind);
        assert_int_equal(a.port, rows[i].port);
        const char *want = rows[i].formatted ? rows[i].formatted : rows[i].text;
        assert_int_equal(address_format(&a, out), strlen(want));
        assert_string_equal(out, want);
        assert_int_equal(address_format_ip(&a, out), strlen(rows[i].ip));
        assert_string_equal(out, rows[i].ip);
        struct address again;
        char copy[512];
        snprintf(copy, sizeof copy, "%s", kept); /* both would share `kept` */
        if (a.text)
            a.text = copy;
        assert_int_equal(parse(want, &again), 0);
        assert_true(address_equal(&a, &again));
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        "80",
        "localhost",
        "localhost:",
        "localhost:x",
        "localhost:-1",
        "localhost:+1",
        "localhost: 1",
        "localhost:65536",
        "localhost:000080",
        "::1",
        "::1:80",
        "2001:db8::1:80",
        "[::1]",
        "[::1",
        "[::1]80",
        "[::1]:",
        "[::1]:99999",
        "[127.0.0.1]:80",
        "[]:80",
        "[::g]:80",
        "[fe80::1%]:80",
        "[fe80::1%eth0]:80",
        "[fe80::1%4294967296]:80",
        "1.2.3:80",
        "1.2.3.4.5:80",
        "1.2.3.256:80",
        "01.2.3.4:80",
        "0x7f.1:80",
        "127.1:80",
        "2130706433:80",
        "*:80",
        "a b:80",
        "a..b:80",
        ".a:80",
        ".:80",
        "-a:80",
        "a-:80",
        "http://a:80",
        "a/b:80",
        "unix:",
        "unix:x.sock",
        "user@host:1",
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct address a = {.kind = ADDRESS_NONE, .port = 7};
        if (parse(rows[i], &a) == 0)
            fail_msg("accepted: %s", rows[i]);
        assert_int_equal(a.port, 7); /* untouched */
    }
}

static void test_lengths(void **state)
{
    (void)state;
    struct address a;
    const char *why;
    char text[600] = "unix:/";
    memset(text + 6, 'p', 106);
    assert_int_equal(parse(text, &a), 0); /* 107 bytes of path */
    text[6 + 106] = 'p';
    assert_true(parse(text, &a) < 0);

    memset(text, 'h', 63);
    memcpy(text + 63, ".example:1", sizeof ".example:1");
    assert_int_equal(parse(text, &a), 0);
    memset(text, 'h', 64);
    memcpy(text + 64, ".example:1", sizeof ".example:1");
    assert_true(parse(text, &a) < 0);

    for (int i = 0; i < 127; i++)
        memcpy(text + 2 * i, "a.", 2);
    memcpy(text + 253, ":1", sizeof ":1");
    assert_int_equal(parse(text, &a), 0); /* 253 bytes of name */
    char out[ADDRESS_TEXT_MAX];
    assert_int_equal(address_format(&a, out), 255);
    memcpy(text + 253, "aa:1", sizeof "aa:1");
    assert_true(parse(text, &a) < 0);

    static const char nul[] = "unix:/a\0b";
    assert_true(address_parse(span_of(nul, sizeof nul - 1), keep, NULL, &a, &why) < 0);
    assert_true(address_parse(span_str("name:1"), keep_nothing, NULL, &a, &why) < 0);
    assert_true(address_parse(span_str("name:1"), NULL, NULL, &a, &why) < 0);
    assert_true(address_parse(span_str("unix:/x"), NULL, NULL, &a, &why) < 0);
    assert_int_equal(address_parse(span_str("1.2.3.4:1"), NULL, NULL, &a, &why), 0);
}

/* Against the C library, into exactly the room that is needed and into less. */
static void same_text(const struct address *a)
{
    char want[INET6_ADDRSTRLEN];
    bool mapped = a->kind == ADDRESS_V6 && memcmp(a->ip, "\0\0\0\0\0\0\0\0\0\0\377\377", 12) == 0;
    bool v4 = a->kind == ADDRESS_V4 || mapped;
    assert_non_null(
        inet_ntop(v4 ? AF_INET : AF_INET6, a->ip + (mapped ? 12 : 0), want, sizeof want));
    size_t n = strlen(want);
    char room[64];
    struct writer w = writer_of(room, sizeof room);
    w_address_ip(&w, a);
    assert_int_equal(w_len(&w), n);
    assert_memory_equal(room, want, n);
    char *exact = malloc(n);
    assert_non_null(exact);
    w = writer_of(exact, n);
    w_address_ip(&w, a);
    assert_true(w_ok(&w));
    assert_int_equal(w_len(&w), n);
    assert_memory_equal(exact, want, n);
    w = writer_of(exact, n - 1);
    w_address_ip(&w, a);
    assert_false(w_ok(&w));
    assert_int_equal(w_len(&w), 0);
    free(exact);
    char out[ADDRESS_TEXT_MAX], whole[ADDRESS_TEXT_MAX];
    assert_int_equal(address_format_ip(a, out), n);
    assert_string_equal(out, want);
    if (a->kind == ADDRESS_V6)
        assert_non_null(inet_ntop(AF_INET6, a->ip, want, sizeof want));
    snprintf(whole, sizeof whole, a->kind == ADDRESS_V4 ? "%s:%u" : "[%s]:%u", want, a->port);
    address_format(a, out);
    assert_string_equal(out, whole);
}

static void test_every_octet(void **state)
{
    (void)state;
    for (unsigned place = 0; place < 4; place++) {
        for (unsigned octet = 0; octet < 256; octet++) {
            struct address a = {.kind = ADDRESS_V4, .port = 1, .ip = {9, 10, 99, 100}};
            a.ip[place] = (uint8_t)octet;
            same_text(&a);
        }
    }
}

/* Which groups are zero, and how many digits the others have. */
static void test_every_shape_of_ipv6(void **state)
{
    (void)state;
    static const uint16_t groups[] = {0x1, 0x12, 0x123, 0x1234, 0x1000, 0x100, 0xf0, 0xffff};
    for (unsigned zeros = 0; zeros < 256; zeros++) {
        for (unsigned turn = 0; turn < ARRAY_LEN(groups) * 2; turn++) {
            struct address a = {.kind = ADDRESS_V6, .port = 443};
            for (unsigned i = 0; i < 8; i++) {
                unsigned at = turn < ARRAY_LEN(groups) ? turn : turn + i;
                unsigned group = zeros >> i & 1 ? 0 : groups[at % ARRAY_LEN(groups)];
                a.ip[2 * i] = (uint8_t)(group >> 8);
                a.ip[2 * i + 1] = (uint8_t)group;
            }
            same_text(&a);
        }
    }
    for (unsigned octet = 0; octet < 256; octet++) {
        struct address mapped = {.kind = ADDRESS_V6, .ip = {[10] = 0xff, [11] = 0xff}};
        mapped.ip[12 + octet % 4] = (uint8_t)octet;
        same_text(&mapped);
        mapped.ip[octet % 10] = 1; /* almost */
        same_text(&mapped);
    }
}

static void test_any(void **state)
{
    static const struct {
        const char *text;
        bool any;
    } cases[] = {
        {":80", true},       {"0.0.0.0:80", true},  {"[::]:80", true},  {"127.0.0.1:80", false},
        {"[::1]:80", false}, {"0.0.0.1:80", false}, {"unix:/x", false}, {"name.example:1", false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct address a;
        assert_int_equal(parse(cases[i].text, &a), 0);
        assert_int_equal(address_is_any(&a), cases[i].any);
    }
}

static void test_equal(void **state)
{
    (void)state;
    static const char *const texts[] = {"1.2.3.4:5", "1.2.3.4:6", "1.2.3.5:5", "[::1]:5",
                                        "[::1%1]:5", "[::2]:5",   "a:5",       "b:5",
                                        "unix:/a",   "unix:/b"};
    struct address a[ARRAY_LEN(texts)];
    char names[ARRAY_LEN(texts)][16];
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        assert_int_equal(parse(texts[i], &a[i]), 0);
        if (a[i].text) {
            snprintf(names[i], sizeof names[i], "%s", a[i].text);
            a[i].text = names[i];
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        for (size_t k = 0; k < ARRAY_LEN(texts); k++)
            assert_int_equal(address_equal(&a[i], &a[k]), i == k);
    }
}

static bool block_has(const char *block_text, const char *ip)
{
    const char *why;
    struct address_block block;
    struct address a;
    char text[64];
    assert_int_equal(address_block_parse(span_cstr(block_text), &block, &why), 0);
    bool v6 = strchr(ip, ':') != NULL;
    snprintf(text, sizeof text, v6 ? "[%s]:1" : "%s:1", ip);
    assert_int_equal(parse(text, &a), 0);
    return address_block_has(&block, &a);
}

static void test_blocks(void **state)
{
    (void)state;
    assert_true(block_has("10.0.0.0/8", "10.255.1.2"));
    assert_false(block_has("10.0.0.0/8", "11.0.0.0"));
    assert_true(block_has("10.1.2.4/30", "10.1.2.7"));
    assert_false(block_has("10.1.2.4/30", "10.1.2.8"));
    assert_true(block_has("0.0.0.0/0", "9.9.9.9"));
    assert_true(block_has("192.0.2.1", "192.0.2.1"));
    assert_false(block_has("192.0.2.1", "192.0.2.2"));
    assert_true(block_has("10.0.0.0/8", "::ffff:10.0.0.1"));
    assert_false(block_has("10.0.0.0/8", "::1"));
    assert_true(block_has("::1", "::1"));
    assert_false(block_has("::1", "::2"));
    assert_true(block_has("fd00::/8", "fdff::1"));
    assert_true(block_has("2001:db8::/33", "2001:db8:7fff::"));
    assert_false(block_has("2001:db8::/33", "2001:db8:8000::"));
    assert_false(block_has("::/0", "1.2.3.4"));
    assert_true(block_has("::/0", "ff02::1"));
    struct address_block block = {.kind = ADDRESS_V4};
    struct address unix_peer = {.kind = ADDRESS_UNIX, .text = ""};
    assert_false(address_block_has(&block, &unix_peer));
}

static void test_blocks_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {"",
                                       "x",
                                       "10.0.0.1/8",
                                       "10.0.0.0/33",
                                       "10.0.0.0/",
                                       "10.0.0.0/-1",
                                       "10.0.0.0/8 ",
                                       "::1/127",
                                       "::/129",
                                       "10.0.0/8",
                                       "[::1]",
                                       "10.0.0.0/08x",
                                       "10.0.0.0/0008"};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct address_block block;
        const char *why = NULL;
        if (address_block_parse(span_cstr(rows[i]), &block, &why) == 0)
            fail_msg("accepted: %s", rows[i]);
        assert_non_null(why);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_equal),
        cmocka_unit_test(test_any),
        cmocka_unit_test(test_every_octet),
        cmocka_unit_test(test_every_shape_of_ipv6),
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_blocks_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
