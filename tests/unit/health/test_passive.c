/* SPDX-License-Identifier: MIT */
/* Failures told by workers: when they add up to an ejection, and when not. */
#include "rig.h"

#include <pthread.h>

static void passive_init(struct rig *r, uint32_t backends)
{
    rig_init(r, HEALTH_NONE, backends, 1);
    r->f.pool_conf.passive =
        (struct passive_conf){.failures = 5, .window_ms = 10000, .eject_for_ms = 3600 * 1000};
}

static void report_failures(struct rig *r, uint32_t slot, uint32_t times, uint64_t now_ms)
{
    for (uint32_t i = 0; i < times; i++)
        health_report(r->health, &r->f.pool->backends[slot], REASON_connect_refused, now_ms);
}

static bool a_few_turns(struct rig *r)
{
    (void)r;
    static uint32_t ticks;
    return ++ticks % 4 == 0;
}

static bool is_ejected(struct rig *r)
{
    return rig_status(r, r->slot).ejected;
}

static bool came_and_went(struct rig *r)
{
    return r->changes == 2;
}

static void test_ejected_and_returned(void **state)
{
    (void)state;
    struct rig r;
    passive_init(&r, 2);
    r.f.pool_conf.passive.eject_for_ms = 40;
    rig_start(&r);
    rig_capture_begin(&r);
    report_failures(&r, 0, 5, 1000);
    rig_until(&r, came_and_went);
    char *log = rig_capture_end(&r);
    assert_int_equal(r.active[0], 1);
    assert_int_equal(r.active[1], 2);
    assert_int_equal(rig_state(&r, 0), 0);
    const char *out = strstr(log, " pool=app backend=B1 state=ejected reason=passive_failures "
                                  "after=5 last=connect_refused for=40ms\n");
    const char *back = strstr(log, " pool=app backend=B1 state=returned\n");
    assert_non_null(out);
    assert_non_null(back);
    assert_true(out < back);
    free(log);
    report_failures(&r, 0, 4, 2000); /* the count began anew */
    rig_until(&r, a_few_turns);
    assert_false(is_ejected(&r));
    rig_fini(&r);
}

static void test_what_does_not_count(void **state)
{
    (void)state;
    struct rig r;
    passive_init(&r, 2);
    rig_start(&r);
    static const enum reason innocent[] = {REASON_ok,         REASON_client_closed,
                                           REASON_overload,   REASON_no_backend,
                                           REASON_queue_full, REASON_queue_timeout};
    for (size_t i = 0; i < ARRAY_LEN(innocent); i++)
        for (int k = 0; k < 10; k++)
            health_report(r.health, &r.f.pool->backends[0], innocent[i], 1000);
    report_failures(&r, 0, 4, 1000);
    rig_until(&r, a_few_turns);
    assert_false(is_ejected(&r));
    report_failures(&r, 0, 1, 1000);
    rig_until(&r, is_ejected);
    rig_fini(&r);
}

static void test_window(void **state)
{
    (void)state;
    struct rig r;
    passive_init(&r, 2);
    rig_start(&r);
    report_failures(&r, 0, 4, 1000);
    report_failures(&r, 0, 4, 11000); /* the first four are too old by now */
    report_failures(&r, 0, 4, 21000);
    rig_until(&r, a_few_turns);
    assert_false(is_ejected(&r));
    report_failures(&r, 0, 1, 20990); /* of a worker whose clock is a turn behind */
    rig_until(&r, is_ejected);
    rig_fini(&r);
}

static void test_window_over_the_wrap_of_its_clock(void **state)
{
    (void)state;
    struct rig r;
    passive_init(&r, 2);
    rig_start(&r);
    report_failures(&r, 0, 3, UINT64_C(0xfffffff0));
    report_failures(&r, 0, 2, UINT64_C(0x100000010));
    rig_until(&r, is_ejected);
    rig_fini(&r);
}

static void test_off(void **state)
{
    (void)state;
    struct rig r;
    passive_init(&r, 2);
    r.f.pool_conf.passive.failures = 0;
    rig_start(&r);
    report_failures(&r, 0, 1000, 1000);
    rig_until(&r, a_few_turns);
    assert_false(is_ejected(&r));
    rig_fini(&r);
}

static void test_last_one_is_kept(void **state)
{
    (void)state;
    struct rig r;
    passive_init(&r, 3);
    r.f.backends[2].weight = 0; /* takes nothing, so it is nobody to fall back on */
    rig_start(&r);
    rig_capture_begin(&r);
    report_failures(&r, 0, 5, 1000);
    rig_until(&r, is_ejected);
    for (int i = 0; i < 3; i++) {
        report_failures(&r, 1, 5, 1000);
        rig_until(&r, a_few_turns);
    }
    char *log = rig_capture_end(&r);
    assert_int_equal(rig_state(&r, 1), 0);
    const char *kept = strstr(log, " backend=B2 state=kept reason=passive_failures after=5 "
                                   "last=connect_refused because=last_in_rotation\n");
    assert_non_null(kept);
    assert_null(strstr(kept + strlen(" backend=B2 state=kept"), "state=kept")); /* said once */
    free(log);
    rig_fini(&r);
}

/* Active checks and ejection do not undo each other. */
static bool probed_up(struct rig *r)
{
    return rig_status(r, 0).proven;
}

static void test_good_checks_do_not_end_it(void **state)
{
    (void)state;
    struct server s;
    struct rig r;
    server_start(&s, NULL, "");
    passive_init(&r, 2);
    r.f.pool_conf.health.type = HEALTH_TCP;
    r.f.backends[0].address.port = r.f.backends[1].address.port = s.port;
    rig_start(&r);
    report_failures(&r, 0, 5, 1000);
    rig_until(&r, is_ejected);
    rig_until(&r, probed_up);
    rig_until(&r, a_few_turns);
    assert_true(is_ejected(&r));
    assert_true(rig_status(&r, 0).up);
    rig_fini(&r);
    server_stop(&s);
}

static void test_stop_with_a_report_on_its_way(void **state)
{
    (void)state;
    struct rig r;
    passive_init(&r, 2);
    rig_start(&r);
    report_failures(&r, 0, 5, 1000);
    health_stop(&r.health);
    rig_until(&r, a_few_turns);
    assert_int_equal(rig_state(&r, 0), 0);
    rig_fini(&r);
}

/* Several workers report while the control loop ejects and takes back. */
static void report_many(struct rig *r)
{
    for (uint64_t i = 0; i < 20000; i++)
        health_report(r->health, &r->f.pool->backends[i % 3], REASON_backend_reset, 1000 + i / 10);
}

static bool workers_ended(struct rig *r)
{
    return atomic_load(&r->ended) == 3;
}

static void *report_thread(void *user)
{
    struct rig *r = user;
    report_many(r);
    atomic_fetch_add(&r->ended, 1);
    return NULL;
}

static void test_many_workers(void **state)
{
    (void)state;
    struct rig r;
    pthread_t threads[3];
    passive_init(&r, 3);
    r.f.pool_conf.passive.eject_for_ms = 10;
    rig_start(&r);
    rig_capture_begin(&r);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, report_thread, &r), 0);
    rig_until(&r, workers_ended);
    for (size_t i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    rig_until(&r, a_few_turns);
    free(rig_capture_end(&r));
    assert_true(r.changes > 0);
    rig_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ejected_and_returned),
        cmocka_unit_test(test_what_does_not_count),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_window_over_the_wrap_of_its_clock),
        cmocka_unit_test(test_off),
        cmocka_unit_test(test_last_one_is_kept),
        cmocka_unit_test(test_good_checks_do_not_end_it),
        cmocka_unit_test(test_stop_with_a_report_on_its_way),
        cmocka_unit_test(test_many_workers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
