/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * How far a run of allowed bytes goes: the only loops over bytes of a head in the HTTP/1 parser.
 *
 * Each takes a span and an index, and gives the index of the first byte at or after it that is not
 * allowed, or s.n. Whole blocks are looked at by codec/scan_block.h, which knows the machine; the
 * rest byte by byte, so that nothing past the span is read.
 *
 * A test that counts work defines SCAN_LOOKED(bytes) before including what it tests.
 */

#include "base/bytes.h"
#include "codec/chars.h"
#include "codec/scan_block.h"

#ifndef SCAN_LOOKED
#define SCAN_LOOKED(bytes) ((void)(bytes))
#endif

/* Runs of token characters: methods and names. Nearly all are of letters, digits and '-'. */
static inline size_t scan_token(struct span s, size_t from)
{
    size_t i = from;
    for (; s.n - i >= SCAN_BLOCK; i += SCAN_BLOCK) {
        uint64_t stops = scan_name_stops(s.p + i);
        if (stops != 0) {
            i += scan_first(stops);
            break;
        }
    }
    while (i < s.n && char_is(s.p[i], CHAR_TOKEN))
        i++;
    SCAN_LOOKED(i - from + 1);
    return i;
}

/* Where the first byte stands that is no text, or an HTAB, or s.n. */
static inline size_t scan_to_control(struct span s, size_t i)
{
    for (; s.n - i >= SCAN_BLOCK; i += SCAN_BLOCK) {
        uint64_t stops = scan_text_stops(s.p + i);
        if (stops != 0)
            return i + scan_first(stops);
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
    for (; s.n - i >= SCAN_BLOCK; i += SCAN_BLOCK) {
        uint64_t stops = scan_visible_stops(s.p + i);
        if (stops != 0)
            return i + scan_first(stops);
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
