/* SPDX-License-Identifier: MIT */
/* The prober on a real loop: who leaves the rotation, who returns, and what the log says. */
#include "rig.h"

#include "health/health_priv.h"

#define OK_SCRIPT  "<>HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define BAD_SCRIPT "<>HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n"

static bool is_proven(struct rig *r)
{
    return rig_status(r, 0).proven;
}

static bool is_down(struct rig *r)
{
    return (rig_state(r, r->slot) & BACKEND_DOWN) != 0;
}

static bool is_up_again(struct rig *r)
{
    return rig_status(r, r->slot).proven && !is_down(r);
}

static void test_good_backend_stays(void **state)
{
    (void)state;
    struct server s;
    struct rig r;
    server_start(&s, NULL, OK_SCRIPT);
    rig_init(&r, HEALTH_HTTP, 1, s.port);
    rig_start(&r);
    struct health_status before = rig_status(&r, 0);
    assert_true(before.up && !before.proven && !before.ejected);
    rig_until(&r, is_proven);
    struct health_status after = rig_status(&r, 0);
    assert_true(after.up && after.proven);
    assert_int_equal(after.last, REASON_ok);
    assert_int_equal(after.since_ms, 0);
    assert_int_equal(r.changes, 0);
    rig_fini(&r);
    server_stop(&s);
}

static void test_dead_backend_leaves_at_once(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r, HEALTH_TCP, 1, port_nobody());
    r.f.pool_conf.health.interval_ms = 24 * 3600 * 1000; /* so the first probe alone did it */
    rig_start(&r);
    rig_capture_begin(&r);
    rig_until(&r, is_down);
    char *log = rig_capture_end(&r);
    assert_non_null(
        strstr(log, " pool=app backend=B1 state=down reason=connect_refused after=1\n"));
    free(log);
    assert_int_equal(r.changes, 1);
    assert_int_equal(view_active_count(r.f.pool->view), 0);
    assert_int_equal(rig_status(&r, 0).last, REASON_connect_refused);
    assert_int_not_equal(rig_status(&r, 0).since_ms, 0);
    rig_fini(&r);
}

static void test_leaves_and_returns(void **state)
{
    (void)state;
    struct server s;
    struct rig r;
    server_start(&s, NULL, OK_SCRIPT);
    rig_init(&r, HEALTH_HTTP, 1, s.port);
    rig_start(&r);
    rig_until(&r, is_proven);
    rig_capture_begin(&r);
    server_script(&s, BAD_SCRIPT);
    rig_until(&r, is_down);
    server_script(&s, OK_SCRIPT);
    rig_until(&r, is_up_again);
    char *log = rig_capture_end(&r);
    const char *down = strstr(log, " pool=app backend=B1 state=down reason=probe_status after=3\n");
    const char *up = strstr(log, " pool=app backend=B1 state=up after=2 down_for=");
    assert_non_null(down);
    assert_non_null(up);
    assert_true(down < up);
    free(log);
    assert_int_equal(r.changes, 2);
    assert_int_equal(view_active_count(r.f.pool->view), 1);
    rig_fini(&r);
    server_stop(&s);
}

static void test_others_are_not_touched(void **state)
{
    (void)state;
    struct server s;
    struct rig r;
    server_start(&s, NULL, "");
    rig_init(&r, HEALTH_TCP, 3, s.port);
    r.f.backends[1].address.port = port_nobody();
    r.slot = 1;
    rig_start(&r);
    rig_until(&r, is_down);
    rig_until(&r, is_proven);
    assert_int_equal(rig_state(&r, 0), 0);
    assert_int_equal(rig_state(&r, 2), 0);
    assert_int_equal(view_active_count(r.f.pool->view), 2);
    rig_fini(&r);
    server_stop(&s);
}

static bool some_time_passed(struct rig *r)
{
    (void)r;
    static uint32_t ticks;
    return ++ticks % 50 == 0;
}

static void test_type_none_probes_nothing(void **state)
{
    (void)state;
    struct server s;
    struct rig r;
    server_start(&s, NULL, "");
    rig_init(&r, HEALTH_NONE, 2, s.port);
    rig_start(&r);
    rig_until(&r, some_time_passed);
    assert_int_equal(atomic_load(&s.accepted), 0);
    assert_true(rig_status(&r, 0).up);
    assert_false(rig_status(&r, 0).proven);
    rig_fini(&r);
    server_stop(&s);
}

/* Many backends that never answer: never more than PROBES_MAX at once, and each gets its turn. */
static bool all_down(struct rig *r)
{
    assert_true(r->health->running <= PROBES_MAX);
    if (r->health->running > r->running_max)
        r->running_max = r->health->running;
    for (uint32_t i = 0; i < pool_backend_count(r->f.pool); i++)
        if ((rig_state(r, i) & BACKEND_DOWN) == 0)
            return false;
    return true;
}

static void test_probes_are_bounded(void **state)
{
    (void)state;
    struct server s;
    struct rig r;
    server_start(&s, NULL, "~");
    rig_init(&r, HEALTH_HTTP, 1000, s.port);
    r.f.pool_conf.health.timeout_ms = 100;
    rig_start(&r);
    rig_capture_begin(&r);
    rig_until(&r, all_down);
    free(rig_capture_end(&r));
    assert_int_equal(r.running_max, PROBES_MAX);
    rig_fini(&r);
    server_stop(&s);
}

static bool all_proven(struct rig *r)
{
    for (uint32_t i = 0; i < pool_backend_count(r->f.pool); i++)
        if (!rig_status(r, i).proven)
            return false;
    return true;
}

static void test_ten_thousand(void **state)
{
    (void)state;
    struct server s;
    struct rig r;
    server_start(&s, NULL, "");
    rig_init(&r, HEALTH_TCP, 10000, s.port);
    r.f.pool_conf.health.interval_ms = 60000;
    r.f.pool_conf.health.timeout_ms = 30000;
    rig_start(&r);
    rig_until(&r, all_proven);
    assert_int_equal(view_active_count(r.f.pool->view), 10000);
    assert_int_equal(r.health->running, 0);
    rig_fini(&r);
    server_stop(&s);
}

static void test_stop_with_probes_under_way(void **state)
{
    (void)state;
    struct server s;
    struct rig r;
    server_start(&s, NULL, "~");
    rig_init(&r, HEALTH_HTTP, 20, s.port);
    rig_start(&r);
    rig_until(&r, some_time_passed);
    health_stop(&r.health);
    health_stop(&r.health); /* NULL is fine */
    rig_until(&r, some_time_passed);
    rig_fini(&r);
    server_stop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_backend_stays),
        cmocka_unit_test(test_dead_backend_leaves_at_once),
        cmocka_unit_test(test_leaves_and_returns),
        cmocka_unit_test(test_others_are_not_touched),
        cmocka_unit_test(test_type_none_probes_nothing),
        cmocka_unit_test(test_probes_are_bounded),
        cmocka_unit_test(test_ten_thousand),
        cmocka_unit_test(test_stop_with_probes_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
