/* SPDX-License-Identifier: MIT */
/* Buckets of latencies: exact at decimal bounds, quantiles to within a tenth. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

#include "account/latency.h"
#include "base/rng.h"

/* The bucket by looking at all of them. */
static size_t slowly(uint64_t ns)
{
    size_t i = 0;
    while (ns > latency_highs[i])
        i++;
    return i;
}

static void every_duration_finds_its_bucket(void **state)
{
    (void)state;
    for (uint64_t ns = 0; ns < 200000; ns++)
        assert_int_equal(latency_bucket_of(ns), slowly(ns));
    for (double ns = 1; ns < 1.8e19; ns *= 1.0007)
        assert_int_equal(latency_bucket_of((uint64_t)ns), slowly((uint64_t)ns));
    for (size_t i = 0; i < LATENCY_BUCKETS - 1; i++) {
        for (uint64_t d = 0; d < 3; d++) {
            uint64_t ns = latency_highs[i] - 1 + d;
            assert_int_equal(latency_bucket_of(ns), slowly(ns));
        }
    }
    assert_int_equal(latency_bucket_of(UINT64_MAX), LATENCY_BUCKETS - 1);
}

static void decimal_bounds_are_exact(void **state)
{
    (void)state;
    double before = 0;
    for (size_t i = 0; i < LATENCY_BOUNDS; i++) {
        double seconds = strtod(latency_bounds[i].seconds, NULL);
        uint64_t ns = (uint64_t)llround(seconds * 1e9);
        assert_int_equal(latency_highs[latency_bounds[i].bucket], ns);
        assert_true(seconds > before);
        before = seconds;
    }
    assert_string_equal(latency_bounds[0].seconds, "0.0001");
    assert_string_equal(latency_bounds[LATENCY_BOUNDS - 1].seconds, "60");
}

static int by_size(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Of latencies spread over four decades. */
static void quantiles_are_within_a_tenth(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    static uint64_t values[COUNT];
    static const double qs[] = {0.01, 0.5, 0.9, 0.99, 0.999, 1};
    struct rng rng = rng_seed(1);
    struct latency l = {0};
    for (size_t i = 0; i < COUNT; i++) {
        values[i] = (uint64_t)(1e5 * exp((double)(rng_u64(&rng) >> 11) * 0x1p-53 * 9));
        latency_add(&l, values[i]);
    }
    qsort(values, COUNT, sizeof(values[0]), by_size);
    struct latency_sum sum = {0};
    latency_read(&l, &sum);
    assert_int_equal(sum.count, COUNT);
    uint32_t counts[LATENCY_BUCKETS];
    for (size_t i = 0; i < LATENCY_BUCKETS; i++)
        counts[i] = (uint32_t)sum.buckets[i];
    for (size_t i = 0; i < ARRAY_LEN(qs); i++) {
        double exact = (double)values[(size_t)(ceil(qs[i] * COUNT) - 1)] / 1e6;
        double found = latency_quantile_ms(counts, COUNT, qs[i]);
        assert_true(fabs(found - exact) <= 0.1 * exact);
    }
}

static void sums_add_up_and_reset(void **state)
{
    (void)state;
    struct latency l = {0};
    struct latency_sum sum = {0};
    latency_add(&l, 2000000000);
    latency_add(&l, 1);
    latency_read(&l, &sum);
    latency_read(&l, &sum);
    assert_int_equal(sum.count, 4);
    assert_int_equal(latency_count(&l), 2);
    assert_float_equal(sum.seconds, 4, 1e-5);
    latency_reset(&l);
    assert_int_equal(latency_count(&l), 0);
    uint32_t none[LATENCY_BUCKETS] = {0};
    assert_true(latency_quantile_ms(none, 0, 0.5) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_duration_finds_its_bucket),
        cmocka_unit_test(decimal_bounds_are_exact),
        cmocka_unit_test(quantiles_are_within_a_tenth),
        cmocka_unit_test(sums_add_up_and_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
