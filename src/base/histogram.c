/* SPDX-License-Identifier: MIT */
/*
 * Reading side of the histogram. All totals come from one walk over the buckets, so that quantiles
 * and counts of one call agree with each other while a writer goes on.
 */
#include "base/histogram.h"

#include <math.h>

#include "base/check.h"

void histogram_reset(struct histogram *h)
{
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        atomic_store_explicit(&h->buckets[i], 0, memory_order_relaxed);
    atomic_store_explicit(&h->sum, 0, memory_order_relaxed);
    atomic_store_explicit(&h->max, 0, memory_order_relaxed);
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t count = histogram_load(&from->buckets[i]);
        if (count > 0)
            histogram_bump(&into->buckets[i], count);
    }
    histogram_bump(&into->sum, histogram_sum(from));
    uint64_t max = MAX(histogram_max(into), histogram_max(from));
    atomic_store_explicit(&into->max, max, memory_order_relaxed);
}

uint64_t histogram_count(const struct histogram *h)
{
    uint64_t count = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        count += histogram_load(&h->buckets[i]);
    return count;
}

double histogram_mean(const struct histogram *h)
{
    uint64_t count = histogram_count(h);
    return count ? (double)histogram_sum(h) / (double)count : 0;
}

uint64_t histogram_quantile(const struct histogram *h, double q)
{
    CHECK(q >= 0);
    CHECK(q <= 1);
    uint64_t count = histogram_count(h);
    if (count == 0)
        return 0;
    /* Rank of the wanted value among the sorted ones, from 1. */
    uint64_t rank = (uint64_t)ceil(q * (double)count);
    rank = MIN(MAX(rank, (uint64_t)1), count);
    uint64_t max = histogram_max(h);
    uint64_t seen = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
        seen += histogram_load(&h->buckets[i]);
        if (seen >= rank)
            return MIN(histogram_bucket_high(i), max);
    }
    return max;
}
