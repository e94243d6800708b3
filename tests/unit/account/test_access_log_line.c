/* SPDX-License-Identifier: MIT */
/* One record, one line: expected texts, and bytes chosen by somebody who means harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "account/access_log_line.h"
#include "account/record_pack.h"

static struct record sample(void)
{
    return (struct record){
        .start_wall_ms = 1795251600123, /* 2026-11-21T09:00:00.123Z */
        .client = {.kind = ADDRESS_V4, .port = 40000, .ip = {192, 0, 2, 7}},
        .listener = span_str("web"),
        .route = span_str("web[0]"),
        .pool = span_str("app"),
        .backend = span_str("B1"),
        .http = true,
        .method = span_str("GET"),
        .target = span_str("/a?b=c"),
        .host = span_str("example.org"),
        .user_agent = span_str("curl/7.88"),
        .referer = span_str("http://example.org/"),
        .request_id = span_str("0123456789abcdef"),
        .version_minor = 1,
        .status = 200,
        .bytes_in = 78,
        .bytes_out = 213,
        .queue_us = 0,
        .connect_us = 120,
        .response_us = 1500,
        .total_us = 2000001,
        .retries = 1,
        .reason = REASON_ok,
    };
}

static const char *line_of(enum access_log_format format, const struct record *r)
{
    static char line[ACCESS_RECORD_MAX + 1];
    static struct access_log_second second;
    line[access_log_line(line, format, r, &second)] = '\0';
    return line;
}

static struct span pack(const struct record *r)
{
    static uint8_t packed[RECORD_PACKED_MAX];
    size_t n = record_packed_bytes(r);
    assert_true(n <= sizeof(packed));
    record_pack(r, packed);
    return span_of(packed, n);
}

static void json_has_every_field(void **state)
{
    (void)state;
    struct record r = sample();
    assert_string_equal(
        line_of(ACCESS_LOG_JSON, &r),
        "{\"time\":\"2026-11-21T09:00:00.123Z\",\"client\":\"192.0.2.7:40000\","
        "\"listener\":\"web\",\"route\":\"web[0]\",\"pool\":\"app\",\"backend\":\"B1\","
        "\"protocol\":\"HTTP/1.1\","
        "\"method\":\"GET\",\"host\":\"example.org\",\"target\":\"/a?b=c\",\"status\":200,"
        "\"bytes_in\":78,\"bytes_out\":213,\"queue\":0.000000,\"connect\":0.000120,"
        "\"response\":0.001500,\"total\":2.000001,\"retries\":1,"
        "\"request_id\":\"0123456789abcdef\",\"user_agent\":\"curl/7.88\","
        "\"referer\":\"http://example.org/\",\"made_here\":false,\"reason\":\"ok\","
        "\"reason_text\":\"The exchange completed.\"}\n");
}

static void json_says_null_where_there_was_nothing(void **state)
{
    (void)state;
    struct record r = {.start_wall_ms = 0,
                       .client = {.kind = ADDRESS_UNIX},
                       .listener = span_str("db"),
                       .reason = REASON_no_backend};
    assert_string_equal(
        line_of(ACCESS_LOG_JSON, &r),
        "{\"time\":\"1970-01-01T00:00:00.000Z\",\"client\":\"unix:\",\"listener\":\"db\","
        "\"route\":null,\"pool\":null,\"backend\":null,\"protocol\":\"TCP\",\"method\":null,"
        "\"host\":null,\"target\":null,\"status\":null,\"bytes_in\":0,\"bytes_out\":0,"
        "\"queue\":0.000000,\"connect\":0.000000,\"response\":0.000000,\"total\":0.000000,"
        "\"retries\":0,\"request_id\":null,\"user_agent\":null,\"referer\":null,"
        "\"made_here\":false,\"reason\":\"no_backend\",\"reason_text\":\"No backend of the pool is "
        "available.\"}\n");
}

static void a_request_that_could_not_be_read(void **state)
{
    (void)state;
    struct record r = {.http = true, .status = 400, .made_here = true, .reason = REASON_bad_host};
    assert_non_null(strstr(line_of(ACCESS_LOG_JSON, &r), "\"protocol\":\"HTTP\",\"method\":null"));
    assert_string_equal(line_of(ACCESS_LOG_COMBINED, &r),
                        "- - - [01/Jan/1970:00:00:00 +0000] \"-\" 400 0 \"-\" \"-\"\n");
}

static void combined_is_what_others_write(void **state)
{
    (void)state;
    struct record r = sample();
    assert_string_equal(
        line_of(ACCESS_LOG_COMBINED, &r),
        "192.0.2.7 - - [21/Nov/2026:09:00:00 +0000] \"GET /a?b=c HTTP/1.1\" 200 213 "
        "\"http://example.org/\" \"curl/7.88\"\n");
    r.user_agent = r.referer = (struct span){0};
    r.version_minor = 0;
    r.client = (struct address){.kind = ADDRESS_V6, .port = 1, .ip = {[15] = 1}};
    assert_string_equal(
        line_of(ACCESS_LOG_COMBINED, &r),
        "::1 - - [21/Nov/2026:09:00:00 +0000] \"GET /a?b=c HTTP/1.0\" 200 213 \"-\" "
        "\"-\"\n");
}

static void combined_of_a_tcp_connection(void **state)
{
    (void)state;
    struct record r = sample();
    r.http = false;
    r.method = r.target = r.user_agent = r.referer = (struct span){0};
    r.status = 0;
    assert_string_equal(line_of(ACCESS_LOG_COMBINED, &r),
                        "192.0.2.7 - - [21/Nov/2026:09:00:00 +0000] \"-\" 000 213 \"-\" \"-\"\n");
}

static void common_is_combined_without_the_rest(void **state)
{
    (void)state;
    struct record r = sample();
    assert_string_equal(
        line_of(ACCESS_LOG_CLF, &r),
        "192.0.2.7 - - [21/Nov/2026:09:00:00 +0000] \"GET /a?b=c HTTP/1.1\" 200 213\n");
}

static void haproxy_is_what_its_readers_expect(void **state)
{
    (void)state;
    struct record r = sample();
    r.request_id = span_str("a{b}|#\"");
    r.queue_us = 7000;
    assert_string_equal(line_of(ACCESS_LOG_HAPROXY, &r),
                        "192.0.2.7:40000 [21/Nov/2026:09:00:00.123] web app/B1 0/7/0/1/2000 200 "
                        "213 - - ---- 0/0/0/0/1 0/0 {a#7Bb#7D#7C#23#22} \"GET /a?b=c HTTP/1.1\"\n");
    r.http = false;
    assert_string_equal(line_of(ACCESS_LOG_HAPROXY, &r),
                        "192.0.2.7:40000 [21/Nov/2026:09:00:00.123] web app/B1 7/0/2000 213 -- "
                        "0/0/0/0/1 0/0\n");
}

/* The letters of an end, and the timers of phases that were never reached. */
static void haproxy_says_how_it_ended(void **state)
{
    static const struct {
        enum reason reason;
        uint16_t status;
        bool made_here, no_backend, tcp;
        const char *timers, *letters;
    } cases[] = {
        {REASON_ok, 200, false, false, false, " 0/0/0/1/2000 200 ", " ---- "},
        {REASON_no_route, 404, true, true, false, " 0/-1/-1/-1/2000 404 ", " PR-- "},
        {REASON_bad_host, 400, true, true, false, " 0/-1/-1/-1/2000 400 ", " PR-- "},
        {REASON_request_timeout, 408, true, true, false, " 0/-1/-1/-1/2000 408 ", " cR-- "},
        {REASON_no_backend, 503, true, true, false, " 0/0/-1/-1/2000 503 ", " SC-- "},
        {REASON_queue_full, 503, true, true, false, " 0/0/-1/-1/2000 503 ", " PQ-- "},
        {REASON_queue_timeout, 503, true, true, false, " 0/0/-1/-1/2000 503 ", " sQ-- "},
        {REASON_connect_refused, 502, true, false, false, " 0/0/-1/-1/2000 502 ", " SC-- "},
        {REASON_connect_timeout, 504, true, false, false, " 0/0/-1/-1/2000 504 ", " sC-- "},
        {REASON_response_timeout, 504, true, false, false, " 0/0/0/-1/2000 504 ", " sH-- "},
        {REASON_bad_status_line, 502, true, false, false, " 0/0/0/-1/2000 502 ", " PH-- "},
        {REASON_backend_closed, 502, true, false, false, " 0/0/0/-1/2000 502 ", " SH-- "},
        {REASON_backend_closed, 200, false, false, false, " 0/0/0/1/2000 200 ", " SD-- "},
        {REASON_client_closed, 0, false, false, false, " 0/0/0/-1/2000 -1 ", " CH-- "},
        {REASON_client_closed, 200, false, false, false, " 0/0/0/1/2000 200 ", " CD-- "},
        {REASON_client_closed, 0, false, true, false, " 0/-1/-1/-1/2000 -1 ", " CR-- "},
        {REASON_idle_timeout, 0, false, false, true, " 0/0/2000 213 ", " cD "},
        {REASON_connect_refused, 0, false, false, true, " 0/-1/2000 213 ", " SC "},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct record r = sample();
        r.reason = cases[i].reason;
        r.status = cases[i].status;
        r.made_here = cases[i].made_here;
        r.http = !cases[i].tcp;
        if (cases[i].no_backend)
            r.backend = (struct span){0};
        const char *line = line_of(ACCESS_LOG_HAPROXY, &r);
        if (!strstr(line, cases[i].timers) || !strstr(line, cases[i].letters))
            fail_msg("%zu: %s", i, line);
    }
    struct record r = {.http = true, .status = 400, .made_here = true, .reason = REASON_bad_host};
    assert_string_equal(line_of(ACCESS_LOG_HAPROXY, &r),
                        "- [01/Jan/1970:00:00:00.000] - -/<NOSRV> -1/-1/-1/-1/0 400 0 - - PR-- "
                        "0/0/0/0/0 0/0 {} \"<BADREQ>\"\n");
}

static void combined_escapes_what_could_forge(void **state)
{
    (void)state;
    struct record r = sample();
    r.target = span_str("/\" 200 1\n1.2.3.4 - -");
    r.user_agent = span_str("a\\b\"c\x7f\xff\x1b[31m\0d");
    r.referer = (struct span){0};
    assert_string_equal(line_of(ACCESS_LOG_COMBINED, &r),
                        "192.0.2.7 - - [21/Nov/2026:09:00:00 +0000] \"GET "
                        "/\\x22 200 1\\x0A1.2.3.4 - - HTTP/1.1\" 200 213 \"-\" "
                        "\"a\\x5Cb\\x22c\\x7F\\xFF\\x1B[31m\\x00d\"\n");
}

static void json_escapes_what_could_forge(void **state)
{
    (void)state;
    struct record r = sample();
    r.target = span_str("/\"}\n{\"\\\x01\xff\xc3\xa9\xed\xa0\x80");
    const char *line = line_of(ACCESS_LOG_JSON, &r);
    assert_non_null(strstr(line, "\"target\":\"/\\\"}\\n{\\\"\\\\\\u0001"));
    assert_non_null(strstr(line, "\xc3\xa9")); /* good UTF-8 stays */
    assert_null(strchr(line, '\xff'));
    assert_null(strstr(line, "\xed\xa0\x80")); /* half a surrogate pair does not */
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
}

/* Every byte value, in every text, in every format: always one printable line. */
static void any_byte_anywhere_is_one_line(void **state)
{
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        uint8_t text[3] = {'a', (uint8_t)byte, 'b'};
        struct span s = span_of(text, sizeof(text));
        struct record r = sample();
        r.method = r.target = r.host = r.user_agent = r.referer = r.request_id = s;
        r.listener = r.route = r.pool = r.backend = s;
        for (int format = ACCESS_LOG_JSON; format <= ACCESS_LOG_HAPROXY; format++) {
            const char *line = line_of((enum access_log_format)format, &r);
            size_t n = strlen(line);
            for (size_t i = 0; i < n - 1; i++)
                assert_false(ascii_is_control((uint8_t)line[i]));
            assert_int_equal(line[n - 1], '\n');
        }
    }
}

static void an_ordinary_target_is_never_cut(void **state)
{
    (void)state;
    static char target[URI_MAX];
    memset(target, 'x', sizeof(target));
    struct record r = sample();
    r.target = span_of(target, sizeof(target));
    for (int format = ACCESS_LOG_JSON; format <= ACCESS_LOG_HAPROXY; format++) {
        const char *line = line_of((enum access_log_format)format, &r);
        assert_null(strstr(line, "..."));
        assert_true(strlen(line) > sizeof(target));
    }
}

static void the_longest_of_everything_fits(void **state)
{
    (void)state;
    static const uint8_t worst[] = {0x01, 0xff, '"'};
    static uint8_t text[2 * URI_MAX];
    for (size_t w = 0; w < sizeof(worst); w++) {
        memset(text, worst[w], sizeof(text));
        struct span s = span_of(text, sizeof(text));
        struct record r = sample(), cut;
        r.method = r.target = r.host = r.user_agent = r.referer = r.request_id = s;
        r.listener = r.route = r.pool = r.backend = s;
        r.tls_version = r.tls_cipher = r.sni = r.client_subject = s;
        r.bytes_in = r.bytes_out = r.queue_us = r.connect_us = UINT64_MAX;
        r.response_us = r.total_us = UINT64_MAX;
        r.retries = UINT32_MAX;
        record_unpack(pack(&r), &cut);
        for (int format = ACCESS_LOG_JSON; format <= ACCESS_LOG_HAPROXY; format++) {
            assert_non_null(strstr(line_of((enum access_log_format)format, &cut), "..."));
            /* Also what was never packed: the bounds of the line are its own. */
            assert_true(strlen(line_of((enum access_log_format)format, &r)) < ACCESS_RECORD_MAX);
        }
    }
}

static void a_cut_does_not_split_a_character(void **state)
{
    (void)state;
    static char text[RECORD_TEXT_MAX];
    for (size_t i = 0; i + 1 < sizeof(text); i += 2)
        memcpy(text + i, i % 6 ? "\xc3\xa9" : "\x01\x01", 2);
    for (size_t start = 0; start < 2; start++) {
        struct record r = sample();
        r.user_agent = span_of(text + start * 4, sizeof(text) - 8);
        const char *line = line_of(ACCESS_LOG_JSON, &r);
        assert_non_null(strstr(line, "...\""));
        assert_null(strstr(line, "\xef\xbf\xbd")); /* no U+FFFD: nothing became invalid */
    }
}

static void packing_keeps_every_field(void **state)
{
    (void)state;
    struct record r = sample(), back;
    r.client.scope = 3;
    r.made_here = true;
    r.queue_us = 17;
    record_unpack(pack(&r), &back);
    assert_string_equal(line_of(ACCESS_LOG_JSON, &back), line_of(ACCESS_LOG_JSON, &r));
    assert_true(address_equal(&back.client, &r.client));
    assert_true(back.made_here);
    assert_int_equal(back.client.scope, 3);
    struct record empty = {0};
    record_unpack(pack(&empty), &back);
    assert_int_equal(back.target.n, 0);
    assert_int_equal(back.reason, REASON_ok);
}

static void tls_is_said_where_there_was_any(void **state)
{
    (void)state;
    struct record r = sample(), back;
    r.tls_version = span_str("TLSv1.3");
    r.tls_cipher = span_str("TLS_AES_128_GCM_SHA256");
    r.sni = span_str("www.example.org");
    r.client_subject = span_str("CN=\"ann\"\n");
    record_unpack(pack(&r), &back);
    const char *line = line_of(ACCESS_LOG_JSON, &back);
    assert_non_null(strstr(line, ",\"tls_version\":\"TLSv1.3\",\"tls_cipher\":"
                                 "\"TLS_AES_128_GCM_SHA256\",\"sni\":\"www.example.org\","
                                 "\"client_subject\":\"CN=\\\"ann\\\"\\n\",\"made_here\""));
    r.client_subject = r.tls_cipher = r.tls_version = span_of(NULL, 0); /* it passes through */
    record_unpack(pack(&r), &back);
    line = line_of(ACCESS_LOG_JSON, &back);
    assert_non_null(strstr(line, ",\"tls_version\":null,\"tls_cipher\":null,"
                                 "\"sni\":\"www.example.org\",\"client_subject\":null,"));
}

/* Its own status in JSON alone: the other formats are what their readers expect. */
static void calls_of_grpc_have_a_status(void **state)
{
    (void)state;
    struct record r = sample(), back;
    char plain[ACCESS_LOG_HAPROXY + 1][ACCESS_RECORD_MAX];
    for (int format = ACCESS_LOG_JSON; format <= ACCESS_LOG_HAPROXY; format++) {
        const char *line = line_of((enum access_log_format)format, &r);
        memcpy(plain[format], line, strlen(line) + 1);
    }
    assert_null(strstr(plain[ACCESS_LOG_JSON], "grpc_status"));
    r.grpc = RECORD_GRPC(14);
    record_unpack(pack(&r), &back);
    assert_non_null(strstr(line_of(ACCESS_LOG_JSON, &back), ",\"grpc_status\":14,\"bytes_in\""));
    for (int format = ACCESS_LOG_JSON + 1; format <= ACCESS_LOG_HAPROXY; format++)
        assert_string_equal(line_of((enum access_log_format)format, &back), plain[format]);
    r.grpc = RECORD_GRPC(0);
    assert_non_null(strstr(line_of(ACCESS_LOG_JSON, &r), ",\"grpc_status\":0,"));
    r.grpc = RECORD_GRPC_NONE;
    assert_non_null(strstr(line_of(ACCESS_LOG_JSON, &r), ",\"grpc_status\":null,"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_has_every_field),
        cmocka_unit_test(json_says_null_where_there_was_nothing),
        cmocka_unit_test(tls_is_said_where_there_was_any),
        cmocka_unit_test(calls_of_grpc_have_a_status),
        cmocka_unit_test(a_request_that_could_not_be_read),
        cmocka_unit_test(combined_is_what_others_write),
        cmocka_unit_test(combined_of_a_tcp_connection),
        cmocka_unit_test(combined_escapes_what_could_forge),
        cmocka_unit_test(common_is_combined_without_the_rest),
        cmocka_unit_test(haproxy_is_what_its_readers_expect),
        cmocka_unit_test(haproxy_says_how_it_ended),
        cmocka_unit_test(json_escapes_what_could_forge),
        cmocka_unit_test(any_byte_anywhere_is_one_line),
        cmocka_unit_test(an_ordinary_target_is_never_cut),
        cmocka_unit_test(the_longest_of_everything_fits),
        cmocka_unit_test(a_cut_does_not_split_a_character),
        cmocka_unit_test(packing_keeps_every_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
