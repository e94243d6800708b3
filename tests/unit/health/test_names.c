/* SPDX-License-Identifier: MIT */
/* Backends given by name. "localhost" is answered by the hosts file; other answers are made up. */
#include "rig.h"

#include "health/health_priv.h"

static void rig_init_named(struct rig *r, enum health_type type, const char *host, uint16_t port)
{
    rig_init(r, type, 1, port);
    r->f.backends[0].address = (struct address){.kind = ADDRESS_NAME, .port = port, .text = host};
}

static const struct address *address_now(const struct rig *r)
{
    return atomic_load(&r->f.pool->backends[0].address);
}

static struct address made_up(uint8_t last)
{
    return (struct address){.kind = ADDRESS_V4, .port = 80, .ip = {192, 0, 2, last}};
}

static void answer(struct rig *r, enum reason why, const struct address *addresses, size_t count)
{
    name_answered(name_of(&r->f.pool->backends[0]), why, addresses, count);
}

static bool is_resolved(struct rig *r)
{
    return (rig_state(r, 0) & BACKEND_UNRESOLVED) == 0;
}

static bool is_proven(struct rig *r)
{
    return rig_status(r, 0).proven;
}

static void test_resolved_and_probed(void **state)
{
    (void)state;
    struct server s;
    struct rig r;
    server_start(&s, NULL, "");
    rig_init_named(&r, HEALTH_TCP, "127.0.0.1",
                   s.port); /* c-ares takes an address for a name too */
    rig_start(&r);
    assert_int_equal(rig_state(&r, 0), BACKEND_UNRESOLVED);
    assert_int_equal(view_active_count(r.f.pool->view), 0);
    assert_null(address_now(&r));
    rig_capture_begin(&r);
    rig_until(&r, is_resolved);
    rig_until(&r, is_proven);
    char *log = rig_capture_end(&r), wanted[100];
    (void)snprintf(wanted, sizeof(wanted),
                   " pool=app backend=B1 state=resolved address=127.0.0.1:%u\n", s.port);
    assert_non_null(strstr(log, wanted));
    free(log);
    assert_true(rig_status(&r, 0).up);
    assert_int_equal(view_active_count(r.f.pool->view), 1);
    assert_int_equal(address_now(&r)->port, s.port);
    rig_fini(&r);
    server_stop(&s);
}

static bool probe_was_due(struct rig *r)
{
    return r->f.pool->backends[0].health->started_ms != 0;
}

/* A backend that is resolved late is not left unprobed until the next interval. */
static void test_answer_starts_the_probe(void **state)
{
    (void)state;
    struct server s;
    struct rig r;
    server_start(&s, NULL, "");
    rig_init_named(&r, HEALTH_TCP, "app.invalid", s.port);
    r.f.pool_conf.health.interval_ms = 3600 * 1000;
    rig_start(&r);
    rig_capture_begin(&r);
    rig_until(&r, probe_was_due);
    assert_false(is_proven(&r));
    struct address here = {.kind = ADDRESS_V4, .port = s.port, .ip = {127, 0, 0, 1}};
    answer(&r, REASON_ok, &here, 1);
    rig_until(&r, is_proven);
    free(rig_capture_end(&r));
    rig_fini(&r);
    server_stop(&s);
}

static void test_hosts_file(void **state)
{
    (void)state;
    struct rig r;
    rig_init_named(&r, HEALTH_NONE, "localhost", 80);
    rig_start(&r);
    rig_capture_begin(&r);
    rig_until(&r, is_resolved);
    free(rig_capture_end(&r));
    rig_fini(&r);
}

/* An address stays while it is among the answers; a change is one line and one new object. */
static void test_moves(void **state)
{
    (void)state;
    struct rig r;
    struct address a[3] = {made_up(1), made_up(2), made_up(3)};
    rig_init_named(&r, HEALTH_NONE, "app.invalid", 80);
    rig_start(&r);
    rig_capture_begin(&r);
    answer(&r, REASON_ok, a, 2);
    const struct address *first = address_now(&r);
    assert_true(address_equal(first, &a[0]));
    struct address rotated[2] = {a[1], a[0]};
    answer(&r, REASON_ok, rotated, 2);
    assert_ptr_equal(address_now(&r), first);
    answer(&r, REASON_ok, &a[2], 1);
    assert_true(address_equal(address_now(&r), &a[2]));
    assert_true(address_equal(first, &a[0])); /* still there for who holds it */
    answer(&r, REASON_unresolved, NULL, 0);
    answer(&r, REASON_unresolved, NULL, 0);
    assert_true(address_equal(address_now(&r), &a[2]));
    assert_true(is_resolved(&r));
    char *log = rig_capture_end(&r);
    assert_non_null(strstr(log, " backend=B1 state=resolved address=192.0.2.1:80\n"));
    assert_non_null(strstr(log, " backend=B1 state=moved address=192.0.2.3:80\n"));
    const char *stale = strstr(log, " state=stale reason=unresolved name=app.invalid\n");
    assert_non_null(stale);
    assert_null(strstr(stale + strlen(" state=stale"), "state=stale"));
    free(log);
    assert_int_equal(r.changes, 1);
    rig_fini(&r);
}

static void test_unresolved_is_said_once(void **state)
{
    (void)state;
    struct rig r;
    struct address a = made_up(1);
    rig_init_named(&r, HEALTH_TCP, "app.invalid", 80);
    rig_start(&r);
    rig_capture_begin(&r);
    for (int i = 0; i < 10; i++)
        answer(&r, REASON_unresolved, NULL, 0);
    assert_int_equal(rig_state(&r, 0), BACKEND_UNRESOLVED);
    answer(&r, REASON_ok, &a, 1);
    assert_int_equal(rig_state(&r, 0), 0);
    char *log = rig_capture_end(&r);
    const char *said = strstr(log, " state=unresolved reason=unresolved name=app.invalid\n");
    assert_non_null(said);
    assert_null(strstr(said + strlen(" state=unresolved"), "state=unresolved"));
    free(log);
    rig_fini(&r);
}

static bool always(struct rig *r)
{
    (void)r;
    return true;
}

static void test_stop_with_lookups_under_way(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r, HEALTH_NONE, 200, 80);
    for (uint32_t i = 0; i < 200; i++)
        r.f.backends[i].address =
            (struct address){.kind = ADDRESS_NAME, .port = 80, .text = "app.invalid"};
    rig_start(&r);
    rig_until(&r, always);
    health_stop(&r.health);
    assert_null(address_now(&r));
    rig_until(&r, always);
    rig_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resolved_and_probed),
        cmocka_unit_test(test_answer_starts_the_probe),
        cmocka_unit_test(test_hosts_file),
        cmocka_unit_test(test_moves),
        cmocka_unit_test(test_unresolved_is_said_once),
        cmocka_unit_test(test_stop_with_lookups_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
