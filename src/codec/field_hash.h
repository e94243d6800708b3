/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The hash behind field_id_of, apart so that the unit test can look for a factor without
 * collisions: over the length of a name and its first eight bytes, in which all known ones of a
 * length differ.
 */

#include "base/bytes.h"

#include <endian.h>

#define FIELD_HASH_SLOTS  128
#define FIELD_HASH_FACTOR 0x9e3779b97f4a93cdu

static inline uint64_t field_load_4(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return le32toh(v);
}

static inline uint64_t field_load_8(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return le64toh(v);
}

/*
 * Letters in lower case, eight at a time: bit 5 is set where bit 6 is. Other bytes may change too,
 * but none becomes a letter, a digit or '-', of which all known names are made.
 */
static inline uint64_t field_lower_8(uint64_t v)
{
    return v | (v & 0x4040404040404040ULL) >> 1;
}

/* The first eight bytes of a name with at least one, as they are, zeros behind a shorter one. Loads
 * that overlap need neither a loop nor a copy. */
static inline uint64_t field_first_8(struct span name)
{
    size_t n = name.n, last = n - 1, middle = n / 2;
    if (LIKELY(n >= 8))
        return field_load_8(name.p);
    if (n >= 4)
        return field_load_4(name.p) | field_load_4(name.p + n - 4) << 8 * (n - 4);
    return name.p[0] | (uint64_t)name.p[middle] << 8 * middle | (uint64_t)name.p[last] << 8 * last;
}

/* Of a name's first bytes in lower case, and its length. */
static inline unsigned field_hash(uint64_t first, size_t n, uint64_t factor)
{
    return (unsigned)((first + n) * factor >> 57);
}
