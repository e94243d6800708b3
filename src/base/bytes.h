/* SPDX-License-Identifier: MIT */
/*
 * Bytes that belong to somebody else, and the only ways to read and write them.
 *
 *   span    a borrowed, read-only view {pointer, length}. Passed by value. Valid as long as the
 *           bytes it points to; never NUL-terminated. The empty span may have p == NULL.
 *   reader  a cursor over a span with a sticky error: reading past the end yields zeros and sets
 *           the error, which is looked at once, at the end (r_ok). After an error nothing moves.
 *   writer  a cursor over a fixed buffer with a sticky overflow: what does not fit is not written,
 *           not even in part, and every later write fails too (w_ok).
 *
 * Threads: plain values; the owner's thread.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"

/* ---- span ---- */

struct span {
    const uint8_t *p;
    size_t n;
};

/* printf("%.*s"): cut at INT_MAX and, as printf does, at the first NUL. */
#define SPAN_FMT    "%.*s"
#define SPAN_ARG(s) span_printf_len(s), (s).p ? (const char *)(s).p : ""

/* A span over a string literal; its length is known at compile time. */
#define span_str(literal) span_of("" literal, sizeof(literal) - 1)

/* The same as an initialiser of static data. */
#define SPAN_INIT(literal)                                 \
    {                                                      \
        (const uint8_t *)("" literal), sizeof(literal) - 1 \
    }

#define SPAN_NOT_FOUND SIZE_MAX

static inline struct span span_of(const void *p, size_t n);
static inline struct span span_cstr(const char *s); /* NULL is the empty span */
static inline bool span_empty(struct span s);
static inline bool span_eq(struct span a, struct span b);
static inline bool span_starts(struct span s, struct span prefix);
static inline bool span_ends(struct span s, struct span suffix);

/* From `from`, at most `n` bytes; both are cut to what is there. */
static inline struct span span_sub(struct span s, size_t from, size_t n);
static inline struct span span_from(struct span s, size_t from);

/* Index of the first (last) `byte`, or SPAN_NOT_FOUND. */
static inline size_t span_find(struct span s, uint8_t byte);
static inline size_t span_find_last(struct span s, uint8_t byte);

/* Splits at the first `sep`: returns what is before it, leaves in *rest what is after it. Without
 * a `sep` returns all and leaves *rest empty. */
static inline struct span span_cut(struct span *rest, uint8_t sep);

/* Without SP and HTAB at both ends (RFC 9110, OWS). */
static inline struct span span_trim(struct span s);

/* Equal but for the case of ASCII letters. */
bool span_eq_nocase(struct span a, struct span b);

/* Index of `needle` in `s`, or SPAN_NOT_FOUND; the empty needle is found at 0. */
size_t span_find_span(struct span s, struct span needle);

/* One or more ASCII digits and nothing else, at most UINT64_MAX: no sign, space, or "0x". */
NODISCARD bool span_to_u64(struct span s, uint64_t *ret_value);

/* One to sixteen hex digits and nothing else. */
NODISCARD bool span_to_u64_hex(struct span s, uint64_t *ret_value);

/* Copies and NUL-terminates. False, and an empty string, if it does not fit or holds NUL. */
NODISCARD bool span_to_cstr(struct span s, char *buf, size_t buf_size);

/* ---- ASCII, never the locale ---- */

static inline uint8_t ascii_lower(uint8_t c);
static inline uint8_t ascii_upper(uint8_t c);
static inline bool ascii_is_digit(uint8_t c);
static inline bool ascii_is_alpha(uint8_t c);
static inline bool ascii_is_alnum(uint8_t c);
static inline bool ascii_is_control(uint8_t c);   /* 0x00-0x1f and DEL */
static inline bool ascii_is_printable(uint8_t c); /* 0x20-0x7e */
static inline int ascii_hex_value(uint8_t c);     /* 0..15, or -1 */

/* Lower-cases letters in place. */
static inline void ascii_lower_in_place(uint8_t *p, size_t n);

/* ---- reader ---- */

struct reader {
    const uint8_t *at;
    const uint8_t *end;
    bool failed;
};

static inline struct reader reader_of(struct span s);
static inline bool r_ok(const struct reader *r);
static inline size_t r_left(const struct reader *r);
static inline struct span r_rest(const struct reader *r); /* not consumed; empty after an error */
static inline uint8_t r_u8(struct reader *r);
static inline uint16_t r_u16be(struct reader *r);
static inline uint32_t r_u24be(struct reader *r);
static inline uint32_t r_u32be(struct reader *r);
static inline uint64_t r_u64be(struct reader *r);
static inline struct span r_bytes(struct reader *r, size_t n); /* a view, not a copy */
static inline void r_skip(struct reader *r, size_t n);
static inline void r_fail(struct reader *r); /* for what the caller finds wrong */

/* ---- writer ---- */

struct writer {
    uint8_t *begin;
    uint8_t *at;
    uint8_t *end;
    bool failed;
};

static inline struct writer writer_of(void *buf, size_t size);
static inline bool w_ok(const struct writer *w);
static inline size_t w_len(const struct writer *w);
static inline size_t w_left(const struct writer *w);                /* 0 after an overflow */
static inline struct span w_span_of_result(const struct writer *w); /* written so far */
static inline void w_reset(struct writer *w);
static inline void w_bytes(struct writer *w, const void *p, size_t n);
static inline void w_span(struct writer *w, struct span s);
static inline void w_u8(struct writer *w, uint8_t v);
static inline void w_u16be(struct writer *w, uint16_t v);
static inline void w_u24be(struct writer *w, uint32_t v);
static inline void w_u32be(struct writer *w, uint32_t v);
static inline void w_u64be(struct writer *w, uint64_t v);
static inline void w_str(struct writer *w, const char *s); /* strlen folds for literals */

/* `n` bytes to be filled by the caller, or NULL on overflow. */
static inline uint8_t *w_reserve(struct writer *w, size_t n);

/* Decimal without padding; hex in lower case without prefix, `digits_min` zero-padded (0..16). */
void w_u64_dec(struct writer *w, uint64_t v);
void w_i64_dec(struct writer *w, int64_t v);
void w_hex(struct writer *w, uint64_t v, unsigned digits_min);

/* Exactly 16 digits, leading zeros and all. */
void put_hex_16(uint8_t to[16], uint64_t v);

/* Decimal zero-padded to exactly `digits` (1..20); higher digits are CHECKed to be absent. */
void w_u64_padded(struct writer *w, uint64_t v, unsigned digits);

/* printf; the slow path, for text people read. */
PRINTF(2, 3) void w_printf(struct writer *w, const char *format, ...);
PRINTF(2, 0) void w_vprintf(struct writer *w, const char *format, va_list args);

/* Text of unknown origin made safe for one line: control bytes, DEL, bytes above 0x7e and
 * backslash become \xHH, \n, \r, \t, \\. */
void w_escaped(struct writer *w, struct span s);

/* Length of the character at the beginning of s if it would steer a terminal or turn the direction
 * of a text (C1 controls, line separators, bidirectional marks), else 0. */
size_t utf8_steering_len(struct span s);

/* Contents of a JSON string (without quotes). Bytes that are not UTF-8 become U+FFFD; what
 * utf8_steering_len finds is escaped. */
void w_json_escaped(struct writer *w, struct span s);

/* NUL-terminates without counting the NUL and returns the text; on overflow what fitted before. The
 * buffer must have at least one byte. */
const char *w_cstr(struct writer *w);

/* ---- inline bodies ---- */

static inline struct span span_of(const void *p, size_t n)
{
    return (struct span){(const uint8_t *)p, n};
}

static inline struct span span_cstr(const char *s)
{
    return span_of(s, s ? strlen(s) : 0);
}

static inline int span_printf_len(struct span s)
{
    return s.n > INT32_MAX ? INT32_MAX : (int)s.n;
}

static inline bool span_empty(struct span s)
{
    return s.n == 0;
}

static inline bool span_eq(struct span a, struct span b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool span_starts(struct span s, struct span prefix)
{
    return s.n >= prefix.n && span_eq(span_of(s.p, prefix.n), prefix);
}

static inline bool span_ends(struct span s, struct span suffix)
{
    return s.n >= suffix.n && span_eq(span_from(s, s.n - suffix.n), suffix);
}

static inline struct span span_sub(struct span s, size_t from, size_t n)
{
    if (from >= s.n)
        return span_of(s.n ? s.p + s.n : s.p, 0);
    return span_of(s.p + from, MIN(n, s.n - from));
}

static inline struct span span_from(struct span s, size_t from)
{
    return span_sub(s, from, SIZE_MAX);
}

static inline size_t span_find(struct span s, uint8_t byte)
{
    const uint8_t *hit = s.n ? memchr(s.p, byte, s.n) : NULL;
    return hit ? (size_t)(hit - s.p) : SPAN_NOT_FOUND;
}

static inline size_t span_find_last(struct span s, uint8_t byte)
{
    const uint8_t *hit = s.n ? memrchr(s.p, byte, s.n) : NULL;
    return hit ? (size_t)(hit - s.p) : SPAN_NOT_FOUND;
}

static inline struct span span_cut(struct span *rest, uint8_t sep)
{
    struct span all = *rest;
    size_t at = span_find(all, sep);
    if (at == SPAN_NOT_FOUND) {
        *rest = span_from(all, all.n);
        return all;
    }
    *rest = span_from(all, at + 1);
    return span_sub(all, 0, at);
}

static inline struct span span_trim(struct span s)
{
    while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
        s = span_of(s.p + 1, s.n - 1);
    while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

static inline uint8_t ascii_lower(uint8_t c)
{
    return (uint8_t)(c | ((uint8_t)(c - 'A') < 26 ? 0x20 : 0));
}

static inline uint8_t ascii_upper(uint8_t c)
{
    return (uint8_t)(c & ((uint8_t)(c - 'a') < 26 ? ~0x20 : ~0));
}

static inline bool ascii_is_digit(uint8_t c)
{
    return (uint8_t)(c - '0') < 10;
}

static inline bool ascii_is_alpha(uint8_t c)
{
    return (uint8_t)((c | 0x20) - 'a') < 26;
}

static inline bool ascii_is_alnum(uint8_t c)
{
    return ascii_is_digit(c) || ascii_is_alpha(c);
}

static inline bool ascii_is_control(uint8_t c)
{
    return c < 0x20 || c == 0x7f;
}

static inline bool ascii_is_printable(uint8_t c)
{
    return c >= 0x20 && c < 0x7f;
}

static inline int ascii_hex_value(uint8_t c)
{
    if (ascii_is_digit(c))
        return c - '0';
    uint8_t letter = (uint8_t)((c | 0x20) - 'a');
    return letter < 6 ? letter + 10 : -1;
}

static inline void ascii_lower_in_place(uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = ascii_lower(p[i]);
}

static inline struct reader reader_of(struct span s)
{
    return (struct reader){.at = s.p, .end = s.n ? s.p + s.n : s.p, .failed = false};
}

static inline bool r_ok(const struct reader *r)
{
    return !r->failed;
}

static inline size_t r_left(const struct reader *r)
{
    return r->failed ? 0 : (size_t)(r->end - r->at);
}

static inline struct span r_rest(const struct reader *r)
{
    return span_of(r->at, r_left(r));
}

static inline void r_fail(struct reader *r)
{
    r->failed = true;
}

static inline struct span r_bytes(struct reader *r, size_t n)
{
    if (UNLIKELY(n > r_left(r)))
        r->failed = true;
    if (UNLIKELY(r->failed || n == 0))
        return span_of(r->at, 0);
    struct span s = span_of(r->at, n);
    r->at += n;
    return s;
}

static inline void r_skip(struct reader *r, size_t n)
{
    (void)r_bytes(r, n);
}

/* Big-endian value of `n` bytes (1..8); compilers turn the constant cases into one load. */
static inline uint64_t r_be(struct reader *r, size_t n)
{
    struct span s = r_bytes(r, n);
    uint64_t v = 0;
    for (size_t i = 0; i < s.n; i++)
        v = v << 8 | s.p[i];
    return v;
}

static inline uint8_t r_u8(struct reader *r)
{
    return (uint8_t)r_be(r, 1);
}

static inline uint16_t r_u16be(struct reader *r)
{
    return (uint16_t)r_be(r, 2);
}

static inline uint32_t r_u24be(struct reader *r)
{
    return (uint32_t)r_be(r, 3);
}

static inline uint32_t r_u32be(struct reader *r)
{
    return (uint32_t)r_be(r, 4);
}

static inline uint64_t r_u64be(struct reader *r)
{
    return r_be(r, 8);
}

static inline struct writer writer_of(void *buf, size_t size)
{
    uint8_t *p = buf;
    return (struct writer){.begin = p, .at = p, .end = size ? p + size : p, .failed = false};
}

static inline bool w_ok(const struct writer *w)
{
    return !w->failed;
}

static inline size_t w_len(const struct writer *w)
{
    return (size_t)(w->at - w->begin);
}

static inline size_t w_left(const struct writer *w)
{
    return w->failed ? 0 : (size_t)(w->end - w->at);
}

static inline struct span w_span_of_result(const struct writer *w)
{
    return span_of(w->begin, w_len(w));
}

static inline void w_reset(struct writer *w)
{
    w->at = w->begin;
    w->failed = false;
}

static inline uint8_t *w_reserve(struct writer *w, size_t n)
{
    if (UNLIKELY(n > w_left(w)))
        w->failed = true;
    if (UNLIKELY(w->failed))
        return NULL;
    uint8_t *p = w->at;
    if (LIKELY(n > 0)) {
        if (p == NULL)
            __builtin_unreachable(); /* there is room, so there is a buffer */
        w->at += n;
    }
    return p;
}

static inline void w_bytes(struct writer *w, const void *p, size_t n)
{
    uint8_t *to = w_reserve(w, n);
    if (LIKELY(to != NULL && n > 0))
        memcpy(to, p, n);
}

static inline void w_span(struct writer *w, struct span s)
{
    w_bytes(w, s.p, s.n);
}

static inline void w_str(struct writer *w, const char *s)
{
    w_bytes(w, s, strlen(s));
}

static inline void w_be(struct writer *w, uint64_t v, size_t n)
{
    uint8_t *to = w_reserve(w, n);
    for (size_t i = 0; to && i < n; i++)
        to[i] = (uint8_t)(v >> (8 * (n - 1 - i)));
}

static inline void w_u8(struct writer *w, uint8_t v)
{
    w_be(w, v, 1);
}

static inline void w_u16be(struct writer *w, uint16_t v)
{
    w_be(w, v, 2);
}

static inline void w_u24be(struct writer *w, uint32_t v)
{
    w_be(w, v, 3);
}

static inline void w_u32be(struct writer *w, uint32_t v)
{
    w_be(w, v, 4);
}

static inline void w_u64be(struct writer *w, uint64_t v)
{
    w_be(w, v, 8);
}
