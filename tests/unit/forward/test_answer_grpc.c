/* SPDX-License-Identifier: MIT */
#include "forward/answer_grpc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static uint8_t hex_digit(uint8_t c)
{
    return (uint8_t)(c <= '9' ? c - '0' : c - 'A' + 10);
}

/* What a client makes of a grpc-message. */
static size_t decode(struct span in, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < in.n; i++) {
        assert_in_range(in.p[i], ' ', '~');
        if (in.p[i] == '%') {
            assert_true(i + 2 < in.n);
            out[n++] = (char)(hex_digit(in.p[i + 1]) << 4 | hex_digit(in.p[i + 2]));
            i += 2;
        } else {
            out[n++] = (char)in.p[i];
        }
    }
    out[n] = '\0';
    return n;
}

static void test_grpc_all_reasons(void **state)
{
    (void)state;
    for (int r = 0; r < REASON_COUNT; r++) {
        enum reason why = (enum reason)r;
        struct answer_grpc a;
        char message[ANSWER_GRPC_TEXT + 1], number[8];
        answer_grpc(why, &a);
        assert_true(span_eq(a.fields[0].name, span_str(":status")));
        assert_true(span_eq(a.fields[0].value, span_str("200")));
        assert_true(span_eq(a.fields[1].value, span_str("application/grpc")));
        assert_true(span_eq(a.fields[2].name, span_str("grpc-status")));
        (void)snprintf(number, sizeof(number), "%d", (int)answer_grpc_status(why));
        assert_true(span_eq(a.fields[2].value, span_cstr(number)));
        assert_in_range(answer_grpc_status(why), 1, 16);
        assert_true(span_eq(a.fields[3].name, span_str("grpc-message")));
        (void)decode(a.fields[3].value, message);
        assert_string_equal(message, reason_sentence(why));
        assert_true(span_eq(a.fields[4].value, span_cstr(reason_name(why))));
    }
}

static void test_grpc_statuses(void **state)
{
    (void)state;
    assert_int_equal(answer_grpc_status(REASON_connect_refused), GRPC_UNAVAILABLE);
    assert_int_equal(answer_grpc_status(REASON_connect_timeout), GRPC_UNAVAILABLE);
    assert_int_equal(answer_grpc_status(REASON_no_backend), GRPC_UNAVAILABLE);
    assert_int_equal(answer_grpc_status(REASON_overload), GRPC_UNAVAILABLE);
    assert_int_equal(answer_grpc_status(REASON_shutting_down), GRPC_UNAVAILABLE);
    assert_int_equal(answer_grpc_status(REASON_stream_refused), GRPC_UNAVAILABLE);
    assert_int_equal(answer_grpc_status(REASON_backend_reset), GRPC_UNAVAILABLE);
    assert_int_equal(answer_grpc_status(REASON_deadline_exceeded), GRPC_DEADLINE_EXCEEDED);
    assert_int_equal(answer_grpc_status(REASON_response_timeout), GRPC_DEADLINE_EXCEEDED);
    assert_int_equal(answer_grpc_status(REASON_client_cancelled), GRPC_CANCELLED);
    assert_int_equal(answer_grpc_status(REASON_no_route), GRPC_UNIMPLEMENTED);
    assert_int_equal(answer_grpc_status(REASON_body_too_large), GRPC_RESOURCE_EXHAUSTED);
    assert_int_equal(answer_grpc_status(REASON_bad_path), GRPC_INTERNAL);
    assert_int_equal(answer_grpc_status(REASON_bad_response_field), GRPC_INTERNAL);
}

static void test_grpc_trailers(void **state)
{
    (void)state;
    uint8_t room[ANSWER_GRPC_TRAILERS];
    for (int r = 0; r < REASON_COUNT; r++) {
        struct writer w = writer_of(room, sizeof(room));
        answer_grpc_trailers(&w, (enum reason)r);
        assert_true(w_ok(&w));
    }
    struct writer w = writer_of(room, sizeof(room));
    answer_grpc_trailers(&w, REASON_bad_path);
    const char *wanted =
        "grpc-status: 13\r\ngrpc-message: The path has an encoding that is refused "
        "(%2500, %252F, %255C, bad escapes or dots above the root).\r\n"
        "x-poise-reason: bad_path\r\n";
    assert_int_equal(w_len(&w), strlen(wanted));
    assert_memory_equal(room, wanted, strlen(wanted));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grpc_all_reasons),
        cmocka_unit_test(test_grpc_statuses),
        cmocka_unit_test(test_grpc_trailers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
