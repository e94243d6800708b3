/* SPDX-License-Identifier: MIT */
#include "health/verdict.h"

#include "base/compiler.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Results in, states out: '+' success, '-' failure; 'U' and 'D' the state after each. */
static const struct {
    uint32_t rise, fall;
    const char *results, *states;
} rows[] = {
    {2, 3, "+", "U"},
    {2, 3, "-", "D"},         /* unproven: the first alone decides */
    {2, 3, "-++", "DDU"},     /* from then on rise counts */
    {2, 3, "-+-++", "DDDDU"}, /* in a row */
    {2, 3, "+---", "UUUD"},   /* fall */
    {2, 3, "+--+---", "UUUUUUD"},
    {2, 3, "+---++", "UUUDDU"},
    {2, 3, "+---+-++", "UUUDDDDU"},
    {2, 3, "+---++---", "UUUDDUUUD"},
    {1, 1, "+-+-", "UDUD"},
    {1, 1, "-+-+", "DUDU"},
    {3, 1, "+-+++", "UDDDU"},
    {1, 3, "+---+--+---", "UUUDUUUUUUD"},
    {5, 2, "-++++-+++++", "DDDDDDDDDDU"},
};

static void test_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct verdict v;
        verdict_init(&v, rows[i].rise, rows[i].fall);
        char before = 'U';
        for (size_t k = 0; k < strlen(rows[i].results); k++) {
            enum reason result = rows[i].results[k] == '+' ? REASON_ok : REASON_connect_refused;
            char wanted = rows[i].states[k];
            if (verdict_feed(&v, result) != (wanted != before) ||
                (v.state == VERDICT_UP) != (wanted == 'U'))
                fail_msg("row %zu, result %zu", i, k);
            assert_int_equal(v.last, result);
            assert_true(v.proven);
            before = wanted;
        }
    }
}

static void test_fresh(void **state)
{
    (void)state;
    struct verdict v;
    verdict_init(&v, 2, 3);
    assert_int_equal(v.state, VERDICT_UP);
    assert_false(v.proven);
    assert_int_equal(v.last, REASON_ok);
}

/* Why it failed does not matter to the count. */
static void test_reasons_mix(void **state)
{
    (void)state;
    struct verdict v;
    verdict_init(&v, 2, 3);
    assert_false(verdict_feed(&v, REASON_ok));
    assert_false(verdict_feed(&v, REASON_probe_timeout));
    assert_false(verdict_feed(&v, REASON_probe_status));
    assert_true(verdict_feed(&v, REASON_connect_refused));
    assert_int_equal(v.last, REASON_connect_refused);
}

static void test_suspect(void **state)
{
    (void)state;
    struct verdict v;
    verdict_init(&v, 2, 3);
    assert_false(verdict_feed(&v, REASON_ok));
    verdict_suspect(&v);
    assert_true(verdict_feed(&v, REASON_connect_refused)); /* one is enough */
    assert_int_equal(v.state, VERDICT_DOWN);
    verdict_suspect(&v); /* down already: it neither hastens nor hinders the return */
    assert_false(verdict_feed(&v, REASON_ok));
    assert_true(verdict_feed(&v, REASON_ok));
    verdict_suspect(&v);
    assert_false(verdict_feed(&v, REASON_ok)); /* cleared by a success */
    assert_false(verdict_feed(&v, REASON_connect_refused));
    assert_int_equal(v.state, VERDICT_UP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_fresh),
        cmocka_unit_test(test_reasons_mix),
        cmocka_unit_test(test_suspect),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
