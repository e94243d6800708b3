/* SPDX-License-Identifier: MIT */
/* What goes into a row comes out of it, the newest first, and a reader beside the writer never sees
 * half a row. */
#include "account/record.h"
#include "account/recorder.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct address somebody = {.kind = ADDRESS_V4, .port = 4711, .ip = {192, 0, 2, 1}};

static struct flight sample(void)
{
    return (struct flight){
        .begun_ns = 1000,
        .picked_ns = 8000,
        .connected_ns = 16000,
        .first_byte_ns = 25000,
        .ended_ns = 1000 + (UINT64_C(1000) << 40),
        .bytes_in = 6,
        .bytes_out = UINT64_MAX,
        .client = &somebody,
        .listener = "web",
        .pool = "app",
        .backend = "B1",
        .head =
            span_str("PUT /a/b?c HTTP/1.1\r\nA: b\r\nHOST:  example.com \r\nX-Request-Id: 42\r\n"),
        .retries = 3,
        .status = 502,
        .reason = REASON_backend_reset,
        .state = 4,
        .marks = FLIGHT_HTTP_1_1,
    };
}

static void is(struct span text, const char *expected)
{
    assert_int_equal(text.n, strlen(expected));
    if (text.n)
        assert_memory_equal(text.p, expected, text.n);
}

static void everything_comes_back(void **state)
{
    (void)state;
    struct flight f = sample();
    struct flight_row row;
    struct flight_view v;
    flight_pack(&row, &f);
    flight_view(&row, &v);
    is(v.listener, "web");
    is(v.route, "");
    is(v.pool, "app");
    is(v.backend, "B1");
    is(v.method, "PUT");
    is(v.target, "/a/b?c");
    is(v.host, "example.com");
    is(v.request_id, "42");
    assert_int_equal(v.bytes_in, 6);
    assert_true(v.bytes_out == UINT64_MAX);
    assert_int_equal(v.queue_us, 7);
    assert_int_equal(v.connect_us, 8);
    assert_int_equal(v.response_us, 9);
    assert_int_equal(v.total_us, UINT64_C(1) << 40);
    assert_int_equal(v.status, 502);
    assert_int_equal(v.reason, REASON_backend_reset);
    assert_int_equal(v.retries, 3);
    assert_int_equal(v.state, 4);
    assert_true(v.http && address_equal(&v.client, &somebody));
}

static void words_of_tls(void **state)
{
    (void)state;
    static const struct flight_tls tls = {
        .version = SPAN_INIT("TLSv1.3"),
        .cipher = SPAN_INIT("TLS_AES_128_GCM_SHA256"),
        .sni = SPAN_INIT("a.example.com"),
        .backend_version = SPAN_INIT("TLSv1.2"),
        .backend_cipher = SPAN_INIT("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
    };
    struct flight f = sample();
    struct flight_row row;
    struct flight_view v;
    f.marks = FLIGHT_HTTP_2 | FLIGHT_BACKEND_TLS | FLIGHT_WEBSOCKET |
              RECORD_GRPC(16) << FLIGHT_GRPC_SHIFT;
    f.tls = &tls;
    f.request_id = span_str("of its own");
    flight_pack(&row, &f);
    flight_view(&row, &v);
    assert_int_equal(v.marks, f.marks);
    assert_int_equal(v.grpc, RECORD_GRPC(16));
    is(v.tls.version, "TLSv1.3");
    is(v.tls.cipher, "TLS_AES_128_GCM_SHA256");
    is(v.tls.sni, "a.example.com");
    is(v.tls.backend_version, "TLSv1.2");
    is(v.tls.backend_cipher, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256");
    is(v.backend, "B1");
    is(v.request_id, "of its own");
    is(v.host, "example.com");
    assert_true(v.http);
    f.tls = NULL;
    f.marks = FLIGHT_TCP;
    flight_pack(&row, &f);
    flight_view(&row, &v);
    assert_false(v.http);
    assert_int_equal(v.grpc, 0);
    is(v.tls.version, "");
    is(v.tls.sni, "");
}

/* The id lies in the head as a rule: in what is kept of it, behind that, or across; or elsewhere.
 */
static void the_id_is_found(void **state)
{
    (void)state;
    static const char id[] = "0123456789abcdef0123456789abcdef";
    for (size_t at = 0; at < 260; at++) {
        char head[300];
        memset(head, 'x', sizeof(head));
        memcpy(head + at, id, 32);
        struct flight f = sample();
        f.head = span_of(head, sizeof(head));
        f.request_id = span_of(head + at, 32);
        struct flight_row row;
        struct flight_view v;
        flight_pack(&row, &f);
        flight_view(&row, &v);
        is(v.request_id, id);
        is(v.backend, "B1");
        assert_int_equal(v.method.n, 160);
        assert_memory_equal(v.method.p, head, 160);
    }
    struct flight f = sample();
    struct flight_row row;
    struct flight_view v;
    f.request_id = span_str("of its own");
    flight_pack(&row, &f);
    flight_view(&row, &v);
    is(v.request_id, "of its own");
    is(v.target, "/a/b?c");
    is(v.host, "example.com");
}

/* Names that are known are not read again; with another owner, or a route, they are. */
static void names_of_the_same_owners(void **state)
{
    (void)state;
    static const struct {
        uint32_t births[3];
        const char *backend, *route, *expected;
    } steps[] = {
        {{1, 2, 3}, "B1", NULL, "B1"}, {{1, 2, 3}, "not read", NULL, "B1"},
        {{1, 2, 3}, "B1", "r", "B1"},  {{1, 2, 19}, "B2", NULL, "B2"},
        {{1, 2, 3}, "B3", NULL, "B3"}, {{1, 4, 3}, "B4", NULL, "B4"},
        {{5, 4, 3}, "B5", NULL, "B5"}, {{5, 4, 0}, "B6", NULL, "B6"},
        {{5, 4, 0}, "B7", NULL, "B7"}, {{0, 0, 0}, NULL, NULL, ""},
        {{5, 0, 7}, "B8", NULL, "B8"}, {{5, 0, 7}, "B9", NULL, "B9"},
        {{5, 4, 3}, "a", NULL, "B5"},  {{5, 4, 3}, "a", "route", "a"},
    };
    struct recorder *r = recorder_new();
    assert_non_null(r);
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        struct flight f = sample();
        struct flight_row row;
        struct flight_view v;
        memcpy(f.births, steps[i].births, sizeof(f.births));
        f.backend = steps[i].backend;
        f.route = steps[i].route;
        recorder_put(r, &f);
        assert_int_equal(recorder_read(r, &row, 1), 1);
        flight_view(&row, &v);
        is(v.listener, "web");
        is(v.route, steps[i].route ? steps[i].route : "");
        is(v.pool, "app");
        is(v.backend, steps[i].expected);
        is(v.host, "example.com");
    }
    recorder_free(&r);
}

/* Whatever there is too much of, the row holds; and a head may end anywhere. */
static void it_is_cut(void **state)
{
    (void)state;
    static char name[301], head[4096];
    memset(name, 'n', 300);
    struct flight f = sample();
    memset(head, 'x', sizeof(head));
    memcpy(head, "GET /", 5);
    const struct span long_name = span_of(name, 300);
    const struct flight_tls tls = {long_name, long_name, long_name, long_name, long_name};
    f.listener = f.route = f.pool = f.backend = name;
    f.request_id = span_of(name, 300);
    for (size_t n = 0; n <= sizeof(head); n += n < 300 ? 1 : 500) {
        struct flight_row row;
        struct flight_view v;
        f.head = span_of(head, n);
        f.route = f.pool = f.backend = n % 2 ? name : NULL;
        f.tls = n % 3 ? &tls : NULL;
        flight_pack(&row, &f);
        flight_view(&row, &v);
        assert_int_equal(v.listener.n, 63);
        assert_true(v.target.n < RECORDER_TEXT_MAX);
        assert_int_equal(v.tls.version.n, n % 3 ? 15 : 0);
        if (n % 3) {
            assert_int_equal(v.tls.cipher.n, n % 2 ? 0 : 47); /* the row is full */
            assert_int_equal(v.tls.sni.n, n % 2 ? 0 : 63);
            assert_int_equal(v.tls.backend_cipher.n, n % 2 ? 0 : 47);
        }
    }
}

static void the_newest_first(void **state)
{
    (void)state;
    struct recorder *r = recorder_new();
    struct flight_row *rows = calloc(RECORDER_ROWS + 10, sizeof(*rows));
    assert_true(r && rows);
    assert_int_equal(recorder_read(r, rows, 10), 0);
    struct flight f = sample();
    for (uint64_t i = 1; i <= 2 * RECORDER_ROWS + 3; i++) {
        f.ended_ns = i;
        recorder_put(r, &f);
        if (i == 3)
            assert_int_equal(recorder_read(r, rows, 10), 3);
    }
    assert_int_equal(recorder_count(r), 2 * RECORDER_ROWS + 3);
    assert_int_equal(recorder_read(r, rows, 10), 10);
    assert_int_equal(recorder_read(r, rows, RECORDER_ROWS + 10), RECORDER_ROWS);
    for (uint64_t i = 0; i < RECORDER_ROWS; i++) {
        struct flight_view v;
        flight_view(&rows[i], &v);
        assert_int_equal(v.ended_ns, 2 * RECORDER_ROWS + 3 - i);
    }
    free(rows);
    recorder_free(&r);
    assert_null(r);
}

struct race {
    struct recorder *r;
    atomic_bool end;
};

/* Every number of a row is the same one. */
static void *write_on(void *user)
{
    struct race *race = user;
    char name[32];
    for (uint64_t i = 1; !atomic_load(&race->end); i++) {
        struct flight f = sample();
        (void)snprintf(name, sizeof(name), "%llu", (unsigned long long)i);
        f.ended_ns = f.bytes_in = f.bytes_out = i;
        f.backend = name;
        recorder_put(race->r, &f);
    }
    return NULL;
}

static void never_half_a_row(void **state)
{
    (void)state;
    struct race race = {.r = recorder_new()};
    struct flight_row *rows = calloc(RECORDER_ROWS, sizeof(*rows));
    pthread_t writer;
    assert_true(race.r && rows);
    assert_int_equal(pthread_create(&writer, NULL, write_on, &race), 0);
    size_t seen = 0;
    for (unsigned round = 0; round < 200 || seen < 1000; round++) {
        size_t n = recorder_read(race.r, rows, RECORDER_ROWS);
        for (size_t i = 0; i < n; i++) {
            struct flight_view v;
            char name[32];
            flight_view(&rows[i], &v);
            (void)snprintf(name, sizeof(name), "%llu", (unsigned long long)v.ended_ns);
            is(v.backend, name);
            assert_int_equal(v.bytes_in, v.ended_ns);
            assert_int_equal(v.bytes_out, v.ended_ns);
        }
        seen += n;
    }
    atomic_store(&race.end, true);
    assert_int_equal(pthread_join(writer, NULL), 0);
    free(rows);
    recorder_free(&race.r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_comes_back),
        cmocka_unit_test(the_id_is_found),
        cmocka_unit_test(names_of_the_same_owners),
        cmocka_unit_test(it_is_cut),
        cmocka_unit_test(the_newest_first),
        cmocka_unit_test(never_half_a_row),
        cmocka_unit_test(words_of_tls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
