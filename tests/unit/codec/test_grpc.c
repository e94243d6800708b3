/* SPDX-License-Identifier: MIT */
#include "codec/grpc.h"

#include "base/compiler.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_content_type(void **state)
{
    (void)state;
    static const char *const calls[] = {
        "application/grpc", "application/grpc+proto",         "application/grpc+json",
        "Application/GRPC", "application/grpc;charset=utf-8", "application/grpc ; a=b"};
    static const char *const others[] = {"",
                                         "application/grp",
                                         "application/grpc-web",
                                         "application/grpc-web+proto",
                                         "application/grpcx",
                                         "text/plain",
                                         " application/grpc"};
    for (size_t i = 0; i < ARRAY_LEN(calls); i++)
        assert_true(grpc_is_content_type(span_cstr(calls[i])));
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        assert_false(grpc_is_content_type(span_cstr(others[i])));
}

static void test_timeout(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t ns;
    } good[] = {
        {"1n", 1},
        {"20u", 20000},
        {"300m", 300000000},
        {"5S", UINT64_C(5000000000)},
        {"2M", UINT64_C(120000000000)},
        {"1H", UINT64_C(3600000000000)},
        {"0S", 0},
        {"00000010m", 10000000},
        {"99999999H", GRPC_TIMEOUT_NS_MAX},
    };
    static const char *const bad[] = {"",           "S",    "1",   "1s",   "1h",
                                      "100000000n", "-1S",  "+1S", "1 S",  " 1S",
                                      "1S ",        "1.5S", "1SS", "0x1S", "1d"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        uint64_t ns = 7;
        assert_true(grpc_timeout_parse(span_cstr(good[i].text), &ns));
        assert_int_equal(ns, good[i].ns);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        uint64_t ns = 7;
        assert_false(grpc_timeout_parse(span_cstr(bad[i]), &ns));
        assert_int_equal(ns, 7);
    }
}

static void test_status(void **state)
{
    (void)state;
    static const char *const strange[] = {"", "17", "-1", "1 ", "OK", "999", "+1"};
    assert_int_equal(grpc_status_of(span_str("0")), GRPC_OK);
    assert_int_equal(grpc_status_of(span_str("16")), GRPC_UNAUTHENTICATED);
    for (size_t i = 0; i < ARRAY_LEN(strange); i++)
        assert_int_equal(grpc_status_of(span_cstr(strange[i])), GRPC_UNKNOWN);
    assert_string_equal(grpc_status_name(0), "OK");
    assert_string_equal(grpc_status_name(14), "UNAVAILABLE");
    assert_string_equal(grpc_status_name(17), "UNKNOWN");
    for (unsigned i = 0; i < GRPC_STATUSES; i++)
        assert_non_null(grpc_status_name(i));
}

static void test_status_in_trailers(void **state)
{
    (void)state;
    enum grpc_status status = GRPC_ABORTED;
    assert_false(grpc_status_in_trailers(span_str(""), &status));
    assert_false(grpc_status_in_trailers(span_str("a: grpc-status: 1\r\ngrpc: 2\r\n"), &status));
    assert_int_equal(status, GRPC_ABORTED);
    assert_true(grpc_status_in_trailers(span_str("a: b\r\nGrpc-Status: 5 \r\ngrpc-message: 1\r\n"),
                                        &status));
    assert_int_equal(status, GRPC_NOT_FOUND);
    assert_true(grpc_status_in_trailers(span_str("grpc-status:"), &status));
    assert_int_equal(status, GRPC_UNKNOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_content_type),
        cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_status),
        cmocka_unit_test(test_status_in_trailers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
