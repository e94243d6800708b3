/* SPDX-License-Identifier: MIT */
/*
 * Log-linear histogram of unsigned values (latencies in ns or us, sizes): each power of two is cut
 * into 32 equal buckets, so any value is known to within 1/32 (3.1 %), small ones exactly.
 *
 *   value    0..63   64..127   128..255   ...   up to 2^40 (18 minutes in ns)
 *   width      1        2          4
 *
 * Larger values count in the last bucket; sum and max stay exact. The size is fixed (9 KiB) and
 * adding is a handful of instructions.
 *
 * Threads: one writer (add, reset, merge into). Other threads may read at any time: counters are
 * relaxed atomics, so a reader sees each number whole, though not all of one instant.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

#define HISTOGRAM_SUB_BITS   5u
#define HISTOGRAM_VALUE_BITS 40u
#define HISTOGRAM_BUCKETS    ((HISTOGRAM_VALUE_BITS - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS)

struct histogram {
    _Atomic uint64_t sum;
    _Atomic uint64_t max;
    _Atomic uint64_t buckets[HISTOGRAM_BUCKETS];
};

/* A zeroed histogram is an empty one: no init is needed. */
void histogram_reset(struct histogram *h);

static inline void histogram_add(struct histogram *h, uint64_t value);

/* Adds all of `from`, which may have a live writer. */
void histogram_merge(struct histogram *into, const struct histogram *from);

uint64_t histogram_count(const struct histogram *h); /* walks the buckets */
static inline uint64_t histogram_sum(const struct histogram *h);
static inline uint64_t histogram_max(const struct histogram *h);
double histogram_mean(const struct histogram *h); /* 0 when empty */

/* The value below or at which a share q (0..1) of all values lie: the largest value its bucket
 * could hold, never above the exact maximum. 0 when empty. */
uint64_t histogram_quantile(const struct histogram *h, double q);

/* Bucket number of a value, and the smallest and largest value of a bucket. */
static inline size_t histogram_bucket_of(uint64_t value);
static inline uint64_t histogram_bucket_low(size_t bucket);
static inline uint64_t histogram_bucket_high(size_t bucket);

/* ---- inline bodies ---- */

static inline uint64_t histogram_load(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* With a single writer a load and a store are enough: no locked instruction. */
static inline void histogram_bump(_Atomic uint64_t *counter, uint64_t by)
{
    atomic_store_explicit(counter, histogram_load(counter) + by, memory_order_relaxed);
}

static inline size_t histogram_bucket_of(uint64_t value)
{
    value = MIN(value, ((uint64_t)1 << HISTOGRAM_VALUE_BITS) - 1);
    unsigned top_bit = 63u - (unsigned)__builtin_clzll(value | 1);
    unsigned shift = top_bit > HISTOGRAM_SUB_BITS ? top_bit - HISTOGRAM_SUB_BITS : 0;
    return ((size_t)shift << HISTOGRAM_SUB_BITS) + (size_t)(value >> shift);
}

static inline uint64_t histogram_bucket_low(size_t bucket)
{
    size_t octave = bucket >> HISTOGRAM_SUB_BITS;
    if (octave <= 1)
        return bucket;
    uint64_t sub = (bucket & ((1u << HISTOGRAM_SUB_BITS) - 1)) | (1u << HISTOGRAM_SUB_BITS);
    return sub << (octave - 1);
}

static inline uint64_t histogram_bucket_high(size_t bucket)
{
    return histogram_bucket_low(bucket + 1) - 1;
}

static inline void histogram_add(struct histogram *h, uint64_t value)
{
    histogram_bump(&h->buckets[histogram_bucket_of(value)], 1);
    histogram_bump(&h->sum, value);
    if (value > histogram_load(&h->max))
        atomic_store_explicit(&h->max, value, memory_order_relaxed);
}

static inline uint64_t histogram_sum(const struct histogram *h)
{
    return histogram_load(&h->sum);
}

static inline uint64_t histogram_max(const struct histogram *h)
{
    return histogram_load(&h->max);
}
