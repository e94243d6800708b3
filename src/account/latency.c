/* SPDX-License-Identifier: MIT */
#include "account/latency.h"

#include "base/check.h"

#include <math.h>

/* clang-format off */
const uint32_t latency_highs[LATENCY_BUCKETS] = {
    10, 12, 14, 17, 21, 25, 30, 35, 42, 50, 59, 71, 84, 100, 120, 144, 173, 208, 250, 297, 354,
    420, 500, 595, 707, 841, 1000, 1201, 1443, 1733, 2081, 2500, 2973, 3536, 4204, 5000, 5946,
    7071, 8409, 10000, 12011, 14427, 17329, 20814, 25000, 29730, 35355, 42045, 50000, 59460,
    70711, 84090, 100000, 120112, 144270, 173286, 208138, 250000, 297302, 353553, 420448, 500000,
    594604, 707107, 840896, 1000000, 1201124, 1442700, 1732862, 2081383, 2500000, 2973018,
    3535534, 4204482, 5000000, 5946036, 7071068, 8408964, 10000000, 12009370, 14422496, 17320508,
    20800838, 24980495, 30000000, 35676213, 42426407, 50453785, 60000000, UINT32_MAX,
};

const uint8_t latency_cells[LATENCY_CELLS] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 6, 7, 8, 8, 9, 9, 10, 10,
    11, 11, 12, 12, 13, 13, 14, 14, 14, 15, 15, 16, 17, 17, 17, 18, 18, 19, 19, 20, 20, 21, 21,
    22, 22, 23, 23, 24, 24, 25, 25, 26, 26, 27, 27, 28, 28, 29, 29, 30, 30, 30, 31, 32, 32, 33,
    33, 34, 34, 34, 35, 36, 36, 37, 37, 38, 38, 38, 39, 40, 40, 41, 41, 41, 42, 42, 43, 43, 44,
    44, 45, 45, 46, 46, 47, 47, 48, 48, 49, 49, 50, 50, 51, 51, 52, 52, 53, 53, 54, 54, 55, 55,
    56, 56, 57, 57, 57, 58, 58, 59, 60, 60, 61, 61, 61, 62, 62, 63, 64, 64, 65, 65, 65, 66, 66,
    67, 67, 68, 68, 69, 69, 70, 70, 71, 71, 72, 72, 73, 73, 73, 74, 75, 75, 76, 76, 77, 77, 77,
    78, 79, 79, 80, 80, 81, 81, 81, 82, 83, 83, 84, 84, 84, 85, 85, 86, 86, 87, 87, 88, 88,
};
/* clang-format on */

const struct latency_bound latency_bounds[LATENCY_BOUNDS] = {
    {"0.0001", 13}, {"0.00025", 18}, {"0.0005", 22}, {"0.001", 26}, {"0.0025", 31}, {"0.005", 35},
    {"0.01", 39},   {"0.025", 44},   {"0.05", 48},   {"0.1", 52},   {"0.25", 57},   {"0.5", 61},
    {"1", 65},      {"2.5", 70},     {"5", 74},      {"10", 78},    {"30", 84},     {"60", 88},
};

void latency_reset(struct latency *l)
{
    atomic_store_explicit(&l->sum_us, 0, memory_order_relaxed);
    for (size_t i = 0; i < LATENCY_BUCKETS; i++)
        atomic_store_explicit(&l->buckets[i], 0, memory_order_relaxed);
}

void latency_read(const struct latency *l, struct latency_sum *add_to)
{
    uint64_t count = 0;
    for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
        uint64_t n = histogram_load(&l->buckets[i]);
        add_to->buckets[i] += n;
        count += n;
    }
    add_to->count += count;
    add_to->sum_us += histogram_load(&l->sum_us);
}

uint32_t latency_high_us(size_t bucket)
{
    CHECK(bucket < LATENCY_BUCKETS);
    return latency_highs[bucket];
}

/* As far from its lower as from its upper bound, in proportion. */
static double middle_ms(size_t bucket)
{
    if (bucket == 0)
        return latency_highs[0] / 2.0 / 1000;
    double low_us = latency_highs[bucket - 1];
    if (bucket == LATENCY_BUCKETS - 1)
        return low_us / 1000;
    return sqrt(low_us * latency_highs[bucket]) / 1000;
}

double latency_quantile_ms(const uint32_t buckets[LATENCY_BUCKETS], uint64_t count, double q)
{
    CHECK(q >= 0);
    CHECK(q <= 1);
    if (count == 0)
        return 0;
    uint64_t rank = (uint64_t)ceil(q * (double)count);
    rank = MIN(MAX(rank, (uint64_t)1), count);
    uint64_t seen = 0;
    size_t last = 0;
    for (size_t i = 0; i < LATENCY_BUCKETS && seen < rank; i++) {
        seen += buckets[i];
        if (buckets[i])
            last = i;
    }
    return middle_ms(last);
}
