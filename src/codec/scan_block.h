/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The bytes of one block at which a run ends, as a bit set: the machine's part of codec/scan.h, and
 * the only place to touch for a wider one. scan_first gives the index of the lowest set byte; what
 * is set above it means nothing. Two versions with one contract: SSE2, which every x86-64 has, and
 * plain registers (chosen too where SCAN_PORTABLE is defined, for tests).
 */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__) && !defined(SCAN_PORTABLE)

#include <emmintrin.h>

#define SCAN_BLOCK 16

static inline __m128i scan_load(const uint8_t *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

static inline __m128i scan_each(int byte)
{
    return _mm_set1_epi8((char)byte);
}

/* Where lo <= byte < lo + count: shifted so that a signed comparison tells. */
static inline __m128i scan_within(__m128i v, int lo, int count)
{
    return _mm_cmplt_epi8(_mm_add_epi8(v, scan_each(0x80 - lo)), scan_each(count - 0x80));
}

/* Not a letter, digit or '-'. */
static inline uint64_t scan_name_stops(const uint8_t *p)
{
    __m128i v = scan_load(p);
    __m128i letter = scan_within(_mm_or_si128(v, scan_each(0x20)), 'a', 26);
    __m128i digit = scan_within(v, '0', 10);
    __m128i dash = _mm_cmpeq_epi8(v, scan_each('-'));
    __m128i good = _mm_or_si128(_mm_or_si128(letter, digit), dash);
    return (uint64_t)_mm_movemask_epi8(good) ^ 0xffff;
}

/* A control byte. */
static inline uint64_t scan_text_stops(const uint8_t *p)
{
    __m128i v = scan_load(p);
    __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(v, scan_each(0x1f)), v);
    return (uint64_t)_mm_movemask_epi8(_mm_or_si128(low, _mm_cmpeq_epi8(v, scan_each(0x7f))));
}

/* Not visible ASCII. */
static inline uint64_t scan_visible_stops(const uint8_t *p)
{
    __m128i v = scan_load(p);
    return (uint64_t)_mm_movemask_epi8(scan_within(v, 0x21, 0x7f - 0x21)) ^ 0xffff;
}

static inline size_t scan_first(uint64_t stops)
{
    return (size_t)__builtin_ctzll(stops);
}

#else

#include <endian.h>

#define SCAN_BLOCK      8
#define SCAN_EACH(byte) (0x0101010101010101ULL * (byte))

static inline uint64_t scan_load(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return le64toh(v);
}

/*
 * The high bit of every byte below `bound` (at most 0x80). A borrow can mark bytes above the lowest
 * marked one wrongly, never that one itself.
 */
static inline uint64_t scan_below(uint64_t v, uint8_t bound)
{
    return (v - SCAN_EACH(bound)) & ~v & SCAN_EACH(0x80);
}

static inline uint64_t scan_equal(uint64_t v, uint8_t byte)
{
    return scan_below(v ^ SCAN_EACH(byte), 1);
}

/* Exact: of a byte below 0x80, adding 0x80 - x sets the high bit if it is at least x, without a
 * carry into its neighbour. */
static inline uint64_t scan_name_stops(const uint8_t *p)
{
    uint64_t v = scan_load(p), low = v & SCAN_EACH(0x7f), lower = low | SCAN_EACH(0x20);
    uint64_t letter = (lower + SCAN_EACH(0x80 - 'a')) & ~(lower + SCAN_EACH(0x80 - 'z' - 1));
    uint64_t digit = (low + SCAN_EACH(0x80 - '0')) & ~(low + SCAN_EACH(0x80 - '9' - 1));
    uint64_t dash = ~((low ^ SCAN_EACH('-')) + SCAN_EACH(0x7f));
    return ~((letter | digit | dash) & ~v) & SCAN_EACH(0x80);
}

static inline uint64_t scan_text_stops(const uint8_t *p)
{
    uint64_t v = scan_load(p);
    return scan_below(v, 0x20) | scan_equal(v, 0x7f);
}

static inline uint64_t scan_visible_stops(const uint8_t *p)
{
    uint64_t v = scan_load(p);
    return scan_below(v, 0x21) | scan_equal(v, 0x7f) | (v & SCAN_EACH(0x80));
}

static inline size_t scan_first(uint64_t stops)
{
    return (size_t)__builtin_ctzll(stops) / 8;
}

#endif
