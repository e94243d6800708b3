/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/bytes.h"
#include "base/rng.h"

static void span_compares(void **state)
{
    (void)state;
    assert_true(span_eq(span_str("abc"), span_cstr("abc")));
    assert_false(span_eq(span_str("abc"), span_str("abd")));
    assert_false(span_eq(span_str("abc"), span_str("ab")));
    assert_true(span_eq(span_of(NULL, 0), span_str("")));
    assert_true(span_empty(span_cstr(NULL)));
    assert_true(span_eq_nocase(span_str("Content-LENGTH"), span_str("content-length")));
    assert_false(span_eq_nocase(span_str("@"), span_str("`")));
    assert_false(span_eq_nocase(span_str("[a"), span_str("{a")));
}

static void span_parts(void **state)
{
    (void)state;
    struct span s = span_str("key=value=x");
    assert_true(span_starts(s, span_str("key")));
    assert_true(span_starts(s, span_str("")));
    assert_false(span_starts(span_str("ke"), span_str("key")));
    assert_true(span_ends(s, span_str("=x")));
    assert_false(span_ends(span_str("x"), span_str("=x")));
    assert_int_equal(span_find(s, '='), 3);
    assert_int_equal(span_find_last(s, '='), 9);
    assert_true(span_find(s, '!') == SPAN_NOT_FOUND);
    assert_int_equal(span_find_span(s, span_str("value")), 4);
    assert_true(span_find_span(s, span_str("values")) == SPAN_NOT_FOUND);
    assert_span(span_sub(s, 4, 5), "value");
    assert_span(span_sub(s, 4, SIZE_MAX), "value=x");
    assert_span(span_sub(s, 99, 1), "");
    assert_span(span_sub(span_of(NULL, 0), 0, 1), "");

    struct span rest = s;
    assert_span(span_cut(&rest, '='), "key");
    assert_span(rest, "value=x");
    assert_span(span_cut(&rest, '!'), "value=x");
    assert_span(rest, "");
    assert_span(span_cut(&rest, '='), "");
}

static void span_trims_sp_and_htab_only(void **state)
{
    (void)state;
    assert_span(span_trim(span_str(" \t a b\t ")), "a b");
    assert_span(span_trim(span_str(" \t ")), "");
    assert_span(span_trim(span_str("\r\n")), "\r\n");
    assert_span(span_trim(span_of(NULL, 0)), "");
}

static void numbers_are_strict(void **state)
{
    (void)state;
    uint64_t v = 7;
    assert_true(span_to_u64(span_str("0"), &v));
    assert_true(v == 0);
    assert_true(span_to_u64(span_str("00042"), &v));
    assert_true(v == 42);
    assert_true(span_to_u64(span_str("18446744073709551615"), &v));
    assert_true(v == UINT64_MAX);
    const char *bad[] = {"",
                         "+1",
                         "-1",
                         " 1",
                         "1 ",
                         "0x1",
                         "1a",
                         "1_0",
                         "18446744073709551616",
                         "99999999999999999999",
                         "184467440737095516150"};
    v = 7;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(span_to_u64(span_cstr(bad[i]), &v));
    assert_true(v == 7); /* untouched on failure */

    assert_true(span_to_u64_hex(span_str("fFfFfFfFfFfFfFfF"), &v));
    assert_true(v == UINT64_MAX);
    assert_false(span_to_u64_hex(span_str("00000000000000000"), &v));
    assert_false(span_to_u64_hex(span_str(""), &v));
    assert_false(span_to_u64_hex(span_str("g"), &v));
    assert_false(span_to_u64_hex(span_str("0x1"), &v));
}

static void number_round_trips(void **state)
{
    (void)state;
    struct rng rng = rng_seed(1);
    for (int i = 0; i < 20000; i++) {
        uint64_t v = rng_u64(&rng) >> rng_below(&rng, 64);
        uint64_t back = ~v;
        char buf[64];
        struct writer w = writer_of(buf, sizeof(buf));
        w_u64_dec(&w, v);
        char expected[32];
        (void)snprintf(expected, sizeof(expected), "%llu", (unsigned long long)v);
        assert_span(w_span_of_result(&w), expected);
        assert_true(span_to_u64(w_span_of_result(&w), &back));
        assert_true(back == v);
        w_reset(&w);
        w_hex(&w, v, 0);
        assert_true(span_to_u64_hex(w_span_of_result(&w), &back));
        assert_true(back == v);
    }
}

static void hex_is_what_printf_writes(void **state)
{
    (void)state;
    struct rng rng = rng_seed(5);
    for (int i = 0; i < 20000; i++) {
        uint64_t v = rng_u64(&rng) >> rng_below(&rng, 64) & ~(uint64_t)(i % 2);
        unsigned digits_min = i % 3 == 0 ? 16 : (unsigned)rng_below(&rng, 17);
        char expected[32], buf[16];
        size_t n = (size_t)snprintf(expected, sizeof(expected), "%0*llx", (int)MAX(digits_min, 1u),
                                    (unsigned long long)v);
        struct writer w = writer_of(buf, n);
        w_hex(&w, v, digits_min);
        assert_true(w_ok(&w));
        assert_span(w_span_of_result(&w), expected);
        struct writer small = writer_of(buf, n - 1);
        w_hex(&small, v, digits_min);
        assert_false(w_ok(&small));
        assert_int_equal(w_len(&small), 0);
    }
}

static void ascii_tables_agree_with_c_locale(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        uint8_t b = (uint8_t)c;
        bool ascii = c < 128;
        assert_int_equal(ascii_lower(b), c >= 'A' && c <= 'Z' ? c + 32 : c);
        assert_int_equal(ascii_upper(b), c >= 'a' && c <= 'z' ? c - 32 : c);
        assert_int_equal(ascii_is_digit(b), ascii && isdigit(c) != 0);
        assert_int_equal(ascii_is_alpha(b), ascii && isalpha(c) != 0);
        assert_int_equal(ascii_is_alnum(b), ascii && isalnum(c) != 0);
        assert_int_equal(ascii_is_control(b), ascii && iscntrl(c) != 0);
        assert_int_equal(ascii_is_printable(b), ascii && isprint(c) != 0);
        assert_int_equal(ascii_hex_value(b) >= 0, ascii && isxdigit(c) != 0);
    }
    assert_int_equal(ascii_hex_value('a'), 10);
    assert_int_equal(ascii_hex_value('F'), 15);
    assert_int_equal(ascii_hex_value('9'), 9);
}

static void reader_reads_and_sticks(void **state)
{
    (void)state;
    struct reader r = reader_of(span_str("\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b"));
    assert_int_equal(r_u8(&r), 1);
    assert_int_equal(r_u16be(&r), 0x0203);
    assert_int_equal(r_u24be(&r), 0x040506);
    assert_int_equal(r_left(&r), 5);
    assert_int_equal(r_u32be(&r), 0x0708090a);
    assert_true(r_ok(&r));
    assert_int_equal(r_u16be(&r), 0); /* one byte short */
    assert_false(r_ok(&r));
    assert_int_equal(r_u8(&r), 0); /* the byte that is there is not given after an error */
    assert_int_equal(r_left(&r), 0);
    assert_true(span_empty(r_rest(&r)));

    r = reader_of(span_str("\xff\xff\xff\xff\xff\xff\xff\xff"));
    assert_true(r_u64be(&r) == UINT64_MAX);
    assert_true(r_ok(&r));

    r = reader_of(span_of(NULL, 0));
    r_skip(&r, 0);
    assert_true(r_ok(&r));
    r_skip(&r, SIZE_MAX);
    assert_false(r_ok(&r));
}

static void writer_writes_and_sticks(void **state)
{
    (void)state;
    uint8_t buf[18];
    struct writer w = writer_of(buf, sizeof(buf));
    w_u8(&w, 1);
    w_u16be(&w, 0x0203);
    w_u24be(&w, 0x040506);
    w_u32be(&w, 0x0708090a);
    w_u64be(&w, 0x0b0c0d0e0f101112);
    assert_true(w_ok(&w));
    assert_int_equal(w_len(&w), 18);
    for (int i = 0; i < 18; i++)
        assert_int_equal(buf[i], i + 1);
    w_bytes(&w, "", 0);
    assert_true(w_ok(&w));
    w_u8(&w, 0);
    assert_false(w_ok(&w));
    assert_int_equal(w_len(&w), 18);

    w = writer_of(buf, 4);
    w_str(&w, "abc");
    w_str(&w, "de"); /* does not fit: nothing of it is written */
    w_str(&w, "f");  /* would fit, but the error sticks */
    assert_false(w_ok(&w));
    assert_span(w_span_of_result(&w), "abc");
    assert_int_equal(w_left(&w), 0);
}

/* Any mix of writes into a buffer of any size never leaves it, and is the prefix of the same writes
 * into a large one. */
static void writer_prefix_property(void **state)
{
    (void)state;
    for (size_t size = 0; size < 80; size++) {
        char *small = test_malloc(size + 1);
        char large[512];
        struct writer a = writer_of(small, size);
        struct writer b = writer_of(large, sizeof(large));
        struct writer *both[] = {&a, &b};
        for (size_t i = 0; i < 2; i++) {
            w_str(both[i], "GET ");
            w_u64_dec(both[i], 1234567890123);
            w_i64_dec(both[i], INT64_MIN);
            w_hex(both[i], 0xabc, 8);
            w_u64_padded(both[i], 7, 3);
            w_printf(both[i], "<%s %d>", "text", 42);
            w_escaped(both[i], span_str("a\n\x01"));
        }
        assert_true(w_ok(&b));
        assert_true(w_len(&a) <= size);
        assert_int_equal(w_ok(&a), w_len(&a) == w_len(&b));
        assert_true(span_starts(w_span_of_result(&b), w_span_of_result(&a)));
        test_free(small);
    }
}

static void text_writers(void **state)
{
    (void)state;
    char buf[256];
    struct writer w = writer_of(buf, sizeof(buf));
    w_i64_dec(&w, INT64_MIN);
    w_u8(&w, ' ');
    w_hex(&w, 0x1f, 4);
    w_u8(&w, ' ');
    w_hex(&w, 0, 0);
    w_u8(&w, ' ');
    w_u64_padded(&w, 7, 3);
    assert_span(w_span_of_result(&w), "-9223372036854775808 001f 0 007");
    w_reset(&w);
    w_escaped(&w, span_str("a\\b\r\n\t\x1b[0m\x7f\xe9"));
    assert_span(w_span_of_result(&w), "a\\\\b\\r\\n\\t\\x1b[0m\\x7f\\xe9");
    assert_string_equal(w_cstr(&w), "a\\\\b\\r\\n\\t\\x1b[0m\\x7f\\xe9");

    w = writer_of(buf, 4);
    w_str(&w, "abcd");
    assert_string_equal(w_cstr(&w), "abc");
    assert_false(w_ok(&w));
}

static void json_escapes(void **state)
{
    (void)state;
    const struct {
        const char *in, *out;
    } cases[] = {
        {"plain", "plain"},
        {"a\"b\\c\n\x01\x7f", "a\\\"b\\\\c\\n\\u0001\\u007f"},
        {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
        {"\xff", "\xef\xbf\xbd"},
        {"\xc0\x80", "\xef\xbf\xbd\xef\xbf\xbd"},                 /* overlong NUL */
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* surrogate */
        {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd"}, /* cut short */
        {"\xc3(", "\xef\xbf\xbd("},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char buf[64];
        struct writer w = writer_of(buf, sizeof(buf));
        w_json_escaped(&w, span_cstr(cases[i].in));
        assert_span(w_span_of_result(&w), cases[i].out);
    }
}

static void to_cstr_refuses_nul_and_overflow(void **state)
{
    (void)state;
    char buf[4] = "zzz";
    assert_true(span_to_cstr(span_str("abc"), buf, sizeof(buf)));
    assert_string_equal(buf, "abc");
    assert_false(span_to_cstr(span_str("abcd"), buf, sizeof(buf)));
    assert_string_equal(buf, "");
    assert_false(span_to_cstr(span_str("a\0b"), buf, sizeof(buf)));
    assert_true(span_to_cstr(span_of(NULL, 0), buf, sizeof(buf)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(span_compares),
        cmocka_unit_test(span_parts),
        cmocka_unit_test(span_trims_sp_and_htab_only),
        cmocka_unit_test(numbers_are_strict),
        cmocka_unit_test(number_round_trips),
        cmocka_unit_test(hex_is_what_printf_writes),
        cmocka_unit_test(ascii_tables_agree_with_c_locale),
        cmocka_unit_test(reader_reads_and_sticks),
        cmocka_unit_test(writer_writes_and_sticks),
        cmocka_unit_test(writer_prefix_property),
        cmocka_unit_test(text_writers),
        cmocka_unit_test(json_escapes),
        cmocka_unit_test(to_cstr_refuses_nul_and_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
