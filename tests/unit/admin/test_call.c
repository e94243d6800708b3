/* SPDX-License-Identifier: MIT */
#include "fake_site.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "verb_path.h"

#define TOKEN "Authorization: Bearer secret-token\r\n"

/* The answer to a request line, fields and a body. */
static char *ask(struct fake *f, bool over_socket, const char *line, const char *fields,
                 const char *body)
{
    char text[4096];
    int n = snprintf(text, sizeof(text),
                     "%s HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: %zu\r\n\r\n%s", line,
                     fields, strlen(body), body);
    f->done_len = 0;
    f->done[0] = 0;
    char *answer = fake_request(f, over_socket, span_of(text, (size_t)n));
    assert_non_null(answer);
    return answer;
}

static void expect(const char *what, const char *answer, int status, const char *part)
{
    int got = 0;
    assert_int_equal(sscanf(answer, "HTTP/1.1 %d ", &got), 1);
    if (got != status || !strstr(answer, part))
        fail_msg("%s: %s", what, answer);
}

static void test_looking(void **state)
{
    static const struct {
        const char *line;
        int status;
        const char *part;
    } cases[] = {
        {"GET /api/v1/status", 200, "\"backends\":{\"total\":4,\"up\":4}"},
        {"GET /api/v1/listeners", 200,
         "\"match\":{\"host\":[\"a.example\"],\"path_prefix\":\"/v1\""},
        {"GET /api/v1/pools", 200, "{\"pools\":[{\"name\":\"app\""},
        {"GET /api/v1/pools/other", 200, "{\"name\":\"other\""},
        {"GET /api/v1/pools/othe", 404, "did you mean 'other'?\",\"field\":\"pool\""},
        {"GET /api/v1/pools/app/backends", 200, "{\"backends\":[{\"name\":\"B1\""},
        {"GET /api/v1/pools/app/backends/B1", 200, "{\"name\":\"B1\""},
        {"GET /api/v1/pools/app/backends/unix:/run/b%20x", 200, "{\"name\":\"unix:/run/b x\""},
        {"GET /api/v1/pools/app/backends/unix:/run/b.sock", 200,
         "\"address\":\"unix:/run/b.sock\""},
        {"GET /api/v1/pools/app/backends/B9", 404, "did you mean 'B1'?\",\"field\":\"name\""},
        {"GET /api/v1/pools/app/backends/%22%0A", 404, "no backend '"},
        {"GET /api/v1/config", 200, "\"listeners\""},
        {"GET /api/v1/sessions", 200, "\"total\":1,\"sessions\":[{"},
        {"GET /api/v1/sessions", 200,
         "\"client_protocol\":\"HTTP/2\",\"tls\":{\"version\":\"TLSv1.3\",\"cipher\":\"C\","
         "\"sni\":\"a.example\"},\"bytes_in\""},
        {"GET /api/v1/sessions?recent=9", 200, "\"sessions\""},
        {"GET /api/v1/sessions?recent=0", 400, "from 1 to 4096"},
        {"GET /api/v1/sessions?since=9", 400, "recent"},
        {"GET /api/v1/events", 200, "text/event-stream"},
        {"GET /metrics", 200, "poise_build_info"},
        {"GET /health", 200, "ok\n"},
        {"GET /", 200, "frame-ancestors 'none'"},
        {"HEAD /", 200, "X-Frame-Options: DENY"},
        {"GET /nothing", 404, "there is nothing at this path"},
        {"POST /api/v1/status", 405, "Allow: GET, HEAD\r\n"},
        {"OPTIONS /api/v1/reload", 405, "Allow: POST\r\n"},
        {"BREW /api/v1/status", 405, "\"method_not_allowed\""},
    };
    static struct fake f;
    (void)state;
    fake_init(&f);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *answer = ask(&f, false, cases[i].line, "", "");
        expect(cases[i].line, answer, cases[i].status, cases[i].part);
        free(answer);
    }
    f.draining = true;
    char *answer = ask(&f, false, "GET /health", "", "");
    expect("draining", answer, 503, "draining\n");
    free(answer);
    fake_fini(&f);
}

static void test_changing(void **state)
{
    static const struct {
        const char *line, *body;
        int status;
        const char *part, *done;
    } cases[] = {
        {"PATCH /api/v1/pools/app/backends/B1", "{\"weight\": 2}", 200, "\"B1\"", "weight B1 2\n"},
        {"PATCH /api/v1/pools/app/backends/B1", "{\"state\": \"drain\", \"weight\": 0}", 200,
         "\"B1\"", "weight B1 0\nstate B1 1\n"},
        {"PATCH /api/v1/pools/app/backends/B1", "{\"state\": \"ready\", \"save\": true}", 200,
         "\"saved\":true", "state B1 0\nsave\n"},
        {"PATCH /api/v1/pools/app/backends/B1", "{\"weight\": 257}", 400, "from 0 to 256", ""},
        {"PATCH /api/v1/pools/app/backends/B1", "{\"weight\": -1}", 400, "\"field\":\"weight\"",
         ""},
        {"PATCH /api/v1/pools/app/backends/B1", "{\"weight\": 1.0}", 400, "whole number", ""},
        {"PATCH /api/v1/pools/app/backends/B1", "{\"weight\": 2, \"state\": \"drained\"}", 400,
         "did you mean 'drain'?", ""},
        {"PATCH /api/v1/pools/app/backends/B1", "{\"save\": 1, \"weight\": 2}", 400,
         "true or false", ""},
        {"PATCH /api/v1/pools/app/backends/B1", "", 400, "nothing to change", ""},
        {"PATCH /api/v1/pools/app/backends/B1", "{", 400, "not JSON", ""},
        {"PATCH /api/v1/pools/app/backends/B9", "{\"weight\": 2}", 404, "\"field\":\"name\"", ""},
        {"DELETE /api/v1/pools/app/backends/B1", "", 200, "\"B1\"", "remove B1\n"},
        {"DELETE /api/v1/pools/app/backends/B1", "{\"weight\": 1}", 400, "no field 'weight'", ""},
        {"POST /api/v1/pools/app/backends",
         "{\"name\": \"B1\", \"address\": \"h:1\", \"weight\": 3, \"backup\": true}", 201, "\"B1\"",
         "add app B1 h:1 3 1\n"},
        {"POST /api/v1/pools/app/backends", "{\"name\": \"B7\"}", 400, "\"field\":\"address\"", ""},
        {"POST /api/v1/pools/app/backends", "{\"address\": 7}", 400, "must be a text", ""},
        {"POST /api/v1/reload", "", 200, "\"generation\":7,\"changes\":[{\"what\":\"pool\"",
         "reload 0\n"},
        {"POST /api/v1/reload", "{\"plan\": true}", 200, "reloaded: 1 change", "reload 1\n"},
        {"POST /api/v1/stop", "{\"now\": true}", 200, "\"ok\":true", "stop 1\n"},
        {"POST /api/v1/upgrade", "", 200, "\"ok\":true", "reload 0\n"},
    };
    static struct fake f;
    (void)state;
    fake_init(&f);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *answer = ask(&f, false, cases[i].line, TOKEN, cases[i].body);
        expect(cases[i].body, answer, cases[i].status, cases[i].part);
        assert_string_equal(f.done, cases[i].done);
        free(answer);
    }
    fake_fini(&f);
}

static void test_operations_that_fail(void **state)
{
    static const struct {
        enum steer_code code;
        int status;
        const char *part;
    } cases[] = {
        {STEER_BAD, 400, "bad_request"},     {STEER_INVALID, 400, "config_invalid"},
        {STEER_NOT_FOUND, 404, "not_found"}, {STEER_CONFLICT, 409, "conflict"},
        {STEER_FAILED, 500, "failed"},
    };
    static const struct {
        const char *line, *body;
    } calls[] = {
        {"PATCH /api/v1/pools/app/backends/B1", "{\"weight\": 2}"},
        {"DELETE /api/v1/pools/app/backends/B1", ""},
        {"POST /api/v1/pools/app/backends", "{\"address\": \"h:1\"}"},
        {"POST /api/v1/reload", ""},
        {"POST /api/v1/stop", ""},
    };
    static struct fake f;
    (void)state;
    fake_init(&f);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        for (size_t k = 0; k < ARRAY_LEN(calls); k++) {
            f.next_code = cases[i].code;
            char *answer = ask(&f, true, calls[k].line, "", calls[k].body);
            expect(calls[k].line, answer, cases[i].status, cases[i].part);
            expect(calls[k].line, answer, cases[i].status, "so it is said");
            free(answer);
        }
    }
    fake_fini(&f);
}

static void test_operations_that_are_not_there(void **state)
{
    static const struct steer_ops none = {.view = fake_view};
    static const char *const lines[] = {
        "PATCH /api/v1/pools/app/backends/B1",
        "DELETE /api/v1/pools/app/backends/B1",
        "POST /api/v1/pools/app/backends",
        "POST /api/v1/reload",
        "POST /api/v1/stop",
        "POST /api/v1/upgrade",
    };
    static struct fake f;
    (void)state;
    fake_init(&f);
    f.site.ops = &none;
    f.site.sessions = NULL;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        char *answer = ask(&f, true, lines[i], "", i == 0 ? "{\"weight\": 1}" : "");
        expect(lines[i], answer, 503, "\"unavailable\"");
        free(answer);
    }
    char *answer = ask(&f, true, "GET /api/v1/sessions", "", "");
    expect("sessions", answer, 503, "\"unavailable\"");
    free(answer);
    fake_fini(&f);
}

/* What cannot be saved is not half done. */
static void test_a_change_that_cannot_be_saved(void **state)
{
    static const struct {
        const char *line, *body;
    } calls[] = {
        {"PATCH /api/v1/pools/app/backends/B1", "{\"weight\": 2, \"save\": true}"},
        {"DELETE /api/v1/pools/app/backends/B1", "{\"save\": true}"},
        {"POST /api/v1/pools/app/backends", "{\"address\": \"h:1\", \"save\": true}"},
    };
    struct steer_ops ops = fake_ops;
    static struct fake f;
    (void)state;
    fake_init(&f);
    ops.save = NULL;
    f.site.ops = &ops;
    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
        char *answer = ask(&f, true, calls[i].line, "", calls[i].body);
        expect(calls[i].line, answer, 503, "\"unavailable\"");
        assert_string_equal(f.done, "");
        free(answer);
    }
    fake_fini(&f);
}

/* Every verb that changes, in every way it may come without the right to. */
static void test_who_may(void **state)
{
    static const struct {
        const char *fields;
        bool over_socket, token_configured;
        int status;
    } cases[] = {
        {"", false, true, 401},
        {"Authorization: Bearer secret-tokem\r\n", false, true, 401},
        {"Authorization: Basic secret-token\r\n", false, true, 401},
        {"", false, false, 403},
        {TOKEN, false, false, 403},
        {TOKEN "Origin: http://evil.example\r\n", false, true, 403},
        {TOKEN "Sec-Fetch-Site: cross-site\r\n", false, true, 403},
        {"Origin: http://evil.example\r\n", true, true, 403},
        {"Sec-Fetch-Site: same-site\r\n", true, true, 403},
    };
    const struct span names[ADMIN_PARAMS_MAX] = {SPAN_INIT("app"), SPAN_INIT("B1")};
    static struct fake f;
    (void)state;
    fake_init(&f);
    for (int v = 0; v < ADMIN_VERB_COUNT; v++) {
        char line[256];
        const struct admin_verb_row *row = admin_verb_row((enum admin_verb)v);
        if (row->who != ADMIN_CHANGERS)
            continue;
        struct writer w = writer_of(line, sizeof(line));
        w_printf(&w, "%s ", row->method_name);
        path_of_verb(&w, (enum admin_verb)v, names);
        w_cstr(&w);
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
            f.site.token = cases[i].token_configured ? "secret-token" : NULL;
            char *answer = ask(&f, cases[i].over_socket, line, cases[i].fields, "");
            expect(line, answer, cases[i].status, "\"error\"");
            assert_string_equal(f.done, "");
            free(answer);
        }
    }
    fake_fini(&f);
}

static void test_foreign_hosts(void **state)
{
    static struct fake f;
    (void)state;
    fake_init(&f);
    struct span text = span_str("GET /api/v1/status HTTP/1.1\r\nHost: evil.example:9900\r\n\r\n");
    for (int over_socket = 0; over_socket < 2; over_socket++) {
        char *answer = fake_request(&f, over_socket, text);
        assert_non_null(answer);
        expect("foreign host", answer, 403, "\"forbidden\"");
        free(answer);
    }
    char *answer = fake_request(&f, false, span_str("GET /health HTTP/1.0\r\n\r\n"));
    expect("no host", answer, 200, "ok");
    free(answer);
    fake_fini(&f);
}

/* An operation whose caller has gone frees the call; the leak checker watches. */
static void test_a_caller_that_goes(void **state)
{
    static struct fake f;
    struct h1_reader reader;
    struct h1_result result;
    static struct head head;
    struct span text = span_str("POST /api/v1/reload HTTP/1.1\r\nHost: localhost\r\n\r\n");
    (void)state;
    fake_init(&f);
    head_init(&head, NULL, 0);
    h1_reader_init(&reader, H1_REQUESTS, &h1_limits_default);
    assert_int_equal(h1_reader_next(&reader, text, &head, &result), H1_HEAD);
    struct call *c = call_new(&f.site, true);
    call_begin(c, &head);
    assert_int_equal(c->state, CALL_ADMITTED);
    call_run(c);
    assert_int_equal(c->state, CALL_LATER);
    call_drop(&c);
    assert_null(c);
    fake_finish(&f);
    fake_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_looking),
        cmocka_unit_test(test_changing),
        cmocka_unit_test(test_operations_that_fail),
        cmocka_unit_test(test_operations_that_are_not_there),
        cmocka_unit_test(test_a_change_that_cannot_be_saved),
        cmocka_unit_test(test_who_may),
        cmocka_unit_test(test_foreign_hosts),
        cmocka_unit_test(test_a_caller_that_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
