/* SPDX-License-Identifier: MIT */
#include "sim/spread.h"

#include "base/histogram.h"
#include "base/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#define DRAWS 200000

static struct histogram h;

static void draw(const struct spread *s)
{
    uint64_t luck = 1;
    histogram_reset(&h);
    for (int i = 0; i < DRAWS; i++)
        histogram_add(&h, spread_draw(s, splitmix64(&luck)));
}

static void about(double value, double expected, double share)
{
    assert_true(fabs(value - expected) <= share * expected);
}

/* Buckets are 1/32 wide; of the 99th percentile 2,000 draws lie beyond it. */
static void quantiles_and_means(void **state)
{
    (void)state;
    struct spread lognormal = spread_lognormal(8e6, 60e6);
    struct spread exponential = {.kind = SPREAD_EXPONENTIAL, .mean_ns = 5e6};
    struct spread uniform = {.kind = SPREAD_UNIFORM, .low_ns = 2e6, .high_ns = 4e6};
    draw(&lognormal);
    about((double)histogram_quantile(&h, 0.5), 8e6, 0.05);
    about((double)histogram_quantile(&h, 0.99), 60e6, 0.1);
    about(histogram_mean(&h), spread_mean_ns(&lognormal), 0.03);
    draw(&exponential);
    about(histogram_mean(&h), 5e6, 0.02);
    about((double)histogram_quantile(&h, 0.9), 5e6 * log(10), 0.05);
    draw(&uniform);
    about(histogram_mean(&h), 3e6, 0.01);
    assert_true(histogram_quantile(&h, 0) >= 2000000 - 2000000 / 32);
    assert_true(histogram_max(&h) < 4000000);
}

static void the_same_luck_is_the_same_time(void **state)
{
    (void)state;
    struct spread s = spread_lognormal(8e6, 60e6);
    struct spread slower = spread_lognormal(16e6, 120e6);
    assert_true(spread_draw(&s, 42) == spread_draw(&s, 42));
    assert_true(spread_draw(&s, 42) != spread_draw(&s, 43));
    /* The same share of either distribution. */
    about((double)spread_draw(&slower, 42), 2 * (double)spread_draw(&s, 42), 1e-6);
}

static void extremes_are_finite(void **state)
{
    (void)state;
    struct spread s = {.kind = SPREAD_EXPONENTIAL, .mean_ns = 1e15};
    struct spread wide = spread_lognormal(1, 3.6e12);
    assert_true(spread_unit(0) > 0 && spread_unit(UINT64_MAX) < 1);
    assert_true(spread_draw(&s, 0) <= UINT64_C(1000000000000000000));
    assert_true(spread_draw(&wide, 0) <= UINT64_C(1000000000000000000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantiles_and_means),
        cmocka_unit_test(the_same_luck_is_the_same_time),
        cmocka_unit_test(extremes_are_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
