/* SPDX-License-Identifier: MIT */
/* The rules of io/loop.h, kept by the engine of the simulator: one machine dials another. */
#include "sim/loop_sim.h"

#include "io/listener.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#define LATENCY_NS UINT64_C(1000000)

/* What was called on one side. */
struct side {
    struct stream *s;
    char calls[256];
    uint64_t received;
    bool stop_reading;
};

static struct world *w;
static struct network *n;
static struct machine *machines[2];
static struct loop *loops[2]; /* 0 dials, 1 listens */
static struct listener *listener;
static struct acceptor acceptor;
static struct side dialler, taker;
static struct loop *ended;
static uint8_t big[1u << 20];

static void say(struct side *x, const char *what)
{
    size_t len = strlen(x->calls);
    (void)snprintf(x->calls + len, sizeof(x->calls) - len, "%s%s", len ? " " : "", what);
}

static void on_connected(struct stream *s)
{
    say(s->user, "connected");
}

static void on_data(struct stream *s, struct slice in)
{
    struct side *x = s->user;
    if (x->received == 0)
        say(x, "data");
    x->received += in.n;
    if (x->stop_reading)
        stream_read(s, false);
}

static void on_eof(struct stream *s)
{
    say(s->user, "eof");
}

static void on_sent(struct stream *s)
{
    say(s->user, "sent");
}

static void on_failed(struct stream *s, enum reason why)
{
    say(s->user, reason_name(why));
}

static const struct stream_ops ops = {.connected = on_connected,
                                      .data = on_data,
                                      .eof = on_eof,
                                      .sent = on_sent,
                                      .failed = on_failed};

static void on_accepted(struct acceptor *a, struct stream *s)
{
    (void)a;
    taker.s = s;
    stream_set_ops(s, &ops, &taker);
    stream_read(s, true);
}

static void on_stopped(void *user, struct loop *loop)
{
    (void)user;
    ended = loop;
}

static void on_turning(void *user, bool begins)
{
    (void)user;
    (void)begins;
}

static void make_machine(size_t i)
{
    struct machine_options o = {.network = n,
                                .address = {.kind = ADDRESS_V4, .ip = {10, 0, 0, (uint8_t)(i + 1)}},
                                .index = i,
                                .stopped = on_stopped,
                                .turning = on_turning};
    const struct loop_options lo = {.engine = LOOP_ENGINE_EPOLL};
    assert_int_equal(machine_new(w, &o, &machines[i]), 0);
    loop_provide(loop_sim_make, machines[i]);
    assert_int_equal(loop_new(&lo, &loops[i]), 0);
    loop_provide(NULL, NULL);
    assert_string_equal(loop_engine_name(loops[i]), "sim");
}

/* The machine that listens is dialled by the address of its listener, as its clients do. */
static struct address there(void)
{
    return machine_host(machines[1])->address;
}

static void later(uint64_t ns)
{
    world_run(w, world_now(w) + ns);
}

static int setup(void **state)
{
    (void)state;
    dialler = taker = (struct side){0};
    ended = NULL;
    w = world_new(1);
    n = network_new(w, LATENCY_NS, 0);
    make_machine(0);
    make_machine(1);
    struct listener_options lo = {.address = there(), .shards = 1};
    listener = listener_imagine(&lo);
    assert_non_null(listener);
    assert_int_equal(acceptor_start(loops[1], &acceptor, listener, 0, on_accepted, NULL), 0);
    later(1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    stream_close(&dialler.s, STREAM_CLOSE_RESET);
    stream_close(&taker.s, STREAM_CLOSE_RESET);
    acceptor_stop(&acceptor);
    later(LATENCY_NS);
    listener_close(&listener);
    for (size_t i = 0; i < 2; i++) {
        loop_free(&loops[i]);
        machine_free(&machines[i]);
    }
    network_free(&n);
    world_free(&w);
    return 0;
}

static void dial(void)
{
    struct address to = there();
    dialler.s = stream_connect(loops[0], &to, &ops, &dialler);
    assert_non_null(dialler.s);
    assert_string_equal(dialler.calls, "");
}

static void send(struct side *x, uint32_t bytes, enum send_result expected)
{
    const struct slice slice = {.p = big, .n = bytes};
    assert_int_equal(stream_send(x->s, &slice, 1), expected);
}

/* What is sent before the connection stands goes with it: connected, then sent. */
static void connecting_and_ending(void **state)
{
    (void)state;
    dial();
    send(&dialler, 5, SEND_PENDING);
    stream_shutdown(dialler.s);
    later(2 * LATENCY_NS);
    assert_string_equal(dialler.calls, "connected sent");
    later(LATENCY_NS);
    assert_string_equal(taker.calls, "data eof");
    assert_true(taker.received == 5);
    struct address peer = stream_peer(taker.s);
    assert_true(peer.ip[3] == 1);
    stream_read(dialler.s, true);
    send(&taker, 7, SEND_DONE);
    stream_close(&taker.s, STREAM_CLOSE_NORMAL);
    later(LATENCY_NS);
    assert_string_equal(dialler.calls, "connected sent data eof");
    assert_true(loop_stats(loops[1])->accepted == 1 && loop_stats(loops[0])->connects == 1);
}

static void refusal_and_reset(void **state)
{
    (void)state;
    struct address nobody = {.kind = ADDRESS_V4, .port = 9, .ip = {10, 9, 9, 9}};
    dialler.s = stream_connect(loops[0], &nobody, &ops, &dialler);
    later(2 * LATENCY_NS);
    assert_string_equal(dialler.calls, "connect_refused");
    stream_close(&dialler.s, STREAM_CLOSE_NORMAL);

    dialler = (struct side){0};
    dial();
    later(2 * LATENCY_NS);
    send(&taker, 3, SEND_DONE);
    stream_close(&taker.s, STREAM_CLOSE_RESET);
    later(LATENCY_NS);
    /* Not read: the bytes that came before the reset still wait, so nothing is said of it. */
    assert_string_equal(dialler.calls, "connected");
    assert_true(stream_has_input(dialler.s) && stream_is_ending(dialler.s));
    stream_read(dialler.s, true);
    later(1);
    assert_string_equal(dialler.calls, "connected data backend_reset");
}

/* Who sends learns of the reset although what came before it is not read. */
static void who_sends_is_told_of_a_reset(void **state)
{
    (void)state;
    dial();
    later(2 * LATENCY_NS);
    send(&taker, 3, SEND_DONE);
    stream_close(&taker.s, STREAM_CLOSE_RESET);
    later(LATENCY_NS);
    assert_string_equal(dialler.calls, "connected");
    send(&dialler, 3, SEND_PENDING);
    assert_string_equal(dialler.calls, "connected");
    later(1);
    assert_string_equal(dialler.calls, "connected backend_reset");
}

/* More than the window waits for the reader's credit. */
static void credit_holds_back(void **state)
{
    (void)state;
    dial();
    later(2 * LATENCY_NS);
    stream_read(taker.s, false);
    send(&dialler, sizeof(big), SEND_PENDING);
    later(100 * LATENCY_NS);
    assert_true(taker.received == 0 && stream_unsent(dialler.s) == sizeof(big));
    taker.stop_reading = true;
    stream_read(taker.s, true);
    later(100 * LATENCY_NS);
    assert_true(taker.received > 0 && taker.received < sizeof(big));
    assert_string_equal(dialler.calls, "connected");
    taker.stop_reading = false;
    stream_read(taker.s, true);
    later(100 * LATENCY_NS);
    assert_true(taker.received == sizeof(big) && stream_unsent(dialler.s) == 0);
    assert_string_equal(dialler.calls, "connected sent");
}

struct wake {
    struct message message;
    struct timer timer;
    struct deferred deferred;
    uint64_t message_ns, timer_ns, deferred_ns;
};

static void on_deferred(struct deferred *d)
{
    struct wake *x = container_of(d, struct wake, deferred);
    x->deferred_ns = loop_now(loops[0]);
}

static void on_message(struct loop *loop, struct message *m)
{
    struct wake *x = container_of(m, struct wake, message);
    x->message_ns = loop_now(loop);
    loop_timer_set(loop, &x->timer, 50);
    loop_defer(loop, &x->deferred);
}

static void on_timer(struct timer *t)
{
    struct wake *x = container_of(t, struct wake, timer);
    x->timer_ns = loop_now(loops[0]);
}

/* Messages wake a loop at once; a timer is never early, and late by less than a tick. */
static void messages_and_timers(void **state)
{
    (void)state;
    struct wake x = {.message.fn = on_message, .deferred.fn = on_deferred};
    timer_init(&x.timer, on_timer);
    later(12345678);
    uint64_t now = LOOP_SIM_EPOCH_NS + world_now(w);
    loop_post(loops[0], &x.message);
    later(0);
    assert_true(x.message_ns == now && x.deferred_ns == now);
    later(100 * LATENCY_NS);
    assert_true(x.timer_ns >= now + 50 * LATENCY_NS);
    assert_true(x.timer_ns <= now + (50 + 1 + TIMER_TICK_MS) * LATENCY_NS);
    uint64_t turns = loop_stats(loops[0])->turns;
    later(1000 * LATENCY_NS);
    assert_true(loop_stats(loops[0])->turns <= turns + 1); /* it sleeps when nothing is due */
}

static void stopping(void **state)
{
    (void)state;
    loop_stop(loops[0]);
    later(1);
    assert_ptr_equal(ended, loops[0]);
    uint64_t turns = loop_stats(loops[0])->turns;
    struct wake x = {.message.fn = on_message};
    loop_post(loops[0], &x.message);
    later(LATENCY_NS);
    assert_true(x.message_ns == 0 && loop_stats(loops[0])->turns == turns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(connecting_and_ending, setup, teardown),
        cmocka_unit_test_setup_teardown(refusal_and_reset, setup, teardown),
        cmocka_unit_test_setup_teardown(who_sends_is_told_of_a_reset, setup, teardown),
        cmocka_unit_test_setup_teardown(credit_holds_back, setup, teardown),
        cmocka_unit_test_setup_teardown(messages_and_timers, setup, teardown),
        cmocka_unit_test_setup_teardown(stopping, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
