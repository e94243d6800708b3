/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A latency histogram small enough for one per backend and worker: 90 buckets from 10 us to 60 s,
 * 736 bytes.
 *
 *   decimal bounds   10  25  50  100  250  500  1 ms  2.5 ms ...  10 s  30 s  60 s   more
 *   cut into          1   5   4    4    5    4     4       5              6     6      1
 *
 * The bounds that are scraped are decimal, so no count has to be estimated there; between them each
 * bucket is 1.2 times as wide as the one before, so that a quantile is known to within 10 %. A
 * bucket holds durations up to and including its bound.
 *
 * Thread rule: one writer; others may read at any time, each number whole.
 */

#include "base/compiler.h"
#include "base/histogram.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define LATENCY_BUCKETS 90
#define LATENCY_BOUNDS  18 /* decimal ones, from 100 us */

/* The sum is kept in units of this, so that it lasts for centuries of a busy server. */
#define LATENCY_SUM_SHIFT 10
#define LATENCY_SUM_NS    (1 << LATENCY_SUM_SHIFT)

struct latency {
    _Atomic uint64_t sum;
    _Atomic uint64_t buckets[LATENCY_BUCKETS];
};

/* Counts of one or several, for whoever reads. */
struct latency_sum {
    uint64_t count;
    double seconds;
    uint64_t buckets[LATENCY_BUCKETS];
};

static inline size_t latency_bucket_of(uint64_t ns);
static inline void latency_add(struct latency *l, uint64_t ns);
COLD void latency_reset(struct latency *l);

COLD void latency_read(const struct latency *l, struct latency_sum *add_to);
COLD uint64_t latency_count(const struct latency *l);

/* The decimal bounds: in seconds as text, and the last bucket that belongs to it. */
struct latency_bound {
    const char *seconds;
    size_t bucket;
};
extern const struct latency_bound latency_bounds[LATENCY_BOUNDS];

/* The duration at or below which a share q (0..1) of `count` lies, in milliseconds: the middle of
 * its bucket; 0 when there is none. */
COLD double latency_quantile_ms(const uint32_t buckets[LATENCY_BUCKETS], uint64_t count, double q);

/* ---- inline bodies ---- */

/* Each power of two is cut into eight cells, finer than the buckets: a cell reaches into the next
 * bucket at most. */
#define LATENCY_CELL_BITS 3u
#define LATENCY_CELLS     (62 << LATENCY_CELL_BITS)

extern const uint8_t latency_cells[LATENCY_CELLS];    /* the bucket in which the cell begins */
extern const uint64_t latency_highs[LATENCY_BUCKETS]; /* the longest duration of each */

static inline size_t latency_bucket_of(uint64_t ns)
{
    unsigned top_bit = 63u - (unsigned)__builtin_clzll(ns | (1u << LATENCY_CELL_BITS));
    unsigned shift = top_bit - LATENCY_CELL_BITS;
    size_t bucket = latency_cells[((size_t)shift << LATENCY_CELL_BITS) + (size_t)(ns >> shift)];
    return bucket + (ns > latency_highs[bucket]);
}

static inline void latency_add(struct latency *l, uint64_t ns)
{
    histogram_bump(&l->buckets[latency_bucket_of(ns)], 1);
    histogram_bump(&l->sum, ns >> LATENCY_SUM_SHIFT);
}
