/* SPDX-License-Identifier: MIT */
#include "sim/world.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

static struct world *w;
static uint64_t seen[4096];
static size_t seen_count;

static int setup(void **state)
{
    (void)state;
    w = world_new(1);
    seen_count = 0;
    return w ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    world_free(&w);
    return 0;
}

static void note(void *what, uint64_t argument)
{
    (void)what;
    seen[seen_count++] = argument;
}

/* By time; of the same time in the order of asking. */
static void events_come_in_order(void **state)
{
    (void)state;
    struct rng rng = rng_seed(5);
    for (uint64_t i = 0; i < 4000; i++) {
        uint64_t at = rng_below(&rng, 50);
        world_at(w, at, note, NULL, at << 32 | i);
    }
    world_run(w, 24);
    size_t half = seen_count;
    assert_true(half > 0 && half < 4000);
    assert_true(world_now(w) == 24);
    world_run(w, 100);
    assert_int_equal(seen_count, 4000);
    assert_true(world_events(w) == 4000);
    for (size_t i = 1; i < seen_count; i++)
        assert_true(seen[i - 1] < seen[i]);
    assert_true(seen[half - 1] >> 32 <= 24 && seen[half] >> 32 == 25);
}

static void ask_again(void *what, uint64_t argument)
{
    note(what, world_now(w));
    if (argument > 0)
        world_at(w, world_now(w) + 10, ask_again, what, argument - 1);
    if (argument == 2)
        world_stop(w);
}

static void what_happens_may_ask_and_stop(void **state)
{
    (void)state;
    world_at(w, 5, ask_again, NULL, 4);
    world_run(w, 1000);
    assert_int_equal(seen_count, 3);
    assert_true(world_now(w) == 25);
    world_run(w, 1000);
    assert_int_equal(seen_count, 5);
    assert_true(seen[4] == 45 && world_now(w) == 1000);
}

static void generators_have_purposes(void **state)
{
    (void)state;
    struct world *other = world_new(2);
    struct rng a = world_rng(w, "one", 0), again = world_rng(w, "one", 0);
    struct rng b = world_rng(w, "one", 1), c = world_rng(w, "two", 0);
    struct rng d = world_rng(other, "one", 0);
    uint64_t first = rng_u64(&a);
    assert_true(first == rng_u64(&again));
    assert_true(first != rng_u64(&b) && first != rng_u64(&c) && first != rng_u64(&d));
    world_free(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(events_come_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(what_happens_may_ask_and_stop, setup, teardown),
        cmocka_unit_test_setup_teardown(generators_have_purposes, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
