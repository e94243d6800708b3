/* SPDX-License-Identifier: MIT */
/*
 * Units live in tables, largest first, read by the parser and the printer alike, so what one
 * writes the other reads.
 */
#include "base/str.h"

#include "base/check.h"
#include "base/limits.h"

struct unit {
    struct span name;
    uint64_t factor;
};

static const struct unit duration_units[] = {
    {SPAN_INIT("d"), 86400000}, {SPAN_INIT("h"), 3600000}, {SPAN_INIT("m"), 60000},
    {SPAN_INIT("s"), 1000},     {SPAN_INIT("ms"), 1},
};

static const struct unit binary_units[] = {
    {SPAN_INIT("TiB"), (uint64_t)1 << 40},
    {SPAN_INIT("GiB"), (uint64_t)1 << 30},
    {SPAN_INIT("MiB"), (uint64_t)1 << 20},
    {SPAN_INIT("KiB"), (uint64_t)1 << 10},
    {SPAN_INIT("B"), 1},
};

static const struct unit decimal_units[] = {
    {SPAN_INIT("TB"), 1000000000000},
    {SPAN_INIT("GB"), 1000000000},
    {SPAN_INIT("MB"), 1000000},
    {SPAN_INIT("kB"), 1000},
};

static const struct unit *unit_named(struct span name, const struct unit *units, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (span_eq(units[i].name, name))
            return &units[i];
    return NULL;
}

static size_t digits_at_start(struct span text)
{
    size_t n = 0;
    while (n < text.n && ascii_is_digit(text.p[n]))
        n++;
    return n;
}

static bool scaled(struct span digits, const struct unit *unit, uint64_t *ret_value)
{
    uint64_t count;
    uint64_t value;
    if (!unit || !span_to_u64(digits, &count) ||
        __builtin_mul_overflow(count, unit->factor, &value))
        return false;
    *ret_value = value;
    return true;
}

static bool is_bare_zero(struct span text)
{
    return span_eq(text, span_str("0"));
}

bool parse_duration_ms(struct span text, uint64_t *ret_ms)
{
    if (is_bare_zero(text)) {
        *ret_ms = 0;
        return true;
    }
    size_t n = digits_at_start(text);
    const struct unit *unit =
        unit_named(span_from(text, n), duration_units, ARRAY_LEN(duration_units));
    return scaled(span_sub(text, 0, n), unit, ret_ms);
}

bool parse_size_bytes(struct span text, uint64_t *ret_bytes)
{
    if (is_bare_zero(text)) {
        *ret_bytes = 0;
        return true;
    }
    size_t n = digits_at_start(text);
    struct span name = span_from(text, n);
    const struct unit *unit = unit_named(name, binary_units, ARRAY_LEN(binary_units));
    if (!unit)
        unit = unit_named(name, decimal_units, ARRAY_LEN(decimal_units));
    return scaled(span_sub(text, 0, n), unit, ret_bytes);
}

bool parse_rate(struct span text, uint64_t *ret_events, uint64_t *ret_period_ms)
{
    struct span period = text;
    struct span count = span_cut(&period, '/');
    const struct unit *unit = unit_named(period, duration_units, ARRAY_LEN(duration_units));
    uint64_t events;
    if (!unit || unit->factor < 1000 || !span_to_u64(count, &events))
        return false;
    *ret_events = events;
    *ret_period_ms = unit->factor;
    return true;
}

/* In the largest unit that leaves no remainder; the last unit has the factor 1. */
static void w_in_units(struct writer *w, uint64_t value, const struct unit *units, size_t n)
{
    size_t i = 0;
    while (i < n - 1 && (value < units[i].factor || value % units[i].factor != 0))
        i++;
    w_u64_dec(w, value / units[i].factor);
    w_span(w, units[i].name);
}

void w_duration_ms(struct writer *w, uint64_t ms)
{
    w_in_units(w, ms, duration_units, ARRAY_LEN(duration_units));
}

void w_size_bytes(struct writer *w, uint64_t bytes)
{
    w_in_units(w, bytes, binary_units, ARRAY_LEN(binary_units));
}

void w_duration_human_ns(struct writer *w, uint64_t ns)
{
    double value = (double)ns;
    if (ns < 1000)
        w_printf(w, "%uns", (unsigned)ns);
    else if (ns < 999995)
        w_printf(w, "%.3gus", value / 1e3);
    else if (ns < 999995000)
        w_printf(w, "%.2fms", value / 1e6);
    else if (ns < 120000000000)
        w_printf(w, "%.2fs", value / 1e9);
    else
        w_duration_ms(w, ns / 1000000000 * 1000);
}

static const char *format_with(char *buf, void (*print)(struct writer *, uint64_t), uint64_t v)
{
    struct writer w = writer_of(buf, FORMAT_SHORT_MAX);
    print(&w, v);
    const char *text = w_cstr(&w);
    CHECK(w_ok(&w));
    return text;
}

const char *format_duration_ms(char buf[FORMAT_SHORT_MAX], uint64_t ms)
{
    return format_with(buf, w_duration_ms, ms);
}

const char *format_size_bytes(char buf[FORMAT_SHORT_MAX], uint64_t bytes)
{
    return format_with(buf, w_size_bytes, bytes);
}

const char *format_duration_human_ns(char buf[FORMAT_SHORT_MAX], uint64_t ns)
{
    return format_with(buf, w_duration_human_ns, ns);
}

/* Quotient rounded down and remainder from zero up, also of negative numbers. */
static int64_t div_floor(int64_t a, int64_t b, int64_t *ret_remainder)
{
    int64_t q = a / b - (a % b < 0);
    *ret_remainder = a - q * b;
    return q;
}

/*
 * The year is taken to begin on 1 March, so that the leap day is its last and every month but the
 * last has a length given by (153 m + 2) / 5. An era of 400 such years has 146097 days.
 */
struct civil_time civil_time_of(int64_t wall_s)
{
    int64_t second_of_day;
    int64_t days = div_floor(wall_s, 86400, &second_of_day);
    int64_t day_of_era;
    int64_t era = div_floor(days + 719468, 146097, &day_of_era); /* days from 0000-03-01 */
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t march_month = (5 * day_of_year + 2) / 153;
    int64_t month = march_month < 10 ? march_month + 3 : march_month - 9;
    return (struct civil_time){
        .year = era * 400 + year_of_era + (month <= 2),
        .month = (unsigned)month,
        .day = (unsigned)(day_of_year - (153 * march_month + 2) / 5 + 1),
        .hour = (unsigned)(second_of_day / 3600),
        .minute = (unsigned)(second_of_day / 60 % 60),
        .second = (unsigned)(second_of_day % 60),
    };
}

static void w_time_of_day(struct writer *w, const struct civil_time *t)
{
    w_u64_padded(w, t->hour, 2);
    w_u8(w, ':');
    w_u64_padded(w, t->minute, 2);
    w_u8(w, ':');
    w_u64_padded(w, t->second, 2);
}

void w_rfc3339_ms(struct writer *w, int64_t wall_ms)
{
    int64_t ms;
    struct civil_time t = civil_time_of(div_floor(wall_ms, 1000, &ms));
    CHECK(t.year >= 0);
    CHECK(t.year <= 9999);
    w_u64_padded(w, (uint64_t)t.year, 4);
    w_u8(w, '-');
    w_u64_padded(w, t.month, 2);
    w_u8(w, '-');
    w_u64_padded(w, t.day, 2);
    w_u8(w, 'T');
    w_time_of_day(w, &t);
    w_u8(w, '.');
    w_u64_padded(w, (uint64_t)ms, 3);
    w_u8(w, 'Z');
}

static bool same_letter(struct span a, size_t i, struct span b, size_t j)
{
    return ascii_lower(a.p[i]) == ascii_lower(b.p[j]);
}

/*
 * Optimal string alignment: the table d[i][j], changes from the first i letters of a to the first j
 * of b, kept as three rows because a swap looks two rows back.
 */
unsigned edit_distance(struct span a, struct span b, unsigned max)
{
    size_t length_gap = MAX(a.n, b.n) - MIN(a.n, b.n);
    if (a.n > SUGGEST_WORD_MAX || b.n > SUGGEST_WORD_MAX || length_gap > max)
        return max + 1;
    unsigned rows[3][SUGGEST_WORD_MAX + 1] = {{0}};
    for (size_t j = 0; j <= b.n; j++)
        rows[0][j] = (unsigned)j;
    for (size_t i = 1; i <= a.n; i++) {
        unsigned *row = rows[i % 3];
        const unsigned *above = rows[(i + 2) % 3];
        const unsigned *above2 = rows[(i + 1) % 3];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b.n; j++) {
            unsigned replace = above[j - 1] + !same_letter(a, i - 1, b, j - 1);
            row[j] = MIN(replace, MIN(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && same_letter(a, i - 1, b, j - 2) &&
                same_letter(a, i - 2, b, j - 1))
                row[j] = MIN(row[j], above2[j - 2] + 1);
        }
    }
    return MIN(rows[a.n % 3][b.n], max + 1);
}

const char *suggest_closest(struct span word, const char *const *candidates, size_t n)
{
    if (word.n == 0 || word.n > SUGGEST_WORD_MAX)
        return NULL;
    unsigned best_distance = MAX((unsigned)word.n / 3, 1u) + 1;
    const char *best = NULL;
    for (size_t i = 0; i < n; i++) {
        unsigned distance = edit_distance(word, span_cstr(candidates[i]), best_distance - 1);
        if (distance < best_distance) {
            best_distance = distance;
            best = candidates[i];
        }
        if (best_distance == 0)
            break;
    }
    return best;
}
