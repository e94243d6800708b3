/* SPDX-License-Identifier: MIT */
#include "admin/auth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "codec/h1.h"

static void test_hosts(void **state)
{
    static const char *const good[] = {"127.0.0.1", "localhost", "LOCALHOST",    "localhost.",
                                       "[::1]",     "10.1.2.3",  "lb.localhost", "[fe80::1]"};
    static const char *const bad[] = {"",
                                      "example.com",
                                      "localhost.example.com",
                                      "127.0.0.1.example.com",
                                      "notlocalhost",
                                      ".localhost",
                                      "127.0.0.1:80",
                                      "0x7f000001",
                                      "unix:/x",
                                      "*"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        if (!auth_host_ok(span_cstr(good[i])))
            fail_msg("refused: %s", good[i]);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (auth_host_ok(span_cstr(bad[i])))
            fail_msg("let in: %s", bad[i]);
}

/* A head with these fields behind its Host. */
static void read_head(struct head *h, const char *fields)
{
    static char text[2048];
    struct h1_reader reader;
    struct h1_result result;
    int n = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: 127.0.0.1:99\r\n%s\r\n", fields);
    head_init(h, NULL, 0);
    h1_reader_init(&reader, H1_REQUESTS, &h1_limits_default);
    assert_int_equal(h1_reader_next(&reader, span_of(text, (size_t)n), h, &result), H1_HEAD);
}

static void test_origins(void **state)
{
    static const struct {
        const char *fields;
        bool page, other; /* whether the page, and any other path, may be had */
    } cases[] = {
        {"", true, true},
        {"Origin: http://127.0.0.1:99\r\n", true, true},
        {"Origin: https://127.0.0.1:99\r\n", true, true},
        {"Origin: http://127.0.0.1:98\r\n", false, false},
        {"Origin: http://127.0.0.1\r\n", false, false},
        {"Origin: http://evil.example\r\n", false, false},
        {"Origin: null\r\n", false, false},
        {"Origin: \r\n", false, false},
        {"Origin: 127.0.0.1:99\r\n", false, false},
        {"Origin: http://127.0.0.1:99\r\nOrigin: http://127.0.0.1:99\r\n", false, false},
        {"Sec-Fetch-Site: none\r\n", true, true},
        {"Sec-Fetch-Site: same-origin\r\nOrigin: http://127.0.0.1:99\r\n", true, true},
        {"Sec-Fetch-Site: same-site\r\n", false, false},
        {"Sec-Fetch-Site: cross-site\r\n", false, false},
        {"Sec-Fetch-Site: whatever\r\n", false, false},
        {"Sec-Fetch-Site: none\r\nSec-Fetch-Site: cross-site\r\n", false, false},
        {"Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n",
         true, false},
        {"Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe\r\n",
         false, false},
        {"Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: document\r\n",
         false, false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        static struct head h;
        read_head(&h, cases[i].fields);
        if (auth_origin_ok(&h, true) != cases[i].page ||
            auth_origin_ok(&h, false) != cases[i].other)
            fail_msg("%s", cases[i].fields);
    }
}

static void test_bearer(void **state)
{
    static const struct {
        const char *fields, *token;
    } cases[] = {
        {"", ""},
        {"Authorization: Bearer abc\r\n", "abc"},
        {"Authorization: bearer   abc\r\n", "abc"},
        {"Authorization: Bearer\r\n", ""},
        {"Authorization: Bearerabc\r\n", ""},
        {"Authorization: Basic abc\r\n", ""},
        {"Authorization: Bearer abc\r\nAuthorization: Bearer abc\r\n", ""},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        static struct head h;
        read_head(&h, cases[i].fields);
        if (!span_eq(auth_bearer(&h), span_cstr(cases[i].token)))
            fail_msg("%s", cases[i].fields);
    }
}

static void test_tokens(void **state)
{
    struct span token = span_str("secret-token");
    (void)state;
    assert_true(auth_token_ok(token, token));
    assert_true(auth_token_ok(span_str("secret-token"), token));
    assert_false(auth_token_ok(span_str("secret-tokeN"), token));
    assert_false(auth_token_ok(span_str("Secret-token"), token));
    assert_false(auth_token_ok(span_str("secret-toke"), token));
    assert_false(auth_token_ok(span_str("secret-tokensecret-token"), token));
    assert_false(auth_token_ok(span_str("secret-token\0"), token));
    assert_false(auth_token_ok(span_str("s"), span_str("ss")));
    assert_false(auth_token_ok(span_str(""), token));
    assert_false(auth_token_ok(span_str(""), span_str("")));
    assert_false(auth_token_ok(token, span_str("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_origins),
        cmocka_unit_test(test_bearer),
        cmocka_unit_test(test_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
