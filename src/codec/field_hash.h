/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The hash behind field_id_of, apart so that the unit test can look for a factor without
 * collisions.
 */

#include "base/bytes.h"

#define FIELD_HASH_SLOTS  128
#define FIELD_HASH_FACTOR 0x9e377d27u

/* Of a name with at least one byte; the case of letters does not matter. */
static inline unsigned field_hash(struct span name, uint32_t factor)
{
    uint32_t first = name.p[0] | 0x20u;
    uint32_t middle = name.p[name.n / 2] | 0x20u;
    uint32_t last = name.p[name.n - 1] | 0x20u;
    uint32_t key = ((uint32_t)name.n & 0xff) | first << 8 | middle << 16 | last << 24;
    return (uint32_t)(key * factor) >> 25;
}
