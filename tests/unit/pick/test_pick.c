/* SPDX-License-Identifier: MIT */
/* What every policy promises, whatever the order of events; and the exactness of round robin. */
#include "fixture.h"

/* ---- one policy's own promises ---- */

static void test_round_robin_in_turn(void **state)
{
    (void)state;
    struct fixture f;
    struct rng rng = rng_seed(0);
    fixture_init(&f, BALANCE_ROUND_ROBIN, 3, NULL);
    fixture_start(&f);
    for (uint32_t i = 0; i < 30; i++)
        assert_int_equal(picked_done(&f, &rng, 0), i % 3);
    fixture_fini(&f);
}

/* Any 7 picks in a row, aligned or not, also across views of another length. */
static void test_round_robin_weights_in_every_round(void **state)
{
    (void)state;
    struct fixture f;
    struct rng rng = rng_seed(0);
    fixture_init(&f, BALANCE_ROUND_ROBIN, 3, (const uint32_t[]){5, 1, 1});
    fixture_start(&f);
    for (int views = 0; views < 5; views++) {
        uint32_t order[700];
        for (uint32_t i = 0; i < 700; i++)
            order[i] = picked_done(&f, &rng, 0);
        for (uint32_t i = 0; i + 7 <= 700; i++) {
            uint32_t counts[3] = {0};
            for (uint32_t k = 0; k < 7; k++)
                counts[order[i + k]]++;
            assert_int_equal(counts[0], 5);
            assert_int_equal(counts[1], 1);
            assert_int_equal(counts[2], 1);
        }
        fixture_set(&f, 1, false);
        for (int i = 0; i < 11; i++)
            assert_int_not_equal(picked_done(&f, &rng, 0), 1);
        fixture_set(&f, 1, true);
    }
    fixture_fini(&f);
}

/* The successor of one that just left does not inherit its turns. */
static void test_round_robin_skips_fairly(void **state)
{
    (void)state;
    struct fixture f;
    struct rng rng = rng_seed(0);
    fixture_init(&f, BALANCE_ROUND_ROBIN, 4, NULL);
    fixture_start(&f);
    backend_state_change(&f.pool->backends[1], BACKEND_DOWN, 0); /* no new view yet */
    uint32_t counts[4] = {0};
    for (int i = 0; i < 300; i++)
        counts[picked_done(&f, &rng, 0)]++;
    assert_int_equal(counts[0], 100);
    assert_int_equal(counts[1], 0);
    assert_int_equal(counts[2], 100);
    assert_int_equal(counts[3], 100);
    fixture_fini(&f);
}

static void test_round_robin_cursor_wraps(void **state)
{
    (void)state;
    struct fixture f;
    struct rng rng = rng_seed(0);
    fixture_init(&f, BALANCE_ROUND_ROBIN, 3, NULL);
    fixture_start(&f);
    atomic_store(&f.pool->cursor, UINT64_MAX - 5);
    for (int i = 0; i < 12; i++)
        assert_in_range(picked_done(&f, &rng, 0), 0, 2);
    fixture_fini(&f);
}

/* Pearson's statistic over a million draws against the 99.9 % point. */
static void check_draws(enum balance balance, const uint32_t *weights, uint32_t n, double point)
{
    struct fixture f;
    struct rng rng = rng_seed(42);
    fixture_init(&f, balance, n, weights);
    fixture_start(&f);
    uint32_t counts[16] = {0}, total = 1000000;
    double sum = 0, chi2 = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += f.backends[i].weight;
    for (uint32_t i = 0; i < total; i++)
        counts[picked_done(&f, &rng, 0)]++;
    for (uint32_t i = 0; i < n; i++) {
        double ideal = total * f.backends[i].weight / sum;
        chi2 += (counts[i] - ideal) * (counts[i] - ideal) / ideal;
    }
    assert_true(chi2 < point);
    fixture_fini(&f);
}

static void test_random_shares(void **state)
{
    (void)state;
    check_draws(BALANCE_RANDOM, NULL, 10, 27.9);
    check_draws(BALANCE_RANDOM, (const uint32_t[]){1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 10, 27.9);
    check_draws(BALANCE_P2C, NULL, 10, 27.9); /* idle and equal: ties, so a fair coin */
}

/* Of two, p2c always takes the lighter; of equals it takes either. */
static void test_p2c_takes_the_lighter(void **state)
{
    (void)state;
    struct fixture f;
    struct rng rng = rng_seed(7);
    fixture_init(&f, BALANCE_P2C, 2, (const uint32_t[]){1, 3});
    fixture_start(&f);
    for (int i = 0; i < 400; i++)
        (void)picked(&f, &rng, 0);
    assert_in_range(in_flight(&f, 0), 99, 101);
    assert_in_range(in_flight(&f, 1), 299, 301);
    for (uint32_t slot = 0; slot < 2; slot++)
        while (in_flight(&f, slot) > 0)
            pick_done(&f.pool->backends[slot]);
    fixture_fini(&f);
}

static void test_hash_is_sticky_and_moves_little(void **state)
{
    (void)state;
    struct fixture f;
    struct rng rng = rng_seed(0);
    fixture_init(&f, BALANCE_SOURCE_HASH, 10, NULL);
    fixture_start(&f);
    enum { KEYS = 20000 };
    static uint8_t before[KEYS];
    uint32_t counts[10] = {0}, moved = 0;
    for (uint32_t key = 0; key < KEYS; key++) {
        before[key] = (uint8_t)picked_done(&f, &rng, key);
        counts[before[key]]++;
        assert_int_equal(picked_done(&f, &rng, key), before[key]);
    }
    for (uint32_t i = 0; i < 10; i++)
        assert_in_range(counts[i], 1800, 2200);
    fixture_set(&f, 3, false);
    for (uint32_t key = 0; key < KEYS; key++)
        moved += before[key] != 3 && picked_done(&f, &rng, key) != before[key];
    assert_in_range(moved, 0, KEYS / 50);
    fixture_set(&f, 3, true);
    for (uint32_t key = 0; key < KEYS; key++)
        assert_int_equal(picked_done(&f, &rng, key), before[key]);
    fixture_fini(&f);
}

/* A key whose backend is full or tried goes to the same substitute each time, and the keys of one
 * backend spread over all the others. */
static void test_hash_substitute(void **state)
{
    (void)state;
    struct fixture f;
    struct rng rng = rng_seed(0);
    fixture_init(&f, BALANCE_SOURCE_HASH, 5, NULL);
    fixture_start(&f);
    uint32_t counts[5] = {0};
    for (uint32_t key = 0; key < 5000; key++) {
        uint32_t own = picked_done(&f, &rng, key);
        struct pick_request retry = {.key = key, .tried_count = 1, .tried = {own}};
        struct backend *first = NULL, *second = NULL;
        assert_int_equal(pick_backend(f.pool, &retry, &rng, &first), PICK_OK);
        assert_int_equal(pick_backend(f.pool, &retry, &rng, &second), PICK_OK);
        pick_done(first);
        pick_done(second);
        assert_ptr_equal(first, second);
        assert_int_not_equal(first->slot, own);
        if (own == 0)
            counts[first->slot]++;
    }
    for (uint32_t i = 1; i < 5; i++)
        assert_in_range(counts[i], 180, 320); /* of about 1,000 keys, a quarter each */
    fixture_fini(&f);
}

/* ---- the promises of all ---- */

static void check_tiers(enum balance balance)
{
    struct fixture f;
    struct rng rng = rng_seed(0);
    struct pick_request request = {.key = 1};
    struct backend *b = NULL;
    fixture_init(&f, balance, 4, (const uint32_t[]){1, 1, 1, 0});
    f.backends[2].backup = true;
    fixture_start(&f);
    assert_int_equal(view_active_count(f.pool->view), 2);
    for (uint64_t i = 0; i < 50; i++)
        assert_in_range(picked_done(&f, &rng, i), 0, 1);
    fixture_set(&f, 0, false);
    for (uint64_t i = 0; i < 50; i++)
        assert_int_equal(picked_done(&f, &rng, i), 1);
    fixture_set(&f, 1, false);
    for (uint64_t i = 0; i < 50; i++)
        assert_int_equal(picked_done(&f, &rng, i), 2);
    fixture_set(&f, 2, false);
    assert_int_equal(pick_backend(f.pool, &request, &rng, &b), PICK_NONE); /* weight 0 never */
    assert_null(b);
    fixture_set(&f, 1, true);
    assert_int_equal(picked_done(&f, &rng, 5), 1);
    fixture_fini(&f);
}

static void test_tiers(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(all_policies); i++)
        check_tiers(all_policies[i]);
}

static void check_limit(enum balance balance)
{
    struct fixture f;
    struct rng rng = rng_seed(0);
    struct pick_request request = {.key = 1};
    struct backend *b = NULL;
    fixture_init(&f, balance, 50, NULL);
    f.pool_conf.max_connections = 3;
    fixture_start(&f);
    for (uint32_t i = 0; i < 150; i++)
        (void)picked(&f, &rng, i);
    for (uint32_t i = 0; i < 50; i++)
        assert_int_equal(in_flight(&f, i), 3);
    assert_int_equal(pick_backend(f.pool, &request, &rng, &b), PICK_QUEUE);
    assert_null(b);
    assert_false(pick_this(&f.pool->backends[7]));
    pick_done(&f.pool->backends[7]);
    assert_true(pick_this(&f.pool->backends[7]));
    pick_done(&f.pool->backends[7]);
    assert_int_equal(picked(&f, &rng, 9), 7);
    fixture_set(&f, 7, false);
    pick_done(&f.pool->backends[7]);
    assert_false(pick_this(&f.pool->backends[7])); /* has room, but is out */
    for (uint32_t i = 0; i < 50; i++)
        while (in_flight(&f, i) > 0)
            pick_done(&f.pool->backends[i]);
    fixture_fini(&f);
}

static void test_limit(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(all_policies); i++)
        check_limit(all_policies[i]);
}

static void test_unresolved_names_are_out(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, BALANCE_ROUND_ROBIN, 2, NULL);
    f.backends[1].address = (struct address){.kind = ADDRESS_NAME, .port = 1, .text = "x.example"};
    fixture_start(&f);
    assert_int_equal(view_active_count(f.pool->view), 1);
    assert_null(atomic_load(&f.pool->backends[1].address));
    const struct backend *known = &f.pool->backends[0];
    assert_ptr_equal(atomic_load(&known->address), &known->conf->address);
    assert_true(address_equal(&known->conf->address, &f.backends[0].address));
    fixture_fini(&f);
}

static void test_state_change_tells_rotation(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, BALANCE_ROUND_ROBIN, 1, NULL);
    struct backend *b = &fixture_start(&f)->backends[0];
    assert_true(backend_state_change(b, BACKEND_DOWN, 0));
    assert_false(backend_state_change(b, BACKEND_DOWN, 0));
    assert_false(backend_state_change(b, BACKEND_EJECTED, 0));
    assert_false(backend_state_change(b, 0, BACKEND_DOWN));
    assert_false(backend_in_rotation(b));
    assert_true(backend_state_change(b, 0, BACKEND_EJECTED));
    assert_true(backend_in_rotation(b));
    fixture_fini(&f);
}

/* ---- random histories ---- */

enum { HISTORY_BACKENDS = 40, HISTORY_OPEN = 400 };

struct history {
    struct fixture f;
    struct rng rng;
    struct backend *open[HISTORY_OPEN];
    uint32_t open_count;
    uint32_t model[HISTORY_BACKENDS]; /* in flight, as this test counts */
    bool stale;                       /* states have changed since the last view */
};

static bool tried(const struct pick_request *r, uint32_t slot)
{
    for (uint32_t i = 0; i < r->tried_count; i++)
        if (r->tried[i] == slot)
            return true;
    return false;
}

/* What the answer must be: by the states, limits and tiers of a fresh view. */
static enum pick_answer history_answer(const struct history *h, const struct pick_request *r)
{
    const struct pool *pool = h->f.pool;
    for (int backup = 0; backup < 2; backup++) {
        bool tier_in_use = false, eligible = false;
        for (uint32_t i = 0; i < pool_backend_count(pool); i++) {
            const struct backend *b = &pool->backends[i];
            if (b->conf->backup != (bool)backup || backend_weight(b) == 0 ||
                !backend_in_rotation(b))
                continue;
            tier_in_use = true;
            if (tried(r, i))
                continue;
            eligible = true;
            if (h->model[i] < pool_conf(pool)->max_connections)
                return PICK_OK;
        }
        if (tier_in_use)
            return eligible ? PICK_QUEUE : PICK_NONE;
    }
    return PICK_NONE;
}

static void history_pick(struct history *h)
{
    struct pick_request request = {.key = rng_u64(&h->rng)};
    request.tried_count = (uint32_t)rng_below(&h->rng, 5) == 0 ? PICK_TRIED_MAX : 0;
    for (uint32_t i = 0; i < request.tried_count; i++)
        request.tried[i] = (uint32_t)rng_below(&h->rng, HISTORY_BACKENDS);
    struct backend *b = NULL;
    enum pick_answer answer = pick_backend(h->f.pool, &request, &h->rng, &b);
    if (!h->stale)
        assert_int_equal(answer, history_answer(h, &request));
    if (answer != PICK_OK) {
        assert_null(b);
        return;
    }
    assert_true(backend_in_rotation(b));
    assert_true(backend_weight(b) > 0);
    assert_false(tried(&request, b->slot));
    h->model[b->slot]++;
    assert_true(h->model[b->slot] <= h->f.pool_conf.max_connections);
    h->open[h->open_count++] = b;
}

static void history_done(struct history *h)
{
    uint32_t i = (uint32_t)rng_below(&h->rng, h->open_count);
    struct backend *b = h->open[i];
    h->open[i] = h->open[--h->open_count];
    h->model[b->slot]--;
    pick_done(b);
}

static void history_step(struct history *h)
{
    uint64_t what = rng_below(&h->rng, 100);
    struct backend *b = &h->f.pool->backends[rng_below(&h->rng, HISTORY_BACKENDS)];
    if (what < 4) {
        uint32_t bit = 1u << rng_below(&h->rng, 5);
        bool set = rng_chance(&h->rng, .6);
        if (backend_state_change(b, set ? bit : 0, set ? 0 : bit))
            h->stale = true;
    } else if (what < 8) {
        fixture_rebuild(&h->f);
        h->stale = false;
    } else if (what < 55 && h->open_count < HISTORY_OPEN) {
        history_pick(h);
    } else if (what < 60 && h->open_count < HISTORY_OPEN) {
        if (pick_this(b)) {
            assert_true(backend_in_rotation(b));
            h->model[b->slot]++;
            h->open[h->open_count++] = b;
        }
    } else if (h->open_count > 0) {
        history_done(h);
    }
}

static void check_history(enum balance balance, uint64_t seed)
{
    struct history h = {.rng = rng_seed(seed)};
    uint32_t weights[HISTORY_BACKENDS];
    for (uint32_t i = 0; i < HISTORY_BACKENDS; i++)
        weights[i] = (uint32_t)rng_below(&h.rng, 4);
    fixture_init(&h.f, balance, HISTORY_BACKENDS, weights);
    for (uint32_t i = 0; i < HISTORY_BACKENDS; i++)
        h.f.backends[i].backup = rng_chance(&h.rng, .2);
    h.f.pool_conf.max_connections = (uint32_t)rng_between(&h.rng, 1, 4);
    fixture_start(&h.f);
    for (int step = 0; step < 3000; step++) {
        history_step(&h);
        for (uint32_t i = 0; i < HISTORY_BACKENDS; i++)
            assert_int_equal(in_flight(&h.f, i), h.model[i]);
    }
    while (h.open_count > 0)
        history_done(&h);
    for (uint32_t i = 0; i < HISTORY_BACKENDS; i++)
        assert_int_equal(in_flight(&h.f, i), 0);
    fixture_fini(&h.f);
}

static void test_random_histories(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(all_policies); i++)
        for (uint64_t seed = 1; seed <= 6; seed++)
            check_history(all_policies[i], seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_robin_in_turn),
        cmocka_unit_test(test_round_robin_weights_in_every_round),
        cmocka_unit_test(test_round_robin_skips_fairly),
        cmocka_unit_test(test_round_robin_cursor_wraps),
        cmocka_unit_test(test_random_shares),
        cmocka_unit_test(test_p2c_takes_the_lighter),
        cmocka_unit_test(test_hash_is_sticky_and_moves_little),
        cmocka_unit_test(test_hash_substitute),
        cmocka_unit_test(test_tiers),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_unresolved_names_are_out),
        cmocka_unit_test(test_state_change_tells_rotation),
        cmocka_unit_test(test_random_histories),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
