/* SPDX-License-Identifier: MIT */
#include "sim/cable.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#define LATENCY 1000

static struct world *w;
static struct network *n;
static struct host host;
static struct cable_end *here, *there; /* who dials, and the host's */
static char log_text[1024];            /* what was called, and when */

static void say(const char *what)
{
    size_t len = strlen(log_text);
    (void)snprintf(log_text + len, sizeof(log_text) - len, "%s%s@%llu", len ? " " : "", what,
                   (unsigned long long)world_now(w));
}

static void assert_said(const char *expected)
{
    assert_string_equal(log_text, expected);
    log_text[0] = 0;
}

static void on_opened(struct cable_end *e)
{
    (void)e;
    say("opened");
}

static void on_failed(struct cable_end *e, enum reason why)
{
    (void)e;
    say(reason_name(why));
}

static void on_input(struct cable_end *e)
{
    say(cable_at_end(e) ? "end" : e == here ? "input" : "asked");
}

static void on_room(struct cable_end *e)
{
    (void)e;
    say("room");
}

static const struct cable_ops ops = {.opened = on_opened,
                                     .failed = on_failed,
                                     .input = on_input,
                                     .room = on_room};

static bool on_arrived(struct host *h, const struct address *to, struct cable_end *e)
{
    (void)h;
    (void)to;
    there = e;
    e->ops = &ops;
    return true;
}

static struct address address(uint8_t last)
{
    return (struct address){.kind = ADDRESS_V4, .port = 80, .ip = {10, 0, 0, last}};
}

static int setup(void **state)
{
    (void)state;
    w = world_new(1);
    n = network_new(w, LATENCY, 0);
    host = (struct host){.address = address(1), .arrived = on_arrived};
    host_add(n, &host);
    here = there = NULL;
    log_text[0] = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    network_free(&n);
    host_fini(&host);
    world_free(&w);
    return 0;
}

static void dial(uint8_t to)
{
    struct address me = address(100), at = address(to);
    here = cable_dial(n, NULL, &me, NULL, &at, &ops, NULL);
    world_run(w, world_now(w) + 2 * LATENCY);
}

static void later(uint64_t ns)
{
    world_run(w, world_now(w) + ns);
}

static void bytes_take_their_time(void **state)
{
    (void)state;
    dial(1);
    assert_said("opened@2000");
    assert_true(cable_put(here, "hello", 5) == 5);
    later(5 * LATENCY);
    assert_said(""); /* not flushed */
    cable_flush(here);
    later(LATENCY);
    assert_said("asked@8000");
    assert_memory_equal(cable_input(there).p, "hello", 5);
    assert_true(cable_unread(here) == 5);
    cable_take(there, 2);
    assert_int_equal(cable_input(there).n, 3);
    cable_take(there, 3);
    assert_true(cable_unread(here) == 0);
    cable_shut(here);
    later(LATENCY);
    assert_said("end@9000");
    assert_true(cable_put(there, "bye", 3) == 3); /* the other direction is still open */
    cable_flush(there);
    later(LATENCY);
    assert_said("input@10000");
    cable_take(here, 3);
    cable_close(&there, false);
    later(LATENCY);
    assert_said("end@11000");
    cable_close(&here, false);
}

static void a_window_holds_back(void **state)
{
    (void)state;
    static const uint8_t piece[100000];
    uint32_t put = 0, n_put;
    dial(1);
    while ((n_put = cable_put(here, piece, sizeof(piece))) > 0)
        put += n_put;
    assert_true(put == CABLE_WINDOW);
    cable_flush(here);
    later(LATENCY);
    assert_said("opened@2000 asked@3000");
    cable_take(there, 1);
    later(LATENCY);
    assert_said("room@4000");
    cable_take(there, 1); /* nobody asked for that */
    later(LATENCY);
    assert_said("");
    assert_true(cable_put(here, piece, 3) == 2);
    cable_close(&here, true);
    cable_close(&there, true);
}

static void nobody_there_refuses(void **state)
{
    (void)state;
    dial(9);
    assert_said("connect_refused@2000");
    cable_close(&here, false);
    host_refuse(&host, true);
    dial(1);
    assert_said("connect_refused@4000");
    cable_close(&here, false);
}

static void closing_as_tcp_does(void **state)
{
    (void)state;
    dial(1);
    (void)cable_put(here, "x", 1);
    cable_flush(here);
    later(LATENCY);
    log_text[0] = 0;
    cable_close(&there, false); /* a byte is unread */
    later(LATENCY);
    assert_said("backend_reset@4000");
    cable_close(&here, false);

    dial(1);
    log_text[0] = 0;
    cable_close(&there, false);
    later(LATENCY);
    assert_said("end@7000");
    (void)cable_put(here, "x", 1); /* to who has gone */
    cable_flush(here);
    later(2 * LATENCY);
    assert_said("backend_reset@9000");
    cable_close(&here, false);
}

static void a_black_hole_keeps_the_order(void **state)
{
    (void)state;
    dial(1);
    log_text[0] = 0;
    host_black_hole(&host, true);
    (void)cable_put(here, "ab", 2);
    cable_flush(here);
    (void)cable_put(here, "cd", 2);
    cable_flush(here);
    cable_shut(here);
    later(100 * LATENCY);
    assert_said("");
    host_black_hole(&host, false);
    later(LATENCY);
    assert_said("asked@102000 asked@102000 asked@102000");
    assert_memory_equal(cable_input(there).p, "abcd", 4);
    cable_take(there, 4);
    assert_true(cable_at_end(there));
    cable_close(&here, false);
    cable_close(&there, false);
}

static void end_black_hole(void *what, uint64_t argument)
{
    (void)argument;
    host_black_hole(what, false);
}

/* What arrives at the very instant at which it ends comes after what was held. */
static void nothing_overtakes_at_its_end(void **state)
{
    (void)state;
    dial(1);
    host_black_hole(&host, true);
    uint64_t end = world_now(w) + 10 * LATENCY;
    world_at(w, end, end_black_hole, &host, 0);
    (void)cable_put(here, "ab", 2);
    cable_flush(here);
    later(9 * LATENCY);
    cable_shut(here); /* arrives at that instant */
    log_text[0] = 0;
    later(LATENCY);
    assert_said("asked@12000 asked@12000"); /* the end first would be "end" */
    assert_int_equal(cable_input(there).n, 2);
    cable_close(&here, true);
    cable_close(&there, true);
}

/* However they jitter, bytes arrive as they were sent. */
static void jitter_keeps_the_order(void **state)
{
    (void)state;
    uint64_t count = 0;
    network_free(&n);
    n = network_new(w, LATENCY, 50 * LATENCY);
    host_add(n, &host);
    dial(1);
    later(10000 * LATENCY);
    for (uint8_t i = 0; i < 200; i++) {
        (void)cable_put(here, &i, 1);
        cable_flush(here);
        later(LATENCY);
        log_text[0] = 0;
    }
    later(10000 * LATENCY);
    struct span in = cable_input(there);
    assert_int_equal(in.n, 200);
    for (; count < in.n; count++)
        assert_int_equal(in.p[count], count);
    cable_close(&here, true);
    cable_close(&there, true);
}

static void names_keep_their_addresses(void **state)
{
    (void)state;
    struct address a = network_resolve(n, "a.example", 80), b = network_resolve(n, "b.example", 80);
    struct address again = network_resolve(n, "a.example", 81);
    assert_false(address_equal(&a, &b));
    assert_memory_equal(a.ip, again.ip, 4);
    assert_int_equal(again.port, 81);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(bytes_take_their_time, setup, teardown),
        cmocka_unit_test_setup_teardown(a_window_holds_back, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_there_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(closing_as_tcp_does, setup, teardown),
        cmocka_unit_test_setup_teardown(a_black_hole_keeps_the_order, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_overtakes_at_its_end, setup, teardown),
        cmocka_unit_test_setup_teardown(jitter_keeps_the_order, setup, teardown),
        cmocka_unit_test_setup_teardown(names_keep_their_addresses, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
