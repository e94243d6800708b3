/* SPDX-License-Identifier: MIT */
#include "codec/h1_write.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "codec/h1.h"

static uint8_t scratch[URI_PATH_MAX];
static uint8_t out[HTTP_HEAD_MAX + 1024];
static struct head head;

static void parse(enum h1_role role, struct span text)
{
    struct h1_reader reader;
    struct h1_result res;
    head_init(&head, scratch, sizeof(scratch));
    h1_reader_init(&reader, role, &h1_limits_default);
    if (role == H1_RESPONSES)
        h1_reader_expect(&reader, METHOD_GET, true);
    assert_int_equal(h1_reader_next(&reader, text, &head, &res), H1_HEAD);
    assert_int_equal(res.used, text.n);
}

static void written(const struct writer *w, const char *expect)
{
    assert_true(w_ok(w));
    assert_int_equal(w_len(w), strlen(expect));
    assert_memory_equal(out, expect, w_len(w));
}

static void test_request_lines(void **state)
{
    (void)state;
    static const struct {
        struct span in;
        const char *line;
    } rows[] = {
        {SPAN_INIT("GET / HTTP/1.0\r\n\r\n"), "GET / HTTP/1.1\r\n"},
        {SPAN_INIT("X-y /a/../%61?q HTTP/1.0\r\n\r\n"), "X-y /a?q HTTP/1.1\r\n"},
        {SPAN_INIT("GET /? HTTP/1.0\r\n\r\n"), "GET /? HTTP/1.1\r\n"},
        {SPAN_INIT("OPTIONS * HTTP/1.0\r\n\r\n"), "OPTIONS * HTTP/1.1\r\n"},
        {SPAN_INIT("OPTIONS http://h HTTP/1.0\r\n\r\n"), "OPTIONS * HTTP/1.1\r\n"},
        {SPAN_INIT("GET http://h HTTP/1.0\r\n\r\n"), "GET / HTTP/1.1\r\n"},
        {SPAN_INIT("GET http://h?a HTTP/1.0\r\n\r\n"), "GET /?a HTTP/1.1\r\n"},
        {SPAN_INIT("GET http://h/a?b HTTP/1.0\r\n\r\n"), "GET /a?b HTTP/1.1\r\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct writer w = writer_of(out, sizeof(out));
        parse(H1_REQUESTS, rows[i].in);
        h1_write_request_line(&w, &head);
        written(&w, rows[i].line);
    }
}

static void test_status_lines(void **state)
{
    (void)state;
    struct writer w = writer_of(out, sizeof(out));
    parse(H1_RESPONSES, span_str("HTTP/1.0 404 Not there\r\n\r\n"));
    h1_write_status_line(&w, &head);
    parse(H1_RESPONSES, span_str("HTTP/1.1 200\r\n\r\n"));
    h1_write_status_line(&w, &head);
    written(&w, "HTTP/1.1 404 Not there\r\nHTTP/1.1 200 \r\n");
}

static void fields_are(const char *in, uint64_t drop, const char *expect)
{
    uint8_t text[2048];
    struct writer w = writer_of(text, sizeof(text));
    w_str(&w, "GET / HTTP/1.1\r\n");
    w_str(&w, in);
    w_str(&w, "\r\n");
    parse(H1_REQUESTS, w_span_of_result(&w));
    w = writer_of(out, sizeof(out));
    h1_write_fields(&w, &head, drop);
    written(&w, expect);
}

static void test_fields(void **state)
{
    (void)state;
    fields_are("Host: h\r\n", 0, "Host: h\r\n");
    fields_are("Host: h\r\n", 1ULL << FIELD_HOST, "");
}

/* What is hop-by-hop stays behind; what Connection may not take away does not. */
static void test_hop_by_hop(void **state)
{
    (void)state;
#define HOST "Host: h\r\n"
    fields_are(HOST "Connection: close\r\nA: b\r\n", 0, HOST "A: b\r\n");
    fields_are("A: b\r\nConnection: X-One, x-two\r\n" HOST "X-ONE: 1\r\nX-Two: 2\r\nX-Three: 3\r\n",
               0, "A: b\r\n" HOST "X-Three: 3\r\n");
    fields_are("X-One: 1\r\n" HOST "X-One: 2\r\nConnection: x-one\r\nConnection: a\r\nA: b\r\n", 0,
               HOST);
    fields_are(HOST "Keep-Alive: 1\r\nProxy-Connection: a\r\nTE: trailers\r\nUpgrade: a\r\n"
                    "HTTP2-Settings: a\r\nTrailer: X\r\nA: b\r\n",
               0, HOST "Trailer: X\r\nA: b\r\n");
    fields_are(HOST "Transfer-Encoding: chunked\r\nA: b\r\n", 0, HOST "A: b\r\n");
    fields_are(HOST "Trailer: X\r\nConnection: trailer\r\n", 0, HOST);
    fields_are("Connection: host, content-length, authorization, cookie, content-type,"
               "content-encoding, content-range, cache-control, transfer-encoding\r\n" HOST
               "Content-Length: 1\r\nAuthorization: a\r\nCookie: b\r\nContent-Type: c/d\r\n"
               "Content-Encoding: e\r\nContent-Range: f\r\nCache-Control: g\r\n",
               0,
               HOST "Content-Length: 1\r\nAuthorization: a\r\nCookie: b\r\nContent-Type: c/d\r\n"
                    "Content-Encoding: e\r\nContent-Range: f\r\nCache-Control: g\r\n");
    fields_are("Connection: x-forwarded-for\r\n" HOST "X-Forwarded-For: 1.2.3.4\r\n", 0,
               HOST "X-Forwarded-For: 1.2.3.4\r\n");
    /* The CGI convention makes these the same as the known names, so they do not pass beside them.
     */
    fields_are(HOST "X_Forwarded_For: 1\r\nContent_Length: 5\r\nhost_: a\r\nMy_Own: b\r\n", 0,
               HOST "host_: a\r\nMy_Own: b\r\n");
    fields_are("Connection: close, keep-alive, upgrade\r\n" HOST "Close: a\r\nUpgrade: b\r\n", 0,
               HOST "Close: a\r\n");
    fields_are(HOST "X-Forwarded-For: 1\r\nA: b\r\nX-Forwarded-Proto: http\r\nC: d\r\n",
               1ULL << FIELD_X_FORWARDED_FOR | 1ULL << FIELD_X_FORWARDED_PROTO,
               HOST "A: b\r\nC: d\r\n");
    assert_int_equal(head.hop_count, 0);
}

static void test_single_fields(void **state)
{
    (void)state;
    struct writer w = writer_of(out, sizeof(out));
    h1_write_field(&w, span_str("X-A"), span_str("b c"));
    h1_write_content_length(&w, UINT64_MAX);
    h1_write_head_end(&w);
    written(&w, "X-A: b c\r\nContent-Length: 18446744073709551615\r\n\r\n");
    uint8_t small[8];
    w = writer_of(small, sizeof(small));
    h1_write_field(&w, span_str("X-A"), span_str("b c"));
    assert_false(w_ok(&w));
    assert_int_equal(w_len(&w), 0);
}

static void test_chunks(void **state)
{
    (void)state;
    struct writer w = writer_of(out, sizeof(out));
    uint8_t text[H1_CHUNK_BEGIN_MAX];
    static const uint64_t sizes[] = {1, 15, 16, 4096, UINT64_MAX};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        w_bytes(&w, text, h1_chunk_begin(text, sizes[i], i == 0));
    h1_write_chunk_last(&w, false, span_str("A: b\r\n"));
    h1_write_chunk_last(&w, true, span_of(NULL, 0));
    written(&w, "1\r\n\r\nf\r\n\r\n10\r\n\r\n1000\r\n\r\nffffffffffffffff\r\n\r\n0\r\nA: b\r\n\r\n"
                "0\r\n\r\n");
}

static void test_phrases(void **state)
{
    (void)state;
    assert_string_equal(h1_status_phrase(200), "OK");
    assert_string_equal(h1_status_phrase(505), "HTTP Version Not Supported");
    assert_string_equal(h1_status_phrase(299), "");
}

/* ---- write(parse(x)) parses to the same --------------------------------------------------------
 */

static uint32_t seed;

static uint32_t below(uint32_t n)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % n;
}

static void random_text(struct writer *w, const char *of, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        w_u8(w, (uint8_t)of[below((uint32_t)strlen(of))]);
}

static void random_request(struct writer *w)
{
    static const char *const names[] = {"Accept", "x-a", "Cookie", "X_B", "ETag", "!#$", "Date"};
    static const char *const paths[] = {"/", "/a/b", "/a/../b", "/%61", "//x/./y", "/c%20d"};
    random_text(w, "ABCXYZ-", 1 + below(9));
    w_printf(w, " %s", paths[below(ARRAY_LEN(paths))]);
    if (below(2)) {
        w_str(w, "?");
        random_text(w, "ab=&?/%[]", below(12));
    }
    w_str(w, " HTTP/1.1\r\nHost: h\r\n");
    for (uint32_t i = below(20); i > 0; i--) {
        w_printf(w, "%s:%s", names[below(ARRAY_LEN(names))], below(2) ? " " : "");
        random_text(w, "ab,;\"\x80\xff \t=", below(30));
        w_str(w, below(2) ? "\r\n" : " \r\n");
        if (below(8) == 0)
            w_str(w, "Connection: x-a\r\n");
    }
    w_str(w, "\r\n");
}

static void write_again(struct writer *w)
{
    h1_write_request_line(w, &head);
    h1_write_fields(w, &head, 0);
    h1_write_head_end(w);
    assert_true(w_ok(w));
}

static void test_round_trip(void **state)
{
    (void)state;
    static uint8_t text[4096], again[4096];
    for (seed = 1; seed < 20000; seed++) {
        uint32_t keep = seed;
        struct writer w = writer_of(text, sizeof(text));
        random_request(&w);
        assert_true(w_ok(&w));
        parse(H1_REQUESTS, w_span_of_result(&w));
        unsigned fields = head.field_count - head.hop_count;

        struct writer first = writer_of(out, sizeof(out));
        write_again(&first);
        parse(H1_REQUESTS, w_span_of_result(&first));
        assert_int_equal(head.field_count, fields);
        assert_int_equal(head.hop_count, 0);
        assert_false(head.path_in_scratch);

        struct writer second = writer_of(again, sizeof(again));
        write_again(&second);
        assert_true(span_eq(w_span_of_result(&first), w_span_of_result(&second)));
        seed = keep;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_lines), cmocka_unit_test(test_status_lines),
        cmocka_unit_test(test_fields),        cmocka_unit_test(test_hop_by_hop),
        cmocka_unit_test(test_single_fields), cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_phrases),       cmocka_unit_test(test_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
