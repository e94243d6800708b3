/* SPDX-License-Identifier: MIT */
/* Whatever a certificate says, what is written is fields that our own strict reader takes, and no
 * others than those. */
#include "forward/request_certificate.h"

#include "base/rng.h"
#include "codec/arrival.h"
#include "codec/h1.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define PRINT "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

struct read {
    char text[REQUEST_CERTIFICATE_BYTES + 64];
    struct head head;
};

static void write_and_read(struct read *r, const struct arrival *a)
{
    struct writer w = writer_of(r->text, sizeof(r->text));
    w_str(&w, "GET / HTTP/1.1\r\nHost: x\r\n");
    size_t before = w_len(&w);
    request_write_certificate(&w, a);
    assert_true(w_ok(&w));
    assert_true(w_len(&w) - before <= REQUEST_CERTIFICATE_BYTES);
    w_str(&w, "\r\n");
    struct h1_reader reader;
    struct h1_result got;
    h1_reader_init(&reader, H1_REQUESTS, &h1_limits_default);
    head_init(&r->head, NULL, 0);
    struct span in = w_span_of_result(&w);
    assert_int_equal(h1_reader_next(&reader, in, &r->head, &got), H1_HEAD);
    assert_int_equal(got.used, in.n);
}

static const char *value(struct read *r, enum field_id id)
{
    static char text[REQUEST_SAN_MAX + 1];
    unsigned at = 0;
    const struct field *f = head_find(&r->head, id, &at);
    if (!f)
        return NULL;
    assert_null(head_find(&r->head, id, &at)); /* once */
    assert_true(span_to_cstr(field_value(&r->head, f), text, sizeof(text)));
    return text;
}

static struct arrival shown(struct span subject, const struct span *names, size_t count)
{
    return (struct arrival){.secure = true,
                            .certificate = {.verified = true,
                                            .subject = subject,
                                            .names = names,
                                            .name_count = count,
                                            .fingerprint = span_str(PRINT)}};
}

static void test_none(void **state)
{
    struct read r;
    struct arrival a = shown(span_str("CN=ann"), NULL, 0);
    (void)state;
    write_and_read(&r, NULL);
    assert_int_equal(r.head.field_count, 2);
    assert_string_equal(value(&r, FIELD_X_CLIENT_VERIFY), "NONE");
    a.certificate.verified = false;
    write_and_read(&r, &a);
    assert_int_equal(r.head.field_count, 2);
    assert_string_equal(value(&r, FIELD_X_CLIENT_VERIFY), "NONE");
}

static void test_good(void **state)
{
    static const struct span names[] = {SPAN_INIT("a.example"), SPAN_INIT("ann@b.example"),
                                        SPAN_INIT(""), SPAN_INIT("spiffe://x/y")};
    struct read r;
    struct arrival a = shown(span_str("CN=ann\\, the first,O=\"Ex\""), names, ARRAY_LEN(names));
    (void)state;
    write_and_read(&r, &a);
    assert_int_equal(r.head.field_count, 5);
    assert_string_equal(value(&r, FIELD_X_CLIENT_VERIFY), "SUCCESS");
    assert_string_equal(value(&r, FIELD_X_CLIENT_SUBJECT), "CN=ann\\, the first,O=\"Ex\"");
    assert_string_equal(value(&r, FIELD_X_CLIENT_SAN), "a.example, ann@b.example, spiffe://x/y");
    assert_string_equal(value(&r, FIELD_X_CLIENT_FINGERPRINT), PRINT);
}

static void test_injection(void **state)
{
    static const struct span names[] = {
        SPAN_INIT("x, admin.example"),
        SPAN_INIT("y\r\nX-Client-Verify: SUCCESS"),
        {(const uint8_t *)"z\0z", 3},
    };
    struct read r;
    static const char subject[] = "CN=a\r\nX-Admin: 1\r\n\r\nGET /\0\x7f\xff%41 ";
    struct arrival a = shown(span_of(subject, sizeof(subject) - 1), names, 3);
    (void)state;
    write_and_read(&r, &a);
    assert_int_equal(r.head.field_count, 5);
    assert_string_equal(value(&r, FIELD_X_CLIENT_SUBJECT),
                        "CN=a%0D%0AX-Admin: 1%0D%0A%0D%0AGET /%00%7F%FF%2541%20");
    assert_string_equal(value(&r, FIELD_X_CLIENT_SAN),
                        "x%2C%20admin.example, y%0D%0AX-Client-Verify:%20SUCCESS, z%00z");
    a.certificate.subject = span_str(" CN=a ");
    write_and_read(&r, &a);
    assert_string_equal(value(&r, FIELD_X_CLIENT_SUBJECT), "%20CN=a%20");
}

/* What does not fit is left out whole. */
static void test_limits(void **state)
{
    static uint8_t much[REQUEST_SAN_MAX + 1];
    struct read r;
    (void)state;
    memset(much, 'a', sizeof(much));
    const struct span names[] = {span_of(much, REQUEST_SAN_MAX - 20), span_of(much, 30),
                                 span_str("short.example")};
    struct arrival a = shown(span_of(much, REQUEST_SUBJECT_MAX), names, 3);
    write_and_read(&r, &a);
    assert_int_equal(strlen(value(&r, FIELD_X_CLIENT_SUBJECT)), REQUEST_SUBJECT_MAX);
    const char *san = value(&r, FIELD_X_CLIENT_SAN);
    assert_int_equal(strlen(san), REQUEST_SAN_MAX - 20 + strlen(", short.example"));
    assert_non_null(strstr(san, "a, short.example"));
    a = shown(span_of(much, REQUEST_SUBJECT_MAX + 1), names, 0);
    write_and_read(&r, &a);
    assert_null(value(&r, FIELD_X_CLIENT_SUBJECT));
    assert_null(value(&r, FIELD_X_CLIENT_SAN));
    memset(much, '\n', sizeof(much)); /* each becomes three */
    write_and_read(&r, &a);
    assert_null(value(&r, FIELD_X_CLIENT_SUBJECT));
}

static void test_any_bytes(void **state)
{
    struct rng rng = rng_seed(7);
    uint8_t bytes[400];
    struct read r;
    (void)state;
    for (int i = 0; i < 5000; i++) {
        for (size_t k = 0; k < sizeof(bytes); k++)
            bytes[k] = (uint8_t)rng_u64(&rng);
        struct span names[4];
        for (size_t k = 0; k < ARRAY_LEN(names); k++)
            names[k] = span_of(bytes + 100 * k, rng_u64(&rng) % 100);
        struct arrival a = shown(span_of(bytes, rng_u64(&rng) % sizeof(bytes)), names, 4);
        write_and_read(&r, &a);
        assert_true(r.head.field_count <= 5);
        assert_string_equal(value(&r, FIELD_X_CLIENT_VERIFY), "SUCCESS");
        assert_string_equal(value(&r, FIELD_X_CLIENT_FINGERPRINT), PRINT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_none),      cmocka_unit_test(test_good),
        cmocka_unit_test(test_injection), cmocka_unit_test(test_limits),
        cmocka_unit_test(test_any_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
