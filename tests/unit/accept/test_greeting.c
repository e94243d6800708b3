/* SPDX-License-Identifier: MIT */
/*
 * Greetings on a loop, against a client in the same loop that says its bytes in two pieces: parted
 * at every place there is. The listener has no pool, so that whoever gets as far as a request is
 * answered with no_route.
 */
#include "accept/gate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/check.h"
#include "forward/client.h"

#define REQUEST "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
#define LINE    "PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n"
#define BINARY  "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\300\0\2\1\306\63\144\7\xdc\4\1\xbb"

/* The last piece follows so many turns of the loop later. */
#define PAUSE_TURNS 8
#define GUARD_MS    20000

struct scene {
    struct loop *loop;
    struct account *account;
    struct forwarder f;
    struct address_block here;
    struct listener_conf listener;
    struct front_use use;
    struct front_stay stay;
    struct front_conf conf;
    struct front front;
    struct inlet inlet;
    struct gate *gate;
    _Atomic uint64_t taken;
    /* the client */
    struct stream *s;
    struct span first, last;
    struct deferred pause;
    unsigned paused;
    struct timer guard;
    struct deferred turn;
    bool over;
    size_t answer_n;
    char answer[1024];
};

static const enum loop_engine engines[] = {LOOP_ENGINE_EPOLL, LOOP_ENGINE_URING};

/* ---- the client ---- */

static struct scene *scene_of(struct stream *s)
{
    return s->user;
}

static void send_piece(struct scene *t, struct span piece)
{
    struct slice slice = {piece.p, (uint32_t)piece.n, NULL};
    if (piece.n > 0)
        (void)stream_send(t->s, &slice, 1); /* who was refused has nobody to send to */
}

static void client_over(struct scene *t)
{
    t->over = true;
    loop_defer_cancel(t->loop, &t->pause);
    stream_close(&t->s, STREAM_CLOSE_NORMAL);
    loop_stop(t->loop);
}

static void on_connected(struct stream *s)
{
    struct scene *t = scene_of(s);
    send_piece(t, t->first);
    t->paused = 0;
    loop_defer(t->loop, &t->pause);
}

static void on_pause(struct deferred *d)
{
    struct scene *t = container_of(d, struct scene, pause);
    if (++t->paused == PAUSE_TURNS)
        send_piece(t, t->last);
    else
        loop_defer(t->loop, d);
}

static void on_data(struct stream *s, struct slice in)
{
    struct scene *t = scene_of(s);
    size_t n = MIN((size_t)in.n, sizeof(t->answer) - 1 - t->answer_n);
    memcpy(t->answer + t->answer_n, in.p, n);
    t->answer_n += n;
}

static void on_eof(struct stream *s)
{
    client_over(scene_of(s));
}

static void on_sent(struct stream *s)
{
    (void)s;
}

static void on_failed(struct stream *s, enum reason why)
{
    (void)why; /* closed with bytes unread */
    client_over(scene_of(s));
}

static const struct stream_ops client_ops = {
    .connected = on_connected,
    .data = on_data,
    .eof = on_eof,
    .sent = on_sent,
    .failed = on_failed,
};

static void on_guard(struct timer *timer)
{
    (void)timer;
    fail_msg("nothing came of it");
}

/* ---- the scene ---- */

static void scene_open(struct scene *t, enum loop_engine engine, enum protocol protocol)
{
    struct loop_options options = {.engine = engine, .streams_max = 64};
    struct listener_options listen = {.address = {.kind = ADDRESS_V4, .ip = {127, 0, 0, 1}},
                                      .shards = 1};
    char why[LISTENER_WHY_MAX];
    const char *bad;
    *t = (struct scene){0};
    assert_int_equal(loop_new(&options, &t->loop), 0);
    t->account = account_new(NULL);
    assert_non_null(t->account);
    struct forwarder_options o = {.loop = t->loop, .account = t->account, .clients_max = 16};
    assert_int_equal(forwarder_init(&t->f, &o), 0);
    assert_int_equal(address_block_parse(span_str("127.0.0.1"), &t->here, &bad), 0);
    t->listener = (struct listener_conf){
        .name = "web",
        .protocol = protocol,
        .pool = -1,
        .proxies = &t->here,
        .proxy_count = 1,
        .handshake_ms = 10000,
        .request_ms = 5000,
        .send_ms = 5000,
    };
    t->conf = (struct front_conf){
        .conf = &t->listener, .limits = h1_limits_default, .uses = &t->use, .key = &t->front.key};
    atomic_store(&t->front.conf, &t->conf);
    t->front.stays = &t->stay;
    assert_int_equal(listener_open(&listen, &t->inlet.listener, why), 0);
    atomic_store(&t->inlet.front, &t->front);
    assert_int_equal(gate_open(&t->f, &t->inlet, 0, &t->taken, &t->gate), 0);
    t->pause.fn = on_pause;
    timer_init(&t->guard, on_guard);
    loop_timer_set(t->loop, &t->guard, GUARD_MS);
}

static void scene_close(struct scene *t)
{
    loop_timer_stop(t->loop, &t->guard);
    gate_close(&t->gate);
    forwarder_close_all(&t->f);
    assert_int_equal(atomic_load(&t->front.connections), 0);
    forwarder_fini(&t->f);
    account_free(&t->account);
    listener_close(&t->inlet.listener);
    loop_free(&t->loop);
}

static void end_turn(struct deferred *d)
{
    loop_stop(container_of(d, struct scene, turn)->loop);
}

static void turn(struct scene *t)
{
    t->turn.fn = end_turn;
    loop_defer(t->loop, &t->turn);
    loop_run(t->loop);
}

/* Runs one client to its end; the reason that it came to. */
static enum reason play(struct scene *t, struct span first, struct span last)
{
    struct account_totals before = {0}, after = {0};
    account_totals(t->account, &before);
    t->first = first;
    t->last = last;
    t->over = false;
    t->answer_n = 0;
    memset(t->answer, 0, sizeof(t->answer));
    t->s = stream_connect(t->loop, listener_address(t->inlet.listener), &client_ops, t);
    assert_non_null(t->s);
    stream_read(t->s, true);
    while (!t->over)
        loop_run(t->loop);
    while (t->f.client_count > 0)
        turn(t);
    account_totals(t->account, &after);
    assert_true(after.exchanges <= before.exchanges + 1);
    for (unsigned r = 0; r < REASON_COUNT; r++)
        if (after.by_reason[r] > before.by_reason[r])
            return (enum reason)r;
    return REASON_ok; /* nothing was accounted */
}

static void every_engine(void (*test)(struct scene *t), enum protocol protocol)
{
    for (size_t i = 0; i < ARRAY_LEN(engines); i++) {
        const char *why;
        static struct scene t;
        if (loop_engine_try(engines[i], &why) < 0)
            continue;
        scene_open(&t, engines[i], protocol);
        test(&t);
        scene_close(&t);
    }
}

/* ---- tests ---- */

static void parted(struct scene *t, struct span all, enum reason expected)
{
    for (size_t at = 0; at <= all.n; at++) {
        enum reason got = play(t, span_sub(all, 0, at), span_from(all, at));
        if (got != expected)
            fail_msg("parted at %zu: %s, not %s", at, reason_name(got), reason_name(expected));
        bool answered = strncmp(t->answer, "HTTP/1.1 404 ", 13) == 0;
        assert_int_equal(answered, expected == REASON_no_route);
    }
}

static void headers(struct scene *t)
{
    parted(t, span_str(LINE REQUEST), REASON_no_route);
    parted(t, span_str(BINARY REQUEST), REASON_no_route);
    parted(t, span_str("PROXY UNKNOWN\r\n" REQUEST), REASON_no_route);
}

static void bad_headers(struct scene *t)
{
    parted(t, span_str("PROXY TCP4 192.0.2.1 198.51.100.7 56324\r\n"), REASON_proxy_header_bad);
    parted(t, span_str("GET / HTTP/1.1\r\n\r\n"), REASON_proxy_header_missing);
}

static void no_headers(struct scene *t)
{
    t->listener.handshake_ms = t->listener.request_ms = 50;
    assert_int_equal(play(t, span_str(""), span_str("")), REASON_ok);
    assert_int_equal(play(t, span_str("PROXY"), span_str("")), REASON_handshake_timeout);
    assert_int_equal(play(t, span_str(BINARY), span_str("")), REASON_ok);
}

/* The name decides; there is no pool for any. */
static void hellos(struct scene *t)
{
    struct route_conf route = {.name = "none"};
    t->listener.routes = &route;
    t->listener.route_count = 1;
    parted(t, span_str("PROXY UNKNOWN\r\n\x16\3\1\0\5\2"), REASON_not_tls);
    assert_int_equal(play(t, span_str(LINE "\x16\3\1\0\5"), span_str("\1\0\0\1\3")),
                     REASON_client_hello_bad);
    t->listener.handshake_ms = 50;
    assert_int_equal(play(t, span_str(LINE "\x16\3\1\0\5"), span_str("\1\0\1\0")),
                     REASON_handshake_timeout);
    t->listener.routes = NULL;
    t->listener.route_count = 0;
}

/* A client that a reload or an end takes away in the middle of its header. */
static void cut(struct scene *t)
{
    t->first = span_str("PROXY ");
    t->last = span_str("");
    t->over = false;
    t->s = stream_connect(t->loop, listener_address(t->inlet.listener), &client_ops, t);
    assert_non_null(t->s);
    stream_read(t->s, true);
    while (t->f.client_count == 0)
        turn(t);
    forwarder_close_front(&t->f, &t->front);
    assert_int_equal(t->f.client_count, 0);
    while (!t->over)
        loop_run(t->loop);
}

static void refused(struct scene *t)
{
    t->listener.max_connections = 1;
    atomic_store(&t->front.connections, 1);
    assert_int_equal(play(t, span_str(LINE REQUEST), span_str("")), REASON_too_many_connections);
    assert_int_equal(t->answer_n, 0);
    atomic_store(&t->front.connections, 0);
    t->listener.max_connections = 0;
}

static void test_headers(void **state)
{
    (void)state;
    every_engine(headers, PROTOCOL_HTTP);
}

static void test_bad_headers(void **state)
{
    (void)state;
    every_engine(bad_headers, PROTOCOL_HTTP);
}

static void test_no_headers(void **state)
{
    (void)state;
    every_engine(no_headers, PROTOCOL_HTTP);
}

static void test_hellos(void **state)
{
    (void)state;
    every_engine(hellos, PROTOCOL_TCP);
}

static void test_cut(void **state)
{
    (void)state;
    every_engine(cut, PROTOCOL_HTTP);
}

static void test_refused(void **state)
{
    (void)state;
    every_engine(refused, PROTOCOL_HTTP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_headers),    cmocka_unit_test(test_bad_headers),
        cmocka_unit_test(test_no_headers), cmocka_unit_test(test_hellos),
        cmocka_unit_test(test_cut),        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
