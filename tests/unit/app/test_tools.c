/* SPDX-License-Identifier: MIT */
/*
 * The test server and the test traffic, talking to each other over loopback on one loop, and the
 * server to bytes that no well-behaved client sends.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "app/test_server.h"
#include "app/traffic.h"
#include "io/listener.h"
#include "io/loop.h"

#define WAIT_MS 20000 /* bounds only how long a failing test takes */

static struct loop *loop;
static struct listener *listener;
static struct acceptor acceptor;
static struct test_server *server;
static struct address address;

static void start(const struct test_server_options *options)
{
    struct loop_options looping = {.engine = LOOP_ENGINE_AUTO};
    struct listener_options listening = {.address = {.kind = ADDRESS_V4, .ip = {127, 0, 0, 1}},
                                         .shards = 1};
    char why[LISTENER_WHY_MAX];
    assert_int_equal(loop_new(&looping, &loop), 0);
    assert_int_equal(listener_open(&listening, &listener, why), 0);
    address = *listener_address(listener);
    server = test_server_new(loop, options);
    assert_int_equal(acceptor_start(loop, &acceptor, listener, 0, test_server_accepted, server), 0);
}

static void start_plain(void)
{
    start(&(struct test_server_options){.name = "B1"});
}

static void stop(void)
{
    acceptor_stop(&acceptor);
    test_server_free(&server);
    listener_close(&listener);
    loop_free(&loop);
}

/* ---- traffic ---- */

static struct traffic_options options_of(uint64_t requests, uint32_t connections)
{
    return (struct traffic_options){.to = address,
                                    .host = "x",
                                    .path = "/",
                                    .requests = requests,
                                    .connections = connections,
                                    .timeout_ms = WAIT_MS};
}

static void finished(struct traffic *t, void *user)
{
    (void)t;
    loop_stop(user);
}

/* Runs to the end; the report is kept where the next run overwrites it. */
static const struct traffic_report *run(const struct traffic_options *options)
{
    static struct traffic_report report;
    struct traffic *t = traffic_new(loop, options, finished, loop);
    loop_run(loop);
    memcpy(&report, traffic_report(t), sizeof(report));
    traffic_free(&t);
    return &report;
}

static void http_answers_are_counted(void **state)
{
    (void)state;
    start_plain();
    struct traffic_options options = options_of(1000, 7);
    options.http = true;
    const struct traffic_report *r = run(&options);
    assert_int_equal(r->answered, 1000);
    assert_int_equal(r->failed, 0);
    assert_int_equal(traffic_tally_of(&r->backends, "B1"), 1000);
    assert_int_equal(histogram_count(&r->latency_us), 1000);
    assert_memory_equal(r->last_answer, "Hello from B1", r->last_answer_len);
    stop();
}

static void raw_bytes_are_answered(void **state)
{
    (void)state;
    start_plain();
    struct traffic_options options = options_of(100, 3);
    options.message = "Hello from Client";
    const struct traffic_report *r = run(&options);
    assert_int_equal(r->answered, 100);
    assert_int_equal(traffic_tally_of(&r->backends, "B1"), 100);
    stop();
}

static void with_a_rate_too(void **state)
{
    (void)state;
    start_plain();
    struct traffic_options options = options_of(50, 2);
    options.http = true;
    options.rate_per_s = 1000;
    assert_int_equal(run(&options)->answered, 50);
    stop();
}

/* A request that a server of HTTP alone refuses; "X" would be taken for a greeting. */
static void goes_over_to_http(void **state)
{
    (void)state;
    start_plain();
    struct traffic_options options = options_of(20, 4);
    options.message = "GET / HTTP/9.9\r\n\r\n";
    options.turn_http = true;
    const struct traffic_report *r = run(&options);
    assert_int_equal(r->answered, 20);
    assert_int_equal(r->failed, 0);
    assert_int_equal(traffic_tally_of(&r->backends, "B1"), 20);
    stop();
}

static void failures_are_named(void **state)
{
    (void)state;
    start_plain();
    struct traffic_options options = options_of(10, 2);
    options.http = true;
    options.path = "/status/503";
    const struct traffic_report *r = run(&options);
    assert_int_equal(r->answered, 0);
    assert_int_equal(traffic_tally_of(&r->errors, "HTTP 503"), 10);
    options.path = "/delay/3600000";
    options.timeout_ms = 20;
    r = run(&options);
    assert_int_equal(traffic_tally_of(&r->errors, "no answer in time"), 10);
    acceptor_stop(&acceptor);
    listener_close(&listener);
    options.path = "/";
    options.timeout_ms = WAIT_MS;
    r = run(&options);
    assert_int_equal(traffic_tally_of(&r->errors, "connect_refused"), 10);
    test_server_free(&server);
    loop_free(&loop);
}

static void errors_on_purpose(void **state)
{
    (void)state;
    start(&(struct test_server_options){.name = "B1", .error_rate = 0.5, .seed = 1});
    struct traffic_options options = options_of(1000, 4);
    options.http = true;
    const struct traffic_report *r = run(&options);
    assert_in_range(traffic_tally_of(&r->errors, "HTTP 500"), 400, 600);
    options.path = "/health";
    assert_int_equal(run(&options)->failed, 0);
    stop();
}

static void a_limit_of_concurrency(void **state)
{
    (void)state;
    start(&(struct test_server_options){.name = "B1", .delay_ms = 30, .concurrency_max = 2});
    struct traffic_options options = options_of(5, 5);
    options.http = true;
    const struct traffic_report *r = run(&options);
    assert_int_equal(r->answered, 2);
    assert_int_equal(traffic_tally_of(&r->errors, "HTTP 503"), 3);
    assert_int_equal(run(&options)->answered, 2); /* and they are free again */
    stop();
}

static void sized_bodies(void **state)
{
    (void)state;
    start(&(struct test_server_options){.name = "B7", .sized = true, .body_bytes = 3000000});
    struct traffic_options options = options_of(20, 2);
    options.http = true;
    const struct traffic_report *r = run(&options);
    assert_int_equal(traffic_tally_of(&r->backends, "B7"), 20);
    stop();
}

static void many_names(void **state)
{
    (void)state;
    static struct traffic_tallies t;
    for (int i = 0; i < 200; i++) {
        char name[8];
        int n = snprintf(name, sizeof(name), "B%d", i % 100);
        traffic_tally_add(&t, span_of(name, (size_t)n));
    }
    assert_int_equal(t.count, TRAFFIC_NAMES_MAX);
    assert_int_equal(traffic_tally_of(&t, "B0"), 2);
    assert_int_equal(traffic_tally_of(&t, "(others)"), 200 - 2 * (TRAFFIC_NAMES_MAX - 1));
}

/* ---- the server and odd clients ---- */

/* Sends a text in pieces, each from a turn of its own, and collects the answer up to its end. */
struct talk {
    struct stream *stream;
    struct timer timer;
    struct span text;
    size_t step, sent;
    bool half_close;
    size_t len, kept;
    char answer[4096];
};

static void talk_over(struct talk *t)
{
    loop_timer_stop(loop, &t->timer);
    stream_close(&t->stream, STREAM_CLOSE_NORMAL);
    loop_stop(loop);
}

static void talk_next(struct timer *timer)
{
    struct talk *t = container_of(timer, struct talk, timer);
    size_t n = MIN(t->step, t->text.n - t->sent);
    struct slice piece = {t->text.p + t->sent, (uint32_t)n, NULL};
    t->sent += n;
    if (n)
        assert_int_equal(stream_send(t->stream, &piece, 1), SEND_DONE);
    if (t->sent < t->text.n)
        loop_timer_set(loop, &t->timer, 1);
    else if (t->half_close)
        stream_shutdown(t->stream);
}

static void talk_connected(struct stream *s)
{
    struct talk *t = s->user;
    talk_next(&t->timer);
}

static void talk_data(struct stream *s, struct slice in)
{
    struct talk *t = s->user;
    size_t n = MIN((size_t)in.n, sizeof(t->answer) - 1 - t->kept);
    memcpy(t->answer + t->kept, in.p, n);
    t->kept += n;
    t->len += in.n;
}

static void talk_eof(struct stream *s)
{
    talk_over(s->user);
}

static void talk_sent(struct stream *s)
{
    (void)s;
}

static void talk_failed(struct stream *s, enum reason why)
{
    struct talk *t = s->user;
    (void)snprintf(t->answer, sizeof(t->answer), "failed: %s", reason_name(why));
    talk_over(t);
}

static const struct stream_ops talk_ops = {
    .connected = talk_connected,
    .data = talk_data,
    .eof = talk_eof,
    .sent = talk_sent,
    .failed = talk_failed,
};

static const struct talk *talk(struct span text, size_t step, bool half_close)
{
    static struct talk t;
    memset(&t, 0, sizeof(t));
    t.text = text;
    t.step = step;
    t.half_close = half_close;
    timer_init(&t.timer, talk_next);
    t.stream = stream_connect(loop, &address, &talk_ops, &t);
    assert_non_null(t.stream);
    stream_read(t.stream, true);
    loop_run(loop);
    return &t;
}

/* How often a text is in an answer, which may have NULs in it. */
static size_t count_of(const struct talk *t, const char *needle)
{
    struct span rest = span_of(t->answer, t->kept);
    size_t count = 0, at;
    while ((at = span_find_span(rest, span_cstr(needle))) != SPAN_NOT_FOUND) {
        rest = span_from(rest, at + 1);
        count++;
    }
    return count;
}

static void greetings_of_every_kind(void **state)
{
    (void)state;
    static const struct span texts[] = {
        SPAN_INIT("Hello from Client"),
        SPAN_INIT("hi"),
        SPAN_INIT("\x01\x02"),
        SPAN_INIT("GET"),
        SPAN_INIT("\r\n\r"),
        SPAN_INIT("GET / FTP/1.0\r\n"),
        SPAN_INIT("a b HTML"),
        SPAN_INIT("\0"),
    };
    start_plain();
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        assert_string_equal(talk(texts[i], SIZE_MAX, false)->answer, "Hello from B1");
        assert_string_equal(talk(texts[i], 1, true)->answer, "Hello from B1");
    }
    static uint8_t much[200000];
    memset(much, 'x', sizeof(much));
    assert_string_equal(talk(span_of(much, sizeof(much)), 100000, false)->answer, "Hello from B1");
    stop();
}

/* Pipelined requests give the same answers however their bytes are split. */
static void pipelined_requests_at_every_split(void **state)
{
    (void)state;
    static const struct span text = SPAN_INIT(
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nA: b\r\n\r\n"
        "GET /delay/1 HTTP/1.1\r\nHost: x\r\n\r\n"
        "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\nabcd"
        "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"
        "GET /chunked/3 HTTP/1.1\r\nHost: x\r\n\r\n"
        "GET / HTTP/1.0\r\n\r\n");
    start_plain();
    for (size_t step = 1; step <= text.n; step += step < 8 ? 1 : 11) {
        const struct talk *t = talk(text, step, false);
        assert_int_equal(count_of(t, "HTTP/1.1 200 OK\r\n"), 6);
        assert_int_equal(count_of(t, "HTTP/1.1 100 Continue\r\n\r\n"), 1);
        assert_int_equal(count_of(t, "X-Body-Bytes: 5\r\n"), 1);
        assert_int_equal(count_of(t, "\r\n\r\nabcdeHTTP/1.1 200"), 1);
        assert_int_equal(count_of(t, "X-Body-Bytes: 4\r\n"), 1);
        assert_int_equal(count_of(t, "Hello from B1"), 3); /* none for HEAD */
        assert_int_equal(count_of(t, "Connection: close\r\n\r\nHello from B1"), 1);
    }
    stop();
}

static void refusals_arrive(void **state)
{
    (void)state;
    static const struct {
        struct span text;
        const char *status;
    } rows[] = {
        {SPAN_INIT("GET / HTTP/1.1\r\n\r\n"), "HTTP/1.1 400 "},
        {SPAN_INIT("GET / HTTP/2.0\r\nHost: x\r\n\r\n"), "HTTP/1.1 505 "},
        {SPAN_INIT("GET /bytes/x HTTP/1.0\r\n\r\n"), "HTTP/1.1 400 "},
        {SPAN_INIT("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
         "HTTP/1.1 400 "},
    };
    start_plain();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct talk *t = talk(rows[i].text, SIZE_MAX, false);
        assert_int_equal(strncmp(t->answer, rows[i].status, strlen(rows[i].status)), 0);
        assert_non_null(strstr(t->answer, "Connection: close\r\n"));
    }
    stop();
}

static void a_large_body_before_pipelined_requests(void **state)
{
    (void)state;
    start_plain();
    const struct talk *t = talk(span_str("GET /bytes/5000000 HTTP/1.1\r\nHost: x\r\n\r\n"
                                         "GET /headers HTTP/1.0\r\nX-Last: 1\r\n\r\n"),
                                SIZE_MAX, false);
    assert_in_range(t->len, 5000000 + 200, 5000000 + 500);
    assert_non_null(strstr(t->answer, "Content-Length: 5000000\r\n"));
    const uint8_t *body = (const uint8_t *)strstr(t->answer, "\r\n\r\n") + 4;
    for (uint32_t i = 0; i < 1000; i++)
        assert_int_equal(body[i], (uint8_t)(i ^ i >> 8));
    stop();
}

static void clients_that_vanish(void **state)
{
    (void)state;
    start_plain();
    (void)talk(span_str(""), 1, true);
    (void)talk(span_str("GET / HTTP/1.1\r\nHost:"), SIZE_MAX, true);
    (void)talk(span_str("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc"), SIZE_MAX,
               true);
    stop(); /* and nothing is left: loop_free checks */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(http_answers_are_counted),
        cmocka_unit_test(raw_bytes_are_answered),
        cmocka_unit_test(with_a_rate_too),
        cmocka_unit_test(goes_over_to_http),
        cmocka_unit_test(failures_are_named),
        cmocka_unit_test(errors_on_purpose),
        cmocka_unit_test(a_limit_of_concurrency),
        cmocka_unit_test(sized_bodies),
        cmocka_unit_test(many_names),
        cmocka_unit_test(greetings_of_every_kind),
        cmocka_unit_test(pipelined_requests_at_every_split),
        cmocka_unit_test(refusals_arrive),
        cmocka_unit_test(a_large_body_before_pipelined_requests),
        cmocka_unit_test(clients_that_vanish),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
