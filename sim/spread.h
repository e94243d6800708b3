/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Distributions of times. A time is drawn from one 64-bit number alone, so that a request brings
 * its own luck along: whichever backend serves it, and under whichever policy, its share of the
 * distribution is the same (common random numbers: differences between two runs are the policies').
 *
 * Constant data; any thread.
 */

#include <stddef.h>
#include <stdint.h>

enum spread_kind {
    SPREAD_CONSTANT,
    SPREAD_EXPONENTIAL,
    SPREAD_LOGNORMAL,
    SPREAD_UNIFORM,
    SPREAD_EMPIRICAL
};

struct spread {
    enum spread_kind kind;
    double mean_ns;         /* CONSTANT, EXPONENTIAL */
    double log_mean;        /* LOGNORMAL: of the logarithm of nanoseconds */
    double log_sigma;       /* … its standard deviation */
    double low_ns, high_ns; /* UNIFORM */
    /* EMPIRICAL: times, sorted, somebody else's; the number drawn by is the rank itself */
    const uint64_t *times_ns;
    size_t time_count;
};

/* The lognormal that has these quantiles; p99_ns >= p50_ns > 0. */
struct spread spread_lognormal(double p50_ns, double p99_ns);

/* Nanoseconds for a well mixed number. */
uint64_t spread_draw(const struct spread *s, uint64_t luck);

double spread_mean_ns(const struct spread *s);

/* Uniform in (0, 1) from a well mixed number. */
double spread_unit(uint64_t luck);
