/* SPDX-License-Identifier: MIT */
#include "codec/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "codec/field_id.h"

static const struct {
    enum field_id id;
    const char *symbol;
    struct span name;
} known[] = {
#define FIELD(id, name) {FIELD_##id, #id, SPAN_INIT(name)},
#include "codec/field.def"
#undef FIELD
};

/* Looks for a factor without collisions and prints what message.c and field_id.h need. */
static void print_new_table(void)
{
    for (uint64_t factor = 0x9e3779b97f4a7c15u;; factor += 2) {
        unsigned slots[FIELD_HASH_SLOTS] = {0};
        bool clash = false;
        for (size_t i = 0; i < ARRAY_LEN(known) && !clash; i++) {
            struct span name = known[i].name;
            unsigned *slot = &slots[field_hash(field_first_8(name), name.n, factor)];
            clash = *slot != 0;
            *slot = (unsigned)i + 1;
        }
        if (clash)
            continue;
        print_error("#define FIELD_HASH_FACTOR 0x%llxu\n", (unsigned long long)factor);
        for (unsigned i = 0; i < FIELD_HASH_SLOTS; i++)
            if (slots[i] != 0)
                print_error("    [%u] = FIELD_%s,\n", i, known[slots[i] - 1].symbol);
        return;
    }
}

static void test_every_known_field(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        uint8_t upper[32];
        struct span name = known[i].name;
        assert_true(name.n <= sizeof(upper));
        for (size_t k = 0; k < name.n; k++)
            upper[k] = ascii_upper(name.p[k]);
        if (field_id_of(name) != known[i].id)
            print_new_table();
        assert_int_equal(field_id_of(name), known[i].id);
        assert_int_equal(field_id_of(span_of(upper, name.n)), known[i].id);
    }
}

/* One byte changed to any other that is not its other case: not that field any more. */
static void test_near_misses(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        struct span name = known[i].name;
        uint8_t other[32];
        for (size_t k = 0; k < name.n; k++) {
            memcpy(other, name.p, name.n);
            for (unsigned byte = 0; byte < 256; byte++) {
                other[k] = (uint8_t)byte;
                enum field_id expect =
                    ascii_lower((uint8_t)byte) == name.p[k] ? known[i].id : FIELD_OTHER;
                assert_int_equal(field_id_of(span_of(other, name.n)), expect);
            }
        }
        memcpy(other, name.p, name.n);
        other[name.n] = 'x';
        assert_int_equal(field_id_of(span_of(other, name.n + 1)), FIELD_OTHER);
        assert_int_not_equal(field_id_of(span_of(other, name.n - 1)), known[i].id);
    }
    assert_int_equal(field_id_of(span_of(NULL, 0)), FIELD_OTHER);
    assert_int_equal(field_id_of(span_str("access-control-allow-credentials")), FIELD_OTHER);
}

static void test_methods(void **state)
{
    (void)state;
    assert_int_equal(method_of(span_str("GET")), METHOD_GET);
    assert_int_equal(method_of(span_str("CONNECT")), METHOD_CONNECT);
    assert_int_equal(method_of(span_str("get")), METHOD_OTHER);
    assert_int_equal(method_of(span_str("")), METHOD_OTHER);
    assert_int_equal(method_of(span_of("GET\0", 4)), METHOD_OTHER);
    static const struct {
        enum method method;
        struct span name;
    } rows[] = {
        {METHOD_GET, SPAN_INIT("GET")},         {METHOD_POST, SPAN_INIT("POST")},
        {METHOD_HEAD, SPAN_INIT("HEAD")},       {METHOD_PUT, SPAN_INIT("PUT")},
        {METHOD_OPTIONS, SPAN_INIT("OPTIONS")}, {METHOD_DELETE, SPAN_INIT("DELETE")},
        {METHOD_PATCH, SPAN_INIT("PATCH")},     {METHOD_CONNECT, SPAN_INIT("CONNECT")},
        {METHOD_TRACE, SPAN_INIT("TRACE")},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint8_t other[16] = "";
        struct span name = rows[i].name;
        assert_int_equal(method_of(name), rows[i].method);
        memcpy(other, name.p, name.n);
        for (size_t k = 0; k < name.n; k++) {
            for (unsigned byte = 0; byte < 256; byte++) {
                other[k] = (uint8_t)byte;
                assert_true(method_of(span_of(other, name.n)) ==
                            (byte == name.p[k] ? rows[i].method : METHOD_OTHER));
            }
            other[k] = name.p[k];
            assert_int_not_equal(method_of(span_of(other, k)), rows[i].method);
        }
        for (size_t n = name.n + 1; n < sizeof(other); n++) {
            other[n - 1] = 'S';
            assert_int_not_equal(method_of(span_of(other, n)), rows[i].method);
        }
    }
    assert_int_equal(method_of(span_str("GETS")), METHOD_OTHER);
    assert_true(method_is_idempotent(METHOD_GET));
    assert_true(method_is_idempotent(METHOD_DELETE));
    assert_false(method_is_idempotent(METHOD_POST));
    assert_false(method_is_idempotent(METHOD_PATCH));
    assert_false(method_is_idempotent(METHOD_OTHER));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_known_field),
        cmocka_unit_test(test_near_misses),
        cmocka_unit_test(test_methods),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
