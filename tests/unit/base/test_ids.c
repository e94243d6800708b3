/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/ids.h"
#include "base/region.h"
#include "base/rng.h"

static void test_lowest_first(void **state)
{
    (void)state;
    struct ids ids;
    ids_init(&ids);
    for (uint32_t i = 0; i < 200; i++)
        assert_int_equal(ids_get(&ids), i);
    ids_put(&ids, 150);
    ids_put(&ids, 7);
    ids_put(&ids, 42);
    assert_int_equal(ids_get(&ids), 7);
    assert_int_equal(ids_get(&ids), 42);
    assert_int_equal(ids_get(&ids), 150);
    assert_int_equal(ids_get(&ids), 200);
    ids_fini(&ids);
}

/* Against a plain bit set. */
static void test_history(void **state)
{
    (void)state;
    static bool taken[3000];
    struct rng rng = rng_seed(5);
    struct ids ids;
    ids_init(&ids);
    for (int step = 0; step < 60000; step++) {
        uint32_t some = (uint32_t)rng_below(&rng, 2000);
        if (rng_chance(&rng, .5) && taken[some]) {
            ids_put(&ids, some);
            taken[some] = false;
            continue;
        }
        uint32_t lowest = 0;
        while (taken[lowest])
            lowest++;
        if (lowest >= 2000)
            continue;
        assert_int_equal(ids_get(&ids), lowest);
        taken[lowest] = true;
    }
    ids_fini(&ids);
}

static void test_region_reads_as_zeros(void **state)
{
    (void)state;
    const size_t bytes = (size_t)1 << 33; /* more than there may be memory */
    uint8_t *region = region_new(bytes, 4096);
    assert_non_null(region);
    assert_int_equal(region[0], 0);
    assert_int_equal(region[bytes - 1], 0);
    region[bytes / 2] = 7;
    assert_int_equal(region[bytes / 2], 7);
    assert_int_equal(region[bytes / 2 + 1], 0);
    region_free(region, bytes);
    region_free(NULL, bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lowest_first),
        cmocka_unit_test(test_history),
        cmocka_unit_test(test_region_reads_as_zeros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
