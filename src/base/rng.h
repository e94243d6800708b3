/* SPDX-License-Identifier: MIT */
/*
 * Pseudo-random numbers: xoshiro256** seeded through splitmix64. Fast, 2^256-1 long, and the same
 * sequence for the same seed on every machine, which is what makes a simulation repeatable.
 * Not for secrets: those come from the kernel.
 *
 * Threads: one generator per owner.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/check.h"

struct rng {
    uint64_t s[4];
};

/* Any seed is good, 0 included. */
static inline struct rng rng_seed(uint64_t seed);

static inline uint64_t rng_u64(struct rng *r);

/* Uniform in [0, n), without bias; n > 0. */
static inline uint64_t rng_below(struct rng *r, uint64_t n);

/* Uniform in [low, high], both included; low <= high. */
static inline uint64_t rng_between(struct rng *r, uint64_t low, uint64_t high);

/* Uniform in [0, 1), 53 bits. */
static inline double rng_double(struct rng *r);

/* True with probability p. */
static inline bool rng_chance(struct rng *r, double p);

/* One step of splitmix64: moves *state on, returns a well mixed value. */
static inline uint64_t splitmix64(uint64_t *state);

/* The finaliser alone: a bijection that mixes all bits of x. */
static inline uint64_t mix64(uint64_t x);

/* ---- inline bodies ---- */

static inline uint64_t mix64(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static inline uint64_t splitmix64(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u;
    return mix64(*state);
}

static inline struct rng rng_seed(uint64_t seed)
{
    struct rng r;
    for (size_t i = 0; i < 4; i++)
        r.s[i] = splitmix64(&seed);
    return r;
}

static inline uint64_t rng_rotl(uint64_t x, unsigned k)
{
    return (x << k) | (x >> (64 - k));
}

static inline uint64_t rng_u64(struct rng *r)
{
    uint64_t *s = r->s;
    uint64_t result = rng_rotl(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rng_rotl(s[3], 45);
    return result;
}

/* Lemire, "Fast random integer generation in an interval": a division only when it could matter. */
static inline uint64_t rng_below(struct rng *r, uint64_t n)
{
    CHECK(n > 0);
    __extension__ unsigned __int128 wide = (unsigned __int128)rng_u64(r) * n;
    if ((uint64_t)wide < n) {
        uint64_t threshold = -n % n;
        while ((uint64_t)wide < threshold)
            wide = (unsigned __int128)rng_u64(r) * n;
    }
    return (uint64_t)(wide >> 64);
}

static inline uint64_t rng_between(struct rng *r, uint64_t low, uint64_t high)
{
    CHECK(low <= high);
    uint64_t width = high - low + 1;
    return width == 0 ? rng_u64(r) : low + rng_below(r, width);
}

static inline double rng_double(struct rng *r)
{
    return (double)(rng_u64(r) >> 11) * 0x1p-53;
}

static inline bool rng_chance(struct rng *r, double p)
{
    return rng_double(r) < p;
}
