/* SPDX-License-Identifier: MIT */
/* What a twin picks is what the pool picks next, the pool being none the wiser; and every reason
 * for not being picked. */
#include "fixture.h"

#include "pick/inspect.h"

#include "base/limits.h"

static void shuffle_loads(struct fixture *f, struct rng *rng)
{
    for (unsigned i = 0; i < 60; i++) {
        struct pick_request request = {.key = rng_u64(rng)};
        struct backend *b = NULL;
        if (pick_backend(f->pool, &request, rng, &b) == PICK_OK && rng_below(rng, 3) == 0)
            pick_done(b);
    }
}

static void change_states(struct fixture *f, struct rng *rng, uint32_t n)
{
    static const uint32_t wishes[] = {0, 0, 0, BACKEND_DRAIN, BACKEND_DISABLED};
    for (uint32_t i = 0; i < n; i++) {
        struct backend *b = &f->pool->backends[i];
        backend_admin_set(b, wishes[rng_below(rng, ARRAY_LEN(wishes))]);
        backend_weight_set(b, (uint32_t)rng_below(rng, 5));
        (void)backend_state_change(b, rng_below(rng, 4) == 0 ? BACKEND_DOWN : 0, BACKEND_DOWN);
    }
    fixture_rebuild(f);
}

static void same_counts(const struct pool *a, const uint32_t *before, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(atomic_load(&a->backends[i].in_flight), before[i]);
}

/* The two go on side by side for a while: every pick is the same. */
static void follow(struct fixture *f, struct pool *twin, struct rng *keys, uint64_t seed)
{
    struct rng mine = rng_seed(seed), its = rng_seed(seed);
    for (unsigned i = 0; i < 40; i++) {
        struct pick_request request = {.key = rng_u64(keys)};
        struct backend *a = NULL, *b = NULL;
        enum pick_answer first = pick_backend(twin, &request, &its, &b);
        assert_int_equal(pick_backend(f->pool, &request, &mine, &a), first);
        if (first != PICK_OK)
            continue;
        assert_int_equal(a->slot, b->slot);
        assert_ptr_not_equal(a, b);
        if (rng_below(keys, 2) == 0) {
            pick_done(a);
            pick_done(b);
        }
    }
}

static void test_twin(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct rng rng = rng_seed(seed);
        enum balance balance = all_policies[seed % ARRAY_LEN(all_policies)];
        uint32_t n = 1 + (uint32_t)rng_below(&rng, 12);
        uint32_t before[12];
        struct fixture f;
        fixture_init(&f, balance, n, NULL);
        f.pool_conf.max_connections = (uint32_t)rng_below(&rng, 2) * 7;
        fixture_start(&f);
        shuffle_loads(&f, &rng);
        change_states(&f, &rng, n);
        shuffle_loads(&f, &rng);
        for (uint32_t i = 0; i < n; i++)
            before[i] = in_flight(&f, i);
        uint64_t cursor = atomic_load(&f.pool->cursor);
        struct pool *twin = pool_twin(f.pool);
        assert_non_null(twin);
        same_counts(f.pool, before, n);
        same_counts(twin, before, n);
        assert_int_equal(atomic_load(&f.pool->cursor), cursor);
        follow(&f, twin, &rng, seed);
        pool_free(&twin);
        fixture_fini(&f);
    }
}

/* A slot that is nobody's stays so in the twin: the others keep their numbers. */
static void test_twin_with_gaps(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, BALANCE_LEAST_CONNECTIONS, 4, NULL);
    fixture_start(&f);
    struct backend *gone = &f.pool->backends[1];
    backend_admin_set(gone, BACKEND_REMOVED);
    fixture_rebuild(&f);
    pool_forget(gone);
    struct pool *twin = pool_twin(f.pool);
    assert_non_null(twin);
    assert_false(backend_exists(&twin->backends[1]));
    assert_string_equal(twin->backends[3].conf->name, "B4");
    struct rng keys = rng_seed(1);
    follow(&f, twin, &keys, 2);
    pool_free(&twin);
    fixture_fini(&f);
}

static void expect_bar(const struct fixture *f, uint32_t slot, enum pick_bar bar)
{
    assert_int_equal(pick_barred(f->pool, &f->pool->backends[slot]), bar);
}

static void test_bars(void **state)
{
    (void)state;
    uint32_t weights[] = {1, 0, 1, 1, 1, 1, 1, 1};
    struct fixture f;
    fixture_init(&f, BALANCE_LEAST_CONNECTIONS, 8, weights);
    f.backends[2].backup = true;
    f.pool_conf.max_connections = 1;
    fixture_start(&f);
    struct backend *b = f.pool->backends;
    (void)backend_state_change(&b[3], BACKEND_DOWN, 0);
    (void)backend_state_change(&b[4], BACKEND_EJECTED, 0);
    backend_admin_set(&b[5], BACKEND_DRAIN);
    backend_admin_set(&b[6], BACKEND_DISABLED);
    (void)backend_state_change(&b[7], BACKEND_UNRESOLVED, 0);
    fixture_rebuild(&f);
    expect_bar(&f, 0, PICK_BAR_NONE);
    expect_bar(&f, 1, PICK_BAR_WEIGHT);
    expect_bar(&f, 2, PICK_BAR_BACKUP);
    expect_bar(&f, 3, PICK_BAR_DOWN);
    expect_bar(&f, 4, PICK_BAR_EJECTED);
    expect_bar(&f, 5, PICK_BAR_DRAIN);
    expect_bar(&f, 6, PICK_BAR_DISABLED);
    expect_bar(&f, 7, PICK_BAR_UNRESOLVED);
    struct rng rng = rng_seed(1);
    assert_int_equal(picked(&f, &rng, 0), 0);
    expect_bar(&f, 0, PICK_BAR_FULL);
    double score = -1;
    assert_true(pick_score(f.pool, &b[0], &score));
    assert_true(score > 0.99 && score < 1.01);
    assert_false(pick_score(f.pool, &b[1], &score));
    backend_weight_set(&b[1], 1);
    expect_bar(&f, 1, PICK_BAR_VIEW);
    pick_done(&b[0]);
    fixture_fini(&f);
}

/* What is said of the start is what the pick then goes by. */
static void test_start(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(all_policies); i++) {
        struct fixture f;
        fixture_init(&f, all_policies[i], 7, NULL);
        fixture_start(&f);
        for (uint64_t seed = 0; seed < 50; seed++) {
            struct pick_request request = {.key = seed};
            struct rng rng = rng_seed(seed);
            struct pick_start start;
            struct backend *b = NULL;
            pick_start(f.pool, &request, rng, &start);
            assert_int_equal(pick_backend(f.pool, &request, &rng, &b), PICK_OK);
            if (start.at)
                assert_ptr_equal(start.at, b);
            if (start.drawn[0])
                assert_true(b == start.drawn[0] || b == start.drawn[1]);
            assert_int_equal(start.at != NULL, all_policies[i] == BALANCE_ROUND_ROBIN ||
                                                   all_policies[i] == BALANCE_SOURCE_HASH);
            assert_int_equal(start.drawn[1] != NULL, all_policies[i] == BALANCE_P2C);
            pick_done(b);
        }
        fixture_fini(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_twin),
        cmocka_unit_test(test_twin_with_gaps),
        cmocka_unit_test(test_bars),
        cmocka_unit_test(test_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
