/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * How far a run of allowed bytes goes: the only loops over bytes in the HTTP/1 parser.
 *
 * Each takes a span and an index, and gives the index of the first byte at or after it that is not
 * allowed, or s.n. This is the place for wider versions: the contract is these few lines, and the
 * rest of the parser sees indexes only. Eight bytes at a time in plain registers for now.
 *
 * A test that counts work defines SCAN_LOOKED(bytes) before including what it tests.
 */

#include <endian.h>

#include "base/bytes.h"
#include "codec/chars.h"

#ifndef SCAN_LOOKED
#define SCAN_LOOKED(bytes) ((void)(bytes))
#endif

#define SCAN_EACH(byte) (0x0101010101010101ULL * (byte))

static inline uint64_t scan_load(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return le64toh(v);
}

/*
 * The high bit of every byte below `bound` (at most 0x80). A borrow can mark bytes above the lowest
 * marked one wrongly, never that one itself, and only the lowest is used.
 */
static inline uint64_t scan_below(uint64_t v, uint8_t bound)
{
    return (v - SCAN_EACH(bound)) & ~v & SCAN_EACH(0x80);
}

static inline uint64_t scan_equal(uint64_t v, uint8_t byte)
{
    return scan_below(v ^ SCAN_EACH(byte), 1);
}

/* Runs of token characters: methods and names, short ones. */
static inline size_t scan_token(struct span s, size_t from)
{
    size_t i = from;
    while (i < s.n && char_is(s.p[i], CHAR_TOKEN))
        i++;
    SCAN_LOOKED(i - from + 1);
    return i;
}

/* Where the first byte stands that is no text, or an HTAB, or s.n. */
static inline size_t scan_to_control(struct span s, size_t i)
{
    for (; s.n - i >= 8; i += 8) {
        uint64_t v = scan_load(s.p + i);
        uint64_t stop = scan_below(v, 0x20) | scan_equal(v, 0x7f);
        if (stop != 0)
            return i + (size_t)__builtin_ctzll(stop) / 8;
    }
    while (i < s.n && !ascii_is_control(s.p[i]))
        i++;
    return i;
}

/* Runs of anything but control characters; HTAB and bytes above 0x7f are allowed (RFC 9110 5.5). */
static inline size_t scan_text(struct span s, size_t from)
{
    size_t i = scan_to_control(s, from);
    while (UNLIKELY(i < s.n && s.p[i] == '\t'))
        i = scan_to_control(s, i + 1);
    SCAN_LOOKED(i - from + 1);
    return i;
}

static inline size_t scan_to_invisible(struct span s, size_t i)
{
    for (; s.n - i >= 8; i += 8) {
        uint64_t v = scan_load(s.p + i);
        uint64_t stop = scan_below(v, 0x21) | scan_equal(v, 0x7f) | (v & SCAN_EACH(0x80));
        if (stop != 0)
            return i + (size_t)__builtin_ctzll(stop) / 8;
    }
    while (i < s.n && s.p[i] > 0x20 && s.p[i] < 0x7f)
        i++;
    return i;
}

/* Runs of visible ASCII: request targets. */
static inline size_t scan_visible(struct span s, size_t from)
{
    size_t i = scan_to_invisible(s, from);
    SCAN_LOOKED(i - from + 1);
    return i;
}
