/* SPDX-License-Identifier: MIT */
/* Backends that come and go while the prober runs, and checks that change under it. */
#include "rig.h"

#include "health/health_priv.h"

static struct backend *add(struct rig *r, const char *name, uint16_t port)
{
    struct backend_conf conf = {
        .name = name,
        .address = {.kind = ADDRESS_V4, .port = port, .ip = {127, 0, 0, 1}},
        .weight = 1,
    };
    struct backend *b = pool_add(r->f.pool, &conf);
    assert_non_null(b);
    assert_int_equal(health_add(r->health, b), 0);
    fixture_rebuild(&r->f);
    return b;
}

static bool slot_1_is_down(struct rig *r)
{
    return rig_state(r, 1) == BACKEND_DOWN;
}

static bool slot_1_is_proven(struct rig *r)
{
    return rig_status(r, 1).proven;
}

static bool time_passed(struct rig *r)
{
    return --r->running_max == 0;
}

static void let_pass(struct rig *r)
{
    r->running_max = 20; /* ticks: several intervals */
    rig_until(r, time_passed);
}

static void test_one_comes_and_goes(void **state)
{
    (void)state;
    struct server s;
    struct rig r;
    server_start(&s, NULL, "<>HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    rig_init(&r, HEALTH_HTTP, 1, s.port);
    rig_start(&r);
    rig_capture_begin(&r);
    struct backend *dead = add(&r, "dead", port_nobody());
    assert_int_equal(rig_state(&r, 1), 0); /* its first probe decides */
    rig_until(&r, slot_1_is_down);
    char *log = rig_capture_end(&r);
    assert_non_null(strstr(log, "pool=app backend=dead state=down reason=connect_refused after=1"));
    free(log);

    backend_admin_set(dead, BACKEND_REMOVED);
    health_remove(r.health, dead);
    health_remove(r.health, dead); /* once more does no harm */
    fixture_rebuild(&r.f);
    assert_true(health_forget(r.health, dead));
    assert_true(health_forget(r.health, dead));
    pool_forget(dead);
    let_pass(&r);
    assert_ptr_equal(add(&r, "good", s.port), dead); /* the slot, not the fate */
    rig_until(&r, slot_1_is_proven);
    assert_int_equal(rig_state(&r, 1), 0);
    rig_fini(&r);
    server_stop(&s);
}

/* Removed while its probe is under way, and while others wait for a place. */
static bool one_runs(struct rig *r)
{
    return r->health->running == 1;
}

static void test_removal_ends_a_probe(void **state)
{
    (void)state;
    struct server s;
    struct rig r;
    server_start(&s, NULL, "~");
    rig_init(&r, HEALTH_HTTP, 1, s.port);
    rig_start(&r);
    rig_until(&r, one_runs);
    struct backend *b = &r.f.pool->backends[0];
    health_remove(r.health, b);
    assert_int_equal(r.health->running, 0);
    let_pass(&r);
    assert_int_equal(r.health->running, 0);
    assert_true(health_forget(r.health, b));
    rig_fini(&r);
    server_stop(&s);
}

/* A report on its way when the backend is removed: nothing is decided, and memory waits for it. */
static bool reported(struct rig *r)
{
    return health_forget(r->health, &r->f.pool->backends[1]);
}

static void test_removal_waits_for_a_report(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r, HEALTH_NONE, 2, 1);
    r.f.pool_conf.passive =
        (struct passive_conf){.failures = 1, .window_ms = 1000, .eject_for_ms = 1000};
    rig_start(&r);
    struct backend *b = &r.f.pool->backends[1];
    health_report(r.health, b, REASON_backend_reset, 5);
    backend_admin_set(b, BACKEND_REMOVED);
    health_remove(r.health, b);
    assert_false(health_forget(r.health, b));
    rig_until(&r, reported);
    assert_int_equal(rig_state(&r, 1) & BACKEND_EJECTED, 0);
    fixture_rebuild(&r.f);
    pool_forget(b);
    rig_fini(&r);
}

static void reconfigure(struct rig *r, struct fixture *to)
{
    assert_int_equal(pool_reconfigure(r->f.pool, &to->snapshot, 0, false, NULL, NULL), 0);
    health_pool_changed(r->health, r->f.pool);
    fixture_rebuild(&r->f);
}

/* The same checks written anew leave everything as it was; other ones go on from there; none at all
 * means that nobody is down. */
static void test_checks_change(void **state)
{
    (void)state;
    struct server s;
    struct rig r;
    struct fixture same, none;
    server_start(&s, NULL, "");
    rig_init(&r, HEALTH_TCP, 2, s.port);
    uint16_t dead = port_nobody();
    r.f.backends[1].address.port = dead;
    fixture_init(&same, BALANCE_ROUND_ROBIN, 2, NULL);
    fixture_init(&none, BALANCE_ROUND_ROBIN, 2, NULL);
    same.backends[0].address.port = none.backends[0].address.port = s.port;
    same.backends[1].address.port = none.backends[1].address.port = dead;
    same.pool_conf.health = r.f.pool_conf.health;
    none.pool_conf.health = (struct health_conf){.type = HEALTH_NONE};
    rig_start(&r);
    rig_capture_begin(&r);
    rig_until(&r, slot_1_is_down);
    uint32_t changes = r.changes;
    reconfigure(&r, &same);
    let_pass(&r);
    assert_int_equal(rig_state(&r, 1), BACKEND_DOWN);
    assert_int_equal(r.changes, changes);

    reconfigure(&r, &none);
    assert_int_equal(rig_state(&r, 1), 0);
    let_pass(&r);
    assert_int_equal(rig_state(&r, 1), 0);

    reconfigure(&r, &same); /* checked again, and found out by one probe */
    rig_until(&r, slot_1_is_down);
    free(rig_capture_end(&r));
    rig_fini(&r);
    fixture_fini(&same);
    fixture_fini(&none);
    server_stop(&s);
}

static void test_a_name_comes_and_goes(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r, HEALTH_NONE, 1, 1);
    rig_start(&r);
    rig_capture_begin(&r);
    struct backend_conf conf = {
        .name = "named",
        .address = {.kind = ADDRESS_NAME, .port = 1, .text = "localhost"},
        .weight = 1,
    };
    for (int i = 0; i < 3; i++) {
        struct backend *b = pool_add(r.f.pool, &conf);
        assert_non_null(b);
        assert_int_equal(health_add(r.health, b), 0);
        struct address found = {.kind = ADDRESS_V4, .port = 1, .ip = {127, 0, 0, 1}};
        if (i > 0)
            name_answered(name_of(b), REASON_ok, &found, 1);
        assert_int_equal(atomic_load(&b->state), i > 0 ? 0 : BACKEND_UNRESOLVED);
        backend_admin_set(b, BACKEND_REMOVED);
        health_remove(r.health, b);
        fixture_rebuild(&r.f);
        assert_true(health_forget(r.health, b));
        pool_forget(b);
    }
    let_pass(&r);
    free(rig_capture_end(&r));
    rig_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_comes_and_goes),
        cmocka_unit_test(test_removal_ends_a_probe),
        cmocka_unit_test(test_removal_waits_for_a_report),
        cmocka_unit_test(test_checks_change),
        cmocka_unit_test(test_a_name_comes_and_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
