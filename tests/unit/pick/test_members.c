/* SPDX-License-Identifier: MIT */
/* Members that come, go and change their weight between picks: every policy stays what it is. */
#include "fixture.h"

static void add_and_publish(struct fixture *f, const char *name, uint32_t weight)
{
    fixture_add(f, name, weight);
    fixture_rebuild(f);
}

static void remove_and_forget(struct fixture *f, struct backend *b)
{
    fixture_remove(f, b);
    pool_forget(b);
}

static void test_slots_and_names(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, BALANCE_ROUND_ROBIN, 3, NULL);
    struct pool *pool = fixture_start(&f);
    struct backend *b2 = pool_find(pool, span_str("B2"));
    assert_ptr_equal(b2, &pool->backends[1]);
    assert_null(pool_find(pool, span_str("B4")));

    struct backend *b4 = fixture_add(&f, "B4", 1);
    assert_ptr_equal(b4, &pool->backends[3]);
    assert_ptr_equal(pool_find(pool, span_str("B4")), b4);
    assert_int_equal(pool->member_count, 4);

    fixture_remove(&f, b2);
    assert_null(pool_find(pool, span_str("B2")));
    assert_true(backend_exists(b2));
    assert_int_equal(pool->member_count, 3);
    struct backend *again = fixture_add(&f, "B2", 1); /* the old one is still there */
    assert_ptr_equal(again, &pool->backends[4]);
    assert_ptr_equal(pool_find(pool, span_str("B2")), again);
    pool_forget(b2);
    assert_false(backend_exists(b2));
    assert_ptr_equal(pool_find(pool, span_str("B2")), again);

    struct backend *b5 = fixture_add(&f, "B5", 1);
    assert_ptr_equal(b5, b2); /* the lowest free slot */
    assert_int_equal(pool_backend_count(pool), 5);
    assert_string_equal(b5->conf->name, "B5");
    fixture_fini(&f);
}

static void test_ids_are_shared_by_pools(void **state)
{
    (void)state;
    struct fixture f;
    struct ids ids;
    ids_init(&ids);
    fixture_init(&f, BALANCE_ROUND_ROBIN, 3, NULL);
    struct pool *one = pool_new(&f.snapshot, 0, &ids), *two = pool_new(&f.snapshot, 0, &ids);
    assert_non_null(one);
    assert_non_null(two);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(one->backends[i].id, i);
        assert_int_equal(two->backends[i].id, 3 + i);
    }
    backend_admin_set(&one->backends[1], BACKEND_REMOVED);
    struct view *old = pool_rebuild(one);
    view_free(&old);
    pool_forget(&one->backends[1]);
    struct backend_conf conf = f.backends[0];
    conf.name = "new";
    assert_int_equal(pool_add(two, &conf)->id, 1);
    pool_free(&one);
    pool_free(&two);
    ids_fini(&ids);
    fixture_fini(&f);
}

/* The operator's states follow with the view, and what a change leaves can always be picked. */
static void test_states_follow_the_view(void **state)
{
    (void)state;
    struct fixture f;
    struct rng rng = rng_seed(1);
    fixture_init(&f, BALANCE_ROUND_ROBIN, 1, NULL);
    struct pool *pool = fixture_start(&f);
    struct backend *b1 = &pool->backends[0];
    struct backend *b2 = fixture_add(&f, "B2", 1);
    backend_admin_set(b1, BACKEND_DRAIN);
    for (int i = 0; i < 4; i++)
        assert_int_equal(picked_done(&f, &rng, 0), 0);
    fixture_rebuild(&f);
    assert_int_equal(atomic_load(&b1->state), BACKEND_DRAIN);
    for (int i = 0; i < 4; i++)
        assert_int_equal(picked_done(&f, &rng, 0), 1);
    assert_false(pick_this(b1));

    backend_admin_set(b1, 0);
    backend_admin_set(b2, BACKEND_DISABLED);
    fixture_rebuild(&f);
    assert_int_equal(atomic_load(&b1->state), 0);
    assert_int_equal(atomic_load(&b2->state), BACKEND_DISABLED);
    assert_int_equal(picked_done(&f, &rng, 0), 0);

    /* One bit of the operator's for another, beside what health says. */
    assert_false(backend_state_change(b2, BACKEND_DOWN, 0));
    backend_admin_set(b2, BACKEND_DRAIN);
    fixture_rebuild(&f);
    assert_int_equal(atomic_load(&b2->state), BACKEND_DRAIN | BACKEND_DOWN);
    fixture_fini(&f);
}

static void test_quiet(void **state)
{
    (void)state;
    struct fixture f;
    struct rng rng = rng_seed(1);
    fixture_init(&f, BALANCE_ROUND_ROBIN, 1, NULL);
    struct backend *b = &fixture_start(&f)->backends[0];
    assert_true(backend_quiet(b));
    assert_int_equal(picked(&f, &rng, 0), 0);
    assert_false(backend_quiet(b));
    backend_pin(b);
    pick_done(b);
    assert_false(backend_quiet(b));
    backend_unpin(b);
    assert_true(backend_quiet(b));
    fixture_fini(&f);
}

/* ---- round robin over changes ---- */

enum { STAY = 6, COME_AND_GO = 10 };

static void spread(const uint32_t *counts, const uint32_t *slots, uint32_t n, uint32_t *ret_low,
                   uint32_t *ret_high)
{
    *ret_low = UINT32_MAX;
    *ret_high = 0;
    for (uint32_t i = 0; i < n; i++) {
        *ret_low = MIN(*ret_low, counts[slots[i]]);
        *ret_high = MAX(*ret_high, counts[slots[i]]);
    }
}

/* One that is not there comes, or one that is goes or is drained for a while. */
static void change_one(struct fixture *f, struct rng *rng)
{
    char name[16];
    (void)snprintf(name, sizeof(name), "X%u", (unsigned)rng_below(rng, COME_AND_GO));
    struct backend *b = pool_find(f->pool, span_cstr(name));
    if (!b) {
        add_and_publish(f, name, 1);
    } else if (rng_chance(rng, .5)) {
        remove_and_forget(f, b);
    } else {
        backend_admin_set(b, backend_admin(b) ? 0 : BACKEND_DRAIN);
        fixture_rebuild(f);
    }
}

/* Whoever stays has as many turns as the others that stay, however often the members change. */
static void test_round_robin_goes_on(void **state)
{
    (void)state;
    static uint32_t counts[STAY + 2 * COME_AND_GO];
    const uint32_t stay[STAY] = {0, 1, 2, 3, 4, 5};
    struct fixture f;
    struct rng rng = rng_seed(3);
    fixture_init(&f, BALANCE_ROUND_ROBIN, STAY, NULL);
    fixture_start(&f);
    for (int step = 0; step < 20000; step++) {
        if (rng_chance(&rng, .3))
            change_one(&f, &rng);
        counts[picked_done(&f, &rng, 0)]++;
        uint32_t low, high;
        spread(counts, stay, STAY, &low, &high);
        assert_in_range(high - low, 0, 1);
    }
    assert_true(counts[0] > 1000);
    fixture_fini(&f);
}

/* With weights each stretch of a round is exact, and over changes shares stay what they are. */
static void test_weighted_round_robin_goes_on(void **state)
{
    (void)state;
    static uint64_t counts[4];
    struct fixture f;
    struct rng rng = rng_seed(4);
    fixture_init(&f, BALANCE_ROUND_ROBIN, 4, (const uint32_t[]){4, 2, 1, 1});
    fixture_start(&f);
    double wanted[3] = {0};
    for (int step = 0; step < 6000; step++) {
        uint32_t weight = (uint32_t)rng_below(&rng, 6);
        backend_weight_set(&f.pool->backends[3], weight);
        fixture_rebuild(&f);
        uint32_t picks = 1 + (uint32_t)rng_below(&rng, 9);
        for (uint32_t i = 0; i < picks; i++)
            counts[picked_done(&f, &rng, 0)]++;
        for (uint32_t i = 0; i < 3; i++)
            wanted[i] +=
                (double)picks * (double)backend_weight(&f.pool->backends[i]) / (double)(7 + weight);
    }
    for (uint32_t i = 0; i < 3; i++) {
        double off = ((double)counts[i] - wanted[i]) / wanted[i];
        assert_true(off > -.02 && off < .02);
    }
    backend_weight_set(&f.pool->backends[3], 3);
    fixture_rebuild(&f);
    uint32_t round[4] = {0};
    for (int i = 0; i < 10; i++)
        round[picked_done(&f, &rng, 0)]++;
    assert_int_equal(round[0], 4);
    assert_int_equal(round[1], 2);
    assert_int_equal(round[2], 1);
    assert_int_equal(round[3], 3);
    fixture_fini(&f);
}

static void test_weight_zero_takes_nothing_new(void **state)
{
    (void)state;
    struct rng rng = rng_seed(1);
    for (size_t i = 0; i < ARRAY_LEN(all_policies); i++) {
        struct fixture f;
        fixture_init(&f, all_policies[i], 3, NULL);
        fixture_start(&f);
        backend_weight_set(&f.pool->backends[1], 0);
        fixture_rebuild(&f);
        for (uint64_t key = 0; key < 50; key++)
            assert_int_not_equal(picked_done(&f, &rng, key), 1);
        backend_weight_set(&f.pool->backends[1], 100);
        fixture_rebuild(&f);
        uint32_t there = 0;
        for (uint64_t key = 0; key < 100; key++)
            there += picked_done(&f, &rng, key) == 1;
        assert_true(there > 80);
        fixture_fini(&f);
    }
}

/* ---- least connections over changes ---- */

/* Whether `slot` had the lowest in_flight / weight of all members before it was picked. */
static bool was_lowest(const struct fixture *f, uint32_t slot)
{
    const struct backend *picked = &f->pool->backends[slot];
    uint64_t load = in_flight(f, slot) - 1;
    for (uint32_t i = 0; i < pool_backend_count(f->pool); i++) {
        const struct backend *b = &f->pool->backends[i];
        if (!backend_exists(b) || !backend_in_rotation(b) || backend_weight(b) == 0 || b == picked)
            continue;
        if ((uint64_t)in_flight(f, i) * backend_weight(picked) < load * backend_weight(b))
            return false;
    }
    return true;
}

struct leaver {
    struct backend *b;
};

static void change_loaded(struct fixture *f, struct rng *rng, struct leaver *leaving)
{
    char name[16];
    uint32_t which = (uint32_t)rng_below(rng, 12);
    (void)snprintf(name, sizeof(name), "X%u", which);
    struct backend *b = pool_find(f->pool, span_cstr(name));
    if (leaving[which].b && backend_quiet(leaving[which].b)) {
        pool_forget(leaving[which].b);
        leaving[which].b = NULL;
    }
    if (!b && !leaving[which].b) {
        add_and_publish(f, name, (uint32_t)rng_between(rng, 1, 5));
    } else if (b && rng_chance(rng, .4)) {
        leaving[which].b = b;
        fixture_remove(f, b);
    } else if (b) {
        backend_weight_set(b, (uint32_t)rng_below(rng, 6));
        fixture_rebuild(f);
    }
}

static void test_least_connections_stays_exact(void **state)
{
    (void)state;
    enum { OPEN = 300 };
    static struct backend *open[OPEN];
    struct leaver leaving[12] = {{NULL}};
    struct fixture f;
    struct rng rng = rng_seed(6);
    uint32_t count = 0;
    fixture_init(&f, BALANCE_LEAST_CONNECTIONS, 3, (const uint32_t[]){1, 2, 5});
    fixture_start(&f);
    for (int step = 0; step < 40000; step++) {
        if (rng_chance(&rng, .1))
            change_loaded(&f, &rng, leaving);
        if (count < OPEN && rng_chance(&rng, .52)) {
            uint32_t slot = picked(&f, &rng, 0);
            assert_true(was_lowest(&f, slot));
            open[count++] = &f.pool->backends[slot];
        } else if (count > 0) {
            uint32_t i = (uint32_t)rng_below(&rng, count);
            pick_done(open[i]);
            open[i] = open[--count];
        }
    }
    assert_true(count > 10);
    while (count > 0)
        pick_done(open[--count]);
    for (uint32_t i = 0; i < pool_backend_count(f.pool); i++)
        assert_int_equal(in_flight(&f, i), 0);
    fixture_fini(&f);
}

/* ---- hash ---- */

enum { KEYS = 20000 };

static void map_keys(struct fixture *f, uint32_t *slots)
{
    struct rng rng = rng_seed(0);
    for (uint64_t key = 0; key < KEYS; key++)
        slots[key] = picked_done(f, &rng, key * 0x9e3779b97f4a7c15u);
}

static uint32_t moved(const uint32_t *a, const uint32_t *b)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < KEYS; i++)
        n += a[i] != b[i];
    return n;
}

static void test_hash_moves_few(void **state)
{
    (void)state;
    static uint32_t before[KEYS], with[KEYS], after[KEYS];
    struct fixture f;
    fixture_init(&f, BALANCE_SOURCE_HASH, 9, NULL);
    fixture_start(&f);
    map_keys(&f, before);
    add_and_publish(&f, "B10", 1);
    map_keys(&f, with);
    uint32_t to_others = 0;
    for (uint32_t i = 0; i < KEYS; i++)
        to_others += with[i] != before[i] && with[i] != 9;
    assert_in_range(moved(before, with), KEYS / 12, KEYS / 8);
    assert_in_range(to_others, 0, KEYS / 50);
    remove_and_forget(&f, &f.pool->backends[9]);
    map_keys(&f, after);
    assert_int_equal(moved(before, after), 0);
    /* The slot says nothing: the same name comes back to the same keys. */
    remove_and_forget(&f, &f.pool->backends[2]);
    add_and_publish(&f, "other", 1);
    add_and_publish(&f, "B3", 1);
    remove_and_forget(&f, pool_find(f.pool, span_str("other")));
    map_keys(&f, after);
    for (uint32_t i = 0; i < KEYS; i++)
        assert_string_equal(f.pool->backends[after[i]].conf->name, f.names[before[i]]);
    fixture_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slots_and_names),
        cmocka_unit_test(test_ids_are_shared_by_pools),
        cmocka_unit_test(test_states_follow_the_view),
        cmocka_unit_test(test_quiet),
        cmocka_unit_test(test_round_robin_goes_on),
        cmocka_unit_test(test_weighted_round_robin_goes_on),
        cmocka_unit_test(test_weight_zero_takes_nothing_new),
        cmocka_unit_test(test_least_connections_stays_exact),
        cmocka_unit_test(test_hash_moves_few),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
