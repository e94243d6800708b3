/* SPDX-License-Identifier: MIT */
/* Rates: what becomes of counters once a second, for objects that come and go. */
#include "admin/rates.h"
#include "traffic.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <math.h>

static struct traffic t;
static struct rates *r;
static uint64_t now_ms;

static int setup(void **state)
{
    (void)state;
    traffic_init(&t, "['127.0.0.1:1', '127.0.0.1:2']");
    r = rates_new();
    assert_non_null(r);
    now_ms = 10000;
    rates_tick(r, &t.view, now_ms);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rates_free(&r);
    assert_null(r);
    traffic_fini(&t);
    return 0;
}

static void tick(void)
{
    now_ms += 1000;
    rates_tick(r, &t.view, now_ms);
}

static struct rates_row backend(uint32_t slot)
{
    struct rates_row row;
    rates_backend(r, &t.view, &t.pools[0]->backends[slot], &row);
    return row;
}

static void assert_near(double found, double wanted)
{
    assert_true(fabs(found - wanted) <= 0.1 * wanted);
}

static void rows_of_all_kinds(void **state)
{
    (void)state;
    traffic_flow(&t, 0, 0, 200, 1000, 30);
    traffic_flow(&t, 1, 0, 404, 9000, 10);
    struct rates_row row = backend(0);
    assert_int_equal(row.requests, 40); /* counters need no tick */
    assert_int_equal(row.codes[2], 30);
    assert_int_equal(row.codes[4], 10);
    assert_int_equal(row.bytes_in, 120);
    assert_int_equal(row.bytes_out, 160);
    assert_false(row.timed);
    tick();
    row = backend(0);
    assert_true(row.requests_per_second == 40);
    assert_true(row.timed);
    assert_near(row.p50_ms, 1);
    assert_near(row.p90_ms, 9);
    assert_near(row.max_ms, 9);
    assert_int_equal(row.history[row.history_count - 1], 40);
    assert_int_equal(backend(1).requests, 0);

    rates_listener(r, &t.view, &t.front, &row);
    assert_int_equal(row.requests, 40);
    assert_true(row.requests_per_second == 40);
    rates_pool(r, &t.view, t.pools[0], &row);
    assert_int_equal(row.codes[4], 10);
    assert_near(row.p50_ms, 1);
    rates_pool(r, &t.view, t.pools[1], &row);
    assert_int_equal(row.requests, 0);
    rates_process(r, &t.view, &row);
    assert_int_equal(row.requests, 40);
    assert_near(row.p99_ms, 9);
    assert_int_equal(rates_reason(r, &t.view, REASON_ok), 40);
    account_connection(t.accounts[1], &t.front.key);
    assert_int_equal(rates_connections(r, &t.view, &t.front), 1);
}

static void the_window_is_ten_seconds(void **state)
{
    (void)state;
    traffic_flow(&t, 0, 0, 200, 50000, 1000);
    tick();
    for (int i = 0; i < 7; i++) {
        traffic_flow(&t, 0, 0, 200, 1000, 10);
        tick();
        assert_near(backend(0).p50_ms, 50); /* still there */
    }
    for (int i = 0; i < 4; i++) {
        traffic_flow(&t, 0, 0, 200, 1000, 10);
        tick();
    }
    assert_near(backend(0).max_ms, 1);
    for (int i = 0; i < 11; i++)
        tick();
    assert_false(backend(0).timed);
    assert_true(backend(0).requests_per_second == 0);
    traffic_flow(&t, 0, 0, 200, 2000, 1);
    tick();
    assert_near(backend(0).p50_ms, 2); /* and nothing from before */
    assert_near(backend(0).max_ms, 2);
}

static void history_of_a_minute(void **state)
{
    (void)state;
    for (uint32_t i = 1; i <= 70; i++) {
        traffic_flow(&t, i % 2, 1, 200, 100, i);
        tick();
    }
    struct rates_row row = backend(1);
    assert_int_equal(row.history_count, RATES_HISTORY);
    for (uint32_t i = 0; i < RATES_HISTORY; i++)
        assert_int_equal(row.history[i], 11 + i);
}

static void a_late_tick_is_no_peak(void **state)
{
    (void)state;
    traffic_flow(&t, 0, 0, 200, 100, 100);
    now_ms += 4000;
    rates_tick(r, &t.view, now_ms);
    assert_true(backend(0).requests_per_second == 25);
    rates_tick(r, &t.view, now_ms); /* twice in the same millisecond */
    assert_true(backend(0).requests_per_second == 0);
}

/* As when a backend was removed and another got its number. */
static void others_begin_anew(void **state)
{
    (void)state;
    traffic_flow(&t, 0, 0, 200, 100, 100);
    tick();
    struct backend *b = &t.pools[0]->backends[0];
    b->key = board_key(b->key.number);
    assert_int_equal(backend(0).requests, 0);
    assert_int_equal(backend(0).history_count, 0);
    tick();
    traffic_flow(&t, 0, 0, 200, 100, 7);
    tick();
    assert_int_equal(backend(0).requests, 7);
    assert_true(backend(0).requests_per_second == 7);
    struct rates_row row;
    rates_process(r, &t.view, &row);
    assert_int_equal(row.requests, 107);
    t.view.front_count = 0;
    tick();
    rates_listener(r, &t.view, &t.front, &row);
    assert_int_equal(row.history_count, 0); /* forgotten */
}

static void without_a_board_there_are_zeros(void **state)
{
    (void)state;
    t.view.board = NULL;
    tick();
    struct rates_row row = backend(0);
    assert_int_equal(row.requests, 0);
    rates_process(r, &t.view, &row);
    assert_int_equal(row.requests, 0);
    assert_int_equal(rates_reason(r, &t.view, REASON_ok), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(rows_of_all_kinds, setup, teardown),
        cmocka_unit_test_setup_teardown(the_window_is_ten_seconds, setup, teardown),
        cmocka_unit_test_setup_teardown(history_of_a_minute, setup, teardown),
        cmocka_unit_test_setup_teardown(a_late_tick_is_no_peak, setup, teardown),
        cmocka_unit_test_setup_teardown(others_begin_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(without_a_board_there_are_zeros, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
