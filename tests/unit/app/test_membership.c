/* SPDX-License-Identifier: MIT */
/* Members change under real traffic: nothing is lost, what leaves finishes, and slots come back. */
#include "live_rig.h"

#include "base/rng.h"

#include <assert.h>
#include <signal.h>
#include <unistd.h>

#define NO_CHECKS "health: {type: none}, passive_health: {failures: 0}"

static void backends_text(char *text, size_t size, const struct origins *o, uint32_t count)
{
    size_t used = 0;
    for (uint32_t i = 0; i < count; i++)
        used +=
            (size_t)snprintf(text + used, size - used, "%s{name: B%u, address: \"127.0.0.1:%u\"}",
                             i ? ", " : "", i, origin_port(o, i));
}

static uint32_t in_flight(const struct backend *b)
{
    return atomic_load_explicit(&b->in_flight, memory_order_relaxed);
}

/* Only members are left, and nothing runs. */
static bool only_members(struct live *l, void *arg)
{
    (void)arg;
    const struct pool *pool = live_pool(l);
    uint32_t there = 0, running = 0;
    for (uint32_t i = 0; i < pool_backend_count(pool); i++) {
        there += backend_exists(&pool->backends[i]);
        running += in_flight(&pool->backends[i]);
    }
    return there == pool->member_count && running == 0;
}

/* ---- many changes ---- */

enum { ALL = 8, CHANGES = 2000, TOGETHER = 5 };

struct churn {
    struct origins *origins;
    struct rng rng;
    uint32_t changes;
};

/* B0 stays and is ready all the time; with the others everything happens. */
static void change_some(struct live *l, void *arg)
{
    struct churn *c = arg;
    for (int i = 0; i < TOGETHER; i++, c->changes++) {
        char name[8];
        uint32_t number = 1 + (uint32_t)rng_below(&c->rng, ALL - 1);
        (void)snprintf(name, sizeof(name), "B%u", number);
        struct backend *b = pool_find(live_pool(l), span_cstr(name));
        if (!b) {
            live_add(l, name, origin_port(c->origins, number), 1);
            continue;
        }
        switch (rng_below(&c->rng, 4)) {
        case 0: live_remove(l, name); break;
        case 1: live_weight(l, name, (uint32_t)rng_below(&c->rng, 4)); break;
        case 2: live_state(l, name, ADMIN_DRAIN); break;
        default: live_state(l, name, ADMIN_READY); break;
        }
    }
}

static void add_another(struct live *l, void *arg)
{
    const struct churn *c = arg;
    live_add(l, "another", origin_port(c->origins, 0), 1);
}

static void check_many_changes(const char *settings)
{
    struct live l;
    struct clients clients;
    char text[1024];
    struct churn c = {.origins = origins_start(ALL), .rng = rng_seed(1)};
    backends_text(text, sizeof(text), c.origins, 3);
    live_start(&l, settings, text);
    clients_start(&clients, &l, 4);
    while (c.changes < CHANGES) {
        on_control(&l, change_some, &c);
        usleep(500);
    }
    clients_stop(&clients);
    assert_int_equal(clients.bad, 0);
    assert_true(clients.good > 100);
    live_until(&l, only_members, NULL);
    const struct pool *pool = live_pool(&l);
    uint32_t slots = pool_backend_count(pool);
    on_control(&l, add_another, &c);
    assert_true(pool_backend_count(pool) <= MAX(slots, pool->member_count)); /* used again */
    for (uint32_t i = 0; i < pool_backend_count(pool); i++)
        assert_int_equal(in_flight(&pool->backends[i]), 0);
    live_stop(&l);
    origins_stop(&c.origins);
}

static void test_many_changes(void **state)
{
    (void)state;
    check_many_changes("balance: round_robin, " NO_CHECKS);
    check_many_changes("balance: least_connections, " NO_CHECKS);
    check_many_changes("balance: p2c, health: {type: tcp, interval: 10ms}");
    check_many_changes("balance: source_hash, max_connections: 2, " NO_CHECKS);
}

/* ---- a drain ---- */

static void add_b1(struct live *l, void *arg)
{
    const struct origins *o = arg;
    live_add(l, "B1", origin_port(o, 1), 1);
}

static void drain_b0(struct live *l, void *arg)
{
    (void)arg;
    live_state(l, "B0", ADMIN_DRAIN);
}

static void remove_b0(struct live *l, void *arg)
{
    (void)arg;
    live_remove(l, "B0");
}

static void wait_slow(struct origins *o, uint32_t number, uint32_t count)
{
    for (int i = 0; i < 6000 && origin_slow(o, number) != count; i++)
        usleep(5000);
    assert_int_equal(origin_slow(o, number), count);
}

static bool b0_is_idle(struct live *l, void *arg)
{
    (void)arg;
    return in_flight(&live_pool(l)->backends[0]) == 0;
}

static const char *wanted_line;

static bool logged(struct live *l, void *arg)
{
    (void)arg;
    return live_logged(l, wanted_line);
}

static void until_logged(struct live *l, const char *text)
{
    wanted_line = text;
    live_until(l, logged, NULL);
}

static void test_drain_completes(void **state)
{
    (void)state;
    struct live l;
    struct request slow;
    char text[256];
    int origin;
    struct origins *o = origins_start(2);
    backends_text(text, sizeof(text), o, 1);
    live_start(&l, NO_CHECKS, text);
    assert_int_equal(live_get(&l, "/", &origin), 200);
    live_until(&l, b0_is_idle, NULL);
    assert_int_equal(origin_open(o, 0), 1); /* kept alive */
    request_begin(&slow, &l, "/slow");
    wait_slow(o, 0, 1);
    on_control(&l, add_b1, o);
    on_control(&l, drain_b0, NULL); /* effective when it returns */
    for (int i = 0; i < 10; i++) {
        assert_int_equal(live_get(&l, "/", &origin), 200);
        assert_int_equal(origin, 1);
    }
    assert_false(live_logged(&l, "backend=B0 state=drained"));
    assert_int_equal(membership_state(&live_pool(&l)->backends[0]), ADMIN_DRAIN);
    origins_release(o);
    assert_int_equal(request_end(&slow), 200);
    assert_int_equal(slow.origin, 0);
    until_logged(&l, "pool=app backend=B0 state=drained after=");
    for (int i = 0; i < 6000 && origin_open(o, 0) > 0; i++)
        usleep(5000);
    assert_int_equal(origin_open(o, 0), 0); /* idle ones were closed */

    on_control(&l, remove_b0, NULL);
    until_logged(&l, "pool=app backend=B0 state=gone after=");
    assert_false(backend_exists(&live_pool(&l)->backends[0]));
    live_stop(&l);
    origins_stop(&o);
}

/* ---- removal while exchanges wait ---- */

static bool four_wait(struct live *l, void *arg)
{
    (void)arg;
    return atomic_load(&live_pool(l)->waiting) == 4;
}

static bool none_waits(struct live *l, void *arg)
{
    (void)arg;
    return atomic_load(&live_pool(l)->waiting) == 0;
}

static void test_removal_while_others_queue(void **state)
{
    (void)state;
    struct live l;
    struct request slow, queued[4];
    char text[256];
    struct origins *o = origins_start(2);
    backends_text(text, sizeof(text), o, 1);
    live_start(&l, "max_connections: 1, queue: {timeout: 60s}, " NO_CHECKS, text);
    request_begin(&slow, &l, "/slow");
    wait_slow(o, 0, 1);
    for (int i = 0; i < 4; i++)
        request_begin(&queued[i], &l, "/");
    live_until(&l, four_wait, NULL);
    on_control(&l, remove_b0, NULL);
    live_until(&l, four_wait, NULL);
    on_control(&l, add_b1, o); /* takes those that wait at once */
    live_until(&l, none_waits, NULL);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(request_end(&queued[i]), 200);
        assert_int_equal(queued[i].origin, 1);
    }
    assert_true(backend_exists(&live_pool(&l)->backends[0]));
    origins_release(o);
    assert_int_equal(request_end(&slow), 200);
    live_until(&l, only_members, NULL);
    live_stop(&l);
    origins_stop(&o);
}

/* One that was refused by a backend and waits for another keeps the name of the first. */
static bool one_waits(struct live *l, void *arg)
{
    (void)arg;
    return atomic_load(&live_pool(l)->waiting) == 1;
}

static void remove_dead(struct live *l, void *arg)
{
    (void)arg;
    live_remove(l, "dead");
}

static void test_removal_while_a_retry_queues(void **state)
{
    (void)state;
    struct live l;
    struct request slow, retried;
    char text[256];
    struct origins *o = origins_start(1);
    (void)snprintf(text, sizeof(text),
                   "{name: B0, address: \"127.0.0.1:%u\"}, {name: dead, address: \"127.0.0.1:%u\"}",
                   origin_port(o, 0), port_of_nobody());
    live_start(&l, "max_connections: 1, queue: {timeout: 60s}, " NO_CHECKS, text);
    request_begin(&slow, &l, "/slow");
    wait_slow(o, 0, 1);
    request_begin(&retried, &l, "/"); /* dead refuses it, then B0 is full */
    live_until(&l, one_waits, NULL);
    on_control(&l, remove_dead, NULL);
    usleep(300000);
    assert_true(backend_exists(&live_pool(&l)->backends[1]));
    assert_string_equal(live_pool(&l)->backends[1].conf->name, "dead");
    origins_release(o);
    assert_int_equal(request_end(&retried), 200);
    assert_int_equal(request_end(&slow), 200);
    live_until(&l, only_members, NULL);
    live_stop(&l);
    origins_stop(&o);
}

struct dead {
    uint16_t port;
    uint32_t number;
};

/* A dead backend comes and goes: all requests that meet it go to another. */
static void swap_dead(struct live *l, void *arg)
{
    struct dead *d = arg;
    char name[24];
    (void)snprintf(name, sizeof(name), "dead%u", d->number);
    if (d->number > 0)
        live_remove(l, name);
    (void)snprintf(name, sizeof(name), "dead%u", ++d->number);
    live_add(l, name, d->port, 1);
}

static void test_removal_while_retries_run(void **state)
{
    (void)state;
    struct live l;
    struct clients clients;
    char text[256];
    struct dead dead = {.port = port_of_nobody()};
    struct origins *o = origins_start(2);
    backends_text(text, sizeof(text), o, 2);
    live_start(&l, NO_CHECKS, text);
    clients_start(&clients, &l, 4);
    for (int i = 0; i < 300; i++) {
        on_control(&l, swap_dead, &dead);
        usleep(1000);
    }
    clients_stop(&clients);
    assert_int_equal(clients.bad, 0);
    assert_true(clients.good > 100);
    live_until(&l, only_members, NULL);
    live_stop(&l);
    origins_stop(&o);
}

/* ---- checks, and what is refused ---- */

static void add_b1_and_dead(struct live *l, void *arg)
{
    const struct origins *o = arg;
    live_add(l, "B1", origin_port(o, 1), 1);
    live_add(l, "dead", port_of_nobody(), 1);
}

static bool dead_is_down(struct live *l, void *arg)
{
    (void)arg;
    const struct backend *dead = pool_find(live_pool(l), span_str("dead"));
    return atomic_load(&dead->state) == BACKEND_DOWN;
}

static void test_new_ones_are_checked(void **state)
{
    (void)state;
    struct live l;
    char text[256];
    int origin;
    struct origins *o = origins_start(2);
    backends_text(text, sizeof(text), o, 1);
    live_start(&l, "health: {type: tcp, interval: 20ms}", text);
    on_control(&l, add_b1_and_dead, o);
    live_until(&l, dead_is_down, NULL);
    assert_true(live_logged(&l, "pool=app backend=dead change=added address=127.0.0.1:"));
    until_logged(&l, "pool=app backend=dead state=down reason=connect_refused after=1");
    for (int i = 0; i < 4; i++)
        assert_int_equal(live_get(&l, "/", &origin), 200);
    assert_true(origin_requests(o, 1) >= 2);
    on_control(&l, remove_dead, NULL);
    live_until(&l, only_members, NULL);
    live_stop(&l);
    origins_stop(&o);
}

struct refusal {
    const char *name, *address;
    uint32_t weight;
    enum steer_code code;
    const char *field, *message;
};

static void try_to_add(struct live *l, void *arg)
{
    static struct steer_result result;
    const struct refusal *r = arg;
    struct steer_backend b = {
        .name = span_cstr(r->name), .address = span_cstr(r->address), .weight = r->weight};
    membership_add(engine_membership(l->engine), live_pool(l), &b, &result);
    if (result.code != r->code || strcmp(result.field, r->field) != 0 ||
        !strstr(result.message, r->message)) {
        (void)fprintf(stderr, "%d %s: %s\n", (int)result.code, result.field, result.message);
        abort();
    }
}

static void try_removed(struct live *l, void *arg)
{
    static struct steer_result result;
    struct backend *b = arg;
    void *m = engine_membership(l->engine);
    live_remove(l, b->conf->name);
    membership_remove(m, b, &result);
    assert(result.code == STEER_CONFLICT);
    membership_set_weight(m, b, 1, &result);
    assert(result.code == STEER_CONFLICT);
    membership_set_state(m, b, ADMIN_READY, &result);
    assert(result.code == STEER_CONFLICT);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct refusal refusals[] = {
        {"B0", "127.0.0.1:1", 1, STEER_CONFLICT, "name", "has a backend 'B0' already"},
        {"a b", "127.0.0.1:1", 1, STEER_BAD, "name", "letters, digits"},
        {"", "127.0.0.1", 1, STEER_BAD, "address", "'127.0.0.1' is not an address"},
        {"", ":80", 1, STEER_BAD, "address", "needs a host"},
        {"", "127.0.0.1:0", 1, STEER_BAD, "address", "needs a port"},
        {"", "", 1, STEER_BAD, "address", "empty"},
        {"", "127.0.0.1:1", 257, STEER_BAD, "weight", "0 to 256"},
    };
    struct live l;
    char text[256];
    struct origins *o = origins_start(1);
    backends_text(text, sizeof(text), o, 1);
    live_start(&l, NO_CHECKS, text);
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++)
        on_control(&l, try_to_add, (void *)(size_t)&refusals[i]);
    on_control(&l, try_removed, &live_pool(&l)->backends[0]);
    live_until(&l, only_members, NULL);
    live_stop(&l);
    origins_stop(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_drain_completes),
        cmocka_unit_test(test_removal_while_others_queue),
        cmocka_unit_test(test_removal_while_a_retry_queues),
        cmocka_unit_test(test_removal_while_retries_run),
        cmocka_unit_test(test_new_ones_are_checked),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_many_changes),
    };
    sigset_t all; /* the engine's, before there is a thread */
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
