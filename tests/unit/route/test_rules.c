/* SPDX-License-Identifier: MIT */
/* What a listener answers itself, by real heads. */
#include "route/rules.h"

#include "codec/arrival.h"
#include "codec/h1.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

struct asked {
    struct head head;
    uint8_t path[URI_PATH_MAX];
    char text[2 * URI_MAX];
};

static void parse(struct asked *q, const char *line, const char *host)
{
    struct h1_reader r;
    struct h1_result got;
    bool old = strstr(line, "HTTP/1.0") != NULL;
    int n = host ? snprintf(q->text, sizeof(q->text), "%s\r\nHost: %s\r\n\r\n", line, host)
                 : snprintf(q->text, sizeof(q->text), "%s\r\n\r\n", line);
    assert_true(host || old);
    h1_reader_init(&r, H1_REQUESTS, &h1_limits_default);
    head_init(&q->head, q->path, sizeof(q->path));
    assert_int_equal(h1_reader_next(&r, span_of(q->text, (size_t)n), &q->head, &got), H1_HEAD);
}

static enum reason ask(const struct listener_conf *l, const char *line, const char *host,
                       const char *sni)
{
    static struct asked q;
    struct arrival a = {.secure = true, .sni = span_cstr(sni)};
    parse(&q, line, host);
    return rules_answer(l, &q.head, sni ? &a : NULL);
}

static const struct listener_conf acme = {.protocol = PROTOCOL_HTTP,
                                          .acme_challenge = "/acme",
                                          .redirect_port = 443};

static void test_challenges(void **state)
{
#define PATH "/.well-known/acme-challenge/"
    static const struct {
        const char *line;
        enum reason why;
    } cases[] = {
        {"GET " PATH "a-B_9 HTTP/1.1", REASON_acme_challenge},
        {"GET " PATH "a?x=1 HTTP/1.1", REASON_acme_challenge},
        {"HEAD " PATH "a HTTP/1.1", REASON_acme_challenge},
        {"GET /x/.." PATH "a HTTP/1.1", REASON_acme_challenge},
        {"GET /.well-known/%61cme-challenge/a HTTP/1.1", REASON_acme_challenge},
        {"POST " PATH "a HTTP/1.1", REASON_acme_unknown},
        {"GET " PATH " HTTP/1.1", REASON_acme_unknown},
        {"GET " PATH "a/b HTTP/1.1", REASON_acme_unknown},
        {"GET " PATH "a.b HTTP/1.1", REASON_acme_unknown},
        {"GET " PATH "a%20b HTTP/1.1", REASON_acme_unknown},
        {"GET " PATH ".a HTTP/1.1", REASON_acme_unknown},
        {"GET " PATH "a/ HTTP/1.1", REASON_acme_unknown},
        {"GET " PATH "../a HTTP/1.1", REASON_redirected},
        {"GET /.well-known/acme-challenge HTTP/1.1", REASON_redirected},
        {"GET /.well-known/ACME-challenge/a HTTP/1.1", REASON_redirected},
    };
    (void)state;
    assert_true(rules_any(&acme));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (ask(&acme, cases[i].line, "x", NULL) != cases[i].why)
            fail_msg("%s", cases[i].line);
}

static void test_tokens(void **state)
{
    (void)state;
    char path[64 + ACME_TOKEN_MAX + 2] = PATH;
    size_t n = strlen(path);
    memset(path + n, 'a', ACME_TOKEN_MAX + 1);
    assert_int_equal(rules_token(span_of(path, n + ACME_TOKEN_MAX)).n, ACME_TOKEN_MAX);
    assert_int_equal(rules_token(span_of(path, n + ACME_TOKEN_MAX + 1)).n, 0);
    assert_int_equal(rules_token(span_of(path, n)).n, 0);
    assert_int_equal(rules_token(span_of(path, 3)).n, 0);
    assert_false(rules_is_token(span_str("")));
    assert_false(rules_is_token(span_str(".")));
    assert_false(rules_is_token(span_str("..")));
    assert_false(rules_is_token(span_of("a\0b", 3)));
    assert_false(rules_is_token(span_str("\xc3\xa4")));
    assert_true(rules_is_token(span_str("-_azAZ09")));
}

static void test_locations(void **state)
{
    static const struct {
        const char *line, *host;
        uint16_t port;
        const char *location; /* NULL: it cannot be redirected */
    } cases[] = {
        {"GET /a?b=c&d HTTP/1.1", "Example.org", 443, "https://Example.org/a?b=c&d"},
        {"GET /a HTTP/1.1", "example.org:80", 443, "https://example.org/a"},
        {"GET / HTTP/1.1", "example.org:8080", 8443, "https://example.org:8443/"},
        {"GET /x/../a%2d%c3? HTTP/1.1", "example.org", 443, "https://example.org/a-%C3?"},
        {"GET http://other.example:81/a HTTP/1.1", "other.example:81", 443,
         "https://other.example/a"},
        {"GET //evil.example/ HTTP/1.1", "example.org", 443, "https://example.org//evil.example/"},
        {"GET / HTTP/1.1", "[2001:db8::1]:80", 8443, "https://[2001:db8::1]:8443/"},
        {"OPTIONS * HTTP/1.1", "example.org", 443, "https://example.org"},
        {"GET / HTTP/1.0", "example.org", 443, "https://example.org/"},
        {"GET / HTTP/1.0", NULL, 443, NULL},
        {"GET / HTTP/1.1", "", 443, NULL},
    };
    static struct asked q;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct listener_conf l = {.protocol = PROTOCOL_HTTP, .redirect_port = cases[i].port};
        char location[RULES_LOCATION_MAX];
        struct writer w = writer_of(location, sizeof(location));
        parse(&q, cases[i].line, cases[i].host);
        enum reason why = rules_answer(&l, &q.head, NULL);
        assert_int_equal(why, cases[i].location ? REASON_redirected : REASON_missing_host);
        if (!cases[i].location)
            continue;
        rules_location(&l, &q.head, &w);
        assert_string_equal(w_cstr(&w), cases[i].location);
    }
}

/* The longest that the parser lets through has room. */
static void test_longest_location(void **state)
{
    static struct asked q;
    static char line[URI_MAX + 64], host[256];
    struct listener_conf l = {.protocol = PROTOCOL_HTTP, .redirect_port = 65535};
    uint8_t location[RULES_LOCATION_MAX];
    struct writer w = writer_of(location, sizeof(location));
    (void)state;
    memset(line, 'q', sizeof(line));
    memcpy(line, "GET /?", 6);
    size_t end = HTTP_LINE_MAX - strlen(" HTTP/1.1");
    memcpy(line + end, " HTTP/1.1", sizeof(" HTTP/1.1"));
    memset(host, 'h', 253);
    parse(&q, line, host);
    rules_location(&l, &q.head, &w);
    assert_true(w_ok(&w));
}

static void test_misdirected(void **state)
{
    static const struct {
        const char *line, *host, *sni;
        bool misdirected;
    } cases[] = {
        {"GET / HTTP/1.1", "a.example", "a.example", false},
        {"GET / HTTP/1.1", "A.Example:8443", "a.example", false},
        {"GET / HTTP/1.1", "a.example.", "a.example", false},
        {"GET / HTTP/1.1", "b.example", "a.example", true},
        {"GET http://b.example/ HTTP/1.1", "b.example", "a.example", true},
        {"GET / HTTP/1.1", "10.0.0.1", "a.example", true},
        {"GET / HTTP/1.1", "a.example", "", true},
        {"GET / HTTP/1.1", "10.0.0.1:8443", "", false},
        {"GET / HTTP/1.1", "[::1]:8443", "", false},
        {"GET / HTTP/1.0", NULL, "", false},
        {"GET / HTTP/1.0", NULL, "a.example", true},
        {"GET / HTTP/1.1", "a.example", NULL, true},
    };
    struct listener_conf l = {.protocol = PROTOCOL_HTTP,
                              .tls = {.enabled = true, .client_auth = CLIENT_AUTH_OPTIONAL}};
    (void)state;
    assert_true(rules_any(&l));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        enum reason why = ask(&l, cases[i].line, cases[i].host, cases[i].sni);
        if (why != (cases[i].misdirected ? REASON_misdirected : REASON_ok))
            fail_msg("case %zu: %s", i, reason_name(why));
    }
    l.tls.client_auth = CLIENT_AUTH_NONE;
    assert_false(rules_any(&l));
    assert_int_equal(ask(&l, "GET / HTTP/1.1", "b.example", "a.example"), REASON_ok);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_challenges),  cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_locations),   cmocka_unit_test(test_longest_location),
        cmocka_unit_test(test_misdirected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
