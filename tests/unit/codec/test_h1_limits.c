/* SPDX-License-Identifier: MIT */
/*
 * Limits at exactly the maximum and one past it, in one piece and byte by byte, and that feeding
 * byte by byte costs linear work. The parser is included, to count the bytes it looks at.
 */
#include <stddef.h>

/* The portable scanner, so that the parser is tested over both: test_h1 has the wide one. */
#define SCAN_PORTABLE 1

static size_t looked;
#define SCAN_LOOKED(bytes) (looked += (bytes))

#include "codec/h1.c"
#include "codec/h1_chunk.c"
#undef BIT
#include "codec/h1_field.c"
#include "codec/h1_start.c"
#undef VERSION_LEN
#undef STATUS_LEN
#include "codec/h1_usual.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "h1_play.h"

static char whole[1 << 20], bytewise[1 << 20];
static uint8_t text[1 << 17];
static struct writer in;

static void begin(const char *start)
{
    in = writer_of(text, sizeof(text));
    w_str(&in, start);
}

static void repeat(char c, size_t n)
{
    for (size_t i = 0; i < n; i++)
        w_u8(&in, (uint8_t)c);
}

/* The transcript of what was written, the same in both ways of feeding, starts with `expect`. */
static void expect(enum h1_role role, const struct h1_limits *limits, const char *start)
{
    struct play how = {.role = role, .limits = limits, .full = true};
    assert_true(w_ok(&in));
    play(&how, w_span_of_result(&in), whole, sizeof(whole));
    how.step = 1;
    play(&how, w_span_of_result(&in), bytewise, sizeof(bytewise));
    assert_string_equal(whole, bytewise);
    how.full = false;
    how.step = 0;
    play(&how, w_span_of_result(&in), whole, sizeof(whole));
    if (strncmp(whole, start, strlen(start)) != 0)
        assert_string_equal(whole, start);
}

static void request_of_target(size_t n, char c)
{
    begin("GET /?");
    repeat(c, n - 2);
    w_str(&in, " HTTP/1.0\r\n\r\n");
}

static void test_request_line(void **state)
{
    (void)state;
    size_t around = strlen("GET  HTTP/1.0");
    request_of_target(HTTP_LINE_MAX - around, 'a');
    expect(H1_REQUESTS, NULL, "GET /?aaa");
    request_of_target(HTTP_LINE_MAX - around + 1, 'a');
    expect(H1_REQUESTS, NULL, "!target_too_long");
    begin("GET /");
    repeat('a', HTTP_LINE_MAX - 4); /* refused without its end */
    expect(H1_REQUESTS, NULL, "!target_too_long");
}

static void test_path(void **state)
{
    (void)state;
    for (size_t n = URI_PATH_MAX; n <= URI_PATH_MAX + 1; n++) {
        begin("GET /");
        repeat('a', n - 1);
        w_str(&in, " HTTP/1.0\r\n\r\n");
        expect(H1_REQUESTS, NULL, n > URI_PATH_MAX ? "!target_too_long" : "GET /aaa");
    }
}

static void test_method(void **state)
{
    (void)state;
    begin("");
    repeat('A', HTTP_METHOD_MAX);
    expect(H1_REQUESTS, NULL, "eof:!client_closed");
    repeat('A', 1);
    expect(H1_REQUESTS, NULL, "!bad_method");
}

static void test_field_line(void **state)
{
    (void)state;
    for (size_t n = HTTP_LINE_MAX; n <= HTTP_LINE_MAX + 1; n++) {
        begin("GET / HTTP/1.0\r\nA: ");
        repeat('b', n - 3);
        expect(H1_REQUESTS, NULL, n > HTTP_LINE_MAX ? "!head_too_large" : "eof:");
        w_str(&in, "\r\n\r\n");
        expect(H1_REQUESTS, NULL, n > HTTP_LINE_MAX ? "!head_too_large" : "GET / none|end|");
        begin("HTTP/1.1 204 x\r\nA: ");
        repeat('b', n - 3);
        w_str(&in, "\r\n\r\n");
        expect(H1_RESPONSES, NULL, n > HTTP_LINE_MAX ? "!response_head_too_large" : "204 x");
    }
}

static void test_status_line(void **state)
{
    (void)state;
    for (size_t n = HTTP_LINE_MAX; n <= HTTP_LINE_MAX + 1; n++) {
        begin("HTTP/1.1 204 ");
        repeat('b', n - 13);
        w_str(&in, "\r\n\r\n");
        expect(H1_RESPONSES, NULL, n > HTTP_LINE_MAX ? "!response_head_too_large" : "204 b");
    }
}

static void test_field_name(void **state)
{
    (void)state;
    for (size_t n = HTTP_NAME_MAX; n <= HTTP_NAME_MAX + 1; n++) {
        begin("GET / HTTP/1.0\r\n");
        repeat('b', n);
        expect(H1_REQUESTS, NULL, n > HTTP_NAME_MAX ? "!head_too_large" : "eof:");
        w_str(&in, ":\r\n\r\n");
        expect(H1_REQUESTS, NULL, n > HTTP_NAME_MAX ? "!head_too_large" : "GET / none|end|");
    }
}

static void test_field_count(void **state)
{
    (void)state;
    for (size_t n = HTTP_FIELDS_MAX; n <= HTTP_FIELDS_MAX + 1; n++) {
        begin("GET / HTTP/1.0\r\n");
        for (size_t i = 0; i < n; i++)
            w_str(&in, "A:\r\n");
        w_str(&in, "\r\n");
        expect(H1_REQUESTS, NULL, n > HTTP_FIELDS_MAX ? "!too_many_fields" : "GET / none|end|");
    }
}

static void test_head(void **state)
{
    (void)state;
    for (size_t n = HTTP_HEAD_MAX; n <= HTTP_HEAD_MAX + 1; n++) {
        begin("GET / HTTP/1.0\r\n");
        for (int i = 0; i < 6; i++) {
            w_str(&in, "A:");
            repeat('b', 5000);
            w_str(&in, "\r\n");
        }
        w_str(&in, "A:");
        repeat('b', n - w_len(&in) - 4);
        w_str(&in, "\r\n\r\n");
        assert_int_equal(w_len(&in), n);
        expect(H1_REQUESTS, NULL, n > HTTP_HEAD_MAX ? "!head_too_large" : "GET / none|end|");
    }
}

static void test_own_limits(void **state)
{
    (void)state;
    static const struct h1_limits limits = {.line_bytes = 14, .head_bytes = 40, .fields = 2};
    static const struct {
        const char *in;
        const char *expect;
    } rows[] = {
        {"GET / HTTP/1.0\r\n\r\n", "GET / none|end|"},
        {"GET /a HTTP/1.0\r\n\r\n", "!target_too_long"},
        {"GET / HTTP/1.0\r\nA: 34567890123\r\n\r\n", "GET / none|end|"},
        {"GET / HTTP/1.0\r\nA: 345678901234\r\n\r\n", "!head_too_large"},
        {"GET / HTTP/1.0\r\nA:\r\nB:\r\n\r\n", "GET / none|end|"},
        {"GET / HTTP/1.0\r\nA:\r\nB:\r\nC:\r\n\r\n", "!too_many_fields"},
        {"GET / HTTP/1.0\r\nA:345678\r\nB:34567890\r\n\r\n", "GET / none|end|"},
        {"GET / HTTP/1.0\r\nA:3456789\r\nB:34567890\r\n\r\n", "!head_too_large"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        begin(rows[i].in);
        expect(H1_REQUESTS, &limits, rows[i].expect);
    }
}

#define CHUNKED      "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
#define CHUNKED_HEAD "POST / chunked keep|"

static void test_chunk_extension(void **state)
{
    (void)state;
    for (size_t n = HTTP_CHUNK_EXT_MAX; n <= HTTP_CHUNK_EXT_MAX + 1; n++) {
        begin(CHUNKED "1;");
        repeat('a', n - 1);
        w_str(&in, "\r\nx\r\n0\r\n\r\n");
        expect(H1_REQUESTS, NULL,
               n > HTTP_CHUNK_EXT_MAX ? CHUNKED_HEAD "!bad_chunk" : CHUNKED_HEAD "body:x|end|");
    }
}

/* Extensions of a fair size may go on for ever; those that outgrow the body may not. */
static void test_chunk_extension_debt(void **state)
{
    (void)state;
    begin(CHUNKED);
    for (int i = 0; i < 300; i++) {
        w_str(&in, "64;");
        repeat('s', 80);
        w_str(&in, "\r\n");
        repeat('x', 100);
        w_str(&in, "\r\n");
    }
    w_str(&in, "0\r\n\r\n");
    expect(H1_REQUESTS, NULL, CHUNKED_HEAD "body:xxx");
    assert_string_equal(whole + strlen(whole) - 5, "|end|");

    begin(CHUNKED);
    for (int i = 0; i < 300; i++) {
        w_str(&in, "1;");
        repeat('s', 80);
        w_str(&in, "\r\nx\r\n");
    }
    expect(H1_REQUESTS, NULL, CHUNKED_HEAD "body:xxx");
    assert_string_equal(whole + strlen(whole) - 11, "|!bad_chunk");
}

static void test_trailers(void **state)
{
    (void)state;
    for (size_t n = HTTP_TRAILER_FIELDS_MAX; n <= HTTP_TRAILER_FIELDS_MAX + 1; n++) {
        begin(CHUNKED "0\r\n");
        for (size_t i = 0; i < n; i++)
            w_str(&in, "A:\r\n");
        w_str(&in, "\r\n");
        expect(H1_REQUESTS, NULL,
               n > HTTP_TRAILER_FIELDS_MAX ? CHUNKED_HEAD "!head_too_large" : CHUNKED_HEAD "end");
    }
    for (size_t n = HTTP_TRAILER_BYTES_MAX; n <= HTTP_TRAILER_BYTES_MAX + 1; n++) {
        begin(CHUNKED "0\r\nA:");
        repeat('b', 4000);
        w_str(&in, "\r\nB:");
        repeat('b', n - 4000 - 10);
        w_str(&in, "\r\n\r\n");
        expect(H1_REQUESTS, NULL,
               n > HTTP_TRAILER_BYTES_MAX ? CHUNKED_HEAD "!head_too_large" : CHUNKED_HEAD "end");
    }
}

/* The largest head, byte by byte, without the copies of h1_play: every byte is looked at a few
 * times, not once per byte that follows it. */
static void test_work_is_linear(void **state)
{
    (void)state;
    static struct head head;
    struct h1_reader reader;
    struct h1_result res;
    begin("GET /");
    repeat('p', 4000);
    w_str(&in, " HTTP/1.1\r\nHost: h\r\n");
    repeat('n', 250);
    w_str(&in, ": ");
    repeat('v', 7000);
    for (int i = 0; i < 90; i++)
        w_str(&in, "\r\nname-of-field: some value");
    w_str(&in, "\r\n\r\n");
    struct span all = w_span_of_result(&in);

    head_init(&head, NULL, 0);
    h1_reader_init(&reader, H1_REQUESTS, &h1_limits_default);
    looked = 0;
    assert_int_equal(h1_reader_next(&reader, all, &head, &res), H1_HEAD);
    assert_true(looked >= all.n / 2); /* it does count */
    assert_true(looked <= 2 * all.n);

    h1_reader_init(&reader, H1_REQUESTS, &h1_limits_default);
    looked = 0;
    for (size_t n = 1; n < all.n; n++)
        assert_int_equal(h1_reader_next(&reader, span_of(all.p, n), &head, &res), H1_NEED_MORE);
    assert_int_equal(h1_reader_next(&reader, all, &head, &res), H1_HEAD);
    assert_true(looked <= 4 * all.n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_line),
        cmocka_unit_test(test_path),
        cmocka_unit_test(test_method),
        cmocka_unit_test(test_field_line),
        cmocka_unit_test(test_status_line),
        cmocka_unit_test(test_field_name),
        cmocka_unit_test(test_field_count),
        cmocka_unit_test(test_head),
        cmocka_unit_test(test_own_limits),
        cmocka_unit_test(test_chunk_extension),
        cmocka_unit_test(test_chunk_extension_debt),
        cmocka_unit_test(test_trailers),
        cmocka_unit_test(test_work_is_linear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
