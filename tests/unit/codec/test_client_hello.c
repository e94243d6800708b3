/* SPDX-License-Identifier: MIT */
#include "codec/client_hello.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "client_hellos.h"

#define RECORD_HEADER 5

static uint8_t room[2 * CLIENT_HELLO_MAX];

/* The bytes in memory of their own, so that a read past their end is seen by the sanitizer. */
static int read_alone(struct span in, struct client_hello *hello)
{
    uint8_t *copy = malloc(in.n ? in.n : 1);
    assert_non_null(copy);
    if (in.n)
        memcpy(copy, in.p, in.n);
    int r = client_hello_read(span_of(copy, in.n), hello);
    free(copy);
    return r;
}

static void expect(struct span in, const char *name)
{
    struct client_hello hello;
    assert_int_equal(read_alone(in, &hello), CLIENT_HELLO_FOUND);
    assert_true(span_eq(client_hello_name(&hello), span_cstr(name)));
}

static const struct real {
    struct span bytes;
    const char *name;
} reals[] = {
    {{hello_openssl, sizeof(hello_openssl)}, "app.example.com"},
    {{hello_openssl_no_name, sizeof(hello_openssl_no_name)}, ""},
    {{hello_curl, sizeof(hello_curl)}, "shop.example.org"},
    {{hello_chromium, sizeof(hello_chromium)}, "browser.example.net"},
};

/* Whatever has come of it, until all of it has, there is more to come; what follows is no matter.
 */
static void test_every_length(void **state)
{
    (void)state;
    struct client_hello hello;
    for (size_t i = 0; i < ARRAY_LEN(reals); i++) {
        struct span all = reals[i].bytes;
        for (size_t n = 0; n < all.n; n++)
            assert_int_equal(read_alone(span_sub(all, 0, n), &hello), CLIENT_HELLO_NEED_MORE);
        expect(all, reals[i].name);
        memcpy(room, all.p, all.n);
        memset(room + all.n, 0xff, 100);
        expect(span_of(room, all.n + 100), reals[i].name);
    }
}

static void put_record(struct writer *w, struct span piece)
{
    w_u8(w, 22);
    w_u16be(w, 0x0301);
    w_u16be(w, (uint16_t)piece.n);
    w_span(w, piece);
}

/* The same messages in two records, parted anywhere, and in as many as there may be. */
static void test_every_split_over_records(void **state)
{
    (void)state;
    struct client_hello hello;
    for (size_t i = 0; i < ARRAY_LEN(reals); i++) {
        struct span message = span_from(reals[i].bytes, RECORD_HEADER);
        for (size_t at = 1; at < message.n; at++) {
            struct writer w = writer_of(room, sizeof(room));
            put_record(&w, span_sub(message, 0, at));
            assert_int_equal(read_alone(w_span_of_result(&w), &hello), CLIENT_HELLO_NEED_MORE);
            put_record(&w, span_from(message, at));
            expect(w_span_of_result(&w), reals[i].name);
        }
        size_t each = (message.n + CLIENT_HELLO_RECORDS_MAX - 1) / CLIENT_HELLO_RECORDS_MAX;
        struct writer w = writer_of(room, sizeof(room));
        for (size_t at = 0; at < message.n; at += each)
            put_record(&w, span_sub(message, at, each));
        expect(w_span_of_result(&w), reals[i].name);
    }
}

static void test_too_many_records(void **state)
{
    (void)state;
    struct client_hello hello;
    struct span message = span_from(reals[0].bytes, RECORD_HEADER);
    struct writer w = writer_of(room, sizeof(room));
    for (size_t at = 0; at < CLIENT_HELLO_RECORDS_MAX; at++) {
        assert_int_equal(read_alone(w_span_of_result(&w), &hello), CLIENT_HELLO_NEED_MORE);
        put_record(&w, span_sub(message, at, 1));
    }
    assert_int_equal(read_alone(w_span_of_result(&w), &hello), -(int)REASON_client_hello_bad);
}

/* ---- made by hand ---- */

/* A message around these extensions, in one record. */
static struct span hello_with(struct span extensions)
{
    struct writer w = writer_of(room, sizeof(room));
    size_t body = 2 + 32 + 1 + 2 + 2 + 1 + 1 + 2 + extensions.n;
    w_u8(&w, 22);
    w_u16be(&w, 0x0301);
    w_u16be(&w, (uint16_t)(4 + body));
    w_u8(&w, 1);
    w_u24be(&w, (uint32_t)body);
    w_u16be(&w, 0x0303);
    memset(w_reserve(&w, 32), 7, 32);
    w_u8(&w, 0);
    w_u16be(&w, 2);
    w_u16be(&w, 0x1301);
    w_u8(&w, 1);
    w_u8(&w, 0);
    w_u16be(&w, (uint16_t)extensions.n);
    w_span(&w, extensions);
    assert_true(w_ok(&w));
    return w_span_of_result(&w);
}

static int read_with(struct span extensions)
{
    struct client_hello hello;
    return read_alone(hello_with(extensions), &hello);
}

#define BAD(extensions) \
    assert_int_equal(read_with(span_str(extensions)), -(int)REASON_client_hello_bad)

static void test_names(void **state)
{
    (void)state;
    expect(hello_with(span_str("")), "");
    expect(hello_with(span_str("\0\0\0\6\0\4\0\0\1a")), "a");
    expect(hello_with(span_str("\0\0\0\11\0\7\0\0\4A.B.")), "a.b");
    expect(hello_with(span_str("\x12\x34\0\2hi\0\0\0\7\0\5\0\0\2_-")), "_-");
    BAD("\0\0\0\0");                               /* no list */
    BAD("\0\0\0\2\0\0");                           /* an empty one */
    BAD("\0\0\0\5\0\3\0\0\0");                     /* an empty name */
    BAD("\0\0\0\6\0\4\0\0\1.");                    /* the root alone */
    BAD("\0\0\0\7\0\5\0\0\2.a");                   /* an empty label first */
    BAD("\0\0\0\10\0\6\0\0\3a\0b");                /* a NUL */
    BAD("\0\0\0\10\0\6\0\0\3a b");                 /* a space */
    BAD("\0\0\0\6\0\4\1\0\1a");                    /* not a host's name */
    BAD("\0\0\0\12\0\10\0\0\1a\0\0\1b");           /* two */
    BAD("\0\0\0\7\0\4\0\0\1ax");                   /* bytes behind the list */
    BAD("\0\0\0\6\0\5\0\0\1a");                    /* a list longer than the extension */
    BAD("\0\0\0\6\0\4\0\0\2a");                    /* a name longer than the list */
    BAD("\0\0\0\6\0\4\0\0\1a\0\0\0\6\0\4\0\0\1a"); /* the extension twice */
}

static void test_longest_name(void **state)
{
    (void)state;
    char name[CLIENT_HELLO_NAME_MAX + 2] = {0};
    for (size_t n = CLIENT_HELLO_NAME_MAX; n <= CLIENT_HELLO_NAME_MAX + 1; n++) {
        uint8_t extension[512];
        struct writer w = writer_of(extension, sizeof(extension));
        memset(name, 'n', n);
        w_u16be(&w, 0);
        w_u16be(&w, (uint16_t)(n + 5));
        w_u16be(&w, (uint16_t)(n + 3));
        w_u8(&w, 0);
        w_u16be(&w, (uint16_t)n);
        w_bytes(&w, name, n);
        if (n == CLIENT_HELLO_NAME_MAX)
            expect(hello_with(w_span_of_result(&w)), name);
        else
            assert_int_equal(read_with(w_span_of_result(&w)), -(int)REASON_client_hello_bad);
    }
}

static void test_protocols(void **state)
{
    (void)state;
    expect(hello_with(span_str("\0\x10\0\5\0\3\2h2")), "");
    BAD("\0\x10\0\0");                           /* no list */
    BAD("\0\x10\0\2\0\0");                       /* an empty one */
    BAD("\0\x10\0\3\0\1\0");                     /* an empty name */
    BAD("\0\x10\0\5\0\3\3h2");                   /* a name longer than the list */
    BAD("\0\x10\0\6\0\3\2h2x");                  /* bytes behind it */
    BAD("\0\x10\0\5\0\3\2h2\0\x10\0\5\0\3\2h2"); /* twice */
}

static void test_many_protocols(void **state)
{
    (void)state;
    uint8_t extension[512];
    struct writer w = writer_of(extension, sizeof(extension));
    w_u16be(&w, 16);
    w_u16be(&w, 402);
    w_u16be(&w, 400);
    for (int i = 0; i < 4; i++) {
        w_u8(&w, 99);
        memset(w_reserve(&w, 99), 'p', 99);
    }
    expect(hello_with(w_span_of_result(&w)), "");
}

/* Every byte of the lengths around the extensions, one too few and one too many. */
static void test_lengths_that_lie(void **state)
{
    (void)state;
    static const size_t lengths[] = {8, 43, 45, 48, 51}; /* message, session, ciphers, … */
    struct client_hello hello;
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        for (int by = -1; by <= 1; by += 2) {
            struct span in = hello_with(span_str("\0\0\0\6\0\4\0\0\1a"));
            room[lengths[i]] = (uint8_t)(room[lengths[i]] + by);
            int r = read_alone(in, &hello);
            bool waits = i == 0 && by > 0; /* for the byte that is said to follow */
            assert_int_equal(r, waits ? CLIENT_HELLO_NEED_MORE : -(int)REASON_client_hello_bad);
        }
    }
}

static void test_not_tls(void **state)
{
    (void)state;
    struct client_hello hello;
    static const struct span others[] = {
        SPAN_INIT("G"),
        SPAN_INIT("GET / HTTP/1.1\r\n"),
        SPAN_INIT("\x80\x2e\1\0\2"),         /* SSL 2 */
        SPAN_INIT("\x16\2"),                 /* a record of no version there is */
        SPAN_INIT("\x17\3\3\0\1a"),          /* not of the handshake */
        SPAN_INIT("\x16\3\3\0\4\2\0\0\0"),   /* a ServerHello */
        SPAN_INIT("\x16\3\3\0\1\1\x15\3\3"), /* an alert between the pieces */
    };
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        assert_int_equal(read_alone(others[i], &hello), -(int)REASON_not_tls);
    assert_int_equal(read_alone(span_str("\x16\3\3\0\0"), &hello), -(int)REASON_client_hello_bad);
    assert_int_equal(read_alone(span_str("\x16\3\3\x40\1"), &hello), -(int)REASON_client_hello_bad);
}

static void test_too_long(void **state)
{
    (void)state;
    struct client_hello hello;
    struct writer w = writer_of(room, sizeof(room));
    w_u8(&w, 22);
    w_u16be(&w, 0x0301);
    w_u16be(&w, 16384);
    w_u8(&w, 1);
    w_u24be(&w, CLIENT_HELLO_MAX - 4);
    memset(room + 9, 0, sizeof(room) - 9);
    assert_int_equal(read_alone(span_of(room, CLIENT_HELLO_MAX - 1), &hello),
                     CLIENT_HELLO_NEED_MORE);
    assert_int_equal(read_alone(span_of(room, CLIENT_HELLO_MAX), &hello),
                     -(int)REASON_client_hello_bad);
    room[6] = 1; /* said to be longer than any */
    assert_int_equal(read_alone(span_of(room, 9), &hello), -(int)REASON_client_hello_bad);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_length),     cmocka_unit_test(test_every_split_over_records),
        cmocka_unit_test(test_too_many_records), cmocka_unit_test(test_names),
        cmocka_unit_test(test_longest_name),     cmocka_unit_test(test_protocols),
        cmocka_unit_test(test_many_protocols),   cmocka_unit_test(test_lengths_that_lie),
        cmocka_unit_test(test_not_tls),          cmocka_unit_test(test_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
