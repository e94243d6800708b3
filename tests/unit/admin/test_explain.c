/* SPDX-License-Identifier: MIT */
/* Explanations of a configuration: every answer a person may get, and every question that has none.
 */
#include "admin/explain.h"
#include "config/load.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

static const char text[] =
    "listeners:\n"
    "  - name: web\n"
    "    listen: 127.0.0.1:8080\n"
    "    pool: app\n"
    "    limits: {body: 1KiB}\n"
    "    routes:\n"
    "      - match: {host: api.example.com, path_prefix: /v1}\n"
    "        pool: api\n"
    "      - match: {method: [PUT, POST], headers: {x-canary: \"yes\"}}\n"
    "        pool: api\n"
    "  - name: bare\n"
    "    listen: 127.0.0.1:8081\n"
    "    routes: [{match: {path: /only}, pool: app}]\n"
    "  - {name: db, listen: \"127.0.0.1:5432\", protocol: tcp, pool: db}\n"
    "  - name: secure\n"
    "    listen: 127.0.0.1:8443\n"
    "    tls: {certificates: [{cert: /c.pem}], client_auth: optional,\n"
    "          client_ca: /ca.pem}\n"
    "    routes:\n"
    "      - {match: {sni: \"*.example.com\", client_san: ann@example.com},\n"
    "         pool: api}\n"
    "      - {match: {client_subject: CN=ann}, pool: api}\n"
    "      - {match: {sni: other.example.com}, pool: app}\n"
    "  - {name: old, listen: 127.0.0.1:8082, redirect_https: 443,\n"
    "     acme_challenge: /acme}\n"
    "  - {name: through, listen: 127.0.0.1:8444, protocol: tcp, pool: db,\n"
    "     routes: [{match: {sni: mail.example.com}, pool: mail}]}\n"
    "pools:\n"
    "  - {name: mail, protocol: tcp, backends: [{address: \"127.0.0.1:6\"}]}\n"
    "  - name: app\n"
    "    backends:\n"
    "      - {name: B1, address: name.example:1}\n"
    "      - {name: B2, address: 127.0.0.1:2, weight: 0}\n"
    "      - {name: B3, address: 127.0.0.1:3, backup: true}\n"
    "  - {name: api, balance: p2c, backends: [{address: \"127.0.0.1:4\"}]}\n"
    "  - {name: db, protocol: tcp, balance: source_hash,\n"
    "     backends: [{address: \"127.0.0.1:5\", weight: 0}]}\n";

static const struct snapshot *load(void)
{
    struct diagnostics d;
    const struct snapshot *s = NULL;
    if (config_load("t.yaml", span_of(text, sizeof(text) - 1), NULL, &d, &s) < 0)
        diagnostics_print(&d, stderr, false);
    diagnostics_fini(&d);
    assert_non_null(s);
    return s;
}

struct asked {
    const char *request, *field, *from, *listener, *tls;
};

static struct explain_question question(const struct asked *a)
{
    return (struct explain_question){
        .request = span_cstr(a->request),
        .fields = {span_cstr(a->field)},
        .field_count = a->field ? 1 : 0,
        .from = span_cstr(a->from),
        .listener = span_cstr(a->listener),
        .tls = {span_cstr(a->tls)},
        .tls_count = a->tls != NULL,
    };
}

/* The whole answer as JSON, to be freed. */
static char *answer(const struct asked *a)
{
    const struct snapshot *s = load();
    struct explain_world world = {.snapshot = s};
    struct explain_question q = question(a);
    struct explain_fault fault;
    struct explanation *e = explain(&world, &q, &fault);
    if (!e)
        fail_msg("%s", fault.message);
    struct text out;
    text_init(&out, 1 << 20);
    struct json j = j_of(&out);
    explain_json(&j, NULL, &world, e);
    text_u8(&out, 0);
    size_t n;
    char *json = (char *)text_take(&out, &n);
    assert_non_null(json);
    json_t *parsed = json_loads(json, 0, NULL);
    assert_non_null(parsed);
    json_decref(parsed);
    text_fini(&out);
    explain_free(&e);
    snapshot_unref(&s);
    return json;
}

static void expect(struct asked a, const char *const *parts)
{
    char *json = answer(&a);
    for (; *parts; parts++)
        if (!strstr(json, *parts))
            fail_msg("no %s in %s", *parts, json);
    free(json);
}
#define ASK(...)              ((struct asked){.request = __VA_ARGS__})
#define EXPECT(asked_by, ...) expect(asked_by, (const char *const[]){__VA_ARGS__, NULL})

static void test_routes(void **state)
{
    (void)state;
    EXPECT(ASK("GET http://API.example.com:8080/v1/x?y"), "\"route\":{\"name\":\"web[0]\"",
           "\"at\":\"t.yaml:7\"", "\"pool\":\"api\"", "\"outcome\":\"forward\"",
           "not looked at: web[0] matched", "\"pick\":\"127.0.0.1:4\"");
    EXPECT(ASK("POST http://x:8080/a/../v1", .field = "x-canary: no"),
           "\"because\":\"host is not api.example.com\"",
           "\"because\":\"header x-canary is not 'yes' but 'no'\"", "\"route\":null",
           "\"pool\":\"app\"", "\"path\":\"/v1\"");
    EXPECT(ASK("http://x:8080", .field = "X-Canary: yes"), "\"because\":\"path is not below /v1\"",
           "\"because\":\"method is not PUT or POST\"");
    EXPECT(ASK("POST /?x", .field = "Host: api.example.com", .listener = "web"),
           "\"host\":\"api.example.com\"", "there is no header x-canary");
    EXPECT(ASK("GET http://x:8081/"), "\"because\":\"path is not /only\"",
           "\"outcome\":\"no_route\"", "\"status\":404", "\"pick\":null");
}

static void test_tls(void **state)
{
    (void)state;
    EXPECT(ASK("GET https://a.example.com:8443/", .tls = "client_san=ann@EXAMPLE.com"),
           "\"route\":{\"name\":\"secure[0]\"", "\"sni\":\"a.example.com\"");
    EXPECT(ASK("GET https://other.example.com:8443/"),
           "\"because\":\"no name of the client is ann@example.com\"",
           "\"because\":\"the client's subject is not CN=ann\"",
           "\"route\":{\"name\":\"secure[2]\"");
    EXPECT(ASK("GET https://x:8443/", .tls = "sni=y"), "\"outcome\":\"misdirected\"",
           "\"status\":421");
    EXPECT(ASK("GET https://10.0.0.1:8443/"),
           "\"because\":\"the name in TLS is not *.example.com\"", "\"outcome\":\"no_route\"");
    EXPECT(ASK("GET http://x:8082/"), "\"outcome\":\"redirected\"", "\"status\":308");
    EXPECT(ASK("GET http://x:8082/.well-known/acme-challenge/x"), "\"outcome\":\"acme_challenge\"");
    EXPECT(ASK(NULL, .listener = "through", .tls = "sni=Mail.example.com"), "\"pool\":\"mail\"");
    EXPECT(ASK(NULL, .listener = "through"), "\"pool\":\"db\"",
           "\"because\":\"the name in TLS is not mail.example.com\"");
}

static void test_backends(void **state)
{
    (void)state;
    EXPECT(ASK("GET http://x:8080/"), "\"pick\":\"B1\"", "\"because\":\"its weight is 0\"",
           "\"because\":\"a backup, while another backend is up\"", "\"live\":false",
           "turn 0, place 1 of 1 of the round, is B1");
    EXPECT(ASK(NULL, .from = "2001:db8::1", .listener = "db"), "\"outcome\":\"no_backend\"",
           "\"status\":503", "\"from\":\"2001:db8::1\"", "\"protocol\":\"tcp\"");
}

static void test_refusals(void **state)
{
    (void)state;
    EXPECT(ASK("GET http://x:8080/%2f"), "\"outcome\":\"bad_path\"", "\"status\":400");
    EXPECT(ASK("GET http://x:8080/", .field = "a b: c"), "\"outcome\":\"bad_field_name\"");
    EXPECT(ASK("GET http://x:8080/", .field = "Host: other:1:2"), "\"outcome\":\"bad_host\"");
    EXPECT(ASK("POST http://x:8080/", .field = "Content-Length: 2000"),
           "\"outcome\":\"body_too_large\"", "\"status\":413");
}

static void test_questions(void **state)
{
    static const struct {
        struct asked asked;
        const char *field, *says;
    } cases[] = {
        {{.request = "GET https://x:8080/"}, "request", "ask for 'http://x:8080/'"},
        {{.request = "GET x"}, "request", "'x' is neither an address nor a path"},
        {{.request = "GET http:///x"}, "request", "has no host"},
        {{.request = "GET http://x/\r\nA: b"}, "request", "control byte"},
        {{.request = "GET http://x:8080/", .field = "no colon"},
         "headers",
         "'no colon' has no colon"},
        {{.request = "GET http://x:8080/", .field = "a: b\r\nc: d"}, "headers", "control byte"},
        {{.request = "GET http://x:8080/", .from = "here"}, "from", "'here' is not an IP address"},
        {{.request = "GET http://x:8080/", .from = "10.0.0.0/8"}, "from", "is a block"},
        {{.request = "GET http://x/"},
         "listener",
         "no listener has port 80; say which one is meant: web, "},
        {{.request = "GET /", .listener = "wep"}, "listener", "did you mean 'web'?"},
        {{.request = "GET /", .listener = "zzzzzz"},
         "listener",
         "there is web, bare, db, secure, "},
        {{.listener = "web"}, "request", "say which request"},
        {{.request = "/", .listener = "web", .tls = "sni=x"}, "tls", "'web' speaks no TLS"},
        {{.request = "/", .listener = "secure", .tls = "cn=x"},
         "tls",
         "'cn=x' is none of sni=NAME"},
    };
    (void)state;
    const struct snapshot *s = load();
    struct explain_world world = {.snapshot = s};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct explain_question q = question(&cases[i].asked);
        struct explain_fault fault;
        assert_null(explain(&world, &q, &fault));
        assert_string_equal(fault.field, cases[i].field);
        if (!strstr(fault.message, cases[i].says))
            fail_msg("'%s' is not in '%s'", cases[i].says, fault.message);
    }
    snapshot_unref(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_routes),    cmocka_unit_test(test_tls),
        cmocka_unit_test(test_backends),  cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_questions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
