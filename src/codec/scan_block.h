/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The bytes of one block at which a run ends, as a bit set: the machine's part of codec/scan.h, and
 * the only place to touch for a wider one. scan_first gives the index of the lowest set byte; what
 * is set above it means nothing. Two versions with one contract: SSE2, which every x86-64 has, and
 * plain registers (chosen too where SCAN_PORTABLE is defined, for tests).
 *
 * scan_load takes a whole block; scan_load_end takes the bytes from `p` to `end`, fewer than a
 * block, and zeros behind them, which no run goes on with. A block's bytes before `end` must be
 * readable.
 */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__) && !defined(SCAN_PORTABLE)

#include <emmintrin.h>

#define SCAN_BLOCK 16

typedef __m128i scan_block;
typedef uint32_t scan_bits;

static inline scan_block scan_load(const uint8_t *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

static inline scan_block scan_load_end(const uint8_t *p, const uint8_t *end)
{
    uint8_t last[2 * SCAN_BLOCK];
    _mm_storeu_si128((__m128i *)(void *)last, scan_load(end - SCAN_BLOCK));
    _mm_storeu_si128((__m128i *)(void *)(last + SCAN_BLOCK), _mm_setzero_si128());
    return scan_load(last + SCAN_BLOCK - (end - p));
}

static inline __m128i scan_each(int byte)
{
    return _mm_set1_epi8((char)byte);
}

static inline __m128i scan_equal(__m128i v, int byte)
{
    return _mm_cmpeq_epi8(v, scan_each(byte));
}

/* Where lo <= byte < lo + count: shifted so that a signed comparison tells. */
static inline __m128i scan_within(__m128i v, int lo, int count)
{
    return _mm_cmplt_epi8(_mm_add_epi8(v, scan_each(0x80 - lo)), scan_each(count - 0x80));
}

static inline __m128i scan_letter(__m128i v)
{
    return scan_within(_mm_or_si128(v, scan_each(0x20)), 'a', 26);
}

static inline scan_bits scan_set(__m128i where)
{
    return (scan_bits)_mm_movemask_epi8(where);
}

/* A ':'. */
static inline scan_bits scan_colons(scan_block v)
{
    return scan_set(scan_equal(v, ':'));
}

/* Not a letter, digit or '-'. */
static inline scan_bits scan_name_stops(scan_block v)
{
    __m128i digit = scan_within(v, '0', 10), dash = scan_equal(v, '-');
    return scan_set(_mm_or_si128(scan_letter(v), _mm_or_si128(digit, dash))) ^ 0xffff;
}

/* Not a letter, a digit, '-' or '.'. */
static inline scan_bits scan_host_stops(scan_block v)
{
    __m128i digit = scan_within(v, '0', 10), mark = scan_within(v, '-', 2);
    return scan_set(_mm_or_si128(scan_letter(v), _mm_or_si128(digit, mark))) ^ 0xffff;
}

/* A control byte. */
static inline scan_bits scan_text_stops(scan_block v)
{
    __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(v, scan_each(0x1f)), v);
    return scan_set(_mm_or_si128(low, scan_equal(v, 0x7f)));
}

/* Not visible ASCII. */
static inline scan_bits scan_visible_stops(scan_block v)
{
    return scan_set(scan_within(v, 0x21, 0x7f - 0x21)) ^ 0xffff;
}

/* Not visible, or one of '"' '#' '<' '>'. */
static inline scan_bits scan_query_stops(scan_block v)
{
    __m128i quote = scan_equal(_mm_or_si128(v, scan_each(1)), '#');
    __m128i angle = scan_equal(_mm_or_si128(v, scan_each(2)), '>');
    __m128i visible = scan_within(v, 0x21, 0x7f - 0x21);
    return scan_set(_mm_andnot_si128(_mm_or_si128(quote, angle), visible)) ^ 0xffff;
}

/* Not a letter, a digit or one of "-./_", or a '.' behind a '/'. `before` holds the bytes one place
 * before those of `v`. */
static inline scan_bits scan_path_stops(scan_block v, scan_block before)
{
    __m128i mark = _mm_or_si128(scan_within(v, '-', '9' + 1 - '-'), scan_equal(v, '_'));
    __m128i dot = _mm_and_si128(scan_equal(v, '.'), scan_equal(before, '/'));
    return scan_set(_mm_andnot_si128(dot, _mm_or_si128(scan_letter(v), mark))) ^ 0xffff;
}

static inline size_t scan_first(scan_bits stops)
{
    return (unsigned)__builtin_ctz(stops);
}

#else

#include <endian.h>

#define SCAN_BLOCK      8
#define SCAN_EACH(byte) (0x0101010101010101ULL * (byte))
#define SCAN_HIGH       SCAN_EACH(0x80)

typedef uint64_t scan_block;
typedef uint64_t scan_bits;

static inline scan_block scan_load(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return le64toh(v);
}

static inline scan_block scan_load_end(const uint8_t *p, const uint8_t *end)
{
    return p == end ? 0 : scan_load(end - SCAN_BLOCK) >> 8 * (SCAN_BLOCK - (end - p));
}

/*
 * The high bit of every byte below `bound` (at most 0x80). A borrow can mark bytes above the lowest
 * marked one wrongly, never that one itself.
 */
static inline uint64_t scan_below(uint64_t v, uint8_t bound)
{
    return (v - SCAN_EACH(bound)) & ~v & SCAN_HIGH;
}

static inline uint64_t scan_equal(uint64_t v, uint8_t byte)
{
    return scan_below(v ^ SCAN_EACH(byte), 1);
}

/* The high bit where lo <= byte < lo + count, of bytes below 0x80: adding 0x80 - x sets it if the
 * byte is at least x, without a carry into its neighbour. */
static inline uint64_t scan_within(uint64_t low, uint8_t lo, uint8_t count)
{
    return (low + SCAN_EACH(0x80 - lo)) & ~(low + SCAN_EACH(0x80 - lo - count)) & SCAN_HIGH;
}

static inline uint64_t scan_letter(uint64_t low)
{
    return scan_within(low | SCAN_EACH(0x20), 'a', 26);
}

/* Exact, of bytes below 0x80. */
static inline uint64_t scan_is(uint64_t low, uint8_t byte)
{
    return ~((low ^ SCAN_EACH(byte)) + SCAN_EACH(0x7f)) & SCAN_HIGH;
}

static inline scan_bits scan_colons(scan_block v)
{
    return scan_equal(v, ':');
}

static inline scan_bits scan_name_stops(scan_block v)
{
    uint64_t low = v & SCAN_EACH(0x7f);
    uint64_t good = scan_letter(low) | scan_within(low, '0', 10) | scan_is(low, '-');
    return ~(good & ~v) & SCAN_HIGH;
}

static inline scan_bits scan_host_stops(scan_block v)
{
    uint64_t low = v & SCAN_EACH(0x7f);
    uint64_t good = scan_letter(low) | scan_within(low, '0', 10) | scan_within(low, '-', 2);
    return ~(good & ~v) & SCAN_HIGH;
}

static inline scan_bits scan_text_stops(scan_block v)
{
    return scan_below(v, 0x20) | scan_equal(v, 0x7f);
}

static inline scan_bits scan_visible_stops(scan_block v)
{
    return scan_below(v, 0x21) | scan_equal(v, 0x7f) | (v & SCAN_HIGH);
}

static inline scan_bits scan_query_stops(scan_block v)
{
    return scan_visible_stops(v) | scan_equal(v | SCAN_EACH(1), '#') |
           scan_equal(v | SCAN_EACH(2), '>');
}

static inline scan_bits scan_path_stops(scan_block v, scan_block before)
{
    uint64_t low = v & SCAN_EACH(0x7f);
    uint64_t mark = scan_within(low, '-', '9' + 1 - '-') | scan_is(low, '_');
    uint64_t dot = scan_is(low, '.') & scan_is(before & SCAN_EACH(0x7f), '/') & ~before;
    return ~((scan_letter(low) | mark) & ~dot & ~v) & SCAN_HIGH;
}

static inline size_t scan_first(scan_bits stops)
{
    return (unsigned)__builtin_ctzll(stops) / 8;
}

#endif
