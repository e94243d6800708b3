/* SPDX-License-Identifier: MIT */
#include "admin/json.h"

#include "admin/diagnostics.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_writing(void **state)
{
    struct text t;
    (void)state;
    text_init(&t, 4096);
    struct json j = j_of(&t);
    j_object(&j, NULL);
    j_str(&j, "a\"b", "x\n\\\"\x01");
    j_str(&j, "none", NULL);
    j_span(&j, "broken", span_str("\xff\xc3\x28"));
    j_u64(&j, "most", UINT64_MAX);
    j_array(&j, "list");
    j_number(&j, NULL, 0);
    j_number(&j, NULL, 1.5);
    j_number(&j, NULL, 100);
    j_number(&j, NULL, 0.0004);
    j_number(&j, NULL, (double)NAN);
    j_number(&j, NULL, (double)INFINITY);
    j_number(&j, NULL, 1e300);
    j_object(&j, NULL);
    j_end(&j);
    j_end(&j);
    j_bool(&j, "yes", true);
    j_time(&j, "at", 1767323045678u);
    j_end(&j);
    text_u8(&t, 0);
    assert_string_equal((char *)t.p,
                        "{\"a\\\"b\":\"x\\n\\\\\\\"\\u0001\",\"none\":null,"
                        "\"broken\":\"\xef\xbf\xbd\xef\xbf\xbd(\",\"most\":18446744073709551615,"
                        "\"list\":[0,1.5,100,0,null,null,null,{}],\"yes\":true,"
                        "\"at\":\"2026-01-02T03:04:05.678Z\"}");
    text_fini(&t);
}

/* Long texts are escaped in pieces; what comes out is what went in, whatever lies at the seams. */
static void test_long_texts(void **state)
{
    (void)state;
    for (size_t shift = 0; shift < 5; shift++) {
        char in[5000];
        struct text t;
        size_t n = shift;
        memset(in, 'x', shift);
        while (n + 3 < sizeof(in)) {
            memcpy(in + n, "\xe2\x82\xac", 3);
            n += 3;
        }
        text_init(&t, 65536);
        struct json j = j_of(&t);
        j_array(&j, NULL);
        j_span(&j, NULL, span_of(in, n));
        j_end(&j);
        assert_int_equal(t.n, n + 4);
        assert_memory_equal(t.p + 2, in, n);
        text_fini(&t);
    }
}

static void test_a_text_that_is_full(void **state)
{
    struct text t;
    size_t n;
    (void)state;
    text_init(&t, 10);
    text_str(&t, "12345");
    text_str(&t, "678901");
    assert_false(text_ok(&t));
    assert_int_equal(t.n, 5);
    text_u8(&t, 'x');
    assert_int_equal(t.n, 5);
    assert_null(text_take(&t, &n));
    text_init(&t, 10);
    text_printf(&t, "%s", "1234567890");
    assert_true(text_ok(&t));
    text_fini(&t);
}

static void test_reading(void **state)
{
    static const char *const keys[] = {"weight", "state"};
    static const struct {
        const char *text, *fault, *field; /* NULL: it is read */
    } cases[] = {
        {"", NULL, NULL},
        {" \r\n", NULL, NULL},
        {"{}", NULL, NULL},
        {"{\"weight\": 3, \"state\": {\"a\": [1]}}", NULL, NULL},
        {"[]", "not a JSON object", ""},
        {"3", "not JSON", ""},
        {"{\"weight\": 3", "not JSON: line 1", ""},
        {"{\"weight\": 3}x", "not JSON", ""},
        {"{\"weight\": 1, \"weight\": 2}", "not JSON", ""},
        {"{\"wieght\": 3}", "did you mean 'weight'?", "wieght"},
        {"{\"zzz\": 3}", "; there are weight, state", "zzz"},
        {"{\"z\\u0007z\": 3}", "'z\\x07z'", "z\\x07z"},
        {"{\"weight\": 1e99999}", "not JSON", ""},
        {"{\"state\": [[[[[[[[1]]]]]]]]}", "nested too deeply", ""},
        {"{\"state\": \"[[[[[[[[[\\\"[[[[[\"}", NULL, NULL},
        {"{\"state\": \"a\\u0000b\"}", "not JSON", ""},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct json_fault fault;
        json_t *root = j_read(span_cstr(cases[i].text), keys, ARRAY_LEN(keys), &fault);
        if ((root == NULL) != (cases[i].fault != NULL))
            fail_msg("%s", cases[i].text);
        if (!root) {
            if (!strstr(fault.message, cases[i].fault))
                fail_msg("%s: %s", cases[i].text, fault.message);
            assert_string_equal(fault.field, cases[i].field);
        }
        json_decref(root);
    }
}

static void test_diagnostics(void **state)
{
    static const char printed[] = "/a:b.yaml:1:40: error: unknown key 'pol'\n"
                                  "    1 | listeners: [{name: \"^ x\", pol: app}]\n"
                                  "      |                            ^~~ did you mean 'pool'?\n"
                                  "      = the keys here are: name, listen\n"
                                  "/a:b.yaml:2:16: warning: no listener uses pool 'app'\n"
                                  "    2 | pools: [{name: app}]\n"
                                  "      |                ^~~\n"
                                  "a: error: no place\n"
                                  "/a:b.yaml: 1 error, 1 warning\n";
    struct text t;
    (void)state;
    text_init(&t, 4096);
    struct json j = j_of(&t);
    j_object(&j, NULL);
    diagnostics_put(&j, span_cstr(printed));
    j_end(&j);
    text_u8(&t, 0);
    assert_string_equal((char *)t.p,
                        "{\"diagnostics\":[{\"level\":\"error\",\"line\":1,\"column\":40,"
                        "\"message\":\"unknown key 'pol'\",\"hint\":\"did you mean 'pool'?\"},"
                        "{\"level\":\"warning\",\"line\":2,\"column\":16,"
                        "\"message\":\"no listener uses pool 'app'\"}]}");
    text_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writing),
        cmocka_unit_test(test_long_texts),
        cmocka_unit_test(test_a_text_that_is_full),
        cmocka_unit_test(test_reading),
        cmocka_unit_test(test_diagnostics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
