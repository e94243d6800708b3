/* SPDX-License-Identifier: MIT */
#include "account/reason.h"

#include "base/compiler.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_rows(void **state)
{
    (void)state;
    assert_string_equal(reason_name(REASON_ok), "ok");
    assert_int_equal(REASON_ok, 0); /* functions return 0 or -reason */
    assert_int_equal(reason_status(REASON_no_route), 404);
    assert_int_equal(reason_fault(REASON_no_route), REASON_FAULT_OPERATOR);
    assert_int_equal(reason_retry(REASON_connect_refused), REASON_RETRY_CONNECT);
    assert_int_equal(reason_retry(REASON_backend_reset), REASON_RETRY_RESET);
    assert_int_equal(reason_retry(REASON_response_timeout), REASON_RETRY_NO);
    assert_int_equal(reason_fault(REASON_client_reset), REASON_FAULT_CLIENT);
}

static void test_every_row_is_sound(void **state)
{
    (void)state;
    for (unsigned i = 0; i < REASON_COUNT; i++) {
        enum reason r = (enum reason)i;
        const char *sentence = reason_sentence(r);
        size_t n = strlen(sentence);
        assert_true(n > 10 && sentence[n - 1] == '.');
        assert_int_equal(strspn(reason_name(r), "abcdefghijklmnopqrstuvwxyz_0123456789"),
                         strlen(reason_name(r)));
        int status = reason_status(r);
        bool well = reason_fault(r) == REASON_FAULT_NONE; /* an answer of ours may be a good one */
        assert_true(status == 0 || (status >= (well ? 200 : 400) && status < 600));
        /* only what never reached a backend, or what a backend did, may be tried again */
        if (reason_retry(r) != REASON_RETRY_NO)
            assert_int_equal(reason_fault(r), REASON_FAULT_BACKEND);
        if (reason_fault(r) == REASON_FAULT_CLIENT && status != 0)
            assert_true(status < 500 || status == 501 || status == 505);
    }
}

static void test_by_name(void **state)
{
    (void)state;
    for (unsigned i = 0; i < REASON_COUNT; i++) {
        enum reason found = REASON_COUNT;
        assert_true(reason_by_name(reason_name((enum reason)i), &found));
        assert_int_equal(found, i); /* so names are unique, too */
    }
    enum reason untouched = REASON_overload;
    assert_false(reason_by_name("", &untouched));
    assert_false(reason_by_name("OK", &untouched));
    assert_int_equal(untouched, REASON_overload);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_every_row_is_sound),
        cmocka_unit_test(test_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
