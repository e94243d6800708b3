/* SPDX-License-Identifier: MIT */
/* A pool comes to a new configuration in place. */
#include "fixture.h"

#include "pick/view.h"

struct notes {
    char text[2048];
    struct backend *added[8], *removed[8];
    uint32_t added_count, unadded_count, removed_count;
    uint32_t refuse_after; /* `added` fails from this call on; 0 = never */
};

static void on_note(void *user, const char *change, const char *name, const char *detail)
{
    struct notes *n = user;
    size_t used = strlen(n->text);
    (void)snprintf(n->text + used, sizeof(n->text) - used, "%s %s: %s\n", change, name, detail);
}

static int on_added(void *user, struct backend *b)
{
    struct notes *n = user;
    if (n->refuse_after && n->added_count + 1 >= n->refuse_after)
        return -(int)REASON_overload;
    n->added[n->added_count++] = b;
    return 0;
}

static void on_unadded(void *user, struct backend *b)
{
    struct notes *n = user;
    (void)b;
    n->unadded_count++;
}

static void on_removed(void *user, struct backend *b)
{
    struct notes *n = user;
    n->removed[n->removed_count++] = b;
}

static const struct pool_change_ops ops = {on_note, on_added, on_unadded, on_removed};

/* B1 weight 1, B2, B3 → B1 weight 5, B3 elsewhere, B4. */
static void second_conf(struct fixture *to)
{
    fixture_init(to, BALANCE_ROUND_ROBIN, 3, (const uint32_t[]){5, 1, 2});
    to->backends[1].name = "B3";
    to->backends[1].address.port = 81;
    to->backends[2].name = "B4";
    to->pool_conf.connect_ms = 250;
}

static const char wanted_notes[] = "changed timeouts.connect (ms): timeouts.connect (ms) 0 → 250\n"
                                   "changed B1: weight of B1 1 → 5\n"
                                   "added B3: backend B3 added\n"
                                   "added B4: backend B4 added\n"
                                   "removed B2: backend B2 removed\n"
                                   "removed B3: backend B3 removed\n";

static void test_members(void **state)
{
    (void)state;
    struct fixture f, to;
    struct notes n = {0};
    struct rng rng = rng_seed(1);
    fixture_init(&f, BALANCE_ROUND_ROBIN, 3, NULL);
    struct pool *pool = fixture_start(&f);
    second_conf(&to);
    struct backend *b1 = &pool->backends[0], *b3 = &pool->backends[2];
    assert_int_equal(picked(&f, &rng, 0), 0);
    backend_admin_set(b1, BACKEND_DRAIN);
    assert_int_equal(pool_reconfigure(pool, &to.snapshot, 0, false, &ops, &n), 0);
    fixture_rebuild(&f);
    assert_string_equal(n.text, wanted_notes);
    assert_ptr_equal(pool_conf(pool), &to.pool_conf);

    assert_ptr_equal(pool_find(pool, span_str("B1")), b1);
    assert_int_equal(backend_weight(b1), 5);
    assert_int_equal(backend_admin(b1), BACKEND_DRAIN); /* the operator's word stays */
    assert_int_equal(in_flight(&f, 0), 1);
    assert_int_equal(n.added_count, 2);
    assert_int_equal(n.removed_count, 2);
    assert_ptr_equal(n.removed[1], b3);
    assert_int_equal(backend_admin(b3), BACKEND_REMOVED);
    struct backend *moved = pool_find(pool, span_str("B3"));
    assert_ptr_equal(moved, n.added[0]);
    assert_int_equal(moved->conf->address.port, 81);
    assert_int_equal(pool->member_count, 3);
    pool_forget(b3);
    assert_ptr_equal(pool_find(pool, span_str("B3")), moved);
    assert_int_equal(picked_done(&f, &rng, 0), moved->slot);
    pick_done(b1);
    fixture_fini(&f);
    fixture_fini(&to);
}

static void test_plan_changes_nothing(void **state)
{
    (void)state;
    struct fixture f, to;
    struct notes n = {0};
    fixture_init(&f, BALANCE_ROUND_ROBIN, 3, NULL);
    struct pool *pool = fixture_start(&f);
    second_conf(&to);
    assert_int_equal(pool_reconfigure(pool, &to.snapshot, 0, true, &ops, &n), 0);
    assert_string_equal(n.text, wanted_notes);
    assert_int_equal(n.added_count + n.removed_count, 0);
    assert_ptr_equal(pool_conf(pool), &f.pool_conf);
    assert_int_equal(pool_backend_count(pool), 3);
    assert_int_equal(backend_weight(&pool->backends[0]), 1);
    fixture_fini(&f);
    fixture_fini(&to);
}

static void test_refused(void **state)
{
    (void)state;
    struct fixture f, to;
    struct notes n = {.refuse_after = 2};
    fixture_init(&f, BALANCE_ROUND_ROBIN, 3, NULL);
    struct pool *pool = fixture_start(&f);
    second_conf(&to);
    assert_int_equal(pool_reconfigure(pool, &to.snapshot, 0, false, &ops, &n),
                     -(int)REASON_overload);
    assert_string_equal(n.text, "");
    assert_int_equal(n.unadded_count, 1);
    assert_int_equal(n.removed_count, 0);
    assert_int_equal(pool->member_count, 3);
    assert_ptr_equal(pool_conf(pool), &f.pool_conf);
    assert_ptr_equal(pool_find(pool, span_str("B3")), &pool->backends[2]);
    assert_null(pool_find(pool, span_str("B4")));
    assert_int_equal(fixture_add(&f, "B9", 1)->slot, 3);
    fixture_fini(&f);
    fixture_fini(&to);
}

static void test_same_again_is_no_change(void **state)
{
    (void)state;
    struct fixture f, to;
    struct notes n = {0};
    fixture_init(&f, BALANCE_SOURCE_HASH, 4, NULL);
    fixture_init(&to, BALANCE_SOURCE_HASH, 4, NULL);
    fixture_start(&f);
    assert_int_equal(pool_reconfigure(f.pool, &to.snapshot, 0, false, &ops, &n), 0);
    assert_string_equal(n.text, "");
    fixture_rebuild(&f);
    fixture_fini(&f);
    fixture_fini(&to);
}

static void test_limit(void **state)
{
    (void)state;
    struct fixture f, to;
    struct notes n = {0};
    struct rng rng = rng_seed(1);
    struct pick_request request = {0};
    struct backend *b;
    fixture_init(&f, BALANCE_ROUND_ROBIN, 2, NULL);
    fixture_init(&to, BALANCE_ROUND_ROBIN, 2, NULL);
    to.pool_conf.max_connections = 2;
    fixture_start(&f);
    for (int i = 0; i < 6; i++)
        (void)picked(&f, &rng, 0);
    assert_int_equal(pool_reconfigure(f.pool, &to.snapshot, 0, false, &ops, &n), 0);
    fixture_rebuild(&f);
    assert_int_equal(pick_backend(f.pool, &request, &rng, &b), PICK_QUEUE);
    pick_done(&f.pool->backends[0]);
    pick_done(&f.pool->backends[0]);
    assert_int_equal(picked(&f, &rng, 0), 0);
    assert_int_equal(pool_reconfigure(f.pool, &f.snapshot, 0, false, &ops, &n), 0);
    fixture_rebuild(&f);
    assert_int_equal(pick_backend(f.pool, &request, &rng, &b), PICK_OK);
    fixture_fini(&f);
    fixture_fini(&to);
}

/* Every policy to every other, with exchanges under way all the time. */
static void check_balance(enum balance from, enum balance to_balance)
{
    struct fixture f, to;
    struct rng rng = rng_seed(2);
    const uint32_t weights[] = {1, 2, 3};
    fixture_init(&f, from, 3, weights);
    fixture_init(&to, to_balance, 3, weights);
    fixture_start(&f);
    uint32_t open = 0, slots[40];
    for (; open < 10; open++)
        slots[open] = picked(&f, &rng, open);
    assert_int_equal(pool_reconfigure(f.pool, &to.snapshot, 0, false, NULL, NULL), 0);
    fixture_rebuild(&f);
    for (; open < 20; open++)
        slots[open] = picked(&f, &rng, open);
    if (f.pool->settle_due && pool_settle(f.pool))
        fixture_rebuild(&f);
    assert_int_equal(f.pool->balance, to_balance);
    assert_int_equal(atomic_load(&f.pool->locked), to_balance == BALANCE_LEAST_CONNECTIONS);
    assert_ptr_equal(atomic_load(&f.pool->view)->policy, policy_of(to_balance));
    for (; open < 40; open++)
        slots[open] = picked(&f, &rng, open);
    if (to_balance == BALANCE_LEAST_CONNECTIONS)
        assert_true(in_flight(&f, 2) * 2 >= in_flight(&f, 0) * 3);
    while (open > 0)
        pick_done(&f.pool->backends[slots[--open]]);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(in_flight(&f, i), 0);
    fixture_fini(&f);
    fixture_fini(&to);
}

static void test_balance(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(all_policies); i++)
        for (size_t k = 0; k < ARRAY_LEN(all_policies); k++)
            check_balance(all_policies[i], all_policies[k]);
}

/* There and back before the first change has settled. */
static void test_balance_changes_its_mind(void **state)
{
    (void)state;
    struct fixture f, to;
    struct rng rng = rng_seed(2);
    fixture_init(&f, BALANCE_LEAST_CONNECTIONS, 3, NULL);
    fixture_init(&to, BALANCE_RANDOM, 3, NULL);
    fixture_start(&f);
    uint32_t first = picked(&f, &rng, 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pool_reconfigure(f.pool, &to.snapshot, 0, false, NULL, NULL), 0);
        fixture_rebuild(&f);
        assert_int_equal(pool_reconfigure(f.pool, &f.snapshot, 0, false, NULL, NULL), 0);
        fixture_rebuild(&f);
    }
    assert_true(pool_settle(f.pool));
    fixture_rebuild(&f);
    uint32_t second = picked(&f, &rng, 0), third = picked(&f, &rng, 0);
    assert_int_equal((1u << first) | (1u << second) | (1u << third), 7);
    fixture_fini(&f);
    fixture_fini(&to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_plan_changes_nothing),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_same_again_is_no_change),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_balance),
        cmocka_unit_test(test_balance_changes_its_mind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
