/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <time.h>

#include "base/rng.h"
#include "base/str.h"

static void durations_parse_strictly(void **state)
{
    (void)state;
    const struct {
        const char *text;
        uint64_t ms;
    } good[] = {{"0", 0},         {"0s", 0},        {"250ms", 250},
                {"5s", 5000},     {"1m", 60000},    {"2h", 7200000},
                {"1d", 86400000}, {"1500ms", 1500}, {"18446744073709551615ms", UINT64_MAX}};
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        uint64_t ms = 1;
        assert_true(parse_duration_ms(span_cstr(good[i].text), &ms));
        assert_true(ms == good[i].ms);
    }
    const char *bad[] = {"",
                         "5",
                         "s",
                         "5 s",
                         " 5s",
                         "5s ",
                         "-5s",
                         "+5s",
                         "1.5s",
                         "5S",
                         "5sec",
                         "1m30s",
                         "5ms5",
                         "18446744073709551616ms",
                         "18446744073709551615s",
                         "213503982335d",
                         "00"};
    uint64_t ms = 77;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(parse_duration_ms(span_cstr(bad[i]), &ms));
    assert_true(ms == 77);
}

static void sizes_parse_strictly(void **state)
{
    (void)state;
    const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"0", 0},           {"512B", 512}, {"16KiB", 16384},           {"10MB", 10000000},
                {"1GiB", 1u << 30}, {"3kB", 3000}, {"2TiB", (uint64_t)2 << 40}};
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        uint64_t bytes = 1;
        assert_true(parse_size_bytes(span_cstr(good[i].text), &bytes));
        assert_true(bytes == good[i].bytes);
    }
    const char *bad[] = {"",
                         "16",
                         "16K",
                         "16kb",
                         "16KB",
                         "16 KiB",
                         "1.5MB",
                         "-1B",
                         "0x10B",
                         "16777216TiB",
                         "99999999999999999999B",
                         "KiB"};
    uint64_t bytes = 77;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(parse_size_bytes(span_cstr(bad[i]), &bytes));
    assert_true(bytes == 77);
}

static void rates_parse_strictly(void **state)
{
    (void)state;
    uint64_t events = 0, period_ms = 0;
    assert_true(parse_rate(span_str("100/s"), &events, &period_ms));
    assert_true(events == 100 && period_ms == 1000);
    assert_true(parse_rate(span_str("6/m"), &events, &period_ms));
    assert_true(events == 6 && period_ms == 60000);
    const char *bad[] = {"", "100", "100/", "/s", "100/ms", "100/s/s", "1.5/s", "100 /s"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(parse_rate(span_cstr(bad[i]), &events, &period_ms));
    assert_true(events == 6);
}

static void what_is_printed_parses_back(void **state)
{
    (void)state;
    struct rng rng = rng_seed(13);
    char buf[FORMAT_SHORT_MAX];
    for (int i = 0; i < 20000; i++) {
        uint64_t v = rng_u64(&rng) >> rng_below(&rng, 64);
        v -= rng_chance(&rng, 0.5) ? v % 60000 : 0;
        uint64_t back = ~v;
        assert_true(parse_duration_ms(span_cstr(format_duration_ms(buf, v)), &back));
        assert_true(back == v);
        assert_true(parse_size_bytes(span_cstr(format_size_bytes(buf, v)), &back));
        assert_true(back == v);
        assert_non_null(format_duration_human_ns(buf, v));
    }
    assert_string_equal(format_duration_ms(buf, 0), "0ms");
    assert_string_equal(format_duration_ms(buf, 90000), "90s");
    assert_string_equal(format_duration_ms(buf, 3600000), "1h");
    assert_string_equal(format_size_bytes(buf, 16384), "16KiB");
    assert_string_equal(format_size_bytes(buf, 10000000), "10000000B");
}

static void human_forms(void **state)
{
    (void)state;
    char buf[FORMAT_SHORT_MAX];
    assert_string_equal(format_duration_human_ns(buf, 999), "999ns");
    assert_string_equal(format_duration_human_ns(buf, 1500), "1.5us");
    assert_string_equal(format_duration_human_ns(buf, 1250000), "1.25ms");
    assert_string_equal(format_duration_human_ns(buf, 999999999), "1.00s");
    assert_string_equal(format_duration_human_ns(buf, 3100000000), "3.10s");
    assert_string_equal(format_duration_human_ns(buf, 120000000000), "2m");
}

static void times(void **state)
{
    (void)state;
    char buf[64];
    const struct {
        int64_t ms;
        const char *text;
    } cases[] = {{0, "1970-01-01T00:00:00.000Z"},
                 {-1, "1969-12-31T23:59:59.999Z"},
                 {951782400123, "2000-02-29T00:00:00.123Z"},
                 {1795251600123, "2026-11-21T09:00:00.123Z"},
                 {4107542400000, "2100-03-01T00:00:00.000Z"},
                 {253402300799999, "9999-12-31T23:59:59.999Z"},
                 {-62167219200000, "0000-01-01T00:00:00.000Z"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct writer w = writer_of(buf, sizeof(buf));
        w_rfc3339_ms(&w, cases[i].ms);
        assert_span(w_span_of_result(&w), cases[i].text);
    }
}

static void civil_time_agrees_with_libc(void **state)
{
    (void)state;
    struct rng rng = rng_seed(14);
    for (int i = 0; i < 50000; i++) {
        time_t s = (time_t)rng_below(&rng, 300000000000) - 60000000000;
        struct tm tm;
        assert_non_null(gmtime_r(&s, &tm));
        struct civil_time t = civil_time_of(s);
        assert_int_equal(t.year, tm.tm_year + 1900);
        assert_int_equal(t.month, tm.tm_mon + 1);
        assert_int_equal(t.day, tm.tm_mday);
        assert_int_equal(t.hour, tm.tm_hour);
        assert_int_equal(t.minute, tm.tm_min);
        assert_int_equal(t.second, tm.tm_sec);
    }
}

static void edit_distances(void **state)
{
    (void)state;
    const struct {
        const char *a, *b;
        unsigned d;
    } cases[] = {{"", "", 0},
                 {"abc", "abc", 0},
                 {"abc", "ABC", 0},
                 {"abc", "", 3},
                 {"abc", "acb", 1},
                 {"abc", "abcd", 1},
                 {"abc", "bc", 1},
                 {"ca", "abc", 3},
                 {"kitten", "sitting", 3},
                 {"listen", "litsen", 1}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct span a = span_cstr(cases[i].a), b = span_cstr(cases[i].b);
        assert_int_equal(edit_distance(a, b, 10), cases[i].d);
        assert_int_equal(edit_distance(b, a, 10), cases[i].d);
        assert_int_equal(edit_distance(a, b, 1), cases[i].d > 1 ? 2 : cases[i].d);
    }
}

static void suggestions(void **state)
{
    (void)state;
    const char *const words[] = {"round_robin", "least_connections", "random", "p2c",
                                 "source_hash"};
    size_t n = ARRAY_LEN(words);
    assert_string_equal(suggest_closest(span_str("roundrobin"), words, n), "round_robin");
    assert_string_equal(suggest_closest(span_str("least_connection"), words, n),
                        "least_connections");
    assert_string_equal(suggest_closest(span_str("Random"), words, n), "random");
    assert_string_equal(suggest_closest(span_str("p2"), words, n), "p2c");
    assert_null(suggest_closest(span_str("zzz"), words, n));
    assert_null(suggest_closest(span_str(""), words, n));
    assert_null(suggest_closest(span_str("abc"), words, 0));
    char long_word[200];
    memset(long_word, 'r', sizeof(long_word));
    assert_null(suggest_closest(span_of(long_word, sizeof(long_word)), words, n));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_parse_strictly),
        cmocka_unit_test(sizes_parse_strictly),
        cmocka_unit_test(rates_parse_strictly),
        cmocka_unit_test(what_is_printed_parses_back),
        cmocka_unit_test(human_forms),
        cmocka_unit_test(times),
        cmocka_unit_test(civil_time_agrees_with_libc),
        cmocka_unit_test(edit_distances),
        cmocka_unit_test(suggestions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
