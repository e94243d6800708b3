/* SPDX-License-Identifier: MIT */
/* least_connections against a naive model, pick by pick. */
#include "fixture.h"

enum { MODEL_BACKENDS = 24, MODEL_OPEN = 2000 };

/* Scans everything each time: lowest in_flight / weight; of equal weight and load who has waited
 * longest at that load; of different weights by smooth weighted round robin over the weights. */
struct model {
    uint32_t weight[MODEL_BACKENDS], load[MODEL_BACKENDS];
    uint64_t since[MODEL_BACKENDS]; /* when it came to its load */
    bool listed[MODEL_BACKENDS];
    int64_t turn[8]; /* by weight */
    uint64_t clock;
};

static bool lower(const struct model *m, uint32_t a, uint32_t b)
{
    return (uint64_t)m->load[a] * m->weight[b] < (uint64_t)m->load[b] * m->weight[a];
}

static uint32_t model_pick(struct model *m)
{
    uint32_t best = UINT32_MAX;
    for (uint32_t i = 0; i < MODEL_BACKENDS; i++)
        if (m->listed[i] && (best == UINT32_MAX || lower(m, i, best)))
            best = i;
    if (best == UINT32_MAX)
        return best;
    uint32_t first[8], ties[8] = {0}, classes = 0;
    for (uint32_t i = 0; i < MODEL_BACKENDS; i++) {
        if (!m->listed[i] || lower(m, best, i))
            continue;
        uint32_t w = m->weight[i];
        if (ties[w]++ == 0) {
            classes++;
            first[w] = i;
        } else if (m->since[i] < m->since[first[w]]) {
            first[w] = i;
        }
    }
    if (classes == 1)
        return first[m->weight[best]];
    int64_t total = 0;
    uint32_t winner = 0;
    for (uint32_t w = 7; w > 0; w--) {
        if (ties[w] == 0)
            continue;
        m->turn[w] += (int64_t)w * ties[w];
        total += (int64_t)w * ties[w];
        if (winner == 0 || m->turn[w] > m->turn[winner])
            winner = w;
    }
    m->turn[winner] -= total;
    return first[winner];
}

static void model_move(struct model *m, uint32_t slot, int by)
{
    m->load[slot] = (uint32_t)((int)m->load[slot] + by);
    m->since[slot] = ++m->clock;
}

static void model_rotate(struct model *m, struct fixture *f, uint32_t slot, bool up)
{
    if (m->listed[slot] == up)
        return;
    fixture_set(f, slot, up);
    m->listed[slot] = up;
    m->since[slot] = ++m->clock;
}

static void check_against_model(uint64_t seed, uint32_t weight_max)
{
    struct fixture f;
    struct model m = {0};
    struct rng rng = rng_seed(seed);
    for (uint32_t i = 0; i < MODEL_BACKENDS; i++) {
        m.weight[i] = (uint32_t)rng_between(&rng, 1, weight_max);
        m.listed[i] = true;
        m.since[i] = ++m.clock;
    }
    fixture_init(&f, BALANCE_LEAST_CONNECTIONS, MODEL_BACKENDS, m.weight);
    fixture_start(&f);
    static uint32_t open[MODEL_OPEN];
    uint32_t open_count = 0;
    for (int step = 0; step < 20000; step++) {
        bool grow = (step / 1000) % 2 == 0;
        if (rng_chance(&rng, .005)) {
            model_rotate(&m, &f, (uint32_t)rng_below(&rng, MODEL_BACKENDS), rng_chance(&rng, .6));
        } else if (open_count < MODEL_OPEN && rng_chance(&rng, grow ? .7 : .35)) {
            uint32_t wanted = model_pick(&m);
            if (wanted == UINT32_MAX)
                continue;
            assert_int_equal(picked(&f, &rng, 0), wanted);
            model_move(&m, wanted, 1);
            open[open_count++] = wanted;
        } else if (open_count > 0) {
            uint32_t i = (uint32_t)rng_below(&rng, open_count), slot = open[i];
            open[i] = open[--open_count];
            pick_done(&f.pool->backends[slot]);
            model_move(&m, slot, -1);
        }
    }
    while (open_count > 0)
        pick_done(&f.pool->backends[open[--open_count]]);
    for (uint32_t i = 0; i < MODEL_BACKENDS; i++)
        assert_int_equal(in_flight(&f, i), 0);
    fixture_fini(&f);
}

static void test_model(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        check_against_model(seed, 1);
        check_against_model(seed, 3);
        check_against_model(seed, 7);
    }
}

/* One at a time, so everything ties: equals take turns, weights keep their share. */
static void test_idle_pool_takes_turns(void **state)
{
    (void)state;
    struct fixture f;
    struct rng rng = rng_seed(0);
    fixture_init(&f, BALANCE_LEAST_CONNECTIONS, 3, NULL);
    fixture_start(&f);
    for (uint32_t i = 0; i < 9; i++)
        assert_int_equal(picked_done(&f, &rng, 0), i % 3);
    fixture_fini(&f);

    uint32_t counts[3] = {0};
    fixture_init(&f, BALANCE_LEAST_CONNECTIONS, 3, (const uint32_t[]){5, 1, 1});
    fixture_start(&f);
    for (int i = 0; i < 70; i++)
        counts[picked_done(&f, &rng, 0)]++;
    assert_int_equal(counts[0], 50);
    assert_int_equal(counts[1], 10);
    assert_int_equal(counts[2], 10);
    fixture_fini(&f);
}

/* What waits in a slow backend counts: it gets the next only when the others have as much. */
static void test_slow_backend_gets_little(void **state)
{
    (void)state;
    struct fixture f;
    struct rng rng = rng_seed(0);
    fixture_init(&f, BALANCE_LEAST_CONNECTIONS, 2, NULL);
    fixture_start(&f);
    uint32_t slow = 0;
    for (int i = 0; i < 1000; i++) {
        uint32_t slot = picked(&f, &rng, 0);
        slow += slot == 0;
        if (slot == 1)
            pick_done(&f.pool->backends[1]);
    }
    assert_int_equal(slow, 1);
    pick_done(&f.pool->backends[0]);
    fixture_fini(&f);
}

/* Leaves busy, comes back busy: filed by what is still under way. */
static void test_returns_with_work_under_way(void **state)
{
    (void)state;
    struct fixture f;
    struct rng rng = rng_seed(0);
    fixture_init(&f, BALANCE_LEAST_CONNECTIONS, 2, NULL);
    fixture_start(&f);
    for (int i = 0; i < 10; i++)
        (void)picked(&f, &rng, 0);
    fixture_set(&f, 0, false);
    pick_done(&f.pool->backends[0]);
    pick_done(&f.pool->backends[0]);
    fixture_set(&f, 0, true);
    for (int i = 0; i < 2; i++)
        assert_int_equal(picked(&f, &rng, 0), 0); /* 3 and 4 against 5 */
    for (uint32_t slot = 0; slot < 2; slot++)
        for (int i = 0; i < 5; i++)
            pick_done(&f.pool->backends[slot]);
    fixture_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_idle_pool_takes_turns),
        cmocka_unit_test(test_slow_backend_gets_little),
        cmocka_unit_test(test_returns_with_work_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
