/* SPDX-License-Identifier: MIT */
/* Every answer made here must itself be a response that our own strict reader takes. */
#include "forward/answer.h"

#include "base/limits.h"
#include "codec/h1.h"
#include "forward/response.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct span find_field(const struct head *h, const char *name)
{
    unsigned at = 0;
    const struct field *f = head_find_name(h, span_cstr(name), &at);
    return f ? field_value(h, f) : span_of(NULL, 0);
}

static void check_answer(enum reason why, bool close, bool head_only)
{
    uint8_t room[ANSWER_BYTES_MAX];
    struct writer w = writer_of(room, sizeof(room));
    answer_write(&w, why, close, head_only);
    assert_true(w_ok(&w));

    struct h1_reader r;
    struct head h;
    struct h1_result got;
    head_init(&h, NULL, 0);
    h1_reader_init(&r, H1_RESPONSES, &h1_limits_default);
    h1_reader_expect(&r, head_only ? METHOD_HEAD : METHOD_GET, false);
    struct span in = w_span_of_result(&w);
    assert_int_equal(h1_reader_next(&r, in, &h, &got), H1_HEAD);
    assert_int_equal(h.status, reason_status(why));
    assert_int_equal(h.keep_alive, !close);
    struct span name = find_field(&h, "x-poise-reason");
    assert_int_equal(name.n, strlen(reason_name(why)));
    assert_memory_equal(name.p, reason_name(why), name.n);
    in = span_from(in, got.used);
    if (!head_only) {
        assert_int_equal(h1_reader_next(&r, in, &h, &got), H1_BODY);
        assert_int_equal(got.body.n, strlen(reason_sentence(why)) + 1);
        in = span_from(in, got.used);
    }
    assert_int_equal(in.n, 0);
    assert_int_equal(h1_reader_next(&r, in, &h, &got), H1_END);
}

static void test_all_reasons(void **state)
{
    (void)state;
    int answered = 0;
    for (int r = 0; r < REASON_COUNT; r++) {
        if (reason_status((enum reason)r) == 0)
            continue;
        answered++;
        for (int bits = 0; bits < 4; bits++)
            check_answer((enum reason)r, bits & 1, bits & 2);
    }
    assert_true(answered > 30);
}

static void test_fields(void **state)
{
    static uint8_t body[REPLY_BODY_MAX], location[URI_MAX];
    static uint8_t room[ANSWER_BYTES_MAX + sizeof(body) + sizeof(location)];
    struct reply r = reply_of(REASON_redirected);
    (void)state;
    memset(location, 'x', sizeof(location));
    memset(body, 'b', sizeof(body));
    r.body = span_of(body, sizeof(body));
    r.location = span_of(location, sizeof(location));
    r.hsts = span_str("max-age=5");
    r.status = 503; /* with Retry-After, it has every field there is */
    struct reply_field fields[REPLY_FIELDS_MAX];
    assert_true(reply_fields(&r, fields) <= REPLY_FIELDS_MAX);
    assert_true(reply_bytes(&r) <= sizeof(room));
    struct writer w = writer_of(room, reply_bytes(&r));
    reply_write(&w, &r, "keep-alive", false);
    assert_true(w_ok(&w));

    static const struct h1_limits wide = {
        .line_bytes = 2 * URI_MAX, .head_bytes = 32768, .fields = 9};
    struct h1_reader reader;
    struct head h;
    struct h1_result got;
    head_init(&h, NULL, 0);
    h1_reader_init(&reader, H1_RESPONSES, &wide);
    h1_reader_expect(&reader, METHOD_GET, false);
    assert_int_equal(h1_reader_next(&reader, w_span_of_result(&w), &h, &got), H1_HEAD);
    assert_int_equal(h.body_length, sizeof(body));
    assert_int_equal(find_field(&h, "location").n, sizeof(location));
    assert_true(span_eq(find_field(&h, "strict-transport-security"), span_str("max-age=5")));
    assert_true(span_eq(find_field(&h, "retry-after"), span_str("1")));
}

/* Once, over TLS alone, where it is asked for, and unless the backend says it itself. */
static void test_hsts(void **state)
{
    static const char theirs[] = "HTTP/1.1 200 OK\r\nstrict-transport-SECURITY: max-age=1\r\n"
                                 "Content-Length: 0\r\n\r\n";
    struct arrival tls = {.secure = true}, proxied = {.proxied = true};
    struct listener_conf conf = {.tls = {.enabled = true, .hsts_ms = 31536000000}};
    struct front_conf front = {.conf = &conf};
    (void)state;
    front_conf_derive(&front);
    assert_true(span_eq(response_hsts(&front, &tls, NULL), span_str("max-age=31536000")));
    assert_int_equal(response_hsts(&front, NULL, NULL).n, 0);
    assert_int_equal(response_hsts(&front, &proxied, NULL).n, 0);

    struct h1_reader r;
    struct head h;
    struct h1_result got;
    head_init(&h, NULL, 0);
    h1_reader_init(&r, H1_RESPONSES, &h1_limits_default);
    h1_reader_expect(&r, METHOD_GET, false);
    assert_int_equal(h1_reader_next(&r, span_cstr(theirs), &h, &got), H1_HEAD);
    assert_int_equal(response_hsts(&front, &tls, &h).n, 0);
    conf.tls.hsts_ms = 0;
    front_conf_derive(&front);
    assert_int_equal(response_hsts(&front, &tls, NULL).n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all_reasons),
                                       cmocka_unit_test(test_fields), cmocka_unit_test(test_hsts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
