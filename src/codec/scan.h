/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * How far a run of allowed bytes goes: the only loops over bytes of a head in the HTTP/1 parser.
 *
 * Each takes a span and an index, and gives the index of the first byte at or after it that is not
 * allowed, or s.n. Whole blocks are looked at by codec/scan_block.h, which knows the machine; a
 * span shorter than a block is looked at byte by byte, so that nothing outside of it is read.
 *
 * A test that counts work defines SCAN_LOOKED(bytes) before including what it tests.
 */

#include "base/bytes.h"
#include "codec/chars.h"
#include "codec/scan_block.h"

#ifndef SCAN_LOOKED
#define SCAN_LOOKED(bytes) ((void)(bytes))
#endif

/* The first stop at or after `i`, as far as blocks go: all of `s`, unless it is shorter than one.
 */
static ALWAYS_INLINE inline size_t scan_blocks(struct span s, size_t i,
                                               scan_bits (*stops_of)(scan_block))
{
    if (UNLIKELY(s.n < SCAN_BLOCK))
        return i;
    const uint8_t *p = s.p + i, *last = s.p + s.n - SCAN_BLOCK;
    for (; p <= last; p += SCAN_BLOCK) {
        scan_bits stops = stops_of(scan_load(p));
        if (stops != 0)
            return (size_t)(p - s.p) + scan_first(stops);
    }
    return (size_t)(p - s.p) + scan_first(stops_of(scan_load_end(p, s.p + s.n)));
}

/* Runs of letters, digits and '-': nearly all names. */
static inline size_t scan_name(struct span s, size_t from)
{
    size_t i = scan_blocks(s, from, scan_name_stops);
    if (UNLIKELY(s.n < SCAN_BLOCK))
        while (i < s.n && (ascii_is_alnum(s.p[i]) || s.p[i] == '-'))
            i++;
    SCAN_LOOKED(i - from + 1);
    return i;
}

/* Runs of letters, digits, '-' and '.': nearly all hosts. */
static inline size_t scan_host(struct span s, size_t from)
{
    size_t i = scan_blocks(s, from, scan_host_stops);
    if (UNLIKELY(s.n < SCAN_BLOCK))
        while (i < s.n && (ascii_is_alnum(s.p[i]) || s.p[i] == '-' || s.p[i] == '.'))
            i++;
    SCAN_LOOKED(i - from + 1);
    return i;
}

/* Runs of token characters: methods and names. */
static inline size_t scan_token(struct span s, size_t from)
{
    size_t i = scan_blocks(s, from, scan_name_stops);
    while (i < s.n && char_is(s.p[i], CHAR_TOKEN))
        i++;
    SCAN_LOOKED(i - from + 1);
    return i;
}

/* Runs of anything but control characters; bytes above 0x7f are allowed (RFC 9110 5.5). */
static inline size_t scan_to_control(struct span s, size_t from)
{
    size_t i = scan_blocks(s, from, scan_text_stops);
    if (UNLIKELY(s.n < SCAN_BLOCK))
        while (i < s.n && !ascii_is_control(s.p[i]))
            i++;
    SCAN_LOOKED(i - from + 1);
    return i;
}

/* The same with HTAB, which is text too. */
static inline size_t scan_text(struct span s, size_t from)
{
    size_t i = scan_to_control(s, from);
    while (UNLIKELY(i < s.n && s.p[i] == '\t'))
        i = scan_to_control(s, i + 1);
    return i;
}

/* Runs of visible ASCII: request targets. */
static inline size_t scan_visible(struct span s, size_t from)
{
    size_t i = scan_blocks(s, from, scan_visible_stops);
    if (UNLIKELY(s.n < SCAN_BLOCK))
        while (i < s.n && s.p[i] > 0x20 && s.p[i] < 0x7f)
            i++;
    SCAN_LOOKED(i - from + 1);
    return i;
}

/* Runs of what a query may have. */
static inline size_t scan_query(struct span s, size_t from)
{
    size_t i = scan_blocks(s, from, scan_query_stops);
    if (UNLIKELY(s.n < SCAN_BLOCK))
        while (i < s.n && char_is(s.p[i], CHAR_QUERY))
            i++;
    SCAN_LOOKED(i - from + 1);
    return i;
}

/*
 * How far a path is plain, behind its first '/' (from > 0): letters, digits and "-./_", and no dot
 * that begins a segment. Such a path is canonical; one that stops before its end may be. It looks
 * at blocks only, so a span shorter than one is never found plain.
 */
static inline size_t scan_path(struct span s, size_t from)
{
    size_t i = from;
    for (; s.n - i >= SCAN_BLOCK; i += SCAN_BLOCK) {
        scan_bits stops = scan_path_stops(scan_load(s.p + i), scan_load(s.p + i - 1));
        if (stops != 0) {
            i += scan_first(stops);
            SCAN_LOOKED(i - from + 1);
            return i;
        }
    }
    if (s.n > SCAN_BLOCK)
        i += scan_first(scan_path_stops(scan_load_end(s.p + i, s.p + s.n),
                                        scan_load_end(s.p + i - 1, s.p + s.n - 1)));
    SCAN_LOOKED(i - from + 1);
    return i;
}
