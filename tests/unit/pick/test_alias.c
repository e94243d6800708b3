/* SPDX-License-Identifier: MIT */
#include "pick/alias.h"

#include "base/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

/* The share of each index, summed over the columns, is its weight's. */
static void check_shares(const uint32_t *weights, uint32_t n)
{
    struct alias *columns = calloc(n, sizeof(*columns));
    double *share = calloc(n, sizeof(*share));
    assert_true(columns && share);
    assert_int_equal(alias_init(columns, weights, n), 0);
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        double keep = columns[i].other == i ? 1 : columns[i].keep * 0x1p-32;
        share[i] += keep;
        share[columns[i].other] += 1 - keep;
        sum += weights[i];
    }
    for (uint32_t i = 0; i < n; i++)
        assert_true(fabs(share[i] / n - weights[i] / sum) < 1e-9);
    free(columns);
    free(share);
}

static void test_shares(void **state)
{
    (void)state;
    check_shares((const uint32_t[]){1}, 1);
    check_shares((const uint32_t[]){5, 1, 1}, 3);
    check_shares((const uint32_t[]){1, 256}, 2);
    struct rng rng = rng_seed(2);
    for (int round = 0; round < 100; round++) {
        uint32_t weights[300], n = (uint32_t)rng_between(&rng, 1, 300);
        for (uint32_t i = 0; i < n; i++)
            weights[i] = (uint32_t)rng_between(&rng, 1, 256);
        check_shares(weights, n);
    }
}

static void test_ends_of_the_word(void **state)
{
    (void)state;
    assert_int_equal(alias_column(0, 3), 0);
    assert_int_equal(alias_column(UINT64_MAX, 3), 2);
    struct alias columns[2];
    assert_int_equal(alias_init(columns, (const uint32_t[]){1, 3}, 2), 0);
    assert_int_equal(alias_choose(columns, 0, 0), 0);
    assert_int_equal(alias_choose(columns, 0, 0x7fffffff), 0);
    assert_int_equal(alias_choose(columns, 0, 0x80000000), 1);
    assert_int_equal(alias_choose(columns, 1, 0), 1);
    assert_int_equal(alias_choose(columns, 1, UINT32_MAX), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_ends_of_the_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
