/* SPDX-License-Identifier: MIT */
#include "sim/spread.h"

#include "base/rng.h"

#include <math.h>

/* The standard normal's quantile of 0.99. */
#define NORMAL_P99 2.3263478740408408
#define PI         3.14159265358979323846

double spread_unit(uint64_t luck)
{
    return ((double)(luck >> 12) + 0.5) * 0x1p-52;
}

struct spread spread_lognormal(double p50_ns, double p99_ns)
{
    return (struct spread){.kind = SPREAD_LOGNORMAL,
                           .log_mean = log(p50_ns),
                           .log_sigma = log(p99_ns / p50_ns) / NORMAL_P99};
}

/* Box and Muller; the second number is made of the first. */
static double normal(uint64_t luck)
{
    double u = spread_unit(luck);
    double v = spread_unit(mix64(luck + 0x9e3779b97f4a7c15u));
    return sqrt(-2 * log(u)) * cos(2 * PI * v);
}

uint64_t spread_draw(const struct spread *s, uint64_t luck)
{
    double ns = 0;
    switch (s->kind) {
    case SPREAD_CONSTANT: ns = s->mean_ns; break;
    case SPREAD_EXPONENTIAL: ns = -log(spread_unit(luck)) * s->mean_ns; break;
    case SPREAD_LOGNORMAL: ns = exp(s->log_mean + s->log_sigma * normal(luck)); break;
    case SPREAD_UNIFORM: ns = s->low_ns + spread_unit(luck) * (s->high_ns - s->low_ns); break;
    case SPREAD_EMPIRICAL: return s->times_ns[(size_t)(spread_unit(luck) * (double)s->time_count)];
    }
    return ns < 1e18 ? (uint64_t)ns : UINT64_C(1000000000000000000);
}

double spread_mean_ns(const struct spread *s)
{
    double sum = 0;
    switch (s->kind) {
    case SPREAD_LOGNORMAL: return exp(s->log_mean + s->log_sigma * s->log_sigma / 2);
    case SPREAD_UNIFORM: return (s->low_ns + s->high_ns) / 2;
    case SPREAD_EMPIRICAL:
        for (size_t i = 0; i < s->time_count; i++)
            sum += (double)s->times_ns[i];
        return sum / (double)s->time_count;
    default: return s->mean_ns;
    }
}
