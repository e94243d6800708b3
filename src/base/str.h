/* SPDX-License-Identifier: MIT */
/*
 * Text that people write and read: durations, sizes, times, and the nearest known word to a
 * mistyped one. Parsers are strict: the whole span, a unit always, no sign, no space, no
 * fraction, no silent overflow; what they print they also parse, to the same value.
 *
 * Threads: any; no state.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"

/* Digits and a unit: ms s m h d ("250ms", "5s", "1m", "2h", "1d"). A bare "0" is a duration too. */
NODISCARD bool parse_duration_ms(struct span text, uint64_t *ret_ms);

/* Digits and a unit: B, kB MB GB TB (powers of 1000), KiB MiB GiB TiB (powers of 1024). A bare "0"
 * is a size too. */
NODISCARD bool parse_size_bytes(struct span text, uint64_t *ret_bytes);

/* Digits and a period: "100/s", "6000/m", "10/h"; gives events and the period in ms. */
NODISCARD bool parse_rate(struct span text, uint64_t *ret_events, uint64_t *ret_period_ms);

/* Exact, in the largest unit that divides: "90s", "1m", "1500ms". */
void w_duration_ms(struct writer *w, uint64_t ms);

/* Exact, in the largest binary unit that divides: "16KiB", "10000000B". */
void w_size_bytes(struct writer *w, uint64_t bytes);

/* Rounded, for eyes only: "999ns", "1.25ms", "3.10s". */
void w_duration_human_ns(struct writer *w, uint64_t ns);

/* The same into a buffer, NUL-terminated; returns `buf`. */
#define FORMAT_SHORT_MAX 32
const char *format_duration_ms(char buf[FORMAT_SHORT_MAX], uint64_t ms);
const char *format_size_bytes(char buf[FORMAT_SHORT_MAX], uint64_t bytes);
const char *format_duration_human_ns(char buf[FORMAT_SHORT_MAX], uint64_t ns);

/* "2026-11-21T09:00:00.123Z" (RFC 3339, UTC) from milliseconds since 1970; years 0 to 9999. */
void w_rfc3339_ms(struct writer *w, int64_t wall_ms);

/* A date of the proleptic Gregorian calendar, UTC, for any other format. */
struct civil_time {
    int64_t year;
    unsigned month; /* 1..12 */
    unsigned day;   /* 1..31 */
    unsigned hour;
    unsigned minute;
    unsigned second;
};
struct civil_time civil_time_of(int64_t wall_s);

/* Changes (insert, delete, replace, swap neighbours) from a to b, ASCII case ignored; counted up to
 * `max`, above which max + 1 is returned. */
unsigned edit_distance(struct span a, struct span b, unsigned max);

/* The candidate a person probably meant by `word`, or NULL if none is near: at most one change for
 * each three letters, and one at least. The first of equals wins. */
const char *suggest_closest(struct span word, const char *const *candidates, size_t n);
