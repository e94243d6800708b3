/* SPDX-License-Identifier: MIT */
/*
 * Several workers pick at once while views come and go: for the thread sanitizer, and for the sums
 * at the end. Old views are freed as the program does it: after every worker has passed a quiescent
 * point, here a count each worker raises between two picks.
 */
#include "fixture.h"

#include <assert.h>
#include <pthread.h>

enum { THREADS = 4, PICKS = 20000, CHURN_PICKS = 100000 };

struct worker {
    pthread_t thread;
    struct fixture *f;
    uint64_t seed;
    uint32_t picks;
    uint32_t *counts; /* per slot */
    ALIGNED(64) _Atomic uint64_t quiescent;
    _Atomic bool ended;
};

static void worker_init(struct worker *w, struct fixture *f, uint64_t seed, uint32_t picks)
{
    *w = (struct worker){.f = f, .seed = seed, .picks = picks};
    w->counts = calloc(pool_backend_count(f->pool), sizeof(*w->counts));
    assert_non_null(w->counts);
}

static void *work(void *user)
{
    struct worker *w = user;
    struct rng rng = rng_seed(w->seed);
    struct backend *open[8] = {NULL};
    uint32_t limit = w->f->pool_conf.max_connections;
    for (uint32_t i = 0; i < w->picks; i++) {
        struct pick_request request = {.key = rng_u64(&rng)};
        struct backend **place = &open[rng_below(&rng, 8)];
        if (*place)
            pick_done(*place);
        *place = NULL;
        if (pick_backend(w->f->pool, &request, &rng, place) == PICK_OK) {
            w->counts[(*place)->slot]++;
            if (limit > 0 && atomic_load(&(*place)->in_flight) > limit)
                abort();
        }
        atomic_fetch_add(&w->quiescent, 1);
    }
    for (size_t i = 0; i < 8; i++)
        if (open[i])
            pick_done(open[i]);
    atomic_store(&w->ended, true);
    return NULL;
}

/* Waits until no worker can be in a pick that began before the call. */
static void grace(struct worker workers[THREADS])
{
    uint64_t seen[THREADS];
    for (int t = 0; t < THREADS; t++)
        seen[t] = atomic_load(&workers[t].quiescent);
    for (int t = 0; t < THREADS; t++)
        while (atomic_load(&workers[t].quiescent) == seen[t] && !atomic_load(&workers[t].ended))
            sched_yield();
}

static bool all_ended(struct worker workers[THREADS])
{
    for (int t = 0; t < THREADS; t++)
        if (!atomic_load(&workers[t].ended))
            return false;
    return true;
}

static void churn(struct fixture *f, struct worker workers[THREADS])
{
    struct rng rng = rng_seed(99);
    while (!all_ended(workers)) {
        struct backend *b = &f->pool->backends[rng_below(&rng, pool_backend_count(f->pool))];
        bool down = rng_chance(&rng, .4);
        if (!backend_state_change(b, down ? BACKEND_DOWN : 0, down ? 0 : BACKEND_DOWN))
            continue;
        struct view *old = pool_rebuild(f->pool);
        assert_non_null(old);
        grace(workers);
        view_free(&old);
    }
}

static void check_churn(enum balance balance)
{
    struct fixture f;
    static struct worker workers[THREADS]; /* see the alignment of a worker */
    fixture_init(&f, balance, 20, NULL);
    for (uint32_t i = 0; i < 20; i++)
        f.backends[i].weight = 1 + i % 3;
    f.pool_conf.max_connections = 3;
    fixture_start(&f);
    for (int t = 0; t < THREADS; t++) {
        worker_init(&workers[t], &f, (uint64_t)t, CHURN_PICKS);
        assert_int_equal(pthread_create(&workers[t].thread, NULL, work, &workers[t]), 0);
    }
    churn(&f, workers);
    for (int t = 0; t < THREADS; t++) {
        pthread_join(workers[t].thread, NULL);
        free(workers[t].counts);
    }
    for (uint32_t i = 0; i < 20; i++)
        assert_int_equal(in_flight(&f, i), 0);
    fixture_fini(&f);
}

static void test_churn(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(all_policies); i++)
        check_churn(all_policies[i]);
}

/* Round robin is exact over the process, not per worker. */
static void check_exact(uint32_t n, const uint32_t *weights, const uint32_t *wanted)
{
    struct fixture f;
    static struct worker workers[THREADS]; /* see the alignment of a worker */
    fixture_init(&f, BALANCE_ROUND_ROBIN, n, weights);
    fixture_start(&f);
    for (int t = 0; t < THREADS; t++) {
        worker_init(&workers[t], &f, (uint64_t)t, PICKS);
        assert_int_equal(pthread_create(&workers[t].thread, NULL, work, &workers[t]), 0);
    }
    uint32_t counts[8] = {0};
    for (int t = 0; t < THREADS; t++) {
        pthread_join(workers[t].thread, NULL);
        for (uint32_t i = 0; i < n; i++)
            counts[i] += workers[t].counts[i];
        free(workers[t].counts);
    }
    for (uint32_t i = 0; i < n; i++)
        assert_in_range(counts[i], wanted[i], wanted[i] + 1);
    fixture_fini(&f);
}

static void test_round_robin_is_exact(void **state)
{
    (void)state;
    static_assert(THREADS * PICKS == 80000, "the sums below");
    check_exact(3, NULL, (const uint32_t[]){26666, 26666, 26666});
    check_exact(8, (const uint32_t[]){1, 1, 1, 1, 1, 1, 1, 1},
                (const uint32_t[]){10000, 10000, 10000, 10000, 10000, 10000, 10000, 10000});
    check_exact(3, (const uint32_t[]){6, 1, 1}, (const uint32_t[]){60000, 10000, 10000});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_churn),
        cmocka_unit_test(test_round_robin_is_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
