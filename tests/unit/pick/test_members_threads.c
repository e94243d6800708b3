/* SPDX-License-Identifier: MIT */
/*
 * Members, weights and policies change while several threads pick: for the sanitizers, and for the
 * sums. Views and slots are freed as the program does it, after grace rounds; here a round is over
 * when every worker has raised its count, between two picks.
 */
#include "fixture.h"

#include <pthread.h>
#include <sched.h>

enum { THREADS = 3, MEMBERS = 1000, CHANGES = 2000, OPEN = 16 };

struct worker {
    pthread_t thread;
    struct fixture *f;
    uint64_t seed;
    uint64_t picks, none;
    _Atomic uint32_t *counts; /* per slot, or NULL */
    uint64_t left;            /* picks to do; 0: until told */
    ALIGNED(64) _Atomic uint64_t quiescent;
    _Atomic bool stop, ended;
};

/* Each holds some, so that backends that leave are busy for a while. */
static void *work(void *user)
{
    struct worker *w = user;
    struct rng rng = rng_seed(w->seed);
    struct backend *open[OPEN] = {NULL};
    for (uint64_t i = 0; w->left ? i < w->left : !atomic_load(&w->stop); i++) {
        struct pick_request request = {.key = rng_u64(&rng)};
        struct backend **place = &open[rng_below(&rng, OPEN)];
        if (*place)
            pick_done(*place);
        *place = NULL;
        if (pick_backend(w->f->pool, &request, &rng, place) == PICK_OK) {
            w->picks++;
            if ((*place)->conf->name[0] == '\0')
                abort(); /* whoever is in flight there may read its facts */
            if (w->counts)
                atomic_fetch_add_explicit(&w->counts[(*place)->slot], 1, memory_order_relaxed);
        } else {
            *place = NULL;
            w->none++;
        }
        atomic_fetch_add(&w->quiescent, 1);
        if (i % 16 == 0)
            sched_yield(); /* there are fewer processors than threads */
    }
    for (size_t i = 0; i < OPEN; i++)
        if (open[i])
            pick_done(open[i]);
    atomic_store(&w->ended, true);
    return NULL;
}

static void start(struct worker workers[THREADS], struct fixture *f, uint64_t left,
                  _Atomic uint32_t *counts)
{
    for (int t = 0; t < THREADS; t++) {
        workers[t] =
            (struct worker){.f = f, .seed = (uint64_t)t + 1, .left = left, .counts = counts};
        assert_int_equal(pthread_create(&workers[t].thread, NULL, work, &workers[t]), 0);
    }
}

static void join(struct worker workers[THREADS])
{
    for (int t = 0; t < THREADS; t++) {
        atomic_store(&workers[t].stop, true);
        pthread_join(workers[t].thread, NULL);
        assert_true(workers[t].picks > 0);
        assert_int_equal(workers[t].none, 0);
    }
}

static void grace(struct worker workers[THREADS])
{
    uint64_t seen[THREADS];
    for (int t = 0; t < THREADS; t++)
        seen[t] = atomic_load(&workers[t].quiescent);
    for (int t = 0; t < THREADS; t++)
        while (atomic_load(&workers[t].quiescent) == seen[t] && !atomic_load(&workers[t].ended))
            sched_yield();
}

/* A new view; the old one goes after a round, and with it what waited for one. */
static void publish(struct fixture *f, struct worker workers[THREADS])
{
    bool settle = f->pool->settle_due;
    struct view *old = pool_rebuild(f->pool);
    assert_non_null(old);
    grace(workers);
    view_free(&old);
    if (settle && pool_settle(f->pool))
        publish(f, workers);
}

struct leavers {
    struct backend *all[CHANGES + MEMBERS];
    bool was_quiet[CHANGES + MEMBERS];
    uint32_t count;
};

/* After a round: whoever was quiet before it and is still, goes. */
static void forget(struct leavers *l)
{
    for (uint32_t i = 0; i < l->count;) {
        bool quiet = backend_quiet(l->all[i]);
        if (quiet && l->was_quiet[i]) {
            pool_forget(l->all[i]);
            l->count--;
            l->all[i] = l->all[l->count];
            l->was_quiet[i] = l->was_quiet[l->count];
            continue;
        }
        l->was_quiet[i++] = quiet;
    }
}

static void change(struct fixture *f, struct rng *rng, struct leavers *l, uint32_t members,
                   uint32_t number)
{
    char name[24];
    uint32_t slot = (uint32_t)rng_below(rng, pool_backend_count(f->pool));
    struct backend *b = &f->pool->backends[slot];
    if (f->pool->member_count < members) {
        (void)snprintf(name, sizeof(name), "N%u", number);
        fixture_add(f, name, (uint32_t)rng_between(rng, 1, 3));
    } else if (backend_exists(b) && !(backend_admin(b) & BACKEND_REMOVED)) {
        switch (rng_below(rng, 3)) {
        case 0: backend_weight_set(b, (uint32_t)rng_below(rng, 4)); break;
        case 1: backend_admin_set(b, backend_admin(b) ? 0 : BACKEND_DRAIN); break;
        default:
            backend_admin_set(b, BACKEND_REMOVED);
            l->was_quiet[l->count] = false;
            l->all[l->count++] = b;
        }
    }
}

static void all_ready(struct fixture *f)
{
    for (uint32_t i = 0; i < pool_backend_count(f->pool); i++) {
        struct backend *b = &f->pool->backends[i];
        assert_int_equal(in_flight(f, i), 0);
        if (backend_exists(b) && !(backend_admin(b) & BACKEND_REMOVED)) {
            backend_admin_set(b, 0);
            backend_weight_set(b, 1);
        }
    }
    fixture_rebuild(f);
}

/* As many rounds as are picked: every member gets exactly as many, whoever picks. */
static void check_round_robin(struct fixture *f)
{
    static _Atomic uint32_t counts[CHANGES + MEMBERS];
    static struct worker workers[THREADS];
    all_ready(f);
    memset(counts, 0, sizeof(counts));
    uint32_t members = view_active_count(atomic_load(&f->pool->view));
    start(workers, f, (uint64_t)members * 4, counts);
    join(workers);
    for (uint32_t i = 0; i < pool_backend_count(f->pool); i++) {
        bool member = backend_in_rotation(&f->pool->backends[i]);
        assert_int_equal(counts[i], member ? 4 * THREADS : 0);
    }
}

static void check_changes(enum balance balance, uint32_t members, uint32_t changes)
{
    static struct worker workers[THREADS];
    static struct leavers leavers;
    struct fixture f;
    struct rng rng = rng_seed(11);
    fixture_init(&f, balance, members, NULL);
    fixture_start(&f);
    leavers.count = 0;
    start(workers, &f, 0, NULL);
    for (uint32_t i = 0; i < changes;) {
        for (uint64_t together = rng_between(&rng, 1, 8); together > 0; together--)
            change(&f, &rng, &leavers, members, i++);
        publish(&f, workers);
        forget(&leavers);
    }
    join(workers);
    assert_true(leavers.count < changes / 4); /* slots came back while it ran */
    assert_true(pool_backend_count(f.pool) < members + changes / 4);
    if (balance == BALANCE_ROUND_ROBIN)
        check_round_robin(&f);
    all_ready(&f);
    fixture_fini(&f);
}

static void test_changes(void **state)
{
    (void)state;
    check_changes(BALANCE_ROUND_ROBIN, MEMBERS, CHANGES);
    check_changes(BALANCE_LEAST_CONNECTIONS, MEMBERS, CHANGES);
    check_changes(BALANCE_RANDOM, MEMBERS, CHANGES / 4);
    check_changes(BALANCE_P2C, MEMBERS, CHANGES / 4);
    check_changes(BALANCE_SOURCE_HASH, 100, 200);
}

/* The policy itself changes, again and again. */
static void test_policies(void **state)
{
    (void)state;
    static struct worker workers[THREADS];
    struct fixture f;
    struct pool_conf confs[ARRAY_LEN(all_policies)];
    struct snapshot snapshots[ARRAY_LEN(all_policies)];
    fixture_init(&f, BALANCE_ROUND_ROBIN, 20, NULL);
    for (size_t i = 0; i < ARRAY_LEN(all_policies); i++) {
        confs[i] = f.pool_conf;
        confs[i].balance = all_policies[i];
        snapshots[i] = (struct snapshot){.pools = &confs[i], .pool_count = 1};
    }
    fixture_start(&f);
    start(workers, &f, 0, NULL);
    struct rng rng = rng_seed(12);
    for (int i = 0; i < 100; i++) {
        const struct snapshot *s = &snapshots[rng_below(&rng, ARRAY_LEN(all_policies))];
        assert_int_equal(pool_reconfigure(f.pool, s, 0, false, NULL, NULL), 0);
        publish(&f, workers);
        assert_int_equal(f.pool->balance, s->pools[0].balance);
    }
    join(workers);
    all_ready(&f);
    fixture_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_policies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
