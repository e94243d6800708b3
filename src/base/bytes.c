/* SPDX-License-Identifier: MIT */
/*
 * The parts of spans and writers that are too long to be inlined. No state, no allocation; every
 * write goes through w_reserve(), which is where overflow is caught.
 */
#include "base/bytes.h"

#include <stdio.h>

#include "base/check.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

bool span_eq_nocase(struct span a, struct span b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (ascii_lower(a.p[i]) != ascii_lower(b.p[i]))
            return false;
    return true;
}

size_t span_find_span(struct span s, struct span needle)
{
    if (needle.n == 0)
        return 0;
    const uint8_t *hit = s.n ? memmem(s.p, s.n, needle.p, needle.n) : NULL;
    return hit ? (size_t)(hit - s.p) : SPAN_NOT_FOUND;
}

bool span_to_u64(struct span s, uint64_t *ret_value)
{
    uint64_t v = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (!ascii_is_digit(s.p[i]) || __builtin_mul_overflow(v, 10u, &v) ||
            __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v))
            return false;
    }
    if (s.n == 0)
        return false;
    *ret_value = v;
    return true;
}

bool span_to_u64_hex(struct span s, uint64_t *ret_value)
{
    if (s.n == 0 || s.n > 16)
        return false;
    uint64_t v = 0;
    for (size_t i = 0; i < s.n; i++) {
        int digit = ascii_hex_value(s.p[i]);
        if (digit < 0)
            return false;
        v = v << 4 | (uint64_t)digit;
    }
    *ret_value = v;
    return true;
}

bool span_to_cstr(struct span s, char *buf, size_t buf_size)
{
    CHECK(buf_size > 0);
    buf[0] = '\0';
    if (s.n >= buf_size || span_find(s, 0) != SPAN_NOT_FOUND)
        return false;
    if (s.n > 0)
        memcpy(buf, s.p, s.n);
    buf[s.n] = '\0';
    return true;
}

void w_u64_dec(struct writer *w, uint64_t v)
{
    uint8_t digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (uint8_t)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    w_bytes(w, digits + at, sizeof(digits) - at);
}

void w_i64_dec(struct writer *w, int64_t v)
{
    if (v < 0)
        w_u8(w, '-');
    w_u64_dec(w, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

void w_u64_padded(struct writer *w, uint64_t v, unsigned digits)
{
    CHECK(digits >= 1 && digits <= 20);
    uint8_t *to = w_reserve(w, digits);
    if (!to)
        return;
    for (unsigned i = digits; i > 0; i--) {
        to[i - 1] = (uint8_t)('0' + v % 10);
        v /= 10;
    }
    CHECK(v == 0);
}

static const char hex_digits[] = "0123456789abcdef";

#if defined(__SSE2__)

/* All sixteen digits of `v`. */
void put_hex_16(uint8_t to[16], uint64_t v)
{
    __m128i bytes = _mm_cvtsi64_si128((long long)__builtin_bswap64(v));
    __m128i halves = _mm_unpacklo_epi8(_mm_srli_epi16(bytes, 4), bytes);
    __m128i digits = _mm_and_si128(halves, _mm_set1_epi8(15));
    __m128i letters = _mm_cmpgt_epi8(digits, _mm_set1_epi8(9));
    __m128i shift = _mm_and_si128(letters, _mm_set1_epi8('a' - '9' - 1));
    digits = _mm_add_epi8(_mm_add_epi8(digits, _mm_set1_epi8('0')), shift);
    _mm_storeu_si128((__m128i *)(void *)to, digits);
}

#else

void put_hex_16(uint8_t to[16], uint64_t v)
{
    for (size_t i = 16; i > 0; v >>= 4)
        to[--i] = (uint8_t)hex_digits[v & 15];
}

#endif

void w_hex(struct writer *w, uint64_t v, unsigned digits_min)
{
    CHECK(digits_min <= 16);
    size_t digits = MAX((67 - (unsigned)__builtin_clzll(v | 1)) / 4, digits_min);
    uint8_t *to = w_reserve(w, digits);
    if (UNLIKELY(!to))
        return;
    if (digits == 16) {
        put_hex_16(to, v);
        return;
    }
    for (; digits > 0; v >>= 4)
        to[--digits] = (uint8_t)hex_digits[v & 15];
}

void w_vprintf(struct writer *w, const char *format, va_list args)
{
    size_t left = w_left(w);
    if (left == 0) {
        w->failed = true;
        return;
    }
    int n = vsnprintf((char *)w->at, left, format, args);
    if (n < 0 || (size_t)n >= left)
        w->failed = true;
    else
        w->at += n;
}

void w_printf(struct writer *w, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    w_vprintf(w, format, args);
    va_end(args);
}

/* The letter after a backslash for the control bytes that have one, or 0. */
static uint8_t escape_letter(uint8_t c)
{
    switch (c) {
    case '\n': return 'n';
    case '\r': return 'r';
    case '\t': return 't';
    case '\\': return '\\';
    default: return 0;
    }
}

void w_escaped(struct writer *w, struct span s)
{
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = s.p[i];
        uint8_t letter = escape_letter(c);
        if (letter)
            w_bytes(w, (uint8_t[]){'\\', letter}, 2);
        else if (ascii_is_printable(c))
            w_u8(w, c);
        else
            w_bytes(
                w, (uint8_t[]){'\\', 'x', (uint8_t)hex_digits[c >> 4], (uint8_t)hex_digits[c & 15]},
                4);
    }
}

/* Length of the well-formed UTF-8 character at the start of `s` (RFC 3629, 4: no overlong forms, no
 * surrogates, nothing above U+10FFFF), or 0. */
static size_t utf8_char_len(struct span s)
{
    uint8_t c = s.p[0];
    size_t n = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
    if (n == 0 || n > s.n)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((s.p[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (c == 0xe0 && s.p[1] < 0xa0) || (c == 0xf0 && s.p[1] < 0x90);
    bool surrogate = c == 0xed && s.p[1] > 0x9f;
    bool too_high = c == 0xf4 && s.p[1] > 0x8f;
    return overlong || surrogate || too_high ? 0 : n;
}

static void w_json_ascii(struct writer *w, uint8_t c)
{
    uint8_t letter = c == '"' ? '"' : escape_letter(c);
    if (letter) {
        w_bytes(w, (uint8_t[]){'\\', letter}, 2);
    } else if (ascii_is_control(c)) {
        uint8_t code[] = {
            '\\', 'u', '0', '0', (uint8_t)hex_digits[c >> 4], (uint8_t)hex_digits[c & 15]};
        w_bytes(w, code, sizeof(code));
    } else {
        w_u8(w, c);
    }
}

/* Characters that would steer a terminal or turn the direction of a text: C1 controls, line and
 * paragraph separators, bidirectional marks (Unicode TR 36). As \u escapes they mean the same. */
static bool is_steering(uint32_t code)
{
    return (code >= 0x80 && code <= 0x9f) || code == 0x200e || code == 0x200f ||
           (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

/* The code of a whole character of two or three bytes, else 0. */
static uint32_t utf8_code(struct span c)
{
    if (c.n == 2)
        return (c.p[0] & 0x1fu) << 6 | (c.p[1] & 0x3fu);
    if (c.n == 3)
        return (c.p[0] & 0x0fu) << 12 | (c.p[1] & 0x3fu) << 6 | (c.p[2] & 0x3fu);
    return 0;
}

size_t utf8_steering_len(struct span s)
{
    size_t n = s.n > 0 ? utf8_char_len(s) : 0;
    return is_steering(utf8_code(span_sub(s, 0, n))) ? n : 0;
}

static void w_json_wide(struct writer *w, struct span c)
{
    uint32_t code = utf8_code(c);
    if (is_steering(code)) {
        uint8_t escape[] = {'\\',
                            'u',
                            (uint8_t)hex_digits[code >> 12],
                            (uint8_t)hex_digits[code >> 8 & 15],
                            (uint8_t)hex_digits[code >> 4 & 15],
                            (uint8_t)hex_digits[code & 15]};
        w_bytes(w, escape, sizeof(escape)); /* whole or not at all */
    } else {
        w_span(w, c);
    }
}

void w_json_escaped(struct writer *w, struct span s)
{
    while (s.n > 0) {
        size_t n = utf8_char_len(s);
        if (n == 1)
            w_json_ascii(w, s.p[0]);
        else if (n > 1)
            w_json_wide(w, span_sub(s, 0, n));
        else
            w_str(w, "\xef\xbf\xbd");
        s = span_from(s, n ? n : 1);
    }
}

const char *w_cstr(struct writer *w)
{
    CHECK(w->end > w->begin);
    if (w->at == w->end) {
        w->failed = true;
        w->at--;
    }
    *w->at = '\0';
    return (const char *)w->begin;
}
