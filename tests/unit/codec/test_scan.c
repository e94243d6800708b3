/* SPDX-License-Identifier: MIT */
/* Runs end where a loop over single bytes ends them: every byte value at every place. */
#include "codec/scan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static bool text_byte(uint8_t c)
{
    return c == '\t' || (c >= 0x20 && c != 0x7f);
}

static bool visible_byte(uint8_t c)
{
    return c > 0x20 && c < 0x7f;
}

static bool token_byte(uint8_t c)
{
    return ascii_is_alnum(c) || (c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool name_byte(uint8_t c)
{
    return ascii_is_alnum(c) || c == '-';
}

static bool host_byte(uint8_t c)
{
    return ascii_is_alnum(c) || c == '-' || c == '.';
}

static bool query_byte(uint8_t c)
{
    return char_is(c, CHAR_QUERY);
}

static bool control_free_byte(uint8_t c)
{
    return c != '\t' && text_byte(c);
}

static size_t naive_path(struct span s, size_t i)
{
    while (i < s.n && (ascii_is_alnum(s.p[i]) || (s.p[i] != 0 && strchr("-./_", s.p[i]) != NULL)) &&
           !(s.p[i] == '.' && s.p[i - 1] == '/'))
        i++;
    return i;
}

static size_t naive(struct span s, size_t from, bool (*good)(uint8_t c))
{
    while (from < s.n && good(s.p[from]))
        from++;
    return from;
}

static void agree(struct span s, size_t from)
{
    assert_int_equal(scan_token(s, from), naive(s, from, token_byte));
    assert_int_equal(scan_text(s, from), naive(s, from, text_byte));
    assert_int_equal(scan_visible(s, from), naive(s, from, visible_byte));
    assert_int_equal(scan_name(s, from), naive(s, from, name_byte));
    assert_int_equal(scan_host(s, from), naive(s, from, host_byte));
    assert_int_equal(scan_query(s, from), naive(s, from, query_byte));
    assert_int_equal(scan_to_control(s, from), naive(s, from, control_free_byte));
    if (from == 0)
        return;
    size_t path = scan_path(s, from), wanted = naive_path(s, from);
    assert_true(path == wanted || (s.n <= SCAN_BLOCK && path == from));
}

static void test_every_byte_at_every_place(void **state)
{
    (void)state;
    for (size_t n = 0; n <= 40; n++) {
        uint8_t *p = malloc(n + 1);
        memset(p, 'a', n + 1);
        for (size_t at = 0; at < n; at++) {
            for (unsigned byte = 0; byte < 256; byte++) {
                p[at] = (uint8_t)byte;
                agree(span_of(p, n), 0);
                agree(span_of(p, n), at);
                agree(span_of(p, n), at / 2);
                agree(span_of(p, n), n > 1 ? 1 : 0);
            }
            p[at] = 'a';
        }
        agree(span_of(p, n), n);
        free(p);
    }
}

/* A byte that ends a run beside bytes on the edge of what is allowed. */
static void test_neighbours(void **state)
{
    (void)state;
    static const uint8_t edges[] = {0x00, 0x09, 0x1f, 0x20, 0x21, 0x2c, 0x2d, 0x2e, 0x2f,
                                    0x30, 0x39, 0x3a, 0x40, 0x41, 0x5a, 0x5b, 0x60, 0x61,
                                    0x7a, 0x7b, 0x7e, 0x7f, 0x80, 0xad, 0xb0, 0xe1, 0xff};
    uint8_t text[24];
    memset(text, 'a', sizeof(text));
    for (size_t at = 0; at + 1 < sizeof(text); at++) {
        for (size_t i = 0; i < ARRAY_LEN(edges); i++) {
            for (size_t k = 0; k < ARRAY_LEN(edges); k++) {
                text[at] = edges[i];
                text[at + 1] = edges[k];
                agree(span_of(text, sizeof(text)), 0);
                agree(span_of(text, sizeof(text)), 1);
            }
        }
        text[at] = text[at + 1] = 'a';
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_byte_at_every_place),
        cmocka_unit_test(test_neighbours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
