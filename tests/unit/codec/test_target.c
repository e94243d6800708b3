/* SPDX-License-Identifier: MIT */
#include "codec/target.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/limits.h"

struct path_row {
    struct span in;
    const char *out; /* NULL: an error */
    enum reason reason;
};

#define SAME(path)                       \
    {                                    \
        SPAN_INIT(path), path, REASON_ok \
    }
#define PATH(in, out)                 \
    {                                 \
        SPAN_INIT(in), out, REASON_ok \
    }
#define WRONG(in, reason_name)                    \
    {                                             \
        SPAN_INIT(in), NULL, REASON_##reason_name \
    }

static const struct path_row paths[] = {
    SAME("/"),
    SAME("//"),
    SAME("///a//b/"),
    SAME("/a/b/c"),
    SAME("/a.b/.c/..d/e./f../..."),
    SAME("/.%20/..%20/..a;b"),
    SAME("/%20%3F%23%25%5B%7B%C3%A9"),
    SAME("/-._~!$&'()*+,;=:@[]"),
    PATH("/%41%5a%61%7A%30%39%2d%2E%5F%7e", "/AZaz09-._~"),
    PATH("/%3f%c3%a9", "/%3F%C3%A9"),
    PATH("/%2525", "/%2525"),
    PATH("/.", "/"),
    PATH("/./", "/"),
    PATH("/././.", "/"),
    PATH("/a/.", "/a/"),
    PATH("/a/./", "/a/"),
    PATH("/./a", "/a"),
    PATH("/a/..", "/"),
    PATH("/a/../", "/"),
    PATH("/a/../b", "/b"),
    PATH("/a/b/../../c", "/c"),
    PATH("/a/b/..", "/a/"),
    PATH("/a/b/c/./../../g", "/a/g"),
    PATH("/mid/content=5/../6", "/mid/6"),
    PATH("//..", "/"),
    PATH("//../a", "/a"),
    PATH("/a//..", "/a/"),
    PATH("/a//../..", "/"),
    PATH("/%2e", "/"),
    PATH("/a/%2e%2E/b", "/b"),
    PATH("/a/.%2e", "/"),
    PATH("/a/%2e./b", "/b"),
    PATH("/%2e%2e%2e", "/..."),
    WRONG("", bad_target),
    WRONG("a", bad_target),
    WRONG("*", bad_target),
    WRONG("%2F", bad_target),
    WRONG("/..", bad_path),
    WRONG("/../a", bad_path),
    WRONG("/a/../../b", bad_path),
    WRONG("/./..", bad_path),
    WRONG("/%2e%2e", bad_path),
    WRONG("//../..", bad_path),
    WRONG("/a%2fb", bad_path),
    WRONG("/a%2Fb", bad_path),
    WRONG("/%5c", bad_path),
    WRONG("/%5C..", bad_path),
    WRONG("/%00", bad_path),
    WRONG("/a%00.html", bad_path),
    WRONG("/\\", bad_path),
    WRONG("/%", bad_path),
    WRONG("/%4", bad_path),
    WRONG("/%4/", bad_path),
    WRONG("/%zz", bad_path),
    WRONG("/%-1", bad_path),
    WRONG("/% 1", bad_path),
    WRONG("/..;", bad_path),
    WRONG("/.;x", bad_path),
    WRONG("/a/..;x=y/b", bad_path),
    WRONG("/a/..%3B", bad_path),
    WRONG("/a/%2e%2e%3bx", bad_path),
    WRONG("/ ", bad_target),
    WRONG("/a b", bad_target),
    WRONG("/#", bad_target),
    WRONG("/?", bad_target),
    WRONG("/\"", bad_target),
    WRONG("/<", bad_target),
    WRONG("/>", bad_target),
    WRONG("/^", bad_target),
    WRONG("/`", bad_target),
    WRONG("/{", bad_target),
    WRONG("/|", bad_target),
    WRONG("/}", bad_target),
    WRONG("/\x7f", bad_target),
    WRONG("/\x80", bad_target),
    WRONG("/\t", bad_target),
    WRONG("/\r", bad_target),
    WRONG("/\n", bad_target),
    WRONG("/\0", bad_target),
};

static void test_paths(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        const struct path_row *row = &paths[i];
        uint8_t *out = malloc(row->in.n + 1); /* exactly the room asked for */
        size_t len = 99;
        int rc = target_path_canonical(row->in, out, row->in.n, &len);
        if (rc != -(int)row->reason)
            print_error("path %.*s\n", SPAN_ARG(row->in));
        assert_int_equal(rc, -(int)row->reason);
        bool same = row->out != NULL && span_eq(row->in, span_cstr(row->out));
        assert_int_equal(target_path_is_canonical(row->in), same);
        if (row->out == NULL) {
            assert_int_equal(len, 99);
        } else {
            assert_int_equal(len, strlen(row->out));
            assert_memory_equal(out, row->out, len);
            assert_true(target_path_is_canonical(span_of(out, len)));
        }
        free(out);
    }
}

/* The longest way up and down again: as many segments as fit, all taken back. */
static void test_deep_path(void **state)
{
    (void)state;
    static uint8_t in[URI_PATH_MAX], out[URI_PATH_MAX];
    size_t n = 0, len = 0;
    for (int i = 0; i < 800; i++, n += 2)
        memcpy(in + n, "/a", 2);
    for (int i = 0; i < 800; i++, n += 3)
        memcpy(in + n, "/..", 3);
    assert_int_equal(target_path_canonical(span_of(in, n), out, sizeof(out), &len), 0);
    assert_int_equal(len, 1);
    memcpy(in + n, "/..", 3);
    assert_int_equal(target_path_canonical(span_of(in, n + 3), out, sizeof(out), &len),
                     -REASON_bad_path);
}

static void test_queries(void **state)
{
    (void)state;
    assert_true(target_query_ok(span_str("")));
    assert_true(target_query_ok(span_str("a=b&c[]=%20/?:@!$'()*+,;-._~")));
    assert_true(target_query_ok(span_str("{a}|b^c`d\\e%")));
    for (unsigned byte = 0; byte < 256; byte++) {
        uint8_t c = (uint8_t)byte;
        bool bad = byte <= 0x20 || byte >= 0x7f || strchr("\"<>#", (int)byte) != NULL;
        assert_int_equal(target_query_ok(span_of(&c, 1)), !bad);
    }
}

static void test_authorities(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        const char *host; /* NULL: an error */
    } rows[] = {
        {"h", "h"},
        {"h:", "h"},
        {"h:80", "h"},
        {"h:65535", "h"},
        {"WWW.Example.com.", "WWW.Example.com."},
        {"a_b-c~d", "a_b-c~d"},
        {"127.0.0.1:1", "127.0.0.1"},
        {"[::1]", "[::1]"},
        {"[::1]:80", "[::1]"},
        {"[2001:DB8::1]:", "[2001:DB8::1]"},
        {"[::ffff:192.0.2.1]", "[::ffff:192.0.2.1]"},
        {":", NULL},
        {":80", NULL},
        {"h:80:", NULL},
        {"h:65536", NULL},
        {"h:123456", NULL},
        {"h:+1", NULL},
        {"h:a", NULL},
        {"u@h", NULL},
        {"a,b", NULL},
        {"a b", NULL},
        {"a/b", NULL},
        {"a%2e", NULL},
        {"a\"b", NULL},
        {"a\\b", NULL},
        {"a[b]", NULL},
        {"\xc3\xa9", NULL},
        {"[", NULL},
        {"[]", NULL},
        {"]", NULL},
        {"[::1", NULL},
        {"[::1]a", NULL},
        {"[::1%25lo]", NULL},
        {"[v1.a]", NULL},
        {"[1.2.3.4]", NULL},
        {"[1:2:3:4:5:6:7:8:9]", NULL},
        {"[1111111111111111111111111111111111111111111111111111111111111111]", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct span host = {NULL, 77};
        int rc = target_authority(span_cstr(rows[i].in), false, &host);
        if ((rc == 0) != (rows[i].host != NULL))
            print_error("authority %s\n", rows[i].in);
        assert_int_equal(rc, rows[i].host ? 0 : -REASON_bad_host);
        assert_true(rows[i].host ? span_eq(host, span_cstr(rows[i].host)) : host.n == 77);
    }
}

static void test_empty_and_long_authorities(void **state)
{
    (void)state;
    char text[HTTP_HOST_MAX + 1];
    struct span host;
    memset(text, 'a', sizeof(text));
    assert_int_equal(target_authority(span_str(""), false, &host), -REASON_bad_host);
    assert_int_equal(target_authority(span_str(""), true, &host), 0);
    assert_int_equal(host.n, 0);
    assert_int_equal(target_authority(span_str(":80"), true, &host), -REASON_bad_host);
    assert_int_equal(target_authority(span_of(text, HTTP_HOST_MAX), true, &host), 0);
    assert_int_equal(target_authority(span_of(text, HTTP_HOST_MAX + 1), true, &host),
                     -REASON_bad_host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_deep_path),
        cmocka_unit_test(test_queries),
        cmocka_unit_test(test_authorities),
        cmocka_unit_test(test_empty_and_long_authorities),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
