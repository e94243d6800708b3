/* SPDX-License-Identifier: MIT */
#include "account/line_put.h"

/* The longest escape of one byte: \u001f in JSON (U+FFFD has three bytes), \xHH elsewhere. */
#define ESCAPE_MAX 6

/* ---- texts ---- */

typedef uint8_t block __attribute__((vector_size(16)));
typedef int8_t signed_block __attribute__((vector_size(16)));

/* 0xff for each byte that neither format writes as it is: all but printable ASCII (as signed
 * numbers, what is above ASCII is below it, too), quotes and backslashes. */
static block block_special(block b)
{
    return (block)(((signed_block)b < 0x20) | (b == 0x7f) | (b == '"') | (b == '\\'));
}

static bool block_any(block b)
{
    uint64_t halves[2];
    memcpy(halves, &b, sizeof(halves));
    return (halves[0] | halves[1]) != 0;
}

/* Copies up to 16 bytes as a first and a last part of 8, 4, 2 or 1, which may overlap. Returns them
 * all, and nothing that is not of them. */
static block copy_short(uint8_t *to, const uint8_t *from, size_t n)
{
    uint64_t parts[2];
    if (n >= 8) {
        memcpy(&parts[0], from, 8);
        memcpy(&parts[1], from + n - 8, 8);
        memcpy(to, &parts[0], 8);
        memcpy(to + n - 8, &parts[1], 8);
    } else if (n >= 4) {
        uint32_t first, last;
        memcpy(&first, from, 4);
        memcpy(&last, from + n - 4, 4);
        memcpy(to, &first, 4);
        memcpy(to + n - 4, &last, 4);
        parts[0] = parts[1] = (uint64_t)last << 32 | first;
    } else {
        uint8_t first = from[0], middle = from[n / 2], last = from[n - 1];
        to[0] = first;
        to[n / 2] = middle;
        to[n - 1] = last;
        parts[0] = parts[1] =
            0x2020202020000000u | (uint64_t)last << 16 | (unsigned)middle << 8 | first;
    }
    block all;
    memcpy(&all, parts, sizeof(all));
    return all;
}

/* Copies a text that is not empty; false if some of it is to be escaped. */
static bool copy_plain(uint8_t *to, struct span text)
{
    block b;
    if (text.n < sizeof(b))
        return !block_any(block_special(copy_short(to, text.p, text.n)));
    block special = {0};
    size_t last = text.n - sizeof(b);
    for (size_t at = 0; at < last; at += sizeof(b)) {
        memcpy(&b, text.p + at, sizeof(b));
        memcpy(to + at, &b, sizeof(b));
        special |= block_special(b);
    }
    memcpy(&b, text.p + last, sizeof(b));
    memcpy(to + last, &b, sizeof(b));
    return !block_any(special | block_special(b));
}

/* At most `room` bytes: the whole text, or as much of its front as fits whatever it holds. */
static void cut_escaped(struct writer *w, struct span text, size_t room, escape_fn *escape)
{
    struct writer part = *w;
    if (w_left(&part) > room)
        part.end = part.at + room;
    struct writer whole = part;
    escape(&whole, text);
    if (!w_ok(&whole)) {
        size_t cut = (room - 3) / ESCAPE_MAX;
        while (cut > 0 && (text.p[cut] & 0xc0) == 0x80) /* not inside a character of UTF-8 */
            cut--;
        whole = part;
        escape(&whole, span_sub(text, 0, cut));
        w_str(&whole, "...");
    }
    w->at = whole.at;
    w->failed = whole.failed;
}

void put_escaped(struct writer *w, struct span text, size_t room, escape_fn *escape)
{
    if (span_empty(text))
        return;
    uint8_t *to = text.n <= MIN(room, w_left(w)) ? w_reserve(w, text.n) : NULL;
    if (LIKELY(to && copy_plain(to, text)))
        return;
    if (to)
        w->at = to;
    cut_escaped(w, text, room, escape);
}

/* ---- numbers and times ---- */

static const uint8_t digit_pairs[200] = "00010203040506070809101112131415161718192021222324"
                                        "25262728293031323334353637383940414243444546474849"
                                        "50515253545556575859606162636465666768697071727374"
                                        "75767778798081828384858687888990919293949596979899";

static unsigned digits_of(uint64_t n)
{
    unsigned digits = 1;
    for (; n >= 10000; n /= 10000)
        digits += 4;
    return digits + (n >= 10) + (n >= 100) + (n >= 1000);
}

/* The last `digits` digits of `n`, with zeros in front. */
void put_digits(struct writer *w, uint64_t n, unsigned digits)
{
    uint8_t *to = w_reserve(w, digits);
    if (!to)
        return;
    for (; digits >= 2; n /= 100) {
        digits -= 2;
        memcpy(to + digits, digit_pairs + n % 100 * 2, 2);
    }
    if (digits)
        to[0] = (uint8_t)('0' + n % 10);
}

void put_number(struct writer *w, uint64_t n)
{
    put_digits(w, n, digits_of(n));
}
