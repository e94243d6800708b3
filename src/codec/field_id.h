/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * How a field name is known: a perfect hash over its length and its first eight bytes, in which all
 * known names of a length differ, then a comparison of words. Inline for the loop over a head's
 * lines; everybody else asks field_id_of. The unit test looks for a factor without collisions.
 */

#include "base/compiler.h"
#include "codec/message.h"

#include <assert.h>
#include <endian.h>

#define FIELD_HASH_SLOTS  128
#define FIELD_HASH_FACTOR 0x9e3779b97f4ab281u

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

/* In lower case, zeros behind. */
struct field_known {
    uint8_t text[24];
    uint64_t n;
};

extern const struct field_known field_known[FIELD_IDS];
extern const uint8_t field_slots[FIELD_HASH_SLOTS];

/* The rest of names with more than 8 bytes. No byte past n is read. */
static inline bool field_rest_matches(const uint8_t *name, const uint8_t *known, size_t n)
{
    static_assert(sizeof(field_known[0].text) <= 24, "three words are all of a name");
    if (field_lower_8(field_load_8(name + n - 8)) != field_load_8(known + n - 8))
        return false;
    return n <= 16 || field_lower_8(field_load_8(name + 8)) == field_load_8(known + 8);
}

/* field_id_of, of a name with at least one byte. */
static inline ALWAYS_INLINE enum field_id field_id_inline(struct span name)
{
    uint64_t first = field_lower_8(field_first_8(name));
    unsigned id = field_slots[field_hash(first, name.n, FIELD_HASH_FACTOR)];
    const struct field_known *known = &field_known[id];
    if (known->n != name.n || field_load_8(known->text) != first)
        return FIELD_OTHER;
    if (name.n > 8 && !field_rest_matches(name.p, known->text, name.n))
        return FIELD_OTHER;
    return (enum field_id)id;
}
