/* SPDX-License-Identifier: MIT */
/* Every answer made here must itself be a response that our own strict reader takes. */
#include "forward/answer.h"

#include "codec/h1.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct span find_field(const struct head *h, const char *name)
{
    unsigned at = 0;
    const struct field *f = head_find_name(h, span_cstr(name), &at);
    return f ? field_value(h, f) : span_of(NULL, 0);
}

static void check_answer(enum reason why, bool close, bool head_only)
{
    uint8_t room[ANSWER_BYTES_MAX];
    struct writer w = writer_of(room, sizeof(room));
    answer_write(&w, why, close, head_only);
    assert_true(w_ok(&w));

    struct h1_reader r;
    struct head h;
    struct h1_result got;
    head_init(&h, NULL, 0);
    h1_reader_init(&r, H1_RESPONSES, &h1_limits_default);
    h1_reader_expect(&r, head_only ? METHOD_HEAD : METHOD_GET, false);
    struct span in = w_span_of_result(&w);
    assert_int_equal(h1_reader_next(&r, in, &h, &got), H1_HEAD);
    assert_int_equal(h.status, reason_status(why));
    assert_int_equal(h.keep_alive, !close);
    struct span name = find_field(&h, "x-poise-reason");
    assert_int_equal(name.n, strlen(reason_name(why)));
    assert_memory_equal(name.p, reason_name(why), name.n);
    in = span_from(in, got.used);
    if (!head_only) {
        assert_int_equal(h1_reader_next(&r, in, &h, &got), H1_BODY);
        assert_int_equal(got.body.n, strlen(reason_sentence(why)) + 1);
        in = span_from(in, got.used);
    }
    assert_int_equal(in.n, 0);
    assert_int_equal(h1_reader_next(&r, in, &h, &got), H1_END);
}

static void test_all_reasons(void **state)
{
    (void)state;
    int answered = 0;
    for (int r = 0; r < REASON_COUNT; r++) {
        if (reason_status((enum reason)r) == 0)
            continue;
        answered++;
        for (int bits = 0; bits < 4; bits++)
            check_answer((enum reason)r, bits & 1, bits & 2);
    }
    assert_true(answered > 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all_reasons)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
