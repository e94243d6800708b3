/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/histogram.h"
#include "base/rng.h"

static struct histogram h, other;

static int setup(void **state)
{
    (void)state;
    histogram_reset(&h);
    histogram_reset(&other);
    return 0;
}

/* Buckets follow each other without gap or overlap, and none is wider than 1/32 of its values. */
static void buckets_tile_the_range(void **state)
{
    (void)state;
    assert_true(histogram_bucket_low(0) == 0);
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t low = histogram_bucket_low(i), high = histogram_bucket_high(i);
        assert_true(low <= high);
        assert_int_equal(histogram_bucket_of(low), i);
        assert_int_equal(histogram_bucket_of(high), i);
        if (i + 1 < HISTOGRAM_BUCKETS)
            assert_true(histogram_bucket_low(i + 1) == high + 1);
        assert_true((high - low) * 32 <= low || high == low);
    }
    assert_true(histogram_bucket_high(HISTOGRAM_BUCKETS - 1) ==
                ((uint64_t)1 << HISTOGRAM_VALUE_BITS) - 1);
    assert_int_equal(histogram_bucket_of(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}

static void empty_and_single(void **state)
{
    (void)state;
    assert_true(histogram_quantile(&h, 0.5) == 0);
    assert_true(histogram_count(&h) == 0);
    assert_true(histogram_mean(&h) == 0);
    histogram_add(&h, 12345);
    assert_true(histogram_quantile(&h, 0) == 12345);
    assert_true(histogram_quantile(&h, 1) == 12345);
    assert_true(histogram_count(&h) == 1);
    histogram_reset(&h);
    histogram_add(&h, UINT64_MAX / 2);
    assert_true(histogram_quantile(&h, 0.99) == UINT64_MAX / 2);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Every quantile is at or above the exact one, by at most 1/32. */
static void quantiles_are_within_the_bound(void **state)
{
    (void)state;
    enum { N = 5000 };
    static uint64_t values[N];
    struct rng rng = rng_seed(11);
    for (int round = 0; round < 20; round++) {
        histogram_reset(&h);
        uint64_t sum = 0;
        for (size_t i = 0; i < N; i++) {
            values[i] = rng_u64(&rng) >> (24 + rng_below(&rng, 40));
            histogram_add(&h, values[i]);
            sum += values[i];
        }
        qsort(values, N, sizeof(values[0]), compare);
        assert_true(histogram_sum(&h) == sum);
        assert_true(histogram_max(&h) == values[N - 1]);
        assert_true(histogram_count(&h) == N);
        for (size_t rank = 1; rank <= N; rank += 7) {
            double q = ((double)rank - 0.5) / N; /* never on the edge between two ranks */
            uint64_t exact = values[rank - 1];
            uint64_t got = histogram_quantile(&h, q);
            assert_true(got >= exact);
            assert_true((got - exact) * 32 <= exact);
        }
    }
}

static void merge_is_the_same_as_adding_all(void **state)
{
    (void)state;
    static struct histogram all;
    histogram_reset(&all);
    struct rng rng = rng_seed(12);
    for (int i = 0; i < 10000; i++) {
        uint64_t v = rng_u64(&rng) >> rng_below(&rng, 64);
        v >>= 8;
        histogram_add(rng_chance(&rng, 0.3) ? &h : &other, v);
        histogram_add(&all, v);
    }
    histogram_merge(&h, &other);
    assert_true(histogram_sum(&h) == histogram_sum(&all));
    assert_true(histogram_max(&h) == histogram_max(&all));
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        assert_true(histogram_load(&h.buckets[i]) == histogram_load(&all.buckets[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(buckets_tile_the_range, setup),
        cmocka_unit_test_setup(empty_and_single, setup),
        cmocka_unit_test_setup(quantiles_are_within_the_bound, setup),
        cmocka_unit_test_setup(merge_is_the_same_as_adding_all, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
