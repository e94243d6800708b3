/* SPDX-License-Identifier: MIT */
/* What the tables of h1_cases say, in every split. */
#include "codec/h1.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "h1_cases.h"
#include "h1_play.h"

static char whole[65536], other[65536];

static void same_in_split(struct play how, struct span in, size_t first, size_t step)
{
    how.first = first;
    how.step = step;
    play(&how, in, other, sizeof(other));
    if (strcmp(whole, other) != 0) {
        print_error("split %zu/%zu of\n%.*s\n", first, step, (int)in.n, (const char *)in.p);
        assert_string_equal(other, whole);
    }
}

/* The same transcript in one piece, in two pieces cut anywhere, and byte by byte. */
static void same_in_every_split(struct play how, struct span in)
{
    how.full = true;
    play(&how, in, whole, sizeof(whole));
    for (size_t cut = 1; cut < in.n; cut++)
        same_in_split(how, in, cut, 0);
    same_in_split(how, in, 1, 1);
    same_in_split(how, in, 2, 3);
}

static void play_case(const struct h1_case *c, struct play how)
{
    struct span in = span_of(c->in, c->in_len);
    play(&how, in, whole, sizeof(whole));
    if (strcmp(whole, c->expect) != 0) {
        print_error("line %d: %.*s\n", c->line, (int)in.n, c->in);
        assert_string_equal(whole, c->expect);
    }
    same_in_every_split(how, in);
}

static void test_request_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < h1_request_case_count; i++)
        play_case(&h1_request_cases[i], (struct play){.role = H1_REQUESTS});
}

static void test_response_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < h1_response_case_count; i++) {
        const struct h1_case *c = &h1_response_cases[i];
        play_case(c, (struct play){.role = H1_RESPONSES,
                                   .asked = c->asked,
                                   .asked_upgrade = c->asked_upgrade});
    }
}

/* Each byte value at each place of a head gives the same verdict in every split. */
static void test_every_byte_everywhere(void **state)
{
    (void)state;
    static const char text[] = "GET /a?b HTTP/1.1\r\nHost: h\r\nA: b\r\n\r\n";
    for (size_t at = 0; at < sizeof(text) - 1; at++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            uint8_t in[sizeof(text) - 1];
            memcpy(in, text, sizeof(in));
            in[at] = (uint8_t)byte;
            struct play how = {.role = H1_REQUESTS, .full = true};
            play(&how, span_of(in, sizeof(in)), whole, sizeof(whole));
            same_in_split(how, span_of(in, sizeof(in)), 1, 1);
            if ((byte < 0x20 && byte != '\t' && byte != '\r' && byte != '\n') || byte == 0x7f)
                assert_non_null(strchr(whole, '!'));
        }
    }
}

/* What is wrong is refused at its first byte, without waiting for more. */
static void test_refused_early(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        size_t n;
        const char *expect;
    } rows[] = {
        {"\x16", 1, "!bad_method"}, /* TLS */
        {"\x16\x03\x01", 3, "!bad_method"},
        {"\x80", 1, "!bad_method"},
        {"\0", 1, "!bad_method"},
        {" ", 1, "!bad_request_line"},
        {"\n", 1, "!bad_line_end"},
        {"G\n", 2, "!bad_line_end"},
        {"GET\t", 4, "!bad_method"},
        {"GET /\x01", 6, "!bad_target"},
        {"GET /\x80", 6, "!bad_target"},
        {"GET  ", 5, "!bad_request_line"},
        {"GET / X", 7, "!bad_request_line"},
        {"GET / HTTQ", 10, "!bad_request_line"},
        {"GET / HTTP/2\r", 13, "!bad_version"},
        {"GET / HTTP/1.1\n", 15, "!bad_line_end"},
        {"GET / HTTP/1.1\r\n ", 17, "!folded_field"},
        {"GET / HTTP/1.1\r\n:", 17, "!bad_field_name"},
        {"GET / HTTP/1.1\r\nA ", 18, "!bad_field_name"},
        {"GET / HTTP/1.1\r\nA:\x01", 19, "!bad_field_value"},
        {"GET / HTTP/1.1\r\nA:\n", 19, "!bad_line_end"},
        {"GET / HTTP/1.1\r\nA: b\r\n\n", 23, "!bad_line_end"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct play how = {.role = H1_REQUESTS};
        play(&how, span_of(rows[i].in, rows[i].n), whole, sizeof(whole));
        if (strcmp(whole, rows[i].expect) != 0)
            print_error("row %zu\n", i);
        assert_string_equal(whole, rows[i].expect);
        how.step = 1;
        play(&how, span_of(rows[i].in, rows[i].n), other, sizeof(other));
        assert_string_equal(other, rows[i].expect);
    }
}

static void test_without_scratch(void **state)
{
    (void)state;
    struct play how = {.role = H1_REQUESTS, .no_scratch = true};
    struct span plain = span_str("GET /a%2Fb HTTP/1.0\r\n\r\n");
    assert_string_equal(play(&how, plain, whole, sizeof(whole)), "!bad_path");
    struct span dots = span_str("GET /a/./b HTTP/1.0\r\n\r\n");
    assert_string_equal(play(&how, dots, whole, sizeof(whole)), "!bad_path");
    struct span canonical = span_str("GET /a/%20b HTTP/1.0\r\n\r\n");
    assert_string_equal(play(&how, canonical, whole, sizeof(whole)), "GET /a/%20b none|end|");
}

/* A request's reader becomes a tunnel when its 101 comes. */
static void test_tunnel(void **state)
{
    (void)state;
    struct h1_reader r;
    struct head h;
    struct h1_result res;
    head_init(&h, NULL, 0);
    h1_reader_init(&r, H1_REQUESTS, &h1_limits_default);
    struct span in = span_str("GET / HTTP/1.0\r\n\r\n");
    assert_int_equal(h1_reader_next(&r, in, &h, &res), H1_HEAD);
    assert_int_equal(h1_reader_next(&r, span_of(NULL, 0), &h, &res), H1_END);
    h1_reader_tunnel(&r);
    assert_int_equal(h1_reader_next(&r, span_str("\x01\x02"), &h, &res), H1_BODY);
    assert_int_equal(res.body.n, 2);
    assert_int_equal(h1_reader_next(&r, span_of(NULL, 0), &h, &res), H1_NEED_MORE);
    assert_int_equal(h1_reader_eof(&r), H1_END);
}

static void test_failure_is_final(void **state)
{
    (void)state;
    struct h1_reader r;
    struct head h;
    struct h1_result res;
    head_init(&h, NULL, 0);
    h1_reader_init(&r, H1_RESPONSES, &h1_limits_default);
    assert_int_equal(h1_reader_next(&r, span_str("nonsense"), &h, &res), -REASON_bad_status_line);
    assert_int_equal(res.used, 0);
    struct span good = span_str("HTTP/1.1 204 \r\n\r\n");
    assert_int_equal(h1_reader_next(&r, good, &h, &res), -REASON_bad_status_line);
    assert_int_equal(h1_reader_eof(&r), -REASON_bad_status_line);
}

static void test_field_checks(void **state)
{
    (void)state;
    assert_true(h1_field_value_ok(span_str("")));
    assert_true(h1_field_value_ok(span_str("a\tb \xc3\xa9")));
    assert_false(h1_field_value_ok(span_str(" a")));
    assert_false(h1_field_value_ok(span_str("a ")));
    assert_false(h1_field_value_ok(span_str("a\r\nb")));
    assert_false(h1_field_value_ok(span_str("a\0b")));
    assert_false(h1_field_value_ok(span_str("a\x7f")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_cases),         cmocka_unit_test(test_response_cases),
        cmocka_unit_test(test_every_byte_everywhere), cmocka_unit_test(test_refused_early),
        cmocka_unit_test(test_without_scratch),       cmocka_unit_test(test_tunnel),
        cmocka_unit_test(test_failure_is_final),      cmocka_unit_test(test_field_checks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
