/* SPDX-License-Identifier: MIT */
#include "pick/schedule.h"

#include "base/limits.h"
#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void expect(const char *places_wanted, const uint32_t *weights, uint32_t n)
{
    uint32_t *places = NULL, length = 0;
    assert_int_equal(schedule_new(weights, n, &places, &length), 0);
    assert_int_equal(length, strlen(places_wanted));
    char got[64] = "";
    for (uint32_t i = 0; i < length; i++)
        got[i] = (char)('a' + places[i]);
    assert_string_equal(got, places_wanted);
    free(places);
}

static void test_vectors(void **state)
{
    (void)state;
    expect("aabacaa", (const uint32_t[]){5, 1, 1}, 3);
    expect("a", (const uint32_t[]){7}, 1);
    expect("abc", (const uint32_t[]){1, 1, 1}, 3);
    expect("abc", (const uint32_t[]){256, 256, 256}, 3);
    expect("aba", (const uint32_t[]){2, 1}, 2);
    expect("bab", (const uint32_t[]){1, 2}, 2);
    expect("aba", (const uint32_t[]){200, 100}, 2);
    expect("aaba", (const uint32_t[]){3, 1}, 2);
    expect("abcab", (const uint32_t[]){2, 2, 1}, 3);
}

/* Every member has exactly its weight, and no pause is much longer than its ideal one. */
static void check_round(const uint32_t *weights, uint32_t n, uint32_t divisor)
{
    uint32_t *places = NULL, length = 0;
    assert_int_equal(schedule_new(weights, n, &places, &length), 0);
    uint32_t *seen = calloc(n, sizeof(*seen)), *last = calloc(n, sizeof(*last));
    assert_true(seen && last);
    for (uint32_t i = 0; i < 2 * length; i++) {
        uint32_t m = places[i % length];
        assert_in_range(m, 0, n - 1);
        if (seen[m] > 0) {
            uint32_t ideal = (length + weights[m] / divisor - 1) / (weights[m] / divisor);
            assert_in_range(i - last[m], 1, 3 * (uint64_t)ideal);
        }
        last[m] = i;
        seen[m]++;
    }
    for (uint32_t m = 0; m < n; m++)
        assert_int_equal(seen[m], 2 * weights[m] / divisor);
    free(seen);
    free(last);
    free(places);
}

static void test_exact_and_spread(void **state)
{
    (void)state;
    struct rng rng = rng_seed(1);
    for (uint32_t round = 0; round < 200; round++) {
        uint32_t weights[50], n = (uint32_t)rng_between(&rng, 2, 50);
        for (uint32_t i = 0; i < n; i++)
            weights[i] = (uint32_t)rng_between(&rng, 1, round % 2 ? 5 : BACKEND_WEIGHT_MAX);
        weights[0] = 1; /* so that the common divisor is 1 */
        check_round(weights, n, 1);
        for (uint32_t i = 0; i < n; i++)
            weights[i] = 4 * ((weights[i] - 1) % 5 + 1);
        weights[0] = 4;
        check_round(weights, n, 4);
    }
}

/* Beyond the maximum the shares are rounded, not the promise of a place. */
static void test_scaled_to_fit(void **state)
{
    (void)state;
    uint32_t n = BACKENDS_MAX;
    uint32_t *weights = calloc(n, sizeof(*weights)), *seen = calloc(n, sizeof(*seen));
    assert_true(weights && seen);
    for (uint32_t i = 0; i < n; i++)
        weights[i] = i % 2 ? 255 : 1;
    uint32_t *places = NULL, length = 0;
    assert_int_equal(schedule_new(weights, n, &places, &length), 0);
    assert_in_range(length, SCHEDULE_MAX / 2, SCHEDULE_MAX + n);
    for (uint32_t i = 0; i < length; i++)
        seen[places[i]]++;
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(seen[i], i % 2 ? 21 : 1); /* 255 * 2^20 / 12,800,000 = 20.9 */
    free(weights);
    free(seen);
    free(places);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_exact_and_spread),
        cmocka_unit_test(test_scaled_to_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
