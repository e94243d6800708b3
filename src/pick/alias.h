/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Weighted draws in constant time: the alias method (Walker 1977, Vose 1991).
 *
 * n columns of equal height; each is shared by at most two indices. A draw picks a column and then
 * one of the two. All arithmetic is on integers, so a seed gives the same draws on every machine;
 * the probabilities are exact to one part in 2^32.
 */

#include "base/compiler.h"

#include <stdint.h>

struct alias {
    uint32_t keep; /* a draw below it (of 2^32) stays in the column; a full column has itself … */
    uint32_t other; /* … as the other */
};

/* Fills columns[0..n) for weights 1..BACKEND_WEIGHT_MAX; n <= BACKENDS_MAX. 0, or -1 out of memory.
 */
NODISCARD int alias_init(struct alias *columns, const uint32_t *weights, uint32_t n);

/* A random word split: the upper half says the column, the lower half which of the two. The bias of
 * the multiplication is below n / 2^32. */
static inline uint32_t alias_column(uint64_t word, uint32_t n)
{
    return (uint32_t)(((word >> 32) * n) >> 32);
}

static inline uint32_t alias_choose(const struct alias *columns, uint32_t column, uint64_t word)
{
    const struct alias *c = &columns[column];
    return (uint32_t)word < c->keep ? column : c->other;
}
